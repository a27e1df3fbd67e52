"""Main process of a worker, as an operator starts it."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from sqlalchemy import text

from core import workers
from core.database import get_engine, read
from core.settings import Settings
from core.tables import JobState
from tests.conftest import AddJob, reload
from tests.processes import eventually
from tests.servers import BROKER, SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
WORKER = [sys.executable, "-m", "worker"]
BROKER_SETTINGS = {} if BROKER is None else {"SEMBLANCE_BROKER_URL": BROKER}


def test_a_worker_until_idle_runs_all_due_jobs_then_exits(add_job: AddJob) -> None:
    posted = [add_job(), add_job()]  # fail at once: their dataset has no files
    environment = os.environ | BROKER_SETTINGS | {"SEMBLANCE_WORKER_UNTIL_IDLE": "true"}
    assert subprocess.run(WORKER, env=environment, timeout=300, check=False).returncode == 0
    assert [reload(job).state for job in posted] == [JobState.FAILED] * 2
    with read() as session:
        assert workers.active(session) == []


def test_a_worker_has_a_lower_priority_than_an_api(configured: Settings) -> None:
    process = subprocess.Popen(WORKER, env=os.environ | BROKER_SETTINGS)
    try:
        eventually(_is_registered)
        main = psutil.Process(process.pid)
        assert all(each.nice() > os.nice(0) for each in (main, *main.children(recursive=True)))
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.skipif(SERVER is None, reason="counts the connections of PostgreSQL")
def test_an_idle_worker_has_at_most_two_connections(configured: Settings) -> None:
    process = subprocess.Popen(WORKER, env=os.environ | BROKER_SETTINGS)
    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    own = "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    try:
        eventually(_is_registered)
        counts = []
        for _ in range(100):
            with get_engine().connect() as connection:
                counts.append(connection.scalar(query) - connection.scalar(text(own)))
            time.sleep(0.05)
        assert 1 <= max(counts) <= 2
    finally:
        process.terminate()
        process.wait(60)


def _is_registered() -> bool:
    with read() as session:
        return bool(workers.active(session))
