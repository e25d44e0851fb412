"""A fixed part of the bad inputs that `make trust` tries: each ends in a valid result or in one clear sentence."""

import pytest
from medlib.errors import MedlibError
from trust import inputs
from trust.inputs import TARGETS, Count, assert_clear, try_inputs, try_target
from hypothesis import strategies as st

#: Cases of each target for one in the whole; slow targets get few.
CASES = 300


@pytest.mark.parametrize("name", TARGETS)
def test_bad_inputs_end_well(name):
    counted = Count()
    assert try_target(name, max(4, round(CASES * TARGETS[name][0])), 0, counted) == ""
    assert counted.tried >= 4


def test_the_shares_make_a_whole():
    assert sum(share for share, *_ in TARGETS.values()) == pytest.approx(1)


def raise_traceback(case, folder):
    if case >= 7:
        raise ValueError("seven")


def raise_wordy(case, folder):
    raise MedlibError("One. Two. Three. Four.\n")


def change_file(case, folder):
    next(folder.iterdir()).write_bytes(b"changed")


@pytest.mark.parametrize(("strategy", "attempt", "words"), [
    (st.integers(), raise_traceback, "ValueError: seven"), (st.integers(), raise_wordy, "unclear"),
    (st.just({"a.csv": b"x"}), change_file, "an input file was changed")])
def test_what_goes_wrong_is_found(monkeypatch, strategy, attempt, words):
    monkeypatch.setattr(inputs, "TARGETS", {"this": (1.0, strategy, attempt)})
    trial, = try_inputs(40, 1)
    assert not trial.held and words in trial.told and trial.count_held == trial.count - 1


def test_the_count_is_told(monkeypatch):
    def refuse_odd(case, folder):
        if case % 2:
            raise MedlibError("A number must be even; got an odd one.")

    monkeypatch.setattr(inputs, "TARGETS", {"this": (1.0, st.integers(0, 999), refuse_odd)})
    trial, = try_inputs(50, 1)
    assert trial.held and trial.count == trial.count_held == 50 and trial.told.startswith("50 tried: ")


def test_what_the_user_typed_counts_as_no_sentence():
    assert_clear("There is no dataset 'A. B. C. D. E'; see `Medlib. Datasets. And. So`. Choose another.")
    with pytest.raises(AssertionError):
        assert_clear("One. Two. Three. Four.")
