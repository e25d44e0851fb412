"""Reports in English or Chinese: no message without its translation, one word for one thing, and no empty boxes in pictures."""

import re
import threading

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from medlib import explain, language, plots, tables
from medlib.errors import MedlibError
from medlib.language import fonts, read_messages, say, speak, use_language
from medlib.recognise.working import tell_source
from medlib.report import list_notebooks, start_run
from medlib.report.messages import list_messages, list_places
from medlib.report.pipeline import NOTEBOOKS, read_notebook
from medlib.schema import TABLES

GLOSSARY = (tables.PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = [[cell.strip() for cell in line.strip("|").split("|")] for line in GLOSSARY.splitlines() if line.startswith("| ") and not line.startswith("| term")]
#: Terms whose English words mean nothing else in a report.
FIXED = ("shortage", "site", "perfect foresight", "shadow price", "forecaster", "as-of date", "surge", "ICU bed", "gap closed", "median", "quantile",
         "weighted interval score", "ventilator", "policy", "capacity", "bed-day", "unit-day", "mean absolute error", "random forest")


@pytest.fixture
def chinese():
    with matplotlib.rc_context():
        use_language("zh")
        yield
        use_language("en")


def test_every_message_is_translated_and_none_is_left_over():
    found, known = list_messages(), read_messages()
    assert [f"{message!r} in {places[0]}" for message, places in found.items() if message not in known] == []
    assert set(known) == set(found) and len(found) > 200


def test_a_new_sentence_is_missed(tmp_path):
    (tmp_path / "new.py").write_text("def tell(say):\n    return say('Nobody has said {this} before.', this=1), say(name)\n")
    assert "Nobody has said {this} before." in list_messages(package=tmp_path)


def test_places_for_values_agree():
    for message, spoken in read_messages().items():
        if "{}" not in message:
            assert list_places(message) == list_places(spoken), message
        assert re.search(r"[\u4e00-\u9fff]", spoken) or not re.search(r"[A-Za-z]{2}", re.sub(r"{.*?}", "", message)), message


def test_messages_use_the_words_of_the_glossary():
    words = {term[0]: term[1].split("、") for term in TERMS}
    for message, spoken in read_messages().items():
        said = re.sub("{.*?}", "", message)
        for term in FIXED:
            if re.search(rf"(?<![\w-]){term}s?(?![\w-])", said, re.IGNORECASE):
                assert any(word in spoken for word in words[term]), (term, message, spoken)


def test_the_glossary_is_whole():
    assert 60 <= len(TERMS) <= 90 and len({term[0] for term in TERMS}) == len(TERMS)
    assert {len(term) for term in TERMS} == {5} and all(all(term) for term in TERMS)
    for *_, where in TERMS:
        assert where.strip("`") in (TABLES if where.startswith("`") else list_notebooks()), where
    for word in "site resource period demand capacity stock surge transfer shortage plan scenario quantile horizon regret run dataset unit".split():
        assert word in {term[0] for term in TERMS}, word


def test_dates_sentences_and_lists(chinese):
    assert explain.format_date(pd.Timestamp("2021-12-03")) == "2021年12月3日"
    assert explain.join_words(["A", "B", "C"]) == "A、B和C" and explain.name_resource("icu_bed") == "重症监护床位"
    assert say("throughout the {span}", span=say("{count} days", count=14)) == "在整个 14 天内"
    assert say("Haus {Nord}") == "Haus {Nord}" and explain.name_dataset("Folder mine") == "文件夹 mine"
    assert tell_source("owned: 2 inventory lines (1 left to people); working: about 9 of 18 looked at, 3 by a person") == (
        "实有：2 条库存清单（1 项留待人工判断）；可正常使用：查看 18 台，约 9 台可用、3 台由人工判断")
    assert explain.format_table(pd.DataFrame({"day": [pd.Timestamp("2021-12-03")]})).count("12月3日") == 1


def test_english_is_spoken_unless_told_and_in_other_threads(chinese):
    heard = []
    thread = threading.Thread(target=lambda: heard.append(say("resource")))
    thread.start()
    thread.join()
    assert heard == ["resource"] and say("resource") == "资源"
    with speak("en"):
        assert say("resource") == "resource"
    assert language.name_language() == "zh"


@pytest.mark.parametrize("name", ["fr", "ZH", ""])
def test_other_languages_are_refused_before_the_run_starts(name):
    with pytest.raises(MedlibError, match=rf"^language must be one of en, zh; got '{name}'\.$"):
        start_run({"language": name}, ["50_report"])


def test_without_a_font_chinese_is_refused_and_english_is_not(monkeypatch):
    monkeypatch.setattr(fonts, "PACKAGE", "no_such_package")
    monkeypatch.setattr(fonts, "FAMILIES", ())
    with pytest.raises(MedlibError, match="pip install pylopdf-fonts-zh-cn"):
        language.check_language("zh")
    language.check_language("en")


def draw_letter(letter):
    """The letter's pixels, cut out."""
    figure = plt.figure(figsize=(1, 1))
    figure.text(0.3, 0.3, letter, fontsize=30)
    figure.canvas.draw()
    dark = np.asarray(figure.canvas.buffer_rgba())[..., 0] < 128
    plt.close(figure)
    return dark


def list_drawn(ax):
    ax.figure.canvas.draw()
    texts = [text.get_text() for text in ax.figure.findobj(matplotlib.text.Text)]
    return sorted({letter for text in texts for letter in text if not letter.isspace()})


def draw_pictures():
    dates = pd.date_range("2021-12-01", periods=40)
    demand = pd.DataFrame({"date": dates, "site": "Köln", "demand": np.arange(40.0)})
    sites = pd.DataFrame({"site": ["Köln", "上海"], "latitude": [50.0, 51.0], "longitude": [7.0, 8.0]})
    moves = pd.DataFrame({"origin": ["Köln"], "destination": ["上海"], "amount": [3.0]})
    ladder = pd.DataFrame({"rung": ["none", "reactive", "perfect"], "shortage": [9.0, 4.0, 1.0], "bound": 0.0})
    yield plots.plot_system(demand, pd.Series(30.0, dates), dates[30])
    yield plots.plot_transfers(moves, sites, pd.Series({"Köln": 2.0}))
    yield plots.plot_ladder(ladder)
    yield plots.plot_shortage(pd.DataFrame({"site": "上海", "date": dates[:9], "shortage_before": 1.0}), "shortage_before")


def test_no_letter_of_a_picture_is_an_empty_box(chinese):
    missing, seen = draw_letter("\U000F0000"), ""
    assert missing.sum() > 20, "the font draws what it lacks as a box"
    for ax in draw_pictures():
        letters = list_drawn(ax)
        assert any("\u4e00" <= letter <= "\u9fff" for letter in letters)
        seen += "".join(letters)
        for letter in letters:
            drawn = draw_letter(letter)
            assert drawn.any() and not np.array_equal(drawn, missing), letter
        plt.close("all")
    assert {"缺", "口", "上", "海", "ö", "月", "日"} <= set(seen)


def test_matplotlibs_own_font_would_draw_boxes():
    """So the test above can fail."""
    with matplotlib.rc_context({"font.family": ["DejaVu Sans"]}), pytest.warns(UserWarning, match="missing from font"):
        assert np.array_equal(draw_letter("缺"), draw_letter("口"))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_heads_are_in_both_languages(path):
    import nbformat
    head = nbformat.read(path, as_version=4).cells[0].source.split("\n\n")
    assert re.fullmatch(rf"\*中文：{path.stem[:2]} .+。.+？\*", head[2]), head[2]
    assert "中文" not in read_notebook(path).question
