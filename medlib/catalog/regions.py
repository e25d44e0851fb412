"""Some sites of a dataset: those of named regions, and the links between them."""

from __future__ import annotations

import pandas as pd

from medlib.errors import MedlibError

#: Names told in a message.
SHOWN = 30


def choose_sites(sites: pd.DataFrame, region: str) -> set[str]:
    """Return the sites that are meant by names of regions or of sites, with commas between.

    Parameters
    ----------
    sites : pandas.DataFrame
        The `sites` table.
    region : str
        Names as they stand in its `region` or `site` column; empty: every site. A name may hold a comma itself if it is the only one.

    Returns
    -------
    set of str

    Raises
    ------
    MedlibError
        A name is neither a region nor a site.

    Examples
    --------
    >>> table = pd.DataFrame({"site": ["a", "b", "c"], "region": ["North", "North", "South"]})
    >>> sorted(choose_sites(table, "South, a"))
    ['a', 'c']
    """
    groups = sites["region"] if "region" in sites else pd.Series(index=sites.index, dtype=object)
    known = {*sites["site"], *groups.dropna()}
    names = [region.strip()] if region.strip() in known else [name.strip() for name in region.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        regions = sorted(groups.dropna().unique())
        there = f"the regions are {_list_some(regions)}" if regions else f"there are no regions here, and the sites are {_list_some(sorted(sites['site']))}"
        raise MedlibError(f"region takes names of regions or sites, with commas between; got {unknown[0]!r}, and {there}.")
    return set(sites.loc[sites["site"].isin(names) | groups.isin(names), "site"]) if names else set(sites["site"])


def _list_some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def keep_region(tables: dict[str, pd.DataFrame], sources: pd.DataFrame, region: str) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the input tables of some sites only, and sources that say so.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        Input tables, as `medlib.catalog.load_dataset` returns them.
    sources : pandas.DataFrame
        The `sources` table.
    region : str
        As in `choose_sites`; empty: everything is kept as it is.

    Returns
    -------
    tables : dict of str to pandas.DataFrame
        Rows of the chosen sites, links between two of them, and the resources that they have or need.
    sources : pandas.DataFrame
        With the rows and dates that are left, and a note.

    Raises
    ------
    MedlibError
        A name is neither a region nor a site.
    """
    if not region.strip():
        return tables, sources
    chosen = choose_sites(tables["sites"], region)
    kept = {name: _keep_rows(table, chosen) for name, table in tables.items()}
    found = set(kept["demand"]["resource"]) | set(kept["capacity"]["resource"] if "capacity" in kept else ())
    kept = {name: table[table["resource"].isin(found)].reset_index(drop=True) if "resource" in table and "site" not in table and name != "stay" else table
            for name, table in kept.items()}
    demand = kept["demand"]
    note = f" Only {len(chosen)} of {len(tables['sites'])} sites are used here: {region.strip()}."
    return kept, sources.assign(rows=len(demand), first_date=demand["date"].min(), last_date=demand["date"].max(), notes=sources["notes"] + note)


def _keep_rows(table: pd.DataFrame, chosen: set[str]) -> pd.DataFrame:
    """Rows about the chosen sites; of a table that is about pairs of sites, those between two of them."""
    places = [column for column in ("site", "origin", "destination") if column in table]
    return table[table[places].isin(chosen).all(axis=1)].reset_index(drop=True) if places else table
