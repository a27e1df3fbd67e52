"""Ingestion of uploads: decode in a sandbox process, store the objects, add the dataset.

A small upload is read while its request waits (`ingest`); nothing remains of an invalid one.
A large upload is stored unread (`enqueue_ingestion`), and the request is answered. Then the API or,
if its process dies, any worker reads the files (`validate`). A lease on the row ensures that only
one process does.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core import leases, process_folder, quotas
from core.database import read, write
from core.datasets import remote_file, repository
from core.datasets.reader_slots import reader_slot
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable, SemblanceError, Unavailable
from core.ids import new_id
from core.leases import LeaseLost
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, key_of
from core.tables import Dataset
from modalities import registry

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # to validate a dataset


# Called with the new row, in the transaction that adds it.
OnCreated = Callable[[Session, Dataset], None]


def ingest(
    storage: Storage,
    tenant_id: str,
    new: NewDataset,
    files: Sequence[SourceFile],
    on_created: OnCreated,
) -> Dataset:
    """Read the files and add the dataset as `ready`.

    Raises DatasetUnreadable if the files cannot be used; nothing is stored then.
    """
    dataset_id = new_id("ds")
    with working_folder(sum(file.path.stat().st_size for file in files)) as folder:
        with reader_slot(tenant_id):
            summary = read_files(new.modality, files, new.options, folder, lambda: None)
        prefix = key_of(tenant_id, "datasets", dataset_id)
        with deleted_on_error(storage, prefix):
            objects = store_objects(storage, prefix, new.modality, folder)
            sources = _store_sources(storage, prefix, files) if keeps_upload(new.modality) else []
            with write() as session:
                dataset = repository.add_ready(
                    session,
                    tenant_id,
                    dataset_id,
                    new,
                    sources=sources,
                    objects=objects,
                    summary=summary,
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
    """Store the unread files and add the dataset as `validating`."""
    dataset_id = new_id("ds")
    prefix = key_of(tenant_id, "datasets", dataset_id)
    with deleted_on_error(storage, prefix):
        sources = _store_sources(storage, prefix, files)
        with write() as session:
            dataset = repository.add_validating(
                session, tenant_id, dataset_id, new, sources=sources
            )
            on_created(session, dataset)
    return dataset


def validate(storage: Storage, dataset_id: str | None = None) -> bool:
    """Validate one waiting dataset: `dataset_id`, or by default one of the next tenant.

    Returns False if none is waiting. After an error of the server, any process validates the
    dataset again when the lease has expired, but at most MAX_ATTEMPTS times.
    """
    with write() as session:
        dataset = repository.claim_validation(session, dataset_id)
    if dataset is None:
        return False
    parts = [part for source in dataset.sources for part in source["parts"]]
    try:
        if dataset.fencing_token > MAX_ATTEMPTS:
            raise Unavailable(
                f"The server failed {MAX_ATTEMPTS} times to validate the files. Upload them again; "
                "if that fails too, check the server's log."
            )
        with working_folder(2 * sum(part["bytes"] for part in parts)) as folder:
            objects, summary, sources = _validate(storage, dataset, folder)
        with write() as session:
            keep = keeps_upload(dataset.modality)
            repository.finish_validation(
                session, dataset, objects=objects, summary=summary, sources=sources if keep else []
            )
        if keep:
            return True
    except LeaseLost:
        return True  # deleted, or claimed by another process, which needs the sources
    except SemblanceError as error:
        if error.retryable and dataset.fencing_token < MAX_ATTEMPTS:
            return True
        try:
            with write() as session:
                repository.fail_validation(session, dataset, error)
        except LeaseLost:
            return True
    storage.delete(part["key"] for part in parts)
    return True


def _validate(
    storage: Storage, dataset: Dataset, folder: Path
) -> tuple[dict[str, StoredObject], dict[str, Any], list[dict[str, Any]]]:
    """Read the sources and store the objects; return them, the summary and the stored sources.

    Raises LeaseLost.
    """

    def renew() -> None:
        with write() as session:
            repository.renew_validation(session, dataset)

    with leases.renewed(renew, repository.VALIDATION_LEASE_S / 3) as check_lease:
        files = copy_sources(storage, dataset, folder, check_lease)
        if any("url" in source for source in dataset.sources):  # others were counted before
            size = sum(file.path.stat().st_size for file in files)
            with read() as session:
                quotas.check_storage(session, dataset.tenant_id, size)
        with reader_slot(dataset.tenant_id, get_settings().ingest_timeout_seconds, check_lease):
            summary = read_files(dataset.modality, files, dataset.options, folder, check_lease)
        check_lease()
        prefix = key_of(dataset.tenant_id, "datasets", dataset.id)
        sources = dataset.sources
        if any("url" in source for source in sources) and keeps_upload(dataset.modality):
            sources = _store_sources(storage, prefix, files)
        return store_objects(storage, prefix, dataset.modality, folder), summary, sources


def keeps_upload(modality: str) -> bool:
    """Return True if uploads are kept, so that they can be read again with other options."""
    return bool(registry.get(modality).update_options.model_fields)


def copy_sources(
    storage: Storage, dataset: Dataset, folder: Path, check_lease: Callable[[], None]
) -> list[SourceFile]:
    """Copy the stored upload into `folder`.

    Raises:
        DatasetUnreadable: A stored file is damaged, or differs from the announced one.
    """

    def on_chunk() -> None:
        check_free_disk()  # the size of a file that is fetched is not known in advance
        check_lease()

    files = []
    for i, source in enumerate(dataset.sources):
        path = folder / f"source-{i}"
        if "url" in source:
            remote_file.download(source["url"], path, on_chunk)
            files.append(SourceFile(path, source["name"]))
            continue
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
                        f"The stored copy of {source['name']} is missing or damaged. "
                        "Upload the file again."
                    ) from error
            check_lease()
        if source["sha256"] not in {None, digest.hexdigest()}:
            raise DatasetUnreadable(
                f"{source['name']} does not have the SHA-256 that the upload declared. "
                "Upload the file again.",
                code="upload_damaged",
            )
        files.append(SourceFile(path, source["name"]))
    return files


def read_files(
    modality: str,
    files: Sequence[SourceFile],
    options: dict[str, Any],
    folder: Path,
    check_lease: Callable[[], None],
) -> dict[str, Any]:
    """Decode `files` into the folder "content" in `folder`; return `Dataset.summary`."""
    out = folder / "content"
    out.mkdir()

    def on_wait() -> None:
        check_free_disk()  # the unpacked size of an archive is not known in advance
        check_lease()

    return registry.get(modality).ingest(files, options, out, on_wait)


@contextmanager
def deleted_on_error(storage: Storage, prefix: str) -> Iterator[None]:
    """Delete the objects under `prefix` if the block fails: no row refers to them then."""
    try:
        yield
    except BaseException:
        storage.delete(list(storage.keys(prefix)))
        raise


def store_objects(
    storage: Storage, prefix: str, modality: str, folder: Path
) -> dict[str, StoredObject]:
    """Store what `read_files` has written, under keys that begin with `prefix`."""
    return {
        name: storage.put_file(f"{prefix}/{file}", folder / "content" / file)
        for name, file in registry.get(modality).object_files.items()
    }


def _store_sources(
    storage: Storage, prefix: str, files: Sequence[SourceFile]
) -> list[dict[str, Any]]:
    return [
        {
            "name": file.name,
            "sha256": None,
            "parts": [storage.put_file(f"{prefix}/source/{i}", file.path).to_dict()],
        }
        for i, file in enumerate(files)
    ]


def check_free_disk(needed_bytes: int = 0) -> None:
    """Raise Unavailable if `needed_bytes` would leave less than `min_free_disk_bytes` free."""
    settings = get_settings()
    if shutil.disk_usage(settings.scratch).free < settings.min_free_disk_bytes + needed_bytes:
        raise Unavailable("The server's disk is nearly full. Retry later.", code="storage_full")


@contextmanager
def working_folder(needed_bytes: int = 0) -> Iterator[Path]:
    """Create an owner-only folder and delete it on exit.

    Raises Unavailable if the disk has no room for `needed_bytes`.
    """
    check_free_disk(needed_bytes)
    folder = process_folder.get() / new_id("ingest")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
