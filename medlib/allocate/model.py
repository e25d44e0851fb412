r"""The linear program: sets, the order of its parts, its objective.

Every part is a function in a module of its own (`patients`, `units`, `drugs`, `limits`) that adds families of columns and rows;
parts that a problem leaves out add none. Indices: scenarios s, sites i, resources r, periods t, links l = (i, j). Data: demand d,
need D (demand and what it requires), capacity c, planning occupancy o, survival S, requirements q, scenario weights w. All
variables are at least 0 unless said.

=======================  ========================================================================================
``move[l,r,t]``          patients (beds) or units (staff, equipment) sent
``net[i,r,t]``           patients received less patients sent (free)
``relocated[i,r,t]``     patients here because of moves, less those away because of them (free)
``present[i,r,t]``       staff or equipment at the site
``surge[i,r,t]``         surge units open
``overtime[i,r,t]``      overtime worked
``short[s,i,r,t]``       units short
``batch[l,r,k,t]``       drug units of expiry cohort k sent
``order[n,t]``           drug units ordered
``stock, used[s,i,r,k,t]``  drug units kept to the next period, and used
=======================  ========================================================================================

Rows, with the names they carry:

* net:        ``net = received - sent``
* relocated:  ``relocated[r,t] = sum over e, u <= t of S[e,r](t - u) net[e,u]  (+ sent[t] where beds are kept for a day)``
* there:      ``relocated - received >= -d[s]``, or arriving: ``sent <= arrivals``
* present:    ``present[t] = present[t-1] + c[t] - c[t-1] + arrived[t] - sent[t]``
* usable:     ``D[s] + relocated + sum over b of q[b] (relocated[b] - short[s,b]) - short[s] <= o (c + surge)`` for beds, and
  ``<= present + surge + overtime`` for staff and equipment
* stock:      ``stock[k,t] <= stock[k,t-1] + delivered[k,t] + arrived[k,t] + ordered[k,t] - sent[k,t] - used[k,t]``
* served:     ``(1 - wastage) sum over k of used[k] + short = D + sum over b of q[b] (relocated[b] - short[b])``

Objective: expected shortage, moves, kilometres, surge, orders and overtime, in cost points.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from medlib.allocate import drugs, limits, patients, units
from medlib.allocate.problem import Problem
from medlib.blocks import BlockProblem, Columns
from medlib.errors import MedlibError


class Model:
    """The PuLP model of a problem, its variables in families by name.

    Parameters
    ----------
    posed : Problem

    Attributes
    ----------
    lp : medlib.blocks.BlockProblem
        Rules of one's own are added in PuLP's words: ``model.lp += model.lp.columns["move"][("A", "B"), "icu_bed",
        "2021-12-01"] <= 3, "one_ambulance"``.
    parts : dict of str to list of (Columns, numpy.ndarray)
        What the objective is made of: each part's amount is the sum of coefficients times columns.
    prices : dict of str to float
        Cost points of one unit of each part.
    """

    def __init__(self, posed: Problem):
        self.posed, self.lp = posed, BlockProblem("allocation")
        kinds = posed.resources["kind"].to_numpy()
        self.beds, self.drugs = np.flatnonzero(kinds == "bed"), np.flatnonzero(kinds == "drug")
        self.units = np.flatnonzero(np.isin(kinds, ("staff", "equipment")))
        self.movable = np.flatnonzero(kinds != "drug")
        sites = pd.Index(posed.sites)
        self.origin, self.destination = (sites.get_indexer(posed.links[end]) for end in ("origin", "destination"))
        self.parts: dict[str, list[tuple[Columns, np.ndarray]]] = {}
        rules = posed.rules
        self.prices = {"shortage": rules.shortage_cost, "transfers": rules.move_cost, "deliveries": rules.move_cost,
                       "distance_km": rules.cost_per_km, "links": 1.0, "changes": rules.change_cost, "surge": rules.surge_cost,
                       "surge_levels": 1.0, "overtime": rules.overtime_cost, "orders": 1.0}
        units.add_moves(self)
        units.add_shortage(self)
        patients.add_patients(self)
        units.add_surge(self)
        units.add_units(self)
        units.add_usable(self)
        drugs.add_drugs(self)
        limits.add_limits(self)
        self.fill()
        self.set_objective(self.prices)

    @cached_property
    def days(self) -> np.ndarray:
        """Shape (T,): days since the first period."""
        return (self.posed.dates - self.posed.dates[0]).days.to_numpy()

    @cached_property
    def arrival(self) -> np.ndarray:
        """Shape (links, T): period in which a unit sent over the link can be used; T where that lies beyond the end."""
        return np.searchsorted(self.days, self.days + self.posed.links["lead_days"].to_numpy()[:, None])

    def axes(self, first: str, resources: np.ndarray | None = None) -> dict[str, pd.Index]:
        """Axes of a family: 'scenario' (then sites), 'site' or 'link'; these resources; periods."""
        posed = self.posed
        ends = {"scenario": {"scenario": range(len(posed.weights)), "site": posed.sites}, "site": {"site": posed.sites},
                "link": {"link": pd.MultiIndex.from_arrays([posed.links["origin"], posed.links["destination"]])}}[first]
        names = {} if resources is None else {"resource": [posed.names[resource] for resource in resources]}
        return {**ends, **names, "date": posed.dates}

    def count(self, part: str, columns: Columns, each=1.0) -> None:
        """Let a part of the objective count each unit of these columns so much."""
        if np.any(each):
            self.parts.setdefault(part, []).append((columns, columns.gather(each)))

    def set_objective(self, prices: dict[str, float]) -> None:
        """Minimise the parts at these prices; parts that are not named count nothing."""
        if unknown := set(prices) - set(self.prices):
            raise MedlibError(f"The objective has no part {', '.join(sorted(unknown))}; its parts are {', '.join(self.prices)}.")
        for columns in self.lp.columns.values():
            terms = [prices[part] * each for part, counted in self.parts.items() if prices.get(part)
                     for family, each in counted if family is columns]
            columns.update(cost=sum(terms) if terms else 0.0)

    def limit(self, part: str, most: float) -> None:
        """Let a part's amount not exceed a limit; a further call moves the limit."""
        name = f"limit_{part}"
        if name not in self.lp.rows:
            row = self.lp.add_rows(name, {})
            for columns, each in self.parts.get(part, []):
                row.add(np.arange(columns.span.start, columns.span.stop, dtype=np.int32), each, at=row.index[None])
        self.lp.rows[name].update(high=most)

    def measure(self, part: str) -> float:
        """Amount of a part in the solution."""
        return sum(float(self.lp.solution.column_value[columns.span] @ each) for columns, each in self.parts.get(part, []))

    def update(self, posed: Problem) -> None:
        """Put other figures into the same model: demand, capacity, surge, arrivals; the next solve starts warm.

        Parameters
        ----------
        posed : Problem
            With the same sites, resources, links, number of periods, and rules. Where nothing could happen before (surge
            without lead time left, a site without arrivals) nothing can happen afterwards either.
        """
        if posed.demand.shape != self.posed.demand.shape or not posed.links.equals(self.posed.links):
            raise MedlibError("A model can be updated by a problem of the same shape and links only; make a new Model.")
        self.posed = posed
        self.fill()

    def fill(self) -> None:
        """Bring the problem's figures into the bounds."""
        patients.fill_patients(self)
        units.fill_units(self)
        drugs.fill_drugs(self)
        limits.fill_limits(self)
