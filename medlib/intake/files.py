"""Find the file of a table and read it as text, so that a problem can show a cell as it stands in the file."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from medlib import schema, unpack
from medlib.errors import MedlibError
from medlib.intake.sheets import format_csv, unguard

#: Longest value shown, in characters.
SHOWN = 60
#: Endings of files that may hold a table.
TABLES = (".csv", ".parquet", ".txt", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods")
AS_CSV = "in Excel save as 'CSV UTF-8 (Comma delimited)'"
#: Where the decimal sign is a comma, Excel writes semicolons whatever it is asked for.
IN_PYTHON = 'in Python, pandas.read_csv("{file}", sep=";", decimal=","{encoding}).to_csv("{file}", index=False)'
#: Columns named where one is missing.
MOST_COLUMNS = 8
#: A picture takes four letters for three bytes, which is more than the csv module lets a cell hold.
csv.field_size_limit(2 * schema.MOST_BYTES)
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass
class Source:
    """The file of a table as text, with the line in the file as index, and what is wrong with it.

    `cells` stand as in the file and `bare` without blanks around them. The `torn` lines do not have one cell for every
    column; they are cut or filled up, lest the identifiers in them be missed elsewhere. `lost` says that some lines
    could not be split at all, so that the identifiers in them are not known, and `latin` that the text is no UTF-8.
    """

    name: str
    file: str
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    bare: pd.DataFrame = field(default_factory=pd.DataFrame)
    torn: set[int] = field(default_factory=set)
    lost: bool = False
    latin: bool = False
    problems: list[tuple[int | None, str, str, str]] = field(default_factory=list)

    def add(self, line: int | None, column: str, value: str, expected: str) -> None:
        """Add a problem: line (None for the whole file), column, value, expected; nothing more of a torn line."""
        if line not in self.torn:
            self.problems.append((line, column, _show(value, SHOWN), _show(expected, 5 * SHOWN)))

    def flag(self, lines: pd.Index, columns: list[str], expected: str | Sequence[str]) -> None:
        """Add the cells that stand in the columns of each line; `expected` is for all lines, or one for each."""
        if len(lines):
            words = [expected] * len(lines) if isinstance(expected, str) else expected
            for (line, *cells), word in zip(self.cells.loc[lines, columns].itertuples(name=None), words):
                self.add(line, " + ".join(columns), ", ".join(cells), word)

    def flag_texts(self, column: str, expected: dict[str, str]) -> None:
        """Add every cell of a column that holds one of the texts."""
        if expected:
            wrong = self.cells.loc[self.cells[column].isin(list(expected)), column]
            self.flag(wrong.index, [column], [expected[text] for text in wrong])


def _show(text: str, length: int) -> str:
    """Cut a text, and leave nothing in it that could steer a terminal."""
    text = text if len(text) <= length else text[:length - 1] + "…"
    return text if text.isprintable() else "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def read_source(folder: Path, names: list[str], name: str, optional: bool) -> Source:
    """Read a table's file, one of the names in the folder; without cells where there is nothing to check."""
    source = _find_file(names, name, optional)
    if source.file not in names:
        return source
    path = folder / source.file
    if path.resolve().parent != folder.resolve() or path.stat().st_size > unpack.MOST_BYTES:
        source.add(None, "", "", f"a file in this very folder, not a link out of it, of at most {unpack.MOST_BYTES // 10**6:,} MB")
        return source
    try:
        text = _decode(source, path.read_bytes()) if path.suffix == ".csv" else _print_parquet(path)
    except MedlibError as error:
        source.add(None, "", "", f"a {path.suffix} file that can be read; {error}".removesuffix("."))
        return source
    except Exception as error:  # a damaged Parquet file fails in many ways, and none may stop the other checks
        source.add(None, "", "", f"a {path.suffix} file that can be read ({type(error).__name__})")
        return source
    rows = _split(source, text)
    if len(rows) > 1:
        _fill(source, rows)
    elif text or not source.problems:  # no text: it was a binary file
        hint = "; leave the file out where there is nothing to say" if optional else ""
        source.add(None, "", "", f"a header line and at least one row below it{hint}")
    return source


def _find_file(names: list[str], name: str, optional: bool) -> Source:
    """Return which file holds a table; where there is none, say which may have been meant."""
    present = [file for file in (f"{name}.csv", f"{name}.parquet") if file in names]
    source = Source(name, (present or [f"{name}.csv"])[0])
    if len(present) == 2:
        source.add(None, "", ", ".join(present), "only one of the two files")
    elif not present:
        likely = {f"{Path(file).stem.lower()}.csv": file for file in names if file.lower().endswith(TABLES)}
        near = get_close_matches(source.file, likely, 1, 0.9 if optional else 0.7)
        if near or not optional:
            found = "".join(likely[file] for file in near)
            hint = f"; if that writes semicolons, {IN_PYTHON.format(file=source.file, encoding='')}" if near else ""
            source.add(None, "", found, "a file of this very name, in small letters" if found.lower() == source.file else
                       f"a file of this name ({AS_CSV}), or {name}.parquet, to be there{hint}")
    return source


def _print_parquet(path: Path) -> str:
    """Return a Parquet file as the text of a CSV file."""
    frame = unpack.read_parquet(path)
    frame = frame.reset_index() if any(frame.index.names) else frame
    for name in frame.select_dtypes(["datetime", "datetimetz"]):  # one time of day brings midnight to every other row
        frame[name] = frame[name].astype("str").str.removesuffix(" 00:00:00")
    return format_csv(frame)


def _decode(source: Source, data: bytes) -> str:
    """Return the text of a file; other encodings are a problem, but are followed to find the next ones."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        source.add(1, "", "UTF-16 byte-order mark", f"text encoded as UTF-8; {AS_CSV}")
        return data.decode("utf-16", errors="replace")
    if data.startswith(b"PK\x03\x04") or b"\0" in data:
        source.add(None, "", "", f"a text file, not a binary one; {AS_CSV}, or if that writes semicolons, "
                                  f"{IN_PYTHON.format(file=source.file, encoding='')}")
        return ""
    data = data.removeprefix(codecs.BOM_UTF8)  # Excel marks UTF-8 by it
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Without being asked for UTF-8, Excel writes accents in Latin-1.
        line = len((data[:error.start] + b".").splitlines())
        source.add(line, "", data.splitlines()[line - 1].decode("latin-1"),
                   f"text encoded as UTF-8; byte 0x{data[error.start]:02x} is not: it looks like Latin-1; "
                   f"{AS_CSV}, or in a text editor as UTF-8")
        source.latin = True
        return data.decode("latin-1")


def _split(source: Source, text: str) -> dict[int, list[str]]:
    """Split the text into cells, and return by line the rows that hold anything."""
    lines = list(io.StringIO(text, newline=""))
    head = next((line.strip("\r\n") for line in lines if line.strip()), "")
    mark = max(DELIMITERS, key=lambda mark: len({cell.strip('" ').lower() for cell in head.split(mark)}
                                                & schema.get_table(source.name).column.keys()))
    if mark != ",":
        encoding = ', encoding="cp1252"' if source.latin else ""
        hint = f"; {IN_PYTHON.format(file=source.file, encoding=encoding)}" if mark == ";" else ""
        source.add(1, "", head, f"commas between the cells, not {DELIMITERS[mark]}{hint}")
    reader, rows, start = csv.reader(lines, delimiter=mark, strict=True), {}, 0
    while start < len(lines):
        try:
            rows[start + 1] = next(reader)
        except csv.Error as error:
            source.add(start + 1, "", "", f"a line that can be split into cells, its quotes closed ({error})")
            torn = range(start + 1, reader.line_num + 1)
            source.torn.update(torn)
            source.lost = True
            rows |= {line: lines[line - 1].replace('"', "").split(mark) for line in torn}
        start = reader.line_num
    return {line: row for line, row in rows.items() if "".join(row).strip()}  # spreadsheets leave bare commas below


def _fill(source: Source, rows: dict[int, list[str]]) -> None:
    """Put the cells of the contract's columns in their places."""
    (top, header), *body = rows.items()
    places, width = _find_columns(source, top, [cell.strip() for cell in header]), len(header)
    for line, row in body:
        if len(row) != width:
            source.add(line, "", f"{len(row)} cells", f"{width} cells as in the header; a cell that holds a comma "
                                                      "stands in double quotes")
            source.torn.add(line)
    spoken = {name: unguard if schema.get_table(source.name).column[name].kind in ("text", "picture") else str for name in places}
    source.cells = pd.DataFrame({name: [spoken[name](row[place]) if place < len(row) else "" for _, row in body]
                                 for name, place in places.items()}, index=[line for line, _ in body], dtype="str")
    source.bare = source.cells.apply(lambda cells: cells.str.strip())


def _find_columns(source: Source, line: int, header: list[str]) -> dict[str, int]:
    """Return where each column of the contract stands; say which are missing, doubled or misspelt."""
    table = schema.get_table(source.name)
    unknown = {cell.lower(): cell for cell in header if cell not in table.column}
    for name, column in table.column.items():
        # A comment column may resemble an optional one by chance, so that takes more likeness.
        near = get_close_matches(name, unknown, 1, 0.7 if column.required else 0.88)
        if header.count(name) > 1:
            source.add(line, name, name, "each column once")
        elif name not in header and (near or column.required):
            hint = "; is this it, misspelt?" if near else f"; the columns here are {_list_columns(header, unknown)}"
            source.add(line, name, "".join(unknown[cell] for cell in near), f"a column {name!r}{hint}")
    return {name: header.index(name) for name in table.column if name in header}


def _list_columns(header: list[str], unknown: dict[str, str]) -> str:
    """Name the columns of a header; first those that the contract does not know, for one of them may be the one that is missed."""
    names = sorted(filter(None, dict.fromkeys(header)), key=lambda cell: cell.lower() not in unknown)
    return ", ".join(names[:MOST_COLUMNS]) + (", …" if len(names) > MOST_COLUMNS else "")
