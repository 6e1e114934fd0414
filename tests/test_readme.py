"""What the README says of the service is run from its own text."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.tables.inputs import read_references

README = Path(__file__).parents[1] / "README.md"
_COMMAND = """#!/bin/sh
exec {python} -c 'from lookalike.scripts.cli import main; raise SystemExit(main())' "$@"
"""


def blocks(section: str) -> dict[str, str]:
    """The code of a section, by its language."""
    text = README.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash")
def test_the_service_section_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Path(str(files("lookalike") / "sample"))
    references = list(read_references(sample / "references.csv"))[:6]
    build_index(references, index=tmp_path / "genuine.index", encoder=load_encoder(device="cpu"))
    shutil.copy(str(references[0].image), tmp_path / "photo.jpg")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "lookalike"
    command.write_text(_COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("LOOKALIKE_PORT", str(port))
    monkeypatch.setenv("PATH", f"{command.parent}:{Path(sys.executable).parent}", prepend=":")
    code = blocks("As a service")
    script = f"trap 'kill %1; wait' EXIT\n{code['bash']}\necho\npython - <<'END'\n{code['python']}\nEND\n"
    done = subprocess.run(["bash", "-e", "-c", script.replace(":8000", f":{port}")], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    answer = next(json.loads(line) for line in lines if line.startswith("{"))
    assert (answer["listing"], answer["verdict"]) == ("L1", "flagged")
    assert answer["match"]["reference"] == references[0].id
    assert lines[-1].startswith("flagged ") and references[0].id in lines[-1]
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")
