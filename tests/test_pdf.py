"""Reports on paper: whole pages, numbered, with links that lead somewhere; nothing fetched; an older PDF stays where printing fails."""

import re
import socket
import sys

import nbformat
import pandas as pd
import pytest
from medlib import cli
from medlib.errors import MedlibError
from medlib.explain.words import format_table
from medlib.report import pdf
from medlib.report.browser import find_browser
from medlib.report.page import write_page
from nbformat import v4
from pypdf import PdfReader

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium and playwright on this machine")
ROWS = [f"ward{number:03d}" for number in range(120)]
MANIFEST = {"run": "paper", "status": "done", "started": "2026-01-05T08:00:00+00:00", "seconds": 1.0, "seed": 1, "git_commit": "", "datasets": [], "ladder": {},
            "parameters": {"horizon": 14}, "versions": {"python": "3.11.7"}, "notebooks": [{"name": "50_report", "status": "done", "seconds": 1.0}]}


def write_report(folder):
    """A report with a table that is longer than a page and long text, each section with words of its own."""
    cells = [v4.new_markdown_cell("# A report on paper")]
    for head in ("One", "Two", "Three"):
        cells += [v4.new_markdown_cell(f"## Section {head}\n\n" + "\n\n".join(f"Sentence {number} of {head}. " * 12 for number in range(9)))]
    table = pd.DataFrame({"site": ROWS, "named": ["two words " * 12 + f"end{row[-3:]}" for row in ROWS], "units": range(120)})
    cells += [v4.new_markdown_cell("## Table"), v4.new_code_cell("", outputs=[v4.new_output("display_data", {"text/html": format_table(table)})])]
    (folder / "notebooks").mkdir(parents=True)
    nbformat.write(v4.new_notebook(cells=cells), folder / "notebooks" / "50_report.ipynb")
    return write_page(folder, MANIFEST)


def list_lines(page):
    """The lines of a page without its footer, and the footer's number."""
    *lines, last = [line.strip() for line in page.extract_text().splitlines() if line.strip()]
    return lines, re.search(r"(\d+) ?/ ?(\d+)$", last)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    page = write_report(tmp_path_factory.mktemp("paper") / "run")
    return PdfReader(pdf.write_pdf(page))


@needs_browser
def test_every_page_is_a4_filled_and_numbered(printed):
    assert len(printed.pages) >= 6
    for number, page in enumerate(printed.pages, 1):
        lines, found = list_lines(page)
        assert found and found.groups() == (str(number), str(len(printed.pages)))
        assert len(lines) >= 3, f"page {number} is all but blank"
        assert [page.mediabox.width, page.mediabox.height] == pytest.approx([595.3, 841.9], abs=1.5)  # points


@needs_browser
def test_chinese_words_are_printed_in_a_font_that_has_them(tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# 调配报告\n\n应急扩容在三处启用。")]), tmp_path / "notebooks" / "50_report.ipynb")
    page = write_page(tmp_path, MANIFEST | {"parameters": {"language": "zh"}})
    first = PdfReader(pdf.write_pdf(page)).pages[0]
    described = [font.get_object().get("/FontDescriptor", {}) for font in first["/Resources"]["/Font"].values()]
    assert any(re.search("NotoSans.*SC|CJK|SourceHan|WenQuanYi", str(font.get("/FontName"))) for font in described), "boxes stand in place of letters"


@needs_browser
def test_rows_are_whole_and_each_page_of_a_table_has_its_head(printed):
    texts = [page.extract_text() for page in printed.pages]
    for row in ROWS:
        holding = [text for text in texts if row in text]
        assert len(holding) == 1 and f"end{row[-3:]}" in holding[0], f"{row} is cut or lost"
    spread = [text for text in texts if "ward" in text]
    assert len(spread) >= 3 and all(re.search(r"site\s+named\s+units", text) for text in spread)


@needs_browser
def test_a_head_is_not_left_alone(printed):
    heads = {"Section One", "Section Two", "Section Three", "Table", "Provenance", "Run", "Parameters", "Versions", "Executed notebooks"}
    assert not [lines[-1] for lines, _ in map(list_lines, printed.pages) if lines[-1] in heads]


@needs_browser
def test_contents_lead_to_their_sections(printed):
    links = [link.get_object() for page in printed.pages for link in page.get("/Annots") or []]
    inner = [link for link in links if "/Dest" in link or link.get("/A", {}).get("/S") == "/GoTo"]
    outlined = [entry.title for entry in printed.outline[1] if not isinstance(entry, list)]  # lists hold the third level
    assert outlined[:4] == ["Section One", "Section Two", "Section Three", "Table"] and "Provenance" in outlined
    assert len(inner) >= len(outlined)
    # A link to a file beside the page would lead to where the page was printed.
    assert not [link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {}) and not link["/A"]["/URI"].startswith("http")]


@needs_browser
def test_printing_runs_no_script_and_asks_for_nothing(tmp_path):
    page = tmp_path / "report.html"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.png"
        page.write_text(f"<h1>Plan</h1><img src='{address}'><script>document.body.append('written by a script')</script>", encoding="utf-8")
        text = PdfReader(pdf.write_pdf(page)).pages[0].extract_text()
        with pytest.raises(TimeoutError):
            server.accept()
    assert "Plan" in text and "written by a script" not in text


@needs_browser
def test_the_command_prints_a_report_that_is_there(tmp_path, monkeypatch, capsys):
    write_report(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["medlib", "pdf", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code and "report.pdf" in capsys.readouterr().out
    assert len(PdfReader(tmp_path / "run" / "report.pdf").pages) >= 6
    assert not list((tmp_path / "run").glob(".*"))


def refuse(folder, monkeypatch, capsys, browser):
    """Print with a browser that is not there, or fails; returns what was said."""
    folder.mkdir()
    (folder / "report.html").write_text("<h1>Plan</h1>", encoding="utf-8")
    (folder / "report.pdf").write_bytes(b"older")
    monkeypatch.setattr(pdf, "find_browser", lambda: browser)
    monkeypatch.setattr(sys, "argv", ["medlib", "pdf", str(folder)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert (folder / "report.html").read_text(encoding="utf-8") == "<h1>Plan</h1>" and (folder / "report.pdf").read_bytes() == b"older"
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "Traceback" not in said
    return said


def test_without_a_browser_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    said = refuse(tmp_path / "run", monkeypatch, capsys, None)
    assert "Chromium" in said and "medlib[pdf]" in said and f"medlib pdf {tmp_path / 'run'}" in said


@needs_browser
def test_a_browser_that_stops_leaves_the_older_pdf(tmp_path, monkeypatch, capsys):
    assert sys.executable in refuse(tmp_path / "run", monkeypatch, capsys, sys.executable)


def test_a_folder_without_a_report_is_refused(tmp_path):
    with pytest.raises(MedlibError, match="holds report.html"):
        cli.print_pdf(tmp_path)
