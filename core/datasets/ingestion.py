"""From uploaded bytes to a dataset: decode in a child process, store, record.

A small upload is read while its request waits (`ingest`); if it cannot be used, nothing is kept.
A large one is stored as it came, answered, and read afterwards (`validate`) by the API or, if that
dies, by any worker: the row is leased for as long as somebody reads it.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core.database import write
from core.datasets import repository
from core.datasets.images import ImageOptions, ImageSummary, read_images_in_sandbox
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.datasets.tabular import ColumnOverride, SchemaOverrides, read_table_in_sandbox
from core.errors import DatasetUnreadable, SemblanceError, Unavailable
from core.ids import new_id
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, key_of
from core.tables import Dataset

log = logging.getLogger(__name__)

OBJECT_FILES = {
    "image": {"x": "x.npy", "y": "y.npy", "preview": "preview.png"},
    "tabular": {"rows": "rows.parquet", "profile": "profile.json"},
}


class DatasetDeleted(Exception):
    """The dataset went away while it was being read."""


# Called with the new row, in the transaction that adds it.
OnCreated = Callable[[Session, Dataset], None]


def ingest(
    storage: Storage,
    tenant_id: str,
    new: NewDataset,
    files: Sequence[SourceFile],
    on_created: OnCreated,
) -> Dataset:
    """Read the files and add the dataset as `ready`. Raises DatasetUnreadable and keeps nothing."""
    dataset_id = new_id("ds")
    with working_folder(sum(file.path.stat().st_size for file in files)) as folder:
        summary = _read(new.modality, files, new.options, folder, lambda: None)
        content = _store(storage, tenant_id, dataset_id, OBJECT_FILES[new.modality], folder)
    with write() as session:
        dataset = repository.add_ready(
            session, tenant_id, dataset_id, new, objects=content, summary=summary
        )
        on_created(session, dataset)
    return dataset


def enqueue_ingestion(
    storage: Storage,
    tenant_id: str,
    new: NewDataset,
    files: Sequence[SourceFile],
    on_created: OnCreated,
) -> Dataset:
    """Keep the files as they are and add the dataset as `validating`."""
    dataset_id = new_id("ds")
    sources = [
        {
            "name": file.name,
            "sha256": None,
            "parts": [
                storage.put_file(
                    key_of(tenant_id, "datasets", dataset_id, "source", str(i)), file.path
                ).to_dict()
            ],
        }
        for i, file in enumerate(files)
    ]
    with write() as session:
        dataset = repository.add_validating(session, tenant_id, dataset_id, new, sources=sources)
        on_created(session, dataset)
    return dataset


def validate(storage: Storage, dataset_id: str | None = None) -> bool:
    """Read one dataset that waits (this one, or the oldest); False when there is none."""
    with write() as session:
        dataset = repository.claim_validation(session, dataset_id)
    if dataset is None:
        return False
    try:
        parts = [part for source in dataset.sources for part in source["parts"]]
        with working_folder(2 * sum(part["bytes"] for part in parts)) as folder:
            content, summary = _validate(storage, dataset, folder)
        with write() as session:
            repository.finish_validation(session, dataset, objects=content, summary=summary)
    except DatasetDeleted:
        return True
    except SemblanceError as error:
        if error.retryable and dataset.attempt < repository.MAX_ATTEMPTS:
            return True  # the lease runs out and somebody tries again
        with write() as session:
            repository.fail_validation(session, dataset, error)
    storage.delete(part["key"] for source in dataset.sources for part in source["parts"])
    return True


def _validate(
    storage: Storage, dataset: Dataset, folder: Path
) -> tuple[dict[str, StoredObject], dict[str, Any]]:
    def renew() -> None:
        with write() as session:
            if not repository.renew_validation(session, dataset):
                raise DatasetDeleted

    files = []
    for i, source in enumerate(dataset.sources):
        path = folder / f"source-{i}"
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for part in source["parts"]:
                try:
                    with (
                        storage.open(StoredObject.from_dict(part)) as stored,
                        stored.open("rb") as file,
                    ):
                        while chunk := file.read(1024 * 1024):
                            digest.update(chunk)
                            out.write(chunk)
                except ObjectCorrupted as error:
                    raise DatasetUnreadable(
                        f"{source['name']}: {error}; upload it again"
                    ) from error
            renew()
        if source["sha256"] not in {None, digest.hexdigest()}:
            raise DatasetUnreadable(
                f"{source['name']}: the bytes do not have the announced sha256",
                code="upload_damaged",
            )
        files.append(SourceFile(path, source["name"]))
    summary = _read(dataset.modality, files, dataset.options, folder, renew)
    renew()
    objects = OBJECT_FILES[dataset.modality]
    return _store(storage, dataset.tenant_id, dataset.id, objects, folder), summary


def _read(
    modality: str,
    files: Sequence[SourceFile],
    meta: dict[str, Any],
    folder: Path,
    renew: Callable[[], None],
) -> dict[str, Any]:
    """Decode into `folder`; what is known of the set, as the row keeps it."""
    out = folder / "content"
    out.mkdir()

    def look() -> None:
        check_free_disk()  # what comes out of an archive is known only when it is out
        renew()

    read = _read_rows if modality == "tabular" else _read_images
    return read(files, meta, out, look)


def _read_rows(
    files: Sequence[SourceFile], meta: dict[str, Any], out: Path, renew: Callable[[], None]
) -> dict[str, Any]:
    settings = get_settings()
    wanted = SchemaOverrides(
        columns=tuple(ColumnOverride(**column) for column in meta.get("schema", [])),
        target=meta.get("target"),
        exclude_columns=tuple(meta.get("exclude_columns", [])),
        pointer_prefix="/meta",
    )
    summary = read_table_in_sandbox(
        files, wanted, settings.limits, out, settings.ingest_timeout_seconds, renew
    )
    return summary.to_dict()


def _read_images(
    files: Sequence[SourceFile], meta: dict[str, Any], out: Path, renew: Callable[[], None]
) -> dict[str, Any]:
    settings = get_settings()
    size = meta.get("size")
    summary = read_images_in_sandbox(
        files,
        ImageOptions(
            resize=meta.get("resize"),
            size=(size[0], size[1]) if size else None,
            class_names=meta.get("class_names"),
        ),
        settings.limits,
        out,
        settings.ingest_timeout_seconds,
        renew,
    )
    return image_summary(summary, out)


def image_summary(summary: ImageSummary, out: Path) -> dict[str, Any]:
    """As the row keeps it; `out` has x.npy and y.npy."""
    from core.datasets.images.profile import profile_images  # numpy, which takes time to load

    labels = [label.name for label in summary.labels]
    whole = hashlib.sha256(json.dumps([summary.x_sha256, summary.y_sha256, labels]).encode())
    return summary.to_dict() | {
        "sha256": whole.hexdigest(),
        "profile": profile_images(out / "x.npy", out / "y.npy", labels, summary.n_train),
    }


def _store(
    storage: Storage, tenant_id: str, dataset_id: str, objects: dict[str, str], folder: Path
) -> dict[str, StoredObject]:
    return {
        name: storage.put_file(
            key_of(tenant_id, "datasets", dataset_id, file), folder / "content" / file
        )
        for name, file in objects.items()
    }


def check_free_disk(needed_bytes: int = 0) -> None:
    """Raises Unavailable when so many bytes would not leave the room that is always kept."""
    settings = get_settings()
    if shutil.disk_usage(settings.scratch).free < settings.min_free_disk_bytes + needed_bytes:
        raise Unavailable("the disk is nearly full", code="storage_full")


@contextmanager
def working_folder(needed_bytes: int = 0) -> Iterator[Path]:
    """An owner-only folder that is gone afterwards. Raises Unavailable when the disk has no room
    for that many bytes."""
    check_free_disk(needed_bytes)
    folder = get_settings().scratch / new_id("ingest")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
