"""The page and the table that lay the runs of a sweep side by side."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from medlib import tables
from medlib.errors import MedlibError
from medlib.intake.sheets import format_csv
from medlib.report.files import write_whole
from medlib.report.page import write_index
from medlib.sweep.plan import Sweep
from medlib.sweep.progress import spell_time

#: Rungs that are compared, and how the page calls them.
RUNGS = {"none": "do nothing", "reactive": "same-day rule", "stochastic": "plan", "perfect": "perfect foresight"}
#: Those that the charts draw: doing nothing would flatten the others.
DRAWN = ("reactive", "stochastic", "perfect")
#: Weighted unit-days between rule and foresight under which the share closed says little.
SMALL_GAP = 5.0
#: Units short a day that nobody sees in a chart.
NOTHING = 1e-6
#: Characters of a cell that is not broken into lines.
SHORT_CELL = 24
#: Little charts on the page; more can't be told apart any more.
MOST_CHARTS = 60
#: Charts in a row, and the shares of a chart's title.
COLUMNS, LONGEST_TITLE = 5, 34


def tabulate_runs(sweep: Sweep, rows: Sequence[dict]) -> pd.DataFrame:
    """Return a row a run: what it varies, shortages in weighted unit-days over the horizon, and how it ended.

    Parameters
    ----------
    sweep : Sweep
    rows : sequence of dict
        As sweep.json tells of the runs.
    """
    found = []
    for row in rows:
        ladder = row["ladder"]
        shortages = {f"shortage_{rung}": ladder.get(rung, {}).get("shortage") for rung in RUNGS}
        found.append({"run": row["run"], **{name: row["parameters"][name] for name in sweep.varied}, **shortages,
                      "gap_closed": ladder.get("stochastic", {}).get("gap_closed"), "status": row["status"], "seconds": row["seconds"],
                      "kept": row["kept"], "tries": row["tries"], "reason": row["reason"]})
    shown = pd.DataFrame(found)
    figures = [*(f"shortage_{rung}" for rung in RUNGS), "gap_closed", "seconds"]
    return shown.astype(dict.fromkeys(figures, float))


def write_comparison(folder: Path, sweep: Sweep, rows: Sequence[dict]) -> None:
    """Write comparison.csv and index.html into the sweep's folder.

    Parameters
    ----------
    folder : pathlib.Path
        With a folder for each run in it.
    sweep : Sweep
    rows : sequence of dict
        As sweep.json tells of the runs.
    """
    runs = tabulate_runs(sweep, rows)
    write_whole(folder / "comparison.csv", format_csv(runs))
    synthetic = _is_synthetic(folder, rows)
    done, failed = (int((runs["status"] == status).sum()) for status in ("done", "failed"))
    waiting = len(runs) - done - failed
    title = f"Sweep {sweep.name}{' (synthetic data)' if synthetic else ''}"
    parts = [f"<h1>{html.escape(title)}</h1>",
             f"<p>{len(runs)} runs of {html.escape(', '.join(sweep.targets))}: {done} done"
             + (f", {int(runs['kept'].sum())} of them kept from before" if runs["kept"].any() else "") + f", {failed} failed"
             + (f", {waiting} not run yet" if waiting else "") + f". They differ in {html.escape(', '.join(sweep.varied)) or 'nothing'}.</p>"]
    if failed:
        parts.append(f'<h2 id="failed">Failed runs</h2>{_format_failed(runs[runs["status"] == "failed"])}')
    parts.append(f'<h2 id="comparison">Comparison</h2>{_format_runs(folder, sweep, runs)}')
    if charts := _draw_charts(folder, runs):
        parts.append(f'<h2 id="days">Shortage day by day</h2>{charts}')
    write_index(folder / "index.html", title, "".join(parts))


def _is_synthetic(folder: Path, rows: Sequence[dict]) -> bool:
    """Whether any of the runs that are shown has made-up data."""
    for row in rows:
        with suppress(MedlibError):
            if row["status"] == "done" and tables.has("sources", folder / row["run"] / "tables"):
                return bool(tables.read("sources", folder / row["run"] / "tables")["synthetic"].any())
    return False


def _format_failed(runs: pd.DataFrame) -> str:
    rows = "".join(f'<tr><td class="word">{html.escape(row.run)}</td><td class="word">{html.escape(row.reason)}</td></tr>' for row in runs.itertuples())
    return ('<table><thead><tr><th class="word">run</th><th class="word">reason</th></tr></thead>'
            f"<tbody>{rows}</tbody></table><p>The same command tries them again.</p>")


def _format_runs(folder: Path, sweep: Sweep, runs: pd.DataFrame) -> str:
    texts = {name for name in sweep.varied if runs[name].map(lambda value: isinstance(value, str)).any()}
    rungs = [rung for rung in RUNGS if rung != "none" or runs["shortage_none"].notna().any()]
    heads = ["report", *sweep.varied, *(RUNGS[rung] for rung in rungs), "gap closed", "status", "seconds"]
    words = {"report", "status", *texts}
    top = "".join(f'<th class="{"word" if head in words else "number"}">{html.escape(head)}</th>' for head in heads)
    body = "".join(_format_run(folder, sweep, row, texts, rungs) for row in runs.to_dict("records"))
    note = ("Shortage in unit-days over the horizon, resources weighted as the run weighs them, rolled through what really happened. Gap closed: how much of the way from the "
            "same-day rule to perfect foresight the plan went; below 0 the rule did better, and with no gap there is none to close (–)."
            + (f" In brackets: rule and foresight are less than {SMALL_GAP:g} unit-days apart, so that a small difference makes a large share."
               if (_is_small(runs) & runs["gap_closed"].notna()).any() else ""))
    return f"<p>{note}</p><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _is_small(runs):
    """Whether the gap between rule and foresight is too small for a share of it to say much; of a frame of runs or of one run."""
    return runs["shortage_reactive"] - runs["shortage_perfect"] < SMALL_GAP


def _format_run(folder: Path, sweep: Sweep, row: dict, texts: set[str], rungs: Sequence[str]) -> str:
    name = html.escape(row["run"])
    link = f'<a href="{name}/report.html">{name}</a>' if (folder / row["run"] / "report.html").is_file() else name
    cells = [("word", row["run"], link)]
    cells += [("word" if key in texts else "number", str(row[key]), html.escape(str(row[key])) or "–") for key in sweep.varied]
    gap = "–" if pd.isna(row["gap_closed"]) else f"({row['gap_closed']:.0%})" if _is_small(row) else f"{row['gap_closed']:.0%}"
    rest = [*(("number", _format_number(row[f"shortage_{rung}"])) for rung in rungs), ("number", gap),
            ("word", row["status"] + (" (kept)" if row["kept"] else "")), ("number", "–" if pd.isna(row["seconds"]) else f"{row['seconds']:.0f}")]
    cells += [(kind, text, text) for kind, text in rest]
    return "<tr>" + "".join(f'<td class="{kind}{" whole" if len(text) <= SHORT_CELL else ""}">{shown}</td>' for kind, text, shown in cells) + "</tr>"


def _format_number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _draw_charts(folder: Path, runs: pd.DataFrame) -> str:
    """Little charts on shared axes, one a run: those where the plan leaves most short, in the order of the table."""
    done = runs[runs["status"] == "done"]
    shown = done.loc[done["shortage_stochastic"].nlargest(MOST_CHARTS).index.sort_values()]
    series = {}
    for run in shown["run"]:
        with suppress(MedlibError):
            if tables.has("ladder_daily", folder / run / "tables"):
                series[run] = _sum_days(tables.read("ladder_daily", folder / run / "tables"))
    if not series:
        return ""
    note = ("Units short a day, all sites and resources together, by day after the as-of date; the axes are the same in every chart."
            + (f" Shown are the {len(series)} runs in which the plan leaves most short; the other {len(done) - len(series)} stand in the table."
               if len(done) > len(series) else ""))
    if all(_is_nothing(days) for days in series.values()):
        return f"<p>{'In the run' if len(series) == 1 else f'In each of the {len(series)} runs'} drawn here nothing is short on any day.</p>"
    picture = base64.b64encode(_draw_series(series)).decode()
    return f'<p>{note}</p><p><img alt="Shortage by day under three policies, one chart a run" src="data:image/png;base64,{picture}"></p>'


def _sum_days(daily: pd.DataFrame) -> pd.DataFrame:
    """Units short by day (rows, from 1) and rung (columns)."""
    wide = daily[daily["rung"].isin(DRAWN)].groupby(["date", "rung"])["shortage"].sum().unstack("rung")
    return wide.set_axis(range(1, len(wide) + 1))


def _is_nothing(days: pd.DataFrame) -> bool:
    return not (days > NOTHING).any(axis=None)


def _draw_series(series: dict[str, pd.DataFrame]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from medlib.plots import BLUE, GREEN, ORANGE
    styles = {"reactive": (ORANGE, "-", 1.3), "stochastic": (BLUE, "-", 1.5), "perfect": (GREEN, "--", 1.3)}
    columns = min(COLUMNS, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(2.3 * max(columns, 2), 1.35 * rows + 0.9), layout="constrained", dpi=120)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    drawn = {}
    for ax, (run, days) in zip(axes.flat, series.items()):
        if _is_nothing(days):
            ax.text(0.5, 0.5, "nothing short", transform=ax.transAxes, ha="center", va="center", fontsize=8, color="#5b6875")
        else:
            drawn |= {RUNGS[rung]: ax.plot(days.index, days[rung], color=styles[rung][0], ls=styles[rung][1], lw=styles[rung][2])[0]
                      for rung in DRAWN if rung in days}
        ax.set_title(run if len(run) <= LONGEST_TITLE else f"{run[:LONGEST_TITLE - 1]}…", fontsize=7, loc="left", parse_math=False)
        ax.tick_params(labelsize=6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylim(bottom=0)
    for ax in axes.flat[len(series):]:
        ax.set_axis_off()
    for column in range(columns):  # where the last row is not full, the days stand below the chart above
        lowest = max(row for row in range(rows) if row * columns + column < len(series))
        axes[lowest, column].tick_params(labelbottom=True)
    figure.legend(drawn.values(), drawn.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.supylabel("units short", fontsize=8)
    figure.supxlabel("days after the as-of date", fontsize=8)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    return stream.getvalue()
