r"""Fairness as a part of the objective, at a price, so that another weight is another cost and the solver goes on from where it was.

With :math:`L_k` the weighted unit-days that site k is short of, and :math:`p_k` its share of all demand that the forecast expects,

* ``worst`` adds :math:`w \max_k L_k / p_k`: the shortage of all sites if all were served like the worst served one;
* ``gini`` adds :math:`w \sum_{j<k} |p_k L_j - p_j L_k|`: the sum of shortage times its Gini coefficient (Sen's welfare, turned round).

Both grow with every :math:`L_k` added to the sum for w up to 1, so that evenness is never bought by leaving somebody short. A site counts by
its demand in the whole forecast, whichever scenario is looked at.

References
----------
Sen (1976), Real national income, The Review of Economic Studies, doi:10.2307/2296597.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.allocate import Model, Plan, Problem, read_plan
from medlib.allocate.fairness import UNFAIRNESS
from medlib.blocks import INFINITE
from medlib.whatif.state import State


def share_demand(posed: Problem) -> np.ndarray:
    """Shape (I,): share of each site in all weighted demand that is expected; 0 in all where there is none."""
    need = np.einsum("irt,r->i", posed.mean_demand, posed.at.weight)
    return need / max(need.sum(), 1e-300)


class Weighing:
    """The criteria in a model; they count nothing until `weigh`.

    Parameters
    ----------
    model : Model
        One that writes all scenarios out, not solved yet.
    size : numpy.ndarray
        Shape (I,): as from `share_demand`.
    """

    def __init__(self, model: Model, size: np.ndarray):
        self.model, lp, posed = model, model.lp, model.posed
        places = np.flatnonzero(size > 0)
        self.empty = np.flatnonzero(size <= 0)
        axes = {"unit": list(posed.sites)}
        self.lack = lp.add_columns("lack", axes)
        rows = lp.add_rows("lack", axes, low=0.0, high=0.0)
        rows.add(self.lack.index)
        for columns, each in model.parts["shortage"]:
            rows.add(columns.index, -np.broadcast_to(each, columns.shape), at=rows.index[:, None, None])
        self.worst = lp.add_columns("worst", {})
        self.worst_rows = lp.add_rows("worst", axes, high=INFINITE, where=size > 0)
        self.worst_rows.add(self.lack.index)
        self.worst_rows.add(self.worst.index[None], -size, at=self.worst_rows.index)
        first, second = (places[side] for side in np.triu_indices(len(places), 1))
        axes = {"pair": pd.MultiIndex.from_arrays([np.array(posed.sites)[first], np.array(posed.sites)[second]])}
        self.apart = lp.add_columns("apart", axes)
        self.pairs = []
        for name, sign in (("ahead", 1.0), ("behind", -1.0)):
            rows = lp.add_rows(name, axes, high=INFINITE)
            rows.add(self.lack.index[first], sign * size[second])
            rows.add(self.lack.index[second], -sign * size[first])
            rows.add(self.apart.index, -1.0)
            self.pairs.append(rows)
        model.prices[UNFAIRNESS] = 0.0
        # Both stand in the part that has the price, so that either can be weighed.
        model.parts[UNFAIRNESS] = [(self.worst, 0.0), (self.apart, 0.0)]

    def weigh(self, state: State) -> None:
        """Let the state's criterion count at its weight; rows of the other bind nothing."""
        kind = state.fairness if state.weighs else "none"
        self.worst_rows.update(high=0.0 if kind == "worst" else INFINITE)
        for rows in self.pairs:
            rows.update(high=0.0 if kind == "gini" else INFINITE)
        # Who has no demand takes only whom it can serve: nobody is made equal by sending patients where nobody counts them.
        high = np.full(len(self.model.posed.sites), INFINITE)
        high[self.empty] = INFINITE if kind == "none" else 0.0
        self.lack.update(high=high)
        self.model.parts[UNFAIRNESS] = [(self.worst, float(kind == "worst")), (self.apart, float(kind == "gini"))]
        self.model.prices[UNFAIRNESS] = state.fairness_weight * self.model.posed.rules.shortage_cost if state.weighs else 0.0


def solve_weighed(posed: Problem, state: State, size: np.ndarray) -> Plan:
    """Solve a problem in which the state's fairness counts.

    Parameters
    ----------
    posed : Problem
        As from `change_problem`.
    state : State
    size : numpy.ndarray
        Shape (I,): as from `share_demand` of the whole forecast's problem.

    Returns
    -------
    Plan
        Its objective, in cost points, has what the criterion counts in it; so have its parts.
    """
    model = Model(posed)
    Weighing(model, size).weigh(state)
    return read_plan(model)
