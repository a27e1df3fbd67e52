"""Idempotency keys: a repeated POST creates one resource."""

import threading

import pytest
from sqlalchemy import select, text
from starlette.testclient import TestClient

from core import idempotency
from core.database import read, write
from core.errors import Conflict
from core.idempotency import Reservation
from core.tables import IdempotencyKey
from tests.conftest import TENANT
from tests.factories import create_digits_dataset
from tests.uploads import make_image_zip

KEY = {"Idempotency-Key": "order-66"}


def test_the_same_key_and_body_replay_the_first_response(client: TestClient) -> None:
    first = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    replayed = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    assert (replayed.status_code, replayed.json()) == (first.status_code, first.json())
    assert replayed.headers["location"] == first.headers["location"]
    assert replayed.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_same_key_with_another_body_is_rejected(client: TestClient) -> None:
    client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    other = client.post("/v1/uploads", json={"filename": "y"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_a_repeated_upload_creates_one_dataset(client: TestClient) -> None:
    data = make_image_zip()
    responses = [
        client.post("/v1/datasets", files={"file": ("pets.zip", data)}, headers=KEY)
        for _ in range(2)
    ]
    assert responses[0].json() == responses[1].json()
    assert len(client.get("/v1/datasets").json()["data"]) == 1
    other = client.post(
        "/v1/datasets", files={"file": ("pets.zip", make_image_zip(each=13))}, headers=KEY
    )
    assert other.status_code == 422


def test_a_repeated_post_creates_one_job(client: TestClient) -> None:
    dataset = create_digits_dataset()
    body = {"kind": "training", "dataset": dataset, "budget": {"steps": 5}}
    responses = [client.post("/v1/jobs", json=body, headers=KEY) for _ in range(3)]
    assert {response.json()["id"] for response in responses} == {responses[0].json()["id"]}
    assert len(client.get("/v1/jobs").json()["data"]) == 1


def test_a_rejected_request_leaves_its_key_unused(client: TestClient) -> None:
    assert client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).status_code == 201
    invalid = {"kind": "training", "dataset": "ds_nothing"}
    key = {"Idempotency-Key": "other"}
    assert client.post("/v1/jobs", json=invalid, headers=key).status_code == 404
    assert client.post("/v1/uploads", json={"filename": "x"}, headers=key).status_code == 201


@pytest.mark.parametrize("query", ["", "?cascade=true"])
def test_the_response_of_a_deleted_resource_is_forgotten(client: TestClient, query: str) -> None:
    files = {"file": ("pets.zip", make_image_zip())}
    dataset = client.post("/v1/datasets", files=files, headers=KEY).json()["id"]
    body = {"kind": "training", "dataset": dataset, "budget": {"steps": 5}, "tags": {"of": "cats"}}
    key = {"Idempotency-Key": "another"}
    job = client.post("/v1/jobs", json=body, headers=key).json()["id"]
    client.post(f"/v1/jobs/{job}/cancel")
    assert client.delete(f"/v1/datasets/{dataset}{query}").status_code == 204
    assert client.delete(f"/v1/jobs/{job}").status_code == (404 if query else 204)
    with read() as session:
        rows = session.scalars(select(IdempotencyKey)).all()
    assert {row.resource_id: row.response_body for row in rows} == {dataset: {}, job: {}}
    repeated = client.post("/v1/datasets", files=files, headers=KEY)
    assert (repeated.status_code, repeated.json()["code"]) == (409, "idempotency_resource_deleted")
    assert not repeated.json()["retryable"]
    assert client.get("/v1/datasets").json()["data"] == []


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x7fb"])
def test_a_malformed_key_is_rejected(client: TestClient, key: str) -> None:
    response = client.post("/v1/uploads", json={"filename": "x"}, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (400, "key_invalid")


def test_a_repeated_request_conflicts_while_the_first_runs(client: TestClient) -> None:
    idempotency.reserve(TENANT, "k", "fingerprint")
    with pytest.raises(Conflict, match="is still running") as rejected:
        idempotency.reserve(TENANT, "k", "fingerprint")
    assert rejected.value.headers["Retry-After"] == "1"


def test_an_expired_reservation_is_taken_over_and_cannot_commit(
    client: TestClient,
) -> None:
    expired = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(expired, Reservation)
    with write() as session:
        session.execute(text("UPDATE idempotency_keys SET lease_until = '2000-01-01 00:00:00.0'"))
    active = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(active, Reservation)
    with pytest.raises(Conflict), write() as session:
        idempotency.complete(session, expired, 201, {})
    with write() as session:
        idempotency.complete(session, active, 201, {"id": "x"})
    assert idempotency.reserve(TENANT, "k", "f") == idempotency.SavedResponse(201, {"id": "x"})


def test_a_reservation_that_expired_before_another_failed_cannot_commit(client: TestClient) -> None:
    expired = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(expired, Reservation)
    with write() as session:
        session.execute(text("UPDATE idempotency_keys SET lease_until = '2000-01-01 00:00:00.0'"))
    failed = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(failed, Reservation)
    idempotency.release(failed)
    active = idempotency.reserve(TENANT, "k", "another request")
    assert isinstance(active, Reservation)
    with pytest.raises(Conflict), write() as session:
        idempotency.complete(session, expired, 201, {})
    idempotency.release(expired)  # does not end the active reservation
    with write() as session:
        idempotency.complete(session, active, 201, {"id": "x"})


def test_concurrent_requests_with_one_key_create_one_upload(client: TestClient) -> None:
    statuses: list[int] = []

    def send() -> None:
        response = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
        statuses.append(response.status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {201, 409}
    with write() as session:
        assert session.execute(text("SELECT count(*) FROM uploads")).scalar() == 1


def test_a_stored_response_expires(client: TestClient) -> None:
    first = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).json()
    with write() as session:
        session.execute(text("UPDATE idempotency_keys SET created_at = '2000-01-01 00:00:00.0'"))
    again = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).json()
    assert again["id"] != first["id"]
