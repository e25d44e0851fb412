"""Every message that a report can use, for translators and for the test that none of them lacks its translation."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import nbformat

from medlib import catalog, tables
from medlib.explain.words import spell_resource
from medlib.forecast import FORECASTERS
from medlib.recognise.working import SOURCES
from medlib.report.page import HIDDEN, split_blocks
from medlib.report.pipeline import NOTEBOOKS
from medlib.report.run import REPORT
from medlib.simulate import RUNGS


def list_messages(package: Path = tables.PROJECT / "medlib", notebook: Path = NOTEBOOKS / f"{REPORT}.ipynb",
                  workspace: str = "data/sample") -> dict[str, list[str]]:
    """List every message of a report, with the places that say it.

    Parameters
    ----------
    package, notebook : pathlib.Path
        Where `say` is called with a text, and whose Markdown stands in the page.
    workspace : str
        Folder of tables that hold every word which medlib writes into tables.

    Returns
    -------
    dict of str to list of str
    """
    found: dict[str, list[str]] = {}
    for place, message in (*_read_package(package), *_read_notebook(notebook), *_read_tables(workspace)):
        found.setdefault(message, []).append(place)
    return found


def list_places(message: str) -> list[tuple[str, str, str]]:
    """List a message's places for values, with their formats, in order of name."""
    return sorted((name, form or "", turn or "") for _, name, form, turn in string.Formatter().parse(message) if name is not None)


def _read_package(package: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(package.rglob("*.py")):
        yield from _read_code(path.read_text(encoding="utf-8"), path.relative_to(package.parent).as_posix())


def _read_code(source: str, place: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say" and isinstance(node.args[0], ast.Constant):
            yield f"{place}:{node.lineno}", node.args[0].value


def _read_notebook(path: Path) -> Iterator[tuple[str, str]]:
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
        place = f"notebooks/{path.name}, cell {number}"
        if cell.cell_type == "code":
            yield from _read_code(cell.source, place)
        elif HIDDEN not in cell.metadata.get("tags", []):
            yield from ((place, block) for block in split_blocks(cell.source))


def _read_tables(workspace: str) -> Iterator[tuple[str, str]]:
    """Words of code that reach a report by way of constants and tables."""
    yield from (("medlib.simulate.RUNGS", name) for name in RUNGS.values())
    yield from (("medlib.recognise.working.SOURCES", piece) for piece in SOURCES)
    for name in ("title", "notes"):
        yield from ((f"medlib.catalog, {name}", getattr(entry, name)) for entry in catalog.CATALOG.values() if not entry.demand_only)
    yield from (("medlib.catalog", word) for word in catalog.OWN)
    read = lambda table, column: tables.read(table, workspace)[column].unique()
    for table, column in (("quality", "rule"), ("quality", "action"), ("resources", "unit"), ("moves", "what")):
        yield from ((f"table {table}, {column}", str(word)) for word in read(table, column))
    for name in read("resources", "resource"):
        yield from (("table resources, resource", name), ("table resources, resource", spell_resource(name)))
    for name in FORECASTERS:
        yield from (("medlib.forecast.FORECASTERS", name), ("medlib.forecast.FORECASTERS", name.replace("_", " ")))
