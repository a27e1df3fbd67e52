"""What else an image can be asked with: how typical, on the way to another, with its recipe."""

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
WAY = {
    "from": {"label": "Größe", "seed": 1, "index": 4},
    "to": {"label": "Ankle boot", "seed": 2},
    "steps": 9,
}


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


def arrays(client: TestClient, **body: Any) -> NDArray[np.uint8]:
    answer = client.post(f"{URL}?format=npz", json=body)
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content)) as made:
        x: NDArray[np.uint8] = made["x"]
        return x


def test_truncation_draws_images_together(service: TestClient) -> None:
    whole = arrays(service, labels={"Größe": 100}, seed=1)
    spreads = [
        arrays(service, labels={"Größe": 100}, seed=1, image={"truncation": t}).std(0).mean()
        for t in (1.0, 0.5, 0.0)
    ]
    assert spreads[0] == whole.std(0).mean()
    assert spreads[0] > spreads[1] > spreads[2]
    with_query = service.get(f"{URL}?label=Größe&seed=1&truncation=0.5&format=npz")
    body = {"labels": {"Größe": 1}, "seed": 1, "image": {"truncation": 0.5}}
    assert with_query.content == service.post(f"{URL}?format=npz", json=body).content
    for wrong in (-0.1, 1.1, "1"):
        refused = service.post(URL, json={"count": 1, "image": {"truncation": wrong}})
        assert refused.status_code == 422


def test_an_interpolation_begins_and_ends_with_the_items_themselves(service: TestClient) -> None:
    answer = service.post(URL, json={"interpolation": WAY})
    assert answer.headers["content-type"] == "image/png"
    strip = pixels(answer.content)
    assert strip.shape == (8, 9 * 9 - 1)
    images = [strip[:, left : left + 8] for left in range(0, 81, 9)]
    first = service.get(f"{URL}?label=Größe&seed=1&offset=4").content
    last = service.get(f"{URL}?label=Ankle boot&seed=2").content
    assert np.array_equal(images[0], pixels(first))
    assert np.array_equal(images[-1], pixels(last))
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(images)]
    whole = np.abs(images[0].astype(int) - images[-1]).mean()
    assert 0 < max(steps) < whole
    query = service.get(URL, params={"interpolation": json.dumps(WAY), "format": "gif"})
    moving = Image.open(io.BytesIO(query.content))
    assert (query.headers["content-type"], moving.n_frames) == ("image/gif", 9)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"interpolation": WAY, "count": 3}, "/count"),
        ({"interpolation": WAY, "layout": "grid"}, "/layout"),
        ({"interpolation": {**WAY, "steps": 65}}, "/interpolation/steps"),
        ({"interpolation": {**WAY, "to": {"label": "boots", "seed": 1}}}, "unknown_label"),
        ({"interpolation": {**WAY, "to": {"seed": 1}}}, "label"),
        ({"count": 1, "include": ["scores"]}, "JSON"),
        ({"count": 1, "min_label_confidence": 1}, "/min_label_confidence"),
        ({"interpolation": WAY, "min_label_confidence": 0.5}, "/min_label_confidence"),
        ({"count": 3, "include": ["all"]}, "/include"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_name(
    service: TestClient, body: dict[str, Any], words: str
) -> None:
    answer = service.post(f"{URL}?format=png", json=body)
    assert answer.status_code == 422
    assert words in answer.text


@pytest.fixture
def critical(client: TestClient) -> TestClient:
    """The model has the networks that score its images."""
    clear_model_caches()
    create_model(scoring=True)
    return client


def scores(client: TestClient, **body: Any) -> tuple[list[dict[str, float]], list[str]]:
    answer = client.post(f"{URL}?format=json", json={**body, "include": ["scores"]}).json()
    return answer["scores"], [item["png"] for item in answer["items"]]


def test_scores_are_chances_and_do_not_depend_on_the_images_around(critical: TestClient) -> None:
    ahead, _ = scores(critical, labels={"Größe": 70}, seed=3)
    alone, _ = scores(critical, labels={"Größe": 1}, seed=3, offset=69)
    assert alone == ahead[69:]
    assert all(0 < score[name] < 1 for score in ahead for name in ("label", "real"))
    assert len({score["label"] for score in ahead}) > 35


def test_images_below_a_label_score_are_replaced_and_counts_stay_exact(
    critical: TestClient,
) -> None:
    asked: dict[str, Any] = {"labels": {"Größe": 70}, "seed": 3}
    free, images = scores(critical, **asked)
    least = sorted(score["label"] for score in free)[45]
    chosen, better = scores(critical, **asked, min_label_confidence=least)
    assert len(better) == 70
    assert all(score["label"] >= least - 1e-4 for score in chosen)
    for before, score, after in zip(images, free, better, strict=True):
        assert (before == after) == (score["label"] >= least)
    answer = critical.post(f"{URL}?format=npz", json={**asked, "min_label_confidence": least})
    assert 0 < float(answer.headers["Semblance-Acceptance-Rate"]) < 1
    with np.load(io.BytesIO(answer.content)) as made:
        assert made["y"].tolist() == [1] * 70
    tail = {"labels": {"Größe": 7}, "seed": 3, "offset": 33, "min_label_confidence": least}
    assert scores(critical, **tail)[1] == better[33:40]  # however they are paged


def test_a_label_score_that_no_image_has_is_told_and_bounded(critical: TestClient) -> None:
    body = {"labels": {"Größe": 3}, "min_label_confidence": 0.999}
    answer = critical.post(URL, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "acceptance_rate_too_low")
    job = {"kind": "generation", "model": "shoes", **body}
    assert critical.post("/v1/jobs", json=job).json()["code"] == "acceptance_rate_too_low"


def test_a_model_without_classifier_and_critic_scores_nothing(service: TestClient) -> None:
    body = {"labels": {"Größe": 3}, "min_label_confidence": 0.5}
    job = {"kind": "generation", "model": "shoes", **body}
    for answer in (service.post(URL, json=body), service.post("/v1/jobs", json=job)):
        assert (answer.status_code, answer.json()["code"]) == (422, "scores_unavailable")
        assert answer.json()["errors"][0]["pointer"] == "/min_label_confidence"
    answer = service.post(f"{URL}?format=json", json={"count": 1, "include": ["scores"]})
    assert answer.json()["errors"][0]["pointer"] == "/include"


def test_a_recipe_makes_its_item_again(service: TestClient) -> None:
    body = {"count": 70, "offset": 30, "seed": 9, "include": ["provenance"]}
    answer = service.post(f"{URL}?format=json", json=body).json()
    assert len(answer["provenance"]) == 70
    for i in (0, 1, 69):
        recipe, item = answer["provenance"][i], answer["items"][i]
        assert recipe["label"] == item["label"]
        query = {"label": recipe["label"], "seed": recipe["seed"], "offset": recipe["index"]}
        again = service.get(f"/v1/models/{recipe['model']}/samples", params=query)
        assert again.content == base64.b64decode(item["png"])
    refused = service.post(f"{URL}?format=npz", json=body)
    assert "JSON" in refused.json()["detail"]
