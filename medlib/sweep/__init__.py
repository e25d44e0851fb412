"""Many reports at once: a sweep's file becomes runs (`plan`), each a pure function (`task`), on an engine (`engines`), gathered (`conduct`)."""

from medlib.sweep.conduct import Summary, run_sweep
from medlib.sweep.engines import ENGINES, open_engine
from medlib.sweep.plan import Sweep, read_sweep

__all__ = ["ENGINES", "Summary", "Sweep", "open_engine", "read_sweep", "run_sweep"]
