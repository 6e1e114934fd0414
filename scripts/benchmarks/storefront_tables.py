"""Write the tables of the storefront benchmark: main views as references; other views and clothing photos as listings.

DATA holds storefront/ (products.csv: path, product_id, colour, view) and clothing/ (images.csv: image, sender_id).
The clothing photos come from senders that the embedded encoder was not trained on. Writes references.csv,
listings.parquet and labels.csv to OUT.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import pyarrow as pa

from lookalike.scripts.training.held_out import is_held_out
from lookalike.tables.files import writing_table

_DISTRACTORS = 500


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args(argv)
    data, out = arguments.data.resolve(), arguments.out
    out.mkdir(parents=True, exist_ok=True)
    with open(data / "storefront" / "products.csv", encoding="utf-8", newline="") as file:
        shots = list(csv.DictReader(file))
    with open(data / "clothing" / "images.csv", encoding="utf-8", newline="") as file:
        unrelated = [row["image"] for row in csv.DictReader(file) if is_held_out(row["sender_id"])][:_DISTRACTORS]
    references = [
        {
            "reference_id": Path(shot["path"]).stem,
            "image": str(data / "storefront" / shot["path"]),
            "product_id": shot["product_id"],
            "brand": "storefront",
            "colour": shot["colour"],
        }
        for shot in shots
        if shot["view"] == "main"
    ]
    queries = [(str(data / "storefront" / s["path"]), s["product_id"]) for s in shots if s["view"] != "main"]
    queries += [(str(data / "clothing" / "images" / f"{image}.jpg"), "") for image in unrelated]
    listings = [{"listing_id": f"L{i}", "image": image} for i, (image, _) in enumerate(queries)]
    labels = [
        {
            "listing_id": f"L{i}",
            "image": image,
            "product_id": product,
            "lookalike": str(bool(product)).lower(),
            "stratum": "other view" if product else "unrelated",
        }
        for i, (image, product) in enumerate(queries)
    ]
    _write(out / "references.csv", references)
    _write(out / "listings.parquet", listings)
    _write(out / "labels.csv", labels)
    print(f"{len(references)} references, {len(listings)} listings in {out}")
    return 0


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with writing_table(path, pa.schema([(name, pa.string()) for name in rows[0]])) as writer:
        writer.write(rows)


if __name__ == "__main__":
    raise SystemExit(main())
