"""GET /v1/findings/ID: what a check or a job found, and the picture that shows why."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from starlette.responses import Response

from lookalike.disk import open_regular
from lookalike.tables.candidates import deciding_match, matches_of
from lookalike.tables.findings import finding_row, typed_row

from .answers import finding_out, match_out
from .background import Background, background
from .checking import Checked
from .findings import Pair
from .problems import Problem, responses
from .schemas import FindingOut, PhotoOut, VersionsOut
from .services import require

if TYPE_CHECKING:
    from .jobs import Job

_log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/findings", tags=["findings"], dependencies=[Depends(require("check", "review"))])

_OF_JOB = re.compile(r"([0-9a-f]{28})-([0-9]{1,9})")
_NOT_CACHED = {"cache-control": "private, no-store"}
_FindingId = Annotated[str, InPath(min_length=1, max_length=60, description="As an answer or a job names it.")]
_Background = Annotated[Background, Depends(background)]


@router.get("/{finding}", operation_id="finding", response_model=FindingOut, responses=responses(404))
async def finding(finding: _FindingId, kept: _Background) -> Response:
    """What was answered, or what a job found: JOB-0 is its first listing, JOB-1 the next one."""
    stored = kept.findings.get(finding)
    if stored is not None:
        return Response(stored[0], media_type="application/json", headers=_NOT_CACHED)
    job, row = _of_job(finding, kept)
    return Response(row_out(finding, row, job).model_dump_json(), media_type="application/json", headers=_NOT_CACHED)


@router.get(
    "/{finding}/evidence.png",
    operation_id="evidence",
    response_class=Response,
    responses={**responses(404), 200: {"content": {"image/png": {}}, "description": "The pair picture"}},
)
async def evidence(finding: _FindingId, kept: _Background) -> Response:
    """The listing's photo beside the genuine one: the points that match, and what differs."""
    stored = kept.findings.get(finding)
    if stored is not None:
        pair, access = stored[1], kept.settings.reader.access
    else:
        job, row = _of_job(finding, kept)
        pair, access = Pair.of(row), kept.access_of(job)
    if pair is None:
        raise Problem(404, "no_match", "the listing resembles no genuine photo, so there is nothing to show")
    data = await kept.pictures.png(finding, pair, access)
    return Response(data, media_type="image/png", headers=_NOT_CACHED)


def keep(kept: Background, checked: Checked) -> None:
    """Keep what was found, so that it can be asked for, and the photo that decided if somebody may act on it.

    What can't be kept is logged: the answer is right without it.
    """
    found, row = checked.finding, finding_row(checked.finding)
    pair = Pair.of(row) if found.matches else None
    if pair is not None and found.verdict != "clear" and pair.sha256 in checked.data:
        try:
            kept.photos.put(pair.sha256, checked.data[pair.sha256])
        except OSError as error:
            _log.error("the photo of finding %s could not be kept: %s", checked.id, error)
    try:
        kept.findings.put(checked.id, finding_out(checked).model_dump_json(), pair)
    except sqlite3.Error as error:  # such as a full disk
        _log.error("finding %s is answered and could not be kept: %s", checked.id, error)


def _of_job(name: str, kept: Background) -> tuple[Job, Mapping[str, Any]]:
    """The job and the row of a finding. Raises a Problem, 404, if there is none."""
    known = _OF_JOB.fullmatch(name)
    job = kept.jobs.store.get(known[1]) if known else None
    row = None if known is None or job is None else row_at(kept.jobs.store.findings(job.id), int(known[2]))
    if job is None or row is None:
        raise Problem(404, "no_finding", "there is no such finding, or not any more")
    return job, row


def row_at(path: Path, place: int) -> Mapping[str, Any] | None:
    """The row at that place of a findings table (.parquet), counted from 0; None if there is none, or no table yet."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    with open_regular(path) as file, pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            if place < count:
                return typed_row(parquet.read_row_group(group).slice(place, 1).to_pylist()[0])
            place -= count
    return None


def _tables(basis: str | None) -> dict[str, str] | None:
    """The tables of rights that a finding rests on."""
    said = {} if basis is None else json.loads(basis)
    return {name: said[name] for name in said if name not in ("day", "claims")} or None


def row_out(name: str, row: Mapping[str, Any], job: Job) -> FindingOut:
    """A row of a job's findings as an answer; of its photos, only the one that decided is known."""
    matches = matches_of(row)
    decided = deciding_match(matches, row["brand"], row["product_id"])
    photo = PhotoOut(name=row["image"] or "", sha256=row["image_sha256"], reason=None, error=None, hint=None)
    return FindingOut.model_validate({
        "finding": name,
        "listing": row["listing_id"],
        "verdict": row["verdict"],
        "kind": row["kind"],
        "match": None if decided is None else match_out(decided),
        "candidates": list(map(match_out, matches)),
        "photos": [photo] if row["image"] else [],
        "error": row["error"],
        "hint": row["hint"],
        "rights": None if row["rights"] is None else json.loads(row["rights"]),
        "scanned_at": row["scanned_at"],
        "versions": VersionsOut(index=job.index or "", harmless=job.harmless, policy=row["policy"],
                                encoder=row["encoder"], rights=_tables(row["rights_basis"])),
        "milliseconds": {},
    })  # fmt: skip
