"""The program as arrays: bounds, costs, and the matrix of all terms column by column, as HiGHS keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from medlib.blocks.families import Columns
from medlib.blocks.hand import ByHand

if TYPE_CHECKING:
    from medlib.blocks.problem import BlockProblem

#: Up to so many columns it is quicker to sort coefficients than to find out which of them repeat.
FEW = 50_000
#: Columns whose coefficients are sorted at a time.
CHUNK = 100_000
#: Coefficients that are written at a time, so that they stay in the processor's cache until the last is there.
CACHED = 100_000


class Layout(NamedTuple):
    """A family of columns that repeats: its coefficients stand in the same places all along its first axes.

    Attributes
    ----------
    count : int
        Repetitions.
    starts : numpy.ndarray
        Where each column's coefficients start in a repetition, and where they end.
    terms : list of tuple
        Rows, values (a number, one a column, or one a repetition and column), and which go where: runs of evenly spaced columns.
    """

    count: int
    starts: np.ndarray
    terms: list[tuple]

    @property
    def size(self) -> int:
        """Coefficients of all columns."""
        return self.count * int(self.starts[-1])

    def write(self, starts: np.ndarray, indices: np.ndarray, data: np.ndarray, begin: int) -> None:
        """Write the family's part of the matrix, whose coefficients begin there."""
        length = self.starts[-1]
        np.add((begin + length * np.arange(self.count))[:, None], self.starts[:-1], out=starts.reshape(self.count, -1))
        indices, data = (array.reshape(self.count, -1) for array in (indices, data))
        step = max(CACHED // max(int(length), 1), 1)
        for part in [slice(first, first + step) for first in range(0, self.count, step)]:
            for rows, values, runs in self.terms:
                for source, target in runs:
                    indices[part, target] = rows[part, source]
                    data[part, target] = values if values.ndim == 0 else values[source] if values.ndim == 1 else values[part, source]


def assemble(lp: BlockProblem, hand: ByHand) -> sparse.csc_array:
    """Bring all terms together to the matrix, shape (rows, columns).

    Where a family's terms are the same at every site (or link), each goes straight to its place. Others are sorted, so many columns
    at a time: memory that is touched for the first time costs more than the work that is done in it.
    """
    height, width = lp.row_count + len(hand.rows), lp.column_count + len(hand.own)
    terms = [term for family in lp.rows.values() for term in family.terms]
    if len(hand.terms):
        rows, columns = hand.terms[:, :2].astype(np.int32).T
        terms.append((lp.row_count + rows, columns, hand.terms[:, 2]))
    if width <= FEW:
        return _compress(list(map(list_term, terms)), height, width)
    layouts, loose = _lay_out(list(lp.columns.values()), terms)
    count = sum(len(term[0]) for term in loose) + sum(layout.size for layout in layouts.values())
    starts, indices, data = np.zeros(width + 1, np.int32), np.empty(count, np.int32), np.empty(count)
    first = end = 0
    for last, stop, layout in [*((family.span.start, family.span.stop, layouts[family]) for family in layouts), (width, width, None)]:
        end = _sort_in(loose, height, first, last, starts, indices, data, end)
        if layout:
            layout.write(starts[last:stop], indices[end:end + layout.size], data[end:end + layout.size], end)
            end += layout.size
        first = stop
    starts[-1] = end
    return sparse.csc_array((data, indices, starts), (height, width))


def _lay_out(families: list[Columns], terms: list[tuple]) -> tuple[dict[Columns, Layout], list[tuple]]:
    """Layouts of the families that have one, and all terms of the others, in the order of their columns."""
    owner, stops = {id(_own(family.index)): family for family in families}, [family.span.stop for family in families]
    mine, loose, irregular = {family: [] for family in families}, [], set()
    for term in terms:
        family = owner.get(id(_own(term[1])))
        if family is None:
            loose.append(term := list_term(term))
            if len(term[1]):
                first, last = np.searchsorted(stops, [term[1].min(), term[1].max()], side="right")
                irregular.update(families[first:last + 1])
        else:
            mine[family].append(term)
    layouts = {}
    for family in families:
        layout = None if family in irregular else _repeat(family, mine[family])
        if layout:
            layouts[family] = layout
        else:
            loose += map(list_term, mine[family])
    return layouts, [_sort_columns(*term) for term in loose]


def _own(array: np.ndarray) -> np.ndarray:
    """The array that a view looks into."""
    return array if array.base is None else array.base


def _repeat(family: Columns, terms: list[tuple]) -> Layout | None:
    """The layout of a family whose elements and terms all repeat; None where one does not."""
    if not family.repeats:
        return None
    outer = [axis for axis, length in enumerate(family.shape[:-2]) if length > 1]
    lead, strides = (tuple(sizes[axis] for axis in outer) for sizes in (family.shape, family.index.strides))
    axes, first, count = len(lead), (0,) * len(lead), math.prod(lead)
    here, found = np.zeros(family.size // count, np.int64), []
    for rows, columns, values in chain.from_iterable(map(_unfold, terms)):
        if columns.shape[:axes] != lead or columns.strides[:axes] != strides:
            return None
        cells, values = columns[first].ravel() - family.span.start, _shorten(values, axes)
        source = np.flatnonzero((cells >= 0) & (values != 0) if values.ndim < 2 else cells >= 0)
        source = source[np.argsort(cells[source], kind="stable")]
        cells, rows = cells[source], rows.reshape(count, -1)
        if rows.min() < 0 and rows[:, source].min(initial=0) < 0 or values.ndim == 2 and not values.all():
            return None
        # Which of a column's coefficients it is: after those of the terms before, and of this one.
        found.append((rows, values, source, cells, here[cells] + np.arange(len(cells)) - np.searchsorted(cells, cells)))
        here += np.bincount(cells, minlength=len(here))
    starts = np.concatenate([[0], np.cumsum(here)])
    return Layout(count, starts, [(rows, values, _list_runs(source, starts[cells] + before))
                                  for rows, values, source, cells, before in found])


def _unfold(term: tuple) -> Iterator[tuple]:
    """A term for each place on the first axes along which the columns stay the same."""
    if term[1].ndim > 1 and (len(term[1]) == 1 or term[1].strides[0] == 0):
        for part in zip(*term):
            yield from _unfold(part)
    else:
        yield term


def _shorten(values: np.ndarray, axes: int) -> np.ndarray:
    """Values without what broadcasting repeats: a number, shape (columns,), or shape (repetitions, columns)."""
    if not any(values.strides):
        return values[(0,) * values.ndim]
    if not any(values.strides[:axes]):
        return values[(0,) * axes].ravel()
    return values.reshape(math.prod(values.shape[:axes]), -1)


def _list_runs(source: np.ndarray, target: np.ndarray) -> list[tuple[slice, slice]]:
    """Evenly spaced runs of places, as slices: NumPy copies by slices several times as fast as by places."""
    gaps, runs, first = np.diff([source, target]), [], 0
    while first < len(source):
        changes = np.flatnonzero((gaps[:, first:] != gaps[:, first:first + 1]).any(axis=0))
        last = first + (int(changes[0]) if len(changes) else len(source) - first - 1)
        steps = gaps[:, first].tolist() if last > first else (1, 1)
        runs.append(tuple(slice(int(places[first]), int(places[last]) + 1, step) for places, step in zip((source, target), steps)))
        first = last + 1
    return runs


def list_term(term: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and coefficients of a term, shape (coefficients,) each; without what is not there or 0."""
    rows, columns, values = term
    values = values if any(values.strides) else values[(0,) * values.ndim]
    if rows.min() < 0 or columns.min() < 0 or not values.all():
        there = (rows >= 0) & (columns >= 0) & (values != 0)
        rows, columns, values = rows[there], columns[there], values[there] if values.ndim else values
    return rows.ravel(), columns.ravel(), values.ravel() if values.ndim else np.broadcast_to(values, rows.size)


def _sort_in(loose: list[tuple], height: int, first: int, last: int, starts: np.ndarray, indices: np.ndarray, data: np.ndarray,
             end: int) -> int:
    """Write what loose terms have in these columns; returns where it ends."""
    for begin in range(first, last, CHUNK):
        stop = min(begin + CHUNK, last)
        spans = [slice(*np.searchsorted(term[1], [begin, stop])) for term in loose]
        part = _compress([tuple(part[span] for part in term) for term, span in zip(loose, spans) if span.start < span.stop],
                         height, stop - begin, begin)
        indices[end:end + part.nnz], data[end:end + part.nnz] = part.indices, part.data
        starts[begin:stop] = end + part.indptr[:-1]
        end += part.nnz
    return end


def _compress(terms: list[tuple], height: int, width: int, first: int = 0) -> sparse.csc_array:
    """The matrix of the terms' columns from the first on."""
    rows, columns, values = (np.concatenate([np.zeros(0, kind), *(term[axis] for term in terms)])
                             for axis, kind in enumerate((np.int32, np.int32, float)))
    columns -= first
    matrix = sparse.coo_array((values, (rows, columns)), (height, width))
    # No element comes twice, and HiGHS does not ask for sorted ones: looking for both would take as long as all the rest.
    matrix.has_canonical_format = True
    return matrix.tocsc()


def _sort_columns(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A term in the order of its columns, as most terms are already."""
    if (columns[1:] >= columns[:-1]).all():
        return rows, columns, values
    order = np.argsort(columns, kind="stable")
    return rows[order], columns[order], values[order]


def list_columns(lp: BlockProblem, hand: ByHand) -> tuple[np.ndarray, ...]:
    """Lower bounds, upper bounds, costs, and whether integer (0 or 1), of all columns."""
    own = np.zeros(len(hand.own))
    low, high = (np.concatenate([*(round_in(family)[side] for family in lp.columns.values()), own]) for side in (0, 1))
    cost = np.concatenate([*(family.cost for family in lp.columns.values()), own])
    integer = np.zeros(len(cost), np.int32)
    for family in lp.columns.values():
        if family.integer:
            integer[family.span] = 1
    integer[lp.column_count:] = [variable.cat == "Integer" for variable in hand.own]
    low[hand.columns], high[hand.columns] = hand.bounds[:, 0], hand.bounds[:, 1]
    for column, value in hand.cost.items():
        cost[column] += value
    return low, high, cost, integer


def round_in(family: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Bounds, whole ones for integers: HiGHS' presolve may cut the optimum off where an integer's bound is a fraction."""
    if not family.integer:
        return family.low, family.high
    return np.ceil(family.low - 1e-9), np.floor(family.high + 1e-9)


def list_rows(lp: BlockProblem, hand: ByHand) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of all rows."""
    return tuple(np.concatenate([*(getattr(family, side) for family in lp.rows.values()), hand.row_bounds[:, place]])
                 for place, side in enumerate(("low", "high")))


def split(lp: BlockProblem, matrix: sparse.csc_array, apart: str | None) -> list[tuple]:
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


def cut(matrix: sparse.csc_array, columns: np.ndarray, rows: np.ndarray) -> sparse.csc_array:
    """Those columns and rows of the matrix; the columns have no others."""
    part = matrix[:, columns]
    place = np.zeros(matrix.shape[0], np.int32)
    place[rows] = np.arange(len(rows))
    return sparse.csc_array((part.data, place[part.indices], part.indptr), (len(rows), len(columns)))
