"""Capacity that is uncertain: scenarios of demand and capacity, what may be sent away, and what a certain capacity must not change."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, DAY, DRUG, FOUND, FREE, VENT, list_links, list_resources, make, problems, read_moves, refuse, vary
from test_allocate_parts import list_shifts

from medlib.allocate import Model, Rules, choose_forecast, pose_problem, solve, solve_lexicographic, weigh_levels, weigh_pairs
from medlib.simulate import bound_shortage

LEVELS, FEW = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]), np.array([0.1, 0.5, 0.9])


def change(problem, table):
    """The problem with {(site, resource): units more or fewer, a row a scenario}."""
    values = np.zeros((len(problem.weights), *problem.capacity.shape))
    for (site, resource), rows in table.items():
        values[:, problem.sites.index(site), problem.names.index(resource)] = rows
    return replace(problem, capacity_change=values)


# --- By hand ---------------------------------------------------------------------------------------------------------

def test_what_a_scenario_lacks_is_short_in_it():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    problem = make(resources, {("A", "bed"): [[10, 10], [10, 10]]}, {("A", "bed"): [10, 12], ("A", "nurse"): [6, 6]},
                   planning_occupancy=0.9, weights=(0.25, 0.75))
    plan = solve(change(problem, {("A", "bed"): [[-4, -4], [0, 2]], ("A", "nurse"): [[-3.5, 0], [1, 1]]}))
    # Beds: 0.9 of 6 and 8; of 10 and 14. The 5.4 in use need 2.7 nurses of 2.5 in the first scenario.
    assert plan.short[:, 0, 0].tolist() == pytest.approx(np.array([[4.6, 2.8], [1, 0]]))
    assert plan.short[:, 0, 1].tolist() == pytest.approx(np.array([[0.2, 0], [0, 0]]))
    assert plan.posed.idle_shortage == pytest.approx(plan.short)
    assert plan.posed.mean_capacity[0, 0].tolist() == pytest.approx([9, 0.25 * 8 + 0.75 * 14])


def test_beds_that_may_close_are_worth_a_move():
    # On average B's ten beds hold its ten patients and one of A's two; in the first scenario none.
    problem = make(BED, {("A", "bed"): [[12], [12]], ("B", "bed"): [[10], [10]]}, {("A", "bed"): [10], ("B", "bed"): [11]},
                   [("A", "B")], weights=(0.5, 0.5), move_cost=30.0)
    certain, plan = solve(problem), solve(change(problem, {("B", "bed"): [[-3], [3]]}))
    assert read_moves(certain) == pytest.approx({(0, "A", "B", "bed"): 1})
    # A moved patient is served in the second scenario and only there: saves 50 in all, so two are moved.
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 2})
    assert plan.short[:, :, 0, 0].tolist() == [[0, 4], [0, 0]]


def test_units_that_may_be_missing_are_not_sent_away():
    problem = make(VENT, {("A", "vent"): [[0], [0]], ("B", "vent"): [[20], [20]]}, {("A", "vent"): [10], ("B", "vent"): [0]},
                   [("A", "B")], weights=(0.1, 0.9))
    plan = solve(change(problem, {("A", "vent"): [[-4], [5]]}))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "vent"): 6})
    later = make(VENT, {("A", "vent"): [[0, 0]] * 2, ("B", "vent"): [[0, 20]] * 2}, {("A", "vent"): [10, 10], ("B", "vent"): [0, 0]},
                 [("A", "B", 10.0, 1.0)], weights=(0.1, 0.9))
    # What leaves today is missed tomorrow, when only three may come.
    assert read_moves(solve(change(later, {("A", "vent"): [[0, -7], [0, 0]]}))) == pytest.approx({(0, "A", "B", "vent"): 3})


def test_what_arrives_in_the_morning_does_not_replace_who_is_missing():
    # B passes on what it has in the morning; of its five units two may be missing.
    problem = make(VENT, {("C", "vent"): [[9], [9]]}, {("A", "vent"): [4], ("B", "vent"): [5], ("C", "vent"): [0]},
                   [("A", "B"), ("B", "C")], weights=(0.5, 0.5))
    assert solve(change(problem, {("B", "vent"): [[-2], [0]]})).short[:, 2, 0, 0].tolist() == pytest.approx([6, 6])


def test_staff_that_stays_away_is_missed_in_every_shift():
    nurse = list_resources("nurse")
    problem = make(nurse, {("A", "nurse"): [[8], [8]]}, {("A", "nurse"): [8]}, weights=(0.5, 0.5))
    problem = replace(problem, shifts=list_shifts(("nurse", "day", 0.75), ("nurse", "night", 0.25)))
    assert solve(problem).short.sum() == pytest.approx(0)
    # Four fewer: three by day and one at night; short is what the worst shift lacks.
    assert solve(change(problem, {("A", "nurse"): [[-4], [0]]})).short[:, 0, 0, 0].tolist() == pytest.approx([3, 0])


def test_the_pooled_bound_knows_the_scenarios():
    problem = make(BED, {("A", "bed"): [[9], [9]], ("B", "bed"): [[5], [5]]}, {("A", "bed"): [8], ("B", "bed"): [8]},
                   weights=(0.25, 0.75))
    uncertain = change(problem, {("A", "bed"): [[-4], [1]], ("B", "bed"): [[-2], [0]]})
    assert bound_shortage(problem).tolist() == pytest.approx([0])
    assert bound_shortage(uncertain).tolist() == pytest.approx([0.25 * 4])


@pytest.mark.parametrize(("table", "words"), [
    ({("A", "bed"): [[-9.0], [0]]}, "^capacity_change must leave at least 0 units in every scenario; got fewer, or no number"),
    ({("A", "bed"): [[np.nan], [0]]}, "^capacity_change must leave at least 0 units"),
    ({("A", "drug"): [[1.0], [0]]}, "^Deliveries of drugs are certain; capacity_change must be 0 for 'drug'")])
def test_changes_that_cannot_be_are_refused(table, words):
    problem = make(list_resources("bed", "drug"), {("A", "bed"): [[3], [3]]}, {("A", "bed"): [8], ("A", "drug"): [3]}, weights=(0.5, 0.5))
    refuse(words, lambda: change(problem, table))
    refuse(r"^capacity_change must have shape \(2, 1, 2, 1\); got \(1, 1, 2, 1\)",
           lambda: replace(problem, capacity_change=np.zeros((1, 1, 2, 1))))


# --- Posed from tables -----------------------------------------------------------------------------------------------

def tabulate(values, column, levels, resource="bed", **more):
    """{site: a row of values a level} as a table over the days from DAY on."""
    rows = [{"date": DAY + pd.Timedelta(days=day), "site": site, "resource": resource, "quantile": level, column: float(value), **more}
            for site, table in values.items() for level, row in zip(levels, table) for day, value in enumerate(row)]
    return pd.DataFrame(rows)


SITES, NOWHERE = pd.DataFrame({"site": ["A", "B"]}), list_links(("A", "B"))
DEMAND = tabulate({"A": [[4, 5], [6, 7], [9, 9]], "B": [[1, 1], [2, 2], [3, 4]]}, "demand", FEW)
STILL = dict(surge=2.0, surge_lead_days=1.0)


def pose(capacity, **more):
    return pose_problem(SITES, BED, NOWHERE, DEMAND, capacity, Rules(**FREE), **more)


def test_every_level_of_demand_meets_every_level_of_capacity():
    posed = pose(tabulate({"A": [[3, 2], [5, 5], [6, 8]], "B": [[4, 4]] * 3}, "capacity", FEW, **STILL), correlation=0.6)
    assert posed.weights == pytest.approx(weigh_pairs(FEW, FEW, 0.6).ravel())
    assert posed.capacity[:, 0].tolist() == [[5, 5], [4, 4]] and posed.surge[:, 0].tolist() == [[0, 2], [0, 2]]
    pairs = list(zip(posed.demand[:, 0, 0].tolist(), posed.scenario_capacity[:, 0, 0].tolist()))
    assert pairs == [(need, there) for need in ([4, 5], [6, 7], [9, 9]) for there in ([3, 2], [5, 5], [6, 8])]
    assert (posed.scenario_capacity[:, 1] == 4).all()


def test_capacity_that_is_certain_adds_nothing():
    plain = tabulate({"A": [[5, 6]], "B": [[4, 4]]}, "capacity", [0.5], **STILL)
    levels = pd.concat([plain.assign(quantile=level) for level in LEVELS])
    old, same = pose(plain.drop(columns="quantile")), pose(levels, correlation=0.7)
    assert same.capacity_change is None and same.weights.tolist() == old.weights.tolist()
    for name in ("demand", "capacity", "surge", "surge_lead_days"):
        assert getattr(same, name).tolist() == getattr(old, name).tolist()
    ours, theirs = Model(same).lp, Model(old).lp
    assert (ours.column_count, len(ours.rows)) == (theirs.column_count, len(theirs.rows))
    # And a problem whose scenarios say the same as its capacity has the same plan.
    loose = replace(old, capacity_change=np.zeros(old.demand.shape))
    assert solve(loose).objective == pytest.approx(solve(old).objective)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.4])
def test_pairs_keep_both_quantities_weights(correlation):
    pairs = weigh_pairs(LEVELS, FEW, correlation)
    assert pairs.sum(axis=1) == pytest.approx(weigh_levels(LEVELS))
    assert pairs.sum(axis=0) == pytest.approx(weigh_levels(FEW), abs=1e-4)
    assert (pairs > 0).all()


def test_pairs_by_hand():
    assert weigh_pairs(LEVELS, FEW) == pytest.approx(np.outer(weigh_levels(LEVELS), weigh_levels(FEW)))
    # Both above their medians: 1/4 + arcsin(r) / (2 pi), Sheppard's formula.
    half = np.array([0.25, 0.75])
    assert weigh_pairs(half, half, 0.3)[1, 1] == pytest.approx(0.25 + np.arcsin(0.3) / (2 * np.pi), abs=1e-4)
    assert weigh_pairs(half, half, -0.3)[1, 1] == pytest.approx(0.25 - np.arcsin(0.3) / (2 * np.pi), abs=1e-4)
    for wrong in (1.0, -1.0, 2.0, np.nan):
        refuse(r"^correlation must lie in \(-1, 1\); got", lambda: weigh_pairs(half, half, wrong))


# --- Random problems -------------------------------------------------------------------------------------------------

@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problem=problems(scenarios=(1,), kinds=("bed", "icu", "nurse", "vent")), seed=st.integers(0, 2**32 - 1))
def test_more_uncertain_capacity_of_the_same_mean_never_means_less_shortage(problem, seed):
    # One demand and two equally likely capacities around the certain one.
    random = np.random.default_rng(seed)
    away = np.minimum(problem.capacity, random.integers(0, 5, problem.capacity.shape))
    sign = np.where(random.random(problem.capacity.shape) < 0.5, 1.0, -1.0)
    both = replace(problem, demand=np.repeat(problem.demand, 2, axis=0), weights=np.array([0.5, 0.5]))
    shortage, cost = [solve_lexicographic(problem).weighted_shortage], [solve(problem).objective]
    for width in (0.0, 0.5, 1.0):
        wider = replace(both, capacity_change=width * np.stack([sign * away, -sign * away]))
        shortage.append(solve_lexicographic(wider).weighted_shortage)
        cost.append(solve(wider).objective)
        assert wider.mean_capacity == pytest.approx(problem.capacity)
    assert shortage[1] == pytest.approx(shortage[0], abs=1e-4) and cost[1] == pytest.approx(cost[0], rel=1e-5, abs=1e-3)
    assert (np.diff(shortage[1:]) >= -1e-4).all() and (np.diff(cost[1:]) >= -1e-3).all()


@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problem=problems(scenarios=(2,)), seed=st.integers(0, 2**32 - 1))
def test_no_scenario_is_better_off_than_if_it_were_planned_for_alone(problem, seed):
    # Knowing which scenario comes can only help; and doing nothing is always a plan.
    random = np.random.default_rng(seed)
    problem = replace(problem, capacity_change=vary(problem.capacity, problem.resources, 2, random))
    alone = [solve(replace(problem, demand=problem.demand[[number]], weights=np.ones(1), capacity_change=None,
                           capacity=problem.scenario_capacity[number])).objective for number in (0, 1)]
    plan = solve(problem)
    assert plan.objective >= problem.weights @ alone - 1e-3
    still = replace(problem, links=problem.links.iloc[:0], surge=np.zeros(problem.surge.shape))
    assert plan.objective <= solve(still).objective + 1e-3


def test_a_drug_beside_uncertain_beds_is_served_as_alone():
    demand, capacity = {("A", "drug"): [[2], [5]]}, {("A", "drug"): [3]}
    alone = solve(make(DRUG, demand, capacity, weights=(0.5, 0.5)))
    beside = make(list_resources("drug", "bed"), demand, capacity | {("A", "bed"): [4]}, weights=(0.5, 0.5))
    beside = solve(change(beside, {("A", "bed"): [[-1], [1]]}))
    assert beside.short[:, 0, 0, 0].tolist() == alone.short[:, 0, 0, 0].tolist() == pytest.approx([0, 2])


# --- Which forecast is planned with ----------------------------------------------------------------------------------

def test_the_best_forecast_is_the_one_marked_as_used():
    forecasts = pd.concat([DEMAND.assign(model=name) for name in ("naive", "forest", "network")])
    scores = pd.DataFrame({"model": ["naive", "forest"], "used": [False, True]})
    assert choose_forecast(forecasts, scores)["model"].unique().tolist() == ["forest"]
    assert choose_forecast(forecasts, scores, "network")["model"].unique().tolist() == ["network"]
    assert choose_forecast(forecasts, scores.assign(used=False))["model"].unique().tolist() == ["naive"]
    one = DEMAND.assign(model="elsewhere")
    pd.testing.assert_frame_equal(choose_forecast(one, scores), one)
    refuse("^forecaster must be best or one of naive, forest, network; got 'magic'", lambda: choose_forecast(forecasts, scores, "magic"))
