"""One run of a name at a time: a lock of the operating system, which goes when the processes that hold it are gone.

The run's kernel inherits the lock. So a run whose medlib was killed stays locked until its kernel, which might still write a table,
is gone as well.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from medlib.errors import MedlibError

#: Seconds that a kernel without its medlib is given to end; ipykernel looks for its parent once a second.
PATIENCE = 10.0


@dataclass(frozen=True)
class Lock:
    """The lock on a run's name, held by this process."""

    file: int

    def note_kernel(self, kernel: int) -> None:
        """Note the kernel's process, for whoever finds it alive without us."""
        _write_holder(self.file, kernel)


@contextmanager
def lock_run(path: Path) -> Iterator[Lock]:
    """Hold the lock on a run's name.

    Parameters
    ----------
    path : pathlib.Path
        The lock's file, named as the run. It stays behind, unlocked.

    Raises
    ------
    MedlibError
        Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(file, path.name)
        _write_holder(file, None)
        try:
            yield Lock(file)
        finally:
            _unlock(file)
    finally:
        os.close(file)


def _wait(file: int, name: str) -> None:
    """Take the lock; an orphaned kernel is ended, a living run is left alone."""
    patience = time.monotonic() + PATIENCE
    while not _try_lock(file):
        holder = _read_holder(file)
        if _is_alive(holder["medlib"]) or time.monotonic() > patience:
            raise MedlibError(f"Run {name!r} is still going on (process {holder['medlib'] or 'unknown'}); wait for it to end, or give "
                              "another --run-name.")
        if holder["kernel"]:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(holder["kernel"], signal.SIGKILL)  # a kernel leads its own group
        time.sleep(0.05)


def _read_holder(file: int) -> dict[str, int | None]:
    os.lseek(file, 0, os.SEEK_SET)
    try:
        return json.loads(os.read(file, 200))
    except ValueError:  # just being written
        return {"medlib": None, "kernel": None}


def _write_holder(file: int, kernel: int | None) -> None:
    text = json.dumps({"medlib": os.getpid(), "kernel": kernel})
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, text.ljust(80).encode())  # always the same length: nothing of an older, longer text is left


def _is_alive(process: int | None) -> bool:
    if process is None or os.name == "nt":  # there the lock goes with its process, so its holder lives
        return os.name == "nt"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if os.name == "nt":
    import msvcrt

    def _try_lock(file: int) -> bool:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # a locked byte can't be read by others; the text before it can
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
