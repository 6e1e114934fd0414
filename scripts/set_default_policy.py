"""Set the default policy of the embedded encoder from pictures that it was not trained on.

Of the pictures under DATA that training held out, half become references. Edited copies of these should be
found again; edited copies of the other half resemble no reference and should be left alone. The
thresholds are where 0.5 % (flag) and 5 % (review) of the latter would be hit. Writes POLICY (TOML).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.model.edits import edit, random_edits
from lookalike.model.encoder import Encoder, load_encoder
from lookalike.scripts.train_encoder import load_pictures, on_ground

FLAG_SHARE, REVIEW_SHARE = 0.005, 0.05


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder that holds clothing/, produce/ and logos/")
    parser.add_argument("policy", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args(argv)
    encoder = load_encoder("embedded")
    right, unrelated = _similarities(arguments.data, encoder, np.random.default_rng(arguments.seed))
    flag, review = (float(np.quantile(unrelated, 1 - share)) for share in (FLAG_SHARE, REVIEW_SHARE))
    arguments.policy.write_text(_toml(encoder, flag, review, right, unrelated), encoding="utf-8")
    print(arguments.policy.read_text(encoding="utf-8"))
    return 0


def _similarities(
    data: Path, encoder: Encoder, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarity of edited copies to their own reference, and of edited unrelated pictures to the nearest one."""
    _, _, pictures = load_pictures(data)
    grounded = [on_ground(picture, rng) for picture in pictures]
    others = [picture for picture in pictures if picture.shape[2] == 3]
    edited = [edit(picture, random_edits(rng), rng, others=others) for picture in grounded]
    order = rng.permutation(len(pictures))
    known, unknown = order[: len(order) // 2], order[len(order) // 2 :]
    references = encoder.encode([Image.fromarray(grounded[i]) for i in known])
    copies = encoder.encode([Image.fromarray(edited[i]) for i in known])
    strangers = encoder.encode([Image.fromarray(edited[i]) for i in unknown])
    return np.sum(references * copies, axis=1), (strangers @ references.T).max(axis=1)


def _toml(
    encoder: Encoder, flag: float, review: float, right: NDArray[np.float32], unrelated: NDArray[np.float32]
) -> str:
    return f'''name = "embedded-default"
about = """
Set on {len(right)} edited copies of {len(right)} references and {len(unrelated)} edited pictures of nothing among
them, none of them trained on. At flag {np.mean(right >= flag):.1%} of the copies and {np.mean(unrelated >= flag):.1%}
of the unrelated pictures are hit, at review {np.mean(right >= review):.1%} and {np.mean(unrelated >= review):.1%}.
With more references, unrelated pictures come nearer: set thresholds on listings of your own before you act on them."""

[thresholds]
flag = {flag:.3f}
review = {review:.3f}

[encoder]
name = "embedded"
weights_sha256 = "{encoder.spec.weights_sha256}"
'''


if __name__ == "__main__":
    raise SystemExit(main())
