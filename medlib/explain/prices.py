"""Shadow prices: what more units would be worth, confirmed by solving again, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from medlib.allocate import Plan, Problem, make_model, read_plan
from medlib.allocate.model import COST
from medlib.blocks.highs import is_whole
from medlib.errors import MedlibError
from medlib.explain.probe import Probe, find_break, measure_slope, read_bounds
from medlib.explain.words import format_amount, format_date, join_words, name_resource
from medlib.language import say

#: Savings below this are rounding noise of the solver.
NOISE = 0.005


@dataclass(frozen=True)
class Extra:
    """More units of a resource at one site.

    Parameters
    ----------
    site, resource : str
    amount : float
        Units more; below 0: fewer.
    first, last : str or pandas.Timestamp, optional
        Periods in which they are there; left out: from the start, to the end. A drug's units are delivered in the first of them.
    staffed : bool
        With all that this many units in use require, directly or by way of others; a drug among it is delivered in every period.
    """

    site: str
    resource: str
    amount: float = 1.0
    first: str | pd.Timestamp | None = None
    last: str | pd.Timestamp | None = None
    staffed: bool = False


@dataclass(frozen=True, eq=False)
class Worth:
    """What more units are worth.

    Parameters
    ----------
    extra : Extra
    unit : str
        What the figures count.
    promised : float
        What the duals say they save, to first order; missing for whole units, which have no duals.
    confirmed : float
        What they save, by solving again: the figure to quote.
    saved : pandas.Series
        Units short less, by the resource's unit: in the plans found, which need not be the only best ones.
    holds_from, holds_to : float
        Number of units between which each unit saves as much as was promised; 0 where one side does not (duals need not be unique).
    rate_below, rate, rate_above : float
        What one unit saves below, between and above these.
    """

    extra: Extra
    unit: str
    promised: float
    confirmed: float
    saved: pd.Series
    holds_from: float = np.nan
    holds_to: float = np.nan
    rate_below: float = np.nan
    rate: float = np.nan
    rate_above: float = np.nan


def add_units(posed: Problem, extra: Extra) -> Problem:
    """The problem with more units; see `Extra`.

    Raises
    ------
    MedlibError
        The site, the resource or the span is not there.
    """
    for what, known, name in (("site", posed.sites, extra.site), ("resource", posed.names, extra.resource)):
        if name not in known:
            raise MedlibError(f"The problem has no {what} {name!r}; choose one of {', '.join(known)}.")
    site, resource, span = posed.sites.index(extra.site), posed.names.index(extra.resource), _find_span(posed, extra)
    capacity = posed.capacity.copy()
    capacity[site, resource, span[:1] if resource in posed.at.drugs else span] += extra.amount
    if extra.staffed:
        capacity[site, :, span] += extra.amount * posed.needs[resource]
    return replace(posed, capacity=capacity)


def _find_span(posed: Problem, extra: Extra) -> np.ndarray:
    first, last = (edge if stated is None else pd.Timestamp(stated)
                   for stated, edge in ((extra.first, posed.dates[0]), (extra.last, posed.dates[-1])))
    span = np.flatnonzero((posed.dates >= first) & (posed.dates <= last))
    if not len(span):
        raise MedlibError(f"The plan has no period from {first:%Y-%m-%d} to {last:%Y-%m-%d}; it runs from {posed.dates[0]:%Y-%m-%d} to "
                          f"{posed.dates[-1]:%Y-%m-%d}.")
    return span


def weigh_extras(plan: Plan, extras: Sequence[Extra], ranges: bool = True) -> list[Worth]:
    """Find what more units are worth: the duals' promise, and what solving again confirms.

    Parameters
    ----------
    plan : Plan
        Priced is what it minimises (where it minimises several parts in order: the first). Rules that were added by hand hold.
    extras : sequence of Extra
        Each is tried alone.
    ranges : bool
        Find, too, for how many units the promise holds: some ten solves more for each.

    Returns
    -------
    list of Worth

    Raises
    ------
    MedlibError
        An extra names what is not there, or takes away more than is there.
    """
    with Probe(plan, plan.minimise[0]) as probe:
        return [_weigh(probe, extra, ranges) for extra in extras]


def _weigh(probe: Probe, extra: Extra, ranges: bool) -> Worth:
    posed, base = probe.plan.posed, probe.base
    probe.model.update(add_units(posed, extra))
    changed = probe.solve()
    per_day = {name: unit for name, unit in zip(posed.names, posed.resources["unit"])}
    saved = pd.Series((base.mean_short - changed.mean_short).sum(axis=(0, 2)), [per_day[name] for name in posed.names])
    unit = {COST: "cost points", "shortage": "weighted unit-days"}.get(probe.minimise, probe.minimise)
    worth = Worth(extra, unit, np.nan, base.objective - changed.objective, saved)
    if probe.whole:
        return worth
    rate = 0.0 - _slope(probe, extra, probe.duals)
    worth = replace(worth, promised=rate * extra.amount, rate=rate)
    return replace(worth, **_find_range(probe, extra, rate)) if ranges else worth


def _slope(probe: Probe, extra: Extra, duals: tuple[np.ndarray, np.ndarray]) -> float:
    """Gain of the minimum by one unit more, at these duals."""
    probe.model.update(add_units(probe.plan.posed, replace(extra, amount=1.0)))
    return measure_slope(duals, probe.bounds, read_bounds(probe.lp))


def _find_range(probe: Probe, extra: Extra, rate: float) -> dict[str, float]:
    posed, span = probe.plan.posed, _find_span(probe.plan.posed, extra)
    site, resource = posed.sites.index(extra.site), posed.names.index(extra.resource)

    def try_at(amount: float) -> tuple[float, float]:
        probe.model.update(add_units(posed, replace(extra, amount=amount)))
        return probe.solve().objective, _slope(probe, extra, probe.read_duals())

    takes = posed.needs[resource] * extra.staffed
    takes[resource] = 1.0
    there = np.minimum(posed.scenario_capacity[:, site].min(axis=0), posed.capacity[site])[:, span].min(axis=1)
    there[posed.at.drugs] = posed.capacity[site, posed.at.drugs, span[0]]
    least = min(there[takes > 0] / takes[takes > 0])
    most = posed.need[:, :, resource].sum(axis=(1, 2)).max() / posed.occupancy[resource] + 1.0
    search = partial(find_break, try_at, probe.base.objective, -rate, exact=probe.exact)
    (low, below), (high, above) = search(-least) if least > 0 else (0.0, -rate), search(most)
    return {"holds_from": max(low, -least), "holds_to": high, "rate_below": 0.0 - below, "rate_above": 0.0 - above}


def tabulate_worth(worth: Sequence[Worth]) -> pd.DataFrame:
    """Promise and confirmation side by side.

    Returns
    -------
    pandas.DataFrame
        site, resource, amount, first, last, promised, confirmed, holds_from, holds_to; first and last are missing where unstated.
    """
    return pd.DataFrame([{**{name: getattr(one.extra, name) for name in ("site", "resource", "amount")},
                          **{name: pd.Timestamp(getattr(one.extra, name)) for name in ("first", "last")},
                          **{name: getattr(one, name) for name in ("promised", "confirmed", "holds_from", "holds_to")}} for one in worth])


def describe_worth(worth: Worth, names: dict[str, str] | None = None) -> str:
    """Tell in a sentence what units are worth, by the confirmed figures alone.

    Parameters
    ----------
    worth : Worth
    names : dict of str to str, optional
        Name of each site.
    """
    gain = worth.saved.groupby(level=0, sort=False).sum()
    told = [f"{word} {join_words(amounts)} of shortage" for word, sign in (("save", 1), ("add", -1)) if (
        amounts := [f"{format_amount(sign * value)} {unit}s" for unit, value in gain.items() if sign * value >= 0.05])]
    total = f"{format_amount(worth.confirmed)} {worth.unit} in all".replace("-", "\N{MINUS SIGN}", worth.confirmed < 0)
    if abs(worth.confirmed) < NOISE:
        told = told or ["change nothing that counts"]
    else:
        told = [f"{join_words(told)} ({total})"] if told else [f"save {total}"]
    return f"{tell_extra(worth.extra, names)} would {join_words(told)}."


def describe_range(worth: Worth, names: dict[str, str] | None = None) -> str:
    """Tell between how many units one more is worth as much as the duals say, and what it is worth beyond; see `describe_worth`."""
    low, high = worth.holds_from, worth.holds_to
    ends = [f"with {-low:.1f} fewer, {worth.rate_below:,.1f}" if worth.rate_below != worth.rate else "",
            f"with {high:.1f} more, {worth.rate_above:,.1f}" if np.isfinite(high) else ""]
    change = "; from there on, ".join(end for end in ends if end) or "however many there are"
    return f"{tell_extra(replace(worth.extra, amount=1.0), names)} saves {worth.rate:,.1f} {worth.unit} to first order; {change}."


def tell_extra(extra: Extra, names: dict[str, str] | None = None) -> str:
    """Name more units in words, for example '10 more staffed ICU beds at Aachen on 3 December 2021'."""
    one = abs(extra.amount) == 1
    things = ("staffed " if extra.staffed else "") + name_resource(extra.resource) + ("" if one else "s")
    first, last = (None if end is None else format_date(pd.Timestamp(end)) for end in (extra.first, extra.last))
    when = (f"on {first}" if first == last else " ".join(f"{word} {end}" for word, end in (("from", first), ("to", last)) if end)
            ) if first or last else "throughout"
    amount = "One" if one else format_amount(abs(extra.amount))
    return f"{amount} {'more' if extra.amount >= 0 else 'fewer'} {things} at {(names or {}).get(extra.site, extra.site)} {when}"


def confirm_prices(problem: Problem, prices: pd.DataFrame, base_cost: float, count: int = 5) -> pd.DataFrame:
    """Solve again with one more unit at the places where the duals promise most.

    Parameters
    ----------
    problem : Problem
        The question that was answered.
    prices : pandas.DataFrame
        As from `Plan.price_capacity`.
    base_cost : float
        Objective of its optimal plan, in cost points.
    count : int
        Places confirmed.

    Returns
    -------
    pandas.DataFrame
        The `shadow_prices` table, most valuable first; `confirmed` is missing for places not solved again. Duals need
        not be unique and hold for small changes only, so the confirmed figure is the one to quote. `weigh_extras` does the same
        for any number of units, at any time.
    """
    prices = prices.sort_values("saves", ascending=False, kind="stable", ignore_index=True)
    confirmed, model = np.full(len(prices), np.nan), make_model(problem)
    method = ""
    for row in prices[prices["saves"] > 1e-6].head(count).itertuples():
        model.update(add_units(problem, Extra(row.site, row.resource)))
        saved = base_cost - read_plan(model, method=method).objective
        confirmed[row.Index] = saved / problem.rules.shortage_cost
        # The simplex method goes on from the last solution.
        method = "" if is_whole(model.lp) else "simplex"
    return prices.assign(confirmed=confirmed).round({"saves": 4, "confirmed": 4})


def describe_prices(prices: pd.DataFrame, resources: pd.DataFrame, names: dict[str, str], span: str) -> list[str]:
    """Put confirmed shadow prices into words, one sentence a place.

    Parameters
    ----------
    prices : pandas.DataFrame
        The `shadow_prices` table.
    resources : pandas.DataFrame
        The `resources` table.
    names : dict of str to str
        Name of each site.
    span : str
        The horizon in words, for example '14 days'.
    """
    kinds = resources.set_index("resource")["kind"]
    sentences = []
    for row in prices[prices["confirmed"] > 0.005].itertuples():
        how = say("at the start") if kinds[row.resource] == "drug" else say("throughout the {span}", span=span)
        sentences.append(say("One more {resource} at {site} {how} would save {saved:.1f} unit-days of expected shortage.", how=how,
                             resource=name_resource(row.resource), site=names.get(row.site, row.site), saved=row.confirmed))
    return sentences
