"""Notifications that are lost while no worker lives, with a separate Redis."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from sqlalchemy import update

from app import job_notifier
from app.job_notifier import JobNotifier
from core import broker, workers
from core.database import clock, write
from core.jobs import mark_notified
from core.settings import get_settings
from core.tables import Job
from tests import redis_server
from tests.conftest import AddJob, reload
from tests.processes import eventually

pytestmark = pytest.mark.skipif(redis_server.COMMAND is None, reason="needs redis-server")


@pytest.fixture
def redis_client(
    add_job: AddJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[redis.Redis]:
    with redis_server.running(tmp_path) as url:
        monkeypatch.setenv("SEMBLANCE_BROKER_URL", url)
        monkeypatch.setattr(job_notifier, "LOST_AFTER_S", 0.05)
        get_settings.cache_clear()
        broker.get_celery.cache_clear()
        yield redis.Redis.from_url(url)
        monkeypatch.undo()
        get_settings.cache_clear()
        broker.get_celery.cache_clear()


def add_old_job(add_job: AddJob) -> None:
    """Add a job whose notification was sent an hour ago."""
    job = add_job()
    with write() as session:
        mark_notified(session, [job.id])
        session.execute(update(Job).values(available_at=clock(-3_600), notified_at=clock(-3_600)))


def test_a_notification_is_sent_again_after_the_broker_lost_its_memory(
    redis_client: redis.Redis, add_job: AddJob
) -> None:
    add_old_job(add_job)
    with closing(JobNotifier()):
        for _ in range(2):
            eventually(lambda: broker.count_messages("training") == 1)
            with write() as session:
                session.execute(update(Job).values(notified_at=clock(-3_600)))
            redis_client.flushall()


def test_a_notifier_publishes_and_records_pending_jobs_before_it_ends(
    redis_client: redis.Redis, add_job: AddJob
) -> None:
    jobs = [add_job() for _ in range(3)]
    with closing(JobNotifier()) as notifier:
        for job in jobs:
            notifier.notify(job)
    assert "job-notifier" not in {thread.name for thread in threading.enumerate()}
    assert broker.count_messages("training") == 3
    assert all(reload(job).notified_at is not None for job in jobs)


def test_nothing_is_sent_again_if_the_broker_has_messages_or_a_worker_lives(
    redis_client: redis.Redis, add_job: AddJob
) -> None:
    add_old_job(add_job)
    assert len(job_notifier.find_lost_notifications()) == 1
    assert broker.publish("training")
    assert job_notifier.find_lost_notifications() == []
    redis_client.flushall()
    with write() as session:
        workers.heartbeats(session, {"wkr_1": workers.describe(queues=["training"], host="here")})
    assert job_notifier.find_lost_notifications() == []
