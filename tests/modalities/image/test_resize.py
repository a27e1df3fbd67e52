"""Resizing of images to one size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.limits import Limits
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    encode_image,
    png_folders,
    random_images,
    random_png,
    write_npz,
    write_zip,
)


def pngs_of_sizes(*sizes: tuple[int, int]) -> dict[str, bytes]:
    return {f"cats/{i}.png": random_png(i, *size) for i, size in enumerate(sizes)}


def two_tone(height: int, width: int) -> bytes:
    """Return a PNG whose left half is black and whose right half is white."""
    image = np.zeros((height, width), np.uint8)
    image[:, width // 2 :] = 255
    return encode_image(image)


def test_mixed_sizes_are_rejected_with_the_sizes_and_the_resize_options(
    tmp_path: Path, reject: Reject
) -> None:
    sizes = [(8, 8)] * 9 + [(9, 8)] * 5 + [(8, 9)] * 3 + [(10, 10)] * 2 + [(11, 11)] * 2 + [(12, 8)]
    error = reject(write_zip(tmp_path / "a.zip", pngs_of_sizes(*sizes)))
    assert error.code == "mixed_sizes"
    assert "8x8 (9), 9x8 (5), 8x9 (3), 10x10 (2), 11x11 (2) and 1 more" in error.detail
    (fault,) = error.field_errors
    assert fault.pointer == "/meta/resize"
    assert fault.allowed == ("crop", "pad", "stretch")


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_resize_uses_the_most_common_size(resize: str, tmp_path: Path, read: Read) -> None:
    sizes = [(20, 10), (16, 24), *[(12, 14)] * 9]
    summary, x, _ = read(write_zip(tmp_path / "a.zip", pngs_of_sizes(*sizes)), resize=resize)
    assert (summary.height, summary.width) == (12, 14)
    assert x.shape == (11, 12, 14)


def test_resize_uses_the_median_size_without_a_common_size(tmp_path: Path, read: Read) -> None:
    sizes = [(10 + i, 40 - i) for i in range(11)]
    summary, *_ = read(write_zip(tmp_path / "a.zip", pngs_of_sizes(*sizes)), resize="crop")
    assert (summary.height, summary.width) == (15, 35)


def test_resize_to_an_explicit_size(tmp_path: Path, read: Read) -> None:
    sizes = [(20, 10), *[(12, 14)] * 9]
    source = write_zip(tmp_path / "a.zip", pngs_of_sizes(*sizes))
    summary, *_ = read(source, resize="pad", size=(16, 8))
    assert (summary.height, summary.width) == (16, 8)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"size": (16, 16)}, "resize_needed"),
        ({"size": (7, 16), "resize": "pad"}, "size_out_of_range"),
        ({"size": (16, 257), "resize": "pad"}, "size_out_of_range"),
        ({"size": (16,), "resize": "pad"}, "size_out_of_range"),
        ({"size": (16.5, 16), "resize": "pad"}, "size_out_of_range"),
        ({"resize": "squash"}, "resize_unknown"),
    ],
)
def test_invalid_resize_options_are_rejected(
    options: dict[str, object], code: str, tmp_path: Path, reject: Reject
) -> None:
    assert reject(write_zip(tmp_path / "a.zip", png_folders("cats")), **options).code == code


def test_crop_keeps_the_center(tmp_path: Path, read: Read) -> None:
    image = np.zeros((16, 32), np.uint8)
    image[:, 8:24] = 200
    files = {"cats/x.png": encode_image(image)} | png_folders("dogs")
    _, x, _ = read(write_zip(tmp_path / "a.zip", files), resize="crop", size=(16, 16))
    np.testing.assert_array_equal(x[0], np.full((16, 16), 200))


def test_stretch_keeps_the_whole_image(tmp_path: Path, read: Read) -> None:
    files = {"cats/x.png": two_tone(16, 64)} | png_folders("dogs")
    _, x, _ = read(write_zip(tmp_path / "a.zip", files), resize="stretch", size=(16, 16))
    assert x[0, :, :6].max() < 20
    assert x[0, :, 10:].min() > 235


@pytest.mark.parametrize(("color", "border"), [((10, 200, 30), (10, 200, 30)), (77, 77)])
def test_pad_fills_with_the_median_color_of_the_border(
    color: object, border: object, tmp_path: Path, read: Read
) -> None:
    mode = "L" if isinstance(color, int) else "RGB"
    image = Image.new(mode, (32, 16), color)  # type: ignore[arg-type]
    image.paste(0 if mode == "L" else (0, 0, 0), (8, 4, 24, 12))
    files = {"cats/x.png": encode_image(image)} | png_folders("dogs")
    _, x, _ = read(write_zip(tmp_path / "a.zip", files), resize="pad", size=(16, 16))
    np.testing.assert_array_equal(x[0, :4], np.broadcast_to(np.array(border), x[0, :4].shape))
    assert x[0, 8, 8].max() < 20


def test_image_with_an_extreme_aspect_ratio_can_be_resized(tmp_path: Path, read: Read) -> None:
    files = {"cats/x.png": encode_image(Image.new("L", (8, 5_000), 9))} | png_folders("dogs")
    for resize in ("crop", "pad", "stretch"):
        _, x, _ = read(write_zip(tmp_path / "a.zip", files), resize=resize, size=(16, 16))
        assert np.abs(x[0].astype(int) - 9).max() <= 1


def test_images_above_the_maximum_size_need_a_resize(
    tmp_path: Path, read: Read, reject: Reject
) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("cats", height=257, width=128))
    error = reject(source)
    assert error.code == "resize_needed"
    assert "257x128" in error.detail
    assert error.field_errors[0].allowed == ("crop", "pad", "stretch")
    summary, *_ = read(source, resize="crop")
    assert (summary.height, summary.width) == (128, 64)
    summary, *_ = read(source, resize="crop", size=(256, 128))
    assert (summary.height, summary.width) == (256, 128)


def test_images_of_the_minimum_and_maximum_size_are_accepted(tmp_path: Path, read: Read) -> None:
    for side in (8, 256):
        source = write_zip(tmp_path / "a.zip", png_folders("cats", height=side, width=side))
        assert read(source).summary.height == side


def test_resize_does_not_change_images_of_one_size(tmp_path: Path, read: Read) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("cats", height=9, width=10))
    _, plain, _ = read(source)
    _, resized, _ = read(source, resize="crop")
    np.testing.assert_array_equal(plain, resized)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_resized(channels: int, tmp_path: Path, read: Read, reject: Reject) -> None:
    source = write_npz(
        tmp_path / "a.npz",
        x=random_images(12, height=320, width=160, channels=channels),
        y=np.arange(12),
    )
    assert reject(source).code == "resize_needed"
    summary, x, _ = read(source, resize="pad", size=(32, 32))
    assert x.shape == (12, 32, 32) + (3,) * (channels == 3)
    assert read(source, resize="stretch").summary.height == 128
    assert summary.height == 32


def test_splits_of_different_sizes_are_mixed_sizes(
    tmp_path: Path, read: Read, reject: Reject
) -> None:
    source = write_npz(
        tmp_path / "a.npz", x_train=random_images(12), x_test=random_images(3, height=9)
    )
    assert reject(source).code == "mixed_sizes"
    assert read(source, resize="crop").x.shape == (15, 8, 8)


def test_limits_of_the_operator_are_enforced(tmp_path: Path, reject: Reject) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("cats", height=16, width=16))
    assert reject(source, limits=Limits(image_size_max=15)).code == "resize_needed"
    assert reject(source, limits=Limits(image_size_min=17)).code == "image_too_small"
    assert reject(source, limits=Limits(image_side=15)).code == "image_too_large"
    assert reject(source, limits=Limits(image_pixels=255)).code == "image_too_large"
    assert reject(source, limits=Limits(images_max=9)).code == "too_many_images"
    assert reject(source, limits=Limits(images_min=11)).code == "too_few_images"
