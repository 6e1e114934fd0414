"""One line of JSON for each request, and for whatever else the service has to say."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders

from .problems import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .metrics import Metrics

_log = logging.getLogger(__name__)

_GONE = 499  # what proxies log for a client that went away before it was answered
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class Lines(logging.Formatter):
    """A record as one line of JSON in ASCII, so that no title or address can break out of its line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: time, level, logger, message, further values of the record, and the traceback if there is one."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def log_lines() -> None:
    """Have everything logged to stderr as lines of JSON, warnings included, and in no other way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("lookalike").handlers.clear()
    logging.captureWarnings(True)


class Requests:
    """Gives each request an id, logs and counts it, and answers an error that nobody foresaw with that id alone."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; all but HTTP is dropped."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _ID.fullmatch(given) else secrets.token_hex(8)
        begun, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = name
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            _log.exception("request %s failed in a way that nobody foresaw", name, extra={"request": name})
            if status:  # the answer has begun; the server breaks the connection off
                raise
            what = f"something went wrong here; report it with the request's id {name}"
            await answer(500, "fault", what)(scope, receive, sending)
        finally:
            self._tell(scope, name, status or _GONE, time.perf_counter() - begun)

    def _tell(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.answered(route, status, seconds)
        key = scope.get("lookalike.key")
        told = {"request": name, "method": scope["method"], "path": scope["path"], "route": route, "status": status,
                "milliseconds": round(1000 * seconds, 1), "key": None if key is None else key.name,
                **scope.get("lookalike.told", {})}  # fmt: skip
        _log.info("request", extra=told)
