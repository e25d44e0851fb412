"""Pseudonyms, shifted dates, and the attacks as functions."""

import hashlib
import hmac

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from medlib.errors import MedlibError
from medlib.privacy import attacks
from medlib.privacy.pseudonyms import make_pseudonyms, shift_dates

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


class TestPseudonyms:
    def test_by_hand(self):
        own = hmac.new(KEY, b"pseudonym:stays", hashlib.sha256).digest()
        expected = hmac.new(own, b"4711", hashlib.sha256).hexdigest()[:20]
        assert make_pseudonyms(pd.Series([4711]), KEY, "stays", 20)[0] == expected

    def test_same_person_same_pseudonym(self):
        """A number that became 12.0 because another is missing, and a blank, are the same person."""
        written = [pd.Series([12, 7]), pd.Series([12.0, np.nan]), pd.Series([" 12", "x"])]
        assert len({make_pseudonyms(names, KEY)[0] for names in written}) == 1

    def test_letters_composed_and_not(self):
        assert make_pseudonyms(pd.Series(["Zo\u00eb", "Zoe\u0308"]), KEY).nunique() == 1

    def test_key_and_purpose_change_everything(self):
        names = pd.Series(range(200))
        made = [make_pseudonyms(names, key, purpose) for key, purpose in ((KEY, ""), (OTHER, ""), (KEY, "drugs"))]
        assert pd.concat(made).is_unique and not pd.concat(made).str.contains("[^0-9a-f]").any()

    def test_missing_stays_missing_and_index_stays(self):
        made = make_pseudonyms(pd.Series(["a", None, "b"], index=[5, 3, 9]), KEY)
        assert made.index.tolist() == [5, 3, 9] and made.isna().tolist() == [False, True, False]

    @pytest.mark.parametrize("key, length", [(KEY[:31], 16), (b"", 16), (KEY, 7), (KEY, 65)])
    def test_refused(self, key, length):
        with pytest.raises(MedlibError):
            make_pseudonyms(pd.Series(["a"]), key, length=length)

    def test_two_people_with_one_pseudonym_are_refused(self):
        """Among 300,000 people, 8 digits meet about ten times."""
        with pytest.raises(MedlibError, match="raise length"):
            make_pseudonyms(pd.Series(range(300_000)), KEY, length=8)


class TestDates:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000)), min_size=1, max_size=30), st.integers(1, 400))
    def test_intervals_stay_and_no_date_does(self, visits, most):
        days = pd.to_timedelta([day for _, day in visits], unit="D")
        frame = pd.DataFrame({"person": [person for person, _ in visits], "seen": pd.Timestamp("2030-01-01") + days})
        shifted = shift_dates(frame, "person", ["seen"], KEY, most)
        moved = (shifted["seen"] - frame["seen"]).dt.days
        assert moved.groupby(frame["person"]).nunique().eq(1).all()
        assert moved.abs().between(1, most).all()

    def test_every_shift_is_as_likely(self):
        """4,000 people over 8 shifts: 500 each, standard deviation 21."""
        frame = pd.DataFrame({"person": range(4000), "seen": pd.Timestamp("2030-01-01")})
        counts = (shift_dates(frame, "person", ["seen"], KEY, 4)["seen"] - frame["seen"]).dt.days.value_counts()
        assert sorted(counts.index) == [-4, -3, -2, -1, 1, 2, 3, 4] and counts.between(400, 600).all()

    def test_tables_of_one_person_shift_together(self):
        one = pd.DataFrame({"person": [3, 4], "in": pd.to_datetime(["2030-03-01", "2030-03-04"]), "out": pd.to_datetime(["2030-03-09", None])})
        two = pd.DataFrame({"person": [4.0], "drug": pd.to_datetime(["2030-03-05"])})
        first, second = shift_dates(one, "person", ["in", "out"], KEY), shift_dates(two, "person", ["drug"], KEY)
        assert (second["drug"][0] - first["in"][1]).days == 1
        assert (first["out"][0] - first["in"][0]).days == 8 and pd.isna(first["out"][1])
        assert one["in"][0] == pd.Timestamp("2030-03-01"), "the caller's table is left alone"

    def test_refused(self):
        frame = pd.DataFrame({"person": ["a", None], "seen": pd.Timestamp("2030-01-01"), "text": "2030-01-01"})
        for wrong in (lambda: shift_dates(frame, "person", ["seen"], KEY), lambda: shift_dates(frame[:1], "person", ["text"], KEY),
                      lambda: shift_dates(frame[:1], "person", ["seen"], KEY, 0)):
            with pytest.raises(MedlibError):
                wrong()


class TestAttacks:
    def test_only_who_is_alone_on_both_sides_is_linked(self):
        released = pd.DataFrame({"age": [40, 41, 41, 70, 80]}, index=[10, 11, 12, 13, 14])
        register = pd.DataFrame({"age": [80, 70, 70, 41, 40]}, index=list("vwxyz"))
        assert attacks.link_people(released, register, ["age"]).to_numpy().tolist() == [[10, "z"], [14, "v"]]

    def test_difference_of_two_releases(self):
        wide = pd.DataFrame({"site": ["a", "b", "c", "d"], "count": [40, 31, 12, 9]})
        narrow = pd.DataFrame({"site": ["b", "a", "c", "d"], "count": [28, 40, 7, 5]})
        found = attacks.subtract_releases(wide, narrow, ["site"])
        assert found.to_numpy().tolist() == [["b", 3], ["d", 4]]

    def test_membership_by_hand(self):
        """Of 6 pairs, inside errs less in 4 and as much in 1."""
        found = attacks.infer_membership(np.array([1.0, 5.0]), np.array([3.0, 5.0, 7.0]))
        assert found.auc == pytest.approx((3 + 0.5 + 1) / 6)
        assert found.advantage == pytest.approx(1 / 2 - 0.0) and found.low <= found.auc <= found.high

    def test_interval_holds_one_half_when_there_is_nothing_to_find(self):
        rng = np.random.default_rng(3)
        holds = [attacks.infer_membership(*rng.normal(2, 1, (2, 150)), draws=200, seed=seed) for seed in range(40)]
        assert np.mean([one.low <= 0.5 <= one.high for one in holds]) > 0.7

    def test_nobody_is_refused(self):
        with pytest.raises(MedlibError):
            attacks.infer_membership(np.array([]), np.array([1.0]))

    def test_dictionary_finds_what_has_no_key(self):
        hashed = [attacks.hash_plainly(str(number)) for number in (17, 23)]
        assert attacks.guess_pseudonyms(hashed, range(100), attacks.hash_plainly) == dict(zip(hashed, (17, 23)))
        assert attacks.guess_pseudonyms(make_pseudonyms(pd.Series([17, 23]), KEY), range(100), attacks.hash_plainly) == {}
