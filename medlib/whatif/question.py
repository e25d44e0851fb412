"""The question of a workspace, as notebook 40_allocate asked it there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import pandas as pd

from medlib import outlook, simulate, supply, tables
from medlib.allocate import Problem, Rules, choose_forecast, pose_problem
from medlib.explain import name_sites


@dataclass(frozen=True)
class Question:
    """What the page asks states of.

    Parameters
    ----------
    posed : Problem
        The whole forecast's problem.
    levels : pandas.Series
        Levels of the demand forecast.
    sites, resources : pandas.DataFrame
        The tables of these names.
    synthetic : bool
        The data are made up.
    """

    posed: Problem
    levels: pd.Series
    sites: pd.DataFrame
    resources: pd.DataFrame
    synthetic: bool

    @cached_property
    def names(self) -> dict[str, str]:
        """What sites are called, by identifier, which stands behind the name: maps have room for identifiers only."""
        return {site: name if name == site else f"{name} ({site})" for site, name in name_sites(self.sites).items()}


def read_question(workspace: str, forecaster: str = "best") -> Question:
    """Read a workspace in which 40_allocate ran, and pose its problem again.

    Raises
    ------
    MedlibError
        A table is not there; the message says which notebook writes it.
    """
    names = ("sites", "resources", "links", "demand", "capacity", "demand_forecast", "forecast_score", "capacity_forecast", "rules", "sources")
    sites, resources, links, demand, capacity, forecasts, scores, expected, kept, sources = (tables.read(name, workspace) for name in names)
    forecast = choose_forecast(forecasts, scores, forecaster)
    as_of = forecast["as_of"].iloc[0]
    stock = simulate.count_stock(demand, capacity, sites, resources, as_of)
    correlation = outlook.measure_correlation(demand, capacity, resources, as_of)
    planned = expected[expected["quantile"].isin(supply.PLAN_LEVELS)]
    posed = pose_problem(sites, resources, links, forecast, planned, restore_rules(kept), stock, correlation=correlation)
    return Question(posed, forecast["quantile"], sites, resources, bool(sources["synthetic"].iloc[0]))


def restore_rules(kept: pd.DataFrame) -> Rules:
    """Make rules of the `rules` table, which leaves out what limits nothing."""
    values = kept.set_index("rule")["value"]
    types = {field.name: field.type for field in fields(Rules)}
    return Rules(**{name: {"bool": bool, "int": int}.get(types[name], float)(values[name]) if name in values else float("inf")
                    for name in types})
