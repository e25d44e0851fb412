"""Attacks on what leaves the house: identifiers and small counts slipped into a run, secrets, and locked workspaces tampered with."""

from __future__ import annotations

import base64
import os
import random
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import nbformat
import pandas as pd
from nbformat import NotebookNode, v4

from medlib import tables
from medlib.errors import MedlibError
from medlib.privacy import keys, vault
from medlib.report import gate
from medlib.report.kernel import execute_notebook
from medlib.report.pipeline import check_parameters, read_notebook
from medlib.report.secrets import mask, read_secrets
from trust.attacks.people import TEXTS

#: A user's own data, of which small counts are withheld.
OWN = {"parameters": {"dataset": "own-folder"}}


def make_run(folder: Path, remarks: Sequence[str] = ("2 ventilators, work",), demand: float = 7.0,
             cells: Sequence[NotebookNode] = ()) -> Path:
    """Write a run as the gate finds it: tables, and an executed notebook that is none of the project's."""
    inventory = pd.DataFrame({"site": "A", "line": range(1, len(remarks) + 1), "text": remarks})
    tables.write(inventory, "inventory", folder / "tables")
    dated = pd.DataFrame({"date": pd.to_datetime(["2024-01-01"]), "site": "A", "resource": "bed", "demand": demand})
    tables.write(dated, "demand", folder / "tables")
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=list(cells)), folder / "notebooks" / "90_own.ipynb")
    return folder


def display(text: str, mime: str = "text/html") -> NotebookNode:
    """A cell that shows something."""
    return v4.new_code_cell("show()", outputs=[v4.new_output("display_data", {mime: text})])


def write_line(text: str) -> NotebookNode:
    """A cell that prints something."""
    return v4.new_code_cell("show()", outputs=[v4.new_output("stream", text=f"row 1: {text}\n")])


def plant(folder: Path, place: str, slip: Callable[[list[str]], dict]) -> str:
    """Slip identifiers of every kind into a run, each into a place of its own; returns the kinds that got through."""
    assert not gate.check_release(make_run(folder, **slip(["work"])), OWN, {}), "the gate stops a clean run, so stopping means nothing"
    dice = random.Random(7)
    planted = [(kind, draw(dice)) for kind, draw in TEXTS.items() for _ in range(3)]
    found = gate.check_release(make_run(folder, **slip([text for _, text in planted])), OWN, {})
    kinds = {(finding.place, finding.kind) for finding in found}
    missed = [kind for number, (kind, _) in enumerate(planted) if not any(
        (name + rest, kind) in kinds for name in [place.format(number, number + 1)] for rest in ("", ", column remark, row 0"))]
    missed += ["a value, told"] if any(text in str(found) for _, text in planted) else []
    return f"got through: {', '.join(dict.fromkeys(missed))}" if missed else ""


def plant_in_page(folder: Path) -> str:
    """Slip an identifier into what a page hides: attributes and an extra file of the workspace."""
    email, missed = TEXTS["e-mail address"](random.Random(1)), []
    run = make_run(folder, cells=[display(f'<a href="mailto:{email}">ask</a>')])
    missed += [] if gate.check_release(run, OWN, {}) else ["link"]
    run = make_run(folder, cells=[display(email, "application/json")])
    missed += [] if gate.check_release(run, OWN, {}) else ["JSON"]
    run = make_run(folder)
    (run / "tables" / "extra.csv").write_text(f"who\n{email}\n")
    missed += [] if gate.check_release(run, OWN, {}) else ["a table without a contract"]
    (run / "tables" / "extra.csv").write_text("patient_name\nx\n")
    missed += [] if gate.check_release(run, OWN, {}) else ["a column whose head says so"]
    return f"got through: {', '.join(missed)}" if missed else ""


def show_small_counts(folder: Path) -> str:
    """Let counts of one to four patients out: in a table, in a printed table, and by accepting another place."""
    printed = pd.DataFrame({"site": ["A", "B"], "patients": [3, 40]})
    harmless = pd.DataFrame({"site": ["A", "B"], "patients": [30, 40], "ventilators": [3, 4]})
    assert not gate.check_release(make_run(folder, cells=[display(harmless.to_html())]), OWN, {})
    tries = {"a table": {"demand": 3.0}, "a printed table": {"cells": [display(printed.to_html())]},
             "printed text": {"cells": [v4.new_code_cell("1", outputs=[v4.new_output("stream", text=printed.to_string())])]}}
    missed = [name for name, planted in tries.items() if not gate.check_release(make_run(folder, **planted), OWN, {})]
    accepted = OWN | {"accepted": ["tables/dem", "tables/demand, column dem", "tables/inventory", ""]}
    missed += [] if gate.check_release(make_run(folder, demand=3.0), accepted, {}) else ["an acceptance of another place"]
    return f"got through: {', '.join(missed)}" if missed else ""


def make_notebook(folder: Path, source: str) -> Path:
    """A notebook with a secret parameter."""
    cells = [v4.new_markdown_cell("# 90 Own\n\nWhat is asked?\n\n**Reads** nothing\n\n**Writes** nothing"),
             v4.new_code_cell('db_password: str = ""\nbeds: int = 2\nworkspace: str = "data/sample"', metadata={"tags": ["parameters"]}),
             v4.new_code_cell(source)]
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(notebook, folder / "90_own.ipynb")
    return folder / "90_own.ipynb"


def give_secret(folder: Path) -> str:
    """Give a secret where it would be recorded, and have it told back by the refusal."""
    secret, chain, missed = secrets.token_hex(8), [read_notebook(make_notebook(folder, "1"))], []
    for given in ({"db_password": secret}, {"beds": f"https://me:{secret}@example.org"}, {"beds": f"https://example.org/?token={secret}"}):
        try:
            check_parameters(given, chain)
            missed.append(f"{next(iter(given))} was taken")
        except MedlibError as error:
            missed += ["a refusal holds the secret"] if secret in str(error) else []
    with patch.dict(os.environ, {"MEDLIB_SECRET_DB_PASSWORD": secret}):
        if secret in repr(parameters := check_parameters({}, chain)):
            missed.append("the parameters hold it")
        assert read_secrets(parameters)["db_password"] == secret, "the secret does not arrive at all"
    return "; ".join(missed)


def print_secret(folder: Path) -> str:
    """Have a notebook print its secret, plain, reversed, in Base64, and raise it as an error."""
    secret = secrets.token_hex(8)
    source = ("import base64\nprint(db_password)\nprint(db_password[::-1], base64.b64encode(db_password.encode()).decode())\n"
              "raise ValueError(db_password)")
    notebook = read_notebook(make_notebook(folder, source))
    (folder / "run" / "notebooks").mkdir(parents=True)
    with patch.dict(os.environ, {"MEDLIB_SECRET_DB_PASSWORD": secret}):
        parameters = check_parameters({}, [notebook])
        values = {"db_password": read_secrets(parameters)["db_password"]}
        error = execute_notebook(notebook, folder / "run", parameters, lambda done, cells: None, secrets=values)
    stored = (folder / "run" / "notebooks" / "90_own.ipynb").read_text(encoding="utf-8")
    assert secret[::-1] in stored, "the notebook did not print"
    missed = ["the stored notebook holds it"] if secret in stored else []
    missed += ["the error holds it"] if secret in str(error) else []
    found = gate.check_release(folder / "run", OWN | {"accepted": ["notebooks/90_own.ipynb"]}, values)
    missed += [] if any(finding.kind == "secret db_password" for finding in found) else ["the gate let its disguises pass"]
    missed += ["the gate told it"] if secret in gate.tell_findings(found, "run") or secret in mask(stored, values) else []
    return "; ".join(missed)


def make_workspace(folder: Path, key: bytes) -> Path:
    """A locked workspace with two tables."""
    make_run(folder)
    vault.lock_workspace(folder / "tables", key)
    return folder / "tables"


def tamper(folder: Path, change: Callable[[Path], None]) -> str:
    """Change a locked workspace and read its table; returns what came."""
    text = keys.make_key()
    with patch.dict(os.environ, {"MEDLIB_KEY": text}):
        workspace = make_workspace(folder, keys.read_key())
        assert len(tables.read("demand", workspace)) == 1, "the locked table does not open even untouched"
        change(workspace)
        try:
            tables.read("demand", workspace)
        except MedlibError as error:
            return "the error holds the key" if text in str(error) else ""
    return "the table was read as if nothing had happened"


def flip_bits(folder: Path) -> str:
    """Flip one bit of every seventh byte of a locked table, each alone."""
    got = []
    with patch.dict(os.environ, {"MEDLIB_KEY": keys.make_key()}):
        path = make_workspace(folder, keys.read_key()) / "demand.parquet.locked"
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
            try:
                tables.read("demand", path.parent)
                got.append(str(place))
            except MedlibError:
                pass
    return f"changes were not noticed at bytes {', '.join(got)}" if got else ""


def read_disk(folder: Path) -> str:
    """Read a locked workspace's files as a thief of the disk would, while tables are read and written."""
    with patch.dict(os.environ, {"MEDLIB_KEY": (text := keys.make_key())}):
        make_run(folder, remarks=["QUAXOL"])
        assert b"QUAXOL" in (folder / "tables" / "inventory.parquet").read_bytes(), "the plain table does not show the text"
        vault.lock_workspace(folder / "tables", keys.read_key())
        tables.write(tables.read("inventory", folder / "tables").assign(line=2), "inventory", folder / "tables")
    content = b"".join(path.read_bytes() for path in (folder / "tables").iterdir())
    hidden = (b"QUAXOL", b"PAR1", text.encode(), base64.b64decode(text))
    return "plain text or key lies on the disk" if any(part in content for part in hidden) else ""


def lend_key_file(folder: Path) -> str:
    """Use a key file that others can read."""
    file = folder / "key"
    file.write_text(text := keys.make_key())
    file.chmod(0o644)
    without = {name: value for name, value in os.environ.items() if name != "MEDLIB_KEY"}
    with patch.dict(os.environ, without | {"MEDLIB_KEY_FILE": str(file)}, clear=True):
        try:
            keys.read_key()
        except MedlibError as error:
            return "the error holds the key" if text in str(error) else ""
    return "the key was taken" if os.name == "posix" else ""


def _swap(workspace: Path) -> None:
    first, second = workspace / "demand.parquet.locked", workspace / "inventory.parquet.locked"
    first.write_bytes(second.read_bytes())


def _cut(workspace: Path) -> None:
    path = workspace / "demand.parquet.locked"
    path.write_bytes(path.read_bytes()[:-20])


def _take_other_key(workspace: Path) -> None:
    os.environ["MEDLIB_KEY"] = keys.make_key()


def _bring_from_elsewhere(workspace: Path) -> None:
    """The same table, locked with the same key in another workspace."""
    other = make_workspace(workspace.parent / "other", keys.read_key())
    (workspace / "demand.parquet.locked").write_bytes((other / "demand.parquet.locked").read_bytes())


#: By name, a function that attacks in an empty folder and returns what got through, or nothing.
ATTACKS: dict[str, Callable[[Path], str]] = {
    "identifiers of every kind in a table": lambda folder: plant(
        folder, "tables/inventory, column text, row {0}", lambda texts: {"remarks": [f"2 pumps, {text}, work" for text in texts]}),
    "identifiers of every kind in a printed line": lambda folder: plant(
        folder, "notebooks/90_own, cell {1}, output", lambda texts: {"cells": [write_line(text) for text in texts]}),
    "identifiers of every kind in a printed HTML table": lambda folder: plant(
        folder, "notebooks/90_own, cell {1}, output", lambda texts: {"cells": [
            display(pd.DataFrame({"n": [1], "remark": [text]}).to_html(index=False)) for text in texts]}),
    "identifiers of every kind in a Markdown cell": lambda folder: plant(
        folder, "notebooks/90_own, cell {1}, text", lambda texts: {"cells": [v4.new_markdown_cell(f"Note: {text}.") for text in texts]}),
    "identifiers of every kind in changed code": lambda folder: plant(
        folder, "notebooks/90_own, cell {1}, source", lambda texts: {"cells": [v4.new_code_cell(f"# {text}\n1") for text in texts]}),
    "identifiers in links, JSON and tables without a contract": plant_in_page,
    "counts of one to four patients in tables and print": show_small_counts,
    "a secret given where it would be recorded": give_secret,
    "a secret printed, disguised and raised by a notebook": print_secret,
    "a locked workspace opened with another key": lambda folder: tamper(folder, _take_other_key),
    "a bit of a locked table flipped": flip_bits,
    "a locked table put in another's place": lambda folder: tamper(folder, _swap),
    "a locked table cut short": lambda folder: tamper(folder, _cut),
    "a locked table brought from another workspace": lambda folder: tamper(folder, _bring_from_elsewhere),
    "a locked workspace read from the disk": read_disk,
    "a key file that others can read": lend_key_file,
}
