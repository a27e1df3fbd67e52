"""Slots of the processes that read untrusted files."""

import pytest

from core.datasets.reader_slots import reader_slot
from core.errors import Unavailable
from core.settings import Settings


def test_no_more_readers_run_than_there_are_slots(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "concurrent_readers", 2)
    waits = []
    with reader_slot(0.0), reader_slot(0.0):
        with pytest.raises(Unavailable) as caught, reader_slot(0.2, lambda: waits.append(1)):
            raise AssertionError("a third reader runs")
        assert (caught.value.code, bool(waits)) == ("readers_busy", True)
    with reader_slot(0.0), reader_slot(0.0):
        pass


def test_a_slot_is_free_again_after_an_error(configured: Settings) -> None:
    for _ in range(configured.concurrent_readers + 1):
        with pytest.raises(ValueError, match="hostile"), reader_slot(0.0):
            raise ValueError("hostile")
