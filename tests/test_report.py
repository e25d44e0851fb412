"""Reports: notebooks in order, parameters typed, runs that fail and go on, a page of its own, and the whole job at the end."""

import base64
import datetime
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from medlib import tables
from medlib.catalog import hash_folder
from medlib.errors import MedlibError
from medlib.report import RunFailed, files, kernel, pipeline, run
from medlib.report.pipeline import Parameter, check_parameters, convert, list_notebooks, order_chain, read_notebook
from medlib.simulate import RUNGS, SHORT_LADDER

WORKSPACE = 'workspace: str = "data/sample"  # folder of tables\n'


def write_notebook(folder, name, *cells, reads="nothing", writes="nothing", parameters="", head=None):
    """Write a notebook; a cell is source text, or markdown where it starts with '##', or (source, tag)."""
    head = head if head is not None else f"# {name}\n\nWhat is asked?\n\n**Reads** {reads}\n\n**Writes** {writes}\n"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(head, metadata={"tags": ["not-in-report"]})])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    tagged = [(parameters + WORKSPACE, "parameters"), *((cell, None) if isinstance(cell, str) else cell for cell in cells)]
    for source, tag in tagged:
        make = nbformat.v4.new_markdown_cell if source.startswith("##") else nbformat.v4.new_code_cell
        notebook.cells.append(make(source, metadata={"tags": [tag]} if tag else {}))
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def settle(project, change):
    """Let runs happen in a project of our own."""
    change.setattr(tables, "PROJECT", project)
    change.setattr(kernel, "NOTEBOOKS", project / "notebooks")
    change.setattr(run, "REPORTS", project / "reports")
    change.setattr(run, "list_notebooks", partial(list_notebooks, project / "notebooks"))
    return project


@pytest.fixture
def project(tmp_path, monkeypatch):
    return settle(tmp_path, monkeypatch)


def read_manifest(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def assert_short(message):
    assert "\n" not in message and message.endswith(".")


# --- What a notebook says about itself -------------------------------------------------------------------------------

def test_a_head_is_read_over_several_lines(tmp_path):
    head = ("# 31 More beds\n\nHow many `beds` more?\n\n**You will learn**\n* to read `capacity`\n\n"
            "**Reads** `sites`, `demand`,\n`capacity` and\n`links`\n\n**Writes** `moves`,\n`rules`\n\n**Run time** about 5 s; `later`")
    parameters = 'beds: int = 20  # staffed beds\nshare: float = -0.5\nname: str = "a"  # of it\nwhole: bool = True  # units\n'
    notebook = read_notebook(write_notebook(tmp_path, "31_more_beds", head=head, parameters=parameters))
    assert (notebook.name, notebook.title, notebook.question) == ("31_more_beds", "31 More beds", "How many `beds` more?")
    assert notebook.reads == ("sites", "demand", "capacity", "links") and notebook.writes == ("moves", "rules")
    assert notebook.parameters == {
        "beds": Parameter("beds", int, 20, "staffed beds"), "share": Parameter("share", float, -0.5, ""),
        "name": Parameter("name", str, "a", "of it"), "whole": Parameter("whole", bool, True, "units"),
        "workspace": Parameter("workspace", str, "data/sample", "folder of tables")}


def test_a_head_may_end_with_its_tables(tmp_path):
    notebook = read_notebook(write_notebook(tmp_path, "31_x", head="# 31 X\n\nWhy?\n\n**Reads** nothing\n\n**Writes** `moves`"))
    assert notebook.reads == () and notebook.writes == ("moves",)


@pytest.mark.parametrize("head", ["", "31 X\n\nWhy?\n\n**Reads** `a`\n\n**Writes** `b`", "# 31 X\n\nWhy?\n\n**Reads** `a`",
                                  "# 31 X\n\nWhy?\n\n**Writes** `a`"])
def test_a_notebook_without_a_head_is_refused_by_name(tmp_path, head):
    with pytest.raises(MedlibError, match="31_x.ipynb needs a first cell") as caught:
        read_notebook(write_notebook(tmp_path, "31_x", head=head))
    assert_short(str(caught.value))


def test_a_notebook_has_one_parameters_cell(tmp_path):
    with pytest.raises(MedlibError, match="exactly one cell tagged 'parameters'; it has 2"):
        read_notebook(write_notebook(tmp_path, "31_x", ("beds: int = 1", "parameters")))


@pytest.mark.parametrize("line", ["beds = 20", "beds: list = [1]", "beds: int = 4 * 5", "beds: int", "beds: 'int' = 3", "print(1)",
                                  "beds: np.int64 = 3", "beds: int = seed"])
def test_a_parameters_cell_holds_typed_literals_only(tmp_path, line):
    with pytest.raises(MedlibError, match="31_x.ipynb: each parameter is written") as caught:
        read_notebook(write_notebook(tmp_path, "31_x", parameters=line + "\n"))
    assert line.partition(" ")[0] in str(caught.value)


def test_only_numbered_notebooks_are_listed_in_order(tmp_path):
    for name in ("20_b", "03_a", "scratch", "5_c"):
        write_notebook(tmp_path, name)
    assert list(list_notebooks(tmp_path)) == ["03_a", "20_b"]


# --- The chain -------------------------------------------------------------------------------------------------------

@pytest.fixture
def network(tmp_path):
    """Numbers that do not tell the order: 30 -> 10 -> 20, and 40 apart."""
    for name, reads, writes in (("10_plan", "`demand`, `plan`", "`plan`"), ("20_show", "`plan`, `demand`", "nothing"),
                                ("30_collect", "nothing", "`demand`"), ("40_other", "nothing", "`other`"),
                                ("50_lost", "`nobody`", "nothing")):
        write_notebook(tmp_path, name, reads=reads, writes=writes)
    return list_notebooks(tmp_path)


@pytest.mark.parametrize("target", ["20_show", "20_show.ipynb", "notebooks/20_show.ipynb"])
def test_writers_come_before_readers(network, target):
    assert [notebook.name for notebook in order_chain([target], network)] == ["30_collect", "10_plan", "20_show"]


def test_each_notebook_runs_once_and_targets_keep_their_order(network):
    chain = order_chain(["40_other", "20_show", "10_plan"], network)
    assert [notebook.name for notebook in chain] == ["40_other", "30_collect", "10_plan", "20_show"]


@pytest.fixture
def asking(tmp_path):
    """A plan that looks at a count only where it is asked to."""
    write_notebook(tmp_path, "10_demand", writes="`demand`")
    write_notebook(tmp_path, "20_count", writes="`count`", parameters="draws: int = 9\n")
    write_notebook(tmp_path, "40_plan", head="# 40 Plan\n\nWho?\n\n**Reads** `demand`\n\n**Reads on request** `count` (`taken`)\n\n**Writes** `plan`",
                   parameters='taken: str = "stated"  # or counted\n')
    return list_notebooks(tmp_path)


@pytest.mark.parametrize(("given", "names"), [
    ({}, ["10_demand", "40_plan"]), ({"taken": "stated"}, ["10_demand", "40_plan"]), ({"draws": 3}, ["10_demand", "40_plan"]),
    ({"taken": "counted"}, ["10_demand", "20_count", "40_plan"])])
def test_a_table_is_read_on_request_of_a_parameter(asking, given, names):
    assert asking["40_plan"].reads == ("demand",) and asking["40_plan"].on_request == {"count": "taken"}
    assert [notebook.name for notebook in order_chain(["40_plan"], asking, given)] == names


def test_parameters_of_a_notebook_run_on_request_are_known_only_then(asking):
    with pytest.raises(MedlibError, match="There is no parameter 'draws'"):
        check_parameters({"draws": 3}, order_chain(["40_plan"], asking, {"draws": 3}))
    given = {"draws": 3, "taken": "counted"}
    assert check_parameters(given, order_chain(["40_plan"], asking, given)) == {"draws": 3, "taken": "counted"}


@pytest.mark.parametrize("words", ["`count`", "`count` (`given`)", "nothing"])
def test_a_request_names_a_parameter_of_the_notebook(tmp_path, words):
    head = f"# 40 Plan\n\nWho?\n\n**Reads** nothing\n\n**Reads on request** {words}\n\n**Writes** `plan`"
    with pytest.raises(MedlibError, match="40_plan.ipynb needs \\*\\*Reads on request\\*\\* followed by `table` \\(`parameter`\\)") as caught:
        read_notebook(write_notebook(tmp_path, "40_plan", head=head))
    assert_short(str(caught.value))


def test_the_real_plan_counts_devices_on_request_only():
    chains = [[notebook.name for notebook in order_chain([run.REPORT], list_notebooks(), given)]
              for given in ({}, {"supply_from": "stated"}, {"supply_from": "lower"})]
    assert chains[0] == chains[1] and set(chains[2]) - set(chains[0]) == {"21_convolutional_network", "23_transformer", "26_working_devices"}
    assert chains[2].index("26_working_devices") < chains[2].index("40_allocate")


def test_an_unknown_notebook_is_refused_with_the_names(network):
    with pytest.raises(MedlibError) as caught:
        order_chain(["20_shw"], network)
    assert_short(str(caught.value))
    assert "did you mean '20_show'" in str(caught.value) and all(name in str(caught.value) for name in network)


def test_a_table_that_nobody_writes_is_named(network):
    with pytest.raises(MedlibError, match="50_lost reads 'nobody', which no notebook writes"):
        order_chain(["50_lost"], network)


def test_the_real_chain_has_every_writer_before_its_readers():
    chain = order_chain([run.REPORT], list_notebooks())
    names = [notebook.name for notebook in chain]
    assert names[-1] == run.REPORT and names[0] == "01_collect" and len(set(names)) == len(names)
    written = set()
    for notebook in chain:
        assert set(notebook.reads) <= written, notebook.name
        written |= set(notebook.writes)
    assert set(chain[-1].reads) >= {"demand_forecast", "moves", "outcome", "ladder", "ladder_daily", "quality"}


# --- Parameters ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("kind", "given", "value"), [
    (int, "14", 14), (int, 14, 14), (int, "-3", -3), (float, "0.85", 0.85), (float, 1, 1.0), (float, "1", 1.0), (float, "2e-3", 0.002),
    (bool, "true", True), (bool, "False", False), (bool, True, True), (str, "14", "14"), (str, "", ""),
    (str, datetime.date(2021, 11, 20), "2021-11-20")])
def test_values_become_the_parameters_type(kind, given, value):
    got = convert(given, Parameter("beds", kind, None, ""))
    assert got == value and type(got) is kind


@pytest.mark.parametrize(("kind", "given"), [
    (int, "abc"), (int, "14.0"), (int, 14.0), (int, True), (int, ""), (int, [14]), (int, None), (int, {"a": 1}),
    (float, "half"), (float, True), (float, "nan"), (float, "inf"), (float, float("nan")), (float, 10**400), (bool, "yes"), (bool, 1), (bool, "1"),
    (str, 5), (str, None), (str, True), (int, datetime.date(2021, 11, 20))])
def test_values_of_another_type_are_refused(kind, given):
    with pytest.raises(MedlibError) as caught:
        convert(given, Parameter("beds", kind, None, "staffed beds"))
    assert_short(str(caught.value))
    assert all(word in str(caught.value) for word in ("'beds'", "staffed beds", kind.__name__, repr(given)))


@pytest.fixture
def chain(tmp_path):
    write_notebook(tmp_path, "10_a", writes="`x`", parameters="beds: int = 20  # staffed beds\nseed: int = 1\n")
    write_notebook(tmp_path, "20_b", reads="`x`", parameters="share: float = 0.5\nseed: int = 1\n")
    return list(list_notebooks(tmp_path).values())


def test_parameters_are_typed_and_defaults_added(chain):
    given = {"beds": "7"}
    assert check_parameters(given, chain) == {"beds": 7, "seed": 1, "share": 0.5}
    assert given == {"beds": "7"}


@pytest.mark.parametrize("name", ["bedz", "workspace", 3, None, ("a", 1)])
def test_an_unknown_parameter_is_refused_with_the_valid_names(chain, name):
    with pytest.raises(MedlibError) as caught:
        check_parameters({name: 5}, chain)
    assert_short(str(caught.value))
    assert repr(name) in str(caught.value) and "are beds, seed, share." in str(caught.value)
    assert ("did you mean 'beds'" in str(caught.value)) == (name == "bedz")


def test_a_name_means_the_same_in_every_real_notebook():
    kinds, chained = {}, {notebook.name for notebook in order_chain([run.REPORT], list_notebooks())}
    for notebook in list_notebooks().values():
        for name, parameter in notebook.parameters.items():
            kinds.setdefault(name, []).append((parameter.type, parameter.default, notebook.name))
            assert type(parameter.default) is parameter.type, f"{name} in {notebook.name}"
    for name, found in kinds.items():
        assert len({kind for kind, _, _ in found}) == 1, f"{name}: {found}"
        # One value serves the whole run, so two defaults in the chain could not both hold.
        assert len({default for _, default, where in found if where in chained}) <= 1, f"{name}: {found}"


# --- Runs without a kernel: what is written when ---------------------------------------------------------------------

@pytest.fixture
def played(project, monkeypatch):
    """Three notebooks whose execution is played; `played.errors` makes one fail, `played.seen` holds the manifests."""
    for name, reads, writes in (("10_a", "nothing", "`x`"), ("20_b", "`x`", "`y`"), ("30_c", "`y`", "nothing")):
        write_notebook(project / "notebooks", name, reads=reads, writes=writes,
                       parameters='beds: int = 20\nas_of: str = ""\nhorizon: int = 3\nseed: int = 4\n')

    def play(notebook, folder, parameters, on_cell, *_):
        play.seen.append((notebook.name, read_manifest(folder)))
        on_cell(1, 2)
        error = play.errors.get(notebook.name)
        if isinstance(error, BaseException):
            raise error
        return error

    play.seen, play.errors = [], {}
    monkeypatch.setattr(run, "execute_notebook", play)
    return play


BROKEN = {"notebook": "20_b", "cell": "3 (x = 1)", "reason": "ValueError: no", "mistake": False}


def test_the_manifest_tells_how_far_a_run_is(played):
    folder = run.start_run({"beds": "7"}, ["30_c"], "mine")
    assert [(name, manifest["status"], [row["status"] for row in manifest["notebooks"]]) for name, manifest in played.seen] == [
        ("10_a", "running", ["running", "waiting", "waiting"]), ("20_b", "running", ["done", "running", "waiting"]),
        ("30_c", "running", ["done", "done", "running"])]
    manifest = read_manifest(folder)
    assert folder == run.REPORTS / "mine" and manifest["run"] == "mine" and manifest["status"] == "done"
    assert manifest["parameters"] == {"beds": 7, "as_of": "", "horizon": 3, "seed": 4} and manifest["seed"] == 4
    assert manifest["error"] is None and manifest["seconds"] >= 0 and manifest["git_commit"] == ""
    assert set(manifest["versions"]) >= {"python", "medlib", "pandas", "pulp", "highspy", "scikit-learn", "torch"}
    assert manifest["versions"]["pandas"] == pd.__version__
    assert datetime.datetime.fromisoformat(manifest["started"]).tzinfo is not None


def test_a_failure_keeps_what_was_made_and_resume_goes_on(played):
    played.errors["20_b"] = BROKEN
    with pytest.raises(RunFailed) as caught:
        run.start_run({"beds": "7"}, ["30_c"], "mine")
    assert str(caught.value).splitlines() == ["notebook: 20_b", "cell: 3 (x = 1)", "reason: ValueError: no"]
    assert not caught.value.mistake
    folder = run.REPORTS / "mine"
    manifest = read_manifest(folder)
    assert manifest["status"] == "failed" and manifest["error"] == BROKEN
    assert [row["status"] for row in manifest["notebooks"]] == ["done", "failed", "waiting"]
    (folder / "tables").mkdir()
    (folder / "tables" / "kept.txt").write_text("made before the failure")
    played.errors.clear()
    played.seen.clear()
    assert run.resume_run("mine") == folder
    assert [name for name, _ in played.seen] == ["20_b", "30_c"]
    again = read_manifest(folder)
    assert again["status"] == "done" and again["error"] is None and again["parameters"] == manifest["parameters"]
    assert again["started"] == manifest["started"] and [row["status"] for row in again["notebooks"]] == ["done"] * 3
    assert (folder / "tables" / "kept.txt").is_file()


def test_a_stopped_run_goes_on_where_it_was(played):
    played.errors["20_b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run.start_run({}, ["30_c"], "mine")
    assert read_manifest(run.REPORTS / "mine")["status"] == "running"
    played.errors.clear()
    run.resume_run()
    assert [name for name, _ in played.seen] == ["10_a", "20_b", "20_b", "30_c"]
    assert read_manifest(run.REPORTS / "mine")["status"] == "done"


def test_resume_takes_the_youngest_unfinished_run_and_no_other(played):
    with pytest.raises(MedlibError, match="no unfinished run"):
        run.resume_run()
    run.start_run({}, ["30_c"], "whole")
    played.errors["20_b"] = BROKEN
    # The clock went back between the two: the later one bears the earlier time.
    for name, started in (("old", "2026-03-02T10:00:00+00:00"), ("young", "2026-03-01T10:00:00+00:00")):
        with pytest.raises(RunFailed):
            run.start_run({}, ["30_c"], name)
        manifest = read_manifest(run.REPORTS / name)
        (run.REPORTS / name / "run.json").write_text(json.dumps(manifest | {"started": started}))
    with pytest.raises(MedlibError, match="'whole' is complete"):
        run.resume_run("whole")
    with pytest.raises(MedlibError, match="no run 'nope'.*unfinished are: .*young"):
        run.resume_run("nope")
    played.errors.clear()
    assert run.resume_run() == run.REPORTS / "young"


def test_the_same_name_keeps_the_older_run_beside_it(played):
    for beds in ("7", "8", "9"):
        run.start_run({"beds": beds}, ["10_a"], "mine")
    assert read_manifest(run.REPORTS / "mine")["parameters"]["beds"] == 9
    kept = sorted(path.name for path in run.REPORTS.iterdir() if path.name not in ("mine", ".locks"))
    assert len(kept) == 2 and all(re.fullmatch(r"mine\.\d{14}x*", name) for name in kept)
    assert sorted(read_manifest(run.REPORTS / name)["parameters"]["beds"] for name in kept) == [7, 8]


def test_a_manifest_that_can_t_be_written_leaves_the_older_one_and_is_told(played, monkeypatch):
    replace = os.replace

    def refuse(part, path):
        if path.name == "run.json" and '"failed"' in part.read_text(encoding="utf-8"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(part, path)

    monkeypatch.setattr(files.os, "replace", refuse)
    played.errors["20_b"] = BROKEN
    with pytest.raises(RunFailed, match="ValueError: no"):
        run.start_run({}, ["30_c"], "mine")
    manifest = read_manifest(run.REPORTS / "mine")
    assert manifest["status"] == "running" and [row["status"] for row in manifest["notebooks"]] == ["done", "running", "waiting"]
    assert not list((run.REPORTS / "mine").rglob(".*"))


@pytest.mark.parametrize(("given", "targets", "name", "words"), [
    ({"bedz": 1}, ["30_c"], "mine", "no parameter 'bedz'"), ({"beds": "x"}, ["30_c"], "mine", "'beds'.* must be of type int"),
    ({}, ["99_z"], "mine", "no notebook '99_z'"), ({"horizon": "0"}, ["30_c"], "mine", "horizon must be at least 1"),
    ({"horizon": "-2"}, ["30_c"], "mine", "horizon must be at least 1"),
    *(({"as_of": day}, ["30_c"], "mine", "as_of must be a date YYYY-MM-DD")
      for day in ("yesterday", "2021-02-30", "20.11.2021", "20211120", "2021-W46-6", "2021-11-20T00:00:00", "2021-11-20 ")),
    *(({}, ["30_c"], name, "A run's name") for name in ("../up", "a b", ".hidden", "a/b", "ä", "-x"))])
def test_what_is_wrong_is_said_before_anything_is_written(played, given, targets, name, words):
    with pytest.raises(MedlibError, match=words) as caught:
        run.start_run(given, targets, name)
    assert_short(str(caught.value))
    assert not run.REPORTS.exists() and not played.seen


def test_a_date_from_yaml_is_a_date(played):
    folder = run.start_run({"as_of": datetime.date(2021, 11, 20)}, ["10_a"], "mine")
    assert read_manifest(folder)["parameters"]["as_of"] == "2021-11-20"


def test_progress_is_told_cell_by_cell(played):
    told = []
    run.start_run({}, ["20_b"], "mine", lambda notebook, *numbers: told.append((notebook.name, *numbers)))
    assert told == [("10_a", 0, 2, 1, 2), ("20_b", 1, 2, 1, 2)]


def test_the_commit_is_told_where_there_is_one():
    assert re.fullmatch(r"([0-9a-f]{40}\+?)?", run.read_commit())


# --- Runs with a kernel ----------------------------------------------------------------------------------------------

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
LOG = "from pathlib import Path\nfolder = Path('..') / workspace\nfolder.mkdir(parents=True, exist_ok=True)\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of two small notebooks, the second being the report."""
    with pytest.MonkeyPatch.context() as change:
        project = settle(tmp_path_factory.mktemp("project"), change)
        write_notebook(project / "notebooks", "10_a", LOG + "(folder / 'a.txt').write_text(f'{beds} {share} {whole} {name}')",
                       "print('made', beds)", writes="`x`",
                       parameters='beds: int = 20\nshare: float = 0.5\nwhole: bool = False\nname: str = ""\nseed: int = 1\n')
        write_notebook(
            project / "notebooks", run.REPORT,
            ("from IPython.display import HTML, Image, Markdown, display  # SECRET SOURCE\nprint('PREPARED')", "not-in-report"),
            "display(Markdown('# Beds & \"more\" <i>now</i> 1 < 2'))",
            "## What was asked\n\nSee [the source](https://example.org/a).",
            "display(Markdown('## Before & after'), HTML('<table><tr><td>12,345</td></tr></table>'))",
            f"display(Image(data={PIXEL!r}, format='png'))", "(Path := __import__('pathlib').Path)('../' + workspace, 'a.txt').read_text()",
            reads="`x`", parameters='title: str = "<script>alert(1)</script>"\nseed: int = 1\n')
        told = []
        folder = run.start_run({"beds": "7", "whole": "true", "name": "O'Neill \"x\""}, [run.REPORT], "mine",
                               lambda notebook, *numbers: told.append((notebook.name, *numbers)))
        yield folder, told


def test_a_run_leaves_tables_notebooks_page_and_manifest(finished):
    folder, _ = finished
    assert sorted(path.name for path in folder.iterdir()) == ["notebooks", "report.html", "run.json", "tables"]
    assert (folder / "tables" / "a.txt").read_text() == "7 0.5 True O'Neill \"x\""
    for name in ("10_a", run.REPORT):
        executed = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        counts = [cell.execution_count for cell in executed.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))
    manifest = read_manifest(folder)
    assert manifest["status"] == "done" and [row["status"] for row in manifest["notebooks"]] == ["done", "done"]
    assert manifest["seconds"] >= sum(row["seconds"] for row in manifest["notebooks"]) - 0.2 > 0


def test_the_notebooks_themselves_stay_as_they_were(finished):
    folder, _ = finished
    sources = folder.parents[1] / "notebooks"
    assert sorted(path.name for path in sources.iterdir()) == ["10_a.ipynb", "50_report.ipynb"]
    assert all(cell.get("outputs", []) == [] for cell in nbformat.read(sources / "10_a.ipynb", as_version=4).cells)


def test_progress_reaches_the_last_cell(finished):
    _, told = finished
    for position, name in enumerate(("10_a", run.REPORT)):
        steps = [numbers for title, *numbers in told if title == name]
        assert all(numbers[:2] == [position, 2] for numbers in steps)
        done = [numbers[2] for numbers in steps]
        assert done == sorted(done) and done[-1] == steps[-1][3] > 1


def log_run(name):
    return LOG + f"with open(folder / 'log.txt', 'a') as file:\n    file.write('{name}\\n')"


def test_a_failing_cell_ends_the_run_in_three_lines_and_is_gone_on_from(project):
    write_notebook(project / "notebooks", "10_a", log_run("10_a"), writes="`x`")
    write_notebook(project / "notebooks", "20_b", log_run("20_b"),
                   "# divide\nshare = 1 / int((folder / 'beds.txt').exists())\n(folder / 'b.txt').write_text('x')", "print('later')",
                   reads="`x`")
    with pytest.raises(RunFailed) as caught:
        run.start_run({}, ["20_b"], "mine")
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["notebook", "cell", "reason"]
    assert "20_b" in lines[0] and "# divide" in lines[1] and "ZeroDivisionError: division by zero" in lines[2]
    assert not caught.value.mistake
    folder = run.REPORTS / "mine"
    assert (folder / "tables" / "log.txt").read_text().split() == ["10_a", "20_b"]
    assert {path.name for path in (folder / "notebooks").iterdir()} == {"10_a.ipynb", "20_b.ipynb"}
    (folder / "tables" / "beds.txt").write_text("1")
    run.resume_run("mine")
    assert (folder / "tables" / "log.txt").read_text().split() == ["10_a", "20_b", "20_b"]
    assert (folder / "tables" / "b.txt").is_file() and read_manifest(folder)["status"] == "done"


def test_a_users_mistake_in_a_notebook_is_told_as_such(project):
    write_notebook(project / "notebooks", "10_a", "from medlib.errors import MedlibError\n"
                   "raise MedlibError('as_of must lie in the data;\\n got 1999.')")
    with pytest.raises(RunFailed) as caught:
        run.start_run({}, ["10_a"], "mine")
    assert caught.value.mistake and str(caught.value).splitlines()[2] == "reason: as_of must lie in the data; got 1999."
    assert read_manifest(run.REPORTS / "mine")["error"]["mistake"] is True


def test_a_kernel_that_dies_ends_the_run_the_same_way(project):
    write_notebook(project / "notebooks", "10_a", "import os\nos._exit(3)")
    with pytest.raises(RunFailed) as caught:
        run.start_run({}, ["10_a"], "mine")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and "10_a" in lines[0] and "died" in lines[2].lower() and not caught.value.mistake
    assert read_manifest(run.REPORTS / "mine")["status"] == "failed"


# --- The page --------------------------------------------------------------------------------------------------------

class Page(HTMLParser):
    """What a page asks for and says."""

    VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.text = [], [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self.open:
            self.text.setdefault(tag, []).append(data)

    def find(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def say(self, tag):
        return "".join(self.text.get(tag, []))


def assert_asks_for_nothing(page, folder):
    """Nothing is fetched to show the page; links lead within it, to files beside it, or are followed by hand."""
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "frame", "audio", "video", "source"}
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "data", "poster", "background", "action", "xlink:href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name, attributes[name][:80])
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "url(" not in (attributes.get("style") or "")
        if "href" in attributes and not re.match("#|https?://", attributes["href"]):
            assert (folder / attributes["href"]).is_file(), attributes["href"]
        assert "href" not in attributes or tag == "a"
    assert not re.search(r"url\(|@import", page.say("style"))
    anchors = [attributes["id"] for attributes in page.find("h2")]
    assert len(anchors) == len(set(anchors)) > 1
    start, end = page.tags.index(next(tag for tag in page.tags if tag[0] == "nav")), page.tags.index(
        next(tag for tag in page.tags if tag[0] == "main"))
    assert [attributes["href"] for tag, attributes in page.tags[start:end] if tag == "a"] == [f"#{anchor}" for anchor in anchors]


@pytest.fixture(scope="module")
def page(finished):
    return Page(finished[0] / "report.html")


def test_the_page_asks_for_nothing_outside_itself(page, finished):
    assert_asks_for_nothing(page, finished[0])
    assert [attributes["src"] for attributes in page.find("img")] == ["data:image/png;base64," + base64.b64encode(PIXEL).decode()]


def test_the_contents_name_every_head(page):
    words = [word.strip() for word in page.text["nav"] if word.strip()]
    assert words == ["What was asked", "Before & after", "Model and data card", "Provenance"]


def test_the_title_is_text(page, finished):
    assert page.say("title") == 'Beds & "more" now 1 < 2'
    head = (finished[0] / "report.html").read_text(encoding="utf-8").partition("<body>")[0]
    assert "Beds &amp; " in head and "1 &lt; 2" in head


def test_code_is_hidden_and_outputs_are_shown(page):
    shown = page.say("main")
    assert "12,345" in shown and "O'Neill" in shown
    assert "SECRET" not in shown and "PREPARED" not in shown and "What is asked?" not in shown and "display(" not in shown


def test_the_page_tells_where_it_comes_from(page, finished):
    shown = page.say("main")
    manifest = read_manifest(finished[0])
    for fact in ("mine", "no git history", manifest["versions"]["pandas"], manifest["versions"]["python"], "O'Neill \"x\"",
                 "<script>alert(1)</script>", "beds", "whole"):
        assert fact in shown
    assert {attributes.get("href") for attributes in page.find("a")} >= {"notebooks/10_a.ipynb", "notebooks/50_report.ipynb",
                                                                         "https://example.org/a"}


# --- The whole job ---------------------------------------------------------------------------------------------------

MEDLIB = shutil.which("medlib", path=os.path.dirname(sys.executable)) or "medlib"
PROJECT = tables.PROJECT


def ask(*arguments):
    """Start the command line as a person would; whatever they typed before it is left out of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDLIB_")}
    return subprocess.Popen([MEDLIB, *arguments], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, encoding="utf-8")


def test_a_folder_becomes_the_same_report_twice(tmp_path):
    data, names = tmp_path / "two hospitals", [f"test-{os.getpid()}-{letter}" for letter in "ab"]
    folders = [PROJECT / "reports" / name for name in names]
    template = ask("check", "--template", str(data))
    assert template.wait(60) == 0
    try:
        # Both at once: the second run has nothing to take over from the first, and two cores are used.
        runs = [ask("report", "--dataset", str(data), "-p", "horizon=7", "-p", "trees=10", "-p", "origins=2", "--run-name", name)
                for name in names]
        for process, name in zip(runs, names):
            out, err = process.communicate(timeout=500)
            assert process.returncode == 0, err
            assert out.splitlines()[-1].replace("\\", "/") == f"report: reports/{name}/report.html"
            assert "Traceback" not in err
        check_report(folders[0], data, names[0])
        left, right = ({path.name: path.read_bytes() for path in (folder / "tables").iterdir()} for folder in folders)
        assert left.keys() == right.keys()
        assert [name for name in left if left[name] != right[name]] == []
    finally:
        for process in runs:
            if process.poll() is None:
                process.kill()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def check_report(folder, data, name):
    manifest = read_manifest(folder)
    assert manifest["run"] == name and manifest["status"] == "done" and manifest["error"] is None and manifest["seconds"] > 1
    assert manifest["parameters"]["dataset"] == str(data.resolve())
    assert {key: manifest["parameters"][key] for key in ("horizon", "trees", "origins", "seed", "planning_occupancy", "integer")} == {
        "horizon": 7, "trees": 10, "origins": 2, "seed": 1, "planning_occupancy": 0.9, "integer": False}
    (source,) = manifest["datasets"]
    assert source["dataset"] == data.name and source["sha256"] == hash_folder(data) and source["rows"] == 378
    assert manifest["versions"]["pandas"] == pd.__version__
    ladder = manifest["ladder"]
    assert list(ladder) == list(SHORT_LADDER)
    for rung in ladder.values():
        assert {"shortage", "transfers", "gap_closed"} <= rung.keys()
        assert rung["shortage"] >= ladder["perfect"]["shortage"] - 1e-3 and rung["shortage"] >= rung["bound"] - 1e-3
    assert ladder["none"]["transfers"] == 0 < ladder["none"]["shortage"]

    made = {path.stem: pd.read_parquet(path) for path in (folder / "tables").glob("*.parquet")}
    assert len(made) == len(list((folder / "tables").iterdir()))
    assert set(made) == {table for notebook in order_chain([run.REPORT], list_notebooks()) for table in notebook.writes}
    # The outcome against the files that were given, read without medlib.
    needed = pd.read_csv(data / "demand.csv", parse_dates=["date"])
    last = needed[needed["date"] > needed["date"].max() - pd.Timedelta(days=7)]
    there = last.merge(pd.read_csv(data / "capacity.csv"), on=["site", "resource"]).sort_values(["date", "site", "resource"])
    outcome = made["outcome"].sort_values(["date", "site", "resource"])
    for column in ("date", "site", "resource", "demand", "capacity"):
        assert outcome[column].tolist() == there[column].tolist(), column
    assert made["demand_forecast"]["as_of"].unique().tolist() == [needed["date"].max() - pd.Timedelta(days=7)]
    assert manifest["ladder"]["stochastic"]["shortage"] == pytest.approx(
        made["ladder"].set_index(["rung", "resource"]).loc[("stochastic", "all"), "shortage"])

    executed = sorted(path.stem for path in (folder / "notebooks").iterdir())
    assert executed == sorted(row["name"] for row in manifest["notebooks"])
    page = Page(folder / "report.html")
    assert_asks_for_nothing(page, folder)
    shown = page.say("main")
    for fact in ("Central Hospital (made up)", "North Hospital (made up)", source["sha256"], source["attribution"], "90%",
                 "26 February 2024", *(RUNGS[rung] for rung in SHORT_LADDER)):
        assert fact in shown
    assert len(page.find("img")) >= 4 and "tables.read" not in shown


def test_notebooks_that_need_each_other_are_refused():
    def notebook(name, reads, writes):
        return pipeline.Notebook(name, Path(f"{name}.ipynb"), name, "?", (reads,), (writes,), {})

    both = {"01_a": notebook("01_a", "moves", "demand"), "02_b": notebook("02_b", "demand", "moves")}
    with pytest.raises(MedlibError, match="01_a, 02_b need each other's tables"):
        order_chain(["01_a"], both)
