"""The what-if page: controls on one side, the answer on the other."""

from __future__ import annotations

import asyncio
import base64
import html
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from IPython.display import Javascript, display

from medlib.errors import MedlibError
from medlib.report import REPORT
from medlib.whatif import picture
from medlib.whatif.live import WEIGHTS, Answer, Live, measure_point
from medlib.whatif.question import Question
from medlib.whatif.save import Saving, list_parameters
from medlib.whatif.state import FAIRNESS, SCENARIOS, State

#: Seconds in which further moves of the controls join the one that is being answered; and between two looks at a run.
GATHER, LOOK = 0.02, 0.5
STYLE, SCRIPT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))


class Page:
    """The page of one workspace.

    Parameters
    ----------
    question : Question
    workspace : str
        Folder of tables that the question was read from.
    target : str
        Notebook that a saved report ends with.

    Attributes
    ----------
    root : ipywidgets.Box
        What `show` displays.
    controls : dict of str to ipywidgets.Widget
        By name: capacity_<resource>, surge_factor, transfers_per_day, transfers_per_site_day, planning_occupancy, demand_scenario,
        demand_factor, fairness, fairness_weight.
    shown : Answer
        What is on the screen.
    seconds : dict of str to float
        What took how long in the last answer, drawing with it.
    """

    def __init__(self, question: Question, workspace: str, target: str = REPORT):
        self.question, self.workspace, self.target = question, workspace, target
        self.live, self.untouched = Live(question.posed, question.levels), State(question.posed.rules)
        #: For what nobody waits for: it works in a thread, one task at a time, so that controls are answered meanwhile.
        self.aside, self.turn = self.live.make_other(), threading.Lock()
        self.exceptions: dict[tuple[str, str], float] = {}
        self.points: dict[str, list[dict[str, float]]] = {}
        self.shown: Answer | None = None
        #: Unit-days short of a bar of the whole width: the most that the untouched plan has, or would have.
        self.full = 0.0
        self.seconds: dict[str, float] = {}
        self.saving: Saving | None = None
        #: Several controls are being set, and answered together.
        self.quiet = False
        self.task: asyncio.Task | None = None
        self.look: asyncio.Task | None = None
        self.controls = self._make_controls()
        self.status, self.sums, self.short, self.map, self.moves, self.frontier, self.saved, self.meaning, self.listed = (
            widgets.HTML() for _ in range(9))
        self.resource = widgets.Dropdown(options=question.posed.names, description="moves of", style={"description_width": "auto"})
        self.resource.observe(lambda _: self._draw_moves(), "value")
        self.root = self._lay_out()
        for control in self.controls.values():
            control.observe(self._follow_change, "value")
        self.show_answer()

    def show(self) -> None:
        """Display the page."""
        display(self.root, Javascript(f"{{{SCRIPT}}}"))

    # The controls

    def _make_controls(self) -> dict[str, widgets.Widget]:
        rules, names = self.question.posed.rules, self.question.posed.names
        kinds = self.question.posed.kinds
        say = {name: f"{name}{', deliveries' if kinds[name] == 'drug' else ''}" for name in names}
        made = {f"capacity_{name}": _slide(f"× {say[name]}", 1.0, 0.5, 1.5, 0.05) for name in names}
        made["surge_factor"] = _slide("× surge", 1.0, 0.0, 2.0, 0.1)
        for name, words in (("transfers_per_day", "moves a day"), ("transfers_per_site_day", "moves a day and site")):
            most = getattr(rules, name)
            known = bool(np.isfinite(most))
            made[name] = _slide(words if known else f"{words}: no limit", most if known else 0.0, 0.0, max(2 * most, 4.0) if known else 1.0, 1.0)
            made[name].disabled = not known
        made["planning_occupancy"] = _slide("planning occupancy", rules.planning_occupancy, 0.5, 1.0, 0.01)
        made["demand_scenario"] = _choose("demand", SCENARIOS)
        made["demand_factor"] = _slide("× demand", 1.0, 0.5, 1.5, 0.05)
        made["fairness"] = _choose("fairness", FAIRNESS)
        made["fairness_weight"] = _slide("its weight", 0.0, 0.0, 1.0, 0.05)
        return made

    def _lay_out(self) -> widgets.Box:
        posed, made = self.question.posed, self.controls
        site = widgets.Dropdown(options=[(self.question.names[site], site) for site in posed.sites], description="site", layout={"width": "auto"})
        resource = widgets.Dropdown(options=posed.names, description="resource")
        factor = widgets.BoundedFloatText(1.0, min=0.0, max=10.0, step=0.05, description="×")
        add, clear = _press("Set exception", "of one site from the factors above"), _press("Remove exceptions", "all of them")
        add.on_click(lambda _: self.set_exceptions({**self.exceptions, (site.value, resource.value): factor.value}))
        clear.on_click(lambda _: self.set_exceptions({}))
        reset, save = _press("Reset all", "every control as it was"), _press("Save as report", "a run in the background")
        reset.on_click(lambda _: self.reset())
        save.on_click(lambda _: self.save())
        groups = [("Capacity, times what is forecast", [*(made[f"capacity_{name}"] for name in posed.names), made["surge_factor"]]),
                  ("Exceptions of single sites", [site, resource, factor, widgets.HBox([add, clear]), self.listed]),
                  ("Rules", [made["transfers_per_day"], made["transfers_per_site_day"], made["planning_occupancy"]]),
                  ("Demand and fairness", [made["demand_scenario"], made["demand_factor"], made["fairness"], made["fairness_weight"], self.meaning]),
                  ("", [widgets.HBox([reset, save]), self.saved])]
        left = [part for title, parts in groups for part in ([widgets.HTML(f"<h3>{title}</h3>")] if title else []) + parts]
        right = [self.sums, self.short, widgets.HTML("<h3>Largest moves</h3>"), self.resource, self.moves, self.map,
                 widgets.HTML("<h3>What evenness costs</h3>"), self.frontier]
        columns = [_stack(left, "whatif-controls"), _stack(right, "whatif-answer")]
        split = widgets.Box(columns)
        split.add_class("whatif-split")
        self.status.add_class("whatif-status")
        return _stack([widgets.HTML(f"<style>{STYLE}</style>"), self.status, split], "whatif")

    def read_state(self, **other: object) -> State:
        """The state that the controls stand for, some of them with other values."""
        made = self.controls
        value = {name: made[name].value for name in made} | other
        factors = [("", name, value[f"capacity_{name}"]) for name in self.question.posed.names if value[f"capacity_{name}"] != 1.0]
        factors += [(site, resource, factor) for (site, resource), factor in self.exceptions.items()]
        limits = {name: value[name] for name in ("transfers_per_day", "transfers_per_site_day", "planning_occupancy") if not made[name].disabled}
        rest = ("surge_factor", "demand_scenario", "demand_factor", "fairness", "fairness_weight")
        return State(replace(self.untouched.rules, **limits), tuple(factors), **{name: value[name] for name in rest})

    def set_exceptions(self, exceptions: dict[tuple[str, str], float]) -> None:
        """Let single sites' capacity be other than the resource's factor says."""
        self.exceptions = exceptions
        named = ((self.question.names.get(site, site), resource, factor) for (site, resource), factor in exceptions.items())
        rows = "".join(f"<li>{html.escape(site)}, {html.escape(resource)}: × {factor:g}</li>" for site, resource, factor in named)
        self.listed.value = f"<ul>{rows}</ul>" if rows else ""
        self._follow_change()

    def reset(self) -> None:
        """Bring every control back to what the workspace says."""
        state, self.quiet = self.untouched, True
        for name, control in self.controls.items():
            if not control.disabled:
                control.value = getattr(state, name) if hasattr(state, name) else getattr(state.rules, name, 1.0)
        self.quiet = False
        self.set_exceptions({})

    # The answer

    def _follow_change(self, *_) -> None:
        """Answer once further moves are gathered; without a running loop, at once."""
        if self.quiet:
            return
        self._stop_tracing()
        self.tell("Solving …", "busy")
        _start(self, "task", self._answer_soon, self.show_answer)

    async def _answer_soon(self) -> None:
        await asyncio.sleep(GATHER)
        self.show_answer()

    def _stop_tracing(self) -> None:
        # A task that answers, and so starts the next, is not to be cancelled by itself.
        if self.task and self.task is not _name_task():
            self.task.cancel()
        self.task = None
        self.aside.stop.set()

    def show_answer(self) -> None:
        """Answer the controls' state and show it; an error in one sentence, beside the last answer."""
        begin = time.perf_counter()
        try:
            self.shown = self.live.answer(self.read_state())
        except MedlibError as error:
            self.tell(str(error), "error")
            return
        drawn = time.perf_counter()
        self.points = {}
        self._draw()
        end = time.perf_counter()
        self.seconds = {**self.shown.seconds, "draw": end - drawn}
        state = self.shown.state
        self.meaning.value = (f"<p class='note'>Demand: {SCENARIOS[state.demand_scenario][1]}.</p><p class='note'>Fairness: "
                              f"{FAIRNESS[state.fairness]}.</p>")
        # Beside the sliders on a wide screen, above them on a narrow one: whoever slides sees what it does.
        self.tell(f"{self.shown.shortage:,.1f} short with the plan, {self.shown.shortage_before:,.1f} without. Answered in {1000 * (end - begin):.0f} ms"
                  f"{'; data are synthetic' if self.question.synthetic else ''}.", "ready")
        _start(self, "task", self._trace_soon, None)

    def _draw(self) -> None:
        answer = self.shown
        self.full = self.full or max(1.0, *answer.before.sum(axis=0), *answer.after.sum(axis=0))
        self.sums.value, self.short.value = picture.tell_sums(answer), picture.draw_shortage(answer, self.full)
        self._draw_moves()
        self._draw_frontier(tracing=True)

    def _draw_moves(self) -> None:
        self.moves.value = picture.tabulate_moves(self.shown, self.question.names, self.resource.value)
        self.map.value = picture.draw_map(self.shown, self.question.sites, self.question.names, self.resource.value)

    def _draw_frontier(self, tracing: bool) -> None:
        answer = self.shown
        here = measure_point(answer.lack, answer.size, answer.posed)
        self.frontier.value = picture.draw_frontier(list(self.points.values()), here, answer.state.fairness, tracing)

    async def _trace_soon(self) -> None:
        """Settle a plan that is no vertex, trace the frontier, and try what may be asked next, so that the solver knows where to start from."""
        state = self.shown.state
        if not self.shown.vertex:
            await asyncio.to_thread(self.live.wait)
            self.shown = self.live.answer(state)
            self._draw()
        for weight in WEIGHTS:
            self.show_point(weight, await asyncio.to_thread(self._try_aside, self.aside.trace_point, state, weight))
        for near in self.list_neighbours():
            await asyncio.to_thread(self._try_aside, self.aside.explore, near)

    def _try_aside(self, ask: Callable, *arguments: object) -> object:
        """What `ask` answers, or the error in its place; a thread that nobody waits for any more ends before the next begins."""
        with self.turn:
            self.aside.stop.clear()
            try:
                return ask(*arguments)
            except MedlibError as error:
                return error

    def trace_point(self, state: State, weight: float) -> None:
        """Add a point to the frontier, and say whether it is complete."""
        self.show_point(weight, self._try_aside(self.aside.trace_point, state, weight))

    def show_point(self, weight: float, point: dict[str, float] | MedlibError) -> None:
        """Draw the frontier with a further point."""
        if isinstance(point, MedlibError):
            self.tell(f"The frontier could not be traced: {point}", "error")
        else:
            self.points[weight] = point
        self._draw_frontier(tracing=weight != WEIGHTS[-1])

    def list_neighbours(self) -> list[State]:
        """States that one control makes of the controls' state: every choice, then five values of each slider."""
        free = {name: control for name, control in self.controls.items() if not control.disabled}
        tried = {name: control.options for name, control in free.items() if isinstance(control, widgets.Dropdown)}
        tried |= {name: np.linspace(control.min, control.max, 5).tolist() for name, control in free.items() if name not in tried}
        return [self.read_state(**{name: value}) for name, values in tried.items() for value in values if value != free[name].value]

    def tell(self, words: str, kind: str) -> None:
        """Say what goes on, for screen readers too; kind: busy, ready, error."""
        self.status.value = f"<div role='status' aria-live='polite' class='{kind}'>{html.escape(words)}</div>"

    # The report

    def save(self, run_name: str = "") -> None:
        """Begin a run with the parameters that the controls stand for; one at a time."""
        if self.saving and self.saving.going:
            return
        try:
            self.saving = Saving(list_parameters(self.workspace, self.read_state()), self.target, run_name)
        except MedlibError as error:
            self.saved.value = f"<p role='alert'>{html.escape(str(error))}</p>"
            return
        _start(self, "look", self._watch, None)

    async def _watch(self) -> None:
        while self.saving.going:
            self.show_saving()
            await asyncio.sleep(LOOK)
        self.show_saving()

    def show_saving(self) -> None:
        """Say how far the run is; at its end, offer the report, which the page carries itself: no server needs to give out files."""
        saving, link = self.saving, ""
        page = saving.folder / "report.html" if saving.folder else None
        if page and page.is_file():
            packed = base64.b64encode(page.read_bytes()).decode()
            link = (f" <a download='{html.escape(saving.folder.name)}.html' href='data:text/html;base64,{packed}'>Download the report</a>, "
                    f"or open <code>reports/{html.escape(saving.folder.name)}/report.html</code>.")
        self.saved.value = f"<p role='status'>{html.escape(saving.words)}{link}</p>"


def _slide(words: str, value: float, least: float, most: float, step: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(value, min=min(least, value), max=max(most, value), step=step, description=words, tooltip=words, continuous_update=False,
                               readout_format=".2f" if step < 1 else ".0f", style={"description_width": "150px"}, layout={"width": "auto"})


def _choose(words: str, options: dict[str, object]) -> widgets.Dropdown:
    return widgets.Dropdown(options=list(options), description=words, style={"description_width": "150px"}, layout={"width": "auto"})


def _press(words: str, about: str) -> widgets.Button:
    return widgets.Button(description=words, tooltip=f"{words}: {about}", layout={"width": "auto"})


def _stack(parts: list[widgets.Widget], name: str) -> widgets.VBox:
    stack = widgets.VBox(parts)
    stack.add_class(name)
    return stack


def _name_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _start(page: Page, name: str, later: Callable, at_once: Callable | None) -> None:
    """Start a task in the running loop; where none runs, do at once what there is to do then."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        if at_once:
            at_once()
        return
    setattr(page, name, loop.create_task(later()))
