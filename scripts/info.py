"""Say what an index holds: references, products, brands, encoder; after checking every file of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lookalike.scripts.cli import DONE, run


def info(
    index: Annotated[Path, typer.Argument(help="Folder of the index.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    from lookalike.index.build import load_harmless
    from lookalike.index.reference_index import ReferenceIndex

    loaded, harmless = ReferenceIndex.load(index, verify=True), load_harmless(index)
    agreement = loaded.agreement
    catalogue = loaded.catalogue.select(["brand", "product_id"]).to_pylist()
    products = {(row["brand"], row["product_id"]) for row in catalogue}
    brands = Counter(brand for brand, _ in products)
    values: dict[str, Any] = {
        "index": str(index),
        "references": len(loaded),
        "products": len(products),
        "brands": dict(brands.most_common()),
        "harmless": harmless.catalogue["reference_id"].to_pylist() if harmless is not None else [],
        "with_features": sum(len(packed) > 0 for packed in loaded.packed_features),
        "columns": [name for name in loaded.catalogue.column_names if name != "sha256"],
        "encoder": loaded.spec.to_json(),
        "exact": agreement is None,
        "agreement": agreement.to_json() if agreement is not None else None,
        "created": loaded.created,
        "digest": loaded.digest,
        "bytes": sum(path.stat().st_size for path in index.rglob("*") if path.is_file()),
    }
    if as_json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return DONE
    table = Table.grid(padding=(0, 2))
    table.add_row("references", f"{len(loaded):,} of {len(products):,} products")
    table.add_row("brands", ", ".join(f"{brand} ({count})" for brand, count in brands.most_common(12)))
    if harmless is not None:
        names = values["harmless"]
        table.add_row("harmless", f"{len(names):,} photos: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}")
    told = f"{values['with_features']:,} of the references can be compared with point by point"
    table.add_row("local features", told if values["with_features"] else "none: build it again to have them")
    table.add_row("columns", ", ".join(values["columns"]))
    table.add_row("search", "exact: every reference is compared" if agreement is None else str(agreement))
    spec = loaded.spec
    table.add_row("encoder", f"{spec}, {spec.architecture}, {spec.dim} numbers a picture, by {spec.arithmetic}")
    table.add_row("created", loaded.created)
    table.add_row("digest", loaded.digest[:16])
    table.add_row("on disk", f"{values['bytes'] / 1e6:.1f} MB")
    Console(highlight=False, markup=False).print(table)
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(info, argv)


if __name__ == "__main__":
    raise SystemExit(main())
