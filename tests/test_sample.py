"""The synthetic network: the same seed gives the same tables, every table keeps its contract, and the parts fit together."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medlib import sample, schema
from medlib.recognise.panels import SIDE
from medlib.sample import make_links, make_network, measure_distances
from medlib.schema import check_frame


@pytest.fixture(scope="module")
def networks():
    """A short year of the network, twice from one seed and once from another."""
    with pytest.MonkeyPatch.context() as change:
        change.setattr(sample, "FIRST_DATE", "2025-03-01")
        return [make_network(seed) for seed in (7, 7, 8)]


@pytest.fixture
def network(networks):
    return networks[0]


def test_the_same_seed_gives_the_same_tables(networks):
    first, again, _ = networks
    assert first.keys() == again.keys() == {"sites", "resources", "links", "demand", "capacity", "inventory", "equipment"}
    for name in first:
        pd.testing.assert_frame_equal(first[name], again[name])


@pytest.mark.parametrize("name", ["sites", "links", "demand", "capacity", "inventory", "equipment"])
def test_another_seed_gives_other_tables(networks, name):
    assert not networks[0][name].equals(networks[2][name])


def test_global_randomness_is_neither_used_nor_changed(networks, monkeypatch):
    monkeypatch.setattr(sample, "FIRST_DATE", "2025-03-01")
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    pd.testing.assert_frame_equal(make_network(7)["demand"], networks[0]["demand"])
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("name", ["sites", "resources", "links", "capacity", "inventory", "equipment"])
def test_the_tables_keep_their_contracts(network, name):
    checked = check_frame(network[name], name)
    assert len(checked) == len(network[name]) > 0
    assert set(network[name].columns) == set(checked.columns)


def test_demand_is_spoilt_and_passes_as_collected_only(network):
    check_frame(network["demand"], "demand_collected")
    assert schema.ONCE in set(schema.find_failures(network["demand"], "demand")["expected"])
    assert network["demand"]["date"].is_monotonic_increasing


def test_the_tables_name_only_sites_and_resources_that_there_are(network):
    sites, resources = set(network["sites"]["site"]), set(network["resources"]["resource"])
    assert len(sites) == 20
    for name in ("demand", "capacity", "inventory", "equipment"):
        assert set(network[name]["site"]) == sites
    assert set(network["capacity"]["resource"]) == resources
    assert set(network["demand"]["resource"]) == resources - {"nurse"}  # nurses are needed through beds
    assert set(network["links"]["origin"]) | set(network["links"]["destination"]) <= sites
    for text in network["resources"]["requires"].dropna():
        assert set(schema.parse_requires(text)) <= resources


def test_demand_and_capacity_span_the_same_days(network):
    days = pd.date_range("2025-03-01", sample.LAST_DATE)
    assert sorted(network["demand"]["date"].unique()) == list(days)
    dated = network["capacity"].dropna(subset="date")
    assert dated.groupby(["site", "resource"])["date"].nunique().eq(len(days)).all()
    assert set(dated["resource"]) == {"nurse", "antiviral"}


def test_every_site_gets_one_parcel_of_the_drug_a_week(network):
    parcels = network["capacity"].query("resource == 'antiviral' and capacity > 0")
    assert (parcels["date"].dt.day_of_week == 0).all()
    assert parcels.groupby("site")["date"].nunique().eq(network["capacity"].loc[
        lambda rows: rows["date"].dt.day_of_week == 0, "date"].nunique()).all()


def test_distances_by_hand():
    # A degree of latitude is 6371 pi / 180 km; at 60 degrees north one of longitude is about half of that.
    places = pd.DataFrame({"latitude": [0.0, 1.0, 60.0, 60.0], "longitude": [10.0, 10.0, 10.0, 11.0]})
    distance = measure_distances(places)
    degree = 6371 * np.pi / 180
    assert distance[0, 1] == pytest.approx(degree)
    assert distance[0, 2] == pytest.approx(60 * degree)
    assert distance[2, 3] == pytest.approx(degree / 2, rel=1e-3)
    assert distance == pytest.approx(distance.T) and np.diag(distance).tolist() == [0] * 4
    # Berlin and Munich, 52.52 N 13.405 E and 48.137 N 11.575 E: 504 km.
    cities = pd.DataFrame({"latitude": [52.52, 48.137], "longitude": [13.405, 11.575]})
    assert measure_distances(cities)[0, 1] == pytest.approx(504.4, abs=0.5)


def test_links_join_near_sites_in_both_directions_by_name():
    sites = pd.DataFrame({"site": ["far", "X", "Y"], "latitude": [9.0, 0.0, 0.6], "longitude": 5.0})
    links = make_links(sites, longest_km=120.0, lead_days=2.0, cost=3.0)
    assert list(zip(links["origin"], links["destination"])) == [("X", "Y"), ("Y", "X")]
    assert links["distance_km"].tolist() == pytest.approx([0.6 * 111.19] * 2, abs=0.1)
    assert links["lead_days"].tolist() == [2.0, 2.0] and links["cost"].tolist() == [3.0, 3.0]
    farther = make_links(sites.assign(latitude=[9.0, 0.0, 1.0]), longest_km=120.0, lead_days=2.0)
    assert farther["lead_days"].tolist() == [3.0, 3.0]


def test_the_sites_lie_where_nobody_takes_them_for_real_places(network):
    sites = network["sites"]
    assert sites["latitude"].between(42, 48).all() and sites["longitude"].between(-34, -26).all()
    assert set(sites["region"]) == set(sample.REGION_CENTRES)
    assert (network["links"]["distance_km"] <= 220).all() and network["links"]["distance_km"].gt(0).all()


@pytest.fixture
def fleets(network):
    return sample.draw_fleets(network["sites"], network["capacity"], 7)


def test_a_fleet_is_what_the_capacity_states(network, fleets):
    stated = network["capacity"].query("resource == 'ventilator'").set_index("site")["capacity"]
    assert fleets.groupby("site").size().sort_index().tolist() == stated.sort_index().astype(int).tolist()
    assert not fleets.duplicated(["site", "device"]).any()
    pd.testing.assert_frame_equal(fleets, sample.draw_fleets(network["sites"], network["capacity"], 7))


def test_most_devices_work_but_for_two_sites(fleets):
    share = (fleets["state"] == "working").groupby(fleets["site"]).mean()
    assert 0.7 < share.mean() < 0.88 and share.nsmallest(2).max() < 0.68
    assert 0.02 < fleets["listed_broken"].mean() < 0.12
    designs = fleets.groupby("site")["design"].agg(["nunique", "first"])
    assert designs["nunique"].eq(1).all() and designs["first"].value_counts()["west"] == 3
    assert set(designs["first"]) == {"north", "east", "west"}


def test_the_inventory_adds_up_to_the_fleets(network, fleets):
    read = sample._make_inventory(fleets, 7).fillna({"item": "unread"})
    written = network["inventory"]
    assert written["text"].tolist() == read["text"].tolist() and not written.duplicated(["site", "line"]).any()
    assert written["item"].notna().mean() == pytest.approx(1 / 3, abs=0.08)
    assert written[["item", "pieces", "broken"]].notna().nunique(axis=1).eq(1).all()  # read as a whole or not at all
    assert written.groupby("site").size().between(9, 17).all()


def test_every_line_of_ventilators_counts(network, fleets, monkeypatch):
    """What is written and not what is read: each site's ventilator lines sum to its fleet, the broken ones to the listed ones."""
    written = []
    monkeypatch.setattr(sample, "write_line", lambda item, pieces, broken, random, *more: written.append((item, pieces, broken)) or ("x", "x"))
    sites = sample._make_inventory(fleets, 7)["site"]
    lines = pd.DataFrame(written, columns=["item", "pieces", "broken"]).assign(site=sites).query("item == 'ventilator'")
    assert lines.groupby("site")["pieces"].sum().to_dict() == fleets.groupby("site").size().to_dict()
    broken = lines[lines["broken"]].groupby("site")["pieces"].sum()
    assert broken.to_dict() == fleets[fleets["listed_broken"]].groupby("site").size().to_dict()
    assert lines.groupby("site").size().between(1, 5).all() and lines["pieces"].ge(1).all()


def test_pictures_are_of_devices_in_place_and_show_their_state(network, fleets):
    equipment = network["equipment"].merge(fleets, on=["site", "device"], validate="one_to_one")
    assert len(equipment) == len(network["equipment"]) == fleets["pictured"].sum()
    assert not equipment["listed_broken"].any() and set(equipment["resource"]) == {"ventilator"}
    checked = equipment["checked"].notna()
    assert checked.mean() == pytest.approx(0.1, abs=0.05) and (equipment["checked"] == equipment["state"])[checked].all()
    in_place = fleets[~fleets["listed_broken"]].groupby("site").size()
    assert (equipment.groupby("site").size() >= np.minimum(in_place, 6)).all() and len(equipment) / len(fleets) == pytest.approx(0.5, abs=0.06)
    for picture in equipment["picture"].head(5):
        with Image.open(io.BytesIO(picture)) as shown:
            assert shown.size == (SIDE, SIDE) and np.asarray(shown).std() > 5
    assert len(set(equipment["picture"])) == len(equipment)
