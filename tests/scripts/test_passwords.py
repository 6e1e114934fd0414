"""A password in an address fetches the photo and is found nowhere afterwards."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from toy import save_pictures

from lookalike.scripts.cli import main


class Guarded(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic YW5uYTpnZWhlaW0=":  # anna:geheim
            self.send_error(401)
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_password_reaches_no_index_findings_report_bundle_or_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pictures(tmp_path / "photos", 3)
    handler = partial(Guarded, directory=str(tmp_path / "photos"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        place = f"127.0.0.1:{server.server_address[1]}"
        address = f"http://anna:geheim@{place}"
        (tmp_path / "references.csv").write_text(
            f"reference_id,image,product_id,brand\nr0,{address}/0-0.png,p0,B\nr1,{address}/no.png,p1,B\n"
        )
        (tmp_path / "listings.csv").write_text(
            f"listing_id,image\nL0,{address}/0-0.png\nL1,{address}/0-1.png\nL2,{address}/no.png\n"
        )
        http = ["--allow-scheme", "http", "--allow-private"]
        made = tmp_path / "made"
        made.mkdir()
        index, findings = str(made / "index"), str(made / "f.csv")
        assert main(["build", str(tmp_path / "references.csv"), "--index", index, *http]) == 1
        scan = ["scan", str(tmp_path / "listings.csv"), "--index", index, "--out", findings]
        assert main([*scan, "--report", str(made / "r.html"), *http]) == 1
        again = ["--header", "Authorization: Basic YW5uYTpnZWhlaW0="]
        bundle = ["bundle", findings, "--index", index, "--out", str(made / "bundle")]
        assert main([*bundle, *http, *again]) == 0
        assert main(["check", f"{address}/no.png", "--index", index, *http]) == 1
        server.shutdown()
    said = capsys.readouterr()
    assert "geheim" not in said.out + said.err
    assert f"http://***@{place}/0-0.png" in (made / "f.csv").read_text()
    for path in made.rglob("*"):
        assert not path.is_file() or b"geheim" not in path.read_bytes(), path
