"""Fixtures for webhooks to this machine, which an operator has to allow."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from sqlalchemy import select, text

from core import jobs, settings, webhooks
from core.database import read, write
from core.settings import Settings
from core.tables import Delivery, Job, Webhook
from core.webhooks import EVENTS, NewWebhook
from core.webhooks.http_client import Timeouts
from tests.conftest import TENANT
from tests.core.webhooks.receiver import Receiver

SHORT_TIMEOUTS = Timeouts(connect_s=0.5, total_s=0.5)
AddWebhook = Callable[..., Webhook]


@pytest.fixture
def local_webhooks_allowed(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Allow webhooks to 127.0.0.1 and without TLS."""
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.1/32"]')
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOW_HTTP", "true")
    settings.get_settings.cache_clear()
    return settings.get_settings()


@pytest.fixture
def receivers(local_webhooks_allowed: Settings) -> Iterator[Callable[[], Receiver]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Receiver().serving())


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()


@pytest.fixture
def add_webhook(configured: Settings) -> AddWebhook:
    def add(
        url: str = "https://example.com", events: Sequence[str] = EVENTS, tenant: str = TENANT
    ) -> Webhook:
        with write() as session:
            return webhooks.create(session, tenant, NewWebhook(url, events))

    return add


def run_job(job: Job) -> None:
    """Claim and finish a job, which are two changes of its state."""
    with write() as session:
        claim_and_job = jobs.claim(session, job.id, "worker")
    assert claim_and_job is not None
    with write() as session:
        jobs.finish(session, claim_and_job[0], result={"step": 5})


def read_outbox() -> list[Delivery]:
    """Return all deliveries in the order of their creation."""
    with read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.created_at, Delivery.id)))


def reload_webhook(webhook: Webhook) -> Webhook:
    with read() as session:
        return session.get_one(Webhook, webhook.id)


def make_due() -> None:
    """Set the time of every next attempt, and the end of every lease, to the past."""
    with write() as session:
        then = {"then": "2000-01-01 00:00:00.000000"}
        for statement in (
            "UPDATE deliveries SET next_at = :then WHERE next_at IS NOT NULL",
            "UPDATE deliveries SET lease_until = :then WHERE lease_until IS NOT NULL",
        ):
            session.execute(text(statement), then)
