"""Keys: made once, kept outside the project, read from the environment or from a file that nobody else can read."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from medlib.errors import MedlibError

#: Bytes of a key.
KEY_BYTES = 32


def make_key() -> str:
    """Return a new random key as Base64 text; keep it where neither the data nor the reports are."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_key(name: str = "MEDLIB_KEY") -> bytes:
    """Read a key from the environment variable of that name, or from the file that ``<name>_FILE`` names.

    Parameters
    ----------
    name : str
        The environment variable.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    MedlibError
        There is no key, it is malformed or of another length, or others may read its file (POSIX). The message never
        holds any of the key.
    """
    if text := os.environ.get(name, ""):
        return _decode(text, f"the environment variable {name}")
    if not (file := os.environ.get(f"{name}_FILE", "")):
        raise MedlibError(f"A key is needed and there is none; set {name}, or name its file in {name}_FILE (`medlib make-key` makes one).")
    path = Path(file).expanduser()
    try:
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise MedlibError(f"The key file that {name}_FILE names can be read or changed by others; allow its owner alone (chmod 600).")
        return _decode(path.read_text(encoding="ascii"), f"the file that {name}_FILE names")
    except OSError as error:
        raise MedlibError(f"The key file that {name}_FILE names cannot be read ({error.strerror}); name another.") from None
    except UnicodeDecodeError:
        raise MedlibError(f"The key file that {name}_FILE names is not Base64 text; put what `medlib make-key` prints there.") from None


def _decode(text: str, place: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise MedlibError(f"The key in {place} is not Base64 text; put what `medlib make-key` prints there.") from None
    if len(key) != KEY_BYTES:
        raise MedlibError(f"The key in {place} must hold {KEY_BYTES} bytes as Base64 text; it holds {len(key)}: make one with `medlib make-key`.")
    return key
