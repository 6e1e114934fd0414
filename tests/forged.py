"""Bundles forged by somebody who knows how the chain works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookalike.chain import canonical
from lookalike.evidence.archive import reading
from lookalike.evidence.audit import Audit
from lookalike.evidence.manifest import Chain, Entry, checksums_text, hash_file, read_entries
from lookalike.evidence.page_check import Pages


def said(audit: Audit) -> list[str]:
    return [str(disagreement) for disagreement in audit.disagreements]


def forge(
    bundle: Path, change: Callable[[list[Entry]], list[Entry]] = lambda entries: entries, *, pages: bool = True
) -> None:
    """Change entries, write the `pages` that belong to them, then compute every hash of the chain again."""
    entries = change(list(read_entries((bundle / "manifest.json").read_bytes())))
    rows = "".join(canonical(entry.said["finding"]) + "\n" for entry in entries if entry.kind == "finding")
    (bundle / "findings.jsonl").write_text(rows)
    if pages:
        _write_pages(bundle, entries)
    chain = Chain()
    for entry in entries:
        files = [hash_file(f.name, f.role, (bundle / f.name).read_bytes()) for f in entry.files]
        chain.add(entry.kind, files, entry.said)
    (bundle / "manifest.json").write_bytes(chain.manifest())
    (bundle / "manifest-sha256.txt").write_bytes(checksums_text(chain.entries, chain.manifest()))


def _write_pages(bundle: Path, entries: list[Entry]) -> None:
    """Write the pages that the entries give; those that can't be written stay as they were."""
    findings = [entry for entry in entries if entry.kind == "finding"]
    with reading(bundle) as archive:
        pages = Pages(archive, entries[0].said, [])
        for entry in entries:
            for file in entry.files:
                with suppress(Exception):
                    if file.role == "statement":
                        (bundle / file.name).write_bytes(pages.statement(entry))
                    elif file.role == "overview":
                        (bundle / file.name).write_bytes(pages.overview(findings, entry))


def with_finding(entry: Entry, **values: Any) -> Entry:
    return replace(entry, said={**entry.said, "finding": {**entry.said["finding"], **values}})
