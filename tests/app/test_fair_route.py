"""Routes whose blocking endpoints run in threads that tenants share."""

import asyncio
import inspect
import threading
from typing import Annotated

import httpx
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from app.authentication import Caller
from app.fair_route import FairRoute
from app.main import ROUTE_MODULES
from app.routes import dashboard, docs

MANY = 100  # more requests than there are threads


def test_one_tenant_leaves_threads_of_the_routes_to_others() -> None:
    router, release = APIRouter(route_class=FairRoute), threading.Event()

    def get_caller(tenant: str) -> Caller:
        return Caller(tenant, "key", None, frozenset())

    @router.get("/{tenant}")
    def read(caller: Annotated[Caller, Depends(get_caller)]) -> bool:
        return caller.tenant_id != "greedy" or release.wait(20)

    async def send() -> bool:
        app = FastAPI()
        app.include_router(router)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            greedy = [asyncio.create_task(http.get("/greedy")) for _ in range(MANY)]
            await asyncio.sleep(0.1)
            try:
                response = await asyncio.wait_for(http.get("/modest"), 5)
                served_first = not any(task.done() for task in greedy)
            finally:
                release.set()
            statuses = {(await task).status_code for task in greedy}
        return served_first and statuses == {200} and bool(response.json())

    assert asyncio.run(send())


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
