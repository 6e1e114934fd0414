"""The service as an application: the one way in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

import lookalike
from lookalike.errors import LookalikeError

from . import check_routes, finding_routes, job_routes, reference_routes, status_routes
from .background import opened
from .bodies import Bodies, Room
from .changes import Changes
from .checking import Checks
from .gate import Door, Gate
from .log import Requests
from .metrics import Metrics
from .problems import handle_errors
from .review_mount import ReviewMount
from .services import Services
from .serving import Holder

if TYPE_CHECKING:
    from lookalike.model.encoder import Encoder

    from .settings import Settings


def create_app(settings: Settings, *, encoder: Encoder | None = None) -> FastAPI:
    """The application. It opens index and policy when it starts, unless `app.state.services.holder` was opened before.

    `encoder` computes in place of the index's own. Raises LookalikeError for a file of keys that can't be read.
    """
    door, metrics, room = (
        Door(settings.keys, per_minute=settings.rate_per_minute),
        Metrics(),
        Room(settings.memory_bytes),
    )
    holder, checks = Holder(settings, encoder=encoder), Checks(settings, room=room, metrics=metrics)
    metrics.watch(holder, lambda: checks.waiting)
    app = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        lifespan=_running,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(settings, holder, checks, Changes(settings, holder), metrics, door)
    app.state.failed = None
    handle_errors(app)
    app.state.reviews = ReviewMount(settings, door)
    app.state.reviews.mount(app)
    for routes in (check_routes, reference_routes, job_routes, finding_routes, status_routes):
        app.include_router(routes.router)
    # the last is the first that sees a request
    app.add_middleware(Bodies, most=settings.body_bytes, seconds=settings.body_seconds, room=room)
    app.add_middleware(Gate, door=door)
    app.add_middleware(Requests, metrics=metrics)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Open what there is, and watch it while the application runs. What fails at the start is kept in `app.state`."""
    shared: Services = app.state.services
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, shared.checks.close)
        stack.push_async_callback(asyncio.to_thread, shared.changes.close)
        try:
            if shared.holder.current is None:
                await asyncio.to_thread(shared.holder.open)
            if shared.holder.borrow().policy.compared.references:
                await asyncio.to_thread(shared.checks.comparing.start)
            stack.enter_context(closing(app.state.reviews))
            app.state.background = stack.enter_context(opened(shared.settings))
            await asyncio.to_thread(shared.changes.tidy)  # now that no other server uses the folder
        except LookalikeError as error:
            app.state.failed = error
            raise
        shared.checks.kept.append(partial(finding_routes.keep, app.state.background))
        stack.push_async_callback(asyncio.to_thread, _watched(shared))
        yield


def _watched(shared: Services) -> Callable[[], None]:
    """Look for changes of what is open and of the keys from now on; calling what this gives ends that."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(shared.settings.reload_seconds):
            shared.holder.refresh()
            shared.door.refresh()

    watcher = threading.Thread(target=watch, name="lookalike-watch", daemon=True)
    watcher.start()

    def end() -> None:
        stop.set()
        watcher.join()

    return end
