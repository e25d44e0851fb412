r"""Expected shortage as a sum of steps, so that most rows of the program do not depend on the number of scenarios.

What scenario s leaves short of a resource that no other requires is ``max(load + a[s], 0)``, with the load that moves and surge put on a site,
and the scenario's own lack ``a[s]``. Sorted from the largest lack down, a load that grows meets one scenario after the other; so the expectation
is the cheapest filling of steps

.. math:: \min \textstyle\sum_k (w_{(1)} + \dots + w_{(k)})\, step_k \quad\text{with}\quad \sum_k step_k \ge load + a_{(1)},
   \quad 0 \le step_k \le a_{(k)} - a_{(k+1)}

the last of them endless (a separable convex cost, Dantzig 1956). One row takes the place of one for each scenario, and other figures are other
bounds: the simplex method needs a few times fewer and shorter iterations, from scratch and from the last basis. A resource that others
require keeps its rows by scenario: there, what scenario s leaves short of the others is the sum of the steps from its place on.

References
----------
Dantzig (1956), Recent advances in linear programming, Management Science, doi:10.1287/mnsc.2.2.131.
"""

from __future__ import annotations

import numpy as np

from medlib.allocate import units
from medlib.allocate.model import Model
from medlib.allocate.problem import Problem
from medlib.blocks import INFINITE, Rows


class StepModel(Model):
    """A model that counts expected shortage by steps; see `Model`.

    Parameters
    ----------
    posed : Problem

    Attributes
    ----------
    steps : medlib.blocks.Columns
        Shape (S, I, summed, T): ``step`` of `summed` resources, which have no columns in ``short``.
    slopes : numpy.ndarray
        Of that shape: expected unit-days short by unit of a step.
    """

    def __init__(self, posed: Problem):
        self.summed, self.order = list_summed(posed), None
        super().__init__(posed)

    @property
    def ties(self) -> bool:
        """Rows by scenario hold steps, so that they depend on the order in which scenarios are met."""
        return bool((self.posed.needs[self.summed] > 0).any())

    def add_shortage(self) -> None:
        """Add shortage by scenario, and steps where they take its place."""
        super().add_shortage()
        self.rank(units.count_room(self))
        self.steps = self.lp.add_columns("step", {"step": range(len(self.posed.weights)), **self.axes("site", self.summed)})
        self.count("shortage", self.steps, self.slopes * self.posed.at.weight[self.summed, None])

    def add_unmet(self, rows: Rows, at: np.ndarray, resource: int, each: float) -> None:
        """As `Model.add_unmet`; of a summed resource, what a scenario leaves short is all steps from its place on."""
        if resource not in self.summed:
            super().add_unmet(rows, at, resource, each)
            return
        number = list(self.summed).index(resource)
        rank = np.argsort(self.order[:, :, number], axis=0, kind="stable")
        behind = np.arange(len(rank))[:, None, None, None] >= rank
        rows.add(np.where(behind, self.steps.index[:, None, :, number], -1), each, at=at[None])

    def add_usable(self) -> None:
        """Add what fits into what may be used; a summed resource has one row for all scenarios."""
        super().add_usable()
        place = np.searchsorted(self.movable, self.summed)
        self.usable.add(self.steps.index, -1.0, at=self.usable.index[:1, :, place])

    def set_room(self, room: np.ndarray) -> None:
        """Set how far needs exceed what there is; scenarios that change places have other slopes then, which `set_objective` sends."""
        if not self.keeps_order(room):
            self.rank(room)
            terms = self.parts["shortage"]
            place = next(number for number, (columns, _) in enumerate(terms) if columns is self.steps)
            terms[place] = self.steps, self.slopes * self.posed.at.weight[self.summed, None]
        lack = np.take_along_axis(self._pick(room), self.order, 0)
        room = room.copy()
        room[0][:, np.searchsorted(self.movable, self.summed)] = lack[0]
        self.steps.update(high=np.diff(lack, axis=0, append=np.full_like(lack[:1], INFINITE)))
        super().set_room(room)

    def rank(self, room: np.ndarray) -> None:
        """Find which scenario a growing load meets first, second and so on."""
        self.order = np.argsort(self._pick(room), axis=0, kind="stable")
        self.slopes = np.cumsum(self.posed.weights[self.order], axis=0)

    def keeps_order(self, room: np.ndarray) -> bool:
        """A growing load meets the scenarios in the same order as before."""
        return bool((np.diff(np.take_along_axis(self._pick(room), self.order, 0), axis=0) >= 0).all())

    def _pick(self, room: np.ndarray) -> np.ndarray:
        return room[:, :, np.searchsorted(self.movable, self.summed)]


def list_summed(posed: Problem) -> np.ndarray:
    """Resources whose expected shortage is a function of their own load alone."""
    movable = posed.at.movable
    if posed.rules.protect_sites:
        return movable[:0]
    free = ~(posed.at.tiered | posed.at.shifted | (posed.needs > 0).any(axis=0))
    return movable[free[movable]]
