"""Small counts withheld: no reader comes closer than asked, totals stay true, and the least is withheld."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from medlib.errors import MedlibError
from medlib.privacy.attacks import find_exposed
from medlib.privacy.cells import ALL, DEMAND_CELLS, add_margins, audit_cells, find_sums, suppress_cells, suppress_demand
from medlib.privacy.cost import fill_withheld, publish_regions

BY = ["row", "column"]


def tabulate(counts, names=BY):
    counts = np.asarray(counts)
    index = pd.MultiIndex.from_product([[f"{name}{place}" for place in range(size)] for name, size in zip(names, counts.shape)], names=names)
    return add_margins(pd.DataFrame({"count": counts.ravel()}, index).reset_index(), names)


def list_small(table, threshold, value="count"):
    return table.index[(table[value] > 0) & (table[value] < threshold)]


def check_release(table, published, by, threshold, value="count"):
    """Nothing small is left, nothing is changed, and each small count can be anything that is small."""
    shown = published[value].notna()
    assert published.loc[shown, value].equals(table.loc[shown, value].astype(float))
    assert not shown[list_small(table, threshold, value)].any()
    bounds = audit_cells(published, by, value)
    assert (bounds["low"] <= table.loc[bounds.index, value] + 1e-6).all() and (bounds["high"] >= table.loc[bounds.index, value] - 1e-6).all()
    small = bounds.loc[list_small(table, threshold, value)]
    assert (small["low"] <= 1 + 1e-5).all() and (small["high"] >= threshold - 1 - 1e-5).all()


class TestMargins:
    def test_by_hand(self):
        table = tabulate([[2, 5], [11, 0], [7, 3]]).set_index(BY)["count"]
        assert table["row1", ALL] == 11 and table[ALL, "column1"] == 8 and table[ALL, ALL] == 28 and len(table) == 12

    def test_a_cell_that_is_not_there_counts_nothing(self):
        cells = pd.DataFrame({"row": ["a", "b"], "column": ["x", "y"], "count": [4, 9]})
        table = add_margins(cells, BY).set_index(BY)["count"]
        assert table["a", "y"] == 0 and table["a", ALL] == 4

    @pytest.mark.parametrize("cells", [{"row": ["all"], "count": [3]}, {"row": ["a"], "count": [-1]}, {"row": ["a"], "count": [np.nan]}])
    def test_refused(self, cells):
        with pytest.raises(MedlibError):
            add_margins(pd.DataFrame(cells), ["row"])

    def test_all_sums_are_found(self):
        """Three columns of 2, 3 and 2: every total with its parts, 3 x 4 + 3 x 3 + 4 x 3 of them."""
        table = tabulate(np.arange(1, 13).reshape(2, 3, 2), ["a", "b", "c"])
        sums = find_sums(table, ["a", "b", "c"])
        assert sums.shape == (4 * 3 + 3 * 3 + 3 * 4, 36)
        assert not (sums @ table["count"].to_numpy(float)).any() and (np.abs(sums.todense()).sum(axis=1) >= 3).all()


class TestAudit:
    def test_one_cell_of_a_total_is_given_away(self):
        published = tabulate([[3, 12], [20, 8]])
        published["count"] = published["count"].astype(float).mask(published["count"] == 3)
        assert audit_cells(published, BY)[["low", "high"]].to_numpy().tolist() == [[3.0, 3.0]]
        assert len(find_exposed(published, BY)) == 1

    def test_a_square_of_four_by_hand(self):
        """3 8 / 9 6: the first falls by 3 at most, to 0 11 / 12 3, and rises by 8 at most, to 11 0 / 1 14."""
        published = tabulate([[3, 8, 20], [9, 6, 20], [20, 20, 20]])
        inner = published["row"].isin(["row0", "row1"]) & published["column"].isin(["column0", "column1"])
        published["count"] = published["count"].astype(float).mask(inner)
        bounds = audit_cells(published, BY).set_index(BY)
        assert bounds.loc[("row0", "column0")].tolist() == [0.0, 11.0]
        assert bounds.loc[("row1", "column1")].tolist() == [3.0, 14.0]

    def test_nothing_bounds_a_cell_without_totals(self):
        published = pd.DataFrame({"row": ["a", "b"], "count": [np.nan, 4.0]})
        assert audit_cells(published, ["row"])[["low", "high"]].to_numpy().tolist() == [[0.0, np.inf]]

    def test_a_total_that_was_changed(self):
        published = tabulate([[3, 12], [20, 8]]).astype({"count": float})
        published.loc[published["row"].eq(ALL) & published["column"].eq("column0"), "count"] = 5.0
        published.loc[published["row"].eq("row0") & published["column"].eq("column0"), "count"] = np.nan
        with pytest.raises(MedlibError):
            audit_cells(published, BY)


class TestSuppress:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 9999), st.tuples(st.integers(1, 6), st.integers(1, 5)), st.sampled_from([2, 3, 5, 11]), st.sampled_from([2.0, 8.0, 25.0]))
    def test_two_ways(self, seed, shape, threshold, mean):
        rng = np.random.default_rng(seed)
        table = tabulate(rng.poisson(rng.gamma(1.0, mean, shape)))
        check_release(table, suppress_cells(table, BY, threshold), BY, threshold)

    @settings(deadline=None, max_examples=3)
    @given(st.integers(0, 9999))
    def test_three_ways(self, seed):
        rng = np.random.default_rng(seed)
        table = tabulate(rng.poisson(rng.gamma(1.0, 15.0, (3, 2, 3))), ["a", "b", "c"])
        check_release(table, suppress_cells(table, ["a", "b", "c"], 5), ["a", "b", "c"], 5)

    @pytest.mark.parametrize("seed", [0, 2])
    def test_little_more_than_the_least_is_withheld(self, seed):
        """Against all sets of withheld cells of a table of 2 x 3 with its totals."""
        table = tabulate(np.random.default_rng(seed).choice([0, 2, 4, 7, 12, 30], (2, 3), p=[0.1, 0.15, 0.1, 0.2, 0.2, 0.25]))
        small, cost = set(list_small(table, 5)), table["count"] + 1
        others, least = [place for place in table.index if place not in small], np.inf
        for number in range(len(others) + 1):
            for chosen in itertools.combinations(others, number):
                withheld = sorted(small | set(chosen))
                if cost[withheld].sum() >= least:
                    continue
                bounds = audit_cells(table.assign(count=table["count"].astype(float).mask(table.index.isin(withheld))), BY).loc[sorted(small)]
                if (bounds["low"] <= 1 + 1e-5).all() and (bounds["high"] >= 4 - 1e-5).all():
                    least = cost[withheld].sum()
        withheld = suppress_cells(table, BY, 5)["count"].isna()
        assert least - 1e-6 <= cost[withheld].sum() <= 1.031 * least

    def test_nothing_small_nothing_withheld(self):
        table = tabulate([[5, 9], [0, 30]])
        assert suppress_cells(table, BY, 5)["count"].notna().all() and suppress_cells(tabulate([[1]]), BY, 1)["count"].notna().all()

    def test_where_everything_is_small_the_totals_go_too(self):
        table = tabulate([[1, 0], [0, 1]])
        published = suppress_cells(table, BY, 5)
        assert published.loc[table["count"] > 0, "count"].isna().all()
        check_release(table, published, BY, 5)

    def test_refused(self):
        table = tabulate([[3, 12], [20, 8]]).astype({"count": float})
        for wrong in (table.assign(count=table["count"] + (table["row"] == ALL)), table.assign(count=-table["count"]),
                      table.assign(count=table["count"].mask(table["count"] == 3))):
            with pytest.raises(MedlibError):
                suppress_cells(wrong, BY)


class TestDemand:
    SITES = pd.DataFrame({"site": ["a", "b", "c", "d", "e"], "region": ["N", "N", "S", "S", "S"], "population": [100.0, 300.0, 50.0, 50.0, 400.0]})

    def make_demand(self, seed=1, days=20, mean=6.0):
        grid = pd.MultiIndex.from_product([pd.date_range("2030-01-01", periods=days), self.SITES["site"], ["bed", "drug"]],
                                          names=["date", "site", "resource"])
        return pd.DataFrame({"demand": np.random.default_rng(seed).poisson(mean, len(grid)).astype(float)}, grid).reset_index()

    @pytest.mark.parametrize("threshold, mean", [(3, 6.0), (5, 6.0), (11, 20.0)])
    def test_sites_regions_and_days(self, threshold, mean):
        demand = self.make_demand(mean=mean)
        table, published = suppress_demand(demand, self.SITES, 1), suppress_demand(demand, self.SITES, threshold)
        assert table["demand"].notna().all() and table.loc[table["region"] == ALL, "demand"].sum() == demand["demand"].sum()
        assert published["demand"].isna().any() and published["demand"].notna().mean() > 0.2
        check_release(table, published, DEMAND_CELLS, threshold, "demand")

    def test_without_regions(self):
        published = suppress_demand(self.make_demand(), self.SITES[["site"]], 5)
        assert set(published["region"]) == {ALL} and (published["site"] == ALL).sum() == 40

    def test_a_reader_fills_in_what_adds_up(self):
        demand = self.make_demand()
        filled = fill_withheld(suppress_demand(demand, self.SITES, 5)).sort_values(["date", "site", "resource"], ignore_index=True)
        wanted = demand.sort_values(["date", "site", "resource"], ignore_index=True)
        assert filled[["date", "site", "resource"]].equals(wanted[["date", "site", "resource"]])
        off = (filled["demand"] - wanted["demand"]).abs()
        assert 0 < off.mean() < 2 and (off == 0).any()

    def test_regions_alone_by_population(self):
        demand = self.make_demand()
        shared = publish_regions(demand, self.SITES)
        day = (demand["date"] == demand["date"][0]) & (demand["resource"] == "bed")
        north = demand[day & demand["site"].isin(["a", "b"])]["demand"].sum()
        assert shared[day & (demand["site"] == "b")]["demand"].item() == pytest.approx(0.75 * north)
        assert shared["demand"].sum() == pytest.approx(demand["demand"].sum())
