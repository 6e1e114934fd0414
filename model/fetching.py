"""Fetches pictures over http and https: each address checked and sent as it was given, within bounds."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from fsspec.asyn import sync

from lookalike.errors import MissingExtraError
from lookalike.records import HIDDEN_USER

from .access import Access, read_error, too_large
from .local_files import CHUNK

if TYPE_CHECKING:
    import yarl

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds before another try; it doubles if the server names no time
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_NOT_PUBLIC = "is not a public address"
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is assigned so far (RFC 4291, 2.4)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


class _AgainError(Exception):
    """The server may answer if it is asked again after `wait` seconds (None: it names no time)."""

    def __init__(self, error: Exception, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def read_http(url: str, access: Access) -> bytes:
    """The bytes at an address. Raises ImageReadError, MissingExtraError, and errors of the HTTP client."""
    system = _http(access, os.getpid())
    data: bytes = sync(system.loop, _fetch, system, url, access)
    return data


async def _fetch(system: Any, url: str, access: Access) -> bytes:
    session, loop = await system.set_session(), asyncio.get_running_loop()
    end = loop.time() + access.timeout
    async with asyncio.timeout_at(end):
        for tried in itertools.count():
            try:
                return await _get(session, url, access)
            except _AgainError as raised:
                again = raised
            wait = _FIRST_WAIT * 2**tried if again.wait is None else again.wait
            if tried >= access.retries or wait > min(_LONGEST_WAIT, end - loop.time()):
                raise again.error
            await asyncio.sleep(wait)
    raise AssertionError("the last try returns or raises")


async def _get(session: Any, url: str, access: Access) -> bytes:
    """One GET. It follows redirects itself, so that each is checked, and reads no byte beyond the limit."""
    address = first = exact_url(url)
    for _ in range(access.max_redirects + 1):
        if access.hosts is not None and address.host not in {host.lower() for host in access.hosts}:
            raise read_error(f"the host {address.host} is not one of those allowed", url, "host")
        headers = _headers(address, first, access)
        with _dropped():
            async with session.get(address, headers=headers, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location is not None:
                    address = exact_url(urljoin(str(address), location))
                    if address.scheme not in {"http", "https"} & access.schemes:
                        what = f"redirects to the scheme {address.scheme}; allow it with --allow-scheme"
                        raise read_error(what, url, "scheme")
                    continue
                if response.status != 200:
                    raise _refused(response, url)
                if (response.content_length or 0) > access.max_bytes:
                    raise too_large(url, access)
                data = bytearray()
                async for chunk in response.content.iter_chunked(CHUNK):
                    data += chunk
                    if len(data) > access.max_bytes:
                        raise too_large(url, access)
                return bytes(data)
    what = f"redirects more than {access.max_redirects} times; allow more with --max-redirects"
    raise read_error(what, url, "redirects")


def _refused(response: Any, url: str) -> Exception:
    """The error for an answer that is no picture."""
    if response.status not in _BUSY:
        return read_error(f"the server answered {response.status}", url, "http_status")
    wait = _wait(response.headers.get("Retry-After", ""))
    named = "" if wait is None else f" and asks to wait {wait:.0f} s"
    what = (
        f"the server is busy (it answered {response.status}{named}); try later, or allow more --retries and --timeout"
    )
    return _AgainError(read_error(what, url, "http_status"), wait)


def _wait(header: str) -> float | None:
    """The seconds that a Retry-After names, as a number or a date (RFC 9110, 10.2.3); None if it names none."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


@contextmanager
def _dropped() -> Iterator[None]:
    """Raise _AgainError for a connection that was made and then lost."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientConnectorError:  # none was made: no such host, nobody there, or not a public address
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError) as error:
        raise _AgainError(error) from error


def _headers(address: yarl.URL, first: yarl.URL, access: Access) -> dict[str, str]:
    """The caller's headers, for the server that they are meant for only: they may hold secrets."""
    if address.origin() != first.origin():
        return {}
    if access.header_hosts is not None and address.host not in {host.lower() for host in access.header_hosts}:
        return {}
    # a name and password in the address take the place of an Authorization
    own = address.raw_user is not None
    return {name: value for name, value in dict(access.headers).items() if not own or name.lower() != "authorization"}


def exact_url(url: str) -> yarl.URL:
    """An address to be sent as it is, as signed ones must be; only what HTTP can't send is escaped.

    >>> str(exact_url("https://example.com/a%2Fb é.jpg?s=%2B+("))
    'https://example.com/a%2Fb%20%C3%A9.jpg?s=%2B+('
    """
    import yarl

    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if user == HIDDEN_USER:  # from findings or an index, which don't keep it
        user = at = ""
    host = yarl.URL.build(scheme=parts.scheme, authority=place).raw_authority  # which has an ASCII form of its own
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    # a Location may hold bytes that are no UTF-8, which aiohttp gives as surrogates
    user, path = (quote(part, _PRINTABLE, errors="surrogateescape") for part in (user, path))
    return yarl.URL(f"{parts.scheme}://{user}{at}{host}{path}", encoded=True)


def refusal(error: BaseException | None) -> str | None:
    """What our socket factory refused, from within the errors that the HTTP client wraps it in."""
    while error is not None:
        if _NOT_PUBLIC in str(error):
            return str(error)[str(error).find("[") + 1 :].rstrip("]")
        error = error.__cause__ or error.__context__
    return None


@lru_cache(maxsize=8)
def _http(access: Access, _process: int) -> Any:
    """A file system for http(s) that stays within `access`; all threads of a process share its connections."""
    try:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem
    except ImportError as error:
        raise MissingExtraError("aiohttp", "remote") from error

    async def client(**_from_configuration: Any) -> aiohttp.ClientSession:
        # fsspec's configuration files could turn on proxies and cookies here
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32, socket_factory=_socket_factory(access)),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=access.timeout),
            headers={"Accept-Encoding": "identity", "User-Agent": access.user_agent or f"lookalike/{_version()}"},
            auto_decompress=False,  # a few kB of gzip can hold gigabytes
            trust_env=False,
        )

    return HTTPFileSystem(get_client=client, skip_instance_cache=True, use_listings_cache=False)


def _version() -> str:
    try:
        return version("lookalike")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _socket_factory(access: Access) -> Any:
    def create(address: Any) -> socket.socket:
        family, kind, protocol, _, target = address
        # the name is resolved by now and the connection not yet made, so no trick with names gets around this
        if not access.private and not is_public(target[0]):
            raise OSError(f"{target[0]} {_NOT_PUBLIC}")
        created = socket.socket(family, kind, protocol)
        created.setblocking(False)
        return created

    return create


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, even if it is wrapped in an IPv6 address.

    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1")]
    [True, False, False, False]
    """
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed not in _UNICAST:
            return False
    return parsed.is_global and not parsed.is_multicast
