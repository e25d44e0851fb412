"""The contract of every table: columns, types, units, ranges, keys, and which notebook writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pandera.pandas as pa

from medlib.errors import MedlibError

KINDS = ("staff", "equipment", "bed", "drug")
#: What a device is in. Only a working one counts.
STATES = ("working", "alarm", "off", "damaged")
#: Who said what an inventory line or a picture shows; what nobody was sure of is left to people.
DECIDERS = ("network", "person", "left to people")
#: Bytes of the largest picture in a table.
MOST_BYTES = 200_000

#: How a kind of column is stored. Dates carry no time of day; a picture is the bytes of a PNG or WebP file.
DTYPES = {"text": "str", "date": "datetime64[us]", "integer": "int64", "number": "float64", "flag": "bool", "picture": "object"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    kind : {"text", "date", "integer", "number", "flag", "picture"}
    about : str
        What it holds, with its unit.
    low, high : float, optional
        Inclusive range.
    one_of : tuple of str
        The only values allowed, where given.
    nullable : bool
        Missing values are allowed.
    required : bool
        The column must be there; an optional column that is absent stays absent.
    people : bool
        It counts people as they were observed; small counts of a user's own data must not leave.
    """

    name: str
    kind: str
    about: str
    low: float | None = None
    high: float | None = None
    one_of: tuple[str, ...] = ()
    nullable: bool = False
    required: bool = True
    people: bool = False

    @property
    def expected(self) -> str:
        """What a valid value looks like, in words."""
        words = {"text": "a text", "date": "a date YYYY-MM-DD", "integer": "a whole number", "number": "a number",
                 "flag": "true or false", "picture": f"the bytes of a picture, at most {MOST_BYTES:,}"}[self.kind]
        if self.one_of:
            words = "one of " + ", ".join(self.one_of)
        if self.low is not None and self.high is not None:
            words += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            words += f" of at least {self.low:g}"
        return words + (" or nothing" if self.nullable else "")

    def to_pandera(self) -> pa.Column:
        """Return the pandera column that checks this contract."""
        checks = []
        if self.low is not None:
            checks.append(pa.Check.ge(self.low))
        if self.high is not None:
            checks.append(pa.Check.le(self.high))
        if self.one_of:
            checks.append(pa.Check.isin(self.one_of))
        if self.kind == "text" and not self.nullable:
            checks.append(pa.Check(lambda values: values.str.strip() != "", name="not_blank"))
        if self.kind == "number":
            checks.append(pa.Check(lambda values: ~np.isinf(values), name="finite"))
        if self.kind == "date":
            checks.append(pa.Check(lambda values: values == values.dt.normalize(), name="no_time_of_day"))
        if self.kind == "picture":
            checks.append(pa.Check(is_picture, element_wise=True, name="picture"))
        return pa.Column(DTYPES[self.kind], checks, nullable=self.nullable, required=self.required, coerce=True)


def is_picture(value: object) -> bool:
    """Tell whether a value may be a picture: bytes, some but not too many. What they show is for those who look at them."""
    return isinstance(value, bytes) and 0 < len(value) <= MOST_BYTES and bool(value.strip())


@dataclass(frozen=True)
class Table:
    """One table: its name, what it says, who writes it, its columns and its key."""

    name: str
    about: str
    writer: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    column: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "column", {column.name: column for column in self.columns})

    def to_pandera(self) -> pa.DataFrameSchema:
        """Return the pandera schema of the whole table; columns beyond the contract are dropped."""
        return pa.DataFrameSchema({column.name: column.to_pandera() for column in self.columns}, strict="filter",
                                  unique=list(self.key) or None, report_duplicates="all")


SITE = Column("site", "text", "identifier of the site")
RESOURCE = Column("resource", "text", "identifier of the resource")
DATE = Column("date", "date", "first day of the period")
AS_OF = Column("as_of", "date", "last date whose data the forecast has seen")


#: Days: more is a slip, and no calendar holds it.
CENTURY = 36_500


def _number(name: str, about: str, low: float | None = 0.0, **more) -> Column:
    return Column(name, "number", about, low=low, **more)


TABLES: dict[str, Table] = {table.name: table for table in (
    # What a dataset provides: the input tables.
    Table("sites", "Where resources are and patients come.", "01_collect", (
        SITE,
        Column("name", "text", "name for people", required=False, nullable=True),
        Column("region", "text", "group of sites the site belongs to", required=False, nullable=True),
        Column("latitude", "number", "degrees north (WGS 84)", low=-90, high=90),
        Column("longitude", "number", "degrees east (WGS 84)", low=-180, high=180),
        _number("population", "persons served", required=False, nullable=True),
        _number("keep_share", "share of the staff and equipment in place that never leaves", high=1, required=False, nullable=True),
        _number("release_per_day", "most units of each resource that leave a day, in place of the general limit (a central "
                                   "stockpile)", required=False, nullable=True)), ("site",)),
    Table("resources", "What is allocated.", "01_collect", (
        RESOURCE,
        Column("kind", "text", "kind of resource", one_of=KINDS),
        Column("unit", "text", "what is counted, for example bed or treatment-day"),
        _number("shelf_life_days", "days until a delivered unit expires (drugs)", low=1, high=CENTURY, required=False, nullable=True),
        Column("requires", "text", "what one unit in use needs besides, for example '0.5 nurse; 1 monitor'",
               required=False, nullable=True),
        _number("shortage_weight", "weight of one unit-day short against another resource's", required=False,
                nullable=True),
        _number("lot_size", "units that move together: only whole lots move", required=False, nullable=True),
        _number("wastage", "share of the used units that is lost on opening (drugs)", high=0.99, required=False, nullable=True),
        _number("overtime_share", "most overtime as a share of the staff present", high=1, required=False, nullable=True)),
        ("resource",)),
    Table("demand", "Units needed per period. A missing value was not reported; it is never zero.", "02_prepare", (
        DATE, SITE, RESOURCE, _number("demand", "units needed in the period", nullable=True, people=True),
        Column("imputed", "flag", "filled in by 02_prepare", required=False)), ("date", "site", "resource")),
    Table("capacity", "Units in place; for a drug, units delivered in the period (none on dates without a row). Without a "
                      "date: in every period.",
          "01_collect", (
              Column("date", "date", "first day of the period, or nothing where it never changes", nullable=True,
                     required=False),
              SITE, RESOURCE, _number("capacity", "units in place (drugs: units delivered in the period)"),
              _number("surge", "further units that can be opened", required=False, nullable=True),
              _number("surge_lead_days", "days from the decision until surge units can be used", high=CENTURY, required=False,
                      nullable=True),
              _number("reporting_units", "wards that reported (count)", required=False, nullable=True),
              _number("staff_restricted_units", "wards that report being limited by lack of staff (count)",
                      required=False, nullable=True)), ("date", "site", "resource")),
    Table("links", "Pairs of sites between which units or patients can move, one row per direction.", "01_collect", (
        Column("origin", "text", "site that sends"), Column("destination", "text", "site that receives"),
        _number("distance_km", "distance in kilometres"),
        _number("lead_days", "days until a sent unit can be used (patients move within the day)", high=CENTURY, required=False,
                nullable=True),
        _number("cost", "cost of one move in cost points, besides distance", required=False, nullable=True),
        _number("moves_per_day", "most moves of each resource over this link a day", required=False, nullable=True)),
        ("origin", "destination")),
    Table("arrivals", "Patients who arrive and may be sent to another site on that day. Their need takes the place of `demand`.",
          "01_collect", (DATE, SITE, RESOURCE, _number("arrivals", "patients who arrive in the period", people=True)),
          ("date", "site", "resource")),
    Table("initial", "Patients from before the first period who are still there.", "01_collect", (
        DATE, SITE, RESOURCE, _number("remaining", "patients of before who are still there", people=True)), ("date", "site", "resource")),
    Table("stay", "Length of stay: the course of patients through beds after they arrive.", "01_collect", (
        Column("resource", "text", "bed that the patient arrives in; nothing: every bed", required=False, nullable=True),
        Column("occupies", "text", "bed that the patient is in so many days later; nothing: the same", required=False,
               nullable=True),
        Column("day", "integer", "days since arrival", low=0),
        _number("survival", "share of the patients who are in that bed on that day", high=1)), ("resource", "occupies", "day")),
    Table("surge_levels", "Surge that is opened level by level, in place of `capacity.surge`.", "01_collect", (
        SITE, RESOURCE, Column("level", "integer", "order in which levels are opened", low=1),
        _number("units", "units of the level"),
        _number("lead_days", "days of setting up before the level can be used", high=CENTURY, required=False, nullable=True),
        _number("cost", "cost points of one unit used for one period", required=False, nullable=True),
        _number("setup_cost", "cost points of opening the level", required=False, nullable=True),
        _number("teardown_days", "days after closing before setting up can begin again", high=CENTURY, required=False, nullable=True)),
        ("site", "resource", "level")),
    Table("stock", "Drugs on hand or on their way at the start.", "01_collect", (
        SITE, RESOURCE, Column("expires", "date", "first date they cannot be used; nothing: never", nullable=True),
        Column("arrives", "date", "date they can be used from; nothing: at once", nullable=True), _number("units", "units")),
        ("site", "resource", "expires", "arrives")),
    Table("orders", "What a site may order of a drug.", "01_collect", (
        SITE, RESOURCE, _number("lead_days", "days from the order until the delivery", high=CENTURY),
        _number("units_per_period", "most units ordered in a period"),
        _number("cost", "cost points of one unit", required=False, nullable=True)), ("site", "resource")),
    Table("shifts", "Shifts of a staff resource; everyone works one a day, and never the first after the last.", "01_collect", (
        RESOURCE, Column("shift", "text", "name; rows stand in the order of the day"),
        _number("share", "units needed in the shift per unit needed")), ("resource", "shift")),
    Table("tiers", "Priority tiers of a resource's demand.", "01_collect", (
        RESOURCE, Column("tier", "integer", "1: served first", low=1), _number("share", "share of the need", high=1),
        _number("weight", "weight of one unit-day short in this tier, times the resource's")), ("resource", "tier")),
    Table("inventory", "Free-text inventory lines as the sites wrote them.", "01_collect", (
        SITE, Column("line", "integer", "number of the line at its site", low=1),
        Column("text", "text", "the line as written"),
        Column("item", "text", "what a person read the line as, where someone did", required=False, nullable=True),
        _number("pieces", "devices that a person read from it", required=False, nullable=True),
        _number("broken", "1 where a person read that they are out of order, 0 where not", high=1, required=False, nullable=True)),
        ("site", "line")),
    Table("equipment", "Pictures of devices in place.", "01_collect", (
        SITE, Column("device", "text", "identifier of the device at its site"), RESOURCE,
        Column("picture", "picture", "the device's front panel, a PNG or WebP file"),
        Column("checked", "text", "state that a person found, where someone looked", one_of=STATES, required=False, nullable=True)),
        ("site", "device")),
    # What the notebooks add.
    Table("sources", "Where the input came from.", "01_collect", (
        Column("dataset", "text", "name of the dataset"), Column("title", "text", "its title"),
        Column("file", "text", "file or generator"), Column("source", "text", "address or origin"),
        Column("licence", "text", "licence"), Column("attribution", "text", "words of attribution to be shown"),
        Column("sha256", "text", "checksum of the file"), Column("rows", "integer", "demand rows", low=0),
        Column("first_date", "date", "first date with demand"), Column("last_date", "date", "last date with demand"),
        Column("synthetic", "flag", "made up, not observed"),
        Column("notes", "text", "what a reader must know about these data")), ("dataset", "file")),
    Table("demand_collected", "Demand as it came, faults and all.", "01_collect", (
        DATE, SITE, RESOURCE, _number("demand", "units needed in the period, as reported", low=None, nullable=True, people=True))),
    Table("quality", "What cleaning found and did.", "02_prepare", (
        RESOURCE, Column("rule", "text", "the fault looked for"), Column("rows", "integer", "rows with it", low=0),
        _number("share", "share of the resource's rows", high=1), Column("action", "text", "what was done")),
        ("resource", "rule")),
    Table("equipment_state", "What the pictures show, and how sure that is.", "21_convolutional_network", (
        SITE, Column("device", "text", "identifier of the device at its site"), RESOURCE,
        Column("state", "text", "state that it was called", one_of=STATES),
        _number("confidence", "probability of that state (calibrated)", high=1),
        Column("decided_by", "text", "who called it so; left to people: the network was not sure enough", one_of=DECIDERS)),
        ("site", "device")),
    Table("equipment_confusion", "How often devices in a known state are called what: checked ones that the network did not learn from.",
          "21_convolutional_network", (
              Column("true", "text", "state that the device is in", one_of=STATES),
              Column("called", "text", "state that the network called it", one_of=STATES),
              Column("confident", "flag", "the network was sure enough to answer"),
              Column("devices", "integer", "devices counted", low=0)), ("true", "called", "confident")),
    Table("inventory_read", "What the inventory lines say: a row for each item that a line may mean.", "23_transformer", (
        SITE, Column("line", "integer", "number of the line at its site", low=1),
        Column("item", "text", "what it may be"), _number("probability", "that it is this (calibrated)", high=1),
        _number("pieces", "devices that the line counts"),
        _number("broken", "probability that they are out of order", high=1),
        Column("decided_by", "text", "who read it; left to people: the network was not sure enough", one_of=DECIDERS)),
        ("site", "line", "item")),
    Table("working_devices", "How many devices are there and work, as counted from inventory lines and pictures.", "26_working_devices", (
        SITE, RESOURCE, _number("stated", "units in place by the capacity table's latest figure"),
        _number("owned", "devices owned (expected)"), _number("working", "devices that work (expected)"),
        _number("working_low", "5 % quantile of the devices that work"), _number("working_high", "95 % quantile of them"),
        Column("source", "text", "where the figures came from, in words")), ("site", "resource")),
    Table("demand_forecast", "Forecast quantiles of demand, of every candidate.", "20_random_forest", (
        AS_OF, DATE, SITE, RESOURCE, Column("model", "text", "forecaster"),
        Column("quantile", "number", "probability level", low=0, high=1),
        _number("demand", "units needed in the period")), ("date", "site", "resource", "model", "quantile")),
    Table("forecast_score", "Rolling-origin scores of each forecaster before the as-of date.", "20_random_forest", (
        Column("model", "text", "forecaster"), RESOURCE,
        _number("wis", "weighted interval score (units)"),
        _number("relative_wis", "WIS over the seasonal-naive forecaster's", nullable=True),
        _number("pinball", "mean quantile loss (units)"),
        _number("coverage_50", "share of outcomes inside the 50 % interval", high=1),
        _number("coverage_80", "share of outcomes inside the 80 % interval", high=1),
        _number("coverage_95", "share of outcomes inside the 95 % interval", high=1),
        _number("rmse", "root mean squared error of the median (units)"),
        _number("mae", "mean absolute error of the median (units)"),
        Column("forecasts", "integer", "forecasts scored", low=1),
        Column("used", "flag", "the best forecaster: what is planned with unless another is named")), ("model", "resource")),
    Table("leaderboard", "Rolling-origin scores of every forecaster on every dataset, with intervals.", "30_validate", (
        Column("dataset", "text", "name of the dataset"), Column("model", "text", "forecaster"),
        _number("relative_wis", "WIS over the seasonal-naive forecaster's", nullable=True),
        _number("low", "lower end of the interval of relative_wis (block bootstrap over as-of dates)", nullable=True),
        _number("high", "upper end of it", nullable=True), _number("level", "probability of the interval", high=1),
        _number("wis", "weighted interval score (units), mean over as-of dates"),
        _number("coverage_50", "share of outcomes inside the 50 % interval", high=1),
        _number("coverage_95", "share of outcomes inside the 95 % interval", high=1),
        Column("as_ofs", "integer", "as-of dates judged", low=1), Column("forecasts", "integer", "forecasts scored", low=1)),
        ("dataset", "model")),
    Table("tuning", "Every trial of the search for better settings.", "31_tune", (
        Column("model", "text", "forecaster"), Column("trial", "integer", "number of the trial; 0: the defaults", low=0),
        Column("settings", "text", "what was tried, as JSON"),
        _number("relative_wis", "WIS over the seasonal-naive forecaster's on the dates judged", nullable=True),
        Column("as_ofs", "integer", "as-of dates judged before the trial ended", low=0),
        Column("state", "text", "how it ended", one_of=("complete", "pruned", "failed")),
        Column("used", "flag", "the best of its forecaster's whole trials")), ("model", "trial")),
    Table("capacity_forecast", "Forecast quantiles of capacity, with the surge that can be opened.", "40_allocate", (
        AS_OF, DATE, SITE, RESOURCE, Column("model", "text", "forecaster; carried: not forecast but taken to go on as it is; "
                                               "counted: the devices that work"),
        Column("quantile", "number", "probability level", low=0, high=1),
        _number("capacity", "units in place (drugs: units delivered in the period)"),
        _number("surge", "further units that can be opened"),
        _number("surge_lead_days", "days from the decision until surge units can be used")),
        ("date", "site", "resource", "quantile")),
    Table("rules", "The planning rules that the plan kept, for later notebooks.", "40_allocate", (
        Column("rule", "text", "field of medlib.allocate.Rules"),
        Column("value", "number", "its value, in the unit that Rules states")), ("rule",)),
    Table("moves", "The plan: what moves when and where.", "40_allocate", (
        DATE, Column("arrival", "date", "first day of use at the destination"),
        Column("origin", "text", "site that sends"), Column("destination", "text", "site that receives"), RESOURCE,
        Column("what", "text", "patients move to beds, units move to patients", one_of=("patients", "units")),
        _number("amount", "patients or units moved"), _number("distance_km", "distance of one move in kilometres")),
        ("date", "origin", "destination", "resource")),
    Table("surge_plan", "The plan: surge units to have open.", "40_allocate", (
        DATE, SITE, RESOURCE, Column("decide_by", "date", "last day to decide it"),
        _number("surge", "surge units open")), ("date", "site", "resource")),
    Table("expected_shortage", "Demand, usable units and expected shortage without and with the plan.", "40_allocate", (
        DATE, SITE, RESOURCE, _number("demand", "expected units needed before any move"),
        _number("usable", "units that may be planned, without moves and surge"),
        _number("shortage_before", "expected units short if nothing is done"),
        _number("shortage_after", "expected units short with the plan")), ("date", "site", "resource")),
    Table("shadow_prices", "What one more unit throughout the horizon would save at a site.", "40_allocate", (
        SITE, RESOURCE, _number("saves", "unit-days of shortage saved by one more unit, from the duals", low=None),
        _number("confirmed", "the same measured by solving again with one more unit", low=None, nullable=True)),
        ("site", "resource")),
    Table("plan_summary", "The plan in numbers.", "40_allocate", (
        Column("measure", "text", "name"), Column("value", "number", "value", nullable=True),
        Column("unit", "text", "unit")), ("measure",)),
    Table("outcome", "What really happened over the horizon.", "41_backtest", (
        DATE, SITE, RESOURCE, _number("demand", "units needed", people=True), _number("capacity", "units in place"),
        Column("imputed", "flag", "demand was not reported and filled in")), ("date", "site", "resource")),
    Table("ladder", "Every policy rolled through what really happened.", "41_backtest", (
        Column("rung", "text", "policy"), Column("resource", "text", "resource, or 'all' for the weighted sum"),
        _number("shortage", "unit-days short"), _number("transfers", "units and patients moved"),
        _number("distance_km", "kilometres travelled by all moves"),
        _number("surge", "surge unit-days used"), _number("cost", "cost points of moves and surge"),
        _number("gap_closed", "share of the gap between reactive rule and perfect foresight closed", low=None,
                nullable=True),
        _number("bound", "unit-days short that no reallocation can avoid")), ("rung", "resource")),
    Table("ladder_judged", "The ladder's sums with intervals: periods drawn again in blocks, the same for every policy.", "41_backtest", (
        Column("rung", "text", "policy"), Column("measure", "text", "shortage, transfers, cost, worst_site, gap_closed, or saved: shortage less than "
                                                 "the plan with the point forecast"),
        _number("value", "in the window", low=None, nullable=True), _number("low", "5 % quantile", low=None, nullable=True),
        _number("high", "95 % quantile", low=None, nullable=True)), ("rung", "measure")),
    Table("ladder_daily", "Shortage of every policy by day and site.", "41_backtest", (
        Column("rung", "text", "policy"), DATE, SITE, RESOURCE, _number("shortage", "units short")),
        ("rung", "date", "site", "resource")),
)}

#: The tables that a dataset, or a user's own folder, provides.
INPUTS = ("sites", "resources", "demand", "capacity", "links", "inventory", "equipment", "arrivals", "initial", "stay",
          "surge_levels", "stock", "orders", "shifts", "tiers")
#: Those of them that a folder may leave out.
OPTIONAL_INPUTS = INPUTS[4:]
#: And those that say more than a report needs: `medlib allocate` reads them, and 01_collect writes them where a dataset has any.
EXTRA_INPUTS = INPUTS[7:]
#: What `find_failures` expects of rows that share a key.
ONCE = "each combination once"


def get_table(name: str) -> Table:
    """Return the contract of a table.

    Raises
    ------
    MedlibError
        No table has that name.
    """
    if name not in TABLES:
        raise MedlibError(f"There is no table {name!r}; the tables are {', '.join(TABLES)}.")
    return TABLES[name]


def empty(name: str) -> pd.DataFrame:
    """Return a table without rows: its contract's columns in their types."""
    return pd.DataFrame({column.name: pd.Series(dtype=DTYPES[column.kind]) for column in get_table(name).columns})


def parse_requires(text: str | None) -> dict[str, float]:
    """Read what one unit in use needs besides: amounts and resources, separated by semicolons.

    Parameters
    ----------
    text : str or None
        A cell of `resources.requires`, for example '0.5 nurse; 1 monitor'; None, NaN or blank where nothing is needed.

    Returns
    -------
    dict of str to float
        Units of each resource that one unit in use needs, above zero.

    Raises
    ------
    MedlibError
        The text does not follow `amount resource; amount resource`, an amount is zero, or a resource stands twice.

    Examples
    --------
    >>> parse_requires("0.5 nurse; 1 monitor")
    {'nurse': 0.5, 'monitor': 1.0}
    """
    needs: dict[str, float] = {}
    if pd.isna(text) or not text.strip():
        return needs
    for part in text.split(";"):
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s+(\S.*)", part.strip())
        if not match or float(match[1]) == 0 or match[2] in needs:
            raise MedlibError("requires must hold amounts above 0 and resources, each resource once, such as "
                              f"'0.5 nurse; 1 monitor'; got {part.strip()[:60]!r}.")
        needs[match[2]] = float(match[1])
    return needs


def find_failures(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """List every place where a frame breaks a table's contract.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows, with any index.
    name : str
        The table's name.

    Returns
    -------
    pandas.DataFrame
        Columns row (position from 0, or -1 for the whole table), column, value, expected; no rows where all is well.
    """
    return _validate(frame, get_table(name))[1]


def _validate(frame: pd.DataFrame, table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frame in the contract's types, worth nothing where it fails, and its failures."""
    doubled = [(-1, name, "", "each column once") for name in frame.columns[frame.columns.duplicated()].unique() if name in table.column]
    frame = frame.loc[:, ~frame.columns.duplicated()].reset_index(drop=True)
    frame, nested = _take_out_lists(frame, table)
    miscast = doubled + nested + _list_miscast(frame, table)
    try:
        return table.to_pandera().validate(frame, lazy=True), _sort_failures(miscast)
    except pa.errors.SchemaErrors as errors:
        return frame, _sort_failures(miscast + _describe_failures(errors.failure_cases, table, frame))


def _take_out_lists(frame: pd.DataFrame, table: Table) -> tuple[pd.DataFrame, list[tuple]]:
    """Return the frame with gaps in the place of lists, which pandera would print as texts or stumble over, and their list."""
    rows = []
    for column in table.columns:
        if column.name in frame and frame[column.name].dtype == object:
            lists = frame[column.name].map(pd.api.types.is_list_like).astype(bool)
            rows += [(row, column.name, frame[column.name].iloc[row], column.expected) for row in np.flatnonzero(lists)]
            frame = frame.assign(**{column.name: frame[column.name].mask(lists)})
    return frame, rows


def _list_miscast(frame: pd.DataFrame, table: Table) -> list[tuple]:
    """Values that pandera would change without a word: 1.5 to 1, and any text or missing value to true."""
    rows = []
    for column in table.columns:
        if column.kind == "integer" and column.name in frame:
            numbers = pd.to_numeric(frame[column.name], errors="coerce")
            wrong = numbers.notna() & (numbers % 1 != 0)
        elif column.kind == "flag" and column.name in frame:
            wrong = ~frame[column.name].isin([True, False])
        else:
            continue
        rows += [(row, column.name, frame[column.name].iloc[row], column.expected) for row in np.flatnonzero(wrong)]
    return rows


def _sort_failures(rows: list[tuple]) -> pd.DataFrame:
    """One line a place; what pandera says of a whole column goes where the rows at fault are known."""
    found = pd.DataFrame(rows, columns=["row", "column", "value", "expected"]).drop_duplicates(["row", "column"])
    known = found.loc[found["row"] >= 0, "column"]
    return found[(found["row"] >= 0) | ~found["column"].isin(known)].sort_values(["row", "column"], ignore_index=True)


def _describe_failures(cases: pd.DataFrame, table: Table, frame: pd.DataFrame) -> list[tuple]:
    rows = []
    key = [name for name in table.key if name in frame]  # the date of undated capacity may be absent
    for case in cases.itertuples():
        if case.check == "column_in_dataframe":
            rows.append((-1, case.failure_case, "", "the column to be there"))
        elif case.check == "multiple_fields_uniqueness":
            # pandera lists a duplicate once per key column; one line a row says it all.
            if case.column == key[0] and not pd.isna(case.index):
                value = ", ".join(str(frame.loc[int(case.index), name]) for name in key)
                rows.append((int(case.index), " + ".join(key), value, ONCE))
        elif not str(case.check).startswith("dtype") or pd.isna(case.index):
            column = table.column.get(case.column)
            row = -1 if pd.isna(case.index) else int(case.index)
            value = frame.loc[row, case.column] if column and column.kind == "picture" and row >= 0 else case.failure_case
            value = f"{len(value):,} bytes" if isinstance(value, bytes) else value  # nobody reads them
            rows.append((row, case.column, value, column.expected if column else str(case.check)))
    return rows


def check_frame(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the frame in the contract's types and column order.

    Parameters
    ----------
    frame : pandas.DataFrame
    name : str
        The table's name.

    Returns
    -------
    pandas.DataFrame
        Only the contract's columns, in its order, with a fresh index.

    Raises
    ------
    MedlibError
        The frame breaks the contract; the message names the first place and counts the rest.
    """
    table = get_table(name)
    checked, failures = _validate(frame, table)
    if len(failures):
        first = failures.iloc[0]
        where = "the table" if first.row < 0 else f"row {first.row}"
        raise MedlibError(f"Table {name!r} breaks its contract in {len(failures)} place(s); first, in {where}, column "
                          f"{first.column!r}: expected {first.expected}, got {str(first.value)!r}.")
    # pandera gives dates in nanoseconds whatever it is told.
    types = {column.name: DTYPES[column.kind] for column in table.columns if column.name in checked}
    return checked[list(types)].astype(types)


def format_dictionary() -> str:
    """Return the data dictionary, in Markdown: every table with its columns, types, units and writer."""
    parts = ["# Data dictionary", "",
             "Printed from `medlib.schema` by `medlib dictionary`; a test fails where the two disagree.", ""]
    for table in TABLES.values():
        parts += [f"## {table.name}", "", f"{table.about} Written by `{table.writer}`."
                  + (f" Key: {', '.join(table.key)}." if table.key else ""), "",
                  "| column | type | what it holds | range | |", "|---|---|---|---|---|"]
        for column in table.columns:
            marks = ", ".join(word for word, on in (("optional", not column.required), ("may be missing", column.nullable))
                              if on)
            limits = ", ".join(column.one_of) or " to ".join(
                f"{limit:g}" for limit in (column.low, column.high) if limit is not None)
            limits = f"≥ {limits}" if column.high is None and column.low is not None else limits
            parts.append(f"| {column.name} | {column.kind} | {column.about} | {limits} | {marks} |")
        parts.append("")
    return "\n".join(parts)
