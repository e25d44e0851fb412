"""Folders and files with faults in them."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from PIL import Image

from medlib import schema
from medlib.allocate import Rules
from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.foresight import allocate, pose_folder
from medlib.forecast.hub import read_hub_folder
from medlib.intake import check_folder
from medlib.intake.sheets import FORMULA, format_csv
from medlib.intake.template import TEMPLATE
from medlib.recognise.photos import read_photo

#: Cells that have made trouble somewhere.
NASTY = ("", " ", "NaN", "nan", "inf", "-inf", "1e400", "1e308", "1e20", "-0", "-1", "0", "1_000", "1,5", "1.000,5", "٣", "0x10", "TRUE", "yes", "1e5",
         "99999999999999999999", "0.1", "1" * 400, "2024-02-30", "2024-1-1", "01.02.2024", "45292", "9999-12-31", "0001-01-01", "2024-01-01T00:00",
         "=cmd|'/c calc'!A0", "+1", "@x", "-x", "'=x", "''=x", "\t=x", "＝1", "<script>alert(1)</script>", "javascript:alert(1)", "$\\frac{$", "a\nb",
         "a\rb", "\x1b[2J", "\u202e", "\ufeff", "𝔘", "é", "Ã©", "\0", '"', '""', "''", "a,b", "a;b", "x" * 500, "north", "bed", "nurse", "north ", "North",
         "nоrth", "../../etc/passwd", "%s", "{0}", "None", "null", "#N/A", "0.5 nurse", "1 bed; 1 nurse", "-1 nurse", "1 nurse; 1 nurse", "1e3 nurse")
CELLS = st.one_of(st.sampled_from(NASTY), st.floats().map(repr), st.integers().map(str), st.text(max_size=8), st.dates().map(str))
DAYS = pd.date_range("2024-01-01", periods=30)
#: A folder without a fault: the template with two series, and tables that say more.
GOOD = TEMPLATE | {
    "demand": "date,site,resource,demand\n" + "".join(f"{day:%Y-%m-%d},north,{name}\n" for day in DAYS for name in ("bed,23", "antibiotic,9.5")),
    "inventory": "site,line,text\nnorth,1,two ventilators\nsouth,7,monitor\n",
    "stay": "day,survival\n0,1\n1,0.6\n2,0.2\n",
    "tiers": "resource,tier,share,weight\nbed,1,0.2,3\nbed,2,0.8,1\n"}
Files = dict[str, bytes]


def lay_out(case: object, folder: Path) -> bool:
    """Write the files of a case; others are no files."""
    for name, data in case.items() if isinstance(case, dict) else ():
        if isinstance(data, bytes):
            (folder / name).write_bytes(data)
    return isinstance(case, dict) and any(isinstance(data, bytes) for data in case.values())


def _edit(draw: st.DrawFn, text: str) -> str:
    """Make one fault in the text of a CSV file."""
    lines = [line.split(",") for line in text.splitlines()]
    line = draw(st.integers(0, len(lines) - 1))
    place = draw(st.integers(0, len(lines[line]) - 1))
    kind = draw(st.sampled_from(("cell", "cell", "cell", "repeat", "drop", "column", "swap", "head", "raw")))
    if kind == "cell":
        cell = draw(st.one_of(st.sampled_from(("5", "12.5", "0", "1e1", ".5", "54.3", "2024-01-05", "centre", "x y")), CELLS))
        lines[line][place] = '"{}"'.format(cell.replace('"', '""')) if draw(st.booleans()) else cell
    elif kind == "repeat":
        lines.insert(line, list(lines[line]))
    elif kind == "drop":
        del lines[line]
    elif kind == "column":
        lines = [row[:place] + row[place + 1:] for row in lines]
    elif kind == "swap":
        lines = [[*row, row[place]] if place < len(row) else row for row in lines]
    elif kind == "head" and lines:
        lines[0][min(place, len(lines[0]) - 1)] = draw(st.sampled_from((*lines[0], "demnd", "DATE", "", "site ")))
    else:
        lines[line] = [draw(CELLS)]
    return "\n".join(",".join(row) for row in lines) + "\n"


def _damage(draw: st.DrawFn, data: bytes) -> bytes:
    """Make one fault in bytes."""
    place, few = draw(st.integers(0, len(data))), draw(st.binary(min_size=1, max_size=4))
    return draw(st.sampled_from((data[:place], data[:place] + few + data[place:], data[:place] + few + data[place + len(few):], b"\xef\xbb\xbf" + data,
                                 data + data, data.decode("utf-8", "replace").encode("utf-16"), data.replace(b",", b";"), data.replace(b"\n", b"\r\n"))))


@st.composite
def folders(draw: st.DrawFn) -> Files:
    """A folder of CSV files with up to three faults."""
    texts = dict(GOOD)
    for name in draw(st.lists(st.sampled_from(["demand", "demand", *GOOD]), max_size=draw(st.sampled_from((1, 1, 2))))):
        texts[name] = _edit(draw, texts[name]) if texts[name] else ""
    data = {f"{name}.csv": text.encode("utf-8", "surrogatepass") for name, text in texts.items()}
    fault = draw(st.sampled_from(("none", "none", "none", "bytes", "gone", "other ending")))
    name = draw(st.sampled_from(sorted(data)))
    if fault == "bytes":
        data[name] = _damage(draw, data[name])
    elif fault != "none":
        data |= {name.replace(".csv", ".txt" if fault == "gone" else ".parquet"): data.pop(name)}
    return data


@st.composite
def parquets(draw: st.DrawFn) -> Files:
    """A folder in which one table is a Parquet file with a fault."""
    name = draw(st.sampled_from(sorted(TEMPLATE)))
    frame = pd.read_csv(io.StringIO(GOOD[name])).convert_dtypes(dtype_backend=draw(st.sampled_from(("numpy_nullable", "pyarrow"))))
    column = draw(st.sampled_from(list(frame.columns)))
    kind = draw(st.sampled_from(("as it is", "object", "category", "str", "bytes", "list", "record", "flag", "float", "stamp", "twice", "index", "values")))
    changes = {"object": lambda old: old.astype(object), "category": lambda old: old.astype("category"), "str": lambda old: old.astype("str"),
               "bytes": lambda old: [str(cell).encode() for cell in old], "list": lambda old: [[cell] for cell in old.astype(object)],
               "record": lambda old: [{"a": 1}] * len(old), "flag": lambda old: [True] * len(old), "float": lambda old: np.arange(len(old)) / 3,
               "stamp": lambda old: pd.date_range("2024-01-01 07:00", periods=len(old), tz=draw(st.sampled_from((None, "UTC", "Asia/Tokyo")))),
               "values": lambda old: draw(st.lists(st.floats(), min_size=len(old), max_size=len(old)))}
    if kind in changes:
        frame[column] = changes[kind](frame[column])
    stream = io.BytesIO()
    (frame.set_index(column) if kind == "index" else frame).to_parquet(stream)
    data = stream.getvalue()
    data = _damage(draw, data) if draw(st.integers(0, 3)) == 0 else data
    return {f"{other}.csv": GOOD[other].encode() for other in GOOD if other != name} | {f"{name}.parquet": data}


def _read_plainly(path: Path) -> pd.DataFrame:
    """The texts of a CSV file, by no code of medlib's."""
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if "".join(row).strip()]
    return pd.DataFrame(rows, columns=head)


def _is_same(value: object, text: str, kind: str) -> bool:
    """Tell whether a value is what stood in the file."""
    if pd.isna(value):
        return text == ""
    if kind in ("number", "integer"):
        return math.isfinite(value) and float(text) == value
    if kind == "text" and FORMULA.match(text):
        return value in (text, text.removeprefix("'"))
    return text.lower() in (("true", "1") if value else ("false", "0")) if kind == "flag" else (f"{value:%Y-%m-%d}" if kind == "date" else value) == text


def check_tables(case: Files, folder: Path) -> None:
    """Valid: every table that passes holds what stands in its file, cell by cell; else every problem has words."""
    tables, problems = check_folder(folder, foresight=len(case.get("demand.csv", b"")) % 2 == 0)
    for name, frame in tables.items():
        if (folder / f"{name}.csv").is_file():
            plain = _read_plainly(folder / f"{name}.csv")
            assert len(plain) == len(frame), (name, len(plain), len(frame))
            for column, texts in plain[[*frame]].items():
                kind = schema.get_table(name).column[column].kind
                wrong = [(value, text) for value, text in zip(frame[column], texts) if not _is_same(value, text, kind)]
                assert not wrong, (name, column, wrong[:3])
    assert all(word and word.isprintable() for word in problems["expected"]) and all(map(str.isprintable, problems["value"]))
    if len(problems):
        raise MedlibError("The folder has problems, each told at its place.")
    assert {"sites", "resources", "capacity", "demand"} <= set(tables)


def load_folder(case: Files, folder: Path) -> None:
    """Valid: the tables keep their contracts, no row of demand is lost, and the sources count them."""
    tables, sources = load_dataset(str(folder))
    for name, frame in {**tables, "sources": sources}.items():
        schema.check_frame(frame, name)
    assert sources["rows"].iloc[0] == len(tables["demand"])


def solve_folder(case: Files, folder: Path) -> None:
    """Valid: the plan's shortage lies between what no reallocation can beat and what it is without any."""
    posed = pose_folder(folder, Rules.without_limits(handover_days=1))
    _, answer = allocate(posed)
    weights = np.array([posed.shortage_weight[name] for name in posed.names])
    assert math.isfinite(answer["shortage"]), answer
    assert answer["bound"] <= answer["shortage"] * (1 + 1e-6) + 1e-6, (answer["bound"], answer["shortage"])
    assert (weights >= 0).all()


@st.composite
def sheets(draw: st.DrawFn) -> pd.DataFrame:
    """A valid table of sites with identifiers that spreadsheets, browsers and terminals take for something else."""
    name = st.one_of(st.sampled_from(NASTY), st.text(max_size=12)).map(str.strip).filter(
        lambda text: text and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text))
    sites = draw(st.lists(name, min_size=1, max_size=4, unique=True))
    numbers = st.floats(-90, 90)
    return pd.DataFrame({"site": sites, "name": [draw(name) for _ in sites], "latitude": [draw(numbers) for _ in sites], "longitude": 10.0})


def export_table(case: pd.DataFrame, folder: Path) -> None:
    """Valid: what is written for a spreadsheet reads back as it was, and no cell of it would be run."""
    (folder / "sites.csv").write_text(format_csv(case), encoding="utf-8", newline="")
    with open(folder / "sites.csv", encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if re.match(r"\s*[=+\-@＝＋－＠]", cell) and not re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell)], cells
    tables, problems = check_folder(folder)
    mine = problems[(problems["file"] == "sites.csv") & (problems["column"] != "latitude")]
    assert mine.empty, mine.to_dict("records")
    if "sites" in tables:
        assert tables["sites"]["site"].tolist() == case["site"].tolist() and tables["sites"]["latitude"].tolist() == case["latitude"].tolist()


def _make_pictures() -> list[bytes]:
    shade, pictures = np.random.default_rng(1).integers(0, 255, (12, 20, 3), np.uint8), []
    for ending, mode in (("PNG", "RGB"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("BMP", "RGB"), ("PNG", "P"), ("TIFF", "I;16"), ("GIF", "P")):
        stream = io.BytesIO()
        (Image.fromarray(shade[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(shade).convert(mode)).save(stream, ending)
        pictures.append(stream.getvalue())
    return pictures


@st.composite
def photos(draw: st.DrawFn) -> Files:
    """A picture with up to two faults."""
    data = draw(st.sampled_from(_make_pictures()))
    for _ in range(draw(st.integers(0, 2))):
        data = _damage(draw, data)
    return {"photo.png": data}


def look_at_photo(case: Files, folder: Path) -> None:
    """Valid: a picture of the form asked for."""
    picture = read_photo(folder / "photo.png", 16)
    assert picture.shape == (16, 16, 3) and picture.dtype == np.uint8


@st.composite
def hubs(draw: st.DrawFn) -> Files:
    """A folder of hub data with a fault."""
    locations = "location,location_name,population\n01,Alabama,5000000\n02,Alaska,700000\n"
    visits = "region,week_start,unweighted_ili\nAlabama,2019-10-06,1.5\nAlaska,2019-10-06,NA\n"
    vintages = pd.DataFrame({"as_of": ["2023-10-11"] * 2, "date": ["2023-10-07"] * 2, "location": ["01", "02"], "value": [3.0, 4.0]})
    if draw(st.booleans()):
        vintages = vintages.drop(columns=draw(st.sampled_from(list(vintages))))
    elif draw(st.booleans()):
        vintages[draw(st.sampled_from(list(vintages)))] = draw(st.sampled_from(NASTY))
    stream = io.BytesIO()
    vintages.to_parquet(stream)
    data = {"locations.csv": (_edit(draw, locations) if draw(st.booleans()) else locations).encode("utf-8", "replace"),
            "target_vintages.parquet": stream.getvalue(),
            "ilinet_state.csv.gz": gzip.compress((_edit(draw, visits) if draw(st.booleans()) else visits).encode("utf-8", "replace"))}
    name = draw(st.sampled_from(sorted(data)))
    return data | {name: _damage(draw, data[name])} if draw(st.integers(0, 2)) == 0 else data


def read_hub(case: Files, folder: Path) -> None:
    """Valid: dates are dates, admissions finite and not negative, populations above zero."""
    hub = read_hub_folder(folder)
    assert hub.vintages[["as_of", "date"]].notna().all(axis=None) and hub.vintages["demand"].dropna().between(0, 1e12).all()
    assert all(0 < size < math.inf for size in hub.sizes.values())


TARGETS = {
    "folders of CSV files": (0.05, folders(), check_tables), "folders with Parquet files": (0.03, parquets(), check_tables),
    "datasets from a folder": (0.02, folders(), load_folder), "folders solved with foresight": (0.02, folders(), solve_folder),
    "tables exported for spreadsheets": (0.03, sheets(), export_table), "photographs": (0.17, photos(), look_at_photo),
    "folders of hub data": (0.05, hubs(), read_hub)}
