r"""Expected shortage as a sum of steps, so that a program answers several times sooner, from scratch and from its last basis.

What scenario s leaves short of a resource is ``max(load + a[s], 0)``, with the load that moves and surge put on a site, and the scenario's own
lack ``a[s]``. Sorted from the largest lack down, a load that grows meets one scenario after the other; so the expectation is the cheapest
filling of steps

.. math:: \min \textstyle\sum_k (w_{(1)} + \dots + w_{(k)})\, step_k \quad\text{with}\quad \sum_k step_k \ge load + a_{(1)},
   \quad 0 \le step_k \le a_{(k)} - a_{(k+1)}

the last of them endless (a separable convex cost, Dantzig 1956). One row takes the place of one for each scenario, and other figures are other
bounds. What the k-th scenario leaves short is the sum of the steps from k on. So where b requires q units of a resource, the steps of both
share room, ``step_k + sum over b of q[b] step[b]_k <= a_(k) - a_(k+1)``, if all meet the scenarios in the same order; where they do not, the
required resource keeps its rows by scenario.

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

#: Lacks in the wrong order by so few units are rounding.
SLIGHT = 1e-9


class StepModel(Model):
    """A model that counts expected shortage by steps; see `Model`.

    Parameters
    ----------
    posed : Problem

    Attributes
    ----------
    summed : numpy.ndarray of int
        Resources that have steps, and no columns in ``short``.
    steps : medlib.blocks.Columns
        Shape (S, I, summed, T): ``step``.
    """

    def __init__(self, posed: Problem):
        self.summed = list_summed(posed)
        if not self.agrees(posed):
            self.summed = self.summed[~(posed.needs[:, self.summed] > 0).any(axis=0)]
        self.order = self.sort_scenarios(posed)
        super().__init__(posed)

    @property
    def slopes(self) -> np.ndarray:
        """Shape (S, I, summed, T): expected unit-days short by unit of a step."""
        return np.cumsum(self.posed.weights[self.order], axis=0)

    @property
    def ties(self) -> bool:
        """Rows by scenario hold steps, so that they depend on the order in which scenarios are met."""
        others = np.setdiff1d(np.arange(len(self.posed.names)), self.summed)
        return bool((self.posed.needs[np.ix_(self.summed, others)] > 0).any())

    def add_shortage(self) -> None:
        """Add shortage by scenario, and steps where they take its place."""
        super().add_shortage()
        axes, needs = {"step": range(len(self.posed.weights)), **self.axes("site", self.summed)}, self.posed.needs[np.ix_(self.summed, self.summed)]
        self.steps = self.lp.add_columns("step", axes)
        self.count("shortage", self.steps, self.slopes * self.posed.at.weight[self.summed, None])
        last = np.arange(len(self.posed.weights)) == len(self.posed.weights) - 1
        self.shared = self.lp.add_rows("step", axes, where=(needs > 0).any(axis=0)[:, None] & ~last[:, None, None, None])
        self.shared.add(self.steps.index)
        for number, each in np.argwhere(needs > 0):
            self.shared.add(self.steps.index[:, :, number], needs[number, each], at=self.shared.index[:, :, each])

    def add_unmet(self, rows: Rows, at: np.ndarray, resource: int, each: float) -> None:
        """As `Model.add_unmet`; of a summed resource, what a scenario leaves short is all steps from its place on."""
        if resource not in self.summed:
            super().add_unmet(rows, at, resource, each)
            return
        number = int(np.searchsorted(self.summed, resource))
        rank = np.argsort(self.order[:, :, number], axis=0, kind="stable")
        if (at[1:] < 0).all():
            rank = np.zeros_like(rank)  # a row for all scenarios is that of the one which is met first
        behind = np.arange(len(rank))[:, None, None, None] >= rank
        rows.add(np.where(behind, self.steps.index[:, None, :, number], -1), each, at=at[None])

    def add_usable(self) -> None:
        """Add what fits into what may be used; a summed resource has one row for all scenarios."""
        super().add_usable()
        self.usable.add(self.steps.index, -1.0, at=self.usable.index[:1, :, np.searchsorted(self.movable, self.summed)])

    def set_room(self, room: np.ndarray) -> None:
        """Set what there is less what is needed; scenarios that change places have other slopes then, which `set_objective` sends."""
        self.order = self.sort_scenarios(self.posed)
        each = self.slopes * self.posed.at.weight[self.summed, None]
        self.parts["shortage"] = [(columns, each if columns is self.steps else known) for columns, known in self.parts["shortage"]]
        least, widths = self.measure_steps(self.posed, self.order)
        room = room.copy()
        room[0][:, np.searchsorted(self.movable, self.summed)] = least
        self.steps.update(high=widths)
        self.shared.update(high=widths)
        super().set_room(room)

    def sort_scenarios(self, posed: Problem) -> np.ndarray:
        """Shape (S, I, summed, T): the scenario that a growing load meets first, second and so on; the last order, where it holds."""
        room = units.count_room(posed)[:, :, np.searchsorted(posed.at.movable, self.summed)]
        if "order" in self.__dict__ and _rises(room, self.order):
            return self.order
        # Resources that require each other are sorted by what they lack together.
        needs = posed.needs[np.ix_(self.summed, self.summed)]
        together = (np.eye(len(needs)) + needs + needs.T) > 0
        for _ in self.summed:
            together = together @ together
        return np.argsort(np.einsum("sirt,rq->siqt", room, together.astype(float)), axis=0, kind="stable")

    def measure_steps(self, posed: Problem, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape (I, summed, T): room in the scenario that is met first. Shape (S, I, summed, T): the steps' widths, the last endless."""
        room = np.take_along_axis(units.count_room(posed)[:, :, np.searchsorted(posed.at.movable, self.summed)], order, 0)
        return room[0], np.maximum(np.diff(room, axis=0, append=np.full_like(room[:1], INFINITE)), 0.0)

    def agrees(self, posed: Problem) -> bool:
        """A load meets the scenarios in one order, and there is room for the steps of whoever requires a resource."""
        order = self.sort_scenarios(posed)
        room = units.count_room(posed)[:, :, np.searchsorted(posed.at.movable, self.summed)]
        if not _rises(room, order):
            return False
        widths, needs = self.measure_steps(posed, order)[1][:-1], posed.needs[np.ix_(self.summed, self.summed)]
        return bool((np.einsum("rq,kirt->kiqt", needs, widths) <= widths + SLIGHT)[:, :, (needs > 0).any(axis=0)].all())

    def takes(self, posed: Problem, in_order: bool = False) -> bool:
        """Another problem's figures are bounds and costs in this model; with `in_order`, scenarios are met in the same order, too."""
        alike = not (self.ties or in_order) or np.array_equal(self.sort_scenarios(posed), self.order)
        return alike and self.agrees(posed)


def _rises(room: np.ndarray, order: np.ndarray) -> bool:
    return room.shape == order.shape and bool((np.diff(np.take_along_axis(room, order, 0), axis=0) >= -SLIGHT).all())


def list_summed(posed: Problem) -> np.ndarray:
    """Beds, staff and equipment whose shortage steps can count, as long as all meet scenarios in the same order."""
    movable, needs = posed.at.movable, posed.needs
    if posed.rules.protect_sites:
        return movable[:0]
    free = np.isin(np.arange(len(needs)), movable) & ~posed.at.tiered & ~posed.at.shifted
    # Whatever requires a resource has to have steps, too.
    while (lost := free & (needs[~free] > 0).any(axis=0)).any():
        free &= ~lost
    return movable[free[movable]]
