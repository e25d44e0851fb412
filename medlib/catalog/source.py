"""A dataset's entry in the catalogue, and how its file is fetched."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medlib import unpack
from medlib.errors import MedlibError
from medlib.tables import PROJECT

#: Where downloads are kept.
CACHE = PROJECT / "data" / "cache"


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalogue.

    Parameters
    ----------
    name, title : str
    what, where, span : str
        What is counted, for which places, from when to when.
    licence, attribution : str
        Attribution stands in every report that uses the data.
    load : callable
        ``load(entry, seed)`` returns the input tables by name; None: it is in no catalogue, and has a loader of its own.
    file, url, sha256 : str
        The file to download; without `url` it is read from the mirror only, without `file` from nowhere.
    mirror : str
        Folder of the file below `MEDLIB_MIRROR`; left out: the dataset's name.
    size_mb : float
        Of the download.
    synthetic : bool
        Made up, not observed.
    demand_only : bool
        There is no capacity: it serves forecasts, not allocation.
    notes : str
        What a reader must know about these data.
    """

    name: str
    title: str
    what: str
    where: str
    span: str
    rows: int
    licence: str
    attribution: str
    load: Callable[[Dataset, int], dict[str, pd.DataFrame]] | None
    file: str = ""
    url: str = ""
    sha256: str = ""
    mirror: str = ""
    size_mb: float = 0.0
    synthetic: bool = False
    demand_only: bool = False
    notes: str = ""


def fetch(entry: Dataset) -> Path:
    """Return the dataset's file with its checksum verified.

    The folder named by ``MEDLIB_MIRROR`` is tried first (``<dataset>/<file>`` in it, or the same with ``.gz``), then the
    cache, then the download.

    Raises
    ------
    MedlibError
        The file is not to be had, or has another checksum than the one that was tested.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a progress bar that notebooks without ipywidgets can't draw
        import pooch  # takes a second: only where something is fetched

    if mirror := os.environ.get("MEDLIB_MIRROR"):
        path = Path(mirror).expanduser() / (entry.mirror or entry.name) / entry.file
        packed = path.with_name(f"{path.name}.gz")
        if path.is_file() or packed.is_file():
            if not path.is_file():
                path = _unpack(packed, CACHE / entry.name / entry.file)
            if pooch.file_hash(path) != entry.sha256:
                raise MedlibError(f"{path} is not the file that was tested (another SHA-256); replace it by the one from "
                                  f"{entry.url}.")
            return path
    if not entry.url:
        raise MedlibError(f"Dataset {entry.name!r} is not downloaded but read from a folder; set MEDLIB_MIRROR to one that holds "
                          f"{entry.mirror or entry.name}/{entry.file}.")
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(entry.url, known_hash=entry.sha256, fname=entry.file, path=CACHE / entry.name))
    except ValueError as error:
        raise MedlibError(f"The download of dataset {entry.name!r} is not the file that was tested (another SHA-256); try "
                          "again, and report it if it stays so.") from error
    except Exception as error:  # pooch passes on whatever its downloader raises
        raise MedlibError(f"Dataset {entry.name!r} could not be downloaded; connect to the network, or set MEDLIB_MIRROR to "
                          f"a folder that holds {entry.mirror or entry.name}/{entry.file}.") from error


def _unpack(packed: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(unpack.unpack_gzip(packed))
    os.replace(part, path)
    return path
