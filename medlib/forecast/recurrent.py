"""A recurrent network pooled over all series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from medlib.forecast.pooled import PooledForecaster
from medlib.nets import QuantileGRU, pinball
from medlib.prepare import expand, find_anchors, measure_scale, shrink
from medlib.train import choose_device, fit_net

#: Periods that the network looks back, by kind of period.
LOOK_BACK = {"D": 28, "W": 16, "M": 12}
#: Changes on the fourth-root scale are brought near one by this before the network sees them.
UNIT = 0.1


class RecurrentNetwork(PooledForecaster):
    """Gated recurrent units on the last periods of each series and of all together; the mean of several networks' quantiles.

    Fitted once, it learns on from where it is when `fit` is called again with a longer history.

    Parameters
    ----------
    horizon : int
        The most periods ahead that will be asked for.
    nets : int
        Networks, each from another seed.
    epochs, more_epochs : int
        Times that every example is seen at first, and when learning on.
    hidden, dropout, noise
        As in `QuantileGRU` and `fit_net`.
    examples : int
        At most so many examples, own series first.
    **more
        Of `PooledForecaster`.
    """

    name = "recurrent_network"

    def __init__(self, horizon: int, nets: int = 3, epochs: int = 8, more_epochs: int = 8, hidden: int = 64, dropout: float = 0.4,
                 noise: float = 0.15, examples: int = 40_000, **more):
        super().__init__(horizon, **more)
        self.count, self.epochs, self.more_epochs, self.hidden = nets, epochs, more_epochs, hidden
        self.dropout, self.noise, self.examples, self.nets = dropout, noise, examples, []

    @staticmethod
    def look_back(period: str) -> int:
        """As `PooledForecaster.look_back`."""
        return LOOK_BACK[period[0]]

    def _learn(self) -> None:
        self.require_history()
        first = self.look_back(self.period)
        random, known = np.random.default_rng(self.seed), bool(self.nets)
        self.resources = self.wide.columns.get_level_values("resource").unique()
        parts, left = [], self.examples
        for number, (wide, teaches) in enumerate(self.list_sources()):
            origins = np.arange(first, len(wide) - self.horizon)
            ahead = origins[:, None] + np.arange(1, self.horizon + 1)
            usable = teaches[ahead].all(axis=1).reshape(-1)
            # When learning on, a part of the analogues is enough to keep in mind what they taught.
            most = left if not (known and number) else min(left, len(parts[0][2]) // 3)
            chosen = np.flatnonzero(usable)
            if len(chosen) > most:
                chosen = np.sort(random.choice(chosen, most, replace=False))
            origin, series = np.divmod(chosen, wide.shape[1])
            past, traits, anchor, scale = self._describe(wide, origins[origin], series, number > 0)
            change = shrink(wide.to_numpy()[ahead[origin], series[:, None]], scale[:, None]) - anchor
            parts.append((past, traits, change / UNIT))
            left -= len(chosen)
        past, traits, change = (torch.tensor(np.concatenate(part), dtype=torch.float32) for part in zip(*parts))
        self.require_examples(len(change))
        if not known:
            for number in range(self.count):
                torch.manual_seed(self.seed + number)
                self.nets.append(QuantileGRU(past.shape[2], traits.shape[1], self.horizon, len(self.levels), self.hidden, self.dropout))
        loss = pinball(torch.tensor(self.levels, device=choose_device()))
        for number, net in enumerate(self.nets):
            fit_net(net, (past, traits), change, loss, self.more_epochs if known else self.epochs, 1e-3 if known else 3e-3,
                    self.seed + number, noise=self.noise)

    def _describe(self, wide: pd.DataFrame, origins: np.ndarray, series: np.ndarray, analogue: bool) -> tuple[np.ndarray, ...]:
        """Past (examples, periods, 4), traits (examples, traits), anchors (examples, horizon), scale (examples,) of series at origins."""
        values, scales = wide.to_numpy(), measure_scale(wide, self.period, self.measure_sizes(wide))
        names = wide.columns.get_level_values("resource")
        codes = self.resources.get_indexer(names)
        total = np.stack([values[:, codes == code].sum(axis=1) for code in range(len(self.resources))], axis=1)
        total_scale = np.stack([scales[:, codes == code].sum(axis=1) for code in range(len(self.resources))], axis=1)
        back, code = origins[:, None] - np.arange(self.look_back(self.period), -1, -1), codes[series]
        scale = scales[origins, series]
        own = shrink(values[back, series[:, None]], scale[:, None])
        with np.errstate(invalid="ignore"):
            common = np.nan_to_num(shrink(total[back, code[:, None]], total_scale[origins, code][:, None]))
        past = [(own - own[:, -1:])[:, 1:] / (2 * UNIT), np.diff(own) / UNIT, (common - common[:, -1:])[:, 1:] / (2 * UNIT),
                np.diff(common) / UNIT]
        traits = [own[:, -1] - 1.0, common[:, -1] - 1.0, (np.log10(scale) - np.log10(np.median(scales[-1]))) / 2,
                  np.full(len(series), float(analogue)), *(code == number for number in range(len(self.resources)))]
        if self.period == "D":
            weekday = wide.index.day_of_week.to_numpy()[origins]
            traits += [weekday == day for day in range(7)]
        if self.period == "MS":
            month = 2 * np.pi * wide.index.month.to_numpy()[origins] / 12
            traits += [np.sin(month), np.cos(month)]
        anchors = values[find_anchors(origins, self.horizon, self.period), series[:, None]]
        return np.stack(past, axis=-1), np.stack(traits, axis=-1).astype(float), shrink(anchors, scale[:, None]), scale

    def _forecast(self, known: pd.DataFrame, horizon: int) -> np.ndarray:
        count = known.shape[1]
        past, traits, anchor, scale = self._describe(known, np.full(count, len(known) - 1), np.arange(count), False)
        device = choose_device()
        with torch.no_grad():
            answers = [net(*(torch.tensor(part, dtype=torch.float32, device=device) for part in (past, traits))).cpu().numpy()
                       for net in self.nets]
        change = np.mean(answers, axis=0) * UNIT
        return expand(anchor[:, :, None] + change, scale[:, None, None]).transpose(1, 0, 2)[:horizon]
