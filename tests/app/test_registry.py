"""The model registry: versions, aliases, checkpoints, and protection of models in use."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.sampling.model_cache import get_model_cache
from core import api_keys, jobs, model_registry
from core.database import write
from core.jobs import Claim
from core.settings import Settings
from core.storage import get_storage
from tests.conftest import TENANT, AddJob
from tests.factories import clear_model_caches, create_checkpoint, create_dataset, create_model
from tests.uploads import make_people_csv


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    return client


@pytest.fixture
def claim(service: TestClient, add_job: AddJob) -> Claim:
    """Claim a job that trains `shoes`."""
    job = add_job()
    with write() as session:
        claimed = jobs.claim(session, job.id, "worker")
    assert claimed is not None
    return claimed[0]


def request_samples(client: TestClient, reference: str, **body: Any) -> Any:
    request = {"count": 5, "seed": 1, **body}
    return client.post(f"/v1/models/{reference}/samples?format=npz", json=request)


def stored_objects(settings: Settings) -> set[Path]:
    return {path for path in (settings.data_dir / "objects").rglob("*") if path.is_file()}


def test_an_alias_moves_between_versions(service: TestClient) -> None:
    first, second = create_model(), create_model(seed=1)
    put = service.put("/v1/models/shoes:1/aliases/champion")
    assert (put.status_code, put.json()["aliases"]) == (200, ["champion"])
    assert service.get("/v1/models/shoes@champion").json()["id"] == first.id
    assert request_samples(service, "shoes@champion").headers["semblance-model"] == first.id
    service.put("/v1/models/shoes:2/aliases/champion")
    assert service.get("/v1/models/shoes@champion").json()["id"] == second.id
    assert service.get("/v1/models/shoes:1").json()["aliases"] == []
    assert service.get("/v1/models/shoes@latest").json()["id"] == second.id
    assert service.delete("/v1/models/shoes/aliases/champion").status_code == 204
    assert service.get("/v1/models/shoes@champion").status_code == 404
    assert service.delete("/v1/models/shoes/aliases/champion").status_code == 404


@pytest.mark.parametrize("alias", ["latest", "3", "a b", "x" * 65])
def test_a_reserved_or_malformed_alias_is_rejected(service: TestClient, alias: str) -> None:
    create_model()
    response = service.put(f"/v1/models/shoes/aliases/{alias}")
    assert (response.status_code, response.json()["code"]) == (422, "alias_invalid")


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


def test_only_description_and_tags_of_a_model_can_change(service: TestClient) -> None:
    before = service.get(f"/v1/models/{create_model().id}").json()
    change = {"description": "of spring", "tags": {"team": "red"}}
    after = service.patch("/v1/models/shoes", json=change).json()
    assert after == before | change
    cleared = service.patch("/v1/models/shoes", json={"description": None}).json()
    assert cleared == after | {"description": None}
    assert service.patch("/v1/models/shoes", json={"name": "boots"}).status_code == 422


def test_deleting_a_model_deletes_its_weights(service: TestClient, configured: Settings) -> None:
    model = create_model()
    assert request_samples(service, "shoes").status_code == 200
    assert service.delete("/v1/models/shoes").status_code == 204
    assert service.get(f"/v1/models/{model.id}").status_code == 404
    assert request_samples(service, model.id).status_code == 404
    assert not stored_objects(configured)


def test_a_model_with_an_alias_cannot_be_deleted(service: TestClient) -> None:
    create_model()
    service.put("/v1/models/shoes/aliases/champion")
    rejected = service.delete("/v1/models/shoes")
    assert (rejected.status_code, rejected.json()["code"]) == (409, "in_use")
    assert rejected.json()["aliases"] == ["shoes@champion"]
    assert request_samples(service, "shoes").status_code == 200


def test_a_leased_model_can_be_neither_unloaded_nor_deleted(
    service: TestClient, configured: Settings
) -> None:
    model = create_model()
    with get_model_cache().lease(model):
        for rejected in (
            service.delete("/v1/models/shoes"),
            service.post("/v1/models/shoes/unload"),
        ):
            assert (rejected.status_code, rejected.json()["streams"]) == (409, 1)
        assert len(stored_objects(configured)) == 1
    assert service.delete("/v1/models/shoes").status_code == 204


def test_a_promoted_checkpoint_cannot_be_deleted_while_its_job_is_active(
    service: TestClient, claim: Claim, configured: Settings
) -> None:
    create_checkpoint(claim, 10, seed=0)
    newest = create_checkpoint(claim, 20, seed=1)
    assert service.post(f"/v1/jobs/{claim.job_id}/checkpoints/10/promote").status_code == 201
    rejected = service.delete("/v1/models/shoes")
    assert (rejected.status_code, rejected.json()["jobs"]) == (409, [claim.job_id])
    with write() as session:
        jobs.cancel(session, TENANT, claim.job_id)
        jobs.confirm_cancelled(session, claim)
    assert service.delete("/v1/models/shoes").status_code == 204
    steps = [row["step"] for row in service.get(f"/v1/jobs/{claim.job_id}/checkpoints").json()]
    assert steps == [20]
    assert {path.name for path in stored_objects(configured)} == {"state-20", "model-20"}
    assert get_storage().read(newest["model"])


def test_a_model_can_be_sampled_while_it_is_trained(service: TestClient, claim: Claim) -> None:
    reference = f"{claim.job_id}@latest"
    too_early = request_samples(service, reference)
    assert (too_early.status_code, too_early.json()["code"]) == (409, "no_checkpoint")
    create_checkpoint(claim, 10, seed=0, score=0.7)
    first = request_samples(service, reference)
    assert first.headers["semblance-model"] == f"{claim.job_id}@10"
    assert first.headers["semblance-step"] == "10"
    newest = create_checkpoint(claim, 20, seed=1, score=0.5)
    second = request_samples(service, reference)
    assert second.headers["semblance-step"] == "20"
    assert second.content != first.content
    assert request_samples(service, f"{claim.job_id}@10").content == first.content
    assert request_samples(service, f"{claim.job_id}@best").content == first.content
    options = service.get(f"/v1/models/{reference}/sampling-options")
    assert options.status_code == 200, options.text
    assert options.json()["labels"]
    clear_model_caches()
    path = next(Path(get_storage()._root or "").rglob(newest["model"].key.rsplit("/", 1)[1]))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    # The newest checkpoint is damaged, so the one before it serves.
    assert request_samples(service, reference).headers["semblance-step"] == "10"


def test_a_sample_request_can_select_a_checkpoint_of_the_models_job(
    service: TestClient, claim: Claim
) -> None:
    create_checkpoint(claim, 10, seed=0)
    create_checkpoint(claim, 20, seed=1)
    service.post(f"/v1/jobs/{claim.job_id}/checkpoints/20/promote")
    earlier = request_samples(service, "shoes", checkpoint=10)
    assert earlier.headers["semblance-step"] == "10"
    assert earlier.content == request_samples(service, f"{claim.job_id}@10").content
    assert (
        request_samples(service, "shoes", checkpoint="latest").content
        == request_samples(service, "shoes").content
    )
    for checkpoint, expected in ((15, "20"), ("best", "score")):
        rejected = request_samples(service, "shoes", checkpoint=checkpoint)
        assert (rejected.status_code, rejected.json()["code"]) == (422, "checkpoint_unknown")
        assert expected in rejected.text
    assert request_samples(service, "shoes", checkpoint="newest").status_code == 422
    digits = service.get(f"/v1/models/shoes/samples?checkpoint={'9' * 5_000}")
    assert digits.status_code == 422
    create_model()
    assert "imported" in request_samples(service, "shoes", checkpoint="latest").json()["detail"]


def test_a_model_can_be_loaded_and_unloaded(service: TestClient) -> None:
    create_model()
    assert service.get("/v1/models/shoes").json()["loaded"] is False
    assert service.post("/v1/models/shoes/load").json()["loaded"] is True
    assert get_model_cache().loads == 1
    assert request_samples(service, "shoes").status_code == 200
    assert get_model_cache().loads == 1
    assert service.post("/v1/models/shoes/unload").json()["loaded"] is False
    assert service.get("/v1/models").json()["data"][0]["loaded"] is False


def test_a_model_of_another_tenant_is_not_found(service: TestClient) -> None:
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


def test_a_name_that_does_not_exist_is_answered_with_similar_ones(two_tenants: TestClient) -> None:
    client = two_tenants
    create_model()
    client.put("/v1/models/shoes/aliases/champion")
    dataset = create_dataset(make_people_csv(), "people.csv")
    for path, suggestion in (
        ("/v1/models/Shoe", "Did you mean shoes?"),
        ("/v1/models/shoes:7", "Its newest version is shoes:1; its aliases are shoes@champion."),
        ("/v1/models/shoes@best", "Its newest version is shoes:1; its aliases are"),
        ("/v1/datasets/people", f"Did you mean {dataset} (people)?"),
    ):
        response = client.get(path)
        assert response.status_code == 404
        assert f"does not exist. {suggestion}" in response.json()["detail"]
    for path in ("/v1/models/xyz", "/v1/models/mdl_people", "/v1/datasets/ds_people"):
        assert client.get(path).json()["detail"].endswith("does not exist.")


def test_names_are_suggested_to_keys_that_may_list_them_alone(two_tenants: TestClient) -> None:
    client = two_tenants
    create_model()
    create_dataset(make_people_csv(), "people.csv")
    with write() as session:
        api_keys.add(session, TENANT, "sem_sampler", name="sampler", scopes=("sample",))
    for key in ("sem_other", "sem_sampler"):
        headers = {"Authorization": f"Bearer {key}"}
        response = client.get("/v1/models/shoe/sampling-options", headers=headers)
        assert response.json()["detail"] == "Model shoe does not exist."
    headers = {"Authorization": "Bearer sem_other"}
    for path, detail in (
        ("/v1/models/shoes:7", "Model shoes:7 does not exist."),
        ("/v1/datasets/people", "Dataset people does not exist."),
    ):
        assert client.get(path, headers=headers).json()["detail"] == detail
