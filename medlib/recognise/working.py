"""How many devices are there and work: inventory lines read, pictures looked at, and how sure that is."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from medlib.errors import MedlibError
from medlib.language import say
from medlib.recognise.counting import PRIOR, draw_counts
from medlib.schema import STATES, empty
from medlib.supply import COUNTED

#: A line counts as naming a device, in words, from this probability on; every probability counts in the figures.
MENTIONED = 0.1
#: What the column source of `working_devices` is put together from; {} is a number.
SOURCES = ("owned", "working", "{} inventory line", "{} inventory lines", "{} left to people", "stated capacity", "no inventory",
           "at least the {} pictured", "the lines only", "no pictures", "about {} of {} looked at", "{} by a person",
           "neither inventory lines nor pictures", ": ", "; ", ", ", " (", ")")
#: What `supply_from` may say: the column of `working_devices` that is planned with.
SUPPLY_FROM = {"expected": "working", "lower": "working_low"}


def count_working(capacity: pd.DataFrame, resources: pd.DataFrame, inventory_read: pd.DataFrame, equipment_state: pd.DataFrame,
                  equipment_confusion: pd.DataFrame, draws: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Count the devices that are there and work at each site.

    Owned is what the inventory lines sum to, each line taken for what it may be with its probability. In use is what they don't call out
    of order. Of the devices pictured, those that work are counted behind the network's mistakes; a person's word is taken as it is. Devices
    in use without a picture work as often as the pictured ones of their site do.

    Parameters
    ----------
    capacity, resources, inventory_read, equipment_state, equipment_confusion : pandas.DataFrame
        The tables. An inventory line's item is the identifier of a resource. Tables without rows say nothing.
    draws : int
        How often all that is uncertain is drawn.
    seed : int

    Returns
    -------
    pandas.DataFrame
        The `working_devices` table: a row for each site and resource of kind equipment in `capacity`. Without any inventory line naming the
        resource, or any line of the site, owned is the stated capacity; without pictures, all in use counts as working; without either, the
        stated capacity stands.

    Raises
    ------
    MedlibError
        Pictures were judged by a network, but there are states without checked devices to tell how often it errs.

    Notes
    -----
    Assumes that devices were pictured without regard to whether they work. Where people picture what they come by, broken devices in a
    store room are missed, and the count is too high.
    """
    devices = resources.loc[resources["kind"] == "equipment", "resource"]
    stated = find_latest(capacity[capacity["resource"].isin(devices)])
    listed = set(inventory_read["site"]), set(inventory_read["item"])
    rows = []
    for number, (site, resource, units) in enumerate(stated.itertuples(index=False)):
        random = np.random.default_rng([seed, number])
        lines = inventory_read[(inventory_read["site"] == site) & (inventory_read["item"] == resource)]
        seen = equipment_state[(equipment_state["site"] == site) & (equipment_state["resource"] == resource)]
        known = site in listed[0] and resource in listed[1]
        owned, used = draw_owned(lines, draws, random) if known else np.full((2, draws), round(units) if len(seen) else units)
        pictured = draw_pictured(seen, equipment_confusion, draws, seed + number)
        owned, used = (np.maximum(counts, len(seen)) for counts in (owned, used))
        working = pictured + _draw_unseen(used - len(seen), pictured, len(seen), random) if len(seen) else used
        low, high = np.quantile(working, [0.05, 0.95])
        rows.append((site, resource, units, owned.mean(), working.mean(), low, high, _describe(lines, seen, known, pictured, owned)))
    if not rows:
        return empty("working_devices")
    return pd.DataFrame(rows, columns=list(empty("working_devices"))).round(2)


def find_latest(capacity: pd.DataFrame) -> pd.DataFrame:
    """The latest capacity of each site and resource: columns site, resource, capacity."""
    ordered = capacity.sort_values("date", kind="stable", na_position="first") if "date" in capacity else capacity
    return ordered.drop_duplicates(["site", "resource"], keep="last").sort_values(["site", "resource"])[["site", "resource", "capacity"]]


def draw_owned(lines: pd.DataFrame, draws: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw how many devices a site's lines count, and how many of them are not called out of order: whole numbers of shape (draws,)."""
    columns = lines[["probability", "pieces", "broken"]].to_numpy(float).T
    probability, pieces, broken = columns[0], columns[1].round(), columns[2]
    meant = random.random((draws, len(lines))) < probability
    fine = random.random((draws, len(lines))) >= broken
    return meant @ pieces, (meant & fine) @ pieces


def draw_pictured(seen: pd.DataFrame, confusion: pd.DataFrame, draws: int, seed: int) -> np.ndarray:
    """Draw how many of the pictured devices work: whole numbers of shape (draws,)."""
    person = seen["decided_by"] == "person"
    sure = (seen["state"] == STATES[0])[person].sum()
    if person.all():
        return np.full(draws, sure)
    answers = pd.MultiIndex.from_product([STATES, [False, True]])
    judged = seen[~person]
    called = judged.groupby(["state", judged["decided_by"] == "network"]).size().reindex(answers, fill_value=0)
    matrix = confusion.pivot_table(index="true", columns=["called", "confident"], values="devices", aggfunc="sum")
    matrix = matrix.reindex(index=list(STATES), columns=answers).fillna(0)
    return sure + draw_counts(called.to_numpy(), matrix.to_numpy(), draws, seed=seed)[:, 0]


def _draw_unseen(unseen: np.ndarray, working: np.ndarray, pictured: int, random: np.random.Generator) -> np.ndarray:
    """Draw how many devices without a picture work, from what the share of the pictured ones says (Jeffreys prior)."""
    return random.binomial(unseen.astype(int), random.beta(PRIOR + working, PRIOR + pictured - working))


def _describe(lines: pd.DataFrame, seen: pd.DataFrame, known: bool, pictured: np.ndarray, owned: np.ndarray) -> str:
    """Say where the figures came from."""
    if not known and not len(seen):
        return "stated capacity; neither inventory lines nor pictures"
    named = lines[lines["probability"] >= MENTIONED]
    people = (named["decided_by"] == "left to people").sum()
    lines = f"{len(named)} inventory line{'s' * (len(named) != 1)}" + (f" ({people} left to people)" if people else "")
    first = f"owned: {lines if known else 'stated capacity, no inventory'}"
    if len(seen) and (owned == len(seen)).all():
        first += f", at least the {len(seen)} pictured"
    if not len(seen):
        return f"{first}; working: the lines only, no pictures"
    by_person, left = ((seen["decided_by"] == word).sum() for word in ("person", "left to people"))
    more = "".join(f", {count} {words}" for count, words in ((by_person, "by a person"), (left, "left to people")) if count)
    return f"{first}; working: about {pictured.mean():.0f} of {len(seen)} looked at{more}"


def tell_source(source: str) -> str:
    """Tell where figures came from, the column source of `working_devices`, in the language that is spoken."""
    pieces = re.split(r"(: |; |, | \(|\))", source)
    return "".join(say(re.sub(r"\d+", "{}", piece)).format(*re.findall(r"\d+", piece)) for piece in pieces)


def wants_count(supply_from: str) -> bool:
    """Tell whether a plan is to count on the devices counted, and not on the stated capacity.

    Raises
    ------
    MedlibError
        `supply_from` is neither "stated" nor one of `SUPPLY_FROM`.
    """
    if supply_from not in ("stated", *SUPPLY_FROM):
        raise MedlibError(f"supply_from must be one of stated, {', '.join(SUPPLY_FROM)}; got {supply_from!r}.")
    return supply_from in SUPPLY_FROM


def replace_capacity(expected: pd.DataFrame, working: pd.DataFrame, supply_from: str) -> pd.DataFrame:
    """Plan with the devices that work in place of the stated ones.

    Parameters
    ----------
    expected : pandas.DataFrame
        The `capacity_forecast` table.
    working : pandas.DataFrame
        The `working_devices` table.
    supply_from : {"expected", "lower"}
        The mean, or the 5 % quantile.

    Returns
    -------
    pandas.DataFrame
        The counted figure in every period and at every level of the sites and resources counted; surge stays as it is.
    """
    counted = working.set_index(["site", "resource"])[SUPPLY_FROM[supply_from]]
    found = expected[["site", "resource"]].merge(counted.rename("counted").reset_index(), how="left")["counted"].to_numpy()
    there = ~np.isnan(found)
    return expected.assign(capacity=np.where(there, found, expected["capacity"]), model=expected["model"].mask(there, COUNTED))


def list_losses(working: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """Rows of `working_devices` where most stated devices are missing or don't work, with a column lost (expected devices)."""
    lost = working.assign(lost=working["stated"] - working["working"])
    return lost[lost["lost"] > 0.5].sort_values(["lost", "site"], ascending=[False, True]).head(most).reset_index(drop=True)


def describe_count(working: pd.DataFrame) -> list[str]:
    """Say in a sentence for each resource what was counted.

    Parameters
    ----------
    working : pandas.DataFrame
        The `working_devices` table, its resources named as people do.

    Returns
    -------
    list of str
        Sums over sites. The sum of the sites' 5 % quantiles is lower than the sum's own 5 % quantile: not all sites are unlucky at once.
    """
    sums = working.groupby("resource")[["stated", "owned", "working", "working_low", "working_high"]].sum().round(0).astype(int)
    return [say("{resource}: {stated:,} stated, {owned:,} owned, {working:,} working; the sites' 5 % quantiles sum to {low:,}, their 95 % "
                "quantiles to {high:,}.", resource=f"{row.Index[:1].upper()}{row.Index[1:]}", stated=row.stated, owned=row.owned,
                working=row.working, low=row.working_low, high=row.working_high) for row in sums.itertuples()]
