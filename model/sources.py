"""Reads the bytes of a picture from a file or an address, within limits of size and time that the caller sets."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

from lookalike.errors import ImageReadError, MissingExtraError
from lookalike.records import shown_source

from .access import Access, read_error, too_large
from .local_files import read_all, read_local

__all__ = ["Access", "is_remote", "read_error", "read_source", "shown_source"]

_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+)://|(data):", re.IGNORECASE)


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
    return _bounded(read_local(Path(source), str(source), access), str(source), access)


def _bounded(data: bytes, source: str, access: Access) -> bytes:
    if len(data) > access.max_bytes:
        raise too_large(source, access)
    if not data:
        raise read_error("is empty; give a picture", source, "empty")
    return data


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
            from .fetching import read_http

            return read_http(url, access)
        if scheme in ("file", "local"):
            from urllib.request import url2pathname

            parts = urlsplit(url)
            if parts.netloc not in ("", "localhost"):
                raise read_error(f"is on another computer, {parts.netloc}; give a path", url, "missing")
            return read_local(Path(url2pathname(parts.path)), url, access)
        return _read_fsspec(url, access)
    except (ImageReadError, MissingExtraError):
        raise
    except Exception as error:  # fsspec's back ends raise the errors of their clients; none should end a run
        raise _remote_error(url, error, access) from error


def _scheme(url: str) -> str:
    match = _REMOTE.match(url)
    return (match.group(1) or match.group(2)).lower() if match else ""


def _read_fsspec(url: str, access: Access) -> bytes:
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # names the package that brings the scheme, or knows none
        raise read_error(str(error), url, "scheme") from error
    if isinstance(system, LocalFileSystem):  # a scheme that somebody registered
        return read_local(Path(path), url, access)
    end = time.monotonic() + access.timeout  # for the transfer; connecting is up to the back end
    with system.open(path, "rb") as file:
        return read_all(file, url, access, end=end)


def _remote_error(url: str, error: Exception, access: Access) -> ImageReadError:
    from .fetching import refusal

    refused = refusal(error)
    if refused is not None:
        what = f"{refused}; allow such addresses with --allow-private, only for sources that you trust"
        return read_error(what, url, "private_address")
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return read_error(f"took longer than {access.timeout:g} s; allow more with --timeout", url, "timeout")
    if isinstance(error, FileNotFoundError):
        return read_error("there is no such file", url, "missing")
    return read_error(f"can't be fetched ({type(error).__name__}: {error})", url, "network")
