"""The page shows what was found, keeps strangers' text inert, and makes no requests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike.pages import pictures as report_pictures
from lookalike.records import Finding, Listing, Verdict
from lookalike.scanning.report import write_report
from lookalike.tables.findings import FindingRow, finding_row

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


def test_creates_the_folder_for_the_page(tmp_path: Path) -> None:
    write_report([row()], tmp_path / "new" / "report.html", thumbnail=lambda _: None)
    assert (tmp_path / "new" / "report.html").is_file()


def test_says_what_was_normalised_and_what_a_harmless_photo_suppressed(tmp_path: Path) -> None:
    rows = [
        row(listing_id="a", normalised_similarity=0.31, threshold=0.25),
        row(listing_id="b", verdict="clear", suppressed_by="<stock>"),
    ]
    write_report(rows, tmp_path / "r.html", thumbnail=lambda _: None)
    page = (tmp_path / "r.html").read_text()
    assert "normalised similarity <b>0.310</b>, flag from 0.250 · similarity <b>0.900</b>" in page
    assert page.count('class="tick"') == 1
    assert "More similar to the harmless photo <bdi>&lt;stock&gt;</bdi>" in page


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
        "verdict",
        "policy",
        "encoder",
        "reference_id",
        "scanned_at",
        "image_sha256",
        "mirrored",
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
    values = dict.fromkeys(names, evil)
    found = page(tmp_path, [row(**values, price=1.0, image=evil, url=evil), row(**values)], title=evil)
    assert len(found.all("script")) == len(found.all("style")) == 1
    assert not found.all("img")
    (card, _) = found.all("article")
    assert (card["data-brand"], card["data-listing"], card["data-verdict"]) == (evil, evil, evil)
    assert card["data-kind"] == "" and card["data-search"] == " ".join([evil.lower()] * 5)
    assert "alert(1)" not in found.texts["script"] + found.texts["style"]
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)


FIELDS = [name for name, kind in FindingRow.__annotations__.items() if "str" in str(kind)]


@pytest.mark.parametrize("name", [*FIELDS, "reason", "verdict_before"])
def test_no_field_changes_what_the_page_is_made_of(tmp_path: Path, name: str) -> None:
    whole = row(**dict.fromkeys(FIELDS, "a"), reason="a", verdict_before="a")
    said = {"ground": "seller", "brand": "a", "seller_id": "a", "territory": "a", "valid_from": "a", "valid_until": "a"}

    def parts(text: str) -> tuple[list[tuple[str, list[str]]], str, list[str | None]]:
        values = {name: json.dumps([dict.fromkeys(said, text) | {"ground": "seller"}]) if name == "rights" else text}
        found = page(tmp_path, [{**whole, **values}], title=text)
        links = [link["href"] for link in found.all("a")]
        return [(tag, list(attributes)) for tag, attributes in found.tags], found.texts["script"], links

    tame = parts(f"the {name}")
    for evil in ("</style></title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>", "javascript:alert(1)//",
                 '" onclick="alert(1)', "' style='x", "{{ 7 * 7 }}{% raw %}", "--><svg/onload=alert(1)>"):  # fmt: skip
        assert parts(evil) == tame, evil


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
    assert found.text.count("data:image/webp") == 4, "once small and once large"


def test_counts_all_and_shows_the_strongest(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for i in range(5000):
            yield row(listing_id=f"id{i}", verdict="review" if i % 2 else "clear", similarity=i / 5000)

    summary = write_report(rows(), tmp_path / "r.html", thumbnail=lambda _: None, most=10)
    assert (summary.verdicts, summary.shown, summary.left_out) == ({"clear": 2500, "review": 2500}, 10, 4990)
    text = (tmp_path / "r.html").read_text()
    assert re.findall(r"<bdi>id(\d+)</bdi>", text) == [str(i) for i in range(4999, 4979, -2)]
    assert "4,990 more are in the findings table only" in text


def test_shows_a_row_about_which_nothing_is_known(tmp_path: Path) -> None:
    found = page(tmp_path, [EMPTY], thumbnail=lambda _: None)
    assert found.text.count("no picture") == 2
    assert "None" not in re.sub(r"<(style|script).*?</\1>", "", found.text, flags=re.S)


def test_an_empty_report_says_so(tmp_path: Path) -> None:
    assert "No findings." in page(tmp_path, []).text


def words(found: Page) -> str:
    """The text that a reader sees, in one line."""
    body = re.sub(r"<(style|script).*?</\1>", "", found.text.split("</head>")[1], flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def painted(_: object) -> Image.Image:
    return Image.effect_noise((1300, 900), 80)


def test_groups_by_brand_and_product_the_strongest_first_with_counts(tmp_path: Path) -> None:
    rows = [
        row(listing_id="a", brand="Low", product_id="l", similarity=0.85),
        row(listing_id="b", brand="High", product_id="h2", similarity=0.88),
        row(listing_id="c", brand="High", product_id="h1", similarity=0.95),
        row(listing_id="d", brand="High", product_id="h2", similarity=0.99, verdict="review"),
        row(listing_id="e", brand=None, product_id=None, similarity=None, verdict="unreadable"),
    ]
    found = page(tmp_path, rows)
    heads = re.findall(r"<summary>(.*?)</summary>", found.text, flags=re.S)
    assert [" ".join(re.sub(r"<[^>]*>", " ", head).split()) for head in heads] == [
        "High 2 flagged 1 review",
        "h1 1 flagged",
        "h2 1 flagged 1 review",
        "Low 1 flagged",
        "l 1 flagged",
        "No genuine product 1 unreadable",
        "no product 1 unreadable",
    ]
    cards = found.all("article")
    assert [card["data-listing"] for card in cards] == ["c", "b", "d", "a", "e"]
    assert [card["data-rank"] for card in cards] == ["0", "1", "3", "2", "4"]


def test_offers_the_verdicts_and_kinds_found_as_filters(tmp_path: Path) -> None:
    rows = [
        row(kind="lookalike"),
        row(kind="copied_photo"),
        row(kind="copied_photo", verdict="odd"),
        row(kind="made_up", verdict="clear"),
    ]
    found = page(tmp_path, rows)
    boxes = [(box["name"], box["value"]) for box in found.all("input") if box["type"] == "checkbox"]
    assert boxes == [
        ("verdict", "flagged"),
        ("verdict", "clear"),
        ("verdict", "odd"),
        ("kind", "copied_photo"),
        ("kind", "lookalike"),
        ("kind", ""),
    ]
    assert "2 copied photo 1 look-alike 1 no kind" in words(found)
    assert '<span class="kind">made up</span>' in found.text


def test_says_how_many_points_match(tmp_path: Path) -> None:
    rows = [row(listing_id="m", kind="same_print", inliers=1234, coverage=0.666, mirrored=True), row(mirrored="false")]
    text = words(page(tmp_path, rows))
    assert "1,234 matching points over 67% of the reference" in text
    assert text.count("mirrored") == 1
    assert "No matching points" in words(page(tmp_path, [row(inliers=0, coverage=0.0)]))


def test_the_bar_shows_the_number_that_the_threshold_applies_to(tmp_path: Path) -> None:
    found = page(tmp_path, [row(similarity=0.71, probability=0.93, threshold=0.9)])
    assert '<rect class="fill" width="93.0"' in found.text and '<rect class="tick" x="90.0"' in found.text
    assert "probability 0.930 , flag from 0.900 · similarity 0.710" in words(found)


def test_a_card_for_review_also_shows_from_where_it_would_be_flagged(tmp_path: Path) -> None:
    found = page(tmp_path, [row(verdict="review", probability=0.4, threshold=0.05, flag_threshold=0.877)])
    assert "probability 0.400 , review from 0.050, flag from 0.877 · similarity 0.900" in words(found)
    assert [float(tag["x"] or "") for name, tag in found.tags if tag.get("class") == "tick"] == [5.0, 87.7]


def test_shows_rows_of_a_table_that_lacks_columns(tmp_path: Path) -> None:
    bare = {"listing_id": "L", "verdict": "flagged", "policy": "p@1", "encoder": "e@1"}
    assert "None" not in words(page(tmp_path, [bare]))


def test_says_when_it_was_scanned(tmp_path: Path) -> None:
    days = ["2026-11-02T23:59:59+00:00", "2026-10-30T00:00:00+00:00", "yesterday", None]
    text = words(page(tmp_path, [row(scanned_at=day) for day in days]))
    assert "4 listings: 4 flagged. Scanned 2026-10-30 to 2026-11-02." in text


def test_evidence_goes_to_what_is_in_review_first_and_then_to_the_weakest_flags(tmp_path: Path) -> None:
    rows = [
        row(listing_id="r", verdict="review", similarity=0.97),
        row(listing_id="c", verdict="clear", similarity=0.99),
        row(listing_id="f2", similarity=0.91),
        row(listing_id="f1", similarity=0.95),
        row(listing_id="late", verdict="review", similarity=0.8),
    ]
    asked, told = [], []

    def evidence(of: Any) -> Image.Image:
        asked.append(of["listing_id"])
        return Image.effect_noise((1300, 2000), 80)

    out = tmp_path / "report.html"
    summary = write_report(
        rows, out, thumbnail=lambda _: None, evidence=evidence, most_evidence=3, progress=told.append
    )
    assert (sorted(asked), sum(told), summary.evidence) == (["f2", "late", "r"], 3, 3)
    found = Page(out)
    pictures = found.all("img")
    assert len(pictures) == 3
    for picture in pictures:
        head, data = str(picture["src"]).split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert (image.format, image.size) == ("JPEG", (1040, 1600))
            assert (picture["width"], picture["height"]) == ("1040", "1600")
    assert re.findall(r">(Evidence|Details)</button>", found.text) == ["Details", *["Evidence"] * 3, "Details"]
    assert words(found).count("This page has no picture of what matches here") == 1


def large_of(found: Page) -> dict[str, tuple[int, int]]:
    """The sizes of the pictures that the dialog shows in large, by the class that they belong to."""
    pictures = re.findall(
        r"#view \.(p\d+)\{background-image:url\(\"data:image/webp;base64,(.*?)\"", found.texts["style"]
    )
    return {name: Image.open(io.BytesIO(base64.b64decode(data))).size for name, data in pictures}


def test_findings_without_composed_evidence_show_their_photos_large_in_the_dialog(tmp_path: Path) -> None:
    rows = [
        row(listing_id=name, verdict=verdict, similarity=strength, image=f"{name}.jpg", reference_image=f"g{name}.jpg")
        for name, verdict, strength in (("a", "flagged", 0.99), ("b", "review", 0.9), ("c", "clear", 0.5))
    ]
    noise = {f"{kind}{name}.jpg": Image.effect_noise((1000, 700), 40 + at)
             for at, (kind, name) in enumerate((k, n) for k in ("", "g") for n in "abc")}  # fmt: skip
    found = page(tmp_path, rows, thumbnail=noise.get, evidence=painted, most_evidence=1)
    pairs = re.findall(r'<div class="pair( large)?">\s*<figure>\s*<div class="photo (p\d+)', found.text)
    assert [bool(large) for large, _ in pairs] == [True, False, False], "b has evidence, and c needs no decision"
    sizes = large_of(found)
    assert len(sizes) == 2 and set(sizes.values()) == {(640, 448)} and pairs[0][1] in sizes


def test_large_photos_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_pictures, "MOST_LARGE_BYTES", 5_000)
    rows = [row(listing_id=f"{i}", image=f"{i}.jpg", similarity=0.9 - i / 1000) for i in range(30)]
    found = page(tmp_path, rows, thumbnail=lambda image: Image.new("RGB", (640, 480), (int(image[:-4]), 90, 200)))
    large = re.findall(r"#view .*?base64,(.*?)\"", found.texts["style"])
    assert 0 < len(large) < 30 and sum(map(len, large)) <= 5_000


def test_clear_findings_are_folded_below_those_that_need_a_look(tmp_path: Path) -> None:
    rows = [
        row(listing_id="c", verdict="clear", similarity=0.99),
        row(listing_id="r", verdict="review"),
        row(listing_id="f"),
    ]
    found = page(tmp_path, rows)
    assert [card["data-listing"] for card in found.all("article")] == ["f", "r", "c"]
    folds = [(each.get("class"), "open" in each) for each in found.all("details")]
    assert folds == [("brand", True), ("product", True), ("rest", False)]
    assert found.text.index('class="rest"') < found.text.index('data-listing="c"')


def test_says_that_a_photo_cannot_be_read_any_more(tmp_path: Path) -> None:
    found = page(tmp_path, [row()], evidence=lambda _: None)
    assert not found.all("img")
    assert "A photo can’t be read any more" in words(found)
    assert '<p class="hint">A photo' in found.text, "the card itself says so, not only what opens"


def test_evidence_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bytes_of(most: int) -> list[int]:
        monkeypatch.setattr(report_pictures, "MOST_EVIDENCE_BYTES", most)
        found = page(tmp_path, [row(listing_id=f"{i}") for i in range(30)], evidence=painted)
        assert len(found.all("article")) == 30
        return [len(str(picture["src"])) for picture in found.all("img")]

    (one, *_) = every = bytes_of(1 << 30)
    assert len(every) == 30
    bounded = bytes_of(int(3.5 * one))
    assert 0 < len(bounded) < 5 and sum(bounded) <= 3.5 * one
    assert bytes_of(0) == []


def test_without_evidence_the_page_does_not_mention_it(tmp_path: Path) -> None:
    text = words(page(tmp_path, [row()]))
    assert "no picture of what matches" not in text and "can’t be read" not in text


def test_the_page_has_every_element_that_the_script_looks_for(tmp_path: Path) -> None:
    found = page(tmp_path, [row(kind="lookalike"), row(verdict="clear")])
    script = found.texts["script"]
    asked = {*re.findall(r"(?<![.\w])get\(\"(\w+)\"\)", script), "brand", "order", "find", "evidence", "view"}
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert asked <= set(ids) and len(ids) == len(set(ids))
    assert len(asked) > 10


def test_the_keys_named_are_the_keys_that_work(tmp_path: Path) -> None:
    found = page(tmp_path, [row()])
    table = found.texts["script"].split("const keys = {")[1].split("\n  };")[0]
    works = {a or b for a, b in re.findall(r'(?:^|, )\s*(?:"(.)"|(\w+))(?=: \(\) =>)', table, flags=re.M)}
    arrows = {"→": "ArrowRight", "←": "ArrowLeft"}
    named = {arrows.get(key, key) for key in re.findall("<kbd>(.*?)</kbd>", found.text)}
    assert named == works | {"Enter", "Esc"}


def test_names_the_rights_or_what_is_missing_in_words(tmp_path: Path) -> None:
    def ground(name: str, **values: Any) -> str:
        return json.dumps([{"ground": name, **values}])

    seller = ground("seller", brand="B", seller_id="s1", territory="DE", valid_from=None, valid_until="2027-01-01")
    rows = [row(rights=ground("right", kind="trademark", number="<1>", territory="EU")),
            row(verdict="authorised", rights=seller),
            row(verdict="unprotected", rights=ground("listing", territory="BR", known=True)),
            row(rights="trademark 1 in DE; what an older version wrote"),
            row(rights='[{"ground": "new"}]'), row()]  # fmt: skip
    write_report(rows, tmp_path / "r.html", thumbnail=lambda image: None)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for name, said in (("Rights", "trademark &lt;1&gt; in EU"), ("May sell", "B, s1 in DE until 2027-01-01"),
                       ("Missing", "listing is in BR"),
                       ("Rights", "trademark 1 in DE; what an older version wrote"),
                       ("Rights", "[{&#34;ground&#34;: &#34;new&#34;}]")):  # fmt: skip
        assert f'<p class="rights"><b>{name}</b> <bdi>{said}</bdi></p>' in text
    assert text.count('class="rights"') == 5


def test_calls_nothing_counterfeit(tmp_path: Path) -> None:
    assert "counterfeit" not in page(tmp_path, [row()]).text.lower()
