"""The seeded synthetic hospital network: the default dataset, made up, and called so wherever it shows.

Patients arrive by a Poisson-like process with a weekly cycle, a winter season and two epidemic waves that reach the four
regions one after another; they leave after a geometric length of stay. What is needed follows from who is there. The
arrival spread and the lengths of stay were set so that weekly profile, autocorrelation and day-to-day variation of
intensive care resemble the German register's (`benchmarks/sample_realism.py` prints both).
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from medlib.recognise.lines import ITEMS, write_line
from medlib.recognise.panels import draw_panel
from medlib.schema import STATES

FIRST_DATE, LAST_DATE = "2023-01-01", "2025-12-31"
#: Mean arrivals on Monday to Sunday, relative to the week's mean.
ARRIVAL_WEEK = np.array([1.10, 1.10, 1.06, 1.03, 0.98, 0.86, 0.87])
#: Peak day, width (days) and height (share added to arrivals) of the two epidemic waves in the first region reached.
WAVES = (("2024-01-20", 24.0, 0.45), ("2026-01-04", 22.0, 0.60))
#: Days by which a wave reaches each region later than the first.
WAVE_DELAY = {"North": 0, "East": 9, "South": 20, "West": 30}
#: Where the regions lie: in the open Atlantic, so that nobody takes them for real places.
REGION_CENTRES = {"North": (46.6, -30.0), "East": (45.2, -27.9), "South": (43.9, -30.2), "West": (45.3, -32.3)}
SITE_KINDS = (("University Hospital", 2.4), ("General Hospital A", 1.4), ("General Hospital B", 1.1),
              ("District Hospital A", 0.7), ("District Hospital B", 0.5))
WARD_STAY_DAYS, ICU_STAY_DAYS = 6.0, 4.5
NURSES_PER_BED = {"bed": 0.15, "icu_bed": 0.5}
#: Share of the ventilators in place that work, at most sites and at the few bad ones; sites with a design of panels that no network knows.
WORKING_SHARE, BAD_SHARE, BAD_SITES, UNSEEN_SITES = 0.82, 0.5, 2, 3


def make_network(seed: int = 1) -> dict[str, pd.DataFrame]:
    """Make the synthetic network's input tables.

    Parameters
    ----------
    seed : int
        The same seed gives the same tables.

    Returns
    -------
    dict of str to pandas.DataFrame
        sites, resources, links, demand (with reporting faults), capacity, inventory and equipment.
    """
    random = np.random.default_rng(seed)
    sites = _make_sites(random)
    demand = _make_demand(sites, random)
    capacity = _make_capacity(sites, demand, random)
    fleets = draw_fleets(sites, capacity, seed)
    return {"sites": sites, "resources": _make_resources(), "links": make_links(sites, longest_km=220.0), "capacity": capacity,
            "demand": _add_faults(demand, random), "inventory": _make_inventory(fleets, seed), "equipment": _make_equipment(fleets, seed)}


def measure_distances(sites: pd.DataFrame) -> np.ndarray:
    """Great-circle distances between all sites.

    Parameters
    ----------
    sites : pandas.DataFrame
        Columns latitude and longitude in degrees.

    Returns
    -------
    numpy.ndarray
        Kilometres, shape (sites, sites), on a sphere of radius 6,371 km (haversine formula).
    """
    latitude, longitude = np.radians(sites["latitude"].to_numpy()), np.radians(sites["longitude"].to_numpy())
    half_lat = np.sin((latitude[:, None] - latitude) / 2) ** 2
    half_lon = np.sin((longitude[:, None] - longitude) / 2) ** 2
    across = half_lat + np.cos(latitude[:, None]) * np.cos(latitude) * half_lon
    return 2 * 6371.0 * np.arcsin(np.sqrt(across))


def make_links(sites: pd.DataFrame, longest_km: float, lead_days: float = 1.0, cost: float = 1.0) -> pd.DataFrame:
    """Link every pair of sites that lie near enough, in both directions.

    Parameters
    ----------
    sites : pandas.DataFrame
        The `sites` table.
    longest_km : float
        Greatest great-circle distance of a link.
    lead_days, cost : float
        Days until a unit sent over 100 km or less can be used (one more beyond), and cost points of a move.

    Returns
    -------
    pandas.DataFrame
        The `links` table.
    """
    distance = measure_distances(sites)
    origin, destination = np.nonzero((distance <= longest_km) & ~np.eye(len(sites), dtype=bool))
    names = sites["site"].to_numpy()
    kilometres = np.round(distance[origin, destination], 1)
    return pd.DataFrame({"origin": names[origin], "destination": names[destination], "distance_km": kilometres,
                         "lead_days": lead_days + (kilometres > 100), "cost": cost})


def _make_resources() -> pd.DataFrame:
    needs = {name: f"{share} nurse" for name, share in NURSES_PER_BED.items()}
    return pd.DataFrame([
        ("bed", "bed", "bed-day", np.nan, needs["bed"]), ("icu_bed", "bed", "bed-day", np.nan, needs["icu_bed"]),
        ("ventilator", "equipment", "device-day", np.nan, None), ("nurse", "staff", "nurse-day", np.nan, None),
        ("antiviral", "drug", "treatment-day", 60.0, None),
    ], columns=["resource", "kind", "unit", "shelf_life_days", "requires"])


def _make_sites(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for region, (latitude, longitude) in REGION_CENTRES.items():
        for number, (kind, size) in enumerate(SITE_KINDS, start=1):
            angle, radius = 2 * np.pi * (number / len(SITE_KINDS) + random.uniform(0, 0.12)), random.uniform(0.35, 0.75)
            away = 0.0 if number == 1 else radius
            rows.append((f"{region[0]}{number}", f"{region} {kind}", region, latitude + away * np.sin(angle),
                         longitude + away * np.cos(angle) * 1.4, round(size * random.uniform(150e3, 190e3), -2)))
    sites = pd.DataFrame(rows, columns=["site", "name", "region", "latitude", "longitude", "population"])
    return sites.round({"latitude": 3, "longitude": 3})


def _draw_arrivals(rate: np.ndarray, random: np.random.Generator, variance_ratio: float) -> np.ndarray:
    """Draw counts whose variance is variance_ratio (below 1) times their mean: much hospital work is scheduled."""
    trials = np.maximum(1, np.round(rate / (1 - variance_ratio))).astype(int)
    return random.binomial(trials, np.clip(rate / trials, 0, 1))


def _draw_census(rate: np.ndarray, stay_days: float, random: np.random.Generator, variance_ratio: float) -> np.ndarray:
    """Count who is there each day: (days, sites) from arrival rates of the same shape."""
    leave = 1 - np.exp(-1 / stay_days)
    present = random.poisson(rate[0] / leave)
    census = np.empty(rate.shape)
    for day, arrivals in enumerate(_draw_arrivals(rate, random, variance_ratio)):
        present = present - random.binomial(present, leave) + arrivals
        census[day] = present
    return census


def _draw_drift(days: int, sites: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """Slow common ups and downs of each region's arrivals: factors around 1, (days, sites), half-life about 60 days."""
    regions, position = np.unique(sites["region"], return_inverse=True)
    memory, spread = 0.5 ** (1 / 60), 0.09
    drift = np.empty((days, len(regions)))
    state = random.normal(0, spread, len(regions))
    for day in range(days):
        state = memory * state + random.normal(0, spread * np.sqrt(1 - memory**2), len(regions))
        drift[day] = state
    return np.exp(drift)[:, position]


def _make_demand(sites: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    dates = pd.date_range(FIRST_DATE, LAST_DATE)
    scale = sites["population"].to_numpy() / 170e3
    season = 1 + 0.06 * np.cos(2 * np.pi * (dates.day_of_year.to_numpy() - 20) / 365.25)
    calm = ARRIVAL_WEEK[dates.day_of_week][:, None] * season[:, None] * scale * _draw_drift(len(dates), sites, random)
    wave = np.zeros((len(dates), len(sites)))
    for peak, width, height in WAVES:
        delay = sites["region"].map(WAVE_DELAY).to_numpy()
        days = (dates - pd.Timestamp(peak)).days.to_numpy()[:, None] - delay
        # A wave falls more slowly than it rises.
        wave += height * np.exp(-0.5 * (days / np.where(days < 0, width, 1.4 * width)) ** 2)
    ward = _draw_census(28 * calm * (1 + 0.6 * wave), WARD_STAY_DAYS, random, 0.7)
    icu = _draw_census(6.1 * calm * (1 + wave), ICU_STAY_DAYS, random, 0.9)
    ventilated = random.binomial(icu.astype(int), np.clip(0.42 + 0.18 * wave, 0, 0.8))
    treated = random.poisson(scale * (1.5 + 16 * wave))
    needs = {"bed": ward, "icu_bed": icu, "ventilator": ventilated, "antiviral": treated}
    frames = [pd.DataFrame(values, index=dates, columns=sites["site"]).stack().rename("demand").reset_index()
              .assign(resource=resource) for resource, values in needs.items()]
    demand = pd.concat(frames).rename(columns={"level_0": "date"})
    return demand[["date", "site", "resource", "demand"]].sort_values(["date", "site", "resource"], ignore_index=True)


def _make_capacity(sites: pd.DataFrame, demand: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    typical = demand.groupby(["site", "resource"])["demand"].quantile(0.75).unstack()
    margin = pd.DataFrame({"bed": 1.22, "icu_bed": 1.30, "ventilator": 1.45}, index=typical.index)
    margin *= random.uniform(0.93, 1.09, margin.shape)
    units = np.ceil(typical[margin.columns] * margin)
    steady = units.stack().rename("capacity").reset_index()
    steady["surge"] = np.round(steady["capacity"] * steady["resource"].map({"bed": 0.06, "icu_bed": 0.12, "ventilator": 0}))
    steady["surge_lead_days"] = steady["resource"].map({"bed": 3.0, "icu_bed": 5.0, "ventilator": 0.0})
    dates = pd.date_range(FIRST_DATE, LAST_DATE)
    nurses = sum(units[bed] * share for bed, share in NURSES_PER_BED.items()) * random.uniform(0.96, 1.06, len(units))
    roster = np.where(dates.day_of_week < 5, 1.0, 0.92)
    # One delivery of the drug a week; the contract covers the usual need and a little more, not a wave.
    parcel = np.ceil(7 * demand[demand["resource"] == "antiviral"].groupby("site")["demand"].mean() * 1.1)
    deliveries = (dates.day_of_week == 0).astype(float)
    dated = [pd.DataFrame({"date": dates, "site": site, "resource": resource, "capacity": np.round(amount * pattern),
                           "surge": np.round(amount * surge), "surge_lead_days": lead})
             for resource, amounts, pattern, surge, lead in (("nurse", nurses, roster, 0.06, 2.0),
                                                             ("antiviral", parcel, deliveries, 0.0, 0.0))
             for site, amount in amounts.items()]
    steady.insert(0, "date", pd.NaT)
    columns = ["date", "site", "resource", "capacity", "surge", "surge_lead_days"]
    return pd.concat([steady[columns].astype({"date": "datetime64[us]"}), *dated], ignore_index=True)


def _add_faults(demand: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Spoil a few rows the way real reports are spoiled: gaps, missing values, slips of the pen, double entries."""
    demand = demand.copy()
    series = demand.groupby(["site", "resource"], sort=True).ngroup().to_numpy()
    day = (demand["date"] - demand["date"].min()).dt.days.to_numpy()
    keep = np.ones(len(demand), dtype=bool)
    for _ in range(40):
        start, length = random.integers(30, day.max() - 60), random.integers(2, 9)
        keep &= ~((series == random.integers(series.max() + 1)) & (day >= start) & (day < start + length))
    demand.loc[random.random(len(demand)) < 0.006, "demand"] = np.nan
    slip = random.choice(len(demand), 60, replace=False)
    demand.loc[slip[:40], "demand"] *= 10
    demand.loc[slip[40:], "demand"] = 9999
    demand = demand[keep]
    twice = demand.sample(160, random_state=random)
    corrected = twice.iloc[:60].assign(demand=lambda rows: rows["demand"] + 1)
    return pd.concat([demand, twice.iloc[60:], corrected]).sort_values("date", kind="stable", ignore_index=True)


def draw_fleets(sites: pd.DataFrame, capacity: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """Draw what every ventilator is really in: the truth behind `inventory` and `equipment`, which stands in no table.

    Parameters
    ----------
    sites, capacity : pandas.DataFrame
        The tables; every site owns as many ventilators as its capacity says.
    seed : int
        As for `make_network`.

    Returns
    -------
    pandas.DataFrame
        A row a device: site, device, design (of the site's panels), listed_broken (the inventory says so, and no picture is taken), state (of
        `schema.STATES`), pictured, and looked_at (by a person). A device works where its state is working and it is not listed as broken.
    """
    random = np.random.default_rng([seed, 1])
    bad, unseen = (set(random.choice(sites["site"], count, replace=False)) for count in (BAD_SITES, UNSEEN_SITES))
    fleets = []
    for site, owned in capacity.loc[capacity["resource"] == "ventilator", ["site", "capacity"]].itertuples(index=False):
        count, share = int(owned), BAD_SHARE if site in bad else WORKING_SHARE
        broken = min(int(random.binomial(count, 0.06)), count - 1)
        states = random.choice(STATES, count, p=[share, *[(1 - share) / 3] * 3])
        pictured = np.zeros(count, bool)
        pictured[broken + random.choice(count - broken, min(count - broken, max(6, count // 2)), replace=False)] = True
        design = "west" if site in unseen else random.choice(["north", "east"])
        fleets.append(pd.DataFrame({"site": site, "device": [f"ventilator-{number:02d}" for number in range(1, count + 1)], "design": design,
                                    "listed_broken": np.arange(count) < broken, "state": states, "pictured": pictured,
                                    "looked_at": pictured & (random.random(count) < 0.1)}))
    return pd.concat(fleets, ignore_index=True)


def _make_equipment(fleets: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Take pictures of the devices in place; a person looked at some of them."""
    random = np.random.default_rng([seed, 2])
    seen = fleets[fleets["pictured"]]
    pictures = [_pack_picture(draw_panel("ventilator", row.state, row.design, random)) for row in seen.itertuples()]
    return pd.DataFrame({"site": seen["site"], "device": seen["device"], "resource": "ventilator", "picture": pictures,
                         "checked": seen["state"].where(seen["looked_at"])}).reset_index(drop=True)


def _pack_picture(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=80)
    return file.getvalue()


def _make_inventory(fleets: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Write inventory lines the way wards do; what some of them mean was read by a person."""
    random, rows = np.random.default_rng([seed, 3]), []
    for site, fleet in fleets.groupby("site", sort=False):
        broken = int(fleet["listed_broken"].sum())
        lines = [("ventilator", pieces, False) for pieces in _split_count(len(fleet) - broken, random)]
        lines += [("ventilator", broken, True)] if broken else []
        lines += [(ITEMS[random.integers(1, len(ITEMS))], int(random.geometric(0.3)), random.random() < 0.3)
                  for _ in range(random.integers(8, 13))]
        for line, place in enumerate(random.permutation(len(lines)), start=1):
            item, pieces, out_of_order = lines[place]
            text, _ = write_line(item, pieces, out_of_order, random)
            read = (item, float(pieces), float(out_of_order)) if random.random() < 1 / 3 else (None, np.nan, np.nan)
            rows.append((site, line, text, *read))
    return pd.DataFrame(rows, columns=["site", "line", "text", "item", "pieces", "broken"])


def _split_count(count: int, random: np.random.Generator) -> list[int]:
    """Split devices over one to four lines, none of them empty."""
    cuts = np.sort(random.choice(np.arange(1, count), min(int(random.integers(0, 4)), count - 1), replace=False))
    return np.diff([0, *cuts, count]).tolist()
