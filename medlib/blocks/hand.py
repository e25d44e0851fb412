"""What is written in PuLP itself beside the families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pulp

from medlib.blocks.families import INFINITE

if TYPE_CHECKING:
    from medlib.blocks.problem import BlockProblem


def _read_bounds(variable: pulp.LpVariable) -> tuple[float | None, float | None]:
    return tuple(None if bound is None or not np.isfinite(bound) else float(bound)
                 for bound in (variable.lowBound, variable.upBound))


class ByHand:
    """What was written in PuLP itself: own variables, rows, and bounds and costs of touched columns."""

    def __init__(self, lp: BlockProblem):
        self.number = {variable.name: column for column, variable in lp.touched.items()}
        self.own = [variable for variable in lp.variables() if variable.name not in self.number]
        self.number |= {variable.name: lp.column_count + place for place, variable in enumerate(self.own)}
        self.rows = lp.list_rows_by_hand()
        self.cost = {} if lp.objective is None else {
            self.number[variable.name]: float(value) for variable, value in lp.objective.items()}
        self.constant = 0.0 if lp.objective is None else float(lp.objective.constant)
        listed = [*lp.touched.values(), *self.own]
        self.columns = np.array([self.number[variable.name] for variable in listed], np.int32)
        self.bounds = np.array([_make_finite(*_read_bounds(variable)) for variable in listed]).reshape(-1, 2)
        self.row_bounds = np.array([_make_finite(row.getLb(), row.getUb()) for row in self.rows]).reshape(-1, 2)
        terms = [(place, self.number[variable.name], value) for place, row in enumerate(self.rows)
                 for variable, value in row.items() if value]
        self.terms = np.array(terms, float).reshape(-1, 3)
        self.kinds = [variable.cat for variable in self.own]

    def matches(self, other: ByHand) -> bool:
        """The other has the same variables, rows and coefficients; bounds and costs may differ."""
        return (len(self.rows) == len(other.rows) and np.array_equal(self.terms, other.terms)
                and self.kinds == other.kinds)


def _make_finite(low: float | None, high: float | None) -> tuple[float, float]:
    return -INFINITE if low is None else low, INFINITE if high is None else high
