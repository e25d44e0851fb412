"""The course: sources that pass their own checks, notebooks generated from them, and hints that lead and give no answer."""

import ast
import re
import shutil

import nbformat
import numpy as np
import pytest

from medlib.course import check, judge
from medlib.course.check import check_exercise
from medlib.course.exercises import (EXERCISES, HIDDEN, LEVELS, find_blanks, format_exercise, get_tags, list_exercises, read_exercise, split_tasks,
                                     write_exercises)
from medlib.errors import MedlibError
from medlib.report.pipeline import NOTEBOOKS

NAMES = list_exercises()

# --- Wrong answers: exercise -> task -> (code that a learner might write, words of the hint that has to come) ----------------

WRONG = {
    "E01": {
        1: [("rate = (100_000 * monday['demand'] / monday['population']).groupby(monday['region']).mean()", "small site"),
            ("one = monday.groupby('region')[['demand', 'population']].sum()\nrate = one['demand'] / one['population']", "unit is wrong"),
            ("rate = 100_000 * monday['demand'].sum() / monday['population'].sum()", "must be a Series")],
        2: [("pressure = pd.Series((need['demand'] / beds['capacity']).values, beds['site'])\nfull = []", "missing is not a zero"),
            ("rows = need.merge(beds, on='site').dropna().set_index('site')\npressure = rows['demand'] / rows['capacity']\nfull = []", "a site is gone"),
            ("rows = beds.merge(need, how='left').set_index('site')\npressure = (rows['demand'] / rows['capacity']).fillna(0)\nfull = []",
             "missing is not a zero"),
            ("rows = beds.merge(need, how='left').set_index('site')\npressure = 100 * rows['demand'] / rows['capacity']\nfull = []", "percent"),
            ("rows = beds.merge(need, how='left').set_index('site')\npressure = rows['demand'] / rows['capacity']\nfull = list(pressure.index)",
             "full lists")],
        3: [("slip = reports['demand'] > 5 * reports.groupby('site')['demand'].transform('median')\nrows_share = slip.mean()\n"
             "days_share = reports['demand'][slip].sum() / reports['demand'].sum()\nadded = 0", "a row without a number"),
            ("slip = reports['demand'] > 5 * reports['demand'].median()\nrows_share = slip.sum() / reports['demand'].notna().sum()\n"
             "days_share = reports['demand'][slip].sum() / reports['demand'].sum()\nadded = 0", "its own site"),
            ("rows_share, days_share, added = 13, 5.8, 0", "between 0 and 1")],
    },
    "E02": {
        1: [("corrections = collected.duplicated(['date', 'site'], keep=False).sum()\nclean = collected", "these are rows"),
            ("corrections = collected.duplicated(['date', 'site']).sum()\nclean = collected", "same number twice"),
            ("corrections = (collected.groupby(['date', 'site'])['demand'].nunique() > 1).sum()\nclean = collected.drop_duplicates(['date', 'site'])",
             "which one do you keep")],
        2: [("fill_gaps = lambda reports: reports.interpolate()", "looked ahead"),
            ("fill_gaps = lambda reports: reports.ffill().bfill()", "before the first report"),
            ("fill_gaps = lambda reports: reports.ffill()", "must take their mean"),
            ("fill_gaps = lambda reports: reports.rolling(7, min_periods=1).mean()", "a report was changed"),
            ("fill_gaps = lambda reports: reports.fillna(reports.rolling(7, min_periods=1).mean()).ffill()", "seven days before a gap are seven")],
        3: [("promised = (reported.ffill() - reported)[hidden].abs().mean()\nhappened = bias = 1.0", "compared with itself"),
            ("promised = (reported.mask(hidden).ffill() - reported).abs().mean()\nhappened = bias = 1.0", "hidden reports only"),
            ("promised = (reported.mask(hidden).ffill() - reported)[hidden].abs().mean()\nmissed = (truth - reported.ffill())[reported.isna()]\n"
             "happened, bias = missed.abs().mean(), missed.mean()", "which sign")],
    },
    "E03": {
        1: [("size = people.groupby(['age', 'female', 'site'])['person'].transform('size')\nk, exposed = size.min(), (size < 5).mean()", "single years"),
            ("size = people.groupby([people['age'] // 10, 'female', 'site']).size()\nk, exposed = size.min(), (size < 5).mean()", "share of classes"),
            ("k, exposed = 5, 12", "is a share")],
        2: [("withheld = [('C', 'under 40'), ('B', '70 and over')]", "single withheld cell"),
            ("withheld = [('C', 'under 40')]", "still published"),
            ("withheld = [('C', 'under 40'), ('B', '70 and over'), ('C', 'all'), ('B', 'all')]", "totals are needed"),
            ("withheld = [(ward, age) for ward in 'ABCD' for age in patients.columns]", "fewer withheld cells")],
        3: [("coarse, fine, needed = 7.0, 7 * 35 ** 0.5, 35 ** 0.5", "this is the scale"),
            ("coarse = 7 * 2 ** 0.5\nfine, needed = 35 * coarse, 35", "variances add up"),
            ("coarse = 7 * 2 ** 0.5\nfine, needed = 35 ** 0.5 * coarse, 35", "not the variance")],
    },
    "E10": {
        1: [("plan = {road: 0 for road in cost}\nworth = 0", "nothing is sent"),
            ("left, missing, plan = dict(supply), dict(need), {}\nfor w, h in sorted(cost, key=cost.get):\n    plan[w, h] = min(left[w], missing[h])\n"
             "    left[w], missing[h] = left[w] - plan[w, h], missing[h] - plan[w, h]\nworth = 0", "cheaper plan"),
            ("plan = {road: need[road[1]] for road in cost}\nworth = 0", "more than it holds")],
        2: [("safe_plan = {(w, h): need[h] * (0.4 if w == 'Mill' else 0.3) for w, h in cost}\npremium = 0", "a cheaper plan keeps it, too"),
            ("safe_plan = {(w, h): need[h] * (w == 'Ridge') for w, h in cost}\npremium = 0", "more than it holds"),
            ("safe_plan = {(w, h): 0.5 * need[h] * (w != 'Mill') for w, h in cost}\npremium = 0", "more than it holds")],
        3: [("pair, gain = ('Depot 2', 'Yew'), 2", "cheapest road"), ("pair, gain = ('Depot 1', 'Ash'), 10", "another pair"),
            ("pair, gain = ('Depot 3', 'Yew'), -12", "gets smaller")],
    },
    "E11": {
        1: [("promised = expected = max(tomorrow.mean() - beds, 0)", "the order matters"),
            ("promised, expected = 0, (tomorrow > beds).mean()", "how often"),
            ("promised, expected = tomorrow.mean() - beds, 1", "beds to spare"),
            ("promised, expected = 0, (tomorrow[tomorrow > beds] - beds).mean()", "bad scenarios")],
        2: [("staffed, saved = np.ceil(tomorrow.mean()), 0", "staffing for the mean"),
            ("staffed, saved = tomorrow.max(), 0", "stand empty"),
            ("staffed = np.quantile(tomorrow, 0.75).round()\nsaved = staffed + 4 * np.maximum(tomorrow - staffed, 0).mean()", "saved is")],
        3: [("over = {way: np.maximum(frame - there[frame.columns], 0) for way, frame in needed.items()}\nseparate = over['as in the past'].quantile(0.9).sum()\n"
             "shared = dict.fromkeys(needed, separate)", "sum of the bad days"),
            ("separate = np.maximum(needed['as in the past'] - there, 0).sum(axis=1).quantile(0.9)\nshared = dict.fromkeys(needed, separate)",
             "quantile first"),
            ("separate = np.maximum(needed['as in the past'] - there, 0).quantile(0.9).sum()\n"
             "shared = {way: np.maximum(frame - there, 0).sum(axis=1).mean() for way, frame in needed.items()}", "too small")],
    },
    "E12": {
        1: [("overall = {p: (1 - plans[f'short_{p}'] / plans['need']).mean() for p in ('first', 'second')}\nworst = overall", "like a city"),
            ("overall = {p: plans[f'short_{p}'].sum() / plans['need'].sum() for p in ('first', 'second')}\nworst = overall", "what is short"),
            ("overall = {p: 1 - plans[f'short_{p}'].sum() / plans['need'].sum() for p in ('first', 'second')}\n"
             "worst = {p: (1 - plans[f'short_{p}'] / plans['need'])[plans[f'short_{p}'].idxmax()] for p in overall}", "own need")],
        2: [("given = dict.fromkeys(need, courses / 4)", "beyond its reach|brought there"), ("given = {r: courses * need[r] / 180 for r in need}", "brought there"),
            ("given = dict.fromkeys(need, 20)", "not equal shares"),
            ("given = {r: need[r] / 3 for r in need}", "left over"),
            ("given = {'North': 20, 'East': 45, 'South': 25, 'West': 10}", "next worst")],
        3: [("overall_share = (1 - complaint['short'] / complaint['need']).groupby(complaint['region']).mean()\nby_resource = standardised = 0", "mean of rows"),
            ("one = complaint.groupby('region')[['need', 'short']].sum()\noverall_share = 1 - one['short'] / one['need']\n"
             "two = complaint.groupby(['region', 'resource'])[['need', 'short']].sum()\nby_resource = (1 - two['short'] / two['need']).unstack()\n"
             "standardised = by_resource.mean(axis=1)", "half and half"),
            ("one = complaint.groupby('region')[['need', 'short']].sum()\noverall_share = 1 - one['short'] / one['need']\n"
             "two = complaint.groupby(['region', 'resource'])[['need', 'short']].sum()\nby_resource = (1 - two['short'] / two['need']).unstack()\n"
             "standardised = overall_share", "its own mix")],
    },
}


def read_source(name):
    return nbformat.read(EXERCISES / f"{name}_sol.ipynb", as_version=4)


def run_cells(sources, namespace=()):
    """Run cells' code as a kernel would; gives the names afterwards."""
    names = dict(namespace, display=lambda *shown: None)
    for source in sources:
        exec(compile(source, "<cell>", "exec"), names)
    return names


def list_code(cells, *tags):
    """Code of those cells that bear one of the tags; without tags, of those that learners get."""
    return [cell.source for cell in cells if cell.cell_type == "code" and (get_tags(cell) & set(tags) if tags else not get_tags(cell) & HIDDEN)]


def judge_task(exercise, setup, task, names):
    """Judge a task, without a kernel; gives the hint, or '' where it is right."""
    judge.remember(setup)
    try:
        judge.judge(names, task.names, [name for other in exercise.tasks for name in other.names], task.checks)
    except AssertionError as hint:
        return str(hint)
    return ""


def check_answers(name, wrong):
    """Check one exercise: its solution, its untouched scaffold, and wrong answers.

    `wrong` holds for each task code that a learner might write below the scaffold, and words of the hint that has to come. What the code leaves
    open is answered rightly, so that the hint can only come from what it got wrong.
    """
    exercise, (first, parts) = read_exercise(name), split_tasks(read_source(name))
    assert set(wrong) == {task.number for task in exercise.tasks}
    setup = run_cells(list_code(first), {"__name__": "__main__"})
    for task in exercise.tasks:
        scaffold = list_code(parts[task.number])
        solved = run_cells(scaffold + list_code(parts[task.number], "solution"), setup)
        assert judge_task(exercise, setup, task, solved) == "", task.title
        with pytest.raises(judge.NotBegun):
            judge_task(exercise, setup, task, run_cells(scaffold, setup))
        said = [collect_hints(task)]
        for answer, words in wrong[task.number]:
            names = run_cells([*scaffold, answer], setup)
            names |= {left: solved[left] for left in task.names if names[left] is ...}
            said.append(judge_task(exercise, setup, task, names))
            assert re.search(words, said[-1]), (task.title, answer, said[-1])
        for written in set().union(*(write_variants(solved[one]) for one in task.names)):
            assert not re.search(rf"(?<![\w.]){re.escape(written)}(?![\w.]*\d)", " ".join(said)), (task.title, written)


def collect_hints(task):
    """Every word that a task's checks can say."""
    return " ".join(part for source in task.checks for part in re.findall(r"\"([^\"]*)\"", source))


def write_variants(value):
    """How an answer could be printed in a hint."""
    if isinstance(value, bool | str) or not np.isscalar(value):
        return set()
    return {f"{scale * value:.{digits}f}" for scale in (1, 100) for digits in range(4)} - {"0", "1", "100", "-0"}


# --- Sources and what is made of them ------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
class TestSource:
    def test_form(self, name):
        notebook, exercise = read_source(name), read_exercise(name)
        head, end = notebook.cells[0].source, notebook.cells[-1].source
        chapter = re.search(r"\*\*Chapter\*\* \[(\w+)\]\(\.\./\1\.ipynb\)", head)
        assert head.startswith(f"# {name} ") and f"**Check** `medlib check-exercise {name}`" in head and "**Time** about " in head
        assert chapter and chapter[1][:2] == name[1:] and (NOTEBOOKS / f"{chapter[1]}.ipynb").is_file()
        assert {task.level for task in exercise.tasks} == set(LEVELS)
        assert [task.number for task in exercise.tasks] == list(range(1, len(exercise.tasks) + 1))
        assert end.startswith("## What you practised") and end.count("\n* ") <= 3
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert len(cell.source.splitlines()) <= (12 if "solution" in get_tags(cell) else 20)
                assert sum(len(str(output)) for output in cell.outputs) <= 8_000

    def test_every_check_gives_a_hint(self, name):
        for task in read_exercise(name).tasks:
            asserted = [node for source in task.checks for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
            assert asserted and all(node.msg for node in asserted), "a check without a hint helps nobody"

    def test_learners_notebook_is_current(self, name):
        exercise = read_exercise(name)
        text = exercise.path.read_text(encoding="utf-8")
        assert text == format_exercise(exercise), "run `medlib make-exercises`"
        cells = nbformat.reads(text, as_version=4).cells
        assert not any(get_tags(cell) & HIDDEN or cell.get("outputs") for cell in cells)
        source = [cell.source for cell in read_source(name).cells if cell.source.startswith("## ")]
        assert [cell.source for cell in cells if cell.source.startswith("## ")] == source

    def test_chapter_has_a_quiz(self, name):
        path, = NOTEBOOKS.glob(f"{name[1:]}_*.ipynb")
        quiz = nbformat.read(path, as_version=4).cells[-2]
        assert quiz.cell_type == "markdown" and quiz.source.startswith("## Quiz")
        assert len(re.findall(r"<details>\s*<summary>.+?</summary>.+?</details>", quiz.source, re.S)) == 3


@pytest.mark.parametrize("name", WRONG)
def test_answers(name):
    """The solution is right; an untouched scaffold is not begun; wrong answers get the hint that leads on, and no hint holds an answer."""
    check_answers(name, WRONG[name])


# --- The check, on a small exercise of its own -----------------------------------------------------------------------------

def add(notebook, source, *tags):
    make = nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
    notebook.cells.append(make(source, metadata={"tags": list(tags)} if tags else {}))


@pytest.fixture
def folder(tmp_path):
    """A folder with one exercise: the sum of two numbers, their product, and a share."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for source, *tags in (
            ("# E98 Small: exercises\n\n**Chapter**",), ("beds = [4, 8]",),
            ("## Task 1 (easy): how many?",), ("total = ...",), ("total = sum(beds)", "solution"),
            ("assert total != 32, 'add, instead of multiplying.'\nassert total == sum(beds), 'add up all of beds.'", "check"),
            ("## Task 2 (medium): how many times?",), ("product, twice = ..., 2",), ("product = ...",), ("product = 32", "solution"),
            ("assert product == 32 and sum(beds) == 12, 'multiply.'", "check"),
            ("## Task 3 (hard): which share?",), ("share = ...\nother = ...",), ("share, other = 1 / 3, 2 / 3", "solution"),
            ("assert 0 < share < 1, 'a share lies between 0 and 1.'\nassert share + other == 1, 'the shares add up to 1.'", "check"),
            ("## What you practised",)):
        add(notebook, source, *tags)
    nbformat.write(notebook, tmp_path / "E98_sol.ipynb")
    write_exercises(tmp_path)
    return tmp_path


def answer(folder, *replacements, name="mine.ipynb"):
    """Write a learner's notebook with cells replaced; gives its path."""
    text = (folder / "E98_ex.ipynb").read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    for old, new in replacements:
        found = [cell for cell in notebook.cells if cell.source.startswith(old)]
        assert found, old
        found[0].source = new
    path = folder / name
    nbformat.write(notebook, path)
    return path


def test_only_the_source_has_solutions(folder):
    text = (folder / "E98_ex.ipynb").read_text(encoding="utf-8")
    assert "total = ..." in text and "sum(beds)" not in text and "1 / 3" not in text and "check-exercise E98 FILE" in text
    assert write_exercises(folder) == []  # nothing changed, nothing written
    assert find_blanks("a = b = ...\nc = 1\nd = [...]") == ["a", "b"]


def test_check_tells_each_task(folder):
    """Right, a hint, an error with its cell, untouched; a learner's own cells, and names that cover Python's, do no harm."""
    path = answer(folder, ("total = ...", "sum = 12\ntotal = sum"), ("product = ...", "product = 3"), ("share = ...", "print('x')\nshare = 1 / (2 - twice)"))
    before = path.read_bytes()
    elsewhere = folder / "else where" / "copy.ipynb"
    elsewhere.parent.mkdir()
    shutil.copy(path, elsewhere)
    for file in (path, elsewhere):
        told = check_exercise("e98", file, folder=folder)
        assert [str(verdict) for verdict in told] == ["Task 1 (easy): right", "Task 2 (medium): not yet. multiply.",
                                                      "Task 3 (hard): your cell stopped with ZeroDivisionError: division by zero (cell 5)"]
        assert [verdict.state for verdict in told] == ["right", "not yet", "stopped"]
    assert path.read_bytes() == before
    unread = check_exercise("E98", answer(folder, ("total = ...", "total = 1\nif"), name="unread.ipynb"), folder=folder)
    assert str(unread[0]) == "Task 1 (easy): your cell stopped with SyntaxError: invalid syntax (line 2) (cell 2)"
    assert [str(verdict) for verdict in check_exercise("E98", folder=folder)] == [f"Task {n} ({level}): not begun" for n, level in enumerate(LEVELS, 1)]


def test_programs_that_a_cell_starts_print_nothing(folder, capfd):
    """As a solver's log, which goes past the kernel."""
    path = answer(folder, ("total = ...", "import os, subprocess\nsubprocess.run(['echo', 'loud'])\nos.write(1, b'louder')\ntotal = 12"))
    assert check_exercise("E98", path, folder=folder)[0].state == "right"
    assert capfd.readouterr() == ("", "")


def test_check_tells_what_is_missing(folder):
    path = answer(folder, ("## Task 2", "## My own heading"), ("total = ...", "total = 'twelve'"), ("share = ...", "share = 0.5\nother = ..."))
    told = {verdict.task: verdict for verdict in check_exercise("E98", path, folder=folder)}
    assert "its heading is missing" in str(told["Task 2 (medium)"])
    assert told["Task 1 (easy)"].words == "not yet. add up all of beds."
    assert "`other` is still `...`" in told["Task 3 (hard)"].words
    stopped = check_exercise("E98", answer(folder, ("beds = ", "import nowhere_to_be_found")), folder=folder)
    assert str(stopped[0]).startswith("Set-up: your cell stopped with ModuleNotFoundError") and "(cell 1)" in str(stopped[0])
    assert [verdict.state for verdict in stopped[1:]] == ["not checked"] * 3


def test_answers_of_strange_types_are_told(folder):
    path = answer(folder, ("product = ...", "import numpy as np\nproduct = np.array([32, 32])"))
    assert "could not be judged (ValueError" in check_exercise("E98", path, folder=folder)[1].words


@pytest.mark.parametrize("code, limit, words", [
    ("while True: pass", 0.1, "not done within the time limit of 0.1 minutes (cell 3)"),
    ("while True: print('x' * 1000)", 0.1, "not done within the time limit"),
    ("import os; os._exit(9)", 5, "the kernel died (cell 3)"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 5, "the kernel died (cell 3)")])
def test_endless_and_deadly_cells(folder, code, limit, words):
    """The task that stopped the notebook is told, so are those before it, and those after it were not checked."""
    path = answer(folder, ("total = ...", "total = 12"), ("product, ", code))
    told = check_exercise("E98", path, limit, folder)
    assert [verdict.state for verdict in told] == ["right", "stopped", "not checked"]
    assert words in str(told[1])


def test_mistakes_are_one_sentence(folder, tmp_path):
    for name, file, words in (("E99", None, "There is no exercise 'E99'; the exercises are E98."), ("E98", tmp_path / "none.ipynb", "can't be read"),
                              ("E98", tmp_path, "can't be read")):
        with pytest.raises(MedlibError, match=re.escape(words)):
            check_exercise(name, file, folder=folder)
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(MedlibError, match="no notebook that can be read"):
        check_exercise("E98", tmp_path / "broken.ipynb", folder=folder)
    with pytest.raises(MedlibError, match="an answer to E97, not to E98"):
        check_exercise("E98", answer(folder, ("# E98", "# E97 Other")), folder=folder)
    with pytest.raises(MedlibError, match="more than 0 minutes; got 0"):
        check_exercise("E98", limit=0.0, folder=folder)


def test_faulty_sources_are_refused(folder):
    notebook = nbformat.read(folder / "E98_sol.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.source.startswith("assert product"):
            cell.metadata.pop("tags", None)
    nbformat.write(notebook, folder / "E98_sol.ipynb")
    with pytest.raises(MedlibError, match="task 2 needs .* 0 checks"):
        write_exercises(folder)


def test_command(folder, monkeypatch, capsys, tmp_path):
    """One line a task; exit code 0, 1 or 2; a class in one go, with a table."""
    from medlib import cli
    real = check.check_exercise
    monkeypatch.setattr(check, "check_exercise", lambda name, file, limit: real(name, file, limit, folder))

    def ask(*words):
        monkeypatch.setattr("sys.argv", ["medlib", "check-exercise", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    right = answer(folder, ("total = ...", "total = 12"), ("product = ...", "product = 32"), ("share = ...", "share, other = 0.25, 0.75"), name="right.ipynb")
    (folder / "bad.ipynb").write_text("", encoding="utf-8")
    assert ask("E98", right) == (0, "Task 1 (easy): right\nTask 2 (medium): right\nTask 3 (hard): right\n", "")
    code, out, err = ask("E98", right, folder / "bad.ipynb", "--output", tmp_path / "class.csv")
    assert code == 1 and "bad.ipynb is no notebook" in out and not err
    assert len((tmp_path / "class.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3 + 1
    code, out, err = ask("E97", right)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert ask("E98", folder / "bad.ipynb")[0] == 2
