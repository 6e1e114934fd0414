"""What may be read of photos, and within which limits, is the same set of options in every command that reads them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from toy import save_pictures

from lookalike.model.images import ImageLimits
from lookalike.model.sources import Access
from lookalike.scripts.cli import main
from lookalike.scripts.options import PhotoOptions
from lookalike.tables.findings import read_findings


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index, its photos, and a photo elsewhere."""
    folder = tmp_path_factory.mktemp("shop")
    for at, path in enumerate(save_pictures(folder / "photos", 4)):
        with Image.open(path) as image:
            image.resize((600, 600), Image.Resampling.NEAREST).save(folder / "photos" / f"{at}.png")
    rows = "".join(f"r{i},photos/{i}.png,p{i},Brand\n" for i in range(4))
    (folder / "references.csv").write_text("reference_id,image,product_id,brand\n" + rows)
    (folder / "secret.png").write_bytes((folder / "photos" / "0.png").read_bytes())
    (folder / "photos" / "link.png").symlink_to("../secret.png")
    assert main(["build", str(folder / "references.csv"), "--index", str(folder / "index"), "--quiet"]) == 0
    return folder


def scanned(shop: Path, tmp_path: Path, images: list[str], *more: str) -> list[dict[str, Any]]:
    table = shop / f"{tmp_path.name}.csv"
    table.write_text("listing_id,image\n" + "".join(f"L{i},{image}\n" for i, image in enumerate(images)))
    main(["scan", str(table), "--index", str(shop / "index"), "--out", str(tmp_path / "f.csv"), "--quiet", *more])
    return list(read_findings(tmp_path / "f.csv"))


def test_without_options_the_reader_is_that_of_the_library() -> None:
    reader = PhotoOptions().reader()
    assert (reader.access, reader.limits) == (Access(), ImageLimits())


def test_each_option_arrives() -> None:
    given = PhotoOptions(
        allow_scheme=["https"], allow_private=True, photos_under=[Path("/a"), Path("/b")], header=["X-Key: a:b"],
        header_host=["example.com"], user_agent="bot", timeout=2.0, retries=0, max_redirects=1, max_bytes=5,
        max_megapixels=0.5, max_side_ratio=3.0, max_memory=7, accept_truncated=True,
    ).reader()  # fmt: skip
    assert given.access == Access(
        schemes=frozenset({"https"}), private=True, max_bytes=5, timeout=2.0, max_redirects=1, roots=("/a", "/b"),
        retries=0, headers={"X-Key": "a:b"}, header_hosts=frozenset({"example.com"}), user_agent="bot",
    )  # fmt: skip
    assert given.limits == ImageLimits(max_pixels=500_000, max_side_ratio=3.0, truncated=True, max_memory=7 * 2**20)


def test_reads_only_photos_under_the_folders_that_are_named(shop: Path, tmp_path: Path) -> None:
    images = [f"{shop}/photos/0.png", f"{shop}/secret.png", f"{shop}/photos/link.png", f"{shop}/photos/../secret.png"]
    found = scanned(shop, tmp_path, images, "--photos-under", str(shop / "photos"))
    assert [row["verdict"] for row in found] == ["flagged", *["unreadable"] * 3]
    assert all("allow its folder with --photos-under" in row["error"] for row in found[1:])


def test_other_commands_keep_to_the_folders_as_well(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, secret = str(shop / "index"), str(shop / "secret.png")
    under = ["--photos-under", str(shop / "photos")]
    (tmp_path / "more.csv").write_text(f"reference_id,image,product_id,brand\nx,{secret},p,B\n")
    (tmp_path / "labels.csv").write_text(f"image,product_id,lookalike\n{secret},p0,true\n")
    scanned(shop, tmp_path, [secret])
    findings = str(tmp_path / "f.csv")
    capsys.readouterr()
    for call, status in (
        (["check", secret, "--index", index], 1),
        (["explain", secret, "--index", index, "--out", str(tmp_path / "p.png")], 2),
        (["add", str(tmp_path / "more.csv"), "--index", index], 2),
        (["build", str(tmp_path / "more.csv"), "--index", str(tmp_path / "new")], 2),
        (["evaluate", str(tmp_path / "labels.csv"), "--index", index], 2),
    ):
        assert main([*call, *under]) == status, call
        assert "--photos-under" in capsys.readouterr().err.replace("\n", " "), call
    assert main(["bundle", findings, "--index", index, "--out", str(tmp_path / "b"), *under]) == 1
    assert not list((tmp_path / "b").rglob("listing.*"))
    assert main(["report", findings, "--out", str(tmp_path / "r.html"), *under]) == 0
    assert "no picture" in (tmp_path / "r.html").read_text()


def test_every_command_that_is_given_a_scheme_takes_all_of_them() -> None:
    taking = [name for name in ("add", "build", "bundle", "cases", "check", "evaluate", "explain", "report", "rescan",
                                "scan", "tune") if "PhotoOptions" in inspect.getsource(import_module(
                                    f"lookalike.scripts.{name}"))]  # fmt: skip
    assert len(taking) == 11


def test_a_collage_with_a_copied_photo_is_not_clear_without_a_word(shop: Path, tmp_path: Path) -> None:
    collage = Image.new("RGB", (600, 3600), "white")
    with Image.open(shop / "photos" / "2.png") as image:
        collage.paste(image, (0, 3000))
    collage.save(tmp_path / "collage.png")
    collage.save(tmp_path / "collage.jpg")
    for found in scanned(shop, tmp_path, [f"{tmp_path}/collage.png", f"{tmp_path}/collage.jpg"]):
        assert "its longer side was squeezed to 17%" in found["hint"]


@pytest.mark.parametrize("header", ["no colon", "a b:c", ":x"])
def test_a_header_that_cannot_be_sent_is_one_line(shop: Path, header: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "x.png", "--index", str(shop / "index"), "--header", header]) == 2
    assert capsys.readouterr().err.count("\n") == 1
