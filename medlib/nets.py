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
        return spread_levels(answer)


def spread_levels(answer: torch.Tensor) -> torch.Tensor:
    """Turn free numbers (..., levels) into ascending quantiles: the middle one itself, the others as steps away from it."""
    middle = answer.shape[-1] // 2
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
    """A small convolutional network: three times two layers, each pair half as fine as the one before.

    The answer comes from what each last filter found on average and at most.

    Parameters
    ----------
    classes : int
    width : int
        Filters of the first layers; multiples of 16 run fastest.
    dropout : float
        Share of features that are left out before the answer.
    """

    def __init__(self, classes: int, width: int = 16, dropout: float = 0.3):
        super().__init__()
        sizes = (3, width, width, 2 * width, 2 * width, 4 * width, 4 * width)
        layers = []
        for number, (before, after) in enumerate(zip(sizes, sizes[1:])):
            layers += [nn.Conv2d(before, after, 3, 1 if number % 2 else 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.look = nn.Sequential(*layers)
        self.answer = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, classes))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Log-odds (pictures, classes) of pictures (pictures, 3, height, width) with values from 0 to 1."""
        return self.judge(self.look(pictures))

    def judge(self, found: torch.Tensor) -> torch.Tensor:
        """Log-odds (pictures, classes) of what the last filters found (pictures, filters, height, width)."""
        return self.answer(torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1))


class TextTransformer(nn.Module):
    """A small Transformer encoder over words; a word is the sum of its parts, so that one never seen still means something.

    Parameters
    ----------
    classes : int
    parts : int
        Different parts of words; part 0 is no part.
    longest : int
        Most words of a text.
    width, layers, heads : int
        Numbers a word, layers of attention, and heads of each.
    dropout : float
        Share of numbers that are left out while learning.
    skip : float
        Share of words that are left out while learning.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; Bojanowski et al. (2017), Enriching word vectors with subword information, arXiv:1607.04606.
    """

    def __init__(self, classes: int, parts: int, longest: int, width: int, layers: int, heads: int, dropout: float, skip: float):
        super().__init__()
        self.skip = skip
        self.parts = nn.EmbeddingBag(parts, width, mode="sum", padding_idx=0)
        self.places = nn.Embedding(longest, width)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
                                    for _ in range(layers))
        self.drop, self.norm = nn.Dropout(dropout), nn.LayerNorm(2 * width)
        self.answer = nn.Linear(2 * width, classes)
        # Parts never seen while learning must not shout.
        nn.init.normal_(self.parts.weight, std=0.1)
        nn.init.zeros_(self.parts.weight[0])
        nn.init.normal_(self.places.weight, std=0.05)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Log-odds (texts, classes) of texts (texts, words, parts): positions of the words' parts, 0 where there are no more."""
        words = words[:, :int((words[:, :, 0] > 0).sum(dim=1).max().clamp(min=1))]
        there = words[:, :, 0] > 0
        if self.training:
            there = there & (torch.rand(there.shape, device=there.device) >= self.skip)
        # Attention has to go somewhere: of no words the first place is read.
        there[:, 0] |= ~there.any(dim=1)
        first, last, _ = self.read(words, there)
        average = lambda values: (values * there[:, :, None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
        return self.answer(self.drop(self.norm(torch.cat([average(last), average(first)], dim=1))))

    def read(self, words: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Words before and after the layers, (texts, words, width), and each layer's attention, (texts, heads, words, words)."""
        texts, count, parts = words.shape
        summed = self.parts(words.reshape(-1, parts)) / (words > 0).sum(dim=2).reshape(-1, 1).clamp(min=1).sqrt()
        first = last = self.drop(summed.view(texts, count, -1) + self.places.weight[:count])
        attention = []
        for layer in self.layers:
            if not self.training:
                asked = layer.norm1(last)
                attention.append(layer.self_attn(asked, asked, asked, key_padding_mask=~there, average_attn_weights=False)[1])
            last = layer(last, src_key_padding_mask=~there)
        return first, last, attention


class Committee(nn.Module):
    """Networks that learned alone and answer together: the mean of their log-odds."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Shape as each member's."""
        return torch.stack([member(*inputs) for member in self.members]).mean(dim=0)


class FlowNet(nn.Module):
    """Who sends how much to whom today: a graph network, the same for every site and for any number of sites.

    Every site mixes what it knows with what its linked sites know, those that it sends to and those that send to it, and with the mean
    of all. Then it sends a share of what it may send, divided over its links by attention. Named in another order, the sites get the
    same flows.

    Parameters
    ----------
    inputs : int
        Numbers a site.
    width, layers : int
        Numbers a site within the network, and rounds of mixing.

    References
    ----------
    Battaglia et al. (2018), Relational inductive biases, deep learning, and graph networks, arXiv:1806.01261; Vaswani et al. (2017),
    arXiv:1706.03762 (attention).
    """

    def __init__(self, inputs: int, width: int = 48, layers: int = 2):
        super().__init__()
        self.read = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.mix = nn.ModuleList(nn.Sequential(nn.Linear(4 * width, width), nn.GELU()) for _ in range(layers))
        self.ask, self.offer, self.send = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        # To begin with hardly anybody sends anything.
        nn.init.constant_(self.send.bias, -3.0)

    def forward(self, sites: torch.Tensor, near: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        """Units sent, shape (examples, sites, sites), from origin (second axis) to destination.

        Parameters
        ----------
        sites : torch.Tensor
            Shape (examples, sites, inputs).
        near : torch.Tensor
            Shape (examples, sites, sites): 1 for links of no length, less for longer ones, 0 where there is no link.
        limit : torch.Tensor
            Shape (examples, sites): most units that a site may send.
        """
        state = self.read(sites)
        for mix in self.mix:
            around = [way @ state / (way.sum(dim=2, keepdim=True) + 1e-6) for way in (near, near.transpose(1, 2))]
            state = state + mix(torch.cat([state, *around, state.mean(dim=1, keepdim=True).expand_as(state)], dim=2))
        fit = self.ask(state) @ self.offer(state).transpose(1, 2) / state.shape[2] ** 0.5
        linked = near > 0
        shares = torch.softmax((fit + torch.log(near.clamp(min=1e-6))).masked_fill(~linked, -1e9), dim=2) * linked
        return (limit * torch.sigmoid(self.send(state).squeeze(2)))[:, :, None] * shares


class QuantileMLP(nn.Module):
    """Quantiles from features by two hidden layers, the same for every row; they cannot cross.

    Parameters
    ----------
    inputs : int
        Features.
    levels : int
        Quantiles.
    hidden : int
        Width.
    dropout : float
        Share of hidden numbers that are left out while learning.
    """

    def __init__(self, inputs: int, levels: int, hidden: int = 64, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(),
                                    nn.Linear(hidden, levels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Shape (..., levels), from (..., inputs)."""
        return spread_levels(self.layers(features))
