"""Roll policies through what really happened, day by day, and compare them on the regret ladder.

Every policy begins a period by looking at that period's demand and capacity, then decides moves and surge, then the
period is settled. Nobody but perfect foresight sees later periods. All rungs share this clock and the same accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from medlib.allocate import Plan, Problem, Rules, Shipment, pose_problem, solve, solve_lexicographic
from medlib.calendar import extend, infer_period
from medlib.supply import project_capacity, spread_capacity

#: Policies in the order of the ladder, and their names for people.
RUNGS = {"do_nothing": "Do nothing", "reactive": "Reactive same-day rule", "point_forecast": "Plan with point forecast",
         "full_forecast": "Plan with full forecast", "perfect_foresight": "Perfect foresight"}
#: The reactive rule keeps so many periods of its own need of a drug before it gives away the rest.
DRUG_RESERVE = 7


@dataclass
class State:
    """What the world looks like at the start of a period because of earlier decisions.

    Parameters
    ----------
    truth : Problem
        What happens: one scenario, over the window.
    beyond : int
        Periods kept after the window, so that late effects of moves have a place.
    """

    truth: Problem
    beyond: int
    patients: np.ndarray = field(init=False)
    units: np.ndarray = field(init=False)
    requested: np.ndarray = field(init=False)
    stock: dict[tuple[int, int], list[list]] = field(init=False)
    due: list[tuple[int, int, int, object, float]] = field(init=False, default_factory=list)

    def __post_init__(self):
        sites, resources, periods = self.truth.capacity.shape
        shape = (sites, resources, periods + self.beyond)
        #: Patients here because of moves, units here because of moves, surge units asked for.
        self.patients, self.units, self.requested = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.stock = {(site, drug): [] for site in range(sites) for drug in self.positions("drug")}
        for row in self.truth.stock.assign(expires=pd.to_datetime(self.truth.stock["expires"])).itertuples():
            key = self.truth.sites.index(row.site), self.truth.names.index(row.resource)
            self.stock[key].append([row.expires, row.units])

    def positions(self, *kinds: str) -> list[int]:
        """Positions of the resources of these kinds."""
        return [number for number, kind in enumerate(self.truth.resources["kind"]) if kind in kinds]

    def needed(self, period: int) -> np.ndarray:
        """Shape (I, R): patients at beds and own demand of the rest, before today's moves."""
        return np.maximum(self.truth.demand[0, :, :, period] + self.patients[:, :, period], 0.0)

    def usable(self, period: int, surge: np.ndarray) -> np.ndarray:
        """Shape (I, R): units that may be planned today; drugs count what is on hand."""
        truth = self.truth
        usable = truth.occupancy * np.maximum(truth.capacity[:, :, period] + self.units[:, :, period] + surge, 0.0)
        for (site, drug), batches in self.stock.items():
            usable[site, drug] = sum(amount for _, amount in batches)
        return usable

    def receive(self, period: int) -> None:
        """Throw away expired drugs; take in deliveries and what other sites sent."""
        truth, date = self.truth, self.truth.dates[period]
        for (site, drug), batches in self.stock.items():
            life = truth.resources.get("shelf_life_days", pd.Series(np.nan, truth.resources.index)).iloc[drug]
            expires = pd.NaT if np.isnan(life) else date + pd.Timedelta(days=life)
            batches.append([expires, truth.capacity[site, drug, period]])
            batches += [[end, amount] for when, to, what, end, amount in self.due
                        if (when, to, what) == (period, site, drug)]
            batches[:] = [[end, amount] for end, amount in batches if amount > 0 and (pd.isna(end) or end > date)]

    def take(self, site: int, drug: int, amount: float, usable_on: pd.Timestamp, after: pd.Timestamp | None = None,
             by: pd.Timestamp | None = None) -> list[tuple[object, float]]:
        """Take units that can still be used on a date, first expired first out; returns (expires, units) of what was there.

        Batches that expire later than `after` and not later than `by` are taken before others.
        """
        def meant(expires) -> bool:
            never = pd.isna(expires)
            return (after is None or never or expires > after) and (by is None or (not never and expires <= by))

        taken = []
        for batch in sorted(self.stock[site, drug], key=lambda batch: (
                not meant(batch[0]), pd.Timestamp.max if pd.isna(batch[0]) else batch[0])):
            if batch[0] <= usable_on:
                continue
            part = min(batch[1], amount)
            batch[1] -= part
            amount -= part
            if part > 0:
                taken.append((batch[0], part))
        return taken


@dataclass
class Orders:
    """One period's decisions.

    Parameters
    ----------
    moves : list of Shipment
        What leaves today.
    surge : numpy.ndarray
        Shape (I, R): surge units used today.
    """

    moves: list[Shipment]
    surge: np.ndarray


Policy = Callable[[int, State], Orders]


@dataclass(frozen=True)
class Record:
    """What a policy did and what it led to.

    Parameters
    ----------
    short : numpy.ndarray
        Shape (I, R, T): units short.
    moves : pandas.DataFrame
        date, origin, destination, resource, amount, distance_km.
    surge : numpy.ndarray
        Shape (I, R, T): surge units used.
    """

    short: np.ndarray
    moves: pd.DataFrame
    surge: np.ndarray


def roll(truth: Problem, policy: Policy, beyond: int = 0) -> Record:
    """Roll one policy through the window.

    Parameters
    ----------
    truth : Problem
        What happens over the window, as one scenario.
    policy : callable
        Called as ``policy(period, state)`` after deliveries came in; returns `Orders`.
    beyond : int
        Periods after the window that the policy plans for.

    Returns
    -------
    Record
    """
    state, short, used = State(truth, beyond), np.zeros(truth.capacity.shape), np.zeros(truth.capacity.shape)
    moved = []
    for period in range(len(truth.dates)):
        state.receive(period)
        orders = policy(period, state)
        used[:, :, period] = np.minimum(orders.surge, truth.surge[:, :, period])
        moved += _carry_out(orders.moves, period, state)
        short[:, :, period] = _settle(period, state, used[:, :, period])
    columns = ["date", "origin", "destination", "resource", "amount", "distance_km"]
    return Record(short=short, moves=pd.DataFrame(moved, columns=columns), surge=used)


def _carry_out(moves: list[Shipment], period: int, state: State) -> list[tuple]:
    """Move what is really there; orders for more are cut in proportion."""
    truth, links = state.truth, state.truth.links
    days = (extend(truth.dates[0], infer_period(truth.dates), state.patients.shape[2] - 1) if len(truth.dates) > 1
            else truth.dates[:0])
    days = ((truth.dates[:1].append(days) - truth.dates[period]).days).to_numpy()
    there = np.where(np.isin(np.arange(len(truth.names)), state.positions("bed")), state.needed(period),
                     state.usable(period, np.zeros(truth.capacity.shape[:2])))
    wanted = np.zeros_like(there)
    ends = [(truth.sites.index(a), truth.sites.index(b)) for a, b in zip(links["origin"], links["destination"])]
    for order in moves:
        wanted[ends[order.link][0], order.resource] += order.amount
    possible = np.minimum(1.0, np.divide(there, wanted, out=np.ones_like(there), where=wanted > 0))
    done = []
    for order in moves:
        (origin, destination), link, resource = ends[order.link], order.link, order.resource
        amount = order.amount * possible[origin, resource]
        arrival = int(np.searchsorted(days, links["lead_days"].iloc[link]))
        if truth.resources["kind"].iloc[resource] == "bed":
            stay = truth.rules.survive(days)
            state.patients[origin, resource] -= amount * stay
            state.patients[destination, resource] += amount * stay
        elif truth.resources["kind"].iloc[resource] == "drug":
            # What would expire on the way stays.
            there_on = truth.dates[period] + pd.Timedelta(days=int(days[min(arrival, len(days) - 1)]))
            taken = state.take(origin, resource, amount, there_on, order.expires_after, order.expires_by)
            amount = sum(part for _, part in taken)
            for expires, part in taken:
                if arrival == period:
                    state.stock[destination, resource].append([expires, part])
                else:
                    state.due.append((arrival, destination, resource, expires, part))
        else:
            state.units[origin, resource, period:] -= amount
            state.units[destination, resource, arrival:] += amount
        if amount > 0:
            done.append((truth.dates[period], truth.sites[origin], truth.sites[destination], truth.names[resource], amount,
                         links["distance_km"].iloc[link]))
    return done


def _settle(period: int, state: State, surge: np.ndarray) -> np.ndarray:
    """Serve today's need with what is there; returns units short, shape (I, R)."""
    truth = state.truth
    usable, needed = state.usable(period, surge), state.needed(period)
    short = np.zeros_like(needed)
    for bed in state.positions("bed"):
        short[:, bed] = np.maximum(needed[:, bed] - usable[:, bed], 0.0)
        for name, share in truth.requires.get(truth.names[bed], {}).items():
            needed[:, truth.names.index(name)] += share * (needed[:, bed] - short[:, bed])
    for resource in state.positions("staff", "equipment", "drug"):
        short[:, resource] = np.maximum(needed[:, resource] - usable[:, resource], 0.0)
    for (site, drug) in state.stock:
        state.take(site, drug, needed[site, drug], truth.dates[period])
    return np.where(short < 1e-6, 0.0, short)


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
    for bed in state.positions("bed"):
        for name, share in truth.requires.get(truth.names[bed], {}).items():
            needed[:, truth.names.index(name)] += share * np.minimum(needed[:, bed], usable[:, bed])
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


def lead_periods(truth: Problem) -> np.ndarray:
    """Shape (I, R): periods from asking for surge until it can be used."""
    step = (truth.dates[1] - truth.dates[0]).days if len(truth.dates) > 1 else 1
    return np.ceil(truth.surge_lead_days / step).astype(int)


def follow(plan: Plan) -> Policy:
    """Make a policy that carries out a plan as written, from its first period on, and never revises it."""
    surge = _read_surge(plan)

    def policy(period: int, state: State) -> Orders:
        return Orders([order for order in plan.shipments if order.period == period], surge[:, :, period])

    return policy


def _read_surge(plan: Plan) -> np.ndarray:
    surge = np.zeros(plan.problem.surge.shape)
    for key, variable in plan.model.surge.items():
        surge[key] = max(variable.varValue or 0.0, 0.0)
    return surge


def replan(forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int) -> Policy:
    """Make a policy that plans anew each period and carries out the first period of the plan.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        Forecasts as of every period of the window; several quantiles make a plan with the full forecast.
    capacity : pandas.DataFrame
        The `capacity` table; only rows up to the period at hand are looked at.
    horizon : int
        Periods planned, today's included.

    Returns
    -------
    callable
        A `Policy`.
    """
    def policy(period: int, state: State) -> Orders:
        problem = _look_ahead(forecasts, capacity, horizon, period, state)
        plan = solve(problem)
        planned = _read_surge(plan)
        for (site, resource), wait in np.ndenumerate(lead_periods(state.truth)):
            if 0 < wait < len(problem.dates):
                state.requested[site, resource, period + wait] = planned[site, resource, wait]
        return Orders([order for order in plan.shipments if order.period == 0], planned[:, :, 0])

    return policy


def _look_ahead(forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int, period: int, state: State) -> Problem:
    """Pose today's problem: today as it is, later periods as forecast, both as changed by earlier decisions."""
    truth, today = state.truth, state.truth.dates[period]
    ahead = forecasts[forecasts["as_of"] == today]
    later = pd.DatetimeIndex(np.sort(ahead["date"].unique()))[:horizon - 1]
    expected = pd.concat([spread_capacity(capacity[_known(capacity, today)], truth.dates[[period]]),
                          project_capacity(capacity, today, later)] if len(later) else
                         [spread_capacity(capacity[_known(capacity, today)], truth.dates[[period]])])
    seen = pd.concat([ahead[ahead["date"].isin(later)]] + [
        _today(truth, period).assign(quantile=level) for level in ahead["quantile"].unique()])
    problem = pose_problem(pd.DataFrame({"site": truth.sites}), truth.resources, truth.links, seen, expected, truth.rules,
                           stock=_list_stock(state, period))
    span = slice(period, period + len(problem.dates))
    drugs = state.positions("drug")
    supply = np.maximum(problem.capacity + state.units[:, :, span], 0.0)
    supply[:, drugs, 0] = 0.0  # today's delivery is in the stock already
    wait, ahead_by = lead_periods(truth)[:, :, None], np.arange(len(problem.dates))
    surge = np.where(ahead_by < wait, np.minimum(state.requested[:, :, span], problem.surge.max(axis=2, keepdims=True)),
                     problem.surge)
    return replace(problem, demand=np.maximum(problem.demand + state.patients[:, :, span], 0.0), capacity=supply,
                   surge=surge)


def _known(capacity: pd.DataFrame, date: pd.Timestamp) -> pd.Series:
    if "date" not in capacity:
        return pd.Series(True, capacity.index)
    return capacity["date"].isna() | (capacity["date"] <= date)


def _today(truth: Problem, period: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([truth.sites, truth.names], names=["site", "resource"])
    return pd.DataFrame({"demand": truth.demand[0, :, :, period].reshape(-1)}, index=index).reset_index().assign(
        date=truth.dates[period])


def _list_stock(state: State, period: int) -> pd.DataFrame:
    """What is on hand, and what is on its way and arrives later than this period, as `Problem.stock`."""
    truth, columns = state.truth, ["site", "resource", "expires", "arrives", "units"]
    rows = [(truth.sites[site], truth.names[drug], expires, pd.NaT, amount)
            for (site, drug), batches in state.stock.items() for expires, amount in batches if amount > 0]
    grid = truth.dates[:1].append(extend(truth.dates[0], infer_period(truth.dates), len(truth.dates) + state.beyond)
                                  ) if state.due else truth.dates
    rows += [(truth.sites[site], truth.names[drug], expires, grid[when], amount)
             for when, site, drug, expires, amount in state.due if period < when < len(grid)]
    return pd.DataFrame(rows, columns=columns)


def count_stock(demand: pd.DataFrame, capacity: pd.DataFrame, sites: pd.DataFrame, resources: pd.DataFrame,
                until: pd.Timestamp) -> pd.DataFrame:
    """Count the drugs on hand after a date by rolling deliveries and use from the beginning, first expired first out.

    Parameters
    ----------
    demand, capacity, sites, resources : pandas.DataFrame
        The tables; rows later than `until` are not looked at.
    until : pandas.Timestamp
        Last date counted.

    Returns
    -------
    pandas.DataFrame
        As `Problem.stock`. Empty shelves are assumed at the beginning.
    """
    drugs = resources[resources["kind"] == "drug"].reset_index(drop=True)
    past = demand[(demand["date"] <= until) & demand["resource"].isin(drugs["resource"])]
    if past.empty:
        return pd.DataFrame({"site": [], "resource": [], "expires": [], "arrives": [], "units": []})
    no_links = pd.DataFrame({"origin": [], "destination": [], "distance_km": []})
    dates = pd.DatetimeIndex(np.sort(past["date"].unique()))
    mine = capacity[capacity["resource"].isin(drugs["resource"])]
    truth = pose_problem(sites, drugs, no_links, past[["date", "site", "resource", "demand"]],
                         spread_capacity(mine[_known(mine, until)], dates), Rules())
    state = State(truth, 0)
    for period in range(len(dates)):
        state.receive(period)
        for site, drug in state.stock:
            state.take(site, drug, truth.demand[0, site, drug, period], dates[period])
    return _list_stock(state, len(dates))


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
    pooled = replace(truth, sites=("everywhere",), demand=truth.demand.sum(axis=1, keepdims=True),
                     capacity=truth.capacity.sum(axis=0, keepdims=True), surge=truth.surge.sum(axis=0, keepdims=True),
                     surge_lead_days=truth.surge_lead_days.max(axis=0, keepdims=True), links=truth.links.iloc[:0],
                     stock=truth.stock.assign(site="everywhere"))
    return solve_lexicographic(pooled).mean_short.sum(axis=(0, 2))


def climb(truth: Problem, forecasts: pd.DataFrame, capacity: pd.DataFrame, horizon: int) -> dict[str, Record]:
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

    Returns
    -------
    dict of str to Record
        By rung, in the order of `RUNGS`.
    """
    median = forecasts[forecasts["quantile"] == 0.5]
    policies = {"do_nothing": do_nothing, "reactive": react, "point_forecast": replan(median, capacity, horizon),
                "full_forecast": replan(forecasts, capacity, horizon),
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
    return pd.concat(frames).sort_values(["rung", "date", "site", "resource"], ignore_index=True).round(4)
