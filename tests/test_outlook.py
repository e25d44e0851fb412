"""Forecasts of capacity: what is certain, who forecasts the rest, nothing later in sight, and how it moves with demand."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_supply import MONDAY, dated, read, steady

from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.forecast import LEVELS
from medlib.outlook import CARRIED, LastValue, choose_models, forecast_capacity, measure_correlation
from medlib.schema import check_frame
from medlib.supply import project_capacity

RESOURCES = pd.DataFrame({"resource": ["bed", "nurse", "drug"], "kind": ["bed", "staff", "drug"]})


def ahead(capacity, as_of, horizon=4, period="D", **more):
    """The forecast as of one date; fewer trees than usual."""
    return forecast_capacity(capacity, RESOURCES, [as_of], period, horizon, trees=5, **more)


def widths(forecast):
    """(site, resource) -> width of the 95 % interval on each day."""
    wide = forecast.pivot(index=["site", "resource", "date"], columns="quantile", values="capacity")
    return read((wide[0.975] - wide[0.025]).rename("capacity").reset_index())


def wander(days, level=100.0, seed=0, step=3.0):
    """A random walk without a week in it."""
    return np.maximum(level + np.random.default_rng(seed).normal(0, step, days).cumsum().round(), 0.0)


def last(days):
    return MONDAY + pd.Timedelta(days=days - 1)


def test_a_forecast_of_capacity_keeps_its_contract():
    capacity = pd.concat([dated(wander(80), surge=4.0, surge_lead_days=7.0), dated(wander(80, 40, 1), "B"), steady(9)])
    forecast = check_frame(ahead(capacity, last(80)), "capacity_forecast")
    assert len(forecast) == 4 * 3 * len(LEVELS) and (forecast["as_of"] == last(80)).all()
    assert sorted(forecast["date"].unique()) == [last(80 + day) for day in (1, 2, 3, 4)]
    wide = forecast.pivot(index=["site", "resource", "date"], columns="quantile", values="capacity")
    assert (wide.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None) and (wide >= 0).all(axis=None)
    # Surge is carried forward, the same at every level.
    assert forecast.groupby(["site", "resource"])[["surge", "surge_lead_days"]].agg(["min", "max"]).to_numpy().tolist() == [
        [0, 0, 0, 0], [4, 4, 7, 7], [0, 0, 0, 0]]


def test_what_does_not_change_is_certain():
    capacity = pd.concat([steady(7), dated([5] * 80), dated([0] * 80, "B"), dated(wander(80), "C")])
    forecast = ahead(capacity, last(80))
    wide, chosen = widths(forecast), forecast.drop_duplicates(["site", "resource"]).set_index("site")["model"]
    assert wide["A", "bed"] == wide["A", "nurse"] == wide["B", "nurse"] == [0] * 4 and min(wide["C", "nurse"]) > 0
    assert set(forecast.query("site == 'A' and resource == 'nurse'")["capacity"]) == {5.0}
    assert set(forecast.query("site == 'B'")["capacity"]) == {0.0}
    assert chosen["B"] == CARRIED and chosen["C"] != CARRIED


def test_what_changed_long_ago_only_is_certain():
    values = [*wander(40), *[30] * 200]
    assert set(ahead(dated(values), last(240))["capacity"]) == {30.0}


@pytest.mark.parametrize("as_of", [60, 63, 66])
def test_rosters_are_forecast_as_exactly_as_they_are_carried(as_of):
    week = [10, 10, 9, 10, 10, 6, 5]
    capacity = pd.concat([dated([size * value for value in week * 12], site) for site, size in (("A", 1), ("B", 3.7))])
    forecast = ahead(capacity, last(as_of), 14)
    carried = project_capacity(capacity, last(as_of), pd.date_range(last(as_of), periods=15)[1:])
    for level in LEVELS:
        mine = read(forecast[forecast["quantile"] == level])
        assert mine.keys() == read(carried).keys()
        assert all(mine[key] == pytest.approx(values) for key, values in read(carried).items())
    assert set(forecast["model"]) == {"seasonal_naive"}


def test_the_forecaster_that_did_best_before_is_taken():
    walk, week = dated(wander(150)), np.tile([30, 30, 20, 30, 30, 5, 0], 22)[:150]
    noise = np.random.default_rng(4).integers(0, 3, 150)
    capacity = pd.concat([walk, dated(week + noise, resource="bed")])
    chosen = ahead(capacity, last(150)).drop_duplicates("resource").set_index("resource")["model"]
    # Last week says nothing of a random walk, and everything of a roster; today's figure the other way round.
    assert chosen["bed"] != "last_value" and chosen["nurse"] != "seasonal_naive"


def test_todays_figure_by_hand():
    history = dated([4, 9, 16, 9, 25, 36]).rename(columns={"capacity": "demand"})
    forecast = LastValue(2, levels=(0.5,)).fit(history).predict(last(6), 2)
    # Changes of the roots 2, 3, 4, 3, 5, 6: 1, 1, -1, 2, 1 a step, and 2, 0, 1, 3 over two; medians 1 and 1.5 on top of 6.
    assert forecast["demand"].tolist() == pytest.approx([49.0, 56.25])


def test_deliveries_are_carried_forward():
    parcels = np.where(np.arange(150) % 7 == 0, 20 + wander(150), 0)
    capacity = pd.concat([dated(parcels, resource="drug"), dated(wander(150), resource="bed")])
    forecast = ahead(capacity, last(150))
    carried = project_capacity(capacity, last(150), pd.date_range(last(151), periods=4))
    mine = forecast[forecast["resource"] == "drug"]
    assert set(mine["model"]) == {CARRIED} and max(widths(mine)["A", "drug"]) == 0
    assert read(mine[mine["quantile"] == 0.5])["A", "drug"] == read(carried)["A", "drug"]


@pytest.mark.parametrize("horizon", [4, 14])
def test_a_forecast_of_capacity_sees_nothing_later(horizon):
    days = 110
    capacity = pd.concat([dated(wander(days + 20, seed=seed), site, surge=2.0, surge_lead_days=1.0) for seed, site in enumerate("AB")])
    begins_later = dated([9] * 5, "C", start=last(days + 1))
    later = capacity["date"] > last(days)
    poisoned = capacity.assign(**{name: capacity[name].where(~later, 1e6) for name in ("capacity", "surge", "surge_lead_days")})
    want = ahead(capacity[~later], last(days), horizon)
    pd.testing.assert_frame_equal(ahead(pd.concat([poisoned, begins_later]), last(days), horizon), want)


def test_later_dates_are_forecast_by_what_was_learned_first():
    days = 110
    capacity = pd.concat([dated(wander(days + 3, seed=seed), site) for seed, site in enumerate("AB")])
    as_ofs = [last(days), last(days + 2)]
    both = forecast_capacity(capacity, RESOURCES, as_ofs, "D", 4, trees=5)
    assert both["as_of"].unique().tolist() == as_ofs
    first = ahead(capacity, last(days))
    pd.testing.assert_frame_equal(both[both["as_of"] == as_ofs[0]], first)
    poisoned = capacity.assign(capacity=capacity["capacity"].where(capacity["date"] <= as_ofs[1], 1e6))
    pd.testing.assert_frame_equal(forecast_capacity(poisoned, RESOURCES, as_ofs, "D", 4, trees=5), both)
    like = first.assign(model="last_value")
    assert set(ahead(capacity, last(days), like=like)["model"]) == {"last_value"}
    # A name that this history cannot serve gives way to last week's pattern.
    assert set(ahead(capacity, last(30), like=like.assign(model="random_forest"))["model"]) == {"seasonal_naive"}


def test_a_short_history_is_carried_forward():
    one = ahead(dated([7]), MONDAY)
    assert set(one["capacity"]) == {7.0} and set(one["model"]) == {CARRIED}
    ten = ahead(dated(range(1, 11)), last(10))
    assert read(ten[ten["quantile"] == 0.5]) == {("A", "nurse"): [4, 5, 6, 7]} and set(ten["model"]) == {CARRIED}
    young = ahead(pd.concat([dated(wander(80)), dated([3, 4], "B", start=last(79))]), last(80))
    assert set(young.query("site == 'B'")["model"]) == {CARRIED} and set(young.query("site == 'B'")["capacity"]) == {4.0}


def test_a_gap_is_bridged_and_a_register_that_fell_silent_keeps_its_last_figure():
    values = wander(80).tolist()
    gap = ahead(dated([*values[:30], *[...] * 30, *values[60:]]), last(80))
    assert gap["capacity"].between(0.7 * values[-1], 1.3 * values[-1]).all()
    silent = ahead(dated(values), last(120))
    assert silent.loc[silent["quantile"] == 0.5, "capacity"].between(values[-1] - 10, values[-1] + 10).all()


def test_a_series_without_a_number_is_refused_and_a_missing_number_is_not_zero():
    silent = pd.concat([dated(wander(80)), dated([np.nan] * 80, "B")])
    with pytest.raises(MedlibError, match="^capacity must have a number for every series it lists; B, nurse has none, so") as caught:
        ahead(silent, last(80))
    assert ". " not in str(caught.value)
    holes = wander(80)
    full = ahead(dated(holes), last(80))
    holes[[20, 55, 79]] = np.nan
    assert ahead(dated(holes), last(80))["capacity"].min() > 0.8 * full["capacity"].min()


@pytest.mark.parametrize(("period", "horizon"), [("W-MON", 3), ("MS", 2)])
def test_weekly_and_monthly_capacity_is_forecast_too(period, horizon):
    dates = pd.date_range(MONDAY, periods=40, freq=period)
    forecast = ahead(dated(wander(40), freq=period), dates[-1], horizon, period)
    assert sorted(forecast["date"].unique()) == list(pd.date_range(dates[-1], periods=horizon + 1, freq=period)[1:])
    assert CARRIED not in set(forecast["model"]) and min(widths(forecast)["A", "nurse"]) > 0
    # Daily reports of a weekly plan: the last one up to each week counts.
    daily = ahead(dated(wander(300)), pd.Timestamp("2024-10-21"), 3, "W-MON")
    assert daily["date"].nunique() == 3 and min(widths(daily)["A", "nurse"]) > 0


def test_nothing_reported_since_long_ago_is_no_reason_to_fail():
    history = dated([3, 4] * 20).rename(columns={"capacity": "demand"}).assign(learn=False)
    assert choose_models(history, 4, trees=5) == {"nurse": "seasonal_naive"}


# --- Demand and capacity together ------------------------------------------------------------------------------------

def need(values, **more):
    return dated(values, resource="bed", **more).rename(columns={"capacity": "demand"})


def correlate(demand, there, days=200, **more):
    return measure_correlation(need(demand), dated(there, resource="bed", **more), RESOURCES, last(days))


def test_beds_that_open_as_patients_come_correlate():
    needed, other = wander(200), wander(200, seed=1)
    assert correlate(needed, 2 * needed + 5) == 0.95 and correlate(needed, 500 - needed) == -0.95
    assert abs(correlate(needed, other)) < 0.5
    assert correlate(needed, [7.0] * 200) == 0.0
    # The two series' mean: one moves along, one does not.
    some = correlate(needed, needed + 2 * other)
    assert 0.1 < some < 0.9
    # Nothing later is looked at.
    assert correlate([*needed, 900, 1, 900], [*needed, 1, 900, 1]) == 0.95


def test_nothing_to_correlate_is_none():
    needed = wander(200)
    assert measure_correlation(need(needed), steady(9), RESOURCES, last(200)) == 0.0
    assert measure_correlation(need(needed), steady(9).drop(columns="date"), RESOURCES, last(200)) == 0.0
    assert correlate(needed[:20], needed[:20]) == 0.0
    assert measure_correlation(need(needed).assign(imputed=True), dated(needed, resource="bed"), RESOURCES, last(200)) == 0.0
    drug = need(needed).assign(resource="drug")
    assert measure_correlation(drug, dated(needed, resource="drug"), RESOURCES, last(200)) == 0.0


MIRROR = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "icu_germany"


@pytest.mark.skipif(not MIRROR.is_dir(), reason="the register is read from MEDLIB_MIRROR, which is not set")
def test_operable_beds_in_germany_are_forecast_better_than_by_todays_figure():
    tables = load_dataset("icu_germany")[0]
    as_of, days = pd.Timestamp("2022-11-20"), pd.date_range("2022-11-21", periods=14)
    forecast = forecast_capacity(tables["capacity"], tables["resources"], [as_of], "D", 14, trees=20)
    there = tables["capacity"].pivot(index="date", columns="site", values="capacity")
    median = forecast[forecast["quantile"] == 0.5].pivot(index="date", columns="site", values="capacity")
    error, naive = (median - there.loc[days]).abs().to_numpy().mean(), (there.loc[days] - there.loc[as_of]).abs().to_numpy().mean()
    assert error < 0.9 * naive
    assert 0.3 < measure_correlation(tables["demand"], tables["capacity"], tables["resources"], as_of) < 0.7
