"""The folder of a partitioned index: the files of its segments and partitions, written and read.

The manifest that names the files is replaced last, as in `store`. No file is unpickled, and FAISS reads none: its lists
are made from plain arrays, after each array was checked for shape, type and range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.disk import make_folder, open_regular
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import EncoderSpec, Vectors

from . import data_files, store
from .features import NONE, read_features
from .partition import LEAST_THRESHOLD, MOST_CANDIDATES, Agreement, Coded, Partition
from .segments import HEADS, UNADAPTED, Segment, Segments, Unadapted

VERSION = 2

_SPOT_CHECKS = 1024
_MOST_SEGMENTS = 1024


def write(
    folder: Path, whole: Segments, *, spec: EncoderSpec, exact_up_to: int, adapter: Adapter | None = None
) -> tuple[str, Segments]:
    """Make the folder hold exactly this, in one step; files that it holds already are not written again.

    Gives the digest of what the folder holds (see `store.digest_of`), and the same segments with the entries for their
    files.
    """
    make_folder(folder)
    written = tuple(_written(folder, segment) for segment in whole.segments)
    removed = {"removed": data_files.write_array(folder, "removed", whole.removed)} if len(whole.removed) else {}
    manifest = store.manifest_head(VERSION, spec, len(whole)) | {
        "exact_up_to": exact_up_to,
        **{name: _written_partition(folder, each) for name, each in _named_partitions(whole)},
        "segments": [{"count": len(segment), "files": dict(segment.files)} for segment in written],
        "removed": {"count": len(whole.removed), "files": removed},
        **store.adapter_entry(folder, adapter),
    }
    return store.replace_manifest(folder, manifest), replace(whole, segments=written)


def read(folder: Path, manifest: Mapping[str, Any], *, verify: bool) -> Segments:
    """Read what a manifest of this version names; vectors are mapped.

    With `verify`, every file's checksum is verified. Otherwise, of big files of vectors or features, only size, shape
    and the length of some vectors are. Raises IndexDamagedError for a file or a number that can't be right, and
    FileNotFoundError for a file that is missing.
    """
    with ExitStack() as opened:
        try:
            return _Reader(folder, opened, store.read_spec(folder, manifest), verify).whole(manifest)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise store.unusable(folder, error) from error


def _named_partitions(whole: Segments) -> list[tuple[str, Partition]]:
    named = [(name, each) for (name, *_), each in zip(HEADS, whole.partitions, strict=False)]
    return named if whole.unadapted is None else [*named, (UNADAPTED[0], whole.unadapted)]


def _written(folder: Path, segment: Segment) -> Segment:
    # those that are there are whole, because a file gets its name last
    known = {kind: entry for kind, entry in segment.files.items() if (folder / entry["name"]).is_file()}
    before = segment.unadapted
    files = store.write_rows(folder, catalogue=segment.catalogue, vectors=segment.vectors, features=segment.features,
                             unadapted=None if before is None else before.vectors, known=known)  # fmt: skip
    named = list(zip(HEADS, segment.coded, strict=False))
    named += [] if before is None else [(UNADAPTED, before.coded)]
    for (_, in_lists, in_codes), (lists, codes) in named:
        for kind, stem, array in ((in_lists, "lists", lists), (in_codes, "codes", codes)):
            if kind not in files:
                files[kind] = data_files.write_array(folder, stem, array)
    return replace(segment, files=files)


def _written_partition(folder: Path, partition: Partition) -> dict[str, Any]:
    return {
        "lists": len(partition.centroids),
        "parts": len(partition.codebook),
        "nprobe": partition.nprobe,
        "candidates": partition.candidates,
        "agreement": _written_agreement(partition.agreement),
        "files": {
            "centroids": data_files.write_array(folder, "centroids", partition.centroids),
            "codebook": data_files.write_array(folder, "codebook", partition.codebook),
        },
    }


def _written_agreement(agreement: Agreement) -> dict[str, Any]:
    values = asdict(agreement)
    if agreement.least == LEAST_THRESHOLD:  # so that the digest of an index stays as it was
        del values["least"]
    return values


class _Reader:
    """Reads the files that one manifest names; all are opened first, so that a writer may remove them meanwhile."""

    def __init__(self, folder: Path, opened: ExitStack, spec: EncoderSpec, verify: bool) -> None:
        self._folder, self._opened, self._spec, self._verify = folder, opened, spec, verify
        _number(spec.width, 1, 1 << 16)
        self._dims = (spec.dim, spec.look_dim) if spec.look_dim else (spec.dim,)

    def whole(self, manifest: Mapping[str, Any]) -> Segments:
        entries, heads = manifest["segments"], HEADS[: len(self._dims)]
        partitions = tuple(
            self._partition(manifest[name], dim) for (name, *_), dim in zip(heads, self._dims, strict=True)
        )
        before = self._partition(manifest[UNADAPTED[0]], self._spec.dim) if self._spec.adapted is not None else None
        if not isinstance(entries, list) or not 0 < len(entries) <= _MOST_SEGMENTS:
            raise ValueError(f"segments must be a list of 1 to {_MOST_SEGMENTS}")
        kinds = ["catalogue", "vectors", *(kind for _, *coded in heads for kind in coded)]
        kinds += [] if before is None else ["unadapted", *UNADAPTED[1:]]
        opened = [
            {
                kind: self._open(entry["files"][kind])
                for kind in (*kinds, *(["features"] if "features" in entry["files"] else []))
            }
            for entry in entries
        ]
        segments = tuple(
            self._segment(entry, files, partitions, before) for entry, files in zip(entries, opened, strict=True)
        )
        stored = sum(map(len, segments))
        whole = Segments(partitions, segments, self._removed(manifest["removed"], stored), before)
        if len(whole) != _number(manifest["count"], 0, stored):
            raise ValueError(f"count is {manifest['count']}, but there are {len(whole)} rows")
        return whole

    def _partition(self, entry: Mapping[str, Any], dim: int) -> Partition:
        lists, parts = _number(entry["lists"], 1, 1 << 24), _number(entry["parts"], 1, dim)
        if dim % parts:
            raise ValueError(f"{parts} parts of {dim} numbers")
        centroids = self._array(self._open(entry["files"]["centroids"]), np.float32, (lists, dim))
        codebook = self._array(self._open(entry["files"]["codebook"]), np.float32, (parts, 16, dim // parts))
        if not (np.isfinite(centroids).all() and np.isfinite(codebook).all()):
            raise ValueError("centroids and codebook must be finite")
        measured = entry["agreement"]
        probes = _number(measured["probes"], 1, 1 << 40)
        agreement = Agreement(
            _number(measured["agreeing"], 0, probes), probes, _number(measured["vectors"], 1, 1 << 40),
            min(1.0, max(0.0, float(measured["nearest_five"]))),
            min(1.0, max(0.0, float(measured.get("least", LEAST_THRESHOLD)))),
        )  # fmt: skip
        nprobe, candidates = _number(entry["nprobe"], 1, lists), _number(entry["candidates"], 1, MOST_CANDIDATES)
        return Partition(centroids, codebook, nprobe, candidates, agreement)

    def _segment(
        self,
        entry: Mapping[str, Any],
        files: Mapping[str, BufferedReader],
        partitions: Sequence[Partition],
        before: Partition | None,
    ) -> Segment:
        count, width = _number(entry["count"], 1, 1 << 40), self._spec.width
        vectors = self._vectors(files["vectors"], count)
        coded = tuple(
            self._coded(files, head, partition, count) for head, partition in zip(HEADS, partitions, strict=False)
        )
        unadapted = None
        if before is not None:
            unadapted = Unadapted(
                self._vectors(files["unadapted"], count), self._coded(files, UNADAPTED, before, count, mapped=True)
            )
        features = read_features(files["features"], count) if "features" in files else [NONE] * count
        table = data_files.read_catalogue(files["catalogue"], count, width)
        return Segment(table, vectors, coded, features, dict(entry["files"]), unadapted)

    def _vectors(self, file: BufferedReader, count: int) -> Vectors:
        vectors = self._array(file, np.float32, (count, self._spec.width), mapped=True)
        some = np.unique(np.linspace(0, count - 1, _SPOT_CHECKS, dtype=np.int64))
        data_files.require_unit_length(
            vectors if self._verify or vectors.nbytes <= data_files.BIG else vectors[some], self._spec, file.name
        )
        return vectors

    def _coded(
        self,
        files: Mapping[str, BufferedReader],
        head: tuple[str, str, str],
        partition: Partition,
        count: int,
        *,
        mapped: bool = False,
    ) -> Coded:
        lists, codes = (files[kind] for kind in head[1:])
        numbers = self._array(lists, np.int32, (count,), mapped=mapped)
        if numbers.min() < 0 or numbers.max() >= len(partition.centroids):
            raise ValueError(f"{lists.name} names lists that don't exist")
        return numbers, self._array(codes, np.uint8, (count, partition.code_bytes), mapped=mapped)

    def _removed(self, entry: Mapping[str, Any], stored: int) -> NDArray[np.int64]:
        count = _number(entry["count"], 0, stored)
        if not count:
            return np.empty(0, np.int64)
        removed = self._array(self._open(entry["files"]["removed"]), np.int64, (count,))
        if removed[0] < 0 or removed[-1] >= stored or np.any(np.diff(removed) <= 0):
            raise ValueError("removed rows must exist, and be in order")
        return removed

    def _open(self, entry: Mapping[str, Any]) -> BufferedReader:
        path = self._folder / data_files.data_name(entry["name"])
        file = self._opened.enter_context(open_regular(path))
        big = entry["name"].startswith(("vectors-", "features-")) and entry["bytes"] > data_files.BIG
        data_files.check(file, entry, content=self._verify or not big)
        return file

    def _array(
        self, file: BufferedReader, dtype: type[np.generic], shape: tuple[int, ...], *, mapped: bool = False
    ) -> NDArray[Any]:
        return data_files.read_array(file, np.dtype(dtype).newbyteorder("<"), shape, mapped=mapped)


def _number(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
    return value
