"""Scores of classifiers that an evaluation trains on the samples."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.classifier import ClassifierSettings, steps_for, train_classifier
from models.metrics.images.image_set import Compared, ImageSet, mean_by_label, mean_of
from models.metrics.roc import detection_scores
from models.metrics.scores import Score, create_score
from models.placement import CPU
from models.training_callbacks import CheckStop

TSTR_EPOCHS = 20
TSTR_STEPS = (150, 300)
MAX_DETECTION_IMAGES = 2_000
DETECTION_EPOCHS = 5
DETECTION_STEPS = (60, 150)


def score_tstr(
    real: ImageSet,
    compared: Compared,
    names: list[str],
    seed: int,
    check_stop: CheckStop,
    device: torch.device = CPU,
) -> Score:
    """Score the accuracy, on the holdout, of a classifier that is trained on the samples only.

    This is TSTR: train on synthetic, test on real.
    """
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])

    def is_correct(image_set: ImageSet) -> Tensor:
        def batch(index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            return image_set.images[index], image_set.labels[index]

        count = len(image_set.images)
        network = train_classifier(
            batch,
            count,
            shape,
            len(names),
            ClassifierSettings(steps_for(TSTR_EPOCHS, count, TSTR_STEPS)),
            seed=seed,
            check_stop=check_stop,
            device=device,
        )
        predictions = network.predict(real.images, check_stop)[1].argmax(1)
        return predictions == real.labels

    correct = [is_correct(image_set) for image_set in compared]
    return create_score(
        "tstr_score",
        mean_of(correct[0]),
        real_reference=mean_of(correct[1]),
        naive_baseline=mean_of(correct[2]),
        per_label=mean_by_label(correct[0], real.labels, names),
    )


def score_detection(
    real: ImageSet,
    compared: Compared,
    seed: int,
    check_stop: CheckStop,
    device: torch.device = CPU,
) -> list[Score]:
    """Score a new critic that learns to distinguish samples from holdout images.

    Both sets have the same size. The critic is trained on one half and tested on the other.
    """
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])
    rng = np.random.default_rng(seed)

    def critic_outputs(image_set: ImageSet) -> tuple[Tensor, Tensor]:
        n = min(len(real.images), len(image_set.images), MAX_DETECTION_IMAGES)
        real_part, fake_part = (
            part.images[torch.from_numpy(rng.permutation(len(part.images))[:n])]
            for part in (real, image_set)
        )
        half = n // 2
        x = torch.cat([real_part[:half], fake_part[:half]])
        y = torch.arange(2 * half) // half
        steps = steps_for(DETECTION_EPOCHS, len(x), DETECTION_STEPS)
        network = train_classifier(
            lambda index: (x[index], y[index]),
            len(x),
            shape,
            2,
            ClassifierSettings(steps),
            seed=seed,
            check_stop=check_stop,
            device=device,
        )
        logits = [network.predict(part[half:], check_stop)[1] for part in (real_part, fake_part)]
        return logits[0][:, 1] - logits[0][:, 0], logits[1][:, 1] - logits[1][:, 0]

    return detection_scores([critic_outputs(image_set) for image_set in compared])
