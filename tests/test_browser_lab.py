"""JupyterLab in a real browser: it opens every notebook, and runs the short ones to their end by its own button.

All of them, the long ones too, are run by `python -m trust.lab`.
"""

import json
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from medlib.report.browser import find_browser, open_tab
from medlib.tables import PROJECT
from nbformat import v4, write
from trust.lab import EXPOSED, SHOWN, copy_notebooks, open_lab, open_notebook, run_notebook, start_lab, stop_kernels

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium and playwright on this machine")
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
#: A notebook whose head tells that it takes longer is opened and not run, in seconds.
SHORT = 10


def read_run_time(path):
    return int(re.search(r"\*\*Run time\*\* about (\d+) s", path.read_text(encoding="utf-8"))[1])


@pytest.fixture(scope="module")
def lab():
    """The folder, the server, and a tab of a browser; a notebook that fails is there besides."""
    with tempfile.TemporaryDirectory(prefix="medlib-", ignore_cleanup_errors=True) as place:
        copy_notebooks(Path(place))
        cells = [v4.new_code_cell("1 + 1"), v4.new_code_cell("1 / 0"), v4.new_code_cell("2 + 2")]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        write(v4.new_notebook(cells=cells, metadata=kernel), Path(place) / "notebooks" / "fails.ipynb")
        with start_lab(Path(place), EXPOSED) as server, open_tab("about:blank", find_browser()) as visit:
            open_lab(visit.tab, server)
            yield server, visit


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_and_a_short_one_runs(lab, path):
    server, visit = lab
    open_notebook(visit.tab, path.name)
    shown = visit.tab.evaluate(f"() => {SHOWN}.model.toJSON()")["cells"]
    stored = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [cell["source"] for cell in shown] == ["".join(cell["source"]) for cell in stored]
    assert visit.tab.locator(".jp-Notebook h1:visible").first.inner_text().startswith(path.stem[:2])
    assert run_notebook(visit.tab, 240) == [] if read_run_time(path) <= SHORT else True
    stop_kernels(server)


def test_some_are_short():
    assert len([path for path in NOTEBOOKS if read_run_time(path) <= SHORT]) >= 3


def test_a_cell_that_fails_is_told(lab):
    server, visit = lab
    open_notebook(visit.tab, "fails.ipynb")
    assert run_notebook(visit.tab, 120) == ["cell 2: ZeroDivisionError: division by zero"]
    stop_kernels(server)


def test_the_browser_asked_this_machine_only(lab):
    server, visit = lab
    hosts = {urlsplit(url).netloc for url in visit.requests}
    assert hosts == {urlsplit(server["url"]).netloc}
