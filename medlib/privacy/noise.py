"""Differentially private counts and means by OpenDP, and a budget that says no when it is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

#: Budgets add up to so much of a rounding error.
ROUNDING = 1e-9
#: Steps into which half the range of a mean is cut: sums are taken in whole steps, since sums of fractions are not exact.
STEPS = 1000


@dataclass
class Budget:
    """What may be learned about one person from everything released together: epsilon, spent release by release.

    Releases about the same people add up (sequential composition). Within one release over groups that share nobody, the groups do not add up
    (parallel composition): a table costs as much as one cell.

    Parameters
    ----------
    epsilon : float
        More than 0. What somebody concludes from the releases is at most exp(epsilon) times as likely as if a person were not in the data.

    References
    ----------
    Dwork and Roth (2014), The algorithmic foundations of differential privacy, doi:10.1561/0400000042.
    """

    epsilon: float
    #: Releases by name, and what each cost.
    spent: list[tuple[str, float]] = field(default_factory=list, init=False)

    def __post_init__(self):
        _check_epsilon(self.epsilon)

    @property
    def left(self) -> float:
        """What may still be spent."""
        return max(self.epsilon - sum(cost for _, cost in self.spent), 0.0)

    def spend(self, epsilon: float, what: str) -> None:
        """Note a release before it is made.

        Raises
        ------
        MedlibError
            More than is left.
        """
        _check_epsilon(epsilon)
        if epsilon > self.left + ROUNDING:
            raise MedlibError(f"Epsilon {epsilon:g} for {what} is more than the {self.left:g} left of {self.epsilon:g}; reuse a table that "
                              "was released already, or ask for less.")
        self.spent.append((what, epsilon))


def tell_accuracy(epsilon: float, per_person: int = 1, level: float = 0.95) -> float:
    """Tell beforehand how far a released count will be off.

    Parameters
    ----------
    epsilon : float
        To be spent on the release.
    per_person : int
        Rows that one person has at most.
    level : float
        Probability in (0, 1).

    Returns
    -------
    float
        Units: each count lies within so many of the truth with this probability.
    """
    dp = _import_opendp()
    return float(dp.discrete_laplacian_scale_to_accuracy(_scale(epsilon, per_person), 1 - level))


def release_counts(frame: pd.DataFrame, groups: Mapping[str, Sequence], epsilon: float, budget: Budget, per_person: int = 1) -> pd.DataFrame:
    """Release how many rows there are by group, with noise.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a person, or at most `per_person`.
    groups : mapping of str to sequence
        Columns and all their values, known beforehand: were they read off the data, a rare value would betray that somebody has it.
        Rows with other values are not counted.
    epsilon : float
        More than 0.
    budget : Budget
        Pays epsilon, before the counts are made.
    per_person : int
        Rows that one person has at most: the protection is of people, not of rows. Who has more is protected less.

    Returns
    -------
    pandas.DataFrame
        The groups' columns and `count`: whole, and below 0 where the noise is. Set to 0 they would add up to too much.

    Raises
    ------
    MedlibError
        The budget does not suffice.

    References
    ----------
    Ghosh, Roughgarden and Sundararajan (2012), doi:10.1137/09076828X (the noise: discrete Laplace, scale per_person / epsilon).
    """
    cells = pd.MultiIndex.from_product(groups.values(), names=list(groups))
    true = frame.groupby(list(groups), observed=True).size().reindex(cells, fill_value=0)
    return pd.DataFrame({"count": add_noise(true.to_numpy(), per_person, epsilon, budget, "counts by " + ", ".join(groups))}, cells).reset_index()


def release_means(frame: pd.DataFrame, column: str, bounds: tuple[float, float], groups: Mapping[str, Sequence], epsilon: float, budget: Budget,
                  per_person: int = 1) -> pd.DataFrame:
    """Release means by group: half of epsilon on noisy sums, half on noisy counts.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
        Values; beyond the bounds they are set to them, missing ones are left out.
    bounds : tuple of float
        Lowest and highest value, from knowledge of the subject and never from the data: the largest value is somebody's.
    groups, epsilon, budget, per_person
        As for `release_counts`.

    Returns
    -------
    pandas.DataFrame
        The groups' columns, `mean` (within the bounds; their middle where the noisy count is below 1) and `count`.

    Raises
    ------
    MedlibError
        The bounds do not ascend, or the budget does not suffice.
    """
    low, high = bounds
    if not low < high:
        raise MedlibError(f"Bounds must ascend, and be known without looking at the data; got {low} and {high}.")
    middle, step = (low + high) / 2, (high - low) / 2 / STEPS
    known = frame.dropna(subset=[column])
    steps = known.assign(**{column: ((known[column].clip(low, high) - middle) / step).round().astype(int)})
    counts = release_counts(known, groups, epsilon / 2, budget, per_person)
    cells = pd.MultiIndex.from_frame(counts[list(groups)])
    sums = steps.groupby(list(groups), observed=True)[column].sum().reindex(cells, fill_value=0)
    noisy = add_noise(sums.to_numpy(), per_person * STEPS, epsilon / 2, budget, f"sums of {column}")
    mean = np.where(counts["count"] > 0, middle + step * noisy / counts["count"].clip(1), middle).clip(low, high)
    return counts.assign(mean=mean)[[*groups, "mean", "count"]]


def release_demand(demand: pd.DataFrame, epsilon: float, budget: Budget, most_days: int) -> pd.DataFrame:
    """Release a demand table with noise in every number.

    Parameters
    ----------
    demand : pandas.DataFrame
        A `demand` table: patients counted by day. Fractions are rounded.
    epsilon : float
        For all resources and dates in the table together.
    budget : Budget
    most_days : int
        Numbers in the table that one patient is counted in at most: days of the stay, times the resources used a day.

    Returns
    -------
    pandas.DataFrame
        A copy, never negative.
    """
    noisy = add_noise(demand["demand"].round().astype(int).to_numpy(), most_days, epsilon, budget, "demand")
    return demand.assign(demand=np.maximum(noisy, 0).astype(float))


def add_noise(values: np.ndarray, sensitivity: int, epsilon: float, budget: Budget, what: str) -> np.ndarray:
    """Add discrete Laplace noise to whole numbers.

    Parameters
    ----------
    values : numpy.ndarray
        Whole numbers.
    sensitivity : int
        How much one person can change them, summed over all of them.
    epsilon, budget
        As for `release_counts`; OpenDP's own account of the cost is paid.
    what : str
        For the budget's list.

    Returns
    -------
    numpy.ndarray
        Whole numbers. Not reproducible: a seed would give the noise away.
    """
    dp = _import_opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    measurement = dp.m.make_laplace(*space, scale=_scale(epsilon, sensitivity))
    budget.spend(measurement.map(sensitivity), what)
    return np.array(measurement([int(value) for value in values]), dtype=np.int64)


def _scale(epsilon: float, sensitivity: int) -> float:
    _check_epsilon(epsilon)
    if sensitivity < 1:
        raise MedlibError(f"One person changes a count by at least 1; got {sensitivity}.")
    return sensitivity / epsilon


def _check_epsilon(epsilon: float) -> None:
    if not 0 < epsilon < np.inf:
        raise MedlibError(f"epsilon must be more than 0 and finite; got {epsilon}.")


def _import_opendp():
    """OpenDP takes a second to import. Its vetted parts are asked for by name: "contrib" are proofs that reviewers have not all signed."""
    import opendp.prelude as dp
    dp.enable_features("contrib")
    return dp
