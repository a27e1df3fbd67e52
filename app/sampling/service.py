"""Sampling service: generates samples of cached models, in batches of a fixed size."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from app import sampling_metrics
from app.sampling.batcher import Batcher, BatchRequest, ClientDisconnected
from app.sampling.concurrency_limit import in_flight
from app.sampling.fair_lock import FairLock
from app.sampling.model_cache import ModelCache, get_model_cache
from core.settings import get_settings
from core.tables import Model
from models.images.batched_sampling import rejection_sample
from models.images.interpolation import LatentEndpoint, interpolate
from models.images.sampling import ImageSampler
from models.images.sampling_plan import ImageSamplingPlan
from models.load import warm_up
from models.tabular import batched_sampling as row_batches
from models.tabular.sampling import SampleBatch, TableSampler
from models.tabular.sampling_plan import RowSamplingPlan

Pixels = NDArray[np.uint8]

# Images that one response requests ahead, while earlier ones are encoded and sent.
PREFETCH_BYTES = 4 * 2**20
PREFETCH_BATCHES = 16


class ScoresUnavailable(Exception):
    """The model lacks the networks that could score its images."""


class SampleStream:
    """Iterator over generated samples.

    `close` may be called from any thread. It releases the model and cancels pending batch requests;
    a thread that waits for the next samples gets ClientDisconnected.
    """

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClientDisconnected


class ImageStream(SampleStream):
    """Iterator over label indices (N,) and images (N, H, W) or (N, H, W, 3), in plan order."""

    def __init__(
        self,
        batcher: Batcher,
        sampler: ImageSampler,
        plan: ImageSamplingPlan,
        resources: ExitStack,
        truncation: float,
    ) -> None:
        super().__init__(resources)
        self._truncation = truncation
        self._batcher, self.sampler, self._seed = batcher, sampler, plan.seed
        self._batches = plan.batches(sampler.batch_size)
        # A single batch at first, so that the response starts as soon as possible.
        self._prefetch_batches = 1
        self._requests: deque[BatchRequest] = deque()
        resources.callback(lambda: batcher.cancel(self._requests))
        self._submit_next()

    def _submit_next(self) -> None:
        with self._lock:
            self._check_open()
            batches = list(islice(self._batches, self._prefetch_batches))
            if batches:
                labels, indices = (np.concatenate(parts) for parts in zip(*batches, strict=True))
                self._requests.append(
                    self._batcher.submit(
                        self.sampler, self._seed, labels, indices, self._truncation
                    )
                )

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        if not self._requests:
            self.close()
            raise StopIteration
        request = self._requests[0]
        if len(self._requests) == 1:
            self._submit_next()  # generated while the caller encodes this one
        pixels = request.result()
        self._requests.popleft()
        batch_bytes = self.sampler.batch_size * pixels[0].nbytes
        self._prefetch_batches = max(1, min(PREFETCH_BATCHES, PREFETCH_BYTES // batch_bytes))
        return request.labels, pixels


class FilteredImageStream(SampleStream):
    """Like ImageStream, but filters images by the confidence in their label.

    Each image is the first of its candidates whose label gets a probability of at least
    `min_confidence` from the model's own classifier. Iteration raises AcceptanceRateTooLow if an
    image has no such candidate.
    """

    def __init__(
        self,
        batcher: Batcher,
        sampling_lock: FairLock,
        sampler: ImageSampler,
        plan: ImageSamplingPlan,
        resources: ExitStack,
        truncation: float,
        min_confidence: float,
    ) -> None:
        super().__init__(resources)
        self._batcher, self._sampling_lock = batcher, sampling_lock
        self.sampler, self._seed = sampler, plan.seed
        self._truncation, self._min_confidence = truncation, min_confidence
        self._batches = plan.batches(sampler.batch_size)
        self._in_flight: list[BatchRequest] = []
        resources.callback(lambda: batcher.cancel(self._in_flight))
        self.acceptance_rate = 1.0  # of the images that were generated last

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        batch = next(self._batches, None)
        if batch is None:
            self.close()
            raise StopIteration
        labels, indices = batch
        filtered = rejection_sample(
            self._generate,
            self._label_confidence,
            labels,
            indices,
            min_confidence=self._min_confidence,
            batch_size=self.sampler.batch_size,
        )
        self.acceptance_rate = filtered.acceptance_rate
        return labels, filtered.pixels

    def _generate(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], attempts: NDArray[np.int64]
    ) -> Pixels:
        with self._lock:
            self._check_open()
            request = self._batcher.submit(
                self.sampler, self._seed, labels, indices, self._truncation, attempts
            )
            self._in_flight[:] = [request]
        return request.result()

    def _label_confidence(self, pixels: Pixels, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        with self._sampling_lock:
            return self.sampler.scorer.label_confidence(pixels, labels)


class RowStream(SampleStream):
    """Iterator over batches of some thousand rows, in plan order.

    Each batch has its acceptance rate. Iteration raises the errors of
    models.tabular.batched_sampling.iter_batches.
    """

    def __init__(
        self,
        sampling_lock: FairLock,
        sampler: TableSampler,
        plan: RowSamplingPlan,
        resources: ExitStack,
    ) -> None:
        super().__init__(resources)
        self.sampler = sampler
        self._sampling_lock = sampling_lock
        self._batches = row_batches.iter_batches(sampler, plan)
        self._exhausted = False

    def __iter__(self) -> Iterator[SampleBatch]:
        return self

    def __next__(self) -> SampleBatch:
        if self._exhausted:  # closed at its end, not by a disconnect
            raise StopIteration
        with self._sampling_lock:
            self._check_open()
            started = time.monotonic()
            batch = next(self._batches, None)
        if batch is None:
            self._exhausted = True
            self.close()
            raise StopIteration
        seconds = time.monotonic() - started
        sampling_metrics.record_batch("tabular", len(batch.rows), seconds)
        return batch


class SamplingService:
    def __init__(self, cache: ModelCache, window_s: float) -> None:
        self.cache = cache
        # One batch at a time: torch already uses all of its threads for each batch.
        self._sampling_lock = FairLock()
        self.batcher = Batcher(self._sampling_lock, window_s, expected=in_flight)

    def stream_images(
        self,
        model: Model,
        plan: ImageSamplingPlan,
        truncation: float = 1.0,
        min_confidence: float | None = None,
    ) -> ImageStream | FilteredImageStream:
        """Return the stream of a plan, filtered by label confidence if `min_confidence` is given.

        Raises:
            Unavailable: The model cannot be loaded.
            ScoresUnavailable: `min_confidence` is given, but the model has no classifier.
        """
        resources = ExitStack()
        sampler = resources.enter_context(self.cache.lease(model))
        assert isinstance(sampler, ImageSampler)  # noqa: S101 - given by the model's modality
        if min_confidence is None:
            return ImageStream(self.batcher, sampler, plan, resources, truncation)
        if not sampler.scorer.has_classifier:
            resources.close()
            raise ScoresUnavailable
        return FilteredImageStream(
            self.batcher, self._sampling_lock, sampler, plan, resources, truncation, min_confidence
        )

    def scores(
        self, sampler: ImageSampler, pixels: Pixels, labels: NDArray[np.int64]
    ) -> list[dict[str, float]]:
        """Score each image with the model's own networks.

        Returns:
            For each image, the probability that its label is right (`label`, by the classifier) and
            that it is real (`real`, by the critic). Networks that the model lacks are omitted; the
            list is empty if it has neither.
        """
        scorer, probabilities = sampler.scorer, {}
        with self._sampling_lock:
            if scorer.has_classifier:
                probabilities["label"] = scorer.label_confidence(pixels, labels)
            if scorer.has_critic:
                probabilities["real"] = scorer.realness(pixels, labels)
        return [
            {name: round(float(values[i]), 4) for name, values in probabilities.items()}
            for i in range(len(labels) if probabilities else 0)
        ]

    def interpolate(
        self,
        model: Model,
        ends: tuple[LatentEndpoint, LatentEndpoint],
        steps: int,
        truncation: float,
    ) -> Pixels:
        """Return the images (steps, H, W[, 3]) between two images.

        Raises:
            Unavailable: The model cannot be loaded.
        """
        with self.cache.lease(model) as sampler, self._sampling_lock:
            assert isinstance(sampler, ImageSampler)  # noqa: S101 - given by the model's modality
            return interpolate(sampler, ends, steps, truncation)

    def warm_up(self, model: Model) -> None:
        """Load the model and generate one batch, because the first batch takes longest."""
        with self.cache.lease(model) as sampler, self._sampling_lock:
            warm_up(sampler)

    def stream_rows(self, model: Model, plan: RowSamplingPlan) -> RowStream:
        """Return the stream of a plan.

        Raises:
            Unavailable: The model cannot be loaded.
        """
        resources = ExitStack()
        sampler = resources.enter_context(self.cache.lease(model))
        assert isinstance(sampler, TableSampler)  # noqa: S101 - given by the model's modality
        return RowStream(self._sampling_lock, sampler, plan, resources)


@lru_cache
def get_sampling_service() -> SamplingService:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return SamplingService(get_model_cache(), settings.batch_window_seconds)
