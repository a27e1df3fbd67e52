"""An evaluation job: a report of a model beside real items that its training has not seen."""

import csv
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from app.comparison import best_models
from app.schemas.comparison import ModelSummary
from app.schemas.reports import ScoreView
from core import jobs
from core.database import read
from core.evaluation import MIN_SAMPLES, SCORES, failed_criteria
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Dataset, Job
from core.training import QualityGate
from models.metrics.scores import HIGHER_IS_BETTER, RANGES
from tests.factories import a_dataset, a_trained_model, digits, forget_models
from tests.tiny_configs import TINY, TINY_ROWS
from tests.uploads import folders, people
from worker import evaluation
from worker.job_runner import run_next

QUEUES = ["evaluation"]
LABELS = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def nothing_in_memory() -> Iterator[None]:
    """The memory of models reads from the storage of one test."""
    forget_models()
    yield
    forget_models()


def trained(client: TestClient, dataset: str, config: Any, steps: int, **more: Any) -> Any:
    torch.set_num_threads(1)
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": "pets",
        "hyperparameters": config,
        "seed": 1,
    }
    answer = client.post("/v1/jobs", json={**body, "budget": {"steps": steps}, **more})
    assert answer.status_code == 202, answer.text
    assert run_next(["training"])
    return look(client, answer.json()["id"])


def look(client: TestClient, job_id: str) -> Any:
    return client.get(f"/v1/jobs/{job_id}").json()


def evaluate(client: TestClient, **more: Any) -> Any:
    body = {"kind": "evaluation", "model": "pets", "samples": 40, "seed": 2, **more}
    return client.post("/v1/jobs", json=body)


def test_images_are_measured_and_the_report_says_what_is_wrong_with_them(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = a_dataset(folders(LABELS, 70))
    trained(client, dataset, TINY, 12)
    not_evaluated = client.get("/v1/models/pets/report").json()
    assert (not_evaluated["state"], not_evaluated["verdict"]) == ("not_evaluated", None)
    samples = client.get("/v1/models/pets/samples?count=1&seed=1")
    assert samples.headers["Semblance-Quality"] == "not_evaluated"

    job = evaluate(client).json()
    assert (job["kind"], job["state"], job["name"]) == ("evaluation", "queued", "pets")
    assert client.get("/v1/models/pets/report").json()["state"] == "evaluating"
    assert run_next(QUEUES)
    job = look(client, job["id"])
    assert job["state"] == "succeeded", job["error"]
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["samples"], report["holdout_items"]) == ("evaluated", 40, 21)
    assert report["verdict"]["quality"] == job["result"]["quality"] == "poor"  # twelve steps
    assert report["verdict"]["reasons"]
    scores = {score["name"]: score for score in report["scores"]}
    assert set(scores) == set(SCORES["image"])
    for name in (
        "frechet_distance",
        "kernel_distance",
        "coverage",
        "tstr_score",
        "label_accuracy",
        "detection_auc",
    ):
        assert scores[name]["ci95"][0] <= scores[name]["value"] <= scores[name]["ci95"][1]
        assert scores[name]["real_reference"] is not None
        assert scores[name]["naive_baseline"] is not None
    samples = client.get("/v1/models/pets/samples?count=1&seed=1")
    assert samples.headers["Semblance-Quality"] == "poor"

    card = client.get("/v1/models/pets/card").json()["evaluation"]
    assert (card["verdict"], card["samples"]) == (report["verdict"]["verdict"], 40)
    assert [s["value"] for s in card["scores"]] == [s["value"] for s in report["scores"]]
    assert report["verdict"]["reasons"][0] in client.get("/v1/models/pets/card?format=html").text

    page = client.get("/v1/models/pets/report", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.count("data:image/png;base64,") == 3
    assert report["gallery_labels"] == {"samples.png": list(LABELS), "real.png": list(LABELS)}
    assert page.text.count('<span title="bee">bee</span>') == 2
    assert "<polyline" in page.text
    assert report["verdict"]["reasons"][0][:20] in page.text
    assert "http" not in page.text  # nothing comes from anywhere

    with read() as session:
        kept = [
            name
            for name in session.get_one(Dataset, dataset).objects
            if "evaluation-classifier" in name
        ]
    assert len(kept) == 1
    monkeypatch.setattr(evaluation.EvaluationClassifier, "fit", None)  # the kept one is enough
    again = evaluate(client).json()["id"]
    assert run_next(QUEUES)
    assert look(client, again)["state"] == "succeeded"
    assert client.get("/v1/models/pets/report").json()["scores"] == report["scores"]


def test_a_training_job_that_says_so_is_followed_by_an_evaluation_of_its_model(
    client: TestClient,
) -> None:
    dataset = a_dataset(people(), "people.csv", target="income")
    training = trained(client, dataset, TINY_ROWS, 4, evaluate=True)
    assert training["state"] == "succeeded", training["error"]
    (job,) = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert job["model"] == training["result"]["model"]
    assert run_next(QUEUES)
    assert look(client, job["id"])["state"] == "succeeded", look(client, job["id"])["error"]
    report = client.get("/v1/models/pets/report").json()
    scores = {score["name"] for score in report["scores"]}
    assert scores == set(SCORES["tabular"])
    assert [row["column"] for row in report["statistics"] if row["label"] is None] == [
        *("age", "height", "city", "member", "since", "income")
    ]
    page = client.get("/v1/models/pets/report?format=html").text
    for said in (
        "Rome",
        "<rect",
        "<circle",
        "Associations between columns",
        "Privacy",
        "Label &gt;50K",
    ):
        assert said in page
    assert "<script" not in page
    assert "http" not in page

    lines = list(csv.DictReader(client.get("/v1/models/pets/report?format=csv").text.splitlines()))
    (age,) = [
        line
        for line in lines
        if (line["column"], line["side"], line["label"]) == ("age", "synthetic", "")
    ]
    stated = next(row["synthetic"] for row in report["statistics"] if row["column"] == "age")
    assert float(age["mean"]) == stated["mean"]
    assert {line["label"] for line in lines} == {"", "<=50K", ">50K"}
    assert next(line["mean"] for line in lines if line["column"] == "since")[:2] in ("19", "20")
    shares = [float(x["share"]) for x in lines if x["column"] == "city" and x["value"]]
    assert sum(shares) == pytest.approx(2)


@pytest.mark.parametrize(
    ("operator", "asked", "is_evaluated"),
    [(True, {}, True), (False, {}, False), (True, {"evaluate": False}, False)],
)
def test_every_training_is_followed_by_an_evaluation_unless_somebody_says_otherwise(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    operator: bool,
    asked: dict[str, bool],
    is_evaluated: bool,
) -> None:
    monkeypatch.setattr(get_settings(), "auto_evaluate", operator)
    dataset = digits()
    assert trained(client, dataset, TINY, 2, **asked)["state"] == "succeeded"
    jobs = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert len(jobs) == is_evaluated
    if is_evaluated:  # two steps of a few images: not all 1,797 are made to look at
        assert jobs[0]["resolved"]["samples"] == MIN_SAMPLES


def test_a_model_that_is_not_what_its_job_asks_gives_samples_only_to_who_wants_them_so(
    client: TestClient,
) -> None:
    dataset = a_dataset(people(), "people.csv", target="income")
    asked = {"allowed_verdicts": ["good", "poor", "collapsed", "memorized"]}
    accept = {**asked, "scores": {"pairwise_tvd": {"max": 0.001}}}
    trained(client, dataset, TINY_ROWS, 4, quality_gate=accept)
    samples, allowed = "/v1/models/pets/samples?count=1", "&ignore_quality_gate=true"
    early = client.get(samples)
    assert (early.status_code, early.json()["code"]) == (409, "quality_gate_failed")
    assert early.json()["failed_criteria"] == ["it has not been measured"]

    assert run_next(QUEUES)  # `quality_gate` brings an evaluation
    refused = client.get(samples).json()
    assert refused["failed_criteria"][0].startswith("pairwise_tvd is 0.")
    assert (
        refused["failed_criteria"] == client.get("/v1/models/pets/report").json()["failed_criteria"]
    )
    for page in ("report", "card"):
        text = client.get(f"/v1/models/pets/{page}?format=html").text
        assert "quality gate failed: pairwise_tvd" in text
    for setting in (
        "budget steps<td><code>4",
        "quality_gate scores pairwise_tvd max<td><code>0.001",
    ):
        assert setting in text
    given = client.get(samples + allowed)
    assert (given.status_code, given.headers["Semblance-Quality-Gate"]) == (200, "failed")
    many = {"kind": "generation", "model": "pets", "count": 2}
    assert client.post("/v1/jobs", json=many).json()["code"] == "quality_gate_failed"
    many["ignore_quality_gate"] = True
    assert client.post("/v1/jobs", json=many).status_code == 202

    trained(client, dataset, TINY_ROWS, 4, quality_gate=asked)
    assert run_next(QUEUES)
    given = client.get(samples)
    assert (given.status_code, given.headers["Semblance-Quality-Gate"]) == (200, "passed")


def test_what_is_not_met_is_said_in_words() -> None:
    wanted = QualityGate.model_validate(
        {
            "allowed_verdicts": ["good"],
            "scores": {
                "tstr_score": {"min_fraction_of_reference": 0.9},
                "detection_auc": {"max": 0.6},
                "recall": {"min": 0.5},
                "kernel_distance": {"max": 0.1},
            },
        }
    )
    scores = [
        {"name": "tstr_score", "value": 0.7, "real_reference": 0.8},
        {"name": "detection_auc", "value": 0.9, "real_reference": 0.5},
        {"name": "recall", "value": 0.5, "real_reference": 0.9},
    ]
    assert failed_criteria(wanted, "poor", scores) == [
        "the verdict is poor, not good",
        "tstr_score is 0.7, below 0.72",
        "detection_auc is 0.9, above 0.6",
        "kernel_distance could not be measured",
    ]
    assert failed_criteria(None, "memorized", scores) == []


@pytest.mark.parametrize(
    ("accept", "pointer"),
    [
        (
            {"scores": {"frechet_distance": {"max": 1}}},
            "/quality_gate/scores/frechet_distance",
        ),  # of images
        ({"scores": {"pairwise_tvd": {}}}, "/quality_gate/scores/pairwise_tvd"),
        ({"allowed_verdicts": []}, "/quality_gate/allowed_verdicts"),
        ({"verdict": ["good"]}, "/quality_gate/verdict"),
        ({"scores": {"tstr_score": {"min": True}}}, "/quality_gate/scores/tstr_score/min"),
        ({"scores": {"tstr_score": {"min": "0.5"}}}, "/quality_gate/scores/tstr_score/min"),
        ({"scores": {"tstr_score": {"min": 90}}}, "/quality_gate/scores/tstr_score/min"),
        (
            {"scores": {"tstr_score": {"min_fraction_of_reference": 90}}},
            "/quality_gate/scores/tstr_score/min_fraction_of_reference",
        ),
        ({"scores": {"pairwise_tvd": {"max": -0.1}}}, "/quality_gate/scores/pairwise_tvd/max"),
        (
            {"scores": {"membership_inference_tpr_at_1pct_fpr": {"max": 5}}},
            "/quality_gate/scores/membership_inference_tpr_at_1pct_fpr/max",
        ),
        (
            {"scores": {"pairwise_tvd": {"min_fraction_of_reference": 0.9}}},
            "/quality_gate/scores/pairwise_tvd/min_fraction_of_reference",
        ),
        (
            {"scores": {"detection_auc": {"min": 0.6, "max": 0.4}}},
            "/quality_gate/scores/detection_auc",
        ),
    ],
)
def test_a_gate_that_cannot_be_is_refused(
    client: TestClient, accept: dict[str, Any], pointer: str
) -> None:
    dataset = a_dataset(people(40), "people.csv", target="income")
    answer = client.post(
        "/v1/jobs", json={"kind": "training", "dataset": dataset, "quality_gate": accept}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_gate_that_nothing_is_there_to_measure_for_is_refused_before_it_is_trained(
    client: TestClient,
) -> None:
    dataset = a_dataset(people(40), "people.csv", target="income")
    asked = {"kind": "training", "dataset": dataset, "validate_only": True, "evaluate": True}
    gated = asked | {"quality_gate": {"allowed_verdicts": ["good"]}}
    few = client.post("/v1/jobs", json=gated)
    assert (few.status_code, few.json()["code"]) == (409, "too_few_holdout_items")
    assert client.post("/v1/jobs", json=gated | {"holdout_fraction": 0.5}).status_code == 200
    no = client.post("/v1/jobs", json=gated | {"holdout_fraction": 0.5, "evaluate": False}).json()
    assert no["errors"][0]["pointer"] == "/evaluate"
    unlabelled = gated | {"holdout_fraction": 0.5, "conditional": False}
    unlabelled["quality_gate"] = {"scores": {"tstr_score": {"min": 0.8}}}
    no = client.post("/v1/jobs", json=unlabelled).json()
    assert no["errors"][0]["pointer"] == "/quality_gate/scores/tstr_score"

    warned = client.post("/v1/jobs", json=asked).json()["warnings"]
    assert [warning for warning in warned if warning["code"] == "evaluation_skipped"]
    enough = client.post("/v1/jobs", json=asked | {"holdout_fraction": 0.5}).json()["warnings"]
    assert not [warning for warning in enough if warning["code"] == "evaluation_skipped"]


def test_what_a_gate_knows_of_scores_is_what_is_measured(client: TestClient) -> None:
    for names in SCORES.values():
        assert set(names) <= set(RANGES)
    dataset = a_dataset(people(), "people.csv", target="income")
    trained(client, dataset, TINY_ROWS, 4)
    evaluate(client)
    assert run_next(QUEUES)
    scores = client.get("/v1/models/pets/report").json()["scores"]
    assert {s["name"] for s in scores if s["direction"] == "higher"} == HIGHER_IS_BETTER & {
        s["name"] for s in scores
    }
    for score in scores:
        least, most = RANGES[score["name"]]
        assert least <= score["ci95"][0] <= score["value"] <= score["ci95"][1] <= most


def test_an_evaluation_that_fails_marks_the_report_and_not_the_model(client: TestClient) -> None:
    dataset = a_dataset(people(), "people.csv", target="income")
    trained(client, dataset, TINY_ROWS, 4)
    job = evaluate(client).json()["id"]
    with read() as session:
        stored = session.get_one(Dataset, dataset).objects["rows"]
    get_storage().delete([stored["key"]])
    assert run_next(QUEUES)
    assert look(client, job)["error"]["code"] == "dataset_unreadable"
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["error"]["code"]) == ("failed", "dataset_unreadable")
    assert client.get("/v1/models/pets").status_code == 200


def test_an_evaluation_is_cancelled_and_repeated_like_any_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = a_dataset(people(), "people.csv", target="income")
    trained(client, dataset, TINY_ROWS, 4)
    job_id = evaluate(client).json()["id"]
    go_on = evaluation.EvaluationJob.check_stop

    def cancelled(work: evaluation.EvaluationJob) -> None:
        if work._lease.step == 0:
            assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelling"
            work._lease.send_heartbeat()
        go_on(work)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation.EvaluationJob, "check_stop", cancelled)
        assert run_next(QUEUES)
    assert look(client, job_id)["state"] == "cancelled"
    assert client.get("/v1/models/pets/report").json()["state"] == "cancelled"
    again = client.post(f"/v1/jobs/{job_id}/retry").json()
    with read() as session:
        old, new = (session.get_one(Job, id) for id in (job_id, again["id"]))
        assert (new.kind, new.model_id, new.resolved) == (*(old.kind, old.model_id, old.resolved),)
        model = jobs.live_jobs_of_dataset(session, old.tenant_id, dataset)
    assert list(model) == [again["id"]]


def test_models_stand_side_by_side_with_what_their_reports_say(client: TestClient) -> None:
    dataset = a_dataset(people(), "people.csv", target="income")
    for steps in (4, 40):
        trained(client, dataset, TINY_ROWS, steps, evaluate=True)
        assert run_next(QUEUES)
    trained(client, dataset, TINY_ROWS, 4)
    asked = "/v1/models/compare?models=pets:1,pets:2,pets"
    found = client.get(asked).json()
    assert [model["reference"] for model in found["models"]] == ["pets:1", "pets:2", "pets:3"]
    assert [model["training"]["step"] for model in found["models"]] == [4, 40, 4]
    assert found["models"][2]["state"] == "not_evaluated"
    message = "pets:3 has no scores: its state is not_evaluated."
    assert found["warnings"] == [{"code": "no_scores", "message": message}]
    for model in found["models"][:2]:
        report = client.get(f"/v1/models/{model['reference']}/report").json()
        assert list(model["scores"].values()) == report["scores"]
        assert model["checkpoints"]
        assert model["training"]["cpu_s"] > 0
    differ = [
        name
        for name in SCORES["tabular"]
        if len({model["scores"][name]["value"] for model in found["models"][:2]}) == 2
    ]
    assert list(found["best"]) == differ
    page = client.get(asked, headers={"Accept": "text/html"}).text
    assert page.count("★") == sum(best["significant"] for best in found["best"].values())
    assert "http" not in page

    trained(client, dataset, TINY_ROWS, 4, evaluate=True, seed=2)
    assert run_next(QUEUES)
    other = client.get("/v1/models/compare?models=pets:1,pets:4").json()
    assert other["warnings"][0]["code"] == "different_holdouts"
    assert other["warnings"][0]["message"].startswith(
        "The models were evaluated on different holdouts of the dataset"
    )
    elsewhere = a_dataset(people(390), "people.csv", target="income")
    trained(client, elsewhere, TINY_ROWS, 4, evaluate=True)
    assert run_next(QUEUES)
    other = client.get("/v1/models/compare?models=pets:1,pets:5").json()
    warning = other["warnings"][0]
    assert warning["code"] == "different_datasets"
    assert warning["message"].startswith("The models were evaluated on different datasets")
    assert other["best"] == {}
    page = client.get("/v1/models/compare?models=pets:1,pets:5&format=html").text
    assert "is bold" not in page
    assert f"<p>{warning['message']}</p>" in page

    assert client.get("/v1/models/compare?models=pets").status_code == 422
    assert client.get("/v1/models/compare?models=pets,nobody").status_code == 404


@pytest.mark.parametrize(
    ("direction", "one", "other", "best", "clear"),
    [
        ("lower", (1.0, 0.1), (2.0, 0.1), "one", True),
        ("higher", (1.0, 0.1), (2.0, 0.1), "other", True),
        ("higher", (1.0, 0.6), (2.0, 0.6), "other", False),
        ("target", (0.3, 0.05), (0.6, 0.02), "other", True),
        ("target", (0.45, 0.1), (0.6, 0.02), "one", False),
    ],
)
def test_the_best_is_named_and_whether_chance_may_have_made_it(
    direction: Any,
    one: tuple[float, float],
    other: tuple[float, float],
    best: str,
    clear: bool,
) -> None:
    def model(reference: str, value: float, error: float) -> ModelSummary:
        score = ScoreView(
            name="it",
            value=value,
            ci95=(value - error, value + error),
            direction=direction,
            real_reference=None,
            naive_baseline=None,
            per_label={},
        )
        return ModelSummary.model_construct(reference=reference, scores={"it": score})

    found = best_models([model("one", *one), model("other", *other)])["it"]
    assert (found.reference, found.significant) == (best, clear)
    assert best_models([model("one", *one), model("other", *one)]) == {}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({}, 409, "too_few_holdout_items"),
        ({"model": "nobody"}, 404, "not_found"),
        ({"samples": 3}, 422, None),
        ({"samples": 10**9}, 422, None),
        ({"sampels": 40}, 422, None),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    client: TestClient, change: dict[str, Any], status: int, code: str | None
) -> None:
    a_trained_model(client, "pets")
    answer = evaluate(client, **change)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert client.get("/v1/jobs?kind=evaluation").json()["data"] == []


def test_a_report_of_what_cannot_be_measured_says_why(client: TestClient) -> None:
    a_trained_model(client, "pets")
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["error"]) == ("not_evaluated", None)
    assert report["not_evaluable_reason"].startswith(
        "an evaluation needs 20 items that training has not seen"
    )
    assert report["not_evaluable_reason"] in client.get("/v1/models/pets/report?format=html").text
