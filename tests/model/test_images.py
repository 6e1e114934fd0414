"""Pictures are read as a shopper sees them, and a bad one is one clear error."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_applies_each_exif_orientation(orientation: int, format: str, options: dict[str, Any], opened: bool) -> None:
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
    options |= {"tiffinfo": {0x0112: orientation}} if format == "TIFF" else {"exif": exif}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), format, **options)
    photo = read_image(Image.open(io.BytesIO(data)) if opened else data)
    np.testing.assert_array_equal(np.asarray(photo.image), seen)


@pytest.mark.parametrize(
    "exif",
    [
        b"II*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + bytes(30),
        b"II*\0\x08\0\0\0\1\0\x12\1\5\0\1\0\0\0\6\0\0\0",  # the orientation as a fraction
    ],
)
def test_broken_exif_is_as_good_as_none(exif: bytes) -> None:
    image = noise()
    np.testing.assert_array_equal(decode_image(encoded(image, exif=b"Exif\0\0" + exif)).image, image)


def test_lays_a_fully_transparent_red_pixel_on_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (*RED, 0)))) == WHITE


def test_mixes_a_half_transparent_pixel_with_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))) == (127, 127, 127)


def test_converts_a_large_picture_piece_by_piece_as_if_at_once() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (1501, 3001, 4), np.uint8)  # more than one strip
    opacity = pixels[..., 3:] / 255
    by_hand = pixels[..., :3] * opacity + 255 * (1 - opacity)
    seen = np.asarray(decode_image(encoded(Image.fromarray(pixels), compress_level=0)).image)
    assert np.abs(seen - by_hand).max() <= 1


def test_halves_pictures_of_more_than_24_million_pixels() -> None:
    image = Image.new("L", (5001, 5001))
    image.paste(200, (0, 0, 2500, 5001))
    palette = image.quantize(2, dither=Image.Dither.NONE)
    for data in (encoded(image), encoded(image, "JPEG"), encoded(palette), encoded(image.convert("LA"))):
        seen = decode_image(data).image
        assert seen.size == (2501, 2501)
        assert (seen.getpixel((1200, 2500)), seen.getpixel((1300, 0))) == ((200,) * 3, (0,) * 3)


def test_quarters_pictures_of_more_than_96_million_pixels_such_as_those_of_large_phones() -> None:
    image = Image.new("L", (12_000, 9_000))  # 108 megapixels
    image.paste(200, (0, 0, 6_000, 9_000))
    for data in (encoded(image, "JPEG"), encoded(image, compress_level=1), encoded(image, "JPEG", progressive=True)):
        seen = decode_image(data).image
        assert seen.size == (3000, 2250)
        assert (seen.getpixel((1490, 2249)), seen.getpixel((1510, 0))) == ((200,) * 3, (0,) * 3)


def test_our_limit_on_pixels_counts_not_that_of_pillow() -> None:
    data = encoded(Image.new("L", (18_000, 10_000)), "JPEG", quality=10)  # Pillow refuses more than 178 megapixels
    with pytest.raises(ImageReadError, match=r"more than 128,000,000 in total.*--max-megapixels"):
        decode_image(data)
    assert decode_image(data, limits=ImageLimits(max_pixels=180_000_000)).image.size == (4500, 2500)


def test_names_the_option_that_allows_more() -> None:
    long = encoded(Image.new("L", (200, 2)))
    with pytest.raises(ImageReadError, match=r"one side more than 40 times the other.*--max-side-ratio"):
        decode_image(long)
    assert decode_image(long, limits=ImageLimits(max_side_ratio=100)).image.size == (200, 2)
    with pytest.raises(ImageReadError, match="--accept-truncated"):
        decode_image(encoded(noise(), "JPEG")[:-800])


def test_refuses_a_png_of_very_many_texts() -> None:
    texts = b"".join(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) for _ in range(21))
    whole = encoded(noise())
    with pytest.raises(ImageReadError, match="far more texts than a photo needs") as caught:
        decode_image(whole[:33] + texts + whole[33:])
    assert caught.value.reason == "too_complex"


def test_shows_white_where_the_first_frame_of_a_gif_covers_nothing() -> None:
    image = Image.new("P", (8, 8))
    image.putpalette([*RED, *[0] * 765])
    data = bytearray(encoded(image, "GIF"))
    data[6:10] = struct.pack("<HH", 16, 12)  # a larger screen than the frame
    seen = decode_image(bytes(data)).image
    assert [seen.getpixel(place) for place in ((7, 7), (8, 7), (7, 8), (15, 11))] == [RED, WHITE, WHITE, WHITE]


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


@pytest.mark.parametrize(("format", "several"), [("GIF", 12), ("PNG", 12), ("AVIF", 12), ("TIFF", 12), ("GIF", 3000)])
def test_counts_frames_as_far_as_is_cheap(format: str, several: int) -> None:
    frames = [Image.new("RGB", (16, 16), (number * 20 % 250, 9, number % 256)) for number in range(several)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    count = "several" if several > 1000 else several
    assert decode_image(data).hint == f"only the first of {count} frames was compared"


def test_refuses_a_truncated_jpeg_unless_told_otherwise() -> None:
    data = encoded(noise(), "JPEG")[:-800]
    with pytest.raises(ImageReadError, match="its end is missing") as caught:
        decode_image(data, source="a.jpg")
    assert (caught.value.reason, caught.value.source) == ("truncated", "a.jpg")
    assert decode_image(data, limits=ImageLimits(truncated=True)).image.size == (64, 64)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tiff(*entries: tuple[int, int, int, int], after: bytes = b"") -> bytes:
    """A TIFF of one directory of (tag, type, count, value); what comes `after` starts at `tiff_end(entries)`."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + after


def tiff_end(entries: int) -> int:
    return 14 + 12 * entries


GREY_TIFF = ((258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT"),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0" + b"\xff" * 4 + b"\0\2\0;",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0, 0, 0, 0, 0),
        tiff(*GREY_TIFF, (256, 4, 1, 90_000), (257, 4, 1, 90_000), (259, 3, 1, 8), (273, 4, 1, 8)),
    ],
    ids=["PNG", "GIF", "BMP", "TIFF"],
)
def test_refuses_too_many_pixels_before_decoding(bomb: bytes) -> None:
    with pytest.raises(ImageReadError) as caught:
        decode_image(bomb)
    assert caught.value.reason == "too_many_pixels"


def test_refuses_one_pixel_too_many() -> None:
    assert decode_image(encoded(noise()), limits=ImageLimits(max_pixels=64 * 64)).image.size == (64, 64)
    with pytest.raises(ImageReadError, match="64 x 64 pixels") as caught:
        decode_image(encoded(noise()), limits=ImageLimits(max_pixels=64 * 64 - 1))
    assert caught.value.reason == "too_many_pixels"


def test_reads_only_what_the_header_says_of_a_zip_bomb() -> None:
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    bomb = chunk(b"IDAT", zlib.compress(bytes(500_000_000), 1))
    try:
        seen = decode_image(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + bomb + chunk(b"IEND")).image
        assert seen.getextrema() == ((0, 0),) * 3
    except ImageReadError as error:
        assert error.reason == "damaged"


MANY = 1_100_000


def slow_jpeg(junk: bytes) -> bytes:
    data = encoded(noise(), "JPEG")
    return data[:2] + junk + data[2:]


def slow_png(junk: bytes) -> bytes:
    data = encoded(noise())
    return data[:33] + junk + data[33:]


def slow_scans() -> bytes:
    data = encoded(noise(), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * 100 + data[-2:]


def slow_bitmap(side: int, runs: int) -> bytes:
    header = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54 + 1024, 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + header + bytes(1024) + b"\1\5" * runs


@pytest.mark.parametrize(
    "make",
    [
        lambda: slow_jpeg(b"\xff\xe5\0\2" * (MANY // 2)),
        lambda: slow_jpeg(b"\xff" * MANY),
        lambda: slow_jpeg((b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 20),
        lambda: slow_jpeg((b"\xff\xed\xff\xffPhotoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5459 + bytes(11)) * 5),
        slow_scans,
        lambda: slow_png(chunk(b"abCd") * (MANY // 2)),
        lambda: encoded(noise(), "GIF")[:781] + b"!\xfe" + b"\1a" * (MANY // 2) + b"\0" + encoded(noise(), "GIF")[781:],
        lambda: slow_bitmap(2000, MANY // 2),
        lambda: slow_bitmap(4000, 10),
        lambda: tiff(*GREY_TIFF, (256, 4, 1, 99), (257, 4, 1, 99), (273, 4, MANY, tiff_end(6)), after=bytes(4 * MANY)),
        lambda: tiff(
            *GREY_TIFF,
            *((256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 1, 8), (34665, 4, 1, tiff_end(7))),
            after=struct.pack("<HHHIII", 1, 33434, 5, MANY, tiff_end(8) + 4, 0) + bytes(8 * MANY),
        ),
        lambda: tiff(
            *GREY_TIFF,
            *((256, 4, 1, 64), (257, 4, 1, 64), (259, 3, 1, 8), (322, 4, 1, 26_000), (323, 4, 1, 26_000)),
            *((324, 4, 1, tiff_end(10)), (325, 4, 1, 100)),
            after=bytes(100),
        ),
    ],
    ids=[
        *("markers", "padding", "exif", "photoshop", "scans", "chunks", "comments", "runs", "lines"),
        *("strips", "fractions", "tiles"),
    ],
)
def test_refuses_files_of_too_many_parts_before_decoding_them(make: Callable[[], bytes]) -> None:
    data = make()
    with pytest.raises(ImageReadError) as caught:
        decode_image(data)
    assert caught.value.reason == "too_complex"


def test_a_tiff_whose_directories_lead_in_a_circle_ends() -> None:
    circle = [(34665, 4, 1, 8), (34665, 4, 1, 20), (34853, 4, 1, 8)]
    with pytest.raises(ImageReadError):
        decode_image(tiff(*circle))


def test_refuses_a_side_ratio_that_no_photo_has() -> None:
    with pytest.raises(ImageReadError, match="one side more than 40 times the other"):
        decode_image(encoded(Image.new("RGB", (410, 10))))


@pytest.mark.parametrize("format", ["PPM", "TGA", "ICO", "JPEG2000", "PCX"])
def test_tries_no_other_format(format: str) -> None:
    with pytest.raises(ImageReadError, match="convert it to one of JPEG, PNG, WEBP, GIF, TIFF, BMP, AVIF") as caught:
        decode_image(encoded(Image.new("RGB", (32, 32)), format))
    assert caught.value.reason == "format"


def test_names_what_came_instead() -> None:
    with pytest.raises(ImageReadError, match=r"^photo\.psd: is a PSD; convert it to one of JPEG, .*, AVIF$") as caught:
        decode_image(b"8BPS\0\1", source="photo.psd")
    assert (caught.value.source, caught.value.reason) == ("photo.psd", "format")
    with pytest.raises(ImageReadError, match="is an HTML page"):
        decode_image(b"\n<!DOCTYPE html><title>404</title>")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_damage_gives_a_picture_or_one_kind_of_error_and_no_warning(format: str) -> None:
    whole = encoded(noise(), format)
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(300):
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


DAMAGE = """
import io, sys
import numpy as np
from PIL import Image
from lookalike.errors import ImageReadError
from lookalike.model.images import decode_image
rng = np.random.default_rng(5)
image = Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8))
kinds = [("TIFF", {"compression": c}) for c in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits", "raw")]
refused = 0
for format, options in [*kinds, ("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {}), ("AVIF", {})]:
    data = io.BytesIO()
    image.save(data, format, **options)
    for _ in range(60):
        bad = bytearray(data.getvalue())
        for place in rng.integers(0, len(bad), 6):
            bad[place] = rng.integers(0, 256)
        if format != "TIFF":  # of which the directory is at the end
            bad[-(len(bad) // 8):] = b""
        try:
            decode_image(bytes(bad))
        except ImageReadError:
            refused += 1
# Pillow logs this one as an error
many = b"II*\\0\\x08\\0\\0\\0\\3\\0" + b"".join(
    tag.to_bytes(2, "little") + b"\\4\\0\\1\\0\\0\\0" + (99999).to_bytes(4, "little") for tag in (256, 257, 277))
try:
    decode_image(many + bytes(9))
except ImageReadError:
    refused += 1
print(refused > 300)
"""


def test_no_decoder_prints_anything() -> None:
    done = subprocess.run([sys.executable, "-c", DAMAGE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_warnings_of_others_are_not_swallowed() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode_image(encoded(noise()))
        warnings.warn_explicit("ours", UserWarning, "a.py", 1, module="PIL.Image")
    assert [str(warning.message) for warning in seen] == ["ours"]


def test_threads_read_the_same_as_one() -> None:
    files = [encoded(noise(), format, icc_profile=swapped_profile()) for format in ("PNG", "JPEG", "WEBP", "TIFF")] * 20
    alone = [decode_image(data).image.tobytes() for data in files[:4]] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: decode_image(data).image.tobytes(), files)) == alone


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
    "array",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 4)),
        np.full((2, 2), 3.0),
        np.full((2, 2), np.nan),
        np.zeros((2, 2), np.int32),
        np.zeros((2, 2), complex),
        np.array("picture"),
    ],
)
def test_refuses_other_arrays(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageReadError, match="is an array") as caught:
        read_image(array)
    assert caught.value.reason == "array"


def test_leaves_a_given_pil_image_as_it_was() -> None:
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    assert read_image(image).image.getpixel((0, 0)) == WHITE
    assert image.getpixel((0, 0)) == (*RED, 0)
    opened = Image.open(io.BytesIO(encoded(image)))
    assert (read_image(opened).image.getpixel((0, 0)), read_image(opened).format) == (WHITE, "PIL")
    assert (opened.mode, opened.getpixel((0, 0))) == ("RGBA", (*RED, 0))


def test_refuses_a_pil_image_whose_file_is_damaged() -> None:
    with pytest.raises(ImageReadError):
        read_image(Image.open(io.BytesIO(encoded(noise())[:3000])))


def test_names_a_picture_by_its_bytes() -> None:
    data = encoded(noise())
    assert decode_image(data).sha256 == content_hash(data)
    assert read_image(noise()).sha256 != read_image(Image.new("RGB", (64, 64))).sha256
    assert read_image(noise()).sha256 == content_hash(noise()) == content_hash(np.asarray(noise()))


def test_names_a_picture_by_its_palette_too() -> None:
    red, blue = Image.new("P", (4, 4)), Image.new("P", (4, 4))
    red.putpalette([*RED, 0, 0, 0])
    blue.putpalette([0, 0, 255, 0, 0, 0])
    assert content_hash(red) != content_hash(blue)
