"""What people read, in English or Chinese: sentences, dates, and a font for pictures.

The English text is the message's identifier; ``zh.po`` has the Chinese one. What has no translation, as the name of a site, stays as it is.
Which language is spoken is each thread's own affair; it is English until `use_language` says otherwise, and only then anything is loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from medlib.errors import MedlibError


@dataclass(frozen=True)
class Language:
    """A language that reports are written in.

    Parameters
    ----------
    tag : str
        Its name for browsers (BCP 47).
    style : str
        What the page's style sheet adds for it; fonts are those of the reader's system.
    """

    tag: str
    style: str = ""


LANGUAGES = {
    "en": Language("en"),
    # On a wide screen a word in a table's narrow column stays on one line, and names in Latin letters stand a little apart.
    "zh": Language("zh-Hans", """\
body { font-family: system-ui, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif; }
body { text-autospace: ideograph-alpha; }
@media (min-width: 60rem) { table { word-break: keep-all; } }
""")}

_spoken = threading.local()


def name_language() -> str:
    """Return which of `LANGUAGES` is spoken in this thread."""
    return getattr(_spoken, "name", "en")


def check_language(name: str) -> None:
    """Make sure that a report can be written in a language.

    Raises
    ------
    MedlibError
        It is none of `LANGUAGES`, or there is no font for its pictures.
    """
    if name not in LANGUAGES:
        raise MedlibError(f"language must be one of {', '.join(LANGUAGES)}; got {name!r}.")
    if name == "zh":
        from medlib.language.fonts import find_font
        find_font()


def use_language(name: str) -> None:
    """Speak a language from now on, in words and in pictures; see `check_language` for what it raises."""
    check_language(name)
    if name == "zh":
        from medlib.language.fonts import use_font
        use_font()
    _spoken.name = name


@contextmanager
def speak(name: str) -> Iterator[Language]:
    """Speak a language for a while, in words only."""
    before, _spoken.name = name_language(), name
    try:
        yield LANGUAGES[name]
    finally:
        _spoken.name = before


def say(message: str, /, **values: object) -> str:
    """Say a message in the language that is spoken.

    Parameters
    ----------
    message : str
        In English, with named places for values in the manner of `str.format`.
    **values
        Without any, braces in the message are braces.

    Examples
    --------
    >>> with speak("zh"):
    ...     say("resource"), say("{percent} % interval", percent=95), say("Aachen")
    ('资源', '95% 区间', 'Aachen')
    """
    spoken = read_messages().get(message, message) if name_language() != "en" else message
    return spoken.format(**values) if values else spoken


@cache
def read_messages() -> dict[str, str]:
    """Read the Chinese messages by their English ones."""
    from babel.messages.pofile import read_po  # takes a quarter of a second: only where Chinese is spoken

    with (Path(__file__).parent / "zh.po").open(encoding="utf-8") as file:
        return {message.id: message.string for message in read_po(file, locale="zh") if message.id and message.string}


def format_date(date: pd.Timestamp) -> str:
    """Write a date as people do, for example '3 December 2021'."""
    return f"{date.year}年{format_day(date)}" if name_language() == "zh" else f"{date.day} {date:%B %Y}"


def format_day(date: pd.Timestamp, short: bool = False) -> str:
    """Write a date without its year: '3 December', or short '3 Dec'."""
    if name_language() == "zh":
        return f"{date.month}月{date.day}日"
    return f"{date.day} {date:%b}" if short else f"{date.day} {date:%B}"
