"""The images that an order names, one batch of the model's fixed shape at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models import noise
from models.errors import AcceptanceRateTooLow
from models.images.sampling import ImageSampler
from models.images.sampling_plan import ImageSamplingPlan

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]

MAX_ATTEMPTS = 1_000  # candidates for one image, at most
MAX_CANDIDATES_PER_ROUND = 64  # candidates for one image in one round


def generate_batch(
    sampler: ImageSampler,
    seed: noise.Seeds,
    labels: Indices,
    indices: Indices,
    truncation: float | NDArray[np.float32] = 1.0,
    attempts: noise.Streams = 0,
) -> Pixels:
    """An image for each label and number, at most a batch of them; seed, truncation and attempt are
    those of all or (N,). The batch is always filled up, so that an image does not depend on how
    many others were asked for with it."""
    n = len(labels)
    padded = np.zeros(sampler.batch_size, np.int64)
    padded[:n] = labels
    z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
    z[:n] = noise.normals(seed, indices, sampler.noise_size, noise.attempt_stream(attempts))
    chooses = int(sampler.prior is not None)  # the first number is a choice, and has no middle
    z[:n, chooses:] *= np.reshape(np.asarray(truncation, np.float32), (-1, 1))
    return sampler.sample(z, padded)[:n]


@dataclass(frozen=True)
class FilteredBatch:
    pixels: Pixels
    acceptance_rate: float  # share of the candidates that would have done


def rejection_sample(
    generate: Callable[[Indices, Indices, Indices], Pixels],
    label_confidence: Callable[[Pixels, Indices], NDArray[np.float64]],
    labels: Indices,
    indices: Indices,
    *,
    min_confidence: float,
    batch_size: int,
) -> FilteredBatch:
    """For each label and number the first of its candidates whose `agreement` with the label is at
    least `least`. `draw` makes images of labels, numbers and attempts, any number of them.

    Raises TooRare when an image has no such candidate.
    """
    found: list[Pixels | None] = [None] * len(labels)
    pending = np.arange(len(labels))
    attempt, tried, met = 0, 0, 0
    while len(pending):
        if attempt >= MAX_ATTEMPTS:
            made = len(labels) - len(pending)
            raise AcceptanceRateTooLow(made, len(labels), met / tried)
        # The first round tells how many candidates an image takes.
        at_once = (
            1
            if attempt == 0
            else int(np.clip(batch_size // len(pending), 1, MAX_CANDIDATES_PER_ROUND))
        )
        each = np.repeat(pending, at_once)
        attempts = np.tile(np.arange(attempt, attempt + at_once), len(pending))
        pixels = generate(labels[each], indices[each], attempts)
        kept = (label_confidence(pixels, labels[each]) >= min_confidence).reshape(
            len(pending), at_once
        )
        tried, met = tried + kept.size, met + int(kept.sum())
        for row in np.flatnonzero(kept.any(1)):
            found[pending[row]] = pixels[row * at_once + kept[row].argmax()]
        pending = pending[~kept.any(1)]
        attempt += at_once
    return FilteredBatch(np.stack([image for image in found if image is not None]), met / tried)


def iter_batches(
    sampler: ImageSampler, plan: ImageSamplingPlan, min_confidence: float | None = None
) -> Iterator[tuple[Indices, Pixels]]:
    """Labels and images in order, a batch at a time; with `least`, images that are `chosen` by the
    model's own classifier. Raises TooRare then, as images are drawn."""
    for labels, numbers in plan.batches(sampler.batch_size):
        if min_confidence is None:
            yield labels, generate_batch(sampler, plan.seed, labels, numbers)
        else:
            draw = partial(_in_batches, sampler, plan.seed)
            agreement = sampler.scorer.label_confidence
            found = rejection_sample(
                draw,
                agreement,
                labels,
                numbers,
                min_confidence=min_confidence,
                batch_size=sampler.batch_size,
            )
            yield labels, found.pixels


def _in_batches(
    generator: ImageSampler, seed: int, labels: Indices, numbers: Indices, attempts: Indices
) -> Pixels:
    size = generator.batch_size
    parts = [slice(at, at + size) for at in range(0, len(labels), size)]
    return np.concatenate(
        [
            generate_batch(generator, seed, labels[p], numbers[p], attempts=attempts[p])
            for p in parts
        ]
    )
