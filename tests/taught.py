"""An index of the toy encoder and labelled photos from which an adapter learns: most of each photo says nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder

from lookalike.adapting.adapting import adapt
from lookalike.adapting.labelled import LabelledImage, images_of_photos
from lookalike.detection.lookup import Lookup
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import AdaptedEncoder, Adapter
from lookalike.records import Reference

PRODUCTS, PHOTOS = 40, 3


@dataclass(frozen=True)
class Taught:
    """A folder with an index in `i`, labels in labels.csv, and the adapter that was fitted to all of them."""

    folder: Path
    images: list[LabelledImage]
    plain: Lookup
    adapter: Adapter

    @property
    def lookup(self) -> Lookup:
        """The index adapted, in memory."""
        return through(self.plain, self.adapter)


def through(lookup: Lookup, adapter: Adapter) -> Lookup:
    """The same index, not adapted yet, with that adapter."""
    return Lookup(AdaptedEncoder(lookup.encoder, adapter), lookup.index.adapted(adapter), lookup.reader)


def teach(folder: Path, *, look: bool = True) -> Taught:
    """Photos keep a third of their product's picture, and have anything in the rest; so have unrelated ones."""
    rng, rows = np.random.default_rng(0), [("image", "product_id", "lookalike")]
    pictures = rng.integers(0, 256, (2 * PRODUCTS, 3, 3, 3), np.uint8)
    references = [
        Reference(f"r{at}", f"p{at}", f"B{at % 2}", save(folder / f"r{at}.png", pictures[at])) for at in range(PRODUCTS)
    ]
    for at, picture in enumerate(pictures):
        for number in range(PHOTOS):
            cells = picture.copy()
            cells[1:] = rng.integers(0, 256, (2, 3, 3))
            path = save(folder / f"l{at}-{number}.png", cells)
            rows.append((path.name, f"p{at}" if at < PRODUCTS else "", "yes" if at < PRODUCTS else "no"))
    with open(folder / "labels.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    build_index(references, index=folder / "i", encoder=ToyEncoder(look=look), features=False)
    plain = Lookup(ToyEncoder(look=look), ReferenceIndex.load(folder / "i"), PhotoReader(workers=1))
    images = images_of_photos(folder / "labels.csv")
    adapter = adapt(images, lookup=plain).adapter
    assert adapter is not None, "nothing could be learnt"
    return Taught(folder, images, plain, adapter)


def save(path: Path, cells: NDArray[np.uint8]) -> Path:
    """A picture of 3 by 3 colours."""
    Image.fromarray(cells).resize((30, 30), Image.Resampling.NEAREST).save(path)
    return path
