"""What a folder without a problem holds, in a few sentences: a reader knows best whether it is what they meant to give."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from medlib.calendar import infer_period

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
        The span of demand with its gaps, which 02_prepare fills, where the sites lie, and what is computed in place of a table that is not
        there.
    """
    notes = [_describe_demand(tables["demand"])] if "demand" in tables else []
    notes += _describe_places(tables["sites"]) if "sites" in tables else []
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
    north, east = ([f"{known[name].min():g}", f"{known[name].max():g}"] for name in known)
    return [f"sites: between {' and '.join(north)} degrees north, {' and '.join(east)} degrees east"]


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}" if number else ""
