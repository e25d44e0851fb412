"""The allocation question as frozen arrays: who needs what when, what is there, and which rules hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from medlib.errors import MedlibError
from medlib.schema import parse_requires

#: Shape of the Weibull length of stay of intensive-care patients (Lewnard et al. 2020, doi:10.1136/bmj.m1923, as used by
#: Parker et al., arXiv:2011.03528); their scale of 13.32 days means a stay of 12.0 days.
STAY_SHAPE = 1.58


@dataclass(frozen=True)
class Rules:
    """What a plan may do and what its parts cost.

    Parameters
    ----------
    planning_occupancy : float
        Share of beds that may be planned, in (0, 1]; patients above it count as short. Other resources are planned whole.
    max_distance_km : float
        Longest link used.
    transfers_per_day, transfers_per_site_day : float
        Most moves a day of each resource but drugs, in the whole network, and in and out of one site together.
    shortage_cost : float
        Cost points of one unit-day short (times the resource's shortage weight).
    move_cost, cost_per_km : float
        Cost points of one move, and of each of its kilometres. The link's own cost comes on top.
    surge_cost : float
        Cost points of one surge unit open for one period.
    los_days : float
        Mean stay of a moved patient at the destination, in days.
    integer : bool
        Only whole patients and units move.
    """

    planning_occupancy: float = 0.90
    max_distance_km: float = 300.0
    transfers_per_day: float = 60.0
    transfers_per_site_day: float = 10.0
    shortage_cost: float = 100.0
    move_cost: float = 1.0
    cost_per_km: float = 0.02
    surge_cost: float = 5.0
    los_days: float = 12.0
    integer: bool = False

    def __post_init__(self):
        if not 0 < self.planning_occupancy <= 1:
            raise MedlibError(f"planning_occupancy must lie in (0, 1]; got {self.planning_occupancy}.")
        if not self.los_days > 0:
            raise MedlibError(f"los_days must be above 0; got {self.los_days}.")
        for name in ("max_distance_km", "transfers_per_day", "transfers_per_site_day", "shortage_cost", "move_cost",
                     "cost_per_km", "surge_cost"):
            if not getattr(self, name) >= 0:
                raise MedlibError(f"{name} must be at least 0; got {getattr(self, name)}.")

    def survive(self, days: np.ndarray) -> np.ndarray:
        """Probability that a moved patient is still there so many days after the move (0 for negative days)."""
        scale = self.los_days / math.gamma(1 + 1 / STAY_SHAPE)
        days = np.asarray(days, float)
        return np.where(days < 0, 0.0, np.exp(-((np.maximum(days, 0.0) / scale) ** STAY_SHAPE)))


@dataclass(frozen=True)
class Problem:
    """One allocation question. Axes: scenario (S), site (I), resource (R), period (T), always in the order of the names.

    Parameters
    ----------
    sites : tuple of str
    resources : pandas.DataFrame
        The `resources` table.
    dates : pandas.DatetimeIndex
        The periods.
    demand : numpy.ndarray
        Shape (S, I, R, T): units needed.
    weights : numpy.ndarray
        Shape (S,): probability of each scenario.
    capacity : numpy.ndarray
        Shape (I, R, T): units in place; for drugs units delivered.
    surge : numpy.ndarray
        Shape (I, R, T): most surge units that can be open, 0 where there is no time left to open them.
    surge_lead_days : numpy.ndarray
        Shape (I, R).
    links : pandas.DataFrame
        The `links` table, within the rules' distance.
    rules : Rules
    stock : pandas.DataFrame
        Drugs on hand or on their way at the start: site, resource, expires (first date they can't be used; NaT never),
        arrives (date they can be used from; NaT at once), units.
    """

    sites: tuple[str, ...]
    resources: pd.DataFrame
    dates: pd.DatetimeIndex
    demand: np.ndarray
    weights: np.ndarray
    capacity: np.ndarray
    surge: np.ndarray
    surge_lead_days: np.ndarray
    links: pd.DataFrame
    rules: Rules
    stock: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"site": [], "resource": [], "expires": [], "arrives": [], "units": []}))

    def __post_init__(self):
        shape = (len(self.sites), len(self.resources), len(self.dates))
        if not len(self.dates):
            raise MedlibError("An allocation needs at least one period; got none.")
        for name, wanted in (("demand", (len(self.weights), *shape)), ("capacity", shape), ("surge", shape),
                             ("surge_lead_days", shape[:2])):
            values = getattr(self, name)
            if values.shape != wanted:
                raise MedlibError(f"{name} must have shape {wanted}; got {values.shape}.")
            wrong = np.argwhere(~(np.isfinite(values) & (values >= 0)))
            if len(wrong):
                site, resource = wrong[0][1:3] if name == "demand" else wrong[0][:2]
                raise MedlibError(f"{name} must be numbers of at least 0; got {values[tuple(wrong[0])]} for site "
                                  f"{self.sites[site]!r}, resource {self.names[resource]!r}.")
        unknown = set(self.links["origin"]).union(self.links["destination"]) - set(self.sites)
        if unknown:
            raise MedlibError(f"links name the unknown site(s) {', '.join(sorted(unknown))}.")
        for name, needs in self.requires.items():
            if sum(share * self.shortage_weight[other] for other, share in needs.items()) > self.shortage_weight[name]:
                raise MedlibError(f"Leaving {name!r} unused would count less than lacking what it requires; raise its "
                                  "shortage_weight to at least the weighted sum of what it requires.")

    @cached_property
    def names(self) -> list[str]:
        """Names of the resources."""
        return self.resources["resource"].tolist()

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind of each resource."""
        return dict(zip(self.names, self.resources["kind"]))

    @cached_property
    def requires(self) -> dict[str, dict[str, float]]:
        """What one unit in use needs besides, by resource; resources that need nothing are left out."""
        return list_requirements(self.resources)

    @cached_property
    def shortage_weight(self) -> dict[str, float]:
        """Weight of one unit-day short, by resource."""
        return weigh_shortage(self.resources)

    @cached_property
    def occupancy(self) -> np.ndarray:
        """Shape (R,): share of the units that may be planned."""
        return np.array([self.rules.planning_occupancy if kind == "bed" else 1.0 for kind in self.resources["kind"]])

    @cached_property
    def mean_demand(self) -> np.ndarray:
        """Shape (I, R, T): demand averaged over the scenarios."""
        return np.tensordot(self.weights, self.demand, 1)


def list_requirements(resources: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Read the `requires` column: resource -> required resource -> units for each unit in use."""
    if "requires" not in resources:
        return {}
    stated = resources.loc[resources["requires"].notna(), ["resource", "requires"]]
    needs = {name: parse_requires(text) for name, text in stated.itertuples(index=False) if text.strip()}
    for name, needed in needs.items():
        if unknown := set(needed) - set(resources["resource"]):
            raise MedlibError(f"{name!r} requires {', '.join(sorted(unknown))}, which the resources table does not have; add "
                              "it there.")
    return needs


def weigh_shortage(resources: pd.DataFrame) -> dict[str, float]:
    """Weight of one unit-day short: as stated, else 1, or more where what a unit requires weighs more in sum."""
    stated = resources.set_index("resource").get("shortage_weight", pd.Series(dtype=float))
    weights = {name: float(stated.get(name, np.nan)) for name in resources["resource"]}
    weights = {name: 1.0 if math.isnan(weight) else weight for name, weight in weights.items()}
    for name, needs in list_requirements(resources).items():
        if math.isnan(float(stated.get(name, np.nan))):
            weights[name] = max(1.0, sum(share * weights[other] for other, share in needs.items()))
    return weights


def spread(frame: pd.DataFrame, column: str, sites: tuple[str, ...], names: list[str],
           dates: pd.DatetimeIndex) -> np.ndarray:
    """Bring a tidy column to shape (I, R, T), joined by name; what has no row counts as 0."""
    index = pd.MultiIndex.from_product([sites, names, dates], names=["site", "resource", "date"])
    values = frame.set_index(["site", "resource", "date"])[column].reindex(index, fill_value=0.0)
    return values.to_numpy(float).reshape(len(sites), len(names), len(dates))


def weigh_levels(levels: np.ndarray) -> np.ndarray:
    """Probability that each quantile stands for: half-way to its neighbours on both sides.

    Examples
    --------
    >>> weigh_levels(np.array([0.1, 0.5, 0.9])).round(3).tolist()
    [0.3, 0.4, 0.3]
    """
    levels = np.asarray(levels, float)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def limit_links(links: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Keep the links within the rules' distance; unstated lead times and costs are 0."""
    kept = links[links["distance_km"] <= rules.max_distance_km]
    return kept.assign(**{name: kept.get(name, pd.Series(0.0, kept.index)).fillna(0.0)
                          for name in ("lead_days", "cost")}).reset_index(drop=True)


def pose_problem(sites: pd.DataFrame, resources: pd.DataFrame, links: pd.DataFrame, demand: pd.DataFrame,
                 capacity: pd.DataFrame, rules: Rules, stock: pd.DataFrame | None = None) -> Problem:
    """Put tables together to a problem.

    Parameters
    ----------
    sites, resources, links : pandas.DataFrame
        The input tables.
    demand : pandas.DataFrame
        date, site, resource, demand; with a column quantile each level becomes a scenario (all sites low together or
        high together), weighted by the probability that the level stands for.
    capacity : pandas.DataFrame
        As from `medlib.supply.spread_capacity`.
    rules : Rules
    stock : pandas.DataFrame, optional
        Drugs on hand at the start, as in `Problem.stock`.

    Returns
    -------
    Problem
        Surge is available from its lead time after the first period on.
    """
    if "quantile" not in demand:
        demand = demand.assign(quantile=0.5)
    levels = np.sort(demand["quantile"].unique())
    dates = pd.DatetimeIndex(np.sort(demand["date"].unique()))
    names, ids = resources["resource"].tolist(), tuple(sites["site"])
    lead = spread(capacity, "surge_lead_days", ids, names, dates)
    wait = (dates - dates[0]).days.to_numpy()
    more = {} if stock is None else {"stock": stock}
    return Problem(
        sites=ids, resources=resources, dates=dates, rules=rules, links=limit_links(links, rules),
        demand=np.stack([spread(demand[demand["quantile"] == level], "demand", ids, names, dates) for level in levels]),
        weights=weigh_levels(levels), capacity=spread(capacity, "capacity", ids, names, dates),
        surge=np.where(wait >= lead, spread(capacity, "surge", ids, names, dates), 0.0), surge_lead_days=lead[:, :, 0],
        **more)
