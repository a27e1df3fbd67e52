"""A POST that is sent twice creates once."""

import threading

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core import idempotency
from core.database import write
from core.errors import Conflict
from core.idempotency import Reservation
from tests.conftest import TENANT
from tests.factories import create_digits_dataset
from tests.uploads import make_image_zip

KEY = {"Idempotency-Key": "order-66"}


def test_the_same_key_and_body_give_the_first_answer_again(client: TestClient) -> None:
    first = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    again = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_same_key_with_another_body_is_refused(client: TestClient) -> None:
    client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
    other = client.post("/v1/uploads", json={"filename": "y"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_a_dataset_is_uploaded_once(client: TestClient) -> None:
    data = make_image_zip()
    answers = [
        client.post("/v1/datasets", files={"file": ("pets.zip", data)}, headers=KEY)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len(client.get("/v1/datasets").json()["data"]) == 1
    other = client.post(
        "/v1/datasets", files={"file": ("pets.zip", make_image_zip(each=13))}, headers=KEY
    )
    assert other.status_code == 422


def test_a_job_is_created_once(client: TestClient) -> None:
    dataset = create_digits_dataset()
    body = {"kind": "training", "dataset": dataset, "budget": {"steps": 5}}
    answers = [client.post("/v1/jobs", json=body, headers=KEY) for _ in range(3)]
    assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
    assert len(client.get("/v1/jobs").json()["data"]) == 1


def test_a_refused_request_leaves_its_key_free(client: TestClient) -> None:
    assert client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).status_code == 201
    refused = {"kind": "training", "dataset": "ds_nothing"}
    key = {"Idempotency-Key": "other"}
    assert client.post("/v1/jobs", json=refused, headers=key).status_code == 404
    assert client.post("/v1/uploads", json={"filename": "x"}, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x7fb"])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str) -> None:
    answer = client.post("/v1/uploads", json={"filename": "x"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "key_invalid")


def test_while_the_first_request_runs_the_second_is_told_to_wait(client: TestClient) -> None:
    idempotency.reserve(TENANT, "k", "fingerprint")
    with pytest.raises(Conflict, match="is still running") as refused:
        idempotency.reserve(TENANT, "k", "fingerprint")
    assert refused.value.headers["Retry-After"] == "1"


def test_a_first_request_that_died_is_taken_over_and_may_no_longer_commit(
    client: TestClient,
) -> None:
    dead = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(dead, Reservation)
    with write() as session:
        session.execute(text("UPDATE idempotency_keys SET lease_until = '2000-01-01 00:00:00.0'"))
    alive = idempotency.reserve(TENANT, "k", "f")
    assert isinstance(alive, Reservation)
    with pytest.raises(Conflict), write() as session:
        idempotency.complete(session, dead, 201, {})
    with write() as session:
        idempotency.complete(session, alive, 201, {"id": "x"})
    assert idempotency.reserve(TENANT, "k", "f") == idempotency.SavedResponse(201, {"id": "x"})


def test_of_many_at_once_one_has_the_effect(client: TestClient) -> None:
    answers: list[int] = []

    def send() -> None:
        answer = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY)
        answers.append(answer.status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {201, 409}
    with write() as session:
        assert session.execute(text("SELECT count(*) FROM uploads")).scalar() == 1


def test_an_answer_is_kept_for_a_day(client: TestClient) -> None:
    first = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).json()
    with write() as session:
        session.execute(text("UPDATE idempotency_keys SET created_at = '2000-01-01 00:00:00.0'"))
    again = client.post("/v1/uploads", json={"filename": "x"}, headers=KEY).json()
    assert again["id"] != first["id"]
