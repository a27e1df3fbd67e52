"""Upload files in the formats of clients, and the requests that send them."""

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from core.settings import Settings


def make_png(shade: int, *, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    rng = np.random.default_rng(shade)
    Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(out, "PNG")
    return out.getvalue()


def make_zip(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_image_zip(labels: tuple[str, ...] = ("cat", "dog"), each: int = 12) -> bytes:
    return make_zip(
        {
            f"{label}/{i}.png": make_png(100 * label_index + i)
            for label_index, label in enumerate(labels)
            for i in range(each)
        }
    )


def make_npz(**arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def make_people_csv(count: int = 400) -> bytes:
    """Return a CSV in which every fifth person has a high income and is older.

    It has missing values, dates, an id column and one rare city.
    """
    rng = np.random.default_rng(0)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "age", "height", "city", "member", "since", "income"])
    for i in range(count):
        has_high_income = i % 5 == 0
        age = int(rng.integers(50, 80) if has_high_income else rng.integers(18, 60))
        city = "Zürich" if i % 100 == 0 else str(rng.choice(["Rome", "Paris, north"]))
        since = f"20{rng.integers(10, 25)}-0{rng.integers(1, 10)}-1{rng.integers(0, 10)}"
        height = "" if i % 10 == 3 else f"{rng.normal(1.7, 0.1):.2f}"
        member = str(rng.choice(["true", "false"]))
        writer.writerow(
            [f"P-{i:05}", age, height, city, member, since, ">50K" if has_high_income else "<=50K"]
        )
    return out.getvalue().encode()


GARMENT_LABELS = ("Ankle boot", "Größe", "T-shirt/top")


def make_garments_zip() -> bytes:
    """Return 12, 24 and 36 images of the three labels, named in labels.csv.

    One label has a slash in its name, so folders cannot hold it.
    """
    rng = np.random.default_rng(0)
    label_rows, files = [["path", "label"]], {}
    for label_index, label in enumerate(GARMENT_LABELS):
        for i in range(12 * (label_index + 1)):
            image_file = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 12), np.uint8)).save(image_file, "PNG")
            files[f"{label_index}-{i}.png"] = image_file.getvalue()
            label_rows.append([f"{label_index}-{i}.png", label])
    label_file = io.StringIO()
    csv.writer(label_file).writerows(label_rows)
    return make_zip({"labels.csv": label_file.getvalue().encode(), **files})


def upload(client: TestClient, data: bytes, name: str = "pets.zip", meta: str = "{}") -> Any:
    return client.post("/v1/datasets", files={"file": (name, data)}, data={"meta": meta})


def upload_part(client: TestClient, upload_id: str, number: int, data: bytes) -> int:
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:"}
    path = f"/v1/uploads/{upload_id}/parts/{number}"
    return client.put(path, content=data, headers=headers).status_code


def list_stored_files(settings: Settings) -> list[Path]:
    """Return the stored objects and the temporary files, without the locks of readers."""
    folders = [settings.data_dir / "objects", settings.scratch]
    paths = [path for root in folders for path in root.rglob("*") if path.is_file()]
    return [path for path in paths if path.suffix != ".lock"]
