"""A history is only added to; whatever else is done to it shows, and which entry it was done to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lookalike.cases.history import Decisions, History, Undecided, add_entry, apply_history, verify_history
from lookalike.cases.statements import Answer, Outcome, Statement
from lookalike.chain import canonical
from lookalike.errors import HistoryError
from lookalike.scripts.history import main

DAY = date(2026, 11, 24)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A history of six entries."""
    path = tmp_path / "history.jsonl"
    for number in range(1, 7):
        add_entry(path, Statement("anna", f"letter {number}", Answer.LICENCE, seller=f"s{number}"))
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def named(path: Path, *, seal: str | None = None) -> list[str]:
    return [str(disagreement) for disagreement in verify_history(path, seal=seal).disagreements]


def test_a_history_that_was_only_added_to_holds(file: Path) -> None:
    audit = verify_history(file)
    assert (audit.entries, audit.disagreements) == (6, ())
    assert audit.seal == History.load(file).seal
    assert [entry.said.seller for entry in History.load(file).entries] == [f"s{n}" for n in range(1, 7)]


def cut(file: list[bytes]) -> list[bytes]:
    return file[:2] + file[3:]


def change(file: list[bytes]) -> list[bytes]:
    return [line.replace(b"letter 3", b"letter 9") for line in file]


def swap(file: list[bytes]) -> list[bytes]:
    return [file[0], file[1], file[3], file[2], *file[4:]]


def repeat(file: list[bytes]) -> list[bytes]:
    return [*file[:3], file[2], *file[3:]]


def spoil(file: list[bytes]) -> list[bytes]:
    return [*file[:2], b"{]\n", *file[3:]]


def respace(file: list[bytes]) -> list[bytes]:
    return [*file[:2], file[2].replace(b'":', b'": ', 1), *file[3:]]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (cut, ["entry 3: missing: cut out"]),
        (change, ["entry 3 (seller s3): it was changed: its hash is different"]),
        (
            swap,
            [
                "entry 4 (seller s4): it was moved: it is in line 3, where entry 3 belongs",
                "entry 3 (seller s3): it was moved: it is in line 4, where entry 4 belongs",
            ],
        ),
        (
            spoil,
            [
                "line 3: it was changed: it can't be read as an entry",
                "entry 3: missing: cut out, unless it is in a line that can't be read",
            ],
        ),
        (respace, ["entry 3 (seller s3): its text is not as it was written"]),
    ],
)
def test_verify_names_each_line_that_was_tampered_with(
    file: Path, tamper: Callable[[list[bytes]], list[bytes]], expected: list[str]
) -> None:
    file.write_bytes(b"".join(tamper(lines(file))))
    said = named(file)
    assert len(said) == len(expected)
    assert all(text.startswith(start) for text, start in zip(said, expected, strict=True)), said
    with pytest.raises(HistoryError, match="not as it was written"):
        History.load(file)
    with pytest.raises(HistoryError, match="lookalike history verify"):
        add_entry(file, Statement("anna", "more", seller="s7"))


def test_an_entry_put_in_twice_is_named(file: Path) -> None:
    file.write_bytes(b"".join(repeat(lines(file))))
    assert "entry 3: it is there more than once" in named(file)


def test_an_entry_written_anew_with_its_hash_shows_in_the_one_after_it(file: Path) -> None:
    entry = History.load(file).entries[2]
    forged = replace(entry, said=replace(entry.said, why="another"))
    forged = replace(forged, hash=forged.computed_hash())
    all_lines = lines(file)
    all_lines[2] = canonical(forged.to_json()).encode() + b"\n"
    file.write_bytes(b"".join(all_lines))
    assert [text.split(":")[0] for text in named(file)] == ["entry 4 (seller s4)"]


def test_a_tail_cut_off_shows_by_the_seal_only(file: Path) -> None:
    seal = History.load(file).seal
    file.write_bytes(b"".join(lines(file)[:4]))
    assert named(file) == []
    assert "cut off" in named(file, seal=seal)[0]


def test_a_seal_noted_earlier_says_how_many_came_after(file: Path) -> None:
    seal = History.load(file).seal
    add_entry(file, Statement("ben", "more", seller="s7"))
    audit = verify_history(file, seal=seal)
    assert (audit.disagreements, audit.since_seal) == ((), 1)


def test_a_line_that_a_kill_left_unfinished_is_told_of_and_set_aside(file: Path) -> None:
    whole = file.read_bytes()
    unfinished = lines(file)[-1][:50].replace(b'"6"', b'"7"')
    file.write_bytes(whole + unfinished)
    assert "it is unfinished" in named(file)[0]
    with pytest.raises(HistoryError, match="it is unfinished"):
        History.load(file)
    added = add_entry(file, Statement("ben", "more", seller="s7"))
    assert added.torn is not None and added.torn.read_bytes() == unfinished + b"\n"
    assert file.read_bytes().startswith(whole)
    assert (added.entry.number, named(file)) == (7, [])


def test_a_last_entry_that_lacks_no_more_than_its_line_end_is_kept(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    added = add_entry(file, Statement("ben", "more", seller="s7"))
    assert (added.torn, added.entry.number, named(file)) == (None, 7, [])


def test_many_processes_add_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    code = (
        "import pathlib, sys, time\nimport filelock\n"
        "from lookalike.cases.history import add_entry\nfrom lookalike.cases.statements import Statement\n"
        "pathlib.Path(sys.argv[1] + sys.argv[2]).touch()\n"
        "while not pathlib.Path(sys.argv[1] + 'go').exists(): time.sleep(0.001)\n"
        "for k in range(20): add_entry(sys.argv[1], Statement('p' + sys.argv[2], f'{k}', seller='s'))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(3)]
    while not all(Path(f"{path}{n}").exists() for n in range(3)):
        time.sleep(0.01)
    Path(f"{path}go").touch()
    assert [process.wait() for process in running] == [0, 0, 0]
    entries = History.load(path).entries
    assert len(entries) == 60
    assert {(e.said.who, e.said.why) for e in entries} == {(f"p{n}", str(k)) for n in range(3) for k in range(20)}


def test_an_addition_reads_the_end_alone_while_only_additions_touched_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the whole history was read")

    with monkeypatch.context() as patched:
        patched.setattr("lookalike.ledger.read_entries", fail)
        added = add_entry(file, Statement("ben", "seen", notice=2, outcome=Outcome.ACCEPTED))
        with pytest.raises(HistoryError, match="there is no entry 8 to decide; the history has 7"):
            add_entry(file, Statement("ben", "seen", notice=8))
    assert (added.entry.number, added.entry.said.seller, named(file)) == (7, "s2", [])


def test_a_change_that_keeps_size_and_time_is_found_before_the_next_addition(file: Path) -> None:
    status = file.stat()
    file.write_bytes(b"".join(change(lines(file))))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(HistoryError, match="not as it was written"):
        add_entry(file, Statement("ben", "more", seller="s7"))


@pytest.mark.parametrize("spoilt", [None, b"", b"[1,", b"[0, 0, 0, 0]", b"{}", b"null"])
def test_without_its_checkpoint_a_history_is_read_and_checked_again(file: Path, spoilt: bytes | None) -> None:
    beside = file.with_name("history.jsonl.checked")
    beside.unlink() if spoilt is None else beside.write_bytes(spoilt)
    assert add_entry(file, Statement("ben", "more", seller="s7")).entry.number == 7
    file.write_bytes(b"".join(change(lines(file))))
    beside.unlink()
    with pytest.raises(HistoryError, match="not as it was written"):
        add_entry(file, Statement("ben", "more", seller="s8"))


def test_a_forged_checkpoint_hides_nothing_from_verify(file: Path) -> None:
    file.write_bytes(b"".join(change(lines(file))))
    status = file.stat()
    forged = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    file.with_name("history.jsonl.checked").write_text(json.dumps(forged))
    add_entry(file, Statement("ben", "more", seller="s7"))
    assert named(file) == ["entry 3 (seller s3): it was changed: its hash is different"]


def row(listing: str, seller: str | None, verdict: str = "flagged", **more: str) -> dict[str, str | None]:
    return {"listing_id": listing, "seller_id": seller, "verdict": verdict, "brand": "Acme", "territory": "DE", **more}


@pytest.mark.parametrize(
    ("answer", "outcome", "verdict"),
    [
        (Answer.LICENCE, Outcome.OPEN, "review"),
        (Answer.LICENCE, Outcome.ACCEPTED, "authorised"),
        (Answer.EXHAUSTED_RIGHT, Outcome.ACCEPTED, "authorised"),
        (Answer.OWN_PHOTOGRAPH, Outcome.ACCEPTED, "clear"),
        (Answer.OTHER, Outcome.ACCEPTED, "clear"),
        (Answer.LICENCE, Outcome.REJECTED, "flagged"),
    ],
)
def test_an_answer_changes_the_verdict_by_what_became_of_it(
    tmp_path: Path, answer: Answer, outcome: Outcome, verdict: str
) -> None:
    path = tmp_path / "h.jsonl"
    add_entry(path, Statement("anna", "contract 7", answer, outcome, seller="s1", since="2026-11-01"))
    (changed,) = apply_history([row("L1", "s1")], History.load(path), DAY)
    assert changed["verdict"] == verdict
    if verdict != "flagged":
        assert changed["verdict_before"] == "flagged"
        assert "by anna on" in changed["reason"] and "contract 7" in changed["reason"]


def test_an_answer_holds_from_its_day_to_its_last_and_where_it_says(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    said = Statement("anna", "contract", Answer.LICENCE, Outcome.ACCEPTED, seller="s1", brand="Acme", territory="DE")
    add_entry(path, replace(said, since="2026-11-10", until="2026-11-20"))
    history = History.load(path)
    days = [date(2026, 11, day) for day in (9, 10, 20, 21)]
    verdicts = [next(apply_history([row("L1", "s1")], history, day))["verdict"] for day in days]
    assert verdicts == ["flagged", "authorised", "authorised", "flagged"]
    others = [row("L1", "s2"), row("L2", "s1", territory="FR"), row("L3", "s1", brand="Other"), row("L4", None),
              row("L5", "s1", "clear"), row("L6", "s1", "unprotected")]  # fmt: skip
    assert [r["verdict"] for r in apply_history(others, history, days[1])] == [r["verdict"] for r in others]


def test_the_later_answer_decides_and_one_about_the_listing_before_one_about_the_seller(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    add_entry(path, Statement("a", "w", Answer.LICENCE, seller="s1", since="2026-11-01"))
    add_entry(path, Statement("b", "w", notice=1, outcome=Outcome.ACCEPTED, since="2026-11-05"))
    add_entry(path, Statement("c", "w", Answer.OWN_PHOTOGRAPH, Outcome.REJECTED, listing="L2", since="2026-11-02"))
    history = History.load(path)
    rows = [row("L1", "s1"), row("L2", "s1"), row("L3", "None")]
    assert [r["verdict"] for r in apply_history(rows, history, DAY)] == ["authorised", "flagged", "flagged"]
    assert [r["verdict"] for r in apply_history(rows, history, date(2026, 11, 4))] == ["review", "flagged", "flagged"]
    assert history.entries[1].said.answer is Answer.LICENCE and history.entries[1].said.seller == "s1"


@pytest.mark.parametrize(
    ("outcome", "about", "settled"),
    [
        (Outcome.ACCEPTED, {"seller": "s1"}, True),
        (Outcome.ACCEPTED, {"listing": "L1"}, True),
        (Outcome.REJECTED, {"listing": "L1"}, True),
        (Outcome.REJECTED, {"seller": "s1"}, False),
        (Outcome.OPEN, {"listing": "L1"}, False),
        (Outcome.ACCEPTED, {"seller": "s1", "brand": "Other"}, False),
    ],
)
def test_what_a_person_decided_needs_no_other_look(
    tmp_path: Path, outcome: Outcome, about: dict[str, str], settled: bool
) -> None:
    path = tmp_path / "h.jsonl"
    add_entry(path, Statement("anna", "seen", Answer.LICENCE, outcome, since="2026-11-01", **about))
    rows = Undecided([row("L1", "s1"), row("L2", "s2"), row("L3", "s1", "clear")], Decisions(History.load(path), DAY))
    assert [each["listing_id"] for each in rows] == ([] if settled else ["L1"]) + ["L2", "L3"]
    assert rows.left_out == settled
    earlier = Undecided([row("L1", "s1")], Decisions(History.load(path), date(2026, 10, 31)))
    assert len(list(earlier)) == 1, "it did not apply yet"


def test_an_answer_that_came_after_a_decision_opens_the_listing_again(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    add_entry(path, Statement("a", "w", Answer.LICENCE, Outcome.REJECTED, listing="L1", since="2026-11-01"))
    add_entry(path, Statement("b", "w", Answer.OWN_PHOTOGRAPH, listing="L1", since="2026-11-02"))
    (again,) = Undecided([row("L1", "s1")], Decisions(History.load(path), DAY))
    assert (again["verdict"], again["verdict_before"]) == ("review", "flagged")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"who": " "}, "needs a who"),
        ({"why": ""}, "needs a why"),
        ({"seller": None}, "about a listing or a seller"),
        ({"since": "yesterday"}, "write it like"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "earlier"),
        ({"why": "x" * 5000}, "more than 4,000 characters"),
        ({"notice": 9}, "no entry 9"),
    ],
)
def test_an_entry_that_says_too_little_is_refused(file: Path, values: dict[str, object], message: str) -> None:
    before = file.read_bytes()
    with pytest.raises(HistoryError, match=message):
        add_entry(file, Statement(**{"who": "a", "why": "w", "seller": "s", **values}))
    assert file.read_bytes() == before


def test_the_command_adds_shows_and_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "h.jsonl")
    told = ["--who", "anna", "--why", "contract 7\x1b[31m"]
    assert main(["add", path, "--seller", "s1", "--answer", "licence", *told]) == 0
    assert main(["add", path, "--notice", "1", "--outcome", "accepted", *told]) == 0
    seal = capsys.readouterr().out.splitlines()[-1].removeprefix("seal ")
    assert main(["show", path]) == 0
    shown = capsys.readouterr().out
    assert "2  seller s1, decides entry 1: licence (accepted)" in shown and "\x1b" not in shown
    assert main(["verify", path, "--seal", seal]) == 0
    assert "all agrees" in capsys.readouterr().out
    file = Path(path)
    file.write_bytes(lines(file)[1])
    assert main(["verify", path, "--seal", seal, "--json"]) == 1
    assert '"holds": false' in capsys.readouterr().out
    assert main(["show", path]) == 2
    assert main(["remove", path]) == 2
    assert "No such command" in capsys.readouterr().err
