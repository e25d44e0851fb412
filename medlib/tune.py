"""Settings of forecasters: as text, as makers, and the search for better ones, which a killed run goes on with."""

from __future__ import annotations

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from medlib.errors import MedlibError
from medlib.forecast import Forecaster, SeasonalNaive, choose_origins, get_kind, make_forecaster, roll_forecasts
from medlib.tables import PROJECT, get_workspace
from medlib.validate import tabulate_losses

warnings.filterwarnings("ignore", "IProgress not found")  # bars in notebooks, which are never drawn here
import optuna
from optuna.trial import TrialState

if TYPE_CHECKING:
    from medlib.sweep.engines import Desk, Engine

optuna.logging.set_verbosity(optuna.logging.WARNING)
#: Settings of each forecaster that has any.
Settings = Mapping[str, Mapping[str, object]]
#: What is searched: the ends of a range, of whole numbers on the log scale, or two ways.
SPACES: dict[str, dict[str, tuple]] = {
    "random_forest": {"leaf": (2, 80), "extra": (False, True), "trends": (False, True)},
    "gradient_boosting": {"rounds": (20, 120), "trends": (False, True)},
    "recurrent_network": {"hidden": (16, 96), "epochs": (2, 12), "dropout": (0.0, 0.6), "noise": (0.0, 0.3)},
}
#: Fractions are searched in such steps: finer ones are lost in the noise.
STEP = 0.05


def list_settings(name: str) -> dict[str, object]:
    """Settings of a forecaster, with their defaults: what its constructor takes as a number, or as true or false."""
    found = {}
    for kind in reversed(get_kind(name).__mro__):
        found |= {parameter.name: parameter.default for parameter in inspect.signature(kind).parameters.values()
                  if type(parameter.default) in (int, float, bool) and parameter.name != "seed"}
    return found


def get_space(family: str) -> dict[str, tuple]:
    """What is searched of a family: the ends of each setting's range, or its two ways.

    Raises
    ------
    MedlibError
        The family cannot be tuned.
    """
    if family not in SPACES:
        raise MedlibError(f"Families that can be tuned are {', '.join(SPACES)}; got {family!r}.")
    return SPACES[family]


def parse_settings(text: str) -> dict[str, dict[str, object]]:
    """Read settings written `forecaster.setting=value`, with spaces between.

    Parameters
    ----------
    text : str
        May be empty. Whole numbers are at least 1, fractions from 0 to below 1, and the rest is true or false.

    Returns
    -------
    dict of str to dict
        Settings by forecaster.

    Raises
    ------
    MedlibError
        A word is not written so, names nothing that exists, stands twice, or has a value of another kind.

    Examples
    --------
    >>> parse_settings("random_forest.leaf=12 random_forest.extra=true")
    {'random_forest': {'leaf': 12, 'extra': True}}
    """
    settings: dict[str, dict[str, object]] = {}
    for word in text.split():
        place, _, value = word.partition("=")
        name, _, setting = place.partition(".")
        if not (name and setting and value):
            raise MedlibError(f"Settings are written forecaster.setting=value, with spaces between; got {word!r}.")
        known = list_settings(name)
        if setting not in known:
            raise MedlibError(f"The forecaster {name} has the settings {', '.join(known)}; got {setting!r}.")
        if setting in settings.get(name, {}):
            raise MedlibError(f"A setting is given once; got {place} twice.")
        settings.setdefault(name, {})[setting] = _read_value(place, value, type(known[setting]))
    return settings


def _read_value(place: str, text: str, kind: type) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    fits = {bool: lambda: True, int: lambda: value >= 1, float: lambda: 0 <= value < 1}
    if type(value) is not kind or not fits[kind]():
        words = {bool: "true or false", int: "a whole number of at least 1", float: "a number from 0 to below 1"}
        raise MedlibError(f"{place} must be {words[kind]}; got {text!r}.")
    return value


def format_settings(settings: Settings) -> str:
    """Write settings as `parse_settings` reads them."""
    return " ".join(f"{name}.{setting}={json.dumps(value)}" for name, given in settings.items() for setting, value in given.items())


def divide_origins(history: pd.DataFrame, horizon: int, searched: int, held_out: int) -> tuple[list, list]:
    """As-of dates for a search, and later ones that judge what it found; every outcome of the first is known at the second.

    Raises
    ------
    MedlibError
        The history is too short for so many.
    """
    past = choose_origins(history, horizon, searched + held_out)
    if len(past) < searched + held_out:
        raise MedlibError(f"The history has room for {len(past)} as-of dates a horizon of {horizon} apart; got {searched} to search and "
                          f"{held_out} held out, so ask for fewer or shorten the horizon.")
    return past[:searched], past[searched:]


def locate_study(workspace: str) -> Path:
    """File of a workspace's searches: beside its tables; for the committed sample in data/interim, which is not committed."""
    folder = PROJECT / "data" / "interim" if get_workspace(workspace) == PROJECT / "data" / "sample" else get_workspace(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "tuning.sqlite"


def search(family: str, history: pd.DataFrame, as_ofs: Sequence[pd.Timestamp], horizon: int, trials: int, file: Path,
           name: str = "search", fixed: Settings | None = None, seed: int = 1, engine: Engine | None = None, at_a_time: int = 1) -> optuna.Study:
    """Search a family's settings for the lowest mean weighted interval score relative to the seasonal-naive forecaster's.

    The first trial is the defaults. A trial forecasts as of one date after another, learning anew at each, and is given up where
    it does worse than half of the earlier trials did so far. What is found is stored trial by trial: called again with the same
    name, family, data and seed, the search goes on; a run that was killed loses the trial it was at, and ends where it would have.
    After a change to a forecaster's code take another name: what was found before is not searched again.

    Parameters
    ----------
    family : str
        A key of `SPACES`.
    history : pandas.DataFrame
        The `demand` table up to the last outcome that the search may see.
    as_ofs : sequence of pandas.Timestamp
        In ascending order, at least a horizon before the history's end.
    horizon : int
        Periods ahead.
    trials : int
        Trials in all, those of earlier runs included.
    file : Path
        SQLite file, made where it is missing. One process at a time may search in it.
    name : str
        Of the search.
    fixed : mapping, optional
        Settings, as from `parse_settings`, that are kept during the search, such as fewer trees.
    seed : int
        Of the search and the forecasters.
    engine : medlib.sweep.engines.Engine, optional
        An entered engine, whose workers judge the trials, each as of all dates; left out: this process does, one after another.
    at_a_time : int
        Trials that are drawn together and judged at a time. What is found depends on this number, for a trial learns nothing from
        those beside it; it depends neither on the engine nor on which trial ends first.

    Returns
    -------
    optuna.Study

    Raises
    ------
    MedlibError
        The family has no space, or the baseline is without error.

    References
    ----------
    Akiba et al. (2019), Optuna, KDD, doi:10.1145/3292500.3330701; Bergstra et al. (2011), Algorithms for hyper-parameter
    optimization, NeurIPS 24 (the sampler).
    """
    space = get_space(family)
    fixed = fixed or {}
    study = _open_study(file, f"{name}/{family}/{_digest(history, as_ofs, horizon, fixed, seed)}")
    naive = tabulate_losses(roll_forecasts(partial(SeasonalNaive, horizon), history, as_ofs, horizon), history)[SeasonalNaive.name]
    if not naive.mean() > 0:
        raise MedlibError("The seasonal-naive forecaster makes no error on the dates of the search, so there is nothing to search for.")

    def judge(trial: optuna.Trial) -> float:
        for setting, ends in space.items():
            _suggest(trial, setting, *ends)
        maker = partial(make_forecaster, family, horizon, seed, {family: {**fixed.get(family, {}), **read_settings(trial)}})
        return judge_settings(maker, naive, history, as_ofs, horizon, trial)

    if at_a_time < 1:
        raise MedlibError(f"at_a_time must be at least 1; got {at_a_time}.")
    while (done := len(study.get_trials(False, (TrialState.COMPLETE, TrialState.PRUNED)))) < trials:
        if engine is not None:
            count = min(at_a_time - done % at_a_time, trials - done)
            _judge_together(study, engine, family, history, as_ofs, horizon, fixed, seed, naive, range(done, done + count))
            continue
        if not done and not study.get_trials(False, (TrialState.WAITING,)):
            study.enqueue_trial({setting: list_settings(family)[setting] for setting in space})
        # A sampler of its own for each trial, so that what comes next depends on what was found and not on where a run began.
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=4, seed=seed + done)
        with threadpool_limits(1):  # as in medlib.validate.roll_models
            study.optimize(judge, n_trials=1)
    return study


def _judge_together(study: optuna.Study, engine: Engine, family: str, history: pd.DataFrame, as_ofs: Sequence[pd.Timestamp], horizon: int,
                    fixed: Settings, seed: int, naive: pd.Series, numbers: range) -> None:
    """Draw some trials, let an engine judge them, and tell the study in the order in which they were drawn."""
    asked = []
    for number in numbers:
        if not number and not study.get_trials(False, (TrialState.WAITING,)):
            study.enqueue_trial({setting: list_settings(family)[setting] for setting in SPACES[family]})
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=4, seed=seed + number)
        trial = study.ask()
        for setting, ends in SPACES[family].items():
            _suggest(trial, setting, *ends)
        trial.set_user_attr("together", True)  # all its settings are drawn
        asked.append(trial)
    data = engine.share((history, list(as_ofs)))
    for trial in asked:
        settings = {family: {**fixed.get(family, {}), **read_settings(trial)}}
        engine.submit(str(trial.number), measure_losses, family, settings, data, horizon, seed)
    found = dict(engine.collect())
    for trial in asked:
        if isinstance(found[str(trial.number)], Exception):
            raise found[str(trial.number)]
        _tell(study, trial, found[str(trial.number)], naive)


def measure_losses(family: str, settings: Settings, data: tuple[pd.DataFrame, Sequence[pd.Timestamp]], horizon: int, seed: int, desk: Desk) -> list[float]:
    """Mean loss as of each date with these settings: what an engine's worker does for one trial."""
    history, as_ofs = data
    maker = partial(make_forecaster, family, horizon, seed, settings)
    with threadpool_limits(1):
        return [tabulate_losses(roll_forecasts(maker, history, [as_of], horizon), history).iat[0, 0] for as_of in as_ofs]


def _tell(study: optuna.Study, trial: optuna.Trial, losses: Sequence[float], naive: pd.Series) -> None:
    """Tell a trial date by date, as `judge_settings` would have, and give it up where that would have been given up."""
    for step in range(len(losses)):
        relative = float(np.mean(losses[:step + 1]) / naive.iloc[:step + 1].mean())
        trial.report(relative, step)
        if trial.should_prune() and step < len(losses) - 1:
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, relative)


def _open_study(file: Path, name: str) -> optuna.Study:
    """Open or make a study; trials that a killed run left behind are marked as failed.

    Several may have been drawn together and some of them told: the others are drawn again, as they were, so that they do not learn from those.
    """
    study = optuna.create_study(storage=f"sqlite:///{file}", study_name=name, load_if_exists=True,
                                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1))
    drawn = study.get_trials(False, (TrialState.RUNNING,))
    for trial in drawn:
        study.tell(trial.number, state=TrialState.FAIL)
    for trial in (trial for trial in drawn if trial.user_attrs.get("together")):
        study.enqueue_trial(trial.params)
    return study


def _digest(history: pd.DataFrame, *more: object) -> str:
    """What a search saw, in eight characters: a search on other data is another one."""
    seen = pd.util.hash_pandas_object(history, index=False).to_numpy().tobytes() + repr(more).encode()
    return hashlib.sha256(seen).hexdigest()[:8]


def _suggest(trial: optuna.Trial, setting: str, low: float, high: float) -> None:
    if isinstance(low, bool):
        trial.suggest_categorical(setting, (low, high))
    elif isinstance(low, int):
        trial.suggest_int(setting, low, high, log=True)
    else:
        trial.suggest_float(setting, low, high, step=STEP)


def read_settings(trial: optuna.Trial | optuna.trial.FrozenTrial) -> dict[str, object]:
    """Settings that a trial tried; steps of fractions leave no trace of their binary form."""
    return {setting: round(value, 2) if isinstance(value, float) else value for setting, value in trial.params.items()}


def judge_settings(maker: Callable[[], Forecaster], naive: pd.Series, history: pd.DataFrame, as_ofs: Sequence[pd.Timestamp],
                   horizon: int, trial: optuna.Trial) -> float:
    """Mean loss over the naive forecaster's (a value by as-of date), told to the trial after each as-of date, which may give up."""
    losses = []
    for step, as_of in enumerate(as_ofs):
        losses.append(tabulate_losses(roll_forecasts(maker, history, [as_of], horizon), history).iat[0, 0])
        relative = float(np.mean(losses) / naive.iloc[:step + 1].mean())
        trial.report(relative, step)
        if trial.should_prune() and step < len(as_ofs) - 1:
            raise optuna.TrialPruned
    return relative


def tabulate_trials(study: optuna.Study, family: str) -> pd.DataFrame:
    """The `tuning` table's rows of one search, rounded to three decimals; `used` marks the best whole trial."""
    best = study.best_trial.number
    rows = [{"model": family, "trial": trial.number, "settings": json.dumps(read_settings(trial)), "relative_wis": trial.value,
             "as_ofs": len(trial.intermediate_values), "state": {"fail": "failed"}.get(state := trial.state.name.lower(), state),
             "used": trial.number == best} for trial in study.get_trials(False)]
    return pd.DataFrame(rows).astype({"relative_wis": float}).round({"relative_wis": 3})


def weigh_settings(studies: Mapping[str, optuna.Study]) -> pd.DataFrame:
    """How much of the difference between trials each setting explains: model, setting, share (0 to 1 in all).

    A search with fewer than two different outcomes says nothing and is left out.
    """
    rows = [(name, setting, share) for name, study in studies.items()
            if len({trial.value for trial in study.get_trials(False, (TrialState.COMPLETE,))}) > 1
            for setting, share in optuna.importance.get_param_importances(study).items()]
    return pd.DataFrame(rows, columns=["model", "setting", "share"])
