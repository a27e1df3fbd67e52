"""Images changed a little: each transform does what its name says, and no more."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.augmentation.transforms import (
    RANGES,
    TRANSFORM_NAMES,
    YIQ,
    Transform,
    apply,
    default_transforms,
    transform_images,
)

GRAIN = (0, 0, 0)


def picture() -> NDArray[np.uint8]:
    """(9, 9) with one bright pixel, right of the middle."""
    image = np.zeros((9, 9), np.uint8)
    image[4, 6] = 200
    return image


def colours(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 190, (8, 8, 3), np.uint8)


def done(name: str, by: object, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return apply(image, [{"name": name, "by": by}], noise_key=GRAIN)


def bright(image: NDArray[np.uint8]) -> tuple[int, int]:
    row, column = np.unravel_index(image.argmax(), image.shape)
    return int(row), int(column)


def test_a_flip_mirrors_left_and_right() -> None:
    image = colours()
    assert np.array_equal(done("flip", True, image), image[:, ::-1])
    assert np.array_equal(done("flip", False, image), image)


def test_a_rotation_turns_around_the_middle_against_the_clock() -> None:
    assert bright(done("rotate", 90, picture())) == (2, 4)
    assert np.array_equal(done("rotate", 180, picture()), picture()[::-1, ::-1])


def test_a_shift_moves_down_and_right_by_shares_of_the_sides() -> None:
    assert bright(done("shift", [2 / 9, -1 / 9], picture())) == (6, 5)


def test_a_scale_enlarges_around_the_middle() -> None:
    assert bright(done("scale", 1.5, picture())) == (4, 7)
    assert bright(done("scale", 0.5, picture())) == (4, 5)


def test_beyond_the_edge_is_what_lies_at_it() -> None:
    image = np.full((9, 9), 255, np.uint8)
    assert np.array_equal(done("shift", [0.4, 0.4], image), image)


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(image @ YIQ[0], np.float64)


def chroma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(image @ YIQ[1:].T, np.float64)


def test_hue_turns_the_colours_and_leaves_the_brightness() -> None:
    image = colours()
    turned = done("hue", 25, image)
    assert np.abs(luma(turned) - luma(image)).max() < 1.5  # rounding to bytes
    angle = np.angle(chroma(turned) @ [1, 1j]) - np.angle(chroma(image) @ [1, 1j])
    far = np.abs(chroma(image)).max(-1) > 25  # near grey the angle says little
    assert np.allclose(np.rad2deg(angle[far]) % 360, 25, atol=4)


def test_saturation_scales_the_colours_and_leaves_the_brightness() -> None:
    image = colours()
    paler = done("saturation", 0.5, image)
    assert np.abs(luma(paler) - luma(image)).max() < 1.5
    assert np.allclose(chroma(paler), chroma(image) / 2, atol=1.5)


def test_brightness_adds_and_contrast_spreads_around_the_mean() -> None:
    image = colours()
    assert np.array_equal(done("brightness", 0.2, image), image + 51)
    spread = done("contrast", 0.5, image)
    assert abs(luma(spread).mean() - luma(image).mean()) < 0.5
    assert luma(spread).std() == pytest.approx(luma(image).std() / 2, rel=0.02)


def test_noise_has_the_deviation_that_it_says_and_is_the_same_again() -> None:
    image = np.full((64, 64), 128, np.uint8)
    noisy = done("noise", 0.1, image)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    assert np.array_equal(noisy, done("noise", 0.1, image))
    other = apply(image, [{"name": "noise", "by": 0.1}], noise_key=(0, 0, 1))
    assert not np.array_equal(noisy, other)


@pytest.mark.parametrize("name", TRANSFORM_NAMES)
def test_every_transform_keeps_within_its_range_and_its_recipe_makes_the_image_again(
    name: str,
) -> None:
    real = np.stack([colours(seed) for seed in range(5)])
    transform = Transform(name, RANGES[name].default)  # type: ignore[arg-type]
    numbers = np.arange(40)
    made = list(transform_images(real, [transform], seed=3, label=1, indices=numbers))
    assert {item.source_index for item in made} == set(range(5))
    assert any(not np.array_equal(item.pixels, real[item.source_index]) for item in made)
    for number, item in zip(numbers, made, strict=True):
        (step,) = item.steps
        middle = 1 if name in ("scale", "saturation", "contrast") else 0
        assert np.abs(np.asarray(step["by"], float) - middle).max() <= max(
            transform.max_magnitude, 1
        )
        if name != "flip":
            assert np.abs(np.asarray(step["by"], float) - middle).max() <= transform.max_magnitude
        again = apply(real[item.source_index], item.steps, noise_key=(3, 1, int(number)))
        assert np.array_equal(again, item.pixels)


def test_an_image_depends_on_its_number_and_not_on_how_many_are_made() -> None:
    real = np.stack([colours(seed) for seed in range(5)])
    together = list(
        transform_images(real, default_transforms(3), seed=3, label=1, indices=np.arange(10))
    )
    (alone,) = transform_images(real, default_transforms(3), seed=3, label=1, indices=np.array([7]))
    assert np.array_equal(alone.pixels, together[7].pixels)
    assert alone.steps == together[7].steps
    (other,) = transform_images(real, default_transforms(3), seed=3, label=2, indices=np.array([7]))
    assert not np.array_equal(other.pixels, alone.pixels)
