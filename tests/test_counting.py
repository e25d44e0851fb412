"""Counts behind wrong labels: bias is gone, intervals hold, certainty comes from checked devices only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from medlib.errors import MedlibError
from medlib.recognise.counting import draw_counts

CALLED = np.array([[0.85, 0.10, 0.00, 0.05], [0.15, 0.80, 0.00, 0.05], [0.01, 0.00, 0.97, 0.02], [0.10, 0.05, 0.10, 0.75]])


def call(random, true):
    return np.array([random.choice(4, p=CALLED[state]) for state in true])


def test_bias_is_gone_and_intervals_hold_where_shares_have_shifted():
    random = np.random.default_rng(1)
    checked = np.repeat(np.arange(4), 150)
    confusion = confusion_matrix(checked, call(random, checked))
    bare, corrected, held = [], [], []
    for number in range(150):
        shares = random.dirichlet([6, 1, 1, 1]) if number % 2 else random.dirichlet([1, 2, 2, 4])
        true = random.choice(4, 80, p=shares)
        predicted = np.bincount(call(random, true), minlength=4)
        drawn, working = draw_counts(predicted, confusion, 400, seed=number)[:, 0], (true == 0).sum()
        bare.append(abs(predicted[0] - working))
        corrected.append(abs(drawn.mean() - working))
        low, high = np.quantile(drawn, [0.05, 0.95])
        held.append(low <= working <= high)
    assert np.mean(corrected) < 0.7 * np.mean(bare)
    assert 0.85 <= np.mean(held) <= 0.98


def test_a_perfect_classifier_is_believed():
    drawn = draw_counts(np.array([30, 5, 0]), np.diag([5000, 5000, 5000]))
    assert drawn.mean(axis=0) == pytest.approx([30, 5, 0], abs=0.1)


def test_a_classifier_that_tells_nothing_leaves_everything_open():
    drawn = draw_counts(np.array([50, 50]), np.array([[500, 500], [500, 500]]), rounds=300)[:, 0]
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert low < 15 and high > 85


def test_fewer_checked_devices_make_a_wider_interval():
    widths = [np.ptp(np.quantile(draw_counts(np.array([60, 40]), times * np.array([[8, 2], [2, 8]]))[:, 0], [0.05, 0.95])) for times in (1, 100)]
    assert widths[0] > 1.3 * widths[1]


@settings(max_examples=30, deadline=None)
@given(predicted=st.lists(st.integers(0, 40), min_size=3, max_size=3), seed=st.integers(0, 99))
def test_draws_are_whole_devices_that_add_up(predicted, seed):
    drawn = draw_counts(np.array(predicted), np.array([[9, 1, 0], [1, 8, 1], [0, 0, 3]]), 20, 5, seed)
    assert (drawn >= 0).all() and (drawn.sum(axis=1) == sum(predicted)).all()


@pytest.mark.parametrize(("predicted", "confusion", "words"), [
    ([3, 4], np.eye(3), "need a confusion matrix of 2 by 2"), ([3, -1], np.eye(2), "whole numbers of at least 0"),
    ([3, 0.5], np.eye(2), "whole numbers of at least 0"), ([3, 1], [[1, 0], [0, np.nan]], "whole numbers of at least 0"),
    ([3, 1], [[1, 0], [0, 0]], "class 1 has none")])
def test_counts_that_cannot_be_are_refused(predicted, confusion, words):
    with pytest.raises(MedlibError, match=words):
        draw_counts(np.array(predicted), np.array(confusion))
