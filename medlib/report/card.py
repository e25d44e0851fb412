"""The model and data card of a report: what its tables say about data, models, fairness, privacy and limits, and nothing else.

References
----------
Mitchell et al. (2019), Model cards for model reporting, doi:10.1145/3287560.3287596; Gebru et al. (2021), Datasheets for datasets,
doi:10.1145/3458723.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import pandas as pd

from medlib import tables
from medlib.explain.words import name_dataset, name_resource, name_sites
from medlib.language import say
from medlib.report.gate import choose_threshold, is_public
from medlib.simulate import RUNGS

#: What a figure looks like, as it stands in a cell.
FIGURE = re.compile(r"[\d,.]+%?|–")
#: Rungs of the ladder that a planner compares.
COMPARED = ("none", "reactive", "stochastic")


def format_card(folder: Path, manifest: dict) -> str:
    """Return the card as a piece of HTML that begins with its own head.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder. A section whose tables the run did not write is left out.
    manifest : dict
        What run.json holds.

    Returns
    -------
    str
    """
    workspace = folder / "tables"
    sections = {say("Data"): _describe_data(workspace), say("Models"): _describe_models(workspace),
                say("Use"): _describe_use(workspace), say("Who is served worst"): _describe_equity(workspace),
                say("Privacy"): _describe_privacy(workspace, manifest), say("Limits"): _describe_limits(workspace)}
    return f'<h2 id="card">{say("Model and data card")}</h2>' + "".join(f"<h3>{title}</h3>{body}" for title, body in sections.items() if body)


def _describe_data(workspace: Path) -> str:
    if not tables.has("sources", workspace):
        return ""
    rows = []
    for source in tables.read("sources", workspace).itertuples():
        kind = say("synthetic, made up") if source.synthetic else say("observed")
        span = say("{low} to {high}", low=f"{source.first_date:%Y-%m-%d}", high=f"{source.last_date:%Y-%m-%d}")
        rows.append((name_dataset(source.title), kind, say(source.licence), span, f"{source.rows:,}"))
    body = _format_table((say("data"), say("kind"), say("licence"), say("span"), say("demand rows")), rows)
    if tables.has("sites", workspace) and tables.has("resources", workspace):
        body += _format_paragraph(say("Sites: {count}. Resources: {names}.", count=len(tables.read("sites", workspace)),
                                      names=say(", ").join(map(name_resource, tables.read("resources", workspace)["resource"]))))
    return body + _describe_quality(workspace)


def _describe_quality(workspace: Path) -> str:
    if not tables.has("quality", workspace):
        return ""
    quality = tables.read("quality", workspace)
    faults = quality[quality["rows"] > 0].groupby(["rule", "action"], sort=True)["rows"].sum()
    rows = [(say(rule), say(action), f"{count:,}") for (rule, action), count in faults.items()]
    body = (_format_table((say("fault in the demand"), say("what was done"), say("rows")), rows) if rows
            else _format_paragraph(say("The checks of the demand found no fault.")))
    if tables.has("demand", workspace) and "imputed" in (demand := tables.read("demand", workspace)):
        body += _format_paragraph(say("Values of demand that were missing or faulty and filled in: {filled:,} of {rows:,}.",
                                      filled=demand["imputed"].sum(), rows=len(demand)))
    return body


def _describe_models(workspace: Path) -> str:
    if not tables.has("forecast_score", workspace):
        return ""
    scores = tables.read("forecast_score", workspace)
    used = scores[scores["used"]].sort_values("resource")
    rows = [(name_resource(row.resource), say(row.model.replace("_", " ")), _format_number(row.relative_wis), f"{row.coverage_80:.0%}", f"{row.forecasts:,}")
            for row in used.itertuples()]
    return (_format_table((say("resource"), say("best forecaster"), say("error against last week's values"),
                           say("outcomes within the 80 % interval"), say("forecasts judged")), rows)
            + _format_paragraph(say("Judged on dates before the as-of date, as if each had been today. The error is the weighted interval score over "
                                    "that of the seasonal-naive forecaster: below 1 is better than repeating.")))


def _describe_use(workspace: Path) -> str:
    synthetic = tables.has("sources", workspace) and tables.read("sources", workspace)["synthetic"].all()
    here = say(" These data are made up: the figures say nothing about real sites.") if synthetic else ""
    return (_format_paragraph(say("Meant for research and for planning between sites: whether, when and where units or patients could move, and how "
                                  "sure that is.") + here)
            + _format_paragraph(say("Not meant for decisions about a single patient, for triage at the bedside, or to be carried out without people "
                                    "who know the sites. It is no medical device.")))


def _describe_equity(workspace: Path) -> str:
    if not (tables.has("ladder_judged", workspace) and tables.has("ladder_daily", workspace)):
        return ""
    judged = tables.read("ladder_judged", workspace).set_index(["rung", "measure"])
    daily = tables.read("ladder_daily", workspace).groupby(["rung", "site"])["shortage"].sum()
    rows, names = [], name_sites(tables.read("sites", workspace))
    for rung in (rung for rung in COMPARED if (rung, "worst_site") in judged.index and rung in daily.index):
        worst = judged.loc[(rung, "worst_site")]
        site = names[daily[rung].idxmax()] if daily[rung].max() > 0 else say("none is short")
        span = say("{low} to {high}", low=_format_number(worst["low"]), high=_format_number(worst["high"]))
        rows.append((say(RUNGS[rung]), _format_number(worst["value"]), span, site))
    note = say("Weighted unit-days short at the site that is worst off, rolled through what really happened, with the 90 % interval; the site "
               "named is the one with most units short.")
    heads = say("policy"), say("worst site's shortage"), say("interval"), say("site")
    return _format_table(heads, rows) + _format_paragraph(note) if rows else ""


def _describe_privacy(workspace: Path, manifest: dict) -> str:
    threshold = choose_threshold(manifest)
    if is_public(manifest):
        synthetic = tables.has("sources", workspace) and tables.read("sources", workspace)["synthetic"].all()
        kind = say("Synthetic: nobody is in these data.") if synthetic else say("Published counts, as their publisher released them.")
    else:
        kind = say("A user's own folder: whether it may be used and shown, its owner must know.")
    accepted = manifest.get("accepted") or []
    small = (say("Counts of people from 1 to {most} are shown where a person accepted it, below.", most=threshold - 1) if threshold > 1 and accepted
             else say("Counts of people from 1 to {most} are not shown.", most=threshold - 1) if threshold > 1
             else say("Small counts of people are shown as they are."))
    body = _format_paragraph(say("{kind} {small} Before this page was written, tables, outputs and executed notebooks were searched for names, "
                                 "addresses and numbers of persons, dates about them and secrets.", kind=kind, small=small))
    if accepted:
        places = "".join(f"<li>{escape(place)}</li>" for place in accepted)
        return body + _format_paragraph(say("Places where something was found that a person looked at and accepted:")) + f"<ul>{places}</ul>"
    return body + _format_paragraph(say("Nothing was found, and nothing had to be accepted."))


def _describe_limits(workspace: Path) -> str:
    notes = list(map(say, tables.read("sources", workspace)["notes"])) if tables.has("sources", workspace) else []
    notes += [say("Pictures and names without a title or label beside them are not searched for persons."),
              say("A forecast is made of the past: what has never happened is not in it.")]
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _format_number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _format_paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _format_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Figures stand to the right, words to the left."""
    sides = ["number" if all(FIGURE.fullmatch(row[place]) for row in rows) else "word" for place in range(len(heads))]
    top = "".join(f'<th class="{side}">{escape(head)}</th>' for side, head in zip(sides, heads))
    body = "".join("<tr>" + "".join(f'<td class="{side}">{escape(cell)}</td>' for side, cell in zip(sides, row)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
