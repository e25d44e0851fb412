"""What equity costs: plans from the cheapest to the most even, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.allocate.equity import count_service, measure_gini
from medlib.allocate.fairness import FairPlan, Sharing, solve_fair
from medlib.allocate.plan import Plan
from medlib.allocate.problem import Problem
from medlib.allocate.recourse import face_plan
from medlib.errors import MedlibError

#: The setting that `trace_frontier` sweeps, by criterion.
SWEPT = {"gini_cap": "gini_cap", "alpha_fair": "alpha", "minimum_service": "least_share"}
ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def trace_frontier(posed: Problem, criterion: str = "gini_cap", values: Sequence[float] | None = None, chosen: float | None = None,
                   steps: int = 6, groups: pd.Series | None = None, sizes: pd.Series | None = None, **settings) -> pd.DataFrame:
    """Solve for the utilitarian plan and for ever more equal ones: what equity costs.

    Parameters
    ----------
    posed : Problem
    criterion : {"gini_cap", "alpha_fair", "minimum_service"}
    values : sequence of float, optional
        Values of the criterion's setting; left out: `steps` from the utilitarian plan's own down to a Gini of 0, or up to the highest
        least service that is possible; for alpha_fair 0.5, 1, 2, 4, 8, 16.
    chosen : float, optional
        The value that is marked, and solved for too; left out: the knee, where Gini and shortage, each scaled to [0, 1], add up to
        least. That is geometry, not ethics.
    steps : int
    groups, sizes, **settings
        As for `solve_fair`.

    Returns
    -------
    pandas.DataFrame
        A row a plan, the utilitarian first: criterion, setting; gini (of the shortage per size), worst_service, spread (best less worst);
        shortage (weighted unit-days), given_up (share of the need that the utilitarian plan meets and this one does not: the price of
        fairness), withheld (unit-days of the shortage that the plan's own moves and surge could serve: evenness by refusal), transfers,
        cost (cost points); chosen.
    """
    if criterion not in SWEPT:
        raise MedlibError(f"A frontier sweeps {', '.join(SWEPT)}; got {criterion!r}.")
    shared = {"groups": groups, "sizes": sizes, **settings}
    first = solve_fair(posed, **shared)
    rows = [{"criterion": "utilitarian", "setting": np.nan, **_measure(first, groups, sizes)}]
    if values is None:
        values = _list_values(posed, criterion, steps, rows[0], groups)
    values = sorted({*map(float, values), *([] if chosen is None else [float(chosen)])}, reverse=criterion == "gini_cap")
    for value in values:
        plan = solve_fair(posed, criterion, **shared, **{SWEPT[criterion]: value})
        rows.append({"criterion": criterion, "setting": value, **_measure(plan, groups, sizes)})
    frontier = pd.DataFrame(rows)
    met = first.posed.mean_demand.sum(axis=(0, 2)) @ first.posed.at.weight - first.weighted_shortage
    frontier.insert(6, "given_up", (frontier["shortage"] - frontier["shortage"].iloc[0]) / met)
    scaled = frontier[["gini", "shortage"]].apply(lambda column: (column - column.min()) / max(np.ptp(column), 1e-12)).sum(axis=1)
    mark = scaled.idxmin() if chosen is None else (frontier["setting"] - chosen).abs().idxmin()
    return frontier.assign(chosen=frontier.index == mark)


def _list_values(posed: Problem, criterion: str, steps: int, first: dict[str, float], groups: pd.Series | None) -> Sequence[float]:
    """Settings from the utilitarian plan's own to the most even that is possible."""
    if criterion == "alpha_fair":
        return ALPHAS
    if criterion == "gini_cap":
        return np.linspace(first["gini"], 0.0, steps + 1)[1:]
    sharing = Sharing(posed, groups)
    return np.linspace(first["worst_service"], 1.0 - sharing.find_lowering(np.ones(len(sharing.names))), steps + 1)[1:]


def _measure(plan: FairPlan, groups: pd.Series | None, sizes: pd.Series | None) -> dict[str, float]:
    units = count_service(plan)
    units["size"] = units["need"] if sizes is None else sizes.reindex(units.index)
    units = units.groupby(units.index if groups is None else groups.reindex(units.index)).sum()
    units = units[units["need"] > 0]
    return {"gini": measure_gini(units["short"], units["size"]), "worst_service": plan.service.min(),
            "spread": np.ptp(plan.service), "shortage": plan.weighted_shortage, "withheld": count_withheld(plan),
            "transfers": plan.transfers, "cost": float(plan.parts["cost"].sum())}


def count_withheld(plan: Plan) -> float:
    """Count the unit-days short (weighted, by tiers too) that a plan's own moves and surge could serve: short for evenness alone."""
    return max(float(plan.parts.loc["shortage", "amount"] - plan.posed.weights @ face_plan(plan, plan.posed)), 0.0)
