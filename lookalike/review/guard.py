"""Who may talk to the app: a browser that was given the one-time token, from this address alone.

What keeps foreign pages out, and what a browser may do with an answer, holds for every server of the app.
"""

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
METHODS = ("GET", "HEAD", "POST")
"""The methods that the pages use."""

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
        headers = headers_of(scope)
        if status := self._refused(scope["method"], headers):
            await answer(send, status, "This request is not for the review, or comes from elsewhere.\n")
            return
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if token is not None:
            await self._enter(send, token[0])
        elif not self._is_known(headers.get(b"cookie", "")):
            await answer(send, 403, _NO_ACCESS)
        else:
            await self._app(scope, receive, with_headers(send))

    def _refused(self, method: str, headers: dict[bytes, str]) -> int | None:
        """The status with which a request is refused whoever sends it, None if it is not."""
        if method in METHODS and headers.get(b"host", "") not in self._hosts:
            return 421
        return refusal(method, headers)

    async def _enter(self, send: Send, given: str) -> None:
        if self._token is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            await answer(send, 403, _NO_ACCESS)
            return
        self._token = None
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        await answer(send, 303, "", ((b"location", b"./"), (b"set-cookie", cookie.encode())))

    def _is_known(self, text: str) -> bool:
        return hmac.compare_digest(cookie_value(text, self._cookie).encode(), self._session.encode())


def headers_of(scope: Scope) -> dict[bytes, str]:
    """The headers of a request, the last one of each name."""
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


def refusal(method: str, headers: dict[bytes, str], *, schemes: Collection[str] = ("http",)) -> int | None:
    """The status with which a request is refused that no page of this host sends; None for others.

    `schemes` are those that the host's pages may have.
    """
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    if method not in METHODS:
        return 405
    if origin is not None and origin not in [f"{scheme}://{host}" for scheme in schemes]:
        return 403
    return 403 if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin") else None


def cookie_value(text: str, name: str) -> str:
    """The value of a cookie in a request's header, empty if there is none."""
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def with_headers(send: Send, **instead: str) -> Send:
    """Have every answer say what a browser may do with it; `instead` has other values by the names of headers."""
    said = dict(_HEADERS) | {name.replace("_", "-").encode(): value.encode() for name, value in instead.items()}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in said]
            message = {**message, "headers": [*kept, *said.items()]}
        await send(message)

    return sending


async def answer(send: Send, status: int, text: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Answer with a line of text and the headers that every answer has."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *_HEADERS, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
