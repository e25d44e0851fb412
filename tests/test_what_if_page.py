"""The what-if page in a real browser: it asks for its token, answers keys, fits a phone, and asks no other host."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from medlib.errors import MedlibError
from medlib.report.browser import find_browser, open_tab
from medlib.whatif import Live, State
from medlib.whatif.question import read_question
from medlib.whatif.serve import make_page_notebook
from test_sweep_engines import find_port

BROWSER = find_browser()
pytestmark = [pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here, or no playwright"), pytest.mark.xdist_group("browser")]
READY = ".whatif-status .ready"
SHORT = "[data-name='short with the plan']"
#: Elements that stick out of the window, in a script.
WIDE = "[...document.querySelectorAll('.whatif *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide'))"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of the page of the sample, with its token."""
    log = tmp_path_factory.mktemp("voila") / "log"
    with log.open("w") as file:
        server = subprocess.Popen([sys.executable, "-c", "from medlib.cli import main; main()", "what-if", "--no-browser", f"--port={find_port()}"],
                                  stdout=file, stderr=file)
        try:
            until = time.monotonic() + 120
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", log.read_text())):
                assert server.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield found[0]
        finally:
            server.terminate()
            server.wait(30)


def fetch(address):
    """Status and final address."""
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status, answer.url
    except urllib.error.HTTPError as error:
        return error.code, error.url


def test_only_who_has_the_token_sees_the_page_and_nothing_else_is_served(address):
    bare, token = address.split("?")
    assert "/login" in fetch(bare)[1] and "/login" in fetch(f"{bare}api/kernels")[1]
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert fetch(f"{bare}voila/files/what_if.ipynb?{token}")[0] == 403


def test_page_answers_keys_fits_a_phone_and_asks_nobody_else(address):
    question = read_question("data/sample")
    live, name = Live(question.posed, question.levels), question.posed.names[0]
    with open_tab(address, BROWSER) as visit:
        tab = visit.tab
        tab.set_default_timeout(180_000)
        tab.wait_for_selector(READY)
        untouched = live.answer(State(question.posed.rules))
        assert tab.inner_text(SHORT) == f"{untouched.shortage:,.1f}"
        handle = tab.locator(".whatif .noUi-handle").first
        handle.focus()
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.keyboard.press("ArrowRight")
        changed = live.answer(State(question.posed.rules, (("", name, 1.05),)))
        assert changed.shortage < untouched.shortage - 1
        tab.wait_for_function(f"document.querySelector(\"{SHORT}\").innerText == '{changed.shortage:,.1f}'")
        unnamed = "[...document.querySelectorAll('.whatif .noUi-handle')].filter(e => !e.getAttribute('aria-label')).length"
        assert handle.get_attribute("aria-label") == f"× {name}" and tab.evaluate(unnamed) == 0
        # Every control can be reached by the tabulator key.
        for count in range(200):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.innerText") == "Save as report":
                break
        assert count < 60, "Save as report was not reached"
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 800})
            # The window has its new size before the page is laid out in it.
            tab.wait_for_function(f"document.documentElement.scrollWidth <= {width} && !{WIDE}.length", timeout=30_000)
        tab.wait_for_selector("text=The curve is complete.")
        host = address.split("?")[0]
        assert visit.requests and all(url.startswith(host) for url in visit.requests)
        assert not [line for line in visit.complaints if line.startswith("error") and "Content Security Policy" not in line]


def test_a_workspace_without_a_plan_is_refused(tmp_path):
    with pytest.raises(MedlibError, match="takes up a plan, and .* has none"):
        make_page_notebook(str(tmp_path))


def test_the_page_says_what_is_missing_is_missing_in_one_line(tmp_path):
    ended = subprocess.run([sys.executable, "-c", "from medlib.cli import main; main()", "what-if", str(tmp_path)], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
