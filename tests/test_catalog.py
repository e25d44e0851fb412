"""Datasets: the mirror first, every checksum verified, one sentence where nothing is to be had, and figures that agree."""

import hashlib
import http.server
import os
import re
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from medlib import catalog
from medlib.calendar import infer_period
from medlib.catalog import CATALOG, GERMAN_STATES, fetch, hash_folder, load_dataset, locate_dataset
from medlib.errors import MedlibError
from medlib.intake import read_folder, write_template
from medlib.sample import measure_distances
from medlib.schema import check_frame
from medlib.supply import spread_capacity

REGISTER = CATALOG["icu_germany"]
MIRRORED = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / REGISTER.name / REGISTER.file
needs_register = pytest.mark.skipif(not MIRRORED.is_file(), reason="the folder named by MEDLIB_MIRROR does not hold "
                                                                   f"{REGISTER.name}/{REGISTER.file}")
DECEMBER = pd.Timestamp("2021-12-01")
CONTENT = b"datum;made up\n"


def assert_short(message):
    """One or two sentences on one line."""
    assert "\n" not in message and message.endswith(".")
    assert len(re.findall(r"[.!?](?=\s|$)", message)) <= 2


def refuse(*_, **__):
    raise ConnectionError("no route to host")


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A dataset whose file is CONTENT, with an empty cache and no mirror."""
    monkeypatch.setattr(catalog.source, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("MEDLIB_MIRROR", raising=False)
    return replace(REGISTER, file="made_up.csv", url="http://127.0.0.1:9/made_up.csv", sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def mirror(entry, tmp_path, monkeypatch):
    """A mirror that holds the file."""
    folder = tmp_path / "mirror" / entry.name
    folder.mkdir(parents=True)
    (folder / entry.file).write_bytes(CONTENT)
    monkeypatch.setenv("MEDLIB_MIRROR", str(folder.parent))
    return folder


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve content under an address of this machine; returns the address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def publish(content):
        (folder / "made_up.csv").write_bytes(content)
        return f"http://127.0.0.1:{server.server_port}/made_up.csv"

    yield publish
    server.shutdown()
    server.server_close()


# --- Where the file comes from ---------------------------------------------------------------------------------------

def test_the_mirror_is_tried_first(entry, mirror, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", refuse)
    assert fetch(entry) == mirror / entry.file
    monkeypatch.setenv("HOME", str(mirror.parents[1]))
    monkeypatch.setenv("USERPROFILE", str(mirror.parents[1]))
    monkeypatch.setenv("MEDLIB_MIRROR", "~/mirror")
    assert fetch(entry) == mirror / entry.file


def test_a_wrong_file_in_the_mirror_is_refused_and_nothing_else_is_tried(entry, mirror, monkeypatch):
    (mirror / entry.file).write_bytes(CONTENT + b"x")
    tried = []
    monkeypatch.setattr(pooch, "retrieve", lambda *given, **named: tried.append(given))
    with pytest.raises(MedlibError) as caught:
        fetch(entry)
    assert_short(str(caught.value))
    assert str(mirror / entry.file) in str(caught.value) and entry.url in str(caught.value)
    assert not tried


def test_a_mirror_without_the_file_is_passed_over(entry, mirror, serve):
    (mirror / entry.file).unlink()
    path = fetch(replace(entry, url=serve(CONTENT)))
    assert path.read_bytes() == CONTENT and path.is_relative_to(catalog.source.CACHE)


@pytest.mark.parametrize("named", [None, "an empty folder", "no folder"])
def test_no_network_no_mirror_and_no_cache_end_in_one_sentence(entry, tmp_path, monkeypatch, named):
    if named:
        monkeypatch.setenv("MEDLIB_MIRROR", str(tmp_path / named))
    if named == "an empty folder":
        (tmp_path / named).mkdir()
    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(MedlibError) as caught:
        fetch(entry)
    assert_short(str(caught.value))
    assert f"{entry.name}/{entry.file}" in str(caught.value) and "MEDLIB_MIRROR" in str(caught.value)


def test_a_download_is_kept_and_used_again_without_the_network(entry, serve, monkeypatch):
    pooch.get_logger().setLevel("INFO")  # as at the start; its messages would stand between the user and our sentence
    said = []
    monkeypatch.setattr(pooch.get_logger(), "handle", said.append)
    online = replace(entry, url=serve(CONTENT))
    path = fetch(online)
    assert path.read_bytes() == CONTENT
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    assert fetch(online) == path
    path.write_bytes(CONTENT[:-3])  # damaged since
    with pytest.raises(MedlibError, match="could not be downloaded"):
        fetch(online)
    assert not said


def test_a_download_with_another_checksum_is_refused_each_time(entry, serve):
    online = replace(entry, url=serve(CONTENT + b"changed"))
    for _ in range(2):
        with pytest.raises(MedlibError, match="another SHA-256") as caught:
            fetch(online)
        assert_short(str(caught.value))
        assert entry.name in str(caught.value)


def test_a_dataset_that_is_not_to_be_had_is_said_before_anything_runs(entry, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(MedlibError, match="could not be downloaded"):
        locate_dataset("icu_germany")
    assert locate_dataset("sample") == "sample"


# --- The catalogue's own words ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["sample", pytest.param("icu_germany", marks=needs_register)])
def test_the_stated_figures_are_those_that_load(name):
    stated = CATALOG[name]
    tables, sources = load_dataset(name)
    dates = tables["demand"]["date"]
    first, last, period = re.fullmatch(r"(\S+) to (\S+), (\w+)", stated.span).groups()
    assert (len(tables["demand"]), dates.min(), dates.max()) == (stated.rows, pd.Timestamp(first), pd.Timestamp(last))
    assert (infer_period(dates.drop_duplicates()), period) == ("D", "daily")
    assert f"{len(tables['sites'])} " in stated.where
    row = check_frame(sources, "sources").iloc[0]
    assert len(sources) == 1 and row[["dataset", "title", "licence", "attribution", "synthetic"]].tolist() == [
        name, stated.title, stated.licence, stated.attribution, stated.synthetic]
    assert (row["rows"], row["first_date"], row["last_date"]) == (stated.rows, pd.Timestamp(first), pd.Timestamp(last))
    for table in set(tables) - {"demand"}:
        assert len(check_frame(tables[table], table)) == len(tables[table]) > 0
    check_frame(tables["demand"], "demand_collected")


def test_every_entry_says_what_a_reader_must_know():
    for name, stated in CATALOG.items():
        assert name == stated.name
        assert all((stated.title, stated.what, stated.where, stated.licence, stated.attribution, stated.notes)) and stated.rows > 0
        assert bool(stated.file) == bool(stated.size_mb) == bool(re.fullmatch("[0-9a-f]{64}", stated.sha256)) and (stated.file or not stated.url)
    assert CATALOG["sample"].synthetic and "ynthetic" in CATALOG["sample"].title + CATALOG["sample"].notes
    assert not REGISTER.synthetic
    assert "Robert Koch-Institut" in REGISTER.attribution and REGISTER.licence in REGISTER.attribution


def test_the_samples_seed_is_told_and_counts():
    (one, told), (other, _) = load_dataset("sample", 4), load_dataset("sample", 5)
    assert "4" in told["sha256"].iloc[0]
    assert not one["demand"].equals(other["demand"])
    pd.testing.assert_frame_equal(one["demand"], load_dataset("sample", 4)[0]["demand"])


# --- The German register ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def register():
    return load_dataset("icu_germany")[0]


@pytest.fixture(scope="module")
def raw():
    """The file, read without medlib."""
    rows = pd.read_csv(MIRRORED, parse_dates=["datum"])
    return rows[rows["datum"] >= "2020-05-01"].set_index(["datum", "bundesland_name"]).sort_index()


@needs_register
def test_the_stated_size_is_the_files():
    assert round(MIRRORED.stat().st_size / 1e6, 1) == REGISTER.size_mb


@needs_register
def test_all_sixteen_states_report_every_day(register):
    demand = register["demand"]
    days = pd.date_range("2020-05-01", "2026-08-22")
    assert demand.groupby("date")["site"].nunique().reindex(days).eq(16).all() and len(demand) == 16 * len(days)
    assert set(demand["site"]) == set(GERMAN_STATES["site"]) == set(register["capacity"]["site"])
    assert set(demand["resource"]) == {"icu_bed"} and not demand.duplicated(["date", "site"]).any()


@needs_register
@pytest.mark.parametrize(("state", "demand", "capacity"), [("Bayern", 2920, 3215), ("Sachsen", 1270, 1423)])
def test_the_first_of_december_2021_is_as_in_the_source(register, state, demand, capacity):
    for name, value in (("demand", demand), ("capacity", capacity)):
        frame = register[name]
        assert frame.loc[(frame["date"] == DECEMBER) & (frame["site"] == state), name].tolist() == [value]


@needs_register
def test_occupancy_on_the_first_of_december_2021(register):
    both = register["demand"].merge(register["capacity"], on=["date", "site", "resource"])
    both = both[both["date"] == DECEMBER]
    share = (both.set_index("site")["demand"] / both.set_index("site")["capacity"]).round(2)
    assert share[["Bremen", "Berlin", "Rheinland-Pfalz"]].tolist() == [0.96, 0.91, 0.84]


@needs_register
def test_surge_is_the_reserve_with_a_weeks_lead(register, raw):
    capacity = register["capacity"].set_index(["date", "site"]).sort_index()
    assert capacity["surge_lead_days"].eq(7).all()
    for column, source in (("surge", "intensivbetten_7_tage_notfallreserve"), ("staff_restricted_units", "einschraenkung_personal"),
                           ("reporting_units", "anzahl_meldebereiche")):
        np.testing.assert_array_equal(capacity[column].to_numpy(float), raw[source].to_numpy(float))
    missing = raw["intensivbetten_7_tage_notfallreserve"].isna()
    assert missing.sum() > 1000 and capacity["surge"].isna().sum() == missing.sum()


@needs_register
def test_occupied_beds_never_exceed_operable_ones(register, raw):
    both = register["demand"].merge(register["capacity"], on=["date", "site", "resource"])
    assert (both["demand"] <= both["capacity"]).all()
    assert both["demand"].sum() == raw["intensivbetten_belegt"].sum() > 0
    assert both["capacity"].sum() == (raw["intensivbetten_belegt"] + raw["intensivbetten_frei"]).sum()


def test_a_missing_value_never_becomes_zero(entry, mirror):
    text = ("datum,bundesland_name,intensivbetten_belegt,intensivbetten_frei,intensivbetten_7_tage_notfallreserve,"
            "anzahl_meldebereiche,einschraenkung_personal\n"
            "2020-04-30,Bremen,90,10,5,14,3\n"
            "2020-05-01,Bremen,NA,11,NA,14,NA\n"
            "2020-05-01,Hamburg,300,NA,0,30,0\n"
            "2020-05-02,Bremen,101,12,6,14,2\n")
    (mirror / entry.file).write_text(text, encoding="utf-8")
    small = replace(entry, sha256=hashlib.sha256(text.encode()).hexdigest())
    tables = small.load(small, 1)
    np.testing.assert_array_equal(tables["demand"]["demand"], [np.nan, 300, 101])
    capacity = tables["capacity"]
    np.testing.assert_array_equal(capacity["capacity"], [np.nan, np.nan, 113])
    np.testing.assert_array_equal(capacity["surge"], [np.nan, 0, 6])
    np.testing.assert_array_equal(capacity["staff_restricted_units"], [np.nan, 0, 2])
    assert tables["demand"]["date"].min() == pd.Timestamp("2020-05-01")


def test_the_states_facts():
    assert GERMAN_STATES["population"].sum() == 83_237_124
    assert len(GERMAN_STATES) == GERMAN_STATES["site"].nunique() == 16
    assert GERMAN_STATES["latitude"].between(47.2, 55.1).all() and GERMAN_STATES["longitude"].between(5.8, 15.1).all()
    place = GERMAN_STATES["site"].tolist().index
    distance = measure_distances(GERMAN_STATES)
    # Straight lines between the capitals: Berlin and Munich 504 km, Berlin and Potsdam 27 km, Mainz and Wiesbaden 10 km.
    assert distance[place("Berlin"), place("Bayern")] == pytest.approx(504, abs=3)
    assert distance[place("Berlin"), place("Brandenburg")] == pytest.approx(27, abs=2)
    assert distance[place("Rheinland-Pfalz"), place("Hessen")] == pytest.approx(10, abs=2)


# --- A user's own folder ---------------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    write_template(tmp_path / "my hospitals")
    return tmp_path / "my hospitals"


def test_a_users_folder_loads_with_its_checksum(folder, monkeypatch):
    tables, sources = load_dataset(str(folder))
    for name, frame in read_folder(folder).items():
        pd.testing.assert_frame_equal(tables[name], frame)
    row = check_frame(sources, "sources").iloc[0]
    assert row["dataset"] == "my hospitals" and row["rows"] == len(tables["demand"]) == 378 and not row["synthetic"]
    assert row["sha256"] == hash_folder(folder) and re.fullmatch("[0-9a-f]{64}", row["sha256"])
    monkeypatch.chdir(folder.parent)
    assert locate_dataset("my hospitals") == str(folder.resolve())


def test_the_checksum_follows_the_tables_and_nothing_else(folder):
    before = hash_folder(folder)
    (folder / "notes.txt").write_text("x")
    (folder / "older.csv").write_text("x")
    (folder / "figures.csv").mkdir()
    assert hash_folder(folder) == before
    sites = folder / "sites.csv"
    sites.write_bytes(sites.read_bytes().replace(b"90000", b"90001"))
    changed = hash_folder(folder)
    sites.rename(folder / "sites.parquet")  # the same bytes under another name
    assert len({before, changed, hash_folder(folder)}) == 3


def test_a_folder_without_links_gets_them_between_all_sites(folder):
    (folder / "links.csv").unlink()
    links = load_dataset(str(folder))[0]["links"]
    assert sorted(zip(links["origin"], links["destination"])) == [
        (a, b) for a in ("centre", "north", "south") for b in ("centre", "north", "south") if a != b]


@pytest.mark.parametrize("ask", [load_dataset, locate_dataset])
def test_a_folder_with_a_problem_is_refused_with_the_first(folder, ask):
    demand = folder / "demand.csv"
    demand.write_text(demand.read_text().replace("2024-01-03,north,bed,", "2024-01-03,north,bed,-"))
    with pytest.raises(MedlibError, match="1 problem.*demand.csv.*medlib check") as caught:
        ask(str(folder))
    assert_short(str(caught.value).replace("demand.csv", "demand"))


@pytest.mark.parametrize("ask", [load_dataset, locate_dataset])
@pytest.mark.parametrize("name", ["icu_germny", "file.csv", "nowhere/at/all"])
def test_an_unknown_dataset_is_refused_with_the_names(ask, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.csv").write_text("x")
    with pytest.raises(MedlibError) as caught:
        ask(name)
    assert_short(str(caught.value))
    assert repr(name) in str(caught.value) and all(known in str(caught.value) for known in CATALOG)


def test_a_drug_is_delivered_on_the_days_listed_only(tmp_path):
    write_template(tmp_path)
    capacity = pd.read_csv(tmp_path / "capacity.csv")
    resources = pd.read_csv(tmp_path / "resources.csv")
    drug = resources.loc[resources["kind"] == "drug", "resource"].iloc[0]
    days = sorted(pd.read_csv(tmp_path / "demand.csv")["date"].unique())
    weekly = pd.DataFrame({"date": days[::7], "resource": drug, "capacity": 70}).merge(capacity[["site"]].drop_duplicates(), how="cross")
    pd.concat([capacity[capacity["resource"] != drug], weekly]).to_csv(tmp_path / "capacity.csv", index=False)
    loaded, _ = load_dataset(str(tmp_path))
    there = spread_capacity(loaded["capacity"], pd.DatetimeIndex(days))
    delivered = there[there["resource"] == drug]
    assert len(delivered) == len(days) * delivered["site"].nunique()
    assert delivered["capacity"].sum() == 70 * len(weekly)
    # What stays in place between two reports is still there every day.
    others = there[there["resource"] != drug]
    assert others.groupby(["site", "resource"]).size().eq(len(days)).all() and (others["capacity"] > 0).all()


def test_births_are_whole_and_days_that_do_not_exist_are_left_out():
    tables, _ = load_dataset("births_us")
    demand = check_frame(tables["demand"], "demand_collected")
    assert len(demand) == CATALOG["births_us"].rows == 7305 * 51 and infer_period(demand["date"]) == "D"
    assert not demand.duplicated(["date", "site"]).any()
    day = demand[(demand["date"] == "1969-03-01") & (demand["site"] == "AL")]
    assert 100 < day["demand"].item() < 300  # without the six of 29 February 1969


def test_prescriptions_are_monthly_in_84_groups():
    tables, _ = load_dataset("drugs_australia")
    demand = check_frame(tables["demand"], "demand_collected")
    assert len(demand) == CATALOG["drugs_australia"].rows and infer_period(demand["date"]) == "MS"
    assert demand["resource"].nunique() == 84 and str(demand["date"].max().date()) == "2008-06-01"


@pytest.mark.skipif(not (MIRRORED.parents[1] / "flusight" / "target_series.csv").is_file(),
                    reason="the folder named by MEDLIB_MIRROR does not hold flusight")
def test_flu_admissions_are_weekly_mandatory_and_without_the_nation():
    tables, _ = load_dataset("flusight")
    demand = check_frame(tables["demand"], "demand_collected")
    assert len(demand) == CATALOG["flusight"].rows == 116 * 52 and infer_period(demand["date"]) == "W-SAT"
    assert set(demand["site"]) == set(tables["sites"]["site"]) and "US" not in set(demand["site"])
    assert demand["date"].max() == pd.Timestamp("2024-04-27")  # the last week that hospitals had to report


def test_a_dataset_that_is_not_downloaded_says_where_to_put_it(monkeypatch):
    monkeypatch.delenv("MEDLIB_MIRROR", raising=False)
    with pytest.raises(MedlibError, match="not downloaded but read from a folder; set MEDLIB_MIRROR to one that holds flusight/"):
        load_dataset("flusight")


def test_demand_alone_is_not_allocated():
    with pytest.raises(MedlibError, match="no capacity to allocate; it serves forecasts"):
        locate_dataset("births_us")
