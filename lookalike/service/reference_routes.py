"""PUT, GET and DELETE of references and of harmless photos, and whole tables of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from lookalike.errors import TableError
from lookalike.records import Reference, photo_name

from .answers import photo_of
from .problems import Problem, responses
from .schemas import Given, Id, Photo
from .services import Services, Shared, require, services, tell

_TABLES = {"text/csv": ".csv", "application/jsonl": ".jsonl", "application/x-ndjson": ".jsonl",
           "application/vnd.apache.parquet": ".parquet"}  # fmt: skip
_MOST_FAILED = 100
_Name = Annotated[str, Path(min_length=1, max_length=500, pattern=r"^[^\n]+$")]  # no route has another

_CREATED: dict[int | str, dict[str, Any]] = {201: {"description": "Added"}}
_TABLE_BODY = {
    "required": True,
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _TABLES},
}
_Result = TypeVar("_Result")

router = APIRouter(prefix="/v1", tags=["references"], dependencies=[Depends(require("admin"))])


class HarmlessIn(Given):
    """A photo that resembles genuine ones and yet is harmless."""

    photo: Photo


class ReferenceIn(HarmlessIn):
    """A genuine photo, and whose product it shows."""

    product: Id
    brand: Id


class ReferenceOut(BaseModel):
    """A reference as the index has it. A harmless photo is a product of its own, without a brand."""

    id: str
    product: str
    brand: str
    image: str
    sha256: str
    index: str


class Failed(BaseModel):
    """A row that could not be used."""

    row: str
    error: str


class Imported(BaseModel):
    """What an import did. `failed` has the first rows that could not be used, `failures` counts all."""

    references: int
    embedded: int
    reused: int
    failures: int
    failed: Annotated[list[Failed], Field(max_length=_MOST_FAILED)]
    index: str


async def _put(reference: Reference, request: Request, response: Response, *, harmless: bool) -> ReferenceOut:
    shared = services(request)
    new = await _known(shared, reference.id, harmless=harmless) is None
    await _in_turn(shared, lambda: shared.changes.put(reference, harmless=harmless), "photo")
    response.status_code = 201 if new else 200
    tell(request, reference=reference.id)
    return await _shown(shared, reference.id, harmless=harmless)


@router.put("/references/{id:path}", operation_id="put_reference", responses=responses(404, 409) | _CREATED)
async def put_reference(id: _Name, given: ReferenceIn, request: Request, response: Response) -> ReferenceOut:
    """Add a genuine photo, or replace the one with that id; from then on listings are compared with it."""
    reference = Reference(id, given.product, given.brand, photo_of(given.photo, "photo"))
    return await _put(reference, request, response, harmless=False)


@router.put("/harmless/{id:path}", operation_id="put_harmless", responses=responses(404, 409) | _CREATED)
async def put_harmless(id: _Name, given: HarmlessIn, request: Request, response: Response) -> ReferenceOut:
    """Add a harmless photo, or replace the one with that id."""
    return await _put(Reference(id, id, "", photo_of(given.photo, "photo")), request, response, harmless=True)


def _routes(name: str, *, harmless: bool) -> None:
    """The routes that are the same for references and for harmless photos."""
    one = "harmless photo" if harmless else "reference"

    @router.get(f"/{name}/{{id:path}}", operation_id=f"get_{name}", responses=responses(404), summary=f"A {one}")
    async def get(id: _Name, shared: Shared) -> ReferenceOut:
        return await _shown(shared, id, harmless=harmless)

    @router.delete(f"/{name}/{{id:path}}", operation_id=f"delete_{name}", responses=responses(404, 409),
                   status_code=204, summary=f"Remove a {one}")  # fmt: skip
    async def delete(id: _Name, shared: Shared, request: Request) -> None:
        if not await _in_turn(shared, lambda: shared.changes.remove(id, harmless=harmless), "table"):
            raise _missing(id)
        tell(request, reference=id)

    @router.post(f"/{name}:import", operation_id=f"import_{name}", responses=responses(409),
                 openapi_extra={"requestBody": _TABLE_BODY},
                 summary=f"Add a table of {one}s, with the addresses of their photos")  # fmt: skip
    async def take(shared: Shared, request: Request) -> Imported:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _TABLES:
            raise Problem(415, "media_type", f"the table is {kind[:60] or 'of no type'}; send {', '.join(_TABLES)}")
        body = await request.body()
        done = await _in_turn(shared, lambda: shared.changes.take(body, _TABLES[kind], harmless=harmless), "table")
        tell(request, references=done.embedded + done.reused, failures=len(done.failed))
        return Imported(references=done.references, embedded=done.embedded, reused=done.reused,
                        failures=len(done.failed), index=shared.changes.digest(harmless=harmless),
                        failed=[Failed(row=each.row, error=each.error) for each in done.failed[:_MOST_FAILED]],
                        )  # fmt: skip


_routes("references", harmless=False)
_routes("harmless", harmless=True)


async def _in_turn(shared: Services, work: Callable[[], _Result], reason: str) -> _Result:
    """Do the work once the changes before it are done. Raises a Problem, 422, for what can't be added."""
    try:
        return await asyncio.wrap_future(shared.changes.thread.submit(work))
    except TableError as error:
        raise Problem(422, reason, str(error)) from error


async def _known(shared: Services, name: str, *, harmless: bool) -> tuple[Reference, str] | None:
    """What `Changes.known` gives; in a thread, since the first look into a large index takes a while."""
    return await asyncio.to_thread(shared.changes.known, name, harmless=harmless)


async def _shown(shared: Services, name: str, *, harmless: bool) -> ReferenceOut:
    """What is open of it. Raises a Problem, 404, if there is none."""
    known = await _known(shared, name, harmless=harmless)
    if known is None:
        raise _missing(name)
    reference, sha256 = known
    return ReferenceOut(id=reference.id, product=reference.product, brand=reference.brand, sha256=sha256,
                        image=photo_name(reference.image), index=shared.changes.digest(harmless=harmless))  # fmt: skip


def _missing(name: str) -> Problem:
    return Problem(404, "not_found", f"there is no {name[:60]}")
