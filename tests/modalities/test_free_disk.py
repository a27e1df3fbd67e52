"""Checks of the free disk space before and while a dataset is unpacked."""

from pathlib import Path

import pytest

from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.errors import Unavailable
from core.settings import Settings, get_settings
from core.storage import get_storage
from modalities import ingestion
from tests.uploads import list_stored_files


def test_upload_larger_than_the_free_disk_is_rejected_before_unpacking(
    configured: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "huge.zip"
    with path.open("wb") as file:
        file.truncate(2**42)  # four terabytes of nothing
    new = NewDataset(name="huge", modality="image", tags={}, options={})
    with pytest.raises(Unavailable, match="nearly full"):
        ingestion.ingest(
            get_storage(), "default", new, [SourceFile(path, "huge.zip")], lambda *_: None
        )
    assert list_stored_files(configured) == []


def test_free_disk_check_rejects_with_storage_full_below_the_minimum(
    configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingestion.check_free_disk(10)
    monkeypatch.setenv("SEMBLANCE_MIN_FREE_DISK_BYTES", str(2**60))
    get_settings.cache_clear()
    with pytest.raises(Unavailable) as raised:
        ingestion.check_free_disk()
    assert raised.value.code == "storage_full"
    assert raised.value.retryable
