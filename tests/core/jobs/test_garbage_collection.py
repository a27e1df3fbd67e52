"""Garbage collection of unreferenced files of ended jobs."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from core import jobs
from core.database import read, write
from core.jobs import Claim, NewCheckpoint
from core.settings import Settings, get_settings
from core.storage import Storage, StoredObject, key_of
from core.tables import Job
from tests.conftest import TENANT, AddJob

Put = Callable[[Job, str], StoredObject]


@pytest.fixture
def storage(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("SEMBLANCE_ORPHAN_RETENTION_SECONDS", "3600")
    get_settings.cache_clear()
    return Storage.from_url(configured.storage_url, configured.scratch)


@pytest.fixture
def put(storage: Storage) -> Put:
    return lambda job, name: storage.put(key_of(TENANT, "jobs", job.id, *name.split("/")), b"x")


def claim_job(job: Job) -> Claim:
    with write() as session:
        claim_and_job = jobs.claim(session, job.id, "w/h:1")
    assert claim_and_job is not None
    return claim_and_job[0]


def cancel_job(job: Job) -> None:
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
        row = session.get_one(Job, job.id)
        if row.finished_at is None:
            jobs.confirm_cancelled(session, Claim(TENANT, job.id, row.fencing_token, "w/h:1"))


def backdate_end(job: Job) -> None:
    with write() as session:
        row = session.get_one(Job, job.id)
        assert row.finished_at is not None
        row.finished_at -= timedelta(days=365)


def test_unreferenced_files_of_an_ended_job_are_deleted_after_the_retention(
    add_job: AddJob, storage: Storage, put: Put
) -> None:
    job = add_job()
    claim = claim_job(job)
    state, model = put(job, "1/state-1"), put(job, "1/model-1")
    preview, unreferenced = put(job, "1/preview"), put(job, "2/state-1")
    partial_shard = put(job, "shards/1-1.tar")
    with write() as session:
        new = NewCheckpoint(1, {"state": state, "model": model})
        jobs.add_checkpoint(session, claim, new)
        metadata = {"name": "preview", "media_type": "image/png", "step": None}
        jobs.add_artifact(session, claim, stored=preview, **metadata)
    assert jobs.remove_orphans(storage) == 0  # the job is running
    cancel_job(job)
    assert jobs.remove_orphans(storage) == 0  # a frozen worker may still write
    backdate_end(job)
    file_of_other_job = put(add_job(), "1/state-1")
    assert jobs.remove_orphans(storage) == 2
    remaining = set(storage.keys(f"t/{TENANT}/jobs"))
    assert remaining == {state.key, model.key, preview.key, file_of_other_job.key}
    assert unreferenced.key not in remaining
    assert partial_shard.key not in remaining


def test_each_job_is_checked_once(add_job: AddJob, storage: Storage, put: Put) -> None:
    job = add_job()
    cancel_job(job)
    backdate_end(job)
    put(job, "1/lost")
    assert jobs.remove_orphans(storage) == 1
    put(job, "1/later")
    assert jobs.remove_orphans(storage) == 0
    with read() as session:
        assert session.get_one(Job, job.id).orphans_removed_at is not None
