"""Known answers: published cases, their values (never their plans) recomputed by the engine."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medlib.allocate import Problem, Rules, solve
from medlib.catalog import load_dataset
from medlib.cli import app
from medlib.errors import MedlibError
from medlib.foresight import allocate, pose_folder, pose_tables
from typer.testing import CliRunner

MIRROR = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "allocation"
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="the published cases are read from MEDLIB_MIRROR, which is not set")
#: What Parker et al. call their operational model: small prices on transfers and on changes, beds planned to 95 %.
OPERATIONAL = dict(planning_occupancy=0.95, shortage_cost=1.0, move_cost=0.01, change_cost=0.01, cost_per_km=0.0,
                   protect_sites=True)


@pytest.fixture(scope="module")
def texas():
    return load_dataset("tx_icu")[0]


def pose_texas(texas, **rules):
    return pose_tables(texas, Rules.without_limits(handover_days=1, **rules))


@needs_mirror
def test_texas_without_transfers(texas):
    posed = pose_texas(texas, transfers_in_all=0.0)
    plan, answer = allocate(posed)
    assert answer["objective"] == pytest.approx(12_798.6, abs=0.05)
    assert answer["transfers"] == pytest.approx(0.0, abs=1e-6)
    assert posed.idle_shortage.sum() == pytest.approx(12_798.6, abs=0.05)
    assert answer["bound"] == pytest.approx(0.0, abs=1e-6)


@needs_mirror
def test_texas_at_its_best_and_the_fewest_transfers_for_it(texas):
    _, answer = allocate(pose_texas(texas))
    assert answer["objective"] == pytest.approx(0.0, abs=1e-5)
    assert answer["transfers"] == pytest.approx(1_350.3, abs=0.05)
    _, answer = allocate(pose_texas(texas), "transfers", 0.0)
    assert answer["objective"] == pytest.approx(1_350.3, abs=0.05)
    assert answer["shortage"] == pytest.approx(0.0, abs=1e-5)


@needs_mirror
def test_texas_as_parker_and_others_would_run_it(texas):
    plan = solve(pose_texas(texas, **OPERATIONAL))
    assert plan.objective == pytest.approx(19.28, abs=0.005)
    assert plan.weighted_shortage == pytest.approx(0.0, abs=1e-5)
    # Transfers and changes are at the same price, so their split is not unique; their sum is.
    assert plan.parts.loc[["transfers", "changes"], "amount"].sum() == pytest.approx(1_928.4, abs=0.5)
    assert plan.transfers == pytest.approx(1_608, abs=15)


@needs_mirror
def test_texas_by_the_reactive_rule(texas):
    # Each day all excess, shared out in proportion to the beds left elsewhere; felt from the next day on.
    posed = pose_texas(texas)
    beds, stay = posed.capacity[:, 0, 0], posed.survive("icu_bed", "icu_bed")
    present, arrivals = posed.demand[0, :, 0].copy(), posed.arrivals[:, 0]
    for day in range(len(posed.dates)):
        over = np.minimum(np.maximum(present[:, day] - beds, 0.0), arrivals[:, day])
        spare = np.maximum(beds - present[:, day], 0.0)
        moved = min(over.sum(), spare.sum())
        if moved > 0:
            change = moved * (spare / spare.sum() - over / over.sum())
            present[:, day + 1:] += np.outer(change, stay[day + 1:, day])
    assert np.maximum(present - beds[:, None], 0.0).sum() == pytest.approx(1_284.2, abs=0.05)


@needs_mirror
def test_texas_is_the_same_from_its_exported_folder(texas, tmp_path):
    runner = CliRunner()
    assert runner.invoke(app, ["export", "tx_icu", str(tmp_path / "tx")]).exit_code == 0
    file = tmp_path / "answer.json"
    assert runner.invoke(app, ["allocate", str(tmp_path / "tx"), "--json", str(file), "--transfer-budget", "500",
                               "--max-distance-km", "300"]).exit_code == 0
    answer = json.loads(file.read_text())
    assert {"objective", "shortage", "transfers", "bound", "seconds"} <= set(answer)
    posed = pose_texas(texas, transfers_in_all=500.0, max_distance_km=300.0)
    assert answer["objective"] == pytest.approx(allocate(posed)[1]["objective"], rel=1e-6)
    assert answer["transfers"] <= 500 + 1e-6


def pose_facilities(factor):
    """Counties send patients to facilities; temporary ones open for a price, 100 places each, and further places cost a fortune."""
    case = json.loads((MIRROR / "facility_toy" / "instance.json").read_text())
    counties = [(f"county_{n}", x, y, float(round(need * factor))) for n, (x, y, need) in enumerate(case["counties"], 1)]
    known = [*case["existing"], *([x, y, 0] for x, y in case["temporary"])]
    facilities = [(f"facility_{n}", x, y, float(places)) for n, (x, y, places) in enumerate(known, 1)]
    sites = [row[0] for row in counties + facilities]
    links = pd.DataFrame([(a, b, float(np.hypot(x - u, y - v)), 0.0, 0.0) for a, x, y, _ in counties for b, u, v, _ in facilities],
                         columns=["origin", "destination", "distance_km", "lead_days", "cost"])
    demand, capacity = np.zeros((1, len(sites), 1, 1)), np.zeros((len(sites), 1, 1))
    demand[0, :9, 0, 0], capacity[9:, 0, 0] = [row[3] for row in counties], [row[3] for row in facilities]
    temporary = [f"facility_{n}" for n in range(15, 24)]
    levels = pd.concat([pd.DataFrame({"site": temporary, "resource": "bed", "level": level, "units": units, "cost": cost,
                                      "setup_cost": setup})
                        for level, units, cost, setup in ((1, 100.0, 0.0, case["open_cost"]), (2, 1000.0, case["extra_cost"], 0.0))])
    surge = np.zeros((len(sites), 1, 1))
    surge[23:] = 1100.0
    return Problem(sites=tuple(sites), resources=pd.DataFrame({"resource": ["bed"], "kind": ["bed"], "unit": ["place"]}),
                   dates=pd.date_range("2021-01-01", periods=1), demand=demand, weights=np.ones(1), capacity=capacity, surge=surge,
                   surge_lead_days=np.zeros((len(sites), 1)), links=links, levels=levels.reset_index(drop=True),
                   rules=Rules.without_limits(move_cost=0.0, cost_per_km=case["drive_cost"], shortage_cost=2 * case["extra_cost"]))


@needs_mirror
@pytest.mark.parametrize(("factor", "objective"), [(1.0, 1_521_653.4243), (1.2, 67_004_525_513.31)])
def test_facilities_are_opened_at_the_published_cost(factor, objective):
    plan = solve(pose_facilities(factor), gap=1e-9)
    assert plan.status == "Optimal"
    assert plan.objective == pytest.approx(objective, rel=1e-9)


# --- Folders ---------------------------------------------------------------------------------------------------------

#: Two sites over three days: A has more arrivals than beds, B has room.
FOLDER = {
    "sites": "site,latitude,longitude\nA,50,10\nB,50.5,10\n",
    "resources": "resource,kind,unit\nicu_bed,bed,bed-day\n",
    "capacity": "site,resource,capacity\nA,icu_bed,4\nB,icu_bed,9\n",
    "links": "origin,destination,distance_km\nA,B,56\nB,A,56\n",
    "arrivals": "date,site,resource,arrivals\n" + "".join(f"2021-01-0{day},A,icu_bed,3\n2021-01-0{day},B,icu_bed,1\n" for day in (1, 2, 3)),
    "initial": "date,site,resource,remaining\n" + "".join(f"2021-01-0{day},A,icu_bed,{left}\n2021-01-0{day},B,icu_bed,2\n"
                                                          for day, left in ((1, 2), (2, 1), (3, 0))),
    "stay": "day,survival\n0,1\n1,0.5\n2,0.25\n"}


def write_folder(folder, **changes):
    folder.mkdir(exist_ok=True)
    for name, text in (FOLDER | changes).items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text)
    return folder


def run(folder, *options):
    file = folder / "answer.json"
    result = CliRunner().invoke(app, ["allocate", str(folder), "--json", str(file), *options])
    return json.loads(file.read_text()) if result.exit_code == 0 else result


def test_a_folder_with_arrivals_by_hand(tmp_path):
    # A without transfers: day 1 has 2 + 3 = 5 of 4 beds, day 2 1 + 1.5 + 3 = 5.5, day 3 0 + 0.75 + 1.5 + 3 = 5.25: 1 + 1.5 + 1.25 short.
    idle = run(write_folder(tmp_path / "idle"), "--transfer-budget", "0")
    assert idle["shortage"] == pytest.approx(3.75)
    # A patient moved on day 1 still needs A's bed that day: day 1 stays 1 short. One moved on day 1 spares 0.5 and 0.25, so that
    # 3 spare 1.5 on day 2, all that is short; then 0.5 more is short on day 3, which 1 moved on day 2 takes away.
    best = run(write_folder(tmp_path / "best"))
    assert best["shortage"] == pytest.approx(1.0)
    assert best["transfers"] == pytest.approx(4.0, abs=1e-5)
    assert best["bound"] == 0.0 and best["objective"] == best["shortage"]
    limited = run(tmp_path / "best", "--transfer-budget", "1")
    assert limited["shortage"] == pytest.approx(3.0)  # 0.5 and 0.25 spared
    fewest = run(tmp_path / "best", "--minimise", "transfers", "--max-shortage", "3.0")
    assert fewest["objective"] == pytest.approx(1.0, abs=1e-5)
    assert run(tmp_path / "best", "--max-distance-km", "55")["shortage"] == pytest.approx(3.75)


def test_demand_is_enough_where_there_are_no_arrivals(tmp_path):
    demand = "date,site,resource,demand\n" + "".join(f"2021-01-0{day},{site},icu_bed,{need}\n" for day, (a, b) in
                                                     enumerate(((6, 5), (7, 5)), 1) for site, need in (("A", a), ("B", b)))
    folder = write_folder(tmp_path / "demand", demand=demand, arrivals=None, initial=None, stay=None)
    answer = run(folder, "-p", "los_days=1e6", "-p", "handover_days=0")
    assert answer["shortage"] == pytest.approx(0.0, abs=1e-6)
    assert answer["transfers"] == pytest.approx(3.0, abs=1e-5)
    assert run(folder, "--transfer-budget", "0")["shortage"] == pytest.approx(5.0)


def test_the_plan_can_be_written_as_tables(tmp_path):
    folder = write_folder(tmp_path / "plan")
    run(folder, "--output", str(tmp_path / "tables"))
    moves = pd.read_csv(tmp_path / "tables" / "moves.csv")
    assert moves["amount"].sum() == pytest.approx(4.0, abs=1e-3)
    assert set(moves["origin"]) == {"A"}
    assert pd.read_csv(tmp_path / "tables" / "shortage.csv")["shortage"].sum() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("changes", "words"), [
    ({"links": "origin,destination,distance_km\nA,B,56\nB,Z,56\n"}, r"links\.csv line 3, column 'destination': got 'Z', expected a site"),
    ({"links": "origin,destination,distance_km\nA,B,56\nB,B,0\n"}, r"links\.csv line 3, column 'destination'.*other than the origin"),
    ({"capacity": "site,resource,capacity\nA,icu_bed,-4\nB,icu_bed,9\n"}, r"capacity\.csv line 2, column 'capacity': got '-4'"),
    ({"capacity": "site,resource,capacity\nA,icu_bed,nan\nB,icu_bed,9\n"}, r"capacity\.csv line 2, column 'capacity': got 'nan'"),
    ({"arrivals": "date,site,resource,arrivals\n2021-01-01,A,icu_bed,\n"}, r"arrivals\.csv line 2, column 'arrivals'"),
    ({"arrivals": "date,site,resource,arrivals\n"}, r"arrivals\.csv: expected a header line and at least one row"),
    ({"sites": "site,latitude,longitude\nA,50,10\nB,50.5,10\nC,51,10\n"}, r"sites\.csv line 4, column 'site': got 'C'.*reach or leave"),
    ({"stay": "day,survival\n0,1\n1,1.5\n"}, r"stay\.csv line 3, column 'survival': got '1.5'"),
    ({"resources": "resource,kind,unit,requires\nicu_bed,bed,bed-day,1 nurse\nnurse,staff,nurse,1 icu_bed\n"},
     r"resources\.csv line \d, column 'requires'.*no circle"),
    # No calendar holds so many days.
    ({"resources": "resource,kind,unit,shelf_life_days\nicu_bed,bed,bed-day,99999999999999999999\n"}, r"resources\.csv line 2, column 'shelf_life_days'.*36500"),
    ({"links": "origin,destination,distance_km,lead_days\nA,B,56,1e308\n"}, r"links\.csv line 2, column 'lead_days': got '1e308'.*36500"),
    ({"arrivals": None, "initial": None}, r"demand\.csv: expected a file of this name")])
def test_bad_folders_are_refused_with_the_place(tmp_path, changes, words):
    with pytest.raises(MedlibError, match=words):
        pose_folder(write_folder(tmp_path / "bad", **changes), Rules.without_limits())


def test_gaps_in_demand_are_refused(tmp_path):
    demand = "date,site,resource,demand\n2021-01-01,A,icu_bed,5\n2021-01-02,A,icu_bed,5\n2021-01-02,B,icu_bed,5\n"
    folder = write_folder(tmp_path / "gap", demand=demand, arrivals=None, initial=None, stay=None)
    with pytest.raises(MedlibError, match="demand has no number for B, icu_bed on 2021-01-01"):
        pose_folder(folder, Rules.without_limits())


@pytest.mark.parametrize(("options", "words"), [
    (["--minimise", "regret"], "minimise must be one of shortage, transfers, cost; got 'regret'"),
    (["--max-shortage", "-1"], "max_shortage must be at least 0; got -1.0"),
    (["--transfer-budget", "-5"], "transfers_in_all must be at least 0; got -5.0"),
    (["-p", "speed=3"], "A rule is given as NAME=VALUE; got 'speed=3'"), (["-p", "los_days=long"], "los_days takes a number")])
def test_bad_options_are_refused_in_words(tmp_path, options, words):
    with pytest.raises(MedlibError, match=words):
        result = run(write_folder(tmp_path / "good"), *options)
        raise result.exception
    assert not (tmp_path / "good" / "answer.json").exists()


def test_what_conflicts_is_told_and_the_cheapest_way_out(tmp_path):
    result = run(write_folder(tmp_path / "good"), "--max-shortage", "0.5")
    assert result.exit_code == 2 and not (tmp_path / "good" / "answer.json").exists()
    assert "These cannot hold together" in result.stderr and "shortage is at most 0.5" in result.stderr
    assert "The cheapest way out: let shortage be" in result.stderr and "Solving with that confirms it" in result.stderr


def test_an_export_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    result = CliRunner().invoke(app, ["export", "sample", str(tmp_path)])
    assert isinstance(result.exception, MedlibError) and "is not an empty folder" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
