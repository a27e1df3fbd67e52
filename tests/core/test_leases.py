"""Leases of rows, on the table of datasets."""

import threading
from datetime import timedelta
from queue import Queue

import pytest
from sqlalchemy.exc import OperationalError

from core import leases
from core.database import read, write
from core.leases import LeaseLost
from core.tables import Dataset


def acquire(dataset: Dataset, seconds: float = 30.0) -> Dataset | None:
    with write() as session:
        return leases.acquire(
            session, Dataset, Dataset.id == dataset.id, leases.is_free(Dataset), seconds=seconds
        )


def rename(dataset: Dataset, fencing_token: int, name: str) -> None:
    with write() as session:
        leases.fenced_update(session, Dataset, fencing_token, Dataset.id == dataset.id, name=name)


def name_of(dataset: Dataset) -> str:
    with read() as session:
        return session.get_one(Dataset, dataset.id).name


def test_a_held_row_cannot_be_acquired(dataset: Dataset) -> None:
    assert acquire(dataset) is not None
    assert acquire(dataset) is None


def test_each_acquisition_increments_the_fencing_token(dataset: Dataset) -> None:
    tokens = [row.fencing_token for _ in range(3) if (row := acquire(dataset, seconds=-1.0))]
    assert tokens == [1, 2, 3]


def test_the_holder_can_change_the_row(dataset: Dataset) -> None:
    assert acquire(dataset) is not None
    rename(dataset, 1, "boots")
    assert name_of(dataset) == "boots"


def test_a_write_under_an_expired_lease_changes_nothing(dataset: Dataset) -> None:
    assert acquire(dataset, seconds=-1.0) is not None
    with pytest.raises(LeaseLost):
        rename(dataset, 1, "boots")
    assert name_of(dataset) == "garments"


def test_a_write_with_an_older_token_changes_nothing(dataset: Dataset) -> None:
    acquire(dataset, seconds=-1.0)
    acquire(dataset)
    with pytest.raises(LeaseLost):
        rename(dataset, 1, "boots")
    rename(dataset, 2, "shirts")
    assert name_of(dataset) == "shirts"


def test_a_renewed_lease_lasts_from_the_renewal(dataset: Dataset) -> None:
    before = acquire(dataset)
    with write() as session:
        after = leases.renew(session, Dataset, 1, Dataset.id == dataset.id, seconds=3_600.0)
    assert before is not None
    assert before.lease_until is not None
    assert after.lease_until is not None
    assert after.lease_until - before.lease_until >= timedelta(seconds=3_570)


def test_a_released_row_is_free_and_its_token_is_invalid(dataset: Dataset) -> None:
    acquire(dataset)
    with write() as session:
        leases.release(session, Dataset, 1, Dataset.id == dataset.id, name="boots")
    with pytest.raises(LeaseLost):
        rename(dataset, 1, "shirts")
    assert acquire(dataset) is not None
    assert name_of(dataset) == "boots"


def test_background_renewal_retries_errors_of_the_database_and_reports_a_lost_lease() -> None:
    outcomes = [OperationalError("", None, Exception()), None, LeaseLost()]
    threads: Queue[threading.Thread] = Queue()

    def renew() -> None:
        threads.put(threading.current_thread())
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    with leases.renewed(renew, 0.01) as check:
        threads.get(timeout=30).join(30)
        assert outcomes == []
        with pytest.raises(LeaseLost):
            check()


def test_background_renewal_ends_with_its_block() -> None:
    with leases.renewed(lambda: None, 3_600.0) as check:
        check()
    assert "lease renewal" not in {thread.name for thread in threading.enumerate()}
