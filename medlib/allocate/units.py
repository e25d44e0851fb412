"""Moves, staff and equipment, surge, and what may be used of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medlib.blocks import INFINITE

if TYPE_CHECKING:
    from medlib.allocate.model import Model
    from medlib.allocate.problem import Problem


def add_moves(model: Model) -> None:
    """Add moves of patients, staff and equipment, in whole lots where the resource says so."""
    posed, lp = model.posed, model.lp
    # A unit that would arrive after the last period helps nobody.
    beds = len(model.beds)
    useful = (np.arange(len(model.movable)) < beds)[:, None] | (model.arrival < len(posed.dates))[:, None, :]
    axes = model.axes("link", model.movable)
    model.move = lp.add_columns("move", axes, integer=posed.rules.integer, where=useful)
    model.bed_move, model.unit_move = model.move.index[:, :beds], model.move.index[:, beds:]
    model.count("transfers", model.move)
    model.count("distance_km", model.move, posed.at.distance_km[:, None, None])
    model.count("links", model.move, posed.at.cost[:, None, None])
    size = posed.at.lot_size[model.movable]
    if size.any():
        where = useful & (size > 0)[:, None]
        lots = lp.add_columns("lots", axes, integer=True, where=where)
        rows = lp.add_rows("lots", axes, low=0.0, high=0.0, where=where)
        rows.add(model.move.index)
        rows.add(lots.index, -np.broadcast_to(size[:, None], lots.shape))


def add_shortage(model: Model) -> None:
    """Add shortage, by tier where the resource has tiers."""
    posed, lp = model.posed, model.lp
    everything = np.arange(len(posed.names))
    model.short = lp.add_columns("short", model.axes("scenario", everything), where=~np.isin(everything, model.summed)[:, None])
    weight, tiered = posed.at.weight[:, None], posed.at.tiered[:, None]
    chance = posed.weights[:, None, None, None]
    model.count("shortage", model.short, chance * np.where(tiered, 0.0, weight))
    if not tiered.any():
        return
    tiers = posed.tiers.sort_values(["resource", "tier"], ignore_index=True)
    place = np.array([posed.names.index(name) for name in tiers["resource"]])
    axes = {**model.axes("scenario"), "tier": pd.MultiIndex.from_frame(tiers[["resource", "tier"]])}
    model.tier_short = lp.add_columns("tier_short", {name: axes[name] for name in ("scenario", "site", "tier", "date")})
    model.count("shortage", model.tier_short, chance * (weight[place] * tiers["weight"].to_numpy()[:, None]))
    rows = lp.add_rows("tiers", model.axes("scenario", everything), low=0.0, high=0.0, where=tiered)
    rows.add(model.short.index)
    rows.add(model.tier_short.index, -1.0, at=rows.index[:, :, place])
    # No more of a tier can be short than there is of it; the first, which is served first, takes what is left.
    model.tiers, model.tier_place = tiers, place
    model.tier_room = lp.add_rows("tier_room", {name: axes[name] for name in ("scenario", "site", "tier", "date")})
    model.tier_room.add(model.tier_short.index)


def add_surge(model: Model) -> None:
    """Add surge, level by level where there are levels."""
    posed, lp = model.posed, model.lp
    axes = model.axes("site", model.movable)
    model.surge = lp.add_columns("surge", axes, integer=posed.rules.integer, where=posed.surge[:, model.movable] > 0)
    if not len(posed.levels):
        model.count("surge", model.surge)
        return
    keys = pd.MultiIndex.from_frame(posed.levels[["site", "resource"]])
    stepped = pd.MultiIndex.from_product([posed.sites, axes["resource"]]).isin(keys).reshape(len(posed.sites), -1, 1)
    model.count("surge", model.surge, np.where(stepped, 0.0, 1.0))
    levels = posed.levels.sort_values(["site", "resource", "level"], ignore_index=True)
    number = {name: levels[name].fillna(0.0).to_numpy(float)[:, None] if name in levels else np.zeros((len(levels), 1))
              for name in ("units", "lead_days", "cost", "setup_cost", "teardown_days")}
    axes = {"level": pd.MultiIndex.from_frame(levels[["site", "resource", "level"]]), "date": posed.dates}
    ready = model.days >= number["lead_days"]
    lumpy = (number["setup_cost"] > 0) | (number["teardown_days"] > 0)
    used = lp.add_columns("level", axes, where=ready, integer=posed.rules.integer)
    opened = lp.add_columns("open", axes, high=1.0, integer=bool(lumpy.any()), where=ready)
    model.count("surge_levels", used, number["cost"])
    rows = lp.add_rows("level", axes, high=0.0, where=ready)
    rows.add(used.index)
    rows.add(opened.index, -np.broadcast_to(number["units"], opened.shape))
    site, resource = (pd.Index(labels).get_indexer(levels[name]) for name, labels in (
        ("site", posed.sites), ("resource", [posed.names[place] for place in model.movable])))
    rows = lp.add_rows("surge", model.axes("site", model.movable), low=0.0, high=0.0, where=stepped & (model.surge.index >= 0))
    rows.add(model.surge.index)
    rows.add(used.index, -1.0, at=rows.index[site, resource])
    follows = np.flatnonzero((site[1:] == site[:-1]) & (resource[1:] == resource[:-1]))
    rows = lp.add_rows("next_level", axes, high=0.0)
    rows.add(opened.index[follows + 1], at=rows.index[follows + 1])
    rows.add(opened.index[follows], -1.0, at=rows.index[follows + 1])
    if lumpy.any():
        _add_setting_up(model, axes, opened, ready, number)


def _add_setting_up(model: Model, axes: dict, opened, ready: np.ndarray, number: dict[str, np.ndarray]) -> None:
    """Opening costs, and a closed level is torn down and set up again before it can be used."""
    lp = model.lp
    started = lp.add_columns("start", axes, high=1.0, where=ready)
    stopped = lp.add_columns("stop", axes, high=1.0, where=ready)
    model.count("surge_levels", started, number["setup_cost"])
    rows = lp.add_rows("opened", axes, low=0.0, high=0.0, where=ready)
    rows.add(opened.index)
    rows.add(opened.index[:, :-1], -1.0, at=rows.index[:, 1:])
    rows.add(started.index, -1.0)
    rows.add(stopped.index)
    closed_for = number["lead_days"] + number["teardown_days"]
    rows = lp.add_rows("reopened", axes, high=1.0, where=ready)
    rows.add(started.index)
    when, before = np.tril_indices(len(model.days))
    within = model.days[when] - model.days[before] < closed_for
    rows.add(np.where(within, stopped.index[:, before], -1), at=rows.index[:, when])


def add_units(model: Model) -> None:
    """Add the balance of staff and equipment at each site, overtime, and shifts."""
    posed, lp, move = model.posed, model.lp, model.unit_move
    axes, periods = model.axes("site", model.units), len(posed.dates)
    model.present = lp.add_columns("present", axes)
    rows = lp.add_rows("present", axes)
    rows.add(model.present.index)
    rows.add(model.present.index[:, :, :-1], -1.0, at=rows.index[:, :, 1:])
    rows.add(move, 1.0, at=rows.index[model.origin])
    place, arrival = np.arange(len(model.units))[None, :, None], np.minimum(model.arrival, periods - 1)[:, None, :]
    rows.add(move, -1.0, at=rows.index[model.destination[:, None, None], place, arrival])
    at_once = model.arrival == np.arange(periods)
    if at_once.any():
        # What arrives the same day is not sent on that day: nothing is in three places at once.
        where = np.zeros(model.present.shape, bool)
        link, when = np.nonzero(at_once)
        where[model.destination[link], :, when] = True
        where &= posed.at.sends[:, None, None]
        rows = lp.add_rows("in_the_morning", axes, where=where)
        rows.add(model.present.index)
        rows.add(np.where(at_once[:, None, :], move, -1), -1.0, at=rows.index[model.destination])
    model.overtime = None
    share = posed.at.overtime_share[model.units]
    if share.any():
        model.overtime = lp.add_columns("overtime", axes, where=(share > 0)[:, None])
        model.count("overtime", model.overtime)
        rows = lp.add_rows("overtime", axes, high=0.0, where=(share > 0)[:, None])
        rows.add(model.overtime.index)
        rows.add(model.present.index, -np.broadcast_to(share[:, None], model.present.shape))


def add_usable(model: Model) -> None:
    """Need that is met fits into what may be used."""
    posed, lp = model.posed, model.lp
    shifted, summed = posed.at.shifted[model.movable], np.isin(model.movable, model.summed)
    first = np.arange(len(posed.weights))[:, None, None, None] == 0
    model.usable = lp.add_rows("usable", model.axes("scenario", model.movable), where=~shifted[:, None] & (first | ~summed[:, None]))
    _add_need(model, model.usable, np.arange(len(model.movable)), np.ones(len(model.movable)))
    share = posed.occupancy[model.movable]
    model.usable.add(model.surge.index, -np.broadcast_to(share[:, None], model.surge.shape))
    at = model.usable.index[:, :, len(model.beds):]
    model.usable.add(model.present.index, -1.0, at=at)
    if model.overtime is not None:
        model.usable.add(model.overtime.index, -1.0, at=at)
    model.staffed = None
    if shifted.any():
        _add_shifts(model)


def _add_need(model: Model, rows, places: np.ndarray, share: np.ndarray) -> None:
    """Add to rows (scenario, site, place, date) the share of the need of the movable resource at each place."""
    for number, place in enumerate(places):
        resource, at = model.movable[place], rows.index[:, :, number]
        rows.add(model.short.index[:, :, resource], -1.0, at=at)
        add_changed_need(model, rows, at, resource, share[number])


def add_changed_need(model: Model, rows, at: np.ndarray, resource: int, share: float) -> None:
    """Add to rows (scenario, site, date) the share of what moved patients and unmet needs change in a resource's need."""
    needs, relocated = model.posed.needs, model.lp.columns.get("relocated")
    for other in np.flatnonzero(needs[:, resource]):
        model.add_unmet(rows, at, other, -share * needs[other, resource])
    for column, bed in enumerate(model.beds):
        direct = needs[bed, resource] + (bed == resource)
        if relocated is not None and direct:
            rows.add(relocated.index[:, column], share * direct, at=at)


def _add_shifts(model: Model) -> None:
    """Spread staff over shifts: everyone works one a day, and never the first shift after the last one's night."""
    posed, lp = model.posed, model.lp
    shifts = posed.shifts
    resource = np.array([posed.names.index(name) for name in shifts["resource"]])
    unit = np.searchsorted(model.units, resource)
    place = len(model.beds) + unit
    key = {"shift": pd.MultiIndex.from_frame(shifts[["resource", "shift"]])}
    roster = lp.add_columns("roster", {"site": posed.sites, **key, "date": posed.dates})
    rows = lp.add_rows("roster", model.axes("site", model.units), high=0.0)
    rows.add(roster.index, at=rows.index[:, unit])
    rows.add(model.present.index, -1.0)
    several = [np.flatnonzero(resource == one) for one in np.unique(resource) if (resource == one).sum() > 1]
    first, last = [rows[0] for rows in several], [rows[-1] for rows in several]
    model.rested = unit[first]
    # Whoever is there in either of two days works the last shift of the one or the first of the other.
    model.rest = rest = lp.add_rows("rest", {"site": posed.sites, "resource": shifts["resource"].iloc[first],
                                             "date": posed.dates[1:]})
    if len(posed.dates) > 1 and several:
        rest.add(roster.index[:, last, :-1])
        rest.add(roster.index[:, first, 1:])
        rest.add(model.present.index[:, model.rested, :-1], -1.0)
        arrival = model.arrival[:, None, :]
        comes = (arrival > 0) & (arrival < len(posed.dates))
        number = np.arange(len(first))[None, :, None]
        at = rest.index[model.destination[:, None, None], number, np.where(comes, arrival - 1, 0)]
        rest.add(np.where(comes, model.unit_move[:, model.rested], -1), -1.0, at=at)
    scenario = {"scenario": range(len(posed.weights)), "site": posed.sites}
    model.staffed = lp.add_rows("staffed", {**scenario, **key, "date": posed.dates})
    model.shift_place, model.shift_share = place, shifts["share"].to_numpy(float)
    model.shift_part = (shifts["share"] / shifts.groupby("resource")["share"].transform("sum")).fillna(0.0).to_numpy(float)
    _add_need(model, model.staffed, place, model.shift_share)
    model.staffed.add(roster.index, -1.0)
    model.staffed.add(model.surge.index[:, place], -1.0)
    if model.overtime is not None:
        # Overtime lengthens the shift that needs it; it is shared by the day's shifts.
        count = shifts.groupby("resource")["resource"].transform("size").to_numpy(float)
        model.staffed.add(model.overtime.index[:, unit], np.broadcast_to(-1.0 / count[:, None], roster.shape))


def fill_units(model: Model) -> None:
    """Set what is in place and what is needed."""
    posed, lp = model.posed, model.lp
    capacity, missing = posed.capacity[:, model.units], model.asked.missing[:, model.units]
    lp.rows["present"].update(low=np.diff(capacity, axis=2, prepend=0.0), high=np.diff(capacity, axis=2, prepend=0.0))
    model.present.update(low=np.maximum(posed.at.keep_share[:, None, None] * capacity, missing))
    if "in_the_morning" in lp.rows:
        lp.rows["in_the_morning"].update(low=missing)
    model.surge.update(high=posed.surge[:, model.movable])
    model.set_room(count_room(posed))
    if model.staffed is not None:
        # Whoever stays away is missed in every shift, in proportion to its size.
        need, change = (None if amounts is None else amounts[:, :, model.movable] for amounts in (posed.need, posed.capacity_change))
        away = 0.0 if change is None else change[:, :, model.shift_place] * model.shift_part[:, None]
        model.staffed.update(high=away - model.shift_share[:, None] * need[:, :, model.shift_place])
        model.rest.update(high=np.maximum(np.diff(capacity[:, model.rested], axis=2), 0.0))
    if len(posed.tiers):
        first = ~model.tiers["resource"].duplicated().to_numpy()[:, None]
        share = np.where(first, 1.0, model.tiers["share"].to_numpy()[:, None])
        model.tier_room.update(high=np.where(first, INFINITE, share * posed.need[:, :, model.tier_place]))


def count_room(posed: Problem) -> np.ndarray:
    """Shape (S, I, beds and units, T): what may be used of beds, and what units are more than counted on, less what is needed."""
    movable = posed.at.movable
    bed, share, need = np.isin(movable, posed.at.beds)[:, None], posed.occupancy[movable][:, None], posed.need[:, :, movable]
    room = np.where(bed, share * posed.capacity[:, movable], 0.0)
    change = 0.0 if posed.capacity_change is None else posed.capacity_change[:, :, movable]
    return room + share * change - need
