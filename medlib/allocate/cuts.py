r"""Many scenarios in a program whose size does not depend on their number.

What each scenario leaves short is a convex function of the load that moves and surge put on a site (`Recourse`), so only the functions'
tangents, which are rows without scenarios, come into the program, and only where its solution lies below the function: the L-shaped
method of Van Slyke and Wets (1969), with a function of its own for every site, resource and period (Birge and Louveaux 1988). It
ends, when nothing is violated, at the optimum of the program in which all scenarios are written out.

The tail (conditional value at risk) is the same for scenarios and for groups of them, taken as their means, as long as no group has
members on different sides of where the tail begins, or some there (Espinoza and Moreno 2014). So a few groups get functions of their
own: at first one of the scenarios in the tail, and whenever the tail of the solution cuts through a group, the group is parted there.

References
----------
Van Slyke and Wets (1969), L-shaped linear programs with applications to optimal control and stochastic programming, doi:10.1137/0117061.
Birge and Louveaux (1988), A multicut algorithm for two-stage stochastic linear programs, doi:10.1016/0377-2217(88)90159-2.
Espinoza and Moreno (2014), A primal-dual aggregation algorithm for minimizing conditional value-at-risk in linear programs,
doi:10.1007/s10589-014-9692-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from medlib.allocate.model import Model
from medlib.allocate.problem import Problem
from medlib.allocate.recourse import DECIDED, Recourse, list_uncovered, weigh_load
from medlib.allocate.risk import Risk, average_scenarios, measure_tail, price_tail
from medlib.blocks import INFINITE, BlockHiGHS

#: Quantiles of need at which the functions have a tangent before the first solution is there; more of them take longer.
FIRST = (0.8,)
#: What may be left out of shortage at the end, relative to it; and of one function, which HiGHS' tolerance (1e-7) cannot tell.
EXACT, SLIGHT = 1e-7, 2e-7
#: A group of scenarios is parted when that explains so much of what the tail is underestimated by.
PART = 0.3


@dataclass(frozen=True, eq=False)
class Group:
    """Scenarios that the tail counts as one.

    Parameters
    ----------
    members : numpy.ndarray of bool
        Shape (S,).
    chances : numpy.ndarray
        Shape (S,): their probabilities, given the group.
    share : float
        Its probability.
    unmet : numpy.ndarray of int
        Shape (I, R, T): columns that are at least the group's mean unmet need.
    excess : int
        Column that is at least the group's mean shortage less the value at risk.
    """

    members: np.ndarray
    chances: np.ndarray
    share: float
    unmet: np.ndarray
    excess: int


class CutModel(Model):
    """A model in which tangents stand for the scenarios; see `Model`.

    In the family ``short``, of one scenario, is what does not fit into what is usable on average, less what fits easily, and ``unmet``
    is the expected unmet need. A plan read from it has shortage by scenario. What `lp` writes or materialises lacks the tangents, which
    only the live HiGHS model has; for a program that other solvers can read, take a `Model`.

    Parameters
    ----------
    posed : Problem
        One of which `list_uncovered` lists nothing, and in which nothing is integer.
    risk : Risk
        mean or cvar.
    """

    def __init__(self, posed: Problem, risk: Risk | None = None):
        self._asked, self.recourse = posed, Recourse(posed)
        super().__init__(average_scenarios(posed), risk)

    @property
    def asked(self) -> Problem:
        """The problem with all its scenarios."""
        return self._asked

    def add_risk(self) -> None:
        """Let expected unmet need, and the tail, take the place of shortage by scenario."""
        self.short.update(low=-INFINITE)
        self.unmet = self.lp.add_columns("unmet", self.axes("site", np.arange(len(self.posed.names))))
        self.parts["shortage"] = [(self.unmet, self.recourse.cost[:, None])]
        self.tail = self.value = None
        if self.risk.measure == "cvar":
            self.value = self.lp.add_columns("value_at_risk", {}, low=-INFINITE)
            self.tail = self.lp.add_columns("tail", {})
            self.count("tail_shortage", self.tail)
            price_tail(self, self.risk)

    def update(self, posed: Problem) -> None:
        """As `Model.update`; scenarios may have other weights, too. Tangents are made anew."""
        before = self._asked
        self._asked = posed
        try:
            super().update(average_scenarios(posed))
        except Exception:
            self._asked = before
            raise
        self.recourse, self.lp.live = Recourse(posed), None

    def make_solver(self, **options) -> BlockHiGHS:
        """HiGHS that adds tangents until none is violated."""
        return CutHiGHS(self, **{name: value for name, value in options.items() if name != "apart"})

    def counts(self, part: str) -> bool:
        """A part has a price, or somebody limits it."""
        return any(columns.cost.any() for columns, _ in self.parts[part]) or any(
            name.endswith((f"_{part}", "_cost")) and (rows.high < INFINITE).any() for name, rows in self.lp.rows.items())


class CutHiGHS(BlockHiGHS):
    """HiGHS for a `CutModel`."""

    def __init__(self, model: CutModel, **options):
        super().__init__(**options)
        self.model = model

    def callSolver(self, lp) -> None:
        """Run HiGHS, and again with the tangents that its solution lacks."""
        cuts, live = getattr(self.model, "cuts", None), lp.live[0]
        if cuts is None or cuts.live is not live:
            cuts = self.model.cuts = Cuts(self.model, live)
        super().callSolver(lp)
        # The simplex method goes on from the last solution.
        live.highs.setOptionValue("solver", "simplex")
        while live.highs.getModelStatus() == highspy.HighsModelStatus.kOptimal and cuts.improve():
            super().callSolver(lp)


class Cuts:
    """The tangents in a live HiGHS model."""

    def __init__(self, model: CutModel, live):
        self.model, self.live, self.highs, self.recourse = model, live, live.highs, model.recourse
        self.weights, self.groups, self.idle = model.asked.weights, [], np.ones(len(model.asked.weights), bool)
        needs = model.posed.needs
        #: Load is what of `short` a resource has itself, and what of it those have that need it.
        self.spread = np.eye(len(needs)) + needs
        self.centre = np.tensordot(self.weights, self.recourse.gap, 1)
        self.whole = Group(np.ones(len(self.weights), bool), self.weights, 1.0, model.unmet.index, -1)
        for level in FIRST:
            load = -np.quantile(self.recourse.gap, level, axis=0)
            self.add_tangents(load, self.recourse.find_unmet(load), [self.whole])
        if model.tail is not None:
            unmet = self.recourse.find_unmet(np.zeros_like(self.centre))
            costs = self.recourse.weigh(unmet)
            self.add_group(costs >= measure_tail(costs, self.weights, model.risk.level)[1], np.zeros_like(self.centre), unmet)
            self._bound_tail()

    def improve(self) -> bool:
        """Add what the solution lacks; False if that is nothing."""
        model, recourse = self.model, self.recourse
        values = np.array(self.highs.getSolution().col_value)
        load = weigh_load(model.asked, {name: np.maximum(model.lp.columns[name].shape_up(values[model.lp.columns[name].span]), 0.0)
                                        for name in DECIDED if name in model.lp.columns})
        unmet = recourse.find_unmet(load)
        costs = recourse.weigh(unmet)
        lacking = [self.whole] if model.counts("shortage") and self._lacks(self.whole, values, unmet, EXACT) else []
        if model.tail is not None and model.counts("tail_shortage"):
            tail, start = measure_tail(costs, self.weights, model.risk.level)
            missed = tail - values[model.tail.span.start]
            if missed > EXACT * max(tail, 1.0):
                lacking += [group for group in self.groups if self._lacks(group, values, unmet, 0.0)]
                if tail - self._group_tail(costs) > PART * missed:
                    return bool(self._part(costs, start, load, unmet) + self.add_tangents(load, unmet, lacking, values))
        return self.add_tangents(load, unmet, lacking, values) > 0

    def _lacks(self, group: Group, values: np.ndarray, unmet: np.ndarray, share: float) -> bool:
        mean = np.tensordot(group.chances, unmet, 1)
        lacking = mean - values[group.unmet]
        lacking = np.where(lacking > SLIGHT, lacking, 0.0).sum(axis=(0, 2)) @ self.recourse.cost
        return lacking > share * max(mean.sum(axis=(0, 2)) @ self.recourse.cost, 1.0)

    def _group_tail(self, costs: np.ndarray) -> float:
        """The tail, if each group cost its mean in every scenario, and scenarios without a group nothing."""
        means, shares = [group.chances @ costs for group in self.groups], [group.share for group in self.groups]
        return measure_tail(np.array([*means, 0.0]), np.array([*shares, self.weights[self.idle].sum()]), self.model.risk.level)[0]

    def _part(self, costs: np.ndarray, start: float, load: np.ndarray, unmet: np.ndarray) -> int:
        """Part the groups of which some lie above, at or below the tail's beginning and others do not; the number of new groups."""
        side, before = np.sign(np.where(np.abs(costs - start) <= EXACT * max(start, 1.0), 0.0, costs - start)), len(self.groups)
        for group in list(self.groups):
            parts = [members for one in (1, 0, -1) if self.weights[members := group.members & (side == one)].sum() > 0]
            if len(parts) > 1:
                self.groups.remove(group)
                self._link(group, [self.add_group(members, load, unmet) for members in parts])
        for one in (1, 0):
            if self.weights[joining := self.idle & (side == one)].sum() > 0:
                self.add_group(joining, load, unmet)
        if len(self.groups) > before:
            self._bound_tail()
        return len(self.groups) - before

    def _bound_tail(self) -> None:
        """Let the tail be at least that of the groups. Rows of groups that were parted stay: they hold, and the last basis with them."""
        columns = [self.model.tail.span.start, self.model.value.span.start, *(group.excess for group in self.groups)]
        shares = [-group.share / (1 - self.model.risk.level) for group in self.groups]
        self._add_rows(np.zeros(1), np.array([columns]), np.array([1.0, -1.0, *shares]))

    def add_group(self, members: np.ndarray, load: np.ndarray, unmet: np.ndarray) -> Group:
        """Give scenarios columns of their own, with the tangents at a load."""
        share, first, size = float(self.weights[members].sum()), self.highs.getNumCol(), self.whole.unmet.size
        zero, shape = np.zeros(size + 1), self.whole.unmet.shape
        self.highs.addCols(size + 1, zero, zero, np.full(size + 1, INFINITE), 0, np.zeros(size + 1, np.int32), np.zeros(0, np.int32),
                           np.zeros(0))
        group = Group(members, np.where(members, self.weights, 0.0) / share, share, np.arange(first, first + size).reshape(shape),
                      first + size)
        cost = np.broadcast_to(self.recourse.cost[:, None], shape).ravel()
        columns = np.concatenate([[group.excess, self.model.value.span.start], group.unmet.ravel()])
        self.highs.addRow(0.0, INFINITE, size + 2, columns.astype(np.int32), np.concatenate([[1.0, 1.0], -cost]))
        self.groups.append(group)
        self.idle = self.idle & ~members
        self.add_tangents(load, unmet, [group])
        return group

    def _link(self, group: Group, parts: list[Group]) -> None:
        """What is known of a group holds for its parts' mean."""
        columns = np.stack([group.unmet, *(part.unmet for part in parts)], axis=-1).reshape(-1, 1 + len(parts))
        values = np.tile([-group.share, *(part.share for part in parts)], len(columns))
        self._add_rows(np.zeros(len(columns)), columns, values)

    def add_tangents(self, load: np.ndarray, unmet: np.ndarray, groups: list[Group], values: np.ndarray | None = None) -> int:
        """Add the tangents at a load to the functions of groups, where given values violate them; their number."""
        if not groups:
            return 0
        slopes, count = self.recourse.list_slopes(load, unmet), 0
        # Slope of resource r's function by the column `short` of each resource p on which it depends.
        short = self.model.short.index[0]
        for resource, by_source in enumerate(slopes):
            sources = np.flatnonzero(self.spread[:, resource])
            for group in groups:
                height = np.tensordot(group.chances, unmet[:, :, resource], 1)
                mean = {source: np.tensordot(group.chances, slope, 1) for source, slope in by_source.items()}
                pick = np.ones(height.shape, bool) if values is None else height > values[group.unmet[:, resource]] + SLIGHT
                site, period = np.nonzero(pick)
                # In the program, load is the centre of gaps less what is in `short`.
                low = height - sum(slope * (load + self.centre)[:, source] for source, slope in mean.items())
                columns = np.stack([group.unmet[site, resource, period], *(short[site, source, period] for source in sources)], axis=1)
                amount = [sum(self.spread[source, other] * slope for other, slope in mean.items())[pick] for source in sources]
                self._add_rows(low[pick], columns, np.stack([np.ones(len(site)), *(-part for part in amount)], axis=1).ravel())
                count += len(site)
        return count

    def _add_rows(self, low: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        """Add rows that are at least `low`; each row of `columns` has as many values."""
        count, width = columns.shape
        self.highs.addRows(count, low, np.full(count, INFINITE), columns.size, np.arange(0, columns.size, width, dtype=np.int32),
                           columns.astype(np.int32).ravel(), values)


def can_cut(posed: Problem, risk: Risk) -> bool:
    """Whether tangents can stand for the scenarios."""
    levels = posed.levels.reindex(columns=["setup_cost", "teardown_days"]).fillna(0.0).to_numpy(float)
    whole = posed.rules.integer or posed.at.lot_size.any() or (levels > 0).any()
    return risk.measure in ("mean", "cvar") and not whole and not list_uncovered(posed)
