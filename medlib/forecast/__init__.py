"""Demand forecasters with one interface, and their rolling-origin evaluation.

A forecaster learns in `fit(history)`, takes later reports in `observe(history)` without learning anew, and answers
`predict(as_of, horizon)` with quantiles. It refuses an as-of date earlier than what it learned from.
"""

from medlib.forecast.base import LEVELS, Forecaster
from medlib.forecast.combined import Combination
from medlib.forecast.naive import LastValue, SeasonalNaive
from medlib.forecast.rolling import (COMBINED, FORECASTERS, choose_as_of, choose_origins, get_kind, list_forecasters, make_forecaster,
                                     roll_forecasts)
from medlib.forecast.trees import GradientBoosting, RandomForest

__all__ = ["COMBINED", "FORECASTERS", "LEVELS", "Combination", "Forecaster", "GradientBoosting", "LastValue", "RandomForest", "SeasonalNaive",
           "choose_as_of", "choose_origins", "get_kind", "list_forecasters", "make_forecaster", "roll_forecasts"]
