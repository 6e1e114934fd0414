"""Draw why a photo resembles a genuine one.

The picture shows both side by side, with matching points joined, and boxes around what differs.

Examples:
lookalike explain photo.jpg --index genuine.index --out pair.png
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.disk import written
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    Json,
    PhotoOptions,
    PolicyFile,
    Quiet,
)
from lookalike.scripts.outputs import PICTURE, require_outputs
from lookalike.scripts.terminal import note, print_json


def explain(
    photo: Annotated[str, typer.Argument(help="The listing's photo: a path, or a URL with an allowed scheme.")],
    index: IndexFolder,
    out: Annotated[Path, typer.Option("--out", help="Picture to write, such as pair.png.")],
    *,
    policy: PolicyFile = None,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from PIL import Image

    from lookalike.detection.detector import Detector
    from lookalike.evidence.explain import explain_photo

    require_outputs(
        {"--out": (out, PICTURE)},
        {"PHOTO": photo, "--index": index, "--policy": policy, "--weights": encoder.weights},
    )
    detector = Detector.open(index, policy=policy, reader=photos.reader(), **vars(encoder))
    explained = explain_photo(photo, detector=detector)
    with written(out) as temporary:
        explained.explanation.picture.save(temporary, Image.registered_extensions()[out.suffix.lower()])
    match, found = explained.match, explained.explanation.verification
    if as_json:
        values = {"verdict": str(explained.finding.verdict), "reference_id": match.reference.id,
                  "similarity": match.similarity, "verification": asdict(found) if found else None}  # fmt: skip
        print_json(values)
    line = f"{out}: similarity {match.similarity:.3f} to {match.reference.id}; "
    if found is None:
        line += "no matching points"
    else:
        line += f"{found.inliers} matching points over {found.coverage:.0%} of it, {found.kind.replace('_', ' ')}"
        line += ", mirrored" if found.mirrored else ""
    note(line, quiet=quiet or as_json)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
