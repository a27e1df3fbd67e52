"""Models in memory: each read once, within the bound, and never taken from under an answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from app.sampling.model_cache import ModelCache
from core.errors import Unavailable
from core.settings import Settings
from core.storage import get_storage
from models.load import AnySampler
from tests.factories import create_model


class Read:
    """Something of so many bytes, read from a file that is a little larger."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.stat().st_size


def memory_of(capacity: int, read: type[Read] = Read) -> ModelCache:
    return ModelCache(get_storage(), capacity, lambda path: cast("AnySampler", read(path)))


def test_many_requests_for_cold_models_read_each_once(configured: Settings) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(4)]
    together = threading.Barrier(8)
    memory = memory_of(10**9)

    def ask(number: int) -> str:
        together.wait()
        for turn in range(8):
            memory.load(models[(number + turn) % 4])
        return "read"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["read"] * 8
    assert memory.loads == 4


def test_the_model_not_used_for_longest_makes_room(configured: Settings) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(3)]
    each = models[0].weights["bytes"]
    memory = memory_of(2 * each + each // 2)
    memory.load(models[0])
    memory.load(models[1])
    memory.load(models[0])
    memory.load(models[2])
    assert [memory.is_loaded(model) for model in models] == [True, False, True]
    assert memory.bytes <= 2 * each + each // 2


def test_a_model_that_is_drawn_from_is_not_forgotten_and_the_next_has_to_wait(
    configured: Settings,
) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(2)]
    memory = memory_of(models[0].weights["bytes"] + 1)
    with ExitStack() as held:
        held.enter_context(memory.lease(models[0]))
        with pytest.raises(Unavailable) as refused:
            memory.load(models[1])
        assert refused.value.code == "model_cache_full"
        assert "Retry-After" in refused.value.headers
        assert memory.is_loaded(models[0])
    memory.load(models[1])
    assert not memory.is_loaded(models[0])


def test_a_model_larger_than_all_the_room_may_have_it_alone(configured: Settings) -> None:
    memory = memory_of(1)
    model = create_model()
    memory.load(model)
    assert memory.is_loaded(model)


def test_a_model_that_cannot_be_read_leaves_no_room_taken(configured: Settings) -> None:
    class Broken(Read):
        def __init__(self, path: Path) -> None:
            raise ValueError("no model")

    memory = memory_of(10**9, Broken)
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            memory.load(create_model())
        assert refused.value.code == "model_unavailable"
    assert memory.bytes == 0
