"""Which labels a policy was tuned on, so that nobody takes its thresholds' own labels for a test of its promise."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from lookalike.errors import PolicyError
from lookalike.tables.cells import id_digest

_BYTES = 8


@dataclass(frozen=True)
class TunedOn:
    """The labelled listings and photos by digests of their ids and addresses, in base64: 11 characters for each.

    >>> "L1" in TunedOn.of(["L1", "L2"]), "L3" in TunedOn.of(["L1", "L2"])
    (True, False)

    Raises PolicyError for text that isn't such digests.
    """

    digests: str

    def __post_init__(self) -> None:
        try:
            data = base64.b64decode(self.digests, validate=True)
        except (binascii.Error, ValueError):
            data = b"?"
        if len(data) % _BYTES:
            raise PolicyError(
                f"tuned_on.digests is {self.digests[:20]!r}, expected digests in base64, as tune writes them"
            )

    @classmethod
    def of(cls, names: Iterable[str]) -> TunedOn:
        """The labels with these listing ids, or paths and addresses of photos."""
        return cls(base64.b64encode(b"".join(sorted({id_digest(name) for name in names}))).decode())

    def joined(self, digests: str) -> TunedOn:
        """These labels and those of other digests."""
        return TunedOn(base64.b64encode(b"".join(sorted(self._known | TunedOn(digests)._known))).decode())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and id_digest(name) in self._known

    @cached_property
    def _known(self) -> frozenset[bytes]:
        data = base64.b64decode(self.digests)
        return frozenset(data[at : at + _BYTES] for at in range(0, len(data), _BYTES))
