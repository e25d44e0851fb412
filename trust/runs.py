"""Real runs in a copy of the project, started as a person starts them, and what is whole in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pandas as pd

from medlib.tables import PROJECT
from trust import Trial

#: The command line, after some lines that disturb it.
MAIN = "\nfrom medlib.cli import main\nmain()"
#: The one name that all runs bear, for it stands in the executed notebooks.
NAME = "disturbed"
#: The whole chain to the report, and two of its notebooks; small numbers, for each is run many times.
REPORT = ("report", "-p", "horizon=7", "-p", "trees=5", "-p", "origins=2", "--run-name", NAME)
SHORT = ("run", "02_prepare", "--run-name", NAME)
RESUME = ("run", "--resume", "--run-name", NAME)
#: What differs between two runs of a page: start, durations. Nothing else is set aside.
TIMES = re.compile(r"(?<=<th>Started</th><td>)[^<]*|(?<=<th>Duration</th><td>)[^<]*|(?<=<td>)\d+ s(?=</td></tr>)")
#: What differs between two manifests.
SET_ASIDE = ("started", "seconds", "number", "stops")


@dataclass(frozen=True)
class Project:
    """A copy of the code and the notebooks, with a reports folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def run(self) -> Path:
        return self.reports / NAME

    def start(self, *words: str, lines: str = "", before: tuple[str, ...] = ()) -> subprocess.Popen:
        """Start `medlib` with these words; `lines` of Python come first, and `before` is the command that starts Python."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDLIB_") or name == "MEDLIB_MIRROR"}
        return subprocess.Popen([*before, sys.executable, "-c", lines + MAIN, *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                                env=environment | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"} | self.environment)

    def ask(self, *words: str, lines: str = "", before: tuple[str, ...] = ()) -> tuple[int, str]:
        """Let `medlib` come to its end; gives exit code and the last line on screen."""
        process = self.start(*words, lines=lines, before=before)
        told = process.communicate(timeout=1200)[1].strip()
        return process.returncode, "Traceback" if "Traceback" in told else (told.splitlines() or [""])[-1]


def copy_project(folder: Path) -> Project:
    """Copy the code and the notebooks, so that nothing that is tried touches the project."""
    for name in ("medlib", "notebooks"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "exercises"))
    return Project(folder)


def read_manifest(run: Path) -> dict:
    """Read run.json; it has to be whole."""
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def wait_for(happens: Callable[[], bool], process: subprocess.Popen, seconds: float = 600.0) -> bool:
    """Wait till something happens; False if the process ends before."""
    until = time.monotonic() + seconds
    while not happens():
        if process.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def list_visible(run: Path) -> dict[str, Path]:
    """The run's files that a person sees, by name within the run."""
    return {path.relative_to(run).as_posix(): path for path in sorted(run.rglob("*")) if path.is_file() and not path.name.startswith(".")}


def find_damage(run: Path, reference: Path, complete: bool) -> Iterator[str]:
    """Find what is not whole, or not as in the undisturbed run.

    Compared are all bytes of tables and executed notebooks; of the page all but `TIMES`; of run.json, where the run is complete, all but
    `SET_ASIDE` and the seconds of each notebook.
    """
    there, wanted = list_visible(run), list_visible(reference)
    if not complete and "run.json" in there and (error := read_manifest(run)["error"]):
        there.pop(f"notebooks/{error['notebook']}.ipynb", None)  # as far as it came it is kept, to be looked at
    if complete and (missing := wanted.keys() - there.keys()):
        yield f"missing: {', '.join(sorted(missing))}"
    if further := there.keys() - wanted.keys():
        yield f"further: {', '.join(sorted(further))}"
    for name in sorted(there.keys() & wanted.keys()):
        if name == "run.json":
            manifests = [_set_aside(read_manifest(folder)) for folder in (run, reference)]
            if complete and manifests[0] != manifests[1]:
                yield "run.json differs"
        elif name == "report.html":
            pages = [TIMES.sub("", path.read_text(encoding="utf-8")) for path in (there[name], wanted[name])]
            if pages[0] != pages[1]:
                yield "report.html differs or is not whole"
        elif there[name].read_bytes() != wanted[name].read_bytes():
            yield f"{name} {'differs' if _is_readable(there[name]) else 'is not whole'}"
    if complete and (hidden := [path.name for path in run.rglob(".*")]):
        yield f"left over: {', '.join(hidden)}"


def _set_aside(manifest: dict) -> dict:
    rows = [(row["name"], row["status"]) for row in manifest["notebooks"]]
    return {name: value for name, value in manifest.items() if name not in SET_ASIDE} | {"notebooks": rows}


def _is_readable(path: Path) -> bool:
    try:
        pd.read_parquet(path) if path.suffix == ".parquet" else nbformat.read(path, as_version=4)
    except Exception:
        return False
    return True


def look(run: Path, reference: Path) -> list[str]:
    """What a person would see now, compared with the undisturbed run."""
    try:
        return list(find_damage(run, reference, complete=False)) if run.is_dir() else []
    except ValueError as error:
        return [f"run.json is not whole: {error}"]


def judge(name: str, damage: list[str], told: str) -> Trial:
    """A trial held if there is no damage; empty lines are none."""
    found = [line for line in damage if line]
    return Trial(name, not found, "; ".join(found) or told)


def check_end(code: int, told: str, words: str) -> str:
    """One line, an exit code of 1 or 2, and the words that tell the cause."""
    return "" if code in (1, 2) and words in told else f"ended with {code}: {told!r}, not with {words!r}"
