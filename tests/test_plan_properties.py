"""What holds for every plan, with every part of the allocation at random: drugs, links, stays, several scenarios, surge, shifts, tiers.

Balances from the plan's tables alone, weak duality for any prices, and what changes of the question do to the answer. What is kept
elsewhere is not repeated: budgets and costs anew from the tables, drugs by batch, duals under finite steps (`test_allocate`,
`test_allocate_parts`).
"""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, FOUND, list_resources, make, problems, refuse
from test_allocate_parts import EXACT, enrich

from medlib.allocate import plan as planning
from medlib.allocate import solve
from medlib.errors import MedlibError
from medlib.explain.prices import Extra, add_units, weigh_extras

SEEDS = st.integers(0, 2**31 - 1)
NOISE = 1e-4


def tell_apart(plan):
    """Amounts sent and received by resource kind: arrays of shape (I, R, T), by the periods of leaving and of arriving."""
    posed = plan.posed
    sent, received = np.zeros(posed.capacity.shape), np.zeros(posed.capacity.shape)
    for link, resource, period, amount, *_ in plan.shipments:
        origin, destination = (posed.sites.index(posed.links[end].iloc[link]) for end in ("origin", "destination"))
        sent[origin, resource, period] += amount
        beds = posed.kinds[posed.names[resource]] == "bed"
        days = (posed.dates - posed.dates[period]).days
        arrival = period if beds else int(np.searchsorted(days, posed.links["lead_days"].iloc[link]))
        if arrival < len(posed.dates):
            received[destination, resource, arrival] += amount
    return sent, received


def find_relocated(posed, sent, received):
    """Shape (I, R, T): beds taken up because of moves, less those left, counted anew from the courses of stay."""
    relocated = np.zeros(sent.shape)
    days = (posed.dates - posed.dates[0]).days.to_numpy()
    for entered in posed.at.beds:
        for occupied in posed.at.beds:
            there = posed.follow(posed.names[entered], posed.names[occupied], days[:, None] - days)
            relocated[:, occupied] += (received - sent)[:, entered] @ there.T
    return relocated


@EXACT
@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS)
def test_balances_close_and_no_more_leaves_than_is_there(problem, seed):
    plan = solve(enrich(problem, seed))
    posed = plan.posed
    sent, received = tell_apart(plan)
    # Everything that leaves arrives, or is still on its way at the end.
    assert (received.sum(axis=(0, 2)) <= sent.sum(axis=(0, 2)) + NOISE).all()
    beds, units = posed.at.beds, posed.at.units
    assert received[:, beds].sum(axis=0) == pytest.approx(sent[:, beds].sum(axis=0), abs=NOISE)
    # Staff and equipment: what is there is what was there, and came, and did not leave.
    present = (posed.capacity + np.cumsum(received - sent, axis=2))[:, units]
    assert plan.model.present.value == pytest.approx(present, abs=NOISE)
    home = posed.at.keep_share[:, None, None] * posed.capacity[:, units]
    assert (present >= np.maximum(home, posed.missing[:, units]) - NOISE).all()
    # Patients: nobody is sent who is not there, whatever the scenario; where arrivals are known, only those who arrive are sent,
    # and on the day of a handover they still lie in their first bed.
    there = posed.demand[:, :, beds].min(axis=0) + find_relocated(posed, sent, received)[:, beds]
    if posed.arrivals is None:
        assert (there - received[:, beds] + NOISE >= 0).all()
    else:
        known = np.isfinite(posed.arrivals[:, beds])
        assert (sent[:, beds] <= posed.arrivals[:, beds] + NOISE).all()
        assert (there - received[:, beds] + NOISE >= 0)[~known].all()
        assert (there + posed.rules.handover_days * sent[:, beds] + NOISE >= 0)[known].all()


@EXACT
@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS)
def test_nothing_is_negative_and_surge_keeps_its_limits(problem, seed):
    plan = solve(enrich(problem, seed))
    assert (plan.short >= 0).all() and (plan.surge_units >= 0).all() and (plan.surge_units <= plan.posed.surge + NOISE).all()
    assert all(shipment.amount > 0 for shipment in plan.shipments) and (plan.parts["amount"] >= -NOISE).all()
    assert (plan.stock.select_dtypes("number").drop(columns="scenario", errors="ignore") >= -NOISE).all(axis=None)
    assert plan.parts["cost"].sum() == pytest.approx(plan.objective, rel=1e-6, abs=1e-3) and plan.gap >= 0


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS, wrong=st.floats(0.0, 3.0))
def test_no_prices_prove_more_than_the_minimum_and_the_best_prove_it(problem, seed, wrong):
    problem = enrich(problem, 2 * (seed // 2))  # without opening costs
    problem = replace(problem, resources=problem.resources.assign(lot_size=np.nan))
    plan = solve(problem)
    lp, random = plan.problem, np.random.default_rng(seed)
    reach = float(problem.need.sum() + problem.capacity.sum() + problem.surge.sum() + problem.stock["units"].sum())
    slack = 1e-5 * max(1.0, plan.objective)
    assert lp.prove_bound(reach) == pytest.approx(plan.objective, abs=100 * slack)
    dual = lp.solution.row_dual
    for prices in (0 * dual, wrong * dual, dual + random.normal(0, 10, len(dual)), random.permutation(dual)):
        lp.solution = SimpleNamespace(row_dual=prices)
        assert lp.prove_bound(reach) <= plan.objective + slack


def permute(problem, order):
    """The same question with its sites in another order."""
    arrays = {name: getattr(problem, name)[order] for name in ("capacity", "surge", "surge_lead_days")}
    arrays["demand"] = problem.demand[:, order]
    if problem.arrivals is not None:
        arrays["arrivals"] = problem.arrivals[order]
    if problem.capacity_change is not None:
        arrays["capacity_change"] = problem.capacity_change[:, order]
    return replace(problem, sites=tuple(problem.sites[place] for place in order), **arrays)


@EXACT
@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS)
def test_the_order_of_sites_and_links_changes_nothing_but_order(problem, seed):
    problem, random = enrich(problem, seed), np.random.default_rng(seed)
    order = random.permutation(len(problem.sites))
    other = permute(problem, order)
    other = replace(other, links=other.links.sample(frac=1, random_state=seed).reset_index(drop=True))
    plan, again = solve(problem), solve(other)
    assert again.objective == pytest.approx(plan.objective, rel=1e-5, abs=NOISE)
    assert other.idle_shortage == pytest.approx(problem.idle_shortage[:, order])
    # Of plans that cost the same there may be several; the moves of the one are a plan of the same cost for the other.
    back = permute(other, np.argsort(order))
    assert back.sites == problem.sites and np.array_equal(back.demand, problem.demand)
    assert solve(replace(back, links=problem.links)).moves.equals(plan.moves)


@EXACT
@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS)
def test_more_capacity_never_hurts(problem, seed):
    problem, random = enrich(problem, seed), np.random.default_rng(seed)
    more = np.where(random.random(problem.capacity.shape) < 0.4, random.integers(0, 4, problem.capacity.shape), 0)
    bigger = replace(problem, capacity=problem.capacity + more)
    cost = solve(problem).objective
    assert solve(bigger).objective <= cost + 1e-5 * max(1.0, cost)
    wider = replace(problem, surge=np.where(problem.surge > 0, problem.surge + 1.5, 0.0))
    assert solve(wider).objective <= cost + 1e-5 * max(1.0, cost)


def scale(problem, factor):
    """The same question counted in other units: everything that counts units is so many times as much."""
    def multiply(frame, *columns):
        return frame.assign(**{name: factor * frame[name] for name in columns if name in frame})

    rules = problem.rules
    rules = replace(rules, **{name: factor * getattr(rules, name) for name in (
        "transfers_per_day", "transfers_per_site_day", "transfers_in_all", "transport_km_per_day")})
    arrays = {name: factor * getattr(problem, name) for name in ("demand", "capacity", "surge", "arrivals", "capacity_change")
              if getattr(problem, name) is not None}
    return replace(problem, rules=rules, **arrays, stock=multiply(problem.stock, "units"), levels=multiply(problem.levels, "units"),
                   links=multiply(problem.links, "moves_per_day"), site_limits=multiply(problem.site_limits, "release_per_day"),
                   orders=multiply(problem.orders, "units_per_period"))


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS, factor=st.sampled_from([0.1, 2.5, 40.0]))
def test_counting_in_other_units_scales_the_plan(problem, seed, factor):
    problem = enrich(problem, 2 * (seed // 2))  # without opening costs, which do not grow
    problem = replace(problem, resources=problem.resources.assign(lot_size=np.nan))
    plan, scaled = solve(problem), solve(scale(problem, factor))
    assert scaled.objective == pytest.approx(factor * plan.objective, rel=1e-5, abs=1e-3)


@settings(max_examples=15, deadline=None, phases=FOUND)
@given(problem=problems(), seed=SEEDS, amount=st.sampled_from([0.5, 2.0, 7.0]), staffed=st.booleans())
def test_a_promise_is_never_below_what_units_are_worth_and_holds_in_its_range(problem, seed, amount, staffed):
    random = np.random.default_rng(seed)
    first, last = np.sort(random.integers(0, len(problem.dates), 2))
    extra = Extra(str(random.choice(problem.sites)), str(random.choice(problem.names)), amount, problem.dates[first],
                  problem.dates[last], staffed)
    plan = solve(problem)
    (worth,) = weigh_extras(plan, [extra])
    slack = 1e-4 * max(1.0, plan.objective)
    assert worth.confirmed <= worth.promised + slack and worth.holds_from <= 0 <= worth.holds_to
    assert worth.rate_above <= worth.rate + 1e-6 and worth.rate <= worth.rate_below + 1e-6

    def save(units):
        return plan.objective - solve(add_units(problem, replace(extra, amount=units))).objective

    for inside in (0.9 * max(worth.holds_from, -3.0), 0.9 * min(worth.holds_to, 9.0)):
        assert save(inside) == pytest.approx(worth.rate * inside, abs=slack)
    if worth.holds_to < 50 and worth.rate - worth.rate_above > 0.01:
        assert save(worth.holds_to + 1.0) < worth.rate * (worth.holds_to + 1.0) - 0.001


# --- Plans that are not proven optimal -------------------------------------------------------------------------------

def make_hard(seed=1, sites="ABCDEFGH", periods=6):
    """Whole patients and nurses at eight sites: many seconds to the optimum, well under one to a plan."""
    random = np.random.default_rng(seed)
    demand = {(site, "bed"): random.integers(5, 30, periods) + random.random(periods) for site in sites}
    capacity = {(site, "bed"): random.integers(5, 30, periods) for site in sites} | {
        (site, "nurse"): random.integers(2, 11, periods) for site in sites}
    links = [(a, b, float(random.integers(10, 99)), 1.0) for a in sites for b in sites if a != b]
    return make(list_resources("bed", "nurse", requires={"bed": "0.37 nurse"}), demand, capacity, links, integer=True,
                transfers_per_site_day=5.0, los_days=3.0, surge={(site, "bed"): [4] * periods for site in sites})


def solve_hastily(*arguments, **more):
    """The first plan in whole units, with twice the time until there is one."""
    for doubling in range(7):
        with patch.object(planning, "PATIENCE", 0.05 * 2**doubling):
            try:
                return solve(*arguments, gap=0.0, **more)
            except MedlibError as error:
                told = error
    raise told


@pytest.mark.parametrize("minimise", ["cost", ("shortage", "transfers")])
def test_a_plan_that_is_not_proven_optimal_says_so_with_its_gap(minimise):
    plan = solve_hastily(make_hard(), minimise)
    assert plan.status == "Time limit reached" and plan.gap > 0
    assert f"not proven optimal: time limit reached, another may be up to {100 * plan.gap:.2g} % better" in plan.explain()[2]


def test_no_plan_in_time_is_told_and_not_taken_for_infeasible():
    with patch.object(planning, "PATIENCE", 1e-4):
        refuse("^No plan in whole units was found within 0.0001 s", lambda: solve(make_hard()))


def test_proven_plans_say_so():
    problem = make(BED, {("A", "bed"): [15.5, 12.5]}, {("A", "bed"): [10, 10], ("B", "bed"): [9, 9]}, [("A", "B")])
    assert "(optimal)" in solve(problem).explain()[2] and solve(problem).gap == 0
    close = replace(solve(problem), gap=0.0042)
    assert "(optimal to within 0.42 %)" in close.explain()[2]
    frame = pd.DataFrame(close.tables["moves"])
    assert not frame.empty
