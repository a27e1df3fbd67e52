"""Export and import of a model as an uncompressed zip archive.

The archive holds the weights (safetensors), the model manifest (model.json), the model card
(card.json) and the archive manifest (manifest.json). The archive manifest has the format version
and the SHA-256 of each other file.

Imported archives are untrusted. Entry names are compared and never used as paths, compressed
entries are rejected, and sizes and hashes are checked. Before anything is stored, the weights are
loaded once in a resource-limited child process.
"""

import errno
import hashlib
import io
import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import strict_json
from core import process_folder
from core.datasets.chunk_buffer import ChunkBuffer
from core.datasets.reader_slots import reader_slot
from core.errors import BadRequest, DatasetUnreadable, ValidationFailed
from core.limits import MIB
from core.request_fields import Label, ModelName, Tags
from core.storage import Storage, StoredObject
from core.tables import Model
from modalities import registry

Body = TypeVar("Body", bound=BaseModel)

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"
MODEL_MANIFEST = "model.json"
CARD = "card.json"
MANIFEST = "manifest.json"
FILE_NAMES = {WEIGHTS, MODEL_MANIFEST, CARD, MANIFEST}
_WRONG_FILES = f"an exported model holds exactly {', '.join(sorted(FILE_NAMES))}."
MAX_JSON_BYTES = 8 * MIB
MAX_DIRECTORY_BYTES = 64 * 1024

_END_RECORD = struct.Struct("<4s4H2LH")  # end of central directory: APPNOTE 6.3.10, 4.3.16


class FileHash(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ArchiveManifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    name: ModelName
    version: int = Field(ge=0)
    modality: str = Field(max_length=64)
    step: int = Field(ge=0, lt=2**31)
    description: Annotated[str, Field(max_length=4_096)] | None = None
    tags: Tags = {}
    exported_by: str = Field(max_length=64)
    files: dict[str, FileHash]


class ManifestLabel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Label
    count: int = Field(ge=1, lt=2**53)
    value: str | bool | None = None


class ModelManifest(BaseModel):
    """Schema of `core.tables.Model.manifest`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    modality: str
    labels: list[ManifestLabel]
    parameters: int = Field(ge=0)
    training: dict[str, Any]
    dataset: dict[str, str | None] = {}
    code: dict[str, str] = {}


class ModelExport:
    """Archive of a registered model, which `stream` writes piece by piece."""

    def __init__(self, model: Model, card: bytes) -> None:
        self._weights = StoredObject.from_dict(model.weights)
        self._files = {MODEL_MANIFEST: _json(model.manifest), CARD: card}
        hashes = {WEIGHTS: FileHash(bytes=self._weights.bytes, sha256=self._weights.sha256)}
        hashes |= {name: _hash(data) for name, data in self._files.items()}
        manifest = ArchiveManifest(
            format=FORMAT_VERSION,
            name=model.name,
            version=model.version,
            modality=model.modality,
            step=model.step,
            description=model.description,
            tags=model.tags,
            exported_by=version("semblance-server"),
            files=hashes,
        )
        self._manifest = _json(manifest.model_dump(mode="json"))
        # The manifest holds the hashes of all other files, so its hash identifies the archive.
        self.sha256 = _hash(self._manifest).sha256

    @property
    def size(self) -> int:
        """Size of the archive: as without the weights, which are not compressed, plus these."""
        return sum(len(chunk) for chunk in self._encode(iter(()))) + self._weights.bytes

    def stream(self, storage: Storage) -> Iterator[bytes]:
        return self._encode(storage.stream(self._weights))

    def _encode(self, weights: Iterator[bytes]) -> Iterator[bytes]:
        buffer = ChunkBuffer()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: self._manifest, **self._files}.items():
                archive.writestr(zipfile.ZipInfo(name), data)
            info = zipfile.ZipInfo(WEIGHTS)
            info.file_size = self._weights.bytes
            with archive.open(info, "w") as out:
                for chunk in weights:
                    out.write(chunk)
                    yield buffer.drain()
        yield buffer.drain()


@dataclass(frozen=True)
class ModelImport:
    """Archive whose hashes are verified. `check` verifies the content of its files."""

    manifest: ArchiveManifest
    model_manifest: dict[str, Any]
    weights: Path

    def check(self, tenant_id: str) -> None:
        """Check that the weights and the manifests describe the same model, in turns of tenants.

        Raises:
            ModalityMissing: No installed package reads models of this modality.
            ValidationFailed: They do not describe the same model.
        """
        model = _parse(ModelManifest, self.model_manifest, MODEL_MANIFEST)
        if model.modality != self.manifest.modality:
            _reject("its files describe models of different modalities.")
        _check_labels(model)
        modality = registry.get(model.modality)
        try:
            with reader_slot(tenant_id):
                modality.check_import(self.model_manifest, self.weights)
        except DatasetUnreadable as error:
            raise _import_error(
                f"`{WEIGHTS}` does not hold the weights of a model of {modality.items}."
            ) from error
        except ValidationFailed as error:
            raise _import_error(error.detail) from error
        except ValidationError as error:
            raise _schema_error(error, MODEL_MANIFEST) from error


@contextmanager
def open_archive(path: Path) -> Iterator[ModelImport]:
    """Open and verify an exported model; its weights are extracted to a temporary folder.

    Raises:
        BadRequest: The file is not a complete zip archive.
        ValidationFailed: The archive is not an exported model, or its hashes do not match.
    """
    _check_end(path)
    with tempfile.TemporaryDirectory(dir=process_folder.get(), prefix="import-") as folder:
        with _errors_as_not_an_archive(), zipfile.ZipFile(path) as archive:
            model = _read(archive, Path(folder) / WEIGHTS)
        yield model


def _read(archive: zipfile.ZipFile, weights: Path) -> ModelImport:
    """Verify the archive and extract its weights."""
    _check_entries(archive)
    manifest = _parse(ArchiveManifest, _read_json(archive, MANIFEST), MANIFEST)
    if manifest.format != FORMAT_VERSION:
        _reject(
            f"its format version is {manifest.format}, but this server reads version "
            f"{FORMAT_VERSION}."
        )
    if set(manifest.files) != FILE_NAMES - {MANIFEST}:
        _reject(f"`{MANIFEST}` must list exactly {', '.join(sorted(FILE_NAMES - {MANIFEST}))}.")
    _extract(archive, WEIGHTS, weights)
    for name, expected in manifest.files.items():
        if _hash_of(archive, name) != expected:
            _reject(
                f"the size or hash of `{name}` differs from `{MANIFEST}`. The file was changed or "
                "damaged."
            )
    return ModelImport(manifest, _read_json(archive, MODEL_MANIFEST), weights)


@contextmanager
def _errors_as_not_an_archive() -> Iterator[None]:
    """Raise BadRequest for the many errors of zipfile; a damaged offset is an invalid argument."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, struct.error, ValueError, RuntimeError) as error:
        raise _not_an_archive() from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise _not_an_archive() from error


def _check_end(path: Path) -> None:
    # zipfile loads the whole central directory, so its announced size is limited first.
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _END_RECORD.size))
        end = file.read()
    if len(end) < _END_RECORD.size or end[:4] != b"PK\x05\x06":
        raise _not_an_archive()
    _, _, _, _, entries, directory_bytes, _, _ = _END_RECORD.unpack(end)
    if entries != len(FILE_NAMES) or directory_bytes > MAX_DIRECTORY_BYTES:
        _reject(_WRONG_FILES)


def _check_entries(archive: zipfile.ZipFile) -> None:
    names = [info.filename for info in archive.infolist()]
    if sorted(names) != sorted(FILE_NAMES):
        _reject(_WRONG_FILES)
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            _reject("its files must be stored without compression.")
        if info.flag_bits & 1:
            _reject("its files must not be encrypted.")
        if info.filename != WEIGHTS and info.file_size > MAX_JSON_BYTES:
            _reject(f"`{info.filename}` has more than {MAX_JSON_BYTES} bytes.")


def _extract(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with archive.open(name) as source, path.open("wb") as out:
        shutil.copyfileobj(source, out, MIB)


def _hash_of(archive: zipfile.ZipFile, name: str) -> FileHash:
    with archive.open(name) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return FileHash(bytes=archive.getinfo(name).file_size, sha256=sha256)


def _read_json(archive: zipfile.ZipFile, name: str) -> Any:
    return strict_json.loads(archive.read(name), f"The file {name} in the archive")


def _parse(schema: type[Body], value: Any, name: str) -> Body:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise _schema_error(error, name) from error


def _schema_error(error: ValidationError, name: str) -> ValidationFailed:
    field_path = ".".join(str(part) for part in error.errors()[0]["loc"])[:100]
    return _import_error(f"`{name}` is not valid at {field_path or 'the top level'}.")


def _check_labels(model: ModelManifest) -> None:
    names = [label.name for label in model.labels]
    if len(set(names)) != len(names):
        _reject(f"`{MODEL_MANIFEST}` lists a label twice.")


def _reject(message: str) -> NoReturn:
    raise _import_error(message)


def _import_error(message: str) -> ValidationFailed:
    return ValidationFailed(f"The model cannot be imported: {message}", code="import_rejected")


def _not_an_archive() -> BadRequest:
    return BadRequest("The file is not a complete zip archive.", code="archive_invalid")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def _hash(data: bytes) -> FileHash:
    return FileHash(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
