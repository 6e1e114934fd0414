"""Set the default policy of the embedded encoder from pictures that it was not trained on.

References are the clothing photos of half of the held-out senders in DATA, and the packshots of the rendered
marketplace's validation split (--market). Edited copies of these and the market's other photos should be found; edited
copies of the other senders' photos, and rivals' products, should be left alone. Similarity and points that agree are
fused. The thresholds are where 0.5 % (flag) and 5 % (review) of the pictures to leave alone would be hit, with each
half of the pictures judged by a fusion fitted to the other half. Writes POLICY (TOML).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.model.encoder import Encoder
from lookalike.model.loading import load_encoder
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.policy import Policy
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market, compared
from lookalike.scripts.training.edits import edit, random_edits
from lookalike.scripts.training.pictures import Album, load_photos, on_ground, rgb
from lookalike.thresholds.fusing import reach_of, within
from lookalike.thresholds.labels import LabelledMatches

FLAG_SHARE, REVIEW_SHARE = 0.005, 0.05


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("policy", type=Path, metavar="POLICY")
    parser.add_argument("--market", type=Path, required=True, help="folder of the rendered validation split")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args(argv)
    pictures = validation_set(arguments.data, arguments.market, np.random.default_rng(arguments.seed))
    _policy(load_encoder("embedded"), pictures, arguments.seed).save(arguments.policy)
    print(arguments.policy.read_text(encoding="utf-8"))
    return 0


def validation_set(data: Path, market: Path, rng: np.random.Generator) -> BenchmarkSet:
    """The references and queries that thresholds are set on."""
    # by sender, since a sender's photos share sheet and floor; pictures without a sender may show a thing twice
    senders = [pictures for pictures in load_photos(data, Album()).values() if len(pictures) > 1]
    others = rgb([picture for pictures in senders for picture in pictures])
    found = BenchmarkSet("validation")
    for number, at in enumerate(rng.permutation(len(senders)).tolist()):
        for picture in senders[at]:
            photo, product = on_ground(picture, rng), str(len(found.products))
            copy = Image.fromarray(edit(photo, random_edits(rng, most=3), rng, others=others))
            if number % 2:
                found.ask(copy, "", "unrelated")
            else:
                found.refer(Image.fromarray(photo), product)
                found.ask(copy, product, "edited")
    add_market(found, market, split="validation")
    return found


def _policy(encoder: Encoder, pictures: BenchmarkSet, seed: int) -> Policy:
    photos = compared(pictures, encoder)
    reach = reach_of(photos)
    photos = [within(photo, reach) for photo in photos]
    fold = np.random.default_rng(seed).permutation(len(photos)) % 2
    strength, right = np.zeros(len(photos)), np.zeros(len(photos), bool)
    for half in (0, 1):
        fusion = _fit([photo for photo, at in zip(photos, fold, strict=True) if at != half])
        for at in np.flatnonzero(fold == half).tolist():
            answer = photos[at].answer(fusion)
            strength[at], right[at] = answer.strength, photos[at].is_right(answer)
    shown = np.array(pictures.shown)
    flag, review = (
        round(float(np.quantile(strength[shown == ""], 1 - share)), 3) for share in (FLAG_SHARE, REVIEW_SHARE)
    )
    return Policy(
        name="embedded-default",
        flag=flag,
        review=review,
        weights_sha256=encoder.spec.weights_sha256,
        reach=reach,
        fusion=_fit(photos),
        about=_about(pictures, strength, right, flag=flag, review=review),
    )


def _fit(photos: Sequence[LabelledMatches]) -> Fusion:
    return fit_fusion((photo.matches, photo.is_right) for photo in photos)


def _about(
    pictures: BenchmarkSet, strength: NDArray[np.float64], right: NDArray[np.bool_], *, flag: float, review: float
) -> str:
    strata = np.array([names[0] for names in pictures.strata])

    def hit(stratum: str, threshold: float) -> str:
        of = strata == stratum
        hits: NDArray[np.bool_] = (strength >= threshold) & (right | (stratum == "unrelated"))
        return f"{hits[of].mean():.1%}"

    return fill(
        f"Set on {len(pictures.products)} references, {(strata == 'edited').sum()} edited copies of them, "
        f"{(strata == 'other photo').sum()} other photos of the same products and {pictures.shown.count('')} "
        f"unrelated pictures, none of which the encoder was trained on. The flag threshold hits {hit('edited', flag)} "
        f"of the copies, {hit('other photo', flag)} of the other photos and {hit('unrelated', flag)} of the unrelated "
        f"pictures; the review threshold hits {hit('edited', review)}, {hit('other photo', review)} and "
        f"{hit('unrelated', review)}. With more references, unrelated pictures come nearer: set thresholds on your own "
        "listings before you act on them.",
        width=118,
    )


if __name__ == "__main__":
    raise SystemExit(main())
