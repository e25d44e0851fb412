"""What limits moves: budgets by day, site and link, transport, and protection of the sites that lend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medlib.blocks import INFINITE

if TYPE_CHECKING:
    from medlib.allocate.model import Model


def add_limits(model: Model) -> None:
    """Add budgets and the cost of change; a limit that is infinite adds no row."""
    posed, lp, move, rules = model.posed, model.lp, model.move.index, model.posed.rules
    site_axes, flow_axes = model.axes("site", model.movable), model.axes("link", model.movable)
    day_axes = {name: labels for name, labels in flow_axes.items() if name != "link"}
    if np.isfinite(rules.transfers_per_day):
        rows = lp.add_rows("day_budget", day_axes, high=rules.transfers_per_day)
        rows.add(move, at=rows.index)
    release = posed.at.release_per_day
    if np.isfinite(rules.transfers_per_site_day):
        touched = posed.at.linked & ~np.isfinite(release)
        rows = lp.add_rows("site_budget", site_axes, high=rules.transfers_per_site_day, where=touched[:, None, None])
        rows.add(move, at=rows.index[model.origin])
        rows.add(move, at=rows.index[model.destination])
    if np.isfinite(release).any():
        rows = lp.add_rows("release", site_axes, high=release[:, None, None], where=np.isfinite(release)[:, None, None])
        rows.add(move, at=rows.index[model.origin])
    if np.isfinite(release).any() and len(model.drugs):
        names = [posed.names[drug] for drug in model.drugs]
        rows = lp.add_rows("release_drugs", {"site": posed.sites, "resource": names, "date": posed.dates},
                           high=release[:, None, None], where=np.isfinite(release)[:, None, None])
        rows.add(model.batch.index, at=rows.index[model.origin][:, :, None])
    if np.isfinite(rules.transport_km_per_day):
        rows = lp.add_rows("transport", {"date": posed.dates}, high=rules.transport_km_per_day)
        rows.add(move, posed.at.distance_km[:, None, None], at=rows.index)
    if np.isfinite(rules.transfers_in_all):
        model.limit("transfers", rules.transfers_in_all, "all")
    if np.isfinite(posed.at.moves_per_day).any():
        model.move.update(high=posed.at.moves_per_day[:, None, None])
    if rules.change_cost:
        change = lp.add_columns("change", flow_axes, where=model.move.index >= 0)
        model.count("changes", change)
        for name, sign in (("more", 1.0), ("fewer", -1.0)):
            rows = lp.add_rows(name, flow_axes, high=0.0, where=model.move.index >= 0)
            rows.add(move, sign)
            rows.add(move[:, :, :-1], -sign, at=rows.index[:, :, 1:])
            rows.add(change.index, -1.0)


def fill_limits(model: Model) -> None:
    """Set how short a site may be where sites are protected."""
    if model.posed.rules.protect_sites:
        # Drugs, and staff in shifts, have no shortage of their own that could be told beforehand.
        posed = model.posed
        free = np.isin(np.arange(len(posed.names)), posed.at.drugs) | posed.at.shifted
        model.short.update(high=np.where(free[:, None], INFINITE, posed.idle_shortage))
