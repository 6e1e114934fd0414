"""What kind of file this is, by its first bytes, and which way up its picture should be shown."""

from __future__ import annotations

import struct

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""The only formats that are tried. Some of Pillow's other decoders take 600 MB for a file of 1 kB."""

_ORIENTATION = 0x0112
_OTHER_FORMATS = (
    (b"8BPS", "a PSD"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "an EPS"),
    (b"\0\0\1\0", "an ICO"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xffO\xffQ", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"DDS ", "a DDS"),
    (b"qoif", "a QOI"),
    (b"<svg", "an SVG"),
    (b"<?xml", "XML"),
    (b"<html", "an HTML page"),
    (b"<!doctype", "an HTML page"),
    (b"PK\3\4", "a ZIP"),
    (b"\x1f\x8b", "a gzip"),
)


def sniff_format(data: bytes) -> str | None:
    """The format, by the first bytes of the file, so that no other decoder is tried; None for any other file."""
    head = data[:64]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:]):
        return "AVIF"
    return "BMP" if head.startswith(b"BM") else None


def foreign_name(data: bytes) -> str:
    """What a file in none of these formats is, for an error message."""
    if data[4:8] == b"ftyp":
        return "a HEIC" if data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc") else "a video"
    head = data[:16].lstrip().lower()
    names = (name for magic, name in _OTHER_FORMATS if data.startswith(magic) or head.startswith(magic))
    return next(names, "a file of an unknown format")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8 (EXIF 2.32, 4.6.4). Broken EXIF is common and, as in browsers, counts as none.

    Pillow's own reader isn't used: it would first turn any table of numbers in place of the tag into objects. Pillow
    itself rotates a TIFF when it loads one.
    """
    exif = image.info.get("exif")
    return exif_orientation(exif) if isinstance(exif, bytes) else 1


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in a block of EXIF; 1 if it has none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * min(entries, 1000), 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
            if tag == _ORIENTATION:
                return int(value) if order and kind == 3 else 1
    except struct.error:
        pass
    return 1
