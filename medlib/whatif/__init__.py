"""The what-if page: what the controls say (`state`), models that answer at once (`live`, `race`, `weigh`), and the page itself (`page`)."""

from medlib.whatif.live import Answer, Live
from medlib.whatif.state import FAIRNESS, SCENARIOS, State, change_problem, read_factors
from medlib.whatif.weigh import share_demand, solve_weighed

__all__ = ["FAIRNESS", "SCENARIOS", "Answer", "Live", "State", "change_problem", "read_factors", "share_demand", "solve_weighed"]
