"""Generator of the golden files: exported models and samples of the current export format.

Run `python -m tests.golden.make FORMAT` once for each released format. Its files never change, and
every later version must generate the same samples from them (tests/golden/test_golden.py).
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

GOLDEN_DIR = Path(__file__).parent
SAMPLE_REQUESTS: dict[str, dict[str, Any]] = {
    "images": {"labels": {"dog": 30, "cat": 70}, "seed": 11, "offset": 3},
    "rows": {"count": 100, "seed": 11, "offset": 3},
}
SAMPLE_FORMATS = {"images": "npz", "rows": "csv"}


def main(version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEMBLANCE_DATA_DIR"] = folder
        from app.main import create_app
        from core import api_keys
        from core.database import write
        from core.settings import get_settings
        from core.supervisor import prepare_database

        prepare_database(get_settings())
        with write() as session:
            api_keys.add(
                session, api_keys.DEFAULT_TENANT, "sem_golden", name="-", scopes=api_keys.SCOPES
            )
        with TestClient(create_app(), base_url="http://localhost") as client:
            client.headers["Authorization"] = "Bearer sem_golden"
            for modality in SAMPLE_REQUESTS:
                write_golden_files(client, modality, version)


def write_golden_files(client: TestClient, modality: str, version: str) -> None:
    from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
    from tests.uploads import make_image_zip, make_people_csv, upload
    from worker.job_runner import run_next

    if modality == "images":
        dataset = upload(client, make_image_zip(), "pets.zip").json()
        config = TINY_IMAGE_CONFIG
    else:
        meta = '{"target": "income"}'
        dataset = upload(client, make_people_csv(), "people.csv", meta).json()
        config = TINY_TABLE_CONFIG
    body = {
        "kind": "training",
        "dataset": dataset["id"],
        "name": modality,
        "hyperparameters": config,
        "budget": {"steps": 40},
        "seed": 1,
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert run_next(["training"])
    url = f"/v1/models/{modality}"
    samples = client.post(
        f"{url}/samples?format={SAMPLE_FORMATS[modality]}", json=SAMPLE_REQUESTS[modality]
    )
    archive = client.get(f"{url}/export")
    assert (samples.status_code, archive.status_code) == (200, 200)
    (GOLDEN_DIR / f"{modality}-{version}.zip").write_bytes(archive.content)
    (GOLDEN_DIR / f"{modality}-{version}.{SAMPLE_FORMATS[modality]}").write_bytes(samples.content)


if __name__ == "__main__":
    main(sys.argv[1])
