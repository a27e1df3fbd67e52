"""Routes whose endpoints run in threads that tenants share in turns.

FastAPI runs an endpoint that is not a coroutine in a thread of anyio, in order of arrival: a
hundred slow requests of one tenant would take all of them.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from fastapi.routing import APIRoute

from app.authentication import Caller
from app.fair_turns import FairThreads
from app.request_owner import STRANGERS

T = TypeVar("T")

# Two of the heaviest tenant, because one may wait for a long time for a file that is read.
route_threads = FairThreads(40, per_owner=30, of_heaviest=2)


class FairRoute(APIRoute):
    """Route that runs an endpoint that is not a coroutine in a thread of the caller's tenant."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = _in_thread(endpoint)
        super().__init__(path, endpoint, **options)


def _in_thread(endpoint: Callable[..., T]) -> Callable[..., Any]:
    @wraps(endpoint)  # FastAPI reads its parameters
    async def run(**arguments: Any) -> T:
        callers = (value for value in arguments.values() if isinstance(value, Caller))
        tenant_id = next((caller.tenant_id for caller in callers), STRANGERS)
        return await route_threads.run(tenant_id, partial(endpoint, **arguments))

    return run
