"""Labelled pairs: how similar a listing's photo is to the product it was matched with, and whether that was right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledPairs:
    """n photos of listings, each with the product it resembles most, and whether that is right.

    `similarity` float (n,) is the normalised one where the policy normalises, the probability where it has a fusion.
    `lookalike` bool (n,): the listing shows or imitates that product. `brand` str (n,) is the product's; `territory`
    str (n,) the listing's, "" where unknown. `day` datetime64[D] (n,) is the label's, NaT where unknown. `kind` str
    (n,) is the kind of likeness, "" where the pair wasn't compared point by point as a scan would.
    """

    similarity: NDArray[np.float64]
    lookalike: NDArray[np.bool_]
    brand: NDArray[np.str_]
    territory: NDArray[np.str_]
    day: NDArray[np.datetime64]
    kind: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.similarity)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> LabelledPairs:
        return LabelledPairs(*(getattr(self, each.name)[rows] for each in fields(self)))

    @classmethod
    def of(
        cls, rows: Iterable[tuple[float, bool, str | None, str | None, date | None]], kinds: Iterable[str] | None = None
    ) -> LabelledPairs:
        """From rows of similarity, lookalike, brand, territory, day, and where they are known the kinds."""
        columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
        return cls(
            np.array(columns[0], float),
            np.array(columns[1], bool),
            np.array([value or "" for value in columns[2]], str),
            np.array([value or "" for value in columns[3]], str),
            np.array([value or "NaT" for value in columns[4]], "datetime64[D]"),
            np.array(list(kinds) if kinds is not None else [""] * len(columns[0]), str),
        )

    def by_brand(self) -> Mapping[str, NDArray[np.intp]]:
        """The rows of each brand.

        >>> pairs = LabelledPairs.of((0.5, True, brand, None, None) for brand in ("Brio", "Acme", "Brio"))
        >>> {brand: rows.tolist() for brand, rows in pairs.by_brand().items()}
        {'Acme': [1], 'Brio': [0, 2]}
        """
        names, number = np.unique(self.brand, return_inverse=True)
        return {name: np.flatnonzero(number == at) for at, name in enumerate(names.tolist())}
