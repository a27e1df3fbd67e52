"""A worker runs bursts of jobs in the order of their priority, with and without a broker."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core import broker, jobs
from core.database import read, write
from core.jobs import NewJob
from core.settings import get_settings
from core.tables import Dataset, Event, Job, JobKind, JobState
from tests import redis_server
from tests.conftest import TENANT
from tests.processes import eventually
from tests.servers import SERVER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600),
    # Only there, the order of the events is that of the commits.
    pytest.mark.skipif(SERVER is not None, reason="needs SQLite"),
]
BURSTS, JOBS = 20, 200
PRIORITIES = ("high", "normal", "low")


@contextmanager
def worker(broker_url: str | None) -> Iterator[None]:
    environment = {} if broker_url is None else {"SEMBLANCE_BROKER_URL": broker_url}
    process = subprocess.Popen([sys.executable, "-m", "worker"], env=os.environ | environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


def post_burst(dataset: Dataset, rng: random.Random) -> None:
    """Post jobs that fail at once, because their dataset has no files, in one transaction."""
    with write() as session:
        for _ in range(JOBS):
            new = NewJob(
                JobKind.TRAINING,
                "shoes",
                dataset.id,
                {},
                {},
                queue="training",
                priority=rng.choice(PRIORITIES),
            )
            jobs.create(session, TENANT, new)


def wait_until_ended(count: int) -> None:
    def have_ended() -> bool:
        with read() as session:
            ended = select(func.count()).where(Job.state == JobState.FAILED)
            return (session.scalar(ended) or 0) >= count

    eventually(have_ended, within=1_800)


def jobs_out_of_order() -> list[str]:
    """Return the jobs that started although another one that was queued came before them."""
    with read() as session:
        order = {job.id: job.priority_at for job in session.scalars(select(Job))}
        states = select(Event.job_id, Event.data["state"].as_string()).where(Event.type == "state")
        events = session.execute(states.order_by(Event.id)).all()
    waiting: set[str] = set()
    wrong = []
    for job_id, state in events:
        if state == "queued":
            waiting.add(job_id)
        elif state == "running":
            if job_id != min(waiting, key=lambda waiting_id: (order[waiting_id], waiting_id)):
                wrong.append(job_id)
            waiting.remove(job_id)
    return wrong


@pytest.mark.parametrize("has_broker", [False, True])
def test_bursts_of_jobs_start_in_the_order_of_their_priority(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_broker: bool
) -> None:
    rng = random.Random(1)  # noqa: S311 - repeats
    with redis_server.running(tmp_path) if has_broker else nullcontext() as url:
        if url is not None:
            monkeypatch.setenv("SEMBLANCE_BROKER_URL", url)
            monkeypatch.setenv("SEMBLANCE_PUBLISH_TIMEOUT_SECONDS", "60")  # on a busy machine
            get_settings.cache_clear()
            broker.get_celery.cache_clear()
        with worker(url):
            for burst in range(BURSTS):
                post_burst(dataset, rng)
                for _ in range(JOBS if has_broker else 0):
                    assert broker.publish("training")
                # The next burst comes while a part of this one still waits.
                wait_until_ended(burst * JOBS + JOBS // 2)
            wait_until_ended(BURSTS * JOBS)
    broker.get_celery.cache_clear()
    assert jobs_out_of_order() == []
