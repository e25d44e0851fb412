"""Families of columns and of rows: labelled axes, numbers, bounds, costs, terms."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import TYPE_CHECKING

import highspy
import numpy as np
import pandas as pd
import pulp

from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.blocks.problem import BlockProblem

INFINITE = highspy.kHighsInf
#: Up to so many elements it is quicker to write a number out than to broadcast it.
SMALL = 10_000


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

    @property
    def repeats(self) -> bool:
        """The same elements of the last two axes are there all along the axes before; not so in an empty family."""
        if not self.size or self.whole:
            return self.size > 0
        present = self.index.reshape(-1, math.prod(self.shape[-2:])) >= 0
        return bool((present == present[0]).all())

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
        return tell_apart([self.write_name(*position) for position in np.argwhere(self.index >= 0)], self.span.start)

    def _tabulate(self, **columns: np.ndarray) -> pd.DataFrame:
        """A row an element, named by its labels; each column of shape (size,)."""
        axes = [labels.to_flat_index().rename(axis) for axis, labels in self.axes.items()] or [pd.Index([self.name])]
        index = axes[0] if len(axes) == 1 else pd.MultiIndex.from_product(axes)
        return pd.DataFrame(columns, index[self.index.ravel() >= 0])

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

    def to_frame(self, ranging: bool = False) -> pd.DataFrame:
        """The last solution by label.

        Parameters
        ----------
        ranging : bool
            Say between which costs of one column, the others kept, the solution stays optimal; for a vertex only.

        Returns
        -------
        pandas.DataFrame
            low, high, cost, value, reduced_cost; with ranging cost_from, cost_to.
        """
        solution = self.problem.solution
        ranges = dict(zip(("cost_from", "cost_to"), solution.range_costs())) if ranging else {}
        return self._tabulate(low=self.low, high=self.high, cost=self.cost, value=solution.column_value[self.span],
                              reduced_cost=solution.column_dual[self.span],
                              **{name: numbers[self.span] for name, numbers in ranges.items()})


class Rows(Family):
    """A family of rows, ``low <= sum of terms <= high``; `BlockProblem.add_rows` makes it."""

    def __init__(self, problem, name, axes, low, high, where):
        super().__init__(problem, name, axes, where, problem.row_count)
        self.low, self.high = self.gather(low), self.gather(high)
        #: Rows, columns, coefficients; where one of the first two is -1 there is no term.
        self.terms: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, columns: np.ndarray, coefficient: np.ndarray | float = 1.0, at: np.ndarray | None = None) -> None:
        """Add terms: coefficients times columns.

        Parameters
        ----------
        columns : numpy.ndarray of int
            Numbers of columns, taken from a `Columns.index`. Terms whose column or row is -1, or whose coefficient is 0, are left out.
        coefficient : float or numpy.ndarray
        at : numpy.ndarray of int, optional
            Numbers of rows, taken from this family's `index`, which stands here where left out. The three are broadcast
            against each other. Columns that meet in a row are added up; the same column may come into a row once only.
        """
        coefficient = np.asarray(coefficient, float)
        if np.isnan(coefficient).any():
            raise MedlibError(f"Coefficients of {self.name} must be numbers; {np.isnan(coefficient).sum()} of them are none.")
        parts = [self.index if at is None else at, columns, coefficient]
        shape = np.broadcast_shapes(*(part.shape for part in parts))
        if self.size and math.prod(shape):
            # Views stay views: by them `assemble` knows what repeats.
            self.terms.append(tuple(part if part.shape == shape else np.broadcast_to(part, shape) for part in parts))
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

    def to_frame(self, ranging: bool = False) -> pd.DataFrame:
        """The last solution by label.

        Parameters
        ----------
        ranging : bool
            Say between which places of a row's binding bound, all else kept, its dual stays (none where no bound binds); for a
            vertex only.

        Returns
        -------
        pandas.DataFrame
            low, high, value (sum of the terms), dual; with ranging bound_from, bound_to.
        """
        solution = self.problem.solution
        value = solution.row_value[self.span]
        binds = np.isclose(value, self.low) | np.isclose(value, self.high)
        ranges = dict(zip(("bound_from", "bound_to"), solution.range_rows())) if ranging else {}
        return self._tabulate(low=self.low, high=self.high, value=value, dual=solution.row_dual[self.span],
                              **{name: np.where(binds, numbers[self.span], np.nan) for name, numbers in ranges.items()})


def tell_apart(names: list[str], first: int = 0) -> list[str]:
    """Add its number to every name that comes more than once."""
    often = pd.Series(names, dtype=object).duplicated(keep=False)
    return [f"{name}__{number}" if again else name for number, (name, again) in enumerate(zip(names, often), first)]
