"""What a learned policy is worth: how far from the linear program's its answers lie, how long both take, and what seasons cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate import Decision, Model, Plan, Problem, Shipment, read_plan, solve
from medlib.learned.policy import LearnedPolicy, count_violations, repair_flows
from medlib.learned.seasons import Seasons, list_stay

#: By so much a fixed move may differ from what was fixed: the solver's own tolerance.
TOLERANCE = 1e-6


def wait(posed: Problem) -> Decision:
    """Move nobody today."""
    return Decision([], np.zeros(posed.surge.shape))


def price_today(posed: Problem, flows: np.ndarray) -> float:
    """Cost points of a problem where today's moves of patients (B, L) are fixed, and the linear program does the rest as well as it can."""
    model = Model(posed)
    most, least = (np.broadcast_to(bound, model.move.shape).copy() for bound in (posed.at.moves_per_day[:, None, None], 0.0))
    beds = np.arange(len(posed.at.beds))
    most[:, beds, 0], least[:, beds, 0] = flows.T + TOLERANCE, np.maximum(flows.T - TOLERANCE, 0.0)
    model.move.update(low=least, high=most)
    return read_plan(model).objective


def spread_shipments(posed: Problem, shipments: Sequence[Shipment]) -> np.ndarray:
    """Shape (B, L): units of each bed resource that leave in the first period."""
    flows, beds = np.zeros((len(posed.at.beds), len(posed.links))), list(posed.at.beds)
    for order in shipments:
        if order.period == 0 and order.resource in beds:
            flows[beds.index(order.resource), order.link] += order.amount
    return flows


def measure_answers(policy: LearnedPolicy, problems: Sequence[Problem]) -> pd.DataFrame:
    """Ask a learned policy and the linear program the same.

    Parameters
    ----------
    policy : LearnedPolicy
    problems : sequence of Problem

    Returns
    -------
    pandas.DataFrame
        A row a problem. broken_before, broken_after: units by which moves exceed budgets before and after the repair. optimum: cost points
        of the linear program; learned, waiting: the same where today's moves are the policy's, or none. kept: share of what today's
        optimal moves save that the policy's save, missing where they save next to nothing. milliseconds, milliseconds_lp: of an answer.
    """
    rows = []
    for posed in problems:
        start = time.perf_counter()
        wish = policy.wish(posed)
        flows = repair_flows(posed, wish)
        answered = time.perf_counter()
        optimum = solve(posed).objective
        solved = time.perf_counter()
        rows.append({"broken_before": count_violations(posed, wish), "broken_after": count_violations(posed, flows), "optimum": optimum,
                     "learned": price_today(posed, flows), "waiting": price_today(posed, np.zeros(flows.shape)),
                     "milliseconds": 1e3 * (answered - start), "milliseconds_lp": 1e3 * (solved - answered)})
    found = pd.DataFrame(rows)
    saves = found["waiting"] - found["optimum"]
    return found.assign(kept=(found["waiting"] - found["learned"]) / saves.where(saves > 1e-3 * found["optimum"].abs() + 1.0))


def play_season(seasons: Seasons, season: int, decide: Callable[[Problem], Plan | Decision], horizon: int = 10) -> dict[str, float]:
    """Play one season through, asking in every period with what could be known by then.

    Parameters
    ----------
    seasons : Seasons
    season : int
        Its position.
    decide : callable
        Answers a problem with an object that has `shipments`, as `solve` or `LearnedPolicy.decide`.
    horizon : int
        Periods that the problems look ahead, today's included.

    Returns
    -------
    dict of str to float
        cost (points), short (unit-days), moved (units). Surge opens where it is needed, under every policy alike.
    """
    posed, rules, demand = seasons.posed, seasons.posed.rules, seasons.demand[season]
    price = rules.move_cost + posed.at.cost + rules.cost_per_km * posed.at.distance_km
    moved, sums, stay = np.zeros(demand.shape), np.zeros(3), list_stay(posed, seasons.resource, demand.shape[1])
    for period in range(seasons.periods):
        seen = seasons.pose_forecast(season, period, horizon, moved[:, period:period + horizon])
        flows = spread_shipments(seen, decide(seen).shipments)[0]
        net = np.bincount(posed.at.destination, flows, len(demand)) - np.bincount(posed.at.origin, flows, len(demand))
        moved[:, period:] += net[:, None] * stay[:demand.shape[1] - period]
        over = np.maximum(demand[:, period] + moved[:, period] - seasons.room, 0.0)
        opened = np.minimum(over, seasons.surge)
        short = (over - opened).sum()
        surge = opened.sum() / posed.occupancy[seasons.resource]
        sums += rules.shortage_cost * short + rules.surge_cost * surge + flows @ price, short, flows.sum()
    return dict(zip(("cost", "short", "moved"), sums.tolist()))


def foresee_season(seasons: Seasons, season: int) -> dict[str, float]:
    """The same sums of the perfect-foresight plan, below which no policy's cost lies."""
    plan = solve(seasons.pose_truth(season))
    return {"cost": plan.objective, "short": plan.weighted_shortage, "moved": plan.transfers}


def play_seasons(seasons: Seasons, policies: Mapping[str, Callable[[Problem], Plan | Decision]], horizon: int = 10) -> pd.DataFrame:
    """Play every season under every policy, and with perfect foresight.

    Returns
    -------
    pandas.DataFrame
        season, policy, cost, short, moved.
    """
    rows = []
    for season in range(len(seasons.demand)):
        rows += [{"season": season, "policy": name, **play_season(seasons, season, decide, horizon)} for name, decide in policies.items()]
        rows.append({"season": season, "policy": "foresight", **foresee_season(seasons, season)})
    return pd.DataFrame(rows)


def shift_network(posed: Problem, kept: Sequence[int]) -> Problem:
    """Another network out of the sites at these positions: their links, rooms and demand."""
    names = {posed.sites[place] for place in kept}
    links = posed.links[posed.links["origin"].isin(names) & posed.links["destination"].isin(names)].reset_index(drop=True)
    cut = lambda values, axis: None if values is None else np.take(values, kept, axis=axis)
    return replace(posed, sites=tuple(posed.sites[place] for place in kept), links=links, demand=cut(posed.demand, 1),
                   capacity=cut(posed.capacity, 0), surge=cut(posed.surge, 0), surge_lead_days=cut(posed.surge_lead_days, 0),
                   arrivals=cut(posed.arrivals, 0), capacity_change=cut(posed.capacity_change, 1),
                   **{part: getattr(posed, part)[lambda rows: rows["site"].isin(names)] for part in ("stock", "levels", "orders")})
