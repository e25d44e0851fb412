"""Every further part of the allocation by a case for paper, some again by trying every plan, and all of them together."""

import itertools
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pulp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, DAY, DRUG, FOUND, VENT, list_resources, make, problems, read_moves, refuse, stay, vary

from medlib.allocate import Model, read_plan, solve, solve_lexicographic, weigh_shortage
from medlib.errors import MedlibError

EXACT = patch("medlib.allocate.plan.GAP", 1e-7)
NURSE = list_resources("nurse")


def spread(problem, table, rest):
    """Shape (I, R, T) from {(site, resource): values}; all others `rest`."""
    values = np.full(problem.capacity.shape, float(rest))
    for (site, resource), row in table.items():
        values[problem.sites.index(site), problem.names.index(resource)] = row
    return values


def limit_sites(**columns):
    """Limits of sites from keep_share={site: share}, release_per_day={site: units}."""
    return pd.DataFrame(columns, dtype=float).reindex(columns=["keep_share", "release_per_day"])


def list_levels(*rows):
    """Surge levels from (site, resource, level, units, lead days, cost, setup cost, teardown days)."""
    return pd.DataFrame(rows,
                        columns=["site", "resource", "level", "units", "lead_days", "cost", "setup_cost", "teardown_days"])


def list_orders(*rows):
    return pd.DataFrame(rows, columns=["site", "resource", "lead_days", "units_per_period", "cost"])


def list_shifts(*rows):
    return pd.DataFrame(rows, columns=["resource", "shift", "share"])


def list_tiers(*rows):
    return pd.DataFrame(rows, columns=["resource", "tier", "share", "weight"])


def list_stay(*rows):
    return pd.DataFrame(rows, columns=["resource", "occupies", "day", "survival"])


def count(plan, part):
    return plan.parts.loc[part, "amount"]


# --- Patients: arrivals, handover, courses ---------------------------------------------------------------------------

CROWDED = dict(resources=BED, demand={("A", "bed"): [10, 10], ("B", "bed"): [0, 0]}, los_days=1e6,
               capacity={("A", "bed"): [4, 4], ("B", "bed"): [50, 50]}, links=[("A", "B")])


def test_only_those_who_arrive_are_sent():
    problem = make(**CROWDED)
    limited = replace(problem, arrivals=spread(problem, {("A", "bed"): [2, 3]}, np.inf))
    plan = solve(limited)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 2, (1, "A", "B", "bed"): 3})
    assert plan.mean_short[0, 0].tolist() == pytest.approx([4, 1])
    nobody = solve(replace(problem, arrivals=spread(problem, {("A", "bed"): [0, 0]}, np.inf)))
    assert nobody.moves.empty and nobody.short.sum() == pytest.approx(12)


def test_arrivals_without_limit_change_nothing():
    problem = make(**CROWDED)
    free = solve(replace(problem, arrivals=np.full(problem.capacity.shape, np.inf)))
    assert free.objective == pytest.approx(solve(problem).objective) and count(free, "transfers") == pytest.approx(6)


def test_arrivals_of_one_bed_leave_the_other_free():
    problem = make(list_resources("icu", "bed"), {("A", "icu"): [9], ("A", "bed"): [9]}, {
        ("A", "icu"): [5], ("A", "bed"): [5], ("B", "icu"): [50], ("B", "bed"): [50]}, [("A", "B")])
    plan = solve(replace(problem, arrivals=spread(problem, {("A", "icu"): [1.5]}, np.inf)))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([2.5, 0])


def test_all_ways_out_share_the_arrivals():
    problem = make(BED, {("A", "bed"): [9]}, {("A", "bed"): [2], ("B", "bed"): [50], ("C", "bed"): [50]},
                   [("A", "B"), ("A", "C")])
    plan = solve(replace(problem, arrivals=spread(problem, {("A", "bed"): [3]}, np.inf)))
    assert count(plan, "transfers") == pytest.approx(3)


def test_a_site_without_limit_passes_nobody_on_who_came_that_day():
    # B is empty; C is linked to B only. Nobody who came to B this morning goes on to C, whether or not A is limited.
    problem = make(BED, {("A", "bed"): [9]}, {("A", "bed"): [2], ("B", "bed"): [0], ("C", "bed"): [50]},
                   [("A", "B"), ("B", "C")])
    assert solve(problem).short.sum() == pytest.approx(7)
    assert solve(replace(problem, arrivals=spread(problem, {("A", "bed"): [5]}, np.inf))).short.sum() == pytest.approx(7)


def test_on_the_day_of_the_transfer_a_bed_is_kept_at_both_ends():
    # Two too many at A: sent on day 0 they free their beds on day 1 only, and take B's from day 0 on.
    case = dict(resources=BED, demand={("A", "bed"): [10, 10], ("B", "bed"): [4, 4]}, los_days=1e6,
                capacity={("A", "bed"): [8, 8], ("B", "bed"): [5, 6]}, links=[("A", "B")])
    plan = solve(make(**case, handover_days=1))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 1})
    assert plan.mean_short[:, 0].tolist() == pytest.approx(np.array([[2, 1], [0, 0]]))
    other = solve(make(**case))
    assert other.mean_short.sum(axis=(0, 1)).tolist() == pytest.approx([1, 0])  # at A, or at B


def test_a_patient_sent_from_intensive_care_lies_in_the_destinations_ward_later():
    problem = make(list_resources("icu", "bed"), {("A", "icu"): [6, 2, 0], ("A", "bed"): [0, 5, 5]}, {
        ("A", "icu"): [4] * 3, ("A", "bed"): [3] * 3, ("B", "icu"): [9] * 3, ("B", "bed"): [1] * 3}, [("A", "B")])
    course = list_stay(("icu", "icu", 0, 1.0), ("icu", "icu", 1, 0.25), ("icu", "bed", 1, 0.75), ("icu", "bed", 2, 0.5))
    plan = solve(replace(problem, stay=course,
                         arrivals=spread(problem, {("A", "icu"): [2, 0, 0], ("A", "bed"): [0, 0, 0]}, np.inf)))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "icu"): 2})
    # A's ward is 1.5 and then 1 patient lighter, B's as much heavier.
    assert plan.mean_short[0].tolist() == pytest.approx(np.array([[0, 0, 0], [0, 5 - 1.5 - 3, 5 - 1 - 3]]))
    assert plan.mean_short[1].tolist() == pytest.approx(np.array([[0, 0, 0], [0, 0.5, 0]]))


def test_a_course_is_read_by_days_in_weekly_periods_too():
    problem = make(BED, {("A", "bed"): [10, 10, 10], ("B", "bed"): [0] * 3}, {("A", "bed"): [8] * 3, ("B", "bed"): [9] * 3},
                   [("A", "B")],
                   freq="W-MON")
    course = list_stay(*(("bed", "bed", day, max(1 - day / 10, 0.0)) for day in range(20)))
    plan = solve(replace(problem, stay=course))
    # After a week 0.3 of them are left, after two weeks nobody.
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 2, (7, "A", "B", "bed"): 1.4,
                                              (14, "A", "B", "bed"): 2 - 0.42})


def test_a_bed_without_a_stated_course_follows_the_rules():
    problem = make(list_resources("icu", "bed"), {("A", "bed"): [10, 10], ("A", "icu"): [6, 6]}, {
        ("A", "bed"): [8, 8], ("A", "icu"): [5, 5], ("B", "bed"): [9, 9], ("B", "icu"): [9, 9]}, [("A", "B")], los_days=3.0)
    plan = solve(replace(problem, stay=list_stay(("icu", "icu", 0, 1.0), ("icu", "icu", 1, 0.125))))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 2, (1, "A", "B", "bed"): 2 - 2 * stay(1, 3),
                                              (0, "A", "B", "icu"): 1, (1, "A", "B", "icu"): 0.875}, abs=1e-4)


def test_a_course_that_names_no_bed_holds_for_every_bed():
    problem = make(BED, {("A", "bed"): [10, 10]}, {("A", "bed"): [8, 8], ("B", "bed"): [9, 9]}, [("A", "B")])
    course = list_stay((None, None, 0, 1.0), (None, None, 1, 0.25))
    assert read_moves(solve(replace(problem, stay=course))) == pytest.approx({(0, "A", "B", "bed"): 2,
                                                                              (1, "A", "B", "bed"): 1.5})


def lie(problem, link, bed, when):
    """What one patient sent does: beds he takes up or frees, where he comes, where he leaves, each (I, R, T)."""
    days = (problem.dates - DAY).days.to_numpy()
    relocated, came, went = (np.zeros(problem.capacity.shape) for _ in range(3))
    origin, destination = (problem.sites.index(problem.links[end].iloc[link]) for end in ("origin", "destination"))
    came[destination, bed, when] = went[origin, bed, when] = 1
    relocated[origin, bed, when] = problem.rules.handover_days
    courses = problem.stay[problem.stay["resource"] == problem.names[bed]]
    for later, other in itertools.product(range(when, len(days)), range(len(problem.names))):
        passed = days[later] - days[when]
        course = courses[(courses["occupies"] == problem.names[other]) & (courses["day"] == passed)]
        share = course["survival"].sum() if len(problem.stay) else (bed == other) * stay(passed, problem.rules.los_days)
        relocated[destination, other, later] += share
        relocated[origin, other, later] -= share
    return relocated, came, went


@EXACT
@settings(max_examples=60, deadline=None, phases=FOUND)
@given(seed=st.integers(0, 2**32 - 1), handover=st.sampled_from([0, 1]), limited=st.booleans(), course=st.booleans(),
       freq=st.sampled_from(["D", "W-MON"]))
def test_no_choice_of_patients_is_better(seed, handover, limited, course, freq):
    random = np.random.default_rng(seed)
    problem = make(list_resources("icu", "bed"),
                   {(site, bed): random.integers(0, 6, (2, 2)) for site in "AB" for bed in ("icu", "bed")},
                   {(site, bed): random.integers(0, 5, 2) for site in "AB" for bed in ("icu", "bed")},
                   [("A", "B", 30.0), ("B", "A", 50.0, 0.0, 7.0)][:random.integers(1, 3)], weights=(0.35, 0.65), integer=True,
                   handover_days=handover, los_days=3.0, freq=freq)
    step = 1 if freq == "D" else 7
    if course:
        problem = replace(problem, stay=list_stay(("icu", "icu", 0, 1.0), ("icu", "bed", step, 0.75), ("bed", "bed", 0, 1.0),
                                                  ("bed", "bed", step, 0.5)))
    if limited:
        problem = replace(problem, arrivals=random.integers(0, 3, problem.capacity.shape).astype(float))
    places = list(itertools.product(range(len(problem.links)), range(2), range(2)))
    most = 1 if len(places) > 4 else 2
    amounts = np.array(list(itertools.product(range(most + 1), repeat=len(places))))
    relocated, came, went = (np.tensordot(amounts, one, 1) for one in map(np.array,
                                                                          zip(*(lie(problem, *place) for place in places))))
    fewest = problem.demand.min(axis=0)
    if limited:
        wrong = (went > problem.arrivals) | (relocated < -fewest - 1e-9)
    else:
        senders = np.isin(problem.sites, problem.links["origin"])[:, None, None]
        wrong = senders & (relocated - came - handover * went < -fewest - 1e-9)
    short = np.maximum(problem.demand + relocated[:, None] - problem.capacity, 0).sum(axis=(2, 3, 4)) @ problem.weights
    travel = amounts @ [1 + 0.02 * problem.links["distance_km"][link] + problem.links["cost"][link] for link, _, _ in places]
    best = (travel + 100 * short)[~wrong.any(axis=(1, 2, 3))].min()
    model = Model(problem)
    model.move.update(high=most)
    assert read_plan(model).objective == pytest.approx(best, rel=1e-6, abs=1e-6)


# --- Limits of moves -------------------------------------------------------------------------------------------------

def test_only_whole_lots_move():
    case = dict(demand={("A", "vent"): [4], ("B", "vent"): [6]}, capacity={("A", "vent"): [9], ("B", "vent"): [0]},
                links=[("A", "B")])
    assert read_moves(solve(make(VENT, **case))) == pytest.approx({(0, "A", "B", "vent"): 5})
    plan = solve(make(VENT.assign(lot_size=4.0), **case))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "vent"): 4})
    assert plan.objective == pytest.approx(200 + 4 * 1.2)


def test_lots_of_one_resource_leave_the_others_alone():
    resources = list_resources("vent", "nurse").assign(lot_size=[2.5, np.nan])
    case = {("B", "vent"): [6], ("B", "nurse"): [6.3]}
    plan = solve(make(resources, case,
                      {("A", name): [9] for name in ("vent", "nurse")} | {("B", name): [0] for name in ("vent", "nurse")},
                      [("A", "B")]))
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "vent"): 7.5, (0, "A", "B", "nurse"): 6.3})


def test_a_link_carries_no_more_than_it_can():
    problem = make(list_resources("bed", "vent"), {("A", "bed"): [9, 9], ("B", "vent"): [9, 9], ("C", "vent"): [9, 9]},
                   {("A", "bed"): [2, 2], ("A", "vent"): [20, 20], ("B", "bed"): [9, 9], ("B", "vent"): [0, 0],
                    ("C", "vent"): [0, 0]},
                   [("A", "B"), ("A", "C")], los_days=1e6)
    plan = solve(replace(problem, links=problem.links.assign(moves_per_day=[2.5, np.nan])))
    # Of each resource two and a half a day over the first link.
    assert plan.mean_short[:, 0].sum(axis=0).tolist() == pytest.approx([4.5, 2])
    assert plan.mean_short[1, 1].tolist() == pytest.approx([6.5, 4]) and plan.mean_short[2, 1].sum() == pytest.approx(0)


def test_a_share_of_the_units_stays_at_home():
    problem = make(list_resources("vent", "bed"), {("B", "vent"): [9, 9], ("A", "bed"): [3, 3]}, {
        ("A", "vent"): [10, 10], ("B", "vent"): [0, 0], ("A", "bed"): [0, 0], ("B", "bed"): [9, 9]}, [("A", "B")], los_days=1e6)
    plan = solve(replace(problem, site_limits=limit_sites(keep_share={"A": 0.35})))
    assert plan.mean_short[1, 0].tolist() == pytest.approx([2.5, 2.5])
    assert plan.mean_short[0, 1].sum() == pytest.approx(0)  # patients are no units


def test_a_stockpile_releases_by_a_limit_of_its_own():
    # S, without need, may send three of each resource a day; A and B keep to the general limit of two.
    resources = list_resources("vent", "nurse")
    names = list(resources["resource"])
    problem = make(resources, {(site, name): [9, 9] for site in "AB" for name in names}, {
        ("S", name): [40, 40] for name in names} | {(site, name): [0, 0] for site in "AB" for name in names},
        [("S", "A"), ("S", "B")], transfers_per_site_day=2.0)
    assert solve(problem).short.sum() == pytest.approx(2 * (16 + 14))  # two a day without a limit of its own
    plan = solve(replace(problem, site_limits=limit_sites(release_per_day={"S": 3.0})))
    assert plan.short.sum() == pytest.approx(2 * (15 + 12))
    plan = solve(replace(problem, site_limits=limit_sites(release_per_day={"S": 30.0})))
    assert plan.short.sum() == pytest.approx(2 * (14 + 10))


def test_moves_in_all_are_limited_over_the_whole_horizon():
    plan = solve(make(**(CROWDED | {"los_days": 0.1}), transfers_in_all=7.5))
    assert count(plan, "transfers") == pytest.approx(7.5)
    assert plan.short.sum() == pytest.approx(12 - 7.5, abs=1e-3)


def test_a_part_limited_for_one_solve_does_not_lift_the_rule():
    problem = make(**CROWDED, transfers_in_all=2.5)
    assert count(solve(problem, at_most={"transfers": 1.5}), "transfers") == pytest.approx(1.5)
    assert count(solve(problem, at_most={"transfers": 4.0}), "transfers") == pytest.approx(2.5)


def test_kilometres_of_a_day_are_limited():
    resources = list_resources("vent", "nurse", weight={"nurse": 9.0})
    problem = make(resources, {("B", "vent"): [9, 9], ("C", "nurse"): [1, 1]},
                   {(site, name): [20 * (site == "A")] * 2 for site in "ABC"
                   for name in ("vent", "nurse")}, [("A", "B", 40.0), ("A", "C", 30.0)], transport_km_per_day=100.0)
    plan = solve(problem)
    # The nurse takes 30 of the first day's 100 kilometres.
    assert plan.short[0, 1, 0].tolist() == pytest.approx([9 - 70 / 40, 9 - 170 / 40])
    assert count(plan, "distance_km") == pytest.approx(200)


@pytest.mark.parametrize(("change_cost", "moved", "changes"), [(1.0, [2, 4, 2], 6), (2.0, [2, 4, 4], 4)])
def test_changes_from_day_to_day_cost_and_the_first_day_counts_from_zero(change_cost, moved, changes):
    # Two, four and two are too many. To send two in vain costs 2.4, to go down from four to two twice the price of a change.
    problem = make(BED, {("A", "bed"): [10] * 3}, {("A", "bed"): [8, 6, 8], ("B", "bed"): [50] * 3}, [("A", "B")],
                   los_days=0.05,
                   change_cost=change_cost)
    plan = solve(problem)
    assert [plan.model.move.value[0, 0, day] for day in range(3)] == pytest.approx(moved, abs=1e-3)
    assert count(plan, "changes") == pytest.approx(changes, abs=1e-3)
    assert plan.objective == pytest.approx(1.2 * sum(moved) + change_cost * changes, abs=1e-3)


def test_protected_sites_are_no_shorter_than_without_moves():
    # B is one short on its second day; whoever came from A on the first would make it shorter.
    case = dict(resources=BED, demand={("A", "bed"): [10, 10], ("B", "bed"): [5, 9]},
                capacity={("A", "bed"): [8, 12], ("B", "bed"): [8, 8]},
                links=[("A", "B")], los_days=3.0)
    assert solve(make(**case)).mean_short[1, 0, 1] == pytest.approx(1 + 2 * stay(1, 3))
    plan = solve(make(**case, protect_sites=True))
    assert plan.mean_short[:, 0].tolist() == pytest.approx(np.array([[2, 0], [0, 1]]))
    assert plan.moves.empty


def test_protected_sites_hold_scenario_by_scenario_and_for_what_patients_require():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    problem = make(resources, {("A", "bed"): [[9], [9]], ("B", "bed"): [[4], [8]]}, {
        ("A", "bed"): [6], ("A", "nurse"): [9], ("B", "bed"): [50], ("B", "nurse"): [4.5]}, [("A", "B", 10.0,
                                                                                              9.0)], weights=(0.9, 0.1),
        protect_sites=True)
    # B's nurses suffice for nine patients: in its full scenario one can come.
    assert count(solve(problem), "transfers") == pytest.approx(1)
    assert problem.idle_shortage[:, 0, 0, 0].tolist() == [3, 3]


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(protect_sites=True), handover=st.sampled_from([0, 1]))
def test_doing_nothing_is_as_short_as_said_and_no_protected_site_is_shorter(problem, handover):
    problem = replace(problem, rules=replace(problem.rules, handover_days=handover))
    alone = solve(replace(problem, links=problem.links.iloc[:0], surge=0 * problem.surge))
    units = (problem.resources["kind"] != "drug").to_numpy()
    weight = np.array([problem.shortage_weight[name] for name in problem.names])[:, None]
    np.testing.assert_allclose((alone.short * weight)[:, :, units].sum(axis=(2, 3)),
                               (problem.idle_shortage * weight)[:, :, units].sum(axis=(2, 3)), atol=1e-6)
    assert (solve(problem).short[:, :, units] <= problem.idle_shortage[:, :, units] + 1e-6).all()


# --- Surge levels ----------------------------------------------------------------------------------------------------

def surge_by_level(demand, *levels, capacity=5, freq="D", **rules):
    periods = len(demand)
    problem = make(BED, {("A", "bed"): demand}, {("A", "bed"): [capacity] * periods}, surge={("A", "bed"): [
        sum(level[1] for level in levels)] * periods}, freq=freq, **rules)
    return replace(problem, levels=list_levels(*(("A", "bed", *level) for level in levels)))


def test_levels_are_ready_after_their_lead_time_and_cost_by_the_unit():
    plan = solve(surge_by_level([9, 9, 9], (1, 2, 0, 3.0, 0, 0), (2, 3, 1, 4.0, 0, 0)))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([2, 0, 0])
    assert plan.surge["surge"].tolist() == pytest.approx([2, 4, 4])
    assert plan.objective == pytest.approx(200 + 2 * 3 + 2 * (2 * 3 + 2 * 4))
    assert count(plan, "surge") == 0 and count(plan, "surge_levels") == pytest.approx(34)


def test_unstated_columns_of_levels_count_as_nothing():
    problem = surge_by_level([9, 9], (1, 2, 0, 0, 0, 0), (2, 1, 0, 0, 0, 0))
    plan = solve(replace(problem, levels=problem.levels[["site", "resource", "level", "units"]]))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([1, 1]) and plan.objective == pytest.approx(200)


def test_a_level_opens_only_after_the_one_before():
    # The second is cheaper by the unit, but the first has to be set up for it.
    plan = solve(surge_by_level([7], (1, 2, 0, 3.0, 10.0, 0), (2, 3, 0, 1.0, 0, 0)))
    assert plan.objective == pytest.approx(10 + 2 * 1)
    # A first level that takes longer keeps the second waiting.
    plan = solve(surge_by_level([7, 7, 7], (1, 2, 2, 3.0, 0, 0), (2, 3, 0, 1.0, 0, 0)))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([2, 2, 0])


def test_the_order_of_the_table_is_not_the_order_of_levels():
    problem = surge_by_level([7, 7], (2, 3, 0, 1.0, 0, 0), (1, 1, 1, 3.0, 0, 0))
    assert solve(problem).mean_short[0, 0].tolist() == pytest.approx([2, 0])


@pytest.mark.parametrize(("demand", "objective"), [([6, 5], 100), ([6, 6], 150), ([6, 4, 6], 150), ([5, 5], 0)])
def test_opening_a_level_costs_once(demand, objective):
    plan = solve(surge_by_level(demand, (1, 3, 0, 0.0, 150.0, 0)))
    assert plan.objective == pytest.approx(objective)


@pytest.mark.parametrize(("lead", "teardown", "freq", "short"), [
    (1, 1, "D", [2, 0, 2, 2, 0, 0]), (1, 0, "D", [2, 0, 2, 0, 0, 0]), (0, 3, "D", [0, 0, 2, 2, 2, 0]), (1, 2, "W-MON",
                                                                                                        [2, 0, 2, 0, 0, 0]),
    (4, 5, "W-MON", [2, 0, 2, 2, 0, 0]), (1, 9, "D", [2, 3, 2, 0, 0, 0])])  # the last opens late rather than be shut for good
def test_a_closed_level_is_torn_down_and_set_up_before_it_opens_again(lead, teardown, freq, short):
    model = Model(surge_by_level([7, 8, 7, 7, 7, 7], (1, 3, lead, 1.0, 0.5, teardown), freq=freq))
    model.lp.columns["open"][("A", "bed", 1), model.posed.dates[2]].upBound = 0  # closed on the third day
    assert read_plan(model).mean_short[0, 0].tolist() == pytest.approx(short)


def try_levels(problem):
    """The least cost over every schedule of open levels at one site of beds."""
    days = (problem.dates - DAY).days.to_numpy()
    levels = problem.levels.sort_values("level")
    short = np.maximum(problem.demand[:, 0, 0] - problem.capacity[0, 0], 0)
    best = np.inf
    for schedule in itertools.product((0, 1), repeat=len(levels) * len(days)):
        opened = np.reshape(schedule, (len(levels), len(days)))
        if (opened * (days < levels["lead_days"].to_numpy()[:, None])).any() or (np.diff(opened, axis=0) > 0).any():
            continue
        cost = 0.0
        for row, level in zip(opened, levels.itertuples()):
            closed = None
            for when in range(len(days)):
                before = row[when - 1] if when else 0
                if before and not row[when]:
                    closed = days[when]
                if row[when] and not before:
                    cost += level.setup_cost
                    if closed is not None and days[when] - closed < level.lead_days + level.teardown_days:
                        cost = np.inf
        for when in range(len(days)):
            units = sorted((level.cost, level.units * row[when]) for row, level in zip(opened, levels.itertuples()))
            options = [0.0, *np.cumsum([most for _, most in units]), *short[:, when]]
            dear = np.cumsum([0.0, *(most for _, most in units)])
            cost += min(sum(price * float(np.clip(used - start, 0, most)) for (price, most), start in zip(units, dear))
                        + 100 * problem.weights @ np.maximum(short[:, when] - used, 0) for used in options if used <= dear[-1])
        best = min(best, cost)
    return best


@EXACT
@settings(max_examples=15, deadline=None, phases=FOUND)
@given(seed=st.integers(0, 2**32 - 1), freq=st.sampled_from(["D", "D", "W-MON"]))
def test_no_schedule_of_levels_is_better(seed, freq):
    random = np.random.default_rng(seed)
    step = 1 if freq == "D" else 7
    levels = [(number, int(random.integers(1, 4)), float(random.integers(0, 2) * step), float(random.integers(1, 120)),
               float(random.choice([5, 90])), float(random.integers(0, 3) * step)) for number in (1, 2)]
    problem = surge_by_level(random.integers(3, 11, (2, 4)).tolist()[0], *levels, freq=freq)
    problem = replace(problem, demand=random.integers(3, 11, (2, 1, 1, 4)).astype(float), weights=np.array([0.25, 0.75]))
    model = Model(problem)
    for when in np.flatnonzero(random.random(4) < 0.3):  # now and then something else forbids a level
        if model.lp.columns["open"].index[1, when] >= 0:
            model.lp.columns["open"][("A", "bed", 2), problem.dates[when]].upBound = 1
    assert read_plan(model).objective == pytest.approx(try_levels(problem), rel=1e-5)


# --- What one unit in use needs besides ------------------------------------------------------------------------------

def test_needs_run_in_chains():
    # A bed needs a ventilator and two doses; a ventilator a quarter of a nurse.
    resources = list_resources("bed", "vent", "nurse", "drug", requires={"bed": "1 vent; 2 drug", "vent": "0.25 nurse"},
                               weight={"bed": 10.0})
    capacity = {("A", "bed"): [10], ("A", "vent"): [6], ("A", "nurse"): [1], ("A", "drug"): [9]}
    plan = solve(make(resources, {("A", "bed"): [8]}, capacity))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([0, 2, 6 / 4 - 1, 16 - 9])
    plan = solve(make(resources, {("A", "bed"): [8]}, capacity | {("A", "bed"): [7]}))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([1, 1, 6 / 4 - 1, 14 - 9])


def test_a_patient_takes_along_all_that_he_needs():
    # Each patient sent takes along his ventilator's share of a nurse and his doses.
    resources = list_resources("bed", "vent", "nurse", "drug", requires={"bed": "1 vent; 2 drug", "vent": "0.25 nurse"},
                               weight={"bed": 10.0})
    problem = make(resources, {("A", "bed"): [8]},
                   {("A", "bed"): [5], ("A", "vent"): [8], ("A", "nurse"): [2], ("A", "drug"): [16],
                   ("B", "bed"): [5], ("B", "vent"): [2], ("B", "nurse"): [0.25], ("B", "drug"): [1]}, [("A", "B", 10.0, 9.0)])
    plan = solve(problem)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 3})
    assert plan.mean_short[1, :, 0].tolist() == pytest.approx([0, 1, 0.25, 5]) and plan.mean_short[0].sum() == pytest.approx(0)


def test_a_bed_may_need_another_bed():
    resources = list_resources("icu", "bed", requires={"icu": "0.5 bed"})
    plan = solve(make(resources, {("A", "icu"): [4], ("A", "bed"): [3]}, {("A", "icu"): [4], ("A", "bed"): [4]}))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("order", list(itertools.permutations(["bed", "vent", "nurse"])))
def test_unstated_weights_cover_chains_in_any_order_of_the_table(order):
    resources = list_resources(*order, requires={"bed": "1 vent", "vent": "2 nurse"})
    assert weigh_shortage(resources) == {"bed": 2.0, "vent": 2.0, "nurse": 1.0}
    plan = solve(make(resources, {("A", "bed"): [3]}, {("A", "bed"): [3], ("A", "vent"): [3], ("A", "nurse"): [5]}))
    assert plan.objective == pytest.approx(100)


@pytest.mark.parametrize(("requires", "words"), [
    ({"bed": "1 bed"}, "'?bed'? needs '?bed'?"), ({"bed": "1 vent", "vent": "1 nurse", "nurse": "0.1 bed"}, "needs"),
    ({"bed": "1 lamp"}, "'bed' requires lamp, which")])
def test_needs_that_run_in_a_circle_or_nowhere_are_refused(requires, words):
    refuse(words, lambda: solve(make(list_resources("bed", "vent", "nurse", requires=requires), {}, {("A", "bed"): [1]})))


# --- Shifts and overtime ---------------------------------------------------------------------------------------------

def work(demand, capacity, *shifts, resources=NURSE, **rules):
    names = resources["resource"]
    problem = make(resources, {("A", name): demand for name in names}, {("A", name): capacity for name in names}, **rules)
    return replace(problem, shifts=list_shifts(*shifts)) if shifts else problem


def test_everyone_works_one_shift_a_day():
    plan = solve(work([10], [8], ("nurse", "day", 0.6), ("nurse", "night", 0.5)))
    # Six by day and five by night for ten; eight are there: one and a half are missing in each.
    assert plan.mean_short[0, 0].tolist() == pytest.approx([1.5])
    assert solve(work([10], [11], ("nurse", "day", 0.6), ("nurse", "night", 0.5))).short.sum() == pytest.approx(0)


def test_nobody_works_the_first_shift_after_the_last():
    model = Model(work([0, 6], [6, 6], ("nurse", "day", 1.0), ("nurse", "late", 0.0), ("nurse", "night", 0.0)))
    roster = model.lp.columns["roster"]
    assert read_plan(model).short.sum() == pytest.approx(0)
    model.lp += roster["A", ("nurse", "late"), model.posed.dates[0]] >= 1.5, "late"
    assert read_plan(model).short.sum() == pytest.approx(0)
    model.lp += roster["A", ("nurse", "night"), model.posed.dates[0]] >= 4, "night"
    assert read_plan(model).mean_short[0, 0].tolist() == pytest.approx([0, 4])


def test_those_who_leave_after_their_night_tire_nobody():
    # Five work the night before the weekend, four others stay for it.
    plan = solve(work([10, 4], [10, 4], ("nurse", "day", 0.5), ("nurse", "night", 0.5)))
    assert plan.short.sum() == pytest.approx(0)


def test_one_shift_a_day_can_be_worked_every_day():
    assert solve(work([6, 6, 6], [6, 6, 6], ("nurse", "day", 1.0))).short.sum() == pytest.approx(0)


def test_staff_without_shifts_are_as_before():
    resources = list_resources("nurse", "vent")
    problem = work([10], [8], ("nurse", "day", 0.6), ("nurse", "night", 0.5), resources=resources)
    assert solve(problem).mean_short[0, :, 0].tolist() == pytest.approx([1.5, 2])


def test_patients_and_sent_staff_count_in_shifts():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    problem = make(resources, {("A", "bed"): [8], ("B", "bed"): [0]},
                   {("A", "bed"): [8], ("A", "nurse"): [3], ("B", "bed"): [0],
                   ("B", "nurse"): [9]}, [("B", "A", 10.0)])
    plan = solve(replace(problem, shifts=list_shifts(("nurse", "day", 1.0), ("nurse", "night", 0.75))))
    # Four by day and three by night: four nurses come.
    assert read_moves(plan) == pytest.approx({(0, "B", "A", "nurse"): 4}) and plan.short.sum() == pytest.approx(0)


def test_overtime_adds_a_share_of_those_present():
    plan = solve(work([10, 8.5], [8, 8], resources=NURSE.assign(overtime_share=0.1)))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([1.2, 0])
    assert count(plan, "overtime") == pytest.approx(0.8 + 0.5)
    assert plan.objective == pytest.approx(120 + 2 * 1.3)


def test_overtime_goes_with_the_nurses_who_are_sent():
    problem = make(NURSE.assign(overtime_share=0.25), {("B", "nurse"): [10]}, {("A", "nurse"): [8], ("B", "nurse"): [0]},
                   [("A", "B")])
    assert solve(problem).short.sum() == pytest.approx(0) and count(solve(problem), "overtime") == pytest.approx(2)


def test_overtime_is_shared_by_the_shifts_of_a_day():
    plan = solve(work([10], [8], ("nurse", "day", 0.5), ("nurse", "night", 0.5), resources=NURSE.assign(overtime_share=0.1)))
    assert plan.short.sum() == pytest.approx((10 - 8 - 0.8) / 2)


def test_overtime_of_one_profession_does_not_depend_on_anothers_shifts():
    resources = list_resources("nurse", "vent").assign(kind="staff", overtime_share=[0.1, 0.2])
    problem = work([10], [8], ("nurse", "day", 0.5), ("nurse", "night", 0.5), ("vent", "day", 0.5), ("vent", "late", 0.25),
                   ("vent", "night", 0.25), resources=resources)
    plan = solve(problem)
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([(10 - 8 - 0.8) / 2, (10 - 8 - 1.6) / 3])


def test_protected_sites_may_work_in_shifts():
    # Three posts round the clock need six; four are there: one post is short whatever is done.
    problem = make(NURSE, {("A", "nurse"): [3], ("B", "nurse"): [0]}, {("A", "nurse"): [4], ("B", "nurse"): [1]}, [("A", "B")],
                   protect_sites=True)
    plan = solve(replace(problem, shifts=list_shifts(("nurse", "day", 1.0), ("nurse", "night", 1.0))))
    assert plan.short.sum() == pytest.approx(1)


# --- Drugs -----------------------------------------------------------------------------------------------------------

def test_wastage_makes_used_units_serve_less():
    plan = solve(make(DRUG.assign(wastage=0.2), {("A", "drug"): [8, 8]}, {("A", "drug"): [10, 9]}))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([0, 8 - 0.8 * 9])
    assert plan.stock["used"].tolist() == pytest.approx([10, 9])


def test_orders_come_after_their_delivery_time_up_to_their_limit():
    problem = make(DRUG, {("A", "drug"): [3, 3, 3]}, {("A", "drug"): [0, 0, 0]})
    plan = solve(replace(problem, orders=list_orders(("A", "drug", 1.0, 2.0, 4.0))))
    assert plan.mean_short[0, 0].tolist() == pytest.approx([3, 1, 1])
    assert count(plan, "orders") == pytest.approx(16) and plan.objective == pytest.approx(516)
    assert plan.model.order.value.tolist() == [[2, 2, 0]]


@pytest.mark.parametrize(("lead", "freq", "short"),
                         [(0.0, "D", 0), (1.5, "D", 6), (2.0, "D", 6), (3.0, "D", 9), (1.0, "W-MON", 3),
                                                     (8.0, "W-MON", 6), (14.0, "W-MON", 6), (0.0, "W-MON", 0)])
def test_delivery_times_are_days(lead, freq, short):
    problem = make(DRUG, {("A", "drug"): [3, 3, 3]}, {("A", "drug"): [0, 0, 0]}, freq=freq)
    assert solve(replace(problem, orders=list_orders(("A", "drug", lead, 9.0, np.nan)))).short.sum() == pytest.approx(short)


def test_an_order_keeps_its_shelf_life_from_the_delivery_on():
    # Five can be ordered on day 0 only; they come on day 1 and keep two days: day 3 has nothing.
    problem = make(list_resources("drug", life={"drug": 2}), {("A", "drug"): [1, 1, 1, 1]}, {("A", "drug"): [0] * 4})
    model = Model(replace(problem, orders=list_orders(("A", "drug", 1.0, 5.0, 1.0))))
    model.order.update(high=[[5.0, 0, 0, 0]])
    plan = read_plan(model)
    assert plan.mean_short[0, 0].tolist() == pytest.approx([1, 0, 0, 1]) and count(plan, "orders") == pytest.approx(2)


def test_what_one_site_orders_serves_another():
    problem = make(DRUG, {("B", "drug"): [0, 0, 4]}, {("A", "drug"): [0] * 3, ("B", "drug"): [0] * 3}, [("A", "B", 10.0, 1.0)])
    plan = solve(replace(problem, orders=list_orders(("A", "drug", 1.0, 9.0, 2.0))))
    assert read_moves(plan) == pytest.approx({(1, "A", "B", "drug"): 4}) and plan.objective == pytest.approx(4 * (2 + 1.2))


def test_two_drugs_keep_their_own_stock_and_orders():
    resources = list_resources("drug", "vent", life={"drug": 1, "vent": 2}).assign(kind="drug")
    problem = make(resources, {("A", "drug"): [2, 2, 2], ("A", "vent"): [3, 3, 3]},
                   {("A", "drug"): [5, 0, 0], ("A", "vent"): [7, 0, 0]})
    plan = solve(replace(problem, orders=list_orders(("A", "vent", 2.0, 2.0, 1.0), ("A", "drug", 1.0, 1.0, 1.0))))
    assert plan.mean_short[0].tolist() == pytest.approx(np.array([[0, 1, 1], [0, 0, 1]]))


def test_the_account_of_a_drug_by_hand():
    # Ten keep two days, a fifth is lost on opening: day 0 uses 5 for 4, day 1 the other 5 of which 2.5 for 2.
    problem = make(list_resources("drug", life={"drug": 2}).assign(wastage=0.2), {("A", "drug"): [4, 2, 0]},
                   {("A", "drug"): [10, 0, 1]})
    stock = solve(problem).stock.set_index("date")
    assert stock["used"].tolist() == pytest.approx([5, 2.5, 0])
    assert (stock["kept"] + stock["wasted"].cumsum()).tolist() == pytest.approx([5, 2.5, 3.5])


def enrich_drugs(problem, random, wastage=True):
    resources = problem.resources.assign(wastage=np.where(problem.resources["kind"] == "drug", 0.2 * wastage, np.nan))
    orders = [(site, "drug", float(random.integers(0, 3)), float(random.integers(1, 5)), float(random.integers(0, 150)))
              for site in problem.sites if random.random() < 0.7]
    return replace(problem, resources=resources, orders=list_orders(*orders).astype({"lead_days": float}))


@pytest.mark.parametrize("wastage", [False, True])
@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(kinds=("drug",)), seed=st.integers(0, 999))
def test_drugs_add_up(wastage, problem, seed):
    # Opening, delivered, received and ordered are used, kept, sent or wasted, site by site and day by day.
    problem = enrich_drugs(problem, np.random.default_rng(seed), wastage)
    stock = problem.stock
    arrives, expires = stock["arrives"].fillna(DAY), stock["expires"].fillna(DAY + pd.Timedelta(days=99))
    problem = replace(problem, stock=stock[(arrives < expires) & (arrives <= problem.dates[-1])].reset_index(drop=True))
    plan = solve(problem)
    model, shape = plan.model, plan.short.shape
    used, kept, wasted = (plan.stock[name].to_numpy().reshape(shape) for name in ("used", "kept", "wasted"))
    came = np.broadcast_to(problem.capacity, shape).copy()
    for row in problem.stock.itertuples():
        came[:, problem.sites.index(row.site), 0, 0 if pd.isna(row.arrives) else (row.arrives - DAY).days] += row.units
    for link, _, when, amount in (order[:4] for order in plan.shipments):
        came[:, model.origin[link], 0, when] -= amount
        came[:, model.destination[link], 0, model.arrival[link, when]] += amount
    for number, row in enumerate(problem.orders.itertuples()):
        for when in range(shape[-1]):
            if when + row.lead_days < shape[-1]:
                came[:, problem.sites.index(row.site), 0, when + int(row.lead_days)] += model.order.value[number, when]
    opening = np.concatenate([np.zeros_like(kept[..., :1]), kept[..., :-1]], axis=-1)
    np.testing.assert_allclose(opening + came, used + kept + wasted, atol=2e-3)
    assert min(used.min(), kept.min(), wasted.min()) >= -1e-6
    share = 0.8 if wastage else 1.0
    np.testing.assert_allclose(share * used + plan.short, problem.demand, atol=1e-3)


# --- Tiers -----------------------------------------------------------------------------------------------------------

TIERS = [(1, 0.3, 5.0), (2, 0.5, 2.0), (3, 0.2, 1.0)]


@pytest.mark.parametrize(("capacity", "by_tier"),
                         [(10, [0, 0, 0]), (9, [0, 0, 1]), (6, [0, 2, 2]), (2, [1, 5, 2]), (0, [3, 5, 2])])
@pytest.mark.parametrize("name", ["bed", "nurse", "drug"])
def test_the_first_tier_is_served_first(name, capacity, by_tier):
    problem = make(list_resources(name, weight={name: 1.5}), {("A", name): [10]}, {("A", name): [capacity]})
    plan = solve(replace(problem, tiers=list_tiers(*((name, *tier) for tier in reversed(TIERS)))))
    assert plan.model.tier_short.value[0, 0, :, 0].tolist() == pytest.approx(by_tier)
    assert plan.short.sum() == pytest.approx(10 - capacity)
    assert plan.objective == pytest.approx(150 * (5 * by_tier[0] + 2 * by_tier[1] + by_tier[2]))


def test_tiers_of_all_sites_go_before_the_others_of_any():
    # Eight doses lie at A; ten are needed at A and at B, of which three each come first.
    problem = make(DRUG, {("A", "drug"): [10], ("B", "drug"): [10]}, {("A", "drug"): [8], ("B", "drug"): [0]}, [("A", "B")])
    plan = solve(replace(problem, tiers=list_tiers(*(("drug", *tier) for tier in TIERS))))
    assert plan.objective == pytest.approx(100 * (4 * 1 + 8 * 2) + 3 * 1.2)
    assert plan.mean_short[:, 0, 0].tolist() == pytest.approx([5, 7])


def test_tiers_of_one_resource_leave_the_other_alone_and_scenarios_weigh():
    resources = list_resources("bed", "nurse")
    problem = make(resources, {("A", "bed"): [[8], [4]], ("A", "nurse"): [[3], [3]]}, {("A", "bed"): [3], ("A", "nurse"): [1]},
                   weights=(0.25, 0.75))
    plan = solve(replace(problem, tiers=list_tiers(("bed", 1, 0.5, 3.0), ("bed", 2, 0.5, 1.0))))
    # Of eight five are short, four of them of the second tier; of four one of the second.
    assert plan.objective == pytest.approx(100 * (0.25 * (4 + 3) + 0.75 * 1 + 2))


# --- Several ends, parts, rows by hand -------------------------------------------------------------------------------

CHOICE = make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [3], ("C", "bed"): [50]},
              [("A", "B", 10.0), ("A", "C", 10.0, 0.0, 200.0)], surge={("A", "bed"): [1]}, surge_cost=30.0)


def test_parts_are_minimised_in_order():
    # Three to B at 1.2 and the surge bed at 30 pay; the fifth would go to C at 201.2.
    plan = solve(CHOICE)
    assert plan.objective == pytest.approx(3.6 + 30 + 100) and plan.short.sum() == pytest.approx(1)
    plan = solve(CHOICE, ("shortage", "cost"))
    assert plan.short.sum() == pytest.approx(0) and plan.objective == pytest.approx(3.6 + 30 + 201.2, rel=1e-4)
    plan = solve(CHOICE, ("shortage", "surge"))
    assert plan.short.sum() == pytest.approx(0) and count(plan, "surge") == pytest.approx(0, abs=1e-4) == plan.objective
    plan = solve(CHOICE, ("shortage", "transfers"))
    assert plan.objective == pytest.approx(4, abs=1e-4) and count(plan, "surge") == pytest.approx(1, abs=1e-4)
    assert solve(CHOICE, "shortage").objective == pytest.approx(0)
    assert solve(CHOICE, "transfers").objective == pytest.approx(0)


def test_three_parts_in_order():
    plan = solve(CHOICE, ("shortage", "links", "surge"))
    # Without shortage two of A's have to go to C, or one with the surge bed; the links' cost comes before the surge.
    assert (plan.short.sum(), count(plan, "links"), count(plan, "surge")) == pytest.approx((0, 200, 1), abs=1e-3)


def test_among_the_cheapest_plans_another_part_is_least():
    problem = replace(CHOICE, rules=replace(CHOICE.rules, surge_cost=100.0))  # to open the bed costs what the shortage does
    plan = solve(problem, ("cost", "shortage"))
    assert plan.parts["cost"].sum() == pytest.approx(3.6 + 200, rel=1e-5)
    assert plan.short.sum() == pytest.approx(1, abs=1e-3)  # the surge bed is open, C is too dear


def test_a_part_can_be_limited():
    plan = solve(CHOICE, ("transfers",), at_most={"shortage": 1.5})
    assert plan.objective == pytest.approx(2.5) and count(plan, "shortage") == pytest.approx(1.5)
    plan = solve(CHOICE, ("shortage", "transfers"), at_most={"shortage": 2.0, "surge": 0.5, "links": 100.0})
    assert plan.short.sum() == pytest.approx(1) and plan.objective == pytest.approx(3.5, abs=1e-3)
    assert count(plan, "links") == pytest.approx(100, abs=1e-2)  # half a patient to C


def test_limits_that_cannot_hold_are_told():
    refuse("^The allocation has no optimal plan: HiGHS says 'Infeasible'.*limit_shortage",
           lambda: solve(CHOICE, at_most={"shortage": 0.0, "links": 100.0}))


def test_unknown_parts_are_refused():
    refuse("^The objective has no part beds; its parts are shortage", lambda: solve(CHOICE, "beds"))
    refuse("^The objective has no part beds|no part 'beds'", lambda: solve(CHOICE, at_most={"beds": 3.0}))


def test_a_row_by_hand_after_parts_in_order():
    plan = solve(CHOICE, ("shortage", "transfers"))
    plan.problem += plan.model.move[("A", "C"), "bed", DAY] <= 0.25, "one_ambulance"
    again = plan.solve_again()
    assert again.short.sum() == pytest.approx(0.75, abs=1e-3)
    assert plan.short.sum() == pytest.approx(0)


def test_a_row_by_hand_after_a_plan_and_the_same_plan_without_it():
    plan = solve(CHOICE)
    same = plan.solve_again()
    assert same.objective == pytest.approx(plan.objective)
    plan.problem += plan.model.move[("A", "B"), "bed", DAY] <= 1.5, "one_ambulance"
    again = plan.solve_again()
    assert again.objective == pytest.approx(1.8 + 30 + 250)
    assert again.duals["one_ambulance"] == pytest.approx(1.2 - 100)
    assert plan.objective == pytest.approx(133.6) and read_moves(plan)[0, "A", "B", "bed"] == pytest.approx(3)


def test_a_variable_of_a_plan_can_be_fixed():
    plan = solve(CHOICE)
    plan.model.surge["A", "bed", DAY].upBound = 0.25
    assert plan.solve_again().objective == pytest.approx(3.6 + 7.5 + 175)


# --- Everything together ---------------------------------------------------------------------------------------------

FAMILIES = {"move", "short", "net", "relocated", "surge", "present", "there", "arriving", "usable", "in_the_morning"}


def test_parts_left_out_add_nothing():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    lp = Model(make(resources, {("A", "bed"): [3, 3]}, {("A", "bed"): [3, 3], ("B", "bed"): [3, 3]}, [("A", "B")],
                    transfers_per_day=np.inf, transfers_per_site_day=np.inf)).lp
    assert set(lp.columns) <= FAMILIES and set(lp.rows) <= FAMILIES
    assert lp.rows["arriving"].size == 0
    alone = Model(make(DRUG, {("A", "drug"): [3]}, {("A", "drug"): [3]}, transfers_per_day=np.inf,
                       transfers_per_site_day=np.inf)).lp
    assert {name for name, family in alone.columns.items() if family.size} == {"short", "stock", "used"}


def enrich(problem, seed):
    """Every further part that fits a random problem."""
    random = np.random.default_rng(seed)
    names, units = problem.names, problem.resources["kind"].isin(["staff", "equipment"])
    more = {}
    resources = problem.resources.assign(
        overtime_share=np.where(problem.resources["kind"] == "staff", 0.25, np.nan),
        lot_size=np.where(units & (random.random(len(names)) < 0.3), 2.0, np.nan))
    links = problem.links.assign(moves_per_day=np.where(random.random(len(problem.links)) < 0.5, 2.0, np.nan))
    if random.random() < 0.5:
        arrivals = np.where(random.random((1, len(names), 1)) < 0.5, np.inf, random.integers(0, 4, problem.capacity.shape))
        more["arrivals"] = arrivals.astype(float)
    if {"bed", "icu"} <= set(names):
        more["stay"] = list_stay(("icu", "icu", 0, 1.0), ("icu", "icu", 1, 0.5), ("icu", "bed", 1, 0.5), ("icu", "bed", 2, 0.5))
    if random.random() < 0.5:
        more["site_limits"] = limit_sites(keep_share={"A": 0.5}, release_per_day={"A": 3.0, "B": np.nan})
    if "nurse" in names and random.random() < 0.7:
        more["shifts"] = list_shifts(("nurse", "day", 0.5), ("nurse", "night", 0.375))
    tiered = names[random.integers(len(names))]
    more["tiers"] = list_tiers((tiered, 1, 0.25, 3.0), (tiered, 2, 0.75, 1.0))
    if "bed" in names:
        more["levels"] = list_levels(("A", "bed", 1, 1.0, 0, 4.0, 20.0 * (seed % 2), 1.0 * (seed % 2)),
                                     ("A", "bed", 2, 2.0, 1, 2.0, 0, 0))
        surge = problem.surge.copy()
        surge[0, names.index("bed")] = 3.0
        more["surge"] = surge
    rules = replace(problem.rules, handover_days=int(random.integers(2)), transfers_in_all=9.0, transport_km_per_day=400.0,
                    change_cost=float(random.choice([0.0, 1.5])))
    problem = replace(problem, resources=resources, links=links, rules=rules, **more)
    return enrich_drugs(problem, random) if "drug" in names else problem


@EXACT
@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_the_whole_model_and_plain_pulp_have_the_same_optimum(problem, seed):
    plan = solve(enrich(problem, seed))
    plain = plan.model.lp.materialise()
    plain.solve(pulp.HiGHS(msg=False, gapRel=1e-7))
    assert plan.objective == pytest.approx(pulp.value(plain.objective), rel=1e-5, abs=1e-4)


@EXACT
@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1), rich=st.booleans())
def test_an_updated_model_has_a_new_ones_optimum(problem, seed, rich):
    problem = enrich(problem, seed) if rich else problem
    model, random = Model(problem), np.random.default_rng(seed)
    first = read_plan(model).objective
    for _ in range(2):
        capacity = random.integers(0, 13, problem.capacity.shape).astype(float)
        change = vary(capacity, problem.resources, len(problem.weights), random) if random.random() < 0.5 else None
        other = replace(problem, demand=random.integers(0, 13, problem.demand.shape).astype(float), capacity=capacity,
                        capacity_change=change)
        if problem.arrivals is not None:
            other = replace(other, arrivals=np.where(np.isfinite(problem.arrivals), problem.arrivals + 1, np.inf))
        model.update(other)
        again, fresh = read_plan(model), solve(other)
        assert again.objective == pytest.approx(fresh.objective, rel=1e-5, abs=1e-4)
        assert again.posed is other
    model.update(problem)
    assert read_plan(model).objective == pytest.approx(first, rel=1e-5, abs=1e-4)


def test_a_model_updated_after_parts_in_order_forgets_the_old_least():
    model = Model(CHOICE)
    assert read_plan(model, ("shortage", "cost")).short.sum() == pytest.approx(0)
    more = CHOICE.demand.copy()
    more[0, 0, 0] = 80.0
    model.update(replace(CHOICE, demand=more))
    assert read_plan(model, ("shortage", "cost")).short.sum() == pytest.approx(
        solve_lexicographic(replace(CHOICE, demand=more)).short.sum(), abs=1e-3)


def test_a_model_is_updated_by_the_same_shape_and_links_only():
    model = Model(CHOICE)
    refuse("^A model takes other figures only; links differ", lambda: model.update(
        replace(CHOICE, links=CHOICE.links.iloc[:1])))
    refuse("^A model takes other figures only; scenarios differ", lambda: model.update(replace(CHOICE, demand=np.ones((2, *CHOICE.demand.shape[1:])),
                                                                   weights=np.array([0.5, 0.5]))))


@pytest.mark.parametrize("name", ["weights", "stock", "rules", "resources", "tiers", "dates"])
def test_an_update_by_other_figures_holds_or_is_refused(name):
    resources = list_resources("bed", "drug")
    problem = make(resources, {("A", "bed"): [[8, 6], [3, 6]], ("A", "drug"): [[2, 2], [2, 3]]},
                   {("A", "bed"): [3, 3], ("A", "drug"): [0, 0],
                   ("B", "bed"): [9, 9], ("B", "drug"): [0, 0]}, [("A", "B")], weights=(0.25, 0.75), transfers_per_day=1.0,
                   stock=[("A", None, 3, None)])
    stock = problem.stock.assign(expires=problem.dates[1])
    other = replace(problem, **{name: {
        "weights": np.array([0.75, 0.25]), "stock": stock, "rules": replace(problem.rules, transfers_per_day=2.0),
        "resources": resources.assign(shortage_weight=[3.0, 1.0]),
        "tiers": list_tiers(("bed", 1, 0.5, 3.0), ("bed", 2, 0.5, 1.0)),
        "dates": pd.date_range(DAY, periods=2, freq="W-MON")}[name]})
    model = Model(problem)
    read_plan(model)
    try:
        model.update(other)
    except MedlibError:
        return
    assert read_plan(model).objective == pytest.approx(solve(other).objective)


@EXACT
@settings(max_examples=20, deadline=None, phases=FOUND)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_a_further_limit_never_helps_and_a_further_choice_never_harms(problem, seed):
    problem = replace(problem, rules=replace(problem.rules, transfers_per_day=50.0))
    cost = solve(problem).objective
    random, slack = np.random.default_rng(seed), 1e-4 + 1e-5 * cost
    limits = [dict(rules=replace(problem.rules, handover_days=1)), dict(rules=replace(problem.rules, transfers_in_all=2.0)),
              dict(rules=replace(problem.rules, transport_km_per_day=60.0)),
              dict(rules=replace(problem.rules, change_cost=2.0)),
              dict(rules=replace(problem.rules, protect_sites=True)), dict(site_limits=limit_sites(keep_share={"B": 0.5})),
              dict(links=problem.links.assign(moves_per_day=1.0)), dict(resources=problem.resources.assign(lot_size=3.0)),
              dict(resources=problem.resources.assign(wastage=np.where(problem.resources["kind"] == "drug", 0.5, np.nan)))]
    assert solve(replace(problem, **limits[random.integers(len(limits))])).objective >= cost - slack
    choices = [dict(resources=problem.resources.assign(overtime_share=0.5))]
    if "drug" in problem.names:
        choices.append(dict(orders=list_orders(("A", "drug", 1.0, 3.0, 2.0))))
    assert solve(replace(problem, **choices[random.integers(len(choices))])).objective <= cost + slack


@settings(max_examples=15, deadline=None, phases=FOUND)
@given(problem=problems(scenarios=(1,)), seed=st.integers(0, 999))
def test_two_equal_scenarios_are_one(problem, seed):
    problem = replace(enrich(problem, 2 * seed), resources=problem.resources)
    twice = replace(problem, demand=np.concatenate([problem.demand] * 2), weights=np.array([0.4, 0.6]))
    assert solve(twice).objective == pytest.approx(solve(problem).objective, rel=1e-2)


def test_sites_without_links_and_links_without_use_keep_every_part_working():
    resources = list_resources("bed", "nurse", "drug", requires={"bed": "0.5 nurse"}).assign(wastage=[np.nan, np.nan, 0.2])
    problem = make(resources, {(site, "bed"): [4, 4] for site in "ABC"}, {(site, name): [5, 5] for site in "ABC" for name in (
        "bed", "nurse", "drug")}, [("A", "B")], handover_days=1, change_cost=1.0, transport_km_per_day=50.0)
    problem = replace(problem, arrivals=spread(problem, {("A", "bed"): [1, 1]}, np.inf),
                      site_limits=limit_sites(release_per_day={"C": 1.0}))
    plan = solve(problem)
    assert plan.objective == pytest.approx(0) and plan.moves.empty
