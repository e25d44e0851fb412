"""What planning under uncertainty is worth, by hand and as bounds."""

from dataclasses import replace

import numpy as np
import pytest
from test_allocate import BED, DRUG, list_resources, make
from test_risk import scatter

from medlib.allocate import Risk, average_scenarios, bound_demand, cost_plan, face_plan, solve, wait_and_see, weigh_worth
from medlib.errors import MedlibError


def one_site(needed, chances):
    """Four beds, and surge at 40 points a unit-day."""
    return make(BED, {("A", "bed"): [[need] for need in needed]}, {("A", "bed"): [4.0]}, surge={("A", "bed"): [20.0]}, weights=chances,
                surge_cost=40.0)


def read(table, quantity, plan):
    return table.set_index(["quantity", "plan"]).loc[(quantity, plan)]


def test_values_by_hand():
    posed = one_site([2.0, 6.0, 13.0], (0.5, 0.3, 0.2))
    # A unit more of surge is worth 100 points times the chance that it is used: 0.5 up to 6 beds, 0.2 from there on.
    plans = {"stochastic": solve(posed), "point": solve(average_scenarios(posed)),
             "all": solve(bound_demand(posed, 0.9), risk=Risk("robust"))}
    assert [round(plan.surge_units.sum(), 6) for plan in plans.values()] == [2.0, 1.4, 9.0]
    table = weigh_worth(plans, posed)
    assert read(table, "expected cost", "stochastic")["value"] == pytest.approx(40 * 2 + 100 * 0.2 * 7)
    assert read(table, "expected shortage", "point")["value"] == pytest.approx(0.3 * 0.6 + 0.2 * 7.6)
    assert read(table, "tail shortage", "point")["value"] == pytest.approx(7.6)
    point = 40 * 1.4 + 100 * (0.3 * 0.6 + 0.2 * 7.6)
    assert read(table, "value of the stochastic solution", "point")["value"] == pytest.approx(point - 220)
    assert read(table, "price of robustness", "all")["value"] == pytest.approx(40 * 9 - 220)
    assert wait_and_see(posed).tolist() == pytest.approx([0, 80, 360])
    assert read(table, "value of perfect information", "stochastic")["value"] == pytest.approx(220 - 0.3 * 80 - 0.2 * 360)


def test_a_cushion_is_judged_by_the_beds_that_are_there():
    posed = one_site([2.0, 6.0, 13.0], (0.5, 0.3, 0.2))
    cushion = solve(average_scenarios(replace(posed, rules=replace(posed.rules, planning_occupancy=0.5))))
    # 5.4 patients on average and half of all beds planned: 6.8 more are opened, all of which are then used.
    assert cushion.surge_units.sum() == pytest.approx(6.8)
    assert cost_plan(cushion, posed) == pytest.approx([272, 272, 272 + 100 * 2.2])


@pytest.mark.parametrize("change", [False, True])
def test_in_sample_values_have_a_sign(change):
    posed = scatter(6, scenarios=12, change=change)
    plans = {"stochastic": solve(posed), "point": solve(average_scenarios(posed)), "cvar": solve(posed, risk=Risk("cvar", weight=0.9))}
    table = weigh_worth(plans, posed, draws=300)
    assert read(table, "value of perfect information", "stochastic")["value"] > 0
    assert read(table, "price of robustness", "cvar")["value"] > 0
    assert read(table, "value of the stochastic solution", "point")["value"] > -1e-6
    assert read(table, "tail shortage", "cvar")["value"] < read(table, "tail shortage", "stochastic")["value"]
    assert (table["low"] <= table["value"] + 1e-9).all() and (table["value"] <= table["high"] + 1e-9).all()
    assert cost_plan(plans["stochastic"], posed) @ posed.weights == pytest.approx(plans["stochastic"].objective, rel=1e-6)


def test_each_scenario_is_solved_as_if_it_were_the_only_one():
    posed = scatter(9, scenarios=5, change=True)
    alone = [solve(replace(posed, demand=posed.demand[[one]], weights=np.ones(1), capacity_change=posed.capacity_change[[one]])).objective
             for one in range(5)]
    assert wait_and_see(posed) == pytest.approx(alone, rel=1e-6)


def test_what_is_hard_for_all_plans_does_not_widen_a_difference():
    posed = scatter(6, scenarios=80)
    plans = {"stochastic": solve(posed), "other": solve(posed, risk=Risk("cvar", weight=0.5))}
    table = weigh_worth(plans, posed, foresight=False)
    width = (table["high"] - table["low"]).set_axis([table["quantity"], table["plan"]])
    assert width["price of robustness", "other"] < 0.5 * width["expected cost", "other"]
    assert "value of perfect information" not in set(table["quantity"]) and "value of the stochastic solution" not in set(table["quantity"])
    assert table.equals(weigh_worth(plans, posed, foresight=False))
    assert not table.equals(weigh_worth(plans, posed, foresight=False, seed=2))


def test_drugs_are_worth_something_too():
    resources = list_resources("bed", "drug", requires={"bed": "1 drug"}, weight={"bed": 2.0})
    posed = make(resources, {("A", "bed"): [[3.0], [7.0]]}, {("A", "bed"): [9.0], ("A", "drug"): [4.0]}, weights=(0.5, 0.5))
    assert face_plan(solve(posed), posed).tolist() == pytest.approx([0.0, 3.0])
    assert wait_and_see(make(DRUG, {("A", "drug"): [[2.0], [6.0]]}, {("A", "drug"): [4.0]}, weights=(0.5, 0.5))).tolist() == [0.0, 200.0]


def test_a_stochastic_plan_must_be_there():
    posed = one_site([2.0, 6.0], (0.5, 0.5))
    with pytest.raises(MedlibError, match="the stochastic one, 'best'; got mean"):
        weigh_worth({"mean": solve(posed)}, posed, stochastic="best")
