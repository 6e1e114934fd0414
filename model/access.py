"""What may be read, within which limits, and the errors that say what was refused and which option changes that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import ImageReadError
from lookalike.records import photo_name, shown_source

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2


@dataclass(frozen=True)
class Access:
    """What can be read: local files, and remote sources whose scheme is in `schemes`, for example "https".

    With `local=False`, no local file is read, by no path and no scheme. With `roots`, only files in these folders are,
    wherever a path or link claims to lead. `private` also allows private, loopback and link-local addresses. A picture
    can have up to `max_bytes` bytes, and reading it can take up to `timeout` seconds and `max_redirects` redirects.
    Addresses and redirects are checked for http and https; other schemes reach whatever their fsspec back end reaches.
    With `hosts`, http and https reach these hosts only.

    If a server is busy (429, 503) or drops the connection, it is asked again up to `retries` times, after the time that
    it names, as long as `timeout` permits. `headers` go to the server that a source names, or only to `header_hosts`,
    and never to another one that it redirects to. `user_agent` is "lookalike/VERSION" by default.

    Raises ValueError for a header that HTTP can't send.
    """

    schemes: frozenset[str] = frozenset()
    private: bool = False
    max_bytes: int = 64 * 2**20
    timeout: float = 15.0
    max_redirects: int = 3
    local: bool = True
    roots: Sequence[str | Path] | None = None
    retries: int = 2
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(default=(), repr=False)
    header_hosts: frozenset[str] | None = None
    user_agent: str | None = None
    hosts: frozenset[str] | None = None

    def __post_init__(self) -> None:
        given = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        headers = tuple((str(name), str(value)) for name, value in given)
        agent = () if self.user_agent is None else (("User-Agent", self.user_agent),)
        for name, value in (*headers, *agent):
            if not _HEADER.fullmatch(name) or not value.isprintable():
                raise ValueError(f"the header {name[:40]!r} can't be sent; give a NAME and a VALUE of one line")
        object.__setattr__(self, "headers", headers)  # hashable: connections are shared by equal values
        if self.roots is not None:
            roots = (self.roots,) if isinstance(self.roots, str | Path) else self.roots
            object.__setattr__(self, "roots", tuple(str(Path(root).absolute()) for root in roots))


def read_error(what: str, source: str, reason: str) -> ImageReadError:
    """The error that says what is wrong with a source; its name and the message are shortened to fit a line."""
    name = photo_name(source) if source else ""
    shown = name if len(name) <= 200 else f"…{name[-199:]}"
    what = shown_source(what.replace(source, name) if source else what)
    return ImageReadError(f"{shown or 'picture'}: {what[:300]}", source=name, reason=reason)


def too_large(source: str, access: Access) -> ImageReadError:
    """The error for more bytes than may be read."""
    what = f"is larger than {access.max_bytes:,} bytes; shrink the picture, or allow more with --max-bytes"
    return read_error(what, source, "too_large")
