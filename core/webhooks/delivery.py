"""Delivery of the messages in the outbox. Any number of processes may run it at the same time."""

import logging
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

import httpcore2
import prometheus_client

from core.database import read, write
from core.leases import LeaseLost
from core.webhooks import outbox, ssrf_guard
from core.webhooks.http_client import DEFAULT_TIMEOUTS, Timeouts, post
from core.webhooks.outbox import ClaimedDelivery
from core.webhooks.signing import sign
from core.webhooks.ssrf_guard import Resolve, UrlNotAllowed

MAX_CONCURRENT = 8  # requests
MAX_CONCURRENT_PER_TENANT = 4  # requests
POLL_S = 1.0
# Seconds between attempts. If the attempt after the last delay fails, the delivery has failed.
BACKOFF_S = (5, 30, 120, 600, 3_600, 21_600, 86_400)

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "The TLS certificate is not valid for the host."),
    (ssl.SSLError, "The TLS handshake failed."),
    (TimeoutError, "The request timed out."),
    (ConnectionRefusedError, "The connection was refused."),
    (OSError, "The connection failed."),
    (httpcore2.ProtocolError, "The response is not valid HTTP."),
)

log = logging.getLogger(__name__)

# Of this process; registered by the worker, which delivers.
attempts = prometheus_client.Counter(
    "semblance_webhook_attempts_total",
    "Attempts of this process to deliver webhooks, by outcome.",
    ("outcome",),
    registry=None,
)
for _outcome in ("delivered", "failed"):
    attempts.labels(_outcome)


def deliver_due(
    *,
    resolve: Resolve = ssrf_guard.resolve,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    stop: threading.Event | None = None,
) -> None:
    """Send messages until nothing more is due, or `stop` is set.

    At most one request runs per URL and MAX_CONCURRENT_PER_TENANT per tenant, so that a slow
    receiver delays few other deliveries.
    """
    in_flight: dict[Future[None], ClaimedDelivery] = {}
    with ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="webhook") as pool:
        while True:
            while len(in_flight) < MAX_CONCURRENT and not (stop and stop.is_set()):
                delivery = _claim_next(in_flight.values())
                if delivery is None:
                    break
                in_flight[pool.submit(_attempt, delivery, resolve, timeouts)] = delivery
            if not in_flight:
                return
            for future in wait(in_flight, timeout=POLL_S, return_when=FIRST_COMPLETED).done:
                del in_flight[future]
                future.result()


def _claim_next(in_flight: Collection[ClaimedDelivery]) -> ClaimedDelivery | None:
    """Claim a due delivery whose URL and tenant are below their concurrency limits."""
    by_tenant = Counter(delivery.tenant_id for delivery in in_flight)
    urls = [delivery.url for delivery in in_flight]
    tenants = [tenant for tenant, count in by_tenant.items() if count >= MAX_CONCURRENT_PER_TENANT]
    while True:
        with read() as session:
            due = outbox.next_due(session, busy_urls=urls, busy_tenants=tenants)
        if due is None:
            return None
        with write() as session:
            claimed = outbox.claim(session, due)
        if claimed is not None:
            return claimed


def _attempt(delivery: ClaimedDelivery, resolve: Resolve, timeouts: Timeouts) -> None:
    try:
        status = _send(delivery, resolve, timeouts)
    except Exception as error:
        _record(delivery, None, _describe(error))
    else:
        _record(delivery, status, f"The URL answered with status {status}.")


def _send(delivery: ClaimedDelivery, resolve: Resolve, timeouts: Timeouts) -> int:
    target = ssrf_guard.parse(delivery.url)
    # Check again before each request: a host name may now resolve to other addresses.
    addresses = ssrf_guard.allowed_addresses(target, resolve)
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Semblance-Webhooks",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(delivery.secret, delivery.id, timestamp, delivery.payload),
    }
    return post(target, addresses, headers, delivery.payload, timeouts)


def _retry_delay(attempt: int) -> float | None:
    """Return the seconds until the next attempt, or None after the last one."""
    if attempt > len(BACKOFF_S):
        return None
    jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load; not used for security
    return BACKOFF_S[attempt - 1] * jitter


def _record(delivery: ClaimedDelivery, status: int | None, reason: str) -> None:
    # A lost lease needs no record: the message was deleted, or another attempt has started.
    with suppress(LeaseLost), write() as session:
        if status is not None and 200 <= status < 300:
            outbox.mark_delivered(session, delivery, status)
            attempts.labels("delivered").inc()
            return
        if status == 410:
            outbox.mark_gone(session, delivery, reason, status)
        else:
            delay = _retry_delay(delivery.attempt)
            outbox.mark_failed(session, delivery, reason, status, retry_in_s=delay)
    attempts.labels("failed").inc()
    log_fields = {"delivery": delivery.id, "attempt": delivery.attempt, "cause": reason}
    log.info("A webhook was not delivered.", extra=log_fields)


def _describe(error: Exception) -> str:
    """Return a message for the customer that contains no part of the response."""
    if isinstance(error, UrlNotAllowed):
        return str(error)
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    log.error("A webhook failed with an unexpected error.", exc_info=error)
    return "Internal error while sending the request."
