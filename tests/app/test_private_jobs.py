"""Jobs with differential privacy over HTTP: what is refused, and what is said of a model."""

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


def body(dataset: str, **more: Any) -> dict[str, Any]:
    small = {"embedding_dim": 8, "hidden_dim": 8, "batch_size": 16}
    return {
        "kind": "training",
        "dataset": dataset,
        "name": "people",
        "hyperparameters": small,
        "budget": {"steps": 3},
        "differential_privacy": PRIVACY,
        "seed": 1,
        **more,
    }


def without(name: str) -> dict[str, Any]:
    columns = {column: known for column, known in COLUMNS.items() if column != name}
    return {"differential_privacy": PRIVACY | {"column_domains": columns}}


@pytest.mark.parametrize(
    ("more", "pointer", "said"),
    [
        (without("city"), "/differential_privacy/column_domains/city", "declare"),
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
def test_what_epsilon_does_not_cover_is_refused_by_name(
    client: TestClient, dataset: str, more: dict[str, Any], pointer: str, said: str
) -> None:
    answer = client.post("/v1/jobs", json=body(dataset, **more))
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["errors"][0]["pointer"] == pointer
    assert said in problem["detail"]
    assert client.get("/v1/jobs").json()["data"] == []


def test_columns_that_cannot_be_declared_have_to_be_dropped(client: TestClient) -> None:
    made = create_dataset(make_people_csv(ROW_COUNT), "people.csv", target="income")
    problem = client.post("/v1/jobs", json=body(made)).json()
    assert problem["errors"][0]["pointer"] == "/differential_privacy/column_domains/id"
    assert "exclude 'id'" in problem["detail"]


def test_no_evaluation_follows_that_nobody_asked_for(
    client: TestClient, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    monkeypatch.setattr(get_settings(), "auto_evaluate", True)
    for more, is_evaluated in (({}, False), ({"differential_privacy": None}, True)):
        answer = client.post("/v1/jobs", json=body(dataset, validate_only=True, **more))
        assert answer.status_code == 200, answer.text
        assert answer.json()["resolved"]["evaluate"] is is_evaluated


def test_images_are_learned_without(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={**body(create_digits_dataset()), "hyperparameters": {}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
        422,
        "/differential_privacy",
    )


@pytest.fixture
def job(client: TestClient, dataset: str) -> dict[str, Any]:
    pytest.importorskip("opacus")
    posted = client.post("/v1/jobs", json=body(dataset))
    assert posted.status_code == 202, posted.text
    made: dict[str, Any] = posted.json()
    return made


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_private_model_says_what_was_declared_and_nothing_of_its_rows(
    client: TestClient, job: dict[str, Any]
) -> None:
    run_next(["training"])
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert done["state"] == "succeeded", done["error"]
    assert client.get(f"/v1/jobs/{job['id']}/previews").json() == []
    metrics = client.get(f"/v1/jobs/{job['id']}/metrics").json()
    assert list(metrics) == ["epsilon"]
    with read() as session:
        manifest = model_registry.get(session, TENANT, "people").manifest
    assert [label["name"] for label in manifest["labels"]] == [">50K", "<=50K", "none"]
    assert {label["count"] for label in manifest["labels"]} == {None}
    assert "sha256" not in manifest["dataset"]
    assert (manifest["detected_constraints"], manifest["bins"]) == ([], [])
    known = {column["name"]: column["domain"] for column in manifest["columns"]}
    assert known["age"] == {"min": 18, "max": 90}
    asked = client.get("/v1/models/people/sampling-options").json()
    assert asked["labels"][0] == {"name": ">50K", "fraction": None}
    made = client.post(
        "/v1/models/people/samples",
        json={"labels": {"none": 20}, "seed": 1},
        headers={"Accept": "application/json"},
    ).json()["rows"]
    assert {row["income"] for row in made} == {"none"}
    assert {type(row["member"]) for row in made} == {bool}
    limits = client.get("/v1/models/people/card").json()["limitations"]
    assert any("epsilon 5" in limit for limit in limits)
    refused = client.post("/v1/jobs", json={"kind": "evaluation", "model": "people"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_covered_by_dp")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_worker_gives_rows_to_nothing_but_the_loop_that_adds_noise(
    client: TestClient, job: dict[str, Any]
) -> None:
    """Add a name only with what its epsilon is."""
    found = find_functions_reading_rows(lambda: run_next(["training"]))
    assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "succeeded"
    opens = {
        "core.datasets.tabular.typed_parquet.TypedParquet._cast",
        "core.datasets.tabular.typed_parquet.TypedParquet.batches",
        "core.datasets.tabular.typed_parquet.typed_batches",
        "core.datasets.tabular.spool.ParquetSpool.batches",
        "core.datasets.tabular.type_casting.cast",
        "worker.training_data.open_table",
        "models.tabular.data.LabeledRows.split",
    }
    hands_on = {"worker.training.run_tabular_training", "worker.training.run_private_training"}
    assert "models.tabular.dp_training.train_step" in found
    others = {
        name
        for name in found - opens - hands_on
        if not name.startswith(
            ("models.tabular.dp_training.", "models.tabular.categorical_columns.")
        )
        and not name.startswith(("models.tabular.numeric_columns.", "models.tabular.data."))
        and not name.endswith((".<lambda>", "<genexpr>", "<listcomp>"))
    }
    assert others == set()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_job_whose_checkpoints_are_all_damaged_draws_no_other_noise(
    client: TestClient, dataset: str, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    """What the first ones told would not be counted."""
    pytest.importorskip("opacus")
    wanted = body(dataset, budget={"steps": 6}, checkpoint={"interval_steps": 2})
    broken = client.post("/v1/jobs", json=wanted).json()["id"]
    interrupt_training(client, broken, monkeypatch, at_step=5)
    for row in list_checkpoints(broken):
        corrupt_object(configured, row.files["state"]["key"])
    run_next(["training"], broken)
    job = client.get(f"/v1/jobs/{broken}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "dp_guarantee_lost")
