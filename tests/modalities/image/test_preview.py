"""Preview image of a dataset."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.modalities.image.conftest import Read
from tests.modalities.image.factories import random_images, write_npz


def open_preview(tmp_path: Path) -> Image.Image:
    with Image.open(tmp_path / "out" / "preview.png") as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def test_preview_has_a_row_of_images_for_each_label(tmp_path: Path, read: Read) -> None:
    x = np.zeros((60, 8, 8), np.uint8)
    x[:, :4] = (20 * (1 + np.arange(60) % 3))[:, None, None]
    x[:, 4:] = np.arange(60)[:, None, None]
    read(write_npz(tmp_path / "a.npz", x=x, y=np.arange(60) % 3))
    pixels = np.asarray(open_preview(tmp_path))[..., 0]
    assert pixels.shape[0] == 3 * 84 + 4
    cells = pixels[:, -10 * 84 :]
    for row in range(3):
        assert (cells[4 + row * 84 : 44 + row * 84, :80] == 20 * (row + 1)).all()
        shown = [int(cells[50 + row * 84, 10 + column * 84]) for column in range(10)]
        assert shown == sorted(set(shown))
        assert {value % 3 for value in shown} == {row}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 100, 128])
def test_preview_size_stays_in_range_for_every_image_size(
    side: int, channels: int, tmp_path: Path, read: Read
) -> None:
    x = random_images(12, height=side, width=side, channels=channels)
    read(write_npz(tmp_path / "a.npz", x=x, y=np.arange(12)))
    width, height = open_preview(tmp_path).size
    assert 300 < width < 2_000
    assert 300 < height < 3_000


def test_preview_shows_at_most_twenty_labels(tmp_path: Path, read: Read) -> None:
    read(write_npz(tmp_path / "a.npz", x=random_images(50), y=np.arange(50)))
    assert open_preview(tmp_path).height == 20 * 84 + 4


def test_unlabeled_images_fill_the_preview_rows(tmp_path: Path, read: Read) -> None:
    read(write_npz(tmp_path / "a.npz", x=random_images(25)))
    assert open_preview(tmp_path).height == 3 * 84 + 4


@pytest.mark.parametrize("label", ["W" * 256, "\u202eevil", "日本語", "a/b\\c", "😀" * 100])
def test_any_label_can_be_rendered(label: str, tmp_path: Path, read: Read) -> None:
    read(write_npz(tmp_path / "a.npz", x=random_images(12), y=[label] * 12))
    assert open_preview(tmp_path).width < 1_100


def test_preview_shows_no_images_of_the_test_split(tmp_path: Path, read: Read) -> None:
    white = np.full((12, 8, 8), 255, np.uint8)
    read(write_npz(tmp_path / "a.npz", x_train=np.zeros_like(white), x_test=white))
    assert np.asarray(open_preview(tmp_path))[4:68, 4:68].max() == 0
