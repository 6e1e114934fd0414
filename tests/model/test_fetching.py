"""Addresses are asked for as they were given, busy servers again, and secrets stay with their server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lookalike.errors import ImageReadError
from lookalike.model.sources import Access, read_source

HTTP = frozenset({"http"})
LOCAL = Access(schemes=HTTP, private=True, timeout=20.0)


class Server(ThreadingHTTPServer):
    """Answers each request with the next of its `answers`: a status and headers, or None to drop the connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]] | None] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        answer = self.server.answers.pop(0) if self.server.answers else (200, {})
        if answer is None:
            self.connection.close()
            return
        self.send_response(answer[0])
        for name, value in answer[1].items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"picture")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
        running.shutdown()


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as running:
        yield running
        running.shutdown()


SIGNED = [
    "/p.jpg?type=image%2Fjpeg&Signature=aB%2Bc%2Fd%3D&x=a+b",
    "/img%28front%29.jpg?t=1",
    "/a%2Cb%2f%2F.jpg",
    "/a(b),c;d=1.jpg?e=[1]|{2}^'\"<>`\\",
    "/a//../b/./c.jpg",
    "/100%.jpg?50%",
    "/plain.jpg",
]


@pytest.mark.parametrize("path", SIGNED)
def test_asks_for_an_address_exactly_as_it_was_given(server: Server, path: str) -> None:
    read_source(server.address + path + "#part", access=LOCAL)
    assert server.asked == [path]


@pytest.mark.parametrize("path", SIGNED)
def test_follows_a_redirect_exactly_as_it_was_given(server: Server, other: Server, path: str) -> None:
    server.answers = [(302, {"Location": other.address + path})]
    read_source(server.address + "/a", access=LOCAL)
    assert other.asked == [path]


def test_escapes_only_what_http_cannot_send(server: Server) -> None:
    read_source(f"{server.address}/é b%20c.jpg?ü=%C3", access=LOCAL)
    server.answers = [(302, {"Location": b"/\xc3\xa9\xe9 b".decode("latin-1")})]  # sent as these very bytes
    read_source(f"{server.address}/a", access=LOCAL)
    assert server.asked == ["/%C3%A9%20b%20c.jpg?%C3%BC=%C3", "/a", "/%C3%A9%E9%20b"]


def test_reaches_only_the_hosts_of_a_list_by_a_redirect_too(server: Server, other: Server) -> None:
    access = replace(LOCAL, hosts=frozenset({"LocalHost"}))
    here = server.address.replace("127.0.0.1", "localhost")
    assert read_source(f"{here}/a", access=access) == b"picture"
    server.answers = [(302, {"Location": f"{other.address}/secret"})]
    for address in (
        f"{server.address}/b",
        f"{here}/a",
        here.replace("localhost", "localhost."),
        f"{here.replace('//', '//127.0.0.1@x')}/d",
    ):
        with pytest.raises(ImageReadError, match="is not one of those allowed") as caught:
            read_source(address, access=access)
        assert caught.value.reason == "host"
    assert (server.asked, other.asked) == (["/a", "/a"], [])


@pytest.mark.parametrize("status", [429, 503])
def test_asks_a_busy_server_again(server: Server, status: int) -> None:
    server.answers = [(status, {"Retry-After": "0"}), None]
    assert read_source(server.address, access=LOCAL) == b"picture"
    assert len(server.asked) == 3


@pytest.mark.parametrize("dated", [False, True])
def test_waits_as_long_as_the_server_asks(server: Server, dated: bool) -> None:
    start = time.monotonic()
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    server.answers = [(429, {"Retry-After": format_datetime(date, usegmt=True) if dated else "1"})]
    read_source(server.address, access=LOCAL)
    assert time.monotonic() - start >= 0.95
    assert len(server.asked) == 2


@pytest.mark.parametrize("after", ["99999999999999999999", "60", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_does_not_wait_longer_than_it_may(server: Server, after: str) -> None:
    server.answers, start = [(503, {"Retry-After": after})] * 9, time.monotonic()
    with pytest.raises(
        ImageReadError, match=r"it answered 503 and asks to wait \d+ s.*--retries and --timeout"
    ) as caught:
        read_source(server.address, access=LOCAL)
    assert caught.value.reason == "http_status"
    assert time.monotonic() - start < 15  # neither what it asks nor the 20 s it has
    assert len(server.asked) == 1


@pytest.mark.parametrize("after", ["soon", "", "-5", "1e999", "Mon, 99 Foo", "²"])
def test_takes_a_retry_after_without_sense_as_none(server: Server, after: str) -> None:
    server.answers = [(429, {"Retry-After": after})]
    assert read_source(server.address, access=LOCAL) == b"picture"


@pytest.mark.parametrize("retries", [0, 1])
def test_asks_no_more_often_than_it_may(server: Server, retries: int) -> None:
    server.answers = [(429, {"Retry-After": "0"})] * 9
    with pytest.raises(ImageReadError):
        read_source(server.address, access=Access(schemes=HTTP, private=True, retries=retries))
    assert len(server.asked) == retries + 1


def test_other_answers_are_final(server: Server) -> None:
    server.answers = [(403, {})]
    with pytest.raises(ImageReadError, match="the server answered 403"):
        read_source(server.address, access=LOCAL)
    assert len(server.asked) == 1


def with_headers(**more: Any) -> Access:
    return Access(schemes=HTTP, private=True, headers={"Authorization": "Bearer x", "X-Key": "k"}, **more)


def test_says_who_asks_and_sends_the_headers_that_it_was_given(server: Server) -> None:
    read_source(server.address, access=LOCAL)
    read_source(server.address, access=with_headers(user_agent="shop-bot/2 (mail@example.com)"))
    assert server.headers[0]["user-agent"].startswith("lookalike/")
    sent = server.headers[1]
    assert (sent["user-agent"], sent["authorization"], sent["x-key"]) == (
        "shop-bot/2 (mail@example.com)", "Bearer x", "k")  # fmt: skip


def test_headers_stay_with_the_server_that_was_named(server: Server, other: Server) -> None:
    server.answers = [(302, {"Location": "/b"}), (302, {"Location": other.address + "/c"})]
    read_source(server.address + "/a", access=with_headers())
    assert ["authorization" in headers for headers in server.headers] == [True, True]
    assert not {"authorization", "x-key"} & set(other.headers[0])
    other.answers = [(302, {"Location": server.address + "/back"})]
    server.headers.clear()
    read_source(other.address.replace("127.0.0.1", "localhost"), access=with_headers())
    assert not {"authorization", "x-key"} & set(server.headers[0])


def test_headers_go_only_to_the_hosts_named_for_them(server: Server) -> None:
    for hosts, sent in ((frozenset({"cdn.example.com"}), False), (frozenset({"127.0.0.1"}), True)):
        read_source(server.address, access=with_headers(header_hosts=hosts))
        assert ("authorization" in server.headers[-1]) is sent


def test_a_name_and_password_in_the_address_are_used_and_never_shown(server: Server) -> None:
    address = server.address.replace("http://", "http://anna:geh%40eim@")
    assert read_source(address, access=with_headers()) == b"picture"
    assert server.headers[0]["authorization"] == "Basic YW5uYTpnZWhAZWlt"  # anna:geh@eim
    server.answers = [(404, {}), (302, {"Location": "ftp://anna:geheim@x/"})]
    for access in (LOCAL, LOCAL, Access(), Access(schemes=HTTP)):
        with pytest.raises(ImageReadError) as caught:
            read_source(address, access=access)
        assert "anna" not in repr(caught.value) + str(caught.value) + caught.value.source
        assert str(caught.value).startswith("http://***@127.0.0.1:")


def test_access_keeps_secrets_out_of_its_text_and_can_be_a_key() -> None:
    access = with_headers()
    assert "Bearer" not in repr(access)
    assert hash(access) == hash(with_headers())
    assert access != Access(schemes=HTTP, private=True)


@pytest.mark.parametrize("header", [{"A B": "c"}, {"": "c"}, {"A": "b\r\nC: d"}, {"A:": "b"}])
def test_refuses_a_header_that_http_cannot_send(header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="can't be sent"):
        Access(headers=header)
