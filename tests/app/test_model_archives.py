"""Export and import of models, model cards and architectures."""

import hashlib
import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from starlette.testclient import TestClient

from core.datasets import sandbox
from core.errors import ValidationFailed
from core.settings import Settings
from modalities.sampling import WeightsFile
from modalities.tabular import model_file
from models.checkpoint import pack
from tests.core.datasets.children import PeakMemory
from tests.factories import LABELS, build_checkpoint, clear_model_caches, create_model
from tests.models.images.tiny import make_settings
from tests.peak_memory import MIB, peak_memory_below

Files = dict[str, bytes]
Change = Callable[[Files], None]


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def export_model(client: TestClient) -> bytes:
    response = client.get("/v1/models/shoes/export")
    assert response.status_code == 200
    return response.content


def import_model(client: TestClient, data: bytes, **query: str) -> Any:
    headers = {"content-type": "application/zip"}
    return client.post("/v1/models/import", content=data, headers=headers, params=query)


def unzip(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_zip(files: Files, compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def update_manifest(files: Files, **fields: Any) -> Files:
    """Return the files with a manifest of their new hashes."""
    manifest = json.loads(files["manifest.json"]) | fields
    for name in manifest["files"]:
        data = files[name]
        manifest["files"][name] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    return files | {"manifest.json": json.dumps(manifest).encode()}


def test_an_imported_model_generates_the_same_samples(service: TestClient) -> None:
    body = {"count": 70, "seed": 5}
    expected = service.post("/v1/models/shoes/samples?format=npz", json=body).content
    data = export_model(service)
    response = import_model(service, data, name="boots")
    assert response.status_code == 201, response.text
    model = response.json()
    assert (model["reference"], model["job"]) == ("boots:1", None)
    assert response.headers["location"] == f"/v1/models/{model['id']}"
    assert service.post("/v1/models/boots/samples?format=npz", json=body).content == expected
    reexported = unzip(service.get("/v1/models/boots/export").content)
    assert reexported["model.safetensors"] == unzip(data)["model.safetensors"]
    assert reexported["model.json"] == unzip(data)["model.json"]


def test_an_export_is_reproducible_and_its_manifest_matches_its_files(service: TestClient) -> None:
    data = export_model(service)
    assert export_model(service) == data
    files = unzip(data)
    manifest = json.loads(files["manifest.json"])
    assert (manifest["format"], manifest["name"], manifest["version"]) == (1, "shoes", 1)
    for name, entry in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == entry["sha256"], name
    etag = service.get("/v1/models/shoes/export").headers["etag"]
    unchanged = service.get("/v1/models/shoes/export", headers={"if-none-match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


class CreatesFile:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def replace_weights(files: Files) -> None:
    files["model.safetensors"] = build_checkpoint(seed=9).model


def change_hash(files: Files) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["model.safetensors"]["sha256"] = "0" * 64
    files["manifest.json"] = json.dumps(manifest).encode()


def add_path_outside(files: Files) -> None:
    files["../../up.txt"] = b"x"


def rename_card(files: Files) -> None:
    files["../card.json"] = files.pop("card.json")


def remove_card(files: Files) -> None:
    del files["card.json"]


def set_newer_format(files: Files) -> None:
    files.update(update_manifest(files, format=2))


def nest_json_deeply(files: Files) -> None:
    files["model.json"] = b"[" * 100_000 + b"]" * 100_000
    files.update(update_manifest(files))


@pytest.mark.parametrize(
    "change",
    [
        replace_weights,
        change_hash,
        add_path_outside,
        rename_card,
        remove_card,
        set_newer_format,
        nest_json_deeply,
    ],
)
def test_a_modified_archive_is_rejected(
    service: TestClient, configured: Settings, change: Change
) -> None:
    before = sorted((configured.data_dir / "objects").rglob("*"))
    files = unzip(export_model(service))
    change(files)
    response = import_model(service, make_zip(files))
    assert response.status_code in (400, 422), response.text
    assert response.json()["code"] in ("import_rejected", "json_too_deep")
    assert len(service.get("/v1/models").json()["data"]) == 1
    assert sorted((configured.data_dir / "objects").rglob("*")) == before
    assert not list(configured.scratch.rglob("import-*"))


@pytest.mark.parametrize("name", ["compare", "mdl_shoes", "a:b", ""])
def test_a_model_is_not_imported_under_a_name_that_no_reference_reaches(
    service: TestClient, name: str
) -> None:
    response = import_model(service, export_model(service), name=name)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/name")
    assert "must not be `compare`" in response.json()["detail"]
    assert service.get("/v1/models/shoes").status_code == 200
    assert len(service.get("/v1/models").json()["data"]) == 1


def test_compressed_and_damaged_archives_are_rejected(service: TestClient) -> None:
    data = export_model(service)
    compressed = import_model(service, make_zip(unzip(data), zipfile.ZIP_DEFLATED))
    assert (compressed.status_code, compressed.json()["code"]) == (422, "import_rejected")
    for damaged in (data[: len(data) // 2], data[:-3], b"", b"PK", data + b"x"):
        assert import_model(service, damaged).json()["code"] == "archive_invalid"
    assert service.post("/v1/models/import", json={}).status_code == 415


def test_an_archive_over_the_limit_is_rejected_before_it_is_read(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    monkeypatch.setattr(configured.limits, "model_bytes", 1_000)
    response = import_model(service, export_model(service))
    assert (response.status_code, response.json()["limit"]) == (413, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pickle", "torch", "huge", "labels", "size"])
def test_foreign_weights_are_rejected_and_never_executed(
    service: TestClient, tmp_path: Path, kind: str
) -> None:
    files, evidence = unzip(export_model(service)), tmp_path / "ran"
    encoder = json.loads(files["model.json"])
    if kind == "pickle":
        files["model.safetensors"] = pickle.dumps(CreatesFile(evidence))
    elif kind == "torch":
        files["model.safetensors"] = make_zip({"data.pkl": pickle.dumps(CreatesFile(evidence))})
    elif kind == "huge":
        config = make_settings().to_dict() | {"coarse_channels": 10**6, "classes": 10**6}
        files["model.safetensors"] = pack({}, {"modality": "image", "hyperparameters": config})
    elif kind == "labels":
        encoder["labels"] = encoder["labels"][:2]
    else:
        encoder["image"]["height"] = 9
    files["model.json"] = json.dumps(encoder).encode()
    response = import_model(service, make_zip(update_manifest(files)))
    assert (response.status_code, response.json()["code"]) == (422, "import_rejected"), (
        response.text
    )
    assert not evidence.exists()


def test_a_card_describes_the_training_and_loads_no_external_resource(service: TestClient) -> None:
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


def test_a_tag_cannot_replace_a_fact_on_the_card(service: TestClient) -> None:
    card = service.get("/v1/models/shoes/card").json()
    service.patch("/v1/models/shoes", json={"tags": {"sha256": "forged", "modality": "<b>"}})
    page = service.get("/v1/models/shoes/card?format=html").text
    facts, tags = page.split("<h2>Training data")[0].split("<h2>Tags")
    assert card["sha256"] in facts
    assert "<code>image" in facts
    assert "forged" not in facts
    assert "<code>forged" in tags
    assert "<b>" not in page


def test_an_architecture_is_returned_as_json_and_svg(service: TestClient) -> None:
    architecture = service.get("/v1/models/shoes/architecture").json()
    generator = next(
        network for network in architecture["networks"] if network["name"] == "generator"
    )
    assert generator["parameters"] == build_checkpoint().parameters
    outputs = [layer["output"] for layer in generator["layers"] if layer["output"]]
    assert outputs[-1][0] == 64
    for network in architecture["networks"]:
        for layer in network["layers"]:
            sizes = [count_elements(shape) for shape in layer["weights"].values()]
            assert sum(sizes) == layer["parameters"]
    svg = service.get("/v1/models/shoes/architecture?format=svg")
    assert svg.headers["content-type"] == "image/svg+xml"
    boxes = ElementTree.fromstring(svg.text).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    assert len(list(boxes)) == 1 + sum(
        len(network["layers"]) for network in architecture["networks"]
    )


def count_elements(shape: list[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


def test_a_model_with_names_that_fill_the_memory_is_rejected(
    people: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(unzip(people.get("/v1/models/people/export").content)["model.safetensors"])
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    monkeypatch.setattr(model_file, "MAX_ROW_BYTES", 2_000)
    model_file.validate_weights(WeightsFile(path=path))
    long = {name: text.replace('"<=50K"', f'"{"x" * 20_000}"') for name, text in metadata.items()}
    assert long != metadata
    save_file(tensors, path, long)
    with pytest.raises(ValidationFailed, match="rows of more than 2000 bytes"):
        model_file.validate_weights(WeightsFile(path=path))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_with_names_of_a_megabyte_is_rejected_with_little_memory(
    people: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, path = unzip(people.get("/v1/models/people/export").content), tmp_path / "model"
    path.write_bytes(files["model.safetensors"])
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    long = {name: text.replace('"<=50K"', f'"{"x" * MIB}"') for name, text in metadata.items()}
    save_file(tensors, path, long)
    changed = update_manifest(files | {"model.safetensors": path.read_bytes()})
    with peak_memory_below(128):
        response = import_model(people, make_zip(changed))
    assert (response.status_code, response.json()["code"]) == (422, "import_rejected")
    usage = PeakMemory()
    monkeypatch.setattr(sandbox, "_WAIT_S", 0.05)  # how often the memory is read
    with pytest.raises(ValidationFailed, match="rows of more than"):
        sandbox.run_in_sandbox(
            "modalities.tabular.model_file:validate_weights", WeightsFile(path=path), 60, usage
        )
    assert 0 < usage.peak < 3_000 * MIB


def test_an_archive_with_an_entry_before_its_start_is_rejected(service: TestClient) -> None:
    data = export_model(service)
    offset = int.from_bytes(data[-6:-2], "little") + 1_000  # of the directory, in the end record
    response = import_model(service, data[:-6] + offset.to_bytes(4, "little") + data[-2:])
    assert (response.status_code, response.json()["code"]) == (400, "archive_invalid")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_with_weights_that_are_not_finite_is_rejected(
    service: TestClient, tmp_path: Path, number: float
) -> None:
    files = unzip(export_model(service))
    path = tmp_path / "model.safetensors"
    path.write_bytes(files["model.safetensors"])
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = max(tensors, key=lambda name: tensors[name].numel())
    tensors[name].view(-1)[0] = number
    save_file(tensors, path, metadata)
    response = import_model(
        service, make_zip(update_manifest(files | {"model.safetensors": path.read_bytes()}))
    )
    assert (response.status_code, response.json()["code"]) == (422, "import_rejected")
    assert "not finite" in response.json()["detail"]
