"""Requests drawn together: everyone's share, the same items, and no place held for who has left."""

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.sampling.batcher import Batcher, BatchRequest, ClientDisconnected, split_evenly
from app.sampling.fair_lock import FairLock
from models.checkpoint import unpack
from models.images import batched_sampling
from models.images.sampling import ImageSampler
from tests.factories import build_checkpoint


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> ImageSampler:
    return read(tmp_path_factory.mktemp("model") / "model")


def read(path: Path) -> ImageSampler:
    path.write_bytes(build_checkpoint().model)
    return ImageSampler.load(*unpack(path))


class Held:
    """A batcher that draws nothing as long as the test has the turn."""

    def __init__(self) -> None:
        self.turns = FairLock()
        self.batcher = Batcher(self.turns, window_s=0.0, expected=lambda: 0)

    def submit(self, generator: ImageSampler, seed: int, count: int) -> BatchRequest:
        numbers = np.arange(count)
        return self.batcher.submit(generator, seed, numbers % 3, numbers)


@pytest.fixture
def held() -> Held:
    return Held()


def alone(generator: ImageSampler, seed: int, count: int) -> NDArray[np.uint8]:
    parts = np.split(np.arange(count), range(generator.batch_size, count, generator.batch_size))
    return np.concatenate(
        [batched_sampling.generate_batch(generator, seed, n % 3, n) for n in parts]
    )


def test_items_are_the_same_whatever_else_is_in_their_batches(
    held: Held, generator: ImageSampler
) -> None:
    with held.turns:
        tickets = [held.submit(generator, seed, 1 + 7 * seed) for seed in range(12)]
    for seed, ticket in enumerate(tickets):
        assert np.array_equal(ticket.result(), alone(generator, seed, 1 + 7 * seed))
    total = sum(1 + 7 * seed for seed in range(12))
    assert held.batcher.batches <= -(-total // generator.batch_size) + 1  # the first may be of one


def test_a_small_request_does_not_wait_for_a_large_one(held: Held, generator: ImageSampler) -> None:
    with held.turns:
        large = held.submit(generator, 1, 50 * generator.batch_size)
        small = [held.submit(generator, seed, 1) for seed in range(2, 8)]
    for ticket in small:
        ticket.result()
    assert not large.done.is_set()
    assert np.array_equal(large.result(), alone(generator, 1, 50 * generator.batch_size))


def test_models_take_turns(held: Held, generator: ImageSampler, tmp_path: Path) -> None:
    other = read(tmp_path / "model")
    with held.turns:
        large = held.submit(generator, 1, 50 * generator.batch_size)
        quick = held.submit(other, 1, 1)
    quick.result()
    assert not large.done.is_set()
    held.batcher.cancel([large])


def test_what_nobody_waits_for_is_not_drawn(held: Held, generator: ImageSampler) -> None:
    with held.turns:
        left = held.submit(generator, 1, 50 * generator.batch_size)
        stays = held.submit(generator, 2, 3)
        held.batcher.cancel([left])
    assert np.array_equal(stays.result(), alone(generator, 2, 3))
    assert held.batcher.batches <= 2
    with pytest.raises(ClientDisconnected):
        left.result()


def test_a_fault_is_told_to_those_in_the_batch_and_others_are_drawn(
    held: Held, generator: ImageSampler
) -> None:
    broken = held.batcher.submit(generator, 1, np.array([10**6]), np.array([0]))
    with pytest.raises(IndexError):
        broken.result()
    assert np.array_equal(held.submit(generator, 1, 2).result(), alone(generator, 1, 2))


def test_a_batch_waits_for_requests_that_are_under_way_but_not_for_ever(
    generator: ImageSampler,
) -> None:
    batcher = Batcher(FairLock(), window_s=0.1, expected=lambda: 3)
    one = np.zeros(1, np.int64)
    for ticket in [batcher.submit(generator, seed, one, one) for seed in (1, 2)]:
        ticket.result()
    assert batcher.batches == 1


@pytest.mark.parametrize(
    ("wanted", "room", "shares"),
    [
        ([1, 1, 1000], 64, [1, 1, 62]),
        ([1000, 1], 64, [63, 1]),
        ([1000, 1000, 10], 64, [27, 27, 10]),
        ([5], 64, [5]),
        ([1] * 64, 64, [1] * 64),
    ],
)
def test_shares_are_even(wanted: list[int], room: int, shares: list[int]) -> None:
    assert split_evenly(wanted, room) == shares


def test_turns_go_to_whoever_has_waited_longest() -> None:
    turns, order, threads = FairLock(), [], []

    def take(name: int) -> None:
        with turns:
            order.append(name)

    with turns:
        for name in range(5):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            while len(turns._waiting) <= name:
                threads[-1].join(0.001)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
