"""A plan's live model, on which changes are tried one after the other: each is solved warm, and all are taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from medlib.allocate import Infeasible, Plan, read_plan
from medlib.allocate.cuts import CutModel
from medlib.blocks import BlockProblem, Columns
from medlib.blocks.hand import ByHand
from medlib.blocks.highs import is_whole
from medlib.blocks.matrix import list_columns, list_rows

#: Values that differ by less, relative to the larger, count as equal: for a vertex, and where tangents stand for scenarios or one part
#: was held while the next was minimised.
EXACT, LOOSE = 1e-8, 1e-6
#: Most solves in the search for a break; each meets a new piece of the function, and few are met in practice.
STEPS = 60


class Bounds(NamedTuple):
    """Lower and upper bounds of all columns and of all rows."""

    low: np.ndarray
    high: np.ndarray
    row_low: np.ndarray
    row_high: np.ndarray


def read_bounds(lp: BlockProblem) -> Bounds:
    """The bounds as they are now, those of rows and variables by hand among them."""
    hand = ByHand(lp)
    low, high, *_ = list_columns(lp, hand)
    return Bounds(low, high, *list_rows(lp, hand))


class Probe:
    """Try changes on a plan's model; a context, at whose end the model is solved again as it was.

    Parameters
    ----------
    plan : Plan
        Its model is used, with all rules that were added by hand.
    minimise : str or sequence of str
        As for `medlib.allocate.solve`.

    Attributes
    ----------
    exact : float
        What it tells apart, relative to the objective.
    base : Plan
        What the unchanged model gives.
    bounds, duals, amounts : Bounds, tuple of numpy.ndarray, numpy.ndarray
        Its bounds, reduced costs and duals, and moves, of shape (L, R, T).
    """

    def __init__(self, plan: Plan, minimise: str | Sequence[str]):
        self.plan, self.model, self.lp, self.minimise = plan, plan.model, plan.model.lp, minimise
        self.whole = is_whole(self.lp)
        self.exact = LOOSE if isinstance(self.model, CutModel) or len(plan.minimise) > 1 else EXACT

    def __enter__(self) -> Probe:
        self.base = self.solve()
        self.bounds, self.duals, self.amounts = read_bounds(self.lp), self.read_duals(), self.model.move.value
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        self.model.update(self.plan.posed)
        if kind is None:
            self.minimise = self.plan.minimise
            self.solve()

    def solve(self) -> Plan:
        """Solve the model as it is now, from where the last solve ended."""
        return read_plan(self.model, self.minimise, "" if self.whole else "simplex")

    def read_duals(self) -> tuple[np.ndarray, np.ndarray]:
        """Reduced costs of all columns and duals of all rows in the last solution, without those that a solver added."""
        columns, rows = len(read_bounds(self.lp).low), len(read_bounds(self.lp).row_low)
        return self.lp.solution.column_dual[:columns], self.lp.solution.row_dual[:rows]


def measure_slope(duals: tuple[np.ndarray, np.ndarray], before: Bounds, after: Bounds) -> float:
    """To first order, what the minimum gains as the bounds go from before to after: the duals times the bounds that bind."""
    with np.errstate(invalid="ignore"):
        low, high, row_low, row_high = (new - old for new, old in zip(after, before))
    # A bound that is infinite before and after moves by nothing.
    return sum(float(price @ np.nan_to_num(np.where(price > 0, below, above)))
               for price, below, above in ((duals[0], low, high), (duals[1], row_low, row_high)))


def find_break(try_at: Callable[[float], tuple[float, float]], value: float, slope: float, reach: float,
               exact: float = EXACT) -> tuple[float, float]:
    """Find how far a piecewise linear function of one number, convex or concave, stays on its tangent at 0.

    The tangent at the far end meets the first one between the two; there the function is asked again, until it lies on the first
    tangent (Eisner and Severance 1976). So the end is not computed from one basis, but met by solving, whatever is degenerate.

    Parameters
    ----------
    try_at : callable
        Value and slope of the function at a number.
    value, slope : float
        Its value and slope at 0.
    reach : float
        Farthest number tried, on either side of 0.
    exact : float
        Values that differ by less, relative to the larger, count as equal.

    Returns
    -------
    float
        Where the function leaves its tangent, or where it is no longer defined (then up to a factor of two too near); infinite
        where it does neither up to `reach`.
    float
        Its slope beyond.

    References
    ----------
    Eisner and Severance (1976), Mathematical techniques for efficient record segmentation in large shared databases,
    doi:10.1145/321978.321982.
    """
    end, beyond = reach, slope
    for _ in range(STEPS):
        try:
            there, bent = try_at(end)
        except Infeasible:
            end /= 2
            continue
        if abs(there - value - slope * end) <= exact * max(1.0, abs(value), abs(there)) or bent == slope:
            return (np.copysign(np.inf, reach) if end == reach else end), beyond
        meet = (there - bent * end - value) / (slope - bent)
        # Rounding may put the meeting place a little beyond either end.
        end, beyond = float(np.clip(meet, *sorted((0.0, end)))), bent
    return end, beyond


@contextmanager
def bound_for_a_while(columns: Columns, changes: dict[tuple[int, ...], tuple[float | None, float | None]]) -> Iterator[None]:
    """Give elements, by position, other lower and upper bounds (None: as it is), and take them back.

    Bounds that were set by hand on other elements hold all the while.
    """
    lp = columns.problem
    bounds, touched = read_bounds(lp), [(variable, variable.lowBound, variable.upBound) for variable in lp.touched.values()]
    low, high, kept = bounds.low[columns.span].copy(), bounds.high[columns.span].copy(), (columns.low, columns.high)
    for position, (below, above) in changes.items():
        place = columns.index[position] - columns.span.start
        low[place] = low[place] if below is None else below
        high[place] = high[place] if above is None else above
    columns.update(low=low, high=high)
    try:
        yield
    finally:
        columns.update(low=kept[0], high=kept[1], touched=False)
        for variable, below, above in touched:
            variable.lowBound, variable.upBound = below, above
