"""Encryption at rest: a workspace whose tables lie on disk encrypted and authenticated, and are opened in memory only.

A locked table ``<file>.locked`` is a header and pieces of 1 MiB, each sealed with AES-256-GCM. The key of a file is derived from
the workspace's key and 32 random bytes of its own (HKDF-SHA-256), so that no key ever seals two files, and the number of the piece
is its nonce. With every piece go, authenticated, the header (version, workspace, length) and the file's name: a changed, cut,
renamed or swapped file does not open. `workspace.locked` marks the folder and tells a wrong key from a changed file.

What this does not notice: a file that was put back to an older state of itself, or deleted.

References
----------
NIST SP 800-38D (GCM), doi:10.6028/NIST.SP.800-38D; RFC 5869 (HKDF), doi:10.17487/RFC5869; Hoang, Reyhanitabar, Rogaway and Vizár
(2015), Online authenticated encryption and its nonce-reuse misuse-resistance, doi:10.1007/978-3-662-47989-6_24 (sealing in pieces).
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from medlib.errors import MedlibError
from medlib.tables import MARKER, SUFFIX

#: Files that hold tables.
TABLES = (".parquet", ".csv")
MAGIC, VERSION = b"medlib", 1
#: Magic, version, workspace, random bytes of the file, bytes of the plain file.
HEADER = struct.Struct(">6sB16s32sQ")
#: Magic, version, workspace, proof of the key.
MARK = struct.Struct(">6sB16s32s")
PIECE, TAG = 1 << 20, 16


def mark_locked(folder: Path, key: bytes) -> None:
    """Make a folder a locked workspace: every table that `medlib.tables` writes there from now on is locked."""
    if (folder / MARKER).is_file():
        _read_marker(folder, key)
        return
    workspace = _read_workspace(folder) or secrets.token_bytes(16)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / MARKER, [MARK.pack(MAGIC, VERSION, workspace, _prove(key, workspace))])


def lock_workspace(folder: Path, key: bytes) -> list[Path]:
    """Lock every table in a folder. An interrupted call is repeated; at every moment each table is there, plain or locked.

    Parameters
    ----------
    folder : pathlib.Path
        Holds Parquet or CSV tables; other files and the folders below it stay as they are.
    key : bytes
        32 bytes, from `medlib.privacy.keys.read_key`. Whoever loses it loses the tables.

    Returns
    -------
    list of pathlib.Path
        The locked files made. Plain copies that the disk still holds in freed blocks are beyond this function.

    Raises
    ------
    MedlibError
        There is nothing to lock, a table is a link to elsewhere, or the folder is locked with another key.
    """
    plain = sorted(path for path in folder.glob("*") if path.suffix in TABLES) if folder.is_dir() else []
    if not plain and not (folder / MARKER).is_file():
        raise MedlibError(f"Expected a folder with Parquet or CSV tables to lock; {str(folder)!r} holds none.")
    if links := [path.name for path in plain if path.is_symlink()]:
        raise MedlibError(f"{links[0]} in {str(folder)!r} is a link, and what it leads to would stay readable; put the file itself there.")
    mark_locked(folder, key)
    for left in folder.glob(".*.part"):  # of a write that was killed
        left.unlink()
    for path in plain:
        locked = _name_locked(path)
        with path.open("rb") as source:
            _replace(locked, _seal(source, path.stat().st_size, locked, key))
        if _hash(_open(locked, key)) != _hash(_read_pieces(path)):
            raise MedlibError(f"{path} changed while it was locked; it is left as it is: try again when nothing writes it.")
        path.unlink()
    return [_name_locked(path) for path in plain]


def unlock_workspace(folder: Path, key: bytes) -> list[Path]:
    """Turn every locked table of a folder back into the file it was. An interrupted call is repeated.

    Returns
    -------
    list of pathlib.Path
        The plain files made, byte for byte what was locked.

    Raises
    ------
    MedlibError
        The folder is not locked, the key is another, or a file is not as it was locked; that file stays locked, and so do those
        after it.
    """
    _read_marker(folder, key)
    made = []
    for locked in sorted(path for path in folder.glob(f"*{SUFFIX}") if path.name != MARKER):
        path = locked.with_name(locked.name.removesuffix(SUFFIX))
        _replace(path, _open(locked, key))
        locked.unlink()
        made.append(path)
    (folder / MARKER).unlink()
    return made


def read_locked(locked: Path, key: bytes) -> bytes:
    """Open one locked file in memory.

    Raises
    ------
    MedlibError
        The key is another, or the file is not as it was locked: changed, cut, renamed, or from another workspace.
    """
    return b"".join(_open(locked, key))


def write_locked(content: bytes, path: Path, key: bytes) -> Path:
    """Write what would be the file `path` locked, whole or not at all, and return the locked file; a plain one there is removed."""
    locked = _name_locked(path)
    _replace(locked, _seal(io.BytesIO(content), len(content), locked, key))
    path.unlink(missing_ok=True)
    return locked


def _name_locked(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _derive(key: bytes, salt: bytes, purpose: str) -> bytes:
    from cryptography.hazmat.primitives import hashes  # takes a fifth of a second: only where something is locked
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    return HKDF(hashes.SHA256(), 32, salt, f"medlib vault {VERSION}: {purpose}".encode()).derive(key)


def _prove(key: bytes, workspace: bytes) -> bytes:
    return hmac.digest(_derive(key, workspace, "marker"), MAGIC + bytes([VERSION]) + workspace, "sha256")


def _read_marker(folder: Path, key: bytes) -> bytes:
    """Return the workspace's identity once the key has proved right."""
    path = folder / MARKER
    if not path.is_file():
        raise MedlibError(f"{str(folder)!r} is no locked workspace, for it lacks {MARKER}; where the file was lost, run `medlib lock` there.")
    content = path.read_bytes()
    if len(content) != MARK.size or content[:6] != MAGIC:
        raise MedlibError(f"{path} is damaged; delete it and run `medlib lock {folder}`, which writes it anew.")
    _check_version(content[6], path)
    workspace, proof = MARK.unpack(content)[2:]
    if not hmac.compare_digest(proof, _prove(key, workspace)):
        raise MedlibError(f"The key does not fit the workspace {str(folder)!r}; give the one that it was locked with.")
    return workspace


def _read_workspace(folder: Path) -> bytes | None:
    """The identity that the locked files of a folder without its marker name; opening them shows whether it is true."""
    for locked in sorted(folder.glob(f"*{SUFFIX}")):
        return HEADER.unpack(_read_header(locked))[2]
    return None


def _check_version(version: int, path: Path) -> None:
    if version != VERSION:
        raise MedlibError(f"{path} was locked in format {version}, and this medlib knows format {VERSION}; use the medlib that locked it.")


def _read_header(locked: Path) -> bytes:
    with locked.open("rb") as file:
        header = file.read(HEADER.size)
    if len(header) < HEADER.size or header[:6] != MAGIC:
        raise MedlibError(f"{locked} is no locked file or lacks its beginning; take it from a backup.")
    _check_version(header[6], locked)
    return header


def _count_pieces(size: int) -> int:
    return max(1, -(-size // PIECE))


def _seal(source: BinaryIO, size: int, locked: Path, key: bytes) -> Iterator[bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    salt = secrets.token_bytes(32)
    header = HEADER.pack(MAGIC, VERSION, _read_marker(locked.parent, key), salt, size)
    cipher = AESGCM(_derive(key, salt, "file"))
    yield header
    for number in range(_count_pieces(size)):
        yield cipher.encrypt(number.to_bytes(12, "big"), source.read(PIECE), header + locked.name.encode())


def _open(locked: Path, key: bytes) -> Iterator[bytes]:
    """Give the pieces of a locked file; none that is not as it was sealed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    owner, header = _read_marker(locked.parent, key), _read_header(locked)
    _, _, workspace, salt, size = HEADER.unpack(header)
    if workspace != owner:
        raise MedlibError(f"{locked} was locked in another workspace; put the file of this one there.")
    whole = HEADER.size + size + TAG * _count_pieces(size)
    if (found := locked.stat().st_size) != whole:
        raise MedlibError(f"{locked} should hold {whole:,} bytes and holds {found:,}; take it from a backup.")
    cipher = AESGCM(_derive(key, salt, "file"))
    with locked.open("rb") as file:
        file.seek(HEADER.size)
        for number in range(_count_pieces(size)):
            try:
                yield cipher.decrypt(number.to_bytes(12, "big"), file.read(PIECE + TAG), header + locked.name.encode())
            except InvalidTag:
                raise MedlibError(f"{locked} is not as it was locked: changed, or another table under its name; take it from a backup.") from None


def _read_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _hash(pieces: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _replace(path: Path, pieces: Iterator[bytes] | list[bytes]) -> None:
    """Write a file under another name, bring it to the disk and give it its name: it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":  # what is deleted next must not outlast the new name
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
