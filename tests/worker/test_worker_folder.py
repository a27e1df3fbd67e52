"""Folders of workers: whoever dies leaves nothing that claims jobs, and no files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

from core.database import write
from core.settings import Settings, get_settings
from core.tables import JOB_FORMAT, Job, JobState
from tests.conftest import AddJob, reload
from tests.job_runs import create_training_job
from tests.processes import eventually
from tests.servers import BROKER
from worker import main, worker_folder, worker_lock
from worker.job_runner import run_next


def test_a_folder_is_abandoned_once_its_main_process_is_dead(tmp_path: Path) -> None:
    with worker_folder.create(tmp_path / "wkr_1") as folder:
        assert worker_folder.may_claim(folder)
        worker_folder.remove_leftovers(tmp_path)
        assert folder.exists()
        worker_folder.request_drain(folder)
        assert worker_folder.is_draining(folder)
    assert not folder.exists()

    folder.mkdir()
    (folder / "main.lock").touch()  # as after SIGKILL
    assert worker_folder.is_draining(folder)
    with worker_lock.try_acquire(folder):  # its job is still being saved
        worker_folder.remove_leftovers(tmp_path)
        assert folder.exists()
    worker_folder.remove_leftovers(tmp_path)
    assert not folder.exists()


def test_old_temporary_files_are_removed_when_a_worker_starts(tmp_path: Path) -> None:
    for name, age_s in (("upload-old", 90_000), ("upload-new", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}-file").touch()
        moment = time.time() - age_s
        for path in (tmp_path / name, tmp_path / f"{name}-file"):
            os.utime(path, (moment, moment))
    worker_folder.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["upload-new", "upload-new-file"]


def test_a_worker_does_not_start_with_an_unknown_queue(configured: Settings) -> None:
    with pytest.raises(SystemExit, match="Unknown queues: trainings"):
        main.main(["training", "trainings"])


def test_a_worker_leaves_jobs_of_a_newer_version_to_others(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        session.get_one(Job, job.id).format = JOB_FORMAT + 1
    assert not run_next(["training"])
    assert reload(job).state is JobState.QUEUED


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_after_sigkill_of_the_main_process_no_other_process_goes_on(client: TestClient) -> None:
    job_id = create_training_job(client, budget={"steps": 1_000_000})
    command = [sys.executable, "-m", "worker", "training"]
    broker = {} if BROKER is None else {"SEMBLANCE_BROKER_URL": BROKER}
    process = subprocess.Popen(command, env=os.environ | broker)

    def read_job() -> Any:
        return client.get(f"/v1/jobs/{job_id}").json()

    try:
        eventually(lambda: read_job()["progress"]["step"] > 0, within=300)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: read_job()["state"] == "queued")
    events = client.get(f"/v1/jobs/{job_id}/events?type=state").json()["data"]
    assert events[-1]["data"]["reason"] == "drained"  # saved and released, not lost
    eventually(lambda: not any(map(is_alive, children)))
    (folder,) = get_settings().scratch.glob("wkr_*")
    worker_folder.remove_leftovers(get_settings().scratch)
    assert not folder.exists()
