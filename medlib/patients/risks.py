"""Risks of getting worse: predicted for stays not learned from, calibrated, judged, and added up to the number in each unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import poisson_binom
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (average_precision_score, brier_score_loss, f1_score, precision_recall_curve, precision_score, recall_score,
                             roc_auc_score)
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from medlib.errors import MedlibError
from medlib.forecast import LEVELS
from medlib.score import resample_groups


def cross_predict(models: Mapping[str, BaseEstimator], values: np.ndarray, worse: np.ndarray, patients: np.ndarray, folds: int = 5,
                  repeats: int = 1, seed: int = 1) -> pd.DataFrame:
    """Predict every stay by models that saw no stay of the same patient.

    Within each fold's training stays, a second round of folds gives the probabilities from which the threshold is chosen (highest F1)
    and by which the model's probabilities are calibrated (Platt); then the model learns from all training stays.

    Parameters
    ----------
    models : mapping of str to classifier
    values : numpy.ndarray
        Shape (stays, hours, variables), as from `arrange_hours`.
    worse : numpy.ndarray
        Outcome of each stay, 0 or 1.
    patients : numpy.ndarray
        Whose stay it is; a patient's stays are never divided.
    folds, repeats : int
        Folds in a round, and rounds.
    seed : int
        Of the division.

    Returns
    -------
    pandas.DataFrame
        model, repeat, fold, row (position of the stay), worse, raw and calibrated probability, flagged (above the threshold).

    Raises
    ------
    MedlibError
        Too few patients who got worse for so many folds.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers.
    """
    worse, patients = np.asarray(worse).astype(int), np.asarray(patients)
    least = min(len(np.unique(patients[worse == outcome])) for outcome in (0, 1))
    if least < 2 * folds:
        raise MedlibError(f"{folds} folds need at least {2 * folds} patients of either outcome; got {least}.")
    parts = []
    for repeat in range(repeats):
        outer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + repeat)
        for fold, (known, new) in enumerate(outer.split(values, worse, patients)):
            inner = StratifiedGroupKFold(3, shuffle=True, random_state=seed + repeat)
            for name, model in models.items():
                held = cross_val_predict(clone(model), values[known], worse[known], groups=patients[known], cv=inner,
                                         method="predict_proba")[:, 1]
                fitted = clone(model).fit(values[known], worse[known])
                raw = fitted.predict_proba(values[new])[:, 1]
                parts.append(pd.DataFrame({
                    "model": name, "repeat": repeat, "fold": fold, "row": new, "worse": worse[new], "raw": raw,
                    "probability": calibrate(held, worse[known], raw), "flagged": raw >= choose_threshold(worse[known], held)}))
    return pd.concat(parts, ignore_index=True)


def choose_threshold(worse: np.ndarray, probability: np.ndarray) -> float:
    """The probability from which on stays are flagged, so that F1 is highest."""
    precision, recall, thresholds = precision_recall_curve(worse, probability)
    both = precision[:-1] + recall[:-1]
    return float(thresholds[np.argmax(np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0))])


def _odds(probability: np.ndarray) -> np.ndarray:
    return logit(np.clip(probability, 1e-4, 1 - 1e-4))


def fit_calibration(worse: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    r"""Intercept and slope of the outcomes' log-odds on the predicted ones: 0 and 1 where probabilities are honest.

    .. math:: \mathrm{logit}\,P(\text{worse}) = a + b\,\mathrm{logit}(p)

    A slope below 1 means too extreme, above 1 too timid. Without two different probabilities there is no slope: missing.
    """
    odds = _odds(probability)
    if np.ptp(odds) < 1e-9:
        return np.nan, np.nan
    line = LogisticRegression(C=np.inf).fit(odds[:, None], worse)
    return float(line.intercept_[0]), float(line.coef_[0, 0])


def calibrate(held: np.ndarray, worse: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Probabilities corrected by the line that held-out probabilities and their outcomes ask for."""
    intercept, slope = fit_calibration(worse, held)
    return np.asarray(probability, float) if np.isnan(slope) else expit(intercept + slope * _odds(probability))


def score_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each model, the mean over rounds.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As from `cross_predict`.

    Returns
    -------
    pandas.DataFrame
        Index model: auroc, auprc, f1, recall, precision, brier, calibration_slope, expected_share and observed_share (of stays that got
        worse), stays.
    """
    rounds = {key: _score_round(rows) for key, rows in predictions.groupby(["model", "repeat"], sort=False)}
    return pd.DataFrame(rounds).T.rename_axis(["model", "repeat"]).groupby("model", sort=False).mean()


def _score_round(rows: pd.DataFrame) -> dict[str, float]:
    worse, probability, flagged = (rows[name].to_numpy() for name in ("worse", "probability", "flagged"))
    return {"auroc": roc_auc_score(worse, probability), "auprc": average_precision_score(worse, probability),
            "f1": f1_score(worse, flagged), "recall": recall_score(worse, flagged),
            "precision": precision_score(worse, flagged, zero_division=0.0), "brier": brier_score_loss(worse, probability),
            "calibration_slope": fit_calibration(worse, probability)[1], "expected_share": probability.mean(),
            "observed_share": worse.mean(), "stays": len(rows)}


def bound_scores(predictions: pd.DataFrame, patients: np.ndarray, against: str, level: float = 0.95, draws: int = 500,
                 seed: int = 1) -> pd.DataFrame:
    """How sure AUROC and AUPRC are, and their differences to one model, by drawing patients anew.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As from `cross_predict`; the mean of a stay's probabilities over rounds is judged.
    patients : numpy.ndarray
        Of each stay, in the order of `row`.
    against : str
        The model that the others are compared with.
    level : float
        Probability of the interval, in (0, 1).
    draws : int
    seed : int

    Returns
    -------
    pandas.DataFrame
        Index model and score; value, low, high, and difference_low and difference_high to `against`, patients drawn alike for all.
    """
    wide = predictions.pivot_table(index="row", columns="model", values="probability", sort=False)
    worse = predictions.drop_duplicates("row").set_index("row")["worse"].loc[wide.index].to_numpy()
    scores = {"auroc": roc_auc_score, "auprc": average_precision_score}

    def judge(rows) -> np.ndarray:
        return np.array([[score(worse[rows], wide[model].to_numpy()[rows]) for score in scores.values()] for model in wide])

    both = (rows for rows in resample_groups(np.asarray(patients)[wide.index], seed) if 0 < worse[rows].sum() < len(rows))
    drawn, ends = np.array([judge(rows) for rows in islice(both, draws)]), [(1 - level) / 2, (1 + level) / 2]
    apart = drawn - drawn[:, [wide.columns.get_loc(against)]]
    index = pd.MultiIndex.from_product([wide.columns, scores], names=["model", "score"])
    columns = [judge(np.arange(len(wide))), *np.quantile(drawn, ends, axis=0), *np.quantile(apart, ends, axis=0)]
    return pd.DataFrame({name: column.ravel() for name, column in zip(("value", "low", "high", "difference_low", "difference_high"), columns)},
                        index=index)


def distribute_count(probability: Sequence[float]) -> np.ndarray:
    r"""How likely each number of stays that get worse is, where stays are independent (Poisson-binomial distribution).

    .. math:: P(N = k) = \sum_{A: |A| = k}\; \prod_{i \in A} p_i \prod_{i \notin A} (1 - p_i)

    Parameters
    ----------
    probability : sequence of float
        Of each stay, in [0, 1].

    Returns
    -------
    numpy.ndarray
        Shape (stays + 1,): probability of 0, 1, ... stays; sums to one.

    Raises
    ------
    MedlibError
        A probability outside [0, 1].

    References
    ----------
    Hong (2013), On computing the distribution function for the Poisson binomial distribution, doi:10.1016/j.csda.2012.10.006.

    Examples
    --------
    >>> distribute_count([0.1, 0.2, 0.2]).round(3).tolist()
    [0.576, 0.352, 0.068, 0.004]
    """
    probability = np.asarray(probability, float)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise MedlibError(f"Probabilities must lie in [0, 1]; got {probability[~((probability >= 0) & (probability <= 1))][0]:g}.")
    if not len(probability):
        return np.ones(1)
    return poisson_binom.pmf(np.arange(len(probability) + 1), probability)


def forecast_escalations(units: Sequence[str], probability: np.ndarray, model: str, levels: Sequence[float] = LEVELS,
                         resource: str = "escalated_care") -> pd.DataFrame:
    """Demand of each unit: how many of its stays will need escalated care.

    Parameters
    ----------
    units : sequence of str
        Unit of each stay.
    probability : numpy.ndarray
        Of each stay, in [0, 1].
    model : str
        What the probabilities came from.
    levels : sequence of float
        Probability levels in (0, 1).
    resource : str
        What is counted: one place for each stay that gets worse.

    Returns
    -------
    pandas.DataFrame
        site (the unit), resource, model, quantile, demand (stays): the least number that is not exceeded with at least this probability.

    Notes
    -----
    Stays are taken for independent, given their probabilities. A bad night for the whole unit, an infection that spreads or
    probabilities that are all too low make the truth wider than this interval.
    """
    rows = []
    for unit, chosen in pd.Series(np.asarray(probability, float)).groupby(np.asarray(units)):
        reached = distribute_count(chosen.to_numpy()).cumsum()
        rows += [(unit, resource, model, level, float((reached < level - 1e-12).sum())) for level in levels]
    return pd.DataFrame(rows, columns=["site", "resource", "model", "quantile", "demand"])
