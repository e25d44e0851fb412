"""The naive forecasters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.calendar import SEASONS
from medlib.forecast.base import LEVELS, Forecaster


class SeasonalNaive(Forecaster):
    """The last value of the same weekday (or of the same week or month a year ago), with its past errors' quantiles.

    The baseline that every other forecaster has to beat. Errors are measured on the square-root scale over the last
    `look_back` periods, each series and each step ahead by itself.
    """

    name = "seasonal_naive"

    def __init__(self, horizon: int, look_back: int = 180, levels: Sequence[float] = LEVELS):
        super().__init__(horizon, levels)
        self.look_back = look_back

    def get_season(self) -> int:
        """Periods after which the same season comes again."""
        return SEASONS[self.period[0]]

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        season = self.get_season()
        values = np.sqrt(known.to_numpy())
        if len(values) < 2 * season + horizon:
            season = 1
        quantiles = np.empty((horizon, values.shape[1], len(self.levels)))
        for ahead in range(1, horizon + 1):
            back = season * -(-ahead // season)
            errors = (values[back:] - values[:-back])[-self.look_back:]
            spread = np.quantile(errors, self.levels, axis=0).T if len(errors) else np.zeros((values.shape[1], len(self.levels)))
            quantiles[ahead - 1] = np.maximum(values[len(values) - 1 + ahead - back][:, None] + spread, 0) ** 2
        return quantiles


class LastValue(SeasonalNaive):
    """Today's figure, with its past errors' quantiles as in `SeasonalNaive`."""

    name = "last_value"

    def get_season(self) -> int:
        """No season: one period is like the one before."""
        return 1
