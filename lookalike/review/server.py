"""Serves the review on this machine alone: on 127.0.0.1, to whoever has the address with its one-time token."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError

from .guard import Guard

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """A server that is ready to run, and the address that opens it once."""

    server: uvicorn.Server
    address: str
    _socket: socket.socket

    def run(self) -> None:
        """Serve until the process is interrupted, or `server.should_exit` is set."""
        self.server.run(sockets=[self._socket])


@contextmanager
def listening(app: ASGIApp, *, port: int = 0) -> Iterator[Listening]:
    """Listen for the application, guarded. With port 0, a free one is taken.

    Raises LookalikeError for a port that is taken.
    """
    import uvicorn

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, port))
            opened.listen()
        except OSError as error:
            raise LookalikeError(
                f"port {port} of {HOST} can't be used: {error.strerror}; give another --port"
            ) from error
        port = opened.getsockname()[1]
        token = secrets.token_urlsafe(24)
        guarded = Guard(app, token=token, hosts=(f"{HOST}:{port}",), cookie=f"lookalike-review-{port}")
        settings = uvicorn.Config(
            guarded, log_level="error", access_log=False, server_header=False, proxy_headers=False, ws="none",
            lifespan="off", timeout_graceful_shutdown=2, http="h11",  # the same whatever else is installed
        )  # fmt: skip
        yield Listening(uvicorn.Server(settings), f"http://{HOST}:{port}/?token={token}", opened)


def serve(app: ASGIApp, *, port: int = 0, opened: Callable[[str], None]) -> None:
    """Serve the application until it is interrupted; `opened` is called with the address to open."""
    with listening(app, port=port) as ready:
        opened(ready.address)
        with suppress(KeyboardInterrupt):  # how a person ends it
            ready.run()
