"""The review as a web application, without a guard: a service mounts it behind its own, `serve` behind a token."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.errors import LookalikeError, MissingExtraError
from lookalike.pages.html import asset, page_template
from lookalike.tables.candidates import matches_of
from lookalike.tables.verdicts import Judgement

from .answers import Values, answer, done, page, said_to_user, text
from .cards import card_of, matches_in
from .cases_page import CasesPage
from .evidence import AHEAD
from .findings import ReviewError
from .live_page import LivePage
from .pictures import Pictures
from .queue import strata_of
from .session import Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_ASSETS = {
    "review.css": "text/css",
    "review.svg": "image/svg+xml",
    **dict.fromkeys(("review.js", "review_live.js", "review_cases.js"), "text/javascript"),
}


def require_starlette() -> None:
    """Raise MissingExtraError if the extra is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(str(error.name), "review") from error


class ReviewApp:
    """Answers the page's requests about one session."""

    def __init__(self, session: Session, pictures: Pictures, *, live: LivePage, cases: CasesPage) -> None:
        self.session, self._pictures, self._live, self._cases = session, pictures, live, cases
        self._page, self._finding, self._recent = (
            page_template(name) for name in ("review.html", "review_finding.html", "review_recent.html")
        )

    def application(self) -> Starlette:
        """The application; its addresses are relative, so it can be mounted anywhere."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        changes = {
            "verdict": self._judge,
            "undo": self._undo,
            "skip": self._skip,
            "open": self._open,
            "reopen": self._reopen,
            "live/save": self._live.save,
            "live/compare": self._live.compare,
            "case": self._cases.note,
            "bundle": self._cases.bundle,
        }
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/assets/{name}", self._asset),
                Route("/next", self._show_next),
                Route("/finding/{place:int}", self._show),
                Route("/photo/{place:int}/{number:int}.jpg", self._pictures.photo),
                Route("/genuine/{place:int}/{number:int}.jpg", self._pictures.genuine),
                Route("/evidence/{place:int}/{number:int}.json", self._pictures.layers),
                Route("/evidence/{place:int}/{number:int}/{name}.jpg", self._pictures.layer),
                Route("/live", self._live.page),
                Route("/live/figures", self._live.figures),
                Route("/cases", self._cases.page),
                *(Route(f"/{name}", partial(done, change), methods=["POST"]) for name, change in changes.items()),
            ],
            exception_handlers={LookalikeError: said_to_user},
        )

    def _index(self, _: Request) -> Response:
        session = self.session
        draws = session.general
        return page(
            self._page.render(
                mode=str(session.mode),
                who=session.store.who,
                file=session.store.path.name,
                findings=session.findings.path.name,
                seed=draws[0].seed if draws else None,
                population=draws[0].population if draws else None,
                strata=strata_of(draws),
                renewals=[
                    (each.lack.name, each.lack.flags, each.draw.size, each.draw.population) for each in session.renewals
                ],
                size=len(draws),
                judgements=[(str(each), each.in_words) for each in Judgement],
            )
        )

    def _asset(self, request: Request) -> Response:
        from starlette.responses import Response

        name = request.path_params["name"]
        if name not in _ASSETS:
            return text("There is no such file.\n", 404)
        return Response(asset(name), media_type=_ASSETS[name], headers={"cache-control": "no-cache"})

    def _show_next(self, _: Request) -> Response:
        return answer(self._state())

    def _show(self, request: Request) -> Response:
        return answer(self._state(self.session.findings.known(request.path_params["place"])))

    def _state(self, shown: int | None = None) -> dict[str, Any]:
        """What the page shows: a finding, by default the next one, what comes after it, the progress."""
        ahead = self.session.next(AHEAD + 1)
        place = shown if shown is not None else next(iter(ahead), None)
        coming = [each for each in ahead if each != place][:AHEAD]
        self._pictures.prepare(([] if place is None else [place]) + coming)
        progress = self.session.progress()
        recent = [
            {"number": entry.number, "listing": entry.said.listing, "words": entry.said.verdict.in_words}
            for entry in self.session.recent()
        ]
        return {
            "place": place,
            "html": "" if place is None else self._finding.render(card=self._card(place)),
            "coming": coming,
            "recent": self._recent.render(recent=recent),
            "judged": progress.judged,
            "total": progress.total,
            "perHour": progress.per_hour and round(progress.per_hour),
            "minutesLeft": progress.minutes_left and math.ceil(progress.minutes_left),
        }

    def _card(self, place: int) -> dict[str, Any]:
        return card_of(self.session, place, self._pictures.listings(self.session.findings.items[place].listing))

    def _judge(self, values: Values) -> dict[str, Any]:
        place, verdict, note = _number(values, "place"), values.get("verdict"), values.get("note", "")
        seconds, instead = values.get("seconds"), values.get("instead")
        if verdict not in list(Judgement) or not isinstance(note, str):
            raise ReviewError(f"there is no verdict {str(verdict)[:40]!r}; reload the page")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < 1e9):
            raise ReviewError("the seconds of a verdict are a number; reload the page")
        self.session.judge(
            place,
            Judgement(verdict),
            note=note.strip(),
            seconds=None if seconds is None else round(float(seconds), 1),
            instead=None if instead is None else self._order_of(place, _number(values, "instead")),
            whole_group=values.get("group") is True,
        )
        return self._state()

    def _order_of(self, place: int, number: int) -> int:
        """The place among the row's matches of a candidate, which the page counts from the one that decided."""
        row = self.session.findings.row(self.session.findings.known(place))
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
        return self._state(self.session.findings.known(_number(values, "place")))

    def _reopen(self, values: Values) -> dict[str, Any]:
        return self._state(self.session.reopen(_number(values, "number")))


def _number(values: Values, name: str) -> int:
    value = values.get(name)
    if type(value) is not int:
        raise ReviewError(f"the request lacks {name}; reload the page")
    return value
