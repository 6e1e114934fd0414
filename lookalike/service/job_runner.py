"""Runs the jobs of a store, one at a time, each in a worker process; those that were interrupted go on."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lookalike.errors import LookalikeError

from .job_worker import Task, work
from .jobs import Job, JobState, JobStore, time_text
from .processes import end

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_MOST_DEATHS = 3
_LOOKED_AGAIN = 0.2  # seconds until a worker that says nothing is looked at again
_TO_END = 5.0  # seconds that a worker gets to end by itself
_AGAIN = 10.0  # seconds after an error until jobs are tried again

_log = logging.getLogger("lookalike.service")


class JobRunner:
    """Runs the jobs of `store` from `start` to `close`; what runs then goes on after the next start.

    `task_of` says what a job's worker needs, and `work` is what it does. A job at which three workers die has failed.
    """

    def __init__(
        self,
        store: JobStore,
        task_of: Callable[[Job], Task],
        *,
        work: Callable[[Task, Connection], None] = work,
    ) -> None:
        self.store, self._task_of, self._work = store, task_of, work
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lookalike-jobs", daemon=True)

    def start(self) -> None:
        """Begin to run jobs."""
        self._thread.start()

    def close(self) -> None:
        """End the worker, and return once it has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def submit(self, listings: str, by: str) -> Job:
        """Have a table of listings judged. Raises JobError as `JobStore.add`."""
        with self._changed:
            job = self.store.add(Job.asked(listings, by))
            self._changed.notify_all()
            return job

    def remove(self, name: str) -> bool:
        """Forget a job with its findings, and whether there was one; if it runs, its worker ends within a second."""
        with self._changed:
            return self.store.remove(name)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._next()
            except Exception:  # noqa: BLE001
                _log.exception("jobs wait, because of an unexpected error")  # such as a full disk
                with self._changed:
                    self._changed.wait(_AGAIN)

    def _next(self) -> None:
        """Wait for a job, and do it."""
        with self._changed:
            while (job := self.store.next()) is None and not self._closing:
                self._changed.wait()
            if self._closing or job is None:
                return
            job = self.store.change(job.id, state=JobState.RUNNING, started=job.started or time_text())
        try:
            self._do(job)
        except LookalikeError as error:
            self._end(job.id, JobState.FAILED, error=str(error))

    def _do(self, job: Job) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would take the locks of other threads along
        reading, writing = spawn.Pipe(duplex=False)
        worker = spawn.Process(target=self._work, args=(self._task_of(job), writing), name=f"job {job.id}", daemon=True)
        with reading:
            worker.start()
            writing.close()
            try:
                self._listen(job.id, worker, reading)
            finally:
                end(worker)
        if self.store.get(job.id) is None:
            self.store.remove(job.id)  # what the worker wrote after that

    def _listen(self, name: str, worker: SpawnProcess, reading: Connection) -> None:
        """Take note of what a worker says until it has said all, dies, or is no longer wanted."""
        while self._wanted(name):
            if not reading.poll(_LOOKED_AGAIN):
                continue
            try:
                said: dict[str, Any] = json.loads(reading.recv_bytes())
            except (EOFError, OSError):
                self._died(name, worker)
                return
            if "done" in said:
                self._end(name, JobState.DONE, **said["done"])
                return
            if "failed" in said:
                self._end(name, JobState.FAILED, error=said["failed"])
                return
            if "index" in said:
                self._note(name, **said)
            else:
                self.store.judged(name, said["judged"])

    def _wanted(self, name: str) -> bool:
        with self._changed:
            job = self.store.get(name)
            return not self._closing and job is not None

    def _died(self, name: str, worker: SpawnProcess) -> None:
        worker.join(_TO_END)
        _log.warning("the worker of job %s died with the exit status %s", name, worker.exitcode)
        job = self.store.get(name)
        deaths = job.deaths + 1 if job is not None else 0
        self._note(name, deaths=deaths)
        if deaths >= _MOST_DEATHS:
            what = f"{deaths} workers died at it, the last with the exit status {worker.exitcode}"
            self._end(name, JobState.FAILED, error=f"{what}; memory may be short, or one listing the cause")

    def _end(self, name: str, state: JobState, **values: Any) -> None:
        self._note(name, state=state, ended=time_text(), **values)

    def _note(self, name: str, **values: Any) -> None:
        """Have a job say this, unless it was removed meanwhile."""
        with self._changed:
            if self.store.get(name) is not None:
                self.store.change(name, **values)
