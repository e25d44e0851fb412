"""Drawn panels: the same seed gives the same picture, a state is told by what it should be told by, and spoiling spoils."""

import numpy as np
import pytest
from PIL import Image

from medlib.errors import MedlibError
from medlib.recognise.panels import (CONTROLS, CORRUPTIONS, DESIGNS, KINDS, LIT, SIDE, STATES, draw_panel, draw_panels, loosen, spoil,
                                      spoil_panels)


def draw(state, design="north", kind="monitor", seed=1, wear=0.0):
    return draw_panel(kind, state, design, np.random.default_rng(seed), wear).astype(int)


def cut(picture, left, top, right, bottom):
    ends = [round(SIDE * share) for share in (left, top, right, bottom)]
    return picture[ends[1]:ends[3], ends[0]:ends[2]]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_state_can_be_drawn_and_a_seed_repeats(kind, design):
    for state in STATES:
        picture = draw_panel(kind, state, design, np.random.default_rng(3))
        assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.uint8 and np.ptp(picture) > 60
        assert (picture == draw_panel(kind, state, design, np.random.default_rng(3))).all()
        assert (picture != draw_panel(kind, state, design, np.random.default_rng(4))).any()


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("seed", range(5))
def test_the_lamps_say_the_state(design, seed):
    """The lamp that should be lit is far nearer to its colour than when the device is off."""
    for state, lamps in (("working", {0}), ("alarm", {1, 2})):
        lit = set()
        for number, (x, y) in enumerate(DESIGNS[design].lamps):
            colour = draw(state, design, seed=seed)[int(SIDE * y), int(SIDE * x)]
            if np.abs(colour - LIT[number]).sum() < 150:
                lit.add(number)
        assert lit & lamps and (state == "alarm" or lit == {0})
    assert not any(np.abs(draw("off", design, seed=seed)[int(SIDE * y), int(SIDE * x)] - LIT[number]).sum() < 150
                   for number, (x, y) in enumerate(DESIGNS[design].lamps))


@pytest.mark.parametrize("design", DESIGNS)
def test_a_screen_that_is_off_shows_nothing(design):
    dark, on = (cut(draw(state, design), *DESIGNS[design].screen) for state in ("off", "working"))
    spread = [part[3:-3, 3:-3].std(axis=(0, 1)).max() for part in (dark, on)]
    assert spread[0] < 8 < 20 < spread[1]


def test_a_whole_number_is_drawn_on_the_pump():
    screens = [cut(draw("working", kind="infusion_pump", seed=seed), *DESIGNS["north"].screen) for seed in range(6)]
    assert len({round(float(screen[..., 1].mean()), 2) for screen in screens}) == 6, "six pumps show six numbers"


def test_damage_is_seen_on_or_off():
    """Beside the undamaged picture of the same seed something is black or bright that was not."""
    for seed in range(20):
        broken = draw("damaged", seed=seed)
        whole = min((np.abs(broken - draw(state, seed=seed)).max(axis=2) > 60).mean() for state in ("working", "off"))
        assert whole > 0.004


def test_shares_of_states_are_kept():
    pictures, states = draw_panels(60, ["north", "east"], 5, (0.0, 0.5, 0.5, 0.0), wear=0.0)
    assert pictures.shape == (60, SIDE, SIDE, 3) and set(states) == {1, 2}
    assert (draw_panels(5, ["west"], 6)[0] == draw_panels(5, ["west"], 6)[0]).all()


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_spoiling_grows_with_severity_and_zero_leaves_all_as_it_is(corruption):
    clean = Image.fromarray(draw("working").astype(np.uint8))
    assert spoil(clean, corruption, 0, np.random.default_rng(1)) is clean
    change = lambda severity, seed: np.array(spoil(clean, corruption, severity, np.random.default_rng(seed)), int) - np.array(clean, int)
    lost = [np.mean([np.abs(change(severity, seed)).mean() for seed in range(12)]) for severity in (1, 3, 5)]
    assert 0 < lost[0] < lost[1] < lost[2]


@pytest.mark.parametrize(("kind", "state", "design", "words"), [
    ("toaster", "off", "north", "kind is one of ventilator, infusion_pump, monitor; got 'toaster'"),
    ("monitor", "asleep", "north", "state is one of working, alarm, off, damaged; got 'asleep'"),
    ("monitor", "off", "up", "design is one of north, east, south, west; got 'up'")])
def test_what_is_not_known_is_refused(kind, state, design, words):
    with pytest.raises(MedlibError, match=words):
        draw_panel(kind, state, design, np.random.default_rng(1))


@pytest.mark.parametrize("name", DESIGNS)
def test_a_loose_design_stays_in_the_picture_and_its_lamps_beside_the_screen(name):
    for seed in range(40):
        design = loosen(DESIGNS[name], np.random.default_rng(seed))
        left, top, right, bottom = design.screen
        assert 0 < left < right < 1 and 0 < top < bottom <= CONTROLS[1] and right - left > 0.19 and bottom - top > 0.19
        assert len(design.lamps) == 3 and all(0.1 <= place <= 0.9 for lamp in design.lamps for place in lamp)
        assert not any(left <= x <= right and top <= y <= bottom for x, y in design.lamps)
        assert all(0 <= value <= 255 for colour in (design.body, design.glass, design.ink) for value in colour)


def test_every_trait_is_kept_at_times_and_changed_at_times():
    made, known = [loosen(DESIGNS["south"], np.random.default_rng(seed)) for seed in range(60)], DESIGNS["south"]
    for trait in ("screen", "lamps", "ink", "shape", "backlit"):
        assert 0.1 < np.mean([getattr(design, trait) != getattr(known, trait) for design in made]) < 0.9
    assert len({design.body for design in made}) > 55


def test_lamps_stand_in_rows_and_columns_either_way_round():
    ways = set()
    for seed in range(60):
        steps = np.diff(np.array(loosen(DESIGNS["west"], np.random.default_rng(seed)).lamps), axis=0)
        assert steps[0] == pytest.approx(steps[1]) and (np.isclose(steps[0], 0)).sum() == 1
        ways.add(tuple(np.sign(steps[0].round(6))))
    assert ways == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_a_loose_panel_is_another_picture():
    drawn = [draw_panel("monitor", "alarm", "south", np.random.default_rng(2), loose=loose) for loose in (False, True)]
    assert drawn[0].shape == drawn[1].shape == (SIDE, SIDE, 3) and (drawn[0] != drawn[1]).any()


def test_the_same_devices_are_spoiled_one_way_at_a_time():
    pictures, states = spoil_panels(8, ["north"], 3, (0, 5))
    assert set(pictures) == {(corruption, severity) for corruption in CORRUPTIONS for severity in (0, 5)}
    assert sorted(states) == [0, 0, 1, 1, 2, 2, 3, 3]
    clean = pictures["blur", 0]
    assert clean.shape == (8, SIDE, SIDE, 3)
    for corruption in CORRUPTIONS:
        assert (pictures[corruption, 0] == clean).all() and (pictures[corruption, 5] != clean).any(axis=(1, 2, 3)).all()
