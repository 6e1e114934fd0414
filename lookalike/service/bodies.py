"""Bodies of requests, read whole within limits of size, time and memory before the application sees them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from .problems import answer

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_CLOSE = {"Connection": "close"}  # the rest of the body would be in the way of the next request
_DROPPED, _DROPPING = 64 * 2**20, 2.0  # bytes of a refused body, and seconds, that are read for nothing


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
    """The body can't be used; `more` says whether there is more of it to come."""

    def __init__(self, response: Response, *, more: bool = True) -> None:
        super().__init__()
        self.response, self.more = response, more


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
        body, taken = bytearray(), 0
        try:
            refused = await self._read(Headers(scope=scope), receive, body)
            taken = len(body)
            if refused is None:
                await self._app(scope, _replayed(body, receive), send)
        except _GoneError:
            return
        finally:
            self._room.give(taken or len(body))
        if refused is not None:
            body.clear()  # dropping the rest may take a while
            await refuse(refused.response, receive, send, more=refused.more)

    async def _read(self, headers: Headers, receive: Receive, body: bytearray) -> _RefusedError | None:
        """Read the body, or say why it is refused."""
        try:
            self._check(headers)
            async with asyncio.timeout(self._seconds):
                while await self._read_part(receive, body):
                    pass
        except _RefusedError as refused:
            return refused
        except TimeoutError:
            what = f"the body took longer than {self._seconds:g} s; send it faster"
            return _RefusedError(answer(408, "slow", what, headers=_CLOSE), more=False)
        return None

    def _check(self, headers: Headers) -> None:
        """Refuse a body that can't be used by what its headers say, before any of it is read."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            what = "the body is packed; send it without Content-Encoding"
            raise _RefusedError(answer(415, "encoding", what, headers=_CLOSE))
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._most:
            raise self._too_large()

    async def _read_part(self, receive: Receive, body: bytearray) -> bool:
        """Read what came, and say whether there is more."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        part, more = message.get("body", b""), bool(message.get("more_body", False))
        if len(body) + len(part) > self._most:
            raise self._too_large(more=more)
        if not self._room.take(len(part)):
            what = "there is no room for more bodies now; try again"
            raise _RefusedError(answer(429, "no_room", what, headers={"Retry-After": "1", **_CLOSE}), more=more)
        body += part
        return more

    def _too_large(self, *, more: bool = True) -> _RefusedError:
        what = f"the body is larger than {self._most:,} bytes; send less, or addresses of photos"
        return _RefusedError(answer(413, "too_large", what, headers=_CLOSE), more=more)


async def refuse(response: Response, receive: Receive, send: Send, *, more: bool = True) -> None:
    """Answer a request before its body was read, then drop a bounded part of the rest.

    Most clients read no answer before they have sent everything, and lose it if the connection is closed meanwhile.
    """
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
    left = _DROPPED if more else 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DROPPING):
            while left > 0:
                message = await receive()
                left = left - len(message.get("body", b"")) if message.get("more_body", False) else 0
    await send({"type": "http.response.body"})


def _replayed(body: bytearray, receive: Receive) -> Receive:
    """What gives the body as one message, which empties it, and then whatever else comes."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given, whole = True, bytes(body)
        body.clear()
        return {"type": "http.request", "body": whole, "more_body": False}

    return receiving
