"""Roll policies through what really happened, day by day, and compare them on the regret ladder.

Every policy begins a period by looking at that period's demand and capacity, then decides moves and surge, then the
period is settled. Nobody but perfect foresight sees later periods. All rungs share this clock and the same accounts.
"""

from medlib.simulate.ladder import RUNGS, bound_shortage, climb, tabulate_daily, tabulate_ladder
from medlib.simulate.policies import DRUG_RESERVE, do_nothing, follow, react, replan
from medlib.simulate.world import Orders, Policy, Record, State, count_stock, lead_periods, roll

__all__ = ["DRUG_RESERVE", "Orders", "Policy", "RUNGS", "Record", "State", "bound_shortage", "climb", "count_stock",
           "do_nothing", "follow", "lead_periods", "react", "replan", "roll", "tabulate_daily", "tabulate_ladder"]
