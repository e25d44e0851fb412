"""Generalisation until nobody stands alone: k-anonymity, l-diversity, t-closeness, measured and reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

#: Ages from here on are one band: ages over 89 are among the identifiers that HIPAA's safe harbour removes (45 CFR 164.514(b)(2)(i)(C)).
TOP_AGE = 90
#: What every value is at the top of its hierarchy.
ANY = "any"
KM_PER_DEGREE = 111.2


@dataclass(frozen=True)
class Anonymity:
    """How well the people of a table hide among each other.

    Parameters
    ----------
    k : int
        People in the smallest class of equal quasi-identifiers.
    l : int
        Fewest different sensitive values in a class; 0 where no sensitive column was named.
    t : float
        Largest distance between a class's sensitive values and everybody's, 0 to 1; 0 where no sensitive column was named.
    sizes : pandas.Series
        People by class.
    """

    k: int
    l: int  # noqa: E741 - the field's word
    t: float
    sizes: pd.Series


@dataclass(frozen=True)
class Anonymised:
    """A table that reached what was asked.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows that stay, quasi-identifiers generalised.
    levels : dict of str to str
        Level of its hierarchy that each quasi-identifier was brought to.
    suppressed : pandas.Index
        Rows left out.
    loss : float
        Information lost, 0 (nothing) to 1 (everything); see `reach_anonymity`.
    """

    frame: pd.DataFrame
    levels: dict[str, str]
    suppressed: pd.Index
    loss: float


def generalise_ages(ages: pd.Series, width: int = 10, top: int = TOP_AGE) -> pd.Series:
    """Bring ages to bands, the oldest in one.

    Parameters
    ----------
    ages : pandas.Series
        Years, at least 0; missing ones stay missing.
    width : int
        Years of a band, at least 1.
    top : int
        Ages from here on are one band.

    Returns
    -------
    pandas.Series
        Text such as '40-49' and '90+'.

    Raises
    ------
    MedlibError
        An age is negative or the width is less than 1.
    """
    if width < 1 or (ages < 0).any():
        raise MedlibError(f"Ages must be at least 0 and bands at least 1 year wide; got {ages.min()} and {width}.")
    low = (ages.dropna() // width * width).astype(int)
    high = np.minimum(low + width, top) - 1
    bands = low.astype(str) + ("" if width == 1 else "-" + high.astype(str))
    return bands.mask(ages.dropna() >= top, f"{top}+").reindex(ages.index)


def generalise_places(latitude: pd.Series, longitude: pd.Series, km: float) -> pd.DataFrame:
    """Move places to the middle of a grid's cells.

    Parameters
    ----------
    latitude, longitude : pandas.Series
        Degrees.
    km : float
        Side of a cell, more than 0.

    Returns
    -------
    pandas.DataFrame
        latitude and longitude of the cell's middle. Cells near the poles are narrower in degrees of longitude.
    """
    if not km > 0:
        raise MedlibError(f"km must be more than 0; got {km}.")
    step = km / KM_PER_DEGREE
    middle = (np.floor(latitude / step) + 0.5) * step
    across = step / np.maximum(np.cos(np.radians(middle)), 0.01)
    return pd.DataFrame({"latitude": middle.round(4), "longitude": ((np.floor(longitude / across) + 0.5) * across).round(4)})


def make_age_hierarchy(ages: pd.Series, widths: Sequence[int] = (5, 10, 30)) -> pd.DataFrame:
    """Make the hierarchy of ages: single years, bands of growing width, any.

    Parameters
    ----------
    ages : pandas.Series
        Years; their distinct values make the index.
    widths : sequence of int
        Years of a band; each a multiple of the one before, so that bands nest, and a divisor of 90.

    Returns
    -------
    pandas.DataFrame
        A row a value, a column a level, finest first: whole years, with the oldest in one band already.

    Raises
    ------
    MedlibError
        Bands do not nest.
    """
    values = pd.Series(np.sort(ages.dropna().unique()))
    levels = {f"{width} year{'s' * (width > 1)}": generalise_ages(values, width).to_numpy() for width in (1, *widths)}
    return _check_nested(pd.DataFrame(levels | {ANY: ANY}, index=pd.Index(values, name="years")))


def make_place_hierarchy(sites: pd.DataFrame) -> pd.DataFrame:
    """Make the hierarchy of places: site, region, any.

    Parameters
    ----------
    sites : pandas.DataFrame
        The `sites` table: site and region.
    """
    return _check_nested(pd.DataFrame({"site": sites["site"].to_numpy(), "region": sites["region"].to_numpy(), ANY: ANY},
                                      index=pd.Index(sites["site"], name="place")))


def make_flat_hierarchy(values: pd.Series) -> pd.DataFrame:
    """Make the hierarchy of a column that can only be kept or given up."""
    known = pd.Index(values.dropna().unique(), name="value")
    return pd.DataFrame({"as it is": known, ANY: ANY}, index=known)


def _check_nested(hierarchy: pd.DataFrame) -> pd.DataFrame:
    for fine, coarse in zip(hierarchy.columns, hierarchy.columns[1:]):
        split = hierarchy.groupby(fine)[coarse].nunique()
        if (split > 1).any():
            raise MedlibError(f"Levels must nest; {fine} {split.idxmax()} falls into {split.max()} groups of {coarse}: "
                              "take widths that are multiples of each other.")
    return hierarchy


def measure_anonymity(frame: pd.DataFrame, quasi_identifiers: Sequence[str], sensitive: str | None = None) -> Anonymity:
    """Measure how well people hide among those with equal quasi-identifiers.

    k is the smallest class; l the fewest different sensitive values in a class; t the largest distance between the sensitive values of a class
    and of everybody: for numbers the earth mover's distance on their ranks, for categories the total variation.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a person.
    quasi_identifiers : sequence of str
        What an outsider may know. Missing counts as a value.
    sensitive : str, optional
        What an outsider must not learn.

    Returns
    -------
    Anonymity

    Raises
    ------
    MedlibError
        The table has no rows.

    References
    ----------
    Sweeney (2002), k-anonymity, doi:10.1142/S0218488502001648. Machanavajjhala et al. (2007), l-diversity, doi:10.1145/1217299.1217302.
    Li, Li and Venkatasubramanian (2007), t-closeness, doi:10.1109/ICDE.2007.367856.
    """
    if frame.empty:
        raise MedlibError("Anonymity is measured on rows; got a table without any.")
    groups = frame.groupby(list(quasi_identifiers), dropna=False, observed=True)
    classes = _judge_classes(groups.ngroup().to_numpy(), None if sensitive is None else frame[sensitive])
    return Anonymity(int(classes["size"].min()), int(classes["distinct"].min()), float(classes["distance"].max()), groups.size())


def _judge_classes(classes: np.ndarray, sensitive: pd.Series | None) -> pd.DataFrame:
    """By class: its size, how many different sensitive values it has, and how far they are from everybody's."""
    size = np.bincount(classes)
    if sensitive is None:
        return pd.DataFrame({"size": size, "distinct": 0, "distance": 0.0})
    codes, values = pd.factorize(sensitive, sort=True, use_na_sentinel=False)
    counts = np.zeros((len(size), len(values)))
    np.add.at(counts, (classes, codes), 1)
    apart = counts / size[:, None] - counts.sum(axis=0) / len(classes)
    if pd.api.types.is_numeric_dtype(sensitive) and not pd.api.types.is_bool_dtype(sensitive):
        distance = np.abs(apart.cumsum(axis=1)).sum(axis=1) / max(len(values) - 1, 1)
    else:
        distance = np.abs(apart).sum(axis=1) / 2
    return pd.DataFrame({"size": size, "distinct": (counts > 0).sum(axis=1), "distance": distance.round(12)})


def reach_anonymity(frame: pd.DataFrame, hierarchies: Mapping[str, pd.DataFrame], k: int, l: int = 1, t: float = 1.0,  # noqa: E741
                    sensitive: str | None = None, most_suppressed: float = 0.05) -> Anonymised:
    """Generalise as little as is needed, and leave out the few rows that still stand alone.

    All combinations of levels that reach k and l within the allowance are visited, from the most general one down: where one does not,
    none that is finer does, since a class that is too small has no part that is not. Among them the one that loses least is taken. Lost is, by row
    and quasi-identifier, the share of the other values that a value is merged with; a row left out loses all.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a person.
    hierarchies : mapping of str to pandas.DataFrame
        By quasi-identifier: a row a value, a column a level, finest first; as from `make_age_hierarchy`.
    k, l, t : int, int and float
        Smallest class; fewest sensitive values in it; largest distance to everybody's, 0 to 1. See `measure_anonymity`.
    sensitive : str, optional
        Needed for l and t.
    most_suppressed : float
        Largest share of rows that may be left out, 0 to 1.

    Returns
    -------
    Anonymised

    Raises
    ------
    MedlibError
        The table cannot reach it, a value is not in its hierarchy, or l or t is asked for without a sensitive column.

    References
    ----------
    LeFevre, DeWitt and Ramakrishnan (2005), Incognito, doi:10.1145/1066157.1066164. El Emam et al. (2009), A globally optimal k-anonymity
    method for the de-identification of health data, doi:10.1197/jamia.M3144. Xu et al. (2006), doi:10.1145/1150402.1150504 (the loss).
    """
    if sensitive is None and (l > 1 or t < 1):
        raise MedlibError("l and t are about a sensitive column; name it with sensitive=, or leave them out.")
    codes, losses = _encode(frame, hierarchies)
    values, allowed = None if sensitive is None else frame[sensitive], int(most_suppressed * len(frame))
    top = tuple(len(levels) - 1 for levels in codes)
    waiting, seen, best = [top], {top}, None
    while waiting:
        node = waiting.pop()
        classes = _number_classes([levels[level] for levels, level in zip(codes, node)])
        judged = _judge_classes(classes, values)
        kept = ((judged["size"] >= k) & (judged["distinct"] >= (l if values is not None else 0))).to_numpy()[classes]
        if len(kept) - kept.sum() > allowed:
            continue
        kept = _leave_out_far(classes, values, kept, t)
        if 0 < kept.sum() and len(kept) - kept.sum() <= allowed:
            lost = np.mean([np.where(kept, part[level], 1.0).mean() for part, level in zip(losses, node)])
            best = min(best, (lost, node, kept), key=lambda found: found[:2]) if best else (lost, node, kept)
        finer = {(*node[:place], level - 1, *node[place + 1:]) for place, level in enumerate(node) if level} - seen
        waiting, seen = [*waiting, *finer], seen | finer
    if best is None:
        raise MedlibError(f"No generalisation of {', '.join(hierarchies)} reaches k = {k}, l = {l}, t = {t:g} with at most {allowed} of "
                          f"{len(frame)} rows left out; ask for less or raise most_suppressed.")
    return _generalise(frame, hierarchies, *best)


def _encode(frame: pd.DataFrame, hierarchies: Mapping[str, pd.DataFrame]) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """By quasi-identifier and level: each row's group as a number, and what the row loses by it."""
    codes, losses = [], []
    for column, hierarchy in hierarchies.items():
        if unknown := set(frame[column].dropna()) - set(hierarchy.index):
            raise MedlibError(f"Every {column} must be in its hierarchy; {len(unknown)} values are not: make the hierarchy from this table.")
        place = hierarchy.index.get_indexer(frame[column])
        numbers = [pd.factorize(hierarchy[level])[0] for level in hierarchy]
        codes.append([np.where(place < 0, -1, number[place]) for number in numbers[:-1]] + [np.zeros(len(frame), int)])
        shares = [(np.bincount(number)[number] - 1) / max(len(hierarchy) - 1, 1) for number in numbers]
        losses.append([np.where(place < 0, 0.0, share[place]) for share in shares])
    return codes, losses


def _number_classes(columns: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].reshape(-1)


def _leave_out_far(classes: np.ndarray, values: pd.Series | None, kept: np.ndarray, t: float) -> np.ndarray:
    """Leave out classes too far from everybody until none is; whom they are compared with changes as they go."""
    while values is not None and kept.any():
        numbers = np.unique(classes[kept], return_inverse=True)[1]
        far = (_judge_classes(numbers, values[kept])["distance"] > t).to_numpy()[numbers]
        if not far.any():
            break
        kept = kept.copy()
        kept[np.flatnonzero(kept)[far]] = False
    return kept


def _generalise(frame: pd.DataFrame, hierarchies: Mapping[str, pd.DataFrame], lost: float, node: tuple[int, ...],
                kept: np.ndarray) -> Anonymised:
    levels = {column: hierarchy.columns[level] for (column, hierarchy), level in zip(hierarchies.items(), node)}
    released = frame[kept].assign(**{column: frame.loc[kept, column].map(hierarchies[column][level]) if level != ANY else ANY
                                     for column, level in levels.items()})
    return Anonymised(released, levels, frame.index[~kept], float(lost))
