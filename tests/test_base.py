"""Classifiers by network: calibrated by one number, and weights that come back as they were, or as one sentence."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from medlib.errors import MedlibError
from medlib.recognise.base import NetClassifier


class Linear(NetClassifier):
    """Log-odds that are a linear map, set and not learned."""

    def __init__(self, inputs: int = 3, scale: float = 1.0):
        self.inputs, self.scale = inputs, scale

    def build_net(self, classes):
        return torch.nn.Linear(self.inputs, classes, bias=False)

    def fit(self, items, labels):
        self.encode_labels(labels)
        self.net_ = self.build_net(len(self.classes_))
        with torch.no_grad():
            self.net_.weight.copy_(self.scale * torch.eye(len(self.classes_), self.inputs))
        return self

    def decision_function(self, items):
        with torch.no_grad():
            odds = self.net_(torch.tensor(items, dtype=torch.float32)).numpy().astype(float)
        return odds[:, 1] - odds[:, 0] if len(self.classes_) == 2 else odds


class Other(Linear):
    pass


def draw(classes=3, count=4000, seed=1):
    """Log-odds, and classes that come true with just these odds."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, (count, classes))
    probability = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    return odds, np.array(list("abc"))[(probability.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)]


@pytest.mark.parametrize("classes", [2, 3])
def test_one_temperature_makes_probabilities_honest(classes):
    odds, labels = draw(classes)
    model = Linear(classes, scale=2.5).fit(odds, labels)
    before = model.predict(odds)
    assert model.calibrate(odds, labels) is model and model.temperature_ == pytest.approx(2.5, rel=0.1)
    assert (model.predict(odds) == before).all()
    library = CalibratedClassifierCV(FrozenEstimator(Linear(classes, scale=2.5).fit(odds, labels)), method="temperature").fit(odds, labels)
    np.testing.assert_allclose(model.predict_proba(odds[:50]), library.predict_proba(odds[:50]), atol=2e-3)
    assert model.fit(odds, labels).temperature_ == 1, "what is learned anew is not calibrated"


def test_probabilities_by_hand():
    model = Linear(2).fit(np.zeros((2, 2)), np.array(["no", "yes"]))
    model.temperature_ = 2.0
    assert model.predict_proba(np.array([[0.0, 2 * np.log(3)]])) == pytest.approx(np.array([[0.25, 0.75]]))
    assert model.predict(np.array([[0.0, 1.0], [1.0, 0.5]])).tolist() == ["yes", "no"]


@pytest.mark.parametrize("labels", [np.array(["a", "b", "c"]), np.array([3, 5, 8])])
def test_saved_weights_come_back(tmp_path, labels):
    odds = draw()[0][:30]
    model = Linear(3, scale=1.7).fit(odds, np.tile(labels, 10)).calibrate(odds, np.tile(labels, 10))
    model.save(tmp_path / "new" / "weights.pt")
    again = Linear.load(tmp_path / "new" / "weights.pt")
    assert again.get_params() == model.get_params() and again.temperature_ == model.temperature_
    np.testing.assert_array_equal(again.predict_proba(odds), model.predict_proba(odds))
    np.testing.assert_array_equal(again.predict(odds), model.predict(odds))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights.pt"], "no part of a file is left"


class Code:
    def __reduce__(self):
        return (pytest.fail, ("code in a file was run",))


def spoil(file, how):
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    elif how == "code":
        torch.save({"kind": "Linear", "settings": Code()}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps(Code()))
    elif how == "text":
        file.write_text("no weights")
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "gone":
        file.unlink()
    else:
        saved = torch.load(file, weights_only=True)
        torch.save({"list": [1, 2], "key": {"kind": "Linear"}, "settings": saved | {"settings": {"wide": 3}},
                    "shape": saved | {"settings": {"inputs": 4}}, "classes": saved | {"classes": ["a"]}}[how], file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["cut", "code", "pickle", "text", "empty", "gone", "list", "key", "settings", "shape", "classes"])
def test_a_file_that_holds_no_weights_is_one_sentence(tmp_path, how):
    file = tmp_path / "weights.pt"
    Linear().fit(*draw(count=20)).save(file)
    spoil(file, how)
    with pytest.raises(MedlibError) as found:
        Linear.load(file)
    message = str(found.value)
    assert "weights.pt" in message and "\n" not in message and ". " not in message and message.endswith(".")


def test_weights_of_another_kind_are_refused(tmp_path):
    Other().fit(*draw(count=20)).save(tmp_path / "weights.pt")
    with pytest.raises(MedlibError, match="weights of a Linear; got those of a Other"):
        Linear.load(tmp_path / "weights.pt")


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(MedlibError, match="cannot be written"):
        Linear().fit(*draw(count=20)).save(tmp_path / "folder" / "weights.pt")


def test_one_class_and_unknown_classes_are_refused():
    with pytest.raises(MedlibError, match="at least two classes; got a"):
        Linear().fit(np.zeros((2, 3)), ["a", "a"])
    model = Linear().fit(*draw(count=20))
    for labels, words in ((["d"], "got d"), ([], "got none")):
        with pytest.raises(MedlibError, match=words):
            model.calibrate(np.zeros((len(labels), 3)), labels)
