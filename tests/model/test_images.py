"""Pictures are read as a shopper sees them, and a bad one is one clear error."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from lookalike.errors import ImageReadError
from lookalike.model.images import ImageLimits, content_hash, decode_image, read_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def pixel(data: bytes, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = decode_image(data).image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_reads_each_format(format: str) -> None:
    photo = decode_image(encoded(Image.new("RGB", (40, 30), RED), format))
    assert (photo.format, photo.image.mode, photo.image.size) == (format, "RGB", (40, 30))
    assert np.abs(np.subtract(photo.image.getpixel((20, 15)), RED)).max() <= 6  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_applies_each_exif_orientation(orientation: int) -> None:
    # the picture as it should be seen, 3 wide and 2 high, stored so that the tag's turn gives it back
    seen = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: np.rot90(seen, 1),
        7: seen[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(decode_image(data).image), seen)


def test_lays_a_fully_transparent_red_pixel_on_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (*RED, 0)))) == WHITE


def test_mixes_a_half_transparent_pixel_with_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_honours_a_transparent_colour_without_an_alpha_channel(mode: str) -> None:
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    data = encoded(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert pixel(data) == WHITE


def test_scales_sixteen_bits_instead_of_clipping_them() -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    data = encoded(Image.fromarray(values))
    assert [pixel(data, x)[0] for x in range(3)] == [0, 100, 255]


def test_reads_a_floating_point_tiff() -> None:
    data = encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF")
    assert [pixel(data, x)[0] for x in range(3)] == [0, 128, 255]


def test_reads_cmyk_and_lab() -> None:
    assert np.abs(np.subtract(pixel(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")), RED)).max() <= 2
    lab = Image.new("LAB", (8, 8), (136, 208, 195))  # CIE L 53.2, a 80, b 67: sRGB red
    assert np.abs(np.subtract(pixel(encoded(lab, "TIFF")), RED)).max() <= 12


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue colorants are exchanged, so that red pixels show as blue."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for entry in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, size = struct.unpack(">4sII", data[132 + 12 * entry : 144 + 12 * entry])
        places[name] = (offset, size)
    (red, size), (blue, _) = places[b"rXYZ"], places[b"bXYZ"]
    data[red : red + size], data[blue : blue + size] = data[blue : blue + size], data[red : red + size]
    return bytes(data)


def test_honours_a_colour_profile() -> None:
    data = encoded(Image.new("RGB", (4, 4), RED), "PNG", icc_profile=swapped_profile())
    assert np.abs(np.subtract(pixel(data), (0, 0, 255))).max() <= 3


def test_keeps_the_exact_pixels_of_an_srgb_photo() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = noise()
    np.testing.assert_array_equal(decode_image(encoded(image, icc_profile=profile)).image, image)


def test_hints_at_a_profile_that_cannot_be_used() -> None:
    photo = decode_image(encoded(Image.new("RGB", (4, 4), RED), icc_profile=b"no profile" * 20))
    assert photo.image.getpixel((0, 0)) == RED
    assert photo.hint == "its colour profile can't be used and was ignored"


def test_honours_the_gamma_of_a_png() -> None:
    data = encoded(Image.new("RGB", (4, 4), (64, 64, 64)))
    gamma = struct.pack(">I", 100000)  # linear light: 64 of 255 shows as 255 * (64 / 255) ** (1 / 2.2)
    chunk = struct.pack(">I", 4) + b"gAMA" + gamma + struct.pack(">I", zlib.crc32(b"gAMA" + gamma))
    assert pixel(data[:33] + chunk + data[33:]) == (136, 136, 136)


def test_takes_the_first_frame_and_says_so() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE, (0, 0, 255))]
    photo = decode_image(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert photo.image.getpixel((0, 0)) == RED
    assert photo.hint == "only the first of 3 frames was compared"


def test_refuses_a_truncated_jpeg_unless_told_otherwise() -> None:
    data = encoded(noise(), "JPEG")[:-800]
    with pytest.raises(ImageReadError, match="its end is missing") as caught:
        decode_image(data, source="a.jpg")
    assert (caught.value.reason, caught.value.source) == ("truncated", "a.jpg")
    assert decode_image(data, limits=ImageLimits(truncated=True)).image.size == (64, 64)


def test_refuses_too_many_pixels_before_decoding() -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    with pytest.raises(ImageReadError) as caught:
        decode_image(bomb + encoded(noise())[33:])
    assert caught.value.reason in ("too_many_pixels", "damaged")  # Pillow's own bound may be first
    with pytest.raises(ImageReadError, match="64 x 64 pixels") as caught:
        decode_image(encoded(noise()), limits=ImageLimits(max_pixels=4000))
    assert caught.value.reason == "too_many_pixels"


def test_refuses_a_side_ratio_that_no_photo_has() -> None:
    with pytest.raises(ImageReadError, match="one side more than 40 times the other"):
        decode_image(encoded(Image.new("RGB", (410, 10))))


@pytest.mark.parametrize("format", ["PPM", "TGA", "ICO", "JPEG2000", "PCX"])
def test_tries_no_other_format(format: str) -> None:
    with pytest.raises(ImageReadError, match="needed one of JPEG, PNG, WEBP, GIF, TIFF, BMP, AVIF"):
        decode_image(encoded(Image.new("RGB", (32, 32)), format))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_damage_gives_a_picture_or_one_kind_of_error(format: str) -> None:
    whole = encoded(noise(), format)
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), int(rng.integers(1, 12))):
            data[place] = int(rng.integers(0, 256))
        try:
            assert decode_image(bytes(data)).image.mode == "RGB"
        except ImageReadError:
            refused += 1
    for end in range(0, len(whole) - 3, max(1, len(whole) // 20)):
        try:
            decode_image(whole[:end])
        except ImageReadError:
            refused += 1
    assert refused > 0


def test_libtiff_prints_nothing(tmp_path: Path) -> None:
    whole = encoded(noise(), "TIFF", compression="tiff_lzw")
    path = tmp_path / "bad.tif"
    path.write_bytes(whole[:200] + bytes(len(whole) - 500) + whole[-300:])
    code = (
        "import sys; from lookalike.model.images import read_image; from lookalike.errors import ImageReadError\n"
        "try: read_image(sys.argv[1])\n"
        "except ImageReadError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 2), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 2, 1), 257 * 9, np.uint16), (9, 9, 9)),
        (np.full((2, 2, 3), 0.2, np.float32), (51, 51, 51)),
        (np.ones((2, 2), bool), WHITE),
        (np.zeros((2, 2, 4), np.uint8), WHITE),
    ],
)
def test_reads_arrays(array: np.ndarray[Any, Any], expected: tuple[int, ...]) -> None:
    assert read_image(array).image.getpixel((0, 0)) == expected


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 2), np.uint8), np.zeros((0, 4)), np.full((2, 2), 3.0), np.zeros((2, 2), np.int32)]
)
def test_refuses_other_arrays(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageReadError, match="came an array"):
        read_image(array)


def test_leaves_a_given_pil_image_as_it_was() -> None:
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    assert read_image(image).image.getpixel((0, 0)) == WHITE
    assert image.getpixel((0, 0)) == (*RED, 0)


def test_names_a_picture_by_its_bytes() -> None:
    data = encoded(noise())
    assert decode_image(data).sha256 == content_hash(data)
    assert read_image(noise()).sha256 != read_image(Image.new("RGB", (64, 64))).sha256
