r"""The program whose rules can be let go: the cheapest relaxation, and a smallest set of rules that cannot hold together.

What describes the world (who is where, what is there, what is needed) is taken as given. *Rules* are what somebody asked for: limits,
budgets, protection, and what was added by hand. With every rule's bound b let go by u at a price w,

.. math:: \min \sum_i w_i u_i \quad \text{so that the world holds and } a_i x \le b_i + u_i, \; u \ge 0

is the cheapest relaxation. A smallest conflicting set is found by hitting sets: what a relaxation lets go, of rules outside a set that can
hold together, every conflict must meet; a smallest set that meets all of these, and cannot hold, is a smallest conflict.

References
----------
Chinneck (2008), Feasibility and infeasibility in optimization, doi:10.1007/978-0-387-74932-7 (elastic programs, deletion filter).
Ignatiev, Previti, Liffiton, Marques-Silva (2015), Smallest MUS extraction with minimal hitting set dualization,
doi:10.1007/978-3-319-23219-5_13.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import highspy
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from medlib.allocate import Infeasible
from medlib.blocks import BlockProblem, Columns, Rows
from medlib.blocks.hand import ByHand
from medlib.blocks.matrix import assemble, list_columns, list_rows
from medlib.errors import MedlibError

#: Price of one unit by which a rule is let go, by family; rows by hand have the name HAND, limits of parts their own.
HAND = "by hand"
WEIGHTS = {"day_budget": 1.0, "site_budget": 1.0, "release": 1.0, "release_drugs": 1.0, "transport": 0.01, "move": 1.0,
           "short": 1.0, HAND: 1.0}
#: Limits of parts of the objective are asked for under names that begin so.
LIMITS = ("limit_", "all_", "hold_")
#: What is let go by less is kept.
NOISE = 1e-6
#: Seconds for one solve.
PATIENCE = 60.0
#: Most solves in the search for a smallest conflict, after which an irreducible one must do, and seconds, after which none is told.
STEPS, SEARCH = 60, 90.0
#: Programs with more columns are solved by the interior point method, which is faster there.
WIDE = 10_000


class OutOfTime(MedlibError):
    """One solve took longer than `PATIENCE`."""


@dataclass(frozen=True)
class Rule:
    """One bound that somebody asked for.

    Parameters
    ----------
    family : str
        Family of rows or columns; `HAND` for a row or variable by hand.
    name : str
        As in the program.
    labels : dict of str to object
        Site, resource, date and so on.
    side : {"at most", "at least", "exactly"}
    bound : float
    number : int
        Of its row, or where it bounds a variable, of its column.
    of_row : bool
    weight : float
        Price of a unit by which it is let go.
    """

    family: str
    name: str
    labels: dict
    side: str
    bound: float
    number: int
    of_row: bool
    weight: float


def list_rules(lp: BlockProblem, weights: Mapping[str, float]) -> list[Rule]:
    """Every bound that somebody asked for and that is finite, at its price; those of infinite price are left out."""
    hand, rules = ByHand(lp), []
    for family in chain(lp.rows.values(), lp.columns.values()):
        weight = weights.get(family.name, 1.0 if family.name.startswith(LIMITS) else np.inf)
        sides = [("at most", family.high)] + ([("at least", family.low)] if isinstance(family, Rows) else [])
        for side, bounds in sides if np.isfinite(weight) else ():
            rules += [_read_rule(family, side, place, float(bounds[place]), weight) for place in np.flatnonzero(np.isfinite(bounds))]
    if np.isfinite(weights[HAND]):
        rules += _list_by_hand(lp, hand, weights[HAND])
    return rules


def _read_rule(family: Rows | Columns, side: str, place: int, bound: float, weight: float) -> Rule:
    position = tuple(np.argwhere(family.index == family.span.start + place)[0])
    labels = {}
    for (axis, known), at in zip(family.axes.items(), position):
        label = known[at]
        labels |= dict(zip(known.names, label)) if isinstance(known, pd.MultiIndex) else {axis: label}
    return Rule(family.name, family.write_name(*position), labels, side, bound, family.span.start + place, isinstance(family, Rows), weight)


def _list_by_hand(lp: BlockProblem, hand: ByHand, weight: float) -> list[Rule]:
    rules = [Rule(HAND, row.name, {}, side, float(bound), lp.row_count + place, True, weight)
             for place, (row, (low, high)) in enumerate(zip(hand.rows, hand.row_bounds))
             for side, bound in ((("exactly", low),) if low == high else (("at least", low), ("at most", high))) if np.isfinite(bound)]
    own = np.concatenate([np.stack([family.low, family.high], axis=1) for family in lp.columns.values()])
    rules += [Rule(HAND, lp.touched[column].name, {}, side, float(bounds[end]), int(column), False, weight)
              for column, bounds in zip(hand.columns, hand.bounds) if column < lp.column_count
              for end, side in enumerate(("at least", "at most")) if bounds[end] != own[column, end]]
    return rules


class Elastic:
    """The program whose rules can be let go, each at a price; its objective is what letting go costs, not what the plan costs."""

    def __init__(self, lp: BlockProblem, rules: list[Rule]):
        hand = ByHand(lp)
        low, high, _, self.integer = list_columns(lp, hand)
        row_low, row_high = list_rows(lp, hand)
        matrix = sparse.csc_array(assemble(lp, hand))
        self.rules, self.width, count = rules, matrix.shape[1], len(rules)
        # Every rule is a row of its own; where it was, nothing is asked any more.
        rows, columns = matrix.tocsr(), sparse.eye_array(self.width, format="csr")
        picked = sparse.vstack([(rows if rule.of_row else columns)[[rule.number]] for rule in rules] or [rows[:0]])
        own_low, own_high = (np.array([rule.bound if rule.side in sides else infinite for rule in rules])
                             for sides, infinite in ((("at least", "exactly"), -np.inf), (("at most", "exactly"), np.inf)))
        for rule in rules:
            below, above = (row_low, row_high) if rule.of_row else (low, high)
            below[rule.number] = -np.inf if rule.side != "at most" else below[rule.number]
            above[rule.number] = np.inf if rule.side != "at least" else above[rule.number]
        whole = sparse.block_array([[matrix, None, None], [picked, sparse.eye_array(count), -sparse.eye_array(count)]], format="csc")
        zero, free = np.zeros(2 * count), np.full(2 * count, np.inf)
        # Letting go upwards helps those that ask for at most so much, downwards those that ask for at least so much.
        free[:count][np.isinf(own_low)] = 0.0
        free[count:][np.isinf(own_high)] = 0.0
        self.most = free
        self.slack = np.arange(self.width, whole.shape[1], dtype=np.int32)
        bounds = [np.concatenate(ends) for ends in ((low, zero), (high, free), (row_low, own_low), (row_high, own_high))]
        self._pass(whole, bounds)

    def _pass(self, matrix: sparse.csc_array, bounds: list[np.ndarray]) -> None:
        self.highs = highspy.Highs()
        for name, value in {"output_flag": False, "threads": 1, "mip_rel_gap": 0.0}.items():
            self.highs.setOptionValue(name, value)
        height, width = matrix.shape
        self.highs.setOptionValue("solver", "ipm" if width > WIDE else "choose")
        self.highs.passModel(width, height, matrix.nnz, int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize), 0.0,
                             np.zeros(width), *bounds, matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data,
                             np.zeros(width, np.int32))

    def make_whole(self) -> None:
        """Ask for whole units where the program does, from now on."""
        columns = np.flatnonzero(self.integer).astype(np.int32)
        if len(columns):
            self.highs.changeColsIntegrality(len(columns), columns, np.full(len(columns), int(highspy.HighsVarType.kInteger), np.uint8))

    def solve(self, kept: np.ndarray, price: np.ndarray) -> np.ndarray:
        """Change of every rule's bound that is cheapest at these prices, where those that are kept cannot change.

        Raises
        ------
        Infeasible
            The kept ones cannot hold together.
        """
        self.highs.changeColsCost(len(self.slack), self.slack, np.tile(price, 2))
        self.highs.changeColsBounds(len(self.slack), self.slack, np.zeros(len(self.slack)), np.where(np.tile(kept, 2), 0.0, self.most))
        self.highs.setOptionValue("time_limit", self.highs.getRunTime() + PATIENCE)  # HiGHS counts all runs together
        self.highs.run()
        if self.highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            raise Infeasible
        if self.highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise OutOfTime(f"What conflicts was not found within {PATIENCE:g} s; leave out limits until there is a plan.")
        down, up = np.array(self.highs.getSolution().col_value)[self.slack].reshape(2, -1)
        return np.where(up - down > NOISE, up - down, np.where(down - up > NOISE, up - down, 0.0))

    def violates(self) -> np.ndarray:
        """Which rules do not hold in a solution that breaks them by as little as can be.

        Raises
        ------
        MedlibError
            The world contradicts itself.
        """
        try:
            return self.solve(np.zeros(len(self.rules), bool), np.ones(len(self.rules))) != 0
        except Infeasible:
            raise MedlibError("There is no plan even without the limits and the rules by hand, so the tables contradict each other; look for "
                              "units that must be present and are not there.") from None

    def relax(self) -> list[tuple[int, float]]:
        """The cheapest relaxation: rules and by how much their bound changes."""
        changes = self.solve(np.zeros(len(self.rules), bool), np.array([rule.weight for rule in self.rules]))
        return [(int(place), float(changes[place])) for place in np.flatnonzero(changes)]


def find_smallest(elastic: Elastic) -> tuple[list[int], bool]:
    """Find a smallest set of rules that cannot hold together, or at least an irreducible one; whether it is a smallest. Empty: out of time."""
    met, end = [elastic.violates()], time.monotonic() + SEARCH
    for _ in range(STEPS):
        if time.monotonic() > end:
            return [], False
        hit = _hit(np.array(met))
        left = _let_go(elastic, hit)
        if left is None:
            return np.flatnonzero(hit).tolist(), True
        met.append(left)
    return _filter(elastic, end), False


def _let_go(elastic: Elastic, kept: np.ndarray) -> np.ndarray | None:
    """Rules that must give way for the kept ones; None where these cannot hold together."""
    try:
        return elastic.solve(kept, np.ones(len(kept))) != 0
    except Infeasible:
        return None


def _hit(met: np.ndarray) -> np.ndarray:
    """A smallest set that meets each of the sets."""
    found = milp(np.ones(met.shape[1]), integrality=np.ones(met.shape[1]), bounds=Bounds(0, 1),
                 constraints=LinearConstraint(met.astype(float), lb=1.0))
    return found.x > 0.5


def _filter(elastic: Elastic, end: float) -> list[int]:
    """Leave out one rule after the other, as long as the rest cannot hold together."""
    kept = np.ones(len(elastic.rules), bool)
    for place in range(len(kept)):
        if time.monotonic() > end:
            return []
        kept[place] = False
        kept[place] = _let_go(elastic, kept) is not None
    return np.flatnonzero(kept).tolist()
