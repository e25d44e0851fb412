"""Scenarios: marginals kept, dependence kept, the tail kept when few stand for many."""

import os
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import spearmanr

from medlib import plots
from medlib.allocate import Problem, Rules
from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.forecast import SeasonalNaive, roll_forecasts
from medlib.prepare import clean_demand, widen
from medlib.scenarios import Scenarios, draw_scenarios, face_scenarios, measure_errors, measure_ranks, reduce_scenarios
from medlib.score import cover, score_energy, score_variogram

MIRRORED = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "icu_germany"
needs_germany = pytest.mark.skipif(not MIRRORED.is_dir(), reason="the folder named by MEDLIB_MIRROR does not hold icu_germany")
DAYS = pd.date_range("2024-03-01", periods=40, unit="us")


def tell(roots, dates=DAYS, resource="bed"):
    """A demand table from square roots of units by site."""
    frame = pd.DataFrame(roots, index=dates[:len(next(iter(roots.values())))]) ** 2
    return frame.rename_axis("date").melt(ignore_index=False, var_name="site", value_name="demand").reset_index().assign(resource=resource)


def forecast(quantiles, dates=DAYS[:1], levels=(0.1, 0.5, 0.9), as_of="2024-02-29"):
    """Quantiles of each site, the same in every period."""
    rows = [(pd.Timestamp(as_of), date, site, "bed", "m", level, value) for site, values in quantiles.items() for date in dates
            for level, value in zip(levels, values)]
    return pd.DataFrame(rows, columns=["as_of", "date", "site", "resource", "model", "quantile", "demand"])


def alike(correlation, sites, periods, count=365, seed=4):
    """Normal errors of which all pairs have one correlation."""
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(count, 1, 1)), random.normal(size=(count, sites, periods))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own


def hold(values, weights=None):
    values = np.asarray(values, float)
    series = pd.DataFrame({"site": [f"s{number}" for number in range(values.shape[1])], "resource": "bed"})
    weights = np.full(len(values), 1 / len(values)) if weights is None else np.array(weights)
    return Scenarios(values, weights, series, DAYS[:values.shape[2]])


def average_worst(loss, weights, share):
    """Mean of the worst share of the probability."""
    order = np.argsort(-loss)
    taken = np.diff(np.minimum(np.cumsum(weights[order]), share), prepend=0.0)
    return taken @ loss[order] / share


class TestErrors:
    def test_a_season_back_once_and_twice(self):
        steps = np.arange(40.0)
        errors = measure_errors(tell({"B": 10 + steps, "A": 5 + 2 * steps + 3 * (steps % 7 == 2)}), 10)
        assert errors.shape == (40 - 10 - 7 + 1, 2, 10)
        assert np.allclose(errors[:, 0, :7], 14) and np.allclose(errors[:, 0, 7:], 28)  # A comes first
        assert np.allclose(errors[:, 1, :7], 7) and np.allclose(errors[:, 1, 7:], 14)

    def test_the_last_value_is_the_outcome_of_the_last_date_alone(self):
        roots = np.random.default_rng(1).uniform(3, 9, 40)
        changed = roots.copy()
        changed[-1] += 2
        before, after = (measure_errors(tell({"A": values}), 5) for values in (roots, changed))
        assert np.argwhere(~np.isclose(before, after)).tolist() == [[len(before) - 1, 0, 4]]
        assert after[-1, 0, 4] - before[-1, 0, 4] == pytest.approx(2)

    def test_short_histories_and_most(self):
        steps = np.arange(20.0)
        errors = measure_errors(tell({"A": 3 + steps}), 10)
        assert errors.shape == (10, 1, 10) and np.allclose(errors, np.arange(1, 11))  # from today's figure
        assert np.allclose(measure_errors(tell({"A": 3 + steps}), 10, most=4), errors[-4:])
        with pytest.raises(MedlibError, match="need more than 20 periods of history; got 20"):
            measure_errors(tell({"A": steps}), 20)

    @pytest.mark.parametrize(("freq", "season"), [("W-SAT", 52), ("MS", 12)])
    def test_weeks_and_months_look_back_a_year(self, freq, season):
        dates = pd.date_range("2019-01-01", periods=2 * season + 9, freq=freq, unit="us")
        errors = measure_errors(tell({"A": 4 + 0.5 * np.arange(len(dates))}, dates), 3)
        assert errors.shape == (season + 7, 1, 3) and np.allclose(errors, season / 2)


class TestRanks:
    levels = (0.1, 0.5, 0.9)

    def test_scores_by_hand(self):
        past = pd.concat([forecast({"A": (16, 25, 49), "B": (4, 9, 9)}, [day + pd.Timedelta(days=1)], as_of=day) for day in DAYS[:5]])
        seen = tell({"A": [0, 5, 7, 6, 9], "B": [0, 3, 2.5, 8, 1]})  # roots; what comes on the sixth day is not known yet
        scores, far = measure_ranks(past, seen), ndtri(0.9)
        assert scores.shape == (4, 2, 1)
        assert np.allclose(scores[:, 0, 0], [0, far, far / 2, 2 * far])
        assert np.allclose(scores[:, 1, 0], [0, -far / 2, 0, -2 * far])  # above two equal marks nothing is told

    def test_what_was_filled_in_is_no_outcome(self):
        past = forecast({"A": (16, 25, 49)}, [DAYS[1]], as_of=DAYS[0])
        seen = tell({"A": [4.0, 7.0]})
        assert measure_ranks(past, seen)[0, 0, 0] == pytest.approx(ndtri(0.9))
        assert measure_ranks(past, seen.assign(imputed=[False, True]))[0, 0, 0] == 0

    def test_refusal(self):
        with pytest.raises(MedlibError, match="whole horizon has passed"):
            measure_ranks(forecast({"A": (16, 25, 49)}, [DAYS[9]], as_of=DAYS[0]), tell({"A": [4.0, 7.0]}))


class TestDraw:
    def test_marginals_by_hand(self):
        drawn = draw_scenarios(forecast({"A": (16, 36, 100), "B": (0, 4, 25)}), alike(0.5, 2, 1), 20)
        first, second = np.sort(drawn.values[:, :, 0], axis=0).T
        far, beyond, between = ndtri(0.9), ndtri(0.975), ndtri(0.625)
        assert first[19] == pytest.approx((6 + 4 * beyond / far) ** 2)
        assert first[12] == pytest.approx((6 + 4 * between / far) ** 2)
        assert first[0] == pytest.approx((6 - 2 * beyond / far) ** 2)
        assert second[0] == 0 and (second >= 0).all()  # the root would be negative
        assert drawn.series.to_dict("list") == {"site": ["A", "B"], "resource": ["bed", "bed"]}

    def test_levels_are_met(self):
        levels = (0.1, 0.3, 0.5, 0.7, 0.9)
        drawn = draw_scenarios(forecast({"A": (3, 5, 11, 12, 40)}, levels=levels), alike(0.5, 1, 1), 5, seed=9)
        assert np.allclose(np.sort(drawn.values[:, 0, 0]), (3, 5, 11, 12, 40))

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 60), st.integers(1, 30), st.integers(0, 99))
    def test_marginals_depend_on_nothing_but_the_forecast(self, count, past, seed):
        ahead = forecast({"A": (9, 20, 31), "B": (0, 0, 0)}, DAYS[:3])
        drawn = draw_scenarios(ahead, np.random.default_rng(seed).integers(3, size=(past, 2, 4)).astype(float), count, seed)
        expected = draw_scenarios(ahead, alike(0.0, 2, 3), count)
        assert np.allclose(np.sort(drawn.values, axis=0), np.sort(expected.values, axis=0))
        assert not drawn.values[:, 1].any() and drawn.weights.sum() == pytest.approx(1)

    def test_sites_and_days_move_together_as_their_errors_did(self):
        dates = DAYS[:3]
        ahead = forecast({f"s{number}": (64, 100, 144) for number in range(8)}, dates)
        spread = {name: draw_scenarios(ahead, errors, 200).values.sum(axis=(1, 2)).std() for name, errors in {
            "independent": alike(0.0, 8, 3), "half": alike(0.5, 8, 3), "in step": alike(1.0, 8, 3)}.items()}
        # The variance of a sum of k that correlate by r is to that of k in step as (1 + (k - 1) r) / k.
        assert spread["half"] / spread["in step"] == pytest.approx(np.sqrt((1 + 23 * 0.5) / 24), rel=0.07)
        assert spread["independent"] / spread["in step"] == pytest.approx(np.sqrt(1 / 24), rel=0.2)

    def test_ranks_are_those_of_past_dates(self):
        errors = np.array([3.0, 1.0, 2.0])[:, None, None] * np.array([1.0, -1.0])[:, None]
        drawn = draw_scenarios(forecast({"A": (16, 36, 100), "B": (16, 36, 100)}), errors, 3).values[:, :, 0]
        assert drawn[:, 0].argsort().tolist() == [1, 2, 0] and drawn[:, 1].argsort().tolist() == [0, 2, 1]

    def test_few_past_dates_serve_several_times_without_moving_in_step(self):
        errors = np.random.default_rng(3).normal(size=(5, 2, 1))
        values = draw_scenarios(forecast({"A": (16, 36, 100), "B": (16, 36, 100)}), errors, 200).values[:, :, 0]
        ranks = values.argsort(axis=0).argsort(axis=0)
        template = np.repeat(np.arange(5), 40)
        assert np.array_equal(ranks // 40, errors[:, :, 0].argsort(axis=0).argsort(axis=0)[template])
        within = [spearmanr(*values[template == number].T)[0] for number in range(5)]
        assert abs(np.mean(within)) < 0.3

    def test_seeds(self):
        ahead, errors = forecast({"A": (16, 36, 100), "B": (1, 2, 3)}, DAYS[:2]), alike(0.3, 2, 2)
        first, again, other = (draw_scenarios(ahead, errors, 30, seed).values for seed in (1, 1, 2))
        assert np.array_equal(first, again) and not np.array_equal(first, other)

    def test_rows_in_any_order(self):
        ahead = forecast({"A": (16, 36, 100), "B": (1, 2, 3)}, DAYS[:2])
        drawn, mixed = (draw_scenarios(rows, alike(0.3, 2, 2), 9) for rows in (ahead, ahead.sample(frac=1, random_state=3)))
        assert np.array_equal(drawn.values, mixed.values)

    @pytest.mark.parametrize(("change", "errors", "count", "match"), [
        ({}, (9, 3, 1), 5, r"shape \(past dates, 2, 1 or more\)"), ({}, (9, 2, 0), 5, "Errors must have shape"),
        ({}, (0, 2, 1), 5, "Errors must have shape"),
        ({}, (9, 2, 1), 0, "count must be at least 1"), ({"levels": (0.5,)}, (9, 2, 1), 5, "two quantile levels or more")])
    def test_refusals(self, change, errors, count, match):
        with pytest.raises(MedlibError, match=match):
            draw_scenarios(forecast({"A": (1, 2, 3), "B": (1, 2, 3)}, **change), np.zeros(errors), count)

    def test_a_missing_quantile_is_refused(self):
        with pytest.raises(MedlibError, match="in every period"):
            draw_scenarios(forecast({"A": (1, 2, 3), "B": (1, 2, 3)}).iloc[1:], np.zeros((9, 2, 1)), 5)


class TestReduce:
    def make(self, seed, count=100):
        """Sites of all sizes around a common random walk; and units above what each has on average and a tenth."""
        random = np.random.default_rng(seed)
        size, walk = random.lognormal(3.5, 0.8, 12), random.normal(0, 0.03, (count, 1, 7)).cumsum(axis=2)
        values = size[:, None] * np.exp(walk + random.normal(0, 0.06, (count, 12, 7)).cumsum(axis=2))
        return hold(values), np.maximum(values - 1.1 * values.mean(axis=(0, 2))[:, None], 0).sum(axis=(1, 2))

    def test_by_hand(self):
        values = np.array([2.0, 7.0, 2.0, 30.0, 7.0, 2.0]).reshape(-1, 1, 1)
        few = reduce_scenarios(hold(values), 3, tail=0.15)
        assert sorted(zip(few.values.ravel(), few.weights.round(9))) == [(2, 0.5), (7, 0.333333333), (30, 0.166666667)]

    def test_the_loss_tells_which_are_worst(self):
        values = np.random.default_rng(6).uniform(1, 9, (20, 2, 1))
        loss = np.where(np.arange(20) == 13, 5.0, 0.0)
        few = reduce_scenarios(hold(values), 4, tail=0.05, loss=loss)
        assert few.weights[(few.values == values[13]).all(axis=(1, 2))] == pytest.approx([0.05])

    @pytest.mark.parametrize("count", [10, 20])
    def test_mean_and_tail_are_kept_where_random_choices_lose_them(self, count):
        kept, chance = [], []
        for seed in range(12):
            many, short = self.make(seed)
            few = reduce_scenarios(many, count, loss=short)
            # Tell each scenario by its values.
            place = [int(np.argmax((many.values == values).all(axis=(1, 2)))) for values in few.values]
            subset = np.random.default_rng(seed).choice(100, count, replace=False)
            for found, positions, weights in ((kept, place, few.weights), (chance, subset, np.full(count, 1 / count))):
                measures = [(weights @ short[positions], many.weights @ short)] + [
                    (average_worst(short[positions], weights, share), average_worst(short, many.weights, share)) for share in (0.1, 0.05)]
                found.append([abs(few / all - 1) for few, all in measures])
        mean, worst_10, worst_5 = np.mean(kept, axis=0)
        assert mean < 0.01 and worst_10 < 0.015 and worst_5 < (0.06 if count == 10 else 0.03)
        assert (np.mean(chance, axis=0) > 0.08).all()

    def test_sums_over_everything_by_default(self):
        many, _ = self.make(1)
        few, total = reduce_scenarios(many, 12), many.values.sum(axis=(1, 2))
        assert few.weights @ few.values.sum(axis=(1, 2)) == pytest.approx(total.mean())
        assert few.values.sum(axis=(1, 2)).std() > 0 and len(few.weights) == 12
        assert abs(np.tensordot(few.weights, few.values, 1) / many.values.mean(axis=0) - 1).mean() < 0.06

    def test_nothing_to_tell_apart_and_nothing_to_do(self):
        same = reduce_scenarios(hold(np.full((9, 2, 3), 4.0)), 4)
        assert len(same.weights) == 4 and same.weights.sum() == pytest.approx(1) and (same.values == 4).all()
        many, _ = self.make(2, 10)
        assert reduce_scenarios(many, 10) is many

    def test_unequal_weights_and_a_tail_of_one(self):
        few = reduce_scenarios(hold(np.arange(1.0, 7).reshape(-1, 1, 1), [0.3, 0.3, 0.2, 0.1, 0.05, 0.05]), 3, tail=0.04)
        assert few.weights @ few.values.ravel() == pytest.approx(0.3 + 0.6 + 0.6 + 0.4 + 0.25 + 0.3)
        assert dict(zip(few.values.ravel(), few.weights))[6] == pytest.approx(0.05)

    def test_refusals(self):
        many, short = self.make(3, 10)
        with pytest.raises(MedlibError, match="count of at least 2"):
            reduce_scenarios(many, 1)
        with pytest.raises(MedlibError, match="a number for each of 10 scenarios"):
            reduce_scenarios(many, 3, loss=short[:4])


class TestFace:
    def pose(self):
        resources = pd.DataFrame({"resource": ["bed", "nurse"], "kind": ["bed", "staff"], "unit": "u"})
        shape = (2, 2, 3)
        demand = np.stack([np.full(shape, 8.0), np.full(shape, 12.0)])
        return Problem(sites=("A", "B"), resources=resources, dates=DAYS[:3], demand=demand, weights=np.array([0.25, 0.75]),
                       capacity=np.full(shape, 20.0), surge=np.zeros(shape), surge_lead_days=np.zeros(shape[:2]),
                       links=pd.DataFrame({"origin": [], "destination": [], "distance_km": []}), rules=Rules(),
                       capacity_change=np.stack([np.zeros(shape), np.full(shape, -4.0)]))

    def test_joined_by_name(self):
        values = np.arange(1.0, 19).reshape(3, 3, 2)
        series = pd.DataFrame({"site": ["B", "Z", "A"], "resource": ["bed", "bed", "nurse"]})
        scenarios = Scenarios(values, np.array([0.2, 0.3, 0.5]), series, DAYS[1:3])
        faced = face_scenarios(self.pose(), scenarios)
        assert np.array_equal(faced.demand[:, 1, 0, 1:], values[:, 0]) and np.array_equal(faced.demand[:, 0, 1, 1:], values[:, 2])
        assert (faced.demand[:, :, :, 0] == 11).all() and (faced.demand[:, 0, 0] == 11).all() and (faced.demand[:, 1, 1] == 11).all()
        assert np.array_equal(faced.weights, [0.2, 0.3, 0.5])
        assert (faced.capacity == 17).all() and faced.capacity_change is None


class TestScores:
    def test_energy_of_one_number_is_the_crps(self):
        # Of two values at 1/4 and 3/4 weight: areas of (F - 1{y <= x})^2: from 2 to 4 by 1/16, from 4 to 7 by 9/16.
        assert score_energy(np.array([4.0]), np.array([[2.0], [7.0]]), np.array([0.25, 0.75])) == pytest.approx(2 / 16 + 3 * 9 / 16)

    def test_variogram_sees_wrong_dependence_and_energy_a_wrong_mean(self):
        random = np.random.default_rng(2)
        outcomes = 10 + alike(0.8, 4, 1, 200, seed=8)[:, :, 0]
        weights = np.full(100, 0.01)
        right, apart = (10 + alike(correlation, 4, 1, 100, seed=5)[:, :, 0] for correlation in (0.8, 0.0))
        def average(score, scenarios):
            return np.mean([score(row, scenarios, weights) for row in outcomes[random.permutation(200)]])
        assert average(score_variogram, right) < 0.9 * average(score_variogram, apart)
        assert average(score_variogram, right + 3) == pytest.approx(average(score_variogram, right))
        assert average(score_energy, right) < 0.6 * average(score_energy, right + 3)
        assert average(score_energy, right) < average(score_energy, apart)


def test_scenarios_are_checked():
    whole = hold([[[1.0]], [[2.0]]])
    for change, match in (({"values": -whole.values}, "at least 0"), ({"weights": np.array([0.5, 0.4])}, "sum of 0.9"),
                          ({"dates": DAYS[:2]}, r"shape \(2, 1, 2\)")):
        with pytest.raises(MedlibError, match=match):
            replace(whole, **change)


class TestPictures:
    def test_scenarios(self):
        values = np.arange(1.0, 12)[:, None] * np.array([2.0, 3.0])
        ax = plots.plot_scenarios(values, DAYS[5:7], pd.Series(9.0, DAYS[:5]), pd.Series([8.0, 7.0], DAYS[5:7]), 30.0, most=4)
        told = {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}
        assert told["median"].tolist() == [12, 18] and told["what happened"].tolist() == [8, 7] and told["may be planned"] == [30, 30]
        assert len(ax.lines) == 4 + len(told)
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == (4, 30)
        plt.close(ax.figure)

    def test_tradeoff(self):
        points = pd.DataFrame({"family": ["b", "a", "b"], "setting": ["x", "y", ""], "mean (days)": [3.0, 1.0, 2.0],
                               "tail (days)": [4.0, 9.0, 5.0]})
        ax = plots.plot_tradeoff(points, "mean (days)", "tail (days)")
        assert [line.get_label() for line in ax.lines] == ["b", "a"]
        assert ax.lines[0].get_xydata().tolist() == [[3, 4], [2, 5]]
        assert [text.get_text() for text in ax.texts] == ["x", "", "y"] and ax.texts[2].xy == (1.0, 9.0)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("mean (days)", "tail (days)")
        plt.close(ax.figure)


@needs_germany
def test_real_intensive_care_moves_neither_apart_nor_in_step():
    """Occupied intensive-care beds of 16 states, as of 32 dates in two years: the shuffle wins on every score."""
    demand = clean_demand(load_dataset("icu_germany")[0]["demand"])[0]
    demand = demand[(demand["resource"] == "icu_bed") & (demand["date"] < "2023-08-01")]
    truth, found = widen(demand), []
    for as_of in pd.date_range("2021-09-01", periods=32, freq="20D"):
        ahead = roll_forecasts(lambda: SeasonalNaive(14), demand, [as_of], 14)
        past = {"shuffle": measure_errors(demand[demand["date"] <= as_of], 14), "independent": alike(0.0, 16, 14),
                "in step": alike(1.0, 16, 14)}
        for name, errors in past.items():
            drawn = draw_scenarios(ahead, errors, 60)
            actual = truth.loc[drawn.dates].to_numpy().T
            scale = np.sqrt(actual.mean(axis=1, keepdims=True))
            seen, told = (actual / scale).ravel(), (drawn.values / scale).reshape(60, -1)
            total, sums = actual.sum(axis=0), drawn.values.sum(axis=1)
            low, high = np.quantile(sums.mean(axis=1), (0.1, 0.9))
            found.append((name, score_energy(seen, told, drawn.weights), score_variogram(seen, told, drawn.weights),
                          score_energy(total, sums, drawn.weights), cover(total.mean(), low, high)))
    means = pd.DataFrame(found, columns=["name", "energy", "variogram", "energy of the total", "coverage_80"]).groupby("name").mean()
    for other in ("independent", "in step"):
        assert (means.loc["shuffle"].iloc[:3] < means.loc[other].iloc[:3]).all()
    # Totals of independent sites are far too sure of themselves; the quantiles themselves were too narrow for more than that.
    assert means.loc["independent", "coverage_80"] < 0.3 < 0.5 < means.loc["shuffle", "coverage_80"]
