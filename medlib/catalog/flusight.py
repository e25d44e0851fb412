"""Weekly influenza admissions of the United States, as CDC's FluSight hub collects them."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from medlib.catalog.source import Dataset, fetch


def load_flusight(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Admissions a week by state, where reporting was mandatory; the nation as a whole, their sum, is left out."""
    series = pd.read_csv(fetch(entry), dtype={"location": str}, parse_dates=["date"])
    places = pd.read_csv(fetch(replace(entry, file="locations.csv", sha256=LOCATIONS_SHA256)), dtype={"location": str})
    series = series[(series["reporting"] == "mandatory") & (series["location"] != "US")]
    demand = pd.DataFrame({"date": series["date"].astype("datetime64[us]"), "site": series["location"], "resource": "flu_admission",
                           "demand": series["value"].astype(float)})
    sites = places[places["location"] != "US"].rename(columns={"location": "site", "location_name": "name"})
    return {"sites": sites[["site", "name", "population"]].sort_values("site", ignore_index=True),
            "demand": demand.sort_values(["date", "site"], ignore_index=True),
            "resources": pd.DataFrame({"resource": ["flu_admission"], "kind": ["bed"], "unit": ["admissions"]})}


LOCATIONS_SHA256 = "e71fde21d1691911b629660400cf73e9fd8f7578a41f0d345cae3abedd82b9b8"
FLUSIGHT = Dataset(
    name="flusight", title="Influenza admissions in the United States", what="hospital admissions a week with confirmed influenza",
    where="50 states, the District of Columbia and Puerto Rico", span="2022-02-12 to 2024-04-27, weekly", rows=6_032,
    licence="US federal data; the hub states no separate licence", file="target_series.csv",
    sha256="1243855488f010095736592f65eb9494ea294f30889930b3f49b24cf7e9f883d", size_mb=0.3,
    attribution="US Centers for Disease Control and Prevention, National Healthcare Safety Network, as collected by the FluSight forecast "
                "hub (github.com/cdcepi/FluSight-forecast-hub, commit 92469693f9114523f877d69edd5b9d084e7218ad).",
    load=load_flusight, demand_only=True,
    notes="Demand only. Read from a folder, not downloaded: target_series.csv (date, location, value, reporting) and locations.csv, as "
          "benchmarks/flusight.py describes them. Later weeks are voluntary reports and left out.")
