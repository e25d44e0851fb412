"""How many devices are in which state, when the labels are a classifier's and sometimes wrong."""

from __future__ import annotations

import numpy as np

from medlib.errors import MedlibError

#: Weight of what is believed before anything is seen, in devices a class (Jeffreys).
PRIOR = 0.5


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
        Shape (classes,): devices called each class.
    confusion : numpy.ndarray
        Shape (classes, classes): checked devices by true class (rows) and by what they were called (columns), as from
        `sklearn.metrics.confusion_matrix`. They must not be those that the classifier learned from.
    draws : int
    rounds : int
        Rounds of Gibbs sampling before a draw is taken.
    seed : int

    Returns
    -------
    numpy.ndarray
        Shape (draws, classes): devices, each row with the sum of `predicted`.

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
    classes = len(predicted)
    if predicted.ndim != 1 or confusion.shape != (classes, classes):
        raise MedlibError(f"Counts of {classes} classes need a confusion matrix of {classes} by {classes}; got {confusion.shape}.")
    for name, counts in (("Counts of labels", predicted), ("Counts in the confusion matrix", confusion)):
        if not (np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))).all():
            raise MedlibError(f"{name} must be whole numbers of at least 0; got {counts.tolist()}.")
    if empty := np.flatnonzero(confusion.sum(axis=1) == 0).tolist():
        raise MedlibError(f"Every class needs checked devices; class {empty[0]} has none.")
    random = np.random.default_rng(seed)
    # Dirichlet draws, as gamma draws over their sums.
    called = random.standard_gamma(confusion + PRIOR / classes, size=(draws, classes, classes))
    called /= called.sum(axis=2, keepdims=True)
    shares = random.dirichlet(np.full(classes, 1.0), draws)
    for _ in range(rounds):
        given = shares[:, :, None] * called + 1e-300
        given /= given.sum(axis=1, keepdims=True)
        # True classes of the devices called each class: shape (draws, called, true).
        true = random.multinomial(predicted.astype(int), given.transpose(0, 2, 1)).sum(axis=1)
        shares = random.standard_gamma(true + PRIOR)
        shares /= shares.sum(axis=1, keepdims=True)
    return true
