"""What findings rest on besides the listings: encoder, index, policy, rights, and which pictures may be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.detection.detector import Detector
    from lookalike.index.embedding import PhotoReader


@dataclass(frozen=True)
class Basis:
    """What findings rest on besides the listings; equal bases give equal findings.

    A picture's vector depends on `encoder` and `reading`; what is made of its matches depends on `judging`. `index` is
    the index's digest.
    """

    encoder: Mapping[str, Any]
    reading: str
    judging: str
    index: str

    @classmethod
    def of(cls, detector: Detector) -> Basis:
        """The basis of the findings that this detector makes."""
        harmless, rights = detector.lookup.harmless, detector.rights
        judging = {
            "policy": str(detector.policy),
            "top": detector.lookup.top,
            "harmless": None if harmless is None else harmless.digest,
            "rights": None if rights is None else {"day": f"{detector.day or date.today()}", "tables": rights.tables},
            "compared": detector.index.has_features,
        }
        encoder = json.loads(json.dumps(detector.encoder.spec.to_json()))  # equal to one that was read from a file
        return cls(encoder, reading_text(detector.reader), json.dumps(judging, sort_keys=True), detector.index.digest)

    @property
    def tables(self) -> frozenset[str]:
        """The tables that findings rest on, of "rights", "sellers" and "regions"."""
        rights = json.loads(self.judging)["rights"]
        return frozenset(rights["tables"] if rights is not None else ())

    def embeds_like(self, other: Basis) -> bool:
        """Whether a picture has the same vector on both."""
        return (self.encoder, self.reading) == (other.encoder, other.reading)

    def __str__(self) -> str:
        """All of it, as JSON on one line."""
        return json.dumps(vars(self), sort_keys=True)


def reading_text(reader: PhotoReader) -> str:
    """Which pictures a reader may read, and within which limits; the same text in every process."""
    access = {**asdict(reader.access), "schemes": sorted(reader.access.schemes)}
    limits = {"limits": str(reader.limits), "photos": reader.most_photos}
    return json.dumps({**limits, "access": access}, sort_keys=True)
