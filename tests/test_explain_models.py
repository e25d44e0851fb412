"""Explanations of forests and networks: they add up, they find causes that are known, and they change when what was learned is destroyed."""

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image, ImageDraw
from sklearn.ensemble import RandomForestRegressor

from medlib import forecast
from medlib.errors import MedlibError
from medlib.explain import models, networks
from medlib.patients.condition import RecurrentClassifier
from medlib.patients.needs import NeedForest
from medlib.prepare import expand, make_features, shrink
from medlib.recognise.panels import DESIGNS, LIT, SIDE, draw_panel
from medlib.recognise.pictures import PictureClassifier, arrange_pictures, explain_picture
from medlib.recognise.texts import TextClassifier, explain_text


def make_wide(freq: str, periods: int) -> pd.DataFrame:
    random = np.random.default_rng(4)
    columns = pd.MultiIndex.from_product([["bed", "drug"], ["A", "B"]], names=["resource", "site"])
    wave = 40 + 10 * np.sin(np.arange(periods) / 5)[:, None] * [1, 0.5, 0.2, 2] + random.normal(0, 2, (periods, 4))
    return pd.DataFrame(wave.clip(1), pd.date_range("2022-01-01", periods=periods, freq=freq, name="date"), columns)


def tidy(wide: pd.DataFrame) -> pd.DataFrame:
    return wide.stack(["resource", "site"]).rename("demand").reset_index()


class TestWords:
    @pytest.mark.parametrize(("feature", "words"), [
        ("level", "level now"), ("common_change_7", "change over 7 periods, all sites"), ("change_1", "change over 1 period"),
        ("slope_3_1", "slope of the last 3 periods"), ("common_bend_5", "bend of the last 5 periods, all sites"),
        ("fit_5_2", "distance from the fit of the last 5 periods"), ("change_last_year", "change since last year"), ("age_years", "age years")])
    def test_names(self, feature, words):
        assert models.name_feature(feature) == words

    @pytest.mark.parametrize(("freq", "trends"), [("D", True), ("D", False), ("MS", True)])
    def test_every_feature_of_the_forests_has_words_and_one_group(self, freq, trends):
        features, _ = make_features(make_wide(freq, 60), np.array([40]), 3, freq, trends=trends)
        assert not any("_" in models.name_feature(name) for name in features)
        grouped = [name for names in models.group_lags(features.columns).values() for name in names]
        assert sorted(grouped) == sorted(features.columns) and len(models.group_lags(features.columns)) == 4

    def test_alike_are_grouped_in_either_direction(self):
        random = np.random.default_rng(1)
        one, other = random.normal(size=(2, 200))
        table = pd.DataFrame({"income": one, "poverty": -np.exp(one), "age": other, "year": 1.0})
        assert list(models.group_alike(table).values()) == [["income", "poverty"], ["age"], ["year"]]


class TestImportance:
    def test_by_hand(self):
        features, target = pd.DataFrame({"used": [1.0, 2.0, 4.0, 9.0], "idle": [3.0, 1.0, 2.0, 0.0]}), np.array([2.0, 4.0, 8.0, 18.0])
        found = models.rank_features(lambda rows: 2 * rows["used"].to_numpy(), features, target, repeats=400).set_index("feature")
        gaps = np.abs(np.subtract.outer(target, target)).mean()  # what a value from any row misses
        assert found.loc["used", "loss"] == pytest.approx(gaps, rel=0.1) and found.loc["idle"].eq(0).all()
        assert found.loc["used", "low"] <= found.loc["used", "loss"] <= found.loc["used", "high"]

    def test_alone_it_lies_where_features_say_the_same(self):
        random = np.random.default_rng(2)
        cause, noise = random.normal(size=(2, 600))
        lags = {f"lag_{number}": cause + 0.01 * random.normal(size=600) for number in (1, 2, 3)}
        features = pd.DataFrame({**lags, "noise": noise})
        forest = RandomForestRegressor(30, max_features=1, min_samples_leaf=5, random_state=1).fit(features[:400], cause[:400])
        held, target = features[400:].reset_index(drop=True), cause[400:]
        alone = models.rank_features(forest.predict, held, target, repeats=5).set_index("feature")["loss"]
        groups = {"lags": list(lags), "noise": ["noise"]}
        together = models.rank_features(forest.predict, held, target, groups, repeats=5).set_index("feature")["loss"]
        assert together["lags"] > 2 * alone.max() and abs(together["noise"]) < 0.05 * together["lags"]

    def test_a_group_is_shuffled_as_one(self):
        features = pd.DataFrame({"high": np.arange(30.0) + 5, "low": np.arange(30.0)})
        ask, target = lambda rows: (rows["high"] - rows["low"]).to_numpy(), np.full(30, 5.0)
        assert models.rank_features(ask, features, target, {"both": ["high", "low"]})["loss"].tolist() == [0]
        assert (models.rank_features(ask, features, target)["loss"] > 1).all()

    def test_a_feature_that_is_not_there(self):
        with pytest.raises(MedlibError, match="^Groups must hold features of the table \\(age\\); got 'sex'.$"):
            models.rank_features(len, pd.DataFrame({"age": [1.0]}), np.ones(1), {"people": ["age", "sex"]})


class TestDependence:
    def test_a_straight_line_is_found(self):
        random = np.random.default_rng(3)
        features = pd.DataFrame({"dose": random.uniform(0, 10, 50), "age": random.uniform(0, 80, 50)})
        found = models.trace_feature(lambda rows: (3 * rows["dose"] + rows["age"]).to_numpy(), features, "dose", points=7)
        assert np.diff(found["effect"]) / np.diff(found["value"]) == pytest.approx(3) and found["effect"].mean() == pytest.approx(0)
        assert found["low"].to_numpy() == pytest.approx(found["high"].to_numpy())

    def test_single_rows_may_go_the_other_way(self):
        features = pd.DataFrame({"dose": np.tile(np.arange(8.0), 10), "kind": np.repeat([1.0, -1.0], 40)})
        found = models.trace_feature(lambda rows: (rows["dose"] * rows["kind"]).to_numpy(), features, "dose", points=5)
        assert found["effect"].abs().max() < 1e-9 and (found["high"] - found["low"]).iloc[0] > 5

    def test_a_feature_that_is_not_there(self):
        with pytest.raises(MedlibError, match="^The feature must be one of age; got 'sex'.$"):
            models.trace_feature(len, pd.DataFrame({"age": [1.0]}), "sex")


@pytest.fixture(scope="module", params=[("D", False, 120), ("MS", True, 80)], ids=["daily", "monthly, extra trees"])
def learned(request):
    freq, extra, periods = request.param
    wide = make_wide(freq, periods)
    forest = forecast.RandomForest(4, trees=8, leaf=5, rows=2000, extra=extra)
    return forest.fit(tidy(wide.iloc[:-6])).observe(tidy(wide)), wide


class TestParts:
    def test_a_demand_forest_adds_up(self, learned):
        forest, wide = learned
        rows, _ = forest.make_rows(wide, np.array([60, 70]))
        base, parts = models.split_answers(forest, rows)
        answers = np.mean([tree.predict(rows.to_numpy()) for tree in forest.model.estimators_], axis=0)
        assert base + parts.sum(axis=1).to_numpy() == pytest.approx(answers, abs=1e-9) and parts.columns.equals(rows.columns)
        assert np.ptp(answers) > 0.1

    def test_a_need_forest_adds_up_and_finds_the_cause(self):
        random = np.random.default_rng(6)
        people = pd.DataFrame({"age": random.uniform(20, 90, 400), "illness": random.integers(0, 4, 400) * 1.0, "noise": random.normal(size=400)})
        need = 2 * people["illness"] ** 2 + random.random(400)
        people.loc[::7, "illness"] = np.nan
        forest = NeedForest(trees=20, leaf=5).fit(people[:300], need[:300])
        base, parts = models.split_answers(forest, people[300:])
        assert base + parts.sum(axis=1).to_numpy() == pytest.approx(forest.predict(people[300:]), abs=1e-4)
        assert list(parts) == ["age", "illness", "noise"] and parts.abs().mean().idxmax() == "illness"
        most = people["illness"][300:] == 3
        assert (parts.loc[most[most].index, "illness"] > 1).all()

    def test_a_forecast_in_units(self, learned):
        forest, wide = learned
        as_of, date = wide.index[-2], wide.index[-1]
        parts = models.explain_forecast(forest, as_of, date, "B", "drug")
        rows, scales = forest.describe(wide.loc[:as_of], np.array([len(wide) - 2]), 4)
        answer = np.mean([tree.predict(rows.to_numpy()[3:4]) for tree in forest.model.estimators_]) * forest.spread[0]
        anchor = wide["drug", "B"].iloc[-2 if wide.index.freqstr == "D" else -13]
        assert parts.iloc[0].tolist() == ["last known figure", pytest.approx(anchor)]
        assert parts["units"].sum() == pytest.approx(float(expand(shrink(anchor, scales[3]) + answer, scales[3])))
        assert set(parts["part"].iloc[2:]) == set(models.group_lags(rows.columns))

    @pytest.mark.parametrize(("date", "site"), [(-1, "C"), (-2, "A")])
    def test_what_was_not_forecast_cannot_be_explained(self, learned, date, site):
        forest, wide = learned
        with pytest.raises(MedlibError, match=f"^A forecast to be explained is of a known series from .* got bed at {site} on "):
            models.explain_forecast(forest, wide.index[-2], wide.index[date], site, "bed")

    def test_in_words(self):
        parts = pd.DataFrame({"part": ["last known figure", "usual change", "size"], "units": [40.0, -1.25, 3.0]})
        assert models.describe_forecast(parts, pd.Timestamp("2021-12-03"), "Saxony", "icu_bed") == (
            "The forest expects 42 ICU beds at Saxony on 3 December 2021: the last known figure, 40, and usual change \N{MINUS SIGN}1.2 and "
            "size +3.0.")


@pytest.fixture(scope="module")
def stays():
    """A made-up sign decides: who breathes fast in the last hours gets worse; pulse says nothing, height was never measured."""
    random = np.random.default_rng(8)
    values = random.normal(0, 1, (400, 10, 3))
    worse = (values[:, -3:, 1].mean(axis=1) > 0.5).astype(int)
    values[random.random(values.shape) < 0.2], values[:, :, 2] = np.nan, np.nan
    return RecurrentClassifier(nets=2, hidden=16, epochs=15).fit(values[:300], worse[:300]), values[300:], worse[300:]


NAMES = ["pulse", "breathing", "height"]


class TestVitals:
    def test_parts_add_up_to_the_probability(self, stays):
        classifier, values, _ = stays
        risk, (unknown, *_) = classifier.predict_proba(values)[:, 1], classifier.predict_proba(np.full_like(values[:1], np.nan))[:, 1]
        for stay in (risk.argmax(), risk.argmin()):
            base, parts = networks.explain_vitals(classifier, values[stay], NAMES)
            assert base == pytest.approx(unknown, abs=1e-5) and base + parts.to_numpy().sum() == pytest.approx(risk[stay], abs=0.006)
            assert parts.shape == (10, 6) and set(parts.columns.get_level_values("variable")) == {"pulse", "breathing"}

    def test_the_sign_that_decides_is_found(self, stays):
        classifier, values, worse = stays
        found = sum(networks.explain_vitals(classifier, row, NAMES)[1].abs() for row in values[worse == 1][:10])["breathing", "value"]
        others = sum(networks.explain_vitals(classifier, row, NAMES)[1].abs() for row in values[worse == 1][:10]).drop(columns=("breathing", "value"))
        assert found.sum() > others.to_numpy().sum() and found.iloc[-3:].sum() > 0.7 * found.sum()

    def test_it_changes_when_the_network_is_destroyed(self, stays):
        classifier, values, _ = stays
        explain = lambda other: np.stack([networks.explain_vitals(other, row, NAMES, 256)[1].to_numpy() for row in values[:4]])
        alike = networks.compare_shaken(classifier, explain, draws=3)
        assert alike[0.0] == pytest.approx(1) and (alike.drop(0.0) < 0.6).all() and abs(alike[1.0]) < 0.5

    def test_too_coarse_an_integral_is_refused(self, stays):
        classifier, values, _ = stays
        with pytest.raises(MedlibError, match="^What the variables add must sum to the change in probability within 0.005; it misses by .* than 1 "):
            for row in values:
                networks.explain_vitals(classifier, row, NAMES, steps=1)


LAMPS = [(x * SIDE, y * SIDE) for x, y in DESIGNS["north"].lamps]


def draw_lamp(place: int, lit: bool, random: np.random.Generator) -> np.ndarray:
    """A panel that is off, and perhaps one lamp that is lit all the same."""
    picture = Image.fromarray(draw_panel("monitor", "off", "north", random, wear=0.3))
    x, y = LAMPS[place]
    if lit:
        ImageDraw.Draw(picture).ellipse((x - 4, y - 4, x + 4, y + 4), LIT[2])
    return np.asarray(picture)


@pytest.fixture(scope="module")
def lamps():
    """The lamp decides and nothing else does, wherever it is."""
    random = np.random.default_rng(9)
    lit, places = random.random(300) < 0.5, random.integers(0, 3, 300)
    pictures = np.stack([draw_lamp(place, alarm, random) for place, alarm in zip(places, lit)])
    states = np.where(lit, "alarm", "quiet")
    return PictureClassifier(width=8, epochs=12, rate=1e-2).fit(pictures[:260], states[:260]), pictures[260:], states[260:], places[260:]


class TestPictures:
    def test_the_lamp_that_decides_is_found(self, lamps):
        network, pictures, states, places = lamps
        assert (network.predict(pictures) == states).mean() > 0.9
        row, column = np.mgrid[:SIDE, :SIDE]
        shares, areas = [], []
        for picture, state, place in zip(pictures, states, places):
            near = np.hypot(column - LAMPS[place][0], row - LAMPS[place][1]) < 12
            heat = explain_picture(network, picture, state)
            if state == "alarm":
                shares.append(heat[near].sum() / max(heat.sum(), 1e-9))
                areas.append(near.mean())
        assert np.mean(shares) > 3 * np.mean(areas)

    def test_hiding_it_matters_more_than_hiding_as_much_elsewhere(self, lamps):
        network, pictures, states, _ = lamps
        found = networks.hide_hottest(network, pictures[states == "alarm"])
        assert found["hottest"].mean() > 2 * abs(found["moved"].mean()) + 0.05

    def test_it_changes_when_the_network_is_destroyed(self, lamps):
        network, pictures, states, _ = lamps
        before = [weights.clone() for weights in network.net_.parameters()]
        explain = lambda other: np.stack([explain_picture(other, picture, "alarm") for picture in pictures[states == "alarm"][:8]])
        alike = networks.compare_shaken(network, explain, draws=4)
        assert alike[0.0] == pytest.approx(1) and abs(alike[1.0]) < 0.4 and alike[0.5] < 0.6
        assert all(torch.equal(one, other) for one, other in zip(before, network.net_.parameters()))

    def test_our_map_is_the_published_one(self, lamps):
        network, pictures, *_ = lamps
        shown = arrange_pictures(pictures[:1]).float() / 255
        place = list(network.classes_).index("alarm")
        heat = LayerGradCam(network.net_.eval(), network.net_.look).attribute(shown, target=place, relu_attributions=True)
        wanted = LayerGradCam.interpolate(heat, (SIDE, SIDE), "bilinear").detach().numpy()[0, 0]
        ours = explain_picture(network, pictures[0], "alarm")
        assert ours == pytest.approx(wanted / max(wanted.max(), 1e-9), abs=1e-5)


@pytest.fixture(scope="module")
def reader():
    """One word decides; the other words are anything."""
    random = np.random.default_rng(10)
    words = ["blau", "neu", "lager", "zwei", "alt", "station", "nord", "klein"]
    keys = {"pump": "perfusor", "bed": "liege"}
    labels = random.choice(list(keys), 300)
    lines = [" ".join(random.permutation([keys[label], *random.choice(words, 4, replace=False)])) for label in labels]
    return TextClassifier(width=16, layers=1, heads=2, members=1, epochs=6, steps=120).fit(lines[:250], labels[:250]), lines[250:]


class TestTexts:
    def test_the_word_that_decides_is_found_by_leaving_it_out(self, reader):
        network, lines = reader
        found = networks.compare_attention(network, lines)
        assert found["decisive"].isin(["perfusor", "liege"]).mean() > 0.9 and len(found) == 50 and (found["words"] == 5).all()

    def test_nothing_falls_farther_than_the_decisive_word(self, reader):
        found = networks.compare_attention(*reader)
        assert (found["fall_decisive"] >= found[["fall_attended", "fall_any"]].max(axis=1) - 1e-9).all()
        assert found["fall_decisive"].mean() > 3 * found["fall_any"].mean() and found["correlation"].between(-1, 1).all()

    def test_the_fall_is_the_networks_own(self, reader):
        network, lines = reader
        row = networks.compare_attention(network, lines[:1]).iloc[0]
        rest = " ".join(word for word in lines[0].split() if word != row["decisive"])
        likely = network.predict_proba([lines[0], rest])
        assert row["fall_decisive"] == pytest.approx(likely[0].max() - likely[1][likely[0].argmax()], abs=1e-4)

    def test_short_lines_have_no_order(self, reader):
        assert networks.compare_attention(reader[0], ["perfusor neu", "liege"]).empty

    def test_it_changes_when_the_network_is_destroyed(self, reader):
        network, lines = reader
        alike = networks.compare_shaken(network, lambda other: [explain_text(other, line)["weight"].to_numpy() for line in lines[:10]], draws=3)
        assert alike[0.0] == pytest.approx(1) and abs(alike[1.0]) < 0.5
