"""Capacity by period: steady and dated rows, gaps, and what may be counted on after the as-of date."""

import numpy as np
import pandas as pd
import pytest

from medlib.supply import project_capacity, spread_capacity

MONDAY = pd.Timestamp("2024-01-01")


def dated(values, site="A", resource="nurse", start=MONDAY, freq="D", **more):
    """One row a period; a value of ... leaves the row out."""
    rows = pd.DataFrame({"date": pd.date_range(start, periods=len(values), freq=freq), "site": site, "resource": resource,
                         "capacity": values})
    return rows[[value is not ... for value in values]].astype({"capacity": float}).assign(**more)


def steady(capacity, site="A", resource="bed", **more):
    return pd.DataFrame({"date": [pd.NaT], "site": site, "resource": resource, "capacity": float(capacity)}).assign(**more)


def read(frame, column="capacity"):
    """(site, resource) -> the values in the order of the dates."""
    return {key: rows[column].tolist() for key, rows in frame.sort_values("date").groupby(["site", "resource"])}


def test_steady_rows_hold_in_every_period_and_dated_rows_in_theirs():
    mixed = pd.concat([steady(7), dated([3, 4, 5]), steady(9, "B")])
    days = pd.date_range(MONDAY, periods=3)
    spread = spread_capacity(mixed, days)
    assert read(spread) == {("A", "bed"): [7, 7, 7], ("A", "nurse"): [3, 4, 5], ("B", "bed"): [9, 9, 9]}
    assert spread.columns.tolist() == ["date", "site", "resource", "capacity", "surge", "surge_lead_days"]
    assert spread["date"].tolist() == sorted(list(days) * 3)


def test_a_table_without_dates_needs_no_date_column():
    spread = spread_capacity(steady(7).drop(columns="date"), pd.date_range(MONDAY, periods=2))
    assert read(spread) == {("A", "bed"): [7, 7]}


def test_unstated_surge_is_none_and_stated_surge_stays():
    plain = spread_capacity(steady(7), pd.DatetimeIndex([MONDAY]))
    assert read(plain, "surge") == read(plain, "surge_lead_days") == {("A", "bed"): [0]}
    capacity = pd.concat([steady(7, surge=2.0, surge_lead_days=3.0), dated([3, 4], surge=[1.0, np.nan], surge_lead_days=np.nan)])
    spread = spread_capacity(capacity, pd.date_range(MONDAY, periods=2))
    assert read(spread, "surge") == {("A", "bed"): [2, 2], ("A", "nurse"): [1, 0]}
    assert read(spread, "surge_lead_days") == {("A", "bed"): [3, 3], ("A", "nurse"): [0, 0]}


def test_a_gap_keeps_the_last_known_value_and_nothing_stands_before_the_beginning():
    capacity = pd.concat([dated([3, ..., ..., 6]), dated([..., ..., 8], "B"), steady(7)])
    spread = spread_capacity(capacity, pd.date_range(MONDAY, periods=5))
    assert read(spread) == {("A", "nurse"): [3, 3, 3, 6, 6], ("B", "nurse"): [8, 8, 8], ("A", "bed"): [7] * 5}
    assert spread.loc[spread["site"] == "B", "date"].min() == MONDAY + pd.Timedelta(days=2)
    assert spread.notna().all(axis=None)


def test_the_value_known_before_the_window_opens_it():
    assert read(spread_capacity(dated([3, 4]), pd.date_range("2024-02-01", periods=2))) == {("A", "nurse"): [4, 4]}


def test_the_input_is_left_alone():
    capacity = pd.concat([steady(7), dated([3, ..., 5])])
    before = capacity.copy()
    project_capacity(capacity, MONDAY + pd.Timedelta(days=1), pd.date_range("2024-01-03", periods=3))
    pd.testing.assert_frame_equal(capacity, before)


def test_the_last_weeks_pattern_is_carried_forward():
    weeks = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17]
    as_of = MONDAY + pd.Timedelta(days=9)  # the second Wednesday: 11, 12, 13 are known of the second week
    ahead = pd.date_range(as_of, periods=12)[1:]
    forward = project_capacity(dated(weeks), as_of, ahead)
    assert forward["date"].tolist() == ahead.tolist()
    # Thursday to Sunday from the first week, Monday to Wednesday from the second, then the same again.
    assert read(forward) == {("A", "nurse"): [4, 5, 6, 7, 11, 12, 13, 4, 5, 6, 7]}


@pytest.mark.parametrize("days", [1, 6, 7])
def test_a_short_horizon_reads_the_same_pattern(days):
    as_of = MONDAY + pd.Timedelta(days=6)
    forward = project_capacity(dated([1, 2, 3, 4, 5, 6, 7]), as_of, pd.date_range(as_of, periods=days + 1)[1:])
    assert read(forward) == {("A", "nurse"): [1, 2, 3, 4, 5, 6, 7][:days]}


def test_nothing_after_the_as_of_date_is_looked_at():
    as_of = MONDAY + pd.Timedelta(days=9)
    ahead = pd.date_range(as_of, periods=15)[1:]
    known = pd.concat([dated(range(1, 21), surge=2.0, surge_lead_days=1.0), dated([5] * 20, "B"), steady(7)])
    later = known["date"] > as_of
    poisoned = known.assign(capacity=known["capacity"].where(~later, 1e6), surge=known["surge"].where(~later, 1e6))
    begins_later = dated([9] * 5, "C", start=as_of + pd.Timedelta(days=1))
    want = project_capacity(known[~later], as_of, ahead)
    pd.testing.assert_frame_equal(project_capacity(known, as_of, ahead), want)
    pd.testing.assert_frame_equal(project_capacity(pd.concat([poisoned, begins_later]), as_of, ahead), want)
    assert set(want["site"]) == {"A", "B"}


@pytest.mark.parametrize("freq", ["W-MON", "MS"])
@pytest.mark.parametrize("periods", [1, 2, 5])
def test_weekly_and_monthly_series_keep_their_last_value(freq, periods):
    capacity = pd.concat([dated([1, 2, 3, 4, 5, 6], freq=freq), steady(7)])
    dates = pd.date_range(MONDAY, periods=4 + periods, freq=freq)
    forward = project_capacity(capacity, dates[3], dates[4:])
    assert read(forward) == {("A", "bed"): [7] * periods, ("A", "nurse"): [4] * periods}
    assert forward["date"].nunique() == periods


def test_a_series_younger_than_a_week_keeps_its_last_value_until_it_has_one():
    as_of = MONDAY + pd.Timedelta(days=2)
    forward = project_capacity(pd.concat([dated([5, 6, 7], surge=1.0, surge_lead_days=2.0), steady(9)]), as_of,
                               pd.date_range(as_of, periods=10)[1:])
    assert read(forward) == {("A", "nurse"): [7, 7, 7, 7, 5, 6, 7, 7, 7], ("A", "bed"): [9] * 9}
    assert read(forward, "surge")["A", "nurse"] == [1] * 9
    assert read(project_capacity(dated([8]), MONDAY, pd.date_range("2024-01-02", periods=2))) == {("A", "nurse"): [8, 8]}


def test_a_gap_before_the_as_of_date_is_bridged_by_the_last_report():
    as_of = MONDAY + pd.Timedelta(days=6)
    forward = project_capacity(dated([1, 2, 3, ..., ..., 6]), as_of, pd.date_range(as_of, periods=8)[1:])
    assert read(forward) == {("A", "nurse"): [1, 2, 3, 3, 3, 6, 6]}
