"""The page of cases shows their figures, pairs and network, and lets no stranger's text do anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser
from flagged import row
from PIL import Image
from printed import sheets

from lookalike.cases.case import Cases
from lookalike.cases.grouping import Joining, build_cases
from lookalike.cases.page import write_case_page
from lookalike.cases.shared_photos import SharedPhoto

EVIL = '"><script>alert(1)</script>'


def page(tmp_path: Path, rows: list[dict[str, Any]], found: Cases, **options: Any) -> str:
    write_case_page(
        found, rows, tmp_path / "new" / "cases.html", thumbnail=lambda _: Image.new("RGB", (30, 20)), **options
    )
    return (tmp_path / "new" / "cases.html").read_text(encoding="utf-8")


class Texts(HTMLParser):
    """What is in style and script elements, and the tags that there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.tags: list[str] = []
        self.elements: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.elements.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("style", "script"):
            self.texts[self.cdata_elem] = self.texts.get(self.cdata_elem, "") + data


def test_shows_figures_pairs_and_the_network_of_sellers(tmp_path: Path) -> None:
    rights = '[{"ground": "right", "kind": "trademark", "number": "7", "territory": "DE"}]'
    rows = [row("L1", "a", 1999.5, rights=rights), row("L2", "b", 0.5), row("L3", "c", 1.0, territory="FR")]
    found = build_cases(rows, shared=[SharedPhoto("p", {"a": "1", "b": "2"})])
    text = page(tmp_path, rows, found)
    assert found.cases[0].id in text
    assert "<b>2,000.00</b> EUR · 333.33 EUR per minute" in text
    assert "sum of prices in EUR / (5 min + 0.5 min × pairs)" in text
    assert "2 sellers share 1 photo" in text
    assert text.count('<circle class="seller"') == 2
    assert text.count('<line class="edge"') == 2
    assert text.count('class="photo-key"') + text.count('class="key photo-key"') == 1
    assert text.count("<article") == 3
    assert "<bdi>DE</bdi>: <bdi>trademark 7 in DE</bdi>" in text


def test_strangers_text_does_nothing_and_nothing_is_asked_for(tmp_path: Path) -> None:
    rights = json.dumps([{"ground": "right", "kind": EVIL, "number": EVIL, "territory": EVIL}])
    rows = [row(f"L{k}{EVIL}", f"s{k}{EVIL}", brand=EVIL, product_id=EVIL, territory=EVIL, currency=EVIL, phone=EVIL,
                url="javascript:alert(1)", rights=rights) for k in range(2)]  # fmt: skip
    text = page(tmp_path, rows, build_cases(rows, joining=Joining(("phone",))), columns=[EVIL], title=EVIL)
    parsed = Texts(text)
    assert parsed.tags.count("script") == 1
    assert not {"img", "iframe", "link", "object"} & set(parsed.tags)
    assert "javascript:" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parsed.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]


FIELDS = ("listing_id", "seller_id", "brand", "product_id", "kind", "verdict", "territory", "currency", "image",
          "reference_image", "url", "title", "reason", "verdict_before", "image_sha256", "phone", "rights")  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_changes_what_the_page_is_made_of(tmp_path: Path, name: str) -> None:
    def parts(text: str) -> tuple[list[tuple[str, list[str]]], str]:
        value: Any = f"{text}{name}"
        if name == "rights":
            value = json.dumps([{"ground": "right", "kind": value, "number": value, "territory": value}])
        rows = [row("L1", "a", reason="why", phone="1") | {name: value}, row("L2", "b", phone="1") | {name: value}]
        found = build_cases(rows, verdicts=("flagged", value), joining=Joining(("phone", "title")))
        shown = page(tmp_path, rows, found, columns=["phone"])
        parsed = Texts(shown)
        return parsed.elements, parsed.texts["script"]

    tame = parts("text of ")
    many = "{{ 7 * 7 }}{% raw %}</style></title><img src=x onerror=alert(1)>]]>--><svg/onload=alert(1)>"
    for evil in (EVIL, "javascript:alert(1)//' onclick='alert(1)", many):
        assert parts(evil) == tame, evil


def test_says_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [row(f"L{k}", f"s{k % 6}", 10.0 * k, phone="1") for k in range(30)] + [row("X", "s0", "nan")]
    text = page(tmp_path, rows, build_cases(rows, joining=Joining(("phone",), most=5)), most=4, most_pairs=2)
    assert text.count("<section") == 4
    assert text.count("<article") == 8
    assert "The first 4 are on this page; 2 more are in the cases table only." in text
    assert "Too common to join anybody: phone 1 (6 sellers)." in text
    assert "Prices that can&#39;t be used: 1." in text
    assert "3 more pairs in the findings table" in text


@pytest.mark.parametrize("sellers", [2, 200])
def test_a_network_stays_small(tmp_path: Path, sellers: int) -> None:
    rows = [row(f"L{k}", f"s{k:03}") for k in range(sellers)]
    shared = [SharedPhoto(f"p{k}", {f"s{k:03}": "1", f"s{k + 1:03}": "2"}) for k in range(sellers - 1)]
    text = page(tmp_path, rows, build_cases(rows, shared=shared))
    assert text.count("<circle") == min(sellers, 30)
    assert ("sellers that share less are left out" in text) == (sellers > 30)
    numbers = [float(value) for value in re.findall(r'c[xy]="([^"]+)"', text)]
    assert all(0 <= value <= 380 for value in numbers)


def test_no_cases_make_a_page_as_well(tmp_path: Path) -> None:
    assert "No cases." in page(tmp_path, [], build_cases([]))


@needs_browser
def test_cases_are_printed_without_breaking_a_pair_or_wasting_a_sheet(tmp_path: Path) -> None:
    rows = [
        row(f"L{case:02}{at}", f"seller{case}", 10.0 + at, product_id=f"p{at}") for case in range(12) for at in range(4)
    ]
    found = build_cases(rows)
    page(tmp_path, rows, found)
    printed = sheets(tmp_path / "new" / "cases.html", tmp_path)
    assert len(found.cases) == 12 and len(printed) <= 7
    for case in found.cases:
        heads = [at for at, lines in enumerate(printed) if any(case.id in line for line in lines)]
        pairs = {
            at
            for at, lines in enumerate(printed)
            for line in lines
            for name in case.examples[:4]
            if f"{name} from" in line
        }
        assert heads == sorted(pairs), "a case of four pairs stands on one sheet with its heading"
