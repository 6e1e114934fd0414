"""Who comes in: whoever has a key, from no other origin, and not too often. Nothing of a body is read before that."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from lookalike.errors import LookalikeError

from .bodies import refuse
from .keys import Keys, Rates
from .problems import answer

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .keys import Key

_log = logging.getLogger(__name__)

OPEN = ("/healthz", "/readyz")
"""What anybody may ask."""

OWN_DOOR = ("/review",)
"""What lies below these has a door of its own, for browsers."""


class Door:
    """The keys of a file, and how often each may ask."""

    def __init__(self, path: Path, *, per_minute: int) -> None:
        self._path, self._seen = path, _seen(path)
        self.keys, self.rates = Keys.read(path), Rates(per_minute)

    def refresh(self) -> None:
        """Read the file again if it changed; if that can't be done, the keys known so far stay."""
        seen = _seen(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.keys = Keys.read(self._path)
        except LookalikeError as error:
            _log.error("the keys known so far stay: %s", error)


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class Gate:
    """Lets requests through to `app` that carry a known key, which it puts into the scope."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self._refused(scope, Headers(scope=scope))
        if refused is not None:
            await refuse(refused, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        if path in OPEN or any(path == own or path.startswith(f"{own}/") for own in OWN_DOOR):
            return None
        if (origin := headers.get("origin")) is not None and urlsplit(origin).netloc != headers.get("host"):
            return answer(403, "origin", "pages of other origins may not ask; ask from a server of yours")
        key = self._key(headers.get("authorization", ""))
        if key is None:
            return answer(401, "key", "give a key that is known, as: Authorization: Bearer KEY",
                          headers={"WWW-Authenticate": "Bearer"})  # fmt: skip
        scope["lookalike.key"] = key
        if wait := self._door.rates.wait(key.name):
            return answer(429, "rate", f"the key {key.name} asks too often; slow down",
                          headers={"Retry-After": str(max(1, round(wait)))})  # fmt: skip
        return None

    def _key(self, given: str) -> Key | None:
        kind, _, token = given.partition(" ")
        return self._door.keys.find(token.strip()) if kind.lower() == "bearer" else None
