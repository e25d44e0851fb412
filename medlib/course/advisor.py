"""Which model for which question: a few answers lead to a model family and a notebook, with the reason.

The numbers of rows at which the advice changes are rules of thumb. Whether a model is worth its trouble on one's own data is for notebook
30_validate to say: each family has a simple baseline that it may lose to.
"""

from __future__ import annotations

from dataclasses import dataclass

from medlib.errors import MedlibError

#: What the data are, or the question is, by the name that `advise` takes.
SHAPES = {
    "trade-off": "needs, limits and costs: who gets what, when?",
    "table": "rows and columns: a person, a day or a place a row",
    "sequence": "one or many series over time",
    "image": "pictures, a label each",
    "text": "short texts, such as lines of an inventory",
    "past plans": "allocations that were made or solved before",
}
#: Fewer rows than these are too few to learn from; a sequence's rows are its periods, summed over all series.
FEWEST = {"table": 50, "sequence": 100, "image": 100, "text": 100, "past plans": 100}
#: Up to so many rows of a sequence a forest on lagged values learns as much as a network, in a fraction of the time.
SHORT_SEQUENCE = 20_000


@dataclass(frozen=True)
class Advice:
    """What to try first.

    Parameters
    ----------
    family : str
        Model family.
    notebook : str
        Where it is taught.
    reason : str
        Why this family, in one or two sentences.
    baseline : str
        What it has to beat.
    """

    family: str
    notebook: str
    reason: str
    baseline: str


def advise(shape: str, rows: int = 1000, explained: bool = False) -> Advice:
    """Advise on a model family.

    Parameters
    ----------
    shape : str
        A key of `SHAPES`.
    rows : int
        How many rows there are: people, days times sites, labelled pictures or lines, past plans. Of a trade-off it doesn't matter.
    explained : bool
        Whether each answer must be explained to those whom it concerns.

    Returns
    -------
    Advice

    Raises
    ------
    MedlibError
        The shape is unknown, or the number of rows is negative.

    Examples
    --------
    >>> advise("sequence", 3000).notebook
    '20_random_forest'
    >>> advise("sequence", 300_000).notebook
    '22_recurrent_network'
    """
    if shape not in SHAPES:
        raise MedlibError(f"The shape must be one of {', '.join(SHAPES)}; got {shape!r}.")
    if rows < 0:
        raise MedlibError(f"The number of rows must be at least 0; got {rows}.")
    if rows < FEWEST.get(shape, 0):
        return _advise_on_few(shape, rows)
    return {"trade-off": _advise_on_trade_off, "table": _advise_on_table, "sequence": _advise_on_sequence, "image": _advise_on_image,
            "text": _advise_on_text, "past plans": _advise_on_plans}[shape](rows, explained)


def _advise_on_few(shape: str, rows: int) -> Advice:
    simple = {"table": "the mean by group", "sequence": "the value of a season ago", "image": "people who look", "text": "people who read",
              "past plans": "solving each plan anew"}[shape]
    return Advice(simple, "10_linear_program" if shape == "past plans" else "30_validate",
                  f"{rows:,} rows teach no model anything that holds elsewhere (fewer than {FEWEST[shape]:,}); start simple, and collect more.",
                  "nothing: this is the baseline")


def _advise_on_trade_off(rows: int, explained: bool) -> Advice:
    return Advice("linear program", "10_linear_program",
                  "Limits, costs and who may send to whom are known rules, so the best plan is solved for, not learned; shadow prices and the "
                  "smallest conflict explain it. Go on with 11 where demand is uncertain, and 12 where help must be fair.",
                  "the reactive same-day rule")


def _advise_on_table(rows: int, explained: bool) -> Advice:
    return Advice("random forest", "20_random_forest",
                  "A forest takes unlike columns, gaps and bends as they come, and gives a whole distribution. For people, not places, see "
                  "25_person_level." + (" SHAP and permutation importance tell what it uses (42_explain); where that isn't enough, take the "
                                        "regression that it is compared with." if explained else ""),
                  "a regression, or the mean by group")


def _advise_on_sequence(rows: int, explained: bool) -> Advice:
    if rows <= SHORT_SEQUENCE or explained:
        why = ("what each group of features adds to a forecast can be told in units (42_explain)" if explained else
               f"up to some {SHORT_SEQUENCE:,} periods in all it learns as much as a network, in a fraction of the time")
        return Advice("random forest", "20_random_forest", f"A forest on lagged values: {why}. For a single long, calm and seasonal series, try "
                      "exponential smoothing, too.", "the value of a season ago")
    return Advice("recurrent network", "22_recurrent_network",
                  "Many or long series teach one network together; it reads gaps and irregular times, too. Combine it with the forest: the "
                  "mean of both is often better than either.", "the value of a season ago, and the forest")


def _advise_on_image(rows: int, explained: bool) -> Advice:
    return Advice("convolutional network", "21_convolutional_network",
                  "Filters find a lamp or a crack wherever it is; unsure pictures are left to people."
                  + (" Grad-CAM shows where it looked, not why (42_explain)." if explained else ""), "colours alone")


def _advise_on_text(rows: int, explained: bool) -> Advice:
    if explained:
        return Advice("regression on words", "23_transformer",
                      "On short names a regression on TF-IDF is a strong rival, and its weights say which words decided; the notebook compares "
                      "both.", "the most frequent answer")
    return Advice("Transformer", "23_transformer", "Attention lets the words of a line explain each other, across slips and languages; unsure "
                  "lines are left to people.", "a regression on TF-IDF")


def _advise_on_plans(rows: int, explained: bool) -> Advice:
    if explained:
        return Advice("linear program", "10_linear_program", "A learned rule can't say why; a solved plan can (shadow prices, ranges: "
                      "42_explain).", "the reactive same-day rule")
    return Advice("learned allocation", "24_learned_allocation",
                  "A network can learn the rule from solved plans, or from the decision's cost itself. It answers at once; whether it plans as "
                  "well as the program is measured there.", "the linear program with the same forecast")


def format_advice(shape: str, rows: int, explained: bool) -> str:
    """Put advice into Markdown, with a link to its notebook: what a page of questions shows."""
    found = advise(shape, rows, explained)
    return f"**{found.family.capitalize()}**: [{found.notebook}]({found.notebook}.ipynb)\n\n{found.reason}\n\nIt has to beat: {found.baseline}."
