"""Made-up seasons of a real network of sites: waves of patients, and forecasts as they would have been made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import ndtri

from medlib.allocate import Problem, weigh_levels
from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.schema import empty

#: Periods before a season starts, so that those who fell ill before are there.
BEFORE = 40
#: What all sites together need at a season's peak, relative to their room: least and most.
PEAK = (0.6, 1.05)
#: Of the quantiles in made-up forecasts.
LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Seasons:
    """Made-up seasons of one bed resource: what happens if nobody is moved, and what is forecast.

    Parameters
    ----------
    posed : Problem
        The network: sites, links, rules, capacity, and how long patients stay.
    resource : int
        Position of the bed resource.
    demand : numpy.ndarray
        Shape (N, I, T + ahead): patients there, if nobody is moved.
    arrivals : numpy.ndarray
        Shape (N, I, T + ahead): patients who arrive.
    error : numpy.ndarray
        Shape (N, T, I): how far a forecast's median lies below what comes, in its own standard deviations.
    noise : numpy.ndarray
        Shape (N,): standard deviation of the log of a forecast one period ahead; it grows with the square root of the distance.
    periods : int
        T.
    """

    posed: Problem
    resource: int
    demand: np.ndarray
    arrivals: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    periods: int

    @property
    def room(self) -> np.ndarray:
        """Shape (I,): beds that may be planned."""
        return self.posed.occupancy[self.resource] * self.posed.mean_capacity[:, self.resource].mean(axis=1)

    @property
    def surge(self) -> np.ndarray:
        """Shape (I,): beds that surge could add."""
        return self.posed.occupancy[self.resource] * self.posed.surge[:, self.resource].max(axis=1)

    @property
    def limited(self) -> bool:
        """Only those who arrive may be sent."""
        return self.posed.arrivals is not None and bool(np.isfinite(self.posed.arrivals[:, self.resource]).any())

    @property
    def stay(self) -> np.ndarray:
        """Shape (T + ahead,): share of patients who are still there so many periods after they came."""
        return list_stay(self.posed, self.resource, self.demand.shape[2])

    def forecast(self, ahead: np.ndarray) -> np.ndarray:
        """Quantiles as of every period, shape (N, T, L, H, I), so many periods ahead (H,)."""
        return np.array([[self._see(season, period, ahead) for period in range(self.periods)] for season in range(len(self.demand))])

    def _see(self, season: int, period: int, ahead: np.ndarray) -> np.ndarray:
        """Quantiles as of one period, shape (L, H, I)."""
        comes = self.demand[season][:, period + ahead].T
        spread = self.noise[season] * np.sqrt(ahead)[:, None]
        return comes * np.exp(spread * (ndtri(LEVELS)[:, None, None] - self.error[season, period]))

    def pose_truth(self, season: int, occupancy: float = 1.0) -> Problem:
        """The problem of a whole season with everything known; `occupancy` is the share of the room that is planned with."""
        return self._pose(self.demand[[season], :, :self.periods], self.arrivals[season][:, :self.periods], occupancy)

    def pose_forecast(self, season: int, period: int, horizon: int, moved: np.ndarray | float = 0.0) -> Problem:
        """The problem as a planner would see it in one period: a scenario a quantile.

        Patients `moved` (I, horizon) before are there or away for certain; of arrivals only today's are known, later ones stay as many.
        """
        seen = np.maximum(self._see(season, period, np.arange(horizon)).transpose(0, 2, 1) + moved, 0.0)
        return self._pose(seen, np.repeat(self.arrivals[season][:, [period]], horizon, axis=1))

    @cached_property
    def alone(self) -> Problem:
        """The network with this resource only, rooms and surge as they are on average, in one period."""
        posed, place = self.posed, self.resource
        name = posed.names[place]
        return replace(
            posed, resources=posed.resources.iloc[[place]].drop(columns="requires", errors="ignore").reset_index(drop=True),
            dates=posed.dates[:1], demand=posed.demand[:1, :, [place], :1], weights=np.ones(1), arrivals=None, capacity_change=None,
            capacity=posed.mean_capacity[:, [place]].mean(axis=2, keepdims=True), surge=posed.surge[:, [place]].max(axis=2, keepdims=True),
            surge_lead_days=np.zeros((len(posed.sites), 1)), tiers=posed.tiers[posed.tiers["resource"] == name], stock=empty("stock"),
            stay=posed.courses[lambda rows: (rows["resource"] == name) & (rows["occupies"] == name)] if len(posed.stay) else posed.stay,
            orders=empty("orders"), shifts=empty("shifts"), levels=empty("surge_levels"))

    def _pose(self, demand: np.ndarray, arrivals: np.ndarray, occupancy: float = 1.0) -> Problem:
        """Demand (S, I, T) and arrivals (I, T) as a problem."""
        first, periods = self.posed.dates[:1], demand.shape[2]
        dates = first.append(extend(first[0], infer_period(self.posed.dates), periods - 1))
        return replace(self.alone, dates=dates, demand=demand[:, :, None],
                       weights=weigh_levels(np.array(LEVELS)) if len(demand) > 1 else np.ones(1),
                       capacity=occupancy * self.alone.capacity.repeat(periods, axis=2), surge=self.alone.surge.repeat(periods, axis=2),
                       arrivals=arrivals[:, None] if self.limited else None)


def list_stay(posed: Problem, resource: int, periods: int) -> np.ndarray:
    """Shape (periods,): share of the patients of a bed resource who are there so many periods later; beyond the last period: none."""
    step = (posed.dates[1] - posed.dates[0]).days if len(posed.dates) > 1 else 1
    return posed.follow(posed.names[resource], posed.names[resource], np.arange(periods) * step)


def draw_seasons(posed: Problem, resource: int, count: int, periods: int = 28, ahead: int = 14, height: float = 1.0,
                 seed: int = 1) -> Seasons:
    """Draw seasons that a network of sites may go through.

    Sites share the load about as the problem expects; a wave comes to all of them, to each earlier or later and higher or lower, and each
    has ups and downs of its own. At its peak all sites together need 60 to 105 % of their room: more is beyond help, with less there is
    nothing to learn. Those who arrive are counts.

    Parameters
    ----------
    posed : Problem
        Gives sites, links, rules, capacity, stays and the mean demand to start from.
    resource : int
        Position of a bed resource.
    count, periods : int
        Seasons, and periods of each.
    ahead : int
        Periods more, for forecasts to look at.
    height : float
        By this all load is higher.
    seed : int

    Returns
    -------
    Seasons

    Raises
    ------
    MedlibError
        The resource is no bed, or there are fewer than two periods to read the calendar from.
    """
    if resource not in posed.at.beds or len(posed.dates) < 2:
        raise MedlibError(f"Seasons are drawn of a bed resource over at least two periods; got {posed.names[resource]!r} over "
                          f"{len(posed.dates)}.")
    random, sites = np.random.default_rng([seed, resource]), len(posed.sites)
    span, stay = BEFORE + periods + ahead, list_stay(posed, resource, BEFORE + periods + ahead)
    usual = np.maximum(posed.mean_demand[:, resource].mean(axis=1), 0.05 * posed.capacity[:, resource, 0]) + 0.1
    own = np.cumsum(random.normal(0, 0.03, (count, sites, span)), axis=2)
    shares = usual * random.lognormal(0, 0.25, (count, sites))
    rate = shares[:, :, None] * np.exp(own) * (1 + _draw_waves(random, count, sites, span))
    room = posed.occupancy[resource] * posed.mean_capacity[:, resource].mean(axis=1).sum()
    load = _follow(rate, stay)[:, :, BEFORE:BEFORE + periods].sum(axis=1).max(axis=1) / room
    rate *= (random.uniform(*PEAK, count) * height / load)[:, None, None]
    came = random.poisson(rate).astype(float)
    # Whoever came before the span began leaves as in a steady state.
    there = np.maximum(_follow(came, stay) + _leave(rate, stay), 0.0)
    error = _draw_errors(random, count, periods, sites)
    return Seasons(posed, resource, there[:, :, BEFORE:], came[:, :, BEFORE:], error, random.uniform(0.02, 0.10, count), periods)


def _follow(came: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """Patients there, of those who came, by period."""
    return fftconvolve(came, stay[None, None], axes=2)[:, :, :came.shape[2]]


def _leave(rate: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """Patients there of those who came before the first period, always as many as in it."""
    return np.append(np.cumsum(stay[::-1])[::-1][1:], 0.0) * rate[:, :, :1]


def _draw_waves(random: np.random.Generator, count: int, sites: int, span: int) -> np.ndarray:
    """Shape (count, sites, span): what waves add, as a share of the arrivals without."""
    peak = random.uniform(0, span + 10, (count, 1)) + random.normal(0, 6, (count, sites))
    width = random.uniform(8, 25, (count, 1, 1))
    most = random.exponential(0.7, (count, 1)) * random.lognormal(0, 0.4, (count, sites))
    return most[:, :, None] * np.exp(-0.5 * ((np.arange(span) - peak[:, :, None]) / width) ** 2)


def _draw_errors(random: np.random.Generator, count: int, periods: int, sites: int) -> np.ndarray:
    """Shape (count, periods, sites): standard normal, half of it common to all sites, each period much like the one before."""
    memory = 0.8
    drawn = np.sqrt(0.5) * (random.normal(size=(count, periods, 1)) + random.normal(size=(count, periods, sites)))
    for period in range(1, periods):
        drawn[:, period] = memory * drawn[:, period - 1] + np.sqrt(1 - memory**2) * drawn[:, period]
    return drawn
