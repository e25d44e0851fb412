"""The PuLP problem that families of columns and rows are added to."""

from __future__ import annotations

import highspy
import numpy as np
import pulp

from medlib.blocks.families import INFINITE, Columns, Family, Rows, tell_apart
from medlib.blocks.hand import ByHand
from medlib.blocks.highs import BlockHiGHS, Piece
from medlib.blocks.matrix import assemble, list_columns, list_rows, list_term
from medlib.errors import MedlibError

#: Sum of (variable, coefficient) pairs: `from_list` in PuLP 4, the plain constructor in PuLP 3.3.
add_up = getattr(pulp.LpAffineExpression, "from_list", pulp.LpAffineExpression)
#: HiGHS' strategy that finds a conflict by solving programs, and takes out what is not needed for it.
IRREDUCIBLE = int(highspy.IisStrategy.kIisStrategyFromLp) | int(highspy.IisStrategy.kIisStrategyIrreducible)


class BlockProblem(pulp.LpProblem):
    """A PuLP problem, minimised, to which families of columns and rows can be added.

    Attributes
    ----------
    columns, rows : dict of str to Columns and of str to Rows
        The families, in the order of their elements' numbers.
    outcome : str
        HiGHS' own word on the last solve, for example 'Optimal', 'Infeasible', 'Time limit reached'.
    minimum : float
        The families' costs and the PuLP objective together, at the solution.
    gap : float
        How far, relative to the minimum, the solver's integer solution may lie above the optimum; 0 without integers.
    solution : Solution
    """

    def __init__(self, name: str):
        super().__init__(name, pulp.LpMinimize)
        self.columns: dict[str, Columns] = {}
        self.rows: dict[str, Rows] = {}
        #: Elements that became ordinary variables, by the number of their column.
        self.touched: dict[int, pulp.LpVariable] = {}
        self.live: list[Piece] | None = None
        self.hand: ByHand | None = None
        self.solved_whole = True
        self.changed: set[tuple[Family, str]] = set()
        self.outcome, self.minimum, self.gap, self.solution = "Not solved", np.nan, np.nan, None

    def add_columns(self, name: str, axes: dict, low=0.0, high=INFINITE, cost=0.0, integer: bool = False,
                    where: np.ndarray | None = None) -> Columns:
        """Add a family of variables; bounds and costs are broadcast to the shape of its axes."""
        return self._add(self.columns, Columns(self, name, axes, low, high, cost, integer, where))

    def add_rows(self, name: str, axes: dict, low=-INFINITE, high=INFINITE, where: np.ndarray | None = None) -> Rows:
        """Add a family of rows; bounds are broadcast to the shape of its axes."""
        return self._add(self.rows, Rows(self, name, axes, low, high, where))

    def _add(self, families: dict, family):
        if family.name in families:
            raise MedlibError(f"The problem has a family {family.name!r} already; choose another name.")
        families[family.name], self.live = family, None
        return family

    @property
    def column_count(self) -> int:
        """Columns of all families."""
        return sum(family.size for family in self.columns.values())

    @property
    def row_count(self) -> int:
        """Rows of all families."""
        return sum(family.size for family in self.rows.values())

    def list_rows_by_hand(self) -> list[pulp.LpConstraint]:
        """Rows that were added with ``+=``."""
        rows = self.constraints() if callable(self.constraints) else self.constraints
        return list(rows.values()) if isinstance(rows, dict) else list(rows)

    def solve(self, solver=None, **options):
        """Solve with HiGHS; `materialise` gives the same problem for any other solver.

        Parameters
        ----------
        solver : BlockHiGHS, optional
        **options
            Of `BlockHiGHS`, where no solver is given.
        """
        solver = solver or BlockHiGHS(msg=False, **options)
        if not isinstance(solver, BlockHiGHS):
            raise MedlibError(f"{type(solver).__name__} cannot read families of columns and rows; solve materialise() with it.")
        if self.sense != pulp.LpMinimize:
            raise MedlibError("A BlockProblem is minimised; turn the signs of the objective round.")
        return super().solve(solver)

    def fixObjective(self):
        """Leave the objective as it is: PuLP would add a variable where it has no terms of its own."""
        return False, None

    def restoreObjective(self, *_) -> None:
        """Nothing was changed by `fixObjective`."""

    def prove_bound(self, reach: float) -> float:
        """Compute what the minimum cannot go below, from the duals of the last solve alone.

        For any row prices y, the Lagrangian ``min over x of c x + y (b - A x)`` bounds the minimum from below, whatever method
        the prices came from and however exact they are.

        Parameters
        ----------
        reach : float
            No column takes a larger absolute value in some optimal solution: stands for bounds that are infinite.

        Returns
        -------
        float
        """
        hand = self.hand
        low, high, cost, _ = list_columns(self, hand)
        row_low, row_high = list_rows(self, hand)
        price = self.solution.row_dual
        limit = np.where(price > 0, row_low, row_high)
        # A price whose sign points to an infinite bound would bound nothing: it counts as none.
        price, limit = np.where(np.isfinite(limit), price, 0.0), np.where(np.isfinite(limit), limit, 0.0)
        reduced = cost - assemble(self, hand).T @ price
        inner = np.where(reduced > 0, np.maximum(low, -reach), np.minimum(high, reach)) @ reduced
        return float(inner + price @ limit + hand.constant)

    def find_conflict(self) -> list[str]:
        """Names of rows and columns whose bounds cannot hold together, as HiGHS finds them; none where it finds none."""
        names = []
        for piece in self.live or []:
            if piece.highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                continue
            # The default strategy gives up on anything but a row that conflicts with itself.
            piece.highs.setOptionValue("iis_strategy", IRREDUCIBLE)
            # With the interior point method HiGHS 1.15.1 frees memory twice here, which ends the process.
            piece.highs.setOptionValue("solver", "simplex")
            _, conflict = piece.highs.getIis()
            # A solver may have added rows and columns of its own (tangents): they follow all that have names.
            rows, columns = self.row_count + len(self.hand.rows), self.column_count + len(self.hand.own)
            names += [self._name_number(self.rows, self.hand.rows, number, piece.rows) for number in conflict.row_index_ if number < rows]
            names += [self._name_number(self.columns, self.hand.own, number, piece.columns) for number in conflict.col_index_
                      if number < columns]
        return names

    @staticmethod
    def _name_number(families: dict, by_hand: list, number: int, members: np.ndarray | None) -> str:
        number = number if members is None else int(members[number])
        for family in families.values():
            if family.span.start <= number < family.span.stop:
                return family.write_name(*np.argwhere(family.index == number)[0])
        return by_hand[number - sum(family.size for family in families.values())].name

    def materialise(self) -> pulp.LpProblem:
        """Write the whole problem as ordinary PuLP variables and rows, for other solvers, files, and for reading."""
        plain, hand = pulp.LpProblem(self.name, pulp.LpMinimize), ByHand(self)
        low, high, cost, integer = (numbers.tolist() for numbers in list_columns(self, hand))
        names = [name for family in self.columns.values() for name in family.write_names()]
        names = tell_apart(names + [variable.name for variable in hand.own])
        for number, variable in self.touched.items():
            names[number] = variable.name
        variables = [plain.add_variable(name, None if below == -INFINITE else below, None if above == INFINITE else above,
                                        "Integer" if whole else "Continuous")
                     for name, below, above, whole in zip(names, low, high, integer)]
        plain += add_up([(variable, value) for variable, value in zip(variables, cost) if value]) + hand.constant
        for family in self.rows.values():
            names, terms = family.write_names(), [[] for _ in range(family.size)]
            for rows, columns, coefficients in map(list_term, family.terms):
                for row, column, value in zip(rows, columns, coefficients.tolist()):
                    terms[row - family.span.start].append((variables[column], value))
            for name, row, low, high in zip(names, terms, family.low.tolist(), family.high.tolist()):
                if low == high:
                    plain += add_up(row) == low, name
                    continue
                if high < INFINITE:
                    plain += add_up(row) <= high, name
                if low > -INFINITE:
                    plain += add_up(row) >= low, name if high == INFINITE else f"{name}_low"
        for row in self.list_rows_by_hand():
            left = add_up([(variables[hand.number[variable.name]], value) for variable, value in row.items()])
            low, high = row.getLb(), row.getUb()
            # Rows without a name of their own get one from PuLP, again.
            plain.addConstraint(left == low if low == high else left <= high if low is None else left >= low,
                                None if (row.name or "_").startswith("_") else row.name)
        return plain
