"""Execute one notebook in a kernel of its own, within a time limit, and tell in one sentence what went wrong.

The executed notebook is stored without times and machine paths, so that two runs with the same parameters store the same bytes.
Only this module knows papermill.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat

from medlib.report.files import NO_ROOM, tell_trouble, write_whole
from medlib.report.lock import Lock
from medlib.report.pipeline import NOTEBOOKS, Notebook
from medlib.report.secrets import mask, mask_outputs, register_translator
from medlib.report.warm import make_provisioner

MEMORY = "close other programs, or take fewer sites, scenarios or trees; then go on with `medlib run --resume`."


def execute_notebook(notebook: Notebook, folder: Path, parameters: Mapping[str, object], on_cell: Callable[[int, int], None],
                     limit: float = math.inf, lock: Lock | None = None, secrets: Mapping[str, str] | None = None,
                     home: Path | None = None, environment: Mapping[str, str] | None = None, warm: bool = False) -> dict | None:
    """Execute a notebook into ``notebooks/`` of a run.

    Parameters
    ----------
    notebook : Notebook
    folder : pathlib.Path
        The run's folder.
    parameters : mapping of str to object
        Values for the notebook's parameters cell, secrets hidden.
    on_cell : callable
        Called with (cells done, cells in all).
    limit : float
        Time limit in seconds; the kernel is killed after it.
    lock : Lock, optional
        The run's lock, which the kernel inherits.
    secrets : mapping of str to str, optional
        Values that may not be stored, by name.
    home : pathlib.Path, optional
        Folder with notebooks/, data/ and reports/, where that is not the project's.
    environment : mapping of str to str, optional
        What the kernel's environment holds besides this process's.
    warm : bool
        The kernel starts as a copy of a process that has imported the packages already, where the system can; it is told to use one thread
        (by `environment`), for a process with more can't be copied.

    Returns
    -------
    dict or None
        What went wrong: notebook, cell, reason, whether it is the user's mistake, and, where the kernel died, `died`.

    Raises
    ------
    OSError
        The executed notebook can't be stored.
    """
    import papermill
    from papermill.engines import papermill_engines

    register_translator()
    sockets = tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True)
    engine = _make_engine(on_cell)
    papermill_engines.register("medlib", engine)
    notebooks = home / "notebooks" if home else NOTEBOOKS
    more = {**(environment or {}), **({"MEDLIB_HOME": str(home)} if home else {})}
    end, error = time.monotonic() + limit, None
    on_cell(0, 1)
    try:
        with sockets:
            papermill.execute_notebook(
                notebook.path, None, parameters=parameters, engine_name="medlib", kernel_name="python3", progress_bar=False, cwd=notebooks,
                kernel_manager_class=_make_manager(sockets.name, lock, more, warm), extra_arguments=["--log-level=CRITICAL"],
                # Printed lines come in one piece or several as the machine is busy; joined, they are the same every time.
                coalesce_streams=True, record_timing=False,
                timeout_func=lambda cell: None if end == math.inf else max(end - time.monotonic(), 0.1))
    except Exception as trouble:  # a cell's error, a kernel that died or would not start, the time limit
        error = _tell_error(trouble, notebook.name, engine.cell, limit)
        error["reason"] = mask(error["reason"], secrets or {})
    if engine.notebook is not None:
        _store(engine.notebook, folder / "notebooks" / notebook.path.name, secrets or {})
    return error


def _make_engine(on_cell: Callable[[int, int], None]) -> type:
    from papermill.engines import NBClientEngine

    class Engine(NBClientEngine):
        """papermill's own engine, telling how many cells are done and keeping hold of the notebook and its cell."""

        notebook, cell = None, None

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            start, complete, cls.notebook = nb_man.cell_start, nb_man.cell_complete, nb_man.nb

            def cell_start(cell, cell_index=None, **more):
                cls.cell = cell
                start(cell, cell_index=cell_index, **more)

            def cell_complete(cell, cell_index=None, **more):
                complete(cell, cell_index=cell_index, **more)
                on_cell((cell_index or 0) + 1, len(nb_man.nb.cells))

            nb_man.cell_start, nb_man.cell_complete = cell_start, cell_complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    return Engine


def _make_manager(sockets: str, lock: Lock | None, environment: Mapping[str, str], warm: bool) -> type:
    from jupyter_client import AsyncKernelManager

    class Manager(AsyncKernelManager):
        """Kernels that talk over files of their own instead of network ports, where the system can."""

        if os.name != "nt":
            # Unless told, all kernels take kernel-ipc-1 to -5 in the notebooks' folder, and two runs at once get mixed up.
            transport, ip = "ipc", f"{sockets}/kernel"

        async def start_kernel(self, **options):
            """Start a kernel that holds the run's lock; its last words at shut-down don't reach the user, what a cell prints does."""
            if lock and os.name != "nt":
                options["pass_fds"] = (lock.file,)
            if environment:
                options["env"] = (options.get("env") or dict(os.environ)) | environment
            if warm:
                self.provisioner = make_provisioner(self)
            await super().start_kernel(stderr=subprocess.DEVNULL, **options)
            if lock:
                lock.note_kernel(self.provisioner.pid)

    return Manager


def _store(notebook: nbformat.NotebookNode, path: Path, secrets: Mapping[str, str]) -> None:
    """Store what was executed, without times, machine paths, random cell names and secrets."""
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        if {"injected-parameters", "papermill-error-cell-tag"} & set(cell.metadata.get("tags", [])):
            cell["id"] = f"papermill-{number}"
    mask_outputs(notebook, secrets)
    write_whole(path, nbformat.writes(notebook) + "\n")


def _tell_error(trouble: Exception, name: str, cell: nbformat.NotebookNode | None, limit: float) -> dict:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    mistake, died = isinstance(trouble, PapermillExecutionError) and trouble.ename == "MedlibError", False
    if mistake:
        reason = trouble.evalue
    elif isinstance(trouble, PapermillExecutionError):
        reason = _tell_cell_error(trouble.ename, trouble.evalue)
    elif isinstance(trouble, CellTimeoutError):
        reason = (f"the notebook was not done within its time limit of {limit / 60:g} minutes; give it longer with --time-limit, or less "
                  "to do.")
    elif isinstance(trouble, DeadKernelError) or "Kernel died" in str(trouble):  # the latter while it starts
        reason, died = f"the kernel died, most often because the memory is full; {MEMORY}", True
    else:
        reason = tell_trouble(trouble) if isinstance(trouble, OSError) else str(trouble) or type(trouble).__name__
    lines = cell.source.strip().splitlines() if cell else []
    # The cell that a kernel died in or was stopped in has no number yet.
    number = getattr(trouble, "exec_count", None) or "unfinished"
    return {"notebook": name, "cell": f"{number} ({lines[0] if lines else ''})" if cell else "unknown",
            "reason": re.sub(r"\s+", " ", reason).strip(), "mistake": mistake} | ({"died": True} if died else {})


def _tell_cell_error(kind: str, text: str) -> str:
    """Say what a cell raised; a full disk or memory in words."""
    if kind == "MemoryError":
        return f"the memory is full (MemoryError); {MEMORY}"
    if number := re.search(r"\[Errno (\d+)\]", text):
        if kind == "OSError" and int(number[1]) in NO_ROOM:
            return tell_trouble(OSError(int(number[1]), os.strerror(int(number[1]))))
    return f"{kind}: {text}"
