"""Small counts withheld, and others with them, so that totals do not give the small ones away.

A published table holds cells and their totals; whoever reads it can add and subtract. `audit_cells` is that reader: it bounds every withheld
cell by linear programming. `suppress_cells` withholds the least that keeps the reader from learning more than that a small count is small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pulp
import scipy.sparse as sp
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

from medlib.errors import MedlibError

#: Label of a total.
ALL = "all"
#: What `suppress_demand` publishes: sites within regions, by resource and date; only the first two are added up.
DEMAND_CELLS = ("region", "site", "resource", "date")
#: Linear programs are exact to about so much of a unit.
ROUNDING = 1e-6
#: The withheld cells cost at most this share more than the least that would do; the protection itself is exact.
GAP = 0.03


def add_margins(counts: pd.DataFrame, by: Sequence[str], value: str = "count") -> pd.DataFrame:
    """Add every total to a table of counts: over each column, each pair of columns and so on.

    Parameters
    ----------
    counts : pandas.DataFrame
        A row a cell; cells that are not there count 0.
    by : sequence of str
        Columns that say which cell it is. Labels become text.
    value : str
        Column of counts.

    Returns
    -------
    pandas.DataFrame
        The cells and totals, labelled 'all', in the order of the labels.

    Raises
    ------
    MedlibError
        A label is 'all' already, or a count is missing or negative.
    """
    labels = counts[list(by)].astype(str)
    if (labels == ALL).any(axis=None) or not (counts[value] >= 0).all():
        raise MedlibError(f"Counts must be there and at least 0, and no label may be {ALL!r}; give the cells without totals.")
    cells = labels.assign(**{value: counts[value]}).groupby(list(by))[value].sum()
    if len(by) > 1:
        cells = cells.reindex(pd.MultiIndex.from_product(cells.index.levels), fill_value=0)
    table = cells.reset_index()
    for column in by:
        rest = [name for name in by if name != column]
        total = table.groupby(rest)[value].sum().reset_index() if rest else pd.DataFrame({value: [table[value].sum()]})
        table = pd.concat([table, total.assign(**{column: ALL})], ignore_index=True)
    return table[[*by, value]]


def find_sums(table: pd.DataFrame, by: Sequence[str]) -> sp.csr_array:
    """Find which cells of a table add up to which.

    Parameters
    ----------
    table : pandas.DataFrame
        Cells and totals: a cell labelled 'all' in a column is the sum of those that are equal in all other columns, where there are any.
    by : sequence of str

    Returns
    -------
    scipy.sparse.csr_array
        Shape (sums, cells): 1 for a part, -1 for its total; times the true values it is 0.
    """
    blocks, total = [], {column: (table[column].astype(str) == ALL).to_numpy() for column in by}
    for column in by:
        rest = [name for name in by if name != column]
        group = table.groupby(rest, observed=True).ngroup().to_numpy() if rest else np.zeros(len(table), int)
        parts, totals = (np.bincount(group, weights=which) for which in (~total[column], total[column]))
        number = np.where((parts > 0) & (totals == 1), np.arange(len(parts)), -1)
        used, row = np.unique(number[group], return_inverse=True)
        sums = sp.csr_array((np.where(total[column], -1.0, 1.0), (row, np.arange(len(table)))), shape=(len(used), len(table)))
        blocks.append(sums[int(used[0] == -1):])
    return sp.csr_array(sp.vstack(blocks))


def suppress_cells(table: pd.DataFrame, by: Sequence[str], threshold: int = 5, value: str = "count") -> pd.DataFrame:
    """Withhold counts of 1 to threshold - 1, and as little else as keeps them hidden.

    Every small count could, for all that is published, be anything from 1 to threshold - 1. Which others are withheld is an integer program:
    least sum of (count + 1) over the withheld cells (to 3 %), subject to an inequality for every way in which a reader could come too close.
    The inequalities are found as they are needed, from the duals of the reader's linear programs.

    Parameters
    ----------
    table : pandas.DataFrame
        Cells and totals, as from `add_margins`; totals may be withheld too, where nothing else helps. Other tables about the same people
        that were, or will be, published belong in it: what two tables give away together is not protected by suppressing one at a time.
    by : sequence of str
    threshold : int
        Smallest count that is published, beside 0; 1: nothing is withheld.
    value : str
        Column of counts, at least 0.

    Returns
    -------
    pandas.DataFrame
        A copy; withheld counts are missing. Which of them were small is not told.

    Raises
    ------
    MedlibError
        A count is missing or negative, or totals are not the sums of their parts.

    Notes
    -----
    The reader knows that counts are not negative. In tables of one or two columns, nested or crossed, the reader's bounds cannot be improved on
    by knowing that counts are whole; in three and more they may be. That 0 is published tells that nobody was there. Who knows their own
    count knows more: two people in a cell of 2 know each other.

    References
    ----------
    Fischetti and Salazar-González (2001), Solving the cell suppression problem on tabular data with linear constraints, Management
    Science 47(7), doi:10.1287/mnsc.47.7.1008.9805.
    """
    values, sums = table[value].to_numpy(float), find_sums(table, by)
    if not (values >= 0).all():
        raise MedlibError(f"Counts must be there and at least 0; {(~(values >= 0)).sum()} of {len(values)} in column {value} are not.")
    if np.abs(sums @ values).max(initial=0.0) > ROUNDING * max(1.0, values.max(initial=0.0)):
        raise MedlibError("Totals must be the sums of their parts; add them with medlib.privacy.add_margins.")
    small = (values > 0) & (values < threshold)
    withheld = _choose_withheld(values, sums, small, threshold) if small.any() else small
    return table.assign(**{value: table[value].astype(float).mask(withheld)})


def _choose_withheld(values: np.ndarray, sums: sp.csr_array, small: np.ndarray, threshold: int) -> np.ndarray:
    """Withhold, look as the reader would, and withhold more, until no small count is seen too closely."""
    master, chosen = _state_master(values, sums, small)
    room = {1.0: np.where(small, threshold - 1 - values, 0.0), -1.0: np.where(small, values - 1, 0.0)}
    while True:
        master.solve(pulp.HiGHS(msg=False, threads=1, gapRel=GAP))
        withheld = np.array([variable.value() > 0.5 for variable in chosen])
        cuts = [cut for sign, needed in room.items() for cut in _find_leaks(values, sums, withheld, needed, sign)]
        if not cuts:
            return withheld
        for cells, shares in cuts:
            master += pulp.lpSum(share * chosen[cell] for cell, share in zip(cells, shares)) >= 1


def _state_master(values: np.ndarray, sums: sp.csr_array, small: np.ndarray) -> tuple[pulp.LpProblem, list[pulp.LpVariable]]:
    """Which cells are withheld: the small ones, and in each of their sums another one."""
    master = pulp.LpProblem("cell_suppression", pulp.LpMinimize)
    chosen = [master.add_variable(f"withheld_{cell}", int(known), 1, pulp.LpInteger) for cell, known in enumerate(small)]
    master += pulp.lpSum((1 + value) * variable for value, variable in zip(values, chosen))
    for begin, end in zip(sums.indptr, sums.indptr[1:]):
        cells = sums.indices[begin:end]
        if small[cells].sum() == 1:
            master += pulp.lpSum(chosen[cell] for cell in cells if not small[cell]) >= 1
    return master, chosen


def _find_leaks(values: np.ndarray, sums: sp.csr_array, withheld: np.ndarray, needed: np.ndarray, sign: float) -> list[tuple]:
    """Push each small count up (sign 1) or down (-1) by what is needed; where it will not go, say which cells would have to be withheld.

    The reader's freedom is a change of the withheld cells that leaves all sums true and nothing negative. By duality no change takes the count
    further than sum of (freedom of a cell times its reduced cost) over the withheld cells: that has to reach what is needed.
    """
    cells = np.flatnonzero(withheld)
    freedom, groups = sums[:, cells], _group_cells(sums, cells)
    leaks = []
    for targets in _take_turns(groups[0], needed[cells] > ROUNDING):
        cost, low, high = np.zeros(len(cells)), -values[cells], np.full(len(cells), np.inf)
        cost[targets] = -sign
        (high if sign > 0 else low)[targets] = sign * needed[cells[targets]]
        answer = linprog(cost, A_eq=freedom, b_eq=np.zeros(len(sums.indptr) - 1), bounds=np.column_stack([low, high]))
        for target in targets[sign * answer.x[targets] < needed[cells[targets]] - ROUNDING]:
            price = np.where(groups[1] == groups[0][target], answer.eqlin.marginals, 0.0)
            reduced = -(sums.T @ price)
            reduced[cells[target]] -= sign
            worth = np.where(reduced > ROUNDING, reduced * values, np.where(reduced < -ROUNDING, np.inf, 0.0))
            useful = np.flatnonzero(worth > ROUNDING)
            leaks.append((useful, np.minimum(worth[useful] / needed[cells[target]], 1.0)))
    return leaks


def _group_cells(sums: sp.csr_array, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the groups, connected by sums, that the cells and the sums belong to."""
    some = sums[:, cells]
    joined = connected_components(sp.block_array([[None, some], [some.T, None]]), directed=False)[1]
    return joined[sums.shape[0]:], joined[:sums.shape[0]]


def _take_turns(group: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """Positions of the wanted cells in as few turns as there are in a group: groups do not touch, so one program serves one cell of each."""
    places = np.flatnonzero(wanted)
    turn = pd.Series(group[places]).groupby(group[places]).cumcount().to_numpy()
    return [places[turn == number] for number in range(turn.max(initial=-1) + 1)]


def audit_cells(published: pd.DataFrame, by: Sequence[str], value: str = "count") -> pd.DataFrame:
    """Bound every withheld cell by what is published: what a reader with a linear program learns.

    Parameters
    ----------
    published : pandas.DataFrame
        Cells and totals, some missing, as from `suppress_cells`.
    by : sequence of str
    value : str
        Column of counts.

    Returns
    -------
    pandas.DataFrame
        The withheld cells' labels with low and high; equal where the cell is given away, high infinite where nothing bounds it.

    Raises
    ------
    MedlibError
        No counts can make the published totals.
    """
    values, sums = published[value].to_numpy(float), find_sums(published, by)
    cells = np.flatnonzero(np.isnan(values))
    known = -(sums @ np.nan_to_num(values))
    # No cell that is bounded at all can be larger than everything that is published together.
    beyond = 10 * (np.nansum(values) + 1)
    ends = np.empty((2, len(cells)))
    for place, sign in enumerate((1.0, -1.0)):
        for targets in _take_turns(_group_cells(sums, cells)[0], np.ones(len(cells), bool)):
            cost = np.zeros(len(cells))
            cost[targets] = sign
            answer = linprog(cost, A_eq=sums[:, cells], b_eq=known, bounds=(0, beyond))
            if answer.x is None:
                raise MedlibError("Published totals must be sums of counts of at least 0; no such counts exist: look for a total that was changed.")
            ends[place, targets] = answer.x[targets]
    low, high = ends.round(6) + 0.0
    return published.iloc[cells][list(by)].assign(low=low, high=np.where(high > beyond / 2, np.inf, high))


def suppress_demand(demand: pd.DataFrame, sites: pd.DataFrame, threshold: int = 5) -> pd.DataFrame:
    """Publish a demand table with its regional totals, small counts withheld.

    Parameters
    ----------
    demand : pandas.DataFrame
        date, site, resource, demand.
    sites : pandas.DataFrame
        The `sites` table: site and region; without regions there is one total.
    threshold : int
        As for `suppress_cells`.

    Returns
    -------
    pandas.DataFrame
        region, site, resource, date, demand: sites, regions (site 'all') and everywhere (region 'all', too); missing where withheld.
        `audit_cells(..., DEMAND_CELLS, "demand")` looks at it as a reader would.

    Notes
    -----
    Dates are not added up: weekly totals published beside it would be another table about the same people.
    """
    region = sites.set_index("site")["region"] if "region" in sites else pd.Series(ALL, sites["site"])
    cells = demand[["site", "resource", "date", "demand"]].assign(region=demand["site"].map(region).astype(str))
    regions = cells.groupby(["region", "resource", "date"], as_index=False)["demand"].sum().assign(site=ALL)
    whole = cells.groupby(["resource", "date"], as_index=False)["demand"].sum().assign(site=ALL, region=ALL)
    table = pd.concat([cells, regions, whole] if "region" in sites else [cells, whole], ignore_index=True)
    return suppress_cells(table[[*DEMAND_CELLS, "demand"]], DEMAND_CELLS, threshold, "demand")
