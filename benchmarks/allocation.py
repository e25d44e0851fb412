"""How long each modelling tool takes over the same linear program, and how much memory: one table.

Run ``python benchmarks/allocation.py --size S [--json FILE]``. Every tool builds the program, hands it to the solver, lets it
solve and reads the solution back; direct HiGHS on arrays (`highspy`) is what the others are held against. Each measurement has
a process of its own. All programs are compared coefficient by coefficient, whatever their order. At L the tools solve nothing
(some read back what HiGHS holds before its first iteration); medlib's own way to a proven gap is a row of its own.

Links l = (i, j), resources 0 (beds: patients move), 1 and 2 (nurses, ventilators: units move), days t:

* net[i,t] = sum_in move[l,0,t] - sum_out move[l,0,t] and relocated[i,t] = sum over u <= t of S(t - u) net[i,u]
* there: relocated[i,t] - sum_in move[l,0,t] >= -demand[i,0,t] (only patients who are there in the morning can be sent)
* present[i,r,t] = present[i,r,t-1] + sum_in move[l,r,t-1] - sum_out move[l,r,t], on the first day from capacity[i,r]
* usable: demand[i,0,t] + relocated[i,t] - short[i,0,t] <= 0.9 capacity[i,0]; demand[i,r,t] - short[i,r,t] <= present[i,r,t]
* site budget: sum_out move[l,r,t] + sum_in move[l,r,t] <= 10
* minimise (1 + 0.02 km) points a move and 100 points a unit-day short

A tool is a generator that stops after every phase. It yields nothing after building; after handing over, a function that gives
matrix, costs and row bounds, and the seconds that solving took where one call does both (handing over is then the rest);
nothing after solving; the minimum after reading back. Two tools are then sent the demand of a horizon that begins a day later, and
solve again, warm, by simplex.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.spatial import cKDTree

# The tools are imported where they are used: highspy, once loaded, keeps OR-tools from loading the HiGHS that it brings.

#: Sites, repeats, and HiGHS' method; "none": nothing is solved.
SIZES = {"S": (50, 5, "simplex"), "M": (300, 3, "ipm"), "L": (3000, 3, "none")}
PHASES = ("build", "hand_over", "solve", "read_back", "resolve")
#: What reads back at L, and what takes minutes there and is run once.
READERS, SLOW = ("highspy", "medlib", "pulp"), ("pulp", "pyomo")
FREE = ("net", "relocated")
OCCUPANCY, SITE_BUDGET, SHORTAGE_COST, MOVE_COST, COST_PER_KM, STAY_DAYS, STAY_SHAPE = 0.9, 10.0, 100.0, 1.0, 0.02, 12.0, 1.58


@dataclass(frozen=True)
class Instance:
    """What the program is made from.

    Parameters
    ----------
    origin, destination, distance_km : numpy.ndarray
        Shape (links,): numbers of sites (int32), km.
    capacity, demand : numpy.ndarray
        Shapes (sites, 3) and (sites, 3, days): units in place, units needed.
    """

    origin: np.ndarray
    destination: np.ndarray
    distance_km: np.ndarray
    capacity: np.ndarray
    demand: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sites, days, links."""
        return len(self.demand), self.demand.shape[2], len(self.origin)

    @property
    def families(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the families of columns."""
        sites, days, links = self.shape
        return {"patients": (links, days), "units": (links, 2, days - 1), "net": (sites, days), "relocated": (sites, days),
                "present": (sites, 2, days), "short": (sites, 3, days)}

    @property
    def cost(self) -> np.ndarray:
        """Shape (links,): cost points of a move."""
        return MOVE_COST + COST_PER_KM * self.distance_km

    @property
    def costs(self) -> np.ndarray:
        """Cost points of all columns, family by family."""
        sites, days, _ = self.shape
        return np.concatenate([np.repeat(self.cost, days), np.repeat(self.cost, 2 * days - 2), np.zeros(4 * sites * days),
                               np.full(3 * sites * days, SHORTAGE_COST)])

    @property
    def survival(self) -> np.ndarray:
        """Shape (days, days): share of the patients moved on the second day who are still there on the first."""
        days = np.arange(self.shape[1])
        wait, scale = days[:, None] - days, STAY_DAYS / math.gamma(1 + 1 / STAY_SHAPE)
        return np.where(wait < 0, 0.0, np.exp(-((np.maximum(wait, 0) / scale) ** STAY_SHAPE)))

    @property
    def spare(self) -> np.ndarray:
        """Shape (sites, 3, days): usable beds less demand; of units, whose presence is decided, less demand alone."""
        return (self.capacity * [OCCUPANCY, 0.0, 0.0])[:, :, None] - self.demand


def make_instance(sites: int, links_per_site: int, days: int, seed: int) -> Instance:
    """Scatter sites evenly (one per 1600 km²), link each to its nearest neighbours, and let a wave pass over each."""
    generator = np.random.default_rng(seed)
    place = generator.uniform(0, 40 * math.sqrt(sites), (sites, 2))
    distance, neighbour = cKDTree(place).query(place, links_per_site + 1)
    capacity = generator.lognormal(3, 0.7, (sites, 3)).round() + 3
    wave = 0.75 + 0.35 * np.exp(-(((np.arange(days) - generator.uniform(2, days - 2, (sites, 1, 1))) / 5) ** 2))
    demand = generator.poisson(capacity[:, :, None] * wave * generator.uniform(0.8, 1.2, (sites, 3, 1))).astype(float)
    return Instance(np.repeat(np.arange(sites, dtype=np.int32), links_per_site), neighbour[:, 1:].astype(np.int32).ravel(),
                    distance[:, 1:].ravel(), capacity, demand)


def read_highs(highs) -> tuple[sparse.sparray, np.ndarray, np.ndarray, np.ndarray]:
    """Matrix, costs, lower and upper row bounds that HiGHS got."""
    lp = highs.getLp()
    kind = sparse.csr_array if lp.a_matrix_.format_.name == "kRowwise" else sparse.csc_array
    matrix = kind((lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_), (lp.num_row_, lp.num_col_))
    return matrix, *map(np.array, (lp.col_cost_, lp.row_lower_, lp.row_upper_))


# highspy: the arrays are written column by column, as HiGHS keeps them, which is faster than to let SciPy sort triplets.

def number(shapes) -> list[np.ndarray]:
    """Number the elements of arrays of these shapes, one array after the other."""
    ends = np.cumsum([0, *map(math.prod, shapes)])
    return [np.arange(first, last, dtype=np.int32).reshape(shape) for shape, first, last in zip(shapes, ends, ends[1:])]


def lay_out(instance: Instance) -> tuple[np.ndarray, ...]:
    """Costs, bounds of columns, bounds of rows, and starts, rows and values of the matrix by column."""
    (sites, days, links), origin, destination = instance.shape, instance.origin, instance.destination
    daily = (sites, days)
    net, relocated, present, there, usable, patients, units = number(
        [daily, daily, (sites, 2, days), daily, (sites, 3, days), daily, (sites, 2, days - 1)])
    # Net counts from its day on; what is present on a day counts on the next, too.
    on = [np.arange(day, days) for day in range(days)]
    since = np.concatenate([[day, *(days + on[day])] for day in range(days)])
    survival = np.concatenate([[1.0, *-instance.survival[on[day], day]] for day in range(days)])
    kept = np.concatenate([[*on[day][:2], days + day] for day in range(days)])
    # Of each family: the rows of its coefficients, their values, and how many each column has, all repeated.
    families = [
        ([net[origin], net[destination], there[destination], patients[origin], patients[destination]],
         [1.0, -1.0, -1.0, 1.0, 1.0], [5]),
        ([present[origin, :, :-1], present[destination, :, 1:], units[origin], units[destination]], [1.0, -1.0, 1.0, 1.0], [4]),
        ([np.concatenate([net, relocated], 1)[:, since]], survival, range(days + 1, 1, -1)),
        ([relocated, there, usable[:, 0]], [1.0, 1.0, 1.0], [3]),
        ([np.concatenate([present, usable[:, 1:]], -1)[..., kept]], [1.0, -1.0, -1.0] * (days - 1) + [1.0, -1.0],
         [3] * (days - 1) + [2]),
        ([usable], [-1.0], [1])]
    sizes = [sum(part.size for part in parts) for parts, _, _ in families]
    # Filled in place: what is first made and then put together costs as much again in memory that the process has to get.
    index, value = np.empty(sum(sizes), np.int32), np.empty(sum(sizes))
    for (parts, values, _), size, end in zip(families, sizes, np.cumsum(sizes)):
        for place, part in enumerate(parts):
            index[end - size:end].reshape(-1, len(parts))[:, place] = part.ravel()
        value[end - size:end].reshape(-1, len(values))[:] = values
    counts = [np.tile(np.array(count, np.int32), size // sum(count)) for (_, _, count), size in zip(families, sizes)]
    cost = instance.costs
    low = np.zeros(len(cost))
    low[links * (3 * days - 2):][:2 * sites * days] = -np.inf
    equal = np.zeros(2 * sites * days + present.size)
    equal[present[:, :, 0]] = instance.capacity[:, 1:]
    row_low, row_high = bound_demand(instance)
    budgets = np.full(patients.size + units.size, SITE_BUDGET)
    return (cost, low, np.full(len(cost), np.inf), np.concatenate([equal, row_low, budgets - np.inf]),
            np.concatenate([equal, row_high, budgets]), np.cumsum(np.concatenate([[0], *counts]), dtype=np.int32), index, value)


def bound_demand(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of the rows that demand bounds: there, usable."""
    there, usable = -instance.demand[:, 0].ravel(), instance.spare.ravel()
    return np.concatenate([there, np.full(usable.size, -np.inf)]), np.concatenate([np.full(there.size, np.inf), usable])


def with_highspy(instance: Instance, options: dict) -> Iterator:
    """Direct HiGHS on arrays."""
    import highspy
    program = lay_out(instance)
    yield
    highs = highspy.Highs()
    for option, value in options.items():
        highs.setOptionValue(option, value)
    columns, rows, nonzeros = len(program[0]), len(program[3]), len(program[-1])
    highs.passModel(columns, rows, nonzeros, 1, 1, 0.0, *program, np.zeros(columns, np.int32))  # 1, 1: by column, minimise
    yield lambda: read_highs(highs), 0.0
    highs.run()
    yield
    later = yield read_all(highs, instance)
    low, high = bound_demand(later)
    first = sum(map(math.prod, list(instance.families.values())[2:5]))
    highs.setOptionValue("solver", "simplex")
    highs.changeRowsBounds(len(low), np.arange(first, first + len(low), dtype=np.int32), low, high)
    highs.run()
    yield read_all(highs, instance)


def read_all(highs, instance: Instance) -> float:
    """Read the families' values and the duals as arrays; the minimum."""
    solution = highs.getSolution()
    values, duals = split(np.array(solution.col_value), instance), np.array(solution.row_dual)
    return highs.getObjectiveValue()


def split(values: np.ndarray, instance: Instance) -> list[np.ndarray]:
    """Split the values of all columns by family."""
    parts = np.split(values, np.cumsum([math.prod(shape) for shape in instance.families.values()])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, instance.families.values())]


# PuLP and Pyomo take rows one by one; expressions made from lists are the fastest that their documentations know.

def nest(items: Iterator, shape: tuple[int, ...]) -> list:
    """Bring items to nested lists."""
    return [nest(items, shape[1:]) if shape[1:] else next(items) for _ in range(shape[0])]


def write_rows(instance: Instance, columns: list[list]) -> Iterator[tuple[list, list, float | None, float | None]]:
    """Write row after row: columns, coefficients, lower and upper bound."""
    patients, units, net, relocated, present, short = map(nest, map(iter, columns), instance.families.values())
    outgoing, incoming = defaultdict(list), defaultdict(list)
    for link, (origin, destination) in enumerate(zip(instance.origin.tolist(), instance.destination.tolist())):
        outgoing[origin].append(link)
        incoming[destination].append(link)
    loss, spare, demand, capacity = (
        array.tolist() for array in (-instance.survival, instance.spare, instance.demand, instance.capacity))
    (sites, days, _), plus, minus = instance.shape, [1.0], [-1.0]
    for site, day in np.ndindex(sites, days):
        sent, received = ([patients[link][day] for link in links[site]] for links in (outgoing, incoming))
        here = relocated[site][day]
        yield [net[site][day], *sent, *received], plus + plus * len(sent) + minus * len(received), 0.0, 0.0
        yield [here, *net[site][:day + 1]], plus + loss[day][:day + 1], 0.0, 0.0
        yield [here, *received], plus + minus * len(received), -demand[site][0][day], None
        yield [here, short[site][0][day]], plus + minus, None, spare[site][0][day]
        yield sent + received, plus * len(sent + received), None, SITE_BUDGET
        for unit in (0, 1):
            left, last = present[site][unit], day == days - 1
            sent, received = ([units[link][unit][day] for link in links[site] if not last] for links in (outgoing, incoming))
            before = [left[day - 1], *(units[link][unit][day - 1] for link in incoming[site])] if day else []
            begin = 0.0 if day else capacity[site][1 + unit]
            yield [left[day], *sent, *before], plus + plus * len(sent) + minus * len(before), begin, begin
            yield [left[day], short[site][1 + unit][day]], minus + minus, None, spare[site][1 + unit][day]
            if not last:
                yield sent + received, plus * len(sent + received), None, SITE_BUDGET


def with_pulp(instance: Instance, options: dict) -> Iterator:
    """PuLP with its HiGHS."""
    import pulp
    lp = pulp.LpProblem("allocation", pulp.LpMinimize)
    columns = [[lp.add_variable(f"{name}_{place}", None if name in FREE else 0) for place in range(math.prod(shape))]
               for name, shape in instance.families.items()]
    costs = zip(chain(*columns), instance.costs.tolist())
    lp.setObjective(pulp.LpAffineExpression([(variable, cost) for variable, cost in costs if cost]))
    for variables, coefficients, low, high in write_rows(instance, columns):
        sense = pulp.LpConstraintEQ if low == high else pulp.LpConstraintLE if low is None else pulp.LpConstraintGE
        terms = pulp.LpAffineExpression(zip(variables, coefficients))
        lp.addConstraint(pulp.LpConstraint(terms, sense, rhs=high if low is None else low))
    yield
    solver = pulp.HiGHS(msg=False, **options)
    solver.createAndConfigureSolver(lp)
    solver.buildSolverModel(lp)
    yield lambda: read_highs(lp.solverModel), 0.0
    solver.callSolver(lp)
    yield
    solver.findSolutionValues(lp)
    values = [np.array([variable.varValue for variable in family]) for family in columns]
    yield pulp.value(lp.objective)


def with_pyomo(instance: Instance, options: dict) -> Iterator:
    """Pyomo with APPSI, which hands over faster than `contrib.solver`; what it checks before solving again is turned off."""
    import pyomo.environ as pyomo
    from pyomo.contrib.appsi.solvers import Highs
    from pyomo.core.expr.numeric_expr import LinearExpression
    model = pyomo.ConcreteModel()
    for name, shape in instance.families.items():
        model.add_component(name, pyomo.Var(*map(range, shape), domain=pyomo.Reals if name in FREE else pyomo.NonNegativeReals))
    columns = [list(family.values()) for family in model.component_objects(pyomo.Var)]
    variables, costs = zip(*((variable, cost) for variable, cost in zip(chain(*columns), instance.costs.tolist()) if cost))
    model.cost = pyomo.Objective(expr=LinearExpression(constant=0, linear_coefs=costs, linear_vars=variables))
    model.rows = pyomo.ConstraintList()
    for variables, coefficients, low, high in write_rows(instance, columns):
        model.rows.add((low, LinearExpression(constant=0, linear_coefs=coefficients, linear_vars=variables), high))
    yield
    solver = Highs()
    solver.highs_options, solver.config.load_solution, solver.update_config.treat_fixed_vars_as_params = options, False, False
    solver.set_instance(model)
    for check in list(solver.update_config):  # off before set_instance, some of them would slow it down
        solver.update_config[check] = False
    yield lambda: read_highs(solver._solver_model), 0.0
    result = solver.solve(model)
    yield
    solver.load_vars()
    values, duals = [np.array([variable.value for variable in family]) for family in columns], solver.get_duals()
    yield result.best_feasible_objective


def with_linopy(instance: Instance, options: dict) -> Iterator:
    """linopy on its sparse path, sums over links as sums by group, straight to highspy."""
    import linopy
    from xarray import DataArray
    linopy.options["semantics"] = "v1"
    unit = pd.Index(["nurse", "ventilator"], name="unit")
    site, day, link = (pd.RangeIndex(size, name=name) for name, size in zip(("site", "day", "link"), instance.shape))
    model = linopy.Model(sparse=True)
    axes = {"patients": [link, day], "units": [link, unit, day[:-1]], "net": [site, day], "relocated": [site, day],
            "present": [site, unit, day], "short_bed": [site, day], "short_unit": [site, unit, day]}
    patients, units, net, relocated, present, short_bed, short_unit = (
        1 * model.add_variables(-np.inf if name in FREE else 0, coords=coords, name=name) for name, coords in axes.items())
    demand, spare = DataArray(instance.demand[:, 0], [site, day]), instance.spare
    cost, survival = DataArray(instance.cost, [link]), DataArray(instance.survival, [day, day.rename("sent")])
    origin, destination = (pd.Series(ends, link, name="site") for ends in (instance.origin, instance.destination))
    sent, received = (patients.groupby(ends).sum() for ends in (origin, destination))
    lent, borrowed = (units.groupby(ends).sum() for ends in (origin, destination))
    arrived = units.assign_coords(day=day[1:]).groupby(destination).sum()
    left, before = present.add(lent, join="left"), present.sel(day=day[:-1]).assign_coords(day=day[1:])
    model.add_objective((cost * patients).sum() + (cost * units).sum() + SHORTAGE_COST * (short_bed.sum() + short_unit.sum()))
    # A site that no link leads to has no group; joined from the left it receives 0.
    model.add_constraints((net + sent).sub(received, join="left"), "=", 0)
    model.add_constraints(relocated - net.rename(day="sent") @ survival, "=", 0)
    model.add_constraints(relocated.sub(received, join="left"), ">=", -demand)
    model.add_constraints(relocated - short_bed, "<=", DataArray(spare[:, 0], [site, day]))
    model.add_constraints(-present - short_unit, "<=", DataArray(spare[:, 1:], [site, unit, day]))
    model.add_constraints(left.sel(day=0), "=", DataArray(instance.capacity[:, 1:], [site, unit]))
    model.add_constraints((left.sel(day=day[1:]) - before).sub(arrived, join="left"), "=", 0)
    model.add_constraints(sent.add(received, join="left"), "<=", SITE_BUDGET)
    model.add_constraints(lent.add(borrowed, join="left"), "<=", SITE_BUDGET)
    yield
    solver = linopy.solvers.Highs.from_model(model, io_api="direct", options=options)
    yield lambda: read_highs(solver.solver_model), 0.0
    result = solver.solve()
    yield
    model.assign_result(result, solver)
    values = [variable.solution.values for _, variable in model.variables.items()]
    duals = [rows.dual.values for _, rows in model.constraints.items()]
    yield model.objective.value


def with_cvxpy(instance: Instance, options: dict) -> Iterator:
    """CVXPY with sparse incidence matrices, bounds in place of rows, and the canonicalisation that it chooses itself."""
    import cvxpy
    (sites, days, links), demand, spare = instance.shape, instance.demand, instance.spare
    out, into = (sparse.csr_array((np.ones(links), (ends, np.arange(links))), (sites, links))
                 for ends in (instance.origin, instance.destination))
    patients, *units = (cvxpy.Variable((links, size), bounds=[0, None]) for size in (days, days - 1, days - 1))
    net, relocated = cvxpy.Variable((sites, days)), cvxpy.Variable((sites, days))
    *presents, short_bed, short_nurse, short_ventilator = (cvxpy.Variable((sites, days), bounds=[0, None]) for _ in range(5))
    rows = [net == into @ patients - out @ patients, relocated == net @ instance.survival.T,
            relocated - into @ patients >= -demand[:, 0], relocated - short_bed <= spare[:, 0],
            (out + into) @ patients <= SITE_BUDGET]
    for place, (moved, present, short) in enumerate(zip(units, presents, (short_nurse, short_ventilator)), start=1):
        sent, arrived = out @ moved, into @ moved
        rows += [present[:, 0] + sent[:, 0] == instance.capacity[:, place], -present - short <= spare[:, place],
                 present[:, 1:-1] - present[:, :-2] - arrived[:, :-1] + sent[:, 1:] == 0,
                 present[:, -1] - present[:, -2] - arrived[:, -1] == 0, (out + into) @ moved <= SITE_BUDGET]
    moves = sum(cvxpy.sum(instance.cost @ moved) for moved in (patients, *units))
    shortage = cvxpy.sum(short_bed) + cvxpy.sum(short_nurse) + cvxpy.sum(short_ventilator)
    problem = cvxpy.Problem(cvxpy.Minimize(moves + SHORTAGE_COST * shortage), rows)
    yield
    data, solving, inverse = problem.get_problem_data(cvxpy.HIGHS)
    solution = solving.solve_via_data(problem, data, solver_opts=dict(options))
    low = np.where(np.arange(len(data["b"])) < data["dims"].zero, data["b"], -np.inf)
    yield lambda: (data["A"], data["c"], low, data["b"]), solution["run_time"]
    yield
    problem.unpack_results(solution, solving, inverse)
    values, duals = [variable.value for variable in problem.variables()], [row.dual_value for row in rows]
    yield problem.value


def with_ortools(instance: Instance, options: dict) -> Iterator:
    """OR-tools' model builder with the HiGHS that it brings, filled from arrays; row by row it takes twenty times as long."""
    from ortools.linear_solver.python.model_builder import Model, Solver
    cost, low, high, row_low, row_high, start, index, value = lay_out(instance)
    model, matrix = Model(), sparse.csc_matrix((value, index, start), (len(row_low), len(cost)))
    model.helper.fill_model_from_sparse_data(low, high, cost, row_low, row_high, matrix.tocsr())
    yield
    solver = Solver("highs")
    solver.set_solver_specific_parameters(",".join(f"{name}={setting}" for name, setting in options.items()))
    solver.solve(model)

    def read():
        rows, columns = (getattr(model.export_to_proto(), name) for name in ("constraint", "variable"))
        values, places = (np.concatenate([list(getattr(row, name)) for row in rows]) for name in ("coefficient", "var_index"))
        ends = np.cumsum([0, *(len(row.var_index) for row in rows)])
        return (sparse.csr_array((values, places.astype(int), ends), matrix.shape),
                np.array([column.objective_coefficient for column in columns]),
                *(np.array([getattr(row, name) for row in rows]) for name in ("lower_bound", "upper_bound")))

    yield read, solver.wall_time
    yield
    values, duals = solver.values(model.get_variables()), solver.dual_values(model.get_linear_constraints())
    values = split(values.to_numpy(), instance)
    yield solver.objective_value


def pose_problem(instance: Instance):
    """Bring the instance to medlib's form."""
    from medlib.allocate import Problem, Rules
    sites, days, _ = instance.shape
    names, units = np.array([f"site_{site}" for site in range(sites)]), ["bed", "nurse", "ventilator"]
    rules = Rules(planning_occupancy=OCCUPANCY, transfers_per_site_day=SITE_BUDGET, transfers_per_day=np.inf,
                  max_distance_km=np.inf, shortage_cost=SHORTAGE_COST, move_cost=MOVE_COST, cost_per_km=COST_PER_KM,
                  los_days=STAY_DAYS)
    links = pd.DataFrame({"origin": names[instance.origin], "destination": names[instance.destination],
                          "distance_km": instance.distance_km, "lead_days": 1.0, "cost": 0.0})
    resources = pd.DataFrame({"resource": units, "kind": ["bed", "staff", "equipment"], "unit": units})
    return Problem(sites=tuple(names), resources=resources, dates=pd.date_range("2021-01-01", periods=days), links=links,
                   demand=instance.demand[None], weights=np.ones(1), capacity=np.repeat(instance.capacity[:, :, None], days, 2),
                   surge=np.zeros((sites, 3, days)), surge_lead_days=np.zeros((sites, 3)), rules=rules)


def with_medlib(problem, options: dict) -> Iterator:
    """medlib: families of columns and rows on top of PuLP."""
    from medlib.allocate import Model
    from medlib.blocks import BlockHiGHS
    model = Model(problem)
    lp, solver = model.lp, BlockHiGHS(msg=False, **options)
    yield
    solver.createAndConfigureSolver(lp)
    solver.buildSolverModel(lp)
    yield lambda: read_highs(lp.solverModel), 0.0
    solver.callSolver(lp)
    yield
    solver.findSolutionValues(lp)
    values, duals = [family.value for family in lp.columns.values()], [family.dual for family in lp.rows.values()]
    later = yield lp.minimum
    solver.optionsDict["solver"] = "simplex"
    model.update(later)
    lp.solve(solver)
    values, duals = [family.value for family in lp.columns.values()], [family.dual for family in lp.rows.values()]
    yield lp.minimum


TOOLS = {"highspy": with_highspy, "medlib": with_medlib, "pulp": with_pulp, "pyomo": with_pyomo, "linopy": with_linopy,
         "cvxpy": with_cvxpy, "ortools": with_ortools}


def take_fingerprint(matrix, cost: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """Describe a program whatever its order and its rows' signs; rows without coefficients say nothing and are left out."""
    matrix = sparse.csc_array(matrix)
    matrix.eliminate_zeros()
    size, full = abs(matrix), np.bincount(matrix.indices, minlength=matrix.shape[0]) > 0
    low, high = low[full], high[full]
    return {"shape": np.array([full.sum(), matrix.shape[1], matrix.nnz]), "costs": np.sort(cost),
            "column sums": np.sort(size.sum(axis=0)), "row sums": np.sort(size.sum(axis=1)[full]),
            "equalities": np.sort(abs(low[low == high])), "limits": np.sort(np.where(np.isinf(low), high, -low)[low != high])}


def measure(tool: str, method: str, now, later) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Seconds by phase, peak memory in MB and minima of a tool; fingerprint of its program."""
    nothing = {"solver": "simplex", "simplex_iteration_limit": 0, "presolve": "off"} if tool in READERS else {"time_limit": 0.0}
    options = {"output_flag": False, "threads": 1} | (nothing if method == "none" else {"solver": method})
    steps, found, before = TOOLS[tool](now, options), {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def clock(phase: str, given=None):
        begin = time.perf_counter()
        yielded = steps.send(given)
        found[phase] = time.perf_counter() - begin
        return yielded

    clock("build")
    read, inside = clock("hand_over")
    found["hand_over"] -= inside
    if method != "none":
        clock("solve")
        found["solve"] += inside
        found["objective"] = clock("read_back")
    elif tool in READERS:
        next(steps)
        clock("read_back")
    found["peak_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    fingerprint = take_fingerprint(*read())
    if method != "none" and tool in ("highspy", "medlib"):
        found["resolve_objective"] = clock("resolve", later)
    return found, fingerprint


def solve_large(problem) -> dict[str, float]:
    """Solve with medlib as a user would: seconds in all, the proven gap, peak memory in MB."""
    from medlib.allocate import solve
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    plan = solve(problem)
    return {"solve": time.perf_counter() - begin, "objective": plan.objective, "gap": plan.gap,
            "peak_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def measure_alone(given: argparse.Namespace) -> None:
    """Measure one tool in this process; leave figures and fingerprint in files."""
    instances = []
    for sites, links in ((2, 1), (given.sites, given.links)):
        now = make_instance(sites, links, given.days, given.seed)
        instances += [now, replace(now, demand=np.concatenate([now.demand[:, :, 1:], now.demand[:, :, -1:]], axis=2))]
    if given.tools == ["medlib"]:
        instances = list(map(pose_problem, instances))
    # Lazy imports and the solver's threads are got ready before the clock runs.
    measure(*given.tools, "simplex", *instances[:2])
    gc.collect()
    if given.method == "proven":
        return given.alone.with_suffix(".json").write_text(json.dumps(solve_large(instances[2])), encoding="utf-8")
    found, fingerprint = measure(*given.tools, given.method, *instances[2:])
    given.alone.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")
    np.savez(given.alone.with_suffix(".npz"), **fingerprint)


def run_all(given: argparse.Namespace, folder: Path) -> dict[str, list[dict]]:
    """Run every tool so many times, each time in a process of its own, in an order that rotates."""
    runs = {tool: [] for tool in given.tools}
    for repeat in range(given.repeats):
        turn = repeat % len(given.tools)
        for tool in given.tools[turn:] + given.tools[:turn]:
            if repeat == 0 or given.size != "L" or tool not in SLOW:
                runs[tool].append(run_alone(given, tool, given.method, folder / tool))
    return runs


def run_alone(given: argparse.Namespace, tool: str, method: str, file: Path) -> dict[str, float]:
    """Run a tool in a process of its own."""
    options = {"size": given.size, "links": given.links, "days": given.days, "seed": given.seed, "method": method,
               "tools": tool, "alone": file}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool} failed: {(done.stderr.strip() or f'exit status {done.returncode}').splitlines()[-1]}")
    return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))


def summarise(runs: dict[str, list[dict]], folder: Path) -> dict[str, dict[str, float]]:
    """Medians by tool and their ratios to highspy's; programs and minima must be the same with all tools."""
    tools = {tool: {name: median(run[name] for run in of_tool) for name in of_tool[0]} for tool, of_tool in runs.items()}
    direct, wanted = tools["highspy"], np.load(folder / "highspy.npz")
    for tool, found in tools.items():
        with np.load(folder / f"{tool}.npz") as fingerprint:
            for part in wanted:
                first, other = wanted[part], fingerprint[part]
                if first.shape != other.shape or not np.allclose(first, other, 1e-9, 1e-9):
                    sys.exit(f"{tool} makes another program than highspy: the {part} differ.")
        for name in {"objective", "resolve_objective"} & set(found) & set(direct):
            if not math.isclose(found[name], direct[name], rel_tol=1e-6):
                sys.exit(f"{tool} finds the {name} {found[name]}, highspy {direct[name]}.")
        found["build_and_hand_over"] = found["build"] + found["hand_over"]
    for found in tools.values():
        found |= {f"{name}_ratio": found[name] / direct[name] for name in ("build_and_hand_over", *PHASES[2:], "peak_mb")
                  if direct.get(name) and name in found}
    return tools


def show(title: str, tools: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    table = Table("tool", title=title)
    headings = {"build": "build, s", "hand_over": "hand over, s", "build_and_hand_over_ratio": "both: ratio",
                "solve": "solve, s", "read_back": "read back, s", "read_back_ratio": "ratio", "peak_mb": "peak, MB",
                "peak_mb_ratio": "ratio", "resolve": "re-solve, s", "resolve_ratio": "ratio", "objective": "objective"}
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for tool, found in tools.items():
        table.add_row(tool, *(f"{found[name]:.{4 if name in PHASES else 1}f}" if name in found else "" for name in headings))
    Console(width=150).print(table)


def read_arguments() -> argparse.Namespace:
    """Read the command line; what is not given is as the size says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="S", help="S: 50, M: 300, L: 3000 sites")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--links", type=int, default=8, help="of each site")
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, help="5 at S, else 3")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"some of {', '.join(TOOLS)}; highspy is always among them")
    parser.add_argument("--method", choices=("simplex", "ipm", "none", "proven"),
                        help="HiGHS' method; none: nothing is solved")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.sites, repeats, method = SIZES[given.size]
    given.repeats, given.method, given.tools = given.repeats or repeats, given.method or method, given.tools.split(",")
    if unknown := set(given.tools) - set(TOOLS):
        parser.error(f"there is no tool {', '.join(sorted(unknown))}; there are {', '.join(TOOLS)}")
    return given


def main() -> None:
    """Measure, print, and write."""
    given = read_arguments()
    if given.alone:
        return measure_alone(given)
    given.tools = list(dict.fromkeys(["highspy", *given.tools]))
    with tempfile.TemporaryDirectory() as name:
        tools = summarise(run_all(given, folder := Path(name)), folder)
        rows, columns, nonzeros = np.load(folder / "highspy.npz")["shape"].tolist()
        if given.size == "L":
            proven = run_alone(given, "medlib", "proven", folder / "proven")
            tools["medlib"] |= {name: proven[name] for name in ("solve", "objective", "gap")} | {"solve_peak_mb": proven["peak_mb"]}
    shape = {"sites": given.sites, "links": given.links * given.sites, "periods": given.days, "resources": 3,
             "columns": columns, "rows": rows, "nonzeros": nonzeros}
    show(", ".join(f"{size:,} {name}" for name, size in shape.items()), tools)
    if given.size == "L":
        print(f"medlib's solve from problem to plan: {proven['solve']:.0f} s, proven gap {100 * proven['gap']:.4f} %, "
              f"peak {proven['peak_mb']:,.0f} MB")
    if given.json:
        found = {tool: figures | shape | {"size": given.size, "method": given.method} for tool, figures in tools.items()}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
