"""What a planning policy sees: today as it is, later periods as forecast, both as changed by earlier decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medlib.allocate import Problem, pose_problem
from medlib.errors import MedlibError
from medlib.scenarios import draw_scenarios, measure_errors
from medlib.simulate.world import State, lead_periods, list_limited, list_stock
from medlib.supply import KEYS, is_known, project_capacity, spread_capacity

#: How the periods ahead enter a problem: the median only; every level of the forecast (all sites low together or high together);
#: joint scenarios that keep how sites and periods went together.
WAYS = ("point", "levels", "scenarios")
#: Capacity's own series among those that scenarios are drawn for.
CAPACITY = "capacity of "


@dataclass(frozen=True)
class View:
    """Forecasts as of every period of a window, and how a problem is made of them.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        Forecasts as of every period of the window. Where the truth limits who may be sent to those who arrive, forecasts of
        arrivals.
    capacity : pandas.DataFrame
        The `capacity` table; only rows up to the period at hand are looked at.
    horizon : int
        Periods planned, today's included.
    expected : pandas.DataFrame, optional
        Capacity forecasts as of every period, as from `medlib.outlook.forecast_capacity`. Left out: last week's pattern goes on, for
        certain.
    correlation : float
        Of demand and capacity, where levels of both are paired; see `medlib.allocate.weigh_pairs`.
    history : pandas.DataFrame, optional
        What is forecast, as it was (a `demand` table); rows later than the period at hand are not looked at. Its past errors tell how
        sites and periods go together, so scenarios need it.
    levels : sequence of float, optional
        Levels of capacity that are paired with those of demand; left out: all of `expected`.
    count : int
        Scenarios drawn.
    seed : int
        Of the scenarios.
    """

    forecasts: pd.DataFrame
    capacity: pd.DataFrame
    horizon: int
    expected: pd.DataFrame | None = None
    correlation: float = 0.0
    history: pd.DataFrame | None = None
    levels: tuple[float, ...] | None = None
    count: int = 100
    seed: int = 1

    def pose(self, period: int, state: State, way: str = "levels", hedged: int | None = None) -> Problem:
        """Pose the problem of a period.

        Parameters
        ----------
        period : int
        state : State
        way : str
            One of `WAYS`.
        hedged : int, optional
            Periods ahead in which scenarios differ; later ones expect the median. Left out: all.

        Raises
        ------
        MedlibError
            The way is unknown, or scenarios are wanted without a history.
        """
        if way not in WAYS:
            raise MedlibError(f"A problem is posed by {', '.join(WAYS)}; got {way!r}.")
        truth, today = state.truth, state.truth.dates[period]
        ahead = self.forecasts[self.forecasts["as_of"] == today]
        later = pd.DatetimeIndex(np.sort(ahead["date"].unique()))[:self.horizon - 1]
        ahead, coming = ahead[ahead["date"].isin(later)], self._list_capacity(today, later)
        shown, take = (ahead, self._take_levels) if way == "levels" else (_take_median(ahead), _take_median)
        seen = pd.concat([shown] + [_list_today(truth, period).assign(quantile=level) for level in shown["quantile"].unique()]
                         if len(later) else [_list_today(truth, period).assign(quantile=0.5)])
        there = spread_capacity(self.capacity[is_known(self.capacity, today)], truth.dates[[period]])
        if self.expected is not None:
            there = there.merge(take(self.expected[["quantile"]].drop_duplicates()), how="cross")
        posed = pose_problem(pd.DataFrame({"site": truth.sites}), truth.resources, truth.links, seen, pd.concat([there, take(coming)]),
                             truth.rules, stock=list_stock(state, period), correlation=self.correlation)
        if way == "scenarios" and len(later):
            posed = self._draw(posed, ahead, coming, today)
        if hedged is not None:
            posed = expect_middle(posed, hedged)
        return change_by_decisions(admit_patients(posed, period, state), period, state)

    def _list_capacity(self, today: pd.Timestamp, later: pd.DatetimeIndex) -> pd.DataFrame:
        """What may be counted on after today."""
        if not len(later):
            return spread_capacity(self.capacity, later)
        if self.expected is None:
            return project_capacity(self.capacity, today, later)
        return self.expected[(self.expected["as_of"] == today) & self.expected["date"].isin(later)]

    def _take_levels(self, coming: pd.DataFrame) -> pd.DataFrame:
        return coming if self.levels is None or "quantile" not in coming else coming[coming["quantile"].isin(self.levels)]

    def _draw(self, posed: Problem, ahead: pd.DataFrame, coming: pd.DataFrame, today: pd.Timestamp) -> Problem:
        """Put joint scenarios of demand and capacity in the place of the medians, today's excepted."""
        if self.history is None:
            raise MedlibError("Scenarios need the history of what is forecast; give it, or plan with levels.")
        wanted = ahead[[*KEYS, "quantile", "demand"]]
        supply = _find_uncertain(coming)
        if len(supply):
            wanted = pd.concat([wanted, supply])
        drawn = draw_scenarios(wanted, self._measure(today, len(posed.dates) - 1, frozenset(supply["resource"].unique())), self.count, self.seed)
        demand = np.repeat(posed.demand, len(drawn.weights), axis=0)
        change = np.zeros(demand.shape)
        names = drawn.series["resource"].str.removeprefix(CAPACITY)
        site, resource = pd.Index(posed.sites).get_indexer(drawn.series["site"]), pd.Index(posed.names).get_indexer(names)
        for values, place, what in zip(drawn.values.swapaxes(0, 1), zip(site, resource), drawn.series["resource"]):
            if what.startswith(CAPACITY):
                change[:, *place, 1:] = values - posed.capacity[*place, 1:]
            else:
                demand[:, *place, 1:] = values
        return replace(posed, demand=demand, weights=drawn.weights, capacity_change=change if change.any() else None)

    def _measure(self, today: pd.Timestamp, periods: int, supplies: frozenset[str]) -> np.ndarray:
        """Past errors of all series that scenarios are drawn for."""
        known = self.history.loc[self.history["date"] <= today, [*KEYS, "demand"]]
        if supplies:
            grid = pd.DatetimeIndex(known["date"].unique()).sort_values()
            past = spread_capacity(self.capacity[is_known(self.capacity, today)], grid).rename(columns={"capacity": "demand"})
            past = past.assign(resource=CAPACITY + past["resource"])
            known = pd.concat([known, past.loc[past["resource"].isin(supplies), [*KEYS, "demand"]]])
        return measure_errors(known, periods)


def expect_middle(posed: Problem, hedged: int) -> Problem:
    """Let scenarios differ in the next periods only; after that all expect the median.

    Moves are decided anew every period. What a decision of tomorrow can still answer need not be guarded against today; a program in
    which all moves are made now, whatever comes, would guard against it with all its might.
    """
    later = np.arange(len(posed.dates)) > hedged

    def settle(units: np.ndarray) -> np.ndarray:
        return np.where(later, find_median(units, posed.weights), units)

    change = posed.capacity_change
    return replace(posed, demand=settle(posed.demand), capacity_change=None if change is None else settle(change))


def find_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted median over the first axis."""
    order = np.argsort(values, axis=0)
    reached = np.cumsum(weights[order], axis=0) >= 0.5 - 1e-9
    return np.take_along_axis(values, np.take_along_axis(order, reached.argmax(axis=0)[None], axis=0), axis=0)[0]


def admit_patients(posed: Problem, period: int, state: State) -> Problem:
    """Where only those who arrive may be sent: forecasts are of arrivals; who is there already, and who comes, needs a bed for a stay."""
    truth, limited = state.truth, list_limited(state.truth)
    if not limited.any():
        return posed
    today, coming = np.arange(len(posed.dates)) == 0, np.where(limited[:, None], posed.demand, 0.0)
    coming[..., 0] = np.where(limited, truth.arrivals[:, :, period], 0.0)
    demand = np.where(limited[:, None], state.known[:, :, period:period + len(posed.dates)], posed.demand)
    posed = replace(posed, stay=truth.stay)
    for entered in np.flatnonzero(limited):
        for occupied in posed.at.beds:
            demand[:, :, occupied] += np.where(today, 0.0, coming[:, :, entered]) @ posed.at.survival[entered, occupied].T
    return replace(posed, demand=demand, arrivals=np.where(limited[:, None], np.tensordot(posed.weights, coming, 1), np.inf))


def change_by_decisions(posed: Problem, period: int, state: State) -> Problem:
    """What earlier decisions changed: patients and units elsewhere, surge asked for in time."""
    truth, span = state.truth, slice(period, period + len(posed.dates))
    units = state.units[:, :, span]
    capacity, change = np.maximum(posed.capacity + units, 0.0), posed.capacity_change
    if change is not None:
        change = np.maximum(posed.scenario_capacity + units, 0.0) - capacity
    capacity[:, state.positions("drug"), 0] = 0.0  # today's delivery is in the stock already
    wait, ahead = lead_periods(truth)[:, :, None], np.arange(len(posed.dates))
    surge = np.where(ahead < wait, np.minimum(state.requested[:, :, span], posed.surge.max(axis=2, keepdims=True)), posed.surge)
    return replace(posed, demand=np.maximum(posed.demand + state.patients[:, :, span], 0.0), capacity=capacity, capacity_change=change,
                   surge=surge)


def _take_median(quantiles: pd.DataFrame) -> pd.DataFrame:
    return quantiles[quantiles["quantile"] == 0.5] if "quantile" in quantiles else quantiles


def _find_uncertain(coming: pd.DataFrame) -> pd.DataFrame:
    """Capacity whose levels differ, as series of their own beside those of demand."""
    if "quantile" not in coming:
        return pd.DataFrame(columns=[*KEYS, "quantile", "demand"])
    spread = coming.groupby(KEYS)["capacity"].agg(np.ptp).groupby(["site", "resource"]).max()
    uncertain = coming.merge(spread[spread > 0].rename("spread").reset_index())
    return uncertain.assign(resource=CAPACITY + uncertain["resource"], demand=uncertain["capacity"])[[*KEYS, "quantile", "demand"]]


def _list_today(truth: Problem, period: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([truth.sites, truth.names], names=["site", "resource"])
    return pd.DataFrame({"demand": truth.demand[0, :, :, period].reshape(-1)}, index=index).reset_index().assign(
        date=truth.dates[period])
