"""A plan in five sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from medlib.allocate.plan import Plan


#: A relative gap up to this is none.
PROVEN = 1e-6


def _write(amount: float) -> str:
    return f"{amount:,.0f}" if abs(amount) >= 20 or abs(amount - round(amount)) < 0.05 else f"{amount:,.1f}"


def explain_plan(plan: Plan, bound: float | None) -> list[str]:
    """Tell what is asked, what happens without a plan, what the plan does, what is left, and what binds."""
    posed = plan.posed
    weights = np.array([posed.shortage_weight[name] for name in posed.names])
    idle = np.tensordot(posed.weights, posed.idle_shortage, 1)
    before = float(idle.sum(axis=(0, 2)) @ weights)
    return [_tell_question(plan), _tell_idle(plan, idle, before), _tell_moves(plan), _tell_rest(plan, before, bound),
            _tell_prices(plan)]


def _tell_question(plan: Plan) -> str:
    posed = plan.posed
    span = f"from {posed.dates[0]:%Y-%m-%d} to {posed.dates[-1]:%Y-%m-%d}"
    scenarios = "" if len(posed.weights) == 1 else f", in {len(posed.weights)} scenarios"
    return (f"{len(posed.sites)} sites share {', '.join(posed.names)} over {len(posed.dates)} periods {span}, by "
            f"{len(posed.links)} links{scenarios}.")


def _tell_idle(plan: Plan, idle: np.ndarray, before: float) -> str:
    if before < 0.05:
        return "If nobody moves anything, no bed, staff or equipment is short."
    posed = plan.posed
    site = idle.sum(axis=(1, 2)).argmax()
    resource, period = np.unravel_index(idle[site].argmax(), idle[site].shape)
    return (f"If nobody moves anything and no surge opens, {_write(before)} weighted unit-days of beds, staff and equipment are "
            f"short, most at {posed.sites[site]} (worst: {_write(idle[site, resource, period])} {posed.names[resource]} on "
            f"{posed.dates[period]:%Y-%m-%d}).")


def _tell_status(plan: Plan) -> str:
    """The solver's own word; a plan that is not proven optimal says so, with its gap."""
    share = f"{100 * plan.gap:.2g} %"
    if plan.status != "Optimal":
        return f"not proven optimal: {plan.status.lower()}, another may be up to {share} better"
    return "optimal" if plan.gap <= PROVEN else f"optimal to within {share}"


def _tell_moves(plan: Plan) -> str:
    moves = plan.moves
    opened = float(plan.surge_units.sum())
    surge = f"opens {_write(opened)} surge unit-days" if opened > 0.05 else "opens no surge"
    if moves.empty:
        return f"The plan ({_tell_status(plan)}) moves nothing and {surge}."
    routes = moves.groupby(["origin", "destination"])["amount"].sum().sort_values(ascending=False, kind="stable")
    (origin, destination), most = routes.index[0], routes.iloc[0]
    amounts = ", ".join(f"{_write(amount)} {name}" for name, amount in moves.groupby("resource")["amount"].sum().items())
    kilometres = float((moves["amount"] * moves["distance_km"]).sum() / moves["amount"].sum())
    return (f"The plan ({_tell_status(plan)}) moves {amounts} over {len(routes)} routes, {_write(kilometres)} km on average, most "
            f"from {origin} to {destination} ({_write(most)}), and {surge}.")


def _tell_rest(plan: Plan, before: float, bound: float | None) -> str:
    after = plan.weighted_shortage
    share = f" ({100 * (after / before - 1):+.1f} %)" if before >= 0.05 and after <= before else ""
    limit = "" if bound is None else f"; no reallocation could go below {_write(bound)}"
    return f"It leaves {_write(after)} weighted unit-days short{share}{limit}."


def _tell_prices(plan: Plan) -> str:
    if not any(np.any(dual) for dual in plan.duals.values()):
        return "Nothing binds: no limit, and no unit more anywhere, would make the plan better."
    named = {name: float(np.abs(dual).sum()) for name, dual in plan.duals.items() if name in LIMITS and np.any(dual)}
    prices = plan.price_units()
    best = prices.iloc[0]
    words = (f"One more {best['resource']} at {best['site']} throughout would change the objective most, by "
             f"{_write(best['saves'])} to first order") if best["saves"] > 1e-6 else "No unit more anywhere would help"
    return words + (f"; of the limits, {LIMITS[max(named, key=named.get)]} binds most." if named
                    else "; no limit on moves binds.")


#: Rows that limit moves, in words.
LIMITS = {"day_budget": "the number of transfers a day", "site_budget": "the number of transfers of a site a day",
          "release": "what stockpiles release a day", "transport": "the kilometres a day",
          "all_transfers": "the number of transfers in all", "limit_transfers": "the number of transfers in all",
          "arriving": "that only arriving patients can be sent",
          "there": "that only patients who are there can be sent"}
