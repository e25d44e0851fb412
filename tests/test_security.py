"""What protects from hostile names and files: cleaned pages and their policy, guarded CSV, limits of unpacking, a tame terminal.

The attacks themselves stand in trust/attacks/security.py and are carried out by tests/test_attacks.py.
"""

import base64
import csv
import gzip
import hashlib
import io
import re
import runpy

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medlib import cli, unpack
from medlib.errors import MedlibError
from medlib.explain.words import format_table
from medlib.intake.sheets import format_csv, guard, unguard
from medlib.report.browser import find_browser
from medlib.report.page import clean_html, write_page
from medlib.tables import PROJECT
from nbformat import v4
from trust.attacks.security import EVIL, find_danger, open_page

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"


# --- Pages -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report as the notebooks write it: words, a table, two pictures, a link in prose and one that the data brought."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "notebooks").mkdir()
    table = format_table(pd.DataFrame({"site": ["Haus <Nord> & Co", "b"], "units": [-1234.5, np.nan]}), digits={"units": 1})
    outputs = [v4.new_output("display_data", data) for data in (
        {"text/html": table}, {"image/png": PIXEL}, {"image/svg+xml": SVG}, {"text/markdown": "1. [told](https://example.org/data)\n2. **two**"})]
    outputs.append(v4.new_output("stream", text="\x1b[31mred\x1b[0m 1 < 2"))
    cells = [v4.new_markdown_cell("# Beds & beds"), v4.new_markdown_cell("## Was\n\nSee [the source](https://example.org/prose) and `code`.\n\n> quoted"),
             v4.new_code_cell("secret = 1", outputs=outputs), v4.new_markdown_cell("## Was"), v4.new_markdown_cell("## 病床")]
    nbformat.write(v4.new_notebook(cells=cells), folder / "notebooks" / "50_report.ipynb")
    manifest = {"run": "r", "status": "done", "started": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "seed": 1, "git_commit": "", "datasets": [], "ladder": {},
                "notebooks": [{"name": "50_report", "status": "done", "seconds": 1.0}], "versions": {"python": "3"}, "parameters": {"horizon": 14, "dataset": "/home/somebody/wards"}}
    return write_page(folder, manifest)


def test_what_belongs_on_a_page_stays(page):
    text = page.read_text(encoding="utf-8")
    for words in ("Haus &lt;Nord&gt; &amp; Co", "-1,234.5", f"data:image/png;base64,{PIXEL}",
                  "data:image/svg+xml;base64,", '<a href="https://example.org/prose">the source</a>', "<code>code</code>", "<blockquote>", "<strong>two</strong>",
                  '<td class="number">', 'alt="Chart: Was"', '<a href="notebooks/50_report.ipynb">', "1 &lt; 2"):
        assert words in text, words
    assert "somebody" not in text and "<td>wards</td>" in text, "of a folder the name is told, not whose it is"
    assert "secret = 1" not in text and 'href="https://example.org/data"' not in text and "told" in text


def test_heads_of_any_script_get_anchors_of_their_own(page):
    anchors = re.findall(r'<h2 id="([^"]+)"', page.read_text(encoding="utf-8"))
    assert len(anchors) == len(set(anchors)) >= 5 and anchors[:3] == ["was", "was-", "section"]


def test_the_policy_admits_the_templates_style_and_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    style = base64.b64encode(hashlib.sha256(re.search("<style>(.*?)</style>", text, re.S)[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    assert text.index("Content-Security-Policy") < text.index("<style>") and find_danger(text) == []


def test_a_browser_shows_the_page_whole_and_asks_for_nothing(page):
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium and playwright on this machine")
    seen = open_page(page, browser)
    assert seen.requests == [] and seen.complaints == [] and not seen.pwned
    assert seen.policy.startswith("default-src 'none'") and seen.styled


@pytest.mark.parametrize("text", EVIL)
def test_whatever_is_cleaned_holds_no_danger(text):
    for around in ("{}", "<td>{}</td>", '<img alt="{}">', "<p>{}", "<!-- {} -->", "<a href='{}'>x</a>"):
        found = [danger for danger in find_danger(clean_html(around.format(text))) if danger != "a href=https://attack.example"]
        assert found == [], (around, clean_html(around.format(text)))


def test_cleaning_can_fail_the_test():
    assert {"<script>", "img onerror", "a href=javascript:x", "p style"} <= set(find_danger(
        "<script></script><img src='data:image/png;base64,' onerror=x><a href='javascript:x'></a><p style='x'>"))


# --- Spreadsheets ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "written"), [
    ("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", "'\rx"), (" =1", "' =1"), ("＝1", "'＝1"), ("'=1", "''=1"),
    ("'t Hart", "'t Hart"), ("a=1", "a=1"), ("", ""), ("'", "'"), ("St. John's", "St. John's")])
def test_texts_are_guarded_and_come_back(text, written):
    assert guard(text) == written and unguard(written) == text


@settings(deadline=None)
@given(st.text(alphabet="'=+-@ \t\rab＝"))
def test_every_text_comes_back(text):
    assert unguard(guard(text)) == text
    assert not re.match(r"\s*[=+\-@＝＋－＠]|[\t\r\n]", guard(text))


def test_numbers_dates_and_gaps_stay_as_they_are():
    frame = pd.DataFrame({"site": ["-x", None], "units": [-1.5, np.nan], "day": pd.to_datetime(["2024-01-31", None]), "full": [True, False], "picture": [b"=+", b"a"]})
    assert format_csv(frame) == "site,units,day,full,picture\n'-x,-1.5,2024-01-31,True,PSs=\n,,,False,YQ==\n"


def test_a_carriage_return_begins_no_cell():
    text = format_csv(pd.DataFrame({"file": ["a\r=1", "b"], "units": [1, 2]}))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["file", "units"], ["a\r=1", "1"], ["b", "2"]]


# --- Packed files ----------------------------------------------------------------------------------------------------

def test_rows_and_bytes_are_limited(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"site": ["abcde"] * 30, "units": np.arange(30.0)}).to_parquet(path)
    assert unpack.read_parquet(path)["units"].tolist() == list(range(30))
    for name, limit in (("MOST_ROWS", 29), ("MOST_BYTES", 149)):
        with monkeypatch.context() as change:
            change.setattr(unpack, name, limit)
            with pytest.raises(MedlibError, match="x.parquet unpacks to more than"):
                unpack.read_parquet(path)


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}])
def test_a_cell_holds_one_value(tmp_path, cell):
    pd.DataFrame({"more": [cell]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(MedlibError, match="column 'more'"):
        unpack.read_parquet(tmp_path / "x.parquet")


def test_a_text_in_every_row_counts_in_every_row(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "MOST_BYTES", 100_000)
    pd.DataFrame({"site": pd.Series(["x" * 1000] * 1000, dtype="category")}).to_parquet(tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 20_000
    with pytest.raises(MedlibError, match="unpacks to more"):
        unpack.read_parquet(tmp_path / "x.parquet")


def test_gzip_is_limited_and_checked(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"beds" * 25))
    monkeypatch.setattr(unpack, "MOST_BYTES", 100)
    assert unpack.unpack_gzip(path) == b"beds" * 25
    monkeypatch.setattr(unpack, "MOST_BYTES", 99)
    with pytest.raises(MedlibError, match="more than"):
        unpack.unpack_gzip(path)
    monkeypatch.setattr(unpack, "MOST_BYTES", 100)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MedlibError, match="whole gzip file"):
        unpack.unpack_gzip(path)


# --- The terminal and JupyterLab -------------------------------------------------------------------------------------

def test_sentences_are_tame():
    assert cli._tame("a\n b\x1b[2J\u202e c") == "a b\ufffd[2J\ufffd c" and cli._tame("Zürich 病床") == "Zürich 病床"
    assert len(cli._tame("x" * 5000)) == cli.LONGEST + 1


def test_the_lab_listens_to_this_machine_only():
    lab = runpy.run_path(str(PROJECT / "bootstrap.py"), run_name="bootstrap")
    started = []
    lab["run_command"].__globals__["run"] = started.append
    lab["run_command"]("lab", ["--no-browser"])
    command = list(map(str, started[0]))
    assert "--ServerApp.ip=127.0.0.1" in command and command[-1] == "--no-browser"
    assert not [word for word in command if "token" in word]  # it would be seen in the list of processes
