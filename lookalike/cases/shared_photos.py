"""Photographs of sellers' own that several of them show: what joins sellers, and what must not.

Anyone who sells a brand's goods may show the brand's own photos, so those join nobody. `same_files` finds shared photos
by their bytes alone; `comparison` also finds edited copies, and tells sellers' photos from the brand's by the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NAME_DIGITS = 16


@dataclass(frozen=True)
class SellerPhoto:
    """A seller's photo: where it is, the sha256 of its bytes if known, and what a finding says about it.

    `copied`: it is a copy of the brand's photo. `own`: it was compared, and shows no picture or print of the brand's.
    """

    seller: str
    image: str
    sha256: str | None = None
    copied: bool = False
    own: bool = False


@dataclass(frozen=True)
class SharedPhoto:
    """A photograph that several sellers show and that is not the brand's; for each seller one `image` that shows it."""

    name: str
    images: dict[str, str]

    @property
    def sellers(self) -> tuple[str, ...]:
        """Who shows it, sorted."""
        return tuple(sorted(self.images))


@dataclass(frozen=True)
class SharedPhotos:
    """The photographs that sellers share, and counts of all photos, the `unread` ones and the `brands` own.

    Only photos that could join sellers are checked for being the brand's. `unproven` ones join nobody, because none of
    their nearest references could be read to check. `compared` counts comparisons point by point.
    """

    shared: tuple[SharedPhoto, ...] = ()
    photos: int = 0
    unread: int = 0
    brands: int = 0
    unproven: int = 0
    compared: int = 0


def same_files(photos: Iterable[SellerPhoto]) -> SharedPhotos:
    """Photographs shared byte for byte, by their sha256: no photo is read, and edited copies are not found.

    A file only joins sellers if the findings of all of them call it `own`. Two sellers that show the same print may
    have it from a wholesaler who edited the brand's photo, and only the pictures could tell.
    """
    groups: dict[str, dict[str, str]] = {}
    doubtful: set[str] = set()
    for photo in photos:
        if photo.sha256 is None:
            continue
        groups.setdefault(photo.sha256, {}).setdefault(photo.seller, photo.image)
        if photo.copied or not photo.own:
            doubtful.add(photo.sha256)
    shared = [
        SharedPhoto(photograph_name([key]), images)
        for key, images in groups.items()
        if len(images) > 1 and key not in doubtful
    ]
    return SharedPhotos(tuple(sorted(shared, key=lambda photo: photo.name)), photos=len(groups))


def photograph_name(hashes: Sequence[str]) -> str:
    """A photograph's name: the start of the lowest sha256 among its copies."""
    return min(hashes)[:_NAME_DIGITS]
