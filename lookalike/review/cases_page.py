"""The page of cases by seller: figures, members to open, a status, and a button for the bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.pages.html import page_template
from lookalike.tables.amounts import plain_decimal

from .answers import page
from .findings import OpenFindings, ReviewError
from .sellers import SellerCase, SellerCases, Status
from .store import VerdictStore

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lookalike.evidence.bundle import BundleSummary

_MOST_CASES, _MOST_MEMBERS = 30, 60

Bundle = Callable[[str], "tuple[Path, BundleSummary]"]


class CasesPage:
    """Answers requests about cases. `bundle` writes the evidence of one seller's."""

    def __init__(self, cases: SellerCases, findings: OpenFindings, store: VerdictStore, bundle: Bundle) -> None:
        self._cases, self._findings, self._store, self._bundle = cases, findings, store, bundle
        self._page = page_template("review_cases.html")

    def page(self, request: Request) -> Response:
        """The first cases, or those of sellers whose name contains what is looked for."""
        wanted = request.query_params.get("seller", "")[:200]
        found = [case for case in self._cases.all() if wanted.lower() in case.seller.lower()]
        return page(self._page.render(
            cases=[self._shown(case) for case in found[:_MOST_CASES]],
            more=max(0, len(found) - _MOST_CASES),
            wanted=wanted,
            statuses=[str(status) for status in Status],
            findings=self._findings.path.name,
        ))  # fmt: skip

    def note(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the status of a case."""
        status = values.get("status")
        if status not in list(Status):
            raise ReviewError(f"there is no status {str(status)[:40]!r}; reload the page")
        self._cases.note(_seller(values), Status(status))
        return {"said": f"{status}, noted"}

    def bundle(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write the bundle of a case."""
        out, summary = self._bundle(_seller(values))
        count = f"{summary.findings:,} {'finding' if summary.findings == 1 else 'findings'}"
        return {"said": f"{count} with evidence in {out.name}; seal {summary.seal}"}

    def _shown(self, case: SellerCase) -> dict[str, Any]:
        return {
            "seller": case.seller,
            "status": str(case.status),
            "verdicts": sorted(case.verdicts.items()),
            "judged": [(each.in_words, count) for each, count in case.judged.items()],
            "brands": sorted(case.brands.items(), key=lambda each: -each[1])[:8],
            "value": ", ".join(f"{plain_decimal(value, thousands=',')} {currency}".rstrip()
                               for currency, value in case.value.items()),
            "members": [self._member(place) for place in case.places[:_MOST_MEMBERS]],
            "more": max(0, len(case.places) - _MOST_MEMBERS),
        }  # fmt: skip

    def _member(self, place: int) -> dict[str, Any]:
        item = self._findings.items[place]
        stands = self._store.about(item.finding)
        said = stands.decides.verdict.in_words if stands is not None and stands.decides is not None else None
        price = None if item.price is None else f"{plain_decimal(item.price, thousands=',')} {item.currency}".rstrip()
        return {"place": place, "listing": item.listing, "verdict": item.verdict, "said": said, "price": price}


def _seller(values: Mapping[str, Any]) -> str:
    seller = values.get("seller")
    if not isinstance(seller, str):
        raise ReviewError("the request names no seller; reload the page")
    return seller
