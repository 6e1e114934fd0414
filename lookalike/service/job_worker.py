"""What a job does, in a process of its own: a lower priority, memory of its own, and an end with its server."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from lookalike.disk import written
from lookalike.errors import LookalikeError, PolicyWarning
from lookalike.scanning.scan import scan_listings
from lookalike.scanning.tables import DetectorSettings, scan_table
from lookalike.tables.files import table_fingerprint
from lookalike.tables.findings import read_findings
from lookalike.tables.inputs import read_listings, require_listings
from lookalike.tables.layout import PLAIN

if TYPE_CHECKING:
    from lookalike.model.access import Access
    from lookalike.scanning.cluster import Cluster

_NICE = 10
_BETWEEN = 0.5  # seconds between two reports of progress
_UNTIL_DEAD = 60.0  # seconds that a worker of a server that was killed may take to end


@dataclass(frozen=True)
class Task:
    """What a worker needs: the table, or with `fetched_by` its address and what may be read, and where findings go."""

    listings: str
    out: Path
    settings: DetectorSettings
    cluster: Cluster | None = None
    fetched_by: Access | None = None


def work(task: Task, pipe: Connection) -> None:
    """Judge the table, or what is left of it, and tell the server how it goes, in JSON.

    First {"index": …, "harmless": …} with their digests, {"judged": n} now and then, at last {"done": counts} or
    {"failed": why}.
    """
    end_with_server()
    try:
        # the worker of a server that was killed a moment ago may still be at it
        with FileLock(task.out.with_name("worker.lock"), timeout=_UNTIL_DEAD):
            if not task.out.exists():  # it appears whole, so all that could lack is to say so
                _judge(task, pipe)
        _tell(pipe, {"done": _counts(task.out)})
    except LookalikeError as error:
        folder = f"{Path(task.listings).parent}/"  # of the server, which is nobody's business
        _tell(pipe, {"failed": str(error).replace(folder, "")})
    except OSError as error:  # a full disk, a folder that is gone
        _tell(pipe, {"failed": f"{type(error).__name__}: {error}"})
    except Exception:  # noqa: BLE001  the server tells the user, and its log holds the rest
        traceback.print_exc(file=sys.stderr)
        _tell(pipe, {"failed": "an unexpected error, which the server's log describes"})


def end_with_server() -> None:
    """Have this process end when the one that started it does, however that dies, and run at a lower priority."""
    server = multiprocessing.parent_process()
    if server is not None:
        threading.Thread(target=_end_after, args=(server.join,), daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it ends
        with suppress(AttributeError, OSError):  # there is none on Windows
            os.nice(_NICE)
    warnings.simplefilter("ignore", PolicyWarning)  # the server says so once, for all


def _end_after(server: Callable[[], object]) -> None:
    server()
    os._exit(1)


def _judge(task: Task, pipe: Connection) -> None:
    table = Path(task.listings) if task.fetched_by is None else _fetched(task.listings, task.out, task.fetched_by)
    require_listings(table, PLAIN)
    detector, progress = task.settings.open(), _Reporter(pipe)
    harmless = detector.lookup.harmless
    _tell(pipe, {"index": detector.index.digest, "harmless": None if harmless is None else harmless.digest})
    if task.cluster is not None:
        scan_table(table, task.out, settings=task.settings, cluster=task.cluster, progress=progress)
    else:
        scan_listings(read_listings(table), detector=detector, out=task.out, fingerprint=table_fingerprint(table),
                      progress=progress)  # fmt: skip


def _fetched(url: str, out: Path, access: Access) -> Path:
    """The table at an address, fetched once, so that a job that resumes judges the same one."""
    from urllib.parse import urlsplit

    from lookalike.model.sources import read_source

    table = out.with_name("listings" + Path(urlsplit(url).path).suffix.lower())
    if not table.exists():
        data = read_source(url, access=access)
        with written(table) as temporary:
            temporary.write_bytes(data)
    return table


def _counts(out: Path) -> dict[str, Any]:
    verdicts: Counter[str] = Counter()
    errors = 0
    for row in read_findings(out, columns=("error",)):
        verdicts[row["verdict"]] += 1
        errors += row["error"] is not None
    return {"judged": verdicts.total(), "verdicts": dict(verdicts), "errors": errors}


class _Reporter:
    """Tells the server how many listings are judged, not too often."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._judged, self._told = pipe, 0, 0.0

    def __call__(self, count: int) -> None:
        self._judged += count
        now = time.monotonic()
        if now - self._told >= _BETWEEN:
            self._told = now
            _tell(self._pipe, {"judged": self._judged})


def _tell(pipe: Connection, what: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(what).encode())
