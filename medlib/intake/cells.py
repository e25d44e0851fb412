"""Turn text cells into the types of a table's contract, and say what is wrong with a cell."""

from __future__ import annotations

import base64
import re
from datetime import date
from math import inf

import pandas as pd

from medlib import schema
from medlib.intake.files import Source

#: While some cells cannot be read, every type needs a missing value.
DTYPES = schema.DTYPES | {"integer": "Int64", "flag": "boolean"}
#: How a value of each kind is written, in any letter case, and read. Dates in other years are slips of the pen.
READERS = {"text": ("(?s:.+)", str), "flag": ("true|false|1|0", lambda text: text.lower() in ("true", "1")),
           "date": ("(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}", date.fromisoformat),
           "integer": (r"[+-]?[0-9]{1,15}(\.0*)?", lambda text: int(float(text))),
           "picture": (r"[A-Za-z0-9+/]+=?=?", lambda text: base64.b64decode(text, validate=True)),
           "number": (r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", float)}
#: What to say of a text that cannot be read: the hint of the first pattern that it matches.
HINTS = {"picture": {"(?s:.+)": "in a CSV file written as Base64; a Parquet file holds bytes as they are"}, "number": {
    r"[+-]?(inf|infinity|∞|[0-9.]+e[0-9+]+)": "finite",
    r"[+-]?[0-9]{1,3}([ ,.'’\u00a0\u202f][0-9]{3})+([.,][0-9]+)?":
        "written without thousands separators, with a decimal point",
    r"[+-]?[0-9]*,[0-9]+": "with a decimal point, not a comma",
    r"nan|na|n/a|#n/a|null|none|nil|-|\.|\?": "a missing value is an empty cell",
}, "date": {
    READERS["date"][0]: "a day that exists",
    "[0-9]{4}-[0-9]{2}-[0-9]{2}": "a year from 1900 to 2199",
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[t ].*": "without a time of day",
    "[0-9]{4}-?w[0-9]{1,2}(-?[0-9])?": "for a week, the date of its first day",
    r"[1-9][0-9]{4}(\.0*)?": "not a spreadsheet's day number",
    "(?s:.+)": "such as 2021-12-31; no other way of writing a date (in Excel the cells' format yyyy-mm-dd)"}}


#: What breaks lines, steers a terminal or turns the direction of writing: in a name it could only mislead.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def convert_cells(source: Source) -> pd.DataFrame:
    """Return the cells in the contract's types, and flag those that break it; what cannot be read is missing."""
    columns = schema.get_table(source.name).column
    return pd.DataFrame({name: _convert_column(source, columns[name]) for name in source.cells},
                        index=source.cells.index)


def _convert_column(source: Source, column: schema.Column) -> pd.api.extensions.ExtensionArray:
    codes, texts = pd.factorize(source.cells[column.name])  # half a million rows hold a few thousand texts
    values, wrong = [], {}
    for text in texts.tolist():
        bare = text.strip()
        values.append(value := _read(bare, column.kind))
        if value is None and (bare or not column.nullable):
            hints = [hint for pattern, hint in HINTS.get(column.kind, {}).items() if _matches(pattern, bare)]
            wrong[text] = "; ".join([column.expected, *hints[:1]])
        elif value is not None and not _fits(value, column):
            wrong[text] = column.expected
        elif value and column.kind == "text" and column.name != "text" and CONTROL.search(value):  # free text is no name
            wrong[text] = "a text in one line, without control characters"
    source.flag_texts(column.name, wrong)
    return pd.array(values, dtype=DTYPES[column.kind]).take(codes)


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.IGNORECASE) is not None


def _read(text: str, kind: str) -> str | bool | date | int | float | None:
    """Return the value that a text stands for, or nothing."""
    pattern, read = READERS[kind]
    try:
        value = read(text) if _matches(pattern, text) else None
    except ValueError:  # a day that does not exist, or half a picture
        return None
    return None if value in (inf, -inf) else value


def _fits(value, column: schema.Column) -> bool:
    """Tell whether the contract allows a value."""
    if column.kind == "picture":
        return schema.is_picture(value)
    return ((not column.one_of or value in column.one_of) and (column.low is None or value >= column.low)
            and (column.high is None or value <= column.high))
