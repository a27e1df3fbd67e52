"""From uploaded bytes to a dataset: decode in a child process, store, record.

A small upload is read while its request waits (`store_now`); if it cannot be used, nothing is kept.
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
from core.datasets import life
from core.datasets.images import ImageOptions, ImageSummary, read_images_in_child
from core.datasets.life import NewDataset
from core.datasets.rows import Wanted, WantedColumn, read_rows_in_child
from core.datasets.source import SourceFile
from core.errors import SemblanceError, Unavailable, UnreadableDataset
from core.ids import new_id
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, key_of
from core.tables import Dataset

log = logging.getLogger(__name__)

OBJECTS = {
    "images": {"x": "x.npy", "y": "y.npy", "preview": "preview.png"},
    "rows": {"rows": "rows.parquet", "profile": "profile.json"},
}


class Deleted(Exception):
    """The dataset went away while it was being read."""


# Called with the new row, in the transaction that adds it.
Then = Callable[[Session, Dataset], None]


def store_now(
    storage: Storage, tenant_id: str, new: NewDataset, files: Sequence[SourceFile], then: Then
) -> Dataset:
    """Read the files and add the dataset as `ready`. Raises UnreadableDataset and keeps nothing."""
    dataset_id = new_id("ds")
    with working_folder(sum(file.path.stat().st_size for file in files)) as folder:
        summary = _read(new.kind, files, new.meta, folder, lambda: None)
        content = _store(storage, tenant_id, dataset_id, OBJECTS[new.kind], folder)
    with write() as session:
        dataset = life.add_ready(
            session, tenant_id, dataset_id, new, content=content, summary=summary
        )
        then(session, dataset)
    return dataset


def store_for_later(
    storage: Storage, tenant_id: str, new: NewDataset, files: Sequence[SourceFile], then: Then
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
        dataset = life.add_validating(session, tenant_id, dataset_id, new, sources=sources)
        then(session, dataset)
    return dataset


def validate(storage: Storage, dataset_id: str | None = None) -> bool:
    """Read one dataset that waits (this one, or the oldest); False when there is none."""
    with write() as session:
        dataset = life.claim_validation(session, dataset_id)
    if dataset is None:
        return False
    try:
        parts = [part for source in dataset.sources for part in source["parts"]]
        with working_folder(2 * sum(part["bytes"] for part in parts)) as folder:
            content, summary = _validate(storage, dataset, folder)
        with write() as session:
            life.finish_validation(session, dataset, content=content, summary=summary)
    except Deleted:
        return True
    except SemblanceError as error:
        if error.retryable and dataset.attempt < life.MAX_ATTEMPTS:
            return True  # the lease runs out and somebody tries again
        with write() as session:
            life.fail_validation(session, dataset, error)
    storage.delete(part["key"] for source in dataset.sources for part in source["parts"])
    return True


def _validate(
    storage: Storage, dataset: Dataset, folder: Path
) -> tuple[dict[str, Stored], dict[str, Any]]:
    def renew() -> None:
        with write() as session:
            if not life.renew_validation(session, dataset):
                raise Deleted

    files = []
    for i, source in enumerate(dataset.sources):
        path = folder / f"source-{i}"
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for part in source["parts"]:
                try:
                    with storage.open(Stored.from_dict(part)) as stored, stored.open("rb") as file:
                        while chunk := file.read(1024 * 1024):
                            digest.update(chunk)
                            out.write(chunk)
                except DamagedObject as error:
                    raise UnreadableDataset(
                        f"{source['name']}: {error}; upload it again"
                    ) from error
            renew()
        if source["sha256"] not in {None, digest.hexdigest()}:
            raise UnreadableDataset(
                f"{source['name']}: the bytes do not have the announced sha256",
                code="upload_damaged",
            )
        files.append(SourceFile(path, source["name"]))
    summary = _read(dataset.kind, files, dataset.meta, folder, renew)
    renew()
    objects = OBJECTS[dataset.kind]
    return _store(storage, dataset.tenant_id, dataset.id, objects, folder), summary


def _read(
    kind: str,
    files: Sequence[SourceFile],
    meta: dict[str, Any],
    folder: Path,
    renew: Callable[[], None],
) -> dict[str, Any]:
    """Decode into `folder`; what is known of the set, as the row keeps it."""
    out = folder / "content"
    out.mkdir()

    def look() -> None:
        check_room()  # what comes out of an archive is known only when it is out
        renew()

    read = _read_rows if kind == "rows" else _read_images
    return read(files, meta, out, look)


def _read_rows(
    files: Sequence[SourceFile], meta: dict[str, Any], out: Path, renew: Callable[[], None]
) -> dict[str, Any]:
    settings = get_settings()
    wanted = Wanted(
        columns=tuple(WantedColumn(**column) for column in meta.get("schema", [])),
        target=meta.get("target"),
        drop=tuple(meta.get("drop", [])),
        base="/meta",
    )
    summary = read_rows_in_child(
        files, wanted, settings.limits, out, settings.ingest_timeout_s, renew
    )
    return summary.to_dict()


def _read_images(
    files: Sequence[SourceFile], meta: dict[str, Any], out: Path, renew: Callable[[], None]
) -> dict[str, Any]:
    settings = get_settings()
    size = meta.get("size")
    summary = read_images_in_child(
        files,
        ImageOptions(
            resize=meta.get("resize"),
            size=(size[0], size[1]) if size else None,
            label_names=meta.get("label_names"),
        ),
        settings.limits,
        out,
        settings.ingest_timeout_s,
        renew,
    )
    return told_of_images(summary, out)


def told_of_images(summary: ImageSummary, out: Path) -> dict[str, Any]:
    """As the row keeps it; `out` has x.npy and y.npy."""
    from core.datasets.images.profile import profile  # numpy, which takes time to load

    labels = [label.name for label in summary.labels]
    whole = hashlib.sha256(json.dumps([summary.x_sha256, summary.y_sha256, labels]).encode())
    return summary.to_dict() | {
        "sha256": whole.hexdigest(),
        "profile": profile(out / "x.npy", out / "y.npy", labels, summary.n_train),
    }


def _store(
    storage: Storage, tenant_id: str, dataset_id: str, objects: dict[str, str], folder: Path
) -> dict[str, Stored]:
    return {
        name: storage.put_file(
            key_of(tenant_id, "datasets", dataset_id, file), folder / "content" / file
        )
        for name, file in objects.items()
    }


def check_room(needed: int = 0) -> None:
    """Raises Unavailable when so many bytes would not leave the room that is always kept."""
    settings = get_settings()
    if shutil.disk_usage(settings.scratch).free < settings.free_disk_bytes + needed:
        raise Unavailable("the disk is nearly full", code="storage_full")


@contextmanager
def working_folder(needed: int = 0) -> Iterator[Path]:
    """An owner-only folder that is gone afterwards. Raises Unavailable when the disk has no room
    for that many bytes."""
    check_room(needed)
    folder = get_settings().scratch / new_id("ingest")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
