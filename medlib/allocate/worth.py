r"""What planning under uncertainty is worth, faced with scenarios that no plan was made from.

With the cost F(plan, s) of a plan whose moves and surge are fixed, in scenario s, and the cost W(s) of the best plan for s alone:

* value of the stochastic solution: ``E F(point, s) - E F(stochastic, s)``, where the point plan knows only the mean
* expected value of perfect information: ``E F(stochastic, s) - E W(s)``
* price of robustness: ``E F(plan, s) - E F(stochastic, s)`` of a plan that guards against more than the mean

All are differences in the same scenarios, so what is hard for everybody cancels out; intervals come from scenarios drawn again. Out
of sample, the first and the last may well be below 0.

References
----------
Birge (1982), The value of the stochastic solution in stochastic linear programs with fixed recourse, doi:10.1007/BF01585113.
Bertsimas and Sim (2004), The price of robustness, doi:10.1287/opre.1030.0065.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate.model import Model
from medlib.allocate.plan import Plan, read_plan
from medlib.allocate.problem import Problem
from medlib.allocate.recourse import face_plan
from medlib.allocate.risk import measure_tail
from medlib.errors import MedlibError

#: Parts of the objective that a scenario decides; all others are known with the plan.
UNCERTAIN = ["shortage", "tail_shortage", "worst_shortage"]


def cost_plan(plan: Plan, posed: Problem) -> np.ndarray:
    """Cost points of a plan in every scenario of a problem: its moves, surge and orders, and what is then short.

    Parameters
    ----------
    plan : Plan
    posed : Problem
        As for `face_plan`; shortage has its price and its occupancy.

    Returns
    -------
    numpy.ndarray
        Shape (S,).
    """
    return float(plan.parts["cost"].drop(UNCERTAIN, errors="ignore").sum()) + posed.rules.shortage_cost * face_plan(plan, posed)


def wait_and_see(posed: Problem) -> np.ndarray:
    """Shape (S,): cost points of the best plan for every scenario alone, as if it were known beforehand."""
    first, *rest = (_pick_scenario(posed, scenario) for scenario in range(len(posed.weights)))
    model = Model(first)
    costs = [read_plan(model, method="simplex").objective]
    for alone in rest:
        model.update(alone)
        costs.append(read_plan(model, method="simplex").objective)
    return np.array(costs)


def _pick_scenario(posed: Problem, scenario: int) -> Problem:
    change = posed.capacity_change
    return replace(posed, demand=posed.demand[[scenario]], weights=np.ones(1),
                   capacity_change=None if change is None else change[[scenario]])


def weigh_worth(plans: Mapping[str, Plan], posed: Problem, stochastic: str = "stochastic", point: str = "point", tail: float = 0.9,
                level: float = 0.9, draws: int = 2000, seed: int = 1, foresight: bool = True) -> pd.DataFrame:
    """Weigh plans against each other, faced with scenarios that none of them was made from.

    Parameters
    ----------
    plans : mapping of str to Plan
        Plans by name; all but the stochastic and the point plan count as robust ones.
    posed : Problem
        The scenarios to face.
    stochastic, point : str
        Names of the plan for all scenarios and of the plan for their mean; where there is no point plan, its value is left out.
    tail : float
        In (0, 1): the tail is the worst ``1 - tail`` of the probability.
    level : float
        Probability that an interval is to hold the truth with, as far as scenarios drawn from the same source go.
    draws : int
        Samples of the scenarios.
    seed : int
    foresight : bool
        Find the best plan for every scenario, too, which takes a program each.

    Returns
    -------
    pandas.DataFrame
        quantity, plan, value, low, high, unit. Quantities: expected cost, expected shortage, tail shortage, value of the stochastic
        solution, price of robustness, value of perfect information.

    Raises
    ------
    MedlibError
        There is no stochastic plan.
    """
    if stochastic not in plans:
        raise MedlibError(f"Plans must hold the stochastic one, {stochastic!r}; got {', '.join(plans) or 'none'}.")
    short = {name: face_plan(plan, posed) for name, plan in plans.items()}
    cost = {name: cost_plan(plan, posed) for name, plan in plans.items()}
    count = len(posed.weights)
    drawn = np.random.default_rng(seed).choice(count, (draws, count), p=posed.weights / posed.weights.sum())
    rows = []

    def add(quantity: str, name: str, unit: str, each: np.ndarray) -> None:
        ends = np.quantile(each[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
        rows.append((quantity, name, float(np.average(each, weights=posed.weights)), *ends, unit))

    for name in plans:
        add("expected cost", name, "cost points", cost[name])
        add("expected shortage", name, "weighted unit-days", short[name])
        tails = [measure_tail(short[name][one], np.full(count, 1 / count), tail)[0] for one in drawn]
        rows.append(("tail shortage", name, measure_tail(short[name], posed.weights, tail)[0],
                     *np.quantile(tails, [(1 - level) / 2, (1 + level) / 2]), "weighted unit-days"))
        if name != stochastic:
            quantity = "value of the stochastic solution" if name == point else "price of robustness"
            add(quantity, name, "cost points", cost[name] - cost[stochastic])
    if foresight:
        add("value of perfect information", stochastic, "cost points", cost[stochastic] - wait_and_see(posed))
    return pd.DataFrame(rows, columns=["quantity", "plan", "value", "low", "high", "unit"])
