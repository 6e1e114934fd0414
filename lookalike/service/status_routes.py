"""Whether the service lives and is ready, what it answers with, and how it is doing."""

from __future__ import annotations

import asyncio
from datetime import date, datetime

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

import lookalike
from lookalike.errors import LookalikeError

from .problems import Problem, responses
from .schemas import VersionsOut
from .services import Shared, require
from .serving import Serving

router = APIRouter(tags=["status"])
_known = [Depends(require())]


class Health(BaseModel):
    """A sign of life."""

    status: str = "ok"


class Info(BaseModel):
    """What the service answers with.

    `policy_expires` is the policy's last day. `reloads` counts how often something else was opened, `failures` how
    often that could not be done; the log says why.
    """

    lookalike: str
    versions: VersionsOut
    opened: datetime
    references: int
    policy_expires: date | None
    tuned_on_this_index: bool | None
    reloads: int
    failures: int


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", operation_id="readyz", responses=responses(only=(503,)))
async def readyz(shared: Shared) -> Health:
    """Index and policy are open, and a self-check has passed."""
    shared.holder.borrow()
    return Health()


@router.get("/metrics", operation_id="metrics", dependencies=_known, response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses()})  # fmt: skip
async def metrics(shared: Shared) -> Response:
    """Counts and times for Prometheus. Any key will do."""
    return Response(shared.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/info", operation_id="info", dependencies=_known, responses=responses())
async def info(shared: Shared) -> Info:
    """Versions and sizes of what is open. Any key will do."""
    return _info(shared, shared.holder.borrow())


@router.post(
    "/v1/admin/reload", operation_id="reload", dependencies=[Depends(require("admin"))], responses=responses(409)
)
async def reload(shared: Shared) -> Info:
    """Open index and policy again now, changed or not. If that fails, what is open stays."""
    try:
        await asyncio.to_thread(shared.holder.refresh, force=True)
    except (LookalikeError, OSError) as error:
        raise Problem(409, "reload", f"what is open stays: {error}") from error
    return _info(shared, shared.holder.borrow())


def _info(shared: Shared, serving: Serving) -> Info:
    index, policy, holder = serving.detector.index, serving.policy, shared.holder
    return Info(
        lookalike=lookalike.__version__,
        versions=VersionsOut(**vars(serving.versions)),
        opened=serving.opened,
        references=len(index),
        policy_expires=policy.expires,
        tuned_on_this_index=None if policy.index_digest is None else policy.index_digest == index.digest,
        reloads=holder.reloads,
        failures=holder.failures,
    )
