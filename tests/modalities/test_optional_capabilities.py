"""A modality need not evaluate models or augment datasets: such jobs are refused."""

import pytest
from starlette.testclient import TestClient

from core.database import write
from core.request_fields import RequestModel
from core.tables import Dataset, Model
from modalities import registry
from modalities.base import Modality
from tests.factories import create_dataset, create_model
from tests.uploads import make_image_zip


class Sequences(Modality):
    name, items = "sequence", "sequences"


@pytest.fixture(autouse=True)
def third_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {**registry.installed(), "sequence": Sequences()}
    monkeypatch.setattr(registry, "installed", lambda: installed)


def test_augmentation_of_a_modality_without_it_is_refused(client: TestClient) -> None:
    dataset = create_dataset(make_image_zip(("ant", "bee"), 20))
    with write() as session:
        session.get_one(Dataset, dataset).modality = "sequence"
    answer = client.post("/v1/jobs", json={"kind": "augmentation", "dataset": dataset})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_augmentable")
    assert answer.json()["detail"] == "Datasets of sequences cannot be augmented."


def test_evaluation_of_a_modality_without_it_is_refused(client: TestClient) -> None:
    dataset = create_dataset(make_image_zip(("ant", "bee"), 200))
    model = create_model()
    with write() as session:
        session.get_one(Dataset, dataset).modality = "sequence"
        row = session.get_one(Model, model.id)
        row.modality, row.dataset_id = "sequence", dataset
    answer = client.post("/v1/jobs", json={"kind": "evaluation", "model": model.id})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_evaluable")
    reason = "Models that generate sequences cannot be evaluated."
    assert answer.json()["detail"] == reason
    report = client.get(f"/v1/models/{model.id}/report").json()
    assert (report["state"], report["not_evaluable_reason"]) == ("not_evaluated", reason)


def test_a_request_has_no_options_of_a_modality_that_declares_none() -> None:
    @registry.extend("augmentation_options")
    class Request(RequestModel):
        dataset: str

    assert set(Request.model_fields) == {"dataset", "transforms"}
