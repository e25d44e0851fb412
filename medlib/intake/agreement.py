"""What rows and tables must agree on: keys, identifiers, places, requirements, capacity for demand, dates."""

from __future__ import annotations

from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd

from medlib import schema
from medlib.calendar import fit_grid
from medlib.errors import MedlibError
from medlib.intake.files import Source

#: Fewer periods of demand than this cannot be split into a past to learn from and a future to be judged by.
MIN_PERIODS = 30
#: What makes a series; the tables sites and resources list the identifiers.
PAIR = ["site", "resource"]


def check_agreement(sources: dict[str, Source], frames: dict[str, pd.DataFrame], foresight: bool) -> None:
    """Flag, in the sources, all that contradicts; the frames hold their cells as values, missing where not readable."""
    owners = {kind: sources[f"{kind}s"] for kind in PAIR}
    known = {kind: set() if owner.lost else set(owner.bare.get(kind, ())) for kind, owner in owners.items()}
    for name, source in sources.items():
        _check_key(source, frames[name])
        for column, kind in (("site", "site"), ("origin", "site"), ("destination", "site"), ("resource", "resource"),
                             ("occupies", "resource")):
            if column in source.bare and (column != "resource" or name != "stay"):
                _check_identifiers(source, column, owners[kind].file, kind, known[kind])
    _check_links(sources["links"])
    _check_places(sources["sites"], frames["sites"])
    _check_resources(sources["resources"], known["resource"])
    _check_pairs(sources["demand"], sources["capacity"], known)
    _check_dates(sources["demand"], frames["demand"], 1 if foresight else MIN_PERIODS)
    if foresight:
        _check_known(sources["demand"])
        _check_reach(sources["sites"], sources["links"])


def _check_key(source: Source, frame: pd.DataFrame) -> None:
    """No row repeats an earlier row's key."""
    contract = schema.get_table(source.name)
    key = [name for name in contract.key if name in frame]
    if any(contract.column[name].required for name in contract.key if name not in frame):
        return
    # Rows without a readable key are not each other's repetition.
    faulty = {line for line, column, *_ in source.problems if column in key}
    rows = frame.loc[~frame.index.isin(faulty), key]
    again = rows.index[rows.duplicated()]
    if len(again):
        first = rows.index.to_series().groupby([rows[name] for name in key], dropna=False).transform("min")
        source.flag(again, key, [f"{schema.ONCE}; line {line} holds it too" for line in first[again]])


def _suggest(value: str, known: set[str]) -> str:
    """Return '; did you mean ...' where an identifier resembles a known one, letter case aside."""
    folded = {other.casefold(): other for other in sorted(known)}
    return "".join(f"; did you mean {folded[near]!r}?" for near in get_close_matches(value.casefold(), folded, 1))


def _check_identifiers(source: Source, column: str, file: str, kind: str, known: set[str]) -> None:
    """Identifiers carry no blanks around them and are known, where any are."""
    texts = {text: text.strip() for text in source.cells[column].unique() if text.strip()}
    source.flag_texts(column, {text: f"no blanks before or after it: {bare!r}" for text, bare in texts.items()
                               if bare != text})
    unknown = [text for text, bare in texts.items() if known and bare not in known]
    # Likeness is slow to tell; a column full of strange values needs it for the first twenty only.
    hints = {text: _suggest(texts[text], known) for text in unknown[:20]}
    if source.name == "links" and len(unknown) == len(texts):
        # The template's links, most likely, beside sites of one's own.
        hints = {text: f"{hints.get(text, '')}; without {source.file}, distances are computed from coordinates" for text in unknown}
    source.flag_texts(column, {text: f"a {kind} of {file}{hints.get(text, '')}" for text in unknown})


def _check_links(source: Source) -> None:
    """A link joins two sites."""
    if {"origin", "destination"} <= set(source.bare):
        loops = (source.bare["origin"] == source.bare["destination"]) & (source.bare["origin"] != "")
        source.flag(source.bare.index[loops], ["destination"], "a site other than the origin")


def _check_places(source: Source, frame: pd.DataFrame) -> None:
    """Latitude and longitude are not swapped: a site lies near the others, not at their mirror image."""
    if {"latitude", "longitude"} <= set(frame):
        latitude, longitude = frame["latitude"], frame["longitude"]
        away = np.maximum((latitude - latitude.median()).abs(), (longitude - longitude.median()).abs())
        mirrored = np.maximum((longitude - latitude.median()).abs(), (latitude - longitude.median()).abs())
        # Sites must lie close together for this to be told, else a far one would be refused that is right.
        swapped = (away > 10) & (mirrored < away / 5) & (away.median() < 5) & (len(frame) >= 3)
        source.flag(frame.index[swapped], ["latitude"], "degrees north; latitude and longitude look swapped")


def _check_resources(source: Source, known: set[str]) -> None:
    """A resource requires what is known, never in a circle; only drugs expire."""
    bare = source.bare.reindex(columns=["resource", "kind", "shelf_life_days", "requires"], fill_value="")
    expiring = bare["kind"].isin({*schema.KINDS} - {"drug"}) & (bare["shelf_life_days"] != "")
    source.flag(bare.index[expiring], ["shelf_life_days"], "nothing; only a drug expires")
    lines = dict(zip(bare["resource"], bare.index))
    needs = {}
    for line, name, _, _, text in bare.itertuples(name=None):
        try:
            needs[name] = schema.parse_requires(text)
        except MedlibError:
            source.add(line, "requires", text, "amounts above 0 and resources, each once, as in '0.5 nurse; 1 monitor'")
            continue
        for need in needs[name]:
            if known and need not in known:
                source.add(line, "requires", text, f"only resources of {source.file}{_suggest(need, known)}")
    while True:
        try:
            return TopologicalSorter(needs).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
            for name in circle[1:]:
                source.add(lines[name], "requires", bare.loc[lines[name], "requires"],
                           f"no circle; here {' requires '.join(circle)}")
                needs.pop(name)


def _check_pairs(demand: Source, capacity: Source, known: dict[str, set[str]]) -> None:
    """Each site and resource with demand has some number and capacity, which is dated throughout or nowhere."""
    needed, placed = _list_pairs(demand), _list_pairs(capacity)
    series = needed.drop_duplicates()
    if set(PAIR) <= set(capacity.bare) and not capacity.lost:
        said = [any(known[kind] and name not in known[kind] for kind, name in zip(PAIR, pair)) for pair in series]
        demand.flag(series.index[~series.isin(placed) & ~np.array(said, dtype=bool)], PAIR,
                    f"a row for it in {capacity.file}, with capacity 0 where there is none")
    if "demand" in demand.bare:
        silent = series[~series.isin(needed[demand.bare["demand"] != ""])]
        demand.flag(silent.index, ["demand"], [f"at least one number for {site}, {resource}; all are missing"
                                               for site, resource in silent])
    if "date" in capacity.bare:
        dated = capacity.bare.loc[placed.index, "date"] != ""
        mixed = placed[~dated & placed.isin(placed[dated])].drop_duplicates()
        capacity.flag(mixed.index, ["date"], [f"for {site}, {resource} a date in every row or in none"
                                              for site, resource in mixed])


def _list_pairs(source: Source) -> pd.Series:
    """Return the site and resource of each line that has both."""
    bare = source.bare.reindex(columns=PAIR, fill_value="")
    bare = bare[(bare != "").all(axis=1)]
    return pd.Series(list(bare.itertuples(index=False, name=None)), index=bare.index, dtype=object)


def _check_known(source: Source) -> None:
    """Every demand is a number: what is solved with foresight has no gaps."""
    if "demand" in source.bare:
        source.flag(source.bare.index[source.bare["demand"] == ""], ["demand"],
                    "a number of at least 0; gaps are filled by `medlib report` only")


def _check_reach(sites: Source, links: Source) -> None:
    """Where there are links, some link leads to or from every site."""
    if {"origin", "destination"} <= set(links.bare) and "site" in sites.bare and len(sites.bare) > 1:
        linked = set(links.bare["origin"]) | set(links.bare["destination"])
        alone = sites.bare.index[~sites.bare["site"].isin(linked) & (sites.bare["site"] != "")]
        sites.flag(alone, ["site"], f"a site that a link of {links.file} leads to or from; nothing can reach or leave it")


def _check_dates(source: Source, frame: pd.DataFrame, least: int) -> None:
    """Demand dates lie on one grid and span enough periods."""
    if "date" not in frame or least == 1 and frame["date"].nunique() == 1:
        return
    dates = frame["date"]
    complete = dates.notna().all() and not source.torn
    try:
        period, strays = fit_grid(dates)
    except MedlibError as error:
        if complete:  # else the dates that could not be read have been listed
            source.add(None, "date", "", f"dates on one regular grid: {error}")
        return
    grid = {"D": "daily", "MS": "first of a month"}.get(period, f"weekly, {period[2:].capitalize()}")
    stray = dates.isin(strays)
    source.flag(dates.index[stray], ["date"], f"a date on the grid of the other dates ({grid})")
    periods = len(pd.date_range(dates[~stray].min(), dates[~stray].max(), freq=period))
    if complete and periods < least:
        source.add(None, "date", f"{periods} periods",
                   f"at least {least} periods ({grid}) from the first date to the last")
