"""The regret ladder by hand: what policies do, what follows from it, and that nobody but perfect foresight looks ahead."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_allocate import DAY, DRUG, FREE, KINDS, BED, VENT, account, list_links, list_resources, list_stock, make, problems, stay

from medlib.allocate import Problem, Rules, Shipment, pose_problem, solve, solve_lexicographic
from medlib.allocate.pose import limit_links
from medlib.schema import check_frame
from medlib.simulate import (DRUG_RESERVE, SHORT_LADDER, Orders, View, bound_shortage, climb, count_stock, do_nothing, follow, make_policy,
                             react, replan, roll, tabulate_daily, tabulate_ladder)


def order(*moves, surge=None):
    """A policy that gives these orders: moves as (period, link, resource, amount)."""
    def policy(period, state):
        opened = np.zeros(state.truth.capacity.shape[:2]) if surge is None else np.asarray(surge, float)
        return Orders([Shipment(link, resource, when, amount) for when, link, resource, amount in moves if when == period], opened)
    return policy


def total(record, truth):
    """Shortage weighted by the resources' weights."""
    return float(record.short.sum(axis=(0, 2)) @ [truth.shortage_weight[name] for name in truth.names])


def read_moves(record):
    """(day, origin, destination, resource) -> amount."""
    return {((row.date - DAY).days, row.origin, row.destination, row.resource): row.amount for row in record.moves.itertuples()}


#: Shrinking a world takes minutes and makes it no easier to read.
FOUND = (Phase.explicit, Phase.reuse, Phase.generate)

# --- The clock and the accounts --------------------------------------------------------------------------------------

def test_doing_nothing_leaves_demand_above_usable_short():
    resources = list_resources("bed", "vent", "nurse", requires={"bed": "0.5 nurse"})
    truth = make(resources, {("A", "bed"): [10, 8], ("A", "vent"): [3, 7], ("A", "nurse"): [1, 0], ("B", "bed"): [0, 12]},
                 {("A", "bed"): [10, 10], ("A", "vent"): [5, 5], ("A", "nurse"): [4, 4], ("B", "bed"): [10, 10]},
                 [("A", "B"), ("B", "A")], planning_occupancy=0.9, surge={("A", "vent"): [9, 9]})
    record = roll(truth, do_nothing)
    # A's nine usable beds: one short; nine in use need 4.5 nurses beside the one. B has no nurses at all.
    assert record.short[0].tolist() == pytest.approx(np.array([[1, 0], [0, 2], [1.5, 0]]))
    assert record.short[1].tolist() == pytest.approx(np.array([[0, 3], [0, 0], [0, 4.5]]))
    assert record.moves.empty and not record.surge.any()


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(truth=problems(scenarios=(1,), kinds=("bed", "icu", "nurse", "vent")))
def test_doing_nothing_is_demand_less_capacity_everywhere(truth):
    assert roll(truth, do_nothing).short == pytest.approx(account(truth, [], np.zeros(truth.surge.shape))[0], abs=1e-6)


def test_a_moved_patient_stays_for_the_rest_of_the_stay():
    truth = make(BED, {("A", "bed"): [10, 10, 10], ("B", "bed"): [9, 9, 9]}, {("A", "bed"): [8] * 3, ("B", "bed"): [10] * 3},
                 [("A", "B", 40.0)], los_days=3.0)
    record = roll(truth, order((0, 0, 0, 2.0)))
    there = [2.0, 2 * stay(1, 3), 2 * stay(2, 3)]
    assert record.short[0, 0].tolist() == pytest.approx([2 - patients for patients in there])
    assert record.short[1, 0].tolist() == pytest.approx([1, max(there[1] - 1, 0), max(there[2] - 1, 0)])
    assert record.moves.to_dict("records") == [{"date": DAY, "origin": "A", "destination": "B", "resource": "bed", "amount": 2.0,
                                                "distance_km": 40.0}]


@pytest.mark.parametrize(("lead", "short"), [(0.0, [0, 0, 0]), (1.0, [3, 0, 0]), (1.5, [3, 3, 0]), (2.0, [3, 3, 0]), (9.0, [3] * 3)])
def test_a_sent_unit_is_missing_at_once_and_there_after_its_lead_time(lead, short):
    truth = make(VENT, {("A", "vent"): [4] * 3, ("B", "vent"): [3] * 3}, {("A", "vent"): [5] * 3, ("B", "vent"): [0] * 3},
                 [("A", "B", 40.0, lead)])
    record = roll(truth, order((0, 0, 0, 3.0)))
    assert record.short[0, 0].tolist() == pytest.approx([2, 2, 2])
    assert record.short[1, 0].tolist() == pytest.approx(short)


def test_orders_for_more_than_there_is_are_cut_in_proportion():
    truth = make(list_resources("vent", "bed", "drug"), {("A", "bed"): [4]},
                 {("A", "vent"): [4], ("A", "bed"): [9], ("A", "drug"): [2], ("B", "vent"): [0], ("C", "vent"): [0]},
                 [("A", "B"), ("A", "C")], stock=[("A", None, 2, None)])
    record = roll(truth, order(*((0, link, resource, amount) for resource in range(3) for link, amount in ((0, 6.0), (1, 2.0)))))
    assert read_moves(record) == pytest.approx({(0, "A", site, name): part for name in ("vent", "bed", "drug")
                                                for site, part in (("B", 3.0), ("C", 1.0))})


def test_surge_is_open_only_as_far_as_there_is_any():
    truth = make(BED, {("A", "bed"): [9, 9]}, {("A", "bed"): [5, 5]}, surge={("A", "bed"): [0, 3]})
    record = roll(truth, order(surge=[[10.0]]))
    assert record.surge[0, 0].tolist() == [0, 3]
    assert record.short[0, 0].tolist() == pytest.approx([4, 1])


def test_beds_without_a_site_to_use_them_need_no_nurses():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    truth = make(resources, {("A", "bed"): [10], ("B", "bed"): [2]}, {("A", "bed"): [10], ("A", "nurse"): [4], ("B", "bed"): [9],
                                                                      ("B", "nurse"): [6]}, [("A", "B")])
    assert roll(truth, do_nothing).short.sum() == pytest.approx(1)
    assert roll(truth, order((0, 0, 0, 2.0))).short.sum() == pytest.approx(0)  # two patients fewer need one nurse less
    assert roll(truth, order((0, 0, 0, 7.0))).short[1, :, 0].tolist() == pytest.approx([0, 0])
    assert roll(truth, order((0, 0, 0, 9.0))).short[1, :, 0].tolist() == pytest.approx([2, 0])  # nine beds need 4.5 of six


# --- Drugs -----------------------------------------------------------------------------------------------------------

def test_drugs_expire_and_are_used_first_expired_first_out():
    # Ten on day 0 and four on day 1 that keep two days. Day 2 throws four of the ten away and uses three of the four.
    truth = make(list_resources("drug", life={"drug": 2}), {("A", "drug"): [3, 3, 3, 3]}, {("A", "drug"): [10, 4, 0, 0]})
    assert roll(truth, do_nothing).short[0, 0].tolist() == pytest.approx([0, 0, 0, 3])
    assert solve(truth).short.sum() == pytest.approx(3)


def test_what_expires_first_is_used_first_also_when_it_came_last():
    # B has five that keep and gets five today that are good for today only.
    truth = make(DRUG, {("B", "drug"): [5, 5]}, {("A", "drug"): [0, 0], ("B", "drug"): [0, 0]}, [("A", "B")],
                 stock=[("A", 1, 5, None), ("B", None, 5, None)])
    assert roll(truth, order((0, 0, 0, 5.0))).short.sum() == pytest.approx(0)


def test_what_would_expire_on_the_way_stays():
    truth = make(DRUG, {("A", "drug"): [3, 0, 0], ("B", "drug"): [0, 0, 9]}, {("A", "drug"): [0] * 3, ("B", "drug"): [0] * 3},
                 [("A", "B", 10.0, 2.0)], stock=[("A", 2, 4, None), ("A", None, 6, None)])
    record = roll(truth, order((0, 0, 0, 9.0)))
    assert read_moves(record) == pytest.approx({(0, "A", "B", "drug"): 6})
    assert record.short[:, 0].sum(axis=1).tolist() == pytest.approx([0, 3])


@pytest.mark.parametrize(("life", "wait", "short"), [(None, 0, 2), (None, 1, 3), (None, 2, 6), (2, 1, 6), (3, 1, 3), (2, 2, 9)])
def test_stock_on_its_way_is_there_when_it_arrives(life, wait, short):
    # Three a day are needed; seven arrive.
    truth = make(DRUG, {("A", "drug"): [3, 3, 3]}, {("A", "drug"): [0, 0, 0]}, stock=[("A", life, 7, wait)])
    assert roll(truth, do_nothing).short.sum() == pytest.approx(short) == pytest.approx(solve(truth).short.sum())


@pytest.mark.parametrize(("life", "short"), [(1, 8), (2, 4), (3, 0), (None, 0)])
def test_sent_drugs_keep_their_expiry_on_the_way(life, short):
    truth = make(DRUG, {("B", "drug"): [0, 4, 4]}, {("A", "drug"): [0] * 3, ("B", "drug"): [0] * 3}, [("A", "B", 10.0, 1.0)],
                 stock=[("A", life, 8, None)])
    assert roll(truth, order((0, 0, 0, 8.0))).short.sum() == pytest.approx(short)


@pytest.mark.parametrize(("limits", "short"), [((None, None), 5), ((DAY + pd.Timedelta(days=2), None), 0),
                                               ((DAY, DAY + pd.Timedelta(days=2)), 5)])
def test_an_order_for_drugs_of_a_certain_expiry_is_filled_with_those(limits, short):
    # A needs five on day 1, B on day 2. Five that expire on day 2 must stay with A, the five that keep must go.
    truth = make(DRUG, {("A", "drug"): [0, 5, 0], ("B", "drug"): [0, 0, 5]}, {("A", "drug"): [0] * 3, ("B", "drug"): [0] * 3},
                 [("A", "B", 10.0, 1.0)], stock=[("A", 2, 5, None), ("A", None, 5, None)])
    record = roll(truth, lambda period, state: Orders([Shipment(0, 0, 0, 5.0, *limits)] if period == 0 else [], np.zeros((2, 1))))
    assert record.short.sum() == pytest.approx(short)
    assert roll(truth, follow(solve(truth))).short.sum() == pytest.approx(0)


DRUG_DAYS = pd.date_range(DAY, periods=6)


def drug_tables():
    """Two sites that use three and one a day; deliveries on days 0, 1 and 4."""
    demand = pd.DataFrame([(date, site, "drug", units) for date in DRUG_DAYS for site, units in (("A", 3.0), ("B", 1.0))],
                          columns=["date", "site", "resource", "demand"])
    delivered = {"A": [10, 4, 0, 0, 7, 0], "B": [0, 1, 0, 0, 2, 0]}
    capacity = pd.DataFrame([(date, site, "drug", float(units)) for site in "AB" for date, units in zip(DRUG_DAYS, delivered[site])],
                            columns=["date", "site", "resource", "capacity"])
    bed = pd.DataFrame({"date": [pd.NaT], "site": "A", "resource": "bed", "capacity": 9.0})
    return demand, pd.concat([capacity, bed]), pd.DataFrame({"site": ["A", "B"]}), list_resources("bed", "drug", life={"drug": 2})


def count(until, demand, capacity, *rest):
    stock = count_stock(demand, capacity, *rest, DAY + pd.Timedelta(days=until))
    return sorted((row.site, (row.expires - DAY).days, row.units) for row in stock.itertuples())


def test_stock_is_counted_by_hand():
    tables = drug_tables()
    assert count(0, *tables) == [("A", 2, 7)]
    assert count(1, *tables) == [("A", 2, 4), ("A", 3, 4)]  # B's one came and was used
    assert count(2, *tables) == [("A", 3, 1)]  # the four expired, three of the other four were used
    assert count(3, *tables) == []
    assert count(4, *tables) == [("A", 6, 4), ("B", 6, 1)]


def test_counting_looks_at_nothing_later():
    demand, capacity, *rest = drug_tables()
    later = [frame.assign(**{name: frame[name].where(~(frame["date"] > DAY + pd.Timedelta(days=1)), 1e4)}) for frame, name in
             ((demand, "demand"), (capacity, "capacity"))]
    assert count(1, *later, *rest) == count(1, demand, capacity, *rest)
    assert count(4, *later, *rest) != count(4, demand, capacity, *rest)


def test_without_drugs_or_a_past_there_is_no_stock():
    demand, capacity, sites, resources = drug_tables()
    assert count_stock(demand, capacity, sites, resources, DAY - pd.Timedelta(days=1)).empty
    assert count_stock(demand, capacity, sites, BED, DAY).empty


def test_counted_stock_goes_on_as_it_came():
    # The whole week in one go, or counted after day 1 and rolled on from there: the same shortage on the later days.
    demand, capacity, sites, resources = drug_tables()
    drugs, mine = resources.iloc[[1]].reset_index(drop=True), capacity.dropna(subset="date").assign(surge=0.0, surge_lead_days=0.0)
    whole = pose_problem(sites, drugs, list_links(), demand, mine, Rules())
    later = pose_problem(sites, drugs, list_links(), demand[demand["date"] > DRUG_DAYS[1]], mine, Rules(),
                         stock=count_stock(demand, capacity, sites, resources, DRUG_DAYS[1]))
    rolled = roll(whole, do_nothing).short
    assert rolled[:, :, 2:].tolist() == pytest.approx(roll(later, do_nothing).short)
    assert rolled[0, 0].tolist() == pytest.approx([0, 0, 0, 3, 0, 0]) and rolled[1, 0].tolist() == pytest.approx([1, 0, 1, 1, 0, 0])


# --- The reactive rule by hand ---------------------------------------------------------------------------------------

def test_the_reactive_rule_on_two_sites():
    truth = make(BED, {("A", "bed"): [12, 12], ("B", "bed"): [6, 6]}, {("A", "bed"): [10, 10], ("B", "bed"): [10, 10]},
                 [("A", "B")], los_days=3.0, transfers_per_site_day=1.5, surge={("A", "bed"): [0, 4], ("B", "bed"): [0, 4]},
                 lead={("A", "bed"): 1, ("B", "bed"): 1})
    record = roll(truth, react)
    # Two over, 1.5 may leave; half a bed of surge is asked for tomorrow.
    second = 12 - 1.5 * stay(1, 3) - 10.5
    assert read_moves(record) == pytest.approx({(0, "A", "B", "bed"): 1.5, (1, "A", "B", "bed"): second})
    assert record.short[:, 0].tolist() == pytest.approx(np.array([[0.5, 0], [0, 0]]))
    assert record.surge[:, 0].tolist() == pytest.approx(np.array([[0, 0.5], [0, 0]]))


def test_surge_without_lead_time_opens_for_what_is_left_after_moves():
    truth = make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [2]}, [("A", "B")],
                 surge={("A", "bed"): [2], ("B", "bed"): [2]})
    record = roll(truth, react)
    assert read_moves(record) == pytest.approx({(0, "A", "B", "bed"): 2})
    assert record.surge[:, 0, 0].tolist() == pytest.approx([2, 0]) and record.short.sum() == pytest.approx(1)


def test_the_reactive_rule_asks_the_nearest_site_first():
    truth = make(VENT, {("A", "vent"): [6], ("C", "vent"): [1]}, {("A", "vent"): [0], ("B", "vent"): [9], ("C", "vent"): [5]},
                 [("B", "A", 50.0), ("C", "A", 20.0)])
    assert read_moves(roll(truth, react)) == pytest.approx({(0, "C", "A", "vent"): 4, (0, "B", "A", "vent"): 2})


def test_the_reactive_rule_does_not_ask_twice_for_what_is_on_its_way():
    truth = make(VENT, {("A", "vent"): [1] * 4, ("B", "vent"): [3, 3, 3, 4]}, {("A", "vent"): [9] * 4, ("B", "vent"): [0] * 4},
                 [("A", "B", 10.0, 2.0)])
    record = roll(truth, react)
    assert record.short[1, 0].tolist() == pytest.approx([3, 3, 0, 1])
    assert read_moves(record)[0, "A", "B", "vent"] == pytest.approx(3)
    assert (1, "A", "B", "vent") not in read_moves(record) and (2, "A", "B", "vent") not in read_moves(record)


def test_the_reactive_rule_counts_the_nurses_that_beds_in_use_need():
    resources = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"})
    truth = make(resources, {("A", "bed"): [12], ("A", "nurse"): [1], ("B", "bed"): [2]},
                 {("A", "bed"): [10], ("A", "nurse"): [4], ("B", "bed"): [2], ("B", "nurse"): [9]}, [("B", "A")])
    record = roll(truth, react)
    # Ten beds in use need five nurses and one is needed elsewhere: two are missing; B can spare eight.
    assert read_moves(record) == pytest.approx({(0, "B", "A", "nurse"): 2})
    assert record.short[0, :, 0].tolist() == pytest.approx([2, 0])


def test_the_reactive_rule_keeps_a_reserve_of_drugs():
    reserve = DRUG_RESERVE * 2
    truth = make(DRUG, {("A", "drug"): [2], ("B", "drug"): [20]}, {("A", "drug"): [reserve + 16], ("B", "drug"): [0]}, [("A", "B")],
                 transfers_per_day=1.0)
    record = roll(truth, react)
    assert read_moves(record) == pytest.approx({(0, "A", "B", "drug"): 16})
    assert record.short[:, 0, 0].tolist() == pytest.approx([0, 4])


@pytest.mark.parametrize(("day", "site", "moved"), [(3.0, 99.0, 3), (99.0, 4.0, 4), (99.0, 99.0, 10)])
def test_the_reactive_rule_keeps_the_budgets(day, site, moved):
    truth = make(BED, {("A", "bed"): [15], ("B", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [10], ("C", "bed"): [50]},
                 [("A", "C"), ("B", "C")], transfers_per_day=day, transfers_per_site_day=site)
    assert roll(truth, react).moves["amount"].sum() == pytest.approx(moved)


# --- Plans and forecasts ---------------------------------------------------------------------------------------------

def tabulate_capacity(truth, before=7):
    """The `capacity` table behind a truth, with a week of history."""
    days = pd.date_range(truth.dates[0] - pd.Timedelta(days=before), truth.dates[-1])
    steady = np.concatenate([np.repeat(truth.capacity[:, :, :1], before, axis=2), truth.capacity], axis=2)
    index = pd.MultiIndex.from_product([truth.sites, truth.names, days], names=["site", "resource", "date"])
    frame = pd.DataFrame({"capacity": steady.reshape(-1), "surge": np.repeat(truth.surge.max(axis=2).reshape(-1), len(days)),
                          "surge_lead_days": np.repeat(truth.surge_lead_days.reshape(-1), len(days))}, index=index)
    return frame.reset_index()


def forecast(truth, horizon, wrong=lambda demand, level, random: demand, levels=(0.1, 0.5, 0.9), seed=0):
    """Forecasts as of every day of the window; by default they say what happens, and afterwards its last day again."""
    random, frames = np.random.default_rng(seed), []
    for period, as_of in enumerate(truth.dates):
        for ahead in range(1, horizon + 1):
            demand = truth.demand[0, :, :, min(period + ahead, len(truth.dates) - 1)]
            for level in levels:
                index = pd.MultiIndex.from_product([truth.sites, truth.names], names=["site", "resource"])
                frames.append(pd.DataFrame({"demand": wrong(demand, level, random).reshape(-1)}, index=index).reset_index().assign(
                    as_of=as_of, date=as_of + pd.Timedelta(days=ahead), quantile=level))
    return pd.concat(frames, ignore_index=True)


def noisy(demand, level, random):
    return np.maximum(demand * (0.7 + 0.6 * level) + random.normal(0, 1, demand.shape), 0)


def test_a_plan_with_a_forecast_acts_before_it_is_too_late():
    # B will need three ventilators on day 1; they take a day. The reactive rule sends them on day 1.
    truth = make(VENT, {("A", "vent"): [1, 1, 1], ("B", "vent"): [0, 3, 3]}, {("A", "vent"): [9] * 3, ("B", "vent"): [0] * 3},
                 [("A", "B", 10.0, 1.0)])
    # The median is right; the outer quantiles are not, and make the plan with the full forecast send more to be safe.
    forecasts = forecast(truth, 2, lambda demand, level, random: demand * level / 0.5)
    records = climb(truth, View(forecasts, tabulate_capacity(truth), horizon=3))
    assert {rung: record.short.sum() for rung, record in records.items()} == pytest.approx(
        {"none": 6, "reactive": 3, "point": 0, "point_cushion": 0, "stochastic": 0, "perfect": 0})
    assert read_moves(records["point"]) == pytest.approx({(0, "A", "B", "vent"): 3})
    assert read_moves(records["stochastic"])[0, "A", "B", "vent"] == pytest.approx(3 * 0.9 / 0.5)
    assert list(records) == list(SHORT_LADDER)


def test_a_plan_with_a_forecast_asks_for_surge_in_time():
    truth = make(BED, {("A", "bed"): [5, 5, 8, 8]}, {("A", "bed"): [6] * 4}, surge={("A", "bed"): [0, 0, 3, 3]}, lead={("A", "bed"): 2})
    records = climb(truth, View(forecast(truth, 3), tabulate_capacity(truth), horizon=4))
    assert {rung: record.short.sum() for rung, record in records.items()} == pytest.approx(
        {"none": 4, "reactive": 4, "point": 0, "point_cushion": 0, "stochastic": 0, "perfect": 0})
    assert records["point"].surge[0, 0].tolist() == pytest.approx([0, 0, 2, 2])


def test_surge_that_was_not_asked_for_in_time_stays_closed():
    truth = make(BED, {("A", "bed"): [5, 8, 8, 8]}, {("A", "bed"): [6] * 4}, surge={("A", "bed"): [0, 0, 3, 3]}, lead={("A", "bed"): 2})
    blind = forecast(truth, 3, lambda demand, level, random: 0 * demand + 5)
    for policy in (react, replan(View(blind, tabulate_capacity(truth), 4))):
        record = roll(truth, policy, beyond=4)
        assert record.surge[0, 0].tolist()[:3] == pytest.approx([0, 0, 0])
        assert record.short[0, 0].tolist()[:3] == pytest.approx([0, 2, 2])
    # Two short on day 1: the reactive rule asks for them for day 3, a plan that expects five then does not.
    assert roll(truth, react, beyond=4).short[0, 0, 3] == pytest.approx(0)


def test_a_plan_sees_today_as_it_is_whatever_was_forecast():
    truth = make(BED, {("A", "bed"): [12, 8], ("B", "bed"): [3, 3]}, {("A", "bed"): [10] * 2, ("B", "bed"): [10] * 2}, [("A", "B")])
    blind = forecast(truth, 1, lambda demand, level, random: 0 * demand + 4)
    record = roll(truth, replan(View(blind, tabulate_capacity(truth), 2)), beyond=2)
    assert read_moves(record) == pytest.approx({(0, "A", "B", "bed"): 2}) and record.short.sum() == pytest.approx(0)


def test_a_plan_knows_who_is_where_because_of_it():
    # The two moved on day 0 are still there in part: only those who left are followed by others, as a plan in one go has it.
    truth = make(BED, {("A", "bed"): [10, 10, 10], ("B", "bed"): [2, 2, 2]}, {("A", "bed"): [8] * 3, ("B", "bed"): [20] * 3},
                 [("A", "B")], los_days=3.0)
    record = roll(truth, replan(View(forecast(truth, 2), tabulate_capacity(truth), 3)), beyond=3)
    assert list(read_moves(record).values()) == pytest.approx(solve(truth).moves["amount"].tolist(), abs=1e-3)
    assert record.short.sum() == pytest.approx(0, abs=1e-6)


def test_a_plan_counts_todays_delivery_once():
    # The six of today serve A today and tomorrow. Were they counted twice, B would be given five.
    truth = make(DRUG, {("A", "drug"): [3, 3], ("B", "drug"): [5, 0]}, {("A", "drug"): [6, 0], ("B", "drug"): [0, 0]}, [("A", "B")])
    capacity = tabulate_capacity(truth)
    capacity["capacity"] = capacity["capacity"].where(capacity["date"] == DAY, 0.0)
    record = roll(truth, replan(View(forecast(truth, 1), capacity, 2)), beyond=2)
    assert record.moves.empty and record.short.sum() == pytest.approx(5)


def test_a_plan_knows_what_is_on_its_way():
    # Day 0 sends three ventilators and six drug units for days 2 and 3; each later day looks one day further and sends three
    # more of the drug. Nothing is sent a second time because it has not come yet.
    resources = list_resources("vent", "drug")
    truth = make(resources, {("B", name): [0, 0, 3, 3] for name in ("vent", "drug")},
                 {("A", "vent"): [9] * 4, ("A", "drug"): [0] * 4, ("B", "vent"): [0] * 4, ("B", "drug"): [0] * 4},
                 [("A", "B", 10.0, 2.0)], stock=[("A", None, 40, None)])
    record = roll(truth, replan(View(forecast(truth, 3), tabulate_capacity(truth), 4)), beyond=4)
    assert record.short.sum() == pytest.approx(0)
    drugs = {(day, "A", "B", "drug"): units for day, units in enumerate([6, 3, 3, 3])}
    assert read_moves(record) == pytest.approx({(0, "A", "B", "vent"): 3} | drugs)


def outlook(truth, there, levels=(0.25, 0.5, 0.75)):
    """Capacity forecasts as of every day of the window for all later ones: there(units in place, level); deliveries are certain."""
    drugs = truth.resources.loc[truth.resources["kind"] == "drug", "resource"]
    index = pd.MultiIndex.from_product([truth.sites, truth.names, truth.dates], names=["site", "resource", "date"])
    plain = pd.DataFrame({"capacity": truth.capacity.reshape(-1), "surge": np.broadcast_to(
        truth.surge.max(axis=2, keepdims=True), truth.capacity.shape).reshape(-1), "surge_lead_days": np.repeat(
        truth.surge_lead_days.reshape(-1), len(truth.dates))}, index=index).reset_index()
    frames = [plain.assign(quantile=level, capacity=plain["capacity"].where(plain["resource"].isin(drugs), there(plain["capacity"], level)))
              for level in levels]
    return pd.concat([frame[frame["date"] > as_of].assign(as_of=as_of) for as_of in truth.dates for frame in frames], ignore_index=True)


def test_a_plan_that_expects_beds_to_close_sends_units_before():
    # Tomorrow three of A's nurses are away, which last week's roster does not know; from B they take a day.
    nurse = list_resources("nurse")
    truth = make(nurse, {("A", "nurse"): [5, 5], ("B", "nurse"): [1, 1]}, {("A", "nurse"): [5, 2], ("B", "nurse"): [6, 6]},
                 [("B", "A", 10.0, 1.0)])
    forecasts, capacity = forecast(truth, 1), tabulate_capacity(truth)
    blind = climb(truth, View(forecasts, capacity, 2))
    seeing = climb(truth, View(forecasts, capacity, 2, outlook(truth, lambda units, level: units)))
    unsure = climb(truth, View(forecasts, capacity, 2, outlook(truth, lambda units, level: units + 2 * (level > 0.5) - 1 * (level < 0.5))))
    assert [records["point"].short.sum() for records in (blind, seeing, unsure)] == pytest.approx([3, 0, 0])
    # The worst level lacks one more at A and at B, where it cannot be sent: five are there in the worst case, one is needed.
    assert read_moves(seeing["stochastic"]) == pytest.approx({(0, "B", "A", "nurse"): 3})
    assert read_moves(unsure["stochastic"]) == pytest.approx({(0, "B", "A", "nurse"): 4})
    for rung in ("none", "reactive", "perfect"):
        np.testing.assert_array_equal(blind[rung].short, unsure[rung].short)


def test_a_plan_with_a_certain_outlook_is_the_one_with_last_weeks_pattern():
    truth = make(list_resources("bed", "nurse", requires={"bed": "0.5 nurse"}), {("A", "bed"): [12, 14, 15], ("B", "bed"): [3, 3, 3]},
                 {(site, name): [10] * 3 if name == "bed" else [5] * 3 for site in "AB" for name in ("bed", "nurse")},
                 [("A", "B"), ("B", "A", 10.0, 1.0)], surge={("A", "bed"): [1, 1, 1]})
    forecasts, capacity = forecast(truth, 2, noisy), tabulate_capacity(truth)
    old, same = climb(truth, View(forecasts, capacity, 3)), climb(truth, View(forecasts, capacity, 3, outlook(truth, lambda units, level: units), 0.5))
    for rung in ("none", "reactive", "point", "stochastic", "perfect"):
        assert total(same[rung], truth) == pytest.approx(total(old[rung], truth), abs=1e-6)


def test_units_that_were_sent_away_are_missing_in_every_scenario():
    # A gives B nine of its ten on day 0. Of the one that is left none more than one can be missing later: the plan stays feasible.
    truth = make(VENT, {("B", "vent"): [9, 9, 9]}, {("A", "vent"): [10] * 3, ("B", "vent"): [0] * 3}, [("A", "B"), ("B", "A")])
    lower = outlook(truth, lambda units, level: (units * level / 0.5).clip(upper=10.0))
    record = roll(truth, replan(View(forecast(truth, 2), tabulate_capacity(truth), 3, lower)), beyond=3)
    assert (record.short >= 0).all() and record.short[1, 0, 0] <= 9
    assert record.moves["amount"].min() > 0


# --- The ladder's order ----------------------------------------------------------------------------------------------

@st.composite
def worlds(draw, longest=4):
    """Random tiny worlds in which what moves is small against what a site has.

    Larger moves would meet the two places where model and simulation differ: who gives away more than he has later (the plan
    must not, the simulation counts it as nothing), and what is passed on the day it comes (the plan may, the simulation not).
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sites, periods = draw(st.integers(2, 3)), draw(st.integers(2, longest))
    names = sorted(draw(st.sets(st.sampled_from(list(KINDS)), min_size=1, max_size=4)), key=list(KINDS).index)
    resources = list_resources(*names, requires={name: "0.5 nurse" for name in ("bed", "icu") if {name, "nurse"} <= set(names)},
                               life={"drug": int(random.integers(1, 4))} if random.random() < 0.6 else {})
    shape = (sites, len(names), periods)
    lead = random.integers(0, 3, shape[:2]).astype(float)
    capacity = random.integers(5, 13, shape).astype(float)
    drug = np.array([name == "drug" for name in names])
    capacity = np.where(drug[:, None], random.integers(0, 9, shape), capacity[:, :, :1])
    rules = Rules(planning_occupancy=float(random.choice([0.8, 1.0])), transfers_per_day=float(random.choice([1, 3])),
                  transfers_per_site_day=1.0, los_days=float(random.choice([1.0, 6.0])))
    pairs = [(a, b) for a in "ABC"[:sites] for b in "ABC"[:sites] if a != b and random.random() < 0.8]
    links = list_links(*((a, b, float(random.integers(1, 99)), float(random.integers(1, 3) if drug.any() else random.integers(0, 3)))
                         for a, b in pairs))
    stock = [("ABC"[random.integers(sites)], random.choice([None, 1, 2, 3]), int(random.integers(1, 9)), random.choice([None, 1]))
             for _ in range(random.integers(0, 4)) if drug.any()]
    return Problem(sites=tuple("ABC"[:sites]), resources=resources, dates=pd.date_range(DAY, periods=periods), weights=np.ones(1),
                   demand=random.integers(5, 13, (1, *shape)).astype(float), capacity=capacity,
                   surge=np.where(np.arange(periods) >= lead[:, :, None], random.integers(0, 3, (*shape[:2], 1)), 0.0),
                   surge_lead_days=lead, links=limit_links(links, rules), rules=rules, stock=list_stock(*stock))


@settings(max_examples=25, deadline=None, phases=FOUND)
@given(truth=worlds())
def test_following_the_perfect_plan_leads_to_the_shortage_it_promised(truth):
    plan = solve_lexicographic(truth)
    assert total(roll(truth, follow(plan)), truth) == pytest.approx(plan.weighted_shortage, abs=1e-4)


@settings(max_examples=8, deadline=None, phases=FOUND)
@given(truth=worlds(longest=3), horizon=st.integers(1, 3), seed=st.integers(0, 99))
def test_nobody_is_below_perfect_foresight_nor_it_below_the_bound(truth, horizon, seed):
    forecasts, rules = forecast(truth, 3, noisy, seed=seed), truth.rules
    records = climb(truth, View(forecasts, tabulate_capacity(truth), horizon))
    shortage = {rung: total(record, truth) for rung, record in records.items()}
    weights = np.array([truth.shortage_weight[name] for name in truth.names])
    assert bound_shortage(truth) @ weights <= shortage["perfect"] + 1e-4
    assert min(shortage.values()) >= shortage["perfect"] - 1e-4, shortage
    for rung, record in records.items():
        assert (record.short >= 0).all() and (record.surge >= 0).all() and (record.surge <= truth.surge + 1e-9).all(), rung
        moves = record.moves[record.moves["resource"] != "drug"]
        assert (moves.groupby(["date", "resource"])["amount"].sum() <= rules.transfers_per_day + 1e-6).all(), rung
        for end in ("origin", "destination"):
            both = pd.concat([moves, moves.rename(columns={"origin": "destination", "destination": "origin"})])
            assert (both.groupby(["date", "resource", end])["amount"].sum() <= rules.transfers_per_site_day + 1e-6).all(), rung
    ladder = check_frame(tabulate_ladder(records, truth), "ladder").set_index(["rung", "resource"])
    for rung, value in shortage.items():
        assert ladder.loc[(rung, "all"), "shortage"] == pytest.approx(value, abs=1e-3)
    gap = (ladder.loc["reactive", "shortage"] - ladder.loc["perfect", "shortage"]) > 1e-9
    for rung in SHORT_LADDER:
        closed = ladder.loc[rung, "gap_closed"]
        assert (closed.notna() == gap).all(), rung
        assert rung not in ("reactive", "perfect") or (closed[gap] == (rung != "reactive")).all(), rung


# --- Nothing later in sight ------------------------------------------------------------------------------------------

def poison(truth, after):
    """The same world until the end of a period, and another one later."""
    demand, capacity, surge = truth.demand.copy(), truth.capacity.copy(), truth.surge.copy()
    demand[..., after + 1:] *= 1000
    capacity[..., after + 1:] = 0
    surge[..., after + 1:] += 77
    return Problem(**{name: getattr(truth, name) for name in ("sites", "resources", "dates", "weights", "surge_lead_days", "links",
                                                              "rules", "stock")}, demand=demand, capacity=capacity, surge=surge)


@pytest.mark.parametrize("rung", [rung for rung in SHORT_LADDER if rung not in ("none", "perfect")])
@settings(max_examples=4, deadline=None, phases=FOUND)
@given(truth=worlds(longest=3), after=st.integers(0, 1))
def test_policies_see_nothing_later(rung, truth, after):
    after = min(after, len(truth.dates) - 2)
    today = truth.dates[after]

    def run(world, forecasts, capacity, expected):
        policy = make_policy(rung, world, View(forecasts, capacity, 3, expected, 0.4))
        return roll(world, policy, beyond=3)
    forecasts, capacity = forecast(truth, 3, noisy), tabulate_capacity(truth)
    later_forecast, later = forecasts["as_of"] > today, capacity["date"] > today
    expected = outlook(truth, lambda units, level: (units + 4 * (level - 0.5)).clip(lower=0.0))
    record = run(truth, forecasts, capacity, expected)
    unknown = expected["as_of"] > today
    other = run(poison(truth, after), forecasts.assign(demand=forecasts["demand"].where(~later_forecast, 5e3)),
                capacity.assign(**{name: capacity[name].where(~later, 7e3) for name in ("capacity", "surge")}),
                expected.assign(capacity=expected["capacity"].where(~unknown, 9e3)))
    np.testing.assert_array_equal(record.short[:, :, :after + 1], other.short[:, :, :after + 1])
    np.testing.assert_array_equal(record.surge[:, :, :after + 1], other.surge[:, :, :after + 1])
    pd.testing.assert_frame_equal(record.moves[record.moves["date"] <= today].reset_index(drop=True),
                                  other.moves[other.moves["date"] <= today].reset_index(drop=True), check_dtype=False)
    assert not np.array_equal(record.short[:, :, after + 1:], other.short[:, :, after + 1:])


# --- The tables ------------------------------------------------------------------------------------------------------

def test_the_bound_pools_all_sites():
    truth = make(list_resources("bed", "drug", life={"drug": 1}), {("A", "bed"): [15, 5], ("B", "bed"): [7, 5], ("A", "drug"): [4, 4]},
                 {("A", "bed"): [10, 10], ("B", "bed"): [10, 10], ("A", "drug"): [0, 0], ("B", "drug"): [6, 1]},
                 planning_occupancy=0.9, surge={("A", "bed"): [1, 1]}, stock=[("B", 2, 1, None)])
    # Twenty-two in 0.9 * 21 beds on day 0; no drug is left over from day 0 but the one unit in stock.
    assert bound_shortage(truth).tolist() == pytest.approx([22 - 0.9 * 21, 2])


@cache
def small_ladder():
    resources = list_resources("bed", "vent", "drug")
    truth = make(resources, {("A", "bed"): [12, 12], ("B", "vent"): [0, 2], ("B", "drug"): [1, 1]},
                 {("A", "bed"): [10, 10], ("B", "bed"): [11, 11], ("A", "vent"): [5, 5], ("A", "drug"): [40, 0]},
                 [("A", "B", 50.0, 1.0, 3.0)], los_days=1e6, surge={("A", "bed"): [1, 1]}, move_cost=2.0, cost_per_km=0.1,
                 surge_cost=7.0, transfers_per_site_day=1.5)
    return truth, climb(truth, View(forecast(truth, 1), tabulate_capacity(truth), 2))


def test_the_ladder_by_hand():
    truth, records = small_ladder()
    ladder = check_frame(tabulate_ladder(records, truth), "ladder").set_index(["rung", "resource"])
    reactive = ladder.loc["reactive"]
    # Patients: 1.5 move on day 0, half a one on day 1; what is over on day 0 opens surge. Points: 2 + 3 + 0.1 * 50 a move.
    assert reactive.loc["bed", ["shortage", "transfers", "distance_km", "surge", "cost"]].tolist() == pytest.approx(
        [0, 2, 100, 0.5, 2 * 10 + 3.5], abs=1e-3)
    assert reactive.loc["vent", ["shortage", "transfers", "distance_km", "cost"]].tolist() == pytest.approx([2, 1.5, 75, 15])
    # The drug asked for on day 0 is there on day 1. Bulk is no transfer in the sum, but its cost is.
    assert reactive.loc["drug", ["shortage", "transfers", "cost"]].tolist() == pytest.approx([1, 1, 10])
    assert reactive.loc["all", ["shortage", "transfers", "distance_km", "surge"]].tolist() == pytest.approx([3, 3.5, 175, 0.5], abs=1e-3)
    assert reactive.loc["all", "cost"] == pytest.approx(23.5 + 15 + 10, abs=1e-3)
    assert ladder.loc["none", "shortage"].to_dict() == pytest.approx({"bed": 4, "vent": 2, "drug": 2, "all": 8})
    # The plan sends 1.5 ventilators ahead, which is what a site's budget allows.
    assert ladder.loc["perfect", "shortage"].to_dict() == pytest.approx({"bed": 0, "vent": 0.5, "drug": 1, "all": 1.5}, abs=1e-3)
    closed = ladder["gap_closed"]
    assert closed.loc["none", ["vent", "all"]].tolist() == pytest.approx([0, (3 - 8) / (3 - 1.5)], abs=1e-3)
    assert closed.loc["point", ["vent", "all"]].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert closed.xs("drug", level="resource").isna().all()  # reactive and perfect alike: no gap
    assert ladder["bound"].xs("reactive").to_dict() == pytest.approx({"bed": 0, "vent": 0, "drug": 0, "all": 0})


def test_the_daily_table_sums_to_the_ladder():
    truth, records = small_ladder()
    daily = check_frame(tabulate_daily(records, truth), "ladder_daily")
    assert len(daily) == len(SHORT_LADDER) * truth.capacity.size
    ladder = tabulate_ladder(records, truth).query("resource != 'all'").set_index(["rung", "resource"])["shortage"]
    sums = daily.groupby(["rung", "resource"])["shortage"].sum()
    assert sums.to_dict() == pytest.approx(ladder.to_dict(), abs=1e-3)
    row = daily[(daily["rung"] == "none") & (daily["site"] == "A") & (daily["resource"] == "bed")]
    assert row["shortage"].tolist() == [2.0, 2.0] and row["date"].tolist() == list(truth.dates)


def test_shortage_in_the_sum_is_weighted():
    truth = make(list_resources("bed", "vent", weight={"bed": 3.0}), {("A", "bed"): [12], ("A", "vent"): [6]},
                 {("A", "bed"): [10], ("A", "vent"): [5]})
    ladder = tabulate_ladder(climb(truth, View(forecast(truth, 1), tabulate_capacity(truth), 1)), truth).set_index(["rung", "resource"])
    assert ladder.loc[("reactive", "all"), "shortage"] == ladder.loc[("reactive", "all"), "bound"] == pytest.approx(3 * 2 + 1)
    assert ladder["gap_closed"].isna().all()


def test_a_run_leaves_the_truth_alone():
    truth, _ = small_ladder()
    before = {name: getattr(truth, name).copy() for name in ("demand", "capacity", "surge")}
    stock = truth.stock.copy()
    roll(truth, react)
    roll(truth, follow(solve(truth)))
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(truth, name), values)
    pd.testing.assert_frame_equal(truth.stock, stock)
    assert FREE["planning_occupancy"] == truth.rules.planning_occupancy
