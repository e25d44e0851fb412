"""Run notebooks in order into one folder, with a manifest, and go on after a failure.

``reports/<run>/`` holds ``run.json`` (the manifest), ``notebooks/`` (as executed), ``tables/`` (the workspace) and
``report.html``. Only this module knows papermill.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path

from medlib import catalog, tables
from medlib.allocate import Rules
from medlib.errors import MedlibError
from medlib.recognise.working import wants_count
from medlib.report.page import write_page
from medlib.report.pipeline import NOTEBOOKS, Notebook, check_parameters, list_notebooks, order_chain

REPORTS = tables.PROJECT / "reports"
#: The notebook whose outputs are the report.
REPORT = "50_report"
#: Packages whose versions are recorded.
PACKAGES = ("medlib", "highspy", "matplotlib", "numpy", "optuna", "pandas", "pandera", "papermill", "pulp", "quantile-forest",
            "scikit-learn", "scipy", "torch")

#: Called with (notebook, position, notebooks in all, cells done, cells in all).
Progress = Callable[[Notebook, int, int, int, int], None]


class RunFailed(Exception):
    """A notebook failed. The message has three lines: the notebook, the cell, the reason.

    Parameters
    ----------
    message : str
    mistake : bool
        The reason is the user's to mend.
    """

    def __init__(self, message: str, mistake: bool):
        super().__init__(message)
        self.mistake = mistake


def start_run(given: dict[str, object], targets: list[str], run_name: str = "", progress: Progress | None = None) -> Path:
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

    Returns
    -------
    pathlib.Path
        The run's folder.

    Raises
    ------
    MedlibError
        A parameter, notebook or dataset is not what it should be; nothing was written.
    RunFailed
        A notebook failed; everything made so far is kept.
    """
    chain = order_chain(targets, list_notebooks(), given)
    parameters = check_parameters(given, chain)
    _check_values(parameters)
    if "dataset" in parameters:
        parameters["dataset"] = catalog.locate_dataset(str(parameters["dataset"]))
    folder = _make_folder(run_name or _name_run(parameters))
    manifest = {"run": folder.name, "status": "running", "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "parameters": parameters, "datasets": [], "seed": parameters.get("seed"), "seconds": 0.0,
                "git_commit": read_commit(), "versions": list_versions(), "ladder": {}, "error": None,
                "targets": targets, "notebooks": [_wait(notebook) for notebook in chain]}
    return _go_on(folder, manifest, chain, progress)


def resume_run(run_name: str = "", progress: Progress | None = None) -> Path:
    """Go on with a run that failed or was stopped; notebooks that were done are not run again.

    Parameters
    ----------
    run_name : str
        The run; the youngest unfinished one where empty.

    Raises
    ------
    MedlibError
        There is no such run, or it is complete.
    """
    manifests = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in REPORTS.glob("*/run.json")}
    unfinished = {name: manifest for name, manifest in manifests.items() if manifest["status"] != "done"}
    if run_name in manifests and run_name not in unfinished:
        raise MedlibError(f"Run {run_name!r} is complete; there is nothing to resume.")
    if run_name and run_name not in unfinished:
        raise MedlibError(f"There is no run {run_name!r} to resume; unfinished are: {', '.join(unfinished) or 'none'}.")
    if not unfinished:
        raise MedlibError("There is no unfinished run to resume.")
    name = run_name or max(unfinished, key=lambda name: unfinished[name]["started"])
    manifest, before = unfinished[name], {row["name"]: row for row in unfinished[name]["notebooks"]}
    # What a notebook reads may have changed since, so the chain is made anew.
    chain = order_chain(manifest["targets"], list_notebooks(), manifest["parameters"])
    rows = [before.get(notebook.name, _wait(notebook)) for notebook in chain]
    return _go_on(REPORTS / name, manifest | {"status": "running", "error": None, "notebooks": rows}, chain, progress)


def _wait(notebook: Notebook) -> dict:
    return {"name": notebook.name, "status": "waiting", "seconds": None}


def _go_on(folder: Path, manifest: dict, chain: list[Notebook], progress: Progress | None) -> Path:
    started, before = time.monotonic(), manifest["seconds"]
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, manifest)
    for position, (notebook, row) in enumerate(zip(chain, manifest["notebooks"])):
        if row["status"] == "done":
            continue
        row["status"], began = "running", time.monotonic()
        _write_manifest(folder, manifest)
        error = _execute(notebook, folder, manifest["parameters"],
                         lambda done, cells: progress and progress(notebook, position, len(chain), done, cells))
        row["seconds"] = round(time.monotonic() - began, 1)
        row["status"] = "failed" if error else "done"
        manifest["seconds"] = round(before + time.monotonic() - started, 1)
        _collect(folder, manifest)
        if error:
            manifest |= {"status": "failed", "error": error}
            _write_manifest(folder, manifest)
            raise RunFailed(f"notebook: {error['notebook']}\ncell: {error['cell']}\nreason: {error['reason']}",
                            error["mistake"])
        _write_manifest(folder, manifest)
    manifest["status"] = "done"
    if chain[-1].name == REPORT:
        write_page(folder, manifest)
    manifest["seconds"] = round(before + time.monotonic() - started, 1)
    _write_manifest(folder, manifest)
    return folder


def _execute(notebook: Notebook, folder: Path, parameters: dict, on_cell: Callable[[int, int], None]) -> dict | None:
    """Execute one notebook into the run; returns what went wrong, or None."""
    import papermill
    from jupyter_client import AsyncKernelManager
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    class CountingEngine(NBClientEngine):
        """papermill's own engine, telling how many cells are done."""

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            complete, count = nb_man.cell_complete, len(nb_man.nb.cells)

            def cell_complete(cell, cell_index=None, **more):
                complete(cell, cell_index=cell_index, **more)
                on_cell((cell_index or 0) + 1, count)

            nb_man.cell_complete = cell_complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    sockets = tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True)

    class LocalKernelManager(AsyncKernelManager):
        """Kernels that talk over files of their own instead of network ports, where the system can."""

        if os.name != "nt":
            # Unless told, all kernels take kernel-ipc-1 to -5 in the notebooks' folder, and two runs at once get mixed up.
            transport, ip = "ipc", f"{sockets.name}/kernel"

        async def start_kernel(self, **options):
            """Start a kernel whose last words at shut-down don't reach the user; what a cell prints is kept as ever."""
            return await super().start_kernel(stderr=subprocess.DEVNULL, **options)

    papermill_engines.register("counting", CountingEngine)
    own = {name: value for name, value in parameters.items() if name in notebook.parameters}
    workspace = (folder / "tables").relative_to(tables.PROJECT).as_posix()
    on_cell(0, 1)
    try:
        with sockets:
            papermill.execute_notebook(notebook.path, folder / "notebooks" / notebook.path.name,
                                       parameters=own | {"workspace": workspace}, engine_name="counting", progress_bar=False,
                                       kernel_name="python3", kernel_manager_class=LocalKernelManager,
                                       extra_arguments=["--log-level=CRITICAL"], cwd=NOTEBOOKS)
    except PapermillExecutionError as error:
        reason = re.sub(r"\s+", " ", f"{error.evalue}" if error.ename == "MedlibError" else f"{error.ename}: {error.evalue}")
        cell = error.source.strip().splitlines()[0] if error.source.strip() else ""
        return {"notebook": notebook.name, "cell": f"{error.exec_count} ({cell})", "reason": reason.strip(),
                "mistake": error.ename == "MedlibError"}
    except Exception as error:  # a kernel that died or would not start leaves no cell error
        reason = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        return {"notebook": notebook.name, "cell": "unknown", "reason": reason, "mistake": False}
    return None


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


def _write_manifest(folder: Path, manifest: dict) -> None:
    part = folder / ".run.json.part"
    part.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, folder / "run.json")


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
    for name in ("horizon", "origins", "trees"):
        if parameters.get(name, 1) < 1:
            raise MedlibError(f"{name} must be at least 1; got {parameters[name]}.")
    Rules(**{field.name: parameters[field.name] for field in fields(Rules) if field.name in parameters})


def _name_run(parameters: dict) -> str:
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(str(parameters.get("dataset", "run"))).name).strip("-") or "run"
    return f"{dataset}-{datetime.now():%Y%m%d-%H%M%S}"


def _make_folder(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise MedlibError(f"A run's name consists of letters, digits, '.', '_' and '-'; got {name!r}.")
    folder = REPORTS / name
    if folder.exists():
        manifest = folder / "run.json"
        started = json.loads(manifest.read_text(encoding="utf-8"))["started"] if manifest.is_file() else "unknown"
        kept = REPORTS / f"{name}.{re.sub(r'[^0-9]', '', started)[:14] or 'older'}"
        while kept.exists():
            kept = kept.with_name(kept.name + "x")
        folder.rename(kept)
    folder.mkdir(parents=True)
    return folder


def read_commit() -> str:
    """Commit of the checkout, with '+' where files were changed since; empty where git or the history is missing."""
    try:
        options = {"cwd": tables.PROJECT, "capture_output": True, "text": True, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        return commit + ("+" if subprocess.run(["git", "status", "--porcelain"], **options).stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def list_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
