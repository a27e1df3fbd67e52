"""Jobs over HTTP, without a worker."""

import re
import threading
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, event
from starlette.testclient import TestClient

from core import jobs
from core.database import get_engine, write
from core.errors import JobError
from core.jobs import Claim, Heartbeat, NewCheckpoint, NewEvent
from core.storage import StoredObject, get_storage
from modalities.image.training_options import ImageTrainingSpec
from tests.conftest import TENANT, AddJob
from tests.factories import create_dataset, create_digits_dataset
from tests.uploads import make_npz


def claim_job(job_id: str) -> Claim:
    with write() as session:
        claimed = jobs.claim(session, job_id, "worker")
    assert claimed is not None
    return claimed[0]


def send_heartbeat(claim: Claim, step: int, *events: NewEvent) -> None:
    with write() as session:
        jobs.heartbeat(session, claim, Heartbeat("training", step, events=events))


def test_a_job_is_accepted_with_every_value_resolved(client: TestClient) -> None:
    body = {
        "kind": "training",
        "dataset": create_digits_dataset(),
        "hyperparameters": {"batch_size": 8},
        "seed": 3,
    }
    response = client.post("/v1/jobs", json=body)
    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["terminal"], job["name"]) == ("queued", False, "digits")
    resolved = job["resolved"]
    assert (resolved["seed"], resolved["hyperparameters"]["batch_size"]) == (3, 8)
    assert "auto" not in resolved["hyperparameters"].values()
    assert job["queue"] == {
        "position": 0,
        "code": "waiting_for_worker",
        "reason": "Waiting for a free worker.",
    }
    assert client.get(job["links"]["self"]).json() == job


def test_a_queued_job_has_a_code_for_why_it_waits(client: TestClient, add_job: AddJob) -> None:
    ids = [add_job().id for _ in range(3)]

    def queue(job_id: str) -> Any:
        return client.get(f"/v1/jobs/{job_id}").json()["queue"]

    assert [queue(job_id)["code"] for job_id in ids] == [
        *("waiting_for_worker", "jobs_ahead", "jobs_ahead"),
    ]
    assert [queue(job_id)["reason"] for job_id in ids[1:]] == [
        *("1 job is ahead.", "2 jobs are ahead."),
    ]
    lost = claim_job(ids[0])
    assert queue(lost.job_id) == {"position": None, "code": None, "reason": None}
    with write() as session:
        jobs.release_as_lost(session, lost)
    assert queue(lost.job_id)["code"] == "worker_lost"
    assert "resumes from the last checkpoint" in queue(lost.job_id)["reason"]


def test_images_are_conditional_where_the_dataset_has_labels(client: TestClient) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
    labeled, unlabeled = create_digits_dataset(), create_dataset(make_npz(x=pixels), "plain.npz")
    body = {"kind": "training", "validate_only": True}
    for dataset, change, expected in (
        (labeled, {}, True),
        (labeled, {"conditional": True}, True),
        (labeled, {"conditional": False}, False),
        (unlabeled, {}, False),
        (unlabeled, {"conditional": False}, False),
    ):
        resolved = client.post("/v1/jobs", json={**body, "dataset": dataset, **change}).json()
        assert resolved["resolved"]["conditional"] is expected
        assert "target_column" not in resolved["resolved"]
    rejected = client.post("/v1/jobs", json={**body, "dataset": unlabeled, "conditional": True})
    error = rejected.json()["errors"][0]
    assert (rejected.status_code, error["pointer"], error["code"]) == (
        *(422, "/conditional", "no_labels"),
    )


@pytest.mark.parametrize("early_stopping", ["auto", False, {"patience": 1}, {"patience": 10}])
def test_early_stopping_is_resolved_as_requested(client: TestClient, early_stopping: Any) -> None:
    body = {
        "kind": "training",
        "dataset": create_digits_dataset(),
        "early_stopping": early_stopping,
        "validate_only": True,
    }
    resolved = client.post("/v1/jobs", json=body).json()["resolved"]
    assert resolved["early_stopping"] == early_stopping
    expected = early_stopping["patience"] if isinstance(early_stopping, dict) else early_stopping
    assert ImageTrainingSpec.model_validate(resolved).patience == (expected or None)


def test_validate_only_returns_a_plan_and_creates_no_job(client: TestClient) -> None:
    body = {
        "kind": "training",
        "dataset": create_digits_dataset(),
        "budget": {"steps": 1},
        "validate_only": True,
    }
    response = client.post("/v1/jobs", json=body)
    plan = response.json()
    assert response.status_code == 200
    assert plan["estimate"]["steps"] == 1
    assert plan["estimate"]["memory_bytes"] > 10_000_000
    warnings = {warning["code"]: warning["message"] for warning in plan["warnings"]}
    assert "every training item" in warnings["budget_below_one_epoch"]
    assert "about 1 step" in warnings["budget_too_small"]
    assert "at least 200 steps," in warnings["budget_too_small"]
    assert "smaller images" not in warnings["budget_too_small"]  # as many steps
    assert client.get("/v1/jobs").json()["data"] == []


def test_warnings_about_the_dataset_name_its_columns(client: TestClient) -> None:
    rows = "".join(f"{'no' if i % 3 else 'yes'},{i % 3},{i % 7}\n" for i in range(100))
    dataset = create_dataset(f"churn,left,n\n{rows}".encode(), "a.csv", target="churn")
    body = {"kind": "training", "dataset": dataset, "validate_only": True}
    warnings = client.post("/v1/jobs", json=body).json()["warnings"]
    (leakage,) = [w["message"] for w in warnings if w["code"] == "target_leakage"]
    assert leakage.endswith("exclude each one that is a copy of it. (left)")


@pytest.mark.parametrize(("cpu_seconds", "is_too_small"), [(1, True), (600, False)])
def test_a_budget_in_seconds_that_is_too_small_gets_a_warning(
    client: TestClient, cpu_seconds: int, is_too_small: bool
) -> None:
    body = {
        "kind": "training",
        "dataset": create_digits_dataset(),
        "budget": {"cpu_seconds": cpu_seconds},
        "validate_only": True,
    }
    plan = client.post("/v1/jobs", json=body).json()
    warnings = {warning["code"]: warning["message"] for warning in plan["warnings"]}
    assert ("budget_too_small" in warnings) == is_too_small
    assert (plan["estimate"]["steps"] < 200) == is_too_small
    if is_too_small:  # The budget that the warning names is enough.
        assert "use smaller images." in warnings["budget_too_small"]
        (seconds,) = re.findall(r"at least (\d+) seconds", warnings["budget_too_small"])
        body |= {"budget": {"cpu_seconds": int(seconds)}}
        larger = client.post("/v1/jobs", json=body).json()
        assert "budget_too_small" not in {warning["code"] for warning in larger["warnings"]}


def test_a_job_shows_the_warnings_of_its_plan(client: TestClient) -> None:
    body = {"kind": "training", "dataset": create_digits_dataset(), "budget": {"steps": 1}}
    plan = client.post("/v1/jobs", json=body | {"validate_only": True}).json()
    job = client.post("/v1/jobs", json=body).json()
    assert job["warnings"] == plan["warnings"] != []
    assert client.get(job["links"]["self"]).json()["warnings"] == plan["warnings"]


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"hyperparameters": {"bacth": 8}}, 422, "/hyperparameters/bacth"),
        ({"hyperparameters": {"batch_size": 0}}, 422, "/hyperparameters/batch_size"),
        ({"hyperparameters": {"generator_lr": "fast"}}, 422, None),
        ({"budget": {"steps": 0}}, 422, "/budget/steps"),
        ({"budget": {"steps": 5, "wall_minutes": 1.0}}, 422, "/budget"),
        ({"budget": {}}, 422, "/budget"),
        ({"preset": "slow"}, 422, "/preset"),
        ({"seed": -1}, 422, "/seed"),
        ({"seed": 10**30}, 400, None),
        ({"name": "a:b"}, 422, "/name"),
        ({"name": "compare"}, 422, "/name"),
        ({"name": " compare "}, 422, "/name"),
        ({"name": "mdl_shoes"}, 422, "/name"),
        ({"name": "job_shoes"}, 422, "/name"),
        ({"evaluate": "yes"}, 422, "/evaluate"),
        ({"differential_privacy": {}}, 422, "/differential_privacy/epsilon"),
        ({"kind": "training_"}, 422, "/kind"),
        ({"holdout_fraction": 0.9}, 422, None),
        ({"priority": "urgent"}, 422, "/priority"),
        ({"early_stopping": 0}, 422, "/early_stopping"),
        ({"early_stopping": "soon"}, 422, None),
        ({"early_stopping": "never"}, 422, None),
        ({"early_stopping": True}, 422, None),
        ({"early_stopping": 3}, 422, "/early_stopping"),
        ({"early_stopping": {}}, 422, None),
        ({"early_stopping": {"patience": 0}}, 422, None),
        ({"early_stopping": {"patience": 11}}, 422, None),
        ({"init_from": "nobody"}, 404, None),
        ({"conditional": "yes"}, 422, "/conditional"),
        ({"target_column": "class"}, 422, "/target_column"),
        ({"target_column": "class", "conditional": False}, 422, "/target_column"),
        ({"hyperparameters": {"architecture": "gan"}}, 422, "/hyperparameters/architecture"),
        (
            {"hyperparameters": {"architecture": "mlp", "residual_blocks": 1}},
            422,
            "/hyperparameters/residual_blocks",
        ),
        (
            {"hyperparameters": {"architecture": "cvae", "loss": "hinge"}},
            422,
            "/hyperparameters/loss",
        ),
        ({"dataset": "ds_nothing"}, 404, None),
    ],
)
def test_an_invalid_job_is_rejected_by_field_and_not_created(
    client: TestClient, change: dict[str, Any], status: int, pointer: str | None
) -> None:
    body = {"kind": "training", "dataset": create_digits_dataset()} | change
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == status
    if pointer is not None:
        assert response.json()["errors"][0]["pointer"] == pointer
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_job_on_a_deleted_dataset_is_rejected(client: TestClient) -> None:
    dataset = create_digits_dataset()
    client.delete(f"/v1/datasets/{dataset}")
    response = client.post("/v1/jobs", json={"kind": "training", "dataset": dataset})
    assert response.status_code == 404
    assert dataset in response.json()["detail"]


def test_a_job_on_a_dataset_that_changes_after_its_plan_is_rejected(client: TestClient) -> None:
    body = {"kind": "training", "dataset": create_digits_dataset()}
    assert client.get("/v1/jobs").status_code == 200  # records the use of the key

    def change(connection: Connection) -> None:
        if connection.get_execution_options().get("semblance_write"):
            connection.exec_driver_sql("UPDATE datasets SET state = 'validating'")

    event.listen(get_engine(), "begin", change)
    response = client.post("/v1/jobs", json=body)
    event.remove(get_engine(), "begin", change)
    assert (response.status_code, response.json()["code"]) == (409, "dataset_not_ready")
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_job_is_created_in_one_transaction_of_few_statements(client: TestClient) -> None:
    body = {"kind": "training", "dataset": create_digits_dataset(), "budget": {"steps": 1_000}}
    assert client.post("/v1/jobs", json=body).status_code == 202  # records the use of the key
    transactions: list[bool] = []
    statements: list[str] = []

    def begin(connection: Connection) -> None:
        transactions.append(bool(connection.get_execution_options().get("semblance_write")))

    def execute(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        statements.append(statement.split()[0])

    event.listen(get_engine(), "begin", begin)
    event.listen(get_engine(), "before_cursor_execute", execute)
    assert client.post("/v1/jobs", json=body).status_code == 202
    event.remove(get_engine(), "begin", begin)
    event.remove(get_engine(), "before_cursor_execute", execute)
    assert transactions == [False, False, True]  # the key, the plan, the job
    assert [name for name in statements if name != "BEGIN"] == [
        "SELECT",  # the key
        "SELECT",  # the dataset
        "SELECT",  # whether it is still ready
        "SELECT",  # quotas
        "INSERT",  # the job, its audit entry and its event
        "INSERT",
        "INSERT",
        "SELECT",  # jobs of this tenant ahead, of others, and active workers
        "SELECT",
        "SELECT",
    ]


def test_a_queued_job_is_cancelled_at_once_and_never_starts(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    assert client.post(f"/v1/jobs/{job.id}/cancel").json()["state"] == "cancelled"
    with write() as session:
        assert jobs.claim(session, job.id, "worker") is None
    rejected = client.post(f"/v1/jobs/{job.id}/cancel")
    assert (rejected.status_code, rejected.json()["allowed"]) == (409, ["retry"])


def test_a_paused_job_cannot_be_claimed_until_it_is_resumed(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    assert client.post(f"/v1/jobs/{job.id}/pause").json()["state"] == "paused"
    with write() as session:
        assert jobs.claim(session, job.id, "worker") is None
    assert client.post(f"/v1/jobs/{job.id}/resume").json()["state"] == "queued"
    claim_job(job.id)


def test_a_running_job_is_pausing_until_its_worker_confirms(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    claim = claim_job(job.id)
    assert client.post(f"/v1/jobs/{job.id}/pause").json()["state"] == "pausing"
    assert client.get("/v1/jobs?state=pausing").json()["data"][0]["id"] == job.id
    with write() as session:
        assert jobs.heartbeat(session, claim, Heartbeat("training")).pause
        jobs.confirm_paused(session, claim)
    paused = client.get(f"/v1/jobs/{job.id}").json()
    assert (paused["state"], paused["attempt"]) == ("paused", 1)
    client.post(f"/v1/jobs/{job.id}/resume")
    claim_job(job.id)


def test_a_retry_creates_a_new_job_with_the_same_settings(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    assert client.post(f"/v1/jobs/{job.id}/retry").status_code == 409
    claim = claim_job(job.id)
    with write() as session:
        jobs.fail(session, claim, JobError("non_finite_loss", "left the finite numbers"))
    failed = client.get(f"/v1/jobs/{job.id}").json()
    assert failed["error"]["code"] == "non_finite_loss"
    response = client.post(f"/v1/jobs/{job.id}/retry")
    retried = response.json()
    assert response.status_code == 202
    assert (retried["retry_of"], retried["state"], retried["dataset"]) == (
        job.id,
        "queued",
        failed["dataset"],
    )


def test_a_high_priority_job_is_first_until_another_has_waited_long_enough(
    client: TestClient, add_job: AddJob
) -> None:
    low, normal, high = add_job("low"), add_job(), add_job("high")

    def positions() -> list[int]:
        ids = (low.id, normal.id, high.id)
        return [client.get(f"/v1/jobs/{i}").json()["queue"]["position"] for i in ids]

    assert positions() == [2, 1, 0]
    with write() as session:  # the job of low priority has waited for a year
        row = session.get_one(type(low), low.id)
        row.priority_at = row.priority_at.replace(year=row.priority_at.year - 1)
    assert positions() == [0, 2, 1]


def test_a_get_with_wait_returns_when_the_state_changes(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    timer = threading.Timer(0.3, lambda: client.post(f"/v1/jobs/{job.id}/cancel"))
    timer.start()
    assert client.get(f"/v1/jobs/{job.id}?wait=30").json()["state"] == "cancelled"
    timer.join()
    assert client.get(f"/v1/jobs/{job.id}?wait=30").json()["terminal"]


def test_events_are_paged_from_the_oldest(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job.id)
    send_heartbeat(claim, 1, *(NewEvent("log", {"message": str(i)}, i) for i in range(5)))
    first = client.get(f"/v1/jobs/{job.id}/events?limit=4").json()
    rest = client.get(f"/v1/jobs/{job.id}/events?after={first['next']}").json()
    kinds = [event["type"] for event in first["data"] + rest["data"]]
    assert kinds == ["state", "state", *["log"] * 5]
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_an_event_stream_replays_continues_and_ends(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job.id)
    send_heartbeat(claim, 1, NewEvent("log", {"message": "one"}, 1))

    def work() -> None:
        send_heartbeat(claim, 2, NewEvent("log", {"message": "two"}, 2))
        with write() as session:
            jobs.finish(session, claim, result={})

    timer = threading.Timer(0.8, work)
    timer.start()
    stream = {"Accept": "text/event-stream"}
    text = client.get(f"/v1/jobs/{job.id}/events", headers=stream).text
    timer.join()
    messages = [part for part in text.split("\n\n") if "id: " in part]
    kinds = [message.split("event: ")[1].split("\n")[0] for message in messages]
    assert kinds == ["state", "state", "log", "log", "state", "end"]
    ids = [int(message.split("id: ")[1].split("\n")[0]) for message in messages]
    assert ids == sorted(ids)

    resumed = client.get(
        f"/v1/jobs/{job.id}/events", headers=stream | {"Last-Event-ID": str(ids[2])}
    ).text
    assert [part for part in resumed.split("\n\n") if "id: " in part] == messages[3:]


def test_metrics_are_thinned_to_the_requested_number_of_points(
    client: TestClient, add_job: AddJob
) -> None:
    job = add_job()
    claim = claim_job(job.id)
    send_heartbeat(
        claim, 99, *(NewEvent("metrics", {"loss": i / 2, "odd": 1.0}, i) for i in range(100))
    )
    series = client.get(f"/v1/jobs/{job.id}/metrics?names=loss&points=5").json()
    assert series == {
        "loss": {"steps": [0, 25, 50, 74, 99], "values": [0.0, 12.5, 25.0, 37.0, 49.5]}
    }
    assert client.get(f"/v1/jobs/{job.id}/metrics?names=los").status_code == 422


def test_the_log_has_one_line_for_each_event(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    send_heartbeat(
        claim_job(job.id), 1, NewEvent("log", {"message": "step 1: critic loss 0.500"}, 1)
    )
    lines = client.get(f"/v1/jobs/{job.id}/logs").text.splitlines()
    assert lines[-1].endswith(" info step 1: critic loss 0.500")
    assert "state: state queued" in lines[0]
    assert len(client.get(f"/v1/jobs/{job.id}/logs?tail=1").text.splitlines()) == 1


def test_a_checkpoint_is_promoted_to_one_model_version(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job.id)
    weights: StoredObject = get_storage().put("t/default/jobs/x/model", b"weights")
    image = {"height": 8, "width": 8, "channels": 1}
    manifest = {"modality": "image", "image": image, "labels": [], "parameters": 1, "training": {}}
    with write() as session:
        new = NewCheckpoint(5, {"model": weights}, manifest)
        jobs.add_checkpoint(session, claim, new)
    path = f"/v1/jobs/{job.id}/checkpoints/5/promote"
    model = client.post(path).json()
    assert (model["reference"], model["step"], model["job"]) == ("shoes:1", 5, job.id)
    assert client.post(path).json() == model
    assert client.post(f"/v1/jobs/{job.id}/checkpoints/6/promote").status_code == 404
    with write() as session:
        for step in range(6, 10):
            jobs.add_checkpoint(session, claim, NewCheckpoint(step, {"model": weights}))
        assert len(jobs.drop_checkpoints(session, claim, keep_last=1)) == 3
    remaining = client.get(f"/v1/jobs/{job.id}/checkpoints").json()
    assert [checkpoint["step"] for checkpoint in remaining] == [9, 5]


def test_queues_report_their_length_and_workers_their_job(
    client: TestClient, add_job: AddJob
) -> None:
    from core import workers

    running = add_job()
    add_job()
    with write() as session:
        workers.heartbeats(session, {"wkr_1": workers.describe(queues=["training"], host="here")})
        jobs.claim(session, running.id, "wkr_1/here:1")
    queue = next(q for q in client.get("/v1/queues").json() if q["name"] == "training")
    assert (queue["queued"], queue["running"], queue["workers"]) == (1, 1, 1)
    assert queue["oldest_s"] >= 0
    (worker,) = client.get("/v1/workers").json()
    assert (worker["id"], worker["job"]) == ("wkr_1", running.id)


def test_an_unknown_job_is_not_found_on_any_route(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        session.get_one(type(job), job.id).tenant_id = TENANT
    for path in ("", "/events", "/metrics", "/logs", "/checkpoints", "/previews"):
        assert client.get(f"/v1/jobs/{job.id}{path}").status_code == 200
        assert client.get(f"/v1/jobs/job_other{path}").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"dataset": "ds_x"}, "/kind", "This field is required: it selects the type of the body."),
        (
            {"kind": "sculpture"},
            "/kind",
            "This value does not exist. Send one of the allowed values.",
        ),
        ({"kind": "train"}, "/kind", "This value does not exist. Did you mean `training`?"),
        (
            {"kind": "training", "dataset": "ds_x", "hyperparameters": []},
            "/hyperparameters",
            "Must be a JSON object.",
        ),
        ({"kind": "training"}, "/dataset", "This field is required."),
    ],
)
def test_validation_messages_are_sentences_about_the_field(
    client: TestClient, body: dict[str, Any], pointer: str, message: str
) -> None:
    error = client.post("/v1/jobs", json=body).json()["errors"][0]
    assert (error["pointer"], error["message"]) == (pointer, message)
