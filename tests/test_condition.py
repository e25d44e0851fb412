"""Patients' condition: what a model may see, who it learned from, how it is judged, and how many stays get worse."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import f1_score

from medlib import catalog
from medlib.catalog.stays import EICU_FILES, load_eicu_demo, load_stays, make_stays
from medlib.errors import MedlibError
from medlib.patients import condition, risks
from medlib.patients.condition import HourEncoder, RecurrentClassifier, arrange_hours
from medlib.patients.risks import cross_predict, distribute_count, forecast_escalations

MIRRORED = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "eicu_demo"
needs_eicu = pytest.mark.skipif(not all((MIRRORED / entry.file).is_file() for entry in EICU_FILES),
                                reason="the folder named by MEDLIB_MIRROR does not hold eicu_demo")
QUICK = dict(nets=1, hidden=8, epochs=4, rate=1e-2)


@pytest.fixture(scope="module")
def sample():
    data = make_stays(seed=3, count=300)
    values, names = arrange_hours(data.vitals, data.stays)
    return values, names, data.stays["worse"].to_numpy(), data.stays["patient"].to_numpy()


@pytest.fixture(scope="module")
def learned(sample):
    values, _, worse, _ = sample
    return RecurrentClassifier(**QUICK).fit(values, worse)


def tables(hours, pulse, stays=("a",)):
    vitals = pd.DataFrame({"stay": np.repeat(stays[0], len(hours)), "hour": hours, "heart_rate": pulse})
    return vitals, pd.DataFrame({"stay": list(stays), "worse": 0, "age_years": 70.0})


class TestArranging:
    def test_hours_stand_where_they_belong_and_admission_in_the_first(self):
        values, names = arrange_hours(*tables([0, 2], [81.0, 95.0], stays=("a", "b")), last_hour=3)
        assert names == ["heart_rate", "age_years"] and values.shape == (2, 4, 2)
        np.testing.assert_array_equal(values[0, :, 0], [81.0, np.nan, 95.0, np.nan])
        np.testing.assert_array_equal(values[:, :, 1], [[70.0, np.nan, np.nan, np.nan]] * 2)
        assert np.isnan(values[1, :, 0]).all(), "a stay without measurements stays, empty"

    def test_later_hours_are_left_out(self):
        vitals, stays = tables([0, 1, 2, 3], [80.0, 81.0, 500.0, -9.0])
        np.testing.assert_array_equal(arrange_hours(vitals, stays, last_hour=1)[0], arrange_hours(vitals[:2], stays, last_hour=1)[0])

    @pytest.mark.parametrize("change, match", [
        (lambda v, s: (v.rename(columns={"hour": "time"}), s), "needs the column 'hour'"),
        (lambda v, s: (v, s.rename(columns={"stay": "id"})), "needs the column 'stay'"),
        (lambda v, s: (v.assign(heart_rate="fast"), s), "'heart_rate' holds"),
        (lambda v, s: (v, s.assign(sex="male")), "'sex' holds"),
        (lambda v, s: (v.assign(hour=0.5), s), "whole numbers from 0"),
        (lambda v, s: (v.assign(hour=-1), s), "whole numbers from 0"),
        (lambda v, s: (pd.concat([v, v]), s), "once an hour"),
        (lambda v, s: (v, pd.concat([s, s])), "once in stays"),
        (lambda v, s: (v.assign(stay="z"), s), "z does not")])
    def test_wrong_tables_get_one_clear_sentence(self, change, match):
        with pytest.raises(MedlibError, match=match) as caught:
            arrange_hours(*change(*tables([0, 1], [80.0, 90.0])))
        assert "\n" not in str(caught.value) and len(re.findall(r"[.!?](?=\s|$)", str(caught.value))) == 1


class TestEncoding:
    def test_held_value_mask_and_time_since_by_hand(self):
        values = np.array([[[10.0], [np.nan], [np.nan], [30.0]], [[np.nan], [20.0], [np.nan], [np.nan]]])
        held, mask, since = HourEncoder().fit(values).transform(values).transpose(2, 0, 1)
        assert held[0, 0] == held[0, 1] == held[0, 2] < held[1, 1] < held[0, 3]
        assert held[1, 0] == 0.0 and held[1, 1] == held[1, 3] == pytest.approx(0.0, abs=1e-6), "20 is the middle of 10, 20, 30"
        np.testing.assert_array_equal(mask, [[1, 0, 0, 1], [0, 1, 0, 0]])
        np.testing.assert_allclose(since, np.log([[1, 2, 3, 1], [2, 1, 2, 3]]) / 2, rtol=1e-6)

    def test_only_training_stays_decide_the_scale(self, sample):
        values, _, _, _ = sample
        encoder = HourEncoder().fit(values[:200])
        before = encoder.transform(values[200:210])
        encoder.transform(values[210:] * 1000)
        np.testing.assert_array_equal(before, encoder.transform(values[200:210]))
        assert np.abs(before - HourEncoder().fit(values).transform(values[200:210])).max() > 1e-3, "other stays give another scale"

    def test_constant_absent_and_extreme_variables_stay_finite(self):
        random = np.random.default_rng(0)
        values = np.stack([np.full((30, 5), 7.0), np.full((30, 5), np.nan), random.lognormal(0, 5, (30, 5))], axis=2)
        inputs = HourEncoder().fit(values).transform(np.where(values == 7.0, 1e9, values) * 10)
        assert inputs.shape == (30, 5, 6) and np.isfinite(inputs).all() and np.abs(inputs).max() < 12

    @settings(max_examples=20, deadline=None)
    @given(hour=st.integers(1, 23), nonsense=st.floats(-1e6, 1e6))
    def test_an_hour_depends_on_it_and_earlier_ones_only(self, sample, hour, nonsense):
        values = sample[0]
        encoder, changed = HourEncoder().fit(values), values.copy()
        changed[:, hour:] = nonsense
        np.testing.assert_array_equal(encoder.transform(values)[:, :hour], encoder.transform(changed)[:, :hour])


class TestRecurrent:
    def test_later_nonsense_changes_no_earlier_answer(self, sample, learned):
        values = sample[0][:40]
        changed = values.copy()
        changed[:, 13:] = -1e5
        np.testing.assert_allclose(learned.follow(values)[:, :13], learned.follow(changed)[:, :13], atol=1e-6)
        assert np.abs(learned.follow(values)[:, 13:] - learned.follow(changed)[:, 13:]).max() > 1e-3

    def test_stays_are_judged_each_alone(self, sample, learned):
        values = sample[0]
        np.testing.assert_allclose(learned.predict_proba(values[7:8]), learned.predict_proba(values[:20])[7:8], atol=1e-6)

    def test_empty_and_one_hour_stays_get_a_probability(self, sample, learned):
        values = sample[0][:2].copy()
        values[0], values[1, 1:] = np.nan, np.nan
        answer = learned.predict_proba(values)
        assert ((answer > 0) & (answer < 1)).all() and answer.sum(axis=1) == pytest.approx([1.0, 1.0])

    def test_same_seed_same_answer(self, sample, learned):
        values, _, worse, _ = sample
        again = RecurrentClassifier(**QUICK).fit(values, worse).predict_proba(values[:30])
        np.testing.assert_array_equal(again, learned.predict_proba(values[:30]))
        other = RecurrentClassifier(**QUICK, seed=9).fit(values, worse).predict_proba(values[:30])
        assert np.abs(other - again).max() > 1e-3

    def test_one_outcome_teaches_nothing(self, sample):
        with pytest.raises(MedlibError, match="all ended alike"):
            RecurrentClassifier(**QUICK).fit(sample[0], np.zeros(300))


class Spy(condition.DummyClassifier):
    """Remembers the stays that it was fitted on."""

    seen = []

    def fit(self, values, worse):
        Spy.seen.append(set(values[:, 0, -1]))
        return super().fit(values, worse)


class TestJudging:
    def test_no_patient_is_learned_from_and_judged(self, sample):
        values, _, worse, patients = sample
        marked, Spy.seen = np.concatenate([values, np.tile(patients[:, None, None], (1, 25, 1))], axis=2), []
        found = cross_predict({"spy": Spy(strategy="prior")}, marked, worse, patients, folds=3)
        assert sorted(found["row"]) == list(range(300)) and len(Spy.seen) == 12
        for fold, rows in found.groupby("fold"):
            judged = set(patients[rows["row"]])
            assert all(judged.isdisjoint(seen) for seen in Spy.seen[4 * fold:4 * fold + 4]), "neither scale, threshold nor model saw them"

    def test_judged_values_change_no_prediction(self, sample):
        """Spoil all but one of the stays that are judged together: what is said of that one comes from the other folds."""
        values, _, worse, patients = sample
        models = {"quick": RecurrentClassifier(**QUICK | {"epochs": 1})}
        found = cross_predict(models, values, worse, patients, folds=3)
        first = found.loc[found["fold"] == 0, "row"].to_numpy()
        spoiled = values.copy()
        spoiled[np.setdiff1d(first, first[:1])] = 1e6
        again = cross_predict(models, spoiled, worse, patients, folds=3)
        one, other = (table.loc[(table["fold"] == 0) & (table["row"] == first[0]), ["raw", "probability"]].to_numpy() for table in (found, again))
        np.testing.assert_array_equal(one, other)

    def test_networks_and_regressions_beat_prevalence_on_synthetic_stays(self):
        data = make_stays(seed=2, count=400)
        values, _ = arrange_hours(data.vitals, data.stays)
        models = condition.list_models(nets=1)
        worse, patients = data.stays["worse"].to_numpy(), data.stays["patient"].to_numpy()
        found = cross_predict({name: models[name] for name in ("prevalence", "logistic_last", "recurrent_network")}, values, worse,
                              patients, folds=2)
        scores = risks.score_predictions(found)
        assert scores.loc["prevalence", "auroc"] == pytest.approx(0.5, abs=0.05)
        assert (scores.loc[["logistic_last", "recurrent_network"], "auroc"] > 0.75).all()
        assert (scores.loc[["logistic_last", "recurrent_network"], "brier"] < scores.loc["prevalence", "brier"]).all()
        np.testing.assert_allclose(scores["expected_share"], scores["observed_share"], atol=0.04)
        bounds = risks.bound_scores(found, patients, "logistic_last", draws=60)
        assert (bounds["low"] <= bounds["value"]).all() and (bounds["value"] <= bounds["high"]).all()
        own = bounds.loc["logistic_last", ["difference_low", "difference_high"]]
        assert (own == 0).all(axis=None)
        assert (bounds.loc["prevalence", "difference_high"] < 0).all()

    def test_too_few_who_got_worse_are_refused(self, sample):
        values, _, worse, patients = sample
        rare = np.where(np.arange(300) < 5, 1, 0)
        with pytest.raises(MedlibError, match="5 folds need at least 10 patients of either outcome; got 5"):
            cross_predict(condition.list_models(), values, rare, patients)

    def test_threshold_has_the_highest_f1(self):
        worse, probability = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.25, 0.4, 0.6, 0.9])
        # Flagging from 0.25 on finds 3 of 3 with 1 false alarm (F1 6/7); from 0.6 on 2 of 3 with none (4/5).
        assert risks.choose_threshold(worse, probability) == 0.25
        best = max(f1_score(worse, probability >= level) for level in probability)
        assert f1_score(worse, probability >= 0.25) == pytest.approx(best) == pytest.approx(6 / 7)

    def test_calibration_recovers_a_known_distortion(self):
        random = np.random.default_rng(5)
        odds = random.normal(-1, 1.2, 40_000)
        worse = random.random(40_000) < 1 / (1 + np.exp(-odds))
        extreme = 1 / (1 + np.exp(-(2 * odds + 0.6)))
        intercept, slope = risks.fit_calibration(worse, extreme)
        assert slope == pytest.approx(0.5, abs=0.03) and intercept == pytest.approx(-0.3, abs=0.06)
        assert np.isnan(risks.fit_calibration(worse, np.full(40_000, 0.2))).all(), "no slope without two different probabilities"
        np.testing.assert_allclose(risks.calibrate(extreme, worse, extreme[:50]), 1 / (1 + np.exp(-odds[:50])), atol=0.03)


class TestCounts:
    def test_by_hand(self):
        # 0.9 * 0.8 * 0.8; one of them: 0.1 * 0.8 * 0.8 + 2 * 0.9 * 0.2 * 0.8; ...
        np.testing.assert_allclose(distribute_count([0.1, 0.2, 0.2]), [0.576, 0.352, 0.068, 0.004], atol=1e-12)

    def test_equal_probabilities_give_the_binomial(self):
        np.testing.assert_allclose(distribute_count([0.07] * 60), binom.pmf(np.arange(61), 60, 0.07), atol=1e-12)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=0, max_size=70))
    def test_sums_to_one_with_the_expected_mean(self, probability):
        shares = distribute_count(probability)
        assert shares.shape == (len(probability) + 1,) and (shares >= -1e-12).all() and shares.sum() == pytest.approx(1.0)
        assert shares @ np.arange(len(shares)) == pytest.approx(sum(probability), abs=1e-6)

    def test_certain_stays_leave_no_doubt(self):
        np.testing.assert_allclose(distribute_count([1.0, 0.0, 1.0]), [0, 0, 1, 0], atol=1e-12)

    @pytest.mark.parametrize("wrong", [1.2, -0.1, float("nan")])
    def test_what_is_no_probability_is_refused(self, wrong):
        with pytest.raises(MedlibError, match=r"must lie in \[0, 1\]"):
            distribute_count([0.5, wrong])

    def test_demand_of_units(self):
        table = forecast_escalations(["b", "a", "a", "a"], np.array([1.0, 0.1, 0.2, 0.2]), "some", levels=(0.5, 0.6, 0.95))
        assert list(table) == ["site", "resource", "model", "quantile", "demand"]
        # Unit a: at most none with 0.576, at most one with 0.928, at most two with 0.996.
        assert table.pivot(index="site", columns="quantile", values="demand").to_numpy().tolist() == [[0, 1, 2], [1, 1, 1]]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 39), st.floats(0, 1))
    def test_more_risk_never_lowers_demand(self, probability, which, raised):
        higher = list(probability)
        higher[which % len(higher)] = max(raised, higher[which % len(higher)])
        one, other = (forecast_escalations(["u"] * len(p), np.array(p), "m")["demand"].to_numpy() for p in (probability, higher))
        assert (np.diff(one) >= 0).all() and (other >= one).all() and one[-1] <= len(probability)

    def test_intervals_hold_what_they_promise(self):
        random = np.random.default_rng(4)
        probability = random.beta(1, 8, (400, 50))
        happened = (random.random((400, 50)) < probability).sum(axis=1)
        table = forecast_escalations(np.repeat(np.arange(400), 50), probability.ravel(), "m").pivot(index="site", columns="quantile", values="demand")
        inside = ((happened >= table[0.025]) & (happened <= table[0.975])).mean()
        assert 0.94 <= inside <= 0.995, "counts are whole, so that an honest interval holds a little more"


class TestLoading:
    def test_same_seed_same_stays_and_called_synthetic(self):
        one, again, other = make_stays(5, 60), make_stays(5, 60), make_stays(6, 60)
        pd.testing.assert_frame_equal(one.vitals, again.vitals)
        assert not one.vitals.equals(other.vitals) and one.synthetic and one.about.startswith("synthetic")
        assert one.stays["patient"].nunique() == 55

    def test_the_sicker_the_more_is_measured(self):
        data = make_stays(1)
        drawn = data.vitals.groupby("stay")["lactate"].count()
        worse = data.stays.set_index("stay")["worse"]
        assert drawn[worse == 1].mean() > 1.3 * drawn[worse == 0].mean()

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(MedlibError, match="sample .synthetic. or eicu_demo; got 'mimic'"):
            load_stays("mimic")

    def test_a_missing_file_lets_the_sample_stand_in_and_says_so(self, tmp_path, monkeypatch):
        monkeypatch.delenv("MEDLIB_MIRROR", raising=False)
        monkeypatch.setattr(catalog.source, "CACHE", tmp_path)
        monkeypatch.setattr("pooch.retrieve", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no route")))
        with pytest.warns(UserWarning, match="could not be downloaded.*synthetic sample stands in"):
            assert load_stays("eicu_demo").synthetic

    @needs_eicu
    def test_eicu_demo_is_as_published(self):
        data = load_eicu_demo()
        values, names = arrange_hours(data.vitals, data.stays)
        assert values.shape == (1367, 25, 52) and data.stays["worse"].sum() == 70 and not data.synthetic
        hourly = values[:, :, :48]
        assert np.isnan(hourly).mean() == pytest.approx(0.85, abs=0.05) and names[-4:] == ["age_years", "male", "height_cm", "weight_kg"]
        assert "ODbL" in data.about and "death in the unit" in data.about
        assert data.stays["patient"].nunique() == 965 and data.stays["unit"].nunique() == 10
        assert data.stays.groupby("patient")["unit"].nunique().max() == 1
