"""The notebooks as notebooks: their form, their index, their tables. nbval runs each of them alone on data/sample."""

import io
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from medlib.report import format_index, list_notebooks
from medlib.report.pipeline import NOTEBOOKS
from medlib.schema import EXTRA_INPUTS, TABLES
from medlib.tables import PROJECT

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
LARGEST_OUTPUT = 4_000


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestForm:
    def test_head_and_end(self, path):
        notebook = read(path)
        head, end = notebook.cells[0].source, notebook.cells[-1].source
        assert re.match(rf"# {path.stem[:2]} \S", head)
        for word in ("**You will learn**", "**Reads**", "**Writes**", "**Run time**"):
            assert word in head
        assert "## What we learned" in end and "**Exercise" in end and "**Next" in end

    def test_parameters(self, path):
        tagged = [cell for cell in code_cells(read(path)) if "parameters" in tags(cell)]
        assert len(tagged) == 1
        assert {"seed", "workspace"} <= set(list_notebooks()[path.stem].parameters)

    def test_outputs_are_stored_small_and_in_order(self, path):
        cells = code_cells(read(path))
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        checked = [cell for cell in cells if "nbval-check-output" in tags(cell)]
        assert checked, "a notebook without a checked output proves nothing"
        assert all(cell.outputs for cell in checked), "a stripped cell that is tagged passes silently"
        for cell in cells:
            for output in cell.outputs:
                assert output.output_type != "error" and output.get("name") != "stderr"
                assert sum(len(str(part)) for part in output.get("data", output).values()) <= LARGEST_OUTPUT

    def test_cells_are_short(self, path):
        # Parameters are a list, a line each.
        lengths = [len(cell.source.splitlines()) for cell in code_cells(read(path)) if "parameters" not in tags(cell)]
        assert max(lengths) <= 20
        assert sorted(lengths)[len(lengths) // 2] <= 6

    def test_no_long_functions(self, path):
        for cell in code_cells(read(path)):
            for body in re.findall(r"^def .*?(?=^\S|\Z)", cell.source, re.M | re.S):
                assert len(body.strip().splitlines()) <= 6, "what is longer belongs in medlib"

    def test_declared_tables_are_those_used(self, path):
        notebook = list_notebooks()[path.stem]
        source = "\n".join(cell.source for cell in code_cells(read(path)))
        named = {name for name in TABLES if re.search(rf"[\"']{name}[\"']", source)}
        assert {*notebook.reads, *notebook.on_request} <= named, "a table is declared but not read"
        if path.stem != "01_collect":  # which writes whatever the dataset has
            assert set(notebook.writes) <= named, "a table is declared but not written"
        written = set(re.findall(r"tables\.write\(\w+, [\"'](\w+)[\"']", source))
        assert written <= set(notebook.writes), "a table is written but not declared"
        read_directly = set(re.findall(r"(?:tables\.read|\bread)\([\"'](\w+)[\"']", source))
        assert read_directly <= {*notebook.reads, *notebook.on_request}, "a table is read but not declared"
        assert {TABLES[name].writer for name in notebook.writes} <= {path.stem}


def test_readme_index_is_current():
    assert format_index(list_notebooks()) in (PROJECT / "README.md").read_text(encoding="utf-8"), "run `medlib index`"


def test_every_table_has_a_writer_that_exists():
    notebooks = list_notebooks()
    for table in TABLES.values():
        assert table.writer in notebooks
        assert table.name in EXTRA_INPUTS or table.name in notebooks[table.writer].writes


def test_sample_workspace_holds_every_table():
    present = {path.stem for path in (PROJECT / "data" / "sample").glob("*.parquet")}
    assert present == set(TABLES) - set(EXTRA_INPUTS)


def test_sample_workspace_is_what_the_code_makes(tmp_path):
    """The committed input tables equal those that the generator makes today."""
    from medlib import catalog, tables
    inputs, _ = catalog.load_dataset("sample", seed=1)
    for name, frame in inputs.items():
        stored = "demand_collected" if name == "demand" else name
        tables.write(frame, stored, tmp_path)
        made, kept = (tables.read(stored, workspace) for workspace in (tmp_path, "data/sample"))
        if name == "equipment":  # another version of the picture library may pack the same picture into other bytes
            shown, were = (np.stack([np.asarray(Image.open(io.BytesIO(picture)), int) for picture in rows.pop("picture")])
                           for rows in (made, kept))
            assert abs(shown - were).mean() < 2
        assert made.equals(kept), stored
