"""Expected shortage by steps: the same minimum as with rows by scenario, from scratch and with other figures in the same model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.allocate import Model, Rules, StepModel, pose_problem

LEVELS = (0.1, 0.5, 0.9)


def make_problem(requires, kinds=("bed", "staff", "drug"), shared=True, seed=1):
    """Three sites, three days, three scenarios; with `shared` figures all resources meet the scenarios in the same order."""
    draw = np.random.default_rng(seed)
    sites = pd.DataFrame({"site": list("ABC"), "name": list("ABC"), "latitude": [50.0, 50.5, 51.0], "longitude": [8.0, 9.0, 8.5], "population": [1, 2, 3]})
    names = ["bed", "nurse", "pill"]
    resources = pd.DataFrame({"resource": names, "kind": kinds, "unit": names, "requires": requires, "shelf_life_days": [None, None, 20.0]})
    links = pd.DataFrame([(one, other, 60.0) for one in "ABC" for other in "ABC" if one != other], columns=["origin", "destination", "distance_km"])
    dates = pd.date_range("2021-12-01", periods=3)
    demand = pd.DataFrame([(date, site, name, level, draw.uniform(10, 30) * (0.7 + 0.6 * level)) for level in LEVELS for date in dates for site in "ABC"
                           for name in names], columns=["date", "site", "resource", "quantile", "demand"])
    capacity = pd.DataFrame([(date, site, name, draw.uniform(8, 25), 3.0, 0.0) for date in dates for site in "ABC" for name in names],
                            columns=["date", "site", "resource", "capacity", "surge", "surge_lead_days"])
    posed = pose_problem(sites, resources, links, demand, capacity, Rules(transfers_per_day=6.0))
    shape = (len(LEVELS), *posed.capacity.shape)
    rise = np.sort(draw.uniform(5, 30, shape), axis=0) if shared else draw.uniform(5, 30, shape)
    change = None if shared else draw.uniform(-4, 4, shape) * [[kind != "drug"] for kind in kinds]  # deliveries are certain
    return replace(posed, demand=rise, capacity_change=change, weights=np.array([0.2, 0.5, 0.3]))


def solve_model(model):
    model.lp.solve(model.make_solver(msg=False, threads=1))
    assert model.lp.outcome == "Optimal"
    return model.lp.minimum


CASES = {"one requires": ["0.5 nurse", None, None], "a chain": ["0.5 nurse", "0.3 pill", None], "none": [None] * 3, "a drug": ["0.4 pill", None, None]}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.booleans(), st.integers(0, 10_000))
def test_minimum_is_that_of_rows_by_scenario(case, shared, seed):
    posed = make_problem(CASES[case], shared=shared, seed=seed)
    assert solve_model(StepModel(posed)) == pytest.approx(solve_model(Model(posed)), rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.booleans(), st.integers(0, 10_000))
def test_other_figures_are_bounds_and_costs_where_the_model_takes_them(case, shared, seed):
    model = StepModel(make_problem(CASES[case], shared=shared, seed=seed))
    solve_model(model)
    for other in (make_problem(CASES[case], shared=shared, seed=seed + 1), replace(model.posed, demand=1.4 * model.posed.demand)):
        if model.takes(other):
            model.posed = other
            model.fill()
            model.set_objective(model.prices)
            assert solve_model(model) == pytest.approx(solve_model(Model(other)), rel=1e-7)


def test_scenarios_in_one_order_give_all_beds_and_staff_steps():
    posed = make_problem(CASES["one requires"])
    model = StepModel(posed)
    assert model.summed.tolist() == [0, 1] and model.takes(posed) and not model.ties
    # A row a site and day for each resource, and one for each step that bed and nurse share, in place of three by scenario.
    assert model.usable.size == 2 * 9 and model.shared.size == 2 * 9


def test_staff_in_another_order_keep_their_rows():
    model = StepModel(make_problem(CASES["one requires"], shared=False))
    assert model.summed.tolist() == [0] and model.usable.size == 9 + 3 * 9 and model.ties
    assert not model.takes(make_problem(CASES["one requires"], shared=False, seed=2))


def test_where_sites_are_protected_nothing_has_steps():
    posed = make_problem(CASES["one requires"])
    posed = replace(posed, rules=replace(posed.rules, protect_sites=True))
    model = StepModel(posed)
    assert not len(model.summed) and solve_model(model) == pytest.approx(solve_model(Model(posed)), rel=1e-7)


def test_one_load_by_hand():
    """A bed is short by 6, 2 and 0 with chances 0.2, 0.5, 0.3; nothing can be moved: 0.2 * 6 + 0.5 * 2 = 2.2 expected."""
    posed = make_problem(CASES["none"])
    demand = np.zeros_like(posed.demand)
    demand[:, 0, 0, 0] = 10.0 + np.array([6.0, 2.0, -5.0])
    posed = replace(posed, links=posed.links.iloc[:0], demand=demand, capacity=np.full_like(posed.capacity, 10.0), surge=np.zeros_like(posed.surge),
                    rules=Rules(planning_occupancy=1.0))
    model = StepModel(posed)
    solve_model(model)
    assert (model.slopes * model.steps.value)[:, 0, 0, 0].tolist() == pytest.approx([0.2 * 4, 0.7 * 2, 0.0])
    assert (model.slopes * model.steps.value).sum() == pytest.approx(2.2)
