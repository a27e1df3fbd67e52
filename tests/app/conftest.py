"""The application in this process, with a key, against a real database and real files."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from app.main import create_app
from app.sampling.memory import get_memory
from app.sampling.sampler import get_sampler
from core import keys
from core.database import write
from core.settings import Settings
from tests.conftest import TENANT

KEY = "sem_test"


@pytest.fixture
def anonymous(configured: Settings) -> Iterator[TestClient]:
    forget_models()
    with TestClient(create_app(), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    with write() as session:
        keys.add(session, TENANT, KEY, name="test", scopes=keys.SCOPES)
    anonymous.headers["Authorization"] = f"Bearer {KEY}"
    return anonymous


def forget_models() -> None:
    """The storage is another one for each test."""
    get_sampler.cache_clear()
    get_memory.cache_clear()


def png(shade: int, *, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    rng = np.random.default_rng(shade)
    Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(out, "PNG")
    return out.getvalue()


def zip_of(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def folders(labels: tuple[str, ...] = ("cat", "dog"), each: int = 12) -> bytes:
    return zip_of(
        {
            f"{label}/{i}.png": png(100 * n + i)
            for n, label in enumerate(labels)
            for i in range(each)
        }
    )


def npz(**arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def upload(client: TestClient, data: bytes, name: str = "pets.zip", meta: str = "{}") -> Any:
    return client.post("/v1/datasets", files={"file": (name, data)}, data={"meta": meta})
