"""The allocation question as frozen arrays: who needs what when, what is there, and which rules hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd

from medlib.errors import MedlibError
from medlib.schema import empty, parse_requires

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
    transfers_in_all : float
        Most moves of all resources but drugs over the whole horizon.
    transport_km_per_day : float
        Most kilometres that all moves of one period add up to.
    handover_days : {0, 1}
        1: on the day of the transfer a patient needs a bed at both ends, as Parker et al. count; 0: at the destination only.
    protect_sites : bool
        No site may be shorter of anything than it would be if nobody moved anything.
    shortage_cost : float
        Cost points of one unit-day short (times the resource's shortage weight).
    move_cost, cost_per_km : float
        Cost points of one move, and of each of its kilometres. The link's own cost comes on top.
    change_cost : float
        Cost points of each move by which a link's traffic differs from the period before: smooths the work.
    surge_cost, overtime_cost : float
        Cost points of one surge unit open for one period, and of one unit of overtime.
    los_days : float
        Mean stay of a moved patient at the destination, in days, where no stays are given.
    integer : bool
        Only whole patients and units move.
    """

    planning_occupancy: float = 0.90
    max_distance_km: float = 300.0
    transfers_per_day: float = 60.0
    transfers_per_site_day: float = 10.0
    transfers_in_all: float = math.inf
    transport_km_per_day: float = math.inf
    handover_days: int = 0
    protect_sites: bool = False
    shortage_cost: float = 100.0
    move_cost: float = 1.0
    cost_per_km: float = 0.02
    change_cost: float = 0.0
    surge_cost: float = 5.0
    overtime_cost: float = 2.0
    los_days: float = 12.0
    integer: bool = False

    def __post_init__(self):
        if not 0 < self.planning_occupancy <= 1:
            raise MedlibError(f"planning_occupancy must lie in (0, 1]; got {self.planning_occupancy}.")
        if not self.los_days > 0:
            raise MedlibError(f"los_days must be above 0; got {self.los_days}.")
        if self.handover_days not in (0, 1):
            raise MedlibError(f"handover_days must be 0 or 1; got {self.handover_days}.")
        for name, value in vars(self).items():
            if not value >= 0:
                raise MedlibError(f"{name} must be at least 0; got {value}.")

    @classmethod
    def without_limits(cls, **rules) -> Rules:
        """Make rules that limit nothing but what is stated: every bed may be planned, any distance, any number of moves."""
        return cls(**{"planning_occupancy": 1.0, "max_distance_km": math.inf, "transfers_per_day": math.inf,
                      "transfers_per_site_day": math.inf, **rules})

    def survive(self, days: np.ndarray) -> np.ndarray:
        """Probability that a moved patient is still there so many days after the move (0 for negative days)."""
        scale = self.los_days / math.gamma(1 + 1 / STAY_SHAPE)
        days = np.asarray(days, float)
        return np.where(days < 0, 0.0, np.exp(-((np.maximum(days, 0.0) / scale) ** STAY_SHAPE)))


class Positions:
    """A problem's tables as arrays by position: joined by name once, so that a model needs no table.

    Attributes
    ----------
    beds, units, drugs, movable : numpy.ndarray of int
        Positions of the resources: beds; staff and equipment; drugs; all but drugs.
    weight, occupancy, lot_size, wastage, overtime_share : numpy.ndarray
        Shape (R,).
    tiered, shifted : numpy.ndarray of bool
        Shape (R,).
    origin, destination : numpy.ndarray of int
        Shape (L,): positions of the links' sites.
    pairs : pandas.DataFrame
        Their names.
    sends, linked : numpy.ndarray of bool
        Shape (I,): a link leads from the site; from or to it.
    distance_km, lead_days, cost, moves_per_day : numpy.ndarray
        Shape (L,); infinite where a link has no limit.
    keep_share, release_per_day : numpy.ndarray
        Shape (I,); release is infinite where there is no limit.
    days : numpy.ndarray of int
        Shape (T,): days since the first period.
    survival : dict of (int, int) to numpy.ndarray
        `Problem.survive` of every pair of beds.
    """

    def __init__(self, posed: Problem):
        kind, names = posed.resources["kind"].to_numpy(), posed.names
        self.beds, self.drugs = np.flatnonzero(kind == "bed"), np.flatnonzero(kind == "drug")
        self.units = np.flatnonzero((kind != "bed") & (kind != "drug"))
        self.movable = np.concatenate([self.beds, self.units])
        self.weight, self.occupancy = np.array([posed.shortage_weight[name] for name in names]), posed.occupancy
        self.lot_size, self.wastage, self.overtime_share = (
            _read(posed.resources, name, 0.0) for name in ("lot_size", "wastage", "overtime_share"))
        self.tiered, self.shifted = (np.array([name in set(table["resource"]) for name in names], bool)
                                     for table in (posed.tiers, posed.shifts))
        sites = {site: number for number, site in enumerate(posed.sites)}
        self.origin, self.destination = (np.array([sites[site] for site in posed.links[end]], int)
                                         for end in ("origin", "destination"))
        self.pairs = posed.links[["origin", "destination"]]
        self.sends, self.linked = np.zeros(len(sites), bool), np.zeros(len(sites), bool)
        self.sends[self.origin] = self.linked[self.origin] = self.linked[self.destination] = True
        self.distance_km, self.lead_days, self.cost = (_read(posed.links, name, 0.0)
                                                       for name in ("distance_km", "lead_days", "cost"))
        self.moves_per_day = _read(posed.links, "moves_per_day", np.inf)
        limits = posed.site_limits.reindex(posed.sites)
        self.keep_share, self.release_per_day = _read(limits, "keep_share", 0.0), _read(limits, "release_per_day", np.inf)
        self.days = (posed.dates - posed.dates[0]).days.to_numpy()
        self.survival = {(entered, occupied): posed.survive(names[entered], names[occupied])
                         for entered in self.beds for occupied in self.beds}


def _read(frame: pd.DataFrame, column: str, absent: float) -> np.ndarray:
    """A column as numbers, where it says nothing the number that stands for that."""
    if column not in frame:
        return np.full(len(frame), absent)
    numbers = frame[column].to_numpy(float, na_value=np.nan)
    return np.where(np.isnan(numbers), absent, numbers)


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
        Shape (I, R, T): units in place; for drugs units delivered. Where it is uncertain, what the plan physically moves from.
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
    arrivals : numpy.ndarray
        Shape (I, R, T): patients who arrive and may be sent on that day; infinite where everybody who is there may be sent.
    stay : pandas.DataFrame
        The `stay` table; empty: as the rules say.
    site_limits : pandas.DataFrame
        Indexed by site, columns keep_share (share of the units in place that stays at home) and release_per_day (most units of
        each resource that leave a day): what a central stockpile keeps and releases. Missing where there is no limit.
    levels : pandas.DataFrame
        The `surge_levels` table. Surge that has levels is opened level by level.
    orders : pandas.DataFrame
        The `orders` table: what may be ordered.
    shifts, tiers : pandas.DataFrame
        The tables of these names.
    capacity_change : numpy.ndarray
        Shape (S, I, R, T): units by which each scenario's capacity differs from `capacity`; None where capacity is certain. What
        is delivered of a drug is always certain.
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
    stock: pd.DataFrame = field(default_factory=lambda: empty("stock"))
    arrivals: np.ndarray | None = None
    stay: pd.DataFrame = field(default_factory=lambda: empty("stay"))
    site_limits: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["keep_share", "release_per_day"]))
    levels: pd.DataFrame = field(default_factory=lambda: empty("surge_levels"))
    orders: pd.DataFrame = field(default_factory=lambda: empty("orders"))
    shifts: pd.DataFrame = field(default_factory=lambda: empty("shifts"))
    tiers: pd.DataFrame = field(default_factory=lambda: empty("tiers"))
    capacity_change: np.ndarray | None = None
    at: Positions = field(init=False, repr=False, compare=False)

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
        if self.arrivals is not None and (self.arrivals.shape != shape or not np.all(self.arrivals >= 0)):
            raise MedlibError(f"arrivals must be numbers of at least 0 (infinite: no limit) with shape {shape}.")
        self._check_change(shape)
        unknown = set(self.links["origin"]).union(self.links["destination"]) - set(self.sites)
        if unknown:
            raise MedlibError(f"links name the unknown site(s) {', '.join(sorted(unknown))}.")
        circle = self.links.index[self.links["origin"] == self.links["destination"]]
        if len(circle):
            raise MedlibError(f"links, row {circle[0] + 1}: {self.links['origin'][circle[0]]!r} is linked to itself.")
        for name, needs in self.requires.items():
            if sum(share * self.shortage_weight[other] for other, share in needs.items()) > self.shortage_weight[name]:
                raise MedlibError(f"Leaving {name!r} unused would count less than lacking what it requires; raise its "
                                  "shortage_weight to at least the weighted sum of what it requires.")
        object.__setattr__(self, "at", Positions(self))

    def _check_change(self, shape: tuple[int, int, int]) -> None:
        if self.capacity_change is None:
            return
        if self.capacity_change.shape != (len(self.weights), *shape):
            raise MedlibError(f"capacity_change must have shape {(len(self.weights), *shape)}; got {self.capacity_change.shape}.")
        # NaN compares as false, and a rounding error is no negative capacity.
        if not (self.scenario_capacity >= -1e-9).all():
            raise MedlibError("capacity_change must leave at least 0 units in every scenario; got fewer, or no number.")
        drugs = [name for name, change in zip(self.names, self.capacity_change.any(axis=(0, 1, 3))) if change
                 and self.kinds[name] == "drug"]
        if drugs:
            raise MedlibError(f"Deliveries of drugs are certain; capacity_change must be 0 for {drugs[0]!r}.")

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
    def needs(self) -> np.ndarray:
        """Shape (R, R): units of the second resource that one unit of the first in use needs, directly or by way of others."""
        direct = np.zeros((len(self.names), len(self.names)))
        for name, needed in self.requires.items():
            for other, share in needed.items():
                direct[self.names.index(name), self.names.index(other)] = share
        # Nothing needs itself (list_requirements), so that the powers of the matrix vanish and the inverse exists.
        return direct @ np.linalg.inv(np.eye(len(direct)) - direct)

    @cached_property
    def need(self) -> np.ndarray:
        """Shape (S, I, R, T): demand, and what demand needs besides, before any move."""
        return self.demand + np.einsum("qr,siqt->sirt", self.needs, self.demand)

    @cached_property
    def idle_shortage(self) -> np.ndarray:
        """Shape (S, I, R, T): units short of beds, staff and equipment if nothing is done (drugs: 0)."""
        short = np.zeros(self.demand.shape)
        for resource in sort_by_need(self.requires, self.names):
            need = self.demand[:, :, resource] + np.einsum(
                "q,siqt->sit", self.needs[:, resource], self.demand) - np.einsum("q,siqt->sit", self.needs[:, resource], short)
            if self.kinds[self.names[resource]] != "drug":
                usable = self.occupancy[resource] * self.scenario_capacity[:, :, resource]
                short[:, :, resource] = np.maximum(need - usable, 0.0)
        return short

    @cached_property
    def courses(self) -> pd.DataFrame:
        """The `stay` table, every bed named: rows without a resource hold for each bed that has none of its own, and where
        `occupies` says nothing it is the same bed."""
        stay = self.stay.reindex(columns=["resource", "occupies", "day", "survival"]).astype(
            {"resource": object, "occupies": object})
        general, own = stay[stay["resource"].isna()].drop(columns="resource"), stay[stay["resource"].notna()]
        beds = [name for name, kind in self.kinds.items() if kind == "bed" and name not in set(own["resource"])]
        stay = pd.concat([own, *(general.assign(resource=bed) for bed in beds)], ignore_index=True)
        return stay.assign(occupies=stay["occupies"].fillna(stay["resource"]))

    def survive(self, entered: str, occupied: str) -> np.ndarray:
        """Shape (T, T): beds of one resource that a patient takes up in each period per patient who entered another in each.

        Row: the period looked at; column: the period of arrival. Without stays: the rules' survival, and no other level.
        """
        days = (self.dates - self.dates[0]).days.to_numpy()
        return self.follow(entered, occupied, days[:, None] - days)

    def follow(self, entered: str, occupied: str, since: np.ndarray) -> np.ndarray:
        """Beds of one resource that a patient takes up so many days after entering another (0 for negative days); see `survive`."""
        if self.stay.empty:
            return self.rules.survive(since) if entered == occupied else np.zeros(since.shape)
        stay = self.courses
        known = stay[(stay["resource"] == entered) & (stay["occupies"] == occupied)]
        if known.empty:
            stated = (stay["resource"] == entered).any()
            return self.rules.survive(since) if entered == occupied and not stated else np.zeros(since.shape)
        course = known.set_index("day")["survival"].reindex(range(max(since.max(), 0) + 1), fill_value=0.0).to_numpy()
        return np.where(since < 0, 0.0, course[np.maximum(since, 0)])

    @cached_property
    def shortage_weight(self) -> dict[str, float]:
        """Weight of one unit-day short, by resource."""
        return weigh_shortage(self.resources)

    @cached_property
    def occupancy(self) -> np.ndarray:
        """Shape (R,): share of the units that may be planned."""
        return np.array([self.rules.planning_occupancy if kind == "bed" else 1.0 for kind in self.resources["kind"]])

    @cached_property
    def scenario_capacity(self) -> np.ndarray:
        """Shape (S, I, R, T): units in place in each scenario; (1, I, R, T) where capacity is certain."""
        return self.capacity[None] if self.capacity_change is None else self.capacity + self.capacity_change

    @cached_property
    def mean_capacity(self) -> np.ndarray:
        """Shape (I, R, T): capacity averaged over the scenarios."""
        certain = self.capacity_change is None
        return self.capacity if certain else self.capacity + np.tensordot(self.weights, self.capacity_change, 1)

    @cached_property
    def missing(self) -> np.ndarray:
        """Shape (I, R, T): units of `capacity` that are not there in the worst scenario, so that they cannot be sent away."""
        return np.maximum(self.capacity - self.scenario_capacity.min(axis=0), 0.0)

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
    sort_by_need(needs, resources["resource"].tolist())
    return needs


def sort_by_need(requires: dict[str, dict[str, float]], names: list[str]) -> list[int]:
    """Positions of the resources in such an order that what needs something comes before what it needs.

    Raises
    ------
    MedlibError
        A resource needs itself, directly or by way of others.
    """
    try:
        order = list(TopologicalSorter({name: requires.get(name, {}) for name in names}).static_order())
    except CycleError as error:
        raise MedlibError(f"requires runs in a circle: {' needs '.join(reversed(error.args[1]))}; take one of them out.") from None
    return [names.index(name) for name in reversed(order)]


def weigh_shortage(resources: pd.DataFrame) -> dict[str, float]:
    """Weight of one unit-day short: as stated, else 1, or more where what a unit requires weighs more in sum."""
    stated = resources.set_index("resource").get("shortage_weight", pd.Series(dtype=float))
    weights = {name: float(stated.get(name, np.nan)) for name in resources["resource"]}
    weights = {name: 1.0 if math.isnan(weight) else weight for name, weight in weights.items()}
    requires = list_requirements(resources)
    for name in reversed([resources["resource"].iloc[place] for place in sort_by_need(requires, resources["resource"].tolist())]):
        if math.isnan(float(stated.get(name, np.nan))):
            weights[name] = max(1.0, sum(share * weights[other] for other, share in requires.get(name, {}).items()))
    return weights
