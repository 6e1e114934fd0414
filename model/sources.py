"""The bytes of a picture, from wherever it is: bounded in size and time, and only from where the caller allows."""

from __future__ import annotations

import io
import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lookalike.errors import ImageReadError, MissingExtraError

_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(data):", re.IGNORECASE)
_CHUNK = 1 << 18
_NOT_PUBLIC = "is no public address"


@dataclass(frozen=True)
class Access:
    """What may be read. Local paths always may; remote sources only of the `schemes` named, for example "https".

    `private` allows private, loopback and link-local addresses too. A picture may have `max_bytes` bytes,
    a transfer may take `timeout` seconds and `max_redirects` redirects.
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
    """The bytes of a file, of an address, or those given.

    Raises ImageReadError for what is missing, no regular file, too large, too slow or not allowed, and
    MissingExtraError where reading that kind of address needs a package that is not installed.
    """
    access = access or Access()
    if isinstance(source, bytes):
        return _bounded(source, "picture", access)
    if is_remote(source):
        return _bounded(_read_remote(str(source), access), str(source), access)
    return _bounded(_read_local(Path(source), access), str(source), access)


def _bounded(data: bytes, name: str, access: Access) -> bytes:
    if len(data) > access.max_bytes:
        raise _too_large(name, access)
    if not data:
        raise ImageReadError(f"{name}: came no bytes, needed a picture", source=name, reason="empty")
    return data


def _too_large(name: str, access: Access) -> ImageReadError:
    message = f"{name}: came more than {access.max_bytes:,} bytes, the most that is read; shrink the picture"
    return ImageReadError(message, source=name, reason="too_large")


def _read_local(path: Path, access: Access) -> bytes:
    try:
        # without O_NONBLOCK, opening a named pipe would wait for a writer for ever
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        why = "there is no such file" if reason == "missing" else f"it can't be opened ({error})"
        raise ImageReadError(f"{path}: {why}", source=str(path), reason=reason) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ImageReadError(f"{path}: is no regular file, needed a picture", source=str(path), reason="not_a_file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > access.max_bytes:
            raise _too_large(str(path), access)
        try:
            return file.read(access.max_bytes + 1)
        except OSError as error:
            raise ImageReadError(f"{path}: can't be read ({error})", source=str(path), reason="unreadable") from error


def _read_remote(url: str, access: Access) -> bytes:
    match = _REMOTE.match(url)
    scheme = (match.group(1) or match.group(2)).lower() if match else ""
    if scheme not in access.schemes:
        allowed = ", ".join(sorted(access.schemes)) or "none"
        message = (
            f"{url[:200]}: scheme {scheme} is not allowed (allowed: {allowed}); "
            f"allow it with --allow-scheme {scheme}, or Access(schemes=...) in Python"
        )
        raise ImageReadError(message, source=url[:200], reason="scheme")
    try:
        if scheme in ("http", "https"):
            opened = _http(access).open(url, "rb", block_size=0, size=1)  # a size keeps it from asking for one
        else:
            import fsspec

            opened = fsspec.open(url, "rb").open()
        with opened as file:
            return _read_all(file, url, access)
    except (ImageReadError, MissingExtraError):
        raise
    except ImportError as error:
        raise ImageReadError(f"{url[:200]}: {error}", source=url[:200], reason="scheme") from error
    except Exception as error:  # fsspec's back ends raise their clients' own kinds; none may end a run
        raise _remote_error(url, error) from error


def _read_all(file: Any, url: str, access: Access) -> bytes:
    data = io.BytesIO()
    while chunk := file.read(_CHUNK):
        data.write(chunk)
        if data.tell() > access.max_bytes:
            raise _too_large(url[:200], access)
    return data.getvalue()


def _remote_error(url: str, error: Exception) -> ImageReadError:
    text, reason = f"{type(error).__name__}: {error}", "network"
    refused = _refusal(error)
    if refused is not None:
        text, reason = refused, "scheme" if "scheme" in refused else "private_address"
    elif isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        text, reason = "took too long", "timeout"
    elif type(error).__name__ == "TooManyRedirects":
        text, reason = "redirects too often", "redirects"
    elif isinstance(error, FileNotFoundError) or hasattr(error, "status"):
        text, reason = f"the server answered {getattr(error, 'status', 404)}", "http_status"
    return ImageReadError(f"{url[:200]}: {text[:300]}", source=url[:200], reason=reason)


def _refusal(error: BaseException | None) -> str | None:
    """What we ourselves refused inside the HTTP client, which wraps it in errors of its own."""
    while error is not None:
        if isinstance(error, _RefusedError) or _NOT_PUBLIC in str(error):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


class _RefusedError(OSError):
    """An address or a redirect that the caller did not allow."""


@lru_cache(maxsize=8)
def _http(access: Access) -> Any:
    """A file system for http(s) that keeps to `access`, its connections shared by all threads."""
    try:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem
    except ImportError as error:
        raise MissingExtraError("aiohttp", "remote") from error

    async def client(**arguments: Any) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_redirect_check(access))
        connector = aiohttp.TCPConnector(limit=32, socket_factory=_socket_factory(access))
        return aiohttp.ClientSession(
            connector=connector,
            trace_configs=[trace],
            timeout=aiohttp.ClientTimeout(total=access.timeout),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,  # a few kB of gzip can hold gigabytes
            **arguments,
        )

    return HTTPFileSystem(
        get_client=client,
        skip_instance_cache=True,
        max_redirects=access.max_redirects,
        use_listings_cache=False,
    )


def _redirect_check(access: Access) -> Any:
    async def check(_session: Any, _context: Any, redirect: Any) -> None:
        location = redirect.response.headers.get("Location", "")
        match = _REMOTE.match(location)
        if match and (match.group(1) or "").lower() not in access.schemes:
            raise _RefusedError(f"it redirects to the scheme of {location[:100]}, which is not allowed")

    return check


def _socket_factory(access: Access) -> Any:
    def create(address: Any) -> socket.socket:
        family, kind, protocol, _, target = address
        # here the name is resolved and the connection not yet made, so no trick with names gets round this
        if not access.private and not is_public(target[0]):
            raise _RefusedError(f"{target[0]} {_NOT_PUBLIC}")
        created = socket.socket(family, kind, protocol)
        created.setblocking(False)
        return created

    return create


def is_public(address: str) -> bool:
    """Whether an IP address is one on the public internet, also when it is wrapped in an IPv6 one.

    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1")]
    [True, False, False, False]
    """
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if parsed in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast
