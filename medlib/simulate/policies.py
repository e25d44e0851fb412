"""The policies: each looks at a period and decides moves and surge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate import Plan, Problem, Shipment, pose_problem, solve, sort_by_need
from medlib.simulate.world import Orders, Policy, State, lead_periods, list_stock
from medlib.supply import is_known, project_capacity, spread_capacity


#: The reactive rule keeps so many periods of its own need of a drug before it gives away the rest.
DRUG_RESERVE = 7


def do_nothing(period: int, state: State) -> Orders:
    """Leave everything where it is and open no surge."""
    return Orders([], np.zeros(state.truth.capacity.shape[:2]))


def react(period: int, state: State) -> Orders:
    """The reactive same-day rule: who is short asks the nearest linked site with units to spare today, and for surge.

    It keeps the transfer budgets. What is short after that opens surge as soon as its lead time allows.
    """
    truth, rules = state.truth, state.truth.rules
    asked = np.minimum(state.requested[:, :, period], truth.surge[:, :, period])
    needed, usable = state.needed(period), state.usable(period, asked)
    for resource in sort_by_need(truth.requires, truth.names):
        for name, share in truth.requires.get(truth.names[resource], {}).items():
            needed[:, truth.names.index(name)] += share * np.minimum(needed[:, resource], usable[:, resource])
    over, spare = np.maximum(needed - usable, 0.0), np.maximum(usable - needed, 0.0)
    for drug in state.positions("drug"):
        spare[:, drug] = np.maximum(usable[:, drug] - DRUG_RESERVE * needed[:, drug], 0.0)
    for unit in state.positions("staff", "equipment"):
        # Units on their way already were asked for yesterday.
        over[:, unit] = np.maximum(over[:, unit] - (state.units[:, unit, -1] - state.units[:, unit, period]), 0.0)
    in_a_day = np.full(len(truth.names), rules.transfers_per_day, dtype=float)
    at_site = np.full(over.shape, rules.transfers_per_site_day, dtype=float)
    in_a_day[state.positions("drug")] = at_site[:, state.positions("drug")] = np.inf
    moves = []
    for link in truth.links.sort_values("distance_km", kind="stable").itertuples():
        origin, destination = truth.sites.index(link.origin), truth.sites.index(link.destination)
        for resource, kind in enumerate(truth.resources["kind"]):
            # Patients leave the crowded site; units come to it.
            crowded, free = (origin, destination) if kind == "bed" else (destination, origin)
            amount = min(over[crowded, resource], spare[free, resource], in_a_day[resource],
                         at_site[origin, resource], at_site[destination, resource])
            if amount > 0:
                moves.append(Shipment(link.Index, resource, period, amount))
                over[crowded, resource] -= amount
                spare[free, resource] -= amount
                in_a_day[resource] -= amount
                at_site[[origin, destination], resource] -= amount
    _ask_for_surge(over, period, state)
    return Orders(moves, np.where(truth.surge_lead_days == 0, np.minimum(over, truth.surge[:, :, period]), asked))


def _ask_for_surge(wanted: np.ndarray, period: int, state: State) -> None:
    """Note surge wanted at the end of its lead time."""
    for site, resource in np.argwhere(wanted > 0):
        later = period + lead_periods(state.truth)[site, resource]
        if period < later < state.requested.shape[2]:
            state.requested[site, resource, later] = max(state.requested[site, resource, later], wanted[site, resource])


def follow(plan: Plan) -> Policy:
    """Make a policy that carries out a plan as written, from its first period on, and never revises it."""
    def policy(period: int, state: State) -> Orders:
        return Orders([order for order in plan.shipments if order.period == period], plan.surge_units[:, :, period])

    return policy


def replan(forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int, expected: pd.DataFrame | None = None,
           correlation: float = 0.0) -> Policy:
    """Make a policy that plans anew each period and carries out the first period of the plan.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        Forecasts as of every period of the window; several quantiles make a plan with the full forecast.
    capacity : pandas.DataFrame
        The `capacity` table; only rows up to the period at hand are looked at.
    horizon : int
        Periods planned, today's included.
    expected : pandas.DataFrame, optional
        Capacity forecasts as of every period, as from `medlib.outlook.forecast_capacity`; several quantiles make scenarios. Left
        out: last week's pattern goes on, for certain.
    correlation : float
        Of demand and capacity; see `medlib.allocate.weigh_pairs`.

    Returns
    -------
    callable
        A `Policy`.
    """
    def policy(period: int, state: State) -> Orders:
        problem = _look_ahead(forecasts, capacity, horizon, period, state, expected, correlation)
        plan = solve(problem)
        planned = plan.surge_units
        for (site, resource), wait in np.ndenumerate(lead_periods(state.truth)):
            if 0 < wait < len(problem.dates):
                state.requested[site, resource, period + wait] = planned[site, resource, wait]
        return Orders([order for order in plan.shipments if order.period == 0], planned[:, :, 0])

    return policy


def _look_ahead(forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int, period: int, state: State,
                expected: pd.DataFrame | None = None, correlation: float = 0.0) -> Problem:
    """Pose today's problem: today as it is, later periods as forecast, both as changed by earlier decisions."""
    truth, today = state.truth, state.truth.dates[period]
    ahead = forecasts[forecasts["as_of"] == today]
    later = pd.DatetimeIndex(np.sort(ahead["date"].unique()))[:horizon - 1]
    there = spread_capacity(capacity[is_known(capacity, today)], truth.dates[[period]])
    if expected is not None:
        coming = expected[(expected["as_of"] == today) & expected["date"].isin(later)]
        there = there.merge(pd.DataFrame({"quantile": expected["quantile"].unique()}), how="cross")
    elif len(later):
        coming = project_capacity(capacity, today, later)
    else:
        coming = there.iloc[:0]
    seen = pd.concat([ahead[ahead["date"].isin(later)]] + [
        _today(truth, period).assign(quantile=level) for level in ahead["quantile"].unique()])
    problem = pose_problem(pd.DataFrame({"site": truth.sites}), truth.resources, truth.links, seen, pd.concat([there, coming]),
                           truth.rules, stock=list_stock(state, period), correlation=correlation)
    span = slice(period, period + len(problem.dates))
    drugs = state.positions("drug")
    units = state.units[:, :, span]
    supply, change = np.maximum(problem.capacity + units, 0.0), problem.capacity_change
    if change is not None:
        change = np.maximum(problem.scenario_capacity + units, 0.0) - supply
    supply[:, drugs, 0] = 0.0  # today's delivery is in the stock already
    wait, ahead_by = lead_periods(truth)[:, :, None], np.arange(len(problem.dates))
    surge = np.where(ahead_by < wait, np.minimum(state.requested[:, :, span], problem.surge.max(axis=2, keepdims=True)),
                     problem.surge)
    return replace(problem, demand=np.maximum(problem.demand + state.patients[:, :, span], 0.0), capacity=supply,
                   capacity_change=change, surge=surge)


def _today(truth: Problem, period: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([truth.sites, truth.names], names=["site", "resource"])
    return pd.DataFrame({"demand": truth.demand[0, :, :, period].reshape(-1)}, index=index).reset_index().assign(
        date=truth.dates[period])
