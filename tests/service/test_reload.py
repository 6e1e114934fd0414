"""References and policies change while listings are checked: no request fails, and no answer mixes versions."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from serving import POLICY, Place, Running, encoded, photo_server, place_in, served
from toy import ToyEncoder, save_pictures
from workers import until

from lookalike.index.build import add_references
from lookalike.index.store import read_manifest
from lookalike.records import Reference

ROUNDS = 6


@dataclass
class Asking:
    """What checks of one photo answered, with what the answers must agree with."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, running: Running, photo: dict[str, str]) -> None:
        with httpx.Client(base_url=running.address, headers=running.key("check"), timeout=30) as client:
            while not self.stop.is_set():
                answer = client.post("/v1/check", json={"id": "L", "photos": [photo]})
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.failed.append(answer.text)


@contextmanager
def asking(running: Running, photo: dict[str, str]) -> Iterator[Asking]:
    log = Asking()
    threads = [threading.Thread(target=log.ask, args=(running, photo)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield log
    finally:
        log.stop.set()
        for thread in threads:
            thread.join()


def seen(running: Running, name: str, value: str) -> None:
    """Wait until the service answers with that version."""
    until(lambda: running.client.get("/v1/info").json()["versions"][name] == value)


def remove_by_command(place: Place) -> None:
    call = [sys.executable, "-m", "lookalike.scripts.remove", "--index", str(place.index), "--reference", "toggled"]
    subprocess.run(call, check=True, capture_output=True)


def test_no_request_fails_and_no_answer_mixes_versions(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    picture = save_pictures(tmp_path / "toggled", 1, seed=21)[0]
    body = {"product": "toggled", "brand": "Acme", "photo": encoded(picture)}
    holds = {read_manifest(place.index)[1]: False}  # by digest, whether the index has the reference
    flags = {str(POLICY): POLICY.flag}
    with served(place) as running:
        with asking(running, encoded(picture)) as log:
            for round in range(ROUNDS):
                by_command = round % 3 == 2
                if by_command:
                    reference = Reference("toggled", "toggled", "Acme", picture)
                    add_references([reference], index=place.index, encoder=ToyEncoder())
                    seen(running, "index", read_manifest(place.index)[1])
                else:
                    assert running.client.put("/v1/references/toggled", json=body).status_code == 201
                holds[read_manifest(place.index)[1]] = True
                policy = replace(POLICY, flag=0.9 + round / 1000)
                flags[str(policy)] = policy.flag
                policy.save(place.policy)
                seen(running, "policy", str(policy))
                if by_command:
                    remove_by_command(place)
                    seen(running, "index", read_manifest(place.index)[1])
                else:
                    assert running.client.delete("/v1/references/toggled").status_code == 204
                holds[read_manifest(place.index)[1]] = False
        assert log.failed == []
        used = {(answer["versions"]["index"], answer["versions"]["policy"]) for answer in log.answers}
        assert len(used) > ROUNDS, "too few versions were met to tell"
        for answer in log.answers:
            versions, match = answer["versions"], answer["match"]
            assert (match["reference"] == "toggled") is holds[versions["index"]]
            assert match["flag_threshold"] == flags[versions["policy"]]
            assert all(each["flag_threshold"] == match["flag_threshold"] for each in answer["candidates"])
        gc.collect()
        assert running.services.holder.versions_open == 1
        assert running.services.holder.failures == 0
        assert running.services.checks.room.taken == 0
        assert [path for path in (tmp_path / "state" / "imports").glob("*")] == []


def test_a_batch_is_answered_with_one_version(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    picture = save_pictures(tmp_path / "toggled", 1, seed=21)[0]
    body = {"product": "toggled", "brand": "Acme", "photo": encoded(picture)}
    with photo_server(place.pictures) as photos, served(place, photo_seconds=20) as running:
        slow = {"url": f"{photos.address}/slow?seconds=60"}  # all others of the batch wait for some of these
        given = [encoded(picture), *[slow] * 8, *[encoded(picture)] * 8]
        listings = [{"id": f"L{at}", "photos": [photo]} for at, photo in enumerate(given)]
        with running.client.stream("POST", "/v1/check:batch", json={"listings": listings}) as answer:
            lines = answer.iter_lines()
            first = next(lines)
            with httpx.Client(base_url=running.address, headers=running.key("admin"), timeout=30) as other:
                assert other.put("/v1/references/toggled", json=body).status_code == 201
            photos.released.set()
            found = [json.loads(line)["finding"] for line in (first, *lines)]
        assert len(found) == 17 and len({each["versions"]["index"] for each in found}) == 1
        assert "toggled" not in [each["match"]["reference"] for each in found]
        assert running.check(encoded(picture))["match"]["reference"] == "toggled"
