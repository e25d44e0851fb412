"""Photographs read safely: whatever a file holds, it becomes a picture of one form or one clear sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from medlib.errors import MedlibError

#: Files that count as pictures, by their endings.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
#: Larger pictures are refused before they are unpacked: a file of few bytes can claim billions of pixels.
MOST_PIXELS = 50_000_000


def read_photo(file: Path | BinaryIO, side: int) -> np.ndarray:
    """Read a photograph, whole and in colour.

    It is turned upright as its camera noted; transparent parts become grey; grey, CMYK and 16-bit pictures are brought to 8-bit
    RGB. The longer side is scaled to `side`, and grey is added where the other is shorter, so that nothing is cut or stretched.

    Parameters
    ----------
    file : Path or binary file
        One that is open already is named "The picture" in errors.
    side : int
        Pixels of the picture's side.

    Returns
    -------
    numpy.ndarray
        Shape (side, side, 3), RGB, 0 to 255.

    Raises
    ------
    MedlibError
        There is no such file, it is no picture, it is cut off, or it has more than `MOST_PIXELS`.
    """
    name = file if isinstance(file, str | Path) else "The picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures larger than Pillow likes; ours are refused below
            with Image.open(file) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise MedlibError(f"{name} has {picture.width * picture.height:,} pixels; scale it to {MOST_PIXELS:,} or fewer.")
                return np.asarray(ImageOps.pad(_to_rgb(ImageOps.exif_transpose(picture)), (side, side), color=(128, 128, 128)))
    except FileNotFoundError:
        raise MedlibError(f"There is no file {file}.") from None
    except Image.DecompressionBombError:
        raise MedlibError(f"{name} claims more pixels than can be true; scale it to {MOST_PIXELS:,} or fewer.") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # all that Pillow's readers raise on broken files
        raise MedlibError(f"{name} is not a whole picture that can be read ({type(error).__name__}); export it anew as PNG or JPEG.") from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Eight bits a colour; deeper pictures keep their range from black to white."""
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        deep = np.asarray(picture, float)
        if not np.isfinite(deep).all():
            raise ValueError("not a number")
        top = 65_535.0 if picture.mode.startswith("I") else max(float(deep.max()), 1e-9)
        return Image.fromarray((255 * deep / top).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture)
    return picture.convert("RGB")


def list_photos(folder: Path) -> pd.DataFrame:
    """List a user's photographs: one folder a state, its pictures in it.

    Returns
    -------
    pandas.DataFrame
        file (Path), state (the folder's name), in the order of their names.

    Raises
    ------
    MedlibError
        There is no such folder, it has fewer than two folders with pictures, or a folder has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MedlibError(f"There is no folder {folder}.")
    states = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(states) < 2:
        raise MedlibError(f"{folder} must hold a folder of pictures for each state, at least two; got {len(states)}.")
    found = {state: sorted(path for path in state.iterdir() if path.suffix.lower() in ENDINGS) for state in states}
    if empty := [state.name for state, files in found.items() if not files]:
        raise MedlibError(f"Every state's folder in {folder} must hold pictures ({', '.join(ENDINGS)}); {empty[0]!r} has none.")
    return pd.DataFrame([(path, state.name) for state, files in found.items() for path in files], columns=["file", "state"])


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, and the pictures in folders and the folders below, in the order of their names.

    Raises
    ------
    MedlibError
        A folder holds no pictures.
    """
    found = []
    for path in paths:
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not inside:
            raise MedlibError(f"{path} must hold pictures ({', '.join(ENDINGS)}); it has none.")
        found += inside
    return found


def read_photos(files: Iterable[Path | BinaryIO], side: int) -> tuple[np.ndarray, dict[int, str]]:
    """Read many photographs; those that cannot be read become grey, and the reasons are told.

    Returns
    -------
    pictures : numpy.ndarray
        Shape (files, side, side, 3), RGB, 0 to 255.
    refused : dict of int to str
        Position of each file that could not be read -> why.
    """
    files, refused = list(files), {}
    pictures = np.full((len(files), side, side, 3), 128, np.uint8)
    for number, file in enumerate(files):
        try:
            pictures[number] = read_photo(file, side)
        except MedlibError as error:
            refused[number] = str(error)
    return pictures, refused
