"""The report page on paper: A4, printed by the browser of this machine."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from medlib.errors import MedlibError
from medlib.language.fonts import lend_font
from medlib.report.browser import find_browser, open_tab
from medlib.report.files import write_whole

#: Links to the executed notebooks would lead to where the report lay when it was printed.
BESIDE = re.compile(r'<a href="notebooks/[^"]*">(.*?)</a>', re.DOTALL)
#: A footer has a style of its own; without a size its letters are a tenth of a millimetre high.
FOOTER = ('<div style="width: 100%; margin: 0 16mm; display: flex; justify-content: space-between; font: 8pt sans-serif; color: #5b6875">'
          '<span class="title"></span><span><span class="pageNumber"></span> / <span class="totalPages"></span></span></div>')
MARGINS = {"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}


def write_pdf(page: Path) -> Path:
    """Print a report as ``report.pdf`` beside it: A4, numbered pages, an outline, and contents whose links lead to their sections.

    Parameters
    ----------
    page : pathlib.Path
        A run's ``report.html``.

    Returns
    -------
    pathlib.Path
        The PDF, whole; the browser that prints runs no script and has no network.

    Raises
    ------
    MedlibError
        There is no browser that could print, or it stopped; an older PDF is left as it was.
    OSError
        The PDF can't be written.
    """
    browser = find_browser()
    if browser is None:
        raise MedlibError(f"A PDF needs Chromium or Chrome and the package playwright, and one of them is not here; install the browser, and "
                          f"`pip install medlib[pdf]`, then run `medlib pdf {page.parent}`; {page.name} is whole.")
    from playwright.sync_api import Error
    with tempfile.TemporaryDirectory(prefix="medlib-") as place:
        copy = Path(place) / page.name
        copy.write_text(BESIDE.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
        try:
            with open_tab(copy, browser, environment=lend_font(Path(place)), offline=True, java_script_enabled=False) as visit:
                printed = visit.tab.pdf(format="A4", margin=MARGINS, print_background=True, display_header_footer=True, header_template="<span></span>",
                                        footer_template=FOOTER, outline=True, tagged=True)
        except Error as error:
            raise MedlibError(f"The browser {browser} could not print {page.name}: {str(error).strip().splitlines()[0].rstrip('.')}; "
                              "update it, or print the page from your own browser.") from None
    return write_whole(page.with_suffix(".pdf"), printed)
