"""What the programs in the workshops share: errors as one line, and commands measured in a process of their own."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from lookalike.errors import LookalikeError
from lookalike.scripts.command import Exit

P = ParamSpec("P")

# the peak is that of this process alone: what the system reports of a child starts from its parent's memory
_MEASURED = """
import importlib, json, os, sys
status = importlib.import_module("lookalike.scripts." + sys.argv[1]).main(sys.argv[2:])
from lookalike.scripts.benchmarks.harness import peak_bytes
print(json.dumps({"processor": sum(os.times()[:2]), "peak": peak_bytes()}))
sys.exit(status)
"""


@dataclass(frozen=True)
class Used:
    """What a command took: wall-clock and processor seconds, and peak memory in bytes."""

    seconds: float
    processor: float
    peak: int


def run_command(name: str, *arguments: object) -> Used:
    """Run `lookalike NAME ARGUMENTS` in a process of its own, on Linux.

    Raises subprocess.CalledProcessError if the command fails.
    """
    call = [sys.executable, "-c", _MEASURED, name, *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE)  # noqa: S603
    return Used(time.perf_counter() - start, **json.loads(done.stdout.splitlines()[-1]))


def peak_bytes() -> int:
    """The most memory that this process held so far, on Linux."""
    return _memory("self", "status", "VmHWM:")


def resident_bytes(process: int | str = "self") -> int:
    """The memory that a process holds, on Linux."""
    return _memory(process, "status", "VmRSS:")


def shared_out_bytes(process: int | str) -> int:
    """The same, with what several processes hold divided among them (PSS)."""
    return _memory(process, "smaps_rollup", "Pss:")


def _memory(process: int | str, file: str, name: str) -> int:
    lines = Path(f"/proc/{process}/{file}").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def one_line_errors(program: Callable[P, int]) -> Callable[P, int]:
    """Have the program print an error of the library, or an interrupt, as one line, and return its exit status."""
    name = Path(inspect.getfile(program)).stem

    @wraps(program)
    def guarded(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            return program(*arguments, **options)
        except LookalikeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return Exit.WRONG_CALL
        except KeyboardInterrupt:
            print(f"{name}: interrupted", file=sys.stderr)
            return Exit.INTERRUPTED

    return guarded
