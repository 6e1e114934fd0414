"""What findings rest on besides the listings: encoder, index, policy, rights, and which pictures may be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lookalike.model.regions import VERSION

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
        reading = reading_text(detector.reader, parts=detector.lookup.reach.parts)
        return cls(encoder, reading, json.dumps(judging, sort_keys=True), detector.index.digest)

    @property
    def tables(self) -> frozenset[str]:
        """The tables that findings rest on, of "rights", "sellers" and "regions"."""
        rights = json.loads(self.judging)["rights"]
        return frozenset(rights["tables"] if rights is not None else ())

    @property
    def dims(self) -> tuple[int, ...]:
        """How many numbers of a vector stand for similarity and, if the encoder has a second head, for look.

        Raises ValueError unless an encoder can have them.
        """
        dims = (self.encoder["dim"], self.encoder.get("look_dim", 0))
        if any(type(dim) is not int or not least <= dim <= 1 << 16 for least, dim in zip((1, 0), dims, strict=True)):
            raise ValueError("its encoder's vectors have no length")
        return dims if dims[1] else dims[:1]

    def embeds_like(self, other: Basis) -> bool:
        """Whether a picture has the same vector and the same parts on both."""
        return (self.encoder, self.reading) == (other.encoder, other.reading)

    def __str__(self) -> str:
        """All of it, as JSON on one line."""
        return json.dumps(vars(self), sort_keys=True)


def reading_text(reader: PhotoReader, *, parts: int = 0) -> str:
    """Which pictures a reader may read, and within which limits; the same text in every process.

    Up to `parts` parts of each picture are looked up as well.
    """
    access = {**asdict(reader.access), "schemes": sorted(reader.access.schemes)}
    limits = {"limits": str(reader.limits), "photos": reader.most_photos}
    cut = {"parts": f"{parts}, version {VERSION}"} if parts else {}
    return json.dumps({**limits, **cut, "access": access}, sort_keys=True)
