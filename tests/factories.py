"""Data sets and models that are there without a request and, all but a few, without training."""

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
from core.database import read, write
from core.datasets import builtin, ingestion, repository
from core.datasets.images import ImageOptions
from core.datasets.images.reading import read_images
from core.datasets.modality import PEEK_BYTES, Modality, detect_modality
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.datasets.tabular import ColumnOverride, SchemaOverrides
from core.datasets.tabular.reading import read_table
from core.ids import new_id
from core.jobs import Claim, NewCheckpoint
from core.settings import Limits
from core.storage import StoredObject, get_storage, key_of
from core.tables import Dataset, Job, Model
from models.images.vae_gan.state import VaeGanState
from models.training_callbacks import PackedCheckpoint
from tests.conftest import TENANT
from tests.models.images.tiny import make_images, make_settings
from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import GARMENT_LABELS, make_garments_zip, make_image_zip, make_people_csv
from worker.job_runner import run_next

# Data sets


class DatasetContent(NamedTuple):
    """What reading gave: the row's summary, and the bytes of each object."""

    kind: Modality
    summary: dict[str, Any]
    files: dict[str, bytes]


_contents: dict[str, DatasetContent] = {}


def create_dataset(data: bytes, name: str = "pets.zip", **meta: Any) -> str:
    """The id of the data set that an upload would have made, read in this process by the reader
    that a child of the service runs; the same bytes are read once in a run of the tests.
    """
    asked = hashlib.sha256(json.dumps([name, meta]).encode() + data).hexdigest()
    if asked not in _contents:
        with tempfile.TemporaryDirectory(prefix="semblance-read-") as folder:
            _contents[asked] = _read_content(data, name, meta, Path(folder))
    content, dataset_id, storage = _contents[asked], new_id("ds"), get_storage()
    objects = ingestion.OBJECT_FILES[content.kind]
    stored = {
        part: storage.put(key_of(TENANT, "datasets", dataset_id, objects[part]), data)
        for part, data in content.files.items()
    }
    title = Path(name.removesuffix(".gz")).stem
    with write() as session:
        new = NewDataset(title, {}, meta, content.kind)
        repository.add_ready(
            session, TENANT, dataset_id, new, objects=stored, summary=content.summary
        )
    return dataset_id


def _read_content(data: bytes, name: str, meta: dict[str, Any], folder: Path) -> DatasetContent:
    source, out = SourceFile(folder / "upload", name), folder / "content"
    source.path.write_bytes(data)
    out.mkdir()
    kind = detect_modality(data[:PEEK_BYTES], name)
    if kind == "tabular":
        columns = tuple(ColumnOverride(**column) for column in meta.get("schema", []))
        drop = tuple(meta.get("exclude_columns", []))
        wanted = SchemaOverrides(
            columns=columns, target=meta.get("target"), exclude_columns=drop, pointer_prefix="/meta"
        )
        summary = read_table([source], wanted, Limits(), out).to_dict()
    else:
        found = read_images([source], ImageOptions(**meta), Limits(), out)
        summary = ingestion.image_summary(found, out)
    files = {part: (out / file).read_bytes() for part, file in ingestion.OBJECT_FILES[kind].items()}
    return DatasetContent(kind, summary, files)


def create_digits_dataset() -> str:
    """The id of the set of digits that comes with the service."""
    (source,) = builtin.get_digits()
    return create_dataset(source.path.read_bytes(), source.name)


# Models without training: what is served does not depend on it

LABELS = GARMENT_LABELS


@cache
def build_checkpoint(seed: int = 0, scoring: bool = False) -> PackedCheckpoint:
    """Of the smallest networks, 8 x 8 grey, three labels; with a classifier and a critic, if they
    are to score.
    """
    settings = make_settings(classes=len(LABELS))
    state = VaeGanState(settings, make_images(settings), seed)
    if scoring:
        # Untrained, one hardly makes a difference and the other hardly sees it.
        state.ema["G"].end.weight.data *= 100
        state.features.classifier.out.weight.data *= 100
        state.freeze_features()
        state.calibration = (1.0, 0.0)
    return state.pack()


def build_manifest(saved: PackedCheckpoint) -> dict[str, object]:
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
        "parameters": saved.parameters,
    }


def create_model(name: str = "shoes", seed: int = 0, scoring: bool = False) -> Model:
    """The next version of a name, as if it had been imported."""
    saved, model_id = build_checkpoint(seed, scoring), new_id("mdl")
    stored = get_storage().put(key_of(TENANT, "models", f"{model_id}.safetensors"), saved.model)
    with write() as session:
        return model_registry.create_imported_version(
            session,
            TENANT,
            name,
            model_id=model_id,
            step=4,
            weights=stored,
            manifest=build_manifest(saved),
        )


def create_checkpoint(
    claim: Claim, step: int, seed: int, score: float | None = None
) -> dict[str, StoredObject]:
    """Of a job that runs."""
    saved, storage = build_checkpoint(seed), get_storage()
    files = {
        name: storage.put(key_of(TENANT, "jobs", claim.job_id, f"{name}-{step}"), data)
        for name, data in (("state", saved.state), ("model", saved.model))
    }
    with write() as session:
        new = NewCheckpoint(step, files, build_manifest(saved), {}, score)
        jobs.add_checkpoint(session, claim, new)
    return files


# Models with the job and the data set that they came from: made once in a run of the tests by a
# job of a few steps, and put into each test's tables as they were

PET_LABELS = ("ant", "bee", "cat")
TRAINED_MODELS: dict[str, tuple[Any, ...]] = {
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


class TrainedModel(NamedTuple):
    rows: list[tuple[Any, dict[str, Any]]]
    files: list[tuple[StoredObject, bytes]]


_trained_models: dict[str, TrainedModel] = {}


def create_trained_model(client: TestClient, name: str) -> None:
    """The model `pets` or `shoes` of images, or `people` of rows."""
    torch.set_num_threads(1)
    clear_model_caches()
    if name not in _trained_models:
        _trained_models[name] = _train(client, name)
        return
    for stored, data in _trained_models[name].files:
        assert get_storage().put(stored.key, data) == stored
    with write() as session:
        for table, values in _trained_models[name].rows:
            session.execute(insert(table).values(**values))


def _train(client: TestClient, name: str) -> TrainedModel:
    make, config, steps = TRAINED_MODELS[name]
    body = {
        "kind": "training",
        "dataset": make(),
        "name": name,
        "hyperparameters": config,
        "budget": {"steps": steps},
        "seed": 1,
    }
    posted = client.post("/v1/jobs", json=body)
    assert posted.status_code == 202, posted.text
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
    return TrainedModel(rows, [(stored, get_storage().read(stored)) for stored in files])


def clear_model_caches() -> None:
    """The storage is another one for each test."""
    get_sampling_service.cache_clear()
    get_model_cache.cache_clear()
