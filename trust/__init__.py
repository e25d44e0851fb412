"""What can go wrong, tried: attacks, bad inputs, faults and subgroups. `python -m trust` prints one table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What was tried.

    Parameters
    ----------
    name : str
        In plain words.
    held : bool
        The attack was stopped, the bad input told clearly, the fault survived whole, the subgroup given its figure.
    told : str
        What got through, or how it was stopped.
    count : int
        How often it was tried.
    failures : int
        How often it did not hold.
    """

    name: str
    held: bool
    told: str = ""
    count: int = 1
    failures: int = 0

    @property
    def count_held(self) -> int:
        """How often it held."""
        return self.count - (self.failures or int(not self.held))
