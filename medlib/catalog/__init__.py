"""The datasets: where each comes from, under which licence, and how it becomes input tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from medlib import sample
from medlib.catalog.flusight import FLUSIGHT
from medlib.catalog.germany import GERMAN_STATES, ICU_GERMANY
from medlib.catalog.packaged import BIRTHS_US, DRUGS_AUSTRALIA
from medlib.catalog.source import CACHE, Dataset, fetch
from medlib.catalog.texas import TX_ICU
from medlib.errors import MedlibError
from medlib.intake import read_folder
from medlib.schema import INPUTS

__all__ = ["CACHE", "CATALOG", "Dataset", "GERMAN_STATES", "fetch", "hash_folder", "load_dataset", "locate_dataset"]

#: Licence and notes of a user's own folder.
OWN = "the user's own", "How these data were counted, and what they leave out, their owner knows."


def _load_sample(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    return sample.make_network(seed)


CATALOG: dict[str, Dataset] = {entry.name: entry for entry in (
    Dataset(
        name="sample", title="Synthetic hospital network", what="beds, ICU beds, ventilators, nurses, one drug",
        where="20 made-up hospitals in 4 regions", span="2023-01-01 to 2025-12-31, daily", rows=87_623, licence="MIT",
        attribution="Made by medlib.sample; synthetic, no real patients or hospitals.", load=_load_sample, synthetic=True,
        notes="Synthetic. The places lie in the open Atlantic on purpose. Gaps, double entries and slips were put in."),
    ICU_GERMANY, TX_ICU, BIRTHS_US, DRUGS_AUSTRALIA, FLUSIGHT)}


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
    tables["capacity"] = complete_deliveries(tables)
    # Without links, patients and units can move between all sites; the rules' distance limits them.
    tables.setdefault("links", sample.make_links(tables["sites"], longest_km=20_100.0))
    entry = Dataset(name=folder.name, title=f"Folder {folder.name}", what="", where="", span="", rows=0,
                    licence=OWN[0], attribution="The user's own data.", notes=OWN[1], load=_load_sample)
    return tables, _describe(tables, entry, hash_folder(folder), folder.name)


def locate_dataset(dataset: str) -> str:
    """Make sure that a dataset can be loaded and allocated: download it, or check the folder; returns its name or the folder's path.

    Raises
    ------
    MedlibError
        As `load_dataset`.
    """
    if dataset in CATALOG:
        if CATALOG[dataset].demand_only:
            raise MedlibError(f"Dataset {dataset!r} has demand but no capacity to allocate; it serves forecasts "
                              f"(benchmarks/forecast.py). Choose one of "
                              f"{', '.join(name for name, entry in CATALOG.items() if not entry.demand_only)}.")
        if CATALOG[dataset].url:
            fetch(CATALOG[dataset])
        return dataset
    if not os.path.isdir(dataset):  # unlike Path's, false for what no system takes for a name
        raise MedlibError(f"Dataset {dataset!r} is neither in the catalogue ({', '.join(CATALOG)}) nor a folder; see "
                          "`medlib datasets`.")
    read_folder(Path(dataset))
    return str(Path(dataset).resolve())


def complete_deliveries(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
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
        if path.suffix in (".csv", ".parquet") and path.stem in INPUTS and path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _describe(tables: dict[str, pd.DataFrame], entry: Dataset, sha256: str, file: str) -> pd.DataFrame:
    demand = tables["demand"]
    return pd.DataFrame([{
        "dataset": entry.name, "title": entry.title, "file": file, "source": entry.url or file, "licence": entry.licence,
        "attribution": entry.attribution, "sha256": sha256, "rows": len(demand), "first_date": demand["date"].min(),
        "last_date": demand["date"].max(), "synthetic": entry.synthetic, "notes": entry.notes}])
