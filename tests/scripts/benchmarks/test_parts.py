"""The benchmark of parts makes photos of several goods, and tells what is found in them with parts and without."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from toy import ToyEncoder

from lookalike.policy.terms import Reach
from lookalike.scripts.bench_pictures import texture
from lookalike.scripts.benchmarks import parts


def test_parts_find_more_of_what_composed_photos_show() -> None:
    rng = np.random.default_rng(0)
    references, others, grounds = ([texture(200, 200, rng) for _ in range(count)] for count in (20, 20, 3))
    photos = parts.composed(references, others, grounds, 4, rng)
    assert [photo.form for photo in photos].count(parts.OTHERS) == 8
    assert {len(photo.shown) for photo in photos if photo.form == "frame"} == {1}
    assert all(Image.open(io.BytesIO(photo.data)).size[0] >= 200 for photo in photos)
    lookup = parts.looking_up(references, ToyEncoder())
    among = {}
    for most in (0, 8):
        reach = Reach(references=0, parts=most)
        rows = parts._figures(photos, lookup=parts._with(lookup, reach), rounds=50, points=False)
        assert [row[0] for row in rows] == [*parts.FORMS, parts.OTHERS]
        among[most] = {row[0]: float(row[2].split()[0]) for row in rows[:-1]}
        assert all((float(row[4]) > 1) == (most > 0) for row in rows)
    assert among[8]["collage"] > among[0]["collage"] and among[8]["frame"] == 1
