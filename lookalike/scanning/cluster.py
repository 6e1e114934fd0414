"""A table's parts done by Ray Data on a pool of workers, each part one file in and one file out.

Parts that are written stay written, whoever dies. What workers share goes through files, and only the names of parts
through Ray: the folder of parts must have the same path on every machine.
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

from lookalike.errors import EngineError, LookalikeError, MissingExtraError

from .parts import part_path, write_part

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_TASKS = 10_000
_TRIES = 5
_OBJECT_STORE_BYTES = 200 << 20
_TABLE, _TRIED = "table", "tried"
_RAISED = re.compile(r"^\s*lookalike\.errors\.\w+: (.+)$", re.MULTILINE)
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

Rows = list[dict[str, Any]]
Work = Callable[[Rows], Rows]
"""Does one part: rows in, rows out, in order."""


@dataclass(frozen=True)
class Cluster:
    """Where work runs: the `address` of a Ray cluster (by default one is started here, and stopped), and on what.

    `workers` is by default one for each CPU of the cluster; each of them has one CPU, and `gpus` GPUs. A part that
    kills its worker is tried five times.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0


def require_ray() -> Any:
    """Ray with Ray Data, set to be quiet. Raises MissingExtraError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it is told as exceptions as well
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return ray


def cut_table(rows: Iterator[dict[str, Any]], schema: pa.Schema, folder: Path, size: int) -> None:
    """Cut rows into parts in the folder `table`, which appears when all of them are there."""
    if (folder / _TABLE).is_dir():
        return
    cutting = folder / "cutting"
    shutil.rmtree(cutting, ignore_errors=True)
    cutting.mkdir()
    for number, part in enumerate(iter(lambda: list(islice(rows, size)), [])):
        write_part(part_path(cutting, number), part, schema)
    cutting.replace(folder / _TABLE)


def done_parts(folder: Path) -> list[Path]:
    """Where the rows of each part of the table are, once it is done, in the table's order."""
    return [folder / path.name for path in _table(folder)]


def _table(folder: Path) -> list[Path]:
    return sorted((folder / _TABLE).glob("part-*.parquet"))


def read_part(path: Path) -> Rows:
    """The rows of one part."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows: Rows = file.read().to_pylist()
    return rows


def do_parts(
    folder: Path,
    open_work: Callable[[], Work],
    schema: pa.Schema,
    cluster: Cluster,
    progress: Callable[[int], None] | None,
) -> None:
    """Have every part of the table done that is not; `open_work` is called once in each worker.

    `progress` is told of rows done. Raises the error of this library that a worker raised, or EngineError.
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
    """An actor of the pool: it opens what it works with once, and then does part after part."""

    def __init__(self, open_work: Callable[[], Work], schema: pa.Schema) -> None:
        self._work, self._schema = open_work(), schema

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        counts = []
        for source in map(Path, batch["source"]):
            rows = read_part(source)
            target = source.parents[1] / source.name
            if not target.exists():  # it may: a worker that dies has its last parts done again
                _count_try(target)
                write_part(target, self._work(rows), self._schema)
            counts.append(len(rows))
        return {"rows": np.array(counts)}


def _count_try(target: Path) -> None:
    """Ray tries without end what kills its worker; this ends it. Raises EngineError."""
    tried = target.parent / _TRIED
    (tried / f"{target.stem}-{uuid.uuid4().hex}").touch()
    if len(list(tried.glob(f"{target.stem}-*"))) > _TRIES:
        source = target.parent / _TABLE / target.name
        raise EngineError(f"each of {_TRIES} workers died at {source}; try its rows by themselves, one may kill them")


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected; what goes wrong in it as one of this library's errors. It is stopped if it was started here."""
    ray = require_ray()
    started = not ray.is_initialized()
    try:
        if started:
            ray.init(log_to_driver=False, logging_level="ERROR", **_where(cluster))
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
    except ConnectionError as error:
        token = "; if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH" if cluster.address else ""
        raise EngineError(f"Ray can't be reached: {_first_line(error)}{token}") from error
    except ray.exceptions.RayError as error:
        raise _ours(error) from error
    finally:
        if started:
            ray.shutdown()


def _where(cluster: Cluster) -> dict[str, Any]:
    """What to connect to; a cluster of our own listens to this machine only, for Ray lets in whoever comes."""
    if cluster.address is not None:
        return {"address": cluster.address}
    return {
        "address": "local",
        "num_cpus": cluster.workers,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }


def _ours(error: BaseException) -> LookalikeError:
    """The error of this library that a worker raised, or an EngineError of what Ray says."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LookalikeError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    text = _COLOUR.sub("", str(error))
    told = _RAISED.findall(text)  # Ray carries a worker's exception as text where it can't carry it whole
    if told:
        return EngineError(told[-1])
    return EngineError(
        f"Ray failed: {_first_line(error)}; what was done is kept, and the same command goes on where it was"
    )


def _first_line(error: BaseException) -> str:
    return next(filter(None, _COLOUR.sub("", str(error)).splitlines()), type(error).__name__)
