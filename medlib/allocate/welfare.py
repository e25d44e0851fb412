"""Alpha-fair welfare of shares: utility, its tangents, and the equal share that is worth as much."""

from __future__ import annotations

import numpy as np

from medlib.blocks import INFINITE
from medlib.errors import MedlibError

#: Largest alpha: beyond it the slopes differ by more than a solver can tell apart, and max_min is next to it.
LARGEST_ALPHA = 20.0
#: Utility goes on as a straight line below this service, or where its slope reaches STEEPEST.
FLOOR, STEEPEST = 0.01, 1e6


class Welfare:
    r"""The alpha-fair utility of a service, and its loss against being served in full.

    .. math:: f(u) = \frac{u^{1-\alpha} - 1}{1 - \alpha} \quad (\log u \text{ for } \alpha = 1), \qquad h(l) = -f(1 - l)

    Below a service of 0.01 (higher where alpha is above 3: where the slope reaches a million) f goes on as its tangent there, so
    that units that nobody can serve don't make every plan as bad as every other.

    Parameters
    ----------
    alpha : float
        In [0, 20].

    References
    ----------
    Mo, Walrand (2000), IEEE/ACM Transactions on Networking, doi:10.1109/90.879343.
    Atkinson (1970), Journal of Economic Theory, doi:10.1016/0022-0531(70)90039-6.
    """

    def __init__(self, alpha: float):
        if not 0 <= alpha <= LARGEST_ALPHA:
            raise MedlibError(f"alpha must lie in [0, {LARGEST_ALPHA:.0f}] (max_min is next to larger ones); got {alpha}.")
        self.alpha = float(alpha)
        self.floor = max(FLOOR, STEEPEST ** (-1.0 / alpha)) if alpha else FLOOR

    def slope(self, lack: np.ndarray) -> np.ndarray:
        """Derivative of the loss by the share short."""
        return np.maximum(1.0 - lack, self.floor) ** -self.alpha

    def lose(self, lack: np.ndarray) -> np.ndarray:
        """Loss h of a share short."""
        service = np.maximum(1.0 - lack, self.floor)
        power = 1.0 - self.alpha
        curved = -np.log(service) if power == 0 else (1.0 - service**power) / power
        return curved + self.slope(lack) * np.maximum(lack - (1.0 - self.floor), 0.0)

    def equalise(self, loss: float) -> float:
        """The service that has this loss: if everybody had it, all would be as well off (equal-share equivalent)."""
        least, power = 1.0 - self.floor, 1.0 - self.alpha
        beyond = loss - float(self.lose(least))
        if beyond > 0:
            return self.floor - beyond / float(self.slope(least))
        return float(np.exp(-loss) if power == 0 else (1.0 - power * loss) ** (1.0 / power))

    def cut(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Widths and slopes of the pieces of the largest of the loss' tangents; the last piece has no end.

        Parameters
        ----------
        points : numpy.ndarray
            Shares short where the tangents touch, ascending, the first 0.

        Returns
        -------
        numpy.ndarray, numpy.ndarray
            Shape (points,) each.
        """
        slope = self.slope(points)
        start = self.lose(points) - slope * points
        meet = -np.diff(start) / np.diff(slope)
        return np.diff(np.concatenate([[0.0], meet, [INFINITE]])), slope
