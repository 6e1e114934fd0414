"""Labels joined with what they are about: findings already made, or photos that are embedded and looked up now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ReferenceIndexError, TableError
from .records import strength_of
from .scan import read_findings
from .tables import Review, read_labels, read_listings, read_verdicts
from .tuning import LabelledPairs

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder, Vectors

    from .normalisation import Cohort

Row = tuple[float, bool, str | None, str | None, date | None]


@dataclass(frozen=True)
class Labels:
    """Labelled pairs, and what could not be used: `unknown` labels of listings without a finding, `other` ones about
    another product than the finding's, and photos that could not be read, with the reason."""

    pairs: LabelledPairs
    unknown: int = 0
    other: int = 0
    failed: tuple[str, ...] = ()


def labels_of_findings(labels: str | Path, findings: str | Path) -> Labels:
    """Labels (listing_id, lookalike; optional product_id, date) of findings already made; nothing is embedded.

    The similarity is the finding's, the normalised one where there is one; of several labels of a listing the last one
    about the finding's product counts. A label that calls the listing a look-alike
    of another product than the finding's counts as an error of the finding. Raises TableError as reading either table
    does, and where no label is of a finding.
    """
    verdicts: dict[str, list[Review]] = {}
    for verdict in read_verdicts(labels):
        verdicts.setdefault(verdict.listing_id, []).append(verdict)
    rows: list[Row] = []
    seen = other = 0
    for row in read_findings(findings):
        of_listing = verdicts.get(str(row["listing_id"]))
        strength = strength_of(row)
        if of_listing is None or strength is None:
            continue
        seen += 1
        about = [v for v in of_listing if v.product_id in (None, row["product_id"])]
        verdict, same = (about or of_listing)[-1], bool(about)
        if not same and not verdict.lookalike:
            other += 1
            continue
        rows.append((strength, verdict.lookalike and same, row["brand"], row["territory"], verdict.day))
    if not rows:
        raise TableError(f"none of the {len(verdicts)} labels of {labels} is of a finding in {findings}")
    return Labels(LabelledPairs.of(rows), unknown=len(verdicts) - seen, other=other)


def unrelated_findings(findings: str | Path) -> LabelledPairs:
    """Findings of listings believed to be unrelated, each with what it is nevertheless most alike to."""
    return LabelledPairs.of(
        (strength, False, row["brand"], row["territory"], None)
        for row in read_findings(findings)
        if (strength := strength_of(row)) is not None
    )


@dataclass(frozen=True)
class Lookup:
    """Embeds photos and finds the product that each is most alike to."""

    index: ReferenceIndex
    encoder: Encoder
    reader: PhotoReader
    progress: Callable[[int], None] | None = None

    def labels(self, labels: str | Path, *, cohort: Cohort | None = None) -> Labels:
        """Labels of photos (image, product_id, lookalike), each photo with the product that it is most alike to.

        Raises TableError as reading the table does, and where no photo could be read; ReferenceIndexError for an index
        that holds nothing.
        """
        right = read_labels(labels)
        images, vectors, failed = self.embed(right)
        if not images:
            raise TableError(f"none of the photos of {labels} could be read; the first: {failed[0]}")
        pairs = self._pairs(vectors, [right[image] for image in images], cohort)
        return Labels(pairs, failed=tuple(failed))

    def unrelated(self, listings: str | Path, *, cohort: Cohort | None = None) -> Labels:
        """All photos of a listings table whose listings are believed to be unrelated."""
        images, vectors, failed = self.embed(
            str(image) for listing in read_listings(listings) for image in listing.images
        )
        if not images:
            raise TableError(f"none of the photos of {listings} could be read")
        return Labels(self._pairs(vectors, [set() for _ in images], cohort), failed=tuple(failed))

    def embed(self, images: Iterable[str]) -> tuple[list[str], Vectors, list[str]]:
        """The images that could be read, their vectors float32 (n, dim), and why the others could not."""
        from lookalike.index.embedding import embed_photos

        names = list(images)
        kept, vectors, failed = [], [], []
        for image, photo in zip(names, embed_photos(names, encoder=self.encoder, reader=self.reader), strict=True):
            if self.progress is not None:
                self.progress(1)
            if photo.vector is None:
                failed.append(str(photo.error))
            else:
                kept.append(image)
                vectors.append(photo.vector)
        return kept, np.array(vectors, np.float32).reshape(len(kept), self.encoder.spec.dim), failed

    def _pairs(self, vectors: Vectors, right: list[set[str]], cohort: Cohort | None) -> LabelledPairs:
        if not len(self.index):
            raise ReferenceIndexError("the index holds no references any more; add some with: lookalike add")
        best = [matches[0] for matches in self.index.search(vectors, top=1)]
        strength = np.array([match.similarity for match in best], np.float32)
        if cohort is not None:
            rows = {name: row for row, name in enumerate(self.index.catalogue["reference_id"].to_pylist())}
            levels = cohort.level(self.index.vectors) if cohort.method == "s-norm" else None
            own = levels.of([rows[match.reference.id] for match in best]) if levels is not None else None
            strength = cohort.normalise(strength, cohort.level(vectors), own)
        return LabelledPairs.of(
            (float(value), match.reference.product in products, match.reference.brand, None, None)
            for value, match, products in zip(strength, best, right, strict=True)
        )


def brand_categories(index: ReferenceIndex) -> dict[str, str]:
    """Each brand's commonest category, where the references' table has a column `category`."""
    if "category" not in index.catalogue.column_names:
        return {}
    counts: dict[str, Counter[Any]] = {}
    for row in index.catalogue.select(["brand", "category"]).to_pylist():
        if row["category"]:
            counts.setdefault(row["brand"], Counter())[str(row["category"])] += 1
    return {brand: count.most_common(1)[0][0] for brand, count in counts.items()}
