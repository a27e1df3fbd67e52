"""The model cache: single loads, a byte limit, and no eviction of leased models."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import delete, select, update
from starlette.testclient import TestClient

from app.sampling import model_cache
from app.sampling.model_cache import ModelCache, get_model_cache
from core.database import write
from core.errors import Unavailable
from core.settings import Settings
from core.storage import get_storage
from core.tables import Checkpoint, Model
from modalities.sampling import Sampler
from tests.factories import create_model
from tests.processes import eventually


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
    assert not cache._load_locks


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


def test_deleted_models_are_removed_unless_they_generate_samples(configured: Settings) -> None:
    kept, deleted, used = (create_model(f"m{i}", seed=i) for i in range(3))
    cache = make_cache(10**9)
    for model in (kept, deleted):
        cache.load(model)
    with cache.lease(used):
        delete_models(deleted, used)
        cache.remove_deleted()
        assert [cache.is_loaded(model) for model in (kept, deleted, used)] == [True, False, True]
    cache.remove_deleted()
    assert [cache.is_loaded(model) for model in (kept, deleted, used)] == [True, False, False]


def test_weights_remain_while_one_of_the_models_that_have_them_does(configured: Settings) -> None:
    first, second = create_model("first", seed=1), create_model("second", seed=1)
    assert first.weights["sha256"] == second.weights["sha256"]
    cache = make_cache(10**9)
    cache.load(first)
    cache.load(second)
    assert cache.loads == 1
    delete_models(first)
    cache.remove_deleted()
    assert cache.is_loaded(second)
    delete_models(second)
    cache.remove_deleted()
    assert not cache.is_loaded(second)


def add_checkpoint(name: str) -> str:
    """Add a checkpoint with the weights of a trained model; return the reference to it."""
    with write() as session:
        model = session.scalars(select(Model).where(Model.name == name)).one()
        checkpoint = Checkpoint(
            id="ckp_test",
            tenant_id=model.tenant_id,
            job_id=model.job_id,
            fencing_token=7,
            step=2,
            files={"model": model.weights},
            manifest=model.manifest,
        )
        session.add(checkpoint)
        return f"{model.job_id}@2"


def test_deletion_of_a_dataset_removes_its_models_and_checkpoints(pets: TestClient) -> None:
    for reference in ("pets", add_checkpoint("pets")):
        assert pets.get(f"/v1/models/{reference}/samples").status_code == 200
    assert get_model_cache().bytes > 0
    (dataset,) = pets.get("/v1/datasets").json()["data"]
    assert pets.delete(f"/v1/datasets/{dataset['id']}?cascade=true").status_code == 204
    assert get_model_cache().bytes == 0


@pytest.mark.parametrize("path", ["/{id}", "?kind=training&ended_before=2999-01-01T00:00:00Z"])
def test_deletion_of_a_job_removes_its_checkpoints(pets: TestClient, path: str) -> None:
    reference = add_checkpoint("pets")
    assert pets.get(f"/v1/models/{reference}/samples").status_code == 200
    get_model_cache().remove_deleted()
    assert get_model_cache().bytes > 0
    job_id = reference.partition("@")[0]
    assert pets.delete("/v1/jobs" + path.format(id=job_id)).is_success
    assert get_model_cache().bytes == 0


def test_erasure_of_a_tenant_removes_its_models(client: TestClient) -> None:
    tenant = client.post("/v1/tenants", json={"name": "research"}).json()["id"]
    kept, erased = create_model("kept", seed=1), create_model("erased", seed=2)
    with write() as session:
        session.execute(update(Model).where(Model.id == erased.id).values(tenant_id=tenant))
    for model in (kept, erased):
        get_model_cache().load(model)
    client.post(f"/v1/tenants/{tenant}/suspend")
    assert client.delete(f"/v1/tenants/{tenant}").status_code == 200
    assert [get_model_cache().is_loaded(model) for model in (kept, erased)] == [True, False]


def test_other_processes_remove_a_deleted_model_within_a_minute(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("shoes", seed=1)
    get_model_cache.cache_clear()
    get_model_cache().load(model)
    assert model_cache.DELETION_CHECK_S <= 60
    monkeypatch.setattr(model_cache, "DELETION_CHECK_S", 0.05)
    with model_cache.removing_deleted_models():
        delete_models(model)  # as another process does
        eventually(lambda: not get_model_cache().is_loaded(model))
    get_model_cache.cache_clear()


def delete_models(*models: Model) -> None:
    with write() as session:
        session.execute(delete(Model).where(Model.id.in_([model.id for model in models])))
