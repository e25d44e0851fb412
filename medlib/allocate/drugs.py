"""Drugs: stock by expiry, used first expired first out, sent between sites, and ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medlib.allocate.units import add_changed_need
from medlib.errors import MedlibError

if TYPE_CHECKING:
    from medlib.allocate.model import Model


def add_drugs(model: Model) -> None:
    """Add stock by cohorts: what can be used up to the same period is one cohort, whenever it came."""
    posed, lp, names = model.posed, model.lp, [model.posed.names[drug] for drug in model.drugs]
    if not names:
        return
    joined, orders = _list_joining(model), _read_orders(model)
    last = len(posed.dates) - 1
    # Any cohort can be sent to any site, and what keeps beyond the horizon is always one of them.
    ends = sorted({last}.union(*(set(by_end) for by_end in joined.values()), orders["end"].ravel()) - {-1})
    model.ends = np.array(ends)
    has = np.array([[end == last or any(end in joined[site, drug] for site in range(len(posed.sites)))
                     or (orders["end"][orders["drug"] == drug] == end).any() for end in ends] for drug in range(len(names))])
    model.has, periods = has, np.arange(len(posed.dates))
    lives = has[:, :, None] & (periods <= model.ends[:, None])
    cohort = {"resource": names, "usable_until": posed.dates[model.ends], "date": posed.dates}
    link = model.axes("link")["link"]
    useful = lives & (model.arrival[:, None, None, :] <= model.ends[:, None])
    model.batch = batch = lp.add_columns("batch", {"link": link, **cohort}, where=useful)
    model.count("deliveries", batch)
    model.count("distance_km", batch, posed.at.distance_km[:, None, None, None])
    model.count("links", batch, posed.at.cost[:, None, None, None])
    scenario = {"scenario": range(len(posed.weights)), "site": posed.sites}
    model.stock = stock = lp.add_columns("stock", {**scenario, **cohort}, where=lives)
    model.used = used = lp.add_columns("used", {**scenario, **cohort}, where=lives)
    # "<=" and not "=": what nobody needs may be left to expire.
    rows = lp.add_rows("stock", {**scenario, **cohort}, where=lives)
    rows.add(stock.index)
    rows.add(used.index)
    rows.add(stock.index[..., :-1], -1.0, at=rows.index[..., 1:])
    rows.add(batch.index, at=rows.index[:, model.origin])
    drug, place = np.arange(len(names))[:, None, None], np.arange(len(ends))[:, None]
    arrival = np.minimum(model.arrival, last)[:, None, None, :]
    rows.add(batch.index, -1.0, at=rows.index[:, model.destination[:, None, None, None], drug, place, arrival])
    if len(orders["site"]):
        _add_orders(model, orders, rows)
    served = lp.add_rows("served", model.axes("scenario", model.drugs))
    wastage = posed.at.wastage[model.drugs]
    served.add(used.index, np.broadcast_to(1.0 - wastage[:, None, None], used.shape), at=served.index[:, :, :, None, :])
    for number, resource in enumerate(model.drugs):
        at = served.index[:, :, number]
        served.add(model.short.index[:, :, resource], at=at)
        add_changed_need(model, served, at, resource, -1.0)


def _last_usable(model: Model, expires) -> int:
    """Last period in which something can be used that expires then; -1 where it never can."""
    last = len(model.posed.dates) - 1
    return last if pd.isna(expires) else int(np.searchsorted(model.posed.dates, np.datetime64(expires))) - 1


def _shelf_life(model: Model, drug: int, date: pd.Timestamp):
    life = model.posed.resources.get("shelf_life_days")
    days = np.nan if life is None else life.iloc[model.drugs[drug]]
    return pd.NaT if np.isnan(days) else date + pd.Timedelta(days=int(days))


def _list_joining(model: Model) -> dict[tuple[int, int], dict[int, np.ndarray]]:
    """(site, drug) -> last usable period of the cohort -> units that join it in each period."""
    posed, joined = model.posed, {}
    ends = [[_last_usable(model, _shelf_life(model, drug, date)) for date in posed.dates] for drug in range(len(model.drugs))]
    for site in range(len(posed.sites)):
        for drug, resource in enumerate(model.drugs):
            cohorts = joined[site, drug] = {}
            for period, (end, units) in enumerate(zip(ends[drug], posed.capacity[site, resource])):
                cohorts.setdefault(end, np.zeros(len(posed.dates)))[period] += units
    for row in posed.stock.itertuples():
        end = _last_usable(model, row.expires)
        start = 0 if pd.isna(row.arrives) else int(np.searchsorted(posed.dates, np.datetime64(row.arrives)))
        if start <= end:
            key = posed.sites.index(row.site), int(np.searchsorted(model.drugs, posed.names.index(row.resource)))
            joined[key].setdefault(end, np.zeros(len(posed.dates)))[start] += row.units
    return joined


def _read_orders(model: Model) -> dict[str, np.ndarray]:
    """Site, drug, and for each period the arrival and the cohort's end of what is ordered then; -1 beyond the horizon."""
    posed, orders = model.posed, model.posed.orders
    drug = np.searchsorted(model.drugs, [posed.names.index(name) for name in orders["resource"]]).astype(int)
    found = {"site": pd.Index(posed.sites).get_indexer(orders["site"]), "drug": drug}
    arrival = np.searchsorted(model.days, model.days + orders["lead_days"].to_numpy(float)[:, None])
    end = np.full(arrival.shape, -1)
    for row, period in np.argwhere(arrival < len(posed.dates)):
        end[row, period] = _last_usable(model, _shelf_life(model, drug[row], posed.dates[arrival[row, period]]))
    return {**found, "arrival": arrival, "end": end}


def _add_orders(model: Model, orders: dict[str, np.ndarray], rows) -> None:
    posed = model.posed
    cost = posed.orders.get("cost", pd.Series(0.0, posed.orders.index)).fillna(0.0).to_numpy()
    axes = {"order": pd.MultiIndex.from_frame(posed.orders[["site", "resource"]]), "date": posed.dates}
    model.order = model.lp.add_columns("order", axes, high=posed.orders["units_per_period"].to_numpy(float)[:, None],
                                       where=orders["end"] >= 0)
    model.count("orders", model.order, cost[:, None])
    place = np.searchsorted(model.ends, orders["end"])
    arrival = np.minimum(orders["arrival"], len(posed.dates) - 1)
    rows.add(model.order.index, -1.0, at=rows.index[:, orders["site"][:, None], orders["drug"][:, None], place, arrival])


def fill_drugs(model: Model) -> None:
    """Set deliveries, stock at the start, and need."""
    if not len(model.drugs):
        return
    lp, posed = model.lp, model.posed
    joins = np.zeros(model.stock.shape[1:])
    for (site, drug), cohorts in _list_joining(model).items():
        for end, units in cohorts.items():
            place = int(np.searchsorted(model.ends, end))
            if place == len(model.ends) or model.ends[place] != end or not model.has[drug, place]:
                raise MedlibError("A model takes other figures only; what expires when differs. Make a new Model.")
            joins[site, drug, place] = units
    lp.rows["stock"].update(high=joins)
    need = posed.need[:, :, model.drugs]
    lp.rows["served"].update(low=need, high=need)
