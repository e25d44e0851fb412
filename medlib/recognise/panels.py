"""Front panels of medical devices, drawn: synthetic pictures of a ventilator, an infusion pump or a monitor in a known state.

No openly licensed photographs of equipment's state were found. These pictures teach the method and where it fails; a network that is
to judge real devices has to learn from photographs of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from medlib.errors import MedlibError
from medlib.schema import STATES

KINDS = ("ventilator", "infusion_pump", "monitor")
#: What spoils a picture. Severities go from 0 (nothing) to 5.
CORRUPTIONS = ("blur", "low_light", "tilt", "noise", "glare", "dirt", "occlusion")
#: Pixels of a picture's side; a panel is drawn so many times larger, for smooth edges.
SIDE, FINER = 64, 3
#: Colours of the lamps green, yellow and red when lit.
LIT = ((40, 220, 80), (255, 205, 40), (255, 40, 40))
#: Lit segments of a digit: a on top, then clockwise to f, g in the middle.
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
#: Ends of the segments in shares of a digit's width and height.
ENDS = {"a": (0, 0, 1, 0), "b": (1, 0, 1, 0.5), "c": (1, 0.5, 1, 1), "d": (0, 1, 1, 1), "e": (0, 0.5, 0, 1), "f": (0, 0, 0, 0.5),
        "g": (0, 0.5, 1, 0.5)}
#: Left, top, right and bottom of where buttons, knobs and gauges may be.
CONTROLS = (0.1, 0.72, 0.64, 0.94)
Colour = tuple[int, ...]


@dataclass(frozen=True)
class Design:
    """How a maker builds its panels; places are shares of the picture's side.

    Parameters
    ----------
    body, glass, ink : tuple of int
        Colours (RGB) of the housing, of the dark screen, and of what is written on it.
    screen : tuple of float
        Left, top, right and bottom.
    lamps : tuple of (float, float)
        Middles of the lamps green, yellow and red.
    shape : str
        Of the lamps: round, square or bar.
    backlit : bool
        When on, the screen is bright and the writing dark.
    """

    body: Colour
    glass: Colour
    ink: Colour
    screen: tuple[float, float, float, float]
    lamps: tuple[tuple[float, float], ...]
    shape: str
    backlit: bool = False


DESIGNS = {
    "north": Design((206, 210, 212), (22, 30, 34), (90, 230, 140), (0.12, 0.16, 0.70, 0.62),
                    ((0.82, 0.22), (0.82, 0.36), (0.82, 0.50)), "round"),
    "east": Design((232, 228, 214), (18, 22, 40), (120, 200, 255), (0.30, 0.26, 0.88, 0.70),
                   ((0.14, 0.14), (0.26, 0.14), (0.38, 0.14)), "square"),
    "south": Design((120, 140, 156), (30, 30, 30), (255, 190, 80), (0.14, 0.30, 0.86, 0.72),
                    ((0.62, 0.18), (0.73, 0.18), (0.84, 0.18)), "bar"),
    "west": Design((70, 78, 92), (44, 58, 50), (30, 40, 36), (0.12, 0.12, 0.62, 0.52),
                   ((0.76, 0.78), (0.76, 0.64), (0.76, 0.50)), "round", backlit=True)}


def loosen(design: Design, random: np.random.Generator) -> Design:
    """Make up a design from another: of screen, lamps, housing, writing and the lamps' shape, each is kept or made anew by chance.

    Learning from many such designs keeps a network from learning one maker's by heart.
    """
    moves, places, paints, writes, shapes = random.random(5) < 0.5
    body = random.uniform(40, 240) + random.normal(0, 20, 3) if paints else np.array(design.body) * random.uniform(0.7, 1.1)
    design = replace(design, body=_colour(body))
    if moves:
        design = replace(design, screen=_move_screen(design.screen, random))
    if moves or places:
        design = replace(design, lamps=_place_lamps(design.screen, random))
    if writes:
        backlit = bool(random.random() < 0.5)
        glass, ink = random.integers(10, 70, 3), random.integers(*((10, 70) if backlit else (80, 256)), 3)
        design = replace(design, glass=_colour(glass), ink=_colour(ink), backlit=backlit)
    if shapes:
        design = replace(design, shape=str(random.choice(["round", "square", "bar"])))
    return design


def _move_screen(screen: tuple[float, ...], random: np.random.Generator) -> tuple[float, ...]:
    """Move and stretch a screen, no lower than where the controls begin."""
    shift, stretch = random.uniform(-0.12, 0.12, 2), random.uniform(0.8, 1.2, 2)
    left, top, right, bottom = screen
    middle, half = np.array([left + right, top + bottom]) / 2 + shift, stretch * np.array([right - left, bottom - top]) / 2
    return (*(middle - half).clip(0.09, 0.4).tolist(), *(middle + half).clip(0.6, (0.91, CONTROLS[1])).tolist())


def _place_lamps(screen: tuple[float, ...], random: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Middles of three lamps in a row or a column beside a screen and the controls, either way round."""
    boxes = np.array([screen, CONTROLS])[:, None]
    while True:
        step = random.uniform(0.09, 0.16) * np.array([(1, 0), (0, 1)][random.integers(2)])
        lamps = random.uniform(0.1, 0.9, 2) + step * np.array([[-1], [0], [1]]) * random.choice([-1, 1])
        away = np.maximum(boxes[..., :2] - lamps, lamps - boxes[..., 2:]).max(axis=2)
        if (away > 0.05).all() and 0.1 <= lamps.min() and lamps.max() <= 0.9:
            return tuple(map(tuple, lamps.tolist()))


def _colour(values: np.ndarray) -> Colour:
    return tuple(np.asarray(values).clip(0, 255).astype(int).tolist())


def draw_panel(kind: str, state: str, design: str, random: np.random.Generator, wear: float = 1.0, loose: bool = False) -> np.ndarray:
    """Draw one device.

    Parameters
    ----------
    kind, state, design : str
        Of `KINDS`, `STATES` and `DESIGNS`.
    random : numpy.random.Generator
        Decides everything that is left open.
    wear : float
        How much the picture is spoiled: each of `CORRUPTIONS` by chance, up to a severity of twice this.
    loose : bool
        Draw a design made up from the named one; see `loosen`.

    Returns
    -------
    numpy.ndarray
        Shape (`SIDE`, `SIDE`, 3), RGB, whole numbers from 0 to 255.

    Raises
    ------
    MedlibError
        There is no such kind, state or design.
    """
    for name, known, what in ((kind, KINDS, "kind"), (state, STATES, "state"), (design, DESIGNS, "design")):
        if name not in known:
            raise MedlibError(f"A panel's {what} is one of {', '.join(known)}; got {name!r}.")
    picture = _Panel(kind, state, loosen(DESIGNS[design], random) if loose else DESIGNS[design], random).paint()
    for corruption in CORRUPTIONS:
        if random.random() < 0.5:
            picture = spoil(picture, corruption, wear * random.uniform(0, 2), random)
    return np.asarray(picture)


def draw_panels(count: int, designs: Sequence[str], seed: int, shares: Sequence[float] = (0.25,) * 4,
                wear: float = 1.0, loose: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw many devices of all kinds.

    Parameters
    ----------
    count : int
    designs : sequence of str
        Of `DESIGNS`, each as often.
    seed : int
    shares : sequence of float
        Of the states, in the order of `STATES`.
    wear, loose
        As in `draw_panel`.

    Returns
    -------
    pictures : numpy.ndarray
        Shape (count, `SIDE`, `SIDE`, 3), RGB, 0 to 255.
    states : numpy.ndarray
        Shape (count,), positions in `STATES`.
    """
    random = np.random.default_rng(seed)
    states = random.choice(len(STATES), count, p=shares)
    # Filled in place, since a list that is stacked takes the memory twice.
    pictures = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for picture, state in zip(pictures, states):
        kind, design = KINDS[random.integers(len(KINDS))], designs[random.integers(len(designs))]
        picture[:] = draw_panel(kind, STATES[state], design, random, wear, loose)
    return pictures, states


def spoil_panels(count: int, designs: Sequence[str], seed: int,
                 severities: Sequence[float] = (1, 2, 3, 4, 5)) -> tuple[dict[tuple[str, float], np.ndarray], np.ndarray]:
    """Draw the same devices again and again, each time spoiled in one way only.

    Parameters
    ----------
    count, designs, seed
        As in `draw_panels`; all states as often.
    severities : sequence of float
        From 0 to 5.

    Returns
    -------
    pictures : dict
        Corruption and severity -> pictures (count, `SIDE`, `SIDE`, 3).
    states : numpy.ndarray
        Shape (count,), positions in `STATES`.
    """
    random, states = np.random.default_rng(seed), np.arange(count) % len(STATES)
    clean = [_Panel(str(random.choice(KINDS)), STATES[state], DESIGNS[str(random.choice(designs))], random).paint() for state in states]
    return {(corruption, severity): np.stack([spoil(picture, corruption, severity, random) for picture in clean])
            for corruption in CORRUPTIONS for severity in severities}, states


def spoil(picture: Image.Image, corruption: str, severity: float, random: np.random.Generator) -> Image.Image:
    """Spoil a picture in one of the ways of `CORRUPTIONS`, with a severity from 0 to 5."""
    if severity <= 0:
        return picture
    size = picture.width
    if corruption == "blur":
        return picture.filter(ImageFilter.GaussianBlur(severity * size / 275))
    if corruption == "low_light":
        return picture.point(lambda value: int(value * (1 - 0.15 * severity)))
    if corruption == "tilt":
        return _tilt(picture, 0.035 * severity * size * random.uniform(-1, 1, (4, 2)))
    if corruption == "noise":
        noisy = np.asarray(picture, float) + random.normal(0, 3 * severity, (size, size, 3))
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    if corruption == "glare":
        (x, y), reach = random.uniform((0.2, 0.2), (0.8, 0.6)) * size, 0.09 * size * severity**0.5
        draw.ellipse((x - 2 * reach, y - reach, x + 2 * reach, y + reach), (255, 255, 250, int(min(40 * severity + 40, 230))))
        layer = layer.rotate(random.uniform(-40, 40)).filter(ImageFilter.GaussianBlur(0.03 * size))
    elif corruption == "dirt":
        for _ in range(int(4 * severity)):
            (x, y), reach = random.uniform(0.05, 0.95, 2) * size, random.uniform(0.008, 0.03) * size
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), (80, 60, 40, int(random.uniform(60, 170))))
        layer = layer.filter(ImageFilter.GaussianBlur(0.006 * size))
    else:
        (x, y), reach = random.uniform(0.0, 0.8, 2) * size, 0.07 * size * severity**0.5
        colour = tuple(random.integers(90, 240, 3).tolist())
        draw.rounded_rectangle((x, y, x + 2.4 * reach, y + 1.4 * reach), 0.2 * reach, (*colour, 255))
        layer = layer.rotate(random.uniform(-30, 30), Image.Resampling.BILINEAR)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _tilt(picture: Image.Image, shift: np.ndarray) -> Image.Image:
    """Look at a picture aslant: its corners are moved by shifts (pixels), shape (4, 2)."""
    size = picture.width
    corners = size * np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    rows = [row for (x, y), (u, v) in zip(corners, corners + shift)
            for row in ((x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y))]
    plane = np.linalg.solve(np.array(rows), (corners + shift).reshape(-1))
    return picture.transform(picture.size, Image.Transform.PERSPECTIVE, plane.tolist(), Image.Resampling.BILINEAR,
                             fillcolor=(128, 128, 126))


class _Panel:
    """One picture in the making."""

    def __init__(self, kind: str, state: str, design: Design, random: np.random.Generator):
        self.kind, self.state, self.design, self.random = kind, state, design, random
        self.size = SIDE * FINER
        self.picture = Image.new("RGB", (self.size, self.size), self.vary((168, 172, 170), 25))
        self.draw = ImageDraw.Draw(self.picture, "RGBA")
        # A damaged device may be on or off.
        self.on = state in ("working", "alarm") or (state == "damaged" and random.random() < 0.6)

    def vary(self, colour: Colour, spread: float) -> Colour:
        return _colour(np.array(colour) + self.random.normal(0, spread, 3))

    def at(self, *shares: float) -> list[float]:
        return [share * self.size for share in shares]

    def disc(self, x: float, y: float, reach: float, *colours: object) -> None:
        self.draw.ellipse(self.at(x - reach, y - reach, x + reach, y + reach), *colours)

    def paint(self) -> Image.Image:
        body = self.vary(self.design.body, 12)
        edge = tuple(int(0.6 * value) for value in body)
        self.draw.rounded_rectangle(self.at(0.05, 0.06, 0.95, 0.94), 0.05 * self.size, body, edge, 3)
        self.paint_controls(tuple(int(0.45 * value) for value in body))
        self.paint_screen()
        self.paint_lamps()
        if self.state == "damaged":
            wrongs = (self.crack, self.kill_pixels, self.break_corner)
            for number in self.random.permutation(3)[:self.random.integers(1, 3)]:
                wrongs[number]()
        return self.picture.resize((SIDE, SIDE), Image.Resampling.BOX)

    def paint_controls(self, dark: Colour) -> None:
        low = max(self.design.screen[3] + 0.05, 0.74)
        if self.kind == "infusion_pump":
            for number in range(8):
                x, y = 0.16 + 0.1 * (number % 4), low + 0.085 * (number // 4)
                self.draw.rectangle(self.at(x, y, x + 0.075, y + 0.055), dark)
        elif self.kind == "monitor":
            for number in range(6):
                self.disc(0.17 + 0.09 * number, low + 0.05, 0.03, dark)
        else:
            for x in (0.2, 0.36):
                self.disc(x, low + 0.06, 0.06, dark)
                self.paint_hand(x, low + 0.06, 0.05, self.random.uniform(0, 2 * np.pi), (235, 235, 235))
            # A pressure gauge, whose hand rests when the device is off.
            self.disc(0.56, low + 0.06, 0.07, (240, 240, 235), (30, 30, 30), 2)
            self.paint_hand(0.56, low + 0.06, 0.06, np.pi * (1.2 + (self.random.uniform(0, 0.75) if self.on else 0.0)), (200, 20, 20))

    def paint_hand(self, x: float, y: float, length: float, turn: float, colour: Colour) -> None:
        self.draw.line(self.at(x, y, x + length * np.cos(turn), y + length * np.sin(turn)), colour, 3)

    def paint_screen(self) -> None:
        left, top, right, bottom = self.design.screen
        width, height = right - left, bottom - top
        ink, bright = self.vary(self.design.ink, 10), (178, 200, 168) if self.design.backlit else self.vary(self.design.glass, 4)
        self.draw.rectangle(self.at(left - 0.015, top - 0.015, right + 0.015, bottom + 0.015), (30, 30, 32))
        self.draw.rectangle(self.at(left, top, right, bottom), self.vary(bright if self.on else self.design.glass, 6))
        if not self.on:
            return
        if self.kind == "infusion_pump":
            self.paint_number(left + 0.05 * width, top + 0.2 * height, 0.28 * width, 0.6 * height, self.random.integers(100, 1000), ink)
        else:
            traces = 2 if self.kind == "ventilator" else 3
            for number in range(traces):
                middle = top + height * (number + 0.6) / (traces + 0.3)
                self.paint_trace(left + 0.04 * width, middle, 0.62 * width, 0.3 * height / traces, number == 0,
                                 ink if number == 0 else self.vary(ink, 45))
                self.paint_number(left + 0.72 * width, middle - 0.12 * height, 0.11 * width, 0.22 * height,
                                  self.random.integers(10, 100), ink)
        if self.kind == "ventilator":
            self.draw.rectangle(self.at(right - 0.04 * width, bottom - self.random.uniform(0.2, 0.9) * height, right, bottom), ink)
        if self.state == "alarm":
            red = self.vary(LIT[2], 15)
            if self.random.random() < 0.6:
                self.draw.rectangle(self.at(left, top, right, top + 0.16 * height), red)
            else:
                self.draw.rectangle(self.at(left + 0.66 * width, top + 0.1 * height, right, bottom - 0.1 * height), None, red, 5)

    def paint_trace(self, left: float, middle: float, width: float, height: float, spiky: bool, ink: Colour) -> None:
        along = np.linspace(0, 1, 60)
        wave = np.sin(2 * np.pi * self.random.uniform(2, 5) * along + self.random.uniform(0, 6)) ** (7 if spiky else 1)
        points = self.size * np.stack([left + along * width, middle - wave * height], axis=1)
        self.draw.line(points.reshape(-1).tolist(), ink, 3)

    def paint_number(self, left: float, top: float, width: float, height: float, value: int, ink: Colour) -> None:
        """Write a number in digits of seven segments, `width` apart."""
        for place, digit in enumerate(str(value)):
            corner, span = np.array([left + 1.15 * width * place, top] * 2), np.array([0.8 * width, height] * 2)
            for segment in SEGMENTS[int(digit)]:
                self.draw.line(self.at(*(corner + span * ENDS[segment])), ink, max(2, int(0.16 * width * self.size)))

    def paint_lamps(self) -> None:
        lit = {"working": {0}, "off": set(), "damaged": {0 if self.random.random() < 0.7 else 2} if self.on else set(),
               "alarm": {int(self.random.integers(1, 3))} | ({0} if self.random.random() < 0.3 else set())}[self.state]
        for number, (x, y) in enumerate(self.design.lamps):
            shine, reach = LIT[number], 0.035
            colour = self.vary(shine, 20) if number in lit else self.vary(tuple(value // 4 + 20 for value in shine), 5)
            if number in lit:
                for ring in (2.4, 1.7):
                    self.disc(x, y, ring * reach, (*colour, 60))
            if self.design.shape == "round":
                self.disc(x, y, reach, colour, (40, 40, 40), 1)
            else:
                tall = reach if self.design.shape == "square" else 0.5 * reach
                self.draw.rectangle(self.at(x - 1.3 * reach, y - tall, x + 1.3 * reach, y + tall), colour, (40, 40, 40), 1)

    def pick_on_screen(self) -> np.ndarray:
        left, top, right, bottom = self.design.screen
        return self.random.uniform((left, top), (right, bottom))

    def crack(self) -> None:
        """A star of cracks in the glass."""
        middle = self.pick_on_screen()
        colour = (225, 228, 230) if self.random.random() < 0.7 else (12, 12, 12)
        for turn in self.random.uniform(0, 2 * np.pi) + np.pi / 3 * np.arange(self.random.integers(4, 8)):
            turns = turn + np.cumsum(self.random.normal(0, 0.35, 4))
            steps = 0.08 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            self.draw.line(self.at(*np.concatenate([[middle], middle + steps.cumsum(axis=0)]).reshape(-1)), colour, 2)

    def kill_pixels(self) -> None:
        """A black patch on the screen, and lines that no longer change."""
        left, top, right, bottom = self.design.screen
        turns = np.sort(self.random.uniform(0, 2 * np.pi, 7))
        corners = self.pick_on_screen() + self.random.uniform(0.08, 0.2, (7, 1)) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        self.draw.polygon(self.at(*corners.clip((left, top), (right, bottom)).reshape(-1)), (6, 6, 10))
        for x in self.random.uniform(left, right, 3):
            self.draw.line(self.at(x, top, x, bottom), self.vary((200, 60, 200), 60), 2)

    def break_corner(self) -> None:
        """A corner of the housing is gone."""
        x, y = self.random.integers(0, 2, 2)
        shape = self.random.uniform(0.16, 0.3) * np.array([(0, 0), (1, 0), (0.5, 0.35), (0.35, 0.7), (0, 1)])
        corner, inward = np.array([(0.05, 0.95)[x], (0.06, 0.94)[y]]), np.array([1 - 2 * x, 1 - 2 * y])
        self.draw.polygon(self.at(*(corner + inward * shape).reshape(-1)), (26, 22, 20))
