"""Allocation: a `Problem` (frozen arrays) becomes a PuLP `Model`, which solved is a `Plan` (tables, duals, status)."""

from medlib.allocate.model import Model
from medlib.allocate.plan import Plan, Shipment, read_plan, solve, solve_lexicographic
from medlib.allocate.problem import Problem, Rules, list_requirements, pose_problem, weigh_shortage

__all__ = ["Model", "Plan", "Problem", "Rules", "Shipment", "list_requirements", "pose_problem", "read_plan", "solve",
           "solve_lexicographic", "weigh_shortage"]
