"""The policies: each looks at a period and decides moves and surge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtri

from medlib.allocate import Decision, Plan, Problem, Risk, Shipment, bound_demand, solve, solve_fair, sort_by_need, weigh_levels
from medlib.forecast import LEVELS
from medlib.simulate.view import View
from medlib.simulate.world import Orders, Policy, State, count_step, lead_periods, list_movable


#: The reactive rule keeps so many periods of its own need of a drug before it gives away the rest.
DRUG_RESERVE = 7
#: Share of the beds that the plain cushion plans with.
CUSHION = 0.95


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
    beds = state.positions("bed")
    over[:, beds] = np.minimum(over[:, beds], list_movable(period, state)[:, beds])
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


def replan(view: View, way: str = "levels", decide: Callable[[Problem], Plan | Decision] = solve, hedged: int | None = None) -> Policy:
    """Make a policy that plans anew each period and carries out the first period of the plan.

    Parameters
    ----------
    view : View
        What it sees.
    way, hedged
        How forecasts enter the problem; see `View.pose`.
    decide : callable
        Answers a problem with a plan; of the plan only `shipments` and `surge_units` are looked at.

    Returns
    -------
    callable
        A `Policy`.
    """
    def policy(period: int, state: State) -> Orders:
        problem = view.pose(period, state, way, hedged)
        plan = decide(problem)
        planned = plan.surge_units
        for (site, resource), wait in np.ndenumerate(lead_periods(state.truth)):
            if 0 < wait < len(problem.dates):
                state.requested[site, resource, period + wait] = planned[site, resource, wait]
        return Orders([order for order in plan.shipments if order.period == 0], planned[:, :, 0])

    return policy


def count_binding(truth: Problem) -> int | None:
    """Periods ahead in which today's decisions bind, as what tomorrow decides comes too late for them; None: all.

    Where moves are limited by day or by site, a wave can only be answered bit by bit, so that all that may come has to be looked at today.
    Else it is the longest of the times that units are on the way and that surge takes to open, in periods; at least the next one.
    """
    rules = truth.rules
    if np.isfinite([rules.transfers_per_day, rules.transfers_per_site_day, rules.transport_km_per_day]).any():
        return None
    surge = lead_periods(truth)[truth.surge.max(axis=2) > 0]
    units = np.ceil(truth.at.lead_days / count_step(truth)) if len(truth.at.units) else np.zeros(0)
    return int(max(1, surge.max(initial=0), units.max(initial=0)))


def keep_cushion(posed: Problem, share: float = CUSHION) -> Plan:
    """Plan with a share of the beds that may be planned, as if there were no more, and for as much more need of staff and equipment."""
    demand = posed.demand.copy()
    demand[:, :, posed.at.units] /= share
    return solve(replace(posed, demand=demand, rules=replace(posed.rules, planning_occupancy=share * posed.rules.planning_occupancy)))


def weigh_scenarios(posed: Problem) -> Plan | Decision:
    """Plan for the mean of the scenarios."""
    return leave_drugs(posed, solve)


def guard_tail(posed: Problem) -> Plan | Decision:
    """Plan for the mean and the worst tenth of the scenarios alike."""
    return leave_drugs(posed, partial(solve, risk=Risk("cvar")))


def guard_sites(posed: Problem, high: float = 0.9) -> Plan | Decision:
    """Plan for so many sites at once in high demand as leave little chance of more, whichever they are.

    The number is that of Bertsimas and Sim (2004): 1 + z sqrt(sites), with the normal quantile z of `high`.
    """
    risk = Risk("robust", budget=min(1 + ndtri(high) * np.sqrt(len(posed.sites)), len(posed.sites)))
    return leave_drugs(posed, lambda rest: solve(bound_demand(rest, high), risk=risk))


def leave_drugs(posed: Problem, decide: Callable[[Problem], Plan]) -> Plan | Decision:
    """Plan drugs for a few levels of need, all sites low together or high together, and decide the rest by itself.

    Stock is kept in every scenario for itself: a hundred of them make a large program, which says little more than a few levels do.
    """
    drugs = posed.resources["kind"] == "drug"
    if posed.needs[np.ix_(drugs, ~drugs)].any() or posed.needs[np.ix_(~drugs, drugs)].any():
        return decide(posed)  # what needs each other is planned together
    parts = [(decide, ~drugs), (lambda stocked: solve(take_levels(stocked)), drugs)]
    surge, shipments = np.zeros(posed.surge.shape), []
    for plan, kept in [(plan_part(keep_resources(posed, kept)), kept) for plan_part, kept in parts if kept.any()]:
        places = np.flatnonzero(kept)
        surge[:, places] = plan.surge_units
        shipments += [order._replace(resource=int(places[order.resource])) for order in plan.shipments]
    return Decision(shipments, surge)


def take_levels(posed: Problem) -> Problem:
    """The problem with a few levels of need in place of its scenarios, all sites low together or high together; capacity must be certain."""
    demand = np.quantile(posed.demand, LEVELS, axis=0, weights=np.broadcast_to(posed.weights[:, None, None, None], posed.demand.shape),
                         method="inverted_cdf")
    return replace(posed, demand=demand, weights=weigh_levels(np.array(LEVELS)), capacity_change=None)


def keep_resources(posed: Problem, kept: pd.Series) -> Problem:
    """The problem of some of the resources, which must not require others."""
    chosen, names = kept.to_numpy(), set(posed.resources.loc[kept, "resource"])
    tables = {name: getattr(posed, name) for name in ("stock", "levels", "orders", "shifts", "tiers")}
    return replace(posed, resources=posed.resources[kept].reset_index(drop=True), demand=posed.demand[:, :, chosen],
                   **{name: getattr(posed, name)[:, chosen] for name in ("capacity", "surge", "surge_lead_days")},
                   arrivals=None if posed.arrivals is None else posed.arrivals[:, chosen],
                   capacity_change=None if posed.capacity_change is None else posed.capacity_change[:, :, chosen],
                   **{name: table[table["resource"].isin(names)] for name, table in tables.items()})


def share_fairly(posed: Problem) -> Plan:
    """Plan so that the worst-served site is served as well as can be, then the next."""
    return solve_fair(posed, "max_min")


def imitate(view: View) -> Policy:
    """Make a policy whose moves of patients a network decides that learned from optimal plans; the rest follows the reactive rule.

    It learns once, in the first period it is asked in, from seasons made up around what is known then.
    """
    from medlib.learned.teach import learn_policy  # torch takes seconds to import
    learned = []

    def decide(posed: Problem) -> Decision:
        if not learned:
            learned.append(learn_policy(posed, seasons=120, practice=40, seed=view.seed))
        return learned[0].decide(posed)

    plan = replan(view, "levels", decide)

    def policy(period: int, state: State) -> Orders:
        beds, planned, rest = state.positions("bed"), plan(period, state), react(period, state)
        rest.surge[:, beds] = planned.surge[:, beds]
        return Orders([order for order in planned.moves if order.resource in beds] +
                      [order for order in rest.moves if order.resource not in beds], rest.surge)

    return policy
