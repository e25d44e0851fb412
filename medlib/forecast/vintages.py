"""What was known when: reports that are revised later."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

#: Snapshots that say how much newest reports are revised, and how many stand for no revision at all.
LOOK_BACK, DOUBT = 8, 4


def see_as_of(vintages: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """The `demand` table as it was known on a day.

    Parameters
    ----------
    vintages : pandas.DataFrame
        as_of (when it was reported), date, site, resource, demand: a row for each value first reported or changed.
    day : pandas.Timestamp
        Reports of this day count.

    Raises
    ------
    MedlibError
        Nothing had been reported by then.
    """
    known = vintages[vintages["as_of"] <= day]
    if known.empty:
        raise MedlibError(f"Nothing was known on {day:%Y-%m-%d}; the first report is of {vintages['as_of'].min():%Y-%m-%d}.")
    keys = ["date", "site", "resource"]
    return known.sort_values("as_of", kind="stable").drop_duplicates(keys, keep="last").sort_values(keys, ignore_index=True)[
        [*keys, "demand"]]


def expect_revisions(vintages: pd.DataFrame, day: pd.Timestamp, ages: int = 3) -> np.ndarray:
    """By what factor the newest reports will be revised, as far as earlier reports tell.

    Parameters
    ----------
    vintages : pandas.DataFrame
        As for `see_as_of`; rows later than the day are not looked at.
    day : pandas.Timestamp
    ages : int
        Periods whose factor is wanted: the newest first.

    Returns
    -------
    numpy.ndarray
        Shape (ages,): what is known now of earlier periods over what was known of them at that age, summed over all sites, the
        median over the last snapshots, drawn towards 1 where there are few.
    """
    now = see_as_of(vintages, day)
    periods, factors = np.sort(now["date"].unique()), [[] for _ in range(ages)]
    for seen in sorted(vintages.loc[vintages["as_of"] <= day, "as_of"].unique())[::-1]:
        then = see_as_of(vintages, seen)
        newest = np.searchsorted(periods, then["date"].max())
        if newest + ages >= len(periods):  # too young to be settled now
            continue
        for age in range(ages):
            was = then.loc[then["date"] == periods[newest - age]].set_index(["site", "resource"])["demand"]
            became = now.loc[now["date"] == periods[newest - age]].set_index(["site", "resource"])["demand"].reindex(was.index)
            if was.sum() > 0:
                factors[age].append(became.sum() / was.sum())
        if len(factors[0]) == LOOK_BACK:
            break
    return np.array([1 + (np.median(found) - 1) * len(found) / (len(found) + DOUBT) if found else 1.0 for found in factors])


def revise_newest(known: pd.DataFrame, factors: np.ndarray) -> pd.DataFrame:
    """Multiply the newest periods' demand by the factors of `expect_revisions`."""
    periods = np.sort(known["date"].unique())[::-1]
    factor = known["date"].map(dict(zip(periods, factors))).fillna(1.0)
    return known.assign(demand=known["demand"] * factor)
