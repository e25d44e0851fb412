"""What a person sees of a sweep that is going on: a small table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from medlib.errors import MedlibError


def spell_time(seconds: float) -> str:
    """Say a duration as it is told to people.

    Examples
    --------
    >>> spell_time(42.4), spell_time(600), spell_time(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Board(AbstractContextManager):
    """Counts runs, and tells what each worker does; used as a context manager.

    Parameters
    ----------
    runs, kept : int
        Runs in all, and those that are done from before.
    workers : callable
        Gives how many runs go on at a time.
    console : rich.console.Console
        Where it is told. On a terminal a table stands and changes; elsewhere a line comes when a run starts, a notebook ends, a run ends.
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, runs: int, kept: int, workers: Callable[[], int], console: Console, clock: Callable[[], float] = time.monotonic):
        self.runs, self.kept, self.done, self.failed, self.workers = runs, kept, kept, 0, workers
        self.console, self.clock, self.began = console, clock, clock()
        self.events: dict[str, dict] = {}  # of each run that goes on, the last
        self._ended: set[tuple[str, str]] = set()  # runs' notebooks, as events come more than once
        self._lock, self._live = threading.Lock(), None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.draw, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def waiting(self) -> int:
        """Runs that nobody has begun yet."""
        return max(self.runs - self.done - self.failed - len(self.events), 0)

    def estimate(self) -> float:
        """Seconds that are left, if what is left takes as long as what was done; infinite before the first run is done."""
        ended, spent = self.done + self.failed - self.kept, self.clock() - self.began
        left = self.runs - self.done - self.failed
        return spent / ended * left if ended and left else 0.0 if not left else math.inf

    def hear(self, event: dict) -> None:
        """Take what a worker tells: run, worker, notebook, position, notebooks, cell, cells."""
        with self._lock:
            before = self.events.get(event["run"])
            moved = before is not None and before["worker"] != event["worker"]  # Dask gives what a lost worker did to another, by itself
            begun = before is None or moved
            if moved:
                self._forget_notebooks(event["run"])
            self.events[event["run"]] = event
            ended = event["cell"] == event["cells"] and (event["run"], event["notebook"]) not in self._ended
            if ended:
                self._ended.add((event["run"], event["notebook"]))
        if begun:
            self._say(f"{event['run']} starts" + (", as its worker was lost, again" if moved else "") + (f" on {event['worker']}" if event["worker"] else ""))
        if ended and not begun:
            self._say(f"{event['run']}: {event['notebook']} done [{event['position'] + 1}/{event['notebooks']}]")

    def again(self, run: str) -> None:
        """Tell that a run starts anew, as its worker or kernel died."""
        self._forget(run)
        self._say(f"{run}: its worker or kernel died; it is tried again")

    def end(self, run: str, seconds: float, reason: str = "") -> None:
        """Tell that a run has ended; with a reason, it failed."""
        self._forget(run)
        if reason:
            self.failed += 1
        else:
            self.done += 1
        self._say(f"{run} {f'FAILED: {_tame(reason)}' if reason else f'done in {spell_time(seconds)}'}; {self.count()}")

    def _forget(self, run: str) -> None:
        with self._lock:
            self.events.pop(run, None)
            self._forget_notebooks(run)

    def _forget_notebooks(self, run: str) -> None:
        self._ended = {place for place in self._ended if place[0] != run}

    def count(self) -> str:
        """Say how far the sweep is."""
        left = self.estimate()
        return (f"{self.done}/{self.runs} done" + (f" ({self.kept} kept)" if self.kept else "") + f", {self.failed} failed, "
                f"{len(self.events)} at work, {self.waiting} waiting" + (f", about {spell_time(left)} left" if 0 < left < math.inf else ""))

    def draw(self) -> Table:
        """The table on a terminal."""
        table = Table("worker", "run", "notebook", "cell", title=self.count(), title_justify="left", box=None, pad_edge=False)
        with self._lock:
            events = list(self.events.values())
        for event in events:
            table.add_row(event["worker"] or "this process", event["run"], f"{event['notebook']} ({event['position'] + 1}/{event['notebooks']})",
                          f"{event['cell']}/{event['cells']}")
        return table

    def _say(self, line: str) -> None:
        if not self._live:
            print(_tame(line), file=self.console.file, flush=True)


def _tame(text: str) -> str:
    """One line with nothing in it that could steer a terminal."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)[:500]


def watch(runs: int, kept: int, workers: Callable[[], int]) -> Board:
    """Return the board of a sweep on standard error."""
    if runs < 1:
        raise MedlibError(f"A sweep has at least 1 run; got {runs}.")
    return Board(runs, kept, workers, Console(file=sys.stderr, highlight=False))
