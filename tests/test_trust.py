"""Trust in classifiers: calibration by hand and by simulation, answers withheld, and differences that are chance."""

import numpy as np
import pandas as pd
import pytest

from medlib.errors import MedlibError
from medlib.recognise.trust import choose_confidence, compare_f1, measure_calibration, withhold


def simulate(count=20_000, sharper=1.0, seed=1):
    """Outcomes that come true as said; `sharper` than 1 says more than is true."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet([0.6, 0.4, 0.5], count)
    true = (honest.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
    said = honest**sharper
    return said / said.sum(axis=1, keepdims=True), true


def test_honest_probabilities_have_no_calibration_error_and_sharpened_ones_do():
    assert measure_calibration(*simulate()) < 0.015
    assert measure_calibration(*simulate(sharper=3.0)) > 0.08


def test_calibration_error_by_hand():
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    # Two answers at 0.9, one of them right; one at 0.6, wrong; one at 1.0, right.
    assert measure_calibration(probability, np.array([0, 1, 0, 1])) == pytest.approx((0.8 + 0.6 + 0.0) / 4)


def test_the_curve_by_hand():
    probability = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.6, 0.4]])
    curve = withhold(probability, np.array([0, 1, 0, 1]))
    expected = pd.DataFrame({"threshold": [0.9, 0.7, 0.6], "coverage": [0.25, 0.5, 1.0], "accuracy": [1.0, 1.0, 0.75]})
    pd.testing.assert_frame_equal(curve, expected)


def test_the_threshold_keeps_its_promise_on_other_items():
    confidence = choose_confidence(*simulate(seed=2), accuracy=0.9)
    probability, true = simulate(seed=3)
    given = probability.max(axis=1) >= confidence
    assert (probability.argmax(axis=1) == true)[given].mean() == pytest.approx(0.9, abs=0.02)
    assert 0.2 < given.mean() < 0.8 and (probability.argmax(axis=1) == true).mean() < 0.85


def test_where_no_confidence_is_enough_nothing_is_answered():
    assert choose_confidence(np.array([[1.0, 0.0], [0.9, 0.1]]), np.array([1, 1]), 0.9) > 1
    for accuracy in (0.0, 1.1):
        with pytest.raises(MedlibError, match="^The wanted accuracy must lie above 0"):
            choose_confidence(*simulate(9), accuracy)


def test_equal_classifiers_differ_by_chance_and_a_better_one_does_not():
    random = np.random.default_rng(4)
    true = random.integers(0, 4, 600)
    spoil = lambda share: np.where(random.random(600) < share, random.integers(0, 4, 600), true)
    groups = np.arange(600) // 3
    alike = compare_f1(true, spoil(0.3), spoil(0.3), groups, draws=200)
    better = compare_f1(true, spoil(0.1), spoil(0.5), groups, draws=200)
    assert alike["low"] < 0 < alike["high"] and better["low"] > 0.1
    assert better["difference"] == pytest.approx(better["first"] - better["second"])


def test_items_of_a_group_are_drawn_together():
    """Hundred copies of the same few items tell no more than the few."""
    random = np.random.default_rng(5)
    true, one, other = (random.integers(0, 2, 30) for _ in range(3))
    copies = [np.tile(part, 40) for part in (true, one, other)]
    width = lambda found: found["high"] - found["low"]
    together = width(compare_f1(*copies, np.tile(np.arange(30), 40), draws=200))
    assert together > 3 * width(compare_f1(*copies, np.arange(1200), draws=200))
    assert together == pytest.approx(width(compare_f1(true, one, other, np.arange(30), draws=200)), rel=0.01)


def test_a_class_that_nobody_names_counts_as_nought():
    assert compare_f1(np.array([0, 0, 1]), np.array([0, 0, 0]), np.array([0, 0, 1]), np.arange(3), draws=20)["first"] == pytest.approx(0.4)
