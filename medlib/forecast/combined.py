"""Several forecasters' forecasts made one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.errors import MedlibError
from medlib.forecast.base import Forecaster


class Combination(Forecaster):
    """The mean of several forecasters' quantiles.

    Parameters
    ----------
    members : sequence of Forecaster
        With the same horizon and levels.

    References
    ----------
    Lichtendahl, Grushka-Cockayne, Winkler (2013), Is it better to average probabilities or quantiles?, Management Science 59.
    """

    name = "combination"

    def __init__(self, members: Sequence[Forecaster]):
        if not members or len({(member.horizon, member.levels) for member in members}) > 1:
            raise MedlibError("A combination needs at least one forecaster, all with the same horizon and levels.")
        super().__init__(members[0].horizon, members[0].levels)
        self.members = list(members)

    def observe(self, history: pd.DataFrame) -> Combination:
        """Let every member see; see `Forecaster.observe`."""
        super().observe(history)
        for member in self.members:
            member.observe(history)
        return self

    def _learn(self) -> None:
        for member in self.members:
            member.learn()

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        return np.mean([np.sort(member._forecast(known, horizon), axis=-1) for member in self.members], axis=0)
