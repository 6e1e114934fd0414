"""/v1/jobs: a whole table of listings, judged in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from lookalike.model.sources import is_remote

from .background import Background, background, table_under
from .jobs import Job, JobError, JobState
from .problems import Problem, responses, too_many
from .services import key_of, require, tell

if TYPE_CHECKING:
    from .settings import Settings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(require("check"))])

_ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".xlsx")
_MOST_LISTED = 1000
_Background = Annotated[Background, Depends(background)]
_JobId = Annotated[str, InPath(min_length=1, max_length=60)]
_LINKS = {
    name: {"operationId": name, "parameters": {"job": "$response.body#/id"}}
    for name in ("job", "end_job", "job_findings")
}


class JobIn(BaseModel):
    """A table to judge: a path below one of the folders tables_under, or an address with an allowed scheme."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listings: Annotated[str, Field(min_length=1, max_length=2000, examples=["2026-11-28.csv"])]


class JobOut(BaseModel):
    """Where a job stands. `judged` counts its listings so far; the rest is known once it is done, or has failed."""

    id: str
    state: JobState
    listings: str
    by: str
    created: str
    started: str | None
    ended: str | None
    judged: int
    verdicts: Mapping[str, int]
    errors: int
    error: str | None


@router.post(
    "", operation_id="add_job", status_code=202, responses={**responses(), 202: {"links": _LINKS, "model": JobOut}}
)
async def add_job(given: JobIn, kept: _Background, request: Request, response: Response) -> JobOut:
    """Have a table of listings judged; the answer's Location says how it goes."""
    _require_table(given.listings, kept.settings)
    try:
        job = kept.jobs.submit(given.listings, key_of(request).name)
    except JobError as error:
        raise too_many("jobs", str(error), after=60) from error
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    tell(request, job=job.id)
    return _out(job)


@router.get("", operation_id="jobs", responses=responses())
async def jobs(kept: _Background) -> list[JobOut]:
    """The last jobs, the newest first."""
    return [_out(job) for job in kept.jobs.store.all()[:_MOST_LISTED]]


@router.get("/{job}", operation_id="job", responses=responses(404))
async def job(job: _JobId, kept: _Background) -> JobOut:
    """Where a job stands."""
    return _out(_known(job, kept))


@router.get(
    "/{job}/findings",
    operation_id="job_findings",
    response_class=FileResponse,
    responses={**responses(404, 409),
               200: {"content": {"application/vnd.apache.parquet": {}}, "description": "The findings table"}},
)  # fmt: skip
async def job_findings(job: _JobId, kept: _Background) -> FileResponse:
    """What a job found, as a findings table in Parquet: a row for each listing, in the table's order."""
    known = _known(job, kept)
    if known.state is not JobState.DONE:
        raise Problem(409, "not_done", f"job {known.id} is {known.state}, so it has no findings")
    return FileResponse(kept.jobs.store.findings(known.id), media_type="application/vnd.apache.parquet",
                        filename=f"findings-{known.id}.parquet")  # fmt: skip


@router.delete("/{job}", operation_id="end_job", status_code=204, responses=responses(404))
async def end_job(job: _JobId, kept: _Background) -> None:
    """Cancel a job, or forget one that has ended, with its findings."""
    if not kept.jobs.remove(_known(job, kept).id):
        raise _missing()


def _require_table(given: str, settings: Settings) -> None:
    """Raise a Problem, 422, for a table that may not be read, or isn't there."""
    place = given
    if is_remote(given):
        scheme, _, rest = given.partition(":")
        if scheme.lower() not in settings.schemes or not rest.startswith("//"):
            allowed = ", ".join(sorted(settings.schemes)) or "none"
            raise Problem(422, "scheme", f"tables are not read from such an address; the settings allow: {allowed}")
        place = rest.partition("?")[0].partition("#")[0]
    elif table_under(settings.tables_under, given) is None:
        raise Problem(422, "no_table", "there is no such table below the folders tables_under of the settings; give a "
                      "path below one of them, or an address")  # fmt: skip
    if not place.lower().endswith(_ENDINGS):
        raise Problem(422, "no_table", f"a table ends in one of {', '.join(_ENDINGS)}; name it by its format")


def _known(name: str, kept: Background) -> Job:
    job = kept.jobs.store.get(name)
    if job is None:
        raise _missing()
    return job


def _missing() -> Problem:
    return Problem(404, "no_job", "there is no such job, or not any more")


def _out(job: Job) -> JobOut:
    return JobOut.model_validate(vars(job), extra="ignore")
