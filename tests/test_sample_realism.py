"""The sample against the real register: the measures by hand, then the two side by side."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from medlib import catalog
from medlib.catalog import CATALOG
from medlib.tables import PROJECT

REGISTER = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "icu_germany" / CATALOG["icu_germany"].file
needs_register = pytest.mark.skipif(not REGISTER.is_file(), reason="the folder named by MEDLIB_MIRROR does not hold "
                                                                   f"icu_germany/{REGISTER.name}")


@pytest.fixture(scope="module")
def realism():
    """benchmarks/sample_realism.py as a module."""
    where = importlib.util.spec_from_file_location("sample_realism", PROJECT / "benchmarks" / "sample_realism.py")
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(realism):
    return realism.compare(realism.load_states(), realism.load_regions())


def test_the_measures_by_hand(realism):
    # A Wednesday first. The week's values have mean 10; the second place is the first one four times as large.
    week = np.array([13.0, 11, 10, 9, 6, 10, 11])  # Wednesday to Tuesday
    census = pd.DataFrame({"one": np.tile(week, 20)}, index=pd.date_range("2024-01-03", periods=140))
    census["four"] = 4 * census["one"]
    found = realism.measure(census)
    assert found.loc[[f"profile {day}" for day in realism.WEEK], "one"].tolist() == pytest.approx([1.0, 1.1, 1.3, 1.1, 1.0, 0.9, 0.6])
    assert found.loc[["autocorrelation, lag 7", "autocorrelation, lag 14"]].to_numpy() == pytest.approx(1.0)
    assert found.loc["autocorrelation, lag 1", "one"] == pytest.approx(np.corrcoef(census["one"][1:], census["one"][:-1])[0, 1])
    # Changes from day to day: 2, -2, -1, -1, -3, 4, 1; their sum is 0 a week, their squares add up to 36.
    assert found.loc["change over 1 d / sqrt(mean)", "one"] == pytest.approx(np.sqrt(36 / 7) / np.sqrt(10), rel=0.01)
    assert found.loc["change over 1 d / sqrt(mean)", "four"] == pytest.approx(2 * found.loc["change over 1 d / sqrt(mean)", "one"])
    assert found.loc["change over 7 d / sqrt(mean)"].tolist() == [0, 0] and found.loc["mean census"].tolist() == [10, 40]


def test_growth_is_not_taken_for_a_weekly_cycle(realism):
    growing = pd.DataFrame({"one": np.arange(20.0, 90)}, index=pd.date_range("2024-01-03", periods=70))
    assert realism.measure(growing).filter(like="profile", axis=0)["one"].tolist() == pytest.approx([1.0] * 7)


def test_independent_poisson_counts_change_by_the_root_of_two(realism):
    counts = np.random.default_rng(3).poisson([30.0, 500.0], (4000, 2))
    found = realism.measure(pd.DataFrame(counts, index=pd.date_range("2020-01-01", periods=4000)))
    assert found.loc["change over 1 d / sqrt(mean)"].tolist() == pytest.approx([2**0.5] * 2, rel=0.05)
    assert found.loc["change over 7 d / sqrt(mean)"].tolist() == pytest.approx([2**0.5] * 2, rel=0.05)


def test_the_comparison_is_sample_over_register(realism):
    days = pd.date_range("2024-01-03", periods=70)
    register = pd.DataFrame({"a": np.tile([10.0, 12], 35), "b": np.tile([30.0, 36], 35)}, index=days)
    table = realism.compare(register, register[["a"]] * 2)
    assert table.loc["mean census"].tolist() == [22, 11, 33, 22, 1]
    assert table.loc["change over 1 d / sqrt(mean)", "ratio"] == pytest.approx(2**0.5 / ((1 + 3**0.5) / 2))


def test_the_samples_regions_are_sums_of_clean_beds(realism):
    regions = realism.load_regions()
    assert sorted(regions) == ["East", "North", "South", "West"] and len(regions) == 3 * 365 + 1
    assert regions.notna().all().all() and regions.to_numpy().max() < 9999  # slips of the pen are gone
    assert regions.mean().between(150, 250).all()


@needs_register
def test_the_week_looks_like_the_registers(table):
    week = table.filter(like="profile", axis=0)
    assert len(week) == 7 and (week["sample"] - week["register"]).abs().max() <= 0.02


@needs_register
def test_day_to_day_variation_looks_like_the_registers(table):
    assert table.filter(like="change over", axis=0)["ratio"].between(0.7, 1.4).tolist() == [True, True]


@needs_register
def test_todays_census_tells_tomorrows_as_in_the_register(table):
    row = table.loc["autocorrelation, lag 1"]
    assert abs(row["sample"] - row["register"]) <= 0.1


@needs_register
def test_the_table_is_printed_and_written(realism, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sample_realism.py", "--json", str(tmp_path / "table.json")])
    realism.main()
    written = pd.DataFrame(json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))).T
    pd.testing.assert_frame_equal(written, table, atol=1e-6, check_names=False)
    said = capsys.readouterr().out
    assert "16 states" in said and "synthetic" in said and all(row in said for row in table.index)


def test_without_the_register_it_says_so(realism, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("MEDLIB_MIRROR", str(tmp_path))
    monkeypatch.setattr(catalog, "CACHE", tmp_path)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(sys, "argv", ["sample_realism.py"])
    with pytest.raises(SystemExit) as caught:
        realism.main()
    assert "MEDLIB_MIRROR" in caught.value.code
