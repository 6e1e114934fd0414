"""Parts of a hash chain: one JSON text for equal values, and a record of a link that does not hold.

Evidence bundles and case histories are both chains: each entry contains the hash of the entry before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from .errors import BundleError

_LONGEST = 80


@dataclass(frozen=True)
class Disagreement:
    """One place where a bundle or history is not as it was written.

    >>> str(Disagreement("finding 3", "its row is missing"))
    'finding 3: its row is missing'
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def canonical(values: object) -> str:
    """The one JSON text of these values: sorted keys, ASCII only, no spaces, so that equal values have equal hashes.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"\\\\u00e9","b":1}'

    Raises BundleError for a value that JSON has no text for, such as NaN.
    """
    try:
        return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"an entry has a value that JSON can't represent ({error})") from error


def plain(text: object) -> str:
    """Untrusted text made safe for one line on a terminal: no control characters, at most 80 characters.

    >>> plain("a\\x1b[2Jb")
    'a\N{REPLACEMENT CHARACTER}[2Jb'
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:_LONGEST])
    return shown + ("…" if len(str(text)) > _LONGEST else "")
