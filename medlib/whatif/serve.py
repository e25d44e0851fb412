"""The what-if page in a browser: Voilà, which listens to this machine only and asks for a token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat

from medlib import tables
from medlib.errors import MedlibError
from medlib.report.pipeline import NOTEBOOKS

#: The tag of the notebook's cells that the page is made of.
PAGE = "page"
#: The page asks this server and nobody else: Voilà's template names a sheet of icons on another host, which the page does without.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"
#: Whatever a machine's own settings say. Voilà makes up a token at each start; given here, it would be seen in the list of processes.
SETTINGS = ("--token", "--Voila.ip=127.0.0.1", "--ServerApp.allow_remote_access=False", "--VoilaConfiguration.file_allowlist=nothing",
            "--VoilaConfiguration.allow_template_override=NO", "--VoilaConfiguration.allow_theme_override=NO")
#: Kernels are talked to by files; Windows has only ports.
IPC = () if os.name == "nt" else ("--KernelManager.transport=ipc",)


def make_page_notebook(workspace: str) -> nbformat.NotebookNode:
    """Return the cells of notebook 60_what_if that the page is made of, with the workspace put in.

    Raises
    ------
    MedlibError
        The workspace lacks what notebook 40_allocate writes.
    """
    if not tables.has("rules", workspace):
        raise MedlibError(f"The what-if page takes up a plan, and {workspace} has none; name a run's tables, such as reports/NAME/tables, or make "
                          "one with `medlib run 40_allocate`.")
    notebook = nbformat.read(NOTEBOOKS / "60_what_if.ipynb", as_version=4)
    head = nbformat.v4.new_markdown_cell("\n".join(notebook.cells[0].source.splitlines()[:3]))
    parameters, page = ([cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])] for tag in ("parameters", PAGE))
    # Seen from anywhere: the kernel works in a folder of its own.
    given = nbformat.v4.new_code_cell(f"workspace = {str(Path(tables.PROJECT, workspace).resolve())!r}")
    notebook.cells = [head, *parameters, given, *page]
    return notebook


def serve_page(workspace: str, options: Sequence[str] = ()) -> int:
    """Serve the page until somebody stops it; returns Voilà's exit code.

    Parameters
    ----------
    workspace : str
        Folder of tables in which 40_allocate has run.
    options : sequence of str
        For Voilà, such as ``--no-browser`` and ``--port=8888``.

    Raises
    ------
    MedlibError
        As `make_page_notebook`.
    """
    notebook = make_page_notebook(workspace)
    with tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True) as place:
        path = Path(place) / "what_if.ipynb"
        nbformat.write(notebook, path)
        command = [sys.executable, "-m", "voila", str(path), *SETTINGS, *IPC, *options]
        # The folder that Voilà starts in is where it looks for settings first; one with a text in it fits into no option.
        (Path(place) / "voila.json").write_text(json.dumps({"Voila": {"tornado_settings": {"headers": {"Content-Security-Policy": POLICY}}}}))
        with subprocess.Popen(command, cwd=place) as voila:
            signal.signal(signal.SIGTERM, lambda *_: voila.terminate())  # else it would go on alone
            while True:
                try:
                    return voila.wait()
                except KeyboardInterrupt:
                    pass  # Voilà has had the same Ctrl-C, and ends its kernels
