"""Bytes are read only from where the caller allows, and within limits of size and time."""

from __future__ import annotations

import gzip
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookalike.errors import ImageReadError, MissingExtraError
from lookalike.model.fetching import is_public
from lookalike.model.sources import Access, read_source

LOCAL = Access(schemes=frozenset({"http"}), private=True, max_bytes=10_000, timeout=10.0, max_redirects=2)


GZIPPED = gzip.compress(bytes(5_000_000))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.strip("/")
        if kind == "picture":
            self.answer(200, b"picture")
        elif kind == "large":
            self.answer(200, bytes(20_000))
        elif kind == "loop":
            self.answer(302, b"", location="/loop")
        elif kind.startswith("hop"):
            hops = int(kind[3:])
            self.answer(301 + hops % 2, b"", location=f"hop{hops - 1}" if hops else "picture")
        elif kind == "slow-loop":
            time.sleep(0.6)
            self.answer(302, b"", location="/slow-loop")
        elif kind == "other-scheme":
            self.answer(302, b"", location="https://example.com/a.jpg")
        elif kind == "file-scheme":
            self.answer(302, b"", location="file:///etc/passwd")
        elif kind == "private":
            self.answer(302, b"", location=f"http://127.0.0.2:{self.server.server_address[1]}/picture")
        elif kind == "nothing":
            self.answer(204, b"")
        elif kind == "no-location":
            self.answer(302, b"here")
        elif kind == "gzip":
            self.answer(200, GZIPPED, encoding="gzip")
        elif kind == "cookie":
            self.answer(200, self.headers.get("Cookie", "none").encode(), cookie="a=b")
        elif kind == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(bytes(1000))
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", "9000")
            self.end_headers()
            self.wfile.write(b"picture")
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(8):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.4)
        else:
            self.answer(404, b"none")

    def answer(
        self,
        status: int,
        body: bytes,
        location: str | None = None,
        encoding: str | None = None,
        cookie: str | None = None,
    ) -> None:
        self.send_response(status)
        headers = {"Location": location, "Content-Encoding": encoding, "Set-Cookie": cookie}
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

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
    assert reason("long" * 2000) == "unreadable"


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


def test_names_the_scheme_to_allow() -> None:
    with pytest.raises(ImageReadError, match=r"scheme ftp is not allowed \(allowed: http\)"):
        read_source("ftp://example.com/a.jpg", access=LOCAL)


def test_names_the_package_that_a_scheme_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ImageReadError, match="gcsfs"):
        read_source("gs://bucket/a.jpg", access=Access(schemes=frozenset({"gs"})))
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtraError, match="aiohttp"):
        read_source("http://example.com/a.jpg", access=Access(schemes=frozenset({"http"}), timeout=0.9))


def test_reads_file_addresses_as_it_reads_paths(tmp_path: Path) -> None:
    access = Access(schemes=frozenset({"file"}))
    (tmp_path / "a b.jpg").write_bytes(b"picture")
    os.mkfifo(tmp_path / "pipe")
    assert read_source(f"file://{tmp_path}/a%20b.jpg", access=access) == b"picture"
    assert reason(f"file://{tmp_path}/pipe", access) == "not_a_file"
    assert reason("file:///dev/zero", access) == "not_a_file"
    assert reason(f"file://elsewhere{tmp_path}/a%20b.jpg", access) == "missing"


def test_reads_other_schemes_within_the_same_bounds() -> None:
    import fsspec

    access = Access(schemes=frozenset({"memory"}), max_bytes=10)
    fsspec.filesystem("memory").pipe({"/lookalike/a": b"picture", "/lookalike/large": bytes(11)})
    assert read_source("memory://lookalike/a", access=access) == b"picture"
    assert reason("memory://lookalike/large", access) == "too_large"
    assert reason("memory://lookalike/nothing", access) == "missing"
    assert reason("memory://x::file:///etc/passwd", access) == "scheme"


def test_reads_over_http_when_allowed(server: str) -> None:
    assert read_source(f"{server}/picture", access=LOCAL) == b"picture"
    assert read_source(f"{server}/hop1", access=LOCAL) == b"picture"


def test_threads_read_at_the_same_time(server: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: read_source(f"{server}/picture", access=LOCAL), range(100)))
    assert answers == [b"picture"] * 100


def test_keeps_no_cookies_and_asks_no_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fsspec_config = pytest.importorskip("fsspec.config")
    monkeypatch.setitem(fsspec_config.conf, "http", {"client_kwargs": {"trust_env": True}})
    access = Access(schemes=frozenset({"http"}), private=True, timeout=5)
    named = server.replace("127.0.0.1", "localhost")  # clients keep no cookies of a bare address anyway
    assert [read_source(f"{named}/cookie", access=access) for _ in range(2)] == [b"none", b"none"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("large", "too_large"),
        ("loop", "redirects"),
        ("endless", "too_large"),
        ("short", "network"),
        ("hop2", "redirects"),
        ("other-scheme", "scheme"),
        ("file-scheme", "scheme"),
        ("gone", "http_status"),
        ("nothing", "http_status"),
        ("no-location", "http_status"),
    ],
)
def test_bounds_what_a_server_may_do(server: str, path: str, expected: str) -> None:
    assert reason(f"{server}/{path}", LOCAL) == expected


@pytest.mark.parametrize("path", ["slow", "slow-loop"])
def test_bounds_how_long_a_server_may_take(server: str, path: str) -> None:
    assert reason(f"{server}/{path}", replace(LOCAL, timeout=1.0)) == "timeout"


def test_does_not_unpack_what_a_server_packed(server: str) -> None:
    assert read_source(f"{server}/gzip", access=LOCAL) == GZIPPED


def test_redirects_lead_to_no_private_address(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.model.fetching.is_public", lambda address: address == "127.0.0.1")
    access = Access(schemes=frozenset({"http"}), timeout=3.0)
    assert read_source(f"{server}/picture", access=access) == b"picture"
    assert reason(f"{server}/private", access) == "private_address"


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
        "::127.0.0.1",
        "64:ff9b:1::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "ff02::1",
        "224.0.0.1",
        "100.64.0.1",
        "fd00::1",
        "0.0.0.0",
    ],
)
def test_knows_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_knows_addresses_that_are_public(address: str) -> None:
    assert is_public(address)
