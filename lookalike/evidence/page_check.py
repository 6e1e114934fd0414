"""The pages of a bundle, written again from what the bundle holds, and compared with those that are in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.chain import Disagreement, plain
from lookalike.errors import BundleError, ImageReadError

from .bundle import finding_folder, overview_rows
from .manifest import MANIFEST, Entry
from .recomputation import BUNDLED, DAMAGE
from .statement import Pictures, overview_page, pages_digest, statement_page

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .archive import Archive

_PICTURE = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]*)")
_GRID, _MOST_OFF = (
    48,
    24,
)  # squares a side in which pictures are compared, and how far (of 255) their means may be apart


@dataclass
class Pages:
    """Checks pages and adds disagreements to `found`; `checked` counts the pages that were written again."""

    archive: Archive
    head: Mapping[str, Any]
    found: list[Disagreement]
    checked: int = field(default=0, init=False)

    @property
    def known(self) -> bool:
        """Whether this version writes pages as the one did that made the bundle."""
        return self.head.get("pages") == pages_digest()

    def check(self, entries: Sequence[Entry], unsound: Collection[str]) -> None:
        """Compare the statement of each finding, and the overview, with what the entries and photos give.

        Entries that were changed, or have `unsound` files, are left out: they were reported.
        """
        if not self.known:
            return
        findings = [entry for entry in entries if entry.kind == "finding"]
        for entry in entries:
            if entry.hash != entry.computed_hash() or any(file.name in unsound for file in entry.files):
                continue
            if entry.kind == "finding":
                self._check(entry, "statement", partial(self.statement, entry))
            elif entry.kind == "end" and len(findings) == entry.said.get("findings"):
                self._check(entry, "overview", partial(self.overview, findings, entry))

    def _check(self, entry: Entry, role: str, write: Callable[[], bytes]) -> None:
        file = entry.file(role)
        try:
            if file is None:
                raise BundleError(f"it has no {role}")
            page = self.archive.read(file.name).decode()
            self.checked += 1
            for what in _differences(page, write().decode()):
                self.found.append(Disagreement(entry.place, f"{file.name} {what}"))
        except (*DAMAGE, BundleError, ImageReadError, UnicodeDecodeError, OSError) as error:
            what = f"its {role} can't be compared with what {MANIFEST} says ({plain(error)})"
            self.found.append(Disagreement(entry.place, what))

    def overview(self, findings: Sequence[Entry], last: Entry) -> bytes:
        """The overview as the entries give it."""
        return overview_page(overview_rows(findings), made_by=self.head, counts=last.said)

    def statement(self, entry: Entry) -> bytes:
        """The statement as an entry and its photos give it. Raises what rendering a stranger's values raises."""
        folder = f"{finding_folder(entry.number)}/"
        names = {file.role: file.name.removeprefix(folder) for file in entry.files if file.role != "statement"}
        pictures = Pictures(*(self._picture(entry, role) for role in ("listing", "reference", "picture")))
        return statement_page(entry.number, entry.said, made_by=self.head, pictures=pictures, names=names)

    def _picture(self, entry: Entry, role: str) -> Image.Image | None:
        from lookalike.model.images import read_image

        file = entry.file(role)
        return None if file is None else read_image(self.archive.read(file.name), limits=BUNDLED).image


def _differences(page: str, again: str) -> Iterator[str]:
    """How a page differs from the same page written again: in its text, or in a picture."""
    if _PICTURE.sub("", page) != _PICTURE.sub("", again):
        yield f"does not say what {MANIFEST} and the photos give"
        return
    for number, (shown, right) in enumerate(zip(_PICTURE.findall(page), _PICTURE.findall(again), strict=True), 1):
        if shown != right and np.abs(_squares(shown) - _squares(right)).max() > _MOST_OFF:
            yield f"shows another picture than the bundle holds, at place {number}"


def _squares(text: str) -> NDArray[np.float32]:
    """A page's picture as the mean colours of a grid of squares: encoders of other versions change less than this."""
    from PIL import Image

    from lookalike.model.images import decode_image

    picture = decode_image(base64.b64decode(text)).image
    return np.asarray(picture.resize((_GRID, _GRID), Image.Resampling.BOX), np.float32)
