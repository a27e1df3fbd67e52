"""Image datasets over HTTP: upload, statistics and deletion."""

import base64
import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from core import jobs
from core.database import write
from core.jobs import NewJob
from core.settings import Settings
from core.tables import Dataset, Job, JobKind
from tests.conftest import TENANT
from tests.factories import create_dataset
from tests.uploads import (
    list_stored_files,
    make_image_zip,
    make_npz,
    make_people_csv,
    make_png,
    make_zip,
    upload,
    upload_part,
)


def test_a_zip_of_class_folders_becomes_a_dataset(client: TestClient) -> None:
    response = upload(
        client, make_image_zip(), meta=json.dumps({"name": "pets", "tags": {"a": "b"}})
    )
    dataset = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert (dataset["name"], dataset["state"], dataset["tags"]) == ("pets", "ready", {"a": "b"})
    assert dataset["image"] == {"height": 8, "width": 8, "channels": 1}
    assert dataset["labels"] == [
        {"name": "cat", "count": 12, "test_count": 0},
        {"name": "dog", "count": 12, "test_count": 0},
    ]
    assert client.get(dataset["links"]["self"]).json() == dataset


def test_the_digits_dataset_is_built_in(client: TestClient) -> None:
    response = client.post("/v1/datasets", json={"builtin": "digits"})
    assert response.status_code == 201
    assert response.json()["train_items"] == 1797
    assert [label["name"] for label in response.json()["labels"]] == [str(i) for i in range(10)]


def test_class_names_apply_to_numeric_labels_and_the_test_split_is_kept(
    client: TestClient,
) -> None:
    rng = np.random.default_rng(0)
    data = make_npz(
        x_train=rng.integers(0, 255, (40, 8, 8), np.uint8),
        y_train=np.arange(40) % 2,
        x_test=rng.integers(0, 255, (10, 8, 8), np.uint8),
        y_test=np.arange(10) % 2,
    )
    meta = json.dumps({"class_names": ["T-shirt/top", "Ankle boot"]})
    dataset = upload(client, data, "garments.npz", meta).json()
    assert dataset["labels"] == [
        {"name": "T-shirt/top", "count": 20, "test_count": 5},
        {"name": "Ankle boot", "count": 20, "test_count": 5},
    ]
    assert (dataset["name"], dataset["train_items"], dataset["test_items"]) == ("garments", 40, 10)


def test_profile_issues_and_preview_describe_the_images(client: TestClient) -> None:
    identical = {f"cat/{i}.png": make_png(1) for i in range(3)}
    varied = {f"dog/{i}.png": make_png(50 + i) for i in range(12)}
    dataset = upload(client, make_zip(identical | varied)).json()
    links = dataset["links"]
    profile = client.get(links["profile"]).json()
    assert profile["train_items"] == 15
    assert sum(profile["pixels"]["histogram"]) == 15 * 64
    assert set(profile["by_label"]) == {"cat", "dog"}
    codes = {issue["code"]: issue for issue in client.get(links["issues"]).json()["data"]}
    assert codes["duplicate"]["count"] == 2
    assert "tiny_class" in codes
    preview = client.get(links["preview"])
    assert preview.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(preview.content)).format == "PNG"


def test_lists_are_paged_from_the_newest(client: TestClient) -> None:
    datasets = [create_dataset(make_image_zip()) for _ in range(3)]
    first = client.get("/v1/datasets?limit=2").json()
    assert [d["id"] for d in first["data"]] == [datasets[2], datasets[1]]
    assert first["has_more"]
    second = client.get(f"/v1/datasets?limit=2&after={first['next']}").json()
    assert [d["id"] for d in second["data"]] == [datasets[0]]
    assert (second["has_more"], second["next"]) == (False, None)


def test_name_and_tags_can_change(client: TestClient) -> None:
    dataset = client.get(f"/v1/datasets/{create_dataset(make_image_zip())}").json()
    changed = client.patch(f"/v1/datasets/{dataset['id']}", json={"name": "<b>Ü</b>"}).json()
    assert changed == dataset | {"name": "<b>Ü</b>"}


def test_a_deleted_dataset_leaves_no_file(client: TestClient, configured: Settings) -> None:
    dataset = upload(client, make_image_zip()).json()
    assert list_stored_files(configured)
    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert client.get(f"/v1/datasets/{dataset['id']}").status_code == 404
    assert list_stored_files(configured) == []


def test_a_dataset_of_an_active_job_cannot_be_deleted(client: TestClient) -> None:
    dataset = client.get(f"/v1/datasets/{create_dataset(make_image_zip())}").json()
    with write() as session:
        new = NewJob(JobKind.TRAINING, "pets", dataset["id"], {}, {}, queue="training")
        job: Job = jobs.create(session, TENANT, new)
    rejected = client.delete(f"/v1/datasets/{dataset['id']}")
    assert (rejected.status_code, rejected.json()["code"]) == (409, "in_use")
    assert rejected.json()["jobs"] == [job.id]
    client.post(f"/v1/jobs/{job.id}/cancel")
    assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job.id}").json()["dataset"] is None


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (make_zip({}), "empty.zip", "empty.zip"),
        (make_zip({"../x.png": make_png(1)}), "up.zip", "../x.png"),
        (make_zip({"cat/text.png": b"no image at all"}), "text.zip", "cat/text.png"),
        (
            make_zip(
                {
                    "1.png": make_png(1),
                    "2.png": make_png(2),
                    "labels.csv": b"path,label\n1.png,cat\n",
                }
            ),
            "labels.zip",
            "2.png",
        ),
        (b"", "nothing.zip", "nothing.zip"),
        (b"plain text", "plain.txt", "plain.txt"),
    ],
)
def test_an_unusable_upload_is_rejected_and_leaves_no_file(
    client: TestClient, configured: Settings, data: bytes, name: str, expected: str
) -> None:
    response = upload(client, data, name)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (422, 422)
    assert expected in json.dumps(problem["errors"]) + problem["detail"]
    assert str(configured.data_dir) not in response.text
    assert client.get("/v1/datasets").json()["data"] == []
    assert list_stored_files(configured) == []


@pytest.mark.parametrize(
    ("meta", "pointer"),
    [
        ('{"nmae": "x"}', "/nmae"),
        ('{"resize": "squash"}', "/resize"),
        ('{"name": ""}', "/name"),
        ('{"size": [8]}', "/size"),
    ],
)
def test_invalid_meta_is_rejected_by_field(client: TestClient, meta: str, pointer: str) -> None:
    response = upload(client, make_image_zip(), meta=meta)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"builtin": "letters"}, 422),
        ({"builtin": "digits", "uploads": ["upl_x"]}, 422),
        ({}, 422),
        ({"uploads": ["upl_x"]}, 404),
        ({"uploads": []}, 422),
    ],
)
def test_an_invalid_source_creates_no_dataset(
    client: TestClient, body: dict[str, object], status: int
) -> None:
    assert client.post("/v1/datasets", json=body).status_code == status
    assert client.get("/v1/datasets").json()["data"] == []


# --- multipart uploads ---


def test_parts_uploaded_in_any_order_become_a_dataset(
    client: TestClient, configured: Settings
) -> None:
    data = make_image_zip()
    third = len(data) // 3
    parts = {1: data[:third], 2: data[third : 2 * third], 3: data[2 * third :]}
    created = client.post(
        "/v1/uploads",
        json={
            "filename": "pets.zip",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    )
    upload_id = created.json()["id"]
    assert upload_part(client, upload_id, 3, parts[3]) == 200
    assert upload_part(client, upload_id, 1, b"wrong at first") == 200
    assert upload_part(client, upload_id, 1, parts[1]) == 200
    rejected = client.post(f"/v1/uploads/{upload_id}/complete")
    assert rejected.json()["errors"][0]["pointer"] == "/parts/2"
    assert upload_part(client, upload_id, 2, parts[2]) == 200
    assert client.post(f"/v1/uploads/{upload_id}/complete").json()["state"] == "completed"

    validating = client.post("/v1/datasets", json={"uploads": [upload_id], "name": "pets"})
    assert (validating.status_code, validating.json()["state"]) == (202, "validating")
    # The service validates the dataset after the response.
    ready = client.get(f"/v1/datasets/{validating.json()['id']}").json()
    assert (ready["state"], ready["train_items"]) == ("ready", 24)
    assert client.get(f"/v1/uploads/{upload_id}").status_code == 404
    content = ["x.npy", "y.npy", "preview.png"]
    assert len(list_stored_files(configured)) == len(content) + 3  # the parts are kept


def test_a_part_with_a_wrong_digest_is_rejected(client: TestClient) -> None:
    upload_id = client.post("/v1/uploads", json={"filename": "x.zip"}).json()["id"]
    digest = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    response = client.put(
        f"/v1/uploads/{upload_id}/parts/1",
        content=b"data",
        headers={"Content-Digest": f"sha-256=:{digest}:"},
    )
    assert (response.status_code, response.json()["code"]) == (422, "digest_mismatch")
    assert client.get(f"/v1/uploads/{upload_id}").json()["parts"] == []


def test_a_deleted_upload_leaves_no_file(client: TestClient, configured: Settings) -> None:
    upload_id = client.post("/v1/uploads", json={"filename": "x.zip"}).json()["id"]
    upload_part(client, upload_id, 1, b"data")
    assert client.delete(f"/v1/uploads/{upload_id}").status_code == 204
    assert list_stored_files(configured) == []


def test_an_unreadable_multipart_upload_fails_with_the_reason(
    client: TestClient, configured: Settings
) -> None:
    upload_id = client.post("/v1/uploads", json={"filename": "x.zip"}).json()["id"]
    upload_part(client, upload_id, 1, make_zip({"cat/text.png": b"no image"}))
    client.post(f"/v1/uploads/{upload_id}/complete")
    dataset = client.post("/v1/datasets", json={"uploads": [upload_id]}).json()
    failed = client.get(f"/v1/datasets/{dataset['id']}").json()
    assert failed["state"] == "failed"
    assert failed["error"]["errors"][0]["pointer"].endswith("cat/text.png")
    assert list_stored_files(configured) == []


def test_a_dataset_left_unvalidated_is_validated_by_a_worker(client: TestClient) -> None:
    from core.storage import get_storage
    from modalities import ingestion

    dataset = client.get(f"/v1/datasets/{create_dataset(make_image_zip())}").json()
    with write() as session:  # as if the API process had died between commit and validation
        row = session.get_one(Dataset, dataset["id"])
        source = {"name": "x.npz", "sha256": None, "parts": []}
        row.state, row.sources = type(row.state).VALIDATING, [source]  # type: ignore[assignment]
    assert ingestion.validate(get_storage())
    assert not ingestion.validate(get_storage())
    assert client.get(f"/v1/datasets/{dataset['id']}").json()["state"] == "failed"


def test_errors_of_the_form_say_where_settings_belong(client: TestClient) -> None:
    files = [("file", ("people.csv", make_people_csv(20)))]
    response = client.post("/v1/datasets", files=files, data={"meta": "income"})
    assert response.json()["detail"].startswith("The form field `meta` is not valid JSON")
    response = client.post("/v1/datasets", files=files, data={"target": "income"})
    assert response.json()["errors"][0]["pointer"] == "/target"
    assert '--form-string meta={"target":"income"}' in response.json()["detail"]


def test_a_meta_that_curl_cut_at_a_semicolon_says_how_to_send_it(client: TestClient) -> None:
    files = [("file", ("people.csv", make_people_csv(20)))]
    response = client.post("/v1/datasets", files=files, data={"meta": '{"read":{"delimiter":"'})
    assert (response.status_code, response.json()["code"]) == (400, "json_invalid")
    assert "send `meta` with --form-string" in response.json()["detail"]
    response = client.post("/v1/datasets", files=files, data={"meta": '{"read":;}'})
    assert "--form-string" not in response.json()["detail"]
