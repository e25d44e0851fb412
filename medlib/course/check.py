"""Check a learner's notebook: run its cells in a fresh kernel, task by task, and let the source's checks judge each answer.

What comes back are hints and no answers: nothing of a solution or a check is told but the words of its hints. The notebook is only read.
It runs with the rights of whoever checks it, in its own folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat

from medlib.course.exercises import EXERCISES, Exercise, Task, read_exercise, split_tasks
from medlib.errors import MedlibError

#: Minutes that a whole notebook may take.
TIME_LIMIT = 10.0
#: Characters of the longest sentence that a learner's own error may bring.
LONGEST = 300
LATER = "not checked, for the notebook stopped before it."


@dataclass(frozen=True)
class Verdict:
    """What the check says of one task: its title, a state (right, not yet, not begun, missing, stopped, not checked) and the sentence."""

    task: str
    state: str
    words: str

    def __str__(self) -> str:
        return f"{self.task}: {self.words}"


class Lost(Exception):
    """The kernel is gone: it died, or was stopped at the time limit."""


def check_exercise(name: str, file: Path | None = None, limit: float = TIME_LIMIT, folder: Path = EXERCISES) -> list[Verdict]:
    """Check a learner's notebook against an exercise.

    Parameters
    ----------
    name : str
        Of the exercise, such as E10.
    file : pathlib.Path, optional
        The learner's notebook; left out: the one that stands beside the source.
    limit : float
        Time limit of the whole notebook in minutes; the kernel is killed after it.
    folder : pathlib.Path
        Where the sources stand.

    Returns
    -------
    list of Verdict
        One a task, in order; before them one named 'Set-up' if the cells before the first task stopped.

    Raises
    ------
    MedlibError
        There is no such exercise, the file is no notebook or belongs to another exercise, or the limit is not positive.
    """
    if not limit > 0:
        raise MedlibError(f"The time limit must be more than 0 minutes; got {limit:g}.")
    exercise = read_exercise(name, folder)
    file = (file or exercise.path).absolute()
    setup, parts = split_tasks(_number_cells(_read_answer(file, exercise)))
    with _start_kernel(file.parent, limit) as run:
        return _check_tasks(exercise, setup, parts, run)


def _read_answer(file: Path, exercise: Exercise) -> nbformat.NotebookNode:
    try:
        notebook = nbformat.read(file, as_version=4)
    except OSError as error:
        raise MedlibError(f"The notebook {file.name} can't be read ({error.strerror}); name your copy of {exercise.path.name}.") from None
    except Exception as error:  # a file that is no notebook fails in many ways
        raise MedlibError(f"{file.name} is no notebook that can be read ({type(error).__name__}); save it from Jupyter as .ipynb.") from None
    heads = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    other = re.search(r"^# (E\d\d)\b", heads, re.M)
    if other and other[1] != exercise.name:
        raise MedlibError(f"{file.name} is an answer to {other[1]}, not to {exercise.name}; run `medlib check-exercise {other[1]}`.")
    return notebook


def _number_cells(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Number code cells as running all of them in order would; empty ones have no number in Jupyter."""
    number = 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            number += 1
            cell.execution_count = number
    return notebook


def _check_tasks(exercise: Exercise, setup: list, parts: dict[int, list], run: Callable) -> list[Verdict]:
    asked = [name for task in exercise.tasks for name in task.names]
    verdicts, now = [], "Set-up"
    try:
        if trouble := _run_cells(setup, run):
            return [Verdict("Set-up", "stopped", trouble), *_leave(exercise.tasks, [])]
        run("from medlib.course import judge as _judge; _judge.remember(globals())")
        for task in exercise.tasks:
            now = task.title
            verdicts.append(_check_task(task, asked, parts.get(task.number), run))
    except Lost as lost:
        verdicts.append(Verdict(now, "stopped", str(lost)))
    return [*verdicts, *_leave(exercise.tasks, verdicts)]


def _leave(tasks: tuple[Task, ...], verdicts: list[Verdict]) -> list[Verdict]:
    """Verdicts of the tasks that were not reached."""
    told = {verdict.task for verdict in verdicts}
    return [Verdict(task.title, "not checked", LATER) for task in tasks if task.title not in told]


def _check_task(task: Task, asked: list[str], cells: list | None, run: Callable) -> Verdict:
    if cells is None:
        return Verdict(task.title, "missing", f"its heading is missing from your notebook; write '## {task.title}' above your answer.")
    if trouble := _run_cells(cells, run):
        return Verdict(task.title, "stopped", trouble)
    error = run(f"__import__('medlib.course.judge').course.judge.judge(globals(), {task.names!r}, {asked!r}, {task.checks!r})")
    if error is None:
        return Verdict(task.title, "right", "right")
    name, words = error
    if name == "NotBegun":
        return Verdict(task.title, "not begun", "not begun")
    if name == "AssertionError":
        return Verdict(task.title, "not yet", f"not yet. {_shorten(words) or 'The answer is not what was asked for.'}")
    return Verdict(task.title, "not yet", f"not yet. Your answer could not be judged ({_tell(name, words)}); compare its type with what the task "
                                          "asks for, and the first cells with those of the exercise.")


def _run_cells(cells: list, run: Callable) -> str | None:
    """Run cells in order; tells what stopped the first that failed."""
    for cell in cells:
        if cell.cell_type == "code" and cell.source.strip():
            if error := run(cell.source, cell.execution_count):
                return f"your cell stopped with {_tell(*error)} (cell {cell.execution_count})"
    return None


def _tell(name: str, words: str) -> str:
    return f"{name}: {_shorten(words)}" if words.strip() else name


def _shorten(words: str) -> str:
    # Python names the file of a cell that it could not read; a learner knows of none.
    line = re.sub(r"\(\d+\.py, (line \d+)\)", r"(\1)", " ".join(words.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


@contextmanager
def _start_kernel(folder: Path, limit: float) -> Iterator[Callable[..., tuple[str, str] | None]]:
    """Give a function that runs code in a kernel of its own and returns the error's name and words, or None."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    end = None  # the clock starts with the kernel

    def run(source: str, number: int | None = None) -> tuple[str, str] | None:
        client.nb.cells = [nbformat.v4.new_code_cell(source)]
        place = f" (cell {number})" if number else ""
        try:
            # What is run for the check leaves no trace in the kernel's history, where a later cell could read it.
            client.execute_cell(client.nb.cells[0], 0, store_history=number is not None)
        except CellExecutionError as error:
            return error.ename, error.evalue
        except CellTimeoutError:
            raise Lost(f"not done within the time limit of {limit:g} minutes{place}; give it less to do, or more time with --time-limit.") from None
        except DeadKernelError:
            raise Lost(f"the kernel died{place}, most often because the memory is full; give it less to do.") from None

    with tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True) as sockets:
        client = _make_client(folder, sockets, lambda cell: max(end - time.monotonic(), 0.1))
        try:
            with client.setup_kernel():
                end = time.monotonic() + 60 * limit
                yield run
        except RuntimeError as error:
            if "Kernel died" not in str(error):
                raise
            raise MedlibError("The kernel did not start, most often because the memory is full; close other programs and try again.") from None


def _make_client(folder: Path, sockets: str, count_seconds: Callable):
    """Make a notebook client; `count_seconds` tells how long a cell may take."""
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    class Manager(AsyncKernelManager):
        """Kernels that talk over files of their own, where the system can: many checks may go on at once."""

        if os.name != "nt":
            transport, ip = "ipc", f"{sockets}/kernel"

        async def start_kernel(self, **options):
            """Start a kernel; its own warnings, and what programs print that a cell starts (a solver's log), are nobody's business."""
            await super().start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

    class Client(NotebookClient):
        """A client that forgets what cells print: nobody reads it, and an endless loop may print without end."""

        def output(self, outs, msg, display_id, cell_index):
            return None

    return Client(nbformat.v4.new_notebook(), kernel_name="python3", kernel_manager_class=Manager, resources={"metadata": {"path": str(folder)}},
                  timeout_func=count_seconds, shutdown_kernel="immediate", force_raise_errors=True)
