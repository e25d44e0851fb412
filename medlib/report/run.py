"""Run notebooks in order into one folder, with a manifest, and go on after a failure.

``reports/<run>/`` holds ``run.json`` (the manifest), ``notebooks/`` (as executed), ``tables/`` (the workspace) and
``report.html``. Each of them is whole at any moment, whatever is killed, and one process at a time works on a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

from medlib import catalog, tables
from medlib.allocate import Rules
from medlib.errors import MedlibError
from medlib.language import check_language
from medlib.recognise.working import wants_count
from medlib.report.files import remove_parts, tell_trouble
from medlib.report.gate import check_release, tell_findings
from medlib.report.kernel import execute_notebook
from medlib.report.lock import Lock, lock_run
from medlib.report.manifest import (check_name, choose_run, list_versions, make_folder, name_run, read_commit, read_manifests,
                                    write_manifest)
from medlib.report.page import write_page
from medlib.report.pipeline import Notebook, check_parameters, list_notebooks, order_chain
from medlib.report.secrets import hide, read_secrets

REPORTS = tables.PROJECT / "reports"
#: The notebook whose outputs are the report.
REPORT = "50_report"
#: Minutes that one notebook may take, unless the run says otherwise.
TIME_LIMIT = 60.0
#: Called with (notebook, position, notebooks in all, cells done, cells in all).
Progress = Callable[[Notebook, int, int, int, int], None]


class RunFailed(Exception):
    """A run ended before its end. The message has three lines where a notebook failed: the notebook, the cell, the reason; else the reason.

    Parameters
    ----------
    message : str
    mistake : bool
        The reason is the user's to mend.
    """

    def __init__(self, message: str, mistake: bool):
        super().__init__(message)
        self.mistake = mistake


def start_run(given: dict[str, object], targets: list[str], run_name: str = "", progress: Progress | None = None, *,
              time_limit: float = TIME_LIMIT, smallest_count: int | None = None, accepted: Sequence[str] = ()) -> Path:
    """Run the targets and what they need in a fresh run folder.

    Parameters
    ----------
    given : dict
        Parameters that differ from the defaults.
    targets : list of str
        Names of notebooks.
    run_name : str
        Name of the folder below reports/; made from dataset and time where empty. An older run of that name is kept
        beside it under its starting time.
    progress : callable, optional
    time_limit : float
        Minutes that each notebook may take.
    smallest_count : int, optional
        The least count of people that may be shown (`medlib.report.gate.choose_threshold` where left out).
    accepted : sequence of str
        Places that the gate names and a person has looked at.

    Returns
    -------
    pathlib.Path
        The run's folder.

    Raises
    ------
    MedlibError
        A parameter, notebook or dataset is not what it should be, the run is going on already, or the reports folder
        can't be written; nothing was written.
    RunFailed
        A notebook failed, the gate found something, or a file could not be written; everything made so far is kept.
    """
    chain, parameters = prepare_run(given, targets, list_notebooks())
    check_limit(time_limit)
    if "dataset" in parameters:
        parameters["dataset"] = catalog.locate_dataset(str(parameters["dataset"]))
    name = check_name(run_name or name_run(REPORTS, parameters))
    number = 1 + max((before.get("number", 0) for before in read_manifests(REPORTS).values()), default=0)
    manifest = make_manifest(name, chain, parameters, targets, time_limit, smallest_count, accepted) | {"number": number}
    with _take(name) as lock:
        folder = make_folder(REPORTS, name, manifest)
        return _go_on(folder, manifest, chain, progress, lock)


def prepare_run(given: dict[str, object], targets: list[str], notebooks: dict[str, Notebook]) -> tuple[list[Notebook], dict[str, object]]:
    """Return the notebooks that a run takes, in order, and all its parameters, checked; a dataset is not looked for yet.

    Raises
    ------
    MedlibError
        A parameter or notebook is not what it should be.
    """
    chain = order_chain(targets, notebooks, given)
    parameters = check_parameters(given, chain)
    _check_values(parameters)
    read_secrets(parameters)
    return chain, parameters


def make_manifest(name: str, chain: list[Notebook], parameters: dict[str, object], targets: Sequence[str], time_limit: float,
                  smallest_count: int | None, accepted: Sequence[str], git_commit: str | None = None) -> dict:
    """Return the manifest of a run that begins now; without a commit, that of the checkout stands in it."""
    return {"run": name, "number": 1, "status": "running", "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "parameters": parameters, "datasets": [], "seed": parameters.get("seed"), "seconds": 0.0,
            "git_commit": read_commit() if git_commit is None else git_commit, "versions": list_versions(), "ladder": {}, "error": None,
            "stops": [], "time_limit": time_limit, "smallest_count": smallest_count, "accepted": list(accepted),
            "targets": list(targets), "notebooks": [_wait(notebook) for notebook in chain]}


def run_at_home(home: Path, manifest: dict, progress: Progress | None = None, environment: Mapping[str, str] | None = None,
                warm: bool = False) -> Path:
    """Run a manifest's notebooks in a folder that holds all they need, its own notebooks/ and data/ among it; nothing else is read.

    Parameters
    ----------
    home : pathlib.Path
        Fresh folder; the run's own is made in its reports/.
    manifest : dict
        As from `make_manifest`, checked before.
    progress : callable, optional
    environment : mapping of str to str, optional
        What the kernels' environment holds besides this process's.
    warm : bool
        As in `medlib.report.kernel.execute_notebook`.

    Raises
    ------
    RunFailed
        As `start_run`.
    """
    chain = order_chain(manifest["targets"], list_notebooks(home / "notebooks"), manifest["parameters"])
    (home / "reports").mkdir(exist_ok=True)
    with lock_run(home / "reports" / ".locks" / manifest["run"]) as lock:
        folder = make_folder(home / "reports", manifest["run"], manifest)
        return _go_on(folder, manifest, chain, progress, lock, home, environment, warm)


def resume_run(run_name: str = "", progress: Progress | None = None, *, time_limit: float | None = None,
               accepted: Sequence[str] = ()) -> Path:
    """Go on with a run that failed or was stopped; notebooks that were done are not run again.

    Parameters
    ----------
    run_name : str
        The run; the youngest unfinished one where empty.
    progress : callable, optional
    time_limit : float, optional
        Minutes that each notebook may take, where it is to be another limit than before.
    accepted : sequence of str
        Further places that a person has looked at.

    Raises
    ------
    MedlibError
        There is no such run, it is complete, or it is still going on.
    RunFailed
        As `start_run`.
    """
    name = choose_run(REPORTS, run_name)
    with _take(name) as lock:
        manifest = read_manifests(REPORTS)[choose_run(REPORTS, name)]  # as it is now that nobody else works on it
        manifest |= {"parameters": hide(manifest["parameters"]), "time_limit": time_limit or manifest.get("time_limit", TIME_LIMIT),
                     "accepted": [*manifest.get("accepted", []), *accepted]}
        check_limit(manifest["time_limit"])
        # What a notebook reads may have changed since, so the chain is made anew.
        chain = order_chain(manifest["targets"], list_notebooks(), manifest["parameters"])
        before = {row["name"]: row for row in manifest["notebooks"]}
        rows = [before.get(notebook.name, _wait(notebook)) for notebook in chain]
        stops = [*manifest.get("stops", []), manifest["error"]["reason"] if manifest["error"] else "killed or interrupted"]
        manifest |= {"status": "running", "error": None, "stops": stops, "notebooks": rows}
        return _go_on(REPORTS / name, manifest, chain, progress, lock)


@contextmanager
def _take(name: str) -> Iterator[Lock]:
    """Hold the run's lock; what the system refuses before anything is written is told in one sentence."""
    try:
        with lock_run(REPORTS / ".locks" / name) as lock:
            yield lock
    except OSError as error:
        raise MedlibError(tell_trouble(error).replace("go on with `medlib run --resume`", "start the run again")) from None


def _wait(notebook: Notebook) -> dict:
    return {"name": notebook.name, "status": "waiting", "seconds": None}


def _go_on(folder: Path, manifest: dict, chain: list[Notebook], progress: Progress | None, lock: Lock, home: Path | None = None,
           environment: Mapping[str, str] | None = None, warm: bool = False) -> Path:
    """Run what is not done, and tell in the manifest how it ended."""
    try:
        remove_parts(folder)
        (folder / "notebooks").mkdir(exist_ok=True)
        write_manifest(folder, manifest)
        _run_chain(folder, manifest, chain, progress, lock, home, environment, warm)
    except RunFailed:
        raise
    except Exception as error:
        mistake = isinstance(error, MedlibError)
        reason = tell_trouble(error) if isinstance(error, OSError) else f"{error}" if mistake else f"{type(error).__name__}: {error}"
        _stop(folder, manifest, {"notebook": None, "cell": None, "reason": reason, "mistake": mistake}, error)
    return folder


def _run_chain(folder: Path, manifest: dict, chain: list[Notebook], progress: Progress | None, lock: Lock, home: Path | None,
               environment: Mapping[str, str] | None, warm: bool) -> None:
    started, before, secrets = time.monotonic(), manifest["seconds"], read_secrets(manifest["parameters"])
    for position, (notebook, row) in enumerate(zip(chain, manifest["notebooks"])):
        if row["status"] == "done":
            continue
        row["status"], began = "running", time.monotonic()
        write_manifest(folder, manifest)
        own = {name: value for name, value in manifest["parameters"].items() if name in notebook.parameters}
        own["workspace"] = _forget_tables(folder, notebook).relative_to(home or tables.PROJECT).as_posix()
        error = execute_notebook(notebook, folder, own,
                                 lambda done, cells: progress and progress(notebook, position, len(chain), done, cells),
                                 60 * manifest["time_limit"], lock, secrets, home, environment, warm)
        row["seconds"] = round(time.monotonic() - began, 1)
        row["status"] = "failed" if error else "done"
        manifest["seconds"] = round(before + time.monotonic() - started, 1)
        if error:
            _stop(folder, manifest, error)
        _collect(folder, manifest)
        write_manifest(folder, manifest)
    if chain[-1].name == REPORT:
        if findings := check_release(folder, manifest, secrets, home):
            raise MedlibError(tell_findings(findings, manifest["run"]))
        write_page(folder, manifest | {"status": "done"})
    manifest |= {"status": "done", "seconds": round(before + time.monotonic() - started, 1)}
    write_manifest(folder, manifest)


def _stop(folder: Path, manifest: dict, error: dict, cause: Exception | None = None) -> None:
    """Write down why the run ends, where the disk still takes it, and say so."""
    with suppress(OSError):
        remove_parts(folder)
        write_manifest(folder, manifest | {"status": "failed", "error": error})
    where = f"notebook: {error['notebook']}\ncell: {error['cell']}\nreason: " if error["notebook"] else ""
    raise RunFailed(where + error["reason"], error["mistake"]) from cause


def _forget_tables(folder: Path, notebook: Notebook) -> Path:
    """Remove what a notebook that was not done has written already, so that it finds what it would find undisturbed; gives the workspace."""
    workspace = folder / "tables"
    for name in set(notebook.writes) - set(notebook.reads):
        for file in workspace.glob(f"{name}.parquet*"):
            file.unlink()
    return workspace


def _collect(folder: Path, manifest: dict) -> None:
    """Take over into the manifest what the tables say about data and ladder."""
    workspace = folder / "tables"
    if tables.has("sources", workspace):
        sources = tables.read("sources", workspace)
        manifest["datasets"] = json.loads(sources.to_json(orient="records", date_format="iso"))
    if tables.has("ladder", workspace):
        ladder = tables.read("ladder", workspace)
        rows = ladder[ladder["resource"] == "all"].set_index("rung")
        shown = rows[["shortage", "transfers", "gap_closed", "distance_km", "cost", "bound"]]
        manifest["ladder"] = json.loads(shown.to_json(orient="index"))


def check_limit(minutes: float) -> None:
    """Refuse a time limit that is none."""
    if not minutes > 0:
        raise MedlibError(f"The time limit must be more than 0 minutes; got {minutes:g}.")


def _check_values(parameters: dict) -> None:
    as_of = str(parameters.get("as_of") or "")
    if as_of:
        try:
            plain = date.fromisoformat(as_of).isoformat() == as_of  # weeks and dates without dashes are ISO dates too
        except ValueError:
            plain = False
        if not plain:
            raise MedlibError(f"as_of must be a date YYYY-MM-DD; got {as_of!r}.")
    wants_count(str(parameters.get("supply_from", "stated")))
    check_language(str(parameters.get("language", "en")))
    for name in ("horizon", "origins", "trees"):
        if parameters.get(name, 1) < 1:
            raise MedlibError(f"{name} must be at least 1; got {parameters[name]}.")
    Rules(**{field.name: parameters[field.name] for field in fields(Rules) if field.name in parameters})
