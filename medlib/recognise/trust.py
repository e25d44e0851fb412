"""How far a classifier's answers can be trusted: honest probabilities, answers withheld, and differences beyond chance."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from medlib.errors import MedlibError
from medlib.score import resample_groups


def measure_calibration(probability: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    r"""Expected calibration error of the likeliest class.

    .. math:: \sum_b \frac{n_b}{n} \left| \text{accuracy}_b - \text{confidence}_b \right|

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (items, classes), in [0, 1].
    true : numpy.ndarray
        Shape (items,), positions of the true classes.
    bins : int
        Of equal width on [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 where of all answers given with 80 % eighty in a hundred are right, and so on.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks, ICML (arXiv:1706.04599).

    Examples
    --------
    >>> round(measure_calibration(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])), 2)
    0.3
    """
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == true
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(place, right.astype(float) - confidence, bins)).sum() / len(true))


def withhold(probability: np.ndarray, true: np.ndarray) -> pd.DataFrame:
    """How right the answers are if the least sure ones are left to people.

    Returns
    -------
    pandas.DataFrame
        A row for each confidence that occurs, the highest first: threshold (answers at least so sure are given), coverage (share of
        items answered), accuracy (share of them that are right).
    """
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == true
    order = np.argsort(-confidence, kind="stable")
    given = np.arange(1, len(order) + 1)
    curve = pd.DataFrame({"threshold": confidence[order], "coverage": given / len(order), "accuracy": right[order].cumsum() / given})
    return curve.drop_duplicates("threshold", keep="last", ignore_index=True)


def choose_confidence(probability: np.ndarray, true: np.ndarray, accuracy: float) -> float:
    """The confidence from which on answers are given, so that as many as possible are and this share of them is right.

    Parameters
    ----------
    probability, true
        As for `measure_calibration`, of items that the classifier has not learned from.
    accuracy : float
        In (0, 1].

    Returns
    -------
    float
        In [0, 1]; above 1 where no confidence is enough, so that all is left to people.
    """
    if not 0 < accuracy <= 1:
        raise MedlibError(f"The wanted accuracy must lie above 0 and at most at 1; got {accuracy}.")
    enough = withhold(probability, true).query("accuracy >= @accuracy")
    return float(enough["threshold"].iloc[-1]) if len(enough) else float(np.nextafter(1.0, 2.0))


def compare_f1(true: np.ndarray, answers: np.ndarray, others: np.ndarray, groups: np.ndarray, level: float = 0.95, draws: int = 500,
               seed: int = 1) -> dict[str, float]:
    """By how much one classifier's macro-F1 exceeds another's, items of a group drawn together and alike for both.

    Parameters
    ----------
    true, answers, others : numpy.ndarray
        Shape (items,): classes.
    groups : numpy.ndarray
        Shape (items,): what items that are nearly the same share.
    level : float
        Probability of the interval, in (0, 1).
    draws : int
    seed : int

    Returns
    -------
    dict of str to float
        first, second (macro-F1), difference, low, high.

    Notes
    -----
    A class that is not drawn does not count in that draw.
    """
    true, answers, others = (np.asarray(part) for part in (true, answers, others))

    def score(rows) -> np.ndarray:
        there = np.unique(true[rows])
        return np.array([f1_score(true[rows], said[rows], labels=there, average="macro", zero_division=0.0) for said in (answers, others)])

    drawn = [np.subtract(*score(rows)) for rows in islice(resample_groups(groups, seed), draws)]
    first, second = score(np.arange(len(true)))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return {"first": first, "second": second, "difference": first - second, "low": low, "high": high}
