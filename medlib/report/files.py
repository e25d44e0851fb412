"""Write a run's files whole or not at all, and sweep up what a killed process left half written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: What the system says where there is no more room: disk full, quota used up, file larger than allowed.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, text: str | bytes) -> Path:
    """Write a file under a hidden name, and rename it when it lies on the disk.

    Parameters
    ----------
    path : pathlib.Path
    text : str or bytes
        A text is written as UTF-8, its lines ended as they are.

    Returns
    -------
    pathlib.Path
        The file, which holds its older content or the new one, whatever happens.

    Raises
    ------
    OSError
        It can't be written; no part of it is left.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)  # left by a killed process, or a link that somebody has put there
        with part.open("xb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path


def remove_parts(folder: Path) -> None:
    """Remove half-written files below a folder; they have hidden names that end in ``.part``."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


def tell_trouble(error: OSError) -> str:
    """Say in one sentence why a file could not be written, and what to do."""
    if error.errno in NO_ROOM:
        return f"The disk is full ({os.strerror(error.errno)}); make room, then go on with `medlib run --resume`."
    return (f"A file can't be written ({error.strerror or error}); make the reports folder writable, then go on with "
            "`medlib run --resume`.")
