"""Large regular families of PuLP variables and rows, kept as arrays and handed to HiGHS in bulk.

PuLP keeps a Python object for every coefficient, which costs far more time than solving does. Here a *family* of columns or
rows is a handful of NumPy arrays. `BlockProblem` is an ordinary `pulp.LpProblem` besides: a column touched by its labels becomes
an ordinary `LpVariable`, and rows written by hand with ``+=`` hold together with the families'.

Examples
--------
>>> lp = BlockProblem("example")
>>> sent = lp.add_columns("sent", {"site": ["A", "B"], "day": [1, 2, 3]}, high=5.0, cost=1.0)
>>> needed = lp.add_rows("needed", {"site": ["A", "B"]}, low=[4.0, 2.0])
>>> needed.add(sent.index, at=needed.index[:, None])  # summed over the days
>>> lp += sent["A", 1] + sent["B", 1] >= 7, "by_hand"
>>> status = lp.solve()
>>> lp.outcome, lp.minimum, sent["A", 1].varValue + sent["B", 1].varValue
('Optimal', 7.0, 7.0)
"""

from __future__ import annotations

import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import SimpleNamespace
from typing import NamedTuple

import highspy
import numpy as np
import pandas as pd
import pulp
from scipy import sparse

from medlib.errors import MedlibError

#: Sum of (variable, coefficient) pairs: `from_list` in PuLP 4, the plain constructor in PuLP 3.3.
add_up = getattr(pulp.LpAffineExpression, "from_list", pulp.LpAffineExpression)
INFINITE = highspy.kHighsInf
#: Columns whose coefficients are put in order at a time.
CHUNK = 100_000
#: Up to so many elements it is quicker to write a number out than to broadcast it.
SMALL = 10_000
#: HiGHS' strategy that finds a conflict by solving programs, and takes out what is not needed for it.
IRREDUCIBLE = int(highspy.IisStrategy.kIisStrategyFromLp) | int(highspy.IisStrategy.kIisStrategyIrreducible)


class Family:
    """What families of columns and of rows share: a name, labelled axes, and a number for every element.

    Parameters
    ----------
    problem : BlockProblem
    name : str
    axes : dict of str to sequence or pandas.DataFrame
        Labels of every axis by the axis' name; a frame's rows are labels of several words.
    where : numpy.ndarray of bool or None
        Elements that exist; None: all.
    first : int
        Number of the first element among the problem's columns (or rows).

    Attributes
    ----------
    index : numpy.ndarray of int32
        Number of every element, -1 where there is none.
    """

    def __init__(self, problem: BlockProblem, name: str, axes: dict, where: np.ndarray | None, first: int):
        self.problem, self.name, self._axes = problem, name, axes
        self.shape = tuple(map(len, axes.values()))
        self.whole = where is None or bool(np.all(where))
        if self.whole:
            self.size = math.prod(self.shape)
            self.index = np.arange(first, first + self.size, dtype=np.int32).reshape(self.shape)
        else:
            present = np.broadcast_to(where, self.shape)
            self.size = int(np.count_nonzero(present))
            self.index = np.full(self.shape, -1, np.int32)
            self.index[present] = np.arange(first, first + self.size, dtype=np.int32)
        self.span = slice(first, first + self.size)

    @cached_property
    def axes(self) -> dict[str, pd.Index]:
        """Labels of every axis by its name; made when somebody asks for them."""
        return {axis: labels if isinstance(labels, pd.Index) else pd.MultiIndex.from_frame(labels)
                if isinstance(labels, pd.DataFrame) else pd.Index(list(labels)) for axis, labels in self._axes.items()}

    def locate(self, *labels) -> tuple[int, ...]:
        """Position of an element by its labels; dates may be texts.

        Raises
        ------
        MedlibError
            There is no such element.
        """
        if len(labels) != len(self.axes):
            raise MedlibError(f"{self.name} is indexed by {', '.join(self.axes) or 'nothing'}; got {len(labels)} label(s).")
        position = []
        for (axis, known), label in zip(self.axes.items(), labels):
            try:
                place = known.get_loc(pd.Timestamp(label) if isinstance(known, pd.DatetimeIndex) else label)
            except (KeyError, ValueError, TypeError, pd.errors.InvalidIndexError):
                place = None
            if not isinstance(place, int):  # a part of a pair, or a slice, names several
                raise MedlibError(f"{self.name} has no {axis} {label!r}.")
            position.append(place)
        if self.index[tuple(position)] < 0:
            raise MedlibError(f"{self.name} has nothing for {', '.join(map(str, labels))}: it cannot happen there.")
        return tuple(position)

    def rename(self, axis: str, old: pd.Index, new: pd.Index) -> None:
        """Give an axis that has the old labels the new ones."""
        if axis in self._axes and self.axes[axis].equals(old):
            self._axes = {**self._axes, axis: new}
            self.__dict__.pop("axes", None)
            self.__dict__.pop("_words", None)

    @cached_property
    def _words(self) -> list[list[str]]:
        """Labels as parts of names; positions where two labels would read the same."""
        found = []
        for labels in self.axes.values():
            texts = ["_".join(map(str, label)) if isinstance(label, tuple) else str(label).removesuffix(" 00:00:00")
                     for label in labels]
            texts = [re.sub(r"\W", "_", text) for text in texts]
            found.append(texts if len(set(texts)) == len(texts) else [str(number) for number in range(len(texts))])
        return found

    def write_name(self, *position: int) -> str:
        """Name of an element, for example ``move_A_B_icu_bed_2021_12_01``."""
        return "_".join([self.name, *(words[place] for words, place in zip(self._words, position))])

    def write_names(self) -> list[str]:
        """Names of all elements, in the order of their numbers; with their number where labels read the same."""
        return _tell_apart([self.write_name(*position) for position in np.argwhere(self.index >= 0)], self.span.start)

    def gather(self, values) -> np.ndarray:
        """Shape (size,): one number an element, from an array of that shape or anything that broadcasts to the family's."""
        values = np.asarray(values, float)
        if np.isnan(values).any():
            raise MedlibError(f"Bounds and costs of {self.name} must be numbers; {np.isnan(values).sum()} of them are none.")
        if values.ndim == 0:
            return np.full(self.size, values) if self.size < SMALL else np.broadcast_to(values, self.size)
        if values.shape == (self.size,):
            return values.copy()
        values = np.broadcast_to(values, self.shape)
        return values.flatten() if self.whole else values[self.index >= 0]

    def shape_up(self, numbers: np.ndarray) -> np.ndarray:
        """Bring one number an element to the family's shape, 0 where there is no element."""
        if self.whole:
            return numbers.reshape(self.shape)
        shaped = np.zeros(self.shape)
        shaped[self.index >= 0] = numbers
        return shaped


class Columns(Family):
    """A family of variables with bounds and costs, each of shape (size,); `BlockProblem.add_columns` makes it."""

    def __init__(self, problem, name, axes, low, high, cost, integer, where):
        super().__init__(problem, name, axes, where, problem.column_count)
        self.low, self.high, self.cost, self.integer = *map(self.gather, (low, high, cost)), integer

    def update(self, low=None, high=None, cost=None, touched: bool = True) -> None:
        """Set bounds or costs from anything that broadcasts to the family's shape; the next solve starts warm.

        Without `touched`, columns that became ordinary variables keep the bounds that these have.
        """
        if cost is not None:
            self.cost = self.gather(cost)
            self.problem.changed.add((self, "cost"))
        if low is not None or high is not None:
            self.low = self.low if low is None else self.gather(low)
            self.high = self.high if high is None else self.gather(high)
            self.problem.changed.add((self, "bounds"))
            for column, variable in self.problem.touched.items() if touched else ():
                if self.span.start <= column < self.span.stop:
                    variable.lowBound, variable.upBound = self._limits(column)

    def _limits(self, column: int) -> tuple[float | None, float | None]:
        """Bounds of a column as PuLP states them."""
        low, high = (float(bounds[column - self.span.start]) for bounds in (self.low, self.high))
        return None if low == -INFINITE else low, None if high == INFINITE else high

    def __getitem__(self, labels) -> pulp.LpVariable:
        """Make one element, named by its labels, an ordinary variable: the same one every time."""
        position = self.locate(*((labels,) if len(self.axes) == 1 or not isinstance(labels, tuple) else labels))
        column, touched = int(self.index[position]), self.problem.touched
        if column not in touched:
            name = self.write_name(*position)
            if name in {variable.name for variable in touched.values()}:  # of other labels that read the same
                name = f"{name}__{column}"
            touched[column] = self.problem.add_variable(name, *self._limits(column), "Integer" if self.integer else "Continuous")
        return touched[column]

    @property
    def value(self) -> np.ndarray:
        """The solution in the family's shape."""
        return self.shape_up(self.problem.solution.column_value[self.span])


class Rows(Family):
    """A family of rows, ``low <= sum of terms <= high``; `BlockProblem.add_rows` makes it."""

    def __init__(self, problem, name, axes, low, high, where):
        super().__init__(problem, name, axes, where, problem.row_count)
        self.low, self.high = self.gather(low), self.gather(high)
        self.terms: list[tuple[np.ndarray, np.ndarray, np.ndarray | float]] = []

    def add(self, columns: np.ndarray, coefficient: np.ndarray | float = 1.0, at: np.ndarray | None = None) -> None:
        """Add terms: coefficients times columns.

        Parameters
        ----------
        columns : numpy.ndarray of int
            Numbers of columns, taken from a `Columns.index`. Terms whose column or row is -1 are left out.
        coefficient : float or numpy.ndarray
        at : numpy.ndarray of int, optional
            Numbers of rows, taken from this family's `index`, which stands here where left out. The three are broadcast
            against each other. Columns that meet in a row are added up; the same column may come into a row once only.
        """
        coefficient = np.asarray(coefficient, float)
        if np.isnan(coefficient).any():
            raise MedlibError(f"Coefficients of {self.name} must be numbers; {np.isnan(coefficient).sum()} of them are none.")
        rows, scalar = self.index if at is None else at, coefficient.ndim == 0
        parts = [rows, columns] if scalar else [rows, columns, coefficient]
        partial = rows.min(initial=0) < 0 or columns.min(initial=0) < 0
        if any(part.shape != rows.shape for part in parts):
            parts = np.broadcast_arrays(*parts)
        if partial:
            there = (parts[0] >= 0) & (parts[1] >= 0)
            parts = [part[there] for part in parts]
        self.terms.append((*(part.ravel() for part in parts), *((float(coefficient),) if scalar else ())))
        self.problem.live = None

    def update(self, low=None, high=None) -> None:
        """Set bounds from anything that broadcasts to the family's shape; the next solve starts warm."""
        self.low = self.low if low is None else self.gather(low)
        self.high = self.high if high is None else self.gather(high)
        self.problem.changed.add((self, "rows"))

    @property
    def dual(self) -> np.ndarray:
        """Duals in the family's shape: what the minimum gains per unit by which the binding bound is raised."""
        return self.shape_up(self.problem.solution.row_dual[self.span])


class Solution:
    """Values and duals of all columns and rows, by number; what nobody asks for before the next solve is not read."""

    def __init__(self, pieces: list[Piece]):
        self.pieces, self.parts = pieces, [piece.highs.getSolution() for piece in pieces]

    def _gather(self, name: str, members: str) -> np.ndarray:
        if len(self.pieces) == 1:
            return np.array(getattr(self.parts[0], name))
        places = [getattr(piece, members) for piece in self.pieces]
        numbers = np.empty(sum(map(len, places)))
        for part, place in zip(self.parts, places):
            numbers[place] = getattr(part, name)
        return numbers

    @cached_property
    def column_value(self) -> np.ndarray:
        """Shape (columns,): the solution."""
        return self._gather("col_value", "columns")

    @cached_property
    def column_dual(self) -> np.ndarray:
        """Shape (columns,): reduced costs."""
        return self._gather("col_dual", "columns")

    @cached_property
    def row_value(self) -> np.ndarray:
        """Shape (rows,): sums of the rows' terms."""
        return self._gather("row_value", "rows")

    @cached_property
    def row_dual(self) -> np.ndarray:
        """Shape (rows,): duals."""
        return self._gather("row_dual", "rows")


class Piece(NamedTuple):
    """A live HiGHS model of some columns and rows, by number."""

    highs: highspy.Highs
    columns: np.ndarray
    rows: np.ndarray


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
        self.hand: _ByHand | None = None
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
        low, high, cost, _ = _list_columns(self, hand)
        row_low, row_high = _list_rows(self, hand)
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
            _, conflict = piece.highs.getIis()
            names += [self._name_number(self.rows, self.hand.rows, number, piece.rows) for number in conflict.row_index_]
            names += [self._name_number(self.columns, self.hand.own, number, piece.columns) for number in conflict.col_index_]
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
        plain, hand = pulp.LpProblem(self.name, pulp.LpMinimize), _ByHand(self)
        low, high, cost, integer = (numbers.tolist() for numbers in _list_columns(self, hand))
        names = [name for family in self.columns.values() for name in family.write_names()]
        names = _tell_apart(names + [variable.name for variable in hand.own])
        for number, variable in self.touched.items():
            names[number] = variable.name
        variables = [plain.add_variable(name, None if below == -INFINITE else below, None if above == INFINITE else above,
                                        "Integer" if whole else "Continuous")
                     for name, below, above, whole in zip(names, low, high, integer)]
        plain += add_up([(variable, value) for variable, value in zip(variables, cost) if value]) + hand.constant
        for family in self.rows.values():
            names, terms = family.write_names(), [[] for _ in range(family.size)]
            for rows, columns, coefficients in family.terms:
                for row, column, value in zip(rows, columns, np.broadcast_to(coefficients, rows.shape).tolist()):
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


def _tell_apart(names: list[str], first: int = 0) -> list[str]:
    """Add its number to every name that comes more than once."""
    often = pd.Series(names, dtype=object).duplicated(keep=False)
    return [f"{name}__{number}" if again else name for number, (name, again) in enumerate(zip(names, often), first)]


def _read_bounds(variable: pulp.LpVariable) -> tuple[float | None, float | None]:
    return tuple(None if bound is None or not np.isfinite(bound) else float(bound)
                 for bound in (variable.lowBound, variable.upBound))


class _ByHand:
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

    def matches(self, other: _ByHand) -> bool:
        """The other has the same variables, rows and coefficients; bounds and costs may differ."""
        return (len(self.rows) == len(other.rows) and np.array_equal(self.terms, other.terms)
                and self.kinds == other.kinds)


def _make_finite(low: float | None, high: float | None) -> tuple[float, float]:
    return -INFINITE if low is None else low, INFINITE if high is None else high


class BlockHiGHS(pulp.HiGHS):
    """PuLP's HiGHS, handing over and reading back in bulk, and starting warm where only bounds or costs changed.

    Parameters
    ----------
    apart : str, optional
        Name of an axis: what no row couples along it is solved apart, side by side on the machine's cores.
    **options
        Of `pulp.HiGHS`, and of HiGHS itself.
    """

    def __init__(self, *args, apart: str | None = None, **options):
        super().__init__(*args, **options)
        self.apart = apart

    def buildSolverModel(self, lp: BlockProblem) -> None:
        """Send the whole problem, or what changed since the last solve."""
        hand = _ByHand(lp)
        if lp.live and hand.matches(lp.hand) and lp.solved_whole == self.mip:
            for piece in lp.live:
                piece.highs.passOptions(lp.solverModel.getOptions())
            self._send_changes(lp, hand)
        else:
            lp.live, lp.solved_whole = self._hand_over(lp, hand), self.mip
        lp.hand, lp.solverModel = hand, lp.live[0].highs
        lp.changed.clear()

    def _hand_over(self, lp: BlockProblem, hand: _ByHand) -> list[Piece]:
        low, high, cost, integer = _list_columns(lp, hand)
        row_low, row_high = _list_rows(lp, hand)
        matrix, pieces = assemble(lp, hand), []
        for columns, rows in _split(lp, matrix, self.apart):
            part = matrix if columns is None else _cut(matrix, columns, rows)
            pick, pick_row = (slice(None), slice(None)) if columns is None else (columns, rows)
            highs = lp.solverModel
            if pieces:
                highs = highspy.Highs()
                highs.passOptions(lp.solverModel.getOptions())
            status = highs.passModel(
                part.shape[1], part.shape[0], part.nnz, int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize), 0.0,
                cost[pick], low[pick], high[pick], row_low[pick_row], row_high[pick_row], part.indptr, part.indices, part.data,
                integer[pick].astype(np.int32) * self.mip)
            if status == highspy.HighsStatus.kError:
                raise MedlibError("HiGHS refused the model: a bound or coefficient is not a number, a lower bound lies above its "
                                  "upper bound's range, or a column comes twice into one row.")
            pieces.append(Piece(highs, columns, rows))
        return pieces

    def _send_changes(self, lp: BlockProblem, hand: _ByHand) -> None:
        for family, what in lp.changed:
            numbers = np.arange(family.span.start, family.span.stop, dtype=np.int32)
            for piece in lp.live:
                local, there = _find(numbers, piece.rows if what == "rows" else piece.columns)
                if what == "cost":
                    piece.highs.changeColsCost(len(local), local, family.cost[there])
                else:
                    change = piece.highs.changeRowsBounds if what == "rows" else piece.highs.changeColsBounds
                    low, high = (family.low, family.high) if what == "rows" else _round_in(family)
                    change(len(local), local, low[there], high[there])
        if len(hand.columns) or len(hand.rows):
            cost = _list_columns(lp, hand)[2][hand.columns]
            rows = lp.row_count + np.arange(len(hand.rows), dtype=np.int32)
            for piece in lp.live:
                local, there = _find(hand.columns, piece.columns)
                piece.highs.changeColsBounds(len(local), local, hand.bounds[there, 0], hand.bounds[there, 1])
                piece.highs.changeColsCost(len(local), local, cost[there])
                local, there = _find(rows, piece.rows)
                piece.highs.changeRowsBounds(len(local), local, hand.row_bounds[there, 0], hand.row_bounds[there, 1])

    def callSolver(self, lp: BlockProblem) -> None:
        """Run HiGHS on every piece, pieces side by side."""
        if len(lp.live) == 1:
            lp.live[0].highs.run()
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda piece: piece.highs.run(), lp.live))

    def findSolutionValues(self, lp: BlockProblem):
        """Read the solution in bulk, then give touched variables and rows by hand their share of it."""
        lp.solution = Solution(lp.live)
        infos = [piece.highs.getInfo() for piece in lp.live]
        words = [piece.highs.modelStatusToString(piece.highs.getModelStatus()) for piece in lp.live]
        worst = next((place for place, word in enumerate(words) if word != "Optimal"), 0)
        lp.outcome, lp.minimum = words[worst], sum(info.objective_function_value for info in infos) + lp.hand.constant
        integer = any(family.integer for family in lp.columns.values()) or any(v.cat == "Integer" for v in lp.hand.own)
        lp.gap = max(info.mip_gap for info in infos) if integer else 0.0
        for variable in [*lp.touched.values(), *lp.hand.own]:
            column = lp.hand.number[variable.name]
            variable.varValue, variable.dj = float(lp.solution.column_value[column]), float(lp.solution.column_dual[column])
        for number, row in enumerate(lp.hand.rows, lp.row_count):
            value, dual = lp.solution.row_value[number], lp.solution.row_dual[number]
            row.pi, row.slack = float(dual), float(row.constant + value) * (-1.0 if row.sense == pulp.LpConstraintLE else 1.0)
        # PuLP translates HiGHS' status; its own reading, element by element, finds no elements.
        none = SimpleNamespace(col_value=[], col_dual=[], row_value=[], row_dual=[])
        highs = lp.live[worst].highs
        return super().findSolutionValues(SimpleNamespace(
            solverModel=SimpleNamespace(getModelStatus=highs.getModelStatus, getObjectiveValue=highs.getObjectiveValue,
                                        getSolution=lambda: none),
            variables=list, exported_variables=list, constraints=list, _constraints={}))


def assemble(lp: BlockProblem, hand: _ByHand) -> sparse.csc_array:
    """Bring all terms together to the matrix, shape (rows, columns).

    In a large one so many columns at a time: memory that is touched for the first time costs more than the work that is done
    in it, so the steps in between share a little of it.
    """
    terms = [term for family in lp.rows.values() for term in family.terms]
    if len(hand.terms):
        rows, columns = hand.terms[:, :2].astype(np.int32).T
        terms.append((lp.row_count + rows, columns, hand.terms[:, 2]))
    height, width = lp.row_count + len(hand.rows), lp.column_count + len(hand.own)
    if width < 4 * CHUNK:
        return _compress(terms, height, width)
    terms = [_sort_columns(*term) for term in terms]
    count, end = sum(len(term[0]) for term in terms), 0
    starts, indices, data = np.zeros(width + 1, np.int32), np.empty(count, np.int32), np.empty(count)
    cuts = np.append(np.arange(0, width, CHUNK), width)
    places = [np.searchsorted(columns, cuts).tolist() for _, columns, _ in terms]
    for number, (first, last) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist())):
        part = _compress([tuple(part[span] if np.ndim(part) else part for part in term) for term, place in zip(terms, places)
                          if (span := slice(*place[number:number + 2])).start < span.stop], height, last - first, first)
        indices[end:end + part.nnz], data[end:end + part.nnz] = part.indices, part.data
        starts[first + 1:last + 1] = end + part.indptr[1:]
        end += part.nnz
    return sparse.csc_array((data, indices, starts), (height, width))


def _compress(terms: list[tuple], height: int, width: int, first: int = 0) -> sparse.csc_array:
    """The matrix of the terms' columns from the first on."""
    rows, columns = (np.concatenate([np.zeros(0, np.int32), *(term[axis] for term in terms)]) for axis in (0, 1))
    values, end = np.empty(len(rows)), 0
    for row, _, coefficients in terms:
        values[end:end + len(row)] = coefficients
        end += len(row)
    columns -= first
    matrix = sparse.coo_array((values, (rows, columns)), (height, width))
    # No element comes twice, and HiGHS does not ask for sorted ones: looking for both would take as long as all the rest.
    matrix.has_canonical_format = True
    return matrix.tocsc()


def _sort_columns(rows: np.ndarray, columns: np.ndarray, values) -> tuple[np.ndarray, np.ndarray, np.ndarray | float]:
    """A term in the order of its columns, as most terms are already."""
    if (columns[1:] >= columns[:-1]).all():
        return rows, columns, values
    order = np.argsort(columns, kind="stable")
    return rows[order], columns[order], values if np.ndim(values) == 0 else values[order]


def _list_columns(lp: BlockProblem, hand: _ByHand) -> tuple[np.ndarray, ...]:
    """Lower bounds, upper bounds, costs, and whether integer, of all columns."""
    own = np.zeros(len(hand.own))
    low, high = (np.concatenate([*(_round_in(family)[side] for family in lp.columns.values()), own]) for side in (0, 1))
    cost = np.concatenate([*(family.cost for family in lp.columns.values()), own])
    integer = np.concatenate([*(np.full(family.size, family.integer) for family in lp.columns.values()),
                              [variable.cat == "Integer" for variable in hand.own]]).astype(bool)
    low[hand.columns], high[hand.columns] = hand.bounds[:, 0], hand.bounds[:, 1]
    for column, value in hand.cost.items():
        cost[column] += value
    return low, high, cost, integer


def _round_in(family: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Bounds, whole ones for integers: HiGHS' presolve may cut the optimum off where an integer's bound is a fraction."""
    if not family.integer:
        return family.low, family.high
    return np.ceil(family.low - 1e-9), np.floor(family.high + 1e-9)


def _list_rows(lp: BlockProblem, hand: _ByHand) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of all rows."""
    return tuple(np.concatenate([*(getattr(family, side) for family in lp.rows.values()), hand.row_bounds[:, place]])
                 for place, side in enumerate(("low", "high")))


def _split(lp: BlockProblem, matrix: sparse.csc_array, apart: str | None) -> list[tuple]:
    """Columns and rows of each piece that shares no row with another along the axis; (None, None) for one piece."""
    if apart is None:
        return [(None, None)]
    labels = pd.Index([])
    for family in [*lp.columns.values(), *lp.rows.values()]:
        labels = labels.union(family.axes.get(apart, []), sort=False)
    if len(labels) < 2:
        return [(None, None)]
    # Columns without that axis, and variables by hand, stand for one more label.
    column_label = np.full(matrix.shape[1], len(labels), np.int32)
    for family in lp.columns.values():
        if apart in family.axes:
            place = list(family.axes).index(apart)
            numbers = labels.get_indexer(family.axes[apart])
            column_label[family.span] = numbers[np.nonzero(family.index >= 0)[place]]
    label = np.repeat(column_label, np.diff(matrix.indptr))
    row_label = np.full(matrix.shape[0], -1, np.int32)
    row_label[matrix.indices] = label
    met = row_label[matrix.indices]
    couples = met != label
    pairs = np.unique(np.stack([met[couples], label[couples]], axis=1), axis=0)
    count = len(labels) + 1
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    parts, part = sparse.csgraph.connected_components(graph, directed=False)
    column_part, row_part = part[column_label], np.where(row_label < 0, part[column_label[0]], part[row_label])
    found = [(np.flatnonzero(column_part == number), np.flatnonzero(row_part == number)) for number in range(parts)]
    found = [(columns, rows) for columns, rows in found if len(columns)]
    return found if len(found) > 1 else [(None, None)]


def _cut(matrix: sparse.csc_array, columns: np.ndarray, rows: np.ndarray) -> sparse.csc_array:
    part = matrix[:, columns]
    place = np.zeros(matrix.shape[0], np.int32)
    place[rows] = np.arange(len(rows))
    return sparse.csc_array((part.data, place[part.indices], part.indptr), (len(rows), len(columns)))


def _find(numbers: np.ndarray, members: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | slice]:
    """Places among a piece's members of those numbers that it has, and which those are."""
    if members is None:
        return numbers, slice(None)
    if not len(members):
        return np.zeros(0, np.int32), np.zeros(len(numbers), bool)
    place = np.minimum(np.searchsorted(members, numbers), len(members) - 1)
    there = members[place] == numbers
    return place[there].astype(np.int32), there
