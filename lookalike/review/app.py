"""The review as a web application, without a guard: a service mounts it behind its own, `serve` behind a token."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.errors import HistoryError, ImageReadError, LookalikeError, MissingExtraError
from lookalike.pages.html import asset, page_template
from lookalike.tables.verdicts import Judgement

from .cards import card_of, matches_in, photo_sources
from .cases_page import CasesPage
from .evidence import AHEAD, Evidence, Key, evidence_json
from .live_page import LivePage
from .photos import Photos
from .queue import strata_of
from .session import ReviewError, Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_MOST_BODY = 1 << 16
_ASSETS = {
    "review.css": "text/css",
    "review.svg": "image/svg+xml",
    **dict.fromkeys(("review.js", "review_live.js", "review_cases.js"), "text/javascript"),
}
_NOT_STORED = {"cache-control": "no-store"}

Values = Mapping[str, Any]


def require_starlette() -> None:
    """Raise MissingExtraError if the extra is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(str(error.name), "review") from error


class ReviewApp:
    """Answers the page's requests about one session. `listings` gives all photos of a listing, if they are known."""

    def __init__(
        self,
        session: Session,
        photos: Photos,
        evidence: Evidence,
        *,
        live: LivePage,
        cases: CasesPage,
        listings: Callable[[str], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self.session, self._photos, self._evidence, self._listings = session, photos, evidence, listings
        self._live, self._cases = live, cases
        self._page, self._finding, self._recent = (
            page_template(name) for name in ("review.html", "review_finding.html", "review_recent.html")
        )

    def application(self) -> Starlette:
        """The application; its addresses are relative, so it can be mounted anywhere."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/assets/{name}", self._asset),
                Route("/next", self._show_next),
                Route("/finding/{place:int}", self._show),
                Route("/photo/{place:int}/{number:int}.jpg", self._photo),
                Route("/genuine/{place:int}/{number:int}.jpg", self._genuine),
                Route("/evidence/{place:int}/{number:int}.json", self._layers),
                Route("/evidence/{place:int}/{number:int}/{name}.jpg", self._layer),
                Route("/live", self._live.page),
                Route("/live/figures", self._live.figures),
                Route("/cases", self._cases.page),
                *(
                    Route(f"/{name}", partial(_done, change), methods=["POST"])
                    for name, change in (
                        ("verdict", self._judge),
                        ("undo", self._undo),
                        ("skip", self._skip),
                        ("open", self._open),
                        ("reopen", self._reopen),
                        ("live/save", self._live.save),
                        ("live/compare", self._live.compare),
                        ("case", self._cases.note),
                        ("bundle", self._cases.bundle),
                    )
                ),
            ],
            exception_handlers={LookalikeError: _said_to_user},
        )

    def _index(self, _: Request) -> Response:
        from starlette.responses import HTMLResponse

        session = self.session
        draws = list(session.draws.values())
        text = self._page.render(
            mode=str(session.mode),
            who=session.store.who,
            file=str(session.store.path.name),
            findings=session.findings.path.name,
            seed=draws[0].seed if draws else None,
            population=draws[0].population if draws else None,
            strata=strata_of(draws),
            size=len(draws),
            judgements=[(str(each), each.in_words) for each in Judgement],
        )
        return HTMLResponse(text, headers=_NOT_STORED)

    def _asset(self, request: Request) -> Response:
        from starlette.responses import Response

        name = request.path_params["name"]
        if name not in _ASSETS:
            return _text("There is no such file.\n", 404)
        return Response(asset(name), media_type=_ASSETS[name], headers={"cache-control": "no-cache"})

    def _show_next(self, _: Request) -> Response:
        return _json(self._state())

    def _show(self, request: Request) -> Response:
        return _json(self._state(self._place(request)))

    def _state(self, shown: int | None = None) -> dict[str, Any]:
        """What the page shows: a finding, by default the next one, what comes after it, the progress."""
        ahead = self.session.next(AHEAD + 1)
        place = shown if shown is not None else next(iter(ahead), None)
        coming = [each for each in ahead if each != place][:AHEAD]
        keys = [self._start(each, 0)[0] for each in ([] if place is None else [place]) + coming]
        self._evidence.keep_only(keys)
        progress = self.session.progress()
        html = "" if place is None else self._finding.render(card=self._card(place))
        recent = [
            {"number": entry.number, "listing": entry.said.listing, "words": entry.said.verdict.in_words}
            for entry in self.session.recent()
        ]
        return {
            "place": place,
            "html": html,
            "coming": coming,
            "recent": self._recent.render(recent=recent),
            "judged": progress.judged,
            "total": progress.total,
            "perHour": progress.per_hour and round(progress.per_hour),
            "minutesLeft": progress.minutes_left and math.ceil(progress.minutes_left),
        }

    def _card(self, place: int) -> dict[str, Any]:
        item = self.session.findings.items[place]
        return card_of(self.session, place, self._listings(item.listing))

    def _judge(self, values: Values) -> dict[str, Any]:
        verdict, note = values.get("verdict"), values.get("note", "")
        seconds, instead = values.get("seconds"), values.get("instead")
        if verdict not in list(Judgement) or not isinstance(note, str):
            raise ReviewError(f"there is no verdict {str(verdict)[:40]!r}; reload the page")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < 1e9):
            raise ReviewError("the seconds of a verdict are a number; reload the page")
        if instead is not None:
            instead = self._order_of(_number(values, "place"), _number(values, "instead"))
        self.session.judge(
            _number(values, "place"),
            Judgement(verdict),
            note=note.strip(),
            seconds=None if seconds is None else round(float(seconds), 1),
            instead=instead,
            whole_group=values.get("group") is True,
        )
        return self._state()

    def _order_of(self, place: int, number: int) -> int:
        """The place among the row's matches of a candidate, which the page counts from the one that decided."""
        from lookalike.tables.candidates import matches_of

        row = self.session.findings.row(self._known(place))
        shown = matches_in(row)
        if not 0 <= number < len(shown):
            raise ReviewError(f"finding {place} has no candidate {number}; reload the page")
        return matches_of(row).index(shown[number])

    def _undo(self, _: Values) -> dict[str, Any]:
        return self._state(self.session.undo())

    def _skip(self, values: Values) -> dict[str, Any]:
        self.session.skip(_number(values, "place"))
        return self._state()

    def _open(self, values: Values) -> dict[str, Any]:
        return self._state(self._known(_number(values, "place")))

    def _reopen(self, values: Values) -> dict[str, Any]:
        return self._state(self.session.reopen(_number(values, "number")))

    def _known(self, place: int) -> int:
        if not 0 <= place < len(self.session.findings.items):
            raise ReviewError(f"there is no finding {place}; reload the page")
        return place

    def _place(self, request: Request) -> int:
        return self._known(request.path_params["place"])

    def _photo(self, request: Request) -> Response:
        place, number = self._place(request), request.path_params["number"]
        row = self.session.findings.row(place)
        return self._jpeg(photo_sources(row, matches_in(row), self._listings(row["listing_id"])), number)

    def _genuine(self, request: Request) -> Response:
        place, number = self._place(request), request.path_params["number"]
        return self._jpeg(self._genuine_sources(self.session.findings.row(place)), number)

    def _genuine_sources(self, row: Values) -> list[str]:
        return [str(match.reference.image) for match in matches_in(row)] or [row["reference_image"] or ""]

    def _jpeg(self, sources: list[str], number: int) -> Response:
        from starlette.responses import Response

        if number >= len(sources) or not sources[number]:
            return _text("There is no such photo.\n", 404)
        try:
            data = self._photos.jpeg(sources[number])
        except ImageReadError as error:
            return _text(f"{error}\n", 404)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    def _start(self, place: int, number: int) -> tuple[Key, Future[dict[str, Any]]]:
        """Begin to make the evidence for a finding and one of its candidates."""
        row = self.session.findings.row(place)
        matches = matches_in(row)
        if number < len(matches):
            match = matches[number]
            listing, reference = match.image or row["image"] or "", str(match.reference.image)
            key = (match.image_sha256 or listing, f"{match.reference.id} {reference}")
        else:
            listing, reference = row["image"] or "", row["reference_image"] or ""
            key = (row["image_sha256"] or listing, f"{row['reference_id']} {reference}")
        return key, self._evidence.start(key, listing, reference)

    async def _layers(self, request: Request) -> Response:
        from starlette.responses import Response

        place, number = self._place(request), request.path_params["number"]
        _, found = self._start(place, number)
        try:
            said = await asyncio.wrap_future(found)
        except asyncio.CancelledError:  # the page went on to another finding
            said = {"error": "The page went on to another finding."}
        item = self.session.findings.items[place]
        changed = number == 0 and "sha256" in said and item.photo not in (None, said["sha256"])
        text = evidence_json({**said, "changed": changed})
        return Response(text, media_type="application/json", headers=_NOT_STORED)

    def _layer(self, request: Request) -> Response:
        from starlette.responses import Response

        place, number, name = self._place(request), request.path_params["number"], request.path_params["name"]
        key, found = self._start(place, number)
        found.result()
        data = self._evidence.picture(key, name, lambda: self._start(place, number)[1])
        if data is None:
            return _text("There is no such picture.\n", 404)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


async def _done(change: Callable[[Values], dict[str, Any]], request: Request) -> Response:
    """Do what a request asks for; its body is a JSON object."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BODY:
            return _text("The request is too long; shorten the note.\n", 413)
    try:
        values = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return _text("The request is not JSON.\n", 400)
    if request.headers.get("content-type") != "application/json" or not isinstance(values, dict):
        return _text("The request is not a JSON object.\n", 400)
    return _json(await asyncio.to_thread(change, values))


def _json(values: dict[str, Any]) -> Response:
    from starlette.responses import Response

    return Response(json.dumps(values), media_type="application/json", headers=_NOT_STORED)


def _number(values: Values, name: str) -> int:
    value = values.get(name)
    if type(value) is not int:
        raise ReviewError(f"the request lacks {name}; reload the page")
    return value


def _text(text: str, status: int) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status)


async def _said_to_user(_: Request, error: Exception) -> Response:
    return _text(f"{error}\n", 409 if isinstance(error, HistoryError) else 400)
