"""Dynamic batching of requests, in batches of a sampler's fixed size.

Tenants take turns, and then the models of a tenant. Requests for one model share its batches in
turns of QUANTUM items, so that a single item never waits behind a stream of a million. An item
depends only on its own inputs, so it is the same whatever else is in its batch.
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
from app.fairness.queue import MAX_RECENT
from app.fairness.shares import FairShares, request_shares
from app.sampling.fair_lock import FairLock
from modalities.turns import BatchSource

# Items that a request gets in its turn. With fewer, many requests of the same size would all be
# generated in small pieces, and each would end as late as the last one.
QUANTUM = 16
IDLE_S = 10.0  # an idle thread ends after this time; the next request starts another one


class ClientDisconnected(Exception):
    """The client disconnected, so its samples are no longer needed."""


@dataclass(eq=False)
class BatchRequest:
    """Items that a request waits for."""

    tenant_id: str
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

    def __init__(
        self,
        lock: FairLock,
        window_s: float,
        expected: Callable[[], int],
        shares: FairShares = request_shares,
    ) -> None:
        self._sampling_lock, self._window_s, self._expected = lock, window_s, expected
        self._shares = shares
        # By tenant and by id of the source, whose turn is the next one if it is the first.
        self._waiting: dict[str, OrderedDict[int, list[BatchRequest]]] = {}
        self._last_turn: OrderedDict[str, None] = OrderedDict()  # recent tenants, longest ago first
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.batches = 0  # total number of generated batches

    def submit(
        self, tenant_id: str, source: BatchSource, columns: Sequence[NDArray[Any]], modality: str
    ) -> BatchRequest:
        now, count = time.monotonic(), len(columns[0])
        request = BatchRequest(tenant_id, source, columns, count, modality, now)
        with self._changed:
            of_tenant = self._waiting.setdefault(tenant_id, OrderedDict())
            of_tenant.setdefault(id(source), []).append(request)
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

    def waiting_requests(self) -> int:
        """Return the number of requests with items that are in no batch yet."""
        with self._changed:
            return sum(len(each) for models in self._waiting.values() for each in models.values())

    def _remove(self, request: BatchRequest) -> None:
        of_tenant = self._waiting.get(request.tenant_id, OrderedDict())
        waiting = of_tenant.get(id(request.source), [])
        if request in waiting:
            waiting.remove(request)
            if not waiting:
                del of_tenant[id(request.source)]
            if not of_tenant:
                del self._waiting[request.tenant_id]

    def _run(self) -> None:
        while True:
            with self._changed:
                slices = self._next_batch()
                if not slices:
                    self._thread = None
                    return
            tenant_id = slices[0][0].tenant_id
            with self._sampling_lock.take(tenant_id):
                self._shares.run(tenant_id, self._generate, slices)
            del slices  # not kept until the next request, as the model may be deleted

    def _next_batch(self) -> list[BatchSlice]:
        """Wait for the next batch. Return an empty list after IDLE_S without requests."""
        while True:
            while not self._waiting:
                if not self._changed.wait(IDLE_S) and not self._waiting:
                    return []
            rests = {tenant: self._shares.rest_s(tenant) for tenant in self._waiting}
            tenants = {tenant for tenant, rest_s in rests.items() if not rest_s}
            if not tenants:
                self._changed.wait(min(rests.values()))
                continue
            longest_ago = (tenant for tenant in self._last_turn if tenant in tenants)
            tenant_id = next(iter(tenants - self._last_turn.keys()), None) or next(longest_ago)
            requests = next(iter(self._waiting[tenant_id].values()))
            linger_s = self._linger_seconds(requests)
            if linger_s <= 0:
                return self._next_slices(requests)
            self._changed.wait(linger_s)

    def _linger_seconds(self, requests: Sequence[BatchRequest]) -> float:
        """Return how long the batch should wait for further requests."""
        full = sum(request.pending for request in requests) >= requests[0].source.batch_size
        if full or self._expected() <= self.waiting_requests():
            return 0.0
        return requests[0].submitted_at + self._window_s - time.monotonic()

    def _next_slices(self, requests: list[BatchRequest]) -> list[BatchSlice]:
        """Return the next batch of these requests, which then are the last to have a turn."""
        tenant_id, source = requests[0].tenant_id, requests[0].source
        slices = []
        in_turn = requests[: count_in_turn([r.pending for r in requests], source.batch_size)]
        counts = split_evenly([request.pending for request in in_turn], source.batch_size)
        for request, count in zip(in_turn, counts, strict=True):
            slices.append((request, request.scheduled, request.scheduled + count))
            request.scheduled += count
            self._remove(request)
        for request in in_turn:
            if request.pending:
                of_tenant = self._waiting.setdefault(tenant_id, OrderedDict())
                of_tenant.setdefault(id(source), []).append(request)
        if id(source) in self._waiting.get(tenant_id, ()):
            self._waiting[tenant_id].move_to_end(id(source))
        self._last_turn.pop(tenant_id, None)
        self._last_turn[tenant_id] = None
        if len(self._last_turn) > MAX_RECENT:
            self._last_turn.popitem(last=False)
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


def count_in_turn(requested: Sequence[int], capacity: int) -> int:
    """Return how many of the requests, from the first, fill a batch with QUANTUM items of each."""
    for index, count in enumerate(requested):
        capacity -= min(count, QUANTUM)
        if capacity <= 0:
            return index + 1
    return len(requested)


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
