"""Time jobs side by side: in turns, over several rounds, so that whatever else the machine does slows all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Job = TypeVar("Job")
Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Spread:
    """The median, the least and the most of a figure that was measured several times."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Summarise the figures of all rounds.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, least=1.0, most=3.0)
        """
        known = list(figures)
        return cls(median(known), min(known), max(known))

    def cells(self, form: str = ".1f") -> tuple[str, str, str]:
        """The three numbers as a table shows them."""
        return format(self.median, form), format(self.least, form), format(self.most, form)


def seconds_of(job: Callable[[], object]) -> float:
    """Run the job and return how many seconds it took."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def in_turns(
    jobs: Mapping[str, Job], *, rounds: int, measure: Callable[[Job], Figure], warm_up: bool = True
) -> dict[str, list[Figure]]:
    """Measure each job once a round, one after the other; a first round warms up and does not count.

    >>> in_turns({"a": 1, "b": 2}, rounds=2, measure=lambda job: job * 10)
    {'a': [10, 10], 'b': [20, 20]}
    """
    found: dict[str, list[Figure]] = {name: [] for name in jobs}
    for turn in range(rounds + warm_up):
        for name, job in jobs.items():
            figure = measure(job)
            if turn >= warm_up:
                found[name].append(figure)
    return found


def load() -> float:
    """How many processes wanted a core over the last minute. Timings beside other work are worth less."""
    return os.getloadavg()[0]


def show_table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    caption: str | None = None,
    width: int = 120,
) -> None:
    """Print a table whose first column holds names and whose other columns hold numbers.

    The title goes above it after an empty line, the caption below.
    """
    from rich.table import Table

    from lookalike.scripts.terminal import output, print_line

    table = Table(box=None)
    for at, column in enumerate(head):
        table.add_column(column, justify="right" if at else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    if title is not None:
        print_line("")
        print_line(title)
    console = output()
    console.width = width
    console.print(table)
    if caption is not None:
        print_line(caption)
