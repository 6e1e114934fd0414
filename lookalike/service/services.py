"""What every route works with, and whom it lets in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .problems import Problem

if TYPE_CHECKING:
    from .changes import Changes
    from .checking import Checks
    from .gate import Door
    from .keys import Key
    from .metrics import Metrics
    from .serving import Holder
    from .settings import Settings

_bearer = HTTPBearer(auto_error=False, description="A key made with: lookalike serve keys add")


@dataclass(frozen=True)
class Services:
    """Everything that routes share, kept in `app.state.services`."""

    settings: Settings
    holder: Holder
    checks: Checks
    changes: Changes
    metrics: Metrics
    door: Door


def services(request: Request) -> Services:
    """The services of the application."""
    return cast("Services", request.app.state.services)


async def _services(request: Request) -> Services:
    return services(request)  # FastAPI calls what isn't async in another thread


Shared = Annotated[Services, Depends(_services)]
"""A route's parameter of this type gets them."""


def require(*scopes: str) -> Callable[..., Awaitable[None]]:
    """A dependency that lets through keys with one of these scopes, without any all keys; others get 403."""

    async def known(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        key = key_of(request)
        if scopes and not key.scopes & set(scopes):
            raise Problem(403, "scope", f"the key {key.name} lacks the scope {' or '.join(scopes)}; use another key")

    return known


def key_of(request: Request) -> Key:
    """Whose key the request came with; the gate lets none through without."""
    return cast("Key", request.scope["lookalike.key"])


async def queued(shared: Shared) -> AsyncIterator[None]:
    """A dependency that holds a place in the queue until the request is answered."""
    with shared.checks.place():
        yield


def tell(request: Request, **values: object) -> None:
    """Put these values into the request's line of the log."""
    request.scope.setdefault("lookalike.told", {}).update(values)
