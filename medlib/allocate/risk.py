r"""What a plan does about uncertainty: the mean, the tail, a chance, or a budget of sites that are hit at once.

Everything that is decided now is the same in all scenarios, shortage is not. With the weighted shortage C[s] of each scenario, of
probability w[s], at c points a unit-day:

* mean: ``c sum over s of w[s] C[s]``
* cvar: ``c ((1 - weight) sum of w[s] C[s] + weight tail)``, where tail is the mean of C over the worst ``1 - level`` of the probability,
  ``min over v of v + sum of w[s] (C[s] - v)+ / (1 - level)`` (Rockafellar and Uryasev 2000)
* chance: as mean, and ``C[s] <= allowed`` but for scenarios of at most ``1 - level`` of the probability together
* robust: scenario 0 is nominal, in scenario 1 demand is high everywhere. In each period the worst ``budget`` sites are high, the others
  nominal: ``c sum over t of (sum over i of n[i,t] + max over u of sum over i of u[i] (h[i,t] - n[i,t]))``, ``0 <= u <= 1``,
  ``sum of u <= budget``, where n and h are a site's weighted shortage when nominal and high; by duality the maximum is
  ``min budget z[t] + sum of e[i,t]`` with ``z[t] + e[i,t] >= h[i,t] - n[i,t]`` (Bertsimas and Sim 2004)

References
----------
Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, doi:10.21314/JOR.2000.038.
Bertsimas and Sim (2004), The price of robustness, doi:10.1287/opre.1030.0065.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from medlib.allocate.problem import Problem
from medlib.blocks import INFINITE, Columns
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.allocate.model import Model

MEASURES = ("mean", "cvar", "chance", "robust")


@dataclass(frozen=True)
class Risk:
    """How shortage that differs between scenarios counts.

    Parameters
    ----------
    measure : {"mean", "cvar", "chance", "robust"}
    level : float
        In (0, 1). cvar: the tail is the worst ``1 - level`` of the probability. chance: with this probability shortage is at most
        `allowed`.
    weight : float
        In [0, 1]. cvar: share of the tail in the objective, the rest is the mean; 0: the tail only serves for limits.
    budget : float
        At least 0. robust: sites that are high at once; of a fraction, that share of one more site's additional shortage counts.
    allowed : float
        chance: unit-days of weighted shortage in the whole network over the horizon that do not count as a failure.
    """

    measure: str = "mean"
    level: float = 0.9
    weight: float = 0.5
    budget: float = 2.0
    allowed: float = 0.0

    def __post_init__(self):
        if self.measure not in MEASURES:
            raise MedlibError(f"measure must be one of {', '.join(MEASURES)}; got {self.measure!r}.")
        if not 0 < self.level < 1:
            raise MedlibError(f"level must lie in (0, 1); got {self.level}.")
        if not 0 <= self.weight <= 1:
            raise MedlibError(f"weight must lie in [0, 1]; got {self.weight}.")
        for name in ("budget", "allowed"):
            if not getattr(self, name) >= 0:
                raise MedlibError(f"{name} must be at least 0; got {getattr(self, name)}.")


def settle_risk(posed: Problem, risk: Risk) -> Problem:
    """The problem as a measure sees it: where it is robust, what is expected is the nominal scenario.

    Raises
    ------
    MedlibError
        The measure cannot be had for this problem.
    """
    if risk.measure != "robust":
        return posed
    if len(posed.weights) != 2:
        raise MedlibError(f"A robust plan takes two scenarios, nominal and high, as from bound_demand; got {len(posed.weights)}.")
    if len(posed.at.drugs):
        raise MedlibError("A robust plan covers beds, staff and equipment, as stock ties the periods together; leave out "
                          f"{posed.names[posed.at.drugs[0]]!r} or take the measure cvar.")
    return replace(posed, weights=np.array([1.0, 0.0]))


def average_scenarios(posed: Problem) -> Problem:
    """The problem with one scenario, the mean of all: what a plan for point forecasts sees."""
    change = None if posed.capacity_change is None else (posed.mean_capacity - posed.capacity)[None]
    return replace(posed, demand=posed.mean_demand[None], weights=np.ones(1), capacity_change=change)


def bound_demand(posed: Problem, high: float = 0.9) -> Problem:
    """Make the two scenarios of a robust plan from many: the mean, and in each cell a quantile.

    Parameters
    ----------
    posed : Problem
    high : float
        Level of the quantile of each site, resource and period, in (0, 1); where the mean lies higher, it is taken.

    Returns
    -------
    Problem
        Capacity is the mean in both.
    """
    if not 0 < high < 1:
        raise MedlibError(f"high must lie in (0, 1); got {high}.")
    weights = np.broadcast_to(posed.weights[:, None, None, None], posed.demand.shape)
    upper = np.quantile(posed.demand, high, axis=0, weights=weights, method="inverted_cdf")
    change = None if posed.capacity_change is None else np.stack([posed.mean_capacity - posed.capacity] * 2)
    return replace(posed, demand=np.stack([posed.mean_demand, np.maximum(upper, posed.mean_demand)]), weights=np.full(2, 0.5),
                   capacity_change=change)


def list_scarcity(model: Model) -> list[tuple[Columns, np.ndarray]]:
    """Columns that count as shortage, with their weight, whatever the scenario's probability."""
    posed = model.posed
    weight, tiered = posed.at.weight[:, None], posed.at.tiered[:, None]
    terms = [(model.short, np.where(tiered, 0.0, weight))]
    if tiered.any():
        place = [posed.names.index(name) for name in model.tiers["resource"]]
        terms.append((model.tier_short, weight[place] * model.tiers["weight"].to_numpy()[:, None]))
    return terms


def add_risk(model: Model, risk: Risk) -> None:
    """Add a measure's columns, rows and parts of the objective to a model in which every scenario is written out."""
    {"mean": lambda *_: None, "cvar": _add_tail, "chance": _add_chance, "robust": _add_budget}[risk.measure](model, risk)


def _add_tail(model: Model, risk: Risk) -> None:
    posed, lp = model.posed, model.lp
    axes = {"scenario": range(len(posed.weights))}
    value, excess = lp.add_columns("value_at_risk", {}, low=-INFINITE), lp.add_columns("excess", axes)
    rows = lp.add_rows("excess", axes, high=0.0)
    rows.add(excess.index, -1.0)
    rows.add(value.index, -1.0)
    _add_totals(model, rows)
    model.count("tail_shortage", value)
    model.count("tail_shortage", excess, posed.weights / (1 - risk.level))
    price_tail(model, risk)


def price_tail(model: Model, risk: Risk) -> None:
    """Share the price of shortage between the mean and the tail."""
    price = model.prices["shortage"]
    model.prices |= {"shortage": (1 - risk.weight) * price, "tail_shortage": risk.weight * price}


def _add_totals(model: Model, rows) -> None:
    """Add to rows by scenario the weighted shortage of each."""
    for columns, each in list_scarcity(model):
        each = np.broadcast_to(each, columns.shape)
        rows.add(columns.index, each, at=rows.index.reshape(-1, *[1] * (columns.index.ndim - 1)))


def _add_chance(model: Model, risk: Risk) -> None:
    posed, lp = model.posed, model.lp
    axes = {"scenario": range(len(posed.weights))}
    model.late = lp.add_columns("late", axes, high=1.0, integer=True)
    # Moves neither make nor lose patients: no more can be short than is needed in all, and on the way twice that.
    model.most = (1 + posed.rules.handover_days) * np.einsum("sirt,r->s", posed.need, posed.at.weight)
    rows = lp.add_rows("kept", axes, high=risk.allowed)
    _add_totals(model, rows)
    rows.add(model.late.index, -model.most)
    share = lp.add_rows("chance", {}, high=1 - risk.level + 1e-9)
    share.add(model.late.index, posed.weights, at=share.index[None])


def _add_budget(model: Model, risk: Risk) -> None:
    posed, lp = model.posed, model.lp
    hit, more = lp.add_columns("hit", {"date": posed.dates}), lp.add_columns("hit_site", {"site": posed.sites, "date": posed.dates})
    rows = lp.add_rows("hit", {"site": posed.sites, "date": posed.dates}, high=0.0)
    rows.add(hit.index[None], -1.0)
    rows.add(more.index, -1.0)
    for columns, each in list_scarcity(model):
        each = np.broadcast_to(each, columns.shape)
        for scenario, sign in ((0, -1.0), (1, 1.0)):
            rows.add(columns.index[scenario], sign * each[scenario], at=rows.index[:, None])
        nominal = np.where(np.arange(2)[:, None, None, None] == 0, each, 0.0)
        model.count("worst_shortage", columns, nominal)
    model.count("worst_shortage", hit, risk.budget)
    model.count("worst_shortage", more)
    model.prices |= {"shortage": 0.0, "worst_shortage": model.prices["shortage"]}


def measure_tail(costs: np.ndarray, weights: np.ndarray, level: float) -> tuple[float, float]:
    """Mean of the worst ``1 - level`` of the probability, and where that part begins.

    Parameters
    ----------
    costs, weights : numpy.ndarray
        Shape (S,): what each scenario costs, and its probability.
    level : float
        In (0, 1).

    Returns
    -------
    tuple of float
        Conditional value at risk, value at risk.

    Examples
    --------
    >>> measure_tail(np.array([1.0, 5.0, 3.0, 9.0]), np.full(4, 0.25), 0.6)
    (7.5, 5.0)
    """
    order = np.argsort(-costs, kind="stable")
    reached = np.cumsum(weights[order])
    share = np.diff(np.minimum(reached, 1 - level), prepend=0.0)
    last = min(int(np.searchsorted(reached, 1 - level - 1e-12)), len(costs) - 1)
    return float(share @ costs[order] / share.sum()), float(costs[order][last])
