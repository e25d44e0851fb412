"""The what-if page without a browser: states, warm models, the page's answers."""

import asyncio
import re
from dataclasses import replace
from threading import Event, Timer

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib import tables
from medlib.allocate import Rules, face_plan, pose_problem, solve
from medlib.allocate.equity import measure_gini
from medlib.errors import MedlibError
from medlib.whatif import Live, State, change_problem, read_factors, share_demand, solve_weighed
from medlib.whatif.live import Stopped
from medlib.whatif.page import Page
from medlib.whatif.question import Question, read_question, restore_rules
from medlib.whatif.race import Race

LEVELS = np.array([0.1, 0.5, 0.9])


def make_question():
    """Three sites, beds and their nurses, four days, three levels: small, and short at the first site."""
    sites = pd.DataFrame({"site": ["A", "B", "C"], "name": ["A", "B", "C"], "latitude": [50.0, 50.5, 51.0], "longitude": [8.0, 9.0, 8.5],
                          "population": [1000, 2000, 3000]})
    resources = pd.DataFrame({"resource": ["bed", "nurse"], "kind": ["bed", "staff"], "unit": ["bed", "person"], "requires": ["0.5 nurse", None]})
    links = pd.DataFrame([(one, other, 60.0) for one in "ABC" for other in "ABC" if one != other], columns=["origin", "destination", "distance_km"])
    dates = pd.date_range("2021-12-01", periods=4)
    need = {"A": 30.0, "B": 12.0, "C": 20.0}
    demand = pd.DataFrame([(date, site, "bed", level, need[site] * (0.7 + 0.6 * level)) for level in LEVELS for date in dates for site in need],
                          columns=["date", "site", "resource", "quantile", "demand"])
    capacity = pd.DataFrame([(date, site, name, units, surge, 1.0) for date in dates for site in need
                             for name, units, surge in (("bed", 21.0, 3.0), ("nurse", 11.0, 0.0))],
                            columns=["date", "site", "resource", "capacity", "surge", "surge_lead_days"])
    return Question(pose_problem(sites, resources, links, demand, capacity, Rules(transfers_per_day=6.0)), pd.Series(LEVELS), sites, resources, True)


QUESTION = make_question()
UNTOUCHED = State(QUESTION.posed.rules)
LIVE = Live(QUESTION.posed, LEVELS)


def solve_cold(state):
    posed = change_problem(QUESTION.posed, LEVELS, state)
    return solve_weighed(posed, state, share_demand(QUESTION.posed)) if state.weighs else solve(posed)


@pytest.fixture
def late(monkeypatch):
    """Lets no simplex that is raced begin before the event is set."""
    begin, run = Event(), Race._run

    def wait_and_run(self, highs):
        assert not self.raced or begin.wait(60)
        run(self, highs)

    monkeypatch.setattr(Race, "_run", wait_and_run)
    yield begin
    begin.set()


factor = st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.25, 2.0])
states = st.builds(
    lambda occupancy, day, site, factors, **rest: State(replace(UNTOUCHED.rules, planning_occupancy=occupancy, transfers_per_day=day,
                                                                transfers_per_site_day=site), tuple(factors), **rest),
    st.sampled_from([0.5, 0.85, 0.9, 1.0]), st.sampled_from([0.0, 3.0, 6.0, 20.0]), st.sampled_from([0.0, 2.0, 10.0]),
    st.lists(st.tuples(st.sampled_from(["", "A", "C"]), st.sampled_from(["bed", "nurse"]), factor), max_size=3, unique_by=lambda row: row[:2]),
    surge_factor=factor, demand_scenario=st.sampled_from(["forecast", "median", "low", "high"]), demand_factor=factor,
    fairness=st.sampled_from(["none", "worst", "gini"]), fairness_weight=st.sampled_from([0.0, 0.3, 1.0]))


@settings(max_examples=60, deadline=None)
@given(states)
def test_every_state_has_the_minimum_of_a_cold_solve(state):
    answer = LIVE.answer(state)
    assert answer.minimum == pytest.approx(solve_cold(state).objective, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("changed", [{"factors": (("", "bed", 0.8),)}, {"fairness": "gini", "fairness_weight": 0.3}])
def test_where_simplex_is_late_the_interior_point_method_answers(late, changed):
    live, state = Live(QUESTION.posed, LEVELS), replace(UNTOUCHED, **changed)
    first, least = live.answer(state), solve_cold(state).objective
    assert not first.vertex and first.minimum == pytest.approx(least, rel=1e-6)
    late.set()
    live.wait()
    settled = live.answer(state)
    assert settled.vertex and settled.minimum == pytest.approx(least, rel=1e-9) and settled.shortage == pytest.approx(first.shortage, abs=1e-4)


def test_simplex_that_is_behind_is_stopped_by_the_next_question(late):
    live, other = Live(QUESTION.posed, LEVELS), replace(UNTOUCHED, demand_factor=0.8)
    assert not live.answer(replace(UNTOUCHED, demand_factor=1.25)).vertex
    Timer(0.1, late.set).start()
    answer = live.answer(other)
    assert answer.vertex and answer.minimum == pytest.approx(solve_cold(other).objective, rel=1e-9)


def test_who_is_told_to_stop_has_no_plan_and_can_go_on():
    other, state = LIVE.make_other(), replace(UNTOUCHED, factors=(("", "nurse", 0.6),))
    other.stop.set()
    with pytest.raises(Stopped):
        other.explore(state)
    other.stop.clear()
    assert other.answer(state).minimum == pytest.approx(solve_cold(state).objective, rel=1e-9)


def test_page_shows_the_first_answer_and_then_the_plan_of_simplex(late):
    async def look():
        page = Page(QUESTION, "data/sample")
        first = page.shown
        assert not first.vertex and "ready" in page.status.value
        late.set()
        while page.shown is first:
            await asyncio.sleep(0.01)
        page.task.cancel()
        return first, page.shown

    first, settled = asyncio.run(asyncio.wait_for(look(), 60))
    assert settled.vertex and settled.state == first.state and settled.minimum == pytest.approx(first.minimum, rel=1e-6)


def test_shortage_without_the_plan_by_hand():
    """Median: A needs 30 of 0.9 * 21 = 18.9 beds; C 20; both four days. 18.9 and 18.9 beds' nurses, 9.45, are there."""
    answer = LIVE.answer(replace(UNTOUCHED, demand_scenario="median"))
    assert answer.before[:, 0] == pytest.approx([4 * 11.1, 0.0, 4 * 1.1])
    assert answer.before[:, 1] == pytest.approx([0.0, 0.0, 0.0])
    assert answer.shortage < answer.shortage_before


def test_a_named_site_goes_before_all_sites():
    posed = change_problem(QUESTION.posed, LEVELS, replace(UNTOUCHED, factors=(("B", "bed", 2.0), ("", "bed", 0.5))))
    assert posed.capacity[:, 0, 0].tolist() == [10.5, 42.0, 10.5] and posed.capacity[:, 1, 0].tolist() == [11.0] * 3


def test_scenarios_are_the_levels():
    for name, level in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        posed = change_problem(QUESTION.posed, LEVELS, replace(UNTOUCHED, demand_scenario=name, demand_factor=1.5))
        assert posed.demand.shape[0] == 1 and posed.demand[0, 0, 0, 0] == pytest.approx(1.5 * 30 * (0.7 + 0.6 * level))


def test_more_weight_is_more_even_and_withholds_nothing():
    for criterion in ("worst", "gini"):
        plans = [solve_cold(replace(UNTOUCHED, fairness=criterion, fairness_weight=weight)) for weight in (0.0, 0.3, 1.0)]
        size, measured = share_demand(QUESTION.posed), []
        for plan in plans:
            lack = plan.mean_short.sum(axis=2) @ plan.posed.at.weight
            measured.append((lack / size).max() if criterion == "worst" else lack.sum() * measure_gini(lack, size))
            assert lack.sum() == pytest.approx(face_plan(plan, plan.posed) @ plan.posed.weights, abs=1e-4)
        assert measured[0] >= measured[1] - 1e-6 >= measured[2] - 2e-6 and measured[2] < measured[0]


@pytest.mark.parametrize("changed, words", [({"fairness": "lottery"}, "fairness must be one of"), ({"fairness_weight": 2.0}, "must lie in"),
                                            ({"demand_factor": -1.0}, "at least 0"), ({"surge_factor": float("nan")}, "at least 0"),
                                            ({"demand_scenario": "worst"}, "demand_scenario must be")])
def test_settings_out_of_range_are_refused(changed, words):
    with pytest.raises(MedlibError, match=words):
        replace(UNTOUCHED, **changed)


@pytest.mark.parametrize("text", ["bed", '{"bed": 1}', '[["", "bed"]]', '[["", "bed", -1]]', '[[1, "bed", 1]]', '[["", "bed", NaN]]'])
def test_factors_that_cannot_be_read_are_refused(text):
    with pytest.raises(MedlibError, match="capacity_factors must list"):
        read_factors(text)


def test_unknown_names_are_refused():
    with pytest.raises(MedlibError, match="the site 'X'"):
        change_problem(QUESTION.posed, LEVELS, replace(UNTOUCHED, factors=(("X", "bed", 1.0),)))


def test_parameters_say_the_state():
    state = replace(UNTOUCHED, factors=(("", "bed", 0.9), ("A", "nurse", 1.5)), demand_scenario="high")
    given = state.parameters
    assert read_factors(given["capacity_factors"]) == state.factors and given["demand_scenario"] == "high"


def test_page_answers_its_controls():
    page = Page(QUESTION, "data/sample")
    page.controls["capacity_bed"].value = 0.9
    page.controls["planning_occupancy"].value = 0.8
    page.set_exceptions({("A", "bed"): 1.2})
    state = page.read_state()
    assert state.factors == (("", "bed", 0.9), ("A", "bed", 1.2)) and state.rules.planning_occupancy == 0.8
    assert page.shown.minimum == pytest.approx(solve_cold(state).objective, rel=1e-6)
    assert f"{page.shown.shortage:,.1f}" in page.sums.value and "ready" in page.status.value
    page.reset()
    assert page.read_state() == UNTOUCHED and page.shown.minimum == pytest.approx(solve(QUESTION.posed).objective, rel=1e-6)


def test_bars_keep_their_scale_until_one_is_too_long():
    page = Page(QUESTION, "data/sample")

    def width():
        return max(map(float, re.findall(r'<rect[^>]* width="([0-9.]+)"', page.short.value)))

    assert width() == pytest.approx(210.0)
    page.controls["demand_factor"].value = 0.9
    assert width() == pytest.approx(210.0 * page.shown.before.sum(axis=0).max() / page.full, abs=0.1) and width() < 200
    page.controls["demand_factor"].value = 1.2
    assert width() == pytest.approx(105.0 * page.shown.before.sum(axis=0).max() / page.full, abs=0.1) and 105 < width() <= 210


def test_page_tells_an_error_in_a_sentence():
    page = Page(QUESTION, "data/sample")
    shown = page.shown
    page.set_exceptions({("<b>", "bed"): 1.0})
    assert "error" in page.status.value and "&lt;b&gt;" in page.status.value and "<b>" not in page.listed.value and page.shown is shown


def test_frontier_says_when_it_is_complete():
    page = Page(QUESTION, "data/sample")
    page.trace_point(UNTOUCHED, 0.0)
    assert "being traced" in page.frontier.value
    page.trace_point(UNTOUCHED, 1.0)
    assert "complete" in page.frontier.value and page.points[1.0]["gini"] <= page.points[0.0]["gini"] + 1e-6


def test_untouched_is_the_plan_of_notebook_40():
    question = read_question("data/sample")
    cost = tables.read("plan_summary", "data/sample").set_index("measure")["value"]["cost"]
    assert Live(question.posed, question.levels).answer(State(question.posed.rules)).minimum == pytest.approx(cost, rel=1e-6, abs=0.01)


def test_missing_table_says_who_writes_it(tmp_path):
    with pytest.raises(MedlibError, match="sites"):
        read_question(str(tmp_path))


def test_rules_left_out_limit_nothing():
    rules = restore_rules(pd.DataFrame({"rule": ["planning_occupancy", "handover_days", "integer"], "value": [0.8, 1.0, 0.0]}))
    assert rules.planning_occupancy == 0.8 and rules.handover_days == 1 and rules.integer is False and rules.transfers_in_all == np.inf
