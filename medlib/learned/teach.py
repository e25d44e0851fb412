"""How a policy network learns: it imitates perfect-foresight plans of made-up seasons, then learns from what its own moves cost."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from medlib.allocate import Problem, solve
from medlib.learned.policy import AHEAD, INPUTS, MOST, LearnedPolicy, budget_sites, describe_sites, measure_nearness
from medlib.learned.seasons import Seasons, draw_seasons
from medlib.nets import FlowNet
from medlib.train import fit_net


class Rollout(torch.nn.Module):
    """Seasons under a policy network, with everything that happens a function of its weights that can be differentiated.

    Parameters
    ----------
    net : FlowNet
    seasons : Seasons
        What stays the same in all of them: rooms, surge, links, stays, rules.
    """

    def __init__(self, net: FlowNet, seasons: Seasons):
        super().__init__()
        posed, rules = seasons.posed, seasons.posed.rules
        self.net, self.periods, self.limited = net, seasons.periods, seasons.limited
        price = np.zeros((len(posed.sites), len(posed.sites)))
        price[posed.at.origin, posed.at.destination] = rules.move_cost + posed.at.cost + rules.cost_per_km * posed.at.distance_km
        fixed = {"near": measure_nearness(posed), "price": price, "room": seasons.room, "surge": seasons.surge, "stay": seasons.stay,
                 "budget": np.minimum(np.minimum(budget_sites(posed), posed.at.release_per_day), rules.transfers_per_day)}
        for name, values in fixed.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.handover = rules.handover_days
        self.shortage_cost, self.surge_cost = rules.shortage_cost, rules.surge_cost / posed.occupancy[seasons.resource]
        #: Most that the flows into a site, and all flows, may add up to.
        self.budgets = {(1,): rules.transfers_per_site_day, (1, 2): rules.transfers_per_day}

    def look(self, there: torch.Tensor, came: torch.Tensor, outlook: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network is told, and how much each site may send, from patients there, arrivals, and quantiles of what comes."""
        room, surge = (part.expand(len(there), -1) for part in (self.room, self.surge))
        # As `medlib.learned.policy.limit_senders`: of those who are sent, no more may be left later than a scenario has patients.
        fewest = (outlook.amin(dim=1).clamp(min=0) / self.stay[AHEAD][:, None].clamp(min=1e-6)).amin(dim=1)
        limit = torch.minimum(torch.minimum(came if self.limited else MOST * room, torch.minimum(there.clamp(min=0), fewest)), self.budget)
        return describe_sites(outlook - room[:, None, None], room, limit, surge), limit

    def send(self, told: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        """Flows (examples, sites, sites), cut in proportion where a day's or a receiving site's budget is exceeded."""
        flows = self.net(told, self.near.expand(len(told), -1, -1), limit)
        for axes, most in self.budgets.items():
            flows = flows / (flows.sum(dim=axes, keepdim=True) / most).clamp(min=1.0)
        return flows

    def forward(self, demand: torch.Tensor, arrivals: torch.Tensor, outlook: torch.Tensor) -> torch.Tensor:
        """Cost of each season, in points per site and period over 100, shape (seasons,).

        Parameters
        ----------
        demand, arrivals : torch.Tensor
            Shape (seasons, sites, periods + ahead).
        outlook : torch.Tensor
            Shape (seasons, periods, levels, periods ahead, sites).
        """
        moved, total, ahead = torch.zeros_like(demand), 0.0, torch.as_tensor(AHEAD, device=demand.device)
        for period in range(self.periods):
            there = demand[:, :, period] + moved[:, :, period]
            seen = outlook[:, period] + moved[:, :, period + ahead].transpose(1, 2)[:, None]
            flows = self.send(*self.look(there, arrivals[:, :, period], seen))
            net = flows.sum(dim=1) - flows.sum(dim=2)
            moved = moved + torch.nn.functional.pad(net[:, :, None] * self.stay[:demand.shape[2] - period], (period, 0))
            # On the day of a handover a bed is needed at both ends.
            over = torch.relu(there + net + self.handover * flows.sum(dim=2) - self.room)
            opened = torch.minimum(over, self.surge)
            total = total + (self.shortage_cost * (over - opened) + self.surge_cost * opened).sum(dim=1)
            total = total + (flows * self.price).sum(dim=(1, 2))
        return total / (100 * self.periods * demand.shape[1])


def _to_tensors(seasons: Seasons) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(torch.tensor(part, dtype=torch.float32) for part in (seasons.demand, seasons.arrivals, seasons.forecast(AHEAD)))


def list_lessons(seasons: Seasons, occupancy: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the network would be told in every period of every season under the perfect-foresight plan, and what that plan does.

    Parameters
    ----------
    seasons : Seasons
    occupancy : float
        Share of the room that the plans use.

    Returns
    -------
    told, limit, wanted : torch.Tensor
        Shape (examples, sites, `INPUTS`), (examples, sites), and (examples, sites): units that each site gains.
    """
    rollout, (demand, arrivals, outlook) = Rollout(FlowNet(INPUTS), seasons), _to_tensors(seasons)
    lessons = []
    for season in range(len(demand)):
        net = _net_moves(solve(seasons.pose_truth(season, occupancy)).shipments, seasons)
        moved = torch.zeros_like(demand[season])
        for period in range(seasons.periods):
            there = (demand[season] + moved)[None, :, period]
            seen = outlook[season, period] + moved[:, period + torch.as_tensor(AHEAD)].T
            lessons.append((*rollout.look(there, arrivals[None, season, :, period], seen[None]), net[None, :, period]))
            moved = moved + torch.nn.functional.pad(net[:, period, None] * rollout.stay[:moved.shape[1] - period], (period, 0))
    return tuple(torch.cat(part) for part in zip(*lessons))


def _net_moves(shipments: list, seasons: Seasons) -> torch.Tensor:
    """Shape (sites, periods): units that each site gains."""
    net, at = torch.zeros(len(seasons.posed.sites), seasons.periods), seasons.posed.at
    for order in shipments:
        net[at.origin[order.link], order.period] -= order.amount
        net[at.destination[order.link], order.period] += order.amount
    return net


class _Imitation(torch.nn.Module):
    """What each site gains by the network's flows, relative to the mean room."""

    def __init__(self, rollout: Rollout):
        super().__init__()
        self.rollout = rollout

    def forward(self, told: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        flows = self.rollout.send(told, limit)
        return (flows.sum(dim=1) - flows.sum(dim=2)) / self.rollout.room.mean()


def learn_policy(posed: Problem | Sequence[Seasons], seasons: int = 60, periods: int = 28, occupancy: float = 0.95, epochs: int = 10,
                 practice: int = 20, rate: float = 9e-3, height: float = 1.0, seed: int = 1,
                 start: LearnedPolicy | None = None) -> LearnedPolicy:
    """Teach a network to move patients, on made-up seasons of a real network of sites.

    It first imitates plans made with perfect foresight, seeing only what a planner could have seen. Imitation alone learns the mean of
    what would have been best, which is not the best for the mean cost; so it then *practises*: seasons are played through under its own
    moves, and it learns from what they cost.

    Parameters
    ----------
    posed : Problem or sequence of Seasons
        A problem of the network as known today, or seasons drawn beforehand, of one bed resource each.
    seasons, periods, height, seed
        As in `medlib.learned.seasons.draw_seasons`: seasons of each bed resource, and periods of each.
    occupancy : float
        Share of the room that the imitated plans use: a cushion.
    epochs : int
        Times that every imitated move is seen; 0: none are.
    practice : int
        Times that every season is played through; 0: never.
    rate : float
        Highest learning rate; a third of it in practice.
    start : LearnedPolicy, optional
        What it knows to begin with; a copy learns on. Left out: nothing.

    Returns
    -------
    LearnedPolicy

    References
    ----------
    Wilder, Dilkina, Tambe (2019), Melding the data-decisions pipeline, doi:10.1609/aaai.v33i01.33011658 (learning from the decision's
    cost); Ross, Gordon, Bagnell (2011), arXiv:1011.0686 (why imitation alone drifts off).
    """
    if isinstance(posed, Problem):
        posed = [draw_seasons(posed, resource, seasons, periods, height=height, seed=seed) for resource in posed.at.beds]
    torch.manual_seed(seed)
    net = FlowNet(INPUTS) if start is None else copy.deepcopy(start.net)
    for drawn in posed if epochs else ():
        told, limit, wanted = list_lessons(drawn, occupancy)
        fit_net(_Imitation(Rollout(net, drawn)), (told, limit), wanted / float(drawn.room.mean()), _miss, epochs, rate, seed, batch=64)
    for drawn in posed if practice else ():
        parts = _to_tensors(drawn)
        fit_net(Rollout(net, drawn), parts, torch.zeros(len(parts[0])), lambda cost, _: cost.mean(), practice, rate / 3, seed, batch=16)
    return LearnedPolicy(net.eval())


def _miss(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # Moves are rare: the sum over sites of squares, so that the few count.
    return ((answer - target) ** 2).sum(dim=1).mean() * 1e3
