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
from medlib.score import score_pairs


def read_truth(folder: Path) -> pd.Series:
    """Admissions a week by location and date, where reporting was mandatory."""
    if not (folder / "target_series.csv").is_file():
        raise MedlibError(f"{folder} must hold target_series.csv (date, location, value) to score against.")
    truth = pd.read_csv(folder / "target_series.csv", dtype={"location": str}, parse_dates=["date"])
    if "reporting" in truth:
        truth = truth[truth["reporting"] == "mandatory"]
    return truth.rename(columns={"date": "target_end_date"}).set_index(["location", "target_end_date"])["value"].dropna()


def pair(forecast: pd.DataFrame, truth: pd.Series, references: pd.DatetimeIndex) -> pd.DataFrame:
    """A row a forecast of these reference dates, a column a level, and what was observed; without the nation as a whole."""
    forecast = forecast[forecast["output_type"] == "quantile"].assign(
        **{name: pd.to_datetime(forecast[name]) for name in ("reference_date", "target_end_date")},
        output_type_id=forecast["output_type_id"].astype(float).round(3), location=forecast["location"].astype(str))
    forecast = forecast[forecast["reference_date"].isin(references) & (forecast["location"] != "US") & forecast["horizon"].between(0, 3)]
    wide = forecast.pivot(index=["reference_date", "location", "horizon", "target_end_date"], columns="output_type_id", values="value")
    return wide.join(truth.rename("observed"), on=["location", "target_end_date"], how="inner")


def score(pairs: pd.DataFrame) -> dict[str, float]:
    """Scores of these forecasts."""
    found = score_pairs(pairs)
    return {"rows": found["forecasts"], "wis": found["wis"], "log_wis": score_pairs(np.log1p(pairs))["wis"],
            "coverage_50": found["coverage_50"], "coverage_95": found["coverage_95"]}


def compare(forecasts: dict[str, pd.DataFrame], truth: pd.Series, references: pd.DatetimeIndex) -> pd.DataFrame:
    """Scores of all models; relative to the hub's baseline and ensemble on the rows that both have."""
    pairs, rows = {name: pair(forecast, truth, references) for name, forecast in forecasts.items()}, []
    for name, mine in pairs.items():
        row = {"model": name}
        for other in {"FluSight-baseline", "FluSight-ensemble"} & set(pairs):
            shared = mine.index.intersection(pairs[other].index)
            ours, theirs = score(mine.loc[shared]), score(pairs[other].loc[shared])
            row |= {f"{measure}_to_{other.removeprefix('FluSight-')}": ours[measure] / theirs[measure] for measure in ("wis", "log_wis")}
        rows.append(dict(sorted(row.items())) | score(mine))
    return pd.DataFrame(rows).set_index("model")


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
        hub, truth, references = read_hub_folder(given.data), read_truth(given.data), list_references(given.first, given.last)
        forecasts, seconds = forecast_hub(hub, references, given.members.split(","), not given.as_reported, not given.no_history)
    except MedlibError as error:
        sys.exit(str(error))
    if given.out:
        forecasts.to_parquet(given.out, index=False)
    files = sorted(given.data.glob("FluSight-*.parquet"))
    models = {name: pd.concat(pd.read_parquet(path) for path in files if path.name.startswith(f"{name}_"))
              for name in dict.fromkeys(path.name.split("_")[0] for path in files)}
    scores = compare(models | {"medlib": forecasts}, truth, references)
    show(scores, f"{len(references)} reference dates from {given.first} to {given.last}, {RESOURCE}, without US; medlib: {np.median(seconds):.1f} s a round")


if __name__ == "__main__":
    main()
