"""Attacks, really carried out: on people's privacy (`privacy`), on the gate before a report (`release`), on the software (`security`)."""

from collections.abc import Callable
from pathlib import Path

from trust import Trial
from trust.attacks import privacy, release, security

#: By name, a function that attacks in an empty folder and returns what got through, or nothing.
ATTACKS: dict[str, Callable[[Path], str]] = {**privacy.ATTACKS, **release.ATTACKS, **security.ATTACKS}


def carry_out(name: str, folder: Path) -> Trial:
    """Carry out one attack in an empty folder."""
    told = ATTACKS[name](folder)
    return Trial(name, not told, told)
