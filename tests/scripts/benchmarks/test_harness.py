"""Commands are measured in a process of their own, and errors of the library become one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import TableError
from lookalike.scripts.benchmarks.harness import one_line_errors, run_command

PROGRAMS = sorted(
    path.stem
    for path in (Path(__file__).parents[3] / "scripts" / "benchmarks").glob("*.py")
    if "def main(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_starts(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = __import__(f"lookalike.scripts.benchmarks.{program}", fromlist=["main"])
    try:
        status = module.main(["--help"])
    except SystemExit as done:
        status = done.code
    assert status == 0
    assert " ".join(module.__doc__.split("\n")[0].split()[:3]) in " ".join(capsys.readouterr().out.split())


def test_a_program_runs_by_its_path() -> None:
    path = Path(__file__).parents[3] / "scripts" / "benchmarks" / "speed.py"
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: speed.py")


def test_the_peak_is_that_of_the_command_alone() -> None:
    mine = np.ones(40_000_000)  # 320 MB that the command does not need
    used = run_command("models")
    assert 10e6 < used.peak < mine.nbytes
    assert used.processor > 0 and used.seconds > 0


def test_a_command_that_fails_is_not_measured() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_command("info", "there-is-no-such.index")


def test_an_error_of_the_library_is_one_line_with_the_program_s_name(capsys: pytest.CaptureFixture[str]) -> None:
    @one_line_errors
    def main(argv: list[str] | None = None) -> int:
        if argv:
            raise TableError("the table\nhas no rows")
        return 0

    assert main() == 0
    assert main(["x"]) == 2
    assert capsys.readouterr().err == "test_harness: the table has no rows\n"


def test_an_interrupt_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    @one_line_errors
    def main() -> int:
        raise KeyboardInterrupt

    assert main() == 130
    assert capsys.readouterr().err == "test_harness: interrupted\n"


def test_other_errors_stay_what_they_are() -> None:
    @one_line_errors
    def main() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()
