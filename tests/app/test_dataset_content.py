"""Download of datasets in the formats of samples."""

import io
import tarfile
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from core.database import read
from core.storage import get_storage
from core.tables import Dataset
from tests.factories import create_dataset
from tests.uploads import make_image_zip, make_npz, make_people_csv, make_png, make_zip, upload


def download(client: TestClient, dataset: str, **query: Any) -> Any:
    return client.get(f"/v1/datasets/{dataset}/content", params=query)


def test_downloaded_images_equal_the_upload_and_can_be_uploaded_again(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (30, 8, 9, 3), np.uint8), np.arange(30) % 3
    test_data = {"x_test": x[20:], "y_test": y[20:]}
    dataset = upload(client, make_npz(x_train=x[:20], y_train=y[:20], **test_data), "a.npz").json()
    assert dataset["links"]["content"] == f"/v1/datasets/{dataset['id']}/content"
    response = download(client, dataset["id"], format="npz")
    assert response.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(response.content)) as arrays:
        assert np.array_equal(arrays["x"], x[:20])
        assert np.array_equal(arrays["labels"][arrays["y"]], y[:20].astype(str))
    test_split = download(client, dataset["id"], format="npz", split="test").content
    with np.load(io.BytesIO(test_split)) as arrays:
        assert np.array_equal(arrays["x"], x[20:])
    zipped = download(client, dataset["id"])
    assert zipped.headers["content-type"] == "application/zip"
    again = upload(client, zipped.content).json()
    assert (again["train_items"], again["image"], again["test_items"]) == (20, dataset["image"], 0)
    assert {(label["name"], label["count"]) for label in again["labels"]} == {
        ("0", 7),
        ("1", 7),
        ("2", 6),
    }


def test_unlabeled_images_are_downloaded_without_a_label(client: TestClient) -> None:
    files = {f"{i}.png": make_png(i) for i in range(12)}
    lines = [f"{i}.png,{'cat' if i % 2 else ''}" for i in range(12)]
    files["labels.csv"] = "\n".join(["path,label", *lines]).encode()
    dataset = upload(client, make_zip(files)).json()
    again = upload(client, download(client, dataset["id"]).content).json()
    assert (again["train_items"], again["labels"]) == (12, dataset["labels"])
    assert again["labels"][0]["count"] == 6
    tar = download(client, dataset["id"], format="tar").content
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        suffixes = Counter(name.rsplit(".")[-1] for name in archive.getnames())
    assert suffixes == {"png": 12, "cls": 6, "json": 6}


def test_downloaded_rows_follow_the_schema_without_excluded_columns(
    client: TestClient,
) -> None:
    csv = make_people_csv(40)
    meta = '{"target": "income"}'
    dataset = upload(client, csv, "people.csv", meta).json()["id"]
    assert download(client, dataset).content == csv
    change = {"exclude_columns": ["city"], "columns": [{"name": "age", "type": "number"}]}
    assert client.put(f"/v1/datasets/{dataset}/schema", json=change).status_code == 200
    table = pa.parquet.read_table(io.BytesIO(download(client, dataset, format="parquet").content))
    assert table.column_names == ["id", "age", "height", "member", "since", "income"]
    assert table.schema.field("age").type == pa.float64()
    assert len(table) == 40


@pytest.mark.parametrize(
    ("query", "status"),
    [({"format": "csv"}, 406), ({"split": "test"}, 422), ({"format": "exe"}, 406)],
)
def test_a_format_or_split_that_an_image_dataset_lacks_is_rejected(
    client: TestClient, query: dict[str, str], status: int
) -> None:
    dataset = create_dataset(make_image_zip())
    assert download(client, dataset, **query).status_code == status
    assert download(client, "ds_nobody").status_code == 404


def test_a_damaged_dataset_is_not_downloaded(client: TestClient) -> None:
    dataset = create_dataset(make_image_zip())
    with read() as session:
        stored = session.get_one(Dataset, dataset).objects["x"]
    get_storage().put(stored["key"], b"other bytes")
    response = download(client, dataset)
    assert (response.status_code, response.json()["code"]) == (409, "dataset_unreadable")
