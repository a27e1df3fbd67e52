"""Large uploads that wait to be read leave threads to other tenants."""

import asyncio

import httpx
import pytest
from anyio import to_thread
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.main import create_app
from core.database import read
from core.datasets.reader_slots import reader_slot
from core.settings import Settings
from core.tables import Dataset
from tests.conftest import KEY
from tests.processes import TIMEOUT_S
from tests.uploads import make_people_csv

SHARED_THREADS = 2  # of anyio, which write the files of forms
LARGE = 2_000_000  # bytes, more than a form keeps in memory


def count_datasets() -> int:
    with read() as session:
        return session.scalar(select(func.count()).select_from(Dataset)) or 0


def test_uploads_that_wait_to_be_read_hold_no_threads_of_others(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.limits, "sync_dataset_bytes", 1)
    monkeypatch.setattr(configured, "concurrent_readers", 1)
    table = make_people_csv()

    async def send() -> int:
        to_thread.current_default_thread_limiter().total_tokens = SHARED_THREADS
        transport = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

            async def post(key: str, name: str, file: bytes) -> int:
                headers = {"Authorization": f"Bearer {key}"}
                response = await http.post("/v1/datasets", files={name: file}, headers=headers)
                return response.status_code

            with reader_slot("another"):
                uploads = [
                    asyncio.create_task(post(KEY, "file", table)) for _ in range(SHARED_THREADS)
                ]
                async with asyncio.timeout(TIMEOUT_S):
                    while count_datasets() < SHARED_THREADS:
                        await asyncio.sleep(0.01)
                rejected = await asyncio.wait_for(
                    post("sem_other", "other", bytes(LARGE)), TIMEOUT_S
                )
            assert await asyncio.gather(*uploads) == [202] * SHARED_THREADS
        return rejected

    assert asyncio.run(send()) == 422
