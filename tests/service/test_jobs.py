"""A job ends by itself, once, whatever is killed meanwhile; a cancelled one ends at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from toy import save_pictures
from workers import dies, running, until, waits

from lookalike import LookalikeError, Reference, read_findings
from lookalike.index.build import build_index
from lookalike.model.access import Access
from lookalike.model.loading import load_encoder
from lookalike.scanning.tables import DetectorSettings, scan_table
from lookalike.service.job_runner import JobRunner
from lookalike.service.job_worker import Task, work
from lookalike.service.jobs import Job, JobError, JobState, JobStore


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, and a table with listings of its photos and one photo that is missing."""
    folder = tmp_path_factory.mktemp("shop")
    paths = save_pictures(folder / "photos", 4)
    rows = [Reference(f"r{i}", f"p{i}", "Acme", path) for i, path in enumerate(paths)]
    build_index(rows, index=folder / "index", encoder=load_encoder(device="cpu"))
    listings = [f"L{i},{path}" for i, path in enumerate([*paths, folder / "missing.png"] * 3)]
    (folder / "listings.csv").write_text("\n".join(["listing_id,image", *listings]))
    return folder


def state(store: JobStore, name: str) -> JobState:
    job = store.get(name)
    assert job is not None
    return job.state


def test_a_job_finds_what_a_scan_finds(shop: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with running(store, shop / "index") as runner:
        job = runner.submit(str(shop / "listings.csv"), "gateway")
        until(lambda: state(store, job.id).ended)
    done = store.get(job.id)
    assert done is not None and (done.state, done.error) == (JobState.DONE, None)
    summary = scan_table(
        shop / "listings.csv", tmp_path / "f.parquet", settings=DetectorSettings(shop / "index", device="cpu")
    )
    assert (
        (done.judged, done.errors, done.verdicts) == (summary.listings, summary.errors, summary.verdicts) != (0, 0, {})
    )
    ours, theirs = (
        [{**row, "scanned_at": None} for row in read_findings(path)]
        for path in (store.findings(job.id), tmp_path / "f.parquet")
    )
    assert ours == theirs
    assert JobStore(tmp_path / "jobs").all() == [done], "and that is on disk"


def test_what_ran_when_the_server_was_closed_goes_on_at_the_next_start(shop: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with running(store, shop / "index", work=waits) as runner:
        job = runner.submit(str(shop / "listings.csv"), "gateway")
        later = runner.submit(str(shop / "listings.csv"), "gateway")
        until(lambda: store.get(job.id).judged == 7)  # type: ignore[union-attr]
    again = JobStore(tmp_path / "jobs")
    assert (state(again, job.id), state(again, later.id)) == (JobState.RUNNING, JobState.WAITING)
    with running(again, shop / "index"):
        until(lambda: state(again, later.id) is JobState.RUNNING)
    assert (state(again, job.id), again.get(job.id).judged) == (JobState.DONE, 15)  # type: ignore[union-attr]


def test_a_scan_that_was_whole_when_it_was_killed_is_not_made_again(shop: Path, tmp_path: Path) -> None:
    settings = DetectorSettings(shop / "index", device="cpu")
    scan_table(shop / "listings.csv", tmp_path / "f.parquet", settings=settings)
    assert said_about(str(shop / "gone.csv"), tmp_path / "f.parquet", shop) == [
        {"done": {"judged": 15, "verdicts": {"flagged": 12, "unreadable": 3}, "errors": 3}}
    ]


def said_about(table: str, out: Path, shop: Path, access: Access | None = None) -> list[dict[str, Any]]:
    """What a worker tells its server, run in this process."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    work(Task(table, out, DetectorSettings(shop / "index", device="cpu"), fetched_by=access), writing)
    writing.close()
    said = []
    with reading:
        while reading.poll():
            try:
                said.append(json.loads(reading.recv_bytes()))
            except EOFError:
                break
    return said


def test_a_cancelled_job_ends_at_once_and_the_next_one_begins(shop: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with running(store, shop / "index", work=waits) as runner:
        jobs = [runner.submit("l.csv", "gateway") for _ in range(3)]
        pid = store.findings(jobs[0].id).with_name("pid")
        until(lambda: pid.is_file() and pid.read_text())
        worker = int(pid.read_text())
        assert runner.remove(jobs[1].id), "one that waits"
        assert runner.remove(jobs[0].id), "one that runs"
        until(lambda: state(store, jobs[2].id) is JobState.RUNNING)
        assert not alive(worker)
        assert not runner.remove(jobs[0].id) and not runner.remove("0" * 28)
    assert [job.id for job in JobStore(tmp_path / "jobs").all()] == [jobs[2].id]
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [jobs[2].id], "nothing is left of them"


def test_a_job_whose_workers_die_fails_after_three(shop: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with running(store, shop / "index", work=dies) as runner:
        job = runner.submit("l.csv", "gateway")
        until(lambda: state(store, job.id).ended)
    failed = store.get(job.id)
    assert failed is not None and failed.state is JobState.FAILED
    assert "3 workers died at it, the last with the exit status 9" in str(failed.error)
    assert store.findings(job.id).with_name("tried").read_text() == "xxx"


def test_a_job_that_cannot_begin_fails_and_the_next_one_begins(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")

    def task_of(job: Job) -> Task:
        if job.listings == "gone.csv":
            raise LookalikeError("there is no table gone.csv any more")
        return Task(job.listings, store.findings(job.id), DetectorSettings(tmp_path))

    with closing(JobRunner(store, task_of, work=waits)) as runner:
        runner.start()
        gone, later = (runner.submit(name, "gateway") for name in ("gone.csv", "l.csv"))
        until(lambda: store.get(later.id).judged == 7)  # type: ignore[union-attr]
    failed = store.get(gone.id)
    assert failed is not None
    assert (failed.state, failed.error) == (JobState.FAILED, "there is no table gone.csv any more")


def test_jobs_go_on_after_an_error_that_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, change = JobStore(tmp_path / "jobs"), JobStore.change
    errors = [OSError("the disk is full")] * 2

    def failing(self: JobStore, name: str, **values: Any) -> Job:
        if errors:
            raise errors.pop()
        return change(self, name, **values)

    monkeypatch.setattr(JobStore, "change", failing)
    monkeypatch.setattr("lookalike.service.job_runner._AGAIN", 0.01)
    with running(store, tmp_path, work=waits) as runner:
        job = runner.submit("l.csv", "gateway")
        until(lambda: store.get(job.id).judged == 7)  # type: ignore[union-attr]
    assert not errors


@pytest.mark.parametrize(
    ("listings", "said"),
    [("missing.csv", "there is no table"), ("empty.csv", "no rows"), ("notes.txt", "has no column listing_id")],
)
def test_a_table_that_cannot_be_read_fails_the_job_with_the_reason(
    shop: Path, tmp_path: Path, listings: str, said: str
) -> None:
    (tmp_path / "empty.csv").write_text("listing_id,image\n")
    (tmp_path / "notes.txt").write_text("a\tb\n1\t2\n")
    (told,) = said_about(str(tmp_path / listings), tmp_path / "f.parquet", shop)
    assert list(told) == ["failed"] and said in told["failed"]
    assert not (tmp_path / "f.parquet").exists()


@pytest.mark.parametrize(
    ("listings", "said"),
    [("https://example.com/l.csv", "scheme https is not allowed"), ("/etc/passwd", "local files are not read"),
     ("file:///etc/passwd", "scheme file is not allowed"), ("http://127.0.0.1:9/l.csv", "not a public address")],
)  # fmt: skip
def test_a_table_is_fetched_only_from_where_photos_may_be(shop: Path, tmp_path: Path, listings: str, said: str) -> None:
    access = Access(frozenset({"http"}), local=False)
    (told,) = said_about(listings, tmp_path / "f.parquet", shop, access)
    assert list(told) == ["failed"] and said in told["failed"]


_SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from workers import running, stays
from lookalike.service.jobs import JobStore
if __name__ == "__main__":
    with running(JobStore(Path(sys.argv[1])), Path(sys.argv[2]), work=stays):
        time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed as on POSIX")
def test_a_killed_server_loses_no_job_and_leaves_no_worker(shop: Path, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(_SERVER.format(tests=str(Path(__file__).parents[1])))
    store = JobStore(tmp_path / "jobs")
    name = store.add(Job.asked(str(shop / "listings.csv"), "gateway")).id
    pid = store.findings(name).with_name("pid")
    with subprocess.Popen([sys.executable, script, tmp_path / "jobs", shop / "index"]) as server:
        try:
            until(lambda: pid.is_file() and pid.read_text())
        finally:
            server.send_signal(signal.SIGKILL)
    until(lambda: not alive(int(pid.read_text())))
    again = JobStore(tmp_path / "jobs")
    assert state(again, name) is JobState.RUNNING
    with running(again, shop / "index"):
        until(lambda: state(again, name).ended)
    assert state(again, name) is JobState.DONE
    assert [row["listing_id"] for row in read_findings(again.findings(name))] == [f"L{i}" for i in range(15)]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_jobs_are_bounded_in_number(tmp_path: Path) -> None:
    store = JobStore(tmp_path, most_open=2, most_ended=1)
    jobs = [store.add(Job.asked("l.csv", "gateway")) for _ in range(2)]
    with pytest.raises(JobError, match="2 jobs wait already"):
        store.add(Job.asked("l.csv", "gateway"))
    for job in jobs:
        store.change(job.id, state=JobState.DONE)
    new = store.add(Job.asked("l.csv", "gateway"))
    assert [job.id for job in store.all()] == [new.id, jobs[1].id]
    assert sorted(path.name for path in tmp_path.iterdir()) == [jobs[1].id, new.id]


def test_a_record_that_was_changed_stops_the_start_and_names_the_folder(tmp_path: Path) -> None:
    job = JobStore(tmp_path).add(Job.asked("l.csv", "gateway"))
    for text in ("", "[]", json.dumps({"id": job.id}), '{"state": "lost"}'):
        (tmp_path / job.id / "job.json").write_text(text)
        with pytest.raises(JobError, match=f"remove the folder .*{job.id}"):
            JobStore(tmp_path)


def test_a_folder_without_a_record_was_never_a_job(tmp_path: Path) -> None:
    (tmp_path / ("0" * 28)).mkdir()
    (tmp_path / "notes").mkdir()
    assert JobStore(tmp_path).all() == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
