"""Items drawn from models in memory, in batches of one fixed shape, in turns."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

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
from models.tabular import batched_sampling as rows
from models.tabular.sampling import SampleBatch, TableSampler
from models.tabular.sampling_plan import RowSamplingPlan

Pixels = NDArray[np.uint8]

# What one answer asks for at a time, beside what is being encoded and sent.
PREFETCH_BYTES = 4 * 2**20
PREFETCH_BATCHES = 16


class ScoresUnavailable(Exception):
    """A model without the networks that could score its images."""


class SampleStream:
    """What an answer is made of. `close`, from any thread, lets go of the model and of the place in
    the batches; whoever waits for the next piece gets Left."""

    def __init__(self, resources: ExitStack) -> None:
        self._held = resources
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise ClientDisconnected


class ImageStream(SampleStream):
    """Label indices (N,) and images (N, H, W) or (N, H, W, 3), in order."""

    def __init__(
        self,
        batcher: Batcher,
        sampler: ImageSampler,
        order: ImageSamplingPlan,
        resources: ExitStack,
        truncation: float,
    ) -> None:
        super().__init__(resources)
        self._truncation = truncation
        self._batcher, self.sampler, self._seed = batcher, sampler, order.seed
        self._batches = order.batches(sampler.batch_size)
        self._at_once = 1  # the first batch comes as soon as it can
        self._tickets: deque[BatchRequest] = deque()
        resources.callback(lambda: batcher.cancel(self._tickets))
        self._ask()

    def _ask(self) -> None:
        with self._lock:
            self._check()
            batches = list(islice(self._batches, self._at_once))
            if batches:
                labels, numbers = (np.concatenate(parts) for parts in zip(*batches, strict=True))
                self._tickets.append(
                    self._batcher.submit(
                        self.sampler, self._seed, labels, numbers, self._truncation
                    )
                )

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        if not self._tickets:
            self.close()
            raise StopIteration
        ticket = self._tickets[0]
        if len(self._tickets) == 1:
            self._ask()  # drawn while this one is encoded
        pixels = ticket.result()
        self._tickets.popleft()
        each = self.sampler.batch_size * pixels[0].nbytes
        self._at_once = max(1, min(PREFETCH_BATCHES, PREFETCH_BYTES // each))
        return ticket.labels, pixels


class FilteredImageStream(SampleStream):
    """As ImageDrawing, of images that agree with their label: each is the first of its own
    candidates whose classifier gives the label a chance of `least` or more.

    Raises TooRare, as images are drawn.
    """

    def __init__(
        self,
        batcher: Batcher,
        turns: FairLock,
        sampler: ImageSampler,
        order: ImageSamplingPlan,
        resources: ExitStack,
        truncation: float,
        min_confidence: float,
    ) -> None:
        super().__init__(resources)
        self._batcher, self._turns = batcher, turns
        self.sampler, self._seed = sampler, order.seed
        self._truncation, self._least = truncation, min_confidence
        self._batches = order.batches(sampler.batch_size)
        self._under_way: list[BatchRequest] = []
        resources.callback(lambda: batcher.cancel(self._under_way))
        self.acceptance = 1.0  # of the images drawn last

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        batch = next(self._batches, None)
        if batch is None:
            self.close()
            raise StopIteration
        labels, numbers = batch
        found = rejection_sample(
            self._draw,
            self._agreement,
            labels,
            numbers,
            min_confidence=self._least,
            batch_size=self.sampler.batch_size,
        )
        self.acceptance = found.acceptance_rate
        return labels, found.pixels

    def _draw(
        self, labels: NDArray[np.int64], numbers: NDArray[np.int64], attempts: NDArray[np.int64]
    ) -> Pixels:
        with self._lock:
            self._check()
            ticket = self._batcher.submit(
                self.sampler, self._seed, labels, numbers, self._truncation, attempts
            )
            self._under_way[:] = [ticket]
        return ticket.result()

    def _agreement(self, pixels: Pixels, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        with self._turns:
            return self.sampler.scorer.label_confidence(pixels, labels)


class RowStream(SampleStream):
    """Rows in order, some thousand at a time, each with the share of candidates that was kept.

    Raises, as rows are drawn, what models.tabular.batched_sampling.iter_batches does.
    """

    def __init__(
        self, turns: FairLock, sampler: TableSampler, order: RowSamplingPlan, resources: ExitStack
    ) -> None:
        super().__init__(resources)
        self.sampler = sampler
        self._turns = turns
        self._rows = rows.iter_batches(sampler, order)

    def __iter__(self) -> Iterator[SampleBatch]:
        return self

    def __next__(self) -> SampleBatch:
        with self._turns:
            self._check()
            drawn = next(self._rows, None)
        if drawn is None:
            self.close()
            raise StopIteration
        return drawn


class SamplingService:
    def __init__(self, cache: ModelCache, window_s: float) -> None:
        self.cache = cache
        # One batch at a time: torch spreads each over the threads it was given.
        self._turns = FairLock()
        self.batcher = Batcher(self._turns, window_s, expected=in_flight)

    def stream_images(
        self,
        model: Model,
        order: ImageSamplingPlan,
        truncation: float = 1.0,
        min_confidence: float | None = None,
    ) -> ImageStream | FilteredImageStream:
        """`least` is that of ChosenDrawing. Raises Unavailable when the model cannot be loaded, and
        NoScores when it has no classifier to choose with."""
        held = ExitStack()
        generator = held.enter_context(self.cache.lease(model))
        assert isinstance(generator, ImageSampler)  # noqa: S101 - the model's kind says so
        if min_confidence is None:
            return ImageStream(self.batcher, generator, order, held, truncation)
        if not generator.scorer.has_classifier:
            held.close()
            raise ScoresUnavailable
        return FilteredImageStream(
            self.batcher, self._turns, generator, order, held, truncation, min_confidence
        )

    def scores(
        self, sampler: ImageSampler, pixels: Pixels, labels: NDArray[np.int64]
    ) -> list[dict[str, float]]:
        """What the model's own networks think of each image; empty without any."""
        scorer, found = sampler.scorer, {}
        with self._turns:
            if scorer.has_classifier:
                found["label"] = scorer.label_confidence(pixels, labels)
            if scorer.has_critic:
                found["real"] = scorer.realness(pixels, labels)
        return [
            {name: round(float(chances[i]), 4) for name, chances in found.items()}
            for i in range(len(labels) if found else 0)
        ]

    def interpolate(
        self,
        model: Model,
        ends: tuple[LatentEndpoint, LatentEndpoint],
        steps: int,
        truncation: float,
    ) -> Pixels:
        """(steps, H, W[, 3]). Raises Unavailable when the model cannot be loaded."""
        with self.cache.lease(model) as generator, self._turns:
            assert isinstance(generator, ImageSampler)  # noqa: S101 - the model's kind says so
            return interpolate(generator, ends, steps, truncation)

    def warm_up(self, model: Model) -> None:
        """Loads the model and draws one batch: the first of all takes longest."""
        with self.cache.lease(model) as generator, self._turns:
            warm_up(generator)

    def stream_rows(self, model: Model, order: RowSamplingPlan) -> RowStream:
        """Raises Unavailable when the model cannot be loaded."""
        held = ExitStack()
        generator = held.enter_context(self.cache.lease(model))
        assert isinstance(generator, TableSampler)  # noqa: S101 - the model's kind says so
        return RowStream(self._turns, generator, order, held)


@lru_cache
def get_sampling_service() -> SamplingService:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return SamplingService(get_model_cache(), settings.batch_window_seconds)
