"""Threads that tenants share."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from app.fairness.shares import FairShares
from app.fairness.turns import FairThreads, FairTurns
from tests.processes import TIMEOUT_S


class Occupied:
    """Threads of which the owner `greedy` has all that it may have, until `release`."""

    def __init__(self, threads: int, per_owner: int, waiting: int = 20) -> None:
        self.threads = FairThreads(threads, per_owner, shares=FairShares())
        self.started: list[str] = []
        self._release = threading.Event()
        self._tasks = [self.run("greedy") for _ in range(per_owner + waiting)]

    def run(self, owner: str) -> asyncio.Task[None]:
        return asyncio.create_task(self.threads.run(owner, self._work, owner))

    def _work(self, owner: str) -> None:
        self.started.append(owner)
        if owner == "greedy":
            self._release.wait(TIMEOUT_S)

    async def release(self) -> None:
        self._release.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, TIMEOUT_S))


def test_an_owner_leaves_threads_to_the_others() -> None:
    async def test() -> None:
        occupied = Occupied(threads=4, per_owner=3)
        await occupied.run("modest")
        assert occupied.started.count("greedy") <= 3
        await occupied.release()
        assert occupied.started.count("greedy") == 23

    run(test())


def test_an_owner_that_comes_later_is_served_after_one_turn_of_another() -> None:
    async def test() -> None:
        occupied = Occupied(threads=1, per_owner=1)
        await asyncio.sleep(0)
        modest = occupied.run("modest")
        await asyncio.sleep(0)
        await occupied.release()
        await modest
        assert occupied.started[:3] == ["greedy", "modest", "greedy"]

    run(test())


def test_work_whose_request_is_cancelled_leaves_its_thread_to_others() -> None:
    async def test() -> None:
        occupied = Occupied(threads=1, per_owner=1, waiting=0)
        await asyncio.sleep(0)
        cancelled = [occupied.run("cancelled") for _ in range(3)]
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        modest = occupied.run("modest")
        await occupied.release()
        await modest
        assert occupied.started == ["greedy", "modest"]

    run(test())


def test_a_turn_that_a_cancelled_request_has_just_got_goes_to_the_next() -> None:
    async def test() -> None:
        turns = FairTurns(1, 1, 1, FairShares())
        await turns.take("first")
        cancelled = asyncio.create_task(turns.take("cancelled"))
        await asyncio.sleep(0)
        turns.end("first")
        cancelled.cancel()
        await turns.take("next")
        assert cancelled.cancelled()

    run(test())


def test_an_owner_that_has_to_rest_waits_while_others_work() -> None:
    async def test() -> None:
        time = [1_000.0]
        shares = FairShares(now=lambda: time[0])
        shares.record("modest", 0.3)
        shares.record("greedy", 0.4)
        threads, order = FairThreads(4, 4, shares=shares), list[str]()
        greedy = asyncio.create_task(threads.run("greedy", order.append, "greedy"))
        await asyncio.sleep(0)
        await threads.run("modest", order.append, "modest")
        assert order == ["modest"]
        time[0] += shares.rest_s("greedy")
        await greedy  # without the end of other work that would start it

    run(test())


def test_work_that_waits_for_a_thread_makes_its_owner_heavier() -> None:
    async def test() -> None:
        shares = FairShares(now=lambda: 1_000.0)
        threads, release = FairThreads(1, 1, shares=shares), threading.Event()
        waits = (threads.run("greedy", release.wait, TIMEOUT_S) for _ in range(9))
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(0)
        shares.record("greedy", 0.1)
        shares.record("modest", 0.2)
        of_nine = shares.is_heaviest("greedy")
        for task in tasks[1:]:
            task.cancel()
        await asyncio.sleep(0)
        of_one = shares.is_heaviest("greedy")
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (of_nine, of_one) == (True, False)

    run(test())


def test_an_error_of_the_work_is_raised_and_frees_the_thread() -> None:
    async def test() -> None:
        threads = FairThreads(1, 1, shares=FairShares())
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await threads.run("owner", lambda: 1 / 0)

    run(test())


@pytest.mark.parametrize("of_heaviest", [1, 3])
def test_the_heaviest_owner_has_few_threads_while_others_are_active(of_heaviest: int) -> None:
    async def test() -> None:
        time = [1_000.0]
        shares = FairShares(now=lambda: time[0])
        shares.record("modest", 0.03)
        shares.record("greedy", 0.04)
        time[0] += shares.rest_s("greedy")
        threads = FairThreads(8, 6, of_heaviest, shares)
        release, started = threading.Event(), list[int]()

        def work(number: int) -> None:
            started.append(number)
            release.wait(TIMEOUT_S)

        tasks = [asyncio.create_task(threads.run("greedy", work, n)) for n in range(6)]
        while len(started) < of_heaviest:
            await asyncio.sleep(0.001)
        await threads.run("modest", list)
        assert len(started) == of_heaviest
        time[0] += 100  # the other one is idle now: a timer finds it
        while len(started) < 6:
            await asyncio.sleep(0.001)
        release.set()
        await asyncio.gather(*tasks)

    run(test())
