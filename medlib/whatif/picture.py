"""Pictures of an answer as SVG, made by hand: drawing one takes milliseconds, where a figure of matplotlib takes a tenth of a second."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medlib.explain.words import format_amount, format_day, format_table
from medlib.plots import BLUE, GREY, ORANGE, RED
from medlib.whatif.live import Answer

#: Rows of the table of moves that are shown.
ROWS = 8


def draw(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """Put marks together to a picture that takes the width it is given; the label says in words what is seen."""
    return (f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(label)}" style="width:100%;max-width:{1.35 * width:g}px;'
            f'height:auto;font-family:sans-serif">{"".join(parts)}</svg>')


def write(x: float, y: float, words: str, side: str = "start", size: float = 11, colour: str = "#222") -> str:
    """A text; side: start, middle, end."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{side}" font-size="{size:g}" fill="{colour}">{html.escape(str(words))}</text>')


def draw_map(answer: Answer, sites: pd.DataFrame, names: Mapping[str, str], resource: str) -> str:
    """Draw who sends a resource to whom, and where units are short with the plan."""
    frame = sites.set_index("site").loc[list(answer.posed.sites)]
    across = frame["longitude"].to_numpy(float) * np.cos(np.radians(frame["latitude"].mean()))
    up = frame["latitude"].to_numpy(float)
    scale = 330 / max(np.ptp(across), np.ptp(up), 1e-9)
    x, y = 45 + (across - across.min()) * scale, 20 + (up.max() - up) * scale
    width, height = np.ptp(x) + 90, np.ptp(y) + 45
    place = {site: number for number, site in enumerate(answer.posed.sites)}
    routes = answer.routes[answer.routes["resource"] == resource]
    parts = ['<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
             f'<path d="M0 0L8 4L0 8z" fill="{BLUE}"/></marker></defs>']
    for row in routes.itertuples():
        one, other = place[row.origin], place[row.destination]
        ahead = np.array([x[other] - x[one], y[other] - y[one]])
        length = max(float(np.hypot(*ahead)), 1e-9)
        ahead = ahead / length
        gap = min(8.0, length / 3)
        bend = (np.array([x[one] + x[other], y[one] + y[other]]) / 2 + 0.16 * length * np.array([ahead[1], -ahead[0]]))
        thick = 0.8 + 3.4 * float(np.sqrt(row.amount / routes["amount"].max()))
        parts.append(f'<path d="M{x[one] + gap * ahead[0]:.1f} {y[one] + gap * ahead[1]:.1f}Q{bend[0]:.1f} {bend[1]:.1f} '
                     f'{x[other] - gap * ahead[0]:.1f} {y[other] - gap * ahead[1]:.1f}" fill="none" stroke="{BLUE}" stroke-width="{thick:.1f}" '
                     f'stroke-opacity="0.55" marker-end="url(#tip)"><title>{html.escape(names[row.origin])} to {html.escape(names[row.destination])}: '
                     f'{format_amount(row.amount)}</title></path>')
    short = answer.after[:, answer.posed.names.index(resource)]
    for number, site in enumerate(answer.posed.sites):
        share = short[number] / max(short.max(), 1e-9)
        parts.append(f'<circle cx="{x[number]:.1f}" cy="{y[number]:.1f}" r="6" stroke="#222" stroke-width="0.8" fill="{shade(share)}"><title>'
                     f'{html.escape(names[site])}: {format_amount(short[number])} short</title></circle>')
    # Words come last, with a rim, so that no arrow crosses them.
    written = (write(x[number], y[number] - 9, site, "middle", 9) for number, site in enumerate(answer.posed.sites))
    parts.append(f'<g paint-order="stroke" stroke="#fff" stroke-width="2.5">{"".join(written)}</g>')
    words = (f"Map: {len(routes)} routes of {resource}; the darker a dot, the more is short there with the plan, at most "
             f"{format_amount(float(short.max()))} unit-days.")
    return draw(width, height, words, parts) + f"<p class='note'>{html.escape(words)}</p>"


def shade(share: float) -> str:
    """A colour between white (0) and vermilion (1)."""
    ends = np.array([[255, 255, 255], [int(RED[place:place + 2], 16) for place in (1, 3, 5)]])
    return "#" + "".join(f"{round(level):02x}" for level in ends[0] + share * (ends[1] - ends[0]))


def draw_shortage(answer: Answer, full: float) -> str:
    """Draw what each resource is short of, without the plan and with it, as pairs of bars.

    Parameters
    ----------
    answer : Answer
    full : float
        Unit-days short of a bar that takes the whole width, so that bars of one answer can be held against those of the next; twice, four times
        and so on as much where the answer has more.
    """
    names, before, after = answer.posed.names, answer.before.sum(axis=0), answer.after.sum(axis=0)
    most, parts = full, []
    while max(before.max(), after.max()) > most:
        most *= 2
    for number, name in enumerate(names):
        top = 6 + 44 * number
        parts.append(write(92, top + 18, name, "end"))
        for place, (amount, colour) in enumerate(((before[number], GREY), (after[number], BLUE))):
            wide = 210 * amount / most
            parts.append(f'<rect x="98" y="{top + 16 * place}" width="{wide:.1f}" height="13" fill="{colour}"/>')
            parts.append(write(102 + wide, top + 16 * place + 11, format_amount(amount)))
    words = "Unit-days short: " + "; ".join(f"{name} {format_amount(before[number])} without the plan, {format_amount(after[number])} with it"
                                            for number, name in enumerate(names)) + "."
    return (draw(380, 44 * len(names) + 6, words, parts) + f"<p class='note'>Expected unit-days short by resource: <b style='color:#666'>grey</b> without "
            f"moves and surge, <b style='color:{BLUE}'>blue</b> with the plan; a bar of the whole width is {format_amount(most)}.</p>")


def draw_frontier(points: list[dict[str, float]], here: dict[str, float], criterion: str, tracing: bool) -> str:
    """Draw the plans from cheap to even that were traced so far, and where the plan on the page lies."""
    across = "worst_service" if criterion == "worst" else "gini"
    name = {"worst_service": "share of its need that the worst served site meets", "gini": "Gini coefficient of the shortage (0: even)"}[across]
    seen = [*points, here]
    x, y = (np.array([point[key] for point in seen]) for key in (across, "shortage"))
    # An axis that shows next to no difference as a large one would deceive: at least 2 % of shortage, at least 0.02 across.
    place = [_spread(values, least) for values, least in ((x, 0.02), (y, max(0.02 * y.max(), 0.1)))]
    px, py = 62 + 270 * place[0][0], 200 - 175 * place[1][0]
    parts = [f'<path d="M56 15V206H345" fill="none" stroke="{GREY}"/>',
             write(200, 236, name, "middle"), f'<text transform="translate(12 110) rotate(-90)" text-anchor="middle" font-size="11">'
             "weighted unit-days short</text>"]
    for end, at in zip(place[0][1], (62, 332)):
        parts.append(write(at, 220, f"{end:.2f}", "middle", 10))
    for end, at in zip(place[1][1], (200, 25)):
        parts.append(write(52, at + 4, f"{end:,.0f}" if y.max() >= 20 else f"{end:.1f}", "end", 10))
    order = sorted(range(len(points)), key=lambda number: points[number]["weight"])
    parts.append(f'<polyline points="{" ".join(f"{px[number]:.1f},{py[number]:.1f}" for number in order)}" fill="none" stroke="{ORANGE}" stroke-width="1.5"/>')
    for number in order:
        parts.append(f'<circle cx="{px[number]:.1f}" cy="{py[number]:.1f}" r="3.5" fill="{ORANGE}"><title>weight {points[number]["weight"]:g}</title></circle>')
    parts.append(f'<circle cx="{px[-1]:.1f}" cy="{py[-1]:.1f}" r="7" fill="none" stroke="{RED}" stroke-width="2"/>')
    words = (f"Ring: the plan on this page. Dots: plans that count {'the worst served site' if criterion == 'worst' else 'the Gini coefficient'} "
             "at weights from 0 to 1. " + ("The curve is being traced …" if tracing else "The curve is complete."))
    return draw(365, 242, words, parts) + f"<p class='note'>{html.escape(words)}</p>"


def _spread(values: np.ndarray, least: float) -> tuple[np.ndarray, tuple[float, float]]:
    """Values between 0 and 1 within their range, which is at least so wide; and the range."""
    middle, half = (values.max() + values.min()) / 2, max(np.ptp(values), least) / 2
    low = max(middle - half, 0.0)
    return (values - low) / (2 * half), (low, low + 2 * half)


def tabulate_moves(answer: Answer, names: Mapping[str, str], resource: str) -> str:
    """Tabulate the routes that carry most of a resource."""
    routes = answer.routes[answer.routes["resource"] == resource]
    if routes.empty:
        return f"<p>The plan moves no {html.escape(resource)}.</p>"
    when = [format_day(first, short=True) if first == last else f"{format_day(first, short=True)} – {format_day(last, short=True)}"
            for first, last in zip(routes["first"].head(ROWS), routes["last"].head(ROWS))]
    shown = routes.head(ROWS).assign(when=when, **{end: routes[end].map(names) for end in ("origin", "destination")})
    headers = {"origin": "from", "destination": "to", "amount": "moved", "distance_km": "km", "when": "when"}
    rest = len(routes) - len(shown)
    more = f"<p class='note'>{rest} smaller routes carry {format_amount(float(routes['amount'].iloc[ROWS:].sum()))} more.</p>" if rest else ""
    return f"<div class='wide'>{format_table(shown, headers, {'amount': 1})}</div>{more}"


def tell_sums(answer: Answer) -> str:
    """Tell the answer in numbers."""
    counted = answer.routes["resource"].map(answer.posed.kinds) != "drug"  # doses and patients have no sum
    numbers = [("short without the plan", answer.shortage_before), ("short with the plan", answer.shortage),
               ("moved", float(answer.routes.loc[counted, "amount"].sum())), ("surge opened", answer.surge_units)]
    cells = "".join(f"<div><b data-name='{name}'>{amount:,.1f}</b><span>{name}</span></div>" for name, amount in numbers)
    return (f"<div class='sums'>{cells}</div><p class='note'>Short: expected unit-days beyond what the planning occupancy allows, "
            "weighted by resource. Moved: patients, staff and equipment. Surge: unit-days.</p>")
