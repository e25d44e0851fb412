"""What is there and works: by hand where nothing is in doubt, within bounds where something is; and from planted faults to the plan."""

import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest

from medlib import sample, tables
from medlib.errors import MedlibError
from medlib.recognise.working import (count_working, describe_count, draw_owned, find_latest, list_losses, replace_capacity, wants_count)
from medlib.report.pipeline import NOTEBOOKS
from medlib.schema import STATES, check_frame, empty

RESOURCES = pd.DataFrame({"resource": ["ventilator", "pump", "bed"], "kind": ["equipment", "equipment", "bed"], "unit": "piece"})


def place(*rows):
    return pd.DataFrame(rows, columns=["site", "resource", "capacity"])


def read(*rows):
    """Lines: site, line, item, probability, pieces, broken, decided_by."""
    return pd.DataFrame(rows, columns=list(empty("inventory_read"))) if rows else empty("inventory_read")


def see(site, states, decided_by="person", start=1, resource="ventilator"):
    devices = [f"v{start + number}" for number in range(len(states))]
    return pd.DataFrame({"site": site, "device": devices, "resource": resource, "state": states, "confidence": 0.9, "decided_by": decided_by})


def confuse(right=200, wrong=0, confident=True):
    """A network that calls `right` devices of each state what they are, and `wrong` working ones off."""
    rows = [(state, state, confident, right) for state in STATES] + [("working", "off", confident, wrong)]
    return pd.DataFrame(rows, columns=["true", "called", "confident", "devices"])


def count(capacity, lines=None, seen=None, confusion=None, **more):
    found = count_working(capacity, RESOURCES, read() if lines is None else lines, empty("equipment_state") if seen is None else seen,
                          empty("equipment_confusion") if confusion is None else confusion, **more)
    return check_frame(found, "working_devices").set_index(["site", "resource"])


def figures(found, site="A", resource="ventilator"):
    return found.loc[(site, resource), ["stated", "owned", "working", "working_low", "working_high"]].tolist()


def test_without_lines_and_pictures_the_stated_capacity_stands():
    found = count(place(("A", "ventilator", 7.5), ("A", "bed", 30)))
    assert len(found) == 1 and figures(found) == [7.5] * 5
    assert found["source"].tolist() == ["stated capacity; neither inventory lines nor pictures"]


def test_no_equipment_gives_no_rows():
    assert count_working(place(("A", "bed", 30)), RESOURCES, read(), empty("equipment_state"), empty("equipment_confusion")).empty


def test_certain_lines_are_added_up_and_broken_ones_do_not_work():
    lines = read(("A", 1, "ventilator", 1.0, 12, 0.0, "person"), ("A", 2, "ventilator", 1.0, 3, 1.0, "network"),
                 ("A", 3, "pump", 1.0, 40, 0.0, "network"), ("B", 1, "ventilator", 1.0, 5, 0.0, "network"))
    found = count(place(("A", "ventilator", 20), ("B", "ventilator", 4)), lines)
    assert figures(found) == [20, 15, 12, 12, 12] and figures(found, "B") == [4, 5, 5, 5, 5]
    assert found["source"].iloc[0] == "owned: 2 inventory lines; working: the lines only, no pictures"
    assert found["source"].iloc[1] == "owned: 1 inventory line; working: the lines only, no pictures"


def test_a_doubtful_line_counts_with_its_probability():
    lines = read(("A", 1, "ventilator", 1.0, 10, 0.0, "network"), ("A", 2, "ventilator", 0.25, 8, 0.0, "left to people"),
                 ("A", 2, "pump", 0.75, 8, 0.0, "left to people"))
    stated, owned, working, low, high = figures(count(place(("A", "ventilator", 18)), lines, draws=4000))
    assert owned == pytest.approx(12, abs=0.3) and working == owned  # 10 + 0.25 * 8
    assert (low, high) == (10, 18)
    assert "2 inventory lines (1 left to people)" in count(place(("A", "ventilator", 18)), lines)["source"].iloc[0]


def test_lines_are_right_or_wrong_as_a_whole():
    random = np.random.default_rng(3)
    owned, used = draw_owned(read(("A", 1, "ventilator", 0.5, 6, 0.5, "network")), 4000, random)
    assert set(owned) == {0, 6} and set(used) == {0, 6} and (used <= owned).all()
    assert owned.mean() == pytest.approx(3, abs=0.2) and used.mean() == pytest.approx(1.5, abs=0.2)


def test_a_site_whose_lines_name_no_device_owns_none_where_others_do():
    lines = read(("A", 1, "pump", 1.0, 4, 0.0, "network"), ("B", 1, "ventilator", 1.0, 9, 0.0, "network"))
    found = count(place(("A", "ventilator", 6), ("B", "ventilator", 9), ("C", "ventilator", 5), ("B", "pump", 3)), lines)
    assert figures(found) == [6, 0, 0, 0, 0]
    assert figures(found, "C") == [5] * 5 and "stated capacity" in found.loc[("C", "ventilator"), "source"]  # no inventory at all
    assert figures(found, "B", "pump") == [3, 0, 0, 0, 0]


def test_what_a_person_saw_is_taken_as_it_is():
    seen = see("A", ["working"] * 4 + ["off", "damaged"])
    lines = read(("A", 1, "ventilator", 1.0, 6, 0.0, "person"))
    found = count(place(("A", "ventilator", 9)), lines, seen)
    assert figures(found) == [9, 6, 4, 4, 4]
    assert found["source"].iloc[0] == "owned: 1 inventory line, at least the 6 pictured; working: about 4 of 6 looked at, 6 by a person"


def test_devices_without_a_picture_work_as_often_as_the_others():
    seen = see("A", ["working"] * 15 + ["off"] * 5)
    stated, owned, working, low, high = figures(count(place(("A", "ventilator", 60)), seen=seen, draws=4000))
    assert (stated, owned) == (60, 60)
    assert working == pytest.approx(15 + 40 * 15.5 / 21, abs=0.5)  # Jeffreys: (15 + 1/2) of (20 + 1)
    assert 15 < low < working < high < 55


def test_more_pictured_than_listed_are_owned():
    lines = read(("A", 1, "ventilator", 1.0, 2, 0.0, "network"))
    assert figures(count(place(("A", "ventilator", 3)), lines, see("A", ["working"] * 3 + ["alarm"] * 2))) == [3, 5, 3, 3, 3]


def test_labels_are_corrected_for_what_the_network_gets_wrong():
    seen = see("A", ["working"] * 70 + ["off"] * 30, "network")
    capacity = place(("A", "ventilator", 100))
    assert figures(count(capacity, seen=seen, confusion=confuse()))[2] == pytest.approx(70, abs=2)
    # It calls a fifth of the working devices off: of 90 that work it would call 72 working.
    assert figures(count(capacity, seen=seen, confusion=confuse(400, 100)))[2] == pytest.approx(87, abs=4)


def test_unsure_answers_count_by_what_unsure_answers_mean():
    """Sure answers are right; of the unsure "working" ones half are off."""
    confusion = pd.concat([confuse(200), pd.DataFrame([("working", "working", False, 100), ("off", "working", False, 100)],
                                                      columns=["true", "called", "confident", "devices"])])
    seen = pd.concat([see("A", ["working"] * 20 + ["off"] * 20, "network"), see("A", ["working"] * 40, "left to people", start=41)])
    found = count(place(("A", "ventilator", 80)), seen=seen, confusion=confusion)
    assert figures(found)[2] == pytest.approx(40, abs=4) and "40 left to people" in found["source"].iloc[0]


def test_pictures_without_checked_devices_are_refused():
    with pytest.raises(MedlibError, match="Every class needs checked devices"):
        count(place(("A", "ventilator", 5)), seen=see("A", ["working"] * 5, "network"))


def test_the_same_seed_gives_the_same_count_and_inputs_stay():
    seen, lines = see("A", ["working"] * 5 + ["off"], "network"), read(("A", 1, "ventilator", 0.7, 9, 0.1, "network"))
    before = seen.copy(), lines.copy()
    first, again, other = (count(place(("A", "ventilator", 9)), lines, seen, confuse(50, 5), seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert figures(first) != figures(other)
    pd.testing.assert_frame_equal(seen, before[0])
    pd.testing.assert_frame_equal(lines, before[1])


def test_the_latest_capacity_is_stated():
    dated = place(("A", "ventilator", 5), ("A", "ventilator", 8), ("B", "ventilator", 3)).assign(
        date=pd.to_datetime(["2024-03-02", "2024-03-01", None]))
    assert find_latest(dated).values.tolist() == [["A", "ventilator", 5], ["B", "ventilator", 3]]


def test_the_samples_truth_lies_in_most_intervals():
    """With labels as good as the truth and person-read lines, the interval has to hold what the fleets really are."""
    read_in = {name: tables.read(name, "data/sample") for name in ("sites", "capacity", "resources", "equipment")}
    fleets = sample.draw_fleets(read_in["sites"], read_in["capacity"])
    seen = read_in["equipment"].merge(fleets, on=["site", "device"]).assign(confidence=1.0, decided_by="network")
    lines = [(site, 1 + broken, "ventilator", 1.0, len(part), float(broken), "network")
             for (site, broken), part in fleets.groupby(["site", "listed_broken"])]
    found = count_working(read_in["capacity"], read_in["resources"], read(*lines), seen[list(empty("equipment_state"))], confuse())
    truth = fleets[~fleets["listed_broken"] & (fleets["state"] == "working")].groupby("site").size()
    found = found.set_index("site").assign(truth=truth)
    assert found["owned"].tolist() == found["stated"].tolist()
    assert found["truth"].between(found["working_low"], found["working_high"]).mean() >= 0.75
    assert found["working"].sum() == pytest.approx(truth.sum(), rel=0.05)


@pytest.mark.parametrize(("supply_from", "figure"), [("expected", 6.5), ("lower", 4.0)])
def test_counted_devices_replace_capacity_where_they_were_counted(supply_from, figure):
    expected = pd.DataFrame({"date": pd.Timestamp("2024-02-01"), "site": ["A", "A", "B"], "resource": ["ventilator", "bed", "ventilator"],
                             "model": "carried", "quantile": 0.5, "capacity": [9.0, 30.0, 5.0], "surge": [1.0, 2.0, 3.0]}, index=[4, 2, 9])
    working = pd.DataFrame({"site": ["A"], "resource": ["ventilator"], "working": [6.5], "working_low": [4.0]})
    found = replace_capacity(expected, working, supply_from)
    assert found["capacity"].tolist() == [figure, 30.0, 5.0] and found["surge"].tolist() == [1.0, 2.0, 3.0]
    assert found["model"].tolist() == ["counted", "carried", "carried"] and expected["capacity"].tolist() == [9.0, 30.0, 5.0]


def test_what_is_planned_with_is_one_of_three():
    assert [wants_count(word) for word in ("stated", "expected", "lower")] == [False, True, True]
    with pytest.raises(MedlibError, match=r"^supply_from must be one of stated, expected, lower; got 'lowest'\.$"):
        wants_count("lowest")


def test_losses_and_sentences():
    working = count(place(("A", "ventilator", 20), ("B", "ventilator", 4), ("C", "ventilator", 1200)),
                    read(("A", 1, "ventilator", 1.0, 11, 0.0, "network"), ("B", 1, "ventilator", 1.0, 4, 0.0, "network"))).reset_index()
    assert list_losses(working)[["site", "lost"]].values.tolist() == [["A", 9.0]]
    assert describe_count(working) == [
        "Ventilator: 1,224 stated, 1,215 owned, 1,215 working; the sites' 5 % quantiles sum to 1,215, their 95 % quantiles to 1,215."]


# --- From planted faults to the plan ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The sample's northern ventilators. All that is stated is listed and pictured, but for what `plant` breaks."""
    folder = tmp_path_factory.mktemp("north")
    for path in (tables.PROJECT / "data" / "sample").glob("*.parquet"):
        frame = pd.read_parquet(path)
        for column in {"site", "origin", "destination"} & set(frame):
            frame = frame[frame[column].str.startswith("N")]
        if "resource" in frame:
            frame = frame[frame["resource"].isin(["ventilator", "all"])]
        tables.write(frame, path.stem, folder)
    return folder


def plant(folder):
    """Ten of N1's devices are off; at N2 nobody knows whether a line of eight is of ventilators; the rest is as stated."""
    stated = find_latest(tables.read("capacity", folder)).set_index("site")["capacity"].astype(int)
    seen = pd.concat([see(site, ["working"] * units) for site, units in (stated - 8 * (stated.index == "N2")).items()])
    seen["state"] = seen["state"].mask((seen["site"] == "N1") & (seen.groupby("site").cumcount() < 10), "off")
    lines = read(*[(site, 1, "ventilator", 1.0, units - 8 * (site == "N2"), 0.0, "person") for site, units in stated.items()],
                 ("N2", 2, "ventilator", 0.5, 8, 0.0, "left to people"), ("N2", 2, "pump", 0.5, 8, 0.0, "left to people"))
    tables.write(seen, "equipment_state", folder)
    tables.write(lines, "inventory_read", folder)
    return stated


def execute(name, folder, **parameters):
    import papermill
    done = papermill.execute_notebook(NOTEBOOKS / f"{name}.ipynb", folder / f"{name}.ipynb", parameters | {"workspace": str(folder)},
                                      kernel_name="python3", cwd=NOTEBOOKS, progress_bar=False, extra_arguments=["--log-level=CRITICAL"])
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    return " ".join(output.get("text", "") + str(output.get("data", {}).get("text/html", "")) + str(output.get("data", {}).get("text/markdown", ""))
                    for output in outputs)


def test_planted_faults_reach_the_plan_as_less_capacity_and_the_report_says_so(workspace, tmp_path):
    folder = shutil.copytree(workspace, tmp_path / "planted")
    stated = plant(folder)
    execute("26_working_devices", folder)
    execute("40_allocate", folder, supply_from="lower")
    shortage = tables.read("expected_shortage", folder)
    usable = shortage.groupby("site")["usable"].agg(["min", "max"])
    lost = pd.Series({"N1": 10, "N2": 8}).reindex(stated.index, fill_value=0)
    assert usable["min"].tolist() == usable["max"].tolist() == (stated - lost).tolist()
    assert tables.read("capacity_forecast", folder)["model"].unique().tolist() == ["counted"]
    before = pd.read_parquet(workspace / "expected_shortage.parquet")
    assert shortage["shortage_before"].sum() > before["shortage_before"].sum() + 1

    said = execute("50_report", folder, supply_from="lower")
    assert "What was counted on" in said and f"Ventilator: {stated.sum()} stated" in said and f"sum to {stated.sum() - 18}" in said
    assert "owned: 2 inventory lines (1 left to people)" in said
    assert "rolls every policy with the stated capacity" in said


def test_without_a_request_nothing_is_counted_and_nothing_said(workspace, tmp_path):
    folder = shutil.copytree(workspace, tmp_path / "plain")
    (folder / "working_devices.parquet").unlink(missing_ok=True)
    said = execute("50_report", folder)
    assert "What was counted on" not in said


@pytest.mark.parametrize("bare", ["equipment_state", "all"])
def test_the_counting_notebook_runs_on_empty_tables(workspace, tmp_path, bare):
    folder = shutil.copytree(workspace, tmp_path / "bare")
    for name in ("inventory", "inventory_read", "equipment", "equipment_state", "equipment_confusion"):
        if bare == "all" or name in (bare, "inventory"):
            tables.write(empty(name), name, folder)
    said = execute("26_working_devices", folder)
    assert "no more work than are owned: True" in said and nbformat.read(folder / "26_working_devices.ipynb", 4).cells
    found = tables.read("working_devices", folder)
    assert len(found) == 5 and (bare != "all" or found["working_low"].tolist() == found["stated"].tolist())
