"""Kill commands at random moments, and let their disk run full, on Linux: is everything as before, or whole?

Each of ten commands runs once undisturbed. Then it is killed (SIGKILL), half of the time soon after it wrote something,
and run again; and it runs on a disk that has room for a part of what it writes, which needs the right to mount (root).
After each, every output must be as before or whole, and after the second run it must be that of the undisturbed run,
with no other files beside it. A full disk must be said in one line. Prints what was found; the exit status is 1 if
anything was wrong.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.timing import show_table

_REFERENCES, _MORE, _LISTINGS, _COPIES = 24, 6, 60, 40
_HASHED = re.compile(r"-[0-9a-f]{16}\.")
_TIMES = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.+-]+")
_ROOM = 1 << 30

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "build": ("build", "references.csv", "--index", "new.index"),
    "add": ("add", "more.csv", "--index", "index"),
    "remove": ("remove", "--index", "index", "--brand", "Brand 1"),
    "compact": ("compact", "index", "--exact-up-to", "10"),
    "scan": ("scan", "listings.csv", "--index", "index", "--out", "new.parquet"),
    "scan --since": ("scan", "changed.csv", "--index", "index", "--out", "new.parquet", "--since", "state"),
    "rescan": ("rescan", "--since", "state", "--index", "larger", "--out", "new.parquet"),
    "tune": ("tune", "labels.csv", "--index", "index", "--out", "new.toml", "--precision", "0.5"),
    "cases": ("cases", "findings.parquet", "--index", "index", "--out", "new.csv", "--report", "new.html"),
    "report": ("report", "findings.parquet", "--out", "new.html"),
}
"""The arguments of each command in a folder that `prepared` made."""

_OUTPUTS = ("new.index", "index", "new.parquet", "state", "new.toml", "new.csv", "new.html")


@dataclass(frozen=True)
class Undisturbed:
    """A command's run: exit status, seconds, outputs, the files it leaves, and the disk it needs."""

    status: int
    seconds: float
    outputs: dict[str, Any]
    files: set[str]
    needed: int


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--full", type=int, default=20, help="full disks in all")
    parser.add_argument("--only", choices=COMMANDS, nargs="+", default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)  # noqa: S311
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a fork has no other threads
    faults: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory() as scratch, _disk(Path(scratch), arguments.full) as disk:
        before = prepared(Path(scratch) / "prepared")
        _warm_up(arguments.only, before, Path(scratch))
        for number, name in enumerate(arguments.only):
            trial = Trial(name, before, disk, rng, faults)
            kills, full = (_share(each, number, len(arguments.only)) for each in (arguments.kills, arguments.full))
            for at in range(kills):
                trial.kill(soon=at % 2 == 0)
            for _ in range(full):
                trial.fill()
            rows.append((name, f"{trial.right.seconds:.1f}", *trial.told("killed", "full")))
            print(*rows[-1], file=sys.stderr)
    show_table(("command", "seconds", "killed: left as before · whole · ended", "disk full"), rows)
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def _share(count: int, number: int, of: int) -> int:
    return count // of + (number < count % of)


class Trial:
    """One command, disturbed again and again in a fresh copy of the folder; what is wrong goes to `faults`."""

    def __init__(self, name: str, before: Path, disk: Path, rng: random.Random, faults: list[str]) -> None:
        self._name, self._before, self._disk, self._rng, self._faults = name, before, disk, rng, faults
        self._seen: dict[str, Counter[str]] = {"killed": Counter(), "full": Counter()}
        with self._fresh() as folder:
            self._old = _outputs(folder)
            used = _used(disk)
            with _watched(partial(_used, disk)) as most:
                status, seconds, said = run(COMMANDS[name], folder)
            self.right = Undisturbed(status, seconds, _outputs(folder), _files(folder), max(0, max(most) - used))
        if status not in (0, 1):
            self._fault(f"undisturbed, it ended with {status}: {said}")

    def told(self, *kinds: str) -> Iterator[str]:
        """What was seen after each kind of disturbance."""
        for kind in kinds:
            seen = self._seen[kind]
            yield f"{seen.total()}: " + ", ".join(f"{count} {word}" for word, count in sorted(seen.items()))

    def kill(self, *, soon: bool) -> None:
        """Kill the command: at a random moment, or `soon` after it wrote something."""
        with self._fresh() as folder:
            moment = self._rng.uniform(0, self.right.seconds)
            wait = (
                partial(_wait_for_change, folder, self._rng.uniform(0, 0.03)) if soon else partial(time.sleep, moment)
            )
            status, _, _ = run(COMMANDS[self._name], folder, kill_after=wait)
            where = f"killed {'after a write' if soon else f'after {moment:.2f} s'}"
            self._seen["killed"][self._look(folder, where) if status < 0 else "ended"] += 1
            self._again(folder, where)

    def fill(self) -> None:
        """Run the command on a disk with too little room."""
        with self._fresh() as folder:
            room = int(self._rng.uniform(0, self.right.needed))
            _resize(self._disk, _used(self._disk) + room)
            status, _, said = run(COMMANDS[self._name], folder)
            _resize(self._disk, _ROOM)
            where = f"with room for {room} of {self.right.needed} bytes"
            errors = [line for line in said.splitlines() if not line.startswith("warning: ")]  # caches are set aside
            if status != self.right.status and (status != 2 or len(errors) != 1):
                self._fault(f"{where}: status {status}: {said}")
            self._seen["full"][self._look(folder, where)] += 1
            left = [path.name for path in folder.rglob("*.tmp")]
            if left:
                self._fault(f"{where}: it left {left}")
            self._again(folder, where)

    def _look(self, folder: Path, where: str) -> str:
        """Whether outputs are as before or whole."""
        found = _outputs(folder)
        for name, now in found.items():
            if now != self._old[name] and now != self.right.outputs[name]:
                self._fault(f"{where}: {name} is neither as before nor whole: {str(now)[:200]}")
        return "as before" if found == self._old else "whole" if found == self.right.outputs else "part whole"

    def _again(self, folder: Path, where: str) -> None:
        """Run the command again, which must end as if it had not been disturbed."""
        done = _outputs(folder) == self.right.outputs  # what is removed already can't be removed again
        status, _, said = run(COMMANDS[self._name], folder)
        if status != self.right.status and not done:
            self._fault(f"{where}: run again, it ended with {status}: {said}")
        found = _outputs(folder)
        for name in (name for name in found if found[name] != self.right.outputs[name]):
            self._fault(f"{where}: run again, {name} is another: {str(found[name])[:200]}")
        more = _files(folder) ^ self.right.files
        if more:
            self._fault(f"{where}: run again, there are other files: {sorted(more)}")

    def _fault(self, text: str) -> None:
        self._faults.append(f"{self._name} {text}")
        print(self._faults[-1], file=sys.stderr)

    @contextmanager
    def _fresh(self) -> Iterator[Path]:
        folder = self._disk / "work"
        shutil.copytree(self._before, folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def run(
    command: Sequence[str], folder: Path, *, kill_after: Callable[[], object] | None = None
) -> tuple[int, float, str]:
    """Run a command in a folder, and give its exit status (negative if it was killed), its seconds and its stderr.

    It runs in a fork of this process, which has imported everything; `kill_after` returns when it is to be killed.
    """
    said = folder.parent.parent / "stderr.txt"
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _in_child(command, folder, said)
    if kill_after is not None:
        waiting = threading.Thread(target=kill_after, daemon=True)
        waiting.start()
        while waiting.is_alive() and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            waiting.join(0.005)
        os.kill(child, signal.SIGKILL)  # it isn't waited for yet, so the number is still its own
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.perf_counter() - start, said.read_text(encoding="utf-8")


def _in_child(command: Sequence[str], folder: Path, said: Path) -> None:
    from lookalike.scripts.cli import main as lookalike

    status = 99
    try:
        os.chdir(folder)
        os.environ.update(XDG_CACHE_HOME=str(folder / "cache"), XDG_STATE_HOME=str(said.parent / "state"))
        for stream, path in ((1, os.devnull), (2, str(said))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        status = lookalike([*command, "--quiet"])
    finally:
        sys.stderr.flush()
        os._exit(status)


def _call_here(command: Sequence[str], folder: Path) -> int:
    """Run a command in this process."""
    from lookalike.scripts.cli import main as lookalike

    here = Path.cwd()
    os.environ.update(XDG_CACHE_HOME=str(folder / "cache"), XDG_STATE_HOME=str(folder / "cache"))
    os.chdir(folder)
    try:
        return lookalike([*command, "--quiet"])
    finally:
        os.chdir(here)


def _warm_up(names: Sequence[str], before: Path, scratch: Path) -> None:
    """Run these commands once in this process, so that its forks have everything imported and work at once."""
    for command in (COMMANDS[name] for name in names):
        folder = scratch / "warm"
        shutil.copytree(before, folder)
        _call_here(command, folder)
        shutil.rmtree(folder)
    gc.freeze()


def prepared(folder: Path) -> Path:
    """A folder with pictures, tables, an index, a larger one, findings and a scan's state."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    photos = [_picture(folder / f"r{i}.jpg", rng) for i in range(_REFERENCES + _MORE)]
    rows = [f"r{i},{photo.name},p{i // 2},Brand {i % 3}" for i, photo in enumerate(photos)]
    for name, part in (("references", rows[:_REFERENCES]), ("more", rows[_REFERENCES:])):
        _save(folder / f"{name}.csv", "reference_id,image,product_id,brand", part)
    offers, labels = [], []
    for i in range(_LISTINGS):
        path = folder / f"l{i}.jpg"
        if i < _COPIES:
            source = i % _REFERENCES
            Image.open(photos[source]).crop((i // 24, 3, 118, 120)).save(path, quality=80)
            labels.append(f"{path.name},p{source // 2},Brand {source % 3},true")
        else:
            _picture(path, rng)
            labels.append(f"{path.name},,,false")
        offers.append(f"L{i},{path.name},s{i % 7},{10 + i}.50,EUR")
    head = "listing_id,image,seller_id,price,currency"
    _save(folder / "listings.csv", head, offers)
    _save(folder / "changed.csv", head, [each.replace(",s0,", ",s8,") for each in offers[5:]])
    _save(folder / "labels.csv", "image,product_id,brand,lookalike", labels)
    for command in (
        ("build", "references.csv", "--index", "index"),
        ("scan", "listings.csv", "--index", "index", "--out", "findings.parquet", "--since", "state"),
        ("build", "references.csv", "--index", "larger"),
        ("add", "more.csv", "--index", "larger"),
    ):
        if _call_here(command, folder) not in (0, 1):
            raise SystemExit(f"{' '.join(command)} failed")
    shutil.rmtree(folder / "cache")
    return folder


def _picture(path: Path, rng: np.random.Generator) -> Path:
    cells = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    cells.resize((120, 120), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def _save(path: Path, head: str, rows: Sequence[str]) -> None:
    path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")


def _outputs(folder: Path) -> dict[str, Any]:
    """What each output holds, without the times of day; an error's text for one that can't be read."""
    return {name: _content(folder / name) if (folder / name).exists() else None for name in _OUTPUTS}


def _content(path: Path) -> Any:
    from lookalike.errors import IndexNotFoundError, LookalikeError
    from lookalike.policy.policy import Policy
    from lookalike.tables.files import read_rows

    try:
        if path.name.endswith("index"):
            return _index(path)
        if path.name == "state":
            return _state(path)
        if path.suffix == ".toml":
            return str(Policy.load(path))
        if path.suffix == ".html":
            return _TIMES.sub("", path.read_text(encoding="utf-8"))
        return [
            {name: value for name, value in line.values.items() if name != "scanned_at"} for line in read_rows(path)
        ]
    except IndexNotFoundError:
        return None
    except LookalikeError as error:
        return f"can't be read: {error}"


def _index(folder: Path) -> tuple[Any, ...]:
    from lookalike.index.reference_index import ReferenceIndex

    index = ReferenceIndex.load(folder, verify=True)
    return index.catalogue.to_pylist(), index.vectors.tobytes(), [bytes(each) for each in index.packed_features]


def _state(folder: Path) -> list[tuple[Any, ...]]:
    from lookalike.scanning.state import ScanState

    state = ScanState.load(folder)
    windows = [] if state is None else [state.window(number) for number in range(len(state.windows))]
    return [(each.table.drop_columns("scanned_at").to_pylist(), each.vectors.tobytes()) for each in windows]


def _files(folder: Path) -> set[str]:
    """The names of all files, without the part that is a digest of their content."""
    return {_HASHED.sub("-*.", str(path.relative_to(folder))) for path in folder.rglob("*")}


def _wait_for_change(folder: Path, then: float) -> None:
    """Return once something in the folder was written or made, and a little `then`, in seconds, passed."""
    before = _stamps(folder)
    while _stamps(folder) == before:
        time.sleep(0.001)
    time.sleep(then)


def _stamps(folder: Path) -> set[tuple[str, int]]:
    """Files and folders with their time of change; the cache of vectors, which may always be lost, is left out."""
    found = set()
    for path in folder.rglob("*"):
        if "cache" not in path.parts:
            try:
                found.add((str(path), path.stat().st_mtime_ns))
            except FileNotFoundError:
                found.add((str(path), 0))
    return found


@contextmanager
def _watched(measure: Callable[[], int]) -> Iterator[list[int]]:
    """Measure every few milliseconds meanwhile."""
    found, done = [measure()], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            found.append(measure())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@contextmanager
def _disk(scratch: Path, full: int) -> Iterator[Path]:
    """A folder on a disk of its own in memory, which can be made smaller; without `full`, a plain one."""
    disk = scratch / "disk"
    disk.mkdir()
    if not full:
        yield disk
        return
    _call("mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(disk))
    try:
        yield disk
    finally:
        _call("umount", str(disk))


def _resize(disk: Path, size: int) -> None:
    _call("mount", "-o", f"remount,size={max(size, 1 << 16)}", str(disk))


def _call(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603


def _used(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


if __name__ == "__main__":
    raise SystemExit(main())
