"""The advisor of 00_start_here: every answer leads to a notebook that is there, and the answers differ where the questions matter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib.course.advisor import FEWEST, SHAPES, SHORT_SEQUENCE, advise, format_advice
from medlib.errors import MedlibError
from medlib.report import list_notebooks

NOTEBOOKS = list_notebooks()


@settings(deadline=None)
@given(st.sampled_from(list(SHAPES)), st.integers(0, 10**12), st.booleans())
def test_every_answer_leads_to_a_notebook_with_a_reason_and_a_baseline(shape, rows, explained):
    found = advise(shape, rows, explained)
    assert found.notebook in NOTEBOOKS and found.family and found.reason.endswith(".") and found.baseline
    assert f"({found.notebook}.ipynb)" in format_advice(shape, rows, explained) and found.reason in format_advice(shape, rows, explained)


def test_every_model_family_is_advised_to_somebody():
    advised = {advise(shape, rows, explained).notebook[:2] for shape in SHAPES for rows in (10, 1000, 10**6) for explained in (False, True)}
    assert {"10", "20", "21", "22", "23", "24"} <= advised


@pytest.mark.parametrize("shape", FEWEST)
def test_too_few_rows_teach_no_model(shape):
    few, enough = advise(shape, FEWEST[shape] - 1), advise(shape, FEWEST[shape])
    assert few.family != enough.family and str(FEWEST[shape]) in few.reason


def test_rows_and_explanations_change_the_advice():
    assert advise("sequence", SHORT_SEQUENCE).family == "random forest"
    assert advise("sequence", SHORT_SEQUENCE + 1).family == "recurrent network"
    assert advise("sequence", SHORT_SEQUENCE + 1, explained=True).family == "random forest"
    assert advise("text", 1000).family != advise("text", 1000, explained=True).family
    assert advise("past plans", 1000, explained=True).family == "linear program"
    assert advise("trade-off", 0) == advise("trade-off", 10**9)


@pytest.mark.parametrize("shape, rows, words", [("video", 10, "one of trade-off, table"), ("table", -1, "at least 0; got -1")])
def test_other_questions_are_refused(shape, rows, words):
    with pytest.raises(MedlibError, match=words):
        advise(shape, rows)
