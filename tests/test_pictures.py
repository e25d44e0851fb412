"""Pictures: the network learns what a histogram can't, a seed repeats, and bad input is one sentence."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medlib.errors import MedlibError
from medlib.nets import PictureCNN
from medlib.recognise.counting import cross_answers
from medlib.recognise.pictures import (PictureClassifier, call_devices, change_pictures, count_colours, explain_picture,
                                        make_baseline)


def make_shapes(count=240, seed=1):
    """Bars that lie or stand, in random colours: the colours tell nothing."""
    random = np.random.default_rng(seed)
    pictures, stands = random.integers(0, 60, (count, 24, 24, 3)).astype(np.uint8), random.integers(0, 2, count)
    for picture, stand in zip(pictures, stands):
        place, colour = random.integers(6, 16), random.integers(120, 255, 3)
        view = picture if stand else picture.transpose(1, 0, 2)
        view[3:21, place:place + 3] = colour
    return pictures, np.where(stands, "stands", "lies")


@pytest.fixture(scope="module")
def learned():
    return PictureClassifier(width=6, epochs=8, batch=16).fit(*make_shapes())


def test_the_network_learns_a_form_that_colours_do_not_tell(learned):
    pictures, states = make_shapes(seed=2)
    baseline = make_baseline().fit(*make_shapes())
    assert learned.score(pictures, states) > 0.95 and baseline.score(pictures, states) < 0.7
    probability = learned.predict_proba(pictures)
    assert probability.sum(axis=1) == pytest.approx(1) and probability.shape == (240, 2)
    assert (learned.predict(pictures) == learned.classes_[(learned.decision_function(pictures) > 0).astype(int)]).all()
    assert learned.predict_proba(pictures[:0]).shape == (0, 2)


def test_a_seed_repeats():
    first, again = (PictureClassifier(width=4, epochs=1).fit(*make_shapes(60)).predict_proba(make_shapes(9)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_the_default_network_is_small():
    assert sum(part.numel() for part in PictureCNN(4).parameters()) < 300_000


def test_changed_pictures_keep_their_form():
    torch.manual_seed(1)
    changed = change_pictures(torch.full((50, 3, 12, 12), 128, dtype=torch.uint8))
    assert changed.shape == (50, 3, 12, 12) and 0 <= changed.min() and changed.max() <= 1
    assert changed.mean() == pytest.approx(0.5, abs=0.08) and changed.mean(dim=(2, 3)).std() > 0.05


def test_pictures_that_must_not_be_mirrored_are_not():
    """A bright left half stays on the left."""
    torch.manual_seed(1)
    halves = torch.zeros((60, 3, 12, 12), dtype=torch.uint8)
    halves[..., :6] = 200
    left = lambda flip: (lambda changed: changed[..., :3].mean((1, 2, 3)) > changed[..., 9:].mean((1, 2, 3)))(change_pictures(halves, flip))
    assert left(False).all() and 0.3 < left(True).float().mean() < 0.7


def make_patches(count, seed):
    """Noise with a striped patch somewhere, whose stripes lie or stand; gives the patch's place as well."""
    random = np.random.default_rng(seed)
    pictures = random.integers(90, 150, (count, 48, 48, 3)).astype(np.uint8)
    stands, inside = np.arange(count) % 2, np.zeros((count, 48, 48), bool)
    for picture, stand, there in zip(pictures, stands, inside):
        x, y = random.integers(0, 30, 2)
        there[y:y + 18, x:x + 18] = True
        stripes = np.where(np.arange(18) // 3 % 2, 255, 0)[:, None, None]
        picture[y:y + 18, x:x + 18] = stripes.transpose(1, 0, 2) if stand else stripes
    return pictures, np.where(stands, "stands", "lies"), inside


def test_the_network_looks_where_the_stripes_are():
    pictures, states, _ = make_patches(160, 1)
    model = PictureClassifier(width=6, epochs=8, batch=16).fit(pictures, states)
    pictures, states, inside = make_patches(30, 2)
    assert model.score(pictures, states) > 0.9
    heat = np.stack([explain_picture(model, picture, state) for picture, state in zip(pictures, states)])
    assert heat.shape == (30, 48, 48) and 0 <= heat.min() and heat.max() == pytest.approx(1)
    assert heat[inside].mean() > 1.5 * heat[~inside].mean()
    with pytest.raises(MedlibError, match="one of lies, stands; got 'flies'"):
        explain_picture(model, pictures[0], "flies")


def test_a_person_overrules_and_what_is_not_sure_or_not_readable_is_left_to_people(learned):
    pictures, states = make_shapes(12, seed=4)
    packed = []
    for picture in pictures:
        Image.fromarray(picture).save(file := io.BytesIO(), "PNG")
        packed.append(file.getvalue())
    packed[3] = b"no picture"
    equipment = pd.DataFrame({"site": "a", "device": [f"d{number}" for number in range(12)], "resource": "ventilator", "picture": packed,
                              "checked": ["lies"] + [None] * 11})
    called, probability = call_devices(learned, equipment, ["lies", "stands"], 0.8, 24)
    expected = learned.predict_proba(pictures)
    rest = [number for number in range(12) if number not in (0, 3)]
    np.testing.assert_allclose(probability[rest], expected[rest], atol=1e-6)
    assert called.loc[0, ["state", "confidence", "decided_by"]].tolist() == ["lies", 1.0, "person"]
    assert called.loc[3, ["confidence", "decided_by"]].tolist() == [0.0, "left to people"]
    assert called["confidence"].to_numpy()[rest] == pytest.approx(expected.max(axis=1)[rest])
    assert (called["decided_by"][rest] == np.where(expected.max(axis=1) >= 0.8, "network", "left to people")[rest]).all()
    assert (called["state"][rest] == learned.predict(pictures)[rest]).all()


def test_histograms_by_hand():
    pictures = np.zeros((1, 2, 2, 3), np.uint8)
    pictures[0, 0, 0] = 255
    found = count_colours(pictures, bins=2)[0]
    assert found.tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0.25]


@pytest.mark.parametrize(("pictures", "states", "words"), [
    (np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1], "uint8"), (np.zeros((4, 8, 8, 3)), [0, 1, 0, 1], "got float64 of shape"),
    (np.zeros((4, 8, 8, 3), np.uint8), [0, 1], "got 4 pictures and 2 states"),
    (np.zeros((2, 8, 8, 3), np.uint8), ["on", "on"], "two classes; got on"),
    (np.zeros((0, 8, 8, 3), np.uint8), [], "two classes; got none")])
def test_what_cannot_be_learned_from_is_refused(pictures, states, words):
    with pytest.raises(MedlibError, match=words):
        PictureClassifier().fit(pictures, np.array(states))


def test_no_devices_and_nobody_who_looked(learned):
    empty = pd.DataFrame({name: [] for name in ("site", "device", "resource", "picture", "checked")}, dtype=object)
    called, probability = call_devices(learned, empty, ["lies", "stands"], 0.8, 24)
    assert len(called) == 0 and probability.shape == (0, 2)
    assert list(called) == ["site", "device", "resource", "state", "confidence", "decided_by"]
    assert cross_answers(np.empty(0, int), probability, 0.8).tolist() == [[0] * 4] * 2
