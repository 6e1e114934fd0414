"""Who may talk to the app: a browser that was given the one-time token, from this address alone."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: nothing runs, and nothing is fetched, but what the app itself serves."""

_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
_METHODS = ("GET", "HEAD", "POST")
_NO_ACCESS = "This address opens the review once. Stop lookalike review, start it again, and open the new address.\n"


class Guard:
    """Lets requests through to `app` that are for one of the `hosts`, from its own pages, with the session's cookie.

    The first request with `?token=` gets the cookie; after that the token is worth nothing. Other names for this
    machine are refused, so that no foreign page reaches it by a name of its own (DNS rebinding), and so is every
    request that another origin's page sends.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], cookie: str = "lookalike-review") -> None:
        self._app, self._hosts, self._cookie = app, frozenset(hosts), cookie
        self._token: str | None = token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through; all but HTTP is dropped."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if status := self._refused(scope["method"], headers):
            await _answer(send, status, "This request is not for the review, or comes from elsewhere.\n")
            return
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if token is not None:
            await self._enter(send, token[0])
        elif not self._is_known(headers.get(b"cookie", "")):
            await _answer(send, 403, _NO_ACCESS)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refused(self, method: str, headers: dict[bytes, str]) -> int | None:
        """The status with which a request is refused whoever sends it, None if it is not."""
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if method not in _METHODS:
            return 405
        if host not in self._hosts:
            return 421
        if origin is not None and origin != f"http://{host}":
            return 403
        return 403 if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin") else None

    async def _enter(self, send: Send, given: str) -> None:
        if self._token is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            await _answer(send, 403, _NO_ACCESS)
            return
        self._token = None
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 303, "", ((b"location", b"./"), (b"set-cookie", cookie.encode())))

    def _is_known(self, text: str) -> bool:
        try:
            morsel = SimpleCookie(text).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._session.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in dict(_HEADERS)]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *_HEADERS, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
