"""Scores by hand, at points where forecast and outcome differ and nothing is symmetric."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.errors import MedlibError
from medlib.forecast import LEVELS
from medlib.schema import check_frame
from medlib.score import cover, pair_forecasts, score_intervals, summarise_scores

DAYS = pd.date_range("2024-03-01", periods=6)
#: Quantiles at `LEVELS`: skewed, and about none of the outcomes below.
SKEWED = [2.0, 4.0, 5.0, 8.0, 10.0, 16.0, 20.0]


def score_by_intervals(observed, quantiles, levels):
    """Bracher et al. (2021), equations 1 and 3: weighted interval scores and the median's absolute error."""
    pairs = len(levels) // 2
    total = 0.5 * abs(observed - quantiles[pairs])
    for number in range(pairs):
        lower, upper, alpha = quantiles[number], quantiles[-1 - number], 2 * levels[number]
        score = (upper - lower) + 2 / alpha * max(lower - observed, 0) + 2 / alpha * max(observed - upper, 0)
        total += alpha / 2 * score
    return total / (pairs + 0.5)


def make_forecast(quantiles, model="forest", date=DAYS[0], site="A", resource="bed", levels=LEVELS):
    return pd.DataFrame({"as_of": pd.Timestamp("2024-02-29"), "date": date, "site": site, "resource": resource, "model": model,
                         "quantile": levels, "demand": quantiles})


def make_truth(demand, **more):
    dates = DAYS[:len(demand)]
    return pd.DataFrame({"date": dates, "site": "A", "resource": "bed", "demand": demand} | more)


def test_one_level_by_hand():
    # 2 (1 - 0.1)(7 - 3) above the outcome; 2 (0 - 0.1)(7 - 12) below it.
    assert score_intervals([3.0], [[7.0]], [0.1]) == pytest.approx([7.2])
    assert score_intervals([12.0], [[7.0]], [0.1]) == pytest.approx([1.0])


def test_three_levels_by_hand():
    # Outcome 3; quantiles 5, 6, 11 at 0.2, 0.5, 0.9: 2/3 (0.8 * 2 + 0.5 * 3 + 0.1 * 8).
    assert score_intervals([3.0], [[5.0, 6.0, 11.0]], [0.2, 0.5, 0.9]) == pytest.approx([2 / 3 * (1.6 + 1.5 + 0.8)])
    # Outcome 14: 2/3 (0.2 * 9 + 0.5 * 8 + 0.9 * 3).
    assert score_intervals([14.0], [[5.0, 6.0, 11.0]], [0.2, 0.5, 0.9]) == pytest.approx([2 / 3 * (1.8 + 4.0 + 2.7)])


def test_a_point_forecast_scores_its_absolute_error():
    # Where all quantiles are one number, every interval is empty: the score is the absolute error.
    assert score_intervals([4.0, 15.0], np.full((2, 7), 9.5), LEVELS) == pytest.approx([5.5, 5.5])


@settings(max_examples=60, deadline=None)
@given(observed=st.floats(0, 500), quantiles=st.lists(st.floats(0, 500), min_size=7, max_size=7).map(sorted))
def test_the_quantile_form_equals_the_interval_form(observed, quantiles):
    ours = score_intervals([observed], [quantiles], LEVELS)[0]
    assert ours == pytest.approx(score_by_intervals(observed, quantiles, LEVELS), rel=1e-9, abs=1e-9)
    assert ours >= 0


def test_rows_are_scored_each_by_itself_and_levels_may_stand_in_any_order():
    rows = np.array([SKEWED, [1.0, 2, 3, 4, 5, 6, 7]])
    both = score_intervals([6.0, 30.0], rows, LEVELS)
    assert both == pytest.approx([score_by_intervals(6.0, rows[0], LEVELS), score_by_intervals(30.0, rows[1], LEVELS)])
    assert score_intervals([6.0, 30.0], rows[:, ::-1], LEVELS[::-1]) == pytest.approx(both)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.2, np.nan])
def test_levels_outside_the_open_interval_are_refused(level):
    with pytest.raises(MedlibError, match=r"^Quantile levels must lie in \(0, 1\); got \["):
        score_intervals([1.0], [[1.0, 2.0]], [0.5, level])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(MedlibError, match=r"^Quantiles must have shape \(2, 3\); got \(3, 2\)\.$"):
        score_intervals([1.0, 2.0], np.ones((3, 2)), [0.1, 0.5, 0.9])


def test_coverage_counts_the_ends():
    observed, lower, upper = np.array([1.0, 2, 5, 6, 7]), np.full(5, 2.0), np.full(5, 6.0)
    assert cover(observed, lower, upper) == pytest.approx(3 / 5)


def test_truth_that_is_missing_or_filled_in_is_left_out():
    forecasts = pd.concat([make_forecast(SKEWED, date=day) for day in DAYS[:3]])
    truth = make_truth([6.0, np.nan, 11.0], imputed=[False, False, True])
    paired = pair_forecasts(forecasts, truth)
    assert paired.index.get_level_values("date").tolist() == [DAYS[0]] and paired["observed"].tolist() == [6.0]
    assert pair_forecasts(forecasts, truth.drop(columns="imputed"))["observed"].tolist() == [6.0, 11.0]


def test_forecasts_meet_the_truth_of_their_own_day_site_and_resource():
    other = pd.DataFrame({"date": [DAYS[0], DAYS[0], DAYS[1]], "site": ["B", "A", "A"], "resource": ["bed", "icu_bed", "bed"],
                          "demand": [100.0, 200.0, 300.0]})
    truth = pd.concat([other, make_truth([6.0])]).iloc[::-1]
    paired = pair_forecasts(make_forecast(SKEWED).sample(frac=1, random_state=3), truth)
    assert paired["observed"].tolist() == [6.0]
    assert paired[list(LEVELS)].to_numpy().tolist() == [SKEWED]


def test_the_summary_by_hand():
    shifted = [value + 3 for value in SKEWED]
    forecasts = pd.concat([make_forecast(quantiles, model, day) for model, quantiles in
                           [("forest", SKEWED), ("seasonal_naive", shifted)] for day in DAYS])
    observed = [7.0, 4.0, 12.0, 3.0, 18.0, 21.0]  # of the forest: inside 50 %, two inside 80 %, two inside 95 %, outside
    scores = check_frame(summarise_scores(forecasts, make_truth(observed)).assign(used=True), "forecast_score")
    scores = scores.set_index("model")
    forest, naive = scores.loc["forest"], scores.loc["seasonal_naive"]
    assert forest["wis"] == pytest.approx(np.mean([score_by_intervals(y, SKEWED, LEVELS) for y in observed]), abs=1e-4)
    assert naive["wis"] == pytest.approx(np.mean([score_by_intervals(y, shifted, LEVELS) for y in observed]), abs=1e-4)
    assert forest["relative_wis"] == pytest.approx(forest["wis"] / naive["wis"], abs=1e-3)
    assert naive["relative_wis"] == 1.0 and forest["relative_wis"] != 1.0
    assert forest["pinball"] == pytest.approx(forest["wis"] / 2, abs=1e-4)
    assert (forest["coverage_50"], forest["coverage_80"], forest["coverage_95"]) == pytest.approx((1 / 6, 3 / 6, 5 / 6), abs=1e-4)
    assert forest["mae"] == pytest.approx((1 + 4 + 4 + 5 + 10 + 13) / 6, abs=1e-4)
    assert forest["rmse"] == pytest.approx(np.sqrt((1 + 16 + 16 + 25 + 100 + 169) / 6), abs=1e-4)
    assert forest["forecasts"] == 6


def test_resources_are_scored_apart_and_each_against_its_own_baseline():
    # Absolute errors: forest 2 and 6, baseline 4 and 3.
    points = [("forest", "bed", 12.0), ("forest", "icu_bed", 26.0), ("seasonal_naive", "bed", 6.0), ("seasonal_naive", "icu_bed", 17.0)]
    forecasts = pd.concat([make_forecast([value] * 7, model, resource=resource) for model, resource, value in points])
    truth = pd.concat([make_truth([10.0]), make_truth([20.0]).assign(resource="icu_bed")])
    scores = summarise_scores(forecasts, truth).set_index(["model", "resource"])
    assert scores.loc[("forest", "bed"), "relative_wis"] == pytest.approx(0.5)
    assert scores.loc[("forest", "icu_bed"), "relative_wis"] == pytest.approx(2.0)


def test_there_is_no_ratio_over_a_faultless_or_absent_baseline():
    forecasts = pd.concat([make_forecast([5.0] * 7, "seasonal_naive"), make_forecast(SKEWED)])
    scores = summarise_scores(forecasts, make_truth([5.0]))
    assert scores["wis"].tolist() == pytest.approx([score_by_intervals(5.0, SKEWED, LEVELS), 0.0], abs=1e-4)
    assert scores["relative_wis"].isna().all()
    assert summarise_scores(forecasts, make_truth([5.0]), baseline="drift")["relative_wis"].isna().all()


def test_forecasts_without_any_outcome_are_not_scored():
    with pytest.raises(MedlibError, match="^No forecast has a reported outcome"):
        summarise_scores(make_forecast(SKEWED), make_truth([6.0], imputed=True))
