"""Keyed pseudonyms, and dates shifted by a secret number of days a person."""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Sequence

import pandas as pd

from medlib.errors import MedlibError
from medlib.privacy.keys import KEY_BYTES

#: Hexadecimal digits of a pseudonym: fewer meet by chance too often, more are not there.
SHORTEST, LONGEST = 8, 64


def make_pseudonyms(identifiers: pd.Series, key: bytes, purpose: str = "", length: int = 16) -> pd.Series:
    """Replace identifiers by keyed pseudonyms: HMAC-SHA-256 of the identifier, under a key derived for the purpose.

    Parameters
    ----------
    identifiers : pandas.Series
        One identifier a row; whole numbers, text and numbers that became 12.0 because others are missing count alike.
    key : bytes
        32 bytes or more, as from `medlib.privacy.keys.read_key`.
    purpose : str
        What the pseudonyms are for. Those of two purposes cannot be joined without the key.
    length : int
        Hexadecimal digits, 8 to 64; among n people two meet with a probability of about n² / 2 / 16^length.

    Returns
    -------
    pandas.Series
        Text with the index of `identifiers`; missing where the identifier is.

    Raises
    ------
    MedlibError
        The key is too short, the length is not possible, or two people would have one pseudonym.

    Notes
    -----
    Pseudonymised data is still personal data: who has the key knows everybody, and the other columns may name a person without it
    (`medlib.privacy.anonymity`). A hash without a key protects nobody, since all identifiers can be tried.

    References
    ----------
    Krawczyk, Bellare and Canetti (1997), RFC 2104, doi:10.17487/RFC2104. ENISA (2019), Pseudonymisation techniques and best practices,
    doi:10.2824/247711.
    """
    if not SHORTEST <= length <= LONGEST:
        raise MedlibError(f"length must lie in {SHORTEST} to {LONGEST} hexadecimal digits; got {length}.")
    own = _derive_key(key, f"pseudonym:{purpose}")
    known = identifiers.dropna().map(_write_plainly)
    pseudonyms = {name: hmac.digest(own, name.encode(), "sha256").hex()[:length] for name in known.unique()}
    if len(set(pseudonyms.values())) < len(pseudonyms):
        raise MedlibError(f"Pseudonyms of {length} digits are too short to tell {len(pseudonyms)} people apart; raise length.")
    return known.map(pseudonyms).reindex(identifiers.index).astype("str")


def shift_dates(frame: pd.DataFrame, person: str, columns: Sequence[str], key: bytes, most_days: int = 182) -> pd.DataFrame:
    """Shift all dates of a person by one secret number of days, which is never 0.

    Parameters
    ----------
    frame : pandas.DataFrame
    person : str
        Column of the person's identifier; in every table the same person gets the same shift.
    columns : sequence of str
        Columns of dates; missing ones stay missing.
    key : bytes
        32 bytes or more.
    most_days : int
        Most days of a shift, either way; at least 1.

    Returns
    -------
    pandas.DataFrame
        A copy.

    Raises
    ------
    MedlibError
        The key or `most_days` is too small, a row has no person, or a column holds no dates.

    Notes
    -----
    Days between a person's dates stay true, so lengths of stay do. Lost are the season, the weekday and the order among people: shifted
    rows cannot be counted into demand by date; count first. And a rare sequence of intervals still tells a person who is known by it.

    References
    ----------
    Hripcsak et al. (2016), Preserving temporal relations in clinical data while maintaining privacy, JAMIA 23(6), doi:10.1093/jamia/ocw001.
    """
    if most_days < 1:
        raise MedlibError(f"most_days must be at least 1; got {most_days}.")
    if frame[person].isna().any():
        raise MedlibError(f"Every row needs a {person} to shift its dates by; {frame[person].isna().sum()} rows have none: drop or fill them.")
    own, shifted = _derive_key(key, "dates"), frame.copy()
    names = frame[person].map(_write_plainly)
    days = pd.to_timedelta(names.map({name: _draw_shift(own, name, most_days) for name in names.unique()}), unit="D")
    for column in columns:
        if not pd.api.types.is_datetime64_any_dtype(frame[column]):
            raise MedlibError(f"Column {column} must hold dates; got {frame[column].dtype}: convert it with pandas.to_datetime.")
        shifted[column] = frame[column] + days
    return shifted


def _draw_shift(key: bytes, name: str, most_days: int) -> int:
    """One of the 2 most_days whole numbers from -most_days to most_days without 0; 256 bits leave no bias to speak of."""
    drawn = int.from_bytes(hmac.digest(key, name.encode(), "sha256")) % (2 * most_days) - most_days
    return drawn + (drawn >= 0)


def _derive_key(key: bytes, purpose: str) -> bytes:
    if len(key) < KEY_BYTES:
        raise MedlibError(f"A key must have {KEY_BYTES} bytes or more; got {len(key)}: make one with medlib.privacy.keys.make_key().")
    return hmac.digest(key, purpose.encode(), "sha256")


def _write_plainly(identifier: object) -> str:
    """One way of writing: 12, 12.0 and ' 12' are one person, and so are composed and decomposed letters."""
    if isinstance(identifier, float) and identifier.is_integer():
        identifier = int(identifier)
    return unicodedata.normalize("NFC", str(identifier).strip())
