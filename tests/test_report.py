"""The page shows what was found, lets no stranger's text do anything, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from lookalike.records import Finding, Listing, Verdict
from lookalike.report import write_report
from lookalike.scan import finding_row

EMPTY = finding_row(Finding(Listing("L", ()), Verdict.UNREADABLE, "policy@1", "toy@0"))


def row(**values: Any) -> dict[str, Any]:
    found = {"verdict": "flagged", "similarity": 0.9, "threshold": 0.8, "brand": "B", "product_id": "p"}
    return {**EMPTY, **found, **values}


class Page(HTMLParser):
    """Tags with their attributes, and the text of style and script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("style", "script"):
            self.texts[self.cdata_elem] = self.texts.get(self.cdata_elem, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Page:
    options.setdefault("thumbnail", lambda image: Image.new("RGB", (300, 200), (len(image), 0, 0)))
    write_report(rows, tmp_path / "report.html", **options)
    return Page(tmp_path / "report.html")


def test_makes_the_folder_that_it_is_to_be_written_to(tmp_path: Path) -> None:
    write_report([row()], tmp_path / "new" / "report.html", thumbnail=lambda _: None)
    assert (tmp_path / "new" / "report.html").is_file()


def test_says_what_was_normalised_and_what_a_harmless_photo_suppressed(tmp_path: Path) -> None:
    rows = [
        row(listing_id="a", normalised_similarity=0.31, threshold=0.25),
        row(listing_id="b", verdict="clear", suppressed_by="<stock>"),
    ]
    write_report(rows, tmp_path / "r.html", thumbnail=lambda _: None)
    page = (tmp_path / "r.html").read_text()
    assert "normalised <b>0.310</b>" in page and page.count('class="tick"') == 1
    assert "More alike to the harmless photo <bdi>&lt;stock&gt;</bdi>" in page


def test_orders_by_verdict_then_by_similarity(tmp_path: Path) -> None:
    rows = [
        row(listing_id="clear", verdict="clear", similarity=0.99),
        row(listing_id="weak", similarity=0.8),
        row(listing_id="review", verdict="review", similarity=0.95),
        row(listing_id="strong", similarity=0.9),
    ]
    found = page(tmp_path, rows)
    assert re.findall(r"<bdi>(strong|weak|review|clear)</bdi>", found.text) == ["strong", "weak", "review", "clear"]


def test_escapes_every_strangers_text(tmp_path: Path) -> None:
    evil = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    names = (
        "listing_id",
        "kind",
        "brand",
        "product_id",
        "seller_id",
        "territory",
        "currency",
        "title",
        "error",
        "hint",
    )
    found = page(tmp_path, [row(**dict.fromkeys(names, evil), price=1.0, image=evil, url=evil, policy=evil)])
    assert len(found.all("script")) == len(found.all("style")) == 1
    assert not found.all("img")
    assert "alert(1)" not in found.texts["script"] + found.texts["style"]
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_links_only_to_web_pages(tmp_path: Path) -> None:
    urls = ["javascript:alert(1)", "data:text/html,x", "https://example.com/1", "http://[bad", "/relative", None]
    links = page(tmp_path, [row(url=url) for url in urls]).all("a")
    assert [link["href"] for link in links] == ["https://example.com/1"]
    assert links[0]["rel"] == "noopener noreferrer nofollow"


def test_its_policy_allows_just_its_own_style_and_script(tmp_path: Path) -> None:
    found = page(tmp_path, [row(image="a.jpg")])
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(found.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?https?:""", found.text)


def test_stores_a_picture_on_many_cards_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def thumbnail(image: str) -> Image.Image:
        asked.append(image)
        return Image.new("RGB", (500, 400), (0, 90, len(image)))

    found = page(tmp_path, [row(image="listing.jpg", reference_image="r.jpg")] * 30, thumbnail=thumbnail)
    assert sorted(asked) == ["listing.jpg", "r.jpg"]
    assert found.text.count("data:image/webp") == 2


def test_counts_all_and_shows_the_strongest(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for i in range(5000):
            yield row(listing_id=f"id{i}", verdict="review" if i % 2 else "clear", similarity=i / 5000)

    summary = write_report(rows(), tmp_path / "r.html", thumbnail=lambda _: None, most=10)
    assert (summary.verdicts, summary.shown, summary.left_out) == ({"clear": 2500, "review": 2500}, 10, 4990)
    text = (tmp_path / "r.html").read_text()
    assert re.findall(r"<bdi>id(\d+)</bdi>", text) == [str(i) for i in range(4999, 4979, -2)]
    assert "4,990 more are in the findings table only" in text


def test_shows_a_row_of_which_nothing_is_known(tmp_path: Path) -> None:
    found = page(tmp_path, [EMPTY], thumbnail=lambda _: None)
    assert found.text.count("no picture") == 2
    assert "None" not in re.sub(r"<(style|script).*?</\1>", "", found.text, flags=re.S)


def test_an_empty_report_says_so(tmp_path: Path) -> None:
    assert "No findings." in page(tmp_path, []).text
