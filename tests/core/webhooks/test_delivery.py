"""Messages on their way: to a real server on this machine."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from core import settings, webhooks
from core.database import read, write
from core.settings import Settings
from core.tables import Delivery, Tenant
from core.webhooks import deliver_due
from core.webhooks import delivery as delivering
from core.webhooks import outbox as rows
from core.webhooks.http_client import Timeouts
from tests.conftest import TENANT, AddJob
from tests.core.webhooks.conftest import (
    QUICK,
    AddWebhook,
    make_due,
    outbox,
    reload,
    run,
)
from tests.core.webhooks.receiver import Receiver, status
from tests.processes import free_port

Receivers = Callable[[], Receiver]
PUBLIC = "93.184.216.34"
ENDS = ["job.succeeded"]


def only() -> Delivery:
    (row,) = outbox()
    return row


def seconds_to_next(row: Delivery) -> float:
    assert row.next_at is not None
    return (row.next_at - dt.datetime.now(dt.UTC)).total_seconds()


def test_a_message_arrives_signed_and_once(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url + "?x=1")
    job = add_job()
    run(job)
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
    for row, got in zip(outbox(), receiver.received, strict=True):
        assert got.id == row.id
        assert (row.attempt, row.response_status, row.next_at) == (1, 204, None)
        assert row.delivered_at is not None
        assert row.failed_at is None


def test_a_message_that_is_not_taken_comes_again_the_same_and_later(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = status(500)
    deliver_due()
    deliver_due()  # not due yet
    row = only()
    assert (row.attempt, row.response_status, row.last_error) == (
        1,
        500,
        "The URL answered with status 500.",
    )
    assert 2 < seconds_to_next(row) < 7
    receiver.answer = status(200)
    make_due()
    deliver_due()
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.is_signed_with(webhook.secret)
    row = only()
    assert (row.attempt, row.response_status, row.last_error) == (2, 200, None)
    assert row.delivered_at is not None


def test_waits_grow_until_the_delivery_has_failed(
    local: Settings, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(f"http://127.0.0.1:{free_port()}/", ENDS)
    run(add_job())
    waits = []
    for _ in range(7):
        deliver_due(timeouts=QUICK)
        assert only().last_error == "The connection was refused."
        waits.append(seconds_to_next(only()))
        make_due()
    for wait, expected in zip(waits, (5, 30, 120, 600, 3_600, 21_600, 86_400), strict=True):
        assert 0.8 * expected - 2 <= wait <= 1.2 * expected
    deliver_due(timeouts=QUICK)
    row = only()
    assert (row.attempt, row.next_at, row.response_status) == (8, None, None)
    assert row.failed_at is not None
    assert row.delivered_at is None
    deliver_due()
    assert only().attempt == 8


def test_a_server_that_does_not_answer_is_left_in_time(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = receiver.hang
    started = time.monotonic()
    deliver_due(timeouts=QUICK)
    assert time.monotonic() - started < 5
    assert (only().last_error, only().attempt) == ("The request timed out.", 1)


def test_a_server_that_answers_byte_by_byte_is_left_in_time(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not receiver.released.wait(0.05):
            handler.wfile.write(b"x")

    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = drip
    started = time.monotonic()
    deliver_due(timeouts=QUICK)
    assert time.monotonic() - started < 5
    assert only().last_error == "The request timed out."


def test_a_huge_answer_is_cut(receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob) -> None:
    sent = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(b"x" * 10**6)
            sent += 10**6

    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = flood
    deliver_due()
    assert sent < 50 * 10**6
    assert only().delivered_at is not None


def test_endless_headers_are_no_answer(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"X-Long: " + b"x" * 1_000 + b"\r\n")

    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = flood
    deliver_due()
    assert only().last_error == "The response is not valid HTTP."


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob, code: int
) -> None:
    receiver, inside = receivers(), receivers()
    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = status(code, Location=inside.url)
    deliver_due()
    assert len(receiver.received) == 1
    assert inside.received == []
    assert only().last_error == f"The URL answered with status {code}."
    assert only().next_at is not None


def test_a_webhook_that_is_gone_is_disabled_and_what_waits_for_it_fails(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook, other = add_webhook(receiver.url), add_webhook(receiver.url + "2")
    receiver.answer = lambda handler: status(410 if handler.path == "/hook" else 200)(handler)
    run(add_job())
    deliver_due()
    assert reload(webhook).disabled_at is not None
    assert reload(other).disabled_at is None
    first, second = [row for row in outbox() if row.webhook_id == webhook.id]
    assert (first.response_status, first.last_error) == (410, "The URL answered with status 410.")
    assert (second.attempt, second.last_error) == (0, "The webhook was disabled.")
    assert None not in {first.failed_at, second.failed_at}
    run(add_job())
    make_due()
    deliver_due()
    counted = Counter(message.path for message in receiver.received)
    assert counted == {"/hook": 1, "/hook2": 4}


def test_a_name_that_has_moved_inside_since_it_was_checked_is_not_called(
    receiver: Receiver,
    add_webhook: AddWebhook,
    add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", "[]")
    settings.get_settings.cache_clear()
    url = f"http://rebinding.example:{receiver.port}/"
    webhooks.check_url(url, pointer="/url", resolve=lambda *_: [PUBLIC])
    add_webhook(url, ENDS)
    run(add_job())
    deliver_due(resolve=lambda *_: ["127.0.0.1"], timeouts=QUICK)
    assert receiver.received == []
    row = only()
    assert row.last_error == "The host is not on the public internet."
    assert (row.response_status, row.attempt) == (None, 1)
    deliver_due(resolve=lambda *_: [], timeouts=QUICK)
    make_due()
    deliver_due(resolve=lambda *_: [], timeouts=QUICK)
    assert only().last_error == "The host name cannot be resolved."


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    """The name means nothing to this machine's resolver: whoever asked again would not arrive."""
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    add_webhook(f"http://hooks.example:{receiver.port}/a?b=c", ENDS)
    run(add_job())
    deliver_due(resolve=resolve)
    (message,) = receiver.received
    assert message.headers["host"] == f"hooks.example:{receiver.port}"
    assert asked == ["hooks.example"]


def test_the_next_address_is_tried_when_one_does_not_answer(
    receiver: Receiver,
    add_webhook: AddWebhook,
    add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.0/8"]')
    settings.get_settings.cache_clear()
    add_webhook(f"http://hooks.example:{receiver.port}/", ENDS)
    run(add_job())
    deliver_due(resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
    assert only().delivered_at is not None


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that proves `name`, to be trusted, and a server's context that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "trusted.pem", folder / "private.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return trusted, context


def test_over_tls_the_name_is_told_and_proved_though_the_address_is_called(
    local: Settings,
    add_webhook: AddWebhook,
    add_job: AddJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted, context = certificate(tmp_path, "hooks.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    told = []
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    with Receiver(context).serving() as receiver:
        good = add_webhook(f"https://hooks.example:{receiver.port}/", ENDS)
        bad = add_webhook(f"https://impostor.example:{receiver.port}/", ENDS)
        run(add_job())
        deliver_due(resolve=lambda *_: ["127.0.0.1"])
        monkeypatch.delenv("SSL_CERT_FILE")
        untrusted = add_webhook(f"https://hooks.example:{receiver.port}/2", ENDS)
        run(add_job())
        deliver_due(resolve=lambda *_: ["127.0.0.1"])
        (message,) = receiver.received
    assert message.is_signed_with(good.secret)
    assert message.headers["host"] == f"hooks.example:{receiver.port}"
    assert told[:2] in (
        ["hooks.example", "impostor.example"],
        ["impostor.example", "hooks.example"],
    )
    errors = {row.webhook_id: row.last_error for row in outbox()[:2]}
    assert errors[good.id] is None
    assert errors[bad.id] == "The TLS certificate is not valid for the host."
    last = next(row for row in outbox() if row.webhook_id == untrusted.id)
    assert last.last_error == "The TLS certificate is not valid for the host."


def test_two_that_deliver_at_once_send_each_message_once(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    targets = [receivers() for _ in range(3)]
    for target in targets:
        add_webhook(target.url)
    for _ in range(6):
        run(add_job())
    gate = threading.Barrier(3)

    def deliver() -> None:
        gate.wait()
        deliver_due()

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrived = Counter(message.id for target in targets for message in target.received)
    assert len(arrived) == 3 * 6 * 2
    assert set(arrived.values()) == {1}
    assert all(row.attempt == 1 and row.delivered_at is not None for row in outbox())


@contextmanager
def hanging_until(slow: Receiver, enough: Callable[[], bool]) -> Iterator[list[bool]]:
    """`slow` answers nobody until there is enough; yields what becomes [True] if that came."""
    seen: list[bool] = []
    slow.answer = slow.hang

    def watch() -> None:
        deadline = time.monotonic() + 10
        while not enough() and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(enough())
        slow.released.set()

    watching = threading.Thread(target=watch)
    watching.start()
    yield seen
    watching.join()


def test_a_target_that_hangs_keeps_no_other_waiting(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    slow, quick = receivers(), receivers()
    add_webhook(slow.url)
    add_webhook(quick.url)
    for _ in range(3):
        run(add_job())
    with hanging_until(slow, lambda: len(quick.received) == 6) as all_arrived:
        deliver_due(timeouts=Timeouts(connect_s=1, total_s=30))
    assert all_arrived == [True]
    assert slow.busiest == 1  # one request at a time to one URL


def test_one_tenant_does_not_fill_all_slots(
    receivers: Receivers, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    slow, quick = receivers(), receivers()
    for i in range(2 * delivering.MAX_CONCURRENT):
        add_webhook(f"{slow.url}/{i}", ENDS)
    run(add_job())
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        webhook = webhooks.create(session, "other", webhooks.NewWebhook(quick.url, ENDS))
        last = Delivery(
            id="dlv_z",
            tenant_id="other",
            webhook_id=webhook.id,
            job_id=outbox()[0].job_id,
            type="job.succeeded",
            payload="{}",
        )
        session.add(last)

    def all_are_there() -> bool:
        return len(quick.received) == 1 and slow.busiest >= delivering.MAX_CONCURRENT_PER_TENANT

    with hanging_until(slow, all_are_there) as arrived:
        deliver_due(timeouts=Timeouts(connect_s=1, total_s=30))
    assert arrived == [True]
    assert slow.busiest == delivering.MAX_CONCURRENT_PER_TENANT


def test_what_a_disabled_webhook_waits_for_stays_failed(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url)
    run(add_job())
    with write() as session:
        first, second = [rows.claim(session, row.id) for row in outbox()]
    assert first is not None
    assert second is not None
    with write() as session:
        rows.mark_gone(session, first, "The URL answered with status 410.", 410)
    with write() as session:
        rows.mark_failed(session, second, "The URL answered with status 500.", 500)
    assert reload(webhook).disabled_at is not None
    assert [(row.next_at, row.failed_at is None) for row in outbox()] == 2 * [(None, False)]


def test_a_message_whose_sender_died_is_sent_by_another(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, ENDS)
    run(add_job())
    with write() as session:
        lost = rows.claim(session, only().id)
    assert lost is not None
    with write() as session:
        assert rows.claim(session, only().id) is None  # it is held
    deliver_due()
    assert receiver.received == []
    make_due()
    deliver_due()
    assert len(receiver.received) == 1
    with write() as session:  # the first was only slow
        rows.mark_failed(session, lost, "late", None)
    assert only().delivered_at is not None
    assert (only().last_error, only().next_at) == (None, None)


def test_a_sender_that_was_slow_does_not_undo_what_another_attempt_does(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url, ENDS)
    run(add_job())
    with write() as session:
        slow = rows.claim(session, only().id)
    make_due()
    with write() as session:
        rows.claim(session, only().id)
    assert slow is not None
    with write() as session:
        rows.mark_delivered(session, slow, 200)
    assert (only().delivered_at, only().attempt) == (None, 2)


def test_a_webhook_that_is_deleted_while_its_message_is_on_the_way_is_forgotten(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    webhook = add_webhook(receiver.url, ENDS)
    run(add_job())

    def delete(handler: BaseHTTPRequestHandler) -> None:
        with write() as session:
            webhooks.delete(session, TENANT, webhook.id)
        status(500)(handler)

    receiver.answer = delete
    deliver_due()
    assert outbox() == []


def test_nothing_more_is_sent_once_the_process_is_told_to_stop(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    add_webhook(receiver.url)
    run(add_job())
    stop = threading.Event()

    def stop_then_answer(handler: BaseHTTPRequestHandler) -> None:
        stop.set()
        status(200)(handler)

    receiver.answer = stop_then_answer
    deliver_due(stop=stop)
    assert len(receiver.received) == 1
    deliver_due(stop=stop)
    assert len(receiver.received) == 1
    assert [row.delivered_at is None for row in outbox()] == [False, True]


def test_an_answer_that_is_not_http_is_a_failed_attempt(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = answer
    deliver_due()
    assert only().last_error == "The response is not valid HTTP."


def test_nothing_of_an_answer_is_kept(
    receiver: Receiver, add_webhook: AddWebhook, add_job: AddJob
) -> None:
    def tell(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500, "secret-reason")
        handler.send_header("X-Secret", "secret-header")
        handler.end_headers()
        handler.wfile.write(b"secret-body")

    add_webhook(receiver.url, ENDS)
    run(add_job())
    receiver.answer = tell
    deliver_due()
    with read() as session:
        row = session.execute(text("SELECT * FROM deliveries")).one()
    assert "secret" not in json.dumps(list(row), default=str)
