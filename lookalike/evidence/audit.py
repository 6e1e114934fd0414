"""Whether an evidence bundle is what it says: its hashes and chain, its table, its verdicts, and its numbers."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.chain import Disagreement, canonical, plain
from lookalike.detection.decision import decided_by
from lookalike.detection.replay import replay
from lookalike.errors import BundleError, PolicyError, TableError
from lookalike.policy.policy import Policy
from lookalike.records import Verdict
from lookalike.tables.findings import said_by_similarity

from .archive import Archive, reading
from .bundle import FINDINGS, load_policy
from .manifest import MANIFEST, MANIFEST_BYTES, Entry, broken_links, read_entries
from .recomputation import DAMAGE, Numbers, check_index

if TYPE_CHECKING:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder

_JUDGED = (Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR)
_ROUNDING = 1e-6  # of a similarity that went through a text table


@dataclass(frozen=True)
class Audit:
    """What a check of a bundle came to; it holds when `disagreements` is empty.

    `judged` counts findings whose verdict was derived again by the policy, `computed` those whose similarity was
    computed again from the photos. Of `incomplete` ones the bundle itself says that a photo is missing or another.
    """

    findings: int
    files: int
    seal: str
    judged: int
    computed: int
    incomplete: int
    disagreements: tuple[Disagreement, ...]


def audit_bundle(
    bundle: str | Path,
    *,
    encoder: Encoder | None = None,
    index: ReferenceIndex | None = None,
    harmless: ReferenceIndex | None = None,
    policy: Policy | None = None,
    seal: str | None = None,
) -> Audit:
    """Check a bundle, wherever it lies now: every hash, the chain, and that table, manifest and policy agree.

    With an `encoder` every similarity is computed again from the photos, with an `index`, too, against its vectors
    (`harmless` belongs to it). `policy` is one to judge by in place of the bundle's own, `seal` one noted when the
    bundle was made. Raises BundleError for what can't be read as a bundle at all.
    """
    with reading(Path(bundle)) as archive:
        check = _Check(archive, *_manifest(archive, bundle))
        check.chain(seal)
        check.files()
        check.found += compare_rows(check.findings, check.lines())
        used = check.policy(policy)
        if used is not None:
            check.verdicts(used)
        numbers = Numbers(archive, check.head, used, check.found)
        if index is not None:
            check.found += check_index(check.findings, check.head, index, harmless)
        if encoder is not None:
            sound = [entry for entry in check.findings if not check.unsound & {file.name for file in entry.files}]
            numbers.check(sound, encoder=encoder, index=index, harmless=harmless)
        return check.result(numbers.computed)


def _manifest(archive: Archive, bundle: str | Path) -> tuple[bytes, tuple[Entry, ...]]:
    if MANIFEST not in archive.names:
        raise BundleError(f"{bundle} holds no {MANIFEST}, so it is no bundle, or one that was not finished")
    data = archive.read(MANIFEST)
    if len(data) > MANIFEST_BYTES:
        raise BundleError(f"{MANIFEST} of {bundle} has more than {MANIFEST_BYTES:,} bytes, so it is none")
    return data, read_entries(data)


@dataclass
class _Check:
    """A check under way: each step appends to `found` what doesn't agree, and to `unsound` files not as written."""

    archive: Archive
    manifest: bytes
    entries: tuple[Entry, ...]
    found: list[Disagreement] = field(default_factory=list)
    unsound: set[str] = field(default_factory=set)
    judged: int = 0

    @property
    def findings(self) -> list[Entry]:
        """The entries of findings."""
        return [entry for entry in self.entries if entry.kind == "finding"]

    @property
    def head(self) -> Mapping[str, Any]:
        """What the first entry says."""
        return self.entries[0].said if self.entries and self.entries[0].kind == "bundle" else {}

    def say(self, where: str, what: str) -> None:
        """Note something that doesn't agree."""
        self.found.append(Disagreement(where, what))

    def chain(self, seal: str | None) -> None:
        """The links, and the seal."""
        self.found += broken_links(self.entries, self.manifest)
        last = self.entries[-1] if self.entries else None
        if seal is not None and (last is None or last.hash != seal):
            self.say(MANIFEST, f"its seal is {last.hash if last else 'missing'}, not the one given, {plain(seal)}")
        if last is not None and last.kind == "end" and last.said.get("findings") != len(self.findings):
            there = plain(last.said.get("findings"))
            self.say(MANIFEST, f"it has {len(self.findings):,} findings, but was made with {there}")

    def files(self) -> None:
        """Every file's bytes, that there is none besides, and that photos are what is said of them."""
        named = {MANIFEST}
        for entry in self.entries:
            for file in entry.files:
                if file.name in named:  # the chain tells of it
                    continue
                named.add(file.name)
                try:
                    data = self.archive.read(file.name)
                except BundleError as error:
                    self._unsound(entry, file.name, f"the file {error}")
                    continue
                if len(data) != file.bytes or hashlib.sha256(data).hexdigest() != file.sha256:
                    self._unsound(entry, file.name, f"the file {file.name} was changed: its sha256 is another")
        for name in sorted(self.archive.names - named):
            self.say(plain(name), f"it is in the bundle, but not in {MANIFEST}")
        for entry in self.findings:
            try:
                self._photos(entry)
            except DAMAGE as error:
                self.say(entry.place, f"what {MANIFEST} says of its photos can't be read ({plain(error)})")

    def _unsound(self, entry: Entry, name: str, what: str) -> None:
        self.unsound.add(name)
        self.say(entry.place, what)

    def _photos(self, entry: Entry) -> None:
        for role, part in (("listing", "listing_photo"), ("reference", "reference_photo")):
            file, said = entry.file(role), entry.said[part]
            if (file.sha256 if file else None) != said["sha256"]:
                self.say(entry.place, f"its {role} photo is another than {MANIFEST} says it is")
            if (said["state"] == "same") != (said["sha256"] is not None and said["sha256"] == said["expected_sha256"]):
                self.say(entry.place, f"whether its {role} photo is still the same is said wrongly in {MANIFEST}")
        if entry.said["listing_photo"]["expected_sha256"] != entry.said["finding"]["image_sha256"]:
            self.say(entry.place, "its listing photo is held against another sha256 than the scan recorded")

    def lines(self) -> list[str]:
        """The rows of the table, as text."""
        try:
            return self.archive.read(FINDINGS).decode().removesuffix("\n").split("\n")
        except (BundleError, UnicodeDecodeError) as error:
            self.say(FINDINGS, f"it can't be read: {plain(error)}")
            return []

    def policy(self, given: Policy | None) -> Policy | None:
        """The policy to judge by: the one given, else the bundle's own; None where there is none that can be used."""
        try:
            said = self.head["policy"]
            label, name = str(said["label"]), str(said["name"])
            names = [file.name for file in self.entries[0].files if file.name.startswith("policy/")]
            own = load_policy({file: self.archive.read(file) for file in names}, name=name)
        except (*DAMAGE, OSError, BundleError, PolicyError) as error:
            self.say("the policy", f"the bundle's own can't be read ({plain(error)})")
            return given
        if str(own) != label:
            self.say("the policy", f"the bundle's file is {plain(own)}, but its first entry names {plain(label)}")
        if given is not None and str(given) != label:
            self.say("the policy", f"the bundle's is {plain(label)}, but the one given is {plain(given)}")
        return given or own

    def verdicts(self, policy: Policy) -> None:
        """Each finding's verdict, by the policy, of the numbers that stand in it."""
        for entry in self.findings:
            try:
                self._verdict(entry, entry.said["finding"], policy)
            except (*DAMAGE, TableError) as error:
                self.say(entry.place, f"it can't be judged again ({plain(error)})")

    def _verdict(self, entry: Entry, row: Mapping[str, Any], policy: Policy) -> None:
        if said_by_similarity(row) not in _JUDGED:  # the others rest on no photo at all
            return
        again = replay(row, policy)
        verification = None
        for match in again.matches:
            if (match.reference.brand, match.reference.product) == (row["brand"], row["product_id"]):
                again, verification = decided_by(again, match), match.verification
        self.judged += 1
        scope, said = policy.scope(row["brand"], row["territory"]), entry.said["thresholds"]
        pairs = (
            ("verdict", said_by_similarity(row), str(again.verdict)),
            ("policy", row["policy"], again.policy),
            ("threshold", row["threshold"], again.threshold),
            ("similarity", row["similarity"], again.similarity),
            ("normalised similarity", row["normalised_similarity"], again.normalised_similarity),
            ("probability", row["probability"], again.probability),
            ("kind", row["kind"], again.kind),
            ("inliers", row["inliers"], verification.inliers if verification else None),
            ("coverage", row["coverage"], verification.coverage if verification else None),
            ("mirrored", row["mirrored"], verification.mirrored if verification else None),
            ("brand", row["brand"], again.brand),
            ("product", row["product_id"], again.product),
            ("flag threshold", said["flag"], None if scope.withdrawn else scope.flag),
            ("review threshold", said["review"], scope.review),
        )
        for name, value, derived in pairs:
            if not _agree(value, derived):
                by = f"its candidates and the policy {plain(policy)}"
                self.say(entry.place, f"its {name} is {plain(value)}, but by {by} it is {plain(derived)}")

    def result(self, computed: int) -> Audit:
        """What all steps came to."""
        incomplete = sum(bool(entry.said.get("troubles")) for entry in self.findings)
        seal = self.entries[-1].hash if self.entries else ""
        files = sum(len(entry.files) for entry in self.entries) + 1
        return Audit(len(self.findings), files, seal, self.judged, computed, incomplete, tuple(self.found))


def _agree(value: object, derived: object) -> bool:
    if isinstance(value, int | float) and isinstance(derived, int | float):
        return abs(value - derived) <= _ROUNDING
    return value == derived


def compare_rows(entries: Sequence[Entry], lines: Sequence[str]) -> Iterator[Disagreement]:
    """Which rows of the table are not as `entries` of the manifest say: changed, missing, moved or unknown."""
    wanted = [canonical(entry.said.get("finding")) for entry in entries]
    if wanted == list(lines):
        return
    places: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, line in enumerate(lines):
        places[line].append(place)
    found = [places[text].popleft() if places.get(text) else None for text in wanted]
    strays = {place for left in places.values() for place in left}
    in_order = _longest_rising([place for place in found if place is not None])
    last = -1
    for entry, text, at in zip(entries, wanted, found, strict=True):
        if at is None and last + 1 in strays:
            last += 1
            strays.remove(last)
            yield Disagreement(entry.place, _difference(text, lines[last], last + 1))
        elif at is None:
            yield Disagreement(entry.place, f"its row is missing from {FINDINGS}")
        elif at in in_order:
            last = at
        else:
            yield Disagreement(entry.place, f"its row was moved in {FINDINGS}: it is row {at + 1} now")
    for place in sorted(strays):
        yield Disagreement(FINDINGS, f"row {place + 1} is of no finding in {MANIFEST}")


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The most of these numbers that stand in rising order, so that the others are those that were moved.

    >>> sorted(_longest_rising([0, 3, 1, 2]))
    [0, 1, 2]
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        at = bisect_right(ends, place)
        before[place] = ends[at - 1] if at else None
        ends[at : at + 1] = [place]
    kept: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _difference(wanted: str, line: str, number: int) -> str:
    """What of a row is another than it was, column by column."""
    import json

    where = f"row {number} of {FINDINGS}"
    try:
        old, new = json.loads(wanted), json.loads(line)
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    except (*DAMAGE, RecursionError):
        return f"its row, {where}, can't be read any more"
    if not names:
        return f"its row, {where}, is written otherwise than it was"
    parts = [
        f"{plain(name)} is another"
        if name == "candidates"
        else f"{plain(name)} is {plain(new.get(name))}, but {plain(old.get(name))} in {MANIFEST}"
        for name in names[:8]
    ]
    return f"in its row, {where}, {'; '.join(parts)}"
