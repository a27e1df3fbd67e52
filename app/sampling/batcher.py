"""Images of many requests drawn together, in batches of the model's fixed shape.

Every request gets its even share of each batch, and what small ones leave goes to the larger: one
image does not wait for a stream of a million. An item depends on its seed, number and label alone,
so it is the same whatever else is in its batch.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.sampling.fair_lock import FairLock
from models.images.batched_sampling import generate_batch
from models.images.sampling import ImageSampler

Indices = NDArray[np.int64]

IDLE_S = 10.0  # a thread that nobody has needed for so long ends; the next request starts another


class ClientDisconnected(Exception):
    """The client is gone: nobody waits for these items any more."""


@dataclass(eq=False)
class BatchRequest:
    """Items that a request waits for."""

    sampler: ImageSampler
    seed: int
    labels: Indices  # (N,)
    indices: Indices  # (N,)
    submitted_at: float
    truncation: float = 1.0
    attempts: Indices | None = None  # (N,); None: the first candidate of each
    scheduled: int = 0  # items that are in a batch, or done
    pixels: NDArray[np.uint8] | None = None  # (N, H, W[, 3])
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    @property
    def pending(self) -> int:
        return len(self.indices) - self.scheduled

    def result(self) -> NDArray[np.uint8]:
        """Waits. Raises what drawing raised, and Left when it was given up."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.pixels is not None  # noqa: S101 - done, and no error
        return self.pixels


BatchSlice = tuple[BatchRequest, int, int]  # items `first` to `stop` of the ticket


class Batcher:
    """A thread that draws batches as long as somebody waits. `expected` tells how many requests
    are under way: while some of them have not asked yet, a batch that is not full waits up to
    `window_s` for them."""

    def __init__(self, turns: FairLock, window_s: float, expected: Callable[[], int]) -> None:
        self._turns, self._window_s, self._expected = turns, window_s, expected
        self._waiting: OrderedDict[int, list[BatchRequest]] = OrderedDict()  # by generator
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.batches = 0  # drawn, ever

    def submit(
        self,
        sampler: ImageSampler,
        seed: int,
        labels: Indices,
        indices: Indices,
        truncation: float = 1.0,
        attempts: Indices | None = None,
    ) -> BatchRequest:
        ticket = BatchRequest(
            sampler, seed, labels, indices, time.monotonic(), truncation, attempts
        )
        with self._changed:
            self._waiting.setdefault(id(sampler), []).append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def cancel(self, requests: Sequence[BatchRequest]) -> None:
        """Those that wait for them get Left; what is being drawn is thrown away."""
        with self._changed:
            for ticket in requests:
                self._forget(ticket)
                if not ticket.done.is_set():
                    ticket.error = ClientDisconnected()
                    ticket.done.set()
            self._changed.notify()

    def _forget(self, ticket: BatchRequest) -> None:
        waiting = self._waiting.get(id(ticket.sampler), [])
        if ticket in waiting:
            waiting.remove(ticket)
        if not waiting:
            self._waiting.pop(id(ticket.sampler), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                shares = self._next_batch()
                if not shares:
                    self._thread = None
                    return
            with self._turns:
                self._draw(shares)

    def _next_batch(self) -> list[BatchSlice]:
        """Empty when nobody has asked for a while."""
        while True:
            while not self._waiting:
                if not self._changed.wait(IDLE_S) and not self._waiting:
                    return []
            tickets = next(iter(self._waiting.values()))
            left_s = self._worth_waiting(tickets)
            if left_s <= 0:
                return self._take(tickets)
            self._changed.wait(left_s)

    def _worth_waiting(self, tickets: Sequence[BatchRequest]) -> float:
        """Seconds until the batch is drawn with whoever has asked by then."""
        full = sum(ticket.pending for ticket in tickets) >= tickets[0].sampler.batch_size
        if full or self._expected() <= sum(map(len, self._waiting.values())):
            return 0.0
        return tickets[0].submitted_at + self._window_s - time.monotonic()

    def _take(self, tickets: list[BatchRequest]) -> list[BatchSlice]:
        """The next batch of this model; then it is the turn of another one."""
        generator = tickets[0].sampler
        chosen = tickets[: generator.batch_size]  # whoever has asked first, if they are so many
        shares = []
        counts = split_evenly([ticket.pending for ticket in chosen], generator.batch_size)
        for ticket, count in zip(chosen, counts, strict=True):
            shares.append((ticket, ticket.scheduled, ticket.scheduled + count))
            ticket.scheduled += count
            if not ticket.pending:
                self._forget(ticket)
        if id(generator) in self._waiting:
            self._waiting.move_to_end(id(generator))
        return shares

    def _draw(self, shares: Sequence[BatchSlice]) -> None:
        try:
            pixels = _drawn(shares)
        except Exception as error:
            with self._changed:
                for ticket, _, _ in shares:
                    self._forget(ticket)
                    ticket.error = error
                    ticket.done.set()
            return
        self.batches += 1
        at = 0
        for ticket, first, stop in shares:
            if ticket.pixels is None:
                ticket.pixels = np.empty((len(ticket.indices), *pixels.shape[1:]), np.uint8)
            ticket.pixels[first:stop] = pixels[at : at + stop - first]
            at += stop - first
            if stop == len(ticket.indices):
                ticket.done.set()


def split_evenly(requested: Sequence[int], capacity: int) -> list[int]:
    """How much each gets of `room`, which is at least their number: all that they want, or an even
    share of what those who want less leave over."""
    counts = [0] * len(requested)
    for place, i in enumerate(sorted(range(len(requested)), key=requested.__getitem__)):
        counts[i] = min(requested[i], -(-capacity // (len(requested) - place)))
        capacity -= counts[i]
    return counts


def _drawn(shares: Sequence[BatchSlice]) -> NDArray[np.uint8]:
    parts = [
        (
            np.full(stop - first, ticket.seed, np.uint64),
            ticket.labels[first:stop],
            ticket.indices[first:stop],
            np.full(stop - first, ticket.truncation, np.float32),
            np.zeros(stop - first, np.int64)
            if ticket.attempts is None
            else ticket.attempts[first:stop],
        )
        for ticket, first, stop in shares
    ]
    return generate_batch(shares[0][0].sampler, *map(np.concatenate, zip(*parts, strict=True)))
