"""Evaluation jobs: the report of a model against holdout items, quality gates and comparisons."""

import csv
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from app.comparison import best_models
from app.schemas.comparison import ModelSummary
from app.schemas.reports import ScoreView
from core import jobs
from core.database import read, write
from core.evaluation import MIN_SAMPLES, failed_criteria
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Dataset, Job
from core.training import QualityGate
from job_kinds.evaluation import run as evaluation
from modalities import registry
from models.metrics.evaluation_classifier import EvaluationClassifier
from tests.factories import (
    clear_model_caches,
    create_dataset,
    create_digits_dataset,
    create_trained_model,
)
from tests.tiny_configs import SHORT_EVALUATION, TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import make_image_zip, make_people_csv
from worker.job_runner import run_next

QUEUES = ["evaluation"]
LABELS = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of what models are measured with."""
    for name, steps in (SHORT_EVALUATION | {"models.metrics.gradient_boosting.TREES": 20}).items():
        monkeypatch.setattr(name, steps)


@pytest.fixture(autouse=True)
def empty_model_cache() -> Iterator[None]:
    """Empty the model cache, because its models are in the storage of one test."""
    clear_model_caches()
    yield
    clear_model_caches()


def train(client: TestClient, dataset: str, config: Any, steps: int, **options: Any) -> Any:
    torch.set_num_threads(1)
    body = {
        "kind": "training",
        "dataset": dataset,
        "name": "pets",
        "hyperparameters": config,
        "seed": 1,
    }
    answer = client.post("/v1/jobs", json={**body, "budget": {"steps": steps}, **options})
    assert answer.status_code == 202, answer.text
    assert run_next(["training"])
    return get_job(client, answer.json()["id"])


def get_job(client: TestClient, job_id: str) -> Any:
    return client.get(f"/v1/jobs/{job_id}").json()


def post_evaluation(client: TestClient, **options: Any) -> Any:
    body = {"kind": "evaluation", "model": "pets", "samples": 40, "seed": 2, **options}
    return client.post("/v1/jobs", json=body)


def read_page_without_data(client: TestClient) -> str:
    """Return the page of a report for a key that may not read training data."""
    key = client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()["key"]
    headers = {"Accept": "text/html", "Authorization": f"Bearer {key}"}
    return client.get("/v1/models/pets/report", headers=headers).text


def test_image_evaluation_produces_report_model_card_and_html_page(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_dataset(make_image_zip(LABELS, 70))
    train(client, dataset, TINY_IMAGE_CONFIG, 12)
    not_evaluated = client.get("/v1/models/pets/report").json()
    assert (not_evaluated["state"], not_evaluated["verdict"]) == ("not_evaluated", None)
    samples = client.get("/v1/models/pets/samples?count=1&seed=1")
    assert samples.headers["Semblance-Quality"] == "not_evaluated"

    job = post_evaluation(client).json()
    assert (job["kind"], job["state"], job["name"]) == ("evaluation", "queued", "pets")
    assert client.get("/v1/models/pets/report").json()["state"] == "evaluating"
    assert run_next(QUEUES)
    job = get_job(client, job["id"])
    assert job["state"] == "succeeded", job["error"]
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["samples"], report["holdout_items"]) == ("evaluated", 40, 21)
    # The model was trained for only twelve steps.
    assert report["verdict"]["quality"] == job["result"]["quality"] == "poor"
    assert report["verdict"]["reasons"]
    scores = {score["name"]: score for score in report["scores"]}
    assert set(scores) == registry.get("image").score_types.keys()
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
    assert "data:image/png;base64," not in read_page_without_data(client)
    assert list(report["pictures"]) == ["samples.png", "real.png", "nearest.png"]
    for title in report["pictures"].values():
        assert f"<figcaption>{title}</figcaption>" in page.text
    assert "<polyline" in page.text
    assert report["verdict"]["reasons"][0][:20] in page.text
    assert "http" not in page.text  # the page loads nothing

    with read() as session:
        classifiers = [
            name
            for name in session.get_one(Dataset, dataset).objects
            if "evaluation-classifier" in name
        ]
    assert len(classifiers) == 1
    # The stored classifier is used, none is trained.
    monkeypatch.setattr(EvaluationClassifier, "fit", None)
    second_job = post_evaluation(client).json()["id"]
    assert run_next(QUEUES)
    assert get_job(client, second_job)["state"] == "succeeded"
    assert client.get("/v1/models/pets/report").json()["scores"] == report["scores"]


def test_verdict_names_the_real_values_of_people_in_the_samples(client: TestClient) -> None:
    emails = [f"user{i % 120}@example.com" for i in range(300)]
    rows = "".join(f"{email},{i % 40},{'yn'[i % 2]}\n" for i, email in enumerate(emails))
    schema = [{"name": "email", "identifier": "keep"}]
    data = f"email,age,paid\n{rows}".encode()
    dataset = create_dataset(data, name="t.csv", target="paid", schema=schema)
    train(client, dataset, TINY_TABLE_CONFIG, 12)
    post_evaluation(client)
    assert run_next(QUEUES)
    reasons = client.get("/v1/models/pets/report").json()["verdict"]["reasons"]
    assert reasons[-1].startswith("the dataset has the issue `personal_values`")
    assert reasons[-1].endswith("(email (email): 120 values in fewer than 10 rows each)")


def test_evaluate_true_creates_an_evaluation_of_the_trained_model(
    client: TestClient,
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    training = train(client, dataset, TINY_TABLE_CONFIG, 4, evaluate=True)
    assert training["state"] == "succeeded", training["error"]
    (job,) = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert job["model"] == training["result"]["model"]
    assert run_next(QUEUES)
    assert get_job(client, job["id"])["state"] == "succeeded", get_job(client, job["id"])["error"]
    report = client.get("/v1/models/pets/report").json()
    scores = {score["name"] for score in report["scores"]}
    # No column follows from others.
    of_relations = {"relation_violation_rate", "relation_detection_auc", "unseen_pair_rate"}
    assert scores == registry.get("tabular").score_types.keys() - of_relations
    assert [row["column"] for row in report["statistics"] if row["label"] is None] == [
        *("age", "height", "city", "member", "since", "income")
    ]
    page = client.get("/v1/models/pets/report?format=html").text
    for fragment in (
        "Rome",
        "<rect",
        "<circle",
        "Associations between columns",
        "Privacy",
        "Label &gt;50K",
    ):
        assert fragment in page
    assert "<script" not in page
    assert "http" not in page

    lines = list(csv.DictReader(client.get("/v1/models/pets/report?format=csv").text.splitlines()))
    (age,) = [
        line
        for line in lines
        if (line["column"], line["side"], line["label"]) == ("age", "synthetic", "")
    ]
    statistics_row = next(
        row["synthetic"] for row in report["statistics"] if row["column"] == "age"
    )
    assert float(age["mean"]) == statistics_row["mean"]
    assert {line["label"] for line in lines} == {"", "<=50K", ">50K"}
    assert next(line["mean"] for line in lines if line["column"] == "since")[:2] in ("19", "20")
    shares = [float(x["share"]) for x in lines if x["column"] == "city" and x["value"]]
    assert sum(shares) == pytest.approx(2)


@pytest.mark.parametrize(
    ("operator", "options", "is_evaluated"),
    [(True, {}, True), (False, {}, False), (True, {"evaluate": False}, False)],
)
def test_auto_evaluate_applies_unless_the_request_overrides_it(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    operator: bool,
    options: dict[str, bool],
    is_evaluated: bool,
) -> None:
    monkeypatch.setattr(get_settings(), "auto_evaluate", operator)
    dataset = create_digits_dataset()
    assert train(client, dataset, TINY_IMAGE_CONFIG, 2, **options)["state"] == "succeeded"
    jobs = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert len(jobs) == is_evaluated
    if is_evaluated:  # not as many samples as the 1,797 images
        assert jobs[0]["resolved"]["samples"] == MIN_SAMPLES


def test_model_that_fails_its_quality_gate_is_sampled_only_with_ignore_quality_gate(
    client: TestClient,
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    any_verdict = {"allowed_verdicts": ["good", "poor", "collapsed", "memorized"]}
    unreachable_gate = {**any_verdict, "scores": {"pairwise_tvd": {"max": 0.001}}}
    train(client, dataset, TINY_TABLE_CONFIG, 4, quality_gate=unreachable_gate)
    samples, ignore_gate = "/v1/models/pets/samples?count=1", "&ignore_quality_gate=true"
    early = client.get(samples)
    assert (early.status_code, early.json()["code"]) == (409, "quality_gate_failed")
    assert early.json()["failed_criteria"] == ["the model has not been evaluated"]

    assert run_next(QUEUES)  # `quality_gate` creates an evaluation job
    rejected = client.get(samples).json()
    assert rejected["failed_criteria"][0].startswith("pairwise_tvd is 0.")
    assert (
        rejected["failed_criteria"]
        == client.get("/v1/models/pets/report").json()["failed_criteria"]
    )
    for page in ("report", "card"):
        text = client.get(f"/v1/models/pets/{page}?format=html").text
        assert "quality gate failed: pairwise_tvd" in text
    for setting in (
        "budget steps</th><td><code>4",
        "quality_gate scores pairwise_tvd max</th><td><code>0.001",
    ):
        assert setting in text
    sampled = client.get(samples + ignore_gate)
    assert (sampled.status_code, sampled.headers["Semblance-Quality-Gate"]) == (200, "failed")
    generation = {"kind": "generation", "model": "pets", "count": 2}
    assert client.post("/v1/jobs", json=generation).json()["code"] == "quality_gate_failed"
    generation["ignore_quality_gate"] = True
    assert client.post("/v1/jobs", json=generation).status_code == 202

    train(client, dataset, TINY_TABLE_CONFIG, 4, quality_gate=any_verdict)
    assert run_next(QUEUES)
    sampled = client.get(samples)
    assert (sampled.status_code, sampled.headers["Semblance-Quality-Gate"]) == (200, "passed")


def test_failed_criteria_are_described_in_words() -> None:
    quality_gate = QualityGate.model_validate(
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
    assert failed_criteria(quality_gate, "poor", scores) == [
        "the verdict is poor, not good",
        "tstr_score is 0.7, below 0.72",
        "detection_auc is 0.9, above 0.6",
        "kernel_distance could not be measured",
    ]
    assert failed_criteria(None, "memorized", scores) == []


@pytest.mark.parametrize(
    ("gate", "pointer"),
    [
        (
            {"scores": {"frechet_distance": {"max": 1}}},
            "/quality_gate/scores/frechet_distance",
        ),  # an image score
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
def test_invalid_quality_gate_is_rejected(
    client: TestClient, gate: dict[str, Any], pointer: str
) -> None:
    dataset = create_dataset(make_people_csv(40), "people.csv", target="income")
    answer = client.post(
        "/v1/jobs", json={"kind": "training", "dataset": dataset, "quality_gate": gate}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_quality_gate_that_cannot_be_evaluated_is_rejected_on_creation(
    client: TestClient,
) -> None:
    dataset = create_dataset(make_people_csv(40), "people.csv", target="income")
    asked = {"kind": "training", "dataset": dataset, "validate_only": True, "evaluate": True}
    gated = asked | {"quality_gate": {"allowed_verdicts": ["good"]}}
    few = client.post("/v1/jobs", json=gated)
    assert (few.status_code, few.json()["code"]) == (409, "too_few_holdout_items")
    assert client.post("/v1/jobs", json=gated | {"holdout_fraction": 0.5}).status_code == 200
    no = client.post("/v1/jobs", json=gated | {"holdout_fraction": 0.5, "evaluate": False}).json()
    assert no["errors"][0]["pointer"] == "/evaluate"
    unlabeled = gated | {"holdout_fraction": 0.5, "conditional": False}
    unlabeled["quality_gate"] = {"scores": {"tstr_score": {"min": 0.8}}}
    no = client.post("/v1/jobs", json=unlabeled).json()
    assert no["errors"][0]["pointer"] == "/quality_gate/scores/tstr_score"

    warned = client.post("/v1/jobs", json=asked).json()["warnings"]
    assert [warning for warning in warned if warning["code"] == "evaluation_skipped"]
    enough = client.post("/v1/jobs", json=asked | {"holdout_fraction": 0.5}).json()["warnings"]
    assert not [warning for warning in enough if warning["code"] == "evaluation_skipped"]


def test_score_ranges_of_the_quality_gate_match_the_report(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    train(client, dataset, TINY_TABLE_CONFIG, 4)
    post_evaluation(client)
    assert run_next(QUEUES)
    scores = client.get("/v1/models/pets/report").json()["scores"]
    for score in scores:
        score_type = registry.get("tabular").score_types[score["name"]]
        assert score["direction"] == score_type.direction
        low, high = score["ci95"]
        assert score_type.minimum <= low <= score["value"] <= high <= score_type.maximum


def test_failed_evaluation_marks_the_report_but_not_the_model(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    train(client, dataset, TINY_TABLE_CONFIG, 4)
    job = post_evaluation(client).json()["id"]
    with read() as session:
        stored = session.get_one(Dataset, dataset).objects["rows"]
    get_storage().delete([stored["key"]])
    assert run_next(QUEUES)
    assert get_job(client, job)["error"]["code"] == "dataset_unreadable"
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["error"]["code"]) == ("failed", "dataset_unreadable")
    assert client.get("/v1/models/pets").status_code == 200


def test_evaluation_can_be_cancelled_and_retried(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    train(client, dataset, TINY_TABLE_CONFIG, 4)
    job_id = post_evaluation(client).json()["id"]
    check_stop = evaluation.EvaluationJob.check_stop

    def cancel_at_step_zero(job: evaluation.EvaluationJob) -> None:
        if job._lease.step == 0:
            assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelling"
            job._lease.send_heartbeat()
        check_stop(job)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation.EvaluationJob, "check_stop", cancel_at_step_zero)
        assert run_next(QUEUES)
    assert get_job(client, job_id)["state"] == "cancelled"
    assert client.get("/v1/models/pets/report").json()["state"] == "cancelled"
    again = client.post(f"/v1/jobs/{job_id}/retry").json()
    with read() as session:
        old, new = (session.get_one(Job, id) for id in (job_id, again["id"]))
        assert (new.kind, new.model_id, new.resolved) == (*(old.kind, old.model_id, old.resolved),)
        live_jobs = jobs.live_jobs_of_dataset(session, old.tenant_id, dataset)
    assert list(live_jobs) == [again["id"]]


def test_a_retried_evaluation_fails_if_the_dataset_was_changed_since(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    train(client, dataset, TINY_TABLE_CONFIG, 4)
    job_id = post_evaluation(client).json()["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    with write() as session:
        row = session.get_one(Dataset, dataset)
        row.summary = row.summary | {"sha256": "0" * 64}
    retried = client.post(f"/v1/jobs/{job_id}/retry").json()["id"]
    assert run_next(QUEUES)
    error = get_job(client, retried)["error"]
    assert error["code"] == "dataset_unreadable"
    assert "was changed after the training" in error["detail"]


def test_comparison_shows_the_scores_of_each_model(client: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    for steps in (4, 40):
        train(client, dataset, TINY_TABLE_CONFIG, steps, evaluate=True)
        assert run_next(QUEUES)
    train(client, dataset, TINY_TABLE_CONFIG, 4)
    url = "/v1/models/compare?models=pets:1,pets:2,pets"
    comparison = client.get(url).json()
    assert [model["reference"] for model in comparison["models"]] == ["pets:1", "pets:2", "pets:3"]
    assert [model["training"]["step"] for model in comparison["models"]] == [4, 40, 4]
    assert comparison["models"][2]["state"] == "not_evaluated"
    message = "pets:3 has no scores: it has not been evaluated."
    assert comparison["warnings"] == [{"code": "no_scores", "message": message}]
    for model in comparison["models"][:2]:
        report = client.get(f"/v1/models/{model['reference']}/report").json()
        assert list(model["scores"].values()) == report["scores"]
        assert model["checkpoints"]
        assert model["training"]["cpu_s"] > 0
    different_scores = [
        name
        for name in registry.get("tabular").score_types
        if name in comparison["models"][0]["scores"]
        and len({model["scores"][name]["value"] for model in comparison["models"][:2]}) == 2
    ]
    assert list(comparison["best"]) == different_scores
    page = client.get(url, headers={"Accept": "text/html"}).text
    seed = comparison["models"][0]["training"]["seed"]
    assert f"<td>{seed}</td>" in page  # with all digits, to be copied
    assert page.count("★") == sum(best["significant"] for best in comparison["best"].values())
    assert "http" not in page

    train(client, dataset, TINY_TABLE_CONFIG, 4, evaluate=True, seed=2)
    assert run_next(QUEUES)
    other = client.get("/v1/models/compare?models=pets:1,pets:4").json()
    assert other["warnings"][0]["code"] == "different_holdouts"
    assert other["warnings"][0]["message"].startswith(
        "The models were evaluated on different holdouts of the dataset"
    )
    other_dataset = create_dataset(make_people_csv(390), "people.csv", target="income")
    train(client, other_dataset, TINY_TABLE_CONFIG, 4, evaluate=True)
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
    ("direction", "first", "second", "best", "significant"),
    [
        ("lower", (1.0, 0.1), (2.0, 0.1), "first", True),
        ("higher", (1.0, 0.1), (2.0, 0.1), "second", True),
        ("higher", (1.0, 0.6), (2.0, 0.6), "second", False),
        ("target", (0.3, 0.05), (0.6, 0.02), "second", True),
        ("target", (0.45, 0.1), (0.6, 0.02), "first", False),
    ],
)
def test_best_model_is_named_with_its_significance(
    direction: Any,
    first: tuple[float, float],
    second: tuple[float, float],
    best: str,
    significant: bool,
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

    best_model = best_models([model("first", *first), model("second", *second)])["it"]
    assert (best_model.reference, best_model.significant) == (best, significant)
    assert best_models([model("first", *first), model("second", *first)]) == {}


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
def test_invalid_evaluation_request_is_rejected_and_creates_no_job(
    client: TestClient, change: dict[str, Any], status: int, code: str | None
) -> None:
    create_trained_model(client, "pets")
    answer = post_evaluation(client, **change)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert client.get("/v1/jobs?kind=evaluation").json()["data"] == []


def test_report_of_a_model_that_cannot_be_evaluated_gives_the_reason(client: TestClient) -> None:
    create_trained_model(client, "pets")
    report = client.get("/v1/models/pets/report").json()
    assert (report["state"], report["error"]) == ("not_evaluated", None)
    assert report["not_evaluable_reason"].startswith(
        "An evaluation needs at least 20 holdout items"
    )
    page = client.get("/v1/models/pets/report?format=html").text
    assert report["not_evaluable_reason"] in re.sub("</?code>", "`", page)
