"""A plan that answers: models kept warm, to which only changed bounds and costs are sent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event

import highspy
import numpy as np
import pandas as pd

from medlib.allocate import Infeasible, Problem, StepModel, measure_gini
from medlib.allocate.plan import NOISE
from medlib.errors import MedlibError
from medlib.whatif.race import Race
from medlib.whatif.state import FAIRNESS, State, change_problem
from medlib.whatif.weigh import Weighing, share_demand

#: Weights at which the frontier is traced.
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
#: States that are remembered, of each kind of model; and how much nearer than the last one a state has to be to start from it.
MOST, NEARER = 300, 0.7


class Stopped(MedlibError):
    """A solve ended before it had a plan, because `Live.stop` was set; its model can go on."""


@dataclass(frozen=True)
class Answer:
    """What a state's plan does, as arrays.

    Parameters
    ----------
    state : State
    posed : Problem
    minimum : float
        Cost points, fairness at its weight among them.
    moves : numpy.ndarray
        Shape (L, R, T).
    surge_units : float
        Surge units opened, over all sites, resources and periods.
    before, after : numpy.ndarray
        Shape (I, R): expected unit-days short, without moves and surge, and with the plan.
    size : numpy.ndarray
        Shape (I,): as from `medlib.whatif.weigh.share_demand`.
    vertex : bool
        The simplex method's plan; otherwise one of as little cost that may have more and smaller moves.
    seconds : dict of str to float
        What took how long.
    """

    state: State
    posed: Problem
    minimum: float
    moves: np.ndarray
    surge_units: float
    before: np.ndarray
    after: np.ndarray
    size: np.ndarray
    vertex: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def shortage(self) -> float:
        """Expected weighted unit-days short with the plan."""
        return float(self.after.sum(axis=0) @ self.posed.at.weight)

    @property
    def shortage_before(self) -> float:
        """Expected weighted unit-days short without moves and surge."""
        return float(self.before.sum(axis=0) @ self.posed.at.weight)

    @property
    def lack(self) -> np.ndarray:
        """Shape (I,): weighted unit-days short by site."""
        return self.after @ self.posed.at.weight

    @property
    def gini(self) -> float:
        """Gini coefficient of the shortage per demand."""
        return measure_gini(self.lack, self.size)

    @cached_property
    def routes(self) -> pd.DataFrame:
        """All moves of the horizon by origin, destination, resource: amount, distance_km, first and last date; largest first."""
        amounts = np.where(self.moves > NOISE, self.moves, 0.0)
        link, resource = np.nonzero(amounts.sum(axis=2) > NOISE)
        links, used, dates = self.posed.links, amounts[link, resource] > 0, self.posed.dates
        routes = pd.DataFrame({
            "origin": links["origin"].to_numpy()[link], "destination": links["destination"].to_numpy()[link],
            "resource": np.array(self.posed.names)[resource], "amount": amounts[link, resource].sum(axis=1),
            "distance_km": self.posed.at.distance_km[link], "first": dates[used.argmax(axis=1)] if len(link) else dates[:0],
            "last": dates[used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)] if len(link) else dates[:0]})
        return routes.sort_values("amount", ascending=False, kind="stable", ignore_index=True)


class Live:
    """Answers states of one problem.

    Parameters
    ----------
    posed : Problem
        The untouched problem, with all levels of the forecast.
    levels : array
        The levels of the demand forecast.
    raced : bool, default True
        An answer that the simplex method takes long for may come from an interior point method; see `medlib.whatif.race`.

    Attributes
    ----------
    stop : threading.Event
        While it is set, solves end without a plan (`Stopped`); for another thread that must get out of the way.

    Notes
    -----
    The model has planning occupancy in its coefficients. Another one is the same program with surge beds counted in other units: what can be
    opened times the ratio of both, each costing so much less; so it, too, is a change of bounds and costs. Where something ties the
    number of surge beds open, such as levels, a changed occupancy makes a new model.
    """

    def __init__(self, posed: Problem, levels: np.ndarray | pd.Series, raced: bool = True):
        self.raced, self.posed, self.levels, self.size = raced, posed, np.unique(levels), share_demand(posed)
        if posed.rules.integer:
            raise MedlibError("The page plans fractions, which are averages; got the rule integer, set it to False.")
        self.models: dict[tuple, Warm] = {}
        self.memory, self.stop = Memory(), Event()

    def make_other(self) -> Live:
        """Answer the same problem by simplex in models of its own, for another thread; what each learns about where to start from, both know."""
        other = Live(self.posed, self.levels, raced=False)
        other.memory = self.memory
        return other

    def answer(self, state: State) -> Answer:
        """Solve for a state, warm where the scenarios were met before.

        Raises
        ------
        MedlibError
            No plan keeps all limits, or a factor names what is not there.
        """
        clock = Clock()
        self.stop.set()  # what nobody looks at any more takes no processor from what is asked for now
        self.wait()
        self.stop.clear()
        posed = change_problem(self.posed, self.levels, state)
        clock.tick("pose")
        warm, minimum = self._solve(posed, state)
        clock.tick("solve")
        idle = replace(posed, links=posed.links.iloc[:0], surge=np.zeros_like(posed.surge))
        still, _ = self._solve(idle, replace(state, fairness="none"), "idle")
        clock.tick("before")
        moves = np.zeros((len(posed.links), len(posed.names), len(posed.dates)))
        moves[:, warm.model.movable] = warm.model.move.value
        if len(warm.model.drugs):
            moves[:, warm.model.drugs] = warm.model.batch.value.sum(axis=2)
        answer = Answer(state, posed, minimum, moves, warm.count_surge(), still.read_short(), warm.read_short(), self.size, warm.vertex, clock.seconds)
        clock.tick("read")
        return answer

    def wait(self) -> None:
        """Wait until simplex has its plans wherever the interior point method was there before it."""
        for warm in list(self.models.values()):
            warm.race.wait()

    def trace_point(self, state: State, weight: float) -> dict[str, float]:
        """Solve for a point of the state's frontier: weight, shortage (weighted unit-days), gini, worst_service (share)."""
        posed = change_problem(self.posed, self.levels, state)
        # Without a criterion, what the page can ask for next is shown: evenness by the Gini coefficient.
        criterion = "gini" if state.fairness == "none" else state.fairness
        warm, _ = self._solve(posed, replace(state, fairness=criterion, fairness_weight=weight))
        return measure_point(warm.read_short() @ posed.at.weight, self.size, posed) | {"weight": weight}

    def explore(self, state: State) -> None:
        """Solve for a state only to know where to start from when one near it is asked for."""
        self._solve(change_problem(self.posed, self.levels, state), state)

    def _solve(self, posed: Problem, state: State, what: str = "plan") -> tuple[Warm, float]:
        """Solve in the model for so many scenarios, with fairness or without, which is made where there is none yet."""
        occupancy = posed.rules.planning_occupancy if len(posed.levels) else 0.0
        key = what, len(posed.weights), state.weighs
        if key not in self.models or len(posed.levels) and self.models[key].built != occupancy or not self.models[key].fits(posed):
            # With surge that can be opened wherever a state's factor may open it.
            full = posed if what == "idle" else replace(posed, surge=np.maximum(posed.surge, self.posed.surge))
            self.models[key] = Warm(full, self.size if state.weighs else None, self.memory, self.stop, self.raced and what == "plan")
        warm, plain = self.models[key], self.models.get((what, len(posed.weights), False))
        try:
            return warm, warm.solve(posed, state, plain if plain is not warm and plain and plain.vertex else None)
        except Stopped:
            raise
        except MedlibError:
            self.models.pop(key)  # a model that failed half-way holds a mixture
            raise


class Clock:
    """Tells what takes how long."""

    def __init__(self):
        self.seconds, self.last = {}, time.perf_counter()

    def tick(self, name: str) -> None:
        """Count the time since the last tick under a name."""
        now = time.perf_counter()
        self.seconds[name], self.last = now - self.last, now


def measure_point(lack: np.ndarray, size: np.ndarray, posed: Problem) -> dict[str, float]:
    """Measure shortage (weighted unit-days), its Gini coefficient, and the share of its need that the worst served site meets."""
    need = np.einsum("irt,r->i", posed.mean_demand, posed.at.weight)
    served = 1.0 - lack[need > 0] / need[need > 0]
    return {"shortage": float(lack.sum()), "gini": measure_gini(lack, size), "worst_service": float(served.min()) if len(served) else 1.0}


def extend_basis(live: list, known: list) -> list[highspy.HighsBasis]:
    """Make a basis of a model in one piece from that of another, whose columns and rows are its first ones."""
    highs, basis = live[0].highs, highspy.HighsBasis()
    columns = [highspy.HighsBasisStatus.kLower] * highs.getNumCol()
    rows = [highspy.HighsBasisStatus.kBasic] * highs.getNumRow()
    for piece in known:
        found = piece.highs.getBasis()
        for statuses, part, members in ((columns, found.col_status, piece.columns), (rows, found.row_status, piece.rows)):
            for place, status in zip(range(len(part)) if members is None else members, part):
                statuses[place] = status
    basis.col_status, basis.row_status, basis.valid = columns, rows, True
    return [basis]


class Memory:
    """Bases of states that were solved: the nearest one is a better start than the last, where that was far away."""

    def __init__(self):
        self.known: dict[tuple, list[tuple[np.ndarray, list[highspy.HighsBasis]]]] = {}

    def find_nearest(self, kind: tuple, place: np.ndarray, last: np.ndarray | None) -> list[highspy.HighsBasis] | None:
        """Give the bases of the nearest state, or None where the last one is about as near."""
        known = self.known.get(kind, [])
        if not known:
            return None
        away = [np.abs(place - there).sum() for there, _ in known]
        nearest = int(np.argmin(away))
        return known[nearest][1] if last is None or away[nearest] < NEARER * np.abs(place - last).sum() else None

    def keep(self, kind: tuple, place: np.ndarray, bases: list[highspy.HighsBasis]) -> None:
        """Remember a state's bases; the oldest are forgotten."""
        known = self.known.get(kind, [])
        self.known[kind] = [*known[-MOST + 1:], (place, bases)]  # a new list, as another thread may be looking


def locate_state(posed: Problem, state: State) -> np.ndarray:
    """Where a state lies among others: sums of capacity, surge and demand by resource, budgets and fairness, in unit-days."""
    limits = [min(limit, posed.demand.max() * len(posed.sites)) * len(posed.dates) for limit in (
        posed.rules.transfers_per_day, posed.rules.transfers_per_site_day)]
    share = posed.rules.planning_occupancy if not len(posed.levels) else 1.0
    parts = [share * posed.capacity.sum(axis=(0, 2)), posed.surge.sum(axis=(0, 2)), posed.mean_demand.sum(axis=(0, 2)), limits,
             [state.fairness_weight * posed.mean_demand.sum() * (state.fairness == criterion) for criterion in FAIRNESS if state.weighs]]
    return np.concatenate([np.asarray(part, float) for part in parts])


class Warm:
    """A model in which the last basis is kept.

    Parameters
    ----------
    posed : Problem
        What it is built for; states may change its bounds and costs.
    size : numpy.ndarray or None
        Shape (I,): sizes of the sites; None: fairness cannot be weighed in it. Its rows tie all resources together, which without them are
        solved side by side.
    memory : Memory, optional
    stop : threading.Event, optional
        As for `medlib.whatif.race.Race`.
    raced : bool
        As for `Live`.
    """

    def __init__(self, posed: Problem, size: np.ndarray | None = None, memory: Memory | None = None, stop: Event | None = None, raced: bool = False):
        self.model, self.built = StepModel(posed), posed.rules.planning_occupancy
        self.weighing = None if size is None else Weighing(self.model, size)
        self.memory, self.last = memory or Memory(), None
        self.race = Race(lambda live: None, stop or Event(), raced, msg=False, threads=1, solver="simplex",
                         apart=None if self.weighing else "resource")

    def fits(self, posed: Problem) -> bool:
        """Another problem's figures are bounds and costs in this model; what fairness counts is summed up in rows, by slopes."""
        return self.model.takes(posed, in_order=self.weighing is not None)

    def solve(self, posed: Problem, state: State, other: Warm | None = None) -> float:
        """Send what a state changes, and solve from the last basis, at first from that of another model; returns the minimum."""
        model, rules = self.model, posed.rules
        model.posed = posed
        model.fill()
        for name, most in (("day_budget", rules.transfers_per_day), ("site_budget", rules.transfers_per_site_day)):
            if name in model.lp.rows:
                model.lp.rows[name].update(high=most)
        if not len(posed.levels):
            self.scale = np.where(np.arange(len(model.movable)) < len(model.beds), self.built / rules.planning_occupancy, 1.0)[:, None]
            model.surge.update(high=posed.surge[:, model.movable] / self.scale)
            model.parts["surge"] = [(model.surge, self.scale)]
        if self.weighing:
            self.weighing.weigh(state)
        model.set_objective(model.prices)
        kind = self.built, len(posed.weights), model.lp.column_count, model.lp.row_count, tuple(model.summed)
        place = locate_state(posed, state)

        def find_start(live: list) -> list[highspy.HighsBasis] | None:
            return self.memory.find_nearest(kind, place, self.last) or (extend_basis(live, other.model.lp.live) if other and self.last is None else None)

        self.race.find_start = find_start
        model.lp.solve(self.race)
        if model.lp.outcome == "Interrupted by user":
            raise Stopped("The solver was told to stop, as its answer is not needed any more.")
        if model.lp.outcome != "Optimal":
            raise Infeasible(model) if model.lp.outcome == "Infeasible" else MedlibError(
                f"The allocation has no optimal plan: HiGHS says {model.lp.outcome!r}; move the last control back.")
        self.last = place  # where simplex is on its way to, if it came second
        if self.vertex:
            self.memory.keep(kind, place, [piece.highs.getBasis() for piece in model.lp.live])
        return model.lp.minimum

    @property
    def vertex(self) -> bool:
        """The last solve ended with a basis."""
        return self.last is not None and not self.race.winner

    def read_short(self) -> np.ndarray:
        """Shape (I, R): expected unit-days short."""
        model = self.model
        short = np.tensordot(model.posed.weights, np.maximum(model.short.value, 0.0), 1).sum(axis=2)
        short[:, model.summed] += (model.slopes * model.steps.value).sum(axis=(0, 3))
        return np.where(short < NOISE, 0.0, short)

    def count_surge(self) -> float:
        """Surge units opened, in all."""
        return float((self.model.surge.value * (1.0 if len(self.model.posed.levels) else self.scale)).sum())
