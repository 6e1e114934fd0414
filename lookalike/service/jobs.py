"""Jobs: whole tables of listings judged in the background, one after the other, each a folder that outlives a kill."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lookalike.disk import make_folder, read_regular, sync, written
from lookalike.errors import LookalikeError

_RECORD, _FINDINGS = "job.json", "findings.parquet"
_ID = re.compile(r"[0-9a-f]{28}")
_MOST_BYTES = 1 << 20


class JobError(LookalikeError):
    """There is no such job, or no room for another one."""


class JobState(StrEnum):
    """Where a job stands. The first two end by themselves, also if the server is started again; who cancels forgets."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more is done for it."""
        return self not in (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True)
class Job:
    """A table of listings to be judged: `listings` is its path or address, `by` the name of the key that asked.

    Times are in UTC by ISO 8601. `judged` counts listings so far, `deaths` the workers that died at it. Once it is
    done, `verdicts` counts them and `errors` the listings with an error; `index` and `harmless` are the digests of what
    they were compared with. `error` says why it failed.
    """

    id: str
    listings: str
    by: str
    created: str
    state: JobState = JobState.WAITING
    started: str | None = None
    ended: str | None = None
    judged: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    index: str | None = None
    harmless: str | None = None
    error: str | None = None
    deaths: int = 0

    @classmethod
    def asked(cls, listings: str, by: str) -> Job:
        """A new job; ids sort by time, and nobody guesses them."""
        now = datetime.now(UTC)
        return cls(f"{int(now.timestamp() * 1e6):014x}"[-14:] + secrets.token_hex(7), listings, by, time_text(now))


def time_text(time: datetime | None = None) -> str:
    """A time, by default now, in UTC by ISO 8601."""
    return (time or datetime.now(UTC)).isoformat(timespec="milliseconds")


class JobStore:
    """The jobs in a folder. A change is on disk when the call returns. Several threads may use it.

    Raises JobError for a record that can't be read.
    """

    def __init__(self, folder: Path, *, most_open: int = 100, most_ended: int = 1000) -> None:
        self._folder, self._most_open, self._most_ended = folder, most_open, most_ended
        self._lock = threading.RLock()
        make_folder(folder)
        self._jobs = {job.id: job for job in self._read()}

    def _read(self) -> Iterator[Job]:
        for folder in sorted(self._folder.iterdir()):
            path = folder / _RECORD
            if not _ID.fullmatch(folder.name):
                continue
            if not path.is_file():  # killed before anybody was told of it, or while it was removed
                shutil.rmtree(folder)
                continue
            try:
                values = json.loads(read_regular(path, most=_MOST_BYTES))
                yield Job(**{**values, "state": JobState(values["state"])})
            except (OSError, ValueError, TypeError, LookupError) as error:
                raise JobError(f"{path} can't be read ({error}); remove the folder {folder} to go on") from error

    def folder(self, name: str) -> Path:
        """The folder of a job."""
        return self._folder / name

    def findings(self, name: str) -> Path:
        """Where a job's findings table is once it is done."""
        return self._folder / name / _FINDINGS

    def get(self, name: str) -> Job | None:
        """A job, None if there is none of that id."""
        with self._lock:
            return self._jobs.get(name)

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.id, reverse=True)

    def add(self, job: Job) -> Job:
        """Keep a new job. Raises JobError while too many others wait."""
        with self._lock:
            if sum(not each.state.ended for each in self._jobs.values()) >= self._most_open:
                raise JobError(f"{self._most_open} jobs wait already; try again when some are done")
            make_folder(self.folder(job.id))
            sync(self._folder)
            self._write(job)
            for old in [each for each in self.all() if each.state.ended][self._most_ended :]:
                self.remove(old.id)
            return job

    def change(self, name: str, **values: Any) -> Job:
        """A job with other values, which are on disk."""
        with self._lock:
            return self._write(replace(self._jobs[name], **values))

    def judged(self, name: str, count: int) -> None:
        """Take note of how many listings are judged; nobody needs that after the next start."""
        with self._lock:
            if name in self._jobs:
                self._jobs[name] = replace(self._jobs[name], judged=count)

    def remove(self, name: str) -> bool:
        """Forget a job with its findings; whether there was one."""
        with self._lock:
            known = self._jobs.pop(name, None) is not None
            (self.folder(name) / _RECORD).unlink(missing_ok=True)
            shutil.rmtree(self.folder(name), ignore_errors=True)  # a worker that is just ending may still write
            return known

    def next(self) -> Job | None:
        """The oldest job that has not ended."""
        with self._lock:
            return min(
                (job for job in self._jobs.values() if not job.state.ended), key=lambda job: job.id, default=None
            )

    def _write(self, job: Job) -> Job:
        with written(self.folder(job.id) / _RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(job), ensure_ascii=False), encoding="utf-8")
        self._jobs[job.id] = job
        return job
