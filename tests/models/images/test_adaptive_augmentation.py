"""Random transforms of the images that a critic sees, and their probability."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.images.adaptive_augmentation import MAX_PROB, NUM_UNIFORMS, AdaptiveAugmentation
from models.images.data import LabeledImages
from models.images.mirror_symmetry import is_mirror_symmetric
from tests.models.images.tiny import make_images, make_settings

TARGET = 0.5
GATES = {"shift": 0, "scale": 3, "rotation": 5, "mirror": 7, "brightness": 8, "contrast": 10}


def make_augmentation(channels: int = 1, *, flips: bool = True) -> AdaptiveAugmentation:
    images = make_images(make_settings(8, 12, channels))
    augmentation = AdaptiveAugmentation(images, batch_size=8, target=TARGET)
    augmentation.flips = flips
    augmentation.prob.fill_(MAX_PROB)
    return augmentation


def make_batch(channels: int = 1) -> Tensor:
    return torch.rand(8, channels, 8, 12).mul(2).sub(1)


def only(transform: str) -> Tensor:
    """Return numbers that select one transform, with magnitudes that are not 0."""
    uniforms = torch.full((8, NUM_UNIFORMS), 0.99)
    uniforms[:, GATES[transform]] = 0.0
    return uniforms


@pytest.mark.parametrize("channels", [1, 3])
def test_images_do_not_change_while_the_probability_is_0(channels: int) -> None:
    augmentation, images = make_augmentation(channels), make_batch(channels)
    augmentation.prob.zero_()
    assert torch.equal(augmentation.transform(images, torch.zeros(8, NUM_UNIFORMS)), images)


@pytest.mark.parametrize("transform", GATES)
def test_each_transform_changes_the_image(transform: str) -> None:
    images = make_batch()
    assert not torch.allclose(make_augmentation().transform(images, only(transform)), images)


def test_transforms_do_what_their_names_say() -> None:
    augmentation, images = make_augmentation(), make_batch()
    mirrored = augmentation.transform(images, only("mirror"))
    torch.testing.assert_close(mirrored, images.flip(3))
    shifted = augmentation.transform(images, only("shift"))  # by an eighth of each side
    torch.testing.assert_close(shifted[:, :, :-1, :-1], images[:, :, 1:, 1:])
    brighter = augmentation.transform(images, only("brightness"))
    torch.testing.assert_close(brighter, images + 0.98 * 0.2)
    gray = torch.full((8, 3, 8, 12), 0.5)
    saturated = torch.full((8, NUM_UNIFORMS), 0.99)
    saturated[:, 12] = 0.0
    torch.testing.assert_close(make_augmentation(3).transform(gray, saturated), gray)


def test_images_that_are_not_symmetric_are_not_mirrored() -> None:
    augmentation, images = make_augmentation(flips=False), make_batch()
    assert torch.equal(augmentation.transform(images, only("mirror")), images)


def test_gradients_pass_through_the_transforms() -> None:
    """Compare with the transpose of a map that is linear in the image, without brightness."""
    augmentation, images = make_augmentation(), make_batch().requires_grad_(True)
    uniforms, direction = torch.rand(8, NUM_UNIFORMS), make_batch()
    uniforms[:, GATES["brightness"]] = 1.0
    transformed = augmentation.transform(images, uniforms)
    (gradient,) = torch.autograd.grad((transformed * direction).sum(), images)
    torch.testing.assert_close((gradient * images).sum(), (transformed * direction).sum())
    assert (gradient != 0).float().mean() > 0.5


def test_the_probability_follows_the_critic() -> None:
    augmentation, zeros = make_augmentation(), torch.zeros(8)
    augmentation.prob.zero_()
    probs = []
    for real_score in [1.0] * 3_000 + [-1.0] * 20:  # the critic overfits, then fails
        augmentation.observe(0, zeros + real_score, zeros)
        augmentation.update()
        probs.append(float(augmentation.prob))
    assert probs[0] == 0  # the running mean is still below the target
    assert probs[10] > probs[5] > 0
    assert max(probs) == pytest.approx(MAX_PROB)
    assert probs[-1] < MAX_PROB


def test_parts_of_a_batch_count_as_the_whole_batch() -> None:
    whole, parts = make_augmentation(), make_augmentation()
    real, fake = torch.randn(8), torch.randn(8)
    whole.observe(0, real, fake)
    for start, size in ((0, 3), (3, 3), (6, 2)):
        part = slice(start, start + size)
        parts.observe(start, real[part], fake[part])
    whole.update()
    parts.update()
    assert torch.equal(whole.mean_sign, parts.mean_sign)


def make_data(*, mirrors: bool, per_label: int) -> LabeledImages:
    """Return noisy images with a bright block on the left and, with `mirrors`, on either side."""
    rng, count = np.random.default_rng(0), 3 * per_label
    pixels = rng.integers(0, 200, (count, 8, 8), np.uint8)
    pixels[:, 2:6, 1:3] += 50
    if mirrors:
        pixels[::2] = pixels[::2, :, ::-1]
    labels = np.arange(count, dtype=np.int32) % 3
    return LabeledImages.split(pixels, labels, holdout_fraction=0, seed=1)


@pytest.mark.parametrize(
    ("mirrors", "per_label", "expected"), [(True, 60, True), (False, 60, False), (True, 4, False)]
)
def test_the_mean_image_of_a_label_shows_whether_flips_are_harmless(
    mirrors: bool, per_label: int, expected: bool
) -> None:
    data = make_data(mirrors=mirrors, per_label=per_label)
    assert is_mirror_symmetric(data.pixels, data.labels, data.train) == expected
