"""Models by name, version and alias; what is in use stays."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.sampling.model_cache import get_model_cache
from core import jobs, model_registry
from core.database import write
from core.jobs import Claim
from core.settings import Settings
from core.storage import get_storage
from tests.conftest import TENANT, AddJob
from tests.factories import clear_model_caches, create_checkpoint, create_model


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    return client


@pytest.fixture
def running(service: TestClient, add_job: AddJob) -> Claim:
    """A job of `shoes` that a worker holds."""
    job = add_job()
    with write() as session:
        taken = jobs.claim(session, job.id, "worker")
    assert taken is not None
    return taken[0]


def draw(client: TestClient, reference: str, **body: Any) -> Any:
    wanted = {"count": 5, "seed": 1, **body}
    return client.post(f"/v1/models/{reference}/samples?format=npz", json=wanted)


def objects(settings: Settings) -> set[Path]:
    return {path for path in (settings.data_dir / "objects").rglob("*") if path.is_file()}


def test_an_alias_is_moved_from_version_to_version(service: TestClient) -> None:
    first, second = create_model(), create_model(seed=1)
    put = service.put("/v1/models/shoes:1/aliases/champion")
    assert (put.status_code, put.json()["aliases"]) == (200, ["champion"])
    assert service.get("/v1/models/shoes@champion").json()["id"] == first.id
    assert draw(service, "shoes@champion").headers["semblance-model"] == first.id
    service.put("/v1/models/shoes:2/aliases/champion")
    assert service.get("/v1/models/shoes@champion").json()["id"] == second.id
    assert service.get("/v1/models/shoes:1").json()["aliases"] == []
    assert service.get("/v1/models/shoes@latest").json()["id"] == second.id
    assert service.delete("/v1/models/shoes/aliases/champion").status_code == 204
    assert service.get("/v1/models/shoes@champion").status_code == 404
    assert service.delete("/v1/models/shoes/aliases/champion").status_code == 404


@pytest.mark.parametrize("alias", ["latest", "3", "a b", "x" * 65])
def test_an_alias_that_could_mean_something_else_is_refused(
    service: TestClient, alias: str
) -> None:
    create_model()
    answer = service.put(f"/v1/models/shoes/aliases/{alias}")
    assert (answer.status_code, answer.json()["code"]) == (422, "alias_invalid")


@pytest.mark.parametrize(
    ("dataset", "model"),
    [
        ("shoes", "shoes"),
        ("comparer", "comparer"),
        ("compare", "model-compare"),
        ("compare/", "model-compare"),
        ("mdl_1", "model-mdl_1"),
        ("a/b: c", "a-b- c"),
        ("…", "model"),
        ("mdl_" + "x" * 200, "model-mdl_" + "x" * 118),
    ],
)
def test_a_model_that_is_named_after_its_dataset_is_reachable(dataset: str, model: str) -> None:
    assert model_registry.sanitize_name(dataset) == model
    assert model_registry.NAME.fullmatch(model)


def test_a_description_and_tags_are_changed_and_nothing_else(service: TestClient) -> None:
    before = service.get(f"/v1/models/{create_model().id}").json()
    change = {"description": "of spring", "tags": {"team": "red"}}
    after = service.patch("/v1/models/shoes", json=change).json()
    assert after == before | change
    cleared = service.patch("/v1/models/shoes", json={"description": None}).json()
    assert cleared == after | {"description": None}
    assert service.patch("/v1/models/shoes", json={"name": "boots"}).status_code == 422


def test_a_deleted_model_is_gone_with_its_weights(
    service: TestClient, configured: Settings
) -> None:
    model = create_model()
    assert draw(service, "shoes").status_code == 200
    assert service.delete("/v1/models/shoes").status_code == 204
    assert service.get(f"/v1/models/{model.id}").status_code == 404
    assert draw(service, model.id).status_code == 404
    assert not objects(configured)


def test_a_model_that_an_alias_names_is_not_deleted(service: TestClient) -> None:
    create_model()
    service.put("/v1/models/shoes/aliases/champion")
    refused = service.delete("/v1/models/shoes")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert refused.json()["aliases"] == ["shoes@champion"]
    assert draw(service, "shoes").status_code == 200


def test_a_model_that_is_drawn_from_is_neither_unloaded_nor_deleted(
    service: TestClient, configured: Settings
) -> None:
    model = create_model()
    with get_model_cache().lease(model):
        for refused in (
            service.delete("/v1/models/shoes"),
            service.post("/v1/models/shoes/unload"),
        ):
            assert (refused.status_code, refused.json()["streams"]) == (409, 1)
        assert len(objects(configured)) == 1
    assert service.delete("/v1/models/shoes").status_code == 204


def test_a_promoted_checkpoint_stays_as_long_as_its_job_may_need_it(
    service: TestClient, running: Claim, configured: Settings
) -> None:
    create_checkpoint(running, 10, seed=0)
    kept = create_checkpoint(running, 20, seed=1)
    assert service.post(f"/v1/jobs/{running.job_id}/checkpoints/10/promote").status_code == 201
    refused = service.delete("/v1/models/shoes")
    assert (refused.status_code, refused.json()["jobs"]) == (409, [running.job_id])
    with write() as session:
        jobs.cancel(session, TENANT, running.job_id)
        jobs.confirm_cancelled(session, running)
    assert service.delete("/v1/models/shoes").status_code == 204
    steps = [row["step"] for row in service.get(f"/v1/jobs/{running.job_id}/checkpoints").json()]
    assert steps == [20]
    assert {path.name for path in objects(configured)} == {"state-20", "model-20"}
    assert get_storage().read(kept["model"])


def test_a_model_can_be_sampled_while_it_is_trained(service: TestClient, running: Claim) -> None:
    reference = f"{running.job_id}@latest"
    early = draw(service, reference)
    assert (early.status_code, early.json()["code"]) == (409, "no_checkpoint")
    create_checkpoint(running, 10, seed=0, score=0.7)
    first = draw(service, reference)
    assert first.headers["semblance-model"] == f"{running.job_id}@10"
    assert first.headers["semblance-step"] == "10"
    newest = create_checkpoint(running, 20, seed=1, score=0.5)
    second = draw(service, reference)
    assert second.headers["semblance-step"] == "20"
    assert second.content != first.content
    assert draw(service, f"{running.job_id}@10").content == first.content
    assert draw(service, f"{running.job_id}@best").content == first.content
    conditions = service.get(f"/v1/models/{reference}/sampling-options")
    assert conditions.status_code == 200, conditions.text
    assert conditions.json()["labels"]
    clear_model_caches()
    path = next(Path(get_storage()._root or "").rglob(newest["model"].key.rsplit("/", 1)[1]))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert draw(service, reference).headers["semblance-step"] == "10"  # the newest that is whole


def test_a_request_names_a_checkpoint_of_the_models_job(
    service: TestClient, running: Claim
) -> None:
    create_checkpoint(running, 10, seed=0)
    create_checkpoint(running, 20, seed=1)
    service.post(f"/v1/jobs/{running.job_id}/checkpoints/20/promote")
    old = draw(service, "shoes", checkpoint=10)
    assert old.headers["semblance-step"] == "10"
    assert old.content == draw(service, f"{running.job_id}@10").content
    assert draw(service, "shoes", checkpoint="latest").content == draw(service, "shoes").content
    for checkpoint, words in ((15, "20"), ("best", "score")):
        refused = draw(service, "shoes", checkpoint=checkpoint)
        assert (refused.status_code, refused.json()["code"]) == (422, "checkpoint_unknown")
        assert words in refused.text
    assert draw(service, "shoes", checkpoint="newest").status_code == 422
    create_model()
    assert "imported" in draw(service, "shoes", checkpoint="latest").json()["detail"]


def test_what_is_in_memory_is_shown_loaded_and_forgotten(service: TestClient) -> None:
    create_model()
    assert service.get("/v1/models/shoes").json()["loaded"] is False
    assert service.post("/v1/models/shoes/load").json()["loaded"] is True
    assert get_model_cache().loads == 1
    assert draw(service, "shoes").status_code == 200
    assert get_model_cache().loads == 1
    assert service.post("/v1/models/shoes/unload").json()["loaded"] is False
    assert service.get("/v1/models").json()["data"][0]["loaded"] is False


def test_another_tenants_names_are_unknown(service: TestClient) -> None:
    """Read by a key of a tenant that has nothing."""
    from core import api_keys
    from core.tables import Tenant

    model = create_model()
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        api_keys.add(session, "other", "sem_other", name="other", scopes=api_keys.SCOPES)
    headers = {"Authorization": "Bearer sem_other"}
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("PUT", "/aliases/champion"),
        ("POST", "/load"),
        ("GET", "/card"),
        ("GET", "/architecture"),
        ("GET", "/export"),
    ):
        body = {"tags": {}} if method == "PATCH" else None
        url = f"/v1/models/{model.id}{path}"
        assert service.request(method, url, headers=headers, json=body).status_code == 404, path
