"""Work of requests that does not hold up the event loop, or the threads of others."""

import asyncio
import base64
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
from starlette.testclient import TestClient
from starlette.types import Message

from app.main import create_app
from app.sampling.response import SampleStreamingResponse
from core import process_folder
from tests.conftest import KEY

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
            whole = await asyncio.wait_for(put(1, data), 20)
            go_on.set()
            return whole, await asyncio.gather(*parts)

    assert asyncio.run(upload()) == (200, [200] * STALLED_PARTS)
    assert not list(process_folder.get().glob("ingest_*"))


def test_samples_of_a_client_that_disconnects_are_ended_in_a_thread() -> None:
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

        response = SampleStreamingResponse(
            "tenant", body(), lambda: None, headers={}, media_type="application/x-npz"
        )
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(asyncio.wait_for(respond(), 20))
    assert [thread is threading.main_thread() for thread in ended_in] == [False]
