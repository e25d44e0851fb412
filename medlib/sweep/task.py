"""One run as a pure function: notebooks, parameters and data go in as bytes, and the run's folder comes out as bytes.

It works in a folder of its own that goes when it ends, so the machines that it runs on share no files.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import medlib
from medlib.errors import MedlibError
from medlib.report.files import tell_trouble
from medlib.report.manifest import list_versions
from medlib.report.pipeline import Notebook
from medlib.report.run import RunFailed, run_at_home

#: One thread a kernel: as many notebooks run at a time as there are workers, and every engine adds up in the same order.
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")}
#: Files below a run's home that stand in for the folder of `MEDLIB_MIRROR`.
MIRROR = "data/mirror"
#: A notebook changes the folder that its process works in, so there is one at a time in each process.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Desk:
    """Where a task works.

    Parameters
    ----------
    worker : str
        Name of the worker.
    tell : callable
        Takes a dict that can be written as JSON, and lets the client see it.
    folder : str or None
        Where temporary files go; None: the system's place.
    """

    worker: str
    tell: Callable[[dict], None]
    folder: str | None = None


@dataclass(frozen=True)
class Task:
    """One run of a sweep.

    Parameters
    ----------
    manifest : dict
        As from `medlib.report.run.make_manifest`, with the run's name and fingerprint in it.
    versions : dict of str to str
        As from `describe_self`: what the worker must have, too.
    """

    manifest: dict
    versions: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What a task leaves: its manifest, and its folder as a tar archive (empty where there was no folder)."""

    manifest: dict
    archive: bytes = field(default=b"", repr=False)
    worker: str = ""

    @property
    def died(self) -> bool:
        """A kernel or worker died: trying again may help."""
        return bool((self.manifest["error"] or {}).get("died"))


@cache
def hash_source() -> str:
    """SHA-256 over the names and contents of medlib's own files."""
    package = Path(medlib.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."))
    return hash_files({path.relative_to(package).as_posix(): path.read_bytes() for path in files})


def hash_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(json.dumps([name, hashlib.sha256(files[name]).hexdigest()]).encode())
    return digest.hexdigest()


def describe_self() -> dict[str, str]:
    """Versions of the packages that make the results, and the hash of medlib's own files."""
    return {**list_versions(), "medlib's source": hash_source()}


def compare_versions(there: Mapping[str, str], here: Mapping[str, str], worker: str) -> None:
    """Refuse a worker that would reach other results.

    Raises
    ------
    MedlibError
        Something differs; the sentence names the first.
    """
    if different := [name for name in here if there.get(name) != here[name]]:
        name = different[0]
        if name == "medlib's source":
            raise MedlibError(f"Worker {worker} runs another state of medlib's source than this machine; bring both to the same commit and "
                              "start the worker again.")
        raise MedlibError(f"Worker {worker} has {name} {there.get(name, 'not installed')}, this machine {here[name]}; install the same versions on "
                          "both (requirements/constraints.txt) and start the worker again.")


def take_fingerprint(manifest: Mapping[str, object], chain: list[Notebook], files: Mapping[str, bytes], versions: Mapping[str, str]) -> str:
    """SHA-256 of all that a run's results depend on.

    Parameters
    ----------
    manifest : mapping
        Of the run: its targets, parameters, smallest count and accepted places count; its name, time limit and start do not.
    chain : list of Notebook
        The notebooks that it takes.
    files : mapping of str to bytes
        What lies in its home, by path; notebooks that it does not take do not count.
    versions : mapping of str to str
        As from `describe_self`.
    """
    taken = {f"notebooks/{notebook.path.name}" for notebook in chain}
    counted = {name: manifest[name] for name in ("targets", "parameters", "smallest_count", "accepted")}
    used = {name: content for name, content in files.items() if name in taken or not name.startswith("notebooks/")}
    text = json.dumps([counted, hash_files(used), dict(versions)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def execute_task(task: Task, files: Mapping[str, bytes], desk: Desk) -> Outcome:
    """Run a task's notebooks in a temporary home.

    Parameters
    ----------
    task : Task
    files : mapping of str to bytes
        What lies in the home, by path: notebooks/, and the data in data/.
    desk : Desk

    Returns
    -------
    Outcome
        Of a run that failed, too: then its manifest has the reason.
    """
    name, manifest = task.manifest["run"], task.manifest

    def progress(notebook: Notebook, position: int, notebooks: int, done: int, cells: int) -> None:
        desk.tell({"run": name, "worker": desk.worker, "notebook": notebook.name, "position": position, "notebooks": notebooks, "cell": done,
                   "cells": cells})

    try:
        compare_versions(describe_self(), task.versions, desk.worker or "of this machine")
        with _ALONE, tempfile.TemporaryDirectory(prefix="medlib-", dir=desk.folder, ignore_cleanup_errors=True) as place:
            home = Path(place).resolve()
            for path, content in files.items():
                (home / path).parent.mkdir(parents=True, exist_ok=True)
                (home / path).write_bytes(content)
            mirror = {"MEDLIB_MIRROR": str(home / MIRROR)} if (home / MIRROR).is_dir() else {}
            try:
                run_at_home(home, manifest, progress, THREADS | mirror, warm=True)
            except RunFailed:
                pass  # its reason stands in the manifest
            folder = home / "reports" / name
            return Outcome(json.loads((folder / "run.json").read_text(encoding="utf-8")), pack_folder(folder), desk.worker)
    except (MedlibError, OSError) as error:
        reason = tell_trouble(error).replace("`medlib run --resume`", "the same command") if isinstance(error, OSError) else str(error)
        return fail_task(task, reason, desk.worker, mistake=isinstance(error, MedlibError))


def fail_task(task: Task, reason: str, worker: str = "", *, mistake: bool = False, died: bool = False) -> Outcome:
    """Return the outcome of a task that left no folder."""
    error = {"notebook": None, "cell": None, "reason": reason, "mistake": mistake} | ({"died": True} if died else {})
    return Outcome(task.manifest | {"status": "failed", "error": error}, worker=worker)


def pack_folder(folder: Path) -> bytes:
    """Return a folder as a tar archive, without times, owners and hidden files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                member = tarfile.TarInfo(path.relative_to(folder).as_posix())
                member.size = path.stat().st_size
                with path.open("rb") as file:
                    archive.addfile(member, file)
    return stream.getvalue()


def unpack_folder(archive: bytes, folder: Path) -> None:
    """Unpack an archive into a folder; links, and names that lead out of it, are refused.

    Raises
    ------
    tarfile.FilterError
        The archive would write elsewhere.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")
