"""Print labels of the fictional marketplace flat, without Blender: many more designs than can be rendered in the time.

Writes OUT/images/*.jpg and OUT/pictures.csv as scripts/marketplace/render.py does. The products are those of the train
split that come after the first --skip ones, so that they have brands of their own. Each has a label in two shapes, a
variant, and imitations of steps 3 to 5.
Needs the packages of the `render` extra but Blender, and the typefaces.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.marketplace import photos
from lookalike.scripts.marketplace.brands import Product, imitation, products, rng_of, variant
from lookalike.scripts.marketplace.fonts import check_fonts
from lookalike.scripts.marketplace.render import need

STEPS = (3, 4, 5)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=7, help="the marketplace's seed (default 7)")
    parser.add_argument("--products", type=int, default=500, help="number of products (default 500)")
    parser.add_argument("--skip", type=int, default=900, help="products of the split to leave out first (default 900)")
    parser.add_argument("--side", type=int, default=192, help="longer side of the pictures in pixels (default 192)")
    parser.add_argument("--fonts", type=Path, help="folder of the typefaces, if the system lacks them")
    arguments = parser.parse_args(argv)
    need("skia")
    check_fonts(arguments.fonts)
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    chosen = islice(products("train", seed=arguments.seed), arguments.skip, arguments.skip + arguments.products)
    rows = [row for product in chosen for row in _printed(product, arguments)]
    photos.write_pictures(arguments.out / "pictures.csv", rows)
    print(f"{len(rows)} labels")
    return 0


def _printed(product: Product, arguments: argparse.Namespace) -> Iterator[photos.Picture]:
    """Print a product's labels, and give their rows."""
    from lookalike.scripts.marketplace.building.press import Press

    rng = rng_of(arguments.seed, "labels", product.id)
    things = [("label", product, "packshot", 0), ("other-shape", product, "photo", 0)]
    things.append(("variant-1", variant(product, rng), "variant", 0))
    things += [(f"imitation-{k}", imitation(product, k, rng, seed=arguments.seed), "imitation", k) for k in STEPS]
    shape = float(rng.uniform(0.6, 1.6))
    for name, thing, kind, step in things:
        other = float(rng.uniform(0.6, 1.6)) if name == "other-shape" or step > 3 else shape
        press = Press(thing, fonts=arguments.fonts, density=round(arguments.side / max(1.0, other)))
        path = f"images/{product.id}-{name}.jpg"
        label = np.asarray(press.front(other, 1.0))[..., :3]
        photos.save_jpeg(arguments.out / path, np.ascontiguousarray(label), quality=88)
        yield photos.Picture(path, product.id, thing.design.name, thing.form, kind, str(step or ""), "", "flat", "", "",
                             "train", 0)  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
