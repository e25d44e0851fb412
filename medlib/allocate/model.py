r"""The linear program in PuLP, row family by row family.

Sets: scenarios s, sites i, resources r, periods t, links l = (i, j). Data: demand d, capacity c, planning occupancy o,
survival S, units q that one unit in use requires, scenario weights w. All variables are at least 0 unless said.

=====================  =========================================================================================
``move[l,r,t]``        patients (beds) or units (staff, equipment) sent in period t
``batch[l,r,k,t]``     drug units of expiry cohort k sent in period t
``net[i,r,t]``         patients received less patients sent (free)
``relocated[i,r,t]``   patients here because of moves, less those away because of them (free)
``present[i,r,t]``     staff or equipment at the site
``surge[i,r,t]``       surge units open
``short[s,i,r,t]``     units short
=====================  =========================================================================================

* patients:  ``relocated[t] = sum over u <= t of S(t - u) net[u]`` and ``d[s] + relocated >= 0``
* beds:      ``d[s] + relocated - short[s] <= o (c + surge)``
* units:     ``present[t] = present[t-1] + c[t] - c[t-1] + arrived[t] - sent[t]`` (``arrived`` after the link's lead time)
* needs:     ``d[s] + sum over beds b of q (d[s,b] + relocated[b] - short[s,b]) - short[s] <= present + surge``
* drugs:     ``stock[s,k,t] = stock[s,k,t-1] + delivered[k,t] + arrived[k,t] - sent[k,t] - used[s,k,t]`` until cohort k
  expires; ``sum over k of used[s,k] + short[s] = d[s]``
* budgets:   moves a day in the network, and in and out of a site

Objective: expected shortage, moves, kilometres and surge, in cost points.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

import numpy as np
import pandas as pd
import pulp

from medlib.allocate.problem import Problem


#: Sum of (variable, coefficient) pairs: `from_list` in PuLP 4, the plain constructor in PuLP 3.3.
add_up = getattr(pulp.LpAffineExpression, "from_list", pulp.LpAffineExpression)


class Model:
    """The PuLP model of a problem, with its variables by name.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    lp : pulp.LpProblem
        Further rows may be added with ``model.lp += ..., "name"``.
    move, batch, relocated, present, surge, short : dict
        Variables by position: (link, resource, period), (link, resource, cohort, period), (site, resource, period) and
        (scenario, site, resource, period).
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self.lp = pulp.LpProblem("allocation", pulp.LpMinimize)
        self.move, self.batch, self.net, self.relocated, self.present, self.surge, self.short = ({} for _ in range(7))
        self.scenarios, self.sites = range(len(problem.weights)), range(len(problem.sites))
        self.periods = range(len(problem.dates))
        by_kind = defaultdict(list)
        for position, kind in enumerate(problem.resources["kind"]):
            by_kind[kind].append(position)
        self.beds, self.drugs = by_kind["bed"], by_kind["drug"]
        self.units = by_kind["staff"] + by_kind["equipment"]
        links = problem.links
        position = {site: number for number, site in enumerate(problem.sites)}
        self.ends = list(zip(links["origin"].map(position), links["destination"].map(position)))
        self.outgoing, self.incoming = defaultdict(list), defaultdict(list)
        for link, (origin, destination) in enumerate(self.ends):
            self.outgoing[origin].append(link)
            self.incoming[destination].append(link)
        self._add_moves()
        self._add_surge_and_shortage()
        self._add_patients()
        self._add_units()
        self._add_drugs()
        self._add_budgets()
        self._add_objective()

    @cached_property
    def arrival(self) -> np.ndarray:
        """Shape (links, T): period in which a unit sent over the link can be used; T where that lies beyond the end."""
        days = (self.problem.dates - self.problem.dates[0]).days.to_numpy()
        lead = self.problem.links["lead_days"].to_numpy()
        return np.searchsorted(days, days + lead[:, None])

    @cached_property
    def cohorts(self) -> dict[tuple[int, int], dict[int, np.ndarray]]:
        """(site, drug) -> last usable period of the cohort -> units that join it in each period.

        What keeps beyond the last period forms one cohort.
        """
        problem, last = self.problem, self.periods[-1]
        joined: dict = defaultdict(lambda: defaultdict(lambda: np.zeros(len(problem.dates))))
        life = problem.resources.get("shelf_life_days")
        for drug in self.drugs:
            days = np.nan if life is None else life.iloc[drug]
            for site in self.sites:
                for period in self.periods:
                    end = last if np.isnan(days) else self._last_usable(problem.dates[period] + np.timedelta64(int(days), "D"))
                    joined[site, drug][end][period] += problem.capacity[site, drug, period]
        for row in problem.stock.itertuples():
            end = last if pd.isna(row.expires) else self._last_usable(row.expires)
            start = 0 if pd.isna(row.arrives) else int(np.searchsorted(problem.dates, np.datetime64(row.arrives)))
            if start <= end:
                joined[problem.sites.index(row.site), problem.names.index(row.resource)][end][start] += row.units
        for drug in self.drugs:
            # Any cohort can be sent to any site, and what keeps is always one of them.
            ends = {last}.union(*(joined[site, drug] for site in self.sites))
            for site in self.sites:
                for end in ends:
                    joined[site, drug][end]
        return {key: dict(sorted(cohorts.items())) for key, cohorts in joined.items()}

    def _last_usable(self, expires) -> int:
        return int(np.searchsorted(self.problem.dates, np.datetime64(expires))) - 1

    def _name(self, family: str, *positions: int) -> str:
        return "_".join([family, *map(str, positions)])

    def _variable(self, family: str, *positions: int, low: float | None = 0.0, high: float | None = None,
                  whole: bool = False) -> pulp.LpVariable:
        return self.lp.add_variable(self._name(family, *positions), low, high, "Integer" if whole else "Continuous")

    def _add_moves(self) -> None:
        whole = self.problem.rules.integer
        for link in range(len(self.ends)):
            for resource in self.beds + self.units:
                for period in self.periods:
                    # A unit that would arrive after the last period helps nobody.
                    if resource in self.beds or self.arrival[link, period] <= self.periods[-1]:
                        self.move[link, resource, period] = self._variable("move", link, resource, period, whole=whole)

    def _add_surge_and_shortage(self) -> None:
        problem = self.problem
        for site in self.sites:
            for resource in range(len(problem.names)):
                for period in self.periods:
                    limit = problem.surge[site, resource, period]
                    if limit > 0 and resource not in self.drugs:
                        self.surge[site, resource, period] = self._variable(
                            "surge", site, resource, period, high=float(limit), whole=problem.rules.integer)
                    for scenario in self.scenarios:
                        self.short[scenario, site, resource, period] = self._variable(
                            "short", scenario, site, resource, period)

    def _sent(self, site: int, resource: int, period: int) -> list:
        return [self.move[link, resource, period] for link in self.outgoing[site] if (link, resource, period) in self.move]

    def _arrived(self, site: int, resource: int, period: int) -> list:
        return [self.move[link, resource, sent] for link in self.incoming[site] for sent in range(period + 1)
                if self.arrival[link, sent] == period and (link, resource, sent) in self.move]

    def _add_patients(self) -> None:
        problem = self.problem
        days = (problem.dates - problem.dates[0]).days.to_numpy()
        survival = problem.rules.survive(days[:, None] - days)
        lowest = problem.demand.min(axis=0)
        for site in self.sites:
            if not (self.outgoing[site] or self.incoming[site]):
                continue
            for resource in self.beds:
                for period in self.periods:
                    key = (site, resource, period)
                    self.net[key] = self._variable("net", *key, low=None)
                    received = [self.move[link, resource, period] for link in self.incoming[site]]
                    self.lp += (self.net[key] == pulp.lpSum(received) - pulp.lpSum(self._sent(*key)),
                                self._name("net", *key))
                    self.relocated[key] = self._variable("relocated", *key, low=-float(lowest[key]))
                    stayed = add_up([(self.net[site, resource, sent], float(survival[period, sent]))
                                                      for sent in range(period + 1)])
                    self.lp += self.relocated[key] == stayed, self._name("relocated", *key)
        for site in self.sites:
            for resource in self.beds:
                share = float(problem.occupancy[resource])
                for period in self.periods:
                    key = (site, resource, period)
                    change = [self.relocated[key]] if key in self.relocated else []
                    opened = [-share * self.surge[key]] if key in self.surge else []
                    for scenario in self.scenarios:
                        spare = float(share * problem.capacity[key] - problem.demand[scenario, *key])
                        self.lp += (pulp.lpSum([*change, *opened, -self.short[scenario, *key]]) <= spare,
                                    self._name("usable", scenario, *key))

    def _in_use(self, scenario: int, site: int, resource: int, period: int):
        """Units that the beds in use require, as (terms, constant)."""
        problem, name = self.problem, self.problem.names[resource]
        terms, constant = [], 0.0
        for bed in self.beds:
            share = problem.requires.get(problem.names[bed], {}).get(name, 0.0)
            if share:
                key = (site, bed, period)
                constant += share * float(problem.demand[scenario, *key])
                terms += [(self.relocated[key], share)] if key in self.relocated else []
                terms.append((self.short[scenario, *key], -share))
        return terms, constant

    def _add_units(self) -> None:
        problem = self.problem
        for site in self.sites:
            for resource in self.units:
                for period in self.periods:
                    key, before = (site, resource, period), (site, resource, period - 1)
                    self.present[key] = self._variable("present", *key)
                    carried = self.present[before] if period else 0
                    added = float(problem.capacity[key] - (problem.capacity[before] if period else 0.0))
                    self.lp += (self.present[key] - carried - pulp.lpSum(self._arrived(*key))
                                + pulp.lpSum(self._sent(*key)) == added, self._name("present", *key))
                    opened = [(self.surge[key], -1.0)] if key in self.surge else []
                    for scenario in self.scenarios:
                        terms, constant = self._in_use(scenario, *key)
                        row = [*terms, *opened, (self.present[key], -1.0), (self.short[scenario, *key], -1.0)]
                        self.lp += (add_up(row)
                                    <= -constant - float(problem.demand[scenario, *key]), self._name("usable", scenario, *key))

    def _add_drugs(self) -> None:
        for (site, drug), cohorts in self.cohorts.items():
            for link in self.outgoing[site]:
                for end in cohorts:
                    for period in range(end + 1):
                        if self.arrival[link, period] <= end:
                            self.batch[link, drug, end, period] = self._variable("batch", link, drug, end, period)
        for (site, drug), cohorts in self.cohorts.items():
            for scenario in self.scenarios:
                self._add_stock(scenario, site, drug, cohorts)

    def _add_stock(self, scenario: int, site: int, drug: int, cohorts: dict[int, np.ndarray]) -> None:
        used = defaultdict(list)
        for end, joined in cohorts.items():
            before = 0
            for period in range(end + 1):
                position = (scenario, site, drug, end, period)
                stock, use = self._variable("stock", *position), self._variable("used", *position)
                used[period].append(use)
                arrived = [self.batch[link, drug, end, sent] for link in self.incoming[site] for sent in range(period + 1)
                           if self.arrival[link, sent] == period and (link, drug, end, sent) in self.batch]
                sent = [self.batch[link, drug, end, period] for link in self.outgoing[site]
                        if (link, drug, end, period) in self.batch]
                # "<=" instead of "=": what nobody needs may be left to expire.
                self.lp += (stock + use + pulp.lpSum(sent) - pulp.lpSum(arrived) - before <= float(joined[period]),
                            self._name("stock", *position))
                before = stock
        for period in self.periods:
            key = (site, drug, period)
            self.lp += (pulp.lpSum(used[period]) + self.short[scenario, *key]
                        == float(self.problem.demand[scenario, *key]), self._name("served", scenario, *key))

    def _add_budgets(self) -> None:
        rules = self.problem.rules
        for resource in self.beds + self.units:
            for period in self.periods:
                moves = [self.move[link, resource, period] for link in range(len(self.ends))
                         if (link, resource, period) in self.move]
                if not moves:
                    continue
                self.lp += pulp.lpSum(moves) <= rules.transfers_per_day, self._name("day_budget", resource, period)
                for site in self.sites:
                    touching = [self.move[link, resource, period] for link in self.outgoing[site] + self.incoming[site]
                                if (link, resource, period) in self.move]
                    if touching:
                        self.lp += (pulp.lpSum(touching) <= rules.transfers_per_site_day,
                                    self._name("site_budget", site, resource, period))

    def _add_objective(self) -> None:
        problem, rules = self.problem, self.problem.rules
        weight = [problem.shortage_weight[name] * rules.shortage_cost for name in problem.names]
        links = problem.links
        travel = (rules.move_cost + links["cost"] + rules.cost_per_km * links["distance_km"]).to_numpy()
        terms = [(variable, float(problem.weights[key[0]] * weight[key[2]])) for key, variable in self.short.items()]
        terms += [(variable, float(travel[key[0]])) for family in (self.move, self.batch)
                  for key, variable in family.items()]
        terms += [(variable, rules.surge_cost) for variable in self.surge.values()]
        self.lp += add_up(terms), "cost_points"
