"""How a process that the service started is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

_TO_END = 5.0  # seconds that a process gets when it is asked to end


def end(process: SpawnProcess, *, after: float = 0.0) -> int | None:
    """End a process, at last by force, once it had `after` seconds to end by itself. Returns its exit status."""
    process.join(after)
    if process.is_alive():
        process.terminate()
        process.join(_TO_END)
    if process.is_alive():
        process.kill()
        process.join()
    status = process.exitcode
    process.close()
    return status
