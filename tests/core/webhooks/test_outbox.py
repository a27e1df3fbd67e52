"""What a change of a job's state writes for whom."""

import json
import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from core import jobs, webhooks
from core.database import read, write
from core.errors import JobError, NotFound
from core.jobs import Claim, LeaseLost, NewJob
from core.settings import Settings
from core.tables import Dataset, Delivery, Job, JobKind, Tenant, Webhook
from tests.conftest import TENANT, AddJob, expire_lease
from tests.core.webhooks.conftest import AddWebhook, outbox, reload, run


def claimed(job: Job, owner: str = "one") -> Claim:
    with write() as session:
        session.execute(text("UPDATE jobs SET available_at = created_at"))
        taken = jobs.claim(session, job.id, owner)
    assert taken is not None
    return taken[0]


def sweep() -> None:
    with write() as session:
        jobs.sweep(session)


def lose(job: Job) -> None:
    claimed(job)
    with write() as session:
        expire_lease(session, job)
    sweep()


def written() -> list[str]:
    return [delivery.type.removeprefix("job.") for delivery in outbox()]


def with_webhook(dataset: Dataset, webhook: dict[str, Any] | None) -> Job:
    request = {} if webhook is None else {"webhook": webhook}
    with write() as session:
        new = NewJob(JobKind.TRAINING, "shoes", dataset.id, request, {})
        return jobs.create(session, TENANT, new)


def test_a_job_writes_one_message_for_each_change_that_can_be_waited_for(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook()
    job = add_job()
    with write() as session:
        jobs.release(session, claimed(job))
    taken = claimed(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)  # shown as `pausing`, which is no change of the state
        jobs.confirm_paused(session, taken)
        jobs.resume(session, TENANT, job.id)
    run(job)
    assert written() == ["running", "running", "paused", "running", "succeeded"]


def test_every_way_to_an_end_writes_one_message_for_it(
    add_webhook: AddWebhook, add_job: AddJob, configured: Settings
) -> None:
    add_webhook(events=["job.succeeded", "job.failed", "job.cancelled"])
    succeeded, failed, confirmed, waiting, paused, orphaned, poison = (add_job() for _ in range(7))
    with write() as session:
        jobs.cancel(session, TENANT, waiting.id)
        jobs.pause(session, TENANT, paused.id)
        jobs.cancel(session, TENANT, paused.id)
    run(succeeded)
    taken = claimed(failed)
    with write() as session:
        jobs.fail(session, taken, JobError("internal", "x"))
    taken = claimed(confirmed)
    with write() as session:
        jobs.cancel(session, TENANT, confirmed.id)
        jobs.confirm_cancelled(session, taken)
    claimed(orphaned)
    with write() as session:
        jobs.cancel(session, TENANT, orphaned.id)
        expire_lease(session, orphaned)
    sweep()
    for _ in range(configured.max_worker_losses):
        lose(poison)
    sweep()
    assert Counter((d.job_id, d.type) for d in outbox()) == {
        (succeeded.id, "job.succeeded"): 1,
        (failed.id, "job.failed"): 1,
        (confirmed.id, "job.cancelled"): 1,
        (waiting.id, "job.cancelled"): 1,
        (paused.id, "job.cancelled"): 1,
        (orphaned.id, "job.cancelled"): 1,
        (poison.id, "job.failed"): 1,
    }


def test_a_worker_that_was_given_up_writes_nothing(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook()
    job = add_job()
    stale = claimed(job, "one")
    with write() as session:
        expire_lease(session, job)
    fresh = claimed(job, "two")
    for end in (
        lambda session: jobs.finish(session, stale, result={}),
        lambda session: jobs.fail(session, stale, JobError("internal", "x")),
        lambda session: jobs.confirm_cancelled(session, stale),
        lambda session: jobs.confirm_paused(session, stale),
    ):
        with write() as session, pytest.raises(LeaseLost):
            end(session)
    with write() as session:
        jobs.finish(session, fresh, result={})
    for late in (fresh, stale):
        with write() as session, pytest.raises(LeaseLost):
            jobs.finish(session, late, result={})
    assert written() == ["running", "running", "succeeded"]


def test_a_change_that_is_undone_takes_its_message_with_it(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook()
    job = add_job()
    taken = claimed(job)

    def finish_and_fail() -> None:
        with write() as session:
            jobs.finish(session, taken, result={})
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish_and_fail()
    assert written() == ["running"]
    with write() as session:
        jobs.finish(session, taken, result={})
    assert written() == ["running", "succeeded"]


def test_a_message_tells_what_the_job_shows_and_no_more(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(events=["job.succeeded", "job.failed"])
    good, bad = add_job(), add_job()
    with write() as session:
        taken = jobs.claim(session, good.id, "one")
        assert taken is not None
        jobs.finish(session, taken[0], result={"step": 5, "model": "mdl_1"})
        taken = jobs.claim(session, bad.id, "one")
        assert taken is not None
        jobs.fail(session, taken[0], JobError("out_of_memory", "too large"))
    succeeded, failed = (json.loads(delivery.payload) for delivery in outbox())
    assert set(succeeded) == {"type", "timestamp", "data"}
    assert datetime.fromisoformat(succeeded["timestamp"]).tzinfo is not None
    assert succeeded["type"] == "job.succeeded"
    assert succeeded["data"] == {
        "id": good.id,
        "kind": "training",
        "state": "succeeded",
        "name": "shoes",
        "result": {"step": 5, "model": "mdl_1"},
        "error": None,
        "links": {"self": f"/v1/jobs/{good.id}", "model": "/v1/models/mdl_1"},
    }
    assert failed["data"]["error"] == JobError("out_of_memory", "too large").to_problem()


def test_only_webhooks_of_the_tenant_that_wait_for_the_event_are_told(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    add_webhook(tenant="other")
    add_webhook(events=["job.failed"])
    wanted = [add_webhook(), add_webhook(events=["job.succeeded", "job.succeeded"])]
    off = add_webhook()
    with write() as session:
        session.execute(
            text("UPDATE webhooks SET disabled_at = created_at WHERE id = :id"), {"id": off.id}
        )
    run(add_job())
    told = Counter(d.webhook_id for d in outbox() if d.type == "job.succeeded")
    assert told == {webhook.id: 1 for webhook in wanted}
    assert {d.webhook_id for d in outbox()} == {webhook.id for webhook in wanted}


def test_a_webhook_that_a_job_brings_is_told_of_this_job_alone(dataset: Dataset) -> None:
    other = with_webhook(dataset, None)
    job = with_webhook(dataset, {"url": "https://example.com/", "events": ["job.succeeded"]})
    run(other)
    run(job)
    with read() as session:
        (webhook,) = webhooks.page(session, TENANT, limit=10, job_id=job.id)
        assert webhooks.page(session, TENANT, limit=10) == []
    assert [(d.webhook_id, d.job_id, d.type) for d in outbox()] == [
        (webhook.id, job.id, "job.succeeded")
    ]


def test_a_webhook_that_a_job_brings_is_signed_with_the_tenants_secret(dataset: Dataset) -> None:
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    brought = [with_webhook(dataset, {"url": "https://example.com/"}) for _ in range(2)]
    with write() as session:
        secret = webhooks.signing_secret(session, TENANT)
        assert webhooks.signing_secret(session, "other") != secret
        for job in brought:
            (webhook,) = webhooks.page(session, TENANT, limit=10, job_id=job.id)
            assert webhook.secret == secret
            assert set(webhook.events) == set(webhooks.EVENTS)


def test_a_retried_job_brings_its_webhook_again(dataset: Dataset) -> None:
    job = with_webhook(dataset, {"url": "https://example.com/"})
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
        again = jobs.retry(session, TENANT, job.id)
    run(again)
    assert {d.type for d in outbox() if d.job_id == again.id} == {"job.running", "job.succeeded"}


def test_a_webhook_that_goes_away_while_a_job_ends_does_not_hold_the_job_back(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook()
    job = add_job()
    taken = claimed(job)
    deleted = threading.Event()

    def delete() -> None:
        with write() as session:
            webhooks.delete(session, TENANT, webhook.id)
        deleted.set()

    deleting = threading.Thread(target=delete)
    with write() as session:
        jobs.finish(session, taken, result={})
        session.flush()
        deleting.start()
        assert not deleted.wait(0.3)  # it waits for this transaction
    deleting.join()
    assert outbox() == []
    with read() as session:
        assert jobs.get(session, TENANT, job.id).state == "succeeded"
        with pytest.raises(NotFound):
            webhooks.get(session, TENANT, webhook.id)


def test_a_job_that_ends_while_a_webhook_goes_away_ends(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook()
    job = add_job()
    taken = claimed(job)
    errors: list[BaseException] = []

    def finish() -> None:
        try:
            with write() as session:
                jobs.finish(session, taken, result={})
        except BaseException as error:
            errors.append(error)

    finishing = threading.Thread(target=finish)
    with write() as session:
        webhooks.delete(session, TENANT, webhook.id)
        session.flush()
        finishing.start()
        finishing.join(0.3)
    finishing.join()
    assert errors == []
    assert outbox() == []


def test_another_tenants_webhook_cannot_be_deleted(add_webhook: AddWebhook) -> None:
    webhook = add_webhook()
    with write() as session, pytest.raises(NotFound):
        webhooks.delete(session, "other", webhook.id)
    assert reload(webhook).id == webhook.id


def test_what_was_settled_long_ago_is_forgotten(add_job: AddJob, add_webhook: AddWebhook) -> None:
    webhook = add_webhook()
    for _ in range(2):
        run(add_job())
    settled, waiting, recent, *_ = [delivery.id for delivery in outbox()]
    with write() as session:
        for delivery_id in (settled, waiting):
            session.get_one(Delivery, delivery_id).created_at -= timedelta(days=31)
        for delivery_id in (settled, recent):
            session.get_one(Delivery, delivery_id).next_at = None
        session.flush()
        webhooks.purge(session, 30 * 86_400)
    left = {delivery.id for delivery in outbox()}
    assert settled not in left
    assert {waiting, recent} <= left
    assert reload(webhook).id == webhook.id


def test_the_webhook_of_a_job_goes_with_its_last_message(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        kept = session.get_one(Job, job.id)
        kept.request = {"webhook": {"url": "https://example.com"}}
        webhooks.add_job_webhook(session, kept)
    run(job)
    with write() as session:
        session.get_one(Job, job.id).finished_at = job.created_at - timedelta(days=31)
        session.flush()
        webhooks.purge(session, 30 * 86_400)
        assert len(session.scalars(select(Webhook)).all()) == 1  # its messages wait
        for delivery in session.scalars(select(Delivery)):
            delivery.next_at, delivery.created_at = None, delivery.created_at - timedelta(days=31)
        session.flush()
        webhooks.purge(session, 30 * 86_400)
        assert session.scalars(select(Webhook)).all() == []
