"""Generation jobs over HTTP, without a worker."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from core import api_keys, jobs, model_registry
from core.database import read, write
from tests.conftest import TENANT


def post_generation_job(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/jobs", json={"kind": "generation", **body})


def test_a_generation_job_is_accepted_with_every_value_resolved(pets: TestClient) -> None:
    response = post_generation_job(
        pets, model="pets", labels={"cat": 3, "ant": 2_000}, offset=5, shard_size=1_000
    )
    assert response.status_code == 202, response.text
    job = response.json()
    model = pets.get("/v1/models/pets").json()
    assert (job["kind"], job["state"], job["name"], job["model"]) == (
        *("generation", "queued", "pets"),
        model["id"],
    )
    resolved = job["resolved"]
    assert (resolved["model"], resolved["reference"]) == (model["id"], "pets:1")
    assert (resolved["format"], resolved["count"], resolved["shards"]) == ("tar", 2_003, 3)
    assert resolved["plan"]["ranges"] == [
        {"label": 2, "start": 5, "stop": 8},
        {"label": 0, "start": 5, "stop": 2_005},
    ]
    assert isinstance(resolved["seed"], int)
    assert pets.get("/v1/jobs?kind=generation").json()["data"][0]["id"] == job["id"]
    with read() as session:
        stored = model_registry.get(session, TENANT, model["id"])
        assert jobs.live_jobs_of_model(session, stored) == [job["id"]]
    rejected = pets.delete(f"/v1/models/{model['id']}")
    assert (rejected.status_code, rejected.json()["jobs"]) == (409, [job["id"]])


def test_validate_only_estimates_from_a_few_items_and_creates_no_job(
    pets: TestClient, people: TestClient
) -> None:
    before = len(pets.get("/v1/jobs").json()["data"])
    for model, format in (("pets", "npz"), ("people", "csv")):
        response = post_generation_job(
            pets, model=model, count=1_000_000, format=format, validate_only=True
        )
        assert response.status_code == 200, response.text
        plan = response.json()
        estimate = plan["estimate"]
        assert estimate["items"] == 1_000_000
        assert estimate["shards"] == plan["resolved"]["shards"] >= 10
        assert 20e6 < estimate["bytes"] < 200e6  # 64 bytes of pixels, or a line of seven values
        assert estimate["seconds"] > 0
        assert plan["warnings"] == []
    assert len(pets.get("/v1/jobs").json()["data"]) == before


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"model": "nobody"}, 404, None),
        ({"format": "parquet"}, 422, "/format"),
        ({"format": "png"}, 422, "/format"),
        ({"format": "xls"}, 422, "/format"),
        ({"labels": {"dog": 1}, "count": None}, 422, "/labels/dog"),
        ({"labels": {"cat": 1}}, 422, None),  # `labels` together with `count`
        ({"conditions": [{"where": {"a": 1}}]}, 422, "/conditions"),
        ({"shard_size": 0}, 422, "/shard_size"),
        ({"shard_size": 1, "count": 20_000}, 422, "/shard_size"),  # too many files
        ({"shard_size": 2_000_000}, 422, "/shard_size"),
        ({"count": 10**12}, 422, None),
        ({"count": 0}, 422, "/count"),
        ({"seed": -1}, 422, "/seed"),
        ({"dataset": "ds_1"}, 422, "/dataset"),
        ({"formt": "zip"}, 422, "/formt"),
        ({"kind": "generator"}, 422, "/kind"),
        ({"kind": None}, 422, "/kind"),
    ],
)
def test_an_invalid_generation_job_is_rejected_by_field_and_not_created(
    pets: TestClient, change: dict[str, Any], status: int, pointer: str | None
) -> None:
    body = {"model": "pets", "count": 5, **change}
    body = {"kind": "generation", **body}
    response = pets.post("/v1/jobs", json={k: v for k, v in body.items() if v is not None})
    assert response.status_code == status, response.text
    if pointer is not None:
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert pets.get("/v1/jobs?kind=generation").json()["data"] == []


def test_an_unknown_format_is_rejected_with_those_of_the_model(people: TestClient) -> None:
    response = post_generation_job(people, model="people", count=5, format="xls")
    (error,) = response.json()["errors"]
    assert (response.status_code, error["pointer"]) == (422, "/format")
    assert error["allowed"] == ["parquet", "csv", "ndjson", "arrow"]


def test_an_unknown_field_suggests_a_field_of_the_same_job_kind(pets: TestClient) -> None:
    (error,) = post_generation_job(pets, model="pets", count=5, sead=1).json()["errors"]
    assert error["allowed"] == ["seed"]
    (error,) = post_generation_job(pets, model="pets", count=5, budgett={}).json()["errors"]
    assert "format" in error["allowed"]
    assert "budget" not in error["allowed"]  # a field of training jobs


def test_conditions_that_no_row_can_meet_are_rejected_and_create_no_job(
    people: TestClient,
) -> None:
    for where, code in (
        ({"age": {"gte": 1_000}}, "invalid_condition"),
        ({"planet": "Mars"}, "invalid_condition"),
        ({"member": {"gte": True}}, "invalid_condition"),
    ):
        conditions = [{"where": {"city": "Rome"}}, {"where": where}]
        response = post_generation_job(people, model="people", count=10, conditions=conditions)
        assert response.status_code == 422, response.text
        assert response.json()["code"] == code
        assert response.json()["errors"][0]["pointer"].startswith("/conditions/1/where/")
    assert people.get("/v1/jobs?kind=generation").json()["data"] == []


def test_a_generation_job_needs_the_sample_scope(
    pets: TestClient,
) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_sampler", name="sampler", scopes=("read", "sample"))
        api_keys.add(session, TENANT, "sem_trainer", name="trainer", scopes=("read", "train"))
    body = {"kind": "generation", "model": "pets", "count": 5}
    sampler, trainer = ({"Authorization": f"Bearer sem_{name}"} for name in ("sampler", "trainer"))
    assert pets.post("/v1/jobs", json=body, headers=trainer).status_code == 403
    job = pets.post("/v1/jobs", json=body, headers=sampler).json()
    assert pets.post(f"/v1/jobs/{job['id']}/cancel", headers=trainer).status_code == 403
    training = {"kind": "training", "dataset": "ds_1"}
    assert pets.post("/v1/jobs", json=training, headers=sampler).status_code == 403
    assert pets.post(f"/v1/jobs/{job['id']}/cancel", headers=sampler).json()["state"] == "cancelled"


def test_a_too_large_sample_request_refers_to_a_generation_job(pets: TestClient) -> None:
    response = pets.post("/v1/models/pets/samples?format=npz", json={"count": 2_000_000})
    assert response.status_code == 422
    assert "`generation`" in response.json()["detail"]
