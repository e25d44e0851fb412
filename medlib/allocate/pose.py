"""Tables become a problem: joined by name, never by position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

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


def weigh_pairs(levels: np.ndarray, others: np.ndarray, correlation: float = 0.0) -> np.ndarray:
    r"""Probability that each pair of quantiles of two quantities stands for, by a Gaussian copula.

    .. math:: P_{ij} = P(a_i < \Phi(X) \le a_{i+1},\; b_j < \Phi(Y) \le b_{j+1}), \quad (X, Y) \sim N(0, 1; \rho)

    Parameters
    ----------
    levels, others : numpy.ndarray
        Probability levels, ascending; they stand for the cells of `weigh_levels`.
    correlation : float
        In (-1, 1): 0 independent, above 0 if both tend to be high together.

    Returns
    -------
    numpy.ndarray
        Shape (levels, others); rows sum to the first quantity's weights.

    Examples
    --------
    >>> weigh_pairs(np.array([0.25, 0.75]), np.array([0.25, 0.75]), 0.5).round(3).tolist()
    [[0.333, 0.167], [0.167, 0.333]]
    """
    if not -1 < correlation < 1:
        raise MedlibError(f"correlation must lie in (-1, 1); got {correlation}.")
    weights = weigh_levels(levels)
    # The first quantity at the midpoints of a thousand slices of each cell; the second's cells given each, exactly.
    start = np.cumsum(weights) - weights
    first = ndtri(start[:, None] + weights[:, None] * (np.arange(1000) + 0.5) / 1000)
    edges = ndtri(np.cumsum(weigh_levels(others))[:-1])
    below = ndtr((edges - correlation * first[:, :, None]) / np.sqrt(1 - correlation**2)).mean(axis=1)
    return weights[:, None] * np.diff(below, axis=1, prepend=0.0, append=1.0)


def limit_links(links: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Keep the links within the rules' distance; unstated lead times and costs are 0."""
    kept = links[links["distance_km"] <= rules.max_distance_km]
    return kept.assign(**{name: kept.get(name, pd.Series(0.0, kept.index)).fillna(0.0)
                          for name in ("lead_days", "cost")}).reset_index(drop=True)


def choose_forecast(forecasts: pd.DataFrame, scores: pd.DataFrame, forecaster: str = "best") -> pd.DataFrame:
    """Choose the forecast that is planned with.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        The `demand_forecast` table, of one model or several.
    scores : pandas.DataFrame
        The `forecast_score` table.
    forecaster : str
        Name of a model; 'best': the one that the scores mark as used, or where they mark none, the first.

    Raises
    ------
    MedlibError
        There is no forecast of that name.
    """
    models = forecasts["model"].unique().tolist()
    used = [model for model in scores.loc[scores["used"], "model"] if model in models]
    chosen = (used or models)[0] if forecaster == "best" else forecaster
    if chosen not in models:
        raise MedlibError(f"forecaster must be best or one of {', '.join(models)}; got {forecaster!r}.")
    return forecasts[forecasts["model"] == chosen].reset_index(drop=True)


def pose_problem(sites: pd.DataFrame, resources: pd.DataFrame, links: pd.DataFrame, demand: pd.DataFrame,
                 capacity: pd.DataFrame, rules: Rules, stock: pd.DataFrame | None = None,
                 more: dict[str, pd.DataFrame] | None = None, correlation: float = 0.0) -> Problem:
    """Put tables together to a problem.

    Parameters
    ----------
    sites, resources, links : pandas.DataFrame
        The input tables.
    demand : pandas.DataFrame
        date, site, resource, demand; with a column quantile each level becomes a scenario (all sites low together or
        high together), weighted by the probability that the level stands for.
    capacity : pandas.DataFrame
        As from `medlib.supply.spread_capacity`; with a column quantile, as from `medlib.outlook.forecast_capacity`, every level of
        demand meets every level of capacity (all sites and resources low together or high together) in a scenario of its own,
        and the plan moves from what is there in the middle one. Levels that do not differ add none.
    rules : Rules
    stock : pandas.DataFrame, optional
        Drugs on hand at the start, as in `Problem.stock`.
    more : dict of str to pandas.DataFrame, optional
        Further input tables by name: arrivals, initial, stay, surge_levels, stock, orders, shifts, tiers. Where a resource
        has arrivals, these and the patients of before take the place of its demand.
    correlation : float
        Of demand and capacity, where both are uncertain, in (-1, 1); see `weigh_pairs`.

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
    known, change, weights = _spread_levels(capacity, ids, names, dates, levels, correlation)
    lead = spread(known, "surge_lead_days", ids, names, dates)
    wait = (dates - dates[0]).days.to_numpy() if len(dates) else np.zeros(0)
    stock = stock if stock is not None else more.get("stock")
    limits = sites.set_index("site").reindex(columns=["keep_share", "release_per_day"])
    posed = Problem(
        sites=ids, resources=resources, dates=dates, rules=rules, links=limit_links(links, rules),
        demand=np.stack([spread(demand[demand["quantile"] == level], "demand", ids, names, dates) for level in levels]).repeat(
            len(weights) // len(levels), axis=0),
        weights=weights, capacity=spread(known, "capacity", ids, names, dates), capacity_change=change,
        surge=np.where(wait >= lead, spread(known, "surge", ids, names, dates), 0.0), surge_lead_days=lead[:, :, 0]
        if len(dates) else np.zeros(lead.shape[:2]), site_limits=limits, **({} if stock is None else {"stock": stock}),
        **{field: more[name] for field, name in PARTS.items() if name in more})
    posed = _open_levels(posed) if len(posed.levels) else posed
    return _admit(posed, more) if "arrivals" in more else posed


def _spread_levels(capacity: pd.DataFrame, sites: tuple[str, ...], names: list[str], dates: pd.DatetimeIndex, levels: np.ndarray,
                   correlation: float) -> tuple[pd.DataFrame, np.ndarray | None, np.ndarray]:
    """The middle level's rows, what each scenario has more or fewer (None where capacity is certain), and the scenarios' weights."""
    if "quantile" not in capacity or capacity.empty:
        return capacity, None, weigh_levels(levels)
    others = np.sort(capacity["quantile"].unique())
    outlooks = [capacity[capacity["quantile"] == level] for level in others]
    units = np.stack([spread(rows, "capacity", sites, names, dates) for rows in outlooks])
    middle = int(np.abs(others - 0.5).argmin())
    change = units - units[middle]
    if not change.any():
        return outlooks[middle], None, weigh_levels(levels)
    return (outlooks[middle], np.tile(change, (len(levels), 1, 1, 1)),
            weigh_pairs(levels, others, correlation).ravel())


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
