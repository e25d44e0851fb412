"""Carry out a sweep: keep what is done, give the rest to an engine, and write down each result as it comes.

``reports/<sweep>/`` holds ``sweep.json``, ``index.html``, ``comparison.csv`` and a folder for each run. A sweep that was killed goes on
when the same command is given again.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medlib import tables
from medlib.errors import MedlibError
from medlib.report.files import remove_parts, tell_trouble, write_whole
from medlib.report.lock import lock_run
from medlib.report.run import REPORT
from medlib.sweep.engines import Engine, Lost
from medlib.sweep.index import write_comparison
from medlib.sweep.plan import Planned, Sweep
from medlib.sweep.progress import Board
from medlib.sweep.task import Outcome, execute_task, fail_task, unpack_folder

DIED = "the worker of this run died, most often because its memory was full or its machine went; start the same command again."


@dataclass(frozen=True)
class Summary:
    """How a sweep ended: its folder, and how many runs are done, were kept from before, and failed."""

    folder: Path
    done: int
    kept: int
    failed: int


def run_sweep(sweep: Sweep, engine: Engine, *, retries: int = 2, reports: Path | None = None,
              watch: Callable[[int, int, Callable[[], int]], Board] | None = None) -> Summary:
    """Run what of a sweep is not done yet.

    Parameters
    ----------
    sweep : Sweep
    engine : Engine
        Not entered yet: it is started only if something is left to do.
    retries : int
        How often a run is tried again whose worker or kernel died. What a cell raised is never tried again.
    reports : pathlib.Path, optional
        Where the sweep's folder stands; left out: the project's reports/.
    watch : callable, optional
        Returns the board that shows progress, from the count of runs, of those kept, and a function that gives the count of workers.

    Returns
    -------
    Summary

    Raises
    ------
    MedlibError
        The folder belongs to something else, the sweep is going on elsewhere, the engine can't be had, or a file can't be written.
    """
    reports = reports or tables.PROJECT / "reports"
    folder = reports / sweep.name
    try:
        with lock_run(reports / ".locks" / sweep.name):
            _claim_folder(folder, sweep)
            return _Conductor(sweep, folder, retries).conduct(engine, watch)
    except OSError as error:
        raise MedlibError(tell_trouble(error).replace("`medlib run --resume`", "the same command")) from None


def _claim_folder(folder: Path, sweep: Sweep) -> None:
    """Make the sweep's folder, or take it where it is one; sweep up what a killed process left."""
    if folder.exists() and not (folder / "sweep.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise MedlibError(f"{folder.name!r} below reports/ is no sweep, and nothing there is overwritten; give the sweep another name.")
    folder.mkdir(parents=True, exist_ok=True)
    remove_parts(folder)
    for half in folder.glob(".*.new"):
        shutil.rmtree(half, ignore_errors=True)


class _Conductor:
    """One sweep on its way; `rows` is what sweep.json tells of each run."""

    def __init__(self, sweep: Sweep, folder: Path, retries: int):
        self.sweep, self.folder, self.retries = sweep, folder, retries
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.runs = {run.name: run for run in sweep.runs}
        self.tries = dict.fromkeys(self.runs, 0)
        self.rows = {run.name: {"run": run.name, "parameters": run.varied, "fingerprint": run.fingerprint, "status": "waiting", "kept": False,
                                "tries": 0, "worker": "", "seconds": None, "ladder": {}, "reason": ""} for run in sweep.runs}

    def conduct(self, engine: Engine, watch: Callable | None) -> Summary:
        for run in self.sweep.runs:
            if manifest := _read_done(self.folder / run.name, run):
                self._note(run, manifest, kept=True)
        left = [run for run in self.sweep.runs if self.rows[run.name]["status"] != "done"]
        kept = len(self.runs) - len(left)
        self.engine, self.workers = engine.name, engine.workers
        self._write()
        try:
            if left:
                with (watch or _watch_nothing)(len(self.runs), kept, lambda: engine.workers) as board, engine:
                    self._run(left, engine, board)
        finally:
            self.workers = engine.workers
            self._write()
            write_comparison(self.folder, self.sweep, list(self.rows.values()))
        done = sum(row["status"] == "done" for row in self.rows.values())
        return Summary(self.folder, done, kept, len(self.runs) - done)

    def _run(self, left: list[Planned], engine: Engine, board: Board) -> None:
        engine.listen = board.hear
        shared = {key: engine.share(self.sweep.files[key]) for key in dict.fromkeys(run.files for run in left)}
        for run in left:
            engine.submit(run.name, execute_task, run.task, shared[run.files])
        for name, result in engine.collect():
            run = self.runs[name]
            self.tries[name] += 1
            outcome = _read_result(run, result)
            if outcome.died and self.tries[name] <= self.retries:
                board.again(name)
                engine.submit(name, execute_task, run.task, shared[run.files])
                continue
            self._keep(run, outcome)
            row = self.rows[name]
            board.end(name, row["seconds"] or 0.0, row["reason"])

    def _keep(self, run: Planned, outcome: Outcome) -> None:
        """Put the run's folder in its place, whole, and note how it ended; what stood there was of an older state or had failed."""
        place, fresh = self.folder / run.name, self.folder / f".{run.name}.new"
        if outcome.archive:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            unpack_folder(outcome.archive, fresh)
        if place.exists():
            shutil.rmtree(place)
        if outcome.archive:
            fresh.rename(place)
        self._note(run, outcome.manifest, worker=outcome.worker)
        self._write()

    def _note(self, run: Planned, manifest: dict, *, kept: bool = False, worker: str = "") -> None:
        error = manifest["error"] or {}
        place = " ".join(str(error[name]) for name in ("notebook", "cell") if error.get(name))
        status = "done" if manifest["status"] == "done" else "failed"
        self.rows[run.name] |= {
            "status": status, "kept": kept, "worker": worker, "tries": self.tries[run.name], "seconds": manifest["seconds"],
            "ladder": {rung: {name: values[name] for name in ("shortage", "gap_closed")} for rung, values in manifest["ladder"].items()}
            if status == "done" else {},
            "notebook_seconds": sum(row["seconds"] or 0.0 for row in manifest["notebooks"]),
            "reason": (f"{place}: " if place else "") + error["reason"] if error else ""}

    def _write(self) -> None:
        told = {"sweep": self.sweep.name, "started": self.started, "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "notebooks": list(self.sweep.targets), "engine": self.engine, "workers": self.workers,
                "versions": self.sweep.runs[0].task.versions, "varied": self.sweep.varied, "runs": list(self.rows.values())}
        write_whole(self.folder / "sweep.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _read_done(place: Path, run: Planned) -> dict | None:
    """The manifest of a run that is done and has the same fingerprint, else None."""
    with suppress(OSError, ValueError):
        manifest = json.loads((place / "run.json").read_text(encoding="utf-8"))
        page = REPORT not in run.task.manifest["targets"][-1:] or (place / "report.html").is_file()
        if isinstance(manifest, dict) and manifest.get("status") == "done" and manifest.get("fingerprint") == run.fingerprint and page:
            return manifest
    return None


def _read_result(run: Planned, result: object) -> Outcome:
    if isinstance(result, Outcome):
        return result
    if isinstance(result, Lost):
        return fail_task(run.task, DIED, died=True)
    return fail_task(run.task, f"{type(result).__name__}: {result}")


def _watch_nothing(runs: int, kept: int, workers: Callable[[], int]) -> Board:
    from rich.console import Console
    return Board(runs, kept, workers, Console(file=io.StringIO()))
