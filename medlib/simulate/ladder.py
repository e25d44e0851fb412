"""The regret ladder: every policy through the same window, in the same accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate import Problem, solve_lexicographic
from medlib.errors import MedlibError
from medlib.simulate.policies import (count_binding, do_nothing, follow, guard_sites, guard_tail, imitate, keep_cushion, react, replan,
                                      share_fairly, weigh_scenarios)
from medlib.simulate.view import View
from medlib.simulate.world import Policy, Record, roll
from medlib.validate import resample_blocks


#: Policies in the order of the ladder, and their names for people.
RUNGS = {"none": "Do nothing", "reactive": "Reactive same-day rule", "point": "Plan with point forecast",
         "point_cushion": "Point forecast, 5 % cushion", "stochastic": "Plan with full forecast", "cvar": "Full forecast, worst tenth",
         "robust": "Robust: some sites high at once", "fair": "Worst-served site first", "learned": "Learned by a network",
         "perfect": "Perfect foresight"}
#: Rungs that a report shows.
SHORT_LADDER = ("none", "reactive", "point", "point_cushion", "stochastic", "perfect")


def bound_shortage(truth: Problem) -> np.ndarray:
    """Units short that no reallocation can avoid: the same problem with all sites pooled into one.

    Parameters
    ----------
    truth : Problem

    Returns
    -------
    numpy.ndarray
        Shape (R,): unit-days.
    """
    rules = replace(truth.rules, protect_sites=False)
    pooled = replace(truth, sites=("everywhere",), demand=truth.demand.sum(axis=1, keepdims=True), rules=rules,
                     capacity=truth.capacity.sum(axis=0, keepdims=True), surge=truth.surge.sum(axis=0, keepdims=True),
                     capacity_change=None if truth.capacity_change is None else truth.capacity_change.sum(axis=1, keepdims=True),
                     surge_lead_days=truth.surge_lead_days.max(axis=0, keepdims=True), links=truth.links.iloc[:0],
                     stock=truth.stock.assign(site="everywhere"), arrivals=None, site_limits=truth.site_limits.iloc[:0],
                     levels=truth.levels.iloc[:0], orders=_pool_orders(truth.orders))
    return solve_lexicographic(pooled).mean_short.sum(axis=(0, 2))


def _pool_orders(orders: pd.DataFrame) -> pd.DataFrame:
    """All sites' orders of a drug as one: together, and as fast as the fastest."""
    if orders.empty:
        return orders
    pooled = orders.groupby("resource", as_index=False).agg({"lead_days": "min", "units_per_period": "sum"})
    return pooled.assign(site="everywhere", cost=0.0)


def climb(truth: Problem, view: View, rungs: Sequence[str] = SHORT_LADDER) -> dict[str, Record]:
    """Roll policies of the ladder through the window.

    Parameters
    ----------
    truth : Problem
        What happens.
    view : View
        What planning policies see.
    rungs : sequence of str
        Of `RUNGS`; the reactive rule and perfect foresight, between which all others are judged, are always there.

    Returns
    -------
    dict of str to Record
        By rung, in the order of `RUNGS`.

    Raises
    ------
    MedlibError
        There is no such rung.
    """
    if unknown := set(rungs) - set(RUNGS):
        raise MedlibError(f"The ladder has no rung {sorted(unknown)[0]!r}; it has {', '.join(RUNGS)}.")
    return {rung: roll(truth, make_policy(rung, truth, view), beyond=view.horizon) for rung in RUNGS if rung in {*rungs, "reactive", "perfect"}}


def make_policy(rung: str, truth: Problem, view: View) -> Policy:
    """Make the policy of a rung.

    Scenarios differ as far ahead as `count_binding` says and are drawn jointly; without a history to draw from, they are the levels
    of the forecast.
    """
    seen = {"way": "levels" if view.history is None else "scenarios", "hedged": count_binding(truth)}
    makers = {"none": lambda: do_nothing, "reactive": lambda: react, "perfect": lambda: follow(solve_lexicographic(truth)),
              "point": lambda: replan(view, "point"), "point_cushion": lambda: replan(view, "point", keep_cushion),
              "stochastic": lambda: replan(view, decide=weigh_scenarios, **seen), "cvar": lambda: replan(view, decide=guard_tail, **seen),
              "robust": lambda: replan(view, decide=guard_sites, **seen), "fair": lambda: replan(view, "point", share_fairly),
              "learned": lambda: imitate(view)}
    return makers[rung]()


def tabulate_ladder(records: dict[str, Record], truth: Problem) -> pd.DataFrame:
    """Sum the records up to the `ladder` table.

    Parameters
    ----------
    records : dict of str to Record
    truth : Problem

    Returns
    -------
    pandas.DataFrame
        A row a rung and resource, and a row 'all': shortage weighted by the resources' shortage weights, moves of
        patients, staff and equipment (drugs travel in bulk and are counted in their own row only).
    """
    bound, rules = bound_shortage(truth), truth.rules
    weights = np.array([truth.shortage_weight[name] for name in truth.names])
    rows = []
    for rung, record in records.items():
        by_resource = record.short.sum(axis=(0, 2))
        surge = record.surge.sum(axis=(0, 2))
        moves = price_moves(record, truth)
        moves["distance_km"] *= moves["amount"]
        sums = moves.groupby("resource")[["amount", "distance_km", "cost"]].sum().reindex(truth.names, fill_value=0.0)
        cost = sums["cost"].to_numpy() + surge * rules.surge_cost
        counted = (truth.resources["kind"] != "drug").to_numpy()
        for number, name in enumerate(truth.names):
            rows.append((rung, name, by_resource[number], *sums.iloc[number, :2], surge[number], cost[number], bound[number]))
        rows.append((rung, "all", by_resource @ weights, *sums.iloc[counted.nonzero()[0], :2].sum(), surge.sum(), cost.sum(),
                     bound @ weights))
    columns = ["rung", "resource", "shortage", "transfers", "distance_km", "surge", "cost", "bound"]
    ladder = pd.DataFrame(rows, columns=columns).round(4)
    shortage = ladder.pivot(index="resource", columns="rung", values="shortage")
    gap = shortage["reactive"] - shortage["perfect"]
    closed = shortage.rsub(shortage["reactive"], axis=0).div(gap.where(gap > 1e-9), axis=0)
    ladder.insert(7, "gap_closed", [closed.loc[row.resource, row.rung] for row in ladder.itertuples()])
    return ladder.round(4)


def judge_ladder(records: dict[str, Record], truth: Problem, against: str = "point", level: float = 0.9, block: int | None = None,
                 draws: int = 2000, seed: int = 1) -> pd.DataFrame:
    """Sum the records up with intervals: how far the sums depend on which periods the window happened to hold.

    Periods are drawn in blocks, the same for every rung, so that what is hard for all cancels out in `gap_closed` and `saved`.

    Parameters
    ----------
    records : dict of str to Record
        By rung.
    truth : Problem
    against : str
        Rung whose shortage `saved` is counted from.
    level : float
        Probability that the interval is to hold the truth with.
    block, draws, seed
        As for `medlib.validate.resample_blocks`.

    Returns
    -------
    pandas.DataFrame
        rung, measure, value, low, high. Measures: shortage (weighted unit-days), transfers, cost (points of moves and surge),
        worst_site (weighted unit-days short of the site worst off), gap_closed (share of the gap between the reactive rule and perfect
        foresight), saved (shortage less than `against`). No gap_closed without those two rungs, no saved without `against`.
    """
    periods = resample_blocks(len(truth.dates), block, draws, seed)
    every = np.arange(len(truth.dates))[None]
    samples = {rung: {name: np.concatenate([sums[chosen].sum(axis=1) for chosen in (every, periods)]) for name, sums in
                      _account(record, truth).items()} for rung, record in records.items()}
    rows = []
    for rung, sums in samples.items():
        measures = {"shortage": sums["shortage"].sum(axis=1), "transfers": sums["transfers"], "cost": sums["cost"],
                    "worst_site": sums["shortage"].max(axis=1)}
        if {"reactive", "perfect"} <= set(samples):
            reactive, perfect = (samples[name]["shortage"].sum(axis=1) for name in ("reactive", "perfect"))
            gap = reactive - perfect
            measures["gap_closed"] = np.divide(reactive - measures["shortage"], gap, out=np.full(len(gap), np.nan), where=gap > 1e-9)
        if against in samples:
            measures["saved"] = samples[against]["shortage"].sum(axis=1) - measures["shortage"]
        for name, drawn in measures.items():
            known = drawn[1:][np.isfinite(drawn[1:])]
            ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if len(known) else (np.nan, np.nan)
            rows.append((rung, name, drawn[0], *ends))
    return pd.DataFrame(rows, columns=["rung", "measure", "value", "low", "high"]).round(4)


def _account(record: Record, truth: Problem) -> dict[str, np.ndarray]:
    """Each period's shortage by site, shape (T, I), transfers and cost, shape (T,)."""
    moves = price_moves(record, truth)
    counted = moves[moves["resource"].map(truth.kinds) != "drug"]
    by_date = {name: rows.groupby("date")[column].sum().reindex(truth.dates, fill_value=0.0).to_numpy()
               for name, rows, column in (("transfers", counted, "amount"), ("cost", moves, "cost"))}
    return {"shortage": np.einsum("irt,r->ti", record.short, truth.at.weight), "transfers": by_date["transfers"],
            "cost": by_date["cost"] + truth.rules.surge_cost * record.surge.sum(axis=(0, 1))}


def price_moves(record: Record, truth: Problem) -> pd.DataFrame:
    """The moves with what each costs."""
    links, rules = truth.links.set_index(["origin", "destination"])["cost"], truth.rules
    moves = record.moves.astype({"amount": float, "distance_km": float}).join(links, on=["origin", "destination"])
    return moves.assign(cost=moves["amount"] * (rules.move_cost + moves["cost"] + rules.cost_per_km * moves["distance_km"]))


def tabulate_daily(records: dict[str, Record], truth: Problem) -> pd.DataFrame:
    """Bring the records' shortage to the `ladder_daily` table."""
    index = pd.MultiIndex.from_product([truth.sites, truth.names, truth.dates], names=["site", "resource", "date"])
    frames = [pd.DataFrame({"shortage": record.short.reshape(-1)}, index=index).reset_index().assign(rung=rung)
              for rung, record in records.items()]
    return pd.concat(frames).sort_values(["rung", "date", "site", "resource"], ignore_index=True).round({"shortage": 4})
