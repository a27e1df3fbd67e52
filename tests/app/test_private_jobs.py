"""Jobs with differential privacy over HTTP: rejected requests, and data that a model reveals."""

from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from core import model_registry
from core.database import read
from core.settings import Settings, get_settings
from tests.conftest import TENANT
from tests.factories import create_dataset, create_digits_dataset
from tests.job_runs import corrupt_object, interrupt_training, list_checkpoints
from tests.models.tabular.row_access import ROW_COUNT, find_functions_reading_rows
from tests.uploads import make_people_csv
from worker.job_runner import run_next

COLUMNS: dict[str, Any] = {
    "age": {"min": 18, "max": 90},
    "height": {"min": 1.2, "max": 2.2, "decimals": 2, "missing": True},
    "city": {"values": ["Rome", "Paris, north", "Zürich"]},
    "member": {"values": [True, False]},
    "income": {"values": [">50K", "<=50K", "none"]},
}
PRIVACY = {"epsilon": 5, "delta": 1e-5, "column_domains": COLUMNS}


@pytest.fixture
def dataset(client: TestClient) -> str:
    torch.set_num_threads(1)
    return create_dataset(
        make_people_csv(ROW_COUNT), "people.csv", target="income", exclude_columns=["id", "since"]
    )


def training_body(dataset: str, **fields: Any) -> dict[str, Any]:
    hyperparameters = {"embedding_dim": 8, "hidden_dim": 8, "batch_size": 16}
    return {
        "kind": "training",
        "dataset": dataset,
        "name": "people",
        "hyperparameters": hyperparameters,
        "budget": {"steps": 3},
        "differential_privacy": PRIVACY,
        "seed": 1,
        **fields,
    }


def without_domain(name: str) -> dict[str, Any]:
    columns = {column: domain for column, domain in COLUMNS.items() if column != name}
    return {"differential_privacy": PRIVACY | {"column_domains": columns}}


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        (without_domain("city"), "/differential_privacy/column_domains/city", "declare"),
        (
            {"differential_privacy": {"epsilon": 1, "delta": 1e-5}},
            "/differential_privacy/column_domains/age",
            "'city'",
        ),
        (
            {"differential_privacy": PRIVACY | {"delta": 0.01}},
            "/differential_privacy/delta",
            "1/211",
        ),
        ({"differential_privacy": PRIVACY | {"epsilon": 0}}, "/differential_privacy/epsilon", ""),
        ({"evaluate": True}, "/evaluate", "epsilon does not cover"),
        ({"quality_gate": {"allowed_verdicts": ["good"]}}, "/quality_gate", "evaluation"),
        ({"budget": {"wall_minutes": 1}}, "/budget", "steps"),
        (
            {"hyperparameters": {"store_row_hashes": True}},
            "/hyperparameters/store_row_hashes",
            "epsilon does not cover",
        ),
        (
            {"hyperparameters": {"min_value_count": 5}},
            "/hyperparameters/min_value_count",
            "epsilon does not cover",
        ),
    ],
)
def test_an_option_that_epsilon_does_not_cover_is_rejected_by_field(
    client: TestClient, dataset: str, fields: dict[str, Any], pointer: str, message: str
) -> None:
    response = client.post("/v1/jobs", json=training_body(dataset, **fields))
    problem = response.json()
    assert response.status_code == 422
    assert problem["errors"][0]["pointer"] == pointer
    assert message in problem["detail"]
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_column_without_a_domain_must_be_excluded(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(ROW_COUNT), "people.csv", target="income")
    problem = client.post("/v1/jobs", json=training_body(dataset)).json()
    assert problem["errors"][0]["pointer"] == "/differential_privacy/column_domains/id"
    assert "exclude 'id'" in problem["detail"]


def test_a_private_model_is_not_evaluated_automatically(
    client: TestClient, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    monkeypatch.setattr(get_settings(), "auto_evaluate", True)
    for fields, is_evaluated in (({}, False), ({"differential_privacy": None}, True)):
        response = client.post(
            "/v1/jobs", json=training_body(dataset, validate_only=True, **fields)
        )
        assert response.status_code == 200, response.text
        assert response.json()["resolved"]["evaluate"] is is_evaluated


def test_differential_privacy_is_rejected_for_images(client: TestClient) -> None:
    response = client.post(
        "/v1/jobs", json={**training_body(create_digits_dataset()), "hyperparameters": {}}
    )
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (
        422,
        "/differential_privacy",
    )


@pytest.fixture
def job(client: TestClient, dataset: str) -> dict[str, Any]:
    pytest.importorskip("opacus")
    posted = client.post("/v1/jobs", json=training_body(dataset))
    assert posted.status_code == 202, posted.text
    created: dict[str, Any] = posted.json()
    return created


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_private_model_reveals_declared_domains_and_nothing_of_its_rows(
    client: TestClient, job: dict[str, Any]
) -> None:
    run_next(["training"])
    finished = client.get(f"/v1/jobs/{job['id']}").json()
    assert finished["state"] == "succeeded", finished["error"]
    assert client.get(f"/v1/jobs/{job['id']}/previews").json() == []
    metrics = client.get(f"/v1/jobs/{job['id']}/metrics").json()
    assert list(metrics) == ["epsilon"]
    with read() as session:
        manifest = model_registry.get(session, TENANT, "people").manifest
    assert [label["name"] for label in manifest["labels"]] == [">50K", "<=50K", "none"]
    assert {label["count"] for label in manifest["labels"]} == {None}
    assert "sha256" not in manifest["dataset"]
    assert (manifest["relations"], manifest["bins"]) == ([], [])
    domains = {column["name"]: column["domain"] for column in manifest["columns"]}
    assert domains["age"] == {"min": 18, "max": 90}
    options = client.get("/v1/models/people/sampling-options").json()
    assert options["labels"][0] == {"name": ">50K", "fraction": None}
    rows = client.post(
        "/v1/models/people/samples",
        json={"labels": {"none": 20}, "seed": 1},
        headers={"Accept": "application/json"},
    ).json()["rows"]
    assert {row["income"] for row in rows} == {"none"}
    assert {type(row["member"]) for row in rows} == {bool}
    limitations = client.get("/v1/models/people/card").json()["limitations"]
    assert any("epsilon 5" in limitation for limitation in limitations)
    rejected = client.post("/v1/jobs", json={"kind": "evaluation", "model": "people"})
    assert (rejected.status_code, rejected.json()["code"]) == (409, "not_covered_by_dp")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_only_the_training_loop_that_adds_noise_reads_rows(
    client: TestClient, job: dict[str, Any]
) -> None:
    """Extend these sets only by functions whose use of rows epsilon accounts for."""
    functions = find_functions_reading_rows(lambda: run_next(["training"]))
    assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "succeeded"
    readers = {
        "modalities.tabular.typed_parquet.TypedParquet._cast",
        "modalities.tabular.typed_parquet.TypedParquet.batches",
        "modalities.tabular.typed_parquet.typed_batches",
        "modalities.tabular.upload.files.spool.ParquetSpool.batches",
        "modalities.tabular.type_casting.cast",
        "modalities.tabular.train.open_table",
        "models.tabular.data.LabeledRows.split",
    }
    callers = {"modalities.tabular.train.train", "modalities.tabular.train._train_privately"}
    assert "models.tabular.differential_privacy.training.PoissonBatches.batch_at" in functions
    unexpected = {
        name
        for name in functions - readers - callers
        if not name.startswith(
            (
                "models.tabular.differential_privacy.training.",
                "models.tabular.differential_privacy.tokenizer.",
            )
        )
        and not name.startswith("models.tabular.categorical_columns.")
        and not name.startswith(
            ("models.tabular.numbers.columns.", "models.tabular.numbers.scale.")
        )
        and not name.startswith("models.tabular.data.")
        and not name.endswith((".<lambda>", "<genexpr>", "<listcomp>"))
    }
    assert unexpected == set()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_private_job_fails_when_all_its_checkpoints_are_damaged(
    client: TestClient, dataset: str, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    """A restart would spend epsilon that is not accounted for."""
    pytest.importorskip("opacus")
    request = training_body(dataset, budget={"steps": 6}, checkpoint={"interval_steps": 2})
    job_id = client.post("/v1/jobs", json=request).json()["id"]
    interrupt_training(client, job_id, monkeypatch, at_step=5)
    for row in list_checkpoints(job_id):
        corrupt_object(configured, row.files["state"]["key"])
    run_next(["training"])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "dp_guarantee_lost")
