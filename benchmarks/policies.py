"""The regret ladder: every policy through windows of real data, with forecasts made as of each period.

    python benchmarks/policies.py --dataset tx_icu --json F        # also icu_germany, flusight, sample

Prints policy -> shortage, transfers, cost, worst site, share of the gap closed, each with a 90 % interval from a block bootstrap over
the window's periods, the same blocks for every policy; then the difference to the point forecast, paired. Needs MEDLIB_MIRROR for all but
the sample. What every case takes as given stands in `CASES` and in the functions below it; nothing there was fitted to the windows
that are judged, except where the README says so.
"""

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from medlib.allocate import Problem, Rules, pose_problem
from medlib.calendar import infer_period
from medlib.catalog import load_dataset, texas
from medlib.forecast import make_forecaster, roll_forecasts
from medlib.foresight import pose_tables
from medlib.outlook import forecast_capacity, measure_correlation
from medlib.prepare import clean_demand, widen
from medlib.simulate import RUNGS, View, bound_shortage, count_stock, judge_ladder, make_policy, roll
from medlib.supply import PLAN_LEVELS, spread_capacity


@dataclass(frozen=True)
class Case:
    """A window of a dataset: what happens, and what may be seen of it."""

    truth: Problem
    view: View


@dataclass(frozen=True)
class Window:
    """What a case is made of: first date, periods, how many of them plans look ahead, rules, periods after which the forest learns anew."""

    name: str
    first: str
    periods: int
    horizon: int
    rules: Rules = field(default_factory=Rules)
    learn_every: int = 14


#: Texas as published: any transfer, beds needed at both ends on the day of it, only those who arrive today can be sent. A transfer is
#: worth half a bed-day here; other prices: --move-cost.
TEXAS = Rules.without_limits(handover_days=1, shortage_cost=100.0, move_cost=50.0, cost_per_km=0.0)
#: Mobile teams between states, a week on the way: a move costs a twentieth of an admission that nobody is there for.
TEAMS = Rules.without_limits(move_cost=5.0, cost_per_km=0.0)
CASES = {
    "tx_icu": [Window("summer 2020", "2020-06-15", 62, 14, TEXAS, 7)],
    "icu_germany": [Window("winter 2020/21", "2020-11-20", 62, 10), Window("autumn 2021", "2021-11-01", 62, 10),
                    Window("quiet 2023", "2023-05-01", 62, 10)],
    "flusight": [Window("season 2023/24", "2023-10-21", 27, 4, TEAMS, 4)],
    "sample": [Window("December 2025", "2025-12-04", 28, 10)],
}


def forecast_window(history: pd.DataFrame, window: pd.DatetimeIndex, horizon: int, learn_every: int, seed: int) -> pd.DataFrame:
    """Forecasts as of every period of the window, by the forest, learned anew now and then from what was known."""
    return roll_forecasts(lambda: make_forecaster("random_forest", horizon, seed), history, window, horizon, learn_every)


def open_texas(chosen: Window, seed: int) -> Case:
    """Admissions are known up to today. Those before the window are estimated from the census before it."""
    tables = load_dataset("tx_icu")[0]
    truth = pose_tables(tables, chosen.rules)
    census = tables["demand"].pivot(index="date", columns="site", values="demand")
    earlier, _ = texas.estimate_arrivals(census, pd.date_range(census.index[1], truth.dates[0] - pd.Timedelta(days=1)))
    past = earlier.rename_axis(index="date", columns="site").stack().rename("demand").reset_index().assign(resource="icu_bed")
    now = tables["arrivals"].rename(columns={"arrivals": "demand"})
    history = pd.concat([past, now[past.columns]], ignore_index=True)
    forecasts = forecast_window(history, truth.dates, chosen.horizon - 1, chosen.learn_every, seed)
    return Case(truth, View(forecasts, tables["capacity"], chosen.horizon, history=history, seed=seed))


def open_network(dataset: str, chosen: Window, seed: int) -> Case:
    """Demand and capacity both forecast."""
    tables = load_dataset(dataset)[0]
    demand, _ = clean_demand(tables["demand"])
    if dataset == "flusight":
        tables |= staff_states(tables, pd.Timestamp(chosen.first))
    dates = widen(demand).index
    window = dates[dates >= chosen.first][:chosen.periods]
    start = dates[dates < chosen.first][-1]
    capacity, sites, resources, links = (tables[name] for name in ("capacity", "sites", "resources", "links"))
    stock = count_stock(demand, capacity, sites, resources, start)
    actual = demand.loc[demand["date"].isin(window), ["date", "site", "resource", "demand"]]
    truth = pose_problem(sites, resources, links, actual, spread_capacity(capacity, window), chosen.rules, stock)
    forecasts = forecast_window(demand, window, chosen.horizon - 1, chosen.learn_every, seed)
    expected = forecast_capacity(capacity, resources, list(window), infer_period(demand["date"]), chosen.horizon - 1, seed=seed)
    correlation = measure_correlation(demand, capacity, resources, start)
    return Case(truth, View(forecasts, capacity, chosen.horizon, expected, correlation, demand, PLAN_LEVELS, seed=seed))


def staff_states(tables: dict[str, pd.DataFrame], first: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Teams for influenza admissions: in all as many as the nation's highest week before the window took, shared out by population."""
    weekly = tables["demand"][tables["demand"]["date"] < first].groupby("date")["demand"].sum()
    sites = tables["sites"]
    teams = weekly.max() * sites["population"] / sites["population"].sum()
    pairs = sites[["site"]].merge(sites[["site"]], how="cross", suffixes=("_x", "_y")).query("site_x != site_y")
    links = pd.DataFrame({"origin": pairs["site_x"], "destination": pairs["site_y"], "distance_km": 0.0, "lead_days": 7.0, "cost": 0.0})
    return {"resources": pd.DataFrame({"resource": ["flu_admission"], "kind": ["staff"], "unit": ["team-week"]}),
            "links": links.reset_index(drop=True), "capacity": pd.DataFrame({"site": sites["site"], "resource": "flu_admission",
                                                                           "capacity": teams.round()})}


def open_case(dataset: str, chosen: Window, seed: int = 1) -> Case:
    return open_texas(chosen, seed) if dataset == "tx_icu" else open_network(dataset, chosen, seed)


def climb_case(case: Case, rungs: list[str]) -> tuple[pd.DataFrame, dict[str, float]]:
    """Judge every rung over one window; also seconds a rung."""
    records, seconds = {}, {}
    for rung in rungs:
        began = time.perf_counter()
        records[rung] = roll(case.truth, make_policy(rung, case.truth, case.view), beyond=case.view.horizon)
        seconds[rung] = round(time.perf_counter() - began, 1)
        print(f"  {rung}: {records[rung].short.sum():.1f} unit-periods short, {seconds[rung]} s", flush=True)
    week = {"D": 7}.get(infer_period(case.truth.dates)[0])
    return judge_ladder(records, case.truth, block=week), seconds


def show(judged: pd.DataFrame) -> str:
    """The table as people read it: value (90 % interval)."""
    cells = judged.assign(cell=[f"{row.value:,.2f} ({row.low:,.2f} to {row.high:,.2f})" if row.measure == "gap_closed" else
                                f"{row.value:,.0f} ({row.low:,.0f} to {row.high:,.0f})" for row in judged.itertuples()])
    return cells.pivot(index="rung", columns="measure", values="cell").loc[judged["rung"].unique(), judged["measure"].unique()].to_string()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", choices=CASES, default="sample")
    parser.add_argument("--policies", default=",".join(RUNGS), help="rungs, comma-separated (all)")
    parser.add_argument("--window", default="", help="one window by name (all)")
    parser.add_argument("--move-cost", type=float, help="cost points of a move, against 100 for a unit-period short")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for window in CASES[options.dataset]:
        if options.window not in ("", window.name):
            continue
        if options.move_cost is not None:
            window = replace(window, rules=replace(window.rules, move_cost=options.move_cost))
        case = open_case(options.dataset, window, options.seed)
        truth = case.truth
        print(f"{options.dataset}, {window.name}: {truth.dates[0].date()} to {truth.dates[-1].date()}, {len(truth.sites)} sites; no reallocation "
              f"can beat {bound_shortage(truth) @ truth.at.weight:,.1f} weighted unit-periods short", flush=True)
        judged, seconds = climb_case(case, [rung for rung in RUNGS if rung in options.policies.split(",")])
        print(show(judged), flush=True)
        found[window.name] = {"seconds": seconds, "policies": {rung: {row.measure: {"value": row.value, "low": row.low, "high": row.high}
                                                                      for row in rows.itertuples()} for rung, rows in judged.groupby("rung", sort=False)}}
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
