"""The gate before a report, and secrets: what must not leave is found, named by place only, and nothing else stops a run."""

import shlex
import html
import json
import os
from base64 import b64encode
from urllib.parse import quote, quote_plus

import nbformat
import pandas as pd
import pytest
from nbformat import v4

from medlib import tables
from medlib.catalog import CATALOG
from medlib.errors import MedlibError
from medlib.privacy import vault
from medlib.privacy.identifiers import Finding
from medlib.report import gate
from medlib.report.gate import check_release, choose_threshold, tell_findings
from medlib.report.pipeline import Parameter, check_parameters, convert, read_notebook
from medlib.report.secrets import Secret, hide, is_secret, mask, mask_outputs, read_secrets, refuse_secret
from medlib.schema import TABLES, check_frame

OWN = {"parameters": {"dataset": "/some/folder"}}
SAMPLE = {"parameters": {"dataset": "sample"}}
EMAIL = "zaquimo@zaquimo.org"
SECRET = 'Zq"7&ü<vx/ 9'


def put_demand(folder, *amounts, resource="bed", name="demand"):
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=len(amounts)), "site": "A", "resource": resource, "demand": amounts})
    tables.write(frame.assign(capacity=1.0, imputed=False), name, folder / "tables")


def put_cells(folder, *cells, name="90_own"):
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=list(cells)), folder / "notebooks" / f"{name}.ipynb")


def show(text, mime="text/html"):
    return v4.new_code_cell("x", outputs=[v4.new_output("display_data", {mime: text})])


def find(folder, manifest=OWN, **more):
    return [(finding.place, finding.kind) for finding in check_release(folder, manifest | more, {})]


# --- Small counts ----------------------------------------------------------------------------------------------------

def test_the_threshold_is_the_runs_own_or_follows_the_data():
    assert [choose_threshold({"parameters": {"dataset": name}}) for name in CATALOG] == [0] * len(CATALOG)
    assert choose_threshold(OWN) == 5 and choose_threshold({"parameters": {}}) == 5 and choose_threshold({}) == 5
    assert choose_threshold(OWN | {"smallest_count": 0}) == 0 and choose_threshold(SAMPLE | {"smallest_count": 11}) == 11
    assert choose_threshold(OWN | {"smallest_count": None}) == 5


@pytest.mark.parametrize(("amounts", "threshold", "small"), [
    ((0.0, 5.0, 9.0), 5, 0), ((1.0, 4.0, 4.9, 5.0), 5, 3), ((None, 0.0, 10.0), 11, 1), ((3.0,), 0, 0), ((1.0,), 1, 0), ((1.0,), 2, 1)])
def test_counts_from_one_to_below_the_threshold_are_found(tmp_path, amounts, threshold, small):
    put_demand(tmp_path, *amounts)
    expected = [("tables/demand, column demand", f"{small} count(s) of people above 0 and below {threshold}")] if small else []
    assert find(tmp_path, smallest_count=threshold) == expected


def test_published_and_synthetic_data_show_small_counts(tmp_path):
    put_demand(tmp_path, 1.0, 2.0)
    assert find(tmp_path, SAMPLE) == [] and len(find(tmp_path)) == 1


def test_staff_and_devices_are_no_patients(tmp_path):
    put_demand(tmp_path, 3.0, resource="nurse")
    resources = pd.DataFrame({"resource": ["nurse", "bed"], "kind": ["staff", "bed"], "unit": ["nurse", "bed"]})
    tables.write(resources, "resources", tmp_path / "tables")
    tables.write(pd.DataFrame({"site": ["A"], "resource": ["bed"], "capacity": [2.0]}), "capacity", tmp_path / "tables")
    assert find(tmp_path) == []


def test_what_counts_people_is_marked_in_the_contract():
    marked = {(table.name, column.name) for table in TABLES.values() for column in table.columns if column.people}
    assert marked == {("demand", "demand"), ("demand_collected", "demand"), ("arrivals", "arrivals"), ("initial", "remaining"),
                      ("outcome", "demand")}


@pytest.mark.parametrize("heads", [["site", "patients"], ["site", "deaths in hospital"], ["", "Occupied beds"], ["site", "demand"]])
@pytest.mark.parametrize("index", [True, False])
def test_printed_tables_are_searched_as_html_and_as_text(tmp_path, heads, index):
    frame = pd.DataFrame([["A", 3], ["B", 40], ["C", 4]], columns=heads)
    put_cells(tmp_path, show(frame.to_html(index=index)), show(frame.to_string(index=index), "text/plain"))
    place = "notebooks/90_own, cell {}, output, column " + heads[1]
    assert find(tmp_path) == [(place.format(number), "2 count(s) of people above 0 and below 5") for number in (1, 2)]


def test_a_printed_series_tells_its_name_below(tmp_path):
    series = pd.DataFrame({"site": ["A", "A", "B"], "patients": [1, 2, 40]}).groupby("site")["patients"].sum()
    put_cells(tmp_path, show(str(series), "text/plain"), show(str(series.rename("score")), "text/plain"))
    assert find(tmp_path) == [("notebooks/90_own, cell 1, output, column patients", "1 count(s) of people above 0 and below 5")]


@pytest.mark.parametrize("head", ["share of patients", "expected patients", "patients moved", "forecast demand", "ventilators", "mean cases"])
def test_printed_shares_forecasts_plans_and_devices_pass(tmp_path, head):
    frame = pd.DataFrame({"site": ["A", "B"], head: [3, 4]})
    put_cells(tmp_path, show(frame.to_html()), show(frame.to_string(), "text/plain"))
    assert find(tmp_path) == []


def test_fractions_are_no_counts_of_people(tmp_path):
    put_cells(tmp_path, show(pd.DataFrame({"patients": [0.5, 3.25], "x": [1, 2]}).to_html()))
    assert find(tmp_path) == []


# --- Identifiers, places, acceptance ---------------------------------------------------------------------------------

def test_places_in_tables_notebooks_and_page(tmp_path):
    tables.write(pd.DataFrame({"site": "A", "line": [1, 2], "text": ["pump", f"ask {EMAIL}"]}), "inventory", tmp_path / "tables")
    (tmp_path / "tables" / "mine.csv").write_text("surname,remark\nx,fine\n")
    frame = pd.DataFrame({"email": ["x"]})
    put_cells(tmp_path, v4.new_markdown_cell(EMAIL), v4.new_code_cell(f"# {EMAIL}"), show(frame.to_html(index=False)),
              show(f'<img src="x" alt="{EMAIL}">'), show(f"<svg><text>{EMAIL}</text></svg>", "image/svg+xml"),
              v4.new_code_cell("x", outputs=[v4.new_output("error", ename="E", evalue=EMAIL, traceback=[])]))
    (tmp_path / "report.html").write_text(f"<p>{EMAIL}</p>")
    assert find(tmp_path) == [
        ("tables/inventory, column text, row 1", "e-mail address"), ("tables/mine, column surname", "names of people"),
        ("notebooks/90_own, cell 1, text", "e-mail address"), ("notebooks/90_own, cell 2, source", "e-mail address"),
        ("notebooks/90_own, cell 3, output, column email", "e-mail addresses"), ("notebooks/90_own, cell 4, output", "e-mail address"),
        ("notebooks/90_own, cell 5, output", "e-mail address"), ("notebooks/90_own, cell 6, output", "e-mail address"),
        ("report.html", "e-mail address")]


def test_cells_of_the_projects_notebook_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "PROJECT", tmp_path)
    put_cells(tmp_path, v4.new_markdown_cell(f"Ask {EMAIL}."), v4.new_code_cell("1"))
    run = tmp_path / "run"
    run.mkdir()
    put_cells(run, v4.new_markdown_cell(f"Ask {EMAIL}."), v4.new_code_cell(f"1  # {EMAIL}"))
    assert find(run) == [("notebooks/90_own, cell 2, source", "e-mail address")]


def test_pictures_of_plots_are_not_taken_for_text(tmp_path):
    put_cells(tmp_path, show(b64encode(os.urandom(30_000)).decode(), "image/png"))
    assert find(tmp_path) == []


def test_an_accepted_place_holds_for_itself_and_below_only(tmp_path):
    tables.write(pd.DataFrame({"site": "A", "line": [1, 2], "text": [EMAIL, EMAIL]}), "inventory", tmp_path / "tables")
    rows = [f"tables/inventory, column text, row {row}" for row in (0, 1)]
    assert [place for place, _ in find(tmp_path)] == rows
    assert [place for place, _ in find(tmp_path, accepted=[rows[0]])] == rows[1:]
    assert find(tmp_path, accepted=["tables/inventory, column text"]) == find(tmp_path, accepted=["tables/inventory"]) == []
    for other in ("tables/inventory, column tex", "tables/inv", "", rows[0] + "0", "tables"):
        assert len(find(tmp_path, accepted=[other])) == 2


def test_a_locked_run_is_searched_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLIB_KEY", b64encode(bytes(32)).decode())
    put_demand(tmp_path, 3.0)
    vault.lock_workspace(tmp_path / "tables", bytes(32))
    assert [place for place, _ in find(tmp_path)] == ["tables/demand, column demand"]


def test_what_is_told_has_ten_places_and_what_to_do():
    findings = [Finding(f"tables/x, column c, row {row}", "e-mail address") for row in range(13)]
    lines = tell_findings(findings, "my run").splitlines()
    assert "13 place(s)" in lines[0] and lines[1:11] == [f"{finding.place}: e-mail address" for finding in findings[:10]]
    assert lines[11] == "and 3 more places" and "medlib.privacy.cells" in lines[12]
    words = shlex.split(lines[13])
    assert words[:5] == ["medlib", "run", "--resume", "--run-name", "my run"] and words[5:7] == ["--accept", findings[0].place]
    assert "more places" not in tell_findings(findings[:10], "run")
    assert "--accept" not in tell_findings([Finding("run.json", "secret token")], "run")


def test_a_table_that_breaks_no_rule_of_the_contract_keeps_its_marks(tmp_path):
    frame = check_frame(pd.DataFrame({"date": ["2024-01-01"], "site": ["A"], "resource": ["bed"], "demand": [2.0]}), "demand")
    assert frame["demand"].tolist() == [2.0]


# --- Secrets ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["password", "db_password", "DB_PASSWD", "api_key", "apikey", "token", "hub_token", "secret_word",
                                  "credentials", "key", "access_key", "passphrase", "user_pwd", "auth"])
def test_names_that_are_secret(name):
    assert is_secret(name)
    with pytest.raises(MedlibError, match=f"MEDLIB_SECRET_{name.upper()}") as caught:
        refuse_secret(name, SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["dataset", "keyboard", "tokens", "monkey", "horizon", "planning_occupancy", "author", "passes"])
def test_names_that_are_not(name):
    assert not is_secret(name) and refuse_secret(name, "x") is None


@pytest.mark.parametrize("value", ["https://me:pw9zq@host.org/x", "postgresql+psycopg://u:pw9zq@h/db", "https://h.org/?token=pw9zq",
                                   "https://h/?a=1&api_key=pw9zq", "ftp://:pw9zq@h", "https://h/f?X-Amz-Signature=pw9zq", "HTTPS://h/?Access_Token=pw9zq"])
def test_addresses_with_a_password_are_refused_before_anything_else_is_said(value):
    for parameter in (Parameter("dataset", str, "", ""), Parameter("beds", int, 1, "")):
        with pytest.raises(MedlibError, match="address with a password") as caught:
            convert(value, parameter)
        assert "pw9zq" not in str(caught.value)


@pytest.mark.parametrize("value", ["https://host.org:8080/a@b", "https://h.org/?monkey=1", "a:b@c", "data/own", "C:\\data", "12:30 @ ward"])
def test_other_addresses_pass(value):
    assert convert(value, Parameter("dataset", str, "", "")) == value


def write_notebook(folder, line='db_password: str = ""  # of the database'):
    cells = [v4.new_markdown_cell("# 90 Own\n\nWhat?\n\n**Reads** nothing\n\n**Writes** nothing"),
             v4.new_code_cell(f"{line}\nbeds: int = 2", metadata={"tags": ["parameters"]})]
    nbformat.write(v4.new_notebook(cells=cells), folder / "90_own.ipynb")
    return folder / "90_own.ipynb"


def test_a_secret_parameter_points_to_its_variable(tmp_path, monkeypatch):
    chain = [read_notebook(write_notebook(tmp_path))]
    assert check_parameters({}, chain) == {"db_password": "", "beds": 2}
    monkeypatch.setenv("MEDLIB_SECRET_DB_PASSWORD", SECRET)
    parameters = check_parameters({"beds": "3"}, chain)
    assert parameters == {"db_password": "MEDLIB_SECRET_DB_PASSWORD", "beds": 3} and isinstance(parameters["db_password"], Secret)
    stored = json.loads(json.dumps(parameters))
    assert isinstance(hide(stored)["db_password"], Secret) and read_secrets(stored)["db_password"] == SECRET
    with pytest.raises(MedlibError, match="is secret"):
        check_parameters({"db_password": SECRET}, chain)
    monkeypatch.delenv("MEDLIB_SECRET_DB_PASSWORD")
    with pytest.raises(MedlibError, match="is not set"):
        read_secrets(stored)


def test_a_secret_in_the_parameters_cell_is_refused_without_it(tmp_path):
    with pytest.raises(MedlibError, match="must be an empty text") as caught:
        read_notebook(write_notebook(tmp_path, f"db_password: str = {SECRET!r}"))
    assert SECRET not in str(caught.value)


def test_short_secrets_and_secrets_in_other_parameters_are_refused(monkeypatch):
    monkeypatch.setenv("MEDLIB_SECRET_TOKEN", "abcde")
    with pytest.raises(MedlibError, match="too short"):
        read_secrets({"token": "MEDLIB_SECRET_TOKEN"})
    monkeypatch.setenv("MEDLIB_SECRET_TOKEN", "abcdef")
    with pytest.raises(MedlibError, match="Parameter 'title' holds the value of a secret") as caught:
        read_secrets({"token": "MEDLIB_SECRET_TOKEN", "title": "my abcdef plan"})
    assert "abcdef" not in str(caught.value)


def test_the_workspaces_key_is_a_secret_too(monkeypatch):
    monkeypatch.setenv("MEDLIB_KEY", "  Zm9vYmFy\n")
    assert read_secrets({"beds": 3}) == {"MEDLIB_KEY": "Zm9vYmFy"}
    monkeypatch.delenv("MEDLIB_KEY")
    assert read_secrets({"beds": 3}) == {}


@pytest.mark.parametrize("disguise", [str, lambda text: text[::-1], lambda text: b64encode(text.encode()).decode(), json.dumps, repr,
                                      lambda text: text.encode().hex(), html.escape, quote, quote_plus])
@pytest.mark.parametrize("file", ["run.json", "report.html", "tables/plan.csv", "notebooks/x.ipynb", "log.txt"])
def test_secrets_are_found_in_every_file_and_disguise_and_never_accepted(tmp_path, file, disguise):
    (tmp_path / "tables").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tables" / "plan.csv").write_text("a\n1\n")
    text = f"x {disguise(SECRET)} y"
    put = {"notebooks/x.ipynb": lambda: put_cells(tmp_path, v4.new_markdown_cell(text), name="x"),
           "tables/plan.csv": lambda: (tmp_path / file).write_text(f"a\n{text}", encoding="utf-8")}
    put.get(file, lambda: (tmp_path / file).write_text(text, encoding="utf-8"))()
    found = gate._check_secrets(tmp_path, {"token": SECRET, "other": "nowhere"})
    assert list(found) == [Finding(file, "secret token")]
    if file == "log.txt":
        assert check_release(tmp_path, OWN | {"accepted": [file]}, {"token": SECRET}) == [Finding(file, "secret token")]


def test_secrets_are_found_in_packed_tables(tmp_path):
    tables.write(pd.DataFrame({"site": "A", "line": [1], "text": [f"by {SECRET}"]}), "inventory", tmp_path / "tables")
    assert Finding("tables/inventory.parquet", "secret token") in check_release(tmp_path, OWN, {"token": SECRET})


def test_secrets_are_masked_in_texts_and_outputs():
    assert mask(f"a {SECRET} b", {"token": SECRET}) == "a [secret token] b"
    assert mask("nothing", {"token": SECRET}) == "nothing"
    notebook = v4.new_notebook(cells=[show(f"<b>{SECRET}</b>"), v4.new_code_cell(f"x = {SECRET!r}", outputs=[
        v4.new_output("error", ename="E", evalue=SECRET, traceback=[f"E: {SECRET}"]), v4.new_output("stream", text=json.dumps(SECRET))])])
    mask_outputs(notebook, {"token": SECRET})
    assert SECRET not in str(notebook) and json.dumps(SECRET)[1:-1] not in nbformat.writes(notebook)
    assert nbformat.writes(notebook).count("[secret token]") == 5
