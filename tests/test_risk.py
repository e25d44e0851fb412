"""Measures of risk by hand and by enumeration; what a plan leaves short, told without a solver; tangents in place of scenarios."""

import itertools
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, DRUG, FOUND, list_resources, make, problems, vary

from medlib.allocate import Model, Risk, average_scenarios, bound_demand, face_plan, make_model, read_plan, solve
from medlib.allocate import plan as planning
from medlib.allocate.cuts import CutModel, can_cut
from medlib.allocate.recourse import Recourse, _face_by_program, weigh_load
from medlib.allocate.risk import list_scarcity, measure_tail
from medlib.errors import MedlibError

#: Beds, staff and equipment, which tangents cover.
COVERED = ("bed", "icu", "nurse", "vent")


def scatter(seed, scenarios=9, sites=4, periods=3, names=("bed", "nurse", "vent"), requires=None, change=False, **rules):
    """Sites that are short on different days, in scenarios of different probability."""
    random = np.random.default_rng(seed)
    labels = [f"S{number}" for number in range(sites)]
    weights = random.dirichlet(np.full(scenarios, 3.0))
    demand = {(site, name): random.poisson(random.uniform(3, 12), (scenarios, periods)) for site in labels for name in names}
    capacity = {(site, name): random.integers(4, 12, periods) for site in labels for name in names}
    surge = {(site, name): [2.0] * periods for site in labels for name in names}
    links = [(*pair, float(random.integers(5, 90)), float(random.integers(0, 2))) for pair in itertools.permutations(labels, 2)]
    resources = list_resources(*names, requires={"bed": "0.5 nurse"} if requires is None else requires)
    posed = make(resources, demand, capacity, links, surge, weights=weights, **rules)
    return replace(posed, capacity_change=vary(posed.capacity, resources, scenarios, random)) if change else posed


def refuse(words, call, *given, **options):
    with pytest.raises(MedlibError, match=words):
        call(*given, **options)


def total(plan):
    """Weighted shortage by scenario, from the plan's own table of it."""
    return np.einsum("sirt,r->s", plan.short, plan.posed.at.weight)


# --- The measures ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("wrong, words", [
    ({"measure": "var"}, "measure must be one of mean, cvar, chance, robust; got 'var'"), ({"level": 1.0}, "level must lie in"),
    ({"weight": 1.2}, "weight must lie in"), ({"budget": -1}, "budget must be at least 0"), ({"allowed": np.nan}, "allowed must be")])
def test_a_wrong_risk_is_refused(wrong, words):
    refuse(words, Risk, **wrong)


def test_the_tail_of_unequal_scenarios():
    costs, weights = np.array([4.0, 20.0, 7.0, 11.0]), np.array([0.4, 0.05, 0.3, 0.25])
    # The worst fifth of the probability: all of 20, and 0.15 of the 0.25 at 11.
    assert measure_tail(costs, weights, 0.8) == pytest.approx(((0.05 * 20 + 0.15 * 11) / 0.2, 11.0))
    assert measure_tail(costs, weights, 0.95) == pytest.approx((20.0, 20.0))
    assert measure_tail(costs, weights, 1e-9)[0] == pytest.approx(costs @ weights)


@pytest.mark.parametrize("kind", [Model, CutModel])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_surge_is_weighed_against_mean_and_tail(kind, weight):
    needed, chances = np.array([3.0, 9.0, 5.0, 14.0, 8.0]), np.array([0.3, 0.2, 0.25, 0.1, 0.15])
    posed = make(BED, {("A", "bed"): needed[:, None]}, {("A", "bed"): [4.0]}, surge={("A", "bed"): [12.0]}, weights=chances,
                 surge_cost=27.0)

    def count(surge):
        short = np.maximum(needed - 4 - surge, 0)
        worst = measure_tail(short, chances, 0.75)[0]
        return 27 * surge + 100 * ((1 - weight) * chances @ short + weight * worst), worst

    # Piecewise linear in the surge, which bends where a scenario is served.
    best = min(count(surge)[0] for surge in [0.0, *np.maximum(needed - 4, 0)])
    plan = read_plan(kind(posed, Risk("cvar", level=0.75, weight=weight)))
    assert plan.objective == pytest.approx(best, rel=1e-6)
    assert plan.parts.loc["tail_shortage", "amount"] == pytest.approx(count(plan.surge_units.sum())[1], abs=1e-5)
    assert plan.parts["cost"].sum() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("kind", [Model, CutModel])
def test_the_tail_can_be_limited(kind):
    posed = scatter(5, surge_cost=150.0)
    mean = solve(posed)
    free = measure_tail(total(mean), posed.weights, 0.8)[0]
    model = kind(posed, Risk("cvar", level=0.8, weight=0.0))
    model.limit("tail_shortage", 0.9 * free)
    held = read_plan(model)
    assert measure_tail(total(held), posed.weights, 0.8)[0] == pytest.approx(0.9 * free, rel=1e-5)
    assert held.objective > mean.objective + 1


def test_the_least_limit_of_the_tail_is_found_and_a_lower_one_explained():
    posed = scatter(5)
    least = solve(posed, "tail_shortage", risk=Risk("cvar")).objective
    assert solve(posed, at_most={"tail_shortage": 1.001 * least}, risk=Risk("cvar")).status == "Optimal"
    for many in (1, 10**9):
        with patch.object(planning, "MANY", many), pytest.raises(MedlibError, match="limit_tail_shortage"):
            solve(posed, at_most={"tail_shortage": 0.9 * least}, risk=Risk("cvar"))


def keep_by_hand(posed, kept, allowed):
    """Cost of the best plan that keeps these scenarios; infinite where there is none."""
    model = Model(posed)
    rows = model.lp.add_rows("kept", {"scenario": kept}, high=allowed)
    for columns, each in list_scarcity(model):
        rows.add(columns.index[kept], np.broadcast_to(each, columns.shape)[kept], at=rows.index[:, None, None, None])
    try:
        return read_plan(model).objective
    except MedlibError:
        return np.inf


@pytest.mark.parametrize("seed, allowed", [(1, 6.0), (2, 9.0), (3, 4.0), (4, 12.0)])
def test_a_chance_is_kept_at_least_cost(seed, allowed):
    posed = scatter(seed, scenarios=6, sites=3, periods=2, names=("bed", "nurse"))
    subsets = [list(some) for size in range(7) for some in itertools.combinations(range(6), size) if posed.weights[list(some)].sum() >= 0.7]
    best = min(keep_by_hand(posed, kept, allowed) for kept in subsets)
    risk = Risk("chance", level=0.7, allowed=allowed)
    if best == np.inf:
        return refuse("probability 0.7, and no plan does", solve, posed, risk=risk)
    plan = solve(posed, gap=1e-7, risk=risk)
    assert plan.objective == pytest.approx(best, rel=1e-6) and plan.gap <= 1e-7
    assert posed.weights[total(plan) <= allowed + 1e-4].sum() >= 0.7 - 1e-6


def test_the_chances_above_do_bind():
    """Otherwise their enumeration would tell nothing."""
    found = []
    for seed, allowed in [(1, 6.0), (2, 9.0), (3, 4.0), (4, 12.0)]:
        posed = scatter(seed, scenarios=6, sites=3, periods=2, names=("bed", "nurse"))
        found.append(posed.weights[total(solve(posed)) <= allowed].sum() < 0.7)
    assert sum(found) >= 2


def test_a_chance_in_time():
    posed = scatter(2, scenarios=12, sites=3, periods=2)
    with patch.object(planning, "PATIENCE", 0.0):
        refuse("no such plan was found in time", solve, posed, risk=Risk("chance", level=0.6))


def worst_by_hand(posed, plan, budget):
    """Worst weighted shortage of a plan where in every period at most so many sites are high, all subsets tried."""
    recourse = Recourse(posed)
    cells = np.einsum("sirt,r->sit", recourse.find_unmet(weigh_load(posed, plan.decided)), recourse.cost)
    sites = range(len(posed.sites))
    return sum(max(sum(cells[int(site in high), site, period] for site in sites)
                   for size in range(budget + 1) for high in itertools.combinations(sites, size)) for period in range(len(posed.dates)))


def solve_by_subsets(posed, budget):
    """The least cost with a row for every subset of sites in every period."""
    model = Model(replace(posed, weights=np.array([1.0, 0.0])))
    worst = model.lp.add_columns("worst", {"date": posed.dates}, cost=posed.rules.shortage_cost)
    subsets = [high for size in range(budget + 1) for high in itertools.combinations(range(len(posed.sites)), size)]
    rows = model.lp.add_rows("worst", {"subset": range(len(subsets)), "date": posed.dates}, high=0.0)
    rows.add(worst.index[None], -1.0)
    for number, high in enumerate(subsets):
        for site in range(len(posed.sites)):
            rows.add(model.short.index[int(site in high), site], np.broadcast_to(posed.at.weight[:, None], model.short.shape[2:]),
                     at=rows.index[number][None])
    model.short.update(cost=0.0)
    model.lp.solve()
    return model.lp.minimum


@pytest.mark.parametrize("budget", range(5))
def test_a_budget_of_sites_against_all_subsets(budget):
    posed = bound_demand(scatter(7, sites=4), 0.95)
    plan = solve(posed, risk=Risk("robust", budget=budget))
    assert plan.objective == pytest.approx(solve_by_subsets(posed, budget), rel=1e-6)
    assert plan.parts.loc["worst_shortage", "amount"] == pytest.approx(worst_by_hand(posed, plan, budget), rel=1e-6, abs=1e-6)


def test_a_budget_goes_from_nominal_to_high_and_may_be_a_fraction():
    posed = bound_demand(scatter(8), 0.9)
    costs = [solve(posed, risk=Risk("robust", budget=budget)).objective for budget in (0, 1, 1.5, 2, 4, 9)]
    alone = [replace(posed, demand=posed.demand[[place]], weights=np.ones(1)) for place in (0, 1)]
    assert costs[0] == pytest.approx(solve(alone[0]).objective, rel=1e-6)
    assert costs[1] < costs[2] < costs[3] < costs[4] and costs[4] == pytest.approx(costs[5], rel=1e-9)
    # Who is there to be sent is nominal: with every site high it is no cheaper than to know that from the start.
    assert costs[4] >= solve(alone[1]).objective - 1e-6


def test_what_is_robust_needs_two_scenarios_and_no_drugs():
    refuse("two scenarios, nominal and high, as from bound_demand; got 9", solve, scatter(1), risk=Risk("robust"))
    drugs = make(DRUG, {("A", "drug"): [[3.0], [5.0]]}, {("A", "drug"): [2.0]}, weights=(0.5, 0.5))
    refuse("leave out 'drug'", solve, drugs, risk=Risk("robust"))


def test_bounds_of_demand_are_mean_and_quantile():
    posed = make(BED, {("A", "bed"): [[2.0, 1.0], [6.0, 1.0], [30.0, 1.0]]}, {("A", "bed"): [4.0, 4.0]}, weights=(0.5, 0.4, 0.1))
    assert bound_demand(posed, 0.7).demand[:, 0, 0].tolist() == [[pytest.approx(6.4), 1.0], [pytest.approx(6.4), 1.0]]
    assert bound_demand(posed, 0.95).demand[1, 0, 0].tolist() == [30.0, 1.0]
    assert average_scenarios(posed).demand[0, 0, 0].tolist() == pytest.approx([6.4, 1.0])
    refuse("high must lie in", bound_demand, posed, 1.0)


def test_a_model_with_a_chance_takes_no_other_figures():
    posed = scatter(1)
    refuse("chance", Model(posed, Risk("chance")).update, posed)


# --- What a plan leaves short ----------------------------------------------------------------------------------------

@settings(max_examples=30, deadline=None, phases=FOUND)
@given(problems())
def test_a_plan_faces_its_own_scenarios_with_its_own_shortage(posed):
    plan = solve(posed)
    assert face_plan(plan, posed) @ posed.weights == pytest.approx(plan.parts.loc["shortage", "amount"], rel=1e-6, abs=1e-5)


@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problems(kinds=COVERED, scenarios=(2,)), st.integers(0, 2**32 - 1))
def test_other_scenarios_are_faced_as_a_program_with_fixed_columns_does(posed, seed):
    plan, random = solve(posed), np.random.default_rng(seed)
    shape = posed.demand.shape[1:]
    other = replace(posed, demand=random.integers(0, 15, (5, *shape)).astype(float), weights=np.full(5, 0.2), capacity_change=None,
                    capacity=random.integers(0, 13, shape).astype(float))
    assert face_plan(plan, other) == pytest.approx(_face_by_program(plan.decided, other, np.arange(5)), abs=1e-5)


def test_shortage_of_a_chain_by_hand():
    posed = make(list_resources("bed", "nurse", requires={"bed": "0.5 nurse"}, weight={"bed": 3.0, "nurse": 2.0}),
                 {("A", "bed"): [[10.0], [4.0]], ("A", "nurse"): [[2.0], [1.0]]}, {("A", "bed"): [8.0], ("A", "nurse"): [3.0]},
                 weights=(0.5, 0.5))
    nothing = {"move": np.zeros((0, 2, 1)), "surge": np.zeros((1, 2, 1))}
    # Two beds are short; the other eight need four nurses, two are needed besides, three are there.
    assert face_plan(nothing, posed).tolist() == [3 * 2 + 2 * 3, 0.0]
    assert face_plan({**nothing, "surge": np.array([[[1.0], [2.0]]])}, posed).tolist() == [3 * 1 + 2 * 1.5, 0.0]


def test_who_sends_patients_that_are_not_there_is_faced_all_the_same():
    posed = make(BED, {("A", "bed"): [[12.0]], ("B", "bed"): [[5.0]]}, {("A", "bed"): [8.0], ("B", "bed"): [9.0]}, [("A", "B")])
    plan = solve(posed)
    assert plan.moves["amount"].tolist() == [4.0]
    fewer = replace(posed, demand=np.array([[[[1.0]], [[7.0]]], [[[20.0]], [[0.0]]]]), weights=np.array([0.2, 0.8]))
    assert face_plan(plan, fewer).tolist() == [2.0, 8.0]


def test_drugs_are_faced_with_what_was_sent():
    posed = make(DRUG, {("A", "drug"): [[4.0, 4.0]], ("B", "drug"): [[0.0, 3.0]]}, {("A", "drug"): [10.0, 0.0], ("B", "drug"): [0.0, 0.0]},
                 [("A", "B")])
    plan = solve(posed)
    worse = replace(posed, demand=posed.demand * np.linspace(1, 2, 150)[:, None, None, None], weights=np.full(150, 1 / 150))
    # Two went to B, which lacks one at least; A has eight left.
    sent = plan.decided["batch"].sum()
    wanted = np.maximum(worse.demand[:, 0].sum(axis=(1, 2)) - (10 - sent), 0) + np.maximum(worse.demand[:, 1].sum(axis=(1, 2)) - sent, 0)
    assert face_plan(plan, worse) == pytest.approx(wanted, abs=1e-6)


def test_another_network_is_refused():
    posed = scatter(1)
    plan = solve(posed)
    refuse("periods differ", face_plan, plan, replace(posed, dates=posed.dates + pd.Timedelta(days=1)))
    refuse("links differ", face_plan, plan, replace(posed, links=posed.links.iloc[1:].reset_index(drop=True)))
    refuse("must hold surge with shape", face_plan, {"move": plan.decided["move"]}, posed)


# --- Tangents in place of scenarios ----------------------------------------------------------------------------------

@settings(max_examples=30, deadline=None, phases=FOUND)
@given(problems(kinds=COVERED, scenarios=(2,)), st.sampled_from(["mean", "cvar"]))
def test_tangents_find_the_optimum_of_all_scenarios(posed, measure):
    risk = Risk(measure, level=0.6, weight=0.4)
    tangents, written = read_plan(CutModel(posed, risk)), read_plan(Model(posed, risk))
    assert tangents.objective == pytest.approx(written.objective, rel=1e-6, abs=1e-5)
    assert tangents.parts["cost"].sum() == pytest.approx(written.objective, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("risk", [Risk(), Risk("cvar", level=0.7), Risk("cvar", level=0.9, weight=1.0)],
                         ids=lambda risk: f"{risk.measure}-{risk.weight}")
def test_tangents_with_many_scenarios(seed, risk):
    chain = {"bed": "0.5 nurse; 0.25 vent", "nurse": "0.5 vent"} if seed % 2 else None
    posed = scatter(seed, scenarios=60, periods=4, requires=chain, change=seed > 1, planning_occupancy=0.9)
    tangents, written = read_plan(CutModel(posed, risk)), read_plan(Model(posed, risk))
    assert tangents.objective == pytest.approx(written.objective, rel=1e-6)
    assert tangents.short.shape == posed.demand.shape and tangents.posed is posed
    assert posed.weights @ face_plan(tangents, posed) == pytest.approx(tangents.weighted_shortage)
    assert tangents.parts.loc["shortage", "amount"] == pytest.approx(tangents.weighted_shortage)
    assert tangents.model.lp.row_count < written.model.lp.row_count / 5


def test_tangents_under_limits_and_in_order():
    posed = scatter(3, scenarios=40)
    for written, tangents in zip(*([read_plan(kind(posed), order) for order in (("shortage", "cost"), ("transfers", "shortage"))]
                                   for kind in (Model, CutModel))):
        assert tangents.objective == pytest.approx(written.objective, rel=1e-5, abs=1e-5)
    least = solve(posed, "shortage").objective
    for kind in (Model, CutModel):
        model = kind(posed)
        model.limit("shortage", 1.02 * least)
        assert read_plan(model).weighted_shortage <= 1.02 * least * (1 + 1e-5)


def test_tangents_take_other_figures_and_rules_by_hand():
    posed, other = scatter(3, scenarios=40), scatter(4, scenarios=30)
    other = replace(other, links=posed.links)
    model = CutModel(posed)
    first = read_plan(model)
    model.update(other)
    assert read_plan(model).objective == pytest.approx(read_plan(Model(other)).objective, rel=1e-6)
    model.update(posed)
    assert read_plan(model).objective == pytest.approx(first.objective, rel=1e-6)
    refuse("rules differ", model.update, replace(other, rules=replace(other.rules, los_days=3.0)))
    link = posed.at.pairs.iloc[0]
    for kind in (Model, CutModel):
        model = kind(posed)
        model.lp += model.lp.columns["move"][tuple(link), "bed", posed.dates[0]] >= 2.5, "at_least"
        found = read_plan(model).objective
        assert found > first.objective + 1e-3 and (kind is Model or found == pytest.approx(written, rel=1e-6))
        written = found


def test_tangents_price_capacity_as_all_scenarios_do():
    posed = make(BED, {("A", "bed"): [[3.0], [6.0], [9.0]]}, {("A", "bed"): [5.0]}, weights=(0.5, 0.2, 0.3))
    for kind in (Model, CutModel):
        assert read_plan(kind(posed)).price_capacity()["saves"].tolist() == pytest.approx([0.5])


def test_size_decides_and_what_tangents_do_not_cover_is_written_out():
    posed = scatter(3)
    with patch.object(planning, "MANY", posed.demand.size):
        assert isinstance(make_model(posed), CutModel) and not isinstance(make_model(posed, Risk("chance")), CutModel)
        assert not isinstance(make_model(replace(posed, rules=replace(posed.rules, integer=True))), CutModel)
    assert not isinstance(make_model(posed), CutModel)
    assert can_cut(posed, Risk()) and not can_cut(replace(posed, rules=replace(posed.rules, protect_sites=True)), Risk())
    assert not can_cut(make(DRUG, {("A", "drug"): [3.0]}, {("A", "drug"): [2.0]}), Risk())
