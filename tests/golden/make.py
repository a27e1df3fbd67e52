"""Models of the export format as it is, with what they draw: `python -m tests.golden.make FORMAT`.

Run once for each format that was released; what it wrote stays as it is, and every later version
must draw the same from it (tests/golden/test_golden.py).
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

HERE = Path(__file__).parent
BODIES: dict[str, dict[str, Any]] = {
    "images": {"labels": {"dog": 30, "cat": 70}, "seed": 11, "offset": 3},
    "rows": {"count": 100, "seed": 11, "offset": 3},
}
FORMATS = {"images": "npz", "rows": "csv"}


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
            for kind in BODIES:
                make(client, kind, version)


def make(client: TestClient, kind: str, version: str) -> None:
    from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
    from tests.uploads import make_image_zip, make_people_csv, upload
    from worker.job_runner import run_next

    if kind == "images":
        dataset, config = upload(client, make_image_zip(), "pets.zip").json(), TINY_IMAGE_CONFIG
    else:
        meta = '{"target": "income"}'
        dataset, config = (
            upload(client, make_people_csv(), "people.csv", meta).json(),
            TINY_TABLE_CONFIG,
        )
    body = {
        "kind": "training",
        "dataset": dataset["id"],
        "name": kind,
        "hyperparameters": config,
        "budget": {"steps": 40},
        "seed": 1,
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert run_next(["training"])
    url = f"/v1/models/{kind}"
    drawn = client.post(f"{url}/samples?format={FORMATS[kind]}", json=BODIES[kind])
    exported = client.get(f"{url}/export")
    assert (drawn.status_code, exported.status_code) == (200, 200)
    (HERE / f"{kind}-{version}.zip").write_bytes(exported.content)
    (HERE / f"{kind}-{version}.{FORMATS[kind]}").write_bytes(drawn.content)


if __name__ == "__main__":
    main(sys.argv[1])
