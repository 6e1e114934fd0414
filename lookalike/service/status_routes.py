"""Whether the service lives and is ready, and what it answers with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from .problems import responses
from .services import Services, services

router = APIRouter(tags=["status"])


class Health(BaseModel):
    """A sign of life."""

    status: str = "ok"


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", operation_id="readyz", responses=responses(503))
async def readyz(with_: Annotated[Services, Depends(services)]) -> Health:
    """The index is open, and a self-check has passed."""
    with_.holder.borrow()
    return Health()
