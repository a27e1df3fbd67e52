"""Sample manifests: signed records of samples, created without generating them."""

import copy
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.factories import clear_model_caches, create_model


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def sample_images(client: TestClient, body: dict[str, Any]) -> NDArray[np.uint8]:
    response = client.post("/v1/models/shoes/samples?format=npz", json=body)
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as arrays:
        x: NDArray[np.uint8] = arrays["x"]
        return x


def create_manifest(client: TestClient, **body: Any) -> Any:
    response = client.post("/v1/models/shoes/sample-manifests", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_the_request_of_a_manifest_generates_its_samples_whole_and_in_parts(
    service: TestClient,
) -> None:
    signed = create_manifest(service, count=90, balance_labels=True)
    request = signed["manifest"]["request"]
    whole = sample_images(service, request)
    assert len(whole) == signed["manifest"]["count"] == 90
    assert np.array_equal(sample_images(service, request | {"count": 30, "offset": 60}), whole[60:])
    verdict = service.post("/v1/sample-manifests/verify", json=signed).json()
    assert verdict["valid"] is True
    assert service.get("/v1/models/shoes").json()["id"] in verdict["models"]


def test_a_manifest_can_describe_more_samples_than_one_request_returns(service: TestClient) -> None:
    signed = create_manifest(service, labels={"Größe": 10**15}, seed=3)
    assert signed["manifest"]["count"] == 10**15
    last_sample = {"labels": {"Größe": 1}, "seed": 3, "offset": 10**15 - 1}
    assert len(sample_images(service, signed["manifest"]["request"] | last_sample)) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "0" * 64), ("count", 91), ("request", {"count": 91, "seed": 1}), ("step", 5)],
)
def test_a_modified_manifest_is_not_valid(service: TestClient, field: str, value: Any) -> None:
    signed = create_manifest(service, count=90)
    modified = copy.deepcopy(signed)
    modified["manifest"][field] = value
    assert service.post("/v1/sample-manifests/verify", json=modified).json()["valid"] is False
    assert service.post("/v1/sample-manifests/verify", json=signed).json()["valid"] is True
    unknown_key = signed | {"key_id": "key_unknown"}
    assert service.post("/v1/sample-manifests/verify", json=unknown_key).json()["valid"] is False


def test_an_invalid_sample_request_gets_no_manifest(service: TestClient) -> None:
    response = service.post("/v1/models/shoes/sample-manifests", json={"labels": {"boots": 1}})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_label")
