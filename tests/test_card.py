"""The model and data card: what the run's tables say, with nothing that could run, and no section without its tables."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from medlib import tables
from medlib.report.card import format_card

OWN = {"parameters": {"dataset": "/some/folder"}}
EVIL = "<script>x()</script>"


def put_tables(folder, synthetic=False, title="Beds"):
    source = {"dataset": "d", "title": title, "file": "f", "source": "s", "licence": "CC0", "attribution": "a", "sha256": "0", "rows": 1234,
              "first_date": pd.Timestamp("2024-01-01"), "last_date": pd.Timestamp("2024-03-31"), "synthetic": synthetic, "notes": "Winter only."}
    score = {"resource": "bed", "wis": 1.0, "pinball": 1.0, "coverage_50": 0.5, "coverage_95": 0.9, "rmse": 1.0, "mae": 1.0, "forecasts": 77}
    quality = {"resource": "bed", "share": 0.1}
    dates = pd.date_range("2024-03-01", periods=2)
    daily = [{"rung": rung, "date": date, "site": site, "resource": "bed", "shortage": short} for date in dates
             for rung, site, short in (("none", "A", 1.0), ("none", "B", 6.0), ("stochastic", "A", 2.0), ("stochastic", "B", 1.0))]
    frames = {
        "sources": [source], "sites": [{"site": site, "latitude": 1.0, "longitude": 2.0} for site in ("A", "B", "C")],
        "resources": [{"resource": "bed", "kind": "bed", "unit": "bed"}],
        "demand": [{"date": dates[0], "site": site, "resource": "bed", "demand": 2.0, "imputed": site == "A"} for site in ("A", "B", "C")],
        "quality": [quality | {"rule": "negative", "rows": 41, "action": "treated as missing"},
                    quality | {"rule": "doubled", "rows": 0, "action": "-"}],
        "forecast_score": [score | {"model": "random_forest", "relative_wis": 0.734, "coverage_80": 0.81, "used": True},
                           score | {"model": "seasonal_naive", "relative_wis": 1.0, "coverage_80": 0.5, "used": False}],
        "ladder_daily": daily, "ladder_judged": [{"rung": "none", "measure": "worst_site", "value": 12.0, "low": 9.5, "high": 16.0},
                                                 {"rung": "stochastic", "measure": "worst_site", "value": 4.0, "low": np.nan, "high": 7.25}]}
    for name, rows in frames.items():
        tables.write(pd.DataFrame(rows), name, folder / "tables")


def read_card(folder, manifest=OWN):
    soup = BeautifulSoup(format_card(folder, manifest), "html.parser")
    return soup, {row[0]: row[1:] for row in ([cell.get_text() for cell in line.find_all("td")] for line in soup.find_all("tr")) if row}


def test_the_card_says_what_the_tables_say(tmp_path):
    put_tables(tmp_path)
    soup, rows = read_card(tmp_path)
    assert [soup.h2["id"], soup.h2.get_text()] == ["card", "Model and data card"]
    assert [head.get_text() for head in soup.find_all("h3")] == ["Data", "Models", "Use", "Who is served worst", "Privacy", "Limits"]
    assert rows["Beds"] == ["observed", "CC0", "2024-01-01 to 2024-03-31", "1,234"]
    assert rows["negative"] == ["treated as missing", "41"] and "doubled" not in rows
    assert rows["bed"] == ["random forest", "0.73", "81%", "77"]
    assert rows["Do nothing"] == ["12", "9.50 to 16", "B"] and rows["Plan with full forecast"] == ["4.00", "– to 7.25", "A"]
    text = soup.get_text(" ")
    for words in ("Sites: 3. Resources: bed.", "filled in: 1 of 3", "Winter only.", "no medical device", "single patient"):
        assert words in text


def test_without_tables_only_use_privacy_and_limits_are_left(tmp_path):
    soup, rows = read_card(tmp_path)
    assert [head.get_text() for head in soup.find_all("h3")] == ["Use", "Privacy", "Limits"] and rows == {}


@pytest.mark.parametrize(("manifest", "synthetic", "words", "absent"), [
    (OWN, False, ["own folder", "from 1 to 4 are not shown", "Nothing was found"], ["Synthetic", "Published"]),
    (OWN | {"smallest_count": 11}, False, ["from 1 to 10 are not shown"], []),
    (OWN | {"smallest_count": 0}, False, ["Small counts of people are shown"], ["not shown"]),
    ({"parameters": {"dataset": "sample"}}, True, ["Synthetic: nobody", "made up"], ["own folder"]),
    ({"parameters": {"dataset": "icu_germany"}}, False, ["Published counts"], ["Synthetic:", "made up"]),
    (OWN | {"accepted": ["tables/demand, column demand", EVIL]}, False, ["looked at and accepted", "tables/demand, column demand"],
     ["Nothing was found"])])
def test_privacy_follows_the_run(tmp_path, manifest, synthetic, words, absent):
    put_tables(tmp_path, synthetic)
    text = read_card(tmp_path, manifest)[0].get_text(" ")
    assert [word for word in words if word not in text] == [] and [word for word in absent if word in text] == []


def test_texts_of_the_data_are_texts(tmp_path):
    put_tables(tmp_path, title=EVIL)
    card = format_card(tmp_path, OWN | {"accepted": [EVIL]})
    assert "<script" not in card and card.count("&lt;script&gt;") == 2
    assert set(re.findall(r"</?(\w+)", card)) <= {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
