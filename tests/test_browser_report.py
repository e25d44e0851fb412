"""A report of the sample in a real browser, from the disk: it is whole, asks for nothing, fits a telephone, and prints well."""

from pathlib import Path
from unicodedata import normalize

import pytest
from medlib import tables
from medlib.report import kernel
from medlib.report.browser import find_browser, open_tab
from medlib.report.page import write_page
from medlib.report.pdf import write_pdf
from medlib.report.pipeline import list_notebooks
from pypdf import PdfReader

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium and playwright on this machine")
NAME = "50_report"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report notebook, executed on the sample's own tables, as a page."""
    folder = tmp_path_factory.mktemp("reports") / "sample"
    (folder / "notebooks").mkdir(parents=True)
    assert kernel.execute_notebook(list_notebooks()[NAME], folder, {}, lambda done, cells: None) is None
    (folder / "tables").symlink_to(tables.PROJECT / "data" / "sample", target_is_directory=True)
    sources = tables.read("sources", tables.PROJECT / "data" / "sample").astype(object).to_dict("records")
    return write_page(folder, {
        "run": "sample", "status": "done", "started": "2026-01-05T08:00:00+00:00", "seconds": 60.0, "seed": 1, "git_commit": "", "datasets": sources, "ladder": {},
        "parameters": {"dataset": "sample", "language": "en"}, "versions": {"python": "3.11.7"},
        "notebooks": [{"name": NAME, "status": "done", "seconds": 20.0}]})


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_and_shows_its_charts(report, width):
    with open_tab(report, find_browser(), width=width) as visit:
        wide, window = visit.tab.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= window
        charts = visit.tab.evaluate("() => [...document.images].map(each => [each.complete, each.naturalWidth, each.getBoundingClientRect().width, each.alt])")
        assert len(charts) >= 5
        assert not [chart for chart in charts if not chart[0] or chart[1] < 300 or not 0.6 * min(width, 600) < chart[2] <= width or not chart[3]]
        assert visit.requests == [] and visit.complaints == []


def test_a_page_that_is_too_wide_is_seen(report, tmp_path):
    page = tmp_path / "wide.html"
    page.write_text(report.read_text(encoding="utf-8").replace("@media screen", "@media none"), encoding="utf-8")  # its policy then forbids the style
    with open_tab(page, find_browser(), width=390) as visit:
        assert visit.tab.evaluate("() => document.documentElement.scrollWidth") > 390 and visit.complaints


def test_contents_jump_to_their_sections(report):
    with open_tab(report, find_browser()) as visit:
        links = visit.tab.locator("nav a").all()
        assert len(links) >= 10
        for link in links:
            link.click()
            anchor = link.get_attribute("href")
            assert visit.tab.url.endswith(anchor)
            head = visit.tab.locator(f"[id='{anchor[1:]}']")
            top = head.evaluate("each => each.getBoundingClientRect().top")
            assert 0 <= round(top) < 900 and head.inner_text().strip() == link.inner_text().strip()
        assert visit.requests == [] and visit.complaints == []


def test_links_to_notebooks_lead_to_files(report):
    with open_tab(report, find_browser()) as visit:
        hrefs = visit.tab.evaluate("() => [...document.querySelectorAll('main a')].map(each => each.getAttribute('href'))")
    beside = [href for href in hrefs if not href.startswith(("http", "#"))]
    assert f"notebooks/{NAME}.ipynb" in beside
    assert not [href for href in beside if not (report.parent / href).is_file()]


def test_it_prints_without_a_blank_page(report):
    pdf = PdfReader(write_pdf(report))
    assert len(pdf.pages) > 5
    for number, page in enumerate(pdf.pages, 1):
        text = page.extract_text()
        assert f"{number} / {len(pdf.pages)}" in text
        assert len(text.splitlines()) >= 4 or list(page.images), f"page {number} is all but blank"
    assert "The answer in five sentences" in normalize("NFKC", pdf.pages[0].extract_text())  # some fonts print "fi" as one letter
    assert not [name for name in Path(report.parent).iterdir() if name.name.startswith(".")]
