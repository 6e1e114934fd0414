"""The typefaces of the rendered marketplace: all under the SIL Open Font License, from Debian packages.

They are looked up by file name in the system's font folders, or in the folder given by --fonts.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    import skia

_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "/Library/Fonts")

# file name without ending -> Debian package
DISPLAY = {
    "lobster": "fonts-lobster",
    "LobsterTwo-BoldItalic": "fonts-lobstertwo",
    "KaushanScript-Regular": "fonts-kaushanscript",
    "LeckerliOne-Regular": "fonts-leckerli-one",
    "DancingScript-Bold": "fonts-dancingscript",
    "BebasNeue-Bold": "fonts-bebas-neue",
    "LeagueSpartan-ExtraBold": "fonts-league-spartan",
    "LeagueSpartan-Medium": "fonts-league-spartan",
    "YanoneKaffeesatz-Bold": "fonts-yanone-kaffeesatz",
    "Comfortaa-Bold": "fonts-comfortaa",
    "Quicksand-Bold": "fonts-quicksand",
    "ReggaeOne-Regular": "fonts-reggae",
    "RocknRollOne-Regular": "fonts-rocknroll",
    "le-murmure": "fonts-le-murmure",
    "CherryBomb-Regular": "fonts-cherrybomb",
    "Vollkorn-Black": "fonts-vollkorn",
    "EBGaramond12-Regular": "fonts-ebgaramond",
    "Arapey-Regular": "fonts-arapey",
    "Quattrocento-Regular": "fonts-quattrocento",
    "Dosis-ExtraBold": "fonts-dosis",
    "Sora-ExtraBold": "fonts-sora",
    "Lato-Black": "fonts-lato",
    "Lato-Light": "fonts-lato",
    "allerta_stencil": "fonts-allerta",
    "AveriaSerifGWF-Bold": "fonts-averia-serif-gwf",
    "Manrope-ExtraBold": "fonts-manrope",
}
# script typefaces, which are never set in capitals
SCRIPTS = frozenset(
    ("lobster", "LobsterTwo-BoldItalic", "KaushanScript-Regular", "LeckerliOne-Regular", "DancingScript-Bold")
)
TEXT = {
    "Lato-Regular": "fonts-lato",
    "Lato-Bold": "fonts-lato",
    "Karla-Regular": "fonts-karla",
    "Cabin-Medium": "fonts-cabin",
    "EBGaramond12-Italic": "fonts-ebgaramond",
    "Vollkorn-Regular": "fonts-vollkorn",
    "Quicksand-Medium": "fonts-quicksand",
    "Dosis-SemiBold": "fonts-dosis",
    "Courier Prime": "fonts-courier-prime",
}


class FontsMissingError(LookalikeError):
    """The labels need typefaces that are not installed."""


def check_fonts(folder: Path | None = None) -> None:
    """Raise FontsMissingError with the packages to install if a typeface is missing."""
    have = _files(folder)
    missing = {package for name, package in (DISPLAY | TEXT).items() if name not in have}
    if missing:
        names = " ".join(sorted(missing))
        raise FontsMissingError(f"fonts are missing; run: apt-get install {names}, or name a folder with --fonts")


@cache
def typeface(name: str, folder: Path | None = None) -> skia.Typeface:
    """The typeface with this file name (without its ending)."""
    import skia

    return skia.Typeface.MakeFromFile(str(_files(folder)[name]))


@cache
def _files(folder: Path | None) -> dict[str, Path]:
    folders = [folder] if folder else [Path(name).expanduser() for name in _FOLDERS]
    found: dict[str, Path] = {}
    for root in folders:
        for path in sorted(root.rglob("*.[ot]tf")) if root.is_dir() else []:
            found.setdefault(path.stem, path)
    return found
