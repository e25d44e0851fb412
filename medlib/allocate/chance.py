"""The solver for chance constraints by sample: which scenarios may fail is searched, all else is linear.

A node of the search keeps some scenarios and lets some fail; the others are not constrained yet. Where the scenarios that its solution
fails are few enough, it is an answer; elsewhere one of them is either kept, which costs a linear program that starts warm, or let fail,
which costs nothing. Big constants, with which branch and bound has no bound to speak of, stay out of it.
"""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import highspy
import numpy as np

from medlib.blocks import BlockHiGHS
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.allocate.model import Model

#: Probabilities that add up to the level, and shortage, may miss their limits by so much.
ROUNDING = 1e-6
#: Every so many nodes a choice is completed by guessing.
GUESS = 8


class Node(NamedTuple):
    """A part of the search: no choice in it costs less than the bound."""

    bound: float
    number: int
    kept: np.ndarray
    failed: np.ndarray
    totals: np.ndarray
    basis: highspy.HighsBasis


class Found(NamedTuple):
    """The best choice, what no choice costs less than, and whether they are as close as was asked."""

    cost: float
    bound: float
    failing: np.ndarray | None
    done: bool


class ChanceHiGHS(BlockHiGHS):
    """HiGHS for a model with a chance constraint; other integers leave the search to HiGHS' own branch and bound."""

    def __init__(self, model: Model, **options):
        super().__init__(**options)
        self.model, self.found, self.numbers = model, None, count()
        self.allowed = model.risk.allowed + ROUNDING * max(1.0, model.risk.allowed)

    def callSolver(self, lp) -> None:
        """Search, best bound first, until the gap is reached or the time is up; the best choice is solved last."""
        late, self.found = self.model.late, None
        if not self.mip or any(family.size for family in lp.columns.values() if family.integer and family is not late):
            return super().callSolver(lp)
        self.highs, self.columns = lp.live[0].highs, np.arange(late.span.start, late.span.stop, dtype=np.int32)
        # Relaxations of integer programs do not start warm in HiGHS, linear programs do.
        self.highs.changeColsIntegrality(late.size, self.columns, np.full(late.size, int(highspy.HighsVarType.kContinuous), np.uint8))
        self.highs.changeRowBounds(lp.rows["chance"].span.start, -np.inf, np.inf)
        gap, patience = (self.highs.getOptionValue(name)[1] for name in ("mip_rel_gap", "time_limit"))
        for name, value in {"solver": "simplex", "time_limit": np.inf}.items():
            self.highs.setOptionValue(name, value)
        self.found = self._search(gap, time.monotonic() + patience)
        if self.found.failing is None:
            risk, lp.live = self.model.risk, None
            reason = "no plan does" if self.found.done else "no such plan was found in time"
            raise MedlibError(f"Shortage must be at most {risk.allowed} with probability {risk.level}, and {reason}; raise allowed or "
                              "lower level.")
        self._solve(~self.found.failing, None)
        return None

    def findSolutionValues(self, lp):
        """Read as ever; whether the choice is the best, the search knows."""
        status = super().findSolutionValues(lp)
        if self.found is not None:
            lp.gap = max(self.found.cost - self.found.bound, 0.0) / max(abs(self.found.cost), 1.0)
            lp.outcome = lp.outcome if self.found.done else "Time limit reached"
        return status

    def _search(self, gap: float, until: float) -> Found:
        weights, most = self.model.posed.weights, 1 - self.model.risk.level + ROUNDING
        none, best, failing = np.zeros(len(weights), bool), np.inf, None
        nodes = [root] if (root := self._solve(none, None)) else []
        for turn in count():
            if not nodes or best < np.inf and best - nodes[0].bound <= gap * max(abs(best), 1.0):
                return Found(best, nodes[0].bound if nodes else best, failing, True)
            if time.monotonic() > until:
                return Found(best, nodes[0].bound, failing, False)
            node = heapq.heappop(nodes)
            open_ = ~node.kept & ~node.failed & (node.totals > self.allowed)
            if weights[node.failed | open_].sum() <= most:
                best, failing = node.bound, node.failed | open_
                nodes = []
                continue
            if turn % GUESS == 0:
                guess = self._fail(node, most)
                answer = self._solve(~guess, node.basis)
                if answer and answer.bound < best:
                    best, failing = answer.bound, guess
            scenario = int(np.where(open_, node.totals, -1.0).argmax())
            one = np.arange(len(weights)) == scenario
            if weights[node.failed | one].sum() <= most:
                heapq.heappush(nodes, node._replace(number=next(self.numbers), failed=node.failed | one))
            kept = self._solve(node.kept | one, node.basis)
            if kept and kept.bound < best:
                heapq.heappush(nodes, kept._replace(failed=node.failed))

    def _fail(self, node: Node, most: float) -> np.ndarray:
        """Let those fail in addition that are worst, as long as they fit."""
        weights, failed = self.model.posed.weights, node.failed.copy()
        for scenario in np.argsort(-node.totals, kind="stable"):
            if not node.kept[scenario] and not failed[scenario] and weights[failed].sum() + weights[scenario] <= most:
                failed[scenario] = True
        return failed

    def _solve(self, kept: np.ndarray, basis: highspy.HighsBasis | None) -> Node | None:
        """Solve with some scenarios kept and nothing asked of the others; None where that cannot be."""
        free = (~kept).astype(float)
        self.highs.changeColsBounds(len(kept), self.columns, free, free)
        if basis is not None:
            self.highs.setBasis(basis)
        self.highs.run()
        if self.highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution, rows = self.highs.getSolution(), self.model.lp.rows["kept"]
        totals = np.array(solution.row_value)[rows.span] + self.model.most * free
        return Node(self.highs.getObjectiveValue(), next(self.numbers), kept, np.zeros(len(kept), bool), totals, self.highs.getBasis())
