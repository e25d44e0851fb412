"""What limits moves: budgets by day, site and link, transport, and protection of the sites that lend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

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
    release = posed.site_limits.get("release_per_day", pd.Series(dtype=float)).reindex(posed.sites).to_numpy(float)
    if np.isfinite(rules.transfers_per_site_day):
        touched = np.isin(np.arange(len(posed.sites)), [model.origin, model.destination]) & np.isnan(release)
        rows = lp.add_rows("site_budget", site_axes, high=rules.transfers_per_site_day, where=touched[:, None, None])
        rows.add(move, at=rows.index[model.origin])
        rows.add(move, at=rows.index[model.destination])
    if np.isfinite(release).any():
        rows = lp.add_rows("release", site_axes, high=release[:, None, None], where=np.isfinite(release)[:, None, None])
        rows.add(move, at=rows.index[model.origin])
    if np.isfinite(rules.transport_km_per_day):
        rows = lp.add_rows("transport", {"date": posed.dates}, high=rules.transport_km_per_day)
        rows.add(move, posed.links["distance_km"].to_numpy()[:, None, None], at=rows.index)
    if np.isfinite(rules.transfers_in_all):
        model.limit("transfers", rules.transfers_in_all)
    most = posed.links.get("moves_per_day", pd.Series(np.nan, posed.links.index)).fillna(INFINITE).to_numpy(float)
    model.move.update(high=most[:, None, None])
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
        drug = (model.posed.resources["kind"] == "drug").to_numpy()[:, None]
        model.short.update(high=np.where(drug, INFINITE, model.posed.idle_shortage))
