"""The server below the application, set up for strangers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_HEADERS = 64 * 1024  # bytes of a request's head
_IDLE = 75  # seconds; longer than proxies keep a connection that nobody uses
_ENDING = 30  # seconds that requests get to end when the server is asked to


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, on a free port for 0. Raises LookalikeError for a port that can't be used."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        raise LookalikeError(f"port {port} of {host} can't be used: {error.strerror}; give another --port") from error


def server_of(app: ASGIApp) -> uvicorn.Server:
    """The server, which `run(sockets=…)` starts."""
    return uvicorn.Server(uvicorn.Config(
        app,
        http="h11",  # uvicorn's other parser takes heads of any size
        h11_max_incomplete_event_size=_HEADERS,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_ENDING,
    ))  # fmt: skip
