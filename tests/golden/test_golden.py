"""What was exported by a released format is drawn from as it was then."""

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
from tests.golden.make import BODIES, FORMATS, HERE

RELEASED = ("1",)


def drawn(client: TestClient, kind: str, version: str) -> bytes:
    """From the archive, past the check of foreign files, which has tests of its own."""
    clear_model_caches()
    with open_archive(HERE / f"{kind}-{version}.zip") as found:
        model_id = new_id("mdl")
        key = key_of(TENANT, "models", f"{model_id}.safetensors")
        stored = get_storage().put_file(key, found.weights)
        with write() as session:
            model_registry.create_imported_version(
                session,
                TENANT,
                kind,
                model_id=model_id,
                step=found.manifest.step,
                weights=stored,
                manifest=found.model_manifest,
            )
    url = f"/v1/models/{kind}/samples?format={FORMATS[kind]}"
    answer = client.post(url, json=BODIES[kind])
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


def arrays(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as made:
        return dict(made)


@pytest.mark.parametrize("version", RELEASED)
def test_images_are_those_of_then(client: TestClient, version: str) -> None:
    """Another kind of processor may round a pixel in a thousand the other way."""
    then = arrays(Path(HERE / f"images-{version}.npz").read_bytes())
    now = arrays(drawn(client, "images", version))
    assert now["labels"].tolist() == then["labels"].tolist()
    assert now["y"].tolist() == then["y"].tolist()
    apart = np.abs(now["x"].astype(int) - then["x"])
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


@pytest.mark.parametrize("version", RELEASED)
def test_rows_are_those_of_then(client: TestClient, version: str) -> None:
    then = (HERE / f"rows-{version}.csv").read_bytes()
    assert drawn(client, "rows", version) == then
