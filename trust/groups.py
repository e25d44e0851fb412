"""Whom the models fail: every subgroup gets its figures with intervals, or is too small to be told.

A group holds if it has its figures, not if they are good: what they say stands beside it.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from medlib import forecast, tables, validate
from medlib.catalog.people import load_people
from medlib.catalog.stays import load_stays
from medlib.explain import groups
from medlib.patients import condition, needs, risks
from medlib.recognise.panels import DESIGNS, KINDS, STATES, draw_panel, draw_panels
from medlib.recognise.pictures import PictureClassifier
from trust import Trial

HORIZON, LEVELS = 14, (0.05, 0.25, 0.5, 0.75, 0.95)


def check_groups() -> list[Trial]:
    """Check every subgroup of sites, devices, stays and people; less than a minute in all."""
    return [trial for name, compare in COMPARISONS.items() for trial in list_trials(name, compare())]


def compare_sites() -> pd.DataFrame:
    """The demand forest on the sample, as of 26 past dates: sites, regions, resources and thirds of sites by population."""
    demand, sites = tables.read("demand", "data/sample"), tables.read("sites", "data/sample").set_index("site")
    past = forecast.choose_origins(demand, HORIZON, 26)
    make = lambda: forecast.RandomForest(HORIZON, levels=LEVELS, trees=30, rows=8000)
    cases, measures = groups.judge_forecasts(validate.roll_models({"forest": make}, demand, past, HORIZON, learn_every=9), demand)
    cases = cases.assign(region=cases["site"].map(sites["region"]), size=cases["site"].map(groups.class_sizes(sites["population"])))
    return groups.compare_groups(cases, measures, ["site", "region", "resource", "size"], "as_of")


def compare_devices() -> pd.DataFrame:
    """A small picture network: kinds and designs of devices, two of the designs never seen, each picture a device of its own."""
    network = PictureClassifier(epochs=5).fit(*draw_panels(800, ["north", "east"], 1, loose=True))
    random = np.random.default_rng(2)
    cases = pd.DataFrame([(kind, design, state) for kind in KINDS for design in DESIGNS for state in STATES for _ in range(10)],
                         columns=["kind", "design", "state"]).rename_axis("device").reset_index()
    answers = network.predict(np.stack([draw_panel(row.kind, row.state, row.design, random) for row in cases.itertuples()]))
    called = pd.Series(np.array(STATES)[answers])
    measures = {"misjudged (share)": groups.measure_share(called != cases["state"]),
                "called working though not (share)": groups.measure_share(called == "working", cases["state"] != "working")}
    return groups.compare_groups(cases, measures, ["kind", "design"], "device", block=1)


def compare_stays() -> pd.DataFrame:
    """Who gets worse: units and age groups, and sexes where the eICU demo is at hand; else the made-up stays."""
    data = load_stays("eicu_demo" if os.environ.get("MEDLIB_MIRROR") else "sample")
    values, _ = condition.arrange_hours(data.vitals, data.stays)
    model = {"network": condition.RecurrentClassifier(nets=1, epochs=5)}
    found = risks.cross_predict(model, values, data.stays["worse"].to_numpy(), data.stays["patient"].to_numpy(), folds=2)
    cases = data.stays.assign(age=groups.class_ages(data.stays["age_years"])).iloc[found["row"]].reset_index(drop=True)
    if "male" in cases:
        cases["sex"] = cases["male"].map({0.0: "female", 1.0: "male"}).fillna("unknown")
    by = [name for name in ("unit", "age", "sex") if name in cases]
    return groups.compare_groups(cases, groups.judge_risks(found), by, "patient", block=1)


def compare_people() -> pd.DataFrame:
    """Need of made-up people, by forests that saw nobody of their family: sexes, age groups, and the household head's race."""
    panel = load_people(stand_in=True)["panel"]
    rows = needs.pair_years(panel.rows, panel.outcomes, panel.need)
    features = rows[[name for name in rows if name in panel.features or name.startswith("last_")]]
    held = needs.hold_out(needs.NeedForest(trees=30), features, rows[panel.need], rows["family"])
    cases = rows.assign(sex=rows["female"].map({0: "male", 1: "female"}), age=groups.class_ages(rows["age_years"]),
                        household=rows["black_household"].map({True: "black", False: "other"}))
    return groups.compare_groups(cases, groups.judge_needs(rows[panel.need], held.mean), ["sex", "age", "household"], "family", block=1)


#: What is judged -> a table as from `medlib.explain.groups.compare_groups`.
COMPARISONS = {"demand forecast": compare_sites, "device pictures": compare_devices, "risk of getting worse": compare_stays,
               "need a person": compare_people}


def list_trials(name: str, table: pd.DataFrame) -> list[Trial]:
    """One trial a subgroup, held where each of its figures has a finite interval or is withheld as too small."""
    trials = []
    for (by, group), rows in table.groupby(["by", "group"], sort=False):
        given = np.isfinite(rows[["value", "low", "high"]]).all(axis=1) | rows["withheld"]
        title = group if group.startswith(by) else f"{by} {group}"
        trials.append(Trial(f"{name}: {title}", bool(given.all()), "; ".join(_tell(row) for row in rows.itertuples())))
    return trials


def _tell(row) -> str:
    if row.withheld:
        return f"{row.measure}: withheld, fewer than {groups.FEWEST_CASES} cases"
    flag = f", {'more' if row.difference > 0 else 'less'} than all others beyond chance" if row.flagged else ""
    # Two digits, from which no small count can be worked out.
    return f"{row.measure}: {row.value:.2g} ({row.low:.2g} to {row.high:.2g}) of about {row.count:.0f} cases{flag}"
