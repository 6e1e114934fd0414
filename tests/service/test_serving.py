"""What is open is replaced as a whole when its files change; a failure keeps the old, and the old goes in the end."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving import POLICY, Place, place_in
from toy import ToyEncoder, save_pictures

from lookalike.errors import LookalikeError
from lookalike.index.build import add_harmless, add_references, remove_references
from lookalike.records import Reference
from lookalike.rights.rights import Rights
from lookalike.service import serving
from lookalike.service.serving import Holder, Serving


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


@pytest.fixture
def holder(place: Place) -> Holder:
    opened = Holder(place.settings(), encoder=ToyEncoder())
    opened.open()
    return opened


def add(place: Place, name: str, seed: int = 7) -> None:
    picture = save_pictures(place.folder / "more", 1, seed=seed)[0]
    add_references([Reference(name, name, "Acme", picture)], index=place.index, encoder=ToyEncoder())


def remove(place: Place) -> None:
    remove_references(index=place.index, references=["r0"])


def harmless(place: Place) -> None:
    add_harmless([Reference("h", "h", "", place.pictures[0])], index=place.index, encoder=ToyEncoder())


def policy(place: Place) -> None:
    replace(POLICY, flag=0.95).save(place.policy)


@pytest.mark.parametrize("change", [lambda place: add(place, "new"), remove, harmless, policy])
def test_a_change_is_opened_once_and_nothing_else_is(
    place: Place, holder: Holder, change: Callable[[Place], None]
) -> None:
    before = holder.borrow()
    assert not holder.refresh() and holder.borrow() is before
    change(place)
    assert holder.refresh() and not holder.refresh()
    assert holder.borrow().versions != before.versions
    assert (holder.reloads, holder.failures) == (1, 0)


def test_files_that_say_the_same_as_before_change_nothing(place: Place, holder: Holder) -> None:
    before = holder.borrow()
    place.policy.write_text(place.policy.read_text() + "\n")
    assert not holder.refresh() and holder.borrow() is before


def test_who_borrowed_the_old_keeps_it_and_it_goes_with_the_last(place: Place, holder: Holder) -> None:
    mine = holder.borrow()
    digest = mine.versions.index
    gone = weakref.ref(mine)
    add(place, "new")
    holder.refresh()
    assert (mine.versions.index, mine.detector.index.digest) == (digest, digest)
    assert mine.detector.index.reference("new") is None
    assert holder.borrow().detector.index.reference("new") is not None
    assert holder.versions_open == 2
    del mine
    gc.collect()
    assert gone() is None and holder.versions_open == 1


def test_the_next_state_shares_the_encoder(place: Place, holder: Holder) -> None:
    encoder = holder.borrow().detector.encoder
    add(place, "new")
    holder.refresh()
    assert holder.borrow().detector.encoder is encoder


def break_policy(place: Place) -> None:
    place.policy.write_text("[thresholds]\nflag = 2\n")


def break_index(place: Place) -> None:
    next(place.index.glob("vectors-*")).write_bytes(b"x")
    (place.index / "manifest.json").touch()


def forget_index(place: Place) -> None:
    (place.index / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [break_policy, break_index, forget_index])
def test_what_cannot_be_opened_is_counted_and_the_old_stays(
    place: Place, holder: Holder, damage: Callable[[Place], None]
) -> None:
    before = holder.borrow()
    damage(place)
    time.sleep(0.01)
    assert not holder.refresh()
    assert holder.borrow() is before
    assert holder.failures == 1 and holder.error
    assert not holder.refresh() and holder.failures == 1, "it is not tried again before anything changes"
    with pytest.raises(LookalikeError):
        holder.refresh(force=True)
    assert holder.borrow() is before and holder.failures == 2


def test_after_a_failure_the_next_change_is_opened(place: Place, holder: Holder) -> None:
    break_policy(place)
    holder.refresh()
    policy(place)
    assert holder.refresh()
    assert holder.error is None and holder.borrow().policy.flag == 0.95


def test_loading_that_failed_is_tried_again_after_a_while(
    place: Place, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Serving:
        raise OSError("too many open files")

    policy(place)
    with monkeypatch.context() as patch:
        patch.setattr(serving, "load", fails)
        holder.refresh()
    assert (holder.failures, holder.error) == (1, "too many open files")
    assert not holder.refresh()
    monkeypatch.setattr(serving, "_AGAIN", 0.0)
    assert holder.refresh() and holder.borrow().policy.flag == 0.95


def test_what_fails_its_self_check_is_not_opened(place: Place, holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    add(place, "new")
    encoder = holder.borrow().detector.encoder
    monkeypatch.setattr(type(encoder), "embed", lambda *_: np.full((1, 28), np.nan, np.float32))
    before = holder.borrow()
    assert not holder.refresh()
    assert holder.borrow() is before and holder.failures == 1


def test_nothing_open_is_said(place: Place) -> None:
    with pytest.raises(LookalikeError, match="nothing is open yet"):
        Holder(place.settings(), encoder=ToyEncoder()).borrow()


def test_rights_are_taken_into_account_and_opened_again(place: Place) -> None:
    table = place.folder / "rights.csv"
    head = "brand,kind,number,territory,valid_from,valid_until\n"
    table.write_text(f"{head}Acme,copyright,1,DE,,\n")
    holder = Holder(place.settings(rights=table), encoder=ToyEncoder())
    holder.open()
    assert isinstance(holder.borrow().detector.rights, Rights)
    before = holder.borrow()
    table.write_text(f"{head}Acme,copyright,1,FR,,\n")
    assert holder.refresh()
    assert holder.borrow().versions.rights != before.versions.rights
