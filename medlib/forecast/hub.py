"""CDC's FluSight forecast hub: its target data in, forecasts in its format out.

A folder of hub data holds ``target_vintages.parquet`` (as_of, date, location, value: a row for each value first published or
changed), ``locations.csv`` (location, location_name, population) and, if there is one, ``ilinet_state.csv.gz``: earlier seasons of
visits for influenza-like illness.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medlib import unpack
from medlib.errors import MedlibError
from medlib.forecast.combined import Combination
from medlib.forecast.trees import GradientBoosting, RandomForest
from medlib.forecast.vintages import expect_revisions, revise_newest, see_as_of

#: The hub's 23 probability levels.
LEVELS = (0.01, 0.025, *np.arange(0.05, 0.96, 0.05).round(2).tolist(), 0.975, 0.99)
RESOURCE, TARGET = "flu_admission", "wk inc flu hosp"
#: Weeks in which hospitals need not report: what they tell is no measure of need.
VOLUNTARY = (pd.Timestamp("2024-05-04"), pd.Timestamp("2024-10-26"))
#: Weeks of ILINet that teach nothing about influenza: the first year and a half of COVID-19, and summers.
COVID, SUMMER = (pd.Timestamp("2020-03-14"), pd.Timestamp("2021-09-04")), (6, 7, 8)
#: Reference dates whose snapshot came out a day late: the hub waited for it.
LATE = {pd.Timestamp("2024-04-13")}
WEEK = pd.Timedelta(days=7)
#: No place has more admissions, or more times 100,000 people: larger numbers are slips.
MOST = 1e6
#: What the hub's forecasts are combined of.
MEMBERS = ("forest", "boosting", "network")


@dataclass(frozen=True)
class HubData:
    """What a folder of hub data holds.

    Attributes
    ----------
    vintages : pandas.DataFrame
        as_of, date, site (location code), resource, demand (admissions a week).
    sizes : dict of str to float
        Population in 100,000 by location code.
    history : pandas.DataFrame or None
        ILINet as a `demand` table: visits for influenza-like illness, % of all visits; `learn` is false where they tell nothing.
    """

    vintages: pd.DataFrame
    sizes: dict[str, float]
    history: pd.DataFrame | None

def read_hub_folder(folder: Path) -> HubData:
    """Read target_vintages.parquet, locations.csv and, where it is there, ilinet_state.csv.gz.

    Raises
    ------
    MedlibError
        A file is missing, or holds something else than described above.
    """
    folder = Path(folder)
    if missing := [name for name in ("target_vintages.parquet", "locations.csv") if not (folder / name).is_file()]:
        raise MedlibError(f"{folder} must hold {missing[0]}; see the docstring of medlib.forecast.hub.")
    try:
        hub = _read_tables(folder)
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise MedlibError(f"The tables in {folder} are not as the docstring of medlib.forecast.hub describes them ({type(error).__name__}); "
                          "fetch them anew.") from None
    demand, sizes = hub.vintages["demand"], hub.vintages["site"].map(hub.sizes)
    wrong = hub.vintages[["as_of", "date"]].isna().any(axis=1) | ~(demand.isna() | demand.between(0, MOST)) | ~sizes.between(1e-5, MOST)
    if wrong.any():
        raise MedlibError(f"target_vintages.parquet in {folder} must hold dates, numbers of at least 0 and locations whose population "
                          f"locations.csv tells; row {int(np.argmax(wrong))} does not.")
    return hub


def _read_tables(folder: Path) -> HubData:
    locations = pd.read_csv(folder / "locations.csv", dtype={"location": str})
    vintages = unpack.read_parquet(folder / "target_vintages.parquet")
    vintages = pd.DataFrame({"as_of": pd.to_datetime(vintages["as_of"], format="ISO8601").astype("datetime64[us]"),
                             "date": pd.to_datetime(vintages["date"], format="ISO8601").astype("datetime64[us]"),
                             "site": vintages["location"].astype(str), "resource": RESOURCE,
                             "demand": vintages["value"].astype(float)})
    path = folder / "ilinet_state.csv.gz"
    return HubData(vintages, dict(zip(locations["location"], locations["population"] / 1e5)),
                   _read_ilinet(path, locations) if path.is_file() else None)


def _read_ilinet(path: Path, locations: pd.DataFrame) -> pd.DataFrame:
    visits = pd.read_csv(io.BytesIO(unpack.unpack_gzip(path)), na_values="NA")
    date = (pd.to_datetime(visits["week_start"], format="%Y-%m-%d") + pd.Timedelta(days=6)).astype("datetime64[us]")
    history = pd.DataFrame({"date": date, "site": visits["region"].map(dict(zip(locations["location_name"], locations["location"]))),
                            "resource": RESOURCE, "demand": pd.to_numeric(visits["unweighted_ili"])}).dropna(subset="site")
    history = history.assign(learn=~(history["date"].between(*COVID) | history["date"].dt.month.isin(SUMMER)))
    return history.drop_duplicates(["date", "site"]).reset_index(drop=True)


def to_hub(forecast: pd.DataFrame, reference: pd.Timestamp) -> pd.DataFrame:
    """Bring forecasts to the hub's columns.

    Parameters
    ----------
    forecast : pandas.DataFrame
        As from `Forecaster.predict`, weekly, sites named by the hub's location codes.
    reference : pandas.Timestamp
        The Saturday after the forecast is made; weeks that end before it are left out.

    Returns
    -------
    pandas.DataFrame
        reference_date, location, horizon (0 to 3), target, target_end_date, output_type, output_type_id, value.
    """
    horizon = (forecast["date"] - reference).dt.days // 7
    hub = pd.DataFrame({"reference_date": reference, "location": forecast["site"], "horizon": horizon, "target": TARGET,
                        "target_end_date": forecast["date"], "output_type": "quantile", "output_type_id": forecast["quantile"],
                        "value": forecast["demand"]})
    hub = hub[hub["horizon"].between(0, 3)].sort_values(["location", "horizon", "output_type_id"], ignore_index=True)
    return hub.assign(**{name: hub[name].dt.strftime("%Y-%m-%d") for name in ("reference_date", "target_end_date")})


def list_references(first: str, last: str) -> pd.DatetimeIndex:
    """Reference dates from one to another, a week apart.

    Raises
    ------
    MedlibError
        One is no date or no Saturday, or the last lies before the first.
    """
    try:
        begin, end = pd.Timestamp(first), pd.Timestamp(last)
    except ValueError:
        raise MedlibError(f"Reference dates are written YYYY-MM-DD; got {first!r} and {last!r}.") from None
    if begin.day_of_week != 5 or end.day_of_week != 5 or end < begin:
        raise MedlibError(f"Reference dates are Saturdays, the last not before the first; got {begin:%A %Y-%m-%d} and {end:%A %Y-%m-%d}.")
    return pd.date_range(begin, end, freq="7D", unit="us")


def mark_teaching(demand: pd.DataFrame) -> pd.DataFrame:
    """Add the column `learn`: false in weeks of voluntary reports."""
    return demand.assign(learn=~demand["date"].between(*VOLUNTARY))


def make_hub_forecaster(horizon: int, hub: HubData, members: Sequence[str] = MEMBERS, with_history: bool = True) -> Combination:
    """The forecasters as they were chosen on season 2022/23 and on earlier seasons of ILINet made into admissions."""
    # Torch takes seconds to import.
    from medlib.forecast.recurrent import RecurrentNetwork
    shared = {"levels": LEVELS, "sizes": hub.sizes, "analogues": hub.history if with_history else None}
    trees = shared | {"rows": 40_000, "trends": True}
    makers = {"forest": lambda: RandomForest(horizon, extra=True, leaf=15, trees=60, **trees),
              "boosting": lambda: GradientBoosting(horizon, **trees),
              "network": lambda: RecurrentNetwork(horizon, nets=2, **shared)}
    if unknown := set(members) - set(makers):
        raise MedlibError(f"There is no forecaster {sorted(unknown)[0]!r} for the hub; there are {', '.join(makers)}.")
    return Combination([makers[name]() for name in members])


def see_before(vintages: pd.DataFrame, reference: pd.Timestamp, revise: bool = True) -> pd.DataFrame:
    """What is known when forecasts for a reference date are due, the newest weeks as they will probably be revised."""
    due = reference - pd.Timedelta(days=2 if reference in LATE else 3)
    known = see_as_of(vintages, due)
    return revise_newest(known, expect_revisions(vintages, due)) if revise else known


def forecast_hub(hub: HubData, references: Iterable[pd.Timestamp], members: Sequence[str] = MEMBERS, revise: bool = True,
                 with_history: bool = True) -> tuple[pd.DataFrame, list[float]]:
    """Forecast as of each reference date from what was published by the Wednesday before.

    Parameters
    ----------
    hub : HubData
    references : iterable of pandas.Timestamp
        Saturdays, ascending.
    members : sequence of str
        Of `MEMBERS`.
    revise : bool
        Expect the newest weeks to be revised as earlier ones were.
    with_history : bool
        Learn from ILINet, too.

    Returns
    -------
    forecasts : pandas.DataFrame
        In the hub's columns, as from `to_hub`.
    seconds : list of float
        Of each reference date.
    """
    seen = {reference: see_before(hub.vintages, reference, revise) for reference in references}
    # Where a snapshot is older than usual, its forecast has to reach further.
    ahead = {reference: round((reference + 3 * WEEK - known["date"].max()) / WEEK) for reference, known in seen.items()}
    forecaster = make_hub_forecaster(max(ahead.values()), hub, members, with_history)
    frames, seconds = [], []
    for reference, known in seen.items():
        begin = time.perf_counter()
        forecaster.fit(mark_teaching(known))
        found = forecaster.predict(known["date"].max(), ahead[reference])
        seconds.append(time.perf_counter() - begin)
        frames.append(to_hub(found, reference))
    return pd.concat(frames, ignore_index=True), seconds
