"""Health checks as orchestrators need them, and the order of a shutdown."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from app.main import create_sampler_app
from app.routes import health
from core import migration, workers
from core.database import write
from core.settings import Settings
from tests.processes import TIMEOUT_S, eventually, free_port

HOST = {"Host": "10.1.2.3:8000"}


def test_a_probe_to_the_address_of_a_container_is_answered(anonymous: TestClient) -> None:
    assert anonymous.get("/livez", headers=HOST).status_code == 200
    assert anonymous.get("/readyz", headers=HOST).status_code == 200
    assert anonymous.get("/v1", headers=HOST).status_code == 400


def test_the_api_is_ready_without_workers(anonymous: TestClient) -> None:
    checks = anonymous.get("/readyz").json()
    assert checks["status"] == "degraded"
    assert checks["checks"]["worker"] != "ok"
    with write() as session:
        workers.heartbeats(session, {"wkr_1": workers.describe(queues=["training"], host="h")})
    assert anonymous.get("/readyz").json()["status"] == "ready"


def test_nothing_is_ready_with_another_schema(anonymous: TestClient) -> None:
    with TestClient(create_sampler_app(), base_url="http://localhost") as sampler:
        assert set(sampler.get("/readyz").json()["checks"]) == {"shutdown", "database", "storage"}
        with write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        try:
            for client in (anonymous, sampler):
                response = client.get("/readyz")
                assert response.status_code == 503
                assert "schema" in response.json()["checks"]["database"]
        finally:
            with write() as session:
                restore = text("UPDATE alembic_version SET version_num = :head")
                session.execute(restore, {"head": migration.head()})


def test_readiness_writes_nothing(anonymous: TestClient, configured: Settings) -> None:
    before = [path for path in configured.data_dir.rglob("*") if path.is_file()]
    assert anonymous.get("/readyz").status_code == 200
    after = [path for path in configured.data_dir.rglob("*") if path.is_file()]
    assert sorted(after) == sorted(before)


def test_probes_share_the_checks_that_run(
    anonymous: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, may_end = [], threading.Event()
    arrivals, shared_checks = [], health._shared_checks

    def check_storage() -> str | None:
        runs.append(time.monotonic())
        may_end.wait(TIMEOUT_S)
        return None

    def count_arrival(app: FastAPI) -> Awaitable[health.Reasons]:
        arrivals.append(app)
        return shared_checks(app)  # joins the checks that run before the event loop does anything

    monkeypatch.setattr(health, "_storage", check_storage)
    monkeypatch.setattr(health, "_shared_checks", count_arrival)
    with ThreadPoolExecutor(20) as pool:
        probes = [pool.submit(anonymous.get, "/readyz") for _ in range(20)]
        eventually(lambda: runs and len(arrivals) == len(probes))
        assert anonymous.get("/livez").status_code == 200
        assert not any(probe.done() for probe in probes)
        may_end.set()
        assert {probe.result().status_code for probe in probes} == {200}
    assert len(runs) == 1
    assert anonymous.get("/readyz").status_code == 200
    assert len(runs) == 2  # what has ended is not shown again


def test_a_failed_check_is_shown_to_all_probes_and_not_kept(
    anonymous: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(health, "read", lambda: 1 / 0)
        checks = anonymous.get("/readyz").json()["checks"]
        assert {checks[name] for name in ("database", "worker", "gpus")} == {"Does not respond."}
    assert anonymous.get("/readyz").json()["checks"]["database"] == "ok"


def test_readiness_does_not_wait_for_requests_that_hold_all_threads(
    anonymous: TestClient,
) -> None:
    may_end = threading.Event()
    assert anonymous.portal is not None
    waiting = [
        anonymous.portal.start_task_soon(to_thread.run_sync, may_end.wait, 2 * TIMEOUT_S)
        for _ in range(100)
    ]
    try:
        with ThreadPoolExecutor(1) as pool:
            response = pool.submit(anonymous.get, "/readyz").result(timeout=TIMEOUT_S)
        assert response.status_code == 200
        assert not any(each.done() for each in waiting)
    finally:
        may_end.set()


@pytest.mark.slow
def test_sigterm_first_drains_then_ends_streams_then_stops(client: TestClient) -> None:
    port = free_port()
    address, headers = f"http://127.0.0.1:{port}", dict(client.headers)
    environment = {"SEMBLANCE_PORT": str(port), "SEMBLANCE_DRAIN_DELAY_SECONDS": "4"}
    process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | environment)
    ended: list[float] = []
    following = threading.Event()

    def follow() -> None:
        stream_headers = {"Authorization": headers["authorization"], "Accept": "text/event-stream"}
        url = f"{address}/v1/events"
        with httpx.stream("GET", url, headers=stream_headers, timeout=60) as stream:
            following.set()
            for _ in stream.iter_bytes():  # raises if the stream is cut off
                pass
        ended.append(time.monotonic())

    def status() -> int:
        try:
            return httpx.get(f"{address}/readyz", timeout=20).status_code
        except httpx.TransportError:
            return 0

    try:
        eventually(lambda: status() == 200)
        follower = threading.Thread(target=follow)
        follower.start()
        assert following.wait(TIMEOUT_S)
        process.send_signal(signal.SIGTERM)
        signaled_at = time.monotonic()
        eventually(lambda: status() == 503)
        assert httpx.get(f"{address}/livez", timeout=20).status_code == 200
        follower.join(TIMEOUT_S)
        assert ended[0] - signaled_at >= 4
        assert process.wait(TIMEOUT_S) == -signal.SIGTERM
        assert time.monotonic() - ended[0] < 10  # the stream did not hold up the shutdown
    finally:
        process.kill()
        process.wait()
