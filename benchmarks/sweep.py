"""Many reports: what the engines cost over the notebooks themselves, how a sweep grows, and whether it survives a killed worker.

Run ``python benchmarks/sweep.py --runs 48 --json F`` (engine -> wall, notebook_seconds, overhead, peak_mb), ``--growth 12,48,192`` (wall and
overhead of one engine by runs), ``--kill 1 --runs 192`` (that many workers killed on the way). Reports are of the sample's four regions, as of Sundays one
after the other, through the whole chain of notebooks; ``--set trees=20`` changes a parameter of all.

``notebook_seconds`` sums what the notebooks took, each from the start of its kernel to its end, with one thread each. ``overhead`` is wall times workers over
that sum: what planning, sending, packing, the index and workers that wait for the last run cost. ``slower`` is that sum over local's, run by run: what
notebooks side by side take from each other, which is the machine's and not the sweep's. ``peak_mb``: the most that all processes of the
sweep together had for themselves alone (unique set size), looked at every second. Each engine has a process of its own and an empty folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import psutil

REGIONS = ("North", "East", "South", "West")
#: The last as-of date; the sample ends two weeks later.
LAST = pd.Timestamp("2025-12-14")
COMMON = {"horizon": 7, "trees": 20, "origins": 2}


def make_sweep(runs: int, common: dict[str, object]) -> dict[str, object]:
    """So many reports: each region as of one Sunday, then as of the Sunday before."""
    weeks = -(-runs // len(REGIONS))
    sets = [{"region": region, "as_of": str((LAST - pd.Timedelta(weeks=week)).date())} for week in range(weeks) for region in REGIONS]
    return {"name": f"regions-{runs}", "common": common, "runs": sets[:runs]}


class Watch(threading.Thread):
    """Looks at the memory of this process and its children every second, and kills workers when it is told to."""

    def __init__(self, kills: int = 0, until: float = 0.0, seed: int = 1):
        super().__init__(daemon=True)
        draw = random.Random(seed)
        self.moments = sorted(draw.uniform(0.2, 0.8) * until for _ in range(kills))
        self.peak, self.killed, self.ended = 0, [], threading.Event()

    def run(self):
        began, own = time.monotonic(), psutil.Process()
        while not self.ended.wait(1.0):
            processes = [own, *own.children(recursive=True)]
            self.peak = max(self.peak, sum(map(measure_memory, processes)))
            if self.moments and time.monotonic() - began > self.moments[0] and (workers := list_workers(processes)):
                self.moments.pop(0)
                os.kill(workers[0], signal.SIGKILL)
                self.killed.append(round(time.monotonic() - began))


def measure_memory(process: psutil.Process) -> int:
    """Bytes that a process has for itself; 0 where it is gone."""
    try:
        return process.memory_full_info().uss
    except psutil.Error:
        return 0


def list_workers(processes: list[psutil.Process]) -> list[int]:
    """Processes that have started a server of kernels, whose copies are kernels."""
    servers = {}
    for process in processes:
        try:
            if any(word.endswith("medlib/report/fork.py") for word in process.cmdline()):
                servers[process.pid] = process.ppid()
        except psutil.Error:
            continue
    return sorted({owner for owner in servers.values() if owner not in servers} - {os.getpid()})


def measure_engine(engine: str, runs: int, workers: int, common: dict[str, object], kills: int, until: float) -> dict[str, object]:
    """Run a sweep in this process."""
    from medlib.sweep import open_engine, run_sweep
    from medlib.sweep.plan import plan_sweep
    from medlib.sweep.progress import watch
    looking = Watch(kills, until)
    looking.start()
    with tempfile.TemporaryDirectory(prefix="medlib-") as place:
        began = time.perf_counter()
        summary = run_sweep(plan_sweep(make_sweep(runs, common)), open_engine(engine, workers), reports=Path(place), watch=watch)
        wall = time.perf_counter() - began
        rows = json.loads((summary.folder / "sweep.json").read_text(encoding="utf-8"))["runs"]
        page = (summary.folder / "index.html").stat().st_size
    looking.ended.set()
    seconds = {row["run"]: row["notebook_seconds"] for row in rows if row["status"] == "done"}
    total, lanes = sum(seconds.values()), 1 if engine == "local" else workers
    return {"runs": runs, "done": summary.done, "failed": summary.failed, "wall": round(wall, 1), "notebook_seconds": round(total, 1),
            "overhead": round(wall * lanes / total, 3) if total else None, "peak_mb": round(looking.peak / 1e6), "killed_after": looking.killed,
            "tried_again": sum(row["tries"] > 1 for row in rows), "index_kb": round(page / 1e3), "by_run": seconds}


def run_apart(*words: object) -> dict[str, object]:
    """Call this file for one measurement in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([sys.executable, __file__, *map(str, words), "--json", file.name], check=True)
        return json.loads(Path(file.name).read_text(encoding="utf-8"))


def main() -> None:
    """Measure, print a table, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=48)
    parser.add_argument("--engines", default="local,joblib,dask")
    parser.add_argument("--growth", default="", help="numbers of runs, such as 12,48,192; then the last engine alone is measured")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", type=int, default=0, help="workers to be killed; then dask alone is measured")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of all runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--apart", default="", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    common = COMMON | {name: json.loads(value) if value[:1].isdigit() else value for name, value in (one.split("=", 1) for one in given.set)}
    if given.apart:
        found = measure_engine(given.apart, given.runs, given.workers, common, given.kill, given.until)
        given.json.write_text(json.dumps(found), encoding="utf-8")
        return
    more = ["--workers", given.workers, *(word for one in given.set for word in ("--set", one))]
    engines = ["dask"] if given.kill else given.engines.split(",")
    sizes = [int(size) for size in given.growth.split(",")] if given.growth else [given.runs]
    cases = [(engine, size) for engine in (engines[-1:] if given.growth else engines) for size in sizes]
    found = {}
    for engine, size in cases:
        until = 0.0
        if given.kill:  # two runs tell how long all will take
            until = run_apart("--apart", engine, "--runs", 2, *more)["wall"] * size / 2
        key = f"{engine} {size}" if given.growth else engine
        found[key] = run_apart("--apart", engine, "--runs", size, "--kill", given.kill, "--until", until, *more)
    for one in found.values():
        alone = found.get("local", {}).get("by_run", {})
        shared = [run for run in one["by_run"] if run in alone]
        one["slower"] = round(sum(one["by_run"][run] for run in shared) / sum(alone[run] for run in shared), 3) if shared else None
    table = pd.DataFrame(found).T.drop(columns="by_run")
    print(table.to_string())
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
