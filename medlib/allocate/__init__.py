"""Allocation: a `Problem` (frozen arrays) becomes a PuLP `Model`, which solved is a `Plan` (tables, duals, status).

`problem` holds the question, `pose` makes it from tables, `model` the linear program with its parts (`patients`, `units`,
`drugs`, `limits`), `plan` the answer. Under uncertainty, `risk` says how shortage counts that differs between scenarios, `recourse` tells
what a plan leaves short in each, `steps` counts it by few rows, `cuts` solves for many of them, and `worth` weighs what all that is worth. Fairness: `fairness` holds
the criteria, `welfare` what equal sharing counts, `equity` the measures, `frontier` what equity costs.
"""

from medlib.allocate.equity import count_service, measure_equity, measure_gini, tabulate_units
from medlib.allocate.fairness import FairPlan, solve_fair
from medlib.allocate.frontier import count_withheld, trace_frontier
from medlib.allocate.model import Model
from medlib.allocate.plan import Decision, Infeasible, Plan, Shipment, make_model, read_plan, solve, solve_lexicographic
from medlib.allocate.pose import choose_forecast, pose_problem, spread, weigh_levels, weigh_pairs
from medlib.allocate.problem import Problem, Rules, list_requirements, sort_by_need, weigh_shortage
from medlib.allocate.recourse import face_plan
from medlib.allocate.risk import Risk, average_scenarios, bound_demand
from medlib.allocate.steps import StepModel
from medlib.allocate.worth import cost_plan, wait_and_see, weigh_worth

__all__ = ["Decision", "FairPlan", "Infeasible", "Model", "Plan", "Problem", "Risk", "Rules", "Shipment", "StepModel", "average_scenarios", "bound_demand", "choose_forecast",
           "cost_plan", "count_service", "count_withheld", "face_plan", "list_requirements", "make_model", "measure_equity",
           "measure_gini", "pose_problem", "read_plan", "solve", "solve_fair", "solve_lexicographic", "sort_by_need", "spread",
           "tabulate_units", "trace_frontier", "wait_and_see", "weigh_levels", "weigh_pairs", "weigh_shortage", "weigh_worth"]
