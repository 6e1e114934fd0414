"""Draw the demo's fictional marketplace again: 40 genuine photos and 60 listing photos, from a seed.

Brands, products and sellers are invented. Writes references.csv, listings.csv and images/ into OUT.
Needs the packages of the `sample` extra, and fonts of the SIL Open Font License (Debian: fonts-lobster
fonts-lobstertwo fonts-quicksand fonts-comfortaa fonts-yanone-kaffeesatz fonts-lato).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.errors import MissingExtraError
from lookalike.model.edits import Image, edit

if TYPE_CHECKING:
    import skia
else:
    skia = import_module("skia") if find_spec("skia") else None

SIDE = 400
PHOTO_SIDE = 320

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Design:
    """What a label shows. `turn` moves it round the body, −1 to 1."""

    brand: str
    name: str
    form: str
    font: str
    colours: tuple[Colour, Colour, Colour]
    pattern: str
    turn: float = 0.0


@dataclass(frozen=True)
class Brand:
    """A fictional brand: its typeface, and for each product a name, a form and a palette."""

    name: str
    font: str
    pattern: str
    products: tuple[tuple[str, str, tuple[Colour, Colour, Colour]], ...]


CREAM, INK = (250, 244, 230), (30, 32, 44)
BRANDS = (
    Brand(
        "Quorlith",
        "Lobster",
        "waves",
        (
            ("Sea Salt Shampoo", "bottle", ((16, 92, 122), CREAM, (244, 162, 89))),
            ("Kelp Hand Cream", "tube", ((33, 120, 104), CREAM, (240, 200, 90))),
            ("Night Cream", "jar", ((52, 44, 92), CREAM, (200, 170, 230))),
            ("Tide Eau de Parfum", "flacon", ((120, 170, 196), INK, (250, 250, 250))),
            ("Bath Salt", "pouch", ((200, 226, 230), (16, 92, 122), (244, 162, 89))),
        ),
    ),
    Brand(
        "Brendune",
        "YanoneKaffeesatz-Bold",
        "stripes",
        (
            ("Dark Roast", "pouch", ((58, 34, 24), CREAM, (214, 126, 44))),
            ("Cold Brew", "can", ((214, 126, 44), (44, 26, 18), CREAM)),
            ("Oat Cocoa", "carton", ((236, 214, 178), (88, 48, 28), (190, 70, 50))),
            ("Hazelnut Spread", "jar", ((120, 66, 30), CREAM, (236, 190, 96))),
            ("House Syrup", "bottle", ((150, 40, 36), CREAM, (236, 190, 96))),
        ),
    ),
    Brand(
        "Ovasket",
        "Quicksand-Bold",
        "dots",
        (
            ("Berry Soda", "can", ((226, 46, 92), (255, 255, 255), (255, 205, 210))),
            ("Lime Soda", "can", ((92, 172, 44), (255, 255, 255), (230, 245, 150))),
            ("Muesli", "carton", ((250, 196, 40), (60, 44, 110), (255, 255, 255))),
            ("Dish Gel", "bottle", ((40, 120, 220), (255, 255, 255), (150, 220, 250))),
            ("Tooth Gel", "tube", ((240, 250, 252), (40, 120, 220), (60, 190, 170))),
        ),
    ),
    Brand(
        "Tilmarra",
        "Comfortaa-Bold",
        "leaves",
        (
            ("Green Tea", "carton", ((40, 84, 60), (238, 226, 190), (150, 186, 96))),
            ("Olive Soap Oil", "bottle", ((150, 150, 62), (30, 44, 24), (238, 226, 190))),
            ("Verbena Mist", "flacon", ((214, 226, 160), (40, 84, 60), (255, 255, 255))),
            ("Herb Salt", "jar", ((238, 226, 190), (40, 84, 60), (190, 96, 60))),
            ("Running Shoe 7", "shoebox", ((40, 84, 60), (238, 226, 190), (226, 110, 60))),
        ),
    ),
)
OTHERS = (
    Brand(
        "Nubrexa",
        "Lato-Black",
        "checks",
        (
            ("Cola", "can", ((40, 40, 46), (240, 60, 50), (200, 200, 200))),
            ("Body Wash", "bottle", ((235, 235, 240), (200, 30, 120), (250, 170, 60))),
            ("Crackers", "carton", ((210, 60, 40), (255, 240, 200), (255, 200, 60))),
            ("Balm", "jar", ((250, 250, 250), (30, 30, 30), (200, 200, 60))),
        ),
    ),
    Brand(
        "Haldovic",
        "LobsterTwo-BoldItalic",
        "stripes",
        (
            ("Face Fluid", "tube", ((248, 222, 226), (130, 30, 60), (220, 170, 120))),
            ("Rice", "pouch", ((255, 255, 255), (190, 20, 40), (20, 60, 120))),
            ("Rose Water", "flacon", ((240, 190, 200), (110, 20, 50), (255, 255, 255))),
            ("Boots", "shoebox", ((70, 60, 50), (240, 230, 210), (180, 120, 60))),
        ),
    ),
)
EDITED = (
    ["crop"],
    ["mirror"],
    ["recolour", "recompress"],
    ["text", "sticker"],
    ["screenshot"],
    ["rephoto"],
    ["background"],
    ["crop", "mirror", "text"],
    ["perspective"],
    ["collage", "recompress"],
)
SELLERS = (
    "kaufhaus-lindner",
    "sunny_deals_88",
    "maisonclaire",
    "outlet4u",
    "bazar-nord",
    "xin_store",
    "papeterie-r",
)
GROUNDS = ((165, 122, 84), (204, 176, 142), (150, 150, 156), (224, 221, 214), (74, 64, 58), (96, 114, 142))
PLACES = (("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("GB", "GBP"), ("BR", "BRL"))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args(argv)
    if skia is None:
        raise SystemExit(str(MissingExtraError("skia-python", "sample")))
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    genuine = _designs(BRANDS)
    _write_references(arguments.out, genuine)
    _write_listings(arguments.out, genuine, _designs(OTHERS), rng)
    return 0


def _designs(brands: tuple[Brand, ...]) -> list[Design]:
    return [
        Design(brand.name, name, form, brand.font, colours, brand.pattern)
        for brand in brands
        for name, form, colours in brand.products
    ]


def _product_id(design: Design) -> str:
    return f"{design.brand}-{design.name}".lower().replace(" ", "-")


def _write_references(out: Path, genuine: list[Design]) -> None:
    with open(out / "references.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["reference_id", "image", "product_id", "brand", "view"])
        for design in genuine:
            for view, turn in (("front", 0.0), ("turned", 0.45)):
                name = f"images/{_product_id(design)}-{view}.jpg"
                _save(out / name, packshot(replace(design, turn=turn)))
                table.writerow([f"{_product_id(design)}-{view}", name, _product_id(design), design.brand, view])


def _write_listings(out: Path, genuine: list[Design], others: list[Design], rng: np.random.Generator) -> None:
    shots = [packshot(design) for design in genuine]
    makers: list[tuple[str, Design, Callable[[], Image]]] = []
    for i in range(18):
        number, names = i % len(genuine), EDITED[i % len(EDITED)]
        makers.append(("edited", genuine[number], partial(edit, shots[number], names, rng, others=shots)))
    for i in range(14):
        design = genuine[(i * 3 + 1) % len(genuine)]
        turned = replace(design, turn=rng.uniform(-0.5, 0.5))
        makers.append(("photo", design, partial(photo, turned, rng)))
    for i in range(14):
        design = genuine[(i * 7 + 2) % len(genuine)]
        makers.append(("imitation", design, partial(photo, imitation(design, 1 + i % 4, rng), rng, plain=True)))
    for i in range(14):
        design = others[i % len(others)]
        makers.append(("unrelated", design, partial(photo, design, rng, plain=i % 2 == 0)))
    with open(out / "listings.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            [
                "listing_id",
                "image",
                "seller_id",
                "territory",
                "price",
                "currency",
                "title",
                "url",
                "truth",
                "truth_product",
            ]
        )
        for number, choice in enumerate(rng.permutation(len(makers)).tolist(), start=1):
            truth, design, make = makers[choice]
            name = f"images/listing-{number:02}.jpg"
            _save(out / name, make(), quality=80)
            table.writerow([f"L{number:02}", name, *_offer(design, truth, number, rng)])


def _offer(design: Design, truth: str, number: int, rng: np.random.Generator) -> list[str]:
    territory, currency = PLACES[int(rng.integers(len(PLACES)))]
    words = ("new", "original quality", "best price", "2 pieces", "free shipping", "as shown", "")
    brand = design.brand if truth in ("edited", "photo", "unrelated") else f"{design.brand[0]}-style"
    title = f"{brand} {design.name} {words[int(rng.integers(len(words)))]}".strip()
    seller = SELLERS[int(rng.integers(len(SELLERS)))]
    product = "" if truth == "unrelated" else _product_id(design)
    price = f"{rng.uniform(4, 90):.2f}"
    return [seller, territory, price, currency, title, f"https://shop.example/item/{number}", truth, product]


def imitation(design: Design, step: int, rng: np.random.Generator) -> Design:
    """The trade dress imitated: 1 a letter of the name changed, 2 another name, 3 other colours, 4 another form."""
    swapped = design.brand[:2] + {"o": "a", "e": "i", "a": "o", "l": "t"}.get(design.brand[2], "x") + design.brand[3:]
    result = replace(design, brand=swapped)
    if step >= 2:
        result = replace(result, brand=("Maristo", "Velduna", "Porrinka")[int(rng.integers(3))])
    if step >= 3:
        shift = rng.integers(-40, 41, 3)
        colours = [tuple(int(v) for v in np.clip(np.array(c) + shift, 0, 255)) for c in design.colours]
        result = replace(result, colours=(colours[0], colours[1], colours[2]))  # type: ignore[arg-type]
    if step >= 4:
        forms = [form for form in FORMS if form != design.form]
        result = replace(result, form=forms[int(rng.integers(len(forms)))])
    return result


def packshot(design: Design) -> Image:
    """The product on white with a soft shadow, as a brand shows it."""
    ground = np.full((SIDE, SIDE, 3), 255, np.float32)
    return _shrunk(_laid(draw(design), ground, shadow=0.25))


def photo(design: Design, rng: np.random.Generator, *, plain: bool = False) -> Image:
    """The product as a seller photographs it: on a table or cloth, turned, unevenly lit, a little noisy."""
    ground = np.full((SIDE, SIDE, 3), rng.integers(205, 256), np.float32) if plain else _table(rng)
    scale, angle = rng.uniform(0.72, 1.0), rng.uniform(-9, 9)
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, scale)
    matrix = matrix + np.array([[0, 0, rng.uniform(-25, 25)], [0, 0, rng.uniform(-25, 25)]])
    product = cv2.warpAffine(draw(design), matrix, (SIDE, SIDE), flags=cv2.INTER_AREA)
    image = _laid(np.asarray(product, np.uint8), ground, shadow=0.45).astype(np.float32)
    light = cv2.resize(rng.uniform(0.72, 1.12, (2, 2)).astype(np.float32), (SIDE, SIDE))[..., None]
    lit = image * light * rng.uniform(0.94, 1.06, 3) + rng.normal(0, 4, image.shape)
    return _shrunk(lit.clip(0, 255).astype(np.uint8))


def draw(design: Design) -> Image:
    """The product alone, RGBA (SIDE, SIDE, 4), premultiplied as Skia gives it."""
    surface = skia.Surface(SIDE, SIDE)
    with surface as canvas:
        FORMS[design.form](canvas, design)
    return np.ascontiguousarray(surface.toarray(colorType=skia.kRGBA_8888_ColorType))


def _laid(product: Image, ground: NDArray[np.float32], *, shadow: float) -> Image:
    alpha = product[..., 3:].astype(np.float32) / 255
    dark = cv2.GaussianBlur(np.roll(alpha[..., 0], (10, 6), (0, 1)), (0, 0), 9)[..., None]
    shaded = ground * (1 - shadow * dark)
    return (product[..., :3].astype(np.float32) * alpha + shaded * (1 - alpha)).clip(0, 255).astype(np.uint8)


def _table(rng: np.random.Generator) -> NDArray[np.float32]:
    """Wood or cloth: a base colour under noise stretched along the grain."""
    base = np.array(GROUNDS[int(rng.integers(len(GROUNDS)))]) + rng.uniform(-14, 14, 3)
    grain = cv2.resize(rng.normal(0, 1, (SIDE // 2, int(rng.integers(4, 40)))), (SIDE, SIDE))
    cloth = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)), (0, 0), 1.5)
    edge = np.where(np.arange(SIDE)[:, None] < rng.integers(40, 170), rng.uniform(0.55, 1.35), 1.0)
    return np.asarray((base + (grain * 12 + cloth * 14)[..., None]) * edge[..., None], np.float32).clip(0, 255)


def _shrunk(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _save(path: Path, image: Image, *, quality: int = 86) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])


def _paint(colour: Colour, alpha: float = 1.0) -> skia.Paint:
    return skia.Paint(Color=skia.Color(*colour, round(255 * alpha)), AntiAlias=True)


def _typeface(name: str) -> skia.Typeface:
    found = [p for p in Path("/usr/share/fonts").rglob("*.[to]tf") if p.stem.lower() == name.lower()]
    if not found:
        raise SystemExit(
            f"the font {name} is not installed; on Debian: apt-get install fonts-lobster "
            "fonts-lobstertwo fonts-quicksand fonts-comfortaa fonts-yanone-kaffeesatz fonts-lato"
        )
    return skia.FontMgr().makeFromFile(str(found[0]))


def _text(
    canvas: skia.Canvas,
    text: str,
    font: str,
    *,
    x: float,
    y: float,
    width: float,
    most: float,
    paint: skia.Paint,
) -> None:
    """One line, centred at x with its baseline at y, as large as `width` and `most` allow."""
    face = _typeface(font)
    size = min(most, most * width / skia.Font(face, most).measureText(text))
    fitted = skia.Font(face, size)
    canvas.drawString(text, x - fitted.measureText(text) / 2, y, fitted, paint)


def _label(canvas: skia.Canvas, design: Design, left: float, top: float, right: float, bottom: float) -> None:
    """The design within a rectangle: ground, pattern, a band with the brand, the product's name."""
    ground, ink, accent = design.colours
    width, height = right - left, bottom - top
    canvas.save()
    canvas.clipRect(skia.Rect(left, top, right, bottom), doAntiAlias=True)
    canvas.drawRect(skia.Rect(left, top, right, bottom), _paint(ground))
    middle = (left + right) / 2 - design.turn * width * 0.55
    _pattern(canvas, design, left, top, right, bottom)
    canvas.drawCircle(middle, top + height * 0.2, width * 0.13, _paint(accent))
    canvas.drawCircle(middle, top + height * 0.2, width * 0.08, _paint(ground))
    _text(
        canvas,
        design.brand,
        design.font,
        x=middle,
        y=top + height * 0.52,
        width=width * 0.86,
        most=64,
        paint=_paint(ink),
    )
    band = skia.Rect(left, top + height * 0.62, right, top + height * 0.76)
    canvas.drawRect(band, _paint(accent))
    contrast = INK if sum(accent) > 380 else CREAM
    _text(
        canvas,
        design.name,
        design.font,
        x=middle,
        y=top + height * 0.725,
        width=width * 0.8,
        most=24,
        paint=_paint(contrast),
    )
    _text(
        canvas,
        "250",
        "Quicksand-Bold",
        x=middle,
        y=top + height * 0.92,
        width=width * 0.2,
        most=15,
        paint=_paint(ink),
    )
    canvas.restore()


def _pattern(canvas: skia.Canvas, design: Design, left: float, top: float, right: float, bottom: float) -> None:
    accent, width = design.colours[2], right - left
    paint = _paint(accent, 0.55)
    step = width / 6
    offset = -design.turn * width * 0.55 % step
    for row in range(int((bottom - top) / step) + 2):
        for column in range(-1, 8):
            x, y = left + column * step + offset, top + row * step
            if design.pattern == "dots":
                canvas.drawCircle(x + step * (row % 2) / 2, y, step * 0.17, paint)
            elif design.pattern == "stripes" and row == 0:
                canvas.drawRect(skia.Rect(x, top, x + step * 0.22, bottom), paint)
            elif design.pattern == "checks" and (row + column) % 2 == 0:
                canvas.drawRect(skia.Rect(x, y, x + step, y + step), paint)
            elif design.pattern == "leaves":
                canvas.save()
                canvas.rotate(35 if (row + column) % 2 else -35, x, y)
                canvas.drawOval(skia.Rect(x - step * 0.28, y - step * 0.1, x + step * 0.28, y + step * 0.1), paint)
                canvas.restore()
            elif design.pattern == "waves":
                path = skia.PathBuilder() if hasattr(skia, "PathBuilder") else skia.Path()
                path.moveTo(x, y)
                path.quadTo(x + step / 4, y - step * 0.35, x + step / 2, y)
                path.quadTo(x + step * 3 / 4, y + step * 0.35, x + step, y)
                stroke = _paint(accent, 0.6)
                stroke.setStyle(skia.Paint.kStroke_Style)
                stroke.setStrokeWidth(step * 0.1)
                canvas.drawPath(path.detach() if hasattr(path, "detach") else path, stroke)


def _round(canvas: skia.Canvas, left: float, right: float) -> None:
    """Shade what was drawn as a body of revolution between two edges: dark sides, one highlight."""
    stops = [skia.Color(0, 0, 0, a) for a in (120, 20, 0, 30, 140)]
    shader = skia.GradientShader.MakeLinear([(left, 0), (right, 0)], stops, [0.0, 0.22, 0.4, 0.7, 1.0])
    canvas.drawRect(skia.Rect(left, 0, right, SIDE), skia.Paint(Shader=shader))
    light = [skia.Color(255, 255, 255, a) for a in (0, 95, 0)]
    shine = skia.GradientShader.MakeLinear([(left, 0), (right, 0)], light, [0.16, 0.27, 0.38])
    canvas.drawRect(skia.Rect(left, 0, right, SIDE), skia.Paint(Shader=shine))


def _layered(canvas: skia.Canvas, left: float, right: float, paint_body: Callable[[], None]) -> None:
    """Paint a body in a layer of its own and shade it, keeping the shade within its outline."""
    canvas.saveLayer()
    paint_body()
    canvas.saveLayer(None, skia.Paint(BlendMode=skia.BlendMode.kSrcATop))
    _round(canvas, left, right)
    canvas.restore()
    canvas.restore()


def _can(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(128, 44, 272, 356), 18, 14, _paint((196, 200, 204)))
        _label(canvas, design, 128, 64, 272, 338)
        canvas.drawOval(skia.Rect(134, 36, 266, 60), _paint((222, 225, 228)))
        canvas.drawOval(skia.Rect(146, 40, 254, 56), _paint((176, 180, 186)))

    _layered(canvas, 128, 272, body)


def _bottle(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(172, 20, 228, 78), 6, 6, _paint(design.colours[2]))
        canvas.drawRoundRect(skia.Rect(178, 66, 222, 130), 8, 8, _paint(design.colours[0]))
        canvas.drawRoundRect(skia.Rect(126, 104, 274, 380), 34, 34, _paint(design.colours[0]))
        _label(canvas, design, 126, 156, 274, 350)

    _layered(canvas, 126, 274, body)


def _jar(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(98, 128, 302, 336), 26, 26, _paint((232, 236, 238)))
        _label(canvas, design, 98, 156, 302, 314)
        canvas.drawRoundRect(skia.Rect(92, 82, 308, 142), 10, 10, _paint(design.colours[1]))

    _layered(canvas, 92, 308, body)


def _tube(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(132, 26, 268, 330), 10, 10, _paint(design.colours[0]))
        _label(canvas, design, 132, 56, 268, 318)
        canvas.drawRect(skia.Rect(126, 22, 274, 44), _paint(design.colours[2]))
        canvas.drawRoundRect(skia.Rect(152, 322, 248, 382), 8, 8, _paint(design.colours[1]))

    _layered(canvas, 126, 274, body)


def _pouch(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(88, 40, 312, 370), 22, 30, _paint(design.colours[0]))
        _label(canvas, design, 92, 78, 308, 352)
        for x in range(92, 308, 6):
            canvas.drawRect(skia.Rect(x, 42, x + 2, 66), _paint((255, 255, 255), 0.35))

    _layered(canvas, 60, 340, body)


def _flacon(canvas: skia.Canvas, design: Design) -> None:
    def body() -> None:
        canvas.drawRoundRect(skia.Rect(164, 30, 236, 112), 8, 8, _paint((40, 40, 44)))
        canvas.drawRect(skia.Rect(176, 108, 224, 132), _paint((196, 176, 120)))
        canvas.drawRoundRect(skia.Rect(96, 128, 304, 364), 18, 18, _paint(design.colours[0], 0.9))
        _label(canvas, design, 122, 158, 278, 336)

    _layered(canvas, 96, 304, body)


def _box(canvas: skia.Canvas, design: Design, *, width: float, height: float, depth: float) -> None:
    """A box seen a little from the side: the front upright, the other face sheared away from it."""
    side = depth * (0.6 + 0.6 * abs(design.turn))
    left, top = (SIDE - width - side) / 2, (SIDE - height) / 2 + side * 0.12
    _label(canvas, replace(design, turn=0.0), left, top, left + width, top + height)
    canvas.save()
    canvas.translate(left + width, top)
    canvas.skew(0, -0.35)
    _label(canvas, replace(design, turn=0.0), 0, 0, side, height)
    canvas.drawRect(skia.Rect(0, 0, side, height), _paint((0, 0, 0), 0.35))
    canvas.restore()
    canvas.save()
    canvas.translate(left, top)
    canvas.concat(skia.Matrix.MakeAll(1, -1 / 0.35, 0, 0, 1, 0, 0, 0, 1))
    canvas.drawRect(skia.Rect(0, -side * 0.35, width, 0), _paint(design.colours[0]))
    canvas.drawRect(skia.Rect(0, -side * 0.35, width, 0), _paint((255, 255, 255), 0.25))
    canvas.restore()


def _carton(canvas: skia.Canvas, design: Design) -> None:
    _box(canvas, design, width=180, height=290, depth=70)


def _shoebox(canvas: skia.Canvas, design: Design) -> None:
    _box(canvas, design, width=270, height=150, depth=70)


FORMS: dict[str, Callable[[skia.Canvas, Design], None]] = {
    "can": _can,
    "bottle": _bottle,
    "jar": _jar,
    "tube": _tube,
    "pouch": _pouch,
    "flacon": _flacon,
    "carton": _carton,
    "shoebox": _shoebox,
}


if __name__ == "__main__":
    raise SystemExit(main())
