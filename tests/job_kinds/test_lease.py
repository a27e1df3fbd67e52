"""Lease renewal by a background thread, and handling of steps that hang."""

import os
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from core import jobs, settings
from core.database import write
from core.errors import Unavailable
from core.jobs import Claim
from core.leases import LeaseLost
from core.settings import Settings
from core.storage import Storage
from core.tables import Job, JobState
from job_kinds.lease import HUNG_EXIT_CODE, Lease
from job_kinds.training.run import RunningTraining
from tests.conftest import AddJob, expire_lease, reload
from tests.job_runs import create_training_job, run_training_job
from tests.processes import TIMEOUT_S, eventually
from worker import worker_lock


def claim(job: Job) -> Claim:
    with write() as session:
        claimed = jobs.claim(session, job.id, "one")
    assert claimed is not None
    return claimed[0]


@pytest.fixture
def short_intervals(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "LEASE_SECONDS": "0.4",
        "HEARTBEAT_SECONDS": "0.1",
        "STEP_TIMEOUT_SECONDS": "0.5",
    }.items():
        monkeypatch.setenv(f"SEMBLANCE_{name}", value)
    settings.get_settings.cache_clear()
    return settings.get_settings()


def test_hanging_step_loses_its_job_and_the_process_exits(
    add_job: AddJob, short_intervals: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A longer lease, so that no heartbeat is late on a busy machine.
    monkeypatch.setattr(short_intervals, "lease_seconds", 5.0)
    job, exited = add_job(), threading.Event()
    with Lease(
        claim(job), short_intervals, exit_process=lambda status: exited.set() or status
    ) as lease:
        lease.phase = "training"
        for lease.step in range(1, 4):
            began = time.monotonic()  # the step after the last one hangs
            eventually(lambda: lease._seen == ("training", lease.step))
        while reload(job).state is JobState.RUNNING:
            with write() as session:
                jobs.sweep(session)
            time.sleep(0.05)
        assert time.monotonic() - began > 20 * 0.1 - 0.1  # not before 20 times the slowest step
        assert exited.wait(TIMEOUT_S)


def test_process_does_not_exit_when_the_work_notices_the_lost_lease(
    add_job: AddJob, short_intervals: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_intervals, "lease_seconds", TIMEOUT_S)  # in which it may notice it
    job, exited = add_job(), threading.Event()
    with Lease(claim(job), short_intervals, exit_process=lambda _status: exited.set()) as lease:
        with write() as session:
            expire_lease(session, job)
        eventually(lambda: lease._lost)
        time.sleep(3 * short_intervals.heartbeat_seconds)  # for its thread to see it, too
        with pytest.raises(LeaseLost):
            lease.check()
    lease._thread.join()
    assert not exited.is_set()


def test_exit_code_of_a_hung_process_is_distinct() -> None:
    assert HUNG_EXIT_CODE not in {0, 1, 2}
    assert Lease.__init__.__kwdefaults__["exit_process"] is os._exit


def test_lock_monitor_returns_the_holder_that_stopped_updating_the_lock(tmp_path: Path) -> None:
    monitor = worker_lock.LockMonitor(tmp_path)
    assert monitor.stuck_holder(0) is None
    with worker_lock.try_acquire(tmp_path) as acquired:
        assert acquired
        assert not worker_lock.is_free(tmp_path)
        assert monitor.stuck_holder(0.2) is None
        time.sleep(0.3)
        assert monitor.stuck_holder(0.2) == os.getpid()
        worker_lock.touch(tmp_path)
        assert monitor.stuck_holder(0.2) is None
        os.utime(tmp_path / "slot.lock", (0, 0))  # the clock jumps
        assert monitor.stuck_holder(0.2) is None
    time.sleep(0.3)
    assert monitor.stuck_holder(0.2) is None


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("UPDATE jobs", {}, Exception("server closed the connection")),
        Unavailable("the object storage does not respond", code="storage_down"),
    ],
    ids=["database", "storage"],
)
def test_job_is_requeued_and_resumed_when_database_or_storage_is_unavailable(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job_id = create_training_job(client, checkpoint={"interval_steps": 5})
    original_put, calls = Storage.put, []

    def put(self: Storage, key: str, data: bytes) -> object:
        calls.append(key)
        if "state-10" in key and sum("state-10" in call for call in calls) == 1:
            raise error
        return original_put(self, key, data)

    monkeypatch.setattr(Storage, "put", put)
    assert run_training_job(client, job_id)["state"] == "queued"
    steps: list[int] = []
    progress = RunningTraining.progress

    def record_step(self: RunningTraining, step: int) -> float:
        steps.append(step)
        return progress(self, step)

    monkeypatch.setattr(RunningTraining, "progress", record_step)
    job = run_training_job(client, job_id)
    assert (job["state"], job["attempt"], steps[0]) == ("succeeded", 2, 5)
