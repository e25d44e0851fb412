"""Noise and its budget. OpenDP takes no seed: figures are judged with limits that chance passes less than once in a billion runs, unless said."""

import numpy as np
import pandas as pd
import pytest

from medlib.errors import MedlibError
from medlib.privacy.noise import Budget, add_noise, release_counts, release_demand, release_means, tell_accuracy


class TestBudget:
    def test_adds_up_and_refuses(self):
        budget = Budget(1.0)
        budget.spend(0.3, "one")
        budget.spend(0.7, "two")
        assert budget.left == pytest.approx(0) and budget.spent == [("one", 0.3), ("two", 0.7)]
        with pytest.raises(MedlibError, match="left"):
            budget.spend(1e-6, "three")
        assert len(budget.spent) == 2

    @pytest.mark.parametrize("epsilon", [0.0, -1.0, np.nan, np.inf])
    def test_nothing_refills_it(self, epsilon):
        budget = Budget(2.0)
        with pytest.raises(MedlibError):
            budget.spend(epsilon, "trick")
        with pytest.raises(MedlibError):
            Budget(epsilon)
        assert budget.left == 2.0

    def test_ten_tenths(self):
        budget = Budget(1.0)
        for number in range(10):
            budget.spend(0.1, str(number))
        assert budget.left < 1e-9


class TestNoise:
    def test_spread_and_centre(self):
        """20,000 draws of scale 4: mean absolute value 4, standard deviation of its mean 0.03; of the mean itself 0.04."""
        drawn = add_noise(np.full(20_000, 50), 2, 0.5, Budget(0.5), "noise") - 50
        assert abs(np.abs(drawn).mean() - 4) < 0.25 and abs(drawn.mean()) < 0.3

    def test_accuracy_is_told_beforehand(self):
        """The share within is 95 % or a little more, as counts are whole; its standard deviation is 0.0015."""
        told = tell_accuracy(0.5, 2)
        within = np.abs(add_noise(np.zeros(20_000, int), 2, 0.5, Budget(0.5), "noise")) <= told
        assert 0.94 < within.mean() < 0.98
        assert tell_accuracy(0.5, 4) > told > tell_accuracy(1.0, 2) and tell_accuracy(0.5, 2, 0.99) > told

    def test_neighbours_are_hard_to_tell(self):
        """Definition: no outcome is more than exp(epsilon) times as likely with a person as without; frequencies of 40,000 draws."""
        epsilon, draws = 1.0, 40_000
        without, having = (add_noise(np.full(draws, count), 1, epsilon, Budget(epsilon), "noise") for count in (10, 11))
        for value in range(8, 14):
            shares = [(answers == value).mean() for answers in (without, having)]
            assert max(shares) / min(shares) < np.exp(epsilon) * 1.25
        assert (having == 11).mean() / (without == 11).mean() > np.exp(epsilon) / 1.25, "no more noise than is needed"

    def test_paid_before_it_is_made(self):
        budget = Budget(0.5)
        with pytest.raises(MedlibError):
            add_noise(np.array([3]), 1, 0.6, budget, "noise")
        assert budget.left == 0.5 and not budget.spent

    def test_refused(self):
        with pytest.raises(MedlibError):
            add_noise(np.array([3]), 0, 0.5, Budget(1.0), "noise")


PEOPLE = pd.DataFrame({"site": ["a"] * 400 + ["b"] * 1000 + ["elsewhere"],
                       "age": [30.0] * 400 + [50.0] * 600 + [np.nan] * 100 + [999.0] * 300 + [1.0]})
GROUPS = {"site": ["a", "b", "c"]}


class TestReleases:
    def test_counts_of_known_groups_only(self):
        """At epsilon 10 a count is off by more than 3 with a probability of 1e-13; one table costs as much as one cell."""
        budget = Budget(10.0)
        counts = release_counts(PEOPLE, GROUPS, 10.0, budget)
        assert counts["site"].tolist() == ["a", "b", "c"] and budget.left == pytest.approx(0)
        assert (np.abs(counts["count"] - [400, 1000, 0]) <= 3).all()

    def test_counts_of_an_empty_group_are_not_always_zero(self):
        """200 empty groups at epsilon 0.5: all zero or none below zero by chance less than once in 1e20."""
        counts = release_counts(PEOPLE, {"site": [f"s{number}" for number in range(200)]}, 0.5, Budget(0.5))["count"]
        assert counts.min() < 0 < counts.max()

    def test_more_rows_a_person_more_noise(self):
        groups = {"site": [f"s{number}" for number in range(2000)]}
        spread = [release_counts(PEOPLE, groups, 1.0, Budget(1.0), rows)["count"].abs().mean() for rows in (1, 10)]
        assert 6 < spread[1] / spread[0] < 18

    def test_means_by_hand(self):
        """b: 600 of 50, 300 set to the bound of 100, 100 missing: (600 * 50 + 300 * 100) / 900. Noise at epsilon 40 moves it by under 0.5."""
        budget = Budget(40.0)
        means = release_means(PEOPLE, "age", (0.0, 100.0), GROUPS, 40.0, budget).set_index("site")
        assert means.loc["a", "mean"] == pytest.approx(30.0, abs=0.5) and means.loc["b", "mean"] == pytest.approx(200 / 3, abs=0.5)
        assert 0 <= means.loc["c", "mean"] <= 100 and abs(means.loc["b", "count"] - 900) <= 2
        assert [cost for _, cost in budget.spent] == pytest.approx([20.0, 20.0])

    def test_one_rich_person_moves_a_mean_no_more_than_the_bounds(self):
        rich = PEOPLE.assign(age=PEOPLE["age"].where(PEOPLE.index != 0, 1e12))
        means = release_means(rich, "age", (0.0, 100.0), GROUPS, 40.0, Budget(40.0)).set_index("site")
        assert means.loc["a", "mean"] == pytest.approx(30.0 + 70 / 400, abs=0.5)

    def test_means_refused(self):
        budget = Budget(1.0)
        for bounds, epsilon in (((5.0, 5.0), 1.0), ((0.0, 9.0), 1.1)):
            with pytest.raises(MedlibError):
                release_means(PEOPLE, "age", bounds, GROUPS, epsilon, budget)

    def test_demand_stays_demand(self):
        demand = pd.DataFrame({"date": pd.Timestamp("2030-01-01"), "site": "a", "resource": "bed", "demand": np.repeat([0.0, 40.4], 500)})
        budget = Budget(3.0)
        noisy = release_demand(demand, 1.0, budget, most_days=5)
        assert (noisy["demand"] >= 0).all() and (noisy["demand"] % 1 == 0).all() and budget.left == pytest.approx(2.0)
        assert noisy["demand"][500:].mean() == pytest.approx(40, abs=2.5) and demand["demand"][999] == 40.4
