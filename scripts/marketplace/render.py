"""Render the fictional marketplace: genuine packshots, other photos, edited copies, imitations, rivals, from a seed.

Writes OUT/images/*.jpg, OUT/pictures.csv (which product, kind, step, edit and outline each picture has) and
OUT/contact-NN.jpg, a row of which is a product; with --split sample also the demo's references.csv, listings.csv and
README.md. A picture that is there already is not rendered again, so the same command resumes.

Needs the packages of the `render` extra (Blender as the module bpy: Python 3.11) and typefaces under the SIL Open
Font License; what is missing is named with the Debian package that brings it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lookalike.errors import LookalikeError, MissingExtraError

SHEET_ROWS = 20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--split", choices=("sample", "train", "validation", "test"), required=True)
    parser.add_argument("--seed", type=int, default=7, help="the marketplace's seed (default 7)")
    parser.add_argument(
        "--products", type=int, default=20, help="how many products (default 20; the sample has its own)"
    )
    parser.add_argument("--side", type=int, default=384, help="side of the pictures in pixels (default 384)")
    parser.add_argument("--samples", type=int, default=8, help="light paths per pixel before denoising (default 8)")
    parser.add_argument("--seconds", type=float, default=90, help="most seconds one picture may take (default 90)")
    parser.add_argument("--fonts", type=Path, help="folder of the typefaces, where the system has none")
    args = parser.parse_args(argv)
    try:
        return _render(args)
    except LookalikeError as error:
        print(f"render_marketplace: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("render_marketplace: interrupted; the same command resumes", file=sys.stderr)
        return 130


def _render(args: argparse.Namespace) -> int:
    _need("bpy", "skia")
    from lookalike.scripts.marketplace import photos
    from lookalike.scripts.marketplace.drawing.camera import Camera, take
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
    rows = [done[f"images/{shot.name}.jpg"] for shot in shots]
    photos.write_pictures(table, rows)
    columns = (
        13
        if args.split == "sample"
        else len(shots) // len({shot.product_id for shot in shots if shot.kind == "packshot"})
    )
    for number, first in enumerate(range(0, len(rows), SHEET_ROWS * columns), 1):
        names = [row.image for row in rows[first : first + SHEET_ROWS * columns]]
        photos.save_jpeg(
            args.out / f"contact-{number:02d}.jpg", photos.contact_sheet(args.out, names, columns=columns), quality=85
        )
    if args.split == "sample":
        write_sample(args.out, shots, seed=args.seed)
    return 0


def _need(*packages: str) -> None:
    """Raise MissingExtraError unless the packages can be imported."""
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "render") from error


if __name__ == "__main__":
    raise SystemExit(main())
