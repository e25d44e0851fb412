"""The notebooks as a pipeline: what each reads, writes and takes as parameters.

A notebook's head says ``**Reads** `a`, `b` `` and ``**Writes** `c` ``. That declaration orders the notebooks. Where it says
``**Reads on request** `d` (`x`)``, table `d` is read if parameter `x` is given another value than its default.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import nbformat

from medlib.errors import MedlibError
from medlib.report.secrets import hide, is_secret, refuse_secret
from medlib.tables import PROJECT

NOTEBOOKS = PROJECT / "notebooks"
TYPES = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: name, type, default and what its comment says."""

    name: str
    type: type
    default: object
    about: str


@dataclass(frozen=True)
class Notebook:
    """One notebook: its name, title, question, tables and parameters; `on_request` has the parameter that asks for each further table."""

    name: str
    path: Path
    title: str
    question: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    parameters: dict[str, Parameter]
    on_request: dict[str, str] = field(default_factory=dict)

    def list_reads(self, given: Mapping[str, object]) -> tuple[str, ...]:
        """The tables that the notebook reads when it is given these parameters."""
        asked = [table for table, name in self.on_request.items()
                 if name in given and convert(given[name], self.parameters[name]) != self.parameters[name].default]
        return (*self.reads, *asked)


def read_notebook(path: Path) -> Notebook:
    """Read a notebook's head and parameters.

    Raises
    ------
    MedlibError
        There is no head cell with title, Reads and Writes, or not exactly one parameters cell.
    """
    notebook = nbformat.read(path, as_version=4)
    head = notebook.cells[0].source if notebook.cells else ""
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    found = {word: re.search(rf"\*\*{word}\*\*(.*?)(?:\n\s*\n|$)", head, re.DOTALL) for word in ("Reads", "Writes")}
    if len(lines) < 2 or not lines[0].startswith("# ") or not all(found.values()):
        raise MedlibError(f"Notebook {path.name} needs a first cell with '# NN Title', a question, **Reads** and **Writes**.")
    tables = {word: tuple(re.findall(r"`(\w+)`", match.group(1))) for word, match in found.items()}
    asked = re.search(r"\*\*Reads on request\*\*(.*?)(?:\n\s*\n|$)", head, re.DOTALL)
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise MedlibError(f"Notebook {path.name} needs exactly one cell tagged 'parameters'; it has {len(tagged)}.")
    parameters = _read_parameters(tagged[0].source, path.name)
    on_request = dict(re.findall(r"`(\w+)` \(`(\w+)`\)", asked[1])) if asked else {}
    if asked and (not on_request or set(on_request.values()) - set(parameters)):
        raise MedlibError(f"Notebook {path.name} needs **Reads on request** followed by `table` (`parameter`), with parameters of its own; "
                          f"got {asked[1].strip()!r}.")
    return Notebook(path.stem, path, lines[0].removeprefix("# "), lines[1], tables["Reads"], tables["Writes"], parameters, on_request)


def _read_parameters(source: str, name: str) -> dict[str, Parameter]:
    parameters = {}
    lines = source.splitlines()
    for node in ast.parse(source).body:
        try:
            kind, default = TYPES[node.annotation.id], ast.literal_eval(node.value)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise MedlibError(f"Notebook {name}: each parameter is written `name: type = literal  # unit`, with a type of "
                              f"{', '.join(TYPES)}; got {ast.unparse(node)!r}.") from None
        if is_secret(node.target.id) and default != "":
            raise MedlibError(f"Notebook {name}: the secret parameter {node.target.id!r} must be an empty text in the parameters cell, "
                              "for its value comes from the environment.")
        about = lines[node.end_lineno - 1].partition("#")[2].strip()
        parameters[node.target.id] = Parameter(node.target.id, kind, default, about)
    return parameters


def list_notebooks(folder: Path = NOTEBOOKS) -> dict[str, Notebook]:
    """Read every numbered notebook, in order of number."""
    return {path.stem: read_notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def format_index(notebooks: dict[str, Notebook]) -> str:
    """Return the README's index of notebooks, in Markdown, from their heads."""
    rows = [f"| [{notebook.title}](notebooks/{notebook.path.name}) | {notebook.question} | "
            f"{', '.join(f'`{table}`' for table in notebook.writes) or 'nothing'} |" for notebook in notebooks.values()]
    return "\n".join(["| notebook | its question | writes |", "|---|---|---|", *rows])


def order_chain(targets: list[str], notebooks: dict[str, Notebook], given: Mapping[str, object] = MappingProxyType({})) -> list[Notebook]:
    """Return the targets and every notebook whose tables they need, writers before readers.

    Parameters
    ----------
    targets : list of str
    notebooks : dict of str to Notebook
    given : mapping of str to object
        Parameters, which may ask for further tables.

    Raises
    ------
    MedlibError
        A target is unknown, a table that is read is written by no notebook, or a parameter has the wrong type.
    """
    writer = {table: notebook for notebook in notebooks.values() for table in notebook.writes}
    chain: dict[str, Notebook] = {}

    def add(notebook: Notebook, waiting: tuple[str, ...] = ()) -> None:
        if notebook.name in waiting:
            raise MedlibError(f"Notebooks {', '.join(waiting)} need each other's tables; one has to come first.")
        for table in notebook.list_reads(given):
            if table not in writer:
                raise MedlibError(f"Notebook {notebook.name} reads {table!r}, which no notebook writes.")
            if writer[table].name not in chain and writer[table] is not notebook:
                add(writer[table], (*waiting, notebook.name))
        chain[notebook.name] = notebook

    for target in targets:
        name = target.removesuffix(".ipynb").rpartition("/")[2]
        if name not in notebooks:
            raise MedlibError(f"There is no notebook {target!r};{_suggest(name, notebooks)} the notebooks are "
                              f"{', '.join(notebooks)}.")
        add(notebooks[name])
    return list(chain.values())


def check_parameters(given: dict[str, object], chain: list[Notebook]) -> dict[str, object]:
    """Check the given parameters against the notebooks' parameters cells and add the defaults.

    Parameters
    ----------
    given : dict
        Values as typed on the command line (text) or read from YAML.
    chain : list of Notebook

    Returns
    -------
    dict
        Every parameter of the chain but `workspace`, typed; a secret one is the name of its environment variable.

    Raises
    ------
    MedlibError
        An unknown name (the message lists the valid ones), a value of the wrong type, or a secret.
    """
    known = {name: parameter for notebook in chain for name, parameter in notebook.parameters.items() if name != "workspace"}
    for name in given:
        if name not in known:
            raise MedlibError(f"There is no parameter {name!r};{_suggest(name, known)} the parameters are "
                              f"{', '.join(sorted(known))}.")
    return hide({name: convert(given[name], parameter) if name in given else parameter.default
                 for name, parameter in known.items()})


def convert(value: object, parameter: Parameter) -> object:
    """Bring a value to the parameter's type; text is read, other types must fit (a whole number fits a float). Secrets are refused."""
    refuse_secret(parameter.name, value)
    wanted, read = parameter.type, None
    try:
        if isinstance(value, str):
            read = {"true": True, "false": False}[value.lower()] if wanted is bool else wanted(value)
        elif type(value) is wanted or (wanted is float and type(value) is int):
            read = wanted(value)
        elif wanted is str and hasattr(value, "isoformat"):
            read = value.isoformat()  # YAML reads 2021-11-20 as a date
    except (KeyError, OverflowError, ValueError):
        pass
    if read is None or (wanted is float and not math.isfinite(read)):
        about = f" ({parameter.about})" if parameter.about else ""
        raise MedlibError(f"Parameter {parameter.name!r}{about} must be of type {wanted.__name__}; got {value!r}.")
    return read


def _suggest(name: str, known) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" did you mean {close[0]!r}?" if close else ""
