"""Evaluation classifier for images."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.images.data import LabeledImages
from models.metrics.classifier import FEATURE_DIM, Classifier, ClassifierSettings, train_classifier


def never_stop() -> None:
    return


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 41), (1, 8, 128), (3, 64, 64)])
def test_images_of_any_size_have_equally_many_features(shape: tuple[int, int, int]) -> None:
    features, logits = Classifier(shape, 5, 4).eval().predict(torch.randn(3, *shape), never_stop)
    assert features.shape == (3, FEATURE_DIM)
    assert logits.shape == (3, 5)


def make_stripes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images with horizontal or vertical stripes, each with its own phase and noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    waves = 128 + 90 * np.sin(np.arange(12)[None] + rng.uniform(0, 6, (count, 1)))
    images = np.where(labels[:, None, None] == 1, waves[:, :, None], waves[:, None, :])
    images = images + rng.normal(0, 20, (count, 12, 12))
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int32)


def make_labeled_images(count: int, seed: int) -> LabeledImages:
    no_indices = np.empty(0, np.int64)
    return LabeledImages(*make_stripes(count, seed), no_indices, no_indices)


@pytest.mark.parametrize("shift", [0, 2])
def test_the_classifier_learns_separable_labels(shift: int) -> None:
    training, test = make_labeled_images(200, 1), make_labeled_images(100, 2)
    settings = ClassifierSettings(60, width=4, max_shift=shift)
    network = train_classifier(
        training.batch, 200, (1, 12, 12), 2, settings, seed=0, check_stop=never_stop
    )
    x, y = test.batch(np.arange(100))
    predicted: Tensor = network.predict(x, never_stop)[1].argmax(1)
    assert float((predicted == y).float().mean()) > 0.95
