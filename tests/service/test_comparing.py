"""Photos are compared in processes: as in this one, whatever becomes of them, and no longer than the server lives."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import encoded, place_in, served
from workers import until

import lookalike
from lookalike import Policy
from lookalike.detection.verification import compared
from lookalike.errors import ImageReadError
from lookalike.model.features import grey_picture, reference_features
from lookalike.service.comparing import Comparing

SAMPLE = Path(lookalike.__file__).parent / "sample" / "images"
PHOTOS = [Image.open(SAMPLE / f"{name}-front.jpg").convert("RGB")
          for name in ("kweniska-olive-oil", "yelmique-coffee-mug")]  # fmt: skip
REFERENCES = [reference_features(photo) for photo in PHOTOS]
PICTURES = [grey_picture(photo) for photo in PHOTOS]


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


class Endless:
    """Keeps the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (600,)


@pytest.fixture
def comparing() -> Iterator[Comparing]:
    with closing(Comparing(2)) as opened:
        yield opened


def processes() -> list[int]:
    return [each.pid for each in multiprocessing.active_children() if each.name == "lookalike compare" and each.pid]


def test_processes_find_what_this_one_finds(comparing: Comparing) -> None:
    comparing.start()
    assert len(processes()) == 2
    answers = [comparing.submit(PICTURES[at % 2], REFERENCES) for at in range(12)]
    for at, answer in enumerate(answers):
        found = answer.result(60)
        assert found == compared(PICTURES[at % 2], REFERENCES)
        assert [each.inliers > 20 for each in found] == [at % 2 == 0, at % 2 == 1]
    assert len(processes()) == 2


def test_only_what_is_needed_is_started(comparing: Comparing) -> None:
    assert not processes()
    for _ in range(3):
        comparing.submit(PICTURES[0], REFERENCES).result(60)
    assert len(processes()) == 1


def test_a_process_that_was_killed_is_replaced_and_nobody_notices(comparing: Comparing) -> None:
    comparing.start()
    for killed in processes():
        os.kill(killed, signal.SIGKILL)
    for _ in range(4):
        assert comparing.submit(PICTURES[0], REFERENCES).result(60) == compared(PICTURES[0], REFERENCES)
    assert len(processes()) >= 1


def test_a_photo_at_which_processes_die_is_given_up_and_others_are_compared(
    comparing: Comparing, caplog: pytest.LogCaptureFixture
) -> None:
    deadly: Any = Deadly()
    answers = [comparing.submit(picture, REFERENCES) for picture in (PICTURES[0], deadly, *PICTURES * 3)]
    with pytest.raises(ImageReadError, match="2 processes ended at it; memory may be short, or the photo the cause"):
        answers.pop(1).result(60)
    for at, answer in enumerate(answers):
        assert answer.result(60) == compared(PICTURES[max(0, at - 1) % 2], REFERENCES)
    assert caplog.text.count("ended with the exit status 7") == 2


def test_a_process_that_hangs_is_killed(comparing: Comparing, monkeypatch: pytest.MonkeyPatch) -> None:
    endless: Any = Endless()
    assert comparing.submit(PICTURES[0], []).result(60) == []
    monkeypatch.setattr("lookalike.service.comparing._MOST_SECONDS", 1.0)
    with pytest.raises(ImageReadError, match="2 processes ended at it"):
        comparing.submit(PICTURES[0], [endless]).result(60)
    monkeypatch.undo()
    assert comparing.submit(PICTURES[0], []).result(60) == []


def test_an_error_in_code_comes_back_with_its_traceback(comparing: Comparing) -> None:
    wrong: Any = [None]
    with pytest.raises(RuntimeError, match=r"Traceback[\s\S]*in verify"):
        comparing.submit(PICTURES[0], wrong).result(60)
    assert comparing.submit(PICTURES[0], REFERENCES).result(60) == compared(PICTURES[0], REFERENCES)


def test_closing_ends_the_processes_and_what_was_not_begun() -> None:
    comparing = Comparing(1)
    answers = [comparing.submit(PICTURES[0], REFERENCES) for _ in range(3000)]
    comparing.close()
    assert not processes() and all(answer.done() for answer in answers) and answers[-1].cancelled()


def test_they_end_with_the_process_that_started_them() -> None:
    code = (
        "import multiprocessing, time\n"
        "from lookalike.service.comparing import Comparing\n"
        "if __name__ == '__main__':\n"
        "    opened = Comparing(2)\n"
        "    opened.start()\n"
        "    print(*(each.pid for each in multiprocessing.active_children()), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        children = [int(pid) for pid in server.stdout.readline().split()]
        assert len(children) == 2 and all(map(runs, children))
        server.kill()
    until(lambda: not any(map(runs, children)))


def runs(pid: int) -> bool:
    """Whether there is such a process that hasn't ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_answers_whatever_becomes_of_them(tmp_path: Path) -> None:
    place = place_in(tmp_path, textured=True)
    Policy("points", 0.9, 0.5).save(place.policy)
    with served(place) as server:
        assert len(processes()) == 2
        first = server.check(encoded(place.pictures[1]))["match"]
        assert first["points"] > 50
        for killed in processes():
            os.kill(killed, signal.SIGKILL)
        assert server.check(encoded(place.pictures[1]))["match"] == first
    assert not processes()


def test_pictures_without_details_have_no_points(comparing: Comparing) -> None:
    for picture in (np.zeros((8, 8), np.uint8), np.full((400, 300), 200, np.uint8)):
        assert [each.inliers for each in comparing.submit(picture, REFERENCES).result(60)] == [0, 0]
