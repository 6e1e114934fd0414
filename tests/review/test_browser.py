"""The review in a real browser, by keys alone: from findings to a tuned policy, and pages that anyone can use."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import Watched, launched, needs_browser
from PIL import Image, ImageEnhance, ImageOps
from reviewed import Shop, served, shop_in

from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings, write_findings
from lookalike.tables.verdicts import Judgement, Mode, verdict_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_browser

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)  # the machine may be busy
    with launched() as opened:
        yield opened


@dataclass(frozen=True)
class Market:
    """Findings of the embedded encoder on copies of the sample's listings, and which of them are right."""

    shop: Shop
    listings: Path
    truth: dict[str, str]


EDITS = {
    "own": lambda photo: photo,
    "bright": lambda photo: ImageEnhance.Brightness(photo).enhance(1.15),
    "flipped": ImageOps.mirror,
    "cut": lambda photo: photo.crop((photo.width // 12, photo.height // 12, photo.width, photo.height)),
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """The sample's 60 listings as they are and edited, 240; a second seller offers 40 of them as well."""
    folder = tmp_path_factory.mktemp("market")
    sample = Path(str(files("lookalike") / "sample"))
    truth, rows = {}, []
    with open(sample / "listings.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, edit in EDITS.items():
                path = folder / f"{row['listing_id']}-{name}.jpg"
                with Image.open(sample / row["image"]) as photo:
                    edit(photo.convert("RGB")).save(path, quality=92)
                kept = {each: row[each] for each in ("seller_id", "territory", "price", "currency", "title")}
                rows.append({"listing_id": f"{row['listing_id']}-{name}", "image": str(path), **kept})
                truth[rows[-1]["listing_id"]] = row["truth_product"]
    for row in rows[:120:3]:
        rows.append({**row, "listing_id": f"{row['listing_id']}-again", "seller_id": "second-hand"})
        truth[rows[-1]["listing_id"]] = truth[row["listing_id"]]
    with open(folder / "listings.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    index, findings = folder / "genuine.index", folder / "findings.parquet"
    assert main(["build", str(sample / "references.csv"), "--index", str(index), "--quiet"]) == 0
    call = ["scan", str(folder / "listings.csv"), "--index", str(index), "--out", str(findings), "--quiet"]
    assert main(call) == 0
    return Market(Shop(findings, index, Path("shipped")), folder / "listings.csv", truth)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 30)


def place_of(page: Page) -> str:
    return str(page.locator("html").get_attribute("data-place"))


def press(page: Page, key: str) -> None:
    """Press a key that leads to another finding, and wait for that."""
    from playwright.sync_api import expect

    before = place_of(page)
    page.keyboard.press(key)
    expect(page.locator("html")).not_to_have_attribute("data-place", before)


def judged(page: Page) -> int:
    return int(re.match(r"[\d,]+", page.locator("#progress").inner_text())[0].replace(",", ""))  # type: ignore[index]


@pytest.mark.timeout(900)
def test_two_hundred_findings_by_keys_then_tune_diff_scan_and_monitor(
    browser: Browser, market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(read_findings(market.shop.findings))

    def key_of(place: int, *, wrong: bool = False) -> str:
        return "ln"[(market.truth[rows[place]["listing_id"]] == rows[place]["product_id"]) == wrong]

    def key_for(page: Page, *, wrong: bool = False) -> str:
        return key_of(int(place_of(page)), wrong=wrong)

    anna, ben, both = (tmp_path / f"{name}.jsonl" for name in ("anna", "ben", "both"))
    with market.shop.review(anna, mode=Mode.AUDIT, size=200, seed=1) as app, served(app, entered=False) as client:
        watched = Watched(browser)
        page = watched.page
        page.goto(client.address)
        page.locator("#stage").wait_for()
        total = app.session.total
        assert total == 200
        first = place_of(page)
        press(page, "n")
        press(page, "z")
        assert place_of(page) == first, "undo brings the finding back"
        page.keyboard.press("t")
        page.keyboard.type("the stamp is drawn over")
        page.keyboard.press("Enter")
        press(page, key_for(page))
        press(page, "s")
        grouped = 0
        while judged(page) < 100:
            many = int(str(page.locator(".look").get_attribute("data-group")))
            if many > 1:
                page.keyboard.press("g")
                grouped += many
            press(page, key_for(page))
        at, there = judged(page), place_of(page)
        page.reload()
        page.locator("#stage").wait_for()
        assert (judged(page), place_of(page)) == (at, there), "a reload loses nothing"
        for _ in range(20):
            assert page.evaluate("document.documentElement.scrollHeight") <= 900
            press(page, key_for(page))
        for place in app.session.next(total)[:-1]:
            app.session.judge(place, {"l": Judgement.LOOKALIKE, "n": Judgement.NOT_LOOKALIKE}[key_of(place)])
        page.reload()
        press(page, key_for(page))
        assert (place_of(page), judged(page)) == ("none", total) and grouped > 1
        page.screenshot(path=tmp_path / "done.png")
        watched.close()
    entries = verdict_file(anna).entries()
    assert [entry.said.note for entry in entries if entry.said.note] == ["the stamp is drawn over"]
    assert sum(entry.said.reason.startswith("same photo and product") for entry in entries) > 0

    with market.shop.review(ben, "ben", mode=Mode.AUDIT, size=200, seed=1) as app, served(app, entered=False) as client:
        watched = Watched(browser)
        watched.page.goto(client.address)
        watched.page.locator("#stage").wait_for()
        press(watched.page, key_for(watched.page, wrong=True))
        for _ in range(11):
            press(watched.page, key_for(watched.page))
        watched.close()
    capsys.readouterr()
    assert main(["verdicts", "merge", str(anna), str(ben), "--out", str(both)]) == 0
    assert main(["verdicts", "agreement", str(both), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["people"][0]["both"], said["people"][0]["conflicts"], len(said["open"])) == (12, 1, 1)
    with market.shop.review(both, "cleo", mode=Mode.CONFLICT) as app, served(app, entered=False) as client:
        watched = Watched(browser)
        watched.page.goto(client.address)
        watched.page.locator("#stage").wait_for()
        assert "anna" in watched.page.locator(".facts").inner_text()
        press(watched.page, key_for(watched.page))
        assert place_of(watched.page) == "none"
        watched.close()
    assert main(["verdicts", "agreement", str(both), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["open"] == []

    findings, index, policy, again = (
        market.shop.findings,
        market.shop.index,
        tmp_path / "policy.toml",
        tmp_path / "f.csv",
    )
    call = ["tune", str(both), "--index", str(index), "--findings", str(findings), "--out", str(policy)]
    assert main([*call, "--precision", "0.85"]) == 0
    assert "at least 85% of flags of each kind right, with 95% confidence" in capsys.readouterr().err
    assert main(["policy", "diff", "shipped", str(policy), "--findings", str(findings)]) == 0
    assert "no longer flagged" in capsys.readouterr().out
    call = ["scan", str(market.listings), "--index", str(index), "--policy", str(policy), "--out", str(again)]
    assert main([*call, "--quiet"]) == 0
    flagged = {row["listing_id"] for row in read_findings(again) if row["verdict"] == "flagged"}
    right = {row["listing_id"] for row in read_findings(again) if market.truth[row["listing_id"]] == row["product_id"]}
    assert len(flagged & right) / len(flagged) >= 0.85
    assert main(["monitor", str(again), str(both), "--policy", str(policy)]) == 1
    told = capsys.readouterr()
    assert "verdicts left out: 200 on listings that" in told.err and "was tuned on" in told.err
    assert "not tested" in told.out


def test_space_blinks_keys_zoom_in_step_and_draw_what_differs(browser: Browser, market: Market, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    rows = list(read_findings(market.shop.findings))
    copied = next(at for at, row in enumerate(rows) if row["mirrored"] and (row["inliers"] or 0) > 30)
    with market.shop.review(tmp_path / "v.jsonl") as app, served(app, entered=False) as client:
        watched = Watched(browser)
        page = watched.page
        page.goto(client.address)
        page.goto(f"http://{client.host}/?open={copied}")
        expect(page.locator("#said")).to_contain_text("points match, the listing's photo is mirrored")
        assert "mirrored" in str(page.locator("#listing-photo").get_attribute("class"))
        expect(page.locator("#listing-caption")).to_have_text("Listing, shown mirrored")
        page.keyboard.press("m")
        assert page.locator("#overlay line").count() > 10
        page.keyboard.press("m")
        assert page.locator("#overlay line").count() == 0
        page.keyboard.down(" ")
        expect(page.locator("#blink")).to_be_visible()
        expect(page.locator("#blink-name")).to_have_text("Listing")
        expect(page.locator("#blink-name")).to_have_text("Genuine")
        page.keyboard.up(" ")
        expect(page.locator("#blink")).to_be_hidden()
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        moved = {page.locator(f"#{pane} .sheet").get_attribute("style") for pane in ("listing-pane", "genuine-pane")}
        assert len(moved) == 1 and "scale(1.5)" in str(moved), "both photos are zoomed alike"
        page.keyboard.press("2")
        expect(page.locator("[data-candidate='1']")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("[data-verdict=other_product]")).to_contain_text("It is ")
        press(page, "o")
        watched.close()
    assert verdict_file(tmp_path / "v.jsonl").entries()[0].said.instead_product is not None


def tour(page: Page, host: str) -> Iterator[str]:
    """Every page and dialog of the review, one after the other."""
    from playwright.sync_api import expect

    page.locator("#stage").wait_for()
    expect(page.locator("#said")).not_to_contain_text("Comparing")
    yield "finding"
    for key, name in (("?", "keys"), ("t", "note"), ("r", "recent")):
        page.keyboard.press(key)
        page.locator(f"dialog#{name}[open]").wait_for()
        yield name
        page.keyboard.press("Escape")
    page.goto(f"http://{host}/live")
    page.locator("#promise").wait_for()
    page.get_by_role("button", name="Compare").click()
    page.locator("#diff table, #alert:not([hidden])").first.wait_for()
    yield "live"
    page.goto(f"http://{host}/cases")
    page.locator("[data-seller]").first.wait_for()
    yield "cases"


EVERY_TWO = [  # of size, colours and order are together in one
    pytest.param(DESK, "light", Mode.TRIAGE, id="desk"),
    pytest.param(DESK, "dark", Mode.AUDIT, id="desk, dark"),
    pytest.param(PHONE, "light", Mode.AUDIT, id="phone"),
    pytest.param(PHONE, "dark", Mode.TRIAGE, id="phone, dark"),
]


@pytest.mark.parametrize(("size", "colours", "mode"), EVERY_TWO)
def test_no_page_violates_axe_or_overflows(
    browser: Browser, shop: Shop, tmp_path: Path, size: dict[str, int], colours: Any, mode: Mode
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with shop.review(tmp_path / "v.jsonl", mode=mode, size=3) as app, served(app, entered=False) as client:
        watched = Watched(browser, viewport=size, color_scheme=colours)
        page = watched.page
        page.goto(client.address)
        page.locator("#stage").wait_for()
        for _ in range(3 if mode is Mode.AUDIT else 1):
            press(page, "l")
        if mode is Mode.AUDIT:
            page.locator(".empty").wait_for()
            assert Axe().run(page).response["violations"] == []
            page.goto(f"http://{client.host}/?open=0")
        found = {}
        for name in tour(page, client.host):
            found[name] = [each["id"] for each in Axe().run(page).response["violations"]]
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
            if name == "finding" and size["width"] > 1000:
                assert page.evaluate("document.documentElement.scrollHeight") <= size["height"]
        assert [name for name, rules in found.items() if rules] == [], found
        watched.troubles = [each for each in watched.troubles if "400" not in each]  # comparing without a promise
        watched.close()


def test_payloads_in_every_field_run_nothing(browser: Browser, shop: Shop, tmp_path: Path) -> None:
    payload = '"\'><img src=x onerror="window.ran=1"><script>window.ran=1</script><svg onload=window.ran=1>{{7*7}}'
    rows: list[dict[str, Any]] = [dict(row) for row in read_findings(shop.findings)][:4]
    for row in rows:
        row.update(
            listing_id=f"{row['listing_id']}{payload}", title=payload, seller_id=payload, brand=payload,
            product_id=payload, currency=payload, territory=payload, error=payload, hint=payload, rights=payload, url=f"https://a/{payload}",
        )  # fmt: skip
        named = dict.fromkeys(("reference_id", "product_id", "brand"), payload)
        row["candidates"] = json.dumps([each | named for each in json.loads(str(row["candidates"]))])
    write_findings(rows, tmp_path / "f.jsonl")
    poisoned = Shop(tmp_path / "f.jsonl", shop.index, shop.policy)
    with poisoned.review(tmp_path / "v.jsonl", who=payload) as app, served(app, entered=False) as client:
        watched = Watched(browser)
        page = watched.page
        page.goto(client.address)
        page.locator("#stage").wait_for()
        page.keyboard.press("t")
        page.keyboard.type("<img src=x onerror='window.ran=1'>")
        page.keyboard.press("Enter")
        press(page, "l")
        page.keyboard.press("2")
        for _ in tour(page, client.host):
            assert page.evaluate("window.ran === undefined")
            assert page.locator("img[src=x], script:not([src]), svg[onload]").count() == 0
        assert page.locator("[data-seller] h2").first.inner_text() == payload
        watched.troubles = [each for each in watched.troubles if "400" not in each]  # comparing without a promise
        watched.close()


def test_letters_can_be_turned_off_as_keys(browser: Browser, shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app, entered=False) as client:
        watched = Watched(browser)
        page = watched.page
        page.goto(client.address)
        page.locator("#stage").wait_for()
        page.locator("#help").click()
        page.locator("#letters").uncheck()
        page.keyboard.press("Escape")
        page.reload()
        page.locator("#stage").wait_for()
        before = place_of(page)
        for key in ("l", "2", "?"):
            page.keyboard.press(key)
        assert page.locator("dialog[open]").count() == 0
        assert page.locator("[data-candidate='1'][aria-pressed=true]").count() == 0
        page.locator("[data-verdict=lookalike]").click()
        page.wait_for_function("before => document.documentElement.dataset.place !== before", arg=before)
        page.locator("#help").click()
        page.locator("#letters").check()
        page.keyboard.press("Escape")
        press(page, "n")
        watched.close()
    assert [entry.said.verdict for entry in verdict_file(tmp_path / "v.jsonl").entries()] == [
        "lookalike",
        "not_lookalike",
    ]


def test_when_the_review_has_ended_the_page_says_so_and_keeps_the_finding(
    browser: Browser, shop: Shop, tmp_path: Path
) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app, entered=False) as client:
        watched = Watched(browser)
        page = watched.page
        page.goto(client.address)
        page.locator("#stage").wait_for()
        before = place_of(page)
    page.keyboard.press("l")
    page.locator("#alert:not([hidden])").wait_for()
    assert "The review is not running any more" in page.locator("#alert").inner_text()
    assert place_of(page) == before
    watched.context.close()
    assert not (tmp_path / "v.jsonl").exists()
