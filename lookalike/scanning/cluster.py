"""The parts of a table, done by a pool of workers on Ray Data: one file in and one file out for each part.

A part that is written stays written, whichever process dies. Workers share files; only the names of parts go through
Ray. So the folder of parts must have the same path on every machine.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.disk import open_regular
from lookalike.errors import EngineError, LookalikeError, MissingExtraError

from .parts import part_path, write_part

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_TASKS = 10_000
_TRIES = 3
_OBJECT_STORE_BYTES = 200 << 20
_TABLE, _TRIED = "table", "tried"
_RAISED = re.compile(r"^\s*lookalike\.errors\.\w+: (.+)$", re.MULTILINE)
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

Rows = list[Mapping[str, Any]]
Work = Callable[[Rows], Rows]
"""Does one part: rows in, rows out, in the same order."""


@dataclass(frozen=True)
class Cluster:
    """Where work runs: on the Ray cluster at `address`, or by default on one that is started here and stopped again.

    There are `workers` workers, by default one per CPU of the cluster; each of them gets one CPU, and `gpus` GPUs. A
    part that kills its worker is tried three times.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0


def require_ray() -> Any:
    """Ray with Ray Data, told to print nothing. Raises MissingExtraError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # exceptions report it as well
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return ray


def cut_table(rows: Iterator[dict[str, Any]], schema: pa.Schema, folder: Path, size: int) -> None:
    """Cut rows into parts of `size` rows in `folder`/table, which appears once all of them are there."""
    if (folder / _TABLE).is_dir():
        return
    cutting = folder / "cutting"
    shutil.rmtree(cutting, ignore_errors=True)
    cutting.mkdir()
    for number, part in enumerate(iter(lambda: list(islice(rows, size)), [])):
        write_part(part_path(cutting, number), part, schema)
    cutting.replace(folder / _TABLE)


def done_parts(folder: Path) -> list[Path]:
    """The paths of the parts that `do_parts` writes, in the table's order."""
    return [folder / path.name for path in _table(folder)]


def _table(folder: Path) -> list[Path]:
    return sorted((folder / _TABLE).glob("part-*.parquet"))


def read_part(path: Path) -> Rows:
    """The rows of one part."""
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        rows: Rows = pq.read_table(file).to_pylist()
    return rows


def do_parts(
    folder: Path,
    open_work: Callable[[], Work],
    schema: pa.Schema,
    cluster: Cluster,
    progress: Callable[[int], None] | None,
) -> None:
    """Do every part of the table that isn't done yet. `open_work` is called once in each worker.

    `progress` is called with the number of rows done since the last call. Raises this library's error that a worker
    raised, or EngineError.
    """
    shutil.rmtree(folder / _TRIED, ignore_errors=True)
    (folder / _TRIED).mkdir()
    due = [{"source": str(path)} for path in _table(folder) if not (folder / path.name).exists()]
    if not due:
        return
    with _connected(cluster) as ray:
        workers = cluster.workers or int(ray.cluster_resources().get("CPU", 1))
        parts = ray.data.from_items(due, override_num_blocks=min(len(due), _MOST_TASKS)).map_batches(
            _Worker,
            fn_constructor_args=(open_work, schema),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(due))),
            num_cpus=1,
            num_gpus=cluster.gpus or None,
        )
        for done in parts.iter_rows():
            if progress is not None:
                progress(int(done["rows"]))


class _Worker:
    """An actor of the pool: it opens what it needs once, then does part after part."""

    def __init__(self, open_work: Callable[[], Work], schema: pa.Schema) -> None:
        self._work, self._schema = open_work(), schema

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        try:
            return {"rows": np.array(list(map(self._do, map(Path, batch["source"]))))}
        except (OSError, MemoryError) as error:  # no fault of the code: a full disk, a folder that is not shared
            raise EngineError(f"a worker failed: {str(error) or type(error).__name__}") from error

    def _do(self, source: Path) -> int:
        """Do one part, unless that is done already, and give its number of rows."""
        rows = read_part(source)
        target = source.parents[1] / source.name
        if not target.exists():  # the last parts of a worker that died are done again
            _count_try(target)
            write_part(target, self._work(rows), self._schema)
        return len(rows)


def _count_try(target: Path) -> None:
    """Raise EngineError once a part was tried too often: Ray would try one that kills its worker for ever."""
    tried = target.parent / _TRIED
    (tried / f"{target.stem}-{uuid.uuid4().hex}").touch()
    if len(list(tried.glob(f"{target.stem}-*"))) > _TRIES:
        source = target.parent / _TABLE / target.name
        raise EngineError(
            f"each of {_TRIES} workers died at {source}; one of its rows may be the cause, try them one by one"
        )


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected, with its errors raised as this library's. It is stopped at the end if it was started here."""
    ray = require_ray()
    started = not ray.is_initialized()
    try:
        if started:
            ray.init(log_to_driver=False, logging_level="ERROR", **_where(cluster))
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
    except ConnectionError as error:
        token = "; if it needs a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH" if cluster.address else ""
        raise EngineError(f"Ray can't be reached: {_first_line(error)}{token}") from error
    except ray.exceptions.RayError as error:
        ours = _ours(error)
        if ours is None and isinstance(error, ray.exceptions.UserCodeException):
            raise  # nobody foresaw it; it comes with the worker's traceback
        said = f"Ray failed: {_first_line(error)}; finished parts are kept, so run the same command to resume"
        raise ours or EngineError(said) from error
    finally:
        if started:
            ray.shutdown()


def _where(cluster: Cluster) -> dict[str, Any]:
    """What to connect to; our own cluster listens to this machine only, because Ray lets anybody in."""
    if cluster.address is not None:
        return {"address": cluster.address}
    return {
        "address": "local",
        "num_cpus": cluster.workers,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }


def _ours(error: BaseException) -> LookalikeError | None:
    """This library's error that a worker raised, if it was one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LookalikeError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    text = _COLOUR.sub("", str(error))
    raised = _RAISED.findall(text)  # Ray passes a worker's exception on as text if it can't pickle it
    return EngineError(raised[-1]) if raised else None


def _first_line(error: BaseException) -> str:
    return next(filter(None, _COLOUR.sub("", str(error)).splitlines()), type(error).__name__)
