"""Fitting of networks: where they run, one loop for all of them, and nothing left to chance that a seed can fix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits

from medlib.errors import MedlibError


def choose_device() -> torch.device:
    """The GPU where there is one; the only place that decides it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit_net(net: torch.nn.Module, inputs: tuple[torch.Tensor, ...], target: torch.Tensor,
            loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], epochs: int, rate: float, seed: int, batch: int = 512,
            noise: float = 0.0, change: Callable[[torch.Tensor], torch.Tensor] | None = None,
            fused: bool = False) -> torch.nn.Module:
    """Fit a network in place by AdamW under a one-cycle schedule of the learning rate.

    Parameters
    ----------
    net : torch.nn.Module
        Called with one batch of each input.
    inputs : tuple of torch.Tensor
        First axis: examples.
    target : torch.Tensor
        First axis: examples.
    loss : callable
        Of the network's answer and the target; a scalar.
    epochs : int
        Times that every example is seen.
    rate : float
        Highest learning rate.
    seed : int
        Of the order, dropout and noise.
    batch : int
        Examples a step.
    noise : float
        Standard deviation of what is added to every input, as a guard against overfitting.
    change : callable, optional
        What each batch of an input goes through, flipped and shifted pictures for one; left out: nothing.
    fused : bool
        Change all weights in one pass: a third less time where millions of them are tables of words. The last digits differ.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on `choose_device`.

    Raises
    ------
    MedlibError
        The loss is not a number.

    References
    ----------
    Smith and Topin (2019), Super-convergence, arXiv:1708.07120; Loshchilov and Hutter (2019), AdamW, arXiv:1711.05101.
    """
    device, count = choose_device(), len(target)
    torch.manual_seed(seed)
    net.to(device).train()
    inputs, target = tuple(part.to(device) for part in inputs), target.to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3, fused=fused)
    steps = -(-count // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps * epochs)
    # Steps of small networks are so short that a second thread hardly saves time, and on a busy machine threads that wait for each other
    # cost many times more.
    with threadpool_limits(1, "openmp"):
        for _ in range(epochs):
            for chosen in torch.randperm(count, device=device).split(batch):
                parts = [part[chosen] if change is None else change(part[chosen]) for part in inputs]
                noisy = [part + noise * torch.randn_like(part) if noise else part for part in parts]
                found = loss(net(*noisy), target[chosen])
                optimiser.zero_grad()
                found.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                schedule.step()
    if not torch.isfinite(found):
        raise MedlibError("The network's loss is not a number; lower the learning rate or look for extreme values in the data.")
    return net.eval()
