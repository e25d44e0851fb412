"""Fair plans: each criterion by hand, by enumeration and against a general convex solver; then what holds on random problems."""

import itertools
from dataclasses import replace

import cvxpy as cp
import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

matplotlib.use("Agg")

from medlib import plots
from medlib.allocate import Problem, Rules, solve
from medlib.allocate.equity import count_service, measure_equity, measure_gini, tabulate_units
from medlib.allocate.fairness import CRITERIA, Sharing, solve_fair
from medlib.allocate.frontier import count_withheld, trace_frontier
from medlib.allocate.welfare import Welfare
from medlib.blocks.hand import ByHand
from medlib.blocks.matrix import assemble, list_columns, list_rows
from medlib.errors import MedlibError

FOUND = (Phase.explicit, Phase.reuse, Phase.generate)


def pose(kind, demand, capacity, links, weights=(1.0,), tiers=None, **rules):
    """One resource; demand {site: (scenarios, periods) or a number}, capacity {site: a number}, links (from, to, km, most a day)."""
    sites = tuple(capacity)
    periods = np.shape(next(iter(demand.values())))[-1:] or (1,)
    needed = np.stack([np.broadcast_to(demand.get(site, 0.0), (len(weights), *periods)) for site in sites], axis=1)[:, :, None]
    there = np.stack([np.broadcast_to(float(units), periods) for units in capacity.values()])[:, None]
    links = pd.DataFrame([(*link, *(10.0, np.inf)[len(link) - 2:]) for link in links],
                         columns=["origin", "destination", "distance_km", "moves_per_day"]).assign(lead_days=0.0, cost=0.0)
    resources = pd.DataFrame({"resource": ["thing"], "kind": [kind], "unit": ["unit"]})
    return Problem(sites=sites, resources=resources, dates=pd.date_range("2024-05-06", periods=periods[0]), demand=needed.astype(float),
                   weights=np.array(weights), capacity=there, surge=np.zeros(there.shape), surge_lead_days=np.zeros((len(sites), 1)),
                   links=links, rules=Rules.without_limits(**rules), **({} if tiers is None else {"tiers": tiers}))


def share_out(units, need, most=None, km=None, **rules):
    """A depot with so many devices, and sites that have none: need {site: devices}, most {site: a day}, km {site: distance}."""
    links = [("depot", site, (km or {}).get(site, 10.0), (most or {}).get(site, np.inf)) for site in need]
    return pose("equipment", need, {"depot": units, **dict.fromkeys(need, 0.0)}, links, **rules)


def draw_problem(seed):
    """Some sites with beds, scenarios and periods, of which some cannot be helped much."""
    random = np.random.default_rng(seed)
    sites, scenarios, periods = "ABCDE"[:random.integers(3, 6)], random.integers(1, 4), random.integers(1, 4)
    demand = {site: random.integers(4, 30, (scenarios, periods)) for site in sites}
    pairs = [pair for pair in itertools.permutations(sites, 2) if random.random() < 0.7] or [("A", "B")]
    chance = random.integers(1, 5, scenarios)
    return pose(random.choice(["bed", "equipment"]), demand, {site: random.integers(2, 25) for site in sites},
                [(*pair, random.integers(10, 90)) for pair in pairs], weights=chance / chance.sum(),
                transfers_per_day=float(random.integers(2, 20)))


def serve(plan):
    return plan.service.to_dict()


# --- Max-min ---------------------------------------------------------------------------------------------------------

def test_max_min_leaves_behind_only_whom_nobody_can_help_and_evens_out_the_rest():
    plan = solve_fair(share_out(11, {"A": 10, "B": 10, "C": 20}, most={"A": 2}), "max_min", tolerance=1e-7)
    assert serve(plan) == pytest.approx({"A": 0.2, "B": 0.3, "C": 0.3}, abs=1e-5)
    assert plan.programs <= 3


def test_max_min_goes_on_above_a_tie():
    """A and B tie at a half for different reasons; C has what neither can use."""
    posed = pose("equipment", {"A": 8, "B": 10, "C": 10, "D": 10}, {"A": 4, "B": 5, "C": 9, "D": 3}, [("C", "D", 10, 3)])
    plan = solve_fair(posed, "max_min", tolerance=1e-7)
    assert serve(plan) == pytest.approx({"A": 0.5, "B": 0.5, "C": 0.6, "D": 0.6}, abs=1e-5)
    assert plan.programs <= 3


@pytest.mark.parametrize("units, need, most", [(9, (6, 4, 10), (9, 9, 9)), (9, (6, 4, 10), (1, 9, 9)), (13, (5, 7, 9), (2, 4, 9)),
                                               (7, (3, 8, 5), (9, 9, 1)), (30, (6, 4, 10), (9, 3, 9))])
def test_max_min_is_no_worse_than_any_enumerated_division_and_next_to_the_best(units, need, most):
    step = 0.125
    grids = [np.arange(0, min(wanted, limit) + step / 2, step) for wanted, limit in zip(need, most)]
    given_out = np.stack(np.meshgrid(*grids), axis=-1).reshape(-1, 3)
    shares = np.sort(given_out[given_out.sum(axis=1) <= units + 1e-9] / np.array(need), axis=1)
    best = shares[np.lexsort(shares.T[::-1])[-1]]
    posed = share_out(units, dict(zip("ABC", need)), most=dict(zip("ABC", most)))
    found = np.sort(solve_fair(posed, "max_min", tolerance=1e-7).service.to_numpy())
    assert precedes(best, found, 1e-5)
    assert found == pytest.approx(best, abs=2 * step / min(need))


def precedes(lower, upper, within):
    """Sorted shares are lexicographically no better."""
    differs = np.flatnonzero(np.abs(upper - lower) > within)
    return not len(differs) or upper[differs[0]] > lower[differs[0]]


def test_groups_are_even_while_their_sites_need_not_be():
    posed = share_out(12, {"A": 10, "B": 10, "C": 20}, most={"A": 2})
    groups = pd.Series({"A": "north", "B": "north", "C": "south", "depot": "south"})
    plan = solve_fair(posed, "max_min", groups=groups, tolerance=1e-7)
    assert serve(plan) == pytest.approx({"north": 0.3, "south": 0.3}, abs=1e-5)
    assert count_service(plan)["short"]["A"] >= 8 - 1e-6


def test_nobody_is_made_equal_by_sending_patients_where_nobody_is_counted():
    posed = pose("bed", {"A": 10.0}, {"A": 8, "empty": 0}, [("A", "empty")])
    plan = solve_fair(posed, "max_min")
    assert serve(plan) == pytest.approx({"A": 0.8}) and plan.transfers == pytest.approx(0.0, abs=1e-6)


# --- Welfare ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 7.0, 20.0])
def test_the_equal_share_has_the_loss_and_tangents_lie_below_it(alpha):
    welfare, lack = Welfare(alpha), np.linspace(0, 1.1, 56)
    assert [welfare.equalise(loss) for loss in welfare.lose(lack)] == pytest.approx(1 - lack, abs=1e-6)
    assert (welfare.lose(lack + 1e-7) - welfare.lose(lack - 1e-7)) / 2e-7 == pytest.approx(welfare.slope(lack), rel=1e-3)
    points = np.array([0.0, 0.13, 0.3])[:3 if alpha else 1]
    width, slope = welfare.cut(points)
    below = np.clip(lack[:, None] - np.concatenate([[0.0], np.cumsum(width)[:-1]]), 0.0, width) @ slope
    assert (below <= welfare.lose(lack) + 1e-9).all()
    assert np.interp(points, lack, below) == pytest.approx(welfare.lose(points), rel=0.02, abs=1e-3)


def test_proportional_shares_by_hand():
    """Two near sites and a far one under a budget of kilometres: the logarithm divides the budget in three equal parts."""
    posed = share_out(99, {"A": 10, "B": 10, "C": 10}, km={"A": 5.0, "B": 5.0, "C": 10.0}, transport_km_per_day=100.0)
    plan = solve_fair(posed, "proportional", tolerance=1e-7)
    assert serve(plan) == pytest.approx({"A": 2 / 3, "B": 2 / 3, "C": 1 / 3}, abs=2e-3)
    assert plan.error <= 1e-7


def test_the_price_of_fairness_meets_its_bounds_of_2011():
    """Bertsimas, Farias and Trichakis: at most 1 - 4n/(n+1)^2 for max-min, met here, and 1 - (2 sqrt(n) - 1)/n for proportional."""
    posed = share_out(99, {"A": 10, "B": 10, "C": 10}, km={"A": 5.0, "B": 5.0, "C": 10.0}, transport_km_per_day=100.0)
    most, proportional, even = (solve_fair(posed, name, tolerance=1e-7).service.sum()
                                for name in ("utilitarian", "proportional", "max_min"))
    assert most == pytest.approx(2.0)
    assert 1 - even / most == pytest.approx(1 - 12 / 16, abs=1e-5)
    assert 1 - proportional / most == pytest.approx(1 / 6, abs=1e-3) and 1 / 6 < 1 - (2 * np.sqrt(3) - 1) / 3


def maximise(posed, alpha, sizes=None):
    """The same feasible plans in the hands of a general convex solver: the welfare-optimal services."""
    sharing = Sharing(posed, sizes=sizes)
    low, high, _, _ = list_columns(sharing.lp, hand := ByHand(sharing.lp))
    row_low, row_high = list_rows(sharing.lp, hand)
    matrix, column = assemble(sharing.lp, hand), cp.Variable(len(low))
    rows = matrix @ column
    bounds = [part[np.isfinite(limit)] * sign >= limit[np.isfinite(limit)] * sign for part, limit, sign in (
        (column, low, 1), (column, high, -1), (rows, row_low, 1), (rows, row_high, -1)) if np.isfinite(limit).any()]
    service = 1 - cp.multiply(column[sharing.lack.index[sharing.fair]], 1 / sharing.need[sharing.fair])
    utility = cp.log(service) if alpha == 1 else cp.power(service, 1 - alpha) / (1 - alpha)
    cp.Problem(cp.Maximize(sharing.size[sharing.fair] @ utility), bounds).solve(solver=cp.CLARABEL)
    return sharing, np.asarray(service.value)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_alpha_fair_is_within_its_stated_error_of_a_general_solver(seed, alpha):
    posed = draw_problem(seed)
    sizes = None if seed % 2 else pd.Series(np.arange(2.0, 2 + len(posed.sites)), posed.sites)
    sharing, best = maximise(posed, alpha, sizes)
    welfare, plan = Welfare(alpha), solve_fair(posed, "alpha_fair", alpha=alpha, sizes=sizes, tolerance=1e-4)
    ours, theirs = (welfare.equalise(welfare.lose(1 - np.asarray(service)) @ sharing.size[sharing.fair])
                    for service in (plan.service, best))
    assert 0 <= plan.error <= 1e-4
    assert theirs - plan.error - 2e-6 <= ours <= theirs + 2e-6


def test_alpha_zero_counts_sums_and_a_large_alpha_comes_near_max_min():
    posed = draw_problem(3)
    least = solve(posed, ("shortage", "cost")).weighted_shortage
    assert solve_fair(posed, "alpha_fair", alpha=0.0).weighted_shortage == pytest.approx(least, abs=1e-4)
    worst = [solve_fair(posed, "alpha_fair", alpha=alpha).service.min() for alpha in (0.0, 1.0, 20.0)]
    highest = solve_fair(posed, "max_min").service.min()
    assert worst[0] - 1e-3 <= worst[1] <= worst[2] + 1e-3 <= highest + 2e-3
    assert highest - worst[2] < 0.1 * (highest - worst[0])


# --- Gini ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cap", [0.5, 0.25, 0.1, 0.0])
def test_a_gini_cap_is_kept_by_withholding_where_nothing_else_helps(cap):
    """A can get 2 of 10, B all it needs: B goes short of s until (8 - s) / 2 <= cap (8 + s)."""
    plan = solve_fair(share_out(12, {"A": 10, "B": 10}, most={"A": 2}), "gini_cap", gini_cap=cap)
    withheld = 8 * (1 - 2 * cap) / (1 + 2 * cap)
    assert count_service(plan)["short"].to_dict() == pytest.approx({"depot": 0, "A": 8, "B": withheld}, abs=1e-4)
    # What is withheld stays in the depot: moves alone show no refusal, but the units were there to be sent.
    assert plan.weighted_shortage == pytest.approx(8 + withheld, abs=1e-4)


def test_what_is_withheld_at_the_bedside_is_counted():
    posed = pose("bed", {"A": 10.0, "B": 10.0}, {"A": 6, "B": 10}, [])
    plan = solve_fair(posed, "gini_cap", gini_cap=0.0)
    assert plan.weighted_shortage == pytest.approx(8.0, abs=1e-4)
    assert count_withheld(plan) == pytest.approx(4.0, abs=1e-4)
    assert count_withheld(solve_fair(posed, "max_min")) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("cap", [0.3, 0.15, 0.05])
def test_gini_cap_is_no_worse_than_any_enumerated_division_and_next_to_the_best(cap):
    need, most, step = np.array([6.0, 4.0, 10.0]), (1.0, 3.0, 10.0), 0.125
    grids = [np.arange(wanted - limit, wanted + step / 2, step) for wanted, limit in zip(need, most)]
    short = np.stack(np.meshgrid(*grids), axis=-1).reshape(-1, 3)
    short = short[(need.sum() - short.sum(axis=1)) <= 10 + 1e-9]
    apart = sum(np.abs(short[:, one] * need[two] - short[:, two] * need[one]) for one, two in itertools.combinations(range(3), 2))
    allowed = short[apart <= cap * need.sum() * short.sum(axis=1) + 1e-9]
    plan = solve_fair(share_out(10, dict(zip("ABC", need)), most=dict(zip("ABC", most))), "gini_cap", gini_cap=cap)
    least = allowed.sum(axis=1).min()
    assert least - 4 * step <= plan.weighted_shortage <= least + 1e-5
    units = count_service(plan).iloc[1:]
    assert measure_gini(units["short"], units["need"]) <= cap + 1e-6


def test_the_cap_counts_persons_where_sizes_are_populations():
    posed = share_out(12, {"A": 10, "B": 10})
    persons = pd.Series({"A": 1e5, "B": 3e5, "depot": 1.0})
    plan = solve_fair(posed, "gini_cap", gini_cap=0.0, sizes=persons)
    assert count_service(plan)["short"][["A", "B"]].to_dict() == pytest.approx({"A": 2.0, "B": 6.0}, abs=1e-4)


def test_a_cap_that_the_rules_forbid_is_said_in_one_sentence():
    posed = pose("bed", {"A": 10.0, "B": 10.0}, {"A": 6, "B": 10}, [], protect_sites=True)
    with pytest.raises(MedlibError, match=r"^No plan within the rules .* gini_cap must be larger; got 0\.1\.$"):
        solve_fair(posed, "gini_cap", gini_cap=0.1)


# --- Least service and tiers -----------------------------------------------------------------------------------------

def test_minimum_service_is_kept_and_otherwise_told_what_is_possible():
    posed = share_out(11, {"A": 10, "B": 10, "C": 20}, most={"A": 2}, km={"B": 1.0, "C": 90.0})
    plan = solve_fair(posed, "minimum_service", least_share=0.2)
    assert serve(plan) == pytest.approx({"A": 0.2, "B": 0.5, "C": 0.2}, abs=1e-5)
    with pytest.raises(MedlibError, match=r"least_share must be at most 0\.200; got 0\.5\.$"):
        solve_fair(posed, "minimum_service", least_share=0.5)
    with pytest.raises(MedlibError, match=r"lower by 0\.167 for every unit; got 0\.6\.$"):
        solve_fair(posed, "minimum_service", least_share=pd.Series({"B": 0.6, "C": 0.5}))
    asked = solve_fair(posed, "minimum_service", least_share=pd.Series({"C": 0.45}))
    assert asked.service["C"] == pytest.approx(0.45, abs=1e-5) and asked.weighted_shortage == pytest.approx(29.0, abs=1e-4)


def test_whole_units_keep_a_least_service_too():
    posed = share_out(11, {"A": 10, "B": 10, "C": 20}, integer=True)
    plan = solve_fair(posed, "minimum_service", least_share=0.25)
    given_out = plan.moves.groupby("destination")["amount"].sum()
    assert np.allclose(given_out, given_out.round()) and (given_out[["A", "B", "C"]] >= [3, 3, 5]).all()


def test_tiers_serve_groups_in_their_order():
    plan = solve_fair(share_out(25, {"A": 10, "B": 10, "C": 20}), "tiers", order=["C", "A"])
    assert serve(plan) == pytest.approx({"A": 0.5, "B": 0.0, "C": 1.0}, abs=1e-5)


def test_tiers_serve_patients_in_the_problems_order():
    """Weights alone see no reason to move; the order does: five of the first tier at A before five of the second at B."""
    tiers = pd.DataFrame({"resource": "thing", "tier": [1, 2], "share": [0.5, 0.5], "weight": [1.0, 1.0]})
    posed = pose("equipment", {"A": 10.0, "B": 10.0}, {"A": 0, "B": 10}, [("B", "A")], tiers=tiers)
    assert solve_fair(posed).transfers == pytest.approx(0.0, abs=1e-6)
    assert solve_fair(posed, "tiers").transfers == pytest.approx(5.0, abs=1e-4)


# --- What holds for all ----------------------------------------------------------------------------------------------

def judge(name, plan):
    """What each criterion would have large; for Gini and least service: the shortage within the bound, turned round."""
    share = plan.service.to_numpy()
    need = count_service(plan)["need"]
    size = (need[need > 0] / need.sum()).to_numpy()
    return {"max_min": share.min(), "proportional": Welfare(1.0).equalise(Welfare(1.0).lose(1 - share) @ size),
            "alpha_fair": Welfare(2.0).equalise(Welfare(2.0).lose(1 - share) @ size)}.get(name, -plan.weighted_shortage)


@settings(max_examples=15, deadline=None, phases=FOUND, derandomize=True)
@given(st.integers(0, 10_000))
def test_every_criterion_is_best_by_its_own_measure_and_max_min_lexicographically(seed):
    posed = draw_problem(seed)
    usual = solve_fair(posed)
    units = count_service(usual)
    cap = 0.7 * measure_gini(units["short"], units["need"])
    plans = {name: solve_fair(posed, name, gini_cap=cap, least_share=float(usual.service.min()), order=["B", "A"], tolerance=1e-6)
             for name in CRITERIA}
    for name in ("max_min", "proportional", "alpha_fair"):
        for other in plans.values():
            assert judge(name, plans[name]) >= judge(name, other) - 1e-5
        assert count_withheld(plans[name]) < 1e-3
    assert all(plan.weighted_shortage >= usual.weighted_shortage - 1e-4 for plan in plans.values())
    assert plans["minimum_service"].weighted_shortage == pytest.approx(usual.weighted_shortage, abs=1e-3)
    assert all(precedes(np.sort(plan.service), np.sort(plans["max_min"].service), 1e-5) for plan in plans.values())
    assert plans["tiers"].service["B"] == max(plan.service["B"] for plan in plans.values()) or (
        plans["tiers"].service["B"] == pytest.approx(max(plan.service["B"] for plan in plans.values()), abs=1e-5))


@settings(max_examples=10, deadline=None, phases=FOUND, derandomize=True)
@given(st.integers(0, 10_000))
def test_among_equally_fair_plans_the_cheapest_is_taken(seed):
    """Bounding every unit by the max-min plan's services, nothing is cheaper."""
    posed = draw_problem(seed)
    plan = solve_fair(posed, "max_min")
    again = solve_fair(posed, "minimum_service", least_share=plan.service - 1e-7, minimise="cost")
    assert plan.parts["cost"].sum() <= again.parts["cost"].sum() * (1 + 1e-4) + 0.1


@pytest.mark.parametrize("criterion", CRITERIA)
def test_without_shortage_or_without_demand_nothing_happens(criterion):
    for need in ({"A": 3.0, "B": 2.0}, {"A": 0.0, "B": 0.0}):
        posed = pose("bed", need, {"A": 5, "B": 5}, [("A", "B")])
        plan = solve_fair(posed, criterion, least_share=1.0, order=["A"])
        assert plan.weighted_shortage == 0.0 and plan.moves.empty
        assert list(plan.service) == [1.0] * sum(amount > 0 for amount in need.values())


@pytest.mark.parametrize("settings, words", [
    (dict(criterion="nice"), "criterion must be one of utilitarian"),
    (dict(criterion="alpha_fair", alpha=21.0), r"alpha must lie in \[0, 20\]"),
    (dict(criterion="max_min", tolerance=0.0), "tolerance must be above 0"),
    (dict(criterion="gini_cap", gini_cap=1.5), r"gini_cap must lie in \[0, 1\]"),
    (dict(criterion="minimum_service", least_share=1.2), "at most 1; got 1.2"),
    (dict(criterion="minimum_service", least_share=pd.Series({"Z": 0.5})), "least_share must name units, such as depot"),
    (dict(criterion="tiers"), "order of units, or a problem with the table tiers"),
    (dict(criterion="tiers", order=["Z"]), "order must name units"),
    (dict(groups=pd.Series({"A": "x", "B": "x"})), "it has none for 'depot'"),
    (dict(sizes=pd.Series({"A": 1.0, "B": 0.0, "depot": 1.0})), "sizes must be above 0 for every site; got 0.0 for 'B'"),
])
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(MedlibError, match=words):
        solve_fair(share_out(3, {"A": 4, "B": 5}), **settings)


@pytest.mark.parametrize("criterion", ["max_min", "proportional", "alpha_fair"])
def test_whole_units_are_refused_where_the_criterion_needs_fractions(criterion):
    with pytest.raises(MedlibError, match=f"^{criterion} must plan in fractions"):
        solve_fair(share_out(3, {"A": 4, "B": 5}, integer=True), criterion)


# --- Measures --------------------------------------------------------------------------------------------------------

def test_gini_by_hand_by_pairs_and_at_its_ends():
    amounts, sizes = np.array([6.0, 2.0, 0.0, 5.0]), np.array([30.0, 50.0, 20.0, 0.0])
    pairs = sum(abs(amounts[i] * sizes[j] - amounts[j] * sizes[i]) for i, j in itertools.combinations(range(3), 2))
    assert measure_gini(amounts, sizes) == pytest.approx(pairs / (8.0 * 100.0))
    assert measure_gini(sizes, sizes) == pytest.approx(0.0)
    assert measure_gini(np.array([0.0, 0.0, 7.0]), np.array([45.0, 45.0, 10.0])) == pytest.approx(0.9)
    assert measure_gini(np.zeros(3), np.ones(3)) == 0.0


SITES = pd.DataFrame({"site": ["A", "B", "C", "T"], "region": ["n", "n", "s", "s"], "population": [1e5, 3e5, 2e5, 1e3]})
NEED = pd.Series({"A": 100.0, "B": 300.0, "C": 200.0, "T": 1.0})
SHORT = pd.Series({"A": 20.0, "B": 15.0, "C": 0.0, "T": 0.9})


def test_equity_over_sites_and_groups_by_hand():
    found = measure_equity(SHORT, NEED, SITES, ["site", "region"])
    assert found.loc["site", ["worst", "units"]].tolist() == ["A", 4]  # T is worse off, and too small to say so
    assert found["worst_service"].to_dict() == pytest.approx({"site": 0.8, "region": 1 - 35 / 400})
    assert found["ratio"].to_dict() == pytest.approx({"site": 0.2 / 0.001, "region": (35 / 400) / (0.9 / 201)})
    assert found["spread"].to_dict() == pytest.approx({"site": 0.2, "region": 35 / 400 - 0.9 / 201})
    assert found["short_per_100"].tolist() == pytest.approx([100 * 35.9 / 601] * 2)
    assert found["short_per_100k"].tolist() == pytest.approx([1e5 * 35.9 / 601e3] * 2)
    assert found.loc["region", "gini_demand"] == pytest.approx(abs(35 * 201 - 0.9 * 400) / (35.9 * 601))
    assert found.loc["region", "gini_population"] == pytest.approx(abs(35 * 201e3 - 0.9 * 400e3) / (35.9 * 601e3))


def test_units_are_tabulated_by_name_not_by_position():
    units = tabulate_units(SHORT.iloc[::-1], NEED, SITES.iloc[[2, 0, 3, 1]], "region")
    assert units.loc["n", ["sites", "need", "short", "population"]].tolist() == [2, 400.0, 35.0, 4e5]
    assert units.loc["n", "service"] == pytest.approx(1 - 35 / 400) and units.loc["n", "short_per_100k"] == pytest.approx(8.75)


def test_measures_do_without_population_and_say_what_groups_need():
    bare = SITES.drop(columns="population")
    found = measure_equity(SHORT, NEED, bare)
    assert found[["short_per_100k", "gini_population"]].isna().all(axis=None) and found["gini_demand"].notna().all()
    with pytest.raises(MedlibError, match="must have the column 'deprivation'"):
        measure_equity(SHORT, NEED, SITES, "deprivation")
    with pytest.raises(MedlibError, match="missing for 'C'"):
        measure_equity(SHORT, NEED, SITES.assign(deprivation=[1, 2, None, 1]), "deprivation")


def test_service_counts_demand_not_what_it_requires():
    """Where half a nurse weighs as much as her bed, beds without nurses serve nobody, and not half of what beds and nurses weigh."""
    posed = pose("bed", {"A": 10.0}, {"A": 10}, [])
    resources = pd.DataFrame({"resource": ["thing", "nurse"], "kind": ["bed", "staff"], "unit": "unit", "requires": ["0.5 nurse", None],
                              "shortage_weight": [1.0, 2.0]})
    pad = [(0, 0), (0, 1), (0, 0)]
    posed = replace(posed, resources=resources, demand=np.pad(posed.demand, [(0, 0), *pad]), capacity=np.pad(posed.capacity, pad),
                    surge=np.pad(posed.surge, pad), surge_lead_days=np.zeros((1, 2)))
    assert serve(solve_fair(posed, "max_min")) == pytest.approx({"A": 0.0}, abs=1e-6)


# --- Frontier --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("criterion", ["gini_cap", "alpha_fair", "minimum_service"])
def test_the_frontier_trades_shortage_for_equity_step_by_step(criterion):
    posed = draw_problem(5)
    frontier = trace_frontier(posed, criterion, steps=4)
    assert frontier["criterion"].tolist() == ["utilitarian"] + [criterion] * (len(frontier) - 1)
    assert frontier["chosen"].sum() == 1 and frontier["given_up"].iloc[0] == 0
    assert (np.diff(frontier["shortage"]) >= -1e-2).all() and frontier["shortage"].iloc[-1] > frontier["shortage"].iloc[0] + 0.1
    if criterion == "gini_cap":
        assert (frontier["gini"] <= frontier["setting"].fillna(1.0) + 1e-5).all() and frontier["setting"].iloc[-1] == 0
    else:
        assert frontier["worst_service"].iloc[-1] > frontier["worst_service"].iloc[0] + 0.01
    if criterion == "minimum_service":
        assert frontier["worst_service"].iloc[-1] == pytest.approx(solve_fair(posed, "max_min").service.min(), abs=2e-4)


def test_the_frontier_marks_what_was_chosen_and_is_drawn():
    posed = share_out(12, {"A": 10, "B": 10}, most={"A": 2})
    frontier = trace_frontier(posed, values=[0.4, 0.1], chosen=0.25)
    assert frontier["setting"].tolist()[1:] == [0.4, 0.25, 0.1] and frontier["chosen"].tolist() == [False, False, True, False]
    assert frontier["shortage"].tolist() == pytest.approx([8, 8 + 8 / 9, 8 + 8 / 3, 8 + 16 / 3], abs=1e-4)
    assert frontier["given_up"].iloc[2] == pytest.approx(8 / 3 / 12, abs=1e-5)
    ax = plots.plot_frontier(frontier)
    drawn = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert drawn["chosen"] == pytest.approx(frontier.loc[[2], ["gini", "shortage"]].to_numpy())
    assert len(drawn["gini_cap"]) == 3 and len(drawn["utilitarian"]) == 1
    assert "Gini" in ax.get_xlabel() and "unit-days" in ax.get_ylabel()
    with pytest.raises(MedlibError, match="sweeps gini_cap, alpha_fair, minimum_service; got 'max_min'"):
        trace_frontier(posed, "max_min")


def test_the_picture_of_service_says_every_number():
    table = pd.DataFrame({"utilitarian": [0.5, 0.984], "max_min": [0.72, 0.72]}, index=["A", "B"])
    ax = plots.plot_service(table)
    assert [text.get_text() for text in ax.texts] == ["50", "72", "98", "72"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["utilitarian", "max\nmin"]
