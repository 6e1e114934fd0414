"""What chains of hashes are made of: one text for the same values, and what to say where a link does not hold."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .errors import BundleError


@dataclass(frozen=True)
class Disagreement:
    """Something in a bundle that is not as it should be: where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def canonical(values: object) -> str:
    """The one JSON text of these values. Raises BundleError for a number that is none."""
    try:
        return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"a finding holds what JSON can't hold ({error})") from error


def plain(text: object) -> str:
    """A stranger's text, fit for a line on a terminal."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:80])
    return shown + ("…" if len(str(text)) > 80 else "")
