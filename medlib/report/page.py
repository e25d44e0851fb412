"""One self-contained HTML page from the executed report notebook and the run's manifest."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from string import Template

import nbformat
from nbconvert import HTMLExporter

TEMPLATE = Path(__file__).parent / "template" / "page.html"


def write_page(folder: Path, manifest: dict) -> Path:
    """Write ``report.html`` of a run: outputs and prose of its report notebook, then provenance.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder, with the executed report notebook in it.
    manifest : dict
        What ``run.json`` holds.

    Returns
    -------
    pathlib.Path
        The page. It asks for nothing outside itself; links lead to the executed notebooks beside it.
    """
    notebook = nbformat.read(folder / "notebooks" / f"{manifest['notebooks'][-1]['name']}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "not-in-report" not in cell.metadata.get("tags", [])]
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True,
                            exclude_input_prompt=True, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r"<h2[^>]*>(.*?)</h2>", _mark_head, body, flags=re.DOTALL)
    body = _describe_pictures(body) + _format_provenance(folder, manifest)
    title = re.sub("<[^>]+>", "", (re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S) or ["", "Allocation report"])[1]).strip()
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(html.unescape(title)), contents=_format_contents(body), body=body)
    part = folder / ".report.html.part"
    part.write_text(page, encoding="utf-8")
    os.replace(part, folder / "report.html")
    return folder / "report.html"


def _mark_head(match: re.Match) -> str:
    anchor = re.sub(r"[^a-z0-9]+", "-", re.sub("<[^>]+>", "", match[1]).lower()).strip("-")
    return f'<h2 id="{anchor}">{match[1]}</h2>'


def _describe_pictures(body: str) -> str:
    """Give each picture its section's head as text for readers who can't see it."""
    sections = re.split(r"(?=<h2 )", body)
    heads = [re.search(r"<h2[^>]*>(.*?)</h2>", section, re.DOTALL) for section in sections]
    return "".join(re.sub(r'(<img[^>]*?)alt="[^"]*"', rf'\1alt="Chart: {head[1] if head else "report"}"', section)
                   for section, head in zip(sections, heads))


def _format_contents(body: str) -> str:
    heads = re.findall(r'<h2[^>]*id="([^"]+)"[^>]*>(.*?)</h2>', body, re.S)
    return "\n".join(f'<li><a href="#{anchor}">{re.sub("<[^>]+>", "", text).strip()}</a></li>' for anchor, text in heads)


def _format_provenance(folder: Path, manifest: dict) -> str:
    facts = {"Run": manifest["run"], "Started": manifest["started"].replace("T", " ").replace("+00:00", " UTC"),
             "Duration": f"{manifest['seconds']:.0f} s", "Seed": manifest["seed"],
             "Code": f"commit {manifest['git_commit']}" if manifest["git_commit"] else "no git history"}
    data = {row["dataset"]: f"{row['title']}; {row['rows']:,} demand rows; source {row['source']}; licence "
                            f"{row['licence']}; SHA-256 {row['sha256']}. {row['attribution']}"
            for row in manifest["datasets"]}
    steps = "".join(f'<tr><td><a href="notebooks/{row["name"]}.ipynb">{row["name"]}</a></td><td>{row["status"]}</td>'
                    f"<td>{row['seconds']:.0f} s</td></tr>" for row in manifest["notebooks"])
    return ('<h2 id="provenance">Provenance</h2>'
            "<p>The same code, parameters, data and package versions give the same tables.</p>"
            + _format_table("Run", facts) + _format_table("Data", data) + _format_table("Parameters", manifest["parameters"])
            + _format_table("Versions", manifest["versions"])
            + f"<h3>Executed notebooks</h3><table><tbody>{steps}</tbody></table>")


def _format_table(title: str, facts: dict) -> str:
    rows = "".join(f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value)) or '–'}</td></tr>"
                   for name, value in facts.items())
    return f"<h3>{title}</h3><table class=\"facts\"><tbody>{rows}</tbody></table>"
