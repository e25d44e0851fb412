r"""A pool of mobile units, shared among sites before demand is known.

.. math:: \min_x \; E \sum_i w_i (d_i - c_i - x_i)^+ + k \sum_i x_i \quad \text{s. t.} \quad \sum_i x_i \le P, \; 0 \le x_i \le m_i

With demand d (units), capacity c, pool P, most units m that a site can take, weights w of a unit short and cost k of a unit moved. The
problem falls apart by site but for the pool's price :math:`\lambda`, so that only each site's own quantile function Q matters:

.. math:: x_i(\lambda) = \min\big(m_i, \max(0, Q_i(1 - (k + \lambda) / w_i) - c_i)\big)

which is the newsvendor's answer, and :math:`\lambda` is the least price at least 0 at which the pool suffices.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch

from medlib.calendar import infer_period
from medlib.errors import MedlibError
from medlib.prepare import fill_start, list_lags, make_features

#: Of the quantiles that a decision is made from.
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Halvings of the interval that holds the price.
HALVINGS = 30
#: Periods of which a site's usual demand is the mean, where no capacity is given.
USUAL = {"D": 56, "M": 12}


@dataclass(frozen=True)
class Pools:
    """Sharing decisions of many periods. Axes: period (P), site (I).

    Parameters
    ----------
    dates : pandas.DatetimeIndex
        Shape (P,): the periods that the units are needed in.
    sites : pandas.Index
        Shape (I,).
    demand, capacity, most : numpy.ndarray
        Shape (P, I): units needed, units there, most units that a site can take.
    total : numpy.ndarray
        Shape (P,): units in the pool.
    weight : numpy.ndarray
        Shape (I,): cost of a unit short.
    cost : float
        Of a unit moved, less than every weight.
    ahead : int
        Periods between the decision and the need.
    features : pandas.DataFrame
        P * I rows: what is known when the units are shared, sites running fastest.
    anchor, scale : numpy.ndarray
        Shape (P, I): what changes are counted from on the fourth-root scale, and units by which levels are divided.
    """

    dates: pd.DatetimeIndex
    sites: pd.Index
    demand: np.ndarray
    capacity: np.ndarray
    most: np.ndarray
    total: np.ndarray
    weight: np.ndarray
    cost: float
    ahead: int
    features: pd.DataFrame
    anchor: np.ndarray
    scale: np.ndarray

    def __post_init__(self):
        if not 0 <= self.cost < self.weight.min():
            raise MedlibError(f"A unit moved must cost at least 0 and less than any unit short ({self.weight.min():g}); got {self.cost:g}.")

    def split(self, judged: int) -> tuple[Pools, Pools]:
        """Divide into earlier periods to learn from and the last ones to judge by; what was not known by then is left out.

        Raises
        ------
        MedlibError
            Nothing would be left to learn from.
        """
        first = len(self.dates) - judged
        if first <= self.ahead or judged < 1:
            raise MedlibError(f"Periods to judge by must lie in 1 to {len(self.dates) - self.ahead - 1}; got {judged}.")
        return self.take(slice(first - self.ahead)), self.take(slice(first, None))

    def take(self, chosen: slice) -> Pools:
        """Some of the periods."""
        rows = np.arange(self.demand.size).reshape(self.demand.shape)[chosen].ravel()
        parts = {part.name: getattr(self, part.name)[chosen] for part in fields(self) if part.name not in
                 ("sites", "weight", "cost", "ahead", "features")}
        return replace(self, **parts, features=self.features.iloc[rows].reset_index(drop=True))


def pose_pools(demand: pd.DataFrame, ahead: int, share: float = 0.03, most: float = 0.2, cost: float = 0.1,
               capacity: pd.DataFrame | None = None) -> Pools:
    """Pose the sharing decision of every period that has enough history.

    Parameters
    ----------
    demand : pandas.DataFrame
        Wide demand of one resource, as from `medlib.prepare.widen`.
    ahead : int
        Periods from the decision to the need.
    share : float
        Size of the pool as a share of all sites' usual demand.
    most : float
        Most units that a site can take, as a share of its capacity.
    cost : float
        Of a unit moved; a unit short costs 1.
    capacity : pandas.DataFrame, optional
        Units there in each period, a column a site; the last value known when deciding counts. Left out: each site is staffed for its
        usual demand, the mean of the last eight weeks (of months: the last twelve).

    Returns
    -------
    Pools

    Raises
    ------
    MedlibError
        There are several resources, or too few periods.
    """
    if demand.columns.get_level_values("resource").nunique() != 1:
        raise MedlibError("A pool is shared of one resource; choose the columns of one.")
    period, wide = infer_period(demand.index), fill_start(demand.ffill())
    usual = wide.rolling(USUAL.get(period[0], 8), min_periods=1).mean().to_numpy()
    first = max(list_lags(period)[-1], USUAL.get(period[0], 8))
    if len(wide) <= first + ahead:
        raise MedlibError(f"Sharing decisions need more than {first + ahead} periods of history; got {len(wide)}.")
    origins = np.arange(first, len(wide) - ahead)
    features, scale = make_features(wide, origins, ahead, period)
    count = wide.shape[1]
    rows = np.arange(len(features)).reshape(len(origins), ahead, count)[:, -1].ravel()
    features, scale = features.iloc[rows].reset_index(drop=True), scale[rows].reshape(-1, count)
    sites = wide.columns.get_level_values("site")
    there = usual[origins] if capacity is None else capacity[sites].ffill().bfill().reindex(wide.index).to_numpy()[origins]
    features["capacity"] = (there / scale).ravel() ** 0.25 - features["level"]
    anchor = (features["level"] + features["same_season"]).to_numpy().reshape(-1, count)
    phase = [name for name in ("weekday", "month") if name in features]
    coded = pd.get_dummies(features.drop(columns=["ahead", "resource"]), columns=phase, dtype=float)
    return Pools(dates=wide.index[origins + ahead], sites=sites, demand=wide.to_numpy()[origins + ahead], capacity=there,
                 most=most * there, total=share * usual[origins].sum(axis=1), weight=np.ones(count), cost=cost, ahead=ahead, features=coded,
                 anchor=anchor, scale=scale)


def share_pool(quantiles: torch.Tensor, levels: torch.Tensor, capacity: torch.Tensor, most: torch.Tensor, total: torch.Tensor,
               weight: torch.Tensor, cost: float) -> torch.Tensor:
    r"""Share the pool so that expected cost is least, given each site's quantiles; can be differentiated.

    Between levels, quantiles are interpolated; below the lowest they fall to no demand, above the highest they go on as before. The
    price is found by bisection, for all examples at once. Its derivative is exact, by the implicit function theorem: where the pool is
    used up, a site that asks for more raises the price for all that could take more or less,

    .. math:: dx_i = \partial x_i - \frac{x_i'(\lambda)}{\sum_j x_j'(\lambda)} \sum_j \partial x_j

    Parameters
    ----------
    quantiles : torch.Tensor
        Shape (P, I, L), units, ascending.
    levels : torch.Tensor
        Shape (L,).
    capacity, most : torch.Tensor
        Shape (P, I).
    total : torch.Tensor
        Shape (P,).
    weight : torch.Tensor
        Shape (I,).
    cost : float

    Returns
    -------
    torch.Tensor
        Shape (P, I): units to each site.

    References
    ----------
    Donti, Amos, Kolter (2017), arXiv:1703.04529; Mandi et al. (2024), arXiv:2307.13565 (derivatives of decisions).
    """
    knots = torch.cat([torch.zeros_like(levels[:1]), levels, torch.ones_like(levels[:1])])
    beyond = quantiles[..., -1:] + (quantiles[..., -1:] - quantiles[..., -2:-1]) * (1 - levels[-1]) / (levels[-1] - levels[-2])
    heights = torch.cat([torch.zeros_like(quantiles[..., :1]), quantiles, beyond], dim=-1)

    def ask(price: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Units that each site asks for at a price (P,), and by how much fewer if the price rises by one."""
        level = (1 - (cost + price[:, None]) / weight).clamp(0.0, 1.0)
        place = (torch.searchsorted(knots, level.detach().contiguous()) - 1).clamp(0, len(knots) - 2)
        low, high = (heights.gather(2, (place + step)[..., None])[..., 0] for step in (0, 1))
        slope = (high - low) / (knots[place + 1] - knots[place])
        free = low + slope * (level - knots[place]) - capacity
        asked = torch.minimum(free.clamp(min=0.0), most)
        return asked, torch.where((free > 0) & (free < most), slope / weight, 0.0).detach()

    with torch.no_grad():
        low, high = torch.zeros_like(total), torch.full_like(total, float(weight.max()) - cost)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            scarce = ask(middle)[0].sum(dim=1) > total
            low, high = torch.where(scarce, middle, low), torch.where(scarce, high, middle)
        price = torch.where(ask(torch.zeros_like(total))[0].sum(dim=1) > total, high, 0.0)
    asked, gives = ask(price)
    over = torch.where(price > 0, asked.sum(dim=1) - total, 0.0)
    return asked - gives / gives.sum(dim=1, keepdim=True).clamp(min=1e-12) * over[:, None]


def share_units(pools: Pools, quantiles: np.ndarray, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
    """Share each period's pool by quantiles (P, I, L) as `share_pool`; shape (P, I)."""
    parts = (quantiles, levels, pools.capacity, pools.most, pools.total, pools.weight)
    return share_pool(*(torch.as_tensor(np.asarray(part), dtype=torch.float64) for part in parts), pools.cost).numpy()


def share_point(pools: Pools, point: np.ndarray) -> np.ndarray:
    """Share each period's pool as if a point forecast (P, I) were certain, scarce units in proportion; shape (P, I)."""
    wanted = np.clip(point - pools.capacity, 0.0, pools.most)
    return wanted * np.minimum(1.0, pools.total / np.maximum(wanted.sum(axis=1), 1e-9))[:, None]


def share_foresight(pools: Pools) -> np.ndarray:
    """The best sharing had demand been known: the dearest shortage first; shape (P, I)."""
    order = np.argsort(-pools.weight, kind="stable")
    wanted = np.clip(pools.demand - pools.capacity, 0.0, pools.most)[:, order]
    before = np.cumsum(wanted, axis=1) - wanted
    units = np.empty_like(wanted)
    units[:, order] = np.clip(pools.total[:, None] - before, 0.0, wanted)
    return units


def pay(pools: Pools, units: np.ndarray) -> pd.DataFrame:
    """What shared units (P, I) led to: cost, short (units) and moved (units) by date."""
    short = np.maximum(pools.demand - pools.capacity - units, 0.0)
    moved = units.sum(axis=1)
    return pd.DataFrame({"cost": short @ pools.weight + pools.cost * moved, "short": short.sum(axis=1), "moved": moved}, index=pools.dates)
