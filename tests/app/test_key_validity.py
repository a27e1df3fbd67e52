"""Responses that end because their key was revoked."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import key_validity
from core import api_keys
from core.database import clock, read, write
from core.tables import ApiKey
from tests.conftest import KEY

PATH = "/v1/models/people/samples"


def receive_samples(application: FastAPI, *, revoke: bool) -> tuple[int, bool]:
    """Request samples, revoke the key once the response has begun; return how many bytes came.

    Also return whether the response was complete.
    """
    received, complete = 0, False
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"count=20000&format=csv",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {KEY}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal received, complete
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        else:
            received += len(message["body"])
            complete = not message.get("more_body", False)
            if revoke:
                await asyncio.to_thread(revoke_key)

    asyncio.run(application(scope, receive, send))
    return received, complete


def revoke_key() -> None:
    with read() as session:
        key = api_keys.find(session, KEY)
    if key is not None:
        with write() as session:
            session.get_one(ApiKey, key.id).revoked_at = clock()


def test_samples_end_after_the_key_was_revoked(
    people: TestClient, application: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_validity, "CHECK_INTERVAL_S", 0.0)
    size, complete = receive_samples(application, revoke=False)
    assert complete
    part, complete = receive_samples(application, revoke=True)
    assert not complete
    assert 0 < part < size / 2
