"""How long a two-stage plan takes, by number of scenarios, and how much memory: one table.

Run ``python benchmarks/uncertainty.py [--json FILE]``. 16 sites, 14 days, all 240 links, synthetic demand in 10 to 3,000 scenarios; once
for the mean and once for mean and tail (conditional value at risk). Moves and surge are decided now, shortage follows in every
scenario. Tools: medlib as a user calls it (`solve`, which takes tangents in place of scenarios), medlib with all scenarios written
out, and the same program written out for highspy (plain arrays) and for CVXPY. These three are stopped at ``--written`` scenarios.
All minima must be equal. Each measurement has a process, and one thread, of its own. Growth: seconds (or MB) per scenario relative to
those at the fewest scenarios; 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import sparse

SITES, DAYS, OCCUPANCY, LEVEL, WEIGHT = 16, 14, 0.9, 0.9, 0.5
SHORTAGE_COST, MOVE_COST, COST_PER_KM, SURGE_COST, DAY_BUDGET, SITE_BUDGET = 100.0, 1.0, 0.02, 5.0, 60.0, 10.0
STAY_DAYS, STAY_SHAPE = 12.0, 1.58
SCENARIOS = (10, 30, 100, 300, 1000, 3000)
PHASES = ("build", "solve", "read")


@dataclass(frozen=True)
class Instance:
    """What the programs are made from.

    Parameters
    ----------
    origin, destination, distance_km : numpy.ndarray
        Shape (links,): numbers of sites, km.
    capacity : numpy.ndarray
        Shape (resources, sites): units in place.
    demand : numpy.ndarray
        Shape (scenarios, sites, resources, days): units needed.
    """

    origin: np.ndarray
    destination: np.ndarray
    distance_km: np.ndarray
    capacity: np.ndarray
    demand: np.ndarray

    @property
    def surge(self) -> np.ndarray:
        """Shape (sites, resources, days): most surge units, a tenth of the capacity from the fourth day on."""
        return np.where(np.arange(DAYS) >= 3, 0.1, 0.0) * self.capacity.T[:, :, None]

    @property
    def survival(self) -> np.ndarray:
        """Shape (days, days): share of the patients moved on the second day who are still there on the first."""
        wait = np.arange(DAYS)[:, None] - np.arange(DAYS)
        scale = STAY_DAYS / math.gamma(1 + 1 / STAY_SHAPE)
        return np.where(wait < 0, 0.0, np.exp(-((np.maximum(wait, 0) / scale) ** STAY_SHAPE)))


def make_instance(scenarios: int, resources: int, seed: int) -> Instance:
    """Let a wave pass over each site; errors grow with the days and are shared by all sites in part."""
    random = np.random.default_rng(seed)
    place = random.uniform(0, 250, (SITES, 2))
    distance = np.hypot(*(place[:, None] - place).transpose(2, 0, 1))
    origin, destination = np.nonzero(~np.eye(SITES, dtype=bool))
    beds = random.lognormal(3.5, 0.6, SITES).round() + 5
    wave = 0.75 + 0.4 * np.exp(-(((np.arange(DAYS) - random.uniform(2, DAYS + 4, (SITES, 1))) / 5) ** 2))
    error = random.normal(0, 0.02, (scenarios, 1, DAYS)).cumsum(2) + random.normal(0, 0.04, (scenarios, SITES, DAYS)).cumsum(2)
    patients = beds[:, None] * wave * np.exp(error)
    # Beds need nurses; ventilators have a demand of their own.
    shares = np.array([1.0, 0.0, 0.4])[:resources, None]
    mine = shares * np.where(np.arange(resources) == 2, random.uniform(0.8, 1.2, (scenarios, SITES, 1)), 1.0)[..., None]
    capacity = np.stack([beds, 0.5 * beds, 0.4 * beds])[:resources].round()
    return Instance(origin, destination, distance[origin, destination], capacity, patients[:, :, None] * mine)


def pose(instance: Instance):
    """Bring the instance to medlib's form."""
    from medlib.allocate import Problem, Rules
    count = len(instance.demand)
    names = np.array([f"site_{site:02d}" for site in range(SITES)])
    resources = pd.DataFrame({"resource": ["bed", "nurse", "ventilator"], "kind": ["bed", "staff", "equipment"],
                              "unit": ["bed", "nurse", "ventilator"], "requires": ["0.5 nurse", None, None]})
    resources = resources.iloc[:len(instance.capacity)].assign(requires=lambda table: table["requires"] if len(table) > 1 else None)
    links = pd.DataFrame({"origin": names[instance.origin], "destination": names[instance.destination],
                          "distance_km": instance.distance_km, "lead_days": 1.0, "cost": 0.0})
    rules = Rules(planning_occupancy=OCCUPANCY, max_distance_km=math.inf, transfers_per_day=DAY_BUDGET, surge_cost=SURGE_COST,
                  transfers_per_site_day=SITE_BUDGET, shortage_cost=SHORTAGE_COST, move_cost=MOVE_COST, cost_per_km=COST_PER_KM,
                  los_days=STAY_DAYS)
    return Problem(sites=tuple(names), resources=resources, dates=pd.date_range("2021-12-01", periods=DAYS), demand=instance.demand,
                   weights=np.full(count, 1 / count), capacity=np.repeat(instance.capacity.T[:, :, None], DAYS, 2),
                   surge=instance.surge, surge_lead_days=np.full(instance.capacity.T.shape, 3.0), links=links, rules=rules)


def with_medlib(instance: Instance, measure: str, written: bool = False) -> Iterator:
    """medlib; `read_plan` solves and reads, so what its solver takes is clocked apart."""
    from medlib.allocate import Model, Risk, make_model, read_plan
    posed, risk = pose(instance), Risk(measure, level=LEVEL, weight=WEIGHT)
    model = Model(posed, risk) if written else make_model(posed, risk)
    yield
    inside, solve = [], model.lp.solve

    def clocked(*given, **options):
        begin = time.perf_counter()
        status = solve(*given, **options)
        inside.append(time.perf_counter() - begin)
        return status

    model.lp.solve = clocked
    plan = read_plan(model)
    tables = plan.tables
    yield sum(inside)
    yield plan.objective


def with_written(instance: Instance, measure: str) -> Iterator:
    """medlib with every scenario written out."""
    return with_medlib(instance, measure, written=True)


def with_highspy(instance: Instance, measure: str) -> Iterator:
    """Direct HiGHS on arrays: triplets, sorted by SciPy."""
    import highspy
    demand, links = instance.demand[:, :, 0], len(instance.origin)
    count, cells = len(demand), SITES * DAYS
    tail = 1 + count if measure == "cvar" else 0
    sizes = [links * DAYS, cells, cells, cells, count * cells, tail]
    ends = np.cumsum([0, *sizes])
    move, net, relocated, surge, short, extra = (np.arange(first, last) for first, last in zip(ends, ends[1:]))
    move, net, relocated, surge = (part.reshape(-1, DAYS) for part in (move, net, relocated, surge))
    short, blocks, low, high = short.reshape(count, SITES, DAYS), [], [], []

    def add(bottom, top, *terms):
        """Rows, a shape of them, from (columns, values, rows within the shape)."""
        first, size = sum(map(len, low)), np.broadcast(bottom, top).size
        for columns, values, at in terms:
            columns, values, at = np.broadcast_arrays(columns, values, at)
            blocks.append((first + at.ravel(), columns.ravel(), values.ravel()))
        low.append(np.broadcast_to(bottom, np.broadcast(bottom, top).shape).ravel())
        high.append(np.broadcast_to(top, np.broadcast(bottom, top).shape).ravel())
        return size

    cell, every = np.arange(cells).reshape(SITES, DAYS), np.arange(count * cells).reshape(count, SITES, DAYS)
    zero = np.zeros((SITES, DAYS))
    add(zero, zero, (net, 1.0, cell), (move, -1.0, cell[instance.destination]), (move, 1.0, cell[instance.origin]))
    add(zero, zero, (relocated, 1.0, cell), (net[:, None, :], -instance.survival, cell[:, :, None]))
    add(-demand.min(axis=0), zero + np.inf, (relocated, 1.0, cell), (move, -1.0, cell[instance.destination]))
    room = OCCUPANCY * instance.capacity[0][:, None] - demand
    add(np.full(room.shape, -np.inf), room, (relocated, 1.0, every), (short, -1.0, every), (surge, -OCCUPANCY, every))
    add(np.full(DAYS, -np.inf), np.full(DAYS, DAY_BUDGET), (move, 1.0, np.arange(DAYS)))
    add(zero - np.inf, zero + SITE_BUDGET, (move, 1.0, cell[instance.origin]), (move, 1.0, cell[instance.destination]))
    share = 1 - WEIGHT if tail else 1.0
    cost = np.concatenate([np.repeat(MOVE_COST + COST_PER_KM * instance.distance_km, DAYS), np.zeros(2 * cells),
                           np.full(cells, SURGE_COST), np.full(short.size, share * SHORTAGE_COST / count), np.zeros(tail)])
    bottom, top = np.zeros(len(cost)), np.full(len(cost), np.inf)
    bottom[net.min():surge.min()] = -np.inf
    top[surge] = instance.surge[:, 0]
    if tail:
        bottom[extra[0]] = -np.inf
        cost[extra] = WEIGHT * SHORTAGE_COST * np.concatenate([[1.0], np.full(count, 1 / count / (1 - LEVEL))])
        one = np.arange(count)
        add(np.full(count, -np.inf), np.zeros(count), (short, 1.0, one[:, None, None]), (extra[0], -1.0, one), (extra[1:], -1.0, one))
    rows, columns, values = map(np.concatenate, zip(*blocks))
    low, high = np.concatenate(low), np.concatenate(high)
    matrix = sparse.coo_array((values, (rows, columns)), (len(low), len(cost))).tocsc()
    highs = highspy.Highs()
    for option, value in {"output_flag": False, "threads": 1, "solver": "ipm"}.items():
        highs.setOptionValue(option, value)
    highs.passModel(len(cost), len(low), matrix.nnz, 1, 1, 0.0, cost, bottom, top, low, high, matrix.indptr.astype(np.int32),
                    matrix.indices.astype(np.int32), matrix.data, np.zeros(len(cost), np.int32))
    yield
    highs.run()
    yield None
    solution = highs.getSolution()
    values, duals = np.array(solution.col_value), np.array(solution.row_dual)
    yield highs.getObjectiveValue()


def with_cvxpy(instance: Instance, measure: str) -> Iterator:
    """CVXPY with sparse incidence matrices and its own way to HiGHS."""
    import cvxpy
    demand, links = instance.demand[:, :, 0], len(instance.origin)
    count, cells = len(demand), SITES * DAYS
    out, into = (sparse.csr_array((np.ones(links), (ends, np.arange(links))), (SITES, links))
                 for ends in (instance.origin, instance.destination))
    move = cvxpy.Variable((links, DAYS), nonneg=True)
    surge, short = cvxpy.Variable((SITES, DAYS), bounds=[0, instance.surge[:, 0]]), cvxpy.Variable((count, cells), nonneg=True)
    relocated = cvxpy.Variable((SITES, DAYS))
    room = OCCUPANCY * instance.capacity[0][:, None] - demand
    load = cvxpy.reshape(relocated - OCCUPANCY * surge, (1, cells), order="C")
    rows = [relocated == (into @ move - out @ move) @ instance.survival.T, relocated - into @ move >= -demand.min(axis=0),
            np.ones((count, 1)) @ load - short <= room.reshape(count, cells), cvxpy.sum(move, axis=0) <= DAY_BUDGET,
            (out + into) @ move <= SITE_BUDGET]
    totals = cvxpy.sum(short, axis=1)
    lost = cvxpy.sum(totals) / count
    if measure == "cvar":
        value, excess = cvxpy.Variable(), cvxpy.Variable(count, nonneg=True)
        rows.append(totals - value <= excess)
        lost = (1 - WEIGHT) * lost + WEIGHT * (value + cvxpy.sum(excess) / count / (1 - LEVEL))
    moves = cvxpy.sum((MOVE_COST + COST_PER_KM * instance.distance_km) @ move)
    problem = cvxpy.Problem(cvxpy.Minimize(moves + SURGE_COST * cvxpy.sum(surge) + SHORTAGE_COST * lost), rows)
    data, solving, inverse = problem.get_problem_data(cvxpy.HIGHS)
    yield
    solution = solving.solve_via_data(problem, data, solver_opts={"output_flag": False, "threads": 1, "solver": "ipm"})
    yield None
    problem.unpack_results(solution, solving, inverse)
    yield problem.value


TOOLS: dict[str, Callable] = {"medlib": with_medlib, "written": with_written, "highspy": with_highspy, "cvxpy": with_cvxpy}


def measure_alone(given: argparse.Namespace) -> None:
    """Measure one tool with one number of scenarios in this process; print the figures."""
    for _ in TOOLS[given.tool](make_instance(3, given.resources, given.seed), given.measure):
        pass  # what is imported or compiled late is there before the clock runs
    instance = make_instance(given.alone, given.resources, given.seed)
    before, found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}
    start, steps = time.process_time(), TOOLS[given.tool](instance, given.measure)
    for phase in PHASES:
        begin = time.perf_counter()
        told = next(steps)
        found[phase] = time.perf_counter() - begin
        if phase == "solve" and told is not None:
            found["solve"], rest = told, found["solve"] - told
        elif phase == "read":
            found["read"], found["objective"] = found["read"] + (rest if given.tool in ("medlib", "written") else 0.0), told
    found["total"], found["processor"] = sum(found[phase] for phase in PHASES), time.process_time() - start
    found["peak_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps(found))


def run_all(given: argparse.Namespace) -> list[dict]:
    """Run every tool with every number of scenarios, each in a process of its own."""
    runs = []
    for measure in ("mean", "cvar"):
        for scenarios in given.scenarios:
            for tool in given.tools:
                if tool != "medlib" and scenarios > given.written or given.resources > 1 and tool in ("highspy", "cvxpy"):
                    continue
                options = {"alone": scenarios, "tool": tool, "measure": measure, "resources": given.resources, "seed": given.seed}
                done = subprocess.run([sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())],
                                      capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{tool} failed: {(done.stderr.strip() or f'exit status {done.returncode}').splitlines()[-1]}")
                runs.append({"measure": measure, "scenarios": scenarios, "tool": tool, **json.loads(done.stdout.splitlines()[-1])})
    return runs


def compare(runs: list[dict]) -> None:
    """Add growth to every run, and its ratio to highspy's; minima must be the same with all tools."""
    for run in runs:
        first = next(one for one in runs if (one["measure"], one["tool"]) == (run["measure"], run["tool"]))
        more = run["scenarios"] / first["scenarios"]
        run |= {f"{name}_growth": run[name] / first[name] / more for name in ("build", "total") if first[name] > 0}
        for other in runs:
            if (other["measure"], other["scenarios"]) == (run["measure"], run["scenarios"]):
                if not math.isclose(other["objective"], run["objective"], rel_tol=1e-6):
                    sys.exit(f"{run['tool']} finds the minimum {run['objective']}, {other['tool']} {other['objective']}.")
                if other["tool"] == "highspy":
                    run["total_ratio"] = run["total"] / other["total"]


def show(runs: list[dict], resources: int) -> None:
    """Print the table."""
    names = ", ".join(["beds", "nurses", "ventilators"][:resources])
    table = Table("measure", "scenarios", "tool", title=f"{SITES} sites, {DAYS} days, {SITES * (SITES - 1)} links, {names} (synthetic)")
    headings = {"build": "build, s", "solve": "solve, s", "read": "read, s", "total": "all, s", "processor": "processor, s",
                "total_ratio": "to highspy", "build_growth": "growth: build", "total_growth": "growth: all", "peak_mb": "peak, MB",
                "objective": "minimum"}
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(run["measure"], f"{run['scenarios']:,}", run["tool"],
                      *(f"{run[name]:.{0 if name in ('peak_mb', 'objective') else 3}f}" if name in run else "" for name in headings))
    Console(width=170).print(table)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--scenarios", default=",".join(map(str, SCENARIOS)), help="numbers of scenarios")
    parser.add_argument("--written", type=int, default=100, help="most scenarios that are written out")
    parser.add_argument("--resources", type=int, choices=(1, 3), default=1, help="3: beds that need nurses, and ventilators; medlib only")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"some of {', '.join(TOOLS)}")
    parser.add_argument("--seed", type=int, default=1)
    for name, kind in (("alone", int), ("tool", str), ("measure", str)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        return measure_alone(given)
    given.scenarios, given.tools = [int(count) for count in given.scenarios.split(",")], given.tools.split(",")
    runs = run_all(given)
    compare(runs)
    show(runs, given.resources)
    if given.json:
        given.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
