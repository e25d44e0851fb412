"""Why this move and not that one, and between which prices a plan stays: costs by hand, ties, and both sides of every end."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, DAY, FOUND, list_resources, make, problems, refuse
from test_allocate_parts import CHOICE

from medlib.allocate import solve
from medlib.explain.choices import Move, compare_choice, describe_choice, weigh_alternatives
from medlib.explain.ranges import describe_range, range_move, range_price

TO_B, TO_C = Move("A", "B", "bed", DAY), Move("A", "C", "bed", DAY)


# --- Alternatives: in CHOICE three go to B at 1.2, surge opens at 30, one is short at 100, and C would cost 201.2 -----

def test_forbidding_a_move_costs_what_it_saved():
    choice = compare_choice(solve(CHOICE), TO_B)
    assert choice.difference == pytest.approx(300 - 3.6) and choice.amount == pytest.approx(3) and not choice.tie
    assert choice.parts.loc["shortage"].tolist() == pytest.approx([3, 300])
    assert choice.parts.loc["distance_km"].tolist() == pytest.approx([-30, -0.6])
    told = describe_choice(choice, {"A": "Aachen"})
    assert "Aachen" in told and "296.40 cost points more" in told and "3.0 more weighted unit-days short (+300.0)" in told


def test_another_destination_costs_more_than_its_reduced_cost_says():
    # To first order the one who is short goes to C; but he who leaves B goes there, and the other stays short.
    choice = compare_choice(solve(CHOICE), TO_B, TO_C)
    assert choice.first_order == pytest.approx(101.2) and choice.difference == pytest.approx(200.0)


def test_a_move_forced_upon_the_plan_costs_its_reduced_cost_until_nobody_is_short():
    assert compare_choice(solve(CHOICE), None, TO_C).difference == pytest.approx(101.2)
    assert compare_choice(solve(CHOICE), None, TO_C, 1.5).difference == pytest.approx(101.2 + 0.5 * (201.2 - 30))
    assert "besides" in describe_choice(compare_choice(solve(CHOICE), None, TO_C))


def test_no_more_than_the_move_has_is_given_to_another():
    choice = compare_choice(solve(CHOICE), TO_B, TO_C, amount=50.0)
    assert choice.amount == pytest.approx(3) and choice.difference == pytest.approx(296.4 + 101.2 + 2 * (201.2 - 100))


def test_ties_are_told_as_ties():
    plan = solve(make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [50], ("C", "bed"): [50]}, [("A", "B"), ("A", "C")]))
    made = plan.moves.iloc[0]
    other = TO_C if made["destination"] == "B" else TO_B
    choice = compare_choice(plan, Move("A", made["destination"], "bed", DAY), other)
    assert choice.tie and choice.difference == pytest.approx(0, abs=1e-6) and describe_choice(choice).endswith("would be as good.")


def test_what_cannot_be_is_told_with_the_rule_in_its_way():
    plan = solve(CHOICE)
    plan.problem += plan.model.move[("A", "C"), "bed", DAY] <= 0.5, "one_ambulance"
    choice = compare_choice(plan, None, TO_C)
    assert np.isinf(choice.difference) and "one_ambulance" in describe_choice(choice) and not choice.tie


def test_alternatives_differ_in_one_thing_and_none_comes_last():
    demand = {("A", "bed"): [15, 15], ("D", "bed"): [12, 12]}
    capacity = {("A", "bed"): [10, 10], ("B", "bed"): [9, 9], ("C", "bed"): [9, 9], ("D", "bed"): [11, 11]}
    plan = solve(make(BED, demand, capacity, [("A", "B", 10.0), ("A", "C", 60.0), ("D", "B", 80.0), ("D", "C", 30.0)]))
    weighed = weigh_alternatives(plan, TO_B, count=9)
    assert weighed["instead"].tolist()[-1] == "none" and len(weighed) == 4
    rest = weighed.iloc[:-1].set_index("instead")
    assert set(rest.index) == {"other destination", "other origin", "other date"}
    assert rest.loc["other destination", ["origin", "destination"]].tolist() == ["A", "C"]
    assert rest.loc["other origin", ["origin", "destination"]].tolist() == ["D", "B"]
    assert rest.loc["other destination", "difference"] == pytest.approx(50 * 0.02) and (rest["difference"].diff().iloc[1:] >= 0).all()
    assert (rest["first_order"] <= rest["difference"] + 1e-6).all()


def test_parts_minimised_in_order_are_compared_in_order():
    plan = solve(CHOICE, ("shortage", "transfers"))
    choice = compare_choice(plan, TO_B)
    # Shortage stays 0 by C, and so does the number of transfers: only the cost differs, which nobody minimised.
    assert choice.tie and np.isnan(choice.first_order)
    plan.problem += plan.model.move[("A", "C"), "bed", DAY] <= 2, "two_ambulances"
    assert compare_choice(plan.solve_again(), TO_B).difference == pytest.approx(2, abs=1e-3)


def test_whole_units_are_compared_by_solving():
    choice = compare_choice(solve(replace(CHOICE, rules=replace(CHOICE.rules, integer=True)), gap=0.0), TO_B, TO_C)
    assert np.isnan(choice.first_order) and choice.difference == pytest.approx(200)


def test_the_plan_and_its_model_stay_as_they_were():
    plan = solve(CHOICE)
    variable = plan.model.move[("A", "B"), "bed", DAY]
    variable.upBound = 2.0
    plan = plan.solve_again()
    assert compare_choice(plan, TO_B).difference == pytest.approx(200 - 2.4)
    assert plan.model.move.value[0, 0, 0] == pytest.approx(2) and (variable.lowBound, variable.upBound) == (0, 2.0)
    range_price(plan, "transfers")
    assert plan.solve_again().objective == pytest.approx(plan.objective) and "raised" not in plan.model.prices
    assert np.isinf(plan.model.move.high).all()


def test_what_is_not_there_is_refused():
    plan = solve(CHOICE)
    refuse("^The plan moves no bed patient from A to C", lambda: compare_choice(plan, TO_C))
    refuse("has no link", lambda: compare_choice(plan, Move("B", "A", "bed", DAY)))
    refuse("^The objective has no part 'beds'", lambda: range_price(plan, "beds"))
    refuse("^Prices have ranges where cost is minimised", lambda: range_price(solve(CHOICE, "shortage"), "transfers"))
    whole = solve(replace(CHOICE, rules=replace(CHOICE.rules, integer=True)))
    refuse("^Prices have ranges in fractions only", lambda: range_price(whole, "transfers"))


# --- Ranges ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("part, price, low, high, below, amount, above", [
    ("transfers", 1.0, 0.0, 99.8, 3, 3, 0), ("surge", 30.0, 0.0, 100.0, 1, 1, 0), ("shortage", 100.0, 30.0, 201.2, 2, 1, 0)])
def test_prices_at_which_the_plan_changes(part, price, low, high, below, amount, above):
    found = range_price(solve(CHOICE), part)
    assert (found.price, found.low, found.high) == pytest.approx((price, low, high))
    assert (found.amount_below, found.amount, found.amount_above) == pytest.approx((below, amount, above), abs=1e-6)


def test_costs_of_one_move_at_which_the_plan_changes():
    made, other = range_move(solve(CHOICE), TO_B), range_move(solve(CHOICE), TO_C)
    assert (made.price, made.low, made.high, made.amount_above) == pytest.approx((1.2, 0, 100, 0))
    assert (other.price, other.low, other.amount, other.amount_below) == pytest.approx((201.2, 100, 0, 1)) and np.isinf(other.high)
    assert "bed patients from A to C" in describe_range(other) and "from 100 on" in describe_range(other)


BEDS = ("bed", "icu", "nurse")


@settings(max_examples=12, deadline=None, phases=FOUND)
@given(problem=problems(kinds=BEDS), part=st.sampled_from(["transfers", "surge", "shortage"]))
def test_the_best_plan_changes_where_the_range_ends_and_not_before(problem, part):
    field = {"transfers": "move_cost", "surge": "surge_cost", "shortage": "shortage_cost"}[part]
    plan = solve(problem)
    found = range_price(plan, part)

    def cost(price):
        """What the plan costs at a price, and what the best plan does."""
        rules = replace(problem.rules, **{field: price})
        return plan.objective + (price - found.price) * found.amount, solve(replace(problem, rules=rules)).objective

    slack = 1e-5 * max(1.0, plan.objective)
    for inner in (found.low + 0.01 * (found.price - found.low), found.price + 0.99 * (min(found.high, 900.0) - found.price)):
        if found.low <= inner <= found.high:
            assert np.subtract(*cost(inner)) == pytest.approx(0, abs=slack)
    for outer, amount in ((found.low - 1, found.amount_below), (found.high + 1, found.amount_above)):
        if 0 < outer < 900 and abs(amount - found.amount) > 0.01:
            assert np.subtract(*cost(outer)) > 0


@settings(max_examples=10, deadline=None, phases=FOUND)
@given(problem=problems(kinds=BEDS))
def test_no_alternative_is_better_than_the_plan_or_than_its_reduced_cost(problem):
    plan = solve(problem)
    slack = 1e-5 * max(1.0, plan.objective)
    for row in plan.moves.head(1).itertuples():
        weighed = weigh_alternatives(plan, Move(row.origin, row.destination, row.resource, row.date), count=3)
        assert (weighed["difference"] >= -slack).all() and (weighed["first_order"] <= weighed["difference"] + slack).all()
    assert plan.solve_again().objective == pytest.approx(plan.objective, abs=slack)


def test_staff_is_compared_too():
    resources = list_resources("nurse")
    plan = solve(make(resources, {("A", "nurse"): [5, 5]}, {("A", "nurse"): [2, 2], ("B", "nurse"): [9, 9]}, [("B", "A", 10.0, 1.0)]))
    choice = compare_choice(plan, Move("B", "A", "nurse", DAY))
    assert choice.difference == pytest.approx(300 - 3.6) and "Moving no nurses from B to A" in describe_choice(choice)
