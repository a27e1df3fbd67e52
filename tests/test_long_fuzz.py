"""Long fuzz: 100,000 request bodies, 10,000 mutated tables and model archives, and 200 imports.

Mutated archives of images are in tests/modalities/image/test_mutations.py. Nothing may end in a
server error, memory and descriptors stay flat, and no file is written outside of the data folder.
"""

import gc
import gzip
import hashlib
import io
import json
import random
import resource
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.model_archive import open_archive
from core.errors import SemblanceError
from core.limits import MIB, Limits
from core.settings import Settings, get_settings
from modalities.sampling import WeightsFile
from modalities.tabular.model_file import validate_weights
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from tests.app.test_fuzz import LEFT_OUT, fill
from tests.app.test_fuzz import ids as ids
from tests.modalities.tabular.conftest import write_source
from tests.modalities.tabular.factories import (
    build_arrow,
    build_csv,
    build_parquet,
    build_workbook,
    build_zip,
)
from tests.mutations import mutate_bytes, mutate_json, random_body

BODIES, TABLES, MODELS, IMPORTS = 100_000, 7_000, 3_000, 200
PARTS = 20  # of the bodies, for several processes

COLUMNS: dict[str, Any] = {
    "n": list(range(30)),
    "x": [i / 7 for i in range(30)],
    "word": ["red", "green", "blue"] * 10,
    "day": [f"2024-01-{i + 1:02}" for i in range(30)],
    "hole": [None if i % 4 else "y" for i in range(30)],
}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
CSV = build_csv(COLUMNS).encode()
TABLES_BY_FORM = {
    "csv": CSV,
    "csv.gz": gzip.compress(CSV),
    "zip": build_zip({"a.csv": CSV}),
    "json": json.dumps(ROWS).encode(),
    "ndjson": b"\n".join(json.dumps(row).encode() for row in ROWS),
    "xlsx": build_workbook({"s": [list(COLUMNS), *zip(*COLUMNS.values(), strict=True)]}),
    "parquet": build_parquet(COLUMNS, compression="zstd"),
    "plain parquet": build_parquet(COLUMNS, compression=None, use_dictionary=False),
    "arrow": build_arrow(COLUMNS),
    "arrow stream": build_arrow(COLUMNS, stream=True),
    "dictionary": build_parquet({"a": pa.array(COLUMNS["word"]).dictionary_encode()}),
}
LIMITS = Limits(table_bytes=50 * MIB, cells_max=10**6)

_written: list[str] | None = None  # paths of files that were opened for writing, while recorded


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _written is not None and event == "open" and isinstance(arguments[0], str | bytes | Path):
        path, mode = arguments[:2]
        if isinstance(mode, str) and set(mode) & set("wax+"):
            _written.append(str(Path(path if isinstance(path, str | Path) else path.decode())))


@contextmanager
def only_written_below(folder: Path) -> Iterator[None]:
    """Fail if Python code of this process opens a file outside of `folder` for writing."""
    global _written
    if not getattr(sys, "_records_writes", False):
        sys._records_writes = True  # type: ignore[attr-defined] - a hook cannot be removed
        sys.addaudithook(_record)
    _written = []
    try:
        yield
        outside = {path for path in _written if not Path(path).resolve().is_relative_to(folder)}
        assert not {path for path in outside if not path.startswith("/dev/")}
    finally:
        _written = None


@contextmanager
def flat_resources(grow_mib: int) -> Iterator[None]:
    """Fail if memory grows, or descriptors stay open; it also bounds the address space."""
    process = psutil.Process()
    gc.collect()
    memory, descriptors = process.memory_info(), process.num_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory.vms + 4_096 * MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    gc.collect()
    assert (process.memory_info().rss - memory.rss) / MIB < grow_mib
    assert process.num_fds() <= descriptors + 8


def read_tables(count: int, seed: int, folder: Path) -> int:
    """Read mutated tables; return how many could be read."""
    rng, read = random.Random(seed), 0  # noqa: S311 - not a secret
    out = folder / "out"
    out.mkdir(exist_ok=True)
    for number in range(count):
        form = list(TABLES_BY_FORM)[number % len(TABLES_BY_FORM)]
        source = write_source(folder, mutate_bytes(TABLES_BY_FORM[form], rng), f"a.{form}")
        try:
            read_table([source], SchemaOverrides(), LIMITS, out)
            read += 1
        except SemblanceError as error:
            if str(folder) in str(error.to_problem()):
                raise AssertionError(f"{form}, number {number}, seed {seed}: path") from error
        except MemoryError:
            pass  # the process that reads uploads answers it with a problem
        except Exception as error:
            raise AssertionError(f"{form}, number {number}, seed {seed}") from error
    return read


def send_bodies(
    client: TestClient, application: FastAPI, ids: dict[str, str], count: int, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - not a secret
    operations = []
    for template, methods in application.openapi()["paths"].items():
        for method, operation in methods.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in media and operation["operationId"] not in LEFT_OUT:
                operations.append((method, template, media["example"]))
    assert len(operations) > 10
    statuses = set()
    for number in range(count):
        method, template, example = rng.choice(operations)
        body = random_body(example, rng)
        response = client.request(
            method,
            fill(template, ids),
            content=body,
            headers={"Content-Type": "application/json"},
        )
        statuses.add(response.status_code)
        assert response.status_code < 500 or response.status_code in {503, 507}, (
            f"{method} {template} {body[:2_000]!r}, seed {seed}, number {number}: {response.text}"
        )
        if number % 500 == 499:
            client.post("/v1/jobs/cancel", json={})
    assert {422} < statuses


@pytest.fixture
def small_limits(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(configured.limits, "samples", 500)
    monkeypatch.setattr(configured.limits, "json_samples", 100)
    monkeypatch.setattr(configured.quotas, "requests_per_minute", 10**9)
    monkeypatch.setattr(configured.quotas, "key_requests_per_minute", 10**9)
    return configured


def test_a_few_mutated_tables_are_read_or_rejected(tmp_path: Path) -> None:
    with only_written_below(tmp_path):
        read_tables(66, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(PARTS))
def test_random_bodies_are_no_error_of_the_service(
    part: int, people: TestClient, application: FastAPI, ids: dict[str, str], small_limits: Settings
) -> None:
    send_bodies(people, application, ids, 500, part + PARTS)  # fills caches
    with flat_resources(150), only_written_below(get_settings().data_dir):
        send_bodies(people, application, ids, BODIES // PARTS, part)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(7))
def test_mutated_tables_are_read_or_rejected(part: int, tmp_path: Path) -> None:
    read_tables(110, 100 + part, tmp_path)
    with flat_resources(150), only_written_below(tmp_path):
        assert read_tables(TABLES // 7, part, tmp_path) > 0


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_mutated_model_archives_are_rejected_without_an_error(
    people: TestClient, tmp_path: Path
) -> None:
    exported = people.get("/v1/models/people/export").content
    with zipfile.ZipFile(io.BytesIO(exported)) as archive:
        weights = archive.read("model.safetensors")
    path, loaded = tmp_path / "a", 0
    with flat_resources(300), only_written_below(get_settings().data_dir.parent):
        for number in range(MODELS):
            rng = random.Random(number)  # noqa: S311 - not a secret
            try:
                if number % 2:
                    path.write_bytes(mutate_bytes(exported, rng))
                    with open_archive(path):
                        pass
                else:
                    path.write_bytes(mutate_weights(weights, rng))
                    validate_weights(WeightsFile(path=path))
                    loaded += 1
            except (SemblanceError, ValidationError, MemoryError):
                pass
            except Exception as error:
                # The process that validates weights reports every other error as unreadable.
                if number % 2:
                    raise AssertionError(f"number {number}") from error
    assert loaded > 0


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_imports_of_mutated_model_archives_are_no_error_of_the_service(people: TestClient) -> None:
    exported = people.get("/v1/models/people/export").content
    with zipfile.ZipFile(io.BytesIO(exported)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    headers, statuses = {"content-type": "application/zip"}, Counter[int]()
    # The first import opens and loads what the others use.
    assert people.post("/v1/models/import", content=exported, headers=headers).status_code == 201
    with flat_resources(150), only_written_below(get_settings().data_dir):
        for number in range(IMPORTS):
            rng = random.Random(number)  # noqa: S311 - not a secret
            content = mutate_bytes(exported, rng) if number % 2 else mutate_archive(files, rng)
            response = people.post("/v1/models/import", content=content, headers=headers)
            statuses[response.status_code] += 1
            assert response.status_code in {201, 400, 409, 413, 422}, (number, response.text)
    assert statuses[400] > 0 < statuses[422]
    assert list(get_settings().scratch.rglob("import*")) == []


def mutate_archive(files: Mapping[str, bytes], rng: random.Random) -> bytes:
    """Return a valid zip with one changed file, whose hash in the manifest is right."""
    name = rng.choice([*files, "model.safetensors"])
    data = files[name]
    if name == "model.safetensors":
        data = mutate_weights(data, rng)
    elif name.endswith(".json"):
        data = json.dumps(mutate_json(json.loads(data), rng)).encode()
    else:
        data = mutate_bytes(data, rng)
    changed = {**files, name: data}
    if name != "manifest.json":
        manifest = json.loads(files["manifest.json"])
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][name] = {"bytes": len(data), "sha256": digest}
        changed["manifest.json"] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for each, content in changed.items():
            archive.writestr(each, content)
    return out.getvalue()


def mutate_weights(weights: bytes, rng: random.Random) -> bytes:
    """Change the JSON header of the file, or its bytes."""
    if rng.random() < 0.5:
        return mutate_bytes(weights, rng)
    size = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + size])
    metadata = {
        name: json.dumps(mutate_json(json.loads(text), rng)) if text[:1] in "{[" else text
        for name, text in header.get("__metadata__", {}).items()
    }
    data = json.dumps(header | {"__metadata__": metadata}).encode()
    data += b" " * (-len(data) % 8)
    return len(data).to_bytes(8, "little") + data + weights[8 + size :]


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_mutated_uploads_are_no_error_of_the_service(client: TestClient) -> None:
    rng = random.Random(5)  # noqa: S311 - not a secret
    with only_written_below(get_settings().data_dir):
        for number in range(200):
            form = rng.choice(list(TABLES_BY_FORM))
            files = {"file": (f"a.{form}", mutate_bytes(TABLES_BY_FORM[form], rng))}
            response = client.post("/v1/datasets", files=files)
            assert response.status_code < 500, (number, form, response.text)
    assert list((get_settings().scratch).rglob("ingest*")) == []
