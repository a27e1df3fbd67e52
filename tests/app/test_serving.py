"""Sampling under load: the concurrency limit and disconnected clients."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient
from starlette.types import Message, Receive

from app.main import create_app
from app.sampling.concurrency_limit import in_flight
from app.sampling.model_cache import get_model_cache
from app.sampling.service import get_sampling_service
from core import api_keys, model_registry
from core.database import read, write
from core.settings import Settings
from core.storage import StoredObject, get_storage
from models.checkpoint import pack, unpack
from tests.conftest import KEY, TENANT
from tests.factories import clear_model_caches, create_model
from tests.models.images.tiny import make_settings
from tests.processes import TIMEOUT_S, eventually

URL = "/v1/models/shoes/samples"


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def test_concurrent_requests_get_the_same_samples_as_single_ones(service: TestClient) -> None:
    def sample(seed: int) -> bytes:
        response = service.get(URL, params={"label": "Größe", "seed": seed})
        assert response.status_code == 200, response.text
        return response.content

    class Blocked:
        """A model whose only batch lasts until the test ends it."""

        batch_size = 1
        started, ended = threading.Event(), threading.Event()

        def generate(self, *columns: NDArray[Any]) -> NDArray[Any]:
            self.started.set()
            self.ended.wait(TIMEOUT_S)
            return columns[0]

    alone = [sample(seed) for seed in range(24)]
    batcher = get_sampling_service().batcher
    blocked = batcher.submit("test", Blocked(), [np.zeros(1)], "image")
    Blocked.started.wait(TIMEOUT_S)
    before = batcher.batches
    with ThreadPoolExecutor(24) as pool:
        together = pool.map(sample, range(24))
        eventually(lambda: batcher.waiting_requests() == 24)
        Blocked.ended.set()
        assert list(together) == alone
    blocked.result()
    assert batcher.batches - before < 24


def test_requests_over_the_concurrency_limit_are_rejected_with_retry_after(
    service: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "sampler_concurrency", 2)
    expected = service.get(URL, params={"seed": 1}).content
    with ThreadPoolExecutor(2) as pool:
        with get_sampling_service().sampling_lock.take("test"):
            waiting = [pool.submit(service.get, URL, params={"seed": 1}) for _ in range(2)]
            while in_flight() < 2:
                pass
            rejected = service.get(URL, params={"seed": 1})
            assert (rejected.status_code, rejected.json()["code"]) == (503, "sampler_full")
            assert int(rejected.headers["retry-after"]) >= 1
            assert service.get("/livez").status_code == 200
        assert [response.result().content for response in waiting] == [expected] * 2
    assert in_flight() == 0
    assert service.get(URL, params={"seed": 1}).status_code == 200


def test_nothing_is_read_and_no_place_is_taken_before_the_key_is_known(
    service: TestClient,
) -> None:
    """A request without a valid key, whose body never comes, is answered at once."""

    async def receive() -> Message:
        raise AssertionError("the body was read")

    def post(path: str, authorization: str, receive: Receive) -> tuple[int, int]:
        headers = {"host": "localhost", "content-type": "application/json", "content-length": "99"}
        headers["authorization"] = authorization
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        statuses, places = [], []

        async def send(message: Message) -> None:
            statuses.append(message.get("status"))
            places.append(in_flight())

        anyio.run(create_app(), scope, receive, send)
        return statuses[0], max(places)

    assert post(URL, "Bearer sem_wrong", receive) == (401, 0)
    assert post("/v1/jobs", "Bearer sem_wrong", receive) == (401, 0)
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    assert post(URL, "Bearer sem_reader", receive) == (403, 0)


def test_a_body_that_does_not_come_takes_no_place(service: TestClient) -> None:
    places = []

    async def receive() -> Message:
        places.append(in_flight())
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    headers = {"host": "localhost", "content-type": "application/json", "content-length": "99"}
    headers["authorization"] = f"Bearer {KEY}"
    scope = {
        "type": "http",
        "method": "POST",
        "path": URL,
        "raw_path": URL.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    anyio.run(create_app(), scope, receive, send)
    assert places == [0]


class DisconnectingClient:
    """An ASGI client that disconnects after the first chunk of the response."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body: bytes | None = json.dumps(body).encode()
        self._first_chunk = anyio.Event()
        self.received = 0

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._first_chunk.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message.get("body"):
            self.received += len(message["body"])
            self._first_chunk.set()
            await anyio.sleep(0)


def test_a_disconnected_client_frees_its_slot_at_once(service: TestClient) -> None:
    headers = {"host": "localhost", "authorization": f"Bearer {KEY}"}
    headers["content-type"] = "application/json"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "POST",
        "path": URL,
        "raw_path": URL.encode(),
        "query_string": b"format=npz",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def stream_and_disconnect() -> DisconnectingClient:
        client = DisconnectingClient({"count": 500_000, "seed": 1})
        await create_app()(scope, client.receive, client.send)
        return client

    client = anyio.run(stream_and_disconnect)
    assert 0 < client.received < 500_000 * 64 // 10
    sampling_service = get_sampling_service()
    assert not sampling_service.batcher._waiting
    assert in_flight() == 0
    with read() as session:
        model = model_registry.get(session, TENANT, "shoes")
    get_model_cache().unload(model)  # raises while the model is leased


def test_a_model_of_an_unknown_architecture_is_unavailable(service: TestClient) -> None:
    with write() as session:
        model = model_registry.get(session, TENANT, "shoes")
        with get_storage().open(StoredObject.from_dict(model.weights)) as path:
            tensors, header = unpack(path)
        header["hyperparameters"] = make_settings(architecture="mlp").to_dict() | {
            "architecture": "gone"
        }
        stored = get_storage().put("t/default/models/gone", pack(tensors, header))
        model.weights = stored.to_dict()
    response = service.get(URL, params={"seed": 1})
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
