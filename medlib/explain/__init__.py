"""Explanations: plans in words (`words`), shadow prices (`prices`)."""

from medlib.explain.prices import confirm_prices, describe_prices
from medlib.explain.words import (
    OWN_RUNG,
    format_amount,
    format_date,
    format_table,
    join_words,
    name_resource,
    summarise_report,
)

__all__ = ["OWN_RUNG", "confirm_prices", "describe_prices", "format_amount", "format_date", "format_table", "join_words", "name_resource",
           "summarise_report"]
