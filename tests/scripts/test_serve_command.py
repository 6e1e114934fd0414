"""`lookalike serve` starts, answers, and ends when it is asked to; a wrong call is told in one line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from toy import save_pictures

from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.records import Reference
from lookalike.scripts.cli import main

CALL = [sys.executable, "-c", "import sys; from lookalike.scripts.cli import main; sys.exit(main())", "serve"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    paths = save_pictures(folder / "photos", 3)
    rows = [Reference(f"r{at}", f"p{at}", "Acme", path) for at, path in enumerate(paths)]
    build_index(rows, index=folder / "index", encoder=load_encoder())
    return folder


def key(shop: Path, capsys: pytest.CaptureFixture[str], *scopes: str) -> str:
    call = ["serve", "keys", "add", "me", "--keys", str(shop / "keys.json")]
    assert main([*call, *(["--scopes", ",".join(scopes)] if scopes else [])]) == 0
    return capsys.readouterr().out.strip()


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it prints."""
    process = subprocess.Popen([*CALL, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_it_starts_answers_and_ends_when_asked(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = key(shop, capsys, "check")
    config = shop / "serve.toml"
    config.write_text(f'index = "{shop / "index"}"\nkeys = "{shop / "keys.json"}"\nstate = "{shop / "state"}"\n')
    with serving("--config", str(config), "--port", "0", "--set", "queue=5") as (process, address):
        assert httpx.get(f"{address}/readyz").json() == {"status": "ok"}
        photo = (shop / "photos" / "0-1.png").read_bytes()
        answer = httpx.post(f"{address}/v1/check", data={"id": "L1"}, files=[("photo", photo)],
                            headers={"Authorization": f"Bearer {given}"}, timeout=30)  # fmt: skip
        assert (answer.status_code, answer.json()["match"]["reference"]) == (200, "r1"), answer.text
        assert "server" not in answer.headers
        second = subprocess.run([*CALL, "--config", str(config), "--port", "0"], capture_output=True, text=True)
        assert (second.returncode, second.stderr.splitlines()[-1]) == (
            2, f"another server keeps its state in {shop / 'state'}; give each server another --state",
        )  # fmt: skip
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [line["listing"] for line in lines if line["message"] == "request" and "listing" in line] == ["L1"]
    assert given not in errors


def test_a_key_is_printed_once_and_can_be_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = key(tmp_path, capsys, "check", "admin")
    assert given.startswith("lk_") and given not in (tmp_path / "keys.json").read_text()
    assert main(["serve", "keys", "remove", "me", "--keys", str(tmp_path / "keys.json")]) == 0
    assert json.loads((tmp_path / "keys.json").read_text()) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--index", "i"], "the setting keys can't be used: Field required"),
        (["--index", "i", "--keys", "none.json", "--state", "s"], "there is no file of keys none.json"),
        (["--config", "none.toml"], "there is no file none.toml"),
        (["--set", "queue"], "--set 'queue' has no value; write NAME=VALUE"),
        (["--set", "colour=red", "--index", "i", "--keys", "k", "--state", "s"], "the setting colour can't be used"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *options]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_an_index_that_is_missing_and_a_port_that_is_taken_are_told_in_one_line(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key(shop, capsys)
    call = ["serve", "--keys", str(shop / "keys.json"), "--state", str(shop / "other"), "--index"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for index, said in (("none", "there is no index in none"), (str(shop / "index"), f"port {port} of 127.0.0.1")):
            assert main([*call, index, "--port", port]) == 2
            err = capsys.readouterr().err
            assert said in err and err.count("\n") == 1


def test_without_its_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lookalike.scripts.serve.find_spec", lambda name: None if name == "fastapi" else name)
    assert main(["serve", "--index", "i"]) == 2
    assert "pip install 'lookalike[serve]'" in capsys.readouterr().err
