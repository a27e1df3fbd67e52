"""Webhooks for job events, according to Standard Webhooks 1.0.0.

Only this package writes to `webhooks` and `deliveries`. A change of a job's state adds its messages
to the outbox (`deliveries`) in the same transaction. `core.webhooks.delivery` sends each message
later, at least once and outside any transaction; other processes need not import its HTTP client.
This package must not import `core.jobs`.
"""

from core.webhooks.endpoints import (
    NewWebhook,
    add_job_webhook,
    check_url,
    create,
    delete,
    delete_of_jobs,
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
    "delete_of_jobs",
    "enqueue",
    "get",
    "page",
    "page_of_deliveries",
    "purge",
    "signing_secret",
]
