"""Dynamic batching of image requests, in batches of the model's fixed size.

Batch slots are divided evenly between waiting requests, so that a single image never waits behind a
million-image stream. An image depends only on its seed, index and label, so it is the same whatever
else is in its batch.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app import sampling_metrics
from app.sampling.fair_lock import FairLock
from models.images.batched_sampling import generate_batch
from models.images.sampling import ImageSampler

Indices = NDArray[np.int64]

IDLE_S = 10.0  # an idle thread ends after this time; the next request starts another one


class ClientDisconnected(Exception):
    """The client disconnected, so its samples are no longer needed."""


@dataclass(eq=False)
class BatchRequest:
    """Images that a request waits for."""

    sampler: ImageSampler
    seed: int
    labels: Indices  # (N,)
    indices: Indices  # (N,)
    submitted_at: float
    truncation: float = 1.0
    attempts: Indices | None = None  # (N,); None: the first candidate of each image
    scheduled: int = 0  # images that are in a batch or generated
    pixels: NDArray[np.uint8] | None = None  # (N, H, W[, 3])
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    @property
    def pending(self) -> int:
        return len(self.indices) - self.scheduled

    def result(self) -> NDArray[np.uint8]:
        """Wait for the images and return them.

        Raises:
            ClientDisconnected: The request was cancelled.
            Exception: Any error of the batch.
        """
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.pixels is not None  # noqa: S101 - done, and no error
        return self.pixels


BatchSlice = tuple[BatchRequest, int, int]  # images `start` to `stop` (exclusive) of the request


class Batcher:
    """Background thread that generates batches while requests are waiting.

    `expected` returns the number of requests in flight. If some of them have not submitted images
    yet, a batch that is not full waits for them, up to `window_s` seconds.
    """

    def __init__(self, lock: FairLock, window_s: float, expected: Callable[[], int]) -> None:
        self._sampling_lock, self._window_s, self._expected = lock, window_s, expected
        self._waiting: OrderedDict[int, list[BatchRequest]] = OrderedDict()  # by id of the sampler
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.batches = 0  # total number of generated batches

    def submit(
        self,
        sampler: ImageSampler,
        seed: int,
        labels: Indices,
        indices: Indices,
        truncation: float = 1.0,
        attempts: Indices | None = None,
    ) -> BatchRequest:
        request = BatchRequest(
            sampler, seed, labels, indices, time.monotonic(), truncation, attempts
        )
        with self._changed:
            self._waiting.setdefault(id(sampler), []).append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
                self._thread.start()
            self._changed.notify()
        return request

    def cancel(self, requests: Sequence[BatchRequest]) -> None:
        """Cancel requests: threads that wait for them get ClientDisconnected.

        Images of a batch that is being generated are discarded.
        """
        with self._changed:
            for request in requests:
                self._remove(request)
                if not request.done.is_set():
                    request.error = ClientDisconnected()
                    request.done.set()
            self._changed.notify()

    def _remove(self, request: BatchRequest) -> None:
        waiting = self._waiting.get(id(request.sampler), [])
        if request in waiting:
            waiting.remove(request)
        if not waiting:
            self._waiting.pop(id(request.sampler), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                slices = self._next_batch()
                if not slices:
                    self._thread = None
                    return
            with self._sampling_lock:
                self._generate(slices)

    def _next_batch(self) -> list[BatchSlice]:
        """Wait for the next batch. Return an empty list after IDLE_S without requests."""
        while True:
            while not self._waiting:
                if not self._changed.wait(IDLE_S) and not self._waiting:
                    return []
            requests = next(iter(self._waiting.values()))
            linger_s = self._linger_seconds(requests)
            if linger_s <= 0:
                return self._next_slices(requests)
            self._changed.wait(linger_s)

    def _linger_seconds(self, requests: Sequence[BatchRequest]) -> float:
        """Return how long the batch should wait for further requests."""
        full = sum(request.pending for request in requests) >= requests[0].sampler.batch_size
        if full or self._expected() <= sum(map(len, self._waiting.values())):
            return 0.0
        return requests[0].submitted_at + self._window_s - time.monotonic()

    def _next_slices(self, requests: list[BatchRequest]) -> list[BatchSlice]:
        """Return the next batch of this sampler, and move the sampler to the end of the queue."""
        sampler = requests[0].sampler
        oldest = requests[: sampler.batch_size]  # each gets at least one image
        slices = []
        counts = split_evenly([request.pending for request in oldest], sampler.batch_size)
        for request, count in zip(oldest, counts, strict=True):
            slices.append((request, request.scheduled, request.scheduled + count))
            request.scheduled += count
            if not request.pending:
                self._remove(request)
        if id(sampler) in self._waiting:
            self._waiting.move_to_end(id(sampler))
        return slices

    def _generate(self, slices: Sequence[BatchSlice]) -> None:
        started = time.monotonic()
        try:
            pixels = _generate_pixels(slices)
        except Exception as error:
            with self._changed:
                for request, _, _ in slices:
                    self._remove(request)
                    request.error = error
                    request.done.set()
            return
        sampling_metrics.record_batch("image", len(pixels), time.monotonic() - started)
        self.batches += 1
        offset = 0
        for request, start, stop in slices:
            if request.pixels is None:
                request.pixels = np.empty((len(request.indices), *pixels.shape[1:]), np.uint8)
            request.pixels[start:stop] = pixels[offset : offset + stop - start]
            offset += stop - start
            if stop == len(request.indices):
                request.done.set()


def split_evenly(requested: Sequence[int], capacity: int) -> list[int]:
    """Divide `capacity` evenly between the requests (max-min fairness).

    No request gets more than it asks for; the rest of its share goes to larger requests.
    `capacity` must be at least the number of requests.
    """
    counts = [0] * len(requested)
    for served, i in enumerate(sorted(range(len(requested)), key=requested.__getitem__)):
        counts[i] = min(requested[i], -(-capacity // (len(requested) - served)))
        capacity -= counts[i]
    return counts


def _generate_pixels(slices: Sequence[BatchSlice]) -> NDArray[np.uint8]:
    parts = [
        (
            np.full(stop - start, request.seed, np.uint64),
            request.labels[start:stop],
            request.indices[start:stop],
            np.full(stop - start, request.truncation, np.float32),
            np.zeros(stop - start, np.int64)
            if request.attempts is None
            else request.attempts[start:stop],
        )
        for request, start, stop in slices
    ]
    return generate_batch(slices[0][0].sampler, *map(np.concatenate, zip(*parts, strict=True)))
