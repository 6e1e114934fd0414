"""Errors as problems (RFC 9457): one shape for all of them, and nothing of the inside."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 10
_LONGEST = 300


class ProblemBody(BaseModel):
    """What every error answers: the status with its name, what happened, and a short, stable `reason`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str
    errors: list[dict[str, str]] | None = None


class Problem(HTTPException):
    """An error that is answered: `reason` is a short, stable word."""

    def __init__(self, status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.reason = reason


def too_many(reason: str, detail: str, *, after: float) -> Problem:
    """429 with the seconds after which it is worth trying again."""
    return Problem(429, reason, detail, headers={"Retry-After": str(max(1, round(after)))})


def problem_of(error: Problem) -> ProblemBody:
    """The body of a problem."""
    return _body(error.status_code, error.reason, str(error.detail))


def answer(
    status: int,
    reason: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    body = _body(status, reason, detail, errors)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


def _body(status: int, reason: str, detail: str, errors: Sequence[Mapping[str, str]] | None = None) -> ProblemBody:
    given = None if errors is None else [dict(each) for each in errors]
    return ProblemBody(title=HTTPStatus(status).phrase, status=status, detail=detail[:_LONGEST], reason=reason,
                       errors=given)  # fmt: skip


def handle_errors(app: FastAPI) -> None:
    """Have the application answer every error as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LookalikeError, _said)


_REASONS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    reason = error.reason if isinstance(error, Problem) else _REASONS.get(error.status_code, "http_error")
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return answer(error.status_code, reason, str(error.detail), headers=headers)


def _allowed(request: Request) -> str:
    """The methods of all routes of a path: the error knows those of the first one alone."""
    asked = [{**request.scope, "method": method} for method in ("GET", "POST", "PUT", "DELETE")]
    routes = request.app.routes
    return ", ".join(each["method"] for each in asked if any(r.matches(each)[0] is Match.FULL for r in routes))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without repeating what it holds."""
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(map(str, each["loc"]))[:_LONGEST], "what": str(each["msg"])[:_LONGEST]}
             for each in error.errors()[:_MOST_ERRORS]]  # fmt: skip
    first = found[0] if found else {"where": "body", "what": "can't be read"}
    return answer(422, "invalid", f"{first['where']}: {first['what']}", errors=found)


async def _said(_: Request, error: Exception) -> JSONResponse:
    """An error of the library that no route foresaw: the service can't do its work now."""
    assert isinstance(error, LookalikeError)
    body = unavailable(error)
    return answer(body.status, body.reason, body.detail)


def unavailable(error: LookalikeError) -> ProblemBody:
    """A problem for what the service can't do now. Why goes into the log: it may name files of the server."""
    _log.error("could not be done: %s", error)
    return _body(503, "unavailable", "the service can't do this now; its log says why")


def responses(*statuses: int, only: Collection[int] | None = None) -> dict[int | str, dict[str, Any]]:
    """Statuses of problems for a route's documentation: these, and those of every route, or `only` some."""
    shown = {*_EVERYWHERE, *statuses} if only is None else only
    described = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}}
    return {status: {"description": HTTPStatus(status).phrase, **described} for status in sorted(shown)}


_EVERYWHERE = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503)
