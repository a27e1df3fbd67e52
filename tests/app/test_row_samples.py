"""Samples of a tabular model over HTTP: types, exact counts and reproducible rows.

The model is trained once for all tests.
"""

import csv
import io
import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from modalities.tabular.options import SAMPLE_FORMATS
from tests.factories import clear_model_caches, create_dataset, create_trained_model
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv
from worker.job_runner import run_next

URL = "/v1/models/people/samples"


@pytest.fixture
def service(client: TestClient) -> TestClient:
    """Serve the model `people`, whose target column is the income."""
    create_trained_model(client, "people")
    return client


def request_samples(client: TestClient, format: str = "csv", **body: Any) -> Any:
    return client.post(f"{URL}?format={format}", json=body)


def sample_rows(client: TestClient, **body: Any) -> list[dict[str, str]]:
    response = request_samples(client, **body)
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


def test_an_unknown_format_is_rejected_with_those_of_tables(service: TestClient) -> None:
    response = request_samples(service, format="xls", count=1)
    assert response.status_code == 406
    assert {each["format"] for each in response.json()["available"]} == set(SAMPLE_FORMATS)


def test_synthetic_rows_have_the_formats_of_the_training_data(service: TestClient) -> None:
    rows = sample_rows(service, count=200, seed=1)
    assert list(rows[0]) == ["id", "age", "height", "city", "member", "since", "income"]
    assert len({row["id"] for row in rows}) == 200
    for row in rows:
        assert row["age"] == str(int(row["age"]))
        assert row["height"] == "" or len(row["height"].split(".")[1]) == 2
        assert row["city"] in {"Zürich", "Rome", "Paris, north"}
        assert row["member"] in {"true", "false"}
        assert len(row["since"]) == 10
        assert row["income"] in {">50K", "<=50K"}
    assert 0 < sum(row["height"] == "" for row in rows) < 60


def test_samples_have_the_requested_csv_dialect(service: TestClient) -> None:
    usual = request_samples(service, count=3, seed=1).text
    other = request_samples(service, count=3, seed=1, csv={"delimiter": ";"}).text
    assert list(csv.reader(io.StringIO(other), delimiter=";")) == list(
        csv.reader(io.StringIO(usual))
    )
    rejected = request_samples(service, count=3, csv={"delimiter": '"', "quote": '"'})
    assert rejected.status_code == 422


def test_each_label_has_exactly_the_requested_count(service: TestClient) -> None:
    response = request_samples(service, labels={">50K": 300, "<=50K": 7}, seed=1)
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["income"] for row in rows] == [">50K"] * 300 + ["<=50K"] * 7
    # Rows are generated with the requested label, so none is rejected.
    assert response.headers["semblance-acceptance-rate"] == "1.0000"
    assert Counter(
        row["income"] for row in sample_rows(service, count=50, balance_labels=True, seed=1)
    ) == {
        ">50K": 25,
        "<=50K": 25,
    }


def test_rows_follow_the_learned_label_shares_by_default(service: TestClient) -> None:
    rows = sample_rows(service, count=1000, seed=1)
    assert 120 < sum(row["income"] == ">50K" for row in rows) < 280


def test_rows_are_the_same_in_pages_and_alone(service: TestClient) -> None:
    whole = sample_rows(service, labels={">50K": 60}, seed=7)
    pages = [sample_rows(service, labels={">50K": 20}, seed=7, offset=20 * i) for i in range(3)]
    assert [row for page in pages for row in page] == whole
    assert sample_rows(service, labels={">50K": 1}, seed=7, offset=42) == [whole[42]]
    balanced = sample_rows(service, count=40, balance_labels=True, seed=7)
    assert sample_rows(service, count=20, balance_labels=True, seed=7, offset=20) == balanced[20:]


def test_all_formats_hold_the_same_rows(service: TestClient) -> None:
    request = {"labels": {">50K": 5, "<=50K": 6}, "seed": 3}
    table = pa.ipc.open_stream(request_samples(service, "arrow", **request).content).read_all()
    assert table.schema.field("age").type == pa.int64()
    assert table.schema.field("member").type == pa.bool_()
    assert pa.types.is_timestamp(table.schema.field("since").type)
    parquet = request_samples(service, "parquet", **request).content
    assert pa.parquet.read_table(io.BytesIO(parquet)) == table
    response = request_samples(service, "json", **request).json()
    assert response["count"] == len(response["rows"]) == 11
    lines = request_samples(service, "ndjson", **request).text.splitlines()
    assert [json.loads(line) for line in lines] == response["rows"]
    assert [row["age"] for row in response["rows"]] == table.column("age").to_pylist()
    rows = sample_rows(service, **request)
    assert [int(row["age"]) for row in rows] == table.column("age").to_pylist()


def test_every_row_meets_its_conditions(service: TestClient) -> None:
    where = {"income": ">50K", "age": {"gte": 65}, "city": ["Rome", "Paris, north"]}
    response = request_samples(service, conditions=[{"where": where, "count": 40}], seed=1)
    assert response.status_code == 200, response.text
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 40
    assert all(row["income"] == ">50K" and int(row["age"]) >= 65 for row in rows)
    assert "Zürich" not in {row["city"] for row in rows}
    assert 0 < float(response.headers["semblance-acceptance-rate"]) < 1
    second_page = request_samples(
        service, conditions=[{"where": where, "count": 10}], seed=1, offset=30
    )
    assert list(csv.DictReader(io.StringIO(second_page.text))) == rows[30:]


def test_a_later_condition_that_no_row_meets_is_rejected_before_the_response(
    service: TestClient,
) -> None:
    values = {"since": "2013-02-11", "age": 44, "height": 1.93}
    impossible = {name: {"gte": value, "lte": value} for name, value in values.items()}
    conditions = [{"where": {"member": True}, "count": 2}, {"where": impossible, "count": 2}]
    response = request_samples(service, conditions=conditions, seed=1)
    assert (response.status_code, response.json()["code"]) == (422, "acceptance_rate_too_low")
    assert [error["pointer"] for error in response.json()["errors"]] == ["/conditions/1/where"]


def test_a_number_or_date_that_no_row_has_is_rejected_with_the_range_of_its_column(
    service: TestClient,
) -> None:
    columns = service.get("/v1/models/people/sampling-options").json()["columns"]
    ranges = {column["name"]: (column["min"], column["max"]) for column in columns}
    for name, value in (("age", {"gte": 500}), ("height", 9.5), ("since", "1950-01-31")):
        low, high = (f"{end:g}" if isinstance(end, float) else end for end in ranges[name])
        response = request_samples(service, conditions=[{"where": {name: value}, "count": 1}])
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["pointer"] == f"/conditions/0/where/{name}"
        assert error["message"].endswith(f"; its values are from {low} to {high}")


def test_condition_fractions_are_exact_and_the_remaining_rows_are_free(service: TestClient) -> None:
    conditions = [
        {"where": {"city": "Rome"}, "fraction": 0.5},
        {"where": {"member": True}, "fraction": 0.25},
    ]
    rows = sample_rows(service, count=41, conditions=conditions, seed=1)
    assert len(rows) == 41
    assert {row["city"] for row in rows[:21]} == {"Rome"}
    assert {row["member"] for row in rows[21:31]} == {"true"}


def test_missing_values_can_be_requested(service: TestClient) -> None:
    rows = sample_rows(service, conditions=[{"where": {"height": None}, "count": 5}], seed=1)
    assert [row["height"] for row in rows] == [""] * 5


def test_a_rare_value_has_exactly_the_requested_count(service: TestClient) -> None:
    response = request_samples(
        service, conditions=[{"where": {"city": "Zürich"}, "count": 100}], seed=1
    )
    assert response.status_code == 200, response.text
    assert response.text.count("Zürich") == 100


def test_partial_rows_are_completed(service: TestClient) -> None:
    partial_rows = [
        {"age": 77, "city": "Rome"},
        {"income": ">50K"},
        {"height": None, "id": "X"},
    ] * 15
    response = request_samples(service, "json", partial_rows=partial_rows, seed=1).json()
    assert response["count"] == len(response["rows"]) == 45
    for partial_row, row in zip(partial_rows, response["rows"], strict=True):
        assert row.items() >= partial_row.items()
        assert row["income"] in (">50K", "<=50K")
    second_page = request_samples(
        service, "json", partial_rows=partial_rows[30:], seed=1, offset=30
    ).json()["rows"]
    assert second_page == response["rows"][30:]
    rows = sample_rows(service, partial_rows=[{"height": 1.8, "since": "2014-03-11"}])
    assert (rows[0]["height"], rows[0]["since"]) == ("1.80", "2014-03-11")


INVALID_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"partial_rows": [{}, {"agee": 3}]}, "/partial_rows/1/agee"),
    ({"partial_rows": [{}, {"age": "old"}]}, "/partial_rows/1/age"),
    ({"partial_rows": [{"city": "Oslo"}]}, "/partial_rows/0/city"),
    ({"partial_rows": [{"height": 1.8123}]}, "/partial_rows/0/height"),
    ({"partial_rows": [{}, {"height": "inf"}]}, "/partial_rows/1/height"),
    ({"partial_rows": []}, "/partial_rows"),
    ({"partial_rows": [{}], "count": 3}, "/count"),
    ({"partial_rows": [{}], "balance_labels": True}, "/balance_labels"),
    ({"labels": {"50K": 3}}, ">50K"),
    ({"conditions": [{"where": {"agee": 3}, "count": 1}]}, "/conditions/0/where/agee"),
    ({"conditions": [{"where": {"age": "old"}, "count": 1}]}, "/conditions/0/where/age"),
    ({"conditions": [{"where": {"city": {"gte": "A"}}, "count": 1}]}, "no order"),
    ({"conditions": [{"where": {"age": {"above": 3}}, "count": 1}]}, "gte"),
    ({"conditions": [{"where": {"city": "Oslo"}, "count": 1}]}, "its values are text, such as"),
    (
        {"conditions": [{"where": {"age": {"gte": 500}}, "count": 1}]},
        "no value in the training data",
    ),
    ({"conditions": [{"where": {}, "count": 1}]}, "/conditions/0/where"),
    ({"conditions": [{"where": {"age": 30}}]}, "count"),
    ({"conditions": [{"where": {"age": 30}, "count": 1}], "count": 3}, "count"),
    ({"conditions": [{"where": {"age": 30}, "fraction": 1.5}], "count": 3}, "fraction"),
    ({"conditions": [{"where": {"age": 30}, "fraction": 0.5}]}, "fraction"),
    ({"conditions": []}, "/conditions"),
    ({"count": 3, "layout": "grid"}, "/layout"),
    ({"count": 3, "offset": 2**62}, "/offset"),
    (
        {"conditions": [{"where": {"age": {"gte": 60, "lt": 20}}, "count": 1}]},
        "needs `lt` to be larger than `gte`",
    ),
]


def test_an_invalid_sample_request_is_rejected_by_name(service: TestClient) -> None:
    for body, expected in INVALID_REQUESTS:
        response = request_samples(service, **body)
        assert response.status_code == 422, body
        assert expected in response.text, body


def test_the_largest_offset_has_rows_with_identifiers(service: TestClient) -> None:
    conditions = [{"where": {"age": each}, "count": 2} for each in ({"gte": 30}, {"lt": 30})]
    rows = sample_rows(service, conditions=conditions, offset=2**53)
    assert len({row["id"] for row in rows}) == 4


def test_values_of_columns_that_follow_from_others_are_suggested(client: TestClient) -> None:
    cities = {"Rome": "Lazio", "Milan": "Lombardy", "Turin": "Piedmont", "Nice": "Provence"}
    lines = [f"{city},{cities[city]},{20 + i % 40}" for i, city in enumerate([*cities] * 60)]
    dataset = create_dataset("\n".join(["city,region,age", *lines]).encode(), "towns.csv")
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": "towns",
        "hyperparameters": TINY_TABLE_CONFIG,
        "budget": {"steps": 2},
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert run_next(["training"])
    conditions = [{"where": {"age": 30}, "count": 1}, {"where": {"region": "Alps"}, "count": 1}]
    response = client.post("/v1/models/towns/samples", json={"conditions": conditions})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["pointer"]) == (422, "/conditions/1/where/region")
    _, separator, suggested = error["message"].partition("its values are text, such as ")
    assert separator
    names = {name.strip("'") for name in suggested.split(", ")}
    assert names < {*cities.values()}
    assert len(names) == 3  # the most frequent ones, which depend on the rows that are held out

    contradictory = {"age": 20, "region": "Piedmont"}
    response = client.post(
        "/v1/models/towns/samples", json={"conditions": [{"where": contradictory, "count": 1}]}
    )
    (error,) = response.json()["errors"]
    assert (response.status_code, error["pointer"]) == (422, "/conditions/0/where/region")
    assert "`age -> region`" in error["message"]


def test_sampling_options_list_labels_columns_and_constraints(service: TestClient) -> None:
    options = service.get("/v1/models/people/sampling-options").json()
    assert [label["name"] for label in options["labels"]] == ["<=50K", ">50K"]
    columns = {column["name"]: column for column in options["columns"]}
    assert "id" not in columns
    assert columns["city"]["values"][-1] == "Zürich"
    assert columns["age"]["min"] >= 18
    assert columns["since"]["max"] < "2025"
    assert options["constraints"] == options["relations"] == []
    model = service.get("/v1/models/people").json()
    assert (model["modality"], model["target_column"], model["image"]) == (
        "tabular",
        "income",
        None,
    )
    assert model["conditional"] is model["training"]["conditional"] is True


def test_balance_labels_of_a_numeric_target_column_uses_deciles(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="age")
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": "people",
        "hyperparameters": {
            **TINY_TABLE_CONFIG,
            "constraints": [{"kind": "unique", "columns": ["age", "since"]}],
        },
        "budget": {"steps": 20},
        "seed": 1,
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert run_next(["training"])
    clear_model_caches()
    synthetic_ages = [
        int(row["age"]) for row in sample_rows(client, count=60, balance_labels=True, seed=1)
    ]
    training_ages = sorted(
        int(line.split(",")[1]) for line in make_people_csv().decode().splitlines()[1:]
    )
    deciles = [training_ages[40 * i] for i in range(1, 10)]
    counts = Counter(np.searchsorted(deciles, synthetic_ages, side="right").tolist())
    assert counts == dict.fromkeys(range(10), 6)
    job = {"kind": "generation", "model": "people", "count": 20}
    rejected = client.post("/v1/jobs", json=job)
    assert (rejected.status_code, rejected.json()["code"]) == (
        422,
        "unique_constraint_not_shardable",
    )
    older = request_samples(
        client, conditions=[{"where": {"age": {"gte": 60, "lt": 62}}, "count": 9}]
    )
    assert {row["age"] for row in csv.DictReader(io.StringIO(older.text))} <= {"60", "61"}
    by_label = request_samples(client, labels={"50": 2})
    assert by_label.status_code == 422
    assert "Use `conditions` on this column" in by_label.json()["detail"]
    assert "`conditions`" in request_samples(client).json()["detail"]


def test_a_table_without_a_target_column_is_sampled_by_count(client: TestClient) -> None:
    circle = {"builtin": "circle", "radius": 2, "points": 200}
    dataset = client.post("/v1/datasets", json=circle).json()["id"]
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": "people",
        "hyperparameters": TINY_TABLE_CONFIG,
        "budget": {"steps": 20},
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert run_next(["training"])
    clear_model_caches()
    model = client.get("/v1/models/people").json()
    assert (model["conditional"], model["target_column"], model["labels"]) == (False, None, None)
    rows = sample_rows(client, count=30, seed=1)
    assert list(rows[0]) == ["x", "y"]
    assert request_samples(client, labels={"a": 1}).status_code == 422
    assert request_samples(client, count=3, balance_labels=True).status_code == 422


def test_a_table_is_conditional_where_it_has_a_target_column(client: TestClient) -> None:
    with_target = create_dataset(make_people_csv(), "people.csv", target="income")
    without_target = create_dataset(make_people_csv(), "people.csv")
    body = {"kind": "training", "validate_only": True}
    for dataset, change, target in (
        (with_target, {}, "income"),
        (with_target, {"conditional": True}, "income"),
        (with_target, {"target_column": "city"}, "city"),
        (with_target, {"conditional": False}, None),
        (without_target, {}, None),
        (without_target, {"conditional": False}, None),
        (without_target, {"target_column": "city", "conditional": True}, "city"),
    ):
        response = client.post("/v1/jobs", json={**body, "dataset": dataset, **change}).json()
        resolved = response["resolved"]
        assert resolved["conditional"] is (target is not None)
        assert resolved.get("target_column") == target
    rejected = client.post(
        "/v1/jobs", json={**body, "dataset": without_target, "conditional": True}
    )
    error = rejected.json()["errors"][0]
    assert (rejected.status_code, error["pointer"], error["code"]) == (
        *(422, "/conditional", "no_labels"),
    )


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"target_column": "incme"}, "/target_column"),
        ({"target_column": "id"}, "/target_column"),
        ({"target_column": "auto"}, "/target_column"),
        ({"target_column": "age", "conditional": False}, "/target_column"),
        ({"hyperparameters": {"widht": 8}}, "/hyperparameters/widht"),
        ({"hyperparameters": {"coarse_channels": 8}}, "/hyperparameters/coarse_channels"),
        ({"hyperparameters": {"embedding_dim": 0}}, "/hyperparameters/embedding_dim"),
        (
            {"hyperparameters": {"constraints": [{"kind": "unique", "columns": ["agee"]}]}},
            "/hyperparameters/constraints/0",
        ),
        (
            {
                "hyperparameters": {
                    "constraints": [{"kind": "inequality", "columns": ["age", "city"]}]
                }
            },
            "/hyperparameters/constraints/0",
        ),
    ],
)
def test_a_job_that_does_not_match_the_table_is_rejected_by_field(
    client: TestClient, change: dict[str, Any], pointer: str
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    response = client.post("/v1/jobs", json={"kind": "training", "dataset": dataset, **change})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


def test_a_row_can_be_repeated_from_its_provenance(service: TestClient) -> None:
    body = {"labels": {">50K": 3, "<=50K": 20}, "seed": 4, "include": ["provenance"]}
    response = request_samples(service, "json", **body).json()
    assert [entry["index"] for entry in response["provenance"]] == [0, 1, 2, *range(20)]
    entry = response["provenance"][7]
    condition = {"where": entry["where"], "count": 1}
    request = {"conditions": [condition], "seed": entry["seed"], "offset": entry["index"]}
    assert request_samples(service, "json", **request).json()["rows"] == [response["rows"][7]]
    assert request_samples(service, "csv", **body).status_code == 422
    scored = request_samples(service, "json", count=9, include=["scores"])
    if scored.status_code == 200:  # only a critic that learned is kept
        assert all(0 < score["real"] < 1 for score in scored.json()["scores"])
    else:
        assert scored.json()["code"] == "scores_unavailable"
    assert request_samples(service, count=1, image={"truncation": 0.5}).status_code == 422


@pytest.mark.slow
def test_a_tabular_model_can_be_exported_and_imported(service: TestClient) -> None:
    expected = request_samples(service, count=50, seed=3).content
    data = service.get("/v1/models/people/export").content
    headers = {"content-type": "application/zip"}
    response = service.post("/v1/models/import?name=folk", content=data, headers=headers)
    assert response.status_code == 201, response.text
    reimported = service.post("/v1/models/folk/samples?format=csv", json={"count": 50, "seed": 3})
    assert reimported.content == expected
    assert service.get("/v1/models/folk/sampling-options").json()["columns"]
    card = service.get("/v1/models/people/card").json()
    assert card["training"]["code"]["semblance"]
    assert [column["name"] for column in card["data"]["columns"]][:2] == ["id", "age"]
    networks = service.get("/v1/models/people/architecture").json()["networks"]
    assert {network["name"] for network in networks} >= {"generator"}
