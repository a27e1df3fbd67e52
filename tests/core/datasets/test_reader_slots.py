"""Slots of the processes that read untrusted files."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from core.datasets import reader_slots
from core.datasets.reader_slots import reader_slot
from core.errors import Unavailable
from core.settings import Settings
from tests.processes import TIMEOUT_S, eventually


def test_no_more_readers_run_than_there_are_slots(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "concurrent_readers", 2)
    with reader_slot("a", 0.0), reader_slot("a", 0.0):
        with pytest.raises(Unavailable) as caught, reader_slot("a", 0.2):
            raise AssertionError("a third reader runs")
        assert caught.value.code == "readers_busy"
    with reader_slot("a", 0.0), reader_slot("a", 0.0):
        pass


def test_an_error_of_the_callback_ends_the_wait_for_a_slot(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "concurrent_readers", 1)

    def fail() -> None:
        raise KeyError("the row is gone")

    with (
        reader_slot("a", 0.0),
        pytest.raises(KeyError, match="the row is gone"),
        reader_slot("a", TIMEOUT_S, fail),
    ):
        raise AssertionError("a second reader runs")


def test_a_slot_is_free_again_after_an_error(configured: Settings) -> None:
    for _ in range(configured.concurrent_readers + 1):
        with pytest.raises(ValueError, match="hostile"), reader_slot("a", 0.0):
            raise ValueError("hostile")


def test_tenants_take_turns_and_one_leaves_a_slot_to_others(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "concurrent_readers", 2)
    monkeypatch.setattr(reader_slots, "POLL_S", 0.01)
    turns, began = reader_slots.turns, list[str]()
    release = threading.Event()

    def read(tenant_id: str) -> None:
        with reader_slot(tenant_id):
            began.append(tenant_id)
            release.wait(TIMEOUT_S)

    with ThreadPoolExecutor(9) as pool:
        first = []
        for number, tenant_id in enumerate(["greedy"] * 4 + ["modest"]):
            first.append(pool.submit(read, tenant_id))
            eventually(lambda n=number: len(began) + turns.count_waiting() > n, every=0.005)
            if number < 2:  # there are two slots
                eventually(lambda n=number: len(began) > n, every=0.005)
        assert began == ["greedy", "greedy"]  # it was alone
        release.set()
        wait(first)
        assert began[2] == "modest"
        release.clear()
        for number in range(3):
            pool.submit(read, "greedy")
            eventually(lambda n=number: len(began) + turns.count_waiting() > 5 + n, every=0.005)
            eventually(lambda: len(began) == 6, every=0.005)
        pool.submit(read, "modest")
        eventually(lambda: len(began) == 7, every=0.005)
        assert began[5:] == ["greedy", "modest"]
        release.set()
