"""The images that an order names, one batch of the model's fixed shape at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models import noise
from models.images.order import Order
from models.images.sampling import ImageSampler
from models.rarity import TooRare

Numbers = NDArray[np.int64]
Pixels = NDArray[np.uint8]

ATTEMPTS = 1_000  # candidates for one image, at most
AT_ONCE = 64  # candidates for one image in one round


def drawn(
    generator: ImageSampler,
    seed: noise.Seeds,
    labels: Numbers,
    numbers: Numbers,
    truncation: float | NDArray[np.float32] = 1.0,
    attempts: noise.Streams = 0,
) -> Pixels:
    """An image for each label and number, at most a batch of them; seed, truncation and attempt are
    those of all or (N,). The batch is always filled up, so that an image does not depend on how
    many others were asked for with it."""
    n = len(labels)
    padded = np.zeros(generator.batch, np.int64)
    padded[:n] = labels
    z = np.zeros((generator.batch, generator.noise_size), np.float32)
    z[:n] = noise.normals(seed, numbers, generator.noise_size, noise.stream_of(attempts))
    chooses = int(generator.prior is not None)  # the first number is a choice, and has no middle
    z[:n, chooses:] *= np.reshape(np.asarray(truncation, np.float32), (-1, 1))
    return generator.draw(z, padded)[:n]


@dataclass(frozen=True)
class Chosen:
    pixels: Pixels
    acceptance: float  # share of the candidates that would have done


def chosen(
    draw: Callable[[Numbers, Numbers, Numbers], Pixels],
    agreement: Callable[[Pixels, Numbers], NDArray[np.float64]],
    labels: Numbers,
    numbers: Numbers,
    *,
    least: float,
    batch: int,
) -> Chosen:
    """For each label and number the first of its candidates whose `agreement` with the label is at
    least `least`. `draw` makes images of labels, numbers and attempts, any number of them.

    Raises TooRare when an image has no such candidate.
    """
    found: list[Pixels | None] = [None] * len(labels)
    pending = np.arange(len(labels))
    attempt, tried, met = 0, 0, 0
    while len(pending):
        if attempt >= ATTEMPTS:
            made = len(labels) - len(pending)
            raise TooRare(made, len(labels), met / tried)
        # The first round tells how many candidates an image takes.
        at_once = 1 if attempt == 0 else int(np.clip(batch // len(pending), 1, AT_ONCE))
        each = np.repeat(pending, at_once)
        attempts = np.tile(np.arange(attempt, attempt + at_once), len(pending))
        pixels = draw(labels[each], numbers[each], attempts)
        kept = (agreement(pixels, labels[each]) >= least).reshape(len(pending), at_once)
        tried, met = tried + kept.size, met + int(kept.sum())
        for row in np.flatnonzero(kept.any(1)):
            found[pending[row]] = pixels[row * at_once + kept[row].argmax()]
        pending = pending[~kept.any(1)]
        attempt += at_once
    return Chosen(np.stack([image for image in found if image is not None]), met / tried)


def all_drawn(
    generator: ImageSampler, order: Order, least: float | None = None
) -> Iterator[tuple[Numbers, Pixels]]:
    """Labels and images in order, a batch at a time; with `least`, images that are `chosen` by the
    model's own classifier. Raises TooRare then, as images are drawn."""
    for labels, numbers in order.batches(generator.batch):
        if least is None:
            yield labels, drawn(generator, order.seed, labels, numbers)
        else:
            draw = partial(_in_batches, generator, order.seed)
            agreement = generator.scorer.agreement
            found = chosen(draw, agreement, labels, numbers, least=least, batch=generator.batch)
            yield labels, found.pixels


def _in_batches(
    generator: ImageSampler, seed: int, labels: Numbers, numbers: Numbers, attempts: Numbers
) -> Pixels:
    size = generator.batch
    parts = [slice(at, at + size) for at in range(0, len(labels), size)]
    return np.concatenate(
        [drawn(generator, seed, labels[p], numbers[p], attempts=attempts[p]) for p in parts]
    )
