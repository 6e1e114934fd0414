"""What can be known about outputs is said before anything is read, in every command."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.models import ArgumentInfo

from lookalike.errors import LookalikeError
from lookalike.scripts.cli import COMMANDS, module_of
from lookalike.scripts.command import Options
from lookalike.scripts.outputs import (
    ADAPTER,
    FIGURE,
    FILE,
    FOLDER,
    PAGE,
    PICTURE,
    POLICY,
    TABLE,
    Kind,
    require_outputs,
)

CACHE = None  # is set aside if it can't be written
EVIDENCE = Kind((".zip",))  # or a folder


@dataclass(frozen=True)
class Call:
    """A command with all paths that it takes; those it reads are positional if they are in capitals."""

    outputs: dict[str, Kind | None]
    inputs: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def words(self, command: str, chosen: dict[str, object]) -> list[str]:
        """The command line with these paths, and for the others names of nothing."""
        words = [*command.split(), *self.more]
        for name in (*self.inputs, *self.outputs):
            path = str(chosen.get(name, self._nothing(name)))
            words += [path] if name.isupper() else [name, path]
        return words

    def _nothing(self, name: str) -> str:
        kind = self.outputs.get(name)
        return f"none-{name.strip('-')}{kind.endings[0] if kind and kind.endings else ''}"


RIGHTS = ("--rights", "--sellers", "--regions")
CALLS = {
    "build": Call({"--index": FOLDER, "--cache": CACHE}, ("REFERENCES", "--weights")),
    "add": Call({"--index": FOLDER, "--cache": CACHE}, ("REFERENCES", "--weights")),
    "scan": Call(
        {"--out": TABLE, "--report": PAGE, "--since": FOLDER, "--cache": CACHE},
        ("LISTINGS", "--index", "--policy", "--weights", *RIGHTS),
    ),
    "rescan": Call(
        {"--out": TABLE, "--report": PAGE, "--since": FOLDER}, ("--index", "--policy", "--weights", *RIGHTS)
    ),
    "recheck": Call({"--out": TABLE, "--changes": TABLE}, ("FINDINGS", "--policy", *RIGHTS)),
    "explain": Call({"--out": PICTURE}, ("PHOTO", "--index", "--policy", "--weights")),
    "tune": Call(
        {"--out": POLICY},
        ("LABELS", "--index", "--findings", "--unrelated", "--cohort", "--fusion", "--policy", "--weights"),
    ),
    "adapt fit": Call({"--out": ADAPTER, "--cache": CACHE}, ("LABELS", "--index", "--findings", "--weights")),
    "serve keys": Call({"--keys": FILE}, (), ("add", "anna")),
    "policy bind": Call({"--out": POLICY}, ("POLICY", "--index")),
    "evaluate": Call({"--plots": FOLDER}, ("LABELS", "--index", "--policy", "--weights")),
    "monitor": Call({"--out": POLICY}, ("FINDINGS", "LABELS", "--policy", "--before")),
    "shortlist": Call({"--out": TABLE}, ("FINDINGS", "--labels", "--labelled", "--history", "--verdicts")),
    "names": Call({"--out": TABLE}, ("FINDINGS",)),
    "report": Call({"--out": PAGE}, ("FINDINGS", "--history", "--verdicts")),
    "bundle write": Call({"--out": EVIDENCE}, ("FINDINGS", "--index", "--cases", "--policy"), ("--case", "C1")),
    "cases find": Call(
        {"--out": TABLE, "--report": PAGE, "--cache": CACHE},
        ("FINDINGS", "--index", "--listings", "--rates", "--history", "--verdicts", "--weights"),
    ),
    "review": Call(
        {"--verdicts": FILE},
        ("FINDINGS", "--index", "--report", "--policy", "--listings"),
        ("--who", "anna", "--order", "renewal"),
    ),
    "verdicts merge": Call({"--out": FILE}, ("FILES",)),
    "verdicts drafts": Call({"--harmless": TABLE, "--sellers": TABLE}, ("FILE", "--findings")),
    "history add": Call({"FILE": FILE}, (), ("--seller", "s", "--answer", "licence", "--who", "anna")),
    "demo": Call({"--out": FOLDER}),
    "bench": Call({"--json": FILE, "--plot": FIGURE}, ("FOLDER", "--weights")),
}
TROUBLES = {
    "missing folder": "there is no folder {parent}",
    "unwritable folder": "can't be written",
    "wrong ending": " ends in .odt; use ",
    "folder in place of a file": " is a folder; name a file",
    "file in place of a folder": " is not a folder",
    "folder named like a file": " is a folder and ends in .rar, as files do; leave that out",
}


def cases() -> Iterator[Any]:
    for command, call in CALLS.items():
        for option, kind in call.outputs.items():
            for trouble in TROUBLES if kind is not None else ():
                fits = {"missing folder": not kind.folder, "wrong ending": kind.endings and kind != EVIDENCE,
                        "folder in place of a file": not kind.folder and kind != EVIDENCE,
                        "file in place of a folder": True,
                        "folder named like a file": kind.folder}  # fmt: skip
                if fits.get(trouble, True):
                    yield pytest.param(command, option, trouble, id=f"{command} {option}: {trouble}")


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    if os.geteuid() == 0:  # whom permissions don't stop
        return Path("/proc")
    (tmp_path / "unwritable").mkdir(mode=0o500)
    return tmp_path / "unwritable"


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """The line with which a call is refused."""
    command, *rest = words
    assert importlib.import_module(f"lookalike.scripts.{command}").main(rest) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured
    return captured.err


@pytest.mark.parametrize(("command", "option", "trouble"), list(cases()))
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    command: str,
    option: str,
    trouble: str,
    unwritable: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = CALLS[command].outputs[option]
    ending = kind.endings[0] if kind is not None and kind.endings else ""
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / "file").touch()
    folder = kind is not None and kind.folder
    path = {
        "missing folder": tmp_path / "missing" / f"out{ending}",
        "unwritable folder": unwritable / f"out{ending}",
        "wrong ending": tmp_path / "out.odt",
        "folder in place of a file": tmp_path / f"folder{ending}",
        "file in place of a folder": tmp_path / "file" if folder else tmp_path / "file" / f"out{ending}",
        "folder named like a file": tmp_path / "out.rar",
    }[trouble]
    before = sorted(tmp_path.rglob("*"))
    said = refused(capsys, CALLS[command].words(command, {option: path}))
    assert TROUBLES[trouble].format(parent=path.parent) in said and str(path) in said and option in said
    assert sorted(tmp_path.rglob("*")) == before, "nothing was made"


@pytest.mark.parametrize("command", CALLS)
def test_an_address_as_output_is_refused_before_anything_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for option in CALLS[command].outputs:
        said = refused(capsys, CALLS[command].words(command, {option: "s3://bucket/out"}))
        assert "s3:/bucket/out is an address; results are written to local files only" in said
    assert not list(tmp_path.iterdir())


def pairs() -> Iterator[Any]:
    for command, call in CALLS.items():
        for at, option in enumerate(call.outputs):
            for other in (*call.inputs, *list(call.outputs)[:at]):
                yield pytest.param(command, other, option, id=f"{command}: {other} and {option}")


@pytest.mark.parametrize(("command", "other", "option"), list(pairs()))
def test_no_output_replaces_an_input_or_another_output(
    command: str,
    other: str,
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = [CALLS[command].outputs.get(name) for name in (other, option)]
    ending = next((kind.endings[0] for kind in kinds if kind is not None and kind.endings), "")
    (tmp_path / "there").mkdir()
    path = tmp_path / f"same{ending}"
    if not any(kind is not None and kind.folder for kind in kinds):
        path.write_text("precious")
    chosen: dict[str, object] = {other: path, option: tmp_path / "there" / ".." / path.name}
    said = refused(capsys, CALLS[command].words(command, chosen))
    assert f"is both {other} and {option}; give two different paths" in said
    assert not path.exists() or path.read_text() == "precious"


def test_every_path_that_a_command_takes_is_in_the_matrix() -> None:
    found = dict(paths_of_commands())
    missing = {
        command: names - {*call.outputs, *call.inputs} for command, call in CALLS.items() for names in [found[command]]
    }
    assert {command: names for command, names in missing.items() if names} == {
        "cases find": {"--previous"}  # by default the one that is replaced
    }
    only_reading = found.keys() - CALLS.keys()
    assert only_reading == {
        "adapt apply", "adapt undo", "bundle verify", "cases diff", "check", "compact", "compare-encoders",
        "history show", "history verify", "info", "models", "policy diff", "policy show", "remove", "stats",
        "serve run",  # its paths are settings, which may stand in a file
        "verdicts agreement", "verdicts show", "verdicts verify",
    }  # fmt: skip


def paths_of_commands() -> Iterator[tuple[str, set[str]]]:
    for name in COMMANDS:
        module = module_of(name)
        verbs = getattr(module, "VERBS", None)
        alone = getattr(module, name.replace("-", "_"), None)
        commands = {f"{name} {verb}": verbs[verb] for verb in verbs} if verbs else {name: alone}
        for words, command in commands.items():
            paths = [(each, how) for each, (kind, how) in declarations(command) if Path in (kind, *get_args(kind))]
            yield words, {_shown(each, how) for each, how in paths}


def _shown(parameter: str, declared: Any) -> str:
    if isinstance(declared, ArgumentInfo):
        return str(declared.metavar or parameter).upper()
    return next(each for each in (declared.default, *declared.param_decls) if isinstance(each, str))


def declarations(command: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The arguments and options of a command by parameter: the type of each and how it is declared."""
    for name, hint in get_type_hints(command, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, Options):
            yield from declarations(hint)
        elif name != "return":
            yield name, get_args(hint)


def test_refuses_a_pipe_or_device_a_long_name_and_two_names_of_one_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "a.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "a.csv")
    long = tmp_path / f"{'x' * 245}.csv"
    for outputs, message in (
        ({"--out": (tmp_path / "pipe.csv", TABLE)}, "--out .*pipe.csv is a pipe or device; name a file"),
        ({"--report": (Path("/dev/null"), FILE)}, "--report /dev/null is a pipe or device"),
        ({"--out": (long, TABLE)}, "can't be written: File name too long"),
        (
            {"--out": (tmp_path / "a.csv", TABLE), "--changes": (tmp_path / "link.csv", TABLE)},
            "both --out and --change",
        ),
        (
            {"--out": (tmp_path / "a.csv", TABLE), "--changes": (tmp_path / "hard.csv", TABLE)},
            "both --out and --change",
        ),
        ({"--out": (Path(), FILE)}, "is a folder"),
    ):
        with pytest.raises(LookalikeError, match=message):
            require_outputs(outputs)
    assert len(list(tmp_path.iterdir())) == 4


def test_takes_what_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.CSV").touch()
    Path("gone.csv").symlink_to("nowhere")
    require_outputs(
        {"a": (Path("old.CSV"), TABLE), "b": (Path("new.csv"), TABLE), "c": (Path("gone.csv"), TABLE),
         "d": (Path("deep/folder"), FOLDER), "e": (tmp_path, FOLDER), "f": (None, TABLE)},
        {"IN": "listings.csv", "--weights": None},
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"old.CSV", "gone.csv"}
