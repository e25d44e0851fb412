"""Pictures. Every function draws on `ax`, returns it, and neither saves nor shows."""

from __future__ import annotations

import itertools
import re

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, PathPatch, Rectangle
from matplotlib.path import Path

from medlib.language import format_day, name_language, say
from medlib.simulate import RUNGS

#: Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8a8a"


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(figsize=(7, 3.4))[1] if ax is None else ax


def _tidy(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _date_ticks(ax: Axes, count: int = 5) -> None:
    locator = mdates.AutoDateLocator(minticks=3, maxticks=count)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(_ChineseDates(locator) if name_language() == "zh" else mdates.ConciseDateFormatter(locator))


class _ChineseDates(mdates.ConciseDateFormatter):
    """Dates as Chinese readers write them, without the zeros that strftime puts before days and months."""

    def __init__(self, locator: mdates.AutoDateLocator):
        clock = ["%H:%M", "%H:%M", "%S.%f"]
        super().__init__(locator, formats=["%Y年", "%m月", "%d日", *clock], zero_formats=["", "%Y年", "%m月", "%m月%d日", *clock[:2]],
                         offset_formats=["", "%Y年", "%Y年%m月", *["%Y年%m月%d日"] * 3])

    def format_ticks(self, values: list[float]) -> list[str]:
        return [_drop_zeros(label) for label in super().format_ticks(values)]

    def get_offset(self) -> str:
        return _drop_zeros(super().get_offset())


def _drop_zeros(text: str) -> str:
    return re.sub(r"0(?=\d[月日])", "", text)


def plot_fan(forecast: pd.DataFrame, history: pd.DataFrame, outcome: pd.DataFrame | None = None,
             limit: float | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw one series: its recent past, the forecast's median with 50 and 95 % bands, and what happened.

    Parameters
    ----------
    forecast : pandas.DataFrame
        `demand_forecast` rows of one site and resource.
    history, outcome : pandas.DataFrame
        date and demand of that series before and after the as-of date.
    limit : float, optional
        Units that may be planned; drawn as a line.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    wide = forecast.pivot(index="date", columns="quantile", values="demand")
    ax.plot(history["date"], history["demand"], color="black", lw=1.1, label=say("observed"))
    for low, high, alpha, percent in ((0.025, 0.975, 0.18, 95), (0.25, 0.75, 0.38, 50)):
        ax.fill_between(wide.index, wide[low], wide[high], color=BLUE, alpha=alpha, lw=0, label=say("{percent} % interval", percent=percent))
    ax.plot(wide.index, wide[0.5], color=BLUE, lw=1.4, label=say("median"))
    if outcome is not None and len(outcome):
        ax.plot(outcome["date"], outcome["demand"], color=RED, lw=0, marker=".", ms=4, label=say("what happened"))
    if limit is not None:
        ax.axhline(limit, color=GREY, ls="--", lw=1.0, label=say("may be planned"))
    _date_ticks(ax, 4)
    return _tidy(ax)


def plot_fans(forecast: pd.DataFrame, demand: pd.DataFrame, outcome: pd.DataFrame, usable: pd.DataFrame, unit: str,
              names: dict[str, str], look_back: int = 42, columns: int = 4) -> plt.Figure:
    """Draw a fan for every site, as small multiples with one legend.

    Parameters
    ----------
    forecast, demand, outcome : pandas.DataFrame
        Rows of one resource.
    usable : pandas.DataFrame
        site and usable (units that may be planned).
    unit : str
        What is counted.
    names : dict of str to str
        Title of each site.
    look_back : int
        Periods of the past that are shown.
    columns : int
        Panels in a row.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sites = sorted(forecast["site"].unique(), key=lambda site: names.get(site, site))
    rows = -(-len(sites) // columns)
    columns = min(columns, len(sites))
    figure, axes = plt.subplots(rows, columns, figsize=(2.9 * columns, 1.95 * rows + 0.5), squeeze=False,
                                layout="constrained")
    limits = usable.groupby("site")["usable"].mean()
    for ax, site in zip(axes.flat, sites):
        past = demand[demand["site"] == site].sort_values("date")
        past = past[past["date"] <= forecast["as_of"].max()].tail(look_back)
        plot_fan(forecast[forecast["site"] == site], past, outcome[outcome["site"] == site], limits.get(site), ax=ax)
        ax.set_title(names.get(site, site), fontsize=9, loc="left", parse_math=False)
        ax.tick_params(labelsize=7)
        ax.xaxis.get_offset_text().set_fontsize(7)
    for ax in axes.flat[len(sites):]:
        ax.set_axis_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8, frameon=False)
    figure.supylabel(unit, fontsize=9)
    return figure


def plot_system(demand: pd.DataFrame, usable: pd.Series, as_of: pd.Timestamp, *, ax: Axes | None = None) -> Axes:
    """Draw the whole system: demand summed over all sites, and the units that might be planned.

    Parameters
    ----------
    demand : pandas.DataFrame
        `demand` rows of one resource.
    usable : pandas.Series
        Units that may be planned, summed over all sites, by date.
    as_of : pandas.Timestamp
        Drawn as a line: what lies behind it was not known to the plan.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    total = demand.groupby("date")["demand"].sum()
    known, later = total[total.index <= as_of], total[total.index >= as_of]
    ax.plot(known, color="black", lw=1.1, label=say("needed"))
    ax.plot(later, color=RED, lw=1.1, label=say("needed, after the as-of date"))
    ax.plot(usable, color=GREY, ls="--", lw=1.0, label=say("may be planned"))
    ax.axvline(as_of, color=BLUE, lw=1.0, label=say("as-of date"))
    ax.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _date_ticks(ax, 9)
    return _tidy(ax)


def plot_transfers(moves: pd.DataFrame, sites: pd.DataFrame, shortage: pd.Series, *, ax: Axes | None = None) -> Axes:
    """Draw who sends to whom on a schematic map.

    Parameters
    ----------
    moves : pandas.DataFrame
        `moves` rows of one resource; amounts over all periods are added up.
    sites : pandas.DataFrame
        The `sites` table.
    shortage : pandas.Series
        Expected unit-days short without the plan, by site: colours the dots.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Longitude is shrunk by the cosine of the mean latitude, so that distances look right.
    """
    ax = plt.subplots(figsize=(7.2, 7.2))[1] if ax is None else ax
    squeeze = np.cos(np.radians(sites["latitude"].mean()))
    place = {row.site: (row.longitude * squeeze, row.latitude) for row in sites.itertuples()}
    flows = moves.groupby(["origin", "destination"])["amount"].sum()
    for (origin, destination), amount in flows.items():
        width = 0.6 + 4.4 * np.sqrt(amount / flows.max())
        ax.add_patch(FancyArrowPatch(place[origin], place[destination], connectionstyle="arc3,rad=0.16", color=BLUE,
                                     lw=width, alpha=0.55, arrowstyle="-|>", mutation_scale=9 + width, shrinkA=7, shrinkB=7,
                                     zorder=2))
    short = sites["site"].map(shortage).fillna(0.0)
    dots = ax.scatter(*zip(*sites["site"].map(place)), c=short, cmap="YlOrRd", vmin=0, vmax=max(short.max(), 1e-9),
                      s=90, edgecolor="black", linewidth=0.7, zorder=3)
    _label_sites(ax, sites, place)
    ax.set_aspect("equal")
    ax.margins(0.2)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.figure.colorbar(dots, ax=ax, shrink=0.5, label=say("expected unit-days short without the plan"), pad=0.04)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def _label_sites(ax: Axes, sites: pd.DataFrame, place: dict[str, tuple[float, float]]) -> None:
    """Write each site's identifier on the side of its dot where neighbours are farthest."""
    points = np.array([place[site] for site in sites["site"]])
    reach = max(np.ptp(points[:, 0]), np.ptp(points[:, 1]), 1e-9)
    sides = [((7, 0), "left", "center", (1, 0)), ((-7, 0), "right", "center", (-1, 0)),
             ((0, 8), "center", "bottom", (0, 1)), ((0, -8), "center", "top", (0, -1))]
    for number, site in enumerate(sites["site"]):
        away = np.delete(points, number, axis=0) - points[number]
        def crowding(side):
            # Labels are wide: a neighbour counts where it lies in the label's direction.
            spot = np.array(side[3]) * reach * (0.10 if side[3][0] else 0.035)
            return np.sum(np.exp(-(np.linalg.norm((away - spot) / (reach * np.array([0.11, 0.035])), axis=1) ** 2)))
        offset, across, up, _ = min(sides, key=crowding) if len(away) else sides[0]
        ax.annotate(site, points[number], xytext=offset, textcoords="offset points", parse_math=False, ha=across, va=up, fontsize=8,
                    zorder=4, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})


def plot_flows(moves: pd.DataFrame, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw who sends how much to whom as bands, in the manner of Sankey: senders on the left, receivers on the right.

    Parameters
    ----------
    moves : pandas.DataFrame
        `moves` rows of one resource; amounts over all periods are added up.
    ax : matplotlib.axes.Axes, optional
    most : int
        Sites named on each side; smaller ones are drawn together as 'others'.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = plt.subplots(figsize=(7, 4.2))[1] if ax is None else ax
    ax.set_axis_off()
    if moves.empty:
        ax.text(0.5, 0.5, "nothing moves", ha="center", va="center", transform=ax.transAxes)
        return ax
    ends = {}
    for side in ("origin", "destination"):
        largest = moves.groupby(side)["amount"].sum().nlargest(most).index
        ends[side] = moves[side].where(moves[side].isin(largest), "others")
    flows = moves["amount"].groupby([ends["origin"], ends["destination"]]).sum()
    space = 0.03 * flows.sum()
    place, top = {}, {}
    for level, (side, x) in enumerate((("origin", 0.0), ("destination", 1.0))):
        height, sums = 0.0, flows.groupby(level=side).sum().sort_values(ascending=False, kind="stable")
        for site, amount in sums.items():
            place[side, site] = height
            ax.add_patch(Rectangle((x - 0.012, -height - amount), 0.024, amount, color=GREY if site == "others" else "black"))
            ax.text(x + (-0.03 if x == 0 else 0.03), -height - amount / 2, f"{site} {amount:,.0f}", parse_math=False,
                    ha="right" if x == 0 else "left", va="center", fontsize=8)
            height += max(amount, 0.03 * flows.sum()) + space  # room for the label
        top[level] = height
    colours = dict(zip(flows.groupby(level="origin").sum().sort_values(ascending=False, kind="stable").index,
                       itertools.cycle([BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9"])))
    for (origin, destination), amount in flows.sort_values(ascending=False, kind="stable").items():
        left, right = -place["origin", origin], -place["destination", destination]
        corners = [(0.012, left), (0.5, left), (0.5, right), (0.988, right), (0.988, right - amount), (0.5, right - amount),
                   (0.5, left - amount), (0.012, left - amount), (0.012, left)]
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        ax.add_patch(PathPatch(Path(corners, codes), color=colours[origin], alpha=0.45, lw=0))
        place["origin", origin] += amount
        place["destination", destination] += amount
    ax.set_xlim(-0.2, 1.2)
    ax.set_ylim(-max(top.values()), 0.0)
    return ax


def plot_shortage(expected: pd.DataFrame, column: str, *, ax: Axes | None = None, highest: float | None = None) -> Axes:
    """Draw expected shortage as a heat map, a row a site and a column a period.

    Parameters
    ----------
    expected : pandas.DataFrame
        `expected_shortage` rows of one resource.
    column : {"shortage_before", "shortage_after"}
    ax : matplotlib.axes.Axes, optional
    highest : float, optional
        Units at the end of the colour scale, so that two pictures can be compared.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    wide = expected.pivot(index="site", columns="date", values=column)
    image = ax.imshow(wide, aspect="auto", cmap="YlOrRd", vmin=0, vmax=max(highest or wide.to_numpy().max(), 1e-9))
    ax.set_yticks(range(len(wide)), wide.index, fontsize=8, parse_math=False)
    step = max(1, len(wide.columns) // 7)
    ax.set_xticks(range(0, len(wide.columns), step), [format_day(date, short=True) for date in wide.columns[::step]], fontsize=8)
    ax.figure.colorbar(image, ax=ax, label=say("units short"), pad=0.02)
    return ax


def plot_ladder(ladder: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the regret ladder: unit-days short of every policy, with the bound that no reallocation can beat.

    Parameters
    ----------
    ladder : pandas.DataFrame
        `ladder` rows of one resource, or of 'all'.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    rows = ladder.set_index("rung").loc[[rung for rung in RUNGS if rung in set(ladder["rung"])]]
    colours = {"none": GREY, "reactive": ORANGE, "perfect": GREEN}
    bars = ax.barh([say(RUNGS[rung]) for rung in rows.index], rows["shortage"], height=0.62,
                   color=[colours.get(rung, BLUE) for rung in rows.index])
    ax.bar_label(bars, [f"{value:,.0f}" for value in rows["shortage"]], padding=4, fontsize=9)
    bound = rows["bound"].iloc[0]
    ax.axvline(bound, color="black", ls=":", lw=1.2, label=say("no reallocation can beat {bound:,.0f}", bound=bound))
    ax.invert_yaxis()
    ax.set_xlabel(say("unit-days short over the horizon"))
    ax.set_xlim(right=1.12 * max(rows["shortage"].max(), 1.0))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return _tidy(ax)


def plot_cleaning(collected: pd.DataFrame, cleaned: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw one series as it was reported and as it was cleaned, filled values marked.

    Parameters
    ----------
    collected, cleaned : pandas.DataFrame
        `demand_collected` and `demand` rows of one site and resource.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    ax.plot(collected["date"], collected["demand"], lw=0, marker=".", ms=3, color=ORANGE, label="as reported")
    ax.plot(cleaned["date"], cleaned["demand"], lw=1, color=BLUE, label="cleaned")
    filled = cleaned[cleaned["imputed"]]
    ax.plot(filled["date"], filled["demand"], lw=0, marker="x", ms=5, color=RED, label="filled in")
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    _date_ticks(ax)
    return _tidy(ax)


def plot_scenarios(values: np.ndarray, dates: pd.DatetimeIndex, history: pd.Series, outcome: pd.Series | None = None,
                   limit: float | None = None, *, ax: Axes | None = None, most: int = 60) -> Axes:
    """Draw scenarios of one quantity as thin lines behind their median and the middle 80 %.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (S, T): units in each scenario, all of the same weight.
    dates : pandas.DatetimeIndex
        The T periods.
    history, outcome : pandas.Series
        Units by date before the scenarios begin, and what happened.
    limit : float, optional
        Units that may be planned; drawn as a line.
    ax : matplotlib.axes.Axes, optional
    most : int
        Lines drawn.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0)
    ax.plot(history, color="black", lw=1.1, label="observed")
    ax.plot(dates, values[:most].T, color=BLUE, lw=0.5, alpha=0.3)
    ax.fill_between(dates, low, high, color=BLUE, alpha=0.22, lw=0, label="80 % of scenarios")
    ax.plot(dates, middle, color=BLUE, lw=1.6, label="median")
    if outcome is not None and len(outcome):
        ax.plot(outcome, color=RED, lw=0, marker=".", ms=5, label="what happened")
    if limit is not None:
        ax.axhline(limit, color=GREY, ls="--", lw=1.0, label="may be planned")
    _date_ticks(ax, 7)
    return _tidy(ax)


def plot_tradeoff(points: pd.DataFrame, across: str, up: str, *, ax: Axes | None = None) -> Axes:
    """Draw what families of plans trade for what: a line a family, a dot a plan, both axes better when lower.

    Parameters
    ----------
    points : pandas.DataFrame
        A row a plan: family, setting (what the dot is called; empty: not named) and two measures.
    across, up : str
        Columns of the measures; their names, with units, label the axes.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    looks = itertools.cycle(zip((BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "black"), "os^DvP*"))
    for (family, rows), (colour, mark) in zip(points.groupby("family", sort=False), looks):
        ax.plot(rows[across], rows[up], color=colour, marker=mark, ms=5, lw=1.0, alpha=0.9, label=family)
        for row in rows.itertuples():
            ax.annotate(row.setting, (rows.at[row.Index, across], rows.at[row.Index, up]), xytext=(4, 4), textcoords="offset points",
                        fontsize=7, color=colour)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    ax.legend(frameon=False, fontsize=8)
    return _tidy(ax)


def plot_service(service: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw who gets what under each of several plans, a row a unit and a column a plan.

    Parameters
    ----------
    service : pandas.DataFrame
        Share of the need that is met; index: units, columns: plans.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Every cell says its number, so that the picture needs no colours to be read.
    """
    ax = plt.subplots(figsize=(1.2 + 1.05 * len(service.columns), 1.0 + 0.27 * len(service)))[1] if ax is None else ax
    percent = 100 * service.to_numpy(float)
    low, high = np.nanmin(percent), np.nanmax(percent)
    ax.imshow(percent, aspect="auto", cmap="YlOrRd_r", vmin=low, vmax=high + 1e-9)
    for (row, column), value in np.ndenumerate(percent):
        dark = value < low + 0.25 * (high - low)
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set_xticks(range(len(service.columns)), [str(name).replace("_", "\n") for name in service.columns], fontsize=8)
    ax.set_yticks(range(len(service)), service.index, fontsize=8, parse_math=False)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("% of the need that is met", fontsize=9)
    return ax


def plot_frontier(frontier: pd.DataFrame, x: str = "gini", y: str = "shortage", *, ax: Axes | None = None) -> Axes:
    """Draw what equity costs: a point a plan, its setting beside it, the chosen one marked.

    Parameters
    ----------
    frontier : pandas.DataFrame
        As from `medlib.allocate.frontier.trace_frontier`.
    x : {"gini", "worst_service", "spread"}
        Measure of equity.
    y : {"shortage", "transfers", "cost"}
        What it costs.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    swept = frontier[frontier["setting"].notna()]
    ax.plot(swept[x], swept[y], color=BLUE, marker="o", ms=5, lw=1.2, label=swept["criterion"].iloc[0])
    first, chosen = frontier[frontier["setting"].isna()], frontier[frontier["chosen"]]
    ax.plot(first[x], first[y], color="black", marker="s", ms=6, lw=0, label="utilitarian")
    ax.plot(chosen[x], chosen[y], color=RED, marker="o", ms=13, mfc="none", mew=1.8, lw=0, label="chosen")
    # Beside a curve that falls to the right there is room on the right, beside one that rises on the left.
    side = 1 if np.polyfit(frontier[x], frontier[y], 1)[0] < 0 else -1
    for row in swept.itertuples():
        ax.annotate(f"{row.setting:.2g}", (getattr(row, x), getattr(row, y)), xytext=(7 * side, 5), textcoords="offset points", fontsize=8,
                    ha="left" if side > 0 else "right")
    ax.set_xlabel({"gini": "Gini coefficient of the shortage", "worst_service": "service of the worst served (share of need)",
                   "spread": "best less worst service (share of need)"}[x])
    ax.set_ylabel({"shortage": "weighted unit-days short", "transfers": "transfers", "cost": "cost points"}[y])
    ax.legend(frameon=False, fontsize=8)
    ax.margins(0.08)
    return _tidy(ax)


def plot_importance(ranked: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much worse a model gets without each feature, the most important on top.

    Parameters
    ----------
    ranked : pandas.DataFrame
        As from `medlib.explain.models.rank_features`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    reach = np.abs(ranked[["low", "high"]].to_numpy() - ranked[["loss"]].to_numpy()).T
    ax.barh(ranked["feature"], ranked["loss"], height=0.62, color=BLUE, xerr=reach, error_kw={"lw": 1, "ecolor": "black"})
    ax.axvline(0, color=GREY, lw=1)
    ax.invert_yaxis()
    ax.set_xlabel("error added by shuffling")
    return _tidy(ax)


def plot_steps(parts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how an answer adds up: the first part as the start, each further one as a step, the sum as a line.

    Parameters
    ----------
    parts : pandas.DataFrame
        part and units, as from `medlib.explain.models.explain_forecast`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    reached, steps = parts["units"].cumsum().to_numpy(), parts["units"].iloc[1:]
    ax.barh(parts["part"].iloc[1:], steps, left=reached[:-1], height=0.62, color=[ORANGE if step > 0 else BLUE for step in steps])
    for row, (step, left) in enumerate(zip(steps, reached)):
        ax.annotate(f"{step:+.1f}".replace("-", "\N{MINUS SIGN}"), (max(left, left + step), row), xytext=(4, 0), textcoords="offset points",
                    va="center", fontsize=8)
    ax.axvline(reached[0], color=GREY, ls=":", label=f"{parts['part'].iloc[0]} {reached[0]:,.1f}")
    ax.axvline(reached[-1], color="black", lw=1, label=f"expected {reached[-1]:,.1f}")
    ax.invert_yaxis()
    ax.use_sticky_edges = False  # else the lowest step would end in the frame
    ax.margins(x=0.12)
    ax.set_xlabel("units needed")
    ax.legend(frameon=False, fontsize=8)
    return _tidy(ax)


def plot_groups(compared: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how each group's error differs from all others', with intervals; what is beyond chance is marked.

    Parameters
    ----------
    compared : pandas.DataFrame
        Rows of one measure, as from `medlib.explain.groups.compare_groups`; a withheld group keeps its line, empty.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = plt.subplots(figsize=(7, 0.9 + 0.2 * len(compared)))[1] if ax is None else ax
    rows = np.arange(len(compared))
    flagged = compared["flagged"].to_numpy(bool)
    for chosen, colour, label in ((~flagged, GREY, "within chance"), (flagged, RED, "beyond chance")):
        part = compared[chosen]
        reach = np.abs(part[["difference_low", "difference_high"]].to_numpy(float) - part[["difference"]].to_numpy(float)).T
        ax.errorbar(part["difference"], rows[chosen], xerr=reach, fmt="o", ms=4, lw=1, color=colour, label=label)
    ax.axvline(0, color="black", lw=1)
    ax.set_yticks(rows, [f"{row.by} {row.group}" for row in compared.itertuples()], fontsize=8, parse_math=False)
    ax.invert_yaxis()
    ax.set_xlabel(f"{compared['measure'].iloc[0]}, difference to all others")
    ax.legend(frameon=False, fontsize=8)
    return _tidy(ax)
