"""Delivery of webhook messages to a real server on this machine."""

import datetime as dt
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import text

from core import settings, webhooks
from core.database import read, write
from core.leases import LeaseLost
from core.settings import Settings
from core.tables import Delivery, Tenant
from core.webhooks import delivery as delivery_module
from core.webhooks import outbox
from core.webhooks.delivery import deliver_due
from core.webhooks.http_client import Timeouts
from tests.certificates import create_certificate
from tests.conftest import TENANT, AddJob
from tests.core.webhooks.conftest import (
    SHORT_TIMEOUTS,
    AddWebhook,
    make_due,
    read_outbox,
    reload_webhook,
    run_job,
)
from tests.core.webhooks.receiver import Receiver, status
from tests.processes import TIMEOUT_S, free_port

Receivers = Callable[[], Receiver]
PUBLIC = "93.184.216.34"
SUCCEEDED_ONLY = ["job.succeeded"]


def read_delivery() -> Delivery:
    (row,) = read_outbox()
    return row


def deliver_and_check_delay(expected_s: float) -> None:
    """Deliver a message, which fails, and check the time of its next attempt."""
    before = dt.datetime.now(dt.UTC)
    deliver_due()
    after = dt.datetime.now(dt.UTC)
    next_at = read_delivery().next_at
    assert next_at is not None
    assert (next_at - before).total_seconds() >= 0.8 * expected_s - 0.01
    assert (next_at - after).total_seconds() <= 1.2 * expected_s + 0.01


def test_a_message_arrives_signed_and_once(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url + "?x=1")
    job = add_job()
    run_job(job)
    deliver_due()
    deliver_due()
    make_due()
    deliver_due()
    assert [message.json["type"] for message in receiver.received] == [
        "job.running",
        "job.succeeded",
    ]
    message = receiver.received[1]
    assert message.path == "/hook?x=1"
    assert message.json["data"]["id"] == job.id
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert message.is_signed_with(webhook.secret)
    assert not message.is_signed_with(add_webhook().secret)
    assert b": " not in message.body
    for row, message in zip(read_outbox(), receiver.received, strict=True):
        assert message.id == row.id
        assert (row.fencing_token, row.response_status, row.next_at) == (1, 204, None)
        assert row.delivered_at is not None
        assert row.failed_at is None


def test_a_failed_message_is_repeated_unchanged_after_a_delay(
    receiver: Receiver,
    add_webhook: AddWebhook,
    add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery_module, "BACKOFF_S", (3_600,))
    webhook = add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = status(500)
    deliver_and_check_delay(3_600)
    deliver_due()  # not due yet
    row = read_delivery()
    assert (row.fencing_token, row.response_status, row.last_error) == (
        1,
        500,
        "The URL answered with status 500.",
    )
    receiver.answer = status(200)
    make_due()
    deliver_due()
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.is_signed_with(webhook.secret)
    row = read_delivery()
    assert (row.fencing_token, row.response_status, row.last_error) == (2, 200, None)
    assert row.delivered_at is not None


def test_delays_grow_until_the_delivery_has_failed(
    local_webhooks_allowed: Settings, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(f"http://127.0.0.1:{free_port()}/", SUCCEEDED_ONLY)
    run_job(add_job())
    for expected_s in (5, 30, 120, 600, 3_600, 21_600, 86_400):
        deliver_and_check_delay(expected_s)
        assert read_delivery().last_error == "The connection was refused."
        make_due()
    deliver_due()
    row = read_delivery()
    assert (row.fencing_token, row.next_at, row.response_status) == (8, None, None)
    assert row.failed_at is not None
    assert row.delivered_at is None
    deliver_due()
    assert read_delivery().fencing_token == 8


def test_a_server_that_does_not_respond_is_aborted_at_the_timeout(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = receiver.hang
    deliver_due(timeouts=SHORT_TIMEOUTS)
    assert not receiver.released.is_set()  # the server has not given up
    assert (read_delivery().last_error, read_delivery().fencing_token) == (
        "The request timed out.",
        1,
    )


def test_a_server_that_responds_byte_by_byte_is_aborted_at_the_timeout(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = lambda handler: receiver.drip(handler, b"HTTP/1.1 200 OK\r\nX-Long: ")
    deliver_due(timeouts=SHORT_TIMEOUTS)
    assert not receiver.released.is_set()
    assert read_delivery().last_error == "The request timed out."


def test_a_body_that_arrives_byte_by_byte_does_not_extend_the_timeout(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    headers = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = lambda handler: receiver.drip(handler, headers)
    deliver_due(timeouts=Timeouts(connect_s=3, total_s=3))  # in which the headers arrive
    assert not receiver.released.is_set()
    assert read_delivery().delivered_at is not None


def test_a_tls_handshake_that_never_ends_is_aborted_at_the_timeout(
    local_webhooks_allowed: Settings, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        add_webhook(f"https://hooks.example:{silent.getsockname()[1]}/", SUCCEEDED_ONLY)
        run_job(add_job())
        deliver_due(resolve=lambda *_: ["127.0.0.1"], timeouts=SHORT_TIMEOUTS)
    assert read_delivery().last_error == "The request timed out."


def test_a_proxy_of_the_environment_is_not_used(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, proxy = receivers(), receivers()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    deliver_due()
    assert (len(receiver.received), len(proxy.received)) == (1, 0)


def test_a_huge_response_is_not_read_completely(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    sent = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(b"x" * 10**6)
            sent += 10**6

    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = flood
    deliver_due()
    assert sent < 50 * 10**6
    assert read_delivery().delivered_at is not None


def test_endless_headers_are_a_failed_attempt(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"X-Long: " + b"x" * 1_000 + b"\r\n")

    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = flood
    deliver_due()
    assert read_delivery().last_error == "The response is not valid HTTP."


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob, code: int
) -> None:
    receiver, internal = receivers(), receivers()
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = status(code, Location=internal.url)
    deliver_due()
    assert len(receiver.received) == 1
    assert internal.received == []
    assert read_delivery().last_error == f"The URL answered with status {code}."
    assert read_delivery().next_at is not None


def test_status_410_disables_the_webhook_and_fails_its_pending_messages(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook, other = add_webhook(receiver.url), add_webhook(receiver.url + "2")
    receiver.answer = lambda handler: status(410 if handler.path == "/hook" else 200)(handler)
    run_job(add_job())
    deliver_due()
    assert reload_webhook(webhook).disabled_at is not None
    assert reload_webhook(other).disabled_at is None
    first, second = [row for row in read_outbox() if row.webhook_id == webhook.id]
    assert (first.response_status, first.last_error) == (410, "The URL answered with status 410.")
    assert (second.fencing_token, second.last_error) == (0, "The webhook was disabled.")
    assert None not in {first.failed_at, second.failed_at}
    run_job(add_job())
    make_due()
    deliver_due()
    path_counts = Counter(message.path for message in receiver.received)
    assert path_counts == {"/hook": 1, "/hook2": 4}


def test_a_host_that_resolves_to_a_private_address_after_its_check_is_not_called(
    receiver: Receiver,
    add_webhook: AddWebhook,
    add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", "[]")
    settings.get_settings.cache_clear()
    url = f"http://rebinding.example:{receiver.port}/"
    webhooks.check_url(url, pointer="/url", tenant_id="x", resolve=lambda *_: [PUBLIC])
    add_webhook(url, SUCCEEDED_ONLY)
    run_job(add_job())
    deliver_due(resolve=lambda *_: ["127.0.0.1"], timeouts=SHORT_TIMEOUTS)
    assert receiver.received == []
    row = read_delivery()
    assert row.last_error == "The host is not on the public internet."
    assert (row.response_status, row.fencing_token) == (None, 1)
    deliver_due(resolve=lambda *_: [], timeouts=SHORT_TIMEOUTS)
    make_due()
    deliver_due(resolve=lambda *_: [], timeouts=SHORT_TIMEOUTS)
    assert read_delivery().last_error == "The host name cannot be resolved."


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    """The resolver of this machine does not know the name, so a second lookup would fail."""
    resolved_hosts = []

    def resolve(host: str, port: int) -> Sequence[str]:
        resolved_hosts.append(host)
        return ["127.0.0.1"]

    add_webhook(f"http://hooks.example:{receiver.port}/a?b=c", SUCCEEDED_ONLY)
    run_job(add_job())
    deliver_due(resolve=resolve)
    (message,) = receiver.received
    assert message.headers["host"] == f"hooks.example:{receiver.port}"
    assert resolved_hosts == ["hooks.example"]


def test_the_next_address_is_tried_when_one_does_not_respond(
    receiver: Receiver,
    add_webhook: AddWebhook,
    add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.0/8"]')
    settings.get_settings.cache_clear()
    add_webhook(f"http://hooks.example:{receiver.port}/", SUCCEEDED_ONLY)
    run_job(add_job())
    deliver_due(resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
    assert read_delivery().delivered_at is not None


def test_tls_sends_and_verifies_the_host_name_for_a_resolved_address(
    local_webhooks_allowed: Settings,
    add_webhook: AddWebhook,
    add_job: AddJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted, private = create_certificate(tmp_path, "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    sni_names = []
    context.sni_callback = lambda _socket, name, _context: sni_names.append(name)
    with Receiver(context).serving() as receiver:
        good = add_webhook(f"https://hooks.example:{receiver.port}/", SUCCEEDED_ONLY)
        bad = add_webhook(f"https://impostor.example:{receiver.port}/", SUCCEEDED_ONLY)
        run_job(add_job())
        deliver_due(resolve=lambda *_: ["127.0.0.1"])
        monkeypatch.delenv("SSL_CERT_FILE")
        untrusted = add_webhook(f"https://hooks.example:{receiver.port}/2", SUCCEEDED_ONLY)
        run_job(add_job())
        deliver_due(resolve=lambda *_: ["127.0.0.1"])
        (message,) = receiver.received
    assert message.is_signed_with(good.secret)
    assert message.headers["host"] == f"hooks.example:{receiver.port}"
    assert sni_names[:2] in (
        ["hooks.example", "impostor.example"],
        ["impostor.example", "hooks.example"],
    )
    errors = {row.webhook_id: row.last_error for row in read_outbox()[:2]}
    assert errors[good.id] is None
    assert errors[bad.id] == "The TLS certificate is not valid for the host."
    last = next(row for row in read_outbox() if row.webhook_id == untrusted.id)
    assert last.last_error == "The TLS certificate is not valid for the host."


def test_concurrent_senders_deliver_each_message_once(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    targets = [receivers() for _ in range(3)]
    for target in targets:
        add_webhook(target.url)
    for _ in range(6):
        run_job(add_job())
    barrier = threading.Barrier(3)

    def deliver() -> None:
        barrier.wait()
        deliver_due()

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    id_counts = Counter(message.id for target in targets for message in target.received)
    assert len(id_counts) == 3 * 6 * 2
    assert set(id_counts.values()) == {1}
    assert all(row.fencing_token == 1 and row.delivered_at is not None for row in read_outbox())


@contextmanager
def hang_until(slow: Receiver, condition: Callable[[], bool]) -> Iterator[list[bool]]:
    """Make `slow` hang until the condition is met; yield a list that becomes [True] then."""
    results: list[bool] = []
    slow.answer = slow.hang

    def watch() -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        results.append(condition())
        slow.released.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield results
    watcher.join()


def test_a_server_that_hangs_does_not_delay_other_servers(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    slow, responsive = receivers(), receivers()
    add_webhook(slow.url)
    add_webhook(responsive.url)
    for _ in range(3):
        run_job(add_job())
    with hang_until(slow, lambda: len(responsive.received) == 6) as condition_results:
        deliver_due(timeouts=Timeouts(connect_s=TIMEOUT_S, total_s=2 * TIMEOUT_S))
    assert condition_results == [True]
    assert slow.max_active == 1  # one request at a time to one URL


def test_one_tenant_cannot_use_all_slots(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    slow, responsive = receivers(), receivers()
    for i in range(2 * delivery_module.MAX_CONCURRENT):
        add_webhook(f"{slow.url}/{i}", SUCCEEDED_ONLY)
    run_job(add_job())
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        webhook = webhooks.create(
            session, "other", webhooks.NewWebhook(responsive.url, SUCCEEDED_ONLY)
        )
        last = Delivery(
            id="dlv_z",
            tenant_id="other",
            webhook_id=webhook.id,
            job_id=read_outbox()[0].job_id,
            type="job.succeeded",
            payload="{}",
        )
        session.add(last)

    def slots_are_full() -> bool:
        return (
            len(responsive.received) == 1
            and slow.max_active >= delivery_module.MAX_CONCURRENT_PER_TENANT
        )

    with hang_until(slow, slots_are_full) as condition_results:
        deliver_due(timeouts=Timeouts(connect_s=TIMEOUT_S, total_s=2 * TIMEOUT_S))
    assert condition_results == [True]
    assert slow.max_active == delivery_module.MAX_CONCURRENT_PER_TENANT


def test_messages_of_a_disabled_webhook_stay_failed(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url)
    run_job(add_job())
    with write() as session:
        first, second = [outbox.claim(session, row.id) for row in read_outbox()]
    assert first is not None
    assert second is not None
    with write() as session:
        outbox.mark_gone(session, first, "The URL answered with status 410.", 410)
    with pytest.raises(LeaseLost), write() as session:
        outbox.mark_failed(session, second, "The URL answered with status 500.", 500)
    assert reload_webhook(webhook).disabled_at is not None
    assert [(row.next_at, row.failed_at is None) for row in read_outbox()] == 2 * [(None, False)]


def test_a_message_of_a_lost_sender_is_sent_by_another(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    with write() as session:
        lost = outbox.claim(session, read_delivery().id)
    assert lost is not None
    with write() as session:
        assert outbox.claim(session, read_delivery().id) is None  # another sender has the claim
    deliver_due()
    assert receiver.received == []
    make_due()
    deliver_due()
    assert len(receiver.received) == 1
    with pytest.raises(LeaseLost), write() as session:  # the first sender was only slow
        outbox.mark_failed(session, lost, "late", None)
    assert read_delivery().delivered_at is not None
    assert (read_delivery().last_error, read_delivery().next_at) == (None, None)


def test_a_slow_sender_does_not_overwrite_a_later_attempt(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    with write() as session:
        slow = outbox.claim(session, read_delivery().id)
    make_due()
    with write() as session:
        outbox.claim(session, read_delivery().id)
    assert slow is not None
    with pytest.raises(LeaseLost), write() as session:
        outbox.mark_delivered(session, slow, 200)
    assert (read_delivery().delivered_at, read_delivery().fencing_token) == (None, 2)


def test_deleting_a_webhook_during_an_attempt_deletes_its_messages(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())

    def delete(handler: BaseHTTPRequestHandler) -> None:
        with write() as session:
            webhooks.delete(session, TENANT, webhook.id)
        status(500)(handler)

    receiver.answer = delete
    deliver_due()
    assert read_outbox() == []


def test_nothing_is_sent_after_a_stop_request(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url)
    run_job(add_job())
    stop = threading.Event()

    def stop_then_respond(handler: BaseHTTPRequestHandler) -> None:
        stop.set()
        status(200)(handler)

    receiver.answer = stop_then_respond
    deliver_due(stop=stop)
    assert len(receiver.received) == 1
    deliver_due(stop=stop)
    assert len(receiver.received) == 1
    assert [row.delivered_at is None for row in read_outbox()] == [False, True]


def test_a_response_that_is_not_http_is_a_failed_attempt(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = answer
    deliver_due()
    assert read_delivery().last_error == "The response is not valid HTTP."


def test_nothing_of_a_response_is_stored(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def respond_with_secrets(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500, "secret-reason")
        handler.send_header("X-Secret", "secret-header")
        handler.end_headers()
        handler.wfile.write(b"secret-body")

    add_webhook(receiver.url, SUCCEEDED_ONLY)
    run_job(add_job())
    receiver.answer = respond_with_secrets
    deliver_due()
    with read() as session:
        row = session.execute(text("SELECT * FROM deliveries")).one()
    assert "secret" not in json.dumps(list(row), default=str)
