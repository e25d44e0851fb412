"""The exercises: a source with solutions and checks, the notebook that learners get from it, and the tasks in both.

`E10_sol.ipynb` is the source. Its tasks stand under headings such as ``## Task 1 (easy): ...``; cells tagged `solution` answer them and
cells tagged `check` judge answers. `E10_ex.ipynb` is generated: the same without those cells.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from medlib.errors import MedlibError
from medlib.tables import PROJECT

EXERCISES = PROJECT / "notebooks" / "exercises"
LEVELS = ("easy", "medium", "hard")
#: Tags of cells that learners do not get.
HIDDEN = {"solution", "check"}
#: How a task begins; learners may change the words, not the number.
HEADING = re.compile(r"^#{1,6} *Task (\d+)\b(?: \((\w+)\))?", re.M)
#: Said under the head of every generated notebook.
HOW = ("**How** Put your answer in the place of each `...`. Add cells below a task as you like, but leave the headings. Save, then run the check in a "
       "terminal in the project's folder, where `medlib` is `.venv/bin/medlib` unless an environment is active; for a copy elsewhere, name its file: "
       "`medlib check-exercise {name} FILE`. The check gives hints, not answers.")


@dataclass(frozen=True)
class Task:
    """One task: its number and level, the names that an answer assigns, and the code that judges them."""

    number: int
    level: str
    names: tuple[str, ...]
    checks: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the check calls it."""
        return f"Task {self.number} ({self.level})"


@dataclass(frozen=True)
class Exercise:
    """One exercise: its name such as E10, the source, the notebook made from it, and its tasks in order."""

    name: str
    source: Path
    path: Path
    tasks: tuple[Task, ...]


def list_exercises(folder: Path = EXERCISES) -> list[str]:
    """Return the names of the exercises, in order of their chapters."""
    return [path.stem.removesuffix("_sol") for path in sorted(folder.glob("E[0-9][0-9]_sol.ipynb"))]


def read_exercise(name: str, folder: Path = EXERCISES) -> Exercise:
    """Read an exercise's source.

    Parameters
    ----------
    name : str
        Such as E10.
    folder : pathlib.Path

    Returns
    -------
    Exercise

    Raises
    ------
    MedlibError
        There is no such exercise, or its source is not built as it should be.
    """
    names = list_exercises(folder)
    if name.upper() not in names:
        raise MedlibError(f"There is no exercise {name!r}; the exercises are {', '.join(names) or 'none yet'}.")
    name = name.upper()
    path = folder / f"{name}_sol.ipynb"
    _, parts = split_tasks(nbformat.read(path, as_version=4))
    return Exercise(name, path, folder / f"{name}_ex.ipynb", tuple(_read_task(number, cells, path.name) for number, cells in parts.items()))


def _read_task(number: int, cells: list[nbformat.NotebookNode], where: str) -> Task:
    level = HEADING.search(cells[0].source)[2]
    code = [cell for cell in cells if cell.cell_type == "code"]
    names = [name for cell in code if not get_tags(cell) & HIDDEN for name in find_blanks(cell.source)]
    checks = tuple(cell.source for cell in code if "check" in get_tags(cell))
    solved = any("solution" in get_tags(cell) for cell in code)
    if level not in LEVELS or not names or not checks or not solved:
        raise MedlibError(f"{where}: task {number} needs a level of {', '.join(LEVELS)}, a cell that assigns `...` to the names asked for, and "
                          f"code cells tagged 'solution' and 'check'; got level {level}, {len(names)} names and {len(checks)} checks.")
    return Task(number, level, tuple(names), checks)


def split_tasks(notebook: nbformat.NotebookNode) -> tuple[list[nbformat.NotebookNode], dict[int, list[nbformat.NotebookNode]]]:
    """Split a notebook at the headings of its tasks.

    Parameters
    ----------
    notebook : nbformat.NotebookNode

    Returns
    -------
    setup : list of cells
        What stands before the first task.
    tasks : dict of int to list of cells
        By number, from the heading to the next task's or to the notebook's end.
    """
    setup: list[nbformat.NotebookNode] = []
    tasks: dict[int, list[nbformat.NotebookNode]] = {}
    current = setup
    for cell in notebook.cells:
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            current = tasks.setdefault(int(heading[1]), [])
        current.append(cell)
    return setup, tasks


def get_tags(cell: nbformat.NotebookNode) -> set[str]:
    """Return a cell's tags."""
    return set(cell.metadata.get("tags", []))


def find_blanks(source: str) -> list[str]:
    """Return the names to which code assigns `...`.

    >>> find_blanks("share = ...  # 0 to 1\\nlimit = 3")
    ['share']
    """
    return [target.id for node in ast.parse(source).body if isinstance(node, ast.Assign) and getattr(node.value, "value", None) is ...
            for target in node.targets if isinstance(target, ast.Name)]


def format_exercise(exercise: Exercise) -> str:
    """Return the learner's notebook as text: the source without solutions, checks and outputs."""
    notebook = nbformat.read(exercise.source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not get_tags(cell) & HIDDEN]
    notebook.cells[0].source += "\n\n" + HOW.format(name=exercise.name)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def write_exercises(folder: Path = EXERCISES) -> list[Path]:
    """Write every learner's notebook that differs from what its source makes.

    Returns
    -------
    list of pathlib.Path
        The files that were written.
    """
    from medlib.report.files import write_whole  # with it comes all of medlib.report, which a check does without
    written = []
    for exercise in (read_exercise(name, folder) for name in list_exercises(folder)):
        text = format_exercise(exercise)
        if not exercise.path.is_file() or exercise.path.read_text(encoding="utf-8") != text:
            written.append(write_whole(exercise.path, text))
    return written
