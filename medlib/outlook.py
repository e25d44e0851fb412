"""What may be counted on after the as-of date: forecasts of capacity by the forecasters of demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.forecast import LEVELS, LastValue, RandomForest, SeasonalNaive, choose_origins, list_forecasters, roll_forecasts
from medlib.score import pair_forecasts, score_intervals
from medlib.supply import COUNTED, KEYS, SUPPLY, project_capacity, spread_capacity

#: What is not forecast but carried forward as it is: capacity without dates, without change, or with too short a history; deliveries.
CARRIED = "carried"
#: A series that did not change for so many periods is taken to stay. The naive forecasters look back as far.
LOOK_BACK = 180


def forecast_capacity(capacity: pd.DataFrame, resources: pd.DataFrame, as_ofs: Sequence[pd.Timestamp], period: str, horizon: int,
                      like: pd.DataFrame | None = None, trees: int = 60, seed: int = 1) -> pd.DataFrame:
    """Forecast what may be counted on after each date, with nothing later in sight.

    Forecasters of demand serve: each resource takes the one that did best on past as-of dates, 'as in the last week' among them.
    Learned once, as of the first date. Deliveries of drugs are carried forward as `medlib.supply.project_capacity` does: they are agreed in a
    contract and come in parcels on set days, so that a spread around last week's parcel would be made up.

    Parameters
    ----------
    capacity, resources : pandas.DataFrame
        The tables; capacity later than an as-of date is not looked at.
    as_ofs : sequence of pandas.Timestamp
        Periods of the demand's grid, ascending.
    period : str
        The demand's period, as from `medlib.calendar.infer_period`.
    horizon : int
        Periods ahead.
    like : pandas.DataFrame, optional
        An earlier result whose forecasters are taken; left out: chosen.
    trees, seed : int
        Of the random forest.

    Returns
    -------
    pandas.DataFrame
        The `capacity_forecast` table of every as-of date. Surge and its lead time are carried forward. A series that begins
        after an as-of date has no rows.

    Raises
    ------
    MedlibError
        A series has no number at all.
    """
    reported = _drop_missing(capacity)
    history = _list_history(reported, resources, as_ofs[0], period, horizon)
    series, learned = history[["site", "resource"]].drop_duplicates(), {}
    if len(history):
        makers = _list_makers(history, horizon, trees, seed)
        models = _read_models(like) if like is not None else choose_models(history, horizon, trees, seed)
        models = {resource: name if (name := models.get(resource)) in makers else SeasonalNaive.name
                  for resource in series["resource"].unique()}
        learned = {name: makers[name]().fit(history) for name in sorted(set(models.values()))}
    frames = []
    for as_of in as_ofs:
        carried = project_capacity(reported, as_of, extend(as_of, period, horizon)).assign(as_of=as_of, model=CARRIED)
        expected = carried.merge(pd.DataFrame({"quantile": LEVELS}), how="cross").set_index([*KEYS, "quantile"])
        known = _grid(reported, as_of, period).merge(series) if learned else None
        for name, forecaster in learned.items():
            ahead = forecaster.observe(known).predict(as_of, horizon)
            ahead = ahead[ahead["resource"].map(models) == name].rename(columns={"demand": "capacity"})
            expected.update(ahead.set_index([*KEYS, "quantile"])[["capacity", "model"]].round({"capacity": 4}))
        frames.append(expected.reset_index())
    return pd.concat(frames, ignore_index=True)[["as_of", *KEYS, "model", "quantile", *SUPPLY]]


def choose_models(history: pd.DataFrame, horizon: int, trees: int = 60, seed: int = 1, origins: int = 4) -> dict[str, str]:
    """Choose a forecaster for each resource by the mean WIS over past as-of dates; of equals the simplest.

    Parameters
    ----------
    history : pandas.DataFrame
        As a `demand` table; the column `learn` marks what was reported.
    horizon, trees, seed : int
        As for `forecast_capacity`.
    origins : int
        Past as-of dates. Forecasters learn as of the first and then observe.

    Returns
    -------
    dict of str to str
        Resource -> 'seasonal_naive' (as in the last week), 'last_value' (today's figure) or 'random_forest'.
    """
    as_ofs = choose_origins(history, horizon, origins)
    chosen = dict.fromkeys(history["resource"].unique(), SeasonalNaive.name)
    if not as_ofs:
        return chosen
    scores = {}
    for name, maker in _list_makers(history[history["date"] <= as_ofs[0]], horizon, trees, seed).items():
        past = roll_forecasts(maker, history, as_ofs, horizon, learn_every=len(as_ofs))
        paired = pair_forecasts(past, history[history["learn"]])
        wis = score_intervals(paired["observed"].to_numpy(), paired[list(LEVELS)].to_numpy(), np.array(LEVELS))
        scores[name] = pd.Series(wis, paired.index).groupby("resource").mean().round(6)
        if not scores[name].any():
            break  # exact already
    return chosen | pd.DataFrame(scores).idxmin(axis=1).to_dict()


def measure_correlation(demand: pd.DataFrame, capacity: pd.DataFrame, resources: pd.DataFrame, as_of: pd.Timestamp) -> float:
    """Measure how demand and capacity move together at a site: where beds are opened as patients come, they do.

    Parameters
    ----------
    demand, capacity, resources : pandas.DataFrame
        The tables; what is later than `as_of` is not looked at.
    as_of : pandas.Timestamp

    Returns
    -------
    float
        Mean over the series of the rank correlation of their changes over a week (weekly and monthly series: one period) in the
        last year (weekly and monthly: two), as the correlation of a Gaussian copula, at most 0.95 either way. 0 without enough
        reports of both.
    """
    drugs = resources.loc[resources["kind"] == "drug", "resource"]
    if "date" not in capacity:
        return 0.0
    told = demand[~demand.get("imputed", pd.Series(False, demand.index)) & (demand["date"] <= as_of) & ~demand["resource"].isin(drugs)]
    both = told.merge(capacity[[*KEYS, "capacity"]].dropna(), on=KEYS)
    if both["date"].nunique() < 2:
        return 0.0
    period = infer_period(both["date"])
    wide = both.pivot(index="date", columns=["site", "resource"], values=["demand", "capacity"]).asfreq(period)
    changes = wide.diff(7 if period == "D" else 1).tail({"D": 365, "M": 24}.get(period[0], 104))
    needed, there = changes["demand"], changes["capacity"]
    moves = (needed.std() > 0) & (there.std() > 0) & ((needed.notna() & there.notna()).sum() >= 20)
    if not moves.any():
        return 0.0
    rank = needed.loc[:, moves].corrwith(there.loc[:, moves], method="spearman").mean()
    return float(np.clip(2 * np.sin(np.pi / 6 * rank), -0.95, 0.95))


def _drop_missing(capacity: pd.DataFrame) -> pd.DataFrame:
    """Leave out what was not reported; it is not zero."""
    told = capacity["capacity"].notna()
    silent = ~told.groupby([capacity["site"], capacity["resource"]]).transform("any")
    if silent.any():
        row = capacity[silent].iloc[0]
        raise MedlibError(f"capacity must have a number for every series it lists; {row['site']}, {row['resource']} has none, so give one "
                          "or leave its rows out.")
    return capacity[told]


def _grid(reported: pd.DataFrame, as_of: pd.Timestamp, period: str) -> pd.DataFrame:
    """Dated capacity up to a date as a `demand` table on the grid of periods; `learn`: reported since the period before."""
    dated = reported[reported["date"].notna() & (reported["date"] <= as_of)] if "date" in reported else reported.iloc[:0]
    if dated.empty:
        return pd.DataFrame({**dict.fromkeys(KEYS, []), "demand": [], "learn": []})
    grid = pd.date_range(dated["date"].min(), as_of, freq=period, unit="us")
    told = dated[["site", "resource"]].assign(date=grid[grid.searchsorted(dated["date"])], learn=True).drop_duplicates()
    spread = spread_capacity(dated, grid).merge(told, on=KEYS, how="left")
    return spread.assign(demand=spread["capacity"], learn=spread["learn"].notna())[[*KEYS, "demand", "learn"]]


def _list_history(reported: pd.DataFrame, resources: pd.DataFrame, as_of: pd.Timestamp, period: str, horizon: int) -> pd.DataFrame:
    """What can be forecast: series of staff, equipment and beds that change and are known for long enough."""
    drugs = resources.loc[resources["kind"] == "drug", "resource"]
    history = _grid(reported, as_of, period)
    history = history[~history["resource"].isin(drugs)]
    if history.empty:
        return history
    # With less the seasonal-naive forecaster knows no week, and carrying the last one forward is better.
    least = horizon + (14 if period == "D" else 2)
    long = history.groupby(["site", "resource"])["demand"].transform("size") >= least
    lately = history.groupby(["site", "resource"]).tail(LOOK_BACK).groupby(["site", "resource"])["demand"]
    moves = (lately.max() > lately.min()).rename("moves").reset_index()
    return history[long].merge(moves[moves["moves"]].drop(columns="moves"))


def _list_makers(history: pd.DataFrame, horizon: int, trees: int, seed: int) -> Mapping[str, object]:
    """Makers of the forecasters that the history is long enough for, the simplest first."""
    naive, forest = (list_forecasters(history, horizon, trees, seed, [name]) for name in (SeasonalNaive.name, RandomForest.name))
    longer = history["date"].nunique() > horizon
    return naive | ({LastValue.name: lambda: LastValue(horizon)} if longer else {}) | forest


def _read_models(forecast: pd.DataFrame) -> dict[str, str]:
    """Resource -> forecaster of a `capacity_forecast` table."""
    used = forecast.loc[~forecast["model"].isin([CARRIED, COUNTED]), ["resource", "model"]].drop_duplicates("resource")
    return dict(used.itertuples(index=False))
