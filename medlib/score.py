"""Scores of probabilistic and point forecasts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from medlib.errors import MedlibError


def score_intervals(observed: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    r"""Weighted interval score of each forecast; lower is better.

    .. math:: WIS = \frac{2}{L} \sum_{l=1}^{L} (1\{y < q_l\} - \tau_l)(q_l - y)

    which equals the interval form of Bracher et al. where the levels are symmetric around 0.5 and hold it.

    Parameters
    ----------
    observed : numpy.ndarray
        Shape (forecasts,), in units.
    quantiles : numpy.ndarray
        Shape (forecasts, levels), in units, ascending along a row.
    levels : numpy.ndarray
        Probability levels in (0, 1).

    Returns
    -------
    numpy.ndarray
        Shape (forecasts,), in units.

    Raises
    ------
    MedlibError
        A level outside (0, 1), or shapes that don't fit.

    References
    ----------
    Bracher, Ray, Gneiting, Reich (2021), PLoS Computational Biology, doi:10.1371/journal.pcbi.1008618.

    Examples
    --------
    >>> score_intervals(np.array([12.0]), np.array([[6.0, 9.0, 11.0]]), np.array([0.25, 0.5, 0.75])).round(4)
    array([2.5])
    """
    observed, quantiles, levels = np.asarray(observed, float), np.asarray(quantiles, float), np.asarray(levels, float)
    if not ((levels > 0) & (levels < 1)).all():
        raise MedlibError(f"Quantile levels must lie in (0, 1); got {levels.tolist()}.")
    if quantiles.shape != (len(observed), len(levels)):
        raise MedlibError(f"Quantiles must have shape {(len(observed), len(levels))}; got {quantiles.shape}.")
    miss = quantiles - observed[:, None]
    return 2 * np.mean(((miss > 0) - levels) * miss, axis=1)


def cover(observed: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of outcomes inside the interval, ends included."""
    return float(np.mean((lower <= observed) & (observed <= upper)))


def pair_forecasts(forecasts: pd.DataFrame, demand: pd.DataFrame) -> pd.DataFrame:
    """Put each forecast's quantiles beside what happened.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        as_of, date, site, resource, model, quantile, demand.
    demand : pandas.DataFrame
        The `demand` table. Imputed and missing rows are not truth and are left out.

    Returns
    -------
    pandas.DataFrame
        Index as_of, date, site, resource, model; a column a level, and `observed`.
    """
    truth = demand[demand["demand"].notna() & ~demand.get("imputed", pd.Series(False, demand.index))]
    wide = forecasts.pivot(index=["as_of", "date", "site", "resource", "model"], columns="quantile", values="demand")
    truth = truth.set_index(["date", "site", "resource"])["demand"].rename("observed")
    return wide.join(truth, on=["date", "site", "resource"], how="inner")


def summarise_scores(forecasts: pd.DataFrame, demand: pd.DataFrame, baseline: str = "seasonal_naive") -> pd.DataFrame:
    """Score every model by resource.

    Parameters
    ----------
    forecasts, demand : pandas.DataFrame
        As for `pair_forecasts`. The levels must hold 0.025, 0.1, 0.25, 0.5 and their mirror images.
    baseline : str
        The model whose WIS is the unit of `relative_wis`.

    Returns
    -------
    pandas.DataFrame
        The `forecast_score` table without `used`, rounded to four decimals.

    Raises
    ------
    MedlibError
        No forecast has an outcome.
    """
    paired = pair_forecasts(forecasts, demand)
    if paired.empty:
        raise MedlibError("No forecast has a reported outcome to be scored against; forecast earlier dates or give later demand.")
    rows = [{"model": model, "resource": resource, **score_pairs(group)}
            for (model, resource), group in paired.groupby(["model", "resource"])]
    scores = pd.DataFrame(rows)
    base = scores[scores["model"] == baseline].set_index("resource")["wis"]
    # Over a baseline without error there is no ratio: missing, not infinite.
    scores.insert(3, "relative_wis", scores["wis"] / scores["resource"].map(base.where(base > 0)))
    return scores.round(4)


def score_pairs(group: pd.DataFrame) -> dict[str, float]:
    """Mean scores of forecasts beside what happened, as from `pair_forecasts`: wis, pinball, coverage, rmse, mae, forecasts."""
    observed, levels = group["observed"].to_numpy(), [name for name in group.columns if name != "observed"]
    return {
        "wis": score_intervals(observed, group[levels].to_numpy(), np.array(levels, float)).mean(),
        "pinball": float(np.mean([mean_pinball_loss(observed, group[level], alpha=level) for level in levels])),
        "coverage_50": cover(observed, group[0.25], group[0.75]),
        "coverage_80": cover(observed, group[0.1], group[0.9]),
        "coverage_95": cover(observed, group[0.025], group[0.975]),
        "rmse": root_mean_squared_error(observed, group[0.5]),
        "mae": mean_absolute_error(observed, group[0.5]),
        "forecasts": len(group),
    }


def resample_groups(groups: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Draw groups anew with replacement, again and again, for a bootstrap that keeps what belongs together together.

    Parameters
    ----------
    groups : numpy.ndarray
        Shape (items,): what items that must not be drawn apart share.
    seed : int

    Yields
    ------
    numpy.ndarray
        Positions of the items of as many groups as there are; without end.
    """
    members = pd.Series(np.arange(len(groups))).groupby(np.asarray(groups)).agg(list).tolist()
    random = np.random.default_rng(seed)
    while True:
        yield np.concatenate([members[number] for number in random.integers(len(members), size=len(members))])


def score_energy(observed: np.ndarray, scenarios: np.ndarray, weights: np.ndarray) -> float:
    r"""Energy score of joint scenarios; lower is better.

    .. math:: ES = \sum_s w_s \lVert x_s - y \rVert - \frac{1}{2} \sum_{s,u} w_s w_u \lVert x_s - x_u \rVert

    Parameters
    ----------
    observed : numpy.ndarray
        Shape (d,), in units.
    scenarios : numpy.ndarray
        Shape (S, d), in units.
    weights : numpy.ndarray
        Shape (S,): probabilities.

    Returns
    -------
    float
        In units; with d = 1 the continuous ranked probability score. It tells little about dependence where marginals are alike.

    References
    ----------
    Gneiting, Raftery (2007), Journal of the American Statistical Association, doi:10.1198/016214506000001437.

    Examples
    --------
    >>> score_energy(np.array([1.0, 2.0]), np.array([[4.0, 6.0], [1.0, 2.0]]), np.array([0.5, 0.5]))
    1.25
    """
    miss = np.linalg.norm(scenarios - observed, axis=1)
    return float(weights @ miss - weights @ cdist(scenarios, scenarios) @ weights / 2)


def score_variogram(observed: np.ndarray, scenarios: np.ndarray, weights: np.ndarray, power: float = 0.5) -> float:
    r"""Variogram score of joint scenarios: how well they tell the differences between quantities; lower is better.

    .. math:: VS = \frac{1}{d^2} \sum_{i,j} \left( |y_i - y_j|^p - \sum_s w_s |x_{s,i} - x_{s,j}|^p \right)^2

    Parameters
    ----------
    observed, scenarios, weights : numpy.ndarray
        As for `score_energy`.
    power : float
        p, above 0.

    Returns
    -------
    float
        Units to the power 2 p. It sees dependence sharply, and nothing of an error that all quantities share.

    References
    ----------
    Scheuerer, Hamill (2015), Monthly Weather Review, doi:10.1175/MWR-D-14-00269.1.

    Examples
    --------
    >>> score_variogram(np.array([1.0, 5.0]), np.array([[4.0, 5.0], [1.0, 2.0]]), np.array([0.5, 0.5]))
    0.5
    """
    expected = sum(weight * np.abs(row[:, None] - row) ** power for weight, row in zip(weights, scenarios))
    return float(np.mean((np.abs(observed[:, None] - observed) ** power - expected) ** 2))
