"""Demand forecasters with one interface, and their rolling-origin evaluation.

A forecaster learns in `fit(history)`, takes later reports in `observe(history)` without learning anew, and answers
`predict(as_of, horizon)` with quantiles. It refuses an as-of date earlier than what it learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from quantile_forest import RandomForestQuantileRegressor

from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.prepare import expand, list_lags, make_features, shrink, widen

#: Probability levels of every forecast: the median and the ends of the 50, 80 and 95 % intervals.
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


class Forecaster:
    """What all forecasters share: they keep the history and hand out tidy quantiles.

    Parameters
    ----------
    horizon : int
        The most periods ahead that will be asked for.
    """

    name = "forecaster"

    def __init__(self, horizon: int):
        if horizon < 1:
            raise MedlibError(f"horizon must be at least 1 period; got {horizon}.")
        self.horizon = horizon

    def fit(self, history: pd.DataFrame) -> Forecaster:
        """Learn from a `demand` table and keep it as what is known."""
        self.observe(history)
        self.learned_through = self.wide.index[-1]
        self._learn()
        return self

    def observe(self, history: pd.DataFrame) -> Forecaster:
        """Take a newer `demand` table as what is known, without learning anew."""
        self.wide = widen(history).ffill()
        self.period = infer_period(self.wide.index)
        return self

    def predict(self, as_of: pd.Timestamp, horizon: int) -> pd.DataFrame:
        """Forecast the periods after a date, seeing nothing later than it.

        Parameters
        ----------
        as_of : pandas.Timestamp
            Last date whose demand may be seen; a period of the history.
        horizon : int
            Periods ahead, 1 to the forecaster's own.

        Returns
        -------
        pandas.DataFrame
            as_of, date, site, resource, model, quantile, demand (units, never negative, never crossing).

        Raises
        ------
        MedlibError
            The date is not a period of the history, is earlier than what was learned from, or the horizon is too long.
        """
        as_of = pd.Timestamp(as_of)
        if as_of not in self.wide.index:
            raise MedlibError(f"as_of must be a period from {self.wide.index[0].date()} to {self.wide.index[-1].date()}; "
                              f"got {as_of.date()}.")
        if as_of < self.learned_through:
            raise MedlibError(f"This forecaster learned from data up to {self.learned_through.date()} and would see the "
                              f"future as of {as_of.date()}; fit it on earlier history.")
        if not 1 <= horizon <= self.horizon:
            raise MedlibError(f"horizon must lie in 1 to {self.horizon}; got {horizon}.")
        quantiles = np.sort(np.maximum(self._forecast(_fill_start(self.wide.loc[:as_of]), horizon), 0.0), axis=-1)
        dates = extend(as_of, self.period, horizon)
        index = pd.MultiIndex.from_product([dates, range(self.wide.shape[1])], names=["date", "series"])
        frame = pd.DataFrame(quantiles.reshape(-1, len(LEVELS)), index=index, columns=pd.Index(LEVELS, name="quantile"))
        tidy = frame.stack().rename("demand").reset_index()
        series = self.wide.columns.to_frame(index=False)
        tidy = tidy.assign(as_of=as_of, model=self.name, site=series["site"].to_numpy()[tidy["series"]],
                           resource=series["resource"].to_numpy()[tidy["series"]])
        return tidy[["as_of", "date", "site", "resource", "model", "quantile", "demand"]]

    def _learn(self) -> None:
        """Learn from `self.wide`; forecasters that only look back need not."""

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        """Return quantiles of shape (horizon, series, levels)."""
        raise NotImplementedError


class SeasonalNaive(Forecaster):
    """The last value of the same weekday (or of the same week or month a year ago), with its past errors' quantiles.

    The baseline that every other forecaster has to beat. Errors are measured on the square-root scale over the last
    `look_back` periods, each series and each step ahead by itself.
    """

    name = "seasonal_naive"

    def __init__(self, horizon: int, look_back: int = 180):
        super().__init__(horizon)
        self.look_back = look_back

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        season = {"D": 7, "M": 12}.get(self.period[0], 52)
        values = np.sqrt(known.to_numpy())
        if len(values) < 2 * season + horizon:
            season = 1
        quantiles = np.empty((horizon, values.shape[1], len(LEVELS)))
        for ahead in range(1, horizon + 1):
            back = season * -(-ahead // season)
            errors = (values[back:] - values[:-back])[-self.look_back:]
            spread = np.quantile(errors, LEVELS, axis=0).T if len(errors) else np.zeros((values.shape[1], len(LEVELS)))
            quantiles[ahead - 1] = np.maximum(values[len(values) - 1 + ahead - back][:, None] + spread, 0) ** 2
        return quantiles


class RandomForest(Forecaster):
    """A quantile random forest on lag and calendar features, one forest pooled over all sites and resources.

    It learns the change from the last value on the fourth-root scale, so that one forest serves small and large sites.

    Parameters
    ----------
    horizon : int
        The most periods ahead that will be asked for.
    trees : int
        Number of trees.
    leaf : int
        Fewest training rows in a leaf; the leaf's rows are the forecast distribution.
    rows : int
        At most so many training rows, drawn at random.
    seed : int
        Of the draw and of the forest.

    References
    ----------
    Meinshausen (2006), Quantile Regression Forests, JMLR 7:983-999; Johnson (2024), quantile-forest, JOSS 9(93):5976.
    """

    name = "random_forest"

    def __init__(self, horizon: int, trees: int = 100, leaf: int = 20, rows: int = 24_000, seed: int = 1):
        super().__init__(horizon)
        self.trees, self.leaf, self.rows, self.seed = trees, leaf, rows, seed

    def _learn(self) -> None:
        first, last = list_lags(self.period)[-1], len(self.wide) - 1 - self.horizon
        if last - first < 20:
            raise MedlibError(f"A random forest needs at least {first + self.horizon + 21} periods of history for a "
                              f"horizon of {self.horizon}; got {len(self.wide)}.")
        random = np.random.default_rng(self.seed)
        per_origin = self.horizon * self.wide.shape[1]
        origins = np.arange(first, last + 1)
        wanted = max(20, -(-2 * self.rows // per_origin))
        if len(origins) > wanted:
            origins = np.sort(random.choice(origins, wanted, replace=False))
        wide = _fill_start(self.wide)
        self.resources = wide.columns.get_level_values("resource").unique().tolist()
        # Changes grow with the distance ahead; one forest serves all distances once they are brought to the same spread.
        self.spread = np.ones(self.horizon)
        features, target = self.make_rows(wide, origins)
        self.spread = target.reshape(len(origins), self.horizon, -1).std(axis=(0, 2)) + 1e-9
        target = target / np.tile(np.repeat(self.spread, wide.shape[1]), len(origins))
        if len(target) > self.rows:
            chosen = np.sort(random.choice(len(target), self.rows, replace=False))
            features, target = features.iloc[chosen], target[chosen]
        self.forest = RandomForestQuantileRegressor(n_estimators=self.trees, min_samples_leaf=self.leaf,
                                                    max_features=0.5, n_jobs=-1, random_state=self.seed)
        self.forest.fit(features.to_numpy(), target)

    def make_rows(self, wide: pd.DataFrame, origins: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Features at the origins, and the changes that followed as the forest learns them (divided by their spread)."""
        features, scale = make_features(wide, origins, self.horizon, self.period, self.resources)
        ahead = origins[:, None] + np.arange(1, self.horizon + 1)
        change = shrink(wide.to_numpy()[ahead].reshape(-1), scale) - features["level"].to_numpy()
        return features, change / np.tile(np.repeat(self.spread, wide.shape[1]), len(origins))

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        features, scale = make_features(known, np.array([len(known) - 1]), horizon, self.period, self.resources)
        change = self.forest.predict(features.to_numpy(), quantiles=list(LEVELS))
        change *= np.repeat(self.spread[:horizon], known.shape[1])[:, None]
        quantiles = expand(features["level"].to_numpy()[:, None] + change, scale[:, None])
        return quantiles.reshape(horizon, known.shape[1], len(LEVELS))


def _fill_start(wide: pd.DataFrame) -> pd.DataFrame:
    """Give a series its first report before it began, or zero where it has none yet."""
    return wide.bfill().fillna(0.0)


def list_forecasters(history: pd.DataFrame, horizon: int, trees: int = 100, seed: int = 1) -> dict[str, Callable]:
    """Makers of the forecasters that this history is long enough for, by name."""
    makers = {SeasonalNaive.name: lambda: SeasonalNaive(horizon)}
    periods = widen(history).index
    if len(periods) >= list_lags(infer_period(periods))[-1] + horizon + 21:
        makers[RandomForest.name] = lambda: RandomForest(horizon, trees=trees, seed=seed)
    return makers


def choose_origins(history: pd.DataFrame, horizon: int, count: int) -> list[pd.Timestamp]:
    """As-of dates whose horizons follow one another and end with the history, oldest first.

    Only dates with enough history for a random forest, or, where there are none, for the seasonal-naive forecaster.
    """
    dates = widen(history).index
    positions = [len(dates) - 1 - (number + 1) * horizon for number in reversed(range(count))]
    enough = list_lags(infer_period(dates))[-1] + horizon + 20
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
        whole horizon is known.
    horizon : int
        Periods ahead.

    Raises
    ------
    MedlibError
        The date is no date, or leaves too little history or lies after the data.
    """
    dates = widen(demand).index
    least = max(horizon, 14)
    if len(dates) <= least:
        raise MedlibError(f"A horizon of {horizon} needs at least {least + 1} periods of demand; got {len(dates)}.")
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
