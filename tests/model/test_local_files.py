"""Files are read only from the folders that may be read, whatever a path or link claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.errors import ImageReadError
from lookalike.model import local_files
from lookalike.model.sources import Access, read_source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos, beside a secret."""
    (tmp_path / "photos" / "shop").mkdir(parents=True)
    (tmp_path / "photos" / "shop" / "a.jpg").write_bytes(b"picture")
    (tmp_path / "photos-private").mkdir()
    (tmp_path / "photos-private" / "b.jpg").write_bytes(b"secret")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return tmp_path / "photos"


def reason(source: str | Path, access: Access) -> str:
    with pytest.raises(ImageReadError) as caught:
        read_source(source, access=access)
    return caught.value.reason


def test_reads_what_lies_in_a_root_by_any_of_its_names(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(roots=(photos,), schemes=frozenset({"file"}))
    (photos.parent / "alias").symlink_to(photos)
    (photos / "link.jpg").symlink_to("shop/a.jpg")
    monkeypatch.chdir(photos.parent)
    for name in (photos / "shop/a.jpg", "photos/shop/a.jpg", "alias/shop/a.jpg", photos / "link.jpg",
                 f"{photos}/shop/../shop/./a.jpg", f"file://{photos}/shop/a.jpg"):  # fmt: skip
        assert read_source(name, access=access) == b"picture"
    assert read_source(b"bytes", access=access) == b"bytes"
    assert read_source("photos/shop/a.jpg", access=Access(roots=("elsewhere", "photos"))) == b"picture"


def test_reads_nothing_outside_the_roots_by_any_name(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(roots=(photos,), schemes=frozenset({"file", "local"}))
    (photos / "link.jpg").symlink_to("../secret.jpg")
    (photos / "folder").symlink_to("..")
    (photos / "twice.jpg").symlink_to("link.jpg")
    monkeypatch.chdir(photos.parent)
    with open(photos.parent / "secret.jpg", "rb") as held:
        for name in (photos.parent / "secret.jpg", "secret.jpg", photos / "../secret.jpg", photos / "link.jpg",
                     photos / "folder/secret.jpg", photos / "twice.jpg", photos.parent / "photos-private/b.jpg",
                     f"file://{photos.parent}/secret.jpg", f"local://{photos}/%2e%2e/secret.jpg", "/etc/passwd",
                     f"/proc/self/fd/{held.fileno()}", f"/proc/self/root{photos.parent}/secret.jpg",
                     f"/dev/fd/{held.fileno()}", "/dev/zero"):  # fmt: skip
            assert reason(name, access) == "not_allowed", name


def test_a_refusal_does_not_tell_whether_the_file_exists(photos: Path) -> None:
    access = Access(roots=(photos,))
    said = []
    for name in ("secret.jpg", "no.jpg"):
        with pytest.raises(ImageReadError, match="allow its folder with --photos-under") as caught:
            read_source(photos.parent / name, access=access)
        said.append(str(caught.value).removeprefix(str(photos.parent / name)))
    assert said[0] == said[1]
    assert reason(photos / "no.jpg", access) == "missing"


def test_a_link_put_in_the_way_after_the_check_leads_nowhere(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = local_files._walk
    (photos / "c.jpg").write_bytes(b"picture")

    def swapped(base: Path, parts: tuple[str, ...]) -> int:
        (photos / "shop" / "a.jpg").unlink()
        (photos / "shop").rmdir()
        (photos / "shop").symlink_to(photos.parent / "photos-private")
        (photos / "c.jpg").unlink()
        (photos / "c.jpg").symlink_to(photos.parent / "secret.jpg")
        return walk(base, parts)

    monkeypatch.setattr(local_files, "_walk", swapped)
    (photos / "shop" / "b.jpg").write_bytes(b"picture")
    (photos / "shop" / "b.jpg").rename(photos / "shop" / "a.jpg")
    assert reason(photos / "shop" / "a.jpg", Access(roots=(photos,))) == "unreadable"
    (photos / "shop").unlink()
    (photos / "shop").mkdir()
    (photos / "shop" / "a.jpg").touch()
    (photos / "c.jpg").unlink()
    (photos / "c.jpg").write_bytes(b"picture")
    assert reason(photos / "c.jpg", Access(roots=(photos,))) == "unreadable"


def test_without_following_links_step_by_step_the_real_path_is_checked_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "_NO_LINK", 0)  # as on Windows
    assert read_source(photos / "shop/a.jpg", access=Access(roots=(photos,))) == b"picture"
    opened = local_files._open_unmoved

    def swapped(path: Path) -> int:
        path.unlink()
        path.symlink_to(photos.parent / "secret.jpg")
        return opened(path)

    monkeypatch.setattr(local_files, "_open_unmoved", swapped)
    assert reason(photos / "shop/a.jpg", Access(roots=(photos,))) == "unreadable"


def test_leaves_no_descriptor_open(photos: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("shop/a.jpg", "shop/no.jpg", "shop", "../secret.jpg", "shop/a.jpg/b"):
        try:
            read_source(photos / name, access=Access(roots=(photos,)))
        except ImageReadError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_roots_are_no_files_and_local_files_can_be_ruled_out(photos: Path) -> None:
    files = frozenset({"file", "local"})
    for access in (
        Access(roots=(), schemes=files),
        Access(local=False, schemes=files),
        Access(local=False, roots=(photos,)),
    ):
        assert reason(photos / "shop/a.jpg", access) == "not_allowed"
    assert reason(f"file://{photos}/shop/a.jpg", Access(local=False, schemes=files)) == "not_allowed"
    assert read_source(b"bytes", access=Access(local=False)) == b"bytes"


def test_roots_stay_where_they_were_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    access = Access(roots="photos")
    monkeypatch.chdir("/")
    assert read_source(photos / "shop/a.jpg", access=access) == b"picture"
    assert access == Access(roots=[photos])
    assert hash(access) == hash(Access(roots=(str(photos),)))
