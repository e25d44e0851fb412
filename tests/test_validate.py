"""Splits that leak nothing, intervals by hand, and choices that don't see what they are judged by."""

import numpy as np
import pandas as pd
import pytest
from quantile_forest import RandomForestQuantileRegressor
from scipy.stats import norm, t

from medlib.errors import MedlibError
from medlib.forecast import LEVELS, SeasonalNaive
from medlib.schema import check_frame
from medlib.validate import (SPLITS, compare_models, make_leaderboard, nest_choice, rank_models, resample_blocks, roll_models, score_rows,
                             split_rows, tabulate_losses)

HORIZON = 6
DATES = pd.date_range("2024-03-04", periods=12, freq="14D", unit="us")


@pytest.fixture(scope="module")
def rows():
    """Origins and sites of 4,000 rows, in no order."""
    random = np.random.default_rng(3)
    return random.integers(20, 90, 4000), np.array(list("ABCDEFGH"))[random.integers(8, size=4000)]


def table(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=DATES[:count].rename("as_of"), dtype=float)


# --- Splits ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", SPLITS)
def test_no_row_is_on_both_sides_and_parts_have_their_size(rows, kind):
    splits = split_rows(kind, *rows, HORIZON, folds=5, seed=2)
    assert len(splits) == {"hold_out": 1, "time_ordered": 4}.get(kind, 5)
    for train, test in splits:
        assert not set(train) & set(test) and len(train) and 0.08 < len(test) / 4000 < 0.3


@pytest.mark.parametrize("kind", ["k_fold", "grouped"])
def test_every_row_is_tested_once(rows, kind):
    assert sorted(np.concatenate([test for _, test in split_rows(kind, *rows, HORIZON)])) == list(range(4000))


def test_no_site_is_on_both_sides(rows):
    _, sites = rows
    for train, test in split_rows("grouped", *rows, HORIZON):
        assert not set(sites[train]) & set(sites[test])
    assert any(set(sites[train]) & set(sites[test]) for train, test in split_rows("k_fold", *rows, HORIZON))


def test_every_outcome_learned_from_is_known_at_the_first_tested_origin(rows):
    origins, _ = rows
    splits = split_rows("time_ordered", *rows, HORIZON, folds=5)
    for train, test in splits:
        assert origins[train].max() + HORIZON == origins[test].min(), "as late as may be, and no later"
    tested = np.concatenate([test for _, test in splits])
    assert len(set(tested)) == len(tested) and origins[tested].max() == 89
    # 70 origins make five parts of 14, the first of which is never tested.
    assert origins[tested].min() == 34
    assert any(origins[train].max() >= origins[test].min() for train, test in split_rows("k_fold", *rows, HORIZON))


@pytest.mark.parametrize("kind", SPLITS)
def test_training_rows_are_capped_and_drawn_by_seed(rows, kind):
    whole, capped, again, other = (split_rows(kind, *rows, HORIZON, most=most, seed=seed)
                                   for most, seed in ((None, 1), (300, 1), (300, 1), (300, 2)))
    for (train, test), (few, same), (twice, _) in zip(whole, capped, again):
        assert len(few) == 300 and set(few) <= set(train) and test.tolist() == same.tolist() and few.tolist() == twice.tolist()
    assert capped[0][0].tolist() != other[0][0].tolist()


def test_an_unknown_split_is_refused(rows):
    with pytest.raises(MedlibError, match="^A split is one of hold_out, k_fold, grouped, time_ordered; got 'kfold'.$"):
        split_rows("kfold", *rows, HORIZON)


def test_few_sites_make_few_groups_and_one_makes_none(rows):
    origins, _ = rows
    two = np.array(["A", "B"])[origins % 2]
    splits = split_rows("grouped", origins, two, HORIZON, folds=5)
    assert sorted(set(two[test]).pop() for _, test in splits) == ["A", "B"]
    with pytest.raises(MedlibError, match="needs at least two sites; got one.$"):
        split_rows("grouped", origins, np.full(len(origins), "A"), HORIZON)


def test_rows_are_scored_by_what_others_taught():
    """A forest that learned one value only forecasts it: the score is the distance, whatever the level."""
    features, target = np.arange(6.0)[:, None], np.array([2.0, 2.0, 2.0, 5.0, 7.5, 40.0])
    model = RandomForestQuantileRegressor(n_estimators=3, random_state=1)
    splits = [(np.array([0, 1, 2]), np.array([3, 4]))]
    scores = score_rows(model, features, target, splits, (0.25, 0.5, 0.75))
    assert scores[3:5].tolist() == [3.0, 5.5] and np.isnan(scores[[0, 1, 2, 5]]).all()


def test_shuffled_rows_flatter_where_neighbours_are_alike():
    """A wave that never comes back: a forest that has seen the days around knows it, one that has seen only earlier days doesn't."""
    random = np.random.default_rng(5)
    origins = np.repeat(np.arange(120), 15)
    target = np.cumsum(random.normal(size=120))[origins] + random.normal(0, 0.1, len(origins))
    model = RandomForestQuantileRegressor(n_estimators=10, min_samples_leaf=3, random_state=1)
    scores = {kind: score_rows(model, origins[:, None].astype(float), target, split_rows(kind, origins, origins, 3), LEVELS)
              for kind in ("k_fold", "time_ordered")}
    tested = ~np.isnan(scores["time_ordered"])
    assert scores["k_fold"][tested].mean() < 0.3 * scores["time_ordered"][tested].mean()


# --- Losses ----------------------------------------------------------------------------------------------------------

def forecasts_of(model, values):
    """Point-like forecasts: all quantiles the same value, a value by as-of date, two sites."""
    rows = [{"as_of": as_of, "date": as_of + pd.Timedelta(days=1), "site": site, "resource": "bed", "model": model,
             "quantile": level, "demand": value + extra} for as_of, value in zip(DATES, values)
            for site, extra in (("A", 0.0), ("B", 2.0)) for level in LEVELS]
    return pd.DataFrame(rows)


def truth(values, sites=("A", "B")):
    return pd.DataFrame([{"date": as_of + pd.Timedelta(days=1), "site": site, "resource": "bed", "demand": value}
                         for as_of, value in zip(DATES, values) for site in sites])


def test_losses_are_means_over_sites_by_date():
    # The quantiles are one value, so the score is the absolute error: A is off by 3, B (2 higher) by 5.
    losses = tabulate_losses(pd.concat([forecasts_of("a", [13, 20]), forecasts_of("seasonal_naive", [10, 14])]), truth([10, 20]))
    assert losses["a"].tolist() == pytest.approx([4.0, 1.0])
    assert losses["seasonal_naive"].tolist() == pytest.approx([1.0, 5.0])


def test_models_judged_at_other_dates_are_refused():
    frames = pd.concat([forecasts_of("a", [13, 20]), forecasts_of("seasonal_naive", [10])])
    with pytest.raises(MedlibError, match="compared at the same as-of dates") as caught:
        tabulate_losses(frames, truth([10, 20]))
    assert ". " not in str(caught.value)


# --- Bootstrap -------------------------------------------------------------------------------------------------------

def test_blocks_are_consecutive_and_go_round():
    drawn = resample_blocks(7, block=3, draws=500, seed=4)
    assert drawn.shape == (500, 7) and set(drawn.ravel()) == set(range(7))
    for begin in (0, 3):
        assert ((drawn[:, begin + 1:begin + 3] - drawn[:, begin:begin + 2]) % 7 == 1).all()
    assert {tuple(row[:3]) for row in drawn} >= {(5, 6, 0), (6, 0, 1)}
    assert len(set(map(tuple, drawn[:, [2, 3]] - drawn[:, [2, 2]]))) > 3, "blocks follow each other by chance"
    counts = np.bincount(drawn.ravel(), minlength=7) / drawn.size
    assert counts == pytest.approx(np.full(7, 1 / 7), abs=0.03)


def test_the_block_grows_with_the_cube_root():
    for count, block in ((5, 2), (8, 2), (27, 3), (64, 4), (1, 1)):
        steps = (np.diff(resample_blocks(count, draws=300), axis=1) % count == 1).mean(axis=0)
        assert (steps[:block - 1] == 1).all() and (count <= block or steps[block - 1] < 0.9)


def test_a_block_as_long_as_the_record_leaves_nothing_to_chance():
    """Each sample is the record from another start on, so that all have the same mean."""
    drawn = np.array([2.0, 2.0, 3.0, 2.0, 6.0])[resample_blocks(5, block=5)]
    assert drawn.mean(axis=1) == pytest.approx(np.full(2000, 3.0)) and len(np.unique(drawn, axis=0)) == 5


def test_intervals_by_hand():
    """Losses of 1 at all dates but one, whose loss is 6, over a baseline of 2.

    With single dates drawn, the hard one comes up k of 5 times with binomial chance, and the ratio is then (5 + 5 k) / 10.
    """
    losses = table(seasonal_naive=[2, 2, 2, 2, 2], a=[1, 1, 6, 1, 1])
    level = 0.5
    tail = norm.cdf(np.sqrt(5 / 4) * t.ppf(0.25, 4))  # 0.204
    chances = np.array([0.8**5, 5 * 0.2 * 0.8**4, 10 * 0.04 * 0.8**3, 10 * 0.008 * 0.64, 5 * 0.0016 * 0.8, 0.2**5]).cumsum()
    ends = [0.5 * (1 + np.searchsorted(chances, share)) for share in (tail, 1 - tail)]
    assert ends == [0.5, 1.5]
    ranked = rank_models(losses, level=level, block=1)
    assert ranked.loc["a", ["relative_wis", "low", "high"]].tolist() == [1.0, *ends]
    # At 90 % the tail is 0.9 % on either side: three hard dates of five.
    assert rank_models(losses, level=0.9, block=1).loc["a", ["low", "high"]].tolist() == [0.5, 0.5 * (1 + np.searchsorted(
        chances, 1 - norm.cdf(np.sqrt(5 / 4) * t.ppf(0.05, 4))))]


def test_models_are_drawn_together():
    """Dates are hard for all: the ratio is known exactly, though each loss alone is not."""
    naive = np.array([1, 9, 2, 30, 4, 8, 1, 20], float)
    ranked = rank_models(table(seasonal_naive=naive, a=0.8 * naive, b=1.1 * naive))
    assert ranked.index.tolist() == ["a", "seasonal_naive", "b"]
    assert ranked[["relative_wis", "low", "high"]].to_numpy() == pytest.approx(np.repeat([[0.8], [1.0], [1.1]], 3, axis=1))


def test_few_dates_and_a_faultless_baseline_give_no_interval():
    few = rank_models(table(seasonal_naive=[4, 1, 7, 2], a=[2, 2, 3, 2]))
    assert few["relative_wis"].notna().all() and few[["low", "high"]].isna().all(axis=None)
    assert not compare_models(table(seasonal_naive=[4, 1, 7, 2], a=[2, 0, 3, 1]))["beyond_chance"].any()
    faultless = rank_models(table(seasonal_naive=[0] * 6, a=[2, 2, 3, 2, 5, 1]))
    assert faultless[["relative_wis", "low", "high"]].isna().all(axis=None)


def test_only_differences_beyond_chance_are_called_so():
    random = np.random.default_rng(8)
    naive = random.lognormal(0, 0.3, 30)
    losses = table(seasonal_naive=naive[:12], clear=0.7 * naive[:12] * random.lognormal(0, 0.05, 12),
                   same=naive[:12] * random.lognormal(0, 0.2, 12))
    pairs = compare_models(losses).set_index(["better", "worse"])
    found = {frozenset(pair): row.beyond_chance for pair, row in pairs.iterrows()}
    assert found == {frozenset(["clear", "seasonal_naive"]): True, frozenset(["clear", "same"]): True,
                     frozenset(["same", "seasonal_naive"]): False}
    assert (pairs["ratio"] <= 1).all() and ((pairs["low"] <= pairs["ratio"]) & (pairs["ratio"] <= pairs["high"])).all()
    alone = rank_models(losses).loc["clear"]
    together = pairs.loc[("clear", "seasonal_naive")]
    assert together["low"] < alone["low"] and alone["high"] < together["high"], "many comparisons need wider intervals"


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random, held = np.random.default_rng(0), 0
    for _ in range(80):
        # Ratios of expectation 0.9, from losses that remember the date before.
        shocks = random.normal(size=(30, 3))
        for row in range(1, 30):
            shocks[row] = 0.3 * shocks[row - 1] + np.sqrt(1 - 0.09) * shocks[row]
        losses = pd.DataFrame({"seasonal_naive": np.exp(0.3 * shocks[:, 0] + 0.15 * shocks[:, 1]),
                               "a": 0.9 * np.exp(0.3 * shocks[:, 0] + 0.15 * shocks[:, 2])})
        row = rank_models(losses, level=0.9).loc["a"]
        held += row["low"] <= 0.9 <= row["high"]
    assert 0.8 <= held / 80 <= 0.97


# --- Nested choice ---------------------------------------------------------------------------------------------------

def test_the_choice_at_a_date_is_what_did_best_before_it():
    losses = table(a=[1, 9, 1, 9], b=[3, 3, 3, 3], c=[4, 0, 9, 9])
    nested = nest_choice(losses)
    # Means before each date: 1, 3, 4; then 5, 3, 2; then 11/3, 3, 13/3.
    assert nested["chosen"].tolist() == ["a", "c", "b"] and nested["loss"].tolist() == [9, 9, 3]
    assert nested.index.tolist() == list(DATES[1:4]) and nested["loss"].mean() > losses.iloc[1:].mean().min()


@pytest.mark.parametrize("date", range(1, 9))
def test_a_choice_never_sees_the_date_it_is_judged_at_or_later_ones(date):
    random = np.random.default_rng(1)
    losses = table(**{name: random.lognormal(size=9) for name in "abcd"})
    nonsense = losses.copy()
    nonsense.iloc[date:] = random.lognormal(3, 2, size=(9 - date, 4))
    assert nest_choice(nonsense)["chosen"].iloc[:date].tolist() == nest_choice(losses)["chosen"].iloc[:date].tolist()


def test_a_choice_sees_the_date_before():
    losses = table(a=[1, 1, 1, 1], b=[2, 2, 2, 2])
    assert nest_choice(losses)["chosen"].tolist() == ["a", "a", "a"]
    assert nest_choice(losses.assign(a=[1, 9, 1, 1]))["chosen"].tolist() == ["a", "b", "b"]


# --- Leaderboard -----------------------------------------------------------------------------------------------------

def test_a_leaderboard_keeps_its_contract_and_its_order():
    random = np.random.default_rng(2)
    dates = pd.date_range("2024-01-01", periods=120, freq="D", unit="us")
    demand = pd.concat([pd.DataFrame({"date": dates, "site": site, "resource": "bed", "demand": random.poisson(30, 120).astype(float)})
                        for site in "AB"], ignore_index=True)
    as_ofs = list(dates[60:115:7])
    makers = {"seasonal_naive": lambda: SeasonalNaive(5), "flat": lambda: Flat(5)}
    forecasts = roll_models(makers, demand, as_ofs, 5, learn_every=4)
    board = check_frame(make_leaderboard("made up", forecasts, demand), "leaderboard")
    assert board["model"].tolist() == ["flat", "seasonal_naive"] and board["relative_wis"].iloc[1] == 1.0
    first = board.iloc[0]
    assert first["low"] < first["relative_wis"] < first["high"] < 1 and first["as_ofs"] == 8 and first["forecasts"] == 80
    assert first["wis"] == pytest.approx(tabulate_losses(forecasts, demand)["flat"].mean(), abs=5e-4)
    assert first["coverage_50"] == pytest.approx(0.5, abs=0.2) and first["coverage_95"] == pytest.approx(0.95, abs=0.1)


class Flat(SeasonalNaive):
    """What has been the distribution so far will be."""

    name = "flat"

    def _forecast(self, known, horizon):
        return np.broadcast_to(np.quantile(known.to_numpy(), self.levels, axis=0).T, (horizon, known.shape[1], len(self.levels)))
