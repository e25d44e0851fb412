"""The FluSight hub: what was known when, revisions, the hub's format, and its own scores reproduced."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medlib import cli
from medlib.errors import MedlibError
from medlib.forecast.hub import LEVELS, RESOURCE, HubData, forecast_hub, list_references, mark_teaching, read_hub_folder, see_before
from medlib.forecast.vintages import expect_revisions, revise_newest, see_as_of

MIRRORED = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "flusight"
needs_hub = pytest.mark.skipif(not (MIRRORED / "target_vintages.parquet").is_file(),
                               reason="the folder named by MEDLIB_MIRROR does not hold flusight")
WEEKS = pd.date_range("2022-10-01", periods=60, freq="W-SAT", unit="us")
SITES = ["01", "02", "US"]


def publish(revision=1.0, weeks=WEEKS, first=40):
    """Each Wednesday the week before comes out; it is revised by a factor a week later."""
    wave = 60 + 50 * np.sin(np.arange(len(weeks)) / 8)
    rows = []
    for number, week in enumerate(weeks):
        for place, site in enumerate(SITES):
            value = round(wave[number] * (1 + place))
            seen = max(week, weeks[first]) + pd.Timedelta(days=4)
            rows.append((seen, week, site, RESOURCE, value))
            if revision != 1.0:
                rows.append((seen + pd.Timedelta(days=7), week, site, RESOURCE, value * revision))
    return pd.DataFrame(rows, columns=["as_of", "date", "site", "resource", "demand"]).astype({"as_of": "datetime64[us]"})


def hold(vintages):
    return HubData(vintages, dict(zip(SITES, (5.0, 10.0, 15.0))), None)


def test_what_was_known_is_the_last_value_published_by_then():
    known = see_as_of(publish(2.0), WEEKS[50] + pd.Timedelta(days=4)).set_index(["site", "date"])["demand"]
    first = publish().set_index(["site", "date"])["demand"]
    assert known["01", WEEKS[50]] == first["01", WEEKS[50]] and known["01", WEEKS[49]] == 2 * first["01", WEEKS[49]]
    assert known.index.get_level_values("date").max() == WEEKS[50]
    with pytest.raises(MedlibError, match="Nothing was known on 2020-01-01"):
        see_as_of(publish(), pd.Timestamp("2020-01-01"))


@pytest.mark.parametrize("revision", [0.9, 1.0, 1.12])
def test_revisions_are_expected_as_they_were(revision):
    factors = expect_revisions(publish(revision), WEEKS[55] + pd.Timedelta(days=4))
    assert factors[0] == pytest.approx(1 + (revision - 1) * 8 / 12)  # eight snapshots, and the doubt of four
    assert factors[1:] == pytest.approx([1.0, 1.0])
    known = see_as_of(publish(revision), WEEKS[55] + pd.Timedelta(days=4))
    revised = revise_newest(known, factors)
    newest = (known["date"] == WEEKS[55]).to_numpy()
    assert (revised["demand"] / known["demand"])[newest].to_numpy() == pytest.approx(factors[0])
    assert (revised["demand"] == known["demand"])[~newest].all()


def test_without_earlier_snapshots_nothing_is_expected():
    assert expect_revisions(publish(1.3), WEEKS[40] + pd.Timedelta(days=4)).tolist() == [1.0, 1.0, 1.0]


def test_what_is_published_later_changes_nothing():
    reference = WEEKS[52] + pd.Timedelta(days=7)
    vintages = publish(1.1)
    late = vintages["as_of"] > reference - pd.Timedelta(days=3)
    poisoned = pd.concat([vintages.assign(demand=vintages["demand"].where(~late, 9e6)),
                          vintages[~late].assign(as_of=reference, demand=8e6)])
    one, other = (forecast_hub(hold(table), [reference], ["forest"])[0] for table in (vintages, poisoned))
    pd.testing.assert_frame_equal(one, other)
    assert not late.all() and late.any()


def test_forecasts_have_the_hubs_form():
    references = list_references("2023-10-07", "2023-10-14")
    found, seconds = forecast_hub(hold(publish()), references, ["forest"])
    assert list(found) == ["reference_date", "location", "horizon", "target", "target_end_date", "output_type", "output_type_id", "value"]
    assert len(found) == 2 * 3 * 4 * 23 and len(seconds) == 2
    assert sorted(found["output_type_id"].unique()) == sorted(LEVELS) and sorted(found["horizon"].unique()) == [0, 1, 2, 3]
    ends = pd.to_datetime(found["reference_date"]) + pd.to_timedelta(7 * found["horizon"], unit="D")
    assert (ends.dt.strftime("%Y-%m-%d") == found["target_end_date"]).all()
    wide = found.pivot(index=["reference_date", "location", "horizon"], columns="output_type_id", values="value").to_numpy()
    assert (wide >= 0).all() and (np.diff(wide, axis=1) >= 0).all()


def test_an_old_snapshot_is_forecast_further():
    reference = WEEKS[52] + pd.Timedelta(days=7)
    vintages = publish()
    found, _ = forecast_hub(hold(vintages[vintages["date"] < WEEKS[52]]), [reference], ["forest"])
    assert sorted(found["horizon"].unique()) == [0, 1, 2, 3]


def test_voluntary_weeks_do_not_teach():
    table = pd.DataFrame({"date": pd.to_datetime(["2024-04-27", "2024-05-04", "2024-10-26", "2024-11-02"])})
    assert mark_teaching(table)["learn"].tolist() == [True, False, False, True]


@pytest.mark.parametrize("first, last, match", [("2023-10-13", "2023-10-21", "Saturdays"), ("2023-10-21", "2023-10-14", "not before"),
                                                ("autumn", "winter", "YYYY-MM-DD")])
def test_reference_dates_are_saturdays_in_order(first, last, match):
    with pytest.raises(MedlibError, match=match):
        list_references(first, last)


def test_a_folder_without_vintages_is_refused(tmp_path):
    done = CliRunner().invoke(cli.app, ["export-hub", str(tmp_path), str(tmp_path / "out"), "--first", "2023-10-14"])
    assert isinstance(done.exception, MedlibError) and "must hold target_vintages.parquet" in str(done.exception)
    assert not (tmp_path / "out").exists()


def load_benchmark():
    path = Path(__file__).parents[1] / "benchmarks" / "flusight.py"
    spec = importlib.util.spec_from_file_location("flusight_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_hub
def test_the_hubs_own_scores_are_reproduced():
    benchmark = load_benchmark()
    models = {name: pd.read_parquet(MIRRORED / f"{name}_2023-24.parquet") for name in ("FluSight-baseline", "FluSight-ensemble")}
    scores = benchmark.compare(models, benchmark.read_truth(MIRRORED), list_references("2023-10-14", "2024-05-04")).round(3)
    assert scores["rows"].tolist() == [5720, 5720]
    assert scores["wis"].tolist() == [48.499, 35.516] and scores["log_wis"].tolist() == [0.378, 0.268]
    assert scores["coverage_50"].tolist() == [0.281, 0.517] and scores["coverage_95"].tolist() == [0.888, 0.927]
    assert scores.loc["FluSight-ensemble", ["wis_to_baseline", "log_wis_to_baseline"]].tolist() == [0.732, 0.709]


@needs_hub
def test_every_snapshot_of_the_season_ends_the_week_before():
    hub = read_hub_folder(MIRRORED)
    for reference in list_references("2023-10-14", "2024-05-04"):
        known = see_before(hub.vintages, reference, revise=False)
        assert known["date"].max() == reference - pd.Timedelta(days=7) and known["site"].nunique() == 53


@needs_hub
def test_earlier_seasons_of_another_signal_are_read_and_marked():
    history = read_hub_folder(MIRRORED).history
    assert history["site"].nunique() == 52 and not history.duplicated(["date", "site"]).any()
    assert not history.loc[history["date"].dt.year == 2021, "learn"].to_numpy()[:100].any()
    assert history.loc[history["date"].dt.month == 1, "learn"].mean() > 0.8
