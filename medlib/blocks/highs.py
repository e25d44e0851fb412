"""HiGHS behind PuLP's solver interface: handing over, warm starts and reading back in bulk."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import highspy
import numpy as np
import pulp

from medlib.blocks.hand import ByHand
from medlib.blocks.matrix import assemble, cut, list_columns, list_rows, round_in, split
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.blocks.problem import BlockProblem


class Solution:
    """Values and duals of all columns and rows, by number; what nobody asks for before the next solve is not read."""

    def __init__(self, pieces: list[Piece]):
        self.pieces, self.parts = pieces, [piece.highs.getSolution() for piece in pieces]

    def _gather(self, name: str, members: str) -> np.ndarray:
        return self._join([np.array(getattr(part, name)) for part in self.parts], members)

    def _join(self, parts: list[np.ndarray], members: str) -> np.ndarray:
        if len(parts) == 1:
            return parts[0]
        numbers = np.empty(sum(map(len, parts)))
        for part, piece in zip(parts, self.pieces):
            numbers[getattr(piece, members)] = part
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

    def range_costs(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest cost of each column, the others kept, at which the solution stays optimal; shape (columns,) each.

        Raises
        ------
        MedlibError
            The solution is not a vertex of a program without integers.
        """
        return tuple(self._gather_ranging(f"col_cost_{side}", "columns", highspy.Highs.getNumCol) for side in ("dn", "up"))

    def range_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest place of each row's binding bound at which its dual stays; shape (rows,) each; raises as `range_costs`."""
        return tuple(self._gather_ranging(f"row_bound_{side}", "rows", highspy.Highs.getNumRow) for side in ("dn", "up"))

    def _gather_ranging(self, name: str, members: str, count: Callable) -> np.ndarray:
        found = [piece.highs.getRanging()[1] for piece in self.pieces]
        if not all(ranging.valid for ranging in found):
            raise MedlibError("Ranging needs an optimal vertex of a program without integers; solve by simplex.")
        numbers = [np.array(getattr(ranging, name).value_)[:count(piece.highs)]
                   for ranging, piece in zip(found, self.pieces)]
        return self._join(numbers, members)


class Piece(NamedTuple):
    """A live HiGHS model of some columns and rows, by number."""

    highs: highspy.Highs
    columns: np.ndarray
    rows: np.ndarray


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
        hand = ByHand(lp)
        if lp.live and hand.matches(lp.hand) and lp.solved_whole == self.mip:
            starts = [piece.highs.getSolution() for piece in lp.live]
            for piece in lp.live:
                piece.highs.passOptions(lp.solverModel.getOptions())
            self._send_changes(lp, hand)
            # The simplex method starts warm by itself; a search for whole units has to be given the last plan.
            for piece, start in zip(lp.live, starts) if self.mip and is_whole(lp) else ():
                if start.value_valid:
                    piece.highs.setSolution(start)
        else:
            lp.live, lp.solved_whole = self._hand_over(lp, hand), self.mip
        lp.hand, lp.solverModel = hand, lp.live[0].highs
        lp.changed.clear()

    def _hand_over(self, lp: BlockProblem, hand: ByHand) -> list[Piece]:
        low, high, cost, integer = list_columns(lp, hand)
        integer = integer if self.mip else np.zeros_like(integer)
        row_low, row_high = list_rows(lp, hand)
        matrix, pieces = assemble(lp, hand), []
        for columns, rows in split(lp, matrix, self.apart):
            part = matrix if columns is None else cut(matrix, columns, rows)
            pick, pick_row = (slice(None), slice(None)) if columns is None else (columns, rows)
            highs = lp.solverModel
            if pieces:
                highs = highspy.Highs()
                highs.passOptions(lp.solverModel.getOptions())
            status = highs.passModel(
                part.shape[1], part.shape[0], part.nnz, int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize), 0.0,
                cost[pick], low[pick], high[pick], row_low[pick_row], row_high[pick_row], part.indptr, part.indices, part.data,
                integer[pick])
            if status == highspy.HighsStatus.kError:
                raise MedlibError("HiGHS refused the model: a bound or coefficient is not a number, a lower bound lies above its "
                                  "upper bound's range, or a column comes twice into one row.")
            pieces.append(Piece(highs, columns, rows))
        return pieces

    def _send_changes(self, lp: BlockProblem, hand: ByHand) -> None:
        for family, what in lp.changed:
            numbers = np.arange(family.span.start, family.span.stop, dtype=np.int32)
            for piece in lp.live:
                local, there = _find(numbers, piece.rows if what == "rows" else piece.columns)
                if what == "cost":
                    piece.highs.changeColsCost(len(local), local, family.cost[there])
                else:
                    change = piece.highs.changeRowsBounds if what == "rows" else piece.highs.changeColsBounds
                    low, high = (family.low, family.high) if what == "rows" else round_in(family)
                    change(len(local), local, low[there], high[there])
        if len(hand.columns) or len(hand.rows):
            cost = list_columns(lp, hand)[2][hand.columns]
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
            _run(lp.live[0].highs)
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda piece: _run(piece.highs), lp.live))

    def findSolutionValues(self, lp: BlockProblem):
        """Read the solution in bulk, then give touched variables and rows by hand their share of it."""
        lp.solution = Solution(lp.live)
        infos = [piece.highs.getInfo() for piece in lp.live]
        words = [piece.highs.modelStatusToString(piece.highs.getModelStatus()) for piece in lp.live]
        # A program without columns and rows has its optimum: nothing is to be done.
        words = ["Optimal" if word == "Empty" else word for word in words]
        worst = next((place for place, word in enumerate(words) if word != "Optimal"), 0)
        lp.outcome, lp.minimum = words[worst], sum(info.objective_function_value for info in infos) + lp.hand.constant
        lp.gap = max(info.mip_gap for info in infos) if is_whole(lp) else 0.0
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


def is_whole(lp: BlockProblem) -> bool:
    """Something in the program is integer, so that it has no duals."""
    return any(family.integer and family.size for family in lp.columns.values()) or any(
        variable.cat == "Integer" for variable in lp.variables())


def _find(numbers: np.ndarray, members: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | slice]:
    """Places among a piece's members of those numbers that it has, and which those are."""
    if members is None:
        return numbers, slice(None)
    if not len(members):
        return np.zeros(0, np.int32), np.zeros(len(numbers), bool)
    place = np.minimum(np.searchsorted(members, numbers), len(members) - 1)
    there = members[place] == numbers
    return place[there].astype(np.int32), there


def _run(highs: highspy.Highs) -> None:
    """Solve; what is called infeasible is asked again without presolve, which may reduce integer programs wrongly (1.15.1)."""
    highs.run()
    infeasible = highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible
    if infeasible and highspy.HighsVarType.kInteger in highs.getLp().integrality_:
        _, presolve = highs.getOptionValue("presolve")
        highs.setOptionValue("presolve", "off")
        highs.run()
        highs.setOptionValue("presolve", presolve)
