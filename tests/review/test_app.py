"""What the page is told: findings with their numbers and photos, what comes next, and nothing unescaped."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from reviewed import POLICY, Client, Shop, served, shop_in

from lookalike.review.cards import matches_in
from lookalike.tables.findings import read_findings, write_findings
from lookalike.tables.verdicts import Judgement, verdict_file


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 30)


@pytest.fixture
def client(shop: Shop, tmp_path: Path) -> Iterator[Client]:
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as opened:
        yield opened


def words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def test_a_finding_shows_its_number_beside_both_thresholds(shop: Shop, client: Client) -> None:
    state = client.json("/next")
    row = list(read_findings(shop.findings))[state["place"]]
    assert (
        f"{row['similarity']:.3f} similarity · flag from {POLICY.flag:.3f} · review from {POLICY.review:.3f}"
        in words(state["html"])
    )
    assert f"{row['price']:.2f} EUR" in words(state["html"]) and "of the brand's median here" in words(state["html"])
    assert f"{row['seller_id']} , 5 other findings" in words(state["html"])
    assert (state["judged"], state["perHour"], len(state["coming"])) == (0, None, 3)


def test_a_verdict_brings_the_next_finding_that_was_announced(client: Client, tmp_path: Path) -> None:
    first = client.json("/next")
    second = client.json("/verdict", {"place": first["place"], "verdict": "lookalike", "seconds": 2.34})
    assert second["place"] == first["coming"][0] and second["judged"] == 1
    assert "look-alike" in words(second["recent"])
    assert verdict_file(tmp_path / "v.jsonl").entries()[0].said.seconds == 2.3
    assert client.json("/undo", {})["place"] == first["place"]
    assert client.json("/skip", {"place": first["place"]})["place"] == second["place"]


def test_after_the_last_finding_nothing_is_shown(client: Client) -> None:
    state = client.json("/next")
    while state["place"] is not None:
        state = client.json("/verdict", {"place": state["place"], "verdict": "not_lookalike"})
    assert (state["html"], state["coming"]) == ("", []) and state["judged"] == state["total"]
    assert client.json("/finding/0")["place"] == 0, "and any finding can still be opened"


def test_it_is_this_one_names_the_candidate_that_is_shown(shop: Shop, client: Client, tmp_path: Path) -> None:
    place = client.json("/next")["place"]
    matches = matches_in(list(read_findings(shop.findings))[place])
    assert len(matches) > 2
    client.json("/verdict", {"place": place, "verdict": "other_product", "instead": 2})
    said = verdict_file(tmp_path / "v.jsonl").entries()[0].said
    reference = matches[2].reference
    assert (said.instead_product, said.instead_brand) == (reference.product, reference.brand)
    assert (said.product, said.brand) == (matches[0].reference.product, matches[0].reference.brand)


def test_photos_come_from_the_files_encoded_again_and_only_those_of_findings(shop: Shop, client: Client) -> None:
    row = list(read_findings(shop.findings))[3]
    for path, source in (("/photo/3/0.jpg", row["image"]), ("/genuine/3/0.jpg", row["reference_image"])):
        status, headers, body = client.ask(path)
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert body != Path(str(source)).read_bytes()
        with Image.open(io.BytesIO(body)) as shown, Image.open(str(source)) as original:
            assert shown.size == original.size
    for path in (
        "/photo/3/9.jpg",
        "/photo/99/0.jpg",
        "/genuine/3/99.jpg",
        "/photo/..%2f..%2fetc/0.jpg",
        "/assets/..%2fhtml.py",
    ):
        assert client.ask(path)[0] in (400, 404), path


def test_with_the_listings_table_all_photos_of_a_listing_are_shown(shop: Shop, tmp_path: Path) -> None:
    row = next(iter(read_findings(shop.findings)))
    other = list(read_findings(shop.findings))[1]["image"]
    (tmp_path / "l.csv").write_text(f"listing_id,image\nL0,{row['image']}\nL0,{other}\n")
    with shop.review(tmp_path / "v.jsonl", listings=tmp_path / "l.csv") as app, served(app) as client:
        assert client.json("/finding/0")["html"].count("data-photo=") == 2
        assert client.ask("/photo/0/1.jpg")[2] == client.ask("/photo/1/0.jpg")[2]


def test_a_photo_that_changed_or_is_gone_is_said_so(tmp_path: Path) -> None:
    shop = shop_in(tmp_path, 8)
    rows = list(read_findings(shop.findings))
    Image.new("RGB", (40, 40), "green").save(str(rows[0]["image"]))
    Path(str(rows[1]["image"])).unlink()
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        assert client.json("/evidence/0/0.json")["changed"] is True
        assert client.json("/evidence/2/0.json")["changed"] is False
        assert "error" in client.json("/evidence/1/0.json")
        assert client.ask("/photo/1/0.jpg")[0] == 404


class Tags(HTMLParser):
    """What a browser would make of a page: the names of its tags, and of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]


PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "{{ 7919 * 7919 }}",
    "' onmouseover='alert(1)",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_in_every_field_stay_text(shop: Shop, tmp_path: Path, payload: str) -> None:
    harmless = {}
    for name, text in (("harmless", "plain"), ("payload", payload)):
        rows: list[dict[str, Any]] = [dict(row) for row in read_findings(shop.findings)][:3]
        for row in rows:
            row.update(
                listing_id=f"{row['listing_id']}{text}", title=text, seller_id=text, brand=text, product_id=text,
                currency=text, territory=text, error=text, hint=text, rights=text, kind=text,
                url=f"https://example.com/{text}",
            )  # fmt: skip
            named = dict.fromkeys(("reference_id", "product_id", "brand"), text)
            row["candidates"] = json.dumps([each | named for each in json.loads(str(row["candidates"]))])
        write_findings(rows, tmp_path / f"{name}.jsonl")
        poisoned = Shop(tmp_path / f"{name}.jsonl", shop.index, shop.policy)
        with poisoned.review(tmp_path / f"{name}-v.jsonl", who=f"anna {text}") as app, served(app) as client:
            state = client.json("/next")
            client.json("/verdict", {"place": state["place"], "verdict": "lookalike", "note": text})
            pages = [client.ask(path)[2].decode() for path in ("/", "/live", "/live/figures?precision=0.9", "/cases")]
            pages += [client.json("/finding/0")["html"], client.json("/next")["html"], client.json("/next")["recent"]]
            pages += [client.json(f"/finding/{state['place']}")["html"]]
        parsed = Tags("".join(pages))
        harmless[name] = (parsed.tags, parsed.attributes)
        starts = ("https://example.com/", "assets/", "photo/", "genuine/", "./", "live", "cases")
        assert [link for link in parsed.links if link and not link.startswith(starts)] == []
        assert str(7919 * 7919) not in "".join(pages)
    assert harmless["payload"] == harmless["harmless"], "the payload made a tag or an attribute"


def test_a_link_that_is_no_web_address_is_left_out(shop: Shop, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [dict(row) | {"url": "javascript:alert(1)"} for row in read_findings(shop.findings)]
    write_findings(rows, tmp_path / "f.jsonl")
    with Shop(tmp_path / "f.jsonl", shop.index, shop.policy).review(tmp_path / "v.jsonl") as app, served(app) as client:
        assert "javascript:" not in client.json("/next")["html"]


_SERVE = """
import sys
from lookalike.scripts.cli import main
sys.exit(main(["review", *sys.argv[1:]]))
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed as on POSIX")
def test_a_kill_at_any_moment_loses_at_most_the_verdict_in_flight(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "v.jsonl"
    kept = 0
    for round_ in range(4):
        options = {"--index": shop.index, "--policy": shop.policy, "--verdicts": file, "--who": "anna"}
        call = [
            sys.executable,
            "-c",
            _SERVE,
            str(shop.findings),
            "--quiet",
            *(str(x) for o in options.items() for x in o),
        ]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip())
        client.enter()
        answered = 0
        killer = threading.Timer(0.15 + round_ * 0.07, process.send_signal, [signal.SIGKILL])
        killer.start()
        try:
            state = client.json("/next")
            while True:
                client.json("/verdict", {"place": state["place"] or 0, "verdict": "unsure", "note": f"round {round_}"})
                answered += 1
        except (OSError, ValueError, http.client.HTTPException):
            pass  # it was killed
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        killer.join()
        whole = (
            [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
            if file.exists()
            else []
        )
        assert kept + answered <= len(whole) <= kept + answered + 1
        kept = len(whole)
    with shop.review(file) as app:
        app.session.judge(0, Judgement.LOOKALIKE)
    assert len(verdict_file(file).entries()) == kept + 1
    assert kept > 4, "the kills came before anything was judged"


def test_a_service_can_mount_the_review_under_any_address(shop: Shop, tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    class Mounted:
        def __init__(self, app: Any) -> None:
            self.app = app

        def application(self) -> Starlette:
            return Starlette(routes=[Mount("/brands/review", self.app.application())])

    with shop.review(tmp_path / "v.jsonl") as app, served(Mounted(app)) as client:  # type: ignore[arg-type]
        text = client.ask("/brands/review/")[2].decode()
        links = re.findall(r'(?:href|src)="([^"]*)"', text) + re.findall(
            r'src="([^"]*)"', client.json("/brands/review/next")["html"]
        )
        assert len(links) > 6
        for link in links:
            assert not link.startswith("/"), "relative to where it is mounted"
            assert client.ask(f"/brands/review/{link.removeprefix('./')}")[0] == 200, link


def test_photos_are_no_larger_than_the_page_shows_them(tmp_path: Path) -> None:
    shop = shop_in(tmp_path, 8)
    row = next(iter(read_findings(shop.findings)))
    Image.new("RGB", (3000, 2000), "green").save(str(row["image"]))
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        for path, size in (("/photo/0/0.jpg", (1600, 1067)), ("/photo/0/0.jpg?small", (240, 160))):
            with Image.open(io.BytesIO(client.ask(path)[2])) as shown:
                assert shown.size == size
