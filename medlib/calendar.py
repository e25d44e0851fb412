"""The grid that a table's dates lie on: daily, weekly or monthly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
#: Periods after which the same season comes again, by kind of period: a week for days, else a year.
SEASONS = {"D": 7, "W": 52, "M": 12}


def fit_grid(dates) -> tuple[str, pd.DatetimeIndex]:
    """Find the grid that most dates lie on, and the dates that lie off it.

    The most common step between neighbouring dates decides, so that gaps and a few stray dates do not.

    Parameters
    ----------
    dates : array-like of datetime64
        In any order, repeated or not; missing ones are ignored.

    Returns
    -------
    period : str
        A pandas offset alias: 'D', 'W-MON' to 'W-SUN' (the weekday that the dates fall on), or 'MS'.
    strays : pandas.DatetimeIndex
        The dates off that grid, each once.

    Raises
    ------
    MedlibError
        There are fewer than two dates, or their step is not a day, weeks, or months from first day to first day.
    """
    days = pd.DatetimeIndex(dates).dropna().unique().sort_values()
    if len(days) < 2:
        raise MedlibError(f"At least two dates are needed to tell their period; got {len(days)}.")
    steps, counts = np.unique((days[1:] - days[:-1]).days, return_counts=True)
    step = int(steps[counts.argmax()])  # the shortest of the most common
    firsts = days.day == 1
    if firsts.all() or (step >= 28 and firsts.mean() > 0.5):
        return "MS", days[~firsts]
    if step == 1:
        return "D", days[:0]
    if step % 7 == 0 and step > 0:
        weekday = int(np.bincount(days.day_of_week).argmax())
        return f"W-{WEEKDAYS[weekday]}", days[days.day_of_week != weekday]
    raise MedlibError("Dates must follow each other by a day, by a week, or from the first of a month to the first of "
                      f"the next; the most common step is {step} days.")


def infer_period(dates) -> str:
    """Return the period of dates that lie on one regular grid; gaps are allowed.

    Parameters
    ----------
    dates : array-like of datetime64
        In any order, repeated or not; missing ones are ignored.

    Returns
    -------
    str
        A pandas offset alias: 'D', 'W-MON' to 'W-SUN' (the weekday that the dates fall on), or 'MS'.

    Raises
    ------
    MedlibError
        There are fewer than two dates, or they lie on no such grid.

    Examples
    --------
    >>> infer_period(pd.to_datetime(["2021-01-02", "2021-01-09", "2021-01-23"]))
    'W-SAT'
    """
    period, strays = fit_grid(dates)
    if len(strays):
        raise MedlibError(f"Dates must lie on one regular grid; most follow {period!r}, but {len(strays)} do not; "
                          f"the first is {strays[0]:%Y-%m-%d}.")
    return period


def extend(last_date, period: str, n: int) -> pd.DatetimeIndex:
    """Return the next dates of a grid.

    Parameters
    ----------
    last_date : date-like
        The last date known; on the grid or not, the dates returned lie after it.
    period : str
        'D', 'W-MON' to 'W-SUN', or 'MS', as `infer_period` returns it.
    n : int
        Number of dates, at least 0.

    Returns
    -------
    pandas.DatetimeIndex

    Raises
    ------
    MedlibError
        The period is none of those, or n is negative.

    Examples
    --------
    >>> [str(date.date()) for date in extend("2021-12-31", "MS", 2)]
    ['2022-01-01', '2022-02-01']
    """
    if period not in ("D", "MS", *(f"W-{day}" for day in WEEKDAYS)):
        raise MedlibError(f"period must be 'D', 'MS' or one of 'W-MON' to 'W-SUN'; got {period!r}.")
    if n < 0:
        raise MedlibError(f"n must be at least 0 dates; got {n}.")
    last = pd.Timestamp(last_date).normalize()
    dates = pd.date_range(last, periods=n + 1, freq=period, unit="us")
    return dates[dates > last][:n]


def name_period(dates) -> str:
    """Name one period of a grid in words: 'day', 'week' or 'month'; a single date counts as a day."""
    if len(pd.DatetimeIndex(dates).unique()) < 2:
        return "day"
    return {"D": "day", "M": "month"}.get(infer_period(dates)[0], "week")
