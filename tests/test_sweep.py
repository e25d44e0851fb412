"""Sweeps: what a file means, what makes two runs the same, what is kept, what fails, and the page that compares them."""

import io
import json
import re
import sys
import tarfile

import nbformat
import pandas as pd
import pytest
import yaml
from rich.console import Console
from test_report import write_notebook

from medlib import catalog, cli, tables
from medlib.catalog.regions import choose_sites, keep_region
from medlib.errors import MedlibError
from medlib.intake import write_template
from medlib.report.page import clean_html
from medlib.report.pipeline import list_notebooks
from medlib.sweep import conduct, index, open_engine, run_sweep
from medlib.sweep.conduct import Summary
from medlib.sweep.engines import DaskEngine, Engine, JoblibEngine, Keys, Lost
from medlib.sweep.plan import expand_sets, plan_sweep
from medlib.sweep.progress import Board
from medlib.sweep.task import Desk, Outcome, compare_versions, describe_self, execute_task, fail_task, hash_files, pack_folder, unpack_folder

TARGET = "10_a"
WORK = "import os\nfrom pathlib import Path\nfolder = Path('..', workspace)\nfolder.mkdir(parents=True, exist_ok=True)\n"


@pytest.fixture
def project(tmp_path):
    """Two notebooks: the first writes what it was given and where it ran, and fails, dies or refuses if told to."""
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks, TARGET, WORK + "(folder / 'a.txt').write_text(f'{beds} {name}')",
                   "if name == 'die':\n    os._exit(3)\nassert name != 'fail', 'too few beds'",
                   "print(os.environ['MEDLIB_HOME'] == str(Path('..').resolve()), os.environ['OMP_NUM_THREADS'])",
                   parameters='beds: int = 20  # staffed beds\nname: str = ""  # of the run\n', writes="`x`")
    write_notebook(notebooks, "20_b", "print('b')", reads="`x`", writes="`y`")
    return tmp_path


def plan(project, **given):
    return plan_sweep({"name": "try", "notebooks": [TARGET]} | given, notebooks=list_notebooks(project / "notebooks"))


def run(project, engine=None, **given):
    return run_sweep(plan(project, **given), engine or open_engine("local"), reports=project / "reports")


def read_rows(folder):
    return {row["run"]: row for row in json.loads((folder / "sweep.json").read_text())["runs"]}


# --- What a file means -----------------------------------------------------------------------------------------------

def test_the_grid_is_every_combination_and_runs_come_after_it():
    given = {"common": {"a": 1}, "grid": {"b": [1, 2], "c": ["x", "y", "z"]}, "runs": [{"b": 9, "a": 7}]}
    sets = expand_sets(given)
    assert len(sets) == 2 * 3 + 1 and sets[0] == {"a": 1, "b": 1, "c": "x"} and sets[5] == {"a": 1, "b": 2, "c": "z"}
    assert sets[6] == {"a": 7, "b": 9}


def test_runs_are_named_after_what_differs(project):
    sweep = plan(project, common={"beds": 7}, grid={"name": ["North, East", "2025-12-01", "5", ""]})
    assert [one.name for one in sweep.runs] == ["North-East", "2025-12-01", "name-5", "name-none"] and sweep.varied == ["name"]
    assert all(one.task.manifest["parameters"]["beds"] == 7 for one in sweep.runs)
    sweep = plan(project, grid={"name": ["a"], "beds": ["3", 4]})
    assert [one.name for one in sweep.runs] == ["beds-3", "beds-4"] and sweep.runs[0].varied == {"beds": 3}
    assert [one.name for one in plan(project, runs=[{"beds": 4}]).runs] == ["run"]


def test_names_that_look_alike_or_are_none_are_told_apart(project):
    names = [one.name for one in plan(project, grid={"name": ["a b", "a-b", "A/B", "../../x", "CON-", "ä" * 5 + "-", "b" * 200]}).runs]
    assert len({name.lower() for name in names}) == len(names) and all(re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name) for name in names)
    assert [one.name for one in plan(project, grid={"name": ["a b", "a-b"]}).runs] == names[:2], "a name depends on its own values only"


@pytest.mark.parametrize(("given", "words"), [
    ({}, "grid, runs, or both"), ({"grid": {}}, "neither"), ({"grid": {"beds": []}}, "at least one"), ({"grid": {"beds": 3}}, "list of values"),
    ({"grid": [1]}, "grid must be"), ({"runs": {"beds": 3}}, "runs must be a list"), ({"runs": [3]}, "got 3 in it"),
    ({"commons": {}, "runs": [{}]}, "keys name, notebooks, common, grid, runs; got 'commons'"), ({"name": "../x", "runs": [{}]}, "A run's name"),
    ({"name": 3, "runs": [{}]}, "needs a name"), ({"notebooks": ["99_z"], "runs": [{}]}, "Run 1: There is no notebook '99_z'"),
    ({"notebooks": [7], "runs": [{}]}, "list of names"), ({"runs": [{"beds": 3}, {"beds": "3"}]}, "Runs 1 and 2 have the same"),
    ({"runs": [{}, {"beds": 20}]}, "Runs 1 and 2 have the same"), ({"grid": {"beds": [1, 2, 1]}}, "Runs 1 and 3"),
    ({"runs": [{"beds": 3}, {"bedz": 3}]}, "Run 2: There is no parameter 'bedz'; did you mean 'beds'"),
    ({"grid": {"beds": [1, "x"]}}, "Run 2: Parameter 'beds'.* must be of type int; got 'x'"), ({"runs": [{"beds": [1]}]}, "one text, number or date"),
    ({"runs": [{"beds": 10**5000}]}, "too many digits"), ({"grid": {"beds": [1]}, "common": {"beds": 2}}, "both common and in the grid"),
    ({"runs": [{"workspace": "x"}]}, "workspace of its own"), ({"grid": {"beds": list(range(200)), "name": list("abcdefgh" * 10)}}, "at most 10,000")])
def test_what_is_wrong_is_said_before_anything_runs(project, given, words):
    with pytest.raises(MedlibError, match=words) as caught:
        run(project, **given)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".") and not (project / "reports").exists()


def test_secrets_are_refused_in_a_sweep_s_file_and_taken_from_the_environment(project, monkeypatch):
    write_notebook(project / "notebooks", TARGET, WORK + "print(len(api_token))", "print(api_token)", parameters='api_token: str = ""\nbeds: int = 1\n')
    with pytest.raises(MedlibError, match="is secret"):
        plan(project, runs=[{"api_token": "abcdefgh"}])
    monkeypatch.setenv("MEDLIB_SECRET_API_TOKEN", "hush-hush-77")
    summary = run(project, runs=[{"beds": 2}])
    assert summary.done == 1
    assert not [path for path in summary.folder.rglob("*") if path.is_file() and b"hush-hush-77" in path.read_bytes()]
    assert "12" in (summary.folder / "run" / "notebooks" / f"{TARGET}.ipynb").read_text()


# --- What makes two runs the same ------------------------------------------------------------------------------------

def test_each_ingredient_changes_the_fingerprint_and_nothing_else_does(project, monkeypatch):
    def take(**given):
        return plan(project, **{"runs": [{"beds": 3}]} | given).runs[0].fingerprint

    first = take()
    assert re.fullmatch("[0-9a-f]{64}", first) and take() == first
    assert take(name="other", runs=[{"beds": 3}, {"beds": 4}]) == first, "neither the sweep's name nor other runs count"
    assert take(runs=[{"beds": "3"}]) == first, "the typed value counts"
    limited = plan_sweep({"name": "try", "notebooks": [TARGET], "runs": [{"beds": 3}]}, notebooks=list_notebooks(project / "notebooks"), time_limit=5.0)
    assert limited.runs[0].fingerprint == first
    assert take(runs=[{"beds": 4}]) != first
    assert take(notebooks=["20_b"]) != first
    changed = [plan_sweep({"name": "try", "notebooks": [TARGET], "runs": [{"beds": 3}]}, notebooks=list_notebooks(project / "notebooks"), **more).runs[0].fingerprint
               for more in ({"smallest_count": 5}, {"accepted": ["tables/x"]})]
    assert first not in changed and len(set(changed)) == 2
    there = describe_self()
    for name in ("pandas", "python", "medlib's source"):
        monkeypatch.setattr("medlib.sweep.plan.describe_self", lambda name=name: there | {name: "0"})
        assert take() != first
    monkeypatch.undo()
    write_notebook(project / "notebooks", "20_b", "print('c')", reads="`x`", writes="`y`")
    assert take() == first, "a notebook that is not run does not count"
    path = project / "notebooks" / f"{TARGET}.ipynb"
    text = path.read_text()
    path.write_text(text.replace("too few", "too  few"))
    assert take() != first


def test_the_data_of_an_own_folder_count_and_travel_without_their_path(project):
    data = project / "my hospitals"
    write_template(data)
    write_notebook(project / "notebooks", TARGET, "from medlib.catalog import load_dataset", WORK + "inputs, sources = load_dataset(dataset, 1)",
                   "(folder / 'a.txt').write_text(f\"{len(inputs['sites'])} {sources['title'].iloc[0]}\")", parameters='dataset: str = "sample"\n')
    sweep = plan(project, runs=[{"dataset": str(data)}])
    first = sweep.runs[0].fingerprint
    (data / "notes.docx").write_text("of no table")
    assert plan(project, runs=[{"dataset": str(data)}]).runs[0].fingerprint == first
    summary = run_sweep(sweep, open_engine("local"), reports=project / "reports")
    sites = len(pd.read_csv(data / "sites.csv"))
    assert (summary.folder / "run" / "tables" / "a.txt").read_text() == f"{sites} Folder my hospitals"
    assert str(project) not in (summary.folder / "run" / "run.json").read_text()
    with (data / "demand.csv").open("a") as file:
        file.write("\n")
    assert plan(project, runs=[{"dataset": str(data)}]).runs[0].fingerprint != first
    with pytest.raises(MedlibError, match="neither in the catalogue"):
        plan(project, runs=[{"dataset": "nowhere"}])


def test_a_file_s_name_and_content_count():
    one = hash_files({"a": b"1", "b": b"2"})
    assert one == hash_files({"b": b"2", "a": b"1"}) and len({one, hash_files({"a": b"12", "b": b""}), hash_files({"a": b"2", "b": b"1"}), hash_files({"a": b"1"})}) == 4


def test_a_worker_with_other_versions_is_refused_by_name():
    here = describe_self()
    compare_versions(dict(here), here, "x")
    with pytest.raises(MedlibError, match="Worker tls://a has pandas 1.2, this machine .*install the same versions"):
        compare_versions(here | {"pandas": "1.2"}, here, "tls://a")
    with pytest.raises(MedlibError, match="another state of medlib's source"):
        compare_versions(here | {"medlib's source": "0"}, here, "tls://a")
    with pytest.raises(MedlibError, match="has torch not installed"):
        compare_versions({name: version for name, version in here.items() if name != "torch"}, here, "tls://a")


# --- Runs ------------------------------------------------------------------------------------------------------------

def test_runs_are_kept_a_failure_is_a_row_and_only_it_runs_again(project):
    summary = run(project, grid={"name": ["a", "fail"]})
    assert summary == Summary(project / "reports" / "try", 1, 0, 1)
    rows = read_rows(summary.folder)
    assert rows["a"]["status"] == "done" and rows["fail"]["status"] == "failed" and rows["fail"]["tries"] == 1
    assert "AssertionError: too few beds" in rows["fail"]["reason"] and TARGET in rows["fail"]["reason"]
    assert (summary.folder / "a" / "tables" / "a.txt").read_text() == "20 a"
    assert sorted(path.name for path in summary.folder.iterdir()) == ["a", "comparison.csv", "fail", "index.html", "sweep.json"]
    executed = nbformat.read(summary.folder / "a" / "notebooks" / f"{TARGET}.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0]["text"] == "True 1\n"
    page = (summary.folder / "index.html").read_text()
    assert "too few beds" in page and "1 done" in page and "1 failed" in page and "default-src 'none'" in page
    when = (summary.folder / "a" / "run.json").stat().st_mtime_ns
    again = run(project, grid={"name": ["a", "fail"]})
    assert again == Summary(summary.folder, 1, 1, 1) and read_rows(summary.folder)["a"]["kept"]
    assert (summary.folder / "a" / "run.json").stat().st_mtime_ns == when
    manifest = summary.folder / "a" / "run.json"
    manifest.write_text(manifest.read_text()[:-20])
    assert run(project, grid={"name": ["a"]}) == Summary(summary.folder, 1, 0, 0), "what is not whole is run again"


def test_a_kernel_that_dies_is_tried_again_as_often_as_told_and_a_cell_s_error_never(project):
    summary = run_sweep(plan(project, grid={"name": ["die"]}), open_engine("local"), retries=1, reports=project / "reports")
    assert summary.failed == 1
    row = read_rows(summary.folder)["run"]
    assert row["tries"] == 2 and "the kernel died" in row["reason"]


class Scripted(Engine):
    """An engine whose answers are given."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.given = answers, []

    def submit(self, key, function, *arguments):
        self.given.append(key)
        self._queue.append((key, function, arguments))

    def collect(self):
        while self._queue:
            key, _, (task, _) = self._queue.popleft()
            yield key, self.answers[key].pop(0)(task)


def finish(task):
    return Outcome(task.manifest | {"status": "done", "seconds": 2.0}, archive=make_archive({"run.json": json.dumps(task.manifest | {"status": "done", "seconds": 2.0})}))


def make_archive(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_a_lost_run_moves_and_one_that_kills_its_workers_is_given_up(project):
    engine = Scripted({"a": [lambda _: Lost(), finish], "b": [lambda _: Lost()] * 3, "c": [lambda _: ValueError("what?")]})
    summary = run(project, engine, grid={"name": ["a", "b", "c"]})
    assert engine.given == ["a", "b", "c", "a", "b", "b"] and summary == Summary(summary.folder, 1, 0, 2)
    rows = read_rows(summary.folder)
    assert rows["a"]["tries"] == 2 and "the worker of this run died" in rows["b"]["reason"] and rows["c"]["reason"] == "ValueError: what?"


def test_what_was_gathered_before_a_kill_is_kept(project):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(project, Scripted({"a": [finish], "b": [stop]}), grid={"name": ["a", "b"]})
    (project / "reports" / "try" / ".b.new").mkdir()
    engine = Scripted({"b": [finish]})
    assert run(project, engine, grid={"name": ["a", "b"]}) == Summary(project / "reports" / "try", 2, 1, 0)
    assert engine.given == ["b"] and not list((project / "reports" / "try").glob(".*"))


def test_another_s_folder_is_not_overwritten_and_one_sweep_goes_on_at_a_time(project):
    (project / "reports" / "try").mkdir(parents=True)
    (project / "reports" / "try" / "run.json").write_text("{}")
    with pytest.raises(MedlibError, match="is no sweep"):
        run(project, runs=[{}])
    from medlib.report.lock import lock_run
    with lock_run(project / "reports" / ".locks" / "other"), pytest.raises(MedlibError, match="still going on"):
        run(project, name="other", runs=[{}])


def test_an_archive_can_t_write_elsewhere(tmp_path):
    for name in ("../x", "/tmp/medlib-x"):
        try:
            unpack_folder(make_archive({name: "x"}), tmp_path / "in")
        except tarfile.FilterError:
            pass
    assert not (tmp_path / "x").exists()
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a").write_text("1")
    (tmp_path / "from" / ".part").write_text("2")
    (tmp_path / "from" / "link").symlink_to("/etc/passwd")
    unpack_folder(pack_folder(tmp_path / "from"), tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["a"]


def test_a_task_on_another_version_runs_nothing(project):
    task = plan(project, runs=[{}]).runs[0].task
    outcome = execute_task(type(task)(task.manifest, task.versions | {"pandas": "0"}), {}, Desk("w", lambda event: None))
    assert outcome.manifest["status"] == "failed" and "has pandas" in outcome.manifest["error"]["reason"] and not outcome.archive
    assert not outcome.died and fail_task(task, "x", died=True).died


# --- The page --------------------------------------------------------------------------------------------------------

def make_rows(sweep, ladder=True, **more):
    figures = {rung: {"shortage": short, "gap_closed": closed} for rung, short, closed in (("reactive", 10.0, 0.0), ("stochastic", 4.0, 0.75), ("perfect", 2.0, 1.0))}
    return [{"run": one.name, "parameters": one.varied, "status": "done", "kept": False, "tries": 1, "seconds": 9.0, "ladder": figures if ladder else {},
             "reason": ""} | more for one in sweep.runs]


def write_days(folder, days=3):
    dates = pd.date_range("2025-01-01", periods=days)
    rows = [(rung, date, site, "bed", amount) for rung, amount in (("none", 9.0), ("reactive", 3.0), ("stochastic", 1.0), ("perfect", 0.5)) for date in dates for site in "ab"]
    tables.write(pd.DataFrame(rows, columns=["rung", "date", "site", "resource", "shortage"]), "ladder_daily", folder)


def test_the_page_compares_runs_and_says_how_many_it_does_not_draw(project, monkeypatch):
    sweep = plan(project, grid={"beds": [1, 2, 3]})
    rows = make_rows(sweep)
    rows[1]["ladder"]["stochastic"] = {"shortage": 0.0, "gap_closed": None}
    for one in sweep.runs:
        write_days(project / one.name / "tables")
        (project / one.name / "report.html").write_text("x")
    monkeypatch.setattr(index, "MOST_CHARTS", 2)
    index.write_comparison(project, sweep, rows)
    table = pd.read_csv(project / "comparison.csv")
    assert table["beds"].tolist() == [1, 2, 3] and table["shortage_stochastic"].tolist() == [0.0] * 3 or table["shortage_stochastic"].tolist() == [4.0, 0.0, 4.0]
    page = (project / "index.html").read_text()
    assert page.count("/report.html") == 3 and 'href="beds-1/report.html"' in page and "<script" not in page
    assert "Shown are the 2 runs" in page and "the other 1 stand" in page and page.count("data:image/png") == 1


def test_the_page_marks_a_small_gap_shows_doing_nothing_and_keeps_dates_whole(project):
    sweep = plan(project, grid={"name": ["2025-11-30", "2025-12-01"]})
    rows = make_rows(sweep)
    index.write_comparison(project, sweep, rows)
    page = (project / "index.html").read_text()
    assert "do nothing" not in page and "75%" in page and "(75%)" not in page and "In brackets" not in page
    small = {rung: values | ({"shortage": 6.5} if rung == "reactive" else {}) for rung, values in rows[0]["ladder"].items()}
    rows[0] = rows[0] | {"ladder": small | {"none": {"shortage": 33.0, "gap_closed": None}}}
    index.write_comparison(project, sweep, rows)
    page = (project / "index.html").read_text()
    assert ">do nothing</th>" in page and ">33.0</td>" in page and page.count("(75%)") == 1 and page.count(">75%<") == 1 and "In brackets" in page
    assert '<td class="word whole">2025-11-30</td>' in page
    assert pd.read_csv(project / "comparison.csv")["shortage_none"].iloc[0] == 33.0
    rows[0] |= {"reason": "", "parameters": {"name": "a-" * 20}}
    index.write_comparison(project, sweep, rows)
    assert f'<td class="word">{"a-" * 20}</td>' in (project / "index.html").read_text()


def test_where_nothing_is_short_the_page_says_so(project, monkeypatch):
    sweep = plan(project, grid={"beds": [1, 2]})
    for one in sweep.runs:
        write_days(project / one.name / "tables")
    monkeypatch.setattr(index, "_sum_days", lambda daily: pd.DataFrame({"reactive": [0.0, 0.0], "perfect": [0.0, 0.0]}, index=[1, 2]))
    index.write_comparison(project, sweep, make_rows(sweep))
    page = (project / "index.html").read_text()
    assert "In each of the 2 runs drawn here nothing is short" in page and "data:image" not in page
    quiet, busy = (pd.DataFrame({"reactive": [0.0, high], "stochastic": [0.0, high / 2]}, index=[1, 2]) for high in (0.0, 4.0))
    assert index._draw_series({"quiet": quiet, "busy": busy}) != index._draw_series({"busy": busy, "quiet": quiet})
    assert index._is_nothing(quiet) and not index._is_nothing(busy)


def test_days_are_summed_over_sites():
    days = index._sum_days(pd.DataFrame({"rung": ["reactive", "reactive", "none"], "date": pd.to_datetime(["2025-01-02"] * 3), "site": list("abc"),
                                         "shortage": [1.5, 2.0, 9.0]}))
    assert days.to_dict() == {"reactive": {1: 3.5}}


def test_names_and_reasons_are_text_on_the_page(project):
    sweep = plan(project, grid={"name": ["<script>alert(1)</script>", "=1+1"]})
    index.write_comparison(project, sweep, make_rows(sweep, ladder=False, status="failed", reason="<img src=x onerror=y>", seconds=None))
    page = (project / "index.html").read_text()
    assert "<script" not in page and "<img" not in page and "&lt;img" in page
    assert "'=1+1" in (project / "comparison.csv").read_text()


@pytest.mark.parametrize("link", ["a/../report.html", "../report.html", "/a/report.html", "javascript:a/report.html", "a/b/report.html", "file:a/report.html"])
def test_a_page_links_to_reports_beside_it_only(link):
    assert "href" not in clean_html(f'<a href="{link}">x</a>') and "href" in clean_html('<a href="North_7.x/report.html">x</a>')


# --- Progress --------------------------------------------------------------------------------------------------------

def test_a_plain_log_has_a_line_for_a_start_a_notebook_and_an_end():
    time, out = [0.0], io.StringIO()
    board = Board(10, 2, lambda: 2, Console(file=out), lambda: time[0])
    for run_name in ("a", "b"):
        for cell in (0, 1, 5, 5):
            board.hear({"run": run_name, "worker": "w1", "notebook": "01_x", "position": 0, "notebooks": 3, "cell": cell, "cells": 5})
    assert (board.waiting, len(board.events)) == (6, 2) and board.estimate() == float("inf")
    time[0] = 30.0
    board.end("a", 30.0)
    board.end("b", 20.0, "it\nfailed")
    assert board.estimate() == 30 / 2 * 6
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["a starts on w1", "a: 01_x done [1/3]"] and len(lines) == 6
    assert lines[4] == "a done in 30 s; 3/10 done (2 kept), 0 failed, 1 at work, 6 waiting, about 4 min left"
    assert lines[5] == "b FAILED: it failed; 3/10 done (2 kept), 1 failed, 0 at work, 6 waiting, about 90 s left"


def test_a_run_that_moves_to_another_worker_is_told_to_start_again():
    out = io.StringIO()
    board = Board(1, 0, lambda: 2, Console(file=out, force_terminal=False))
    for worker in ("w1", "w2"):
        for cell in (0, 5, 5):
            board.hear({"run": "a", "worker": worker, "notebook": "01_x", "position": 0, "notebooks": 3, "cell": cell, "cells": 5})
    assert out.getvalue().splitlines() == ["a starts on w1", "a: 01_x done [1/3]", "a starts, as its worker was lost, again on w2", "a: 01_x done [1/3]"]


def test_a_terminal_shows_each_worker_s_notebook_and_cell():
    out = io.StringIO()
    board = Board(2, 0, lambda: 1, Console(file=out, force_terminal=True, width=100))
    with board:
        board.hear({"run": "North", "worker": "w1", "notebook": "40_allocate", "position": 3, "notebooks": 6, "cell": 7, "cells": 30})
        shown = Console(width=100, file=io.StringIO(), record=True)
        shown.print(board.draw())
    text = shown.export_text()
    assert "North" in text and "40_allocate (4/6)" in text and "7/30" in text and "0/2 done" in text


# --- Engines by name, and the command --------------------------------------------------------------------------------

@pytest.mark.parametrize(("given", "words"), [
    (("ray",), "local, joblib, dask; got 'ray'"), (("joblib", 0), "at least 1 worker"), (("local", 1, "tcp://a:1"), "belongs to the engine dask"),
    (("dask", 1, "tls://a:1"), "speaks TLS"), (("dask", 1, "", Keys("a", "b", "c")), "some of them are missing"),
    (("dask", 1, "tls://a:1", Keys("a")), "some of them are missing")])
def test_an_engine_that_can_t_be_had_is_said_so(given, words):
    name, workers, address, keys = (*given, *("local", 1, "", Keys())[len(given):])
    with pytest.raises(MedlibError, match=words):
        open_engine(name, workers, address=address, keys=keys)


def test_engines_are_opened_by_name():
    assert [type(open_engine(name)) for name in ("local", "joblib", "dask")] == [Engine, JoblibEngine, DaskEngine]


@pytest.fixture
def ask(monkeypatch, capsys, project):
    monkeypatch.setattr("medlib.sweep.plan.list_notebooks", lambda: list_notebooks(project / "notebooks"))
    monkeypatch.setattr(tables, "PROJECT", project)

    def ask(given, *more):
        file = project / "mine.yml"
        file.write_text(given if isinstance(given, str) else yaml.safe_dump(given))
        monkeypatch.setattr(sys, "argv", ["medlib", "sweep", str(file), *more])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return ask


def test_the_command_tells_where_the_page_is_and_whether_something_failed(ask, project):
    code, out, err = ask({"notebooks": [TARGET], "grid": {"name": ["a", "fail"]}})
    assert code == 1 and out.strip().endswith("reports/mine/index.html") and (project / "reports" / "mine" / "index.html").is_file()
    assert "a starts" in err and "2 runs: 1 done (0 kept from before), 1 failed" in err and "Traceback" not in err
    code, out, err = ask({"notebooks": [TARGET], "grid": {"name": ["a", "b"]}})
    assert code == 0 and "2 done (1 kept from before)" in err


@pytest.mark.parametrize(("text", "more", "words"), [
    ("grid: {beds: [1, x]}\nnotebooks: [10_a]", (), "Run 2"), ("- 1", (), "must hold `name: value` lines"), ("a: [", (), "is not YAML"),
    ("runs: [{}]\nnotebooks: [10_a]", ("--engine", "ray"), "engine must be one of"),
    ("a: &a [x,x]\nb: &b [*a,*a]\nruns: [{beds: *b}]", (), "got 'a'"), ("runs: [{}]\nnotebooks: [10_a]", ("--time-limit", "0"), "time limit")])
def test_a_mistake_is_one_sentence_and_exit_code_2(ask, project, text, more, words):
    code, out, err = ask(text, *more)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1 and not (project / "reports").exists()


# --- Regions ---------------------------------------------------------------------------------------------------------

SITES = pd.DataFrame({"site": ["a", "b", "c", "d, e"], "region": ["North", "North", "South", None]})


@pytest.mark.parametrize(("region", "sites"), [("", "all"), (" ", "all"), ("North", ["a", "b"]), ("South,b", ["b", "c"]), ("d, e", ["d, e"]), ("c, ", ["c"])])
def test_sites_are_chosen_by_region_or_name(region, sites):
    assert sorted(choose_sites(SITES, region)) == (sorted(SITES["site"]) if sites == "all" else sites)


@pytest.mark.parametrize(("region", "table", "words"), [("Nord", SITES, "got 'Nord', and the regions are North, South."),
                                                        ("x", SITES[["site"]], "there are no regions here, and the sites are a, b, c, d, e.")])
def test_a_wrong_region_is_told_with_those_there_are(region, table, words):
    with pytest.raises(MedlibError, match=re.escape(words)):
        choose_sites(table, region)


def test_a_region_holds_its_sites_and_the_links_between_them():
    inputs, sources = catalog.load_dataset("sample")
    kept, told = keep_region(inputs, sources, "North,W1")
    chosen = {"N1", "N2", "N3", "N4", "N5", "W1"}
    assert set(kept) == set(inputs)
    for name in ("sites", "demand", "capacity", "inventory", "equipment"):
        assert set(kept[name]["site"]) == chosen and len(kept[name]) == inputs[name]["site"].isin(chosen).sum()
    links = inputs["links"]
    assert len(kept["links"]) == (links["origin"].isin(chosen) & links["destination"].isin(chosen)).sum() > 0
    assert kept["resources"].equals(inputs["resources"]) and told["rows"].item() == len(kept["demand"])
    assert "Only 6 of 20 sites are used here: North,W1." in told["notes"].item() and "Only" not in sources["notes"].item()
    same, _ = keep_region(inputs, sources, "")
    assert same is inputs


def test_resources_that_a_region_lacks_are_left_out():
    inputs = {"sites": SITES, "resources": pd.DataFrame({"resource": ["bed", "scanner"], "kind": "bed", "unit": "bed"}),
              "demand": pd.DataFrame({"date": pd.Timestamp("2025-01-01"), "site": ["a", "c"], "resource": ["bed", "scanner"], "demand": 1.0}),
              "capacity": pd.DataFrame({"site": ["a", "c"], "resource": ["bed", "scanner"], "capacity": 1.0}),
              "stay": pd.DataFrame({"resource": ["bed"], "day": [0], "survival": [1.0]})}
    kept, _ = keep_region(inputs, pd.DataFrame({"notes": ["x"], "rows": [2], "first_date": [0], "last_date": [0]}), "North")
    assert kept["resources"]["resource"].tolist() == ["bed"] and kept["demand"]["site"].tolist() == ["a"] and len(kept["stay"]) == 1
