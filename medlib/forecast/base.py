"""What all forecasters share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.prepare import fill_start, widen

#: Probability levels of every forecast: the median and the ends of the 50, 80 and 95 % intervals.
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


class Forecaster:
    """What all forecasters share: they keep the history and hand out tidy quantiles.

    Parameters
    ----------
    horizon : int
        The most periods ahead that will be asked for.
    levels : sequence of float
        Probability levels in (0, 1), ascending.
    """

    name = "forecaster"

    def __init__(self, horizon: int, levels: Sequence[float] = LEVELS):
        if horizon < 1:
            raise MedlibError(f"horizon must be at least 1 period; got {horizon}.")
        self.horizon, self.levels = horizon, tuple(levels)
        if not self.levels or not all(0 < low < high < 1 for low, high in zip((1e-12, *self.levels), (*self.levels, 1 - 1e-12))):
            raise MedlibError(f"Quantile levels must ascend within 0 and 1; got {self.levels}.")

    def fit(self, history: pd.DataFrame) -> Forecaster:
        """Learn from a `demand` table and keep it as what is known.

        Parameters
        ----------
        history : pandas.DataFrame
            The `demand` table; where it has a column `learn`, periods where that is false are seen but not learned from.
        """
        self.observe(history).learn()
        return self

    def learn(self) -> None:
        """Learn from what was observed last."""
        self.learned_through = self.wide.index[-1]
        self._learn()

    def observe(self, history: pd.DataFrame) -> Forecaster:
        """Take a newer `demand` table as what is known, without learning anew.

        Raises
        ------
        MedlibError
            No site has a value, a value is negative, or a site has two values for a period.
        """
        check_history(history)
        wide = widen(history)
        self.wide, self.period, self.teaches = wide.ffill(), infer_period(wide.index), list_teaching(history, wide)
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
        quantiles = np.sort(np.maximum(self._forecast(fill_start(self.wide.loc[:as_of]), horizon), 0.0), axis=-1)
        dates = extend(as_of, self.period, horizon)
        index = pd.MultiIndex.from_product([dates, range(self.wide.shape[1])], names=["date", "series"])
        frame = pd.DataFrame(quantiles.reshape(-1, len(self.levels)), index=index, columns=pd.Index(self.levels, name="quantile"))
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


def check_history(history: pd.DataFrame) -> None:
    """Refuse what cannot be forecast from: nothing reported, negative values."""
    values = history["demand"]
    if not values.notna().any():
        raise MedlibError("The demand table has no value to learn from.")
    if (values < 0).any():
        row = history[values < 0].iloc[0]
        raise MedlibError(f"Demand must be at least 0; {row['site']} has {row['demand']:g} {row['resource']} on {row['date']:%Y-%m-%d}; "
                          "clean the table first (medlib.prepare.clean_demand).")


def list_teaching(history: pd.DataFrame, wide: pd.DataFrame) -> np.ndarray:
    """Shape (periods, series): the value was reported and may be learned from."""
    if "learn" not in history:
        return wide.notna().to_numpy()
    told = history.assign(demand=(history["learn"].astype(bool) & history["demand"].notna()).astype(float))
    return widen(told).fillna(0.0).to_numpy() > 0
