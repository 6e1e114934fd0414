"""Bundles forged by somebody who knows how the chain works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookalike.chain import canonical
from lookalike.evidence.audit import Audit
from lookalike.evidence.manifest import Chain, Entry, hash_file, read_entries


def said(audit: Audit) -> list[str]:
    return [str(disagreement) for disagreement in audit.disagreements]


def forge(bundle: Path, change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Change entries, then compute every hash of the chain again."""
    entries = change(list(read_entries((bundle / "manifest.json").read_bytes())))
    rows = "".join(canonical(entry.said["finding"]) + "\n" for entry in entries if entry.kind == "finding")
    (bundle / "findings.jsonl").write_text(rows)
    chain = Chain()
    for entry in entries:
        files = [hash_file(f.name, f.role, (bundle / f.name).read_bytes()) for f in entry.files]
        chain.add(entry.kind, files, entry.said)
    (bundle / "manifest.json").write_bytes(chain.manifest())


def with_finding(entry: Entry, **values: Any) -> Entry:
    return replace(entry, said={**entry.said, "finding": {**entry.said["finding"], **values}})
