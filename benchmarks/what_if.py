"""How soon the what-if page answers: milliseconds by control, median and 95th percentile, against a solve from scratch.

Run ``python benchmarks/what_if.py [--json F] [WORKSPACE ...]``; a workspace is a run's tables in which 40_allocate ran, left out: the sample's. Germany's:
``medlib run 40_allocate --dataset icu_germany --as-of 2021-11-20 -p horizon=14 --run-name germany``, then ``reports/germany/tables``.

A move sets one control to a value drawn at random among all that it can take, the others being where earlier moves left them; after every ten the page is
reset. A step is what an arrow key does: to the next value. ``--pause 4`` looks at each answer for so many seconds, in which the page traces its curve and tries what may be
asked next; without it the next move comes at once. What is measured is all that happens in the kernel: gathering, posing, solving, reading, drawing every picture. The browser
adds transport and layout (``tests/test_what_if_page.py`` waits for it). ``scratch`` is the time that making and solving the same program anew takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd


def list_values(control) -> list:
    """All values that a control can take."""
    if hasattr(control, "options"):
        return list(control.options)
    return list(np.round(np.arange(control.min, control.max + control.step / 2, control.step), 6))


async def answer(page, change: Callable[[], None]) -> float:
    """Seconds until the page has answered a change of its controls."""
    began, before = time.perf_counter(), page.shown
    change()
    while page.shown is before:
        if "class='error'" in page.status.value:  # every state has a plan here
            raise RuntimeError(page.status.value)
        await asyncio.sleep(0.001)
    if page.shown.state != page.read_state():
        raise RuntimeError(f"The page answered {page.shown.state}, and was asked {page.read_state()}.")
    return time.perf_counter() - began


def solve_anew(page) -> float:
    """Seconds of making and solving the program of the page's state from scratch."""
    from medlib.allocate import solve
    from medlib.whatif import change_problem, share_demand, solve_weighed
    state = page.read_state()
    began = time.perf_counter()
    posed = change_problem(page.question.posed, page.question.levels, state)
    solve_weighed(posed, state, share_demand(page.question.posed)) if state.weighs else solve(posed)
    return time.perf_counter() - began


async def measure_page(workspace: str, moves: int, seed: int, pause: float) -> pd.DataFrame:
    """Milliseconds by control and kind of move."""
    from medlib.whatif.page import Page
    from medlib.whatif.question import read_question
    random = np.random.default_rng(seed)
    began = time.perf_counter()
    page = Page(read_question(workspace), workspace)
    rows = [("first answer", "open", time.perf_counter() - began, np.nan, "")]
    free = [name for name, control in page.controls.items() if not control.disabled]
    # Models for the other criteria and scenarios are made when they are first asked for; this counts as any other move.
    for number in range(moves * len(free)):
        if number % 10 == 0:
            await answer(page, page.reset)
        name = free[random.integers(len(free))]
        control = page.controls[name]
        values = list_values(control)
        kind = "step" if not hasattr(control, "options") and random.random() < 0.5 else "jump"
        if kind == "step":
            place = int(np.abs(np.array(values) - control.value).argmin())
            value = values[place + 1 if place + 1 < len(values) else place - 1]
        else:
            value = values[random.integers(len(values))]
        if value == control.value:
            continue
        await asyncio.sleep(pause)
        seconds = await answer(page, partial(setattr, control, "value", value))
        slowest = max(page.seconds, key=page.seconds.get)
        rows.append((name, kind, seconds, solve_anew(page) if number % 20 == 0 else np.nan, slowest))
    return pd.DataFrame(rows, columns=["control", "kind", "seconds", "scratch", "slowest"])


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """A row a control and kind, and one for all."""
    def describe(group: pd.DataFrame) -> pd.Series:
        return pd.Series({"moves": len(group), "p50_ms": 1000 * group["seconds"].median(), "p95_ms": 1000 * group["seconds"].quantile(0.95),
                          "max_ms": 1000 * group["seconds"].max(), "scratch_ms": 1000 * group["scratch"].median()})

    asked = found[found["kind"] != "open"]
    table = asked.groupby(["control", "kind"]).apply(describe, include_groups=False)
    table.loc[("first answer", "open"), :] = describe(found[found["kind"] == "open"])
    for kind in ("step", "jump"):
        table.loc[("all", kind), :] = describe(asked[asked["kind"] == kind])
    table.loc[("all", "all"), :] = describe(asked)
    table["ratio"] = table["p50_ms"] / table.loc[("all", "all"), "scratch_ms"]
    return table.round({"p50_ms": 0, "p95_ms": 0, "max_ms": 0, "scratch_ms": 0, "ratio": 3})


def main() -> None:
    """Measure, print a table a workspace, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspaces", nargs="*", default=["data/sample"])
    parser.add_argument("--moves", type=int, default=20, help="of each control, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each move")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told = {}
    for workspace in given.workspaces:
        found = asyncio.run(measure_page(workspace, given.moves, given.seed, given.pause))
        table = summarise(found)
        print(f"{workspace}\n{table.to_string()}\n", flush=True)
        slow = found[(found["seconds"] > 0.3) & (found["kind"] != "open")]
        print(f"over 300 ms: {len(slow)} of {len(found)}; most time then went into: {slow['slowest'].value_counts().to_dict()}\n", flush=True)
        told[workspace] = {" ".join(key): row for key, row in table.to_dict("index").items()}
    if given.json:
        given.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
