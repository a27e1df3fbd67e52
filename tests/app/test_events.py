"""Events of all jobs of a tenant, as pages and as a stream that resumes."""

import asyncio
import json
import time
from typing import Any

import pytest
from sqlalchemy import event, select, update
from starlette.testclient import TestClient

from app import sse
from app.sse import FeedKey, stream_events
from core import jobs
from core.database import clock, get_engine, read, write
from core.jobs import Claim, Heartbeat, NewEvent
from core.tables import ApiKey, Event, Tenant
from tests.conftest import TENANT, AddJob
from tests.processes import TIMEOUT_S
from tests.servers import SERVER


def parse(message: bytes) -> dict[str, Any]:
    lines = [line.split(": ", 1) for line in message.decode().splitlines() if ": " in line]
    fields = dict(lines)
    data = json.loads(fields["data"]) if "data" in fields else None
    return {"id": fields.get("id"), "event": fields.get("event"), "data": data}


def own_key_id() -> str:
    with read() as session:
        return session.scalars(select(ApiKey.id)).one()


async def read_stream(key: FeedKey, after: int | None, count: int) -> list[dict[str, Any]]:
    """Return the first `count` messages that have data."""
    stream, messages = stream_events(key, after, own_key_id()), []
    async with asyncio.timeout(TIMEOUT_S):
        async for message in stream:
            if (parsed := parse(message))["data"] is not None:
                messages.append(parsed)
            if len(messages) == count:
                break
    await stream.aclose()  # type: ignore[attr-defined]
    await sse._poller._task  # type: ignore[misc]  # ends when nobody follows
    return messages


@pytest.fixture(autouse=True)
def new_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_poller", sse._Poller())
    monkeypatch.setattr(sse, "_watermark", jobs.EventWatermark())
    monkeypatch.setattr(sse, "POLL_S", 0.05)
    # Tests in other databases of a server have transactions, too.
    monkeypatch.setattr(sse, "SETTLE_S", TIMEOUT_S)


def test_the_events_of_all_jobs_are_one_list(client: TestClient, add_job: AddJob) -> None:
    first, second = add_job(), add_job()
    page = client.get("/v1/events?limit=1").json()
    assert [(event["job"], event["type"]) for event in page["data"]] == [(first.id, "state")]
    rest = client.get(f"/v1/events?after={page['next']}").json()
    assert [(event["job"], event["data"]["state"]) for event in rest["data"]] == [
        (second.id, "queued")
    ]
    assert client.get("/v1/events?type=metrics").json()["data"] == []
    for path in ("/v1/events", f"/v1/jobs/{first.id}/events"):
        assert client.get(f"{path}?after=1{'0' * 30}").status_code == 422


def test_a_stream_of_all_jobs_resumes_after_an_event(client: TestClient, add_job: AddJob) -> None:
    created = [add_job().id for _ in range(3)]
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        session.add(Event(tenant_id="other", job_id=created[0], type="log", data={"message": "x"}))
    everything = asyncio.run(read_stream(FeedKey(TENANT), 0, 3))
    assert [message["data"]["job"] for message in everything] == created
    resumed = asyncio.run(read_stream(FeedKey(TENANT), int(everything[1]["id"]), 1))
    assert resumed == everything[2:]


def test_a_stream_without_a_start_has_only_new_events(client: TestClient, add_job: AddJob) -> None:
    add_job()

    async def read_next() -> list[dict[str, Any]]:
        reader = asyncio.create_task(read_stream(FeedKey(TENANT), None, 1))
        async with asyncio.timeout(TIMEOUT_S):
            while not sse._poller._feeds:  # it has found the newest event
                await asyncio.sleep(0.01)
        new = await asyncio.to_thread(add_job)
        messages = await reader
        assert messages[0]["data"]["job"] == new.id
        return messages

    assert asyncio.run(read_next())[0]["event"] == "state"


def test_a_stream_that_is_cut_off_returns_its_connection(
    client: TestClient, add_job: AddJob
) -> None:
    add_job()
    reading = asyncio.Event()

    def read_slowly(*_: object) -> None:
        loop.call_soon_threadsafe(reading.set)
        time.sleep(0.2)

    async def cut_off() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(read_stream(FeedKey(TENANT), None, 1))
        await reading.wait()
        task.cancel()

    loop: asyncio.AbstractEventLoop
    event.listen(get_engine(), "before_cursor_execute", read_slowly)
    asyncio.run(cut_off())
    assert get_engine().pool.checkedout() == 0  # type: ignore[attr-defined]


def test_progress_of_running_jobs_is_streamed_without_an_id(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    with write() as session:
        claimed = jobs.claim(session, job.id, "w/h:1")
        assert claimed is not None
        beat(claimed[0], session, 30.0)
    for key in (FeedKey(TENANT), FeedKey(TENANT, job.id)):
        messages = asyncio.run(read_stream(key, 0, 4))
        (progress,) = [message for message in messages if message["event"] == "progress"]
        assert progress["id"] is None
        assert (progress["data"]["job"], progress["data"]["percent"]) == (job.id, 30.0)
        assert "phase" in [message["event"] for message in messages]


def beat(claim: Claim, session: Any, percent: float) -> None:
    events = [NewEvent("phase", {"phase": "training"})]
    heartbeat = Heartbeat("training", 3, events=events, progress={"percent": percent})
    jobs.heartbeat(session, claim, heartbeat)


def test_a_key_without_the_scope_read_has_no_events(anonymous: TestClient) -> None:
    assert anonymous.get("/v1/events").status_code == 401


@pytest.mark.skipif(SERVER is None, reason="SQLite has one writer")
def test_a_page_does_not_pass_an_event_that_is_committed_late(
    client: TestClient, add_job: AddJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = add_job(), add_job()
    after = client.get("/v1/events").json()["next"]
    with write() as session:  # gets the smaller id, and is committed after the other one
        jobs.record_events(session, TENANT, late.id, [NewEvent("log", {"message": "late"})])
        session.flush()
        with write() as other:
            jobs.record_events(other, TENANT, early.id, [NewEvent("log", {"message": "early"})])
        with monkeypatch.context() as context:
            context.setattr(sse, "SETTLE_S", 0.1)
            assert client.get(f"/v1/events?after={after}").json()["data"] == []
    page = client.get(f"/v1/events?after={after}").json()["data"]
    assert [event["data"]["message"] for event in page] == ["late", "early"]


def test_a_stream_ends_when_its_key_is_revoked(client: TestClient, add_job: AddJob) -> None:
    add_job()

    async def read_until_the_end() -> int:
        messages = 0
        async with asyncio.timeout(TIMEOUT_S):
            async for _ in stream_events(FeedKey(TENANT), 0, own_key_id()):
                messages += 1
                with write() as session:
                    session.execute(update(ApiKey).values(revoked_at=clock()))
        return messages

    assert asyncio.run(read_until_the_end()) >= 1
