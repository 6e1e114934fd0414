"""Set the default policy of an encoder from pictures that it was not trained on.

References are the clothing photos of half of the held-out senders in DATA, and the packshots of the rendered
marketplace's validation split (--market). Edited copies of these, the market's other photos and imitations should be
found; edited copies of the other senders' photos, and rivals' products, should be left alone. A picture of the market
is asked once more without its product: what is nearest then is a rival's of the same form. Similarity, look and points
that agree are fused, fitted to all of these. The thresholds are where 0.5 % (flag) and 5 % (review) of the unrelated
pictures would be hit, with each half of the pictures judged by a fusion fitted to the other half. Matches without
agreeing points have thresholds of their own, none lower for a flag; how the 0.5 % and 5 % are split is chosen by what
is found. Writes POLICY (TOML).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.detection.lookup import with_margins
from lookalike.model.encoder import Encoder
from lookalike.model.loading import load_encoder
from lookalike.policy.fusion import Fusion, fit_fusion
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Kinds, Thresholds
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market, compared
from lookalike.scripts.training.edits import edit, random_edits
from lookalike.scripts.training.pictures import Album, load_photos, on_ground, rgb
from lookalike.thresholds.fusing import reach_of, within
from lookalike.thresholds.labels import LabelledMatches

FLAG_SHARE, REVIEW_SHARE = 0.005, 0.05
WANTED, RIVAL = ("edited", "other photo", "imitation"), "rival"
FLAG_LEAST, REVIEW_LEAST = 0.9, 0.05
"""No threshold is lower, however few unrelated pictures there are: what is flagged is right nine times in ten."""
_CLOTHES = "clothes "


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("policy", type=Path, metavar="POLICY")
    parser.add_argument("--market", type=Path, required=True, help="folder of the rendered validation split")
    parser.add_argument("--model", default="embedded", help="the encoder's preset (default: %(default)s)")
    parser.add_argument("--parts", type=int, default=0, help="most parts of a photo that are looked up (default 0)")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args(argv)
    pictures = validation_set(arguments.data, arguments.market, np.random.default_rng(arguments.seed))
    encoder, name = load_encoder(arguments.model), f"{arguments.model}-default"
    policy = default_policy(encoder, pictures, name=name, parts=arguments.parts, seed=arguments.seed)
    policy.save(arguments.policy)
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
            photo, product = on_ground(picture, rng), f"{_CLOTHES}{len(found.products)}"
            copy = Image.fromarray(edit(photo, random_edits(rng, most=3), rng, others=others))
            if number % 2:
                found.ask(copy, "", "unrelated")
            else:
                found.refer(Image.fromarray(photo), product)
                found.ask(copy, product, "edited")
    add_market(found, market, split="validation")
    return found


def default_policy(encoder: Encoder, pictures: BenchmarkSet, *, name: str, parts: int, seed: int) -> Policy:
    """The policy for an encoder, set on these pictures; `seed` draws the halves."""
    photos = compared(pictures, encoder, parts=parts)
    reach = reach_of(photos, parts=parts)
    photos = [within(photo, reach) for photo in photos]
    rivals = [rival_of(photo, product) for photo, product in zip(photos, pictures.shown, strict=True)]
    answers = Answers.of(photos, rivals, [names[0] for names in pictures.strata], seed)
    flags = answers.thresholds(FLAG_SHARE, least=FLAG_LEAST)
    flags = flags[0], max(flags)  # what no points confirm is not flagged more easily than what they do
    reviews = answers.thresholds(REVIEW_SHARE, least=REVIEW_LEAST, most=flags)
    (flag, flag_alike), (review, review_alike) = flags, reviews
    return Policy(
        name=name,
        flag=flag,
        review=review,
        kinds=Kinds(lookalike=Thresholds(flag_alike, review_alike)),
        weights_sha256=encoder.spec.weights_sha256,
        reach=reach,
        fusion=_fit([*photos, *filter(None, rivals)]),
        about=answers.about(len(pictures.products), flags, reviews),
    )


def rival_of(photo: LabelledMatches, product: str) -> LabelledMatches | None:
    """The photo as if its product were not genuine: it looks like a rival of the same form then. None for clothes.

    Points agree on cap and neck of both, so a fusion must have seen such goods.
    """
    others = with_margins(tuple(match for match in photo.matches if not photo.is_right(match)))
    if not product or product.startswith(_CLOTHES) or not others:
        return None
    return replace(photo, matches=others, right=frozenset())


Pair = tuple[float, float]
"""A threshold for matches with agreeing points, and one for those without: for look-alikes at most."""


@dataclass(frozen=True)
class Answers:
    """What n pictures were answered with: arrays (n,) of probability, whether it is right, whether no points agree."""

    strength: NDArray[np.float64]
    right: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    strata: NDArray[np.str_]

    @classmethod
    def of(
        cls,
        photos: Sequence[LabelledMatches],
        rivals: Sequence[LabelledMatches | None],
        strata: Sequence[str],
        seed: int,
    ) -> Answers:
        """The answers, each by a fusion that was fitted to the other half of the pictures; then those for rivals."""
        fold = np.random.default_rng(seed).permutation(len(photos)) % 2
        known = [(rival, half) for rival, half in zip(rivals, fold, strict=True) if rival is not None]
        asked = [*zip(photos, fold, strict=True), *known]
        fusions = [_fit([photo for photo, at in asked if at != half]) for half in (0, 1)]
        answers = [photo.answer(fusions[half]) for photo, half in asked]
        return cls(
            np.array([answer.strength for answer in answers]),
            np.array([photo.is_right(answer) for (photo, _), answer in zip(asked, answers, strict=True)]),
            np.array([answer.kind == "lookalike" for answer in answers]),
            np.array([*strata, *[RIVAL] * len(known)]),
        )

    @property
    def unrelated(self) -> NDArray[np.bool_]:
        """Which pictures show no product."""
        return np.asarray(self.strata == "unrelated")

    def thresholds(self, share: float, *, least: float, most: Pair = (1.0, 1.0)) -> Pair:
        """The pair that at most that share of the unrelated pictures reach, and that finds most of the others.

        All ways are tried to split the share between the two; what is found counts as the mean over what is WANTED.
        Neither is below `least` or above `most`.
        """
        allowed = int(share * self.unrelated.sum())
        strong, weak = (self.strength[self.unrelated & (self.alike == alike)] for alike in (False, True))
        pairs = [
            (
                min(most[0], max(least, _above(strong, allowed - number))),
                min(most[1], max(least, _above(weak, number))),
            )
            for number in range(allowed + 1)
        ]
        within_share = [pair for pair in pairs if self._hits(pair)[self.unrelated].sum() <= allowed]
        return max(within_share, key=self._found)

    def _hits(self, pair: Pair) -> NDArray[np.bool_]:
        return self.strength >= np.where(self.alike, pair[1], pair[0])

    def _found(self, pair: Pair) -> float:
        wanted = [stratum for stratum in WANTED if (self.strata == stratum).any()]
        return float(np.mean([self._share(stratum, pair) for stratum in wanted]))

    def _share(self, stratum: str, pair: Pair) -> float:
        hits = self._hits(pair) & (self.right | self.unrelated | (self.strata == RIVAL))
        return float(hits[self.strata == stratum].mean())

    def about(self, references: int, flags: Pair, reviews: Pair) -> str:
        """What the thresholds were set on, and what they find."""
        names = {"edited": "edited copies of them", "other photo": "other photos of the same products",
                 "imitation": "imitations", "unrelated": "unrelated pictures",
                 RIVAL: "pictures without their product, which resemble rivals"}  # fmt: skip
        known = [name for name in names if (self.strata == name).any()]
        counts = ", ".join(f"{(self.strata == name).sum()} {names[name]}" for name in known)
        found = "; ".join(
            f"{names[name]}: {self._share(name, flags):.1%} reach flag, {self._share(name, reviews):.1%} review"
            for name in known
        )
        text = (
            f"Set on {references} references, {counts}; the encoder was trained on none of them. Found at the right "
            f"product (of the last two: at any) were, of the {found}. With more references, unrelated pictures come "
            "nearer: set thresholds on your own listings before you act on them."
        )
        return fill(text, width=118)


def _above(values: NDArray[np.float64], allowed: int) -> float:
    """The lowest threshold of three digits that no more than `allowed` of the values reach."""
    if allowed >= len(values):
        return 0.0
    return math.floor(float(np.sort(values)[-1 - allowed]) * 1000 + 1) / 1000


def _fit(photos: Sequence[LabelledMatches]) -> Fusion:
    return fit_fusion((photo.matches, photo.is_right) for photo in photos)


if __name__ == "__main__":
    raise SystemExit(main())
