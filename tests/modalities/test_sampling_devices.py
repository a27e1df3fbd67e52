"""Samples of a virtual GPU: the same as those of the CPU, within the documented tolerance."""

import csv
import io

import numpy as np
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app.sampling.model_cache import get_model_cache
from app.sampling.service import SampleStream, SamplingService
from core.database import read
from core.errors import Unavailable
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Model
from modalities import registry, stored_samplers
from modalities.selection import Selection
from modalities.turns import Unshared
from tests.factories import create_trained_model
from tests.virtual_gpu import BrokenContext, VirtualGpu

IMAGE_TOLERANCE = 1  # grey levels, of each pixel
ROW_TOLERANCE = 0.01  # share of the rows that differ
COUNT = 200


def get_model(client: TestClient, name: str) -> Model:
    create_trained_model(client, name)
    with read() as session:
        return session.scalars(select(Model).where(Model.name == name)).one()


def generate(model: Model, device: str, format: str) -> bytes:
    modality = registry.get(model.modality)
    sampler = stored_samplers.load(
        model, get_storage(), lambda path: modality.load_sampler(path, device)
    )
    options = modality.selection_options()
    plan = modality.plan_selection(model.manifest, Selection(count=COUNT), options, seed=3)
    return b"".join(plan.encode(format, sampler.draw(plan, Unshared()), {}))


def test_pixels_of_a_gpu_are_those_of_the_cpu_within_one_grey_level(client: TestClient) -> None:
    model = get_model(client, "pets")
    on_cpu = generate(model, "cpu", "npz")
    with VirtualGpu() as gpu:
        on_gpu = generate(model, "cuda:0", "npz")
    assert gpu.launches
    with np.load(io.BytesIO(on_cpu)) as expected, np.load(io.BytesIO(on_gpu)) as found:
        assert np.array_equal(expected["y"], found["y"])
        difference = np.abs(expected["x"].astype(int) - found["x"].astype(int))
    assert len(difference) == COUNT
    assert difference.max() <= IMAGE_TOLERANCE


def test_few_rows_of_a_gpu_differ_from_those_of_the_cpu(client: TestClient) -> None:
    model = get_model(client, "people")
    on_cpu = generate(model, "cpu", "csv")
    with VirtualGpu() as gpu:
        on_gpu = generate(model, "cuda:0", "csv")
    assert gpu.launches
    expected, found = (list(csv.reader(io.StringIO(text.decode()))) for text in (on_cpu, on_gpu))
    assert len(expected) == len(found) == COUNT + 1
    assert sum(map(list.__ne__, expected, found)) / COUNT <= ROW_TOLERANCE


def test_samples_need_the_gpu_of_the_settings(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_model(client, "people")
    monkeypatch.setenv("SEMBLANCE_SAMPLING_DEVICE", "cuda:0")
    get_settings.cache_clear()
    problem = client.get("/v1/models/people/samples?count=1").json()
    assert (problem["status"], problem["code"]) == (503, "device_unavailable")
    assert "finds no GPU" in problem["detail"]


def next_error(stream: SampleStream) -> Unavailable:
    with BrokenContext(), pytest.raises(Unavailable) as failed:
        next(stream)
    return failed.value


def test_a_sampling_process_stops_when_its_gpu_fails(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = get_model(client, "people")
    monkeypatch.setenv("SEMBLANCE_SAMPLING_DEVICE", "cuda:0")
    get_settings.cache_clear()
    modality, stopped = registry.get(model.modality), []
    options = modality.selection_options()
    plan = modality.plan_selection(model.manifest, Selection(count=COUNT), options, seed=3)
    service = SamplingService(get_model_cache(), 0.0, stop_process=lambda: stopped.append(True))
    with VirtualGpu(), SampleStream(service, model, plan) as stream:
        error = next_error(stream)
    assert error.code == "device_lost"
    assert stopped == [True]
    get_model_cache.cache_clear()
