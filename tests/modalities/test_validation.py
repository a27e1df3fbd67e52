"""Validation of uploaded datasets under a lease."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from core.database import read, write
from core.datasets import repository
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.settings import Settings, get_settings
from core.storage import Storage, StoredObject, get_storage, key_of
from core.tables import Dataset, DatasetState, Tenant
from modalities import ingestion
from tests.conftest import TENANT
from tests.uploads import make_people_csv

VALID_TABLE = make_people_csv(60)


class InterruptedStorage(Storage):
    """Storage that calls `interrupt` before it reads a source and before it stores an object."""

    interrupt: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def open(self, stored: StoredObject) -> Iterator[Path]:
        self.interrupt()
        with super().open(stored) as path:
            yield path

    def put_file(self, key: str, path: Path) -> StoredObject:
        self.interrupt()
        return super().put_file(key, path)


@pytest.fixture
def storage(configured: Settings) -> InterruptedStorage:
    return InterruptedStorage.from_url(configured.storage_url, configured.scratch)


def enqueue(tmp_path: Path, data: bytes, tenant_id: str = TENANT) -> Dataset:
    path = tmp_path / "people.csv"
    path.write_bytes(data)
    new, file = NewDataset("people", {}, {}, "tabular"), SourceFile(path, path.name)
    return ingestion.enqueue_ingestion(get_storage(), tenant_id, new, [file], lambda *_: None)


def reload_dataset(dataset: Dataset) -> Dataset:
    with read() as session:
        return session.get_one(Dataset, dataset.id)


def expire_validation() -> None:
    with write() as session:
        session.execute(text("UPDATE datasets SET lease_until = '2000-01-01 00:00:00.0'"))


def claim_for_another_process() -> None:
    expire_validation()
    with write() as session:
        assert repository.claim_validation(session) is not None


def stored_names(dataset: Dataset) -> set[str]:
    folder = key_of(TENANT, "datasets", dataset.id)
    return {key.removeprefix(f"{folder}/") for key in get_storage().keys(folder)}


@pytest.mark.parametrize("data", [VALID_TABLE, b"no table"], ids=["valid", "invalid"])
def test_validation_that_lost_its_lease_keeps_the_row_and_its_sources(
    storage: InterruptedStorage, tmp_path: Path, data: bytes
) -> None:
    dataset = enqueue(tmp_path, data)
    storage.interrupt = claim_for_another_process
    assert ingestion.validate(storage)
    row = reload_dataset(dataset)
    assert row.state is DatasetState.VALIDATING
    assert row.sources == dataset.sources
    assert "source/0" in stored_names(dataset)


def test_the_next_process_validates_a_dataset_whose_lease_has_expired(
    storage: InterruptedStorage, tmp_path: Path
) -> None:
    dataset = enqueue(tmp_path, VALID_TABLE)
    with write() as session:
        assert repository.claim_validation(session) is not None
    assert not ingestion.validate(storage)
    expire_validation()
    assert ingestion.validate(storage)
    assert reload_dataset(dataset).state is DatasetState.READY
    assert stored_names(dataset) == {"rows.parquet", "profile.json", "source/0"}


def test_datasets_of_tenants_are_validated_in_turns(
    storage: InterruptedStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_last_tenant", "")
    with write() as session:
        session.add(Tenant(id="other", name="other"))
    first, second, third = (enqueue(tmp_path, VALID_TABLE).id for _ in range(3))
    of_other = enqueue(tmp_path, VALID_TABLE, "other").id
    claimed = []
    for _ in range(5):
        with write() as session:
            dataset = repository.claim_validation(session)
            claimed.append(None if dataset is None else dataset.id)
    assert claimed == [first, of_other, second, third, None]


def test_an_error_of_the_server_is_retried_three_times(
    storage: InterruptedStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = enqueue(tmp_path, VALID_TABLE)
    with monkeypatch.context() as environment:
        environment.setenv("SEMBLANCE_SCRATCH_DIR", str(tmp_path / "people.csv"))  # not a folder
        get_settings.cache_clear()
        for _ in range(ingestion.MAX_ATTEMPTS):
            with pytest.raises(OSError, match="exists"):
                ingestion.validate(storage)
            assert not ingestion.validate(storage)  # until the lease expires
            expire_validation()
        assert ingestion.validate(storage)
    row = reload_dataset(dataset)
    assert row.state is DatasetState.FAILED
    assert row.error is not None
    assert row.error["detail"].startswith("The server failed 3 times")
    assert stored_names(dataset) == set()
    assert not ingestion.validate(storage)
