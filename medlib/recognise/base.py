"""What all classifiers by network share: honest probabilities, and weights kept in files that can hold no code."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss

from medlib.errors import MedlibError
from medlib.train import choose_device


class NetClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose log-odds come from a network.

    Subclasses bring `fit(items, labels)`, which begins with `encode_labels` and sets `net_`; `build_net(classes)`, the network before it
    has learned; `arrange(items)`, the items as one tensor; and `feed(part)`, where the network takes them in another form.
    """

    #: Items that are judged at once.
    at_once = 256

    #: Log-odds are divided by this; 1 until `calibrate`.
    temperature_ = 1.0

    def build_net(self, classes: int) -> torch.nn.Module:
        """The network for so many classes, before it has learned."""
        raise NotImplementedError

    def arrange(self, items: object) -> torch.Tensor:
        """The items as one tensor, first axis: items."""
        raise NotImplementedError

    def feed(self, part: torch.Tensor) -> torch.Tensor:
        """Arranged items in the form that the network takes."""
        return part

    def decision_function(self, items: object) -> np.ndarray:
        """Log-odds of each class, shape (items, classes); of two classes those of the second over the first, shape (items,)."""
        device, self.net_ = choose_device(), self.net_.to(choose_device()).eval()
        with torch.no_grad():
            found = [self.net_(self.feed(part.to(device))).cpu().numpy() for part in self.arrange(items).split(self.at_once)]
        odds = np.concatenate(found).astype(float) if found else np.empty((0, len(self.classes_)))
        return odds[:, 1] - odds[:, 0] if len(self.classes_) == 2 else odds

    def encode_labels(self, labels: np.ndarray) -> torch.Tensor:
        """Note the classes, forget a former calibration, and give each label's position among the classes.

        Raises
        ------
        MedlibError
            There are fewer than two classes.
        """
        self.classes_, codes = np.unique(np.asarray(labels), return_inverse=True)
        if len(self.classes_) < 2:
            raise MedlibError(f"Learning takes at least two classes; got {', '.join(map(str, self.classes_)) or 'none'}.")
        self.temperature_ = 1.0
        return torch.tensor(codes)

    def predict_proba(self, items: object) -> np.ndarray:
        """Shape (items, classes): probabilities."""
        return softmax(self._stack_odds(items) / self.temperature_, axis=1)

    def predict(self, items: object) -> np.ndarray:
        """The likeliest class of each item."""
        return self.classes_[self.predict_proba(items).argmax(axis=1)]

    def calibrate(self, items: object, labels: np.ndarray) -> Self:
        r"""Find the temperature at which the probabilities are most honest about items that were not learned from.

        .. math:: \min_T \; -\sum_i \log \operatorname{softmax}(z_i / T)_{y_i}

        The likeliest class stays the same.

        Raises
        ------
        MedlibError
            There are no items, or one of a class that was not learned.

        References
        ----------
        Guo et al. (2017), On calibration of modern neural networks, ICML (arXiv:1706.04599).
        """
        labels, odds = np.asarray(labels), self._stack_odds(items)
        if not len(labels) or not np.isin(labels, self.classes_).all():
            raise MedlibError(f"Calibration takes items of the classes learned ({', '.join(map(str, self.classes_))}); got "
                              f"{', '.join(map(str, np.unique(labels))) or 'none'}.")
        miss = lambda log: log_loss(labels, softmax(odds / np.exp(log), axis=1), labels=self.classes_)
        self.temperature_ = float(np.exp(minimize_scalar(miss, bounds=(-3, 3), method="bounded").x))
        return self

    def save(self, file: Path | str) -> None:
        """Write the weights, whole or not at all; see `load`.

        Raises
        ------
        MedlibError
            The file cannot be written.
        """
        file = Path(file)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"kind": type(self).__name__, "settings": self.get_params(), "classes": self.classes_.tolist(),
                        "temperature": self.temperature_, "weights": self.net_.cpu().state_dict()}, part)
            os.replace(part, file)
        except (OSError, RuntimeError) as error:  # torch turns some of the first into the second
            if part.exists():
                part.unlink()
            raise MedlibError(f"{file} cannot be written ({type(error).__name__}); name another file.") from None

    @classmethod
    def load(cls, file: Path | str) -> Self:
        """Read what `save` wrote. Files with code in them are refused, so that weights from others can do no harm.

        Raises
        ------
        MedlibError
            There is no such file, or it holds no weights of this kind.
        """
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True)
            if saved["kind"] != cls.__name__:
                raise MedlibError(f"{file} must hold weights of a {cls.__name__}; got those of a {saved['kind']}.")
            model = cls(**saved["settings"])
            model.classes_, model.temperature_ = np.array(saved["classes"]), float(saved["temperature"])
            model.net_ = model.build_net(len(model.classes_))
            model.net_.load_state_dict(saved["weights"])
        except FileNotFoundError:
            raise MedlibError(f"There is no file {file}.") from None
        # All that torch raises on what is no file of weights, and what follows from weights of another form.
        except (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise MedlibError(f"{file} holds no whole weights of a {cls.__name__} ({type(error).__name__}); save them anew.") from None
        model.net_.eval()
        return model

    def _stack_odds(self, items: object) -> np.ndarray:
        """Log-odds of shape (items, classes), of two classes as well."""
        odds = self.decision_function(items)
        return np.stack([np.zeros_like(odds), odds], axis=1) if odds.ndim == 1 else odds
