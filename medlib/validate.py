"""How good a model would have been: splits of rows, scores by as-of date with intervals, and honest choices among candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, TimeSeriesSplit
from threadpoolctl import threadpool_limits

from medlib.errors import MedlibError
from medlib.forecast import Forecaster, SeasonalNaive, roll_forecasts
from medlib.score import cover, pair_forecasts, score_intervals

#: Ways to split rows into what is learned from and what is tested.
SPLITS = ("hold_out", "k_fold", "grouped", "time_ordered")
#: Periods ahead that are judged where nothing else is said, by kind of period: two weeks, four weeks, a year.
HORIZONS = {"D": 14, "W": 4, "M": 12}
#: With fewer as-of dates an interval would claim more than they tell.
FEWEST = 5


def split_rows(kind: str, origins: np.ndarray, sites: np.ndarray, horizon: int, folds: int = 5, most: int | None = None,
               seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into training and test rows.

    `hold_out` tests one random part of the rows, `k_fold` each of the random parts in turn, `grouped` each group of sites, and
    `time_ordered` each stretch of as-of dates but the first, learning only from rows whose outcome was known by then.

    Parameters
    ----------
    kind : str
        One of `SPLITS`.
    origins : numpy.ndarray
        Shape (rows,): position of the period that the row is forecast as of.
    sites : numpy.ndarray
        Shape (rows,): site of the row.
    horizon : int
        Most periods ahead that a row may look.
    folds : int
        Parts, at least 2; by site not more than there are sites.
    most : int, optional
        At most so many training rows, drawn at random, so that all kinds learn from as many.
    seed : int
        Of everything drawn at random.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        Positions of training and test rows.

    Raises
    ------
    MedlibError
        The kind is unknown, or there is only one site to split by.

    References
    ----------
    Roberts et al. (2017), Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic structure,
    Ecography 40:913-929, doi:10.1111/ecog.02881.
    """
    groups = len(np.unique(sites))
    splits = {"hold_out": lambda: ShuffleSplit(1, test_size=1 / folds, random_state=seed).split(origins),
              "k_fold": lambda: KFold(folds, shuffle=True, random_state=seed).split(origins),
              "grouped": lambda: GroupKFold(min(folds, groups), shuffle=True, random_state=seed).split(origins, groups=sites),
              "time_ordered": lambda: _split_by_time(origins, horizon, folds)}
    if kind not in splits:
        raise MedlibError(f"A split is one of {', '.join(SPLITS)}; got {kind!r}.")
    if kind == "grouped" and groups < 2:
        raise MedlibError("A split by site needs at least two sites; got one.")
    random = np.random.default_rng(seed)
    return [(np.sort(random.permutation(train)[:most]), test) for train, test in splits[kind]()]


def _split_by_time(origins: np.ndarray, horizon: int, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    dates = np.unique(origins)
    for _, test in TimeSeriesSplit(folds - 1).split(dates):
        # A row's last outcome lies a horizon after its origin: it has to be known when the first test row is forecast.
        yield np.flatnonzero(origins + horizon <= dates[test[0]]), np.flatnonzero(np.isin(origins, dates[test]))


def score_rows(model: BaseEstimator, features: np.ndarray, target: np.ndarray, splits: Sequence[tuple[np.ndarray, np.ndarray]],
               levels: Sequence[float]) -> np.ndarray:
    """Weighted interval score of each row, forecast by a model that learned from the split's training rows.

    Parameters
    ----------
    model : estimator
        A quantile forest, fitted or not; it is copied for each split.
    features : numpy.ndarray
        Shape (rows, features).
    target : numpy.ndarray
        Shape (rows,).
    splits : sequence of (numpy.ndarray, numpy.ndarray)
        As from `split_rows`.
    levels : sequence of float
        Probability levels.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), in the target's unit; missing where no split tests the row.
    """
    scores = np.full(len(target), np.nan)
    for train, test in splits:
        fitted = clone(model).fit(features[train], target[train])
        scores[test] = score_intervals(target[test], fitted.predict(features[test], quantiles=list(levels)), np.array(levels))
    return scores


def tabulate_losses(forecasts: pd.DataFrame, demand: pd.DataFrame) -> pd.DataFrame:
    """Mean weighted interval score (units) by as-of date and model.

    Parameters
    ----------
    forecasts, demand : pandas.DataFrame
        As for `medlib.score.pair_forecasts`.

    Returns
    -------
    pandas.DataFrame
        Index as_of in ascending order, a column a model.

    Raises
    ------
    MedlibError
        No forecast has an outcome, or a model has none at some date.
    """
    paired = pair_forecasts(forecasts, demand)
    levels = [name for name in paired if name != "observed"]
    wis = pd.Series(score_intervals(paired["observed"].to_numpy(), paired[levels].to_numpy(), np.array(levels, float)), paired.index)
    losses = wis.groupby(["as_of", "model"]).mean().unstack()
    if losses.empty or losses.isna().any(axis=None):
        raise MedlibError(f"Models are compared at the same as-of dates, each with outcomes; got {losses.notna().sum().to_dict()} dates.")
    return losses


def resample_blocks(count: int, block: int | None = None, draws: int = 2000, seed: int = 1) -> np.ndarray:
    """Positions of as-of dates, drawn as blocks of consecutive dates; the last is followed by the first.

    Dates that follow each other are alike, in a wave for one; drawn one by one they would seem to tell more than they do.

    Parameters
    ----------
    count : int
        As-of dates.
    block : int, optional
        Dates in a block; left out: the cube root of their number.
    draws : int
        Samples drawn.
    seed : int

    Returns
    -------
    numpy.ndarray
        Shape (draws, count).

    References
    ----------
    Künsch (1989), Annals of Statistics 17:1217-1241; Politis and Romano (1992), A circular block-resampling procedure for
    stationary data, in Exploring the Limits of Bootstrap.
    """
    block = block or choose_block(count)
    starts = np.random.default_rng(seed).integers(count, size=(draws, -(-count // block), 1))
    return ((starts + np.arange(block)) % count).reshape(draws, -1)[:, :count]


def choose_block(count: int) -> int:
    """As-of dates in a block: the cube root of their number."""
    return max(1, round(count ** (1 / 3)))


def rank_models(losses: pd.DataFrame, baseline: str = SeasonalNaive.name, level: float = 0.95, block: int | None = None,
                seed: int = 1) -> pd.DataFrame:
    """Rank models by their loss relative to a baseline's, with an interval.

    Parameters
    ----------
    losses : pandas.DataFrame
        As from `tabulate_losses`.
    baseline : str
        The model whose mean loss is the unit.
    level : float
        Probability that the interval is to hold the truth with.
    block, seed
        As in `resample_blocks`; at most half of the dates are a block.

    Returns
    -------
    pandas.DataFrame
        Index model, the best first; relative_wis, low, high (missing with fewer than `FEWEST` dates, or a baseline without error),
        wis (units).

    Notes
    -----
    Every sample of dates is the same for all models, so that hard dates, hard for all, cancel out. Percentiles are taken further
    out, as Student's t lies from the normal distribution, for a few blocks vary less than what they were drawn from; with ten dates
    or so that alike follow alike, intervals of 95 % still hold the truth in 80 to 95 % of cases.

    References
    ----------
    Hesterberg (2015), What teachers should know about the bootstrap, doi:10.1080/00031305.2015.1089789 (the wider percentiles).
    """
    means = losses.mean()
    low, high = _bound_ratios(losses, losses[[baseline]], level, block, seed)
    ranked = pd.DataFrame({"relative_wis": means / (means[baseline] or np.nan), "low": low, "high": high, "wis": means})
    return ranked.rename_axis("model").sort_values("wis")


def compare_models(losses: pd.DataFrame, level: float = 0.95, block: int | None = None, seed: int = 1) -> pd.DataFrame:
    """Compare every two models: which differences are beyond chance.

    Parameters
    ----------
    losses, level, block, seed
        As in `rank_models`.

    Returns
    -------
    pandas.DataFrame
        better, worse, ratio (of mean losses), low, high, beyond_chance. The intervals hold all ratios at once with this level
        (Bonferroni): of many comparisons some would else seem real.
    """
    means = losses.mean().sort_values()
    pairs = list(combinations(means.index, 2))
    better, worse = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    low, high = _bound_ratios(losses[better], losses[worse], 1 - (1 - level) / max(len(pairs), 1), block, seed)
    return pd.DataFrame({"better": better, "worse": worse, "ratio": means[better].to_numpy() / means[worse].to_numpy(), "low": low,
                         "high": high, "beyond_chance": high < 1})


def _bound_ratios(over: pd.DataFrame, under: pd.DataFrame, level: float, block: int | None, seed: int) -> np.ndarray:
    """Shape (2, columns): ends of the intervals of ratios of mean losses."""
    if len(over) < FEWEST:
        return np.full((2, over.shape[1]), np.nan)
    block = block or choose_block(len(over))
    drawn, blocks = resample_blocks(len(over), block, 10_000, seed), len(over) / block
    above, below = over.to_numpy()[drawn].mean(axis=1), under.to_numpy()[drawn].mean(axis=1)
    tail = ndtr(np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, (1 - level) / 2))
    return np.quantile(above / np.where(below > 0, below, np.nan), [tail, 1 - tail], axis=0)


def nest_choice(losses: pd.DataFrame) -> pd.DataFrame:
    """Choose at each as-of date what did best before it, and score that choice there.

    Parameters
    ----------
    losses : pandas.DataFrame
        Index as_of, at least a horizon apart, so that each date knows how the earlier ones came out; a column a candidate.

    Returns
    -------
    pandas.DataFrame
        Index as_of but the first; chosen, loss. Its mean loss is what choosing in this way would have cost; the least column mean of
        `losses` flatters, as it is chosen with the outcome in sight.
    """
    chosen = losses.expanding().mean().shift().iloc[1:].idxmin(axis=1)
    return pd.DataFrame({"chosen": chosen, "loss": [losses.at[as_of, name] for as_of, name in chosen.items()]})


def roll_models(makers: Mapping[str, Callable[[], Forecaster]], demand: pd.DataFrame, as_ofs: Sequence[pd.Timestamp], horizon: int,
                learn_every: int = 1) -> pd.DataFrame:
    """Forecasts of several models; see `medlib.forecast.roll_forecasts`."""
    # Fits are small: on a busy machine, threads that wait for each other cost far more time than they save.
    with threadpool_limits(1):
        return pd.concat([roll_forecasts(maker, demand, as_ofs, horizon, learn_every) for maker in makers.values()], ignore_index=True)


def make_leaderboard(dataset: str, forecasts: pd.DataFrame, demand: pd.DataFrame, level: float = 0.95, seed: int = 1) -> pd.DataFrame:
    """Rank the models of one dataset.

    Parameters
    ----------
    dataset : str
        Its name.
    forecasts, demand : pandas.DataFrame
        As for `tabulate_losses`; the levels must hold 0.025, 0.25, 0.75 and 0.975.
    level, seed
        As in `rank_models`.

    Returns
    -------
    pandas.DataFrame
        The `leaderboard` table's rows, rounded to three decimals, as networks differ beyond that from machine to machine.
    """
    losses = tabulate_losses(forecasts, demand)
    held = pd.DataFrame({model: {"coverage_50": cover(rows["observed"], rows[0.25], rows[0.75]),
                                 "coverage_95": cover(rows["observed"], rows[0.025], rows[0.975]), "forecasts": len(rows)}
                         for model, rows in pair_forecasts(forecasts, demand).groupby("model")}).T
    ranked = rank_models(losses, level=level, seed=seed).join(held).round(3).reset_index()
    return ranked.assign(dataset=dataset, level=level, as_ofs=len(losses))
