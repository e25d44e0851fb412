"""Whom a model fails: its errors by group, each with an interval and its difference to all others.

A figure is a ratio of two sums over cases (errors over demand, intervals that held over intervals), so that groups of any size compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, count
from scipy.stats import t

from medlib.errors import MedlibError
from medlib.score import pair_forecasts, score_intervals
from medlib.validate import FEWEST, choose_block, resample_blocks

#: Of fewer cases no figure is given: it would be chance, and could tell of single people.
FEWEST_CASES = 10
#: What is told of a group; from `rest` on it needs others to compare with.
FIGURES = ("value", "low", "high", "rest", "difference", "difference_low", "difference_high", "p")


def measure_share(right: pd.Series, among: pd.Series | None = None) -> pd.DataFrame:
    """A share of cases, all or those of `among`: what `compare_groups` takes.

    Even where all cases of a group are alike, the share is not certain; its least variance is that of all cases together, two of each
    kind added (Agresti and Coull 1998, doi:10.1080/00031305.1998.10480550).
    """
    right = right if among is None else right[among]
    typical = (right.sum() + 2) / (len(right) + 4)
    return pd.DataFrame({"above": right.astype(float), "below": 1.0, "least": typical * (1 - typical)})


def judge_forecasts(forecasts: pd.DataFrame, demand: pd.DataFrame, held: float = 0.9) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Measure forecasts beside what happened.

    Parameters
    ----------
    forecasts, demand : pandas.DataFrame
        As for `medlib.score.pair_forecasts`, of one model.
    held : float
        Probability of the interval that is judged; its two ends must be among the levels.

    Returns
    -------
    cases : pandas.DataFrame
        as_of, date, site, resource; a row a forecast.
    measures : dict of str to pandas.DataFrame
        WIS as a share of the mean demand, and the share of outcomes that the interval held.
    """
    paired = pair_forecasts(forecasts, demand).reset_index()
    levels = sorted(forecasts["quantile"].unique().tolist())
    ends = [level for level in levels if np.isclose(abs(level - 0.5), held / 2)]
    if len(ends) != 2:
        raise MedlibError(f"An interval of {held:g} takes the levels {(1 - held) / 2:g} and {(1 + held) / 2:g}; got {levels}.")
    observed = paired["observed"]
    wis = score_intervals(observed.to_numpy(), paired[levels].to_numpy(), np.array(levels))
    return paired[["as_of", "date", "site", "resource"]], {
        "WIS (share of mean demand)": pd.DataFrame({"above": wis, "below": observed, "least": 0.0}),
        f"{100 * held:g} % interval holds (share)": measure_share(observed.between(paired[ends[0]], paired[ends[1]]))}


def judge_risks(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Measure risks of getting worse.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As from `medlib.patients.risks.cross_predict`, of one model: worse, probability, flagged.

    Returns
    -------
    dict of str to pandas.DataFrame
        Those who got worse and were not flagged (false negative rate, one less the recall), those who did not and were, and how far the
        expected share lies above the observed one (calibration).
    """
    worse, flagged, probability = predictions["worse"] == 1, predictions["flagged"].astype(bool), predictions["probability"]
    return {"missed (share of those who got worse)": measure_share(~flagged, worse),
            "false alarms (share of those who did not)": measure_share(flagged, ~worse),
            "expected less observed (share)": pd.DataFrame({"above": probability - worse, "below": 1.0,
                                                            "least": probability * (1 - probability)})}


def judge_needs(need: pd.Series, expected: np.ndarray) -> dict[str, pd.DataFrame]:
    """Measure forecasts of need a person: absolute error, and expected less observed need, both as shares of the group's mean need."""
    miss = expected - need
    return {"absolute error (share of mean need)": pd.DataFrame({"above": miss.abs(), "below": need, "least": 0.0}),
            "expected less observed (share of mean need)": pd.DataFrame({"above": miss, "below": need, "least": 0.0})}


def class_sizes(size: pd.Series) -> pd.Series:
    """Thirds of sites by their size: small, medium, large."""
    return pd.qcut(size.rank(method="first"), 3, labels=["small", "medium", "large"]).astype(str)


def class_ages(years: pd.Series) -> pd.Series:
    """Age groups, years: under 50, 50 to 64, 65 to 79, 80 and over; unknown where missing."""
    found = pd.cut(years, [-np.inf, 50, 65, 80, np.inf], right=False, labels=["under 50", "50 to 64", "65 to 79", "80 and over"])
    return found.astype(object).where(years.notna(), "unknown").astype(str)


def compare_groups(cases: pd.DataFrame, measures: Mapping[str, pd.DataFrame], by: Sequence[str], unit: str, block: int | None = None,
                   level: float = 0.95, draws: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Set each group's error beside that of all others.

    Parameters
    ----------
    cases : pandas.DataFrame
        A row a case, with the columns `by` and `unit`.
    measures : mapping of str to pandas.DataFrame
        Index: that of the cases measured; above and below, whose sums are divided, and least, the variance that a case's `above` has at
        least.
    by : sequence of str
        Columns whose values are groups.
    unit : str
        Column of what is drawn anew as a whole: as-of date, patient, device.
    block : int, optional
        Units in a row that are drawn together, 1 where they are independent; left out: the cube root of their number, as dates need.
    level : float
        Probability of the intervals, and one less the chance that any group is flagged by luck.
    draws : int
        Bootstrap samples.
    seed : int

    Returns
    -------
    pandas.DataFrame
        by, group, measure, count (cases, rounded to tens, so that subtraction gives no withheld one away), value, low, high, rest (value
        of all others), difference, difference_low, difference_high, p, flagged, withheld. With fewer than `FEWEST_CASES` cases all
        figures are missing and withheld is true; what needs the others is missing where all others together are as few.

    Notes
    -----
    Intervals come from bootstrap standard errors over units and Student's t with the group's own number of blocks. A group is flagged
    where its difference excludes zero after Holm's correction over the whole table, which holds however the groups depend on each
    other; `difference_low` and `difference_high` are not corrected. A group that is not flagged is not proven to be served as well, and one
    that is badly failed makes the others look better than "all others", of which it is part.

    References
    ----------
    Weerts et al. (2023), Fairlearn, Journal of Machine Learning Research 24(257); Holm (1979), Scandinavian Journal of Statistics 6:65-70.
    """
    if cases[unit].nunique() < FEWEST:
        raise MedlibError(f"Intervals take at least {FEWEST} different values of {unit}; got {cases[unit].nunique()}.")
    frames = []
    for title, measure in measures.items():
        rows = cases.loc[measure.index]
        frames += [_compare(rows[name], rows[unit], measure, block, level, draws, seed).assign(by=name, measure=title) for name in by]
    table = pd.concat(frames, ignore_index=True)
    table["flagged"] = _correct(table["p"].to_numpy()) < 1 - level
    return table[["by", "group", "measure", "count", *FIGURES, "flagged", "withheld"]]


def _compare(groups: pd.Series, units: pd.Series, measure: pd.DataFrame, block: int | None, level: float, draws: int,
             seed: int) -> pd.DataFrame:
    frame = MetricFrame(metrics={"count": count, "value": lambda below, above: np.sum(above) / (np.sum(below) or np.nan)},
                        y_true=measure["below"], y_pred=measure["above"], sensitive_features=groups)
    table = frame.by_group.astype(float).rename_axis("group")
    names, group = np.unique(groups.to_numpy(), return_inverse=True)
    codes, unit = np.unique(units.to_numpy(), return_inverse=True)
    sums = {name: np.zeros((len(codes), len(names))) for name in ("above", "below", "least", "cases")}
    for name, column in measure.assign(cases=1.0).items():
        np.add.at(sums[name], (unit, group), column.to_numpy(float))
    block = block or choose_block(len(codes))
    drawn = np.stack([np.bincount(row, minlength=len(codes)) for row in resample_blocks(len(codes), block, draws, seed)])
    value, rest, floor, rest_floor = _divide({name: column.sum(axis=0, keepdims=True) for name, column in sums.items()})
    values, rests, *_ = _divide({name: drawn @ column for name, column in sums.items()})
    blocks = np.maximum((sums["cases"] > 0).sum(axis=0) / block, 2)
    widen = np.sqrt(blocks / (blocks - 1))
    # Pandas leaves out draws without any case of a group.
    error = np.maximum(widen * pd.DataFrame(values).std().to_numpy(), floor)
    apart = np.maximum(widen * pd.DataFrame(values - rests).std().to_numpy(), np.hypot(floor, rest_floor))
    reach, difference = t.ppf((1 + level) / 2, blocks - 1), value - rest
    with np.errstate(divide="ignore", invalid="ignore"):  # figures that never vary
        p = 2 * t.sf(np.abs(difference) / apart, blocks - 1)
    table = table.loc[names].assign(
        low=value - reach * error, high=value + reach * error, rest=rest, difference=difference, difference_low=difference - reach * apart,
        difference_high=difference + reach * apart, p=p)
    return _withhold(_bound(table, measure), len(measure)).reset_index()


def _divide(sums: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Value of each group, of all others, and the least standard errors of both."""
    total = {name: column.sum(axis=1, keepdims=True) for name, column in sums.items()}
    found = []
    for part in (sums, {name: total[name] - column for name, column in sums.items()}):
        below = np.where(part["below"] > 0, part["below"], np.nan)
        found.append((part["above"] / below, np.sqrt(np.maximum(part["least"], 0)) / below))
    (value, floor), (rest, rest_floor) = found
    return [column.squeeze(0) if len(column) == 1 else column for column in (value, rest, floor, rest_floor)]


def _bound(table: pd.DataFrame, measure: pd.DataFrame) -> pd.DataFrame:
    """Keep intervals within what the figure can be: errors are not negative, and of counted cases a share is at most one."""
    if (measure["above"] >= 0).all():
        highest = 1.0 if ((measure["below"] == 1) & measure["above"].isin([0, 1])).all() else np.inf
        table[["low", "high"]] = table[["low", "high"]].clip(0.0, highest)
    return table


def _withhold(table: pd.DataFrame, cases: int) -> pd.DataFrame:
    table["withheld"] = table["count"] < FEWEST_CASES
    table.loc[cases - table["count"] < FEWEST_CASES, list(FIGURES[3:])] = np.nan
    table["count"] = table["count"].round(-1)
    table.loc[table["withheld"], ["count", *FIGURES]] = np.nan
    return table


def _correct(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted probabilities; what has none (missing) counts as one comparison less, and stays missing."""
    adjusted, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1.0)
    return adjusted


def describe_groups(table: pd.DataFrame) -> list[str]:
    """Put the flagged groups into words, one sentence each, the surest first; then how many figures there are."""
    flagged = table[table["flagged"]].sort_values("p", kind="stable")
    sentences = [f"{row.measure}, {row.by} {row.group}: {row.value:.3f} ({row.low:.3f} to {row.high:.3f}), {abs(row.difference):.3f} "
                 f"{'more' if row.difference > 0 else 'less'} than all others." for row in flagged.itertuples()]
    few = int(table["withheld"].sum())
    return [*sentences, f"Of {len(table)} figures {len(flagged)} differ from all others' beyond chance; withheld, of fewer than "
                          f"{FEWEST_CASES} cases: {few}."]
