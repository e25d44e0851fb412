"""Roll policies through what really happened, day by day, and compare them on the regret ladder.

Every policy begins a period by looking at that period's demand and capacity, then decides moves and surge, then the
period is settled. Nobody but perfect foresight sees later periods. All rungs share this clock and the same accounts.
"""

from medlib.simulate.ladder import (RUNGS, SHORT_LADDER, bound_shortage, climb, judge_ladder, make_policy, tabulate_daily,
                                    tabulate_ladder)
from medlib.simulate.policies import CUSHION, DRUG_RESERVE, count_binding, do_nothing, follow, keep_cushion, react, replan
from medlib.simulate.view import View
from medlib.simulate.world import Orders, Policy, Record, State, count_stock, lead_periods, roll

__all__ = ["CUSHION", "DRUG_RESERVE", "Orders", "Policy", "RUNGS", "Record", "SHORT_LADDER", "State", "View", "bound_shortage", "climb",
           "count_binding", "count_stock", "do_nothing", "follow", "judge_ladder", "keep_cushion", "lead_periods", "make_policy", "react",
           "replan", "roll", "tabulate_daily", "tabulate_ladder"]
