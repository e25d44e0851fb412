"""Seconds a series for learning and for forecasting, and peak memory, for 50, 500 and 5,000 series: one table.

Run ``python benchmarks/speed.py [--series 50,500,5000] [--json FILE]``. Series are two years of daily births in a US state, drawn
with replacement, begun on a random Monday and thinned at random; 14 days are forecast. Each measurement has a process of its own;
memory is what that process takes above what it took before it learned. Peers: AutoETS and AutoARIMA of statsforecast, which answer a model
a series, and skforecast's recursive forecaster with boosted trees and bootstrapped quantiles, pooled as medlib's are. skforecast
needs an older pandas, hence an interpreter of its own: ``uv venv sk; uv pip install --python sk/bin/python skforecast``, then
``--skforecast sk/bin/python``. A peer that would take over `PATIENCE` seconds at the next size is not asked.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

HORIZON, DAYS, SEASON = 14, 731, 7
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
PEERS = ("auto_ets", "auto_arima", "skforecast")
PATIENCE = 300.0


def resample_births(count: int, seed: int = 1) -> np.ndarray:
    """Births a day, shape (days, series)."""
    from medlib.catalog import load_dataset
    from medlib.prepare import clean_demand, widen
    births = widen(clean_demand(load_dataset("births_us")[0]["demand"])[0]).to_numpy()
    random = np.random.default_rng(seed)
    begins = 7 * random.integers(0, (len(births) - DAYS) // 7, count)
    states, shares = random.integers(0, births.shape[1], count), random.uniform(0.3, 1.0, count)
    return np.stack([random.binomial(np.nan_to_num(births[begin:begin + DAYS, state]).astype(int), share)
                     for begin, state, share in zip(begins, states, shares)], axis=1).astype(float)


def stack_series(values: np.ndarray) -> pd.DataFrame:
    """One row a day and series: date, series, value."""
    dates = pd.date_range("2020-01-06", periods=len(values))
    return pd.DataFrame({"date": np.tile(dates, values.shape[1]), "series": np.repeat([f"s{n:05d}" for n in range(values.shape[1])], len(values)),
                         "value": values.T.reshape(-1)})


def run_medlib(name: str, values: np.ndarray):
    """Learn; yield; forecast."""
    from medlib.forecast import list_forecasters
    tall = stack_series(values).rename(columns={"series": "site", "value": "demand"}).assign(resource="birth")
    history = tall.assign(date=tall["date"].astype("datetime64[us]"))[["date", "site", "resource", "demand"]]
    maker = list_forecasters(history, HORIZON, names=[name])[name]
    yield
    forecaster = maker().fit(history)
    yield
    yield len(forecaster.predict(history["date"].max(), HORIZON)) // len(LEVELS)


def run_statsforecast(name: str, values: np.ndarray):
    """Fit and forecast in one call, on two cores."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoARIMA, AutoETS
    tall = stack_series(values).rename(columns={"series": "unique_id", "date": "ds", "value": "y"})
    model = {"auto_ets": AutoETS, "auto_arima": AutoARIMA}[name](season_length=SEASON)
    # What numba compiles is compiled before the clock runs.
    StatsForecast([model], freq="D").forecast(HORIZON, tall[:DAYS], level=[50])
    yield
    found = StatsForecast([model], freq="D", n_jobs=2).forecast(HORIZON, tall, level=[50, 80, 95])
    yield
    yield len(found)


def run_skforecast(name: str, values: np.ndarray):
    """Fit pooled boosted trees; yield; draw quantiles."""
    import warnings

    from skforecast.recursive import ForecasterRecursiveMultiSeries
    from sklearn.ensemble import HistGradientBoostingRegressor
    warnings.simplefilter("ignore")
    series = pd.DataFrame(values, index=pd.date_range("2020-01-06", periods=len(values)), columns=[f"s{n:05d}" for n in range(values.shape[1])])
    forecaster = ForecasterRecursiveMultiSeries(HistGradientBoostingRegressor(random_state=1), lags=[1, 2, 7, 14, 28])
    yield
    forecaster.fit(series, store_in_sample_residuals=True)
    yield
    yield len(forecaster.predict_quantiles(HORIZON, quantiles=list(LEVELS), n_boot=100))


def read_peak_mb() -> float:
    """Most memory that this process has held so far (Linux); getrusage would count what its parent held."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def measure(model: str, file: Path) -> dict[str, float]:
    """Seconds to learn and to forecast, and megabytes."""
    values = np.load(file)
    run = {"auto_ets": run_statsforecast, "auto_arima": run_statsforecast, "skforecast": run_skforecast}.get(model, run_medlib)(model, values)
    next(run)
    before, begin = read_peak_mb(), time.perf_counter()
    next(run)
    learned = time.perf_counter()
    answers = next(run)
    done = time.perf_counter()
    if answers != HORIZON * values.shape[1]:
        raise SystemExit(f"{model} answered {answers} of {HORIZON * values.shape[1]} days.")
    workers = 2 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"fit_seconds": learned - begin, "predict_seconds": done - learned, "peak_mb": read_peak_mb() - before + workers}


def measure_alone(model: str, file: Path, python: str) -> dict[str, float]:
    """Measure in a process of its own."""
    done = subprocess.run([python, __file__, "--alone", model, "--file", str(file)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{model} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure every model at every size, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", default="50,500,5000", help="sizes, separated by commas")
    parser.add_argument("--models", help="some of the models, separated by commas; left out: all")
    parser.add_argument("--skforecast", metavar="PYTHON", help="interpreter of an environment that holds skforecast")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        return print(json.dumps(measure(given.alone, given.file)))
    from rich.console import Console
    from rich.table import Table

    from medlib.forecast import FORECASTERS
    sizes = [int(size) for size in given.series.split(",")]
    models = given.models.split(",") if given.models else [*FORECASTERS, *(peer for peer in PEERS if peer != "skforecast" or given.skforecast)]
    found = {}
    table = Table("model", "series", "fit, ms a series", "predict, ms a series", "peak MB", "growth", title=f"{HORIZON} days from {DAYS}")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            np.save(file := Path(folder) / f"{size}.npy", resample_births(size))
            for model in models:
                last = found.get(model, {}).get(max(found.get(model, {}), default=0))
                if model in PEERS and last and last["total_seconds"] * size / max(found[model]) > PATIENCE:
                    continue
                row = measure_alone(model, file, given.skforecast if model == "skforecast" else sys.executable)
                total = row["fit_seconds"] + row["predict_seconds"]
                # 1: as fast as the number of series; below: slower.
                row["growth"] = None if last is None else total / last["total_seconds"] / (size / max(found[model]))
                found.setdefault(model, {})[size] = row | {"total_seconds": total}
    for model, rows in found.items():
        for size, row in rows.items():
            table.add_row(model, f"{size:,}", f"{1e3 * row['fit_seconds'] / size:,.2f}", f"{1e3 * row['predict_seconds'] / size:,.2f}",
                          f"{row['peak_mb']:,.0f}", "" if row["growth"] is None else f"{row['growth']:.2f}")
    Console(width=120).print(table)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
