"""Contract of a modality with the service: the same tests for images, tables and a third kind.

The third kind (tests.modalities.sequences) is registered as an installed package would be.
"""

import csv
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from app.schemas.samples import SamplesRequest
from core.errors import ValidationFailed
from modalities import registry
from modalities.image.options import ImageSampleOptions
from tests.factories import clear_model_caches
from tests.job_runs import (
    get_model_sha256,
    interrupt_training,
    list_checkpoints,
    record_start_steps,
)
from tests.modalities import sequences
from tests.tiny_configs import SHORT_EVALUATION, TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import make_image_zip, make_people_csv, upload
from worker.job_runner import run_next


@dataclass(frozen=True)
class Case:
    """A small dataset of a modality, a short training, and how to count labels in its formats."""

    modality: str
    name: str
    data: Callable[[], bytes]
    labels: Mapping[str, int]
    read_labels: Mapping[str, Callable[[bytes], list[str]]]  # by format
    content_format: str
    foreign_option: Mapping[str, Any]  # of a samples request
    meta: Mapping[str, Any] | None = None
    hyperparameters: Mapping[str, Any] | None = None
    steps: int = 6


def read_zip(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        text = archive.read("labels.csv").decode()
    return [row["label"] for row in csv.DictReader(text.splitlines())]


def read_npz(data: bytes) -> list[str]:
    with np.load(io.BytesIO(data)) as arrays:
        return [str(arrays["labels"][index]) for index in arrays["y"]]


def read_rows(data: bytes) -> list[str]:
    return [row["income"] for row in csv.DictReader(data.decode().splitlines())]


def read_ndjson(name: str) -> Callable[[bytes], list[str]]:
    return lambda data: [json.loads(line)[name] for line in data.splitlines()]


def make_sequences() -> bytes:
    """Return 200 rising and 100 falling sequences of four digits."""
    rng = np.random.default_rng(0)
    rows = [sorted(map(str, rng.integers(10, size=4)), reverse=k % 3 == 0) for k in range(300)]
    return sequences.to_csv(["up" if k % 3 else "down", *row] for k, row in enumerate(rows))


CASES = (
    Case(
        "image",
        "pets.zip",
        lambda: make_image_zip(("ant", "bee"), 110),
        {"ant": 110, "bee": 110},
        {"zip": read_zip, "npz": read_npz},
        "zip",
        {"partial_rows": [{"age": 30}]},
        hyperparameters=TINY_IMAGE_CONFIG,
    ),
    Case(
        "tabular",
        "people.csv",
        make_people_csv,
        {"<=50K": 320, ">50K": 80},
        {"csv": read_rows, "ndjson": read_ndjson("income")},
        "csv",
        {"layout": "grid"},
        meta={"target": "income"},
        hyperparameters=TINY_TABLE_CONFIG,
    ),
    Case(
        "sequence",
        "waves.seq",
        make_sequences,
        {"down": 100, "up": 200},
        {
            "csv": lambda data: [line.split(",")[0] for line in data.decode().splitlines()],
            "ndjson": read_ndjson("label"),
        },
        "csv",
        {"layout": "grid"},
    ),
)


@pytest.fixture(params=CASES, ids=lambda case: case.modality)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(autouse=True)
def third_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the third modality: write the metadata of a package, as pip does."""
    package = tmp_path / "sequences-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: sequences\nVersion: 1.0\n")
    entry_point = "sequence = tests.modalities.sequences:MODALITY"
    (package / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\n{entry_point}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.installed.cache_clear()
    clear_model_caches()
    torch.set_num_threads(1)
    yield
    registry.installed.cache_clear()


class Waves(sequences.Sequences):
    """A fourth kind of data, which has some fields of images."""

    name = "wave"
    sample_options = ImageSampleOptions


WAVES = Waves()


def create_dataset(client: TestClient, case: Case) -> Any:
    response = upload(client, case.data(), case.name, json.dumps(case.meta or {}))
    assert response.status_code == 201, response.text
    return response.json()


def training_request(client: TestClient, case: Case) -> dict[str, Any]:
    return {
        "kind": "training",
        "dataset": create_dataset(client, case)["id"],
        "name": "model",
        "hyperparameters": case.hyperparameters or {},
        "budget": {"steps": case.steps},
        "checkpoint": {"interval_steps": 2},
        "seed": 1,
    }


def create_job(client: TestClient, **body: Any) -> str:
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


def run_job(client: TestClient, **body: Any) -> Any:
    job_id = create_job(client, **body)
    assert run_next([body["kind"]])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["state"] == "succeeded", job["error"]
    return job


def sample(client: TestClient, format: str, *, model: str = "model", **body: Any) -> bytes:
    url = f"/v1/models/{model}/samples?format={format}"
    response = client.post(url, json={"seed": 3, **body})
    assert response.status_code == 200, response.text
    return response.content


def test_an_upload_is_detected_and_can_be_downloaded_and_uploaded_again(
    client: TestClient, case: Case
) -> None:
    dataset = create_dataset(client, case)
    assert (dataset["modality"], dataset["state"]) == (case.modality, "ready")
    assert {label["name"]: label["count"] for label in dataset["labels"]} == case.labels
    path = f"/v1/datasets/{dataset['id']}"
    assert client.get(f"{path}/preview").content
    assert client.get(f"{path}/profile").json()["train_items"] == sum(case.labels.values())
    content = client.get(f"{path}/content?format={case.content_format}").content
    again = upload(client, content, case.name, json.dumps(case.meta or {})).json()
    assert again["sha256"] == dataset["sha256"]


def test_a_training_job_is_planned_without_being_created(client: TestClient, case: Case) -> None:
    body = training_request(client, case)
    plan = client.post("/v1/jobs", json=body | {"validate_only": True}).json()
    assert plan["resolved"]["modality"] == case.modality
    assert plan["estimate"]["steps"] == case.steps
    assert client.get("/v1/jobs").json()["data"] == []


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    client: TestClient, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = training_request(client, case)
    job = run_job(client, **body)
    assert {row.step for row in list_checkpoints(job["id"])} == {2, 4, case.steps}
    interrupted = create_job(client, **body)
    interrupt_training(client, interrupted, monkeypatch, at_step=5)
    assert [row.step for row in list_checkpoints(interrupted)] == [4, 2]
    start_steps = record_start_steps(monkeypatch)
    assert run_next(["training"])
    assert start_steps == [4]
    assert get_model_sha256(interrupted, case.steps) == get_model_sha256(job["id"], case.steps)


def test_samples_have_the_requested_labels_and_are_the_same_on_every_page(
    client: TestClient, case: Case
) -> None:
    run_job(client, **training_request(client, case))
    requested = {name: n + 2 for n, name in enumerate(case.labels)}
    for format, read_labels in case.read_labels.items():
        content = sample(client, format, labels=requested)
        assert Counter(read_labels(content)) == requested
        assert sample(client, format, labels=requested) == content
        whole = read_labels(sample(client, format, count=7))
        first, rest = (
            read_labels(sample(client, format, count=n, offset=offset))
            for n, offset in ((3, 0), (4, 3))
        )
        assert first + rest == whole


def test_a_request_with_an_unknown_label_or_a_field_of_another_modality_is_rejected(
    client: TestClient, case: Case
) -> None:
    run_job(client, **training_request(client, case))
    url, label = "/v1/models/model/samples", next(iter(case.labels))
    unknown = client.post(url, json={"labels": {f"{label}s": 1}})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_label")
    assert label in unknown.json()["errors"][0]["allowed"]
    foreign = client.post(url, json={"count": 1, **case.foreign_option})
    (option,) = case.foreign_option
    assert (foreign.status_code, foreign.json()["errors"][0]["pointer"]) == (422, f"/{option}")
    items = registry.get(case.modality).items
    assert f"`{option}` does not apply to {items}." in foreign.json()["detail"]


def test_a_field_that_two_other_modalities_have_is_rejected_once(tmp_path: Path) -> None:
    entry_points = tmp_path / "sequences-1.0.dist-info" / "entry_points.txt"
    with entry_points.open("a") as file:
        file.write(f"wave = {__name__}:WAVES\n")
    registry.installed.cache_clear()
    request = SamplesRequest(count=1, layout="grid")
    with pytest.raises(ValidationFailed) as error:
        registry.own_options(request, registry.get("tabular"), "sample_options")
    assert [field.pointer for field in error.value.field_errors] == ["/layout"]


def test_a_model_is_described_and_loaded(client: TestClient, case: Case) -> None:
    run_job(client, **training_request(client, case))
    model = client.post("/v1/models/model/load").json()
    assert (model["modality"], model["loaded"]) == (case.modality, True)
    assert set(model["labels"]) == set(case.labels)
    options = client.get("/v1/models/model/sampling-options").json()
    assert {label["name"] for label in options["labels"]} == set(case.labels)
    networks = client.get("/v1/models/model/architecture").json()["networks"]
    assert bool(networks) == (case.modality != "sequence")


def test_the_file_of_a_generation_job_is_the_response_to_the_samples_request(
    client: TestClient, case: Case
) -> None:
    run_job(client, **training_request(client, case))
    body: dict[str, Any] = {"labels": dict.fromkeys(case.labels, 3), "seed": 4}
    for format in case.read_labels:
        job = run_job(client, kind="generation", model="model", format=format, **body)
        assert job["result"]["labels"] == body["labels"]
        file = client.get(f"/v1/jobs/{job['id']}/artifacts/shard-00000.{format}").content
        assert file == sample(client, format, **body)


def test_an_evaluation_writes_the_report_of_the_model(
    client: TestClient, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, steps in (SHORT_EVALUATION | {"models.metrics.gradient_boosting.TREES": 20}).items():
        monkeypatch.setattr(name, steps)
    run_job(client, **training_request(client, case))
    run_job(client, kind="evaluation", model="model", samples=40)
    report = client.get("/v1/models/model/report").json()
    assert (report["state"], report["samples"]) == ("evaluated", 40)
    assert report["holdout_items"] == round(0.1 * sum(case.labels.values()))
    if case.modality == "sequence":  # a score that only this kind has counts like any other
        assert report["verdict"]["verdict"] == "poor"
        assert report["verdict"]["reasons"][0].startswith("real_rate is ")
    modality = registry.evaluation_of(case.modality)
    assert {score["name"] for score in report["scores"]} <= modality.score_types.keys()
    page = client.get("/v1/models/model/report", headers={"accept": "text/html"}).text
    assert all(score["name"] in page for score in report["scores"])


def import_model(client: TestClient, archive: bytes) -> Any:
    headers = {"content-type": "application/zip"}
    return client.post("/v1/models/import?name=copy", content=archive, headers=headers)


def replace_weights(archive: bytes) -> bytes:
    """Return the archive with a file that is not a model, and its hash."""
    weights, out = b"not a model", io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w") as target:
        manifest = json.loads(source.read("manifest.json"))
        sha256 = hashlib.sha256(weights).hexdigest()
        manifest["files"]["model.safetensors"] = {"bytes": len(weights), "sha256": sha256}
        changed: dict[str, str | bytes] = {
            "manifest.json": json.dumps(manifest),
            "model.safetensors": weights,
        }
        for name in source.namelist():
            target.writestr(name, changed.get(name, source.read(name)))
    return out.getvalue()


def test_an_imported_model_generates_the_samples_of_the_exported_one(
    client: TestClient, case: Case
) -> None:
    run_job(client, **training_request(client, case))
    archive = client.get("/v1/models/model/export").content
    response = import_model(client, archive)
    assert response.status_code == 201, response.text
    assert response.json()["modality"] == case.modality
    format = next(iter(case.read_labels))
    assert sample(client, format, model="copy", count=5) == sample(client, format, count=5)
    rejected = import_model(client, replace_weights(archive))
    assert (rejected.status_code, rejected.json()["code"]) == (422, "import_rejected")


def test_without_its_package_a_modality_is_listed_and_other_requests_name_what_to_install(
    client: TestClient, tmp_path: Path
) -> None:
    case = CASES[-1]
    body = training_request(client, case)
    run_job(client, **body)
    archive = client.get("/v1/models/model/export").content
    shutil.rmtree(tmp_path / "sequences-1.0.dist-info")
    importlib.invalidate_caches()
    registry.installed.cache_clear()
    clear_model_caches()
    for path in ("datasets", "models", f"datasets/{body['dataset']}", "models/model", "jobs"):
        response = client.get(f"/v1/{path}")
        assert response.status_code == 200, response.text
    queued_before = len(client.get("/v1/jobs").json()["data"])
    for response in (
        client.post("/v1/models/model/samples", json={"count": 1}),
        client.get("/v1/models/model/sampling-options"),
        client.get(f"/v1/datasets/{body['dataset']}/preview"),
        client.post("/v1/jobs", json=body),
        client.post("/v1/jobs", json={"kind": "evaluation", "model": "model"}),
        client.post("/v1/jobs", json={"kind": "generation", "model": "model", "count": 5}),
        import_model(client, archive),
    ):
        problem = response.json()
        assert (response.status_code, problem["code"]) == (409, "modality_missing"), problem
        assert "entry point `sequence`" in problem["detail"]
    assert len(client.get("/v1/jobs").json()["data"]) == queued_before


def test_a_worker_without_the_package_of_a_job_says_what_to_install(
    client: TestClient, tmp_path: Path
) -> None:
    job_id = create_job(client, **training_request(client, CASES[-1]))
    shutil.rmtree(tmp_path / "sequences-1.0.dist-info")
    importlib.invalidate_caches()
    registry.installed.cache_clear()
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["state"] == "failed"
    assert "entry point `sequence`" in job["error"]["detail"]


def test_a_server_documents_the_modalities_that_are_installed_when_it_starts(
    tmp_path: Path,
) -> None:
    code = (
        "from modalities import registry; from app.schemas.datasets import DatasetMeta;"
        "print(*registry.installed(), DatasetMeta.model_json_schema()['properties']['modality'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.getcwd()))}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert run.stdout.startswith("image sequence tabular")
    assert "'enum': ['image', 'sequence', 'tabular']" in run.stdout
