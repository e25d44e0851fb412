"""Read a user's own folder of input tables and say everything that is wrong with it, in one pass.

Every cell is read as text first, so that a problem can show the cell as it stands in the file. What a valid table is
stands in `medlib.schema` alone; here stands what a file can do wrong, and what the tables must agree on.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import shlex
from collections import deque
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from medlib import schema
from medlib.calendar import fit_grid
from medlib.errors import MedlibError

#: Fewer periods of demand than this cannot be split into a past to learn from and a future to be judged by.
MIN_PERIODS = 30
#: Longest value shown, in characters.
SHOWN = 60
#: Which table lists the identifiers that a column may hold.
OWNERS = {"site": ("sites", "site"), "origin": ("sites", "site"), "destination": ("sites", "site"),
          "resource": ("resources", "resource")}
#: What makes a series.
PAIR = ["site", "resource"]
SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods")
AS_CSV = "save it as CSV UTF-8, with commas"


@dataclass
class Source:
    """One file as text: the rows that have a cell for every column, those that do not, and whether some are lost."""

    name: str
    file: str
    lines: np.ndarray
    cells: pd.DataFrame
    torn: pd.DataFrame
    lost: bool = False

    def __post_init__(self):
        self.bare = _strip(self.cells)  # no blanks around the cells

    def get_ids(self, *columns: str) -> set[tuple[str, ...]]:
        """Return the identifiers that stand in the columns, torn rows included, lest one fault look like many."""
        parts = [self.bare[list(columns)].drop_duplicates(), _strip(self.torn[list(columns)])]
        return {ids for part in parts for ids in part.itertuples(index=False, name=None)}


def _strip(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: frame[name].str.strip() for name in frame}, index=frame.index)


class Problems(list):
    """What was found, as (table, file, row, column, value, expected)."""

    def add(self, name: str, file: str, row: int | None, column: str, value: str, expected: str) -> None:
        # An unclosed quote drags other rows into a cell: show its first line and nothing that could steer a terminal.
        line = (value.strip("\r\n").splitlines() or [""])[0]
        shown = line if len(line) <= SHOWN else line[:SHOWN - 1] + "…"
        if not shown.isprintable():
            shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
        self.append((name, file, row, column, shown, expected))

    def flag(self, source: Source, column: str, mask, expected) -> None:
        """Add every cell of a column where the mask holds; `expected` is a text or a function of the bare cell."""
        where = np.flatnonzero(mask)
        if len(where) == 0:
            return
        cells, bare = (frame[column].iloc[where].tolist() for frame in (source.cells, source.bare))
        for line, cell, word in zip(source.lines[where], cells, bare):
            self.add(source.name, source.file, line, column, cell, expected(word) if callable(expected) else expected)

    def to_frame(self) -> pd.DataFrame:
        """Return the problems in file order, then in line order; those of a whole file first."""
        ordered = sorted(self, key=lambda found: (schema.INPUTS.index(found[0]), found[2] or 0))
        frame = pd.DataFrame([found[1:] for found in ordered], columns=["file", "row", "column", "value", "expected"])
        return frame.astype({"file": "str", "row": "Int64", "column": "str", "value": "str", "expected": "str"})


def check_folder(folder: str | Path) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Read a folder of input tables and list every problem in it; nothing in the folder is changed.

    Parameters
    ----------
    folder : str or Path
        Holds `<table>.csv` or `<table>.parquet` for the tables of `medlib.schema.INPUTS`.

    Returns
    -------
    tables : dict of str to pandas.DataFrame
        The tables without a problem of their own, typed.
    problems : pandas.DataFrame
        Columns file, row, column, value, expected. The row is the line in the file, the header being line 1 (Parquet:
        as if it were one), and missing where the whole file is meant. The value is the cell as text, at most 60
        characters of it. No rows where all is well.

    Raises
    ------
    MedlibError
        The folder does not exist, is a file or cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MedlibError(f"Expected a folder of input tables; {str(folder)!r} "
                          + ("is a file." if folder.exists() else "does not exist."))
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise MedlibError(f"The folder {str(folder)!r} cannot be listed ({error.strerror}).") from None
    found, sources, frames, tables = Problems(), {}, {}, {}
    for name in schema.INPUTS:
        file = _choose_file(names, name, found)
        source = _read_file(folder / file, name, found) if file else None
        if source is not None:
            sources[name] = source
            frames[name], table = _check_table(source, found)
            if table is not None:
                tables[name] = table
    known = {column: {name for (name,) in sources[owner].get_ids(column)}
             for column, owner in (("site", "sites"), ("resource", "resources"))
             if owner in sources and column in sources[owner].cells and not sources[owner].lost}
    _check_references(sources, known, found)
    if {"latitude", "longitude"} <= set(frames.get("sites", ())):
        _check_places(sources["sites"], frames["sites"], found)
    if "resources" in sources:
        _check_resources(sources["resources"], found)
    _check_pairs(sources, known, found)
    if "date" in frames.get("demand", ()):
        _check_dates(sources["demand"], frames["demand"]["date"], found)
    faulty = {problem[0] for problem in found}
    return {name: table for name, table in tables.items() if name not in faulty}, found.to_frame()


def read_folder(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Return the input tables of a folder.

    Parameters
    ----------
    folder : str or Path
        As for `check_folder`.

    Returns
    -------
    dict of str to pandas.DataFrame
        By table name; an optional table that is not there is left out.

    Raises
    ------
    MedlibError
        The folder is none, or something in it is wrong; the message tells the first problem and how many there are.
    """
    tables, problems = check_folder(folder)
    if len(problems):
        first = problems.iloc[0]
        place = first.file + ("" if pd.isna(first.row) else f" line {first.row}")
        place += f", column {first['column']!r}" if first["column"] else ""
        got = f"got {first.value!r}, " if first.value else ""
        raise MedlibError(f"{len(problems)} problem(s) in {str(folder)!r}; first, in {place}: {got}expected "
                          f"{first.expected}. Run `medlib check {shlex.quote(str(folder))}` for the list.")
    return tables


# --- From a file to text cells -------------------------------------------------------------------------------------

def _choose_file(names: list[str], name: str, found: Problems) -> str | None:
    """Return the file that holds a table; where there is none, say which file may have been meant."""
    present = [file for file in (f"{name}.csv", f"{name}.parquet") if file in names]
    if len(present) == 2:
        found.add(name, present[0], None, "", ", ".join(present), "only one of the two files")
    if present:
        return present[0]
    books = [file for file in names if file.lower().endswith(SPREADSHEETS)]
    own = [file for file in books if Path(file).stem.lower() == name]
    optional = name in schema.OPTIONAL_INPUTS
    by_lower = {file.lower(): file for file in names}
    near = get_close_matches(f"{name}.csv", by_lower, 1, 0.9 if optional else 0.7)
    if own:
        found.add(name, own[0], None, "", "", f"{name}.csv instead of a spreadsheet; {AS_CSV}")
    elif near:
        found.add(name, f"{name}.csv", None, "", by_lower[near[0]], "the file to have this name")
    elif not optional:
        hint = f"; if the table is a sheet of {books[0]!r}, {AS_CSV}" if books else ""
        found.add(name, f"{name}.csv", None, "", "", f"this file, or {name}.parquet, to be there{hint}")
    return None


def _read_file(path: Path, name: str, found: Problems) -> Source | None:
    """Read the columns of the contract from a file, as text; None where there is nothing to check."""
    is_csv = path.suffix == ".csv"
    try:
        content = path.read_bytes() if is_csv else pd.read_parquet(path)
    except Exception as error:  # a damaged Parquet file fails in many ways, and none may stop the other checks
        kind = "a CSV" if is_csv else "a Parquet"
        found.add(name, path.name, None, "", "", f"{kind} file that can be read ({type(error).__name__})")
        return None
    source = (_read_csv if is_csv else _read_frame)(content, path.name, name, found)
    if source is not None and source.cells.shape[0] + source.torn.shape[0] == 0:
        hint = "; leave the file out where there is nothing to say" if name in schema.OPTIONAL_INPUTS else ""
        found.add(name, path.name, None, "", "", f"at least one row below the header{hint}")
        return None
    return source


def _decode(data: bytes, file: str, name: str, found: Problems) -> str | None:
    """Return the text of a file, told in Latin-1 where it is not UTF-8 so that the other checks can go on."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found.add(name, file, 1, "", "UTF-16 byte-order mark", f"text encoded as UTF-8; {AS_CSV}")
        return data.decode("utf-16", errors="replace")
    if data.startswith(b"PK\x03\x04") or b"\0" in data:
        found.add(name, file, None, "", "", f"a text file, not a binary one; if it is a spreadsheet, {AS_CSV}")
        return None
    # The UTF-8 mark is let pass: Excel's "CSV UTF-8", which the messages here ask for, always writes it.
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        around = [re.split(rb"[,;\t\r\n]", part) for part in (data[max(0, at - SHOWN):at], data[at:at + SHOWN])]
        line = len(re.findall(rb"\r\n|\r|\n", data[:at])) + 1
        found.add(name, file, line, "", (around[0][-1] + around[1][0]).decode("latin-1"),
                  f"text encoded as UTF-8; byte 0x{data[at]:02x} is not: the file looks like Latin-1, save it as UTF-8")
        return data.decode("latin-1")


def _split_rows(text: str, delimiter: str, file: str, name: str, found: Problems) -> tuple[list[list[str]], list[int]]:
    """Return the rows that hold anything, and the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return rows, lines
        except csv.Error as error:
            found.add(name, file, line, "", "", f"a line that can be split into cells, its quotes closed ({error})")
            continue
        if "".join(row).strip():  # spreadsheets leave lines of bare commas at the end
            rows.append(row)
            lines.append(line)


def _read_csv(data: bytes, file: str, name: str, found: Problems) -> Source | None:
    """Split a CSV file into cells; other delimiters are a problem, but are followed to find the next ones."""
    text = _decode(data, file, name, found)
    if text is None:
        return None
    head = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    columns = schema.get_table(name).column
    delimiter = max(",;\t|", key=lambda mark: sum(cell.strip('" \r\n').lower() in columns for cell in head.split(mark)))
    before = len(found)
    rows, lines = _split_rows(text, delimiter, file, name, found)
    lost = len(found) > before
    if not rows:
        found.add(name, file, None, "", "", "a header line and rows; the file is empty")
        return None
    if delimiter != ",":
        mark = {";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
        found.add(name, file, lines[0], "", head, f"commas between the cells, not {mark}")
    places, width = _find_columns(rows[0], lines[0], file, name, found), len(rows[0])
    whole = np.array([len(row) == width for row in rows[1:]], dtype=bool)
    body, torn = [row for row in rows[1:] if len(row) == width], []
    for row, line in zip(rows[1:], lines[1:]):
        if len(row) != width:
            found.add(name, file, line, "", f"{len(row)} cells", f"{width} cells as in the header; a cell that holds a "
                                                                 "comma stands in double quotes")
            torn.append(row + [""] * width)
    cells, rest = (pd.DataFrame({column: [row[place] for row in part] for column, place in places.items()},
                                index=range(len(part)), dtype="str") for part in (body, torn))
    return Source(name, file, np.array(lines[1:], dtype=int)[whole], cells, rest, lost)


def _read_frame(frame: pd.DataFrame, file: str, name: str, found: Problems) -> Source:
    """Turn a typed table into text, so that Parquet and CSV files pass the same checks."""
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    places = _find_columns([str(column) for column in frame.columns], 1, file, name, found)
    texts = {column: [_write_text(value) for value in frame.iloc[:, place].tolist()]
             for column, place in places.items()}
    cells = pd.DataFrame(texts, index=range(len(frame)), dtype="str")
    return Source(name, file, np.arange(2, len(frame) + 2), cells, cells.iloc[:0])


def _write_text(value) -> str:
    """Return a typed value as a CSV file would show it."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    return value.isoformat().removesuffix("T00:00:00") if hasattr(value, "isoformat") else str(value)


def _find_columns(header: list[str], line: int, file: str, name: str, found: Problems) -> dict[str, int]:
    """Return where each column of the contract stands; say which are missing, doubled or misspelt."""
    table, header = schema.get_table(name), [cell.strip() for cell in header]
    unknown = {cell.lower(): cell for cell in header if cell not in table.column}
    for column in table.columns:
        # A comment column may resemble an optional one by chance, so that takes more likeness.
        near = get_close_matches(column.name, unknown, 1, 0.7 if column.required else 0.88)
        if header.count(column.name) > 1:
            found.add(name, file, line, column.name, column.name, "each column once")
        elif column.name not in header and near:
            found.add(name, file, line, column.name, unknown[near[0]],
                      f"a column {column.name!r}; is this it, misspelt?")
        elif column.name not in header and column.required:
            found.add(name, file, line, column.name, "", f"a column {column.name!r}")
    return {column.name: header.index(column.name) for column in table.columns if column.name in header}


# --- From text cells to a typed table ------------------------------------------------------------------------------

def _read_number(text: str) -> float:
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        if math.isfinite(number := float(text)):
            return number
        raise ValueError("finite")
    if re.fullmatch(r"[+-]?[0-9]{1,3}([ ,.'’\u00a0\u202f][0-9]{3})+([.,][0-9]+)?", text):
        raise ValueError("written without thousands separators, with a decimal point")
    if re.fullmatch(r"[+-]?[0-9]*,[0-9]+", text):
        raise ValueError(f"with a decimal point, not a comma: {text.replace(',', '.')[:SHOWN]}")
    if text.lower().lstrip("+-") in ("inf", "infinity", "∞"):
        raise ValueError("finite")
    if text.lower() in ("nan", "na", "n/a", "#n/a", "null", "none", "nil", "-", ".", "?"):
        raise ValueError("a missing value is an empty cell")
    raise ValueError


def _read_integer(text: str) -> int:
    number = _read_number(text)
    if number != int(number) or abs(number) > 2 ** 53:
        raise ValueError
    return int(number)


def _read_date(text: str) -> date:
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError("a day that exists") from None
        if not 1900 <= day.year < 2200:  # a slip of the pen, and at the far ends no time stamp in nanoseconds
            raise ValueError("a year from 1900 to 2199")
        return day
    if re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", text):
        raise ValueError("without a time of day")
    if re.fullmatch("[0-9]{4}-?W[0-9]{1,2}(-?[0-9])?", text):
        raise ValueError("for a week, the date of its first day")
    if re.fullmatch(r"[1-9][0-9]{4}(\.0*)?", text):
        day = date(1899, 12, 30) + timedelta(days=int(text[:5]))
        raise ValueError(f"not a spreadsheet's day number; {text[:5]} is {day} in Excel")
    raise ValueError("such as 2021-12-31; no other way of writing a date")


def _read_flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


READERS = {"number": _read_number, "integer": _read_integer, "date": _read_date, "flag": _read_flag}


def _convert(source: Source, column: schema.Column, found: Problems) -> tuple[pd.Series, np.ndarray]:
    """Return a column in the contract's type, and which of its cells could not be read."""
    cells = source.bare[column.name]
    if column.kind == "text":
        return source.cells[column.name].where(cells != ""), np.zeros(len(cells), dtype=bool)
    # Every distinct text is read once: half a million rows hold a few thousand.
    codes, texts = pd.factorize(cells)
    filler = {"integer": 0, "flag": False, "date": None, "number": np.nan}[column.kind]
    values, hints = [], {}
    for text in texts.tolist():
        value = filler
        try:
            if text or column.kind in ("integer", "flag"):  # neither type has a missing value
                value = READERS[column.kind](text)
        except (ValueError, KeyError) as error:
            hints[text] = f"; {error}" if isinstance(error, ValueError) and error.args else ""
        values.append(value)
    bad = np.array([text in hints for text in texts.tolist()], dtype=bool)[codes]
    found.flag(source, column.name, bad, lambda cell: column.expected + hints[cell])
    return pd.Series(np.array(values, dtype=schema.DTYPES[column.kind])[codes], index=cells.index), bad


def _check_table(source: Source, found: Problems) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the typed columns, unread cells empty, and the table where it keeps its contract."""
    table, before, refusal = schema.get_table(source.name), len(found), "the table to keep its contract"
    typed = {column.name: _convert(source, column, found) for column in table.columns if column.name in source.cells}
    frame = pd.DataFrame({name: values for name, (values, _) in typed.items()}, index=source.cells.index)
    again = _check_keys(source, frame, {name: bad for name, (_, bad) in typed.items()}, found)
    if len(found) == before and all(column.name in frame for column in table.columns if column.required):
        try:
            return frame, schema.check_frame(frame, source.name)
        except MedlibError as error:
            refusal = str(error)  # find_failures below says more
    # pandera takes long over many repeated rows, so they are looked at apart from the rows they repeat.
    for part in [rows for rows in (np.flatnonzero(~again), np.flatnonzero(again)) if len(rows)]:
        failures = schema.find_failures(frame.iloc[part], source.name)
        failures = failures[(failures["row"] >= 0) & (failures["expected"] != schema.ONCE)]
        for column, rows in failures.groupby("column")["row"]:
            broken = np.zeros(len(frame), dtype=bool)
            broken[part[rows.to_numpy(dtype=int)]] = True
            found.flag(source, column, broken & ~typed[column][1], table.column[column].expected)
    if source.name not in {problem[0] for problem in found}:  # never refuse a table without a word
        found.add(source.name, source.file, None, "", "", refusal)
    return frame, None


def _check_keys(source: Source, frame: pd.DataFrame, bad: dict[str, np.ndarray], found: Problems) -> np.ndarray:
    """Say which rows repeat an earlier row's key, and return where they are."""
    contract = schema.get_table(source.name)
    key = [name for name in contract.key if name in frame]
    usable = pd.Series(all(name in key or not contract.column[name].required for name in contract.key), frame.index)
    for name in key:  # rows without a readable key are not each other's repetition
        usable &= ~bad[name] & (frame[name].notna() | contract.column[name].nullable)
    rows = frame.loc[usable, key].assign(line=source.lines[usable.to_numpy()])
    again = rows[rows.duplicated(key)] if key else rows[:0]
    if len(again):
        first = rows.groupby(key, dropna=False)["line"].transform("min")
        for line, earlier, cells in zip(again["line"], first[again.index],
                                        source.cells.loc[again.index, key].itertuples(index=False)):
            found.add(source.name, source.file, line, " + ".join(key), ", ".join(cells),
                      f"each combination once; line {earlier} holds it too")
    return frame.index.isin(again.index)


# --- What the tables must agree on ---------------------------------------------------------------------------------

def _suggest(value: str, known: set[str]) -> str:
    """Return '; did you mean ...' where an identifier resembles a known one."""
    same = sorted(other for other in known if other.casefold() == value.casefold())
    if same:
        return f"; did you mean {same[0]!r}? Letter case counts"
    near = get_close_matches(value, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _check_references(sources: dict[str, Source], known: dict[str, set[str]], found: Problems) -> None:
    """Identifiers carry no blanks around them and stand in their own table; a link joins two sites."""
    for source in sources.values():
        for column in [name for name in OWNERS if name in source.cells]:
            owner, kind = OWNERS[column]
            cells = source.bare[column]
            found.flag(source, column, (source.cells[column] != cells) & (cells != ""),
                       lambda cell: f"no blanks before or after it: {cell[:SHOWN]!r}")
            if owner != source.name and kind in known:
                unknown = ~cells.isin(known[kind]) & (cells != "")
                # Likeness is slow to tell; a column full of strange values needs it for the first twenty only.
                hints = {cell: _suggest(cell, known[kind]) for cell in cells[unknown].unique()[:20]}
                found.flag(source, column, unknown,
                           lambda cell: f"a {kind} of {sources[owner].file}{hints.get(cell, '')}")
        if source.name == "links" and {"origin", "destination"} <= set(source.cells):
            loop = (source.bare["origin"] == source.bare["destination"]) & (source.bare["origin"] != "")
            found.flag(source, "destination", loop, "a site other than the origin")


def _check_places(source: Source, frame: pd.DataFrame, found: Problems) -> None:
    """Latitude and longitude are not swapped: a site lies near the others, not at their mirror image."""
    latitude, longitude = frame["latitude"], frame["longitude"]
    impossible = (latitude.abs() > 90) & (latitude.abs() <= 180) & (longitude.abs() <= 90)
    away = np.maximum((latitude - latitude.median()).abs(), (longitude - longitude.median()).abs())
    mirrored = np.maximum((longitude - latitude.median()).abs(), (latitude - longitude.median()).abs())
    # Sites must lie close together for this to be told, else a far one would be refused that is right.
    strange = (away > 10) & (mirrored < away / 5) & (away.median() < 5) & (len(frame) >= 3)
    swapped = impossible if impossible.mean() > 0.5 else strange
    found.flag(source, "latitude", swapped, "degrees north; latitude and longitude look swapped")


def _find_circle(start: str, needs: dict[str, dict[str, float]]) -> list[str]:
    """Return the shortest way from a resource back to itself along what it requires, or nothing."""
    paths, seen = deque([[start]]), set()
    while paths:
        path = paths.popleft()
        for other in needs.get(path[-1], ()):
            if other == start:
                return [*path, other]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return []


def _check_resources(source: Source, found: Problems) -> None:
    """A resource requires staff or equipment that is known, never in a circle; only drugs expire."""
    if not {"resource", "kind"} <= set(source.cells):
        return
    ids, kinds = source.bare["resource"].tolist(), source.bare["kind"].tolist()
    kind_of = dict(zip(ids, kinds)) | {name: "" for (name,) in source.get_ids("resource") if name not in ids}
    if "shelf_life_days" in source.cells:
        other = np.array([kind in schema.KINDS and kind != "drug" for kind in kinds], dtype=bool)
        found.flag(source, "shelf_life_days", other & (source.bare["shelf_life_days"] != ""),
                   "nothing; only a drug expires")
    needs: dict[str, dict[str, float]] = {}
    texts = source.cells["requires"].tolist() if "requires" in source.cells else []
    for name, text, line in zip(ids, texts, source.lines):
        try:
            needs[name] = schema.parse_requires(text)
        except MedlibError:
            found.add("resources", source.file, line, "requires", text, "amounts above 0 and resources, each once, "
                                                                        "such as '0.5 nurse; 1 monitor'")
            continue
        for need in needs[name]:
            if need not in kind_of and not source.lost:
                hint = _suggest(need, set(kind_of))
                found.add("resources", source.file, line, "requires", text, f"only resources of {source.file}{hint}")
            elif kind_of.get(need, "staff") in ("bed", "drug"):
                found.add("resources", source.file, line, "requires", text,
                          f"only staff or equipment to be required; {need[:SHOWN]!r} is a {kind_of[need]}")
    for name, text, line in zip(ids, texts, source.lines):
        if circle := _find_circle(name, needs):
            found.add("resources", source.file, line, "requires", text,
                      f"no circle; here {' requires '.join(part[:SHOWN] for part in circle)}")


def _check_pairs(sources: dict[str, Source], known: dict[str, set[str]], found: Problems) -> None:
    """Each site and resource with demand has some number and capacity, which is dated throughout or nowhere."""
    rows = {}
    for name in ("demand", "capacity"):
        if name in sources and set(PAIR) <= set(sources[name].cells):
            cells = sources[name].bare.assign(line=sources[name].lines)
            rows[name] = cells[(cells[PAIR] != "").all(axis=1)]
    if len(rows) == 2 and not sources["capacity"].lost:
        placed = sources["capacity"].get_ids(*PAIR)
        for row in rows["demand"].drop_duplicates(PAIR).itertuples():
            strange = any(getattr(row, kind) not in known.get(kind, {getattr(row, kind)}) for kind in PAIR)
            if (row.site, row.resource) not in placed and not strange:  # what is strange has been said
                found.add("demand", sources["demand"].file, row.line, " + ".join(PAIR), f"{row.site}, {row.resource}",
                          f"a row for it in {sources['capacity'].file}, with capacity 0 where there is none")
    if "demand" in rows.get("demand", ()):
        series = rows["demand"].assign(given=rows["demand"]["demand"] != "").groupby(PAIR)
        for row in series.agg(line=("line", "min"), given=("given", "any")).query("not given").itertuples():
            found.add("demand", sources["demand"].file, row.line, "demand", "",
                      f"at least one number for {', '.join(row.Index)}; all are missing")
    if "date" in rows.get("capacity", ()):
        dated = rows["capacity"].assign(dated=rows["capacity"]["date"] != "").groupby([*PAIR, "dated"])["line"].min()
        for names, lines in dated.unstack("dated").reindex(columns=[False, True]).dropna().iterrows():
            found.add("capacity", sources["capacity"].file, int(lines[False]), "date", "",
                      f"for {', '.join(names)} a date in every row or in none; line {int(lines[True])} has one")


def _check_dates(source: Source, dates: pd.Series, found: Problems) -> None:
    """Demand dates lie on one grid and span enough periods."""
    complete = dates.notna().all() and source.torn.empty and not source.lost
    try:
        period, strays = fit_grid(dates)
    except MedlibError as error:
        if complete:  # else the dates that could not be read have been listed
            found.add("demand", source.file, None, "date", "", f"dates on one regular grid: {error}")
        return
    stray = dates.isin(strays)
    grid = {"D": "daily", "MS": "first of a month"}.get(period, f"weekly, {period[2:].capitalize()}")
    found.flag(source, "date", stray, f"a date on the grid of the other dates ({grid})")
    regular = dates[~stray].dropna()
    periods = len(pd.date_range(regular.min(), regular.max(), freq=period))
    if complete and periods < MIN_PERIODS:
        found.add("demand", source.file, None, "date", f"{periods} periods",
                  f"at least {MIN_PERIODS} periods ({grid}) from the first date to the last")


# --- A folder to start from ----------------------------------------------------------------------------------------

TEMPLATE = {
    "sites": """site,name,region,latitude,longitude,population
north,North Hospital (made up),coast,54.10,12.10,90000
centre,Central Hospital (made up),coast,53.85,12.30,210000
south,South Hospital (made up),inland,53.55,12.25,120000
""",
    "resources": """resource,kind,unit,shelf_life_days,requires
nurse,staff,nurse on duty,,
bed,bed,staffed bed,,0.5 nurse
antibiotic,drug,treatment-day,180,
""",
    "capacity": """site,resource,capacity,surge,surge_lead_days
north,nurse,16,2,1
north,bed,28,4,2
north,antibiotic,12,,
centre,nurse,36,4,1
centre,bed,64,8,2
centre,antibiotic,26,,
south,nurse,19,2,1
south,bed,34,4,2
south,antibiotic,15,,
""",
    "links": """origin,destination,distance_km,lead_days,cost
north,centre,38,1,2
centre,north,38,1,2
centre,south,41,1,2
south,centre,41,1,2
north,south,76,1,3
south,north,76,1,3
""",
}


def write_template(folder: str | Path) -> None:
    """Write a small synthetic folder that passes `check_folder`, to be filled with one's own numbers.

    Three sites; nurses, beds and a drug; 63 days of demand, drawn with a fixed seed.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.

    Raises
    ------
    MedlibError
        One of the files is already there, or the folder cannot be written.
    """
    folder, random = Path(folder), np.random.default_rng(20)
    lines = ["date,site,resource,demand"]
    for number, day in enumerate(pd.date_range("2024-01-01", periods=63)):
        wave = 1 + 0.15 * math.sin(number / 9) - 0.1 * (day.day_of_week >= 5)
        for site, beds in (("north", 23), ("centre", 50), ("south", 31)):
            for resource, usual in (("bed", beds), ("antibiotic", 0.4 * beds)):
                lines.append(f"{day:%Y-%m-%d},{site},{resource},{random.poisson(usual * wave)}")
    texts = TEMPLATE | {"demand": "\n".join(lines) + "\n"}
    there = [f"{name}{end}" for name in texts for end in (".csv", ".parquet") if (folder / f"{name}{end}").exists()]
    if there:
        raise MedlibError(f"The template overwrites nothing, and {there[0]!r} is already in {str(folder)!r}; choose an "
                          "empty or new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with open(folder / f"{name}.csv", "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise MedlibError(f"The template cannot be written to {str(folder)!r} ({error.strerror}).") from None
