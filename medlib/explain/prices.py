"""Shadow prices: what one more unit would be worth, confirmed by solving again, and in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from medlib.allocate import Problem, solve
from medlib.explain.words import name_resource


def confirm_prices(problem: Problem, prices: pd.DataFrame, base_cost: float, count: int = 5) -> pd.DataFrame:
    """Solve again with one more unit at the places where the duals promise most.

    Parameters
    ----------
    problem : Problem
        The question that was answered.
    prices : pandas.DataFrame
        As from `Plan.price_capacity`.
    base_cost : float
        Objective of its optimal plan, in cost points.
    count : int
        Places confirmed.

    Returns
    -------
    pandas.DataFrame
        The `shadow_prices` table, most valuable first; `confirmed` is missing for places not solved again. Duals need
        not be unique and hold for small changes only, so the confirmed figure is the one to quote.
    """
    prices = prices.sort_values("saves", ascending=False, kind="stable", ignore_index=True)
    confirmed = np.full(len(prices), np.nan)
    for row in prices[prices["saves"] > 1e-6].head(count).itertuples():
        site, resource = problem.sites.index(row.site), problem.names.index(row.resource)
        capacity = problem.capacity.copy()
        # A drug's unit comes once, other units stay throughout.
        drug = problem.kinds[row.resource] == "drug"
        capacity[site, resource, :1 if drug else None] += 1
        saved = base_cost - solve(replace(problem, capacity=capacity)).objective
        confirmed[row.Index] = saved / problem.rules.shortage_cost
    return prices.assign(confirmed=confirmed).round({"saves": 4, "confirmed": 4})


def describe_prices(prices: pd.DataFrame, resources: pd.DataFrame, names: dict[str, str], span: str) -> list[str]:
    """Put confirmed shadow prices into words, one sentence a place.

    Parameters
    ----------
    prices : pandas.DataFrame
        The `shadow_prices` table.
    resources : pandas.DataFrame
        The `resources` table.
    names : dict of str to str
        Name of each site.
    span : str
        The horizon in words, for example '14 days'.
    """
    kinds = resources.set_index("resource")["kind"]
    sentences = []
    for row in prices[prices["confirmed"] > 0.005].itertuples():
        how = "at the start" if kinds[row.resource] == "drug" else f"throughout the {span}"
        sentences.append(f"One more {name_resource(row.resource)} at {names.get(row.site, row.site)} {how} would save "
                         f"{row.confirmed:.1f} unit-days of expected shortage.")
    return sentences
