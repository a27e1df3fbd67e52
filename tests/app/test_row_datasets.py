"""Tabular datasets over HTTP: upload, statistics and schema changes."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import jobs
from core.database import write
from core.jobs import NewJob
from core.settings import Settings
from core.tables import JobKind
from modalities.tabular import schema_update
from modalities.tabular.upload.summary import TableSummary
from tests.conftest import TENANT
from tests.factories import create_dataset
from tests.modalities.tabular.factories import build_workbook, build_zip
from tests.uploads import list_stored_files, make_image_zip, upload, upload_part

PEOPLE = "name, age ,born,smokes,note\n" + "".join(
    f"user{i}, {20 + i % 40},{i % 25 + 1:02}.03.1990,{'yes' if i % 3 else 'no'},"
    f'"likes, ""{i % 2}"""\n'
    for i in range(120)
)


def upload_people(client: TestClient) -> dict[str, Any]:
    dataset = create_dataset(PEOPLE.encode(), "people.csv")
    dataset: dict[str, Any] = client.get(f"/v1/datasets/{dataset}").json()
    return dataset


def test_a_csv_becomes_a_tabular_dataset(client: TestClient) -> None:
    meta = json.dumps({"target": "smokes", "tags": {"a": "b"}})
    response = upload(client, PEOPLE.encode(), "people.csv", meta)
    assert response.status_code == 201, response.text
    dataset = response.json()
    assert (dataset["modality"], dataset["state"], dataset["name"]) == (
        "tabular",
        "ready",
        "people",
    )
    read = dataset["table"].pop("read")
    assert dataset["table"] == {"rows": 120, "columns": 5, "target": "smokes"}
    assert (read["delimiter"], read["header"], read["sheet"]) == (",", 1, None)
    assert (dataset["train_items"], dataset["test_items"], dataset["image"]) == (120, 0, None)
    assert dataset["labels"] == [
        {"name": "no", "count": 40, "test_count": 0},
        {"name": "yes", "count": 80, "test_count": 0},
    ]
    assert dataset["format"] == "csv"
    assert client.get(dataset["links"]["self"]).json() == dataset | {
        "table": dataset["table"] | {"read": read}
    }


def test_schema_profile_issues_and_preview_describe_the_table(client: TestClient) -> None:
    links = upload_people(client)["links"]
    schema = client.get(links["schema"]).json()
    assert schema["target"] is None
    assert schema["columns"][2] == {
        "name": "born",
        "type": "datetime",
        "nullable": False,
        "decimals": 0,
        "format": "%d.%m.%Y",
        "exclude": False,
        "missing": None,
    }
    profile = client.get(links["profile"]).json()
    assert (profile["train_items"], len(profile["columns"])) == (120, 5)
    assert (profile["columns"][1]["min"], profile["columns"][1]["max"]) == (20, 59)
    issues = client.get(links["issues"]).json()
    codes = ["stripped_names", "stripped_blanks", "id_like_column"]
    assert [issue["code"] for issue in issues["data"]] == codes
    preview = client.get(f"{links['preview']}?limit=2&offset=118").json()
    assert (preview["offset"], preview["total"], preview["has_more"]) == (118, 120, False)
    assert preview["data"][1] == {
        "name": "user119",
        "age": 59,
        "born": "20.03.1990",
        "smokes": "yes",
        "note": 'likes, "1"',
    }


def test_a_preview_is_available_as_json_and_csv_only(client: TestClient) -> None:
    link = upload_people(client)["links"]["preview"]
    for response in (
        client.get(f"{link}?limit=1", headers={"Accept": "text/csv"}),
        client.get(f"{link}?limit=1&format=csv"),
    ):
        assert response.headers["content-type"].startswith("text/csv")
        assert response.text == (
            'name,age,born,smokes,note\r\nuser0,20,01.03.1990,no,"likes, ""0"""\r\n'
        )
    assert client.get(link, headers={"Accept": "image/png"}).status_code == 406
    assert client.get(f"{link}?limit=0").status_code == 422
    assert client.get(f"{link}?offset=500").json()["data"] == []


def test_a_schema_change_updates_the_dataset_and_its_preview(
    client: TestClient, configured: Settings
) -> None:
    dataset = upload_people(client)
    link = dataset["links"]["schema"]
    change = {"columns": [{"name": "smokes", "type": "boolean", "missing": "NA"}]}
    change |= {"exclude_columns": ["name"], "target": "smokes"}
    changed = client.put(link, json=change)
    assert changed.status_code == 200
    columns = {column["name"]: column for column in changed.json()["columns"]}
    assert (columns["smokes"]["type"], columns["smokes"]["format"]) == ("boolean", "no|yes")
    assert columns["smokes"]["missing"] == "NA"
    assert columns["name"]["exclude"]
    assert client.get(link).json() == changed.json()
    after = client.get(dataset["links"]["self"]).json()
    assert after["table"]["target"] == "smokes"
    assert after["issues"].keys() == {"stripped_blanks", "stripped_names"}
    assert after["sha256"] == dataset["sha256"]
    row = client.get(f"{dataset['links']['preview']}?limit=1").json()["data"][0]
    assert (row["smokes"], "name" in row) == (False, False)
    stored = ["rows.parquet", "profile", "replaced profile"]
    assert len(list_stored_files(configured)) == len(stored)
    resent = client.put(link, json=changed.json())  # a schema that was read can be sent back
    assert resent.json() == changed.json()
    assert client.put(link, json={"columns": []}).json()["target"] == "smokes"
    assert client.put(link, json={"target": None}).json()["target"] is None


def test_an_invalid_schema_is_rejected_and_changes_nothing(client: TestClient) -> None:
    link = upload_people(client)["links"]["schema"]
    before = client.get(link).json()
    for change, pointer, code in (
        ({"columns": [{"name": "note", "type": "number"}]}, "/columns/0/type", "type_mismatch"),
        ({"columns": [{"name": "age", "type": "int"}]}, "/columns/0/type", "not_allowed"),
        ({"columns": [{"name": "age", "kind": "x"}]}, "/columns/0/kind", "unknown_field"),
        ({"target": "x"}, "/target", "unknown_column"),
        ({"labels": []}, "/labels", "unknown_field"),
    ):
        response = client.put(link, json=change)
        assert response.status_code == 422
        error = response.json()["errors"][0]
        assert (error["pointer"], error["code"]) == (pointer, code)
    assert client.get(link).json() == before


def test_the_later_of_two_concurrent_schema_changes_is_rejected(
    client: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = upload_people(client)["links"]["schema"]
    update_schema = schema_update.update_table_schema_in_sandbox

    def change_concurrently(*args: Any) -> TableSummary:
        monkeypatch.setattr(schema_update, "update_table_schema_in_sandbox", update_schema)
        assert client.put(link, json={"target": "age"}).status_code == 200
        return update_schema(*args)

    monkeypatch.setattr(schema_update, "update_table_schema_in_sandbox", change_concurrently)
    response = client.put(link, json={"target": "smokes"})
    assert (response.status_code, response.json()["code"]) == (409, "schema_changed")
    assert client.get(link).json()["target"] == "age"
    stored = ["rows.parquet", "profile", "replaced profile"]
    assert len(list_stored_files(configured)) == len(stored)


def test_the_schema_cannot_change_while_a_job_is_active(client: TestClient) -> None:
    dataset = upload_people(client)
    with write() as session:
        jobs.create(
            session,
            TENANT,
            NewJob(JobKind.TRAINING, "people", dataset["id"], {}, {}, queue="training"),
        )
    response = client.put(dataset["links"]["schema"], json={"target": "smokes"})
    assert (response.status_code, response.json()["code"]) == (409, "in_use")


def test_an_image_dataset_has_no_schema(client: TestClient) -> None:
    dataset = client.get(f"/v1/datasets/{create_dataset(make_image_zip())}").json()
    assert "schema" not in dataset["links"]
    response = client.get(f"/v1/datasets/{dataset['id']}/schema")
    assert (response.status_code, response.json()["code"]) == (409, "not_a_table")


@pytest.mark.parametrize(
    ("meta", "pointer"),
    [
        ({"target": "agee"}, "/meta/target"),
        ({"schema": [{"name": "age", "type": "boolean"}]}, "/meta/schema/0/type"),
        ({"schema": [{"name": "age", "type": "float"}]}, "/schema/0/type"),
        ({"schema": {"age": "number"}}, "/schema"),
        ({"resize": "crop"}, "/resize"),
        ({"class_names": ["a"]}, "/class_names"),
        ({"modality": "table"}, "/modality"),
    ],
)
def test_meta_that_does_not_match_the_table_is_rejected_by_field(
    client: TestClient, configured: Settings, meta: Any, pointer: str
) -> None:
    response = upload(client, PEOPLE.encode(), "people.csv", json.dumps(meta))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert list_stored_files(configured) == []


@pytest.mark.parametrize(
    "meta",
    [
        {"target": "x"},
        {"schema": [{"name": "x"}]},
        {"exclude_columns": ["x"]},
        {"read": {"header": False}},
    ],
)
def test_table_options_are_rejected_for_images(client: TestClient, meta: Any) -> None:
    response = upload(client, make_image_zip(), meta=json.dumps(meta))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/{next(iter(meta))}"


def test_an_unreadable_table_is_rejected_without_echoing_its_values(
    client: TestClient, configured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    response = upload(client, b"a,b\nsecret,1\nsecret\n" * 3, "x.csv")
    assert (response.status_code, response.json()["code"]) == (422, "wrong_field_count")
    assert response.json()["errors"][0]["pointer"] == "/file/lines/3"
    assert "secret" not in response.text + caplog.text
    assert str(configured.data_dir) not in response.text
    assert list_stored_files(configured) == []


def test_reading_options_are_used_and_shown(client: TestClient) -> None:
    text = "Report\na:b\n" + "1:k.A.\n2:5\n" * 9
    options = {"delimiter": ":", "header": 2, "missing": ["k.A."]}
    response = upload(client, text.encode(), "a.txt", json.dumps({"read": options}))
    assert response.status_code == 201, response.text
    read = response.json()["table"]["read"]
    assert {name: read[name] for name in options} == options
    assert response.json()["issues"]["missing_words"] == 9
    again = upload(client, text.encode(), "a.txt", json.dumps({"read": read}))
    assert again.json()["table"]["read"] == read


@pytest.mark.parametrize(
    ("read", "pointer", "text"),
    [
        ({"delimeter": ";"}, "/read", "`delimeter` does not exist. Use `delimiter`, `quote`"),
        ({"encoding": "latin-0"}, "/read/encoding", "encoding"),
        ({"encoding": "base64"}, "/read/encoding", "encoding"),
        ({"header": 0}, "/read/header", ""),
        ({"delimiter": "'", "quote": "'"}, "/read", "different"),
        ({"delimiter": "§"}, "/read", "ASCII"),
        ({"decimal": ";"}, "/read/decimal", ""),
    ],
)
def test_invalid_reading_options_are_rejected_by_name(
    client: TestClient, read: Any, pointer: str, text: str
) -> None:
    response = upload(client, PEOPLE.encode(), "a.csv", json.dumps({"read": read}))
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert (error["pointer"], text in error["message"]) == (pointer, True)


def test_a_workbook_and_a_zip_of_one_table_are_tables(client: TestClient) -> None:
    workbook = build_workbook({"People": [["age", "city"], *[[i, "Bonn"] for i in range(9)]]})
    for data, name in ((workbook, "a.xlsx"), (build_zip({"x/a.csv": PEOPLE}), "a.zip")):
        response = upload(client, data, name)
        assert response.status_code == 201, response.text
        assert response.json()["modality"] == "tabular"
    response = upload(client, build_zip({"a.csv": PEOPLE, "b.csv": PEOPLE}), "a.zip")
    assert response.json()["code"] == "several_tables"
    assert "a.csv, b.csv" in response.json()["detail"]


def test_a_zip_of_one_table_is_a_table_when_it_is_uploaded_in_parts(client: TestClient) -> None:
    data = build_zip({"a.csv": PEOPLE})
    upload_id = client.post("/v1/uploads", json={"filename": "a.zip"}).json()["id"]
    for number, part in enumerate((data[:100], data[100:]), start=1):
        assert upload_part(client, upload_id, number, part) < 300
    client.post(f"/v1/uploads/{upload_id}/complete")
    dataset = client.post("/v1/datasets", json={"uploads": [upload_id]})
    assert dataset.json()["modality"] == "tabular"


@pytest.mark.parametrize(
    ("name", "content"), [("doc.pdf", b"%PDF-1.7 "), ("m.pkl", b"\x80\x04\x95")]
)
def test_other_files_are_rejected_with_the_formats_of_images_and_tables(
    client: TestClient, name: str, content: bytes
) -> None:
    detail = upload(client, content + bytes(99), name).json()["detail"]
    assert "zip or tar with one folder per label" in detail
    assert "a table as CSV, JSON, Parquet" in detail


def test_meta_can_set_the_modality(client: TestClient) -> None:
    response = upload(client, b"a,b\n1,2\n" * 9, "x.csv", '{"modality": "image"}')
    assert (response.status_code, response.json()["code"]) == (422, "archive_invalid")
    response = upload(client, make_image_zip(), "x.zip", '{"modality": "tabular"}')
    assert (response.status_code, response.json()["code"]) == (422, "table_unreadable")


def test_a_table_uploaded_in_parts_is_read_after_the_response(
    client: TestClient, configured: Settings
) -> None:
    upload_id = client.post("/v1/uploads", json={"filename": "people.csv"}).json()["id"]
    data = PEOPLE.encode()
    upload_part(client, upload_id, 1, data[:1000])
    upload_part(client, upload_id, 2, data[1000:])
    client.post(f"/v1/uploads/{upload_id}/complete")
    body = {"uploads": [upload_id], "target": "smokes", "exclude_columns": ["note"]}
    dataset = client.post("/v1/datasets", json=body).json()
    assert (dataset["modality"], dataset["state"], dataset["table"]) == (
        "tabular",
        "validating",
        None,
    )
    ready = client.get(f"/v1/datasets/{dataset['id']}").json()
    assert (ready["state"], ready["table"]["target"]) == ("ready", "smokes")
    assert len(list_stored_files(configured)) == len(
        ["rows.parquet", "profile.json", "part 1", "part 2"]
    )


def test_a_circle_dataset_has_the_requested_radius_and_points(client: TestClient) -> None:
    body = {"builtin": "circle", "radius": 2, "points": 500}
    created = client.post("/v1/datasets", json=body)
    assert created.status_code == 201
    dataset = created.json()
    assert (dataset["name"], dataset["modality"], dataset["labels"]) == ("circle", "tabular", [])
    assert (dataset["table"]["rows"], dataset["table"]["columns"]) == (500, 2)
    rows = client.get(f"{dataset['links']['preview']}?limit=200").json()["data"]
    assert all(abs(row["x"] ** 2 + row["y"] ** 2 - 4) < 1e-4 for row in rows)
    assert client.post("/v1/datasets", json=body).json()["sha256"] == dataset["sha256"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"builtin": "circle", "radius": 0}, "/radius"),
        ({"builtin": "circle", "radius": "2"}, "/radius"),
        ({"builtin": "circle", "points": 10**9}, "/points"),
        ({"builtin": "digits", "points": 100}, "/points"),
        ({"builtin": "square"}, "/builtin"),
        ({"uploads": ["upl_x"], "radius": 2}, "/radius"),
    ],
)
def test_an_invalid_circle_is_rejected_by_field(
    client: TestClient, body: Any, pointer: str
) -> None:
    response = client.post("/v1/datasets", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


def test_a_deleted_table_leaves_no_file(client: TestClient, configured: Settings) -> None:
    dataset = upload_people(client)
    client.put(dataset["links"]["schema"], json={"target": "smokes"})
    assert client.delete(dataset["links"]["self"]).status_code == 204
    assert list_stored_files(configured) == []


def test_the_owner_chooses_what_happens_to_identifiers(client: TestClient) -> None:
    dataset = upload_people(client)
    change = {"columns": [{"name": "name", "identifier": "drop"}]}
    columns = client.put(dataset["links"]["schema"], json=change).json()["columns"]
    assert (columns[0]["type"], columns[0]["exclude"]) == ("id", True)
    both = {"columns": [{"name": "name", "identifier": "keep", "type": "id"}]}
    assert client.put(dataset["links"]["schema"], json=both).status_code == 422


def validate_training(client: TestClient, table: str, **hyperparameters: Any) -> Any:
    body = {
        "kind": "training",
        "dataset": create_dataset(table.encode(), "a.csv"),
        "hyperparameters": hyperparameters,
        "validate_only": True,
    }
    return client.post("/v1/jobs", json=body)


def test_a_constraint_that_most_rows_break_is_rejected(client: TestClient) -> None:
    table = "low,high,x\n" + "".join(f"{i % 9 + 5},{i % 7},{i % 50 + 6}\n" for i in range(60))
    response = validate_training(
        client, table, constraints=[{"kind": "inequality", "columns": ["low", "high"]}]
    )
    error = response.json()["errors"][0]
    assert (response.status_code, error["pointer"]) == (422, "/hyperparameters/constraints/0")
    assert "of the 60 rows break it" in error["message"]
    assert "the first is row 1" in error["message"]
    kept = validate_training(
        client, table, constraints=[{"kind": "inequality", "columns": ["high", "x"]}]
    )
    assert kept.status_code == 200


def test_a_min_value_count_that_leaves_no_value_is_rejected(client: TestClient) -> None:
    table = "city,x\n" + "".join(f"city{i % 20}b,{i}\n" for i in range(60))
    response = validate_training(client, table, min_value_count=4)
    error = response.json()["errors"][0]
    assert (response.status_code, error["pointer"]) == (422, "/hyperparameters/min_value_count")
    assert "the most common one occurs in 3" in error["message"]
    assert validate_training(client, table, min_value_count=3).status_code == 200
