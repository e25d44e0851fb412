"""What the controls say, and the problem that it makes of another."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medlib.allocate import Problem, Rules
from medlib.errors import MedlibError

#: Demand scenarios: the quantile that every site needs, none where all levels of the forecast count; and what that means.
SCENARIOS = {
    "forecast": (None, "the whole forecast: all its levels, each with its probability, and capacity's, too"),
    "median": (0.5, "the median: the forecast expects more, and less, with equal probability; capacity is its median"),
    "low": (0.1, "a mild course: at each site the forecast expects more in 9 of 10 cases; all sites at once; capacity is its median"),
    "high": (0.9, "a bad course: at each site the forecast expects more in 1 of 10 cases only; all sites at once; capacity is its median"),
}
#: Criteria of fairness, and what each adds to the shortage that counts.
FAIRNESS = {
    "none": "only the sum of shortage counts, wherever it falls",
    "worst": "besides the sum, the shortage that all sites together would have if all were served like the worst served one",
    "gini": "besides the sum, the sum times its Gini coefficient: shortage counts more, the more unevenly it falls",
}


@dataclass(frozen=True)
class State:
    """What is asked, beside the tables.

    Parameters
    ----------
    rules : Rules
    factors : tuple of (str, str, float)
        Site, resource, factor: what capacity is multiplied by. An empty site stands for all sites, unless one is named.
    surge_factor : float
        What the surge that can be opened is multiplied by.
    demand_scenario : str
        One of `SCENARIOS`.
    demand_factor : float
        What demand is multiplied by, in every scenario.
    fairness : str
        One of `FAIRNESS`.
    fairness_weight : float
        In [0, 1]: what a unit-day of the criterion counts, in unit-days short. Up to 1 nobody is left short for evenness alone.
    """

    rules: Rules
    factors: tuple[tuple[str, str, float], ...] = ()
    surge_factor: float = 1.0
    demand_scenario: str = "forecast"
    demand_factor: float = 1.0
    fairness: str = "none"
    fairness_weight: float = 0.0

    def __post_init__(self):
        for name, known in (("demand_scenario", SCENARIOS), ("fairness", FAIRNESS)):
            if getattr(self, name) not in known:
                raise MedlibError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}.")
        if not 0 <= self.fairness_weight <= 1:
            raise MedlibError(f"fairness_weight must lie in [0, 1]; got {self.fairness_weight:g}.")
        for name in ("surge_factor", "demand_factor"):
            if not 0 <= getattr(self, name) < np.inf:
                raise MedlibError(f"{name} must be a number of at least 0; got {getattr(self, name):g}.")

    @property
    def weighs(self) -> bool:
        """Fairness counts."""
        return self.fairness != "none" and self.fairness_weight > 0

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of notebook 40_allocate that the controls stand for."""
        return {"planning_occupancy": self.rules.planning_occupancy, "transfers_per_day": self.rules.transfers_per_day,
                "transfers_per_site_day": self.rules.transfers_per_site_day,
                "capacity_factors": json.dumps(self.factors) if self.factors else "", "surge_factor": self.surge_factor,
                "demand_scenario": self.demand_scenario, "demand_factor": self.demand_factor, "fairness": self.fairness,
                "fairness_weight": self.fairness_weight}


def read_factors(text: str) -> tuple[tuple[str, str, float], ...]:
    """Read factors of capacity from a parameter's text, JSON such as ``[["", "icu_bed", 1.1], ["H03", "icu_bed", 0.8]]``.

    Raises
    ------
    MedlibError
        It is no list of site, resource and a factor of at least 0.

    Examples
    --------
    >>> read_factors('[["", "icu_bed", 1.1]]')
    (('', 'icu_bed', 1.1),)
    """
    try:
        rows = tuple((site, resource, float(factor)) for site, resource, factor in json.loads(text or "[]"))
        good = all(isinstance(site, str) and isinstance(resource, str) and 0 <= factor < np.inf for site, resource, factor in rows)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise MedlibError('capacity_factors must list site, resource and a factor of at least 0 each, such as [["", "icu_bed", 1.1], '
                          f'["H03", "icu_bed", 0.8]]; got {text!r}.')
    return rows


def change_problem(posed: Problem, levels: np.ndarray | pd.Series, state: State) -> Problem:
    """Make the problem that a state asks for.

    Parameters
    ----------
    posed : Problem
        As from `medlib.allocate.pose_problem`, with all levels of the forecast or with one.
    levels : array
        The levels of the demand forecast.
    state : State

    Returns
    -------
    Problem

    Raises
    ------
    MedlibError
        A factor names an unknown site or resource.
    """
    posed = _choose_scenario(posed, np.unique(levels), state.demand_scenario)
    factor = _spread_factors(posed, state.factors)[:, :, None]
    change = None if posed.capacity_change is None else posed.capacity_change * factor
    return replace(posed, rules=state.rules, demand=posed.demand * state.demand_factor, capacity=posed.capacity * factor,
                   capacity_change=change, surge=posed.surge * state.surge_factor)


def _choose_scenario(posed: Problem, levels: np.ndarray, scenario: str) -> Problem:
    level = SCENARIOS[scenario][0]
    if level is None or len(posed.weights) == 1 and len(levels) > 1:
        return posed
    # Each level of demand meets as many levels of capacity.
    place = int(np.abs(levels - level).argmin()) * (len(posed.weights) // len(levels))
    return replace(posed, demand=posed.demand[place:place + 1], weights=np.ones(1), capacity_change=None)


def _spread_factors(posed: Problem, factors: tuple[tuple[str, str, float], ...]) -> np.ndarray:
    """Shape (I, R); a site that is named goes before all sites."""
    spread = np.ones((len(posed.sites), len(posed.names)))
    for site, resource, factor in sorted(factors, key=lambda row: row[0] != ""):
        for kind, name, known in (("site", site, {"", *posed.sites}), ("resource", resource, posed.names)):
            if name not in known:
                raise MedlibError(f"capacity_factors name the {kind} {name!r}, which the table {kind}s does not have.")
        spread[posed.sites.index(site) if site else slice(None), posed.names.index(resource)] = factor
    return spread
