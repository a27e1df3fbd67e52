"""Captions of pictures in any script, drawn with the fonts in `fonts`.

This module does not import torch.
"""

import math
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

FONTS = Path(__file__).parent / "fonts"
CAPTION_HEIGHT = 24
_FONT_SIZE = 16  # the size at which the bitmaps of Unifont are sharp
_BASELINE = 18
_MAX_CHARS = 200  # of a text; more never fit
_UNASSIGNED = "\U0010fffd"  # no font has a glyph for it
_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"  # invisible: they choose a form of the characters around them


class Run(NamedTuple):
    """Text of one font and one direction.

    The direction of digits and punctuation is None, until the letters around them decide it.
    """

    text: str
    font: ImageFont.FreeTypeFont
    right_to_left: bool | None

    @property
    def width(self) -> int:
        return math.ceil(self.font.getlength(self.text))  # a fraction would blur the next run


@lru_cache(maxsize=512)
def render_caption(text: str, max_width: int) -> Image.Image:
    r"""Return `text` as a mask of CAPTION_HEIGHT: 255 is text, 0 is background.

    A long text loses its middle. Control characters, and characters without a glyph in any font,
    are escaped as `\u2028`.
    """
    runs = _fit(_split_clusters(text), max_width)
    mask = Image.new("L", (_width(runs) + 1, CAPTION_HEIGHT))
    draw, left = ImageDraw.Draw(mask), 0
    for run in runs:
        text, direction = run.text, None
        if run.right_to_left and _shapes_text():
            direction = "rtl"  # mirrors brackets, too
        elif run.right_to_left and _direction(text):
            text = text[::-1]
        position = left, _BASELINE
        draw.text(position, text, fill=255, font=run.font, anchor="ls", direction=direction)
        left += run.width
    return mask


def _fit(clusters: Sequence[str], max_width: int) -> list[Run]:
    runs = _order_runs(_split_runs(clusters))
    kept = len(clusters)
    while (width := _width(runs)) > max_width and kept > 2:
        kept = min(kept - 1, int(kept * max_width / width))
        head, tail = clusters[: (kept + 1) // 2], clusters[len(clusters) - kept // 2 :]
        runs = _order_runs(_split_runs([*head, "…", *tail]))
    return runs


def _split_clusters(text: str) -> list[str]:
    """Split into characters that belong together: letters with marks, sequences of emoji."""
    clusters: list[str] = []
    if len(text) > _MAX_CHARS:
        text = f"{text[: _MAX_CHARS // 2]}…{text[-_MAX_CHARS // 2 :]}"
    for char in unicodedata.normalize("NFC", text):
        if clusters and (_extends(char) or clusters[-1].endswith(_ZERO_WIDTH_JOINER)):
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _extends(char: str) -> bool:
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    return unicodedata.category(char)[0] == "M" or char in "\u200c\u200d" or is_skin_tone


def _split_runs(clusters: Sequence[str]) -> list[Run]:
    """Choose the first font that has each cluster, and join neighbors of one font."""
    runs: list[Run] = []
    left_to_right = not any(map(_direction, clusters))
    for cluster in clusters:
        text, font = cluster, _find_font(cluster)
        if font is None:
            text, font = cluster.encode("unicode_escape").decode(), _load_fonts()[0]
        direction = False if left_to_right else _direction(text)
        if runs and runs[-1].font is font and runs[-1].right_to_left == direction:
            runs[-1] = runs[-1]._replace(text=runs[-1].text + text)
        else:
            runs.append(Run(text, font, direction))
    return runs


def _direction(text: str) -> bool | None:
    classes = {unicodedata.bidirectional(char) for char in text}
    if classes & {"R", "AL"}:
        return True
    return False if "L" in classes else None


def _order_runs(runs: list[Run]) -> list[Run]:
    """Resolve the directions and order the runs from left to right.

    This is the Unicode bidirectional algorithm without nesting. The first letter gives the
    direction of the whole text. Digits and punctuation take the direction of the letters around
    them if it is the same on both sides, else that of the text.
    """
    letters = [run.right_to_left for run in runs if run.right_to_left is not None]
    if True not in letters:
        return runs
    base = letters[0]
    before: list[bool | None] = []
    for run in runs:
        before.append(run.right_to_left if run.right_to_left is not None else [base, *before][-1])
    resolved: list[Run] = []
    after = base
    for run, left in zip(reversed(runs), reversed(before), strict=True):
        after = after if run.right_to_left is None else run.right_to_left
        resolved.append(run._replace(right_to_left=left if left == after else base))
    ordered: list[Run] = []
    for right_to_left, group in groupby(reversed(resolved), key=lambda run: run.right_to_left):
        part = list(group)
        part = part[::-1] if right_to_left else part
        ordered = part + ordered if base else ordered + part
    return ordered


@cache
def _shapes_text() -> bool:
    """Return whether Pillow joins letters and reverses right-to-left text: it needs FriBiDi."""
    return bool(features.check("raqm")) and bool(features.check("fribidi"))


def _width(runs: Sequence[Run]) -> int:
    return sum(run.width for run in runs)


@cache
def _load_fonts() -> list[ImageFont.FreeTypeFont]:
    """Open all fonts: Noto Sans first, and last Unifont, whose coarse glyphs cover most scripts."""
    names = sorted(path.name for path in FONTS.glob("Noto*.ttf"))
    names.sort(key=lambda name: (name != "NotoSans.ttf", name == "NotoEmoji.ttf"))
    return [ImageFont.truetype(FONTS / name, _FONT_SIZE) for name in [*names, "Unifont.otf"]]


@lru_cache(maxsize=4096)
def _find_font(cluster: str) -> ImageFont.FreeTypeFont | None:
    if any(_is_control(char) for char in cluster):
        return None
    return next((font for font in _load_fonts() if _has_glyphs(font, cluster)), None)


def _is_control(char: str) -> bool:
    """Return whether `char` is invisible, such as a line break or a mark that reverses text."""
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in _JOINERS


def _has_glyphs(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Return whether each character, except joiners, differs from a missing glyph."""
    return all(char in _JOINERS or _draw(font, char) != _draw(font, _UNASSIGNED) for char in text)


@lru_cache(maxsize=8192)
def _draw(font: ImageFont.FreeTypeFont, char: str) -> tuple[tuple[int, int], bytes]:
    mask = _without_shaping(font).getmask(char)
    return mask.size, bytes(mask)


@cache
def _without_shaping(font: ImageFont.FreeTypeFont) -> ImageFont.FreeTypeFont:
    """Return the font for single glyphs: shaping may replace one character by several."""
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
