"""What is there: units in place by period, and what goes on as it is after the as-of date."""

from __future__ import annotations

import pandas as pd

from medlib.calendar import infer_period

SUPPLY = ["capacity", "surge", "surge_lead_days"]
KEYS = ["date", "site", "resource"]
#: Levels of capacity that a plan's scenarios take: on the German register they hit need less usable capacity as well as all seven.
PLAN_LEVELS = (0.25, 0.5, 0.75)
#: In place of a forecaster's name, where capacity is the devices counted.
COUNTED = "counted"


def spread_capacity(capacity: pd.DataFrame, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """Give every site and resource one capacity row a period.

    Parameters
    ----------
    capacity : pandas.DataFrame
        The `capacity` table; rows without a date hold in every period, a dated series keeps its last known value
        through a gap in its reports.
    dates : pandas.DatetimeIndex
        The periods wanted.

    Returns
    -------
    pandas.DataFrame
        date, site, resource, capacity, surge (0 where unstated), surge_lead_days (0 where unstated). Before a dated
        series begins it has no rows.
    """
    capacity = capacity.assign(**{name: capacity.get(name, 0.0) for name in SUPPLY[1:]}).fillna(dict.fromkeys(SUPPLY, 0.0))
    if "date" not in capacity:
        capacity["date"] = pd.NaT
    steady = capacity[capacity["date"].isna()].drop(columns="date")
    parts = [steady.merge(pd.DataFrame({"date": dates}), how="cross")]
    dated = capacity[capacity["date"].notna()]
    if len(dated):
        wide = dated.pivot(index="date", columns=["site", "resource"], values=SUPPLY)
        wide = wide.reindex(wide.index.union(dates)).ffill().loc[dates]
        tall = wide.rename_axis(index="date").stack(["site", "resource"]).dropna(subset="capacity")
        parts.append(tall.reset_index())
    return pd.concat(parts)[["date", "site", "resource", *SUPPLY]].sort_values(["date", "site", "resource"],
                                                                               ignore_index=True)


def project_capacity(capacity: pd.DataFrame, as_of: pd.Timestamp, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """Carry the capacity known at a date forward.

    Weekly patterns (rosters, deliveries) continue: a day takes the value of the same weekday in the last known week.
    Weekly and monthly series keep their last value, and so does a day before whose week the series began.

    Parameters
    ----------
    capacity : pandas.DataFrame
        The `capacity` table; rows later than `as_of` are not looked at.
    as_of : pandas.Timestamp
        Last date whose capacity is known.
    dates : pandas.DatetimeIndex
        Later periods.

    Returns
    -------
    pandas.DataFrame
        As from `spread_capacity`.
    """
    known = capacity[is_known(capacity, as_of)]
    # A month is too long a step for a day; a single week ahead looks back to the as-of date either way.
    daily = infer_period(dates) == "D" if len(dates) > 1 else (dates - as_of).days.max() < 28
    days_back = -(-(dates - as_of).days // 7) * 7 if daily else (dates - as_of).days
    # Two later dates may look back to the same one, hence the join instead of a relabelling.
    source = pd.DataFrame({"date": dates, "source": dates - pd.to_timedelta(days_back, unit="D")})
    past = spread_capacity(known, pd.DatetimeIndex([*source["source"], as_of]).unique().sort_values())
    # A series younger than a week has no same weekday yet: it counts as today.
    forward = source.merge(past[past["date"] == as_of].drop(columns="date"), how="cross")
    forward = forward.merge(past.rename(columns={"date": "source"}), on=["source", "site", "resource"], how="left", suffixes=("_now", ""))
    forward = forward.assign(**{name: forward[name].fillna(forward[f"{name}_now"]) for name in SUPPLY})
    return forward[[*KEYS, *SUPPLY]].sort_values(KEYS, ignore_index=True)


def is_known(capacity: pd.DataFrame, date: pd.Timestamp) -> pd.Series:
    """Mark the capacity rows that are known on a date: those without a date, and those up to it."""
    if "date" not in capacity:
        return pd.Series(True, capacity.index)
    return capacity["date"].isna() | (capacity["date"] <= date)
