r"""Fair plans: the same rules and the same shortage, shared by another criterion.

A *unit* k is a site or a group of sites. It demands :math:`N_k` and is short of :math:`L_k`, both expected over the scenarios, summed
over resources and periods, and weighted by the resources' shortage weights. Its *service* is the share that is met,
:math:`u_k = 1 - L_k / N_k`. Patients who were moved count where they lie. A unit that demands nothing is left out, and takes only
whom it can serve: nobody is made equal by sending patients where nobody counts them.

===================  =====================================================================================================
``utilitarian``      least shortage in all, :math:`\min \sum_k L_k`
``max_min``          the worst service as high as can be, then the second worst, and so on (lexicographic; Rawls)
``proportional``     :math:`\max \sum_k p_k \log u_k` with weights p by size (Nash)
``alpha_fair``       :math:`\max \sum_k p_k (u_k^{1-\alpha} - 1) / (1 - \alpha)`: 0 counts sums, 1 is proportional, large is max-min
``gini_cap``         least shortage of which the Gini coefficient per size is at most so much
``minimum_service``  least shortage at which no unit is served less than so much
``tiers``            first least shortage of those who come first, then of the next
===================  =====================================================================================================

Each is a linear program, or a few, on the same `Model`. Among plans that are equally good by the criterion the cheapest is taken.

References
----------
Xinying Chen, Hooker (2023), A guide to formulating fairness in an optimization model, Annals of Operations Research,
doi:10.1007/s10479-023-05264-y.
Bertsimas, Farias, Trichakis (2011), The price of fairness, Operations Research, doi:10.1287/opre.1100.0865.
Ogryczak, Luss, Pióro, Nace, Tomaszewski (2014), Fair optimization and networks: a survey, Journal of Applied Mathematics,
doi:10.1155/2014/612018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from medlib.allocate.equity import count_service
from medlib.allocate.model import COST, Model
from medlib.allocate.plan import LARGE, Plan, read_plan
from medlib.allocate.problem import Problem
from medlib.allocate.welfare import Welfare
from medlib.blocks import INFINITE, Columns
from medlib.errors import MedlibError

CRITERIA = ("utilitarian", "max_min", "proportional", "alpha_fair", "gini_cap", "minimum_service", "tiers")
#: Name of the part of the objective that a criterion minimises; it has no price.
UNFAIRNESS = "unfairness"
#: Efficiency: shortage first, then everything at its price.
EFFICIENCY = ("shortage", COST)
#: Shares of demand, and unit-days, that make no difference: a program whose bounds its last solution meets exactly is next to infeasible.
SLACK, LEEWAY = 1e-6, 1e-7
#: A unit is held back by the others where its dual is above this share of all duals.
HELD = 1e-6
#: From so many columns on the interior point method from scratch is faster than the simplex method from the last basis (2 to 5 times at
#: 30,000, as measured on the sample's five resources; at 5,000 it is 3 times slower).
WARM = 15_000
#: Most pieces of the utility function of a unit, and the shares short where its first tangents lie.
PIECES, TANGENTS = 48, np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5])


@dataclass(kw_only=True)
class FairPlan(Plan):
    """A plan that is best by a criterion of fairness.

    Parameters
    ----------
    criterion : str
    service : pandas.Series
        Share of its weighted demand that is met, by unit with demand.
    error : float
        In shares of demand. alpha_fair and proportional: no plan's equal-share equivalent (`Welfare.equalise` in
        `medlib.allocate.welfare`) lies more than this above the plan's. max_min: so much each unit's service may lie below the best that
        is left for it by the units before it. 0 for the other criteria: they are met to the solver's precision.
    programs : int
        Linear programs solved before the last.
    """

    criterion: str
    service: pd.Series
    error: float
    programs: int


def solve_fair(posed: Problem, criterion: str = "utilitarian", *, groups: pd.Series | None = None, sizes: pd.Series | None = None,
               alpha: float = 2.0, gini_cap: float = 0.2, least_share: float | pd.Series = 0.9, order: Sequence[str] = (),
               tolerance: float = 1e-4, minimise: str | Sequence[str] = EFFICIENCY) -> FairPlan:
    """Find a plan that is best by a criterion of fairness, and the cheapest of those.

    Parameters
    ----------
    posed : Problem
    criterion : str
        One of `CRITERIA`; the module says what each maximises.
    groups : pandas.Series, optional
        Site -> group, for example a column of the `sites` table, to be fair to groups; left out: to sites.
    sizes : pandas.Series, optional
        Site -> size, above 0, for example its population; left out: its weighted demand. What a unit counts by in alpha_fair and
        proportional, and what gini_cap shares the shortage out by.
    alpha : float
        Aversion to inequality of alpha_fair, in [0, 20].
    gini_cap : float
        Largest Gini coefficient of the shortage per size, in [0, 1].
    least_share : float or pandas.Series
        Least service, at most 1; of every unit, or by unit (units that are not named have none).
    order : sequence of str
        Units from the first to the last to be served, for tiers; those not named come after them, together. Left out: the
        patients' priority tiers that the problem states.
    tolerance : float
        Largest error of alpha_fair, proportional and max_min, in shares of demand; see `FairPlan`.
    minimise : str or sequence of str
        What is least among the plans that utilitarian, gini_cap and minimum_service allow, as in `solve`.

    Returns
    -------
    FairPlan

    Raises
    ------
    MedlibError
        An unknown criterion or a setting out of its range; a least share or a cap that no plan can keep; whole units where the
        criterion needs fractions (max_min, proportional, alpha_fair).

    Notes
    -----
    gini_cap can be kept by *withholding*: shortage of the better served is raised until it is even. `count_withheld` in
    `medlib.allocate.frontier` tells how much of it there is, and Rules(protect_sites=True) forbids making anybody worse off than if nobody
    moved anything. The weights of priority tiers count in the cost, not in the service.
    """
    if criterion not in CRITERIA:
        raise MedlibError(f"criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}.")
    sharing = Sharing(posed, groups, sizes)
    ways = {"utilitarian": lambda: minimise,
            "max_min": lambda: sharing.raise_worst(tolerance),
            "proportional": lambda: sharing.raise_welfare(Welfare(1.0), tolerance),
            "alpha_fair": lambda: sharing.raise_welfare(Welfare(alpha), tolerance),
            "gini_cap": lambda: sharing.cap_gini(gini_cap, minimise),
            "minimum_service": lambda: sharing.guarantee(least_share, minimise),
            "tiers": lambda: sharing.rank(order)}
    minimise = ways[criterion]()
    try:
        return sharing.finish(criterion, minimise)
    except MedlibError:
        if criterion != "gini_cap" or sharing.lp.outcome != "Infeasible":
            raise
        raise MedlibError(f"No plan within the rules shares shortage that evenly: gini_cap must be larger; got {gini_cap:g}.") from None


class Sharing:
    """A problem's model with what every unit is short of as a column, and the criteria that bind these columns.

    Parameters
    ----------
    posed, groups, sizes
        As for `solve_fair`.

    Attributes
    ----------
    names : list of str
        The units.
    need, size : numpy.ndarray
        Shape (units,): weighted demand; what a unit counts by, adding up to 1 over the units with demand.
    fair : numpy.ndarray of bool
        Shape (units,): the unit has demand.
    scale : float
        Demand of a mean unit: shares times this are of the size of unit-days, so that programs keep to one scale.
    lack : medlib.blocks.Columns
        Expected weighted unit-days that each unit is short of.
    """

    def __init__(self, posed: Problem, groups: pd.Series | None = None, sizes: pd.Series | None = None):
        self.posed, self.model = posed, Model(posed)
        self.lp, self.programs = self.model.lp, 0
        #: The error of a plan, by what its units are short of.
        self.judge: Callable[[np.ndarray], float] = lambda lack: 0.0
        self.unit, self.names = _number_units(posed, groups)
        need = np.einsum("irt,r->i", posed.mean_demand, posed.at.weight)
        self.need = np.bincount(self.unit, need)
        self.fair = self.need > 0
        self.size = np.bincount(self.unit, need if sizes is None else _read_sizes(posed, sizes)) * self.fair
        self.size = self.size / max(self.size.sum(), 1e-300)
        self.scale = self.need[self.fair].mean() if self.fair.any() else 1.0
        self.model.prices[UNFAIRNESS] = 0.0
        self.lack = self.lp.add_columns("lack", self.axes, high=np.where(self.fair, INFINITE, 0.0))
        rows, short = self.lp.add_rows("lack", self.axes, low=0.0, high=0.0), self.model.short
        rows.add(self.lack.index)
        each = posed.weights[:, None, None, None] * posed.at.weight[:, None]
        rows.add(short.index, -np.broadcast_to(each, short.shape), at=rows.index[self.unit][:, None, None])

    @property
    def axes(self) -> dict[str, list[str]]:
        """Axes of a family with an element a unit."""
        return {"unit": self.names}

    def finish(self, criterion: str, minimise: str | Sequence[str]) -> FairPlan:
        """Solve for what is least among the plans that are left, and read the plan."""
        plan = read_plan(self.model, minimise, self._choose_method() if self.programs else "")
        units = count_service(plan).groupby(np.array(self.names)[self.unit], sort=False).sum()
        units = units[units["need"] > 0]
        service = (1.0 - units["short"] / units["need"]).rename("service").rename_axis("unit")
        return FairPlan(**{field.name: getattr(plan, field.name) for field in fields(Plan)}, criterion=criterion, service=service,
                        error=self.judge(self.lack.value), programs=self.programs)

    def _minimise(self, columns: Columns, each=1.0) -> float:
        """Solve for the least sum of such columns, and return it."""
        self.model.parts[UNFAIRNESS] = [(columns, each)]
        read_plan(self.model, UNFAIRNESS, self._choose_method())
        self.programs += 1
        return self.lp.minimum

    def _choose_method(self) -> str:
        """The simplex method after the first program, as it starts from the last basis; by size and kind where that helps little.

        In large problems simplex, again: `read_plan` would answer within a gap, without the duals that tell who is held back.
        """
        warm = self.programs and self.lp.column_count < WARM
        return "simplex" if (warm or self.lp.column_count >= LARGE) and not self._is_whole() else ""

    def _is_whole(self) -> bool:
        return any(family.integer for family in self.lp.columns.values())

    def _check_fractions(self, criterion: str, tolerance: float) -> None:
        if not tolerance > 0:
            raise MedlibError(f"tolerance must be above 0; got {tolerance}.")
        if self._is_whole():
            raise MedlibError(f"{criterion} must plan in fractions; got a problem in whole units, set integer to False and leave lots and "
                              "costs of opening out.")

    def _hold(self, lack: np.ndarray, units: np.ndarray, slack: float) -> None:
        """Let these units not be short of more, up to a share of their demand; and loosen what is held already by next to nothing."""
        self.lack.update(high=np.where(units, lack + slack * self.need, self.lack.high) + LEEWAY)

    def raise_worst(self, tolerance: float) -> str:
        """Raise the worst service, hold whom the others hold back there, and go on with the rest; what is left to minimise is cost.

        The duals of "no free unit is served worse than the worst" tell who is held back: a unit with a dual above 0 is served no better
        in any optimal plan (complementary slackness), so that each program holds one unit at least. Units that tie but whose dual is 0
        come up in the next program. Held units may lose the tolerance: over many periods and scenarios a trifle here buys a
        thousandfold elsewhere, so that without it the services above the worst would hang on rounding errors.

        References
        ----------
        Luss (1999), Operations Research, doi:10.1287/opre.47.3.361.
        """
        self._check_fractions("max_min", tolerance)
        self.judge = lambda lack: tolerance
        free = self.fair.copy()
        worst = self.lp.add_columns("worst", {})
        rows = self.lp.add_rows("worst", self.axes, high=np.where(free, 0.0, INFINITE))
        rows.add(self.lack.index)
        rows.add(worst.index[None], -self.need / self.scale, at=rows.index)
        while free.any():
            most = self._minimise(worst) / self.scale
            price = -rows.dual * self.need * free
            held = free if most <= tolerance else price > HELD * price.sum()
            self._hold(max(most, 0.0) * self.need, held, tolerance)
            free = free & ~held
            rows.update(high=np.where(free, 0.0, INFINITE))
        return COST

    def raise_welfare(self, welfare: Welfare, tolerance: float) -> str | list[str]:
        """Maximise a concave welfare by tangents, with more of them where the solution lies, until the error is small.

        Tangents lie above the utility: the program's welfare bounds what any plan can have, and the plan's own is known.
        """
        self._check_fractions("proportional" if welfare.alpha == 1 else "alpha_fair", tolerance)
        # Welfare in unit-days of the whole: so the program is of the scale of the others.
        total, need = max(self.need.sum(), 1e-300), np.where(self.fair, self.need, 1.0)
        if not welfare.alpha:
            self.model.parts[UNFAIRNESS] = [(self.lack, self.size * total / need)]
            return [UNFAIRNESS, COST]
        pieces = self.lp.add_columns("piece", {**self.axes, "piece": range(PIECES)})
        rows = self.lp.add_rows("pieces", self.axes, low=0.0, high=0.0, where=self.fair)
        rows.add(self.lack.index)
        rows.add(pieces.index, -np.broadcast_to(need[:, None], pieces.shape), at=rows.index[:, None])
        points, best = [TANGENTS[1.0 - TANGENTS > welfare.floor] for _ in self.names], np.inf
        self.judge = lambda lack: max(welfare.equalise(best) - welfare.equalise(float(welfare.lose(lack / need) @ self.size)), 0.0)
        for _ in range(PIECES - len(TANGENTS)):
            width, slope = _lay_out(welfare, points)
            pieces.update(high=np.where(self.fair[:, None], width, 0.0))
            best = self._minimise(pieces, slope * self.size[:, None] * total) / total
            points = [_insert(known, min(max(short, 0.0), 1.0 - welfare.floor)) for known, short in zip(points, self.lack.value / need)]
            # A little better than asked for: minimising cost takes SLACK of it.
            if self.judge(self.lack.value) <= 0.9 * tolerance:
                break
        else:
            raise MedlibError(f"The utility's tangents come within {self.judge(self.lack.value):.1g} of the best equal share; got "
                              f"tolerance {tolerance:g}, allow more than that.")
        # Utility is strictly concave: plans that are equally good serve every unit alike.
        self._hold(self.lack.value, self.fair, SLACK)
        return COST

    def cap_gini(self, most: float, minimise: str | Sequence[str]) -> str | Sequence[str]:
        """Let the sum of all pairs' differences be at most so much of the shortage: the Gini's definition (`measure_gini`), linear."""
        if not 0 <= most <= 1:
            raise MedlibError(f"gini_cap must lie in [0, 1]; got {most}.")
        places = np.flatnonzero(self.fair)
        first, second = (places[side] for side in np.triu_indices(len(places), 1))
        axes = {"pair": pd.MultiIndex.from_arrays([np.array(self.names)[first], np.array(self.names)[second]])}
        apart = self.lp.add_columns("apart", axes)
        for name, sign in (("ahead", 1.0), ("behind", -1.0)):
            rows = self.lp.add_rows(name, axes, high=0.0)
            rows.add(self.lack.index[first], sign * self.size[second])
            rows.add(self.lack.index[second], -sign * self.size[first])
            rows.add(apart.index, -1.0)
        row = self.lp.add_rows("gini", {}, high=0.0)
        row.add(apart.index, at=row.index[None])
        row.add(self.lack.index, -most, at=row.index[None])
        return minimise

    def guarantee(self, least: float | pd.Series, minimise: str | Sequence[str]) -> str | Sequence[str]:
        """Bound what every unit is short of, once it is known that some plan keeps that."""
        wanted = self._read_least(least)
        by = self.find_lowering(wanted)
        if by > SLACK:
            possible = f"at most {np.floor(1e3 * (least - by)) / 1e3:.3f}" if np.ndim(least) == 0 else f"lower by {by:.3f} for every unit"
            raise MedlibError(f"No plan serves every unit that well: least_share must be {possible}; got {wanted.max():g}.")
        return minimise

    def find_lowering(self, wanted: np.ndarray) -> float:
        """By how much these least services must be lowered, all alike, to be possible; then they are, by that, in force.

        Parameters
        ----------
        wanted : numpy.ndarray
            Shape (units,), at most 1; minus infinity where none is asked for.
        """
        bound = self.fair & np.isfinite(wanted)
        lowered = self.lp.add_columns("lowered", {})
        rows = self.lp.add_rows("guarantee", self.axes, high=np.where(bound, (1.0 - np.where(bound, wanted, 1.0)) * self.need, INFINITE))
        rows.add(self.lack.index)
        rows.add(lowered.index[None], -self.need / self.scale, at=rows.index)
        by = self._minimise(lowered)
        lowered.update(high=by + LEEWAY)
        return by / self.scale

    def _read_least(self, least: float | pd.Series) -> np.ndarray:
        """Least service by unit, infinitely low where none is asked for."""
        wanted = np.full(len(self.names), least) if np.ndim(least) == 0 else least.reindex(self.names).fillna(-np.inf).to_numpy(float)
        if unknown := [] if np.ndim(least) == 0 else set(least.index) - set(self.names):
            raise MedlibError(f"least_share must name units, such as {', '.join(self.names[:3])}; got {sorted(unknown)[0]!r}.")
        if not (wanted <= 1).all():
            raise MedlibError(f"least_share must be numbers of at most 1; got {np.nanmax(wanted):g}.")
        return wanted

    def rank(self, order: Sequence[str]) -> list[str]:
        """Name the shortage of every tier as a part of the objective, to be minimised one after the other."""
        if unknown := set(order) - set(self.names):
            raise MedlibError(f"order must name units, such as {', '.join(self.names[:3])}; got {sorted(unknown)[0]!r}.")
        if len(order):
            stages = [(self.lack, np.isin(self.names, name).astype(float)) for name in order]
        elif len(self.posed.tiers):
            tiers, model = self.model.tiers, self.model
            chance = self.posed.weights[:, None, None, None] * self.posed.at.weight[model.tier_place][:, None]
            stages = [(model.tier_short, chance * (tiers["tier"] == tier).to_numpy()[:, None]) for tier in sorted(tiers["tier"].unique())]
        else:
            raise MedlibError("tiers needs an order of units, or a problem with the table tiers; got neither.")
        names = [f"tier_{number}" for number in range(1, len(stages) + 1)]
        self.model.prices.update(dict.fromkeys(names, 0.0))
        self.model.parts.update({name: [stage] for name, stage in zip(names, stages)})
        return [*names, COST]


def _number_units(posed: Problem, groups: pd.Series | None) -> tuple[np.ndarray, list[str]]:
    """Number of each site's unit, and the units' names."""
    if groups is None:
        return np.arange(len(posed.sites)), list(posed.sites)
    named = groups.reindex(posed.sites)
    if named.isna().any():
        raise MedlibError(f"groups must name a group for every site; it has none for {named.index[named.isna()][0]!r}.")
    unit, names = pd.factorize(named)
    return unit, list(names)


def _read_sizes(posed: Problem, sizes: pd.Series) -> np.ndarray:
    found = sizes.reindex(posed.sites).to_numpy(float)
    wrong = np.flatnonzero(~(np.isfinite(found) & (found > 0)))
    if len(wrong):
        raise MedlibError(f"sizes must be above 0 for every site; got {found[wrong[0]]} for {posed.sites[wrong[0]]!r}.")
    return found


def _insert(known: np.ndarray, point: float) -> np.ndarray:
    """Add a point to ascending ones, unless it is next to one of them."""
    return known if np.abs(known - point).min() < 1e-6 else np.sort(np.append(known, point))


def _lay_out(welfare: Welfare, points: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Shape (units, PIECES) each: widths and slopes of every unit's pieces, width 0 where it has fewer."""
    width, slope = np.zeros((2, len(points), PIECES))
    for number, known in enumerate(points):
        width[number, :len(known)], slope[number, :len(known)] = welfare.cut(known)
    return width, slope
