"""Packed files read with a limit: what takes a few bytes on disk may fill any memory."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from medlib.errors import MedlibError

#: Rows of a table, and bytes of a table or a text: some ten times what the largest dataset needs.
MOST_ROWS, MOST_BYTES = 10_000_000, 200_000_000


def read_parquet(source: Path | BinaryIO, name: str = "") -> pd.DataFrame:
    """Read a Parquet file whose size in memory is known to be bearable.

    Parameters
    ----------
    source : pathlib.Path or binary file
    name : str
        What errors call it; left out: the file's name.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    MedlibError
        It has more than `MOST_ROWS` rows, would take more than `MOST_BYTES` bytes, holds other than one plain value a cell, or is no whole
        Parquet file.
    """
    name = name or Path(str(source)).name
    try:
        _refuse_bomb(source, name)
        return pd.read_parquet(source)
    except MedlibError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise MedlibError(f"{name} is not a whole Parquet file that can be read ({type(error).__name__}); write it anew.") from None


def _refuse_bomb(source: Path | BinaryIO, name: str) -> None:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source)
    if strange := [field.name for field in file.schema_arrow if not _is_plain(field.type)]:
        raise MedlibError(f"{name} must hold one text, number or date a cell; column {strange[0]!r} holds something else.")
    packed = sum(file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups))
    if file.metadata.num_rows > MOST_ROWS or packed > MOST_BYTES or _measure_texts(source, file.schema_arrow) > MOST_BYTES:
        raise MedlibError(f"{name} unpacks to more than {MOST_ROWS:,} rows or {MOST_BYTES // 10**6:,} MB; split it up.")


def _is_plain(kind) -> bool:
    """Tell whether an Arrow type is one value, not a list or a record."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_primitive(kind) or _is_text(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)


def _is_text(kind) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _measure_texts(source: Path | BinaryIO, columns) -> int:
    """Bytes of all texts, without writing them out: a file that holds one long text once may repeat it in every row."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = [field.name for field in columns if _is_text(field.type)]
    if not texts:
        return 0
    table = pq.ParquetFile(source, read_dictionary=texts).read(columns=texts)
    return sum(pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
               for column in table.columns for chunk in column.chunks)


def unpack_gzip(path: Path) -> bytes:
    """Unpack a gzip file.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bytes

    Raises
    ------
    MedlibError
        It is no whole gzip file, or unpacks to more than `MOST_BYTES`.
    """
    try:
        with gzip.open(path) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MedlibError(f"{path} is not a whole gzip file ({type(error).__name__}); fetch it anew.") from None
    if len(data) > MOST_BYTES:
        raise MedlibError(f"{path} unpacks to more than {MOST_BYTES // 10**6:,} MB; it is not the file that was tested.")
    return data
