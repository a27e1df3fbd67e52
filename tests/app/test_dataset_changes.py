"""Corrections of an image dataset without a new upload, over HTTP."""

import io
import json
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update
from starlette.testclient import TestClient

from core import jobs
from core.database import clock, write
from core.datasets import repository
from core.jobs import NewJob
from core.settings import Settings
from core.storage import get_storage
from core.tables import Dataset, JobKind
from modalities import registry, reingestion
from tests.conftest import TENANT
from tests.factories import create_dataset
from tests.uploads import (
    list_stored_files,
    make_people_csv,
    make_png,
    make_zip,
    upload,
    upload_part,
)
from worker.job_runner import run_next

NAMES = [f"{'new' if i % 2 else 'old'}/{('cat', 'dog')[i // 2 % 2]}.{i}.png" for i in range(48)]
KINDS = "image,animal,age\n" + "".join(
    f"{name},{name.split('/')[1].split('.')[0]},{name.split('/')[0]}\n" for name in NAMES
)
PETS = make_zip(
    {name: make_png(i) for i, name in enumerate(NAMES)} | {"about/list.csv": KINDS.encode()}
)


def upload_pets(client: TestClient, **meta: Any) -> dict[str, Any]:
    response = upload(client, PETS, meta=json.dumps({"labels_from": "folders"} | meta))
    assert response.status_code == 201, response.text
    dataset: dict[str, Any] = response.json()
    return dataset


def label_names(dataset: dict[str, Any]) -> list[str]:
    return [label["name"] for label in dataset["labels"]]


def test_labels_are_chosen_from_the_sources_that_the_upload_listed(
    client: TestClient, configured: Settings
) -> None:
    dataset = upload_pets(client)
    assert label_names(dataset) == ["new", "old"]
    stored = len(list_stored_files(configured))
    link = dataset["links"]["self"]
    seen = []
    for source in dataset["layout"]["label_sources"]:
        chosen = {name: source[name] for name in ("labels_from", "label_column", "folder_level")}
        response = client.patch(link, json=chosen)
        assert response.status_code == 200, response.text
        assert len(response.json()["labels"]) == source["labels"]
        seen.append((source["labels_from"], label_names(response.json())))
        assert client.get(link).json() == response.json()
    assert seen == [
        ("folders", ["new", "old"]),
        ("file_names", ["cat", "dog"]),
        ("about/list.csv", ["cat", "dog"]),
        ("about/list.csv", ["new", "old"]),
        ("none", []),
    ]
    delete_replaced()
    assert len(list_stored_files(configured)) == stored


def delete_replaced() -> None:
    """Delete replaced objects, as workers do when their retention has ended."""
    with write() as session:
        session.execute(update(Dataset).values(replaced_at=clock(-2)))
    assert repository.remove_replaced(get_storage(), 1) > 0


@pytest.mark.parametrize("way", ["changed", "deleted"])
def test_a_download_that_began_before_a_change_gets_the_old_content(
    client: TestClient, configured: Settings, way: str
) -> None:
    link = upload_pets(client)["links"]["self"]
    with write() as session:  # a request reads the row, then opens the objects
        before = repository.get_ready(session, TENANT, link.split("/")[-1])
    stored = list_stored_files(configured)
    assert client.patch(link, json={"labels_from": "file_names"}).status_code == 200
    with ExitStack() as open_files:
        chunks = registry.get("image").export(before, get_storage(), "train", "npz", open_files)
        content = np.load(io.BytesIO(b"".join(chunks)))
    assert content["labels"].tolist() == ["new", "old"]
    assert repository.remove_replaced(get_storage(), 60) == 0  # it was replaced just now
    if way == "changed":
        delete_replaced()
        assert len(list_stored_files(configured)) == len(stored)
    else:
        assert client.delete(link).status_code == 204
        assert list_stored_files(configured) == []


def test_fields_that_are_not_sent_stay_and_null_resets(client: TestClient) -> None:
    dataset = upload_pets(client, resize="stretch", size=[16, 16])
    link = dataset["links"]["self"]
    changed = client.patch(link, json={"labels_from": "file_names", "name": "cats"}).json()
    assert (changed["image"]["height"], changed["name"]) == (16, "cats")
    assert label_names(changed) == ["cat", "dog"]
    reset = client.patch(link, json={"size": None, "resize": None}).json()
    assert (reset["image"]["height"], label_names(reset)) == (8, ["cat", "dog"])


def test_the_use_of_folders_is_corrected(client: TestClient) -> None:
    link = upload_pets(client)["links"]["self"]
    body = {"parts": {"old": "train", "new": "test"}, "labels_from": "file_names"}
    changed = client.patch(link, json=body).json()
    assert (changed["train_items"], changed["test_items"]) == (24, 24)
    assert label_names(changed) == ["cat", "dog"]


def test_the_background_is_corrected(client: TestClient) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8), "RGBA").save(out, "PNG")
    data = make_zip({f"{label}/{i}.png": out.getvalue() for label in "ab" for i in range(10)})
    link = upload(client, data).json()["links"]["self"]

    def mean_pixel() -> float:
        content = client.get(f"{link}/content?format=npz").content
        return float(np.load(io.BytesIO(content))["x"].mean())

    assert mean_pixel() == 255
    assert client.patch(link, json={"background": "black"}).status_code == 200
    assert mean_pixel() == 0


INVALID_CORRECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"labels_from": "labels.csv"}, "/labels_from"),
    ({"labels_from": "list.csv", "label_column": "sex"}, "/label_column"),
    ({"folder_level": 2}, "/folder_level"),
    ({"folder_level": 0}, "/folder_level"),
    ({"parts": {"attic": "test"}}, "/parts"),
    ({"parts": {"old": "validation"}}, "/parts/old"),
    ({"background": "blurple"}, "/background"),
    ({"size": [16, 16]}, "/resize"),
    ({"resize": "crop", "size": [2, 2]}, "/size"),
    ({"class_names": ["a"]}, "/class_names"),
    ({"target": "age"}, "/target"),
    ({"label": "age"}, "/label"),
]


def test_an_invalid_correction_names_the_field_and_changes_nothing(
    client: TestClient, configured: Settings
) -> None:
    dataset = upload_pets(client)
    stored = list_stored_files(configured)
    for change, pointer in INVALID_CORRECTIONS:
        response = client.patch(dataset["links"]["self"], json=change | {"name": "cats"})
        assert response.status_code == 422, (change, response.text)
        assert response.json()["errors"][0]["pointer"].startswith(pointer)
        assert "meta" not in response.json()["errors"][0]["pointer"]
        assert client.get(dataset["links"]["self"]).json() == dataset
        assert list_stored_files(configured) == stored


def test_a_dataset_cannot_be_read_again_while_a_job_is_active(client: TestClient) -> None:
    dataset = upload_pets(client)
    with write() as session:
        new = NewJob(JobKind.TRAINING, "pets", dataset["id"], {}, {}, queue="training")
        jobs.create(session, TENANT, new)
    response = client.patch(dataset["links"]["self"], json={"labels_from": "file_names"})
    assert (response.status_code, response.json()["code"]) == (409, "in_use")
    assert client.patch(dataset["links"]["self"], json={"name": "cats"}).status_code == 200


def test_a_repeated_training_of_a_changed_dataset_fails_with_the_reason(
    client: TestClient,
) -> None:
    dataset = upload_pets(client)
    budget = {"steps": 1}
    body = {"kind": "training", "dataset": dataset["id"], "budget": budget, "preset": "fast"}
    job = client.post("/v1/jobs", json=body).json()
    assert client.post(job["links"]["cancel"]).json()["state"] == "cancelled"
    changed = client.patch(dataset["links"]["self"], json={"labels_from": "none"})
    assert changed.status_code == 200, changed.text
    retried = client.post(f"{job['links']['self']}/retry").json()
    assert run_next(["training"])
    error = client.get(retried["links"]["self"]).json()["error"]
    assert error["code"] == "dataset_unreadable"
    assert "Create a new job" in error["detail"]


def test_the_later_of_two_concurrent_corrections_is_rejected(
    client: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = upload_pets(client)["links"]["self"]
    original = reingestion.read_files

    def read_files(*arguments: Any) -> Any:
        monkeypatch.setattr(reingestion, "read_files", original)
        assert client.patch(link, json={"labels_from": "none"}).status_code == 200
        return original(*arguments)

    monkeypatch.setattr(reingestion, "read_files", read_files)
    response = client.patch(link, json={"labels_from": "file_names"})
    assert (response.status_code, response.json()["code"]) == (409, "dataset_changed")
    assert client.get(link).json()["labels"] == []
    delete_replaced()
    assert len(list_stored_files(configured)) == 4  # the upload and one version of the content


def test_a_resumable_upload_is_kept_for_corrections(client: TestClient) -> None:
    new = client.post("/v1/uploads", json={"filename": "pets.zip"}).json()
    assert upload_part(client, new["id"], 1, PETS) == 200
    client.post(f"/v1/uploads/{new['id']}/complete")
    meta = {"uploads": [new["id"]], "labels_from": "folders"}
    link = client.post("/v1/datasets", json=meta).json()["links"]["self"]
    assert client.get(link).json()["state"] == "ready"
    changed = client.patch(link, json={"labels_from": "file_names"}).json()
    assert label_names(changed) == ["cat", "dog"]


def test_deletion_deletes_the_kept_upload(client: TestClient, configured: Settings) -> None:
    dataset = upload_pets(client)
    client.patch(dataset["links"]["self"], json={"labels_from": "file_names"})
    assert client.delete(dataset["links"]["self"]).status_code == 204
    assert list_stored_files(configured) == []


def test_a_dataset_without_a_stored_upload_says_so(client: TestClient) -> None:
    link = f"/v1/datasets/{create_dataset(PETS)}"
    response = client.patch(link, json={"labels_from": "file_names"})
    assert (response.status_code, response.json()["code"]) == (409, "upload_not_stored")


SALES = "id;price;day;note\n" + "\n".join(
    f"{i};{i % 7},{i % 10}0;2024-0{1 + i % 9}-1{i % 10};{'none' if i % 4 else 'gift'}"
    for i in range(60)
)


def test_a_table_is_read_again_with_the_changes_of_its_schema(client: TestClient) -> None:
    meta = {"read": {"delimiter": ","}, "exclude_columns": ["id;price;day;note"]}
    response = upload(client, SALES.encode(), "sales.csv", meta=json.dumps(meta))
    assert response.status_code == 422, response.text  # one column, and it is excluded
    dataset = upload(client, SALES.encode(), "sales.csv", meta='{"exclude_columns":["id"]}').json()
    link = dataset["links"]["self"]
    change = {
        "columns": [{"name": "day", "type": "category"}, {"name": "id", "exclude": False}],
        "target": "note",
    }
    assert client.put(f"{link}/schema", json=change).status_code == 200

    client.patch(link, json={"read": {"missing": ["none"]}})
    changed = client.patch(link, json={"read": {"decimal": ","}})
    assert changed.status_code == 200, changed.text
    schema = {each["name"]: each for each in client.get(f"{link}/schema").json()["columns"]}
    assert (schema["day"]["type"], schema["id"]["exclude"]) == ("category", False)
    assert schema["note"]["nullable"]
    assert [changed.json()["table"]["target"], label_names(changed.json())] == ["note", ["gift"]]
    assert changed.json()["sha256"] != dataset["sha256"]

    reset = client.patch(link, json={"read": None, "schema": [], "target": None}).json()
    assert reset["sha256"] == dataset["sha256"]
    assert reset["table"]["target"] is None


def test_a_reading_without_a_changed_column_is_rejected(
    client: TestClient, configured: Settings
) -> None:
    link = upload(client, SALES.encode(), "sales.csv").json()["links"]["self"]
    client.put(f"{link}/schema", json={"columns": [{"name": "day", "type": "category"}]})
    before, stored = client.get(link).json(), list_stored_files(configured)
    response = client.patch(link, json={"read": {"header": False}})
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == "/schema/0/name"
    assert client.get(link).json() == before
    assert list_stored_files(configured) == stored


def test_a_field_of_another_modality_is_rejected(client: TestClient) -> None:
    dataset = upload(client, make_people_csv(), "people.csv").json()
    response = client.patch(dataset["links"]["self"], json={"labels_from": "none"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/labels_from"
