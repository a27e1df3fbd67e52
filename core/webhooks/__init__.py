"""Telling customers' servers of jobs, after Standard Webhooks 1.0.0, and the only code that writes
to `webhooks` and `deliveries`.

A change of a job's state writes its messages into the outbox (`deliveries`) in its own
transaction: both or neither. `deliver_due` sends them later, outside any transaction, each at least
once. Nothing here knows of `core.jobs`.
"""

from core.webhooks.delivery import deliver_due
from core.webhooks.endpoints import (
    NewWebhook,
    add_job_webhook,
    check_url,
    create,
    delete,
    get,
    page,
    signing_secret,
)
from core.webhooks.outbox import EVENTS, enqueue, page_of_deliveries, purge

__all__ = [
    "EVENTS",
    "NewWebhook",
    "add_job_webhook",
    "check_url",
    "create",
    "delete",
    "deliver_due",
    "enqueue",
    "get",
    "page",
    "page_of_deliveries",
    "purge",
    "signing_secret",
]
