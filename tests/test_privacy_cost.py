"""What protection costs: scored against what happened, nothing where nothing is changed, all where nothing is told."""

import numpy as np
import pandas as pd
import pytest

from medlib import tables
from medlib.allocate import Rules
from medlib.errors import MedlibError
from medlib.forecast import SeasonalNaive
from medlib.privacy.cost import NO_PLAN, UNPROTECTED, Study, judge_cost, measure_cost, publish_noisy, publish_suppressed


@pytest.fixture(scope="module")
def study():
    sites, resources, links, demand, capacity = (tables.read(name, "data/sample") for name in ("sites", "resources", "links", "demand", "capacity"))
    beds = resources[resources["resource"] == "icu_bed"].assign(requires=None).reset_index(drop=True)
    return Study(sites, beds, links, demand, capacity, Rules(planning_occupancy=0.9, max_distance_km=300.0), SeasonalNaive, history=28)


@pytest.fixture(scope="module")
def costs(study):
    ways = {"nothing": lambda table: table.copy(), "from 2": lambda table: publish_suppressed(table, study.sites, 2),
            "empty": lambda table: table.assign(demand=0.0), "from 80": lambda table: publish_suppressed(table, study.sites, 80)}
    return measure_cost(study, ways, [pd.Timestamp("2024-02-02"), pd.Timestamp("2024-02-16")])


def test_no_change_costs_nothing(costs):
    by = costs.set_index(["protection", "as_of"])
    for name in ("nothing", "from 2"):  # no site has a single patient
        assert (by.loc[name, "regret"] == 0).all() and by.loc[name, "wis"].equals(by.loc[UNPROTECTED, "wis"])


def test_telling_nothing_costs_the_plan(costs):
    by = costs.set_index(["protection", "as_of"])["short"]
    assert by["empty"].to_numpy() == pytest.approx(by[NO_PLAN].to_numpy()) and (by[NO_PLAN] > by[UNPROTECTED] + 20).all()
    assert costs["protection"].unique().tolist() == [UNPROTECTED, "nothing", "from 2", "empty", "from 80", NO_PLAN]


def test_withholding_much_costs_the_forecast(costs):
    wis = costs.groupby("protection")["wis"].mean()
    assert wis["from 80"] > 1.2 * wis[UNPROTECTED] and np.isnan(wis[NO_PLAN])


def test_history_ends_with_the_date(study):
    history = study.cut_history(pd.Timestamp("2024-02-02"))
    assert history["date"].max() == pd.Timestamp("2024-02-02") and history["date"].nunique() == 28 and len(history) == 28 * 20
    assert study.list_window(pd.Timestamp("2024-02-02"))[0] == pd.Timestamp("2024-02-03")
    assert (publish_noisy(history, 5.0, 2)["demand"] - history["demand"]).abs().mean() < 3


def test_judged_by_hand():
    dates = pd.date_range("2030-01-01", periods=8)
    costs = pd.DataFrame({"protection": ["x"] * 8, "as_of": dates, "wis": 2.0, "short": 9.0, "regret": [3.0, 5.0] * 4})
    judged = judge_cost(costs).loc["x"]
    assert judged["regret"] == 4.0 and 3.0 <= judged["low"] <= 4.0 <= judged["high"] <= 5.0


def test_drugs_are_refused(study):
    with pytest.raises(MedlibError, match="drugs"):
        Study(study.sites, tables.read("resources", "data/sample"), study.links, study.demand, study.capacity, study.rules, SeasonalNaive)
