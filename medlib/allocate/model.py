r"""The linear program: sets, the order of its parts, its objective.

Every part is a function in a module of its own (`patients`, `units`, `drugs`, `limits`) that adds families of columns and rows;
parts that a problem leaves out add none. Indices: scenarios s, sites i, resources r, periods t, links l = (i, j). Data: demand d,
need D (demand and what it requires), capacity c, the units e that a scenario has more than that (or fewer), planning occupancy o,
survival S, requirements q, scenario weights w. All variables are at least 0 unless said.

===========================  ========================================================================================
``move[l,r,t]``              patients (beds) or units (staff, equipment) sent
``net[i,r,t]``               patients received less patients sent (free)
``relocated[i,r,t]``         patients here because of moves, less those away because of them (free)
``present[i,r,t]``           staff or equipment at the site
``surge[i,r,t]``             surge units open
``overtime[i,r,t]``          overtime worked
``short[s,i,r,t]``           units short
``batch[l,r,k,t]``           drug units of expiry cohort k sent
``order[n,t]``               drug units ordered
``stock, used[s,i,r,k,t]``   drug units kept to the next period, and used
===========================  ========================================================================================

Rows, with the names they carry:

* net:        ``net = received - sent``
* relocated:  ``relocated[r,t] = sum over e, u <= t of S[e,r](t - u) net[e,u]  (+ sent[t] where beds are kept for a day)``
* there:      ``relocated - received >= -d[s]``, or arriving: ``sent <= arrivals``
* present:    ``present[t] = present[t-1] + c[t] - c[t-1] + arrived[t] - sent[t]``, at least what is missing in the worst scenario
* usable:     ``D[s] + relocated + sum over b of q[b] (relocated[b] - short[s,b]) - short[s] <= o (c + e[s] + surge)`` for beds,
  and ``<= present + e[s] + surge + overtime`` for staff and equipment
* stock:      ``stock[k,t] <= stock[k,t-1] + delivered[k,t] + arrived[k,t] + ordered[k,t] - sent[k,t] - used[k,t]``
* served:     ``(1 - wastage) sum over k of used[k] + short = D + sum over b of q[b] (relocated[b] - short[b])``

Objective: expected shortage, moves, kilometres, surge, orders and overtime, in cost points. `risk` adds columns and rows where more
than the expectation counts, and `cuts` takes the scenarios out where there are many.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from medlib.allocate import drugs, limits, patients, units
from medlib.allocate.chance import ChanceHiGHS
from medlib.allocate.problem import Problem
from medlib.allocate.risk import Risk, add_risk, settle_risk
from medlib.blocks import BlockHiGHS, BlockProblem, Columns, Rows
from medlib.errors import MedlibError


#: All parts of the objective at their prices, where a part may be named.
COST = "cost"


class Model:
    """The PuLP model of a problem, its variables in families by name.

    Parameters
    ----------
    posed : Problem
    risk : Risk, optional
        How shortage that differs between scenarios counts; left out: by its mean.

    Attributes
    ----------
    lp : medlib.blocks.BlockProblem
        Rules of one's own are added in PuLP's words: ``model.lp += model.lp.columns["move"][("A", "B"), "icu_bed",
        "2021-12-01"] <= 3, "one_ambulance"``.
    parts : dict of str to list of (Columns, float or numpy.ndarray)
        What the objective is made of: each part's amount is the sum of coefficients times columns.
    prices : dict of str to float
        Cost points of one unit of each part.
    """

    def __init__(self, posed: Problem, risk: Risk | None = None):
        self.risk = risk or Risk()
        posed = settle_risk(posed, self.risk)
        self.posed, self.lp = posed, BlockProblem("allocation")
        self.beds, self.units, self.drugs, self.movable = posed.at.beds, posed.at.units, posed.at.drugs, posed.at.movable
        self.origin, self.destination, self.days = posed.at.origin, posed.at.destination, posed.at.days
        self.parts: dict[str, list[tuple[Columns, np.ndarray]]] = {}
        #: Families that have cost anything so far.
        self.priced: dict[str, Columns] = {}
        rules = posed.rules
        self.prices = {"shortage": rules.shortage_cost, "transfers": rules.move_cost, "deliveries": rules.move_cost,
                       "distance_km": rules.cost_per_km, "links": 1.0, "changes": rules.change_cost, "surge": rules.surge_cost,
                       "surge_levels": 1.0, "overtime": rules.overtime_cost, "orders": 1.0}
        units.add_moves(self)
        self.add_shortage()
        patients.add_patients(self)
        units.add_surge(self)
        units.add_units(self)
        self.add_usable()
        drugs.add_drugs(self)
        limits.add_limits(self)
        self.add_risk()
        self.fill()
        self.set_objective(self.prices)

    #: Resources whose shortage no columns by scenario hold.
    summed: np.ndarray = np.zeros(0, int)

    @property
    def asked(self) -> Problem:
        """The problem with all its scenarios, where the program holds fewer."""
        return self.posed

    def add_risk(self) -> None:
        """Add what the measure of risk needs."""
        add_risk(self, self.risk)

    def add_shortage(self) -> None:
        """Add shortage by scenario."""
        units.add_shortage(self)

    def add_unmet(self, rows: Rows, at: np.ndarray, resource: int, each: float) -> None:
        """Add so many times what a scenario leaves short of a resource to rows (scenario, site, date)."""
        rows.add(self.short.index[:, :, resource], each, at=at)

    def add_usable(self) -> None:
        """Add what fits into what may be used."""
        units.add_usable(self)

    def set_room(self, room: np.ndarray) -> None:
        """Set what there is less what is needed, as from `units.count_room`."""
        self.usable.update(high=room)

    def make_solver(self, **options) -> BlockHiGHS:
        """The solver for this model."""
        return ChanceHiGHS(self, **options) if self.risk.measure == "chance" else BlockHiGHS(**options)

    @cached_property
    def arrival(self) -> np.ndarray:
        """Shape (links, T): period in which a unit sent over the link can be used; T where that lies beyond the end."""
        return np.searchsorted(self.days, self.days + self.posed.at.lead_days[:, None])

    def axes(self, first: str, resources: np.ndarray | None = None) -> dict:
        """Axes of a family: 'scenario' (then sites), 'site' or 'link'; these resources; periods."""
        posed = self.posed
        ends = {"link": posed.at.pairs} if first == "link" else {"site": posed.sites}
        ends = {"scenario": range(len(posed.weights)), **ends} if first == "scenario" else ends
        names = {} if resources is None else {"resource": [posed.names[resource] for resource in resources]}
        return {**ends, **names, "date": posed.dates}

    def count(self, part: str, columns: Columns, each=1.0) -> None:
        """Let a part of the objective count each unit of these columns so much (anything that broadcasts to their shape)."""
        if np.any(each):
            self.parts.setdefault(part, []).append((columns, each))

    def set_objective(self, prices: dict[str, float]) -> None:
        """Minimise the parts at these prices; parts that are not named count nothing."""
        self._know(*prices)
        costs: dict[str, np.ndarray | float] = {columns.name: 0.0 for columns in self.priced.values()}
        for part, price in prices.items():
            for columns, each in self._list_terms(part) if price else ():
                costs[columns.name] = costs.get(columns.name, 0.0) + price * each
                self.priced[columns.name] = columns
        for name, cost in costs.items():
            self.priced[name].update(cost=cost)

    def _list_terms(self, part: str) -> list[tuple[Columns, np.ndarray]]:
        """What a part is made of; 'cost' is all parts at their prices."""
        self._know(part)
        if part != COST:
            return self.parts.get(part, [])
        return [(columns, self.prices[name] * each) for name, counted in self.parts.items() for columns, each in counted]

    def _know(self, *parts: str) -> None:
        if unknown := set(parts) - {COST, *self.prices}:
            raise MedlibError(f"The objective has no part {', '.join(sorted(unknown))}; its parts are {', '.join(self.prices)}, "
                              f"and {COST} is all of them at their prices.")

    def limit(self, part: str, most: float, why: str = "limit") -> None:
        """Let a part's amount not exceed a limit; a further call for the same reason moves the limit."""
        name = f"{why}_{part}"
        if name not in self.lp.rows:
            row, terms = self.lp.add_rows(name, {}), self._list_terms(part)
            # A column may count in several parts, and comes into the row once.
            for family in {columns.name: columns for columns, _ in terms}.values():
                each = family.gather(sum(amount for columns, amount in terms if columns is family))
                row.add(np.arange(family.span.start, family.span.stop, dtype=np.int32), each, at=row.index[None])
        self.lp.rows[name].update(high=most)

    def measure(self, part: str) -> float:
        """Amount of a part in the solution."""
        return sum(float(self.lp.solution.column_value[columns.span] @ columns.gather(each))
                   for columns, each in self._list_terms(part))

    def update(self, posed: Problem) -> None:
        """Put other figures into the same model: demand, capacity, surge, arrivals; the next solve starts warm.

        Parameters
        ----------
        posed : Problem
            Another demand, capacity, surge, arrivals or stock; the periods may lie later. All else must be the same, and surge
            can open only where it could before.

        Raises
        ------
        MedlibError
            Something else differs; the message names it.
        """
        old, posed = self.posed, settle_risk(posed, self.risk)
        tables = ("resources", "links", "stay", "site_limits", "levels", "orders", "shifts", "tiers")
        same = {"sites": posed.sites == old.sites, "rules": posed.rules == old.rules,
                "scenarios": np.array_equal(posed.weights, old.weights),
                "periods": np.array_equal(posed.at.days, self.days),
                **{name: getattr(posed, name).equals(getattr(old, name)) for name in tables}}
        same["chance (its bounds)"] = self.risk.measure != "chance"
        same["surge"] = same["periods"] and not (posed.surge[:, self.movable] > 0)[self.surge.index < 0].any()
        same["arrivals"] = np.array_equal(patients.limit_senders(posed), patients.limit_senders(old))
        if posed.dates[0] != old.dates[0]:
            same["rules by hand (they name dates)"] = not self.lp.touched
        if differs := [name for name, alike in same.items() if not alike]:
            raise MedlibError(f"A model takes other figures only; {', '.join(differs)} differ. Make a new Model.")
        self.posed = posed
        try:
            self.fill()
        except MedlibError:
            self.posed = old
            raise
        for family in [*self.lp.columns.values(), *self.lp.rows.values()]:
            family.rename("date", old.dates, posed.dates)

    def fill(self) -> None:
        """Bring the problem's figures into the bounds."""
        patients.fill_patients(self)
        units.fill_units(self)
        drugs.fill_drugs(self)
        limits.fill_limits(self)
