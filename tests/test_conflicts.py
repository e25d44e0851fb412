"""Why there is no plan: smallest conflicts and cheapest ways out by hand, and against every subset of random rules."""

from dataclasses import replace
from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocate import BED, DAY, FOUND, make, refuse

from medlib.allocate import Infeasible, Model, read_plan, solve
from medlib.errors import MedlibError
from medlib.explain import elastic
from medlib.explain.conflicts import describe_conflict, explain_conflict, tell_rule
from medlib.foresight import allocate

#: Ten patients, four beds, a budget of two a site and day: at least four are short.
TIGHT = make(BED, {("A", "bed"): [10]}, {("A", "bed"): [4], ("B", "bed"): [50]}, [("A", "B")], transfers_per_site_day=2.0)


def list_names(conflict):
    return sorted((rule.family, rule.labels.get("site")) for rule in conflict.rules)


def read_changes(conflict):
    return {(row.rule, row.site): (row.bound, pytest.approx(row.instead, abs=1e-4)) for row in conflict.relaxation.itertuples()}


def test_the_cheapest_way_out_is_the_limit_where_it_costs_least():
    conflict = explain_conflict(TIGHT, {"shortage": 0.0})
    # With the limit conflicts the budget of either end, and both would have to rise by four.
    assert list_names(conflict) in ([("limit_shortage", None), ("site_budget", end)] for end in "AB") and conflict.smallest
    assert read_changes(conflict) == {("limit_shortage", None): (0, 4)}
    assert conflict.plan.weighted_shortage == pytest.approx(4, abs=1e-3)


def test_weights_say_what_may_be_let_go():
    conflict = explain_conflict(TIGHT, {"shortage": 0.0}, {"limit_shortage": 2.5})
    assert read_changes(conflict) == {("site_budget", "A"): (2, 6), ("site_budget", "B"): (2, 6)}
    assert conflict.plan.weighted_shortage == pytest.approx(0, abs=1e-3)
    assert conflict.relaxation["date"].tolist() == [DAY, DAY] and conflict.relaxation["change"].tolist() == pytest.approx([4, 4])
    kept = explain_conflict(TIGHT, {"shortage": 0.0}, {"limit_shortage": np.inf})
    assert len(kept.rules) == 1 and kept.rules[0].family == "site_budget"
    beds = explain_conflict(TIGHT, {"shortage": 0.0}, {"limit_shortage": np.inf, "site_budget": np.inf, "usable": 1.0})
    assert read_changes(beds) == {("usable", "A"): (-6, -2)}


def test_in_words_by_site_day_and_rule():
    words = describe_conflict(explain_conflict(TIGHT, {"shortage": 0.0}, {"limit_shortage": 2.5}), {"A": "Aachen", "B": "Bonn"})
    assert "at most 2 beds on 6 May 2024" in words[0] and "shortage is at most 0" in words[0]
    assert "let Aachen send and receive 6 instead of 2 beds on 6 May 2024" in words[1] and "Bonn" in words[1]
    assert "confirms it" in words[2] and "0 weighted unit-days" in words[2]


def test_only_so_many_are_named_and_the_rest_counted():
    problem = replace(TIGHT, links=TIGHT.links.assign(moves_per_day=1.0))
    conflict = explain_conflict(problem, {"shortage": 0.0}, {"limit_shortage": np.inf, "move": 0.5})
    assert read_changes(conflict) == {("site_budget", "A"): (2, 6), ("site_budget", "B"): (2, 6), ("move", "A"): (1, 6)}
    words = describe_conflict(conflict, count=2)
    assert words[1].endswith("and 1 more.") and "let A send B 6 instead of 1 beds" in words[1]


def test_other_limits_are_named_by_what_they_limit():
    problem = replace(TIGHT, rules=replace(TIGHT.rules, transfers_per_site_day=np.inf, transfers_per_day=3.0, transport_km_per_day=20.0,
                                           transfers_in_all=5.0))
    conflict = explain_conflict(problem, {"shortage": 0.0}, {"limit_shortage": np.inf})
    assert len(conflict.rules) == 1
    told = " ".join(tell_rule(rule, bound=bound) for rule, bound in conflict.changes)
    assert "let all sites together move 6 instead of 3 beds on 6 May 2024" in told
    assert "let all moves together cover 60 instead of 20 km" in told and "let transfers be 6 instead of 5" in told


def test_rules_by_hand_are_named_and_let_go():
    plan = solve(TIGHT)
    plan.problem += plan.model.move[("A", "B"), "bed", DAY] >= 3.5, "three_and_a_half"
    with pytest.raises(Infeasible, match="three_and_a_half.*explain_conflict"):
        plan.solve_again()
    conflict = explain_conflict(plan)
    assert len(conflict.rules) == 2 and "the rule by hand three_and_a_half is at least 3.5" in describe_conflict(conflict)[0]
    # The rule by 1.5, or the budgets of both ends by 1.5 each.
    assert read_changes(conflict) == {("three_and_a_half", None): (3.5, 2)}
    # Afterwards all is as it was.
    with pytest.raises(Infeasible):
        plan.solve_again()
    plan.problem.list_rows_by_hand()[0].constant = -1.5
    assert plan.solve_again().objective == pytest.approx(plan.objective)
    refuse("^There is a plan that keeps every rule", lambda: explain_conflict(plan))


def test_a_bound_by_hand_on_a_variable_counts_as_a_rule():
    plan = solve(TIGHT)
    plan.model.move[("A", "B"), "bed", DAY].lowBound = 2.75
    conflict = explain_conflict(plan)
    assert read_changes(conflict) == {("move_A_B_bed_2024_05_06", None): (2.75, 2)} and len(conflict.rules) == 2
    assert plan.model.move[("A", "B"), "bed", DAY].lowBound == 2.75


def test_an_equation_by_hand_moves_either_way():
    plan = solve(TIGHT)
    plan.problem += plan.model.move[("A", "B"), "bed", DAY] == 3.25, "exactly_so_many"
    conflict = explain_conflict(plan)
    assert read_changes(conflict) == {("exactly_so_many", None): (3.25, 2)}
    assert "is exactly 3.2" in describe_conflict(conflict)[0] and conflict.plan is not None


def test_whole_units_conflict_where_fractions_would_not():
    plan = solve(replace(TIGHT, rules=replace(TIGHT.rules, integer=True)))
    sent = plan.model.move[("A", "B"), "bed", DAY]
    plan.problem += sent >= 0.3, "some"
    plan.problem += sent <= 0.6, "few"
    conflict = explain_conflict(plan)
    assert sorted(rule.name for rule in conflict.rules) == ["few", "some"] and conflict.smallest
    assert read_changes(conflict) == {("some", None): (0.3, 0)} and conflict.plan.status == "Optimal"


def test_the_smaller_of_two_conflicts_is_told_and_the_way_out_mends_both():
    plan = solve(TIGHT)
    to_b, surge = plan.model.move[("A", "B"), "bed", DAY], plan.problem.add_variable("own", 0, 10)
    plan.problem += to_b + surge >= 5, "one"
    plan.problem += surge - to_b <= 0.5, "two"
    plan.problem += surge >= 4.5, "three"
    plan.problem += surge <= 4, "four"
    conflict = explain_conflict(plan, weights={"site_budget": np.inf})
    assert sorted(rule.name for rule in conflict.rules) in (["four", "three"], ["three", "two"], ["one", "two"])
    assert conflict.plan is not None and conflict.relaxation["change"].abs().sum() == pytest.approx(2.0, abs=1e-4)


def test_limits_of_perfect_foresight_are_explained():
    with pytest.raises(Infeasible, match="limit_shortage"):
        allocate(TIGHT, max_shortage=1.0)
    conflict = explain_conflict(TIGHT, {"shortage": 1.0})
    assert allocate(TIGHT, max_shortage=conflict.relaxation["instead"].iloc[0] + 1e-5)[1]["shortage"] == pytest.approx(4, abs=1e-3)


def test_tables_that_contradict_each_other_are_told_apart_from_rules():
    everything = {"limit_shortage": np.inf, "site_budget": np.inf, "day_budget": np.inf}
    refuse("^There is no plan even without the limits", lambda: explain_conflict(TIGHT, {"shortage": 0.0}, everything))


def test_an_irreducible_conflict_does_where_the_search_for_a_smallest_is_given_up():
    with patch.object(elastic, "STEPS", 0):
        conflict = explain_conflict(TIGHT, {"shortage": 0.0})
    assert not conflict.smallest and len(conflict.rules) == 2 and "without any one of them" in describe_conflict(conflict)[0]


# --- Against every subset --------------------------------------------------------------------------------------------

LINKED = make(BED, {("A", "bed"): [10], ("B", "bed"): [6]}, {("A", "bed"): [4], ("B", "bed"): [5], ("C", "bed"): [9]},
              [("A", "B"), ("A", "C"), ("B", "C")])


def state(model, rules):
    """Add random rules by hand: coefficients, whether at most, side."""
    moves = [model.move[link, "bed", DAY] for link in model.move.axes["link"]]
    for number, (weights, most, side) in enumerate(rules):
        total = sum(weight * move for weight, move in zip(weights, moves) if weight)
        model.lp += (total <= side if most else total >= side), f"rule{number}"


def holds(rules):
    model = Model(LINKED)
    state(model, rules)
    try:
        return bool(read_plan(model))
    except MedlibError:
        return False


RULES = st.tuples(st.tuples(*[st.integers(-1, 2)] * 3).filter(any), st.booleans(), st.integers(-3, 9))


@settings(max_examples=15, deadline=None, phases=FOUND)
@given(rules=st.lists(RULES, min_size=3, max_size=5))
def test_no_subset_of_the_rules_that_conflicts_is_smaller(rules):
    model = Model(LINKED)
    state(model, rules)
    if holds(rules):
        return refuse("^There is a plan", lambda: explain_conflict(model))
    conflict = explain_conflict(model)
    found = {int(rule.name[4:]) for rule in conflict.rules}
    assert conflict.smallest and not holds([rules[place] for place in found])
    assert all(holds([rules[place] for place in some]) for some in combinations(range(len(rules)), len(found) - 1))
    assert conflict.plan is not None
    # Nobody has to go back on more than the rules that were let go.
    assert holds([rule for place, rule in enumerate(rules) if f"rule{place}" not in set(conflict.relaxation["rule"])])
