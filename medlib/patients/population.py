"""What a population needs in sum: people of one family are alike, and that does not average out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from medlib.errors import MedlibError


def measure_dependence(ranks: np.ndarray, groups: np.ndarray) -> float:
    """Correlation of two people's normal scores within a group, over all pairs; zero where nobody has company.

    Parameters
    ----------
    ranks : numpy.ndarray
        As from `rank_outcomes`, shape (people,).
    groups : numpy.ndarray
        Family, household or person, shape (people,).
    """
    scores = pd.Series(ndtri(ranks))
    by_group = scores.groupby(np.asarray(groups))
    pairs = (by_group.size() * (by_group.size() - 1)).sum()
    products = (by_group.sum() ** 2).sum() - (scores**2).sum()
    return float(products / pairs / (scores**2).mean()) if pairs else 0.0


def sum_need(draws: np.ndarray, groups: np.ndarray | None = None, dependence: float = 0.0, count: int = 500, seed: int = 1) -> np.ndarray:
    """Simulate what a population needs in sum.

    Parameters
    ----------
    draws : numpy.ndarray
        Shape (people, draws), in units.
    groups : numpy.ndarray, optional
        Family or household, shape (people,).
    dependence : float
        Correlation of normal scores within a group, in [0, 1]; zero makes everybody independent.
    count : int
        Simulated populations.
    seed : int

    Returns
    -------
    numpy.ndarray
        Shape (count,), in units.

    Raises
    ------
    MedlibError
        Nobody to add up, or a dependence outside [0, 1].

    Notes
    -----
    People of different groups are independent here. What strikes all at once, such as an influenza year or a new price, is not in it
    and does not average out.
    """
    if len(draws) == 0:
        raise MedlibError("Adding up need takes at least one person; got no rows.")
    if not 0 <= dependence <= 1:
        raise MedlibError(f"dependence must lie in [0, 1]; got {dependence}.")
    rng = np.random.default_rng(seed)
    score = rng.standard_normal((len(draws), count))
    if groups is not None and dependence > 0:
        codes = pd.factorize(np.asarray(groups))[0]
        shared = rng.standard_normal((codes.max() + 1, count))[codes]
        score = np.sqrt(dependence) * shared + np.sqrt(1 - dependence) * score
    place = (ndtr(score) * draws.shape[1]).astype(int)
    return np.take_along_axis(np.sort(draws, axis=1), place, axis=1).sum(axis=0)


def pick_populations(groups: np.ndarray, size: int, count: int, whole: bool, seed: int = 1) -> list[np.ndarray]:
    """Pick people at random for made-up populations: one by one, or group by group.

    Parameters
    ----------
    groups : numpy.ndarray
        Family or household, shape (people,).
    size : int
        People in a population.
    count : int
        Populations.
    whole : bool
        Take groups whole; the last one may be cut.
    seed : int

    Returns
    -------
    list of numpy.ndarray
        Positions of the people, each once.

    Raises
    ------
    MedlibError
        The population is to be larger than the sample.
    """
    if not 1 <= size <= len(groups):
        raise MedlibError(f"A population must have from 1 to {len(groups)} people, as many as the sample has; got {size}.")
    rng = np.random.default_rng(seed)
    codes = pd.factorize(np.asarray(groups))[0] if whole else np.arange(len(groups))
    return [np.argsort(rng.permutation(codes.max() + 1)[codes], kind="stable")[:size] for _ in range(count)]


def judge_totals(draws: np.ndarray, observed: np.ndarray, populations: list[np.ndarray], groups: np.ndarray | None = None,
                 dependence: float = 0.0, level: float = 0.95) -> pd.DataFrame:
    """Set each population's interval beside what it really needed.

    Parameters
    ----------
    draws, groups, dependence
        As for `sum_need`.
    observed : numpy.ndarray
        Shape (people,), in units.
    populations : list of numpy.ndarray
        Positions of the people of each.
    level : float
        Probability of the interval, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        A row a population: observed, mean, lower, upper, in units.
    """
    rows = []
    for number, picked in enumerate(populations):
        totals = sum_need(draws[picked], None if groups is None else np.asarray(groups)[picked], dependence, seed=number)
        lower, upper = np.quantile(totals, [(1 - level) / 2, (1 + level) / 2])
        rows.append((np.asarray(observed)[picked].sum(), totals.mean(), lower, upper))
    return pd.DataFrame(rows, columns=["observed", "mean", "lower", "upper"])


def summarise_totals(judged: pd.DataFrame) -> dict[str, float]:
    """Over populations as from `judge_totals`: share held by the interval, its mean width, mean bias and mean need, in units."""
    held = (judged["lower"] <= judged["observed"]) & (judged["observed"] <= judged["upper"])
    return {"held": held.mean(), "width": (judged["upper"] - judged["lower"]).mean(), "bias": (judged["mean"] - judged["observed"]).mean(),
            "needed": judged["observed"].mean()}
