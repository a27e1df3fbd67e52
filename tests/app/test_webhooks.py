"""Webhooks over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import api_keys, jobs, settings, webhooks
from core.database import write
from core.tables import Tenant
from tests.conftest import AddJob
from tests.core.webhooks.receiver import Receiver, status
from tests.factories import create_digits_dataset

PUBLIC = "https://93.184.216.34/hook"  # an address needs no resolver
OTHER = {"Authorization": "Bearer sem_other"}


@pytest.fixture
def receiver(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.1"]')
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOW_HTTP", "true")
    settings.get_settings.cache_clear()
    with Receiver().serving() as serving:
        yield serving


@pytest.fixture
def other(client: TestClient) -> TestClient:
    """The same service, asked with `OTHER`: another tenant's key, which may do everything."""
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        api_keys.add(session, "other", "sem_other", name="other", scopes=api_keys.SCOPES)
    return client


def create(client: TestClient, url: str = PUBLIC, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def training(client: TestClient, **fields: Any) -> dict[str, Any]:
    dataset = create_digits_dataset()
    return {"kind": "training", "dataset": dataset, "budget": {"steps": 5}, **fields}


def run(job_id: str) -> None:
    with write() as session:
        taken = jobs.claim(session, job_id, "worker")
    assert taken is not None
    with write() as session:
        jobs.finish(session, taken[0], result={"step": 5})


def test_a_webhook_shows_its_secret_once(client: TestClient) -> None:
    answer = client.post("/v1/webhooks", json={"url": PUBLIC, "name": "mine"})
    made = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}" == made["links"]["self"]
    assert made["secret"].startswith("whsec_")
    assert set(made["events"]) == set(webhooks.EVENTS)
    shown = client.get(answer.headers["location"])
    listed = client.get("/v1/webhooks")
    assert shown.json() == {k: v for k, v in made.items() if k != "secret"}
    assert listed.json()["data"] == [shown.json()]
    for later in (shown, listed, client.get(made["links"]["deliveries"])):
        assert "whsec_" not in later.text


def test_the_same_idempotency_key_creates_one_webhook(client: TestClient) -> None:
    key = {"Idempotency-Key": "one"}
    answers = [client.post("/v1/webhooks", json={"url": PUBLIC}, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(client.get("/v1/webhooks").json()["data"]) == 1


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"url": "http://93.184.216.34/"}, "/url", "scheme_not_allowed"),
        ({"url": "https://127.0.0.1/"}, "/url", "address_not_public"),
        ({"url": "https://localhost/"}, "/url", "address_not_public"),
        ({"url": "https://10.0.0.1/"}, "/url", "address_not_public"),
        ({"url": "https://169.254.169.254/latest/"}, "/url", "address_not_public"),
        ({"url": "https://[::1]/"}, "/url", "address_not_public"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "/url", "address_not_public"),
        ({"url": "https://[fd00:ec2::254]/"}, "/url", "address_not_public"),
        ({"url": "https://0.0.0.0/"}, "/url", "address_not_public"),
        ({"url": "https://2130706433/"}, "/url", "url_invalid"),
        ({"url": "https://0x7f.1/"}, "/url", "url_invalid"),
        ({"url": "https://0177.0.0.1/"}, "/url", "url_invalid"),
        ({"url": "https://user:word@93.184.216.34/"}, "/url", "url_invalid"),
        ({"url": "file:///etc/passwd"}, "/url", "url_invalid"),
        ({"url": "https://nothing.invalid/"}, "/url", "host_unknown"),
        ({"url": "https://93.184.216.34/" + "x" * 2_048}, "/url", "too_long"),
        ({"url": ""}, "/url", "too_short"),
        ({"url": 1}, "/url", "string_type"),
        ({}, "/url", "missing"),
        ({"url": PUBLIC, "events": []}, "/events", "too_short"),
        ({"url": PUBLIC, "events": ["job.exploded"]}, "/events/0", "not_allowed"),
        ({"url": PUBLIC, "secret": "whsec_x"}, "/secret", "unknown_field"),
        ({"url": PUBLIC, "tenant_id": "x"}, "/tenant_id", "unknown_field"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_by_field(
    client: TestClient, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = client.post("/v1/webhooks", json=body)
    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert (fault["pointer"], fault["code"]) == (pointer, code)
    assert client.get("/v1/webhooks").json()["data"] == []


def test_only_an_administrator_sees_webhooks(client: TestClient) -> None:
    webhook = create(client)
    with write() as session:
        scopes = tuple(scope for scope in api_keys.SCOPES if scope != "admin")
        api_keys.add(session, api_keys.DEFAULT_TENANT, "sem_plain", name="plain", scopes=scopes)
    plain = {"Authorization": "Bearer sem_plain"}
    for method, path in (
        ("POST", "/v1/webhooks"),
        ("GET", "/v1/webhooks"),
        ("GET", "/v1/webhooks/secret"),
        ("GET", webhook["links"]["self"]),
        ("DELETE", webhook["links"]["self"]),
        ("GET", webhook["links"]["deliveries"]),
    ):
        body = {"url": PUBLIC} if method == "POST" else None
        answer = client.request(method, path, headers=plain, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path


def test_another_tenants_webhooks_do_not_exist(other: TestClient, add_job: AddJob) -> None:
    webhook = create(other)
    run(add_job().id)
    for method, path in (
        ("GET", webhook["links"]["self"]),
        ("DELETE", webhook["links"]["self"]),
        ("GET", webhook["links"]["deliveries"]),
    ):
        theirs = other.request(method, path, headers=OTHER)
        unknown = other.request(method, path.replace(webhook["id"], "wh_x"), headers=OTHER)
        assert theirs.status_code == unknown.status_code == 404
    assert other.get("/v1/webhooks", headers=OTHER).json()["data"] == []
    assert len(other.get(webhook["links"]["deliveries"]).json()["data"]) == 2
    secrets = {
        other.get("/v1/webhooks/secret", headers=headers).json()["secret"]
        for headers in ({}, OTHER, {}, OTHER)
    }
    assert len(secrets) == 2


def test_a_deleted_webhook_is_told_no_more(
    client: TestClient, receiver: Receiver, add_job: AddJob
) -> None:
    webhook = create(client, receiver.url)
    run(add_job().id)
    assert client.delete(webhook["links"]["self"]).status_code == 204
    assert client.delete(webhook["links"]["self"]).status_code == 404
    run(add_job().id)
    webhooks.deliver_due()
    assert receiver.received == []


def test_there_may_be_so_many_webhooks(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMBLANCE_LIMITS__WEBHOOKS", "2")
    settings.get_settings.cache_clear()
    for _ in range(2):
        create(client)
    answer = client.post("/v1/webhooks", json={"url": PUBLIC})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_webhooks")
    assert answer.json()["limit"] == 2


def test_deliveries_are_paged_newest_first_with_how_they_went(
    client: TestClient, receiver: Receiver, add_job: AddJob
) -> None:
    webhook = create(client, receiver.url, events=["job.succeeded"])
    create(client, receiver.url + "/other")
    ran = [add_job().id for _ in range(3)]
    for job_id in ran:
        run(job_id)
    receiver.answer = status(500)
    webhooks.deliver_due()
    path = webhook["links"]["deliveries"]
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "after": first["next"]}).json()
    assert (first["has_more"], second["has_more"]) == (True, False)
    rows = first["data"] + second["data"]
    assert {row["job"] for row in rows} == set(ran)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert {(r["type"], r["state"], r["attempt"], r["response_status"]) for r in rows} == {
        ("job.succeeded", "pending", 1, 500)
    }
    assert rows[0]["last_error"] == "The URL answered with status 500."
    sent = {message.id for message in receiver.received if message.path == "/hook"}
    assert sent == {row["id"] for row in rows}
    assert client.get(path, params={"after": "wh_1"}).status_code == 400


@pytest.mark.parametrize("form", ["text", "object"])
def test_a_job_brings_a_webhook_of_its_own(
    client: TestClient, receiver: Receiver, form: str
) -> None:
    wanted = receiver.url if form == "text" else {"url": receiver.url, "events": ["job.succeeded"]}
    job = client.post("/v1/jobs", json=training(client, webhook=wanted)).json()
    run(job["id"])
    webhooks.deliver_due()
    secret = client.get("/v1/webhooks/secret").json()["secret"]
    ended = receiver.received[-1]
    assert ended.is_signed_with(secret)
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    data = ended.json["data"]
    assert data == {name: shown[name] for name in data} | {"links": data["links"]}
    assert data["links"].items() <= shown["links"].items()
    assert len(receiver.received) == (2 if form == "text" else 1)
    assert client.get("/v1/webhooks").json()["data"] == []
    (webhook,) = client.get("/v1/webhooks", params={"job": job["id"]}).json()["data"]
    assert (webhook["job"], webhook["url"]) == (job["id"], receiver.url)
    deliveries = client.get(webhook["links"]["deliveries"]).json()["data"]
    assert {row["state"] for row in deliveries} == {"delivered"}


@pytest.mark.parametrize(
    ("webhook", "pointer", "code"),
    [
        ("https://10.0.0.1/", "/webhook", "address_not_public"),
        ({"url": "https://10.0.0.1/"}, "/webhook", "address_not_public"),
        ({"url": PUBLIC, "events": ["x"]}, "/webhook/events/0", "not_allowed"),
        ({"url": PUBLIC, "secret": "x"}, "/webhook/secret", "unknown_field"),
        ({}, "/webhook/url", "missing"),
        ("", "/webhook", "too_short"),
    ],
)
def test_a_job_with_a_webhook_that_cannot_be_does_not_start(
    client: TestClient, webhook: Any, pointer: str, code: str
) -> None:
    body = training(client, webhook=webhook)
    for asked in (body, body | {"validate_only": True}):
        answer = client.post("/v1/jobs", json=asked)
        assert answer.status_code == 422
        fault = answer.json()["errors"][0]
        assert (fault["pointer"], fault["code"]) == (pointer, code)
    assert client.get("/v1/jobs").json()["data"] == []
