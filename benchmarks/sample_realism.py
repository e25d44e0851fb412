"""How much the synthetic sample's intensive care looks like the German register's: one table.

Run ``python benchmarks/sample_realism.py [--json FILE]``. Like is compared with like: a German state with a region of the
sample, each summed over its hospitals.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from medlib.catalog import load_dataset
from medlib.errors import MedlibError
from medlib.prepare import clean_demand

WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def load_states() -> pd.DataFrame:
    """Occupied beds of the German states: a row a day, a column a state.

    Raises
    ------
    MedlibError
        The register is neither in the mirror nor in the cache, and can't be downloaded.
    """
    return load_dataset("icu_germany")[0]["demand"].pivot(index="date", columns="site", values="demand")


def load_regions(seed: int = 1) -> pd.DataFrame:
    """ICU beds needed in the sample's regions, cleaned as `02_prepare` does: a row a day, a column a region."""
    tables = load_dataset("sample", seed)[0]
    demand, _ = clean_demand(tables["demand"][tables["demand"]["resource"] == "icu_bed"])
    region = demand["site"].map(tables["sites"].set_index("site")["region"])
    return demand.groupby(["date", region.rename("region")])["demand"].sum().unstack()


def measure(census: pd.DataFrame) -> pd.DataFrame:
    """Measure weekly profile, autocorrelation and day-to-day variation of each series.

    Parameters
    ----------
    census : pandas.DataFrame
        Patients or beds on consecutive days; a column a place.

    Returns
    -------
    pandas.DataFrame
        A row a measure, a column a place. `profile`: mean over the weekdays of the census over the mean of the seven days
        around it. `autocorrelation` of the census at a lag. `change`: standard deviation of the census' change over so many
        days, over the square root of its mean: 1.41 (the root of 2) for Poisson counts that are independent from day to day,
        whatever their size, less where patients stay, more where a wave rises and falls.
    """
    share = census / census.rolling(7, center=True).mean()
    profile = share.groupby(census.index.day_of_week).mean().set_axis([f"profile {day}" for day in WEEK])
    rows = {f"autocorrelation, lag {lag}": census.apply(lambda series: series.autocorr(lag)) for lag in (1, 7, 14)}
    rows |= {f"change over {days} d / sqrt(mean)": census.diff(days).std() / np.sqrt(census.mean()) for days in (1, 7)}
    return pd.concat([profile, pd.DataFrame({**rows, "mean census": census.mean()}).T])


def compare(register: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """Compare two census frames.

    Returns
    -------
    pandas.DataFrame
        A row a measure; columns register and sample (mean over their places), lowest and highest (of the register's
        places), ratio (sample over register).
    """
    of_register, of_sample = measure(register), measure(sample)
    table = pd.DataFrame({"register": of_register.mean(axis=1), "lowest": of_register.min(axis=1),
                          "highest": of_register.max(axis=1), "sample": of_sample.mean(axis=1)})
    return table.assign(ratio=table["sample"] / table["register"])


def main() -> None:
    """Print the table; `--json FILE` writes it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    given = parser.parse_args()
    try:
        states, regions = load_states(), load_regions(given.seed)
    except MedlibError as error:
        sys.exit(f"{error}")
    table = compare(states, regions)
    print(f"register: {states.shape[1]} states, {states.index[0]:%Y-%m-%d} to {states.index[-1]:%Y-%m-%d}; sample (synthetic, seed "
          f"{given.seed}): {regions.shape[1]} regions, {regions.index[0]:%Y-%m-%d} to {regions.index[-1]:%Y-%m-%d}")
    print(table.round(3).to_string())
    if given.json:
        given.json.write_text(json.dumps(table.round(6).to_dict(orient="index"), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
