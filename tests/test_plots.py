"""Pictures: each draws its numbers on the axes it is given, with words for them, and neither shows nor saves."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, PathPatch
from matplotlib.text import Text

from medlib import plots
from medlib.simulate import RUNGS

AS_OF = pd.Timestamp("2021-11-20")
AHEAD = pd.date_range("2021-11-21", periods=4)
PAST = pd.date_range("2021-09-12", AS_OF)
SITES = ["A", "B", "C"]
NAMES = {"A": "Zwickau", "B": "Bonn", "C": "Celle"}
BASE = {"A": 40.0, "B": 90.0, "C": 10.0}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nothing is shown or saved, and no figure stays behind."""
    def refuse(*_, **__):
        raise AssertionError("a picture was shown or saved")

    for place, name in ((plt, "show"), (plt, "savefig"), (Figure, "savefig"), (Figure, "show")):
        monkeypatch.setattr(place, name, refuse)
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def forecast():
    rows = [(AS_OF, date, site, "icu_bed", "naive", level, BASE[site] + step + 20 * (level - 0.5))
            for site in SITES for step, date in enumerate(AHEAD) for level in (0.025, 0.25, 0.5, 0.75, 0.975)]
    return pd.DataFrame(rows, columns=["as_of", "date", "site", "resource", "model", "quantile", "demand"])


@pytest.fixture
def demand():
    """Runs past the as-of date."""
    rows = [(date, site, "icu_bed", BASE[site] + 3 * number % 7) for number, date in enumerate(PAST.append(AHEAD)) for site in SITES]
    return pd.DataFrame(rows, columns=["date", "site", "resource", "demand"])


@pytest.fixture
def sites():
    return pd.DataFrame({"site": SITES, "name": ["Zwickau", "Bonn", "Celle"], "latitude": [60.0, 61.0, 60.5],
                         "longitude": [10.0, 11.0, 13.0]})


@pytest.fixture
def moves():
    rows = [("A", "B", 1.0), ("A", "B", 2.0), ("B", "C", 30.0), ("C", "A", 9.0)]
    return pd.DataFrame(rows, columns=["origin", "destination", "amount"]).assign(date=AHEAD[0], resource="icu_bed", what="patients")


@pytest.fixture
def expected():
    rows = [(date, site, 10.0 * number + step, 1.0) for number, site in enumerate(("B", "A", "C")) for step, date in enumerate(AHEAD)]
    return pd.DataFrame(rows, columns=["date", "site", "shortage_before", "shortage_after"])


@pytest.fixture
def ladder():
    """In no particular order, one rung left out."""
    rows = [("perfect", 20.0), ("none", 400.0), ("stochastic", 55.0), ("reactive", 130.0)]
    return pd.DataFrame(rows, columns=["rung", "shortage"]).assign(resource="all", bound=17.0)


@pytest.fixture
def draw(forecast, demand, sites, moves, expected, ladder):
    """Every picture that takes axes, by name."""
    one = lambda frame: frame[frame["site"] == "B"]
    known = one(demand[demand["date"] <= AS_OF])
    cleaned = known.assign(imputed=known["date"].dt.day == 1)
    usable = pd.Series(150.0, index=pd.DatetimeIndex(demand["date"].unique()))
    return {
        "fan": lambda **more: plots.plot_fan(one(forecast), known, one(demand[demand["date"] > AS_OF]), 93.5, **more),
        "bare fan": lambda **more: plots.plot_fan(one(forecast), known, **more),
        "system": lambda **more: plots.plot_system(demand, usable, AS_OF, **more),
        "transfers": lambda **more: plots.plot_transfers(moves, sites, pd.Series({"B": 12.0, "C": 3.0}), **more),
        "shortage": lambda **more: plots.plot_shortage(expected, "shortage_before", **more),
        "ladder": lambda **more: plots.plot_ladder(ladder, **more),
        "cleaning": lambda **more: plots.plot_cleaning(known.assign(demand=known["demand"] * 3), cleaned, **more)}


PICTURES = ["fan", "bare fan", "system", "transfers", "shortage", "ladder", "cleaning"]


def words(artist):
    return [text.get_text() for text in artist.findobj(Text) if text.get_text().strip()]


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def find(ax, *values):
    """The one line that holds these values."""
    line, = [line for line in ax.lines if np.array_equal(line.get_ydata(), values)]
    return line


@pytest.mark.parametrize("name", PICTURES)
def test_it_draws_on_the_axes_given(draw, name):
    figure, (ax, other) = plt.subplots(1, 2)
    plt.figure()  # the current figure is another one
    current = plt.gcf()
    assert draw[name](ax=ax) is ax
    assert ax.has_data() and ax.figure is figure
    assert not other.has_data() and not other.findobj(FancyArrowPatch) and not current.axes
    assert len(plt.get_fignums()) == 2
    figure.canvas.draw()


@pytest.mark.parametrize("name", PICTURES)
def test_it_makes_axes_where_none_are_given(draw, name):
    ax = draw[name]()
    assert isinstance(ax, Axes) and ax.has_data() and len(plt.get_fignums()) == 1
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_drawn_has_words(draw, name):
    ax = draw[name]()
    said = labels(ax) + words(ax.figure)
    assert len(said) >= 3 and not any("_" in word or "nan" in word for word in said)


def test_a_fan_holds_median_bands_outcome_and_limit(draw, demand):
    ax, bare = draw["fan"](), draw["bare fan"]()
    corners = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
    np.testing.assert_allclose(sorted((band.min(), band.max()) for band in corners), [(80.5, 102.5), (85, 98)])
    find(ax, 90, 91, 92, 93)
    find(ax, 93.5, 93.5)
    values = demand.loc[demand["site"] == "B", "demand"]
    find(ax, *values[:len(PAST)])
    find(ax, *values[len(PAST):])
    assert len(ax.lines) == len(bare.lines) + 2 and len(set(labels(ax))) == len(labels(ax)) == 6


def fans(forecast, demand, **more):
    usable = pd.DataFrame([(site, date, 50.0 + step) for site in SITES for step, date in enumerate(AHEAD)],
                          columns=["site", "date", "usable"])
    return plots.plot_fans(forecast, demand, demand[demand["date"] > AS_OF], usable, "ICU beds needed", NAMES, **more)


def test_fans_are_one_panel_a_site_in_the_order_of_the_names(forecast, demand):
    figure = fans(forecast, demand, columns=2)
    panels = [ax for ax in figure.axes if ax.has_data()]
    assert [ax.get_title(loc="left") + ax.get_title() for ax in panels] == ["Bonn", "Celle", "Zwickau"]
    for ax, site in zip(panels, "BCA"):
        find(ax, *(BASE[site] + np.arange(4)))
    assert not any(ax.axison for ax in figure.axes if not ax.has_data())
    assert len(figure.legends) == 1 and "ICU beds needed" in words(figure)
    assert words(figure.legends[0]) == labels(panels[0])
    figure.canvas.draw()


def test_fans_show_no_more_of_the_past_than_asked_and_none_of_the_future(forecast, demand):
    for ax, site in zip(fans(forecast, demand, look_back=12).axes, "BCA"):
        known = demand[(demand["site"] == site) & (demand["date"] <= AS_OF)].tail(12)
        observed = find(ax, *known["demand"])
        np.testing.assert_array_equal(mdates.date2num(observed.get_xdata()), mdates.date2num(known["date"]))
        find(ax, 51.5, 51.5)  # the mean of what may be planned


def test_a_single_fan_is_drawn_too(forecast, demand):
    figure = fans(forecast[forecast["site"] == "C"], demand)
    assert len(figure.axes) == 1


def test_the_system_is_the_sum_over_the_sites(draw, demand):
    ax = draw["system"]()
    total = demand.groupby("date")["demand"].sum()
    before, after = find(ax, *total[:AS_OF]), find(ax, *total[AS_OF:])
    assert before.get_color() != after.get_color()
    find(ax, *[150.0] * len(total))
    assert AS_OF in [pd.Timestamp(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 2]
    assert set(words(ax.get_legend())) == set(labels(ax))


def test_transfers_are_one_arrow_a_route_wider_for_more(draw, sites, moves):
    ax = draw["transfers"]()
    arrows = ax.findobj(FancyArrowPatch)
    width = {tuple(np.round(arrow._posA_posB[0], 6)): arrow.get_linewidth() for arrow in arrows}
    shrink = np.cos(np.radians(60.5))  # a degree east is shorter than one north
    place = {row.site: (round(row.longitude * shrink, 6), row.latitude) for row in sites.itertuples()}
    assert len(arrows) == 3
    assert width[place["B"]] > width[place["C"]] > width[place["A"]] > 0
    dots = ax.collections[0]
    assert dots.get_array().tolist() == [0, 12, 3]
    np.testing.assert_allclose(dots.get_offsets(), [place[site] for site in SITES])
    assert len(set(words(ax)) & {*SITES, *NAMES.values()}) == 3
    assert any("short" in word for word in words(ax.figure))


def test_a_map_without_moves_or_shortage_shows_the_sites(sites, moves):
    ax = plots.plot_transfers(moves.iloc[:0], sites, pd.Series(dtype=float))
    assert not ax.findobj(FancyArrowPatch) and ax.collections[0].get_array().tolist() == [0, 0, 0]
    plots.plot_transfers(moves.iloc[:0], sites.iloc[:1], pd.Series({"A": 2.0})).figure.canvas.draw()


def test_shortage_is_a_row_a_site_and_a_column_a_day(draw, expected):
    ax = draw["shortage"]()
    assert np.asarray(ax.images[0].get_array()).tolist() == [[10, 11, 12, 13], [0, 1, 2, 3], [20, 21, 22, 23]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["A", "B", "C"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["21 Nov", "22 Nov", "23 Nov", "24 Nov"]
    assert ax.images[0].get_clim() == (0, 23) and any("short" in word for word in words(ax.figure))


def test_two_pictures_of_shortage_can_share_a_scale(expected):
    assert plots.plot_shortage(expected, "shortage_after", highest=23).images[0].get_clim() == (0, 23)
    low, high = plots.plot_shortage(expected.assign(shortage_after=0.0), "shortage_after").images[0].get_clim()
    assert low == 0 < high


def test_the_ladder_is_in_the_rungs_order_with_its_bound(draw):
    ax = draw["ladder"]()
    order = ["none", "reactive", "stochastic", "perfect"]
    assert [bar.get_width() for bar in ax.patches] == [400, 130, 55, 20]
    assert [text.get_text() for text in ax.get_yticklabels()] == [RUNGS[rung] for rung in order]
    assert ax.yaxis_inverted() and ax.get_xlim()[1] > 400 and "unit-days" in ax.get_xlabel()
    assert {"400", "130", "55", "20"} <= set(words(ax))
    assert [line.get_xdata()[0] for line in ax.lines] == [17] and any("17" in word for word in words(ax.get_legend()))


def test_a_ladder_without_shortage_is_drawn_too(ladder):
    ax = plots.plot_ladder(ladder.assign(shortage=0.0, bound=0.0))
    assert ax.get_xlim()[1] >= 1


def test_cleaning_shows_what_was_reported_and_marks_what_was_filled(draw, demand):
    ax = draw["cleaning"]()
    cleaned = demand[(demand["site"] == "B") & (demand["date"] <= AS_OF)]
    find(ax, *cleaned["demand"])
    find(ax, *3 * cleaned["demand"])
    find(ax, *cleaned.loc[cleaned["date"].dt.day == 1, "demand"])
    assert set(words(ax.get_legend())) == set(labels(ax))


def test_the_frames_stay_as_they_were(draw, forecast, demand, moves, sites, expected, ladder):
    frames = (forecast, demand, moves, sites, expected, ladder)
    before = [frame.copy() for frame in frames]
    for picture in draw.values():
        picture()
    fans(forecast, demand)
    for frame, copy in zip(frames, before):
        pd.testing.assert_frame_equal(frame, copy)


def test_flows_show_every_amount_and_put_the_small_ones_together():
    moves = pd.DataFrame([("A", "X", 6.0), ("A", "Y", 3.0), ("B", "X", 2.0), ("C", "Y", 1.0), ("A", "X", 1.0)],
                         columns=["origin", "destination", "amount"])
    ax = plots.plot_flows(moves, most=2)
    assert {text.get_text() for text in ax.texts} == {"A 10", "B 2", "others 1", "X 9", "Y 4"}
    bands = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    # A band's height at its ends is its amount.
    heights = sorted(round(band.get_path().vertices[0, 1] - band.get_path().vertices[7, 1], 6) for band in bands)
    assert heights == [1.0, 2.0, 3.0, 7.0]
    empty = plots.plot_flows(moves.iloc[:0])
    assert [text.get_text() for text in empty.texts] == ["nothing moves"]


def test_importance_is_a_bar_a_feature_with_its_interval():
    ranked = pd.DataFrame({"feature": ["level now", "weekday"], "loss": [0.4, -0.02], "low": [0.3, -0.05], "high": [0.6, 0.01]})
    ax = plots.plot_importance(ranked)
    assert [bar.get_width() for bar in ax.patches] == [0.4, -0.02] and ax.yaxis_inverted()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["level now", "weekday"]
    ends = [np.round(path.vertices[:, 0], 6).tolist() for path in ax.collections[0].get_paths()]
    assert ends == [[0.3, 0.6], [-0.05, 0.01]] and "shuffling" in ax.get_xlabel()


def test_steps_add_up_from_the_start_to_the_sum():
    parts = pd.DataFrame({"part": ["last known figure", "usual change", "size"], "units": [40.0, -3.0, 5.5]})
    ax = plots.plot_steps(parts)
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(40, -3), (37, 5.5)]
    assert [line.get_xdata()[0] for line in ax.lines] == [40, 42.5]
    assert {"\N{MINUS SIGN}3.0", "+5.5"} <= set(words(ax)) and "expected 42.5" in words(ax.get_legend())


def test_groups_beyond_chance_are_marked_and_withheld_ones_keep_their_line():
    compared = pd.DataFrame({"by": "site", "group": ["A", "B", "C"], "measure": "error (share)", "difference": [0.2, np.nan, -0.1],
                             "difference_low": [0.1, np.nan, -0.3], "difference_high": [0.3, np.nan, 0.1], "flagged": [True, False, False]})
    ax = plots.plot_groups(compared)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["site A", "site B", "site C"]
    points = {box.get_label(): np.asarray(box.lines[0].get_xydata(), float) for box in ax.containers}
    drawn = {label: found[np.isfinite(found[:, 0])].tolist() for label, found in points.items()}
    assert drawn == {"within chance": [[-0.1, 2]], "beyond chance": [[0.2, 0]]} and ax.get_xlabel().startswith("error (share)")
