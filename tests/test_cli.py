"""The command line: what it prints, and a user's mistake as one or two sentences on stderr with exit code 2."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pooch
import pytest
from PIL import Image

from medlib import catalog, cli, report, schema, tables
from medlib.catalog import CATALOG
from medlib.intake import write_template
from medlib.recognise.panels import STATES, draw_panels
from medlib.report import RunFailed, list_notebooks, order_chain


@pytest.fixture
def ask(monkeypatch, capsys, tmp_path):
    """Run a command as typed, in an empty folder; gives exit code, stdout and stderr. No run may begin."""
    def execute(notebook, *_):
        raise AssertionError(f"{notebook.name} was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDLIB_MIRROR", raising=False)
    monkeypatch.setattr("medlib.report.run.REPORTS", tmp_path / "runs")
    monkeypatch.setattr("medlib.report.run.execute_notebook", execute)

    def ask(*words):
        monkeypatch.setattr(sys, "argv", ["medlib", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and not (tmp_path / "runs").exists()
        return code, out, err

    return ask


def assert_refused(answer, *facts):
    """Exit code 2, nothing on stdout, one line of one or two sentences that tells the facts."""
    code, out, err = answer
    assert (code, out) == (2, ""), answer
    assert err.endswith("\n") and "\n" not in err[:-1] and err.strip().endswith((".", "?")), err
    assert len(re.findall(r"[.?!](?=\s+[A-Z])", err.strip())) <= 1, err
    for fact in facts:
        assert str(fact) in err, err


# --- check -----------------------------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    write_template(tmp_path / "mine")
    return tmp_path / "mine"


def test_check_passes_a_good_folder(ask, folder):
    code, out, err = ask("check", folder)
    assert (code, err) == (0, "") and "passes" in out and "demand 378 rows" in out


def test_check_looks_here_unless_told(ask, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert ask("check")[0] == 0


def test_check_lists_every_problem_with_its_place(ask, folder):
    demand, sites = folder / "demand.csv", folder / "sites.csv"
    lines = demand.read_text().splitlines()
    lines[4], lines[9] = "2024-01-01,centre,antibiotic,-7", "02.01.2024,north,bed,20"
    demand.write_text("\n".join(lines) + "\n")
    sites.write_text(sites.read_text().replace("54.10", "abc"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, out, _ = ask("check", folder)
    assert code == 2
    problems = [line for line in out.splitlines() if "expected" in line]
    for file, row, column, value in (("demand.csv", 5, "demand", "-7"), ("demand.csv", 10, "date", "02.01.2024"),
                                     ("sites.csv", 2, "latitude", "abc")):
        assert any(all(word in line for word in (file, f"row {row}", f"column {column}", repr(value))) for line in problems), out
    assert f"{len(problems)} problem(s)" in out
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_check_shows_a_few_of_what_one_mistake_makes_and_all_when_asked(ask, folder):
    demand = folder / "demand.csv"
    text = re.sub(r"^(\d+)-(\d+)-(\d+)", r"\3.\2.\1", demand.read_text(), flags=re.M)
    demand.write_text(text.replace("01.01.2024,centre,bed", "45292,centre,bed", 1))
    code, out, _ = ask("check", folder)
    lines = out.splitlines()
    assert code == 2 and len(lines) == 3 + 1 + 1 + 1 and "378 problem(s)" in lines[-1]
    assert lines[3] == "… and 374 more in demand.csv, column date (--all prints them)"
    assert "got '45292'" in lines[4], "what differs is not hidden"
    code, out, _ = ask("check", folder, "--all")
    assert code == 2 and len(out.splitlines()) == 378 + 1 and "more in" not in out


def test_check_notes_what_is_missing_where_all_is_well(ask, folder):
    *notes, last = ask("check", folder)[1].splitlines()[1:]
    first, rest = notes[0], notes[1:]
    assert first == "demand: daily, 2024-01-01 to 2024-03-03; no gaps" and last == f"Next: medlib report --dataset {folder} --as-of 2024-03-03"
    bed = pd.read_csv(folder / "demand.csv").query("resource == 'bed'")["demand"].max()
    assert any(line.startswith(f"bed: at one site up to {bed:g} needed and ") and line.endswith("in place or delivered in a day") for line in rest), rest
    assert rest[-1] == "sites: latitude 53.55° N to 54.1° N, longitude 12.1° E to 12.3° E"
    (folder / "links.csv").unlink()
    (folder / "stock.csv").write_text("site,resource,expires,arrives,units\nnorth,antibiotic,,,500\n")
    demand = folder / "demand.csv"
    lines = demand.read_text().splitlines()
    lines[5] = lines[5].rpartition(",")[0] + ","
    del lines[31:37], lines[20]  # all rows of a day, and one of another
    demand.write_text("\n".join(lines) + "\n")
    code, out, _ = ask("check", folder)
    assert code == 0 and out.splitlines()[1:] == [
        "demand: daily, 2024-01-01 to 2024-03-03; 1 day missing, 1 row missing on other dates, 1 cell empty", *rest,
        "stock: for `medlib allocate` only; a report does not read it", "links not there: distances are computed from coordinates", last]


def test_tables_of_a_run_are_exported_locked_ones_with_the_key_only(ask, tmp_path, monkeypatch):
    moves = tables.read("moves", "data/sample")
    tables.write(moves, "moves", tmp_path / "run" / "tables")
    code, out, _ = ask("export", "run", "sheets")
    assert code == 0 and out == f"sheets: moves {len(moves):,} rows\n"
    back = pd.read_csv(tmp_path / "sheets" / "moves.csv", parse_dates=["date", "arrival"])
    pd.testing.assert_frame_equal(back, moves, check_dtype=False)
    monkeypatch.setenv("MEDLIB_KEY", ask("make-key")[1].strip())
    assert ask("lock", "run/tables")[0] == 0 and ask("export", "run", "again")[0] == 0
    monkeypatch.delenv("MEDLIB_KEY")
    assert_refused(ask("export", "run", "locked"), "MEDLIB_KEY")
    assert not (tmp_path / "locked").exists()


def test_check_without_tables_names_the_missing_ones(ask, tmp_path):
    code, out, _ = ask("check", tmp_path)
    assert code == 2 and all(f"{name}.csv" in out for name in ("sites", "resources", "demand", "capacity"))


def test_a_template_is_written_once(ask, tmp_path):
    code, out, _ = ask("check", "--template", "new")
    assert code == 0 and "new" in out and "data/dictionary.md" in out and ask("check", "new")[0] == 0
    assert_refused(ask("check", "--template", "new"), "new")


@pytest.mark.parametrize("name", ["nowhere", "file.csv"])
def test_check_refuses_what_is_no_folder(ask, tmp_path, name):
    (tmp_path / "file.csv").write_text("x")
    assert_refused(ask("check", name), name)


# --- Lists -----------------------------------------------------------------------------------------------------------

def test_datasets_tells_what_there_is(ask):
    code, out, err = ask("datasets")
    assert (code, err) == (0, "")
    for entry in CATALOG.values():
        block = re.search(rf"^{entry.name}: .*?(?=^\S|\Z)", out, re.M | re.S)[0]
        for fact in (entry.title, entry.what, entry.where, entry.span, f"{entry.rows:,}", entry.licence):
            assert fact in block
        assert ("offline" in block) == (not entry.file) and (f"{entry.size_mb:g} MB" in block) == bool(entry.file)
        assert ("downloaded" in block) == bool(entry.url)


def test_parameters_names_each_with_type_default_and_unit(ask):
    code, out, err = ask("parameters")
    assert (code, err) == (0, "")
    cells = [[cell.strip() for cell in re.split("[│|┃]", line)[1:-1]] for line in out.splitlines() if "│" in line]
    listed = {row[0]: row for row in cells if row[0]}
    for notebook in order_chain([report.REPORT], list_notebooks()):
        for parameter in notebook.parameters.values():
            if parameter.name != "workspace":
                assert listed[parameter.name][1:3] == [parameter.type.__name__, str(parameter.default)]
    assert "workspace" not in listed
    about = " ".join(row[3] for row in cells)
    assert "YYYY-MM-DD" in about and "cost points" in about


def test_parameters_fit_a_narrow_terminal(ask, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = ask("parameters")[1]
    lines = [line for line in out.splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80 and all(line[-1] in "┓┃┩│┘" for line in lines) and "(20)" in out


def test_dictionary_is_the_stored_one(ask):
    code, out, err = ask("dictionary")
    assert (code, err, out.strip()) == (0, "", schema.format_dictionary().strip())


def test_index_is_that_of_the_notebooks(ask):
    code, out, err = ask("index")
    assert (code, err) == (0, "") and all(f"notebooks/{name}.ipynb" in out for name in list_notebooks())


# --- Parameters that cannot be used ----------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["report", "run"])
@pytest.mark.parametrize(("words", "facts"), [
    (["-p", "horizon"], ["NAME=VALUE", "'horizon'"]), (["-p", "=3"], ["NAME=VALUE", "no name"]),
    (["-p", "horizon=0"], ["horizon", "at least 1", "got 0"]), (["-p", "horizon=-5"], ["horizon", "at least 1", "got -5"]),
    (["-p", "horizon=abc"], ["'horizon'", "int", "'abc'"]), (["-p", "horizon="], ["'horizon'", "int", "''"]),
    (["-p", "planning_occupancy=nan"], ["'planning_occupancy'", "float", "'nan'"]),
    (["-p", "integer=maybe"], ["'integer'", "bool", "'maybe'"]),
    (["-p", "horizn=3"], ["'horizn'", "did you mean 'horizon'", "planning_occupancy", "as_of"]),
    (["-p", "workspace=here"], ["'workspace'", "dataset"]),
    (["--as-of", "yesterday"], ["as_of", "YYYY-MM-DD", "'yesterday'"]), (["-p", "as_of=2021-02-30"], ["as_of", "'2021-02-30'"]),
    (["--dataset", "icu_germny"], ["'icu_germny'", "icu_germany", "sample", "medlib datasets"]),
    (["--run-name", "../x"], ["'../x'"])])
def test_a_bad_parameter_is_refused(ask, command, words, facts):
    assert_refused(ask(command, *words), *facts)


YAML = {
    "broken": (b"horizon: [1,\n", ["not YAML", "line"]), "list": (b"- horizon\n", ["name: value", "list"]), "text": (b"horizon", ["str"]),
    "encoding": (b"title: \xff\xfe\n", ["can't be read"]), "no date": (b"as_of: 2021-13-45\n", ["can't be read", "month"]),
    "name": (b"horizn: 3\n", ["'horizn'", "'horizon'"]), "number": (b"3: 4\n", ["no parameter 3"]),
    "null": (b"~: 4\n", ["no parameter None"]),
    "type": (b"horizon: 14.0\n", ["'horizon'", "int", "14.0"]), "nested": (b"trees: {a: 1}\n", ["'trees'", "int"]),
    "code": (b"trees: !!python/object/apply:os.getcwd []\n", ["not YAML"]), "control": (b"\x00: 1\n", ["not YAML"]),
    "date": (b"as_of: 2021-11-20 10:00:00\n", ["as_of", "YYYY-MM-DD"]), "zero": (b"horizon: 0\n", ["horizon", "at least 1"])}


@pytest.mark.parametrize(("content", "facts"), YAML.values(), ids=YAML)
def test_a_bad_parameter_file_is_refused(ask, tmp_path, content, facts):
    (tmp_path / "mine.yaml").write_bytes(content)
    assert_refused(ask("report", "-f", "mine.yaml"), *facts, *(["mine.yaml"] if "not YAML" in facts or "can't be read" in facts else []))


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_parameter_file_that_is_not_there_is_named(ask, name):
    assert_refused(ask("report", "-f", name), name, "can't be read")


@pytest.mark.parametrize(("words", "facts"), [
    (["99_none"], ["'99_none'", "50_report"]), (["50_reprt"], ["did you mean '50_report'"]),
    (["--resume", "50_report"], ["resumed run"]), (["--resume", "-p", "horizon=3"], ["resumed run"]),
    (["--resume", "--run-name", "nowhere-at-all"], ["'nowhere-at-all'"])])
def test_a_run_that_cannot_be_is_refused(ask, words, facts):
    assert_refused(ask("run", *words), *facts)


def test_a_folder_with_problems_is_refused_with_the_way_to_see_them(ask, folder):
    (folder / "capacity.csv").unlink()
    assert_refused(ask("report", "--dataset", "mine"), "1 problem", "capacity.csv", "medlib check mine")


def test_a_dataset_out_of_reach_is_one_sentence(ask, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(catalog, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", refuse)
    assert_refused(ask("report", "--dataset", "icu_germany"), "icu_germany", "network", "MEDLIB_MIRROR")


@pytest.mark.parametrize("words", [["nonsense"], ["report", "--nonsense"], ["report", "extra"], ["report", "-p"], ["check", "a", "b"],
                                   ["report", "--dataset"], ["run", "--resume=yes"]])
def test_a_mistyped_command_is_told_its_usage(ask, words):
    code, out, err = ask(*words)
    assert (code, out) == (2, "") and "Error" in err


def test_help_names_every_command(ask):
    code, out, _ = ask("--help")
    assert code == 0 and all(name in out for name in ("report", "run", "check", "datasets", "parameters", "dictionary"))
    assert "--dataset" in ask("report", "--help")[1]


# --- What reaches a run ----------------------------------------------------------------------------------------------

class Started(list):
    """What runs would be started with, and their options."""

    def __init__(self):
        super().__init__()
        self.options = []


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Catch what a run would be started with; it leaves a page."""
    given = Started()
    (tmp_path / "reports" / "mine").mkdir(parents=True)
    (tmp_path / "reports" / "mine" / "report.html").write_text("x")

    def start(*what, **options):
        given.append(what[:-1])
        given.options.append(options)
        return tmp_path / "reports" / "mine"

    monkeypatch.setattr(report, "start_run", start)
    monkeypatch.setattr(report, "resume_run", start)
    return given


def test_options_overrule_p_and_p_overrules_the_file(ask, started, tmp_path):
    (tmp_path / "mine.yaml").write_text("dataset: a\nas_of: 2021-01-01\nhorizon: 3\ntitle: 'x'\n")
    code, out, _ = ask("report", "-f", "mine.yaml", "-p", "dataset=b", "-p", "horizon=7", "-p", "title=a = b",
                       "--dataset", "c", "--run-name", "n")
    assert (code, out.splitlines()[-1].replace(os.sep, "/")) == (0, "report: reports/mine/report.html")
    (given, targets, name), = started
    assert {key: str(value) for key, value in given.items()} == {"dataset": "c", "as_of": "2021-01-01", "horizon": "7", "title": "a = b"}
    assert (targets, name) == ([report.REPORT], "n")


def test_an_empty_file_gives_nothing(ask, started, tmp_path):
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    assert ask("report", "-f", "mine.yaml")[0] == 0 and started[0][0] == {}


def test_notebooks_may_be_named(ask, started):
    ask("run", "20_random_forest", "02_prepare", "-p", "trees=5")
    ask("run", "--resume", "--run-name", "n")
    assert started == [({"trees": "5"}, ["20_random_forest", "02_prepare"], ""), ("n",)]


def test_a_run_without_a_page_names_its_folder(ask, started, tmp_path):
    (tmp_path / "reports" / "mine" / "report.html").unlink()
    assert ask("run", "01_collect")[1].replace(os.sep, "/") == "run: reports/mine\n"


@pytest.mark.parametrize(("mistake", "code"), [(True, 2), (False, 1)])
def test_a_failed_run_ends_in_three_lines(ask, monkeypatch, mistake, code):
    def fail(*_, **__):
        raise RunFailed("notebook: 20_b\ncell: 3 (x = 1)\nreason: it did", mistake)

    monkeypatch.setattr(report, "start_run", fail)
    assert ask("report") == (code, "", "notebook: 20_b\ncell: 3 (x = 1)\nreason: it did\n")


def test_the_mirror_is_handed_on_as_a_whole_path(ask, started, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDLIB_MIRROR", "data")
    ask("report")
    assert os.environ["MEDLIB_MIRROR"] == str((tmp_path / "data").resolve())


def test_the_installed_command_ends_the_same_way(tmp_path):
    medlib = shutil.which("medlib", path=os.path.dirname(sys.executable))
    done = subprocess.run([medlib, "report", "-p", "horizon=0"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"horizon must be at least 1\b.*; got 0\.\n", done.stderr)


# --- Photographs -----------------------------------------------------------------------------------------------------

@pytest.fixture
def photos(tmp_path):
    """Drawn panels as files, a folder a state."""
    pictures, states = draw_panels(44, ["north"], 1, (0.5, 0, 0.5, 0), wear=0.2)
    for number, (picture, state) in enumerate(zip(pictures, states)):
        file = tmp_path / "photos" / STATES[state] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file, quality=95)
    return tmp_path / "photos"


def test_photographs_teach_and_are_labelled(ask, photos):
    (photos / "off" / "broken.jpg").write_bytes(b"no picture")
    code, out, err = ask("train-photos", photos, "--output", "made/weights.pt", "--epochs", 20)
    assert code == 0 and "broken.jpg" in err and "44 pictures of off, working; 1 refused; 14 held out" in out
    assert float(re.search(r"held out: ([\d.]+) \(colours alone: [\d.]+\)", out)[1]) > 0.7 and "expected calibration error: 0." in out
    code, out, err = ask("label-photos", "made/weights.pt", photos / "off", "nowhere.png", photos / "working", "--output", "labels.csv")
    labels = pd.read_csv("labels.csv")
    assert (code, err) == (0, "") and list(labels) == ["file", "state", "confidence", "probability_off", "probability_working",
                                                       "left_to_people", "refused"]
    read = labels[labels["refused"].isna()]
    assert len(read) == 44 and f"{len(labels)} pictures" in out and "of these 2 could not be read" in out
    assert (read["state"] == read["file"].map(lambda name: os.path.basename(os.path.dirname(name)))).mean() > 0.7
    assert (read["left_to_people"] == (read["confidence"] < 0.9)).all()
    assert read["confidence"].to_numpy() == pytest.approx(read[["probability_off", "probability_working"]].max(axis=1))
    bad = labels.drop(read.index)
    assert bad["left_to_people"].all() and bad["state"].isna().all() and [os.path.basename(name) for name in bad["file"]] == ["broken.jpg", "nowhere.png"]


def test_too_few_photographs_are_refused(ask, photos):
    for file in sorted((photos / "off").iterdir())[9:]:
        file.write_bytes(b"no picture")
    assert_refused(ask("train-photos", photos, "--output", "weights.pt"), "at least 10 pictures a state", "got 9 of 'off'")
    assert_refused(ask("train-photos", photos / "off", "--output", "weights.pt"), "a folder of pictures for each state")
    assert not os.path.exists("weights.pt")


@pytest.mark.parametrize("body", [None, b"no weights", b""])
def test_weights_that_are_none_are_refused(ask, photos, tmp_path, body):
    if body is not None:
        (tmp_path / "weights.pt").write_bytes(body)
    assert_refused(ask("label-photos", "weights.pt", photos, "--output", "labels.csv"), "weights.pt")
    assert not os.path.exists("labels.csv")


# --- Hostile words ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rule", "words"), [
    ("handover_days=0.5", "a whole number"), ("integer=2", "true or false"), ("protect_sites=nan", "takes"), ("handover_days=inf", "takes a number"),
    ("handover_days=1e999", "takes a number"), ("los_days=nan", "above 0")])
def test_a_rule_is_never_rounded_in_silence(ask, folder, rule, words):
    assert_refused(ask("allocate", folder, "-p", rule), rule.partition("=")[0], words)


def test_a_rule_says_yes_or_no_in_words():
    assert cli._read_rules(["integer=TRUE", "protect_sites=0", "handover_days=1.0"]) == {"integer": True, "protect_sites": False, "handover_days": 1}


@pytest.mark.parametrize("words", [["allocate", "{long}"], ["export", "sample", "{long}"], ["report", "--dataset", "{long}"], ["report", "-f", "{long}"],
                                   ["check", "{long}"]])
def test_a_name_that_no_system_takes_is_refused(ask, words):
    code, out, err = ask(*(word.replace("{long}", "x" * 5000) for word in words))
    assert code == 2 and err.count("\n") == 1 and len(err) < 2100


@pytest.mark.parametrize("content", [b"horizon: &a [*a]", b"title: " + b"[" * 3000, b"horizon: 0x" + b"f" * 5000, b"horizon: " + b"9" * 5000])
def test_a_parameter_file_that_unfolds_is_refused(ask, tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    assert_refused(ask("report", "-f", "mine.yaml"), "mine.yaml")


def test_options_of_a_run_are_handed_on(ask, started):
    ask("report", "--time-limit", "5", "--smallest-count", "11", "--accept", "tables/demand", "--accept", "report.html")
    ask("report")
    assert started.options[0] == {"time_limit": 5.0, "smallest_count": 11, "accepted": ["tables/demand", "report.html"]}
    assert started.options[1] == {"time_limit": 60.0, "smallest_count": None, "accepted": []}


def test_a_resumed_run_accepts_places_but_keeps_its_smallest_count(ask, started):
    ask("run", "--resume", "--accept", "tables/demand")
    assert started.options[0] == {"time_limit": None, "accepted": ["tables/demand"]}
    assert_refused(ask("run", "--resume", "--smallest-count", "3"), "smallest count")


def test_a_mistyped_parameter_is_not_told_back_whole(ask):
    code, _, err = ask("report", "-p", "password:hunter2")
    assert code == 2 and "hunter2" not in err


def test_tables_are_locked_and_unlocked(ask, tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n")
    monkeypatch.setenv("MEDLIB_KEY", ask("make-key")[1].strip())
    assert ask("lock", tmp_path)[0] == 0 and not (tmp_path / "x.csv").exists()
    assert ask("unlock", tmp_path)[0] == 0 and (tmp_path / "x.csv").read_text() == "a\n1\n"
    monkeypatch.delenv("MEDLIB_KEY")
    assert_refused(ask("lock", tmp_path), "MEDLIB_KEY", "make-key")
