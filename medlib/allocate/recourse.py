r"""What a plan leaves short in every scenario: the second stage, told without a solver.

Moves, surge and overtime change the need that has to fit into what is usable by a load y[i,r,t], the same in all scenarios. With
``v[s] = need[s] - usable[s] + y``, the units unmet of a resource, on the spot or because what requires it is unmet itself, are

.. math:: u_{s,r} = \max(v_{s,r},\ \textstyle\sum_b q_{b,r} u_{s,b},\ 0), \qquad short_{s,r} = u_{s,r} - \textstyle\sum_b q_{b,r} u_{s,b}

where b requires q units of r. That is optimal, as nothing unmet weighs less than all that it would have required (`Problem` refuses
other weights p), and every u is convex in y and enters the weighted shortage with ``p[r] - sum over r' of q[r,r'] p[r'] >= 0``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from medlib.allocate.model import Model
from medlib.allocate.problem import Problem, sort_by_need
from medlib.blocks import INFINITE, BlockHiGHS
from medlib.errors import MedlibError
from medlib.schema import empty

if TYPE_CHECKING:
    from medlib.allocate.plan import Plan

#: Families of columns that are decided before the scenario is known.
DECIDED = ("move", "surge", "overtime", "roster", "batch", "order")
#: Scenarios that one linear program faces at a time, where it takes one.
AT_ONCE = 100


class Recourse:
    """Unmet need of beds, staff and equipment in every scenario, and how it grows with the load.

    Parameters
    ----------
    posed : Problem
        One of which `list_uncovered` lists nothing.

    Attributes
    ----------
    gap : numpy.ndarray
        Shape (S, I, R, T): need less what is usable if nothing is done.
    cost : numpy.ndarray
        Shape (R,): what one unit unmet adds to the weighted shortage.
    """

    def __init__(self, posed: Problem):
        needs, weight = posed.needs, posed.at.weight
        self.direct = needs @ np.linalg.inv(np.eye(len(needs)) + needs)
        self.order = sort_by_need(posed.requires, posed.names)
        self.cost = np.maximum(weight - self.direct @ weight, 0.0)
        self.gap = posed.need - posed.occupancy[:, None] * posed.scenario_capacity

    def find_unmet(self, load: np.ndarray) -> np.ndarray:
        """Shape (S, I, R, T): units unmet under a load of shape (I, R, T)."""
        unmet = np.maximum(self.gap + load, 0.0)
        for resource in self.order:
            if self.direct[:, resource].any():
                passed_on = np.einsum("q,siqt->sit", self.direct[:, resource], unmet)
                unmet[:, :, resource] = np.maximum(unmet[:, :, resource], passed_on)
        return unmet

    def count_short(self, unmet: np.ndarray) -> np.ndarray:
        """Shape (S, I, R, T): units short, without what is not needed because something else is short."""
        return unmet - np.einsum("qr,siqt->sirt", self.direct, unmet) if self.direct.any() else unmet

    def weigh(self, unmet: np.ndarray) -> np.ndarray:
        """Shape (S,): weighted shortage over all sites, resources and periods."""
        return np.einsum("sirt,r->s", unmet, self.cost)

    def list_slopes(self, load: np.ndarray, unmet: np.ndarray) -> list[dict[int, np.ndarray]]:
        """By resource: the resources on whose load its unmet need depends, with the slope in each scenario, shape (S, I, T)."""
        slopes: list[dict[int, np.ndarray]] = [{} for _ in self.cost]
        for resource in self.order:
            there = unmet[:, :, resource] > 0
            own = there & (self.gap[:, :, resource] + load[:, resource] >= unmet[:, :, resource])
            slopes[resource] = {resource: own.astype(float)}
            for other in np.flatnonzero(self.direct[:, resource]):
                for source, slope in slopes[other].items():
                    share = self.direct[other, resource] * (there & ~own) * slope
                    slopes[resource][source] = slopes[resource].get(source, 0.0) + share
        return slopes


def list_uncovered(posed: Problem) -> list[str]:
    """What of a problem ties periods or sites together after the scenario is known, so that `Recourse` does not hold."""
    found = {"drugs": len(posed.at.drugs), "priority tiers": len(posed.tiers), "shifts": len(posed.shifts),
             "protected sites": posed.rules.protect_sites}
    return [name for name, there in found.items() if there]


def follow_moves(posed: Problem, move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where moves, shape (links, beds and units, T), lead.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (I, beds, T): patients at a site because of moves, less those away. Shape (I, units, T): staff and equipment likewise.
    """
    at, (sites, _, periods), count = posed.at, posed.capacity.shape, len(posed.at.beds)
    sent, received = np.zeros((2, sites, count, periods))
    np.add.at(sent, at.origin, move[:, :count])
    np.add.at(received, at.destination, move[:, :count])
    relocated = posed.rules.handover_days * sent
    for place, entered in enumerate(at.beds):
        for other, occupied in enumerate(at.beds):
            relocated[:, other] += (received - sent)[:, place] @ at.survival[entered, occupied].T
    arrival = np.searchsorted(at.days, at.days + at.lead_days[:, None])
    change, units = np.zeros((sites, len(at.units), periods + 1)), move[:, count:]
    np.subtract.at(change[..., :periods], at.origin, units)
    place = np.arange(len(at.units))[:, None]
    np.add.at(change, (at.destination[:, None, None], place, arrival[:, None, :]), units)
    return relocated, change[..., :periods].cumsum(axis=2)


def weigh_load(posed: Problem, decided: Mapping[str, np.ndarray]) -> np.ndarray:
    """Shape (I, R, T): by how much decisions raise need above, or lower it below, what is usable."""
    at, load = posed.at, np.zeros(posed.capacity.shape)
    relocated, moved = follow_moves(posed, decided["move"])
    load += np.einsum("ibt,br->irt", relocated, (np.eye(len(posed.names)) + posed.needs)[at.beds])
    load[:, at.movable] -= posed.occupancy[at.movable, None] * decided["surge"]
    load[:, at.units] -= moved + decided.get("overtime", 0.0)
    return load


def face_plan(plan: Plan | Mapping[str, np.ndarray], posed: Problem) -> np.ndarray:
    """Weighted shortage of fixed moves and surge in every scenario of a problem, whatever the plan was made from.

    Exact, and without a solver where the second stage couples nothing; with drugs, tiers or shifts by a linear program in which all
    but shortage and the use of drugs is fixed. Nobody asks whether the moves can be made: as in a scenario that has fewer patients
    than the plan sends, or sites that lend what they have not.

    Parameters
    ----------
    plan : Plan, or mapping of str to numpy.ndarray
        A plan, or its decisions by family: move (links, beds and units, T), surge (I, beds and units, T) and, where there are such,
        overtime (I, units, T), batch, order, roster in the shape of the model's columns. Resources in the order of ``posed.at.movable``.
    posed : Problem
        Other demand, capacity, scenarios or weights, over the same sites, resources, links and periods.

    Returns
    -------
    numpy.ndarray
        Shape (S,): unit-days short, times the resources' shortage weights (and the tiers').

    Raises
    ------
    MedlibError
        Sites, resources, links or periods differ.
    """
    decided = plan if isinstance(plan, Mapping) else _check_same(plan, posed)
    wanted = {"move": (len(posed.links), len(posed.at.movable), len(posed.dates)),
              "surge": (len(posed.sites), len(posed.at.movable), len(posed.dates))}
    if wrong := [name for name, shape in wanted.items() if name not in decided or decided[name].shape != shape]:
        raise MedlibError(f"A plan's decisions must hold {wrong[0]} with shape {wanted[wrong[0]]}; got "
                          f"{getattr(decided.get(wrong[0]), 'shape', 'none')}.")
    if set(list_uncovered(posed)) <= {"protected sites"}:
        recourse = Recourse(posed)
        return recourse.weigh(recourse.find_unmet(weigh_load(posed, decided)))
    parts = [np.arange(first, min(first + AT_ONCE, len(posed.weights))) for first in range(0, len(posed.weights), AT_ONCE)]
    return np.concatenate([_face_by_program(decided, posed, part) for part in parts])


def _check_same(plan: Plan, posed: Problem) -> Mapping[str, np.ndarray]:
    own = plan.posed
    same = {"sites": own.sites == posed.sites, "resources": own.names == posed.names, "periods": own.dates.equals(posed.dates),
            "links": own.at.pairs.equals(posed.at.pairs)}
    if differs := [name for name, alike in same.items() if not alike]:
        raise MedlibError(f"A plan is faced with its own sites, resources, links and periods; {', '.join(differs)} differ.")
    return plan.decided


def _face_by_program(decided: Mapping[str, np.ndarray], posed: Problem, part: np.ndarray) -> np.ndarray:
    """Fix all that the decisions settle, and let each scenario do its best with what is left."""
    change = posed.capacity_change
    model = Model(replace(posed, demand=posed.demand[part], weights=np.full(len(part), 1 / len(part)), levels=empty("surge_levels"),
                          rules=replace(posed.rules, integer=False, protect_sites=False),
                          capacity_change=None if change is None else change[part]))
    relocated, moved = follow_moves(posed, decided["move"])
    settled = {**decided, "relocated": relocated, "present": posed.capacity[:, posed.at.units] + moved}
    for name, columns in model.lp.columns.items():
        if name in settled:
            columns.update(low=settled[name], high=settled[name])
    for name, rows in model.lp.rows.items():
        if "scenario" not in rows.axes and not (name in ("roster", "rest") and "roster" not in decided):
            rows.update(low=-INFINITE, high=INFINITE)
    model.set_objective({"shortage": 1.0})
    model.lp.solve(BlockHiGHS(msg=False, threads=1, mip=False))
    if model.lp.outcome != "Optimal":
        raise MedlibError(f"The plan cannot be faced with these scenarios: HiGHS says {model.lp.outcome!r}; compare stock and orders.")
    amounts = [(columns.value * np.broadcast_to(each, columns.shape)).reshape(len(part), -1).sum(axis=1)
               for columns, each in model.parts["shortage"]]
    return sum(amounts) * len(part)
