"""What planning policies see: joint scenarios, how far ahead they differ, arrivals; and the rungs that plan with them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_allocate import BED, DAY, VENT, list_resources, make
from test_simulate import forecast, noisy, tabulate_capacity

from medlib.allocate import Decision, Rules, Shipment, solve
from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.foresight import pose_tables
from medlib.simulate import (RUNGS, SHORT_LADDER, Orders, State, View, climb, count_binding, do_nothing, follow, judge_ladder, make_policy, react,
                             replan, roll, tabulate_ladder)
from medlib.simulate.view import find_median

MIRROR = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "allocation"
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="the published case is read from MEDLIB_MIRROR, which is not set")


NO_LIMITS = {"transfers_per_day": np.inf, "transfers_per_site_day": np.inf}


def tabulate_history(truth, before=60, seed=3):
    """Demand before and in the window, going up and down by chance."""
    random = np.random.default_rng(seed)
    past = truth.demand[0, :, :, :1] * np.exp(0.1 * random.normal(size=(*truth.demand.shape[1:3], before)).cumsum(axis=2) / 3)
    days = pd.date_range(truth.dates[0] - pd.Timedelta(days=before), truth.dates[-1])
    index = pd.MultiIndex.from_product([truth.sites, truth.names, days], names=["site", "resource", "date"])
    return pd.DataFrame({"demand": np.concatenate([past, truth.demand[0]], axis=2).ravel()}, index=index).reset_index()


def widening(demand, level, random):
    """Quantiles around what happens."""
    return demand * (0.7 + 0.6 * level)


@pytest.fixture(scope="module")
def world():
    return make(BED, {("A", "bed"): [9, 12, 15, 14, 13], ("B", "bed"): [4, 5, 6, 5, 4], ("C", "bed"): [8, 8, 9, 9, 8]},
                {(site, "bed"): [10] * 5 for site in "ABC"}, [("A", "B", 40.0), ("A", "C", 90.0), ("C", "B", 20.0)])


@pytest.fixture(scope="module")
def view(world):
    return View(forecast(world, 3, widening), tabulate_capacity(world), 4, history=tabulate_history(world), count=20)


# --- Posing ----------------------------------------------------------------------------------------------------------

def test_scenarios_know_today_and_keep_the_forecasts_middle(world, view):
    posed = view.pose(0, State(world, 4), "scenarios")
    assert posed.demand.shape == (20, 3, 1, 4) and posed.weights.tolist() == pytest.approx([0.05] * 20)
    assert (posed.demand[..., 0] == world.demand[..., 0]).all()
    assert (np.ptp(posed.demand[..., 1:], axis=0) > 0).all()
    median = view.pose(0, State(world, 4), "point").demand[0]
    np.testing.assert_allclose(find_median(posed.demand, posed.weights), median, rtol=0.1)


def test_scenarios_differ_as_far_ahead_as_is_asked(world, view):
    posed = view.pose(0, State(world, 4), "scenarios", hedged=1)
    assert (np.ptp(posed.demand[..., 1], axis=0) > 0).all() and not np.ptp(posed.demand[..., 2:], axis=0).any()
    whole = view.pose(0, State(world, 4), "scenarios")
    np.testing.assert_array_equal(posed.demand[..., :2], whole.demand[..., :2])
    np.testing.assert_allclose(posed.demand[0, ..., 2:], find_median(whole.demand, whole.weights)[..., 2:])


def test_the_weighted_median_by_hand():
    values, weights = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 9.0]]), np.array([0.5, 0.2, 0.3])
    assert find_median(values, weights).tolist() == [2.0, 1.0]
    assert find_median(values, np.array([0.6, 0.2, 0.2])).tolist() == [3.0, 1.0]


def test_uncertain_capacity_is_drawn_with_demand_as_both_went_together(world):
    # Where demand's and capacity's past errors are the same, high demand meets high capacity.
    capacity, history = tabulate_capacity(world, before=60), tabulate_history(world)
    capacity = capacity.merge(history, on=["date", "site", "resource"]).assign(capacity=lambda rows: rows["demand"] + 1).drop(columns="demand")
    expected = forecast(world, 3, lambda demand, level, random: demand * (0.7 + 0.6 * level) + 1).rename(columns={"demand": "capacity"}).assign(
        model="x", surge=0.0, surge_lead_days=0.0)
    together = View(forecast(world, 3, widening), capacity, 4, expected, history=history, count=30)
    posed = together.pose(0, State(world, 4), "scenarios")
    there = posed.scenario_capacity[:, 0, 0, 1:]
    assert np.corrcoef(posed.demand[:, 0, 0, 1], there[:, 0])[0, 1] > 0.95
    assert not np.ptp(posed.scenario_capacity[..., 0], axis=0).any()


def test_a_way_that_is_not_known_and_scenarios_without_a_history_are_refused(world, view):
    with pytest.raises(MedlibError, match="posed by point, levels, scenarios; got 'guess'"):
        view.pose(0, State(world, 4), "guess")
    with pytest.raises(MedlibError, match="need the history"):
        replace(view, history=None).pose(0, State(world, 4), "scenarios")


def test_scenarios_see_nothing_later(world, view):
    today = world.dates[1]
    other = replace(view, history=view.history.assign(demand=view.history["demand"].where(view.history["date"] <= today, 7e3)),
                    forecasts=view.forecasts.assign(demand=view.forecasts["demand"].where(view.forecasts["as_of"] <= today, 5e3)))
    for policy in ("stochastic", "robust"):
        records = [roll(world, make_policy(policy, world, seen), beyond=4) for seen in (view, other)]
        first, second = (record.moves[record.moves["date"] <= today].reset_index(drop=True) for record in records)
        pd.testing.assert_frame_equal(first, second, check_dtype=False)


# --- How far today binds ---------------------------------------------------------------------------------------------

def test_today_binds_until_what_tomorrow_decides_can_arrive(world):
    assert count_binding(world) is None  # so many a day
    assert count_binding(replace(world, rules=Rules.without_limits())) == 1
    slow = make(VENT, {("A", "vent"): [1] * 3, ("B", "vent"): [1] * 3}, {("A", "vent"): [1] * 3, ("B", "vent"): [0] * 3},
                [("A", "B", 40.0, 2.0)], **NO_LIMITS)
    assert count_binding(slow) == 2
    # Patients are not on the way for longer than their day.
    assert count_binding(make(BED, {("A", "bed"): [1], ("B", "bed"): [1]}, {("A", "bed"): [1], ("B", "bed"): [1]}, [("A", "B", 40.0, 9.0)], **NO_LIMITS)) == 1
    surge = make(BED, {("A", "bed"): [5] * 4}, {("A", "bed"): [6] * 4}, surge={("A", "bed"): [0, 0, 0, 3]}, lead={("A", "bed"): 3}, **NO_LIMITS)
    assert count_binding(surge) == 3
    assert count_binding(replace(slow, rules=replace(slow.rules, transfers_per_day=5.0))) is None


# --- Arrivals --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def clinic():
    """Two sites; only those who arrive may be sent; stays of three days at half, then out."""
    days = pd.date_range(DAY, periods=3)
    keys = pd.MultiIndex.from_product([["A", "B"], ["bed"], days], names=["site", "resource", "date"])
    tables = {"sites": pd.DataFrame({"site": ["A", "B"]}), "resources": list_resources("bed"),
              "links": pd.DataFrame({"origin": ["A"], "destination": ["B"], "distance_km": [10.0], "lead_days": 0.0, "cost": 0.0}),
              "capacity": pd.DataFrame({"site": ["A", "B"], "resource": "bed", "capacity": [10.0, 8.0]}),
              "arrivals": pd.DataFrame({"arrivals": [4.0, 6.0, 2.0, 1.0, 0.0, 3.0]}, index=keys).reset_index(),
              "initial": pd.DataFrame({"remaining": [8.0, 4.0, 2.0, 2.0, 1.0, 0.0]}, index=keys).reset_index(),
              "stay": pd.DataFrame({"day": [0, 1, 2], "survival": [1.0, 0.5, 0.25]})}
    return pose_tables(tables, Rules.without_limits(handover_days=1))


def test_only_those_who_arrive_are_sent_and_need_a_bed_at_both_ends_that_day(clinic):
    assert clinic.demand[0, 0, 0].tolist() == pytest.approx([12, 12, 8])  # 8 + 4; 4 + 2 + 6; 2 + 1 + 3 + 2
    send = lambda period, state: Orders([Shipment(0, 0, 0, 9.0)] * (period == 0), np.zeros((2, 1)))
    record = roll(clinic, send)
    assert record.moves["amount"].tolist() == pytest.approx([4.0])
    # Day 0: all twelve still need a bed in A; B has three of its own and four more, then half and a quarter of them.
    assert record.short[0, 0].tolist() == pytest.approx([2, 0, 0]) and record.short[1, 0].tolist() == pytest.approx([0, 0, 0])


def test_following_the_plan_leads_to_the_shortage_it_promised(clinic):
    plan = solve(clinic, "shortage")
    assert 0 < plan.weighted_shortage < clinic.idle_shortage.sum()
    assert roll(clinic, follow(plan)).short.sum() == pytest.approx(plan.weighted_shortage)


def test_a_plan_carries_on_those_who_are_there_and_forecasts_those_who_come(clinic):
    coming = forecast(replace(clinic, demand=clinic.arrivals[None]), 2)
    view = View(coming, pd.DataFrame({"site": ["A", "B"], "resource": "bed", "capacity": [10.0, 8.0]}), 3)
    state = State(clinic, 3)
    state.receive(0)
    posed = view.pose(0, state, "point")
    # The forecast is right, so that the problem is the truth; after the window those of before go on leaving as in its last period.
    np.testing.assert_allclose(posed.demand[0], clinic.demand[0])
    np.testing.assert_allclose(posed.arrivals, clinic.arrivals)
    state.receive(1)
    assert view.pose(1, state, "point").demand[0, 0, 0].tolist() == pytest.approx([12, 8, 1 + 0.5 * 2 + 0.25 * 6 + 2 + 0.25 * 0])
    assert roll(clinic, replan(view, "point"), beyond=3).short.sum() == pytest.approx(solve(clinic, "shortage").weighted_shortage)


def test_the_reactive_rule_sends_those_who_arrive_only(clinic):
    record = roll(clinic, react)
    assert record.moves["amount"].tolist() == pytest.approx([2.0, 1.0])


@needs_mirror
def test_the_published_case_rolled_day_by_day_has_the_published_accounts():
    truth = pose_tables(load_dataset("tx_icu")[0], Rules.without_limits(handover_days=1))
    assert roll(truth, do_nothing).short.sum() == pytest.approx(12_798.6, abs=0.05)
    plan = solve(truth, ("shortage", "transfers"))
    record = roll(truth, follow(plan))
    assert record.short.sum() == pytest.approx(0.0, abs=1e-3)
    assert record.moves["amount"].sum() == pytest.approx(plan.transfers, rel=1e-6)


# --- The ladder ------------------------------------------------------------------------------------------------------

def test_every_rung_has_a_policy_and_an_unknown_one_is_refused(world, view):
    rungs = [rung for rung in RUNGS if rung != "learned"]  # which takes a minute to learn; see test_learned_policy
    records = climb(world, view, rungs)
    assert list(records) == rungs and set(SHORT_LADDER) < set(RUNGS)
    shortage = tabulate_ladder(records, world).query("resource == 'all'").set_index("rung")["shortage"]
    assert (shortage >= shortage["perfect"] - 1e-6).all() and (shortage.drop("none") < shortage["none"]).all()
    with pytest.raises(MedlibError, match="no rung 'clairvoyant'"):
        climb(world, view, ["clairvoyant"])


def test_robust_plans_leave_drugs_to_the_mean():
    resources = list_resources("bed", "drug")
    truth = make(resources, {("A", "bed"): [12, 12], ("B", "drug"): [1, 3]}, {("A", "bed"): [10, 10], ("B", "bed"): [11, 11], ("A", "drug"): [40, 0]},
                 [("A", "B", 50.0)])
    record = roll(truth, make_policy("robust", truth, View(forecast(truth, 1, noisy), tabulate_capacity(truth), 2)), beyond=2)
    assert record.short.sum() == pytest.approx(0.0, abs=1e-6)
    assert set(record.moves["resource"]) == {"bed", "drug"}


def test_the_judgement_by_hand(world, view):
    records = {rung: roll(world, make_policy(rung, world, view), beyond=4) for rung in ("none", "reactive", "point", "perfect")}
    judged = judge_ladder(records, world, block=1, draws=500).set_index(["rung", "measure"])
    ladder = tabulate_ladder(records, world).query("resource == 'all'").set_index("rung")
    for name in ("shortage", "transfers", "cost", "gap_closed"):
        assert judged.xs(name, level="measure")["value"].to_dict() == pytest.approx(ladder[name].to_dict(), abs=1e-3, nan_ok=True)
    assert judged.loc[("none", "worst_site"), "value"] == pytest.approx(records["none"].short.sum(axis=(1, 2)).max())
    assert judged.loc[("none", "saved"), "value"] == pytest.approx(ladder.loc["point", "shortage"] - ladder.loc["none", "shortage"])
    # Paired: a rung against itself is no different in any sample.
    assert judged.loc[("point", "saved"), ["low", "high"]].tolist() == [0, 0]
    assert (judged["low"] <= judged["high"])[judged["low"].notna()].all()
    low, high = judged.loc[("none", "shortage"), ["low", "high"]]
    daily = records["none"].short.sum(axis=(0, 1))
    assert 5 * daily.min() <= low < daily.sum() < high <= 5 * daily.max()


def test_a_network_moves_patients_and_the_reactive_rule_the_rest(monkeypatch):
    truth = make(list_resources("bed", "vent"), {("A", "bed"): [12, 12], ("A", "vent"): [7, 7]},
                 {("A", "bed"): [10, 10], ("B", "bed"): [9, 9], ("A", "vent"): [5, 5], ("B", "vent"): [4, 4]}, [("A", "B", 40.0), ("B", "A", 40.0)])
    asked = []

    class Learned:
        def decide(self, posed):
            asked.append(posed)
            return Decision([Shipment(0, 0, 0, 0.5), Shipment(1, 1, 0, 4.0)], np.zeros(posed.surge.shape))

    monkeypatch.setattr("medlib.learned.teach.learn_policy", lambda posed, **settings: Learned())
    record = roll(truth, make_policy("learned", truth, View(forecast(truth, 1), tabulate_capacity(truth), 2)), beyond=2)
    sums = record.moves.groupby("resource")["amount"].sum()
    assert len(asked) == 2 and sums["bed"] == pytest.approx(1.0)  # what the network says, twice
    assert sums["vent"] == pytest.approx(2.0)  # what is short, and not what the network says
