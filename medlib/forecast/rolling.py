"""Which forecasters a history is long enough for, and their rolling-origin evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.forecast.base import Forecaster
from medlib.forecast.combined import Combination
from medlib.forecast.naive import SeasonalNaive
from medlib.forecast.trees import GradientBoosting, RandomForest
from medlib.prepare import widen

#: All forecasters, the quick ones first.
FORECASTERS = ("seasonal_naive", "random_forest", "gradient_boosting", "recurrent_network", "combination")
#: Members of the combination.
COMBINED = ("random_forest", "recurrent_network")


def get_kind(name: str) -> type[Forecaster]:
    """Return the class of a forecaster that has settings of its own: any of `FORECASTERS` but the combination."""
    if name == "recurrent_network":
        from medlib.forecast.recurrent import RecurrentNetwork  # torch takes seconds to import
        return RecurrentNetwork
    kinds = {kind.name: kind for kind in (SeasonalNaive, RandomForest, GradientBoosting)}
    if name not in kinds:
        raise MedlibError(f"Forecasters with settings are {', '.join(FORECASTERS[:-1])}; got {name!r}.")
    return kinds[name]


def make_forecaster(name: str, horizon: int, seed: int = 1, settings: Mapping[str, Mapping[str, object]] | None = None) -> Forecaster:
    """Make one of `FORECASTERS`; see `list_forecasters`."""
    if name == Combination.name:
        return Combination([make_forecaster(member, horizon, seed, settings) for member in COMBINED])
    chance = {} if name == SeasonalNaive.name else {"seed": seed}
    return get_kind(name)(horizon, **chance, **(settings or {}).get(name, {}))


def list_forecasters(history: pd.DataFrame, horizon: int, trees: int = 100, seed: int = 1,
                     names: Sequence[str] = (SeasonalNaive.name, RandomForest.name),
                     settings: Mapping[str, Mapping[str, object]] | None = None) -> dict[str, Callable[[], Forecaster]]:
    """Makers of those of the named forecasters that this history is long enough for.

    Parameters
    ----------
    history : pandas.DataFrame
        The `demand` table.
    horizon : int
        Periods ahead.
    trees : int
        Of the random forest, where its settings don't say.
    seed : int
        Of everything drawn at random.
    names : sequence of str
        Of `FORECASTERS`.
    settings : mapping, optional
        What the constructor of each forecaster is given, by name; a combination takes those of its members.
    """
    if unknown := set(names) - set(FORECASTERS):
        raise MedlibError(f"There is no forecaster {sorted(unknown)[0]!r}; there are {', '.join(FORECASTERS)}.")
    settings = {RandomForest.name: {}, **(settings or {})}
    settings[RandomForest.name] = {"trees": trees, **settings[RandomForest.name]}
    periods = widen(history).index
    period = infer_period(periods)
    return {name: partial(make_forecaster, name, horizon, seed, settings) for name in names
            if len(periods) >= count_needed(name, period, horizon)}


def count_needed(name: str, period: str, horizon: int) -> int:
    """Periods of history that a forecaster of `FORECASTERS` needs."""
    if name == Combination.name:
        return max(count_needed(member, period, horizon) for member in COMBINED)
    return 1 if name == SeasonalNaive.name else get_kind(name).count_needed(period, horizon)


def choose_origins(history: pd.DataFrame, horizon: int, count: int) -> list[pd.Timestamp]:
    """As-of dates whose horizons follow one another and end with the history, oldest first.

    Only dates with enough history for a random forest, or, where there are none, for the seasonal-naive forecaster.
    """
    dates = widen(history).index
    positions = [len(dates) - 1 - (number + 1) * horizon for number in reversed(range(count))]
    enough = RandomForest.count_needed(infer_period(dates), horizon) - 1
    chosen = [position for position in positions if position >= enough] or [
        position for position in positions if position >= horizon]
    return [dates[position] for position in chosen]


def roll_forecasts(maker: Callable[[], Forecaster], demand: pd.DataFrame, as_ofs: Iterable[pd.Timestamp], horizon: int,
                   learn_every: int = 1) -> pd.DataFrame:
    """Forecast as of each date, with nothing later in sight.

    Parameters
    ----------
    maker : callable
        Returns a fresh forecaster.
    demand : pandas.DataFrame
        The `demand` table; each forecaster is handed only rows up to its as-of date.
    as_ofs : iterable of pandas.Timestamp
        In ascending order.
    horizon : int
        Periods ahead.
    learn_every : int
        Fit anew at every so-manieth date; between, later reports are observed without learning.

    Returns
    -------
    pandas.DataFrame
        Forecasts of all dates, one below the other.
    """
    frames = []
    for number, as_of in enumerate(as_ofs):
        known = demand[demand["date"] <= as_of]
        if number % learn_every == 0:
            forecaster = maker().fit(known)
        frames.append(forecaster.observe(known).predict(as_of, horizon))
    return pd.concat(frames, ignore_index=True)


def choose_as_of(demand: pd.DataFrame, as_of: str, horizon: int) -> pd.Timestamp:
    """Return the period that a forecast is made as of.

    Parameters
    ----------
    demand : pandas.DataFrame
        The `demand` table.
    as_of : str
        A date YYYY-MM-DD; the period that begins on it or last before it is taken. Empty: the last period after which a
        whole horizon is known, or, in a short history, the first before which forecasters can be judged on one.
    horizon : int
        Periods ahead.

    Raises
    ------
    MedlibError
        The date is no date, or leaves too little history or lies after the data.
    """
    dates = widen(demand).index
    least = max(2 * horizon, 14)  # `choose_origins` takes a horizon to learn from and one to judge forecasters on
    if len(dates) <= least:
        shorter = f" or give a shorter horizon (-p horizon={(len(dates) - 1) // 2})" if len(dates) > 14 else ""
        raise MedlibError(f"A horizon of {horizon} needs at least {least + 1} periods of demand; got {len(dates)}, so add history{shorter}.")
    if not as_of:
        return dates[max(least, len(dates) - 1 - horizon)]
    try:
        wanted = pd.Timestamp(as_of)
    except ValueError:
        raise MedlibError(f"as_of must be a date YYYY-MM-DD; got {as_of!r}.") from None
    position = int(dates.searchsorted(wanted, side="right")) - 1
    # The last period covers the days up to the next one.
    if position < least or wanted >= extend(dates[-1], infer_period(dates), 1)[0]:
        raise MedlibError(f"as_of must lie from {dates[least].date()} to {dates[-1].date()} for these data and a horizon of "
                          f"{horizon}; got {as_of}.")
    return dates[position]
