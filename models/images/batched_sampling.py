"""Image generation in batches of the sampler's fixed shape, with optional rejection sampling."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import noise
from models.errors import AcceptanceRateTooLow
from models.images.sampling import ImageSampler

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]

MAX_ATTEMPTS = 1_000  # attempts per image before rejection sampling fails
MAX_CANDIDATES_PER_ROUND = 64  # per image


def generate_batch(
    sampler: ImageSampler,
    seed: noise.Seeds,
    labels: Indices,
    indices: Indices,
    truncation: float | NDArray[np.float32] = 1.0,
    attempts: noise.Streams = 0,
) -> Pixels:
    """Generate one image per label and index, at most a batch of them.

    Seed, truncation and attempts are one value for all images, or (N,). The batch is always padded
    to its full size: an image must not depend on the number of other images in the request.
    """
    n = len(labels)
    padded = np.zeros(sampler.batch_size, np.int64)
    padded[:n] = labels
    z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
    z[:n] = noise.normals(seed, indices, sampler.noise_size, noise.attempt_stream(attempts))
    # With a prior, z[0] selects the mixture component: truncation does not apply to it.
    first_truncated = int(sampler.prior is not None)
    z[:n, first_truncated:] *= np.reshape(np.asarray(truncation, np.float32), (-1, 1))
    return sampler.sample(z, padded)[:n]


@dataclass(frozen=True)
class FilteredBatch:
    pixels: Pixels
    acceptance_rate: float  # share of all candidates that reached the minimum confidence


def rejection_sample(
    generate: Callable[[Indices, Indices, Indices], Pixels],
    label_confidence: Callable[[Pixels, Indices], NDArray[np.float64]],
    labels: Indices,
    indices: Indices,
    *,
    min_confidence: float,
    batch_size: int,
) -> FilteredBatch:
    """Return, per label and index, the first candidate with at least `min_confidence`.

    `generate` maps (labels, indices, attempts) to images, for any number of them.

    Raises:
        AcceptanceRateTooLow: An image has no such candidate in MAX_ATTEMPTS attempts.
    """
    accepted: list[Pixels | None] = [None] * len(labels)
    pending = np.arange(len(labels))
    attempt, candidate_count, accepted_count = 0, 0, 0
    while len(pending):
        if attempt >= MAX_ATTEMPTS:
            raise AcceptanceRateTooLow(
                len(labels) - len(pending),
                len(labels),
                accepted_count / candidate_count,
                "Lower `min_label_confidence`.",
            )
        # Many images need only one candidate. Later rounds fill the batch with candidates of the
        # images that are left.
        attempts_per_image = (
            1
            if attempt == 0
            else int(np.clip(batch_size // len(pending), 1, MAX_CANDIDATES_PER_ROUND))
        )
        candidates = np.repeat(pending, attempts_per_image)
        attempts = np.tile(np.arange(attempt, attempt + attempts_per_image), len(pending))
        pixels = generate(labels[candidates], indices[candidates], attempts)
        is_accepted = (label_confidence(pixels, labels[candidates]) >= min_confidence).reshape(
            len(pending), attempts_per_image
        )
        candidate_count += is_accepted.size
        accepted_count += int(is_accepted.sum())
        for row in np.flatnonzero(is_accepted.any(1)):
            accepted[pending[row]] = pixels[row * attempts_per_image + is_accepted[row].argmax()]
        pending = pending[~is_accepted.any(1)]
        attempt += attempts_per_image
    return FilteredBatch(
        np.stack([image for image in accepted if image is not None]),
        accepted_count / candidate_count,
    )
