"""Webhooks over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import api_keys, jobs, settings, webhooks
from core.database import write
from core.webhooks import delivery
from tests.conftest import AddJob
from tests.core.webhooks.receiver import Receiver, status
from tests.factories import create_digits_dataset

PUBLIC = "https://93.184.216.34/hook"  # a literal address needs no DNS
OTHER_TENANT = {"Authorization": "Bearer sem_other"}


@pytest.fixture
def receiver(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.1"]')
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOW_HTTP", "true")
    settings.get_settings.cache_clear()
    with Receiver().serving() as serving:
        yield serving


def create_webhook(client: TestClient, url: str = PUBLIC, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/webhooks", json={"url": url, **fields})
    assert response.status_code == 201
    webhook: dict[str, Any] = response.json()
    return webhook


def training_body(client: TestClient, **fields: Any) -> dict[str, Any]:
    dataset = create_digits_dataset()
    return {"kind": "training", "dataset": dataset, "budget": {"steps": 5}, **fields}


def run_job(job_id: str) -> None:
    with write() as session:
        claimed = jobs.claim(session, job_id, "worker")
    assert claimed is not None
    with write() as session:
        jobs.finish(
            session, claimed[0], result={"model": "mdl_1", "model_version": "x:1", "step": 5}
        )


def test_the_secret_of_a_webhook_is_shown_once(client: TestClient) -> None:
    response = client.post("/v1/webhooks", json={"url": PUBLIC, "name": "alerts"})
    webhook = response.json()
    assert (
        response.headers["location"] == f"/v1/webhooks/{webhook['id']}" == webhook["links"]["self"]
    )
    assert webhook["secret"].startswith("whsec_")
    assert set(webhook["events"]) == set(webhooks.EVENTS)
    shown = client.get(response.headers["location"])
    listed = client.get("/v1/webhooks")
    assert shown.json() == {k: v for k, v in webhook.items() if k != "secret"}
    assert listed.json()["data"] == [shown.json()]
    for later in (shown, listed, client.get(webhook["links"]["deliveries"])):
        assert "whsec_" not in later.text


def test_the_same_idempotency_key_creates_one_webhook(client: TestClient) -> None:
    key = {"Idempotency-Key": "one"}
    responses = [client.post("/v1/webhooks", json={"url": PUBLIC}, headers=key) for _ in range(2)]
    # The store of responses does not have the secret.
    assert responses[0].json() | {"secret": None} == responses[1].json()
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
def test_an_invalid_webhook_is_rejected_by_field(
    client: TestClient, body: dict[str, Any], pointer: str, code: str
) -> None:
    response = client.post("/v1/webhooks", json=body)
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert (error["pointer"], error["code"]) == (pointer, code)
    assert client.get("/v1/webhooks").json()["data"] == []


def test_webhooks_need_the_admin_scope(client: TestClient) -> None:
    webhook = create_webhook(client)
    with write() as session:
        scopes = tuple(scope for scope in api_keys.SCOPES if scope != "admin")
        api_keys.add(session, api_keys.DEFAULT_TENANT, "sem_member", name="member", scopes=scopes)
    member = {"Authorization": "Bearer sem_member"}
    for method, path in (
        ("POST", "/v1/webhooks"),
        ("GET", "/v1/webhooks"),
        ("GET", "/v1/webhooks/secret"),
        ("GET", webhook["links"]["self"]),
        ("DELETE", webhook["links"]["self"]),
        ("GET", webhook["links"]["deliveries"]),
    ):
        body = {"url": PUBLIC} if method == "POST" else None
        response = client.request(method, path, headers=member, json=body)
        assert (response.status_code, response.json()["code"]) == (403, "scope_missing"), path


def test_a_webhook_of_another_tenant_is_not_found(two_tenants: TestClient, add_job: AddJob) -> None:
    webhook = create_webhook(two_tenants)
    run_job(add_job().id)
    for method, path in (
        ("GET", webhook["links"]["self"]),
        ("DELETE", webhook["links"]["self"]),
        ("GET", webhook["links"]["deliveries"]),
    ):
        theirs = two_tenants.request(method, path, headers=OTHER_TENANT)
        unknown = two_tenants.request(
            method, path.replace(webhook["id"], "wh_x"), headers=OTHER_TENANT
        )
        assert theirs.status_code == unknown.status_code == 404
    assert two_tenants.get("/v1/webhooks", headers=OTHER_TENANT).json()["data"] == []
    assert len(two_tenants.get(webhook["links"]["deliveries"]).json()["data"]) == 2
    secrets = {
        two_tenants.get("/v1/webhooks/secret", headers=headers).json()["secret"]
        for headers in ({}, OTHER_TENANT, {}, OTHER_TENANT)
    }
    assert len(secrets) == 2


def test_a_deleted_webhook_receives_no_more_messages(
    client: TestClient, receiver: Receiver, add_job: AddJob
) -> None:
    webhook = create_webhook(client, receiver.url)
    run_job(add_job().id)
    assert client.delete(webhook["links"]["self"]).status_code == 204
    assert client.delete(webhook["links"]["self"]).status_code == 404
    run_job(add_job().id)
    delivery.deliver_due()
    assert receiver.received == []


def test_the_number_of_webhooks_is_limited(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMBLANCE_LIMITS__WEBHOOKS", "2")
    settings.get_settings.cache_clear()
    for _ in range(2):
        create_webhook(client)
    response = client.post("/v1/webhooks", json={"url": PUBLIC})
    assert (response.status_code, response.json()["code"]) == (422, "too_many_webhooks")
    assert response.json()["limit"] == 2


def test_deliveries_are_paged_newest_first_with_their_outcome(
    client: TestClient, receiver: Receiver, add_job: AddJob
) -> None:
    webhook = create_webhook(client, receiver.url, events=["job.succeeded"])
    create_webhook(client, receiver.url + "/other")
    job_ids = [add_job().id for _ in range(3)]
    for job_id in job_ids:
        run_job(job_id)
    receiver.answer = status(500)
    delivery.deliver_due()
    path = webhook["links"]["deliveries"]
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "after": first["next"]}).json()
    assert (first["has_more"], second["has_more"]) == (True, False)
    rows = first["data"] + second["data"]
    assert {row["job"] for row in rows} == set(job_ids)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert {(r["type"], r["state"], r["attempt"], r["response_status"]) for r in rows} == {
        ("job.succeeded", "pending", 1, 500)
    }
    assert rows[0]["last_error"] == "The URL answered with status 500."
    sent = {message.id for message in receiver.received if message.path == "/hook"}
    assert sent == {row["id"] for row in rows}
    assert client.get(path, params={"after": "wh_1"}).status_code == 400


@pytest.mark.parametrize("form", ["text", "object"])
def test_a_job_can_have_its_own_webhook(client: TestClient, receiver: Receiver, form: str) -> None:
    requested = (
        receiver.url if form == "text" else {"url": receiver.url, "events": ["job.succeeded"]}
    )
    job = client.post("/v1/jobs", json=training_body(client, webhook=requested)).json()
    run_job(job["id"])
    delivery.deliver_due()
    secret = client.get("/v1/webhooks/secret").json()["secret"]
    message = receiver.received[-1]
    assert message.is_signed_with(secret)
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    data = message.json["data"]
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
def test_a_job_with_an_invalid_webhook_is_rejected(
    client: TestClient, webhook: Any, pointer: str, code: str
) -> None:
    body = training_body(client, webhook=webhook)
    for request in (body, body | {"validate_only": True}):
        response = client.post("/v1/jobs", json=request)
        assert response.status_code == 422
        error = response.json()["errors"][0]
        assert (error["pointer"], error["code"]) == (pointer, code)
    assert client.get("/v1/jobs").json()["data"] == []
