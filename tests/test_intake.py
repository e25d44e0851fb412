"""A user's folder: every kind of fault is found where it stands, and nothing but tables or problems comes back."""

import base64
import hashlib
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib import intake, schema
from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The bytes of the template's files, with 35 days of demand."""
    folder = tmp_path_factory.mktemp("template")
    intake.write_template(folder)
    rows("demand", lambda lines: lines[:1 + 6 * 35])(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", autouse=True)
def quick_contract():
    """Check a table that has passed its contract once only: most tables of a case are the template's own."""
    passed, check_frame = {}, schema.check_frame

    def check(frame, name):
        key = (name, *frame.columns, *frame.dtypes.map(str), pd.util.hash_pandas_object(frame).to_numpy().tobytes())
        if key not in passed:
            passed[key] = check_frame(frame, name)
        return passed[key].copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "check_frame", check)
        yield


@pytest.fixture
def folder(tmp_path, template):
    for name, data in template.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


# --- Edits: each returns a function that changes a folder ----------------------------------------------------------

def rewrite(table, change, encoding="utf-8"):
    """Change the text of a table's file."""
    def edit(folder):
        path = folder / f"{table}.csv"
        path.write_bytes(change(path.read_bytes().decode("utf-8")).encode(encoding))
    return edit


def replace(table, old, new, count=-1, encoding="utf-8"):
    def change(text):
        assert old in text
        return text.replace(old, new, count)
    return rewrite(table, change, encoding)


def cell(table, line, column, value):
    """Put raw text into one cell; the template holds no quotes."""
    def change(text):
        rows = [row.split(",") for row in text.splitlines()]
        rows[line - 1][rows[0].index(column)] = value
        return "\n".join(map(",".join, rows)) + "\n"
    return rewrite(table, change)


def rows(table, change):
    """Change the lines of a table's file."""
    return rewrite(table, lambda text: "\n".join(change(text.splitlines())) + "\n")


def add_column(table, name, values):
    """Append a column; values is a function of the line number."""
    return rows(table, lambda lines: [f"{line},{name if number == 1 else values(number)}"
                                      for number, line in enumerate(lines, 1)])


def create(name, data=b""):
    return lambda folder: (folder / name).write_bytes(data)


def remove(name):
    return lambda folder: (folder / name).unlink()


def both(*edits):
    def edit(folder):
        for part in edits:
            part(folder)
    return edit


def move_dates(step):
    """Replace the demand dates by others, each the given number of days after the one before."""
    days, others = (pd.date_range("2024-01-01", periods=63, freq=f"{size}D").strftime("%Y-%m-%d") for size in (1, step))
    new = dict(zip(days, others))
    return rows("demand", lambda lines: [lines[0], *(new[line[:10]] + line[10:] for line in lines[1:])])


def to_parquet(table, change=lambda frame: frame):
    def edit(folder):
        path = folder / f"{table}.csv"
        change(pd.read_csv(path)).to_parquet(folder / f"{table}.parquet")
        path.unlink()
    return edit


def set_value(line, column, value):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[line - 2, column] = value
        read = {"date": lambda cells: pd.to_datetime(cells, format="mixed")}
        frame[column] = read.get(column, lambda cells: cells.astype(float))(frame[column])
        return frame
    return change


SERIES = "site + resource"
#: What is done, and the one problem that must be found: file, row, column, value, a word of what is expected.
CASES = {
    # Files
    "missing file": (remove("capacity.csv"), "capacity.csv", None, "", "", "to be there"),
    "file misnamed": (lambda folder: (folder / "demand.csv").rename(folder / "Demands.csv"),
                      "demand.csv", None, "", "Demands.csv", "this name"),
    "csv and parquet": (create("links.parquet"), "links.csv", None, "", "links.csv, links.parquet", "only one"),
    "spreadsheet": (both(remove("sites.csv"), create("sites.xlsx", b"PK\x03\x04")),
                    "sites.csv", None, "", "sites.xlsx", "Comma delimited"),
    "optional spreadsheet": (create("inventory.xlsx"), "inventory.csv", None, "", "inventory.xlsx", "Comma delimited"),
    "spreadsheet of another name": (both(remove("sites.csv"), create("all.xlsx")),
                                    "sites.csv", None, "", "", "Comma delimited"),
    "spreadsheet named csv": (create("sites.csv", b"PK\x03\x04\x14\0\x06\0"), "sites.csv", None, "", "", "binary"),
    "damaged parquet": (both(remove("links.csv"), create("links.parquet", b"PAR1 no PAR1")),
                        "links.parquet", None, "", "", ".parquet file that can be read"),
    "empty file": (create("links.csv", b" \n\n"), "links.csv", None, "", "", "header line"),
    "header only": (rows("links", lambda lines: lines[:1]), "links.csv", None, "", "", "leave the file out"),
    "header only, required": (rows("demand", lambda lines: lines[:1]), "demand.csv", None, "", "", "at least one row"),
    # Text and lines
    "semicolons": (rewrite("capacity", lambda text: text.replace(",", ";")), "capacity.csv", 1, "",
                   "site;resource;capacity;surge;surge_lead_days",
                   'not semicolons; in Python, pandas.read_csv("capacity.csv", sep=";", decimal=",").to_csv('),
    "tabs": (rewrite("links", lambda text: text.replace(",", "\t")), "links.csv", 1, "", "origin\ufffddestination",
             "not tabs"),
    "not UTF-8": (replace("sites", "Central", "Zürich", encoding="latin-1"), "sites.csv", 3, "",
                  "centre,Zürich Hospital (made up),coast,53.85,12.30,210000", "0xfc"),
    "UTF-16": (rewrite("sites", str, encoding="utf-16"), "sites.csv", 1, "", "UTF-16 byte-order mark", "UTF-8"),
    "capital letter": (both(remove("links.csv"), create("Links.csv", b"origin")), "links.csv", None, "", "Links.csv", "this very name, in small letters"),
    "too many cells": (replace("sites", "North Hospital", "North, Hospital"), "sites.csv", 2, "", "7 cells", "6 cells"),
    "too few cells": (replace("links", ",76,1,3", ",76", 1), "links.csv", 6, "", "3 cells", "5 cells"),
    "open quote": (replace("sites", "South Hospital", '"South Hospital'), "sites.csv", 4, "", "", "quotes closed"),
    "line after a quoted newline": (both(add_column("sites", "note", lambda number: '"a\nb"' if number == 2 else ""),
                                         replace("sites", "53.85", "x")),
                                    "sites.csv", 4, "latitude", "x", "a number from -90 to 90"),
    "name on two lines": (replace("sites", "North Hospital (made up)", '"North\n\n## Hospital"'), "sites.csv", 2, "name",
                          "North\ufffd\ufffd## Hospital", "in one line"),
    "name that steers a terminal": (replace("sites", "North Hospital", "\x1b[2JNorth"), "sites.csv", 2, "name", "\ufffd[2JNorth (made up)",
                                    "control characters"),
    "name written backwards": (replace("sites", "North Hospital", "\u202eNorth"), "sites.csv", 2, "name", "\ufffdNorth (made up)",
                               "control characters"),
    # Columns
    "missing optional column": (replace("capacity", "surge_lead_days", "", 1), None),
    "missing required column": (replace("links", "distance_km", "far"), "links.csv", 1, "distance_km", "",
                                "a column 'distance_km'; the columns here are far, origin, destination, lead_days, cost"),
    "misspelt column": (replace("capacity", "resource,capacity", "resource,capcity"), "capacity.csv", 1, "capacity",
                        "capcity", "misspelt"),
    "column in capitals": (replace("demand", "site", "SITE", 1), "demand.csv", 1, "site", "SITE", "misspelt"),
    "misspelt optional column": (replace("resources", "requires", "require"), "resources.csv", 1, "requires",
                                 "require", "misspelt"),
    "column twice": (add_column("sites", "region", lambda number: "x"), "sites.csv", 1, "region", "region", "once"),
    # Numbers
    "text in a number": (cell("demand", 9, "demand", "many"), "demand.csv", 9, "demand", "many", "a number"),
    "decimal comma": (cell("demand", 9, "demand", '"3,5"'), "demand.csv", 9, "demand", "3,5", "not a comma"),
    "thousands separator": (cell("sites", 3, "population", '"210,000"'), "sites.csv", 3, "population", "210,000",
                            "thousands"),
    "thousands blank": (cell("sites", 3, "population", "1 210 000"), "sites.csv", 3, "population", "1 210 000",
                        "thousands"),
    "inf": (cell("capacity", 4, "capacity", "inf"), "capacity.csv", 4, "capacity", "inf", "finite"),
    "overflow": (cell("capacity", 4, "capacity", "1e999"), "capacity.csv", 4, "capacity", "1e999", "finite"),
    "NaN spelled out": (cell("demand", 5, "demand", "NaN"), "demand.csv", 5, "demand", "NaN", "empty cell"),
    "negative beds": (cell("capacity", 3, "capacity", "-28"), "capacity.csv", 3, "capacity", "-28", "at least 0"),
    "number missing": (cell("capacity", 3, "capacity", ""), "capacity.csv", 3, "capacity", "", "at least 0"),
    "long value": (cell("capacity", 3, "capacity", "x" * 99), "capacity.csv", 3, "capacity", "x" * 59 + "…",
                   "a number"),
    "latitude out of range": (cell("sites", 2, "latitude", "541"), "sites.csv", 2, "latitude", "541", "-90 to 90"),
    "longitude out of range": (cell("sites", 2, "longitude", "-181"), "sites.csv", 2, "longitude", "-181", "180"),
    "swapped": (replace("sites", "54.10,12.10", "12.10,54.10"), "sites.csv", 2, "latitude", "12.10", "swapped"),
    "part of a line": (both(create("inventory.csv", b"site,line,text\nnorth,1,gloves\nnorth,2.5,masks\n")),
                       "inventory.csv", 3, "line", "2.5", "a whole number"),
    "neither true nor false": (add_column("demand", "imputed", lambda number: "yes" if number == 7 else "False"),
                               "demand.csv", 7, "imputed", "yes", "true or false"),
    # Dates
    "date with points": (cell("demand", 8, "date", "31.12.2021"), "demand.csv", 8, "date", "31.12.2021", "YYYY-MM-DD"),
    "date with slashes": (cell("demand", 8, "date", "12/31/2021"), "demand.csv", 8, "date", "12/31/2021", "such as"),
    "ISO week": (cell("demand", 8, "date", "2021-W52"), "demand.csv", 8, "date", "2021-W52", "first day"),
    "spreadsheet day number": (cell("demand", 8, "date", "44561"), "demand.csv", 8, "date", "44561",
                               "spreadsheet's day number"),
    "impossible date": (cell("demand", 8, "date", "2021-02-30"), "demand.csv", 8, "date", "2021-02-30", "exists"),
    "time of day": (cell("demand", 8, "date", "2024-01-02 06:00"), "demand.csv", 8, "date", "2024-01-02 06:00", "time"),
    "year": (cell("demand", 8, "date", "0024-01-02"), "demand.csv", 8, "date", "0024-01-02", "1900"),
    "date missing": (cell("demand", 8, "date", ""), "demand.csv", 8, "date", "", "YYYY-MM-DD"),
    "off the weekly grid": (both(move_dates(7), cell("demand", 8, "date", "2024-01-10")),
                            "demand.csv", 8, "date", "2024-01-10", "weekly, Mon"),
    "no grid": (move_dates(3), "demand.csv", None, "date", "", "3 days"),
    "one date": (rows("demand", lambda lines: lines[:7]), "demand.csv", None, "date", "", "At least two dates"),
    "short history": (rows("demand", lambda lines: lines[:1 + 6 * 29]), "demand.csv", None, "date", "29 periods", "30"),
    "history that cannot be measured": (rows("demand", lambda lines: [*lines[:1 + 6 * 29], "2024-01-29,north"]),
                                        "demand.csv", 176, "", "2 cells", "4 cells"),
    "just long enough": (rows("demand", lambda lines: lines[:1 + 6 * 30]), None),
    # Identifiers
    "key twice": (cell("demand", 8, "date", "2024-01-01"), "demand.csv", 8, "date + site + resource",
                  "2024-01-01, north, bed", "line 2 "),
    "site twice": (rows("sites", lambda lines: [*lines, lines[1]]), "sites.csv", 5, "site", "north", "line 2 "),
    "undated capacity twice": (rows("capacity", lambda lines: [*lines, lines[3]]), "capacity.csv", 11, SERIES,
                               "north, antibiotic", "line 4 "),
    "unknown site": (cell("demand", 4, "site", "centr"), "demand.csv", 4, "site", "centr", "did you mean 'centre'"),
    "strange site": (cell("links", 7, "origin", "moon"), "links.csv", 7, "origin", "moon", "a site of sites.csv"),
    "links of other sites": (rows("links", lambda lines: [lines[0], "alma,north,38,1,2"]), "links.csv", 2, "origin", "alma", "without links.csv, distances"),
    "letter case": (cell("demand", 4, "site", "CENTRE"), "demand.csv", 4, "site", "CENTRE", "did you mean 'centre'"),
    "blanks": (cell("demand", 4, "site", " centre"), "demand.csv", 4, "site", " centre", "no blanks"),
    "blank only": (cell("demand", 4, "site", "  "), "demand.csv", 4, "site", "  ", "a text"),
    "unknown resource": (cell("demand", 4, "resource", "bde"), "demand.csv", 4, "resource", "bde", "of resources.csv"),
    "unknown site in inventory": (create("inventory.csv", b"site,line,text\nnorht,1,gloves\n"), "inventory.csv", 2,
                                  "site", "norht", "'north'"),
    "link to itself": (cell("links", 2, "destination", "north"), "links.csv", 2, "destination", "north", "other than"),
    "demand without capacity": (rows("capacity", lambda lines: lines[:2] + lines[3:]), "demand.csv", 2, SERIES,
                                "north, bed", "capacity.csv"),
    "dated and undated capacity": (
        both(rows("capacity", lambda lines: [*lines, lines[2]]),
             add_column("capacity", "date", lambda number: "" if number == 3 else "2024-01-01")),
        "capacity.csv", 3, "date", "", "for north, bed a date in every row or in none"),
    "series wholly missing": (
        rows("demand", lambda lines: [re.sub(",south,bed,.*", ",south,bed,", line) for line in lines]),
        "demand.csv", 6, "demand", "", "all are missing"),
    # Resources
    "unknown kind": (cell("resources", 4, "kind", "medicine"), "resources.csv", 4, "kind", "medicine", "one of staff"),
    "requires in words": (cell("resources", 3, "requires", "half a nurse"), "resources.csv", 3, "requires",
                          "half a nurse", "0.5 nurse; 1 monitor"),
    "requires nothing of it": (cell("resources", 3, "requires", "0 nurse"), "resources.csv", 3, "requires", "0 nurse",
                               "above 0"),
    "requires the unknown": (cell("resources", 3, "requires", "1 nures"), "resources.csv", 3, "requires", "1 nures",
                             "'nurse'"),
    "requires itself": (cell("resources", 2, "requires", "1 nurse"), "resources.csv", 2, "requires", "1 nurse",
                        "nurse requires nurse"),
    "shelf life of a bed": (cell("resources", 3, "shelf_life_days", "30"), "resources.csv", 3, "shelf_life_days", "30",
                            "only a drug"),
    # Parquet: the line counts as if there were a header
    "parquet, negative": (to_parquet("demand", set_value(9, "demand", -1.0)), "demand.parquet", 9, "demand", "-1.0",
                          "at least 0"),
    "parquet, inf": (to_parquet("demand", set_value(9, "demand", np.inf)), "demand.parquet", 9, "demand", "inf",
                     "finite"),
    "parquet, time of day": (to_parquet("demand", set_value(8, "date", "2024-01-02 06:00")), "demand.parquet", 8,
                             "date", "2024-01-02 06:00:00", "time of day"),
    # No faults: empty optional cells, columns of one's own, gaps, other line ends, bare commas
    "optional cells empty": (cell("capacity", 3, "surge", ""), None),
    "optional file absent": (remove("links.csv"), None),
    "own column": (add_column("sites", "comment", lambda number: "x;y"), None),
    "demand missing": (cell("demand", 3, "demand", ""), None),
    "day missing": (rows("demand", lambda lines: lines[:7] + lines[13:]), None),
    "old line ends": (rewrite("demand", lambda text: text.replace("\n", "\r\n")), None),
    "empty rows": (rewrite("sites", lambda text: text + ",,,,,\n\n"), None),
    "capacity dated": (add_column("capacity", "date", lambda number: "2024-01-01"), None),
    "capacity with empty dates": (add_column("capacity", "date", lambda number: ""), None),
    "weekly": (move_dates(7), None),
}


@pytest.mark.parametrize("name", CASES)
def test_fault_is_found_where_it_stands(name, folder):
    edit, *wanted = CASES[name]
    edit(folder)
    tables, problems = intake.check_folder(folder)
    if wanted == [None]:
        assert problems.empty and set(tables) == {path.stem for path in folder.iterdir()}
        return
    file, row, column, value, word = wanted
    assert len(problems) == 1, problems.to_string()
    found = problems.iloc[0]
    assert (found["file"], found["column"]) == (file, column)
    assert pd.isna(found["row"]) if row is None else found["row"] == row
    assert found["value"].startswith(value) if word == "not tabs" else found["value"] == value
    assert word in found["expected"]


def test_all_problems_are_reported_together_in_file_order(folder):
    both(cell("sites", 2, "latitude", "-91"), cell("resources", 4, "kind", "pill"), cell("demand", 200, "site", "nort"),
         cell("demand", 2, "demand", '"1,5"'), cell("demand", 8, "date", "2021-02-30"), cell("links", 3, "cost", "-1"),
         cell("demand", 8, "demand", "-4"), remove("capacity.csv"))(folder)
    _, problems = intake.check_folder(folder)
    assert [(row.file, None if pd.isna(row.row) else row.row, row.column) for row in problems.itertuples()] == [
        ("sites.csv", 2, "latitude"), ("resources.csv", 4, "kind"), ("demand.csv", 2, "demand"),
        ("demand.csv", 8, "date"), ("demand.csv", 8, "demand"), ("demand.csv", 200, "site"),
        ("capacity.csv", None, ""), ("links.csv", 3, "cost")]
    with pytest.raises(MedlibError, match=r"8 problem\(s\).*sites.csv line 2, column 'latitude'.*got '-91'.*check"):
        intake.read_folder(folder)


def test_rows_without_a_readable_key_are_not_called_repeated(folder):
    both(cell("demand", 2, "date", "x"), cell("demand", 8, "date", "y"), cell("demand", 14, "date", ""))(folder)
    _, problems = intake.check_folder(folder)
    assert problems["row"].tolist() == [2, 8, 14] and set(problems["column"]) == {"date"}


def test_undated_capacity_is_not_called_repeated_where_dates_are_unreadable(folder):
    rows("capacity", lambda lines: [*lines, lines[3]])(folder)
    add_column("capacity", "date", lambda number: "soon" if number in (4, 11) else "")(folder)
    _, problems = intake.check_folder(folder)
    assert problems["value"].tolist() == ["soon", "soon"] and problems["row"].tolist() == [4, 11]


def test_one_fault_throughout_a_file_is_told_at_its_lines_only(folder):
    rows("demand", lambda lines: [lines[0], *(f"{line[8:10]}.{line[5:7]}.{line[:4]}{line[10:]}" for line in lines[1:])]
         )(folder)
    _, problems = intake.check_folder(folder)
    assert problems["row"].tolist() == list(range(2, 212)) and set(problems["column"]) == {"date"}


def test_capacity_is_looked_for_without_the_list_of_sites(folder):
    remove("sites.csv")(folder)
    CASES["demand without capacity"][0](folder)
    _, problems = intake.check_folder(folder)
    assert problems["file"].tolist() == ["sites.csv", "demand.csv"]


def test_a_circle_is_reported_at_each_of_its_resources(folder):
    rows("resources", lambda lines: [*lines, "monitor,equipment,monitor,,0.1 nurse"])(folder)
    cell("resources", 2, "requires", "1 monitor")(folder)
    _, problems = intake.check_folder(folder)
    assert problems["row"].tolist() == [2, 5]
    assert "nurse requires monitor requires nurse" in problems["expected"][0]


def test_a_byte_order_mark_is_no_problem_and_hides_none(folder):
    rewrite("sites", str, encoding="utf-8-sig")(folder)
    tables, problems = intake.check_folder(folder)
    assert problems.empty and tables["sites"].columns[0] == "site"
    cell("sites", 2, "latitude", "-91")(folder)
    tables, problems = intake.check_folder(folder)
    assert problems["row"].tolist() == [2] and problems["value"].tolist() == ["-91"] and "sites" not in tables


def test_the_way_out_of_excels_semicolons_and_accents_is_one(folder, monkeypatch):
    rewrite("sites", lambda text: text.replace("Central", "Zürich").replace(",", ";"), encoding="cp1252")(folder)
    expected = intake.check_folder(folder)[1]["expected"]
    told = expected[expected.str.contains("in Python")].iloc[0].rpartition("in Python, ")[2]
    monkeypatch.chdir(folder)
    exec(told, {"pandas": pd})
    tables, problems = intake.check_folder(folder)
    assert problems.empty and tables["sites"]["name"].str.contains("Zürich").any()


@pytest.mark.parametrize("table, old", [("sites", "North"), ("sites", "north"), ("capacity", "north,bed")])
def test_identifiers_lost_to_a_stray_quote_are_not_missed_elsewhere(table, old, folder):
    replace(table, old, f'"{old[:-1]}"{old[-1:]}x', 1)(folder)
    _, problems = intake.check_folder(folder)
    assert problems["file"].tolist() == [f"{table}.csv"] and "quotes closed" in problems["expected"][0]


@pytest.mark.parametrize("name", ["semicolons", "unknown site", "damaged parquet", "optional cells empty"])
def test_folder_stays_as_it_is(name, folder):
    CASES[name][0](folder)
    before = {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
              for path in folder.iterdir()}
    intake.check_folder(folder)
    assert before == {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
                      for path in folder.iterdir()}


def test_template_round_trips(tmp_path):
    intake.write_template(tmp_path)
    tables = intake.read_folder(tmp_path)
    assert set(tables) == {"sites", "resources", "demand", "capacity", "links"}
    raw = pd.read_csv(tmp_path / "demand.csv")
    assert tables["demand"]["demand"].tolist() == raw["demand"].tolist()
    assert tables["demand"]["date"].dt.strftime("%Y-%m-%d").tolist() == raw["date"].tolist()
    assert set(tables["resources"]["kind"]) == {"staff", "bed", "drug"} and len(tables["sites"]) == 3
    assert infer_period(tables["demand"]["date"]) == "D" and tables["demand"]["date"].nunique() == 63
    for name, table in tables.items():
        pd.testing.assert_frame_equal(schema.check_frame(table, name), table)


def test_template_overwrites_nothing(folder):
    remove("sites.csv")(folder)
    with pytest.raises(MedlibError, match="overwrites nothing"):
        intake.write_template(folder)
    assert not (folder / "sites.csv").exists()
    with pytest.raises(MedlibError, match="cannot be written"):
        intake.write_template(folder / "demand.csv" / "below")


def test_parquet_folder_gives_the_same_tables(folder, tmp_path_factory):
    wanted = intake.read_folder(folder)
    other = tmp_path_factory.mktemp("parquet")
    for name, table in wanted.items():
        # An index that is a column counts as one.
        (table.set_index("date") if name == "demand" else table).to_parquet(other / f"{name}.parquet")
    tables = intake.read_folder(other)
    for name, table in wanted.items():
        pd.testing.assert_frame_equal(tables[name], table)


def test_numbers_are_read_exactly(folder):
    cell("demand", 2, "demand", "0.1234567890123456789")(folder)
    cell("demand", 3, "demand", " 1e2 ")(folder)
    assert intake.read_folder(folder)["demand"]["demand"].tolist()[:2] == [0.1234567890123456789, 100.0]


def test_no_folder_is_refused(folder):
    with pytest.raises(MedlibError, match="No such file"):
        intake.check_folder(folder / "nowhere")
    with pytest.raises(MedlibError, match="Not a directory"):
        intake.read_folder(folder / "sites.csv")


NASTY = st.one_of(
    st.text(max_size=20), st.floats().map(str), st.integers().map(str), st.dates().map(str),
    st.sampled_from(["", " ", '"', '""', ",", ";", "\n", "\r", "\t", "\ufeff", "\0", "north", "bed", "date", "-0",
                     "1_0", "0.5 nurse", "1 bed; 2 bed", "9999-12-31", "0000-00-00", "1e308", "٣", "<NA>", "True",
                     "x" * 200000]))
PLACE = st.tuples(st.sampled_from(["sites", "resources", "demand", "capacity", "links"]), st.integers(0, 210),
                  st.integers(0, 9), NASTY, st.booleans())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(edits=st.lists(PLACE, min_size=1, max_size=2))
def test_any_edit_gives_tables_or_problems(template, edits):
    files = {name: [line.split(",") for line in data.decode().splitlines()] for name, data in template.items()}
    for table, line, column, value, quoted in edits:
        lines = files[f"{table}.csv"]
        cells = lines[line % len(lines)]
        cells[column % len(cells)] = '"{}"'.format(value.replace('"', '""')) if quoted else value
    with tempfile.TemporaryDirectory() as name:
        for file, lines in files.items():
            (Path(name) / file).write_bytes("\n".join(map(",".join, lines)).encode())
        tables, problems = intake.check_folder(name)
        if problems.empty:
            assert set(tables) == {Path(file).stem for file in template}
            assert all(schema.find_failures(table, table_name).empty for table_name, table in tables.items())
        else:
            assert set(problems["file"]) <= set(template)
            assert problems["value"].str.len().max() <= 60 and (problems["expected"] != "").all()
            assert (problems["row"].dropna() >= 1).all()


# --- What other modules take from here: the grid of dates, and what a resource requires ----------------------------

@pytest.mark.parametrize("dates, period", [
    (["2021-03-05", "2021-03-06", "2021-03-09"], "D"),
    (["2021-03-06", "2021-03-13", "2021-03-27", "2021-03-13"], "W-SAT"),
    (["2021-03-10", "2021-03-03"], "W-WED"),
    (["2021-03-06", "2021-03-20", "2021-04-03"], "W-SAT"),
    (["2021-01-01", "2021-02-01", "2021-05-01"], "MS"),
])
def test_period_is_inferred(dates, period):
    assert infer_period(pd.to_datetime(dates)) == period


@pytest.mark.parametrize("dates, word", [
    (["2021-03-05"], "two dates"), ([None, None], "got 0"),
    (["2021-03-05", "2021-03-07", "2021-03-09"], "2 days"),
    (["2021-01-31", "2021-03-03", "2021-04-03"], "31 days"),
    (["2021-03-01", "2021-03-08", "2021-03-15", "2021-03-23"], "2021-03-23"),
    (["2021-01-01", "2021-02-01", "2021-03-01", "2021-04-02"], "2021-04-02"),
])
def test_irregular_dates_are_refused(dates, word):
    with pytest.raises(MedlibError, match=word):
        infer_period(pd.to_datetime(dates))


@pytest.mark.parametrize("last, period, dates", [
    ("2021-02-27", "D", ["2021-02-28", "2021-03-01"]),
    ("2021-02-27", "W-SAT", ["2021-03-06", "2021-03-13"]),
    ("2021-02-25", "W-SAT", ["2021-02-27", "2021-03-06"]),
    ("2021-12-01", "MS", ["2022-01-01", "2022-02-01"]),
])
def test_dates_are_extended(last, period, dates):
    assert extend(last, period, 2).strftime("%Y-%m-%d").tolist() == dates
    assert len(extend(last, period, 0)) == 0


def test_extending_refuses_other_periods():
    with pytest.raises(MedlibError, match="'QS'"):
        extend("2021-01-01", "QS", 1)
    with pytest.raises(MedlibError, match="-1"):
        extend("2021-01-01", "D", -1)


def test_requires_is_parsed():
    assert schema.parse_requires(" 0.5 nurse ;2 icu monitor") == {"nurse": 0.5, "icu monitor": 2.0}
    assert schema.parse_requires("") == schema.parse_requires(None) == schema.parse_requires(float("nan")) == {}


@pytest.mark.parametrize("text", ["nurse", "0 nurse", "-1 nurse", "0,5 nurse", "1 nurse;", "1 nurse; 2 nurse",
                                  "inf nurse", "1nurse", "1e3 nurse"])
def test_requires_is_refused(text):
    with pytest.raises(MedlibError, match="amounts above 0"):
        schema.parse_requires(text)


def test_contract_finds_repeated_keys_where_a_key_column_is_absent():
    frame = pd.DataFrame({"site": ["a", "b", "a"], "resource": "bed", "capacity": 3.0})
    failures = schema.find_failures(frame, "capacity")
    assert failures["row"].tolist() == [0, 2] and set(failures["column"]) == {"site + resource"}
    assert "site" in schema.find_failures(pd.concat([frame] * 2).drop(columns="site"), "capacity")["column"].tolist()


# --- Pictures --------------------------------------------------------------------------------------------------------

PICTURE = b"RIFF\x00\xff, not a WebP\n" * 9


def give_pictures(folder, *pictures, parquet=False, head="site,device,resource,picture"):
    rows = [("north", f"pump {number}", "nurse", picture) for number, picture in enumerate(pictures)]
    if parquet:
        pd.DataFrame(rows, columns=head.split(",")).to_parquet(folder / "equipment.parquet")
    else:
        (folder / "equipment.csv").write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("parquet", [False, True])
def test_pictures_are_read_as_bytes(folder, parquet):
    large = PICTURE * (schema.MOST_BYTES // len(PICTURE))  # more than the csv module's own limit
    pictures = [PICTURE, large] if parquet else [base64.b64encode(picture).decode() for picture in (PICTURE, large)]
    give_pictures(folder, *pictures, parquet=parquet)
    tables, problems = intake.check_folder(folder)
    assert problems.empty and tables["equipment"]["picture"].tolist() == [PICTURE, large]


@pytest.mark.parametrize("picture", ["", "a picture.png", "QUJ", base64.b64encode(b"x" * (schema.MOST_BYTES + 1)).decode()])
def test_what_is_no_picture_is_a_problem_at_its_line(folder, picture):
    give_pictures(folder, base64.b64encode(PICTURE).decode(), picture)
    _, problems = intake.check_folder(folder)
    assert problems[["file", "row", "column"]].values.tolist() == [["equipment.csv", 3, "picture"]]
    assert "the bytes of a picture, at most 200,000" in problems["expected"].iloc[0] and len(problems["value"].iloc[0]) <= 60


def test_equipment_names_known_sites_and_states_only(folder):
    give_pictures(folder, base64.b64encode(PICTURE).decode() + ",broken", head="site,device,resource,picture,checked")
    _, problems = intake.check_folder(folder)
    assert problems[["column", "value", "expected"]].values.tolist() == [["checked", "broken", "one of working, alarm, off, damaged or nothing"]]
