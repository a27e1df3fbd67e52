"""How many samples requests are under way at once: those over the bound are refused at once, which
costs next to nothing, rather than left to wait. Free of torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from app.request_body import StrictJsonRoute
from app.thread_pools import ThreadPool
from core.errors import Unavailable
from core.settings import get_settings

T = TypeVar("T")

_threads = ThreadPool("sampling", 64)  # they mostly wait for batches
_under_way = 0


def in_flight() -> int:
    return _under_way


class ConcurrencyLimitedRoute(StrictJsonRoute):
    """Holds a place from before the body is read until the answer has left."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Unavailable when all places are taken."""
        with _place():
            await super().handle(scope, receive, send)


@contextmanager
def _place() -> Iterator[None]:
    global _under_way
    limit = get_settings().sampler_concurrency
    if _under_way >= limit:
        raise Unavailable(
            f"{limit} samples requests are under way already, the limit",
            code="sampler_full",
            headers={"Retry-After": "1"},
            limit=limit,
        )
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1


async def run_in_sampling_thread(work: Callable[[], T]) -> T:
    """`work` in one of the sampler's own threads: those of other routes stay free."""
    return await _threads.run(work)
