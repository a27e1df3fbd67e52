"""Outbox messages that changes of the state of a job add."""

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
from core.jobs import Claim, NewJob
from core.leases import LeaseLost
from core.settings import Settings
from core.tables import Dataset, Delivery, Job, JobKind, Tenant, Webhook
from tests.conftest import TENANT, AddJob, expire_lease
from tests.core.webhooks.conftest import AddWebhook, read_outbox, reload_webhook, run_job


def claim_job(job: Job, owner: str = "one") -> Claim:
    with write() as session:
        session.execute(text("UPDATE jobs SET available_at = created_at"))
        claim_and_job = jobs.claim(session, job.id, owner)
    assert claim_and_job is not None
    return claim_and_job[0]


def sweep() -> None:
    with write() as session:
        jobs.sweep(session)


def lose_worker(job: Job) -> None:
    claim_job(job)
    with write() as session:
        expire_lease(session, job)
    sweep()


def read_event_names() -> list[str]:
    return [delivery.type.removeprefix("job.") for delivery in read_outbox()]


def create_job_with_webhook(dataset: Dataset, webhook: dict[str, Any] | None) -> Job:
    request = {} if webhook is None else {"webhook": webhook}
    with write() as session:
        new = NewJob(JobKind.TRAINING, "shoes", dataset.id, request, {}, queue="training")
        return jobs.create(session, TENANT, new)


def test_each_reported_change_of_state_adds_one_message(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook()
    job = add_job()
    with write() as session:
        jobs.release(session, claim_job(job))
    claim = claim_job(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)  # shown as `pausing`, but the state does not change
        jobs.confirm_paused(session, claim)
        jobs.resume(session, TENANT, job.id)
    run_job(job)
    assert read_event_names() == ["running", "running", "paused", "running", "succeeded"]


def test_every_way_to_end_a_job_adds_one_message(
    add_webhook: AddWebhook, add_job: AddJob, configured: Settings
) -> None:
    add_webhook(events=["job.succeeded", "job.failed", "job.cancelled"])
    succeeded, failed, confirmed, waiting, paused, lost, killing = (add_job() for _ in range(7))
    with write() as session:
        jobs.cancel(session, TENANT, waiting.id)
        jobs.pause(session, TENANT, paused.id)
        jobs.cancel(session, TENANT, paused.id)
    run_job(succeeded)
    claim = claim_job(failed)
    with write() as session:
        jobs.fail(session, claim, JobError("internal", "x"))
    claim = claim_job(confirmed)
    with write() as session:
        jobs.cancel(session, TENANT, confirmed.id)
        jobs.confirm_cancelled(session, claim)
    claim_job(lost)
    with write() as session:
        jobs.cancel(session, TENANT, lost.id)
        expire_lease(session, lost)
    sweep()
    for _ in range(configured.max_worker_losses):
        lose_worker(killing)
    sweep()
    assert Counter((d.job_id, d.type) for d in read_outbox()) == {
        (succeeded.id, "job.succeeded"): 1,
        (failed.id, "job.failed"): 1,
        (confirmed.id, "job.cancelled"): 1,
        (waiting.id, "job.cancelled"): 1,
        (paused.id, "job.cancelled"): 1,
        (lost.id, "job.cancelled"): 1,
        (killing.id, "job.failed"): 1,
    }


def test_a_lost_worker_adds_no_message(add_webhook: AddWebhook, add_job: AddJob) -> None:
    add_webhook()
    job = add_job()
    stale = claim_job(job, "one")
    with write() as session:
        expire_lease(session, job)
    valid = claim_job(job, "two")
    for end in (
        lambda session: jobs.finish(session, stale, result={}),
        lambda session: jobs.fail(session, stale, JobError("internal", "x")),
        lambda session: jobs.confirm_cancelled(session, stale),
        lambda session: jobs.confirm_paused(session, stale),
    ):
        with write() as session, pytest.raises(LeaseLost):
            end(session)
    with write() as session:
        jobs.finish(session, valid, result={})
    for late in (valid, stale):
        with write() as session, pytest.raises(LeaseLost):
            jobs.finish(session, late, result={})
    assert read_event_names() == ["running", "running", "succeeded"]


def test_a_change_that_is_rolled_back_adds_no_message(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook()
    job = add_job()
    claim = claim_job(job)

    def finish_and_raise() -> None:
        with write() as session:
            jobs.finish(session, claim, result={})
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish_and_raise()
    assert read_event_names() == ["running"]
    with write() as session:
        jobs.finish(session, claim, result={})
    assert read_event_names() == ["running", "succeeded"]


def test_a_message_has_the_public_fields_of_the_job_only(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(events=["job.succeeded", "job.failed"])
    succeeding, failing = add_job(), add_job()
    with write() as session:
        claim_and_job = jobs.claim(session, succeeding.id, "one")
        assert claim_and_job is not None
        jobs.finish(session, claim_and_job[0], result={"step": 5, "model": "mdl_1"})
        claim_and_job = jobs.claim(session, failing.id, "one")
        assert claim_and_job is not None
        jobs.fail(session, claim_and_job[0], JobError("out_of_memory", "too large"))
    succeeded, failed = (json.loads(delivery.payload) for delivery in read_outbox())
    assert set(succeeded) == {"type", "timestamp", "data"}
    assert datetime.fromisoformat(succeeded["timestamp"]).tzinfo is not None
    assert succeeded["type"] == "job.succeeded"
    assert succeeded["data"] == {
        "id": succeeding.id,
        "kind": "training",
        "state": "succeeded",
        "name": "shoes",
        "result": {"step": 5, "model": "mdl_1"},
        "error": None,
        "links": {"self": f"/v1/jobs/{succeeding.id}", "model": "/v1/models/mdl_1"},
    }
    assert failed["data"]["error"] == JobError("out_of_memory", "too large").to_problem()


def test_only_active_webhooks_of_the_tenant_for_the_event_get_a_message(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    add_webhook(tenant="other")
    add_webhook(events=["job.failed"])
    subscribed = [add_webhook(), add_webhook(events=["job.succeeded", "job.succeeded"])]
    disabled = add_webhook()
    with write() as session:
        session.execute(
            text("UPDATE webhooks SET disabled_at = created_at WHERE id = :id"), {"id": disabled.id}
        )
    run_job(add_job())
    counts = Counter(d.webhook_id for d in read_outbox() if d.type == "job.succeeded")
    assert counts == {webhook.id: 1 for webhook in subscribed}
    assert {d.webhook_id for d in read_outbox()} == {webhook.id for webhook in subscribed}


def test_a_job_webhook_gets_messages_about_its_job_only(dataset: Dataset) -> None:
    other = create_job_with_webhook(dataset, None)
    job = create_job_with_webhook(
        dataset, {"url": "https://example.com/", "events": ["job.succeeded"]}
    )
    run_job(other)
    run_job(job)
    with read() as session:
        (webhook,) = webhooks.page(session, TENANT, limit=10, job_id=job.id)
        assert webhooks.page(session, TENANT, limit=10) == []
    assert [(d.webhook_id, d.job_id, d.type) for d in read_outbox()] == [
        (webhook.id, job.id, "job.succeeded")
    ]


def test_a_job_webhook_uses_the_secret_of_the_tenant(dataset: Dataset) -> None:
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    jobs_with_webhook = [
        create_job_with_webhook(dataset, {"url": "https://example.com/"}) for _ in range(2)
    ]
    with write() as session:
        secret = webhooks.signing_secret(session, TENANT)
        assert webhooks.signing_secret(session, "other") != secret
        for job in jobs_with_webhook:
            (webhook,) = webhooks.page(session, TENANT, limit=10, job_id=job.id)
            assert webhook.secret == secret
            assert set(webhook.events) == set(webhooks.EVENTS)


def test_a_retried_job_has_the_same_webhook(dataset: Dataset) -> None:
    job = create_job_with_webhook(dataset, {"url": "https://example.com/"})
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
        retried = jobs.retry(session, TENANT, job.id)
    run_job(retried)
    assert {d.type for d in read_outbox() if d.job_id == retried.id} == {
        "job.running",
        "job.succeeded",
    }


def test_a_job_ends_while_its_webhook_is_deleted_by_a_later_transaction(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook()
    job = add_job()
    claim = claim_job(job)
    deleted = threading.Event()

    def delete() -> None:
        with write() as session:
            webhooks.delete(session, TENANT, webhook.id)
        deleted.set()

    deleter = threading.Thread(target=delete)
    with write() as session:
        jobs.finish(session, claim, result={})
        session.flush()
        deleter.start()
        assert not deleted.wait(0.3)  # the deletion waits for this transaction
    deleter.join()
    assert read_outbox() == []
    with read() as session:
        assert jobs.get(session, TENANT, job.id).state == "succeeded"
        with pytest.raises(NotFound):
            webhooks.get(session, TENANT, webhook.id)


def test_a_job_ends_while_its_webhook_is_deleted_by_an_earlier_transaction(
    add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook()
    job = add_job()
    claim = claim_job(job)
    errors: list[BaseException] = []

    def finish() -> None:
        try:
            with write() as session:
                jobs.finish(session, claim, result={})
        except BaseException as error:
            errors.append(error)

    finisher = threading.Thread(target=finish)
    with write() as session:
        webhooks.delete(session, TENANT, webhook.id)
        session.flush()
        finisher.start()
        finisher.join(0.3)
    finisher.join()
    assert errors == []
    assert read_outbox() == []


def test_another_tenants_webhook_cannot_be_deleted(add_webhook: AddWebhook) -> None:
    webhook = add_webhook()
    with write() as session, pytest.raises(NotFound):
        webhooks.delete(session, "other", webhook.id)
    assert reload_webhook(webhook).id == webhook.id


def test_finished_deliveries_are_purged_after_the_retention(
    add_job: AddJob, add_webhook: AddWebhook
) -> None:
    webhook = add_webhook()
    for _ in range(2):
        run_job(add_job())
    delivered, waiting, recent, *_ = [delivery.id for delivery in read_outbox()]
    with write() as session:
        for delivery_id in (delivered, waiting):
            session.get_one(Delivery, delivery_id).created_at -= timedelta(days=31)
        for delivery_id in (delivered, recent):
            session.get_one(Delivery, delivery_id).next_at = None
        session.flush()
        webhooks.purge(session, 30 * 86_400)
    remaining = {delivery.id for delivery in read_outbox()}
    assert delivered not in remaining
    assert {waiting, recent} <= remaining
    assert reload_webhook(webhook).id == webhook.id


def test_a_job_webhook_is_purged_with_its_last_message(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        row = session.get_one(Job, job.id)
        row.request = {"webhook": {"url": "https://example.com"}}
        webhooks.add_job_webhook(session, row)
    run_job(job)
    with write() as session:
        session.get_one(Job, job.id).finished_at = job.created_at - timedelta(days=31)
        session.flush()
        webhooks.purge(session, 30 * 86_400)
        assert len(session.scalars(select(Webhook)).all()) == 1  # messages are pending
        for delivery in session.scalars(select(Delivery)):
            delivery.next_at, delivery.created_at = None, delivery.created_at - timedelta(days=31)
        session.flush()
        webhooks.purge(session, 30 * 86_400)
        assert session.scalars(select(Webhook)).all() == []
