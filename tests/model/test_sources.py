"""Bytes come only from where the caller allows, and only so many, and only so slowly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookalike.errors import ImageReadError
from lookalike.model.sources import Access, is_public, read_source

LOCAL = Access(schemes=frozenset({"http"}), private=True, max_bytes=10_000, timeout=1.0, max_redirects=2)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.strip("/")
        if kind == "picture":
            self.answer(200, b"picture")
        elif kind == "large":
            self.answer(200, bytes(20_000))
        elif kind == "loop":
            self.answer(302, b"", location="/loop")
        elif kind == "other-scheme":
            self.answer(302, b"", location="https://example.com/a.jpg")
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(8):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.4)
        else:
            self.answer(404, b"none")

    def answer(self, status: int, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some of these tests are about."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def reason(source: str | Path | bytes, access: Access | None = None) -> str:
    with pytest.raises(ImageReadError) as caught:
        read_source(source, access=access)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_reads_a_file_and_what_is_given_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "a:b.jpg").write_bytes(b"picture")
    assert read_source(tmp_path / "a:b.jpg") == read_source(b"picture") == b"picture"


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "pipe") == "not_a_file"
    assert reason("/dev/zero") == "not_a_file"
    assert reason(tmp_path) == "not_a_file"
    assert reason(tmp_path / "nothing.jpg") == "missing"
    assert reason("nul\0byte.jpg") == "unreadable"


def test_refuses_a_large_or_empty_file(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20_000))
    (tmp_path / "empty").touch()
    assert reason(tmp_path / "large", LOCAL) == "too_large"
    assert reason(tmp_path / "empty") == "empty"


@pytest.mark.parametrize(
    "url", ["https://example.com/a.jpg", "file:///etc/passwd", "data:image/png;base64,AA", "s3://b/k"]
)
def test_reads_no_scheme_that_was_not_allowed(url: str) -> None:
    assert reason(url) == "scheme"


def test_reads_over_http_when_allowed(server: str) -> None:
    assert read_source(f"{server}/picture", access=LOCAL) == b"picture"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("large", "too_large"),
        ("slow", "timeout"),
        ("loop", "redirects"),
        ("other-scheme", "scheme"),
        ("gone", "http_status"),
    ],
)
def test_bounds_what_a_server_may_do(server: str, path: str, expected: str) -> None:
    assert reason(f"{server}/{path}", LOCAL) == expected


def test_reaches_no_private_address_unless_allowed(server: str) -> None:
    public_only = Access(schemes=frozenset({"http"}), timeout=2.0)
    assert reason(f"{server}/picture", public_only) == "private_address"
    assert reason(f"{server.replace('127.0.0.1', 'localhost')}/picture", public_only) == "private_address"


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "0.0.0.0",
    ],
)
def test_knows_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
