"""Lists of jobs, datasets and models: filters, order, totals; evaluations and metrics of models."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from core import jobs
from core.database import write
from core.errors import JobError
from core.ids import new_id
from core.jobs import NewEvent
from core.tables import Dataset, DatasetState, Event, Job, JobKind, JobState, Tenant
from tests.conftest import TENANT
from tests.factories import create_model

SUMMARY = {
    "labels": [],
    "n_train": 0,
    "n_test": 0,
    "issues": [],
    "height": 8,
    "width": 8,
    "channels": 1,
}
RESULT = {
    "quality": "good",
    "verdict": "good",
    "reasons": [],
    "failed_criteria": [],
    "scores": {
        "frechet_distance": {"value": 7.5, "ci95": [6.0, 9.0], "real_reference": 0.4},
    },
    "report": "report.json",
}


def add_job(name: str, tenant: str = TENANT, **columns: Any) -> str:
    defaults: dict[str, Any] = {
        "kind": JobKind.TRAINING,
        "state": JobState.QUEUED,
        "queue": "training",
        "request": {},
        "resolved": {},
        "max_worker_losses": 3,
    }
    with write() as session:
        row = Job(id=new_id("job"), tenant_id=tenant, name=name, **(defaults | columns))
        session.add(row)
    return row.id


@pytest.fixture
def listed(client: TestClient) -> list[str]:
    """Create five jobs of this tenant, and one of another with the same tag."""
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    add_job("shoes", "other", tags={"team": "red"})
    return [
        add_job("shoes", tags={"team": "red"}, state=JobState.FAILED),
        add_job("shirts", tags={"team": "blue", "run": "red"}),
        add_job("shoes 2", tags={"team": "red", "run": "9"}),
        add_job("Shoes", state=JobState.FAILED, kind=JobKind.EVALUATION),
        add_job("zebra"),
    ]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [4, 3, 2, 1, 0]),
        ("sort=created_at", [0, 1, 2, 3, 4]),
        ("sort=name", [3, 1, 0, 2, 4]),  # by code point: capital letters first
        ("sort=-name&name=sh*", [2, 0, 1]),
        ("name=shoes", [0]),
        ("tag=team:red", [2, 0]),
        ("tag=team:red&state=failed", [0]),
        ("state=failed&kind=evaluation", [3]),
        ("kind=generation", []),
        ("tag=team:green", []),
    ],
)
def test_a_list_has_what_passes_all_filters_in_order_and_counts_it(
    client: TestClient, listed: list[str], query: str, numbers: list[int]
) -> None:
    expected = [listed[number] for number in numbers]
    page = client.get(f"/v1/jobs?{query}").json()
    assert [job["id"] for job in page["data"]] == expected
    assert (page["total"], page["total_is_exact"]) == (len(expected), True)
    found, cursor = [], ""
    while cursor is not None:  # in pages of two, with the same total on each
        page = client.get(f"/v1/jobs?limit=2&{query}{cursor}").json()
        found += [job["id"] for job in page["data"]]
        assert page["total"] == len(expected)
        cursor = page["next"] and f"&after={page['next']}"
    assert found == expected


def test_a_filter_follows_a_change_of_tags(client: TestClient) -> None:
    with write() as session:
        row = Dataset(
            id=new_id("ds"),
            tenant_id=TENANT,
            name="garments",
            modality="image",
            state=DatasetState.READY,
            summary=SUMMARY,
            tags={"team": "red"},
        )
        session.add(row)

    def count(tag: str) -> int:
        total: int = client.get(f"/v1/datasets?tag={tag}").json()["total"]
        return total

    assert (count("team:red"), count("team:blue")) == (1, 0)
    path = f"/v1/datasets/{row.id}"
    assert client.patch(path, json={"tags": {"team": "blue"}}).status_code == 200
    assert (count("team:red"), count("team:blue")) == (0, 1)
    assert client.delete(path).status_code == 204
    assert count("team:blue") == 0


def test_a_model_shows_its_newest_success_and_the_history_of_its_evaluations(
    client: TestClient,
) -> None:
    model = create_model("shoes")
    columns = {"kind": JobKind.EVALUATION, "model_id": model.id, "queue": "evaluation"}
    result = RESULT | {"model": model.id, "model_version": "shoes:1"}
    good = add_job("shoes", state=JobState.SUCCEEDED, result=result, **columns)
    error = JobError("worker_lost", "The worker was lost.").to_problem()
    failed = add_job("shoes", state=JobState.FAILED, error=error, **columns)
    quality = client.get("/v1/models/shoes").json()["quality"]
    assert (quality["state"], quality["verdict"], quality["job"]) == ("failed", "good", good)
    assert quality["scores"]["frechet_distance"]["value"] == 7.5
    history = client.get("/v1/models/shoes/evaluations").json()["data"]
    assert [(one["job"], one["state"]) for one in history] == [
        (failed, "failed"),
        (good, "evaluated"),
    ]
    assert history[0]["error"]["code"] == "worker_lost"
    assert history[1]["result"]["verdict"] == "good"


def test_metrics_of_several_jobs_are_in_one_answer(client: TestClient) -> None:
    ids = [add_job(f"run-{number}") for number in range(2)]
    with write() as session:
        for number, job_id in enumerate(ids):
            for step in (10, 20):
                event = NewEvent("metrics", {"loss": float(step + number), "fps": 1.0}, step)
                jobs.events.record_events(session, TENANT, job_id, [event])
        session.flush()
        assert session.query(Event).count() == 4
    answer = client.get(f"/v1/jobs/metrics?jobs={','.join(ids)}&names=loss").json()["jobs"]
    assert answer == {
        ids[0]: {"loss": {"steps": [10, 20], "values": [10.0, 20.0]}},
        ids[1]: {"loss": {"steps": [10, 20], "values": [11.0, 21.0]}},
    }
    assert client.get("/v1/jobs/metrics?jobs=job_unknown").status_code == 404
    assert client.get("/v1/jobs/metrics?jobs=,").status_code == 422
