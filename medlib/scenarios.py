"""Joint scenarios of demand from forecasts that give each site and period quantiles only, and few that stand for many."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.special import ndtri

from medlib.allocate import Problem
from medlib.calendar import SEASONS, infer_period
from medlib.errors import MedlibError
from medlib.prepare import SERIES, fill_start, widen

#: The worst scenarios and the rest are reduced apart; so much of what is kept goes to the worst, whose losses differ most.
WORST_KEPT = 1 / 3
#: Weights are tilted by e to this power at the most.
STEEPEST = 50.0


@dataclass(frozen=True)
class Scenarios:
    """Possible futures of all series together, with their probabilities.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (S, N, T): units needed in each scenario, of each series, in each period; at least 0.
    weights : numpy.ndarray
        Shape (S,): probabilities; sum 1.
    series : pandas.DataFrame
        site and resource of the N series, in the order of `medlib.prepare.widen`.
    dates : pandas.DatetimeIndex
        The T periods.
    """

    values: np.ndarray
    weights: np.ndarray
    series: pd.DataFrame
    dates: pd.DatetimeIndex

    def __post_init__(self):
        shape = (len(self.weights), len(self.series), len(self.dates))
        if self.values.shape != shape:
            raise MedlibError(f"values must have shape {shape}, as there are so many weights, series and dates; got {self.values.shape}.")
        if not (self.values >= 0).all():
            raise MedlibError("Scenarios must be numbers of at least 0; got a negative or missing one.")
        if not ((self.weights >= 0).all() and abs(self.weights.sum() - 1) < 1e-9):
            raise MedlibError(f"weights must be at least 0 and sum to 1; got a sum of {self.weights.sum():.6g}.")


def measure_errors(history: pd.DataFrame, horizon: int, most: int = 365) -> np.ndarray:
    r"""Errors that 'as one season ago' made lately, every series and step ahead of one as-of date together.

    .. math:: e_{o,n,h} = \sqrt{y_{n,o+h}} - \sqrt{y_{n,o+h-m \lceil h/m \rceil}}

    with the season :math:`m` of `medlib.calendar.SEASONS`, or one period where the history is too short for it (then today's
    figure stands for all that follows, as in `medlib.forecast.SeasonalNaive`).

    Parameters
    ----------
    history : pandas.DataFrame
        The `demand` table up to the as-of date of the forecast; all of it is taken as known.
    horizon : int
        Periods ahead.
    most : int
        As-of dates at the most, the latest ones.

    Returns
    -------
    numpy.ndarray
        Shape (M, N, horizon), square roots of units, the latest as-of date last.

    Raises
    ------
    MedlibError
        The history does not hold one whole horizon.

    Notes
    -----
    What was filled in between reports is taken as told. Only the errors' ranks are used by `draw_scenarios`, so the rule that made
    them need not be the forecaster whose quantiles are drawn from.
    """
    wide = widen(history)
    values, season = np.sqrt(fill_start(wide.ffill()).to_numpy()), SEASONS[infer_period(wide.index)[0]]
    if len(values) < 2 * season + horizon:
        season = 1
    count = min(most, len(values) - horizon - season + 1)
    if count < 1:
        raise MedlibError(f"Errors over {horizon} periods need more than {horizon} periods of history; got {len(values)}.")
    ahead = np.arange(1, horizon + 1)
    target = np.arange(len(values) - horizon - count, len(values) - horizon)[:, None] + ahead
    return (values[target] - values[target - season * -(-ahead // season)]).transpose(0, 2, 1)


def measure_ranks(forecasts: pd.DataFrame, demand: pd.DataFrame) -> np.ndarray:
    r"""Where outcomes fell in a forecaster's own past forecasts, as standard normal scores.

    .. math:: z = \Phi^{-1}(F(y))

    of which `draw_scenarios` needs the ranks; they take the place of `measure_errors` where past forecasts are at hand.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        Forecasts of one model as of several dates, as from `medlib.forecast.roll_forecasts`.
    demand : pandas.DataFrame
        The `demand` table up to the as-of date that scenarios will be drawn for.

    Returns
    -------
    numpy.ndarray
        Shape (M, N, T), as `measure_errors`. As-of dates whose horizon has not passed are left out; where nothing was
        reported, or the quantiles don't differ, 0: the median.
    """
    told = demand.assign(demand=demand["demand"].mask(demand.get("imputed", pd.Series(False, demand.index)).astype(bool)))
    truth, scores = widen(told), []
    for _, ahead in forecasts.groupby("as_of"):
        marks, levels, series, dates = _arrange(ahead)
        if dates[-1] <= truth.index[-1]:
            scores.append(_score_outcomes(np.sqrt(truth.reindex(index=dates, columns=series).to_numpy().T), marks, levels))
    if not scores:
        raise MedlibError("Ranks need past forecasts whose whole horizon has passed; got none, so forecast as of earlier dates.")
    return np.stack(scores)


def draw_scenarios(forecast: pd.DataFrame, errors: np.ndarray, count: int, seed: int = 1) -> Scenarios:
    """Draw joint scenarios: each series' quantiles at each step, put together as past errors went together (Schaake shuffle).

    The `count` values of a series in a period are its forecast's quantiles at the levels 0.5 / count, 1.5 / count and so on. Which of
    them meet in one scenario is told by as many past as-of dates: where a past error was the fifth smallest of its series and
    step, the scenario takes the fifth smallest value. So sites and periods move together as far as their errors did.

    Parameters
    ----------
    forecast : pandas.DataFrame
        Quantiles of one model as of one date: date, site, resource, quantile, demand; two levels at least.
    errors : numpy.ndarray
        Shape (M, N, at least T), as from `measure_errors` or `measure_ranks`, of the same series. All alike along the series:
        they move in step; drawn at random: independently.
    count : int
        Scenarios. Past dates are spread evenly over those given. Where there are fewer, some serve several times, each time
        with chance deciding between the neighbouring values that fall to them.
    seed : int
        Chooses past dates, and between equal errors.

    Returns
    -------
    Scenarios
        All of the same weight.

    Raises
    ------
    MedlibError
        Fewer than one scenario is wanted, a quantile is missing, or the errors are of other series or too short.

    Notes
    -----
    Between and beyond the levels the square root of demand is linear in the standard normal quantile: normal tails on the
    scale on which counts spread evenly, cut off at 0.

    References
    ----------
    Clark, Gangopadhyay, Hay, Rajagopalan, Wilby (2004), Journal of Hydrometeorology,
    doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2; Schefzik, Thorarinsdottir, Gneiting (2013), Statistical Science,
    doi:10.1214/13-STS443.
    """
    marks, levels, series, dates = _arrange(forecast)
    if count < 1:
        raise MedlibError(f"count must be at least 1 scenario; got {count}.")
    if errors.ndim != 3 or not len(errors) or errors.shape[1] != len(series) or errors.shape[2] < len(dates):
        raise MedlibError(f"Errors must have shape (past dates, {len(series)}, {len(dates)} or more) for this forecast; got "
                          f"{errors.shape}, so measure them on the history of the same series.")
    random = np.random.default_rng(seed)
    # One past date, at random, of each of `count` equal parts of the past.
    past = errors[((np.arange(count) + random.random(count)) * len(errors) / count).astype(int), :, :len(dates)]
    order = np.lexsort((random.random(past.shape), past), axis=0)
    values = np.empty(past.shape)
    np.put_along_axis(values, order, _interpolate(marks, levels, (np.arange(count) + 0.5) / count), axis=0)
    return Scenarios(values, np.full(count, 1 / count), series.to_frame(index=False)[["site", "resource"]], dates)


def reduce_scenarios(scenarios: Scenarios, count: int, tail: float = 0.1, loss: np.ndarray | None = None) -> Scenarios:
    """Keep few scenarios that stand for all, the worst for the worst.

    The worst and the rest are reduced apart, so that no part of the tail's probability is lost. In each part scenarios are
    kept one after the other, each time the one that brings all others closest to one that is kept, and hand their
    probability to the nearest (fast forward selection). Near means alike in every series and period, and in loss. What is kept
    lies in the middle of what it stands for, which would make the mean of a skewed loss too small; so the weights are then
    tilted, as little as possible in relative entropy, until the mean loss of each part is what it was.

    Parameters
    ----------
    scenarios : Scenarios
    count : int
        Scenarios to keep, at least 2; a third of them, rounded, from the tail.
    tail : float
        Probability of the worst scenarios that are reduced apart, in (0, 1).
    loss : numpy.ndarray, optional
        Shape (S,): how bad each is, say its need above capacity; left out: the sum of all its units, of which resources
        needed by the thousand outweigh all others.

    Returns
    -------
    Scenarios
        A choice of those given, in their order, with new weights.

    Notes
    -----
    What is kept is the distribution of the loss, and the dependence; each series by itself is told more coarsely than by as many
    scenarios of `draw_scenarios`, whose marginals are exact. The expected shortage of moves made once, whatever comes, depends on marginals
    only: for that, draw few. Reduce where sums over sites or periods count: their tail, a chance, what could still be done later.

    References
    ----------
    Heitsch, Roemisch (2003), Computational Optimization and Applications, doi:10.1023/A:1021805924152.
    """
    if count < 2 or not 0 < tail < 1:
        raise MedlibError(f"Reduction needs a count of at least 2 and a tail within 0 and 1; got {count} and {tail}.")
    weights, values = scenarios.weights, scenarios.values.reshape(len(scenarios.weights), -1)
    if count >= len(values):
        return scenarios
    loss = values.sum(axis=1) if loss is None else np.asarray(loss, float)
    if loss.shape != weights.shape:
        raise MedlibError(f"loss must have a number for each of {len(weights)} scenarios; got shape {loss.shape}.")
    points = np.hstack([_even_out(values, weights), _even_out(loss[:, None], weights)])
    order = np.argsort(-loss, kind="stable")
    bad = int(np.searchsorted(np.cumsum(weights[order]), tail - 1e-9)) + 1
    worst_kept = min(bad, max(1, round(count * WORST_KEPT)))
    parts = [_select(part, points[part], weights[part], loss, kept)
             for part, kept in ((order[:bad], worst_kept), (order[bad:], count - worst_kept))]
    kept, weights = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(kept)
    return replace(scenarios, values=scenarios.values[kept[order]], weights=weights[order] / weights.sum())


def face_scenarios(posed: Problem, scenarios: Scenarios) -> Problem:
    """Put scenarios in the place of a problem's demand, joined by name.

    Parameters
    ----------
    posed : Problem
    scenarios : Scenarios
        Series and periods that they lack keep the problem's mean demand in every scenario; those that the problem lacks
        are left out.

    Returns
    -------
    Problem
        Uncertain capacity gives way to its mean: it was paired with the scenarios of before.
    """
    demand = np.repeat(posed.mean_demand[None], len(scenarios.weights), axis=0)
    site, resource, period = (pd.Index(names).get_indexer(own) for names, own in (
        (posed.sites, scenarios.series["site"]), (posed.names, scenarios.series["resource"]), (posed.dates, scenarios.dates)))
    series, dates = np.flatnonzero((site >= 0) & (resource >= 0)), np.flatnonzero(period >= 0)
    demand[:, site[series][:, None], resource[series][:, None], period[dates]] = scenarios.values[:, series[:, None], dates]
    return replace(posed, demand=demand, weights=scenarios.weights, capacity=np.maximum(posed.mean_capacity, 0.0), capacity_change=None)


def _arrange(forecast: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.MultiIndex, pd.DatetimeIndex]:
    """Roots of a forecast's quantiles, shape (N, T, L), normal scores of the levels, series and dates; in order."""
    wide = forecast.pivot(index=SERIES, columns=["date", "quantile"], values="demand").sort_index(axis=1)
    dates, levels = (wide.columns.unique(name).sort_values() for name in ("date", "quantile"))
    if len(levels) < 2 or wide.shape[1] < len(dates) * len(levels) or wide.isna().to_numpy().any():
        raise MedlibError("Scenarios need the forecast of one model as of one date, with the same two quantile levels or more for every "
                          f"series in every period; got {len(forecast)} rows of {len(wide)} series, {len(dates)} periods and "
                          f"{len(levels)} levels.")
    marks = np.sqrt(wide.to_numpy()).reshape(len(wide), len(dates), len(levels))
    return marks, ndtri(levels.to_numpy(float)), wide.index, pd.DatetimeIndex(dates)


def _interpolate(marks: np.ndarray, levels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Units at the wanted probabilities, shape (wanted, N, T): each a mixture of the two marks beside it, or of the outermost two."""
    scores = ndtri(wanted)
    lower = np.clip(np.searchsorted(levels, scores) - 1, 0, len(levels) - 2)
    share = (scores - levels[lower]) / (levels[lower + 1] - levels[lower])
    mixture = np.zeros((len(levels), len(wanted)))
    mixture[lower, np.arange(len(wanted))] = 1 - share
    mixture[lower + 1, np.arange(len(wanted))] = share
    return np.maximum(np.moveaxis(marks @ mixture, -1, 0), 0.0) ** 2


def _score_outcomes(roots: np.ndarray, marks: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Normal scores of outcomes between the marks; 0 where there is no outcome or the marks don't differ."""
    lower = np.clip((marks < roots[..., None]).sum(axis=-1) - 1, 0, len(levels) - 2)
    low, high = (np.take_along_axis(marks, place[..., None], -1)[..., 0] for place in (lower, lower + 1))
    share = np.divide(roots - low, high - low, out=np.full(low.shape, np.nan), where=high > low)
    return np.nan_to_num(levels[lower] + share * (levels[lower + 1] - levels[lower]))


def _even_out(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Deviations from the mean, of such a size that their squares average to 1 in sum; 0 where nothing differs."""
    deviations = values - weights @ values
    size = np.sqrt(weights @ (deviations**2).sum(axis=1))
    return deviations / size if size > 0 else deviations


def _select(members: np.ndarray, points: np.ndarray, weights: np.ndarray, loss: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose members one by one so that the weighted distance of all to the nearest chosen is least; returns them and their weights."""
    distance = cdist(points, points)
    nearest, chosen = np.full(len(points), np.inf), []
    for _ in range(min(count, len(points))):
        left = weights @ np.minimum(nearest[:, None], distance)
        left[chosen] = np.inf
        chosen.append(int(left.argmin()))
        nearest = np.minimum(nearest, distance[:, chosen[-1]])
    owner = distance[:, chosen].argmin(axis=1)
    kept = members[chosen]
    return kept, _tilt(np.bincount(owner, weights, len(kept)), loss[kept] - np.average(loss[members], weights=weights))


def _tilt(weights: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Weights of the same sum that bring a mean excess to 0, by a factor exponential in it; unchanged where no weights could."""
    if not excess.min() < 0 < excess.max():
        return weights
    steps = excess / np.abs(excess).max()
    # The sum grows with the power; at the ends the largest of one sign outweighs all of the other.
    power = brentq(lambda power: np.sum(weights * steps * np.exp(power * steps)), -STEEPEST, STEEPEST)
    tilted = weights * np.exp(power * steps)
    return tilted * (weights.sum() / tilted.sum())
