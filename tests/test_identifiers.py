"""Direct identifiers: found in every format tried, and not found in what names nobody."""

import csv
import os
import random
import re
from pathlib import Path

import pandas as pd
import pytest

from medlib import tables
from medlib.catalog import CATALOG, GERMAN_STATES, load_dataset
from medlib.privacy.identifiers import Finding, classify_head, find_identifiers, find_in_frame, list_kinds
from medlib.schema import TABLES
from trust.attacks.people import TEXTS, draw_number, draw_word

DEVICES = Path(os.environ.get("MEDLIB_MIRROR", "nowhere")) / "fda_devices" / "foiclass.txt"


def find(text, free=False):
    return {finding.kind for finding in find_identifiers(text, "here", free)}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("around", ["{}", "3 syringe pumps, {}; see ward 4", "id|{}|x", "back from repair\n{}\n2025-12-01", "({})"])
def test_every_kind_is_found_in_every_surrounding(kind, around):
    dice = random.Random(f"{kind}{around}")
    texts = [TEXTS[kind](dice) for _ in range(20)]
    assert [text for text in texts if kind not in find(around.format(text))] == []


def test_what_is_looked_for_is_what_is_tried():
    assert set(list_kinds()) - {"German health insurance number"} == set(TEXTS)


@pytest.mark.parametrize("kind", ["US social security number", "Chinese resident number", "Brazilian CPF", "Swiss AHV number",
                                  "Spanish identity number", "French social security number", "Indian Aadhaar number"])
def test_a_wrong_check_digit_is_no_number(kind):
    dice = random.Random(3)
    for _ in range(20):
        text = draw_number(kind, dice)
        if kind == "US social security number":  # has no check digit, but areas that were never given out
            text = "000" + text[3:]
        else:
            place = max(place for place, sign in enumerate(text) if sign.isdigit())
            text = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1:]
        assert kind not in find(f"note {text} end")


def test_the_german_insurance_number_by_hand():
    assert find("A123456780") == {"German health insurance number"}  # the example of the number's own specification
    assert find("A123456781") == set()


def test_plain_digits_count_only_beside_their_word():
    number = draw_number("UK NHS number", random.Random(1)).removeprefix("NHS number ").replace(" ", "")
    assert find(f"lot {number}") == set()
    assert find(f"NHS: {number}") == {"UK NHS number"}
    assert find(f"NHS trust, founded long before anybody counted; lot {number}") == set()


@pytest.mark.parametrize("text", [
    "St. Mary's Hospital", "Saint Vincent de Paul Medical Center", "Dr. Quagaz Moltis Hospital", "Klinikum Dr. Quagaz",
    "Dr. von Quagazsches Kinderspital",
    "Universitätsklinikum Frau Quagaz Haus", "Hospital Señora de los Remedios", "Martin-Luther-Krankenhaus", "San Juan Bautista Medical Center",
    "Sankt Josef und Sankt Elisabeth", "Hôpital Madame Quagaz", "Mrs Quagaz Ward", "Name: demand, dtype: float64", "Name: Los Angeles, dtype: int64",
    "MR Imaging, 3 T", "Mr Conditional pump", "2025-12-01 00:00:00", "plan made 3 December 2025, saves 12.5 bed-days", "patients moved on 2025-12-03",
    "seed 1234567890", "0.123456789 1.234567890", "12 345 678 901", "SHA-256 990fd8c38d01cf7321dcc9f691ad3acca8bd4411223344556677889900aabbcc",
    "commit 6e3fe94", "version 1.2.3.4", "call 5 pumps; qty 1234567", "REF 12345678 LOT 20240131", "tel quel", "user@", "a @ b",
    "0.5 nurse; 1 monitor", "2 x 1,234,567.89", "1-2-3", "https://example.org/data/2024-01-01/5551234567"])
def test_what_names_nobody_is_left_alone(text):
    assert find(text) == set()


def test_a_text_has_each_kind_once_and_never_its_value():
    dice = random.Random(1)
    text = " and ".join(TEXTS["e-mail address"](dice) for _ in range(3))
    assert find_identifiers(text, "here") == [Finding("here", "e-mail address")]


def test_long_texts_are_searched_to_their_end():
    text = TEXTS["e-mail address"](random.Random(1))
    for length in (19_700, 19_790, 19_800, 19_999, 20_001, 99_000):
        assert find("x " * (length // 2) + text) == {"e-mail address"}


def test_full_dates_in_free_text_count_where_the_text_is_free():
    assert find("back from repair 12.03.2024", free=True) == {"date about a person"}
    assert find("back from repair 12.03.2024") == set()
    assert find("2024-03-12", free=True) == set()  # a column of dates
    assert find("admitted 12.03.2024") == {"date about a person"} and find("born 12.03.2024") == {"date of birth"}


@pytest.mark.parametrize(("head", "kind"), [
    ("patient_name", "names of people"), ("PatientName", "names of people"), ("Last Name", "names of people"),
    ("surname", "names of people"),
    ("MRN", "record numbers"), ("medical_record_number", "record numbers"), ("Fallnummer", "record numbers"),
    ("ssn", "national identity numbers"),
    ("nhs_number", "national identity numbers"), ("E-Mail", "e-mail addresses"), ("phone", "telephone numbers"), ("date_of_birth", "dates of birth"),
    ("DOB", "dates of birth"), ("home_address", "addresses"), ("Street", "addresses"),
    ("name", ""), ("site", ""), ("patients", ""), ("device", ""), ("date", ""), ("unit", ""), ("source", ""), ("model", "")])
def test_heads_tell_what_a_column_holds(head, kind):
    assert classify_head(head) == kind


def test_no_contract_has_a_head_that_names_people():
    assert [column.name for table in TABLES.values() for column in table.columns if classify_head(column.name)] == []


def test_a_frame_tells_rows_and_columns():
    email = TEXTS["e-mail address"](random.Random(1))
    frame = pd.DataFrame({"site": ["A", "B", "C"], "surname": ["x", None, None], "n": [1, 2, 3],
                          "remark": ["fine", f"ask {email}", "in use since 1.2.2024"]})
    assert find_in_frame(frame, "tables/x", ("remark",)) == [
        Finding("tables/x, column surname", "names of people"), Finding("tables/x, column remark, row 1", "e-mail address"),
        Finding("tables/x, column remark, row 2", "date about a person")]
    twice = pd.DataFrame([["a", email]], columns=["c", "c"])
    assert find_in_frame(twice, "t") == [Finding("t, column c, row 0", "e-mail address")]


# --- What must not be found: data that are public or made up -----------------------------------------------------------

def test_the_sample_names_nobody():
    for name in TABLES:
        if tables.has(name, "data/sample"):
            assert find_in_frame(tables.read(name, "data/sample"), name, ("text",)) == []


@pytest.mark.parametrize("dataset", [name for name, entry in CATALOG.items() if not entry.url and not entry.file])
def test_datasets_that_need_no_file_name_nobody(dataset):
    assert_clean(dataset)


@pytest.mark.skipif(not DEVICES.is_file(), reason="the folder named by MEDLIB_MIRROR does not hold the datasets")
@pytest.mark.parametrize("dataset", ["icu_germany", "tx_icu"])
def test_published_datasets_name_nobody(dataset):
    assert_clean(dataset)


def assert_clean(dataset):
    frames, sources = load_dataset(dataset)
    for name, frame in {**frames, "sources": sources}.items():
        assert find_in_frame(frame.drop(columns="picture", errors="ignore"), name, ("text",)) == []


def test_names_of_states_and_hospitals_after_people_name_nobody():
    assert len(GERMAN_STATES) == 16 and [name for name in GERMAN_STATES["site"] if find(name)] == []
    dice = random.Random(2)
    forms = ("St. {} Hospital", "{} {} Memorial Hospital", "Dr. {} {} Klinik", "Klinik Prof. Dr. {}", "Hôpital {}-{}", "Ospedale San {}",
             "{} Medical Center", "Frau {} Krankenhaus", "Santa {} de {}", "Ward {}")
    made = [form.format(draw_word(dice), draw_word(dice)) for form in forms for _ in range(50)]
    assert [name for name in made if find(name)] == []


def test_printed_numbers_name_nobody():
    dice = random.Random(3)
    pages = []
    for _ in range(60):
        frame = pd.DataFrame({"a": [dice.randint(0, 10**9) for _ in range(30)], "b": [dice.gauss(0, 1e6) for _ in range(30)],
                              "date": pd.date_range("2024-01-01", periods=30), "share": [dice.random() for _ in range(30)]})
        pages.append(frame.to_string())
    assert [kinds for page in pages for kinds in [find(page)] if kinds] == []


@pytest.mark.skipif(not DEVICES.is_file(), reason="the folder named by MEDLIB_MIRROR does not hold fda_devices")
def test_names_and_definitions_of_devices_name_nobody():
    rows = csv.reader(DEVICES.read_text(encoding="latin-1").splitlines(), delimiter="|")
    texts = {cell for row in rows for cell in row if re.search("[a-zA-Z]{3}", cell)}
    assert len(texts) > 8_000
    assert [text for text in texts if find(text)] == []
