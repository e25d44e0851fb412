"""Intensive-care patients with COVID-19 in the trauma service areas of Texas, summer 2020: a published case to check against.

Parker et al. (arXiv:2011.03528) plan transfers of newly admitted patients. Admissions were not reported; they are estimated
here from the census by least squares, as the case's public answers were.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from medlib.catalog.source import Dataset, fetch
from medlib.sample import make_links

#: Beds for COVID-19 patients: half of the intensive-care beds of the area's short-term, critical-access and long-term acute
#: hospitals (sums of counts by Definitive Healthcare, in the repository of Parker et al.); degrees of the mean county centroid.
AREAS = pd.DataFrame([
    ("A", "Amarillo", 90, 35.4028, -101.3747), ("B", "Lubbock", 188, 33.5222, -101.6793),
    ("C", "Wichita Falls", 34, 33.7435, -98.8164), ("D", "Abilene", 62, 32.5701, -99.6152),
    ("E", "Dallas/Ft. Worth", 974, 32.8328, -97.093), ("F", "Paris", 56, 33.3339, -95.0401),
    ("G", "Longview/Tyler", 236, 32.2816, -95.1349), ("H", "Lufkin", 44, 31.1081, -94.5169),
    ("I", "El Paso", 111, 31.5571, -105.381), ("J", "Midland/Odessa", 60, 31.3757, -102.7367),
    ("K", "San Angelo", 26, 31.1683, -100.3587), ("L", "Belton/Killeen", 54, 31.2683, -97.8668),
    ("M", "Waco", 32, 31.6484, -97.098), ("N", "Bryan/College Station", 48, 30.744, -96.2512),
    ("O", "Austin", 310, 30.3714, -97.8474), ("P", "San Antonio", 367, 29.3796, -99.1625),
    ("Q", "Houston", 880, 29.7823, -95.9196), ("R", "Galveston", 102, 30.0354, -94.4503),
    ("S", "Victoria", 54, 28.891, -96.9797), ("T", "Laredo", 32, 27.269, -99.0664),
    ("U", "Corpus Christi", 63, 27.8408, -97.8194), ("V", "Lower Rio Grande Valley", 184, 26.3938, -98.0047),
], columns=["site", "name", "capacity", "latitude", "longitude"])
#: The published case: its first and last day.
WINDOW = pd.date_range("2020-06-15", "2020-08-15")
#: Length of stay: Weibull (Lewnard et al. 2020, doi:10.1136/bmj.m1923, as used by Parker et al.); scale in days.
SHAPE, SCALE = 1.58, 13.32
#: Weight of the second differences of the estimated admissions, and their upper bound as a share of the area's peak census.
SMOOTHING, MOST = 0.5, 0.2


def survive(days: np.ndarray) -> np.ndarray:
    """Probability of a stay longer than so many days."""
    return np.exp(-((np.asarray(days) / SCALE) ** SHAPE))


def estimate_arrivals(census: pd.DataFrame, window: pd.DatetimeIndex = WINDOW) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimate who arrived and who was there before, from the census.

    Those there on the day before the window leave as in a census in equilibrium; admissions are the bounded, smoothed least
    squares that explain the rest.

    Parameters
    ----------
    census : pandas.DataFrame
        Patients, a row a date and a column a site; the window and the day before it are looked at.
    window : pandas.DatetimeIndex
        Days in a row; left out: the published ones.

    Returns
    -------
    arrivals, remaining : pandas.DataFrame
        Of the same shape, over the window: patients who arrive, and those of before who are still there.
    """
    from scipy.optimize import lsq_linear

    days = np.arange(len(window))
    # Stays are followed to the window's end, as in the public answers; 0.001 % last longer.
    stay = survive(np.arange(len(days) + 1))
    left = np.cumsum(stay[::-1])[::-1] / stay.sum()
    remaining = pd.DataFrame(np.outer(left[days + 1], census.loc[window[0] - pd.Timedelta(days=1)]), window, census.columns)
    present = np.where(days[:, None] >= days, survive(np.abs(days[:, None] - days)), 0.0)
    system = np.vstack([present, SMOOTHING * np.diff(np.eye(len(days)), 2, axis=0)])
    arrivals = {}
    for site, patients in census.loc[window].items():
        wanted = np.concatenate([patients - remaining[site], np.zeros(len(days) - 2)])
        arrivals[site] = lsq_linear(system, wanted, (0.0, MOST * max(patients.max(), 1.0)), tol=1e-12).x
    return pd.DataFrame(arrivals, window), remaining


def load_tx_icu(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Census as demand; for the published window arrivals, patients of before, and their stays."""
    reported = pd.read_csv(fetch(entry), parse_dates=["date"])
    demand = pd.DataFrame({"date": reported["date"], "site": reported["tsa_id"], "resource": "icu_bed",
                           "demand": reported["patients_covid_icu"].astype(float)})
    arrivals, remaining = estimate_arrivals(demand.pivot(index="date", columns="site", values="demand"))

    def lay_out(wide: pd.DataFrame, name: str) -> pd.DataFrame:
        return wide.rename_axis(index="date", columns="site").stack().rename(name).reset_index().assign(resource="icu_bed")

    return {
        "sites": AREAS[["site", "name", "latitude", "longitude"]].assign(region="Texas"),
        "resources": pd.DataFrame({"resource": ["icu_bed"], "kind": "bed", "unit": "bed-day"}),
        "links": make_links(AREAS, longest_km=10_000.0, lead_days=0.0, cost=0.0), "demand": demand,
        "capacity": AREAS[["site", "capacity"]].assign(resource="icu_bed", capacity=AREAS["capacity"].astype(float)),
        "arrivals": lay_out(arrivals, "arrivals"), "initial": lay_out(remaining, "remaining"),
        "stay": pd.DataFrame({"day": np.arange(len(WINDOW) + 1), "survival": survive(np.arange(len(WINDOW) + 1))})}


TX_ICU = Dataset(
    name="tx_icu", title="Intensive-care patients with COVID-19 in Texas", what="patients in and beds for COVID-19 intensive care",
    where="22 trauma service areas", span="2020-04-12 to 2020-09-19, daily; published case 2020-06-15 to 2020-08-15", rows=3_542,
    licence="MIT (repository); publishers' terms not stated",
    attribution="Parker, Sawczuk, Ganjkhanloo, Ahmadi, Ghobadi: covid-resource-allocation (MIT, Copyright 2020 Felix Parker); "
                "census by Texas DSHS, bed counts by Definitive Healthcare (sums by area). Changed: admissions estimated.",
    load=load_tx_icu, file="tx_tsa_hospitalizations.csv", mirror="allocation/tx_icu",
    url="https://raw.githubusercontent.com/flixpar/covid-resource-allocation/bda248346d8b1477a8ce209e9c37a691c4a6bdba/data/local/"
        "texas/tx_tsa_hospitalizations.csv",
    sha256="ae849d2a2c1e267499a35ee776580fcfcd040c19baf634ae7b39dce2959770ea", size_mb=0.2,
    notes="Demand is the reported census. Admissions are not reported but estimated from it (root mean squared error of the refit "
          "census about 11 patients). Capacity is half of all intensive-care beds, as in the published case.")
