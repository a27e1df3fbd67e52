"""Shares of the processor, with a clock that the tests move."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from app.fairness.shares import HEADROOM, MAX_REST_S, MEMORY_S, REST_PER_WORK, FairShares


class Shares(FairShares):
    def __init__(self) -> None:
        self.time = 1_000.0
        super().__init__(now=lambda: self.time)


@pytest.fixture
def shares() -> Shares:
    return Shares()


@contextmanager
def requests_in_progress(shares: Shares, **numbers: int) -> Iterator[None]:
    """Hold a number of requests of each tenant in the block."""
    with ExitStack() as requests:
        for tenant, number in numbers.items():
            for _ in range(number):
                requests.enter_context(shares.request(tenant))
        yield


def test_a_tenant_that_is_alone_never_rests(shares: Shares) -> None:
    for _ in range(100):
        shares.record("only", 0.01)
        assert shares.rest_s("only") == 0


def test_the_heaviest_tenant_rests_longer_than_it_works(shares: Shares) -> None:
    shares.record("modest", 0.1)
    with requests_in_progress(shares, greedy=20):
        shares.record("greedy", 0.01)
    assert shares.rest_s("greedy") == pytest.approx(REST_PER_WORK * 0.01)
    assert shares.rest_s("modest") == 0


def test_it_rests_once_for_each_of_the_others(shares: Shares) -> None:
    for tenant in ("a", "b", "c"):
        shares.record(tenant, 0.1)
    with requests_in_progress(shares, greedy=20):
        shares.record("greedy", 0.01)
    assert shares.rest_s("greedy") == pytest.approx(3 * REST_PER_WORK * 0.01)


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
    shares.run("waiting", threading.Event().wait, 0.05)
    assert shares._accounts["waiting"].used_s < 0.05


def test_a_tenant_with_few_requests_does_not_rest_for_one_with_many(shares: Shares) -> None:
    with requests_in_progress(shares, modest=4, greedy=200):
        for _ in range(10):
            shares.record("greedy", 0.1)
            shares.time += shares.rest_s("greedy")
            shares.record("modest", 0.3)  # three times as much
            assert shares.rest_s("modest") == 0
            assert shares.is_heaviest("greedy")


def test_many_requests_that_use_little_do_not_rest_for_few_that_use_much(shares: Shares) -> None:
    with requests_in_progress(shares, streams=4, requests=8):
        shares.record("requests", 0.01)
        shares.record("streams", 0.3)
        shares.record("requests", 0.01)
        assert shares.rest_s("requests") == 0
        assert shares.rest_s("streams") > 0


def test_a_request_that_has_ended_does_not_count(shares: Shares) -> None:
    with shares.request("ended"), shares.request("ended"), shares.request("ended"):
        shares.record("ended", 0.1)
    shares.record("other", 0.2)
    assert shares.is_heaviest("other")


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
