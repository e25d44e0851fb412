"""Plans in words: the five sentences of a report, its tables, amounts and dates."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

import pandas as pd

from medlib.errors import MedlibError
from medlib.language import format_date, format_day, say
from medlib.simulate import RUNGS

#: The rung of the ladder whose policy makes the report's plan.
OWN_RUNG = "stochastic"


def format_amount(value: float) -> str:
    """Write an amount with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 20 or abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def join_words(words: list[str]) -> str:
    """Join words with commas and a final 'and'."""
    return say(" and ").join([say(", ").join(words[:-1]), words[-1]] if len(words) > 1 else words)


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
            return format_day(value, short=True)
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
    """Write a resource's identifier as people do: 'icu_bed' becomes 'ICU bed', in the language that is spoken."""
    return say(spell_resource(resource))


def spell_resource(resource: str) -> str:
    """Spell a resource's identifier out in English."""
    return " ".join(word.upper() if word in ("icu", "ed", "or", "ct", "mri") else word for word in resource.split("_"))


def choose_names(text: str, known: Iterable[str], what: str) -> list[str]:
    """Read names with commas between them.

    Raises
    ------
    MedlibError
        One of them is not known.

    Examples
    --------
    >>> choose_names("icu_bed, bed", ["bed", "icu_bed", "nurse"], "resources_shown")
    ['icu_bed', 'bed']
    >>> choose_names("ICU", ["bed", "icu_bed"], "resources_shown")
    Traceback (most recent call last):
    medlib.errors.MedlibError: resources_shown takes names out of bed, icu_bed; got ICU.
    """
    names, known = [name.strip() for name in text.split(",") if name.strip()], list(known)
    if unknown := [name for name in names if name not in known]:
        raise MedlibError(f"{what} takes names out of {', '.join(known)}; got {', '.join(unknown)}.")
    return names


def name_sites(sites: pd.DataFrame) -> dict[str, str]:
    """Return the name of each site of a `sites` table; its identifier where it has none."""
    return dict(zip(sites["site"], sites["site"] if "name" not in sites else sites["name"].fillna(sites["site"])))


def name_dataset(title: str) -> str:
    """Write a dataset's title in the language that is spoken."""
    folder = re.fullmatch("Folder (.*)", title, re.DOTALL)
    return say("Folder {name}", name=folder[1]) if folder else say(title)


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


def tell_past(dates: pd.Series, last: pd.Timestamp) -> str:
    """Say that planned periods are past, and how to plan those to come; empty where none is.

    Parameters
    ----------
    dates : pandas.Series of datetime64
        The planned periods, ascending.
    last : pandas.Timestamp
        Of the data.
    """
    if last < dates.iloc[0]:
        return ""
    past = (say("These days are past, so that the plan can be judged by what came.") if last >= dates.iloc[-1]
            else say("Some of these days are past."))
    return say("{past} To plan the days to come, give `--as-of {last}`.", past=past, last=last.date())


def warn_narrow(scores: pd.DataFrame, resources: Iterable[str]) -> str:
    """Say whose 95 % intervals held fewer than 85 % of past outcomes; empty where none did.

    Parameters
    ----------
    scores : pandas.DataFrame
        The forecaster's rows of the table forecast_score.
    resources : iterable of str
        Those that the report is about.
    """
    narrow = scores[scores["resource"].isin(resources) & (scores["coverage_95"] < 0.85)]
    if narrow.empty:
        return ""
    shares = [say("{share:.0f} % of outcomes of {resource}", share=100 * row.coverage_95, resource=name_resource(row.resource))
              for row in narrow.itertuples()]
    return say("On past dates only {shares} fell into the 95 % interval: the forecast is surer than it should be, and so are the figures above.",
               shares=join_words(shares))


def format_change(value: float, digits: int = 0) -> str:
    """Write a change with its sign."""
    return f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _tell_demand(forecast: pd.DataFrame, resource: str) -> str:
    rows = forecast[forecast["resource"] == resource]
    if rows.empty:
        return say("The need for {resource} follows from the other resources, which require it.", resource=name_resource(resource))
    total = rows[rows["quantile"] == 0.5].groupby("date")["demand"].sum()
    first, last = total.index[0], total.index[-1]
    change = 100 * (total.iloc[-1] / total.iloc[0] - 1) if total.iloc[0] else 0.0
    return say("As of {as_of}, the median forecast of the need for {resource}s, summed over all sites, goes from {start} on {first} to {end} on "
               "{last} ({change} %).", as_of=format_date(rows["as_of"].iloc[0]), resource=name_resource(resource), first=format_date(first),
               start=format_amount(total.iloc[0]), last=format_date(last), end=format_amount(total.iloc[-1]), change=format_change(change, 1))


def _tell_shortage(expected: pd.DataFrame, resource: str, names: dict[str, str]) -> str:
    before = expected["shortage_before"].sum()
    if before < 0.05:
        return say("Without any action no shortage is expected at any site.")
    rows = expected[(expected["resource"] == resource) & (expected["shortage_before"] > 0)]
    by_site = rows.groupby("site")["shortage_before"].sum().sort_values(ascending=False, kind="stable").head(3)
    parts = []
    for site, amount in by_site.items():
        peak = rows[rows["site"] == site].sort_values("shortage_before", kind="stable").iloc[-1]
        parts.append(say("{site} ({amount}, worst on {day})", site=names.get(site, site), amount=format_amount(amount),
                         day=format_day(peak["date"])))
    return say("If nothing is done, {amount} unit-days of shortage are expected at {count} sites; most lack {resource}s, above all {places}.",
               amount=format_amount(before), count=(expected.groupby("site")["shortage_before"].sum() > 0.05).sum(),
               resource=name_resource(resource), places=join_words(parts))


def _tell_moves(moves: pd.DataFrame, surge: pd.DataFrame, names: dict[str, str]) -> str:
    if surge.empty:
        opened = say("opens no surge units")
    else:
        peak = surge.groupby("date")["surge"].sum()
        opened = say("opens surge units at {count} sites, at most {most} at once, on {date}", count=surge["site"].nunique(),
                     most=format_amount(peak.max()), date=format_date(peak.idxmax()))
    if moves.empty:
        return say("The plan moves nothing and {opened}.", opened=opened)
    sums = moves.groupby(["what", "resource"])["amount"].sum().sort_values(ascending=False, kind="stable")
    parts = [_count_moved(amount, *kind) for kind, amount in sums.items()]
    routes = moves.groupby(["what", "resource", "origin", "destination"])["amount"].sum().sort_values(
        ascending=False, kind="stable")
    what, resource, origin, destination = routes.index[0]
    return say("The plan moves {parts}; its busiest route leads from {origin} to {destination} ({amount}); it {opened}.",
               parts=join_words(parts), origin=names.get(origin, origin), destination=names.get(destination, destination),
               amount=_count_moved(routes.iloc[0], what, resource), opened=opened)


def _count_moved(amount: float, what: str, resource: str) -> str:
    values = {"amount": format_amount(amount), "resource": name_resource(resource)}
    return say("{amount} {resource} patients", **values) if what == "patients" else say("{amount} units of {resource}", **values)


def _tell_effect(expected: pd.DataFrame) -> str:
    before, after = expected["shortage_before"].sum(), expected["shortage_after"].sum()
    if before < 0.05:
        return say("There is nothing to gain: expected shortage is zero with and without the plan.")
    return say("That brings expected shortage from {before} to {after} unit-days ({change} %), averaged over the forecast's whole distribution.",
               before=format_amount(before), after=format_amount(after), change=format_change(100 * (after / before - 1)))


def _tell_hindsight(ladder: pd.DataFrame, outcome: pd.DataFrame, as_of: pd.Timestamp) -> str:
    rows = ladder[ladder["resource"] == "all"].set_index("rung")
    short = rows["shortage"]
    best = short.drop("perfect").idxmin()
    share = rows.loc[best, "gap_closed"]
    first, last = outcome["date"].min(), outcome["date"].max()
    when = say("from {first} to {last}", first=format_date(first), last=format_date(last))
    if first <= as_of:
        when += say(" (what comes after the as-of date is not known yet)")
    bound = format_amount(rows["bound"].iloc[0])
    if OWN_RUNG in short and len({format_amount(short[rung]) for rung in ("reactive", OWN_RUNG, "perfect")}) == 1:
        return say("Rolled through what really happened {when} and revised every period, the reactive same-day rule, the way this plan was made and "
                   "perfect foresight all left {amount} unit-days short, and doing nothing would have left {nothing}: a forecast had nothing to add "
                   "in this window; no reallocation could have gone below {bound}.", when=when, amount=format_amount(short["reactive"]),
                   nothing=format_amount(short["none"]), bound=bound)
    verdict = (say("which closes {share:.0f} % of the gap between the two", share=100 * share) if pd.notna(share)
               else say("and between the two there was no gap to close"))
    own = "" if best == OWN_RUNG or OWN_RUNG not in short else say("the way this plan was made left {amount}, ",
                                                                   amount=format_amount(short[OWN_RUNG]))
    return say("Rolled through what really happened {when} and revised every period, the policy '{policy}' did best and left {best} unit-days "
               "short; {own}the reactive same-day rule {reactive} and perfect foresight {perfect}, {verdict}; no reallocation could have gone "
               "below {bound}.", when=when, policy=say(RUNGS[best]), best=format_amount(short[best]), own=own,
               reactive=format_amount(short["reactive"]), perfect=format_amount(short["perfect"]), verdict=verdict, bound=bound)
