"""Solve a problem and hand back the plan as tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pulp

from medlib.allocate.model import Model
from medlib.allocate.problem import Problem
from medlib.errors import MedlibError

#: Amounts below this are rounding noise of the solver.
NOISE = 1e-6
#: Plans in whole units are good enough at this relative gap, or the best found after so many seconds.
GAP, PATIENCE = 0.005, 60.0


class Shipment(NamedTuple):
    """One order of a plan by position: what leaves over which link in which period.

    For a drug, the batches meant are those that expire after `expires_after` and, where that is a date, not after
    `expires_by`.
    """

    link: int
    resource: int
    period: int
    amount: float
    expires_after: pd.Timestamp | None = None
    expires_by: pd.Timestamp | None = None


@dataclass(frozen=True)
class Plan:
    """An optimal plan.

    Parameters
    ----------
    problem : Problem
        The question it answers.
    model : Model
        The solved PuLP model.
    objective : float
        Cost points.
    gap : float
        How far, relative to the objective, a plan in whole units may lie above the optimum; 0 for other plans.
    shipments : list of Shipment
        Every move, drugs by expiry.
    moves : pandas.DataFrame
        The `moves` table.
    surge : pandas.DataFrame
        The `surge_plan` table.
    short : numpy.ndarray
        Shape (S, I, R, T): units short.
    duals : dict of str to float
        Dual of every row by name; 0 for a plan in whole units, which has none.
    """

    problem: Problem
    model: Model
    objective: float
    gap: float
    shipments: list[Shipment]
    moves: pd.DataFrame
    surge: pd.DataFrame
    short: np.ndarray
    duals: dict[str, float]

    @property
    def mean_short(self) -> np.ndarray:
        """Shape (I, R, T): units short averaged over the scenarios."""
        return np.tensordot(self.problem.weights, self.short, 1)

    @property
    def weighted_shortage(self) -> float:
        """Expected unit-days short over all resources, weighted by the resources' shortage weights."""
        weights = np.array([self.problem.shortage_weight[name] for name in self.problem.names])
        return float(self.mean_short.sum(axis=(0, 2)) @ weights)

    def price_capacity(self) -> pd.DataFrame:
        """Value of one more unit throughout the horizon, read off the duals.

        Returns
        -------
        pandas.DataFrame
            site, resource, saves: weighted unit-days of shortage (and costs in their terms) saved by one more unit; for a
            drug by one more unit on hand at the start. A dual holds for a small change only and need not be unique.
        """
        problem, model = self.problem, self.model
        rows = []
        for site in model.sites:
            for resource, name in enumerate(problem.names):
                if resource in model.beds:
                    value = problem.occupancy[resource] * sum(
                        self.duals[f"usable_{scenario}_{site}_{resource}_{period}"]
                        for scenario in model.scenarios for period in model.periods)
                elif resource in model.units:
                    # One more unit throughout enters the balance of the first period only and then stays.
                    value = self.duals[f"present_{site}_{resource}_0"]
                else:
                    value = sum(self.duals[f"stock_{scenario}_{site}_{resource}_{model.periods[-1]}_0"]
                                for scenario in model.scenarios)
                rows.append((problem.sites[site], name, -value / problem.rules.shortage_cost))
        return pd.DataFrame(rows, columns=["site", "resource", "saves"])


def solve(problem: Problem) -> Plan:
    """Find an optimal plan with PuLP on HiGHS.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Plan

    Raises
    ------
    MedlibError
        HiGHS found no optimum (for whole units: no plan within the time); the message gives its status.
    """
    return read_plan(Model(problem))


def read_plan(model: Model) -> Plan:
    """Solve a model, to which rows may have been added by hand, and read the plan."""
    problem, whole = model.problem, model.problem.rules.integer
    # Measured on the sample: with several scenarios the interior point method takes half the simplex method's time.
    method = "ipm" if len(problem.weights) > 1 and not whole else "choose"
    outcome = model.lp.solve(pulp.HiGHS(msg=False, gapRel=GAP if whole else None, timeLimit=PATIENCE if whole else None,
                                        threads=1, solver=method))
    # PuLP 4 returns statistics, PuLP 3.3 a number, and calls a plan optimal that was only the best within the time.
    status = getattr(outcome, "status_str", None) or pulp.LpStatus[outcome]
    gap = float(model.lp.solverModel.getInfo().mip_gap) if whole else 0.0
    if status != "Optimal" and not (status == "TimeLimit" and np.isfinite(gap)):
        raise MedlibError(f"The allocation has no optimal plan: the solver says {status!r}. Look at the rules added by hand "
                          "first; without them shortage is always allowed and a plan exists.")
    short = np.zeros(problem.demand.shape)
    for key, variable in model.short.items():
        short[key] = max(variable.varValue or 0.0, 0.0)
    return Plan(problem=problem, model=model, objective=float(pulp.value(model.lp.objective)), gap=gap,
                shipments=(shipments := _read_shipments(model)), moves=_tabulate_moves(shipments, model),
                surge=_read_surge(model), short=np.where(short < NOISE, 0.0, short),
                duals={row.name: float(row.pi or 0.0) for row in _list_rows(model.lp)})


def _list_rows(lp: pulp.LpProblem) -> list:
    rows = lp.constraints() if callable(lp.constraints) else lp.constraints
    return list(rows.values()) if hasattr(rows, "values") else list(rows)


def solve_lexicographic(problem: Problem) -> Plan:
    """Find a plan of least shortage and, among those, of least cost.

    Used for perfect foresight, below which no policy's shortage can lie. Shortage is made dear enough that no saving of
    moves or surge pays for it.
    """
    return solve(replace(problem, rules=replace(problem.rules, shortage_cost=1e5)))


def _read_shipments(model: Model) -> list[Shipment]:
    dates, last = model.problem.dates, model.periods[-1]
    found = [Shipment(*key, amount) for key, variable in model.move.items()
             if (amount := variable.varValue or 0.0) > NOISE]
    for (link, drug, end, period), variable in model.batch.items():
        if (amount := variable.varValue or 0.0) > NOISE:
            found.append(Shipment(link, drug, period, amount, dates[end], dates[end + 1] if end < last else None))
    return found


def _tabulate_moves(shipments: list[Shipment], model: Model) -> pd.DataFrame:
    problem, rows = model.problem, []
    for shipment in shipments:
        origin, destination = model.ends[shipment.link]
        patients = shipment.resource in model.beds
        arrival = shipment.period if patients else model.arrival[shipment.link, shipment.period]
        rows.append((problem.dates[shipment.period], problem.dates[arrival], problem.sites[origin],
                     problem.sites[destination], problem.names[shipment.resource], "patients" if patients else "units",
                     shipment.amount, problem.links["distance_km"].iloc[shipment.link]))
    columns = ["date", "arrival", "origin", "destination", "resource", "what", "amount", "distance_km"]
    moves = pd.DataFrame(rows, columns=columns).astype({"date": "datetime64[us]", "arrival": "datetime64[us]",
                                                        "amount": float, "distance_km": float})
    return moves.groupby([name for name in columns if name != "amount"], as_index=False)["amount"].sum()[columns].round(
        {"amount": 4})


def _read_surge(model: Model) -> pd.DataFrame:
    problem = model.problem
    rows = [(problem.dates[period], problem.sites[site], problem.names[resource],
             problem.dates[period] - pd.Timedelta(days=problem.surge_lead_days[site, resource]), variable.varValue)
            for (site, resource, period), variable in model.surge.items() if (variable.varValue or 0.0) > NOISE]
    surge = pd.DataFrame(rows, columns=["date", "site", "resource", "decide_by", "surge"]).astype(
        {"date": "datetime64[us]", "decide_by": "datetime64[us]", "surge": float})
    return surge.sort_values(["date", "site", "resource"], ignore_index=True).round({"surge": 4})
