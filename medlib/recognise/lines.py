"""Inventory lines the way wards write them, made up with what they mean; and how many pieces a line counts.

What was measured on made-up lines holds for them. The words for devices, the makers' model names and the ways of counting are real ones;
how often which occurs was set by hand.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

#: Device names in English, German, French, Spanish, Italian and Dutch, in full and short.
HEADS = {
    "ventilator": ("ventilator", "Vent.", "ICU ventilator", "mechanical ventilator", "Beatmungsgerät", "Beatm.ger.", "Respirator",
                   "respirateur", "resp.", "ventilateur de réanimation", "ventilador mecánico", "respirador", "ventilatore polmonare",
                   "vent. polm.", "beademingsapparaat", "beademingstoestel", "breathing machine", "Intensivbeatmung"),
    "infusion_pump": ("infusion pump", "inf. pmp", "syringe pump", "syr. driver", "Infusionspumpe", "Inf.pumpe", "Spritzenpumpe",
                      "Perfusor", "pompe à perfusion", "pousse-seringue", "PSE", "bomba de infusión", "bomba de jeringa",
                      "pompa infusionale", "pompa a siringa", "infuuspomp", "spuitenpomp", "volumetric pump"),
    "monitor": ("patient monitor", "monitor pat.", "bedside monitor", "vital signs monitor", "Patientenmonitor", "Überwachungsmonitor",
                "Monitor Bettplatz", "Pat.-Monitor", "moniteur multiparamétrique", "moniteur patient", "scope", "monitor de paciente",
                "monitor de constantes", "monitor multiparametrico", "monitor paziente", "patiëntmonitor", "bewakingsmonitor",
                "Vitaldatenmonitor"),
    "bed": ("hospital bed", "ward bed", "bed el.", "electric bed", "Krankenbett", "Pflegebett", "Bett elektr.", "Stationsbett",
            "lit médicalisé", "lit d'hôpital", "lit électrique", "cama hospitalaria", "cama eléctrica", "cama de planta",
            "letto degenza", "letto elettrico", "ziekenhuisbed", "verpleegbed"),
    "icu_bed": ("ICU bed", "intensive care bed", "ICU bed el.", "critical care bed", "Intensivbett", "ITS-Bett", "IPS-Bett",
                "Bett Intensiv", "lit de réanimation", "lit réa", "lit soins intensifs", "cama UCI", "cama de cuidados intensivos",
                "letto rianimazione", "letto terapia intensiva", "letto TI", "IC-bed", "intensive-care-bed"),
    "defibrillator": ("defibrillator", "defib.", "AED", "defib monitor", "Defibrillator", "Defi", "Defi mit Monitor", "Halbautomat AED",
                      "défibrillateur", "DSA", "défib.", "desfibrilador", "DEA", "desfib.", "defibrillatore", "DAE", "hartdefibrillator",
                      "shock box"),
    "oxygen_concentrator": ("oxygen concentrator", "oxygen conc.", "O2 concentrator", "O2 conc.", "Sauerstoffkonzentrator",
                            "O2-Konzentrator", "Sauerst.konz.", "concentrateur d'oxygène", "concentrateur O2", "conc. oxygène",
                            "concentrador de oxígeno", "concentrador O2", "concentratore di ossigeno", "concentratore O2",
                            "zuurstofconcentrator", "O2-concentrator"),
    "dialysis_machine": ("dialysis machine", "haemodialysis unit", "HD machine", "CRRT machine", "Dialysegerät", "Dialyse-Ger.",
                         "Hämodialysegerät", "CVVH-Gerät", "générateur de dialyse", "gén. dialyse", "hémofiltre machine",
                         "máquina de diálisis", "monitor de hemodiálisis", "rene artificiale", "apparecchio dialisi", "dialyseapparaat",
                         "dialysemachine", "kidney machine"),
    "ultrasound": ("ultrasound scanner", "ultrasound", "US machine", "echo machine", "Ultraschallgerät", "Sono", "Sonographiegerät",
                   "US-Gerät", "échographe", "écho portable", "appareil d'échographie", "ecógrafo", "equipo de ultrasonido", "ecografo",
                   "apparecchio ecografico", "echoapparaat", "echotoestel", "Echokardiographiegerät"),
    "suction_unit": ("suction unit", "suction pump", "aspirator", "surgical suction", "Absauggerät", "Absaugpumpe", "Absaugung",
                     "Sekretsauger", "aspirateur chirurgical", "aspirateur de mucosités", "asp. trachéal", "aspirador de secreciones",
                     "aspirador quirúrgico", "aspiratore chirurgico", "aspiratore secreti", "uitzuigapparaat", "afzuigapparaat",
                     "suct. app."),
    "other": ("desk fan", "Tischventilator", "ventilateur de plafond", "ventilador de techo", "PC monitor", "Monitor für PC", "écran PC",
              "monitor TV", "bed linen", "Bettwäsche", "mattress for ICU bed", "Matratze Intensivbett", "matelas lit réa",
              "colchón cama UCI", "camp bed", "Bettgitter", "IV pole", "Infusionsständer", "pied à perfusion", "infuuspaal",
              "ultrasound gel", "dialysis chair", "oxygen cylinder", "Sauerstoffflasche", "bouteille O2", "suction catheters",
              "defib pads", "wheelchair", "Rollstuhl", "fauteuil roulant", "silla de ruedas", "ECG recorder", "EKG-Gerät", "fridge",
              "Kühlschrank", "printer", "stethoscope", "bilancia", "vacuum cleaner", "baby monitor app")}
ITEMS = tuple(HEADS)
#: What a device's name may come with.
MODIFIERS = {
    "ventilator": ("adult", "neonatal", "néo", "paed.", "transport", "portable", "ICU", "Intensiv", "NIV", "adulto", "volwassenen", "home"),
    "infusion_pump": ("2-ch", "dual channel", "1-Kanal", "double voie", "volumetric", "syringe", "PCA", "portable", "50 ml", "enteral",
                      "MRI"),
    "monitor": ("bedside", "transport", "12 inch", "portable", "5-lead", "ICU", "OP", "néo", "modular", "telemetry", "12 Zoll"),
    "bed": ("adult", "bariatric", "paed.", "low", "adulto", "3-teilig", "250 kg", "with rails", "pédiatrique", "standard"),
    "icu_bed": ("with scale", "mit Waage", "adult", "bariatric", "lateral tilt", "avec pesée", "con báscula", "rotating", "250 kg"),
    "defibrillator": ("biphasic", "with pacer", "public access", "portable", "adult/paed.", "biphasisch", "manuel", "semi-automatic",
                      "transport"),
    "oxygen_concentrator": ("5 l", "10 l", "portable", "5 l/min", "10 L", "home", "mobil", "8 l", "fixe"),
    "dialysis_machine": ("acute", "chronic", "CRRT", "online HDF", "mobil", "aigu", "portable", "paed."),
    "ultrasound": ("portable", "cardiac", "3 probes", "bedside", "obstetric", "mobil", "vascular", "handheld", "2 Sonden"),
    "suction_unit": ("portable", "battery", "wall", "mobil", "2 l", "thoracic", "1 l", "emergency", "fixe"),
    "other": ("old", "large", "24 inch", "white", "with wheels", "set", "2 m")}
#: Makers and models that are sold under these names.
MODELS = {
    "ventilator": ("Dräger Evita V500", "Dräger Evita V300", "Draeger Evita 4", "Dräger Savina 300", "Dräger Oxylog 3000",
                   "Dräger Babylog VN500", "Hamilton-C6", "Hamilton C1", "Hamilton-T1", "Hamilton G5", "Getinge Servo-u",
                   "Maquet Servo-i", "Servo-n", "Puritan Bennett 980", "Puritan Bennett 840", "GE Carescape R860", "Philips V60",
                   "Philips Trilogy Evo", "Vyaire bellavista 1000", "Löwenstein elisa 500", "Weinmann Medumat Transport"),
    "infusion_pump": ("B. Braun Perfusor Space", "B. Braun Infusomat Space", "Perfusor compact plus", "Alaris GH", "Alaris 8015",
                      "Alaris CC", "Baxter Sigma Spectrum", "Fresenius Agilia SP", "Fresenius Agilia VP", "Plum 360", "CADD-Solis",
                      "Graseby 3100"),
    "monitor": ("Philips IntelliVue MX700", "IntelliVue MX800", "IntelliVue MX450", "Philips IntelliVue MP70", "IntelliVue MP5",
                "GE Carescape B650", "Carescape B850", "GE Dash 4000", "Dräger Infinity Delta", "Mindray BeneVision N17",
                "Mindray BeneView T8", "Masimo Root"),
    "bed": ("Hill-Rom 900", "Stryker S3", "Stryker Secure II", "Linet Eleganza 2", "Stiegelmeyer Evario", "Stiegelmeyer Puro",
            "wissner-bosserhoff image 3"),
    "icu_bed": ("Linet Multicare", "Hillrom Progressa", "Hill-Rom TotalCare", "Stryker InTouch", "Stiegelmeyer Sicuro tera",
                "Linet Eleganza 5"),
    "defibrillator": ("Zoll R Series", "Zoll X Series", "Zoll M Series", "Lifepak 15", "Lifepak 20e", "Philips HeartStart FR3",
                      "HeartStart XL+", "HeartStart MRx", "corpuls3", "corpuls1", "Schiller Defigard 5000", "Mindray BeneHeart D6"),
    "oxygen_concentrator": ("Philips EverFlo", "Invacare Perfecto2", "Invacare Platinum 9", "DeVilbiss 525", "DeVilbiss 1025",
                            "Nidek Nuvo 8", "AirSep NewLife Intensity", "AirSep VisionAire 5", "CAIRE Companion 5", "Inogen One G5"),
    "dialysis_machine": ("Fresenius 5008", "Fresenius 4008S", "Fresenius 6008", "Fresenius multiFiltrate", "Gambro AK 98",
                         "Gambro AK 200", "Baxter Prismaflex", "Baxter PrisMax", "Gambro Artis", "B. Braun Dialog+",
                         "B. Braun Dialog iQ", "Nipro Surdial X"),
    "ultrasound": ("GE Logiq E9", "GE Vivid E95", "GE Venue Go", "GE Voluson E10", "Philips EPIQ 7", "Philips Affiniti 70",
                   "Philips Lumify", "Siemens Acuson S2000", "SonoSite M-Turbo", "SonoSite Edge II", "SonoSite X-Porte", "Mindray TE7",
                   "Butterfly iQ"),
    "suction_unit": ("Medela Vario 18", "Medela Dominant Flex", "Medela Basic", "Laerdal LSU", "Weinmann Accuvac Rescue", "Atmos C 261",
                     "Hospivac 350", "New Askir 30", "DeVilbiss 7305", "Vacu-Aide"),
    "other": ()}
#: What belongs to a device but is none: `{}` stands for the device.
PARTS = ("{} trolley, empty", "hose set for {}", "battery for {}", "filter {}", "{} manual", "power cord {}", "Zubehör {}",
         "Wagen für {}", "Schlauchset {}", "Batterie für {}", "Halterung {}", "chariot pour {}", "câble {}", "tuyaux pour {}",
         "soporte para {}", "filtro para {}", "carrello per {}", "tubi per {}", "slangen voor {}", "houder voor {}", "spare parts {}",
         "cover for {}")
COUNTS = ("{} pcs", "{} pc.", "{} pieces", "x{}", "x {}", "{}x", "{} x", "Stk. {}", "{} Stk", "{} St.", "{} Stück", "Anz. {}",
          "Anzahl: {}", "qty: {}", "qty {}", "uds {}", "{} uds.", "cant. {}", "{} pz", "qtà {}", "aantal {}", "{} st", "{} pièces",
          "qté {}", "nb {}", "({})", "{} units", "{} ea")
#: Counts that can only stand in front.
FRONT_COUNTS = ("{}x ", "{} x ", "{} ", "{} Stk ", "{} pcs ", "x{} ")
FINE = ("ok", "in use", "working", "einsatzbereit", "in Betrieb", "betriebsbereit", "en service", "fonctionnel", "operativo", "en uso",
        "funzionante", "in uso", "in gebruik", "werkt", "stand-by", "spare", "Reserve", "neu", "checked", "repaired, ok",
        "no fault found", "nicht defekt", "back from repair", "Wartung ok", "révisé", "revisado", "tested OK", "gut")
BROKEN = ("in repair", "out of order", "defective", "broken", "does not start", "not working", "faulty", "defekt", "in Reparatur",
          "außer Betrieb", "nicht einsatzbereit", "kaputt", "hors service", "HS", "en panne", "en réparation", "ne marche pas",
          "fuera de servicio", "averiado", "en reparación", "no funciona", "guasto", "fuori servizio", "in riparazione", "non funziona",
          "buiten gebruik", "defect", "stuk", "werkt niet", "condemned", "screen cracked", "alarm fault, do not use")
#: Numbers that count nothing.
NOTES = ("room 4", "Raum 12", "ICU 2", "Station 3", "bought 2019", "Bj. 2016", "inv. no. 10233", "SN 48151", "2nd floor", "salle 7",
         "since 03/2021", "kamer 5", "Haus 2", "reparto 6", "OP 3")
COUNT_WORDS = ("pcs", "pc", "pieces", "piece", "stk", "st", "stck", "stück", "stueck", "anz", "anzahl", "qty", "uds", "ud", "unidades",
               "cant", "pz", "pezzi", "qtà", "qta", "aantal", "stuks", "pièces", "pièce", "pieces", "qté", "qte", "nb", "units", "unit",
               "ea", "each")
#: Words after a number that say how large something is, not how many there are.
SIZES = frozenset(("l", "lt", "ltr", "liter", "litre", "litres", "ml", "cm", "mm", "m", "kg", "v", "w", "hz", "ch", "channel",
                   "channels", "kanal", "kan", "voies", "voie", "canales", "canali", "inch", "zoll", "pouces", "lead", "leads", "probes",
                   "probe", "sonden", "nd", "rd", "th", "bar", "lpm", "in", "im", "ok", "and", "und", "et", "y", "e", "en"))


def _slip(text: str, place: int, kind: int) -> str:
    """Drop (0), swap with the next (1) or double (2) the letter at a place."""
    return (text[:place] + text[place + 1:], text[:place] + text[place + 1:place + 2] + text[place] + text[place + 2:],
            text[:place + 1] + text[place:])[kind]


#: Counting words that, in front of a number, are part of a device's name: suction unit 2 l, monitor for PC 24 inch.
NAMES = frozenset(("unit", "units", "pc", "ea", "each"))
#: Counting words with at most one slip of the pen.
COUNTING = frozenset(word for word in COUNT_WORDS) | frozenset(
    slip for word in COUNT_WORDS for place in range(len(word)) for kind in range(3) if len(slip := _slip(word, place, kind)) > 1) - SIZES
#: Quantities: 3x, x3, (3), 3 pcs, qty: 3, a number alone between commas, and one in front. Words are bounded: reading takes linear time.
NUMBER = r"(?<![\w.,+/-])(?P<{}>\d{{1,4}})"
QUANTITY = re.compile("|".join((
    NUMBER.format("before") + r"\s?[x×]{1,2}(?!\w)", r"(?<!\w)[x×]{1,2}\s?(?P<after>\d{1,4})(?![\w.,/-]*\w)", r"\((?P<within>\d{1,4})\)",
    NUMBER.format("counted") + r"\s?(?P<unit>[^\W\d_]{2,9})(?![\w-])",
    r"(?<!\w)(?P<label>[^\W\d_]{2,9})(?:\.?\s?[:=]\s?|\.\s?|\s)(?P<labelled>\d{1,4})(?![\w/-])",
    r"[,;]\s{0,3}(?P<alone>\d{1,3})\s{0,3}(?=[,;]|\Z)",
    r"\A\s{0,9}(?P<front>\d{1,3})\s{1,3}(?:(?P<device>[^\W\d_]{1,20})|(?=\d))")), re.IGNORECASE)


def read_pieces(text: str) -> float:
    """How many pieces an inventory line counts.

    Parameters
    ----------
    text : str
        The line as written.

    Returns
    -------
    float
        The number that stands with a counting word or sign, or in front; 1 where none does; nan where two differ, so that a person has to
        look. Numbers in model names, sizes, rooms and years count nothing.

    Examples
    --------
    >>> [read_pieces(line) for line in ("Vent. Dräger Evita V500, adult, 2 pcs, in repair", "2-ch Infusionspumpe Stk. 4", "IntelliVue MX700")]
    [2.0, 4.0, 1.0]
    """
    found, place = set(), 0
    while match := QUANTITY.search(text, place):
        part, place = match.groupdict(), match.end()
        number = next((part[name] for name in ("before", "after", "within", "alone") if part[name]), None)
        if part["counted"] and part["unit"].casefold() in COUNTING:
            number = part["counted"]
        elif part["labelled"] and part["label"].casefold() in COUNTING - NAMES:
            number = part["labelled"]
        elif part["counted"] and not text[:match.start()].strip() and part["unit"].casefold() not in SIZES:
            number = part["counted"]
        elif part["front"] and (part["device"] or "").casefold() not in SIZES:
            number = part["front"]
        elif number is None:
            place = match.start("unit") if part["counted"] else match.start("labelled") if part["labelled"] else place
        if number is not None:
            found.add(int(number))
    return float("nan") if len(found) > 1 else float(found.pop() if found else 1)


def write_line(item: str, pieces: int, broken: bool, random: np.random.Generator, slips: float = 0.15) -> tuple[str, str]:
    """Write one inventory line.

    Parameters
    ----------
    item : str
        Of `ITEMS`.
    pieces : int
        At least 1.
    broken : bool
        The devices are out of order, and the line says so.
    random : numpy.random.Generator
    slips : float
        Probability of a slip of the pen: a letter dropped, doubled or swapped with the next.

    Returns
    -------
    text, phrase : str
        The line; and the words that name the device, sorted, in small letters and without slips: what near-duplicates share.
    """
    pick = lambda options: str(options[random.integers(len(options))])
    name = _name_device(item, pick, random)
    text, counted = name, pieces > 1 or random.random() < 0.4
    in_front = counted and random.random() < 0.3
    if in_front:
        text = pick(FRONT_COUNTS).format(pieces) + text
    parts = [pick(COUNTS).format(pieces)] if counted and not in_front else []
    if broken or random.random() < 0.65:
        parts.append(pick(BROKEN if broken else FINE))
    if random.random() < 0.15:
        parts.append(pick(NOTES))
    parts = [parts[place] for place in random.permutation(len(parts))]
    text = pick((", ", "; ", " - ", ", ")).join([text, *parts])
    if random.random() < slips:
        place = pick([str(place) for place, letter in enumerate(text) if letter.isalpha()])
        text = _slip(text, int(place), int(random.integers(3)))
    return (text, text, text, text.upper(), text.lower())[random.integers(5)], " ".join(sorted(set(re.findall(r"\w+", name.lower()))))


def _name_device(item: str, pick, random: np.random.Generator) -> str:
    if item == "other" and random.random() < 0.6:
        device = pick(ITEMS[:-1])
        return pick(PARTS).format(pick(MODELS[device] if random.random() < 0.3 else HEADS[device]))
    name, model = pick(HEADS[item]), pick(MODELS[item]) if MODELS[item] and random.random() < 0.45 else ""
    if model and random.random() < 0.3:
        return model  # the ward knows what it is
    if random.random() < 0.45:
        modifier = pick(MODIFIERS[item])
        name = f"{modifier} {name}" if random.random() < 0.3 else f"{name} {modifier}"
    return f"{name} {model}".strip() if random.random() < 0.7 else f"{model} {name}".strip()


def draw_lines(count: int, seed: int, slips: float = 0.15) -> pd.DataFrame:
    """Write many inventory lines with what they mean.

    Parameters
    ----------
    count : int
    seed : int
        The same seed gives the same lines.
    slips : float
        As for `write_line`.

    Returns
    -------
    pandas.DataFrame
        text, item (of `ITEMS`), pieces (at least 1), broken (bool), phrase. Lines of one phrase are near-duplicates: split by it.
    """
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        item = ITEMS[min(random.integers(len(ITEMS) + 1), len(ITEMS) - 1)]  # other things twice as often as each device
        pieces, broken = int(min(random.geometric(0.3), 60)), bool(random.random() < 0.3)
        text, phrase = write_line(item, pieces, broken, random, slips)
        rows.append((text, item, pieces, broken, phrase))
    return pd.DataFrame(rows, columns=["text", "item", "pieces", "broken", "phrase"])
