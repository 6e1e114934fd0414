"""The page of what tuning would give now, with the policy saved and compared as the commands do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError
from lookalike.pages.html import page_template
from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.amounts import plain_decimal

from .answers import page
from .findings import ReviewError
from .live import Figures, Group, Live, Tuning

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LEAST, MOST = 0.5, 0.99
_MOST_BRANDS = 20


class LivePage:
    """Answers requests about thresholds. `out` is where the policy is saved."""

    def __init__(self, tuning: Tuning, out: Path) -> None:
        self._tuning, self._out = tuning, out
        self._page, self._figures, self._diff = (
            page_template(name) for name in ("review_live.html", "review_figures.html", "review_diff.html")
        )

    def page(self, _: Request) -> Response:
        """The page, which asks for the figures."""
        return page(self._page.render(out=self._out.name, findings=self._tuning.findings.path.name))

    def figures(self, request: Request) -> Response:
        """The figures for the precision asked for."""
        precision = precision_of(request.query_params.get("precision"))
        live = self._tuning.live(precision)
        return page(self._figures.render(shown(live, precision)))

    def save(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Save the policy. Raises TableError if there is no promise, and LookalikeError where it can't be written."""
        tuned = self._tuning.tune(precision_of(values.get("precision")), name=self._out.stem)
        tuned.policy.save(self._out)
        promised = str(tuned.policy.promise) if _flags(tuned.policy) else "no promise yet, so it flags nothing"
        return {"said": f"{tuned.policy} is in {self._out.name}: {promised}"}

    def compare(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the policy would change, by all candidates of the findings, as `policy diff` counts it."""
        from lookalike.detection.replay import compare_policies

        before = self._tuning.policy
        if before is None:
            raise TableError("the findings' policy is not known; start the review again with --policy")
        after = self._tuning.tune(precision_of(values.get("precision")), name=self._out.stem).policy
        findings = self._tuning.findings
        diff = compare_policies(findings.rows(range(len(findings.items))), before, after)
        counts = [
            (str(verdict), diff.total(verdict, after=False), diff.total(verdict, after=True)) for verdict in Verdict
        ]
        changed = sorted({*diff.gained, *diff.lost})
        brands = [(brand, diff.gained.get(brand, 0), diff.lost.get(brand, 0)) for brand in changed]
        html = self._diff.render(
            before=diff.before, after=diff.after, counts=[each for each in counts if any(each[1:])], brands=brands
        )
        return {"html": html}


def precision_of(value: object) -> float:
    """The precision that was asked for. Raises ReviewError for anything that is none."""
    try:
        precision = float(str(value))
    except ValueError:
        precision = math.nan
    if not LEAST <= precision <= MOST:
        raise ReviewError(f"the precision is {str(value)[:20]!r}; choose one between {LEAST} and {MOST}")
    return precision


def shown(live: Live, precision: float) -> dict[str, Any]:
    """The figures as the page shows them."""
    policy = live.tuned.policy if live.tuned is not None else None
    return {
        "precision": f"{precision:.0%}",
        "verdicts": live.verdicts,
        "random": live.random,
        "refusal": live.refusal,
        "more_needed": live.more_needed,
        "promise": str(policy.promise) if policy is not None and _flags(policy) else None,
        "now": _shown(live.now),
        "after": None if live.after is None else _shown(live.after),
    }


def _flags(policy: Policy) -> bool:
    """Whether the policy flags anything at all."""
    scopes = (policy.scope(), *policy.scopes)
    return any(scope.of(kind).flag is not None for scope in scopes for kind in (None, *scope.kinds.own))


def _shown(figures: Figures) -> dict[str, Any]:
    brands = sorted(figures.brands.items(), key=lambda each: (-each[1].verdicts[Verdict.FLAGGED], each[0]))
    return {
        "all": _row("all", figures.all),
        "minutes": math.ceil(figures.minutes),
        "brands": [_row(name or "no brand", group) for name, group in brands[:_MOST_BRANDS]],
        "more_brands": max(0, len(brands) - _MOST_BRANDS),
        "kinds": [_row(name.replace("_", " ") or "no kind", group) for name, group in figures.kinds.items()],
    }


def _row(name: str, group: Group) -> dict[str, Any]:
    share = group.share
    return {
        "name": name,
        "flagged": group.verdicts[Verdict.FLAGGED],
        "review": group.verdicts[Verdict.REVIEW],
        "left": group.verdicts[Verdict.CLEAR],
        "right": f"{share.count:,} of {share.total:,}" if share.total else "not known",
        "interval": f"{share.low:.0%} to {share.high:.0%}" if share.total else "",
        "stake": ", ".join(_amount(value, currency) for currency, value in sorted(group.stake.items())) or "none",
    }


def _amount(value: Decimal, currency: str) -> str:
    return f"{plain_decimal(round(value, 2), thousands=',')} {currency}".rstrip()
