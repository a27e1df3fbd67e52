"""Samples of an image model over HTTP: exact counts, reproducible items and clear errors."""

import csv
import io
import json
import unicodedata
import zipfile
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from modalities.image.options import SAMPLE_FORMATS
from tests.factories import LABELS, clear_model_caches, create_dataset, create_trained_model
from tests.tiny_configs import TINY_IMAGE_CONFIG
from tests.uploads import make_image_zip, make_npz, make_zip, upload
from worker.job_runner import run_next


def train(client: TestClient, data: bytes, name: str, **fields: Any) -> None:
    """Train a model of this name by running the job in this process."""
    torch.set_num_threads(1)
    dataset = create_dataset(data, **fields.pop("file", {}))
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": name,
        "hyperparameters": TINY_IMAGE_CONFIG,
        "budget": {"steps": 4},
        "seed": 1,
    }
    posted = client.post("/v1/jobs", json=body | fields)
    assert posted.status_code == 202, posted.text
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{posted.json()['id']}").json()
    assert job["state"] == "succeeded", job["error"]
    clear_model_caches()


@pytest.fixture
def shoes(client: TestClient) -> TestClient:
    """Serve the model `shoes`."""
    create_trained_model(client, "shoes")
    return client


def request_samples(client: TestClient, format: str = "npz", **body: Any) -> Any:
    return client.post(f"/v1/models/shoes/samples?format={format}", json=body)


def sample_images(client: TestClient, **body: Any) -> tuple[NDArray[np.uint8], list[str]]:
    response = request_samples(client, **body)
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as arrays:
        return arrays["x"], [str(arrays["labels"][y]) for y in arrays["y"]]


LABEL_COUNTS = {"T-shirt/top": 3, "Ankle boot": 70, "Größe": 1}


def test_each_format_holds_exactly_the_requested_counts(shoes: TestClient) -> None:
    images, labels = sample_images(shoes, labels=LABEL_COUNTS, seed=7)
    assert images.shape == (74, 8, 12)
    assert labels == ["T-shirt/top"] * 3 + ["Ankle boot"] * 70 + ["Größe"]

    response = request_samples(shoes, "zip", labels=LABEL_COUNTS, seed=7)
    assert response.headers["semblance-count"] == "74"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        assert Counter(row["label"] for row in rows) == LABEL_COUNTS
        assert {row["path"] for row in rows} == set(archive.namelist()) - {"labels.csv"}
        for row, image in zip(rows, images, strict=True):
            assert np.array_equal(Image.open(io.BytesIO(archive.read(row["path"]))), image)

    items = request_samples(shoes, "json", labels=LABEL_COUNTS, seed=7).json()
    assert items["count"] == len(items["items"]) == 74
    assert Counter(item["label"] for item in items["items"]) == LABEL_COUNTS


def test_samples_of_one_batch_are_sent_in_one_piece(shoes: TestClient) -> None:
    path = "/v1/models/shoes/samples?format=npz&count="
    one, several = shoes.get(f"{path}5"), shoes.get(f"{path}3000")
    assert int(one.headers["content-length"]) == len(one.content)
    assert "content-length" not in several.headers
    assert "filename" in one.headers["content-disposition"]


def test_a_zip_of_samples_can_be_uploaded_as_a_dataset(shoes: TestClient) -> None:
    response = request_samples(shoes, "zip", labels=LABEL_COUNTS, seed=7)
    dataset = upload(shoes, response.content, "again.zip").json()
    assert {label["name"]: label["count"] for label in dataset["labels"]} == LABEL_COUNTS


def test_an_item_is_the_same_on_any_page_in_any_order_and_alone(shoes: TestClient) -> None:
    whole, _ = sample_images(shoes, labels={"Größe": 80, "Ankle boot": 5}, seed=7)
    pages = [sample_images(shoes, labels={"Größe": 20}, seed=7, offset=20 * i)[0] for i in range(4)]
    assert np.array_equal(np.concatenate(pages), whole[:80])
    swapped, _ = sample_images(shoes, labels={"Ankle boot": 5, "Größe": 80}, seed=7)
    assert np.array_equal(np.concatenate([swapped[5:], swapped[:5]]), whole)
    for index in (0, 63, 64, 79):
        alone, _ = sample_images(shoes, labels={"Größe": 1}, seed=7, offset=index)
        assert np.array_equal(alone[0], whole[index])
    other_seed, _ = sample_images(shoes, labels={"Größe": 80}, seed=8)
    assert not np.array_equal(other_seed, whole[:80])


def test_pages_of_a_count_continue_one_sequence(shoes: TestClient) -> None:
    whole, labels = sample_images(shoes, count=200, seed=3)
    pages = [sample_images(shoes, count=50, seed=3, offset=50 * i) for i in range(4)]
    assert np.array_equal(np.concatenate([page[0] for page in pages]), whole)
    assert [label for page in pages for label in page[1]] == labels


def test_a_count_follows_the_learned_shares_unless_labels_are_balanced(shoes: TestClient) -> None:
    _, labels = sample_images(shoes, count=3000, seed=3)
    shares = Counter(labels)
    assert abs(shares["Ankle boot"] - 500) < 100
    assert abs(shares["T-shirt/top"] - 1500) < 120
    _, labels = sample_images(shoes, count=30, balance_labels=True, seed=3)
    assert set(Counter(labels).values()) == {10}


def test_the_returned_random_seed_repeats_the_samples(shoes: TestClient) -> None:
    first = request_samples(shoes, "npz", count=5)
    repeated = request_samples(shoes, "npz", count=5, seed=int(first.headers["semblance-seed"]))
    assert first.content == repeated.content
    assert request_samples(shoes, "npz", count=5).content != first.content


def test_a_query_and_a_body_give_the_same_samples(shoes: TestClient) -> None:
    url = "/v1/models/shoes:1/samples"
    body = request_samples(shoes, labels={"T-shirt/top": 4}, seed=7).content
    query = {"label": "T-shirt/top", "count": 4, "seed": 7, "format": "npz"}
    assert shoes.get(url, params=query).content == body
    two_labels = {"labels": json.dumps({"Größe": 2, "Ankle boot": 1}), "seed": 7, "format": "npz"}
    expected = request_samples(shoes, labels={"Größe": 2, "Ankle boot": 1}, seed=7).content
    assert shoes.get(url, params=two_labels).content == expected


def test_a_get_returns_one_png_and_a_grid_has_a_row_for_each_label(shoes: TestClient) -> None:
    single = shoes.get("/v1/models/shoes/samples", params={"label": "Größe", "seed": 1})
    assert single.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(single.content)).size == (12, 8)
    grid = request_samples(shoes, "png", labels=dict.fromkeys(LABELS, 4), layout="grid", seed=1)
    picture = np.asarray(Image.open(io.BytesIO(grid.content)))
    assert picture.shape[0] == 3 * (8 * 8 + 4) + 4
    first = picture[:, -4 * (12 * 8 + 4) : -3 * (12 * 8 + 4) - 4]  # of each label
    alone = np.asarray(Image.open(io.BytesIO(single.content)))
    position = 4 + list(LABELS).index("Größe") * (8 * 8 + 4)
    assert np.array_equal(first[position : position + 64 : 8, ::8], alone)


def test_a_label_matches_in_any_unicode_normalization(shoes: TestClient) -> None:
    decomposed = unicodedata.normalize("NFD", "Größe")
    assert decomposed != "Größe"
    assert sample_images(shoes, labels={decomposed: 2, "Größe": 1}, seed=1)[1] == ["Größe"] * 3


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/zip"),
        ("application/x-npz", "application/x-npz"),
        ("application/json;q=0.5, application/zip;q=0.4", "application/json"),
    ],
)
def test_the_accept_header_selects_the_format(
    shoes: TestClient, accept: str, media_type: str
) -> None:
    response = shoes.post(
        "/v1/models/shoes/samples", json={"count": 3, "seed": 1}, headers={"accept": accept}
    )
    assert response.headers["content-type"] == media_type
    assert "Accept" in response.headers["vary"].split(", ")


def test_an_unsupported_format_is_rejected_with_the_available_ones(shoes: TestClient) -> None:
    response = shoes.post(
        "/v1/models/shoes/samples", json={"count": 3}, headers={"accept": "text/html"}
    )
    assert response.status_code == 406
    assert {"format": "npz", "media_type": "application/x-npz"} in response.json()["available"]
    assert "`npz` (application/x-npz)" in response.json()["detail"]


def test_an_unknown_format_is_rejected_with_those_of_images(shoes: TestClient) -> None:
    response = shoes.get("/v1/models/shoes/samples?format=xls")
    assert response.status_code == 406
    assert {each["format"] for each in response.json()["available"]} == set(SAMPLE_FORMATS)
    assert response.json()["detail"].startswith("The requested `format` is not available.")


def test_an_unknown_label_is_rejected_with_the_nearest_valid_one(shoes: TestClient) -> None:
    response = request_samples(shoes, labels={"Ankle boots": 3})
    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "unknown_label"
    assert problem["detail"].endswith("no label 'Ankle boots'. Did you mean 'Ankle boot'?")
    assert problem["errors"][0]["pointer"] == "/labels/Ankle boots"
    assert problem["errors"][0]["allowed"] == ["Ankle boot"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"count": 0}, "/count"),
        ({"count": -1}, "/count"),
        ({"labels": {}}, "/labels"),
        ({"labels": {"Größe": 0}}, "/labels/Größe"),
        ({"labels": {"Größe": 1.5}}, "/labels/Größe"),
        ({"labels": {"Größe": "3"}}, "/labels/Größe"),
        ({}, "labels"),
        ({"labels": {"Größe": 1}, "count": 2}, "either"),
        ({"labels": {"Größe": 1}, "balance_labels": True}, "/balance_labels"),
        ({"count": 3, "sead": 1}, "seed"),
        ({"count": 3, "seed": -1}, "/seed"),
        ({"count": 3, "seed": 2**64}, "/seed"),
        ({"count": 3, "offset": -1}, "/offset"),
        ({"count": 3, "layout": "rows"}, "/layout"),
        ({"count": 10**12}, "limit"),
        ({"count": True}, "/count"),
    ],
)
def test_an_invalid_sample_request_is_rejected_by_name(
    shoes: TestClient, body: dict[str, Any], expected: str
) -> None:
    response = request_samples(shoes, **body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert expected in response.text


def test_one_png_holds_one_image_and_a_grid_has_a_limit(shoes: TestClient) -> None:
    assert "layout" in request_samples(shoes, "png", count=3).json()["detail"]
    large_grid = request_samples(shoes, "png", count=100_000, layout="grid")
    assert (large_grid.status_code, large_grid.json()["code"]) == (422, "too_many_samples")


@pytest.mark.parametrize("reference", ["boots", "shoes:2", "mdl_unknown", "sho/es", "shoes@best"])
def test_an_unknown_model_is_not_found(shoes: TestClient, reference: str) -> None:
    response = shoes.get(f"/v1/models/{reference}/samples")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_an_unconditional_model_is_sampled_by_count(client: TestClient) -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    data = make_npz(x=x, y=np.arange(40) % 2)
    train(client, data, "shoes", conditional=False, file={"name": "pets.npz"})
    model = client.get("/v1/models/shoes").json()
    assert (model["conditional"], model["labels"]) == (False, None)
    response = request_samples(client, count=5, seed=1)
    with np.load(io.BytesIO(response.content)) as arrays:
        assert arrays["x"].shape == (5, 8, 8, 3)
    rejected = request_samples(client, labels={"0": 5})
    assert "without labels" in rejected.json()["detail"]


def test_each_trained_model_is_a_new_version_and_the_name_means_the_newest(
    client: TestClient,
) -> None:
    for _ in range(2):
        train(client, make_image_zip(), "shoes")
    models = client.get("/v1/models").json()["data"]
    assert [model["version"] for model in models] == [2, 1]
    newest = request_samples(client, count=1).headers["semblance-model"]
    assert newest == models[0]["id"]
    options = client.get("/v1/models/shoes:1/sampling-options").json()
    assert "cat" in json.dumps(options)


def test_colors_are_learned_with_their_labels(client: TestClient) -> None:
    """Train on bright red and blue squares on a dark ground, 32 x 32 pixels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (120, 32, 32, 3), np.uint8)
    y = np.arange(120) % 2
    for image, label in zip(x, y, strict=True):
        top, left = rng.integers(0, 12, 2)
        image[top : top + 20, left : left + 20, 2 * label] += 200
    data = make_npz(x=x, y=y)
    file = {"name": "things.npz", "class_names": ["red", "blue"]}
    train(client, data, "shoes", budget={"steps": 120}, file=file)
    images, labels = sample_images(client, labels={"red": 20, "blue": 20}, seed=1)
    assert images.shape == (40, 32, 32, 3)
    means = images.mean((1, 2))  # (40, 3)
    for mean, label in zip(means, labels, strict=True):
        assert mean.argmax() == (0 if label == "red" else 2)
    assert abs(means.max(1).mean() - x.mean((1, 2)).max(1).mean()) < 25


def test_gray_images_keep_their_rectangular_shape(client: TestClient) -> None:
    """Train on images 40 high and 56 wide, with a bar at the top or at the bottom."""
    rng = np.random.default_rng(0)
    files = {}
    for i in range(60):
        image = rng.integers(0, 30, (40, 56), np.uint8)
        image[slice(0, 20) if i % 2 else slice(20, 40)] += 180
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        files[f"{'top' if i % 2 else 'bottom'}/{i}.png"] = out.getvalue()
    train(client, make_zip(files), "shoes", budget={"steps": 120})
    images, labels = sample_images(client, labels={"top": 10, "bottom": 10}, seed=1)
    assert images.shape == (20, 40, 56)
    for image, label in zip(images, labels, strict=True):
        assert (image[:20].mean() > image[20:].mean()) == (label == "top")
