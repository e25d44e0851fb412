"""One self-contained HTML page from the executed report notebook and the run's manifest.

Names and texts of the data stand in it, and whoever wrote them may have meant harm. So the page is cleaned as a whole, last of all: what
is not in `TAGS` becomes text, pictures stand in the page itself, links lead to the web, within the page or to the notebooks beside it.
Its content-security policy forbids the browser what might have got through: scripts, frames, forms, and every fetch.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path
from string import Template

import bleach
import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

from medlib.explain.words import name_dataset
from medlib.language import Language, say, speak
from medlib.report.card import format_card
from medlib.report.files import write_whole

#: The tag of cells that the page leaves out.
HIDDEN = "not-in-report"
TEMPLATE = Path(__file__).parent / "template" / "page.html"
#: What a page is made of: words, lists, tables and pictures.
TAGS = frozenset("a abbr b blockquote br caption code col colgroup dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s section "
                 "small span strong sub sup table tbody td tfoot th thead tr u ul".split())
#: Pictures that a page holds itself, and where its links may lead.
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*")
LINK = re.compile(r"https?://\S+|#[\w-]*|notebooks/\w[\w.-]*\.ipynb|\w[\w.-]*/report\.html", re.IGNORECASE)
#: In a Markdown cell people speak, in an output the data: there a link is text like any other.
SPOKEN_BY_DATA = ".output a, .output img:not([src^='data:'])"


def write_page(folder: Path, manifest: dict) -> Path:
    """Write ``report.html`` of a run: outputs and prose of its report notebook, the card, then provenance.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder, with the executed report notebook in it.
    manifest : dict
        What ``run.json`` holds.

    Returns
    -------
    pathlib.Path
        The page. It asks for nothing outside itself and runs nothing; links lead to the executed notebooks beside it.
    """
    with speak(manifest["parameters"].get("language", "en")) as language:
        return _write_page(folder, manifest, language)


def write_index(path: Path, title: str, body: str) -> Path:
    """Write a page about several reports, cleaned and guarded as a report is; its links lead to pages of runs in folders beside it."""
    with speak("en") as language:
        soup = BeautifulSoup(body, "html.parser")
        contents = "\n".join(f'<li><a href="#{head["id"]}">{html.escape(head.get_text())}</a></li>' for head in soup.select("h2[id]"))
        return write_whole(path, _fill_template(title, contents, clean_html(str(soup)), language))


def _write_page(folder: Path, manifest: dict, language: Language) -> Path:
    notebook = nbformat.read(folder / "notebooks" / f"{manifest['notebooks'][-1]['name']}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if HIDDEN not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = "\n\n".join(map(say, split_blocks(cell.source)))
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True,
                            exclude_input_prompt=True, exclude_anchor_links=True, sanitize_html=False)  # cleaned below, as a whole
    body, _ = exporter.from_notebook_node(notebook)
    body = BeautifulSoup(body + format_card(folder, manifest) + _format_provenance(folder, manifest), "html.parser")
    _disarm(body)
    contents = _mark_heads(body)
    title = body.h1.get_text().strip() if body.h1 else say("Allocation report")
    return write_whole(folder / "report.html", _fill_template(title, contents, clean_html(str(body)), language))


def split_blocks(source: str) -> list[str]:
    """Split a Markdown cell at its blank lines: each block is a message."""
    return source.split("\n\n")


def clean_html(text: str) -> str:
    """Return HTML with nothing in it that runs, fetches or disguises; tags that are not in `TAGS` become text.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return bleach.clean(text, tags=TAGS, attributes=_may_stay, protocols=("http", "https", "data"))


def _may_stay(tag: str, name: str, value: str) -> bool:
    """Tell whether an attribute is kept."""
    if (tag, name) == ("a", "href"):
        return LINK.fullmatch(value) is not None
    if (tag, name) == ("img", "src"):
        return PICTURE.fullmatch(value) is not None
    return name in {"h2": ("class", "id"), "img": ("class", "alt", "width", "height"), "ol": ("class", "start"),
                    "td": ("class", "colspan", "rowspan"), "th": ("class", "colspan", "rowspan", "scope")}.get(tag, ("class",))


def _disarm(body: BeautifulSoup) -> None:
    """Take out links and remote pictures that the data brought, and the styles of frames that were shown as they are."""
    for element in body.select("style"):
        element.decompose()
    for element in body.select(SPOKEN_BY_DATA):
        if element.name == "img":
            element.replace_with(element.get("alt", ""))
        else:
            element.unwrap()


def _mark_heads(body: BeautifulSoup) -> str:
    """Give each section an anchor, and each picture its section's head as text for readers who can't see it; returns the contents."""
    heads, head = {}, say("report")
    for element in body.find_all(["h2", "img"]):
        if element.name == "img":
            element["alt"] = say("Chart: {head}", head=head)
            continue
        head = element.get_text().strip()
        anchor = re.sub(r"[^a-z0-9]+", "-", head.lower()).strip("-") or "section"
        while anchor in heads:
            anchor += "-"
        element["id"], heads[anchor] = anchor, head
    return "\n".join(f'<li><a href="#{anchor}">{html.escape(words)}</a></li>' for anchor, words in heads.items())


def _fill_template(title: str, contents: str, body: str, language: Language) -> str:
    """Put the page together; the policy lets the browser apply the template's own style and no other."""
    text = TEMPLATE.read_text(encoding="utf-8").replace("</style>", f"{language.style}</style>")
    style = hashlib.sha256(re.search("<style>(.*?)</style>", text, re.DOTALL)[1].encode()).digest()
    return Template(text).substitute(title=html.escape(title), contents=contents, body=body, style=base64.b64encode(style).decode(),
                                     lang=language.tag, contents_name=say("Contents"))


def _format_provenance(folder: Path, manifest: dict) -> str:
    facts = {say("Run"): manifest["run"], say("Started"): manifest["started"].replace("T", " ").replace("+00:00", " UTC"),
             say("Duration"): say("{seconds:.0f} s", seconds=manifest["seconds"]), say("Seed"): manifest["seed"],
             say("Code"): say("commit {commit}", commit=manifest["git_commit"]) if manifest["git_commit"] else say("no git history")}
    data = {row["dataset"]: say("{title}; {rows:,} demand rows; source {source}; licence {licence}; SHA-256 {sha256}. {attribution}",
                                **row | {"title": name_dataset(row["title"])}) for row in manifest["datasets"]}
    steps = "".join(f'<tr><td><a href="notebooks/{row["name"]}.ipynb">{row["name"]}</a></td><td>{_name_status(row["status"])}</td>'
                    f"<td>{say('{seconds:.0f} s', seconds=row['seconds'])}</td></tr>" for row in manifest["notebooks"])
    same = say("The same code, parameters, data and package versions give the same tables on one kind of processor; on another, forests and networks may "
               "round otherwise.")
    # A folder's whole path would tell readers whose machine it was.
    parameters = {name: Path(str(value)).name if name == "dataset" else value for name, value in manifest["parameters"].items()}
    return (f'<h2 id="provenance">{say("Provenance")}</h2>'
            f"<p>{same}</p>"
            + _format_table(say("Run"), facts) + _format_table(say("Data"), data) + _format_table(say("Parameters"), parameters)
            + _format_table(say("Versions"), manifest["versions"])
            + f"<h3>{say('Executed notebooks')}</h3><table><tbody>{steps}</tbody></table>")


def _name_status(status: str) -> str:
    return say("done") if status == "done" else status


def _format_table(title: str, facts: dict) -> str:
    rows = "".join(f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value)) or '–'}</td></tr>"
                   for name, value in facts.items())
    return f"<h3>{title}</h3><table class=\"facts\"><tbody>{rows}</tbody></table>"
