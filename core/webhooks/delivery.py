"""Sends what the outbox holds. Any number of processes may do so at the same time."""

import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from http.client import HTTPException

from core.database import read, write
from core.webhooks import outbox, ssrf_guard
from core.webhooks.http_client import DEFAULT_TIMEOUTS, Timeouts, post
from core.webhooks.outbox import ClaimedDelivery
from core.webhooks.signing import sign
from core.webhooks.ssrf_guard import Resolve, UrlNotAllowed

MAX_CONCURRENT = 8  # requests at one time
MAX_CONCURRENT_PER_TENANT = 4  # of them, for one tenant
POLL_S = 1.0

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "the certificate does not prove the host"),
    (ssl.SSLError, "TLS failed"),
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "the connection was refused"),
    (OSError, "the connection broke"),
    (HTTPException, "the answer is not HTTP"),
)

log = logging.getLogger(__name__)


def deliver_due(
    *,
    resolve: Resolve = ssrf_guard.resolve,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    stop: threading.Event | None = None,
) -> None:
    """Send until nothing more is due, or `stop` is set.

    To one URL one request at a time, and a tenant gets its slots and no more: whoever hangs keeps
    few others waiting.
    """
    sending: dict[Future[None], ClaimedDelivery] = {}
    with ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="webhook") as pool:
        while True:
            while len(sending) < MAX_CONCURRENT and not (stop and stop.is_set()):
                taken = _next(sending.values())
                if taken is None:
                    break
                sending[pool.submit(_attempt, taken, resolve, timeouts)] = taken
            if not sending:
                return
            for done in wait(sending, timeout=POLL_S, return_when=FIRST_COMPLETED).done:
                del sending[done]
                done.result()


def _next(sending: Collection[ClaimedDelivery]) -> ClaimedDelivery | None:
    """Claim a delivery that is due and that has a slot."""
    by_tenant = Counter(other.tenant_id for other in sending)
    urls = [other.url for other in sending]
    tenants = [tenant for tenant, count in by_tenant.items() if count >= MAX_CONCURRENT_PER_TENANT]
    while True:
        with read() as session:
            due = outbox.next_due(session, busy_urls=urls, busy_tenants=tenants)
        if due is None:
            return None
        with write() as session:
            taken = outbox.claim(session, due)
        if taken is not None:
            return taken


def _attempt(sending: ClaimedDelivery, resolve: Resolve, patience: Timeouts) -> None:
    try:
        status = _send(sending, resolve, patience)
    except Exception as error:
        _record(sending, None, _reason(error))
    else:
        _record(sending, status, f"answered {status}")


def _send(sending: ClaimedDelivery, resolve: Resolve, patience: Timeouts) -> int:
    where = ssrf_guard.parse(sending.url)
    addresses = ssrf_guard.allowed_addresses(
        where, resolve
    )  # once more: names change their addresses
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Semblance-Webhooks",
        "webhook-id": sending.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(sending.secret, sending.id, timestamp, sending.payload),
    }
    return post(where, addresses, headers, sending.payload, patience)


def _record(sending: ClaimedDelivery, status: int | None, reason: str) -> None:
    with write() as session:
        if status is not None and 200 <= status < 300:
            outbox.mark_delivered(session, sending, status)
            return
        if status == 410:
            outbox.mark_gone(session, sending, reason, status)
        else:
            outbox.mark_failed(session, sending, reason, status)
    about = {"delivery": sending.id, "attempt": sending.attempt, "cause": reason}
    log.info("webhook not delivered", extra=about)


def _reason(error: Exception) -> str:
    """In the customer's words, with nothing of what was received."""
    if isinstance(error, UrlNotAllowed):
        return str(error)
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    log.error("webhook failed", exc_info=error)
    return "something went wrong here"
