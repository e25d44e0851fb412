"""The datasets: where each comes from, under which licence, and how it becomes input tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medlib import sample
from medlib.errors import MedlibError
from medlib.intake import read_folder
from medlib.schema import INPUTS
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
        ``load(entry, seed)`` returns the input tables by name.
    file, url, sha256 : str
        The file to download; empty where nothing is downloaded.
    size_mb : float
        Of the download.
    synthetic : bool
        Made up, not observed.
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
    load: Callable[[Dataset, int], dict[str, pd.DataFrame]]
    file: str = ""
    url: str = ""
    sha256: str = ""
    size_mb: float = 0.0
    synthetic: bool = False
    notes: str = ""


#: The capitals of the German states: coordinates in degrees (facts, from any atlas), and the states' populations at the
#: end of 2021 (Statistisches Bundesamt, Bevölkerungsstand, table 12411-0010, 31 December 2021).
GERMAN_STATES = pd.DataFrame([
    ("Schleswig-Holstein", 54.323, 10.135, 2_922_005), ("Hamburg", 53.550, 10.000, 1_853_935),
    ("Niedersachsen", 52.374, 9.738, 8_027_031), ("Bremen", 53.079, 8.802, 676_463),
    ("Nordrhein-Westfalen", 51.226, 6.774, 17_924_591), ("Hessen", 50.083, 8.243, 6_295_017),
    ("Rheinland-Pfalz", 49.993, 8.247, 4_106_485), ("Baden-Württemberg", 48.776, 9.183, 11_124_642),
    ("Bayern", 48.137, 11.575, 13_176_989), ("Saarland", 49.234, 6.994, 982_348),
    ("Berlin", 52.520, 13.405, 3_677_472), ("Brandenburg", 52.396, 13.058, 2_537_868),
    ("Mecklenburg-Vorpommern", 53.629, 11.413, 1_611_160), ("Sachsen", 51.050, 13.738, 4_043_002),
    ("Sachsen-Anhalt", 52.131, 11.640, 2_169_253), ("Thüringen", 50.978, 11.029, 2_108_863),
], columns=["site", "latitude", "longitude", "population"])
#: Until then the register filled up: fewer beds were reported than there were.
REGISTER_COMPLETE = pd.Timestamp("2020-05-01")


def fetch(entry: Dataset) -> Path:
    """Return the dataset's file with its checksum verified.

    The folder named by ``MEDLIB_MIRROR`` is tried first (``<dataset>/<file>`` in it), then the cache, then the download.

    Raises
    ------
    MedlibError
        The file is not to be had, or has another checksum than the one that was tested.
    """
    import pooch  # only where something is fetched: it takes a second, and warns in notebooks without ipywidgets

    mirror = os.environ.get("MEDLIB_MIRROR")
    if mirror and (path := Path(mirror).expanduser() / entry.name / entry.file).is_file():
        if pooch.file_hash(path) != entry.sha256:
            raise MedlibError(f"{path} is not the file that was tested (another SHA-256); replace it by the one from "
                              f"{entry.url}.")
        return path
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(entry.url, known_hash=entry.sha256, fname=entry.file, path=CACHE / entry.name))
    except ValueError as error:
        raise MedlibError(f"The download of dataset {entry.name!r} is not the file that was tested (another SHA-256); try "
                          "again, and report it if it stays so.") from error
    except Exception as error:  # pooch passes on whatever its downloader raises
        raise MedlibError(f"Dataset {entry.name!r} could not be downloaded; connect to the network, or set MEDLIB_MIRROR to "
                          f"a folder that holds {entry.name}/{entry.file}.") from error


def _load_sample(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    return sample.make_network(seed)


def _load_icu_germany(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Occupied adult intensive-care beds as demand, operable beds as capacity, the 7-day reserve as surge."""
    register = pd.read_csv(fetch(entry), parse_dates=["datum"])
    register = register[register["datum"] >= REGISTER_COMPLETE]
    rows = pd.DataFrame({"date": register["datum"], "site": register["bundesland_name"], "resource": "icu_bed"})
    occupied, free = register["intensivbetten_belegt"], register["intensivbetten_frei"]
    capacity = rows.assign(capacity=occupied + free, surge=register["intensivbetten_7_tage_notfallreserve"],
                           surge_lead_days=7.0, reporting_units=register["anzahl_meldebereiche"],
                           staff_restricted_units=register["einschraenkung_personal"])
    resources = pd.DataFrame({"resource": ["icu_bed"], "kind": "bed", "unit": "bed-day"})
    links = sample.make_links(GERMAN_STATES, longest_km=10_000.0, lead_days=0.0, cost=0.0)
    return {"sites": GERMAN_STATES.assign(name=GERMAN_STATES["site"], region="Germany"), "resources": resources, "links": links,
            "demand": rows.assign(demand=occupied.astype(float)), "capacity": capacity}


_REGISTER = ("robert-koch-institut/Intensivkapazitaeten_und_COVID-19-Intensivbettenbelegung_in_Deutschland",
             "c2410350e7224cde3bc6af92ec19e8233df82698", "Intensivregister_Bundeslaender_Kapazitaeten.csv")

CATALOG: dict[str, Dataset] = {entry.name: entry for entry in (
    Dataset(
        name="sample", title="Synthetic hospital network", what="beds, ICU beds, ventilators, nurses, one drug",
        where="20 made-up hospitals in 4 regions", span="2023-01-01 to 2025-12-31, daily", rows=87_623, licence="MIT",
        attribution="Made by medlib.sample; synthetic, no real patients or hospitals.", load=_load_sample, synthetic=True,
        notes="Synthetic. The places lie in the open Atlantic on purpose. Gaps, double entries and slips were put in."),
    Dataset(
        name="icu_germany", title="German intensive-care register (adults)", what="occupied and operable ICU beds",
        where="16 German states", span="2020-05-01 to 2026-08-22, daily", rows=36_880, licence="CC-BY-4.0",
        attribution="Robert Koch-Institut (2026): Intensivkapazitäten und COVID-19-Intensivbettenbelegung in Deutschland, "
                    "doi:10.5281/zenodo.22058262, CC-BY-4.0. Changed: columns selected and renamed, rows before May 2020 "
                    "left out.",
        load=_load_icu_germany, file=_REGISTER[2], url="https://raw.githubusercontent.com/{}/{}/{}".format(*_REGISTER),
        sha256="990fd8c38d01cf7321dcc9f691ad3acca8bdefb997c6f47d010bea01333ab584", size_mb=3.7,
        notes="Demand is occupied beds. Nobody lies in a bed that isn't there, so demand beyond the operable beds is not "
              "seen: shortage counts bed-days above the planning occupancy. Transfers that really took place are already in "
              "the figures. Operable beds are occupied plus free ones; surge is the 7-day emergency reserve."),
)}


def load_dataset(dataset: str, seed: int = 1) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Load a dataset's input tables.

    Parameters
    ----------
    dataset : str
        A name of the catalogue, or a folder of CSV or Parquet files that passes ``medlib check``.
    seed : int
        Of the synthetic sample.

    Returns
    -------
    tables : dict of str to pandas.DataFrame
        The input tables; links between all sites where a folder has none.
    sources : pandas.DataFrame
        The `sources` table.

    Raises
    ------
    MedlibError
        The name is neither in the catalogue nor a folder, the folder has problems, or a download failed.
    """
    if dataset in CATALOG:
        entry = CATALOG[dataset]
        tables = entry.load(entry, seed)
        return tables, _describe(tables, entry, entry.sha256 or f"seed {seed}", entry.file or "medlib.sample")
    folder = Path(locate_dataset(dataset))
    tables = read_folder(folder)
    tables["capacity"] = _complete_deliveries(tables)
    # Without links, patients and units can move between all sites; the rules' distance limits them.
    tables.setdefault("links", sample.make_links(tables["sites"], longest_km=20_100.0))
    entry = Dataset(name=folder.name, title=f"Folder {folder.name}", what="", where="", span="", rows=0,
                    licence="the user's own", attribution="The user's own data.", load=_load_sample)
    return tables, _describe(tables, entry, hash_folder(folder), folder.name)


def locate_dataset(dataset: str) -> str:
    """Make sure that a dataset can be loaded: download it, or check the folder; returns its name or the folder's path.

    Raises
    ------
    MedlibError
        As `load_dataset`.
    """
    if dataset in CATALOG:
        if CATALOG[dataset].url:
            fetch(CATALOG[dataset])
        return dataset
    if not Path(dataset).is_dir():
        raise MedlibError(f"Dataset {dataset!r} is neither in the catalogue ({', '.join(CATALOG)}) nor a folder; see "
                          "`medlib datasets`.")
    read_folder(Path(dataset))
    return str(Path(dataset).resolve())


def _complete_deliveries(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Give a drug whose deliveries are dated a delivery of zero in every period that lists none.

    Beds and staff stay in place between two reports; a delivery does not come again.
    """
    capacity = tables["capacity"]
    drugs = tables["resources"].loc[tables["resources"]["kind"] == "drug", "resource"]
    if "date" not in capacity or capacity["date"].isna().all():
        return capacity
    listed = capacity[capacity["resource"].isin(drugs) & capacity["date"].notna()]
    every = listed[["site", "resource"]].drop_duplicates().merge(tables["demand"][["date"]].drop_duplicates(), how="cross")
    absent = every.merge(listed[["date", "site", "resource"]], how="left", indicator=True).query("_merge == 'left_only'")
    return pd.concat([capacity, absent.drop(columns="_merge").assign(capacity=0.0)], ignore_index=True)


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's tables; other files may lie there too."""
    import hashlib
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".csv", ".parquet") and path.stem in INPUTS:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _describe(tables: dict[str, pd.DataFrame], entry: Dataset, sha256: str, file: str) -> pd.DataFrame:
    demand = tables["demand"]
    return pd.DataFrame([{
        "dataset": entry.name, "title": entry.title, "file": file, "source": entry.url or file, "licence": entry.licence,
        "attribution": entry.attribution, "sha256": sha256, "rows": len(demand), "first_date": demand["date"].min(),
        "last_date": demand["date"].max(), "synthetic": entry.synthetic, "notes": entry.notes or "None stated."}])
