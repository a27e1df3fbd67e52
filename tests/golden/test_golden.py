"""Models exported in a released format generate the same samples in every later version."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.model_archive import open_archive
from core import model_registry
from core.database import write
from core.ids import new_id
from core.storage import get_storage, key_of
from tests.conftest import TENANT
from tests.factories import clear_model_caches
from tests.golden.make import GOLDEN_DIR, SAMPLE_FORMATS, SAMPLE_REQUESTS

RELEASED_FORMATS = ("1",)


def sample_archive(client: TestClient, modality: str, version: str) -> bytes:
    """Return samples of an exported model, without the import checks, which have other tests."""
    clear_model_caches()
    with open_archive(GOLDEN_DIR / f"{modality}-{version}.zip") as archive:
        model_id = new_id("mdl")
        key = key_of(TENANT, "models", f"{model_id}.safetensors")
        stored = get_storage().put_file(key, archive.weights)
        with write() as session:
            model_registry.create_imported_version(
                session,
                TENANT,
                modality,
                model_id=model_id,
                step=archive.manifest.step,
                weights=stored,
                manifest=archive.model_manifest,
            )
    url = f"/v1/models/{modality}/samples?format={SAMPLE_FORMATS[modality]}"
    response = client.post(url, json=SAMPLE_REQUESTS[modality])
    assert response.status_code == 200, response.text
    content: bytes = response.content
    return content


def read_arrays(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as samples:
        return dict(samples)


@pytest.mark.parametrize("version", RELEASED_FORMATS)
def test_images_of_a_released_format_do_not_change(client: TestClient, version: str) -> None:
    """Compare images pixel by pixel; other processors may round one pixel in 1,000 differently."""
    expected = read_arrays(Path(GOLDEN_DIR / f"images-{version}.npz").read_bytes())
    actual = read_arrays(sample_archive(client, "images", version))
    assert actual["labels"].tolist() == expected["labels"].tolist()
    assert actual["y"].tolist() == expected["y"].tolist()
    difference = np.abs(actual["x"].astype(int) - expected["x"])
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


@pytest.mark.parametrize("version", RELEASED_FORMATS)
def test_rows_of_a_released_format_do_not_change(client: TestClient, version: str) -> None:
    expected = (GOLDEN_DIR / f"rows-{version}.csv").read_bytes()
    assert sample_archive(client, "rows", version) == expected
