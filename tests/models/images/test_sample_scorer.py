"""Scores by the classifier and critic of a model, and rejection sampling by score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.checkpoint import unpack
from models.errors import AcceptanceRateTooLow
from models.images import batched_sampling
from models.images.sampling import ImageSampler
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_images, make_settings


def train_sampler(train_to: TrainTo, folder: Path, **overrides: object) -> ImageSampler:
    path = folder / "model"
    path.write_bytes(train_to(make_settings(**overrides), 40).saved[40].model)
    return ImageSampler.load(*unpack(path))


def test_a_model_file_includes_the_scoring_networks(train_to: TrainTo, tmp_path: Path) -> None:
    sampler = train_sampler(train_to, tmp_path, feature_lr=0.02)
    data = make_images(make_settings())
    pixels, labels = np.asarray(data.pixels), np.asarray(data.labels, np.int64)
    true_confidence = sampler.scorer.label_confidence(pixels, labels)
    false_confidence = sampler.scorer.label_confidence(pixels, (labels + 1) % 3)
    assert true_confidence.mean() > false_confidence.mean() + 0.2
    realness = sampler.scorer.realness(pixels, labels)
    assert ((realness > 0) & (realness < 1)).all()
    assert np.array_equal(
        sampler.scorer.label_confidence(pixels[7:9], labels[7:9]), true_confidence[7:9]
    )


@pytest.mark.parametrize(
    ("overrides", "has_classifier", "has_critic"),
    [
        ({"architecture": "cvae"}, True, False),
        ({"architecture": "dcgan"}, True, True),
        ({"classes": 1}, False, True),
    ],
)
def test_a_model_scores_with_the_networks_of_its_run(
    train_to: TrainTo,
    tmp_path: Path,
    overrides: dict[str, object],
    has_classifier: bool,
    has_critic: bool,
) -> None:
    scorer = train_sampler(train_to, tmp_path, **overrides).scorer
    assert (scorer.has_classifier, scorer.has_critic) == (has_classifier, has_critic)


Brightness = NDArray[np.float64]


def brightness(pixels: NDArray[np.uint8], _labels: NDArray[np.int64]) -> Brightness:
    return np.asarray(pixels.mean((1, 2)) / 255)


def test_each_accepted_image_is_its_first_candidate_that_passes(
    train_to: TrainTo, tmp_path: Path
) -> None:
    sampler = replace(train_sampler(train_to, tmp_path), batch_size=8)
    labels, indices = np.zeros(12, np.int64), np.arange(100, 112)

    def generate(
        y: NDArray[np.int64], indices: NDArray[np.int64], attempts: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        images = [
            batched_sampling.generate_batch(
                sampler, 7, y[[i]], indices[[i]], attempts=attempts[[i]]
            )
            for i in range(len(indices))
        ]
        return np.concatenate(images)

    min_brightness = float(
        np.median(brightness(generate(labels, indices, np.zeros(12, np.int64)), labels))
    )
    accepted = batched_sampling.rejection_sample(
        generate, brightness, labels, indices, min_confidence=min_brightness, batch_size=8
    )
    assert 0 < accepted.acceptance_rate < 1
    for i in range(12):
        attempt = 0
        while True:
            image = generate(labels[[i]], indices[[i]], np.array([attempt]))
            if brightness(image, labels)[0] >= min_brightness:
                break
            attempt += 1
        assert np.array_equal(accepted.pixels[i], image[0])


def test_rejection_sampling_fails_with_its_acceptance_rate() -> None:
    labels = np.zeros(3, np.int64)
    with pytest.raises(AcceptanceRateTooLow) as error:
        batched_sampling.rejection_sample(
            lambda labels, _indices, _attempts: np.zeros((len(labels), 2, 2), np.uint8),
            brightness,
            labels,
            np.arange(3),
            min_confidence=0.1,
            batch_size=8,
        )
    assert (error.value.accepted, error.value.requested, error.value.acceptance_rate) == (
        0,
        3,
        0.0,
    )
