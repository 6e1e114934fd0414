"""Show why a photo is alike to a genuine one: both side by side, matched points joined, and what differs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import ImageReadError, TableError
from lookalike.records import Listing
from lookalike.scripts.cli import (
    DONE,
    Device,
    Model,
    PolicyFile,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    note,
    photo_reader,
    run,
)


def explain(
    photo: Annotated[str, typer.Argument(help="The listing's photo: a path, or a URL of an allowed scheme.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write, for example pair.png")],
    policy: PolicyFile = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was found, as JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.detector import Detector
    from lookalike.evidence.explain import explain_pair
    from lookalike.model.images import read_image

    if out.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise TableError(f"the picture {out} ends in {out.suffix or 'nothing'}, needed .png, .jpg or .webp")
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    detector = Detector.open(index, policy=policy, model=model, weights=weights, device=device, reader=reader)
    finding = detector.check(Listing(id=photo, images=(photo,)))
    if finding.error or not finding.matches:
        raise ImageReadError(finding.error or f"the index {index} holds nothing to compare {photo} with", source=photo)
    match = finding.matches[0]
    shown = read_image(photo, limits=reader.limits, access=reader.access).image
    genuine = read_image(match.reference.image, limits=reader.limits, access=reader.access).image
    held = None if finding.normalised_similarity is not None else finding.threshold
    explained = explain_pair(
        genuine,
        shown,
        similarity=match.similarity,
        threshold=held,
        caption=f"{finding.verdict}: alike to {match.reference.brand} {match.reference.product}",
    )
    explained.picture.save(out)
    found = explained.verification
    if as_json:
        said = {"verdict": str(finding.verdict), "reference_id": match.reference.id, "similarity": match.similarity}
        print(json.dumps(said | {"verification": asdict(found) if found else None}, ensure_ascii=False))
    elif found is None:
        note(f"{out}: similarity {match.similarity:.3f} to {match.reference.id}; no points agree", quiet=quiet)
    else:
        mirrored = ", mirrored" if found.mirrored else ""
        note(
            f"{out}: similarity {match.similarity:.3f} to {match.reference.id}; {found.inliers} points agree over "
            f"{found.coverage:.0%} of it, {found.kind.replace('_', ' ')}{mirrored}",
            quiet=quiet,
        )
    return DONE


def main(argv: list[str] | None = None) -> int:
    return run(explain, argv)


if __name__ == "__main__":
    raise SystemExit(main())
