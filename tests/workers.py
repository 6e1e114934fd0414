"""Jobs that run in tests, and workers that do what no worker should; processes that they start import this module."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lookalike.scanning.tables import DetectorSettings
from lookalike.service.job_runner import JobRunner
from lookalike.service.job_worker import Task, end_with_server
from lookalike.service.jobs import Job, JobStore


@contextmanager
def running(store: JobStore, index: Path, **options: Any) -> Iterator[JobRunner]:
    def task_of(job: Job) -> Task:
        return Task(job.listings, store.findings(job.id), DetectorSettings(index, device="cpu"))

    runner = JobRunner(store, task_of, **options)
    runner.start()
    try:
        yield runner
    finally:
        runner.close()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Return once it is true; the test fails if that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def dies(task: Task, pipe: Connection) -> None:
    with open(task.out.with_name("tried"), "a") as file:
        file.write("x")
    os._exit(9)


def stays(task: Task, pipe: Connection) -> None:
    """Does nothing that its server's death would end."""
    end_with_server()
    task.out.with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)


def waits(task: Task, pipe: Connection) -> None:
    pipe.send_bytes(b'{"judged": 7}')
    task.out.with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)
