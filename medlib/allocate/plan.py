"""Solve a problem and hand back the plan as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from medlib.allocate.cuts import CutModel, can_cut
from medlib.allocate.model import COST, Model
from medlib.allocate.problem import Problem
from medlib.allocate.recourse import DECIDED, Recourse, list_uncovered, weigh_load
from medlib.allocate.risk import Risk, list_scarcity, measure_tail
from medlib.allocate.words import explain_plan
from medlib.blocks import BlockProblem
from medlib.errors import MedlibError

#: Amounts below this are rounding noise of the solver.
NOISE = 1e-6
#: Plans in whole units are good enough at this relative gap, or the best found after so many seconds.
GAP, PATIENCE = 0.005, 60.0
#: Sizes, in columns, as measured by benchmarks/allocation.py. From MEDIUM on, moves of patients are solved faster by the interior
#: point method. From LARGE on it stops at a relative gap of LOOSE without a basis, which takes longer to find than all the rest:
#: its duals prove a bound, and its moves above SUPPORT are what the plan proper then chooses from.
MEDIUM, LARGE = 40_000, 400_000
#: From so many numbers of shortage on (as measured by benchmarks/uncertainty.py), tangents stand for the scenarios where they can.
MANY = 4_000
LOOSE, SUPPORT = 1e-3, 1e-2
#: Families of rows that somebody asked for begin so; all others describe the world.
ASKED = ("limit_", "hold_", "all_", "day_budget", "site_budget", "release", "transport")
#: By so much, relative to its least amount, a part may be exceeded when the next is minimised.
SLACK = 1e-7


class Infeasible(MedlibError):
    """No plan keeps all limits; `medlib.explain.conflicts` tells which of them, and what to give up, from the `model`."""

    def __init__(self, model: Model | None = None):
        super().__init__("The allocation has no optimal plan: HiGHS says 'Infeasible'.")
        self.model = model

    @cached_property
    def _told(self) -> str:
        # HiGHS searches for minutes where a problem is large, so only for those who read the message.
        conflict = tell_conflict(self.model.lp) if self.model and self.model.lp.live else ""
        return f"{self.args[0]} {conflict}".strip()

    def __str__(self) -> str:
        return self._told

    def __reduce__(self):
        # A live HiGHS model stays in its process.
        return MedlibError, (str(self),)


class Shipment(NamedTuple):
    """One order of a plan by position: what leaves over which link in which period.

    For a drug, the batches meant are those that expire after `expires_after` and, where that is a date, not after
    `expires_by`.
    """

    link: int
    resource: int
    period: int
    amount: float
    expires_after: pd.Timestamp | None = None
    expires_by: pd.Timestamp | None = None


class Decision(NamedTuple):
    """Of a plan, what is carried out.

    Parameters
    ----------
    shipments : list of Shipment
    surge_units : numpy.ndarray
        Shape (I, R, T): surge units open.
    """

    shipments: list[Shipment]
    surge_units: np.ndarray


@dataclass
class Plan:
    """An optimal plan.

    Parameters
    ----------
    model : Model
        The solved PuLP model.
    status : str
        HiGHS' own word: 'Optimal', or 'Time limit reached' for the best plan in whole units found in time; of several parts minimised
        in order, of the first that was not solved to the end.
    objective : float
        Cost points, or the amount of the part minimised last.
    gap : float
        How far, relative to the objective, the plan may lie above the optimum; the largest over the parts minimised.
    parts : pandas.DataFrame
        Indexed by part of the objective: amount, price, cost.
    shipments : list of Shipment
        Every move, drugs by expiry.
    surge_units : numpy.ndarray
        Shape (I, R, T): surge units open.
    short : numpy.ndarray
        Shape (S, I, R, T): units short.
    duals : dict of str to numpy.ndarray or float
        Duals of every family of rows by name in its shape, and of rows by hand; 0 for a plan in whole units, which
        has none.
    stock : pandas.DataFrame
        Drugs by scenario, site, resource and date: units used, those of them that were lost on opening, kept to the next
        period, and wasted (expired or thrown away). No rows without drugs.
    posed : Problem
        The question it answers.
    minimise : list of str
        Parts of the objective, in the order in which they were minimised.
    decided : dict of str to numpy.ndarray
        What is the same in all scenarios, by family of columns (`medlib.allocate.recourse.DECIDED`) in its shape.
    """

    model: Model
    status: str
    objective: float
    gap: float
    parts: pd.DataFrame
    shipments: list[Shipment]
    surge_units: np.ndarray
    short: np.ndarray
    duals: dict[str, np.ndarray | float]
    stock: pd.DataFrame
    posed: Problem
    minimise: list[str]
    decided: dict[str, np.ndarray]

    @property
    def problem(self) -> BlockProblem:
        """The PuLP problem; add rules with ``plan.problem += ...`` and call `solve_again`."""
        return self.model.lp

    @problem.setter
    def problem(self, problem: BlockProblem) -> None:
        if problem is not self.model.lp:
            raise MedlibError("A plan's PuLP problem can be added to, not replaced; pose another Problem and solve it.")

    def solve_again(self) -> Plan:
        """Solve the PuLP problem as it is now, with all rules added by hand; this plan stays as it was."""
        return read_plan(self.model, self.minimise)

    @property
    def mean_short(self) -> np.ndarray:
        """Shape (I, R, T): units short averaged over the scenarios."""
        return np.tensordot(self.posed.weights, self.short, 1)

    @property
    def weighted_shortage(self) -> float:
        """Expected unit-days short over all resources, weighted by the resources' shortage weights."""
        weights = np.array([self.posed.shortage_weight[name] for name in self.posed.names])
        return float(self.mean_short.sum(axis=(0, 2)) @ weights)

    @property
    def transfers(self) -> float:
        """Patients, staff and equipment moved; drugs travel in bulk and aren't counted."""
        return float(self.parts.loc["transfers", "amount"])

    @cached_property
    def moves(self) -> pd.DataFrame:
        """The `moves` table."""
        posed, rows = self.posed, []
        for shipment in self.shipments:
            patients = posed.kinds[posed.names[shipment.resource]] == "bed"
            arrival = shipment.period if patients else self.model.arrival[shipment.link, shipment.period]
            rows.append((posed.dates[shipment.period], posed.dates[arrival], posed.links["origin"].iloc[shipment.link],
                         posed.links["destination"].iloc[shipment.link], posed.names[shipment.resource],
                         "patients" if patients else "units", posed.links["distance_km"].iloc[shipment.link], shipment.amount))
        keys = ["date", "arrival", "origin", "destination", "resource", "what", "distance_km"]
        moves = pd.DataFrame(rows, columns=[*keys, "amount"]).astype(
            {"date": "datetime64[us]", "arrival": "datetime64[us]", "amount": float, "distance_km": float})
        summed = moves.groupby(keys, as_index=False)["amount"].sum().round({"amount": 4})
        return summed[[*keys[:-1], "amount", "distance_km"]]

    @cached_property
    def surge(self) -> pd.DataFrame:
        """The `surge_plan` table."""
        posed = self.posed
        found = np.argwhere(self.surge_units > NOISE)
        surge = pd.DataFrame([(posed.dates[period], posed.sites[site], posed.names[resource],
                               posed.dates[period] - pd.Timedelta(days=posed.surge_lead_days[site, resource]),
                               self.surge_units[site, resource, period]) for site, resource, period in found],
                             columns=["date", "site", "resource", "decide_by", "surge"]).astype(
            {"date": "datetime64[us]", "decide_by": "datetime64[us]", "surge": float})
        return surge.sort_values(["date", "site", "resource"], ignore_index=True).round({"surge": 4})

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The plan's tables by name: moves, surge_plan, shortage (where there is any), stock, parts."""
        posed = self.posed
        index = pd.MultiIndex.from_product([posed.dates, posed.sites, posed.names], names=["date", "site", "resource"])
        short = pd.DataFrame({"shortage": self.mean_short.transpose(2, 0, 1).ravel()}, index=index).round(4)
        return {"moves": self.moves, "surge_plan": self.surge, "shortage": short[short["shortage"] > 0].reset_index(),
                "stock": self.stock, "parts": self.parts.rename_axis("part").reset_index()}

    def explain(self, bound: float | None = None) -> list[str]:
        """Tell the plan in five sentences.

        Parameters
        ----------
        bound : float, optional
            Weighted unit-days short that no reallocation can beat, as from `medlib.simulate.bound_shortage`.
        """
        return explain_plan(self, bound)

    def price_units(self) -> pd.DataFrame:
        """What one more unit throughout the horizon would take off the objective, read off the duals, dearest first.

        Returns
        -------
        pandas.DataFrame
            site, resource, saves: in the objective's unit; for a drug by one more unit on hand at the start. A dual holds for a
            small change only and need not be unique.
        """
        posed, model = self.posed, self.model
        value = np.zeros((len(posed.sites), len(posed.names)))
        value[:, model.movable] = self.duals["usable"].sum(axis=(0, 3)) * posed.occupancy[model.movable]
        # One more unit throughout enters the balance of the first period only and then stays.
        value[:, model.units] = self.duals["present"][:, :, 0]
        if len(model.drugs):
            value[:, model.drugs] = self.duals["stock"][:, :, :, -1, 0].sum(axis=0)
        index = pd.MultiIndex.from_product([posed.sites, posed.names], names=["site", "resource"])
        prices = pd.DataFrame({"saves": 0.0 - value.ravel()}, index=index).reset_index()
        return prices.sort_values("saves", ascending=False, kind="stable", ignore_index=True)

    def price_capacity(self) -> pd.DataFrame:
        """Value of one more unit throughout the horizon in weighted unit-days of shortage (and costs in their terms).

        Returns
        -------
        pandas.DataFrame
            site, resource, saves, in the order of the sites and resources; see `price_units`.
        """
        prices = self.price_units().set_index(["site", "resource"])["saves"]
        index = pd.MultiIndex.from_product([self.posed.sites, self.posed.names], names=["site", "resource"])
        with np.errstate(divide="ignore", invalid="ignore"):
            return (prices.reindex(index) / np.float64(self.posed.rules.shortage_cost)).reset_index()


def solve(posed: Problem, minimise: str | Sequence[str] = COST, at_most: dict[str, float] | None = None,
          method: str = "", gap: float | None = None, risk: Risk | None = None) -> Plan:
    """Find an optimal plan with PuLP on HiGHS.

    Parameters
    ----------
    posed : Problem
    minimise : str or sequence of str
        'cost' (every part of the objective at its price), one part, or several in order: the second is minimised among
        the plans of which the first is least. Parts: shortage, transfers, deliveries, distance_km, links, changes, surge,
        surge_levels, overtime, orders; with a measure of risk tail_shortage (cvar), worst_shortage (robust).
    at_most : dict of str to float
        Limits on parts.
    method : str
        HiGHS' method; left out: by the size and kind of the problem.
    gap : float
        Relative gap to the optimum at which the search for a plan in whole units stops; left out: `GAP`.
    risk : Risk, optional
        How shortage that differs between scenarios counts; left out: by its mean.

    Returns
    -------
    Plan

    Raises
    ------
    MedlibError
        HiGHS found no optimum (`Infeasible`: no plan keeps all limits), or in whole units no plan within the time; the message
        gives its status.
    """
    model = make_model(posed, risk)
    for part, most in (at_most or {}).items():
        model.limit(part, most)
    return read_plan(model, minimise, method, gap)


def solve_lexicographic(posed: Problem) -> Plan:
    """Find a plan of least shortage and, among those, of least cost.

    Used for perfect foresight, below which no policy's shortage can lie.
    """
    return solve(posed, ("shortage", COST))


def make_model(posed: Problem, risk: Risk | None = None) -> Model:
    """Make the model that is solved fastest: from `MANY` on with tangents in place of scenarios, where they can stand for them."""
    cells = posed.capacity.size
    small = len(posed.links) * len(posed.at.movable) * len(posed.dates) < LARGE
    many = len(posed.weights) > 1 and len(posed.weights) * cells >= MANY
    return (CutModel if many and small and can_cut(posed, risk or Risk()) else Model)(posed, risk)


def choose_method(model: Model, gap: float) -> dict[str, object]:
    """HiGHS' options by size and kind, as measured by benchmarks/allocation.py."""
    posed, columns = model.posed, model.lp.column_count
    if any(family.integer for family in model.lp.columns.values()):
        return {"solver": "choose", "gapRel": gap, "timeLimit": PATIENCE}
    patients = "relocated" in model.lp.columns and columns >= MEDIUM
    interior = len(posed.weights) > 1 or patients or columns >= LARGE
    return {"solver": "ipm" if interior else "simplex", "apart": "resource"}


def read_plan(model: Model, minimise: str | Sequence[str] = COST, method: str = "", gap: float | None = None) -> Plan:
    """Solve a model, to which rules may have been added by hand, and read the plan; parameters as `solve`."""
    options = choose_method(model, GAP if gap is None else gap) | ({"solver": method} if method else {})
    order = [minimise] if isinstance(minimise, str) else list(minimise)
    proofs: list[tuple[str, float]] = []
    for part in order[:-1]:
        model.limit(part, np.inf, "hold")
    for place, part in enumerate(order):
        model.set_objective(model.prices if part == COST else {part: 1.0})
        if options["solver"] == "ipm" and model.lp.column_count >= LARGE:
            _solve_large(model, options)
        else:
            _solve(model, options)
        proofs.append((model.lp.outcome, model.lp.gap))
        if place < len(order) - 1:
            model.limit(part, model.lp.minimum + SLACK * max(1.0, abs(model.lp.minimum)), "hold")
            if model.lp.column_count < LARGE and options["solver"] == "ipm":
                # The simplex method starts from the last plan; the interior point method cannot.
                options = options | {"solver": "simplex"}
    plan = _read(model, order, proofs)
    for part in order[:-1]:
        model.limit(part, np.inf, "hold")
    return plan


def _solve_large(model: Model, options: dict[str, object]) -> None:
    """Prove a bound, then find a plan among the moves that its solution makes; the gap between both is the plan's."""
    lp, posed, most = model.lp, model.posed, model.move.high
    lp.solve(model.make_solver(msg=False, threads=1, run_crossover="off", kkt_tolerance=LOOSE, **options))
    bound = lp.prove_bound(reach=float(posed.need.max(axis=0).sum() + posed.capacity.sum() + posed.surge.sum()))
    used = model.move.gather(model.move.value) > SUPPORT
    model.move.update(high=np.where(used, most, 0.0), touched=False)
    _solve(model, options)
    model.move.update(high=most, touched=False)
    lp.gap = (lp.minimum - bound) / max(abs(lp.minimum), 1.0)


def _solve(model: Model, options: dict[str, object]) -> None:
    """Solve; where the interior point method gets stuck (next to nothing between the limits), by the simplex method."""
    lp = model.lp
    for attempt in (options, {"solver": "simplex"}):
        lp.solve(model.make_solver(msg=False, threads=1, **attempt))
        if lp.outcome in ("Optimal", "Infeasible", "Unbounded", "Time limit reached"):
            break
        lp.live = None
    if lp.outcome == "Time limit reached" and not np.isfinite(lp.gap):
        lp.live = None
        raise MedlibError(f"No plan in whole units was found within {options['timeLimit']:g} s; allow a larger gap, or fractions.")
    if lp.outcome not in ("Optimal", "Time limit reached"):
        if lp.outcome == "Infeasible":
            raise Infeasible(model)
        raise MedlibError(f"The allocation has no optimal plan: HiGHS says {lp.outcome!r}; look at limits and at the rules added by hand.")


def tell_conflict(lp: BlockProblem) -> str:
    """Name the rules that cannot hold together, where HiGHS finds them."""
    names = lp.find_conflict()
    if not names:
        return "Shortage is always allowed, so look at limits and at the rules added by hand first."
    # What somebody asked for comes first: limits and rules by hand, then what describes the world.
    world = tuple(f"{name}_" for name in {**lp.rows, **lp.columns} if not name.startswith(ASKED))
    asked = [name for name in names if not name.startswith(world)] or names
    more = f", with {len(names) - len(asked[:6])} further bounds" if len(names) > len(asked[:6]) else ""
    return (f"These cannot hold together: {', '.join(asked[:6])}{more}; medlib.explain.conflicts.explain_conflict tells the fewest of "
            "them, and the cheapest way out.")


def _read(model: Model, order: list[str], proofs: list[tuple[str, float]]) -> Plan:
    lp, posed = model.lp, model.asked
    # What was not proven for one part is not proven for the plan.
    status = next((outcome for outcome, _ in proofs if outcome != "Optimal"), "Optimal")
    decided = {name: np.maximum(lp.columns[name].value, 0.0) for name in DECIDED if name in lp.columns}
    short, told = _read_short(model, decided)
    surge = np.zeros(posed.surge.shape)
    surge[:, model.movable] = decided["surge"]
    duals = {name: rows.dual for name, rows in lp.rows.items()} | {row.name: row.pi for row in lp.list_rows_by_hand()}
    amounts = {part: model.measure(part) for part in model.prices} | told
    parts = pd.DataFrame({"amount": amounts, "price": model.prices})
    return Plan(model=model, status=status, objective=lp.minimum, gap=max(gap for _, gap in proofs),
                parts=parts.assign(cost=parts["amount"] * parts["price"]), shipments=_read_shipments(model), surge_units=surge,
                short=np.where(short < NOISE, 0.0, short), duals=duals,
                stock=_tabulate_stock(model), posed=posed, minimise=order, decided=decided)


def _read_short(model: Model, decided: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, float]]:
    """Units short by scenario, and the parts that follow from them where the program's columns do not tell them."""
    posed, risk = model.asked, model.risk
    if isinstance(model, CutModel) or risk.measure in ("cvar", "robust") and not list_uncovered(posed):
        # A program that counts the worst leaves open what else is short; one with tangents has no columns by scenario.
        recourse = Recourse(posed)
        unmet = recourse.find_unmet(weigh_load(posed, decided))
        short, costs = recourse.count_short(unmet), recourse.weigh(unmet)
    elif risk.measure == "cvar":
        short = np.maximum(model.short.value, 0.0)
        costs = sum((columns.value * each).reshape(len(posed.weights), -1).sum(axis=1) for columns, each in list_scarcity(model))
    else:
        return np.maximum(model.short.value, 0.0), {}
    told = {"shortage": float(posed.weights @ costs)}
    if risk.measure == "cvar":
        told["tail_shortage"] = measure_tail(costs, posed.weights, risk.level)[0]
    return short, told


def _read_shipments(model: Model) -> list[Shipment]:
    dates, last = model.posed.dates, len(model.posed.dates) - 1
    amounts = model.move.value
    found = [Shipment(int(link), int(model.movable[place]), int(period), float(amounts[link, place, period]))
             for link, place, period in np.argwhere(amounts > NOISE)]
    if len(model.drugs):
        amounts = model.batch.value
        for link, drug, cohort, period in np.argwhere(amounts > NOISE):
            end = model.ends[cohort]
            found.append(Shipment(int(link), int(model.drugs[drug]), int(period), float(amounts[link, drug, cohort, period]),
                                  dates[end], dates[end + 1] if end < last else None))
    return found


def _tabulate_stock(model: Model) -> pd.DataFrame:
    if not len(model.drugs):
        return pd.DataFrame(columns=["scenario", "site", "resource", "date", "used", "of it lost", "kept", "wasted"])
    posed, rows = model.posed, model.lp.rows["stock"]
    used, kept = model.used.value, model.stock.value
    # What a row has to spare was thrown away; so is what a cohort still holds after its last usable period.
    spare = rows.shape_up(rows.high - model.lp.solution.row_value[rows.span])
    expired = np.zeros_like(kept)
    for cohort, end in enumerate(model.ends[:-1]):
        expired[:, :, :, cohort, end] = kept[:, :, :, cohort, end]
    lost = used * posed.at.wastage[model.drugs][:, None, None]
    index = pd.MultiIndex.from_product([range(len(posed.weights)), posed.sites, [posed.names[drug] for drug in model.drugs],
                                        posed.dates], names=["scenario", "site", "resource", "date"])
    sums = {"used": used, "of it lost": lost, "kept": kept - expired, "wasted": spare + expired}
    return pd.DataFrame({name: amounts.sum(axis=3).ravel() for name, amounts in sums.items()}, index=index).round(
        4).reset_index()
