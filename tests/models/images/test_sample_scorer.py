"""What a model's own networks think of images, and images that are chosen by it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.checkpoint import unpack
from models.errors import AcceptanceRateTooLow
from models.images import batched_sampling
from models.images.sampling import ImageSampler
from models.images.sampling_plan import plan_by_count
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_images, make_settings


def learned(run_to: TrainTo, folder: Path, **explicit: object) -> ImageSampler:
    path = folder / "model"
    path.write_bytes(run_to(make_settings(**explicit), 40).saved[40].model)
    return ImageSampler.load(*unpack(path))


def test_a_model_file_keeps_the_networks_that_tell_labels_and_real_images(
    run_to: TrainTo, tmp_path: Path
) -> None:
    sampler = learned(run_to, tmp_path, feature_lr=0.02)
    data = make_images(make_settings())
    pixels, labels = np.asarray(data.pixels), np.asarray(data.labels, np.int64)
    right = sampler.scorer.label_confidence(pixels, labels)
    wrong = sampler.scorer.label_confidence(pixels, (labels + 1) % 3)
    assert right.mean() > wrong.mean() + 0.2
    real = sampler.scorer.realness(pixels, labels)
    assert ((real > 0) & (real < 1)).all()
    assert np.array_equal(sampler.scorer.label_confidence(pixels[7:9], labels[7:9]), right[7:9])


@pytest.mark.parametrize(
    ("explicit", "labels", "truth"),
    [
        ({"architecture": "cvae"}, True, False),
        ({"architecture": "dcgan"}, True, True),
        ({"classes": 1}, False, True),
    ],
)
def test_a_model_scores_with_what_its_run_had(
    run_to: TrainTo, tmp_path: Path, explicit: dict[str, object], labels: bool, truth: bool
) -> None:
    scorer = learned(run_to, tmp_path, **explicit).scorer
    assert (scorer.has_classifier, scorer.has_critic) == (labels, truth)


Brightness = NDArray[np.float64]


def bright(pixels: NDArray[np.uint8], _labels: NDArray[np.int64]) -> Brightness:
    return np.asarray(pixels.mean((1, 2)) / 255)


def test_each_chosen_image_is_the_first_of_its_own_candidates(
    run_to: TrainTo, tmp_path: Path
) -> None:
    sampler = replace(learned(run_to, tmp_path), batch_size=8)
    labels, numbers = np.zeros(12, np.int64), np.arange(100, 112)

    def draw(
        y: NDArray[np.int64], n: NDArray[np.int64], attempts: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        each = [
            batched_sampling.generate_batch(sampler, 7, y[[i]], n[[i]], attempts=attempts[[i]])
            for i in range(len(n))
        ]
        return np.concatenate(each)

    least = float(np.median(bright(draw(labels, numbers, np.zeros(12, np.int64)), labels)))
    found = batched_sampling.rejection_sample(
        draw, bright, labels, numbers, min_confidence=least, batch_size=8
    )
    assert 0 < found.acceptance_rate < 1
    for i in range(12):
        attempt = 0
        while True:
            image = draw(labels[[i]], numbers[[i]], np.array([attempt]))
            if bright(image, labels)[0] >= least:
                break
            attempt += 1
        assert np.array_equal(found.pixels[i], image[0])


def test_what_no_candidate_meets_ends_with_the_share_that_was_met(
    run_to: TrainTo, tmp_path: Path
) -> None:
    sampler = learned(run_to, tmp_path)
    order = plan_by_count(3, seed=1, offset=0, label_weights=(1.0, 1.0, 1.0), balance_labels=True)
    with pytest.raises(AcceptanceRateTooLow) as caught:
        list(batched_sampling.iter_batches(sampler, order, min_confidence=1.1))
    assert (caught.value.accepted, caught.value.requested, caught.value.acceptance_rate) == (
        0,
        3,
        0.0,
    )
