"""Read a user's own folder of input tables and say everything that is wrong with it, in one pass.

`files` finds the files and reads them as text, `cells` turns text into values, `agreement` compares rows and tables,
`template` writes a folder to start from, `notes` tells what is in a folder where all is well. What a valid table is stands in `medlib.schema` alone.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd

from medlib import schema
from medlib.errors import MedlibError
from medlib.intake.agreement import check_agreement
from medlib.intake.cells import convert_cells
from medlib.intake.files import read_source
from medlib.intake.notes import describe_tables
from medlib.intake.template import write_template

__all__ = ["check_folder", "describe_tables", "read_folder", "write_template"]


def check_folder(folder: str | Path, foresight: bool = False) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Read a folder of input tables and list every problem in it; nothing in the folder is changed.

    Parameters
    ----------
    folder : str or Path
        Holds `<table>.csv` or `<table>.parquet` for the tables of `medlib.schema.INPUTS`; others may lie there too.
    foresight : bool
        The folder is to be solved with perfect foresight: any number of periods will do, every demand must be known, and
        arrivals may stand in place of demand.

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
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError) as error:  # ValueError: a name that no system takes
        raise MedlibError(f"Expected a folder of tables; {str(folder)!r} cannot be listed: {getattr(error, 'strerror', error)}.") from None
    admitted = foresight and any(f"arrivals{end}" in names for end in (".csv", ".parquet"))
    optional = {*schema.OPTIONAL_INPUTS, *(["demand"] if admitted else [])}
    sources = {name: read_source(folder, names, name, name in optional) for name in schema.INPUTS}
    frames = {name: convert_cells(source) for name, source in sources.items()}
    check_agreement(sources, frames, foresight)
    tables = {}
    for name, source in sources.items():
        if len(source.cells) and not source.problems:
            try:
                tables[name] = schema.check_frame(frames[name], name)
            except MedlibError as error:  # never refuse a table without a word
                source.add(None, "", "", str(error))
    found = [(source.file, *problem) for source in sources.values()
             for problem in sorted(source.problems, key=lambda problem: problem[0] or 0)]
    types = {"file": "str", "row": "Int64", "column": "str", "value": "str", "expected": "str"}
    return tables, pd.DataFrame(found, columns=list(types)).astype(types)


def read_folder(folder: str | Path, foresight: bool = False) -> dict[str, pd.DataFrame]:
    """Return the input tables of a folder.

    Parameters
    ----------
    folder, foresight
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
    tables, problems = check_folder(folder, foresight)
    if len(problems):
        first = problems.iloc[0]
        place = first.file + ("" if pd.isna(first.row) else f" line {first.row}")
        place += f", column {first['column']!r}" if first["column"] else ""
        got = f"got {first.value!r}, " if first.value else ""
        rest = f" Run `medlib check {shlex.quote(str(folder))}` for the list." if not foresight or len(problems) > 1 else ""
        raise MedlibError(f"{len(problems)} problem(s) in {str(folder)!r}; first, in {place}: {got}expected "
                          f"{first.expected}.{rest}")
    return tables
