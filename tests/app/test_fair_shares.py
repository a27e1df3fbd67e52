"""Shares of the processor, with a clock that the tests move."""

import asyncio
import threading
import time

import pytest

from app.fair_shares import HEADROOM, MAX_REST_S, MEMORY_S, REST_PER_WORK, FairShares


class Shares(FairShares):
    def __init__(self) -> None:
        self.time = 1_000.0
        super().__init__(now=lambda: self.time)


@pytest.fixture
def shares() -> Shares:
    return Shares()


def test_a_tenant_that_is_alone_never_rests(shares: Shares) -> None:
    for _ in range(100):
        shares.record("only", 0.01)
        assert shares.rest_s("only") == 0


def test_the_tenant_that_has_used_most_rests_as_long_as_it_works(shares: Shares) -> None:
    shares.record("modest", 0.1)
    shares.record("greedy", 0.11)
    assert shares.rest_s("greedy") == pytest.approx(REST_PER_WORK * 0.11)
    assert shares.rest_s("modest") == 0


def test_it_rests_once_for_each_of_the_others(shares: Shares) -> None:
    for tenant in ("a", "b", "c"):
        shares.record(tenant, 0.1)
    shares.record("greedy", 0.11)
    assert shares.rest_s("greedy") == pytest.approx(3 * REST_PER_WORK * 0.11)


def test_a_tenant_does_not_rest_for_another_that_rests(shares: Shares) -> None:
    shares.record("modest", 0.1)
    shares.record("greedy", 0.11)
    shares.record("modest", 0.1)  # now it has used more
    assert shares.rest_s("modest") == 0
    shares.time += shares.rest_s("greedy")
    shares.record("modest", 0.1)
    assert shares.rest_s("modest") > 0


def test_a_tenant_that_asks_for_little_hardly_slows_down_another(shares: Shares) -> None:
    shares.record("modest", 0.002)
    shares.record("greedy", 0.2)
    assert shares.rest_s("greedy") == pytest.approx(HEADROOM * 0.002)


def test_a_rest_ends_and_has_a_limit(shares: Shares) -> None:
    for _ in range(100):
        shares.record("modest", 0.1)
        shares.record("greedy", 0.2)
    assert shares.rest_s("greedy") == pytest.approx(MAX_REST_S)
    shares.time += MAX_REST_S
    assert shares.rest_s("greedy") == 0


def test_what_a_tenant_has_used_is_forgotten(shares: Shares) -> None:
    shares.record("earlier", 0.1)
    shares.time += 10 * MEMORY_S
    shares.record("now", 0.01)
    assert shares.rest_s("now") == 0
    assert set(shares._accounts) == {"now"}


def test_time_in_which_a_thread_waits_is_not_used(shares: Shares) -> None:
    with shares.work("waiting"):
        threading.Event().wait(0.05)
    assert shares._accounts["waiting"].used_s < 0.05


def test_the_tenant_that_has_used_most_is_the_heaviest_while_others_are_active(
    shares: Shares,
) -> None:
    shares.record("greedy", 0.2)
    assert not shares.is_heaviest("greedy")
    shares.record("modest", 0.1)
    assert [tenant for tenant in ("greedy", "modest", "new") if shares.is_heaviest(tenant)] == [
        "greedy"
    ]
    shares.time += 10 * MEMORY_S
    shares.record("greedy", 0.2)
    assert not shares.is_heaviest("greedy")


def test_steps_of_a_request_in_the_event_loop_are_charged(shares: Shares) -> None:
    async def test() -> list[float]:
        step, used = asyncio.Event(), list[float]()

        async def request() -> None:
            spend_processor_time()
            await step.wait()
            used.append(shares._accounts["tenant"].used_s)
            spend_processor_time()

        charged = asyncio.ensure_future(shares.charge("tenant", request()))
        await asyncio.sleep(0)
        step.set()
        await charged
        return [0.0, *used, shares._accounts["tenant"].used_s]

    used = asyncio.run(test())
    assert used == sorted(used)
    assert len(set(used)) == 3


def test_a_charged_request_that_is_cancelled_may_clean_up(shares: Shares) -> None:
    async def test() -> list[str]:
        cleaned = []

        async def request() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append("cleaned")

        charged = asyncio.ensure_future(shares.charge("tenant", request()))
        await asyncio.sleep(0)
        charged.cancel()
        with pytest.raises(asyncio.CancelledError):
            await charged
        return cleaned

    assert asyncio.run(test()) == ["cleaned"]


def spend_processor_time() -> None:
    started = time.thread_time()
    while time.thread_time() == started:
        pass
