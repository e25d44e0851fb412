"""Explanations of plans and of models.

Of plans: in words (`words`), shadow prices (`prices`), why this move (`choices`), between which prices a plan stays (`ranges`), why there is
none (`conflicts`, by `elastic`); `probe` tries changes. Of models: forests (`models`), networks (`networks`), whom they fail (`groups`).
"""

from medlib.explain.prices import confirm_prices, describe_prices
from medlib.explain.words import (
    OWN_RUNG,
    choose_names,
    format_amount,
    format_date,
    format_list,
    format_table,
    join_words,
    name_dataset,
    name_resource,
    name_sites,
    summarise_report,
    tell_past,
    warn_narrow,
)

__all__ = ["OWN_RUNG", "choose_names", "confirm_prices", "describe_prices", "format_amount", "format_date", "format_list", "format_table", "join_words", "name_dataset",
           "name_resource", "name_sites", "summarise_report", "tell_past", "warn_narrow"]
