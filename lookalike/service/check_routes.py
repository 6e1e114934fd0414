"""POST /v1/check: one listing, as JSON or as a form with files; /v1/check:batch: many, JSON Lines back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from lookalike.errors import LookalikeError
from lookalike.records import Listing
from lookalike.tables.gathering import MOST_PHOTOS

from .answers import finding_out, listing_of, offered
from .problems import Problem, problem_of, responses, unavailable
from .schemas import Batch, BatchLine, FindingOut, ListingIn, Offer
from .services import Services, Shared, queued, require, services, tell
from .serving import Serving

_log = logging.getLogger(__name__)

_TOGETHER = 8  # listings of a batch that are checked at the same time
_MOST_FILES = 1000  # of a form; how many may be photos is said in a clearer way
_SMALL = 1 << 18  # bytes of a body that keeps nobody waiting while it is parsed
_FORM = "multipart/form-data"

router = APIRouter(prefix="/v1", tags=["check"], dependencies=[Depends(require("check")), Depends(queued)])


def _form_schema() -> dict[str, Any]:
    """What a form has: the entries of an offer, and files."""
    offer = Offer.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": MOST_PHOTOS}
    entries = {name: {**each.get("anyOf", [each])[0]} for name, each in offer["properties"].items()}
    return {"type": "object", "required": ["id", "photo"], "additionalProperties": False,
            "properties": {**entries, "photo": files}}  # fmt: skip


_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/ListingIn"}},
        _FORM: {"schema": _form_schema()},
    },
}


@router.post("/check", operation_id="check", responses=responses(), openapi_extra={"requestBody": _BODY})
async def check(request: Request) -> FindingOut:
    """Judge one listing: JSON, or a form with the same entries and its photos as files called `photo`."""
    shared = services(request)
    listing = await _listing(request, shared.settings.photos_per_listing)
    found = finding_out(await shared.checks.check(listing, shared.holder.borrow()))
    tell(request, listing=listing.id, verdict=found.verdict, finding=found.finding)
    return found


async def _listing(request: Request, most: int) -> Listing:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            body = await request.body()
            if len(body) <= _SMALL:
                return _from_json(body, most)
            return await asyncio.to_thread(_from_json, body, most)
        if kind == _FORM:
            return await _from_form(request, most)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None
    raise Problem(415, "media_type", f"the body is {kind[:60] or 'of no type'}; send application/json or {_FORM}")


def _from_json(body: bytes, most: int) -> Listing:
    return listing_of(ListingIn.model_validate_json(body), most=most)


async def _from_form(request: Request, most: int) -> Listing:
    async with request.form(max_files=_MOST_FILES, max_fields=len(Offer.model_fields) + 1) as form:
        files = [value for name, value in form.multi_items() if name == "photo" and isinstance(value, UploadFile)]
        given = Offer.model_validate({
            name: value for name, value in form.multi_items() if not (name == "photo" and isinstance(value, UploadFile))
        })  # fmt: skip
        images: list[str | bytes] = [await each.read() for each in files]
    if not images:
        raise Problem(422, "no_photo", "the form has no file called photo; add one for each photo")
    return offered(given, images, most=most)


@router.post("/check:batch", operation_id="check_batch", responses=responses())
async def check_batch(given: Batch, shared: Shared) -> AsyncIterator[BatchLine]:
    """Judge listings; a line comes back for each, in their order, as soon as it is there."""
    serving, few = shared.holder.borrow(), asyncio.Semaphore(_TOGETHER)

    async def one(listing: ListingIn) -> BatchLine:
        async with few:
            return await _line(listing, shared, serving)

    lines = [asyncio.create_task(one(listing)) for listing in given.listings]
    try:
        for line in lines:
            yield await line
    finally:  # also when the client has gone
        for line in lines:
            line.cancel()


async def _line(given: ListingIn, shared: Services, serving: Serving) -> BatchLine:
    try:
        listing = await asyncio.to_thread(listing_of, given, most=shared.settings.photos_per_listing)
        found = finding_out(await shared.checks.check(listing, serving))
    except Problem as problem:
        return BatchLine(listing=given.id, status=problem.status_code, problem=problem_of(problem))
    except LookalikeError as error:
        return BatchLine(listing=given.id, status=503, problem=unavailable(error))
    except Exception:  # noqa: BLE001  the other listings of the batch keep their answers
        _log.exception("a listing of a batch failed in a way that nobody foresaw")
        fault = problem_of(Problem(500, "fault", "something went wrong here; the log has its traceback"))
        return BatchLine(listing=given.id, status=500, problem=fault)
    return BatchLine(listing=given.id, status=200, finding=found)
