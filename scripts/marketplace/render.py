"""Render the fictional marketplace from a seed: genuine packshots, other photos, edited copies, imitations, rivals.

Writes OUT/images/*.jpg, OUT/pictures.csv (the product, kind, step, edit and outline of each picture) and
OUT/contact-NN.jpg with a row for each product. With --split sample it also writes the demo's references.csv,
listings.csv and README.md. Pictures that exist are not rendered again, so the same command resumes.

Needs the packages of the `render` extra (Blender as the module bpy, for Python 3.11) and typefaces under the SIL Open
Font License. If some are missing, it names the Debian packages that have them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lookalike.errors import MissingExtraError
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.marketplace import photos

SHEET_ROWS, SAMPLE_COLUMNS = 20, 13


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--split", choices=("sample", "train", "validation", "test"), required=True)
    parser.add_argument("--seed", type=int, default=7, help="the marketplace's seed (default 7)")
    parser.add_argument(
        "--products", type=int, default=20, help="number of products (default 20; the sample has its own)"
    )
    parser.add_argument("--side", type=int, default=384, help="side of the pictures in pixels (default 384)")
    parser.add_argument("--samples", type=int, default=8, help="light paths per pixel before denoising (default 8)")
    parser.add_argument("--seconds", type=float, default=90, help="most seconds one picture may take (default 90)")
    parser.add_argument("--fonts", type=Path, help="folder of the typefaces, if the system lacks them")
    _render(parser.parse_args(argv))
    return 0


def _render(args: argparse.Namespace) -> None:
    need("bpy", "skia")
    from lookalike.scripts.marketplace.building.camera import Camera, take
    from lookalike.scripts.marketplace.fonts import check_fonts
    from lookalike.scripts.marketplace.plan import plan
    from lookalike.scripts.marketplace.sample import sample_plan, write_sample

    check_fonts(args.fonts)
    images, table = args.out / "images", args.out / "pictures.csv"
    images.mkdir(parents=True, exist_ok=True)
    shots = list(
        sample_plan(seed=args.seed) if args.split == "sample" else plan(args.split, args.products, seed=args.seed)
    )
    done = photos.read_pictures(table)
    camera = Camera(
        images, split=args.split, side=args.side, samples=args.samples, seconds=args.seconds, fonts=args.fonts
    )
    start, made = time.monotonic(), 0
    for number, shot in enumerate(shots, 1):
        name = f"images/{shot.name}.jpg"
        if name in done and (args.out / name).exists():
            continue
        done[name] = take(camera, shot)
        photos.append_picture(table, done[name])
        made += 1
        each = (time.monotonic() - start) / made
        left = each * (len(shots) - number) / 60
        print(f"{number}/{len(shots)} {shot.name}: {each:.1f} s a picture, {left:.0f} min left", file=sys.stderr)
    photos.write_pictures(table, [done[f"images/{shot.name}.jpg"] for shot in shots])
    products = len({shot.product_id for shot in shots if shot.kind == "packshot"})
    columns = SAMPLE_COLUMNS if args.split == "sample" else len(shots) // products
    _contact_sheets(args.out, [f"images/{shot.name}.jpg" for shot in shots], columns)
    if args.split == "sample":
        write_sample(args.out, shots, seed=args.seed)


def _contact_sheets(out: Path, images: list[str], columns: int) -> None:
    for number, first in enumerate(range(0, len(images), SHEET_ROWS * columns), 1):
        sheet = photos.contact_sheet(out, images[first : first + SHEET_ROWS * columns], columns=columns)
        photos.save_jpeg(out / f"contact-{number:02d}.jpg", sheet, quality=85)


def need(*packages: str) -> None:
    """Raise MissingExtraError if one of the packages can't be imported."""
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "render") from error


if __name__ == "__main__":
    raise SystemExit(main())
