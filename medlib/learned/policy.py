"""A network that answers in milliseconds who is sent where today, and the projection that makes its answer feasible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_diag, csr_array, eye_array, hstack, vstack
from threadpoolctl import ThreadpoolController

from medlib.allocate import Decision, Problem, Shipment
from medlib.errors import MedlibError
from medlib.learned.seasons import LEVELS
from medlib.nets import FlowNet

#: Periods ahead that the network looks at; where a problem ends earlier, its last period stands in.
AHEAD = np.array([0, 1, 2, 4, 7, 10, 13])
#: Numbers a site: over or under its room at these quantiles and periods, twice; limit, size, surge.
INPUTS = 2 * len(LEVELS) * len(AHEAD) + 3
#: Where everybody who is there may be sent, the network sends at most this share of a site's room in a period.
MOST = 0.25
#: To look for libraries with threads anew takes longer than an answer.
THREADS = ThreadpoolController()
#: Amounts below this are no moves.
NOISE = 1e-4


def describe_sites(over: torch.Tensor, room: torch.Tensor, limit: torch.Tensor, surge: torch.Tensor) -> torch.Tensor:
    """What the network is told of every site.

    Parameters
    ----------
    over : torch.Tensor
        Shape (examples, levels, periods ahead, sites): patients above the room, below zero where there is room to spare.
    room, limit, surge : torch.Tensor
        Shape (examples, sites): beds that may be planned, most patients that may be sent today, beds that surge could add.

    Returns
    -------
    torch.Tensor
        Shape (examples, sites, `INPUTS`): relative to the site's room, and to the mean room of all, which is the same for whoever sends and
        whoever receives.
    """
    mean, seen = room.mean(dim=1, keepdim=True) + 1e-6, over.flatten(1, 2).transpose(1, 2)
    own = room[:, :, None] + 1e-6
    rest = torch.stack([torch.asinh(10 * limit / mean), torch.log(room / mean + 0.01), surge / own[:, :, 0]], dim=2)
    return torch.cat([torch.asinh(5 * seen / own), torch.asinh(10 * seen / mean[:, :, None]), rest], dim=2)


@dataclass(frozen=True)
class LearnedPolicy:
    """Moves of patients by a network; surge by the reactive rule.

    Parameters
    ----------
    net : FlowNet
        As from `medlib.learned.teach.learn_policy`.

    Notes
    -----
    Beds only: staff, equipment and drugs stay where they are. What was learned on one network can be asked on another; how much worse
    it then is has to be measured.
    """

    net: FlowNet

    def wish(self, posed: Problem) -> np.ndarray:
        """Shape (B, L): what the network would send today of each bed resource over every link, feasible or not."""
        near = measure_nearness(posed)[None]
        answer = np.zeros((len(posed.at.beds), len(posed.links)))
        # As in fitting: threads that wait for each other cost far more than they save.
        with torch.no_grad(), THREADS.limit(limits=1, user_api="openmp"):
            for number, resource in enumerate(posed.at.beds):
                parts = _look(posed, resource)
                limit = parts[2]
                device = next(self.net.parameters()).device
                tensors = [torch.tensor(part[None], dtype=torch.float32, device=device) for part in (*parts, near[0])]
                flows = self.net(describe_sites(*tensors[:4]), tensors[4], tensors[2])[0].cpu().numpy()
                answer[number] = flows[posed.at.origin, posed.at.destination] * (limit[posed.at.origin] > 0)
        return answer

    def decide(self, posed: Problem) -> Decision:
        """Decide what is sent in the problem's first period, within its rules, and which surge opens.

        Parameters
        ----------
        posed : Problem
            Several scenarios tell how sure the forecast is.

        Returns
        -------
        Decision
            Its first part are the shipments, its second the surge by period, of which the first is opened today.
        """
        flows = repair_flows(posed, self.wish(posed))
        shipments = [Shipment(int(link), int(posed.at.beds[bed]), 0, float(flows[bed, link])) for bed, link in np.argwhere(flows > NOISE)]
        return Decision(shipments, open_surge(posed, flows))


def measure_nearness(posed: Problem) -> np.ndarray:
    """Shape (I, I): 1 for links of no length, 1/e for links of mean length, 0 where there is none."""
    near = np.zeros((len(posed.sites), len(posed.sites)))
    distance = posed.at.distance_km
    near[posed.at.origin, posed.at.destination] = np.maximum(np.exp(-distance / max(distance.mean(), 1e-9)), 1e-3) if len(distance) else 0.0
    return near


def limit_senders(posed: Problem) -> np.ndarray:
    """Shape (B, I): most patients that may leave each site today: those who arrive, or are there, or that a stockpile releases.

    Whoever is sent is missing later as well: no scenario may have fewer patients left than were sent.
    """
    beds = posed.at.beds
    there = np.tile(posed.at.release_per_day, (len(beds), 1))
    for occupied in beds:
        fewest = posed.demand[:, :, occupied].min(axis=0)
        courses = [posed.at.survival[entered, occupied][:, 0] for entered in beds]
        sharing = sum(course.any() for course in courses)
        for number, course in enumerate(courses):
            left = course > 1e-9
            there[number] = np.minimum(there[number], (fewest[:, left] / (sharing * course[left])).min(axis=1, initial=np.inf))
    return there if posed.arrivals is None else np.minimum(there, posed.arrivals[:, beds, 0].T)


def budget_sites(posed: Problem) -> np.ndarray:
    """Shape (I,): most moves of a resource that a site may take part in within a period; stockpiles have a limit of their own."""
    return np.where(np.isfinite(posed.at.release_per_day), np.inf, posed.rules.transfers_per_site_day)


def _look(posed: Problem, resource: int) -> tuple[np.ndarray, ...]:
    """Over (levels, periods ahead, sites), room, limit and surge (sites,) of one bed resource."""
    when, share = np.minimum(AHEAD, len(posed.dates) - 1), posed.occupancy[resource]
    over = (posed.need[:, :, resource] - share * posed.scenario_capacity[:, :, resource])[:, :, when].transpose(0, 2, 1)
    order = over.argsort(axis=0)
    reached = np.cumsum(posed.weights[order], axis=0)
    place = [(reached >= level - 1e-9).argmax(axis=0)[None] for level in LEVELS]
    ranked = np.take_along_axis(over, order, axis=0)
    room = share * posed.mean_capacity[:, resource, 0]
    limit = limit_senders(posed)[list(posed.at.beds).index(resource)]
    limit = np.minimum(np.minimum(limit, budget_sites(posed)), posed.rules.transfers_per_day)
    if posed.arrivals is None or not np.isfinite(posed.arrivals[:, resource, 0]).all():
        limit = np.minimum(limit, MOST * room)
    return (np.concatenate([np.take_along_axis(ranked, one, axis=0) for one in place]), room, limit,
            share * posed.surge[:, resource].max(axis=1))


def repair_flows(posed: Problem, wish: np.ndarray) -> np.ndarray:
    r"""Bring wished moves within the rules: what every site gains or loses stays as near to the wish as it can.

    .. math:: \min_{f \ge 0} \; \sum_{b,i} \Big| \sum_{l \to i} (f_{bl} - w_{bl}) - \sum_{l \leftarrow i} (f_{bl} - w_{bl}) \Big|
              + \varepsilon \sum_{b,l} c_l f_{bl}

    under the budgets of the day, of the sites and of the links, and no more than may be sent; among the nearest the cheapest.

    Parameters
    ----------
    posed : Problem
    wish : numpy.ndarray
        Shape (B, L): units of each bed resource over every link.

    Returns
    -------
    numpy.ndarray
        Shape (B, L): moves that keep every rule; whole ones where the rules ask for it.

    Raises
    ------
    MedlibError
        The rules protect sites, which depends on all later periods.
    """
    if posed.rules.protect_sites:
        raise MedlibError("A learned policy looks at today's moves only and cannot keep protect_sites; plan with the linear program.")
    if not wish.any():
        return np.zeros(wish.shape)
    (beds, links), slacks, (sends, gets) = wish.shape, 2 * len(wish) * len(posed.sites), _list_ends(posed)
    price = posed.rules.move_cost + posed.at.cost + posed.rules.cost_per_km * posed.at.distance_km
    # A unit brings two sites nearer to their wish; no price outweighs that.
    cost = np.append(np.tile(1e-3 * (1 + price / max(price.max(), 1e-9)), beds), np.ones(slacks))
    net, one = block_diag([gets - sends] * beds), eye_array(slacks // 2)
    target = ((gets - sends) @ wish.T).T.ravel()
    rows, most = list_budgets(posed)
    limits = [LinearConstraint(hstack([net, one, -one]).tocsc(), target, target),
              LinearConstraint(hstack([rows, csr_array((len(most), slacks))]).tocsc(), -np.inf, most)]
    whole = np.append(np.full(wish.size, int(posed.rules.integer)), np.zeros(slacks))
    upper = np.append(np.tile(posed.at.moves_per_day, beds), np.full(slacks, np.inf))
    found = milp(cost, integrality=whole, bounds=Bounds(0.0, upper), constraints=limits)
    return np.maximum(found.x[:wish.size], 0.0).reshape(wish.shape)


def _list_ends(posed: Problem) -> tuple[csr_array, csr_array]:
    """Shape (I, L) each: which links leave a site, and which lead to it."""
    links = np.arange(len(posed.links))
    return tuple(csr_array((np.ones(len(links)), (ends, links)), (len(posed.sites), len(links)))
                 for ends in (posed.at.origin, posed.at.destination))


def list_budgets(posed: Problem) -> tuple[csr_array, np.ndarray]:
    """What limits today's moves: rows (M, B * L) over the flows, and the most that each may add up to (M,)."""
    rules, beds, (sends, gets) = posed.rules, len(posed.at.beds), _list_ends(posed)
    each, all_links = csr_array(np.ones((1, len(posed.links)))), csr_array(np.ones((1, beds * len(posed.links))))
    kilometres = csr_array(np.tile(posed.at.distance_km, beds)[None])
    rows = vstack([block_diag([sends] * beds), block_diag([sends + gets] * beds), block_diag([each] * beds), kilometres, all_links])
    most = np.concatenate([limit_senders(posed).ravel(), np.tile(budget_sites(posed), beds), np.full(beds, rules.transfers_per_day),
                           [rules.transport_km_per_day, rules.transfers_in_all]])
    kept = np.isfinite(most)
    return csr_array(rows)[kept], most[kept]


def count_violations(posed: Problem, flows: np.ndarray) -> float:
    """Units (or kilometres) by which moves of shape (B, L) exceed the budgets, summed over all of them."""
    rows, most = list_budgets(posed)
    over = np.maximum(rows @ flows.ravel() - most, 0.0).sum()
    return float(over + np.maximum(flows - posed.at.moves_per_day, 0.0).sum())


def open_surge(posed: Problem, flows: np.ndarray) -> np.ndarray:
    """Surge by the reactive rule: what is expected to be short after today's moves, as far as surge can open; shape (I, R, T)."""
    need, (sends, gets) = np.tensordot(posed.weights, posed.need, 1), _list_ends(posed)
    net = ((gets - sends) @ flows.T).T
    for number, entered in enumerate(posed.at.beds):
        for occupied in posed.at.beds:
            need[:, occupied] += net[number][:, None] * posed.at.survival[entered, occupied][:, 0]
    share = posed.occupancy[:, None]
    units = np.clip(need / share - posed.mean_capacity, 0.0, posed.surge)
    units[:, posed.at.drugs] = 0.0
    return units
