"""Values with faults in them: frames, parameters, rules, names and whole command lines."""

from __future__ import annotations

import contextlib
import io
import math
import sys
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from medlib import cli, schema, tables
from medlib.allocate import Problem, Rules
from medlib.calendar import fit_grid
from medlib.errors import MedlibError
from medlib.intake.template import write_template
from medlib.report.pipeline import check_parameters, list_notebooks, order_chain
from medlib.report.run import REPORT
from trust.targets.files import CELLS, NASTY

#: Numbers that have made trouble somewhere.
NUMBERS = st.one_of(st.floats(), st.sampled_from((math.nan, math.inf, -math.inf, 0.0, -1.0, 1e308, -1e-300, 1e20, 0.5, 1.0)))
VALUES = st.one_of(CELLS, NUMBERS, st.integers(), st.booleans(), st.none(), st.dates(), st.lists(st.integers(), max_size=2))
#: Small tables of every kind of column.
CHOSEN = ("sites", "resources", "demand", "capacity", "links", "stock", "tiers", "inventory", "equipment", "sources", "demand_forecast", "rules", "quality")
GOOD = {"text": "a", "date": pd.Timestamp("2024-01-01"), "integer": 1, "number": 0.5, "flag": True, "picture": b"\x89PNG"}


@st.composite
def frames(draw: st.DrawFn) -> tuple[str, pd.DataFrame]:
    """A table of three rows, valid but for up to three values, a column too few, too many or twice."""
    name = draw(st.sampled_from(CHOSEN))
    columns = schema.get_table(name).columns
    rows = {column.name: [column.one_of[0] if column.one_of else GOOD[column.kind]] * 3 for column in columns}
    text = next(column.name for column in columns if column.kind == "text" and not column.one_of)
    rows[text] = ["a", "b", "c"]
    for _ in range(draw(st.integers(0, 2))):
        column = draw(st.sampled_from(columns))
        values = draw(st.one_of(VALUES, st.just(rows[column.name][0])))
        rows[column.name] = [values, *rows[column.name][1:]] if draw(st.booleans()) else [values] * 3
    frame = pd.DataFrame({column: pd.Series(values, dtype=object).infer_objects() for column, values in rows.items()})
    fault = draw(st.sampled_from(("none", "none", "none", "fewer", "more", "twice", "index", "empty")))
    if fault == "fewer":
        return name, frame.drop(columns=draw(st.sampled_from(list(frame))))
    return name, {"more": lambda: frame.assign(more=1), "twice": lambda: pd.concat([frame, frame.iloc[:, :1]], axis=1), "empty": lambda: frame.iloc[:0],
                  "index": lambda: frame.set_index(frame.columns[0])}.get(fault, lambda: frame)()


def keep_table(case: tuple[str, pd.DataFrame], folder: Path) -> None:
    """Valid: the contract holds, and numbers and rows come back as they went in."""
    name, frame = case
    tables.write(frame, name, folder)
    back = tables.read(name, folder)
    assert schema.find_failures(back, name).empty and len(back) == len(frame)
    for column in back:
        kind = schema.get_table(name).column[column].kind
        if kind in ("number", "integer"):
            for old, new in zip(frame[column], back[column]):
                assert float("nan" if pd.isna(old) or old == "" else old) == new or pd.isna(new) and (pd.isna(old) or not old or math.isnan(float(old))), column
        elif kind == "text":
            assert [str(old) for old in frame[column].dropna()] == back[column].dropna().tolist(), column
    assert {path.name for path in folder.iterdir()} == {f"{name}.parquet"}


@cache
def _chain() -> list:
    return order_chain([REPORT], list_notebooks())


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, object]:
    """Parameters of a report, some of them misspelt or of another type."""
    known = sorted({name for notebook in _chain() for name in notebook.parameters})
    names = st.one_of(st.sampled_from(known), st.sampled_from(known).map(lambda name: name[:-1]), st.text(max_size=6))
    return draw(st.dictionaries(names, VALUES, min_size=1, max_size=2))


def give_parameters(case: dict[str, object], folder: Path) -> None:
    """Valid: every parameter has its type, numbers are finite and those given."""
    types = {name: item for notebook in _chain() for name, item in notebook.parameters.items()}
    for name, value in check_parameters(case, _chain()).items():
        assert type(value) is types[name].type and not (isinstance(value, float) and not math.isfinite(value)), (name, value)
        given = case.get(name)
        if isinstance(value, int | float) and isinstance(given, int | float | str) and not isinstance(value, bool):
            assert float(value) == float(given), (name, given, value)


#: YAML that loads much, long or strange things.
LINES = st.one_of(
    st.tuples(st.sampled_from(("horizon", "trees", "title", "as_of", "integer", "nobody")), CELLS).map(": ".join),
    st.sampled_from(("horizon: 14", "trees: 50 # few", "as_of: 2024-01-31", "horizon: [1, 2]", "horizon: &a [*a]", "? [1, 2]\n: 3", "<<: {horizon: 3}",
                     "horizon: !!python/object/apply:os.getcwd []", "title: !!binary aGVsbG8=", "horizon: 0x" + "f" * 5000, "trees: " + "9" * 5000,
                     "title: " + "[" * 3000, "a: &a [x,x]\nb: &b [*a,*a]", "horizon: 1e3", "horizon: 1_000", "horizon: 190:20:30", "- 1", "\t: 1", "...",
                     "%YAML 9.9", "as_of: 2021-13-45", "horizon: .nan", "integer: yes", "~: 1", "1: 2", "2024-01-01: 3")),
    st.text(max_size=20))


def give_file(case: dict[str, bytes], folder: Path) -> None:
    """Valid: as for parameters."""
    give_parameters(cli._gather("", "", [], folder / "mine.yaml"), folder)


def state_rules(case: list[str], folder: Path) -> None:
    """Valid: rules that hold the numbers given."""
    read = cli._read_rules(case)
    Rules(**read)
    for name, value in read.items():
        said = next(setting.partition("=")[2] for setting in reversed(case) if setting.startswith(f"{name}="))
        assert float({"true": 1, "false": 0}.get(said.lower(), said)) == value, (name, said, value)


def require(case: str, folder: Path) -> None:
    """Valid: amounts above zero that stand in the text."""
    for name, amount in schema.parse_requires(case).items():
        assert 0 < amount < math.inf and name in case and name.strip() == name


def fit_dates(case: list, folder: Path) -> None:
    """Valid: the period and the strays are some of the dates."""
    _, strays = fit_grid(pd.Series(pd.to_datetime(case)))
    assert set(strays) <= set(pd.to_datetime(case))


def pose_values(case: tuple[float, ...], folder: Path) -> None:
    """Valid: the problem holds finite numbers of at least zero."""
    demand, capacity, surge, lead, distance, weight = case
    shape, dates = (2, 1, 2), pd.date_range("2024-01-01", periods=2)
    posed = Problem(("a", "b"), pd.DataFrame({"resource": ["bed"], "kind": ["bed"], "unit": ["bed"], "shortage_weight": [abs(weight)]}), dates,
                    np.broadcast_to([[[[5.0]], [[demand]]]], (1, *shape)), np.ones(1), np.full(shape, capacity), np.full(shape, surge), np.full((2, 1), lead),
                    pd.DataFrame({"origin": ["a"], "destination": ["b"], "distance_km": [distance], "lead_days": [0.0], "cost": [0.0]}),
                    Rules(max_distance_km=distance))
    assert np.isfinite(posed.demand).all() and (posed.demand >= 0).all() and np.isfinite(posed.idle_shortage).all()


SETTING = st.one_of(st.tuples(st.sampled_from([*Rules.__dataclass_fields__]), st.one_of(NUMBERS.map(repr), CELLS)).map("=".join), CELLS)
WORDS = st.one_of(
    st.tuples(st.just("allocate"), st.just("{good}"), st.just("-p"), SETTING),
    st.tuples(st.sampled_from(("check", "allocate")), st.just("{good}")),
    st.tuples(st.just("allocate"), st.just("{good}"), st.just("-p"), st.tuples(st.sampled_from(("transfers_per_day", "surge_cost", "max_distance_km")),
                                                                              st.integers(0, 99).map(str)).map("=".join)),
    st.tuples(st.just("allocate"), st.just("{good}"), st.sampled_from(("--max-shortage", "--transfer-budget", "--minimise")), CELLS),
    st.tuples(st.sampled_from(("check", "allocate", "export")), st.one_of(CELLS, st.sampled_from(("{good}/sites.csv", "sample", "a" * 300, ".."))), CELLS),
    st.tuples(st.just("report"), st.just("-p"), st.tuples(st.sampled_from(("horizon", "trees", "planning_occupancy", "as_of", "x")), CELLS).map("=".join)),
    st.tuples(st.just("report"), st.sampled_from(("--run-name", "--dataset", "--as-of", "-f")),
              st.one_of(CELLS, st.sampled_from(("../x", "a/b", "CON", "nul.txt", "a.", "~", "a" * 300, "..", ".", "a\\b", "/x", "run", "Ａ")))),
    st.tuples(st.just("run"), st.one_of(CELLS, st.sampled_from(("../../evil/50_report", "50_report.ipynb", "/x.ipynb")))),
    st.tuples(st.just("run"), st.just("--resume"), st.just("--run-name"), CELLS),
    st.tuples(CELLS), st.tuples(st.just("label-photos"), CELLS, CELLS, st.just("--output"), st.just("x.csv")))


def type_command(case: tuple[str, ...], folder: Path) -> None:
    """Valid: exit code 0 or 2, no traceback, nothing that steers a terminal; a run stands in its own folder below reports/."""
    good, reports = folder / "good", folder / "reports"
    write_template(good)
    words = [word.replace("{good}", str(good)) for word in case if "\0" not in word]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in "oe")
    ended = {"notebook": "x", "cell": "1", "reason": "stopped", "mistake": True}
    with (mock.patch("medlib.report.run.REPORTS", reports), mock.patch("medlib.tables.PROJECT", folder), mock.patch("medlib.report.run.execute_notebook", lambda *_, **__: ended),
          mock.patch.object(sys, "argv", ["medlib", *words]), contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    said = "".join(stream.buffer.getvalue().decode() for stream in (out, err) if not stream.flush())
    assert code in (0, 2) and "Traceback" not in said, (code, said[-300:])
    assert all(letter.isprintable() or letter == "\n" for letter in said) or said.startswith("Usage"), said[-300:]
    assert all((path / "run.json").is_file() for path in reports.glob("[!.]*")), list(reports.glob("*"))
    assert {path.name for path in folder.iterdir()} <= {"good", "reports", "x.csv", *words}, list(folder.iterdir())
    if code:
        raise MedlibError("The command was refused.")


TARGETS = {
    "tables written and read": (0.06, frames(), keep_table), "parameters": (0.14, parameters(), give_parameters),
    "parameter files": (0.10, st.lists(LINES, min_size=1, max_size=3).map(lambda lines: {"mine.yaml": "\n".join(lines).encode("utf-8", "replace")}), give_file),
    "rules of allocate": (0.11, st.lists(SETTING, max_size=2), state_rules),
    "what a resource requires": (0.12, st.one_of(st.sampled_from(NASTY), st.text(max_size=12), st.from_regex(r"\A[0-9.]{1,5} [a-z]{1,4}(; [0-9.]{1,4} [a-z]{1,3})?\Z")), require),
    "dates of a series": (0.02, st.lists(st.dates(), min_size=0, max_size=6), fit_dates),
    "problems": (0.06, st.tuples(*[st.one_of(st.just(1.0), NUMBERS)] * 6), pose_values),
    "command lines": (0.02, WORDS, type_command)}
