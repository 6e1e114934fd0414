"""The review app below /review: a browser signs in with its key once, and the key's name is who judges."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from lookalike.errors import LookalikeError
from lookalike.pages.html import asset, page_template
from lookalike.policy.shipped import is_shipped
from lookalike.review.answers import text
from lookalike.review.guard import POLICY, answer, cookie_value, headers_of, refusal, with_headers
from lookalike.review.opening import open_review

from .serving import located, storage_of
from .verdict_copy import VerdictCopy

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .gate import Door
    from .keys import Key
    from .settings import Settings

PATH = "/review"
_COOKIE = "lookalike-review"
_SECONDS = 12 * 3600.0
_MOST_SESSIONS = 1000
_MOST_FORM = 4096
_OPEN_ASSETS = {"review.css": "text/css", "review.svg": "image/svg+xml"}
_SIGN_IN = {
    # a page without a referrer sends a form with the origin "null", which is refused
    "referrer_policy": "same-origin",
    "content_security_policy": POLICY.replace("form-action 'none'", "form-action 'self'"),
}
_NOT_HERE = "This request is not for the review, or comes from elsewhere.\n"


@dataclass(frozen=True)
class _Session:
    """A browser that signed in, with the hash of its key and until when."""

    key: str
    until: float


class ReviewMount:
    """An application for `PATH`: the review of the settings' findings, to whoever signed in with a key for it.

    Each key's name has a review of its own over the same table and file of verdicts. A table that was replaced is
    opened anew when its page is loaded. Sessions end after 12 hours, with the server, and when the key is removed.
    """

    def __init__(self, settings: Settings, door: Door) -> None:
        self._settings, self._door = settings, door
        self._sessions: dict[str, _Session] = {}
        self._opened = _Opened(settings)
        self._page = page_template("review_sign_in.html")

    def mount(self, app: FastAPI) -> None:
        """Have an application answer below `PATH`, if the settings name findings and a file of verdicts."""
        from starlette.responses import RedirectResponse

        if self._settings.findings is not None and self._settings.verdicts is not None:
            app.add_route(PATH, lambda _: RedirectResponse(f"{PATH[1:]}/"), include_in_schema=False)
            app.mount(PATH, self)

    def close(self) -> None:
        """Close all reviews."""
        self._opened.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, sign a browser in, or let it through to its review."""
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if status := refusal(scope["method"], headers, schemes=("http", "https")):
            await answer(send, status, _NOT_HERE)
            return
        key = self._key(headers.get(b"cookie", ""))
        if path == "/sign-in" and scope["method"] == "POST":
            await self._sign_in(scope, receive, send, secure=headers.get(b"origin", "").startswith("https://"))
        elif key is not None:
            await self._through(key, path, scope, receive, send)
        elif path.startswith("/assets/") and path.removeprefix("/assets/") in _OPEN_ASSETS:
            await self._asset(path.removeprefix("/assets/"), scope, receive, send)
        elif path in ("", "/") and scope["method"] == "GET":
            await self._ask(scope, receive, send)
        else:
            await answer(send, 401, "Sign in with your key first: open the review's first page.\n")

    def _key(self, cookies: str) -> Key | None:
        """The key with which this browser signed in, as long as it is known and for reviews."""
        session = self._sessions.get(_hash(cookie_value(cookies, _COOKIE)))
        if session is None or session.until < time.monotonic():
            return None
        known = (key for sha256, key in self._door.keys.known if sha256 == session.key)
        return next((key for key in known if "review" in key.scopes), None)

    async def _ask(self, scope: Scope, receive: Receive, send: Send, *, refused: bool = False) -> None:
        from starlette.responses import HTMLResponse

        page = HTMLResponse(self._page.render(refused=refused), 403 if refused else 401, {"cache-control": "no-store"})
        await page(scope, receive, with_headers(send, **_SIGN_IN))

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send, *, secure: bool) -> None:
        from starlette.requests import Request

        data = b""
        async for chunk in Request(scope, receive).stream():
            data += chunk
            if len(data) > _MOST_FORM:
                await answer(send, 413, "The form is too long.\n")
                return
        given = _field(data, "key")
        key = self._door.keys.find(given)
        if key is None or "review" not in key.scopes:
            await self._ask(scope, receive, send, refused=True)
            return
        cookie = f"{_COOKIE}={self._begin(given)}; HttpOnly; SameSite=Strict; Path=/{'; Secure' if secure else ''}"
        await answer(send, 303, "", ((b"location", b"./"), (b"set-cookie", cookie.encode())))

    def _begin(self, key: str) -> str:
        """Begin a session, and give its secret; the server keeps hashes alone."""
        now = time.monotonic()
        self._sessions = {name: each for name, each in self._sessions.items() if each.until > now}
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        secret = secrets.token_urlsafe(32)
        self._sessions[_hash(secret)] = _Session(_hash(key), now + _SECONDS)
        return secret

    async def _through(self, key: Key, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        scope["lookalike.key"] = key  # for the log
        try:
            app = await self._opened.of(key.name, fresh=path in ("", "/"))
        except LookalikeError as error:
            await text(f"The review can't be opened: {error}\n", 503)(scope, receive, with_headers(send))
            return
        await app(scope, receive, with_headers(send))
        if scope["method"] == "POST":
            await asyncio.to_thread(self._opened.give)

    async def _asset(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import Response

        response = Response(asset(name), media_type=_OPEN_ASSETS[name], headers={"cache-control": "no-cache"})
        await response(scope, receive, with_headers(send))


def _field(data: bytes, name: str) -> str:
    """The value of a form's field, empty if there is none."""
    try:
        return parse_qs(data.decode("latin-1"), max_num_fields=10).get(name, [""])[0].strip()
    except ValueError:
        return ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class _Opened:
    """The reviews that are open, by who judges; one that was replaced stays open until the next one is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verdicts = VerdictCopy(storage_of(settings), settings.verdicts or "")
        self._lock = asyncio.Lock()
        self._apps: dict[str, tuple[object, ASGIApp]] = {}
        self._open: dict[str, list[ExitStack]] = {}

    def give(self) -> None:
        """Have verdicts that lie in object storage uploaded."""
        self._verdicts.give()

    def close(self) -> None:
        for stack in (stack for stacks in self._open.values() for stack in stacks):
            stack.close()

    async def of(self, who: str, *, fresh: bool) -> ASGIApp:
        """The review of a person; with `fresh`, of the table as it is now."""
        seen = self._seen()
        if (app := self._known(who, seen if fresh else None)) is not None:
            return app
        async with self._lock:
            if (app := self._known(who, seen)) is not None:  # another request has opened it meanwhile
                return app
            stack = ExitStack()
            app = await asyncio.to_thread(self._opening, who, stack)
            self._apps[who] = seen, app
            stacks = self._open.setdefault(who, [])
            stacks.append(stack)
            while len(stacks) > 2:
                stacks.pop(0).close()
            return app

    def _known(self, who: str, seen: object) -> ASGIApp | None:
        """The review that is open for a person, of the table that was seen, or with None of any."""
        found = self._apps.get(who)
        return found[1] if found is not None and seen in (None, found[0]) else None

    def _seen(self) -> object:
        try:
            status = (self._settings.findings or Path()).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _opening(self, who: str, stack: ExitStack) -> ASGIApp:
        settings = self._settings
        assert settings.findings is not None, "mounted with findings only"
        policy = settings.policy
        if not self._apps:
            self._verdicts.take()
        reader = replace(settings.reader, access=replace(settings.reader.access, local=True))
        review = open_review(
            settings.findings,
            self._verdicts.path,
            who,
            index=located(settings.index, settings),
            policy=policy if policy is None or is_shipped(policy) else located(policy, settings),
            reader=reader,
        )
        return stack.enter_context(review).application()
