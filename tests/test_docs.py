"""The documentation site: built without a warning, every link inside it leads somewhere, and no page asks another machine for anything."""

import runpy
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from medlib.allocate import solve
from medlib.report.browser import find_browser, open_tab
from medlib.tables import PROJECT

BUILD = runpy.run_path(str(PROJECT / "docs" / "build.py"))
needs_sphinx = pytest.mark.skipif(not find_spec("sphinx") or not find_spec("myst_nb"), reason="the extra `docs` is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site with the notebooks as stored; warnings are errors."""
    output = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run([sys.executable, PROJECT / "docs" / "build.py", "--stored", "--output", output], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    assert [path.name for path in output.parent.iterdir()] == ["site"]  # nothing half done is left beside it
    return output


@pytest.fixture(scope="module")
def pages(site):
    return {path.resolve(): BeautifulSoup(path.read_bytes(), "html.parser") for path in sorted(site.rglob("*.html"))}


def list_links(soup):
    """All addresses that a page names: where it leads, and what it loads."""
    return [(element.name, element[name]) for name in ("href", "src") for element in soup.find_all(attrs={name: True})]


def find_lost(pages):
    """Links within the site that lead to no file, or to no place in it."""
    anchors = {path: {element["id"] for element in soup.find_all(id=True)} | {"", "top"} for path, soup in pages.items()}
    lost = []
    for path, soup in pages.items():
        for _, address in list_links(soup):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not aim.is_file() or aim in anchors and unquote(parts.fragment) not in anchors[aim]:
                lost.append(f"{path.name}: {address}")
    return lost


@needs_sphinx
def test_every_link_inside_leads_somewhere(pages):
    assert len(pages) >= 60
    assert find_lost(pages) == []


def test_a_lost_link_is_seen(tmp_path):
    (tmp_path / "a.html").write_text("")
    soup = BeautifulSoup("<p id='here'></p><a href='#here'></a><a href='#there'></a><a href='b.html'></a><img src='a.html#x'>", "html.parser")
    assert find_lost({(tmp_path / "a.html").resolve(): soup}) == ["a.html: #there", "a.html: b.html", "a.html: a.html#x"]


@needs_sphinx
def test_pages_load_nothing_from_elsewhere_and_links_out_are_whole(pages):
    for path, soup in pages.items():
        for name, address in list_links(soup):
            parts = urlsplit(address)
            assert parts.scheme in {"", "http", "https", "mailto", "data"}, f"{path.name}: {address}"
            if parts.netloc or parts.scheme in {"http", "https"}:
                assert name == "a" and "." in parts.netloc and " " not in address, f"{path.name}: {address}"


@needs_sphinx
def test_chapters_modules_and_guides_are_there(site):
    chapters = sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert chapters and not [path for path in chapters if not (site / "notebooks" / f"{path.stem}.html").is_file()]
    for folder in PROJECT.joinpath("medlib").glob("*/__init__.py"):
        assert (site / "api" / f"medlib.{folder.parent.name}.html").is_file()
    reference = (site / "api" / "medlib.allocate.html").read_text(encoding="utf-8")
    assert f'id="{solve.__module__}.solve"' in reference
    for page in ("docs/glossary", "docs/data_protection", "data/dictionary", "SECURITY", "CHANGELOG", "five_minutes"):
        assert (site / f"{page}.html").is_file()


@needs_sphinx
@pytest.mark.skipif(find_browser() is None, reason="no Chromium and playwright on this machine")
@pytest.mark.parametrize("page", ["index", "notebooks/10_linear_program", "notebooks/60_what_if", "api/medlib.allocate", "docs/glossary", "search"])
def test_a_browser_asks_the_disk_only(site, page):
    with open_tab(site / f"{page}.html", find_browser()) as visit:
        visit.tab.wait_for_load_state("networkidle")
        assert visit.requests and not [url for url in visit.requests if not url.startswith(site.as_uri())]
        assert not [told for told in visit.complaints if told.startswith("error")]
        wide, window = visit.tab.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= window


def test_reference_pages_hold_each_module_once(tmp_path):
    packages = BUILD["write_reference"](tmp_path / "api")
    text = "".join((tmp_path / "api" / f"{name}.rst").read_text(encoding="utf-8") for name in packages)
    modules = {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for path in (PROJECT / "medlib").rglob("*.py")}
    assert packages[0] == "medlib" and len(packages) >= 15
    named = [line.removeprefix(".. automodule:: ") for line in text.splitlines() if line.startswith(".. automodule::")]
    assert sorted(named) == sorted(name for name in modules if not name.endswith("__main__"))


def test_without_sphinx_a_sentence_says_what_to_install(tmp_path, capsys):
    change = BUILD["main"].__globals__
    old, change["find_spec"] = change["find_spec"], lambda name: None
    try:
        assert BUILD["main"](["--output", str(tmp_path / "site")]) == 2
    finally:
        change["find_spec"] = old
    said = capsys.readouterr().err.strip()
    assert "medlib[docs]" in said and "\n" not in said and not list(tmp_path.iterdir())
