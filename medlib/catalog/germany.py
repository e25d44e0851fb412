"""The German intensive-care register."""

from __future__ import annotations

import pandas as pd

from medlib.catalog.source import Dataset, fetch
from medlib.sample import make_links

#: The capitals of the German states: coordinates in degrees (facts, from any atlas), and the states' populations at the
#: end of 2021 (Statistisches Bundesamt, Bevölkerungsstand, table 12411-0010, 31 December 2021).
GERMAN_STATES = pd.DataFrame([
    ("Schleswig-Holstein", 54.323, 10.135, 2_922_005), ("Hamburg", 53.550, 10.000, 1_853_935),
    ("Niedersachsen", 52.374, 9.738, 8_027_031), ("Bremen", 53.079, 8.802, 676_463),
    ("Nordrhein-Westfalen", 51.226, 6.774, 17_924_591), ("Hessen", 50.083, 8.243, 6_295_017),
    ("Rheinland-Pfalz", 49.993, 8.247, 4_106_485), ("Baden-Württemberg", 48.776, 9.183, 11_124_642),
    ("Bayern", 48.137, 11.575, 13_176_989), ("Saarland", 49.234, 6.994, 982_348),
    ("Berlin", 52.520, 13.405, 3_677_472), ("Brandenburg", 52.396, 13.058, 2_537_868),
    ("Mecklenburg-Vorpommern", 53.629, 11.413, 1_611_160), ("Sachsen", 51.050, 13.738, 4_043_002),
    ("Sachsen-Anhalt", 52.131, 11.640, 2_169_253), ("Thüringen", 50.978, 11.029, 2_108_863),
], columns=["site", "latitude", "longitude", "population"])
#: Until then the register filled up: fewer beds were reported than there were.
REGISTER_COMPLETE = pd.Timestamp("2020-05-01")


def load_icu_germany(entry: Dataset, seed: int) -> dict[str, pd.DataFrame]:
    """Occupied adult intensive-care beds as demand, operable beds as capacity, the 7-day reserve as surge."""
    register = pd.read_csv(fetch(entry), parse_dates=["datum"])
    register = register[register["datum"] >= REGISTER_COMPLETE]
    rows = pd.DataFrame({"date": register["datum"], "site": register["bundesland_name"], "resource": "icu_bed"})
    occupied, free = register["intensivbetten_belegt"], register["intensivbetten_frei"]
    capacity = rows.assign(capacity=occupied + free, surge=register["intensivbetten_7_tage_notfallreserve"],
                           surge_lead_days=7.0, reporting_units=register["anzahl_meldebereiche"],
                           staff_restricted_units=register["einschraenkung_personal"])
    resources = pd.DataFrame({"resource": ["icu_bed"], "kind": "bed", "unit": "bed-day"})
    links = make_links(GERMAN_STATES, longest_km=10_000.0, lead_days=0.0, cost=0.0)
    return {"sites": GERMAN_STATES.assign(name=GERMAN_STATES["site"], region="Germany"), "resources": resources, "links": links,
            "demand": rows.assign(demand=occupied.astype(float)), "capacity": capacity}


_REGISTER = ("robert-koch-institut/Intensivkapazitaeten_und_COVID-19-Intensivbettenbelegung_in_Deutschland",
             "c2410350e7224cde3bc6af92ec19e8233df82698", "Intensivregister_Bundeslaender_Kapazitaeten.csv")

ICU_GERMANY = Dataset(
    name="icu_germany", title="German intensive-care register (adults)", what="occupied and operable ICU beds",
    where="16 German states", span="2020-05-01 to 2026-08-22, daily", rows=36_880, licence="CC-BY-4.0",
    attribution="Robert Koch-Institut (2026): Intensivkapazitäten und COVID-19-Intensivbettenbelegung in Deutschland, "
                "doi:10.5281/zenodo.22058262, CC-BY-4.0. Changed: columns selected and renamed, rows before May 2020 "
                "left out.",
    load=load_icu_germany, file=_REGISTER[2], url="https://raw.githubusercontent.com/{}/{}/{}".format(*_REGISTER),
    sha256="990fd8c38d01cf7321dcc9f691ad3acca8bdefb997c6f47d010bea01333ab584", size_mb=3.7,
    notes="Demand is occupied beds. Nobody lies in a bed that isn't there, so demand beyond the operable beds is not "
          "seen: shortage counts bed-days above the planning occupancy. Transfers that really took place are already in "
          "the figures. Operable beds are occupied plus free ones; surge is the 7-day emergency reserve.")
