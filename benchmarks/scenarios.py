"""Do joint scenarios tell sites and days together rightly? German intensive-care beds, 51 weekly as-of dates, 14 days ahead.

    MEDLIB_MIRROR=DIR python benchmarks/scenarios.py --json F

The same quantiles of the random forest, put together in three ways: by the ranks of past errors (shuffled), by chance (independent), all low
or high at once (in step). Prints means over the dates: energy and variogram score of all sites and days (roots of units, so that large states
do not rule), energy score of the total, how often the total's 80 % interval held; and the paired difference of the first to the shuffled
ones with a 90 % interval from a block bootstrap.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from medlib.catalog import load_dataset
from medlib.forecast import RandomForest, roll_forecasts
from medlib.prepare import clean_demand, widen
from medlib.scenarios import draw_scenarios, measure_errors
from medlib.score import score_energy, score_variogram
from medlib.validate import resample_blocks

HORIZON, COUNT = 14, 100
DATES = pd.date_range("2022-06-02", periods=51, freq="7D")


def score_ways(forecast: pd.DataFrame, known: pd.DataFrame, truth: pd.DataFrame, random: np.random.Generator) -> list[dict]:
    """A row a way to put the quantiles together."""
    errors = measure_errors(known, HORIZON)
    sites, rows = errors.shape[1], []
    ways = {"shuffled": errors, "independent": random.normal(size=(400, sites, HORIZON)),
            "in step": np.broadcast_to(random.normal(size=(400, 1, 1)), (400, sites, HORIZON))}
    for way, ranked in ways.items():
        drawn = draw_scenarios(forecast, ranked, COUNT)
        outcome = truth.loc[drawn.dates].to_numpy().T
        size = np.sqrt(outcome.mean(axis=1, keepdims=True))
        flat, each = (outcome / size).ravel(), (drawn.values / size).reshape(COUNT, -1)
        total, happened = drawn.values.sum(axis=1), outcome.sum(axis=0)
        low, high = np.quantile(total.mean(axis=1), [0.1, 0.9])
        rows.append({"way": way, "energy": score_energy(flat, each, drawn.weights), "variogram": score_variogram(flat, each, drawn.weights),
                     "energy of total": score_energy(happened, total, drawn.weights), "80 % holds": low <= happened.mean() <= high})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    demand = clean_demand(load_dataset("icu_germany")[0]["demand"])[0]
    truth, random = widen(demand), np.random.default_rng(5)
    forecasts = roll_forecasts(lambda: RandomForest(HORIZON, trees=40, seed=1), demand, DATES, HORIZON, learn_every=26)
    rows = [row | {"as_of": as_of} for as_of, forecast in forecasts.groupby("as_of")
            for row in score_ways(forecast, demand[demand["date"] <= as_of], truth, random)]
    scores = pd.DataFrame(rows).set_index(["as_of", "way"])
    means, periods = scores.groupby("way").mean(), resample_blocks(len(DATES), 4)
    print(means.round(3).to_string())
    found = {"means": means.to_dict("index"), "worse than shuffled": {}}
    for name in ("energy", "variogram", "energy of total"):
        by_way = scores[name].unstack("way")
        for way in ("independent", "in step"):
            worse = (by_way[way] - by_way["shuffled"]).to_numpy()
            low, high = np.quantile(worse[periods].mean(axis=1), [0.05, 0.95])
            found["worse than shuffled"][f"{name}, {way}"] = [worse.mean(), low, high]
            print(f"{name}, {way} less shuffled: {worse.mean():+.3f} ({low:+.3f} to {high:+.3f})")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
