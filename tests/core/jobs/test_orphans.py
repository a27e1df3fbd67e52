"""Files that nobody names, of jobs that have ended."""

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


def claimed(job: Job) -> Claim:
    with write() as session:
        taken = jobs.claim(session, job.id, "w/h:1")
    assert taken is not None
    return taken[0]


def end(job: Job) -> None:
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
        row = session.get_one(Job, job.id)
        if row.finished_at is None:
            jobs.confirm_cancelled(session, Claim(TENANT, job.id, row.fencing_token, "w/h:1"))


def end_a_year_ago(job: Job) -> None:
    with write() as session:
        row = session.get_one(Job, job.id)
        assert row.finished_at is not None
        row.finished_at -= timedelta(days=365)


def test_what_no_row_names_goes_some_time_after_the_job_has_ended(
    add_job: AddJob, storage: Storage, put: Put
) -> None:
    job = add_job()
    claim = claimed(job)
    state, model = put(job, "1/state-1"), put(job, "1/model-1")
    picture, lost, half = put(job, "1/picture"), put(job, "2/state-1"), put(job, "shards/1-1.tar")
    with write() as session:
        new = NewCheckpoint(1, {"state": state, "model": model})
        jobs.add_checkpoint(session, claim, new)
        about = {"name": "picture", "media_type": "image/png", "step": None}
        jobs.add_artifact(session, claim, stored=picture, **about)
    assert jobs.remove_orphans(storage) == 0  # it runs
    end(job)
    assert jobs.remove_orphans(storage) == 0  # a worker that stood still may write yet
    end_a_year_ago(job)
    neighbour = put(add_job(), "1/state-1")
    assert jobs.remove_orphans(storage) == 2
    left = set(storage.keys(f"t/{TENANT}/jobs"))
    assert left == {state.key, model.key, picture.key, neighbour.key}
    assert lost.key not in left
    assert half.key not in left


def test_a_job_is_looked_at_once(add_job: AddJob, storage: Storage, put: Put) -> None:
    job = add_job()
    end(job)
    end_a_year_ago(job)
    put(job, "1/lost")
    assert jobs.remove_orphans(storage) == 1
    put(job, "1/later")
    assert jobs.remove_orphans(storage) == 0
    with read() as session:
        assert session.get_one(Job, job.id).orphans_removed_at is not None
