"""Build the documentation site: python docs/build.py [--stored] [--output DIR]

The site mirrors the project's folders, so that a link that works in the repository works on the site. The README's sections become
pages, the notebooks its chapters, the docstrings its reference, a page a package. Stored notebooks hold no charts; so each is executed first, once for
every change of the code, and the site shows what came out. With ``--stored`` it shows what is stored, and is done in a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import pkgutil
import re
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "docs"
#: Files that the site shows as they are, at the same place.
PAGES = ("SECURITY.md", "CHANGELOG.md", "LICENSE", "docs/*.md", "docs/images/*", "data/*.md", "notebooks/exercises/*_ex.ipynb")
#: Captions of the contents and the README's sections that stand below them; a section that is not named here stands below the last.
CONTENTS = {"Start": ("Five minutes", "What comes out", "Run times", "Limits"), "How it works": ()}


def gather_pages(source: Path, notebooks: list[Path]) -> None:
    """Put the site's sources together in an empty folder.

    Parameters
    ----------
    source : pathlib.Path
    notebooks : list of pathlib.Path
        The chapters in their order, executed or as stored.
    """
    files = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern)) if path != ROOT / "docs" / "index.md"]
    for path in files:
        _copy(path, source / path.relative_to(ROOT))
    for path in notebooks:
        _copy(path, source / "notebooks" / path.name)
    _copy(ROOT / "docs" / "_static" / "site.css", source / "_static" / "site.css")
    introduction, *sections = re.split(r"^## (.+)\n", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    heads = dict(zip(sections[::2], sections[1::2]))
    for head, text in heads.items():
        (source / _name_page(head)).write_text(f"# {head}\n{text}", encoding="utf-8")
    anchors = {head.lower().replace(" ", "-"): _name_page(head) for head in heads}
    introduction = re.sub(r"\]\(#([\w-]+)\)", lambda link: f"]({anchors[link[1]]})", introduction)
    listed = [head for names in CONTENTS.values() for head in names]
    groups = {caption: [_name_page(head) for head in names if head in heads] for caption, names in CONTENTS.items()}
    groups["How it works"] += [_name_page(head) for head in heads if head not in listed]
    course = [f"notebooks/{path.name}" for path in notebooks]
    exercises = sorted(path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".ipynb")
    guides = [path.relative_to(ROOT).as_posix() for path in files if path.suffix == ".md"]
    contents = {"Start": groups["Start"], "Course": course, "Exercises": exercises, "How it works": groups["How it works"],
                "Guides and tables": guides, "Reference": [f"api/{name}.rst" for name in write_reference(source / "api")[:1]]}
    trees = "".join(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n:maxdepth: 2\n" + "\n".join(pages) + "\n```\n"
                    for caption, pages in contents.items() if pages)
    (source / "index.md").write_text(introduction + (ROOT / "docs" / "index.md").read_text(encoding="utf-8") + trees, encoding="utf-8")


def write_reference(folder: Path) -> list[str]:
    """Write a page for every package, with all its modules; returns the packages' names, ``medlib`` first."""
    import medlib
    modules = ["medlib", *sorted(module.name for module in pkgutil.walk_packages(medlib.__path__, "medlib.") if not module.name.endswith("__main__"))]
    packages = [name for name in modules if hasattr(sys.modules.get(name), "__path__")]
    folder.mkdir(parents=True)
    for package in packages:
        named = [package, *(name for name in modules if name.rpartition(".")[0] == package and name not in packages)]
        # What a package hands on is told where the module is told that holds it.
        parts = [f"{name}\n{('=' if name == package else '-') * len(name)}\n\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n" for name in named]
        if package == packages[0]:
            parts.append(".. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in packages[1:]))
        (folder / f"{package}.rst").write_text("\n".join(parts), encoding="utf-8")
    return packages


def execute_notebooks() -> list[Path]:
    """Execute every chapter that was not executed yet with this code, two side by side; returns the executed ones in order."""
    from medlib.report.pipeline import list_notebooks
    parts = [path for folder in ("medlib", "data/sample") for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".py", ".parquet", ".html")]
    code = hashlib.sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest()
    chapters = list(list_notebooks().values())
    places = {notebook.name: BUILD / "executed" / hashlib.sha256(code.encode() + notebook.path.read_bytes()).hexdigest()[:16] for notebook in chapters}
    done = [places[notebook.name] / "notebooks" / notebook.path.name for notebook in chapters]
    for old in (path for path in (BUILD / "executed").glob("*") if path not in places.values()):
        shutil.rmtree(old)
    waiting = [notebook for notebook, path in zip(chapters, done) if not path.is_file()]
    with ProcessPoolExecutor(2) as pool:
        tasks = [pool.submit(_execute, notebook, places[notebook.name]) for notebook in waiting]
        for number, task in enumerate(as_completed(tasks), 1):
            name, seconds, error = task.result()
            if error:
                pool.shutdown(cancel_futures=True)
                sys.exit(f"{error['notebook']}, cell {error['cell']}: {error['reason']}")
            print(f"[{number}/{len(waiting)}] {name} {seconds:.0f} s", file=sys.stderr, flush=True)
    return done


def build_site(source: Path, output: Path) -> int:
    """Call Sphinx; a warning fails the build, and all of them are told."""
    from sphinx.cmd.build import main
    return main(["-b", "html", "-c", str(ROOT / "docs"), "-W", "--keep-going", "-q", "-j", "auto", "-d", str(source.parent / "doctrees"), str(source), str(output)])


def _execute(notebook, place: Path) -> tuple[str, float, dict | None]:
    from medlib.report.kernel import execute_notebook
    began, draft = time.monotonic(), place.with_name(place.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "notebooks").mkdir(parents=True)
    error = execute_notebook(notebook, draft, {}, lambda done, cells: None)
    if not error:
        draft.rename(place)
    return notebook.name, time.monotonic() - began, error


def _name_page(head: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", head.lower()).strip("_") + ".md"


def _copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)


def main(arguments: list[str]) -> int:
    """Build the site and print where it begins."""
    parser = argparse.ArgumentParser(prog="docs/build.py", description=__doc__.splitlines()[0])
    parser.add_argument("--stored", action="store_true", help="show the notebooks as stored, without charts, instead of executing them")
    parser.add_argument("--output", type=Path, default=BUILD / "site", help="an empty or new folder; left out: build/docs/site")
    given = parser.parse_args(arguments)
    if not find_spec("sphinx") or not find_spec("myst_nb"):
        print("The site is built by Sphinx, which is not here; install it with `pip install medlib[docs]`, then run this again.", file=sys.stderr)
        return 2
    given.output.parent.mkdir(parents=True, exist_ok=True)
    work = given.output.with_name(f".{given.output.name}.part")
    draft = work / "site"
    shutil.rmtree(work, ignore_errors=True)
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")) if given.stored else execute_notebooks()
    gather_pages(work / "source", notebooks)
    if failed := build_site(work / "source", draft):
        print("The site was not built; what is said above has to be mended first.", file=sys.stderr)
        return failed
    for template in (draft / "_static").glob("*.html"):
        template.unlink()  # the theme's templates, copied beside its scripts; not pages
    shutil.rmtree(given.output, ignore_errors=True)
    draft.rename(given.output)
    shutil.rmtree(work)
    print(f"site: {given.output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
