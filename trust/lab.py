"""JupyterLab as `make lab` starts it, and its notebooks run in a real browser: python -m trust.lab [NAME ...]

Restarts the kernel and runs all cells of every notebook, or of those named, as a person would: by the button. One line a notebook;
exit code 1 where a cell failed. The notebooks are copies, for JupyterLab saves what it shows. With ``--picture FILE`` one of them is run
for a picture of JupyterLab.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bootstrap

#: Lets a test ask JupyterLab in the browser what it shows.
EXPOSED = "--LabApp.expose_app_in_browser=True"
#: Seconds until JupyterLab must have started, and until a notebook must have been run.
START, RUN = 120, 1800
#: What JupyterLab shows, as it tells itself: the page holds only those cells that are in sight.
SHOWN = "window.jupyterapp?.shell.currentWidget?.context"
READY = f"name => {SHOWN}?.isReady && {SHOWN}.path.endsWith(name) && {SHOWN}.sessionContext.session?.kernel?.status === 'idle'"


@contextmanager
def start_lab(folder: Path, *options: str) -> Iterator[dict]:
    """Start JupyterLab on a folder, with settings of its own and further options, and end it.

    Yields
    ------
    dict
        What the server says about itself: url, port, token.

    Raises
    ------
    TimeoutError
        It did not start.
    """
    place = {name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    command = [sys.executable, "-m", "jupyter", "lab", *bootstrap.LAB, *options, "--no-browser", f"--ServerApp.port={_find_port()}", f"--ServerApp.root_dir={folder}"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with open(folder / "log", "w") as log, subprocess.Popen(command, env=os.environ | place, stdout=log, stderr=log, cwd=folder) as lab:
        try:
            began = time.monotonic()
            while not (found := list(folder.glob("JUPYTER_RUNTIME_DIR/jpserver-*.json"))) and lab.poll() is None and time.monotonic() - began < START:
                time.sleep(0.2)
            if not found:
                raise TimeoutError("JupyterLab did not start")
            yield json.loads(found[0].read_text(encoding="utf-8"))
        finally:
            lab.terminate()


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the numbered notebooks into a folder, as if they had never been run; they find the sample's tables by the installed package."""
    import nbformat
    from nbconvert.preprocessors import ClearOutputPreprocessor
    (folder / "notebooks").mkdir()
    copies = []
    for path in sorted((bootstrap.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook, _ = ClearOutputPreprocessor().preprocess(nbformat.read(path, as_version=4), {})
        copies.append(folder / "notebooks" / path.name)
        nbformat.write(notebook, copies[-1])
    return copies


def open_lab(tab, server: dict) -> None:
    """Show JupyterLab, started with `EXPOSED`, in a tab of a browser."""
    tab.goto(f"{server['url']}lab?token={server['token']}&reset")
    tab.wait_for_function("() => window.jupyterapp?.started", timeout=START * 1000)
    tab.evaluate("() => window.jupyterapp.started.then(() => window.jupyterapp.restored).then(() => null)")


def open_notebook(tab, name: str) -> None:
    """Show a notebook in JupyterLab, and wait until its cells are there and its kernel answers."""
    tab.evaluate("path => { window.jupyterapp.commands.execute('docmanager:open', {path}) }", f"notebooks/{name}")
    tab.wait_for_function(READY, arg=name, timeout=START * 1000)


def run_notebook(tab, limit: float = RUN) -> list[str]:
    """Restart the kernel of the notebook that is shown and run all cells, by the button, and say what failed.

    Parameters
    ----------
    tab : playwright.sync_api.Page
    limit : float
        Seconds.

    Returns
    -------
    list of str
        Errors of cells, or what was not run; empty if all is well.
    """
    tab.locator("[data-command='notebook:restart-run-all']:visible").first.click()
    tab.locator(".jp-Dialog .jp-mod-accept").first.click()
    end = time.monotonic() + limit
    while True:
        tab.wait_for_timeout(500)
        cells = [cell for cell in tab.evaluate(f"() => {SHOWN}.model.toJSON()")["cells"] if cell["cell_type"] == "code"]
        errors = [f"cell {cell['execution_count']}: {output['ename']}: {output['evalue']}"
                  for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
        late = [f"code cell {number} was not run" for number, cell in enumerate(cells, 1) if cell["execution_count"] is None]
        if errors or not late or time.monotonic() > end:
            return errors or late[:1]


def take_picture(tab, path: Path) -> None:
    """Write a PNG of JupyterLab with the first chart of the notebook that is shown."""
    from PIL import Image
    tab.locator(".Toastify button", has_text="No").first.click()  # whether there may be news, which a fresh JupyterLab asks
    tab.evaluate(f"""() => {{
        const index = {SHOWN}.model.toJSON().cells.findIndex(cell => cell.outputs?.some(output => output.data?.["image/png"]));
        const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = index;
        return notebook.scrollToItem(index, "start");
    }}""")
    tab.wait_for_timeout(1500)  # the page draws what has come into sight
    # 256 colours are enough, and make a third of the size.
    Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(256).save(path, optimize=True)


def stop_kernels(server: dict) -> None:
    """End all kernels, so that twenty notebooks don't lie in memory side by side."""
    head = {"Authorization": f"token {server['token']}"}
    sessions = json.load(urllib.request.urlopen(urllib.request.Request(f"{server['url']}api/sessions", headers=head), timeout=20))
    for session in sessions:
        urllib.request.urlopen(urllib.request.Request(f"{server['url']}api/sessions/{session['id']}", headers=head, method="DELETE"), timeout=20)


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(arguments: list[str]) -> int:
    """Run the notebooks named, or all, and print a line each."""
    from medlib.report.browser import find_browser, open_tab
    parser = argparse.ArgumentParser(prog="python -m trust.lab", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a notebook, such as 10_linear_program; left out: all")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write a PNG of the last notebook in JupyterLab")
    given = parser.parse_args(arguments)
    browser = find_browser()
    if browser is None:
        print("This needs Chromium or Chrome, and playwright (`pip install medlib[test]`).", file=sys.stderr)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True) as place:
        names = [path.name for path in copy_notebooks(Path(place)) if not given.names or path.stem in given.names]
        with start_lab(Path(place), EXPOSED) as server, open_tab("about:blank", browser) as visit:
            open_lab(visit.tab, server)
            for name in names:
                began = time.monotonic()
                open_notebook(visit.tab, name)
                errors = run_notebook(visit.tab)
                failed += bool(errors)
                print(f"{name}: {'; '.join(errors) or 'no error'} ({time.monotonic() - began:.0f} s)", flush=True)
                if given.picture and name == names[-1]:
                    take_picture(visit.tab, given.picture)
                stop_kernels(server)
    print(f"{len(names)} notebooks, {failed} with an error")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
