"""The command line: thin over the other modules."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from medlib.errors import MedlibError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(help="A workbench for medical resource allocation.", no_args_is_help=True, add_completion=False,
                  pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(stderr=True, highlight=False)
#: Characters of the longest sentence shown.
LONGEST = 2000
#: Problems shown of those that one mistake makes in a column.
FEW = 3

DatasetOption = Annotated[str, typer.Option(help="A name from `medlib datasets`, or a folder that passes `medlib check`.")]
AsOfOption = Annotated[str, typer.Option(help="Last date the forecast may see, YYYY-MM-DD.")]
SettingOption = Annotated[list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE",
                                                         help="A parameter of the notebooks; may be repeated.")]
FileOption = Annotated[Path | None, typer.Option("-f", "--file", metavar="YAML", help="Parameters from a YAML file.")]
NameOption = Annotated[str, typer.Option(help="Name of the folder below reports/.")]
LimitOption = Annotated[float | None, typer.Option("--time-limit", metavar="MINUTES", help="Longest time of one notebook; left out: 60.")]
CountOption = Annotated[int | None, typer.Option("--smallest-count", min=0, help="Least count of people shown; left out: 0 for datasets "
                                                 "of the catalogue, 5 for your own folder.")]
AcceptOption = Annotated[list[str] | None, typer.Option("--accept", metavar="PLACE", help="A place that the gate named and you found "
                                                        "harmless; may be repeated.")]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Print the report as report.pdf, too; needs Chromium and playwright.")]


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    if mirror := os.environ.get("MEDLIB_MIRROR"):
        # Notebooks run in another folder than the one the mirror was named from.
        os.environ["MEDLIB_MIRROR"] = os.path.realpath(os.path.expanduser(mirror))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may hold bytes that are no letters
    try:
        app()
    except MedlibError as error:
        print(_tame(error), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(_tame(f"The system refused {error.filename or 'a file'!r}: {error.strerror or error}; choose another place or free some."),
              file=sys.stderr)
        sys.exit(2)


def _tame(text: object) -> str:
    """Text on one line of bearable length, with nothing in it that could steer a terminal."""
    line = " ".join(str(text).split())
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


@app.command()
def report(dataset: DatasetOption = "", as_of: AsOfOption = "", parameter: SettingOption = None, file: FileOption = None,
           run_name: NameOption = "", time_limit: LimitOption = None, smallest_count: CountOption = None, accept: AcceptOption = None,
           pdf: PdfOption = False) -> None:
    """Render an allocation report: run the notebooks it needs and write report.html."""
    from medlib.report import REPORT
    folder = _run(_gather(dataset, as_of, parameter, file), [REPORT], run_name, time_limit, smallest_count, accept)
    if pdf:
        _print_page(folder)


@app.command("pdf")
def print_pdf(folder: Annotated[Path, typer.Argument(help="A run's folder below reports/.")]) -> None:
    """Print a report that is there already as report.pdf beside it."""
    _print_page(folder)


def _print_page(folder: Path) -> None:
    from medlib.report.pdf import write_pdf
    page = folder / "report.html"
    if not page.is_file():
        raise MedlibError(f"A report's folder holds report.html; {folder} does not; name another, or make one with `medlib report`.")
    print(f"pdf: {_tame(_shorten(write_pdf(page)))}")


@app.command()
def run(notebook: Annotated[list[str] | None, typer.Argument(help="Notebooks to run, with all that they need.")] = None,
        dataset: DatasetOption = "", as_of: AsOfOption = "", parameter: SettingOption = None, file: FileOption = None,
        run_name: NameOption = "", time_limit: LimitOption = None, smallest_count: CountOption = None, accept: AcceptOption = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False) -> None:
    """Run notebooks, or go on with a run that failed or was stopped."""
    from medlib.report import REPORT, resume_run
    given = _gather(dataset, as_of, parameter, file)
    if resume:
        if given or notebook or smallest_count is not None:
            raise MedlibError("A resumed run keeps its own notebooks, parameters and smallest count; leave them out, or start a new run.")
        _finish(lambda progress: resume_run(run_name, progress, time_limit=time_limit, accepted=accept or []))
    else:
        _run(given, notebook or [REPORT], run_name, time_limit, smallest_count, accept)


@app.command()
def sweep(file: Annotated[Path, typer.Argument(metavar="YAML", help="The sweep: name, common, grid, runs; see README.")],
          engine: Annotated[str, typer.Option(help="local, joblib (this machine's cores) or dask.")] = "local",
          workers: Annotated[int, typer.Option(min=1, help="Runs at a time with joblib, or with dask on this machine.")] = os.cpu_count() or 1,
          scheduler: Annotated[str, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, such as tls://10.0.0.1:8786.")] = "",
          tls_ca: Annotated[str, typer.Option("--tls-ca", metavar="FILE", help="Certificate of the authority.")] = "",
          tls_cert: Annotated[str, typer.Option("--tls-cert", metavar="FILE", help="This side's certificate.")] = "",
          tls_key: Annotated[str, typer.Option("--tls-key", metavar="FILE", help="This side's key.")] = "",
          retries: Annotated[int, typer.Option(min=0, help="How often a run is tried again whose worker or kernel died.")] = 2,
          time_limit: LimitOption = None, smallest_count: CountOption = None, accept: AcceptOption = None) -> None:
    """Make many reports, and a page that compares them; runs that are done are kept. Exit code 1 if some failed."""
    from medlib.report.run import TIME_LIMIT
    from medlib.sweep import open_engine, read_sweep, run_sweep
    from medlib.sweep.engines import Keys
    from medlib.sweep.progress import watch
    taken = open_engine(engine, workers, address=scheduler, keys=Keys(tls_ca, tls_cert, tls_key), retries=retries)
    planned = read_sweep(file, lambda path: _read_yaml(path, plain=False), time_limit=TIME_LIMIT if time_limit is None else time_limit,
                         smallest_count=smallest_count, accepted=accept or [])
    summary = run_sweep(planned, taken, retries=retries, watch=watch)
    print(f"{len(planned.runs)} runs: {summary.done} done ({summary.kept} kept from before), {summary.failed} failed", file=sys.stderr)
    print(f"sweep: {_tame(_shorten(summary.folder / 'index.html'))}")
    if summary.failed:
        raise typer.Exit(1)


@app.command("what-if")
def what_if(workspace: Annotated[str, typer.Argument(help="Folder of tables of a run in which 40_allocate ran.")] = "data/sample",
            port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = 8866,
            no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False) -> None:
    """Open the what-if page: sliders for capacity, rules, demand and fairness, and a plan that answers."""
    from medlib.whatif.serve import serve_page
    raise typer.Exit(serve_page(workspace, [f"--port={port}", *(["--no-browser"] if no_browser else [])]))


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="Folder of CSV or Parquet tables.")] = Path("."),
          template: Annotated[bool, typer.Option("--template", help="Write a template into the folder instead.")] = False,
          whole: Annotated[bool, typer.Option("--all", help=f"Print every problem, not the first {FEW} of a kind.")] = False,
          ) -> None:
    """Check a folder of your own tables: every problem with file, row, column, value and what was expected."""
    from medlib.intake import check_folder, describe_tables, write_template
    if template:
        write_template(folder)
        print(f"A template stands in {_tame(folder)}; fill it in and run: medlib check {_tame(folder)}\n"
              "Every column, unit and optional table stands in data/dictionary.md (medlib dictionary prints it).")
        return
    tables, problems = check_folder(folder)
    if problems.empty:
        print(f"{_tame(folder)} passes: " + ", ".join(f"{name} {len(frame):,} rows" for name, frame in tables.items()))
        print("\n".join(map(_tame, describe_tables(tables))))
        print(f"Next: medlib report --dataset {shlex.quote(_tame(folder))} --as-of {tables['demand']['date'].max():%Y-%m-%d}")
        return
    print("\n".join(_list_problems(problems, len(problems) if whole else FEW)))
    print(f"{len(problems)} problem(s) in {_tame(folder)}; nothing was changed.")
    raise typer.Exit(2)


def _list_problems(problems: pd.DataFrame, most: int) -> list[str]:
    """A line a problem, but not more than `most` of those that expect the same in a column of a file: one mistake may be in every row."""
    import pandas as pd
    lines = []
    kinds = problems["expected"].str.replace(r"line \d+", "line", regex=True)
    for (file, column, _), alike in problems.groupby(["file", "column", kinds], sort=False):
        for row in alike.head(most).itertuples():
            place = f", row {row.row}" if pd.notna(row.row) else ""
            place += f", column {row.column}" if row.column else ""
            came = f"got {row.value!r}, " if row.value else ""
            lines.append(f"{row.file}{place}: {came}expected {row.expected}")
        if len(alike) > most:
            lines.append(f"… and {len(alike) - most:,} more in {file}{f', column {column}' if column else ''} (--all prints them)")
    return lines


@app.command()
def allocate(folder: Annotated[Path, typer.Argument(help="Folder of CSV or Parquet tables; see README.")],
             json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the answer there.")] = None,
             minimise: Annotated[str, typer.Option(help="shortage, transfers or cost.")] = "shortage",
             max_shortage: Annotated[float, typer.Option(help="Most weighted unit-days short.")] = math.inf,
             transfer_budget: Annotated[float, typer.Option(help="Most transfers in all.")] = math.inf,
             max_distance_km: Annotated[float, typer.Option(help="Longest link used.")] = math.inf,
             rule: Annotated[list[str] | None, typer.Option("-p", "--rule", metavar="NAME=VALUE", help="A field of Rules.")] = None,
             output: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the plan's tables there as CSV.")] = None,
             ) -> None:
    """Solve a folder with perfect foresight: how good could any allocation have been?"""
    from medlib.allocate import Infeasible, Rules
    from medlib.foresight import allocate as solve_problem
    from medlib.foresight import pose_folder
    given = {"handover_days": 1, "max_distance_km": max_distance_km, "transfers_in_all": transfer_budget}
    posed = pose_folder(folder, Rules.without_limits(**given | _read_rules(rule or [])))
    try:
        plan, answer = solve_problem(posed, minimise, max_shortage)
    except Infeasible as error:
        from medlib.explain.conflicts import describe_conflict, explain_conflict
        print("\n".join(map(_tame, describe_conflict(explain_conflict(error.model)))), file=sys.stderr)
        raise typer.Exit(2) from None
    if json_file:
        _write_text(json_file, json.dumps(answer, indent=1) + "\n")
    if output:
        for name, table in plan.tables.items():
            _write_table(output / f"{name}.csv", table)
    print("\n".join(map(_tame, plan.explain(answer["bound"]))))
    print(json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in answer.items()}))


def _read_rules(settings: list[str]) -> dict[str, float]:
    from medlib.allocate import Rules
    rules = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in Rules.__dataclass_fields__:
            raise MedlibError(f"A rule is given as NAME=VALUE; got {setting!r}; the names are "
                              f"{', '.join(Rules.__dataclass_fields__)}.")
        kind = type(Rules.__dataclass_fields__[name].default)
        try:
            rules[name] = kind(number := float({"true": "1", "false": "0"}.get(value.lower(), value)))
        except (ValueError, OverflowError):
            raise MedlibError(f"The rule {name} takes a number; got {value!r}.") from None
        if kind is not float and rules[name] != number:  # half a day, or neither yes nor no
            raise MedlibError(f"The rule {name} takes {'true or false' if kind is bool else 'a whole number'}; got {value!r}.")
    return rules


def _write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from medlib.report.files import write_whole
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise MedlibError(f"{path} cannot be written: {error.strerror}; name another file.") from None


def _write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; the one place where the command line does, so that no text in it is run as a formula."""
    from medlib.intake.sheets import format_csv
    _write_text(path, format_csv(table))


@app.command()
def export(dataset: Annotated[str, typer.Argument(help="A name from `medlib datasets`, or a run's folder below reports/.")],
           folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
           seed: Annotated[int, typer.Option(min=0, help="Of the synthetic sample.")] = 1) -> None:
    """Write a dataset's input tables as CSV, in the form that `check`, `report` and `allocate` read; or all tables of a run."""
    from medlib.catalog import load_dataset
    from medlib.tables import read_all
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MedlibError(f"The export overwrites nothing, and {folder} is not an empty folder; name another.")
    workspace = Path(dataset).absolute() / "tables"
    tables = read_all(workspace) if workspace.is_dir() else load_dataset(dataset, seed)[0]
    for name, table in tables.items():
        _write_table(folder / f"{name}.csv", table)
    print(f"{_tame(folder)}: " + ", ".join(f"{name} {len(table):,} rows" for name, table in tables.items()))


@app.command("export-hub")
def export_hub(data: Annotated[Path, typer.Argument(help="Folder of hub data; see medlib.forecast.hub.")],
               folder: Annotated[Path, typer.Argument(help="Where the forecasts go, a file a reference date.")],
               first: Annotated[str, typer.Option(help="First reference date, a Saturday, YYYY-MM-DD.")],
               last: Annotated[str, typer.Option(help="Last reference date; left out: the first.")] = "",
               team: Annotated[str, typer.Option(help="Team and model, as the hub writes them in file names.")] = "medlib-combination") -> None:
    """Forecast weekly influenza admissions by US state in the format of CDC's FluSight hub."""
    from medlib.forecast.hub import forecast_hub, list_references, read_hub_folder
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}", team):
        raise MedlibError(f"A team's name consists of letters, digits, '-' and '_'; got {team!r}.")
    forecasts, _ = forecast_hub(read_hub_folder(data), list_references(first, last or first))
    for reference, rows in forecasts.groupby("reference_date"):
        _write_table(folder / f"{reference}-{team}.csv", rows)
        print(_tame(folder / f"{reference}-{team}.csv"))


@app.command("train-photos")
def train_photos(folder: Annotated[Path, typer.Argument(help="A folder for each state, with its photographs.")],
                 output: Annotated[Path, typer.Option(metavar="FILE", help="Write the weights there.")],
                 epochs: Annotated[int, typer.Option(min=1, help="Times that every photograph is seen.")] = 40,
                 seed: Annotated[int, typer.Option(min=0, help="Of the network.")] = 1) -> None:
    """Learn to tell your devices' states from your photographs, and measure it on those held out."""
    from medlib.recognise.panels import SIDE
    from medlib.recognise.pictures import learn_photos
    model, measured, refused = learn_photos(folder, SIDE, epochs=epochs, seed=seed)
    model.save(output)
    print("\n".join(map(_tame, refused)), file=sys.stderr, end="\n" if refused else "")
    print(f"{measured['pictures']} pictures of {', '.join(model.classes_)}; {len(refused)} refused; {measured['held_out']} held out\n"
          f"balanced accuracy on those held out: {measured['balanced_accuracy']:.3f} (colours alone: {measured['baseline_balanced_accuracy']:.3f})\n"
          f"expected calibration error: {measured['calibration_error']:.3f}\nweights: {output}")


@app.command("label-photos")
def label_photos(weights: Annotated[Path, typer.Argument(help="As written by train-photos.")],
                 photos: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
                 output: Annotated[Path, typer.Option(metavar="CSV", help="Write the labels there.")],
                 confidence: Annotated[float, typer.Option(min=0, max=1, help="Labels less sure are left to people.")] = 0.9) -> None:
    """Label photographs with a network that train-photos has taught."""
    from medlib.recognise import pictures
    from medlib.recognise.panels import SIDE
    from medlib.recognise.photos import find_photos
    labels = pictures.label_photos(pictures.PictureClassifier.load(weights), find_photos(photos), SIDE, confidence)
    _write_table(output, labels)
    print(f"{_tame(output)}: {len(labels)} pictures, {int(labels['left_to_people'].sum())} left to people, "
          f"of these {int((labels['refused'] != '').sum())} could not be read")


@app.command()
def lock(folder: Annotated[Path, typer.Argument(help="Folder of tables, such as a run's.")]) -> None:
    """Encrypt the tables of a folder with the key of MEDLIB_KEY, or of the file that MEDLIB_KEY_FILE names."""
    from medlib.privacy import keys, vault
    print(f"{folder}: {len(vault.lock_workspace(folder, keys.read_key()))} tables locked")


@app.command()
def unlock(folder: Annotated[Path, typer.Argument(help="Locked folder.")]) -> None:
    """Turn locked tables back into the files they were."""
    from medlib.privacy import keys, vault
    print(f"{folder}: {len(vault.unlock_workspace(folder, keys.read_key()))} tables unlocked")


@app.command("check-exercise")
def check_exercise(name: Annotated[str, typer.Argument(help="The exercise, such as E10.")],
                   files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Answers; left out: your copy below "
                                                                      "notebooks/exercises.")] = None,
                   time_limit: Annotated[float, typer.Option(metavar="MINUTES", help="Longest time of one notebook.")] = 10.0,
                   output: Annotated[Path | None, typer.Option(metavar="CSV", help="Write a row a file and task there.")] = None) -> None:
    """Run an exercise's notebook and check its answers: hints, no answers. Exit code 0 if all are right, else 1."""
    import pandas as pd

    from medlib.course.check import Verdict, check_exercise
    rows = []
    for file in files or [None]:
        try:
            verdicts = check_exercise(name, file, time_limit)
        except MedlibError as error:
            if not files or len(files) == 1:
                raise
            verdicts = [Verdict("Notebook", "refused", str(error))]  # one bad file does not keep a class from its marks
        if file and len(files) > 1:
            print(f"{_tame(file)}:")
        print("\n".join(map(_tame, verdicts)), flush=True)
        rows += [(str(file or ""), verdict.task, verdict.state, verdict.words) for verdict in verdicts]
    if output:
        _write_table(output, pd.DataFrame(rows, columns=["file", "task", "state", "words"]))
    if any(state != "right" for _, _, state, _ in rows):
        raise typer.Exit(1)


@app.command("make-exercises")
def make_exercises() -> None:
    """Write the learners' notebooks from their sources, for those who write exercises."""
    from medlib.course.exercises import list_exercises, write_exercises
    written = write_exercises()
    print(f"{len(written)} of {len(list_exercises())} notebooks written" + "".join(f"\n{_shorten(path)}" for path in written))


@app.command("make-key")
def make_key() -> None:
    """Print a new key; keep it where neither the data nor the reports are."""
    from medlib.privacy import keys
    print(keys.make_key())


@app.command()
def datasets() -> None:
    """List the datasets."""
    from medlib.catalog import CATALOG
    for entry in CATALOG.values():
        size = ("offline, made on the spot" if not entry.file else f"{entry.size_mb:g} MB, "
                + ("downloaded at first use" if entry.url else "read from the folder MEDLIB_MIRROR"))
        print(f"{entry.name}: {entry.title}\n  what     {entry.what}\n  where    {entry.where}\n  span     {entry.span}\n"
              f"  rows     {entry.rows:,}\n  licence  {entry.licence}\n  size     {size}\n")


@app.command()
def parameters() -> None:
    """List the parameters of a report, with types, defaults and units."""
    from medlib.report import REPORT, list_notebooks, order_chain
    table = Table("parameter", "type", "default", "what (notebook)")
    listed = {"workspace"}
    for notebook in order_chain([REPORT], list_notebooks()):
        for item in notebook.parameters.values():
            if item.name not in listed:
                listed.add(item.name)
                table.add_row(item.name, item.type.__name__, str(item.default), f"{item.about} ({notebook.name[:2]})")
    table.columns[0].min_width = max(map(len, table.columns[0].cells))  # a name that is cut can't be typed
    Console(highlight=False).print(table)


@app.command()
def index() -> None:
    """Print the index of the notebooks, as it stands in the README."""
    from medlib.report import format_index, list_notebooks
    print(format_index(list_notebooks()))


@app.command()
def dictionary() -> None:
    """Print the data dictionary: every table, column, type and unit."""
    from medlib.schema import format_dictionary
    print(format_dictionary(), end="")


def _gather(dataset: str, as_of: str, settings: list[str] | None, file: Path | None) -> dict[str, object]:
    """Put the parameters together: those of the file, overruled by -p, overruled by --dataset and --as-of."""
    given = _read_yaml(file) if file else {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            begun = re.match(r"[\w-]*", setting)[0]  # what follows may be a secret
            raise MedlibError(f"A parameter is given as -p NAME=VALUE; got {f'no = after {begun!r}' if begun else 'no name before ='}.")
        given[name.strip()] = value
    return given | {name: value for name, value in (("dataset", dataset), ("as_of", as_of)) if value}


def _read_yaml(file: Path, plain: bool = True) -> dict[str, object]:
    """Read `name: value` lines; `plain`: no value may be a list or mapping."""
    import yaml
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise MedlibError(f"The parameter file {file} can't be read: {type(error).__name__}.") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise MedlibError(f"The parameter file {file} is not YAML (line {line}); write one `name: value` a line.") from None
    except (ValueError, RecursionError) as error:  # YAML takes 2021-13-45 for a date
        raise MedlibError(f"The parameter file {file} holds a value that can't be read: {_tame(error)[:100].rstrip('.')}.") from None
    if not isinstance(given, dict):
        raise MedlibError(f"The parameter file {file} must hold `name: value` lines; got a {type(given).__name__}.")
    if plain and (long := [str(name)[:60] for name, value in given.items() if not _is_plain(value)]):
        raise MedlibError(f"Parameter {long[0]!r} in {file} must be one text, number (int or float) or date; got lists, mappings or too many digits.")
    return given


def _is_plain(value: object) -> bool:
    """Tell whether a value can be told back: lists may hold each other a billion times, and whole numbers be too long to print."""
    return value is None or isinstance(value, str | float | date) or (isinstance(value, int) and abs(value) < 10**18)


def _run(given: dict[str, object], targets: list[str], run_name: str, time_limit: float | None, smallest_count: int | None,
         accepted: list[str] | None) -> Path:
    from medlib.report import start_run
    from medlib.report.run import TIME_LIMIT
    return _finish(lambda progress: start_run(given, targets, run_name, progress, time_limit=TIME_LIMIT if time_limit is None else time_limit,
                                       smallest_count=smallest_count, accepted=accepted or []))


def _finish(work) -> Path:
    """Show progress, then the report's path as the last line; a failed run ends in three lines. Gives the run's folder."""
    from medlib.report import RunFailed
    columns = (TextColumn("{task.fields[step]}"), TextColumn("{task.description:<22}"), BarColumn(24),
               TextColumn("cell {task.completed}/{task.total}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            folder = work(_show_progress(bars))
    except RunFailed as failure:
        print("\n".join(map(_tame, f"{failure}".splitlines())), file=sys.stderr)
        raise typer.Exit(2 if failure.mistake else 1) from None
    page = folder / "report.html"
    shown = page if page.is_file() else folder
    print(f"{'report' if page.is_file() else 'run'}: {_shorten(shown)}")
    return folder


def _show_progress(bars: Progress):
    """One line a notebook: a bar on a terminal, a plain line elsewhere."""
    lines = {}

    def progress(notebook, position, notebooks, done, cells):
        step = f"[{position + 1}/{notebooks}]".replace("[", r"\[")
        if notebook.name not in lines:
            lines[notebook.name] = bars.add_task(notebook.name, total=cells, step=step)
            if not console.is_terminal:
                print(f"[{position + 1}/{notebooks}] {notebook.name}", file=sys.stderr, flush=True)
        bars.update(lines[notebook.name], completed=done, total=cells)

    return progress


def _shorten(path: Path) -> Path:
    """Path from here where it lies below here, else whole."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
