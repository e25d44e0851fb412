"""What an outsider would try: linking, differencing, guessing pseudonyms, asking who was in the training data.

Each attack uses what an outsider has: what was released, and what is known from elsewhere. A method that is said to protect has to be shown
to stop one that succeeded before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medlib.errors import MedlibError
from medlib.privacy.cells import audit_cells


@dataclass(frozen=True)
class Membership:
    """How well an outsider tells those that a model learned from.

    Parameters
    ----------
    auc : float
        Probability that of two people, one of them learned from, the right one is named: 0.5 is guessing, 1 is certain.
    low, high : float
        Ends of its interval.
    advantage : float
        Share of those learned from who are named, less the share of others: 0 is guessing.
    """

    auc: float
    low: float
    high: float
    advantage: float


def link_people(released: pd.DataFrame, register: pd.DataFrame, quasi_identifiers: Sequence[str]) -> pd.DataFrame:
    """Join a released table with a register that has names: who stands alone in both is found.

    Parameters
    ----------
    released : pandas.DataFrame
        One row a person, without names.
    register : pandas.DataFrame
        One row a person, such as a list of voters or of members; generalised as the released table is.
    quasi_identifiers : sequence of str
        Columns that both have.

    Returns
    -------
    pandas.DataFrame
        released and register: index of the row in each; one row a match that nobody else could be.

    References
    ----------
    Sweeney (2000), Simple demographics often identify people uniquely, Carnegie Mellon University, Data Privacy Working Paper 3.
    """
    on = list(quasi_identifiers)
    alone = [frame[on].rename_axis(name).reset_index().drop_duplicates(on, keep=False)
             for name, frame in (("released", released), ("register", register))]
    return alone[0].merge(alone[1], on=on)[["released", "register"]]


def find_exposed(published: pd.DataFrame, by: Sequence[str], value: str = "count", threshold: int = 5) -> pd.DataFrame:
    """Find withheld counts that can only be small ones, more closely than the threshold tells, by what is published beside them.

    Parameters
    ----------
    published : pandas.DataFrame
        Cells and totals, some missing.
    by : sequence of str
    value : str
    threshold : int
        Counts below it are withheld.

    Returns
    -------
    pandas.DataFrame
        As from `medlib.privacy.cells.audit_cells`: cells that must be under the threshold, and do not reach from 1 to threshold - 1.
    """
    bounds = audit_cells(published, by, value)
    small = (bounds["high"] < threshold) & (bounds["high"] > 0)
    return bounds[small & ((bounds["low"] > 1) | (bounds["high"] < threshold - 1))]


def subtract_releases(wide: pd.DataFrame, narrow: pd.DataFrame, by: Sequence[str], value: str = "count", threshold: int = 5) -> pd.DataFrame:
    """Subtract a release from one about more people: the difference is about the few by whom they differ.

    Parameters
    ----------
    wide, narrow : pandas.DataFrame
        Counts by the same groups, those of `narrow` among those of `wide`: ages up to 90 and up to 89, this week and last.
    by : sequence of str
    value : str
    threshold : int
        Counts below it are withheld when published.

    Returns
    -------
    pandas.DataFrame
        Groups whose difference is from 1 to threshold - 1, and the difference.
    """
    both = wide.merge(narrow, on=list(by), suffixes=("", "_narrow"))
    difference = both[value] - both[f"{value}_narrow"]
    return both[list(by)].assign(**{value: difference})[(difference > 0) & (difference < threshold)]


def guess_pseudonyms(pseudonyms: Iterable[str], candidates: Iterable[object], make: Callable[[str], str]) -> dict[str, object]:
    """Try every possible identifier: record numbers and dates of birth are few enough.

    Parameters
    ----------
    pseudonyms : iterable of str
    candidates : iterable
        All identifiers that there can be.
    make : callable
        Makes a pseudonym as the outsider believes it was made; see `hash_plainly`.

    Returns
    -------
    dict
        Pseudonym -> identifier, for those found.
    """
    wanted = set(pseudonyms)
    return {made: candidate for candidate in candidates if (made := make(str(candidate))) in wanted}


def hash_plainly(identifier: str, length: int = 16) -> str:
    """Hash without a key: it looks like a pseudonym and protects nobody."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:length]


def infer_membership(inside: np.ndarray, outside: np.ndarray, level: float = 0.9, draws: int = 500, seed: int = 1) -> Membership:
    """Tell those that a model learned from by its errors, which are smaller for them.

    Named are those with an error below the mean error of those learned from, which the outsider is granted to know.

    Parameters
    ----------
    inside, outside : numpy.ndarray
        The model's absolute errors (or minus its confidence) for people it learned from, and for others like them.
    level : float
        Probability that the interval is to hold the truth with.
    draws, seed : int
        Of people, drawn again with replacement.

    Returns
    -------
    Membership

    Raises
    ------
    MedlibError
        One side has nobody.

    References
    ----------
    Yeom et al. (2018), Privacy risk in machine learning: analyzing the connection to overfitting, doi:10.1109/CSF.2018.00027.
    Shokri et al. (2017), Membership inference attacks against machine learning models, doi:10.1109/SP.2017.41.

    Notes
    -----
    A weak attack that fails proves little: stronger ones train models of their own. Only differential privacy bounds them all.
    """
    inside, outside = np.asarray(inside, float), np.asarray(outside, float)
    if not len(inside) or not len(outside):
        raise MedlibError(f"Membership is judged on people inside and outside; got {len(inside)} and {len(outside)}.")
    rng = np.random.default_rng(seed)
    drawn = [_rank_apart(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))) for _ in range(draws)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    named = inside.mean()
    return Membership(_rank_apart(inside, outside), float(low), float(high), float((inside < named).mean() - (outside < named).mean()))


def _rank_apart(inside: np.ndarray, outside: np.ndarray) -> float:
    """Probability that somebody inside has the smaller error, ties by half: the Mann-Whitney statistic."""
    ranks = rankdata(np.concatenate([inside, outside]))[len(inside):]
    return float((ranks.sum() - len(outside) * (len(outside) + 1) / 2) / (len(inside) * len(outside)))
