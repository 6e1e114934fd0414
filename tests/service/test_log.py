"""A line of JSON for each request, whatever it held; a fault is told with its id alone, and its traceback is logged."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
from serving import Running, encoded

from lookalike.service.log import Lines


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Lines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Kept]:
    logger, handler = logging.getLogger("lookalike.service"), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_each_request_is_one_line_with_its_id_key_and_finding(running: Running, log: Kept) -> None:
    body = {"id": "L 7", "photos": [encoded(running.place.pictures[0])]}
    answer = running.client.post("/v1/check", json=body, headers={"X-Request-ID": "given-1"} | running.key("check"))
    assert answer.headers["x-request-id"] == "given-1"
    (line,) = log.lines
    told = json.loads(line)
    assert {name: told[name] for name in ("request", "key", "method", "route", "status", "listing", "verdict")} == {
        "request": "given-1", "key": "check", "method": "POST", "route": "/v1/check", "status": 200, "listing": "L 7",
        "verdict": "flagged",
    }  # fmt: skip
    assert told["finding"] == answer.json()["finding"] and told["milliseconds"] > 0
    assert running.place.keys["check"] not in line and body["photos"][0]["base64"][:40] not in line


def test_no_text_breaks_out_of_its_line(running: Running, log: Kept) -> None:
    name = "L\n\x1b[31m{\"level\": \"error\"}\u202e\u2028"  # fmt: skip
    body = {"id": name, "photos": [encoded(running.place.pictures[0])]}
    assert running.client.post("/v1/check", json=body).status_code == 200
    running.client.get("/v1/%0a%1b%e2%80%a8/x")
    assert len(log.lines) == 2
    for line in log.lines:
        assert line.isascii() and line.isprintable()
    assert json.loads(log.lines[0])["listing"] == name


@pytest.mark.parametrize("given", ["a b", "x" * 65, "é", "<script>", ""])
def test_an_id_that_could_do_harm_is_replaced(running: Running, given: str) -> None:
    answer = running.client.get("/healthz", headers={"X-Request-ID": given.encode("utf-8")})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_a_fault_is_answered_without_its_inside_and_logged_with_its_id(
    running: Running, log: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr("lookalike.service.status_routes._info", fails)
    answer = running.client.get("/v1/info")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["reason"] == "fault" and "secret" not in answer.text
    name = answer.headers["x-request-id"]
    assert name in answer.json()["detail"]
    fault, request = map(json.loads, log.lines)
    assert fault["request"] == name and "a secret of the inside" in fault["traceback"]
    assert (request["request"], request["status"]) == (name, 500)
