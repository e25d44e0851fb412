"""A folder to start from: small, made up, and without a problem."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from medlib.errors import MedlibError

TEMPLATE = {
    "sites": """site,name,region,latitude,longitude,population
north,North Hospital (made up),coast,54.10,12.10,90000
centre,Central Hospital (made up),coast,53.85,12.30,210000
south,South Hospital (made up),inland,53.55,12.25,120000
""",
    "resources": """resource,kind,unit,shelf_life_days,requires
nurse,staff,nurse on duty,,
bed,bed,staffed bed,,0.5 nurse
antibiotic,drug,treatment-day,180,
""",
    "capacity": """site,resource,capacity,surge,surge_lead_days
north,nurse,16,2,1
north,bed,28,4,2
north,antibiotic,12,,
centre,nurse,36,4,1
centre,bed,64,8,2
centre,antibiotic,26,,
south,nurse,19,2,1
south,bed,34,4,2
south,antibiotic,15,,
""",
    "links": """origin,destination,distance_km,lead_days,cost
north,centre,38,1,2
centre,north,38,1,2
centre,south,41,1,2
south,centre,41,1,2
north,south,76,1,3
south,north,76,1,3
""",
}


def write_template(folder: str | Path) -> None:
    """Write a small synthetic folder that passes `check_folder`, to be filled with one's own numbers.

    Three sites; nurses, beds and a drug; 63 days of demand, drawn with a fixed seed, without counts that a report would withhold.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.

    Raises
    ------
    MedlibError
        One of the files is already there, or the folder cannot be written.
    """
    folder, random = Path(folder), np.random.default_rng(20)
    lines = ["date,site,resource,demand"]
    for number, day in enumerate(pd.date_range("2024-01-01", periods=63)):
        wave = 1 + 0.15 * math.sin(number / 9) - 0.1 * (day.day_of_week >= 5)
        for site, beds in (("north", 23), ("centre", 50), ("south", 31)):
            for resource, usual in (("bed", beds), ("antibiotic", 0.4 * beds)):
                lines.append(f"{day:%Y-%m-%d},{site},{resource},{max(5, random.poisson(usual * wave))}")
    texts = TEMPLATE | {"demand": "\n".join(lines) + "\n"}
    there = [f"{name}{end}" for name in texts for end in (".csv", ".parquet") if (folder / f"{name}{end}").exists()]
    if there:
        raise MedlibError(f"The template overwrites nothing, and {there[0]!r} is already in {str(folder)!r}; choose an "
                          "empty or new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with open(folder / f"{name}.csv", "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise MedlibError(f"The template cannot be written to {str(folder)!r} ({error.strerror}).") from None
