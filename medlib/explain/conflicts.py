"""Conflicts: which rules cannot hold together, and the cheapest way out, told by site, day and rule; `elastic` finds both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medlib.allocate import Infeasible, Model, Plan, Problem, Risk, read_plan
from medlib.allocate.cuts import CutModel
from medlib.blocks import BlockProblem, Columns
from medlib.errors import MedlibError
from medlib.explain.elastic import HAND, LIMITS, NOISE, WEIGHTS, Elastic, OutOfTime, Rule, find_smallest, list_rules
from medlib.explain.words import format_amount, format_date, join_words, name_resource


@dataclass(frozen=True, eq=False)
class Conflict:
    """Why there is no plan, and what to give up so that there is one.

    Parameters
    ----------
    rules : list of Rule
        They cannot hold together, and any of them left out, the others can. Empty: no such set was found in time.
    smallest : bool
        No conflict has fewer rules; else the search was given up, and this one is only irreducible.
    relaxation : pandas.DataFrame
        rule, site, date, resource, side, bound, instead, change: the least weighted change of bounds with which there is a plan.
    plan : Plan or None
        With these bounds; None where the solver did not confirm them.
    changes : list of (Rule, float)
        The relaxation by rule: its new bound.
    """

    rules: list[Rule]
    smallest: bool
    relaxation: pd.DataFrame
    plan: Plan | None
    changes: list[tuple[Rule, float]]


def explain_conflict(question: Problem | Model | Plan, at_most: Mapping[str, float] | None = None,
                     weights: Mapping[str, float] | None = None, risk: Risk | None = None) -> Conflict:
    """Find which rules cannot hold together, and the cheapest relaxation.

    Parameters
    ----------
    question : Problem, Model or Plan
        A plan's (or model's) rules by hand count; the model of the last failure is `medlib.allocate.Infeasible.model`.
    at_most, risk
        For a Problem, as for `medlib.allocate.solve`.
    weights : mapping of str to float, optional
        Price of letting a rule go by one unit, by family: day_budget, site_budget, release, transport, limit_shortage, by hand, ...
        Infinite: the rule stays. Other families of rows may be named (usable: 'one more unit there') and can be let go then.

    Returns
    -------
    Conflict

    Raises
    ------
    MedlibError
        There is a plan, or there would be none even without any rule, or the model knows its scenarios by tangents only.
    """
    model = question.model if isinstance(question, Plan) else question if isinstance(question, Model) else Model(question, risk)
    if isinstance(model, CutModel):
        raise MedlibError("This model has tangents in place of its scenarios; ask with its Problem, and at_most, instead.")
    for part, most in (at_most or {}).items():
        model.limit(part, most)
    rules = list_rules(model.lp, WEIGHTS | dict(weights or {}))
    elastic = Elastic(model.lp, rules)
    if not elastic.violates().any():
        elastic.make_whole()
    if not elastic.violates().any():
        raise MedlibError("There is a plan that keeps every rule, so nothing conflicts; ask after a solve that failed.")
    try:
        conflict, smallest = find_smallest(elastic)
    except OutOfTime:  # the way out may be found all the same
        conflict, smallest = [], False
    elastic.make_whole()
    changes = [(rules[place], rules[place].bound + change) for place, change in elastic.relax()]
    return Conflict([rules[place] for place in conflict], smallest, _tabulate(changes), _confirm(model, changes), changes)


def _confirm(model: Model, changes: list[tuple[Rule, float]]) -> Plan | None:
    """Solve with the bounds let go, and take them back."""
    lp = model.lp
    families = [*lp.rows.values(), *lp.columns.values()]
    kept = [(family.low, family.high) for family in families]
    hand = [(row, row.constant) for row in lp.list_rows_by_hand()]
    touched = [(variable, variable.lowBound, variable.upBound) for variable in lp.touched.values()]
    for rule, bound in changes:
        _set_bound(lp, rule, bound)
    try:
        return read_plan(model)
    except Infeasible:
        return None
    finally:
        for family, (low, high) in zip(families, kept):
            family.update(low=low, high=high, **({"touched": False} if isinstance(family, Columns) else {}))
        for row, constant in hand:
            row.constant = constant
        for variable, low, high in touched:
            variable.lowBound, variable.upBound = low, high
        lp.live = None


def _set_bound(lp: BlockProblem, rule: Rule, bound: float) -> None:
    # A hair more, so that rounding does not make it infeasible again.
    bound += NOISE * {"at most": 1, "at least": -1, "exactly": 0}[rule.side]
    if rule.family == HAND and rule.of_row:
        lp.list_rows_by_hand()[rule.number - lp.row_count].constant = -bound
        return
    if rule.family == HAND:
        setattr(lp.touched[rule.number], "upBound" if rule.side == "at most" else "lowBound", bound)
        return
    family = (lp.rows if rule.of_row else lp.columns)[rule.family]
    side = "high" if rule.side == "at most" else "low"
    bounds = getattr(family, side).copy()
    bounds[rule.number - family.span.start] = bound
    family.update(**{side: bounds})


def _tabulate(changes: list[tuple[Rule, float]]) -> pd.DataFrame:
    rows = [(rule.name if rule.family == HAND else rule.family, rule.labels.get("site", rule.labels.get("origin")), rule.labels.get("date"),
             rule.labels.get("resource"), rule.side, rule.bound, bound, bound - rule.bound) for rule, bound in changes]
    return pd.DataFrame(rows, columns=["rule", "site", "date", "resource", "side", "bound", "instead", "change"])


#: Rules in words: who, does what (after 'let', and alone), to which number of what.
TOLD = {"site_budget": ("{site}", "send and receive", "sends and receives", "{resource}s"),
        "day_budget": ("all sites together", "move", "move", "{resource}s"), "release": ("{site}", "release", "releases", "{resource}s"),
        "release_drugs": ("{site}", "release", "releases", "{resource}s"), "transport": ("all moves together", "cover", "cover", "km"),
        "move": ("{origin}", "send {destination}", "sends {destination}", "{resource}s"),
        "short": ("{site}", "be short of", "is short of", "{resource}s"), HAND: ("the rule by hand {name}", "be", "is", "")}


def tell_rule(rule: Rule, names: Mapping[str, str] | None = None, bound: float | None = None) -> str:
    """Name a rule in words, or with another bound what to let go: 'let S3 send and receive 12 instead of 5 beds on 3 May 2024'."""
    ends = ("site", "origin", "destination")
    labels = {key: (names or {}).get(value, value) if key in ends else value for key, value in rule.labels.items()}
    part = next((rule.name.removeprefix(start) for start in LIMITS if rule.name.startswith(start)), rule.name).replace("_", " ")
    who, let, does, what = TOLD.get(rule.family, (part if rule.family.startswith(LIMITS) else rule.family + " at {site}", "be", "is", ""))
    number = f"{rule.side} {format_amount(rule.bound)}" if bound is None else f"{format_amount(bound)} instead of {format_amount(rule.bound)}"
    when = f"on {format_date(labels['date'])}" if "date" in labels else ""
    told = [who, does if bound is None else let, number, what, when]
    words = {"name": rule.name, "site": "all sites", **labels, "resource": name_resource(str(labels.get("resource", "unit")))}
    return ("" if bound is None else "let ") + " ".join(" ".join(told).format(**words).split())


def describe_conflict(conflict: Conflict, names: Mapping[str, str] | None = None, count: int = 6) -> list[str]:
    """Tell in sentences which rules cannot hold together, and the cheapest way out.

    Parameters
    ----------
    conflict : Conflict
    names : mapping of str to str, optional
        Name of each site.
    count : int
        Rules and changes that are named; the others are counted.
    """
    def join(told: list[str]) -> str:
        return join_words(told[:count] + ([f"{len(told) - count} more"] if len(told) > count else []))

    kind = "no fewer rules conflict" if conflict.smallest else "without any one of them the others can hold"
    ways = sorted(conflict.changes, key=lambda change: -abs(change[1] - change[0].bound))
    sentences = [f"These cannot hold together ({kind}): {join([tell_rule(rule, names) for rule in conflict.rules])}."
                 if conflict.rules else "The rules cannot all hold together; a smallest set of them was not found in time.",
                 f"The cheapest way out: {join([tell_rule(rule, names, bound) for rule, bound in ways])}."]
    if conflict.plan is None:
        return sentences + ["Solving with that did not confirm it."]
    short = conflict.plan.weighted_shortage
    return sentences + [f"Solving with that confirms it: the plan then leaves {format_amount(short)} weighted unit-days short."]
