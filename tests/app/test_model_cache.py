"""The model cache: single loads, a byte limit, and no eviction of leased models."""

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
from modalities.sampling import Sampler
from tests.factories import create_model


class FakeSampler:
    """A stand-in for a sampler that has the size of its file."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.stat().st_size


def make_cache(capacity: int, sampler_type: type[FakeSampler] = FakeSampler) -> ModelCache:
    return ModelCache(
        get_storage(), capacity, lambda _modality, path: cast("Sampler", sampler_type(path))
    )


def test_concurrent_requests_load_each_model_once(configured: Settings) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(4)]
    barrier = threading.Barrier(8)
    cache = make_cache(10**9)

    def load_models(thread: int) -> str:
        barrier.wait()
        for turn in range(8):
            cache.load(models[(thread + turn) % 4])
        return "loaded"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(load_models, range(8))) == ["loaded"] * 8
    assert cache.loads == 4


def test_the_least_recently_used_model_is_evicted(configured: Settings) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(3)]
    each = models[0].weights["bytes"]
    cache = make_cache(2 * each + each // 2)
    cache.load(models[0])
    cache.load(models[1])
    cache.load(models[0])
    cache.load(models[2])
    assert [cache.is_loaded(model) for model in models] == [True, False, True]
    assert cache.bytes <= 2 * each + each // 2


def test_a_leased_model_is_not_evicted_and_another_load_is_rejected(
    configured: Settings,
) -> None:
    models = [create_model(f"m{i}", seed=i) for i in range(2)]
    cache = make_cache(models[0].weights["bytes"] + 1)
    with ExitStack() as leases:
        leases.enter_context(cache.lease(models[0]))
        with pytest.raises(Unavailable) as rejected:
            cache.load(models[1])
        assert rejected.value.code == "model_cache_full"
        assert "Retry-After" in rejected.value.headers
        assert cache.is_loaded(models[0])
    cache.load(models[1])
    assert not cache.is_loaded(models[0])


def test_a_model_larger_than_the_cache_is_loaded_alone(configured: Settings) -> None:
    cache = make_cache(1)
    model = create_model()
    cache.load(model)
    assert cache.is_loaded(model)


def test_a_failed_load_reserves_no_memory(configured: Settings) -> None:
    class Broken(FakeSampler):
        def __init__(self, path: Path) -> None:
            raise ValueError("not a model")

    cache = make_cache(10**9, Broken)
    for _ in range(2):
        with pytest.raises(Unavailable) as rejected:
            cache.load(create_model())
        assert rejected.value.code == "model_unavailable"
    assert cache.bytes == 0
