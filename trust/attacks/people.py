"""Made-up people: identifiers of every kind that the gate looks for, drawn at random in the formats that people write."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module

#: Random texts of the form that a checker accepts are drawn until one passes; digits stand for '#', letters for '@'.
FORMS = {
    "US social security number": ("us.ssn", "###-##-####"), "UK NHS number": ("gb.nhs", "### ### ####"),
    "German tax number": ("de.idnr", "## ### ### ###"), "Chinese resident number": ("cn.ric", "1101081980{month}{day}####"),
    "Dutch citizen number": ("nl.bsn", "#########"), "Swedish personal number": ("se.personnummer", "80{month}{day}-####"),
    "Spanish identity number": ("es.dni", "########@"), "Spanish foreigner's number": ("es.nie", "X#######@"),
    "Brazilian CPF": ("br.cpf", "###.###.###-##"), "Indian Aadhaar number": ("in_.aadhaar", "#### #### ####"),
    "Australian tax file number": ("au.tfn", "### ### ###"), "Canadian social insurance number": ("ca.sin", "### ### ###"),
    "Danish CPR number": ("dk.cpr", "{day}{month}80-####"), "Finnish identity code": ("fi.hetu", "{day}{month}80-###@"),
    "Norwegian birth number": ("no.fodselsnummer", "{day}{month}80#####"), "Belgian national number": ("be.nn", "80.{month}.{day}-###.##"),
    "Swiss AHV number": ("ch.ssn", "756.####.####.##"), "Polish PESEL": ("pl.pesel", "80{month}{day}#####"),
    "Irish PPS number": ("ie.pps", "#######@"), "Austrian insurance number": ("at.vnr", "#### {day}{month}80"),
    "South African identity number": ("za.idnr", "80{month}{day}#####8#"), "Korean resident number": ("kr.rrn", "80{month}{day}-1######"),
    "Turkish identity number": ("tr.tckimlik", "###########"), "French social security number": ("fr.nir", "180{month}75######{mod}"),
    "Mexican CURP": ("mx.curp", "ZAEZ80{month}{day}HDFZZZ0#"), "Italian tax code": ("it.codicefiscale", "ZQXZQX80A{day}H501@"),
}
#: The words that stand beside a number whose format alone does not tell.
BESIDE = {"UK NHS number": "NHS number ", "German tax number": "Steuer-ID ", "Dutch citizen number": "BSN ",
          "Australian tax file number": "TFN ", "Canadian social insurance number": "SIN ", "Norwegian birth number": "fødselsnummer ",
          "Polish PESEL": "PESEL ", "Irish PPS number": "PPS ", "Austrian insurance number": "SVNR ",
          "South African identity number": "identity number ", "Turkish identity number": "T.C. kimlik "}


def draw_number(kind: str, dice: random.Random) -> str:
    """Draw a national number that its own check digit confirms; that it belongs to nobody can't be known, so it is drawn anew each time."""
    module, form = FORMS[kind]
    check = import_module(f"stdnum.{module}").is_valid
    for _ in range(20_000):
        text = form.format(month=f"{dice.randint(1, 12):02d}", day=f"{dice.randint(1, 28):02d}", mod="{mod}")
        text = "".join(str(dice.randint(0, 9)) if sign == "#" else chr(dice.randint(65, 90)) if sign == "@" else sign for sign in text)
        if "{mod}" in text:  # the French key: 97 less the rest
            text = text.replace("{mod}", f"{97 - int(text[:13]) % 97:02d}")
        if check(text):
            return BESIDE.get(kind, "") + text
    raise AssertionError(f"no {kind} passed its own check")


def draw_word(dice: random.Random) -> str:
    """A made-up name."""
    return "".join(dice.choice(("za", "qui", "mo", "rel", "vun", "tis", "po", "gax")) for _ in range(3)).capitalize()


def draw_phone(dice: random.Random) -> str:
    """A telephone number that may exist, as people write it."""
    from phonenumbers import PhoneNumber, PhoneNumberFormat, example_number, format_number, is_valid_number
    region = dice.choice(("US", "GB", "DE", "FR", "ES", "IT", "NL", "SE", "IN", "CN", "BR", "AU", "KE", "JP"))
    example = example_number(region)
    while True:
        number = PhoneNumber(example.country_code, example.national_number + dice.randint(0, 9_999),
                             italian_leading_zero=example.italian_leading_zero)
        if is_valid_number(number):
            abroad = format_number(number, dice.choice((PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164)))
            known = region not in ("KE", "JP")  # at home, these two are written as no region searched for would be
            return dice.choice((abroad, f"Tel. {format_number(number, PhoneNumberFormat.NATIONAL)}" if known else abroad))


def draw_day(dice: random.Random) -> str:
    """A full date, as people write it."""
    year, month, day = dice.randint(1930, 2024), dice.randint(1, 12), dice.randint(1, 28)
    return dice.choice((f"{year}-{month:02d}-{day:02d}", f"{day}.{month}.{year}", f"{day:02d}/{month:02d}/{year}", f"{day} March {year}",
                        f"Oct {day}, {year}", f"{day} de marzo de {year}"))


#: A text of each kind of identifier, drawn anew.
TEXTS: dict[str, Callable[[random.Random], str]] = {
    "e-mail address": lambda dice: f"{draw_word(dice)}.{draw_word(dice)}@{draw_word(dice)}.{dice.choice(('org', 'de', 'co.uk'))}".lower(),
    "telephone number": draw_phone,
    "record number": lambda dice: dice.choice((
        "MRN ", "MRN: ", "Fall-Nr. ", "Case no. ", "Patient ID: ", "Insurance number ", "Número de expediente ",
        "病历号：")) + f"{dice.choice(('', 'A', 'KH-'))}{dice.randint(10_000, 10**8)}",
    "date of birth": lambda dice: (
        dice.choice(("born ", "DOB: ", "geb. ", "date of birth ", "né le ", "Fecha de nacimiento: ")) + draw_day(dice)),
    "date about a person": lambda dice: (
        dice.choice(("admitted on ", "patient moved ", "she died on ", "entlassen am ", "surgery on ")) + draw_day(dice)),
    "name of a person": lambda dice: dice.choice((
        "Patient: {} {}", "Name: {} {}", "Mr {1}", "Mrs. {}", "Frau {}", "Herr Dr. {}", "Dr. {} {}", "Dr. {}", "Señora {}", "Mme {}",
        "signed {} {}", "Surname: {}", "Patientin: {}-{} {}")).format(draw_word(dice), draw_word(dice), draw_word(dice)),
    **{kind: (lambda dice, kind=kind: draw_number(kind, dice)) for kind in FORMS},
}
