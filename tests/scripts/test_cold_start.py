"""What judges a photo with the default encoder starts quickly: it loads neither torch nor what it doesn't need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toy import save_pictures

from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.records import Reference

SLOW = ("torch", "torchvision", "open_clip", "timm", "sklearn", "scipy", "mapie", "duckdb", "networkx", "matplotlib",
        "fsspec")  # fmt: skip
RUN = """
import sys
from lookalike.scripts.cli import main

status = main(sys.argv[1:])
print(status, sorted(set(sys.modules) & set({slow!r})), file=sys.stderr)
"""


def test_check_with_the_embedded_encoder_imports_no_torch(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 3)
    rows = [Reference(f"r{at}", f"p{at}", "Brand", path) for at, path in enumerate(paths)]
    build_index(rows, index=tmp_path / "index", encoder=load_encoder())
    call = ["check", str(paths[0]), "--index", str(tmp_path / "index")]
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(slow=SLOW), *call], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "0 []", done.stderr
    assert "p0" in done.stdout
