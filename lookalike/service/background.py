"""What is open beside the checks while the service runs: findings, photos, jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fastapi import Request

from lookalike.disk import held
from lookalike.errors import LookalikeError
from lookalike.model.sources import is_remote
from lookalike.policy.shipped import is_shipped
from lookalike.scanning.cluster import Cluster
from lookalike.scanning.tables import DetectorSettings

from .evidence import EvidencePictures
from .findings import FindingStore, KeptPhotos
from .job_runner import JobRunner
from .job_worker import Task
from .jobs import Job, JobStore
from .serving import storage_of

if TYPE_CHECKING:
    from lookalike.model.access import Access

    from .settings import Settings


@dataclass(frozen=True)
class Background:
    """What routes share besides the checks, kept in `app.state.background` while the service runs."""

    settings: Settings
    findings: FindingStore
    photos: KeptPhotos
    pictures: EvidencePictures
    jobs: JobRunner

    def access_of(self, job: Job) -> Access:
        """What may be read for a job's photos: a table of this machine may name files beside it, one from afar none."""
        return _access_of(self.settings, job)


def background(request: Request) -> Background:
    """What is open, for a route to depend on."""
    return cast(Background, request.app.state.background)


@contextmanager
def opened(settings: Settings) -> Iterator[Background]:
    """Open what is kept in the state folder, and run the jobs that wait there.

    Raises LookalikeError while another server uses the folder.
    """
    with _held(settings), ExitStack() as stack:
        most, days = settings.keep_findings, settings.keep_days
        findings = stack.enter_context(closing(FindingStore(settings.state / "findings.sqlite", most=most, days=days)))
        photos = KeptPhotos(settings.state / "photos", most_bytes=settings.keep_photos_bytes)
        pictures = stack.enter_context(closing(EvidencePictures(settings, photos)))
        store = JobStore(settings.state / "jobs")

        def task_of(job: Job) -> Task:
            return _task(settings, job, store.findings(job.id))

        runner = stack.enter_context(closing(JobRunner(store, task_of)))
        runner.start()
        yield Background(settings, findings, photos, pictures, runner)


def require_free(settings: Settings) -> None:
    """Raise LookalikeError while another server uses the state folder."""
    with _held(settings):
        pass


def _held(settings: Settings) -> AbstractContextManager[None]:
    busy = LookalikeError(f"another server keeps its state in {settings.state}; give each server another --state")
    return held(settings.state, busy)


def table_under(folders: Iterable[Path], given: str) -> Path | None:
    """The file that a path names, below one of the folders, links followed; None if there is none."""
    for folder in folders:
        try:
            top = folder.resolve()
            path = (top / given).resolve()
            if path.is_relative_to(top) and path.is_file():
                return path
        except (OSError, ValueError):  # no path, or one that this system can't have
            continue
    return None


def _task(settings: Settings, job: Job, out: Path) -> Task:
    policy, copies = settings.policy, storage_of(settings)
    remote = is_remote(job.listings)
    table = job.listings if remote else table_under(settings.tables_under, job.listings)
    if table is None:
        raise LookalikeError(f"there is no table {job.listings} any more")
    opening = DetectorSettings(
        copies.path_of(settings.index),
        policy=None if policy is None else Path(policy) if is_shipped(policy) else copies.path_of(policy),
        model=settings.model,
        weights=settings.weights,
        device=settings.device,
        reader=replace(settings.reader, access=_access_of(settings, job)),
        rights=settings.rights,
        sellers=settings.sellers,
        regions=settings.regions,
    )
    cluster = None if settings.ray is None else Cluster(None if settings.ray == "local" else settings.ray)
    return Task(str(table), out, opening, cluster, settings.reader.access if remote else None)


def _access_of(settings: Settings, job: Job) -> Access:
    local = not is_remote(job.listings)
    return replace(settings.reader.access, local=local, roots=settings.tables_under if local else None)
