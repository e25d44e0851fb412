"""One way of opening a page in this machine's own browser, and of seeing what the page asks for and complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: How Chromium and its kin are called on Linux, and where they are put on macOS and Windows.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
          "C:/Program Files/Google/Chrome/Application/chrome.exe", "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe")
#: Milliseconds that a page is given to load: one that runs a notebook first takes long on a busy machine.
PATIENCE = 180_000


@dataclass
class Visit:
    """A page in an open browser, what it asked for since, and what the browser complained about."""

    tab: Page
    address: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def requests(self) -> list[str]:
        """What was asked for beside the page itself and what the page holds."""
        return [url for url in self.asked if not url.startswith(("data:", "blob:")) and url.partition("#")[0] != self.address.partition("#")[0]]


def find_browser() -> str | None:
    """Path of a browser of the Chromium family, where there is one and playwright is installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None) or next(filter(os.path.isfile, PLACES), None)
    return found if find_spec("playwright") else None


@contextmanager
def open_tab(page: Path | str, browser: str, *, width: int = 1280, height: int = 900, environment: Mapping[str, str] | None = None,
             **settings: object) -> Iterator[Visit]:
    """Open a page in a browser that is closed at the end.

    Parameters
    ----------
    page : pathlib.Path or str
        A file, or an address.
    browser : str
        What `find_browser` found.
    width, height : int
        Of the window, in pixels.
    environment : mapping of str to str, optional
        What the browser's environment holds besides this process's.
    **settings
        Further settings of playwright's ``new_context``, such as ``offline``.

    Yields
    ------
    Visit
    """
    from playwright.sync_api import sync_playwright
    address = page.absolute().as_uri() if isinstance(page, Path) else page
    with sync_playwright() as play:
        # The system's superuser, as in most containers, can't have Chromium's sandbox.
        running = play.chromium.launch(executable_path=browser, args=["--disable-gpu"], chromium_sandbox=getattr(os, "geteuid", lambda: 1)() != 0,
                                       env={**os.environ, **(environment or {})})
        try:
            tab = running.new_context(viewport={"width": width, "height": height}, **settings).new_page()
            visit = Visit(tab, address)
            # What a page's policy stops is told as a request that failed, and never left the browser.
            tab.on("requestfinished", lambda request: visit.asked.append(request.url))
            tab.on("requestfailed", lambda request: request.failure == "csp" or visit.asked.append(request.url))
            tab.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
            tab.on("pageerror", lambda error: visit.complaints.append(f"error: {error}"))
            tab.goto(address, timeout=PATIENCE)
            yield visit
        finally:
            running.close()
