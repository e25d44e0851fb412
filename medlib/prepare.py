"""Make collected demand fit to learn from: clean, fill, widen, and turn into lag and calendar features.

Everything here is causal: what becomes of a period depends on that period and earlier ones only. One cleaned table
therefore serves every as-of date without letting a forecast see later data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.calendar import infer_period
from medlib.errors import MedlibError

#: A report this many times the highest of the last `LOOK_BACK` reports, plus `SLACK` units, is taken for a slip of the pen.
IMPLAUSIBLE_FACTOR, LOOK_BACK, SLACK = 3.0, 7, 20.0
#: After so many such reports in a row the level is believed to have changed.
BELIEVE_AFTER = 3
SERIES = ["resource", "site"]


def clean_demand(collected: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove double entries and implausible values and fill what is missing.

    Parameters
    ----------
    collected : pandas.DataFrame
        The `demand_collected` table, in the order of reporting: of two rows for the same key the later one corrects the
        earlier.

    Returns
    -------
    demand : pandas.DataFrame
        The `demand` table on a regular grid of periods from each series' first report on; `imputed` marks filled rows.
    quality : pandas.DataFrame
        The `quality` table.

    Notes
    -----
    Filled values repeat the last report (last observation carried forward); they serve as features and are never scored
    as truth.
    """
    once = collected.drop_duplicates(["date", *SERIES], keep="last")
    exact = collected.duplicated(["date", *SERIES, "demand"], keep="last")
    double = collected.duplicated(["date", *SERIES], keep="last") & ~exact
    reported = widen(once)
    negative = reported < 0
    implausible = find_implausible(reported.mask(negative))
    usable = reported.mask(negative | implausible)
    begun = usable.notna().cummax()
    listed = widen(once.assign(demand=1.0)).notna()
    counts = {
        "exact duplicate": (_count(collected[exact]), "dropped"),
        "corrected later": (_count(collected[double]), "later row kept"),
        "negative": (_count_wide(negative), "treated as missing"),
        "implausible": (_count_wide(implausible), "treated as missing"),
        "reported without a value": (_count_wide(listed & reported.isna() & begun), "last report repeated"),
        "not reported": (_count_wide(~listed & begun), "last report repeated"),
    }
    demand = usable.ffill().stack(SERIES).dropna().rename("demand").reset_index()
    filled = (usable.isna() & begun).stack(SERIES).rename("imputed").reset_index()
    demand = demand.merge(filled, on=["date", *SERIES]).sort_values(["date", "site", "resource"], ignore_index=True)
    return demand[["date", "site", "resource", "demand", "imputed"]], _tabulate(counts, demand.groupby("resource").size())


def widen(demand: pd.DataFrame) -> pd.DataFrame:
    """Spread demand to one column a series on a regular grid of periods; gaps become missing.

    Returns
    -------
    pandas.DataFrame
        Index date, columns (resource, site), values in units.

    Raises
    ------
    MedlibError
        A row lacks its date, site or resource, or a series has two values for a period.
    """
    # A pivot takes several times as long, and more than twice as long for twice the series.
    (resource, resources), (site, sites) = (pd.factorize(demand[name], sort=True) for name in SERIES)
    days = demand["date"].unique()
    dates = pd.date_range(days.min(), days.max(), freq=infer_period(days), name="date", unit="us")
    series, period = resource * len(sites) + site, dates.get_indexer(demand["date"])
    if min(codes.min() for codes in (resource, site, period)) < 0:
        raise MedlibError("Every row of demand needs a date, a site and a resource; leave out the rows that lack one.")
    values = np.full((len(resources) * len(sites), len(dates)), np.nan)
    told = np.zeros(values.shape, bool)
    values[series, period], told[series, period] = demand["demand"], True
    if told.sum() < len(demand):
        row = demand[demand.duplicated(["date", *SERIES])].iloc[0]
        raise MedlibError(f"A site has one value a period; {row['site']} has two of {row['resource']} on {row['date']:%Y-%m-%d}; "
                          "clean the table first (medlib.prepare.clean_demand).")
    there = np.flatnonzero(told.any(axis=1))
    columns = pd.MultiIndex.from_arrays([resources[there // len(sites)], sites[there % len(sites)]], names=SERIES)
    return pd.DataFrame(values[there].T, dates, columns)


def fill_start(wide: pd.DataFrame) -> pd.DataFrame:
    """Give a series its first report before it began, or zero where it has none yet."""
    return wide.bfill().fillna(0.0)


def find_implausible(reported: pd.DataFrame) -> pd.DataFrame:
    """Mark reports far above anything the series reported lately.

    Parameters
    ----------
    reported : pandas.DataFrame
        Wide demand, missing where not reported.

    Returns
    -------
    pandas.DataFrame
        True where a value exceeds `IMPLAUSIBLE_FACTOR` times the highest of the last `LOOK_BACK` believed reports plus
        `SLACK` units, unless the `BELIEVE_AFTER` reports before it did too.
    """
    values = reported.to_numpy()
    marked = np.zeros(values.shape, dtype=bool)
    recent = np.full((LOOK_BACK, values.shape[1]), np.nan)
    streak = np.zeros(values.shape[1], dtype=int)
    for period, row in enumerate(values):
        ceiling = np.where(np.isnan(recent).all(axis=0), np.inf, np.fmax.reduce(recent))
        high = row > IMPLAUSIBLE_FACTOR * ceiling + SLACK
        marked[period] = high & (streak < BELIEVE_AFTER)
        seen = ~np.isnan(row)
        streak = np.where(seen, np.where(high, streak + 1, 0), streak)
        believed = seen & ~marked[period]
        recent[:, believed] = np.vstack([recent[1:, believed], row[believed]])
    return pd.DataFrame(marked, index=reported.index, columns=reported.columns)


def make_features(wide: pd.DataFrame, origins: np.ndarray, horizon: int, period: str, resources: list[str] | None = None,
                  sizes: np.ndarray | None = None, trends: bool = False, season: bool = True) -> tuple[pd.DataFrame, np.ndarray]:
    """Features that describe each series at an origin and the period to be forecast.

    Levels are divided by the series' size and drawn to the fourth root, which evens out both the spread of small counts
    and the growth of large ones.

    Parameters
    ----------
    wide : pandas.DataFrame
        Filled wide demand.
    origins : numpy.ndarray
        Row positions whose value is the last one known, each at least `list_lags(period)[-1]`.
    horizon : int
        Periods ahead; each origin gives rows for 1 to `horizon`.
    period : str
        "D", "W-..." or "MS".
    resources : list of str, optional
        Resources in the order of their codes, -1 for others; by default those of `wide`. A model that was learned from
        other data needs the order it was learned in.
    sizes : numpy.ndarray, optional
        Shape (series,): population served, say. Left out: the series' mean of the last year plus one unit.
    trends : bool
        Describe what the last periods did by slope and bend, and how far they are from their highest and lowest.
    season : bool
        Tell the time of the year that is forecast.

    Returns
    -------
    features : pandas.DataFrame
        One row for each origin, horizon and series, in this order.
    scale : numpy.ndarray
        Units by which each row's level was divided.

    Raises
    ------
    MedlibError
        An origin has too little history.
    """
    values, dates = wide.to_numpy(), wide.index
    lags = list_lags(period)
    if origins.min() < lags[-1]:
        raise MedlibError(f"The features look {lags[-1]} periods back from each origin; got only {origins.min()} before the "
                          "earliest. Give a longer history.")
    scale = measure_scale(wide, period, sizes)[origins]
    level = shrink(values[origins], scale)
    past = {lag: level - shrink(values[origins - lag], scale) for lag in lags}
    names = wide.columns.get_level_values("resource")
    resource_codes = pd.Index(names.unique() if resources is None else resources).get_indexer(names)
    common = {lag: average_alike(past[lag], resource_codes) for lag in lags[1:]}
    size = np.log(scale)
    base = {"level": level, "log_scale": size, **{f"change_{lag}": change for lag, change in past.items()},
            **{f"common_change_{lag}": change for lag, change in common.items()},
            "resource": np.broadcast_to(resource_codes.astype(float), level.shape)}
    if trends:
        base |= _describe_trends(wide, origins, scale, resource_codes)
    # A year of weeks is too long to look back at every as-of date.
    phases, phase = {"D": (7, "weekday"), "M": (12, "month")}.get(period[0], (1, "weekday"))
    now = (dates[origins].month if phase == "month" else dates[origins].day_of_week).to_numpy()
    blocks = []
    for ahead in range(1, horizon + 1):
        # The last known value of the same weekday, or month, as the target's.
        same = shrink(values[origins - (-ahead % phases)], scale)
        day_of_year = 2 * np.pi * (dates[origins] + pd.tseries.frequencies.to_offset(period) * ahead).day_of_year / 365.25
        block = base | {"ahead": np.full_like(level, ahead), "same_season": same - level,
                        phase: np.repeat((now + ahead)[:, None] % phases, level.shape[1], axis=1)}
        if phase == "month":
            block["change_last_year"] = same - shrink(values[origins - phases], scale)
        for name, wave in {"winter": np.cos, "spring": np.sin}.items():
            if season and (trends or name == "winter"):
                block[name] = np.repeat(wave(day_of_year.to_numpy())[:, None], level.shape[1], axis=1)
        blocks.append(np.stack([np.asarray(column, float) for column in block.values()], axis=-1))
    stacked = np.stack(blocks, axis=1).reshape(-1, len(block))
    repeated = np.repeat(scale[:, None, :], horizon, axis=1).reshape(-1)
    return pd.DataFrame(stacked, columns=list(block)), repeated


def measure_scale(wide: pd.DataFrame, period: str, sizes: np.ndarray | None = None) -> np.ndarray:
    """Shape (periods, series): sizes, or where there are none the mean of the last year up to each period plus one unit."""
    if sizes is not None:
        return np.broadcast_to(np.asarray(sizes, float), wide.shape)
    return wide.rolling({"D": 365, "M": 12}.get(period[0], 52), min_periods=1).mean().to_numpy() + 1.0


def _describe_trends(wide: pd.DataFrame, origins: np.ndarray, scale: np.ndarray, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Slope and bend of the last periods, of each series and of its resource; distance from the highest and the lowest of a season."""
    values, found = wide.to_numpy(), {}
    level = shrink(values[origins], scale)
    found["common_level"] = average_alike(level, codes)
    found["above_common"] = level - found["common_level"]
    for count, degree in ((3, 1), (5, 1), (5, 2)):
        past = np.stack([shrink(values[origins - back], scale) for back in range(count - 1, -1, -1)])
        # Least squares through the last values, seen from the last: its error, its slope, its bend.
        fit = np.linalg.pinv(np.vander(np.arange(1.0 - count, 1.0), degree + 1, increasing=True))
        error, slope, *bend = np.tensordot(fit, past, 1)
        found |= {f"fit_{count}_{degree}": error - level, f"slope_{count}_{degree}": slope}
        if bend:
            found |= {f"bend_{count}": bend[0], f"common_slope_{count}": average_alike(slope, codes),
                      f"common_bend_{count}": average_alike(bend[0], codes)}
    seen = wide.rolling(20, min_periods=1)
    found["below_highest"] = level - shrink(seen.max().to_numpy()[origins], scale)
    found["above_lowest"] = level - shrink(seen.min().to_numpy()[origins], scale)
    return found


def average_alike(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Shape (origins, series): the mean over all series of the same code, at each of them."""
    groups, group = np.unique(codes, return_inverse=True)
    return np.stack([values[:, group == number].mean(axis=1) for number in range(len(groups))], axis=1)[:, group]


def shrink(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Bring units to the fourth-root scale on which changes are learned."""
    return (values / scale) ** 0.25


def expand(shrunk: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Bring the fourth-root scale back to units; below zero counts as zero."""
    return np.maximum(shrunk, 0.0) ** 4 * scale


def list_lags(period: str) -> tuple[int, ...]:
    """Periods back at which changes are measured, by kind of period."""
    return {"D": (1, 2, 7, 14, 28), "M": (1, 2, 3, 6, 12)}.get(period[0], (1, 2, 3, 4))


def find_anchors(origins: np.ndarray, horizon: int, period: str) -> np.ndarray:
    """Shape (origins, horizon): row positions of the values that changes are counted from.

    The last known one; of months the last known one of the same month, as most of what happens within a year comes again.
    """
    return origins[:, None] - (-np.arange(1, horizon + 1) % (12 if period[0] == "M" else 1))


def _count(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("resource").size()


def _count_wide(marked: pd.DataFrame) -> pd.Series:
    return marked.sum().groupby("resource").sum()


def _tabulate(counts: dict[str, tuple[pd.Series, str]], total: pd.Series) -> pd.DataFrame:
    rows = [(resource, rule, int(found.get(resource, 0)), action)
            for rule, (found, action) in counts.items() for resource in total.index]
    quality = pd.DataFrame(rows, columns=["resource", "rule", "rows", "action"])
    quality.insert(3, "share", (quality["rows"] / quality["resource"].map(total)).round(6).clip(upper=1))
    return quality.sort_values(["resource", "rule"], ignore_index=True)
