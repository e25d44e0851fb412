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

from medlib.blocks.families import INFINITE, Columns, Rows
from medlib.blocks.highs import BlockHiGHS
from medlib.blocks.problem import BlockProblem

__all__ = ["INFINITE", "BlockHiGHS", "BlockProblem", "Columns", "Rows"]
