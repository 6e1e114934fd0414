"""Every command's help fits a terminal, and its examples are calls that the command takes."""

from __future__ import annotations

import shlex

import pytest

from lookalike.scripts.cli import COMMANDS, main, module_of

CALLS = [
    [name, *([verb] if verb else [])] for name in COMMANDS for verb in ("", *getattr(module_of(name), "VERBS", ()))
]


def shown(call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*call, "--help"]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_help_fits_eighty_columns_and_cuts_nothing_off(
    call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(call, capsys, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "…" in line] == []


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_examples_are_whole_lines_with_options_of_the_command(
    call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(call, capsys, monkeypatch)
    start = next(at for at, line in enumerate(lines) if line.strip() == "Examples:")
    examples = [shlex.split(line) for line in lines[start + 1 :] if line.strip()]
    assert examples, "no example"
    for words in examples:
        assert words[: 1 + len(call)] == ["lookalike", *call], "broken off or of another command"
        module = module_of(call[0])
        verb = words[2] if words[2:3] and words[2] in getattr(module, "VERBS", ()) else getattr(module, "DEFAULT", None)
        help_text = "\n".join(shown([call[0], *([verb] if verb else [])], capsys, monkeypatch))
        assert [word for word in words if word.startswith("--") and f"{word} " not in help_text] == []


def test_every_command_has_one_line_in_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown([], capsys, monkeypatch)
    listed = [line.strip("│ ").split()[0] for line in lines if line.startswith("│ ") and "--help" not in line]
    assert listed == list(COMMANDS)
