"""Need a person: a quantile forest, and how honest it is about people it has not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from quantile_forest import RandomForestQuantileRegressor
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.metrics import (accuracy_score, average_precision_score, brier_score_loss, f1_score, mean_absolute_error, mean_squared_error,
                             precision_score, recall_score, roc_auc_score)
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from medlib.errors import MedlibError
from medlib.forecast import LEVELS


def pair_years(rows: pd.DataFrame, outcomes: tuple[str, ...], need: str) -> pd.DataFrame:
    """Put the outcomes of a person's last year beside this year's need, so that nothing else of this year's is known.

    Parameters
    ----------
    rows : pandas.DataFrame
        person, year, and the outcomes of that year.
    outcomes : tuple of str
        Columns known only when the year is over.
    need : str
        The outcome that is forecast.

    Returns
    -------
    pandas.DataFrame
        Rows whose person was there the year before; outcomes but the need are replaced by `last_...`.
    """
    last = rows[["person", "year", *outcomes]].assign(year=rows["year"] + 1)
    known = rows.drop(columns=[name for name in outcomes if name != need])
    return known.merge(last.rename(columns={name: f"last_{name}" for name in outcomes}), on=["person", "year"])


def fill_hidden(known: pd.DataFrame, column: str, hidden: np.ndarray, imputer: BaseEstimator) -> pd.Series:
    """Hide known values, let an imputer guess them, and return its errors.

    Parameters
    ----------
    known : pandas.DataFrame
        Numbers; `column` is known in every row. One row a person, or a person's other rows give the hidden value away.
    column : str
    hidden : numpy.ndarray
        Rows whose value is hidden, boolean, shape (rows,).
    imputer : sklearn estimator
        Learns from the rows with holes; columns are scaled to unit spread, as nearest neighbours need.

    Returns
    -------
    pandas.Series
        Guess minus truth of the hidden rows, in the column's unit.
    """
    hidden = np.asarray(hidden, bool)
    scaler = StandardScaler().set_output(transform="pandas").fit(known[~hidden])
    holes = scaler.transform(known)
    holes.loc[hidden, column] = np.nan
    place = known.columns.get_loc(column)
    guess = clone(imputer).fit_transform(holes)[:, place] * scaler.scale_[place] + scaler.mean_[place]
    return (pd.Series(guess, known.index) - known[column])[hidden]


class NeedForest(RegressorMixin, BaseEstimator):
    """A quantile forest for need a person, from which whole outcomes can be drawn.

    Parameters
    ----------
    trees : int
    leaf : int
        People in a leaf at least.
    seed : int

    Notes
    -----
    The quantile forest takes no missing values: they become the median, and a flag beside it says so. Mean and draws use everybody
    who falls into a leaf, not only those for whom the tree was grown: trees split where these happen to be extreme, and a mean over
    them alone comes out too high.

    References
    ----------
    Meinshausen (2006), Journal of Machine Learning Research 7, 983-999.
    """

    def __init__(self, trees: int = 50, leaf: int = 10, seed: int = 1):
        self.trees, self.leaf, self.seed = trees, leaf, seed

    def fit(self, features: pd.DataFrame, need: pd.Series) -> NeedForest:
        """Learn from people whose need is known.

        Raises
        ------
        MedlibError
            No rows, too few people for two leaves, or a need that is missing or negative.
        """
        _check_need(need, 2 * self.leaf)
        self.fill_ = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
        # By default the package keeps one outcome a leaf, which costs sharpness.
        self.forest_ = RandomForestQuantileRegressor(self.trees, min_samples_leaf=self.leaf, max_features=1 / 3, max_samples_leaf=None,
                                                     n_jobs=-1, random_state=self.seed)
        known = self.fill_.fit_transform(features)
        self.forest_.fit(known, need)
        self.need_, self.leaves_ = np.asarray(need, float), self.forest_.apply(known)
        self.means_ = [np.bincount(leaves, self.need_) / np.bincount(leaves).clip(1) for leaves in self.leaves_.T]
        return self

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Expected need of each person, shape (people,), in units: the mean of all draws."""
        new = self.forest_.apply(self.fill_.transform(features))
        return np.mean([mean[leaves] for mean, leaves in zip(self.means_, new.T)], axis=0)

    def predict_quantiles(self, features: pd.DataFrame, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
        """Quantiles of each person's need, shape (people, levels), in units."""
        known = self.fill_.transform(features)
        return self.forest_.predict(known, quantiles=list(levels), weighted_leaves=True).reshape(len(features), len(levels))

    def draw(self, features: pd.DataFrame, each: int = 8) -> np.ndarray:
        """Draw outcomes of each person: a tree at random, then somebody at random who fell into the same leaf.

        Parameters
        ----------
        features : pandas.DataFrame
        each : int
            Draws a tree.

        Returns
        -------
        numpy.ndarray
            Shape (people, trees times each), in units, in an order that is random and each person's own. Unlike a grid of quantiles
            the draws keep the far tail, and with it the mean.
        """
        rng = np.random.default_rng(self.seed)
        new = self.forest_.apply(self.fill_.transform(features))
        drawn = []
        for tree in range(self.trees):
            order = np.argsort(self.leaves_[:, tree], kind="stable")
            leaves = self.leaves_[order, tree]
            first, end = np.searchsorted(leaves, new[:, tree], "left"), np.searchsorted(leaves, new[:, tree], "right")
            picked = first[:, None] + (rng.random((len(new), each)) * (end - first)[:, None]).astype(int)
            drawn.append(self.need_[order[picked]])
        return rng.permuted(np.hstack(drawn), axis=1)


@dataclass(frozen=True)
class HeldOut:
    """What a forest said of people whom it had not learned from.

    Parameters
    ----------
    mean : numpy.ndarray
        Shape (people,), in units.
    quantiles : numpy.ndarray
        Shape (people, levels), in units, at `LEVELS`.
    draws : numpy.ndarray
        Shape (people, draws), in units.
    """

    mean: np.ndarray
    quantiles: np.ndarray
    draws: np.ndarray


def hold_out(forest: NeedForest, features: pd.DataFrame, need: pd.Series, groups: pd.Series, folds: int = 3) -> HeldOut:
    """Forecast everybody by forests that saw nobody of the same group.

    Parameters
    ----------
    forest : NeedForest
    features : pandas.DataFrame
    need : pandas.Series
        In units.
    groups : pandas.Series
        What stays whole: person, family, household or site.
    folds : int
        Forests to be learned, at most as many as there are groups.

    Raises
    ------
    MedlibError
        As `NeedForest.fit`, or fewer groups than folds.
    """
    _check_need(need, 2)
    if groups.nunique() < folds:
        raise MedlibError(f"Holding out needs at least as many groups as folds ({folds}); got {groups.nunique()}.")
    parts = []
    for known, new in GroupKFold(folds, shuffle=True, random_state=forest.seed).split(features, need, groups):
        model, rows = clone(forest).fit(features.iloc[known], need.iloc[known]), features.iloc[new]
        parts.append((new, model.predict(rows), model.predict_quantiles(rows), model.draw(rows)))
    back = np.argsort(np.concatenate([part[0] for part in parts]))
    return HeldOut(*(np.concatenate([part[number] for part in parts])[back] for number in (1, 2, 3)))


def rank_outcomes(draws: np.ndarray, observed: np.ndarray, seed: int = 1) -> np.ndarray:
    r"""Where each outcome falls in its forecast, ties broken at random: uniform on (0, 1) where the forecasts are honest.

    .. math:: u = P(X < y) + v\,P(X = y), \quad v \sim U(0, 1)

    Counts with many zeros sit on the edge of their intervals, so that an honest 50 % interval holds far more than half of them;
    these ranks don't have that fault.

    Parameters
    ----------
    draws : numpy.ndarray
        Shape (people, draws), in units.
    observed : numpy.ndarray
        Shape (people,), in units.
    seed : int

    Returns
    -------
    numpy.ndarray
        Shape (people,), strictly within (0, 1).

    References
    ----------
    Czado, Gneiting, Held (2009), Biometrics 65, 1254-1261, doi:10.1111/j.1541-0420.2009.01191.x.

    Examples
    --------
    >>> bool(0.5 <= rank_outcomes(np.array([[0, 0, 1, 4]]), np.array([1]))[0] <= 0.75)
    True
    """
    observed = np.asarray(observed)[:, None]
    share = np.random.default_rng(seed).random(len(draws))
    rank = (draws < observed).mean(axis=1) + share * (draws == observed).mean(axis=1)
    # An outcome beyond all draws gets half a draw of probability, not none.
    edge = 0.5 / draws.shape[1]
    return rank.clip(edge, 1 - edge)


def score_guesses(need: pd.Series, guesses: dict[str, np.ndarray]) -> pd.DataFrame:
    """Judge one number a person: MSE (units squared), RMSE, MAE and bias (guess minus need; units), a row a guess."""
    return pd.DataFrame({name: {"MSE": mean_squared_error(need, guess), "RMSE": mean_squared_error(need, guess) ** 0.5,
                                "MAE": mean_absolute_error(need, guess), "bias": np.mean(guess) - np.mean(need)}
                         for name, guess in guesses.items()}).T


def score_risks(heavy: np.ndarray, risk: np.ndarray, places: int) -> dict[str, float]:
    """Judge risks of becoming a heavy user, where the `places` highest risks are flagged.

    Parameters
    ----------
    heavy : numpy.ndarray
        Who became one, shape (people,), boolean.
    risk : numpy.ndarray
        Shape (people,), in [0, 1].
    places : int
        People who can be flagged, at least 1; of equal risks the earlier rows are.

    Returns
    -------
    dict of str to float
        accuracy, precision, recall, f1 of the flags; roc_auc, pr_auc and brier of the risks.

    Raises
    ------
    MedlibError
        All or none became heavy users, so that there is nothing to tell apart.
    """
    heavy, risk = np.asarray(heavy, bool), np.asarray(risk, float)
    if heavy.all() or not heavy.any():
        raise MedlibError(f"Telling heavy users apart takes some people of both kinds; got {heavy.sum()} heavy of {len(heavy)}.")
    flagged = np.zeros(len(risk), bool)
    flagged[np.argsort(-risk, kind="stable")[:places]] = True
    return {"accuracy": accuracy_score(heavy, flagged), "precision": precision_score(heavy, flagged, zero_division=0.0),
            "recall": recall_score(heavy, flagged), "f1": f1_score(heavy, flagged), "roc_auc": roc_auc_score(heavy, risk),
            "pr_auc": average_precision_score(heavy, risk), "brier": brier_score_loss(heavy, risk)}


def _check_need(need: pd.Series, least: int) -> None:
    need = np.asarray(need, float)
    if len(need) < least:
        raise MedlibError(f"Learning need takes at least {least} people; got {len(need)}.")
    if np.isnan(need).any():
        raise MedlibError(f"Every person's need must be known to learn from it; got {np.isnan(need).sum()} missing of {len(need)}, "
                          "leave these people out.")
    if (need < 0).any():
        raise MedlibError(f"Need must not be negative; got {need.min():g} at position {need.argmin()}, correct it or leave it out.")
