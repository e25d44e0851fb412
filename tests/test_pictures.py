"""Pictures: the network learns what a histogram can't, a seed repeats, and bad input is one sentence."""

import numpy as np
import pytest
import torch

from medlib.errors import MedlibError
from medlib.nets import PictureCNN
from medlib.recognise.pictures import PictureClassifier, change_pictures, count_colours, make_baseline


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


def test_histograms_by_hand():
    pictures = np.zeros((1, 2, 2, 3), np.uint8)
    pictures[0, 0, 0] = 255
    found = count_colours(pictures, bins=2)[0]
    assert found.tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0.25]


@pytest.mark.parametrize(("pictures", "states", "words"), [
    (np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1], "uint8"), (np.zeros((4, 8, 8, 3)), [0, 1, 0, 1], "got float64 of shape"),
    (np.zeros((4, 8, 8, 3), np.uint8), [0, 1], "got 4 pictures and 2 states"), (np.zeros((2, 8, 8, 3), np.uint8), ["on", "on"], "two states; got on"),
    (np.zeros((0, 8, 8, 3), np.uint8), [], "two states; got none")])
def test_what_cannot_be_learned_from_is_refused(pictures, states, words):
    with pytest.raises(MedlibError, match=words):
        PictureClassifier().fit(pictures, np.array(states))
