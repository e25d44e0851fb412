"""A convolutional network that tells a device's state from its picture, and the baseline it has to beat."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from medlib.errors import MedlibError
from medlib.nets import PictureCNN
from medlib.train import choose_device, fit_net


class PictureClassifier(ClassifierMixin, BaseEstimator):
    """A small convolutional network; pictures are flipped, moved, stretched and lit anew each time it sees them.

    Parameters
    ----------
    width, dropout
        As in `medlib.nets.PictureCNN`.
    epochs, rate, batch
        As in `medlib.train.fit_net`.
    smoothing : float
        Share of certainty that is taken from the right class and spread over all while learning.
    seed : int
    """

    def __init__(self, width: int = 20, dropout: float = 0.3, epochs: int = 12, rate: float = 4e-3, batch: int = 64, smoothing: float = 0.05,
                 seed: int = 1):
        self.width, self.dropout, self.epochs, self.rate = width, dropout, epochs, rate
        self.batch, self.smoothing, self.seed = batch, smoothing, seed

    def fit(self, pictures: np.ndarray, states: np.ndarray) -> PictureClassifier:
        """Learn from pictures of shape (pictures, side, side, 3), 0 to 255, and their states (pictures,).

        Raises
        ------
        MedlibError
            Pictures of another form, not as many states, or of one kind only.
        """
        states = np.asarray(states)
        inputs = arrange_pictures(pictures)
        if len(states) != len(inputs):
            raise MedlibError(f"Every picture needs one state; got {len(inputs)} pictures and {len(states)} states.")
        self.classes_, codes = np.unique(states, return_inverse=True)
        if len(self.classes_) < 2:
            raise MedlibError(f"Learning takes pictures of at least two states; got {', '.join(map(str, self.classes_)) or 'none'}.")
        torch.manual_seed(self.seed)
        net = PictureCNN(len(self.classes_), self.width, self.dropout)
        loss = torch.nn.CrossEntropyLoss(label_smoothing=self.smoothing)
        self.net_ = fit_net(net, (inputs,), torch.tensor(codes), loss, self.epochs, self.rate, self.seed, self.batch, change=change_pictures,
                            threads=None)
        return self

    def decision_function(self, pictures: np.ndarray) -> np.ndarray:
        """Log-odds of each state, shape (pictures, states); of two states those of the second over the first, shape (pictures,)."""
        device, self.net_ = choose_device(), self.net_.to(choose_device()).eval()
        with torch.no_grad():
            found = [self.net_(part.to(device).float() / 255).cpu().numpy() for part in arrange_pictures(pictures).split(256)]
        odds = np.concatenate(found).astype(float) if found else np.empty((0, len(self.classes_)))
        return odds[:, 1] - odds[:, 0] if len(self.classes_) == 2 else odds

    def predict_proba(self, pictures: np.ndarray) -> np.ndarray:
        """Shape (pictures, states): probabilities, calibrated by nothing but the smoothing."""
        odds = self.decision_function(pictures)
        if odds.ndim == 1:
            odds = np.stack([np.zeros_like(odds), odds], axis=1)
        return torch.softmax(torch.tensor(odds), dim=1).numpy()

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """The likeliest state of each picture."""
        return self.classes_[self.predict_proba(pictures).argmax(axis=1)]


def arrange_pictures(pictures: np.ndarray) -> torch.Tensor:
    """Bring pictures (pictures, side, side, 3), whole numbers 0 to 255, to a network's order (pictures, 3, side, side)."""
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise MedlibError("Pictures must be whole numbers from 0 to 255 (uint8) of shape (pictures, height, width, 3); got "
                          f"{pictures.dtype} of shape {pictures.shape}.")
    return torch.tensor(pictures).permute(0, 3, 1, 2)


def change_pictures(pictures: torch.Tensor) -> torch.Tensor:
    """Flip, move, stretch and light each picture anew; 0 to 255 becomes 0 to 1."""
    count, device = len(pictures), pictures.device
    draw = lambda *shape: 2 * torch.rand(*shape, device=device) - 1
    way = torch.zeros(count, 2, 3, device=device)
    way[:, 0, 0] = (1 + 0.25 * draw(count)) * draw(count).sign()
    way[:, 1, 1] = (1 + 0.25 * draw(count)) * draw(count).sign()
    way[:, :, 2] = 0.2 * draw(count, 2)
    places = torch.nn.functional.affine_grid(way, list(pictures.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pictures.float() / 255, places, padding_mode="border", align_corners=False)
    light = 1 + 0.3 * torch.randn(count, 1, 1, 1, device=device)
    return (moved * light * (1 + 0.15 * torch.randn(count, 3, 1, 1, device=device))).clamp(0, 1)


def count_colours(pictures: np.ndarray, bins: int = 6) -> np.ndarray:
    """Colour histograms: share of each picture's pixels in bins by red, green and blue, shape (pictures, bins cubed)."""
    codes = (np.asarray(pictures).astype(int) * bins // 256) @ np.array([bins * bins, bins, 1])
    return np.stack([np.bincount(code.reshape(-1), minlength=bins**3) for code in codes]) / codes[0].size


def make_baseline() -> Pipeline:
    """Logistic regression on colour histograms."""
    return make_pipeline(FunctionTransformer(count_colours), FunctionTransformer(np.sqrt), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
