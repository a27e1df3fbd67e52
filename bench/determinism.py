"""One seed, asked for in every way: `python -m bench.determinism`.

10,000 images in one request, in ten pages, in as many requests of one, and as four shards that two
workers make, of a model that a service has trained a little: all must be equal, pixel by pixel.
"""

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
CONCURRENCY = 16  # requests of one image


def sample_images(client: Client, model: str, **wanted: Any) -> NDArray[np.uint8]:
    data = client.samples(model, seed=SEED, format="npz", **wanted)
    with np.load(io.BytesIO(data)) as found:
        x: NDArray[np.uint8] = found["x"]
        return x


def sample_shards(client: Client, model: str, folder: Path) -> NDArray[np.uint8]:
    size = COUNT // SHARDS
    job = client.generate(model, count=COUNT, seed=SEED, format="npz", shard_size=size)
    client.wait(job["id"])
    files = client.download_artifacts(job["id"], folder / "shards")
    assert len(files) == SHARDS  # noqa: S101 - a check of the bench itself
    return np.concatenate([np.load(file)["x"] for file in files])


def main() -> None:
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
            each = COUNT // PAGES
            pages = [
                sample_images(client, model, count=each, offset=i * each) for i in range(PAGES)
            ]
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                single = list(
                    pool.map(
                        lambda k: sample_images(client, model, count=1, offset=k), range(COUNT)
                    )
                )
            found = {
                "pages": np.concatenate(pages),
                "single": np.concatenate(single),
                "shards": sample_shards(client, model, folder),
            }
    print({way: bool(np.array_equal(pixels, whole)) for way, pixels in found.items()})


if __name__ == "__main__":
    main()
