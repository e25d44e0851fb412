"""Try everything that could go wrong and print one table: python -m trust [--only attacks inputs faults groups]"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trust import Trial

#: What each row of the table counts.
ROWS = {"attacks": ("attacks tried", "blocked"), "inputs": ("bad inputs tried", "clear errors or valid results"),
        "faults": ("faults injected", "recovered whole"), "groups": ("subgroups checked", "with an interval, or withheld as too few")}


def attack() -> Iterator[Trial]:
    """Carry out every attack, each in an empty folder."""
    from trust.attacks import ATTACKS, carry_out
    for name in ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            yield carry_out(name, Path(folder))


def feed(cases: int, seed: int) -> Iterator[Trial]:
    """Feed random inputs to every loader, parameter and table."""
    from trust.inputs import try_inputs
    yield from try_inputs(cases, seed)


def disturb(kills: int, seed: int) -> Iterator[Trial]:
    """Disturb real runs."""
    from trust.faults import inject_faults
    with tempfile.TemporaryDirectory() as folder:
        yield from inject_faults(Path(folder), kills, seed)


def look() -> Iterator[Trial]:
    """Look at the errors of every subgroup."""
    from trust.groups import check_groups
    yield from check_groups()


def main() -> int:
    """Print the trials as they come, then the table; the exit code is 1 where a row is not full."""
    parser = argparse.ArgumentParser(prog="python -m trust", description=__doc__.partition(":")[0])
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), help="rows of the table")
    parser.add_argument("--cases", type=int, default=20_000, help="random inputs")
    parser.add_argument("--kills", type=int, default=50, help="times that a run is killed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every trial there")
    chosen = parser.parse_args()
    work: dict[str, Callable[[], Iterator[Trial]]] = {
        "attacks": attack, "inputs": lambda: feed(chosen.cases, chosen.seed),
        "faults": lambda: disturb(chosen.kills, chosen.seed), "groups": look}
    trials = {row: _try(row, work[row]()) for row in ROWS if row in chosen.only}
    if chosen.json:
        chosen.json.write_text(json.dumps({row: [vars(trial) for trial in found] for row, found in trials.items()}, indent=1) + "\n",
                               encoding="utf-8")
    print(f"\n{'':<18} {'tried':>7} {'held':>7}")
    for row, found in trials.items():
        tried, held = sum(trial.count for trial in found), sum(trial.count_held for trial in found)
        print(f"{ROWS[row][0]:<18} {tried:>7,} {held:>7,}  {ROWS[row][1]}{'' if tried == held else '   NOT FULL'}")
    return int(not all(found and all(trial.held for trial in found) for found in trials.values()))


def _try(row: str, found: Iterator[Trial]) -> list[Trial]:
    """Collect trials, telling each as it comes."""
    trials, began = [], time.monotonic()
    for trial in found:
        trials.append(trial)
        print(f"{row:<8} {'held' if trial.held else 'FAILED':<7} {trial.name}{f': {trial.told}' if trial.told else ''}", flush=True)
    print(f"{row:<8} took {time.monotonic() - began:,.0f} s", flush=True)
    return trials


if __name__ == "__main__":
    sys.exit(main())
