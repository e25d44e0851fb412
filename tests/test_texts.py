"""Reading texts: words and their parts, the small Transformer and its baseline, and why it answers as it does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.errors import MedlibError
from medlib.recognise import texts
from medlib.recognise.pretrained import make_pretrained

WORDS = {"ventilator": ("Beatmungsgerät Evita", "ICU ventilator", "respirateur adulte", "Servo-u vent."),
         "bed": ("Krankenbett elektrisch", "ward bed", "lit médicalisé", "Stiegelmeyer Puro Bett")}
LINES = [f"{name}, {number} pcs" for number in range(1, 9) for names in WORDS.values() for name in names]
LABELS = [item for _ in range(1, 9) for item, names in WORDS.items() for _ in names]


@pytest.fixture(scope="module")
def network():
    return texts.TextClassifier(width=32, layers=1, heads=2, epochs=4, steps=60, batch=16, members=2).fit(LINES, LABELS)


class TestWords:
    def test_words_and_numbers(self):
        assert texts.split_words("Vent. Dräger Evita-V500, 2 Stk") == ["vent", "dräger", "evita", "v", "500", "2", "stk"]

    def test_parts(self):
        assert texts.cut_word("bed") == ["bed", "<be", "bed", "ed>", "<bed", "bed>", "<bed>"]
        assert len(texts.cut_word("a" * 1000)) == texts.MOST_PARTS

    def test_a_slip_keeps_most_parts(self):
        right, wrong, other = (set(texts.cut_word(word)) for word in ("ventilator", "ventilattor", "krankenbett"))
        assert len(right & wrong) > 8 > len(right & other)

    def test_numbers_of_parts(self):
        numbers = texts.number_parts(["bed", "ward bed"])
        assert numbers.shape == (2, 2, texts.MOST_PARTS)
        assert (numbers[0, 0] == numbers[1, 1]).all() and (numbers[0, 1] == 0).all()
        assert 0 < numbers[numbers > 0].min() and numbers.max() < texts.PARTS

    @pytest.mark.parametrize("text", ["", "  \n", None, 3.5, float("nan")])
    def test_what_is_no_text(self, text):
        with pytest.raises(MedlibError, match="must be a text that is not blank"):
            texts.split_words(text)

    @settings(deadline=None)
    @given(st.text(max_size=80).filter(str.strip))
    def test_any_text_has_words(self, text):
        assert 1 <= len(texts.split_words(text)) <= texts.MOST_WORDS


class TestNetwork:
    def test_learns(self, network):
        assert (network.predict(LINES) == np.array(LABELS)).mean() == 1.0
        assert list(network.predict(["Beatmungsgeraet Evita, 3 Stk", "hospital bed"])) == ["ventilator", "bed"]

    @pytest.mark.parametrize("text", ["x " * 50_000, "9" * 100_000, "😀🚑 2 pcs", "呼吸机 вентилятор جهاز 3", "\u202e\u0000 bed", "---"])
    def test_odd_texts_get_probabilities(self, network, text):
        found = network.predict_proba([text])
        assert found.shape == (1, 2) and np.isclose(found.sum(), 1.0) and np.isfinite(found).all()

    def test_answers_don_t_depend_on_company(self, network):
        alone = np.concatenate([network.predict_proba([line]) for line in LINES[:5]])
        assert np.allclose(alone, network.predict_proba(LINES[:5] + ["a much longer line, with many more words than all the others have"])[:5], atol=1e-5)

    def test_same_seed_same_network(self, network):
        again = texts.TextClassifier(width=32, layers=1, heads=2, epochs=4, steps=60, batch=16, members=2).fit(LINES, LABELS)
        assert np.array_equal(again.decision_function(LINES), network.decision_function(LINES))

    def test_few_texts_are_seen_often_enough(self, monkeypatch):
        seen = []
        monkeypatch.setattr(texts, "fit_net", lambda net, inputs, target, loss, epochs, *rest, **more: seen.append(epochs) or net)
        texts.TextClassifier(epochs=3, steps=40, batch=16, members=2).fit(LINES, LABELS)  # 64 texts: 4 steps an epoch
        assert seen == [10, 10]

    def test_weights_are_kept_without_code(self, network, tmp_path):
        network.save(tmp_path / "reader.pt")
        loaded = texts.TextClassifier.load(tmp_path / "reader.pt")
        assert np.allclose(loaded.predict_proba(LINES), network.predict_proba(LINES))
        torch.load(tmp_path / "reader.pt", weights_only=True)

    def test_refuses_labels_that_don_t_fit(self):
        with pytest.raises(MedlibError, match="one label; got 2 texts and 1 labels"):
            texts.TextClassifier().fit(["a", "b"], ["x"])
        with pytest.raises(MedlibError, match="at least two classes"):
            texts.TextClassifier().fit(["a", "b"], ["x", "x"])
        with pytest.raises(MedlibError, match="not blank"):
            texts.TextClassifier().fit(["a", " "], ["x", "y"])


class TestWhy:
    def test_the_word_that_decides_weighs_most(self, network):
        found = texts.explain_text(network, "Evita, 5 pcs", "ventilator").set_index("word")
        assert found["weight"].idxmax() == "evita" and found["weight"].max() > 0.5
        assert np.isclose(found["attention"].sum(), 1.0)

    def test_weight_is_the_fall_in_log_probability(self, network):
        network.temperature_ = 1.0
        found = texts.explain_text(network, "Krankenbett Evita", "bed").set_index("word")["weight"]
        place = list(network.classes_).index("bed")
        whole, without = (np.log(network.predict_proba([text])[0, place]) for text in ("Krankenbett Evita", "Krankenbett"))
        assert found["evita"] == pytest.approx(whole - without, abs=1e-4)

    def test_attention_is_shared_out(self, network):
        found = texts.show_attention(network, "ICU ventilator, in repair")
        assert found.shape == (4, 4) and np.allclose(found.sum(axis=1), 1.0, atol=1e-5)

    def test_one_word(self, network):
        assert len(texts.explain_text(network, "Servo")) == 1


def test_baseline_learns():
    assert (texts.make_baseline().fit(LINES, LABELS).predict(LINES) == np.array(LABELS)).all()


def test_pretrained_encoder_reads_or_says_what_to_install():
    try:
        model = make_pretrained(with_words=False)
    except MedlibError as error:
        assert "install medlib[text]" in str(error)
        return
    assert (model.fit(LINES, LABELS).predict(["mechanical ventilator", "bed for a ward"]) == ["ventilator", "bed"]).all()
