"""Patients' stays with hourly vital signs: the eICU demo, and a synthetic stand-in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medlib.catalog.source import Dataset, fetch
from medlib.errors import MedlibError

#: The vital signs and two laboratory values by their full names, with their units; the file's other laboratory values keep theirs.
NAMES = {"hr": "heart_rate", "resp": "respiratory_rate", "map": "mean_pressure", "sbp": "systolic_pressure", "dbp": "diastolic_pressure",
         "o2sat": "oxygen_saturation", "temp": "temperature", "lact": "lactate", "crea": "creatinine"}
UNITS = {"heart_rate": "per minute", "respiratory_rate": "per minute", "mean_pressure": "mmHg", "systolic_pressure": "mmHg",
         "diastolic_pressure": "mmHg", "oxygen_saturation": "%", "temperature": "°C", "lactate": "mmol/l", "creatinine": "mg/dl"}
#: Units into which the demo's stays are dealt, since the file names none.
DEALT = 10


@dataclass(frozen=True)
class Stays:
    """Stays with hourly measurements.

    Parameters
    ----------
    vitals : pandas.DataFrame
        stay, hour (since admission, from 0) and a column a variable; missing where not measured.
    stays : pandas.DataFrame
        stay, patient, unit, worse (1 where the stay ended badly), and what is known on admission.
    about : str
        Whose stays they are, what `worse` means, how patients and units were told apart, and the source.
    synthetic : bool
    """

    vitals: pd.DataFrame
    stays: pd.DataFrame
    about: str
    synthetic: bool = False


def load_stays(name: str = "sample", seed: int = 1) -> Stays:
    """Load stays by name.

    Parameters
    ----------
    name : {"sample", "eicu_demo"}
        Where the demo is not to be had, a warning says why and the synthetic sample stands in.
    seed : int
        Of the sample.

    Raises
    ------
    MedlibError
        The name is unknown.
    """
    if name not in ("sample", "eicu_demo"):
        raise MedlibError(f"Stays must be sample (synthetic) or eicu_demo; got {name!r}.")
    if name == "eicu_demo":
        try:
            return load_eicu_demo()
        except MedlibError as error:
            warnings.warn(f"{error} Until then the synthetic sample stands in.", stacklevel=2)
    return make_stays(seed)


def load_eicu_demo() -> Stays:
    """Adults' first 25 hours in intensive care, in hourly steps, from many hospitals of the United States in 2014 and 2015.

    Returns
    -------
    Stays
        1,367 stays; `worse` is death in the unit. The file has no patient's number: stays with equal sex, age and height are taken for
        one patient's, which keeps too many together rather than too few. It names no unit either: stays are dealt at random.

    Raises
    ------
    MedlibError
        As `medlib.catalog.fetch`.

    Notes
    -----
    Only stays of 30 hours and more are in the file, and deaths before hour 30 are left out. That is not known when the question is asked,
    at hour 24, so the figures hold for those who stay.

    References
    ----------
    Pollard et al. (2018), The eICU Collaborative Research Database, Scientific Data 5:180178, doi:10.1038/sdata.2018.178;
    van de Water et al. (2024), Yet Another ICU Benchmark, ICLR, arXiv:2306.05109 (hours, variables and outcome).
    """
    hourly, outcomes, admissions = (pd.read_parquet(fetch(entry)) for entry in EICU_FILES)
    hour = (hourly["time"].dt.total_seconds() // 3600).astype(int)
    vitals = hourly.drop(columns="time").rename(columns={"stay_id": "stay"} | NAMES)
    vitals.insert(1, "hour", hour)
    stays = admissions.merge(outcomes, on="stay_id", validate="1:1").sort_values("stay_id", ignore_index=True)
    patient = stays.groupby(["age", "sex", "height"], dropna=False).ngroup()
    dealt = np.random.default_rng(1).permutation(np.arange(patient.max() + 1) % DEALT)[patient]
    table = pd.DataFrame({
        "stay": stays["stay_id"], "patient": patient, "unit": [f"unit {number + 1:02d}" for number in dealt], "worse": stays["label"],
        "age_years": stays["age"], "male": (stays["sex"] == "Male").astype(float), "height_cm": stays["height"], "weight_kg": stays["weight"]})
    return Stays(vitals.sort_values(["stay", "hour"], ignore_index=True), table,
                 f"eICU demo: {len(table)} stays of 30 hours and more in intensive care, United States, 2014 and 2015; worse is death in the "
                 f"unit after hour 30; patients told apart by sex, age and height; {DEALT} units dealt at random. Source: {EICU_DEMO.attribution}")


def make_stays(seed: int = 1, count: int = 800) -> Stays:
    """Make stays up: synthetic, and nobody's data.

    Each patient has values of their own when well, and a severity that wanders through the day. It raises pulse and breathing, lowers
    pressure and oxygen, and decides, with age, how the stay ends. The sicker, the more often blood is drawn. Since patients differ when
    well, the course tells more than the last value. The four units differ in how sick their patients are.

    Parameters
    ----------
    seed : int
        The same seed gives the same stays.
    count : int
        Stays; every tenth is a second stay of the patient before.
    """
    random = np.random.default_rng(seed)
    patient = np.arange(count) - np.arange(count) // 10
    unit = random.integers(0, 4, count)
    age = np.clip(random.normal(63, 16, patient[-1] + 1)[patient], 18, 90).round()
    start, drift = random.normal(0.25 * unit, 0.8), random.normal(0, 0.055, count)
    steps = np.cumsum(random.normal(drift[:, None], 0.16, (count, 25)), axis=1)
    severity = start[:, None] + steps
    worse = random.random(count) < 1 / (1 + np.exp(4.6 - 1.1 * severity[:, -1] - 0.8 * steps[:, -1] - (age - 63) / 30))
    # Mean and spread among patients when well, what one step of severity adds, error of measurement, share of hours measured.
    variables = {"heart_rate": (80, 14, 7.0, 4, 0.95), "respiratory_rate": (17, 3.5, 2.0, 1.8, 0.85), "mean_pressure": (84, 10, -5.0, 5, 0.85),
                 "oxygen_saturation": (97, 1.2, -0.8, 1.0, 0.9), "temperature": (36.8, 0.3, 0.12, 0.25, 0.28),
                 "lactate": (1.5, 0.4, 0.5, 0.3, 0.04), "creatinine": (1.1, 0.4, 0.12, 0.08, 0.06)}
    vitals = pd.DataFrame({"stay": np.repeat(np.arange(count), 25), "hour": np.tile(np.arange(25), count)})
    for name, (mean, spread, effect, error, share) in variables.items():
        own = random.normal(mean, spread, patient[-1] + 1)[patient]
        value = own[:, None] + effect * severity + random.normal(0, error, severity.shape)
        often = np.clip(share * np.exp(0.4 * severity) if share < 0.1 else share, 0, 1)
        value = np.where(random.random(severity.shape) < often, np.clip(value, 0.2, 100 if name == "oxygen_saturation" else None), np.nan)
        vitals[name] = value.round(1).ravel()
    stays = pd.DataFrame({"stay": np.arange(count), "patient": patient, "unit": [f"unit {number + 1}" for number in unit],
                          "worse": worse.astype(int), "age_years": age})
    return Stays(vitals, stays, f"synthetic: {count} stays of made-up patients in 4 made-up units", synthetic=True)


EICU_DEMO = Dataset(
    name="eicu_demo", title="eICU demo, hourly", what="hourly vital signs, laboratory values and death in the unit",
    where="intensive-care units of the United States", span="2014 and 2015, first 25 hours of each stay", rows=34_175, licence="ODbL 1.0",
    attribution="eICU Collaborative Research Database Demo 2.0.1 (Johnson, Pollard, Badawi, Raffa 2021, doi:10.13026/4mxk-na84, ODbL 1.0), "
                "by hours as in Yet Another ICU Benchmark (van de Water et al. 2024, arXiv:2306.05109). Changed: columns renamed.",
    load=None, file="mortality24_eicu_demo_dyn.parquet", size_mb=0.4,
    url="https://raw.githubusercontent.com/rvandewater/YAIB/498950203522f81d67fa94748db23d8eb99ec1ab/demo_data/mortality24/eicu_demo/dyn.parquet",
    sha256="6f5d2f7f98e80f9e7b104021a01628902f8b5affa590fe1f06e2e9e968c4c9d2",
    notes="Stays, not sites: it serves the prediction of patients' condition, not allocation.")
#: Hours, outcomes, and what is known on admission.
EICU_FILES = (EICU_DEMO, *(
    replace(EICU_DEMO, file=EICU_DEMO.file.replace("dyn", part), url=EICU_DEMO.url.replace("dyn", part), sha256=sha256)
    for part, sha256 in (("outc", "d4c75c926dbfd11eb81a36077d60b498565515eca4f4a914903c2f4ecf3c848f"),
                         ("sta", "425a3c2e3893deded0050a8e69f3cabc2fddc5454be8d0bc682a08e644057fcd"))))
