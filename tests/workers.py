"""Jobs that run in tests, and workers that do what no worker should; processes that they start import this module."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@contextmanager
def web(files: dict[str, bytes]) -> Iterator[str]:
    """A web server on this machine that has these files, by their paths; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.partition("?")[0])
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
