"""Forecasters of many trees, pooled over all sites and resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from medlib.forecast.base import LEVELS
from medlib.forecast.pooled import PooledForecaster
from medlib.prepare import expand, find_anchors, list_lags, make_features, shrink


class TreeForecaster(PooledForecaster):
    """Trees on lag, trend and calendar features; rows for all periods ahead in one model.

    It learns the change from the last value (of months: from the same month's) on the fourth-root scale, divided by its spread at
    that distance ahead, so that one model serves small and large sites and all distances.

    Parameters
    ----------
    horizon, levels, sizes, analogues, seed
        As in `PooledForecaster`.
    rows : int
        At most so many training rows, drawn at random.
    trends : bool
        Describe trends, as in `medlib.prepare.make_features`; then the season is told only where analogues teach it: two or three
        seasons would be learned by heart.
    """

    def __init__(self, horizon: int, levels: Sequence[float] = LEVELS, sizes: Mapping[str, float] | None = None,
                 analogues: pd.DataFrame | None = None, seed: int = 1, rows: int = 24_000, trends: bool = False):
        super().__init__(horizon, levels, sizes, analogues, seed)
        self.rows, self.trends = rows, trends

    @staticmethod
    def look_back(period: str) -> int:
        """As `PooledForecaster.look_back`."""
        return list_lags(period)[-1]

    def _learn(self) -> None:
        self.require_history()
        first = self.look_back(self.period)
        random = np.random.default_rng(self.seed)
        sources = self.list_sources()
        self.resources = sources[0][0].columns.get_level_values("resource").unique().tolist()
        self.spread, parts = np.ones(self.horizon), []
        # Every example counts alike, whatever it comes from: a few own seasons would be learned by heart.
        lessons = np.array([teaches[first:].sum() for _, teaches in sources])
        for number, (wide, teaches) in enumerate(sources):
            rows = round(self.rows * lessons[number] / max(lessons.sum(), 1))
            wanted = max(20, -(-2 * rows // (self.horizon * wide.shape[1])))
            origins = np.arange(first, len(wide) - self.horizon)
            if len(origins) > wanted:
                origins = np.sort(random.choice(origins, wanted, replace=False))
            features, target = self.make_rows(wide, origins)
            if number == 0:
                self.spread = target.reshape(len(origins), self.horizon, -1).std(axis=(0, 2)) + 1e-9
                target = target / np.tile(np.repeat(self.spread, wide.shape[1]), len(origins))
            usable = np.flatnonzero(teaches[origins[:, None] + np.arange(1, self.horizon + 1)].reshape(-1))
            if len(usable) > rows:
                usable = np.sort(random.choice(usable, rows, replace=False))
            parts.append((features.iloc[usable], target[usable]))
        self.require_examples(sum(len(target) for _, target in parts))
        self.model = self._fit(np.concatenate([features.to_numpy() for features, _ in parts]),
                               np.concatenate([target for _, target in parts]))

    def make_rows(self, wide: pd.DataFrame, origins: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Features at the origins, and the changes that followed as the trees learn them (divided by their spread)."""
        features, scale = self.describe(wide, origins, self.horizon)
        values, ahead = wide.to_numpy(), origins[:, None] + np.arange(1, self.horizon + 1)
        anchors = find_anchors(origins, self.horizon, self.period)
        change = shrink(values[ahead].reshape(-1), scale) - shrink(values[anchors].reshape(-1), scale)
        return features, change / np.tile(np.repeat(self.spread, wide.shape[1]), len(origins))

    def describe(self, wide: pd.DataFrame, origins: np.ndarray, horizon: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Features at the origins as the trees see them, and each row's scale."""
        return make_features(wide, origins, horizon, self.period, self.resources, self.measure_sizes(wide), self.trends,
                             season=not self.trends or self.analogues is not None)

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        origin = np.array([len(known) - 1])
        features, scale = self.describe(known, origin, horizon)
        anchor = shrink(known.to_numpy()[find_anchors(origin, horizon, self.period)].reshape(-1), scale)
        change = self._predict(features.to_numpy()) * np.repeat(self.spread[:horizon], known.shape[1])[:, None]
        quantiles = expand(anchor[:, None] + change, scale[:, None])
        return quantiles.reshape(horizon, known.shape[1], len(self.levels))

    def _fit(self, features: np.ndarray, change: np.ndarray):
        """Return a fitted model."""
        raise NotImplementedError

    def _predict(self, features: np.ndarray) -> np.ndarray:
        """Quantiles of the change, shape (rows, levels)."""
        raise NotImplementedError


class RandomForest(TreeForecaster):
    """A quantile random forest: the training rows in a leaf are the forecast distribution.

    Parameters
    ----------
    horizon, trees, leaf, rows, seed
        Number of trees; fewest training rows in a leaf; the others as in `TreeForecaster`.
    extra : bool
        Extremely randomised trees: cuts drawn at random, which smooths and takes a fraction of the time.
    **more
        Of `TreeForecaster`.

    References
    ----------
    Meinshausen (2006), Quantile Regression Forests, JMLR 7:983-999; Johnson (2024), quantile-forest, JOSS 9(93):5976;
    Geurts, Ernst, Wehenkel (2006), Extremely randomized trees, Machine Learning 63:3-42.
    """

    name = "random_forest"

    def __init__(self, horizon: int, trees: int = 100, leaf: int = 20, rows: int = 24_000, seed: int = 1, extra: bool = False, **more):
        super().__init__(horizon, seed=seed, rows=rows, **more)
        self.trees, self.leaf, self.extra = trees, leaf, extra

    def _fit(self, features: np.ndarray, change: np.ndarray):
        # Loading it takes as long as all the rest, and most of those who load this module train nothing.
        from quantile_forest import ExtraTreesQuantileRegressor, RandomForestQuantileRegressor
        kind = ExtraTreesQuantileRegressor if self.extra else RandomForestQuantileRegressor
        forest = kind(n_estimators=self.trees, min_samples_leaf=self.leaf, max_features=0.5, n_jobs=-1, random_state=self.seed)
        return forest.fit(features, change)

    def _predict(self, features: np.ndarray) -> np.ndarray:
        return self.model.predict(features, quantiles=list(self.levels)).reshape(len(features), -1)


class GradientBoosting(TreeForecaster):
    """Gradient-boosted trees, one ensemble a quantile; levels beyond seven are read off between them on the normal scale.

    Parameters
    ----------
    horizon : int
        The most periods ahead that will be asked for.
    rounds : int
        Trees in each ensemble.
    **more
        Of `TreeForecaster`.

    References
    ----------
    Friedman (2001), Greedy function approximation, Annals of Statistics 29:1189-1232; scikit-learn's histogram form of it.
    """

    name = "gradient_boosting"

    def __init__(self, horizon: int, rounds: int = 60, **more):
        super().__init__(horizon, **more)
        self.rounds = rounds

    def _fit(self, features: np.ndarray, change: np.ndarray):
        from sklearn.ensemble import HistGradientBoostingRegressor
        levels = np.array(self.levels)
        self.fitted = levels if len(levels) <= 7 else levels[np.linspace(0, len(levels) - 1, 7).round().astype(int)]
        # Fits are small: on a busy machine, threads that wait for each other cost far more time than they save.
        with threadpool_limits(1, "openmp"):
            return [HistGradientBoostingRegressor(
                loss="quantile", quantile=level, max_iter=self.rounds, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=50,
                early_stopping=False, random_state=self.seed).fit(features, change) for level in self.fitted]

    def _predict(self, features: np.ndarray) -> np.ndarray:
        fitted = np.sort(np.stack([ensemble.predict(features) for ensemble in self.model], axis=-1), axis=-1)
        at, wanted = ndtri(self.fitted), ndtri(self.levels)
        return np.stack([np.interp(wanted, at, row) for row in fitted])
