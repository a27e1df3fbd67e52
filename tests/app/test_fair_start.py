"""Fair start of requests that arrive at the same time."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from app.fairness.shares import FairShares
from app.fairness.start import STARTS_PER_TICK, FairStartMiddleware
from app.request_owner import remember_owner
from tests.processes import TIMEOUT_S


def make_scope(path: str) -> dict[str, Any]:
    """Return a request whose key is the first part of its path."""
    key = path.split("/")[1].encode()
    return {"type": "http", "path": path, "headers": [(b"authorization", b"Bearer " + key)]}


def run_bursts(paths: list[str], cancelled: tuple[int, ...] = ()) -> list[str]:
    """Return the order in which two bursts of requests reach the application."""
    order: list[str] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        order.append(scope["path"])

    async def unused(*_: Any) -> Any:
        raise AssertionError

    async def burst() -> None:
        middleware = FairStartMiddleware(application)
        for _ in range(2):  # the first burst leaves no state behind
            calls = [
                asyncio.ensure_future(middleware(make_scope(path), unused, unused))
                for path in paths
            ]
            await asyncio.sleep(0)
            for index in cancelled:
                calls[index].cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(burst())
    return order


def test_livez_is_not_blocked_by_a_burst_of_requests() -> None:
    order = run_bursts([*(f"/{n}" for n in range(100)), "/livez"])
    assert order.index("/livez") == STARTS_PER_TICK
    assert [path for path in order if path != "/livez"] == [f"/{n}" for n in range(100)] * 2


def test_requests_start_in_order_when_some_are_cancelled() -> None:
    order = run_bursts([f"/{n}" for n in range(40)], cancelled=(9, 17, 39))
    assert order == [f"/{n}" for n in range(40) if n not in (9, 17, 39)] * 2


def test_a_tenant_does_not_wait_for_all_requests_of_another() -> None:
    for tenant in ("greedy", "modest"):
        remember_owner(make_scope(f"/{tenant}"), tenant)
    burst = [*(f"/greedy/{n}" for n in range(100)), "/modest/0", "/modest/1"]
    order = run_bursts(burst)[: len(burst)]
    assert order.index("/modest/1") <= STARTS_PER_TICK + 3


def test_requests_without_a_known_key_share_the_turns_of_one_tenant() -> None:
    remember_owner(make_scope("/modest"), "modest")
    burst = [*(f"/stranger{n}/0" for n in range(100)), "/modest/0", "/modest/1"]
    order = run_bursts(burst)[: len(burst)]
    assert order.index("/modest/1") <= STARTS_PER_TICK + 3


def test_requests_of_a_tenant_that_has_to_rest_start_when_it_has_rested() -> None:
    async def test() -> list[str]:
        order: list[str] = []

        async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
            order.append(scope["path"])

        async def unused(*_: Any) -> Any:
            raise AssertionError

        clock = [1_000.0]
        shares = FairShares(now=lambda: clock[0])
        for tenant, seconds in (("modest", 0.3), ("greedy", 0.4)):
            remember_owner(make_scope(f"/{tenant}"), tenant)
            shares.record(tenant, seconds)
        middleware = FairStartMiddleware(application, shares)
        resting = [
            asyncio.ensure_future(middleware(make_scope(f"/greedy/{n}"), unused, unused))
            for n in range(2)
        ]
        await asyncio.sleep(0)
        for n in range(2 * STARTS_PER_TICK):
            await middleware(make_scope(f"/modest/{n}"), unused, unused)
        clock[0] += 10  # the first loop iteration after the rest starts them
        await asyncio.wait_for(asyncio.gather(*resting), TIMEOUT_S)
        return order

    order = asyncio.run(test())
    assert order[-2:] == ["/greedy/0", "/greedy/1"]
    assert len(order) == 2 * STARTS_PER_TICK + 2


def test_open_requests_that_do_nothing_do_not_make_a_tenant_the_heaviest() -> None:
    async def test() -> FairShares:
        idle = asyncio.Event()
        shares = FairShares(now=lambda: 1_000.0)

        async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
            await idle.wait()

        async def unused(*_: Any) -> Any:
            raise AssertionError

        remember_owner(make_scope("/light"), "light")
        middleware = FairStartMiddleware(application, shares)
        streams = [
            asyncio.ensure_future(middleware(make_scope(f"/light/{n}"), unused, unused))
            for n in range(STARTS_PER_TICK)
        ]
        await asyncio.sleep(0)
        shares.record("light", 0.01)
        shares.record("heavy", 0.02)
        shares.record("light", 0.001)
        idle.set()
        await asyncio.gather(*streams)
        return shares

    shares = asyncio.run(test())
    assert shares.rest_s("light") == 0
    assert shares.rest_s("heavy") > 0
