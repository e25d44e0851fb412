"""Why a forest says what it says: which features it uses, what each adds to one answer, how the answer follows one of them.

All of this tells what the model does with its features, not what causes demand.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import mean_absolute_error

from medlib.errors import MedlibError
from medlib.explain.words import format_amount, format_date, join_words, name_resource
from medlib.forecast.trees import RandomForest
from medlib.patients.needs import NeedForest
from medlib.prepare import expand, fill_start, find_anchors, shrink

#: Features of the demand forests in words; numbers in a name stand for periods.
WORDS = {
    "level": "level now", "log_scale": "size of the series", "resource": "resource", "ahead": "periods ahead", "weekday": "weekday",
    "month": "month", "winter": "winter or summer", "spring": "spring or autumn", "same_season": "last value of the same weekday or month",
    "change_last_year": "change since last year", "common_level": "level now, all sites", "above_common": "level above all sites'",
    "below_highest": "distance from the highest", "above_lowest": "distance from the lowest"}
#: Features of the demand forests that move together, by how their names begin; what begins otherwise is the series' own course.
TOGETHER = {"size": ("log_scale",), "resource and all its sites": ("resource", "common_"),
            "date and distance ahead": ("ahead", "weekday", "month", "winter", "spring")}
OWN_COURSE = "own level and course"


def name_feature(feature: str) -> str:
    """Write a feature's name as people do: 'common_change_7' becomes 'change over 7 periods, all sites'."""
    common, lag = ", all sites" if feature.startswith("common_") else "", re.findall(r"\d+", feature)
    if feature in WORDS:
        return WORDS[feature]
    if "change" in feature and lag:
        return f"change over {lag[0]} period{'s' * (lag[0] != '1')}{common}"
    kind = next((kind for kind in ("slope", "bend", "fit") if kind in feature), None)
    if kind and lag:
        return f"{'distance from the fit' if kind == 'fit' else kind} of the last {lag[0]} periods{common}"
    return feature.replace("_", " ")


def group_lags(features: Sequence[str]) -> dict[str, list[str]]:
    """Put features of the demand forests together that move together: own course, size, all sites of the resource, date."""
    groups: dict[str, list[str]] = {}
    for feature in features:
        kind = next((kind for kind, begins in TOGETHER.items() if feature.startswith(begins)), OWN_COURSE)
        groups.setdefault(kind, []).append(feature)
    return groups


def group_alike(features: pd.DataFrame, least: float = 0.5) -> dict[str, list[str]]:
    """Put features together whose ranks correlate, on average over a group's pairs, at least so much in either direction.

    Parameters
    ----------
    features : pandas.DataFrame
        Numbers, two columns at least; a pair without a correlation (a constant) counts as unlike.
    least : float
        Correlation in (0, 1).

    Returns
    -------
    dict of str to list of str
        Named by the features in words.
    """
    apart = 1 - features.corr("spearman").abs().fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(apart, 0.0)
    codes = fcluster(linkage(squareform(apart.clip(0), checks=False), "average"), 1 - least, "distance")
    members = pd.Series(features.columns).groupby(codes, sort=False).agg(list)
    return {join_words([name_feature(name) for name in names]): names for names in members}


class _Asked(RegressorMixin, BaseEstimator):
    """What scikit-learn's inspection takes for a fitted regressor: any function of a table of features."""

    def __init__(self, ask: Callable[[pd.DataFrame], np.ndarray]):
        self.ask = ask

    def fit(self, features: pd.DataFrame, target: np.ndarray) -> _Asked:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        return self.ask(features)


def rank_features(ask: Callable[[pd.DataFrame], np.ndarray], features: pd.DataFrame, target: np.ndarray,
                  groups: Mapping[str, Sequence[str]] | None = None, repeats: int = 20, level: float = 0.9,
                  loss: Callable[[np.ndarray, np.ndarray], float] = mean_absolute_error, seed: int = 1) -> pd.DataFrame:
    """Permutation importance: how much worse the answers get when a group of features is shuffled together among the rows.

    Parameters
    ----------
    ask : callable
        Answers of the model, shape (rows,), to a table of features: `forest.predict`, or
        `lambda rows: forecaster.model.predict(rows.to_numpy())`.
    features : pandas.DataFrame
        Rows that the model has not learned from.
    target : numpy.ndarray
        Shape (rows,), in the answers' unit.
    groups : mapping of str to sequence of str, optional
        Features that are shuffled together; left out: each alone, which lies where features are correlated: what one of them no longer
        tells, the others still do, so that each of them seems to matter less than it does.
    repeats : int
        Times that each group is shuffled.
    level : float
        Share of the repeats that the interval holds. It tells the chance of shuffling, not that of the rows.
    loss : callable
        Of target and answers; by default the mean absolute error.
    seed : int

    Returns
    -------
    pandas.DataFrame
        feature (in words), loss (added by shuffling, in the target's unit), low, high; the most important first.

    References
    ----------
    Breiman (2001), Machine Learning 45:5-32, doi:10.1023/A:1010933404324; Hooker, Mentch, Zhou (2021), Unrestricted permutation forces
    extrapolation, Statistics and Computing 31:82, doi:10.1007/s11222-021-10057-z (why groups).
    """
    groups = groups or {name_feature(name): [name] for name in features}
    if unknown := {name for names in groups.values() for name in names} - set(features):
        raise MedlibError(f"Groups must hold features of the table ({', '.join(features)}); got {sorted(unknown)[0]!r}.")
    # Each column stands for a group and holds the row that the group's values come from: shuffling it moves the group as one.
    places = np.tile(np.arange(len(features))[:, None], len(groups))

    def gather(chosen: np.ndarray) -> pd.DataFrame:
        columns = {name: features[name].to_numpy()[rows] for rows, names in zip(chosen.T, groups.values()) for name in names}
        return features.assign(**columns)

    found = permutation_importance(_Asked(lambda chosen: ask(gather(chosen))), places, target, n_repeats=repeats, random_state=seed,
                                   scoring=lambda model, chosen, truth: -loss(truth, model.predict(chosen)))
    low, high = np.quantile(found.importances, [(1 - level) / 2, (1 + level) / 2], axis=1)
    ranked = pd.DataFrame({"feature": list(groups), "loss": found.importances_mean, "low": low, "high": high})
    return ranked.sort_values("loss", ascending=False, kind="stable", ignore_index=True)


def trace_feature(ask: Callable[[pd.DataFrame], np.ndarray], features: pd.DataFrame, feature: str, points: int = 20,
                  level: float = 0.8) -> pd.DataFrame:
    """Partial dependence: how the answer moves if one feature takes other values and all the rest stays as it is.

    Parameters
    ----------
    ask, features
        As for `rank_features`.
    feature : str
        A column of the features.
    points : int
        Values of the feature, from its 5 % to its 95 % quantile.
    level : float
        Share of the rows between low and high.

    Returns
    -------
    pandas.DataFrame
        value; effect (mean over rows), low and high (of single rows), each less its own mean over the values, in the answers' unit.
        Where features are correlated, some of the rows made up here could not exist.

    References
    ----------
    Friedman (2001), Annals of Statistics 29:1189-1232; Goldstein et al. (2015), Peeking inside the black box,
    doi:10.1080/10618600.2014.907095 (single rows).
    """
    if feature not in features:
        raise MedlibError(f"The feature must be one of {', '.join(features)}; got {feature!r}.")
    found = partial_dependence(_Asked(ask), features.astype(float), [feature], kind="individual", grid_resolution=points)
    curves = found["individual"][0]
    curves = curves - curves.mean(axis=1, keepdims=True)
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return pd.DataFrame({"value": found["grid_values"][0], "effect": curves.mean(axis=0), "low": low, "high": high})


def split_answers(forest: RandomForest | NeedForest, features: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    r"""SHAP: what each feature adds to each answer of a forest, so that base and parts add up to the answer.

    .. math:: \hat y_i = b + \sum_j \phi_{ij}

    Parameters
    ----------
    forest : RandomForest or NeedForest
        Fitted.
    features : pandas.DataFrame
        Of a demand forest as from its `make_rows`, of a `NeedForest` as it was fitted.

    Returns
    -------
    base : float
        Mean answer over the training rows.
    parts : pandas.DataFrame
        A row an answer, a column a feature, in the answers' unit. That a value is missing counts with its feature.

    Notes
    -----
    The answer is the mean over the trees of each leaf's mean: of a `NeedForest` what it predicts, of a demand forest the expected change
    (in its spreads), of which the quoted median is another summary.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2:56-67, doi:10.1038/s42256-019-0138-9.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # a progress bar that nobody asked for misses its widget
        import shap  # takes seconds

    if isinstance(forest, NeedForest):
        trees, leaves = forest.forest_.estimators_, forest.means_
        known, names = forest.fill_.transform(features), forest.fill_.get_feature_names_out(features.columns)
    else:
        trees = forest.model.estimators_
        leaves, known, names = [tree.tree_.value[:, 0, 0] for tree in trees], features.to_numpy(), features.columns
    # Quantile forests are strange to the explainer, so it gets the trees themselves.
    shapes = [_describe_tree(tree.tree_, means / len(trees)) for tree, means in zip(trees, leaves)]
    explainer = shap.TreeExplainer({"trees": shapes, "input_dtype": np.float32})
    parts = pd.DataFrame(explainer.shap_values(known.astype(np.float32)).reshape(len(features), -1), features.index, names)
    own = parts.T.groupby(parts.columns.str.removeprefix("missingindicator_"), sort=False).sum().T
    return float(np.squeeze(explainer.expected_value)), own


def _describe_tree(tree, means: np.ndarray) -> dict[str, np.ndarray]:
    values = np.zeros((tree.node_count, 1))
    values[:len(means), 0] = means
    return {"children_left": tree.children_left, "children_right": tree.children_right, "children_default": tree.children_left,
            "features": tree.feature, "thresholds": tree.threshold, "values": values, "node_sample_weight": tree.weighted_n_node_samples}


def explain_forecast(forecaster: RandomForest, as_of: pd.Timestamp, date: pd.Timestamp, site: str, resource: str) -> pd.DataFrame:
    r"""Why a demand forest expects so many units: what it starts from, and what each group of features adds.

    The forest adds up changes on the fourth-root scale. Each part is brought to units by the mean slope between the usual change and the
    answer (Aumann and Shapley's value of a function of a sum), so that units, too, add up.

    Parameters
    ----------
    forecaster : RandomForest
        Fitted.
    as_of, date : pandas.Timestamp
        Last date seen, and a date within the horizon after it.
    site, resource : str
        Of the series.

    Returns
    -------
    pandas.DataFrame
        part, units: the last known figure (of months that of the same month), the usual change, then each group of `group_lags`, the
        largest first. They sum to the forest's expected figure, near which the median lies that a forecast quotes.
    """
    forecast = forecaster.predict(as_of, forecaster.horizon)  # refuses dates that cannot be answered
    dates = pd.Index(forecast["date"].unique())
    if (resource, site) not in forecaster.wide.columns or date not in dates:
        raise MedlibError(f"A forecast to be explained is of a known series from {dates[0].date()} to {dates[-1].date()}; got {resource} "
                          f"at {site} on {date.date()}.")
    known = fill_start(forecaster.wide.loc[:as_of])
    origin, ahead, series = np.array([len(known) - 1]), dates.get_loc(date), known.columns.get_loc((resource, site))
    features, scales = forecaster.describe(known, origin, forecaster.horizon)
    row = ahead * known.shape[1] + series
    base, parts = split_answers(forecaster, features.iloc[[row]])
    added = pd.Series({kind: parts[names].to_numpy().sum() for kind, names in group_lags(features.columns).items()})
    anchor = shrink(known.iloc[find_anchors(origin, forecaster.horizon, forecaster.period)[0, ahead], series], scales[row])
    count = lambda change: float(expand(anchor + change * forecaster.spread[ahead], scales[row]))
    start, usual, end = count(0.0), count(base), count(base + added.sum())
    # Where the parts cancel, the slope at the usual change takes the place of the mean slope.
    step = added.sum() if abs(added.sum()) > 1e-6 else 1e-6
    units = added * (count(base + step) - usual) / step
    shown = pd.concat([pd.Series({"last known figure": start, "usual change": usual - start}), units.sort_values(key=abs, ascending=False)])
    return shown.rename_axis("part").rename("units").reset_index()


def describe_forecast(parts: pd.DataFrame, date: pd.Timestamp, name: str, resource: str) -> str:
    """Put an explained forecast into one sentence.

    Parameters
    ----------
    parts : pandas.DataFrame
        As from `explain_forecast`.
    date : pandas.Timestamp
    name : str
        Of the site.
    resource : str
    """
    sign = lambda units: f"{units:+.1f}".replace("-", "\N{MINUS SIGN}")
    steps = [f"{row.part} {sign(row.units)}" for row in parts.iloc[1:].itertuples()]
    expected, known = format_amount(parts["units"].sum()), format_amount(parts["units"].iloc[0])
    return (f"The forest expects {expected} {name_resource(resource)}s at {name} on {format_date(date)}: the last known figure, {known}, and "
            f"{join_words(steps)}.")
