"""Solve a folder of tables with perfect foresight: how good could any allocation have been?"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd

from medlib import sample
from medlib.allocate import Plan, Problem, Rules, pose_problem, solve
from medlib.calendar import fit_grid
from medlib.catalog import complete_deliveries
from medlib.errors import MedlibError
from medlib.intake import read_folder
from medlib.simulate import bound_shortage
from medlib.schema import empty
from medlib.supply import spread_capacity


def pose_folder(folder: str | Path, rules: Rules) -> Problem:
    """Pose the problem of a folder, everything in it known beforehand.

    Parameters
    ----------
    folder : str or Path
        Input tables as CSV or Parquet; with `arrivals` (and `initial`, `stay`) patients are followed from their arrival.
    rules : Rules

    Returns
    -------
    Problem
        One scenario over the dates of the arrivals, or of the demand where there are none.

    Raises
    ------
    MedlibError
        Something in the folder is wrong; the message names file, row and column.
    """
    return pose_tables(read_folder(folder, foresight=True), rules)


def pose_tables(tables: dict[str, pd.DataFrame], rules: Rules) -> Problem:
    """Pose the problem of input tables, as `pose_folder`."""
    demand = tables.get("demand", empty("demand")[["date", "site", "resource", "demand"]])
    links = tables.get("links")
    if links is None:
        links = sample.make_links(tables["sites"], longest_km=20_100.0)
    arrivals = tables.get("arrivals")
    if arrivals is not None:
        dates = _fill_grid(pd.concat([tables[name]["date"] for name in ("arrivals", "initial") if name in tables]))
        demand = demand[~demand["resource"].isin(arrivals["resource"]) & demand["date"].isin(dates)]
    else:
        dates = _fill_grid(demand["date"])
    series = demand[["site", "resource"]].drop_duplicates()
    wanted = series.merge(pd.DataFrame({"date": dates}), how="cross")
    absent = wanted.merge(demand, how="left")["demand"].isna()
    if absent.any():
        first = wanted[absent.to_numpy()].iloc[0]
        raise MedlibError(f"demand has no number for {first['site']}, {first['resource']} on {first['date']:%Y-%m-%d}; add a row "
                          "for every date of the horizon (gaps are filled by `medlib report` only).")
    capacity = complete_deliveries(tables | {"demand": demand if len(demand) else pd.DataFrame({"date": dates})})
    more = {name: tables[name] for name in ("initial", "stay", "surge_levels", "stock", "orders", "shifts", "tiers")
            if name in tables}
    if arrivals is not None:
        # Dates on which nobody arrives belong to the horizon as well.
        rest = pd.DataFrame({"date": dates}).merge(arrivals[["site", "resource"]].drop_duplicates(), how="cross")
        more["arrivals"] = rest.merge(arrivals, how="left").fillna({"arrivals": 0.0})
    return pose_problem(tables["sites"], tables["resources"], links, demand, spread_capacity(capacity, dates), rules, more=more)


def _fill_grid(dates: pd.Series) -> pd.DatetimeIndex:
    days = pd.DatetimeIndex(dates.unique()).sort_values()
    return days if len(days) < 2 else pd.date_range(days[0], days[-1], freq=fit_grid(days)[0])


def allocate(posed: Problem, minimise: str = "shortage", max_shortage: float = np.inf) -> tuple[Plan, dict[str, object]]:
    """Solve with perfect foresight and sum the answer up.

    Parameters
    ----------
    posed : Problem
    minimise : {"shortage", "transfers", "cost"}
        Shortage, and among the plans of least shortage the transfers; or transfers, and among those the shortage; or cost.
    max_shortage : float
        Most weighted unit-days short.

    Returns
    -------
    plan : Plan
    answer : dict
        objective, shortage (weighted unit-days), transfers, bound (shortage that no reallocation can beat), seconds,
        status, gap.
    """
    order = {"shortage": ("shortage", "transfers"), "transfers": ("transfers", "shortage"), "cost": ("cost",)}
    if minimise not in order:
        raise MedlibError(f"minimise must be one of {', '.join(order)}; got {minimise!r}.")
    if not max_shortage >= 0:
        raise MedlibError(f"max_shortage must be at least 0; got {max_shortage}.")
    start = time.perf_counter()
    plan = solve(posed, order[minimise], {"shortage": max_shortage} if np.isfinite(max_shortage) else None)
    seconds = time.perf_counter() - start
    weights = np.array([posed.shortage_weight[name] for name in posed.names])
    shortage, transfers = plan.weighted_shortage, plan.transfers
    answer = {"shortage": shortage, "transfers": transfers, "cost": plan.objective}
    return plan, {"objective": answer[minimise], "shortage": shortage, "transfers": transfers,
                  "bound": float(bound_shortage(posed) @ weights), "seconds": seconds, "status": plan.status, "gap": plan.gap}
