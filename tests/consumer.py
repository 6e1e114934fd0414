"""A service built on the public API, as its developers would write it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike import (
    Detector,
    Finding,
    Goal,
    Listing,
    Lookup,
    Tuned,
    Verdict,
    build_index,
    load_encoder,
    read_references,
    tune_on_photos,
)


def build(references: Path, index: Path) -> int:
    return build_index(read_references(references), index=index, encoder=load_encoder(device="cpu")).references


def check(index: Path, photo: Path) -> list[Finding]:
    """The same photo as bytes, as a path, as text, and as an array."""
    detector = Detector.open(index, device="cpu")
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    listings = [
        Listing(id="bytes", images=[photo.read_bytes()]),
        Listing(id="path", images=photo),
        Listing(id="text", images=str(photo), seller="s9", territory="DE"),
        Listing(id="array", images=[pixels]),
    ]
    return [detector.check(listing) for listing in listings]


def tune(labels: Path, index: Path) -> Tuned:
    return tune_on_photos(labels, lookup=Lookup.open(index, device="cpu"), goal=Goal(precision=0.9))


def main(references: Path, labels: Path, folder: Path) -> None:
    index = folder / "genuine.index"
    print(build(references, index))
    with open(references, encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    for finding in check(index, references.parent / first["image"]):
        stored = json.loads(json.dumps(finding.to_dict()))
        assert Finding.from_dict(stored).verdict is Verdict.FLAGGED
        print(stored["listing"]["id"], stored["verdict"], stored["product"])
    tuned = tune(labels, index)
    tuned.policy.save(folder / "policy.toml")
    print(tuned.policy.promise, len(tuned.labels.photos))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
