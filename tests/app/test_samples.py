"""Samples over HTTP, of a model that was trained a moment ago: exact counts, the same items however
they are asked for, and clear refusals.
"""

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

from tests.factories import LABELS, clear_model_caches, create_dataset, create_trained_model
from tests.tiny_configs import TINY_IMAGE_CONFIG
from tests.uploads import make_image_zip, make_npz, make_zip, upload
from worker.job_runner import run_next


def train(client: TestClient, data: bytes, name: str, **spec: Any) -> None:
    """A model of this name; the job is run here and now."""
    torch.set_num_threads(1)
    dataset = create_dataset(data, **spec.pop("file", {}))
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": name,
        "hyperparameters": TINY_IMAGE_CONFIG,
        "budget": {"steps": 4},
        "seed": 1,
    }
    posted = client.post("/v1/jobs", json=body | spec)
    assert posted.status_code == 202, posted.text
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{posted.json()['id']}").json()
    assert job["state"] == "succeeded", job["error"]
    clear_model_caches()


@pytest.fixture
def shoes(client: TestClient) -> TestClient:
    """A service with the model `shoes`."""
    create_trained_model(client, "shoes")
    return client


def draw(client: TestClient, format: str = "npz", **body: Any) -> Any:
    return client.post(f"/v1/models/shoes/samples?format={format}", json=body)


def arrays(client: TestClient, **body: Any) -> tuple[NDArray[np.uint8], list[str]]:
    answer = draw(client, **body)
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content)) as made:
        return made["x"], [str(made["labels"][y]) for y in made["y"]]


ASKED = {"T-shirt/top": 3, "Ankle boot": 70, "Größe": 1}


def test_each_format_holds_exactly_what_was_asked_for(shoes: TestClient) -> None:
    images, labels = arrays(shoes, labels=ASKED, seed=7)
    assert images.shape == (74, 8, 12)
    assert labels == ["T-shirt/top"] * 3 + ["Ankle boot"] * 70 + ["Größe"]

    answer = draw(shoes, "zip", labels=ASKED, seed=7)
    assert answer.headers["semblance-count"] == "74"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        assert Counter(row["label"] for row in rows) == ASKED
        assert {row["path"] for row in rows} == set(archive.namelist()) - {"labels.csv"}
        for row, image in zip(rows, images, strict=True):
            assert np.array_equal(Image.open(io.BytesIO(archive.read(row["path"]))), image)

    items = draw(shoes, "json", labels=ASKED, seed=7).json()
    assert items["count"] == len(items["items"]) == 74
    assert Counter(item["label"] for item in items["items"]) == ASKED


def test_a_zip_of_samples_is_a_dataset_again(shoes: TestClient) -> None:
    answer = draw(shoes, "zip", labels=ASKED, seed=7)
    dataset = upload(shoes, answer.content, "again.zip").json()
    assert {label["name"]: label["count"] for label in dataset["labels"]} == ASKED


def test_an_item_is_the_same_on_any_page_in_any_order_and_alone(shoes: TestClient) -> None:
    whole, _ = arrays(shoes, labels={"Größe": 80, "Ankle boot": 5}, seed=7)
    pages = [arrays(shoes, labels={"Größe": 20}, seed=7, offset=20 * i)[0] for i in range(4)]
    assert np.array_equal(np.concatenate(pages), whole[:80])
    turned, _ = arrays(shoes, labels={"Ankle boot": 5, "Größe": 80}, seed=7)
    assert np.array_equal(np.concatenate([turned[5:], turned[:5]]), whole)
    for k in (0, 63, 64, 79):
        alone, _ = arrays(shoes, labels={"Größe": 1}, seed=7, offset=k)
        assert np.array_equal(alone[0], whole[k])
    other, _ = arrays(shoes, labels={"Größe": 80}, seed=8)
    assert not np.array_equal(other, whole[:80])


def test_a_count_walks_one_endless_set(shoes: TestClient) -> None:
    whole, labels = arrays(shoes, count=200, seed=3)
    pages = [arrays(shoes, count=50, seed=3, offset=50 * i) for i in range(4)]
    assert np.array_equal(np.concatenate([page[0] for page in pages]), whole)
    assert [label for page in pages for label in page[1]] == labels


def test_a_count_follows_the_learned_shares_and_balance_evens_them_out(shoes: TestClient) -> None:
    _, labels = arrays(shoes, count=3000, seed=3)
    shares = Counter(labels)
    assert abs(shares["Ankle boot"] - 500) < 100
    assert abs(shares["T-shirt/top"] - 1500) < 120
    _, labels = arrays(shoes, count=30, balance_labels=True, seed=3)
    assert set(Counter(labels).values()) == {10}


def test_the_seed_that_was_drawn_is_told_and_gives_the_same_again(shoes: TestClient) -> None:
    first = draw(shoes, "npz", count=5)
    again = draw(shoes, "npz", count=5, seed=int(first.headers["semblance-seed"]))
    assert first.content == again.content
    assert draw(shoes, "npz", count=5).content != first.content


def test_a_query_says_the_same_as_a_body(shoes: TestClient) -> None:
    url = "/v1/models/shoes:1/samples"
    body = draw(shoes, labels={"T-shirt/top": 4}, seed=7).content
    query = {"label": "T-shirt/top", "count": 4, "seed": 7, "format": "npz"}
    assert shoes.get(url, params=query).content == body
    both = {"labels": json.dumps({"Größe": 2, "Ankle boot": 1}), "seed": 7, "format": "npz"}
    expected = draw(shoes, labels={"Größe": 2, "Ankle boot": 1}, seed=7).content
    assert shoes.get(url, params=both).content == expected


def test_a_browser_gets_one_picture_and_a_grid_a_row_for_each_label(shoes: TestClient) -> None:
    one = shoes.get("/v1/models/shoes/samples", params={"label": "Größe", "seed": 1})
    assert one.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(one.content)).size == (12, 8)
    grid = draw(shoes, "png", labels=dict.fromkeys(LABELS, 4), layout="grid", seed=1)
    assert Image.open(io.BytesIO(grid.content)).size == (4 * 13 - 1, 3 * 9 - 1)


def test_a_label_is_found_however_its_letters_are_composed(shoes: TestClient) -> None:
    decomposed = unicodedata.normalize("NFD", "Größe")
    assert decomposed != "Größe"
    assert arrays(shoes, labels={decomposed: 2, "Größe": 1}, seed=1)[1] == ["Größe"] * 3


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/zip"),
        ("application/x-npz", "application/x-npz"),
        ("application/json;q=0.5, application/zip;q=0.4", "application/json"),
    ],
)
def test_accept_chooses_the_format(shoes: TestClient, accept: str, media_type: str) -> None:
    answer = shoes.post(
        "/v1/models/shoes/samples", json={"count": 3, "seed": 1}, headers={"accept": accept}
    )
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"


def test_a_format_that_does_not_exist_is_answered_with_those_that_do(shoes: TestClient) -> None:
    answer = shoes.post(
        "/v1/models/shoes/samples", json={"count": 3}, headers={"accept": "text/html"}
    )
    assert answer.status_code == 406
    assert {"format": "npz", "media_type": "application/x-npz"} in answer.json()["available"]


def test_an_unknown_label_is_named_beside_the_nearest_known_one(shoes: TestClient) -> None:
    answer = draw(shoes, labels={"Ankle boots": 3})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "unknown_label"
    assert problem["errors"][0]["pointer"] == "/labels/Ankle boots"
    assert problem["errors"][0]["allowed"] == ["Ankle boot"]


@pytest.mark.parametrize(
    ("body", "words"),
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
def test_a_request_that_makes_no_sense_is_refused_by_name(
    shoes: TestClient, body: dict[str, Any], words: str
) -> None:
    answer = draw(shoes, **body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.text


def test_one_png_holds_one_image_and_a_grid_has_a_limit(shoes: TestClient) -> None:
    assert "layout" in draw(shoes, "png", count=3).json()["detail"]
    many = draw(shoes, "png", count=100_000, layout="grid")
    assert (many.status_code, many.json()["code"]) == (422, "too_many_samples")


@pytest.mark.parametrize("reference", ["boots", "shoes:2", "mdl_unknown", "sho/es", "shoes@best"])
def test_a_model_that_does_not_exist_is_not_found(shoes: TestClient, reference: str) -> None:
    answer = shoes.get(f"/v1/models/{reference}/samples")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_model_without_labels_is_asked_by_count(client: TestClient) -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    data = make_npz(x=x, y=np.arange(40) % 2)
    train(client, data, "shoes", conditional=False, file={"name": "pets.npz"})
    model = client.get("/v1/models/shoes").json()
    assert (model["conditional"], model["labels"]) == (False, None)
    answer = draw(client, count=5, seed=1)
    with np.load(io.BytesIO(answer.content)) as made:
        assert made["x"].shape == (5, 8, 8, 3)
    refused = draw(client, labels={"0": 5})
    assert "without labels" in refused.json()["detail"]


def test_each_success_is_a_new_version_and_the_name_means_the_newest(client: TestClient) -> None:
    for _ in range(2):
        train(client, make_image_zip(), "shoes")
    models = client.get("/v1/models").json()["data"]
    assert [model["version"] for model in models] == [2, 1]
    newest = draw(client, count=1).headers["semblance-model"]
    assert newest == models[0]["id"]
    conditions = client.get("/v1/models/shoes:1/sampling-options").json()
    assert "cat" in json.dumps(conditions)


def test_colours_come_back_with_their_labels(client: TestClient) -> None:
    """Bright things on dark ground, red ones and blue ones, 32 x 32."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (120, 32, 32, 3), np.uint8)
    y = np.arange(120) % 2
    for image, label in zip(x, y, strict=True):
        top, left = rng.integers(0, 12, 2)
        image[top : top + 20, left : left + 20, 2 * label] += 200
    data = make_npz(x=x, y=y)
    file = {"name": "things.npz", "class_names": ["red", "blue"]}
    train(client, data, "shoes", budget={"steps": 120}, file=file)
    images, labels = arrays(client, labels={"red": 20, "blue": 20}, seed=1)
    assert images.shape == (40, 32, 32, 3)
    means = images.mean((1, 2))  # (40, 3)
    for mean, label in zip(means, labels, strict=True):
        assert mean.argmax() == (0 if label == "red" else 2)
    assert abs(means.max(1).mean() - x.mean((1, 2)).max(1).mean()) < 25


def test_a_folder_of_grey_pictures_keeps_its_oblong_shape(client: TestClient) -> None:
    """40 high and 56 wide: a bar at the top, or at the bottom."""
    rng = np.random.default_rng(0)
    files = {}
    for i in range(60):
        image = rng.integers(0, 30, (40, 56), np.uint8)
        image[slice(0, 20) if i % 2 else slice(20, 40)] += 180
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        files[f"{'top' if i % 2 else 'bottom'}/{i}.png"] = out.getvalue()
    train(client, make_zip(files), "shoes", budget={"steps": 120})
    images, labels = arrays(client, labels={"top": 10, "bottom": 10}, seed=1)
    assert images.shape == (20, 40, 56)
    for image, label in zip(images, labels, strict=True):
        assert (image[:20].mean() > image[20:].mean()) == (label == "top")
