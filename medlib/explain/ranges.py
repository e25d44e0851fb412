"""Ranges: between which prices a plan stays the best one. Capacity has its ranges in `prices`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medlib.allocate import Plan
from medlib.allocate.model import COST
from medlib.blocks import Columns
from medlib.errors import MedlibError
from medlib.explain.choices import NOISE, WORDS, Move, locate_move, name_thing
from medlib.explain.probe import Probe, find_break

#: A price is followed up to so many times itself (or a point, where it is less).
FAR = 1000.0
#: Name of the part whose price is raised beside the others.
EXTRA = "raised"


@dataclass(frozen=True)
class Range:
    """Between which prices a plan stays the best one.

    Parameters
    ----------
    what : str
        What is priced, in words.
    price, low, high : float
        Its price now, and the lowest and highest at which the plan is still optimal; infinite where any price is.
    amount, amount_below, amount_above : float
        How much of it the plan has, and how much the best plan has just beyond.
    """

    what: str
    price: float
    low: float
    high: float
    amount: float
    amount_below: float
    amount_above: float


def range_price(plan: Plan, part: str) -> Range:
    """Find between which prices of a part of the objective the plan stays the best one.

    Parameters
    ----------
    plan : Plan
        One that minimises cost, in fractions.
    part : str
        As for `medlib.allocate.solve`, for example transfers.

    Raises
    ------
    MedlibError
        The plan is one of whole units, or minimises something else.
    """
    if part not in plan.model.prices:
        raise MedlibError(f"The objective has no part {part!r}; its parts are {', '.join(plan.model.prices)}.")
    price = plan.model.prices[part]
    return _range_cost(plan, WORDS[part], price, plan.model.parts.get(part, []))


def range_move(plan: Plan, move: Move, names: dict[str, str] | None = None) -> Range:
    """Find between which costs of one move the plan stays the best one; as `range_price`."""
    moves, rules = plan.model.move, plan.posed.rules
    place = locate_move(moves, move)
    link = plan.posed.links.iloc[place[0]]
    price = rules.move_cost + rules.cost_per_km * link["distance_km"] + link["cost"]
    each = np.zeros(moves.shape)
    each[place] = 1.0
    return _range_cost(plan, f"{name_thing(plan, move.resource)}s {move.tell(names)}", price, [(moves, each)])


def _range_cost(plan: Plan, what: str, price: float, terms: Sequence[tuple[Columns, np.ndarray | float]]) -> Range:
    if plan.minimise != [COST]:
        raise MedlibError(f"Prices have ranges where cost is minimised; this plan minimises {', '.join(plan.minimise)}.")
    with Probe(plan, COST) as probe:
        if probe.whole:
            raise MedlibError("Prices have ranges in fractions only; solve the problem with integer=False, without lots and set-up costs.")
        model = probe.model
        model.parts[EXTRA], model.prices[EXTRA] = terms, 0.0
        now = model.measure(EXTRA)

        def try_at(change: float) -> tuple[float, float]:
            model.prices[EXTRA] = change
            return probe.solve().objective, model.measure(EXTRA)

        try:
            (low, below), (high, above) = (find_break(try_at, probe.base.objective, now, reach, probe.exact)
                                           for reach in (-price, FAR * max(1.0, price)))
        finally:
            del model.parts[EXTRA], model.prices[EXTRA]
    return Range(what, price, max(price + low, 0.0), price + high, now, below, above)


def describe_range(found: Range) -> str:
    """Tell in a sentence what the price would have to be for the plan to change."""
    ends = [f"below, {found.amount_below:,.1f}" if found.low > NOISE else "",
            f"above, {found.amount_above:,.1f}" if np.isfinite(found.high) else ""]
    told = "; ".join(end for end in ends if end) or "at no price would another plan be better"
    span = f"from {found.low:.4g} " + (f"to {found.high:.4g}" if np.isfinite(found.high) else "on")
    return f"The plan has {found.amount:,.1f} {found.what} at {found.price:.4g} points each, and stays the best {span} points; {told}."
