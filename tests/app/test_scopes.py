"""Scopes by operation, as the OpenAPI document lists them, and the wall between tenants."""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core import api_keys, webhooks
from core.database import read, write
from core.tables import Job, Tenant
from tests.conftest import TENANT, AddJob
from tests.factories import create_digits_dataset, create_model

Json = dict[str, Any]
ID_PARAMETERS = ("{dataset_id}", "{upload_id}", "{job_id}", "{reference}", "{key_id}")


def operations(application: FastAPI) -> Iterator[tuple[str, str, Json]]:
    for path, methods in application.openapi()["paths"].items():
        for method, operation in methods.items():
            if "security" in operation:
                yield method, path, operation


def fill(path: str, resource: str = "x") -> str:
    for parameter in (*ID_PARAMETERS, "{webhook_id}", "{tenant_id}"):
        path = path.replace(parameter, resource)
    for parameter in ("{step}", "{index}", "{number}"):
        path = path.replace(parameter, "1")
    return path.replace("{name}", "y").replace("{alias}", "z")


def add_key(*scopes: str, tenant: str = TENANT) -> Json:
    text = "sem_" + tenant + "".join(scopes)
    with write() as session:
        api_keys.add(session, tenant, text, name="x", scopes=scopes)
    return {"Authorization": f"Bearer {text}"}


def test_each_operation_accepts_the_scopes_that_it_lists_and_no_others(
    client: TestClient, application: FastAPI
) -> None:
    keys: dict[tuple[str, ...], Json] = {}

    def is_allowed(method: str, path: str, *scopes: str) -> bool:
        if scopes not in keys:
            keys[scopes] = add_key(*scopes)
        # The scope is checked before the body, which is missing here.
        response = client.request(method, fill(path), headers=keys[scopes])
        return response.status_code != 403 or response.json()["code"] != "scope_missing"

    checked = 0
    for method, path, operation in operations(application):
        listed = {scope for security in operation["security"] for scope in security["HTTPBearer"]}
        others = [scope for scope in api_keys.SCOPES if scope not in {*listed, "admin"}]
        assert is_allowed(method, path, *others) is not bool(listed), path
        for scope in listed or {"admin"}:
            assert is_allowed(method, path, scope), (path, scope)
        checked += 1
    assert checked > 75


def operations_of(application: FastAPI, scope: str) -> set[str]:
    return {
        operation["operationId"]
        for _, _, operation in operations(application)
        if {"HTTPBearer": [scope]} in operation["security"]
    }


def test_training_data_needs_a_scope_of_its_own(application: FastAPI) -> None:
    assert operations_of(application, "data:read") == {
        "readProfile",
        "readDatasetPreview",
        "readContent",
        "readProvenance",
        "listItems",
        "readItem",
        "listRows",
        "previewTransforms",
        "exportModel",
    }


def test_a_key_that_samples_has_samples_its_jobs_and_links_and_nothing_else(
    application: FastAPI,
) -> None:
    assert operations_of(application, "sample") == {
        *("describeService", "loadModel", "unloadModel", "readSamplingOptions"),
        *("createSamples", "readSamples", "createSampleManifest", "createLink"),
        *("createJob", "listJobs", "readJob", "readEvents", "readLog"),
        *("cancelJob", "cancelJobs", "pauseJob", "resumeJob", "retryJob"),
        *("deleteJob", "deleteJobs", "listArtifacts", "readArtifact"),
    }


def test_a_key_that_samples_reads_the_jobs_that_it_created_and_no_others(
    pets: TestClient, add_job: AddJob
) -> None:
    sampler, other = add_key("sample"), add_key("sample", "webhooks")
    body = {"kind": "generation", "model": "pets", "count": 5}
    own = pets.post("/v1/jobs", json=body, headers=sampler).json()["id"]
    foreign = pets.post("/v1/jobs", json=body, headers=other).json()["id"]
    training = add_job().id
    for path in ("", "/events", "/logs", "/artifacts"):
        assert pets.get(f"/v1/jobs/{own}{path}", headers=sampler).status_code == 200
        for job in (foreign, training):
            missing = pets.get(f"/v1/jobs/{job}{path}", headers=sampler)
            unknown = pets.get(f"/v1/jobs/job_x{path}", headers=sampler)
            assert missing.json()["detail"] == unknown.json()["detail"].replace("job_x", job)
            assert missing.status_code == 404
    listed = pets.get("/v1/jobs", headers=sampler).json()
    assert ([job["id"] for job in listed["data"]], listed["total"]) == ([own], 1)
    assert pets.post(f"/v1/jobs/{foreign}/cancel", headers=sampler).status_code == 404
    assert pets.post(f"/v1/jobs/{own}/cancel", headers=sampler).status_code == 200
    assert pets.get("/v1/models/pets/sampling-options", headers=sampler).status_code == 200
    assert pets.get("/v1/models/pets", headers=sampler).status_code == 403


def test_a_job_with_a_webhook_needs_the_scope_webhooks(pets: TestClient) -> None:
    webhook = {"url": "https://192.0.2.1/x"}
    body = {"kind": "generation", "model": "pets", "count": 5, "webhook": webhook}
    rejected = pets.post("/v1/jobs", json=body, headers=add_key("sample"))
    assert (rejected.status_code, rejected.json()["code"]) == (403, "scope_missing")
    allowed = pets.post("/v1/jobs", json=body, headers=add_key("sample", "webhooks"))
    assert allowed.status_code == 422  # the address is a reserved one


def test_files_of_jobs_that_read_a_dataset_need_the_scope_for_training_data(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job().id
    reader, data_reader = add_key("read"), add_key("read", "data:read")
    path = f"/v1/jobs/{job}/artifacts"
    assert client.get(f"{path}/nearest.png", headers=reader).status_code == 403
    assert client.get(f"{path}/nearest.png", headers=data_reader).status_code == 404
    assert client.get(f"{path}/previews/1.png", headers=reader).status_code == 404


def test_whether_a_row_was_trained_on_is_not_told_to_a_key_that_samples(
    people: TestClient,
) -> None:
    body = {"count": 1, "exclude_training_rows": True}
    path = "/v1/models/people/samples"
    rejected = people.post(path, json=body, headers=add_key("sample"))
    assert (rejected.status_code, rejected.json()["code"]) == (403, "scope_missing")
    allowed = people.post(path, json=body, headers=add_key("sample", "data:read"))
    assert allowed.status_code in {200, 422}  # not every model has hashes of its rows


@pytest.fixture
def resources(client: TestClient, add_job: AddJob) -> dict[str, str]:
    """Return the id of a resource of each kind, by the parameter of its paths."""
    with read() as session:
        own = api_keys.find(session, "sem_test")
        assert own is not None
    with write() as session:
        new = webhooks.NewWebhook("https://192.0.2.1/x", ["job.succeeded"])
        webhook = webhooks.create(session, TENANT, new)
    return {
        "{dataset_id}": create_digits_dataset(),
        "{upload_id}": client.post("/v1/uploads", json={"filename": "x"}).json()["id"],
        "{job_id}": add_job().id,
        "{reference}": create_model().id,
        "{key_id}": own.id,
        "{webhook_id}": webhook.id,
    }


@pytest.fixture
def other(client: TestClient) -> Json:
    """Return the headers of a key of another tenant."""
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    return add_key(*api_keys.SCOPES, tenant="other")


def test_ids_of_another_tenant_are_answered_as_unknown_ones(
    client: TestClient, application: FastAPI, resources: dict[str, str], other: Json
) -> None:
    digest = base64.b64encode(sha256().digest()).decode()
    headers = other | {"Content-Digest": f"sha-256=:{digest}:"}  # of an empty part

    def ask(method: str, path: str, operation: Json, resource: str) -> tuple[int, str]:
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        response = client.request(
            method, fill(path, resource), headers=headers, json=media.get("example")
        )
        problem = response.json()
        del problem["request_id"]
        return response.status_code, json.dumps(problem).replace(resource, "ID")

    checked = set()
    for method, path, operation in operations(application):
        for parameter, resource in resources.items():
            if parameter in path:
                unknown = "y" * len(resource)
                foreign = ask(method, path, operation, resource)
                assert foreign == ask(method, path, operation, unknown), (method, path)
                assert foreign[0] == 404, (method, path, foreign)
                checked.add((method, path))
    assert len(checked) > 40
    with read() as session:
        assert session.get(Job, resources["{job_id}"]) is not None
    assert client.get(f"/v1/datasets/{resources['{dataset_id}']}").status_code == 200


def test_ids_of_another_tenant_in_bodies_and_filters_are_answered_as_unknown_ones(
    client: TestClient, resources: dict[str, str], other: Json
) -> None:
    dataset, model = resources["{dataset_id}"], resources["{reference}"]
    upload, job = resources["{upload_id}"], resources["{job_id}"]
    own = client.post("/v1/datasets", json={"builtin": "digits"}, headers=other).json()["id"]
    bodies: list[tuple[str, Json, str]] = [
        ("/v1/jobs", {"kind": "training", "dataset": dataset}, dataset),
        ("/v1/jobs", {"kind": "training", "dataset": own, "init_from": model}, model),
        ("/v1/jobs", {"kind": "generation", "model": model, "count": 5}, model),
        ("/v1/jobs", {"kind": "evaluation", "model": model}, model),
        ("/v1/jobs", {"kind": "augmentation", "dataset": dataset, "target": 2000}, dataset),
        ("/v1/datasets", {"uploads": [upload]}, upload),
    ]
    queries = [
        (f"/v1/presets?dataset={dataset}", dataset),
        (f"/v1/jobs?dataset={dataset}", dataset),
        (f"/v1/jobs?model={model}", model),
        (f"/v1/models?dataset={dataset}", dataset),
        (f"/v1/models/compare?models={model},x", model),
        (f"/v1/jobs/metrics?jobs={job},x", job),
        (f"/v1/webhooks?job={job}", job),
        (f"/v1/audit?resource={job}", job),
    ]

    def ask(method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        response = client.request(method, path, json=body, headers=other)
        answer = response.json()
        answer.pop("request_id", None)
        return response.status_code, json.dumps(answer)

    for path, body, resource in bodies:
        unknown = "y" * len(resource)
        status, answer = ask("POST", path, body)
        changed = json.loads(json.dumps(body).replace(resource, unknown))
        assert (status, answer.replace(resource, unknown)) == ask("POST", path, changed), body
        assert status == 404, (body, answer)
    for path, resource in queries:
        unknown = "y" * len(resource)
        status, answer = ask("GET", path)
        assert (status, answer.replace(resource, unknown)) == ask(
            "GET", path.replace(resource, unknown)
        )
        assert status == 404 or not json.loads(answer)["data"], (path, answer)
