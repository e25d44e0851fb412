"""Read and write the named tables of a workspace, checked both ways.

A workspace is a folder of Parquet files, one a table. Relative workspaces are looked up from the project's folder, so
that JupyterLab, papermill, nbval and the command line agree wherever they were started.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from medlib.errors import MedlibError
from medlib.schema import check_frame, get_table

#: The checkout: notebooks/, data/ and reports/ stand in it.
PROJECT = Path(__file__).resolve().parents[1]


def get_workspace(workspace: str | Path) -> Path:
    """Return the folder of a workspace; relative ones stand in the project's folder."""
    return PROJECT / workspace


def has(name: str, workspace: str | Path) -> bool:
    """Tell whether the table is in the workspace."""
    get_table(name)
    return (get_workspace(workspace) / f"{name}.parquet").is_file()


def read(name: str, workspace: str | Path) -> pd.DataFrame:
    """Read a table and check its contract.

    Parameters
    ----------
    name : str
        A table of `medlib.schema.TABLES`.
    workspace : str or Path
        The folder of tables.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    MedlibError
        The table is missing (the message names the notebook that writes it) or breaks its contract.
    """
    path = get_workspace(workspace) / f"{name}.parquet"
    writer = get_table(name).writer
    if not path.is_file():
        raise MedlibError(f"Table {name!r} is not in workspace {str(workspace)!r}; run notebook {writer} with this "
                          "workspace first.")
    return check_frame(pd.read_parquet(path), name)


def write(frame: pd.DataFrame, name: str, workspace: str | Path) -> Path:
    """Check a table and write it whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    name : str
        A table of `medlib.schema.TABLES`.
    workspace : str or Path
        The folder of tables, made where it is missing.

    Returns
    -------
    pathlib.Path
        The file. A file that already holds the same rows is left as it is.

    Raises
    ------
    MedlibError
        The frame breaks the contract.
    """
    frame = check_frame(frame, name)
    folder = get_workspace(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    if path.is_file() and pd.read_parquet(path).equals(frame):
        return path
    # A run that dies in the middle leaves the old table or the new one, never half of it.
    part = folder / f".{name}.{os.getpid()}.part"
    frame.to_parquet(part, index=False, compression="zstd")
    os.replace(part, path)
    return path
