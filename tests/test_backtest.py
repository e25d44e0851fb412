"""Back tests: the ladder of a fixed stretch of the sample equals the stored one.

Run `python tests/test_backtest.py` to store it anew after a change that is meant to alter it.
"""

from pathlib import Path

import pandas as pd
import pytest

from medlib import forecast, simulate, supply, tables
from medlib.allocate import Rules, pose_problem

EXPECTED = Path(__file__).parent / "expected" / "ladder.csv"
START, PERIODS = pd.Timestamp("2025-12-20"), 4


def climb_ladder() -> pd.DataFrame:
    """Roll every policy through four days at the ten northern and eastern sites, beds and nurses only."""
    read = {name: tables.read(name, "data/sample") for name in ("sites", "resources", "links", "demand", "capacity")}
    sites = read["sites"][read["sites"]["region"].isin(["North", "East"])]
    resources = read["resources"][read["resources"]["resource"].isin(["bed", "icu_bed", "nurse"])]
    here = {"site": sites["site"], "resource": resources["resource"]}
    demand, capacity = (read[name][read[name]["site"].isin(here["site"]) & read[name]["resource"].isin(here["resource"])]
                        for name in ("demand", "capacity"))
    links = read["links"][read["links"]["origin"].isin(here["site"]) & read["links"]["destination"].isin(here["site"])]
    window = pd.date_range(START + pd.Timedelta(days=1), periods=PERIODS)
    truth = pose_problem(sites, resources, links, demand[demand["date"].isin(window)].drop(columns="imputed"),
                         supply.spread_capacity(capacity, window), Rules())
    naive = forecast.SeasonalNaive(6).fit(demand[demand["date"] <= START])
    daily = pd.concat([naive.observe(demand[demand["date"] <= day]).predict(day, 6) for day in window])
    return simulate.tabulate_ladder(simulate.climb(truth, simulate.View(daily, capacity, 6)), truth)


@pytest.fixture(scope="module")
def ladders():
    return climb_ladder().set_index(["rung", "resource"]), pd.read_csv(EXPECTED).set_index(["rung", "resource"])


def test_rungs_without_a_choice_of_plan_are_exact(ladders):
    ours, stored = ladders
    for rung in ("none", "reactive"):
        pd.testing.assert_frame_equal(ours.loc[[rung]].drop(columns="gap_closed"), stored.loc[[rung]].drop(columns="gap_closed"),
                                      rtol=1e-6)
    # Optimal plans need not be unique, but the least shortage is.
    best = ("perfect", "all")
    assert ours.loc[best, ["shortage", "bound"]].tolist() == pytest.approx(stored.loc[best, ["shortage", "bound"]].tolist())


def test_planning_rungs_are_where_they_were(ladders):
    ours, stored = ladders
    for rung in ("point", "stochastic"):
        assert ours.loc[(rung, "all"), "shortage"] == pytest.approx(stored.loc[(rung, "all"), "shortage"], rel=0.1)


def test_the_ladder_descends(ladders):
    shortage = ladders[0].xs("all", level="resource")["shortage"]
    assert shortage["none"] > shortage["reactive"] > shortage["stochastic"] > shortage["perfect"]


if __name__ == "__main__":
    climb_ladder().to_csv(EXPECTED, index=False)
