"""Answers requests for photos of findings, and for what matches and differs in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from lookalike.errors import ImageReadError

from .answers import answer, jpeg, text
from .cards import matches_in, photo_sources
from .evidence import Evidence, Key
from .findings import OpenFindings
from .photos import SIDE, SMALL, Photos

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Row = Mapping[str, Any]


class Pictures:
    """The pictures of one table's findings. `listings` gives all photos of a listing, if they are known.

    A request names a finding by its place and a photo or candidate by its number; no path ever comes from a browser.
    """

    def __init__(
        self,
        findings: OpenFindings,
        photos: Photos,
        evidence: Evidence,
        listings: Callable[[str], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self._findings, self._photos, self._evidence = findings, photos, evidence
        self.listings = listings

    def photo(self, request: Request) -> Response:
        """A photo of the listing, the one that decided first."""
        row = self._row(request)
        return self._shown(photo_sources(row, matches_in(row), self.listings(row["listing_id"])), request)

    def genuine(self, request: Request) -> Response:
        """The genuine photo of a candidate, the one that decided first."""
        row = self._row(request)
        sources = [str(match.reference.image) for match in matches_in(row)] or [row["reference_image"] or ""]
        return self._shown(sources, request)

    async def layers(self, request: Request) -> Response:
        """What matches and differs between the listing and a candidate."""
        place, number = self._findings.known(request.path_params["place"]), request.path_params["number"]
        try:
            said = await asyncio.wrap_future(self._start(place, number)[1])
        except asyncio.CancelledError:  # the page went on to another finding
            said = {"error": "The page went on to another finding."}
        photo = self._findings.items[place].photo
        changed = number == 0 and "sha256" in said and photo not in (None, said["sha256"])
        return answer({**said, "changed": changed})

    def layer(self, request: Request) -> Response:
        """A picture that belongs to the layers: an aligned view, or a place close up."""
        place, number = self._findings.known(request.path_params["place"]), request.path_params["number"]
        key, found = self._start(place, number)
        found.result()
        return jpeg(self._evidence.picture(key, request.path_params["name"], lambda: self._start(place, number)[1]))

    def prepare(self, places: Iterable[int]) -> None:
        """Begin to make the evidence of these findings, and make that of no others."""
        self._evidence.keep_only([self._start(place, 0)[0] for place in places])

    def _row(self, request: Request) -> Row:
        return self._findings.row(self._findings.known(request.path_params["place"]))

    def _shown(self, sources: list[str], request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(sources) or not sources[number]:
            return text("There is no such photo.\n", 404)
        try:
            side = SMALL if "small" in request.query_params else SIDE
            return jpeg(self._photos.jpeg(sources[number], side))
        except ImageReadError as error:
            return text(f"{error}\n", 404)

    def _start(self, place: int, number: int) -> tuple[Key, Future[dict[str, Any]]]:
        """Begin to make the evidence for a finding and one of its candidates."""
        row = self._findings.row(place)
        matches = matches_in(row)
        if number < len(matches):
            match = matches[number]
            listing, reference = match.image or row["image"] or "", str(match.reference.image)
            key = (match.image_sha256 or listing, f"{match.reference.id} {reference}")
        else:
            listing, reference = row["image"] or "", row["reference_image"] or ""
            key = (row["image_sha256"] or listing, f"{row['reference_id']} {reference}")
        return key, self._evidence.start(key, listing, reference)
