"""Answers to requests: JSON, pages and lines of text, none of which a browser keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lookalike.errors import HistoryError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST_BODY = 1 << 16
_NOT_STORED = {"cache-control": "no-store"}

Values = Mapping[str, Any]
Change = Callable[[Values], Mapping[str, Any]]


async def done(change: Change, request: Request) -> Response:
    """Do what a request asks for; its body is a JSON object, and so is the answer."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BODY:
            return text("The request is too long; shorten the note.\n", 413)
    try:
        values = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return text("The request is not JSON.\n", 400)
    if request.headers.get("content-type") != "application/json" or not isinstance(values, dict):
        return text("The request is not a JSON object.\n", 400)
    return answer(await asyncio.to_thread(change, values))


def answer(values: Mapping[str, Any]) -> Response:
    """Values as JSON."""
    from starlette.responses import Response

    return Response(json.dumps(values), media_type="application/json", headers=_NOT_STORED)


def page(html: str) -> Response:
    """A page, or a part of one."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(html, headers=_NOT_STORED)


def text(line: str, status: int) -> Response:
    """A line of text."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(line, status)


def jpeg(data: bytes | None) -> Response:
    """A picture, which a browser keeps for some minutes; None if there is none."""
    from starlette.responses import Response

    if data is None:
        return text("There is no such picture.\n", 404)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


async def said_to_user(_: Request, error: Exception) -> Response:
    """An error of this library as a line of text."""
    return text(f"{error}\n", 409 if isinstance(error, HistoryError) else 400)
