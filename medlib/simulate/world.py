"""The world that policies act on: what is where because of earlier decisions, and what a period's decisions lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medlib.allocate import Problem, Rules, Shipment, pose_problem, sort_by_need
from medlib.allocate.patients import limit_senders
from medlib.calendar import extend, infer_period
from medlib.supply import is_known, spread_capacity


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
    known: np.ndarray = field(init=False)
    stock: dict[tuple[int, int], list[list]] = field(init=False)
    due: list[tuple[int, int, int, object, float]] = field(init=False, default_factory=list)

    def __post_init__(self):
        sites, resources, periods = self.truth.capacity.shape
        shape = (sites, resources, periods + self.beyond)
        #: Patients here because of moves, units here because of moves, surge units asked for.
        self.patients, self.units, self.requested = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        #: Where arrivals are known: who of those of before, and of those who have arrived, will still be there.
        self.known = _keep_before(self.truth, self.beyond)
        self.stock = {(site, drug): [] for site in range(sites) for drug in self.positions("drug")}
        for row in self.truth.stock.assign(expires=pd.to_datetime(self.truth.stock["expires"])).itertuples():
            key = self.truth.sites.index(row.site), self.truth.names.index(row.resource)
            if pd.isna(row.arrives):
                self.stock[key].append([row.expires, row.units])
            else:
                self.due.append((int(self.truth.dates.searchsorted(row.arrives)), *key, row.expires, row.units))

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

    def count_days(self, period: int) -> np.ndarray:
        """Shape (periods and those beyond,): days since a period, negative before it."""
        dates, count = self.truth.dates, self.patients.shape[2]
        grid = dates[:1].append(extend(dates[0], infer_period(dates), count - 1)) if len(dates) > 1 else dates
        return (grid - dates[period]).days.to_numpy()

    def receive(self, period: int) -> None:
        """Admit patients; throw away expired drugs; take in deliveries and what other sites sent."""
        truth, date = self.truth, self.truth.dates[period]
        for entered in np.flatnonzero(list_limited(truth)):
            for occupied in truth.at.beds:
                stay = truth.follow(truth.names[entered], truth.names[occupied], self.count_days(period))
                self.known[:, occupied] += truth.arrivals[:, entered, period, None] * stay
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


def list_limited(truth: Problem) -> np.ndarray:
    """Shape (R,): beds whose patients may be sent on the day they arrive only."""
    return limit_senders(truth).any(axis=(0, 2))


def _keep_before(truth: Problem, beyond: int) -> np.ndarray:
    """Shape (I, R, periods and those beyond): patients of before who are still there, 0 where arrivals are not known."""
    sites, resources, periods = truth.capacity.shape
    kept, limited = np.zeros((sites, resources, periods + beyond)), list_limited(truth)
    if not limited.any():
        return kept
    arrived = np.zeros(truth.capacity.shape)
    for entered in np.flatnonzero(limited):
        for occupied in truth.at.beds:
            arrived[:, occupied] += truth.arrivals[:, entered] @ truth.at.survival[entered, occupied].T
    kept[..., :periods] = np.where(limited[:, None], np.maximum(truth.demand[0] - arrived, 0.0), 0.0)
    if periods > 1 and beyond:
        # After the window they go on leaving as in its last period.
        last, before = kept[..., periods - 1, None], kept[..., periods - 2, None]
        stays = np.divide(last, before, out=np.zeros_like(last), where=before > 0).clip(max=1.0)
        kept[..., periods:] = last * stays ** np.arange(1, beyond + 1)
    return kept


def list_movable(period: int, state: State) -> np.ndarray:
    """Shape (I, R): patients or units that may leave a site today."""
    truth = state.truth
    bed = np.isin(np.arange(len(truth.names)), state.positions("bed"))
    there = np.where(bed, state.needed(period), state.usable(period, np.zeros(truth.capacity.shape[:2])))
    return there if truth.arrivals is None else np.minimum(there, truth.arrivals[:, :, period])


def _carry_out(moves: list[Shipment], period: int, state: State) -> list[tuple]:
    """Move what is really there; orders for more are cut in proportion."""
    truth, links = state.truth, state.truth.links
    days, there = state.count_days(period), list_movable(period, state)
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
            for occupied in truth.at.beds:
                stay = truth.follow(truth.names[resource], truth.names[occupied], days)
                state.patients[origin, occupied] -= amount * stay
                state.patients[destination, occupied] += amount * stay
            # On the day of a handover a bed is needed at both ends.
            state.patients[origin, resource, period] += amount * truth.rules.handover_days
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
    for resource in sort_by_need(truth.requires, truth.names):
        short[:, resource] = np.maximum(needed[:, resource] - usable[:, resource], 0.0)
        for name, share in truth.requires.get(truth.names[resource], {}).items():
            needed[:, truth.names.index(name)] += share * (needed[:, resource] - short[:, resource])
    for (site, drug) in state.stock:
        state.take(site, drug, needed[site, drug], truth.dates[period])
    return np.where(short < 1e-6, 0.0, short)


def lead_periods(truth: Problem) -> np.ndarray:
    """Shape (I, R): periods from asking for surge until it can be used."""
    return np.ceil(truth.surge_lead_days / count_step(truth)).astype(int)


def count_step(truth: Problem) -> int:
    """Days of a period."""
    return (truth.dates[1] - truth.dates[0]).days if len(truth.dates) > 1 else 1


def list_stock(state: State, period: int) -> pd.DataFrame:
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
                         spread_capacity(mine[is_known(mine, until)], dates), Rules())
    state = State(truth, 0)
    for period in range(len(dates)):
        state.receive(period)
        for site, drug in state.stock:
            state.take(site, drug, truth.demand[0, site, drug, period], dates[period])
    return list_stock(state, len(dates))
