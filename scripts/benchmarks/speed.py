"""Measure pictures a second on one core, from the bytes of a JPEG to a vector: the embedded encoder and other models.

Draws JPEGs and passes them through the library's reader and each encoder, in turns. Prints the median, the range and
the ratio to the slowest. Models other than presets that ship have random weights, on which speed does not depend.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.model.clip_loading import untrained_encoder
from lookalike.model.encoder import Threaded
from lookalike.model.images import decode_image
from lookalike.model.loading import load_encoder
from lookalike.scripts.bench_pictures import draw_jpeg
from lookalike.scripts.timing import Spread, in_turns, seconds_of, show_table


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="open_clip architectures to compare (default ViT-B-32)")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=800, help="width and height of the JPEGs in pixels (default 800)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    files = [draw_jpeg(arguments.side, seed) for seed in range(arguments.pictures)]
    jobs = {"embedded": _pipeline(load_encoder("embedded", device="cpu"), files)}
    for model in arguments.model or ["ViT-B-32"]:
        jobs[model] = _pipeline(untrained_encoder(model, device="cpu"), files)
    jobs["reading alone"] = lambda: [decode_image(data) for data in files]
    with _one_thread():
        turns = in_turns(jobs, rounds=arguments.rounds, measure=seconds_of)
    rates = {name: Spread.of(len(files) / each for each in seconds) for name, seconds in turns.items()}
    slowest = min(rate.median for rate in rates.values())
    show_table(
        ("", "images/s", "least", "most", "ms each", "times the slowest"),
        [
            (name, *rate.cells(), f"{1000 / rate.median:.2f}", f"{rate.median / slowest:.1f}")
            for name, rate in rates.items()
        ],
    )
    return 0


@contextmanager
def _one_thread() -> Iterator[None]:
    import cv2
    import torch

    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def _pipeline(encoder: Threaded, files: list[bytes]) -> Callable[[], object]:
    """Read, prepare and embed with one worker, as `build` and `scan` do."""
    reader, alone = PhotoReader(workers=1), encoder.in_threads(1)
    return lambda: list(embed_photos(files, encoder=alone, reader=reader))


if __name__ == "__main__":
    raise SystemExit(main())
