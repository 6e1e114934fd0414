"""The evidence for findings, ready to hand over: photos, numbers, policy and statements, under a chain of hashes.

A bundle is a folder or ZIP. It contains `index.html`, a folder for each finding with its photos and `statement.html`,
`findings.jsonl`, `policy/`, `manifest.json` with the hashes of all files (see `manifest`), and the same hashes in
`manifest-sha256.txt`, for `sha256sum -c`. `audit` checks it.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.chain import canonical
from lookalike.errors import BundleError, PolicyError
from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.arrow import with_text_amounts
from lookalike.tables.candidates import kind_of
from lookalike.tables.findings import typed_row

from .archive import Writer, require_free, writing
from .manifest import CHECKSUMS, MANIFEST, Chain, Entry, FileHash, checksums_text, hash_file
from .photos import CheckedPhoto, CheckedPhotos, utc_now
from .policy_files import POLICY, policy_files
from .statement import Pictures, overview_page, pages_digest, statement_page

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex

MOST_FINDINGS = 5_000
FINDINGS = "findings.jsonl"

_PICTURE_SIDE = 2400
_TROUBLES = {
    ("listing", "unreadable"): "The listing's photo can't be read any more",
    ("listing", "changed"): "The listing's photo has changed since the scan; the numbers belong to the earlier one",
    ("reference", "unreadable"): "The genuine photo can't be read any more",
    ("reference", "changed"): "The genuine photo has changed since indexing; the numbers belong to the earlier one",
}

Row = Mapping[str, Any]
Picture = Callable[[Row, "Image.Image", "Image.Image"], "Image.Image | None"]
"""Draws a finding from its row, reference photo and listing photo, both RGB; None means that there is no picture."""


@dataclass(frozen=True)
class BundleSummary:
    """What a bundle contains.

    Of `unreadable` findings a photo could not be read again, of `changed` ones it is a different file, and of
    `unproven` ones nobody recorded which file was scanned. `seal` is the hash of the chain's last entry: kept
    elsewhere, it proves later that a bundle is this one.
    """

    findings: int
    unreadable: int
    changed: int
    unproven: int
    files: int
    bytes: int
    seal: str


def select_findings(
    rows: Iterable[Row], *, verdicts: Collection[str] = (Verdict.FLAGGED,), listings: Collection[str] = ()
) -> list[Row]:
    """The rows with these verdicts and, if `listings` are given, of these listings.

    Raises BundleError if there are none, if a listing is not among them, or if there are too many for one bundle.
    """
    selected: list[Row] = []
    counts: Counter[str] = Counter()
    for row in rows:
        counts[str(row["verdict"])] += 1
        if row["verdict"] in verdicts and (not listings or str(row["listing_id"]) in listings):
            selected.append(row)
            if len(selected) > MOST_FINDINGS:
                raise BundleError(f"a bundle holds at most {MOST_FINDINGS:,} findings; select fewer listings")
    wanted = " or ".join(verdicts)
    if missing := set(listings) - {str(row["listing_id"]) for row in selected}:
        raise BundleError(f"there is no {wanted} finding of listing {', '.join(sorted(missing)[:5])}")
    if not selected:
        there = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(counts.items())) or "nothing"
        raise BundleError(f"no finding is {wanted}; the table has {there}")
    return selected


def write_bundle(
    rows: Iterable[Row],
    out: str | Path,
    *,
    index: ReferenceIndex,
    policy: str | Path | None = None,
    reader: PhotoReader | None = None,
    harmless: ReferenceIndex | None = None,
    picture: Picture | None = None,
    progress: Callable[[int], None] | None = None,
) -> BundleSummary:
    """Write the evidence for rows of a findings table to the folder or ZIP `out`, which must not exist yet.

    Photos are read again, as `reader` allows; the bundle says which can't be read and which are not the scanned ones.
    `policy` is the file that the findings were made with, by default the one that ships; `harmless` are the harmless
    photos of the scan. `out` appears complete at the end. Raises BundleError for findings that can't be bundled and
    PolicyError if the policy is not theirs.
    """
    from lookalike.index.embedding import PhotoReader

    out = Path(out)
    require_free(out)
    files, loaded = policy_files(policy, index)
    photos = CheckedPhotos(reader or PhotoReader(), index)
    with writing(out) as writer:
        bundle = _Bundle(writer, loaded, made_by=_made_by(index, loaded, harmless))
        bundle.begin(files)
        for row, listing, reference in photos.read(_checked(rows, index, loaded), pictures=picture is not None):
            bundle.add(row, listing, reference, picture)
            if progress is not None:
                progress(1)
        seal = bundle.finish()
    counts = bundle.counts
    return BundleSummary(bundle.number, counts["unreadable"], counts["changed"], counts["unknown"], writer.files,
                         writer.bytes, seal)  # fmt: skip


def _checked(rows: Iterable[Row], index: ReferenceIndex, policy: Policy) -> Iterator[dict[str, Any]]:
    """The rows, with the columns of a findings table only.

    Raises BundleError or PolicyError for a row made with another encoder or policy.
    """
    weights = index.spec.weights_sha256
    for row in rows:
        place = f"the finding of listing {str(row['listing_id'])[:80]}"
        if not str(row["encoder"]).endswith(f"@{weights[:8]}"):
            raise BundleError(
                f"{place} was made with the encoder {row['encoder']}, but the index with {index.spec}; "
                "give the index that was scanned"
            )
        if not policy.made(row["policy"]):
            raise PolicyError(
                f"{place} was made with the policy {row['policy']}, not with {policy}; give the policy of the scan"
            )
        try:
            values = typed_row(row)
        except ValueError as error:
            raise BundleError(f"{place} {error}; scan again") from error
        if values["similarity"] is not None and values["candidates"] is None:
            raise BundleError(f"{place} has no candidates, so it can't be checked later; scan again with this version")
        if any(isinstance(value, float | Decimal) and not math.isfinite(value) for value in values.values()):
            raise BundleError(f"{place} has a number that is not finite; scan again")
        yield with_text_amounts(values)


def _made_by(index: ReferenceIndex, policy: Policy, harmless: ReferenceIndex | None) -> dict[str, Any]:
    """What a bundle's first entry says: what the findings were made with."""
    return {
        "created": utc_now(),
        "lookalike": _version(),
        "pages": pages_digest(),
        "encoder": index.spec.to_json(),
        "index": {
            "digest": index.digest,
            "created": index.created,
            "references": len(index),
            "harmless_digest": harmless.digest if harmless is not None else None,
        },
        "policy": {
            "label": str(policy),
            "name": policy.name,
            "file": POLICY,
            "normalises": policy.cohort is not None,
            "fuses": policy.fusion is not None,
            "promise": _promise(policy),
        },
    }


def _promise(policy: Policy) -> str | None:
    """The policy's promise in words."""
    promise = policy.promise
    if promise is None:
        return None
    parts = []
    if promise.precision:
        parts.append(f"at least {promise.precision:.0%} of flagged listings are look-alikes")
    if promise.false_flags:
        parts.append(f"at most {promise.false_flags:.1%} of unrelated listings are flagged")
    return f"{'; '.join(parts)} (with {promise.confidence:.0%} confidence)" if parts else None


class _Bundle:
    """A bundle that is being written: files go to the writer, their hashes into the chain."""

    def __init__(self, writer: Writer, policy: Policy, *, made_by: Mapping[str, Any]) -> None:
        self._writer, self._policy, self._made_by = writer, policy, made_by
        self._chain = Chain()
        self._lines: list[str] = []
        self.number = 0
        self.counts: Counter[str] = Counter()

    def begin(self, files: Mapping[str, bytes]) -> None:
        """Write the policy's files and the first entry."""
        hashes = [self._put(name, "policy" if name == POLICY else "cohort", data) for name, data in files.items()]
        self._chain.add("bundle", hashes, self._made_by)

    def add(self, row: Row, listing: CheckedPhoto, reference: CheckedPhoto, draw: Picture | None) -> None:
        """Write the files and the entry of a finding."""
        self.number += 1
        composed = _drawn(row, listing, reference, draw)
        data = {
            role: (f"{role}.{photo.ending}", photo.data)
            for role, photo in (("listing", listing), ("reference", reference))
            if photo.data is not None
        }
        if composed is not None:
            data["picture"] = ("picture.png", _png(composed))
        said = self._said(row, listing, reference)
        page = statement_page(
            self.number,
            said,
            made_by=self._made_by,
            pictures=Pictures(listing.picture, reference.picture, composed),
            names={role: name for role, (name, _) in data.items()},
        )
        folder = finding_folder(self.number)
        hashes = [self._put(f"{folder}/{name}", role, content) for role, (name, content) in data.items()]
        hashes.append(self._put(f"{folder}/statement.html", "statement", page))
        self._chain.add("finding", hashes, said)
        self._lines.append(canonical(row))

    def _said(self, row: Row, listing: CheckedPhoto, reference: CheckedPhoto) -> dict[str, Any]:
        states = {photo.said["state"] for photo in (listing, reference)}
        self.counts.update(state for state in ("unreadable", "changed", "unknown") if state in states)
        scope = self._policy.scope(row["brand"], row["territory"]).of(kind_of(row))
        photos = (("listing", listing), ("reference", reference))
        troubles = [_TROUBLES.get((role, photo.said["state"])) for role, photo in photos]
        return {
            "finding": dict(row),
            "listing_photo": listing.said,
            "reference_photo": reference.said,
            "thresholds": {"flag": None if scope.withdrawn else scope.flag, "review": scope.review},
            "troubles": [trouble for trouble in troubles if trouble],
        }

    def finish(self) -> str:
        """Write the table, the overview and, last, the manifest; return the seal."""
        findings = overview_rows(self._chain.entries[1:])
        counts = {"findings": self.number, "unreadable": self.counts["unreadable"], "changed": self.counts["changed"]}
        hashes = [
            self._put(FINDINGS, "findings", "".join(f"{line}\n" for line in self._lines).encode()),
            self._put("index.html", "overview", overview_page(findings, made_by=self._made_by, counts=counts)),
        ]
        end = self._chain.add("end", hashes, counts)
        manifest = self._chain.manifest()
        self._writer.put(MANIFEST, manifest)
        self._writer.put(CHECKSUMS, checksums_text(self._chain.entries, manifest))
        return end.hash

    def _put(self, name: str, role: str, data: bytes) -> FileHash:
        self._writer.put(name, data)
        return hash_file(name, role, data)


def _drawn(row: Row, listing: CheckedPhoto, reference: CheckedPhoto, draw: Picture | None) -> Image.Image | None:
    """The finding's picture; None for a changed photo, in which nothing was found."""
    if draw is None or listing.picture is None or reference.picture is None:
        return None
    if "changed" in (listing.said["state"], reference.said["state"]):
        return None
    return draw(row, reference.picture, listing.picture)


def overview_rows(findings: Iterable[Entry]) -> list[dict[str, Any]]:
    """What the overview says about each finding."""
    return [
        {"number": entry.number, "name": f"{finding_folder(entry.number)}/statement.html", "said": entry.said}
        for entry in findings
    ]


def finding_folder(number: int) -> str:
    """Where a bundle keeps the files of a finding."""
    return f"findings/{number:04}"


def _png(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    data = io.BytesIO()
    small.save(data, "PNG")
    return data.getvalue()


def _version() -> str:
    try:
        return version("lookalike")
    except PackageNotFoundError:  # run from a checkout
        return "from a checkout"
