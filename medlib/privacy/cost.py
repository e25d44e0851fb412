"""What protection costs: forecasts and plans from protected tables, judged by what really happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medlib.allocate import Plan, Problem, Rules, pose_problem, solve
from medlib.calendar import extend, infer_period
from medlib.errors import MedlibError
from medlib.forecast import LEVELS, Forecaster
from medlib.privacy.cells import ALL, DEMAND_CELLS, audit_cells, suppress_demand
from medlib.privacy.noise import Budget, release_demand
from medlib.score import pair_forecasts, score_intervals
from medlib.simulate import do_nothing, follow, roll
from medlib.supply import project_capacity, spread_capacity
from medlib.validate import resample_blocks

#: What every protection is compared with.
UNPROTECTED = "true table"
#: What would be left if the table were not published at all.
NO_PLAN = "no plan"


@dataclass(frozen=True)
class Study:
    """Tables, and how forecasts and plans are made of them.

    Parameters
    ----------
    sites, resources, links, demand, capacity : pandas.DataFrame
        The tables; only resources that are named in `resources` are planned, and drugs cannot be.
    rules : Rules
    maker : callable
        Makes a forecaster for a horizon.
    horizon : int
        Days that are planned.
    history : int
        Days before the as-of date that are published, and forecast from.
    """

    sites: pd.DataFrame
    resources: pd.DataFrame
    links: pd.DataFrame
    demand: pd.DataFrame
    capacity: pd.DataFrame
    rules: Rules
    maker: Callable[[int], Forecaster]
    horizon: int = 7
    history: int = 56

    def __post_init__(self):
        if (self.resources["kind"] == "drug").any():
            raise MedlibError("Protection is measured on beds, staff and equipment; leave drugs out of resources.")

    def cut_history(self, as_of: pd.Timestamp) -> pd.DataFrame:
        """The demand that is published as of a date."""
        days = self.demand["date"]
        kept = (days <= as_of) & (days > as_of - pd.Timedelta(days=self.history)) & self.demand["resource"].isin(self.resources["resource"])
        return self.demand.loc[kept, ["date", "site", "resource", "demand"]].reset_index(drop=True)

    def list_window(self, as_of: pd.Timestamp) -> pd.DatetimeIndex:
        """The days planned as of a date."""
        return extend(as_of, infer_period(self.demand["date"]), self.horizon)

    def forecast(self, history: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
        """Forecast from a history, protected or not."""
        return self.maker(self.horizon).fit(history).predict(as_of, self.horizon)

    def plan(self, forecast: pd.DataFrame, as_of: pd.Timestamp) -> Plan:
        """Plan for all levels of the forecast, and capacity as in the last week."""
        return solve(self._pose(forecast, project_capacity(self.capacity, as_of, self.list_window(as_of))))

    def happen(self, as_of: pd.Timestamp) -> Problem:
        """What really happened."""
        window = self.list_window(as_of)
        return self._pose(self.demand[self.demand["date"].isin(window)], spread_capacity(self.capacity, window))

    def _pose(self, demand: pd.DataFrame, capacity: pd.DataFrame) -> Problem:
        kept = (frame[frame["resource"].isin(self.resources["resource"])] for frame in (demand, capacity))
        return pose_problem(self.sites, self.resources, self.links, *kept, self.rules)


def measure_cost(study: Study, protections: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]],
                 as_ofs: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """Forecast and plan from protected histories, and roll each plan, as it was written, through what really happened.

    Parameters
    ----------
    study : Study
    protections : mapping of str to callable
        By name: takes the published history (date, site, resource, demand) and returns it protected.
    as_ofs : sequence of pandas.Timestamp
        Dates with a history before and a window after them in the demand table.

    Returns
    -------
    pandas.DataFrame
        protection, as_of, wis (units), short (unit-days of all resources), regret (unit-days more than the plan from the true table). The
        true table comes first, no plan at all last.
    """
    rows = []
    for as_of in as_ofs:
        truth, history = study.happen(as_of), study.cut_history(as_of)
        rows.append((NO_PLAN, as_of, np.nan, roll(truth, do_nothing).short.sum()))
        for name, protect in {UNPROTECTED: lambda table: table, **protections}.items():
            forecast = study.forecast(protect(history), as_of)
            paired = pair_forecasts(forecast, study.demand)
            wis = score_intervals(paired["observed"].to_numpy(), paired[list(LEVELS)].to_numpy(), np.array(LEVELS)).mean()
            rows.append((name, as_of, wis, roll(truth, follow(study.plan(forecast, as_of))).short.sum()))
    costs = pd.DataFrame(rows, columns=["protection", "as_of", "wis", "short"])
    costs = costs.sort_values("protection", key=lambda names: names == NO_PLAN, kind="stable", ignore_index=True)
    reference = costs[costs["protection"] == UNPROTECTED].set_index("as_of")["short"]
    return costs.assign(regret=costs["short"] - costs["as_of"].map(reference))


def judge_cost(costs: pd.DataFrame, level: float = 0.9, draws: int = 2000, seed: int = 1) -> pd.DataFrame:
    """Average over as-of dates, with an interval for the regret from drawing the dates again, the same for all protections.

    Parameters
    ----------
    costs : pandas.DataFrame
        As from `measure_cost`.
    level : float
        Probability that the interval is to hold the truth with.
    draws, seed : int
        As for `medlib.validate.resample_blocks`.

    Returns
    -------
    pandas.DataFrame
        By protection, in their order: wis (units), short, regret, low, high (unit-days a window).
    """
    regret = costs.pivot(index="as_of", columns="protection", values="regret")
    drawn = regret.to_numpy()[resample_blocks(len(regret), draws=draws, seed=seed)].mean(axis=1)
    ends = pd.DataFrame(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0).T, regret.columns, ["low", "high"])
    return costs.groupby("protection", sort=False)[["wis", "short", "regret"]].mean().join(ends)


def fill_withheld(published: pd.DataFrame) -> pd.DataFrame:
    """Guess withheld demand as somebody would who has the published table only: the middle of what it can be.

    Parameters
    ----------
    published : pandas.DataFrame
        As from `medlib.privacy.cells.suppress_demand`.

    Returns
    -------
    pandas.DataFrame
        date, site, resource, demand of the sites. Where nothing bounds a cell, its lower end counts.
    """
    bounds = audit_cells(published, DEMAND_CELLS, "demand")
    middle = bounds[["low", "high"]].mean(axis=1).where(np.isfinite(bounds["high"]), bounds["low"])
    filled = published.assign(demand=published["demand"].fillna(middle))
    return filled.loc[filled["site"] != ALL, ["date", "site", "resource", "demand"]].reset_index(drop=True)


def publish_suppressed(history: pd.DataFrame, sites: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Withhold small counts, as `suppress_demand`, and guess them again, as `fill_withheld`."""
    return fill_withheld(suppress_demand(history, sites, threshold))


def publish_regions(history: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """Publish regional totals alone, and share them out among a region's sites by population."""
    known = sites.set_index("site")
    share = known["population"] / known.groupby("region")["population"].transform("sum")
    region = history["site"].map(known["region"])
    total = history.groupby([region, "date", "resource"])["demand"].transform("sum")
    return history.assign(demand=total * history["site"].map(share))


def publish_noisy(history: pd.DataFrame, epsilon: float, most_days: int) -> pd.DataFrame:
    """Publish with noise, as `medlib.privacy.noise.release_demand`, once and with a budget of its own."""
    return release_demand(history, epsilon, Budget(epsilon), most_days)
