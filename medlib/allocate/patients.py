"""Moves of patients: who may be sent, and where they lie because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medlib.blocks import INFINITE

if TYPE_CHECKING:
    from medlib.allocate.model import Model
    from medlib.allocate.problem import Problem


def add_patients(model: Model) -> None:
    """Add what moves of patients do to occupancy, and that only patients who are there are sent."""
    posed, lp, move = model.posed, model.lp, model.bed_move
    if not move.size:
        return
    axes, handover = model.axes("site", model.beds), posed.rules.handover_days
    linked = posed.at.linked[:, None, None]
    net = lp.add_columns("net", axes, low=-INFINITE, where=linked)
    relocated = lp.add_columns("relocated", axes, low=-INFINITE, where=linked)
    rows = lp.add_rows("net", axes, low=0.0, high=0.0, where=linked)
    rows.add(net.index)
    rows.add(move, -1.0, at=rows.index[model.destination])
    rows.add(move, 1.0, at=rows.index[model.origin])
    rows = lp.add_rows("relocated", axes, low=0.0, high=0.0, where=linked)
    rows.add(relocated.index)
    for place, entered in enumerate(model.beds):
        for other, occupied in enumerate(model.beds):
            survival = posed.at.survival[entered, occupied]  # of (t, u)
            rows.add(net.index[:, place, None, :], -survival, at=rows.index[:, other, :, None])
    if handover:
        rows.add(move, -1.0, at=rows.index[model.origin])
    limited = limit_senders(posed)[:, model.beds]
    sends = posed.at.sends[:, None, None]
    rows = lp.add_rows("arriving", axes, where=sends & limited)
    rows.add(move, at=rows.index[model.origin])
    rows = lp.add_rows("there", axes, where=sends & ~limited)
    rows.add(relocated.index)
    rows.add(move, -1.0, at=rows.index[model.destination])
    if handover:
        rows.add(move, -1.0, at=rows.index[model.origin])


def limit_senders(posed: Problem) -> np.ndarray:
    """Shape (I, R, T): only those who arrive may be sent."""
    return np.zeros(posed.capacity.shape, bool) if posed.arrivals is None else np.isfinite(posed.arrivals)


def fill_patients(model: Model) -> None:
    """Set who is there to be sent: the fewest that any scenario expects, or those who arrive."""
    rows, posed = model.lp.rows, model.asked
    if "net" not in rows:
        return
    fewest = posed.demand[:, :, model.beds].min(axis=0)
    rows["there"].update(low=-fewest)
    if rows["arriving"].size:
        rows["arriving"].update(high=posed.arrivals[:, model.beds])
        model.lp.columns["relocated"].update(low=np.where(limit_senders(posed)[:, model.beds], -fewest, -INFINITE))
