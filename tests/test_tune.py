"""Settings as text and as makers; a search that goes on where it was killed, gives up early, and never sees the hold-out."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from medlib import tune
from medlib.errors import MedlibError
from medlib.forecast import FORECASTERS, SeasonalNaive, choose_origins, list_forecasters, make_forecaster, roll_forecasts
from medlib.schema import check_frame
from medlib.tables import PROJECT
from medlib.tune import (SPACES, format_settings, list_settings, locate_study, parse_settings, search, tabulate_trials)
from medlib.validate import rank_models, roll_models, tabulate_losses

HORIZON = 4
FIXED = {"random_forest": {"trees": 3, "rows": 500}}


def make_demand(days=90):
    """Three series with a weekly cycle; the same each time."""
    random, week = np.random.default_rng(0), np.array([1.5, 1.4, 1.2, 1.0, 0.9, 0.5, 0.5])
    dates = pd.date_range("2023-01-02", periods=days, unit="us")
    return pd.concat([pd.DataFrame({"date": dates, "site": site, "resource": "bed",
                                    "demand": random.poisson(level * week[np.arange(days) % 7]).astype(float)})
                      for site, level in (("A", 60), ("B", 25), ("C", 8))], ignore_index=True)


def look(demand, file, trials, **more):
    history = demand[demand["date"] <= choose_origins(demand, HORIZON, 2)[0]]
    return search("random_forest", history, choose_origins(history, HORIZON, 3), HORIZON, trials, file, fixed=FIXED, **more)


def list_tried(study):
    """Settings and values of the trials that were finished, in order."""
    return [(trial.params, trial.value, trial.state) for trial in study.get_trials() if trial.state.is_finished()
            and trial.state != TrialState.FAIL]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Eight trials in one go."""
    return look(make_demand(), tmp_path_factory.mktemp("whole") / "tuning.sqlite", 8)


# --- Settings as text ------------------------------------------------------------------------------------------------

def test_settings_are_read_in_the_kind_of_their_defaults():
    text = "random_forest.leaf=12 random_forest.extra=true\n recurrent_network.dropout=0 seasonal_naive.look_back=90"
    settings = parse_settings(text)
    assert settings == {"random_forest": {"leaf": 12, "extra": True}, "recurrent_network": {"dropout": 0.0},
                        "seasonal_naive": {"look_back": 90}}
    assert type(settings["recurrent_network"]["dropout"]) is float
    assert parse_settings(format_settings(settings)) == settings and parse_settings("  ") == {}


@pytest.mark.parametrize(("text", "said"), [
    ("leaf=12", "forecaster.setting=value, with spaces between; got 'leaf=12'"),
    ("random_forest.leaf", "got 'random_forest.leaf'"),
    ("random_forest.leaf=", "got 'random_forest.leaf='"),
    ("random_forest.leaf = 12", "got 'random_forest.leaf'"),
    ("random_florist.leaf=12", "are seasonal_naive, random_forest, gradient_boosting, recurrent_network; got 'random_florist'"),
    ("combination.leaf=12", "got 'combination'"),
    ("random_forest.leafs=12", "The forecaster random_forest has the settings .*leaf.*; got 'leafs'"),
    ("random_forest.horizon=12", "got 'horizon'"), ("random_forest.seed=2", "got 'seed'"), ("random_forest.levels=1", "got 'levels'"),
    ("random_forest.leaf=12 random_forest.leaf=12", "given once; got random_forest.leaf twice"),
    ("random_forest.leaf=0", "leaf must be a whole number of at least 1; got '0'"),
    ("random_forest.leaf=-3", "got '-3'"), ("random_forest.leaf=2.5", "got '2.5'"), ("random_forest.leaf=many", "got 'many'"),
    ("random_forest.leaf=true", "got 'true'"), ("random_forest.leaf=2,random_forest.trees=3", "got '2,random_forest.trees=3'"),
    ("random_forest.extra=1", "extra must be true or false; got '1'"), ("random_forest.extra=True", "got 'True'"),
    ("recurrent_network.dropout=1", "dropout must be a number from 0 to below 1; got '1'"),
    ("recurrent_network.dropout=-0.1", "got '-0.1'"), ("recurrent_network.dropout=NaN", "got 'NaN'")])
def test_what_is_not_a_setting_is_refused_in_one_sentence(text, said):
    with pytest.raises(MedlibError, match=said) as caught:
        parse_settings(text)
    message = str(caught.value)
    assert message.endswith(".") and ". " not in message and "\n" not in message


def test_every_setting_that_is_searched_exists_and_its_default_lies_inside():
    for family, space in SPACES.items():
        known = list_settings(family)
        for setting, (low, high) in space.items():
            assert type(known[setting]) is type(low) and low <= known[setting] <= high


def test_makers_make_what_was_set_and_leave_the_rest():
    demand = make_demand()
    settings = parse_settings("random_forest.leaf=7 recurrent_network.hidden=9 gradient_boosting.rounds=11")
    makers = list_forecasters(demand, HORIZON, 33, 5, FORECASTERS, settings)
    assert tuple(makers) == FORECASTERS
    forest, network = makers["combination"]().members
    assert (forest.leaf, forest.trees, forest.seed, network.hidden, network.dropout) == (7, 33, 5, 9, 0.4)
    assert (makers["random_forest"]().leaf, makers["gradient_boosting"]().rounds) == (7, 11)
    assert makers["random_forest"]() is not makers["random_forest"]()
    plain = list_forecasters(demand, HORIZON, 33, settings=parse_settings("random_forest.trees=4"))["random_forest"]()
    assert (plain.trees, plain.leaf) == (4, list_settings("random_forest")["leaf"])
    assert list(list_forecasters(demand.head(40), HORIZON, names=FORECASTERS)) == ["seasonal_naive"]


def test_settings_change_the_forecast():
    demand = make_demand()
    last = demand["date"].max()
    few, many = (make_forecaster("random_forest", HORIZON, settings={"random_forest": {"leaf": leaf, **FIXED["random_forest"]}}).fit(
        demand).predict(last, HORIZON) for leaf in (2, 80))
    assert (few["demand"] - many["demand"]).abs().max() > 1


# --- Search ----------------------------------------------------------------------------------------------------------

def test_the_defaults_come_first_and_the_best_whole_trial_is_used(found):
    trials = check_frame(tabulate_trials(found, "random_forest"), "tuning")
    assert trials["trial"].tolist() == list(range(8)) and set(trials["state"]) <= {"complete", "pruned"}
    assert json.loads(trials["settings"].iloc[0]) == {name: list_settings("random_forest")[name] for name in SPACES["random_forest"]}
    whole = trials[trials["state"] == "complete"]
    assert (whole["as_ofs"] == 3).all() and trials["used"].sum() == 1
    assert trials.loc[trials["used"], "relative_wis"].item() == whole["relative_wis"].min() < 2
    assert trials["settings"].nunique() > 5


def test_the_value_is_the_ratio_of_mean_losses_over_all_dates(found):
    """Recomputed from forecasts made in one go."""
    demand = make_demand()
    history = demand[demand["date"] <= choose_origins(demand, HORIZON, 2)[0]]
    settings = {"random_forest": {**FIXED["random_forest"], **found.best_params}}
    makers = list_forecasters(history, HORIZON, settings=settings)
    losses = tabulate_losses(roll_models(makers, history, choose_origins(history, HORIZON, 3), HORIZON), history)
    assert rank_models(losses).loc["random_forest", "relative_wis"] == pytest.approx(found.best_value)


def test_the_weights_of_settings_add_up(found):
    weights = tune.weigh_settings({"random_forest": found})
    assert set(weights["setting"]) == set(SPACES["random_forest"]) and weights["share"].sum() == pytest.approx(1)
    assert tune.weigh_settings({"x": optuna.create_study()}).empty


def test_fractions_are_written_as_they_are_read():
    trial = optuna.trial.create_trial(params={"dropout": 7 * 0.05, "hidden": 34}, value=1.0, distributions={
        "dropout": optuna.distributions.FloatDistribution(0, 0.6, step=0.05), "hidden": optuna.distributions.IntDistribution(16, 96)})
    assert trial.params["dropout"] != 0.35
    assert format_settings({"recurrent_network": tune.read_settings(trial)}) == (
        "recurrent_network.dropout=0.35 recurrent_network.hidden=34")


def test_a_search_goes_on_where_it_was_and_ends_where_it_would_have(found, tmp_path):
    file = tmp_path / "tuning.sqlite"
    first = list_tried(look(make_demand(), file, 3))
    assert len(first) == 3
    whole = list_tried(look(make_demand(), file, 8))
    assert whole[:3] == first and whole == list_tried(found)
    assert list_tried(look(make_demand(), file, 8)) == whole, "nothing is left to do"


def test_other_data_or_another_name_or_seed_is_another_search(found, tmp_path):
    file = tmp_path / "tuning.sqlite"
    look(make_demand(), file, 1)
    changed = make_demand()
    changed.loc[5, "demand"] += 1
    for demand, more in ((changed, {}), (make_demand(), {"name": "second"}), (make_demand(), {"seed": 2})):
        assert len(look(demand, file, 1, **more).get_trials()) == 1
    assert len(optuna.get_all_study_names(f"sqlite:///{file}")) == 4


def test_a_killed_search_loses_only_the_trial_it_was_at(found, tmp_path):
    """A process of its own is killed in the middle of its fifth trial."""
    file = tmp_path / "tuning.sqlite"
    script = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(PROJECT / "tests")!r})
        import test_tune
        from medlib import tune
        judge = tune.judge_settings

        def stop(*given):
            if given[-1].number == 4:
                print("in trial 4", flush=True)
                time.sleep(600)
            return judge(*given)

        tune.judge_settings = stop
        test_tune.look(test_tune.make_demand(), {str(file)!r}, 8)
        """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert process.stdout.readline().strip() == "in trial 4"
    finally:
        process.kill()
        process.wait()
    (name,) = optuna.get_all_study_names(f"sqlite:///{file}")
    left = optuna.load_study(study_name=name, storage=f"sqlite:///{file}").get_trials()
    assert [trial.state for trial in left].count(TrialState.RUNNING) == 1 and len(left) == 5
    study = look(make_demand(), file, 8)
    states = [trial.state for trial in study.get_trials()]
    assert states.count(TrialState.FAIL) == 1 and states[4] == TrialState.FAIL and TrialState.RUNNING not in states
    assert list_tried(study) == list_tried(found), "the same trials as without the accident"
    trials = check_frame(tabulate_trials(study, "random_forest"), "tuning")
    assert trials["state"].tolist().count("failed") == 1 and np.isnan(trials["relative_wis"].iloc[4]) and not trials["used"].iloc[4]


def test_a_trial_that_does_worse_than_most_is_given_up(tmp_path, monkeypatch):
    """Each trial's value is its number, so that every one after the first four lies above the median."""
    dates_judged = []

    def judge(maker, naive, history, as_ofs, horizon, trial):
        for step in range(len(as_ofs)):
            trial.report(1.0 + trial.number, step)
            dates_judged.append((trial.number, step))
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0 + trial.number

    monkeypatch.setattr(tune, "judge_settings", judge)
    trials = tabulate_trials(look(make_demand(), tmp_path / "tuning.sqlite", 7), "random_forest")
    assert trials["state"].tolist() == ["complete"] * 4 + ["pruned"] * 3
    assert trials["as_ofs"].tolist() == [3, 3, 3, 3, 2, 2, 2] and trials["used"].tolist() == [True] + [False] * 6
    assert dates_judged[-1] == (6, 1)


def test_trials_are_given_up_between_dates_and_never_after_the_last(monkeypatch):
    """The real judge: it tells the score so far after each date and heeds the answer."""
    demand = make_demand()
    as_ofs = choose_origins(demand, HORIZON, 4)
    maker = list_forecasters(demand, HORIZON, settings=FIXED)["random_forest"]
    naive = list_naive(demand, as_ofs)
    for last, steps in ((2, 3), (3, 4)):
        trial = Told(last)
        if last == 2:
            with pytest.raises(optuna.TrialPruned):
                tune.judge_settings(maker, naive, demand, as_ofs, HORIZON, trial)
        else:
            assert tune.judge_settings(maker, naive, demand, as_ofs, HORIZON, trial) == trial.told[-1]
        assert len(trial.told) == steps and 0.2 < trial.told[-1] < 3


def list_naive(history, as_ofs):
    return tabulate_losses(roll_forecasts(lambda: SeasonalNaive(HORIZON), history, as_ofs, HORIZON), history)["seasonal_naive"]


class Told:
    """A trial that would be given up at a step."""

    def __init__(self, last):
        self.last, self.told = last, []

    def report(self, value, step):
        assert step == len(self.told)
        self.told.append(value)

    def should_prune(self):
        return len(self.told) > self.last


def test_the_search_never_sees_what_the_hold_out_judges():
    """Nonsense after the search's last outcome changes no trial."""
    demand = make_demand()
    as_ofs = choose_origins(demand, HORIZON, 5)
    inner, outer = as_ofs[:3], as_ofs[3:]
    maker = list_forecasters(demand, HORIZON, settings=FIXED)["random_forest"]
    def judge(told):
        return tune.judge_settings(maker, list_naive(told, inner), told, inner, HORIZON, Told(99))

    def spoil(after):
        return demand.assign(demand=demand["demand"].where(demand["date"] <= after, 10_000.0))

    assert inner[-1] + pd.Timedelta(days=HORIZON) == outer[0]
    assert judge(spoil(outer[0])) == judge(demand)
    assert judge(spoil(outer[0] - pd.Timedelta(days=1))) != judge(demand)


def test_dates_are_divided_so_that_the_search_ends_before_the_hold_out():
    demand = make_demand(90)
    inner, outer = tune.divide_origins(demand, HORIZON, 3, 2)
    gaps = np.diff([*inner, *outer]) / pd.Timedelta(days=1)
    assert (len(inner), len(outer)) == (3, 2) and (gaps == HORIZON).all() and outer[-1] == demand["date"].max() - pd.Timedelta(days=HORIZON)
    # 90 days, of which the forest needs 53 before the first date: nine horizons of four days fit.
    assert len(tune.divide_origins(demand, HORIZON, 7, 2)[0]) == 7
    with pytest.raises(MedlibError, match="room for 9 as-of dates a horizon of 4 apart; got 8 to search and 2 held out"):
        tune.divide_origins(demand, HORIZON, 8, 2)


def test_an_unknown_family_is_refused(tmp_path):
    with pytest.raises(MedlibError, match="can be tuned are random_forest, gradient_boosting, recurrent_network; got 'combination'.$"):
        search("combination", make_demand(), [], HORIZON, 1, tmp_path / "x.sqlite")


def test_a_baseline_without_error_leaves_no_ratio_and_fails_the_search(tmp_path):
    """Constant demand: the naive forecaster is faultless."""
    demand = make_demand().assign(demand=4.0)
    with pytest.raises(MedlibError, match="nothing to search for"):
        look(demand, tmp_path / "tuning.sqlite", 2)


def test_the_sample_keeps_its_searches_outside_the_committed_folder(tmp_path):
    assert locate_study("data/sample") == PROJECT / "data" / "interim" / "tuning.sqlite"
    assert locate_study(str(tmp_path / "run" / "tables")) == tmp_path / "run" / "tables" / "tuning.sqlite"
    ignored = subprocess.run(["git", "check-ignore", "-q", "data/interim/tuning.sqlite"], cwd=PROJECT)
    assert ignored.returncode == 0
