"""Pages as they come out of a printer: the text of each sheet."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
from browser import launched


def sheets(page: Path, folder: Path) -> list[list[str]]:
    """The lines of each sheet on which a browser prints the page, on A4, without the number of the sheet."""
    with launched() as browser:
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.pdf(path=folder / "printed.pdf", format="A4")
    with pypdfium2.PdfDocument(folder / "printed.pdf") as document:
        texts = [sheet.get_textpage().get_text_range() for sheet in document]
    number = [f"{at} / {len(texts)}" for at in range(1, len(texts) + 1)]
    return [
        [line for line in text.splitlines() if line.strip() and line != of]
        for text, of in zip(texts, number, strict=True)
    ]
