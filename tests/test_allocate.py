"""The allocation by hand: each rule in a case small enough for paper, then its invariants on random problems."""

import itertools
import math
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pulp
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from medlib.allocate import (Model, Problem, Rules, list_requirements, pose_problem, read_plan, solve, solve_lexicographic,
                             weigh_shortage)
from medlib.allocate.pose import limit_links, weigh_levels
from medlib.errors import MedlibError
from medlib.schema import check_frame

DAY = pd.Timestamp("2024-05-06")  # a Monday
#: Nothing in the way: hand cases tighten one rule at a time.
FREE = dict(planning_occupancy=1.0, max_distance_km=1e6, transfers_per_day=1e6, transfers_per_site_day=1e6)
#: Shrinking a random problem takes minutes and makes it no easier to read.
FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
KINDS = {"bed": "bed", "icu": "bed", "nurse": "staff", "vent": "equipment", "drug": "drug"}


def list_resources(*names, requires=None, life=None, weight=None):
    return pd.DataFrame({"resource": names, "kind": [KINDS[name] for name in names], "unit": "unit",
                         "requires": [(requires or {}).get(name) for name in names],
                         "shelf_life_days": [(life or {}).get(name, np.nan) for name in names],
                         "shortage_weight": [(weight or {}).get(name, np.nan) for name in names]})


def list_links(*rows):
    """Links from (origin, destination, kilometres, lead days, cost); the last three may be left out."""
    return pd.DataFrame([(*row, *(10.0, 0.0, 0.0)[len(row) - 2:]) for row in rows],
                        columns=["origin", "destination", "distance_km", "lead_days", "cost"])


def list_stock(*rows):
    """Stock from (site, days until it expires or None, units, days until it arrives or None)."""
    def date(days):
        return pd.NaT if days is None else DAY + pd.Timedelta(days=days)
    return pd.DataFrame([(site, "drug", date(life), date(wait), float(units)) for site, life, units, wait in rows],
                        columns=["site", "resource", "expires", "arrives", "units"])


def make(resources, demand, capacity, links=(), surge=None, lead=None, weights=(1.0,), stock=None, freq="D", **rules):
    """A problem from {(site, resource): values}, a value a period; with several weights a list of values a scenario."""
    sites, names = tuple(sorted({site for site, _ in capacity})), resources["resource"].tolist()
    periods, shape = len(next(iter(capacity.values()))), (len(sites), len(names))
    arrays = {"demand": np.zeros((len(weights), *shape, periods)), "capacity": np.zeros((*shape, periods)),
              "surge": np.zeros((*shape, periods)), "surge_lead_days": np.zeros(shape)}
    for name, table in (("demand", demand), ("capacity", capacity), ("surge", surge), ("surge_lead_days", lead)):
        for (site, resource), values in (table or {}).items():
            place = sites.index(site), names.index(resource)
            arrays[name][(slice(None), *place) if name == "demand" else place] = values
    rules = Rules(**(FREE | rules))
    return Problem(sites=sites, resources=resources, dates=pd.date_range(DAY, periods=periods, freq=freq),
                   weights=np.array(weights), links=limit_links(list_links(*links), rules), rules=rules, **arrays,
                   **({} if stock is None else {"stock": list_stock(*stock)}))


def read_moves(plan):
    """(day, origin, destination, resource) -> amount."""
    return {((row.date - DAY).days, row.origin, row.destination, row.resource): row.amount for row in plan.moves.itertuples()}


def stay(days, mean=12.0):
    """Share of moved patients still there: Weibull of shape 1.58, its scale from the mean."""
    return math.exp(-(days / (mean / math.gamma(1 + 1 / 1.58))) ** 1.58)


BED, VENT, DRUG = list_resources("bed"), list_resources("vent"), list_resources("drug")


# --- Patients --------------------------------------------------------------------------------------------------------

def test_the_published_stay():
    assert Rules(los_days=12.0).survive(np.array([0, 5, -1])).tolist() == pytest.approx([1.0, math.exp(-(5 / 13.32) ** 1.58), 0.0],
                                                                                        abs=2e-3)
    days = np.arange(0, 400, 0.01)
    for mean in (2.0, 12.0):  # the mean stay is the area under the survival curve
        assert Rules(los_days=mean).survive(days).sum() * 0.01 == pytest.approx(mean, abs=0.01)
        assert Rules(los_days=mean).survive(np.array([3.0])) == pytest.approx([stay(3, mean)])


def test_moved_patients_stay_and_leave_by_their_length_of_stay():
    # Ten patients in A's eight beds, every day; B has room. Day by day only those who left have to be followed by others.
    problem = make(BED, {("A", "bed"): [10, 10, 10], ("B", "bed"): [2, 2, 2]}, {("A", "bed"): [8] * 3, ("B", "bed"): [20] * 3},
                   [("A", "B", 40.0, 0.0, 0.5)], los_days=3.0, move_cost=2.0, cost_per_km=0.1)
    plan = solve(problem)
    first = 2.0
    second = 2 - first * stay(1, 3)
    third = 2 - first * stay(2, 3) - second * stay(1, 3)
    assert 0.1 < second < third < 1.5
    want = {(0, "A", "B", "bed"): first, (1, "A", "B", "bed"): second, (2, "A", "B", "bed"): third}
    assert read_moves(plan) == pytest.approx(want, abs=1e-4)
    assert plan.short.sum() == 0
    assert plan.objective == pytest.approx((first + second + third) * (2.0 + 0.5 + 0.1 * 40))


def test_room_at_the_destination_is_taken_by_those_who_stay():
    # B has one free bed: it is full with the first day's patient until he leaves.
    problem = make(BED, {("A", "bed"): [10, 10, 10], ("B", "bed"): [9, 9, 9]}, {("A", "bed"): [8] * 3, ("B", "bed"): [10] * 3},
                   [("A", "B")], los_days=3.0)
    plan = solve(problem)
    second = 1 - stay(1, 3)
    third = 1 - stay(2, 3) - second * stay(1, 3)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 1, (1, "A", "B", "bed"): second, (2, "A", "B", "bed"): third},
                                             abs=1e-4)
    assert plan.mean_short[:, 0].tolist() == pytest.approx(np.array([[1, 1, 1], [0, 0, 0]]))


def test_moved_patients_still_lie_there_when_the_destination_fills():
    # Moving on day 0 costs B on day 1, when it is full itself and A is empty: then only the cheaper day's shortage remains.
    demand = {("A", "bed"): [10, 10], ("B", "bed"): [5, 9]}
    capacity = {("A", "bed"): [8, 12], ("B", "bed"): [8, 8]}
    plan = solve(make(BED, demand, capacity, [("A", "B")], los_days=3.0))
    # One moved patient saves a day at A and lengthens B's day 1 by stay(1): worth it, whatever B lacks.
    assert plan.mean_short[0, 0].tolist() == pytest.approx([0, 0])
    assert plan.mean_short[1, 0].tolist() == pytest.approx([0, 1 + 2 * stay(1, 3)])
    back = solve(make(BED, demand, capacity, [("A", "B"), ("B", "A")], los_days=3.0))
    assert back.short.sum() == pytest.approx(0)
    # A has two beds for its own, and its two patients away will be there again in part.
    assert read_moves(back)[1, "B", "A", "bed"] == pytest.approx(1 + 2 * stay(1, 3), abs=1e-4)


def test_no_more_patients_leave_than_there_are():
    problem = make(BED, {("A", "bed"): [4], ("B", "bed"): [0]}, {("A", "bed"): [0], ("B", "bed"): [9]}, [("A", "B"), ("B", "A")])
    assert read_moves(solve(problem)) == pytest.approx({(0, "A", "B", "bed"): 4})
    scenarios = make(BED, {("A", "bed"): [[4], [1]], ("B", "bed"): [[0], [0]]}, {("A", "bed"): [0], ("B", "bed"): [9]},
                     [("A", "B")], weights=(0.9, 0.1))
    assert read_moves(solve(scenarios)) == pytest.approx({(0, "A", "B", "bed"): 1})  # in every scenario


def test_a_week_is_seven_days_of_stay():
    problem = make(BED, {("A", "bed"): [10, 10], ("B", "bed"): [0, 0]}, {("A", "bed"): [8] * 2, ("B", "bed"): [20] * 2},
                   [("A", "B")], freq="W-MON")
    assert read_moves(solve(problem)) == pytest.approx({(0, "A", "B", "bed"): 2, (7, "A", "B", "bed"): 2 - 2 * stay(7)}, abs=1e-4)


def test_planning_occupancy_leaves_beds_free_and_nothing_else():
    resources = list_resources("bed", "icu", "vent", "nurse")
    demand = {("A", name): [9.5] for name in resources["resource"]}
    plan = solve(make(resources, demand, {key: [10.0] for key in demand}, planning_occupancy=0.9))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([0.5, 0.5, 0, 0])
    # The same share of a surge bed counts.
    plan = solve(make(BED, {("A", "bed"): [9.9]}, {("A", "bed"): [10.0]}, surge={("A", "bed"): [1]}, planning_occupancy=0.9))
    assert plan.surge["surge"].tolist() == [1.0]
    assert plan.short.sum() == pytest.approx(0)
    assert solve(make(BED, {("A", "bed"): [10.4]}, {("A", "bed"): [10.0]}, surge={("A", "bed"): [1]}, planning_occupancy=0.9)
                 ).short.sum() == pytest.approx(0.5)


# --- Staff and equipment ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("lead", "short"), [(0.0, 0), (1.0, 3), (1.5, 6), (2.0, 6), (3.0, 9)])
def test_units_arrive_after_their_lead_time_and_stay(lead, short):
    problem = make(VENT, {("A", "vent"): [1, 1, 1], ("B", "vent"): [3, 3, 3]}, {("A", "vent"): [5] * 3, ("B", "vent"): [0] * 3},
                   [("A", "B", 25.0, lead)])
    plan = solve(problem)
    assert plan.mean_short[1, 0].sum() == pytest.approx(short)
    if lead > 2:
        assert plan.moves.empty  # what would arrive after the end does not leave
        return
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "vent"): 3})
    assert (plan.moves["arrival"] - plan.moves["date"]).dt.days.tolist() == [math.ceil(lead)]
    assert plan.objective == pytest.approx(100 * short + 3 * (1 + 0.02 * 25))


def test_units_on_the_road_are_missing_at_the_origin():
    # A and B need the same three: A on day 0, B from day 1 on. Whether they leave at once or a day later, three are short.
    problem = make(VENT, {("A", "vent"): [3, 0, 0], ("B", "vent"): [0, 3, 3]}, {("A", "vent"): [3] * 3, ("B", "vent"): [0] * 3},
                   [("A", "B", 10.0, 1.0)])
    plan = solve(problem)
    assert plan.mean_short.sum() == pytest.approx(3)
    assert plan.objective == pytest.approx(100 * 3 + 3 * 1.2)


def test_units_come_back_only_when_they_are_sent():
    problem = make(VENT, {("A", "vent"): [0, 3], ("B", "vent"): [3, 0]}, {("A", "vent"): [3] * 2, ("B", "vent"): [0] * 2},
                   [("A", "B"), ("B", "A", 20.0)])
    plan = solve(problem)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "vent"): 3, (1, "B", "A", "vent"): 3})
    assert plan.objective == pytest.approx(3 * (1.2 + 1.4))


def test_a_roster_that_shrinks_takes_its_units_from_the_site_itself():
    # Five on Friday, two on Saturday: a third lent out would be owed on Saturday.
    problem = make(list_resources("nurse"), {("A", "nurse"): [0, 0], ("B", "nurse"): [5, 5]},
                   {("A", "nurse"): [5, 2], ("B", "nurse"): [0, 0]}, [("A", "B")])
    plan = solve(problem)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "nurse"): 2})
    assert plan.mean_short[1, 0].tolist() == pytest.approx([3, 3])


def test_weekly_periods_round_lead_times_up_to_whole_weeks():
    problem = make(VENT, {("B", "vent"): [3, 3, 3]}, {("A", "vent"): [5] * 3, ("B", "vent"): [0] * 3}, [("A", "B", 10.0, 8.0)],
                   freq="W-MON")
    plan = solve(problem)
    assert plan.mean_short[1, 0].tolist() == pytest.approx([3, 3, 0])
    assert plan.moves["arrival"].tolist() == [DAY + pd.Timedelta(days=14)]


def test_a_bed_in_use_needs_its_nurses_and_an_unused_one_does_not():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    # Twelve patients, ten beds: two short; the ten need five nurses besides the one needed elsewhere; three are there.
    plan = solve(make(resources, {("A", "bed"): [12], ("A", "nurse"): [1]}, {("A", "bed"): [10], ("A", "nurse"): [3]}))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([2, 3])
    assert plan.objective == pytest.approx(500)


def test_patients_move_to_where_the_nurses_are():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    demand, capacity = {("A", "bed"): [10], ("B", "bed"): [2]}, {("A", "bed"): [10], ("A", "nurse"): [4], ("B", "bed"): [9],
                                                                  ("B", "nurse"): [6]}
    plan = solve(make(resources, demand, capacity, [("A", "B", 20.0, 5.0)]))  # the nurses' way is too long
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 2})
    assert plan.short.sum() == pytest.approx(0)
    plan = solve(make(resources, demand, capacity, [("B", "A", 20.0, 0.0)]))  # or a nurse to where the patients are
    assert read_moves(plan) == pytest.approx({(0, "B", "A", "nurse"): 1})


def test_two_kinds_of_bed_share_their_nurses():
    resources = list_resources("bed", "icu", "nurse", requires={"bed": "0.25 nurse", "icu": "1.5 nurse"})
    plan = solve(make(resources, {("A", "bed"): [8], ("A", "icu"): [4]}, {("A", "bed"): [10], ("A", "icu"): [3], ("A", "nurse"): [5]}))
    # 8 / 4 for the beds and 3 * 1.5 for intensive care are 6.5 nurses: 1.5 nurses short and one icu bed that weighs 1.5.
    # To leave a further icu bed empty would count the same, so only the sum is certain.
    assert plan.objective == pytest.approx(100 * (1.5 * 1 + 1.5))
    assert plan.weighted_shortage == pytest.approx(3.0)
    assert plan.mean_short[0, 0, 0] == pytest.approx(0)


# --- Surge -----------------------------------------------------------------------------------------------------------

def test_surge_opens_where_it_is_needed_and_costs_by_the_day():
    problem = make(BED, {("A", "bed"): [7, 7, 9, 4]}, {("A", "bed"): [5] * 4}, surge={("A", "bed"): [0, 3, 3, 3]},
                   lead={("A", "bed"): 1}, surge_cost=5.0)
    plan = solve(problem)
    assert plan.mean_short[0, 0].tolist() == pytest.approx([2, 0, 1, 0])
    assert plan.surge["surge"].tolist() == pytest.approx([2, 3])
    assert plan.surge["date"].tolist() == [DAY + pd.Timedelta(days=1), DAY + pd.Timedelta(days=2)]
    assert plan.surge["decide_by"].tolist() == [DAY, DAY + pd.Timedelta(days=1)]
    assert plan.objective == pytest.approx(100 * 3 + 5 * 5)


def test_surge_dearer_than_shortage_stays_closed():
    case = dict(resources=BED, demand={("A", "bed"): [7]}, capacity={("A", "bed"): [5]}, surge={("A", "bed"): [3]})
    assert solve(make(**case, surge_cost=99.0)).short.sum() == pytest.approx(0)
    assert solve(make(**case, surge_cost=101.0)).short.sum() == pytest.approx(2)
    assert solve_lexicographic(make(**case, surge_cost=101.0)).short.sum() == pytest.approx(0)


def test_surge_nurses_staff_beds_and_drugs_have_no_surge():
    resources = list_resources("bed", "nurse", "drug", requires={"bed": "0.5 nurse"})
    plan = solve(make(resources, {("A", "bed"): [8], ("A", "drug"): [3]}, {("A", "bed"): [8], ("A", "nurse"): [3], ("A", "drug"): [1]},
                      surge={("A", "nurse"): [2], ("A", "drug"): [9]}))
    assert plan.mean_short[0, :, 0].tolist() == pytest.approx([0, 0, 2])
    assert list(zip(plan.surge["resource"], plan.surge["surge"])) == [("nurse", pytest.approx(1))]


def test_surge_is_there_from_its_lead_time_after_the_first_period():
    days = pd.date_range(DAY, periods=4)
    capacity = pd.DataFrame({"date": days, "site": "A", "resource": "bed", "capacity": 5.0, "surge": 2.0, "surge_lead_days": 1.5})
    demand = pd.DataFrame({"date": days, "site": "A", "resource": "bed", "demand": 7.0})
    problem = pose_problem(pd.DataFrame({"site": ["A"]}), BED, list_links(), demand, capacity, Rules(**FREE))
    assert problem.surge[0, 0].tolist() == [0, 0, 2, 2]
    assert solve(problem).mean_short[0, 0].tolist() == pytest.approx([2, 2, 0, 0])


# --- Drugs -----------------------------------------------------------------------------------------------------------

def test_deliveries_are_kept_until_they_expire():
    # Ten on day 0 that keep two days: days 0 and 1 are served, four are thrown away, day 2 has nothing.
    case = dict(demand={("A", "drug"): [3, 3, 3]}, capacity={("A", "drug"): [10, 0, 0]})
    assert solve(make(list_resources("drug", life={"drug": 2}), **case)).mean_short[0, 0].tolist() == pytest.approx([0, 0, 3])
    assert solve(make(list_resources("drug", life={"drug": 3}), **case)).short.sum() == pytest.approx(0)
    assert solve(make(DRUG, **case)).short.sum() == pytest.approx(0)
    assert solve(make(DRUG.drop(columns="shelf_life_days"), **case)).short.sum() == pytest.approx(0)


def test_stock_on_hand_goes_first_expired_first_out():
    # Day 0 uses three of the four that expire tomorrow; the other five leave one of the six needed later short.
    plan = solve(make(DRUG, {("A", "drug"): [3, 3, 3]}, {("A", "drug"): [0, 0, 0]}, stock=[("A", 1, 4, None), ("A", None, 5, None)]))
    assert plan.short.sum() == pytest.approx(1)


@pytest.mark.parametrize(("life", "wait", "short"), [(0, None, 6), (-3, None, 6), (1, None, 4), (2, None, 2), (None, None, 2),
                                                     (None, 1, 2), (None, 2, 4), (2, 1, 4), (2, 2, 6), (None, 3, 6)])
def test_stock_serves_from_its_arrival_until_it_expires(life, wait, short):
    # Two a day are needed; four are on hand or on their way.
    plan = solve(make(DRUG, {("A", "drug"): [2, 2, 2]}, {("A", "drug"): [0, 0, 0]}, stock=[("A", life, 4, wait)]))
    assert plan.short.sum() == pytest.approx(short)


@pytest.mark.parametrize(("lead", "life", "short"), [(0.0, 1, 0), (1.0, 2, 4), (1.0, 1, 8), (2.0, 2, 8), (1.0, None, 4)])
def test_a_drug_must_still_be_good_on_arrival(lead, life, short):
    # A has plenty, B needs four on days 0 and 1. By the lead time the first day or both are lost.
    demand = {("B", "drug"): [4, 4]}
    plan = solve(make(DRUG, demand, {("A", "drug"): [0, 0], ("B", "drug"): [0, 0]}, [("A", "B", 30.0, lead)],
                      stock=[("A", life, 20, None), ("A", None, 4 if lead == 0 else 0, None)]))
    assert plan.short.sum() == pytest.approx(short)
    if short < 8:
        sent = plan.moves["amount"].sum()
        assert sent == pytest.approx(8 - short, abs=1e-3)
        assert plan.objective == pytest.approx(100 * short + sent * (1 + 0.02 * 30), abs=1e-2)


def test_drugs_travel_in_bulk_outside_the_budgets():
    plan = solve(make(DRUG, {("B", "drug"): [50]}, {("A", "drug"): [60], ("B", "drug"): [0]}, [("A", "B")], transfers_per_day=1.0,
                      transfers_per_site_day=1.0))
    assert plan.short.sum() == pytest.approx(0)


def test_a_drug_goes_on_to_a_third_site():
    # B holds nothing that expires when A's stock does, and C is linked to B only.
    plan = solve(make(DRUG, {("C", "drug"): [0, 0, 5]}, {(site, "drug"): [0, 0, 0] for site in "ABC"},
                      [("A", "B", 10.0, 1.0), ("B", "C", 10.0, 1.0)], stock=[("A", 3, 5, None), ("B", None, 0, None)]))
    assert plan.short.sum() == pytest.approx(0)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "drug"): 5, (1, "B", "C", "drug"): 5})


# --- Budgets, distance, weights --------------------------------------------------------------------------------------

CROWDED = dict(resources=BED, demand={("A", "bed"): [15], ("B", "bed"): [15], ("C", "bed"): [0]},
               capacity={("A", "bed"): [10], ("B", "bed"): [10], ("C", "bed"): [50]}, links=[("A", "C"), ("B", "C")])


@pytest.mark.parametrize(("day", "site", "short"), [(1e6, 1e6, 0), (4, 1e6, 6), (1e6, 3, 7), (1e6, 6, 4), (2.5, 3, 7.5), (0, 9, 10)])
def test_budgets_limit_the_moves_of_a_day_and_of_a_site(day, site, short):
    plan = solve(make(**CROWDED, transfers_per_day=day, transfers_per_site_day=site))
    assert plan.short.sum() == pytest.approx(short)


def test_what_comes_in_and_what_goes_out_share_a_sites_budget():
    # B could pass on six and take six, with a budget of eight.
    problem = make(list_resources("bed", "icu"), {("A", "bed"): [16], ("B", "bed"): [16], ("C", "bed"): [0]},
                   {("A", "bed"): [10], ("B", "bed"): [16], ("C", "bed"): [50]}, [("A", "B"), ("B", "C")], transfers_per_site_day=8.0)
    plan = solve(problem)
    assert plan.short.sum() == pytest.approx(2)
    assert read_moves(plan) == pytest.approx({(0, "A", "B", "bed"): 4, (0, "B", "C", "bed"): 4})


def test_each_resource_and_each_day_has_its_own_budget():
    resources = list_resources("bed", "vent")
    problem = make(resources, {("A", name): [9, 9] if name == "bed" else [0, 0] for name in ("bed", "vent")} | {("B", "vent"): [9, 9]},
                   {("A", "bed"): [0, 0], ("A", "vent"): [9, 9], ("B", "bed"): [99, 99], ("B", "vent"): [0, 0]}, [("A", "B")],
                   transfers_per_day=3.0, los_days=1e6)
    plan = solve(problem)
    assert plan.mean_short[0, 0].tolist() == pytest.approx([6, 3], abs=1e-4) and plan.mean_short[1, 1].tolist() == pytest.approx([6, 3])


@pytest.mark.parametrize(("kilometres", "short"), [(100.0, 0), (100.1, 5)])
def test_links_beyond_the_distance_are_not_used(kilometres, short):
    problem = make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [50]}, [("A", "B", kilometres)],
                   max_distance_km=100.0)
    assert solve(problem).short.sum() == pytest.approx(short)


def test_the_cheaper_way_is_taken_and_links_keep_their_distance():
    links = [("A", "C", 80.0), ("A", "B", 500.0), ("A", "D", 50.0, 0.0, 9.0)]
    problem = make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10]} | {(site, "bed"): [3] for site in "BCD"}, links,
                   max_distance_km=300.0)
    plan = solve(problem)
    assert read_moves(plan) == pytest.approx({(0, "A", "C", "bed"): 3, (0, "A", "D", "bed"): 2})
    assert dict(zip(plan.moves["destination"], plan.moves["distance_km"])) == {"C": 80.0, "D": 50.0}
    assert plan.objective == pytest.approx(3 * (1 + 1.6) + 2 * (1 + 1.0 + 9.0))


def test_shortage_weights_decide_what_is_worth_a_move():
    for weight, short in ((1.0, 5), (2.0, 0)):
        problem = make(list_resources("bed", weight={"bed": weight}), {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [50]},
                       [("A", "B", 10.0, 0.0, 150.0)])
        plan = solve(problem)
        assert plan.short.sum() == pytest.approx(short)
        assert plan.objective == pytest.approx(500 if short else 5 * 151.2)
        assert plan.weighted_shortage == pytest.approx(weight * short)
        assert solve_lexicographic(problem).short.sum() == pytest.approx(0)


def test_unstated_weights_cover_what_is_required():
    resources = list_resources("bed", "icu", "nurse", "vent", requires={"icu": "1 nurse; 0.5 vent", "bed": "0.1 nurse"},
                               weight={"vent": 4.0})
    assert weigh_shortage(resources) == {"bed": 1.0, "icu": 3.0, "nurse": 1.0, "vent": 4.0}
    assert list_requirements(resources) == {"bed": {"nurse": 0.1}, "icu": {"nurse": 1.0, "vent": 0.5}}
    assert weigh_shortage(resources[["resource", "kind"]]) == dict.fromkeys(resources["resource"], 1.0)


# --- Scenarios -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("cost", "moved", "objective"), [(29.0, 2, 58.0), (31.0, 0, 60.0)])
def test_scenarios_count_by_their_weight(cost, moved, objective):
    # Twelve with probability 0.3, else eight, in ten beds: two moves save 0.3 * 2 unit-days short.
    problem = make(BED, {("A", "bed"): [[8], [12]]}, {("A", "bed"): [10], ("B", "bed"): [50]}, [("A", "B")], weights=(0.7, 0.3),
                   move_cost=cost, cost_per_km=0.0)
    plan = solve(problem)
    assert plan.moves["amount"].sum() == pytest.approx(moved)
    assert plan.objective == pytest.approx(objective)
    assert plan.short[:, 0, 0, 0].tolist() == pytest.approx([0, 0 if moved else 2])
    assert plan.mean_short.sum() == pytest.approx(0 if moved else 0.6)


def test_quantiles_stand_for_the_probability_between_their_neighbours():
    assert weigh_levels(np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])).tolist() == pytest.approx(
        [0.0625, 0.1125, 0.2, 0.25, 0.2, 0.1125, 0.0625])
    assert weigh_levels(np.array([0.3])).tolist() == [1.0]


def test_tables_are_joined_by_name_whatever_their_order():
    random = np.random.default_rng(2)
    days, sites, resources = pd.date_range(DAY, periods=2), pd.DataFrame({"site": ["X", "A", "M"]}), list_resources("vent", "bed")
    index = pd.MultiIndex.from_product([days, sites["site"], ["bed", "vent"], [0.1, 0.5, 0.9]],
                                       names=["date", "site", "resource", "quantile"])
    demand = pd.Series(random.integers(1, 99, len(index)).astype(float), index, name="demand").reset_index()
    capacity = demand[demand["quantile"] == 0.5].drop(columns=["quantile", "demand"]).assign(
        capacity=random.integers(1, 99, 12) * 1.0, surge=random.integers(1, 9, 12) * 1.0, surge_lead_days=0.0)
    links = list_links(("X", "M", 7.0, 1.0), ("A", "X", 9.0, 2.0))
    problem = pose_problem(sites, resources, links, demand, capacity, Rules())
    shuffled = pose_problem(sites, resources, links, demand.sample(frac=1, random_state=1), capacity.sample(frac=1, random_state=2),
                            Rules())
    for name in ("demand", "capacity", "surge", "surge_lead_days", "weights"):
        np.testing.assert_array_equal(getattr(problem, name), getattr(shuffled, name))
    row = demand.iloc[31]
    place = [0.1, 0.5, 0.9].index(row["quantile"]), ["X", "A", "M"].index(row["site"]), ["vent", "bed"].index(row["resource"])
    assert problem.demand[(*place, list(days).index(row["date"]))] == row["demand"]
    assert problem.weights.tolist() == pytest.approx([0.3, 0.4, 0.3])
    assert problem.mean_demand == pytest.approx(np.tensordot([0.3, 0.4, 0.3], problem.demand, 1))
    for row in capacity.itertuples():
        where = ["X", "A", "M"].index(row.site), ["vent", "bed"].index(row.resource), list(days).index(row.date)
        assert (problem.capacity[where], problem.surge[where]) == (row.capacity, row.surge)


def test_unstated_leads_and_costs_of_links_are_nothing():
    links = pd.DataFrame({"origin": ["A", "B"], "destination": ["B", "A"], "distance_km": [5.0, 50.0]})
    kept = limit_links(links.assign(lead_days=[np.nan, 3.0]), Rules(max_distance_km=20.0))
    assert kept.to_dict("records") == [{"origin": "A", "destination": "B", "distance_km": 5.0, "lead_days": 0.0, "cost": 0.0}]


# --- Whole units, extra rows, tables ---------------------------------------------------------------------------------

def test_whole_units_on_request():
    case = dict(resources=BED, demand={("A", "bed"): [10.6, 10.6]}, capacity={("A", "bed"): [8, 8], ("B", "bed"): [50, 50]},
                links=[("A", "B", 10.0, 0.0, 40.0)], los_days=1e6)
    assert read_moves(solve(make(**case))) == pytest.approx({(0, "A", "B", "bed"): 2.6}, abs=1e-3)
    plan = solve(make(**case, integer=True))
    assert read_moves(plan) == {(0, "A", "B", "bed"): 3.0}  # the third saves 0.6 on two days: 120 for 41.2
    assert plan.objective == pytest.approx(3 * 41.2)
    assert not any(dual.any() for dual in plan.duals.values())


def test_surge_opens_whole_too():
    plan = solve(make(BED, {("A", "bed"): [6.3]}, {("A", "bed"): [5]}, surge={("A", "bed"): [3]}, integer=True, surge_cost=20.0))
    assert plan.surge["surge"].tolist() == [2.0]
    assert plan.objective == pytest.approx(40.0)


def test_rows_can_be_added_by_hand():
    plan = solve(make(**CROWDED))
    link, days = plan.model.move.axes["link"][0], plan.model.move.axes["date"]
    plan.problem += pulp.lpSum(plan.model.move[link, "bed", day] for day in days) <= 1.5, "lorries"
    changed = plan.solve_again()
    assert changed.short.sum() == pytest.approx(3.5)
    assert changed.duals["lorries"] == pytest.approx(-(100 - 1.2))
    assert plan.short.sum() < 3.5  # the first plan stays as it was


def test_rows_that_cannot_hold_are_told_in_words():
    model = Model(make(**CROWDED))
    model.lp += model.move[model.move.axes["link"][0], "bed", DAY] >= 1000, "too_many"
    with pytest.raises(MedlibError, match="^The allocation has no optimal plan: HiGHS says 'Infeasible'.*together: .*too_many"):
        read_plan(model)


def test_the_tables_keep_their_contracts():
    resources = list_resources("bed", "vent", "drug")
    problem = make(resources, {("A", name): [9, 9] for name in ("bed",)} | {("B", "vent"): [4, 4], ("B", "drug"): [4, 4]},
                   {("A", "bed"): [5, 5], ("A", "vent"): [9, 9], ("A", "drug"): [9, 0], ("B", "bed"): [3, 3], ("B", "vent"): [0, 0],
                    ("B", "drug"): [0, 0]}, [("A", "B", 10.0, 1.0)], surge={("A", "bed"): [2, 2]}, surge_cost=0.5)
    plan = solve(problem)
    moves = check_frame(plan.moves, "moves")
    assert dict(zip(moves["resource"], moves["what"])) == {"bed": "patients", "vent": "units", "drug": "units"}
    assert (moves.query("what == 'patients'")["arrival"] == moves.query("what == 'patients'")["date"]).all()
    assert (moves.query("what == 'units'")["arrival"] - moves.query("what == 'units'")["date"]).dt.days.eq(1).all()
    check_frame(plan.surge, "surge_plan")
    check_frame(plan.price_capacity().assign(confirmed=np.nan), "shadow_prices")
    nothing = solve(make(BED, {("A", "bed"): [1]}, {("A", "bed"): [5], ("B", "bed"): [5]}, [("A", "B")]))
    assert check_frame(nothing.moves, "moves").empty and check_frame(nothing.surge, "surge_plan").empty


def test_no_demand_asks_for_nothing():
    problem = make(list_resources(*KINDS), {}, {(site, name): [3, 3] for site in "AB" for name in KINDS}, [("A", "B"), ("B", "A")])
    plan = solve(problem)
    assert plan.objective == 0 and plan.moves.empty and plan.surge.empty and not plan.short.any()


def test_a_network_without_links_or_room_has_its_shortage():
    problem = make(BED, {("A", "bed"): [15, 9], ("B", "bed"): [12, 12]}, {("A", "bed"): [10, 10], ("B", "bed"): [10, 10]})
    assert solve(problem).objective == pytest.approx(100 * (5 + 2 + 2))


# --- Shadow prices ---------------------------------------------------------------------------------------------------

def saves(plan):
    return {(row.site, row.resource): row.saves for row in plan.price_capacity().itertuples()}


def test_shadow_prices_by_hand():
    resources = list_resources("bed", "vent", "drug")
    demand = {("A", "bed"): [15, 15, 15], ("A", "vent"): [7, 7, 7], ("A", "drug"): [4, 4, 4], ("B", "bed"): [1, 1, 1]}
    capacity = {("A", "bed"): [10] * 3, ("A", "vent"): [5] * 3, ("A", "drug"): [5, 0, 0]} | {
        ("B", name): [0 if name == "drug" else 9] * 3 for name in ("bed", "vent", "drug")}
    price = saves(solve(make(resources, demand, capacity, planning_occupancy=0.9)))
    assert price == pytest.approx({("A", "bed"): 0.9 * 3, ("A", "vent"): 3.0, ("A", "drug"): 1.0, ("B", "bed"): 0.0,
                                   ("B", "vent"): 0.0, ("B", "drug"): 0.0})


def test_a_unit_that_saves_moves_is_worth_their_cost():
    # Every patient above A's beds moves at 11 points, so one more bed there saves 0.11 unit-days; at B nothing.
    price = saves(solve(make(BED, {("A", "bed"): [15], ("B", "bed"): [0]}, {("A", "bed"): [10], ("B", "bed"): [50]},
                             [("A", "B", 0.0, 0.0, 10.0)])))
    assert price == pytest.approx({("A", "bed"): 0.11, ("B", "bed"): 0.0})


# --- Random problems -------------------------------------------------------------------------------------------------

def vary(capacity, resources, scenarios, random):
    """How many units more or fewer each scenario has; deliveries of drugs are certain."""
    change = np.maximum(capacity + random.integers(-4, 5, (scenarios, *capacity.shape)), 0.0) - capacity
    return np.where((resources["kind"] == "drug").to_numpy()[:, None], 0.0, change)


@st.composite
def problems(draw, scenarios=(1, 2), kinds=tuple(KINDS), **rules):
    """Two or three sites, two or three periods, some kinds of resources, links, surge and stock at random; with several scenarios
    capacity, too, is uncertain half of the time."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sites, periods, weights = draw(st.integers(2, 3)), draw(st.integers(2, 3)), draw(st.sampled_from(scenarios))
    names = sorted(draw(st.sets(st.sampled_from(kinds), min_size=1, max_size=4)), key=list(KINDS).index)
    requires = {name: "0.5 nurse" for name in ("bed", "icu") if name in names and "nurse" in names}
    resources = list_resources(*names, requires=requires, life={"drug": int(random.integers(1, 4))} if random.random() < 0.6 else {})
    shape = (sites, len(names), periods)
    lead = random.integers(0, 3, shape[:2]).astype(float)
    pairs = [pair for pair in itertools.permutations("ABC"[:sites], 2) if random.random() < 0.75]
    rules = Rules(**(dict(planning_occupancy=float(random.choice([0.8, 1.0])), los_days=float(random.choice([1.0, 6.0])),
                          transfers_per_day=float(random.choice([3, 50])), transfers_per_site_day=float(random.choice([2, 50])),
                          surge_cost=float(random.choice([5, 60])), max_distance_km=80.0) | rules))
    weights = np.ones(1) if weights == 1 else np.array([0.3, 0.7])
    stock = [("ABC"[random.integers(sites)], random.choice([None, 1, 2, 3]), int(random.integers(1, 9)), random.choice([None, 1]))
             for _ in range(random.integers(0, 3)) if "drug" in names]
    posed = Problem(
        sites=tuple("ABC"[:sites]), resources=resources, dates=pd.date_range(DAY, periods=periods), weights=weights,
        demand=random.integers(0, 13, (len(weights), *shape)).astype(float), capacity=random.integers(0, 13, shape).astype(float),
        surge=np.where(np.arange(periods) >= lead[:, :, None], random.integers(0, 3, (*shape[:2], 1)), 0.0), surge_lead_days=lead,
        links=limit_links(list_links(*((a, b, float(random.integers(1, 100)), float(random.choice([0, 1, 2])), 3.0 * random.random())
                                       for a, b in pairs)), rules), rules=rules, stock=list_stock(*stock))
    certain = len(weights) == 1 or random.random() < 0.5
    return posed if certain else replace(posed, capacity_change=vary(posed.capacity, resources, len(weights), random))


def account(problem, shipments, surge):
    """Who is short of what under given moves and surge, counted anew: beds and units only, (S, I, R, T).

    Returns None where a site would give away more than it has in the morning.
    """
    dates, sites, names = problem.dates, problem.sites, problem.names
    days = (dates - dates[0]).days.to_numpy()
    relocated, today = np.zeros(problem.capacity.shape), np.zeros(problem.capacity.shape)
    present = np.broadcast_to(problem.scenario_capacity, problem.demand.shape).copy()
    for link, resource, sent, amount in shipments:
        row = problem.links.iloc[link]
        origin, destination = sites.index(row["origin"]), sites.index(row["destination"])
        for period in range(sent, len(days)):
            passed = int(days[period] - days[sent])
            beds = problem.kinds[names[resource]] == "bed"
            if passed == 0 and (beds or row["lead_days"] == 0):
                today[destination, resource, period] += amount
            if beds:
                there = amount * stay(passed, problem.rules.los_days)
                relocated[origin, resource, period] -= there
                relocated[destination, resource, period] += there
            else:
                present[:, origin, resource, period] -= amount
                present[:, destination, resource, period] += amount if passed >= row["lead_days"] else 0
    short = np.zeros(problem.demand.shape)
    needed = problem.demand + relocated
    # What came today is not sent on today.
    is_bed = (problem.resources["kind"] == "bed").to_numpy()[:, None]
    if (np.where(is_bed, needed, present) - today).min() < -1e-6:
        return None
    room = present + surge
    for bed in [number for number, name in enumerate(names) if problem.kinds[name] == "bed"]:
        short[:, :, bed] = np.maximum(needed[:, :, bed] - problem.rules.planning_occupancy * room[:, :, bed], 0)
        if problem.requires.get(names[bed]):
            needed[:, :, names.index("nurse")] += 0.5 * (needed[:, :, bed] - short[:, :, bed])
    for unit in [number for number, name in enumerate(names) if problem.kinds[name] in ("staff", "equipment")]:
        short[:, :, unit] = np.maximum(needed[:, :, unit] - room[:, :, unit], 0)
    return short


def price(problem, short, shipments, surge):
    """Cost points of a shortage, moves (link, resource, period, amount) and surge."""
    rules, links = problem.rules, problem.links
    weight = np.array([problem.shortage_weight[name] for name in problem.names])
    expected = np.einsum("s,sirt,r->", problem.weights, short, weight)
    travel = sum(amount * (rules.move_cost + links["cost"].iloc[link] + rules.cost_per_km * links["distance_km"].iloc[link])
                 for link, _, _, amount in shipments)
    return rules.shortage_cost * expected + travel + rules.surge_cost * surge.sum()


def read_surge(plan):
    surge = np.zeros(plan.posed.surge.shape)
    for row in plan.surge.itertuples():
        place = plan.posed.sites.index(row.site), plan.posed.names.index(row.resource), (row.date - DAY).days
        surge[place] = row.surge
    return surge


@settings(max_examples=30, deadline=None, phases=FOUND)
@given(problem=problems())
def test_a_plan_keeps_every_rule_and_its_objective_is_what_its_tables_cost(problem):
    plan = solve(problem)
    kinds, rules, surge = np.array(problem.resources["kind"]), problem.rules, read_surge(plan)
    shipments = [tuple(order[:4]) for order in plan.shipments]
    tabled = plan.moves["amount"].sum()
    assert tabled == pytest.approx(sum(order[3] for order in shipments), abs=1e-3)
    assert (plan.short >= 0).all() and all(order[3] > 0 for order in shipments)
    assert (surge >= 0).all() and (surge <= problem.surge + 1e-6).all() and not surge[:, kinds == "drug"].any()
    # Counted anew from moves and surge: nobody gives away what he has not, and the shortage is what is left over.
    counted = account(problem, [order for order in shipments if kinds[order[1]] != "drug"], surge)
    assert counted is not None
    short = np.where(kinds[:, None] == "drug", plan.short, counted)
    assert plan.objective == pytest.approx(price(problem, short, shipments, surge), rel=1e-6, abs=0.05)
    assert plan.objective == pytest.approx(price(problem, plan.short, shipments, surge), rel=1e-6, abs=0.05)
    # Budgets.
    moves = plan.moves[~plan.moves["resource"].isin(["drug"])]
    assert (moves.groupby(["date", "resource"])["amount"].sum() <= rules.transfers_per_day + 1e-3).all()
    touching = pd.concat([moves.rename(columns={end: "site"})[["date", "resource", "site", "amount"]] for end in
                          ("origin", "destination")])
    assert (touching.groupby(["date", "resource", "site"])["amount"].sum() <= rules.transfers_per_site_day + 1e-3).all()
    assert (plan.moves["distance_km"] <= 80).all()
    # Doing nothing is a plan too.
    idle = np.where(kinds[:, None] == "drug", problem.demand, account(problem, [], 0 * surge))
    assert plan.objective <= price(problem, idle, [], 0 * surge) + 1e-6
    # No drug comes from nowhere.
    for drug in np.flatnonzero(kinds == "drug"):
        supply = problem.capacity[:, drug].sum() + problem.stock["units"].sum()
        for served in (problem.demand - plan.short)[:, :, drug]:
            assert (served >= -1e-6).all() and served.sum() <= supply + 1e-6


@settings(max_examples=12, deadline=None, phases=FOUND)
@given(problem=problems())
def test_duals_bound_what_a_little_more_or_less_capacity_does(problem):
    # The optimum is convex in capacity: a dual's slope lies under it on both sides. That holds where it has a kink, too.
    plan, step = solve(problem), 0.1
    for number, (site, resource) in enumerate(itertools.product(problem.sites, problem.names)):
        if number % 3:
            continue
        slope = saves(plan)[site, resource] * problem.rules.shortage_cost
        place = problem.sites.index(site), problem.names.index(resource)
        for change in (step, -step):
            capacity, stock = problem.capacity.copy(), problem.stock
            if problem.kinds[resource] == "drug":
                if change < 0:
                    continue
                stock = pd.concat([stock, list_stock((site, None, change, None))])
            else:
                capacity[place] += change
            if min(capacity.min(), (problem.scenario_capacity + capacity - problem.capacity).min()) < 0:
                continue
            other = solve(replace(problem, capacity=capacity, stock=stock))
            assert other.objective >= plan.objective - slope * change - 1e-4


def test_shadow_prices_are_the_slope_where_there_is_no_kink():
    # Odd numbers keep every row off its corner, so both differences and the dual agree.
    resources = list_resources("bed", "icu", "nurse", "drug", requires={"bed": "0.3 nurse"}, life={"drug": 2})
    demand = {("A", "bed"): [15.3, 14.1, 16.7], ("B", "bed"): [6.2, 5.9, 7.1], ("A", "icu"): [4.4, 5.3, 6.1], ("B", "icu"): [1.1, 0.7, 1.3],
              ("A", "nurse"): [1.7, 2.3, 0.9], ("A", "drug"): [3.1, 4.3, 2.9], ("B", "drug"): [1.3, 1.7, 1.1]}
    capacity = {("A", "bed"): [12.1] * 3, ("B", "bed"): [9.7] * 3, ("A", "icu"): [4.9] * 3, ("A", "nurse"): [3.7] * 3,
                ("B", "nurse"): [4.1] * 3, ("A", "drug"): [4.7, 0, 0], ("B", "drug"): [6.3, 0, 2.1], ("B", "icu"): [2.3] * 3}
    problem = make(resources, demand, capacity, [("A", "B", 37.0, 1.0), ("B", "A", 37.0, 1.0)], los_days=4.0,
                   planning_occupancy=0.95, transfers_per_site_day=2.3)
    plan, stepped = solve(problem), 0.01
    found = 0
    for (site, resource), slope in saves(plan).items():
        capacity, stock = problem.capacity.copy(), list_stock((site, None, stepped, None))
        if resource != "drug":
            capacity[problem.sites.index(site), problem.names.index(resource)] += stepped
        other = solve(replace(problem, capacity=capacity, **({"stock": stock} if resource == "drug" else {})))
        assert (plan.objective - other.objective) / stepped / 100 == pytest.approx(slope, abs=1e-4), (site, resource)
        found += slope > 0.01
    assert found >= 4


def enumerate_moves(problem, most):
    """The least cost over every choice of whole moves and surge, counted by `account`."""
    variables = [(link, resource, period) for link in range(len(problem.links)) for resource, kind in
                 enumerate(problem.resources["kind"]) for period in range(len(problem.dates))
                 if kind == "bed" or period + problem.links["lead_days"].iloc[link] < len(problem.dates)]
    open_at = [tuple(place) for place in np.argwhere(problem.surge > 0)]
    best = np.inf
    for amounts in itertools.product(range(most + 1), repeat=len(variables)):
        shipments = [(*variable, amount) for variable, amount in zip(variables, amounts) if amount]
        if any(sum(amount for _, what, when, amount in shipments if (what, when) == key) > problem.rules.transfers_per_day
               for key in {order[1:3] for order in shipments}):
            continue
        for opened in itertools.product(*(range(int(problem.surge[place]) + 1) for place in open_at)):
            surge = np.zeros(problem.surge.shape)
            for place, units in zip(open_at, opened):
                surge[place] = units
            short = account(problem, shipments, surge)
            if short is not None:
                best = min(best, price(problem, short, shipments, surge))
    return best


@patch("medlib.allocate.plan.GAP", 1e-7)
@settings(max_examples=6, deadline=None, phases=FOUND)
@given(demand=st.lists(st.integers(0, 8), min_size=8, max_size=8), capacity=st.lists(st.integers(0, 6), min_size=2, max_size=2),
       los=st.sampled_from([1.0, 5.0]), surge=st.integers(0, 1), budget=st.sampled_from([2.0, 9.0]))
def test_no_choice_of_whole_patients_is_better_than_ours(demand, capacity, los, surge, budget):
    table = np.reshape(demand, (2, 2, 2)).astype(float)  # scenario, site, period
    problem = make(BED, {("A", "bed"): table[:, 0], ("B", "bed"): table[:, 1]}, {("A", "bed"): [capacity[0]] * 2,
                   ("B", "bed"): [capacity[1]] * 2}, [("A", "B", 30.0), ("B", "A", 30.0)], weights=(0.4, 0.6), los_days=los,
                   surge={("A", "bed"): [0, surge]}, planning_occupancy=0.9, transfers_per_day=budget, integer=True)
    # With eight patients at the most and moves both ways, four moves at a time are more than enough or the budget's limit.
    most = 4
    assert solve(problem).objective <= enumerate_moves(problem, most) * (1 + 1e-6) + 1e-6
    limited = replace(problem, rules=replace(problem.rules, transfers_per_site_day=1e6))
    model = Model(limited)
    model.move.update(high=most)
    assert read_plan(model).objective == pytest.approx(enumerate_moves(limited, most), rel=1e-6, abs=1e-6)


@patch("medlib.allocate.plan.GAP", 1e-7)
@settings(max_examples=6, deadline=None, phases=FOUND)
@given(demand=st.lists(st.integers(0, 6), min_size=8, max_size=8), capacity=st.lists(st.integers(0, 5), min_size=4, max_size=4),
       lead=st.sampled_from([0.0, 1.0]))
def test_no_choice_of_whole_units_and_patients_is_better_than_ours(demand, capacity, lead):
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    keys = [(site, name) for site in "AB" for name in ("bed", "nurse")]
    problem = make(resources, {key: demand[2 * number:2 * number + 2] for number, key in enumerate(keys)},
                   {key: [units] * 2 for key, units in zip(keys, capacity)}, [("A", "B", 30.0, lead)], integer=True, los_days=2.0)
    model = Model(problem)
    model.move.update(high=3)
    assert read_plan(model).objective == pytest.approx(enumerate_moves(problem, 3), rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(problem=problems(scenarios=(1,), kinds=("drug",)))
def test_drugs_cost_what_an_assignment_of_parcels_to_days_costs(problem):
    # Two sites are linked directly, so every parcel is used where it lies or sent once: a transport problem for scipy.
    # The third site, where there is one, stays by itself.
    problem = replace(problem, links=problem.links.query("origin != 'C' and destination != 'C'").reset_index(drop=True))
    links = {(row.origin, row.destination): row for row in problem.links.itertuples()}
    periods, life = len(problem.dates), problem.resources["shelf_life_days"].iloc[0]
    parcels = [(site, day, day + life if life == life else 99, problem.capacity[number, 0, day])
               for number, site in enumerate(problem.sites) for day in range(periods)]
    parcels += [(row.site, 0 if pd.isna(row.arrives) else (row.arrives - DAY).days,
                 99 if pd.isna(row.expires) else (row.expires - DAY).days, row.units) for row in problem.stock.itertuples()]
    needs = [(site, day, problem.demand[0, number, 0, day]) for number, site in enumerate(problem.sites) for day in range(periods)]

    def cost(parcel, need):
        (at, since, until, _), (to, day, _) = parcel, need
        if at == to:
            return 0.0 if since <= day < until else None
        way = links.get((at, to))
        if way is None or not since + way.lead_days <= day < until:
            return None
        return problem.rules.move_cost + way.cost + problem.rules.cost_per_km * way.distance_km
    pairs = [(one, other, points) for one, parcel in enumerate(parcels) for other, need in enumerate(needs)
             if (points := cost(parcel, need)) is not None]
    rows = np.zeros((len(parcels) + len(needs), len(pairs)))
    for column, (one, other, _) in enumerate(pairs):
        rows[one, column] = rows[len(parcels) + other, column] = 1
    limits = [parcel[3] for parcel in parcels] + [need[2] for need in needs]
    best = linprog([points - 100 for _, _, points in pairs], rows, limits) if pairs else None
    want = 100 * sum(need[2] for need in needs) + (best.fun if pairs else 0.0)
    assert solve(problem).objective == pytest.approx(want, abs=1e-4)


# --- Bad input -------------------------------------------------------------------------------------------------------

GOOD = dict(resources=BED, demand={("A", "bed"): [3, 3]}, capacity={("A", "bed"): [5, 5], ("B", "bed"): [5, 5]})


def refuse(match, call):
    with pytest.raises(MedlibError, match=match) as caught:
        call()
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["demand", "capacity", "surge"])
def test_numbers_that_are_none_are_refused_with_their_place(name, value):
    refuse(rf"^{name} must be numbers of at least 0; got {value} for site 'B', resource 'bed'",
           lambda: make(**(GOOD | {name: GOOD.get(name, {}) | {("B", "bed"): [4.0, value]}})))


def test_a_lead_time_that_is_none_is_refused():
    refuse(r"^surge_lead_days must be numbers of at least 0; got -2.0 for site 'B'", lambda: make(**GOOD, lead={("B", "bed"): -2}))


def test_links_to_unknown_sites_are_refused():
    refuse("^links name the unknown site", lambda: make(**GOOD, links=[("A", "Z"), ("Y", "B")]))


def test_a_problem_without_periods_is_refused():
    refuse("^An allocation needs at least one period; got none", lambda: make(BED, {}, {("A", "bed"): []}))


def test_shapes_that_do_not_fit_are_refused():
    good = make(**GOOD)
    refuse(r"^capacity must have shape \(2, 1, 2\); got \(2, 1, 1\)", lambda: replace(good, capacity=good.capacity[:, :, :1]))
    refuse(r"^demand must have shape \(2, 2, 1, 2\); got \(1, 2, 1, 2\)", lambda: replace(good, weights=np.array([0.5, 0.5])))


@pytest.mark.parametrize(("name", "value", "words"), [
    ("planning_occupancy", 1.2, r"planning_occupancy must lie in \(0, 1\]; got 1.2"),
    ("planning_occupancy", 0.0, r"planning_occupancy must lie in \(0, 1\]; got 0.0"),
    ("planning_occupancy", np.nan, "planning_occupancy must lie"), ("los_days", 0.0, "los_days must be above 0; got 0.0"),
    ("los_days", np.nan, "los_days must be above 0; got nan"), ("shortage_cost", -1.0, "shortage_cost must be at least 0; got -1.0"),
    ("transfers_per_day", np.nan, "transfers_per_day must be at least 0; got nan"),
    *((name, -0.5, f"{name} must be at least 0; got -0.5") for name in
      ("max_distance_km", "transfers_per_day", "transfers_per_site_day", "move_cost", "cost_per_km", "surge_cost"))])
def test_rules_out_of_range_are_refused(name, value, words):
    refuse(f"^{words}", lambda: Rules(**{name: value}))


def test_a_resource_must_not_weigh_less_than_what_it_requires():
    resources = list_resources("bed", "nurse", requires={"bed": "2 nurse"}, weight={"bed": 1.0})
    refuse("^Leaving 'bed' unused would count less than lacking what it requires",
           lambda: make(resources, {}, {("A", "bed"): [1], ("A", "nurse"): [1]}))
