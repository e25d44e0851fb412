"""Plans in words: every number of the five sentences by hand, tables for readers, and shadow prices confirmed by solving."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_allocate import BED, DAY, list_resources, make

from medlib.allocate import Rules, pose_problem, solve
from medlib.errors import MedlibError
from medlib.explain import (confirm_prices, describe_prices, format_amount, format_date, format_table, join_words, name_resource,
                            summarise_report, tell_past, warn_narrow)
from medlib.explain.prices import Extra, describe_range, describe_worth, tabulate_worth, weigh_extras
from medlib.schema import check_frame

AS_OF = pd.Timestamp("2021-11-20")
DATES = pd.date_range("2021-11-21", periods=3)
NAMES = {"A": "Aachen", "B": "Bonn", "C": "Celle"}


def tell(sentence, *facts):
    """Every fact stands in the sentence as a word of its own; minus signs may be typeset."""
    plain = sentence.replace("\N{MINUS SIGN}", "-")
    for fact in facts:
        assert re.search(rf"(?<![\w.,-]){re.escape(str(fact))}(?![\w]|[.,]\d)", plain), (fact, plain)
    return plain


def has_numbers(sentence):
    return bool(re.search(r"\d", sentence)) or "nan" in sentence.lower()


@pytest.fixture
def forecast():
    """Medians 100, 104, 110 and 50, 60, 55 ICU beds; the other quantiles and the ventilators lie elsewhere."""
    rows = [(AS_OF, date, site, resource, "naive", quantile, value * factor * more)
            for site, values in (("A", (100, 104, 110)), ("B", (50, 60, 55))) for date, value in zip(DATES, values)
            for resource, more in (("icu_bed", 1), ("ventilator", 0.3)) for quantile, factor in ((0.25, 0.7), (0.5, 1), (0.75, 1.9))]
    return check_frame(pd.DataFrame(rows, columns=["as_of", "date", "site", "resource", "model", "quantile", "demand"]), "demand_forecast")


@pytest.fixture
def expected():
    """ICU beds short: Aachen 2.5, 6, 4; Bonn 30, 31, 29; Celle none. Ventilators: Celle 0.04 a day, 0.12 in all."""
    before = {("A", "icu_bed"): (2.5, 6, 4), ("B", "icu_bed"): (30, 31, 29), ("C", "icu_bed"): (0, 0, 0), ("C", "ventilator"): (0.04,) * 3}
    rows = [(date, site, resource, 40.0, 35.0, short, short * 0.4) for (site, resource), values in before.items()
            for date, short in zip(DATES, values)]
    return check_frame(pd.DataFrame(rows, columns=["date", "site", "resource", "demand", "usable", "shortage_before", "shortage_after"]),
                       "expected_shortage")


@pytest.fixture
def moves():
    rows = [(0, 0, "B", "C", "icu_bed", "patients", 12.0), (1, 1, "B", "C", "icu_bed", "patients", 9.0),
            (0, 0, "A", "C", "icu_bed", "patients", 16.0), (0, 1, "C", "B", "ventilator", "units", 3.4)]
    return check_frame(pd.DataFrame([(DATES[start], DATES[end], *rest, 80.0) for start, end, *rest in rows], columns=[
        "date", "arrival", "origin", "destination", "resource", "what", "amount", "distance_km"]), "moves")


@pytest.fixture
def surge():
    """Open at once: 4, then 5 + 2.5, then 6."""
    rows = [(DATES[0], "A", 4.0), (DATES[1], "A", 5.0), (DATES[1], "B", 2.5), (DATES[2], "A", 6.0)]
    frame = pd.DataFrame(rows, columns=["date", "site", "surge"]).assign(resource="icu_bed", decide_by=AS_OF)
    return check_frame(frame, "surge_plan")


@pytest.fixture
def ladder():
    short = {"none": 300.0, "reactive": 90.0, "point": 75.0, "stochastic": 48.0, "perfect": 30.0}
    rows = [(rung, resource, value * factor, 10.0, 100.0, 0.0, 5.0, (90 - value) / 60, 21.0 * factor)
            for resource, factor in (("icu_bed", 0.5), ("all", 1.0)) for rung, value in short.items()]
    return check_frame(pd.DataFrame(rows, columns=["rung", "resource", "shortage", "transfers", "distance_km", "surge", "cost",
                                                   "gap_closed", "bound"]), "ladder")


@pytest.fixture
def outcome():
    rows = [(date, site, "icu_bed", 30.0, 40.0, False) for date in DATES for site in "AB"]
    return check_frame(pd.DataFrame(rows, columns=["date", "site", "resource", "demand", "capacity", "imputed"]), "outcome")


@pytest.fixture
def frames(forecast, expected, moves, surge, ladder, outcome):
    return {"forecast": forecast, "expected": expected, "moves": moves, "surge": surge, "ladder": ladder, "outcome": outcome}


def summarise(frames, **changes):
    sentences = summarise_report(**(frames | changes), names=NAMES)
    assert len(sentences) == 5
    for sentence in sentences:
        assert sentence.endswith(".") and "\n" not in sentence and "_" not in sentence and "nan" not in sentence.lower()
        assert not re.search(r"\.\.|  |\( | \)| ,", sentence)
    return sentences


def test_the_first_sentence_sums_the_medians_over_the_sites(frames):
    tell(summarise(frames)[0], "20 November 2021", "ICU", "150", "21 November 2021", "165", "23 November 2021", "+10.0 %")
    falling = frames["forecast"].assign(demand=lambda rows: rows["demand"].where(rows["date"] < DATES[2], rows["demand"] / 2))
    tell(summarise(frames, forecast=falling)[0], "150", "82", "-45.0 %")


def test_growth_from_nothing_is_no_division(frames):
    later = frames["forecast"].assign(demand=lambda rows: rows["demand"].where(rows["date"] > DATES[0], 0.0))
    tell(summarise(frames, forecast=later)[0], "0", "165")


def test_a_resource_without_a_forecast_of_its_own_is_said_to_follow(frames):
    rows = frames["forecast"]
    sentence = summarise(frames, forecast=rows[rows["resource"] != "icu_bed"])[0]
    assert "ICU" in sentence and not has_numbers(sentence)


def test_the_second_sentence_names_who_runs_short_when(frames):
    sentence = tell(summarise(frames)[1], "103", "3 sites", "90", "Bonn", "22 November", "12.5", "Aachen", "ICU")  # 12.5 + 90 + 0.12
    assert sentence.index("Bonn") < sentence.index("Aachen") and "Celle" not in sentence and "ventilator" not in sentence


def test_at_most_three_sites_are_named(frames):
    rows = frames["expected"]
    more = pd.concat([rows[rows["site"] == "A"].assign(site=site, shortage_before=size) for site, size in zip("DEFG", (3, 5, 9, 7))])
    sentence = tell(summarise(frames, expected=more)[1], "72", "4 sites", "27", "21", "15")
    assert [site for site in "DEFG" if re.search(rf"\b{site} \(", sentence)] == ["E", "F", "G"]


def test_the_third_sentence_tells_moves_and_surge(frames):
    sentence = tell(summarise(frames)[2], "37", "3.4", "Bonn", "Celle", "21", "2 sites", "7.5", "22 November 2021")
    assert "patients" in sentence and "ventilator" in sentence and "Aachen" not in sentence
    assert sentence.index("Bonn") < sentence.index("Celle")


def test_nothing_moved_and_nothing_opened(frames):
    none = frames["moves"].iloc[:0]
    sentence = summarise(frames, moves=none, surge=frames["surge"].iloc[:0])[2]
    assert not has_numbers(sentence) and "nothing" in sentence and "surge" in sentence
    tell(summarise(frames, moves=none)[2], "2 sites", "7.5", "22 November 2021")
    without = tell(summarise(frames, surge=frames["surge"].iloc[:0])[2], "37", "no surge")
    assert "2021" not in without


def test_the_fourth_sentence_tells_what_the_plan_buys(frames):
    tell(summarise(frames)[3], "103", "41", "-60 %")  # 102.62 and 0.4 of it


def test_without_shortage_there_is_nothing_to_tell_or_to_gain(frames):
    calm = frames["expected"].assign(shortage_before=0.0, shortage_after=0.0)
    sentences = summarise(frames, expected=calm)
    assert not has_numbers(sentences[1]) and not has_numbers(sentences[3])
    assert "no shortage" in sentences[1]


def test_the_fifth_sentence_tells_what_hindsight_says(frames):
    sentence = tell(summarise(frames)[4], "21 November 2021", "23 November 2021", "48", "90", "30", "70 %", "21")
    assert "as-of" not in sentence


def test_a_worse_plan_is_not_made_better(frames):
    worse = frames["ladder"].assign(shortage=lambda rows: rows["shortage"].mask(rows["rung"] == "stochastic", 120.0),
                                    gap_closed=lambda rows: rows["gap_closed"].mask(rows["rung"] == "stochastic", -0.5))
    tell(summarise(frames, ladder=worse)[4], "the way this plan was made left 120", "90", "25 %")


def test_a_window_in_the_past_says_so(frames):
    past = frames["outcome"].assign(date=lambda rows: rows["date"] - pd.Timedelta(days=3))
    sentence = tell(summarise(frames, outcome=past)[4], "18 November 2021", "20 November 2021")
    assert "as-of" in sentence and "not known" in sentence


def test_no_gap_is_no_share(frames):
    level = frames["ladder"].assign(gap_closed=np.nan, bound=12.0, shortage=lambda rows: rows["rung"].map(
        {"none": 300.0, "reactive": 14.2, "point": 14.2, "stochastic": 19.0, "perfect": 14.2}))
    sentence = tell(summarise(frames, ladder=level)[4], "14.2", "19", "12")
    assert "%" not in sentence and "gap" in sentence


def test_a_tie_says_that_a_forecast_had_nothing_to_add(frames):
    tie = frames["ladder"].assign(gap_closed=np.nan, bound=12.0, shortage=lambda rows: rows["rung"].map(
        {"none": 61.0, "reactive": 14.21, "point": 15.0, "stochastic": 14.18, "perfect": 14.17}))
    sentence = tell(summarise(frames, ladder=tie)[4], "21 November 2021", "all left 14.2", "doing nothing would have left 61", "nothing to add", "12")
    assert "gap" not in sentence and "did best" not in sentence


def test_past_days_say_how_to_plan_those_to_come():
    assert tell_past(pd.Series(DATES), AS_OF) == ""
    sentence = tell_past(pd.Series(DATES), DATES[-1])
    assert sentence.startswith("These days are past, so that") and sentence.endswith("give `--as-of 2021-11-23`.")
    assert tell_past(pd.Series(DATES), DATES[0]).startswith("Some of these days are past. To plan")


def test_narrow_intervals_are_owned_up_to():
    scores = pd.DataFrame({"resource": ["icu_bed", "ventilator", "nurse"], "coverage_95": [0.7, 0.85, 0.2]})
    assert warn_narrow(scores, ["icu_bed", "ventilator"]).startswith("On past dates only 70 % of outcomes of ICU bed fell into the 95 % interval:")
    assert "70 % of outcomes of ICU bed and 20 % of outcomes of nurse fell" in warn_narrow(scores, scores["resource"])
    assert warn_narrow(scores, ["ventilator"]) == ""


def test_sites_without_a_name_go_by_their_identifier(frames):
    assert "B" in tell(summarise_report(**frames, names={})[1], "B", "A")


def test_the_frames_stay_as_they_were(frames):
    before = {name: frame.copy() for name, frame in frames.items()}
    summarise(frames)
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(frame, before[name])


# --- Words -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("value", "words"), [(1234.6, "1,235"), (20.4, "20"), (19.4, "19.4"), (3.02, "3"), (0.31, "0.3"), (0.0, "0"),
                                              (-2.4, "-2.4")])
def test_amounts_have_the_digits_they_deserve(value, words):
    assert format_amount(value) == words


def test_dates_lists_and_resources_in_words():
    assert format_date(pd.Timestamp("2021-12-03")) == "3 December 2021"
    assert [join_words(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert [name_resource(name) for name in ("icu_bed", "ventilator", "ward_nurse")] == ["ICU bed", "ventilator", "ward nurse"]


# --- Tables for readers ----------------------------------------------------------------------------------------------

def read_cells(table):
    """Rows of (kind, text) from a table's HTML, escapes kept."""
    return [[(kind, text) for _, kind, text in re.findall(r'<(t[hd]) class="(\w+)">(.*?)</\1>', row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table)]


@pytest.fixture
def plan():
    return pd.DataFrame({"site": ["St <i>Mary</i> & Co", None], "amount": [1234.567, np.nan], "count": [3, 20_000],
                         "day": pd.to_datetime(["2021-12-03", None]), "hidden": [1, 2]}, index=[7, 3])


def test_a_table_shows_the_named_columns_in_their_order(plan):
    shown = read_cells(format_table(plan, {"amount": "beds < all", "day": "leaves", "site": "from", "count": "moves"}, {"amount": 1}))
    assert shown == [[("number", "beds &lt; all"), ("word", "leaves"), ("word", "from"), ("number", "moves")],
                     [("number", "1,234.6"), ("word", "3 Dec"), ("word", "St &lt;i&gt;Mary&lt;/i&gt; &amp; Co"), ("number", "3")],
                     [("number", "–"), ("word", "–"), ("word", "–"), ("number", "20,000")]]


def test_a_table_shows_every_column_unless_told(plan):
    shown = read_cells(format_table(plan))
    assert [text for _, text in shown[0]] == ["site", "amount", "count", "day", "hidden"] and shown[1][1] == ("number", "1,235")


def test_a_table_without_rows_has_its_head(plan):
    table = format_table(plan.iloc[:0], {"count": "moves"})
    assert read_cells(table) == [[("number", "moves")]] and table.startswith("<table>") and table.endswith("</table>")


# --- Shadow prices ---------------------------------------------------------------------------------------------------

RESOURCES = pd.DataFrame({"resource": ["bed", "drug"], "kind": ["bed", "drug"], "unit": ["bed-day", "dose"],
                          "shelf_life_days": [np.nan, 90.0]})


def pose(**rules):
    """Three days, no links. Beds: A needs 12 of 10, B 10.4 of 10, C 5 of 10. Drug: A needs 4 a day and gets 2, others none."""
    sites = pd.DataFrame({"site": list("ABC"), "latitude": 0.0, "longitude": [0.0, 1.0, 2.0]})
    rows = [(date, site, resource, need, there, 0.0, 0.0) for date in DATES
            for site, resource, need, there in (("A", "bed", 12.0, 10.0), ("B", "bed", 10.4, 10.0), ("C", "bed", 5.0, 10.0),
                                               ("A", "drug", 4.0, 2.0))]
    frame = pd.DataFrame(rows, columns=["date", "site", "resource", "demand", "capacity", "surge", "surge_lead_days"])
    links = pd.DataFrame({"origin": ["A"], "destination": ["B"], "distance_km": [1e6]})
    return pose_problem(sites, RESOURCES, links, frame[["date", "site", "resource", "demand"]], frame.drop(columns="demand"),
                        Rules(**({"planning_occupancy": 1.0} | rules)))


def price(problem, **more):
    plan = solve(problem)
    prices = confirm_prices(problem, plan.price_capacity(), plan.objective, **more)
    return check_frame(prices, "shadow_prices").set_index(["site", "resource"])


def test_prices_are_confirmed_by_solving_again():
    prices = price(pose())
    # A bed more saves a unit-day on each of three days at A, but at B only the 0.4 that are short; a dose is used once.
    assert prices.loc[("A", "bed")].tolist() == pytest.approx([3, 3], abs=1e-3)
    assert prices.loc[("B", "bed")].tolist() == pytest.approx([3, 1.2], abs=1e-3)
    assert prices.loc[("A", "drug")].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert prices.loc[("C", "bed"), "saves"] == pytest.approx(0, abs=1e-3) and np.isnan(prices.loc[("C", "bed"), "confirmed"])
    assert prices["saves"].is_monotonic_decreasing and len(prices) == 6


def test_only_the_dearest_places_are_solved_again():
    prices = price(pose(), count=2)
    assert prices["confirmed"].notna().tolist() == [True, True, False, False, False, False]
    assert {site for site, _ in prices.index[:2]} == {"A", "B"}


def test_a_bed_that_may_not_be_filled_saves_less():
    # Nine of ten beds may be planned, so one more bed gives 0.9 of a bed; both places are short by more than that.
    prices = price(pose(planning_occupancy=0.9, shortage_cost=40.0))
    assert prices.loc[("A", "bed")].tolist() == pytest.approx([2.7, 2.7], abs=1e-3)
    assert prices.loc[("B", "bed")].tolist() == pytest.approx([2.7, 2.7], abs=1e-3)


def test_confirming_agrees_with_a_problem_posed_anew():
    problem = pose()
    capacity = problem.capacity.copy()
    capacity[0, 0] += 1
    saved = (solve(problem).objective - solve(replace(problem, capacity=capacity)).objective) / problem.rules.shortage_cost
    assert price(problem).loc[("A", "bed"), "confirmed"] == pytest.approx(saved, abs=1e-4)
    assert problem.capacity[0, 0].tolist() == [10, 10, 10]


def test_prices_in_words():
    prices = pd.DataFrame({"site": list("ABCD"), "resource": ["bed", "drug", "bed", "bed"], "saves": [3.0, 2.0, 1.0, 0.5],
                           "confirmed": [2.64, 1.25, 0.001, np.nan]})
    bed, drug = describe_prices(prices, RESOURCES, NAMES, "14 days")
    tell(bed, "bed", "Aachen", "14 days", "2.6")
    tell(drug, "drug", "Bonn", "1.2")
    assert "14" not in drug
    assert describe_prices(prices.iloc[2:], RESOURCES, NAMES, "14 days") == []


# --- What more units are worth ---------------------------------------------------------------------------------------

STAFFED = list_resources("bed", "nurse", requires={"bed": "0.5 nurse"}).assign(unit=["bed-day", "nurse-day"])


def crowd(demand=(15.3, 12.1, 9.0), **more):
    """Three days at one site: ten beds, of which nine may be planned."""
    return make(BED, {("A", "bed"): list(demand)}, {("A", "bed"): [10, 10, 10]}, **{"planning_occupancy": 0.9, **more})


def weigh(problem, *extras, **more):
    return weigh_extras(solve(problem), extras, **more)


def test_any_number_of_beds_on_one_day():
    few, many, fewer = weigh(crowd(), *(Extra("A", "bed", amount, DAY, DAY) for amount in (3.0, 8.0, -2.0)))
    # 6.3 are short on that day; each bed holds 0.9 of a patient, so seven beds more are enough.
    assert (few.promised, few.confirmed) == pytest.approx((270, 270)) and few.saved.tolist() == pytest.approx([2.7])
    assert (many.promised, many.confirmed) == pytest.approx((720, 630))
    assert (fewer.promised, fewer.confirmed) == pytest.approx((-180, -180))
    assert (few.holds_from, few.holds_to) == pytest.approx((-np.inf if np.isinf(few.holds_from) else -10, 7))
    assert (few.rate, few.rate_above) == pytest.approx((90, 0)) and few.unit == "cost points"


def test_a_span_of_days():
    (worth,) = weigh(crowd(), Extra("A", "bed", 2.0, DAY, DAY + pd.Timedelta(days=1)))
    # The second day lacks 3.1, which is 3.44 beds.
    assert (worth.promised, worth.confirmed, worth.holds_to, worth.rate_above) == pytest.approx((360, 360, 3.1 / 0.9, 90))
    (to_the_end,) = weigh(crowd(), Extra("A", "bed", 2.0, first=DAY + pd.Timedelta(days=1)))
    assert to_the_end.confirmed == pytest.approx(180)


def test_a_bed_with_the_nurses_it_requires():
    # Six nurses: one is needed anyway, five staff the ten beds in use.
    problem = make(STAFFED, {("A", "bed"): [15.3], ("A", "nurse"): [1]}, {("A", "bed"): [10], ("A", "nurse"): [6]})
    alone, staffed = weigh(problem, *(Extra("A", "bed", 2.0, staffed=both) for both in (False, True)))
    assert alone.confirmed == pytest.approx(100) and staffed.confirmed == pytest.approx(200)
    assert staffed.saved.tolist() == pytest.approx([2, 0]) and alone.saved.tolist() == pytest.approx([2, -1])
    assert staffed.holds_to == pytest.approx(5.3)
    told = describe_worth(alone, NAMES)
    tell(told, "2", "Aachen", "100")
    assert "save 2 bed-days of shortage and add 1 nurse-days of shortage (100 cost points in all)" in told
    assert "2 more staffed beds at A throughout" in describe_worth(staffed)


def test_a_promise_at_a_kink_holds_on_one_side():
    # Need equals what is there: one bed more is worth nothing, one fewer 100; the duals may say either.
    (worth,) = weigh(crowd([10.0, 5.0, 5.0], planning_occupancy=1.0), Extra("A", "bed", 1.0, DAY, DAY))
    assert worth.confirmed == pytest.approx(0, abs=1e-6)
    one_sided = (worth.holds_from, worth.holds_to)
    assert one_sided == pytest.approx((0, np.inf)) if worth.rate < 50 else one_sided[1] == pytest.approx(0, abs=1e-6)


def test_a_drug_comes_once_and_what_is_minimised_is_what_is_counted():
    drug = list_resources("drug")
    problem = make(drug, {("A", "drug"): [4, 4, 4]}, {("A", "drug"): [2, 2, 2]})
    (worth,) = weigh_extras(solve(problem, "shortage"), [Extra("A", "drug", 5.0, DAY + pd.Timedelta(days=1))])
    assert (worth.confirmed, worth.unit) == (pytest.approx(4), "weighted unit-days")


def test_rules_by_hand_hold_and_the_model_stays_as_it_was():
    plan = solve(make(BED, {("A", "bed"): [15]}, {("A", "bed"): [10], ("B", "bed"): [2]}, [("A", "B")]))
    plan.problem += plan.model.move[("A", "B"), "bed", DAY] <= 2.5, "one_ambulance"
    (worth,) = weigh_extras(plan, [Extra("B", "bed", 2.0)])
    # Half a patient more can be driven there, at 1.2.
    assert worth.confirmed == pytest.approx(0.5 * 98.8) and worth.holds_to == pytest.approx(0.5)
    assert plan.solve_again().objective == pytest.approx(plan.objective) and plan.model.posed is plan.posed


def test_whole_units_promise_nothing():
    problem = make(BED, {("A", "bed"): [15.5]}, {("A", "bed"): [10], ("B", "bed"): [9]}, [("A", "B")], integer=True)
    (worth,) = weigh(problem, Extra("A", "bed", 4.0))
    # Six are sent at 1.2 before, and two after.
    assert np.isnan([worth.promised, worth.holds_to]).all() and worth.confirmed == pytest.approx(4 * 1.2)


def test_many_scenarios_are_weighed_by_their_tangents(monkeypatch):
    problem = make(BED, {("A", "bed"): [[12.0], [16.5], [11.2]]}, {("A", "bed"): [10]}, weights=(0.2, 0.3, 0.5))
    (written,) = weigh(problem, Extra("A", "bed", 4.0))
    monkeypatch.setattr("medlib.allocate.plan.MANY", 1)
    (cut,) = weigh(problem, Extra("A", "bed", 4.0))
    assert written.confirmed == pytest.approx(0.2 * 200 + 0.3 * 400 + 0.5 * 120)
    assert (cut.promised, cut.confirmed, cut.holds_to) == pytest.approx((written.promised, written.confirmed, written.holds_to), rel=1e-4)
    assert written.holds_to == pytest.approx(1.2)


def test_promise_and_confirmation_stand_side_by_side():
    worth = weigh(crowd(), Extra("A", "bed", 3.0, DAY, DAY), Extra("A", "bed", 8.0, DAY, DAY), ranges=False)
    table = tabulate_worth(worth)
    assert table[["amount", "promised", "confirmed"]].to_numpy().tolist() == pytest.approx(np.array([[3, 270, 270], [8, 720, 630]]))
    assert table["first"].tolist() == [DAY, DAY] and table["holds_to"].isna().all()


def test_words_come_from_the_confirmed_figure():
    (worth,) = weigh(crowd(), Extra("A", "bed", 8.0, DAY, DAY))
    told = tell(describe_worth(worth, NAMES), "8", "Aachen", "6.3", "630", "6 May 2024")
    assert "720" not in told
    tell(describe_range(worth, NAMES), "90.0", "7.0", "0.0")
    (nothing,) = weigh(crowd([5, 5, 5]), Extra("A", "bed", 8.0, DAY))
    assert "change nothing that counts" in describe_worth(nothing)
    tell(describe_range(nothing), "4.4", "270.0")


def test_extras_that_are_not_there_are_refused():
    plan = solve(crowd())
    for extra, words in ((Extra("Z", "bed"), "^The problem has no site 'Z'; choose one of A"), (Extra("A", "icu"), "has no resource 'icu'"),
                         (Extra("A", "bed", first="2030-01-01"), "^The plan has no period from 2030-01-01"),
                         (Extra("A", "bed", -11.0), "^capacity must be numbers of at least 0")):
        with pytest.raises(MedlibError, match=words):
            weigh_extras(plan, [extra])
