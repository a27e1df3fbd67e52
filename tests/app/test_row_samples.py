"""Rows over HTTP, of a model that was trained once for all tests: as typed as they came, exactly as
many as asked for, the same however they are asked for.
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

from tests.factories import clear_model_caches, create_dataset, create_trained_model
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv
from worker.job_runner import run_next

URL = "/v1/models/people/samples"


@pytest.fixture
def service(client: TestClient) -> TestClient:
    """A service with the model `people`, whose label is the income."""
    create_trained_model(client, "people")
    return client


def draw(client: TestClient, format: str = "csv", **body: Any) -> Any:
    return client.post(f"{URL}?format={format}", json=body)


def rows(client: TestClient, **body: Any) -> list[dict[str, str]]:
    answer = draw(client, **body)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_rows_come_back_as_they_went_in(service: TestClient) -> None:
    made = rows(service, count=200, seed=1)
    assert list(made[0]) == ["id", "age", "height", "city", "member", "since", "income"]
    assert len({row["id"] for row in made}) == 200
    for row in made:
        assert row["age"] == str(int(row["age"]))
        assert row["height"] == "" or len(row["height"].split(".")[1]) == 2
        assert row["city"] in {"Zürich", "Rome", "Paris, north"}
        assert row["member"] in {"true", "false"}
        assert len(row["since"]) == 10
        assert row["income"] in {">50K", "<=50K"}
    assert 0 < sum(row["height"] == "" for row in made) < 60


def test_each_label_comes_exactly_as_often_as_asked_for(service: TestClient) -> None:
    answer = draw(service, labels={">50K": 300, "<=50K": 7}, seed=1)
    made = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["income"] for row in made] == [">50K"] * 300 + ["<=50K"] * 7
    assert answer.headers["semblance-acceptance-rate"] == "1.0000"  # directly
    assert Counter(
        row["income"] for row in rows(service, count=50, balance_labels=True, seed=1)
    ) == {
        ">50K": 25,
        "<=50K": 25,
    }


def test_rows_follow_what_was_learned_without_being_asked(service: TestClient) -> None:
    made = rows(service, count=1000, seed=1)
    assert 120 < sum(row["income"] == ">50K" for row in made) < 280


def test_the_same_rows_come_in_pages_and_alone(service: TestClient) -> None:
    whole = rows(service, labels={">50K": 60}, seed=7)
    pages = [rows(service, labels={">50K": 20}, seed=7, offset=20 * i) for i in range(3)]
    assert [row for page in pages for row in page] == whole
    assert rows(service, labels={">50K": 1}, seed=7, offset=42) == [whole[42]]
    balanced = rows(service, count=40, balance_labels=True, seed=7)
    assert rows(service, count=20, balance_labels=True, seed=7, offset=20) == balanced[20:]


def test_all_formats_hold_the_same_rows(service: TestClient) -> None:
    asked = {"labels": {">50K": 5, "<=50K": 6}, "seed": 3}
    table = pa.ipc.open_stream(draw(service, "arrow", **asked).content).read_all()
    assert table.schema.field("age").type == pa.int64()
    assert table.schema.field("member").type == pa.bool_()
    assert pa.types.is_timestamp(table.schema.field("since").type)
    assert pa.parquet.read_table(io.BytesIO(draw(service, "parquet", **asked).content)) == table
    answer = draw(service, "json", **asked).json()
    assert answer["count"] == len(answer["rows"]) == 11
    lines = draw(service, "ndjson", **asked).text.splitlines()
    assert [json.loads(line) for line in lines] == answer["rows"]
    assert [row["age"] for row in answer["rows"]] == table.column("age").to_pylist()
    assert [int(row["age"]) for row in rows(service, **asked)] == table.column("age").to_pylist()


def test_conditions_are_met_by_every_row(service: TestClient) -> None:
    where = {"income": ">50K", "age": {"gte": 65}, "city": ["Rome", "Paris, north"]}
    answer = draw(service, conditions=[{"where": where, "count": 40}], seed=1)
    assert answer.status_code == 200, answer.text
    made = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(made) == 40
    assert all(row["income"] == ">50K" and int(row["age"]) >= 65 for row in made)
    assert "Zürich" not in {row["city"] for row in made}
    assert 0 < float(answer.headers["semblance-acceptance-rate"]) < 1
    again = draw(service, conditions=[{"where": where, "count": 10}], seed=1, offset=30)
    assert list(csv.DictReader(io.StringIO(again.text))) == made[30:]


def test_shares_are_exact_and_what_they_leave_over_is_free(service: TestClient) -> None:
    conditions = [
        {"where": {"city": "Rome"}, "fraction": 0.5},
        {"where": {"member": True}, "fraction": 0.25},
    ]
    made = rows(service, count=41, conditions=conditions, seed=1)
    assert len(made) == 41
    assert {row["city"] for row in made[:21]} == {"Rome"}
    assert {row["member"] for row in made[21:31]} == {"true"}


def test_missing_values_can_be_asked_for(service: TestClient) -> None:
    made = rows(service, conditions=[{"where": {"height": None}, "count": 5}], seed=1)
    assert [row["height"] for row in made] == [""] * 5


def test_a_thousand_of_a_rare_value_are_a_thousand(service: TestClient) -> None:
    answer = draw(service, conditions=[{"where": {"city": "Zürich"}, "count": 100}], seed=1)
    assert answer.status_code == 200, answer.text
    assert answer.text.count("Zürich") == 100


def test_rows_of_which_some_values_are_known_come_back_completed(service: TestClient) -> None:
    known = [{"age": 77, "city": "Rome"}, {"income": ">50K"}, {"height": None, "id": "X"}] * 15
    answer = draw(service, "json", partial_rows=known, seed=1).json()
    assert answer["count"] == len(answer["rows"]) == 45
    for given, made in zip(known, answer["rows"], strict=True):
        assert made.items() >= given.items()
        assert made["income"] in (">50K", "<=50K")
    rest = draw(service, "json", partial_rows=known[30:], seed=1, offset=30).json()["rows"]
    assert rest == answer["rows"][30:]
    lines = rows(service, partial_rows=[{"height": 1.8, "since": "2014-03-11"}])
    assert (lines[0]["height"], lines[0]["since"]) == ("1.80", "2014-03-11")


NO_SENSE: list[tuple[dict[str, Any], str]] = [
    ({"partial_rows": [{}, {"agee": 3}]}, "/partial_rows/1/agee"),
    ({"partial_rows": [{}, {"age": "old"}]}, "/partial_rows/1/age"),
    ({"partial_rows": [{"city": "Oslo"}]}, "/partial_rows/0/city"),
    ({"partial_rows": [{"height": 1.8123}]}, "/partial_rows/0/height"),
    ({"partial_rows": []}, "/partial_rows"),
    ({"partial_rows": [{}], "count": 3}, "/count"),
    ({"partial_rows": [{}], "balance_labels": True}, "/balance_labels"),
    ({"labels": {"50K": 3}}, ">50K"),
    ({"conditions": [{"where": {"agee": 3}, "count": 1}]}, "/conditions/0/where/agee"),
    ({"conditions": [{"where": {"age": "old"}, "count": 1}]}, "/conditions/0/where/age"),
    ({"conditions": [{"where": {"city": {"gte": "A"}}, "count": 1}]}, "no order"),
    ({"conditions": [{"where": {"age": {"above": 3}}, "count": 1}]}, "gte"),
    ({"conditions": [{"where": {"city": "Oslo"}, "count": 1}]}, "no value in the training data"),
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
]


def test_a_request_that_makes_no_sense_is_refused_by_name(service: TestClient) -> None:
    for body, words in NO_SENSE:
        answer = draw(service, **body)
        assert answer.status_code == 422, body
        assert words in answer.text, body


def test_what_can_be_asked_for_is_told(service: TestClient) -> None:
    told = service.get("/v1/models/people/sampling-options").json()
    assert [label["name"] for label in told["labels"]] == ["<=50K", ">50K"]
    columns = {column["name"]: column for column in told["columns"]}
    assert "id" not in columns
    assert columns["city"]["values"][-1] == "Zürich"
    assert columns["age"]["min"] >= 18
    assert columns["since"]["max"] < "2025"
    assert told["constraints"] == told["detected_constraints"] == []
    model = service.get("/v1/models/people").json()
    assert (model["modality"], model["target_column"], model["image"]) == (
        "tabular",
        "income",
        None,
    )
    assert model["conditional"] is model["training"]["conditional"] is True


def test_balance_of_a_number_goes_by_tenths_of_its_range(client: TestClient) -> None:
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
    made = [int(row["age"]) for row in rows(client, count=60, balance_labels=True, seed=1)]
    ages = sorted(int(line.split(",")[1]) for line in make_people_csv().decode().splitlines()[1:])
    edges = [ages[40 * i] for i in range(1, 10)]
    assert Counter(np.searchsorted(edges, made, side="right").tolist()) == dict.fromkeys(
        range(10), 6
    )
    job = {"kind": "generation", "model": "people", "count": 20}
    refused = client.post("/v1/jobs", json=job)
    assert (refused.status_code, refused.json()["code"]) == (422, "unique_constraint_not_shardable")
    older = draw(client, conditions=[{"where": {"age": {"gte": 60, "lt": 62}}, "count": 9}])
    assert {row["age"] for row in csv.DictReader(io.StringIO(older.text))} <= {"60", "61"}


def test_a_table_without_a_label_is_asked_by_count(client: TestClient) -> None:
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
    made = rows(client, count=30, seed=1)
    assert list(made[0]) == ["x", "y"]
    assert draw(client, labels={"a": 1}).status_code == 422
    assert draw(client, count=3, balance_labels=True).status_code == 422


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
        answer = client.post("/v1/jobs", json={**body, "dataset": dataset, **change}).json()
        resolved = answer["resolved"]
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
def test_a_job_that_does_not_fit_the_table_is_refused_by_name(
    client: TestClient, change: dict[str, Any], pointer: str
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    answer = client.post("/v1/jobs", json={"kind": "training", "dataset": dataset, **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.slow
def test_rows_tell_how_to_draw_them_again(service: TestClient) -> None:
    body = {"labels": {">50K": 3, "<=50K": 20}, "seed": 4, "include": ["provenance"]}
    answer = draw(service, "json", **body).json()
    assert [recipe["index"] for recipe in answer["provenance"]] == [0, 1, 2, *range(20)]
    recipe = answer["provenance"][7]
    condition = {"where": recipe["where"], "count": 1}
    again = {"conditions": [condition], "seed": recipe["seed"], "offset": recipe["index"]}
    assert draw(service, "json", **again).json()["rows"] == [answer["rows"][7]]
    assert draw(service, "csv", **body).status_code == 422
    scored = draw(service, "json", count=9, include=["scores"])
    if scored.status_code == 200:  # the critic is kept where it has learned something
        assert all(0 < score["real"] < 1 for score in scored.json()["scores"])
    else:
        assert scored.json()["code"] == "scores_unavailable"
    assert draw(service, count=1, image={"truncation": 0.5}).status_code == 422


@pytest.mark.slow
def test_a_model_of_rows_goes_out_and_comes_back(service: TestClient) -> None:
    expected = draw(service, count=50, seed=3).content
    data = service.get("/v1/models/people/export").content
    headers = {"content-type": "application/zip"}
    answer = service.post("/v1/models/import?name=folk", content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    again = service.post("/v1/models/folk/samples?format=csv", json={"count": 50, "seed": 3})
    assert again.content == expected
    assert service.get("/v1/models/folk/sampling-options").json()["columns"]
    card = service.get("/v1/models/people/card").json()
    assert card["training"]["code"]["semblance"]
    assert [column["name"] for column in card["data"]["columns"]][:2] == ["id", "age"]
    parts = service.get("/v1/models/people/architecture").json()["networks"]
    assert {part["name"] for part in parts} >= {"generator"}
