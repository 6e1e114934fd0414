"""Stored findings under other rights, sellers or policies, without embedding anything, and what changed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.protection import basis_of, protected
from lookalike.detection.replay import replay, require_fit
from lookalike.errors import PolicyError, TableError
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import shipped_policies
from lookalike.records import Verdict
from lookalike.rights.grounds import cell_in_words
from lookalike.rights.rights import Outcome, Rights
from lookalike.tables.arrow import arrow_table
from lookalike.tables.cells import json_text
from lookalike.tables.files import require_ending, require_readable, writing_table
from lookalike.tables.findings import (
    FINDING_COLUMNS,
    finding_row,
    finding_schema,
    read_findings,
    said_by_similarity,
    stored,
)

from .parts import writing_findings

if TYPE_CHECKING:
    import pyarrow as pa

_JUDGED_TOGETHER = 1 << 17
_CHANGE_COLUMNS = (
    "listing_id", "seller_id", "territory", "verdict_before", "verdict", "brand_before", "brand", "product_id_before",
    "product_id", "kind_before", "kind", "rights_before", "rights", "policy_before", "policy", "why",
)  # fmt: skip
_COMPARED = ("verdict", "brand", "product_id", "kind", "rights", "policy")


@dataclass(frozen=True)
class Recheck:
    """What a recheck found: `moved` counts findings by (verdict before, verdict after).

    `regrounded` counts findings with the same verdict for other reasons. `brands` are those that findings are flagged
    or in review for, `errors` counts rows with an error.
    """

    moved: Mapping[tuple[str, str], int]
    regrounded: int
    brands: frozenset[str]
    errors: int

    @property
    def findings(self) -> int:
        """The number of findings."""
        return sum(self.moved.values())

    @property
    def changed(self) -> int:
        """The number of findings that have another verdict, or the same for other reasons."""
        return self.regrounded + sum(count for (before, after), count in self.moved.items() if before != after)


def policy_of(findings: str | Path) -> Policy:
    """The shipped policy that the findings were made with. Raises PolicyError if it was another policy."""
    first = next(read_findings(findings))
    for policy in shipped_policies():
        if policy.made(first["policy"]):
            return policy
    raise PolicyError(f"the findings were made with {first['policy']}, which is not a shipped policy; give its file")


def recheck(
    findings: str | Path,
    out: str | Path,
    *,
    policy: Policy,
    rights: Rights | None = None,
    day: date | None = None,
    changes: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Recheck:
    """Write the findings as a scan would make them with this policy and these rights on that day (by default today).

    `changes` is a table to write each finding to whose verdict, product or grounds changed, with the reason. Memory is
    bounded, whatever the number of findings. Both tables appear, or are replaced, at the end, `changes` first. Raises
    TableError for tables that can't be read or written, or that another process writes, and PolicyError if the policy
    can't judge the findings.
    """
    findings, out, on = Path(findings), Path(out), day or date.today()
    told = Path(changes) if changes is not None else None
    for path in (out, told):
        if path is not None:
            require_ending(path)
    require_readable(findings, required=FINDING_COLUMNS)
    if told is not None and told.absolute() == out.absolute():
        raise TableError(f"findings and changes can't both be written to {out}; name two files")
    moved: Counter[tuple[str, str]] = Counter()
    brands: set[str] = set()
    regrounded = errors = 0
    with ExitStack() as stack:
        for path in (out, told):
            if path is not None:
                stack.enter_context(writing_findings(path))
        writer = stack.enter_context(writing_table(out, finding_schema()))
        teller = None if told is None else stack.enter_context(writing_table(told, _change_schema()))
        for before in _tables(findings):
            after = _rechecked(_replayed(before, policy), policy, rights, on)
            rows = list(_changes(before, after))
            regrounded += sum(row["verdict_before"] == row["verdict"] for row in rows)
            moved.update(zip(before["verdict"].to_pylist(), after["verdict"].to_pylist(), strict=True))
            brands.update(name for name in after.filter(_acted_on(after))["brand"].unique().to_pylist() if name)
            errors += after.num_rows - after["error"].null_count
            writer.write_table(after)
            if teller is not None:
                teller.write(rows)
            if progress is not None:
                progress(after.num_rows)
    return Recheck(dict(moved), regrounded, frozenset(brands), errors)


def _tables(path: Path) -> Iterator[pa.Table]:
    """The findings as tables of the schema's columns, _JUDGED_TOGETHER rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = finding_schema()
    if path.suffix.lower() != ".parquet":
        rows = read_findings(path)
        while part := list(islice(rows, _JUDGED_TOGETHER)):
            yield arrow_table(part, schema)
        return
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_JUDGED_TOGETHER):
                table = pa.Table.from_batches([batch])
                columns = [
                    table[name].cast(schema.field(name).type)
                    if name in table.column_names
                    else pa.nulls(table.num_rows, schema.field(name).type)
                    for name in schema.names
                ]
                yield pa.Table.from_arrays(columns, schema=schema)
    except pa.ArrowException as error:
        raise TableError(f"{path} is not a table of findings: {error}") from error


def _replayed(table: pa.Table, policy: Policy) -> pa.Table:
    """The findings as that policy makes them by similarity; those that it made already stay as they are."""
    import pyarrow.compute as pc

    if pc.all(pc.equal(table["policy"], str(policy))).as_py():
        return table
    rows = table.to_pylist()
    for place, row in enumerate(rows):
        require_fit(row, policy)
        if not policy.made(row["policy"]):
            rows[place] = finding_row(replay(row, policy))
    return arrow_table(rows, table.schema)


def _rechecked(table: pa.Table, policy: Policy, rights: Rights | None, day: date) -> pa.Table:
    """The findings with these rights and sellers applied; without any, as the similarity decided."""
    import pyarrow as pa
    import pyarrow.compute as pc

    asked = rights or Rights.load()
    said = pc.coalesce(table["similarity_verdict"], table["verdict"])
    table = table.set_column(table.schema.get_field_index("similarity_verdict"), "similarity_verdict", said)
    answers = asked.judge_findings(table, day=day, claims=policy.claims)
    answered = np.zeros(table.num_rows, bool)
    answered[answers["id"].to_numpy()] = True
    mask, basis = pa.array(answered), basis_of(asked, policy.claims, day)
    columns = {
        "verdict": pc.replace_with_mask(said.combine_chunks(), mask, answers["verdict"].combine_chunks()),
        "rights": pc.replace_with_mask(pa.nulls(table.num_rows, pa.string()), mask, answers["rights"].combine_chunks()),
        "rights_basis": pa.repeat(pa.scalar(json_text(basis)), table.num_rows),
    }
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    table = _other_match_decides(table, answers, basis)
    if rights is None:
        for name in ("similarity_verdict", "rights", "rights_basis"):
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name),
                                     pa.nulls(table.num_rows, pa.string()))  # fmt: skip
    return table


def _other_match_decides(table: pa.Table, answers: pa.Table, basis: Mapping[str, str]) -> pa.Table:
    """The findings, with new rows for those that another of their matches decides."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = table.select(["brand", "product_id"]).take(answers["id"])
    same = pc.and_(*(pc.equal(pc.fill_null(held[name], ""), answers[name]) for name in ("brand", "product_id")))
    others = answers.filter(pc.invert(same))
    if not others.num_rows:
        return table
    rows = []
    for row, answer in zip(table.take(others["id"]).to_pylist(), others.to_pylist(), strict=True):
        finding, matches = stored(row)
        rows.append(finding_row(protected(replace(finding, matches=tuple(matches)), Outcome.of(answer), basis)))
    order = np.arange(table.num_rows)
    order[others["id"].to_numpy()] = table.num_rows + np.arange(len(rows))
    return pa.concat_tables([table, arrow_table(rows, table.schema)]).take(pa.array(order))


def _acted_on(table: pa.Table) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table["similarity_verdict"], pa.array([str(Verdict.FLAGGED), str(Verdict.REVIEW)]))


def _changes(before: pa.Table, after: pa.Table) -> Iterator[dict[str, Any]]:
    """A row for each finding that changed.

    Rights that nobody asked for before don't count as a change, nor does that older versions wrote them in words.
    """
    import pyarrow.compute as pc

    def differs(name: str) -> pa.Array:
        return pc.not_equal(pc.fill_null(before[name], ""), pc.fill_null(after[name], ""))

    asked = pc.and_(pc.starts_with(before["rights_basis"], "{"), pc.is_valid(after["rights_basis"]))
    grounds = pc.and_(differs("rights"), pc.fill_null(asked, False))
    changed = grounds
    for name in ("verdict", "brand", "product_id", "kind"):
        changed = pc.or_(changed, differs(name))
    names = ["listing_id", "seller_id", "territory", "similarity_verdict", *_COMPARED]
    old, new = (table.select(names).filter(changed).to_pylist() for table in (before, after))
    for was, now in zip(old, new, strict=True):
        row = {f"{name}_before": was[name] for name in _COMPARED} | {name: now.get(name) for name in _CHANGE_COLUMNS
                                                                     if name in now}  # fmt: skip
        yield {**row, "why": _why(was, now)}


def _why(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    reasons = []
    said, says = said_by_similarity(was), said_by_similarity(now)
    if was["policy"] != now["policy"] and said != says:
        reasons.append(f"by similarity {says}, was {said}")
    if was["rights"] != now["rights"]:
        reasons.append(cell_in_words(now["rights"]) or "rights are no longer asked for")
    if (was["brand"], was["product_id"]) != (now["brand"], now["product_id"]):
        reasons.append("another match decides")
    return "; ".join(reasons)


def _change_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _CHANGE_COLUMNS])
