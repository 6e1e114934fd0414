"""The catalogue of an index: one row per reference, with its table's columns and the sha256 of its picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import TableError
from lookalike.records import ImageSource, Reference

_COLUMNS = ("reference_id", "image", "product_id", "brand", "sha256")
_TOGETHER = 1024


def catalogue_of(references: Sequence[Reference], hashes: Sequence[str]) -> pa.Table:
    """The rows of references, with the sha256 of each one's picture.

    Raises TableError for further columns that have a reserved name or values that a table can't hold.
    """
    if not references:
        return pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})
    rows = [_row(reference, sha256) for reference, sha256 in zip(references, hashes, strict=True)]
    try:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    except (pa.ArrowException, TypeError) as error:
        raise TableError(f"the references' further columns can't be kept: {error}") from error


def _row(reference: Reference, sha256: str) -> dict[str, Any]:
    clash = set(reference.more) & set(_COLUMNS)
    if clash:
        raise TableError(f"further columns of reference {reference.id!r} have reserved names: {', '.join(clash)}")
    return {
        "reference_id": reference.id,
        "image": _image_name(reference.image, sha256),
        "product_id": reference.product,
        "brand": reference.brand,
        "sha256": sha256,
        **reference.more,
    }


def _image_name(image: ImageSource, sha256: str) -> str:
    """A path or URL as it is; a picture given as bytes or pixels is named by its hash."""
    is_pixels = isinstance(image, bytes | Image.Image | np.ndarray)
    return f"sha256:{sha256}" if is_pixels else str(image)


def joined(catalogue: pa.Table, fresh: pa.Table) -> pa.Table:
    """The rows of both. Raises TableError if further columns of one name have types that don't fit."""
    try:
        return pa.concat_tables([catalogue, fresh], promote_options="permissive")
    except pa.ArrowException as error:
        raise TableError(f"the references' further columns don't fit those of the index: {error}") from error


def rows_with(catalogue: pa.Table, column: str, values: Iterable[str]) -> NDArray[np.bool_]:
    """For each row, bool (n,), whether it has one of `values` in a column of text."""
    found = pc.is_in(catalogue[column].cast(pa.string()), value_set=pa.array(list(values), pa.string()))
    return np.asarray(found, bool)


def rows_of(
    catalogue: pa.Table, *, brands: Iterable[str] | None, products: Iterable[str] | None
) -> NDArray[np.int64] | None:
    """The rows of these brands and products, int64; None stands for all rows, and for no restriction."""
    if brands is None and products is None:
        return None
    allowed = np.ones(catalogue.num_rows, bool)
    for column, values in (("brand", brands), ("product_id", products)):
        if values is not None:
            allowed &= rows_with(catalogue, column, values)
    return np.flatnonzero(allowed)


def product_codes(catalogue: pa.Table) -> NDArray[np.int32]:
    """A number for each row, from 0 up without gaps, that is equal for rows of the same product of the same brand."""
    key = pc.binary_join_element_wise(catalogue["brand"], catalogue["product_id"], "\0")
    codes = key.combine_chunks().dictionary_encode().indices if len(key) else pa.array([], pa.int32())
    return np.asarray(codes, np.int32)


def references_at(catalogue: pa.Table, rows: NDArray[np.int64]) -> dict[int, Reference]:
    """The references in these rows, by row."""
    table = catalogue.take(pa.array(rows))
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "sha256"}
    own = [columns.pop(name) for name in ("reference_id", "product_id", "brand", "image")]
    further = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    more = further if columns else ({} for _ in range(len(rows)))
    return {row: Reference(*values) for row, *values in zip(rows.tolist(), *own, more, strict=True)}


def all_references(catalogue: pa.Table) -> Iterator[Reference]:
    """The references of all rows, in order."""
    for start in range(0, catalogue.num_rows, _TOGETHER):
        rows = np.arange(start, min(start + _TOGETHER, catalogue.num_rows))
        yield from references_at(catalogue, rows).values()
