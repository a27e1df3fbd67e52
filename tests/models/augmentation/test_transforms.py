"""Image transforms: each one changes the image as its name says, within its range."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.augmentation.transform_ranges import (
    RANGES,
    Transform,
    TransformName,
    default_transforms,
)
from models.augmentation.transforms import YIQ, apply, transform_images

NOISE_KEY = (0, 0, 0)


def make_one_pixel_image() -> NDArray[np.uint8]:
    """Return a (9, 9) image with one bright pixel, right of the center."""
    image = np.zeros((9, 9), np.uint8)
    image[4, 6] = 200
    return image


def make_color_image(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 190, (8, 8, 3), np.uint8)


def apply_one(name: str, magnitude: object, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return apply(image, [{"name": name, "by": magnitude}], noise_key=NOISE_KEY)


def find_bright_pixel(image: NDArray[np.uint8]) -> tuple[int, int]:
    row, column = np.unravel_index(image.argmax(), image.shape)
    return int(row), int(column)


def test_a_flip_mirrors_left_and_right() -> None:
    image = make_color_image()
    assert np.array_equal(apply_one("flip", True, image), image[:, ::-1])
    assert np.array_equal(apply_one("flip", False, image), image)


def test_a_rotation_turns_around_the_center_counterclockwise() -> None:
    assert find_bright_pixel(apply_one("rotate", 90, make_one_pixel_image())) == (2, 4)
    assert np.array_equal(
        apply_one("rotate", 180, make_one_pixel_image()), make_one_pixel_image()[::-1, ::-1]
    )


def test_a_shift_moves_down_and_right_by_fractions_of_the_sides() -> None:
    assert find_bright_pixel(apply_one("shift", [2 / 9, -1 / 9], make_one_pixel_image())) == (6, 5)


def test_a_scale_enlarges_around_the_center() -> None:
    assert find_bright_pixel(apply_one("scale", 1.5, make_one_pixel_image())) == (4, 7)
    assert find_bright_pixel(apply_one("scale", 0.5, make_one_pixel_image())) == (4, 5)


def test_pixels_outside_the_image_repeat_its_edge() -> None:
    image = np.full((9, 9), 255, np.uint8)
    assert np.array_equal(apply_one("shift", [0.4, 0.4], image), image)


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(image @ YIQ[0], np.float64)


def chroma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(image @ YIQ[1:].T, np.float64)


def test_hue_rotates_the_colors_and_keeps_the_brightness() -> None:
    image = make_color_image()
    rotated = apply_one("hue", 25, image)
    assert np.abs(luma(rotated) - luma(image)).max() < 1.5  # rounding to bytes
    angle = np.angle(chroma(rotated) @ [1, 1j]) - np.angle(chroma(image) @ [1, 1j])
    colorful = np.abs(chroma(image)).max(-1) > 25  # the hue of nearly gray pixels is imprecise
    assert np.allclose(np.rad2deg(angle[colorful]) % 360, 25, atol=4)


def test_saturation_scales_the_colors_and_keeps_the_brightness() -> None:
    image = make_color_image()
    paler = apply_one("saturation", 0.5, image)
    assert np.abs(luma(paler) - luma(image)).max() < 1.5
    assert np.allclose(chroma(paler), chroma(image) / 2, atol=1.5)


def test_brightness_adds_and_contrast_spreads_around_the_mean() -> None:
    image = make_color_image()
    assert np.array_equal(apply_one("brightness", 0.2, image), image + 51)
    spread = apply_one("contrast", 0.5, image)
    assert abs(luma(spread).mean() - luma(image).mean()) < 0.5
    assert luma(spread).std() == pytest.approx(luma(image).std() / 2, rel=0.02)


def test_noise_has_the_given_deviation_and_is_reproducible() -> None:
    image = np.full((64, 64), 128, np.uint8)
    noisy = apply_one("noise", 0.1, image)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    assert np.array_equal(noisy, apply_one("noise", 0.1, image))
    other_noise = apply(image, [{"name": "noise", "by": 0.1}], noise_key=(0, 0, 1))
    assert not np.array_equal(noisy, other_noise)


@pytest.mark.parametrize("name", RANGES)
def test_every_transform_stays_in_its_range_and_its_steps_reproduce_the_image(
    name: TransformName,
) -> None:
    real = np.stack([make_color_image(seed) for seed in range(5)])
    transform = Transform(name, RANGES[name].default)
    indices = np.arange(40)
    transformed = list(transform_images(real, [transform], seed=3, label=1, indices=indices))
    assert {item.source_index for item in transformed} == set(range(5))
    assert any(not np.array_equal(item.pixels, real[item.source_index]) for item in transformed)
    for index, item in zip(indices, transformed, strict=True):
        (step,) = item.steps
        neutral = 1 if name in ("scale", "saturation", "contrast") else 0
        assert np.abs(np.asarray(step["by"], float) - neutral).max() <= max(
            transform.max_magnitude, 1
        )
        if name != "flip":
            assert np.abs(np.asarray(step["by"], float) - neutral).max() <= transform.max_magnitude
        reproduced = apply(real[item.source_index], item.steps, noise_key=(3, 1, int(index)))
        assert np.array_equal(reproduced, item.pixels)


def test_an_image_depends_on_its_index_and_not_on_the_number_of_images() -> None:
    real = np.stack([make_color_image(seed) for seed in range(5)])
    together = list(
        transform_images(real, default_transforms(3), seed=3, label=1, indices=np.arange(10))
    )
    (single,) = transform_images(
        real, default_transforms(3), seed=3, label=1, indices=np.array([7])
    )
    assert np.array_equal(single.pixels, together[7].pixels)
    assert single.steps == together[7].steps
    (other_label,) = transform_images(
        real, default_transforms(3), seed=3, label=2, indices=np.array([7])
    )
    assert not np.array_equal(other_label.pixels, single.pixels)
