"""Bodies of requests, read whole within limits of size, time and memory before the application sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from .problems import answer

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Room:
    """The memory for bodies and photos that are held at once, in bytes. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self, size: int) -> bool:
        """Take so many bytes, unless that would be more than there are; whoever took them gives them back."""
        if self.taken + size > self._most:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.taken -= size


class _RefusedError(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _GoneError(Exception):
    """The client went away."""


class Bodies:
    """Gives `app` requests with their whole body, of up to `most` bytes, which came within `seconds`."""

    def __init__(self, app: ASGIApp, *, most: int, seconds: float, room: Room) -> None:
        self._app, self._most, self._seconds, self._room = app, most, seconds, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with too much of something, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            try:
                await self._read(Headers(scope=scope), receive, body)
            except _RefusedError as refused:
                await refused.response(scope, receive, send)
                return
            except _GoneError:
                return
            await self._app(scope, _replayed(bytes(body), receive), send)
        finally:
            self._room.give(len(body))

    async def _read(self, headers: Headers, receive: Receive, body: bytearray) -> None:
        """Read the body. Nothing of it is read if its headers say already that it can't be used."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise _RefusedError(answer(415, "encoding", "the body is packed; send it without Content-Encoding"))
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                while await self._read_part(receive, body):
                    pass
        except TimeoutError:
            what = f"the body took longer than {self._seconds:g} s; send it faster"
            raise _RefusedError(answer(408, "slow", what, headers=_CLOSE)) from None

    async def _read_part(self, receive: Receive, body: bytearray) -> bool:
        """Read what came, and say whether there is more."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        part = message.get("body", b"")
        if len(body) + len(part) > self._most:
            raise self._too_large()
        if not self._room.take(len(part)):
            what = "there is no room for more bodies now; try again"
            raise _RefusedError(answer(429, "no_room", what, headers={"Retry-After": "1", **_CLOSE}))
        body += part
        return bool(message.get("more_body", False))

    def _too_large(self) -> _RefusedError:
        what = f"the body is larger than {self._most:,} bytes; send less, or addresses of photos"
        return _RefusedError(answer(413, "too_large", what, headers=_CLOSE))


_CLOSE = {"Connection": "close"}  # so that nobody waits for the rest of the body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives the body as one message, and then whatever else comes."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
