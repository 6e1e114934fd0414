"""Reads the bytes of a picture from a file or an address, within limits of size and time that the caller sets."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import math
import os
import re
import socket
import stat
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec
from fsspec.asyn import sync

from lookalike.errors import ImageReadError, MissingExtraError

_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+)://|(data):", re.IGNORECASE)
_CHUNK = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_PUBLIC = "is not a public address"
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is assigned so far (RFC 4291, 2.4)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


@dataclass(frozen=True)
class Access:
    """What can be read: local paths always, remote sources only if their scheme is in `schemes`, for example "https".

    `private` also allows private, loopback and link-local addresses. A picture can have up to `max_bytes` bytes, and a
    transfer can take up to `timeout` seconds and `max_redirects` redirects. Addresses and redirects are checked for
    http and https; other schemes reach whatever their fsspec back end reaches.
    """

    schemes: frozenset[str] = frozenset()
    private: bool = False
    max_bytes: int = 64 * 2**20
    timeout: float = 15.0
    max_redirects: int = 3


def is_remote(source: object) -> bool:
    """Whether a source is an address rather than a path.

    >>> is_remote("https://example.com/a.jpg"), is_remote("C:/a.jpg"), is_remote("a:b.jpg")
    (True, False, False)
    """
    return isinstance(source, str) and _REMOTE.match(source) is not None


def read_source(source: str | Path | bytes, *, access: Access | None = None) -> bytes:
    """The bytes of a file or an address; bytes are returned as they are.

    Raises ImageReadError if the source is missing, not a regular file, empty, too large, too slow or not allowed, and
    MissingExtraError if http or https needs a package that is not installed.
    """
    access = access or Access()
    if isinstance(source, bytes):
        return _bounded(source, "", access)
    if is_remote(source):
        return _bounded(_read_remote(str(source), access), str(source), access)
    return _bounded(_read_local(Path(source), str(source), access), str(source), access)


def _bounded(data: bytes, source: str, access: Access) -> bytes:
    if len(data) > access.max_bytes:
        raise _too_large(source, access)
    if not data:
        raise read_error("is empty; give a picture", source, "empty")
    return data


def read_error(what: str, source: str, reason: str) -> ImageReadError:
    """The error that says what is wrong with a source; its name and the message are shortened to fit a line."""
    name = source if len(source) <= 200 else f"…{source[-199:]}"
    return ImageReadError(f"{name or 'picture'}: {what[:300]}", source=source, reason=reason)


def _too_large(source: str, access: Access) -> ImageReadError:
    what = f"is larger than {access.max_bytes:,} bytes, the most that is read; shrink the picture"
    return read_error(what, source, "too_large")


def _read_local(path: Path, source: str, access: Access) -> bytes:
    try:
        # without O_NONBLOCK, opening a named pipe would wait for ever for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise read_error("there is no such file", source, "missing") from error
    except (OSError, ValueError) as error:  # no permission, a name that is too long or has a null byte …
        why = getattr(error, "strerror", None) or error
        reason = "not_a_file" if isinstance(error, IsADirectoryError) else "unreadable"
        raise read_error(f"can't be opened ({why})", source, reason) from error
    try:
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise read_error("is not a regular file; give a picture", source, "not_a_file")
            if status.st_size > access.max_bytes:
                raise _too_large(source, access)
            return _read_all(file, source, access)
    except IsADirectoryError as error:
        raise read_error("is not a regular file; give a picture", source, "not_a_file") from error
    except OSError as error:
        raise read_error(f"can't be read ({error.strerror})", source, "unreadable") from error
    finally:
        os.close(descriptor)


def _read_all(file: Any, source: str, access: Access, *, end: float = math.inf) -> bytes:
    data = io.BytesIO()
    while chunk := file.read(_CHUNK):
        data.write(chunk)
        if data.tell() > access.max_bytes:
            raise _too_large(source, access)
        if time.monotonic() > end:
            raise TimeoutError
    return data.getvalue()


def _read_remote(url: str, access: Access) -> bytes:
    scheme = _scheme(url)
    if scheme not in access.schemes:
        allowed = ", ".join(sorted(access.schemes)) or "none"
        what = f"scheme {scheme} is not allowed (allowed: {allowed}); allow it with --allow-scheme {scheme}"
        raise read_error(what, url, "scheme")
    if "::" in url and scheme not in ("http", "https"):
        raise read_error("is an address chained with ::; give the one it leads to", url, "scheme")
    try:
        if scheme in ("http", "https"):
            return _read_http(url, access)
        if scheme in ("file", "local"):
            parts = urlsplit(url)
            if parts.netloc not in ("", "localhost"):
                raise read_error(f"is on another computer, {parts.netloc}; give a path", url, "missing")
            return _read_local(Path(url2pathname(parts.path)), url, access)
        return _read_fsspec(url, access)
    except (ImageReadError, MissingExtraError):
        raise
    except Exception as error:  # fsspec's back ends raise the errors of their clients; none should end a run
        raise _remote_error(url, error) from error


def _scheme(url: str) -> str:
    match = _REMOTE.match(url)
    return (match.group(1) or match.group(2)).lower() if match else ""


def _read_fsspec(url: str, access: Access) -> bytes:
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # names the package that brings the scheme, or knows none
        raise read_error(str(error), url, "scheme") from error
    end = time.monotonic() + access.timeout  # for the transfer; connecting is up to the back end
    with system.open(path, "rb") as file:
        return _read_all(file, url, access, end=end)


def _remote_error(url: str, error: Exception) -> ImageReadError:
    refused = _refusal(error)
    if refused is not None:
        return read_error(f"{refused}; allow private addresses only for sources you trust", url, "private_address")
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return read_error("took too long", url, "timeout")
    if isinstance(error, FileNotFoundError):
        return read_error("there is no such file", url, "missing")
    return read_error(f"can't be fetched ({type(error).__name__}: {error})", url, "network")


def _refusal(error: BaseException | None) -> str | None:
    """What our socket factory refused, from within the errors that the HTTP client wraps it in."""
    while error is not None:
        if _NOT_PUBLIC in str(error):
            return str(error)[str(error).find("[") + 1 :].rstrip("]")
        error = error.__cause__ or error.__context__
    return None


def _read_http(url: str, access: Access) -> bytes:
    system = _http(access, os.getpid())
    data: bytes = sync(system.loop, _fetch, system, url, access)
    return data


async def _fetch(system: Any, url: str, access: Access) -> bytes:
    """One GET. It follows redirects itself, so that each is checked, and reads no byte beyond the limit."""
    import yarl

    session = await system.set_session()
    address = yarl.URL(url)
    async with asyncio.timeout(access.timeout):
        for _ in range(access.max_redirects + 1):
            async with session.get(address, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location is not None:
                    address = address.join(yarl.URL(location))
                    if address.scheme not in {"http", "https"} & access.schemes:
                        what = f"redirects to the scheme {address.scheme}, which is not allowed"
                        raise read_error(what, url, "scheme")
                    continue
                if response.status != 200:
                    raise read_error(f"the server answered {response.status}", url, "http_status")
                if (response.content_length or 0) > access.max_bytes:
                    raise _too_large(url, access)
                data = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    data += chunk
                    if len(data) > access.max_bytes:
                        raise _too_large(url, access)
                return bytes(data)
    raise read_error(f"redirects more than {access.max_redirects} times", url, "redirects")


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
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,  # a few kB of gzip can hold gigabytes
            trust_env=False,
        )

    return HTTPFileSystem(get_client=client, skip_instance_cache=True, use_listings_cache=False)


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
