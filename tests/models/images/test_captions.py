"""Captions of pictures: any script is readable, and nothing becomes a replacement box."""

import unicodedata

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.images import captions
from models.images.captions import CAPTION_HEIGHT, render_caption


def pixels(text: str, max_width: int = 400) -> NDArray[np.uint8]:
    return np.asarray(render_caption(text, max_width))


def draw(font: ImageFont.FreeTypeFont, text: str, left: float = 1) -> NDArray[np.uint8]:
    picture = Image.new("L", (200, CAPTION_HEIGHT))
    ImageDraw.Draw(picture).text((left, 18), text, fill=255, font=font, anchor="ls")
    return np.asarray(picture)


def has_missing_glyph(picture: NDArray[np.uint8], font: ImageFont.FreeTypeFont) -> bool:
    """Return whether the box that `font` draws for a missing character is in the picture."""
    boxes = [draw(font, "\U0010fffd", 1 + eighth / 8) for eighth in range(8)]
    if not boxes[0].any():  # the font draws nothing
        return False
    return any(contains(picture, trim(box)) for box in boxes)


def trim(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    left, top, right, bottom = Image.fromarray(picture).getbbox() or (0, 0, 0, 0)
    return picture[top:bottom, left:right]


def contains(picture: NDArray[np.uint8], part: NDArray[np.uint8]) -> bool:
    if part.shape[1] > picture.shape[1]:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(picture.astype(np.int16), part.shape)
    # Letters may be between two pixels.
    return bool((np.abs(windows - part).max(axis=(2, 3)) < 40).any())


NAMES = [
    "Größe",
    "漢字",
    "スニーカー",
    "운동화",
    "🐈",
    "👩\u200d🔬 🏳\ufe0f\u200d🌈",
    "قطة كبيرة",
    "עברית",
    "हिन्दी",
    "ภาษาไทย น้ำ",
    "Ελληνικά",
    "Жук",
    "հայերեն",
    "ქართული",
    "አማርኛ",
    "ខ្មែរ",
    "မြန်မာ",
    "བོད་ཡིག",
    "ᏣᎳᎩ",
    "→ ∑ ★ ♥",
    "Tiếng Việt",
    "\U00020bb7",
    "\U000f0000",
    "a\u202eb\x00\n",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_script_has_no_replacement_box(name: str) -> None:
    picture = pixels(name)
    assert picture.shape[0] == CAPTION_HEIGHT
    assert picture.max() == 255
    assert not any(has_missing_glyph(picture, font) for font in captions._load_fonts())


@pytest.mark.parametrize("name", NAMES[:-3])
def test_a_name_in_any_script_is_drawn_in_its_script(name: str) -> None:
    escaped = name.encode("unicode_escape").decode()
    assert pixels(name).shape[1] < pixels(escaped).shape[1]


def test_a_replacement_box_is_recognized() -> None:
    fonts = captions._load_fonts()
    recognized = [has_missing_glyph(draw(font, "W\U0010fffdi\U0010fffdW"), font) for font in fonts]
    assert recognized == [bool(draw(font, "\U0010fffd").any()) for font in fonts]
    assert recognized[0]
    assert recognized[-1]


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a\u202eb", r"a\u202eb"), ("a\nb", r"a\nb"), ("\U000f0000", r"\U000f0000")],
)
def test_a_character_without_a_glyph_is_escaped(name: str, escaped: str) -> None:
    assert np.array_equal(pixels(name), pixels(escaped))


def test_equivalent_spellings_have_the_same_picture() -> None:
    decomposed = unicodedata.normalize("NFD", "Größe")
    assert np.array_equal(pixels(decomposed), pixels("Größe"))


def test_right_to_left_names_are_drawn_from_the_right() -> None:
    mixed = pixels("קט big")
    word, latin = pixels("קט"), pixels("big")
    assert np.array_equal(mixed[:, : latin.shape[1] - 1], latin[:, :-1])
    assert np.array_equal(mixed[:, -word.shape[1] :], word)


@pytest.mark.parametrize("name", ["W" * 256, "😀" * 100, "猫" * 300, "a_long_name " * 10])
def test_a_long_name_is_shortened(name: str) -> None:
    assert 60 < pixels(name, 120).shape[1] <= 121


def test_a_long_name_loses_its_middle() -> None:
    name = f"first {'x' * 90} last"
    assert np.array_equal(pixels(name, 120), pixels(name.replace("xxxx", "xyyx"), 120))
    assert not np.array_equal(pixels(name, 120), pixels(name.replace("last", "lost"), 120))
    assert not np.array_equal(pixels(name, 120), pixels(name.replace("first", "fist"), 120))
