"""Dynamic batching of requests, in batches of a sampler's fixed size.

Batch slots are divided evenly between waiting requests, so that a single item never waits behind a
stream of a million. An item depends only on its own inputs, so it is the same whatever else is in
its batch.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import sampling_metrics
from app.sampling.fair_lock import FairLock
from modalities.turns import BatchSource

IDLE_S = 10.0  # an idle thread ends after this time; the next request starts another one


class ClientDisconnected(Exception):
    """The client disconnected, so its samples are no longer needed."""


@dataclass(eq=False)
class BatchRequest:
    """Items that a request waits for."""

    source: BatchSource
    columns: Sequence[NDArray[Any]]  # inputs of the items, (N,) each
    count: int  # N
    modality: str  # for the metrics
    submitted_at: float
    scheduled: int = 0  # items that are in a batch or generated
    items: NDArray[Any] | None = None  # (N, …)
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    @property
    def pending(self) -> int:
        return self.count - self.scheduled

    def result(self) -> NDArray[Any]:
        """Wait for the items and return them.

        Raises:
            ClientDisconnected: The request was cancelled.
            Exception: Any error of the batch.
        """
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.items is not None  # noqa: S101 - done, and no error
        return self.items


BatchSlice = tuple[BatchRequest, int, int]  # items `start` to `stop` (exclusive) of the request


class Batcher:
    """Background thread that generates batches while requests are waiting.

    `expected` returns the number of requests in flight. If some of them have not submitted items
    yet, a batch that is not full waits for them, up to `window_s` seconds.
    """

    def __init__(self, lock: FairLock, window_s: float, expected: Callable[[], int]) -> None:
        self._sampling_lock, self._window_s, self._expected = lock, window_s, expected
        self._waiting: OrderedDict[int, list[BatchRequest]] = OrderedDict()  # by id of the source
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.batches = 0  # total number of generated batches

    def submit(
        self, source: BatchSource, columns: Sequence[NDArray[Any]], modality: str
    ) -> BatchRequest:
        request = BatchRequest(source, columns, len(columns[0]), modality, time.monotonic())
        with self._changed:
            self._waiting.setdefault(id(source), []).append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
                self._thread.start()
            self._changed.notify()
        return request

    def cancel(self, requests: Sequence[BatchRequest]) -> None:
        """Cancel requests: threads that wait for them get ClientDisconnected.

        Items of a batch that is being generated are discarded.
        """
        with self._changed:
            for request in requests:
                self._remove(request)
                if not request.done.is_set():
                    request.error = ClientDisconnected()
                    request.done.set()
            self._changed.notify()

    def _remove(self, request: BatchRequest) -> None:
        waiting = self._waiting.get(id(request.source), [])
        if request in waiting:
            waiting.remove(request)
        if not waiting:
            self._waiting.pop(id(request.source), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                slices = self._next_batch()
                if not slices:
                    self._thread = None
                    return
            with self._sampling_lock:
                self._generate(slices)
            del slices  # not kept until the next request, as the model may be deleted

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
        full = sum(request.pending for request in requests) >= requests[0].source.batch_size
        if full or self._expected() <= sum(map(len, self._waiting.values())):
            return 0.0
        return requests[0].submitted_at + self._window_s - time.monotonic()

    def _next_slices(self, requests: list[BatchRequest]) -> list[BatchSlice]:
        """Return the next batch of this source, and move the source to the end of the queue."""
        source = requests[0].source
        oldest = requests[: source.batch_size]  # each gets at least one item
        slices = []
        counts = split_evenly([request.pending for request in oldest], source.batch_size)
        for request, count in zip(oldest, counts, strict=True):
            slices.append((request, request.scheduled, request.scheduled + count))
            request.scheduled += count
            if not request.pending:
                self._remove(request)
        if id(source) in self._waiting:
            self._waiting.move_to_end(id(source))
        return slices

    def _generate(self, slices: Sequence[BatchSlice]) -> None:
        started = time.monotonic()
        try:
            parts = [[c[start:stop] for c in request.columns] for request, start, stop in slices]
            columns = map(np.concatenate, zip(*parts, strict=True))
            items = slices[0][0].source.generate(*columns)
        except Exception as error:
            with self._changed:
                for request, _, _ in slices:
                    self._remove(request)
                    request.error = error
                    request.done.set()
            return
        sampling_metrics.record_batch(slices[0][0].modality, len(items), time.monotonic() - started)
        self.batches += 1
        offset = 0
        for request, start, stop in slices:
            if request.items is None:
                request.items = np.empty((request.count, *items.shape[1:]), items.dtype)
            request.items[start:stop] = items[offset : offset + stop - start]
            offset += stop - start
            if stop == request.count:
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
