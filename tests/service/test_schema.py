"""Requests of every kind that the schema allows, and many that it doesn't, are answered as it says, and never with 500.

A few are drawn here. This draws 10,000:
`LOOKALIKE_REQUESTS=10000 .venv/bin/python -m pytest tests/service/test_schema.py --timeout 0`
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from serving import place_in, served

from lookalike.service.keys import add_key

REQUESTS = int(os.environ.get("LOOKALIKE_REQUESTS", "0"))
_FULL, _FEW = 10, 3  # operations with many different requests; examples of each
_HOOKS = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    # half of the photos are one; drawn bytes never are
    if isinstance(body, dict) and is_photo(body.get("photo")) and len(str(body)) % 2:
        return {{**body, "photo": {{"base64": {photo!r}}}}}
    return body

@schemathesis.hook
def filter_case(context, case):
    # whatever isn't text becomes text in a form, so it violates nothing there
    form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return not (form and any(isinstance(value, (int, float, dict, type(None))) for value in case.body.values()))

def is_photo(given):
    values = list(given.values()) if isinstance(given, dict) else []
    return len(values) == 1 and isinstance(values[0], str) and 0 < len(values[0]) <= 8000
"""
_CONFIG = """
# no schema can say which bytes are a picture, which table has the right columns, and which paths there are
[[operations]]
include-operation-id = ["put_reference", "put_harmless", "import_references", "import_harmless", "add_job"]
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "409", "422"]
"""


def test_every_request_is_answered_as_the_schema_says(tmp_path: Path) -> None:
    place = place_in(tmp_path, 3)
    key = add_key(tmp_path / "keys.json", "every", ["check", "review", "admin"])
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "2026-11-28.csv").write_text("listing_id,image\nL1,a.png\n")
    photo = base64.b64encode(place.pictures[0].read_bytes()).decode()
    (tmp_path / "hooks.py").write_text(_HOOKS.format(photo=photo))
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    drawn = REQUESTS // _FULL if REQUESTS else _FEW
    phases = "examples,coverage,fuzzing,stateful" if REQUESTS else "examples,fuzzing,stateful"
    with served(place, tables_under=[tmp_path / "tables"], photo_seconds=0.2, queue=1000) as running:
        call = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{running.address}/openapi.json",
            "--header", f"Authorization: Bearer {key}", "--max-examples", str(drawn), "--phases", phases,
            "--continue-on-failure", "--no-color", "--suppress-health-check", "all", "--warnings", "off",
            *([] if REQUESTS else ["--seed", "1"]),
        ]  # fmt: skip
        done = subprocess.run(
            call, cwd=tmp_path, env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True,
        )  # fmt: skip
        metrics = running.client.get("/metrics").text
    answered: Counter[str] = Counter()
    for status, count in re.findall(r'^lookalike_requests_total\{.*status="(\d+)".*\} (\d+)', metrics, re.MULTILINE):
        answered[status] += int(count)
    print(done.stdout[-5000:], dict(answered))  # noqa: T201  what pytest -s is for
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-3000:]
    assert not [status for status in answered if status >= "500"], answered
    assert answered["200"] > 10 and answered["422"] > 10 and answered.total() >= max(100, REQUESTS), answered


def test_all_methods_of_a_path_are_said_where_another_is_used(tmp_path: Path) -> None:
    with served(place_in(tmp_path)) as running:
        for path, allowed in (
            ("/v1/jobs", "GET, POST"),
            ("/v1/references/a/b", "GET, PUT, DELETE"),
            ("/healthz", "GET"),
        ):
            answer = running.client.request("PATCH", path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
