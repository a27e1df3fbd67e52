"""Pages of a dataset's images and rows, and previews of transforms."""

import io
import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from modalities.tabular.upload.files.spool import ParquetSpool
from tests.factories import create_dataset, create_digits_dataset

PEOPLE = "age,income,city\n" + "".join(
    f"{20 + i},{'>50K' if i % 4 == 0 else '<=50K'},{'Rome' if i % 2 else 'Oslo'}\n"
    for i in range(60)
)


@pytest.fixture
def people(client: TestClient) -> str:
    return create_dataset(PEOPLE.encode(), "people.csv", target="income")


def test_images_are_listed_by_label_with_their_pictures(client: TestClient) -> None:
    path = f"/v1/datasets/{create_digits_dataset()}"
    page = client.get(f"{path}/items?label=7&limit=3&offset=1").json()
    assert (page["offset"], len(page["data"]), page["has_more"]) == (1, 3, True)
    labels = {entry["name"]: entry["count"] for entry in client.get(path).json()["labels"]}
    assert page["total"] == labels["7"]
    assert {(item["label"], item["split"]) for item in page["data"]} == {("7", "train")}
    content = np.load(io.BytesIO(client.get(f"{path}/content?format=npz").content))
    for item in page["data"]:
        response = client.get(item["url"])
        assert response.headers["content-type"] == "image/png"
        picture = np.asarray(Image.open(io.BytesIO(response.content)))
        assert np.array_equal(picture, content["x"][item["index"]].squeeze())
        assert str(content["labels"][content["y"][item["index"]]]) == "7"


def test_an_item_or_label_that_does_not_exist_is_an_error(client: TestClient) -> None:
    path = f"/v1/datasets/{create_digits_dataset()}"
    assert client.get(f"{path}/items/1797.png").status_code == 404
    assert client.get(f"{path}/items/-1.png").status_code in (404, 422)
    response = client.get(f"{path}/items?label=eleven")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/label"
    assert "no label 'eleven'. The labels are '0', '1'," in response.json()["detail"]
    assert client.get(f"{path}/rows").status_code == 409


def test_rows_are_filtered_and_sorted(client: TestClient, people: str) -> None:
    where = quote(json.dumps({"income": ">50K", "age": {"gte": 30, "lt": 60}}))
    page = client.get(f"/v1/datasets/{people}/rows?where={where}&sort=-age&limit=3").json()
    assert [row["values"]["age"] for row in page["data"]] == [56, 52, 48]
    assert [row["index"] for row in page["data"]] == [36, 32, 28]
    assert (page["total"], page["has_more"]) == (7, True)
    cities = quote(json.dumps({"city": ["Rome"]}))
    assert client.get(f"/v1/datasets/{people}/rows?where={cities}").json()["total"] == 30
    everything = client.get(f"/v1/datasets/{people}/rows?offset=58").json()
    assert [row["index"] for row in everything["data"]] == [58, 59]


def test_a_column_whose_name_begins_with_a_dash_is_sorted_both_ways(client: TestClient) -> None:
    table = b"-x,y\n" + b"".join(b"%d,%d\n" % (n % 4, n) for n in range(8))
    path = f"/v1/datasets/{create_dataset(table, 'dash.csv')}/rows"

    def sort(order: str) -> list[int]:
        return [row["values"]["-x"] for row in client.get(f"{path}?sort={order}").json()["data"]]

    assert sort("-x") == sorted(sort("-x")) == sort("--x")[::-1]
    assert client.get(f"{path}?sort=-y&limit=1").json()["data"][0]["values"]["y"] == 7


def test_rows_are_found_in_every_row_group(tmp_path: Path) -> None:
    table = pa.table({"n": range(10), "word": pa.array(list("abcdefghij")).dictionary_encode()})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=3)
    spool = ParquetSpool(tmp_path / "rows.parquet")
    taken = spool.take([9, 0, 4, 5])
    assert taken["n"].to_pylist() == [9, 0, 4, 5]
    assert taken["word"].to_pylist() == ["j", "a", "e", "f"]
    assert len(spool.take([])) == 0


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("where=" + quote('{"wage": 1}'), "/where/wage"),
        ("where=" + quote('{"age": {"above": 1}}'), "/where/age"),
        ("where=" + quote('{"age": "old"}'), "/where/age"),
        ("where=" + quote('{"age": 99999999999999999999}'), "/where/age"),
        ("where=[]", "/where"),
        ("sort=-wage", "/sort"),
    ],
)
def test_a_filter_that_does_not_fit_the_table_is_rejected(
    client: TestClient, people: str, query: str, pointer: str
) -> None:
    response = client.get(f"/v1/datasets/{people}/rows?{query}")
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert error["pointer"] == pointer
    if "wage" in query:
        assert (error["message"], error["allowed"]) == ("The table has no column `wage`.", ["age"])


def test_transforms_are_previewed_on_eight_images(client: TestClient, people: str) -> None:
    path = f"/v1/datasets/{create_digits_dataset()}/transforms/preview"
    body = {"transforms": [{"name": "rotate", "max_magnitude": 30}], "seed": 3}
    first, again = (client.post(path, json=body) for _ in range(2))
    assert first.headers["content-type"] == "image/png"
    assert first.content == again.content
    assert first.content != client.post(path, json=body | {"seed": 4}).content
    assert Image.open(io.BytesIO(first.content)).width >= 8 * 8
    rejected = client.post(path, json={"transforms": [{"name": "hue"}]})
    assert rejected.json()["errors"][0]["pointer"] == "/transforms/0/name"
    assert client.post(f"/v1/datasets/{people}/transforms/preview", json={}).status_code == 409
