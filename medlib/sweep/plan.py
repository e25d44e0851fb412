"""A sweep's file: many sets of parameters, checked and named before anything runs.

It holds::

    name: regions                      # the folder below reports/
    notebooks: [50_report]             # left out: the report
    common: {horizon: 14}              # parameters of every run
    grid:                              # every combination
      region: [North, East]
      as_of: [2025-11-01, 2025-12-01]
    runs:                              # and these besides
      - {region: "South,West", trees: 50}
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medlib import catalog
from medlib.errors import MedlibError
from medlib.report.manifest import check_name, read_commit
from medlib.report.pipeline import Notebook, list_notebooks
from medlib.report.run import REPORT, TIME_LIMIT, check_limit, make_manifest, prepare_run
from medlib.schema import INPUTS
from medlib.sweep.task import MIRROR, Task, describe_self, take_fingerprint

KEYS = ("name", "notebooks", "common", "grid", "runs")
#: More are refused: a slip in a grid is likelier than the wish.
MOST_RUNS = 10_000
#: Whole numbers from here on are refused.
LARGEST = 10**18


@dataclass(frozen=True)
class Planned:
    """One run of a sweep: its task, the parameters in which it differs from others, and the key of its files."""

    task: Task
    varied: dict[str, object]
    files: str

    @property
    def name(self) -> str:
        return self.task.manifest["run"]

    @property
    def fingerprint(self) -> str:
        return self.task.manifest["fingerprint"]


@dataclass(frozen=True)
class Sweep:
    """A sweep, checked: its runs, and the files that they take by key."""

    name: str
    targets: tuple[str, ...]
    runs: tuple[Planned, ...]
    files: dict[str, dict[str, bytes]] = field(repr=False)

    @property
    def varied(self) -> list[str]:
        """The parameters in which runs differ, in the order of the file."""
        return list(self.runs[0].varied)


def plan_sweep(given: Mapping[str, object], *, time_limit: float = TIME_LIMIT, smallest_count: int | None = None, accepted: Sequence[str] = (),
               notebooks: dict[str, Notebook] | None = None) -> Sweep:
    """Check a sweep, expand its grid, and gather what its runs take.

    Parameters
    ----------
    given : mapping
        What the sweep's file holds.
    time_limit : float
        Minutes that each notebook may take.
    smallest_count, accepted
        As in `medlib.report.start_run`.
    notebooks : dict of str to Notebook, optional
        The notebooks there are; left out: the project's.

    Raises
    ------
    MedlibError
        A key, parameter, value, notebook or dataset is not what it should be, or two runs are the same. Nothing was run.
    """
    known = list_notebooks() if notebooks is None else notebooks
    _check_keys(given)
    check_limit(time_limit)
    targets, sets = tuple(given.get("notebooks") or [REPORT]), expand_sets(given)
    checked = [_prepare(number, one, targets, known) for number, one in enumerate(sets, 1)]
    varied = _find_varied(sets, [parameters for _, parameters in checked])
    names = _name_runs([{name: parameters.get(name) for name in varied} for _, parameters in checked])
    taken = {notebook.name: notebook for chain, _ in checked for notebook in chain}
    texts = {f"notebooks/{notebook.path.name}": notebook.path.read_bytes() for notebook in taken.values()}
    files, runs, versions, commit = {}, [], describe_self(), read_commit()
    for name, (chain, parameters) in zip(names, checked):
        differing = {key: parameters.get(key) for key in varied}
        dataset = str(parameters.get("dataset", ""))
        if dataset not in files:
            inside, data = _gather_data(dataset) if "dataset" in parameters else (dataset, {})
            files[dataset] = (inside, texts | data)
        inside, content = files[dataset]
        manifest = make_manifest(name, chain, parameters | ({"dataset": inside} if "dataset" in parameters else {}), targets, time_limit,
                                 smallest_count, accepted, commit)
        manifest |= {"sweep": given["name"], "fingerprint": take_fingerprint(manifest, chain, content, versions)}
        runs.append(Planned(Task(manifest, versions), differing, dataset))
    return Sweep(str(given["name"]), targets, tuple(runs), {dataset: content for dataset, (_, content) in files.items()})


def read_sweep(file: Path, read_yaml: Callable[[Path], dict], **options: object) -> Sweep:
    """Read a sweep's file and plan it; `read_yaml` reads a mapping, and `options` are those of `plan_sweep`."""
    return plan_sweep({"name": re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem)} | read_yaml(file), **options)


def _check_keys(given: Mapping[str, object]) -> None:
    if unknown := [str(key) for key in given if key not in KEYS]:
        raise MedlibError(f"A sweep's file has the keys {', '.join(KEYS)}; got {unknown[0][:60]!r}.")
    if not isinstance(given.get("name"), str):
        raise MedlibError(f"A sweep needs a name, the folder below reports/; got {_shorten(given.get('name'))}.")
    check_name(given["name"])
    for key, kind, words in (("notebooks", list, "a list of names"), ("common", dict, "`parameter: value` lines"),
                             ("grid", dict, "`parameter: [values]` lines"), ("runs", list, "a list of parameter sets")):
        if given.get(key) is not None and not isinstance(given[key], kind):
            raise MedlibError(f"{key} must be {words}; got {_shorten(given[key])}.")
    if wrong := [target for target in given.get("notebooks") or [] if not isinstance(target, str)]:
        raise MedlibError(f"notebooks must be a list of names; got {_shorten(wrong[0])} in it.")
    for name, values in (given.get("grid") or {}).items():
        if not isinstance(values, list) or not values:
            raise MedlibError(f"grid takes a list of values for each parameter, at least one; got {_shorten(values)} for {str(name)[:60]!r}.")
    if wrong := [one for one in given.get("runs") or [] if not isinstance(one, dict)]:
        raise MedlibError(f"runs must be a list of parameter sets such as {{horizon: 7}}; got {_shorten(wrong[0])} in it.")


def _shorten(value: object) -> str:
    """A value to be told back; lists may hold each other a billion times, and whole numbers be too long to print."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    return "a number with too many digits" if isinstance(value, int) and abs(value) >= LARGEST else repr(value)[:60]


def expand_sets(given: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the parameter sets of a sweep: every combination of its grid, then its runs, each with what is common.

    Examples
    --------
    >>> expand_sets({"common": {"trees": 5}, "grid": {"horizon": [7, 14]}, "runs": [{"horizon": 28, "trees": 9}]})
    [{'trees': 5, 'horizon': 7}, {'trees': 5, 'horizon': 14}, {'trees': 9, 'horizon': 28}]
    """
    common, grid, runs = given.get("common") or {}, given.get("grid") or {}, given.get("runs") or []
    count = (math.prod(map(len, grid.values())) if grid else 0) + len(runs)
    if not count:
        raise MedlibError("A sweep needs a grid, runs, or both; this one has neither.")
    if count > MOST_RUNS:
        raise MedlibError(f"A sweep holds at most {MOST_RUNS:,} runs; this one has {count:,}.")
    if both := sorted(str(name) for name in set(common) & set(grid)):
        raise MedlibError(f"Parameter {both[0]!r} is both common and in the grid; leave it in one of them.")
    product = [dict(zip(grid, values)) for values in itertools.product(*grid.values())] if grid else []
    return [{**common, **one} for one in (*product, *runs)]


def _prepare(number: int, one: dict[str, object], targets: Sequence[str], known: dict[str, Notebook]) -> tuple[list[Notebook], dict[str, object]]:
    where = f"Run {number}: "
    if wrong := [str(name)[:60] for name, value in one.items() if not isinstance(name, str) or isinstance(value, list | dict)
                or isinstance(value, int) and abs(value) >= LARGEST]:
        raise MedlibError(f"{where}parameter {wrong[0]!r} must be one text, number or date; got a list, a mapping or too many digits.")
    if "workspace" in one:
        raise MedlibError(f"{where}every run of a sweep has a workspace of its own; leave the parameter 'workspace' out.")
    try:
        return prepare_run(one, list(targets), known)
    except MedlibError as error:
        raise MedlibError(f"{where}{error}") from None


def _find_varied(sets: list[dict[str, object]], checked: list[dict[str, object]]) -> list[str]:
    """Parameters in which runs differ, in the order in which the file names them; two runs that differ in none are refused."""
    order = list(dict.fromkeys(name for one in sets for name in one))
    varied = [name for name in order if len({repr(parameters.get(name)) for parameters in checked}) > 1]
    seen: dict[str, int] = {}
    for number, parameters in enumerate(checked, 1):
        key = repr([parameters.get(name) for name in varied])
        if key in seen:
            raise MedlibError(f"Runs {seen[key]} and {number} have the same parameters; leave one of them out.")
        seen[key] = number
    return varied


def _name_runs(differing: list[dict[str, object]]) -> list[str]:
    """Name each run after the values in which it differs; where that is no name, or two look alike, a hash of the values tells them apart."""
    names = ["_".join(_spell(name, value) for name, value in one.items()) or "run" for one in differing]
    lowered = [name.lower() for name in names]  # some systems take upper and lower case for the same
    return [name if lowered.count(name.lower()) == 1 and _is_name(name) else f"{re.sub(r'^[^A-Za-z0-9]+', '', name)[:60] or 'run'}-{_digest(one)}"
            for name, one in zip(names, differing)]


def _spell(name: str, value: object) -> str:
    """A text speaks for itself; a number, or a text that is empty, needs its parameter's name."""
    text = Path(str(value)).name if name == "dataset" else str(value)
    text = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
    return text if isinstance(value, str) and re.search("[A-Za-z]|-", text) else f"{name}-{text or 'none'}"


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except MedlibError:
        return False


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]


def _gather_data(dataset: str) -> tuple[str, dict[str, bytes]]:
    """Return what a run in a home of its own calls the dataset, and the dataset's files by path below that home."""
    located = catalog.locate_dataset(dataset)
    if entry := catalog.CATALOG.get(located):
        if not entry.file or entry.sha256 == "":
            return located, {}
        return located, {f"{MIRROR}/{entry.mirror or entry.name}/{entry.file}": catalog.fetch(entry).read_bytes()}
    folder = Path(located)
    tables = {path.name: path.read_bytes() for path in sorted(folder.iterdir())
              if path.suffix in (".csv", ".parquet") and path.stem in INPUTS and path.is_file()}
    place = f"data/own/{catalog.hash_folder(folder)[:8]}/{folder.name}"
    # Notebooks run in notebooks/, and no path of this machine goes with them.
    return f"../{place}", {f"{place}/{name}": content for name, content in tables.items()}
