"""Scores of how much samples reveal about single training images."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.images.data import LabeledImages
from models.metrics.images.image_set import mean_of
from models.metrics.membership_inference import attack_membership
from models.metrics.scores import Estimate, Score, create_score
from models.metrics.statistics import histogram
from models.placement import upload
from models.training_callbacks import CheckStop

MAX_NEAREST_QUERIES = 1_000  # images that are compared with all training images
NEIGHBORS = 10
MAX_ATTACKED_IMAGES = 2_000  # training images, and as many holdout images
ATTACK_IMAGE_SIZE = 16  # maximum side in pixels for the membership inference attack
CHUNK_SIZE = 4_000
# A sample that is closer to a training image than 99 % of the holdout images is a near duplicate.
NEAR_DUPLICATE_QUANTILE = 0.01
MAX_MEMORIZED_DISTANCE_RATIO = 0.5  # relative to the contrast of the training image


@dataclass(frozen=True)
class NearestTrainImages:
    """Comparison of Q samples with their nearest training images."""

    indices: NDArray[np.int64]  # (Q,) of the training images, in the dataset
    near_duplicate_rate: Estimate
    memorization_rate: Estimate
    real_reference: tuple[float, float]  # both rates of holdout images
    distances: dict[str, list[float]] | None  # histogram for holdout images and samples

    def scores(self) -> list[Score]:
        near_duplicate_reference, memorization_reference = self.real_reference
        return [
            create_score(
                "near_duplicate_rate",
                self.near_duplicate_rate,
                real_reference=near_duplicate_reference,
            ),
            create_score(
                "memorization_rate",
                self.memorization_rate,
                real_reference=memorization_reference,
            ),
        ]


def compare_with_train_images(
    data: LabeledImages, fake: Tensor, real: Tensor, rng: np.random.Generator, check_stop: CheckStop
) -> NearestTrainImages:
    """Detect copies of training images by distances in pixels.

    A near duplicate is closer to a training image than 99 % of the holdout images are. Smooth
    samples are, too. So a memorized sample must meet two more conditions:

    - It is much closer to one training image than to the next ones (as in Carlini et al. 2023,
      2301.13188).
    - Its distance is less than half of the contrast of the training image, which is the distance of
      that image to a uniform one. Blurred samples are close to the few smooth training images.

    One half of the holdout images sets the thresholds, and the other half gives the reference.
    """
    queries = fake[:MAX_NEAREST_QUERIES]
    holdout = real[torch.from_numpy(rng.permutation(len(real))[:MAX_NEAREST_QUERIES])]
    distances, indices = _nearest(data, torch.cat([queries, holdout]).flatten(1), check_stop)
    isolation = distances[:, 0] / distances[:, 1:].mean(1).clamp(min=1e-9)
    n, half = len(queries), (len(queries) + len(distances)) // 2
    max_distance, max_isolation = (
        values[n:half].quantile(NEAR_DUPLICATE_QUANTILE) for values in (distances[:, 0], isolation)
    )
    is_near = distances[:, 0] < max_distance
    nearest_images = data.batch(indices.numpy())[0].cpu().flatten(1)
    contrast = nearest_images.std(1, correction=0) * nearest_images.shape[1] ** 0.5
    is_memorized = (
        is_near
        & (isolation < max_isolation)
        & (distances[:, 0] < MAX_MEMORIZED_DISTANCE_RATIO * contrast)
    )
    return NearestTrainImages(
        indices[:n].numpy(),
        mean_of(is_near[:n]),
        mean_of(is_memorized[:n]),
        (float(is_near[half:].float().mean()), float(is_memorized[half:].float().mean())),
        histogram(*(side.double().numpy() for side in (distances[n:, 0], distances[:n, 0]))),
    )


def score_membership(
    data: LabeledImages,
    real: Tensor,
    fake: Tensor,
    naive_samples: Tensor,
    rng: np.random.Generator,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Attack the samples by distances in pixels of downscaled images.

    Features are unsuitable: the classifier was trained on the training images, so its features
    distinguish them from holdout images. One half of the holdout is attacked together with as many
    training images; the other half is the attacker's reference.
    """
    order = torch.from_numpy(rng.permutation(len(real)))
    n = min(len(real) // 2, MAX_ATTACKED_IMAGES)
    chosen = rng.choice(data.train, min(n, len(data.train)), replace=False)
    groups = data.batch(np.sort(chosen))[0], real[order[:n]], real[order[n:]], fake, naive_samples
    return attack_membership(
        *map(_downscale, groups),
        nearest=partial(_nearest_distances, check_stop=check_stop),
        seed=seed,
    )


def _downscale(images: Tensor) -> Tensor:
    height, width = (min(side, ATTACK_IMAGE_SIZE) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images, (height, width)).flatten(1)


def _nearest_distances(items: Tensor, others: Tensor, check_stop: CheckStop) -> Tensor:
    """Return (N,) distances from each item to the nearest of the others."""
    distances = []
    for part in items.split(CHUNK_SIZE // 8):
        check_stop()
        distances.append(torch.cdist(part, others).min(1).values)
    return torch.cat(distances)


@torch.inference_mode()
def _nearest(data: LabeledImages, queries: Tensor, check_stop: CheckStop) -> tuple[Tensor, Tensor]:
    """Find the training images that are closest to Q flattened images.

    Returns:
        (Q, NEIGHBORS) distances in ascending order, and (Q,) indices of the closest images.
    """
    queries = upload(queries, data.device)
    query_norms = queries.square().sum(1, keepdim=True)
    best = torch.full((len(queries), 0), 0.0, device=data.device)
    index = torch.full((len(queries), 0), 0, device=data.device)
    # The model may have been trained on unlabeled images, with pseudo-labels.
    candidates = np.sort(np.concatenate([data.train, data.unlabeled]))
    for start in range(0, len(candidates), CHUNK_SIZE):
        check_stop()
        part = candidates[start : start + CHUNK_SIZE]
        images = data.batch(part)[0].flatten(1)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a . b: one matrix product instead of Q x N differences.
        squared = (query_norms + images.square().sum(1) - 2 * queries @ images.T).clamp(min=0)
        best = torch.cat([best, squared], 1)
        candidate_index = upload(torch.from_numpy(part), data.device)
        index = torch.cat([index, candidate_index.expand(len(queries), -1)], 1)
        k = min(NEIGHBORS, best.shape[1])
        best, order = best.topk(k, dim=1, largest=False)
        index = index.gather(1, order)
    return best.sqrt().cpu(), index[:, 0].cpu()
