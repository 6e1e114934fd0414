"""Photos that wait together are embedded together, each gets its own vectors, and a failure is nobody else's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from numpy.typing import NDArray
from serving import Place, encoded, served
from toy import ToyEncoder

from lookalike.index.reading import Read, View
from lookalike.service.embedding import Embedding


class Encoder:
    """Gives the first number of each input. It waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.sizes: list[int] = []

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.go.wait(30)
        self.sizes.append(len(inputs))
        if any(each[0] == 255 for each in inputs):
            raise RuntimeError("this input can't be embedded")
        return np.array([[each[0]] for each in inputs], np.float32)


def read(*values: int) -> Read:
    return Read("sha", tuple(View(prepared=np.array([value], np.uint8)) for value in values))


def numbers(future: Future[Read]) -> list[float]:
    return [float(view.vector[0]) for view in future.result(30).views if view.vector is not None]


@pytest.fixture
def embedding() -> Iterator[Embedding]:
    made = Embedding(batch=4, wait=0.0)
    yield made
    made.close()


def test_what_waits_is_embedded_together_up_to_the_batch(embedding: Embedding) -> None:
    encoder = Encoder()
    futures = [embedding.submit(encoder, read(value)) for value in range(10)]  # type: ignore[arg-type]
    encoder.go.set()
    assert [numbers(future) for future in futures] == [[float(value)] for value in range(10)]
    assert sum(encoder.sizes) == 10 and max(encoder.sizes) == 4 and len(encoder.sizes) <= 4


def test_a_photo_with_parts_keeps_them_together(embedding: Embedding) -> None:
    encoder = Encoder()
    futures = [embedding.submit(encoder, each) for each in (read(1, 2, 3), read(4), read(5, 6))]  # type: ignore[arg-type]
    encoder.go.set()
    assert [numbers(future) for future in futures] == [[1, 2, 3], [4], [5, 6]]


def test_photos_of_two_encoders_are_not_mixed(embedding: Embedding) -> None:
    one, other = Encoder(), Encoder()
    one.go.set()
    other.go.set()
    futures = [embedding.submit((one, other)[at % 2], read(at)) for at in range(8)]  # type: ignore[arg-type]
    assert [numbers(future) for future in futures] == [[float(at)] for at in range(8)]
    assert (sum(one.sizes), sum(other.sizes)) == (4, 4)


def test_a_failure_is_told_and_the_thread_goes_on(embedding: Embedding) -> None:
    encoder = Encoder()
    encoder.go.set()
    with pytest.raises(RuntimeError, match="can't be embedded"):
        embedding.submit(encoder, read(255)).result(30)  # type: ignore[arg-type]
    assert numbers(embedding.submit(encoder, read(7))) == [7.0]  # type: ignore[arg-type]


def test_what_nobody_waits_for_any_more_is_not_embedded(embedding: Embedding) -> None:
    encoder = Encoder()
    first = embedding.submit(encoder, read(1))  # type: ignore[arg-type]
    while not first.running():
        pass
    given_up, last = embedding.submit(encoder, read(2)), embedding.submit(encoder, read(3))  # type: ignore[arg-type]
    assert given_up.cancel()
    encoder.go.set()
    assert (numbers(first), numbers(last)) == ([1.0], [3.0])
    assert sum(encoder.sizes) == 2


class OnGpu(ToyEncoder):
    """Says that it computes on a GPU, and notes in which threads it embeds."""

    device = "cuda:0"

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.threads.add(threading.current_thread().name)
        return super().embed(inputs)


class OnCpu(OnGpu):
    device = "cpu"


@pytest.mark.parametrize(("kind", "thread"), [(OnGpu, "lookalike-embedding"), (OnCpu, "lookalike-read_")])
def test_a_gpu_embeds_in_one_thread_and_a_cpu_where_the_photo_was_read(
    place: Place, kind: type[OnGpu], thread: str
) -> None:
    encoder = kind()
    with served(place, encoder=encoder) as running:
        encoder.threads.clear()  # the self-check embeds, too
        answer = running.check(encoded(place.pictures[2]))
        broken = running.check({"base64": "AAAA"})
    assert (answer["verdict"], answer["match"]["reference"]) == ("flagged", "r2")
    assert answer["milliseconds"]["embedding"] > 0 and answer["milliseconds"]["reading"] > 0
    assert broken["verdict"] == "unreadable"
    assert [name.startswith(thread) for name in encoder.threads] == [True]
