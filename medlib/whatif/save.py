"""What is on the screen as a report: a run of its own in the background."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

from medlib import tables
from medlib.errors import MedlibError
from medlib.report import REPORT, Notebook, RunFailed, start_run
from medlib.whatif.state import State


def list_parameters(workspace: str | Path, state: State) -> dict[str, object]:
    """List a run's parameters for a state: those of the run that made the workspace, and those that the controls stand for."""
    manifest = (tables.PROJECT / workspace).parent / "run.json"
    before = json.loads(manifest.read_text(encoding="utf-8"))["parameters"] if manifest.is_file() else {}
    changed = {name: value for name, value in state.parameters.items() if not isinstance(value, float) or math.isfinite(value)}
    return before | changed


class Saving:
    """A run in a thread.

    Parameters
    ----------
    parameters : dict
        As from `list_parameters`.
    target : str
        The notebook that the run ends with.
    run_name : str
        Name of the run; empty: made from dataset and time.

    Attributes
    ----------
    folder : pathlib.Path or None
        The run's folder, once it is complete.
    words : str
        One sentence: what goes on, or why it ended.
    """

    def __init__(self, parameters: dict[str, object], target: str = REPORT, run_name: str = ""):
        self.folder: Path | None = None
        self.words = "The report begins: its notebooks run anew with what the controls say."
        self.thread = threading.Thread(target=self._run, args=(parameters, target, run_name), daemon=True)
        self.thread.start()

    @property
    def going(self) -> bool:
        """The run goes on."""
        return self.thread.is_alive()

    def _run(self, parameters: dict[str, object], target: str, run_name: str) -> None:
        try:
            self.folder = start_run(given=parameters, targets=[target], run_name=run_name, progress=self._follow)
            self.words = "The report is complete."
        except (MedlibError, RunFailed) as error:
            self.words = f"The report failed: {' '.join(str(error).splitlines())}"
        except Exception as error:  # nobody else would hear of it: the thread ends here
            self.words = f"The report failed: {type(error).__name__}: {error}"

    def _follow(self, notebook: Notebook, position: int, count: int, done: int, cells: int) -> None:
        self.words = f"The report is being made: notebook {position + 1} of {count} ({notebook.title}), cell {done} of {cells}."
