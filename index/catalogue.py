"""The catalogue of an index: one row per reference, with its table's columns and the sha256 of its picture.

All columns are text. Further columns of the references are only carried along, so whatever they hold is kept as text,
within bounds; then no table's types can clash with those of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lookalike.errors import TableError
from lookalike.records import ImageSource, Reference, is_named, shown_source
from lookalike.tables.cells import cell_text

OWN_COLUMNS = ("reference_id", "image", "product_id", "brand", "sha256")
_TOGETHER = 1024

MOST_ROW_BYTES = 30_000
"""What the columns of one reference may take, with their names, in bytes of UTF-8. `most_bytes` leaves room for it."""

MOST_COLUMNS = 200
"""How many further columns the references of an index may have together."""

_FREE, _PER_NUMBER = 1 << 26, 128


def most_bytes(count: int, width: int) -> int:
    """How much memory the catalogue of an index may take: 128 bytes for each number of its vectors, and 64 MiB.

    So it is no more than a multiple of what the index takes on disk, whatever its file unpacks to.
    """
    return _FREE + _PER_NUMBER * count * width


def further_text(value: object) -> str | None:
    """The value of a further column as text: as CSV has it, or JSON for lists and objects; None for NaN and nothing.

    >>> [further_text(value) for value in ("05", 7.0, True, {"a": [1, None]}, float("nan"))]
    ['05', '7', 'true', '{"a": [1, null]}', None]
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return json.dumps(_json(value), ensure_ascii=False)
    return cell_text(value)


def _json(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    return value if value is None or isinstance(value, bool | int) else further_text(value)


def further_columns(reference: Reference) -> dict[str, str | None]:
    """The further columns of a reference as the catalogue keeps them.

    Raises TableError for a column with the name of one of the catalogue's own, for text that UTF-8 can't hold, and for
    columns that take more than MOST_ROW_BYTES with the reference's own.
    """
    try:
        more = {str(name): further_text(value) for name, value in reference.more.items()}
        sizes = {name: len(name.encode()) + len((text or "").encode()) for name, text in more.items()}
        image = "" if _is_pixels(reference.image) else str(reference.image)
        own = sum(len(text.encode()) for text in (reference.id, reference.product, reference.brand, image))
    except (ValueError, RecursionError) as error:
        raise TableError(f"a further column can't be kept as text ({error}); correct it, or leave it out") from error
    if clash := [name for name in more if name in OWN_COLUMNS]:
        raise TableError(f"has a column {', '.join(clash)}, a name that the index uses itself; rename it")
    if own + sum(sizes.values()) > MOST_ROW_BYTES:
        longest = max(sizes, key=sizes.__getitem__, default="image")
        raise TableError(f"its column {longest} has {sizes.get(longest, own):,} bytes, but all columns of a reference "
                         f"together may have {MOST_ROW_BYTES:,}; shorten it, or leave the column out")  # fmt: skip
    return more


def catalogue_of(references: Sequence[Reference], hashes: Sequence[str]) -> pa.Table:
    """The rows of references, with the sha256 of each one's picture.

    Raises TableError for further columns that can't be kept (see `further_columns`).
    """
    if not references:
        return pa.table({name: pa.array([], pa.string()) for name in OWN_COLUMNS})
    rows = [_row(reference, sha256) for reference, sha256 in zip(references, hashes, strict=True)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MOST_COLUMNS + len(OWN_COLUMNS):
        raise TableError(
            f"the references have {len(names):,} columns, and an index keeps {MOST_COLUMNS}; leave some out"
        )
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})


def _row(reference: Reference, sha256: str) -> dict[str, str | None]:
    try:
        more = further_columns(reference)
    except TableError as error:
        raise TableError(f"reference {reference.id!r}: {error}") from error
    return {
        "reference_id": reference.id,
        "image": _image_name(reference.image, sha256),
        "product_id": reference.product,
        "brand": reference.brand,
        "sha256": sha256,
        **more,
    }


def _image_name(image: ImageSource, sha256: str) -> str:
    """A path, or an address without a password; a picture given as bytes or pixels is named by its hash."""
    return f"sha256:{sha256}" if _is_pixels(image) else shown_source(str(image))


def _is_pixels(image: ImageSource) -> bool:
    return not is_named(image)


def joined(catalogues: Iterable[pa.Table]) -> pa.Table:
    """The rows of all; a column that one lacks is null there."""
    return pa.concat_tables(catalogues, promote_options="default")


def rows_with(catalogue: pa.Table, column: str, values: Iterable[str] | pa.ChunkedArray) -> NDArray[np.bool_]:
    """For each row, bool (n,), whether it has one of `values` in a column of text."""
    found = pc.is_in(catalogue[column].cast(pa.string()), value_set=_strings(values))
    return np.asarray(found, bool)


def _strings(values: Iterable[str] | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(list(values), pa.string())


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
    return {row: Reference.checked(*values) for row, *values in zip(rows.tolist(), *own, more, strict=True)}


def all_references(catalogue: pa.Table) -> Iterator[Reference]:
    """The references of all rows, in order."""
    for start in range(0, catalogue.num_rows, _TOGETHER):
        rows = np.arange(start, min(start + _TOGETHER, catalogue.num_rows))
        yield from references_at(catalogue, rows).values()
