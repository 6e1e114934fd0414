"""Evidence on demand: what matches and differs in photos, made for the current finding and the next ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from lookalike.errors import ImageReadError

from .photos import Kept, Photos, jpeg

if TYPE_CHECKING:
    from lookalike.evidence.layers import Layers

AHEAD = 3
"""For how many of the next findings evidence is made ahead."""

_MOST_KEPT = 48 << 20
_MOST_FOUND = 64

Key = tuple[str, str]
"""What names a pair of photos: the hash of the listing's file, or where it is not known its path, and the reference."""


class Evidence:
    """Makes the layers of pairs in the background, one pair at a time, and keeps the last ones by their hashes."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lookalike-review")
        self._pictures = Kept(_MOST_KEPT)
        self._found: OrderedDict[Key, Future[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, key: Key, listing: str, reference: str) -> Future[dict[str, Any]]:
        """What is known of a pair, or will be: JSON values (see `_said`). It is made once."""
        with self._lock:
            found = self._found.get(key)
            if found is None or (found.done() and found.cancelled()):
                found = self._pool.submit(self._make, key, listing, reference)
                self._found[key] = found
            self._found.move_to_end(key)
            while len(self._found) > _MOST_FOUND:
                self._found.popitem(last=False)[1].cancel()
            return found

    def keep_only(self, keys: Iterable[Key]) -> None:
        """Cancel what waits to be made for other findings, so that a skipped one holds up nobody."""
        wanted = set(keys)
        with self._lock:
            for key in [key for key, found in self._found.items() if key not in wanted and found.cancel()]:
                del self._found[key]

    def picture(self, key: Key, name: str, make_again: Callable[[], Future[dict[str, Any]]]) -> bytes | None:
        """A picture of a pair that was made: a view, or a close-up; None if there is none of that name."""
        found = self._pictures.get((key, name))
        if found is None:
            with self._lock:
                self._found.pop(key, None)
            make_again().result()
            found = self._pictures.get((key, name))
        return found

    def _make(self, key: Key, listing: str, reference: str) -> dict[str, Any]:
        from lookalike.evidence.layers import layers_of

        try:
            shown, genuine = self._photos.read(listing), self._photos.read(reference)
        except ImageReadError as error:
            return {"error": str(error)[:300]}
        layers = layers_of(genuine.picture, shown.picture)
        pictures = {}
        if layers.views is not None:
            pictures["view-genuine"], pictures["view-listing"] = layers.views
        for number, place in enumerate(layers.places):
            pictures[f"place-{number}-genuine"] = place.genuine_close_up
            pictures[f"place-{number}-listing"] = place.listing_close_up
        for name, picture in pictures.items():
            self._pictures.put((key, name), jpeg(picture))
        return _said(layers, shown.sha256)


def _said(layers: Layers, sha256: str) -> dict[str, Any]:
    """The layers as JSON values, with the sha256 of the listing's file as it is now."""
    return {
        "sha256": sha256,
        "inliers": layers.verification.inliers if layers.verification else 0,
        "mirrored": layers.mirrored,
        "lines": layers.lines,
        "outline": layers.outline,
        "places": [{"reference": place.reference, "listing": place.listing} for place in layers.places],
        "views": layers.views is not None,
        "whole": layers.whole,
    }
