"""Serves the review on this machine alone: on 127.0.0.1, to whoever has the address with its one-time token."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError

from .guard import Guard

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"


def serve(app: ASGIApp, *, port: int = 0, opened: Callable[[str], None]) -> None:
    """Serve the application until it is interrupted. `opened` is called with the address to open.

    With port 0, a free one is taken. Raises LookalikeError for a port that is taken.
    """
    import uvicorn

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise LookalikeError(
                f"port {port} of {HOST} can't be used: {error.strerror}; give another --port"
            ) from error
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        guarded = Guard(app, token=token, hosts=(f"{HOST}:{port}",), cookie=f"lookalike-review-{port}")
        settings = uvicorn.Config(
            guarded,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            ws="none",
            proxy_headers=False,
        )
        server = uvicorn.Server(settings)
        listening.listen()
        opened(f"http://{HOST}:{port}/?token={token}")
        with suppress(KeyboardInterrupt):  # how a person ends it
            server.run(sockets=[listening])
