"""Many requests at once do not keep the next one waiting."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from app.fair_start import STARTS_PER_TICK, FairStartMiddleware


def run(paths: list[str], cancelled: tuple[int, ...] = ()) -> list[str]:
    """The order in which requests that come at the same time reach the application."""
    order: list[str] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        order.append(scope["path"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    async def burst() -> None:
        turnstile = FairStartMiddleware(application)
        for _ in range(2):  # a second burst finds it as the first one did
            calls = [
                asyncio.ensure_future(turnstile({"type": "http", "path": path}, nothing, nothing))
                for path in paths
            ]
            await asyncio.sleep(0)
            for number in cancelled:
                calls[number].cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(burst())
    return order


def test_whoever_asks_whether_the_process_lives_waits_for_a_few_alone() -> None:
    order = run([*(f"/{n}" for n in range(100)), "/livez"])
    assert order.index("/livez") == STARTS_PER_TICK
    assert [path for path in order if path != "/livez"] == [f"/{n}" for n in range(100)] * 2


def test_all_come_in_in_order_though_some_give_up() -> None:
    order = run([f"/{n}" for n in range(40)], cancelled=(9, 17, 39))
    assert order == [f"/{n}" for n in range(40) if n not in (9, 17, 39)] * 2
