"""All forecasters on one dataset, by rolling origin, against AutoARIMA and AutoETS of statsforecast and the seasonal-naive one.

Run ``python benchmarks/forecast.py --dataset births_us|icu_germany|drugs_australia [--json FILE]``. As of each date a model sees
what came before, learns anew, and answers the levels of `medlib.forecast.LEVELS` for the whole horizon; dates are spaced by the
horizon and end with the data. AutoARIMA and AutoETS see each series' last years only (`LOOK_BACK`), as they take minutes else; they fit and
predict in one call, whose seconds count as fitting.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from medlib.calendar import SEASONS, infer_period
from medlib.catalog import load_dataset
from medlib.forecast import COMBINED, FORECASTERS, LEVELS, choose_origins, list_forecasters
from medlib.prepare import clean_demand, widen
from medlib.score import pair_forecasts, score_pairs
from medlib.validate import HORIZONS

#: Periods that the local models see, by kind of period.
LOOK_BACK = {"D": 365, "W": 156, "M": 120}


def forecast_locally(demand: pd.DataFrame, period: str, horizon: int, models: dict) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Forecasts of statsforecast's models, and the seconds of each."""
    from statsforecast import StatsForecast
    frames, seconds = {}, {}
    wide = widen(demand).ffill().bfill().fillna(0.0).tail(LOOK_BACK[period[0]])
    numbered = wide.set_axis(range(wide.shape[1]), axis=1)
    tall = numbered.rename_axis(columns="unique_id").stack().rename("y").reset_index().rename(columns={"date": "ds"})
    for name, model in models.items():
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = StatsForecast([model], freq=period, n_jobs=2).forecast(horizon, tall[["unique_id", "ds", "y"]], level=[50, 80, 95])
        seconds[name] = time.perf_counter() - begin
        alias = str(model)
        columns = {0.5: alias} | {level: f"{alias}-{'lo' if level < 0.5 else 'hi'}-{round(abs(1 - 2 * level) * 100)}" for level in LEVELS
                                  if level != 0.5}
        for level, column in columns.items():
            series = wide.columns[found["unique_id"].to_numpy()]
            frames.setdefault(name, []).append(pd.DataFrame({
                "as_of": wide.index[-1], "date": found["ds"].astype("datetime64[us]"), "site": series.get_level_values("site"),
                "resource": series.get_level_values("resource"), "model": name, "quantile": level,
                "demand": found[column].clip(lower=0.0)}))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}, seconds


def run(dataset: str, count: int, models: list[str] | None) -> dict[str, dict[str, float]]:
    """Scores and seconds of every model."""
    demand, _ = clean_demand(load_dataset(dataset)[0]["demand"])
    period = infer_period(demand["date"])
    horizon = HORIZONS[period[0]]
    forecasts, fitting, predicting = {}, {}, {}
    for as_of in choose_origins(demand, horizon, count):
        known = demand[demand["date"] <= as_of]
        for name, maker in list_forecasters(known, horizon, names=FORECASTERS).items():
            if models and name not in models:
                continue
            if name == "combination" and not models:
                # Its members have learned already, and their quantiles' mean is its forecast.
                members = [forecasts[member][-1] for member in COMBINED]
                forecasts.setdefault(name, []).append(
                    members[0].assign(model=name, demand=sum(member["demand"] for member in members) / len(members)))
                for seconds in (fitting, predicting):
                    seconds.setdefault(name, []).append(sum(seconds[member][-1] for member in COMBINED))
                continue
            begin = time.perf_counter()
            forecaster = maker().fit(known)
            learned = time.perf_counter()
            forecasts.setdefault(name, []).append(forecaster.predict(as_of, horizon))
            fitting.setdefault(name, []).append(learned - begin)
            predicting.setdefault(name, []).append(time.perf_counter() - learned)
        wanted = [name for name in ("auto_arima", "auto_ets") if not models or name in models]
        if wanted:
            from statsforecast.models import AutoARIMA, AutoETS
            season = SEASONS[period[0]]
            # Long series approximately, as R's auto.arima does by default: exactly takes minutes for each as-of date.
            makers = {"auto_arima": AutoARIMA(season_length=season, approximation=LOOK_BACK[period[0]] > 150),
                      "auto_ets": AutoETS(season_length=season)}
            found, seconds = forecast_locally(known, period, horizon, {name: makers[name] for name in wanted})
            for name, frame in found.items():
                forecasts.setdefault(name, []).append(frame)
                fitting.setdefault(name, []).append(seconds[name])
    scores = {}
    for name, frames in forecasts.items():
        scores[name] = score_pairs(pair_forecasts(pd.concat(frames), demand))
        scores[name] |= {"fit_seconds": float(np.median(fitting[name])),
                         "predict_seconds": float(np.median(predicting[name])) if name in predicting else None}
    for found in scores.values():
        found["relative_wis"] = found["wis"] / scores["seasonal_naive"]["wis"]
    return scores


def main() -> None:
    """Run, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="icu_germany")
    parser.add_argument("--origins", type=int, default=6, help="as-of dates")
    parser.add_argument("--models", help="some of the models, separated by commas; seasonal_naive is always among them")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    scores = run(given.dataset, given.origins, ["seasonal_naive", *given.models.split(",")] if given.models else None)
    columns = ["wis", "relative_wis", "coverage_50", "coverage_95", "rmse", "fit_seconds", "predict_seconds"]
    table = Table("model", *columns, title=f"{given.dataset}: {given.origins} as-of dates")
    for name, found in sorted(scores.items(), key=lambda item: item[1]["wis"]):
        table.add_row(name, *("" if found[column] is None else f"{found[column]:,.3f}" for column in columns))
    Console(width=150).print(table)
    if given.json:
        given.json.write_text(json.dumps({name: {column: found[column] for column in columns} for name, found in scores.items()},
                                         indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
