"""Patients' condition: who will get worse, told from hourly vital signs.

Hours stand in one array (stays, hours, variables), missing where nothing was measured. What is known on admission (age, say)
is a variable that is measured once, in the first hour. All models see the same inputs, made by `HourEncoder`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from medlib.errors import MedlibError
from medlib.nets import HourlyGRU, follow_hours
from medlib.train import choose_device, fit_net

#: Columns of `stays` that are not known on admission or say nothing of the patient.
NO_TRAITS = ("stay", "patient", "unit", "worse")
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
