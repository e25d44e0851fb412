"""Attacks on people's privacy. Each is shown to succeed without the protection, then tried against it. All people are made up."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from medlib.catalog.people import load_people
from medlib.errors import MedlibError
from medlib.privacy import anonymity, attacks, cells, noise
from medlib.privacy.pseudonyms import make_pseudonyms, shift_dates

#: A model is said to give nobody away if members are told from others with an AUC below this. Luck alone has a standard deviation of 0.013.
CLOSE_TO_GUESSING = 0.56
KNOWN = ["age", "female", "site"]
TRAITS = ["age_years", "female", "income_dollars", "health", "mental_health"]


def link_register(folder: Path) -> str:
    """Names come from a register that holds the same people."""
    people = _list_people()
    before = attacks.link_people(people[[*KNOWN, "health"]], people[[*KNOWN, "person"]], KNOWN)
    _must_succeed(len(before) > 50, "linking by age, sex and site")
    hierarchies = _make_hierarchies(people)
    safe = anonymity.reach_anonymity(people[[*KNOWN, "health"]], hierarchies, k=5)
    register = people.assign(**{column: people[column].map(hierarchies[column][level]) for column, level in safe.levels.items()})
    after = attacks.link_people(safe.frame, register, KNOWN)
    return f"{len(after)} of {len(people)} people were named" if len(after) else ""


def read_equal_answers(folder: Path) -> str:
    """Nobody stands alone, but everybody in the class has the same disease."""
    people = _list_people().assign(ill=lambda rows: rows["health"] == 3)
    hierarchies = _make_hierarchies(people)
    plain = anonymity.reach_anonymity(people, hierarchies, k=5)
    _must_succeed(anonymity.measure_anonymity(plain.frame, KNOWN, "ill").l == 1, "reading a class in which all are alike")
    safe = anonymity.reach_anonymity(people, hierarchies, k=5, l=2, sensitive="ill", most_suppressed=0.2)
    alike = (safe.frame.groupby(KNOWN)["ill"].nunique() == 1).sum()
    return f"{alike} classes are alike" if alike else ""


def subtract_from_total(folder: Path) -> str:
    """One small count withheld, its row's total published."""
    table = cells.add_margins(_count_cells(), ["site", "band"])
    bare = table.assign(count=table["count"].astype(float).mask(table["count"].between(1, 4)))
    _must_succeed(len(attacks.find_exposed(bare, ["site", "band"])) > 0, "subtracting from a total")
    return _tell_exposed(cells.suppress_cells(table, ["site", "band"]), ["site", "band"])


def solve_for_secondary_cells(folder: Path) -> str:
    """Two counts withheld in every row, so that no row gives them away: the columns do, or all together."""
    table = cells.add_margins(_count_cells(), ["site", "band"])
    inner = table[(table["site"] != cells.ALL) & (table["band"] != cells.ALL)]
    small = inner.index[inner["count"].between(1, 4)]
    others = inner.drop(small).sort_values("count")
    partners = others[others["site"].isin(inner.loc[small, "site"])].groupby("site").head(1).index
    by_row = table.assign(count=table["count"].astype(float).mask(table.index.isin([*small, *partners])))
    _must_succeed(len(attacks.find_exposed(by_row, ["site", "band"])) > 0, "solving rows and columns together")
    return _tell_exposed(cells.suppress_cells(table, ["site", "band"]), ["site", "band"])


def subtract_two_releases(folder: Path) -> str:
    """Two tables without any small count, about all patients and about those under 90."""
    both = pd.DataFrame({"site": ["S1", "S2", "S3"] * 2, "age": ["under 90"] * 3 + ["90+"] * 3, "count": [31, 24, 42, 2, 6, 17]})
    under = both[both["age"] == "under 90"][["site", "count"]]
    every = both.groupby("site", as_index=False)["count"].sum()
    _must_succeed(len(attacks.subtract_releases(every, under, ["site"])) == 1, "subtracting two releases")
    return _tell_exposed(cells.suppress_cells(cells.add_margins(both, ["site", "age"]), ["site", "age"]), ["site", "age"])


def read_regions(folder: Path) -> str:
    """Regional and national totals beside a demand table, by day."""
    rng = np.random.default_rng(1)
    sites = pd.DataFrame({"site": [f"S{number}" for number in range(8)], "region": ["A"] * 3 + ["B"] * 5})
    demand = pd.DataFrame({"date": pd.date_range("2030-01-01", periods=6)}).merge(sites[["site"]], how="cross").assign(resource="bed")
    demand["demand"] = rng.poisson(7.0, len(demand)).astype(float)
    free = cells.suppress_demand(demand, sites, 1)
    bare = free.assign(demand=free["demand"].mask(free["demand"].between(1, 4)))
    by, value = cells.DEMAND_CELLS, "demand"
    _must_succeed(len(attacks.find_exposed(bare, by, value)) > 0, "subtracting from regional totals")
    return _tell_exposed(cells.suppress_demand(demand, sites, 5), by, value)


def try_all_identifiers(folder: Path) -> str:
    """There are 100,000 record numbers: all are tried."""
    every = range(100_000, 200_000)
    patients = pd.Series(np.random.default_rng(1).choice(every, 50, replace=False))
    hashed = patients.astype(str).map(attacks.hash_plainly)
    _must_succeed(len(attacks.guess_pseudonyms(hashed, every, attacks.hash_plainly)) == 50, "trying all record numbers")
    keyed = make_pseudonyms(patients, secrets.token_bytes(32))
    wrong = make_pseudonyms(pd.Series(every), secrets.token_bytes(32))
    found = attacks.guess_pseudonyms(keyed, every, attacks.hash_plainly) | {name: 0 for name in set(wrong) & set(keyed)}
    return f"{len(found)} of 50 pseudonyms were undone" if found else ""


def join_two_purposes(folder: Path) -> str:
    """Two releases for two purposes, joined by their pseudonyms."""
    patients, key = pd.Series(range(1000, 1200)), secrets.token_bytes(32)
    first, same, other = (make_pseudonyms(patients, key, purpose) for purpose in ("stays", "stays", "drugs"))
    _must_succeed(set(first) == set(same), "joining two releases of one purpose")
    joined = set(first) & set(other)
    return f"{len(joined)} of 200 people were joined" if joined else ""


def find_known_date(folder: Path) -> str:
    """The day of an admission is known from the newspaper."""
    rng = np.random.default_rng(1)
    stays = pd.DataFrame({"person": range(300), "admitted": pd.Timestamp("2030-01-01") + pd.to_timedelta(rng.permutation(300), unit="D")})
    _must_succeed(stays["admitted"].is_unique, "finding a person by the day of admission")
    shifted = shift_dates(stays, "person", ["admitted"], secrets.token_bytes(32))
    found = (shifted["admitted"] == stays["admitted"]).sum()
    return f"{found} of 300 people still have their date" if found else ""


def average_many_answers(folder: Path) -> str:
    """The same question again and again, until the noise averages out."""
    people = pd.DataFrame({"site": ["S1"] * 7 + ["S2"] * 40})
    groups = {"site": ["S1", "S2"]}
    true, asked = np.array([7, 40]), np.repeat([[7, 40]], 2000, axis=0)
    endless = noise.add_noise(asked.ravel(), 1, 0.5, noise.Budget(0.5), "each as if it were the only one").reshape(-1, 2)
    _must_succeed((endless.mean(axis=0).round() == true).all(), "averaging 2,000 answers")
    budget, answers = noise.Budget(1.0), 0
    for epsilon in (0.5, 0.5, *[0.1] * 50, -5.0, float("nan"), 0.5):
        try:
            noise.release_counts(people, groups, epsilon, budget)
            answers += 1
        except MedlibError:
            pass
    return f"{answers} answers were given for a budget of 2" if answers != 2 else ""


def name_members_of_forest(folder: Path) -> str:
    """A forest that learned people by heart errs less on them."""
    people, inside = _split_people()
    learned = people[inside]

    def attack(leaf: int) -> float:
        forest = RandomForestRegressor(40, min_samples_leaf=leaf, random_state=1).fit(learned[TRAITS], learned["visits"])
        errors = np.abs(forest.predict(people[TRAITS]) - people["visits"])
        return attacks.infer_membership(errors[inside], errors[~inside], draws=20).auc

    _must_succeed(attack(leaf=1) > 0.7, "naming members of a deep forest")
    auc = attack(leaf=50)
    return f"members are told with an AUC of {auc:.2f}" if auc >= CLOSE_TO_GUESSING else ""


def name_members_of_means(folder: Path) -> str:
    """Means of small groups are close to those who were in them. An epsilon of 1 leaves an AUC of about 0.57 here; 0.1 leaves guessing."""
    people, inside = _split_people()
    groups = {"age": range(62), "health": [0, 1, 2, 3], "female": [0, 1], "site": range(1, 7)}

    def attack(means: pd.DataFrame) -> float:
        guesses = people.merge(means, on=list(groups), how="left")["mean"].fillna(people["visits"].mean())
        errors = np.abs(guesses.to_numpy() - people["visits"])
        return attacks.infer_membership(errors[inside], errors[~inside], draws=20).auc

    exact = people[inside].groupby(list(groups), as_index=False)["visits"].mean().rename(columns={"visits": "mean"})
    _must_succeed(attack(exact) > 0.6, "naming members of exact means")
    auc = attack(noise.release_means(people[inside], "visits", (0, 20), groups, 0.1, noise.Budget(0.1)))
    return f"members are told with an AUC of {auc:.2f}" if auc >= CLOSE_TO_GUESSING else ""


def _must_succeed(succeeded: bool, what: str) -> None:
    if not succeeded:
        raise AssertionError(f"{what} must succeed where nothing protects, or its failure proves nothing")


def _list_people() -> pd.DataFrame:
    panel = load_people(stand_in=True)["panel"].rows.drop_duplicates("person").reset_index(drop=True)
    return panel.assign(age=panel["age_years"].astype(int))


def _split_people() -> tuple[pd.DataFrame, np.ndarray]:
    """People, and which of them a model learns from: families whole."""
    people = _list_people()
    families = people["family"].unique()
    return people, people["family"].isin(np.random.default_rng(1).choice(families, len(families) // 2, replace=False)).to_numpy()


def _make_hierarchies(people: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"age": anonymity.make_age_hierarchy(people["age"])} | {column: anonymity.make_flat_hierarchy(people[column])
                                                                   for column in ("female", "site")}


def _count_cells() -> pd.DataFrame:
    """Made-up admissions by site and age band; some are few."""
    counts = np.array([[12, 30, 9], [3, 25, 41], [18, 7, 2], [22, 16, 11]])
    index = pd.MultiIndex.from_product([["S1", "S2", "S3", "S4"], ["0-39", "40-79", "80+"]], names=["site", "band"])
    return pd.DataFrame({"count": counts.ravel()}, index).reset_index()


def _tell_exposed(published: pd.DataFrame, by: list[str] | tuple[str, ...], value: str = "count") -> str:
    exposed = attacks.find_exposed(published, by, value)
    return f"{len(exposed)} withheld counts are given away" if len(exposed) else ""


ATTACKS: dict[str, Callable[[Path], str]] = {
    "link a table of patients to a register with names": link_register,
    "learn a disease from a class in which all have it": read_equal_answers,
    "subtract the published cells from a total": subtract_from_total,
    "solve rows and columns for withheld counts": solve_for_secondary_cells,
    "subtract two releases about nearly the same people": subtract_two_releases,
    "read small daily counts off regional totals": read_regions,
    "try all record numbers against pseudonyms": try_all_identifiers,
    "join two purposes by their pseudonyms": join_two_purposes,
    "find a patient by a known date of admission": find_known_date,
    "ask the same noisy question until the noise averages out": average_many_answers,
    "tell from its errors whom a forest learned from": name_members_of_forest,
    "tell from means of small groups who is in them": name_members_of_means,
}
