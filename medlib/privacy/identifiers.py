"""Find what names a person directly: in texts, in the heads of columns, in frames. What is found is named by place and kind, never shown.

Formats are tried first, then check digits (python-stdnum, phonenumbers). A number whose format any other number might have counts
only beside a word such as "NHS" or "tel". Names are found where a label, a title or a signature announces them; a bare name in a
sentence is not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import pandas as pd

#: Regions whose way of writing telephone numbers is known beside numbers that begin with "+".
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "SE", "IN", "CN", "BR", "AU")
#: Longest text that is searched at a time, in characters.
LONGEST = 20_000


@dataclass(frozen=True)
class Finding:
    """Something that must not leave: where it stands and what kind it is; what it says is not kept.

    Parameters
    ----------
    place : str
        For example "tables/inventory, column text, row 12".
    kind : str
        For example "e-mail address".
    """

    place: str
    kind: str


@dataclass(frozen=True)
class Number:
    """A national number: its format, the stdnum module that checks it, and the words one of which must stand near it."""

    kind: str
    pattern: str
    module: str
    near: str = ""


#: Where `near` is empty the format itself is telling: letters, a date of birth or a grouping besides the check digit.
NUMBERS = (
    Number("US social security number", r"\d{3}-\d{2}-\d{4}", "us.ssn"),
    Number("US social security number", r"\d{9}|\d{3} \d{2} \d{4}", "us.ssn", r"ssn|social security"),
    Number("UK NHS number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", r"nhs"),
    Number("German tax number", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"steuer|id-?nr|tin\b|tax"),
    Number("German health insurance number", r"[A-Z]\d{9}", "kvnr"),
    Number("French social security number", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    Number("Chinese resident number", r"\d{17}[\dXx]", "cn.ric"),
    Number("Dutch citizen number", r"\d{9}|\d{4}\.\d{2}\.\d{3}", "nl.bsn", r"bsn|burgerservice|sofi"),
    Number("Swedish personal number", r"(?:19|20)?\d{6}[-+]\d{4}", "se.personnummer"),
    Number("Swedish personal number", r"(?:19|20)?\d{10}", "se.personnummer", r"person-?n"),
    Number("Spanish identity number", r"\d{8}-?[A-Z]", "es.dni"),
    Number("Spanish foreigner's number", r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    Number("Italian tax code", r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    Number("Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    Number("Brazilian CPF", r"\d{11}|\d{9}-\d{2}", "br.cpf", r"cpf"),
    Number("Indian Aadhaar number", r"\d{4}[ -]\d{4}[ -]\d{4}", "in_.aadhaar"),
    Number("Indian Aadhaar number", r"\d{12}", "in_.aadhaar", r"aadha+r|uid"),
    Number("Australian tax file number", r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"tfn|tax file"),
    Number("Canadian social insurance number", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"\bsin\b|\bnas\b|social insurance"),
    Number("Danish CPR number", r"\d{6}-\d{4}", "dk.cpr"),
    Number("Finnish identity code", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", "fi.hetu"),
    Number("Norwegian birth number", r"\d{6} ?\d{5}", "no.fodselsnummer", r"f.dsels|personnummer|fnr"),
    Number("Belgian national number", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn"),
    Number("Swiss AHV number", r"756\.?\d{4}\.?\d{4}\.?\d{2}", "ch.ssn"),
    Number("Polish PESEL", r"\d{11}", "pl.pesel", r"pesel"),
    Number("Irish PPS number", r"\d{7}[A-W][A-IW]?", "ie.pps", r"pps"),
    Number("Austrian insurance number", r"\d{4} ?\d{6}", "at.vnr", r"\bsvnr|versicherungsn|sozialvers"),
    Number("South African identity number", r"\d{13}", "za.idnr", r"\bid\b|identity"),
    Number("Korean resident number", r"\d{6}-\d{7}", "kr.rrn"),
    Number("Mexican CURP", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", "mx.curp"),
    Number("Turkish identity number", r"\d{11}", "tr.tckimlik", r"kimlik|\btc\b"),
)
#: How far from a number its word may stand, in characters.
NEAR = 30

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}(?:@|\s?[\[(]at[\])]\s?)(?:[\w-]+(?:\.|\s?[\[(]dot[\])]\s?))+[^\W\d_]{2,24}(?![\w-])")
PHONE_WORD = re.compile(r"\b(?:tel|phone|fon|mobile?|cell|handy|fax|call|ring|whatsapp|rufnummer|t.l.phone|telefon\w*|tel.fono|m.vil)\b\.?"
                        r"|☎|电话|手机", re.IGNORECASE)
#: As only telephone numbers are written: an area code in brackets, or groups of 3, 3 and 4 with signs between them.
PHONE_FORM = re.compile(r"\(0?\d{2,5}\)\s?\d|(?<!\d)\d{3}[-.]\d{3}[-.]\d{4}(?!\d)")
RECORD = re.compile(
    r"(?:\b(?:mrn|nhc|medical record|(?:patient|hospital|chart|case|record|encounter|admission|account|policy|insurance|member|"
    r"beneficiary|medicare|medicaid)\s?-?\s?(?:number|no|nr|id|num)|fall-?(?:nr|nummer|zahl)|patienten-?(?:nr|nummer|id)|"
    r"aufnahme-?(?:nr|nummer)|versicherten-?(?:nr|nummer)|num.ro de (?:dossier|s.curit. sociale)|dossier n\S{0,2}|historia cl.nica|"
    r"n.mero de expediente|cartella clinica|prontu.rio|pati.ntnummer)\b|病历号|住院号|病案号|医保号)"
    r"[\s.:：#=№°no|-]{0,8}[A-Z]{0,4}[-/ ]?\d(?:[-/.]?[0-9A-Z]){3,19}\b", re.IGNORECASE)
MONTHS = (r"(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|enero|febrero|marzo|abril|mayo|junio|julio|agosto|"
          r"septiembre|octubre|noviembre|diciembre|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|décembre)[a-zé]*\.?")
DATE = (rf"(?:\b(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12]\d|0?[1-9])"
        rf"|(?:3[01]|[012]?\d)[-/.](?:3[01]|[012]?\d)[-/.](?:(?:19|20)\d\d|\d\d)"
        rf"|(?:3[01]|[012]?\d)(?:st|nd|rd|th|\.)?[ -](?:de |of )?{MONTHS}[ ,-]{{1,2}}(?:de |del )?(?:19|20)\d\d"
        rf"|{MONTHS} (?:3[01]|[012]?\d)(?:st|nd|rd|th)?,? (?:19|20)\d\d)\b|(?:19|20)\d\d年\d\d?月\d\d?日)")
BIRTH = re.compile(r"(?:\b(?:d\.?o\.?b|date of birth|birth ?-?date|birthday|born(?: on)?|geb(?:\.|oren)(?: am)?|geburtsdatum|n.e? le|"
                   r"date de naissance|fecha de nacimiento|nacid[oa] el|data di nascita|nat[oa] il|geboortedatum|f.delsedato)|出生日期|生于)"
                   r"[\s.:=|-]{0,4}" + DATE, re.IGNORECASE)
ABOUT_PERSON = (r"\b(?:patient|admitted|admission of|discharged?|deceased|died|death of|diagnos\w+|operated|surgery on|biops\w+|"
                r"(?:she|he|her|his|mrs?|ms)\b|entlassen|aufgenommen|verstorben|operiert|ingresad[oa]|fallecid[oa]|hospitalisée?)\b")
PERSON_DATE = re.compile(rf"(?:{ABOUT_PERSON}[^.;\n]{{0,40}}?{DATE})|(?:{DATE}[^.;\n]{{0,25}}?{ABOUT_PERSON})", re.IGNORECASE)
FULL_DATE = re.compile(DATE, re.IGNORECASE)

WORD = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]*(?:['’.-][^\W\d_]+)*\.?"
FULL_NAME = rf"(?:{WORD}(?: (?:von|van|de|del|der|da|la|le|bin|al|den|ter))*[ ,]{{1,2}}){{1,3}}{WORD}"
LABEL = r"\s?[:=]\s?"
#: A hospital, street or ward may be called after a person; that names nobody who is treated.
PLACE = (r"(?i:hospital|clini[cq]|klini[ck]|kranken|medical|cent(?:er|re)\b|street|str\.|stra(?:ß|ss)e|avenue|road\b|institut|school|universit|"
         r"foundation|ward\b|stiftung|h.pital|ospedale|ziekenhuis|\w*spital|haus\b|building|pavil)")
AS_PLACE, BEFORE = re.compile(PLACE), re.compile(rf"{PLACE}\w*\s+$")
AFTER = re.compile(rf"[\s-]+(?:{WORD}[\s-]+){{0,2}}{PLACE}")
#: MR is magnetic resonance as well.
NO_MISTER = r"(?!\.? ?(?i:imag|angio|thermo|spectro|elasto|condition|safe|unsafe|scan|guid|compat))"
NAMES = tuple(map(re.compile, (
    r"(?i:\b(?:patient(?:in|e)?(?:'s)?(?: name)?|full name|name of (?:the )?patient|nom(?: du patient)?|nombre|paziente|paciente|next of kin|"
    rf"guardian|contact person)){LABEL}{FULL_NAME}",
    rf"\bName{LABEL}{FULL_NAME}(?!\w|, ?(?:dtype|Length))",
    r"(?i:\b(?:surname|(?:last|family|first|given|maiden|patient) ?name|nachname|vorname|apellidos?|cognome|pr.nom))"
    rf"{LABEL}{WORD}",
    rf"\b(?:Mr{NO_MISTER}|Mrs|Ms|Miss|Herr|Herrn|Frau|Mme|Mlle|Monsieur|Madame|Sra|Señora|Señor|Sig\.ra|Dhr|Mevr)\b\.? "
    rf"?(?:(?:Dr|Prof)\.? )*{WORD}",
    rf"\b(?:Dr|Prof|Dra)\b\.?(?: (?:med|Dr|h\.c|rer\. nat)\.?)* (?:{FULL_NAME}|{WORD})",
    r"(?i:\b(?:signed(?: by)?|(?:reviewed|entered|seen|treated|dictated|written) by|gez\.|unterschrift|firmado(?: por)?|sign. par))\s?[:=]?\s?"
    rf"{FULL_NAME}",
    r"(?:姓名|患者|病人)\s?[:：]\s?[\u4e00-\u9fff]{2,4}")))
HEADS = {
    "names of people": r"(?:patient|first|last|given|family|full|maiden|middle|mother|father|physician|doctor)s? ?name|surname|forename|"
                       r"(?:nach|vor)name|apellidos?|cognome|pr.nom",
    "record numbers": r"mrn|medical record(?: (?:no|nr|number|id))?|(?:case|chart|record|hospital|insurance|policy|member) (?:no|nr|number)|"
                      r"fall ?nr|fallnummer|versichertennummer|passport(?: (?:no|number))?",
    "national identity numbers": r"ssn|social security(?: (?:no|number))?|nhs (?:no|number)|national id|bsn|cpf|aadhaar|personnummer|"
                                 r"dni|nie|nir|codice fiscale|steuer id|kvnr",
    "e-mail addresses": r"e? ?mail(?: address)?",
    "telephone numbers": r"(?:tele|mobile |cell |home )?phone(?: (?:no|number))?|telefon|mobile (?:no|number)|fax(?: (?:no|number))?",
    "dates of birth": r"dob|(?:date of )?birth ?date|date of birth|birthday|geburtsdatum|geb datum|fecha de nacimiento",
    "addresses": r"(?:home |street |postal |patient )?address|street(?: name)?|adresse|anschrift|direccion",
}


def find_identifiers(text: str, place: str, free: bool = False) -> list[Finding]:
    """Find direct identifiers in a text.

    Parameters
    ----------
    text : str
    place : str
        What the findings name.
    free : bool
        The text is somebody's free text, in which every full date may be one of a person; else only dates that stand beside a
        word about a person count.

    Returns
    -------
    list of Finding
        One of each kind.
    """
    kinds: dict[str, None] = {}
    for start in range(0, len(text), LONGEST - 200):  # overlapping, so that nothing is cut
        kinds |= dict.fromkeys(_list_kinds(text[start:start + LONGEST], free))
    return [Finding(place, kind) for kind in kinds]


@lru_cache(maxsize=50_000)
def _list_kinds(text: str, free: bool) -> tuple[str, ...]:
    found = []
    if ("@" in text or "at]" in text or "at)" in text) and EMAIL.search(text):
        found.append("e-mail address")
    if any(character.isdigit() for character in text):
        found += [number.kind for number in NUMBERS if _has_number(text, number)]
        if RECORD.search(text):
            found.append("record number")
        if BIRTH.search(text):
            found.append("date of birth")
        elif PERSON_DATE.search(text) or (free and _has_date_within(text)):
            found.append("date about a person")
        if _has_phone(text):
            found.append("telephone number")
    if any(_names_person(text, pattern) for pattern in NAMES):
        found.append("name of a person")
    return tuple(found)


def find_in_frame(frame: pd.DataFrame, place: str, free: tuple[str, ...] = ()) -> list[Finding]:
    """Find direct identifiers in a frame: columns whose head says so, and texts in cells.

    Parameters
    ----------
    frame : pandas.DataFrame
    place : str
    free : tuple of str
        Columns of free text; see `find_identifiers`.

    Returns
    -------
    list of Finding
        Places are "<place>, column <head>" and "<place>, column <head>, row <position>".
    """
    found = []
    for number, head in enumerate(frame.columns):
        column, where = frame.iloc[:, number], f"{place}, column {head}"
        if (kind := classify_head(str(head))) and column.notna().any():
            found.append(Finding(where, kind))
        elif column.dtype == object or pd.api.types.is_string_dtype(column):
            texts = column[column.map(lambda cell: isinstance(cell, str))]
            kinds = {text: find_identifiers(text, where, head in free) for text in texts.unique()}
            found += [Finding(f"{where}, row {row}", finding.kind) for row, text in zip(texts.index, texts) for finding in kinds[text]]
    return found


def classify_head(head: str) -> str:
    """Return what a column of this head would hold that names people directly; empty: nothing that the head tells."""
    plain = re.sub(r"[\s_.-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", head)).strip().lower()
    return next((kind for kind, pattern in HEADS.items() if re.fullmatch(pattern, plain)), "")


def _has_number(text: str, number: Number) -> bool:
    if number.near and not _compile(number.near).search(text):
        return False
    for match in _compile(rf"(?<![\w.,-])(?:{number.pattern})(?![\w]|[.,-]\d)").finditer(text):
        around = text[max(0, match.start() - NEAR):match.end() + NEAR]
        if (not number.near or _compile(number.near).search(around)) and _find_check(number.module)(match[0]):
            return True
    return False


@lru_cache(maxsize=None)
def _compile(pattern: str) -> re.Pattern:
    return re.compile(pattern, re.IGNORECASE)


@lru_cache(maxsize=None)
def _find_check(module: str) -> Callable[[str], bool]:
    return _is_kvnr if module == "kvnr" else import_module(f"stdnum.{module}").is_valid


def _is_kvnr(number: str) -> bool:
    """Check digit of the unchangeable part of the German health insurance number (SGB V, section 290): Luhn's, weights 1 and 2."""
    digits = f"{ord(number[0].upper()) - 64:02d}{number[1:9]}"
    doubled = (int(digit) * weight for digit, weight in zip(digits, (1, 2) * 5))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == int(number[9])


def _has_phone(text: str) -> bool:
    from phonenumbers import Leniency, PhoneNumberMatcher
    if not re.search(r"(?:\d[\s()/.-]{0,3}){7}", text):
        return False
    if "+" in text and any(True for _ in PhoneNumberMatcher(text, None, leniency=Leniency.VALID)):
        return True
    # Looking for every region's numbers takes long, and in vain where nothing announces one.
    return bool(PHONE_WORD.search(text) or PHONE_FORM.search(text)) and any(
        PHONE_FORM.match(match.raw_string) or PHONE_WORD.search(text[max(0, match.start - NEAR):match.start])
        for region in REGIONS for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING))


def _has_date_within(text: str) -> bool:
    """A full date among words; a cell that is nothing but a date is no free text."""
    return any(len(re.findall(r"[^\W\d_]{2,}", text[:match.start()] + text[match.end():])) >= 2 for match in FULL_DATE.finditer(text))


def _names_person(text: str, pattern: re.Pattern) -> bool:
    return any(not (AS_PLACE.search(match[0]) or AFTER.match(text, match.end())
                    or BEFORE.search(text[max(0, match.start() - 20):match.start()]))
               for match in pattern.finditer(text))


def list_kinds() -> Iterator[str]:
    """The kinds of identifier that are looked for in texts."""
    yield from dict.fromkeys(["e-mail address", *(number.kind for number in NUMBERS), "record number", "date of birth",
                              "date about a person", "telephone number", "name of a person"])
