"""A network that decides moves: its symmetry, the projection by hand and at random, what it is told, and whether it learns."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from medlib.allocate import Problem, Rules, solve
from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.foresight import pose_tables
from medlib.learned.policy import AHEAD, INPUTS, LearnedPolicy, count_violations, limit_senders, list_budgets, open_surge, repair_flows
from medlib.learned.seasons import draw_seasons
from medlib.learned.teach import Rollout, learn_policy, list_lessons
from medlib.learned.trial import measure_answers, play_season, play_seasons, price_today, shift_network, spread_shipments, wait
from medlib.nets import FlowNet

MIRRORED = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "allocation" / "tx_icu"
needs_texas = pytest.mark.skipif(not MIRRORED.is_dir(), reason="the folder named by MEDLIB_MIRROR does not hold tx_icu")
LINKS = [("A", "B", 50.0), ("A", "C", 100.0), ("B", "A", 50.0), ("B", "C", 80.0), ("C", "A", 100.0), ("C", "B", 80.0), ("D", "A", 60.0)]


def pose(demand=(30.0, 10.0, 12.0, 8.0), capacity=20.0, periods=5, scenarios=1, arrivals=None, resources=1, surge=0.0, **rules):
    """Four sites; nobody can send anything to D."""
    shape = (4, resources, periods)
    fill = lambda values: np.broadcast_to(np.asarray(values, float).reshape(-1, 1, 1), shape).copy()
    names = ["icu_bed", "bed"][:resources]
    rules = Rules.without_limits(**{"move_cost": 1.0, "cost_per_km": 0.02, **rules})
    links = pd.DataFrame(LINKS, columns=["origin", "destination", "distance_km"]).assign(lead_days=0.0, cost=0.0)
    return Problem(sites=tuple("ABCD"), resources=pd.DataFrame({"resource": names, "kind": "bed", "unit": "bed-day"}),
                   dates=pd.date_range("2024-01-01", periods=periods), demand=np.repeat(fill(demand)[None], scenarios, axis=0),
                   weights=np.full(scenarios, 1 / scenarios), capacity=fill(capacity), surge=fill(surge),
                   surge_lead_days=np.zeros((4, resources)), links=links, rules=rules,
                   arrivals=None if arrivals is None else fill(arrivals))


def untrained(eager=2.0, seed=1):
    torch.manual_seed(seed)
    net = FlowNet(INPUTS).eval()
    net.send.bias.data.fill_(eager)
    return LearnedPolicy(net)


def gain(posed, flows):
    """Units that each site gains."""
    return np.bincount(posed.at.destination, flows, 4) - np.bincount(posed.at.origin, flows, 4)


class TestNetwork:
    def draw(self, sites=6):
        torch.manual_seed(3)
        near = torch.rand(1, sites, sites) * (torch.rand(1, sites, sites) > 0.4) * (1 - torch.eye(sites))
        near[0, 2] = 0.0  # who has no link
        return torch.randn(1, sites, INPUTS), near, torch.rand(1, sites) * 5

    def test_order_of_sites_does_not_matter(self):
        net, (told, near, limit) = untrained().net, self.draw()
        turned = torch.tensor([4, 1, 5, 0, 3, 2])
        flows = net(told, near, limit)
        other = net(told[:, turned], near[:, turned][:, :, turned], limit[:, turned])
        assert torch.allclose(other, flows[:, turned][:, :, turned], atol=1e-5) and flows.sum() > 1

    def test_sends_over_links_only_and_no_more_than_it_may(self):
        net, (told, near, limit) = untrained().net, self.draw()
        flows = net(told, near, limit)[0]
        assert (flows[near[0] == 0] == 0).all() and (flows.sum(dim=1) <= limit[0] + 1e-5).all() and flows[2].sum() == 0


class TestRepair:
    def test_day_and_site_budgets_by_hand(self):
        wish = np.array([[6.0, 0, 0, 2, 0, 0, 0]])
        assert gain(pose(), repair_flows(pose(), wish)[0]) == pytest.approx([-6, 4, 2, 0])
        posed = pose(transfers_per_site_day=5.0)
        flows = repair_flows(posed, wish)[0]  # A may send 5; B takes part in all moves and has 5 as well
        assert flows.sum() == pytest.approx(5) and count_violations(posed, wish) == pytest.approx(1 + 3)
        assert repair_flows(pose(transfers_per_day=3.0), wish).sum() == pytest.approx(3)

    def test_cheapest_among_the_nearest(self):
        """What goes from A by way of B to C may as well go at once."""
        flows = repair_flows(pose(), np.array([[4.0, 0, 0, 4, 0, 0, 0]]))[0]
        assert flows == pytest.approx([0, 4, 0, 0, 0, 0, 0], abs=1e-6)

    def test_only_who_arrives(self):
        posed = pose(arrivals=[3.0, 2, 2, 1])
        assert limit_senders(posed)[0] == pytest.approx([3, 2, 2, 1])
        assert repair_flows(posed, np.array([[6.0, 0, 0, 0, 0, 0, 0]]))[0, 0] == pytest.approx(3)

    def test_whoever_is_sent_is_missing_later(self):
        demand = pose(scenarios=2).demand
        demand[1, 0, 0, 2] = 7.0  # of those who are there today, 7 are left on the third day in one scenario
        posed = replace(pose(scenarios=2), demand=demand)
        assert limit_senders(posed)[0] == pytest.approx([7 / posed.rules.survive(np.array([2]))[0], 10, 12, 8])

    def test_link_and_kilometres(self):
        posed = pose(transport_km_per_day=100.0)
        assert repair_flows(posed, np.array([[6.0, 0, 0, 0, 0, 0, 0]]))[0] @ posed.at.distance_km == pytest.approx(100)
        posed = replace(pose(), links=pose().links.assign(moves_per_day=[1.5, 9, 9, 9, 9, 9, 9]))
        flows = repair_flows(posed, np.array([[6.0, 0, 0, 0, 0, 0, 0]]))[0]
        assert flows[0] == pytest.approx(1.5) and gain(posed, flows)[1] == pytest.approx(6)  # the rest goes by way of C

    def test_whole_units(self):
        flows = repair_flows(pose(integer=True, transfers_per_day=4.0), np.array([[2.6, 1.3, 0, 0, 0, 0, 0]]))
        assert flows == pytest.approx(np.round(flows), abs=1e-6) and flows.sum() == pytest.approx(4)

    def test_each_resource_has_its_budget_and_all_their_kilometres(self):
        posed = pose(resources=2, transfers_per_day=4.0, transport_km_per_day=300.0)
        wish = np.array([[6.0, 0, 0, 0, 0, 0, 0], [0, 0, 6.0, 0, 0, 0, 0]])
        flows = repair_flows(posed, wish)
        assert (flows.sum(axis=1) <= 4 + 1e-9).all() and (flows @ posed.at.distance_km).sum() == pytest.approx(300)

    def test_no_wish_no_move(self):
        assert not repair_flows(pose(), np.zeros((1, 7))).any()

    def test_protection_is_refused(self):
        with pytest.raises(MedlibError, match="cannot keep protect_sites"):
            repair_flows(pose(protect_sites=True), np.ones((1, 7)))

    @settings(max_examples=40, deadline=None)
    @given(wish=some.lists(some.floats(0, 40), min_size=14, max_size=14), day=some.floats(0, 30), site=some.floats(0, 12),
           limited=some.booleans())
    def test_always_feasible_and_no_wish_worsened(self, wish, day, site, limited):
        posed = pose(resources=2, transfers_per_day=day, transfers_per_site_day=site, arrivals=[4.0, 0, 9, 2] if limited else None)
        wish = np.array(wish).reshape(2, 7)
        flows = repair_flows(posed, wish)
        assert (flows >= 0).all() and count_violations(posed, flows) <= 1e-6
        off = lambda moves: sum(np.abs(gain(posed, one) - gain(posed, two)).sum() for one, two in zip(moves, wish))
        assert off(flows) <= off(np.zeros(wish.shape)) + 1e-6  # nothing moved is feasible, too


class TestDecide:
    def test_plan_may_go_on_from_there(self):
        """The linear program, today's moves fixed, finds a plan, and none below the optimum."""
        posed = pose(scenarios=2, transfers_per_day=6.0, transfers_per_site_day=4.0)
        flows = spread_shipments(posed, untrained().decide(posed).shipments)
        assert flows.sum() > 1
        assert price_today(posed, flows) >= solve(posed).objective - 1e-6
        assert price_today(posed, spread_shipments(posed, solve(posed).shipments)) == pytest.approx(solve(posed).objective, rel=1e-5)

    def test_several_levels_of_beds_and_other_sites(self):
        decision = untrained().decide(pose(resources=2))
        assert {order.resource for order in decision.shipments} == {0, 1} and {order.period for order in decision.shipments} == {0}
        smaller = shift_network(pose(resources=2), [2, 0, 1])
        assert smaller.sites == ("C", "A", "B") and smaller.demand[0, 0, 0, 0] == 12 and len(smaller.links) == 6
        assert decision.surge_units.shape == (4, 2, 5) and untrained().decide(smaller).shipments

    def test_surge_for_what_is_still_short(self):
        posed = pose(surge=6.0, planning_occupancy=0.8, los_days=1e9)
        flows = np.array([[5.0, 0, 0, 0, 0, 0, 0]])
        assert open_surge(posed, np.zeros((1, 7)))[:, 0, 0] == pytest.approx([6, 0, 0, 0])
        # 25 of A's patients stay, 0.8 (20 + surge) may be planned; B then has 15, which fit.
        assert open_surge(replace(posed, demand=posed.demand - 5.0), flows)[:, 0, 3] == pytest.approx([20 / 0.8 - 20, 0, 0, 0])

    def test_no_links(self):
        posed = pose()
        assert untrained().decide(replace(posed, links=posed.links.iloc[:0])).shipments == []

    def test_measured(self):
        problems = [pose(transfers_per_site_day=2.0), pose(demand=(15.0, 10, 12, 8))]
        found = measure_answers(untrained(), problems)
        assert found.loc[0, "broken_before"] > 0.5 and (found["broken_after"] < 1e-6).all()
        assert (found["waiting"] >= found["optimum"] - 1e-6).all() and (found["learned"] >= found["optimum"] - 1e-6).all()
        assert np.isfinite(found.loc[0, "kept"]) and np.isnan(found.loc[1, "kept"])  # nobody is short in the second

    @needs_texas
    def test_texas_sends_arrivals_only(self):
        posed = pose_tables(load_dataset("tx_icu")[0], Rules.without_limits())
        flows = spread_shipments(posed, untrained().decide(posed).shipments)
        sent = np.bincount(posed.at.origin, flows[0], 22)
        assert sent.sum() > 10 and (sent <= posed.arrivals[:, 0, 0] + 1e-6).all()


class TestSeasons:
    def test_forecasts_are_honest_on_average(self):
        seasons = draw_seasons(pose(), 0, 150, 10, seed=2)
        ahead = np.array([0, 3, 9])
        comes = seasons.demand[:, :, np.arange(10)[:, None] + ahead].transpose(0, 2, 3, 1)
        low, middle, high = seasons.forecast(ahead).transpose(2, 0, 1, 3, 4)
        assert (low[:, :, 0] == comes[:, :, 0]).all() and (high[:, :, 0] == comes[:, :, 0]).all()
        some_come = comes[:, :, 1:] > 0
        for quantile, share in ((low, 0.1), (middle, 0.5), (high, 0.9)):
            assert (comes[:, :, 1:] < quantile[:, :, 1:])[some_come].mean() == pytest.approx(share, abs=0.04)

    def test_patients_follow_from_arrivals(self):
        """Those there today are those of yesterday, less who left, and those who arrived."""
        seasons = draw_seasons(pose(los_days=3.0), 0, 5, 12, seed=2)
        stay = seasons.stay
        came, there = seasons.arrivals, seasons.demand
        later = sum(came[:, :, 25 - back] * stay[back] for back in range(26))
        assert (there[:, :, 25] >= came[:, :, 25] - 1e-6).all() and there[:, :, 25] == pytest.approx(later, rel=1e-3, abs=1e-2)

    def test_height_and_seed(self):
        one, two = (draw_seasons(pose(), 0, 8, height=height) for height in (1.0, 2.0))
        assert two.demand.mean() == pytest.approx(2 * one.demand.mean(), rel=0.1)
        assert np.array_equal(one.demand, draw_seasons(pose(), 0, 8).demand)
        assert not np.array_equal(one.demand, draw_seasons(pose(), 0, 8, seed=2).demand)

    def test_beds_only(self):
        with pytest.raises(MedlibError, match="of a bed resource over at least two periods"):
            draw_seasons(pose(periods=1), 0, 2)


@pytest.fixture(scope="module")
def posed():
    return pose(demand=(20.0, 8, 8, 8), transfers_per_site_day=6.0, move_cost=0.0, cost_per_km=0.0)


class TestLearning:
    def test_rollout_is_the_season_as_it_is_played(self, posed):
        """Moves without a price: then the network's flows and the repaired ones cost the same."""
        seasons, policy = draw_seasons(replace(posed, rules=replace(posed.rules, transfers_per_site_day=np.inf)), 0, 2, 8), untrained(0.0)
        parts = [torch.tensor(part, dtype=torch.float32) for part in (seasons.demand, seasons.arrivals)]
        with torch.no_grad():
            costs = Rollout(policy.net, seasons)(*parts, torch.tensor(seasons.forecast(AHEAD), dtype=torch.float32))
        played = [play_season(seasons, season, policy.decide, horizon=14) for season in range(2)]
        assert costs.numpy() * 100 * 8 * 4 == pytest.approx([one["cost"] for one in played], rel=5e-3)
        assert played[0]["cost"] != pytest.approx(play_season(seasons, 0, wait)["cost"], rel=0.01)

    def test_lessons_are_what_the_plan_does(self, posed):
        seasons = draw_seasons(posed, 0, 3, 8)
        told, limit, wanted = list_lessons(seasons)
        assert told.shape == (24, 4, INPUTS) and limit.shape == wanted.shape == (24, 4)
        sent = sum(order.amount for season in range(3) for order in solve(seasons.pose_truth(season)).shipments)
        assert wanted.sum(dim=1).abs().max() < 1e-4 and wanted.clamp(min=0).sum() <= sent + 1e-4 and wanted.abs().sum() > 1

    def test_learns_and_repeats(self, posed):
        seasons = draw_seasons(posed, 0, 24, 10)
        learned = [learn_policy([seasons], epochs=6, practice=8) for _ in range(2)]
        assert all(torch.equal(*pair) for pair in zip(*(policy.net.parameters() for policy in learned)))
        unseen = draw_seasons(posed, 0, 6, 10, seed=7)
        table = play_seasons(unseen, {"learned": learned[0].decide, "waiting": wait})
        short = table.groupby("policy")["short"].sum()
        assert short["foresight"] <= short["learned"] + 1e-6 and short["learned"] < 0.6 * short["waiting"]
        cost = table.pivot(index="season", columns="policy", values="cost")
        assert (cost["foresight"] <= cost.min(axis=1) + 1e-3).all()

    def test_practice_helps_beyond_imitation(self, posed):
        seasons, unseen = draw_seasons(posed, 0, 24, 10), draw_seasons(posed, 0, 6, 10, seed=7)
        imitates = learn_policy([seasons], epochs=6, practice=0)
        before = [weights.clone() for weights in imitates.net.parameters()]
        practised = learn_policy([seasons], epochs=0, practice=12, start=imitates)
        assert all(torch.equal(*pair) for pair in zip(before, imitates.net.parameters()))
        cost = play_seasons(unseen, {"imitates": imitates.decide, "practised": practised.decide}).groupby("policy")["cost"].sum()
        assert cost["practised"] < cost["imitates"]

    def test_budgets_are_rows(self, posed):
        rows, most = list_budgets(posed)
        assert rows.shape == (4 + 4, 7) and most.tolist() == pytest.approx([20, 8, 8, 8, 6, 6, 6, 6])
