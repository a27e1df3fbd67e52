"""PostgreSQL restarts or does not answer for some seconds: jobs go on, requests end in time."""

import time
from pathlib import Path

import httpx
import pytest

from tests.chaos.harness import serve_with_failpoints
from tests.postgres_cluster import IS_AVAILABLE, running
from tests.processes import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not IS_AVAILABLE, reason="needs initdb and pg_ctl of PostgreSQL"),
]
OPTIONS = {
    # The lease is as long as by default; the timeout is shorter, so that the test is.
    "SEMBLANCE_LEASE_SECONDS": "30",
    "SEMBLANCE_HEARTBEAT_SECONDS": "2",
    "SEMBLANCE_DATABASE_TIMEOUT_SECONDS": "3",
}


def test_restarts_cost_no_attempt_and_a_frozen_server_no_request(tmp_path: Path) -> None:
    with running() as cluster:
        options = OPTIONS | {"SEMBLANCE_DATABASE_URL": cluster.url}
        with serve_with_failpoints(tmp_path, database_url=cluster.url, **options) as chaos:
            key = (chaos.server.folder / "admin.key").read_text().strip()
            jobs = [chaos.start_training(steps=1_500, checkpoint_interval=20)]
            jobs.append(chaos.start_training(steps=20))
            chaos.wait_for_step(jobs[0], 10)
            for pause_s in (0.0, 8.0):
                cluster.restart(pause_s)
                eventually(chaos.server.is_ready)
                time.sleep(2)
            with cluster.frozen():
                started = time.monotonic()
                path, headers = f"/v1/jobs/{jobs[0]}", {"Authorization": f"Bearer {key}"}
                response = httpx.get(chaos.server.url + path, headers=headers, timeout=60)
                assert (response.status_code, response.json()["code"]) == (503, "database_down")
                assert time.monotonic() - started < 15
            eventually(chaos.server.is_ready)
            ended = [chaos.wait_for_end(job, within=300) for job in jobs]
            assert [job["state"] for job in ended] == ["succeeded", "succeeded"]
            assert [job["attempt"] for job in ended] == [1, 1], chaos.server.log()[-3_000:]
            chaos.check_tables()
