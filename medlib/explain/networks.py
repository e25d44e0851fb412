"""Why a network says what it says, and whether the explanation is to be believed: words, pictures, vital signs.

The explanations themselves: words left out (`medlib.recognise.texts.explain_text`), Grad-CAM (`medlib.recognise.pictures.explain_picture`),
integrated gradients on vital signs (here). Each is checked in two ways: it must change when what was learned is destroyed
(`compare_shaken`), and what it points at must matter more than what it does not (`compare_attention`, `hide_hottest`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from medlib.errors import MedlibError
from medlib.patients.condition import RecurrentClassifier
from medlib.recognise.pictures import PictureClassifier, explain_picture
from medlib.recognise.texts import TextClassifier, explain_text, number_parts

Classifier = TypeVar("Classifier", TextClassifier, PictureClassifier, RecurrentClassifier)
#: What each variable tells a network, in the order of `HourEncoder`.
KINDS = ("value", "measured", "time since")
#: Attributions may miss the difference that they explain by so much probability.
TOLERANCE = 0.005


def explain_vitals(classifier: RecurrentClassifier, values: np.ndarray, names: Sequence[str],
                   steps: int = 64) -> tuple[float, pd.DataFrame]:
    r"""Integrated gradients: what each hour of each variable adds to a stay's probability of getting worse.

    .. math:: \phi_j = (x_j - x'_j) \int_0^1 \frac{\partial f}{\partial x_j}\big(x' + \alpha (x - x')\big) \, d\alpha,
              \qquad \sum_j \phi_j = f(x) - f(x')

    Counted from :math:`x'`, a stay of which nothing is known: no variable was ever measured.

    Parameters
    ----------
    classifier : RecurrentClassifier
        Fitted.
    values : numpy.ndarray
        One stay, shape (hours, variables).
    names : sequence of str
        Of the variables.
    steps : int
        Points of the integral.

    Returns
    -------
    base : float
        Probability of the unknown stay.
    parts : pandas.DataFrame
        Index hour; columns variable and kind (of `KINDS`); probability that is added. Base and parts sum to the stay's probability.

    Raises
    ------
    MedlibError
        The parts miss that sum by more than `TOLERANCE`.

    References
    ----------
    Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    encoder = classifier.encoder_
    inputs, unknown = (torch.tensor(encoder.transform(part[None]), dtype=torch.float64) for part in (values, np.full_like(values, np.nan)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # a progress bar that nobody asked for misses its widget
        from captum.attr import IntegratedGradients
    # Copies in double precision on the processor: recurrent units on a GPU give no gradients outside training.
    nets = [copy.deepcopy(net).cpu().double().eval() for net in classifier.nets_]
    judge = lambda hours: torch.stack([torch.sigmoid(net(hours)[:, -1]) for net in nets]).mean(dim=0)
    parts, missed = IntegratedGradients(judge).attribute(inputs, unknown, n_steps=steps, return_convergence_delta=True)
    if abs(float(missed)) > TOLERANCE:
        raise MedlibError(f"What the variables add must sum to the change in probability within {TOLERANCE}; it misses by "
                          f"{abs(float(missed)):.3f}, ask for more than {steps} steps.")
    seen = [name for name, there in zip(names, encoder.seen_) if there]
    columns = pd.MultiIndex.from_tuples([(name, kind) for kind in KINDS for name in seen], names=["variable", "kind"])
    with torch.no_grad():
        return float(judge(unknown)), pd.DataFrame(parts[0].numpy(), pd.RangeIndex(len(values), name="hour"), columns)


def compare_attention(classifier: TextClassifier, lines: Sequence[str]) -> pd.DataFrame:
    """Set attention beside what leaving a word out does: attention is where a network looks, not why it answers.

    Parameters
    ----------
    classifier : TextClassifier
        Fitted.
    lines : sequence of str
        Those of fewer than three words are left out: there is no order to compare.

    Returns
    -------
    pandas.DataFrame
        line, words; correlation of the ranks of attention and weight, from -1 to 1; attended, decisive: the word that each points at;
        fall_attended, fall_decisive, fall_any: how far the answer's probability falls without that word, or without one at random. The
        decisive word was found by leaving words out, so its fall is the most that one word can reach, not a score.

    References
    ----------
    Jain, Wallace (2019), Attention is not explanation, arXiv:1902.10186; Wiegreffe, Pinter (2019), arXiv:1908.04626 (when it may be).
    """
    rows = []
    for line in lines:
        shown = explain_text(classifier, line)
        if len(shown) > 2:
            whole = float(classifier.net_(number_parts([line])).softmax(dim=1).detach().max())
            fall = whole * (1 - np.exp(-shown["weight"].to_numpy()))
            attended, decisive = shown["attention"].argmax(), fall.argmax()
            alike = spearmanr(shown["attention"], shown["weight"]).statistic
            words = shown["word"].iloc[[attended, decisive]]
            rows.append((line, len(shown), alike, *words, fall[attended], fall[decisive], fall.mean()))
    columns = ["line", "words", "correlation", "attended", "decisive", "fall_attended", "fall_decisive", "fall_any"]
    return pd.DataFrame(rows, columns=columns)


def hide_hottest(classifier: PictureClassifier, pictures: np.ndarray, share: float = 0.1, seed: int = 1) -> pd.DataFrame:
    """Hide where Grad-CAM is hottest, and as large a patch elsewhere: how far does the answer's probability fall?

    Parameters
    ----------
    classifier : PictureClassifier
        Fitted.
    pictures : numpy.ndarray
        Shape (pictures, side, side, 3), 0 to 255.
    share : float
        Of the picture's places that are hidden under its mean colour, in (0, 1).
    seed : int
        Of how far the same patch is moved, round the edges.

    Returns
    -------
    pandas.DataFrame
        A row a picture: answer, hottest and moved (fall in probability).
    """
    random, answers = np.random.default_rng(seed), classifier.predict(pictures)
    hidden: dict[str, list[np.ndarray]] = {"hottest": [], "moved": []}
    for picture, answer in zip(pictures, answers):
        heat = explain_picture(classifier, picture, answer)
        mask, shift = heat >= np.quantile(heat, 1 - share), random.integers(len(heat) // 4, 3 * len(heat) // 4, 2)
        for name, patch in (("hottest", mask), ("moved", np.roll(mask, shift, (0, 1)))):
            hidden[name].append(np.where(patch[..., None], picture.mean(axis=(0, 1)), picture).astype(np.uint8))
    place = np.searchsorted(classifier.classes_, answers)
    sure = lambda shown: classifier.predict_proba(np.stack(shown))[np.arange(len(place)), place]
    return pd.DataFrame({"answer": answers} | {name: sure(pictures) - sure(shown) for name, shown in hidden.items()})


def shake_weights(classifier: Classifier, arrays: int | None = None, seed: int = 1) -> Classifier:
    """Copy a classifier and shuffle what it has learned.

    Parameters
    ----------
    classifier : TextClassifier, PictureClassifier or RecurrentClassifier
        Fitted; it stays as it is.
    arrays : int, optional
        Arrays of weights that are shuffled, counted from the answer down; left out: all.
    seed : int
    """
    shaken, random = copy.deepcopy(classifier), torch.Generator().manual_seed(seed)
    for net in getattr(shaken, "nets_", None) or [shaken.net_]:
        for weights in list(net.parameters())[::-1][:arrays]:
            order = torch.randperm(weights.numel(), generator=random).to(weights.device)
            weights.data = weights.data.flatten()[order].view_as(weights)
    return shaken


def compare_shaken(classifier: Classifier, explain: Callable[[Classifier], np.ndarray], draws: int = 5, seed: int = 1) -> pd.Series:
    """Sanity check: does an explanation change when what was learned is destroyed, from the answer down?

    An explanation that stays the same tells of the input, not of the network.

    Parameters
    ----------
    classifier
        As for `shake_weights`.
    explain : callable
        Of a classifier; explanations, first axis: items.
    draws : int
        Times that the weights are shuffled.
    seed : int

    Returns
    -------
    pandas.Series
        Index share of the arrays of weights shuffled (0, a quarter ... all); mean correlation of the ranks with the true explanation. An
        explanation that has become constant counts as unlike.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, arXiv:1810.03292.
    """
    true = explain(classifier)
    arrays = len(list((getattr(classifier, "nets_", None) or [classifier.net_])[0].parameters()))
    alike = {}
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        shaken = [explain(shake_weights(classifier, round(share * arrays), seed + draw)) for draw in range(draws if share else 1)]
        alike[share] = np.mean([_correlate(one, other) for found in shaken for one, other in zip(true, found)])
    return pd.Series(alike, name="alike").rename_axis("shuffled")


def _correlate(one: np.ndarray, other: np.ndarray) -> float:
    return 0.0 if np.ptp(one) == 0 or np.ptp(other) == 0 else float(spearmanr(one.ravel(), other.ravel()).statistic)
