"""Jobs that run in tests, and workers that do what no worker should; processes that they start import this module."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lookalike.scanning.tables import DetectorSettings
from lookalike.service.job_runner import JobRunner
from lookalike.service.job_worker import Task
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


def dies(task: Task, pipe: Connection) -> None:
    with open(task.out.with_name("tried"), "a") as file:
        file.write("x")
    os._exit(9)


def waits(task: Task, pipe: Connection) -> None:
    pipe.send_bytes(b'{"judged": 7}')
    task.out.with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)
