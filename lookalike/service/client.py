"""A client of the service, for threads (`Client`) and for asyncio (`AsyncClient`); answers are JSON values."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import quote

from lookalike.errors import LookalikeError, MissingExtraError
from lookalike.model.sources import is_remote
from lookalike.records import ImageSource, Listing, Reference

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx", "serve") from error

Values = dict[str, Any]
_V = TypeVar("_V", covariant=True)
_L = TypeVar("_L", covariant=True)
_B = TypeVar("_B", covariant=True)
_LONGEST_WAIT = 60.0  # seconds


class ServiceError(LookalikeError):
    """The service refused a request, with this `status` and `reason`, a short, stable word."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(f"the service answered {status} {reason}: {detail}")
        self.status, self.reason = status, reason


class _Requests(Generic[_V, _L, _B]):
    """What both clients ask: each answers with values, a list of values, or bytes; the other one with their promise."""

    _send: Callable[..., Any]

    def _ask(self, method: str, path: str, values: Any = None) -> _V:
        return cast("_V", self._send(method, path, values, _values))

    def check(self, listing: Listing) -> _V:
        """The finding of a listing."""
        return self._ask("POST", "/v1/check", _listing(listing))

    def check_many(self, listings: Sequence[Listing]) -> _L:
        """A line for each of up to 100 listings: its `finding` or its `problem`, and the `status` of that."""
        values = {"listings": list(map(_listing, listings))}
        return cast("_L", self._send("POST", "/v1/check:batch", values, _lines))

    def finding(self, finding: str) -> _V:
        """A finding by its id."""
        return self._ask("GET", f"/v1/findings/{_part(finding)}")

    def evidence(self, finding: str) -> _B:
        """The picture that shows why, as PNG."""
        return cast("_B", self._send("GET", f"/v1/findings/{_part(finding)}/evidence.png", None, _content))

    def put_reference(self, reference: Reference) -> _V:
        """Add a genuine photo, or replace the one with that id."""
        values = {"product": reference.product, "brand": reference.brand, "photo": _photo(reference.image)}
        return self._ask("PUT", f"/v1/references/{_part(reference.id)}", values)

    def delete_reference(self, name: str) -> _V:
        """Remove a genuine photo."""
        return self._ask("DELETE", f"/v1/references/{_part(name)}")

    def add_job(self, listings: str) -> _V:
        """Have a table of listings judged, by its path below the server's folders or its address."""
        return self._ask("POST", "/v1/jobs", {"listings": listings})

    def job(self, job: str) -> _V:
        """Where a job stands."""
        return self._ask("GET", f"/v1/jobs/{_part(job)}")

    def job_findings(self, job: str) -> _B:
        """What a job found, as a findings table in Parquet."""
        return cast("_B", self._send("GET", f"/v1/jobs/{_part(job)}/findings", None, _content))

    def end_job(self, job: str) -> _V:
        """Cancel a job, or forget one that has ended."""
        return self._ask("DELETE", f"/v1/jobs/{_part(job)}")

    def info(self) -> _V:
        """The versions of what the service answers with."""
        return self._ask("GET", "/v1/info")


class Client(_Requests[Values, list[Values], bytes]):
    """Asks the service at `address` with a key. While it is busy, it is asked again when it says, `retries` times.

    A photo with an address is fetched by the service; one that is a path or bytes is sent. Every method raises
    ServiceError for what the service refuses, and httpx.HTTPError if it can't be reached in time.
    """

    def __init__(self, address: str, key: str, *, retries: int = 2, timeout: float = 60.0) -> None:
        self._http, self._retries = httpx.Client(base_url=address, headers=_headers(key), timeout=timeout), retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _send(self, method: str, path: str, values: Any, read: Callable[[httpx.Response], Any]) -> Any:
        for left in range(self._retries, -1, -1):
            response = self._http.request(method, path, json=values)
            if not left or (wait := _wait(response)) is None:
                break
            time.sleep(wait)
        return _answer(response, read)


class AsyncClient(_Requests[Awaitable[Values], Awaitable[list[Values]], Awaitable[bytes]]):
    """The same for asyncio: every method is to be awaited."""

    def __init__(self, address: str, key: str, *, retries: int = 2, timeout: float = 60.0) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=_headers(key), timeout=timeout)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def _send(self, method: str, path: str, values: Any, read: Callable[[httpx.Response], Any]) -> Any:
        for left in range(self._retries, -1, -1):
            response = await self._http.request(method, path, json=values)
            if not left or (wait := _wait(response)) is None:
                break
            await asyncio.sleep(wait)
        return _answer(response, read)


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _part(name: str) -> str:
    return quote(name, safe="")


def _listing(listing: Listing) -> Values:
    names = ("id", "seller", "territory", "currency", "title", "url")
    values = {name: getattr(listing, name) for name in names if getattr(listing, name) is not None}
    price = {} if listing.price is None else {"price": format(listing.price, "f")}
    return {**values, **price, "photos": list(map(_photo, listing.images))}


def _photo(image: ImageSource) -> Values:
    """A photo as the service takes it. Raises TypeError for pixels, and OSError for a file that can't be read."""
    if isinstance(image, str) and is_remote(image):
        return {"url": image}
    if not isinstance(image, bytes | str | Path):
        raise TypeError(f"a photo is {type(image).__name__}; give an address, a path or the bytes of a file")
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    return {"base64": base64.b64encode(data).decode()}


def _wait(response: httpx.Response) -> float | None:
    """After how many seconds a busy service wants to be asked again; None if it need not be."""
    after = response.headers.get("Retry-After", "")
    if response.status_code not in (429, 503) or not (after.isascii() and after.isdigit()):
        return None
    return float(after) if float(after) <= _LONGEST_WAIT else None


def _answer(response: httpx.Response, read: Callable[[httpx.Response], Any]) -> Any:
    if response.is_success:
        return read(response)
    try:
        problem = response.json()
        reason, detail = str(problem["reason"]), str(problem["detail"])
    except (ValueError, LookupError, TypeError):  # of something in between, such as a proxy
        reason, detail = "unknown", response.text[:200]
    raise ServiceError(response.status_code, reason, detail)


def _values(response: httpx.Response) -> Values:
    return dict(response.json()) if response.content else {}


def _lines(response: httpx.Response) -> list[Values]:
    return [json.loads(line) for line in response.text.splitlines() if line]


def _content(response: httpx.Response) -> bytes:
    return response.content
