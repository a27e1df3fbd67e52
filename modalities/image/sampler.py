"""Sampler of images, whose batches several requests can share.

The items of a batch are pixels (N, H, W[, 3]).
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.image.request import ImagePlan, InterpolationPlan
from modalities.label_plan import LabeledBatch
from modalities.sampling import Sampler, scores_unavailable
from modalities.turns import PendingItems, Turns
from models.checkpoint import unpack
from models.device import resolve_device
from models.errors import AcceptanceRateTooLow
from models.images.batched_sampling import generate_batch, rejection_sample
from models.images.interpolation import LatentEndpoint, interpolate
from models.images.sampling import ImageSampler

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]

# Images that are requested ahead, while earlier ones are encoded and sent.
PREFETCH_BYTES = 4 * 2**20
PREFETCH_BATCHES = 16


class ImagePlanSampler(Sampler):
    """Sampler of ImagePlan; it is also the source of the batches that requests share."""

    def __init__(self, sampler: ImageSampler) -> None:
        self._sampler = sampler
        self.batch_size = sampler.batch_size

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "ImagePlanSampler":
        """Load a model file to a device.

        Raises:
            UnreadableCheckpoint: The file is not an image model.
        """
        return cls(ImageSampler.load(*unpack(path), resolve_device(device)))

    @property
    def bytes(self) -> int:
        return self._sampler.bytes

    def generate(self, *columns: NDArray[Any]) -> Pixels:
        """Generate an image per seed, label, index, truncation and attempt."""
        seeds, labels, indices, truncation, attempts = columns
        return generate_batch(self._sampler, seeds, labels, indices, truncation, attempts)

    def draw(self, plan: ImagePlan | InterpolationPlan, turns: Turns) -> Iterator[LabeledBatch]:
        if isinstance(plan, InterpolationPlan):
            return self._draw_interpolation(plan, turns)
        if plan.min_label_confidence is None:
            return self._draw_all(plan, turns)
        return self._draw_accepted(plan, plan.min_label_confidence, turns)

    def _draw_all(self, plan: ImagePlan, turns: Turns) -> Iterator[LabeledBatch]:
        batches = plan.indices.batches(self.batch_size)
        submitted: deque[tuple[Indices, PendingItems]] = deque()
        batch_count = 1  # a single batch at first, so that a response starts as soon as possible
        while True:
            if parts := list(islice(batches, batch_count)):
                labels, indices = (np.concatenate(part) for part in zip(*parts, strict=True))
                submitted.append((labels, self._submit(turns, plan, labels, indices)))
                if len(submitted) == 1:  # the next ones are generated while these are encoded
                    continue
            elif not submitted:
                return
            labels, pending = submitted.popleft()
            pixels = pending.result()
            batch_bytes = self.batch_size * pixels[0].nbytes
            batch_count = max(1, min(PREFETCH_BATCHES, PREFETCH_BYTES // batch_bytes))
            yield LabeledBatch(labels, pixels)

    def _draw_accepted(
        self, plan: ImagePlan, min_confidence: float, turns: Turns
    ) -> Iterator[LabeledBatch]:
        """Each image is the first of its candidates with a label confidence of `min_confidence`."""
        if not self._sampler.scorer.has_classifier:
            raise scores_unavailable("The model has no label classifier.", "/min_label_confidence")

        def generate(labels: Indices, indices: Indices, attempts: Indices) -> Pixels:
            return self._submit(turns, plan, labels, indices, attempts).result()

        def label_confidence(pixels: Pixels, labels: Indices) -> NDArray[np.float64]:
            with turns.take():
                return self._sampler.scorer.label_confidence(pixels, labels)

        for labels, indices in plan.indices.batches(self.batch_size):
            try:
                accepted = rejection_sample(
                    generate,
                    label_confidence,
                    labels,
                    indices,
                    min_confidence=min_confidence,
                    batch_size=self.batch_size,
                )
            except AcceptanceRateTooLow as error:
                error.pointer = "/min_label_confidence"
                raise
            yield LabeledBatch(labels, accepted.pixels, accepted.acceptance_rate)

    def _draw_interpolation(self, plan: InterpolationPlan, turns: Turns) -> Iterator[LabeledBatch]:
        ends = tuple(
            LatentEndpoint(seed, label, index) for label, seed, index in (plan.start, plan.end)
        )
        with turns.take():
            pixels = interpolate(self._sampler, (ends[0], ends[1]), plan.steps, plan.truncation)
        yield LabeledBatch(np.zeros(plan.steps, np.int64), pixels)

    def _submit(
        self,
        turns: Turns,
        plan: ImagePlan,
        labels: Indices,
        indices: Indices,
        attempts: Indices | None = None,
    ) -> PendingItems:
        n = len(labels)
        columns = (
            np.full(n, plan.indices.seed, np.uint64),
            labels,
            indices,
            np.full(n, plan.truncation, np.float32),
            np.zeros(n, np.int64) if attempts is None else attempts,
        )
        return turns.submit(self, columns)

    def scores(self, batch: LabeledBatch) -> list[dict[str, float]]:
        scorer, probabilities = self._sampler.scorer, {}
        if scorer.has_classifier:
            probabilities["label"] = scorer.label_confidence(batch.items, batch.labels)
        if scorer.has_critic:
            probabilities["real"] = scorer.realness(batch.items, batch.labels)
        if not probabilities:
            return super().scores(batch)  # raises the error
        return [
            {name: round(float(values[i]), 4) for name, values in probabilities.items()}
            for i in range(len(batch))
        ]
