"""What a run survives: kills, a full disk, a second run, a clock that goes back, cells and kernels that never end or die."""

import errno
import json
import multiprocessing
import os
import signal
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import nbformat
import pytest
from test_report import read_manifest, settle, write_notebook

from medlib.errors import MedlibError
from medlib.report import RunFailed, files, lock, manifest, run

MAKE = "from pathlib import Path\nimport time\nfolder = Path('..') / workspace\nfolder.mkdir(parents=True, exist_ok=True)\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return settle(tmp_path, monkeypatch)


def write_pair(project, pause="time.sleep(0.3)"):
    """Two notebooks, each with a table, whole or not there."""
    for name, reads, writes in (("10_a", "nothing", "`x`"), ("20_b", "`x`", "`y`")):
        write_notebook(project / "notebooks", name, MAKE + f"part = folder / '.{name}.part'\npart.write_text('{name} ' * 1000)", pause,
                       f"part.replace(folder / '{name}.txt')\nprint('made')", reads=reads, writes=writes)


def start(word):
    """Run as another process, which can be killed; it starts as a copy of this one, for importing takes long."""
    work = partial(run.resume_run, "mine") if word == "resume" else partial(run.start_run, {}, ["20_b"], "mine")
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def kill(process):
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def read_bytes(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "run.json"}


def wait_for(happens):
    until = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_running(process):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


posix = pytest.mark.skipif(os.name == "nt", reason="kills by signal")


# --- Kills -----------------------------------------------------------------------------------------------------------

@posix
def test_a_run_killed_three_times_ends_as_if_it_had_never_been(project):
    write_pair(project)
    reference = run.start_run({}, ["20_b"], "mine").rename(project / "reference")
    wanted, statuses = read_bytes(reference), []
    for word, step in (("start", "10_a"), ("resume", "10_a"), ("resume", "20_b")):
        part = run.REPORTS / "mine" / "tables" / f".{step}.part"
        before = part.stat().st_mtime_ns if part.is_file() else None
        process = start(word)
        wait_for(lambda part=part, before=before: part.is_file() and part.stat().st_mtime_ns != before)
        kill(process)
        there = {name: content for name, content in read_bytes(run.REPORTS / "mine").items() if not name.rpartition("/")[2].startswith(".")}
        assert there.items() <= wanted.items()
        statuses.append([row["status"] for row in read_manifest(run.REPORTS / "mine")["notebooks"]])
    assert statuses == [["running", "waiting"], ["running", "waiting"], ["done", "running"]]
    folder = run.resume_run("mine")
    assert read_bytes(folder) == wanted
    assert read_manifest(folder)["stops"] == ["killed or interrupted"] * 3 and read_manifest(folder)["status"] == "done"


@posix
def test_a_killed_run_s_kernel_is_gone_before_the_run_goes_on(project):
    """A kernel that does not notice by itself that its medlib is gone: only the lock tells that it is there."""
    write_notebook(project / "notebooks", "10_a", MAKE + "import os\nif not (folder / 'again').exists():\n    os._exit = lambda code: None\n"
                   "    (folder / 'kernel.txt').write_text(str(os.getpid()))\n    time.sleep(60)", writes="`x`")
    write_notebook(project / "notebooks", "20_b", reads="`x`")
    process, note = start("start"), run.REPORTS / "mine" / "tables" / "kernel.txt"
    wait_for(lambda: note.is_file() and note.read_text())
    orphan = int(note.read_text())
    kill(process)
    time.sleep(1.5)
    assert is_running(orphan)
    (note.parent / "again").touch()
    run.resume_run("mine")
    assert not is_running(orphan)


# --- Files -----------------------------------------------------------------------------------------------------------

def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = files.write_whole(tmp_path / "a.json", "older")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, "newer")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"] and path.read_text() == "older"


def test_only_half_written_files_are_swept_up(tmp_path):
    for name in (".a.parquet.part", "tables/.b.12.part", "tables/c.part", "tables/.d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files.remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".d", "c.part", "tables"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "The disk is full"), (errno.EDQUOT, "The disk is full"),
                                               (errno.EROFS, "can't be written"), (errno.EACCES, "can't be written")])
def test_what_the_system_refuses_is_one_sentence(project, monkeypatch, number, words):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    write_pair(project, "")
    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(MedlibError, match=words) as caught:
        run.start_run({}, ["20_b"], "mine")
    assert "\n" not in str(caught.value) and [path.name for path in run.REPORTS.iterdir()] == [".locks"]


def test_a_disk_that_is_full_in_a_cell_is_told_and_gone_on_from(project):
    write_pair(project, "if not (folder / 'room').exists():\n    raise OSError(28, 'No space left on device')")
    with pytest.raises(RunFailed, match="The disk is full") as caught:
        run.start_run({}, ["20_b"], "mine")
    folder = run.REPORTS / "mine"
    assert str(caught.value).splitlines()[0] == "notebook: 10_a" and not list(folder.rglob(".*"))
    assert "The disk is full" in read_manifest(folder)["error"]["reason"]
    (folder / "tables" / "room").touch()
    run.resume_run()
    assert read_manifest(folder)["status"] == "done" and "The disk is full" in read_manifest(folder)["stops"][0]


def test_a_disk_that_is_full_when_a_notebook_is_stored_ends_the_run(project, monkeypatch):
    write_pair(project, "")
    replace = os.replace

    def refuse(part, path):
        if path.suffix == ".ipynb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(part, path)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(RunFailed) as caught:
        run.start_run({}, ["20_b"], "mine")
    assert "\n" not in str(caught.value)
    assert read_manifest(run.REPORTS / "mine")["status"] == "failed" and not list((run.REPORTS / "mine" / "notebooks").iterdir())


# --- One at a time ---------------------------------------------------------------------------------------------------

def test_a_name_is_locked_while_it_is_used_and_free_after(tmp_path):
    path = tmp_path / "locks" / "mine"
    with lock.lock_run(path):
        with pytest.raises(MedlibError, match=rf"'mine' is still going on \(process {os.getpid()}\)"), lock.lock_run(path):
            pass
        with lock.lock_run(path.with_name("other")):
            pass
    with lock.lock_run(path):
        pass


def test_a_run_that_is_going_on_is_neither_started_nor_resumed(project):
    write_pair(project, "")
    told = []

    def interfere(*_):
        for again in (lambda: run.start_run({}, ["20_b"], "mine"), lambda: run.resume_run("mine"), run.resume_run):
            with pytest.raises(MedlibError, match="still going on") as caught:
                again()
            told.append(str(caught.value))

    folder = run.start_run({}, ["10_a"], "mine", interfere)
    assert told and read_manifest(folder)["status"] == "done" and not list(run.REPORTS.glob("mine.*"))


# --- Time ------------------------------------------------------------------------------------------------------------

def test_a_clock_that_stands_still_takes_no_name_twice(tmp_path, monkeypatch):
    class Still(datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 3, 1, 12, tzinfo=zone)

    monkeypatch.setattr(manifest, "datetime", Still)
    names = []
    for _ in range(3):
        names.append(manifest.name_run(tmp_path, {"dataset": "a b"}))
        (tmp_path / names[-1]).mkdir()
    assert names == ["a-b-20260301-120000", "a-b-20260301-120000-2", "a-b-20260301-120000-3"]


def test_a_cell_that_never_ends_is_ended(project):
    write_notebook(project / "notebooks", "10_a", "print('begun')", "# endless\nwhile True:\n    pass")
    with pytest.raises(RunFailed) as caught:
        run.start_run({}, ["10_a"], "mine", time_limit=0.03)
    where, cell, reason = str(caught.value).splitlines()
    assert "10_a" in where and "# endless" in cell and "time limit of 0.03 minutes" in reason and not caught.value.mistake
    executed = nbformat.read(run.REPORTS / "mine" / "notebooks" / "10_a.ipynb", as_version=4)
    assert any(output.get("text") == "begun\n" for cell in executed.cells for output in cell.get("outputs", []))
    assert read_manifest(run.REPORTS / "mine")["time_limit"] == 0.03


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_time_limit_is_positive(project, limit):
    write_pair(project)
    with pytest.raises(MedlibError, match="more than 0 minutes"):
        run.start_run({}, ["20_b"], "mine", time_limit=limit)
    assert not run.REPORTS.exists()


# --- Memory ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "words"), [("raise MemoryError", "the memory is full"),
                                               ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died, most often")])
@posix
def test_a_full_memory_is_told_as_such(project, source, words):
    write_notebook(project / "notebooks", "10_a", source)
    with pytest.raises(RunFailed, match=words):
        run.start_run({}, ["10_a"], "mine")
    assert words in read_manifest(run.REPORTS / "mine")["error"]["reason"]


# --- What is stored --------------------------------------------------------------------------------------------------

def test_two_runs_store_the_same_bytes(project):
    write_pair(project, "")
    kept = [run.start_run({}, ["20_b"], "mine").rename(project / name) for name in ("one", "two")]
    assert read_bytes(kept[0]) == read_bytes(kept[1]) and len(read_bytes(kept[0])) == 4
    text = (kept[0] / "notebooks" / "10_a.ipynb").read_text(encoding="utf-8")
    assert str(project) not in text and "start_time" not in text and "injected-parameters" in text


def test_a_broken_manifest_of_another_run_stops_nobody(project):
    write_pair(project, "")
    for name, text in (("broken", '{"run": '), ("strange", "[1, 2]")):
        (run.REPORTS / name).mkdir(parents=True)
        (run.REPORTS / name / "run.json").write_text(text)
    (run.REPORTS / "open").mkdir()
    (run.REPORTS / "open" / "run.json").write_text(json.dumps({"status": "failed", "started": "2026"}))
    assert manifest.choose_run(run.REPORTS, "") == "open"
    assert read_manifest(run.start_run({}, ["10_a"], "mine"))["status"] == "done"
