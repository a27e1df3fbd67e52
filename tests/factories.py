"""Datasets, models and evaluations that tests create, most of them without training."""

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from app.sampling.model_cache import get_model_cache
from app.sampling.service import get_sampling_service
from core import jobs, model_registry
from core.database import clock, read, write
from core.datasets import builtin, repository
from core.datasets.peek import Peek
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.ids import new_id
from core.jobs import Claim, NewCheckpoint, NewJob
from core.limits import Limits
from core.storage import StoredObject, get_storage, key_of
from core.tables import Dataset, Job, JobKind, JobState, Model
from job_kinds.results import EvaluationResult, MainScore
from modalities import registry
from modalities.image.ingest import summarize
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.reading import read_images
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from models.images.training import ImageTrainer
from models.training_callbacks import PackedCheckpoint
from tests.conftest import TENANT
from tests.models.images.tiny import make_images, make_settings
from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import GARMENT_LABELS, make_garments_zip, make_image_zip, make_people_csv
from worker.job_runner import run_next

# Datasets


class DatasetContent(NamedTuple):
    """Result of reading an upload: the summary of the dataset and the bytes of each object."""

    kind: str
    summary: dict[str, Any]
    files: dict[str, bytes]


_content_cache: dict[str, DatasetContent] = {}


def create_dataset(data: bytes, name: str = "pets.zip", **meta: Any) -> str:
    """Create the dataset that an upload of `data` creates, and return its id.

    The file is read in this process by the code that the service runs in a subprocess. Equal
    uploads are read once per test run.
    """
    cache_key = hashlib.sha256(json.dumps([name, meta]).encode() + data).hexdigest()
    if cache_key not in _content_cache:
        with tempfile.TemporaryDirectory(prefix="semblance-read-") as folder:
            _content_cache[cache_key] = _read_content(data, name, meta, Path(folder))
    content, dataset_id, storage = _content_cache[cache_key], new_id("ds"), get_storage()
    objects = registry.get(content.kind).object_files
    stored = {
        part: storage.put(key_of(TENANT, "datasets", dataset_id, objects[part]), data)
        for part, data in content.files.items()
    }
    title = Path(name.removesuffix(".gz")).stem
    with write() as session:
        new_dataset = NewDataset(title, {}, meta, content.kind)
        repository.add_ready(
            session,
            TENANT,
            dataset_id,
            new_dataset,
            sources=[],
            objects=stored,
            summary=content.summary,
        )
    return dataset_id


def _read_content(data: bytes, name: str, meta: dict[str, Any], folder: Path) -> DatasetContent:
    source, out = SourceFile(folder / "upload", name), folder / "content"
    source.path.write_bytes(data)
    out.mkdir()
    kind = registry.detect(Peek.of_bytes(data, name)).name
    if kind == "tabular":
        columns = tuple(ColumnOverride(**column) for column in meta.get("schema", []))
        drop = tuple(meta.get("exclude_columns", []))
        overrides = SchemaOverrides(
            columns=columns, target=meta.get("target"), exclude_columns=drop, pointer_prefix="/meta"
        )
        summary = read_table([source], overrides, Limits(), out).to_dict()
    else:
        images = read_images([source], ImageOptions(**meta), Limits(), out)
        summary = summarize(images, out)
    files = {
        part: (out / file).read_bytes() for part, file in registry.get(kind).object_files.items()
    }
    return DatasetContent(kind, summary, files)


def create_digits_dataset() -> str:
    """Create the built-in digits dataset and return its id."""
    (source,) = builtin.get_digits()
    return create_dataset(source.path.read_bytes(), source.name)


# Untrained models: the code that serves models does not depend on training

LABELS = GARMENT_LABELS


@cache
def build_checkpoint(seed: int = 0, scoring: bool = False) -> PackedCheckpoint:
    """Return untrained tiny networks for 8 x 8 gray images and three labels.

    With `scoring`, the model includes a classifier and a critic that score its samples.
    """
    settings = make_settings(classes=len(LABELS))
    trainer = ImageTrainer(settings, make_images(settings), seed)
    if scoring:
        # Untrained networks give nearly equal images and scores: larger weights spread them.
        trainer.networks.average.network["G"].end.weight.data *= 100
        trainer.features.classifier.out.weight.data *= 100
        trainer.features.predicts_labels = True
        trainer.features.freeze()
        trainer.calibration = (1.0, 0.0)
    return trainer.pack()


def build_manifest(checkpoint: PackedCheckpoint) -> dict[str, object]:
    return {
        "modality": "image",
        "labels": [{"name": name, "count": n + 1} for n, name in enumerate(LABELS)],
        "image": {"height": 8, "width": 8, "channels": 1},
        "training": {
            "modality": "image",
            "seed": 1,
            "holdout_fraction": 0.1,
            "hyperparameters": {},
        },
        "dataset": {"id": "ds_gone", "name": "garments", "sha256": "0" * 64},
        "parameters": checkpoint.parameters,
    }


def create_model(name: str = "shoes", seed: int = 0, scoring: bool = False) -> Model:
    """Create the next version of `name`, as an import does."""
    checkpoint, model_id = build_checkpoint(seed, scoring), new_id("mdl")
    stored = get_storage().put(
        key_of(TENANT, "models", f"{model_id}.safetensors"), checkpoint.model
    )
    with write() as session:
        return model_registry.create_imported_version(
            session,
            TENANT,
            name,
            model_id=model_id,
            step=4,
            weights=stored,
            manifest=build_manifest(checkpoint),
        )


def create_checkpoint(
    claim: Claim, step: int, seed: int, score: float | None = None
) -> dict[str, StoredObject]:
    """Store a checkpoint of a running job and return its files."""
    checkpoint, storage = build_checkpoint(seed), get_storage()
    files = {
        name: storage.put(key_of(TENANT, "jobs", claim.job_id, f"{name}-{step}"), data)
        for name, data in (("state", checkpoint.state), ("model", checkpoint.model))
    }
    with write() as session:
        new_checkpoint = NewCheckpoint(step, files, build_manifest(checkpoint), {}, score)
        jobs.add_checkpoint(session, claim, new_checkpoint)
    return files


# Trained models with their job and dataset. A job of a few steps trains each once per test run;
# later tests insert the same rows and files.

PET_LABELS = ("ant", "bee", "cat")
MODEL_RECIPES: dict[str, tuple[Any, ...]] = {
    "pets": (
        lambda: create_dataset(make_image_zip(PET_LABELS, 12), "pets.zip"),
        TINY_IMAGE_CONFIG,
        4,
    ),
    "shoes": (lambda: create_dataset(make_garments_zip(), "garments.zip"), TINY_IMAGE_CONFIG, 4),
    "people": (
        lambda: create_dataset(make_people_csv(), "people.csv", target="income"),
        TINY_TABLE_CONFIG,
        60,
    ),
}


class CachedModel(NamedTuple):
    rows: list[tuple[Any, dict[str, Any]]]
    files: list[tuple[StoredObject, bytes]]


_trained_cache: dict[str, CachedModel] = {}


def create_trained_model(client: TestClient, name: str) -> None:
    """Create the image model `pets` or `shoes`, or the tabular model `people`."""
    torch.set_num_threads(1)
    clear_model_caches()
    if name not in _trained_cache:
        _trained_cache[name] = _train_model(client, name)
        return
    for stored, data in _trained_cache[name].files:
        assert get_storage().put(stored.key, data) == stored
    with write() as session:
        for table, values in _trained_cache[name].rows:
            session.execute(insert(table).values(**values))


def _train_model(client: TestClient, name: str) -> CachedModel:
    create, config, steps = MODEL_RECIPES[name]
    body = {
        "kind": "training",
        "dataset": create(),
        "name": name,
        "hyperparameters": config,
        "budget": {"steps": steps},
        "seed": 1,
    }
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    assert run_next(["training"])
    with read() as session:
        model = session.scalars(select(Model).where(Model.name == name)).one()
        job = session.get_one(Job, model.job_id)
        dataset = session.get_one(Dataset, model.dataset_id)
        rows = [
            (type(row), {c.key: getattr(row, c.key) for c in type(row).__mapper__.column_attrs})
            for row in (dataset, job, model)
        ]
    files = [
        StoredObject.from_dict(fields) for fields in (model.weights, *dataset.objects.values())
    ]
    return CachedModel(rows, [(stored, get_storage().read(stored)) for stored in files])


def create_evaluation(model_id: str, quality: str, **scores: float) -> None:
    """Add an evaluation job that has succeeded with these scores."""
    result = EvaluationResult(
        verdict=quality,
        quality=quality,
        reasons=[],
        failed_criteria=[],
        scores={
            name: MainScore(value=value, ci95=[value, value], real_reference=None)
            for name, value in scores.items()
        },
        report="report.json",
    )
    new = NewJob(JobKind.EVALUATION, "e", None, {}, {}, queue="evaluation", model_id=model_id)
    with write() as session:
        job = jobs.create(session, TENANT, new)
        job.state, job.finished_at = JobState.SUCCEEDED, clock()
        job.result = result.model_dump()


def clear_model_caches() -> None:
    """Empty the caches of loaded models, because each test has its own storage."""
    get_sampling_service.cache_clear()
    get_model_cache.cache_clear()
