"""Read and write the named tables of a workspace, checked both ways.

A workspace is a folder of Parquet files, one a table. Relative workspaces are looked up from the project's folder, so
that JupyterLab, papermill, nbval and the command line agree wherever they were started. The tables of a locked workspace
(`medlib.privacy.vault`) are opened and locked in memory, with the key from the environment.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pandas as pd

from medlib import unpack
from medlib.errors import MedlibError
from medlib.schema import TABLES, check_frame, get_table

#: Where notebooks/, data/ and reports/ stand: the checkout, or for a run that happens elsewhere, the folder that its kernel is told.
PROJECT = Path(os.environ.get("MEDLIB_HOME") or Path(__file__).parents[1]).resolve()
#: Marks a locked workspace; it is no secret, and without it the tables do not open.
MARKER = "workspace.locked"
#: What the name of a locked table ends with.
SUFFIX = ".locked"


def get_workspace(workspace: str | Path) -> Path:
    """Return the folder of a workspace; relative ones stand in the project's folder."""
    return PROJECT / workspace


def has(name: str, workspace: str | Path) -> bool:
    """Tell whether the table is in the workspace, plain or locked."""
    get_table(name)
    return _find(name, workspace) is not None


def _find(name: str, workspace: str | Path) -> Path | None:
    path = get_workspace(workspace) / f"{name}.parquet"
    there = [file for file in (path, path.with_name(path.name + SUFFIX)) if file.is_file()]
    if len(there) == 2:  # which one is meant, nobody knows
        raise MedlibError(f"Table {name!r} lies in {str(workspace)!r} both plain and locked; run `medlib lock` there to keep the plain "
                          "one, or delete it.")
    if there and there[0].resolve().parent != path.parent.resolve():
        raise MedlibError(f"Table {name!r} in {str(workspace)!r} is a link to elsewhere; put the file itself there.")
    return there[0] if there else None


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
        The table is missing (the message names the notebook that writes it), breaks its contract, or is locked and does not
        open with the key of the environment.
    """
    writer = get_table(name).writer
    path = _find(name, workspace)
    if path is None:
        raise MedlibError(f"Table {name!r} is not in workspace {str(workspace)!r}; run notebook {writer} with this "
                          "workspace first.")
    return check_frame(_load(path), name)


def read_all(workspace: str | Path) -> dict[str, pd.DataFrame]:
    """Read every table that is in a workspace, as `read` does."""
    return {name: read(name, workspace) for name in TABLES if has(name, workspace)}


def _load(path: Path) -> pd.DataFrame:
    if path.suffix == SUFFIX:
        from medlib.privacy import keys, vault
        return unpack.read_parquet(io.BytesIO(vault.read_locked(path, keys.read_key())), path.name)
    return unpack.read_parquet(path)


def write(frame: pd.DataFrame, name: str, workspace: str | Path) -> Path:
    """Check a table and write it whole or not at all; into a locked workspace, locked.

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
        The frame breaks the contract, or the workspace is locked and the environment's key does not fit.
    """
    frame = check_frame(frame, name)
    folder = get_workspace(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    locked, there = (folder / MARKER).is_file(), _find(name, workspace)
    if there and locked == (there.suffix == SUFFIX) and _load(there).equals(frame):
        return there
    if locked:
        from medlib.privacy import keys, vault
        return vault.write_locked(frame.to_parquet(index=False, compression="zstd"), path, keys.read_key())
    # A run that dies in the middle leaves the old table or the new one, never half of it.
    part = folder / f".{name}.{os.getpid()}.part"
    frame.to_parquet(part, index=False, compression="zstd")
    os.replace(part, path)
    return path
