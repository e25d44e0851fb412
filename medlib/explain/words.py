"""Plans in words: the five sentences of a report, its tables, amounts and dates."""

from __future__ import annotations

import html

import pandas as pd

from medlib.simulate import RUNGS

#: The rung of the ladder whose policy makes the report's plan.
OWN_RUNG = "stochastic"


def format_date(date: pd.Timestamp) -> str:
    """Write a date as people do, for example '3 December 2021'."""
    return f"{date.day} {date:%B %Y}"


def format_amount(value: float) -> str:
    """Write an amount with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 20 or abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def join_words(words: list[str]) -> str:
    """Join words with commas and a final 'and'."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def format_table(frame: pd.DataFrame, headers: dict[str, str] | None = None, digits: dict[str, int] | None = None) -> str:
    """Format a table as HTML for readers.

    Parameters
    ----------
    frame : pandas.DataFrame
    headers : dict of str to str
        Column heads with units; columns that are not named are left out, in this order. None: all, as they are.
    digits : dict of str to int
        Decimals by column, 0 where not named. Dates are written as '3 Dec'.

    Returns
    -------
    str
        Numbers stand to the right, words to the left; a missing value is a dash.
    """
    headers = headers or {name: name for name in frame.columns}
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) for name in headers}

    def write(name, value):
        if pd.isna(value):
            return "–"
        if isinstance(value, pd.Timestamp):
            return f"{value.day} {value:%b}"
        return f"{value:,.{(digits or {}).get(name, 0)}f}" if numeric[name] else html.escape(str(value))

    side = {name: "number" if numeric[name] else "word" for name in headers}
    head = "".join(f'<th class="{side[name]}">{html.escape(words)}</th>' for name, words in headers.items())
    rows = "".join("<tr>" + "".join(f'<td class="{side[name]}">{write(name, value)}</td>' for name, value in zip(headers, row))
                   + "</tr>" for row in frame[list(headers)].itertuples(index=False))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def format_list(sentences: list[str], ordered: bool = False) -> str:
    """Format sentences as an HTML list; nothing in them is taken for markup."""
    items = "".join(f"<li>{html.escape(sentence, quote=False)}</li>" for sentence in sentences)
    return f'<ol class="answer">{items}</ol>' if ordered else f"<ul>{items}</ul>"


def name_resource(resource: str) -> str:
    """Write a resource's identifier as people do: 'icu_bed' becomes 'ICU bed'."""
    return " ".join(word.upper() if word in ("icu", "ed", "or", "ct", "mri") else word for word in resource.split("_"))


def summarise_report(forecast: pd.DataFrame, expected: pd.DataFrame, moves: pd.DataFrame, surge: pd.DataFrame,
                     ladder: pd.DataFrame, outcome: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """Answer the report's question in five sentences computed from its tables.

    Parameters
    ----------
    forecast, expected, moves, surge, ladder, outcome : pandas.DataFrame
        The tables demand_forecast, expected_shortage, moves, surge_plan, ladder and outcome.
    names : dict of str to str
        Name of each site.

    Returns
    -------
    list of str
        How demand moves; who runs short when; what to move; what that buys; what hindsight says.
    """
    worst = expected.groupby("resource")["shortage_before"].sum().sort_values(ascending=False, kind="stable").index[0]
    return [_tell_demand(forecast, worst), _tell_shortage(expected, worst, names), _tell_moves(moves, surge, names),
            _tell_effect(expected), _tell_hindsight(ladder, outcome, forecast["as_of"].iloc[0])]


def format_change(value: float, digits: int = 0) -> str:
    """Write a change with its sign."""
    return f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _tell_demand(forecast: pd.DataFrame, resource: str) -> str:
    rows = forecast[forecast["resource"] == resource]
    if rows.empty:
        return f"The need for {name_resource(resource)} follows from the other resources, which require it."
    total = rows[rows["quantile"] == 0.5].groupby("date")["demand"].sum()
    first, last = total.index[0], total.index[-1]
    change = 100 * (total.iloc[-1] / total.iloc[0] - 1) if total.iloc[0] else 0.0
    return (f"As of {format_date(rows['as_of'].iloc[0])}, the median forecast of the need for {name_resource(resource)}s, summed over "
            f"all sites, goes from {format_amount(total.iloc[0])} on {format_date(first)} to "
            f"{format_amount(total.iloc[-1])} on {format_date(last)} ({format_change(change, 1)} %).")


def _tell_shortage(expected: pd.DataFrame, resource: str, names: dict[str, str]) -> str:
    before = expected["shortage_before"].sum()
    if before < 0.05:
        return "Without any action no shortage is expected at any site."
    rows = expected[(expected["resource"] == resource) & (expected["shortage_before"] > 0)]
    by_site = rows.groupby("site")["shortage_before"].sum().sort_values(ascending=False, kind="stable").head(3)
    parts = []
    for site, amount in by_site.items():
        peak = rows[rows["site"] == site].sort_values("shortage_before", kind="stable").iloc[-1]
        parts.append(f"{names.get(site, site)} ({format_amount(amount)}, worst on {peak['date'].day} {peak['date']:%B})")
    return (f"If nothing is done, {format_amount(before)} unit-days of shortage are expected at "
            f"{(expected.groupby('site')['shortage_before'].sum() > 0.05).sum()} sites; most lack "
            f"{name_resource(resource)}s, above all {join_words(parts)}.")


def _tell_moves(moves: pd.DataFrame, surge: pd.DataFrame, names: dict[str, str]) -> str:
    if surge.empty:
        opened = "opens no surge units"
    else:
        peak = surge.groupby("date")["surge"].sum()
        opened = (f"opens surge units at {surge['site'].nunique()} sites, at most {format_amount(peak.max())} at once, on "
                  f"{format_date(peak.idxmax())}")
    if moves.empty:
        return f"The plan moves nothing and {opened}."
    words = {"patients": "{} patients", "units": "units of {}"}
    sums = moves.groupby(["what", "resource"])["amount"].sum().sort_values(ascending=False, kind="stable")
    parts = [f"{format_amount(amount)} {words[what].format(name_resource(resource))}" for (what, resource), amount in sums.items()]
    routes = moves.groupby(["what", "resource", "origin", "destination"])["amount"].sum().sort_values(
        ascending=False, kind="stable")
    what, resource, origin, destination = routes.index[0]
    return (f"The plan moves {join_words(parts)}; its busiest route leads from {names.get(origin, origin)} to "
            f"{names.get(destination, destination)} ({format_amount(routes.iloc[0])} "
            f"{words[what].format(name_resource(resource))}); it {opened}.")


def _tell_effect(expected: pd.DataFrame) -> str:
    before, after = expected["shortage_before"].sum(), expected["shortage_after"].sum()
    if before < 0.05:
        return "There is nothing to gain: expected shortage is zero with and without the plan."
    return (f"That brings expected shortage from {format_amount(before)} to {format_amount(after)} unit-days "
            f"({format_change(100 * (after / before - 1))} %), averaged over the forecast's whole distribution.")


def _tell_hindsight(ladder: pd.DataFrame, outcome: pd.DataFrame, as_of: pd.Timestamp) -> str:
    rows = ladder[ladder["resource"] == "all"].set_index("rung")
    short = rows["shortage"]
    best = short.drop("perfect").idxmin()
    share = rows.loc[best, "gap_closed"]
    verdict = (f"which closes {100 * share:.0f} % of the gap between the two" if pd.notna(share)
               else "and between the two there was no gap to close")
    first, last = outcome["date"].min(), outcome["date"].max()
    when = f"from {format_date(first)} to {format_date(last)}"
    if first <= as_of:
        when += " (what comes after the as-of date is not known yet)"
    own = "" if best == OWN_RUNG or OWN_RUNG not in short else f"the way this plan was made left {format_amount(short[OWN_RUNG])}, "
    return (f"Rolled through what really happened {when} and revised every period, the policy '{RUNGS[best]}' did best and left "
            f"{format_amount(short[best])} unit-days short; {own}the reactive same-day rule {format_amount(short['reactive'])} and perfect "
            f"foresight {format_amount(short['perfect'])}, {verdict}; no reallocation could have gone below "
            f"{format_amount(rows['bound'].iloc[0])}.")
