"""Counts behind wrong labels: bias is gone, intervals hold, certainty comes from checked devices only."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from medlib.errors import MedlibError
from medlib.recognise.counting import compare_counts, cross_answers, draw_counts, give_answers, list_answers, score_counts

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
    drawn = [draw_counts(np.array([60, 40]), times * np.array([[8, 2], [2, 8]]))[:, 0] for times in (1, 100)]
    widths = [np.ptp(np.quantile(counts, [0.05, 0.95])) for counts in drawn]
    assert widths[0] > 1.3 * widths[1]


@settings(max_examples=30, deadline=None)
@given(predicted=st.lists(st.integers(0, 40), min_size=3, max_size=3), seed=st.integers(0, 99))
def test_draws_are_whole_devices_that_add_up(predicted, seed):
    drawn = draw_counts(np.array(predicted), np.array([[9, 1, 0], [1, 8, 1], [0, 0, 3]]), 20, 5, seed)
    assert (drawn >= 0).all() and (drawn.sum(axis=1) == sum(predicted)).all()


@pytest.mark.parametrize(("predicted", "confusion", "words"), [
    ([3, 4], np.eye(3), "Counts of 2 answers need a confusion matrix with as many columns; got shape .3, 3."),
    ([3, -1], np.eye(2), "whole numbers of at least 0"),
    ([3, 0.5], np.eye(2), "whole numbers of at least 0"), ([3, 1], [[1, 0], [0, np.nan]], "whole numbers of at least 0"),
    ([3, 1], [[1, 0], [0, 0]], "class 1 has none")])
def test_counts_that_cannot_be_are_refused(predicted, confusion, words):
    with pytest.raises(MedlibError, match=words):
        draw_counts(np.array(predicted), np.array(confusion))


def test_finer_answers_tell_more():
    """"Surely" is right far more often than "perhaps"; both together say the same as the coarse answers."""
    fine = 50 * np.array([[14, 3, 2, 1], [1, 3, 4, 12]])
    coarse = fine.reshape(2, 2, 2).sum(axis=2)
    predicted = np.array([20, 12, 8, 60])
    drawn = [draw_counts(predicted, fine)[:, 0], draw_counts(predicted.reshape(2, 2).sum(axis=1), coarse)[:, 0]]
    assert drawn[0].mean() == pytest.approx(drawn[1].mean(), abs=4) and drawn[0].std() < 0.9 * drawn[1].std()


def test_more_answers_than_classes_by_hand():
    """Who answers "perhaps" knows nothing; the shares come from the sure answers."""
    drawn = draw_counts(np.array([40, 10, 50]), 1000 * np.array([[1, 0, 1], [0, 1, 1]]))
    assert drawn.mean(axis=0) == pytest.approx([80, 20], abs=1.5)
    low, high = np.quantile(drawn[:, 0], [0.05, 0.95])
    assert 40 <= low < 77 < 83 < high <= 90


def test_answers_by_hand():
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.8, 0.2]])
    assert give_answers(probability, 0.8).tolist() == [0, 3, 1, 0]
    assert cross_answers(np.array([0, 0, 1, 1]), probability, 0.8).tolist() == [[1, 0, 0, 1], [1, 1, 0, 0]]


def test_answers_are_listed():
    listed = list_answers(np.array([[5, 1, 2, 0], [0, 7, 3, 4]]), ("on", "off"))
    assert len(listed) == 8 and listed["devices"].sum() == 22
    found = listed.set_index(["true", "called", "confident"])["devices"]
    cells = [("on", "on", True), ("on", "on", False), ("off", "off", True), ("off", "off", False), ("off", "on", False)]
    assert [found[cell] for cell in cells] == [5, 2, 7, 4, 3]


def test_fleets_are_counted_better_when_corrected():
    random = np.random.default_rng(1)
    true = np.repeat(np.arange(3), 4000)
    probability = random.dirichlet([1, 1, 1], 12_000) + 0.9 * np.eye(3)[np.where(random.random(12_000) < 0.25, 0, true)]
    probability /= probability.sum(axis=1, keepdims=True)
    confusion = cross_answers(true[::2], probability[::2], 0.6)
    counts = compare_counts(true[1::2], probability[1::2], confusion, 0.6, 500, 100, fleets=30)
    scores = score_counts(counts)
    assert (counts["bare"] > counts["truth"]).mean() > 0.9 and scores["mae_corrected"] < 0.5 * scores["mae_bare"]
    assert counts["truth"].between(0.25 * 500, 500).all() and (counts["low"] <= counts["corrected"]).all() and scores["held_90"] > 0.6


def test_scores_of_counts_by_hand():
    counts = pd.DataFrame({"truth": [10, 20], "bare": [13, 15], "corrected": [11.0, 20.0], "low": [9, 21], "high": [12, 22]})
    assert score_counts(counts) == {"mae_bare": 4.0, "mae_corrected": 0.5, "held_90": 0.5}
