"""Networks, and nothing about training them."""

from __future__ import annotations

import torch
from torch import nn


class QuantileGRU(nn.Module):
    """A gated recurrent unit over the last periods, then quantiles of what comes, which cannot cross.

    Parameters
    ----------
    inputs, traits : int
        Numbers a period, and numbers that describe the series as a whole.
    horizon : int
        Periods ahead.
    levels : int
        Quantiles; the middle one is answered itself, the others as steps away from it.
    hidden : int
        Width.
    dropout : float
        Share of the recurrent unit's answer that is dropped in training.

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078 (the unit); Wen et al. (2017), arXiv:1711.11053 (quantiles of all horizons at once).
    """

    def __init__(self, inputs: int, traits: int, horizon: int, levels: int, hidden: int = 64, dropout: float = 0.4):
        super().__init__()
        self.shape = (horizon, levels)
        self.unit = nn.GRU(inputs, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.Linear(hidden + traits, hidden), nn.ReLU(), nn.Dropout(dropout / 2),
                                  nn.Linear(hidden, horizon * levels))

    def forward(self, past: torch.Tensor, traits: torch.Tensor) -> torch.Tensor:
        """Shape (examples, horizon, levels), from past (examples, periods, inputs) and traits (examples, traits)."""
        last = self.drop(self.unit(past)[0][:, -1])
        answer = self.head(torch.cat([last, traits], dim=1)).view(-1, *self.shape)
        middle = self.shape[1] // 2
        # Steps begin small, so that the first forecasts are narrow and learn to be as wide as they must.
        steps = nn.functional.softplus(answer - 2.5)
        below = steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
        centre = answer[..., middle:middle + 1]
        return torch.cat([centre - below, centre, centre + steps[..., middle + 1:].cumsum(-1)], dim=-1)


def pinball(levels: torch.Tensor):
    """Quantile loss at these levels: of answers (..., levels) and targets (...); its mean."""
    def loss(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        miss = target[..., None] - answer
        return torch.maximum(levels * miss, (levels - 1) * miss).mean()
    return loss
