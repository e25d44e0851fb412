"""Faults really injected into real runs of real notebooks; held: what is left is whole, the cause is told, and going on gives what an undisturbed run gives."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import nbformat
import pandas as pd

from medlib.allocate import Rules, pose_problem
from medlib.allocate import plan as planning
from medlib.errors import MedlibError
from medlib.prepare import clean_demand
from medlib.sample import make_network
from medlib.supply import spread_capacity
from trust import Trial
from trust.disks import fill_disk, fill_disk_at_page, forbid_writing
from trust.runs import NAME, REPORT, RESUME, SHORT, Project, check_end, copy_project, find_damage, judge, look, read_manifest, wait_for

#: Every so many kills, one comes while medlib is still starting.
EARLY = 7


def inject_faults(folder: Path, kills: int = 50, seed: int = 1) -> Iterator[Trial]:
    """Inject every fault in turn.

    Parameters
    ----------
    folder : pathlib.Path
        Empty; everything happens in it.
    kills : int
        How often a run of the whole report is killed.
    seed : int
        Of the moments of the kills.

    Yields
    ------
    Trial
    """
    project = copy_project(folder / "project")
    short = _run_undisturbed(project, SHORT, folder / "short")
    yield from fill_disk(project, short)
    yield forbid_writing(project)
    yield _run_two(project, short)
    yield _set_clock_back(project)
    yield _never_end(project)
    yield _kill_kernel(project, short)
    yield _fill_memory(project)
    yield _stop_solver()
    whole = _run_undisturbed(project, REPORT, folder / "whole")
    yield fill_disk_at_page(project, whole)
    yield kill_at_random(project, REPORT, whole, kills, seed)


def _run_undisturbed(project: Project, words: tuple[str, ...], kept: Path) -> Path:
    code, told = project.ask(*words)
    if code:
        raise AssertionError(f"the undisturbed run failed: {told}")
    return project.run.rename(kept)


def _settle(project: Project, reference: Path) -> str:
    """Go on undisturbed; says what is not as in the reference, and clears up."""
    code, told = project.ask(*RESUME)
    damage = "; ".join(find_damage(project.run, reference, complete=True)) if not code else f"--resume ended with {code}: {told}"
    shutil.rmtree(project.run)
    return damage


# --- Kills -----------------------------------------------------------------------------------------------------------

def kill_at_random(project: Project, words: tuple[str, ...], reference: Path, kills: int, seed: int) -> Trial:
    """Kill a run at random moments spread over its notebooks and its page, going on after each; then let it end."""
    chance, failures, where, count = random.Random(seed), [], {}, 0
    steps = {row["name"]: row["seconds"] for row in read_manifest(reference)["notebooks"]} | {"page": 2.0}
    while count < kills:
        started = (project.run / "run.json").is_file()
        process = project.start(*(RESUME if started else words))
        hit = _wait_to_kill(project, process, list(steps)[count * len(steps) // kills], steps, chance, early=count % EARLY == EARLY - 1)
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            count, where[hit] = count + 1, where.get(hit, 0) + 1
            failures += [f"kill {count} in {hit}: {damage}" for damage in look(project.run, reference)]
        elif process.returncode:
            failures.append(f"after kill {count} the run ended with {process.returncode}")
            break
        if project.run.is_dir() and read_manifest(project.run)["status"] == "done":  # judge it, and start afresh
            failures += find_damage(project.run, reference, complete=True)
            shutil.rmtree(project.run)
    failures.append(_settle(project, reference) if (project.run / "run.json").is_file() else "")
    found = [line for line in failures if line]
    told = "; ".join(found) or f"by step {where}"
    return Trial("medlib killed at random moments of a run", not found, told, count, min(len(found), count))


def _wait_to_kill(project: Project, process: subprocess.Popen, step: str, steps: dict[str, float], chance: random.Random, early: bool) -> str:
    """Wait for a random moment within a step, or within the start of the process; names the step that is hit."""
    names = list(steps)
    if early:
        time.sleep(chance.uniform(0.0, 4.0))
        return "start"
    began = project.run / "run.json"
    before = read_manifest(project.run) if began.is_file() else None
    wait_for(lambda: began.is_file() and read_manifest(project.run) != before, process)
    wait_for(lambda: _find_step(project.run) in names[names.index(step):], process)
    hit = _find_step(project.run)
    # Kernels start for about a second, so the durations as measured are about right for going on, too.
    wait_for(lambda until=time.monotonic() + chance.uniform(0.0, steps.get(hit, 1.0)): time.monotonic() > until, process)
    return _find_step(project.run)


def _find_step(run: Path) -> str:
    """The notebook that is next or at work, or the page after them."""
    if not (run / "run.json").is_file():
        return "start"
    return next((row["name"] for row in read_manifest(run)["notebooks"] if row["status"] != "done"), "page")


# --- Two at once, clock, time, memory --------------------------------------------------------------------------------

def _run_two(project: Project, reference: Path) -> Trial:
    """A second run of the name, and going on with it, while the first is at work."""
    first = project.start(*SHORT)
    wait_for((project.run / "run.json").is_file, first)
    ends = [project.ask(*words) for words in (SHORT, RESUME)]
    going = first.poll() is None
    first.communicate()
    damage = [check_end(*end, "still going on") for end in ends] + ([] if going else ["the first was done before"])
    damage += [*find_damage(project.run, reference, complete=True), *(f"further run {path.name}" for path in project.reports.glob(f"{NAME}.*"))]
    shutil.rmtree(project.run)
    return judge("two runs of the same name, and --resume, at once", damage, ends[0][1])


#: Every look at the clock shows it an hour earlier than the last.
BACKWARDS = """
import datetime, time
import medlib.report.manifest, medlib.report.run
class Back(datetime.datetime):
    looks = 0
    @classmethod
    def now(cls, zone=None):
        cls.looks += 1
        return cls(2026, 3, 1, 12, tzinfo=zone) - datetime.timedelta(hours=cls.looks)
medlib.report.manifest.datetime = medlib.report.run.datetime = Back
now = time.time
time.time = lambda: 2e9 - 10 * (now() - 1.7e9)
"""


def _set_clock_back(project: Project) -> Trial:
    """Three runs whose names come from a clock that goes back and shows the same time again."""
    ends = [project.ask("run", "01_collect", "-p", f"seed={seed}", lines=BACKWARDS) for seed in (1, 2, 3)]
    found = {path.parent.name: read_manifest(path.parent) for path in project.reports.glob("*/run.json")}
    damage = [f"ended with {code}: {told}" for code, told in ends if code]
    damage += [] if sorted(manifest["seed"] for manifest in found.values()) == [1, 2, 3] else [f"runs left: {sorted(found)}"]
    damage += [f"{name} took {manifest['seconds']} s" for name, manifest in found.items() if not 0 < manifest["seconds"] < 600]
    for name in found:
        shutil.rmtree(project.reports / name)
    return judge("clock that goes back", damage, ", ".join(sorted(found)))


def _write_notebook(project: Project, name: str, source: str) -> None:
    """A notebook of one cell, beside the real ones."""
    head = f"# {name}\n\nWhat now?\n\n**Reads** nothing\n\n**Writes** nothing\n"
    cells = [nbformat.v4.new_markdown_cell(head), nbformat.v4.new_code_cell('workspace: str = ""', metadata={"tags": ["parameters"]}),
             nbformat.v4.new_code_cell(source)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), project.folder / "notebooks" / f"{name}.ipynb")


def _end_badly(project: Project, name: str, source: str, cause: str, *options: str) -> Trial:
    """Run a notebook that comes to a bad end; the cause has to stand in run.json and on screen."""
    _write_notebook(project, "98_bad", source)
    code, told = project.ask("run", "98_bad", "--run-name", NAME, *options)
    manifest = read_manifest(project.run)
    damage = [check_end(code, told, cause), "" if manifest["status"] == "failed" and cause in manifest["error"]["reason"] else "not in run.json"]
    shutil.rmtree(project.run)
    (project.folder / "notebooks" / "98_bad.ipynb").unlink()
    return judge(name, damage, told)


def _never_end(project: Project) -> Trial:
    return _end_badly(project, "cell that never ends", "while True:\n    pass", "time limit of 0.1 minutes", "--time-limit", "0.1")


def _fill_memory(project: Project) -> Trial:
    source = ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
              "held = [bytearray(1 << 28) for _ in range(100)]")
    return _end_badly(project, "kernel out of memory", source, "memory is full")


def _kill_kernel(project: Project, reference: Path) -> Trial:
    """Only the kernel is killed, as the system does where memory runs out."""
    process = project.start(*SHORT)
    lock = project.reports / ".locks" / NAME
    wait_for(lambda: project.run.is_dir() and bool(json.loads(lock.read_text() or "{}").get("kernel")), process)
    time.sleep(1.0)
    subprocess.run(["kill", "-9", str(json.loads(lock.read_text())["kernel"])], check=False)
    told = process.communicate()[1].strip().splitlines()[-1]
    damage = [check_end(process.returncode, told, "the kernel died"), "" if read_manifest(project.run)["error"] else "not in run.json"]
    damage += [*look(project.run, reference), _settle(project, reference)]
    return judge("kernel killed", damage, told)


def _stop_solver() -> Trial:
    """A plan in whole units for which HiGHS had no time is refused, or says what was not proven."""
    network = make_network(1)
    needed = clean_demand(network["demand"])[0]
    days = pd.DatetimeIndex(sorted(needed["date"].unique())[-21:])
    posed = pose_problem(network["sites"], network["resources"], network["links"], needed[needed["date"].isin(days)],
                         spread_capacity(network["capacity"], days), Rules(integer=True))
    damage, told = [], []
    for patience in (1e-4, 0.05, 0.2, 0.8, 3.2):
        with patch.object(planning, "PATIENCE", patience):
            try:
                plan = planning.solve(posed, gap=0.0)
            except MedlibError as error:
                told.append(str(error))
                continue
        if plan.gap > 0 and plan.status == "Time limit reached" and "not proven optimal" in " ".join(plan.explain()):
            told.append(f"after {patience:g} s not proven optimal, with a gap of {plan.gap:.2%}")
        elif plan.status != "Optimal" or plan.gap > 1e-6:
            damage.append(f"after {patience:g} s {plan.status} with a gap of {plan.gap:.2%}")
    damage += [] if told else ["the time was never up"]
    return judge("time limit of the solver", damage, (told or [""])[-1])
