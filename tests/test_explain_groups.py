"""Errors by group: figures by hand, intervals that hold, flags that are not luck, small groups not told."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.errors import MedlibError
from medlib.explain import groups
from trust import Trial
from trust.groups import COMPARISONS, list_trials


def make_cases(dates: int, each: int, names: str = "AB") -> pd.DataFrame:
    """So many cases of each group at each date."""
    index = pd.MultiIndex.from_product([range(dates), list(names), range(each)], names=["as_of", "site", "number"])
    return index.to_frame(index=False)


def measure(above, below=1.0, least=0.0, index=None) -> pd.DataFrame:
    return pd.DataFrame({"above": above, "below": below, "least": least}, index=index)


def find(table: pd.DataFrame, group: str) -> pd.Series:
    return table.set_index("group").loc[group]


class TestFigures:
    def test_by_hand(self):
        cases = make_cases(6, 2)
        site = cases["site"] == "A"
        # A: 3 off of 12 units each time; B: 1 off of 4.
        table = groups.compare_groups(cases, {"error": measure(np.where(site, 3.0, 1.0), np.where(site, 12.0, 4.0))}, ["site"], "as_of")
        assert table["value"].tolist() == pytest.approx([0.25, 0.25]) and table["difference"].tolist() == pytest.approx([0, 0])
        assert table["count"].tolist() == [10, 10]  # twelve, rounded to tens

    def test_a_ratio_of_sums_not_a_mean_of_ratios(self):
        cases = make_cases(5, 2, "ABC")
        above, below = np.where(cases["number"] == 0, 6.0, 1.0), np.where(cases["number"] == 0, 8.0, 2.0)
        found = find(groups.compare_groups(cases, {"error": measure(above, below)}, ["site"], "as_of"), "B")
        assert found["value"] == pytest.approx(7 / 10) and found["rest"] == pytest.approx(7 / 10)

    def test_the_rest_is_all_others(self):
        cases = make_cases(8, 3, "ABC")
        wrong = cases["site"].map({"A": 0.5, "B": 0.2, "C": 0.3})
        found = groups.compare_groups(cases, {"error": measure(wrong)}, ["site"], "as_of").set_index("group")
        assert found["rest"].to_dict() == pytest.approx({"A": 0.25, "B": 0.4, "C": 0.35})
        assert found.loc["A", "difference"] == pytest.approx(0.25)

    def test_cases_that_are_not_measured_do_not_count(self):
        cases = make_cases(10, 4)
        among = cases["number"] < 2
        share = groups.measure_share(pd.Series(cases["number"] == 1), among)
        table = groups.compare_groups(cases, {"missed": share}, ["site"], "as_of", block=1)
        assert len(share) == 40 and table["value"].tolist() == [0.5, 0.5] and table["count"].tolist() == [20, 20]

    def test_order_of_rows_changes_nothing(self):
        cases = make_cases(9, 3, "ABC")
        random = np.random.default_rng(3)
        error = measure(random.gamma(2.0, 1.0, len(cases)))
        shuffled = random.permutation(len(cases))
        one = groups.compare_groups(cases, {"error": error}, ["site"], "as_of")
        other = groups.compare_groups(cases.iloc[shuffled], {"error": error.iloc[shuffled]}, ["site"], "as_of")
        pd.testing.assert_frame_equal(one, other)


class TestIntervals:
    def test_they_hold_what_they_should_and_flag_little_by_luck(self):
        random, held, flagged = np.random.default_rng(7), 0, 0
        cases = make_cases(40, 5, "ABCDE")
        for _ in range(60):
            # Dates are alike within themselves: what is drawn anew must be dates, not cases.
            wrong = random.normal(2.0, 0.5, 40)[cases["as_of"]] + random.normal(0, 0.5, len(cases))
            table = groups.compare_groups(cases, {"error": measure(wrong)}, ["site"], "as_of", block=1, draws=200)
            held += ((table["low"] <= 2.0) & (2.0 <= table["high"])).sum()
            flagged += table["flagged"].any()
        assert 0.9 <= held / 300 <= 0.99
        assert flagged <= 8  # of sixty, where at most three are expected

    def test_a_group_that_is_failed_is_found_and_no_other(self):
        random, cases = np.random.default_rng(5), make_cases(40, 5, "ABCDEFGH")
        wrong = random.gamma(4.0, np.where(cases["site"] == "C", 0.4, 0.25))
        table = groups.compare_groups(cases, {"error": measure(wrong)}, ["site"], "as_of", block=1)
        assert table.loc[table["flagged"] & (table["difference"] > 0), "group"].tolist() == ["C"]
        assert find(table, "C")["difference"] == pytest.approx(0.6, abs=0.25)
        assert "site C" in groups.describe_groups(table)[0] and "more than all others" in groups.describe_groups(table)[0]
        assert groups.describe_groups(table)[-1].startswith(f"Of 8 figures {table['flagged'].sum()} differ")

    def test_dates_in_blocks_are_less_sure_than_dates_alone(self):
        cases, random = make_cases(60, 4), np.random.default_rng(1)
        waves = np.repeat(random.normal(0, 1, 12), 5)  # five dates in a row are alike
        error = measure(waves[cases["as_of"]] + 5)
        width = [np.ptp(find(groups.compare_groups(cases, {"error": error}, ["site"], "as_of", block), "A")[["low", "high"]].to_numpy(float))
                 for block in (1, 5)]
        assert width[1] > 1.5 * width[0]

    def test_a_small_group_without_a_mistake_is_not_certain(self):
        cases = pd.DataFrame({"device": range(212), "kind": ["pump"] * 200 + ["monitor"] * 12})
        wrong = pd.Series([True] * 40 + [False] * 172)
        found = find(groups.compare_groups(cases, {"wrong": groups.measure_share(wrong)}, ["kind"], "device", block=1), "monitor")
        assert found["value"] == 0 and found["low"] == 0 and 0.1 < found["high"] < 0.5
        assert not found["flagged"]  # nobody of twelve, where a fifth was to be expected, is luck

    def test_a_share_stays_a_share(self):
        cases = make_cases(20, 1)
        table = groups.compare_groups(cases, {"held": groups.measure_share(cases["as_of"] > 0)}, ["site"], "as_of", block=1)
        assert (table["high"] <= 1).all() and (table["low"] < table["value"]).all()

    def test_holm_by_hand(self):
        adjusted = groups._correct(np.array([0.03, np.nan, 0.004, 0.02, 0.9]))
        assert adjusted[[0, 2, 3, 4]].tolist() == pytest.approx([0.06, 0.016, 0.06, 0.9]) and np.isnan(adjusted[1])

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_correction_never_helps_a_group_and_keeps_the_order(self, p):
        p = np.array(p)
        adjusted = groups._correct(p)
        assert (adjusted >= p - 1e-12).all() and adjusted.max() <= 1
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12).all()


class TestSmallNumbers:
    @pytest.mark.parametrize(("count", "told"), [(9, False), (10, True)])
    def test_fewer_than_ten_are_not_told(self, count, told):
        cases = pd.DataFrame({"person": range(100), "sex": ["female"] * count + ["male"] * (100 - count)})
        table = groups.compare_groups(cases, {"missed": groups.measure_share(pd.Series(np.arange(100) % 3 == 0))}, ["sex"], "person", block=1)
        few, many = find(table, "female"), find(table, "male")
        assert bool(few["withheld"]) is not told and np.isfinite(few["value"]) == told
        assert few[[*groups.FIGURES, "count"]].isna().all() == (not told)
        # Beside two groups the rest is the other one: it must not give away what was withheld.
        assert np.isfinite(many["value"]) and np.isfinite(many["rest"]) == told and not many["withheld"]

    def test_counts_cannot_be_subtracted(self):
        cases = pd.DataFrame({"person": range(60), "unit": "icu"})
        worse = pd.Series(np.arange(60) < 7)
        measures = groups.judge_risks(pd.DataFrame({"worse": worse.astype(int), "flagged": worse, "probability": 0.1}))
        table = groups.compare_groups(cases, measures, ["unit"], "person", block=1)
        assert table["withheld"].tolist() == [True, False, False] and table["count"].iloc[1:].tolist() == [50, 60]

    def test_figures_that_never_vary_are_no_difference(self):
        table = groups.compare_groups(make_cases(8, 3), {"error": measure(np.full(48, 2.0))}, ["site"], "as_of")
        assert table["low"].tolist() == table["high"].tolist() == [2, 2] and not table["flagged"].any()

    def test_one_group_has_nothing_to_be_compared_with(self):
        cases = make_cases(12, 3, "A")
        found = groups.compare_groups(cases, {"error": measure(np.arange(36.0))}, ["site"], "as_of").iloc[0]
        assert found["value"] == pytest.approx(17.5) and np.isnan(found["difference"]) and not found["flagged"] and not found["withheld"]

    def test_a_group_without_demand_has_no_ratio(self):
        cases = make_cases(12, 3)
        table = groups.compare_groups(cases, {"error": measure(1.0, np.where(cases["site"] == "A", 0.0, 2.0), index=cases.index)}, ["site"], "as_of")
        assert np.isnan(find(table, "A")["value"]) and find(table, "B")["value"] == 0.5

    def test_too_few_dates_for_an_interval(self):
        with pytest.raises(MedlibError, match="^Intervals take at least 5 different values of as_of; got 4.$"):
            groups.compare_groups(make_cases(4, 20), {"error": measure(np.ones(160))}, ["site"], "as_of")


class TestMeasures:
    def test_forecasts(self):
        days = pd.date_range("2024-01-01", periods=3)
        levels = {0.05: 6.0, 0.5: 9.0, 0.95: 11.0}
        forecasts = pd.DataFrame([(days[0], day, "A", "bed", "m", level, value) for day in days[1:] for level, value in levels.items()],
                                 columns=["as_of", "date", "site", "resource", "model", "quantile", "demand"])
        demand = pd.DataFrame({"date": days[1:], "site": "A", "resource": "bed", "demand": [12.0, 8.0]})
        cases, measures = groups.judge_forecasts(forecasts, demand)
        wis, held = measures.values()
        # 12: 2/3 (0.05 * 6 + 0.5 * 3 + 0.95 * 1); 8: 2/3 (0.05 * 2 + 0.5 * 1 + 0.05 * 3).
        assert wis["above"].tolist() == pytest.approx([2.75 / 1.5, 0.75 / 1.5]) and wis["below"].tolist() == [12, 8]
        assert held["above"].tolist() == [0, 1] and cases["site"].tolist() == ["A", "A"]
        with pytest.raises(MedlibError, match=r"^An interval of 0.8 takes the levels 0.1 and 0.9; got \[0.05, 0.5, 0.95\]"):
            groups.judge_forecasts(forecasts, demand, 0.8)

    def test_risks(self):
        found = groups.judge_risks(pd.DataFrame({"worse": [1, 1, 0, 0, 0], "flagged": [True, False, True, False, False],
                                                 "probability": [0.9, 0.4, 0.6, 0.1, 0.2]}))
        missed, alarms, calibration = found.values()
        assert missed["above"].tolist() == [0, 1] and missed.index.tolist() == [0, 1]
        assert alarms["above"].tolist() == [1, 0, 0] and alarms.index.tolist() == [2, 3, 4]
        assert calibration["above"].tolist() == pytest.approx([-0.1, -0.6, 0.6, 0.1, 0.2]) and calibration["least"].iloc[1] == pytest.approx(0.24)

    def test_needs(self):
        error, bias = groups.judge_needs(pd.Series([4.0, 1.0]), np.array([3.0, 3.0])).values()
        assert error["above"].tolist() == [1, 2] and bias["above"].tolist() == [-1, 2] and bias["below"].tolist() == [4, 1]

    def test_classes(self):
        assert groups.class_sizes(pd.Series([5.0, 100, 20, 20, 7, 90])).tolist() == ["small", "large", "medium", "medium", "small", "large"]
        assert groups.class_ages(pd.Series([18, 49.9, 50, 64, 65, 80, np.nan])).tolist() == [
            "under 50", "under 50", "50 to 64", "50 to 64", "65 to 79", "80 and over", "unknown"]


class TestTrials:
    def table(self, **change) -> pd.DataFrame:
        row = {"by": "site", "group": "A", "measure": "wrong (share)", "count": 30.0, "value": 0.25, "low": 0.1, "high": 0.4, "rest": 0.2,
               "difference": 0.05, "difference_low": 0.0, "difference_high": 0.1, "p": 0.5, "flagged": False, "withheld": False}
        return pd.DataFrame([row | change])

    def test_a_bad_figure_is_a_figure(self):
        trial, = list_trials("forecast", self.table(value=0.95, difference=0.75, flagged=True))
        assert trial == Trial("forecast: site A", True, "wrong (share): 0.95 (0.1 to 0.4) of about 30 cases, more than all others beyond chance")

    def test_no_interval_does_not_hold(self):
        assert not list_trials("forecast", self.table(high=np.inf))[0].held and not list_trials("forecast", self.table(low=np.nan))[0].held

    def test_a_withheld_figure_is_told_as_such(self):
        trial, = list_trials("forecast", self.table(value=np.nan, low=np.nan, high=np.nan, count=np.nan, withheld=True))
        assert trial.held and trial.told == "wrong (share): withheld, fewer than 10 cases"

    def test_people_are_judged_by_sex_and_age(self):
        trials = list_trials("need", COMPARISONS["need a person"]())
        assert {"need: sex female", "need: sex male", "need: age under 50"} <= {trial.name for trial in trials}
        assert all(trial.held for trial in trials)
