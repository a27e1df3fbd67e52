"""Sampling options of images: truncation, interpolation, scores and provenance."""

import base64
import io
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from tests.factories import clear_model_caches, create_model

URL = "/v1/models/shoes/samples"
INTERPOLATION = {
    "from": {"label": "Größe", "seed": 1, "index": 4},
    "to": {"label": "Ankle boot", "seed": 2},
    "steps": 9,
}


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def decode_png(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


def sample_images(client: TestClient, **body: Any) -> NDArray[np.uint8]:
    response = client.post(f"{URL}?format=npz", json=body)
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as arrays:
        x: NDArray[np.uint8] = arrays["x"]
        return x


def test_truncation_reduces_the_spread_of_images(service: TestClient) -> None:
    untruncated = sample_images(service, labels={"Größe": 100}, seed=1)
    spreads = [
        sample_images(service, labels={"Größe": 100}, seed=1, image={"truncation": t}).std(0).mean()
        for t in (1.0, 0.5, 0.0)
    ]
    assert spreads[0] == untruncated.std(0).mean()
    assert spreads[0] > spreads[1] > spreads[2]
    by_query = service.get(f"{URL}?label=Größe&seed=1&truncation=0.5&format=npz")
    body = {"labels": {"Größe": 1}, "seed": 1, "image": {"truncation": 0.5}}
    assert by_query.content == service.post(f"{URL}?format=npz", json=body).content
    for invalid in (-0.1, 1.1, "1"):
        rejected = service.post(URL, json={"count": 1, "image": {"truncation": invalid}})
        assert rejected.status_code == 422


def test_an_interpolation_starts_and_ends_at_the_given_items(service: TestClient) -> None:
    response = service.post(URL, json={"interpolation": INTERPOLATION})
    assert response.headers["content-type"] == "image/png"
    strip = decode_png(response.content)
    assert strip.shape[0] == 88 + 8  # each image is enlarged by 11
    images = [strip[4:92:11, left : left + 88 : 11] for left in range(-9 * 92, 0, 92)]
    first = service.get(f"{URL}?label=Größe&seed=1&offset=4").content
    last = service.get(f"{URL}?label=Ankle boot&seed=2").content
    assert np.array_equal(images[0], decode_png(first))
    assert np.array_equal(images[-1], decode_png(last))
    step_distances = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(images)]
    end_to_end = np.abs(images[0].astype(int) - images[-1]).mean()
    assert 0 < max(step_distances) < end_to_end
    gif = service.get(URL, params={"interpolation": json.dumps(INTERPOLATION), "format": "gif"})
    animation = Image.open(io.BytesIO(gif.content))
    assert (gif.headers["content-type"], animation.n_frames) == ("image/gif", 9)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"interpolation": INTERPOLATION, "count": 3}, "/count"),
        ({"interpolation": INTERPOLATION, "layout": "grid"}, "/layout"),
        ({"interpolation": {**INTERPOLATION, "steps": 65}}, "/interpolation/steps"),
        (
            {"interpolation": {**INTERPOLATION, "to": {"label": "boots", "seed": 1}}},
            "unknown_label",
        ),
        ({"interpolation": {**INTERPOLATION, "to": {"seed": 1}}}, "label"),
        ({"count": 1, "include": ["scores"]}, "JSON"),
        ({"count": 1, "min_label_confidence": 1}, "/min_label_confidence"),
        ({"interpolation": INTERPOLATION, "min_label_confidence": 0.5}, "/min_label_confidence"),
        ({"count": 3, "include": ["all"]}, "/include"),
    ],
)
def test_an_unsupported_option_is_rejected_by_name(
    service: TestClient, body: dict[str, Any], expected: str
) -> None:
    response = service.post(f"{URL}?format=png", json=body)
    assert response.status_code == 422
    assert expected in response.text


@pytest.fixture
def scoring_service(client: TestClient) -> TestClient:
    """Serve a model that has a classifier and a critic."""
    clear_model_caches()
    create_model(scoring=True)
    return client


def sample_scores(client: TestClient, **body: Any) -> tuple[list[dict[str, float]], list[str]]:
    response = client.post(f"{URL}?format=json", json={**body, "include": ["scores"]}).json()
    return response["scores"], [item["png"] for item in response["items"]]


def test_scores_are_probabilities_and_do_not_depend_on_the_batch(
    scoring_service: TestClient,
) -> None:
    in_batch, _ = sample_scores(scoring_service, labels={"Größe": 70}, seed=3)
    alone, _ = sample_scores(scoring_service, labels={"Größe": 1}, seed=3, offset=69)
    assert alone == in_batch[69:]
    assert all(0 < score[name] < 1 for score in in_batch for name in ("label", "real"))
    assert len({score["label"] for score in in_batch}) > 35


def test_images_below_min_label_confidence_are_replaced_and_counts_stay_exact(
    scoring_service: TestClient,
) -> None:
    request: dict[str, Any] = {"labels": {"Größe": 70}, "seed": 3}
    all_scores, images = sample_scores(scoring_service, **request)
    threshold = sorted(score["label"] for score in all_scores)[45]
    filtered_scores, filtered = sample_scores(
        scoring_service, **request, min_label_confidence=threshold
    )
    assert len(filtered) == 70
    assert all(score["label"] >= threshold - 1e-4 for score in filtered_scores)
    for before, score, after in zip(images, all_scores, filtered, strict=True):
        assert (before == after) == (score["label"] >= threshold)
    response = scoring_service.post(
        f"{URL}?format=npz", json={**request, "min_label_confidence": threshold}
    )
    assert 0 < float(response.headers["Semblance-Acceptance-Rate"]) < 1
    with np.load(io.BytesIO(response.content)) as arrays:
        assert arrays["y"].tolist() == [1] * 70
    page = {"labels": {"Größe": 7}, "seed": 3, "offset": 33, "min_label_confidence": threshold}
    assert sample_scores(scoring_service, **page)[1] == filtered[33:40]  # the same on another page


def test_an_unreachable_min_label_confidence_is_rejected(scoring_service: TestClient) -> None:
    body = {"labels": {"Größe": 3}, "min_label_confidence": 0.999}
    response = scoring_service.post(URL, json=body)
    assert (response.status_code, response.json()["code"]) == (422, "acceptance_rate_too_low")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/min_label_confidence"]
    job = {"kind": "generation", "model": "shoes", **body}
    assert scoring_service.post("/v1/jobs", json=job).json()["code"] == "acceptance_rate_too_low"


def test_a_model_without_classifier_and_critic_has_no_scores(service: TestClient) -> None:
    body = {"labels": {"Größe": 3}, "min_label_confidence": 0.5}
    job = {"kind": "generation", "model": "shoes", **body}
    for response in (service.post(URL, json=body), service.post("/v1/jobs", json=job)):
        assert (response.status_code, response.json()["code"]) == (422, "scores_unavailable")
        assert response.json()["errors"][0]["pointer"] == "/min_label_confidence"
    response = service.post(f"{URL}?format=json", json={"count": 1, "include": ["scores"]})
    assert response.json()["errors"][0]["pointer"] == "/include"


def test_an_item_can_be_repeated_from_its_provenance(service: TestClient) -> None:
    body = {"count": 70, "offset": 30, "seed": 9, "include": ["provenance"]}
    response = service.post(f"{URL}?format=json", json=body).json()
    assert len(response["provenance"]) == 70
    for i in (0, 1, 69):
        provenance, item = response["provenance"][i], response["items"][i]
        assert provenance["label"] == item["label"]
        query = {
            "label": provenance["label"],
            "seed": provenance["seed"],
            "offset": provenance["index"],
        }
        repeated = service.get(f"/v1/models/{provenance['model']}/samples", params=query)
        assert repeated.content == base64.b64decode(item["png"])
    rejected = service.post(f"{URL}?format=npz", json=body)
    assert "JSON" in rejected.json()["detail"]
