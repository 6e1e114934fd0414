"""Draw why a photo resembles a genuine one.

The picture shows both side by side, with matching points joined, and boxes around what differs. If the extra `ocr` is
installed, it also says what the two labels say.

Examples:
lookalike explain photo.jpg --index genuine.index --out pair.png
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
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
    from lookalike.evidence.label_names import NameReader
    from lookalike.policy.numbers import in_words
    from lookalike.tables.findings import finding_row

    require_outputs(
        {"--out": (out, PICTURE)},
        {"PHOTO": photo, "--index": index, "--policy": policy, "--weights": encoder.weights},
    )
    detector = Detector.open(index, policy=policy, reader=photos.reader(), **vars(encoder))
    names = NameReader() if find_spec("rapidocr") else None
    explained = explain_photo(photo, detector=detector, names=names)
    with written(out) as temporary:
        explained.explanation.picture.save(temporary, Image.registered_extensions()[out.suffix.lower()])
    match, found, name = explained.match, explained.explanation.verification, explained.explanation.name
    if as_json:
        print_json({
            "verdict": str(explained.finding.verdict),
            "reference_id": match.reference.id,
            "probability": match.probability,
            "threshold": match.threshold,
            "flag_threshold": match.flag_threshold,
            "similarity": match.similarity,
            "look": match.look,
            "verification": asdict(found) if found else None,
            "label_name": asdict(name) if name else None,
        })  # fmt: skip
    finding = explained.finding
    line = f"{out}: {finding.verdict}, {in_words(finding_row(finding))} to {match.reference.id}; "
    if found is None:
        line += "no matching points"
    else:
        line += f"{found.inliers} matching points over {found.coverage:.0%} of it, {found.kind.replace('_', ' ')}"
        line += ", mirrored" if found.mirrored else ""
    if name is not None:
        line += f"; {name.in_words}"
    note(line, quiet=quiet or as_json)
    return Exit.DONE


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
