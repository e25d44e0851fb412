"""A run's folder and its manifest ``run.json``: named, made, read, and what stands in it about code and versions."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path

from medlib import tables
from medlib.errors import MedlibError
from medlib.report.files import write_whole

#: Packages whose versions are recorded.
PACKAGES = ("medlib", "highspy", "matplotlib", "numpy", "optuna", "pandas", "pandera", "papermill", "pulp", "quantile-forest",
            "scikit-learn", "scipy", "torch")


def write_manifest(folder: Path, manifest: dict) -> None:
    """Write ``run.json``."""
    write_whole(folder / "run.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_manifests(reports: Path) -> dict[str, dict]:
    """Read the manifest of every run; one that is no manifest is left out."""
    manifests = {}
    for path in reports.glob("*/run.json"):
        with suppress(OSError, ValueError):
            manifests[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    return {name: manifest for name, manifest in manifests.items() if isinstance(manifest, dict) and "status" in manifest}


def choose_run(reports: Path, run_name: str) -> str:
    """Name the unfinished run that is meant; the youngest where no name is given."""
    manifests = read_manifests(reports)
    unfinished = {name: manifest for name, manifest in manifests.items() if manifest["status"] != "done"}
    if run_name in manifests and run_name not in unfinished:
        raise MedlibError(f"Run {run_name!r} is complete; there is nothing to resume.")
    if run_name and run_name not in unfinished:
        raise MedlibError(f"There is no run {run_name!r} to resume; unfinished are: {', '.join(unfinished) or 'none'}.")
    if not unfinished:
        raise MedlibError("There is no unfinished run to resume.")
    # Numbers, not times: a clock may have gone back.
    return run_name or max(unfinished, key=lambda name: (unfinished[name].get("number", 0), unfinished[name]["started"]))


def name_run(reports: Path, parameters: dict) -> str:
    """Name a run after its dataset and the time; where a clock went back, or runs start in the same second, a number follows."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(str(parameters.get("dataset", "run"))).name).strip("-") or "run"
    name = f"{dataset}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = {path.name for path in (*reports.glob("*"), *reports.glob(".locks/*"))}
    return next(free for free in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))) if free not in taken)


def check_name(name: str) -> str:
    """Return a run's name; one that is no plain file name is refused."""
    if not re.fullmatch(r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$))[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?", name):
        raise MedlibError(f"A run's name consists of at most 100 letters, digits, '.', '_' and '-', and is no name that Windows takes for a device; got "
                          f"{name[:110]!r}.")
    return name


def make_folder(reports: Path, name: str, manifest: dict) -> Path:
    """Make the run's folder with its manifest in it, both or neither; an older run of that name steps aside."""
    folder, fresh = reports / name, reports / f".{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        write_manifest(fresh, manifest)
    except OSError:
        fresh.rmdir()
        raise
    if folder.exists():
        older = read_manifests(reports).get(name, {}).get("started", "")
        kept = reports / f"{name}.{re.sub(r'[^0-9]', '', older)[:14] or 'older'}"
        while kept.exists():
            kept = kept.with_name(kept.name + "x")
        folder.rename(kept)
    return fresh.rename(folder)


def read_commit() -> str:
    """Commit of the checkout, with '+' where files were changed since; empty where git or the history is missing."""
    try:
        options = {"cwd": tables.PROJECT, "capture_output": True, "text": True, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        return commit + ("+" if subprocess.run(["git", "status", "--porcelain"], **options).stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def list_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
