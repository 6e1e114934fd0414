"""The service as an application: the one way in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

import lookalike

from . import check_routes, finding_routes, job_routes, status_routes
from .background import opened
from .checking import Checks
from .gate import Door, Gate
from .problems import handle_errors
from .review_mount import PATH, ReviewMount
from .services import Services
from .serving import Holder, watch

if TYPE_CHECKING:
    from lookalike.model.encoder import Encoder

    from .settings import Settings


def create_app(settings: Settings, *, encoder: Encoder | None = None) -> FastAPI:
    """The application. It opens index and policy when it starts; `encoder` computes in place of the index's own.

    Raises LookalikeError for a file of keys that can't be read.
    """
    door = Door(settings.keys, per_minute=settings.rate_per_minute)
    holder = Holder(settings, encoder=encoder)
    shared = Services(settings, holder, Checks(settings))

    reviews = ReviewMount(settings, door) if settings.findings and settings.verdicts else None

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        await asyncio.to_thread(holder.open)
        watcher = threading.Thread(
            target=watch, args=(holder,), kwargs={"seconds": settings.reload_seconds, "stop": stop, "each": door.refresh},
            name="lookalike-watch", daemon=True,
        )  # fmt: skip
        watcher.start()
        try:
            with opened(settings) as kept:
                app.state.background = kept
                shared.checks.kept.append(partial(finding_routes.keep, kept))
                yield
        finally:
            stop.set()
            await asyncio.to_thread(watcher.join)
            await asyncio.to_thread(shared.checks.close)
            if reviews is not None:
                reviews.close()

    app = FastAPI(title="lookalike", version=lookalike.__version__, lifespan=running, docs_url=None, redoc_url=None)
    app.state.services = shared
    handle_errors(app)
    app.include_router(check_routes.router)
    app.include_router(status_routes.router)
    app.include_router(finding_routes.router)
    app.include_router(job_routes.router)
    if reviews is not None:
        app.mount(PATH, reviews)
    app.add_middleware(Gate, door=door)
    return app
