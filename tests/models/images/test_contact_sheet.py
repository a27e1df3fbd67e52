"""Contact sheets: images are enlarged by whole factors and grouped under captions."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from models.images.contact_sheet import Section, draw_grid, draw_sheet, enlarge

GAP = 4


def random_images(count: int, side: int = 8, channels: int = 1) -> NDArray[np.uint8]:
    """Return dark images, so that none is mistaken for the white background."""
    shape = (count, side, side, 3)[: 4 if channels == 3 else 3]
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_is_enlarged_by_a_whole_factor(channels: int) -> None:
    images = random_images(4, channels=channels)
    sheet = draw_sheet([Section("", images)], 4)
    side = (sheet.shape[1] - 5 * GAP) // 4
    assert side % 8 == 0
    assert side >= 64
    for column, image in enumerate(images):
        left = GAP + column * (side + GAP)
        cell = sheet[GAP : GAP + side, left : left + side]
        assert np.array_equal(cell, image.repeat(side // 8, 0).repeat(side // 8, 1))


@pytest.mark.parametrize(("side", "scale"), [(8, 32), (100, 2), (256, 1), (300, 1)])
def test_an_enlarged_image_stays_within_the_side(side: int, scale: int) -> None:
    image = random_images(1, side)[0]
    assert np.array_equal(enlarge(image, 256), image.repeat(scale, 0).repeat(scale, 1))


def test_a_grid_of_ten_small_labels_fits_a_screen() -> None:
    names = [f"label {i}" for i in range(10)]
    height, width = draw_grid(random_images(100), np.repeat(np.arange(10), 10), names).shape
    assert 600 <= height <= 900
    assert 600 <= width <= 1000


def test_each_label_starts_a_row_with_its_caption() -> None:
    images = random_images(20, 32)
    sheet = draw_grid(images, np.repeat([0, 2], [17, 3]), ["first", "none", "third"])
    side = 32
    rows = [GAP + row * (side + GAP) for row in range(3)]
    assert sheet.shape[0] == rows[-1] + side + GAP
    left = sheet.shape[1] - 16 * (side + GAP)
    for row, image in zip(rows, (images[0], images[16], images[17]), strict=True):
        assert np.array_equal(sheet[row : row + side, left : left + side], image)
    has_caption = [(sheet[row : row + side, : left - GAP] < 128).any() for row in rows]
    assert has_caption == [True, False, True]


def test_the_captions_of_labels_differ() -> None:
    names = ["Größe", "漢字", "🐈"]
    sheet = draw_grid(random_images(3, 64), np.arange(3), names)
    captions = [sheet[GAP + i * 68 : 68 + i * 68, : -64 - GAP] for i in range(3)]
    assert all(not np.array_equal(a, b) for a, b in pairwise(captions))


def test_images_without_labels_fill_a_square() -> None:
    sheet = draw_grid(random_images(9), np.zeros(9, np.int64), [])
    assert sheet.shape[0] == sheet.shape[1]


def test_many_labels_are_arranged_side_by_side() -> None:
    names = [f"label {i}" for i in range(100)]
    height, width = draw_grid(random_images(100), np.arange(100), names).shape
    assert height < 3 * width


def test_large_images_are_reduced_to_the_limit() -> None:
    sections = [Section("", random_images(2, 256, 3))]
    assert draw_sheet(sections, 2).shape[1] == 2 * 256 + 3 * GAP
    assert draw_sheet(sections, 2, max_side=96).shape[1] == 2 * 86 + 3 * GAP
