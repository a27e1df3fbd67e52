"""A set by reference: named without being drawn, drawn in parts, and recognised."""

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


def images(client: TestClient, body: dict[str, Any]) -> NDArray[np.uint8]:
    answer = client.post("/v1/models/shoes/samples?format=npz", json=body)
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content)) as made:
        x: NDArray[np.uint8] = made["x"]
        return x


def sample_manifest(client: TestClient, **body: Any) -> Any:
    answer = client.post("/v1/models/shoes/sample-manifests", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_sample_manifest_draws_its_set_whole_and_in_parts(service: TestClient) -> None:
    signed = sample_manifest(service, count=90, balance_labels=True)
    request = signed["manifest"]["request"]
    whole = images(service, request)
    assert len(whole) == signed["manifest"]["count"] == 90
    assert np.array_equal(images(service, request | {"count": 30, "offset": 60}), whole[60:])
    verdict = service.post("/v1/sample-manifests/verify", json=signed).json()
    assert verdict["valid"] is True
    assert service.get("/v1/models/shoes").json()["id"] in verdict["models"]


def test_a_sample_manifest_may_name_more_than_anybody_would_draw(service: TestClient) -> None:
    signed = sample_manifest(service, labels={"Größe": 10**15}, seed=3)
    assert signed["manifest"]["count"] == 10**15
    one = {"labels": {"Größe": 1}, "seed": 3, "offset": 10**15 - 1}
    assert len(images(service, signed["manifest"]["request"] | one)) == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [("sha256", "0" * 64), ("count", 91), ("request", {"count": 91, "seed": 1}), ("step", 5)],
)
def test_a_sample_manifest_that_was_changed_is_not_recognised(
    service: TestClient, part: str, value: Any
) -> None:
    signed = sample_manifest(service, count=90)
    other = copy.deepcopy(signed)
    other["manifest"][part] = value
    assert service.post("/v1/sample-manifests/verify", json=other).json()["valid"] is False
    assert service.post("/v1/sample-manifests/verify", json=signed).json()["valid"] is True
    strange = signed | {"key_id": "key_unknown"}
    assert service.post("/v1/sample-manifests/verify", json=strange).json()["valid"] is False


def test_a_set_that_the_model_cannot_make_gets_no_sample_manifest(service: TestClient) -> None:
    answer = service.post("/v1/models/shoes/sample-manifests", json={"labels": {"boots": 1}})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_label")
