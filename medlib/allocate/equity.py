"""How evenly a plan serves: shortage per demand and per person, over sites and over groups of sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.allocate.plan import Plan
from medlib.errors import MedlibError

#: A share short below this counts as this in ratios: so many times next to nothing says nothing.
LEAST_RATE = 0.001
#: Units with less than this share of the mean unit's demand are too small to be called best or worst.
LEAST_SIZE = 0.05


def measure_gini(amounts: np.ndarray, sizes: np.ndarray) -> float:
    r"""Gini coefficient of an amount per size, each unit counting by its size.

    .. math:: G = \frac{\sum_{i<j} |a_i p_j - a_j p_i|}{\sum_i a_i}, \qquad p_i = \frac{n_i}{\sum_j n_j}

    Parameters
    ----------
    amounts : numpy.ndarray
        :math:`a`, shape (units,), at least 0: unit-days short, for example.
    sizes : numpy.ndarray
        :math:`n`, shape (units,), at least 0: demand, or persons. A unit without size counts nothing.

    Returns
    -------
    float
        0: everybody bears the same share; near 1: one small unit bears all; 0 where there is nothing to bear.

    References
    ----------
    Dorfman (1979), A formula for the Gini coefficient, Review of Economics and Statistics, doi:10.2307/1924845.

    Examples
    --------
    >>> round(measure_gini([6.0, 2.0], [30.0, 50.0]), 3)
    0.375
    """
    amounts, sizes = (np.asarray(numbers, float)[np.asarray(sizes) > 0] for numbers in (amounts, sizes))
    if not amounts.sum() > 0:
        return 0.0
    order = np.argsort(amounts / sizes)
    borne = np.concatenate([[0.0], np.cumsum(amounts[order]) / amounts.sum()])
    return float(1.0 - np.sum((borne[1:] + borne[:-1]) * sizes[order]) / sizes.sum())


def count_service(plan: Plan) -> pd.DataFrame:
    """Add up what every site demands and what it is short of in a plan.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    pandas.DataFrame
        Indexed by site: need and short, expected unit-days over all resources and periods, weighted by the resources' shortage
        weights. What demand requires besides (a bed's nurses) is no demand of its own: lacking it is lacking the bed.
    """
    posed, weight = plan.posed, plan.posed.at.weight
    return pd.DataFrame({"need": np.einsum("irt,r->i", posed.mean_demand, weight),
                         "short": np.einsum("irt,r->i", plan.mean_short, weight)}, pd.Index(posed.sites, name="site"))


def tabulate_units(short: pd.Series, need: pd.Series, sites: pd.DataFrame, by: str = "site") -> pd.DataFrame:
    """Tell for every site, or every group of sites, what is short per demand and per person.

    Parameters
    ----------
    short, need : pandas.Series
        By site, for example of `count_service`: unit-days.
    sites : pandas.DataFrame
        The `sites` table; `population` is optional.
    by : str
        Column of `sites` that says which group a site belongs to, for example region; site: every site for itself.

    Returns
    -------
    pandas.DataFrame
        Indexed by the unit: sites, need, short (unit-days), population, service (share of the need that is met; missing without
        need), short_per_100k (unit-days short per 100,000 persons; missing without population).

    Raises
    ------
    MedlibError
        `sites` lacks the column, or a site that is measured lacks its entry there.
    """
    group = group_sites(sites, by).reindex(short.index)
    if group.isna().any():
        raise MedlibError(f"{by} must be known for every site that is measured; it is missing for {group.index[group.isna()][0]!r}.")
    population = sites.set_index("site").get("population", pd.Series(dtype=float)).reindex(short.index)
    listed = pd.DataFrame({"sites": 1, "need": need.reindex(short.index), "short": short, "population": population})
    units = listed.groupby(group.rename(by)).sum(min_count=1)
    return units.assign(service=1.0 - units["short"] / units["need"].where(units["need"] > 0),
                        short_per_100k=1e5 * units["short"] / units["population"].where(units["population"] > 0))


def group_sites(sites: pd.DataFrame, by: str) -> pd.Series:
    """Read a column of the `sites` table by site: the groups that criteria and measures take."""
    if by not in sites:
        raise MedlibError(f"The sites table must have the column {by!r} to be grouped by it; it has {', '.join(sites.columns)}.")
    return sites.set_index("site", drop=False)[by]


def measure_equity(short: pd.Series, need: pd.Series, sites: pd.DataFrame, by: str | Sequence[str] = "site") -> pd.DataFrame:
    """Measure how unequally shortage falls on sites and on groups of sites.

    Parameters
    ----------
    short, need, sites
        As for `tabulate_units`.
    by : str or sequence of str
        Columns of `sites`; a row of the answer each.

    Returns
    -------
    pandas.DataFrame
        Indexed by the column. units (count with need), short_per_100 (unit-days short per 100 demanded), short_per_100k (per
        100,000 persons); worst (name of the unit that is served worst), worst_service, spread (best less worst service), ratio
        (share short of the worst to that of the best); gini_demand, gini_population (of the shortage per demand and per person).

    Notes
    -----
    Best and worst are sought among units with at least 5 % of the mean unit's demand, and a share short below 1 in 1,000 counts as
    that in the ratio: else a tiny or a lucky unit makes it as large as one likes. Both Ginis weigh units by their size. A Gini of
    shortage that is small over all says little: look at the shortage beside it.
    """
    columns = [by] if isinstance(by, str) else list(by)
    return pd.DataFrame([_summarise(tabulate_units(short, need, sites, column)) for column in columns], pd.Index(columns, name="by"))


def _summarise(units: pd.DataFrame) -> dict[str, float | str]:
    units = units[units["need"] > 0]
    large = units[units["need"] >= LEAST_SIZE * units["need"].mean()]["service"]
    persons = units["population"].sum(min_count=1)
    known = units["population"].notna().all()
    return {
        "units": len(units), "short_per_100": 100 * units["short"].sum() / units["need"].sum(),
        "short_per_100k": 1e5 * units["short"].sum() / persons if persons > 0 else np.nan,
        "worst": large.idxmin(), "worst_service": large.min(), "spread": large.max() - large.min(),
        "ratio": max(1 - large.min(), LEAST_RATE) / max(1 - large.max(), LEAST_RATE),
        "gini_demand": measure_gini(units["short"], units["need"]),
        "gini_population": measure_gini(units["short"], units["population"]) if known else np.nan,
    }
