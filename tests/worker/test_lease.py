"""The thread that holds on to a job, and what becomes of a step that hangs."""

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
from core.settings import Settings
from core.storage import Storage
from core.tables import Job, JobState
from tests.conftest import AddJob, expire_lease, reload
from tests.job_runs import create_training_job, run_training_job
from tests.processes import eventually
from worker import training, worker_lock
from worker.lease import HUNG_EXIT_CODE, Lease


def claimed(job: Job) -> Claim:
    with write() as session:
        taken = jobs.claim(session, job.id, "one")
    assert taken is not None
    return taken[0]


@pytest.fixture
def short(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "LEASE_SECONDS": "0.4",
        "HEARTBEAT_SECONDS": "0.1",
        "STEP_TIMEOUT_SECONDS": "0.5",
    }.items():
        monkeypatch.setenv(f"SEMBLANCE_{name}", value)
    settings.get_settings.cache_clear()
    return settings.get_settings()


def test_a_step_that_hangs_under_heartbeats_loses_its_job_and_its_process(
    add_job: AddJob, short: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short, "lease_seconds", 2.0)  # no heartbeat is late on a busy machine
    job, left = add_job(), threading.Event()
    with Lease(claimed(job), short, exit_process=lambda status: left.set() or status) as lease:
        lease.phase = "training"
        for lease.step in range(1, 4):
            time.sleep(0.15)
        began = time.monotonic()  # the next step never ends
        while reload(job).state is JobState.RUNNING:
            with write() as session:
                jobs.sweep(session)
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        assert time.monotonic() - began > 20 * 0.1 - 0.5  # 20 times the slowest step, no earlier
        assert left.wait(30)


def test_work_that_notices_that_its_job_is_lost_ends_by_itself(
    add_job: AddJob, short: Settings
) -> None:
    job, left = add_job(), threading.Event()
    with Lease(claimed(job), short, exit_process=lambda _status: left.set()) as lease:
        with write() as session:
            expire_lease(session, job)
        eventually(lambda: lease._lost)
        with pytest.raises(jobs.LeaseLost):
            lease.check()
    assert not left.wait(2 * short.lease_seconds)


def test_a_process_that_is_left_has_a_status_of_its_own() -> None:
    assert HUNG_EXIT_CODE not in {0, 1, 2}
    assert Lease.__init__.__kwdefaults__["exit_process"] is os._exit


def test_a_slot_whose_holder_stands_still_names_it(tmp_path: Path) -> None:
    watch = worker_lock.LockMonitor(tmp_path)
    assert watch.stuck_holder(0) is None
    with worker_lock.try_acquire(tmp_path) as ours:
        assert ours
        assert not worker_lock.is_free(tmp_path)
        assert watch.stuck_holder(0.2) is None
        time.sleep(0.3)
        assert watch.stuck_holder(0.2) == os.getpid()
        worker_lock.touch(tmp_path)
        assert watch.stuck_holder(0.2) is None
        os.utime(tmp_path / "slot.lock", (0, 0))  # the clock jumps
        assert watch.stuck_holder(0.2) is None
    time.sleep(0.3)
    assert watch.stuck_holder(0.2) is None


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("UPDATE jobs", {}, Exception("server closed the connection")),
        Unavailable("the object store does not answer", code="storage_down"),
    ],
    ids=["database", "store"],
)
def test_a_job_under_which_the_database_or_the_store_goes_away_goes_on_later(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job_id = create_training_job(client, checkpoint={"interval_steps": 5})
    stored, calls = Storage.put, []

    def put(self: Storage, key: str, data: bytes) -> object:
        calls.append(key)
        if "state-10" in key and sum("state-10" in call for call in calls) == 1:
            raise error
        return stored(self, key, data)

    monkeypatch.setattr(Storage, "put", put)
    assert run_training_job(client, job_id)["state"] == "queued"
    began: list[int] = []
    progress = training.JobTrainingCallbacks.progress

    def watched(self: training.JobTrainingCallbacks, step: int) -> float:
        began.append(step)
        return progress(self, step)

    monkeypatch.setattr(training.JobTrainingCallbacks, "progress", watched)
    job = run_training_job(client, job_id)
    assert (job["state"], job["attempt"], began[0]) == ("succeeded", 2, 5)
