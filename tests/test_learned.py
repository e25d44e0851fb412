"""Sharing a pool: the decision by hand and against a linear program, its derivative, and what forecasters learn from it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack, kron, vstack

from medlib import prepare, tables
from medlib.errors import MedlibError
from medlib.learned.focused import PoolForecaster, PoolForest, tabulate_regret, try_rules
from medlib.learned.pool import LEVELS, Pools, pay, pose_pools, share_foresight, share_point, share_pool, share_units

UNIFORM = np.array(LEVELS)
#: Scenarios a site in the linear program.
GRID = 200


def make_pools(demand, capacity, most, total, weight=None, cost=0.1):
    demand = np.atleast_2d(np.asarray(demand, float))
    fill = lambda values: np.broadcast_to(np.asarray(values, float), demand.shape).copy()
    return Pools(dates=pd.date_range("2024-01-01", periods=len(demand)), sites=pd.Index([f"S{n}" for n in range(demand.shape[1])]),
                 demand=demand, capacity=fill(capacity), most=fill(most), total=np.full(len(demand), float(total)),
                 weight=np.ones(demand.shape[1]) if weight is None else np.asarray(weight, float), cost=cost, ahead=1,
                 features=pd.DataFrame({"level": demand.ravel()}), anchor=fill(1.0), scale=fill(1.0))


def share(quantiles, pools):
    return share_units(pools, np.asarray(quantiles, float)[None])[0]


class TestShare:
    #: Demand is uniform from 0 to 100 at the one site, to 50 at the other.
    quantiles = [100 * UNIFORM, 50 * UNIFORM]

    def test_ample_pool_is_the_newsvendors(self):
        units = share(self.quantiles, make_pools([[0, 0]], [20, 10], 1000, 500))
        assert units == pytest.approx([70, 35], abs=1e-6)  # 90 % quantile less capacity

    def test_scarce_pool_has_one_price(self):
        units = share(self.quantiles, make_pools([[0, 0]], [20, 10], 1000, 40))
        assert units == pytest.approx([100 * 70 / 150 - 20, 50 * 70 / 150 - 10], abs=1e-6)

    def test_most_binds(self):
        assert share(self.quantiles, make_pools([[0, 0]], [20, 10], [20, 1000], 40)) == pytest.approx([20, 20], abs=1e-6)

    def test_weights_raise_the_level(self):
        units = share(self.quantiles, make_pools([[0, 0]], [20, 10], 1000, 500, weight=[1, 4]))
        assert units[1] == pytest.approx(np.interp(1 - 0.1 / 4, [0.95, 1.0], [47.5, 50.0]) - 10, abs=1e-6)

    def test_dear_moves_or_empty_pool_move_nothing(self):
        assert share(self.quantiles, make_pools([[0, 0]], [20, 10], 1000, 0)) == pytest.approx([0, 0], abs=1e-5)
        assert share(self.quantiles, make_pools([[0, 0]], [20, 10], 1000, 40, cost=0.9)) == pytest.approx([0, 0], abs=1e-6)

    @settings(max_examples=12, deadline=None)
    @given(seed=some.integers(0, 10_000), scarce=some.floats(0.05, 1.5))
    def test_costs_what_the_linear_program_costs(self, seed, scarce):
        """The same decision by an LP on a fine grid of scenarios: a value may differ by the grid's step only."""
        random = np.random.default_rng(seed)
        size = random.uniform(20, 80, 4)
        quantiles = size[:, None] * (0.5 + np.sort(random.uniform(0, 1, (4, len(LEVELS))), axis=1))
        pools = make_pools([np.zeros(4)], 0.8 * size, 0.6 * size, scarce * 0.3 * size.sum(), weight=random.uniform(1, 2, 4))
        beyond = 2 * quantiles[:, -1] - quantiles[:, -2]
        knots, heights = np.array([0, *LEVELS, 1]), np.column_stack([np.zeros(4), quantiles, beyond])
        grid = (np.arange(GRID) + 0.5) / GRID
        demand = np.array([np.interp(grid, knots, one) for one in heights])
        short = lambda units: np.maximum(demand - (pools.capacity[0] + units)[:, None], 0).mean(axis=1)
        given = hstack([-kron(eye_array(4), np.ones((GRID, 1))), -eye_array(4 * GRID)])
        rows = vstack([given, csr_array(np.append(np.ones(4), np.zeros(4 * GRID))[None])])
        best = linprog(np.append(np.full(4, 0.1), np.repeat(pools.weight / GRID, GRID)), A_ub=rows,
                       b_ub=np.append((pools.capacity[0][:, None] - demand).ravel(), pools.total[0]),
                       bounds=[(0, most) for most in pools.most[0]] + [(0, None)] * (4 * GRID)).fun
        units = share(quantiles, pools)
        assert units.sum() <= pools.total[0] + 1e-6 and (units <= pools.most[0] + 1e-9).all() and (units >= 0).all()
        assert pools.weight @ short(units) + 0.1 * units.sum() == pytest.approx(best, rel=2e-3)

    def test_derivative(self):
        """Scarce and ample examples, a site at its most and one that takes nothing among them."""
        quantiles = torch.tensor(np.array([[100], [50], [10], [300], [90], [60], [10], [300]]) * UNIFORM).view(2, 4, -1)
        quantiles = (quantiles + 0.1).requires_grad_()
        capacity, most = (torch.tensor([row] * 2, dtype=torch.float64) for row in ([20, 10, 60, 10], [80, 80, 80, 15]))
        rest = torch.tensor([50.0, 400.0], dtype=torch.float64), torch.tensor([1.0, 1.5, 1, 1], dtype=torch.float64), 0.1
        shared = lambda asked: share_pool(asked, torch.tensor(UNIFORM), capacity, most, *rest)
        assert shared(quantiles).sum(dim=1)[0].item() == pytest.approx(50) and shared(quantiles)[0, 2] == 0
        assert torch.autograd.gradcheck(shared, quantiles, eps=1e-5, atol=1e-5)

    def test_point_is_shared_in_proportion(self):
        assert share_point(make_pools([[0, 0]], [20, 10], 100, 20), np.array([[50.0, 20.0]]))[0] == pytest.approx([15, 5])

    def test_foresight_serves_the_dearest_first(self):
        pools = make_pools([[50, 50, 5]], [20, 10, 10], [25, 100, 100], 45, weight=[1, 3, 2])
        assert share_foresight(pools)[0] == pytest.approx([5, 40, 0])
        paid = pay(pools, share_foresight(pools)).iloc[0]
        assert paid[["cost", "short", "moved"]].tolist() == pytest.approx([25 + 4.5, 25, 45])

    def test_moves_must_be_cheaper_than_shortage(self):
        with pytest.raises(MedlibError, match="must cost at least 0 and less than any unit short"):
            make_pools([[1, 2]], 0, 1, 1, cost=1.0)


@pytest.fixture(scope="module")
def wide():
    demand = tables.read("demand", "data/sample")
    return prepare.widen(demand.loc[demand["resource"] == "icu_bed", ["date", "site", "resource", "demand"]])


@pytest.fixture(scope="module")
def parts(wide):
    return pose_pools(wide.iloc[:600], 7).split(120)


@pytest.fixture(scope="module")
def paid(parts):
    return try_rules(*parts, epochs=3, more=3)


class TestPose:
    def test_sees_nothing_later(self, wide):
        pools, day = pose_pools(wide, 7), 300
        known = pools.dates[day] - pd.Timedelta(days=7)
        other = wide.copy()
        other.loc[other.index > known] = 3 * other.loc[other.index > known] + 1
        changed = pose_pools(other, 7)
        for part in ("capacity", "most", "anchor", "scale", "total"):
            assert np.array_equal(getattr(pools, part)[day], getattr(changed, part)[day]), part
        rows = slice(day * len(pools.sites), (day + 1) * len(pools.sites))
        assert pools.features.iloc[rows].equals(changed.features.iloc[rows])
        assert not np.array_equal(pools.demand[day], changed.demand[day])

    def test_split_leaves_out_what_was_not_known(self, wide):
        pools = pose_pools(wide, 7)
        learn, judge = pools.split(100)
        assert len(judge.dates) == 100 and learn.dates[-1] <= judge.dates[0] - pd.Timedelta(days=7)
        assert np.array_equal(judge.features["level"], pools.features["level"].iloc[-100 * len(pools.sites):])
        with pytest.raises(MedlibError, match="judge by must lie in 1 to"):
            pools.split(len(pools.dates))

    def test_capacity_given(self, wide):
        beds = pd.DataFrame(np.arange(len(wide))[:, None] + 10.0 * np.arange(20), wide.index, wide.columns.get_level_values("site"))
        pools = pose_pools(wide, 7, most=0.5, capacity=beds[beds.columns[::-1]])
        day = wide.index.get_loc(pools.dates[5]) - 7
        assert np.array_equal(pools.capacity[5], day + 10.0 * np.arange(20)) and np.array_equal(pools.most, 0.5 * pools.capacity)

    def test_one_resource(self, wide):
        both = pd.concat([wide, wide.rename(columns={"icu_bed": "bed"})], axis=1)
        with pytest.raises(MedlibError, match="one resource"):
            pose_pools(both, 7)


class TestLearn:
    def test_every_rule_lies_between_nothing_and_foresight(self, paid):
        costs = pd.Series({name: rows["cost"].mean() for name, rows in paid.items()})
        assert costs.idxmin() == "foresight" and costs.idxmax() == "nothing"
        assert costs["quantiles"] < costs["point"] and costs["focused"] < costs["point"]
        for rows in paid.values():
            assert (rows["cost"] >= paid["foresight"]["cost"] - 1e-9).all()

    def test_table(self, paid):
        table = tabulate_regret(paid)
        assert table.loc["quantiles", ["relative", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
        assert table["regret"].is_monotonic_increasing
        nothing = paid["nothing"]["cost"].mean() - paid["foresight"]["cost"].mean()
        assert table.loc["nothing", "regret"] == pytest.approx(nothing) and table.loc["nothing", "low"] > 1

    def test_focus_makes_decisions_cheaper_where_it_learns(self, parts):
        learn = parts[0]
        first = PoolForecaster(3, hidden=16).fit(learn)
        errors, costs = (share_units(learn, first.focus(learn, 6, weight).predict(learn)) for weight in (0.0, 1.0))
        assert pay(learn, costs)["cost"].mean() < pay(learn, errors)["cost"].mean()

    def test_focus_leaves_the_first_as_it_was_and_repeats(self, parts):
        learn, judge = parts
        first = PoolForecaster(1, hidden=8).fit(learn)
        before = first.predict(judge)
        focused = [first.focus(learn, 1).predict(judge) for _ in range(2)]
        assert np.array_equal(first.predict(judge), before)
        assert np.array_equal(*focused) and not np.array_equal(focused[0], before)

    def test_quantiles_ascend(self, parts):
        learn, judge = parts
        for model in (PoolForecaster(1, hidden=8), PoolForest(trees=10, rows=2000), PoolForest(trees=10, rows=2000, by_units=True)):
            found = model.fit(learn).predict(judge)
            assert found.shape == (*judge.demand.shape, len(LEVELS)) and (found >= 0).all()
            assert (np.diff(found, axis=2) >= -1e-9).all()

    def test_stakes_change_the_trees(self, parts):
        forests = [PoolForest(trees=10, rows=2000, by_units=by_units) for by_units in (False, True)]
        plain, staked = (forest.fit(parts[0]).predict(parts[1]) for forest in forests)
        assert not np.array_equal(plain, staked)

    def test_sites_in_another_order(self, parts):
        """Who is first in the table gets no more for it."""
        learn, judge = parts
        first = PoolForecaster(1, hidden=8).fit(learn)
        turned = np.arange(len(judge.sites))[::-1]
        rows = (np.arange(len(judge.dates))[:, None] * len(turned) + turned).ravel()
        moved = {name: getattr(judge, name)[:, turned] for name in ("demand", "capacity", "most", "anchor", "scale")}
        other = replace(judge, sites=judge.sites[turned], features=judge.features.iloc[rows].reset_index(drop=True), **moved)
        mine, theirs = (share_units(one, first.predict(one)) for one in (judge, other))
        assert theirs[:, turned] == pytest.approx(mine, abs=1e-4)
