"""Check an evidence bundle: its hashes and chain, its table, its verdicts, and its numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.chain import Disagreement, plain
from lookalike.detection.decision import decided_by
from lookalike.detection.lookup import Lookup
from lookalike.detection.replay import replay
from lookalike.errors import BundleError, PolicyError, TableError
from lookalike.policy.policy import Policy
from lookalike.policy.shipped import open_policy
from lookalike.records import Verdict
from lookalike.tables.findings import said_by_similarity

from .archive import Archive, reading
from .bundle import FINDINGS
from .manifest import (
    CHECKSUMS,
    MANIFEST,
    MANIFEST_BYTES,
    Entry,
    broken_links,
    checksums_text,
    read_entries,
    version_of,
)
from .page_check import Pages
from .policy_files import load_policy
from .recomputation import DAMAGE, Numbers, check_index
from .rows import compare_rows

if TYPE_CHECKING:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.model.encoder import Encoder

_JUDGED = (Verdict.FLAGGED, Verdict.REVIEW, Verdict.CLEAR)
_ROUNDING = 1e-6  # of a number that went through a text table


@dataclass(frozen=True)
class Audit:
    """The result of checking a bundle, which is sound if there are no `disagreements`.

    `judged` counts the findings whose verdict was derived again with the policy, `computed` those whose similarity was
    computed again from the photos. `incomplete` findings are those for which the bundle itself says that a photo is
    missing or has changed. `pages` counts the pages that were written again and compared; it is 0 if another version
    made them. Only a `sealed` bundle, whose seal was given, is known to be the one that was made: whoever computes all
    hashes again can change any other, as long as everything in it agrees.
    """

    findings: int
    files: int
    seal: str
    judged: int
    computed: int
    incomplete: int
    pages: int
    sealed: bool
    disagreements: tuple[Disagreement, ...]


def verify_bundle(
    bundle: str | Path,
    *,
    index: str | Path | None = None,
    policy: str | Path | None = None,
    model: str | None = None,
    weights: str | None = None,
    device: str | None = None,
    seal: str | None = None,
) -> Audit:
    """Check a bundle as `audit_bundle` does, with an index folder and a policy file, both optional.

    With an index, a model or weights, similarities are computed again; the model is by default the index's. Raises
    BundleError if the bundle can't be read at all, and the errors of loading an index, an encoder or a policy.
    """
    judge = open_policy(policy) if policy is not None else None
    if index is not None:
        lookup = Lookup.open(index, model=model, weights=weights, device=device)
        return audit_bundle(
            bundle, encoder=lookup.encoder, index=lookup.index, harmless=lookup.harmless, policy=judge, seal=seal
        )
    encoder = None
    if model is not None or weights is not None:
        from lookalike.model.loading import load_encoder

        encoder = load_encoder(model or "embedded", weights=weights, device=device)
    return audit_bundle(bundle, encoder=encoder, policy=judge, seal=seal)


def audit_bundle(
    bundle: str | Path,
    *,
    encoder: Encoder | None = None,
    index: ReferenceIndex | None = None,
    harmless: ReferenceIndex | None = None,
    policy: Policy | None = None,
    seal: str | None = None,
) -> Audit:
    """Check every hash of a bundle, its chain, and that its table, manifest, policy and pages agree.

    With an `encoder`, every similarity is computed again from the photos; with an `index`, also against the index's
    vectors (`harmless` are its harmless photos). `policy` replaces the bundle's own; `seal` is the one noted when the
    bundle was made. Raises BundleError if the bundle can't be read at all.
    """
    with reading(Path(bundle)) as archive:
        check = _Check(archive, *_manifest(archive, bundle))
        check.chain(seal)
        check.files()
        check.found += compare_rows(check.findings, check.lines())
        used = check.policy(policy)
        if used is not None:
            check.verdicts(used)
        pages = Pages(archive, check.head, check.found)
        pages.check(check.entries, check.unsound)
        numbers = Numbers(archive, check.head, used, check.found)
        if index is not None:
            check.found += check_index(check.findings, check.head, index, harmless)
        if encoder is not None:
            sound = [entry for entry in check.findings if not check.unsound & {file.name for file in entry.files}]
            numbers.check(sound, encoder=encoder, index=index, harmless=harmless)
        return check.result(numbers.computed, pages.checked, sealed=seal is not None)


def _manifest(archive: Archive, bundle: str | Path) -> tuple[bytes, tuple[Entry, ...]]:
    if MANIFEST not in archive.names:
        raise BundleError(f"{bundle} has no {MANIFEST}, so it is not a bundle, or was not finished")
    data = archive.read(MANIFEST)
    if len(data) > MANIFEST_BYTES:
        raise BundleError(f"{MANIFEST} of {bundle} has more than {MANIFEST_BYTES:,} bytes, more than any bundle's")
    return data, read_entries(data)


@dataclass
class _Check:
    """A check in progress: steps add disagreements to `found`, and names of changed files to `unsound`."""

    archive: Archive
    manifest: bytes
    entries: tuple[Entry, ...]
    found: list[Disagreement] = field(default_factory=list)
    unsound: set[str] = field(default_factory=set)
    judged: int = 0

    @property
    def findings(self) -> list[Entry]:
        """The entries that are findings."""
        return [entry for entry in self.entries if entry.kind == "finding"]

    @property
    def head(self) -> Mapping[str, Any]:
        """The content of the first entry, empty if there is none."""
        return self.entries[0].said if self.entries and self.entries[0].kind == "bundle" else {}

    def say(self, where: str, what: str) -> None:
        """Add a disagreement."""
        self.found.append(Disagreement(where, what))

    def chain(self, seal: str | None) -> None:
        """Check the links and the seal."""
        self.found += broken_links(self.entries, self.manifest)
        last = self.entries[-1] if self.entries else None
        if seal is not None and (last is None or last.hash != seal):
            self.say(MANIFEST, f"its seal is {last.hash if last else 'missing'}, not the one given, {plain(seal)}")
        if last is not None and last.kind == "end" and last.said.get("findings") != len(self.findings):
            there = plain(last.said.get("findings"))
            self.say(MANIFEST, f"it has {len(self.findings):,} findings, but was written with {there}")

    def files(self) -> None:
        """Check the bytes of every file, that there are no others, and what the entries say about photos."""
        named = {MANIFEST, *self._checksums()}
        for entry in self.entries:
            for file in entry.files:
                if file.name in named:  # the chain reports it
                    continue
                named.add(file.name)
                try:
                    data = self.archive.read(file.name)
                except BundleError as error:
                    self._unsound(entry, file.name, f"the file {error}")
                    continue
                if len(data) != file.bytes or hashlib.sha256(data).hexdigest() != file.sha256:
                    self._unsound(entry, file.name, f"the file {file.name} was changed: its sha256 does not match")
        for name in sorted(self.archive.names - named):
            self.say(plain(name), f"it is in the bundle, but not in {MANIFEST}")
        for entry in self.findings:
            try:
                self._photos(entry)
            except DAMAGE as error:
                self.say(entry.place, f"what {MANIFEST} says about its photos can't be read ({plain(error)})")

    def _checksums(self) -> list[str]:
        """Check the list of hashes for other programs, and give its name; bundles of the first version have none."""
        if version_of(self.manifest) == 1:
            return []
        try:
            same = self.archive.read(CHECKSUMS) == checksums_text(self.entries, self.manifest)
            if not same and not self.found:  # otherwise the manifest was changed, which was said
                self.say(CHECKSUMS, f"it does not give the hashes that {MANIFEST} gives")
        except BundleError as error:
            self.say(CHECKSUMS, f"the file {error}")
        return [CHECKSUMS]

    def _unsound(self, entry: Entry, name: str, what: str) -> None:
        self.unsound.add(name)
        self.say(entry.place, what)

    def _photos(self, entry: Entry) -> None:
        for role, part in (("listing", "listing_photo"), ("reference", "reference_photo")):
            file, said = entry.file(role), entry.said[part]
            if (file.sha256 if file else None) != said["sha256"]:
                self.say(entry.place, f"its {role} photo is not the one that {MANIFEST} describes")
            if (said["state"] == "same") != (said["sha256"] is not None and said["sha256"] == said["expected_sha256"]):
                self.say(entry.place, f"{MANIFEST} is wrong about whether its {role} photo is still the same")
        if entry.said["listing_photo"]["expected_sha256"] != entry.said["finding"]["image_sha256"]:
            self.say(entry.place, "its listing photo is compared with a sha256 that the scan did not record")

    def lines(self) -> list[str]:
        """The lines of the table."""
        try:
            return self.archive.read(FINDINGS).decode().removesuffix("\n").split("\n")
        except (BundleError, UnicodeDecodeError) as error:
            self.say(FINDINGS, f"it can't be read: {plain(error)}")
            return []

    def policy(self, given: Policy | None) -> Policy | None:
        """The policy to judge with: the given one, or the bundle's own; None if neither can be used."""
        try:
            said = self.head["policy"]
            label, name = str(said["label"]), str(said["name"])
            names = [file.name for file in self.entries[0].files if file.name.startswith("policy/")]
            own = load_policy({file: self.archive.read(file) for file in names}, name=name)
        except (*DAMAGE, OSError, BundleError, PolicyError) as error:
            self.say("the policy", f"the bundle's policy can't be read ({plain(error)})")
            return given
        if not own.made(label):
            self.say("the policy", f"the bundle's file is {plain(own)}, but its first entry names {plain(label)}")
        if given is not None and not given.made(label):
            self.say("the policy", f"the bundle's is {plain(label)}, but the one given is {plain(given)}")
        return given or own

    def verdicts(self, policy: Policy) -> None:
        """Derive each finding's verdict again from its numbers."""
        for entry in self.findings:
            try:
                self._verdict(entry, entry.said["finding"], policy)
            except (*DAMAGE, TableError) as error:
                self.say(entry.place, f"it can't be judged again ({plain(error)})")

    def _verdict(self, entry: Entry, row: Mapping[str, Any], policy: Policy) -> None:
        if said_by_similarity(row) not in _JUDGED:  # the others were not decided by a photo
            return
        again = replay(row, policy)
        verification = kind = None
        for match in again.matches:
            if (match.reference.brand, match.reference.product) == (row["brand"], row["product_id"]):
                again, verification, kind = decided_by(again, match), match.verification, match.kind
        self.judged += 1
        scope, said = policy.scope(row["brand"], row["territory"]).of(kind), entry.said["thresholds"]
        pairs = (
            ("verdict", said_by_similarity(row), str(again.verdict)),
            ("policy", row["policy"], row["policy"] if policy.made(row["policy"]) else again.policy),
            ("threshold", row["threshold"], again.threshold),
            ("similarity", row["similarity"], again.similarity),
            ("normalised similarity", row["normalised_similarity"], again.normalised_similarity),
            ("look", row.get("look"), again.look),
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
                source = f"its candidates and the policy {plain(policy)}"
                self.say(entry.place, f"its {name} is {plain(value)}, but {source} give {plain(derived)}")

    def result(self, computed: int, pages: int, *, sealed: bool) -> Audit:
        """The result of all steps."""
        incomplete = sum(bool(entry.said.get("troubles")) for entry in self.findings)
        seal = self.entries[-1].hash if self.entries else ""
        files = sum(len(entry.files) for entry in self.entries) + version_of(self.manifest)  # its own: one, now two
        return Audit(
            len(self.findings), files, seal, self.judged, computed, incomplete, pages, sealed, tuple(self.found)
        )


def _agree(value: object, derived: object) -> bool:
    if isinstance(value, int | float) and isinstance(derived, int | float):
        return abs(value - derived) <= _ROUNDING
    return value == derived
