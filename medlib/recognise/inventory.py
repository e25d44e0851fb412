"""From the lines of an inventory to what they count, each with its probability; and texts divided without near-duplicates on both sides."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold

from medlib.recognise.lines import read_pieces
from medlib.schema import empty

#: Less likely readings of a line are not kept.
LEAST = 0.01


def split_texts(rows: pd.DataFrame, parts: int = 4, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide texts so that a group stands on one side only, and classes are spread as evenly as that allows.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns label and group.
    parts : int
        The last of so many parts judges, an eighth of the others calibrates.
    seed : int

    Returns
    -------
    learn, calibrate, judge : numpy.ndarray
        Positions of rows.
    """
    divide = lambda place, count: next(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(
        place, rows["label"].iloc[place], rows["group"].iloc[place]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # is not in every part
        rest, judge = divide(np.arange(len(rows)), parts)
        learn, calibrate = divide(rest, 8)
    return rest[learn], rest[calibrate], judge


def read_inventory(inventory: pd.DataFrame, items: ClassifierMixin, faults: ClassifierMixin, confidence: float) -> pd.DataFrame:
    """Read inventory lines: what, how many, and whether they are out of order.

    Parameters
    ----------
    inventory : pandas.DataFrame
        The `inventory` table; what a person read is taken as it is.
    items : classifier
        Gives the probability of each item; calibrated.
    faults : classifier
        Gives the probability that a line's devices are out of order; its classes are False and True.
    confidence : float
        Lines whose likeliest item is less likely than this are left to people, as are those that state two different counts. Until somebody has
        looked, the first count with their probabilities, the second as one device.

    Returns
    -------
    pandas.DataFrame
        The `inventory_read` table.
    """
    person = inventory["item"].notna() if "item" in inventory else pd.Series(False, inventory.index)
    known, rest = inventory[person], inventory[~person]
    parts = [known.assign(probability=1.0, pieces=known.get("pieces", pd.Series(dtype=float)).fillna(1.0),
                          broken=known.get("broken", pd.Series(dtype=float)).fillna(0.0), decided_by="person")] if len(known) else []
    if len(rest):
        texts, counts = rest["text"].to_numpy(object), rest["text"].map(read_pieces)
        probability = pd.DataFrame(items.predict_proba(texts).round(3), index=rest.index, columns=items.classes_)
        sure = (probability.max(axis=1) >= confidence) & counts.notna()
        read = rest[["site", "line"]].assign(pieces=counts.fillna(1.0), broken=faults.predict_proba(texts)[:, 1].round(3),
                                             decided_by=np.where(sure, "network", "left to people"))
        long = probability.rename_axis(columns="item").stack().rename("probability").reset_index("item")
        parts.append(read.join(long[long["probability"] >= LEAST]))
    if not parts:
        return empty("inventory_read")
    return pd.concat(parts)[list(empty("inventory_read"))].sort_values(["site", "line", "item"], ignore_index=True)
