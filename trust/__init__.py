"""What can go wrong, tried: attacks, bad inputs, faults and subgroups. `python -m trust` prints one table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One thing that was tried.

    Parameters
    ----------
    name : str
        What was tried, in plain words.
    held : bool
        The attack was stopped, the bad input told clearly, the fault survived whole, the subgroup given its figure.
    told : str
        What got through, or how it was stopped.
    """

    name: str
    held: bool
    told: str = ""
