"""How many devices are in which state, when the labels are a classifier's and sometimes wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

#: Weight of what is believed before anything is seen, in devices a class (Jeffreys).
PRIOR = 0.5


def give_answers(probability: np.ndarray, confidence: float) -> np.ndarray:
    """Answers as positions: first the classes said surely, with at least this confidence, then the classes said unsurely.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (items, classes).
    confidence : float
        In [0, 1].

    Returns
    -------
    numpy.ndarray
        Shape (items,), from 0 to twice the number of classes, less one.
    """
    return probability.argmax(axis=1) + probability.shape[1] * (probability.max(axis=1) < confidence)


def cross_answers(true: np.ndarray, probability: np.ndarray, confidence: float) -> np.ndarray:
    """Count checked items by true class (rows) and by answer (columns; see `give_answers`), shape (classes, twice the classes)."""
    classes = probability.shape[1]
    counts = np.zeros((classes, 2 * classes), int)
    np.add.at(counts, (true, give_answers(probability, confidence)), 1)
    return counts


def list_answers(confusion: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Write what `cross_answers` counted as the table `equipment_confusion`: true, called, confident, devices."""
    classes = len(names)
    return pd.DataFrame([(names[true], names[answer % classes], answer < classes, int(confusion[true, answer]))
                         for true in range(classes) for answer in range(2 * classes)], columns=["true", "called", "confident", "devices"])


def draw_counts(predicted: np.ndarray, confusion: np.ndarray, draws: int = 1000, rounds: int = 100, seed: int = 1) -> np.ndarray:
    r"""Draw how many devices are truly in each class, given how many were called what.

    A bare count of labels is biased: of many working devices some are called broken, of few broken ones hardly any is called
    working. How often each class is called what is known from devices whose class was checked; the shares of the classes among the
    new devices are not known, and need not be those among the checked ones:

    .. math:: P(\text{called } k) = \sum_j \pi_j C_{jk}, \qquad P(j \mid \text{called } k) = \frac{\pi_j C_{jk}}{\sum_i \pi_i C_{ik}}

    Both the shares and the matrix are drawn from what the counts say of them (Gibbs sampling), so that few checked devices, or a
    classifier that tells two classes badly apart, make a wide interval.

    Parameters
    ----------
    predicted : numpy.ndarray
        Shape (answers,): devices given each answer. Answers are the classes, or finer: "working, surely", "working, perhaps" and so
        on tell more than "working" alone, and narrow the interval.
    confusion : numpy.ndarray
        Shape (classes, answers): checked devices by true class (rows) and by what they were called (columns). They must not be those
        that the classifier learned from.
    draws : int
    rounds : int
        Rounds of Gibbs sampling before a draw is taken.
    seed : int

    Returns
    -------
    numpy.ndarray
        Shape (draws, classes): devices truly in each class; each row sums to that of `predicted`.

    Raises
    ------
    MedlibError
        Counts are negative or not whole, shapes don't fit, or a class has no checked device.

    References
    ----------
    Rogan and Gladen (1978), Estimating prevalence from the results of a screening test, American Journal of Epidemiology 107:71-76;
    Joseph, Gyorkos, Coupal (1995), Bayesian estimation of disease prevalence and the parameters of diagnostic tests in the absence
    of a gold standard, American Journal of Epidemiology 141:263-272.

    Examples
    --------
    Thirty of a hundred devices were called broken by a classifier that calls a fifth of all working ones broken:

    >>> draw_counts(np.array([70, 30]), np.array([[800, 200], [0, 1000]])).mean(axis=0).round(-1).tolist()
    [90.0, 10.0]
    """
    predicted, confusion = np.asarray(predicted), np.asarray(confusion)
    if predicted.ndim != 1 or confusion.ndim != 2 or confusion.shape[1] != len(predicted):
        raise MedlibError(f"Counts of {predicted.size} answers need a confusion matrix with as many columns; got shape {confusion.shape}.")
    for name, counts in (("Counts of labels", predicted), ("Counts in the confusion matrix", confusion)):
        if not (np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))).all():
            raise MedlibError(f"{name} must be whole numbers of at least 0; got {counts.tolist()}.")
    if empty := np.flatnonzero(confusion.sum(axis=1) == 0).tolist():
        raise MedlibError(f"Every class needs checked devices; class {empty[0]} has none.")
    random, (classes, answers) = np.random.default_rng(seed), confusion.shape
    # Dirichlet draws, as gamma draws over their sums.
    called = random.standard_gamma(confusion + PRIOR / answers, size=(draws, classes, answers))
    called /= called.sum(axis=2, keepdims=True)
    shares = random.dirichlet(np.full(classes, 1.0), draws)
    for _ in range(rounds):
        given = shares[:, :, None] * called + 1e-300
        given /= given.sum(axis=1, keepdims=True)
        # True classes of the devices given each answer: shape (draws, answers, classes).
        true = random.multinomial(predicted.astype(int), given.transpose(0, 2, 1)).sum(axis=1)
        shares = random.standard_gamma(true + PRIOR)
        shares /= shares.sum(axis=1, keepdims=True)
    return true


def compare_counts(true: np.ndarray, probability: np.ndarray, confusion: np.ndarray, confidence: float, size: int, checked: int = 0,
                   fleets: int = 60, seed: int = 1) -> pd.DataFrame:
    """Count the first class in fleets of which everything is known, bare and corrected.

    For each fleet anew, some of the items are set apart as checked by people. Of the others a fleet is drawn with replacement, between
    30 and 95 % of it of the first class, the rest shared out at random.

    Parameters
    ----------
    true : numpy.ndarray
        Shape (items,), positions of the true classes.
    probability : numpy.ndarray
        Shape (items, classes).
    confusion : numpy.ndarray
        Shape (classes, twice the classes), of other items, to which the checked ones are added; see `cross_answers`.
    confidence : float
        In [0, 1].
    size : int
        Devices a fleet.
    checked : int
        Items set apart.
    fleets : int
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row for each fleet: truth, bare (items called the first class), corrected (mean of the draws), low and high (5 and 95 %).
    """
    random, classes = np.random.default_rng(seed), probability.shape[1]
    answers, rows = give_answers(probability, confidence), []
    for fleet in range(fleets):
        apart, pool = np.split(random.permutation(len(true)), [checked])
        first = random.uniform(0.3, 0.95)
        held = random.multinomial(size, [first, *(1 - first) * random.dirichlet(np.ones(classes - 1))])
        chosen = np.concatenate([random.choice(pool[true[pool] == number], count) for number, count in enumerate(held)])
        given = np.bincount(answers[chosen], minlength=2 * classes)
        known = confusion + cross_answers(true[apart], probability[apart], confidence) if checked else confusion
        drawn = draw_counts(given, known, 200, 60, seed + fleet)[:, 0]
        rows.append((held[0], given[0] + given[classes], drawn.mean(), *np.quantile(drawn, [0.05, 0.95])))
    return pd.DataFrame(rows, columns=["truth", "bare", "corrected", "low", "high"])


def score_counts(counts: pd.DataFrame) -> dict[str, float]:
    """Mean absolute errors, bare and corrected (devices), and the share of fleets whose truth lies in the interval."""
    return {"mae_bare": float((counts["bare"] - counts["truth"]).abs().mean()),
            "mae_corrected": float((counts["corrected"] - counts["truth"]).abs().mean()),
            "held_90": float(counts["truth"].between(counts["low"], counts["high"]).mean())}
