"""Generalisation: bands, hierarchies, k, l and t by hand, and the least generalisation against all of them."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from medlib.errors import MedlibError
from medlib.privacy.anonymity import (generalise_ages, generalise_places, make_age_hierarchy, make_flat_hierarchy, make_place_hierarchy,
                                      measure_anonymity, reach_anonymity)


class TestGeneralise:
    def test_ages(self):
        ages = pd.Series([0, 9, 10, 89, 90, 104, np.nan])
        assert generalise_ages(ages).fillna("?").tolist() == ["0-9", "0-9", "10-19", "80-89", "90+", "90+", "?"]
        assert generalise_ages(pd.Series([83, 84, 89.5]), 7).tolist() == ["77-83", "84-89", "84-89"]
        assert generalise_ages(pd.Series([41, 95]), 1).tolist() == ["41", "90+"]

    @pytest.mark.parametrize("ages, width", [([-1], 10), ([40], 0)])
    def test_ages_refused(self, ages, width):
        with pytest.raises(MedlibError):
            generalise_ages(pd.Series(ages), width)

    def test_places_move_less_than_half_a_diagonal(self):
        rng = np.random.default_rng(1)
        latitude, longitude = pd.Series(rng.uniform(30, 65, 300)), pd.Series(rng.uniform(-60, 60, 300))
        moved = generalise_places(latitude, longitude, 50)
        north = (moved["latitude"] - latitude) * 111.2
        east = (moved["longitude"] - longitude) * 111.2 * np.cos(np.radians(latitude))
        assert np.hypot(north, east).max() < 36 and len(moved.drop_duplicates()) < 300
        with pytest.raises(MedlibError):
            generalise_places(latitude, longitude, 0)

    def test_hierarchies_nest(self):
        sites = pd.DataFrame({"site": ["a", "b", "c"], "region": ["N", "N", "S"]})
        assert make_place_hierarchy(sites).loc["b"].tolist() == ["b", "N", "any"]
        assert make_age_hierarchy(pd.Series([93, 41, 41])).loc[41].tolist() == ["41", "40-44", "40-49", "30-59", "any"]
        with pytest.raises(MedlibError, match="multiples"):
            make_age_hierarchy(pd.Series(range(80)), (20, 30))


#: Two classes of 3 and 4.
PEOPLE = pd.DataFrame({"age": ["40s"] * 3 + ["50s"] * 4, "ill": ["a", "a", "b", "a", "a", "b", "c"], "stay": [1, 1, 2, 4, 4, 8, 8]})


class TestMeasure:
    def test_by_hand(self):
        found = measure_anonymity(PEOPLE, ["age"], "ill")
        assert (found.k, found.l, found.sizes.tolist()) == (3, 2, [3, 4])
        # 40s: a 2/3, b 1/3, c 0; everybody: a 4/7, b 2/7, c 1/7.
        assert found.t == pytest.approx(1 / 7)

    def test_earth_moves_along_ranks(self):
        """40s: 2/3, 1/3, 0, 0; everybody: 2/7, 1/7, 2/7, 2/7; cumulated differences 8/21, 4/7, 2/7 over three steps."""
        assert measure_anonymity(PEOPLE, ["age"], "stay").t == pytest.approx((8 / 21 + 4 / 7 + 2 / 7) / 3)

    def test_missing_is_a_value(self):
        frame = pd.DataFrame({"age": ["40s", None, None], "ill": ["a", None, "a"]})
        found = measure_anonymity(frame, ["age"], "ill")
        assert (found.k, found.l, len(found.sizes)) == (1, 1, 2)

    def test_without_a_sensitive_column_and_without_rows(self):
        found = measure_anonymity(PEOPLE, ["age"])
        assert (found.k, found.l, found.t) == (3, 0, 0.0)
        with pytest.raises(MedlibError):
            measure_anonymity(PEOPLE[:0], ["age"])


def make_people(seed, count=60):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"age": rng.integers(20, 99, count), "site": rng.choice(list("abcd"), count), "sex": rng.integers(0, 2, count),
                         "stay": rng.integers(1, 5, count)})


def make_hierarchies(people):
    sites = pd.DataFrame({"site": list("abcd"), "region": list("NNSS")})
    return {"age": make_age_hierarchy(people["age"]), "site": make_place_hierarchy(sites), "sex": make_flat_hierarchy(people["sex"])}


class TestReach:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 999), st.integers(1, 8), st.integers(1, 3), st.sampled_from([1.0, 0.4, 0.2]), st.sampled_from([0.0, 0.1]))
    def test_reached_is_what_was_asked(self, seed, k, l, t, most):  # noqa: E741
        people = make_people(seed)
        safe = reach_anonymity(people, make_hierarchies(people), k, l, t, "stay", most)
        found = measure_anonymity(safe.frame, ["age", "site", "sex"], "stay")
        assert found.k >= k and found.l >= l and found.t <= t + 1e-9
        assert len(safe.suppressed) <= most * len(people) and len(safe.frame) + len(safe.suppressed) == len(people)
        assert safe.frame["stay"].equals(people.loc[safe.frame.index, "stay"])

    @pytest.mark.parametrize("seed", range(6))
    def test_nothing_loses_less(self, seed):
        """Against all combinations, by another way of counting what is lost."""
        people = make_people(seed)
        hierarchies, least = make_hierarchies(people), np.inf
        for node in itertools.product(*(range(len(one.columns)) for one in hierarchies.values())):
            general = pd.DataFrame({name: people[name].map(one.iloc[:, level]) for (name, one), level in zip(hierarchies.items(), node)})
            size = general.groupby(list(hierarchies))["sex"].transform("size")
            kept = size >= 4
            if (~kept).sum() <= 6:
                shares = [people[name].map((one.groupby(one.columns[level])[one.columns[level]].transform("size") - 1) / (len(one) - 1))
                          for (name, one), level in zip(hierarchies.items(), node)]
                least = min(least, np.mean([share.where(kept, 1.0).mean() for share in shares]))
        assert reach_anonymity(people, hierarchies, 4, most_suppressed=0.1).loss == pytest.approx(least)

    def test_already_there_changes_nothing(self):
        people = pd.DataFrame({"sex": [0, 0, 1, 1, 1], "stay": [1, 2, 1, 2, 3]})
        safe = reach_anonymity(people, {"sex": make_flat_hierarchy(people["sex"])}, 2)
        assert safe.frame.equals(people) and safe.levels == {"sex": "as it is"} and safe.loss == 0

    def test_one_lonely_row_goes_where_it_may(self):
        people = pd.DataFrame({"sex": [0] * 19 + [1]})
        hierarchies = {"sex": make_flat_hierarchy(people["sex"])}
        assert reach_anonymity(people, hierarchies, 2).suppressed.tolist() == [19]
        assert reach_anonymity(people, hierarchies, 2, most_suppressed=0.04).levels == {"sex": "any"}

    def test_a_missing_value_is_a_value_until_all_are_one(self):
        people = pd.DataFrame({"sex": [0.0] * 5 + [np.nan]})
        hierarchies = {"sex": make_flat_hierarchy(people["sex"])}
        assert reach_anonymity(people, hierarchies, 1).frame["sex"].isna().sum() == 1
        assert reach_anonymity(people, hierarchies, 2, most_suppressed=0.0).frame["sex"].tolist() == ["any"] * 6

    def test_refused(self):
        people = make_people(1)
        hierarchies = make_hierarchies(people)
        for wrong in (lambda: reach_anonymity(people, hierarchies, 61), lambda: reach_anonymity(people, hierarchies, 2, l=2),
                      lambda: reach_anonymity(people, hierarchies, 2, 5, sensitive="stay"),
                      lambda: reach_anonymity(people.assign(site="z"), hierarchies, 2)):
            with pytest.raises(MedlibError):
                wrong()
