"""Two methods race for an answer: the simplex method from a known basis, and an interior point method.

Where a state is near one that was solved, simplex has its plan at once; where it is far, simplex may take longer than from scratch, and an interior
point method, which knows no start but takes about as long for every state, is there before it. Both reach the minimum; the simplex method's plan is
a vertex, so that it has fewer small moves, and a basis that other states can start from.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event

import highspy

from medlib.blocks import BlockHiGHS
from medlib.blocks.highs import Piece

#: Seconds that simplex is given alone, as both together are slower where they share a core's caches.
HEAD_START = 0.15


class Race(BlockHiGHS):
    """HiGHS for one model that is solved again and again, in which an interior point method races simplex.

    Only the largest piece is raced for. Where simplex comes second, it goes on in its thread until it has its basis, or until it is told to stop;
    the next solve takes up from where it is.

    Parameters
    ----------
    find_start : callable
        Takes the live pieces of the model, and gives each piece's basis; None: that of the last solve, if there was one.
    stop : threading.Event
        While it is set, simplex ends before it has a plan, with the outcome ``"Interrupted by user"``.
    raced : bool
        Otherwise simplex runs alone.
    **options
        As for `BlockHiGHS`.

    Attributes
    ----------
    winner : dict of int to highspy.Highs
        By the piece's number: the interior point method, where it came first at the last solve.
    """

    def __init__(self, find_start: Callable[[list[Piece]], list[highspy.HighsBasis] | None], stop: Event, raced: bool, **options):
        super().__init__(**options)
        self.find_start, self.stop, self.raced = find_start, stop, raced
        self.pool = ThreadPoolExecutor()
        self.behind: Future | None = None
        self.winner: dict[int, highspy.Highs] = {}

    def buildSolverModel(self, lp) -> None:
        """Send what changed, once nobody works on it any more."""
        self.wait()
        super().buildSolverModel(lp)

    def wait(self) -> None:
        """Wait until simplex ends, if it came second."""
        if self.behind:
            wait((self.behind,))

    def callSolver(self, lp) -> None:
        """Hand over the basis, then run."""
        for piece, basis in zip(lp.live, self.find_start(lp.live) or []):
            piece.highs.setBasis(basis)
        self.behind, self.winner = None, {}
        if not self.raced:
            wait([self.pool.submit(self._run, piece.highs) for piece in lp.live])
            return
        largest = max(range(len(lp.live)), key=lambda number: lp.live[number].highs.getNumCol())
        done = Event()
        rival = self._make_rival(lp.live[largest].highs, done)  # first, as HiGHS changes its program while it runs
        runs = [self.pool.submit(self._run, piece.highs) for piece in lp.live]
        if wait((runs[largest],), HEAD_START).not_done:
            race = self.pool.submit(rival.run)
            wait((race, runs[largest]), return_when=FIRST_COMPLETED)
            # Anything but a minimum is left to simplex to say.
            if not runs[largest].done() and rival.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                self.behind, self.winner = runs.pop(largest), {largest: rival}
        wait(runs)
        done.set()

    def findSolutionValues(self, lp):
        """Read the solution from whoever won."""
        live, lp.live = lp.live, [piece._replace(highs=self.winner.get(number, piece.highs)) for number, piece in enumerate(lp.live)]
        try:
            return super().findSolutionValues(lp)
        finally:
            lp.live = live

    def _make_rival(self, highs: highspy.Highs, done: Event) -> highspy.Highs:
        """The same program for the interior point method, without the search for a vertex after it."""
        rival = highspy.Highs()
        rival.passOptions(highs.getOptions())
        rival.setOptionValue("solver", "ipx")
        rival.setOptionValue("run_crossover", "off")
        rival.passModel(highs.getLp())
        rival.cbIpmInterrupt += lambda event: done.is_set() and event.interrupt()
        return rival

    def _run(self, highs: highspy.Highs) -> None:
        highs.cbSimplexInterrupt += self._heed
        highs.run()
        highs.cbSimplexInterrupt -= self._heed

    def _heed(self, event: highspy.HighsCallbackEvent) -> None:
        event.interrupt(self.stop.is_set())  # said every time, as HiGHS remembers it from one run to the next
