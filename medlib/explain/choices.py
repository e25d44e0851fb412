"""Choices: why this transfer and not that one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from medlib.allocate import Infeasible, Plan
from medlib.allocate.model import COST
from medlib.blocks import Columns
from medlib.errors import MedlibError
from medlib.explain.probe import Probe, bound_for_a_while
from medlib.explain.words import format_amount, format_change, format_date, join_words, name_resource

#: Amounts below this are none.
NOISE = 1e-6
#: Parts of the objective in words.
WORDS = {"shortage": "weighted unit-days short", "transfers": "transfers", "deliveries": "drug units sent", "distance_km": "kilometres",
         "links": "cost points of links", "changes": "changes from day to day", "surge": "surge unit-days",
         "surge_levels": "cost points of surge levels", "overtime": "units of overtime", "orders": "cost points of orders",
         "tail_shortage": "weighted unit-days short in the tail", "worst_shortage": "weighted unit-days short at worst"}


class Move(NamedTuple):
    """A transfer of patients, staff or equipment: who sends what to whom when."""

    origin: str
    destination: str
    resource: str
    date: str | pd.Timestamp

    def tell(self, names: dict[str, str] | None = None) -> str:
        """Name the way in words."""
        names = names or {}
        return (f"from {names.get(self.origin, self.origin)} to "
                f"{names.get(self.destination, self.destination)} on {format_date(pd.Timestamp(self.date))}")


@dataclass(frozen=True, eq=False)
class Choice:
    """A move of a plan against an alternative, all the rest planned anew.

    Parameters
    ----------
    made, instead : Move or None
        Moved less: the plan's move; moved more: the alternative (None: none).
    thing : str
        One of what moves, in words.
    amount : float
        Units moved less, or more.
    first_order : float
        What the reduced costs say that it costs: never more than it does. Missing for whole units and for parts minimised in order.
    difference : float
        What it costs, by solving again: in cost points, or the amount of the part that is minimised first and differs; infinite where
        it cannot be.
    parts : pandas.DataFrame
        Indexed by part of the objective: amount and cost by which the plan found differs. Their sum is unique, they need not be.
    tie : bool
        It is as good, as far as the solver can tell.
    reason : str
        Why it cannot be.
    """

    made: Move | None
    instead: Move | None
    thing: str
    amount: float
    first_order: float
    difference: float
    parts: pd.DataFrame
    tie: bool
    reason: str = ""


def compare_choice(plan: Plan, made: Move | None, instead: Move | None = None, amount: float = 1.0) -> Choice:
    """Find what it costs to make another move instead, or none.

    Parameters
    ----------
    plan : Plan
        Rules that were added to it by hand hold.
    made : Move or None
        A move of the plan; None: the alternative is forced upon the plan as it is.
    instead : Move or None
        The alternative; None: the move is forbidden altogether.
    amount : float
        Units that the alternative takes over; no more than the move has.

    Returns
    -------
    Choice

    Raises
    ------
    MedlibError
        There is no such move.
    """
    with Probe(plan, plan.minimise) as probe:
        return _compare(probe, made, instead, amount)


def weigh_alternatives(plan: Plan, made: Move, count: int = 5, amount: float = 1.0) -> pd.DataFrame:
    """Solve for the alternatives to a move that look best by their reduced costs, and for none.

    Parameters
    ----------
    plan, made, amount
        As for `compare_choice`.
    count : int
        Alternatives solved for, besides none; they differ from the move in one thing: its origin, destination or date.

    Returns
    -------
    pandas.DataFrame
        instead, origin, destination, date, amount, first_order, difference, verdict; the best first, none last.
    """
    with Probe(plan, plan.minimise) as probe:
        duals = probe.model.move.shape_up(probe.duals[0][probe.model.move.span])
        found = sorted(_list_alternatives(probe.model.move, made), key=lambda other: duals[locate_move(probe.model.move, other[1])])
        choices = [(kind, _compare(probe, made, other, amount)) for kind, other in found[:count]]
        choices = sorted(choices, key=lambda choice: choice[1].difference) + [("none", _compare(probe, made, None, amount))]
    rows = [(kind, *((choice.instead or made)[:2] if choice.instead else (None, None)), (choice.instead or made).date, choice.amount,
             choice.first_order, choice.difference, "impossible" if choice.reason else "as good" if choice.tie else "dearer")
            for kind, choice in choices]
    return pd.DataFrame(rows, columns=["instead", "origin", "destination", "date", "amount", "first_order", "difference", "verdict"])


def _list_alternatives(moves: Columns, made: Move) -> list[tuple[str, Move]]:
    link, resource, date = locate_move(moves, made)
    pairs, dates = moves.axes["link"], moves.axes["date"]
    there = moves.index[:, resource] >= 0
    others = [(f"other {what}", other, date) for what, place in (("destination", 0), ("origin", 1))
              for other, pair in enumerate(pairs) if pair[place] == pairs[link][place] and other != link and there[other, date]]
    others += [("other date", link, other) for other in range(len(dates)) if other != date and there[link, other]]
    return [(kind, Move(*pairs[place], made.resource, dates[when])) for kind, place, when in others]


def locate_move(moves: Columns, move: Move) -> tuple[int, ...]:
    """Position of a move in the family of moves."""
    return moves.locate((move.origin, move.destination), move.resource, move.date)


def _compare(probe: Probe, made: Move | None, instead: Move | None, amount: float) -> Choice:
    moves, base = probe.model.move, probe.base
    reduced, changes, first = probe.duals[0], {}, 0.0
    thing = name_thing(probe.plan, (made or instead).resource)
    if made:
        place = locate_move(moves, made)
        have = probe.amounts[place]
        amount = min(amount, have) if instead else have
        if have < NOISE:
            raise MedlibError(f"The plan moves no {thing} {made.tell()}; choose one of its moves, or force the other one alone.")
        changes[place] = (None, max(have - amount, 0.0))
        first -= amount * min(reduced[moves.index[place]], 0.0)
    if instead:
        place = locate_move(moves, instead)
        changes[place] = (probe.amounts[place] + amount, None)
        first += amount * reduced[moves.index[place]]
    if probe.whole or len(base.minimise) > 1:
        first = np.nan
    try:
        with bound_for_a_while(moves, changes):
            found = probe.solve()
    except Infeasible as error:
        return Choice(made, instead, thing, amount, first, np.inf, base.parts.iloc[:0], False, str(error))
    parts = (found.parts - base.parts)[["amount", "cost"]]
    total = parts["cost"].sum()
    differs = [total if part == COST else parts.loc[part, "amount"] for part in base.minimise]
    size = [abs(base.parts["cost"].sum() if part == COST else base.parts.loc[part, "amount"]) for part in base.minimise]
    slack = [(base.gap + found.gap + probe.exact) * max(1.0, each) for each in size]
    counts = [place for place in range(len(differs)) if abs(differs[place]) > slack[place]]
    return Choice(made, instead, thing, amount, first, differs[counts[0] if counts else 0], parts, not counts)


def name_thing(plan: Plan, resource: str) -> str:
    """One of what moves, in words."""
    return name_resource(resource) + (" patient" if plan.posed.kinds[resource] == "bed" else "")


def describe_choice(choice: Choice, names: dict[str, str] | None = None) -> str:
    """Tell in a sentence what an alternative would cost, and in what.

    Parameters
    ----------
    choice : Choice
    names : dict of str to str, optional
        Name of each site.
    """
    things = f"{format_amount(choice.amount)} {choice.thing}{'' if choice.amount == 1 else 's'}"
    if choice.instead:
        what = f"Moving {things} {choice.instead.tell(names)} " + (f"instead of {choice.made.tell(names)}" if choice.made else "besides")
    else:
        what = f"Moving no {choice.thing}s {choice.made.tell(names)}"
    if choice.reason:
        return f"{what} cannot be: {choice.reason}"
    if choice.tie:
        return f"{what} would be as good."
    told = [f"{abs(row.amount):,.1f} {'more' if row.amount > 0 else 'fewer'} {WORDS[part]} ({format_change(row.cost, 1)})"
            for part, row in choice.parts.iterrows() if abs(row.amount) >= 0.05]
    return f"{what} would cost {choice.parts['cost'].sum():,.2f} cost points more: {join_words(told) or 'a little of each part'}."
