"""Tables become a problem: joined by name, never by position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate.problem import Problem, Rules
from medlib.errors import MedlibError

#: Optional input tables that a problem takes as they are, by the name of its field.
PARTS = {"stay": "stay", "levels": "surge_levels", "orders": "orders", "shifts": "shifts", "tiers": "tiers"}


def spread(frame: pd.DataFrame, column: str, sites: tuple[str, ...], names: list[str], dates: pd.DatetimeIndex,
           absent: float = 0.0) -> np.ndarray:
    """Bring a tidy column to shape (I, R, T), joined by name; what has no row counts as `absent`."""
    index = pd.MultiIndex.from_product([sites, names, dates], names=["site", "resource", "date"])
    values = frame.set_index(["site", "resource", "date"])[column].reindex(index, fill_value=absent)
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
                 capacity: pd.DataFrame, rules: Rules, stock: pd.DataFrame | None = None,
                 more: dict[str, pd.DataFrame] | None = None) -> Problem:
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
    more : dict of str to pandas.DataFrame, optional
        Further input tables by name: arrivals, initial, stay, surge_levels, stock, orders, shifts, tiers. Where a resource
        has arrivals, these and the patients of before take the place of its demand.

    Returns
    -------
    Problem
        Surge is available from its lead time after the first period on.

    Raises
    ------
    MedlibError
        Something is demanded at a site, or of a resource, that the tables do not have.
    """
    more = dict(more or {})
    if "quantile" not in demand:
        demand = demand.assign(quantile=0.5)
    levels = np.sort(demand["quantile"].unique()) if len(demand) else np.array([0.5])
    when = more["arrivals"]["date"] if "arrivals" in more else demand["date"]
    dates = pd.DatetimeIndex(np.sort(pd.to_datetime(when).unique()))
    names, ids = resources["resource"].tolist(), tuple(sites["site"])
    for column, known in (("site", set(ids)), ("resource", set(names))):
        if unknown := set(demand[column]) - known:
            raise MedlibError(f"demand names the {column} {sorted(unknown)[0]!r}, which the table {column}s does not have.")
    lead = spread(capacity, "surge_lead_days", ids, names, dates)
    wait = (dates - dates[0]).days.to_numpy() if len(dates) else np.zeros(0)
    stock = stock if stock is not None else more.get("stock")
    limits = sites.set_index("site").reindex(columns=["keep_share", "release_per_day"])
    posed = Problem(
        sites=ids, resources=resources, dates=dates, rules=rules, links=limit_links(links, rules),
        demand=np.stack([spread(demand[demand["quantile"] == level], "demand", ids, names, dates) for level in levels]),
        weights=weigh_levels(levels), capacity=spread(capacity, "capacity", ids, names, dates),
        surge=np.where(wait >= lead, spread(capacity, "surge", ids, names, dates), 0.0), surge_lead_days=lead[:, :, 0]
        if len(dates) else np.zeros(lead.shape[:2]), site_limits=limits, **({} if stock is None else {"stock": stock}),
        **{field: more[name] for field, name in PARTS.items() if name in more})
    posed = _open_levels(posed) if len(posed.levels) else posed
    return _admit(posed, more) if "arrivals" in more else posed


def _open_levels(posed: Problem) -> Problem:
    """Surge that has levels: all that could be open, each level after its setting up."""
    surge, days = posed.surge.copy(), (posed.dates - posed.dates[0]).days.to_numpy()
    keys = posed.levels[["site", "resource"]].drop_duplicates()
    for row in keys.itertuples():
        place = posed.sites.index(row.site), posed.names.index(row.resource)
        mine = posed.levels[(posed.levels["site"] == row.site) & (posed.levels["resource"] == row.resource)]
        lead = mine.get("lead_days", pd.Series(0.0, mine.index)).fillna(0.0).to_numpy()
        surge[place] = (mine["units"].to_numpy()[:, None] * (days >= lead[:, None])).sum(axis=0)
    return replace(posed, surge=surge)


def _admit(posed: Problem, more: dict[str, pd.DataFrame]) -> Problem:
    """Let arrivals and the patients of before stand for the demand of their beds, and add what they need later on."""
    listed = more["arrivals"]
    named = [name for name in posed.names if name in set(listed["resource"])]
    if wrong := [name for name in named if posed.kinds[name] != "bed"]:
        raise MedlibError(f"arrivals hold for beds; {wrong[0]!r} is {posed.kinds[wrong[0]]}.")
    arrivals = spread(listed, "arrivals", posed.sites, posed.names, posed.dates)
    demand, limit = posed.demand.copy(), np.full(arrivals.shape, np.inf)
    for name in named:
        place = posed.names.index(name)
        limit[:, place] = arrivals[:, place]
        demand[:, :, place] = 0.0
    if "initial" in more:
        demand += spread(more["initial"], "remaining", posed.sites, posed.names, posed.dates)
    for entered in named:
        for occupied, kind in posed.kinds.items():
            if kind == "bed":
                stay = posed.survive(entered, occupied)
                demand[:, :, posed.names.index(occupied)] += arrivals[:, posed.names.index(entered)] @ stay.T
    return replace(posed, demand=demand, arrivals=limit)
