"""Letters of any script in figures: the fonts of this machine that have them, or their codes."""

from __future__ import annotations

import functools
import itertools
import sys
import unicodedata

from matplotlib import font_manager

FIRST = "DejaVu Sans"  # comes with matplotlib
OTHERS = (  # that are common on Linux, macOS and Windows, for what the first one lacks
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC"),
    *(
        "WenQuanYi Micro Hei",
        "WenQuanYi Zen Hei",
        "Droid Sans Fallback",
        "IPAGothic",
        "NanumGothic",
    ),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Segoe UI Emoji"),
    *("Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Hebrew"),
    *("Noto Sans Bengali", "Noto Sans Tamil", "Noto Emoji", "Symbola", "FreeSans"),
)


@functools.cache
def families() -> tuple[str, ...]:
    """The fonts that text is drawn with: each letter by the first one that has it."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (FIRST, *(name for name in OTHERS if name in installed))


def legible(text: str) -> str:
    """`text`, with the codes of those letters in brackets that no font here has: "[732B]"; one
    message says so."""
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFC", text)
    if all(map(_known, letters)):
        return letters
    _tell()
    return "".join(
        "".join(part) if known else f"[{' '.join(f'{ord(letter):X}' for letter in part)}]"
        for known, part in itertools.groupby(letters, key=_known)
    )


def _known(letter: str) -> bool:
    return ord(letter) in _letters()


@functools.cache
def _letters() -> frozenset[int]:
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in families())
    return frozenset().union(*(font.get_charmap() for font in fonts))


@functools.cache
def _tell() -> None:
    print(
        "note: no font of this machine has all letters of the names in figures; codes stand in "
        "their place (a font such as Noto Sans CJK shows them: fonts-noto-cjk)",
        file=sys.stderr,
    )
