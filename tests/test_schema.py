"""The contracts: every table takes a good frame, and a bad one is refused with the row and the column at fault."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medlib import schema
from medlib.errors import MedlibError
from medlib.schema import TABLES, check_frame, find_failures, parse_requires

ROOT = Path(__file__).resolve().parents[1]
#: Every kind of contract that a column has, once.
CONTRACTS = sorted({replace(column, name="it", about="", required=True) for table in TABLES.values() for column in table.columns},
                   key=repr)


def make_good(name: str, rows: int = 3) -> pd.DataFrame:
    """A frame that keeps the contract, with another key in each row."""
    def values(column):
        if column.one_of:
            return [column.one_of[number % len(column.one_of)] for number in range(rows)]
        start = column.low if column.low is not None else -2.5
        step = (column.high - start) / rows if column.high is not None else 1.0
        return {"text": [f"{column.name} {number}" for number in range(rows)],
                "date": pd.date_range("2024-02-20", periods=rows),
                "integer": [int(start) + number for number in range(rows)],
                "number": [start + step * number for number in range(rows)],
                "flag": [number % 3 == 1 for number in range(rows)],
                "picture": [b"picture %d" % number for number in range(rows)]}[column.kind]
    return pd.DataFrame({column.name: values(column) for column in TABLES[name].columns}, index=range(40, 40 + rows))


def spoil(frame: pd.DataFrame, column: str, value, row: int = 1) -> pd.DataFrame:
    values = frame[column].astype(object).tolist()
    values[row] = value
    return frame.assign(**{column: pd.Series(values, index=frame.index, dtype=object)})


def faults(column: schema.Column) -> list:
    """Values that break the contract of a column."""
    bad = {"text": [] if column.nullable else [" ", "\t"], "date": ["yesterday", "2024-02-30", "2024-02-21 06:00"],
           "integer": [1.5, "x"], "number": ["x", np.inf], "flag": ["false", 2],
           "picture": ["a text", b"", b" \n", b"x" * (schema.MOST_BYTES + 1)]}[column.kind]
    bad += [] if column.nullable else [None]
    bad += ["nonsense"] if column.one_of else []
    bad += [column.low - 1] if column.low is not None else []
    bad += [column.high + 1] if column.high is not None else []
    return bad


@pytest.mark.parametrize("name", TABLES)
def test_a_good_frame_is_taken_in_the_contracts_order_and_types(name):
    good, table = make_good(name), TABLES[name]
    shuffled = good[good.columns[::-1]].assign(remark="not in the contract")
    checked = check_frame(shuffled, name)
    assert checked.columns.tolist() == [column.name for column in table.columns]
    assert [str(kind) for kind in checked.dtypes] == [schema.DTYPES[column.kind] for column in table.columns]
    assert checked.index.tolist() == [0, 1, 2]
    for column in good:
        assert checked[column].tolist() == good[column].tolist()
    assert find_failures(shuffled, name).empty


@pytest.mark.parametrize("name", TABLES)
def test_optional_columns_may_stay_away_and_stay_away(name):
    needed = [column.name for column in TABLES[name].columns if column.required]
    assert check_frame(make_good(name)[needed], name).columns.tolist() == needed


@pytest.mark.parametrize("name", TABLES)
def test_no_rows_are_no_failure(name):
    assert check_frame(make_good(name).iloc[:0], name).empty


@pytest.mark.parametrize("column", CONTRACTS, ids=lambda column: f"{column.expected}")
def test_each_fault_of_a_column_is_found_at_its_row(column, monkeypatch):
    monkeypatch.setitem(TABLES, "one", schema.Table("one", "", "", (column,)))
    for value in faults(column):
        failures = find_failures(spoil(make_good("one"), "it", value), "one")
        assert failures[["row", "column", "expected"]].values.tolist() == [[1, "it", column.expected]], (value, failures)
    for limit in (column.low, column.high):
        assert limit is None or find_failures(spoil(make_good("one"), "it", limit), "one").empty, limit


@pytest.mark.parametrize("name", TABLES)
def test_a_fault_in_every_column_at_once_is_found_place_by_place(name):
    columns = TABLES[name].columns
    bad = make_good(name, rows=len(columns) + 1)
    for row, column in enumerate(columns, start=1):
        # Texts among numbers would keep pandera from looking at the other rows of the column.
        usable = [value for value in faults(column) if not isinstance(value, str) or column.kind in ("text", "flag")]
        bad = spoil(bad, column.name, (usable or faults(column) or ["may hold any text"])[0], row)
    wanted = [[row, column.name] for row, column in enumerate(columns, start=1) if faults(column)]
    assert find_failures(bad, name)[["row", "column"]].values.tolist() == wanted


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_value_or_column_stands_only_where_it_may(name):
    good, table = make_good(name), TABLES[name]
    may = [column.name for column in table.columns if column.nullable]
    gaps = good
    for column in may:
        gaps = spoil(gaps, column, None)
    checked = check_frame(gaps, name)
    assert {column: checked[column].isna().tolist() for column in may} == dict.fromkeys(may, [False, True, False])
    needed = [column.name for column in table.columns if column.required]
    found = find_failures(good.drop(columns=needed), name)
    assert sorted(zip(found["row"], found["column"])) == sorted((-1, column) for column in needed)


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.key])
def test_a_key_stands_once(name):
    good, key = make_good(name), TABLES[name].key
    twice = pd.concat([good, good.iloc[[1]]])
    failures = find_failures(twice, name)
    assert failures["row"].tolist() == [1, 3]
    assert set(failures["column"]) == {" + ".join(key)} and set(failures["expected"]) == {schema.ONCE}
    other = {"text": "another", "date": pd.Timestamp("2030-01-01"), "integer": 9, "number": 0.25, "flag": False}
    for part in key:  # the whole key counts, not one part of it
        good.loc[42, list(key)] = good.loc[41, list(key)]
        column = TABLES[name].column[part]
        good.loc[42, part] = column.one_of[-1] if column.one_of else other[column.kind]
        assert find_failures(good, name).empty, part


def test_the_message_names_table_row_column_and_counts_the_rest():
    bad = spoil(spoil(make_good("demand"), "demand", -4.0, row=2), "demand", -1.0, row=1)
    with pytest.raises(MedlibError, match=r"^Table 'demand' breaks its contract in 2 place\(s\); first, in row 1, column "
                                          r"'demand': expected a number of at least 0 or nothing, got '-1.0'\.$"):
        check_frame(bad, "demand")
    with pytest.raises(MedlibError, match="in the table, column 'site': expected the column to be there"):
        check_frame(make_good("demand").drop(columns="site"), "demand")


def test_undated_capacity_needs_no_date_column_and_is_keyed_without_it():
    steady = make_good("capacity").drop(columns="date")
    assert "date" not in check_frame(steady, "capacity")
    assert find_failures(pd.concat([steady, steady.iloc[[0]]]), "capacity")["column"].unique().tolist() == ["site + resource"]


def test_a_date_as_a_number_is_not_taken_for_nanoseconds():
    assert find_failures(make_good("demand").assign(date=20240220), "demand")["column"].unique().tolist() == ["date"]


def test_a_picture_that_is_refused_is_not_printed():
    large = spoil(make_good("equipment"), "picture", b"x" * (schema.MOST_BYTES + 1))
    with pytest.raises(MedlibError, match="in row 1, column 'picture': expected the bytes of a picture, at most 200,000, got '200,001 bytes'"):
        check_frame(large, "equipment")
    assert find_failures(spoil(make_good("equipment"), "picture", b"x" * schema.MOST_BYTES), "equipment").empty


def test_check_frame_leaves_its_input_alone():
    good = make_good("demand").assign(extra=1)
    before = good.copy()
    check_frame(good, "demand")
    pd.testing.assert_frame_equal(good, before)


def test_an_unknown_table_is_refused_with_the_names():
    for function in (schema.get_table, lambda name: check_frame(pd.DataFrame(), name)):
        with pytest.raises(MedlibError, match="There is no table 'demands'; the tables are sites, resources, demand"):
            function("demands")


def test_the_tables_are_named_once_and_inputs_are_among_them():
    for name, table in TABLES.items():
        names = [column.name for column in table.columns]
        assert name == table.name and len(set(names)) == len(names) and set(table.key) <= set(names)
    assert set(schema.OPTIONAL_INPUTS) < set(schema.INPUTS) < set(TABLES)


@pytest.mark.parametrize(("text", "needs"), [
    ("0.5 nurse; 1 monitor", {"nurse": 0.5, "monitor": 1.0}), (" 12  two words ;0.25 x", {"two words": 12.0, "x": 0.25}),
    ("", {}), (" ", {}), (None, {}), (np.nan, {})])
def test_requirements_are_read(text, needs):
    assert parse_requires(text) == needs


@pytest.mark.parametrize("text", ["nurse", "0 nurse", "0.0 nurse", "-1 nurse", "1", "1 nurse; 2 nurse", "1 nurse;", "1,5 nurse",
                                  "1 nurse, 2 monitor; 3", "1e3 nurse", "nan nurse"])
def test_requirements_that_cannot_be_read_are_refused(text):
    with pytest.raises(MedlibError, match="such as '0.5 nurse; 1 monitor'; got "):
        parse_requires(text)


def test_the_dictionary_names_every_column_with_its_limits():
    text = schema.format_dictionary()
    for name, table in TABLES.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert table.about in section and f"`{table.writer}`" in section
        for column in table.columns:
            assert f"| {column.name} | {column.kind} | {column.about} |" in section
    assert "| latitude | number | degrees north (WGS 84) | -90 to 90 |  |" in text
    assert "| kind | text | kind of resource | staff, equipment, bed, drug |  |" in text
    assert "| date | date | first day of the period, or nothing where it never changes |  | optional, may be missing |" in text


def test_the_printed_dictionary_is_up_to_date():
    assert (ROOT / "data" / "dictionary.md").read_text(encoding="utf-8") == schema.format_dictionary()
