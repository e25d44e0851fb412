"""CSV for people: what a spreadsheet would run as a formula is written so that it stays text, and read back as it was.

A spreadsheet takes a cell that begins with one of `= + - @`, a tab or a line break for a formula, whoever wrote it, and a formula can start
programs. Such a text gets an apostrophe before it, which spreadsheets read as "text follows". Texts that begin with apostrophes
and such a sign get one more, so that taking one away gives back every text exactly. Numbers stay numbers, negative ones too.
"""

from __future__ import annotations

import base64
import re

import pandas as pd

#: Texts that a spreadsheet would run, and those that look like what `guard` makes of them. The wide signs are those of East Asian keyboards.
FORMULA = re.compile(r"'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")


def guard(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run."""
    return f"'{text}" if FORMULA.match(text) else text


def unguard(text: str) -> str:
    """Take the apostrophe away that `guard` put there."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def format_csv(frame: pd.DataFrame) -> str:
    """Format a table as CSV that is safe to open in a spreadsheet and that `medlib check` reads back without a difference.

    Parameters
    ----------
    frame : pandas.DataFrame
        Pictures become Base64. The index is left out.

    Returns
    -------
    str
    """
    texts = frame.dtypes[[not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_datetime64_any_dtype(kind) for kind in frame.dtypes]]
    written = {name: frame[name].map(_write, na_action="ignore") for name in texts.index}
    # A cell with a carriage return must be quoted, else the rest of it begins a line; that is so only where lines end with one.
    turned = any(cell.str.contains("\r").any() for cell in (column.astype("str") for column in written.values()))
    return frame.assign(**written).rename(columns=lambda head: guard(str(head))).to_csv(index=False, lineterminator="\r\n" if turned else "\n")


def _write(value: object) -> object:
    value = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return guard(value) if isinstance(value, str) else value
