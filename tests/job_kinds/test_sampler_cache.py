"""The sampler that a job's process keeps for the next job."""

import gc
import weakref
from typing import cast

from job_kinds.generation.sampler_cache import KEEP_S, SamplerCache
from modalities.sampling import Sampler
from tests.processes import eventually


class FakeSampler:
    """A stand-in for a loaded sampler."""


def load() -> Sampler:
    return cast("Sampler", FakeSampler())


def test_jobs_of_the_same_model_load_it_once() -> None:
    cache = SamplerCache()
    first = cache.get("a", load)
    assert cache.get("a", load) is first
    assert cache.get("b", load) is not first
    assert cache.get("a", load) is not first


def test_a_sampler_is_removed_within_a_minute_of_its_last_use() -> None:
    assert KEEP_S <= 60
    cache = SamplerCache(keep_s=0.05)
    reference = weakref.ref(cache.get("a", load))

    def is_removed() -> bool:
        gc.collect()
        return reference() is None

    eventually(is_removed)
    assert cache.get("a", load) is not None


def test_the_last_sampler_is_removed_before_the_next_one_is_loaded() -> None:
    cache = SamplerCache()
    reference = weakref.ref(cache.get("a", load))

    def load_next() -> Sampler:
        gc.collect()
        assert reference() is None
        return load()

    cache.get("b", load_next)
