"""Tables in a workspace: checked both ways, whole or not at all, and found wherever one starts from."""

import os

import numpy as np
import pandas as pd
import pytest

from medlib import tables
from medlib.errors import MedlibError
from medlib.schema import TABLES


@pytest.fixture
def demand():
    return pd.DataFrame({"date": pd.to_datetime(["2024-01-01", "2024-01-02"]), "site": ["A", "A"], "resource": ["bed", "bed"],
                         "demand": [3.5, np.nan]})


def mark(path):
    """What changes when a file is written anew."""
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


def list_files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(tmp_path, demand):
    path = tables.write(demand, "demand", tmp_path)
    assert path == tmp_path / "demand.parquet"
    pd.testing.assert_frame_equal(tables.read("demand", tmp_path), demand.astype({"date": "datetime64[us]"}))
    assert tables.has("demand", tmp_path) and not tables.has("capacity", tmp_path)


def test_a_workspace_is_made_where_it_is_missing(tmp_path, demand):
    assert tables.write(demand, "demand", tmp_path / "a" / "b").is_file()


def test_only_the_contracts_columns_are_written(tmp_path, demand):
    path = tables.write(demand.assign(remark="x"), "demand", tmp_path)
    assert pd.read_parquet(path).columns.tolist() == ["date", "site", "resource", "demand"]


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_names_the_notebook_that_writes_it(tmp_path, name):
    with pytest.raises(MedlibError) as caught:
        tables.read(name, tmp_path)
    assert str(caught.value) == (f"Table {name!r} is not in workspace {str(tmp_path)!r}; run notebook {TABLES[name].writer} "
                                 "with this workspace first.")


@pytest.mark.parametrize("function", [tables.read, tables.has, lambda *given: tables.write(pd.DataFrame(), *given)])
def test_an_unknown_table_is_refused(tmp_path, function):
    with pytest.raises(MedlibError, match="There is no table 'demnd'"):
        function("demnd", tmp_path)
    assert list_files(tmp_path) == []


def test_a_frame_that_breaks_its_contract_leaves_the_old_file(tmp_path, demand):
    path = tables.write(demand, "demand", tmp_path)
    before = mark(path)
    with pytest.raises(MedlibError, match="row 0, column 'demand'"):
        tables.write(demand.assign(demand=-1.0), "demand", tmp_path)
    assert mark(path) == before and list_files(tmp_path) == ["demand.parquet"]


def test_a_write_that_dies_in_the_middle_leaves_the_old_file(tmp_path, demand, monkeypatch):
    path = tables.write(demand, "demand", tmp_path)
    before = mark(path)

    def die_half_way(self, file, **_):
        file.write_bytes(b"PAR1 half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", die_half_way)
    with pytest.raises(OSError, match="no space left"):
        tables.write(demand.assign(demand=7.0), "demand", tmp_path)
    assert mark(path) == before
    assert tables.read("demand", tmp_path)["demand"].tolist()[0] == 3.5


def test_a_half_written_file_is_never_under_the_tables_name(tmp_path, demand, monkeypatch):
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda part, path: (seen.append((pd.read_parquet(part).shape, path.exists())),
                                                           replace(part, path))[1])
    tables.write(demand, "demand", tmp_path)
    assert seen == [((2, 4), False)]
    assert list_files(tmp_path) == ["demand.parquet"]


def test_the_same_rows_are_not_written_again_and_others_are(tmp_path, demand):
    path = tables.write(demand, "demand", tmp_path)
    before = mark(path)
    assert tables.write(demand[demand.columns[::-1]].set_index(pd.Index([5, 9])), "demand", tmp_path) == path
    assert mark(path) == before
    tables.write(demand.assign(demand=[3.5, 0.0]), "demand", tmp_path)  # a missing value is not zero
    assert mark(path)[:2] != before[:2]
    assert tables.read("demand", tmp_path)["demand"].tolist() == [3.5, 0.0]


def test_a_file_that_breaks_the_contract_is_refused_when_read(tmp_path, demand):
    demand.assign(demand=-2.0).to_parquet(tmp_path / "demand.parquet")
    with pytest.raises(MedlibError, match="Table 'demand' breaks its contract"):
        tables.read("demand", tmp_path)


def test_relative_workspaces_stand_in_the_projects_folder(tmp_path, demand, monkeypatch):
    assert (tables.PROJECT / "pyproject.toml").is_file()
    assert tables.get_workspace("reports/x/tables") == tables.PROJECT / "reports" / "x" / "tables"
    assert tables.get_workspace(tmp_path) == tmp_path
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tables, "PROJECT", project)
    monkeypatch.chdir(elsewhere)
    tables.write(demand, "demand", "data/mine")
    assert (project / "data" / "mine" / "demand.parquet").is_file() and list_files(elsewhere) == []
    monkeypatch.chdir(tmp_path)
    assert len(tables.read("demand", "data/mine")) == 2
