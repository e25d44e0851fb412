"""The regret ladder: every policy through the same window, in the same accounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate import Problem, solve_lexicographic
from medlib.simulate.policies import do_nothing, follow, react, replan
from medlib.simulate.world import Record, roll
from medlib.supply import PLAN_LEVELS


#: Policies in the order of the ladder, and their names for people.
RUNGS = {"do_nothing": "Do nothing", "reactive": "Reactive same-day rule", "point_forecast": "Plan with point forecast",
         "full_forecast": "Plan with full forecast", "perfect_foresight": "Perfect foresight"}


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


def climb(truth: Problem, forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int, expected: pd.DataFrame | None = None,
          correlation: float = 0.0) -> dict[str, Record]:
    """Roll every policy of the ladder through the window.

    Parameters
    ----------
    truth : Problem
        What happens.
    forecasts : pandas.DataFrame
        Full forecasts as of every period of the window.
    capacity : pandas.DataFrame
        The `capacity` table.
    horizon : int
        Periods that the planning policies look ahead.
    expected : pandas.DataFrame, optional
        Capacity forecasts as of every period of the window, as from `medlib.outlook.forecast_capacity`; left out: last week's
        pattern goes on, for certain.
    correlation : float
        Of demand and capacity; see `medlib.allocate.weigh_pairs`.

    Returns
    -------
    dict of str to Record
        By rung, in the order of `RUNGS`.
    """
    median = forecasts[forecasts["quantile"] == 0.5]
    point = full = None
    if expected is not None:
        point, full = expected[expected["quantile"] == 0.5], expected[expected["quantile"].isin(PLAN_LEVELS)]
    policies = {"do_nothing": do_nothing, "reactive": react, "point_forecast": replan(median, capacity, horizon, point),
                "full_forecast": replan(forecasts, capacity, horizon, full, correlation),
                "perfect_foresight": follow(solve_lexicographic(truth))}
    return {rung: roll(truth, policies[rung], beyond=horizon) for rung in RUNGS}


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
        links = truth.links.set_index(["origin", "destination"])["cost"]
        moves = record.moves.join(links, on=["origin", "destination"])
        moves["cost"] = moves["amount"] * (rules.move_cost + moves["cost"] + rules.cost_per_km * moves["distance_km"])
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
    gap = shortage["reactive"] - shortage["perfect_foresight"]
    closed = shortage.rsub(shortage["reactive"], axis=0).div(gap.where(gap > 1e-9), axis=0)
    ladder.insert(7, "gap_closed", [closed.loc[row.resource, row.rung] for row in ladder.itertuples()])
    return ladder.round(4)


def tabulate_daily(records: dict[str, Record], truth: Problem) -> pd.DataFrame:
    """Bring the records' shortage to the `ladder_daily` table."""
    index = pd.MultiIndex.from_product([truth.sites, truth.names, truth.dates], names=["site", "resource", "date"])
    frames = [pd.DataFrame({"shortage": record.short.reshape(-1)}, index=index).reset_index().assign(rung=rung)
              for rung, record in records.items()]
    return pd.concat(frames).sort_values(["rung", "date", "site", "resource"], ignore_index=True).round({"shortage": 4})
