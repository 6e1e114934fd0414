"""The evidence for findings, to be handed over: photos, numbers, policy, statements, under a chain of hashes.

A bundle is a folder or a ZIP: `index.html` and, for each finding, a folder with its photos and `statement.html`;
`findings.jsonl`, `policy/`, and `manifest.json`, which hashes all of it (see `chain`). `audit` tells whether it holds.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.chain import canonical
from lookalike.errors import BundleError, ImageReadError, PolicyError
from lookalike.policy.policy import Policy, default_policy_text, parse
from lookalike.records import Finding, Listing, Verdict
from lookalike.tables.findings import finding_row

from .archive import MOST_FILE_BYTES, Writer, is_safe_name, require_free, writing
from .manifest import MANIFEST, Chain, FileHash, hash_file
from .statement import Pictures, overview_page, statement_page

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex

MOST_FINDINGS = 5_000
FINDINGS = "findings.jsonl"
POLICY = "policy/policy.toml"

_ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "BMP": "bmp", "AVIF": "avif"}
_PICTURE_SIDE = 2400
_REFERENCES_KEPT = 8
_POLICY_BYTES = 1 << 24
_NUMBERS = frozenset({
    "similarity", "normalised_similarity", "probability", "threshold", "price", "inliers", "coverage", "mirrored",
})  # fmt: skip
_TROUBLES = {
    ("listing", "unreadable"): "The listing's photo can't be read any more",
    ("listing", "changed"): "The listing's photo was changed since the scan: the numbers are those of the photo before",
    ("reference", "unreadable"): "The genuine photo can't be read any more",
    ("reference", "changed"): "The genuine photo is another than was indexed: the numbers are those of the one before",
}
_COLUMNS = tuple(finding_row(Finding(Listing("", ()), Verdict.CLEAR, "", "")))

Row = Mapping[str, Any]
Picture = Callable[[Row, "Image.Image", "Image.Image"], "Image.Image | None"]
"""Draws a finding (row, reference photo, listing photo, both RGB), or gives None where there is nothing to draw."""


@dataclass(frozen=True)
class BundleSummary:
    """What a bundle holds. Of `unreadable` findings a photo can't be read any more, of `changed` ones it is another.

    `unproven` are those of which it isn't known whether a photo is the one scanned. `seal` is the hash of the chain's
    last entry: noted elsewhere, it proves later that a bundle is this one.
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
    """The rows of these verdicts and, if any are named, of these listings.

    Raises BundleError where there is none, a listing isn't among them, or there are more than a bundle may have.
    """
    selected: list[Row] = []
    counts: Counter[str] = Counter()
    for row in rows:
        counts[str(row["verdict"])] += 1
        if row["verdict"] in verdicts and (not listings or str(row["listing_id"]) in listings):
            selected.append(row)
            if len(selected) > MOST_FINDINGS:
                raise BundleError(
                    f"more than {MOST_FINDINGS:,} findings were asked for; make bundles of fewer listings"
                )
    wanted = " or ".join(verdicts)
    if missing := set(listings) - {str(row["listing_id"]) for row in selected}:
        raise BundleError(f"of listing {', '.join(sorted(missing)[:5])} there is no finding that is {wanted}")
    if not selected:
        there = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(counts.items())) or "none at all"
        raise BundleError(f"no finding is {wanted}; there are {there}")
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
    """Write the evidence for rows of a findings table to the folder or ZIP `out`, which must not be there yet.

    Photos are read again, within what `reader` allows; one that can't be, or is another than was scanned, is told of in
    the bundle. `policy` is the file that the findings were made by, by default the one shipped. `harmless` are the
    harmless photos of the scan. `out` appears whole at the end. Raises BundleError for what can't be bundled and
    PolicyError for another policy than the findings'.
    """
    from lookalike.index.embedding import PhotoReader

    out = Path(out)
    require_free(out)
    policy_files, loaded = _policy_files(policy, index)
    photos = _Photos(reader or PhotoReader(), index)
    with writing(out) as writer:
        bundle = _Bundle(writer, loaded, made_by=_made_by(index, loaded, harmless))
        bundle.begin(policy_files)
        for row, listing, reference in photos.read(_checked(rows, index, loaded), pictures=picture is not None):
            bundle.add(row, listing, reference, picture)
            if progress is not None:
                progress(1)
        seal = bundle.finish()
    counts = bundle.counts
    return BundleSummary(bundle.number, counts["unreadable"], counts["changed"], counts["unknown"], writer.files,
                         writer.bytes, seal)  # fmt: skip


def _checked(rows: Iterable[Row], index: ReferenceIndex, policy: Policy) -> Iterator[dict[str, Any]]:
    """Rows with a findings table's columns only. Raises BundleError or PolicyError for one that others made."""
    weights = index.spec.weights_sha256
    for row in rows:
        place = f"the finding of listing {str(row['listing_id'])[:80]}"
        if not str(row["encoder"]).endswith(f"@{weights[:8]}"):
            raise BundleError(
                f"{place} is of the encoder {row['encoder']}, but the index's is {index.spec}; give --index"
            )
        if row["policy"] != str(policy):
            raise PolicyError(
                f"{place} was made by the policy {row['policy']}, but this one is {policy}; give that policy"
            )
        values = {name: _value(name, row.get(name)) for name in _COLUMNS}
        if values["similarity"] is not None and values["candidates"] is None:
            raise BundleError(f"{place} has no candidates, so that nobody could judge it again; scan with this version")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values.values()):
            raise BundleError(f"{place} has a number that is none; scan again")
        yield values


def _value(name: str, value: object) -> object:
    return value if value is None or name in _NUMBERS else str(value)


def _made_by(index: ReferenceIndex, policy: Policy, harmless: ReferenceIndex | None) -> dict[str, Any]:
    """What a bundle's first entry says: by what the findings were made."""
    promise = policy.promise
    parts = [
        f"of what is flagged, at least {promise.precision:.0%} is right" if promise and promise.precision else None,
        f"of unrelated listings, at most {promise.false_flags:.1%} are flagged"
        if promise and promise.false_flags
        else None,
    ]
    said = "; ".join(part for part in parts if part)
    return {
        "created": _now(),
        "lookalike": _version(),
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
            "promise": f"{said} (with {promise.confidence:.0%} confidence)" if promise and said else None,
        },
    }


def _policy_files(path: str | Path | None, index: ReferenceIndex) -> tuple[dict[str, bytes], Policy]:
    """The policy's own file, and its cohort's, by the names that they get. Raises PolicyError as Policy.load does."""
    if path is None:
        text = default_policy_text(index.spec.weights_sha256)
        if text is None:
            raise PolicyError(f"no policy ships for {index.spec}; give the one that the findings were made by")
        return {POLICY: text.encode()}, parse(text, source="the one shipped", folder=None)
    import tomllib

    path, policy = Path(path), Policy.load(path)
    files = {POLICY: path.read_bytes()}
    if policy.cohort is not None:
        name = str(tomllib.loads(files[POLICY].decode())["cohort"]["file"])
        if not is_safe_name(f"policy/{name}") or f"policy/{name}".lower() == POLICY:
            raise PolicyError(f"the cohort of {path} is named {name!r}; give it a name of letters, digits and dots")
        files[f"policy/{name}"] = (path.parent / name).read_bytes()
    return files, policy


def load_policy(files: Mapping[str, bytes], *, name: str) -> Policy:
    """The policy of a bundle's files under policy/; `name` is its name. Raises PolicyError as Policy.load does."""
    import tempfile

    if sum(len(data) for data in files.values()) > MOST_FILE_BYTES or len(files.get(POLICY, b"")) > _POLICY_BYTES:
        raise PolicyError(f"the bundle's policy has more than {_POLICY_BYTES:,} bytes, so it is none")
    with tempfile.TemporaryDirectory() as folder:
        for file, data in files.items():
            if file != POLICY:
                Path(folder, Path(file).name).write_bytes(data)
        try:
            text = files[POLICY].decode()
        except (KeyError, UnicodeDecodeError) as error:
            raise PolicyError(f"{POLICY} of the bundle can't be read ({type(error).__name__})") from error
        return parse(text, source=f"{name}.toml", folder=Path(folder))


@dataclass(frozen=True)
class _Photo:
    """A photo read again: what is `said` of it, its bytes and ending if it could be, and its picture while needed."""

    said: Mapping[str, Any]
    data: bytes | None = None
    ending: str = ""
    picture: Image.Image | None = field(default=None, compare=False)


class _Photos:
    """Reads findings' photos again, and says whether they are still those that were scanned and indexed."""

    def __init__(self, reader: PhotoReader, index: ReferenceIndex) -> None:
        self._reader = reader
        catalogue = index.catalogue
        self._indexed = dict(zip(catalogue["reference_id"].to_pylist(), catalogue["sha256"].to_pylist(), strict=True))
        # findings of one product mostly come together, and share its photo
        self._reference = lru_cache(maxsize=_REFERENCES_KEPT)(self._photo)

    def read(self, rows: Iterable[Row], *, pictures: bool) -> Iterator[tuple[Row, _Photo, _Photo]]:
        """Each row with its listing's and its reference's photo; a few at a time, several at once."""
        remaining = iter(rows)
        with ThreadPoolExecutor(self._reader.workers, thread_name_prefix="lookalike-bundle") as pool:
            while batch := list(islice(remaining, self._reader.workers)):
                yield from pool.map(lambda row: self._pair(row, pictures), batch)

    def _pair(self, row: Row, pictures: bool) -> tuple[Row, _Photo, _Photo]:
        reference = row["reference_id"]
        listing = self._photo(row["image"], row["image_sha256"], whole=pictures)
        return row, listing, self._reference(row["reference_image"], self._indexed.get(reference), whole=pictures)

    def _photo(self, source: str | None, expected: str | None, *, whole: bool) -> _Photo:
        from lookalike.model.images import decode_image
        from lookalike.model.sources import read_source

        said = {"source": source, "state": "none", "sha256": None, "expected_sha256": expected, "read_at": None,
                "why": None}  # fmt: skip
        if source is None:
            return _Photo(said)
        said["read_at"] = _now()
        try:
            data = read_source(source, access=self._reader.access)
            # what isn't a picture is nobody's evidence, and may be any file that a table names
            photo = decode_image(data, source=source, limits=self._reader.limits)
        except ImageReadError as error:
            return _Photo({**said, "state": "unreadable", "why": str(error)})
        picture = photo.image
        if not whole:
            picture.thumbnail((640, 640))
        state = "unknown" if expected is None else "same" if expected == photo.sha256 else "changed"
        return _Photo({**said, "state": state, "sha256": photo.sha256}, data, _ENDINGS[photo.format], picture)


class _Bundle:
    """A bundle in the making: files go to the writer, and their hashes into the chain."""

    def __init__(self, writer: Writer, policy: Policy, *, made_by: Mapping[str, Any]) -> None:
        self._writer, self._policy, self._made_by = writer, policy, made_by
        self._chain = Chain()
        self._lines: list[str] = []
        self.number = 0
        self.counts: Counter[str] = Counter()

    def begin(self, policy_files: Mapping[str, bytes]) -> None:
        """Put down by what the findings were made."""
        files = [self._put(name, "policy" if name == POLICY else "cohort", data) for name, data in policy_files.items()]
        self._chain.add("bundle", files, self._made_by)

    def add(self, row: Row, listing: _Photo, reference: _Photo, draw: Picture | None) -> None:
        """Put down a finding."""
        self.number += 1
        composed = None
        changed = "changed" in (listing.said["state"], reference.said["state"])
        if draw is not None and listing.picture is not None and reference.picture is not None and not changed:
            composed = draw(row, reference.picture, listing.picture)
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
        folder = _folder(self.number)
        files = [self._put(f"{folder}/{name}", role, content) for role, (name, content) in data.items()]
        files.append(self._put(f"{folder}/statement.html", "statement", page))
        self._chain.add("finding", files, said)
        self._lines.append(canonical(row))

    def _said(self, row: Row, listing: _Photo, reference: _Photo) -> dict[str, Any]:
        states = {photo.said["state"] for photo in (listing, reference)}
        self.counts.update(state for state in ("unreadable", "changed", "unknown") if state in states)
        scope = self._policy.scope(row["brand"], row["territory"])
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
        """Put down the table, the overview and, last of all, the manifest; gives the seal."""
        findings = [
            {"number": entry.number, "name": f"{_folder(entry.number)}/statement.html", "said": entry.said}
            for entry in self._chain.entries[1:]
        ]
        counts = {"findings": self.number, "unreadable": self.counts["unreadable"], "changed": self.counts["changed"]}
        files = [
            self._put(FINDINGS, "findings", "".join(f"{line}\n" for line in self._lines).encode()),
            self._put("index.html", "overview", overview_page(findings, made_by=self._made_by, counts=counts)),
        ]
        end = self._chain.add("end", files, counts)
        self._writer.put(MANIFEST, self._chain.manifest())
        return end.hash

    def _put(self, name: str, role: str, data: bytes) -> FileHash:
        self._writer.put(name, data)
        return hash_file(name, role, data)


def _folder(number: int) -> str:
    return f"findings/{number:04}"


def _png(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    data = io.BytesIO()
    small.save(data, "PNG")
    return data.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version() -> str:
    try:
        return version("lookalike")
    except PackageNotFoundError:  # run from a checkout
        return "of a checkout"
