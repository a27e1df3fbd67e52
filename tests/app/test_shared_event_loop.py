"""Work of requests that does not hold up the event loop, or the threads of others."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel, field_validator
from starlette.testclient import TestClient
from starlette.types import Message

from app import error_handlers
from app.fairness.route import FairRoute, route_threads
from app.fairness.streaming import FairStreamingResponse
from app.main import create_app
from app.sampling.response import SampleStreamingResponse
from core import process_folder
from tests.conftest import KEY
from tests.peak_memory import peak_memory_below
from tests.processes import TIMEOUT_S

STALLED_PARTS = 20  # more than there are threads for parts


def test_parts_that_stall_hold_no_thread(client: TestClient) -> None:
    upload_id = client.post("/v1/uploads", json={"filename": "x.zip"}).json()["id"]
    data = bytes(600_000)
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"

    async def upload() -> tuple[int, list[int]]:
        stalled, go_on = [0], asyncio.Event()

        async def half() -> AsyncIterator[bytes]:
            yield data[:400_000]
            stalled[0] += 1
            await go_on.wait()
            yield data[400_000:]

        transport = httpx.ASGITransport(create_app())
        headers = {"Authorization": f"Bearer {KEY}", "Content-Digest": digest}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as http:

            async def put(number: int, content: bytes | AsyncIterator[bytes]) -> int:
                path = f"/v1/uploads/{upload_id}/parts/{number}"
                return (await http.put(path, content=content)).status_code

            parts = [asyncio.create_task(put(n + 2, half())) for n in range(STALLED_PARTS)]
            while stalled[0] < STALLED_PARTS:
                await asyncio.sleep(0.01)
            whole = await asyncio.wait_for(put(1, data), TIMEOUT_S)
            go_on.set()
            return whole, await asyncio.gather(*parts)

    assert asyncio.run(upload()) == (200, [200] * STALLED_PARTS)
    assert not list(process_folder.get().glob("ingest_*"))


@pytest.mark.parametrize("is_valid", [True, False])
def test_fields_of_a_large_body_are_validated_once_and_in_a_thread(is_valid: bool) -> None:
    validated_in: list[threading.Thread] = []

    class Body(BaseModel):
        names: list[str]

        @field_validator("names")
        @classmethod
        def record(cls, names: list[str]) -> list[str]:
            validated_in.append(threading.current_thread())
            if not is_valid:
                raise ValueError("must have other names")
            return names

    router = APIRouter(route_class=FairRoute)

    @router.post("/")
    def read(body: Body) -> int:
        return len(body.names)

    async def send() -> httpx.Response:
        application = FastAPI()
        application.include_router(router)
        error_handlers.install(application)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/", json={"names": ["x" * 100] * 100})

    response = asyncio.run(send())
    assert response.status_code == (200 if is_valid else 422), response.text
    assert [thread is threading.main_thread() for thread in validated_in] == [False]


def test_a_tenant_has_few_large_bodies_validated_at_once() -> None:
    lock, active, counts = threading.Lock(), [0], []

    class Body(BaseModel):
        names: list[str]

        @field_validator("names")
        @classmethod
        def record(cls, names: list[str]) -> list[str]:
            with lock:
                active[0] += 1
                counts.append(active[0])
            time.sleep(0.02)  # so that others would overlap
            with lock:
                active[0] -= 1
            return names

    router = APIRouter(route_class=FairRoute)

    @router.post("/")
    def read(body: Body) -> int:
        return len(body.names)

    async def send() -> set[int]:
        application = FastAPI()
        application.include_router(router)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            body = {"names": ["x" * 100] * 100}
            responses = await asyncio.gather(*(http.post("/", json=body) for _ in range(12)))
        return {response.status_code for response in responses}

    assert asyncio.run(send()) == {200}
    assert (len(counts), max(counts) <= 3) == (12, True)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({f"f{i}": 0 for i in range(75_000)}, id="fields"),
        pytest.param({"labels": {f"l{i}": -1 for i in range(72_000)}}, marks=pytest.mark.slow),
    ],
)
def test_a_megabyte_of_invalid_values_costs_the_event_loop_little(
    client: TestClient, values: dict[str, object]
) -> None:
    body = json.dumps(values).encode()
    assert 950_000 < len(body) < 1_048_576
    began_s = time.thread_time()
    json.loads(body)
    parsing_s = time.thread_time() - began_s
    assert client.portal is not None
    loop_cpu_s = partial(client.portal.call, time.thread_time)

    def post(content: bytes, key: str) -> int:
        url = "/v1/models/x/samples"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        return client.post(url, content=content, headers=headers).status_code

    post(b"[]", KEY)  # loads modules
    for key, status in ((KEY, 422), ("sem_wrong", 401)):
        durations_s = []
        with peak_memory_below(256):
            for _ in range(2):  # one may contain a garbage collection
                before_s = loop_cpu_s()
                assert post(body, key) == status
                durations_s.append(loop_cpu_s() - before_s)
        assert min(durations_s) < parsing_s  # the validation takes many times as long


@pytest.mark.parametrize(
    "respond_with",
    [
        partial(SampleStreamingResponse, "tenant", close=lambda: None),
        partial(FairStreamingResponse, route_threads, "tenant"),
    ],
)
def test_samples_and_downloads_of_a_client_that_disconnects_are_ended_in_a_thread(
    respond_with: Callable[..., Response],
) -> None:
    ended_in: list[threading.Thread] = []

    def body() -> Iterator[bytes]:
        try:
            while True:
                yield b"samples"
        finally:
            ended_in.append(threading.current_thread())

    async def respond() -> None:
        is_sending = asyncio.Event()

        async def receive() -> Message:
            await is_sending.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                is_sending.set()
                await asyncio.Event().wait()  # the client does not read

        response = respond_with(body=body(), headers={}, media_type="application/x-npz")
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(asyncio.wait_for(respond(), TIMEOUT_S))
    assert [thread is threading.main_thread() for thread in ended_in] == [False]
