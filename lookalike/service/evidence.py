"""The picture that shows why: made when somebody asks for it, from the photos as they are then."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.errors import ImageReadError
from lookalike.evidence.explain import explain_pair
from lookalike.model.images import Photo, decode_image
from lookalike.model.sources import is_remote, read_source
from lookalike.review.photos import Kept

from .problems import Problem, too_many

if TYPE_CHECKING:
    from lookalike.model.access import Access

    from .findings import KeptPhotos, Pair
    from .settings import Settings

_MOST_WAITING = 16
_MOST_KEPT = 64 << 20  # bytes of pictures that were made
_SECONDS = 3  # that one takes at most, on most machines


class EvidencePictures:
    """Makes pictures one at a time, and keeps the last ones. `access` says which photos of a listing may be read."""

    def __init__(self, settings: Settings, photos: KeptPhotos) -> None:
        self._settings, self._photos = settings, photos
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lookalike-evidence")
        self._made = Kept(_MOST_KEPT)
        self._waiting = 0

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def png(self, name: str, pair: Pair, access: Access) -> bytes:
        """The picture of the finding of that name, as PNG. Raises Problem if a photo can't be read any more."""
        made = self._made.get(name)
        if made is not None:
            return made
        if self._waiting >= _MOST_WAITING:
            raise too_many("evidence", f"{self._waiting} pictures wait already; try again", after=_SECONDS)
        self._waiting += 1
        try:
            made = await asyncio.wrap_future(self._pool.submit(self._draw, pair, access))
        finally:
            self._waiting -= 1
        self._made.put(name, made)
        return made

    def _draw(self, pair: Pair, access: Access) -> bytes:
        listing, genuine = self._listed(pair, access), self._genuine(pair)
        drawn = explain_pair(
            genuine.image, listing.image, numbers=pair.numbers, region=pair.region, caption=pair.caption
        ).picture
        data = io.BytesIO()
        drawn.save(data, "PNG")
        return data.getvalue()

    def _listed(self, pair: Pair, access: Access) -> Photo:
        kept = None if pair.sha256 is None else self._photos.get(pair.sha256)
        if kept is None and pair.image.startswith("sha256:"):
            raise Problem(404, "photo_not_kept", "the listing's photo was sent and isn't kept, or not any more; the "
                          "service keeps those of findings to act on as long as keep_photos_bytes allows")  # fmt: skip
        photo = self._read(pair.image, kept, access)
        if pair.sha256 not in (None, photo.sha256):
            raise Problem(404, "photo_changed", "at its address is another photo now than the one that was checked")
        return photo

    def _genuine(self, pair: Pair) -> Photo:
        # its path is from the index, and not from whoever asks
        return self._read(pair.reference, None, replace(self._settings.reader.access, local=True))

    def _read(self, source: str, data: bytes | None, access: Access) -> Photo:
        try:
            data = read_source(source, access=access) if data is None else data
            return decode_image(data, source=source, limits=self._settings.reader.limits)
        except ImageReadError as error:
            shown = (
                str(error) if is_remote(source) else f"a photo of the finding can't be read any more ({error.reason})"
            )
            raise Problem(404, "photo_unreadable", shown) from error
