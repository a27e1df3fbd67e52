"""A model goes out as a file and comes back the same; a file that is something else is refused."""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from core.settings import Settings
from models.checkpoint import pack
from tests.factories import LABELS, build_checkpoint, clear_model_caches, create_model
from tests.models.images.tiny import make_settings

Files = dict[str, bytes]
Change = Callable[[Files], None]


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def exported(client: TestClient) -> bytes:
    answer = client.get("/v1/models/shoes/export")
    assert answer.status_code == 200
    return answer.content


def import_(client: TestClient, data: bytes, **query: str) -> Any:
    headers = {"content-type": "application/zip"}
    return client.post("/v1/models/import", content=data, headers=headers, params=query)


def files_of(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Files, compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def rehashed(files: Files, **about: Any) -> Files:
    """The manifest made true again."""
    manifest = json.loads(files["manifest.json"]) | about
    for name in manifest["files"]:
        data = files[name]
        manifest["files"][name] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    return files | {"manifest.json": json.dumps(manifest).encode()}


def test_an_imported_model_gives_the_samples_that_it_gave(service: TestClient) -> None:
    body = {"count": 70, "seed": 5}
    expected = service.post("/v1/models/shoes/samples?format=npz", json=body).content
    data = exported(service)
    answer = import_(service, data, name="boots")
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert (model["reference"], model["job"]) == ("boots:1", None)
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert service.post("/v1/models/boots/samples?format=npz", json=body).content == expected
    again = files_of(service.get("/v1/models/boots/export").content)
    assert again["model.safetensors"] == files_of(data)["model.safetensors"]
    assert again["model.json"] == files_of(data)["model.json"]


def test_an_export_says_what_is_in_it_and_is_the_same_each_time(service: TestClient) -> None:
    data = exported(service)
    assert exported(service) == data
    files = files_of(data)
    manifest = json.loads(files["manifest.json"])
    assert (manifest["format"], manifest["name"], manifest["version"]) == (1, "shoes", 1)
    for name, about in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == about["sha256"], name
    tag = service.get("/v1/models/shoes/export").headers["etag"]
    same = service.get("/v1/models/shoes/export", headers={"if-none-match": tag})
    assert (same.status_code, same.content) == (304, b"")


class Runs:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def other_weights(files: Files) -> None:
    files["model.safetensors"] = build_checkpoint(seed=9).model


def other_hash(files: Files) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["model.safetensors"]["sha256"] = "0" * 64
    files["manifest.json"] = json.dumps(manifest).encode()


def one_more(files: Files) -> None:
    files["../../up.txt"] = b"x"


def another_name(files: Files) -> None:
    files["../card.json"] = files.pop("card.json")


def no_card(files: Files) -> None:
    del files["card.json"]


def newer_format(files: Files) -> None:
    files.update(rehashed(files, format=2))


def deep_json(files: Files) -> None:
    files["model.json"] = b"[" * 100_000 + b"]" * 100_000
    files.update(rehashed(files))


@pytest.mark.parametrize(
    "change",
    [other_weights, other_hash, one_more, another_name, no_card, newer_format, deep_json],
)
def test_a_file_that_is_not_what_was_exported_is_refused(
    service: TestClient, configured: Settings, change: Change
) -> None:
    before = sorted((configured.data_dir / "objects").rglob("*"))
    files = files_of(exported(service))
    change(files)
    answer = import_(service, zipped(files))
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] in ("import_rejected", "json_too_deep")
    assert len(service.get("/v1/models").json()["data"]) == 1
    assert sorted((configured.data_dir / "objects").rglob("*")) == before
    assert not list(configured.scratch.glob("import-*"))


@pytest.mark.parametrize("name", ["compare", "mdl_shoes", "a:b", ""])
def test_a_model_is_not_imported_under_a_name_that_no_reference_reaches(
    service: TestClient, name: str
) -> None:
    answer = import_(service, exported(service), name=name)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/name")
    assert "must not be `compare`" in answer.json()["detail"]
    assert service.get("/v1/models/shoes").status_code == 200
    assert len(service.get("/v1/models").json()["data"]) == 1


def test_packed_files_and_broken_zips_are_refused(service: TestClient) -> None:
    data = exported(service)
    packed = import_(service, zipped(files_of(data), zipfile.ZIP_DEFLATED))
    assert (packed.status_code, packed.json()["code"]) == (422, "import_rejected")
    for broken in (data[: len(data) // 2], data[:-3], b"", b"PK", data + b"x"):
        assert import_(service, broken).json()["code"] == "archive_invalid"
    assert service.post("/v1/models/import", json={}).status_code == 415


def test_an_archive_over_the_limit_is_refused_before_it_is_read(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    monkeypatch.setattr(configured.limits, "model_bytes", 1_000)
    answer = import_(service, exported(service))
    assert (answer.status_code, answer.json()["limit"]) == (413, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pickle", "torch", "huge", "labels", "size"])
def test_weights_that_are_no_model_of_ours_are_refused_and_nothing_of_them_runs(
    service: TestClient, tmp_path: Path, kind: str
) -> None:
    files, trace = files_of(exported(service)), tmp_path / "ran"
    encoder = json.loads(files["model.json"])
    if kind == "pickle":
        files["model.safetensors"] = pickle.dumps(Runs(trace))
    elif kind == "torch":
        files["model.safetensors"] = zipped({"data.pkl": pickle.dumps(Runs(trace))})
    elif kind == "huge":
        config = make_settings().to_dict() | {"coarse_channels": 10**6, "classes": 10**6}
        files["model.safetensors"] = pack({}, {"modality": "image", "hyperparameters": config})
    elif kind == "labels":
        encoder["labels"] = encoder["labels"][:2]
    else:
        encoder["image"]["height"] = 9
    files["model.json"] = json.dumps(encoder).encode()
    answer = import_(service, zipped(rehashed(files)))
    assert (answer.status_code, answer.json()["code"]) == (422, "import_rejected"), answer.text
    assert not trace.exists()


def test_a_card_tells_what_the_model_was_made_of(service: TestClient) -> None:
    card = service.get("/v1/models/shoes/card").json()
    assert card["data"]["sha256"] == "0" * 64
    assert [label["name"] for label in card["data"]["labels"]] == list(LABELS)
    assert (card["training"]["seed"], card["training"]["step"]) == (1, 4)
    service.patch("/v1/models/shoes", json={"description": "<img src=//evil.example>"})
    page = service.get("/v1/models/shoes/card", headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<img" not in page.text
    assert "Größe" in page.text
    for word in ("http:", "https:", "src=", "@import", "<link", "<script"):
        assert word not in page.text.replace("src=//evil.example&gt;", "")


def test_a_tag_on_a_card_is_not_taken_for_what_the_service_says(service: TestClient) -> None:
    card = service.get("/v1/models/shoes/card").json()
    service.patch("/v1/models/shoes", json={"tags": {"sha256": "mine", "modality": "<b>"}})
    page = service.get("/v1/models/shoes/card?format=html").text
    facts, tags = page.split("<h2>Training data")[0].split("<h2>Tags")
    assert card["sha256"] in facts
    assert "<code>image" in facts
    assert "mine" not in facts
    assert "<code>mine" in tags
    assert "<b>" not in page


def test_an_architecture_is_told_and_drawn(service: TestClient) -> None:
    found = service.get("/v1/models/shoes/architecture").json()
    generator = next(part for part in found["networks"] if part["name"] == "generator")
    assert generator["parameters"] == build_checkpoint().parameters
    outputs = [layer["output"] for layer in generator["layers"] if layer["output"]]
    assert outputs[-1][0] == 64
    for part in found["networks"]:
        for layer in part["layers"]:
            sizes = [size(shape) for shape in layer["weights"].values()]
            assert sum(sizes) == layer["parameters"]
    drawn = service.get("/v1/models/shoes/architecture?format=svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    boxes = ElementTree.fromstring(drawn.text).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    assert len(list(boxes)) == 1 + sum(len(part["layers"]) for part in found["networks"])


def size(shape: list[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
