"""Batches of several requests: even shares, unchanged items, no slot for a cancelled request."""

import gc
import threading
import weakref
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from app.fairness.shares import FairShares
from app.sampling import batcher
from app.sampling.batcher import Batcher, BatchRequest, ClientDisconnected, split_evenly
from app.sampling.concurrency_limit import sampling_threads
from app.sampling.fair_lock import FairLock
from modalities.image.sampler import ImagePlanSampler
from modalities.turns import BatchSource
from tests.factories import build_checkpoint
from tests.processes import TIMEOUT_S, eventually


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> ImagePlanSampler:
    return load_sampler(tmp_path_factory.mktemp("model") / "model")


def load_sampler(path: Path) -> ImagePlanSampler:
    path.write_bytes(build_checkpoint().model)
    return ImagePlanSampler.load(path)


def make_columns(seed: int, indices: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return the seeds, labels, indices, truncations and attempts of images of three labels."""
    n = len(indices)
    seeds, truncation = np.full(n, seed, np.uint64), np.ones(n, np.float32)
    return [seeds, indices % 3, indices, truncation, np.zeros(n, np.int64)]


def no_rests() -> FairShares:
    """Return shares whose clock is past the end of each rest when it is read again."""
    return FairShares(now=count(0.0, 100.0).__next__)


class PausedBatcher:
    """A batcher that generates nothing while the test holds its lock."""

    def __init__(self) -> None:
        self.lock = FairLock()
        self.batcher = Batcher(self.lock, window_s=0.0, expected=lambda: 0, shares=no_rests())

    def submit(
        self, generator: BatchSource, seed: int, count: int, tenant: str = "tenant"
    ) -> BatchRequest:
        columns = make_columns(seed, np.arange(count))
        return self.batcher.submit(tenant, generator, columns, "image")


@pytest.fixture
def paused() -> PausedBatcher:
    return PausedBatcher()


def generate_alone(generator: ImagePlanSampler, seed: int, count: int) -> NDArray[np.uint8]:
    batches = np.split(np.arange(count), range(generator.batch_size, count, generator.batch_size))
    return np.concatenate([generator.generate(*make_columns(seed, indices)) for indices in batches])


def test_samples_and_their_model_are_released_with_their_request(
    paused: PausedBatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "IDLE_S", 2 * TIMEOUT_S)  # not with the thread that generated them
    generator = load_sampler(tmp_path / "model")
    request = paused.submit(generator, 0, 3)
    samples = weakref.ref(request.result())
    model = weakref.ref(generator)
    del request, generator

    def are_released() -> bool:
        gc.collect()
        return samples() is model() is None

    eventually(are_released)


def test_items_do_not_depend_on_other_requests_in_their_batches(
    paused: PausedBatcher, generator: ImagePlanSampler
) -> None:
    with paused.lock.take("test"):
        requests = [paused.submit(generator, seed, 1 + 7 * seed) for seed in range(12)]
    for seed, request in enumerate(requests):
        assert np.array_equal(request.result(), generate_alone(generator, seed, 1 + 7 * seed))
    total = sum(1 + 7 * seed for seed in range(12))
    # One batch more than needed, because the first one may hold a single item.
    assert paused.batcher.batches <= -(-total // generator.batch_size) + 1


class RecordedBatches:
    """A model that records the seeds of its batches, in a list that several models may share."""

    batch_size = 64

    def __init__(self, batches: list[list[int]] | None = None) -> None:
        self.batches = [] if batches is None else batches

    def generate(self, *columns: NDArray[Any]) -> NDArray[Any]:
        self.batches.append(columns[0].tolist())
        return columns[0]


def test_a_small_request_does_not_wait_for_a_large_one(paused: PausedBatcher) -> None:
    model = RecordedBatches()
    with paused.lock.take("test"):
        large = paused.submit(model, 1, 50 * model.batch_size)
        small = [paused.submit(model, seed, 1) for seed in range(2, 8)]
    for request in (large, *small):
        request.result()
    assert set(range(2, 8)) <= {seed for seeds in model.batches[:2] for seed in seeds}
    assert len(model.batches) == 51  # the last one has what the small ones took from the others


def test_models_take_turns(paused: PausedBatcher) -> None:
    model = RecordedBatches()
    with paused.lock.take("test"):
        large = paused.submit(model, 1, 50 * model.batch_size)
        small = paused.submit(RecordedBatches(model.batches), 2, 1)
    for request in (large, small):
        request.result()
    # After one batch that was complete before `small` came, and the turn of `large`.
    assert [2] in model.batches[:3]


@pytest.mark.parametrize("is_same_model", [True, False])
def test_a_tenant_does_not_wait_for_all_requests_of_another(
    paused: PausedBatcher, *, is_same_model: bool
) -> None:
    model = RecordedBatches()
    other_model = model if is_same_model else RecordedBatches(model.batches)
    with paused.lock.take("test"):
        greedy = [paused.submit(model, 0, 10_000, "greedy") for _ in range(128)]
        modest = paused.submit(other_model, 1, 64, "modest")
    modest.result()
    paused.batcher.cancel(greedy)
    # After a batch that was complete before `modest` came.
    assert [1] * 64 in model.batches[:2]


def test_a_tenant_with_many_models_has_no_more_turns_than_one_with_one(
    paused: PausedBatcher,
) -> None:
    models = [RecordedBatches() for _ in range(10)]
    for model in models:
        model.batches = models[0].batches
    with paused.lock.take("test"):
        greedy = [paused.submit(model, 0, 10_000, "greedy") for model in models[1:]]
        modest = paused.submit(models[0], 1, 5 * 64, "modest")
    modest.result()
    paused.batcher.cancel(greedy)
    assert models[0].batches[:10].count([1] * 64) >= 4


def test_a_small_request_does_not_wait_for_more_large_ones_than_a_batch_has_places(
    paused: PausedBatcher,
) -> None:
    model, n = RecordedBatches(), 128
    with paused.lock.take("test"):
        large = [paused.submit(model, seed, 10_000) for seed in range(n)]
        small = paused.submit(model, n, 16)
    small.result()
    paused.batcher.cancel(large)
    turns_of_all = (n + 1) * 16 // model.batch_size
    assert any(n in seeds for seeds in model.batches[: turns_of_all + 2])


def test_requests_of_the_same_size_end_one_after_the_other(paused: PausedBatcher) -> None:
    model = RecordedBatches()
    with paused.lock.take("test"):
        requests = [paused.submit(model, seed, 16) for seed in range(64)]
    for request in requests:
        request.result()
    assert max(len(set(seeds)) for seeds in model.batches) <= 1 + model.batch_size // 16


def test_a_cancelled_request_is_not_generated(
    paused: PausedBatcher, generator: ImagePlanSampler
) -> None:
    with paused.lock.take("test"):
        cancelled = paused.submit(generator, 1, 50 * generator.batch_size)
        active = paused.submit(generator, 2, 3)
        paused.batcher.cancel([cancelled])
    assert np.array_equal(active.result(), generate_alone(generator, 2, 3))
    assert paused.batcher.batches <= 2
    with pytest.raises(ClientDisconnected):
        cancelled.result()


def test_an_error_reaches_only_the_requests_of_its_batch(
    paused: PausedBatcher, generator: ImagePlanSampler
) -> None:
    columns = make_columns(1, np.array([0]))
    columns[1] = np.array([10**6])  # a label that the model does not have
    broken = paused.batcher.submit("tenant", generator, columns, "image")
    with pytest.raises(IndexError):
        broken.result()
    assert np.array_equal(paused.submit(generator, 1, 2).result(), generate_alone(generator, 1, 2))


def test_time_in_which_a_batch_waits_is_not_charged_to_its_tenant() -> None:
    class Waiting:
        batch_size = 4

        def generate(self, *columns: NDArray[Any]) -> NDArray[Any]:
            threading.Event().wait(0.2)
            return columns[0]

    shares = FairShares()
    charged = Batcher(FairLock(), 0.0, lambda: 0, shares)
    charged.submit("tenant", Waiting(), [np.zeros(4)], "image").result()
    eventually(lambda: "tenant" in shares._accounts)
    assert shares._accounts["tenant"].used_s < 0.2


def test_a_batch_waits_for_expected_requests() -> None:
    model, asked = RecordedBatches(), threading.Event()

    def count_expected() -> int:
        asked.set()
        return 2

    waiting = Batcher(FairLock(), window_s=2 * TIMEOUT_S, expected=count_expected)
    first = waiting.submit("tenant", model, [np.array([1])], "image")
    asked.wait(TIMEOUT_S)
    second = waiting.submit("tenant", model, [np.array([2])], "image")
    for request in (first, second):
        request.result()
    assert model.batches == [[1, 2]]


def test_a_batch_does_not_wait_longer_than_its_window() -> None:
    model = RecordedBatches()
    waiting = Batcher(FairLock(), window_s=0.1, expected=lambda: 2)
    waiting.submit("tenant", model, [np.array([1])], "image").result()
    assert model.batches == [[1]]


@pytest.mark.parametrize(
    ("counts", "slots", "shares"),
    [
        ([1, 1, 1000], 64, [1, 1, 62]),
        ([1000, 1], 64, [63, 1]),
        ([1000, 1000, 10], 64, [27, 27, 10]),
        ([5], 64, [5]),
        ([1] * 64, 64, [1] * 64),
    ],
)
def test_batch_slots_are_divided_evenly(counts: list[int], slots: int, shares: list[int]) -> None:
    assert split_evenly(counts, slots) == shares


def acquired_by(lock: FairLock, owners: Sequence[str]) -> list[int]:
    """Return the order in which threads of the owners, started in turn, get the lock."""
    order: list[int] = []

    def acquire(index: int, owner: str) -> None:
        with lock.take(owner):
            order.append(index)

    threads = []
    with lock.take("first"):
        for index, owner in enumerate(owners):
            threads.append(threading.Thread(target=acquire, args=(index, owner)))
            threads[-1].start()
            while len(lock._waiting) <= index:
                threads[-1].join(0.001)
    for thread in threads:
        thread.join()
    return order


def test_the_lock_is_granted_in_order_of_arrival() -> None:
    assert acquired_by(FairLock(), ["tenant"] * 5) == [0, 1, 2, 3, 4]


def test_owners_of_the_lock_take_turns() -> None:
    owners = ["greedy", "greedy", "greedy", "modest", "modest", "greedy"]
    assert acquired_by(FairLock(), owners) == [0, 3, 1, 4, 2, 5]


def test_one_tenant_leaves_threads_of_the_sampling_pool_to_others() -> None:
    release = threading.Event()

    async def hold() -> None:
        await sampling_threads.run("greedy", lambda: release.wait(2 * TIMEOUT_S))

    async def sample() -> bool:
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(hold)
            await anyio.sleep(0.1)
            with anyio.move_on_after(TIMEOUT_S):
                served = await sampling_threads.run("modest", release.is_set)
                release.set()
                return not served
            release.set()
        return False

    assert anyio.run(sample)
