"""Tables become a problem: joined by name, never by position."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.allocate.problem import Problem, Rules


def spread(frame: pd.DataFrame, column: str, sites: tuple[str, ...], names: list[str],
           dates: pd.DatetimeIndex) -> np.ndarray:
    """Bring a tidy column to shape (I, R, T), joined by name; what has no row counts as 0."""
    index = pd.MultiIndex.from_product([sites, names, dates], names=["site", "resource", "date"])
    values = frame.set_index(["site", "resource", "date"])[column].reindex(index, fill_value=0.0)
    return values.to_numpy(float).reshape(len(sites), len(names), len(dates))


def weigh_levels(levels: np.ndarray) -> np.ndarray:
    """Probability that each quantile stands for: half-way to its neighbours on both sides.

    Examples
    --------
    >>> weigh_levels(np.array([0.1, 0.5, 0.9])).round(3).tolist()
    [0.3, 0.4, 0.3]
    """
    levels = np.asarray(levels, float)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def limit_links(links: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Keep the links within the rules' distance; unstated lead times and costs are 0."""
    kept = links[links["distance_km"] <= rules.max_distance_km]
    return kept.assign(**{name: kept.get(name, pd.Series(0.0, kept.index)).fillna(0.0)
                          for name in ("lead_days", "cost")}).reset_index(drop=True)


def pose_problem(sites: pd.DataFrame, resources: pd.DataFrame, links: pd.DataFrame, demand: pd.DataFrame,
                 capacity: pd.DataFrame, rules: Rules, stock: pd.DataFrame | None = None) -> Problem:
    """Put tables together to a problem.

    Parameters
    ----------
    sites, resources, links : pandas.DataFrame
        The input tables.
    demand : pandas.DataFrame
        date, site, resource, demand; with a column quantile each level becomes a scenario (all sites low together or
        high together), weighted by the probability that the level stands for.
    capacity : pandas.DataFrame
        As from `medlib.supply.spread_capacity`.
    rules : Rules
    stock : pandas.DataFrame, optional
        Drugs on hand at the start, as in `Problem.stock`.

    Returns
    -------
    Problem
        Surge is available from its lead time after the first period on.
    """
    if "quantile" not in demand:
        demand = demand.assign(quantile=0.5)
    levels = np.sort(demand["quantile"].unique())
    dates = pd.DatetimeIndex(np.sort(demand["date"].unique()))
    names, ids = resources["resource"].tolist(), tuple(sites["site"])
    lead = spread(capacity, "surge_lead_days", ids, names, dates)
    wait = (dates - dates[0]).days.to_numpy()
    more = {} if stock is None else {"stock": stock}
    return Problem(
        sites=ids, resources=resources, dates=dates, rules=rules, links=limit_links(links, rules),
        demand=np.stack([spread(demand[demand["quantile"] == level], "demand", ids, names, dates) for level in levels]),
        weights=weigh_levels(levels), capacity=spread(capacity, "capacity", ids, names, dates),
        surge=np.where(wait >= lead, spread(capacity, "surge", ids, names, dates), 0.0), surge_lead_days=lead[:, :, 0],
        **more)
