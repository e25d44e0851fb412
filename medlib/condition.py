"""Patients' condition: who will get worse, told from hourly vital signs, and how many that makes in each unit.

Hours stand in one array (stays, hours, variables), missing where nothing was measured. What is known on admission (age, say)
is a variable that is measured once, in the first hour. All models see the same inputs, made by `HourEncoder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit
from scipy.stats import poisson_binom
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import (average_precision_score, brier_score_loss, f1_score, precision_recall_curve, precision_score, recall_score,
                             roc_auc_score)
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from medlib.errors import MedlibError
from medlib.nets import HourlyGRU, follow_hours
from medlib.train import choose_device, fit_net

#: Columns of `stays` that are not known on admission or say nothing of the patient.
NO_TRAITS = ("stay", "patient", "unit", "worse")
#: Probability levels of the number of stays that get worse, as of a site's demand.
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
#: Values farther from the middle than this many standard deviations count as so far.
FARTHEST = 4.0


def arrange_hours(vitals: pd.DataFrame, stays: pd.DataFrame, last_hour: int = 24) -> tuple[np.ndarray, list[str]]:
    """Arrange measurements by stay, hour and variable.

    Parameters
    ----------
    vitals : pandas.DataFrame
        stay, hour (whole hours since admission, from 0) and a column a variable; missing where not measured.
    stays : pandas.DataFrame
        stay, what is known on admission (numbers), and any of `NO_TRAITS`.
    last_hour : int
        The hour in which the question is asked; what was measured later is left out.

    Returns
    -------
    values : numpy.ndarray
        Shape (stays, last_hour + 1, variables), in the order of `stays`. A stay without measurements, or with fewer hours, is missing there.
    names : list of str
        The variables.

    Raises
    ------
    MedlibError
        A column is missing or not a number, an hour is no whole number or stands twice, or a stay stands twice or is unknown.
    """
    _check_stays(vitals, stays)
    measured = [name for name in vitals.columns if name not in ("stay", "hour")]
    traits = [name for name in stays.columns if name not in NO_TRAITS]
    known = vitals[vitals["hour"] <= last_hour]
    values = np.full((len(stays), last_hour + 1, len(measured) + len(traits)), np.nan)
    row = pd.Index(stays["stay"]).get_indexer(known["stay"])
    values[row, known["hour"].to_numpy(int), :len(measured)] = known[measured].to_numpy(float)
    values[:, 0, len(measured):] = stays[traits].to_numpy(float)
    return values, measured + traits


def _check_stays(vitals: pd.DataFrame, stays: pd.DataFrame) -> None:
    for table, name, needed in ((vitals, "vitals", ("stay", "hour")), (stays, "stays", ("stay",))):
        if missing := [column for column in needed if column not in table]:
            raise MedlibError(f"The table {name} needs the column {missing[0]!r}; got {', '.join(map(str, table.columns)) or 'none'}.")
        texts = [column for column in table.columns if column not in NO_TRAITS and not pd.api.types.is_numeric_dtype(table[column])]
        if texts:
            raise MedlibError(f"Every variable of the table {name} must be a number; {texts[0]!r} holds {table[texts[0]].dtype}, "
                              "leave it out or make it a number.")
    hours = vitals["hour"].to_numpy(float)
    if not (np.isfinite(hours) & (hours >= 0) & (hours == np.floor(hours))).all():
        raise MedlibError("Hours must be whole numbers from 0, counted since admission; round the times to full hours first.")
    if vitals.duplicated(["stay", "hour"]).any() or stays["stay"].duplicated().any():
        raise MedlibError("A stay stands once in stays, and once an hour in vitals; average what was measured within an hour.")
    if not (unknown := vitals.loc[~vitals["stay"].isin(stays["stay"]), "stay"]).empty:
        raise MedlibError(f"Every stay of vitals must stand in stays; {unknown.iloc[0]} does not.")


class HourEncoder(TransformerMixin, BaseEstimator):
    """What a model sees each hour: the last known value of each variable, whether it was measured, and how long ago.

    Values are brought to a normal distribution by their ranks among the training stays' measurements, which tames laboratory values
    that spread over powers of ten; before the first measurement they are the mean, zero. The time since the last measurement (or, where
    there was none, since before admission) enters as a logarithm. Nothing but training stays decides the scale.

    References
    ----------
    Che et al. (2018), Recurrent neural networks for multivariate time series with missing values, Scientific Reports 8:6085,
    doi:10.1038/s41598-018-24271-9 (value, mask and time since).
    """

    def fit(self, values: np.ndarray, worse: np.ndarray | None = None) -> HourEncoder:
        """Learn the scale of values of shape (stays, hours, variables)."""
        rows = values.reshape(-1, values.shape[2])
        # Nothing can be learned from a variable that no training stay has.
        self.seen_ = np.isfinite(rows).any(axis=0)
        self.scale_ = make_pipeline(
            QuantileTransformer(n_quantiles=min(200, len(rows)), output_distribution="normal", subsample=None),
            FunctionTransformer(np.clip, kw_args={"a_min": -FARTHEST, "a_max": FARTHEST}), StandardScaler()).fit(rows[:, self.seen_])
        return self

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Shape (stays, hours, 3 times variables): values, masks and times since; an hour depends on it and earlier ones only."""
        stays, hours, _ = values.shape
        seen = values[:, :, self.seen_]
        measured = np.isfinite(seen)
        hour = np.arange(hours)[:, None]
        last = np.maximum.accumulate(np.where(measured, hour, -1), axis=1)
        scaled = self.scale_.transform(seen.reshape(stays * hours, -1)).reshape(seen.shape)
        held = np.where(last >= 0, np.take_along_axis(scaled, last.clip(0), axis=1), 0.0)
        return np.concatenate([held, measured, np.log1p(hour - last) / 2], axis=2).astype(np.float32)


class RecurrentClassifier(ClassifierMixin, BaseEstimator):
    """Gated recurrent units on hourly inputs; the mean of several networks' probabilities.

    The share of stays that get worse is left as it is (no re-weighting), so that probabilities can be added up.

    Parameters
    ----------
    nets : int
        Networks, each from another seed.
    hidden, dropout
        As in `HourlyGRU`.
    epochs, rate, noise
        As in `fit_net`.
    batch : int
        Stays a step, and no more than an eighth of all.
    seed : int

    Notes
    -----
    Width, dropout, noise and epochs were chosen by cross-validation within half of the eICU demo's stays.
    """

    def __init__(self, nets: int = 3, hidden: int = 32, dropout: float = 0.4, epochs: int = 10, rate: float = 5e-3, noise: float = 0.1,
                 batch: int = 128, seed: int = 1):
        self.nets, self.hidden, self.dropout, self.epochs = nets, hidden, dropout, epochs
        self.rate, self.noise, self.batch, self.seed = rate, noise, batch, seed

    def fit(self, values: np.ndarray, worse: np.ndarray) -> RecurrentClassifier:
        """Learn from values of shape (stays, hours, variables) and outcomes (stays,), 0 or 1.

        Raises
        ------
        MedlibError
            All stays ended alike.
        """
        worse = np.asarray(worse)
        self.classes_ = np.unique(worse)
        if len(self.classes_) < 2:
            raise MedlibError(f"Learning takes stays that got worse and stays that did not; got {len(worse)} that all ended alike.")
        self.encoder_ = HourEncoder().fit(values)
        hours, target = torch.tensor(self.encoder_.transform(values)), torch.tensor(worse, dtype=torch.float32)
        # Few stays still give eight steps an epoch: a network that has hardly begun to learn is too timid.
        batch, self.nets_ = max(1, min(self.batch, len(worse) // 8)), []
        for seed in range(self.seed, self.seed + self.nets):
            torch.manual_seed(seed)
            net = HourlyGRU(hours.shape[2], self.hidden, self.dropout, float(logit(worse.mean())))
            self.nets_.append(fit_net(net, (hours,), target, follow_hours, self.epochs, self.rate, seed, batch, self.noise))
        return self

    def follow(self, values: np.ndarray) -> np.ndarray:
        """Probability of getting worse as it stood after each hour, shape (stays, hours)."""
        hours = torch.tensor(self.encoder_.transform(values), device=choose_device())
        with torch.no_grad():
            return np.mean([torch.sigmoid(net(hours)).cpu().numpy() for net in self.nets_], axis=0, dtype=float)

    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        """Shape (stays, 2): probability of not getting worse and of getting worse, after the last hour."""
        worse = self.follow(values)[:, -1]
        return np.stack([1 - worse, worse], axis=1)

    def predict(self, values: np.ndarray) -> np.ndarray:
        """The likelier outcome of each stay."""
        return self.classes_[self.predict_proba(values).argmax(axis=1)]


def take_last(inputs: np.ndarray) -> np.ndarray:
    """The last hour's inputs, shape (stays, inputs)."""
    return inputs[:, -1]


def summarise_hours(inputs: np.ndarray) -> np.ndarray:
    """The last hour's inputs, and lowest, highest and mean of the values with the share of hours measured: (stays, features)."""
    values, measured, _ = np.split(inputs, 3, axis=2)
    return np.concatenate([inputs[:, -1], values.min(axis=1), values.max(axis=1), values.mean(axis=1), measured.mean(axis=1)], axis=1)


def make_logistic(features: FunctionTransformer, seed: int = 1) -> Pipeline:
    """Logistic regression on features of the hourly inputs; its penalty is chosen inside the training stays."""
    search = LogisticRegressionCV(Cs=[0.001, 0.003, 0.01, 0.03, 0.1], l1_ratios=(0.0,), cv=5, scoring="neg_log_loss", max_iter=2000,
                                  use_legacy_attributes=False, random_state=seed)
    return make_pipeline(HourEncoder(), features, StandardScaler(), search)


def list_models(seed: int = 1, nets: int = 3) -> dict[str, BaseEstimator]:
    """Every model of patients' condition, the baselines first."""
    return {"prevalence": DummyClassifier(strategy="prior"), "logistic_last": make_logistic(FunctionTransformer(take_last), seed),
            "logistic_summary": make_logistic(FunctionTransformer(summarise_hours), seed),
            "recurrent_network": RecurrentClassifier(nets=nets, seed=seed)}


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
    random, scores = np.random.default_rng(seed), {"auroc": roc_auc_score, "auprc": average_precision_score}
    members = pd.Series(np.arange(len(wide))).groupby(np.asarray(patients)[wide.index]).agg(list).tolist()

    def judge(rows) -> np.ndarray:
        return np.array([[score(worse[rows], wide[model].to_numpy()[rows]) for score in scores.values()] for model in wide])

    drawn = []
    while len(drawn) < draws:
        rows = np.concatenate([members[number] for number in random.integers(len(members), size=len(members))])
        if 0 < worse[rows].sum() < len(rows):
            drawn.append(judge(rows))
    drawn, ends = np.array(drawn), [(1 - level) / 2, (1 + level) / 2]
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
