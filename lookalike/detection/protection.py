"""Findings with rights and sellers taken into account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice

from lookalike.records import Finding, Verdict
from lookalike.rights.claims import Claims
from lookalike.rights.rights import Outcome, Rights, RightsMatch

from .decision import decided_by

ACTED_ON = (Verdict.FLAGGED, Verdict.REVIEW)
"""The verdicts that rights and sellers can change."""

_ASKED_TOGETHER = 1024


def protect(
    findings: Iterable[Finding], rights: Rights, *, claims: Claims, day: date | None = None
) -> Iterator[Finding]:
    """The findings, in order, with the rights and sellers of that day (by default today) taken into account.

    About a thousand findings are looked up at a time, since one alone takes about as long as a hundred.
    """
    remaining = iter(findings)
    while part := list(islice(remaining, _ASKED_TOGETHER)):
        on = day or date.today()
        outcomes = rights.judge(_matches(part), day=on, claims=claims)
        basis = basis_of(rights, claims, on)
        for number, finding in enumerate(part):
            yield protected(finding, outcomes.get(number), basis)


def protected(finding: Finding, outcome: Outcome | None, basis: Mapping[str, str]) -> Finding:
    """The finding with that outcome; None means that there was nothing to look up."""
    if outcome is None:
        return replace(finding, similarity_verdict=finding.verdict, rights_basis=basis)
    found = decided_by(finding, finding.matches[outcome.rank - 1])
    return replace(found, verdict=outcome.verdict, similarity_verdict=found.verdict, rights=outcome.rights,
                   rights_basis=basis)  # fmt: skip


def count_authorised(findings: Sequence[Finding], rights: Rights, *, claims: Claims) -> int:
    """How many of the findings are about sellers who may sell the brand."""
    return sum(finding.verdict is Verdict.AUTHORISED for finding in protect(findings, rights, claims=claims))


def basis_of(rights: Rights, claims: Claims, day: date) -> dict[str, str]:
    """What an outcome rests on: the day, and the policy's claims and the tables by the start of their sha256."""
    return {"day": day.isoformat(), "claims": claims.digest, **rights.tables}


def _matches(findings: Sequence[Finding]) -> Iterator[RightsMatch]:
    for number, finding in enumerate(findings):
        for rank, match in enumerate(finding.matches, start=1):
            if match.verdict in ACTED_ON:
                yield RightsMatch(number, rank, match.image, str(match.verdict), match.reference.brand,
                                  match.reference.product, match.kind, finding.listing.territory,
                                  finding.listing.seller)  # fmt: skip
