"""A font with Chinese words, for pictures, as matplotlib's own lacks them, and for paper."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from medlib.errors import MedlibError

#: The Python package that brings Noto Sans SC, and its file there.
PACKAGE, FILE = "pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"
#: Families of the system that do as well, the most wanted first.
FAMILIES = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei",
            "WenQuanYi Zen Hei", "SimHei")


def find_font() -> str | Path:
    """Find a font with simplified Chinese: the package's file, else the name of a family of the system.

    Raises
    ------
    MedlibError
        There is none.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found and (path := Path(found.origin).parent / FILE).is_file():
        return path
    from matplotlib import font_manager
    installed = {font.name for font in font_manager.fontManager.ttflist}
    for family in FAMILIES:
        if family in installed:
            return family
    raise MedlibError("A Chinese report needs a font with Chinese characters for its pictures, and none was found; install one with "
                      "`pip install pylopdf-fonts-zh-cn`, or the system's package fonts-noto-cjk.")


def lend_font(folder: Path) -> dict[str, str]:
    """Let a program that is started find the package's font, too, where fontconfig says which there are.

    Parameters
    ----------
    folder : pathlib.Path
        Where a file of settings is put; it has to stay as long as the program runs.

    Returns
    -------
    dict of str to str
        What the program's environment has to hold; nothing where the system's own fonts have to do.
    """
    found = importlib.util.find_spec(PACKAGE)
    if sys.platform != "linux" or not found:
        return {}
    usual = os.environ.get("FONTCONFIG_FILE") or "/etc/fonts/fonts.conf"
    settings = folder / "fonts.conf"
    settings.write_text(f'<?xml version="1.0"?>\n<fontconfig><include ignore_missing="yes">{escape(usual)}</include>'
                        f"<dir>{escape(str(Path(found.origin).parent))}</dir></fontconfig>\n", encoding="utf-8")
    return {"FONTCONFIG_FILE": str(settings)}


def use_font() -> str:
    """Let matplotlib write Chinese, and with its own font what that one lacks; returns the family's name."""
    import matplotlib
    from matplotlib import font_manager

    font = find_font()
    if isinstance(font, Path):
        family = font_manager.FontProperties(fname=font).get_name()
        if family not in {known.name for known in font_manager.fontManager.ttflist if known.fname == str(font)}:
            font_manager.fontManager.addfont(font)
        font = family
    matplotlib.rcParams["font.family"] = [font, "DejaVu Sans"]
    return font
