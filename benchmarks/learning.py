"""Does it pay to train a forecaster on the cost of its decisions? A shared pool of units, real demand, later periods judged.

    python benchmarks/learning.py --dataset icu_germany --json F        # also births_us, flusight, sample

Prints by rule: regret a period (cost above perfect foresight) relative to the two-stage network that plans with its full quantiles, with a
95 % interval from a paired block bootstrap over the periods judged, then cost, shortage and units moved a period. Networks: two seeds,
averaged. Needs MEDLIB_MIRROR for icu_germany and flusight, the extra `datasets` for births_us.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from medlib import prepare, tables
from medlib.catalog import load_dataset
from medlib.learned.focused import tabulate_regret, try_rules
from medlib.learned.pool import Pools, pose_pools

#: Periods judged, and periods in a block of the bootstrap: the latest, two weeks or a season's month.
JUDGED = {"sample": (365, 28), "births_us": (730, 14), "icu_germany": (500, 14), "flusight": (30, 4)}


def open_pools(dataset: str) -> Pools:
    """The pool is 3 % of mean demand (influenza: 20 % of a week's, since states' waves come one after the other)."""
    if dataset == "sample":
        demand = tables.read("demand", "data/sample").query("resource == 'icu_bed'")
        return pose_pools(prepare.widen(demand[["date", "site", "resource", "demand"]]), 7, share=0.03, cost=0.1)
    loaded = load_dataset(dataset)[0]
    wide = prepare.widen(loaded["demand"])
    if dataset == "births_us":
        return pose_pools(wide.loc["1982":], 2, share=0.03)
    if dataset == "flusight":
        return pose_pools(wide, 2, share=0.2, most=2.0)
    beds = 0.85 * loaded["capacity"].pivot(index="date", columns="site", values="capacity")
    return pose_pools(wide.loc[:"2023-12-31"], 7, share=0.03, capacity=beds.loc[:"2023-12-31"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", choices=JUDGED, default="sample")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    judged, block = JUDGED[options.dataset]
    learn, judge = open_pools(options.dataset).split(judged)
    regret = tabulate_regret(try_rules(learn, judge, seeds=(1, 2)), block=block)
    print(f"{options.dataset}: {learn.demand.shape[0]} periods to learn from, {judged} judged, {judge.demand.shape[1]} series")
    with pd.option_context("display.width", 160):
        print(regret.round(3).to_string())
    if options.json:
        options.json.write_text(json.dumps(regret.to_dict("index"), indent=1))


if __name__ == "__main__":
    main()
