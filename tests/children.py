"""Real forks, with a limit of time: what a child must not wait for, it would wait for for ever."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest


def forks(test: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a test that forks while other threads run."""
    test = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")(test)


def in_child(work: Callable[[], object], *, seconds: float = 60) -> object:
    """What `work` gives in a forked child, as text; the test fails if it raises, or isn't done in time."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            os.write(writing, str(work()).encode())
        except BaseException as error:  # noqa: BLE001  the parent raises it
            os.write(writing, f"raised {error!r}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    assert text and not text.startswith("raised"), text or f"the child was not done after {seconds} s"
    return text
