"""A convolutional network that tells a device's state from its picture, and the baseline it has to beat."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from medlib.errors import MedlibError
from medlib.nets import PictureCNN
from medlib.recognise.base import NetClassifier
from medlib.recognise.photos import list_photos, read_photos
from medlib.recognise.trust import measure_calibration
from medlib.train import fit_net

#: Pictures of each state that it takes to learn something and to measure it on others.
FEWEST = 10


class PictureClassifier(NetClassifier):
    """A small convolutional network; pictures are flipped, moved, stretched and lit anew each time it sees them.

    Parameters
    ----------
    width, dropout
        As in `medlib.nets.PictureCNN`.
    epochs, rate, batch
        As in `medlib.train.fit_net`.
    smoothing : float
        Share of certainty that is taken from the right class and spread over all while learning.
    flip : bool
        Mirrored pictures show the same; of writing they don't.
    seed : int
    """

    at_once = 64

    def __init__(self, width: int = 16, dropout: float = 0.3, epochs: int = 10, rate: float = 4e-3, batch: int = 32,
                 smoothing: float = 0.05, flip: bool = True, seed: int = 1):
        self.width, self.dropout, self.epochs, self.rate = width, dropout, epochs, rate
        self.batch, self.smoothing, self.flip, self.seed = batch, smoothing, flip, seed

    def fit(self, pictures: np.ndarray, states: np.ndarray) -> PictureClassifier:
        """Learn from pictures of shape (pictures, side, side, 3), 0 to 255, and their states (pictures,).

        Raises
        ------
        MedlibError
            Pictures of another form, not as many states, or of one kind only.
        """
        inputs = arrange_pictures(pictures)
        if len(states) != len(inputs):
            raise MedlibError(f"Every picture needs one state; got {len(inputs)} pictures and {len(states)} states.")
        codes = self.encode_labels(states)
        torch.manual_seed(self.seed)
        net = self.build_net(len(self.classes_))
        loss = torch.nn.CrossEntropyLoss(label_smoothing=self.smoothing)
        self.net_ = fit_net(net, (inputs,), codes, loss, self.epochs, self.rate, self.seed, self.batch,
                            change=partial(change_pictures, flip=self.flip))
        return self

    def build_net(self, classes: int) -> PictureCNN:
        """The network before it has learned, its memory in the order in which convolutions run fastest."""
        return PictureCNN(classes, self.width, self.dropout).to(memory_format=torch.channels_last)

    def arrange(self, pictures: np.ndarray) -> torch.Tensor:
        """As `arrange_pictures`."""
        return arrange_pictures(pictures)

    def feed(self, part: torch.Tensor) -> torch.Tensor:
        """Values from 0 to 1."""
        return part.float() / 255


def arrange_pictures(pictures: np.ndarray) -> torch.Tensor:
    """Bring pictures (pictures, side, side, 3), whole numbers 0 to 255, to a network's order (pictures, 3, side, side)."""
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise MedlibError("Pictures must be whole numbers from 0 to 255 (uint8) of shape (pictures, height, width, 3); got "
                          f"{pictures.dtype} of shape {pictures.shape}.")
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)


def change_pictures(pictures: torch.Tensor, flip: bool = True) -> torch.Tensor:
    """Flip (or not), move, stretch and light each picture anew; 0 to 255 becomes 0 to 1."""
    count, device = len(pictures), pictures.device
    draw = lambda *shape: 2 * torch.rand(*shape, device=device) - 1
    way = torch.zeros(count, 2, 3, device=device)
    for axis in (0, 1):
        way[:, axis, axis] = (1 + 0.15 * draw(count)) * (draw(count).sign() if flip else 1)
    way[:, :, 2] = 0.1 * draw(count, 2)
    places = torch.nn.functional.affine_grid(way, list(pictures.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pictures.float() / 255, places, padding_mode="border", align_corners=False)
    light = 1 + 0.2 * torch.randn(count, 1, 1, 1, device=device)
    return (moved * light * (1 + 0.1 * torch.randn(count, 3, 1, 1, device=device))).clamp(0, 1)


def explain_picture(model: PictureClassifier, picture: np.ndarray, state: object) -> np.ndarray:
    r"""Show where the network sees a state in a picture (Grad-CAM).

    .. math:: \operatorname{max}\Big(0, \sum_k \bar g_k A_k\Big), \qquad \bar g_k = \text{mean over places of } \partial z / \partial A_k

    with the last filters' answers :math:`A_k` and the state's log-odds :math:`z`.

    Parameters
    ----------
    model : PictureClassifier
        Fitted.
    picture : numpy.ndarray
        Shape (side, side, 3), 0 to 255.
    state : object
        One of the model's `classes_`.

    Returns
    -------
    numpy.ndarray
        Shape (side, side), from 0 to 1 where anything speaks for the state, else 0.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM, ICCV (arXiv:1610.02391).
    """
    if state not in model.classes_:
        raise MedlibError(f"The state must be one of {', '.join(map(str, model.classes_))}; got {state!r}.")
    net = model.net_.eval()
    with torch.no_grad():
        found = net.look(arrange_pictures(picture[None]).to(next(net.parameters()).device).float() / 255)
    odds = net.judge(found.requires_grad_())[0, list(model.classes_).index(state)]
    slope, = torch.autograd.grad(odds, found)
    heat = (slope.mean(dim=(2, 3), keepdim=True) * found).sum(dim=1, keepdim=True).relu().detach()
    heat = torch.nn.functional.interpolate(heat, picture.shape[:2], mode="bilinear")[0, 0].cpu().numpy()
    return heat / max(float(heat.max()), 1e-9)


def call_devices(model: PictureClassifier, equipment: pd.DataFrame, names: Sequence[str], confidence: float,
                 side: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Tell the state of each device: a person's word where someone looked, else the network's.

    Parameters
    ----------
    model : PictureClassifier
        Fitted and calibrated.
    equipment : pandas.DataFrame
        As the table of this name.
    names : sequence of str
        Of the model's classes, in their order.
    confidence : float
        The network's answers below it are left to people, in [0, 1]; so are pictures that cannot be read.
    side : int
        Pixels at which pictures are looked at.

    Returns
    -------
    called : pandas.DataFrame
        As the table `equipment_state`.
    probability : numpy.ndarray
        Shape (devices, states), the network's, also where a person decided.
    """
    pictures, refused = read_photos(map(io.BytesIO, equipment["picture"]), side)
    probability = model.predict_proba(pictures)
    person, unread = equipment["checked"].notna().to_numpy(), np.isin(np.arange(len(equipment)), list(refused))
    sure = np.where(unread, 0.0, probability.max(axis=1))
    decided = np.select([person, sure >= confidence], ["person", "network"], "left to people")
    state = np.where(person, equipment["checked"], np.array(names)[probability.argmax(axis=1)])
    found = {"state": state, "confidence": np.where(person, 1.0, sure), "decided_by": decided}
    return equipment[["site", "device", "resource"]].assign(**found), probability


def learn_photos(folder: Path, side: int, **settings: object) -> tuple[PictureClassifier, dict[str, float], list[str]]:
    """Learn from a user's photographs, a folder a state, and measure on three tenths of them that are held out.

    Parameters
    ----------
    folder : Path
        See `medlib.recognise.photos.list_photos`.
    side : int
        Pixels to which photographs are scaled.
    **settings
        Of `PictureClassifier`.

    Returns
    -------
    model : PictureClassifier
        Calibrated on the held-out pictures.
    measured : dict of str to float
        pictures, held_out, balanced_accuracy, baseline_balanced_accuracy, calibration_error (of each half of the held-out pictures with
        the temperature of the other).
    refused : list of str
        Why pictures were not read.

    Raises
    ------
    MedlibError
        The folder is not as it must be, or a state has fewer than `FEWEST` pictures that can be read.
    """
    photos = list_photos(folder)
    pictures, refused = read_photos(photos["file"], side)
    good = ~photos.index.isin(list(refused))
    states, pictures = photos["state"].to_numpy()[good], pictures[good]
    for state in photos["state"].unique():
        if (count := (states == state).sum()) < FEWEST:
            raise MedlibError(f"Learning takes at least {FEWEST} pictures a state that can be read; got {count} of {state!r}.")
    learned, held, told, true = train_test_split(pictures, states, test_size=0.3, stratify=states, random_state=0)
    # Few pictures in small batches, so that an epoch takes some steps.
    model = PictureClassifier(**{"batch": int(np.clip(len(told) // 16, 4, 32))} | settings).fit(learned, told)
    measured = {"pictures": len(states), "held_out": len(true), "balanced_accuracy": balanced_accuracy_score(true, model.predict(held)),
                "baseline_balanced_accuracy": balanced_accuracy_score(true, make_baseline().fit(learned, told).predict(held)),
                "calibration_error": _cross_calibrate(model, held, true)}
    return model.calibrate(held, true), measured, list(refused.values())


def _cross_calibrate(model: PictureClassifier, pictures: np.ndarray, states: np.ndarray) -> float:
    """Expected calibration error where each half of the pictures is judged by the temperature of the other."""
    codes, probability = np.searchsorted(model.classes_, states), np.empty((len(states), len(model.classes_)))
    for learned, judged in StratifiedKFold(2).split(pictures, states):
        probability[judged] = model.calibrate(pictures[learned], states[learned]).predict_proba(pictures[judged])
    return measure_calibration(probability, codes)


def label_photos(model: PictureClassifier, files: Sequence[Path], side: int, confidence: float) -> pd.DataFrame:
    """Label photographs.

    Returns
    -------
    pandas.DataFrame
        file, state, confidence, probability_<state> for each state, left_to_people, refused (why it could not be read, else empty).
    """
    pictures, refused = read_photos(files, side)
    probability = model.predict_proba(pictures)
    labels = pd.DataFrame({"file": [str(file) for file in files], "state": model.classes_[probability.argmax(axis=1)],
                           "confidence": probability.max(axis=1)})
    labels = labels.join(pd.DataFrame(probability, columns=[f"probability_{state}" for state in model.classes_]))
    labels.loc[list(refused), labels.columns[1:]] = None
    labels["left_to_people"] = ~(labels["confidence"] >= confidence)
    return labels.assign(refused=[refused.get(number, "") for number in range(len(labels))])


def count_colours(pictures: np.ndarray, bins: int = 6) -> np.ndarray:
    """Colour histograms: share of each picture's pixels in bins by red, green and blue, shape (pictures, bins cubed)."""
    count = lambda picture: np.bincount(((picture.astype(int) * bins // 256) @ [bins * bins, bins, 1]).reshape(-1), minlength=bins**3)
    return np.stack([count(picture) for picture in pictures]) / pictures[0][..., 0].size


def make_baseline() -> Pipeline:
    """Logistic regression on colour histograms."""
    return make_pipeline(FunctionTransformer(count_colours), FunctionTransformer(np.sqrt), StandardScaler(),
                         LogisticRegression(C=0.1, max_iter=1000))
