"""Bad inputs, thousands of them: each ends in a valid result or in one clear sentence, and no file that was read is changed.

Most cases are valid inputs with a few faults in them, lest everything ends at the first check. What counts as valid stands with
each target: the numbers that come out are those that went in, no row is lost, the contract holds.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from medlib.errors import MedlibError
from trust import Trial
from trust.targets import files, values

#: Name in plain words -> (share of the cases, strategy, what is done with a case in an empty folder). It raises MedlibError or
#: AssertionError, or returns: then the case was valid.
TARGETS = files.TARGETS | values.TARGETS
#: A sentence is over where a mark is followed by a capital; what the user typed stands in quotes and is not counted.
QUOTED, END = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"), re.compile(r"[.?!](?=\s+[A-Z])")


@dataclass
class Count:
    """What became of the cases of one target."""

    valid: int = 0
    clear: int = 0

    @property
    def tried(self) -> int:
        return self.valid + self.clear


def assert_clear(message: str) -> None:
    """One or two sentences in one line, without a traceback."""
    assert message.strip() and "\n" not in message and "Traceback" not in message, f"unclear: {message[:200]!r}"
    assert len(END.findall(QUOTED.sub("", message))) <= 2, f"too many sentences: {message[:300]!r}"


def _hash_files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def try_target(name: str, cases: int, number: int, counted: Count) -> str:
    """Try so many cases on one target; returns the first fault found, made as small as it goes, or nothing."""
    _, strategy, attempt = TARGETS[name]

    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, derandomize=number == 0, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink), print_blob=False)
    @given(strategy)
    def check(case):
        with tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True) as place:
            folder = Path(place) / "in"
            folder.mkdir()
            given_files = files.lay_out(case, folder)
            before = _hash_files(folder)
            try:
                attempt(case, folder)
                counted.valid += 1
            except MedlibError as error:
                assert_clear(str(error))
                counted.clear += 1
            assert not given_files or before == _hash_files(folder), "an input file was changed"

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas about dates that are none
            check()
    except Exception as error:  # whatever comes is what was looked for
        return "; ".join(re.sub(r"\s+", " ", f"{type(fault).__name__}: {fault}")[:400] for fault in _list_faults(error))
    return ""


def _list_faults(error: Exception) -> Iterator[Exception]:
    """The faults themselves, where several different ones come in a group."""
    for fault in error.exceptions if isinstance(error, ExceptionGroup) else (error,):
        yield from _list_faults(fault) if isinstance(fault, ExceptionGroup) else (fault,)


def try_inputs(cases: int, seed: int) -> Iterator[Trial]:
    """Try so many bad inputs in all.

    Parameters
    ----------
    cases : int
    seed : int
        0: the same cases each time.

    Yields
    ------
    Trial
        One a target; `told` says how many were tried, valid and told clearly, or what got through.
    """
    for name, (share, *_) in TARGETS.items():
        counted = Count()
        fault = try_target(name, max(1, round(cases * share)), seed, counted)
        told = fault or f"{counted.tried} tried: {counted.valid} valid, {counted.clear} clear errors"
        yield Trial(name, not fault, told, counted.tried + bool(fault), int(bool(fault)))
