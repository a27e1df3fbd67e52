"""A third kind of data is one object: sequences of numbers that rise or fall.

The service trains and samples its models, in responses and in jobs, without knowing it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import modalities
from core import model_registry
from core.database import write
from core.datasets import repository
from core.datasets.repository import NewDataset
from core.ids import new_id
from core.storage import get_storage, key_of
from core.tables import Dataset
from core.training import Budget
from modalities.base import Modality
from modalities.sampling import Sampler, SelectionPlan
from modalities.selection import Selection, check_selection, count_labels
from modalities.training import ResolvedTraining, TrainingChoices, TrainingRun
from models.training_callbacks import PackedCheckpoint
from tests.conftest import TENANT
from tests.factories import clear_model_caches
from worker.job_runner import run_next

FORMATS = {"ndjson": "application/x-ndjson"}


@dataclass(frozen=True)
class SequencePlan(SelectionPlan):
    items: tuple[tuple[str, int], ...]  # label and index

    formats = FORMATS

    @property
    def count(self) -> int:
        return len(self.items)

    def encode(self, format: str, batches: Iterator[Any], head: Any) -> Iterator[bytes]:
        for batch in batches:
            yield "".join(f"{json.dumps(item)}\n" for item in batch).encode()

    def slice(self, start: int, stop: int) -> "SequencePlan":
        return replace(self, items=self.items[start:stop])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def count_labels(self, batch: Any) -> Counter[str]:
        return Counter(item["label"] for item in batch)


class SequenceBatch(list[Any]):
    acceptance_rate = None


class SequenceSampler(Sampler):
    def __init__(self, path: Path) -> None:
        self.length = int(path.read_bytes())

    bytes = 8

    def draw(self, plan: SequencePlan, turns: Any) -> Iterator[SequenceBatch]:
        for label, index in plan.items:
            with turns.take():
                values = sorted(((index + 1) * 7 * k) % 11 for k in range(self.length))
            item = {"label": label, "values": values if label == "up" else values[::-1]}
            yield SequenceBatch([item])


class Sequences(Modality):
    name, items = "sequence", "sequences"
    sample_formats = file_formats = FORMATS

    def plan_selection(
        self, manifest: Any, selection: Selection, options: Any, seed: int
    ) -> SequencePlan:
        check_selection(selection)
        counts = count_labels(manifest, selection.labels or {"up": selection.count or 0})
        first = seed + selection.offset
        items = [(label, first + k) for label, n in counts.items() for k in range(n)]
        return SequencePlan(tuple(items))

    def read_plan(self, manifest: Any, plan: Any, seed: int) -> SequencePlan:
        return SequencePlan(tuple((label, index) for label, index in plan["items"]))

    def load_sampler(self, path: Path) -> SequenceSampler:
        return SequenceSampler(path)

    def plan_training(
        self, session: Any, dataset: Dataset, choices: TrainingChoices, options: Any
    ) -> ResolvedTraining:
        budget = choices.budget or Budget(steps=1)
        return ResolvedTraining(conditional=True, budget=budget, hyperparameters={}, batch_size=1)

    def train(self, run: TrainingRun) -> None:
        run.start({"labels": run.dataset.summary["labels"]})
        step = 0
        while run.progress(step) < 1:
            step += 1
        length = str(run.dataset.summary["length"]).encode()
        run.save(step, PackedCheckpoint(state=b"none", model=length, parameters=1))


@pytest.fixture
def service(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Serve the model `lines`, whose weights are the length of its sequences."""
    clear_model_caches()
    installed = {**modalities.installed(), "sequence": Sequences()}
    monkeypatch.setattr(modalities, "installed", lambda: installed)
    model_id = new_id("mdl")
    stored = get_storage().put(key_of(TENANT, "models", f"{model_id}.safetensors"), b"5")
    labels = [{"name": name, "count": 1} for name in ("up", "down")]
    manifest = {"modality": "sequence", "labels": labels, "parameters": 1, "training": {}}
    with write() as session:
        model_registry.create_imported_version(
            session, TENANT, "lines", model_id=model_id, step=0, weights=stored, manifest=manifest
        )
    return client


def create_dataset(length: int) -> str:
    dataset_id = new_id("ds")
    labels = [{"name": name, "count": 30} for name in ("up", "down")]
    summary = {"labels": labels, "n_train": 60, "n_test": 0, "issues": [], "sha256": "0" * 64}
    with write() as session:
        new = NewDataset("waves", {}, {}, "sequence")
        summary["length"] = length
        repository.add_ready(session, TENANT, dataset_id, new, objects={}, summary=summary)
    return dataset_id


def sample(client: TestClient, **body: Any) -> list[Any]:
    response = client.post("/v1/models/lines/samples", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_samples_have_the_requested_labels_and_are_the_same_on_any_page(
    service: TestClient,
) -> None:
    whole = sample(service, labels={"up": 3, "down": 2}, seed=4)
    assert [item["label"] for item in whole] == ["up"] * 3 + ["down"] * 2
    assert all(len(item["values"]) == 5 for item in whole)
    assert sample(service, labels={"up": 1}, seed=4, offset=2) == whole[2:3]


def test_a_generation_job_has_the_items_of_the_samples_route(service: TestClient) -> None:
    body = {"labels": {"up": 3, "down": 2}, "seed": 4}
    job = {"kind": "generation", "model": "lines", "shard_size": 2, **body}
    estimate = service.post("/v1/jobs", json={**job, "validate_only": True})
    assert estimate.json()["estimate"]["shards"] == 3
    job_id = service.post("/v1/jobs", json=job).json()["id"]
    assert run_next(["generation"])
    result = service.get(f"/v1/jobs/{job_id}").json()["result"]
    assert result["labels"] == {"up": 3, "down": 2}
    shards = [
        service.get(f"/v1/jobs/{job_id}/artifacts/shard-{number:05}.ndjson").text
        for number in range(3)
    ]
    items = [json.loads(line) for line in "".join(shards).splitlines()]
    assert items == sample(service, **body)


def test_a_model_is_trained_with_the_modality_s_own_loop_and_then_sampled(
    service: TestClient,
) -> None:
    body = {"kind": "training", "dataset": create_dataset(3), "budget": {"steps": 2}}
    plan = service.post("/v1/jobs", json=body | {"validate_only": True}).json()
    assert (plan["resolved"]["modality"], plan["estimate"]["steps"]) == ("sequence", 2)
    job_id = service.post("/v1/jobs", json=body).json()["id"]
    assert run_next(["training"])
    job = service.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["result"]["step"]) == ("succeeded", 2)
    samples = service.post("/v1/models/waves/samples", json={"labels": {"down": 1}, "seed": 1})
    assert len(samples.json()["values"]) == 3
    foreign = service.post("/v1/jobs", json=body | {"target_column": "age"})
    assert foreign.json()["errors"][0]["pointer"] == "/target_column"


def test_a_field_of_another_kind_of_data_is_rejected(service: TestClient) -> None:
    body = {"count": 1, "layout": "grid", "conditions": [{"where": {"a": 1}}]}
    response = service.post("/v1/models/lines/samples", json=body)
    assert response.status_code == 422
    pointers = {error["pointer"] for error in response.json()["errors"]}
    assert pointers == {"/layout", "/conditions"}
    assert "does not apply to sequences" in response.text
    wrong_label = service.post("/v1/models/lines/samples", json={"labels": {"upp": 1}})
    assert wrong_label.json()["errors"][0]["allowed"] == ["up"]


def test_the_model_is_described_and_loaded_like_any_other(service: TestClient) -> None:
    model = service.post("/v1/models/lines/load").json()
    assert (model["modality"], model["labels"], model["loaded"]) == (
        *("sequence", ["up", "down"]),
        True,
    )
    assert model["image"] is model["columns"] is None
    options = service.get("/v1/models/lines/sampling-options").json()
    assert [label["name"] for label in options["labels"]] == ["up", "down"]
    assert service.get("/v1/models/lines/architecture").json()["networks"] == []
