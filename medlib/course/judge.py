"""What runs inside the learner's kernel: remember what the set-up made, then judge the names that a task asked for."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping

_ready: dict[str, object] = {}


class NotBegun(Exception):
    """None of the names that a task asks for has been given a value."""


def remember(namespace: Mapping[str, object]) -> None:
    """Keep the names that the set-up made, so that checks find them although an answer may use the same names for something else."""
    _ready.clear()
    _ready.update(namespace)


def judge(namespace: Mapping[str, object], names: Iterable[str], asked: Iterable[str], checks: Iterable[str]) -> None:
    """Judge one task's answer.

    Parameters
    ----------
    namespace : mapping of str to object
        The kernel's names.
    names : iterable of str
        What this task asks for.
    asked : iterable of str
        What all tasks ask for: never taken from the set-up.
    checks : iterable of str
        Code; the names of Python itself are as they were, whatever the learner has called `sum` or `list`.

    Raises
    ------
    NotBegun
        All names are still `...`, or missing.
    AssertionError
        With the hint.
    """
    empty = [name for name in names if namespace.get(name, ...) is ...]
    if set(empty) == set(names):
        raise NotBegun
    if empty:
        raise AssertionError(f"`{empty[0]}` is still `...`; give it a value, too.")
    seen = {name: value for name, value in namespace.items() if not hasattr(builtins, name)}
    seen |= {name: value for name, value in _ready.items() if name not in set(asked) and not hasattr(builtins, name)}
    for check in checks:
        exec(compile(check, "<check>", "exec"), seen)
