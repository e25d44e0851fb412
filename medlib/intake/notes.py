"""What a folder without a problem holds, in a few sentences: a reader knows best whether it is what they meant to give."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from medlib.calendar import infer_period
from medlib.schema import EXTRA_INPUTS

#: Kinds of period: what the dates are called, and one and several of them.
SPOKEN = {"D": ("daily", "day", "days"), "W": ("weekly", "week", "weeks"), "M": ("monthly", "month", "months")}


def describe_tables(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Tell what is in input tables that passed `check_folder`.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By table name.

    Returns
    -------
    list of str
        The span of demand with its gaps, which 02_prepare fills, its largest figures beside those of capacity, where the sites lie, what a report
        does not read, and what is computed in place of a table that is not there.
    """
    notes = []
    if "demand" in tables:
        notes += [_describe_demand(tables["demand"]), *_describe_sizes(tables["demand"], tables["capacity"])]
    notes += _describe_places(tables["sites"]) if "sites" in tables else []
    if extra := [name for name in EXTRA_INPUTS if name in tables]:
        notes.append(f"{', '.join(extra)}: for `medlib allocate` only; a report does not read {'it' if len(extra) == 1 else 'them'}")
    return notes if "links" in tables else [*notes, "links not there: distances are computed from coordinates"]


def _describe_demand(demand: pd.DataFrame) -> str:
    period = infer_period(demand["date"])
    spoken, one, several = SPOKEN[period[0]]
    grid = pd.date_range(demand["date"].min(), demand["date"].max(), freq=period)
    series = len(demand[["site", "resource"]].drop_duplicates())
    dates = demand["date"].nunique()
    gaps = [_count(len(grid) - dates, f"{one} missing", f"{several} missing"),
            _count(dates * series - len(demand), "row missing on other dates", "rows missing on other dates"),
            _count(int(demand["demand"].isna().sum()), "cell empty", "cells empty")]
    return f"demand: {spoken}, {grid[0]:%Y-%m-%d} to {grid[-1]:%Y-%m-%d}; " + (", ".join(filter(None, gaps)) or "no gaps")


def _describe_places(sites: pd.DataFrame) -> list[str]:
    """Where sites lie; latitude and longitude in each other's column are mostly numbers that could be true."""
    if not {"latitude", "longitude"} <= set(sites) or (known := sites[["latitude", "longitude"]].dropna()).empty:
        return []
    spans = [" to ".join(f"{abs(end):g}° {signs[end < 0]}" for end in (known[name].min(), known[name].max()))
             for name, signs in (("latitude", "NS"), ("longitude", "EW"))]
    return [f"sites: latitude {spans[0]}, longitude {spans[1]}"]


def _describe_sizes(demand: pd.DataFrame, capacity: pd.DataFrame) -> list[str]:
    """The largest demand and capacity of a site in one period: a slip by a factor of ten, or a stock in place of a delivery, shows there."""
    spoken = SPOKEN[infer_period(demand["date"])[0]][1]
    most, there = (frame.groupby("resource")[column].max() for frame, column in ((demand, "demand"), (capacity, "capacity")))
    return [f"{resource}: at one site up to {amount:,.10g} needed and {there[resource]:,.10g} in place or delivered in a {spoken}"
            for resource, amount in most.items() if resource in there]


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}" if number else ""
