"""Allocation: a `Problem` (frozen arrays) becomes a PuLP `Model`, which solved is a `Plan` (tables, duals, status).

`problem` holds the question, `pose` makes it from tables, `model` the linear program with its parts (`patients`, `units`,
`drugs`, `limits`), `plan` the answer.
"""

from medlib.allocate.model import Model
from medlib.allocate.plan import Plan, Shipment, read_plan, solve, solve_lexicographic
from medlib.allocate.pose import choose_forecast, pose_problem, spread, weigh_levels, weigh_pairs
from medlib.allocate.problem import Problem, Rules, list_requirements, sort_by_need, weigh_shortage

__all__ = ["Model", "Plan", "Problem", "Rules", "Shipment", "choose_forecast", "list_requirements", "pose_problem", "read_plan", "solve",
           "solve_lexicographic", "sort_by_need", "spread", "weigh_levels", "weigh_pairs", "weigh_shortage"]
