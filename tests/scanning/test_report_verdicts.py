"""Verdicts given on the static report: by keys, kept in the browser, downloaded as the labels that tune reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import launched, needs_browser

from lookalike.records import Finding, Listing, Verdict
from lookalike.scanning.report import write_report
from lookalike.tables.files import read_rows
from lookalike.tables.findings import finding_row
from lookalike.tables.labels import read_verdicts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

EMPTY = finding_row(Finding(Listing("L", ()), Verdict.UNREADABLE, "policy@1", "toy@0"))
EVIL = '=HYPERLINK("x"),\'<script>alert(1)</script>\n'
pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900})
    yield made
    made.close()


def report(folder: Path, **changes: Any) -> Path:
    """A report of six findings: a flag, one with a hostile id, one for review, and three clear ones."""
    named = [("007", "flagged"), (EVIL, "flagged"), ("R", "review"), ("C1", "clear"), ("C2", "clear"), ("C3", "clear")]
    known = {**EMPTY, "brand": "Acme", "product_id": "p1"}
    rows = [
        {**known, "listing_id": name, "verdict": verdict, "similarity": 0.9 - at / 100, "image_sha256": f"{at:064x}"}
        for at, (name, verdict) in enumerate(named)
    ]
    rows = [{**row, **changes} for row in rows]
    write_report(rows, folder / "report.html", thumbnail=lambda _: None)
    return folder / "report.html"


def opened(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    page, troubles = context.new_page(), []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    return page, troubles


def marks(page: Page) -> list[str]:
    return page.locator("main .said:visible").all_inner_texts()


def downloaded(page: Page, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.keyboard.press("d")
    assert waiting.value.suggested_filename == "verdicts.csv"
    waiting.value.save_as(folder / "verdicts.csv")
    return folder / "verdicts.csv"


def test_verdicts_by_keys_are_downloaded_as_the_labels_that_tune_reads(context: BrowserContext, tmp_path: Path) -> None:
    page, troubles = opened(context, report(tmp_path))
    for key in ("j", "l", "n", "u"):
        page.keyboard.press(key)
    assert marks(page) == ["✓ Look-alike", "✓ Not a look-alike", "✓ Unsure"]
    page.keyboard.press("z")
    page.keyboard.press("o")
    page.keyboard.press("t")
    page.keyboard.type('see "p2", sharper', delay=1)
    page.keyboard.press("Escape")
    page.locator(
        "main .said:visible", has_text="with a note"
    ).wait_for()  # a dialog says some time later that it closed
    assert "with a note" in marks(page)[-1]
    table = downloaded(page, tmp_path)
    said = [(review.listing_id, review.lookalike, review.product_id, review.brand) for review in read_verdicts(table)]
    assert said == [("007", True, "p1", "Acme"), (EVIL, False, "p1", "Acme"), ("R", False, "p1", "Acme")]
    assert all(review.day is not None for review in read_verdicts(table))
    rows = [line.values for line in read_rows(table, own=True)]
    assert [row["verdict"] for row in rows] == ["lookalike", "not_lookalike", "other_product"]
    assert rows[-1]["note"] == 'see "p2", sharper'
    assert table.read_text(encoding="utf-8").count("\"'=HYPERLINK") == 1, "a spreadsheet runs nothing"
    assert troubles == []


def test_verdicts_outlast_the_page_and_a_new_report_but_not_another_photo(
    context: BrowserContext, tmp_path: Path
) -> None:
    path = report(tmp_path)
    page, _ = opened(context, path)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.keyboard.press("h")
    assert page.locator("#place").inner_text().startswith("2 of "), "the dialog shows the next finding"
    page.reload()
    assert marks(page) == ["✓ Harmless photo"]
    report(tmp_path, policy="another@2")
    page.reload()
    assert marks(page) == ["✓ Harmless photo"] and page.locator("#judged").inner_text() == "1 with a verdict"
    report(tmp_path, image_sha256="f" * 64)
    page.reload()
    assert marks(page) == [] and page.locator("#save").is_hidden()


def test_clear_findings_open_when_they_are_asked_for_alone(context: BrowserContext, tmp_path: Path) -> None:
    page, troubles = opened(context, report(tmp_path))
    assert page.locator("article:visible").count() == 3
    page.keyboard.press("f")
    page.keyboard.press("r")
    assert page.locator("article:visible").count() == 3
    assert page.locator("article:visible").first.get_attribute("data-listing") == "C1"
    assert troubles == []
