"""Forecasters for sharing a pool: learned for small forecast errors, or for cheap decisions, and the table that compares them."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch
from quantile_forest import RandomForestQuantileRegressor
from threadpoolctl import threadpool_limits

from medlib.learned.pool import LEVELS, Pools, pay, share_foresight, share_point, share_pool, share_units
from medlib.nets import QuantileMLP, pinball
from medlib.prepare import expand, shrink
from medlib.train import choose_device, fit_net
from medlib.validate import rank_models

#: Changes on the fourth-root scale are brought near one by this before the network sees them.
UNIT = 0.1


class PoolForecaster:
    """A network that forecasts each site's demand as quantiles, and may learn on from what its decisions cost.

    Parameters
    ----------
    epochs : int
        Times that every period is seen while learning to forecast.
    hidden : int
        Width of the network.
    rate : float
        Highest learning rate; a third of it when learning from decisions.
    seed : int
    """

    def __init__(self, epochs: int = 12, hidden: int = 64, rate: float = 3e-3, seed: int = 1):
        self.epochs, self.hidden, self.rate, self.seed = epochs, hidden, rate, seed

    def fit(self, pools: Pools) -> PoolForecaster:
        """Learn to forecast: least quantile loss, each site's in units, as they are what is moved."""
        features = pools.features.to_numpy()
        self.centre, self.spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        torch.manual_seed(self.seed)
        self.net = QuantileMLP(features.shape[1], len(LEVELS), self.hidden)
        self._learn(pools, 0.0, self.epochs, self.rate)
        return self

    def focus(self, pools: Pools, epochs: int, weight: float = 0.9) -> PoolForecaster:
        """Learn on in a copy: for cheap decisions.

        Parameters
        ----------
        pools : Pools
        epochs : int
            Times that every period is seen.
        weight : float
            Of the decision's cost against that of the forecast's error, in [0, 1]; 0 goes on as before.
        """
        other = copy.deepcopy(self)
        other._learn(pools, weight, epochs, self.rate / 3)
        return other

    def _learn(self, pools: Pools, weight: float, epochs: int, rate: float) -> None:
        """One loss for both: a part the decision's cost, a part the quantile loss, both in units per site."""
        device = choose_device()
        levels, unit_weight = (torch.tensor(part, dtype=torch.float32, device=device) for part in (LEVELS, pools.weight))
        total = np.broadcast_to(pools.total[:, None], pools.demand.shape)
        facts = [pools.demand, pools.capacity, pools.most, pools.anchor, pools.scale, total]
        usual, error = float(pools.demand.mean()), pinball(levels)

        def loss(answer: torch.Tensor, fact: torch.Tensor) -> torch.Tensor:
            demand, capacity, most, anchor, scale, total = fact.unbind(dim=-1)
            quantiles = (anchor[..., None] + UNIT * answer).clamp(min=0.0) ** 4 * scale[..., None]
            missed = error(quantiles, demand)
            if weight:
                units = share_pool(quantiles, levels, capacity, most, total[:, 0], unit_weight, pools.cost)
                short = torch.relu(demand - capacity - units)
                missed = (1 - weight) * missed + weight * (short * unit_weight + pools.cost * units).mean()
            return 100 * missed / usual

        inputs = torch.tensor(self._scale(pools), dtype=torch.float32)
        target = torch.tensor(np.stack(facts, axis=-1), dtype=torch.float32)
        # Few periods make a dozen steps an epoch as well.
        fit_net(self.net, (inputs,), target, loss, epochs, rate, self.seed, batch=int(np.clip(len(target) // 12, 1, 32)))

    def _scale(self, pools: Pools) -> np.ndarray:
        return ((pools.features.to_numpy() - self.centre) / self.spread).reshape(*pools.demand.shape, -1)

    def predict(self, pools: Pools) -> np.ndarray:
        """Quantiles of demand, shape (P, I, L), units."""
        with torch.no_grad(), threadpool_limits(1, "openmp"):
            inputs = torch.tensor(self._scale(pools), dtype=torch.float32, device=choose_device())
            answer = self.net(inputs).cpu().numpy().astype(float)
        return expand(pools.anchor[..., None] + UNIT * answer, pools.scale[..., None])


class PoolForest:
    """A forest whose leaves say which past rows are like a new one; these are its scenarios.

    Parameters
    ----------
    trees, leaf : int
        Trees, and least rows of a leaf.
    rows : int
        At most so many rows are learned from, drawn at random.
    by_units : bool
        Trees split by squared errors weighted by what is at stake, the site's size: decision-aware; else all rows count alike.
    seed : int

    References
    ----------
    Bertsimas and Kallus (2020), From predictive to prescriptive analytics, doi:10.1287/mnsc.2018.3253; Meinshausen (2006), Quantile
    regression forests, JMLR 7:983-999.
    """

    def __init__(self, trees: int = 60, leaf: int = 15, rows: int = 15_000, by_units: bool = False, seed: int = 1):
        self.trees, self.leaf, self.rows, self.by_units, self.seed = trees, leaf, rows, by_units, seed

    def fit(self, pools: Pools) -> PoolForest:
        """Learn changes on the fourth-root scale."""
        change = (shrink(pools.demand, pools.scale) - pools.anchor).ravel()
        chosen = np.random.default_rng(self.seed).permutation(change.size)[:self.rows]
        stake = pools.scale.ravel()[chosen] if self.by_units else None
        self.forest = RandomForestQuantileRegressor(self.trees, min_samples_leaf=self.leaf, max_features=1 / 3, random_state=self.seed)
        self.forest.fit(pools.features.to_numpy(np.float32)[chosen], change[chosen], sample_weight=stake)
        return self

    def predict(self, pools: Pools) -> np.ndarray:
        """Quantiles of demand, shape (P, I, L), units."""
        change = self.forest.predict(pools.features.to_numpy(np.float32), quantiles=list(LEVELS))
        return expand(pools.anchor[..., None] + change.reshape(*pools.demand.shape, -1), pools.scale[..., None])


def try_rules(learn: Pools, judge: Pools, seeds: tuple[int, ...] = (1,), epochs: int = 12, more: int = 12,
              weight: float = 0.9) -> dict[str, pd.DataFrame]:
    """Share the pools of later periods by every rule, each learned from the same earlier ones.

    Parameters
    ----------
    learn, judge : Pools
        Periods to learn from, and later ones to be judged by.
    seeds : tuple of int
        Of networks; what they pay is averaged.
    epochs, more : int
        Of learning to forecast, and of learning on, from decisions or, for an equal chance, from forecast errors.
    weight : float
        As in `PoolForecaster.focus`.

    Returns
    -------
    dict of str to pandas.DataFrame
        By rule, cost, short and moved by date, as from `pay`: nothing, last_value, point (two-stage network, median), quantiles
        (two-stage network), focused (decision-focused network), forest, forest_by_units, foresight.
    """
    last = np.maximum(judge.anchor, 0.0) ** 4 * judge.scale
    units = {"nothing": [np.zeros_like(last)], "last_value": [share_point(judge, last)], "foresight": [share_foresight(judge)]}
    for name, by_units in (("forest", False), ("forest_by_units", True)):
        units[name] = [share_units(judge, PoolForest(by_units=by_units).fit(learn).predict(judge))]
    for seed in seeds:
        first = PoolForecaster(epochs, seed=seed).fit(learn)
        two_stage, focused = (first.focus(learn, more, part).predict(judge) for part in (0.0, weight))
        for name, shared in (("point", share_point(judge, two_stage[..., LEVELS.index(0.5)])), ("quantiles", share_units(judge, two_stage)),
                             ("focused", share_units(judge, focused))):
            units.setdefault(name, []).append(shared)
    return {name: sum(pay(judge, one) for one in shared) / len(shared) for name, shared in units.items()}


def tabulate_regret(paid: dict[str, pd.DataFrame], baseline: str = "quantiles", block: int | None = None, level: float = 0.95,
                    seed: int = 1) -> pd.DataFrame:
    """Mean regret of every rule, and relative to one of them with an interval.

    Parameters
    ----------
    paid : dict of str to pandas.DataFrame
        As from `try_rules`.
    baseline : str
        The rule whose regret is the unit.
    block, level, seed
        As in `medlib.validate.rank_models`: periods are drawn in blocks, the same for all rules.

    Returns
    -------
    pandas.DataFrame
        By rule, the best first: regret (cost above perfect foresight, a period), relative, low, high, cost, short, moved.
    """
    means = pd.DataFrame({name: rows.mean() for name, rows in paid.items()}).T
    regret = pd.DataFrame({name: rows["cost"] - paid["foresight"]["cost"] for name, rows in paid.items() if name != "foresight"})
    ranked = rank_models(regret, baseline, level, block, seed).rename(columns={"relative_wis": "relative", "wis": "regret"})
    return ranked.rename_axis("rule")[["regret", "relative", "low", "high"]].join(means)
