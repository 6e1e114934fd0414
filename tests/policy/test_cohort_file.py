"""A policy's cohort is read from the file that it names, bounded and never unpickled, or the policy is refused."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from toy import unit_vectors

from lookalike.errors import PolicyError
from lookalike.policy import cohort_file
from lookalike.policy.cohort import Cohort
from lookalike.policy.policy import Policy

NOT_NPY = "c.npy is not a .npy file of float32 (n, dim); restore it or tune again"


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(shape: str) -> bytes:
    """A .npy file that claims this shape, and has no data."""
    line = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


def policy_with(data: bytes, folder: Path, **entries: str) -> Path:
    """A policy whose cohort's file holds these bytes, under their right digest."""
    (folder / "c.npy").write_bytes(data)
    table = {"file": '"c.npy"', "sha256": f'"{hashlib.sha256(data).hexdigest()}"', "method": '"subtract"', **entries}
    lines = "\n".join(f"{entry} = {value}" for entry, value in table.items())
    (folder / "p.toml").write_text(f"[thresholds]\nflag = 3\nreview = 0.5\n[cohort]\n{lines}\n")
    return folder / "p.toml"


def refusal(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"policy {path}: ")
    return message.removeprefix(f"policy {path}: ")


def test_a_policy_keeps_its_cohort_beside_it(tmp_path: Path) -> None:
    policy = Policy("p", 3.5, 0.6, cohort=Cohort(unit_vectors(12), "s-norm", nearest=4, share=0.25))
    policy.save(tmp_path / "p.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.cohort.npy", "p.toml"]
    loaded = Policy.load(tmp_path / "p.toml")
    assert loaded.cohort is not None and np.array_equal(loaded.cohort.vectors, unit_vectors(12))
    assert (loaded.cohort.method, loaded.cohort.nearest, loaded.cohort.share) == ("s-norm", 4, 0.25)
    assert str(loaded) == str(policy)


def test_a_cohort_without_numbers_has_the_usual_ones(tmp_path: Path) -> None:
    loaded = Policy.load(policy_with(npy(unit_vectors(12)), tmp_path)).cohort
    assert loaded is not None and np.array_equal(loaded.vectors, unit_vectors(12))
    assert (loaded.nearest, loaded.share) == (2, 0.5)


def test_refuses_another_cohort_and_a_missing_one(tmp_path: Path) -> None:
    path = policy_with(npy(unit_vectors(12)), tmp_path)
    np.save(tmp_path / "c.npy", unit_vectors(12, seed=1))
    assert "c.npy is not the one that the policy was tuned with; restore it" in refusal(path)
    (tmp_path / "c.npy").unlink()
    assert "c.npy can't be read: " in refusal(path)


def test_a_cohort_is_never_unpickled(tmp_path: Path) -> None:
    data = npy(np.array([[Trap(tmp_path / "sprung")]], object), allow_pickle=True)
    np.load(io.BytesIO(data), allow_pickle=True)
    (tmp_path / "sprung").rmdir()  # the trap works
    assert NOT_NPY in refusal(policy_with(data, tmp_path))
    assert not (tmp_path / "sprung").exists()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("vectors.npy", npy(unit_vectors(12)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", NOT_NPY),
        (b"vectors", NOT_NPY),
        (zipped(), NOT_NPY),
        (npy(unit_vectors(12))[:-4], NOT_NPY),
        (npy(unit_vectors(12))[:-1], NOT_NPY),
        (npy(unit_vectors(12)) + b"0123", NOT_NPY),
        (npy(unit_vectors(12).astype(np.float64)), NOT_NPY),
        (npy(unit_vectors(12).astype(">f4")), NOT_NPY),
        (npy(np.asfortranarray(unit_vectors(12))), NOT_NPY),
        (npy(unit_vectors(12)[0]), NOT_NPY),
        (header("(1000000000000, 256)"), NOT_NPY),
        (header("(999999999, 999999999)"), NOT_NPY),
        (header("(-1, 28)"), NOT_NPY),
        (header("('12', 28)"), NOT_NPY),
        (header("()"), NOT_NPY),
        (header("(" * 40), NOT_NPY),
        (b"\x93NUMPY\x03\x00" + npy(unit_vectors(12))[8:], NOT_NPY),
        (npy(2 * unit_vectors(12)), "has rows that are not of length 1"),
        (npy(np.full((12, 28), np.inf, np.float32)), "has rows that are not of length 1"),
        (npy(np.full((12, 28), np.nan, np.float32)), "has rows that are not of length 1"),
        (npy(np.full((12, 28), 3e38, np.float32)), "has rows that are not of length 1"),
        (npy(np.empty((12, 0), np.float32)), "has rows that are not of length 1"),
        (npy(np.empty((0, 28), np.float32)), "cohort of 0 photos has nearest 2"),
    ],
)
def test_refuses_a_damaged_cohort_without_taking_the_memory_that_it_claims(
    tmp_path: Path, data: bytes, message: str
) -> None:
    assert message in refusal(policy_with(data, tmp_path))


def test_reads_no_more_of_a_cohort_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = policy_with(npy(unit_vectors(12)), tmp_path)
    size = (tmp_path / "c.npy").stat().st_size
    monkeypatch.setattr(cohort_file, "_LARGEST", size - 1)
    assert "c.npy is larger than " in refusal(path)
    monkeypatch.setattr(cohort_file, "_LARGEST", size)
    assert Policy.load(path).cohort is not None


@pytest.mark.parametrize("name", ["../c.npy", "/c.npy", "a/c.npy", "./c.npy"])
def test_a_cohort_lies_beside_its_policy(tmp_path: Path, name: str) -> None:
    path = policy_with(npy(unit_vectors(12)), tmp_path, file=f'"{name}"')
    assert refusal(path) == f"cohort.file is '{name}', expected the name of a file beside the policy"


@pytest.mark.parametrize("name", ["", ".", "..", "a\\u0000b", "c.npx"])
def test_refuses_a_name_that_is_not_of_a_file(tmp_path: Path, name: str) -> None:
    assert "cohort" in refusal(policy_with(npy(unit_vectors(12)), tmp_path, file=f'"{name}"'))


@pytest.mark.parametrize(
    ("entry", "odd", "message"),
    [
        ("file", "1", "cohort.file is 1, expected text in quotes"),
        ("sha256", "true", "cohort.sha256 is true, expected text in quotes"),
        ("method", "[1]", "cohort.method is a list, expected text in quotes"),
        ("method", '"z-norm"', "the cohort's method is 'z-norm', expected subtract or s-norm"),
        *(("nearest", odd, ", expected a whole number") for odd in ("inf", "nan", "true", "'2'", "2.5", "-1", "[2]")),
        ("nearest", "13", "the cohort of 12 photos has nearest 13 and share 0.5, expected 2 <= nearest <= 12"),
        ("nearest", "1", "expected 2 <= nearest <= 12"),
        *(("share", odd, ", expected a number") for odd in ("inf", "-inf", "nan", "true", "'1'", "[1]", "{ a = 1 }")),
        ("share", "2.5", "share 2.5, expected 2 <= nearest <= 12 and 0 <= share <= 2"),
        ("count", "'12'", "cohort.count is '12', expected a whole number"),
        ("vectors", "12", "cohort.vectors is unknown, expected one of file, sha256, method, nearest, share, count"),
    ],
)  # fmt: skip
def test_refuses_an_odd_entry(tmp_path: Path, entry: str, odd: str, message: str) -> None:
    assert message in refusal(policy_with(npy(unit_vectors(12)), tmp_path, **{entry: odd}))


@pytest.mark.parametrize("entry", ["file", "sha256", "method"])
def test_refuses_a_cohort_without_a_name_a_digest_or_a_method(tmp_path: Path, entry: str) -> None:
    path = policy_with(npy(unit_vectors(12)), tmp_path)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(f"{entry} =")))
    assert refusal(path) == f"cohort.{entry} is missing"
