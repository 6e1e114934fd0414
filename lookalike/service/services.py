"""What every route works with, and whom it lets in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .checking import Checks
from .keys import Key
from .problems import Problem
from .serving import Holder
from .settings import Settings

bearer = HTTPBearer(auto_error=False, description="A key of `lookalike serve keys add`.")


@dataclass(frozen=True)
class Services:
    """Everything that routes share, kept in `app.state.services`."""

    settings: Settings
    holder: Holder
    checks: Checks


def services(request: Request) -> Services:
    """The services of the application, for a route to depend on."""
    return cast(Services, request.app.state.services)


def require(*scopes: str) -> Callable[..., Key]:
    """A dependency that lets through keys with one of these scopes, without any all keys; others get 403."""

    def known(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Key:
        key = cast(Key, request.scope["lookalike.key"])
        if scopes and not key.scopes & set(scopes):
            raise Problem(403, "scope", f"the key {key.name} lacks the scope {' or '.join(scopes)}; use another key")
        return key

    return known
