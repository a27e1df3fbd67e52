"""A dataset goes out as it came in, in the formats that samples have."""

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


def content(client: TestClient, dataset: str, **query: Any) -> Any:
    return client.get(f"/v1/datasets/{dataset}/content", params=query)


def test_images_come_back_as_they_went_in_and_can_be_uploaded_again(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (30, 8, 9, 3), np.uint8), np.arange(30) % 3
    test = {"x_test": x[20:], "y_test": y[20:]}
    dataset = upload(client, make_npz(x_train=x[:20], y_train=y[:20], **test), "a.npz").json()
    assert dataset["links"]["content"] == f"/v1/datasets/{dataset['id']}/content"
    answer = content(client, dataset["id"], format="npz")
    assert answer.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(answer.content)) as arrays:
        assert np.array_equal(arrays["x"], x[:20])
        assert np.array_equal(arrays["labels"][arrays["y"]], y[:20].astype(str))
    held_out = content(client, dataset["id"], format="npz", split="test").content
    with np.load(io.BytesIO(held_out)) as arrays:
        assert np.array_equal(arrays["x"], x[20:])
    zipped = content(client, dataset["id"])
    assert zipped.headers["content-type"] == "application/zip"
    again = upload(client, zipped.content).json()
    assert (again["train_items"], again["image"], again["test_items"]) == (20, dataset["image"], 0)
    assert {(label["name"], label["count"]) for label in again["labels"]} == {
        ("0", 7),
        ("1", 7),
        ("2", 6),
    }


def test_images_without_a_label_come_back_without_one(client: TestClient) -> None:
    files = {f"{i}.png": make_png(i) for i in range(12)}
    told = [f"{i}.png,{'cat' if i % 2 else ''}" for i in range(12)]
    files["labels.csv"] = "\n".join(["path,label", *told]).encode()
    dataset = upload(client, make_zip(files)).json()
    again = upload(client, content(client, dataset["id"]).content).json()
    assert (again["train_items"], again["labels"]) == (12, dataset["labels"])
    assert again["labels"][0]["count"] == 6
    tar = content(client, dataset["id"], format="tar").content
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        suffixes = Counter(name.rsplit(".")[-1] for name in archive.getnames())
    assert suffixes == {"png": 12, "cls": 6, "json": 6}


def test_rows_come_back_as_the_schema_has_them_and_without_what_is_dropped(
    client: TestClient,
) -> None:
    csv = make_people_csv(40)
    meta = '{"target": "income"}'
    dataset = upload(client, csv, "people.csv", meta).json()["id"]
    assert content(client, dataset).content == csv
    change = {"exclude_columns": ["city"], "columns": [{"name": "age", "type": "number"}]}
    assert client.put(f"/v1/datasets/{dataset}/schema", json=change).status_code == 200
    table = pa.parquet.read_table(io.BytesIO(content(client, dataset, format="parquet").content))
    assert table.column_names == ["id", "age", "height", "member", "since", "income"]
    assert table.schema.field("age").type == pa.float64()
    assert len(table) == 40


@pytest.mark.parametrize(
    ("query", "status"),
    [({"format": "csv"}, 406), ({"split": "test"}, 422), ({"format": "exe"}, 422)],
)
def test_what_a_set_of_images_has_not_is_refused(
    client: TestClient, query: dict[str, str], status: int
) -> None:
    dataset = create_dataset(make_image_zip())
    assert content(client, dataset, **query).status_code == status
    assert content(client, "ds_nobody").status_code == 404


def test_a_damaged_set_is_not_sent_as_if_it_were_whole(client: TestClient) -> None:
    dataset = create_dataset(make_image_zip())
    with read() as session:
        stored = session.get_one(Dataset, dataset).objects["x"]
    get_storage().put(stored["key"], b"other bytes")
    answer = content(client, dataset)
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_unreadable")
