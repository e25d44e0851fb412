"""What forecasters share that learn from all series together: sizes, and other series that went through the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medlib.errors import MedlibError
from medlib.forecast.base import LEVELS, Forecaster, list_teaching
from medlib.prepare import fill_start, shrink, widen


class PooledForecaster(Forecaster):
    """A forecaster that learns changes on the fourth-root scale (see `medlib.prepare.find_anchors`) from all series together.

    Parameters
    ----------
    horizon, levels
        As in `Forecaster`.
    sizes : mapping of str to float, optional
        What a site's demand is measured by, population served, say; left out: its own mean of the last year.
    analogues : pandas.DataFrame, optional
        A `demand` table of other series with the same period, whose past teaches, too: a longer history of something that goes
        through the same waves. With `sizes` its sites need one, too. What lies after the history's last period is not looked at.
    seed : int
        Of everything drawn at random.
    """

    def __init__(self, horizon: int, levels: Sequence[float] = LEVELS, sizes: Mapping[str, float] | None = None,
                 analogues: pd.DataFrame | None = None, seed: int = 1):
        super().__init__(horizon, levels)
        self.sizes, self.analogues, self.seed = sizes, analogues, seed

    def measure_sizes(self, wide: pd.DataFrame) -> np.ndarray | None:
        """Shape (series,): sizes of the series' sites.

        Raises
        ------
        MedlibError
            A site has no size, or none above 0.
        """
        if self.sizes is None:
            return None
        sites = wide.columns.get_level_values("site")
        sizes = sites.map(dict(self.sizes)).to_numpy(float)
        if not (sizes > 0).all():
            raise MedlibError(f"Every site needs a size above 0; {sites[~(sizes > 0)][0]!r} has none.")
        return sizes

    @staticmethod
    def look_back(period: str) -> int:
        """Periods before an as-of date that a forecast looks at."""
        raise NotImplementedError

    @classmethod
    def count_needed(cls, period: str, horizon: int, origins: int = 21) -> int:
        """Periods of history that give so many as-of dates to learn from."""
        return cls.look_back(period) + horizon + origins

    def require_history(self) -> None:
        """Refuse a history that is too short to learn from; where analogues teach, too, one as-of date is enough."""
        least = self.count_needed(self.period, self.horizon, 21 if self.analogues is None else 1)
        if len(self.wide) < least:
            raise MedlibError(f"The forecaster {self.name} needs at least {least} periods of history for a horizon of {self.horizon}; "
                              f"got {len(self.wide)}.")

    def require_examples(self, count: int) -> None:
        """Refuse a history of which nothing may be learned from."""
        if not count:
            raise MedlibError(f"The forecaster {self.name} has nothing to learn from: no series has reports that teach "
                              f"(column learn) for a whole horizon of {self.horizon}.")

    def list_sources(self) -> list[tuple[pd.DataFrame, np.ndarray]]:
        """What can be learned from: wide demand, and which values teach; own series first, then analogues at the own level."""
        own = fill_start(self.wide)
        sources = [(own, self.teaches)]
        if self.analogues is not None:
            known = self.analogues[self.analogues["date"] <= self.wide.index[-1]]
            if len(known):
                other = widen(known)
                sources.append((match_level(other, own, self.measure_sizes(other), self.measure_sizes(own)),
                                list_teaching(known, other)))
        return sources


def match_level(other: pd.DataFrame, own: pd.DataFrame, other_sizes: np.ndarray | None, own_sizes: np.ndarray | None) -> pd.DataFrame:
    """Give other series the own series' mean and spread on the fourth-root scale; what is missing repeats what was last known."""
    rooted = other.ffill().bfill() ** 0.25
    rooted = ((rooted - rooted.mean()) / rooted.std().replace(0.0, 1.0)).fillna(0.0)
    levels = shrink(own.to_numpy(), np.ones(own.shape[1]) if own_sizes is None else own_sizes)
    matched = (rooted * levels.std() + levels.mean()).clip(lower=0.0) ** 4
    return matched if other_sizes is None else matched * other_sizes
