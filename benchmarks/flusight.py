"""A season of CDC's FluSight forecast hub: weekly influenza admissions by US state, forecast from vintages alone.

Run ``python benchmarks/flusight.py --data DIR --first 2023-10-14 --last 2024-05-04 --out FILE.parquet``. For each reference
date R (a Saturday) medlib sees what was published by the Wednesday before, R - 3 days, learns, and answers 23 quantiles for the
weeks that end on R, R + 7, R + 14 and R + 21 days. Then every forecast in DIR is scored on the same rows: weighted interval score
on the natural and on the log scale, relative to the hub's baseline and ensemble, coverage, and seconds a round.

DIR holds ``target_vintages.parquet``, ``target_series.csv`` (the truth), ``locations.csv``, the hub's forecasts
``FluSight-*.parquet``, and, if there is one, ``ilinet_state.csv.gz``: ten earlier seasons of another signal.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from medlib.errors import MedlibError
from medlib.forecast.hub import MEMBERS, RESOURCE, forecast_hub, list_references, read_hub_folder
from medlib.score import cover, score_intervals

def widen_forecast(forecast: pd.DataFrame) -> pd.DataFrame:
    """A row a forecast, a column a level."""
    forecast = forecast[forecast["output_type"] == "quantile"].assign(
        **{name: pd.to_datetime(forecast[name]) for name in ("reference_date", "target_end_date")},
        output_type_id=forecast["output_type_id"].astype(float).round(3), location=forecast["location"].astype(str))
    return forecast.pivot(index=["reference_date", "location", "horizon", "target_end_date"], columns="output_type_id",
                          values="value")


def score(wide: pd.DataFrame, observed: pd.Series) -> dict[str, float]:
    """Scores of the forecasts of these rows."""
    levels, quantiles, truth = np.array(wide.columns), wide.to_numpy(), observed.to_numpy()
    return {"rows": len(wide), "wis": score_intervals(truth, quantiles, levels).mean(),
            "log_wis": score_intervals(np.log1p(truth), np.log1p(quantiles), levels).mean(),
            "coverage_50": cover(truth, wide[0.25], wide[0.75]), "coverage_95": cover(truth, wide[0.025], wide[0.975])}


def compare(forecasts: dict[str, pd.DataFrame], truth: pd.DataFrame, references: pd.DatetimeIndex) -> pd.DataFrame:
    """Scores of all models on the rows that each shares with the baseline, without the nation as a whole; relative to the others'."""
    observed = truth.set_index(["location", "date"])["value"].dropna()
    wide = {name: widen_forecast(forecast) for name, forecast in forecasts.items()}
    for name, found in wide.items():
        keys = found.index.to_frame(index=False)
        wide[name] = found[(keys["reference_date"].isin(references) & (keys["location"] != "US") & keys["horizon"].between(0, 3)
                            & pd.MultiIndex.from_frame(keys[["location", "target_end_date"]]).isin(observed.index)).to_numpy()]
    rows = []
    for name, found in wide.items():
        row = {"model": name}
        for other in ("FluSight-baseline", "FluSight-ensemble"):
            if other in wide:
                shared = found.index.intersection(wide[other].index)
                mine, theirs = (score(frame.loc[shared], find(observed, shared)) for frame in (found, wide[other]))
                row |= {f"{measure}_to_{other.removeprefix('FluSight-')}": mine[measure] / theirs[measure] for measure in ("wis", "log_wis")}
        rows.append(row | score(found, find(observed, found.index)))
    return pd.DataFrame(rows).set_index("model")


def find(observed: pd.Series, index: pd.MultiIndex) -> pd.Series:
    """What was observed, in the order of the forecasts."""
    return observed.loc[pd.MultiIndex.from_arrays([index.get_level_values("location"), index.get_level_values("target_end_date")])]


def show(scores: pd.DataFrame, title: str) -> None:
    """Print the table."""
    table = Table("model", *(name.replace("_", " ") for name in scores.columns), title=title)
    for name, row in scores.iterrows():
        table.add_row(name, *(f"{value:,.0f}" if column == "rows" else f"{value:.3f}" for column, value in row.items()))
    Console(width=170).print(table)


def main() -> None:
    """Forecast, write, score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", default=Path(os.environ.get("MEDLIB_MIRROR", "data")) / "flusight",
                        help="left out: flusight below MEDLIB_MIRROR")
    parser.add_argument("--first", default="2023-10-14", help="first reference date, a Saturday")
    parser.add_argument("--last", default="2024-05-04", help="last reference date")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the forecasts there: Parquet, hub columns")
    parser.add_argument("--members", default=",".join(MEMBERS), help="of the combination")
    parser.add_argument("--as-reported", action="store_true", help="take newest weeks as they are, without the expected revision")
    parser.add_argument("--no-history", action="store_true", help="leave ILINet out")
    given = parser.parse_args()
    try:
        hub, references = read_hub_folder(given.data), list_references(given.first, given.last)
    except MedlibError as error:
        sys.exit(str(error))
    forecasts, seconds = forecast_hub(hub, references, given.members.split(","), not given.as_reported, not given.no_history)
    if given.out:
        forecasts.to_parquet(given.out, index=False)
    others = {path.name.split("_")[0]: [] for path in sorted(given.data.glob("FluSight-*.parquet"))}
    for path in sorted(given.data.glob("FluSight-*.parquet")):
        others[path.name.split("_")[0]].append(pd.read_parquet(path))
    scores = compare({name: pd.concat(frames) for name, frames in others.items()} | {"medlib": forecasts}, hub.truth, references)
    show(scores, f"{len(references)} reference dates from {given.first} to {given.last}, {RESOURCE}, without US; medlib: {np.median(seconds):.1f} s a round")


if __name__ == "__main__":
    main()
