"""Cleaning finds each fault and counts it, never looks ahead, and features are what their names say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib import sample
from medlib.errors import MedlibError
from medlib.prepare import (BELIEVE_AFTER, IMPLAUSIBLE_FACTOR, LOOK_BACK, SLACK, average_alike, clean_demand, expand, find_anchors, find_implausible,
                            list_lags, make_features, shrink, widen)
from medlib.schema import check_frame

KEY = ["date", "site", "resource"]
START = pd.Timestamp("2024-01-01")


def report(values, site="A", resource="bed", start=START, freq="D"):
    """Rows of one series, one a period; a value of ... leaves the row out."""
    dates = pd.date_range(start, periods=len(values), freq=freq)
    rows = pd.DataFrame({"date": dates, "site": site, "resource": resource, "demand": values})
    rows = rows[[value is not ... for value in values]]
    return rows.astype({"demand": float}).reset_index(drop=True)


def clean_one(values):
    """The cleaned series, which of it is filled in, and the faults counted."""
    demand, quality = clean_demand(report(values))
    return demand["demand"].tolist(), demand["imputed"].tolist(), count(quality)


def count(quality, resource="bed"):
    found = quality[(quality["resource"] == resource) & (quality["rows"] > 0)]
    return dict(zip(found["rule"], found["rows"]))


# --- Faults, one by one ----------------------------------------------------------------------------------------------

def test_clean_data_pass_unchanged():
    collected = pd.concat([report([5, 7, 6], site) for site in ("B", "A")])
    demand, quality = clean_demand(collected)
    pd.testing.assert_frame_equal(demand.drop(columns="imputed"), collected.sort_values(KEY, ignore_index=True),
                                  check_dtype=False)
    assert not demand["imputed"].any() and (quality["rows"] == 0).all()
    check_frame(demand, "demand")
    check_frame(quality, "quality")


def test_a_row_that_stands_twice_counts_once():
    rows = report([5, 7, 6])
    demand, quality = clean_demand(pd.concat([rows, rows.iloc[[1]], rows.iloc[[1]]]))
    assert demand["demand"].tolist() == [5, 7, 6]
    assert count(quality) == {"exact duplicate": 2}


def test_the_later_row_corrects_the_earlier():
    rows = report([5, 7, 6])
    demand, quality = clean_demand(pd.concat([rows, rows.iloc[[1]].assign(demand=9.0)]))
    assert demand["demand"].tolist() == [5, 9, 6] and not demand["imputed"].any()
    assert count(quality) == {"corrected later": 1}


@pytest.mark.parametrize(("values", "exact", "corrected"), [((5, 6, 5), 1, 1), ((5, 5, 6), 1, 1), ((5, 6, 6), 1, 1),
                                                            ((5, 6, 7), 0, 2)])
def test_every_row_dropped_is_counted_once(values, exact, corrected):
    collected = pd.concat([report([3]), *(report([value], start=START + pd.Timedelta(days=1)) for value in values)])
    demand, quality = clean_demand(collected)
    assert demand["demand"].tolist() == [3, values[-1]]
    assert count(quality) == {rule: rows for rule, rows in (("exact duplicate", exact), ("corrected later", corrected)) if rows}


def test_negative_missing_and_unreported_values_repeat_the_last_report():
    values, imputed, faults = clean_one([5, -7, 6, np.nan, ..., 4])
    assert values == [5, 5, 6, 6, 6, 4]
    assert imputed == [False, True, False, True, True, False]
    assert faults == {"negative": 1, "reported without a value": 1, "not reported": 1}


def test_a_slip_is_found_and_the_next_report_stands():
    values, imputed, faults = clean_one([10, 12, 11, 9999, 10, 110, 12])
    assert values == [10, 12, 11, 11, 10, 10, 12]
    assert imputed == [False, False, False, True, False, True, False]
    assert faults == {"implausible": 2}


def test_the_limit_itself_is_believed():
    limit = IMPLAUSIBLE_FACTOR * 12 + SLACK
    assert clean_one([12, 10, limit])[0] == [12, 10, limit]
    assert clean_one([12, 10, limit + 0.5])[0] == [12, 10, 10]


def test_only_the_last_reports_are_looked_back_at():
    high = IMPLAUSIBLE_FACTOR * 10 + SLACK
    quiet = [10] * LOOK_BACK
    again = IMPLAUSIBLE_FACTOR * high  # plausible while the high value is in sight, and only then
    assert clean_one([*quiet, high, *quiet[1:], again])[2] == {}
    assert clean_one([*quiet, high, *quiet, again])[2] == {"implausible": 1}


def test_a_level_that_stays_high_is_believed_after_three_reports():
    values, imputed, faults = clean_one([10] * 8 + [100, 101, ..., 102, 103, 104])
    assert values == [10] * 8 + [10, 10, 10, 10, 103, 104]
    assert imputed == [False] * 8 + [True] * 4 + [False] * 2
    assert faults == {"implausible": BELIEVE_AFTER, "not reported": 1}


def test_a_report_of_the_old_level_ends_the_streak():
    values, _, faults = clean_one([10] * 8 + [100, 100, 11, 100, 100, 100, 100])
    assert values[8:] == [10, 10, 11, 11, 11, 11, 100]
    assert faults == {"implausible": 5}


def test_a_slip_in_one_series_leaves_the_others_alone():
    wide = pd.DataFrame({"low": [1.0, 2, 500, 3], "high": [400.0, 410, 500, 420]})
    assert find_implausible(wide).to_numpy().tolist() == [[False, False], [False, False], [True, False], [False, False]]


def test_a_series_begins_with_its_first_report():
    collected = pd.concat([report([5, 7, 6, 8]), report([..., ..., 3, ...], "B"), report([np.nan, -1, 2, 2], "C")])
    demand, quality = clean_demand(collected)
    late = demand[demand["site"] != "A"]
    assert [(row.site, row.date.day, row.demand, row.imputed) for row in late.itertuples()] == [
        ("B", 3, 3, False), ("C", 3, 2, False), ("B", 4, 3, True), ("C", 4, 2, False)]
    assert demand["demand"].notna().all()
    # What was not reported before the beginning is no gap; a negative first value is a fault all the same.
    assert count(quality) == {"not reported": 1, "negative": 1}
    assert quality.set_index("rule")["share"]["not reported"] == pytest.approx(1 / 8, abs=1e-6)


def test_faults_are_counted_by_resource():
    collected = pd.concat([report([5, np.nan, 6]), report([1, 2, -3], resource="icu_bed")])
    quality = clean_demand(collected)[1]
    assert count(quality) == {"reported without a value": 1} and count(quality, "icu_bed") == {"negative": 1}
    assert len(quality) == 2 * 6 and quality.groupby("rule")["action"].nunique().eq(1).all()


@pytest.mark.parametrize("freq", ["W-MON", "MS"])
def test_gaps_are_filled_on_the_grid_of_the_data(freq):
    demand = clean_demand(report([4, 5, ..., ..., 8, 9, 10], freq=freq))[0]
    assert demand["date"].tolist() == pd.date_range(START, periods=7, freq=freq).tolist()
    assert demand["demand"].tolist() == [4, 5, 5, 5, 8, 9, 10]


# --- The sample's faults ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def spoilt():
    """A year of the sample's demand before and after it was spoilt."""
    before, patch = [], pytest.MonkeyPatch()
    with patch.context() as change:
        change.setattr(sample, "FIRST_DATE", "2025-01-01")
        add_faults = sample._add_faults
        change.setattr(sample, "_add_faults", lambda demand, random: add_faults(before.append(demand) or demand, random))
        collected = sample.make_network(seed=3)["demand"]
    return before[0].set_index(KEY)["demand"], collected


def test_every_fault_of_the_sample_is_counted(spoilt):
    truth, collected = spoilt
    once = collected.drop_duplicates(KEY, keep="last")
    quality = clean_demand(collected)[1].groupby("rule")["rows"].sum()
    assert quality["exact duplicate"] + quality["corrected later"] == len(collected) - len(once) == 160
    assert quality["corrected later"] > 40  # of the 60 that differ; a missing value plus one is missing still
    assert quality["reported without a value"] == once["demand"].isna().sum() > 0
    assert quality["not reported"] == len(truth) - len(once) > 0
    assert quality["negative"] == 0


def test_the_samples_slips_are_found_and_nothing_else_is_taken_for_one(spoilt):
    truth, collected = spoilt
    demand, quality = clean_demand(collected)
    once = collected.drop_duplicates(KEY, keep="last").set_index(KEY)["demand"]
    off = (once - truth.reindex(once.index)).abs() > 1
    assert off.sum() >= 45
    known = demand.set_index(KEY)
    treated = known["imputed"].reindex(off.index) & once.notna()
    assert not (treated & ~off).any()
    assert treated.sum() == quality.loc[quality["rule"] == "implausible", "rows"].sum()
    recent = truth.unstack(["site", "resource"]).rolling(LOOK_BACK).max().shift().stack(["site", "resource"])
    missed = off & ~treated
    # Only slips too small to be told from a rise are left: a report of 10 for 1.
    ceiling = IMPLAUSIBLE_FACTOR * (recent.reindex(off.index) + 1) + SLACK
    assert (once[missed] <= ceiling[missed]).all() and missed.sum() < off.sum() / 2


# --- Nothing looks ahead ---------------------------------------------------------------------------------------------

VALUE = st.one_of(st.just(...), st.just(np.nan), st.integers(-3, 30), st.sampled_from([70, 200, 9999]))


@settings(max_examples=25, deadline=None)
@given(late=st.lists(VALUE, min_size=16, max_size=16), other=st.lists(VALUE, min_size=16, max_size=16),
       again=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 40)), max_size=4), cut=st.integers(2, 15))
def test_cleaning_a_prefix_is_the_prefix_of_the_cleaning(late, other, again, cut):
    rows = [report([8, 9, 7, 10] * 4), report(late, "B"), report(other, "B", "icu_bed")]
    rows += [report([value], "A", start=START + pd.Timedelta(days=day)) for day, value in again]
    collected = pd.concat(rows, ignore_index=True)
    until = START + pd.Timedelta(days=cut)
    whole = clean_demand(collected)[0]
    part = clean_demand(collected[collected["date"] <= until])[0]
    pd.testing.assert_frame_equal(part, whole[whole["date"] <= until].reset_index(drop=True))
    if np.isfinite(whole["demand"]).all():
        assert (whole["demand"] >= 0).all()


def make_wide(values, freq="D"):
    columns = pd.MultiIndex.from_tuples([("bed", "A"), ("bed", "B"), ("icu_bed", "A")], names=["resource", "site"])
    return pd.DataFrame(values, index=pd.date_range(START, periods=len(values), freq=freq, name="date"), columns=columns)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), freq=st.sampled_from(["D", "W-MON", "MS"]), origin=st.integers(28, 45),
       factor=st.sampled_from([0.0, 1000.0]))
def test_features_do_not_change_when_the_future_does(seed, freq, origin, factor):
    wide = make_wide(np.random.default_rng(seed).poisson(20, (60, 3)).astype(float), freq)
    poisoned = wide.copy()
    poisoned.iloc[origin + 1:] *= factor
    period = "D" if freq == "D" else freq
    for one, other in zip(make_features(wide, np.array([origin]), 9, period),
                          make_features(poisoned, np.array([origin]), 9, period)):
        np.testing.assert_array_equal(one, other)
    cut = make_features(wide.iloc[:origin + 1], np.array([origin]), 9, period)
    np.testing.assert_array_equal(cut[0], make_features(wide, np.array([origin]), 9, period)[0])


# --- Features by hand ------------------------------------------------------------------------------------------------

def test_daily_features_by_hand():
    values = np.random.default_rng(5).poisson([20, 60, 5], (50, 3)).astype(float)
    wide, origin, ahead = make_wide(values), 40, 9
    features, scale = make_features(wide, np.array([35, origin]), 10, "D")
    assert len(features) == 2 * 10 * 3  # origins, then steps ahead, then series
    assert set(features) == {"level", "log_scale", "resource", "ahead", "same_season", "weekday", "winter",
                             *(f"change_{lag}" for lag in (1, 2, 7, 14, 28)), *(f"common_change_{lag}" for lag in (2, 7, 14, 28))}
    rows = features.iloc[30 + 3 * (ahead - 1):30 + 3 * ahead]
    mean = values[:origin + 1].mean(axis=0) + 1
    assert scale[rows.index] == pytest.approx(mean)
    level = (values[origin] / mean) ** 0.25
    assert rows["level"].tolist() == pytest.approx(level)
    changes = {lag: level - (values[origin - lag] / mean) ** 0.25 for lag in (1, 2, 7, 14, 28)}
    for lag, change in changes.items():
        assert rows[f"change_{lag}"].tolist() == pytest.approx(change)
    for lag in (2, 7, 14, 28):
        beds = changes[lag][:2].mean()
        assert rows[f"common_change_{lag}"].tolist() == pytest.approx([beds, beds, changes[lag][2]])
    assert rows["ahead"].tolist() == [9.0] * 3
    assert rows["resource"].tolist() == [0, 0, 1]
    assert rows["log_scale"].tolist() == pytest.approx(np.log(mean))
    target = wide.index[origin] + pd.Timedelta(days=ahead)
    assert rows["weekday"].tolist() == [target.day_of_week] * 3
    assert rows["winter"].tolist() == pytest.approx([np.cos(2 * np.pi * target.day_of_year / 365.25)] * 3)
    # Nine days ahead of day 40 is day 49; the last known day of its weekday is day 35.
    assert rows["same_season"].tolist() == pytest.approx((values[35] / mean) ** 0.25 - level)
    a_week = features.iloc[30 + 3 * 6:30 + 3 * 7]
    assert a_week["same_season"].tolist() == [0.0] * 3  # seven days ahead: today itself


def test_monthly_features_look_at_the_same_month_of_last_year_and_scale_by_a_year():
    values = np.random.default_rng(5).poisson(30, (30, 3)).astype(float)
    wide = make_wide(values, "MS")
    features, scale = make_features(wide, np.array([24]), 3, "MS")
    assert scale[:3] == pytest.approx(values[13:25].mean(axis=0) + 1)
    mean, last = values[13:25].mean(axis=0) + 1, features.iloc[6:9]  # three months ahead of row 24: the same month is row 15
    assert "weekday" not in features and last["month"].tolist() == [4.0] * 3
    assert last["same_season"].tolist() == pytest.approx((values[15] / mean) ** 0.25 - (values[24] / mean) ** 0.25)
    assert last["change_last_year"].tolist() == pytest.approx((values[15] / mean) ** 0.25 - (values[12] / mean) ** 0.25)
    april = np.cos(2 * np.pi * pd.Timestamp("2026-04-01").day_of_year / 365.25)  # three months after January 2026
    assert features["winter"].iloc[-1] == pytest.approx(april)
    assert list_lags("MS")[-1] == 12 and list_lags("W-MON") == (1, 2, 3, 4)


def test_changes_are_counted_from_the_last_value_or_the_same_month():
    assert find_anchors(np.array([40]), 3, "D").tolist() == find_anchors(np.array([40]), 3, "W-MON").tolist() == [[40, 40, 40]]
    (months,) = find_anchors(np.array([40]), 14, "MS")
    assert months.tolist() == [29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 29, 30]


def test_an_origin_with_too_little_history_is_refused():
    wide = make_wide(np.ones((40, 3)))
    make_features(wide, np.array([28, 39]), 2, "D")
    with pytest.raises(MedlibError, match="^The features look 28 periods back from each origin; got only 27"):
        make_features(wide, np.array([27, 39]), 2, "D")


def test_shrinking_is_undone_and_nothing_falls_below_zero():
    units, scale = np.array([0.0, 3.0, 250.0]), np.array([2.0, 7.0, 31.0])
    assert expand(shrink(units, scale), scale) == pytest.approx(units)
    assert shrink(np.array([32.0]), np.array([2.0])) == pytest.approx([2.0])
    assert expand(np.array([-1.5]), np.array([9.0])).tolist() == [0.0]


@pytest.mark.parametrize("column", ["date", "site", "resource"])
def test_widening_refuses_rows_that_belong_nowhere_and_double_ones(column):
    demand = report([1, 2, 3, 4])
    with pytest.raises(MedlibError, match="^Every row of demand needs a date, a site and a resource"):
        widen(demand.assign(**{column: demand[column].where(demand.index != 1)}))
    with pytest.raises(MedlibError, match="^A site has one value a period; A has two of bed on"):
        widen(pd.concat([demand, demand.tail(1)]))


def test_widening_leaves_gaps_missing():
    wide = widen(pd.concat([report([1, ..., 3, 4]), report([5, 6, ..., 8], "B")]))
    assert wide.columns.tolist() == [("bed", "A"), ("bed", "B")]
    assert wide.isna().to_numpy().tolist() == [[False, False], [True, False], [False, True], [False, False]]
    assert wide.index.tolist() == pd.date_range(START, periods=4).tolist()


def test_the_season_is_told_only_where_it_is_asked_for():
    wide = pd.DataFrame({("bed", "A"): np.arange(60.0)}, index=pd.date_range("2023-01-02", periods=60, freq="W-MON"))
    wide.columns.names = ["resource", "site"]
    for trends, season, told in ((False, True, {"winter"}), (True, True, {"winter", "spring"}), (True, False, set()), (False, False, set())):
        features, _ = make_features(wide, np.array([40]), 2, "W-MON", trends=trends, season=season)
        assert {"winter", "spring"} & set(features) == told and ("slope_5_2" in features) == trends


def test_averages_are_taken_over_series_of_the_same_code():
    values = np.array([[1.0, 2.0, 6.0], [4.0, 10.0, 0.0]])
    assert average_alike(values, np.array([1, 0, 1])).tolist() == [[3.5, 2.0, 3.5], [2.0, 10.0, 2.0]]
