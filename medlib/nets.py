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


class HourlyGRU(nn.Module):
    """A gated recurrent unit over the hours of a stay; after each hour the log-odds that the stay will end badly.

    Parameters
    ----------
    inputs : int
        Numbers an hour.
    hidden : int
        Width.
    dropout : float
        Share of the recurrent unit's answer, and half that share of the inputs, that is dropped in training.
    prior : float
        Log-odds to begin with: those of all stays together, so that the probabilities need not find their level first.

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078 (the unit); Lipton et al. (2016), arXiv:1511.03677 (an answer after every hour).
    """

    def __init__(self, inputs: int, hidden: int = 32, dropout: float = 0.4, prior: float = 0.0):
        super().__init__()
        self.thin, self.drop = nn.Dropout(dropout / 2), nn.Dropout(dropout)
        self.unit = nn.GRU(inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        nn.init.constant_(self.head.bias, prior)

    def forward(self, hours: torch.Tensor) -> torch.Tensor:
        """Shape (stays, hours), from hours (stays, hours, inputs)."""
        return self.head(self.drop(self.unit(self.thin(hours))[0])).squeeze(-1)


def follow_hours(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of log-odds (stays, hours) and outcomes (stays,): half of it the last hour's, half the mean of all hours."""
    miss = nn.functional.binary_cross_entropy_with_logits(answer, target[:, None].expand_as(answer), reduction="none")
    return (miss[:, -1].mean() + miss.mean()) / 2


class PictureCNN(nn.Module):
    """A small convolutional network: three times two layers, each pair half as fine as the one before; what is there on average and at most.

    Parameters
    ----------
    classes : int
    width : int
        Filters of the first layers.
    dropout : float
        Share of features that are left out before the answer.
    """

    def __init__(self, classes: int, width: int = 20, dropout: float = 0.3):
        super().__init__()
        sizes = (3, width, width, 2 * width, 2 * width, 4 * width, 4 * width)
        layers = []
        for number, (before, after) in enumerate(zip(sizes, sizes[1:])):
            layers += [nn.Conv2d(before, after, 3, 1 if number % 2 else 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.look = nn.Sequential(*layers)
        self.answer = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, classes))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Log-odds (pictures, classes) of pictures (pictures, 3, height, width) with values from 0 to 1."""
        found = self.look(pictures)
        return self.answer(torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1))
