"""Forecasters: quantiles in order, nothing later in sight, sentences for misuse, and better than a flat guess."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.errors import MedlibError
from medlib.forecast import (LEVELS, Combination, GradientBoosting, RandomForest, SeasonalNaive, choose_as_of, choose_origins,
                             list_forecasters, roll_forecasts)
from medlib.forecast.recurrent import RecurrentNetwork
from medlib.schema import check_frame
from medlib.score import summarise_scores

START = pd.Timestamp("2023-01-02")  # a Monday
MAKERS = {"seasonal_naive": SeasonalNaive, "random_forest": lambda horizon: RandomForest(horizon, trees=10, rows=3000),
          "gradient_boosting": lambda horizon: GradientBoosting(horizon, rounds=5, rows=1000),
          "recurrent_network": lambda horizon: RecurrentNetwork(horizon, nets=2, epochs=6, more_epochs=2, hidden=8, examples=1000)}
MAKERS["combination"] = lambda horizon: Combination([MAKERS["random_forest"](horizon), MAKERS["recurrent_network"](horizon)])
both = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def tidy(series, freq="D", start=START):
    """A demand table from {(site, resource): values}; a missing value leaves the row out."""
    rows = [pd.DataFrame({"date": pd.date_range(start, periods=len(values), freq=freq), "site": site, "resource": resource,
                          "demand": np.asarray(values, float)}) for (site, resource), values in series.items()]
    return pd.concat(rows).dropna().sort_values(["date", "site", "resource"], ignore_index=True)


def make_demand(days=120, seed=0, freq="D"):
    """Three series with a strong weekly cycle."""
    random, week = np.random.default_rng(seed), np.array([1.5, 1.4, 1.2, 1.0, 0.9, 0.5, 0.5])
    return tidy({key: random.poisson(level * week[np.arange(days) % 7]) for key, level in
                 {("A", "bed"): 60, ("B", "bed"): 25, ("A", "icu_bed"): 8}.items()}, freq)


def day(number):
    return START + pd.Timedelta(days=number)


def poison(demand, after):
    return demand.assign(demand=demand["demand"].where(demand["date"] <= after, demand["demand"] * 1000 + 1000))


def wide(forecast):
    return forecast.pivot(index=["date", "site", "resource"], columns="quantile", values="demand")


# --- What a forecast looks like --------------------------------------------------------------------------------------

@both
@pytest.mark.parametrize("freq", ["D", "W-MON", "MS"])
def test_a_forecast_is_whole_ordered_and_keeps_its_contract(make, freq):
    demand = make_demand(50 if freq != "D" else 80, freq=freq)
    dates = pd.DatetimeIndex(demand["date"].unique())
    forecast = make(4).fit(demand[demand["date"] <= dates[-5]]).predict(dates[-5], 4)
    assert len(forecast) == 4 * 3 * len(LEVELS)
    assert sorted(forecast["date"].unique()) == list(dates[-4:])
    assert set(zip(forecast["site"], forecast["resource"])) == {("A", "bed"), ("B", "bed"), ("A", "icu_bed")}
    assert (forecast["as_of"] == dates[-5]).all()
    quantiles = wide(check_frame(forecast, "demand_forecast")).to_numpy()
    assert (quantiles >= 0).all() and (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, -1] > quantiles[:, 0]).all()


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.lists(st.integers(0, 60), min_size=2, max_size=2), min_size=3, max_size=40), horizon=st.integers(1, 20),
       freq=st.sampled_from(["D", "W-WED", "MS"]), look_back=st.integers(1, 30))
def test_the_naive_forecasters_quantiles_never_cross_or_fall_below_zero(values, horizon, freq, look_back):
    table = np.array(values, float)
    demand = tidy({("A", "bed"): table[:, 0], ("B", "bed"): table[:, 1]}, freq, pd.Timestamp("2023-03-01"))
    quantiles = wide(SeasonalNaive(horizon, look_back).fit(demand).predict(demand["date"].max(), horizon)).to_numpy()
    assert quantiles.shape == (2 * horizon, len(LEVELS)) and np.isfinite(quantiles).all()
    assert (quantiles >= 0).all() and (np.diff(quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_forests_quantiles_never_cross_or_fall_below_zero(seed):
    random = np.random.default_rng(seed)
    counts = random.poisson(random.choice([0.1, 2.0, 40.0], (70, 1)), (70, 3))  # mostly nothing, with outbursts
    demand = tidy({("A", "bed"): counts[:, 0], ("B", "bed"): counts[:, 1], ("A", "drug"): counts[:, 2]})
    quantiles = wide(MAKERS["random_forest"](5).fit(demand).predict(day(69), 5)).to_numpy()
    assert (quantiles >= 0).all() and (np.diff(quantiles, axis=1) >= 0).all()


def test_series_keep_their_names():
    demand = make_demand()
    named = {make: wide(MAKERS[make](3).fit(demand).predict(day(119), 3))[0.5].groupby(["site", "resource"]).mean()
             for make in MAKERS}
    for medians in named.values():
        assert medians["A", "bed"] > medians["B", "bed"] > medians["A", "icu_bed"]


# --- The naive forecaster by hand ------------------------------------------------------------------------------------

def test_the_naive_forecast_by_hand():
    values = np.random.default_rng(4).poisson(30, 40).astype(float)
    forecast = wide(SeasonalNaive(9, look_back=12).fit(tidy({("A", "bed"): values})).predict(day(39), 9))
    for ahead, last, lag in ((1, 33, 7), (7, 39, 7), (8, 33, 14), (9, 34, 14)):  # the last known day of the same weekday
        assert (39 + ahead - last) % 7 == 0 and last <= 39
        errors = np.sqrt(values[lag:]) - np.sqrt(values[:-lag])
        want = np.maximum(np.sqrt(values[last]) + np.quantile(errors[-12:], LEVELS), 0) ** 2
        assert forecast.loc[day(39 + ahead)].to_numpy()[0] == pytest.approx(want), ahead


@pytest.mark.parametrize(("freq", "season", "periods"), [("D", 7, 30), ("MS", 12, 30), ("W-MON", 52, 110)])
def test_a_repeating_season_is_continued(freq, season, periods):
    cycle = np.random.default_rng(3).integers(5, 90, season)
    values = np.resize(cycle, periods + 6)
    demand = tidy({("A", "bed"): values}, freq, pd.Timestamp("2023-01-01") if freq == "MS" else START)
    known = demand.iloc[:periods]
    forecast = wide(SeasonalNaive(6).fit(known).predict(known["date"].iloc[-1], 6))
    for level in LEVELS:
        assert forecast[level].tolist() == pytest.approx(values[periods:].tolist())


def test_a_short_history_repeats_the_last_value():
    forecast = wide(SeasonalNaive(3).fit(tidy({("A", "bed"): [4, 4, 9]})).predict(day(2), 3))
    assert forecast[0.5].iloc[-1] == pytest.approx(9)  # no errors three days ahead are known
    errors = np.quantile([0.0, 1.0], 0.5)
    assert forecast[0.5].iloc[0] == pytest.approx((3 + errors) ** 2)


# --- Nothing later in sight ------------------------------------------------------------------------------------------

@both
@pytest.mark.parametrize("learn_every", [1, 3])
def test_rolled_forecasts_do_not_change_when_the_future_does(make, learn_every):
    demand, as_ofs = make_demand(), [day(70), day(77), day(84)]
    rolled = roll_forecasts(lambda: make(7), demand, as_ofs, 7, learn_every)
    again = roll_forecasts(lambda: make(7), poison(demand, day(77)), as_ofs, 7, learn_every)
    seen = rolled["as_of"] <= day(77)
    assert set(rolled["as_of"]) == set(as_ofs)
    pd.testing.assert_frame_equal(rolled[seen], again[seen])
    assert not np.allclose(rolled.loc[~seen, "demand"], again.loc[~seen, "demand"])


def test_forecasters_learn_anew_at_every_so_manieth_date():
    learned = []

    class Spy(SeasonalNaive):
        def _learn(self):
            learned.append((id(self), self.wide.index[-1]))

    as_ofs = [day(number) for number in (70, 72, 75, 76, 80)]
    rolled = roll_forecasts(lambda: Spy(3), make_demand(), as_ofs, 3, learn_every=2)
    assert [date for _, date in learned] == [day(70), day(75), day(80)]
    assert rolled["as_of"].unique().tolist() == as_ofs


@both
def test_an_observed_future_is_not_looked_at(make):
    demand = make_demand()
    forecaster = make(7).fit(demand[demand["date"] <= day(80)])
    wanted = forecaster.observe(demand[demand["date"] <= day(90)]).predict(day(90), 7)
    pd.testing.assert_frame_equal(forecaster.observe(demand).predict(day(90), 7), wanted)
    pd.testing.assert_frame_equal(forecaster.observe(poison(demand, day(90))).predict(day(90), 7), wanted)
    assert not np.allclose(forecaster.observe(poison(demand, day(89))).predict(day(90), 7)["demand"], wanted["demand"])


@both
def test_learning_later_changes_the_forest_only(make):
    demand = make_demand()
    observed = make(7).fit(demand[demand["date"] <= day(80)]).observe(demand[demand["date"] <= day(110)]).predict(day(110), 7)
    learned = make(7).fit(demand[demand["date"] <= day(110)]).predict(day(110), 7)
    assert np.allclose(observed["demand"], learned["demand"]) == (make is SeasonalNaive)


@both
def test_a_series_that_begins_later_does_not_show_before(make):
    demand = make_demand()
    late = tidy({("C", "bed"): [np.nan] * 100 + [500.0] * 20})
    forecaster = make(7).fit(demand[demand["date"] <= day(90)])
    alone = forecaster.observe(demand).predict(day(95), 7)
    beside = forecaster.observe(pd.concat([demand, late])).predict(day(95), 7)
    assert (beside.loc[beside["site"] == "C", "demand"] < 100).all()
    if make is SeasonalNaive:
        pd.testing.assert_frame_equal(beside[beside["site"] != "C"].reset_index(drop=True), alone)


def test_a_resource_that_begins_later_is_not_taken_for_one_that_was_learned():
    demand = make_demand()
    late = tidy({("A", "antiviral"): [np.nan] * 93 + [5.0] * 27})  # sorts before the resources that were learned
    forecaster = RandomForest(7, trees=60, seed=1).fit(demand[demand["date"] <= day(90)])
    alone = forecaster.observe(demand).predict(day(95), 7)
    beside = forecaster.observe(pd.concat([demand, late])).predict(day(95), 7)
    pd.testing.assert_frame_equal(beside[beside["resource"] != "antiviral"].reset_index(drop=True), alone)


# --- Misuse ----------------------------------------------------------------------------------------------------------

def refuse(match, call):
    with pytest.raises(MedlibError, match=match) as caught:
        call()
    text = str(caught.value)
    assert text.endswith(".") and ". " not in text, "one sentence"


@both
def test_misuse_is_refused_in_one_sentence(make):
    demand = make_demand()
    forecaster = make(7).fit(demand[demand["date"] <= day(90)])
    refuse(r"^horizon must be at least 1 period; got 0", lambda: make(0))
    refuse(r"^horizon must lie in 1 to 7; got 8", lambda: forecaster.predict(day(90), 8))
    refuse(r"^horizon must lie in 1 to 7; got 0", lambda: forecaster.predict(day(90), 0))
    refuse(r"^This forecaster learned from data up to 2023-04-02 and would see the future as of 2023-04-01",
           lambda: forecaster.predict(day(89), 7))
    refuse(r"^as_of must be a period from 2023-01-02 to 2023-04-02; got 2023-04-03", lambda: forecaster.predict(day(91), 7))
    forecaster.observe(demand)
    forecaster.predict(day(119), 7)
    refuse("would see the future as of 2023-04-01", lambda: forecaster.predict(day(89), 7))
    refuse("^At least two dates are needed", lambda: make(1).fit(demand.iloc[:1]))


@pytest.mark.parametrize(("freq", "needed"), [("D", 28 + 7 + 21), ("W-MON", 4 + 7 + 21), ("MS", 12 + 7 + 21)])
def test_a_forest_says_how_much_history_it_needs(freq, needed):
    demand = make_demand(needed, freq=freq)
    dates = pd.DatetimeIndex(demand["date"].unique())
    MAKERS["random_forest"](7).fit(demand).predict(dates[-1], 7)
    short = demand[demand["date"] <= dates[-2]]
    refuse(f"^The forecaster random_forest needs at least {needed} periods of history for a horizon of 7; got {needed - 1}",
           lambda: MAKERS["random_forest"](7).fit(short))
    assert list(list_forecasters(demand, 7)) == ["seasonal_naive", "random_forest"]
    assert list(list_forecasters(short, 7)) == ["seasonal_naive"]


def test_too_short_a_history_observed_later_is_refused_too():
    demand = make_demand()
    forecaster = MAKERS["random_forest"](7).fit(demand[demand["date"] <= day(90)])
    with pytest.raises(MedlibError, match="^The features look 28 periods back"):
        forecaster.observe(demand[demand["date"] > day(95)]).predict(day(119), 7)


# --- As good as it has to be -----------------------------------------------------------------------------------------

def test_both_beat_a_flat_guess_on_a_weekly_cycle():
    demand = make_demand(150)
    as_ofs = [day(number) for number in (122, 129, 136, 142)]
    makers = {name: MAKERS[name] for name in ("seasonal_naive", "random_forest")} | {
        "gradient_boosting": GradientBoosting, "recurrent_network": lambda horizon: RecurrentNetwork(horizon, nets=1, epochs=60)}
    rolled = [roll_forecasts(lambda: make(7), demand, as_ofs, 7, learn_every=4) for make in makers.values()]
    flat = rolled[0].assign(model="flat")
    for (as_of, site, resource), rows in flat.groupby(["as_of", "site", "resource"]):
        past = demand[(demand["date"] <= as_of) & (demand["site"] == site) & (demand["resource"] == resource)]
        flat.loc[rows.index, "demand"] = np.quantile(past["demand"], rows["quantile"])
    scores = summarise_scores(pd.concat([*rolled, flat]), demand, baseline="flat")
    relative = scores.pivot(index="resource", columns="model", values="relative_wis")
    assert (relative.loc["bed", ["seasonal_naive", "random_forest", "gradient_boosting"]] < 0.6).all()
    assert relative.loc["bed", "recurrent_network"] < 0.95  # four hundred examples are few for a network
    # Counts of eight a day are mostly noise, in which only a forecaster that averages can do better than flat.
    assert relative.loc["icu_bed", "random_forest"] < 0.95
    covered = scores.pivot(index="resource", columns="model", values="coverage_95")
    assert (covered.loc["bed", ["seasonal_naive", "random_forest", "gradient_boosting"]] > 0.75).all()


@both
def test_a_series_that_begins_late_is_forecast_at_its_level(make):
    demand = make_demand()
    late = tidy({("C", "bed"): [np.nan] * 80 + [200.0] * 40})
    forecast = wide(make(7).fit(pd.concat([demand, late])).predict(day(119), 7))
    assert np.isfinite(forecast.to_numpy()).all()
    assert forecast.xs("C", level="site")[0.5].between(140, 260).all()
    if make is SeasonalNaive:  # what came before the beginning is no error of the past
        assert forecast.xs("C", level="site").to_numpy() == pytest.approx(200)


def test_the_same_seed_gives_the_same_forecast_and_another_gives_another():
    demand = make_demand(90)
    first, again, other = (RandomForest(5, trees=10, rows=3000, seed=seed).fit(demand).predict(day(89), 5) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["demand"], other["demand"])


def test_fewer_rows_than_there_are_are_drawn():
    forecaster = RandomForest(5, trees=3, rows=400, seed=1).fit(make_demand(90))
    assert forecaster.model.estimators_[0].tree_.n_node_samples[0] <= 400
    assert len(wide(forecaster.predict(day(89), 5))) == 15


# --- As-of dates -----------------------------------------------------------------------------------------------------

def test_origins_follow_one_another_and_leave_a_whole_horizon():
    demand = make_demand(120)
    assert choose_origins(demand, 7, 3) == [day(98), day(105), day(112)]
    # A forest with horizon 7 needs 56 days: the first origin may be day 55 and not before.
    assert choose_origins(demand, 7, 100)[0] == day(56) and choose_origins(make_demand(119), 7, 100)[0] == day(55)
    for origin in choose_origins(demand, 7, 100)[:1]:
        MAKERS["random_forest"](7).fit(demand[demand["date"] <= origin])
    assert choose_origins(make_demand(30), 7, 100) == [day(8), day(15), day(22)]


def test_the_as_of_date_is_the_period_at_hand():
    demand = make_demand(40, freq="W-MON")
    last = demand["date"].max()
    assert choose_as_of(demand, "", 5) == last - pd.Timedelta(weeks=5)
    assert choose_as_of(demand, "2023-09-06", 5) == pd.Timestamp("2023-09-04")  # a Wednesday lies in its Monday's week
    assert choose_as_of(demand, str(last.date() + pd.Timedelta(days=6)), 5) == last
    for wrong in (str(last.date() + pd.Timedelta(days=7)), "2023-01-02"):
        refuse("^as_of must lie from 2023-04-10 to 2023-10-02", lambda: choose_as_of(demand, wrong, 5))
    refuse("^as_of must be a date YYYY-MM-DD; got 'soon'", lambda: choose_as_of(demand, "soon", 5))
    refuse("^A horizon of 5 needs at least 15 periods of demand; got 14, so add history.$", lambda: choose_as_of(make_demand(14), "", 5))


def test_whatever_is_forecast_as_of_can_be_judged_before():
    for count in (29, 30, 43, 60):
        demand = make_demand(count)
        today = choose_as_of(demand, "", 14)
        assert today == day(max(28, count - 15)) and choose_origins(demand[demand["date"] <= today], 14, 6)
    refuse(r"^A horizon of 14 needs at least 29 periods of demand; got 28, so add history or give a shorter horizon \(-p horizon=13\).$",
           lambda: choose_as_of(make_demand(28), "", 14))
    assert choose_as_of(make_demand(28), "", 13) == day(26)


# --- Other series that teach, sizes, and histories that teach in part ---------------------------------------------------

def make_waves(weeks, seed, level=40.0, start=START):
    random, when = np.random.default_rng(seed), np.arange(weeks)
    return tidy({(site, "bed"): random.poisson(level * size * (1.2 + np.sin(when / 7 + phase))) for site, size, phase in
                 (("A", 1.0, 0.0), ("B", 3.0, 0.5), ("C", 0.5, 1.0))}, "W-MON", start)


POOLED = {"forest": lambda **more: RandomForest(4, trees=20, rows=6000, trends=True, **more),
          "network": lambda **more: RecurrentNetwork(4, nets=1, epochs=10, hidden=16, **more)}
pooled = pytest.mark.parametrize("make", POOLED.values(), ids=POOLED)


def find_width(forecast):
    quantiles = wide(forecast)
    return (quantiles[0.75] - quantiles[0.25]).mean()


@pooled
def test_analogues_of_another_size_teach_changes_of_the_own_size(make):
    own = make_waves(100, 1)
    earlier = make_waves(300, 2, level=4000.0, start=START - pd.Timedelta(weeks=320))
    alone = make(sizes={"A": 1.0, "B": 3.0, "C": 0.5}).fit(own).predict(own["date"].max(), 4)
    taught = make(sizes={"A": 1.0, "B": 3.0, "C": 0.5}, analogues=earlier).fit(own).predict(own["date"].max(), 4)
    assert not np.allclose(alone["demand"], taught["demand"])
    # The analogues are a hundred times as large; what they teach must not be. How wide exactly depends on the processor's rounding.
    assert 1 / 4 < find_width(taught) / find_width(alone) < 4.0


@pooled
def test_analogues_after_the_as_of_date_are_not_seen(make):
    own, sizes = make_waves(80, 1), {"A": 1.0, "B": 3.0, "C": 0.5}
    other = make_waves(160, 2, level=5.0)
    nonsense = other.assign(demand=other["demand"].where(other["date"] <= own["date"].max(), 1e6))
    one, two = (make(sizes=sizes, analogues=table).fit(own).predict(own["date"].max(), 4) for table in (other, nonsense))
    pd.testing.assert_frame_equal(one, two)


@pooled
def test_what_does_not_teach_is_not_learned(make):
    own = make_waves(100, 1)
    strange = own["date"].between(own["date"].min() + pd.Timedelta(weeks=20), own["date"].min() + pd.Timedelta(weeks=30))
    wild = own.assign(demand=own["demand"].where(~strange, own["demand"] * 5))
    learned, left = (make().fit(table).predict(own["date"].max(), 4) for table in (wild, wild.assign(learn=~strange)))
    assert not np.allclose(learned["demand"], left["demand"])


def test_a_network_learns_on_from_where_it_is():
    own = make_waves(100, 1)
    network = POOLED["network"]().fit(own[own["date"] <= own["date"].max() - pd.Timedelta(weeks=10)])
    before = [parameter.clone() for parameter in network.nets[0].parameters()]
    network.fit(own)
    assert len(network.nets) == 1
    assert any((one != other).any() for one, other in zip(before, network.nets[0].parameters()))


def test_a_site_without_size_is_refused():
    refuse("^Every site needs a size above 0; 'B' has none", lambda: POOLED["forest"](sizes={"A": 1.0, "C": 2.0}).fit(make_waves(80, 1)))


@pytest.mark.parametrize("levels", [(), (0.5, 0.5), (0.0, 0.5), (0.9, 0.1)])
def test_levels_ascend_within_0_and_1(levels):
    refuse("^Quantile levels must ascend within 0 and 1", lambda: SeasonalNaive(3, levels=levels))


def test_a_combination_is_the_mean_of_its_members():
    own = make_waves(80, 1)
    members = [SeasonalNaive(4), POOLED["forest"](levels=LEVELS)]
    both = Combination([SeasonalNaive(4), POOLED["forest"](levels=LEVELS)]).fit(own).predict(own["date"].max(), 4)
    parts = [member.fit(own).predict(own["date"].max(), 4)["demand"] for member in members]
    assert both["demand"].to_numpy() == pytest.approx(np.mean(parts, axis=0))
    refuse("^A combination needs", lambda: Combination([SeasonalNaive(4), SeasonalNaive(5)]))


# --- Histories that are not as they should be --------------------------------------------------------------------------

@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_bad_histories_are_refused_in_a_sentence(make):
    demand = make_demand(100)
    nothing = demand.assign(demand=np.nan)
    refuse("^The demand table has no value to learn from", lambda: make(5).fit(nothing))
    negative = demand.assign(demand=demand["demand"].where(demand.index != 7, -1.0))
    refuse("^Demand must be at least 0; ", lambda: make(5).fit(negative))
    double = pd.concat([demand, demand.iloc[[3]]])
    refuse("^A site has one value a period; ", lambda: make(5).fit(double))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_odd_series_get_a_forecast_all_the_same(make):
    days = 120
    values = np.random.default_rng(0).poisson(20, days).astype(float)
    gap = values.copy()
    gap[60:90] = np.nan  # a month without reports
    demand = tidy({("A", "bed"): values, ("gap", "bed"): gap, ("zero", "bed"): np.zeros(days),
                   ("once", "bed"): np.where(np.arange(days) == 100, 5.0, np.nan)})
    demand = pd.concat([demand, pd.DataFrame({"date": pd.date_range(START, periods=days), "site": "never", "resource": "bed",
                                              "demand": np.nan})], ignore_index=True)
    quantiles = wide(make(5).fit(demand).predict(day(days - 1), 5))
    assert set(quantiles.index.get_level_values("site")) == {"A", "gap", "zero", "once", "never"}
    assert np.isfinite(quantiles.to_numpy()).all() and (quantiles.to_numpy() >= 0).all()
    assert quantiles.loc[(slice(None), ["zero", "never"]), 0.5].max() < 1.5


def test_a_history_that_teaches_nothing_is_refused():
    for make in POOLED.values():
        refuse("has nothing to learn from", lambda: make().fit(make_waves(80, 1).assign(learn=False)))


def test_forecasters_are_listed_where_the_history_is_long_enough_for_each():
    names = ["seasonal_naive", "random_forest", "recurrent_network", "combination"]
    for weeks in (28, 29, 40, 41):
        history = make_waves(weeks, 1)
        makers = list_forecasters(history, 4, names=names)
        assert list(makers) == (names if weeks >= 41 else names[:2] if weeks >= 29 else names[:1])
    makers["recurrent_network"]().fit(history)
    refuse("There is no forecaster 'oracle'", lambda: list_forecasters(history, 4, names=["oracle"]))
