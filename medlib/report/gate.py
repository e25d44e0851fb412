"""The gate before every report: direct identifiers, small counts of people and secrets in what the run would let out.

Searched are the tables of the run's workspace, the executed notebooks (what they print, and cells that differ from the project's
notebook) and the page. What pictures show is not read.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, quote_plus

import nbformat
import pandas as pd
from bs4 import BeautifulSoup, Tag

from medlib import tables
from medlib.catalog import CATALOG
from medlib.privacy.identifiers import Finding, find_identifiers, find_in_frame
from medlib.schema import TABLES

#: Counts of people below this are withheld from a user's own data unless the run says otherwise.
SMALLEST_COUNT = 5
#: Places named on screen; the rest is counted.
SHOWN = 10
#: Heads of printed columns that count people; demand as it is printed is what was observed.
PEOPLE = re.compile(r"\b(?:patients?|persons?|people|cases|deaths|admissions|admitted|discharges|births|arrivals|occupied|occupancy|"
                    r"patienten|personen|f.lle|todesf.lle|geburten)\b|^(?:demand|remaining)$", re.IGNORECASE)
#: Heads that name people but no count of them.
NO_COUNT = re.compile(r"share|rate|per |%|mean|median|expected|forecast|quantile|planned|moved?|model|days|probab|score|weight", re.IGNORECASE)
#: Columns of free text, in which every full date may be one of a person.
FREE = {"inventory": ("text",)}
#: How pandas tells the name of a series that it prints.
SERIES = re.compile(r"Name: (.+?), (?:Length|dtype)")
#: What a printed cell that is a count looks like.
COUNT = re.compile(r"\d{1,3}(?:\.0+)?")


def choose_threshold(manifest: dict) -> int:
    """Return the smallest count of people that may be shown: the run's own, else 0 for data of the catalogue and 5 for a user's folder."""
    if manifest.get("smallest_count") is not None:
        return manifest["smallest_count"]
    return 0 if is_public(manifest) else SMALLEST_COUNT


def is_public(manifest: dict) -> bool:
    """Tell whether the run's data are of the catalogue, which holds published and synthetic data only."""
    return manifest.get("parameters", {}).get("dataset") in CATALOG


def check_release(folder: Path, manifest: dict, secrets: dict[str, str], home: Path | None = None) -> list[Finding]:
    """Find what must not leave with a run.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder: tables/, notebooks/, and report.html where it is there.
    manifest : dict
        What run.json holds. `smallest_count` is the least count of people that may be shown (left out: `choose_threshold`);
        `accepted` lists places that a person has looked at: each accepts itself and what lies below it, as "tables/demand, column
        demand" does for every row of that column.
    secrets : dict of str to str
        Values that may stand nowhere, by name (`medlib.report.secrets.read_secrets`). They can't be accepted.
    home : pathlib.Path, optional
        Folder whose notebooks/ the run was made of, where that is not the project's.

    Returns
    -------
    list of Finding
        By place; empty: the run may be shown.
    """
    threshold, accepted = choose_threshold(manifest), manifest.get("accepted") or []
    found = [*_check_tables(folder / "tables", threshold), *_check_notebooks(folder / "notebooks", threshold, home or tables.PROJECT)]
    if (page := folder / "report.html").is_file():
        found += _check_html(page.read_text(encoding="utf-8"), "report.html", threshold)
    found = [finding for finding in dict.fromkeys(found) if not any(_lies_in(finding.place, place) for place in accepted)]
    return [*_check_secrets(folder, secrets), *found]


def tell_findings(findings: list[Finding], run_name: str) -> str:
    """Say where something stands that must not leave, a line each place, and what to do; what stands there is not told."""
    lines = [f"{finding.place}: {finding.kind}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"and {len(findings) - SHOWN} more places")
    if any(finding.kind.startswith("secret ") for finding in findings):
        advice = "Print no secrets; those are never accepted."
    else:
        places = " ".join(f"--accept {shlex.quote(finding.place)}" for finding in findings[:SHOWN])
        advice = ("Suppress small counts (medlib.privacy.cells), or take the column or text out. Once you have looked at each place and found it harmless, go on "
                  f"with\nmedlib run --resume --run-name {shlex.quote(run_name)} {places}")
    return "\n".join([f"The report was not written, for {len(findings)} place(s) may tell about people or hold a secret:", *lines, advice])


def _lies_in(place: str, accepted: str) -> bool:
    return place == accepted or place.startswith(f"{accepted}, ")


def _check_tables(workspace: Path, threshold: int) -> Iterator[Finding]:
    """Search every table of the workspace, those that no contract knows too."""
    staff = set()
    if tables.has("resources", workspace):
        resources = tables.read("resources", workspace)
        staff = set(resources.loc[resources["kind"] == "staff", "resource"])  # a shift of nurses is no count of patients
    for file in sorted(workspace.glob("*")):
        name, place = file.name.split(".")[0], f"tables/{file.name.split('.')[0]}"
        if name in TABLES and file.suffix in (".parquet", tables.SUFFIX):
            frame = tables.read(name, workspace)
            yield from find_in_frame(frame, place, FREE.get(name, ()))
            patients = frame[~frame["resource"].isin(staff)] if "resource" in frame else frame
            counts = {column.name: patients[column.name] for column in TABLES[name].columns if column.people and column.name in frame}
        elif file.suffix in (".parquet", ".csv"):
            frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
            yield from find_in_frame(frame, place, tuple(frame.columns))
            counts = {head: frame[head] for head in frame if _counts_people(str(head))}
        else:
            continue
        for head, values in counts.items():
            values = pd.to_numeric(values, errors="coerce")
            yield from _tell_small(int(((values > 0) & (values < threshold)).sum()), f"{place}, column {head}", threshold)


def _tell_small(count: int, place: str, threshold: int) -> Iterator[Finding]:
    if count:
        yield Finding(place, f"{count} count(s) of people above 0 and below {threshold}")


def _counts_people(head: str) -> bool:
    plain = head.replace("_", " ")
    return bool(PEOPLE.search(plain)) and not NO_COUNT.search(plain)


def _check_notebooks(folder: Path, threshold: int, home: Path) -> Iterator[Finding]:
    for path in sorted(folder.glob("*.ipynb")):
        own = home / "notebooks" / path.name
        known = {cell.source for cell in nbformat.read(own, as_version=4).cells} if own.is_file() else set()
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
            place = f"notebooks/{path.stem}, cell {number}"
            if cell.source not in known:
                yield from find_identifiers(cell.source, f"{place}, {'source' if cell.cell_type == 'code' else 'text'}")
            for output in cell.get("outputs", []):
                yield from _check_output(output, f"{place}, output", threshold)


def _check_output(output: dict, place: str, threshold: int) -> Iterator[Finding]:
    """Search every form of an output that is text."""
    texts = {mime: _join(content) for mime, content in output.get("data", {}).items()}
    texts["text/plain"] = "\n".join([texts.get("text/plain", ""), _join(output.get("text", "")), *output.get("traceback", []),
                                     output.get("evalue", "")])
    for mime, text in texts.items():
        if mime in ("text/html", "image/svg+xml", "text/markdown"):
            yield from _check_html(text, place, threshold)
        elif not mime.startswith("image/"):
            yield from find_identifiers(text, place)
            yield from _check_printed(text, place, threshold)


def _join(content: object) -> str:
    return "".join(content) if isinstance(content, list) else content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _check_html(text: str, place: str, threshold: int) -> Iterator[Finding]:
    """Search the text, the tables and the addresses and titles of a piece of HTML."""
    soup = BeautifulSoup(text, "html.parser")
    for table in soup.find_all("table"):
        frame = _read_table(table)
        yield from find_in_frame(frame, place)
        for head in (head for head in frame if _counts_people(str(head))):
            yield from _tell_small(sum(_is_small(cell, threshold) for cell in frame[head]), f"{place}, column {head}", threshold)
    for tag in soup.find_all(True):
        for name in ("href", "title", "alt", "content"):
            yield from find_identifiers(str(tag.get(name, "")), place)
    for tag in soup.find_all(["style", "script"]):
        tag.decompose()
    yield from find_identifiers(soup.get_text("\n"), place)


def _read_table(table: Tag) -> pd.DataFrame:
    """A table as printed: its last line of heads, and its cells as text; lines with a row name have one cell more than heads."""
    lines = [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
    top = [row for row in table.find_all("tr") if row.find("th") and not row.find("td")]
    heads = lines[:len(top)]
    width = max(map(len, lines), default=0)
    names = [" ".join(dict.fromkeys(word for line in heads for word in line[number:number + 1] if word)) for number in range(width)]
    return pd.DataFrame([line + [""] * (width - len(line)) for line in lines[len(top):]], columns=names, dtype=object)


def _is_small(cell: object, threshold: int) -> bool:
    return bool(COUNT.fullmatch(str(cell).strip())) and 0 < float(cell) < threshold


def _check_printed(text: str, place: str, threshold: int) -> Iterator[Finding]:
    """Search tables printed as text: columns stand apart by two blanks, under a line of heads; a series tells its name below."""
    lines = [re.split(r"\s{2,}|\t", line.strip()) for line in text.splitlines()]
    for number, heads in enumerate(lines):
        if named := SERIES.match(heads[0]):
            yield from _check_column(named[1], 1, _take_rows(lines[:number][::-1], 1), place, threshold)
        elif any(map(_counts_people, heads)):
            rows = list(_take_rows(lines[number + 1:], len(heads)))
            for back, head in enumerate(reversed(heads), 1):
                yield from _check_column(head, back, rows, place, threshold)


def _check_column(head: str, back: int, rows: Iterable[list[str]], place: str, threshold: int) -> Iterator[Finding]:
    """Count the small counts of people in a printed column, counted from the right."""
    if _counts_people(head):
        yield from _tell_small(sum(_is_small(row[-back], threshold) for row in rows), f"{place}, column {head}", threshold)


def _take_rows(lines: list[list[str]], width: int) -> Iterator[list[str]]:
    """The lines next to the heads that have as many cells, or some more, for names of rows and columns without a head."""
    for line in lines:
        if not width <= len(line) <= width + 3:
            return
        yield line


def _check_secrets(folder: Path, secrets: dict[str, str]) -> Iterator[Finding]:
    """Search every file of the run for the secrets, as they are and as files would write them."""
    forms = {name: _list_forms(value) for name, value in secrets.items()}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()) if secrets else ():
        content = _read_content(file)
        for name in (name for name, spelt in forms.items() if any(form in content for form in spelt)):
            yield Finding(file.relative_to(folder).as_posix(), f"secret {name}")


@cache
def _list_forms(value: str) -> tuple[bytes, ...]:
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1], html.escape(value),
             quote(value), quote(value, safe=""), quote_plus(value), value[::-1],
             base64.b64encode(value.encode()).decode().rstrip("="), value.encode().hex()}
    # In a JSON file, the notebooks among them, each of these is written with its signs escaped.
    forms |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in forms}
    return tuple(form.encode() for form in forms)


def _read_content(file: Path) -> bytes:
    """The bytes of a file; of a compressed table, its texts."""
    if file.suffix != ".parquet":
        return file.read_bytes()
    frame = pd.read_parquet(BytesIO(file.read_bytes())).select_dtypes(["object", "str"])
    return "\n".join(str(text) for head in frame for text in frame[head].unique()).encode()
