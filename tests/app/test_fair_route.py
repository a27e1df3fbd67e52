"""Routes whose blocking endpoints run in threads that tenants share."""

import asyncio
import inspect
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import app
from app.authentication import Caller
from app.byte_range import ranged_response
from app.fairness.route import FairRoute
from app.main import ROUTE_MODULES
from app.routes import dashboard, docs
from tests.processes import TIMEOUT_S

MANY = 100  # more requests than there are threads
# Imports whose work runs in threads of anyio, in order of arrival.
SHARED_THREADS = re.compile(r"import .*\b(StreamingResponse|FileResponse|run_in_threadpool)\b")


def get_caller(tenant: str) -> Caller:
    return Caller(tenant, "key", None, frozenset())


PathCaller = Annotated[Caller, Depends(get_caller)]


def is_served_before_a_greedy_tenant(router: APIRouter, release: threading.Event) -> bool:
    """Send requests of a greedy tenant, which wait until `release`, and one of another."""

    async def send() -> bool:
        application = FastAPI()
        application.include_router(router)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            greedy = [asyncio.create_task(http.get("/greedy")) for _ in range(MANY)]
            await asyncio.sleep(0.1)
            try:
                response = await asyncio.wait_for(http.get("/modest"), TIMEOUT_S)
                served_first = not any(task.done() for task in greedy)
            finally:
                release.set()
            statuses = {(await task).status_code for task in greedy}
        return served_first and statuses == {200} and response.text == "true"

    return asyncio.run(send())


def test_one_tenant_leaves_threads_of_the_routes_to_others() -> None:
    router, release = APIRouter(route_class=FairRoute), threading.Event()

    @router.get("/{tenant}")
    def read(caller: PathCaller) -> bool:
        return caller.tenant_id != "greedy" or release.wait()

    assert is_served_before_a_greedy_tenant(router, release)


def test_downloads_of_one_tenant_leave_threads_to_those_of_others() -> None:
    router, release = APIRouter(route_class=FairRoute), threading.Event()

    @router.get("/{tenant}")
    def download(caller: PathCaller) -> Response:
        def read(_start: int, _end: int) -> Iterator[bytes]:
            yield b"tr"
            if caller.tenant_id == "greedy":
                release.wait()
            yield b"ue"

        return ranged_response(
            read,
            4,
            range=None,
            if_range=None,
            tenant_id=caller.tenant_id,
            headers={"ETag": '"x"'},
            media_type="text/plain",
        )

    assert is_served_before_a_greedy_tenant(router, release)


def dependencies(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from dependencies(dependency)


def is_awaited(call: Any) -> bool:
    """Return True unless FastAPI would run the dependency in a thread of anyio."""
    function = call if inspect.isroutine(call) else type(call).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def test_no_route_of_the_api_uses_threads_that_tenants_do_not_share() -> None:
    routes = [
        route
        for module in ROUTE_MODULES
        if module not in (dashboard, docs)  # constant files
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]
    assert len(routes) > 90
    blocking = [route.path for route in routes if not inspect.iscoroutinefunction(route.endpoint)]
    assert blocking == []
    calls = {call for route in routes for call in dependencies(route.dependant)}
    assert len(calls) > 10
    assert [call for call in calls if not is_awaited(call)] == []
    streaming = [
        path.name
        for path in Path(app.__file__).parent.rglob("*.py")
        if SHARED_THREADS.search(path.read_text())
    ]
    assert streaming == ["streaming.py"]
