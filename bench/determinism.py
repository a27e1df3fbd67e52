"""Check that the images of one seed do not depend on how they are requested.

The same 10,000 images are requested at once, in ten pages, one by one, and as a generation job of
four shards on two workers. They must be equal, pixel by pixel. Run `python -m bench.determinism`.
"""

import argparse
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from semblance import Client

from bench.jobs import second_worker, tiny_job
from bench.serving import serving

COUNT, PAGES, SHARDS, SEED = 10_000, 10, 4, 7
CONCURRENCY = 16  # of the requests for one image


def sample_images(client: Client, model: str, **selection: Any) -> NDArray[np.uint8]:
    data = client.samples(model, seed=SEED, format="npz", **selection)
    with np.load(io.BytesIO(data)) as arrays:
        x: NDArray[np.uint8] = arrays["x"]
        return x


def sample_shards(client: Client, model: str, folder: Path) -> NDArray[np.uint8]:
    size = COUNT // SHARDS
    job = client.generate(model, count=COUNT, seed=SEED, format="npz", shard_size=size)
    client.wait(job["id"])
    files = client.download_artifacts(job["id"], folder / "shards")
    assert len(files) == SHARDS  # noqa: S101 - checks this program, not input
    return np.concatenate([np.load(file)["x"] for file in files])


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.determinism", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        shared = {
            "SEMBLANCE_DATABASE_URL": f"sqlite:///{folder / 'semblance.db'}",
            "SEMBLANCE_STORAGE_URL": (folder / "objects").as_uri(),
        }
        with serving(**shared) as client, second_worker(folder, shared):
            body = tiny_job(client.create_builtin_dataset("digits")["id"], steps=30)
            job = client.request("POST", "/v1/jobs", json=body).json()
            model = client.wait(job["id"])["result"]["model"]
            whole = sample_images(client, model, count=COUNT)
            page_size = COUNT // PAGES
            pages = [
                sample_images(client, model, count=page_size, offset=i * page_size)
                for i in range(PAGES)
            ]
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                single = list(
                    pool.map(
                        lambda k: sample_images(client, model, count=1, offset=k), range(COUNT)
                    )
                )
            images = {
                "pages": np.concatenate(pages),
                "single": np.concatenate(single),
                "shards": sample_shards(client, model, folder),
            }
    print({way: bool(np.array_equal(pixels, whole)) for way, pixels in images.items()})


if __name__ == "__main__":
    main()
